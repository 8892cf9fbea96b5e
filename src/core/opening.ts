import { RRuleTemporal } from 'rrule-temporal';
import { isDate, isZone, merged, minutesOf, type Span } from './calendar.ts';
import type { Fault, Report } from './problem.ts';
import { dayOf, readingOf } from './wall-clock.ts';

/**
 * When a service is open: schedules in the words of the Human Services Data Specification (HSDS 3), whose fields are a recurrence
 * rule (RFC 5545) of days and two readings of the clock on the wall. Pure. The rule chooses days; what a day with daylight saving
 * makes of the readings is {@link readingOf}'s to say, as it is for calendars.
 */
export interface Schedule {
  /** Dates are ISO 8601 and inclusive, also `until`. */
  valid_from?: string;
  valid_to?: string;
  /** From which the rule counts; without it from `valid_from`. */
  dtstart?: string;
  /** An IANA name, or an offset such as `+03:00`. */
  timezone: string;
  freq: Frequency;
  interval?: number;
  /** `MO,TU`; of a month also `2MO` and `-1FR`. */
  byday?: string;
  /** `1,15`; `-1` is the last day of the month. */
  bymonthday?: string;
  until?: string;
  count?: number;
  /** `HH:MM`. */
  opens_at: string;
  /** `HH:MM`, or `24:00`; earlier than `opens_at`: on the next day. */
  closes_at: string;
  description?: string;
}

export const FREQUENCIES = ['WEEKLY', 'MONTHLY'] as const;
export type Frequency = (typeof FREQUENCIES)[number];

const DAYS = 'MO|TU|WE|TH|FR|SA|SU';
const BYDAY: Readonly<Record<Frequency, RegExp>> = {
  WEEKLY: new RegExp(`^(?:${DAYS})$`),
  MONTHLY: new RegExp(`^(?:[+-]?[1-5])?(?:${DAYS})$`),
};
const BYMONTHDAY = /^[+-]?(?:[1-9]|[12]\d|3[01])$/;
const OPENS = /^(?:[01]\d|2[0-3]):[0-5]\d$/;
const CLOSES = /^(?:(?:[01]\d|2[0-3]):[0-5]\d|24:00)$/;
const OFFSET = /^[+-](?:0\d|1[0-4]):[0-5]\d$/;
/** What the rules count from lies within these years. */
const YEARS = ['1970', '2199'] as const;

/** What is wrong with them, by pointer into the list, which stands at `where`. */
export function checkSchedules(schedules: readonly Schedule[], where = ''): Fault[] {
  const faults: Fault[] = [];
  const report: Report = (pointer, detail) => faults.push({ pointer, detail });
  for (const [i, schedule] of schedules.entries()) {
    const at = `${where}/${i}`;
    if (!isZone(schedule.timezone) && !OFFSET.test(schedule.timezone)) {
      report(`${at}/timezone`, 'is neither a time zone of the IANA database nor an offset such as +03:00');
    }
    checkDates(at, schedule, report);
    checkRule(at, schedule, report);
    const opens = OPENS.test(schedule.opens_at);
    const closes = CLOSES.test(schedule.closes_at);
    if (!opens) report(`${at}/opens_at`, 'is not a time from 00:00 to 23:59');
    if (!closes) report(`${at}/closes_at`, 'is not a time from 00:00 to 24:00');
    if (opens && schedule.opens_at === schedule.closes_at) {
      report(`${at}/closes_at`, 'is opens_at; the whole day is 00:00 to 24:00');
    }
  }
  return faults;
}

