import { type Calendar, checkCalendar, compileCalendar } from './calendar.ts';
import type { AgencyKind, DecisionKind, LawfulGround, Stage } from './codes.ts';
import { type Crisis, type CrisisPlan, checkPlans } from './crisis.ts';
import type { Policy } from './policy.ts';
import { checkPolicies, checkStaysOpen } from './policy-check.ts';
import type { Fault, Report } from './problem.ts';
import { countOf, durationMs } from './reckoning.ts';
import { checkRoutes, type Firewall, type ServiceRoute } from './routes.ts';
import { MOST_POINTS, type RoutingRules } from './routing.ts';

/**
 * A jurisdiction's rules as one document: its stages in its own words, its clocks, its calendars, who may do what on which ground.
 * Every number says where it comes from: an id of the sourced time limits, a source in words, or that it is illustrative. Pure.
 */

/** A text by language (BCP 47). */
export type Names = Readonly<Record<string, string>>;

interface Sourced {
  source: string;
}

export interface RulePack {
  jurisdiction: string;
  /** Names the pack in the timers that were started under it. */
  name: string;
  /** The jurisdiction's own. */
  calendar_id: string;
  /** Their ids are the same in every deployment. */
  calendars: readonly Calendar[];
  /** Where the hours and holidays of each calendar come from. */
  calendar_sources: readonly (Sourced & { calendar_id: string })[];
  /** Those that the jurisdiction knows, in order; `steps`: what it divides a stage into. */
  stages: readonly (Sourced & { stage: Stage; names: Names; steps?: readonly { names: Names }[] })[];
  decision_kinds: readonly (Sourced & { kind: DecisionKind; names: Names })[];
  policies: readonly Policy[];
  /** How long the service has to run again before an offer expires that fell due while it was down. */
  outage_grace: Sourced & { duration: string };
  consent: ConsentRules;
  /** Which agency kinds may refer on which ground. */
  lawful_grounds: Readonly<Record<LawfulGround, readonly AgencyKind[]>>;
  minimum_standards: readonly (Sourced & { code: string; names: Names })[];
  /** What whoever has the role must have completed. */
  certifications: readonly (Sourced & { role: 'screener'; course: string; names: Names })[];
  routes: readonly ServiceRoute[];
  firewalls: readonly Firewall[];
  routing: Sourced & RoutingRules['routing'];
  crisis_plans: readonly CrisisPlan[];
}

/** A version of a pack as it holds: its calendars stand for themselves, and may have changed since. */
export interface PackInForce extends Omit<RulePack, 'calendars'> {
  calendar_ids: readonly string[];
  version: number;
  /** The crisis under which it holds so. */
  crisis?: Crisis;
}

export const inForce = ({ calendars, ...pack }: RulePack, version: number): PackInForce => ({
  ...pack,
  calendar_ids: calendars.map(({ id }) => id),
  version,
});

export interface ConsentRules {
  adult_age: Sourced & { years: number };
  /** From which age a child's own assent is recorded. */
  child_assent_from_age: Sourced & { years: number };
  /** How long before a grant ends those concerned are told; days and smaller. */
  expiring_notice: Sourced & { duration: string };
  /** How long a grant may be given for: days, or months and years. */
  longest_duration?: Sourced & { duration: string };
}

/**
 * What is wrong with a pack: nothing, or each fault with a JSON pointer. Takes one of the right shape, and holds its values to
 * what they mean.
 * @param known calendars that the pack may name without holding them
 * @param now where the pack is to hold from now on: its calendars have to be open again by and by
 */
export function checkRulePack(pack: RulePack, known: readonly Calendar[] = [], now?: Date): Fault[] {
  const faults: Fault[] = [];
  const report: Report = (pointer, detail) => faults.push({ pointer, detail });
  const calendars = checkCalendars(pack, known, report);
  if (now && calendars.length > 0)
    for (const [i, calendar] of pack.calendars.entries())
      for (const { pointer, detail } of checkStaysOpen(calendar, now)) report(`/calendars/${i}${pointer}`, detail);
  checkStages(pack, report);
  checkLists(pack, report);
  checkRoutes(pack.routes, '/routes', report);
  checkRouting(pack.routing, report);
  checkPlans(pack, report);
  checkConsent(pack.consent, report);
  if (milliseconds(pack.outage_grace.duration) === null)
    report('/outage_grace/duration', 'is not of weeks, days, hours, minutes and seconds, or is more than a hundred years');
  checkPolicies(pack, calendars, report);
  checkNames(pack, '', report);
  return faults;
}

