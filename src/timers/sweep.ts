import { type Notice, record } from '../audit/record.ts';
import { systemActor } from '../core/access.ts';
import { type TimerStep, takeDue } from '../core/clock.ts';
import type { EventType } from '../core/events.ts';
import { type Tx, transact } from '../platform/database.ts';
import type { Services } from '../services.ts';
import { listDueTimers, lockTimer, saveTimer, type TimerRow } from './store.ts';

/**
 * Fires what is due. The rows say what that is; any number of sweeps may run at once: each timer is locked, looked at again and
 * brought forward in one transaction, so every warning, breach and escalation has exactly one effect.
 */

export interface TimerEffects {
  /** Locks what the timer is about, in the one order (case, referral, offers), before the timer itself. */
  lock(tx: Tx, timer: { case_id: string; referral_id: string | null }): Promise<Subject>;
}

/** What a timer is about, as whoever owns it presents it to the sweep. */
export interface Subject {
  /** What a breach does beside being told. */
  on_breach(tx: Tx, timer: TimerRow, now: Date): Promise<void>;
  /** Who is told of a step of the timer. */
  notice(type: EventType, timer: TimerRow, step: TimerStep): Notice;
}

const CLOCK = systemActor('clock');
const BATCH = 100;
const TRY_AGAIN_MS = 10_000;

/**
 * One sweep over the rows that are due.
 * @returns whether there may be more
 */
export async function fireDueTimers(services: Services, effects: TimerEffects): Promise<boolean> {
  const due = await transact(services, CLOCK, tx => listDueTimers(tx, services.now(), BATCH));
  for (const timer of due) {
    try {
      await fireTimer(services, effects, timer);
    } catch (error) {
      // One that fails must not stand before the others: it is tried again after a while, and is then as late as it is.
      services.log.error({ err: error, timer_id: timer.id }, 'timer did not fire');
      const again_at = new Date(services.now().getTime() + TRY_AGAIN_MS);
      await transact(services, CLOCK, tx => saveTimer(tx, timer.id, { next_step_at: again_at }));
    }
  }
  if (due.length > 0) services.wake_up.notify();
  return due.length === BATCH;
}

const fireTimer = (
  services: Services,
  effects: TimerEffects,
  due: { id: string; case_id: string; referral_id: string | null },
): Promise<void> =>
  transact(services, CLOCK, async tx => {
    const subject = await effects.lock(tx, due);
    const timer = await lockTimer(tx, due.id);
    const now = services.now();
    if (!timer?.next_step_at || timer.next_step_at > now) return;

    const { due: steps, left, next_step_at } = takeDue(timer.steps, now);
    await saveTimer(tx, timer.id, { ...stateAfter(timer, steps), steps: left, next_step_at });
    for (const step of steps) {
      const { action, type } = TELLS[step.kind];
      await record(services, tx, CLOCK, {
        action,
        resource_type: 'timer',
        code: timer.name,
        subjects: [
          { subject_id: timer.case_id, resource_id: timer.id, ...(timer.referral_id ? { referral_id: timer.referral_id } : {}) },
        ],
        events: [subject.notice(type, timer, step)],
      });
      if (step.kind === 'breach') await subject.on_breach(tx, timer, now);
    }
  });

const TELLS = {
  warn: { action: 'timer.warn', type: 'timer.warned' },
  breach: { action: 'timer.breach', type: 'timer.breached' },
  escalate: { action: 'timer.escalate', type: 'timer.escalated' },
} as const satisfies Record<TimerStep['kind'], { action: string; type: EventType }>;

/** Breaches are recorded as they fell due, however late the sweep comes. */
function stateAfter(timer: TimerRow, steps: readonly TimerStep[]) {
  const breach = steps.find(step => step.kind === 'breach');
  const warned = steps.find(step => step.kind === 'warn');
  const escalated = steps.findLast(step => step.kind === 'escalate');
  return {
    ...(breach ? { state: 'breached' as const, breached_at: new Date(breach.at) } : {}),
    ...(warned ? { warned_at: timer.warned_at ?? new Date(warned.at) } : {}),
    ...(escalated ? { escalation_level: escalated.level! } : {}),
  };
}
