import { findCase, lockCase } from '../cases/store.ts';
import { systemActor } from '../core/access.ts';
import type { TimerStep } from '../core/clock.ts';
import type { Role } from '../core/codes.ts';
import type { EventType } from '../core/events.ts';
import { decide, isAwaitingAnswer } from '../core/referral.ts';
import type { Tx } from '../platform/database.ts';
import type { Services } from '../services.ts';
import { resumeTimer } from '../timers/apply.ts';
import { lockOpenTimers, type TimerRow } from '../timers/store.ts';
import type { Subject, TimerEffects } from '../timers/sweep.ts';
import { type LockedReferral, loadLocked } from './locked.ts';
import { agencyOf, noticeOf, type Party } from './notices.ts';
import { carryOut, finish } from './progress.ts';
import { goOn } from './router.ts';
import { listCoordinators } from './store.ts';

/** What timers of cases, referrals and offers do when they fall due, and who is told. */
export const timerEffects = (services: Services): TimerEffects => ({
  async lock(tx, { case_id, referral_id }) {
    await lockCase(tx, case_id, 'share');
    return referral_id ? referralSubject(services, await loadLocked(tx, referral_id)) : caseSubject(tx, case_id);
  },
});

const referralSubject = (services: Services, locked: LockedReferral): Subject => ({
  on_breach: (tx, timer, now) => onBreach(services, tx, locked, timer, now),
  notice(type, timer, step) {
    const offer = locked.offers.find(({ id }) => id === timer.offer_id) ?? null;
    const notice = noticeOf(type, locked, {
      offer,
      parties: partiesOf(type, step),
      also: toldBeside(type, timer, step, locked.coordinators),
      due_at: timer.due_at,
    });
    return {
      ...notice,
      recipients: notice.recipients.map(({ agency_id, body }) => ({
        agency_id,
        body: { ...body, ...timerDetail(locked, timer, step, agency_id) },
      })),
    };
  },
});

/** Timers of a case itself, which concern its owner. */
async function caseSubject(tx: Tx, case_id: string): Promise<Subject> {
  const found = (await findCase(tx, case_id))!;
  const coordinators = await listCoordinators(tx, found.jurisdiction);
  return {
    on_breach: async () => {},
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
          due_at: timer.due_at.toISOString(),
          ...notify(step),
        },
      })),
    }),
  };
}

/** A warning goes to whoever has to act; a breach to everybody concerned; an escalation to the rung that it has reached. */
const partiesOf = (type: EventType, step: TimerStep): readonly Party[] | undefined =>
  type === 'timer.breached' ? undefined : step.to === 'coordinator' ? ['coordinator'] : [];

function toldBeside(type: EventType, timer: TimerRow, step: TimerStep, coordinators: readonly string[]): string[] {
  if (type === 'timer.breached') return [timer.responsible_agency_id, ...coordinators];
  return step.to === 'coordinator' ? [...coordinators] : [timer.responsible_agency_id];
}

function timerDetail(locked: LockedReferral, timer: TimerRow, step: TimerStep, agency_id: string) {
  const responsible = {
    agency_id: timer.responsible_agency_id,
    location_protected: timer.location_protected && timer.responsible_agency_id === timer.receiver_agency_id,
  };
  return {
    timer_id: timer.id,
    timer: timer.name,
    ...agencyOf(locked, responsible, agency_id),
    ...(step.level ? { escalation_level: step.level } : {}),
    ...notify(step),
  };
}

const notify = ({ to }: TimerStep): { notify?: { roles: Role[] } } =>
  to === 'supervisor'
    ? { notify: { roles: ['supervisor'] } }
    : to === 'coordinator'
      ? { notify: { roles: ['coordinator'] } }
      : {};

async function onBreach(services: Services, tx: Tx, locked: LockedReferral, timer: TimerRow, now: Date): Promise<void> {
  const offer = locked.offers.find(({ id }) => id === timer.offer_id);
  if (timer.on_breach === null || !offer) return;
  if (timer.on_breach === 'resume_respond') {
    const open = await lockOpenTimers(tx, { offer_id: offer.id });
    for (const paused of open.filter(({ name }) => name === 'respond')) await resumeTimer(tx, paused, now);
    return;
  }
  // A timer outlives an answer by no more than this transaction; whoever answered first has won.
  if (!isAwaitingAnswer(offer) || locked.referral.ended) return;
  const clock = systemActor('clock');
  const decision = decide('expire', 'clock', { ended: null, offers: locked.offers }, offer, now);
  await carryOut(services, tx, clock, locked, decision, { action: 'referral.expire', code: timer.name }, now);
  await goOn(services, tx, clock, locked, now);
  await finish(tx, locked, now);
}
