import { type Calendar, type CompiledCalendar, compileCalendar, dateOf, dayNumber } from './calendar.ts';
import { type Stage, URGENCIES } from './codes.ts';
import { type BreachEffect, CASE_TIMERS, LIFE_SAFETY, type Policy, REFERRAL_TIMERS, TIMER_NAMES } from './policy.ts';
import type { Fault, Report } from './problem.ts';
import { type ClockRule, countOf, durationMs, reckon } from './reckoning.ts';

/**
 * Whether the clocks of a pack hold what they promise ("Deadlines and floors"): each ends, an emergency's never stretches, a floor
 * guards something and is never breached, and for all that happens there is one policy and no doubt which. Pure.
 */

/** What is looked at of a pack. */
interface Clocks {
  jurisdiction: string;
  stages: readonly { stage: Stage }[];
  policies: readonly Policy[];
}

/** A calendar that policies are reckoned on. */
export interface Reckoned {
  calendar: Calendar;
  compiled: CompiledCalendar;
}

/** The clocks at whose breach each effect has something to work on. */
const EFFECTIVE: Record<BreachEffect, readonly string[]> = {
  expire_offer: ['acknowledge', 'respond', 'inform', 'waitlist_review'],
  resume_respond: ['inform'],
};

/** Of a negative decision. */
const WINDOW = 'reconsideration_window';

/** The least that the Council of Europe's convention leaves for recovery and reflection. */
const LEAST_RECOVERY_DAYS = 30;
/** User-assigned in ISO 3166-1: no country has such a code, and no convention binds it. */
const USER_ASSIGNED = /^(AA|Q[M-Z]|X[A-Z]|ZZ)/;

/** Ten times as long as a clock ran. */
const MOST_PERCENT = 1_000;

/** A case itself is of no service and has no urgency, so a policy that asks for one would never be chosen. */
const NOT_OF_CASES = ['service', 'urgency'] as const;

const isOfReferral = (name: string): boolean => REFERRAL_TIMERS.some(it => it === name);

/**
 * Reports what is wrong with the policies of a pack.
 * @param calendars that of the jurisdiction, then those that agencies may have; none: no policy is reckoned
 */
export function checkPolicies(pack: Clocks, calendars: readonly Reckoned[], report: Report): void {
  const ends = endsOn(calendars);
  for (const [i, policy] of pack.policies.entries()) {
    const at = `/policies/${i}`;
    if (!TIMER_NAMES.some(name => name === policy.name)) report(`${at}/name`, 'is not the name of a timer');
    const { stage } = policy.applies_to;
    if (stage && !pack.stages.some(it => it.stage === stage)) report(`${at}/applies_to/stage`, 'is not a stage of this pack');
    if (CASE_TIMERS.some(name => name === policy.name))
      for (const fact of NOT_OF_CASES)
        if (policy.applies_to[fact] !== undefined) report(`${at}/applies_to/${fact}`, 'is nothing that a case itself has');
    if (isForLife(policy) && policy.clock !== 'elapsed')
      report(`${at}/clock`, 'is not elapsed, as a clock of emergencies and of life and safety is');
    const endless = durationFault(policy) ?? ends(policy);
    if (endless) report(`${at}/duration`, endless);
    if (LIFE_SAFETY.includes(policy.name) && policy.kind === 'deadline' && policy.escalate.length === 0)
      report(`${at}/escalate`, 'has no step, so nobody on duty would be called');
    checkKind(policy, at, report);
    checkSteps(policy, at, report);
    const rival = pack.policies.slice(0, i).findIndex(other => isAmbiguous(other, policy, pack.policies));
    if (rival >= 0) report(`${at}/applies_to`, `may fit together with policy ${rival}, and neither is more specific`);
  }
  checkCover(pack.policies, report);
  checkRecovery(pack, report);
}

/** Never on working hours. Clocks of a case have no urgency unless their policy names one. */
const isForLife = ({ name, applies_to: { urgency } }: Policy): boolean =>
  LIFE_SAFETY.includes(name) || urgency === 'emergency' || (urgency === undefined && isOfReferral(name));

