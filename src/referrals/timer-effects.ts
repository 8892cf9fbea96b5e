import { findCase, lockCase } from '../cases/store.ts';
import { systemActor } from '../core/access.ts';
import type { TimerStep } from '../core/clock.ts';
import type { Role } from '../core/codes.ts';
import type { EventType } from '../core/events.ts';
import { decide, isAwaitingAnswer } from '../core/referral.ts';
import type { Tx } from '../platform/database.ts';
import type { Services } from '../services.ts';
import { resumeAnswered, startTimers } from '../timers/apply.ts';
import { lockOpenTimers, type TimerRow } from '../timers/store.ts';
import type { Subject, TimerEffects } from '../timers/sweep.ts';
import { type LockedReferral, loadLocked } from './locked.ts';
import { agencyOf, noticeOf, type Party } from './notices.ts';
import { carryOut, finish, referralTimerContext } from './progress.ts';
import { goOn } from './router.ts';
import { listCoordinators } from './store.ts';

/** What timers of cases, referrals and offers do when they fall due, and who is told. */
export const timerEffects = (services: Services): TimerEffects => ({
  async lock(tx, { case_id, referral_id }) {
    await lockCase(tx, case_id, 'share');
    return referral_id ? referralSubject(services, await loadLocked(services, tx, referral_id)) : caseSubject(tx, case_id);
  },
});

const referralSubject = (services: Services, locked: LockedReferral): Subject => ({
  timers: locked.timers,
  outage_grace: locked.pack.outage_grace.duration,
  on_breach: (tx, timer, now) => onBreach(services, tx, locked, timer, now),
  async start_again(tx, timer, now) {
    const { stage } = (await findCase(tx, timer.case_id))!;
    if (stage !== 'closed') await startTimers(tx, referralTimerContext(locked, now), [timer.name]);
  },
  notice(type, timer, step) {
    const offer = locked.offers.find(({ id }) => id === timer.offer_id) ?? null;
    const notice = noticeOf(type, locked, {
      offer,
      parties: partiesOf(type, step),
      also: toldBeside(type, timer, step, locked.coordinators),
      due_at: dueOf(type, timer),
    });
    return {
      ...notice,
      recipients: notice.recipients.map(({ agency_id, body }) => ({
        agency_id,
        body: { ...body, ...timerDetail(type, locked, timer, step, agency_id) },
      })),
    };
  },
});

/** Timers of a case itself, which concern its owner. */
async function caseSubject(tx: Tx, case_id: string): Promise<Subject> {
  const found = (await findCase(tx, case_id))!;
  const coordinators = await listCoordinators(tx, found.jurisdiction);
  return {
    timers: await lockOpenTimers(tx, { case_id }),
    outage_grace: 'PT0S',
    on_breach: async () => {},
    start_again: async () => {},
    notice: (type, timer, step) => ({
      type,
      subject_id: case_id,
      case_id,
      urgent: timer.urgency === 'emergency',
      recipients: [...new Set([found.owner_agency_id, ...toldBeside(type, timer, step, coordinators)])].map(agency_id => ({
        agency_id,
        body: {
          case_id,
          timer_id: timer.id,
          timer: timer.name,
          agency_id: timer.responsible_agency_id,
          ...reasonOf(type, timer),
          ...(type === 'timer.paused' ? {} : { due_at: timer.due_at.toISOString() }),
          ...notify(step),
        },
      })),
    }),
  };
}

/**
 * A warning goes to whoever has to act; a breach to everybody concerned; an escalation to the rung that it has reached; that it
 * rests or goes on to whoever has to act and to those who wait for it.
 */
function partiesOf(type: EventType, step: TimerStep | undefined): readonly Party[] | undefined {
  if (type === 'timer.breached') return undefined;
  if (step === undefined) return ['sender', 'owner', 'coordinator'];
  return step.to === 'coordinator' ? ['coordinator'] : [];
}

function toldBeside(type: EventType, timer: TimerRow, step: TimerStep | undefined, coordinators: readonly string[]): string[] {
  if (type === 'timer.breached' || step === undefined) return [timer.responsible_agency_id, ...coordinators];
  return step.to === 'coordinator' ? [...coordinators] : [timer.responsible_agency_id];
}

/** While it rests nobody knows when it will fall due. */
const dueOf = (type: EventType, timer: TimerRow): Date | null => (type === 'timer.paused' ? null : timer.due_at);

const reasonOf = (type: EventType, { pause_reason }: TimerRow) =>
  type === 'timer.paused' && pause_reason ? { reason_code: pause_reason } : {};

function timerDetail(type: EventType, locked: LockedReferral, timer: TimerRow, step: TimerStep | undefined, agency_id: string) {
  const responsible = {
    agency_id: timer.responsible_agency_id,
    location_protected: timer.location_protected && timer.responsible_agency_id === timer.receiver_agency_id,
  };
  return {
    timer_id: timer.id,
    timer: timer.name,
    ...agencyOf(locked, responsible, agency_id),
    ...reasonOf(type, timer),
    ...(step?.level ? { escalation_level: step.level } : {}),
    ...notify(step),
  };
}

const notify = (step: TimerStep | undefined): { notify?: { roles: Role[] } } =>
  step?.to === 'supervisor'
    ? { notify: { roles: ['supervisor'] } }
    : step?.to === 'coordinator'
      ? { notify: { roles: ['coordinator'] } }
      : {};

async function onBreach(services: Services, tx: Tx, locked: LockedReferral, timer: TimerRow, now: Date): Promise<void> {
  const offer = locked.offers.find(({ id }) => id === timer.offer_id);
  if (timer.on_breach === null || !offer) return;
  if (timer.on_breach === 'resume_respond') {
    const open = locked.timers.filter(({ name, offer_id }) => name === 'respond' && offer_id === offer.id);
    for (const paused of open) await resumeAnswered(tx, locked.calendars, paused, now);
    return;
  }
  // A timer outlives an answer by no more than this transaction; whoever answered first has won.
  if (!isAwaitingAnswer(offer) || locked.referral.ended) return;
  const clock = systemActor('clock');
  const decision = decide('expire', 'clock', { ended: null, offers: locked.offers }, offer, now);
  await carryOut(services, tx, clock, locked, decision, { action: 'referral.expire', code: timer.name }, now);
  await goOn(services, tx, clock, locked, now);
  finish(tx, locked, now);
}
