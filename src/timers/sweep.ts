import { recordFailure } from '../audit/failures.ts';
import { type Notice, record } from '../audit/record.ts';
import { systemActor } from '../core/access.ts';
import { keptOpenUntil, type TimerStep, takeDue, withExpiry, withNextCall } from '../core/clock.ts';
import type { EventType } from '../core/events.ts';
import { durationMs } from '../core/reckoning.ts';
import { callsNow } from '../core/timer.ts';
import { type Tx, transact } from '../platform/database.ts';
import { readUptime } from '../platform/heartbeat.ts';
import type { Services } from '../services.ts';
import { callNext } from './calls.ts';
import { moveStale } from './moves.ts';
import { type DueTimer, findFirstExpiry, listDueTimers, putOff, saveTimer, type TimerRow } from './store.ts';

/**
 * Fires what is due. The rows say what that is; any number of sweeps may run at once: each timer is locked, looked at again and
 * brought forward in one transaction, so every warning, breach and escalation has exactly one effect.
 */

export interface TimerEffects {
  /** Locks what the timer is about, in the one order (case, referral, offers), before the timer itself. */
  lock(tx: Tx, timer: { case_id: string; referral_id: string | null }): Promise<Subject>;
}

/** What a timer is about, as whoever owns it presents it to the sweep and to those who act on it. */
export interface Subject {
  /** Its timers that may still change, locked with it. */
  timers: readonly TimerRow[];
  /** ISO 8601: how long an offer is kept open after an outage in which it fell due. */
  outage_grace: string;
  /** What a breach does beside being told. */
  on_breach(tx: Tx, timer: TimerRow, now: Date): Promise<void>;
  /** Who is told of a step of the timer, or that it was paused or goes on. */
  notice(type: EventType, timer: TimerRow, step?: TimerStep): Notice;
  /** Starts the next of a duty that recurs, unless the case is closed. */
  start_again(tx: Tx, timer: TimerRow, now: Date): Promise<void>;
}

const CLOCK = systemActor('clock');
const BATCH = 100;
const AT_A_TIME = 4;
const TRY_AGAIN_MS = 10_000;

/**
 * One sweep over the rows that are due. Timers of one case fire one after another, those of different cases side by side.
 * @returns whether there may be more
 */
export async function fireDueTimers(services: Services, effects: TimerEffects): Promise<boolean> {
  const due = await transact(services, CLOCK, tx => listDueTimers(tx, services.now(), BATCH));
  const cases = Map.groupBy(due, ({ case_id }) => case_id).values();
  const fireCases = async () => {
    // One iterator for all: each takes the next case that none has taken.
    for (const timers of cases) for (const timer of timers) await tryToFire(services, effects, timer);
  };
  const rounds = await Promise.allSettled(Array.from({ length: AT_A_TIME }, fireCases));
  for (const round of rounds) if (round.status === 'rejected') throw round.reason;
  if (due.length > 0) services.wake_up.notify();
  return due.length === BATCH;
}

async function tryToFire(services: Services, effects: TimerEffects, timer: DueTimer): Promise<void> {
  try {
    const fired = await fireTimer(services, effects, timer);
    if (!fired) return;
    const lag_ms = services.now().getTime() - fired.due_at.getTime();
    services.metrics.timer_lag.observe(lag_ms / 1_000);
    services.log.info({ timer_id: timer.id, steps: fired.steps, lag_ms }, 'timer fired');
  } catch (error) {
    // One that fails must not stand before the others: it is tried again after a while, and is then as late as it is.
    services.log.error({ err: error, timer_id: timer.id }, 'timer did not fire');
    const subject = { subject_id: timer.case_id, resource_id: timer.id };
    await recordFailure(services, error, { role: 'clock', action: 'timer.fire', subject });
    const again_at = new Date(services.now().getTime() + TRY_AGAIN_MS);
    await transact(services, CLOCK, async tx => putOff(tx, timer.id, again_at));
  }
}

/** What was done of a timer, and since when it was due. */
interface Fired {
  steps: TimerStep['kind'][];
  due_at: Date;
}

