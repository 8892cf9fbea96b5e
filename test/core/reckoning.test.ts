import fc from 'fast-check';
import t from 'tap';
import { type CompiledCalendar, compileCalendar, dateOf, type Interval, openSpans } from '../../src/core/calendar.ts';
import { type Reckoned, resumeSchedule, schedule } from '../../src/core/clock.ts';
import type { Policy } from '../../src/core/policy.ts';
import { type ClockRule, explain, type Pause, reckon } from '../../src/core/reckoning.ts';
import { calendar, OFFICE, SUN_TO_THU } from '../support/calendars.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const holiday = (date: string, hours: Interval[] = []) => ({ date, name: date, hours, status: 'fixed' as const });
const OPEN = compileCalendar(calendar());

/** An instant from what the clock on the wall says; a day of November 2026 may stand without year and month. */
const local = (text: string, time_zone = 'Africa/Cairo') => {
  const full = text.startsWith('2026-') ? text : `2026-11-${text}`;
  return new Date(Temporal.PlainDateTime.from(full).toZonedDateTime(time_zone).epochMilliseconds);
};
const rests = (...pairs: [string, string][]): Pause[] => pairs.map(([from, to]) => ({ from: local(from), to: local(to) }));

t.test('the reckoning table of the page on clocks', async t => {
  const closed = compileCalendar(calendar({ holidays: [holiday('2026-11-23')] }));
  const half = compileCalendar(calendar({ holidays: [holiday('2026-11-24', [['08:00', '12:00']])] }));
  const rows: [ClockRule['clock'], string, string, string, CompiledCalendar?, Pause[]?, boolean?][] = [
    ['elapsed', 'PT1H', '19T14:30', '19T15:30'],
    ['working_time', 'PT2H', '19T14:00', '22T09:00'],
    ['working_days', 'P3D', '19T10:00', '24T15:00'],
    ['working_days', 'P3D', '20T10:00', '24T15:00'],
    ['working_days', 'P3D', '19T10:00', '25T15:00', closed],
    ['working_days', 'P3D', '19T10:00', '24T12:00', half],
    ['calendar_days', 'P30D', '21T09:00', '2026-12-21T23:59:59.999'],
    ['calendar_days', 'P30D', '21T09:00', '2026-12-20T23:59:59.999', OPEN, [], true],
    ['calendar_months', 'P1M', '2026-01-31T09:00', '2026-02-28T23:59:59.999'],
    ['working_time', 'PT2H', '22T08:30', '22T12:30', OPEN, rests(['22T09:00', '22T11:00'])],
    ['elapsed', 'PT24H', '2026-04-23T12:00', '2026-04-24T13:00'],
  ];
  for (const [clock, duration, start, due, of = OPEN, pauses = [], count_first_day] of rows) {
    const policy = { clock, duration, count_first_day };
    t.strictSame(reckon(policy, local(start), of, pauses), local(due), `${clock} ${duration} from ${start}`);
  }
});

t.test('the day on which working days start', async t => {
  const split = compileCalendar(
    calendar({
      weeks: [
        {
          valid_from: '2000-01-01',
          days: {
            ...SUN_TO_THU,
            thu: [
              ['08:00', '12:00'],
              ['13:00', '15:00'],
            ],
          },
        },
      ],
    }),
  );
  const rows: [string, number, boolean, string, string, CompiledCalendar?][] = [
    ['never counts', 1, false, '19T07:00', '22T15:00'],
    ['counts before it opens', 1, true, '19T07:00', '19T15:00'],
    ['counts while it is open', 2, true, '19T10:00', '22T15:00'],
    ['counts a millisecond before it closes', 1, true, '19T14:59:59.999', '19T15:00'],
    ['does not count as it closes', 1, true, '19T15:00', '22T15:00'],
    ['does not count after', 1, true, '19T20:00', '22T15:00'],
    ['does not count when it is closed', 1, true, '20T10:00', '22T15:00'],
    ['counts in a break', 1, true, '19T12:30', '19T15:00', split],
    ['begins at midnight', 1, true, '22T00:00', '22T15:00'],
    ['ends before midnight', 1, false, '21T23:59:59.999', '22T15:00'],
    ['begins at midnight and does not count', 1, false, '22T00:00', '23T15:00'],
  ];
  for (const [name, count, count_first_day, start, due, of = OPEN] of rows) {
    const policy: ClockRule = { clock: 'working_days', duration: `P${count}D`, count_first_day };
    t.strictSame(reckon(policy, local(start), of), local(due), name);
  }
});

