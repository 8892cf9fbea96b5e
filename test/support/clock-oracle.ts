/**
 * When a clock is due, found by living through it: a minute at a time on the time line, each minute asked what the clock on the
 * wall shows, whether the calendar is open and whether the timer runs. No dates are added, no spans cut; it is slow, and it shares
 * no thought with the reckoning that it is held against. Offsets and foreign calendars come from `Intl`, not from `Temporal`.
 *
 * Whole minutes in; out come whole minutes, or the last millisecond of a day.
 */

export type OracleClock = 'elapsed' | 'calendar_days' | 'calendar_months' | 'working_days' | 'working_time';

export interface OraclePolicy {
  clock: OracleClock;
  /** ISO 8601, in units that suit the clock. */
  duration: string;
  count_first_day?: boolean;
}

export const WEEKDAYS = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const;
export type Weekday = (typeof WEEKDAYS)[number];
export type Hours = [open: string, close: string][];
export type Days = Partial<Record<Weekday, Hours>>;

export interface OracleHoliday {
  date: string;
  name: string;
  hours: Hours;
  status: 'fixed' | 'estimated' | 'announced';
}

export interface OracleRule {
  name: string;
  calendar: 'iso8601' | 'islamic-umalqura';
  month: number;
  day: number;
  length: number;
}

export interface OracleCalendar {
  id: string;
  name: string;
  time_zone: string;
  weeks: { valid_from: string; valid_to?: string; days: Days }[];
  holidays: OracleHoliday[];
  seasons: { name: string; from: string; to: string; days: Days }[];
  holiday_rules: OracleRule[];
}

export interface OraclePause {
  from: Date;
  to: Date;
}

/** What the contract leaves open, and where a reader could well choose otherwise. */
export interface Choices {
  /**
   * `by_name`: who announces a holiday of a Hijri rule's name has said when it is, and that year's estimate is gone, whichever
   * days it had. `by_date`: an announcement speaks of its own date alone.
   */
  announcements: 'by_name' | 'by_date';
  /** What a weekday has that a season does not name: nothing, or what the week says. */
  unnamed_in_season: 'closed' | 'as_in_week';
  /** Whether the starting day, which does not count, comes to count because the timer was resumed on it. */
  resumed_on_starting_day: 'never_counts' | 'counts';
}

export const CHOICES: Choices = {
  announcements: 'by_name',
  unnamed_in_season: 'closed',
  resumed_on_starting_day: 'never_counts',
};

const MINUTE = 60_000;
const DAY = 1_440;
/** Days are numbers, 1970-01-01 is 0; so are minutes, on the time line as on the wall. */
const FIRST = Date.UTC(2014, 0, 1) / MINUTE;
const LAST = Date.UTC(2052, 0, 1) / MINUTE;
const CLOSED = -1;

/** How far from an estimate an announcement can lie and still be about it. */
const NEARBY = 15;

export const dayOf = (wall_minute: number) => Math.floor(wall_minute / DAY);
export const dateOf = (day: number) => new Date(day * DAY * MINUTE).toISOString().slice(0, 10);
export const dayNumber = (date: string) => Date.parse(`${date}T00:00:00Z`) / MINUTE / DAY;
/** 1970-01-01 was a Thursday. */
export const weekdayOf = (day: number): Weekday => WEEKDAYS[(day + 3) % 7]!;
export const minuteOf = (at: Date) => {
  const minute = at.getTime() / MINUTE;
  if (!Number.isInteger(minute)) throw new RangeError(`${at.toISOString()} is not a whole minute`);
  return minute;
};
const instant = (minute: number) => new Date(minute * MINUTE);
const timeOfDay = (time: string) => Number(time.slice(0, 2)) * 60 + Number(time.slice(3));

/** The clock on the wall of a time zone. */
export interface Wall {
  /** Minutes at which it is put forward (`by` > 0) or back. */
  readonly changes: readonly { at: number; by: number }[];
  /** What it shows. */
  shows(minute: number): number;
  /** The latest that it has shown so far. */
  hasShown(minute: number): number;
  /** The earliest that it will show from the next minute on. */
  willShow(minute: number): number;
}

const walls = new Map<string, Wall>();

