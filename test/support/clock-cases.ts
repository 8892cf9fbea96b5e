import {
  CHOICES,
  type Choices,
  type Days,
  dateOf,
  dayNumber,
  dayOf,
  type Hours,
  minuteOf,
  monthAndDay,
  type OracleCalendar,
  type OracleHoliday,
  type OraclePause,
  type OraclePolicy,
  type OracleRule,
  openingOf,
  oracle,
  type Wall,
  WEEKDAYS,
  type Weekday,
  wallOf,
  weekdayOf,
} from './clock-oracle.ts';

/** Clocks to reckon, drawn where reckoning goes wrong: around midnights, closings, holidays and clocks put forward or back. */

export interface ClockCase {
  policy: OraclePolicy;
  started_at: Date;
  calendar: OracleCalendar;
  pauses: OraclePause[];
}

/** The rule packs' zones, then ones with odd changes: of half an hour, at midnight, of offsets with halves, across the date line. */
export const ZONES = [
  'Africa/Cairo',
  'Asia/Riyadh',
  'Asia/Baghdad',
  'Asia/Amman',
  'Asia/Beirut',
  'Europe/Istanbul',
  'Europe/London',
  'Australia/Lord_Howe',
  'America/Sao_Paulo',
  'Asia/Tehran',
  'Pacific/Apia',
];

const FIRST_DAY = dayNumber('2015-01-01');
const LAST_DAY = dayNumber('2040-12-31');
const DAY = 1_440;
const NO_DAYS: Days = {};

class Dice {
  #state: number;

  constructor(seed: number) {
    // Neighbouring seeds must not begin alike.
    this.#state = Math.imul(seed ^ 0x5bd1e995, 0x9e3779b1) >>> 0;
    for (let i = 0; i < 4; i += 1) this.#next();
  }

  /** mulberry32 */
  #next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let it = this.#state;
    it = Math.imul(it ^ (it >>> 15), it | 1);
    it ^= it + Math.imul(it ^ (it >>> 7), it | 61);
    return ((it ^ (it >>> 14)) >>> 0) / 2 ** 32;
  }

  /** Both ends may come. */
  from(low: number, high: number): number {
    return low + Math.floor(this.#next() * (high - low + 1));
  }

  pick<T>(of: readonly T[]): T {
    return of[this.from(0, of.length - 1)]!;
  }

  often(share: number): boolean {
    return this.#next() < share;
  }
}

/** The same seed, the same case. */
export function clockCase(seed: number, choices: Choices = CHOICES): ClockCase {
  const dice = new Dice(seed);
  const time_zone = dice.pick(ZONES);
  const wall = wallOf(time_zone);
  const { near, change } = anchor(dice, wall);
  const shifts = change
    ? [...SHIFTS, ...Array.from({ length: 2 * SHIFTS.length }, () => shiftAround(dice, wall, change))]
    : SHIFTS;
  const calendar = drawCalendar(dice, time_zone, dayOf(wall.shows(near)), shifts);
  const policy = drawPolicy(dice, calendar);
  const start = step(dice, dice.pick(edges(calendar, near - 2 * DAY, near + 2 * DAY, choices)));
  const drawn: ClockCase = { policy, started_at: at(start), calendar, pauses: [] };

  const wanted = dice.pick([0, 0, 1, 1, 2, 3]);
  for (let i = 0; i < wanted; i += 1) {
    const due = Math.ceil(oracle(policy, drawn.started_at, calendar, drawn.pauses, choices).getTime() / 60_000);
    const pause = drawPause(dice, drawn, i === 0 ? start : minuteOf(drawn.pauses[i - 1]!.to), due, choices);
    if (!pause) break;
    drawn.pauses.push(pause);
  }
  return drawn;
}

const at = (minute: number) => new Date(minute * 60_000);

/** At an interesting instant, or a little beside it. */
const step = (dice: Dice, minute: number) =>
  minute + dice.pick([-60, -30, -1, -1, 0, 0, 0, 1, 1, 15, 45, 90, dice.from(-600, 600)]);

type Change = Wall['changes'][number];

