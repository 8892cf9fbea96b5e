import { record } from '../audit/record.ts';
import { systemActor } from '../core/access.ts';
import { nextInTurn } from '../core/duty-roster.ts';
import { isCalling } from '../core/timer.ts';
import type { Tx } from '../platform/database.ts';
import { listCoordinators } from '../referrals/store.ts';
import type { Services } from '../services.ts';
import { listDuty } from './duty-roster/store.ts';
import { matterOf, saveTimer, type TimerRow } from './store.ts';
import { findWhereabouts, responsibleAs } from './view.ts';

/**
 * Calls to the persons on duty, of timers on which a life may hang. Who is called need have nothing to do with the case: the event
 * names the timer and neither case nor referral, so that nothing of it is withheld when it is delivered.
 */

/**
 * Calls the next on the roster of the timer's jurisdiction; where nobody on it can be called the coordination committees are told,
 * and where there are none the owner. Not where what fell due meanwhile ended the timer.
 * @param timer locked; runs as the clock
 */
export async function callNext(services: Services, tx: Tx, timer: TimerRow, now: Date): Promise<void> {
  if (!isCalling(timer)) return;
  const { called_agency_id, called_staff_code } = timer;
  const last = called_agency_id && called_staff_code ? { agency_id: called_agency_id, staff_code: called_staff_code } : null;
  const person = nextInTurn(await listDuty(tx, timer.jurisdiction), last);
  saveTimer(tx, timer, {
    calls: timer.calls + 1,
    called_at: now,
    called_agency_id: person?.agency_id ?? null,
    called_staff_code: person?.staff_code ?? null,
    called_agency_ids: [...new Set([...(timer.called_agency_ids ?? []), ...(person ? [person.agency_id] : [])])],
  });
  await record(services, tx, systemActor('clock'), {
    action: 'timer.call',
    resource_type: 'timer',
    code: timer.name,
    subjects: [
      {
        subject_id: matterOf(timer),
        resource_id: timer.id,
        ...(timer.referral_id ? { referral_id: timer.referral_id } : {}),
        ...(person ? { called_agency_id: person.agency_id, called_staff_code: person.staff_code } : {}),
      },
    ],
    events: [
      {
        type: 'timer.escalated',
        subject_id: timer.id,
        urgent: true,
        recipients: person
          ? [await told(tx, timer, person.agency_id, { roles: ['caseworker'], staff_code: person.staff_code })]
          : await toldInstead(tx, timer),
      },
    ],
  });
}

async function toldInstead(tx: Tx, timer: TimerRow) {
  const coordinators = await listCoordinators(tx, timer.jurisdiction);
  if (coordinators.length === 0) return [await told(tx, timer, timer.owner_agency_id, { roles: ['supervisor'] })];
  return Promise.all(coordinators.map(agency_id => told(tx, timer, agency_id, { roles: ['coordinator'] })));
}

async function told(tx: Tx, timer: TimerRow, agency_id: string, notify: { roles: string[]; staff_code?: string }) {
  const { placed, responsible_agency_id } = responsibleAs(timer, agency_id, await findWhereabouts(tx, agency_id, [timer]));
  return {
    agency_id,
    body: {
      timer_id: timer.id,
      timer: timer.name,
      ...(placed ? { placed } : { agency_id: responsible_agency_id }),
      jurisdiction: timer.jurisdiction,
      urgency: timer.urgency,
      due_at: timer.due_at.toISOString(),
      escalation_level: timer.escalation_level,
      call: timer.calls,
      notify,
    },
  };
}