export function wallOf(time_zone: string): Wall {
  const known = walls.get(time_zone);
  if (known) return known;
  const wall = hang(time_zone);
  walls.set(time_zone, wall);
  return wall;
}

function hang(time_zone: string): Wall {
  const format = new Intl.DateTimeFormat('en', { timeZone: time_zone, timeZoneName: 'longOffset' });
  const offsetAt = (minute: number) => {
    const said = /GMT(?:([+-])(\d\d):(\d\d))?$/.exec(format.format(instant(minute)));
    if (!said) throw new Error(`no whole offset: ${format.format(instant(minute))}`);
    return said[1] ? Number(`${said[1]}1`) * (Number(said[2]) * 60 + Number(said[3])) : 0;
  };
  const since = [Number.NEGATIVE_INFINITY];
  const offsets = [offsetAt(FIRST)];
  for (let day = FIRST + DAY; day <= LAST; day += DAY) {
    if (offsetAt(day) === offsets.at(-1)) continue;
    let minute = day - DAY + 1;
    while (offsetAt(minute) === offsets.at(-1)) minute += 1;
    since.push(minute);
    offsets.push(offsetAt(minute));
  }
  since.push(Number.POSITIVE_INFINITY);

  const changes = offsets.slice(1).map((offset, i) => ({ at: since[i + 1]!, by: offset - offsets[i]! }));
  for (const { at, by } of changes) {
    const after = at + offsets[since.indexOf(at)]!;
    if (at % 15 !== 0 || by % 15 !== 0) throw new Error(`${time_zone} changes within a quarter of an hour`);
    // So every minute can be open by the hours of the one date that the wall shows.
    if (by < 0 && dayOf(after) !== dayOf(after - by - 1)) throw new Error(`${time_zone} goes back over a midnight`);
  }

  let here = 0;
  const find = (minute: number) => {
    while (minute >= since[here + 1]!) here += 1;
    while (minute < since[here]!) here -= 1;
    return here;
  };
  return {
    changes,
    shows: minute => minute + offsets[find(minute)]!,
    hasShown(minute) {
      const i = find(minute);
      const now = minute + offsets[i]!;
      return i === 0 ? now : Math.max(now, since[i]! - 1 + offsets[i - 1]!);
    },
    willShow(minute) {
      const i = find(minute);
      const next = minute + 1 + offsets[i]!;
      return i + 1 === offsets.length ? next : Math.min(next, since[i + 1]! + offsets[i + 1]!);
    },
  };
}

const said_in = new Map<string, Map<number, string>>();

/** Month and day of a day in another calendar, `9-1` for the first of Ramadan. */
export function monthAndDay(calendar: OracleRule['calendar'], day: number): string {
  let said = said_in.get(calendar);
  if (!said) {
    said = new Map();
    const format = new Intl.DateTimeFormat(`en-u-ca-${calendar}`, { month: 'numeric', day: 'numeric', timeZone: 'UTC' });
    for (let it = FIRST / DAY - 400; it < LAST / DAY + 400; it += 1) {
      const parts = new Map(format.formatToParts(instant(it * DAY)).map(part => [part.type, part.value]));
      said.set(it, `${Number(parts.get('month'))}-${Number(parts.get('day'))}`);
    }
    said_in.set(calendar, said);
  }
  return said.get(day)!;
}

/** What the calendar says of a date, and of the minutes of the time line. */
export interface Opening {
  readonly wall: Wall;
  /** The hours of a date in minutes of its day: holiday, then season, then week. */
  hours(day: number): [open: number, close: number][];
  /** The day by whose hours the calendar is open in this minute, or below zero. */
  openBy(minute: number): number;
}

const openings = new WeakMap<OracleCalendar, Map<string, Opening>>();

