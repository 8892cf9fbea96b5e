import fc from 'fast-check';
import t from 'tap';
import { compileCalendar } from '../../src/core/calendar.ts';
import {
  keptOpenUntil,
  moveSchedule,
  type Reckoned,
  resumeSchedule,
  schedule,
  type TimerStep,
  takeDue,
  type Uptime,
  withExpiry,
} from '../../src/core/clock.ts';
import { AGENCY_KINDS, SERVICES, URGENCIES } from '../../src/core/codes.ts';
import { findPolicy, type Policy, REFERRAL_TIMERS } from '../../src/core/policy.ts';
import { durationMs, reckon } from '../../src/core/reckoning.ts';
import { fastPack, illustrativePack } from '../../src/rules/packs.ts';
import { calendar, zoned } from '../support/calendars.ts';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const START = new Date('2026-11-21T19:00:00.000Z');
const at = (ms: number) => new Date(START.getTime() + ms);

const policy = (more: Partial<Policy> = {}): Policy => ({
  name: 'respond',
  applies_to: {},
  kind: 'deadline',
  clock: 'elapsed',
  duration: 'PT1H',
  calendar: 'jurisdiction',
  warn_at: ['50%', '80%'],
  escalate: [
    { after: '0%', to: 'responsible' },
    { after: '25%', to: 'supervisor' },
    { after: '100%', to: 'coordinator' },
  ],
  source: 'test',
  ...more,
});

t.test('durations are of days and smaller', async t => {
  const rows: [string, number][] = [
    ['PT1S', SECOND],
    ['PT90S', 90 * SECOND],
    ['PT15M', 15 * MINUTE],
    ['PT4H', 4 * HOUR],
    ['PT1H30M5S', HOUR + 30 * MINUTE + 5 * SECOND],
    ['P1D', DAY],
    ['P30D', 30 * DAY],
    ['P1DT12H', DAY + 12 * HOUR],
    ['P2W', 14 * DAY],
    ['PT0S', 0],
  ];
  for (const [text, ms] of rows) t.equal(durationMs(text), ms, text);
  for (const text of ['', 'P', 'PT', 'P1DT', 'P1M', 'P1Y', '1H', 'PT1.5H', '-PT1H', 'PT1H ', 'pt1h', 'P1H']) {
    t.throws(() => durationMs(text), RangeError, text);
  }
});

t.test('a timer warns, falls due and escalates', async t => {
  const { started_at, due_at, steps, next_step_at } = schedule(policy(), START, zoned('UTC'));
  t.strictSame(started_at, START);
  t.strictSame(due_at, at(HOUR));
  t.strictSame(steps, [
    { at: at(30 * MINUTE).toISOString(), kind: 'warn', share: 0.5 },
    { at: at(48 * MINUTE).toISOString(), kind: 'warn', share: 0.8 },
    { at: at(60 * MINUTE).toISOString(), kind: 'breach', share: 1 },
    { at: at(60 * MINUTE).toISOString(), kind: 'escalate', share: 1, level: 1, to: 'responsible' },
    { at: at(75 * MINUTE).toISOString(), kind: 'escalate', share: 1.25, level: 2, to: 'supervisor' },
    { at: at(120 * MINUTE).toISOString(), kind: 'escalate', share: 2, level: 3, to: 'coordinator' },
  ]);
  t.strictSame(next_step_at, at(30 * MINUTE));
  const bare = schedule(policy({ warn_at: [], escalate: [] }), START, zoned('UTC'));
  t.strictSame(bare.steps, [{ at: at(HOUR).toISOString(), kind: 'breach', share: 1 }]);
  t.strictSame(bare.next_step_at, at(HOUR));
});

t.test('steps come earliest first, however the policy lists them', async t => {
  const { steps, next_step_at } = schedule(
    policy({ warn_at: ['80%', '50%'], escalate: policy().escalate.toReversed() }),
    START,
    zoned('UTC'),
  );
  t.strictSame({ steps, next_step_at }, { steps: schedule(policy(), START, zoned('UTC')).steps, next_step_at: at(30 * MINUTE) });
});