function checkDates(at: string, schedule: Schedule, report: Report): void {
  for (const field of ['valid_from', 'valid_to', 'dtstart', 'until'] as const) {
    const date = schedule[field];
    if (date === undefined) continue;
    if (!isDate(date)) report(`${at}/${field}`, 'is not a date');
    else if (date < YEARS[0] || date > `${YEARS[1]}-12-31`) report(`${at}/${field}`, `is not from ${YEARS[0]} to ${YEARS[1]}`);
  }
  const { valid_from, valid_to, until } = schedule;
  if (valid_from && valid_to && valid_to < valid_from) report(`${at}/valid_to`, 'lies before valid_from');
  const first = firstOf(schedule);
  if (first && until && until < first) report(`${at}/until`, 'lies before the first day');
}

function checkRule(at: string, schedule: Schedule, report: Report): void {
  const { freq, byday, bymonthday, interval = 1, count, until } = schedule;
  if (byday !== undefined && !listOf(byday).every(day => BYDAY[freq].test(day))) {
    report(`${at}/byday`, freq === 'WEEKLY' ? 'is not a list such as MO,TU' : 'is not a list such as MO,2TU,-1FR');
  }
  if (bymonthday !== undefined && freq === 'WEEKLY') report(`${at}/bymonthday`, 'belongs to a MONTHLY schedule');
  else if (bymonthday !== undefined && !listOf(bymonthday).every(day => BYMONTHDAY.test(day))) {
    report(`${at}/bymonthday`, 'is not a list such as 1,15,-1');
  }
  if (count !== undefined && until !== undefined) report(`${at}/count`, 'does not go with until');
  const counts = interval > 1 || count !== undefined || (byday === undefined && bymonthday === undefined);
  if (counts && firstOf(schedule) === undefined) report(`${at}/dtstart`, 'is missing: the rule counts from it');
}

/**
 * When one of these is open, from one instant until before another: in order, those that touch or overlap as one; a span that has
 * begun before, or ends behind, is told whole. Of schedules without fault ({@link checkSchedules}).
 */
export function openSpans(schedules: readonly Schedule[], from: Date, to: Date): Span[] {
  const spans = schedules.flatMap(schedule => spansOf(schedule, from, to));
  return merged(spans).filter(span => span.to > from.getTime() && span.from < to.getTime());
}

function spansOf(schedule: Schedule, from: Date, to: Date): Span[] {
  const { timezone, valid_from = '', valid_to, opens_at, closes_at } = schedule;
  // A night that began the day before may not be over.
  const first = dayOf(from, timezone).subtract({ days: 1 });
  const [opens, closes] = [minutesOf(opens_at), minutesOf(closes_at)];
  return daysOf(schedule, first, dayOf(to, timezone))
    .filter(day => day.toString() >= valid_from && (valid_to === undefined || day.toString() <= valid_to))
    .map(day => ({
      from: readingOf(day, opens, timezone, true),
      to: readingOf(closes < opens ? day.add({ days: 1 }) : day, closes, timezone, false),
    }));
}

/** In a zone without daylight saving: midnight is there on each of its days. */
function daysOf(schedule: Schedule, first: Temporal.PlainDate, last: Temporal.PlainDate): Temporal.PlainDate[] {
  const { freq, interval, count, until, byday, bymonthday } = schedule;
  const rule = new RRuleTemporal({
    freq,
    dtstart: midnight(firstOf(schedule) ?? first),
    ...(interval === undefined ? {} : { interval }),
    ...(count === undefined ? {} : { count }),
    ...(until === undefined ? {} : { until: midnight(until) }),
    ...(byday === undefined ? {} : { byDay: listOf(byday) }),
    ...(bymonthday === undefined ? {} : { byMonthDay: listOf(bymonthday).map(Number) }),
  });
  return rule.between(midnight(first), midnight(last), true).map(at => Temporal.PlainDate.from(at.toPlainDate().toString()));
}

const midnight = (day: Temporal.PlainDate | string): Temporal.ZonedDateTime =>
  Temporal.PlainDate.from(day).toZonedDateTime({ timeZone: 'UTC' });

const firstOf = ({ dtstart, valid_from }: Schedule): string | undefined => dtstart ?? valid_from;

const listOf = (text: string): string[] => text.split(',').map(part => part.trim());
