import { RRuleTemporal } from 'rrule-temporal';
import type { Fault } from './problem.ts';
import { readingOf } from './wall-clock.ts';

/**
 * When a service is open, from its schedules in the words of HSDS 3, whose recurrence rules are those of RFC 5545. Hours that a change
 * to summer time skips begin after it; those that its end repeats begin with the first reading and end with the second. Pure.
 */

export const FREQUENCIES = ['WEEKLY', 'MONTHLY'] as const;

/** One rule of opening: the days on which it falls, and from when to when on each of them by the clocks of its time zone. */
export interface Schedule {
  freq: (typeof FREQUENCIES)[number];
  /** IANA. */
  timezone: string;
  /** `08:00`. */
  opens_at: string;
  /** Not later than `opens_at`: on the day after. `24:00` is the end of the day. */
  closes_at: string;
  /** `MO,TU`; of months also `1MO`, the first Monday, and `-1FR`. */
  byday?: string;
  /** Of months: `1,15`. */
  bymonthday?: string;
  /** Every so many weeks or months, counted from `dtstart`. */
  interval?: number;
  /** From which day it is counted; days are `YYYY-MM-DD`. */
  dtstart?: string;
  valid_from?: string;
  valid_to?: string;
  until?: string;
  count?: number;
  description?: string;
}

/** From when to when, the end excluded. */
export interface OpenSpan {
  from: Date;
  to: Date;
}

const TIME = /^([01]\d|2[0-3]):[0-5]\d$|^24:00$/;
const DAYS = 'MO|TU|WE|TH|FR|SA|SU';
const BYDAY = {
  WEEKLY: new RegExp(`^(${DAYS})(,(${DAYS}))*$`),
  MONTHLY: new RegExp(`^[+-]?[1-5]?(${DAYS})(,[+-]?[1-5]?(${DAYS}))*$`),
};
const BYMONTHDAY = /^-?([1-9]|[12]\d|3[01])(,-?([1-9]|[12]\d|3[01]))*$/;
const DATES = ['dtstart', 'valid_from', 'valid_to', 'until'] as const;

/** What is wrong with schedules of the right shape: each fault by a pointer below `at`. */
export function checkSchedules(schedules: readonly Schedule[], at: string): Fault[] {
  return schedules.flatMap((schedule, i) => {
    const faults: Fault[] = [];
    const report = (field: keyof Schedule, detail: string) => faults.push({ pointer: `${at}/${i}/${field}`, detail });
    const { freq, timezone, opens_at, closes_at, byday, bymonthday, interval = 1, dtstart, valid_from, valid_to } = schedule;
    if (!isTimeZone(timezone)) report('timezone', 'is not a time zone');
    if (!TIME.test(opens_at) || opens_at === '24:00') report('opens_at', 'is not a time of day');
    if (!TIME.test(closes_at)) report('closes_at', 'is not a time of day');
    if (byday !== undefined && !BYDAY[freq].test(byday)) report('byday', 'does not name days as this frequency does');
    if (bymonthday !== undefined && (freq !== 'MONTHLY' || !BYMONTHDAY.test(bymonthday)))
      report('bymonthday', 'does not name days of a month');
    if (byday === undefined && bymonthday === undefined) report('byday', 'is missing: no day is named');
    if (interval > 1 && dtstart === undefined) report('dtstart', 'is missing: from when it is counted');
    if (schedule.count !== undefined && dtstart === undefined) report('dtstart', 'is missing: from when it is counted');
    for (const name of DATES) if (schedule[name] !== undefined && !isDate(schedule[name])) report(name, 'is not a date');
    if (valid_from !== undefined && valid_to !== undefined && valid_to < valid_from) report('valid_to', 'lies before valid_from');
    return faults;
  });
}

/** When a service with these schedules is open between two instants, in order and without overlaps. */
export function openSpans(schedules: readonly Schedule[], from: Date, to: Date): OpenSpan[] {
  const spans = schedules
    .flatMap(schedule => spansOf(schedule, from, to))
    .filter(span => span.to > from && span.from < to && span.from < span.to)
    .sort((a, b) => a.from.getTime() - b.from.getTime());
  const merged: OpenSpan[] = [];
  for (const span of spans) {
    const last = merged.at(-1);
    if (last && span.from <= last.to) last.to = span.to > last.to ? span.to : last.to;
    else merged.push({ ...span });
  }
  return merged;
}

/** Whether it is open at that instant; null: nobody knows its hours. */
export const isOpenAt = (spans: readonly OpenSpan[] | null, at: Date): boolean | null =>
  spans === null ? null : spans.some(({ from, to }) => from <= at && at < to);

const DAY_MS = 86_400_000;
/** A rule that counts from no day in particular is looked at from this Monday on. */
const ANY_MONDAY = '2024-01-01';

function spansOf(schedule: Schedule, from: Date, to: Date): OpenSpan[] {
  const { timezone, opens_at, closes_at, valid_from = '0000-01-01', valid_to = '9999-12-31' } = schedule;
  // What began the day before may still be open.
  return ruleOf(schedule)
    .between(new Date(from.getTime() - 2 * DAY_MS), new Date(to.getTime() + DAY_MS), true)
    .map(day => day.toPlainDate())
    .filter(day => valid_from <= day.toString() && day.toString() <= valid_to)
    .map(day => {
      const closing = closes_at <= opens_at ? day.add({ days: 1 }) : day;
      return {
        from: new Date(readingOf(day, minutesOf(opens_at), timezone, true)),
        to: new Date(readingOf(closing, minutesOf(closes_at), timezone, false)),
      };
    });
}

/** The days of a schedule: at noon, which no clock skips or repeats. */
function ruleOf({ freq, timezone, byday, bymonthday, interval = 1, dtstart, until, count }: Schedule): RRuleTemporal {
  const parts = [
    `FREQ=${freq}`,
    `INTERVAL=${interval}`,
    ...(byday === undefined ? [] : [`BYDAY=${byday}`]),
    ...(bymonthday === undefined ? [] : [`BYMONTHDAY=${bymonthday}`]),
    ...(until === undefined ? [] : [`UNTIL=${until.replaceAll('-', '')}T235959Z`]),
    ...(count === undefined ? [] : [`COUNT=${count}`]),
  ];
  const start = (dtstart ?? ANY_MONDAY).replaceAll('-', '');
  return new RRuleTemporal({ rruleString: `DTSTART;TZID=${timezone}:${start}T120000\nRRULE:${parts.join(';')}` });
}

const minutesOf = (time: string): number => Number(time.slice(0, 2)) * 60 + Number(time.slice(3));

function isTimeZone(name: string): boolean {
  try {
    Temporal.Instant.fromEpochMilliseconds(0).toZonedDateTimeISO(name);
    return true;
  } catch {
    return false;
  }
}

function isDate(text: string): boolean {
  try {
    return Temporal.PlainDate.from(text, { overflow: 'reject' }).toString() === text;
  } catch {
    return false;
  }
}