t.test('what has fallen due is taken, once', async t => {
  const { steps } = schedule(policy(), START, zoned('UTC'));
  const rows: [number, number, number | null][] = [
    [30 * MINUTE - 1, 0, 30],
    [30 * MINUTE, 1, 48],
    [48 * MINUTE, 2, 60],
    [60 * MINUTE - 1, 2, 60],
    [60 * MINUTE, 4, 75],
    [3 * HOUR, 6, null],
  ];
  for (const [ms, count, next] of rows) {
    const { due, left, next_step_at } = takeDue(steps, at(ms));
    t.strictSame([...due, ...left], steps);
    t.equal(due.length, count, `${count} by ${ms / MINUTE} min`);
    t.strictSame(next_step_at, next === null ? null : at(next * MINUTE));
    t.strictSame(takeDue(left, at(ms)).due, [], 'not again');
  }
  t.strictSame(takeDue([], START), { due: [], left: [], next_step_at: null });
});

/** A timer that rests since `paused_at`, of which the steps by then are gone. */
const paused = (of: Policy, started_at: Date, paused_at: Date, time_zone: string) => {
  const reckoned = schedule(of, started_at, zoned(time_zone));
  return { ...reckoned, steps: takeDue(reckoned.steps, paused_at).left, paused_at };
};

t.test('a pause shifts all that is ahead by its length', async t => {
  const by_rule = paused(policy(), START, at(40 * MINUTE), 'UTC');
  const { due_at, steps } = schedule(policy(), START, zoned('UTC'), at(HOUR));
  const by_name = { ...by_rule, due_at, duration: null, steps: takeDue(steps, at(40 * MINUTE)).left };
  for (const resting of [by_rule, by_name]) {
    const resumed = resumeSchedule(resting, zoned('UTC'), at(100 * MINUTE));
    t.strictSame(resumed.due_at, at(120 * MINUTE));
    t.strictSame(
      resumed.steps.map(({ at }) => at),
      [108, 120, 120, 135, 180].map(minutes => at(minutes * MINUTE).toISOString()),
    );
    t.strictSame(resumed.next_step_at, at(108 * MINUTE));
    t.strictSame(resumed.pauses, [{ from: at(40 * MINUTE).toISOString(), to: at(100 * MINUTE).toISOString() }]);
    t.strictSame(
      resumed.steps.map(({ at: _, ...step }) => step),
      resting.steps.map(({ at: _, ...step }) => step),
      'what they are stays',
    );
  }
  t.strictSame(resumeSchedule({ ...by_rule, steps: [] }, zoned('UTC'), at(HOUR)).next_step_at, null);
  t.strictSame(resumeSchedule(by_rule, zoned('UTC'), at(40 * MINUTE)).pauses, [], 'one that lasts no time is none');
});

t.test('what is left is the same before and after any number of pauses', async () => {
  const pause = fc.record({ runs: fc.nat(20 * MINUTE), rests: fc.nat(10 * DAY) });
  fc.assert(
    fc.property(fc.array(pause, { maxLength: 5 }), pauses => {
      let timer: Reckoned = schedule(policy(), START, zoned('UTC'));
      let now = START.getTime();
      let run = 0;
      for (const { runs, rests } of pauses) {
        now += runs;
        run += runs;
        const paused_at = new Date(now);
        if (paused_at >= timer.due_at) return true;
        const { left } = takeDue(timer.steps, paused_at);
        now += rests;
        timer = { ...timer, ...resumeSchedule({ ...timer, steps: left, paused_at }, zoned('UTC'), new Date(now)) };
        const { due_at, steps } = timer;
        if (due_at.getTime() - now !== HOUR - run) return false;
        const half = steps.find(({ share }) => share === 0.5);
        if (half && Date.parse(half.at) - now !== 30 * MINUTE - run) return false;
      }
      return true;
    }),
  );
});

/** When a policy that looks at no hours falls due. */
const dueAt = (of: Policy, started_at: Date, time_zone: string) => reckon(of, started_at, zoned(time_zone));

/** An instant from what the clock on the wall says. */
const local = (text: string, time_zone = 'Africa/Cairo') =>
  new Date(Temporal.PlainDateTime.from(text).toZonedDateTime(time_zone).epochMilliseconds);