t.test('working time runs while it is open', async t => {
  const shifts = compileCalendar(
    calendar({
      weeks: [
        {
          valid_from: '2000-01-01',
          days: {
            sun: [['22:00', '24:00']],
            mon: [
              ['00:00', '06:00'],
              ['22:00', '24:00'],
            ],
            tue: [['00:00', '06:00']],
          },
        },
      ],
    }),
  );
  const rows: [string, string, string, string, CompiledCalendar?][] = [
    ['up to the close, not to the next opening', 'PT1H', '19T14:00', '19T15:00'],
    ['from the close', 'PT1H', '19T15:00', '22T09:00'],
    ['from before it opens', 'PT1H', '19T05:00', '19T09:00'],
    ['a whole week', 'PT35H', '22T08:00', '26T15:00'],
    ['one second over a week', 'PT35H1S', '22T08:00', '29T08:00:01'],
    ['a day is 24 hours', 'P1D', '22T08:00', '25T11:00'],
    ['nothing', 'PT0S', '20T10:00', '20T10:00'],
    ['over midnight', 'PT5H', '22T23:00', '23T04:00', shifts],
    ['up to midnight', 'PT2H', '22T20:00', '23T00:00', shifts],
    ['from shift to shift', 'PT9H', '22T20:00', '23T23:00', shifts],
  ];
  for (const [name, duration, start, due, of = OPEN] of rows)
    t.strictSame(reckon({ clock: 'working_time', duration }, local(start), of), local(due), name);
});

t.test('a shift over midnight is a day for each part of it', async t => {
  const shifts = compileCalendar(
    calendar({ weeks: [{ valid_from: '2000-01-01', days: { sun: [['22:00', '24:00']], mon: [['00:00', '06:00']] } }] }),
  );
  const rows: [number, boolean, string, string][] = [
    [1, false, '21T10:00', '23T00:00'],
    [2, false, '21T10:00', '23T06:00'],
    [1, false, '22T23:00', '23T06:00'],
    [1, true, '22T23:00', '23T00:00'],
    [1, true, '23T05:00', '23T06:00'],
  ];
  for (const [count, count_first_day, start, due] of rows)
    t.strictSame(
      reckon({ clock: 'working_days', duration: `P${count}D`, count_first_day }, local(start), shifts),
      local(due),
      `${count} from ${start}`,
    );
});

