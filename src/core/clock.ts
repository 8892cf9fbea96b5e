import type { CompiledCalendar } from './calendar.ts';
import type { EscalationTarget, Policy } from './policy.ts';
import { type ClockRule, type Pause, reckon } from './reckoning.ts';

/**
 * Timers: when they warn, fall due and escalate, and what a pause or a changed calendar does to that. Pure; instants are handed
 * in. What "due" means is reckoning's; here are the steps around it.
 */

/** What is still to happen to a timer; `at` in RFC 3339, earliest first. */
export interface TimerStep {
  at: string;
  /**
   * `reach`: a floor is over. `expire`: the end of an offer that was put off, for the service was down when it fell due. `call`:
   * the next on the duty roster is called.
   */
  kind: 'warn' | 'breach' | 'escalate' | 'reach' | 'expire' | 'call';
  /** How much of the span from start to due is over by then, pauses excluded. */
  share?: number;
  level?: number;
  to?: EscalationTarget;
}

/** What a timer is reckoned by, from its start on. */
export interface Reckoned {
  clock: ClockRule['clock'];
  /** Null where somebody named the instant. */
  duration: string | null;
  count_first_day: boolean;
  started_at: Date;
  due_at: Date;
  /** Those that are over, in order, in RFC 3339. */
  pauses: readonly { from: string; to: string }[];
  steps: readonly TimerStep[];
}

export interface Schedule {
  due_at: Date;
  steps: TimerStep[];
  next_step_at: Date | null;
}

const percent = (text: string): number => Number.parseFloat(text) / 100;

/** Warnings, the end and escalations of a policy, without their instants, in order. */
function stepsOf({ kind, warn_at, escalate }: Policy): (Omit<TimerStep, 'at'> & { share: number })[] {
  if (kind === 'floor') return [{ kind: 'reach', share: 1 }];
  return [
    ...warn_at
      .map(percent)
      .sort((a, b) => a - b)
      .map(share => ({ kind: 'warn' as const, share })),
    { kind: 'breach', share: 1 },
    ...escalate
      .toSorted((a, b) => percent(a.after) - percent(b.after))
      .map(({ after, to }, index) => ({ kind: 'escalate' as const, share: 1 + percent(after), level: index + 1, to })),
  ];
}

/**
 * When a timer under `policy` that starts at `started_at` warns, falls due and escalates.
 * @param calendar along which it is reckoned; `elapsed` looks at none
 * @param named_at the instant that somebody named instead of the policy's; it stands on the time line
 */
export function schedule(
  policy: Policy,
  started_at: Date,
  calendar: CompiledCalendar,
  named_at: Date | null = null,
): Schedule & Reckoned {
  const due_at = named_at ?? reckon(policy, started_at, calendar);
  const reckoned = {
    clock: named_at ? ('elapsed' as const) : policy.clock,
    duration: named_at ? null : policy.duration,
    count_first_day: policy.count_first_day ?? false,
    started_at,
    due_at,
    pauses: [],
  };
  const span = due_at.getTime() - started_at.getTime();
  const steps = stepsOf(policy).map(step => ({ at: toInstant(started_at.getTime() + span * step.share), ...step }));
  return { ...reckoned, steps, next_step_at: nextOf(steps) };
}

const toInstant = (ms: number): string => new Date(Math.round(ms)).toISOString();

const nextOf = ([first]: readonly TimerStep[]): Date | null => (first ? new Date(first.at) : null);

/** What falls due by `now`, and what is left after it. */
export function takeDue(
  steps: readonly TimerStep[],
  now: Date,
): { due: TimerStep[]; left: TimerStep[]; next_step_at: Date | null } {
  const count = steps.filter(step => Date.parse(step.at) <= now.getTime()).length;
  const left = steps.slice(count);
  return { due: steps.slice(0, count), left, next_step_at: nextOf(left) };
}

/**
 * The schedule of a timer that goes on at `now` after the pause that began at `paused_at`, along a calendar as it now stands.
 * Warnings and escalations stand again at their share of the span without pauses; a warning that has passed meanwhile at `now`.
 */