t.test('the reckoning of the page on clocks', async t => {
  const rows: [Policy['clock'], string, string, string, Partial<Policy>?][] = [
    ['elapsed', 'PT1H', '2026-11-19T14:30', '2026-11-19T15:30'],
    ['calendar_days', 'P30D', '2026-11-21T09:00', '2026-12-21T23:59:59.999'],
    ['calendar_days', 'P30D', '2026-11-21T09:00', '2026-12-20T23:59:59.999', { count_first_day: true }],
    ['calendar_months', 'P1M', '2026-01-31T09:00', '2026-02-28T23:59:59.999'],
    ['elapsed', 'PT24H', '2026-04-23T12:00', '2026-04-24T13:00'],
    // And beside it:
    ['calendar_days', 'P1D', '2026-11-21T00:00', '2026-11-22T23:59:59.999'],
    ['calendar_days', 'P1D', '2026-11-21T23:59:59.999', '2026-11-21T23:59:59.999', { count_first_day: true }],
    ['calendar_days', 'P2W', '2026-11-21T09:00', '2026-12-05T23:59:59.999'],
    ['calendar_months', 'P1M', '2027-12-31T09:00', '2028-01-31T23:59:59.999'],
    ['calendar_months', 'P2M', '2027-12-31T09:00', '2028-02-29T23:59:59.999'],
    ['calendar_months', 'P1Y', '2028-02-29T09:00', '2029-02-28T23:59:59.999'],
    ['calendar_months', 'P1Y1M', '2026-11-30T09:00', '2027-12-30T23:59:59.999'],
  ];
  for (const [clock, duration, start, due, more] of rows) {
    const name = `${clock} ${duration} from ${start}`;
    t.strictSame(dueAt(policy({ clock, duration, ...more }), local(start), 'Africa/Cairo'), local(due), name);
  }
});

t.test('a day clock counts whole days and months', async t => {
  for (const duration of ['P0D', 'PT24H', 'P1M', 'P1DT1H', 'P', 'P1.5D', '-P1D', '']) {
    t.throws(() => dueAt(policy({ clock: 'calendar_days', duration }), START, 'UTC'), RangeError, `days: ${duration}`);
  }
  for (const duration of ['P0M', 'PT1M', 'P30D', 'P1W', 'P']) {
    t.throws(() => dueAt(policy({ clock: 'calendar_months', duration }), START, 'UTC'), RangeError, `months: ${duration}`);
  }
  t.throws(() => dueAt(policy({ clock: 'calendar_days', duration: 'P1D' }), START, 'Nowhere/Never'), RangeError);
});

t.test('the last millisecond of a day, where the clocks change at midnight', async t => {
  const rows: [string, string, string, string][] = [
    // Forward at 00:00: the day after begins at 01:00.
    ['Africa/Cairo', '2026-04-22T12:00:00Z', '2026-04-23T21:59:59.999Z', 'the day before a gap'],
    ['Africa/Cairo', '2026-04-23T12:00:00Z', '2026-04-24T20:59:59.999Z', 'the day that begins with a gap'],
    // Back from 24:00 to 23:00: the last hour comes twice.
    ['Africa/Cairo', '2026-10-28T12:00:00Z', '2026-10-29T21:59:59.999Z', 'the day whose last hour comes twice'],
    // Back at 00:01 to 23:01 of the day before.
    ['America/St_Johns', '2010-11-05T12:00:00Z', '2010-11-07T03:29:59.999Z', 'a day that ends twice'],
    // Noon to noon without a 30th of December.
    ['Pacific/Apia', '2011-12-28T20:00:00Z', '2011-12-30T09:59:59.999Z', 'before a day that never was'],
    ['Pacific/Apia', '2011-12-29T20:00:00Z', '2011-12-30T09:59:59.999Z', 'a day that never was ends before it begins'],
  ];
  for (const [zone, start, due, said] of rows) {
    t.strictSame(
      dueAt(policy({ clock: 'calendar_days', duration: 'P1D' }), new Date(start), zone),
      new Date(due),
      `${zone}: ${said}`,
    );
  }
});

const ZONES = ['UTC', 'Africa/Cairo', 'Asia/Baghdad', 'Europe/Istanbul', 'Asia/Beirut', 'America/Havana', 'Australia/Lord_Howe'];
const zone = fc.constantFrom(...ZONES);
const instant = fc.integer({ min: Date.UTC(2018, 0, 1), max: Date.UTC(2030, 0, 1) }).map(ms => new Date(ms));