function checkKind({ name, kind, guards = [], warn_at, escalate, on_breach = [] }: Policy, at: string, report: Report): void {
  if (kind === 'deadline') {
    if (guards.length > 0) report(`${at}/guards`, 'are those of a floor');
    if (on_breach.length > 1) report(`${at}/on_breach`, 'has more than one effect');
    if (name === WINDOW) report(`${at}/kind`, 'is a deadline, and this clock is a floor: no service ends before it does');
    for (const [i, effect] of on_breach.entries())
      if (!EFFECTIVE[effect].includes(name)) report(`${at}/on_breach/${i}`, 'has nothing to work on when this clock is breached');
    return;
  }
  if (isOfReferral(name)) report(`${at}/kind`, 'is a floor, and this clock is a deadline');
  if (guards.length === 0) report(`${at}/guards`, 'guards nothing');
  else if (name === WINDOW && !guards.includes('end_service')) report(`${at}/guards`, 'does not guard end_service');
  const never = 'is not for a floor, which is met when it is reached';
  if (warn_at.length > 0) report(`${at}/warn_at`, never);
  if (escalate.length > 0) report(`${at}/escalate`, never);
  if (on_breach.length > 0) report(`${at}/on_breach`, never);
}

function checkSteps({ warn_at, escalate }: Policy, at: string, report: Report): void {
  for (const [i, text] of warn_at.entries()) {
    if (!isPercent(text, 100)) report(`${at}/warn_at/${i}`, 'is not a percentage from 0% to 100%');
    else if (warn_at.slice(0, i).some(other => Number.parseFloat(other) === Number.parseFloat(text)))
      report(`${at}/warn_at/${i}`, 'stands there twice');
  }
  for (const [i, { after }] of escalate.entries())
    if (!isPercent(after, MOST_PERCENT)) report(`${at}/escalate/${i}/after`, `is not a percentage from 0% to ${MOST_PERCENT}%`);
}

const isPercent = (text: string, most: number): boolean => /^\d{1,4}(\.\d{1,3})?%$/.test(text) && Number.parseFloat(text) <= most;

const UNITS: Record<Policy['clock'], string> = {
  elapsed: 'weeks, days, hours, minutes and seconds',
  working_time: 'weeks, days, hours, minutes and seconds',
  calendar_days: 'whole weeks and days',
  calendar_months: 'whole years and months',
  working_days: 'whole days',
};

function durationFault({ clock, duration }: Policy): string | undefined {
  const detail = `is not of ${UNITS[clock]}, or is none`;
  try {
    const amount = clock === 'elapsed' || clock === 'working_time' ? durationMs(duration) : countOf({ clock, duration });
    return amount > 0 ? undefined : detail;
  } catch (error) {
    if (error instanceof RangeError) return detail;
    throw error;
  }
}

/**
 * Says of a policy why it would never fall due. A clock of working hours is started wherever a calendar begins to be another, for
 * there alone a long time may begin in which it is closed.
 */
function endsOn(calendars: readonly Reckoned[]): (policy: Policy) => string | undefined {
  const [own] = calendars;
  const starts = new Map(calendars.map(({ calendar }) => [calendar, [...new Set(changesOf(calendar).map(({ day }) => day))]]));
  const known = new Map<string, string | undefined>();
  const find = (policy: Policy): string | undefined => {
    const works = policy.clock === 'working_days' || policy.clock === 'working_time';
    for (const { calendar, compiled } of policy.calendar === 'jurisdiction' && own ? [own] : calendars) {
      const days = starts.get(calendar)!;
      for (const day of works ? days : days.slice(0, 1))
        if (!isDue(policy, day, compiled)) return `never ends, or not within a hundred years, from ${dateOf(day)} on`;
    }
    return undefined;
  };
  return policy => {
    const { clock, duration, count_first_day, calendar } = policy;
    const key = JSON.stringify([clock, duration, count_first_day, calendar]);
    if (!known.has(key)) known.set(key, find(policy));
    return known.get(key);
  };
}

function isDue(policy: ClockRule, day: number, calendar: CompiledCalendar): boolean {
  try {
    reckon(policy, new Date(`${dateOf(day)}T00:00Z`), calendar);
    return true;
  } catch (error) {
    if (error instanceof RangeError) return false;
    throw error;
  }
}

interface Change {
  pointer: string;
  day: number;
}