t.test('where the clocks change', async t => {
  const of = (time_zone: string, ...hours: Interval[]) => {
    const days = Object.fromEntries(['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'].map(day => [day, hours]));
    return compileCalendar(calendar({ time_zone, weeks: [{ valid_from: '1900-01-01', days }] }));
  };
  const rows: [string, ClockRule['clock'], string, string, string, CompiledCalendar][] = [
    [
      'an hour that is skipped',
      'working_time',
      'PT4H',
      '2026-04-23T20:00Z',
      '2026-04-24T00:00Z',
      of('Africa/Cairo', ['00:00', '24:00']),
    ],
    [
      'a day that begins at 01:00',
      'working_time',
      'PT1H',
      '2026-04-23T21:00Z',
      '2026-04-23T23:00Z',
      of('Africa/Cairo', ['00:00', '02:00']),
    ],
    [
      'an hour that comes twice',
      'working_time',
      'PT3H',
      '2026-10-24T22:00Z',
      '2026-10-25T02:00Z',
      of('Europe/London', ['00:00', '05:00']),
    ],
    [
      'half an hour that is skipped',
      'working_time',
      'PT1H',
      '2026-10-03T15:00Z',
      '2026-10-03T16:30Z',
      of('Australia/Lord_Howe', ['02:00', '09:00']),
    ],
    [
      'a close that comes twice',
      'working_days',
      'P1D',
      '2026-10-24T12:00Z',
      '2026-10-25T01:30Z',
      of('Europe/London', ['00:00', '01:30']),
    ],
    [
      'a close that is skipped',
      'working_days',
      'P1D',
      '2026-03-28T12:00Z',
      '2026-03-29T01:00Z',
      of('Europe/London', ['00:00', '01:30']),
    ],
    [
      'all hours of a day are skipped',
      'working_days',
      'P1D',
      '2026-04-23T12:00Z',
      '2026-04-24T22:00Z',
      of('Africa/Cairo', ['00:00', '01:00']),
    ],
    [
      'a day that never was',
      'working_days',
      'P1D',
      '2011-12-29T20:00Z',
      '2011-12-31T01:00Z',
      of('Pacific/Apia', ['08:00', '15:00']),
    ],
    [
      'a day that ends twice',
      'working_time',
      'PT26H',
      '2010-11-06T02:30Z',
      '2010-11-07T04:30Z',
      of('America/St_Johns', ['00:00', '24:00']),
    ],
  ];
  for (const [name, clock, duration, start, due, calendar] of rows)
    t.strictSame(reckon({ clock, duration }, new Date(start), calendar), new Date(due), name);
});

t.test('working days keep those that are not completed', async t => {
  const three = { clock: 'working_days', duration: 'P3D' } as const;
  // From Thursday the 19th, 10:00: Sunday 22nd, Monday 23rd, Tuesday 24th.
  const rows: [string, Pause[], string, boolean?][] = [
    ['within one day', rests(['22T09:00', '22T14:00']), '24T15:00'],
    ['over a close', rests(['22T09:00', '22T16:00']), '25T15:00'],
    ['until it closes', rests(['22T09:00', '22T15:00']), '25T15:00'],
    ['until a millisecond before', rests(['22T09:00', '22T14:59:59.999']), '24T15:00'],
    ['from when it closes', rests(['22T15:00', '23T10:00']), '24T15:00'],
    ['from a millisecond before', rests(['22T14:59:59.999', '23T10:00']), '25T15:00'],
    ['over a night', rests(['22T16:00', '23T07:00']), '24T15:00'],
    ['over a night and a day', rests(['22T16:00', '23T17:00']), '25T15:00'],
    ['over days that are closed', rests(['20T08:00', '21T20:00']), '24T15:00'],
    ['on the day on which it starts', rests(['19T11:00', '19T12:00']), '24T15:00'],
    ['from the start', rests(['19T10:00', '22T10:00']), '24T15:00'],
    ['from the start over a day', rests(['19T10:00', '22T15:00']), '25T15:00'],
    ['on the day on which it starts, which counts', rests(['19T11:00', '19T12:00']), '23T15:00', true],
    ['over its close, and it counts', rests(['19T11:00', '19T16:00']), '24T15:00', true],
    ['for weeks', rests(['23T10:00', '2026-12-10T12:00']), '2026-12-13T15:00'],
    ['until a day that is closed', rests(['23T10:00', '2026-12-11T12:00']), '2026-12-14T15:00'],
    ['on the last day', rests(['24T14:59', '25T07:00']), '25T15:00'],
    ['twice on a day', rests(['22T09:00', '22T10:00'], ['22T11:00', '22T12:00']), '24T15:00'],
    ['two days', rests(['22T14:00', '22T16:00'], ['23T14:00', '24T07:00']), '2026-11-26T15:00'],
    ['one behind the other', rests(['22T14:00', '22T15:00'], ['22T15:00', '23T15:00']), '2026-11-26T15:00'],
    ['for no time, just before a close', rests(['22T14:59', '22T14:59']), '24T15:00'],
    ['for no time, at a close', rests(['22T15:00', '22T15:00']), '24T15:00'],
    ['from when it is due: nothing', rests(['24T15:00', '25T15:00']), '24T15:00'],
  ];
  for (const [name, pauses, due, count_first_day] of rows)
    t.strictSame(reckon({ ...three, count_first_day }, local('19T10:00'), OPEN, pauses), local(due), name);
});

