import { record } from '../audit/record.ts';
import { requireAssigned } from '../cases/assignments.ts';
import { type AgencyActor, authorise } from '../core/access.ts';
import type { ExpertRequestStatus } from '../core/codes.ts';
import { allowedExpertActions, showsContact } from '../core/expert-request.ts';
import { raise } from '../core/problem.ts';
import { type Tx, transact } from '../platform/database.ts';
import { pageById } from '../platform/http/paging.ts';
import type { Services } from '../services.ts';
import { openDetails } from './details.ts';
import { subjectsOf } from './progress.ts';
import { openContact } from './roster.ts';
import type { ExpertRequestView, ExpertRequestRow as RowView } from './schema.ts';
import { type ExpertRequestRow, findDetails, findRequest, listAnswersDue, listRequests } from './store.ts';

/**
 * Who sees what of a request for an expert: the keeper what, where and when; whoever asked also the case, as what persons were named,
 * its note, until the request is over, and while it is confirmed how to reach the expert. Nobody else knows of it.
 */

/** What the caller is to a request: both, where it asked for an expert of its own roster. */
export const partiesOf = (
  { agency_id }: AgencyActor,
  request: Pick<ExpertRequestRow, 'agency_id' | 'requester_agency_id'>,
): ('requester' | 'keeper')[] => [
  ...(request.requester_agency_id === agency_id ? (['requester'] as const) : []),
  ...(request.agency_id === agency_id ? (['keeper'] as const) : []),
];

/** @throws Problem `not_found` */
export const viewRequest =
  (services: Services, actor: AgencyActor) =>
  async (tx: Tx, id: string): Promise<ExpertRequestView> => {
    const request = await findRequest(tx, id);
    if (!request || partiesOf(actor, request).length === 0) return raise('not_found');
    const row = rowView(actor, request, await listAnswersDue(tx, [id]));
    if (!partiesOf(actor, request).includes('requester')) return row;
    const kept = (await findDetails(tx, id))!;
    const details = await openDetails(services, tx, kept);
    const contact = showsContact(request, services.now()) ? await openContact(services, tx, request.expert_id) : undefined;
    return {
      ...row,
      ...(details && kept.case_id !== null ? { case_id: kept.case_id } : {}),
      ...(details && kept.sealed ? { against: [...new Set(details.against.map(({ as }) => as))] } : {}),
      ...(details?.note ? { note: details.note } : {}),
      ...(contact ? { contact } : {}),
    };
  };

function rowView(actor: AgencyActor, request: ExpertRequestRow, due: ReadonlyMap<string, Date>): RowView {
  const { staff_code: _, from, to, created_at, updated_at, ...row } = request;
  const { status } = request;
  return {
    ...row,
    reason_code: row.reason_code as RowView['reason_code'],
    from: from.toISOString(),
    to: to.toISOString(),
    due_at: status === 'requested' ? (due.get(request.id)?.toISOString() ?? null) : null,
    allowed_actions: [...new Set(partiesOf(actor, request).flatMap(party => allowedExpertActions(party, status)))],
    created_at: created_at.toISOString(),
    updated_at: updated_at.toISOString(),
  };
}

/**
 * Reads a request, and records it before the answer, also whether it told how to reach the expert.
 * @throws Problem `not_found`, `forbidden`, `access_reason_required`
 */
export const getExpertRequest = (services: Services, actor: AgencyActor, id: string) =>
  transact(services, actor, async tx => {
    const view = await viewRequest(services, actor)(tx, id);
    const parties = partiesOf(actor, view);
    authorise(
      actor,
      'expert_request.read',
      parties.map(party => (party === 'keeper' ? 'receiver' : 'sender')),
    );
    if (view.case_id !== undefined) await requireAssigned(services, tx, actor, view.case_id);
    const [subject, ...of_case] = subjectsOf(view, view.case_id ?? null);
    const receipt = await record(services, tx, actor, {
      action: 'expert_request.read',
      outcome: 'read',
      resource_type: 'expert_request',
      subjects: [{ ...subject!, contact: view.contact !== undefined }, ...of_case],
    });
    return { view, receipt };
  });

/** What is asked of the caller's experts, or what it asked for, newest first. @throws Problem `forbidden` */
export const listExpertRequests = (
  services: Services,
  actor: AgencyActor,
  query: { box?: 'incoming' | 'outgoing'; status?: ExpertRequestStatus; limit?: number; cursor?: string },
) =>
  transact(services, actor, async tx => {
    authorise(actor, 'expert_request.list', ['self']);
    const view = await pageById(
      query,
      (before_id, limit) => listRequests(tx, { ...query, agency_id: actor.agency_id }, before_id, limit),
      async rows => {
        const due = await listAnswersDue(
          tx,
          rows.map(({ id }) => id),
        );
        return rows.map(row => rowView(actor, row, due));
      },
    );
    const receipt = await record(services, tx, actor, {
      action: 'expert_request.list',
      outcome: 'read',
      resource_type: 'expert_request',
      subjects: view.data.map(({ id }) => ({ subject_id: id })),
    });
    return { view, receipt };
  });
