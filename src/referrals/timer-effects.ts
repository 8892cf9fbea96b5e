import { startAgain } from '../cases/clocks.ts';
import { listAuthorities } from '../cases/decisions/store.ts';
import { findCase, lockCase } from '../cases/store.ts';
import { systemActor } from '../core/access.ts';
import { decide, isAwaitingAnswer } from '../core/referral.ts';
import { expertSubject } from '../experts/clocks.ts';
import type { Tx } from '../platform/database.ts';
import type { Services } from '../services.ts';
import { resumeAnswered, startTimers } from '../timers/apply.ts';
import { lockOpenTimers, type TimerRow } from '../timers/store.ts';
import type { Subject, TimerEffects } from '../timers/sweep.ts';
import { type LockedReferral, loadLocked } from './locked.ts';
import { carryOut, finish, referralTimerContext } from './progress.ts';
import { goOn } from './router.ts';
import { listCoordinators } from './store.ts';
import { caseTimerNotice, noticesOf, referralTimerNotice } from './timer-notices.ts';

/** What timers of cases, referrals, offers and requests for experts do when they fall due, and who is told. */
export const timerEffects = (services: Services): TimerEffects => ({
  async lock(tx, { case_id, subject_id, referral_id }) {
    if (case_id === null) return expertSubject(services, tx, subject_id);
    await lockCase(tx, case_id, 'share');
    return referral_id
      ? referralSubject(services, await loadLocked(services, tx, referral_id))
      : caseSubject(services, tx, case_id);
  },
  notices: noticesOf,
});

const referralSubject = (services: Services, locked: LockedReferral): Subject => ({
  timers: locked.timers,
  outage_grace: locked.pack.outage_grace.duration,
  on_breach: (tx, timer, now) => onBreach(services, tx, locked, timer, now),
  async start_again(tx, timer, now) {
    const { stage } = (await findCase(tx, timer.case_id!))!;
    if (stage !== 'closed') await startTimers(tx, referralTimerContext(locked, now), [timer.name]);
  },
  notice: (type, timer, step) => referralTimerNotice(locked, type, timer, step),
});

/** Timers of a case itself, which concern its owner, and the authority that decides on it. */
async function caseSubject(services: Services, tx: Tx, case_id: string): Promise<Subject> {
  const found = (await findCase(tx, case_id))!;
  const coordinators = await listCoordinators(tx, found.jurisdiction);
  const authorities = await listAuthorities(tx, [case_id]);
  return {
    timers: await lockOpenTimers(tx, { case_id }),
    outage_grace: 'PT0S',
    on_breach: async () => {},
    start_again: (tx, timer, now) => startAgain(services, tx, found, timer.name, now),
    notice: (type, timer, step) => caseTimerNotice({ coordinators, authorities }, type, timer, step),
  };
}

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