export function openingOf(calendar: OracleCalendar, choices: Choices = CHOICES): Opening {
  const of_calendar = openings.get(calendar) ?? new Map<string, Opening>();
  openings.set(calendar, of_calendar);
  const key = JSON.stringify(choices);
  const known = of_calendar.get(key);
  if (known) return known;

  const wall = wallOf(calendar.time_zone);
  const days = new Map<number, [number, number][]>();
  const hours = (day: number) => {
    const before = days.get(day);
    if (before) return before;
    const found = hoursSaid(calendar, day, choices).map(([a, b]): [number, number] => [timeOfDay(a), timeOfDay(b)]);
    days.set(day, found);
    return found;
  };
  const look = (minute: number) => {
    const shown = wall.shows(minute);
    const day = dayOf(shown);
    const now = shown - day * DAY;
    for (const [open, close] of hours(day)) {
      // The earlier reading opens; after a gap this is the first one behind it.
      const opened = now >= open || wall.hasShown(minute) - day * DAY >= open;
      // The later reading closes. `24:00` is no reading of the next day: it is when the wall leaves this one.
      if (opened && (now < close || (close < DAY && wall.willShow(minute) - day * DAY <= close))) return day;
    }
    return CLOSED;
  };
  // A day of minutes is looked at once.
  const lookThrough = (from: number) => {
    const page = new Int32Array(DAY);
    for (let i = 0; i < DAY; i += 1) page[i] = look(from + i);
    return page;
  };
  const seen = new Map<number, Int32Array>();
  let at = CLOSED;
  let page: Int32Array = new Int32Array(0);
  const opening: Opening = {
    wall,
    hours,
    openBy(minute) {
      const wanted = dayOf(minute);
      if (wanted !== at) {
        at = wanted;
        page = seen.get(wanted) ?? lookThrough(wanted * DAY);
        seen.set(wanted, page);
      }
      return page[minute - wanted * DAY]!;
    },
  };
  of_calendar.set(key, opening);
  return opening;
}

function hoursSaid(calendar: OracleCalendar, day: number, choices: Choices): Hours {
  const date = dateOf(day);
  const weekday = weekdayOf(day);

  // What stands under its date is nearer than what follows from a rule; what was announced is nearest.
  for (const status of ['announced', 'fixed', 'estimated'] as const) {
    const holiday = calendar.holidays.find(it => it.date === date && it.status === status);
    if (holiday) return holiday.hours;
  }
  if (calendar.holiday_rules.some(rule => fallsOn(rule, day, calendar.holidays, choices))) return [];

  const week = calendar.weeks
    .filter(it => it.valid_from <= date && date <= (it.valid_to ?? '9999-12-31'))
    .reduce<OracleCalendar['weeks'][number] | undefined>((a, b) => (a && a.valid_from > b.valid_from ? a : b), undefined);
  const season = calendar.seasons.find(it => it.from <= date && date <= it.to);
  if (season?.days[weekday] || (season && choices.unnamed_in_season === 'closed')) return season.days[weekday] ?? [];
  return week?.days[weekday] ?? [];
}

function fallsOn(rule: OracleRule, day: number, holidays: readonly OracleHoliday[], choices: Choices): boolean {
  for (let first = day; first > day - rule.length; first -= 1) {
    if (monthAndDay(rule.calendar, first) !== `${rule.month}-${rule.day}`) continue;
    const overridden =
      choices.announcements === 'by_name' &&
      rule.calendar !== 'iso8601' &&
      holidays.some(({ status, name, date }) => {
        const announced = dayNumber(date);
        return (
          status === 'announced' &&
          name === rule.name &&
          announced >= first - NEARBY &&
          announced <= first + rule.length - 1 + NEARBY
        );
      });
    if (!overridden) return true;
  }
  return false;
}

/** How many of each unit a duration has. */
function unitsOf(duration: string): { months: number; days: number; minutes: number } {
  const said = /^P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?)?$/.exec(duration);
  if (!said) throw new RangeError(`no duration in whole minutes: ${duration}`);
  const [years, months, weeks, days, hours, minutes] = said.slice(1).map(it => Number(it ?? 0)) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  return { months: years * 12 + months, days: weeks * 7 + days, minutes: hours * 60 + minutes };
}

/**
 * @param pauses ended ones in order, beginning when the clock runs.
 * @returns when it is due
 */
