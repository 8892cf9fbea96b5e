import { record } from '../audit/record.ts';
import { type AgencyActor, authorise, coordinates, hasRole } from '../core/access.ts';
import { Problem } from '../core/problem.ts';
import { transact } from '../platform/database.ts';
import { decodeCursor, encodeCursor, type Page, pageLimit, toPage } from '../platform/http/paging.ts';
import type { Services } from '../services.ts';
import { type InboxFilter, listInbox } from './inbox-store.ts';
import type { InboxRow } from './schema.ts';

export type InboxListQuery = Partial<InboxFilter> & { limit?: number; cursor?: string };

/** The inbox: referrals that came to the caller, that it sent, or both; a coordinator's too, without persons. */
export const listReferrals = (services: Services, actor: AgencyActor, query: InboxListQuery) =>
  transact(services, actor, async (tx): Promise<{ view: Page<InboxRow>; receipt: string }> => {
    const as_coordinator = actor.agency_kind === 'coordination_committee' && hasRole(actor, 'coordinator');
    authorise(actor, 'referral.list', as_coordinator ? ['coordinator'] : ['self']);
    const limit = pageLimit(query);
    const after = decodeCursor(query.cursor, 2) as [string | null, string] | undefined;
    if (after?.[0] && Number.isNaN(Date.parse(after[0]))) throw notOurs();
    const rows = await listInbox(
      tx,
      actor.agency_id,
      as_coordinator ? actor.jurisdictions : [],
      { ...query, box: query.box ?? 'all' },
      after && { due_at: after[0] === null ? null : new Date(after[0]), id: after[1] },
      limit + 1,
    );
    const view = toPage(
      rows,
      limit,
      row => encodeCursor(row.due_at?.toISOString() ?? null, row.id),
      row => inboxRow(actor, row),
    );
    const receipt = await record(services, tx, actor, {
      action: 'referral.list',
      outcome: 'read',
      resource_type: 'referral',
      subjects: subjectsOf(rows.slice(0, limit)),
      subjects_withheld: casesNotNamed(rows.slice(0, limit), view.data),
    });
    return { view, receipt };
  });

const notOurs = () =>
  new Problem('invalid_request', { errors: [{ pointer: 'querystring:cursor', detail: 'is not a cursor of this list' }] });

type InboxResult = Awaited<ReturnType<typeof listInbox>>[number];

const inboxRow = (actor: AgencyActor, row: InboxResult): InboxRow => {
  const sees_all =
    row.owner_agency_id === actor.agency_id || row.sender_agency_id === actor.agency_id || coordinates(actor, row.jurisdiction);
  const names_case = sees_all || row.accepted_at !== null;
  // As in its view: of what is over for a receiver, nothing moves any more.
  const updated_at = sees_all ? row.updated_at : (row.own_ended_at ?? row.updated_at);
  return {
    id: row.id,
    reference: row.reference,
    ...(names_case ? { case_id: row.case_id } : {}),
    service: row.service,
    urgency: row.urgency,
    status: row.status as InboxRow['status'],
    region: row.region,
    sender_agency_id: row.sender_agency_id,
    version: row.version,
    created_at: row.created_at.toISOString(),
    updated_at: updated_at.toISOString(),
    offer_id: row.offer_id,
    due_at: row.due_at?.toISOString() ?? null,
    overdue: row.overdue ?? false,
  };
};

/** Cases of which the answer showed referrals without naming the case. */
function casesNotNamed(rows: readonly InboxResult[], shown: readonly InboxRow[]): string[] {
  const named = new Set(shown.flatMap(({ case_id }) => case_id ?? []));
  return rows.map(({ case_id }) => case_id).filter(case_id => !named.has(case_id));
}

function subjectsOf(rows: readonly InboxResult[]) {
  const by_case = Map.groupBy(rows, row => row.case_id);
  return [...by_case].map(([subject_id, referrals]) => ({ subject_id, referral_ids: referrals.map(({ id }) => id) }));
}