t.test('working time and elapsed keep what is left', async t => {
  const rows: [string, ClockRule['clock'], Pause[], string][] = [
    ['while it is closed', 'working_time', rests(['22T16:00', '23T07:00']), '23T11:00'],
    ['while it is open', 'working_time', rests(['22T09:00', '22T10:30']), '23T12:30'],
    ['over an opening', 'working_time', rests(['22T16:00', '23T09:15']), '23T12:15'],
    ['over a close', 'working_time', rests(['22T14:00', '22T19:00']), '23T12:00'],
    ['from the start', 'working_time', rests(['22T08:00', '22T09:00']), '23T12:00'],
    ['from the start, before it opens', 'working_time', rests(['22T07:00', '22T07:30']), '23T11:00'],
    ['over whole days', 'working_time', rests(['22T09:00', '25T09:00']), '26T11:00'],
    ['just before it is due', 'working_time', rests(['23T10:59:59.999', '24T10:00']), '24T10:00:00.001'],
    [
      'three times',
      'working_time',
      rests(['22T09:00', '22T10:00'], ['22T10:00', '22T11:00'], ['23T08:00', '23T09:00']),
      '23T14:00',
    ],
    ['when it is due: nothing', 'working_time', rests(['23T11:00', '24T10:00']), '23T11:00'],
    ['once', 'elapsed', rests(['22T09:00', '22T10:30']), '22T18:30'],
    ['over nights', 'elapsed', rests(['22T09:00', '24T09:00']), '24T17:00'],
    ['twice', 'elapsed', rests(['22T07:00', '22T08:00'], ['22T16:59', '23T00:00']), '23T01:01'],
    ['when it is due: nothing', 'elapsed', rests(['22T17:00', '24T10:00']), '22T17:00'],
  ];
  // Ten hours: of Sunday the 22nd from 08:00, and three of the Monday.
  for (const [name, clock, pauses, due] of rows)
    t.strictSame(reckon({ clock, duration: 'PT10H' }, local('22T07:00'), OPEN, pauses), local(due), `${clock} rests ${name}`);
});

t.test('months that rest keep their days', async t => {
  const month = { clock: 'calendar_months', duration: 'P1M' } as const;
  const due = (...pauses: [string, string][]) => reckon(month, local('2026-01-31T09:00'), OPEN, rests(...pauses));
  t.strictSame(due(['2026-02-20T09:00', '2026-03-01T09:00']), local('2026-03-09T23:59:59.999'));
  t.strictSame(due(['2026-01-31T10:00', '2026-01-31T11:00']), local('2026-02-28T23:59:59.999'));
  t.strictSame(due(['2026-02-01T10:00', '2026-02-02T11:00']), local('2026-03-01T23:59:59.999'));
  const first = reckon({ ...month, count_first_day: true }, local('2026-01-31T09:00'), OPEN);
  t.strictSame(first, local('2026-02-28T23:59:59.999'), 'whether the first day counts is nothing to months');
});

t.test('durations that a clock does not know', async t => {
  const rows: [ClockRule['clock'], string[]][] = [
    ['elapsed', ['', 'P', 'PT', 'P1M', 'P1Y', 'PT1.5H', '-PT1H', 'P40000D']],
    ['working_time', ['', 'P', 'PT', 'P1M', 'P1Y', 'PT1.5H', '-PT1H', 'P40000D']],
    ['calendar_days', ['', 'P', 'P0D', 'PT24H', 'P1M', 'P1DT1H', 'P40000D', 'P9999999999D']],
    ['calendar_months', ['', 'P', 'P0M', 'PT1M', 'P30D', 'P1W', 'P200Y', 'P9999999999Y']],
    ['working_days', ['', 'P', 'P0D', 'PT24H', 'P1W', 'P1M', 'P1DT1H', 'P40000D']],
  ];
  for (const [clock, durations] of rows)
    for (const duration of durations)
      t.throws(() => reckon({ clock, duration }, local('19T10:00'), OPEN), RangeError, `${clock} ${duration}`);
});

