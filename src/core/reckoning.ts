import { type CompiledCalendar, dateOf, dayNumber, type SetBy, type Span } from './calendar.ts';

/**
 * When a clock falls due ("Deadlines and floors", sections "Kinds" and "Pause and resume"), and how that comes about. Pure;
 * instants are handed in.
 */

export const CLOCKS = ['elapsed', 'calendar_days', 'calendar_months', 'working_days', 'working_time'] as const;

export interface ClockRule {
  clock: (typeof CLOCKS)[number];
  /**
   * ISO 8601. Of `elapsed` and `working_time` weeks, days (24 hours), hours, minutes and seconds; of `calendar_days` weeks and
   * days; of `calendar_months` years and months; of `working_days` days alone, for a week has as many as its calendar says.
   */
  duration: string;
  /** Of day clocks, but not of months: whether the day on which it starts is the first. */
  count_first_day?: boolean;
}

/** From when until when a clock rested. */
export interface Pause {
  from: Date;
  to: Date;
}

/** What a day counted for; of `elapsed` and `working_time` the milliseconds that ran. */
export interface ExplainedDay {
  /** On the wall, in the calendar's zone. */
  date: string;
  /** The whole of the calendar's hours; empty for clocks that do not look at them. */
  open: [from: Date, to: Date][];
  counted: boolean | number;
  /**
   * What set its hours; `every_day` for clocks that look at none. Or why it does not count although it is open: `first_day`, it is
   * the one on which the clock starts, or was over by then; `paused`.
   */
  why: SetBy | 'every_day' | 'first_day' | 'paused';
  /** Of the holiday or the season that set its hours. */
  name?: string;
}

const DAY = 86_400_000;
/** As far as anything is reckoned. */
const MOST_DAYS = 36_525;
/** A calendar that is closed for longer is taken to be so for ever: ten years. */
const MOST_CLOSED_DAYS = 3_653;

/** Milliseconds of a duration on the time line. @throws RangeError for one that is not of days and smaller */
export function durationMs(duration: string): number {
  const match = /^P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?$/.exec(duration);
  if (!match || duration.endsWith('P') || duration.endsWith('T')) throw new RangeError('not a duration of days and smaller');
  const [weeks = 0, days = 0, hours = 0, minutes = 0, seconds = 0] = match.slice(1).map(part => Number(part ?? 0));
  return ((((weeks * 7 + days) * 24 + hours) * 60 + minutes) * 60 + seconds) * 1_000;
}

/** A larger unit, how many of the smaller it has, and the smaller. */
const UNITS = {
  calendar_days: [/^P(?:(\d+)W)?(?:(\d+)D)?$/, 7],
  calendar_months: [/^P(?:(\d+)Y)?(?:(\d+)M)?$/, 12],
  working_days: [/^P()(\d+)D$/, 0],
} as const;

type DayClock = keyof typeof UNITS;

/** The count of a day clock: days, or months where years are twelve. @throws RangeError for one that is not of whole ones */
export function countOf({ clock, duration }: { clock: DayClock; duration: string }): number {
  const [pattern, size] = UNITS[clock];
  const [larger = 0, smaller = 0] = (pattern.exec(duration) ?? []).slice(1).map(part => Number(part ?? 0));
  const count = larger * size + smaller;
  if (count === 0) throw new RangeError(`not a duration of ${clock}`);
  return count;
}

type Visit = (day: number, counted: boolean | number, why: ExplainedDay['why']) => void;

/** One walk, from a start past pauses, in milliseconds since 1970; `visit` is told of each day up to the last. */
interface Walk {
  rule: ClockRule;
  start: number;
  calendar: CompiledCalendar;
  pauses: readonly Span[];
  visit?: Visit;
}

/**
 * When a clock that starts at `started_at` falls due.
 * @param pauses those that are over, in order and apart, none before the start. One that begins when it is due, or later,
 * changes nothing
 * @throws RangeError for a duration that the clock does not know, and where it is not due within a hundred years or the
 * calendar is closed for ten
 */
export const reckon = (policy: ClockRule, started_at: Date, calendar: CompiledCalendar, pauses: readonly Pause[] = []): Date =>
  new Date(due(walkOf(policy, started_at, calendar, pauses)));

/**
 * The same, with what each day counted for, up to the one on which it falls due.
 * @throws as `reckon`, and where it would have more than `most_days` to tell
 */
export function explain(
  policy: ClockRule,
  started_at: Date,
  calendar: CompiledCalendar,
  pauses: readonly Pause[] = [],
  most_days = Number.POSITIVE_INFINITY,
): { due_at: Date; days: ExplainedDay[] } {
  const days: ExplainedDay[] = [];
  const visit: Visit = (day, counted, why) => {
    if (days.length === most_days) throw new RangeError(`falls due more than ${most_days} days later, too many to tell`);
    const { spans, name } = looksAtHours(policy) ? calendar.hoursOf(day) : { spans: [] };
    const open = spans.map(({ from, to }): [Date, Date] => [new Date(from), new Date(to)]);
    days.push({ date: dateOf(day), open, counted, why, ...(name === undefined ? {} : { name }) });
  };
  const due_at = new Date(due({ ...walkOf(policy, started_at, calendar, pauses), visit }));
  return { due_at, days };
}