/** What the calendar on the wall says, by another way than the code's. */
const wallDay = (() => {
  const formats = new Map(ZONES.map(name => [name, new Intl.DateTimeFormat('en-CA', { timeZone: name, dateStyle: 'short' })]));
  return (at: Date, name: string) => formats.get(name)!.format(at);
})();
const dayAfter = (day: string, count: number) => new Date(Date.parse(`${day}T00:00Z`) + count * DAY).toISOString().slice(0, 10);
const isLastOf = (at: Date, day: string, name: string): boolean => {
  if (wallDay(at, name) !== day || wallDay(new Date(at.getTime() + 1), name) === day) return false;
  for (let ms = 0; ms <= 3 * HOUR; ms += 10 * MINUTE) if (wallDay(new Date(at.getTime() + 1 + ms), name) === day) return false;
  return true;
};

t.test('days as a walk along the calendar on the wall counts them', async () => {
  fc.assert(
    fc.property(zone, instant, fc.integer({ min: 1, max: 70 }), fc.boolean(), (name, start, count, count_first_day) => {
      const due = dueAt(policy({ clock: 'calendar_days', duration: `P${count}D`, count_first_day }), start, name);
      return isLastOf(due, dayAfter(wallDay(start, name), count_first_day ? count - 1 : count), name);
    }),
  );
});

t.test('months as a walk along the calendar on the wall counts them', async () => {
  fc.assert(
    fc.property(zone, instant, fc.integer({ min: 1, max: 30 }), (name, start, count) => {
      const [year, month, day] = wallDay(start, name).split('-').map(Number) as [number, number, number];
      const length = new Date(Date.UTC(year, month - 1 + count + 1, 0)).getUTCDate();
      const last = new Date(Date.UTC(year, month - 1 + count, Math.min(day, length))).toISOString().slice(0, 10);
      return isLastOf(dueAt(policy({ clock: 'calendar_months', duration: `P${count}M` }), start, name), last, name);
    }),
  );
});

t.test('a day clock keeps the days not yet completed', async t => {
  const ten_days = (more: Partial<Policy> = {}) => policy({ clock: 'calendar_days', duration: 'P10D', ...more });
  const rows: [string, string, string, string, Partial<Policy>?][] = [
    ['the same day again', '2026-11-24T10:00', '2026-11-24T15:00', '2026-12-01T23:59:59.999'],
    ['over one midnight', '2026-11-24T10:00', '2026-11-25T09:00', '2026-12-02T23:59:59.999'],
    ['a week', '2026-11-24T10:00', '2026-12-01T10:00', '2026-12-08T23:59:59.999'],
    ['from the last millisecond of a day', '2026-11-24T23:59:59.999', '2026-11-30T00:00', '2026-12-06T23:59:59.999'],
    ['from one before it', '2026-11-24T23:59:59.998', '2026-11-30T00:00', '2026-12-07T23:59:59.999'],
    ['until the last millisecond of a day', '2026-11-24T10:00', '2026-11-29T23:59:59.999', '2026-12-07T23:59:59.999'],
    ['on the day on which it started', '2026-11-21T10:00', '2026-11-21T12:00', '2026-12-01T23:59:59.999'],
    ['from that day on', '2026-11-21T10:00', '2026-11-25T12:00', '2026-12-04T23:59:59.999'],
    ['on that day, and it counts', '2026-11-21T10:00', '2026-11-21T12:00', '2026-11-30T23:59:59.999', { count_first_day: true }],
    ['from then on, and it counts', '2026-11-21T10:00', '2026-11-25T12:00', '2026-12-04T23:59:59.999', { count_first_day: true }],
    ['on the last day', '2026-12-01T10:00', '2026-12-05T12:00', '2026-12-05T23:59:59.999'],
  ];
  for (const [name, from, to, due, more] of rows) {
    const resting = paused(ten_days(more), local('2026-11-21T09:00'), local(from), 'Africa/Cairo');
    t.strictSame(resumeSchedule(resting, zoned('Africa/Cairo'), local(to)).due_at, local(due), name);
  }
  const month = policy({ clock: 'calendar_months', duration: 'P1M' });
  const resting = paused(month, local('2026-01-31T09:00'), local('2026-02-20T09:00'), 'Africa/Cairo');
  t.strictSame(
    resumeSchedule(resting, zoned('Africa/Cairo'), local('2026-03-01T09:00')).due_at,
    local('2026-03-09T23:59:59.999'),
    'nine days of a month',
  );
});