t.test('a calendar that is closed for ten years is closed', async t => {
  const over = compileCalendar(calendar({ weeks: [{ valid_from: '2000-01-01', valid_to: '2026-11-22', days: SUN_TO_THU }] }));
  for (const [clock, duration] of [
    ['working_days', 'P2D'],
    ['working_time', 'PT20H'],
  ] as const)
    t.throws(() => reckon({ clock, duration }, local('19T10:00'), over), { name: 'RangeError', message: /closed for ten years/ });
  t.strictSame(reckon({ clock: 'working_days', duration: 'P1D' }, local('19T10:00'), over), local('22T15:00'));
  t.strictSame(reckon({ clock: 'calendar_days', duration: 'P9D' }, local('19T10:00'), over), local('28T23:59:59.999'));
});

t.test('day by day', async t => {
  const of = compileCalendar(
    calendar({
      weeks: [{ valid_from: '2026-11-18', days: SUN_TO_THU }],
      holidays: [holiday('2026-11-23'), { ...holiday('2026-11-24', [['08:00', '12:00']]), name: 'Eve' }],
      seasons: [{ name: 'Short', from: '2026-11-26', to: '2026-11-30', days: { thu: [['09:00', '14:00']] } }],
    }),
  );
  const told = (policy: ClockRule, start: string, pauses: Pause[] = []) => {
    const { due_at, days } = explain(policy, local(start), of, pauses);
    t.strictSame(due_at, reckon(policy, local(start), of, pauses));
    return days.map(({ date, counted, why, name }) => [date.slice(8), counted, why, ...(name ? [name] : [])]);
  };
  t.strictSame(told({ clock: 'working_days', duration: 'P3D' }, '17T10:00', rests(['25T10:00', '25T17:00'])), [
    ['17', false, 'none'],
    ['18', true, 'week'],
    ['19', true, 'week'],
    ['20', false, 'week'],
    ['21', false, 'week'],
    ['22', true, 'week'],
  ]);
  t.strictSame(told({ clock: 'working_days', duration: 'P3D' }, '19T10:00', rests(['25T10:00', '25T17:00'])), [
    ['19', false, 'first_day'],
    ['20', false, 'week'],
    ['21', false, 'week'],
    ['22', true, 'week'],
    ['23', false, 'holiday', '2026-11-23'],
    ['24', true, 'holiday', 'Eve'],
    ['25', false, 'paused'],
    ['26', true, 'season', 'Short'],
  ]);
  t.strictSame(
    told({ clock: 'working_time', duration: 'PT14H' }, '19T16:00', rests(['24T07:00', '24T12:00'], ['25T10:00', '25T11:00'])),
    [
      ['19', 0, 'first_day'],
      ['20', 0, 'week'],
      ['21', 0, 'week'],
      ['22', 7 * HOUR, 'week'],
      ['23', 0, 'holiday', '2026-11-23'],
      ['24', 0, 'paused', 'Eve'],
      ['25', 6 * HOUR, 'week'],
      ['26', HOUR, 'season', 'Short'],
    ],
  );
  t.strictSame(told({ clock: 'calendar_days', duration: 'P2D' }, '22T10:00', rests(['23T10:00', '25T10:00'])), [
    ['22', false, 'first_day'],
    ['23', false, 'paused'],
    ['24', false, 'paused'],
    ['25', true, 'every_day'],
    ['26', true, 'every_day'],
  ]);
  t.strictSame(told({ clock: 'elapsed', duration: 'PT24H' }, '22T10:00', rests(['22T20:00', '25T00:00'])), [
    ['22', 10 * HOUR, 'every_day'],
    ['23', 0, 'paused'],
    ['24', 0, 'paused'],
    ['25', 14 * HOUR, 'every_day'],
  ]);
  const [day] = explain({ clock: 'working_time', duration: 'PT1H' }, local('24T10:00'), of).days;
  t.strictSame(day!.open, [[local('24T08:00'), local('24T12:00')]]);
  t.strictSame(explain({ clock: 'elapsed', duration: 'PT1H' }, local('24T10:00'), of).days[0]!.open, []);
});