/** Around when it all happens, and the change of the clocks that is why. */
function anchor(dice: Dice, wall: Wall): { near: number; change?: Change } {
  const changes = wall.changes.filter(it => it.at > FIRST_DAY * DAY && it.at < LAST_DAY * DAY);
  if (changes.length > 0 && dice.often(0.6)) {
    const change = dice.pick(changes);
    // Sometimes long before, so that the change lies on the way.
    return { near: change.at - dice.pick([0, 0, 0, 0, 0, 0, 1, 3, 20, 60]) * DAY, change };
  }
  if (dice.often(0.2)) {
    const date = `${dice.from(2015, 2040)}-${dice.pick(['01-31', '02-28', '08-31', '12-30', '12-31', '12-31'])}`;
    return { near: (dayNumber(date) + dice.from(0, 1)) * DAY };
  }
  return { near: dice.from(FIRST_DAY * DAY, LAST_DAY * DAY) };
}

/** Hours that begin and end before, at, within and after what the wall leaves out or shows twice. */
function shiftAround(dice: Dice, wall: Wall, { at: changed, by }: Change): Hours {
  const after = wall.shows(changed);
  const low = Math.min(after, after - by) - dayOf(Math.min(after, after - by)) * DAY;
  const high = low + Math.abs(by);
  const times = [low - 60, low - 15, low, low + 1, (low + high) / 2, high - 15, high, high + 15, high + 60].filter(
    (it, i, all) => it >= 0 && it <= DAY && all.indexOf(it) === i,
  );
  const wanted = dice.pick([2, 2, 4]);
  while (times.length > wanted) times.splice(dice.from(0, times.length - 1), 1);
  const text = (it: number) => `${String(Math.floor(it / 60)).padStart(2, '0')}:${String(it % 60).padStart(2, '0')}`;
  const [first, second, third, fourth] = times.sort((a, b) => a - b).map(text);
  const hours: Hours = [[first!, second!]];
  if (third && fourth) hours.push([third, fourth]);
  return hours;
}

/** Minutes at which the calendar opens or closes, the wall comes to another date or jumps; and the first. */
function edges(calendar: OracleCalendar, from: number, to: number, choices: Choices): number[] {
  const { wall, openBy } = openingOf(calendar, choices);
  const found = [from];
  for (let minute = from + 1; minute <= to; minute += 1) {
    const before = wall.shows(minute - 1);
    const now = wall.shows(minute);
    const jumps = now !== before + 1;
    if (jumps || dayOf(now) !== dayOf(before) || openBy(minute) !== openBy(minute - 1)) found.push(minute);
    // What lies just in front of a jump is as likely to go wrong.
    if (jumps) found.push(minute, minute - 60, minute + 60);
  }
  return found;
}

function drawPause(
  dice: Dice,
  { calendar }: ClockCase,
  earliest: number,
  due: number,
  choices: Choices,
): OraclePause | undefined {
  if (earliest >= due) return undefined;
  const window = dice.pick([1, 3, 8]) * DAY;
  const around = dice.often(0.4) ? earliest : dice.from(earliest, due - 1);
  const from = step(dice, dice.pick(edges(calendar, around, Math.min(due, around + window), choices)));
  if (from < earliest || from >= due) {
    return dice.often(0.5) ? { from: at(earliest), to: at(earliest + dice.from(1, 2_000)) } : undefined;
  }
  const length = () => {
    if (dice.often(0.03)) return 0;
    if (dice.often(0.2)) return dice.from(1, 120);
    if (dice.often(0.15)) return dice.from(1, 45 * DAY);
    const until = step(dice, dice.pick(edges(calendar, from, from + dice.pick([1, 2, 4, 9]) * DAY, choices)));
    return Math.max(until - from, 1);
  };
  return { from: at(from), to: at(from + length()) };
}

function drawPolicy(dice: Dice, calendar: OracleCalendar): OraclePolicy {
  const clock = dice.pick([
    'elapsed',
    'calendar_days',
    'calendar_days',
    'calendar_months',
    'working_days',
    'working_days',
    'working_days',
    'working_time',
    'working_time',
    'working_time',
  ] as const);
  const few = dice.often(0.7);
  const first = dice.pick([{}, { count_first_day: true }, { count_first_day: true }, { count_first_day: false }]);
  switch (clock) {
    case 'elapsed':
      return { clock, duration: dice.often(0.4) ? `P${dice.from(1, few ? 5 : 60)}D` : time(dice, few ? 72 : 500) };
    case 'calendar_days':
      return { clock, duration: `P${dice.from(1, few ? 10 : 400)}D`, ...first };
    case 'calendar_months':
      return { clock, duration: `P${dice.from(1, few ? 6 : 24)}M` };
    case 'working_days':
      return { clock, duration: `P${dice.from(1, few ? 6 : 45)}D`, ...first };
    case 'working_time': {
      // A calendar that is open an hour a week would take years.
      const least = Math.min(
        ...calendar.weeks.map(it => hoursAWeek(it.days)),
        ...calendar.seasons.map(it => hoursAWeek(it.days) || 168),
      );
      return { clock, duration: time(dice, Math.min(few ? 24 : 200, Math.max(1, Math.floor(least * 20)))) };
    }
  }
}