t.test('a paused day clock warns at its share of the time that it ran', async t => {
  const started = local('2026-11-21T00:00');
  const resting = paused(
    policy({ clock: 'calendar_days', duration: 'P10D' }),
    started,
    local('2026-11-23T00:00'),
    'Africa/Cairo',
  );
  const resumed = resumeSchedule(resting, zoned('Africa/Cairo'), local('2026-12-23T00:00'));
  t.strictSame(resumed.due_at, local('2026-12-31T23:59:59.999'));
  // It ran two days before and runs nine after: eleven in all.
  t.strictSame(
    resumed.steps.map(({ at, kind }) => [kind, Math.round((Date.parse(at) - local('2026-12-21T00:00').getTime()) / HOUR)]),
    [
      ['warn', 132],
      ['warn', 211],
      ['breach', 264],
      ['escalate', 264],
      ['escalate', 330],
      ['escalate', 528],
    ],
  );
  const passed = resumeSchedule(
    { ...resting, steps: [{ at: '', kind: 'warn', share: 0.01 }] },
    zoned('Africa/Cairo'),
    local('2026-12-23T00:00'),
  );
  t.strictSame(passed.next_step_at, local('2026-12-23T00:00'), 'never in the pause');
});

t.test('no pause brings a deadline forward, and each keeps as many days as were left', async () => {
  const gap = fc.record({ runs: fc.nat(5 * DAY), rests: fc.nat(40 * DAY) });
  fc.assert(
    fc.property(zone, instant, fc.boolean(), fc.array(gap, { maxLength: 4 }), (name, started_at, count_first_day, gaps) => {
      const of = policy({ clock: 'calendar_days', duration: 'P12D', count_first_day });
      let timer: Reckoned = schedule(of, started_at, zoned(name));
      let now = started_at.getTime();
      for (const { runs, rests } of gaps) {
        const before = timer.due_at;
        const paused_at = new Date(now + runs);
        now += runs + rests;
        if (paused_at >= before) return true;
        const { left } = takeDue(timer.steps, paused_at);
        timer = { ...timer, ...resumeSchedule({ ...timer, steps: left, paused_at }, zoned(name), new Date(now)) };
        const { due_at, steps } = timer;
        if (due_at < before || !isLastOf(due_at, wallDay(due_at, name), name)) return false;
        const days = (from: Date, to: Date) =>
          Math.round((Date.parse(wallDay(to, name)) - Date.parse(wallDay(from, name))) / DAY);
        const slipped = days(before, due_at);
        // A midnight that passes in the pause costs a day, unless the day would not have counted anyhow.
        if (slipped !== days(paused_at, new Date(now)) && days(started_at, paused_at) > 0) return false;
        if (steps.some(step => step.kind === 'warn' && Date.parse(step.at) < now)) return false;
        if (steps.some((step, i) => i > 0 && step.at < steps[i - 1]!.at)) return false;
      }
      return true;
    }),
  );
});

t.test('a calendar that changes moves what is ahead, and nothing that has happened', async t => {
  const of = policy({ clock: 'working_days', duration: 'P3D' });
  const before = compileCalendar(calendar());
  const timer = schedule(of, local('2026-11-19T10:00'), before);
  t.strictSame(timer.due_at, local('2026-11-24T15:00'));
  const holiday = { date: '2026-11-23', name: 'Founding day', hours: [], status: 'announced' as const };
  const after = compileCalendar(calendar({ holidays: [holiday] }));
  const now = local('2026-11-22T20:00');
  const { left } = takeDue(timer.steps, now);
  t.strictSame(
    left.map(({ kind }) => kind),
    ['warn', 'breach', 'escalate', 'escalate', 'escalate'],
    'one warning was before',
  );
  const moved = moveSchedule({ ...timer, steps: left }, after, now);
  t.strictSame(moved.due_at, local('2026-11-25T15:00'));
  const span = moved.due_at.getTime() - timer.started_at.getTime();
  t.strictSame(
    moved.steps.map(({ at }) => (Date.parse(at) - timer.started_at.getTime()) / span),
    [0.8, 1, 1, 1.25, 2],
  );
  t.strictSame(moved.next_step_at, new Date(moved.steps[0]!.at));
  const back = moveSchedule({ ...timer, ...moved }, before, local('2026-11-24T14:00'));
  t.strictSame(back.due_at, timer.due_at, 'and back');
  t.strictSame(
    back.steps[0],
    { at: local('2026-11-24T14:00').toISOString(), kind: 'warn', share: 0.8 },
    'not warned in the past',
  );
  const late = moveSchedule({ ...timer, ...moved }, before, local('2026-11-24T20:00'));
  t.strictSame(late.due_at, moved.due_at, 'nobody is late by what was not known in time');
  const named = schedule(of, local('2026-11-19T10:00'), before, local('2026-11-24T09:00'));
  t.strictSame(moveSchedule(named, after, now).due_at, named.due_at, 'what somebody named stands');
});