/** Calendars of several zones, with a season, half days, shifts over midnight and holidays. */
const CALENDARS = ['Africa/Cairo', 'Europe/London', 'America/Sao_Paulo', 'Australia/Lord_Howe', 'America/Havana', 'UTC'].flatMap(
  time_zone => [
    compileCalendar(
      calendar({
        time_zone,
        weeks: [
          { valid_from: '2000-01-01', days: SUN_TO_THU },
          {
            valid_from: '2018-11-01',
            days: {
              mon: OFFICE,
              tue: [
                ['08:00', '12:00'],
                ['13:00', '17:00'],
              ],
              thu: OFFICE,
              fri: [['07:30', '12:00']],
            },
          },
        ],
        seasons: [{ name: 'Short', from: '2018-03-01', to: '2018-03-20', days: { mon: [['10:00', '12:00']] } }],
        holiday_rules: [{ name: 'Eid', calendar: 'islamic-umalqura', month: 10, day: 1, length: 3 }],
      }),
    ),
    compileCalendar(
      calendar({
        time_zone,
        weeks: [
          {
            valid_from: '2000-01-01',
            days: {
              sat: [['22:00', '24:00']],
              sun: [
                ['00:00', '02:00'],
                ['20:00', '24:00'],
              ],
              mon: [['00:00', '24:00']],
            },
          },
        ],
      }),
    ),
  ],
);
const NEAR = ['2018-02-15', '2018-06-10', '2018-11-01', '2018-10-25', '2018-03-08', '2018-03-23', '2018-04-01'];
const start = fc
  .tuple(fc.constantFrom(...NEAR), fc.integer({ min: -5 * 24 * 60, max: 5 * 24 * 60 }))
  .map(([date, minutes]) => new Date(Date.parse(`${date}T00:00Z`) + minutes * MINUTE));
const gaps = fc.array(fc.record({ runs: fc.nat(3 * 24 * 60), rests: fc.nat(6 * 24 * 60) }), { maxLength: 3 });

/** Pauses that begin before the clock is due. */
const pausesOf = (drawn: { runs: number; rests: number }[], started_at: Date, due: (pauses: Pause[]) => Date): Pause[] => {
  const pauses: Pause[] = [];
  let now = started_at.getTime();
  for (const { runs, rests } of drawn) {
    const from = new Date(now + runs * MINUTE);
    if (from >= due(pauses)) break;
    now = from.getTime() + rests * MINUTE;
    pauses.push({ from, to: new Date(now) });
  }
  return pauses;
};

/** The close of each day, from a date on. */
function* closes(of: CompiledCalendar, at: Date): Generator<{ date: string; close: number | undefined }> {
  const date = Temporal.Instant.fromEpochMilliseconds(at.getTime()).toZonedDateTimeISO(of.time_zone).toPlainDate();
  for (let days = 0; days < 2_000; days++) {
    const text = date.add({ days }).toString();
    yield { date: text, close: openSpans(of, text).at(-1)?.to.getTime() };
  }
}

/** Working days as the page says it: stretch by stretch between pauses. */
function inWords(of: CompiledCalendar, count: number, started_at: Date, pauses: Pause[], count_first_day: boolean): number {
  const [first] = closes(of, started_at);
  const counts = count_first_day && first!.close !== undefined && started_at.getTime() < first!.close;
  let left = count;
  for (const [i, from] of [started_at, ...pauses.map(({ to }) => to)].entries()) {
    const until = pauses[i]?.from.getTime() ?? Number.POSITIVE_INFINITY;
    for (const { date, close } of closes(of, from)) {
      if (date === first!.date && !counts) continue;
      if (close === undefined || (i > 0 && close <= from.getTime())) continue;
      if (close > until) break;
      left--;
      if (left === 0) return close;
    }
  }
  return Number.NaN;
}

