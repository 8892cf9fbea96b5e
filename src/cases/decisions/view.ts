import type { AgencyActor, Relation } from '../../core/access.ts';
import type { DecisionReason } from '../../core/codes.ts';
import { getDataKey } from '../../platform/data-keys.ts';
import type { Tx } from '../../platform/database.ts';
import { open, type Place } from '../../platform/vault.ts';
import { withheldNow } from '../../referrals/coverage.ts';
import type { Services } from '../../services.ts';
import type { CaseRow } from '../store.ts';
import type { DecisionView } from './schema.ts';
import { type DecisionRow, listReasons, listReconsiderations, type ReconsiderationRow } from './store.ts';

/** Why a decision was made so. */
export interface Reasons {
  reason_code: DecisionReason;
  note?: string;
}

export const reasonsPlace = (id: string): Place => ({
  table: 'decision_reasons',
  row: id,
  category: 'criminal_justice',
  version: 1,
});
export const requestPlace = (id: string): Place => ({
  table: 'reconsiderations',
  row: id,
  category: 'criminal_justice',
  version: 1,
});

/** What was asked of a decision again, as those see it who may. */
export async function requestView(services: Services, tx: Tx, row: ReconsiderationRow) {
  return {
    requested_at: row.requested_at.toISOString(),
    // Not which agency: it may be in a protected place.
    requested_by: row.by_owner ? ('owner' as const) : ('supporter' as const),
    reason: open<string>(await getDataKey(services, tx, row.case_id), requestPlace(row.decision_id), row.sealed),
  };
}

/**
 * Decisions as the caller may see them: the reasons are `criminal_justice`, which the authority wrote and an owner sees unless the
 * case came to it without; the coordinator sees none.
 */
export async function viewDecisions(
  services: Services,
  tx: Tx,
  actor: AgencyActor,
  found: CaseRow,
  relations: readonly Relation[],
  rows: readonly DecisionRow[],
): Promise<DecisionView[]> {
  const ids = rows.map(({ id }) => id);
  const [reasons, requests] = (await seesReasons(services, tx, found, relations))
    ? await Promise.all([listReasons(tx, ids), listReconsiderations(tx, ids)])
    : [[], []];
  return Promise.all(
    rows.map(async row => {
      const why = reasons.find(({ decision_id }) => decision_id === row.id);
      const request = requests.find(({ decision_id }) => decision_id === row.id);
      return {
        id: row.id,
        case_id: row.case_id,
        agency_id: row.agency_id,
        kind: row.kind,
        outcome: row.outcome,
        ...(why ? open<Reasons>(await getDataKey(services, tx, row.case_id), reasonsPlace(row.id), why.sealed) : {}),
        decided_at: row.decided_at.toISOString(),
        served_at: row.served_at?.toISOString() ?? null,
        ...(row.agency_id === actor.agency_id ? { staff_code: row.staff_code } : {}),
        ...(request ? { reconsideration: await requestView(services, tx, request) } : {}),
        version: row.version,
        created_at: row.created_at.toISOString(),
        updated_at: row.updated_at.toISOString(),
      };
    }),
  );
}

async function seesReasons(services: Services, tx: Tx, found: CaseRow, relations: readonly Relation[]): Promise<boolean> {
  if (relations.includes('authority')) return true;
  return relations.includes('owner') && !(await withheldNow(tx, found, services.now())).includes('criminal_justice');
}
