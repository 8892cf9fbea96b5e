import { act, type Outcome } from '../../audit/act.ts';
import { record } from '../../audit/record.ts';
import {
  type Action,
  type AgencyActor,
  authorise,
  coordinates,
  expectVersion,
  hasRole,
  type Relation,
} from '../../core/access.ts';
import { type DutyEntry, type DutyPerson, isSamePerson } from '../../core/duty-roster.ts';
import { Problem, raise } from '../../core/problem.ts';
import { asSystem, type Tx } from '../../platform/database.ts';
import type { Services } from '../../services.ts';
import { listCallable, whoseOf } from './calls.ts';
import type { UndeliveredView } from './schema.ts';
import { findUndelivered, getPlace, lockUndelivered, putUndelivered, type UndeliveredRow } from './store.ts';

/**
 * A person on duty, whoever of them was called, takes it in hand that an agency does not hear of emergencies: nobody else is called
 * for what it has not heard by now. Where nobody on the roster could be called, the coordinator does.
 * @param id by which the call named it
 * @throws Problem `not_found`, `forbidden`, `precondition_failed`, and `wrong_state` where somebody has acknowledged it already
 */
export const acknowledgeUndelivered = (services: Services, actor: AgencyActor, id: string): Promise<Outcome<UndeliveredView>> =>
  act(services, actor, 'agency.acknowledge_escalation', viewFor(actor), async (tx, now) => {
    const seen = (await findUndelivered(tx, id)) ?? raise('not_found');
    const duty = await listCallable(tx, seen);
    authorise(actor, ...standingTo(actor, seen, duty));
    // It belongs to no one agency: it is locked and changed as the relay.
    await asSystem(tx, 'relay', async tx => {
      // It may have ended, or begun anew under another name, while somebody else was at it.
      const row = (await lockUndelivered(tx, seen.agency_id)) ?? raise('not_found');
      if (row.handle !== id) raise('not_found');
      authorise(actor, ...standingTo(actor, row, duty));
      expectVersion(actor, row.version);
      if (row.acknowledged_at) throw new Problem('wrong_state', { members: { state: 'acknowledged', allowed_actions: [] } });
      await putUndelivered(tx, {
        ...row,
        called_agency_ids: [actor.agency_id],
        acknowledged_at: now,
        acknowledged_by_agency_id: actor.agency_id,
        acknowledged_by_staff_code: actor.caseworker!.staff_code,
        version: row.version + 1,
      });
    });
    // Whoever answers may not be meant to know which agency it is.
    const receipt = await record(services, tx, actor, {
      action: 'agency.acknowledge_escalation',
      resource_type: 'agency',
      subjects: [{ subject_id: seen.agency_id, resource_id: id }],
      subjects_withheld: seen.handle === seen.agency_id ? [] : [seen.agency_id],
    });
    return { id, receipt };
  });

function relationsTo(actor: AgencyActor, row: UndeliveredRow): Relation[] {
  const is_called = row.called_agency_ids.includes(actor.agency_id);
  return [
    ...(is_called ? (['called'] as const) : []),
    ...(coordinates(actor, row.jurisdiction) ? (['coordinator'] as const) : []),
  ];
}

/** As what the caller may acknowledge it: whoever is on duty knows of it until somebody has. */
function standingTo(actor: AgencyActor, row: UndeliveredRow, duty: readonly DutyPerson[]): [Action, readonly Relation[]] {
  const { agency_id, caseworker } = actor;
  const relations = relationsTo(actor, row);
  const is_on_duty =
    caseworker !== null && duty.some(entry => isSamePerson(entry, { agency_id, staff_code: caseworker.staff_code }));
  const knows = relations.length > 0 || row.acknowledged_at === null;
  if (is_on_duty && knows) return ['agency.acknowledge_escalation', [...relations, 'on_duty']];
  const is_manned = duty.some(({ callable }) => callable);
  return [is_manned ? 'agency.acknowledge_escalation' : 'agency.acknowledge_as_coordinator', relations];
}

const viewFor =
  (actor: AgencyActor) =>
  async (tx: Tx, id: string): Promise<UndeliveredView> => {
    const row = (await findUndelivered(tx, id)) ?? raise('not_found');
    if (relationsTo(actor, row).length === 0) raise('not_found');
    return {
      ...whoseOf(row, await getPlace(tx, row.agency_id, null)),
      status: 'undelivered',
      jurisdiction: row.jurisdiction,
      undelivered: row.events,
      since: row.since.toISOString(),
      calls: row.calls,
      called_at: row.called_at.toISOString(),
      ...personsOf(actor, row),
      acknowledged_at: row.acknowledged_at?.toISOString() ?? null,
      version: row.version,
    };
  };

/** Who was called and who answered: for their own agency, and for the coordinator, who has put them on the roster. */
function personsOf(actor: AgencyActor, row: UndeliveredRow): Pick<UndeliveredView, 'called' | 'acknowledged_by'> {
  const is_coordinator = coordinates(actor, row.jurisdiction) && hasRole(actor, 'coordinator');
  const person = (agency_id: string | null, staff_code: string | null): DutyEntry | undefined =>
    agency_id !== null && staff_code !== null && (agency_id === actor.agency_id || is_coordinator)
      ? { agency_id, staff_code }
      : undefined;
  const called = person(row.called_agency_id, row.called_staff_code);
  const acknowledged_by = person(row.acknowledged_by_agency_id, row.acknowledged_by_staff_code);
  return { ...(called ? { called } : {}), ...(acknowledged_by ? { acknowledged_by } : {}) };
}