/** The days from which on it may be closed for long: where a week or a season begins or has ended, and behind all holidays. */
function changesOf({ weeks, seasons, holidays }: Calendar): Change[] {
  const last = holidays.reduce((last, { date }, i) => (date > holidays[last]!.date ? i : last), 0);
  return [
    ...weeks.flatMap((week, i) => bounds(`/weeks/${i}`, ['valid_from', week.valid_from], ['valid_to', week.valid_to])),
    ...seasons.flatMap((season, i) => bounds(`/seasons/${i}`, ['from', season.from], ['to', season.to])),
    ...(holidays.length > 0 ? [{ pointer: `/holidays/${last}`, day: dayNumber(holidays[last]!.date) + 1 }] : []),
  ];
}

const bounds = (at: string, [first, from]: [string, string], [last, to]: [string, string?]): Change[] => [
  { pointer: `${at}/${first}`, day: dayNumber(from) },
  ...(to === undefined ? [] : [{ pointer: `${at}/${last}`, day: dayNumber(to) + 1 }]),
];

/**
 * Where a calendar that `checkCalendar` finds nothing wrong with is closed for good, today or from a later day on: no clock of
 * working hours could be reckoned along it. The place is what changes on that day.
 */
export function checkStaysOpen(calendar: Calendar, now: Date): Fault[] {
  const compiled = compileCalendar(calendar);
  const today = compiled.dayOf(now.getTime());
  const changes = changesOf(calendar).sort((a, b) => a.day - b.day);
  const { pointer } = changes.findLast(({ day }) => day <= today) ?? { pointer: '/weeks' };
  const ahead = [{ pointer, day: today }, ...changes.filter(({ day }) => day > today)];
  const closing = ahead.find(({ day }) => !isDue({ clock: 'working_days', duration: 'P1D' }, day, compiled));
  return closing ? [{ pointer: closing.pointer, detail: `is closed for ten years from ${dateOf(closing.day)} on` }] : [];
}

type Facts = Policy['applies_to'];

const merged = (a: Policy, b: Policy): Facts => ({ ...a.applies_to, ...b.applies_to });

const fits = (policy: Policy, facts: Facts): boolean =>
  Object.entries(policy.applies_to).every(([fact, value]) => facts[fact as keyof Facts] === value);

const specificity = ({ applies_to }: Policy): number => Object.keys(applies_to).length;

/** Whether both fit the same facts and are equally specific, while no third one that is more so stands before them. */
function isAmbiguous(a: Policy, b: Policy, policies: readonly Policy[]): boolean {
  if (a.name !== b.name || specificity(a) !== specificity(b)) return false;
  const both = merged(a, b);
  if (!fits(a, both)) return false;
  return !policies.some(it => it.name === a.name && specificity(it) > specificity(a) && fits(it, both));
}

function checkCover(policies: readonly Policy[], report: Report): void {
  for (const name of REFERRAL_TIMERS)
    for (const urgency of URGENCIES)
      if (!policies.some(policy => policy.name === name && fits(policy, { urgency })))
        report('/policies', `has no ${name} that fits whatever is ${urgency}`);
}

function checkRecovery({ stages, policies, jurisdiction }: Clocks, report: Report): void {
  if (!stages.some(({ stage }) => stage === 'recovery')) return;
  const recovery = [...policies.entries()].filter(([, { name }]) => name === 'recovery_period');
  if (!recovery.some(([, policy]) => specificity(policy) === 0))
    report('/policies', 'has no recovery_period that fits every case, which the stage recovery is for');
  for (const [i, policy] of recovery) {
    if (policy.kind !== 'floor' || !policy.guards?.includes('conclusive_grounds'))
      report(`/policies/${i}/guards`, 'is not a floor that guards conclusive_grounds');
    if (!USER_ASSIGNED.test(jurisdiction) && !durationFault(policy) && leastDays(policy) < LEAST_RECOVERY_DAYS)
      report(`/policies/${i}/duration`, `is shorter than ${LEAST_RECOVERY_DAYS} calendar days`);
  }
}

const DAY_MS = 86_400_000;
const SHORTEST_MONTH = 28;

/** At least so many calendar days. */
function leastDays({ clock, duration }: Policy): number {
  if (clock === 'elapsed' || clock === 'working_time') return durationMs(duration) / DAY_MS;
  return countOf({ clock, duration }) * (clock === 'calendar_months' ? SHORTEST_MONTH : 1);
}