const walkOf = (rule: ClockRule, started_at: Date, calendar: CompiledCalendar, pauses: readonly Pause[]): Walk => ({
  rule,
  start: started_at.getTime(),
  calendar,
  pauses: pauses.map(({ from, to }) => ({ from: from.getTime(), to: to.getTime() })),
});

const looksAtHours = ({ clock }: ClockRule): boolean => clock === 'working_days' || clock === 'working_time';

function due(walk: Walk): number {
  const { clock } = walk.rule;
  return clock === 'elapsed' || clock === 'working_time' ? dueByTime(walk) : dueByDays(walk, clock);
}

/** Refuses to set out, or to walk on, where it would not come to an end. */
function limit(first: number, least_days: number): (day: number, closed: boolean) => void {
  let last_open = first;
  const far = (days: number) => {
    if (days > MOST_DAYS) throw new RangeError('not due within a hundred years');
  };
  far(least_days);
  return (day, closed) => {
    if (!closed) last_open = day;
    if (day - last_open > MOST_CLOSED_DAYS) throw new RangeError('the calendar is closed for ten years');
    far(day - first);
  };
}

/** Whether what ends at `end` was neither reached before a pause nor lay ahead after it. */
const rests = (pauses: readonly Span[], end: number): boolean => pauses.some(({ from, to }) => from < end && end <= to);

/**
 * The end of the Nth day that counts. A day is completed by its end, so a pause takes away those days whose ends it holds, and
 * no others.
 */
function dueByDays({ rule, start, calendar, pauses, visit }: Walk, clock: DayClock): number {
  const first = calendar.dayOf(start);
  const works = clock === 'working_days';
  let left = clock === 'calendar_months' ? daysOfMonths(first, countOf({ ...rule, clock })) : countOf({ ...rule, clock });
  const counts_first = rule.count_first_day === true && clock !== 'calendar_months';
  const go = limit(first, left);
  for (let day = first; ; day++) {
    const { spans, set_by } = works ? calendar.hoursOf(day) : EVERY_DAY;
    const end = works ? spans.at(-1)?.to : calendar.endOf(day);
    go(day, end === undefined);
    if (end === undefined) visit?.(day, false, set_by);
    else if (day === first && !(counts_first && (start < end || !works))) visit?.(day, false, 'first_day');
    else if (rests(pauses, end)) visit?.(day, false, 'paused');
    else {
      visit?.(day, true, set_by);
      left--;
      if (left === 0) return end;
    }
  }
}

const EVERY_DAY: { spans: readonly Span[]; set_by: ExplainedDay['why'] } = { spans: [], set_by: 'every_day' };

/** From a day to the same day months on, clipped to that month's last. */
const daysOfMonths = (first: number, months: number): number =>
  dayNumber(Temporal.PlainDate.from(dateOf(first)).add({ months }).toString()) - first;

/** Where a duration is used up by the time that runs: all of it, or what is open. */
function dueByTime({ rule, start, calendar, pauses, visit }: Walk): number {
  const works = rule.clock === 'working_time';
  const first = calendar.dayOf(start);
  let left = durationMs(rule.duration);
  // Days may overlap where clocks go back over midnight; what was used is behind this.
  let at = start;
  const go = limit(first, left / DAY);
  for (let day = first; ; day++) {
    const { spans, set_by } = works
      ? calendar.hoursOf(day)
      : { spans: [{ from: at, to: calendar.endOf(day) + 1 }], set_by: 'every_day' as const };
    go(day, spans.length === 0);
    let used = 0;
    for (const { from, to } of spans) {
      if (left === 0 || to <= at) continue;
      const spent = spend(Math.max(from, at), to, pauses, left);
      used += spent.used;
      left -= spent.used;
      at = spent.at;
    }
    const close = spans.at(-1)?.to;
    if (used > 0 || close === undefined) visit?.(day, used, set_by);
    else visit?.(day, used, close <= start ? 'first_day' : rests(pauses, close) ? 'paused' : set_by);
    if (left === 0) return at;
  }
}

/** How much of a span runs beside the pauses, up to `most`, and where that ends. */
function spend(from: number, to: number, pauses: readonly Span[], most: number): { used: number; at: number } {
  let at = from;
  let used = 0;
  const runUntil = (end: number) => {
    const ran = Math.min(Math.max(end - at, 0), most - used);
    used += ran;
    at += ran;
  };
  for (const pause of pauses) {
    if (pause.to <= at) continue;
    if (pause.from >= to) break;
    runUntil(pause.from);
    if (used === most) return { used, at };
    at = pause.to;
  }
  runUntil(to);
  return { used, at };
}
