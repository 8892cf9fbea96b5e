import type { AgencyKind, Service, Stage, Urgency } from './codes.ts';
import { countOf, durationMs } from './reckoning.ts';
import { dayOf, endOfDay } from './wall-clock.ts';

/**
 * Deadlines: when they warn, fall due and escalate, and what a pause does to that. Pure; instants are handed in. `elapsed` runs
 * on the time line (a day is 24 hours, whatever the clocks on the wall do), the day clocks along a time zone's calendar. Policies
 * that stand for working time say so in `stands_for`.
 */

export type Clock = 'elapsed' | 'calendar_days' | 'calendar_months';

/** What a breach does beside being told. */
export type BreachEffect = 'expire_offer' | 'resume_respond';

export interface Policy {
  name: string;
  /** The most specific policy that fits wins. */
  applies_to: { service?: Service; urgency?: Urgency; agency_kind?: AgencyKind; stage?: Stage };
  kind: 'deadline';
  clock: Clock;
  /** ISO 8601: days, hours, minutes, seconds; of a day clock whole days, or whole months and years. */
  duration: string;
  /** Of `calendar_days`: whether the day on which it starts is the first. */
  count_first_day?: boolean;
  /** What the rule means, where `elapsed` is only its equivalent. */
  stands_for?: string;
  /** Percent of the span from start to due. */
  warn_at: readonly string[];
  /** At most one. */
  on_breach?: readonly BreachEffect[];
  /** Percent of the span beyond due. */
  escalate: readonly { after: string; to: EscalationTarget }[];
  source: string;
}

export type EscalationTarget = 'responsible' | 'supervisor' | 'coordinator';

/** What is still to happen to a timer; `at` in RFC 3339, earliest first. */
export interface TimerStep {
  at: string;
  /** `expire`: the end of an offer that was put off, for the service was down when it fell due. */
  kind: 'warn' | 'breach' | 'escalate' | 'expire';
  /** How much of the span from start to due is over by then, pauses excluded. */
  share?: number;
  level?: number;
  to?: EscalationTarget;
}

export interface Schedule {
  started_at: Date;
  clock: Clock;
  due_at: Date;
  steps: TimerStep[];
  next_step_at: Date | null;
}

export interface TimerFacts {
  service?: Service;
  urgency?: Urgency;
  agency_kind?: AgencyKind;
  stage?: Stage;
}

/** The most specific of the policies called `name` that fit the facts. */
export function findPolicy(policies: readonly Policy[], name: string, facts: TimerFacts): Policy | undefined {
  const fits = (policy: Policy) =>
    policy.name === name && Object.entries(policy.applies_to).every(([fact, value]) => facts[fact as keyof TimerFacts] === value);
  return policies.filter(fits).sort((a, b) => Object.keys(b.applies_to).length - Object.keys(a.applies_to).length)[0];
}

/** The first day whose end lies ahead. */
function openDay(at: Date, time_zone: string): Temporal.PlainDate {
  const day = dayOf(at, time_zone);
  return endOfDay(day, time_zone) > at ? day : day.add({ days: 1 });
}

const later = (a: Temporal.PlainDate, b: Temporal.PlainDate) => (Temporal.PlainDate.compare(a, b) < 0 ? b : a);

/** When a deadline that starts at `started_at` falls due. @throws RangeError for a duration that its clock does not know */
export function dueAt(policy: Pick<Policy, 'clock' | 'duration' | 'count_first_day'>, started_at: Date, time_zone: string): Date {
  if (policy.clock === 'elapsed') return new Date(started_at.getTime() + durationMs(policy.duration));
  const count = countOf({ clock: policy.clock, duration: policy.duration });
  const first = dayOf(started_at, time_zone);
  const last =
    policy.clock === 'calendar_months'
      ? first.add({ months: count })
      : first.add({ days: policy.count_first_day ? count - 1 : count });
  return endOfDay(last, time_zone);
}

const percent = (text: string): number => Number.parseFloat(text) / 100;

const toInstant = (ms: number): string => new Date(Math.round(ms)).toISOString();

/**
 * When a timer under `policy` that starts now warns, falls due and escalates.
 * @param time_zone IANA name, of the jurisdiction
 * @param named_at the instant that somebody named instead of the policy's; it stands on the time line
 */
export function schedule(policy: Policy, started_at: Date, time_zone: string, named_at: Date | null = null): Schedule {
  const start = started_at.getTime();
  const due_at = named_at ?? dueAt(policy, started_at, time_zone);
  const span = due_at.getTime() - start;
  const warn_at = policy.warn_at.map(percent).sort((a, b) => a - b);
  const escalate = policy.escalate.toSorted((a, b) => percent(a.after) - percent(b.after));
  const steps: TimerStep[] = [
    ...warn_at.map(share => ({ kind: 'warn' as const, share })),
    { kind: 'breach' as const, share: 1 },
    ...escalate.map(({ after, to }, index) => ({
      kind: 'escalate' as const,
      share: 1 + percent(after),
      level: index + 1,
      to,
    })),
  ].map(step => ({ at: toInstant(start + span * step.share), ...step }));
  return {
    started_at,
    clock: named_at ? 'elapsed' : policy.clock,
    due_at,
    steps,
    next_step_at: nextOf(steps),
  };
}

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

/** A timer that rests, with what its reckoning goes on from. */
export interface Paused {
  clock: Clock;
  started_at: Date;
  due_at: Date;
  steps: readonly TimerStep[];
  paused_at: Date;
  /** How long it rested before this pause. */
  rested_ms: number;
  count_first_day: boolean;
  time_zone: string;
}

/**
 * The schedule of a timer that goes on at `now`. `elapsed` keeps what was left; a day clock the number of days whose end was not
 * reached before the pause, and counts on with today if its end lies ahead. Warnings and escalations stand again at their share
 * of the span without pauses.
 */
export function resumeSchedule(timer: Paused, now: Date): Omit<Schedule, 'started_at' | 'clock'> & { rested_ms: number } {
  const pause = now.getTime() - timer.paused_at.getTime();
  const due_at = timer.clock === 'elapsed' ? new Date(timer.due_at.getTime() + pause) : countOn(timer, now);
  const rested_ms = timer.rested_ms + pause;
  const origin = timer.started_at.getTime() + rested_ms;
  const span = due_at.getTime() - origin;
  const moved = due_at.getTime() - timer.due_at.getTime();
  const at = (step: TimerStep): number => {
    // Rows of an earlier version know no shares.
    if (step.share === undefined) return Date.parse(step.at) + moved;
    const ms = origin + span * step.share;
    return step.kind === 'warn' ? Math.max(ms, now.getTime()) : ms;
  };
  const steps = timer.steps.map(step => ({ ...step, at: toInstant(at(step)) }));
  return { due_at, steps, next_step_at: nextOf(steps), rested_ms };
}

/** The day on which it starts never counts unless the rule says so, so a pause brings no deadline forward. */
function countOn({ started_at, due_at, paused_at, count_first_day, time_zone }: Paused, now: Date): Date {
  const first = dayOf(started_at, time_zone).add({ days: count_first_day ? 0 : 1 });
  const left = later(openDay(paused_at, time_zone), first).until(dayOf(due_at, time_zone)).days;
  if (left < 0) return due_at;
  return endOfDay(later(openDay(now, time_zone), first).add({ days: left }), time_zone);
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
export const withExpiry = (steps: readonly TimerStep[], at: Date): TimerStep[] =>
  [...steps, { at: at.toISOString(), kind: 'expire' as const }].sort((a, b) => Date.parse(a.at) - Date.parse(b.at));