/** @returns those that policies are reckoned on, the jurisdiction's first; none where one of them is unsound */
function checkCalendars({ calendars, calendar_id, calendar_sources }: RulePack, known: readonly Calendar[], report: Report) {
  let is_sound = true;
  for (const [i, calendar] of calendars.entries()) {
    for (const { pointer, detail } of checkCalendar(calendar)) {
      is_sound = false;
      report(`/calendars/${i}${pointer}`, detail);
    }
    if (!calendar_sources.some(it => it.calendar_id === calendar.id)) report(`/calendars/${i}`, 'has no source');
  }
  reportTwice('/calendars', 'id', calendars, report);
  reportTwice('/calendar_sources', 'calendar_id', calendar_sources, report);
  const reachable = [...calendars, ...known];
  const isReachable = (id: string) => reachable.some(calendar => calendar.id === id);
  const unknown = 'is neither a calendar of the pack nor one that exists';
  if (!isReachable(calendar_id)) report('/calendar_id', unknown);
  for (const [i, it] of calendar_sources.entries())
    if (!isReachable(it.calendar_id)) report(`/calendar_sources/${i}/calendar_id`, unknown);
  if (!is_sound || !isReachable(calendar_id)) return [];
  const own = reachable.find(({ id }) => id === calendar_id)!;
  return [own, ...calendars.filter(({ id }) => id !== calendar_id)].map(calendar => ({
    calendar,
    compiled: compileCalendar(calendar),
  }));
}

const ALWAYS: readonly Stage[] = ['reported', 'closed'];

function checkStages({ stages, decision_kinds, routes }: RulePack, report: Report): void {
  const has = (stage: Stage) => stages.some(it => it.stage === stage);
  reportTwice('/stages', 'stage', stages, report);
  for (const stage of ALWAYS) if (!has(stage)) report('/stages', `has no stage ${stage}`);
  if (!has('presumed') && !has('identified')) report('/stages', 'has neither presumed nor identified');
  if (has('recovery') && !decision_kinds.some(({ kind }) => kind === 'reasonable_grounds'))
    report('/decision_kinds', 'has no reasonable_grounds, which leads to the stage recovery');
  for (const [i, { when }] of routes.entries())
    if (when?.stage && !has(when.stage)) report(`/routes/${i}/when/stage`, 'is not a stage of this pack');
}

function checkLists(pack: RulePack, report: Report): void {
  reportTwice('/decision_kinds', 'kind', pack.decision_kinds, report);
  reportTwice('/minimum_standards', 'code', pack.minimum_standards, report);
  reportTwice('/certifications', 'course', pack.certifications, report);
}

function checkRouting({ stale_after, points }: RoutingRules['routing'], report: Report): void {
  if (!milliseconds(stale_after))
    report('/routing/stale_after', 'is not of weeks, days, hours, minutes and seconds, is none, or is more than a hundred years');
  for (const [rule, most] of Object.entries(points))
    if (most > MOST_POINTS) report(`/routing/points/${rule}`, `is more than ${MOST_POINTS}`);
}

function checkConsent({ adult_age, child_assent_from_age, expiring_notice, longest_duration }: ConsentRules, report: Report) {
  if (child_assent_from_age.years > adult_age.years)
    report('/consent/child_assent_from_age/years', 'lies above the age of an adult');
  if (!milliseconds(expiring_notice.duration))
    report(
      '/consent/expiring_notice/duration',
      'is not of weeks, days, hours, minutes and seconds, is none, or is more than a hundred years',
    );
  if (longest_duration && !isOfDaysOrMonths(longest_duration.duration))
    report(
      '/consent/longest_duration/duration',
      'is neither of days nor of months and years, is none, or is more than a hundred years',
    );
}

/** A hundred years: beyond them instants cannot be told any more. */
const MOST = { ms: 36_525 * 86_400_000, calendar_days: 36_525, calendar_months: 1_200 };

/** Of a duration on the time line; null for what is none, or is too long. */
function milliseconds(duration: string): number | null {
  const ms = orNull(() => durationMs(duration));
  return ms !== null && ms <= MOST.ms ? ms : null;
}

const isOfDaysOrMonths = (duration: string): boolean =>
  (['calendar_days', 'calendar_months'] as const).some(clock => {
    const count = orNull(() => countOf({ clock, duration }));
    return count !== null && count <= MOST[clock];
  });

function orNull(count: () => number): number | null {
  try {
    return count();
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
}

function reportTwice<T>(at: string, key: keyof T & string, items: readonly T[], report: Report): void {
  for (const [i, item] of items.entries())
    if (items.slice(0, i).some(other => other[key] === item[key])) report(`${at}/${i}/${key}`, 'stands there twice');
}

/** Wherever they stand: texts have a language and say something, and a source is not left empty. */
function checkNames(node: unknown, at: string, report: Report): void {
  if (typeof node !== 'object' || node === null) return;
  for (const [name, value] of Object.entries(node)) {
    const pointer = `${at}/${name}`;
    if (name === 'calendars') continue;
    if (name === 'source' && !isText(value)) report(pointer, 'is empty: illustrative is a source, too');
    else if (name === 'names') checkTexts(value as Names, pointer, report);
    else checkNames(value, pointer, report);
  }
}

function checkTexts(names: Names, at: string, report: Report): void {
  const languages = Object.keys(names);
  if (languages.length === 0) report(at, 'says nothing in any language');
  if (!languages.every(isLanguage)) report(at, 'has a language that is not a BCP 47 tag');
  if (!Object.values(names).every(isText)) report(at, 'has an empty text');
}

const isText = (value: unknown): boolean => typeof value === 'string' && value.trim() !== '';

function isLanguage(tag: string): boolean {
  try {
    Intl.getCanonicalLocales(tag);
    return true;
  } catch {
    return false;
  }
}