/** @returns null where there is nothing to do any more: somebody answered, or another sweep was there before */
const fireTimer = (services: Services, effects: TimerEffects, due: DueTimer): Promise<Fired | null> =>
  transact(services, CLOCK, async tx => {
    const subject = await effects.lock(tx, due);
    const timer = subject.timers.find(({ id }) => id === due.id);
    const now = services.now();
    if (timer?.state === 'running') await moveStale(services, tx, [timer], now);
    if (!timer?.next_step_at || timer.next_step_at > now || timer.state === 'paused') return null;

    const { due: steps, left } = takeDue(timer.steps, now);
    const open_until = steps.some(falls) ? await keptOpen(tx, subject, timer, now) : null;
    const until_open = open_until ? withExpiry(left, open_until) : left;
    const calls = callsNow(timer, steps);
    const ahead = calls ? withNextCall(until_open, now) : until_open;
    const next_step_at = ahead[0] ? new Date(ahead[0].at) : null;
    saveTimer(tx, timer, {
      ...stateAfter(timer, steps),
      ...(calls ? { called_agency_ids: timer.called_agency_ids ?? [] } : {}),
      steps: ahead,
      next_step_at,
    });
    for (const step of steps) {
      if (step.kind !== 'expire' && step.kind !== 'call') await tell(services, tx, subject, timer, step, step.kind);
      if (falls(step) && !open_until) await subject.on_breach(tx, timer, now);
    }
    if (calls) await callNext(services, tx, timer, now);
    // A step that failed was put off: it is as late as it is.
    return { steps: steps.map(step => step.kind), due_at: new Date(steps[0]?.at ?? timer.next_step_at) };
  });

/** A breach, or the end of an offer that a breach should have ended. */
const falls = ({ kind }: TimerStep): boolean => kind === 'breach' || kind === 'expire';

async function keptOpen(tx: Tx, subject: Subject, timer: TimerRow, now: Date): Promise<Date | null> {
  if (timer.on_breach !== 'expire_offer' || timer.offer_id === null) return null;
  // The offer is kept open, not the clock: another of its clocks may fall due while it is.
  const first = await findFirstExpiry(tx, timer.offer_id);
  const fell_due = first && first < timer.due_at ? first : timer.due_at;
  return keptOpenUntil(fell_due, await readUptime(tx, now), durationMs(subject.outage_grace), now);
}

const TELLS = {
  warn: { action: 'timer.warn', type: 'timer.warned' },
  breach: { action: 'timer.breach', type: 'timer.breached' },
  escalate: { action: 'timer.escalate', type: 'timer.escalated' },
  // Whoever waited for a floor was told when it ends.
  reach: { action: 'timer.reach', type: null },
} as const satisfies Record<string, { action: string; type: EventType | null }>;

async function tell(
  services: Services,
  tx: Tx,
  subject: Subject,
  timer: TimerRow,
  step: TimerStep,
  kind: keyof typeof TELLS,
): Promise<void> {
  const { action, type } = TELLS[kind];
  await record(services, tx, CLOCK, {
    action,
    resource_type: 'timer',
    code: timer.name,
    subjects: [
      { subject_id: timer.case_id, resource_id: timer.id, ...(timer.referral_id ? { referral_id: timer.referral_id } : {}) },
    ],
    events: type ? [subject.notice(type, timer, step)] : [],
  });
}

/** Breaches are recorded as they fell due, however late the sweep comes. */
function stateAfter(timer: TimerRow, steps: readonly TimerStep[]) {
  const breach = steps.find(step => step.kind === 'breach');
  const reached = steps.find(step => step.kind === 'reach');
  const warned = steps.find(step => step.kind === 'warn');
  const escalated = steps.findLast(step => step.kind === 'escalate');
  return {
    ...(breach ? { state: 'breached' as const, breached_at: new Date(breach.at) } : {}),
    ...(reached ? { state: 'met' as const, met_at: new Date(reached.at) } : {}),
    ...(warned ? { warned_at: timer.warned_at ?? new Date(warned.at) } : {}),
    ...(escalated ? { escalation_level: escalated.level! } : {}),
  };
}
