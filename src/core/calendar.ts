import type { Fault, Report } from './problem.ts';
import { dayOf, endOfDay, readingOf } from './wall-clock.ts';

/**
 * Calendars: on which days and when an agency or a jurisdiction is open ("Deadlines and floors", section "Calendars"). Pure.
 * The most specific wins: holiday, then season, then week.
 */

export const WEEKDAYS = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const;
export type Weekday = (typeof WEEKDAYS)[number];

/** `HH:MM` on the wall; `24:00` closes at the end of the day. A shift over midnight is two of these, on two days. */
export type Interval = readonly [open: string, close: string];

/** A weekday that is missing is closed. */
export type Days = { readonly [day in Weekday]?: readonly Interval[] };

export const HOLIDAY_STATUSES = ['fixed', 'estimated', 'announced'] as const;

/** Dates are ISO 8601 and inclusive, also the last of a range. */
export interface Calendar {
  id: string;
  name: string;
  /** IANA name. */
  time_zone: string;
  /** Of those that hold on a day the one with the later `valid_from` wins; where none does it is closed. */
  weeks: readonly { valid_from: string; valid_to?: string; days: Days }[];
  /** No hours: closed. Its hours hold whatever the weekday. */
  holidays: readonly { date: string; name: string; hours: readonly Interval[]; status: (typeof HOLIDAY_STATUSES)[number] }[];
  /** Of those that hold on a day the one with the later `from` wins. */
  seasons: readonly { name: string; from: string; to: string; days: Days }[];
  holiday_rules: readonly HolidayRule[];
}

/** Closed for `length` days from the same day of each year of a calendar, which is an estimate; clipped to the month's last. */
export interface HolidayRule {
  name: string;
  /** As `Temporal` knows it: `iso8601`, `islamic-umalqura`, … */
  calendar: string;
  /** Its place in the year, from 1. */
  month: number;
  day: number;
  length: number;
}

/** Milliseconds since 1970; `to` is the first at which it is closed. */
export interface Span {
  from: number;
  to: number;
}

/** What set a day's hours; `none`: nothing is said of the day, and it is closed. */
export type SetBy = 'holiday' | 'season' | 'week' | 'none';

export interface OpenDay {
  /** In order, apart from one another, none empty. */
  spans: readonly Span[];
  set_by: SetBy;
  /** Of the holiday or the season. */
  name?: string;
}

/** A calendar to reckon with. It keeps what it has looked up; days are counted from 1970-01-01. */
export interface CompiledCalendar {
  readonly time_zone: string;
  /** The day that it is on the wall. */
  dayOf(at: number): number;
  /** The last millisecond of a day. */
  endOf(day: number): number;
  hoursOf(day: number): OpenDay;
}

/** What is said of a day, in readings. */
export interface DayRule {
  hours: readonly Interval[];
  set_by: SetBy;
  name?: string;
}

const DAY = 86_400_000;
/** An announced holiday replaces the estimates of its name that are at most so many days away. */
const NEAR_DAYS = 7;
const CLOSED: DayRule = { hours: [], set_by: 'none' };

/** Days since 1970-01-01 of an ISO date. */
export const dayNumber = (date: string): number => Date.parse(`${date}T00:00Z`) / DAY;

export const dateOf = (day: number): string => new Date(day * DAY).toISOString().slice(0, 10);

/** 1970-01-01 was a Thursday. */
const weekdayOf = (day: number): Weekday => WEEKDAYS[(((day + 3) % 7) + 7) % 7]!;

export const minutesOf = (reading: string): number => Number(reading.slice(0, 2)) * 60 + Number(reading.slice(3));

/** How long it is open by the clock on the wall. */
const minutesOpen = (hours: readonly Interval[]): number =>
  hours.reduce((sum, [open, close]) => sum + minutesOf(close) - minutesOf(open), 0);

type Holiday = Calendar['holidays'][number];
const STANDING: Record<Holiday['status'], number> = { announced: 2, fixed: 1, estimated: 0 };

/** Of two on one date: announced before fixed before estimated, then the one that is open for less. */
const outranks = (a: Holiday, b: Holiday): boolean =>
  STANDING[a.status] === STANDING[b.status]
    ? minutesOpen(a.hours) < minutesOpen(b.hours)
    : STANDING[a.status] > STANDING[b.status];

/**
 * Whether an announcement replaces an estimate of that name from day `first` to day `last`: one of the same name, exactly, that
 * is at most a week away from it.
 */