t.test('a floor is reached, and neither warns nor escalates', async t => {
  const { steps, next_step_at, due_at } = schedule(policy({ kind: 'floor', duration: 'P30D' }), START, zoned('UTC'));
  t.strictSame(steps, [{ at: at(30 * DAY).toISOString(), kind: 'reach', share: 1 }]);
  t.strictSame([next_step_at, due_at], [at(30 * DAY), at(30 * DAY)]);
});

t.test('an offer that fell due while the service was down is kept open', async t => {
  const grace = 10 * MINUTE;
  const rows: [string, number, Uptime | null, number, number, number | null][] = [
    ['nothing is known of an outage', 0, null, grace, 5, null],
    ['it fell due while the service ran', 10, { running_since: at(5 * MINUTE), up: true }, grace, 11, null],
    ['it fell due as the service came back', 5, { running_since: at(5 * MINUTE), up: true }, grace, 5, null],
    ['it fell due before', 4, { running_since: at(5 * MINUTE), up: true }, grace, 6, 15],
    ['the grace is over', 4, { running_since: at(5 * MINUTE), up: true }, grace, 15, null],
    ['a part of it is down', 10, { running_since: at(5 * MINUTE), up: false }, grace, 11, 21],
    ['there is no grace', 4, { running_since: at(5 * MINUTE), up: true }, 0, 6, null],
    ['there is no grace, and it is down', 4, { running_since: at(5 * MINUTE), up: false }, 0, 6, null],
  ];
  for (const [name, due, uptime, grace_ms, now, until] of rows) {
    const expected = until === null ? null : at(until * MINUTE);
    t.strictSame(keptOpenUntil(at(due * MINUTE), uptime, grace_ms, at(now * MINUTE)), expected, name);
  }
  const steps: TimerStep[] = [
    { at: at(1).toISOString(), kind: 'escalate', level: 1, to: 'responsible' },
    { at: at(9).toISOString(), kind: 'escalate', level: 2, to: 'supervisor' },
  ];
  t.strictSame(
    withExpiry(steps, at(5)).map(({ at, kind }) => [kind, at]),
    [
      ['escalate', at(1).toISOString()],
      ['expire', at(5).toISOString()],
      ['escalate', at(9).toISOString()],
    ],
  );
});

t.test('the most specific policy wins', async t => {
  const named = (source: string, applies_to: Policy['applies_to'], name = 'respond') => policy({ name, applies_to, source });
  const policies = [
    named('any', {}),
    named('urgent', { urgency: 'urgent' }),
    named('urgent shelter', { urgency: 'urgent', service: 'shelter_accommodation' }),
    named('all four', { urgency: 'urgent', service: 'shelter_accommodation', agency_kind: 'shelter', stage: 'reported' }),
    named('police', { agency_kind: 'police' }),
    named('other', { urgency: 'urgent', service: 'medical', agency_kind: 'health' }, 'acknowledge'),
  ];
  const rows: [string | undefined, Parameters<typeof findPolicy>[2], string?][] = [
    ['any', {}],
    ['any', { urgency: 'routine' }],
    ['urgent', { urgency: 'urgent' }],
    ['urgent', { urgency: 'urgent', service: 'medical' }],
    ['urgent shelter', { urgency: 'urgent', service: 'shelter_accommodation', agency_kind: 'shelter' }],
    ['all four', { urgency: 'urgent', service: 'shelter_accommodation', agency_kind: 'shelter', stage: 'reported' }],
    ['police', { agency_kind: 'police', urgency: 'routine' }],
    ['other', { urgency: 'urgent', service: 'medical', agency_kind: 'health' }, 'acknowledge'],
    [undefined, { urgency: 'urgent' }, 'acknowledge'],
    [undefined, {}, 'unheard_of'],
  ];
  for (const order of [policies, policies.toReversed()]) {
    for (const [source, facts, name = 'respond'] of rows)
      t.equal(findPolicy(order, name, facts)?.source, source, JSON.stringify(facts));
  }
});

