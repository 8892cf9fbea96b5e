import type { AgencyKind, Service, Stage, Urgency } from './codes.ts';

/**
 * Deadlines: when they warn, fall due and escalate, and what a pause does to that. Pure; instants are handed in. The clock
 * known so far is `elapsed` (a day is 24 hours, whatever the clocks on the wall do); policies that stand for working time say
 * so in `stands_for`.
 */

export interface Policy {
  name: string;
  /** The most specific policy that fits wins. */
  applies_to: { service?: Service; urgency?: Urgency; agency_kind?: AgencyKind; stage?: Stage };
  kind: 'deadline';
  clock: 'elapsed';
  /** ISO 8601: days, hours, minutes, seconds */
  duration: string;
  /** What the rule means, where `elapsed` is only its equivalent. */
  stands_for?: string;
  /** Percent of the span from start to due. */
  warn_at: readonly string[];
  on_breach?: 'expire_offer' | 'resume_respond';
  /** Percent of the span beyond due. */
  escalate: readonly { after: string; to: EscalationTarget }[];
  source: string;
}

export type EscalationTarget = 'responsible' | 'supervisor' | 'coordinator';

/** What is still to happen to a timer; `at` in RFC 3339, earliest first. */
export interface TimerStep {
  at: string;
  kind: 'warn' | 'breach' | 'escalate';
  level?: number;
  to?: EscalationTarget;
}

export interface Schedule {
  started_at: Date;
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

/** Milliseconds of an `elapsed` duration. @throws RangeError for one that is not of days and smaller */
export function durationMs(duration: string): number {
  const match = /^P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?$/.exec(duration);
  if (!match || duration.endsWith('P') || duration.endsWith('T')) throw new RangeError(`not an elapsed duration: ${duration}`);
  const [weeks = 0, days = 0, hours = 0, minutes = 0, seconds = 0] = match.slice(1).map(part => Number(part ?? 0));
  return ((((weeks * 7 + days) * 24 + hours) * 60 + minutes) * 60 + seconds) * 1_000;
}

const percent = (text: string): number => Number.parseFloat(text) / 100;

/**
 * When a timer under `policy` that starts now warns, falls due and escalates.
 * @param named_at the day that somebody named instead of the policy's
 */
export function schedule(policy: Policy, started_at: Date, named_at: Date | null = null): Schedule {
  const start = started_at.getTime();
  const due = named_at?.getTime() ?? start + durationMs(policy.duration);
  const span = due - start;
  const at = (ms: number) => new Date(ms).toISOString();
  const warn_at = policy.warn_at.map(percent).sort((a, b) => a - b);
  const escalate = policy.escalate.toSorted((a, b) => percent(a.after) - percent(b.after));
  const steps: TimerStep[] = [
    ...warn_at.map(share => ({ at: at(start + span * share), kind: 'warn' as const })),
    { at: at(due), kind: 'breach' as const },
    ...escalate.map(({ after, to }, index) => ({
      at: at(due + span * percent(after)),
      kind: 'escalate' as const,
      level: index + 1,
      to,
    })),
  ];
  return { started_at, due_at: new Date(due), steps, next_step_at: new Date(steps[0]!.at) };
}

/** What falls due by `now`, and what is left after it. */
export function takeDue(
  steps: readonly TimerStep[],
  now: Date,
): { due: TimerStep[]; left: TimerStep[]; next_step_at: Date | null } {
  const count = steps.filter(step => Date.parse(step.at) <= now.getTime()).length;
  const left = steps.slice(count);
  return { due: steps.slice(0, count), left, next_step_at: left[0] ? new Date(left[0].at) : null };
}

/** The schedule of a timer that was paused at `paused_at` and goes on at `now`: everything ahead moves by the pause. */
export function resumeSchedule(
  timer: { due_at: Date; steps: readonly TimerStep[]; paused_at: Date },
  now: Date,
): Omit<Schedule, 'started_at'> {
  const pause = now.getTime() - timer.paused_at.getTime();
  const steps = timer.steps.map(step => ({ ...step, at: new Date(Date.parse(step.at) + pause).toISOString() }));
  return {
    due_at: new Date(timer.due_at.getTime() + pause),
    steps,
    next_step_at: steps[0] ? new Date(steps[0].at) : null,
  };
}