function announcements(holidays: readonly Holiday[]): (name: string, first: number, last: number) => boolean {
  const announced = Map.groupBy(
    holidays.filter(({ status }) => status === 'announced'),
    ({ name }) => name,
  );
  const near = (day: number, first: number, last: number) => day >= first - NEAR_DAYS && day <= last + NEAR_DAYS;
  return (name, first, last) => (announced.get(name) ?? []).some(({ date }) => near(dayNumber(date), first, last));
}

/** The days of the ISO year `year` on which a rule begins; of a year that has no such month, none. */
function beginnings({ calendar, month, day }: HolidayRule, year: number): number[] {
  const yearOf = (date: string) => Temporal.PlainDate.from(date).withCalendar(calendar).year;
  const [first, last] = [yearOf(`${year}-01-01`), yearOf(`${year}-12-31`)];
  return Array.from({ length: last - first + 1 }, (_, i) => first + i)
    .filter(year => month <= Temporal.PlainDate.from({ calendar, year, month: 1, day: 1 }).monthsInYear)
    .map(year => Temporal.PlainDate.from({ calendar, year, month, day }).withCalendar('iso8601'))
    .filter(date => date.year === year)
    .map(date => dayNumber(date.toString()));
}

/** What is said of each day, dated holidays before rules. An announcement replaces the whole of a rule's expansion near it. */
export function dayRules({ weeks, holidays, seasons, holiday_rules }: Calendar): (day: number) => DayRule {
  const replaced = announcements(holidays);
  const dated = new Map<string, Holiday>();
  for (const holiday of holidays) {
    const day = dayNumber(holiday.date);
    if (holiday.status === 'estimated' && replaced(holiday.name, day, day)) continue;
    const other = dated.get(holiday.date);
    if (!other || outranks(holiday, other)) dated.set(holiday.date, holiday);
  }
  const expanded = new Map<number, Map<number, string>>();
  const expand = (year: number): Map<number, string> => {
    const days = new Map<number, string>();
    for (const rule of holiday_rules) {
      for (const first of beginnings(rule, year)) {
        if (replaced(rule.name, first, first + rule.length - 1)) continue;
        for (let day = first; day < first + rule.length; day++) if (!days.has(day)) days.set(day, rule.name);
      }
    }
    return days;
  };
  const byRule = (day: number, year: number): string | undefined => {
    if (!expanded.has(year)) expanded.set(year, expand(year));
    return expanded.get(year)!.get(day);
  };
  // The later first, and of two that begin together the one that is listed last.
  const by_week = weeks.toReversed().sort((a, b) => dayNumber(b.valid_from) - dayNumber(a.valid_from));
  const by_season = seasons.toReversed().sort((a, b) => dayNumber(b.from) - dayNumber(a.from));
  return day => {
    const date = dateOf(day);
    const year = Number(date.slice(0, 4));
    const holiday = dated.get(date);
    if (holiday) return { hours: holiday.hours, set_by: 'holiday', name: holiday.name };
    const name = holiday_rules.length > 0 ? (byRule(day, year) ?? byRule(day, year - 1)) : undefined;
    if (name !== undefined) return { hours: [], set_by: 'holiday', name };
    const weekday = weekdayOf(day);
    const season = by_season.find(({ from, to }) => from <= date && date <= to);
    if (season) return { hours: season.days[weekday] ?? [], set_by: 'season', name: season.name };
    const week = by_week.find(({ valid_from, valid_to }) => valid_from <= date && (valid_to === undefined || date <= valid_to));
    return week ? { hours: week.days[weekday] ?? [], set_by: 'week' } : CLOSED;
  };
}

/** A day's hours on the time line: in order, those that touch or overlap as one, without those that a gap swallows. */
function spansOf(hours: readonly Interval[], day: number, time_zone: string): Span[] {
  if (hours.length === 0) return [];
  const date = Temporal.PlainDate.from(dateOf(day));
  return merged(
    hours.map(([open, close]) => ({
      from: readingOf(date, minutesOf(open), time_zone, true),
      to: readingOf(date, minutesOf(close), time_zone, false),
    })),
  );
}

/** In order, those that touch or overlap as one, without empty ones. */
export function merged(spans: readonly Span[]): Span[] {
  const apart: Span[] = [];
  for (const { from, to } of spans.filter(({ from, to }) => from < to).sort((a, b) => a.from - b.from)) {
    const before = apart.at(-1);
    if (before && from <= before.to) before.to = Math.max(before.to, to);
    else apart.push({ from, to });
  }
  return apart;
}