t.test('the illustrative defaults are those of the page on clocks', async t => {
  const E = ['PT15M', 'expire_offer'] as const;
  const page: Record<string, readonly (readonly [string, string?, string?])[]> = {
    // emergency, urgent, routine
    acknowledge: [E, ['PT2H'], ['P1D', undefined, 'working_days']],
    respond: [
      ['PT1H', 'expire_offer'],
      ['PT24H', 'expire_offer'],
      ['P3D', 'expire_offer', 'working_days'],
    ],
    inform: [['PT15M'], ['PT4H', 'resume_respond'], ['P2D', 'resume_respond', 'working_days']],
    waitlist_review: [
      ['PT1H', 'expire_offer'],
      ['PT24H', 'expire_offer'],
      ['P5D', 'expire_offer', 'working_days'],
    ],
    handover: [['PT6H'], ['PT48H'], ['P5D', undefined, 'working_days']],
    review: [['PT72H'], ['P14D', undefined, 'calendar_days'], ['P30D', undefined, 'calendar_days']],
    unplaced_review: [['PT15M'], ['PT4H'], ['P1D', undefined, 'working_days']],
    missing_person_check: [['PT1H'], ['PT1H'], ['PT1H']],
    safety_ack: [['PT15M'], ['PT15M'], ['PT15M']],
    deletion_confirmation: [['P10D'], ['P10D', undefined, 'working_days'], ['P10D', undefined, 'working_days']],
    follow_up: [['P30D'], ['P30D', undefined, 'calendar_days'], ['P30D', undefined, 'calendar_days']],
    ground_review: [['PT24H'], ['PT24H'], ['PT24H']],
    welfare_check: [['PT24H'], ['PT24H'], ['PT24H']],
  };
  const { policies, outage_grace } = illustrativePack('XA');
  t.equal(outage_grace.duration, 'PT10M');
  t.strictSame([...REFERRAL_TIMERS].sort(), Object.keys(page).sort());
  for (const [name, durations] of Object.entries(page)) {
    for (const [i, urgency] of URGENCIES.entries()) {
      const found = findPolicy(policies, name, { urgency, service: 'medical', agency_kind: 'health' })!;
      const [duration, on_breach, clock = 'elapsed'] = durations[i]!;
      t.equal(found.duration, duration, `${name}, ${urgency}`);
      t.equal(found.clock, clock, `${name}, ${urgency}: its clock`);
      t.strictSame(found.on_breach, on_breach && [on_breach], `${name}, ${urgency}: what its breach does`);
      t.match(found.source, /illustrative/);
      if (urgency === 'emergency') t.equal(found.clock, 'elapsed');
    }
  }
});

t.test('the fast pack is the same for every urgency', async t => {
  const { policies, outage_grace } = fastPack('XB');
  t.equal(outage_grace.duration, 'PT0S');
  const page: [string, string, string?][] = [
    ['acknowledge', 'PT2S'],
    ['respond', 'PT4S', 'expire_offer'],
    ['inform', 'PT4S', 'resume_respond'],
    ['handover', 'PT30S'],
    ['review', 'PT60S'],
    ['unplaced_review', 'PT4S'],
    ['deletion_confirmation', 'P10D'],
  ];
  for (const urgency of URGENCIES) {
    for (const [name, duration, on_breach] of page) {
      const found = findPolicy(policies, name, { urgency })!;
      t.strictSame([found.duration, found.on_breach], [duration, on_breach && [on_breach]], `${name}, ${urgency}`);
    }
    t.strictSame(
      findPolicy(policies, 'waitlist_review', { urgency })!.on_breach,
      ['expire_offer'],
      'what is not named is as in XA',
    );
  }
});

t.test('every timer of the lifecycle has a policy, whatever the referral is about', async t => {
  const names = [
    'acknowledge',
    'respond',
    'inform',
    'waitlist_review',
    'handover',
    'review',
    'missing_person_check',
    'follow_up',
  ];
  for (const { policies } of [illustrativePack('XA'), fastPack('XB')]) {
    for (const urgency of URGENCIES) {
      for (const service of SERVICES) {
        for (const agency_kind of AGENCY_KINDS) {
          for (const name of names)
            if (!findPolicy(policies, name, { urgency, service, agency_kind })) t.fail(`${name} for ${service}`);
        }
      }
    }
  }
});
