import { record } from '../audit/record.ts';
import type { AgencyActor } from '../core/access.ts';
import { Problem } from '../core/problem.ts';
import type { Tx } from '../platform/database.ts';
import type { Services } from '../services.ts';
import { type AssigneesRow, type CaseOf, type CaseTie, findAssignees, findCaseTie } from './store.ts';

/** What was let through once in a transaction stays so, also where the act itself changed the list. */
const passed = new WeakMap<Tx, Set<string>>();

/**
 * Holds whoever reads or acts on one case, or on a referral of it, to the list of those whom the agency assigned to it. The list
 * of an agency counts while it owns the case or holds it by an accepted offer; an empty one asks nothing of anybody. Who is not
 * on it gives a reason (`Access-Reason`), which stands in the trail, sealed, and the agency's supervisor is told.
 *
 * Call it behind `authorise`, with the case locked; a second call in the same transaction does nothing.
 * @param asked the list, where it was asked for beside other things; null: there is none
 * @throws Problem `access_reason_required`
 */
export async function requireAssigned(
  services: Services,
  tx: Tx,
  actor: AgencyActor,
  case_id: string,
  asked?: AssigneesRow | null,
): Promise<void> {
  const known = passed.get(tx) ?? new Set<string>();
  passed.set(tx, known);
  if (known.has(case_id)) return;
  const list = asked === undefined ? await findAssignees(tx, { case_id }, actor.agency_id) : asked;
  const tie = await mustGiveReason(tx, actor, case_id, list ?? undefined);
  if (tie) {
    if (actor.request.access_reason === undefined)
      throw new Problem('access_reason_required', {
        detail: 'the case is assigned to others: say why in the header `Access-Reason`',
      });
    await recordAccess(services, tx, actor, case_id, tie, actor.request.access_reason);
  }
  known.add(case_id);
}

/** The list, to be asked for beside other things; not where this transaction was let through already. */
export const askAssigned = (tx: Tx, of: CaseOf, agency_id: string): Promise<AssigneesRow | null | undefined> =>
  passed.has(tx) ? Promise.resolve(undefined) : findAssignees(tx, of, agency_id).then(list => list ?? null);

/** How the agency is tied to the case, where it assigned it to others than the caseworker behind the request. */
async function mustGiveReason(
  tx: Tx,
  actor: AgencyActor,
  case_id: string,
  list: AssigneesRow | undefined,
): Promise<CaseTie | undefined> {
  if (!list || list.staff_codes.length === 0) return undefined;
  if (actor.caseworker && list.staff_codes.includes(actor.caseworker.staff_code)) return undefined;
  return findCaseTie(tx, case_id, actor.agency_id);
}

async function recordAccess(
  services: Services,
  tx: Tx,
  actor: AgencyActor,
  case_id: string,
  tie: CaseTie,
  reason: string,
): Promise<void> {
  const { referral_id, offer_id } = tie;
  // The case is named to owners; a holder knows it by its offer.
  const ids = referral_id === null ? { case_id } : { referral_id, offer_id };
  await record(services, tx, actor, {
    action: 'case.access_unassigned',
    resource_type: 'case',
    subjects: [{ subject_id: case_id, ...(referral_id === null ? {} : { referral_id, offer_id }), reason }],
    events: [
      {
        type: 'access.unassigned',
        subject_id: referral_id ?? case_id,
        referral_id,
        case_id,
        urgent: false,
        recipients: [
          {
            agency_id: actor.agency_id,
            body: {
              ...ids,
              agency_id: actor.agency_id,
              caseworker_id: actor.caseworker?.id,
              notify: { roles: ['supervisor'] },
            },
          },
        ],
      },
    ],
  });
}