/** The day on the wall, by the zone's offset where that does not change from one UTC midnight to the next. */
function dayFinder(time_zone: string): (at: number) => number {
  const offsets = new Map<number, number | null>();
  const offsetOf = (utc_day: number): number | null => {
    const from = Temporal.Instant.fromEpochMilliseconds(utc_day * DAY - 1).toZonedDateTimeISO(time_zone);
    const change = from.getTimeZoneTransition('next')?.epochMilliseconds;
    if (change !== undefined && change < (utc_day + 1) * DAY) return null;
    return from.offsetNanoseconds / 1_000_000;
  };
  return at => {
    const utc_day = Math.floor(at / DAY);
    let offset = offsets.get(utc_day);
    if (offset === undefined) {
      offset = offsetOf(utc_day);
      offsets.set(utc_day, offset);
    }
    return offset === null ? dayNumber(dayOf(new Date(at), time_zone).toString()) : Math.floor((at + offset) / DAY);
  };
}

/** What `of` says of a day, asked once. */
function kept<T>(of: (day: number) => T): (day: number) => T {
  const known = new Map<number, T>();
  return day => {
    const before = known.get(day);
    if (before !== undefined) return before;
    const now = of(day);
    known.set(day, now);
    return now;
  };
}

/**
 * A calendar to reckon with, of one that `checkCalendar` finds nothing wrong with. It serves any number of reckonings: each day
 * is worked out once.
 * @throws RangeError for a time zone that is not known
 */
export function compileCalendar(calendar: Calendar): CompiledCalendar {
  const { time_zone } = calendar;
  Temporal.Instant.fromEpochMilliseconds(0).toZonedDateTimeISO(time_zone);
  const ruleOf = dayRules(calendar);
  return {
    time_zone,
    dayOf: dayFinder(time_zone),
    endOf: kept(day => endOfDay(Temporal.PlainDate.from(dateOf(day)), time_zone).getTime()),
    hoursOf: kept(day => {
      const { hours, ...rule } = ruleOf(day);
      return { spans: spansOf(hours, day, time_zone), ...rule };
    }),
  };
}

/** For clocks that look at no calendar. */
export const TIME_LINE: CompiledCalendar = compileCalendar({
  id: '',
  name: '',
  time_zone: 'UTC',
  weeks: [],
  holidays: [],
  seasons: [],
  holiday_rules: [],
});

/** When it is open on an ISO date, in order; `to` is the first instant at which it is closed. */
export const openSpans = (calendar: CompiledCalendar, date: string): { from: Date; to: Date }[] =>
  calendar.hoursOf(dayNumber(date)).spans.map(({ from, to }) => ({ from: new Date(from), to: new Date(to) }));

/** Within so many days of the first of each week and season a calendar has to be open: ten years. */
const OPENS_WITHIN_DAYS = 3_653;
/** Enough for each month of each calendar to have had its greatest length. */
const SAMPLE_YEARS = 40;

/**
 * What is wrong with a calendar: nothing, or each fault with a JSON pointer. Takes one of the right shape, and holds its values to
 * what they mean; whether it is ever open is looked at when all else is right.
 */
export function checkCalendar(calendar: Calendar): Fault[] {
  const faults: Fault[] = [];
  const report: Report = (pointer, detail) => faults.push({ pointer, detail });
  if (!isZone(calendar.time_zone)) report('/time_zone', 'is not a time zone of the IANA database');
  for (const [i, { valid_from, valid_to, days }] of calendar.weeks.entries()) {
    checkRange(`/weeks/${i}`, ['valid_from', valid_from], ['valid_to', valid_to], report);
    checkDays(`/weeks/${i}/days`, days, report);
    if (calendar.weeks.slice(0, i).some(other => other.valid_from === valid_from))
      report(`/weeks/${i}/valid_from`, 'is that of another week');
  }
  for (const [i, { date, hours, status }] of calendar.holidays.entries()) {
    if (!isDate(date)) report(`/holidays/${i}/date`, 'is not a date');
    if (calendar.holidays.slice(0, i).some(other => other.date === date && other.status === status))
      report(`/holidays/${i}/date`, 'is that of another holiday of this status');
    if (!HOLIDAY_STATUSES.includes(status)) report(`/holidays/${i}/status`, 'is not fixed, estimated or announced');
    checkHours(`/holidays/${i}/hours`, hours, report);
  }
  for (const [i, { from, to, days }] of calendar.seasons.entries()) {
    checkRange(`/seasons/${i}`, ['from', from], ['to', to], report);
    checkDays(`/seasons/${i}/days`, days, report);
    if (calendar.seasons.slice(0, i).some(other => other.from === from))
      report(`/seasons/${i}/from`, 'is that of another season');
  }
  for (const [i, rule] of calendar.holiday_rules.entries()) checkRule(`/holiday_rules/${i}`, rule, report);
  if (faults.length === 0 && !opens(calendar)) report('', 'is never open');
  return faults;
}