function time(dice: Dice, most_hours: number): string {
  const hours = dice.from(0, most_hours);
  const minutes = hours === 0 ? dice.pick([1, 15, 30, 59]) : dice.pick([0, 0, 0, 1, 15, 30, 59]);
  return `PT${hours > 0 ? `${hours}H` : ''}${minutes > 0 ? `${minutes}M` : ''}`;
}

const hoursAWeek = (days: Days) =>
  Object.values(days)
    .flat()
    .reduce(
      (sum, [open, close]) => sum + (Date.parse(`1970-01-01T${close}Z`) - Date.parse(`1970-01-01T${open}Z`)) / 3_600_000,
      0,
    );

const SHIFTS: Hours[] = [
  [['08:00', '15:00']],
  [['08:00', '15:00']],
  [['09:00', '17:00']],
  [
    ['08:00', '12:00'],
    ['13:00', '17:30'],
  ],
  [
    ['00:00', '06:00'],
    ['22:00', '24:00'],
  ],
  [['00:00', '24:00']],
  [['20:00', '24:00']],
  [['00:00', '04:00']],
  // Over, into, out of and within the hours at which clocks are put forward and back.
  [['00:00', '01:00']],
  [['00:15', '00:45']],
  [['00:30', '03:00']],
  [['01:30', '02:15']],
  [
    ['00:30', '01:30'],
    ['01:45', '09:00'],
  ],
  [
    ['02:00', '03:00'],
    ['03:30', '12:00'],
  ],
  [['21:00', '23:00']],
  [
    ['12:00', '22:30'],
    ['23:15', '23:45'],
  ],
  [['07:13', '07:14']],
];
const SHORTER: Hours[] = [
  [['08:00', '12:00']],
  [['09:00', '14:00']],
  [['09:00', '10:30']],
  [['00:00', '02:00']],
  [['18:00', '23:30']],
];
const WEEKENDS: Weekday[][] = [
  ['fri', 'sat'],
  ['sat', 'sun'],
  ['fri'],
  ['thu', 'fri'],
  ['sun'],
  [],
  ['tue', 'wed', 'fri', 'sat', 'sun'],
];

function drawDays(dice: Dice, shifts: Hours[]): Days {
  const shift = dice.pick(shifts);
  const weekend = dice.pick(WEEKENDS);
  const days: Days = {};
  for (const weekday of WEEKDAYS) {
    if (weekend.includes(weekday)) {
      // A day that is closed is not named, or has no hours.
      if (dice.often(0.2)) days[weekday] = [];
    } else days[weekday] = dice.often(0.1) ? dice.pick(shifts) : shift;
  }
  if (dice.often(0.25)) days[dice.pick(['fri', 'sat'] as const)] = dice.pick(SHORTER);
  return days;
}

