import { record } from '../audit/record.ts';
import { type AgencyActor, authorise, coordinates, hasRole, type Relation } from '../core/access.ts';
import type { DutyEntry } from '../core/duty-roster.ts';
import { Problem, raise } from '../core/problem.ts';
import { isSupport } from '../core/support.ts';
import { asSystem, type Tx, transact } from '../platform/database.ts';
import { decodeCursor, encodeCursor, type Page, pageLimit, toPage } from '../platform/http/paging.ts';
import type { Services } from '../services.ts';
import { findTimer, listTimers, type ShownTimer, type TimerFilter } from './list-store.ts';
import type { TimerView } from './schema.ts';
import { listWhereabouts, matterOf, type TimerRow, type Whereabouts } from './store.ts';

/** Region and duty contact of the protected receivers among these timers. */
export async function findWhereabouts(tx: Tx, viewer_id: string, timers: readonly TimerRow[]): Promise<Whereabouts> {
  const ids = timers.filter(timer => isHidden(timer, viewer_id)).map(({ id }) => id);
  return ids.length === 0 ? new Map() : listWhereabouts(tx, { ids });
}

const isHidden = (timer: TimerRow, viewer_id: string): boolean => hides(timer, timer.responsible_agency_id, viewer_id);

/** Whether naming the agency would tell who is in a protected place. */
const hides = (timer: TimerRow, agency_id: string | null, viewer_id: string): boolean =>
  timer.location_protected && agency_id !== null && agency_id === timer.receiver_agency_id && agency_id !== viewer_id;

/** Whose it is, or in its place where a protected receiver is. */
export const responsibleAs = (
  timer: TimerRow,
  viewer_id: string,
  whereabouts: Whereabouts,
): Pick<TimerView, 'placed' | 'responsible_agency_id'> =>
  isHidden(timer, viewer_id)
    ? { placed: whereabouts.get(timer.id) ?? { region: null, duty_contact: null } }
    : { responsible_agency_id: timer.responsible_agency_id };

export const timerView = (timer: TimerRow, viewer_id: string, whereabouts: Whereabouts): TimerView => ({
  id: timer.id,
  name: timer.name,
  kind: timer.kind,
  clock: timer.clock,
  subject: { type: timer.subject_type, id: timer.subject_id },
  referral_id: timer.referral_id,
  ...responsibleAs(timer, viewer_id, whereabouts),
  jurisdiction: timer.jurisdiction,
  urgency: timer.urgency,
  started_at: timer.started_at.toISOString(),
  due_at: timer.due_at.toISOString(),
  state: timer.state,
  paused_at: timer.paused_at?.toISOString() ?? null,
  pause_reason: timer.pause_reason,
  ...(hides(timer, timer.paused_by_agency_id, viewer_id) ? {} : { paused_by_agency_id: timer.paused_by_agency_id }),
  warned_at: timer.warned_at?.toISOString() ?? null,
  breached_at: timer.breached_at?.toISOString() ?? null,
  met_at: timer.met_at?.toISOString() ?? null,
  waived_at: timer.waived_at?.toISOString() ?? null,
  guards: timer.guards ?? [],
  escalation_level: timer.escalation_level,
  calls: timer.calls,
  called_at: timer.called_at?.toISOString() ?? null,
  acknowledged_at: timer.acknowledged_at?.toISOString() ?? null,
  rule: timer.rule,
  version: timer.version,
});

/** One timer for the answer of an act on it. @throws Problem `not_found` */
export async function viewTimer(tx: Tx, actor: AgencyActor, id: string): Promise<TimerView> {
  const timer = (await findTimer(tx, id)) ?? raise('not_found');
  if (timerRelations(actor, timer).length === 0) raise('not_found');
  return shown(timer, actor, await findWhereabouts(tx, actor.agency_id, [timer]));
}

function shown(timer: ShownTimer, actor: AgencyActor, whereabouts: Whereabouts): TimerView {
  const { subject, referral_id, ...view } = timerView(timer, actor.agency_id, whereabouts);
  return {
    ...view,
    ...personsOf(timer, actor),
    ...(isOnlyCalled(actor, timer) ? { subject: { type: subject.type } } : { subject, referral_id }),
    ...(timer.case_id !== null && knowsCase(actor, timer) ? { case_id: timer.case_id } : {}),
  };
}