export function resumeSchedule(
  timer: Reckoned & { paused_at: Date },
  calendar: CompiledCalendar,
  now: Date,
): Schedule & Pick<Reckoned, 'pauses'> {
  const { paused_at } = timer;
  const pauses = [...timer.pauses, ...(paused_at < now ? [{ from: paused_at.toISOString(), to: now.toISOString() }] : [])];
  const due_at =
    timer.duration === null
      ? new Date(timer.due_at.getTime() + now.getTime() - paused_at.getTime())
      : dueOf(timer, timer.duration, calendar, pauses);
  return { pauses, ...moved(timer, pauses, due_at, now) };
}

/**
 * The schedule of a running timer along a calendar that has changed. Nobody is late by a change that was not known in time: one
 * that would have been due already is due when it was.
 */
export function moveSchedule(timer: Reckoned, calendar: CompiledCalendar, now: Date): Schedule {
  const due_at = timer.duration === null ? timer.due_at : dueOf(timer, timer.duration, calendar, timer.pauses);
  return moved(timer, timer.pauses, due_at < now ? timer.due_at : due_at, now);
}

const dueOf = (timer: Reckoned, duration: string, calendar: CompiledCalendar, pauses: Reckoned['pauses']): Date =>
  reckon({ ...timer, duration }, timer.started_at, calendar, pauses.map(toPause));

const toPause = ({ from, to }: Reckoned['pauses'][number]): Pause => ({ from: new Date(from), to: new Date(to) });

/** The steps that are left, laid anew; one that was put off stands where it was put. */
function moved({ started_at, steps }: Reckoned, pauses: Reckoned['pauses'], due_at: Date, now: Date): Schedule {
  const rested_ms = pauses.map(toPause).reduce((sum, { from, to }) => sum + to.getTime() - from.getTime(), 0);
  const origin = started_at.getTime() + rested_ms;
  const span = due_at.getTime() - origin;
  const at = ({ at, kind, share }: TimerStep): string => {
    if (share === undefined) return at;
    const ms = origin + span * share;
    return toInstant(kind === 'warn' ? Math.min(Math.max(ms, now.getTime()), due_at.getTime()) : ms);
  };
  const anew = steps.map(step => ({ ...step, at: at(step) })).sort((a, b) => Date.parse(a.at) - Date.parse(b.at));
  return { due_at, steps: anew, next_step_at: nextOf(anew) };
}

/** Since when the service has been running without a gap, as its heartbeats tell; `up`: whether it does now. */
export interface Uptime {
  running_since: Date;
  up: boolean;
}

/**
 * Until when an offer whose deadline fell at `due_at` is kept open because the service was down: whoever could not answer then
 * has `grace_ms` from when it runs again. Null where nothing has to be waited for.
 */
export function keptOpenUntil(due_at: Date, uptime: Uptime | null, grace_ms: number, now: Date): Date | null {
  if (!uptime || grace_ms === 0) return null;
  if (!uptime.up) return new Date(now.getTime() + grace_ms);
  if (due_at >= uptime.running_since) return null;
  const until = new Date(uptime.running_since.getTime() + grace_ms);
  return until > now ? until : null;
}

/** The steps of a timer with the end of its offer put off to `at`. */
export const withExpiry = (steps: readonly TimerStep[], at: Date): TimerStep[] => withStep(steps, { at, kind: 'expire' });

/** How long a call waits to be acknowledged before the next on the roster is called ("Deadlines and floors"). */
const CALL_AGAIN_MS = 600_000;

/** The steps of a timer whose call at `now` is repeated unless somebody acknowledges it. */
export const withNextCall = (steps: readonly TimerStep[], now: Date): TimerStep[] =>
  withStep(steps, { at: new Date(now.getTime() + CALL_AGAIN_MS), kind: 'call' });

const withStep = (steps: readonly TimerStep[], { at, kind }: { at: Date; kind: TimerStep['kind'] }): TimerStep[] =>
  [...steps, { at: at.toISOString(), kind }].sort((a, b) => Date.parse(a.at) - Date.parse(b.at));

/** What is left to happen once somebody has acknowledged a call. */
export function withoutCalls(steps: readonly TimerStep[]): Pick<Schedule, 'steps' | 'next_step_at'> {
  const left = steps.filter(({ kind }) => kind !== 'call');
  return { steps: left, next_step_at: nextOf(left) };
}