t.test('working days are as the page has them, word for word', async () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...CALENDARS),
      start,
      fc.integer({ min: 1, max: 9 }),
      fc.boolean(),
      gaps,
      (of, at, n, first, drawn) => {
        const policy = { clock: 'working_days', duration: `P${n}D`, count_first_day: first } as const;
        const pauses = pausesOf(drawn, at, pauses => reckon(policy, at, of, pauses));
        const { due_at, days } = explain(policy, at, of, pauses);
        if (days.filter(({ counted }) => counted === true).length !== n) return false;
        if (dateOf(of.dayOf(due_at.getTime() - 1)) !== days.at(-1)!.date) return false;
        return due_at.getTime() === inWords(of, n, at, pauses, first);
      },
    ),
    { numRuns: 500 },
  );
});

t.test('working time is as a count of the minutes has it', async () => {
  fc.assert(
    fc.property(fc.constantFrom(...CALENDARS), start, fc.integer({ min: 1, max: 2_000 }), gaps, (of, at, minutes, drawn) => {
      const policy = { clock: 'working_time', duration: `PT${minutes}M` } as const;
      const pauses = pausesOf(drawn, at, pauses => reckon(policy, at, of, pauses));
      const { due_at, days } = explain(policy, at, of, pauses);
      if (days.reduce((sum, { counted }) => sum + Number(counted), 0) !== minutes * MINUTE) return false;
      const spans: { from: Date; to: Date }[] = [];
      for (const { date } of closes(of, new Date(at.getTime() - DAY))) {
        spans.push(...openSpans(of, date));
        if (spans.some(({ from }) => from >= due_at)) break;
      }
      const within = (some: readonly Pause[], ms: number) =>
        some.some(({ from, to }) => from.getTime() <= ms && ms < to.getTime());
      let ms = at.getTime();
      for (let left = minutes; left > 0; ms += MINUTE) if (within(spans, ms) && !within(pauses, ms)) left--;
      return due_at.getTime() === ms;
    }),
    { numRuns: 200 },
  );
});

t.test('a timer that is paused and resumed falls due as its clock is reckoned', async () => {
  const clock = fc.constantFrom<[ClockRule['clock'], string]>(
    ['elapsed', 'PT50H'],
    ['calendar_days', 'P9D'],
    ['calendar_months', 'P2M'],
    ['working_days', 'P4D'],
    ['working_time', 'PT21H'],
  );
  fc.assert(
    fc.property(
      fc.constantFrom(...CALENDARS),
      start,
      clock,
      fc.boolean(),
      gaps,
      (of, started_at, [clock, duration], first, drawn) => {
        const count_first_day = first && clock === 'calendar_days';
        const policy: Policy = {
          name: '',
          applies_to: {},
          kind: 'deadline',
          calendar: 'jurisdiction',
          warn_at: [],
          escalate: [],
          source: '',
          clock,
          duration,
          count_first_day,
        };
        const pauses = pausesOf(drawn, started_at, pauses => reckon(policy, started_at, of, pauses));
        let timer: Reckoned = schedule(policy, started_at, of);
        for (const { from, to } of pauses) timer = { ...timer, ...resumeSchedule({ ...timer, paused_at: from }, of, to) };
        return reckon(policy, started_at, of, pauses).getTime() === timer.due_at.getTime();
      },
    ),
    { numRuns: 500 },
  );
});

t.test('no pause brings a due time forward', async () => {
  const clock = fc.constantFrom<ClockRule>(
    { clock: 'elapsed', duration: 'PT30H' },
    { clock: 'calendar_days', duration: 'P4D' },
    { clock: 'working_days', duration: 'P4D' },
    { clock: 'working_days', duration: 'P4D', count_first_day: true },
    { clock: 'working_time', duration: 'PT21H' },
  );
  fc.assert(
    fc.property(fc.constantFrom(...CALENDARS), start, clock, gaps, (of, at, policy, drawn) => {
      const pauses = pausesOf(drawn, at, pauses => reckon(policy, at, of, pauses));
      return pauses.every((_, i) => reckon(policy, at, of, pauses.slice(0, i)) <= reckon(policy, at, of, pauses.slice(0, i + 1)));
    }),
    { numRuns: 500 },
  );
});