/** @param day around which something changes */
function drawCalendar(dice: Dice, time_zone: string, day: number, shifts: Hours[]): OracleCalendar {
  const weeks: OracleCalendar['weeks'] = [{ valid_from: '2010-01-01', days: drawDays(dice, shifts) }];
  if (dice.often(0.4)) {
    const valid_from = day + dice.from(-20, 40);
    // Replaces the first for good; for a while; or the first ends, a few days too soon or too late.
    const how = dice.from(0, 2);
    if (how === 2) weeks[0]!.valid_to = dateOf(valid_from + dice.pick([-1, -1, 0, 10, -4]));
    weeks.push({
      valid_from: dateOf(valid_from),
      ...(how === 1 ? { valid_to: dateOf(valid_from + dice.from(0, 60)) } : {}),
      days: drawDays(dice, shifts),
    });
    if (dice.often(0.3)) weeks.reverse();
  }

  const seasons: OracleCalendar['seasons'] = [];
  if (dice.often(0.35)) {
    const from = day + dice.from(-25, 30);
    const to = from + dice.pick([0, 1, 6, 29]);
    const days = dice.often(0.15) ? NO_DAYS : drawDays(dice, shifts);
    seasons.push({ name: 'Season', from: dateOf(from), to: dateOf(to), days });
    if (dice.often(0.2))
      seasons.push({ name: 'Next season', from: dateOf(to + 1), to: dateOf(to + 10), days: drawDays(dice, shifts) });
  }

  const holidays = new Map<string, OracleHoliday>();
  const put = (date: string, holiday: Omit<OracleHoliday, 'date'>) => {
    if (!holidays.has(date)) holidays.set(date, { date, ...holiday });
  };
  const rules = dice.often(0.4) ? drawRules(dice, day, put) : [];
  const wanted = dice.pick([0, 0, 1, 2, 4, 8]);
  for (let i = 0; i < wanted; i += 1) {
    const date = dateOf(day + dice.from(-3, dice.pick([5, 15, 60])));
    const hours = dice.pick<Hours>([[], [], [], ...SHORTER, ...shifts]);
    put(date, { name: `Holiday ${i + 1}`, hours, status: dice.pick(['fixed', 'fixed', 'estimated', 'announced']) });
  }
  const listed = [...holidays.values()];
  // Estimated, and announced otherwise.
  const estimated = listed.filter(it => it.status === 'announced' && it.name.startsWith('Holiday') && dice.often(0.15));
  for (const { date } of estimated)
    listed.push({ date, name: `${date} estimated`, hours: dice.pick([[], ...SHORTER]), status: 'estimated' });
  return { id: 'cal_1', name: 'Drawn', time_zone, weeks, holidays: listed, seasons, holiday_rules: rules };
}

function drawRules(dice: Dice, day: number, put: (date: string, holiday: Omit<OracleHoliday, 'date'>) => void): OracleRule[] {
  const rules: OracleRule[] = [];
  const wanted = dice.from(1, 2);
  for (let i = 0; i < wanted; i += 1) {
    const calendar = dice.pick(['islamic-umalqura', 'islamic-umalqura', 'iso8601'] as const);
    // A date that exists in each year: no 29th of February, no 30th of a month that may have 29 days.
    const longest = calendar === 'iso8601' ? 28 : 29;
    let first = day + dice.from(-3, 40);
    // Over the end of a year, which may lie just behind.
    if (calendar === 'iso8601' && dice.often(0.4)) first = dayNumber(`${dateOf(day - 3).slice(0, 4)}-12-27`);
    while (Number(monthAndDay(calendar, first).split('-')[1]) > longest) first += 1;
    const [month, day_of_month] = monthAndDay(calendar, first).split('-').map(Number) as [number, number];
    const rule: OracleRule = {
      name: `Rule ${i + 1}`,
      calendar,
      month,
      day: day_of_month,
      length: dice.pick([1, 1, 2, 3, 4, 9, 9]),
    };
    rules.push(rule);
    if (calendar === 'iso8601' || dice.often(0.5)) continue;
    const announced = first + dice.pick([-2, -1, 0, 1, 1, 2]);
    const hours = dice.often(0.8) ? [] : dice.pick(SHORTER);
    const length = dice.often(0.7) ? rule.length : dice.from(1, 4);
    for (let n = 0; n < length; n += 1) put(dateOf(announced + n), { name: rule.name, hours, status: 'announced' });
  }
  return rules;
}

/** @returns the smallest case found that is still wrong, by leaving out what is not needed for it */
export function smallest(found: ClockCase, isWrong: (it: ClockCase) => boolean, choices: Choices = CHOICES): ClockCase {
  let wrong = found;
  for (let rounds = 0; rounds < 40; rounds += 1) {
    const next = simpler(wrong).find(it => isPossible(it, choices) && isWrong(it));
    if (!next) break;
    wrong = next;
  }
  return wrong;
}

