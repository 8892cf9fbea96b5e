import { recordFailure } from '../../audit/failures.ts';
import { type Act, record } from '../../audit/record.ts';
import { systemActor } from '../../core/access.ts';
import { type DutyPerson, nextInTurn } from '../../core/duty-roster.ts';
import { hasSettled, overdueAt, stepFor, type Unheard } from '../../core/undelivered.ts';
import { asSystem, type Tx, transact } from '../../platform/database.ts';
import { readUptime } from '../../platform/heartbeat.ts';
import { newId } from '../../platform/ids.ts';
import { listCoordinators } from '../../referrals/store.ts';
import type { Services } from '../../services.ts';
import { listDuty } from '../../timers/duty-roster/store.ts';
import {
  deleteUndelivered,
  findUnheard,
  getPlace,
  listConcerned,
  lockUndelivered,
  markHeard,
  type Place,
  putUndelivered,
  type UndeliveredRow,
} from './store.ts';

/**
 * Calls to the persons on duty because an agency does not hear of emergencies: one at a time for each agency, however many events
 * it missed. Who is called is told which agency that is, or where a protected place is to be reached, and nothing of any case: the
 * event names none, so that nothing of it is withheld when it is delivered.
 */

const RELAY = systemActor('relay');

/**
 * Looks at what nobody has heard in time, and calls whose turn it is. Any number of processes may look at once: each agency is
 * locked, and looked at again.
 * @returns false: it looks at everything
 */
export async function callForUndelivered(services: Services): Promise<boolean> {
  const concerned = await transact(services, RELAY, async tx => {
    const now = services.now();
    const uptime = await asSystem(tx, 'clock', tx => readUptime(tx, now));
    if (!hasSettled(uptime?.running_since ?? null, now)) return [];
    await markHeard(tx, overdueAt(now), now);
    return listConcerned(tx, overdueAt(now));
  });
  for (const agency_id of concerned) {
    await transact(services, RELAY, tx => lookAfter(services, tx, agency_id)).catch(async error => {
      // One that fails must not stand before the others: it is looked at again by the next round.
      services.log.error({ err: error }, 'nobody was called for what an agency did not hear');
      await recordFailure(services, error, { role: 'relay', action: 'agency.call', subject: { subject_id: agency_id } });
    });
  }
  if (concerned.length > 0) services.wake_up.notify();
  return false;
}

async function lookAfter(services: Services, tx: Tx, agency_id: string): Promise<void> {
  const calling = await lockUndelivered(tx, agency_id);
  const now = services.now();
  const unheard = await findUnheard(tx, agency_id, overdueAt(now));
  const step = stepFor(unheard, calling, now);
  if (step === 'rest') return;
  if (step === 'end') {
    await deleteUndelivered(tx, agency_id);
    await record(services, tx, RELAY, { action: 'agency.hear', resource_type: 'agency', subjects: [{ subject_id: agency_id }] });
    return;
  }
  const place = await getPlace(tx, agency_id, unheard!.case_id);
  await callNext(
    services,
    tx,
    step === 'begin' ? anew(agency_id, place, unheard!, calling, now) : calling!,
    place,
    unheard!,
    now,
  );
}

const anew = (
  agency_id: string,
  { sheltered, jurisdiction }: Place,
  { count, since }: Unheard,
  before: UndeliveredRow | undefined,
  now: Date,
): UndeliveredRow => ({
  agency_id,
  handle: sheltered ? newId('esc') : agency_id,
  jurisdiction,
  events: count,
  since,
  calls: 0,
  called_at: now,
  // The turn goes on behind whoever was called last time.
  called_agency_id: before?.called_agency_id ?? null,
  called_staff_code: before?.called_staff_code ?? null,
  called_agency_ids: [],
  acknowledged_at: null,
  acknowledged_by_agency_id: null,
  acknowledged_by_staff_code: null,
  version: before?.version ?? 0,
});

/** Where nobody on the roster can be called the coordination committees are told, and where there are none nobody but the trail. */
async function callNext(
  services: Services,
  tx: Tx,
  row: UndeliveredRow,
  place: Place,
  { count, since }: Unheard,
  now: Date,
): Promise<void> {
  const { agency_id, called_agency_id, called_staff_code, jurisdiction } = row;
  const last = called_agency_id && called_staff_code ? { agency_id: called_agency_id, staff_code: called_staff_code } : null;
  const person = nextInTurn(await listCallable(tx, row), last);
  const called: UndeliveredRow = {
    ...row,
    events: count,
    since,
    calls: row.calls + 1,
    called_at: now,
    called_agency_id: person?.agency_id ?? null,
    called_staff_code: person?.staff_code ?? null,
    called_agency_ids: [...new Set([...row.called_agency_ids, ...(person ? [person.agency_id] : [])])],
    version: row.version + 1,
  };
  await putUndelivered(tx, called);
  const told = person
    ? [{ agency_id: person.agency_id, notify: { roles: ['caseworker'], staff_code: person.staff_code } }]
    : (await listCoordinators(tx, jurisdiction))
        .filter(id => id !== agency_id)
        .map(id => ({ agency_id: id, notify: { roles: ['coordinator'] } }));
  const call: Act = {
    action: 'agency.call',
    resource_type: 'agency',
    subjects: [
      {
        subject_id: agency_id,
        events: String(count),
        ...(person ? { called_agency_id: person.agency_id, called_staff_code: person.staff_code } : {}),
      },
    ],
    events: [
      {
        type: 'endpoint.failing',
        subject_id: agency_id,
        urgent: true,
        recipients: told.map(({ agency_id, notify }) => ({ agency_id, body: { ...bodyOf(called, place), notify } })),
      },
    ],
  };
  await record(services, tx, RELAY, call);
}

/** Who is on duty and would hear of it: nobody of the agency that hears nothing. */
export const listCallable = async (
  tx: Tx,
  { agency_id, jurisdiction }: Pick<UndeliveredRow, 'agency_id' | 'jurisdiction'>,
): Promise<DutyPerson[]> =>
  (await listDuty(tx, jurisdiction)).map(person => ({ ...person, callable: person.callable && person.agency_id !== agency_id }));

const bodyOf = (row: UndeliveredRow, place: Place): Record<string, unknown> => ({
  ...whoseOf(row, place),
  status: 'undelivered',
  undelivered: row.events,
  since: row.since.toISOString(),
  jurisdiction: row.jurisdiction,
  call: row.calls,
});

/** The agency; or of a protected place how to reach it, and by what it is acknowledged. */
export const whoseOf = ({ agency_id, handle }: UndeliveredRow, { regions, duty_contact }: Place) =>
  handle === agency_id
    ? { agency_id }
    : { escalation_id: handle, placed: { region: regions.length === 1 ? regions[0]! : null, duty_contact } };