/** Who was called and who answered: for their own agency, and for the coordinator, who has put them on the roster. */
function personsOf(timer: TimerRow, actor: AgencyActor): Pick<TimerView, 'called' | 'acknowledged_by'> {
  const mayKnow = (agency_id: string | null) =>
    agency_id === actor.agency_id || (coordinates(actor, timer.jurisdiction) && hasRole(actor, 'coordinator'));
  const person = (agency_id: string | null, staff_code: string | null): DutyEntry | undefined =>
    agency_id !== null && staff_code !== null && mayKnow(agency_id) ? { agency_id, staff_code } : undefined;
  const called = person(timer.called_agency_id, timer.called_staff_code);
  const acknowledged_by = person(timer.acknowledged_by_agency_id, timer.acknowledged_by_staff_code);
  return { ...(called ? { called } : {}), ...(acknowledged_by ? { acknowledged_by } : {}) };
}

export interface TimerListQuery extends Omit<TimerFilter, 'due_before'> {
  due_before?: string;
  limit?: number;
  cursor?: string;
}

/** What the caller is to the timer. */
export function timerRelations(actor: AgencyActor, timer: TimerRow & Partial<Pick<ShownTimer, 'supported'>>): Relation[] {
  const relations: Relation[] = [];
  const knows = !timer.forgotten;
  if (knows && timer.responsible_agency_id === actor.agency_id) relations.push('responsible');
  if (timer.owner_agency_id === actor.agency_id) relations.push('owner');
  if (timer.sender_agency_id === actor.agency_id) relations.push('sender');
  if (knows && timer.receiver_agency_id === actor.agency_id) relations.push('receiver');
  if (timer.supported && isSupport(actor.agency_kind)) relations.push('supporter');
  if (coordinates(actor, timer.jurisdiction)) relations.push('coordinator');
  if (timer.called_agency_ids?.includes(actor.agency_id)) relations.push('called');
  return relations;
}

/** Whether the timer concerns the agency as what it is to its subject; the coordinator's view is not meant. */
export const isPartyTo = (timer: TimerRow, agency_id: string): boolean =>
  [timer.owner_agency_id, timer.sender_agency_id].includes(agency_id) ||
  (!timer.forgotten && [timer.responsible_agency_id, timer.receiver_agency_id].includes(agency_id));

/** Whether the agency has to do with it only in that one of its people is called, or on duty. */
export const isOnlyCalled = (actor: AgencyActor, timer: TimerRow): boolean =>
  timerRelations(actor, timer).every(relation => relation === 'called');

/** Owner, sender and coordinator know the case, and a receiver that has accepted; and whom a timer of the case itself concerns. */
export const knowsCase = (actor: AgencyActor, timer: ShownTimer): boolean =>
  timerRelations(actor, timer).some(
    relation =>
      ['owner', 'sender', 'coordinator', 'supporter'].includes(relation) ||
      (relation === 'receiver' && timer.receiver_accepted_at !== null) ||
      (relation === 'responsible' && ['case', 'expert_request'].includes(timer.subject_type)),
  );

/** The timers that concern the caller, the next due first. */
export const listOwnTimers = (services: Services, actor: AgencyActor, query: TimerListQuery) =>
  transact(services, actor, async (tx): Promise<{ view: Page<TimerView>; receipt: string }> => {
    const as_coordinator = actor.agency_kind === 'coordination_committee' && hasRole(actor, 'coordinator');
    authorise(actor, 'timer.list', as_coordinator ? ['coordinator'] : ['self']);
    const limit = pageLimit(query);
    const after = decodeCursor(query.cursor, 2) as [string, string] | undefined;
    if (after && Number.isNaN(Date.parse(after[0]))) {
      throw new Problem('invalid_request', {
        errors: [{ pointer: 'querystring:cursor', detail: 'is not a cursor of this list' }],
      });
    }
    const rows = await listTimers(
      tx,
      {
        agency_id: actor.agency_id,
        coordinated: as_coordinator ? actor.jurisdictions : [],
        supports: isSupport(actor.agency_kind),
      },
      { ...query, due_before: query.due_before === undefined ? undefined : new Date(query.due_before) },
      after && { due_at: new Date(after[0]), id: after[1] },
      limit + 1,
    );
    const whereabouts = await findWhereabouts(tx, actor.agency_id, rows);
    const view = toPage(
      rows,
      limit,
      row => encodeCursor(row.due_at.toISOString(), row.id),
      row => shown(row, actor, whereabouts),
    );
    const matters = new Set(rows.slice(0, limit).map(matterOf));
    // As the trail, which finds the key of a case also where somebody is only called.
    const receipt = await asSystem(tx, 'trail', tx =>
      record(services, tx, actor, {
        action: 'timer.list',
        outcome: 'read',
        resource_type: 'timer',
        subjects: [...matters].map(subject_id => ({ subject_id })),
        // A receiver sees its clocks before it may know the case.
        subjects_withheld: [...matters.difference(new Set(rows.filter(row => knowsCase(actor, row)).map(matterOf)))],
      }),
    );
    return { view, receipt };
  });