/** Whether it is the name of a zone in the IANA database. */
export function isZone(name: string): boolean {
  // To Temporal an offset is a zone, though it knows no law, and so is an instant that names one.
  if (!/^[a-z]/i.test(name)) return false;
  try {
    Temporal.Instant.fromEpochMilliseconds(0).toZonedDateTimeISO(name);
    return true;
  } catch {
    return false;
  }
}

/** Whether it is a day of ISO 8601 that there is. */
export const isDate = (text: string): boolean => /^\d{4}-\d\d-\d\d$/.test(text) && dateExists(text);

function dateExists(text: string): boolean {
  const day = dayNumber(text);
  return !Number.isNaN(day) && dateOf(day) === text;
}

function checkRange(at: string, [first, from]: [string, string], [last, to]: [string, string?], report: Report): void {
  if (!isDate(from)) report(`${at}/${first}`, 'is not a date');
  if (to === undefined) return;
  if (!isDate(to)) report(`${at}/${last}`, 'is not a date');
  else if (to < from) report(`${at}/${last}`, `lies before ${first}`);
}

function checkDays(at: string, days: Days, report: Report): void {
  for (const [weekday, hours] of Object.entries(days)) {
    const pointer = `${at}/${weekday.replaceAll('~', '~0').replaceAll('/', '~1')}`;
    if (!WEEKDAYS.includes(weekday as Weekday)) report(pointer, 'is not one of mon, tue, wed, thu, fri, sat, sun');
    checkHours(pointer, hours, report);
  }
}

/** Intervals may touch; what overlaps is taken for a slip of the pen. */
function checkHours(at: string, hours: readonly Interval[], report: Report): void {
  const sound: { from: number; to: number }[] = [];
  for (const [i, [open, close]] of hours.entries()) {
    const opens = /^([01]\d|2[0-3]):[0-5]\d$/.test(open);
    const closes = /^(([01]\d|2[0-3]):[0-5]\d|24:00)$/.test(close);
    if (!opens) report(`${at}/${i}/0`, 'is not a time from 00:00 to 23:59');
    if (!closes) report(`${at}/${i}/1`, 'is not a time from 00:01 to 24:00');
    if (!opens || !closes) continue;
    const [from, to] = [minutesOf(open), minutesOf(close)];
    if (to <= from) report(`${at}/${i}/1`, 'does not lie behind the opening; a shift over midnight is two intervals');
    else if (sound.some(other => from < other.to && other.from < to)) report(`${at}/${i}`, 'overlaps another interval');
    else sound.push({ from, to });
  }
}

function checkRule(at: string, { calendar, month, day, length }: HolidayRule, report: Report): void {
  if (!Number.isInteger(length) || length < 1 || length > 366) report(`${at}/length`, 'is not from 1 to 366 days');
  const lengths = monthLengths(calendar, month);
  if (lengths === null) report(`${at}/calendar`, 'is not a calendar that is known here');
  else if (lengths.length === 0) report(`${at}/month`, 'is not a month of that calendar');
  else if (!Number.isInteger(day) || day < 1 || day > Math.max(...lengths)) report(`${at}/day`, 'is not a day of that month');
}

/** How long a month is in the years that have it; null for a calendar that is not known. */
function monthLengths(calendar: string, month: number): number[] | null {
  try {
    const { year } = Temporal.PlainDate.from('2000-01-01').withCalendar(calendar);
    if (!Number.isInteger(month) || month < 1) return [];
    return Array.from({ length: SAMPLE_YEARS }, (_, i) => ({ calendar, year: year + i, day: 1 }))
      .filter(first => month <= Temporal.PlainDate.from({ ...first, month: 1 }).monthsInYear)
      .map(first => Temporal.PlainDate.from({ ...first, month }).daysInMonth);
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
}

function opens(calendar: Calendar): boolean {
  const ruleOf = kept(dayRules(calendar));
  const firsts = [...calendar.weeks.map(week => week.valid_from), ...calendar.seasons.map(season => season.from)].map(dayNumber);
  return firsts.some(first => {
    for (let day = first; day <= first + OPENS_WITHIN_DAYS; day++) if (ruleOf(day).hours.length > 0) return true;
    return false;
  });
}