export function oracle(
  policy: OraclePolicy,
  started_at: Date,
  calendar: OracleCalendar,
  pauses: readonly OraclePause[],
  choices: Choices = CHOICES,
): Date {
  const start = minuteOf(started_at);
  const { months, days, minutes } = unitsOf(policy.duration);
  const runs = stopwatch(pauses);
  switch (policy.clock) {
    case 'elapsed':
      return instant(consume(start, days * DAY + minutes, runs));
    case 'working_time': {
      const { openBy } = openingOf(calendar, choices);
      return instant(consume(start, days * DAY + minutes, minute => openBy(minute) >= 0 && runs(minute)));
    }
    case 'working_days': {
      const { wall, openBy } = openingOf(calendar, choices);
      const counts = countable(dayOf(wall.shows(start)), start, policy, pauses, choices);
      return instant(nthClose(start, days, openBy, counts, runs));
    }
    case 'calendar_days': {
      const wall = wallOf(calendar.time_zone);
      const counts = countable(dayOf(wall.shows(start)), start, policy, pauses, choices);
      return new Date(nthMidnight(start, days, wall, counts, runs) * MINUTE - 1);
    }
    case 'calendar_months': {
      // As many days as there are to that date: pauses keep those that are not completed.
      const wall = wallOf(calendar.time_zone);
      const first = dayOf(wall.shows(start));
      const counts = countable(first, start, { ...policy, count_first_day: false }, pauses, choices);
      return new Date(nthMidnight(start, daysInMonths(first, months), wall, counts, runs) * MINUTE - 1);
    }
  }
}

/** Whether the timer runs in a minute. Asked in order of time. */
function stopwatch(pauses: readonly OraclePause[]): (minute: number) => boolean {
  const spans = pauses.map(({ from, to }) => [minuteOf(from), minuteOf(to)] as const);
  let next = 0;
  return minute => {
    while (next < spans.length && minute >= spans[next]![1]) next += 1;
    return next === spans.length || minute < spans[next]![0];
  };
}

/** Whether a day counts that ends while the timer runs: each but the starting day. */
function countable(
  first: number,
  start: number,
  policy: OraclePolicy,
  pauses: readonly OraclePause[],
  choices: Choices,
): (day: number, end: number) => boolean {
  const resumed = pauses.map(({ to }) => minuteOf(to));
  return (day, end) =>
    day !== first ||
    policy.count_first_day === true ||
    (choices.resumed_on_starting_day === 'counts' && resumed.some(at => at >= start && at < end));
}

function consume(start: number, amount: number, runs: (minute: number) => boolean): number {
  let left = amount;
  let minute = start;
  for (; left > 0; minute += 1) {
    if (minute > LAST) throw new RangeError('never due');
    if (runs(minute)) left -= 1;
  }
  return minute;
}

/** A day has closed when no later minute is open by its hours, which is known when another day opens. */
function nthClose(
  start: number,
  n: number,
  openBy: (minute: number) => number,
  counts: (day: number, end: number) => boolean,
  runs: (minute: number) => boolean,
): number {
  let left = n;
  let day = CLOSED;
  let close = start;
  /** Whether the timer ran until the close was reached. */
  let ran = false;
  for (let minute = start; minute < LAST; minute += 1) {
    const running = runs(minute);
    const open_by = openBy(minute);
    if (open_by < 0) continue;
    if (open_by !== day) {
      if (day !== CLOSED && ran && counts(day, close)) left -= 1;
      if (left === 0) return close;
      day = open_by;
    }
    close = minute + 1;
    ran = running;
  }
  throw new RangeError('never due');
}

/** The end of the nth day whose last minute the timer ran through. Midnights lie on quarters of an hour. */
function nthMidnight(
  start: number,
  n: number,
  wall: Wall,
  counts: (day: number, end: number) => boolean,
  runs: (minute: number) => boolean,
): number {
  let left = n;
  let day = dayOf(wall.shows(start));
  for (let minute = start - (start % 15) + 15; minute < LAST; minute += 15) {
    const shown = dayOf(wall.shows(minute));
    if (shown === day) continue;
    if (runs(minute - 1) && counts(day, minute)) left -= 1;
    if (left === 0) return minute;
    day = shown;
  }
  throw new RangeError('never due');
}

/** Walks on from a date, past the firsts of so many months, to the day that has the same number, or to the month's last. */
function daysInMonths(first: number, months: number): number {
  const wanted = dateOf(first).slice(8);
  let firsts = 0;
  for (let day = first; ; day += 1) {
    if (day > first && dateOf(day).endsWith('-01')) firsts += 1;
    if (firsts === months && (dateOf(day).endsWith(wanted) || dateOf(day + 1).endsWith('-01'))) return day - first;
  }
}