function* simpler({ policy, started_at, calendar, pauses }: ClockCase): Generator<ClockCase, void> {
  const it = { policy, started_at, calendar, pauses };
  const without = <T>(list: readonly T[]) => list.map((_, i) => list.filter((__, n) => n !== i));
  const amount = Number(/\d+/.exec(policy.duration)![0]);
  for (const less of [1, 2, Math.floor(amount / 2), amount - 1]) {
    const duration = policy.duration.replace(/\d+/, String(less));
    if (less > 0 && less < amount) yield { ...it, policy: { ...policy, duration } };
  }
  const { count_first_day, ...plain } = policy;
  if (count_first_day !== undefined) yield { ...it, policy: plain };
  for (const fewer of without(pauses)) yield { ...it, pauses: fewer };
  for (const key of ['seasons', 'holiday_rules', 'holidays', 'weeks'] as const) {
    if (calendar[key].length > 1)
      yield { ...it, calendar: { ...calendar, [key]: key === 'weeks' ? calendar.weeks.slice(0, 1) : [] } };
    for (const fewer of without<OracleCalendar[typeof key][number]>(calendar[key])) {
      yield { ...it, calendar: { ...calendar, [key]: fewer } };
    }
  }
  for (const key of ['weeks', 'seasons'] as const) {
    for (const [i, { days }] of calendar[key].entries()) {
      for (const weekday of WEEKDAYS.filter(name => days[name])) {
        const { [weekday]: _, ...others } = days;
        const changed = calendar[key].map((old, n) => (n === i ? { ...old, days: others } : old));
        yield { ...it, calendar: { ...calendar, [key]: changed } };
      }
    }
  }
  // Whole hours read more easily.
  const hour = new Date(Math.floor(started_at.getTime() / 3_600_000) * 3_600_000);
  if (hour < started_at) yield { ...it, started_at: hour };
  for (const [i, { from, to }] of pauses.entries()) {
    const shorter = new Date(from.getTime() + Math.floor((to.getTime() - from.getTime()) / 120_000) * 60_000);
    if (shorter < to) yield { ...it, pauses: pauses.map((old, n) => (n === i ? { from, to: shorter } : old)) };
  }
}

/** Pauses begin before the clock is due, it comes to be due, and the calendar is open in some week. */
function isPossible({ policy, started_at, calendar, pauses }: ClockCase, choices: Choices): boolean {
  if (!calendar.weeks.some(it => hoursAWeek(it.days) > 0)) return false;
  try {
    return [...pauses, undefined].every((pause, i) => {
      const due = oracle(policy, started_at, calendar, pauses.slice(0, i), choices);
      return pause === undefined || pause.from < due;
    });
  } catch {
    return false;
  }
}

/** For people: local times, and of the calendar what is there. */
export function readable({ policy, started_at, calendar, pauses }: ClockCase, due: Record<string, Date | string>): string {
  const local = (when: Date) => localTime(when, calendar.time_zone);
  const lines = [
    `${policy.clock} ${policy.duration}${policy.count_first_day ? ', count_first_day' : ''}, ${calendar.time_zone}`,
    `started  ${local(started_at)}`,
    ...pauses.map(({ from, to }) => `paused   ${local(from)} – ${local(to)}`),
    ...Object.entries(due).map(([name, when]) => `${name.padEnd(8)} ${when instanceof Date ? local(when) : when}`),
    ...calendar.weeks.map(it => `week     ${it.valid_from} – ${it.valid_to ?? '…'} ${JSON.stringify(it.days)}`),
    ...calendar.seasons.map(it => `season   ${it.from} – ${it.to} ${JSON.stringify(it.days)}`),
    ...calendar.holidays.map(it => `holiday  ${it.date} ${it.status} “${it.name}” ${JSON.stringify(it.hours)}`),
    ...calendar.holiday_rules.map(it => `rule     “${it.name}” ${it.calendar} ${it.month}-${it.day}, ${it.length} days`),
  ];
  return lines.join('\n');
}

/** `Thu 2026-11-19 10:00 (08:00Z)`, with seconds where there are some. */
export function localTime(when: Date, time_zone: string): string {
  const minute = Math.floor(when.getTime() / 60_000);
  const shown = wallOf(time_zone).shows(minute);
  const text = new Date(shown * 60_000 + (when.getTime() - minute * 60_000)).toISOString().slice(0, 23);
  const short = (iso: string) => iso.replace(/(:00)?\.000$/, '');
  return `${weekdayOf(dayOf(shown))} ${short(text.replace('T', ' '))} (${when.toISOString().slice(11, 16)}Z)`;
}
