import { recordFailure } from '../audit/failures.ts';
import { type Notice, record } from '../audit/record.ts';
import { systemActor } from '../core/access.ts';
import { keptOpenUntil, type TimerStep, takeDue, withExpiry, withNextCall } from '../core/clock.ts';
import type { EventType } from '../core/events.ts';
import { durationMs } from '../core/reckoning.ts';
import { callsNow } from '../core/timer.ts';
import { findDataKeys } from '../platform/data-keys.ts';
import { isLockTimeout, type Tx, transact } from '../platform/database.ts';
import { readUptime } from '../platform/heartbeat.ts';
import type { Services } from '../services.ts';
import { callNext } from './calls.ts';
import { moveStale } from './moves.ts';
import { matterOf, saveTimer, type TimerRow } from './store.ts';
import { claimDueTimers, claimMatter, type DueTimer, findFirstExpiry, putOff, saveTimers } from './sweep-store.ts';

/**
 * Fires what is due. The rows say what that is; any number of sweeps may run at once: each timer is locked, looked at again and
 * brought forward in one transaction, so every warning, breach and escalation has exactly one effect.
 *
 * Most steps change nothing but their timer, and are done for many in one transaction that locks the timers alone. One that does
 * something to others has a transaction of its own, with every lock in the one order.
 */

export interface TimerEffects {
  /** Locks what the timer is about, in the one order (case, referral, offers), before the timer itself. */
  lock(tx: Tx, timer: About): Promise<Subject>;
  /** Who is told of steps of timers that are locked by themselves, read for all of them at once. */
  notices(tx: Tx, timers: readonly TimerRow[]): Promise<Subject['notice']>;
}

/** By what it is known what a timer is about. */
export type About = Pick<TimerRow, 'case_id' | 'subject_id' | 'referral_id'>;

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
/** An act that wants one of them waits for all. */
const BATCH = 200;
const AT_A_TIME = 4;
const TRY_AGAIN_MS = 10_000;

/**
 * One sweep over the rows that are due, emergencies first.
 * @returns whether there may be more
 */
export async function fireDueTimers(services: Services, effects: TimerEffects): Promise<boolean> {
  const { found, alone } = await fireTogether(services, effects);
  await fireEachAlone(services, effects, alone);
  if (found > 0) services.wake_up.notify();
  return found === BATCH;
}

/** What a timer that is locked has to do, and what is left to it after that. */
interface Due {
  timer: TimerRow;
  steps: TimerStep[];
  left: TimerStep[];
  /** Since when: a step that failed was put off, and is as late as it is. */
  due_at: Date;
}

/**
 * What these timers, which must be locked, have to do by `now`, reckoned anew where their calendar has changed: decided here,
 * whether they fire together or alone.
 */
async function decideDue(services: Services, tx: Tx, timers: readonly TimerRow[], now: Date): Promise<Due[]> {
  const running = timers.filter(({ state }) => state === 'running');
  await moveStale(services, tx, running, now);
  return (
    timers
      // Somebody answered, or another sweep was there before, or it falls due later now.
      .filter(({ state, next_step_at }) => state !== 'paused' && next_step_at !== null && next_step_at <= now)
      .map(timer => {
        const { due: steps, left } = takeDue(timer.steps, now);
        return { timer, steps, left, due_at: new Date(steps[0]?.at ?? timer.next_step_at!) };
      })
  );
}

/** A breach, or the end of an offer that a breach should have ended. */
const falls = ({ kind }: TimerStep): boolean => kind === 'breach' || kind === 'expire';

/** Whether it does something to others: to an offer, to another clock, or to whoever is on duty. */
const hasEffect = ({ timer, steps }: Due): boolean => (timer.on_breach !== null && steps.some(falls)) || callsNow(timer, steps);

/**
 * Claims what is due first, and fires what of it changes nothing but itself.
 * @returns how many were found, and those that are to fire alone: what belongs to one matter keeps its order; all, where something
 *   went wrong with one
 */
async function fireTogether(services: Services, effects: TimerEffects): Promise<{ found: number; alone: TimerRow[] }> {
  let claimed: TimerRow[] = [];
  try {
    const { fired, alone } = await transact(services, CLOCK, async tx => {
      const now = services.now();
      claimed = await claimDueTimers(tx, now, BATCH);
      const due = await decideDue(services, tx, claimed, now);
      const of_others = new Set(due.filter(hasEffect).map(({ timer }) => matterOf(timer)));
      const alone = due.filter(({ timer }) => of_others.has(matterOf(timer))).map(({ timer }) => timer);
      const together = due.filter(({ timer }) => !of_others.has(matterOf(timer)));
      if (together.length > 0) await fireAll(services, effects, tx, together);
      return { fired: together, alone };
    });
    for (const it of fired) tellFired(services, it);
    return { found: claimed.length, alone };
  } catch (error) {
    if (claimed.length === 0) throw error;
    services.log.warn({ err: error }, 'timers did not fire together, and are fired one by one');
    return { found: claimed.length, alone: claimed };
  }
}

async function fireAll(services: Services, effects: TimerEffects, tx: Tx, due: readonly Due[]): Promise<void> {
  const timers = due.map(({ timer }) => timer);
  const case_ids = timers.flatMap(({ case_id }) => case_id ?? []);
  const [notice] = await Promise.all([effects.notices(tx, timers), findDataKeys(services, tx, case_ids)]);
  for (const { timer, steps, left } of due) {
    Object.assign(timer, stateAfter(timer, steps, left), { version: timer.version + 1 });
    for (const step of steps) await tell(services, tx, notice, timer, step);
  }
  saveTimers(tx, timers);
}

/** Timers of one matter fire one after another, those of different ones side by side. */
async function fireEachAlone(services: Services, effects: TimerEffects, alone: readonly TimerRow[]): Promise<void> {
  const matters = Map.groupBy(alone, matterOf).values();
  const fireMatters = async () => {
    // One iterator for all: each takes the next matter that none has taken.
    for (const timers of matters)
      for (const timer of timers) {
        const is_free = await tryToFire(services, effects, timer);
        if (!is_free) break;
      }
  };
  const rounds = await Promise.allSettled(Array.from({ length: AT_A_TIME }, fireMatters));
  for (const round of rounds) if (round.status === 'rejected') throw round.reason;
}

/** @returns false where somebody else is at its matter: then it is looked at again by the next sweep */
async function tryToFire(services: Services, effects: TimerEffects, wanted: DueTimer): Promise<boolean> {
  const { id } = wanted;
  try {
    const fired = await fireTimer(services, effects, wanted);
    if (fired && fired !== 'busy') tellFired(services, fired);
    return fired !== 'busy';
  } catch (error) {
    if (isLockTimeout(error)) return false;
    // One that fails must not stand before the others: it is tried again after a while, and is then as late as it is.
    services.log.error({ err: error, timer_id: id }, 'timer did not fire');
    await recordFailure(services, error, {
      role: 'clock',
      action: 'timer.fire',
      subject: { subject_id: matterOf(wanted), resource_id: id },
    });
    const again_at = new Date(services.now().getTime() + TRY_AGAIN_MS);
    await transact(services, CLOCK, async tx => putOff(tx, id, again_at));
    return true;
  }
}

function tellFired(services: Services, { timer, steps, due_at }: Due): void {
  const lag_ms = services.now().getTime() - due_at.getTime();
  services.metrics.timer_lag.observe(lag_ms / 1_000);
  services.log.info({ timer_id: timer.id, steps: steps.map(({ kind }) => kind), lag_ms }, 'timer fired');
}

/** @returns null where there is nothing to do any more, `busy` where another sweep is at the timers of its matter */
const fireTimer = (services: Services, effects: TimerEffects, wanted: DueTimer): Promise<Due | null | 'busy'> =>
  transact(services, CLOCK, async tx => {
    if (!(await claimMatter(tx, matterOf(wanted)))) return 'busy';
    const subject = await effects.lock(tx, wanted);
    const now = services.now();
    const timers = subject.timers.filter(({ id }) => id === wanted.id);
    const [due] = await decideDue(services, tx, timers, now);
    if (!due) return null;
    const { timer, steps, left } = due;
    const open_until = steps.some(falls) ? await keptOpen(tx, subject, timer, now) : null;
    const until_open = open_until ? withExpiry(left, open_until) : left;
    const calls = callsNow(timer, steps);
    saveTimer(tx, timer, {
      ...stateAfter(timer, steps, calls ? withNextCall(until_open, now) : until_open),
      ...(calls ? { called_agency_ids: timer.called_agency_ids ?? [] } : {}),
    });
    for (const step of steps) {
      await tell(services, tx, subject.notice, timer, step);
      if (falls(step) && !open_until) await subject.on_breach(tx, timer, now);
    }
    if (calls) await callNext(services, tx, timer, now);
    return due;
  });

async function keptOpen(tx: Tx, subject: Subject, timer: TimerRow, now: Date): Promise<Date | null> {
  if (timer.on_breach !== 'expire_offer') return null;
  // The offer is kept open, not the clock: another of its clocks may fall due while it is.
  const first = timer.offer_id === null ? null : await findFirstExpiry(tx, timer.offer_id);
  const fell_due = first && first < timer.due_at ? first : timer.due_at;
  return keptOpenUntil(fell_due, await readUptime(tx, now), durationMs(subject.outage_grace), now);
}

const TELLS = {
  warn: { action: 'timer.warn', type: 'timer.warned' },
  breach: { action: 'timer.breach', type: 'timer.breached' },
  escalate: { action: 'timer.escalate', type: 'timer.escalated' },
  // Whoever waited for a floor was told when it ends.
  reach: { action: 'timer.reach', type: null },
  // What becomes of the offer, or who is called, is told by that.
  expire: null,
  call: null,
} as const satisfies Record<TimerStep['kind'], { action: string; type: EventType | null } | null>;

async function tell(services: Services, tx: Tx, notice: Subject['notice'], timer: TimerRow, step: TimerStep): Promise<void> {
  const told = TELLS[step.kind];
  if (!told) return;
  await record(services, tx, CLOCK, {
    action: told.action,
    resource_type: 'timer',
    code: timer.name,
    subjects: [
      { subject_id: matterOf(timer), resource_id: timer.id, ...(timer.referral_id ? { referral_id: timer.referral_id } : {}) },
    ],
    events: told.type ? [notice(told.type, timer, step)] : [],
  });
}

/** Breaches are recorded as they fell due, however late the sweep comes. */
function stateAfter(timer: TimerRow, steps: readonly TimerStep[], left: TimerStep[]) {
  const breach = steps.find(step => step.kind === 'breach');
  const reached = steps.find(step => step.kind === 'reach');
  const warned = steps.find(step => step.kind === 'warn');
  const escalated = steps.findLast(step => step.kind === 'escalate');
  return {
    steps: left,
    next_step_at: left[0] ? new Date(left[0].at) : null,
    ...(breach ? { state: 'breached' as const, breached_at: new Date(breach.at) } : {}),
    ...(reached ? { state: 'met' as const, met_at: new Date(reached.at) } : {}),
    ...(warned ? { warned_at: timer.warned_at ?? new Date(warned.at) } : {}),
    ...(escalated ? { escalation_level: escalated.level! } : {}),
  };
}
