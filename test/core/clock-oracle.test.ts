import t, { type Test } from 'tap';
import { clockCase, readable, smallest, ZONES } from '../support/clock-cases.ts';
import {
  CHOICES,
  type Choices,
  type Hours,
  monthAndDay,
  type OracleCalendar,
  type OraclePolicy,
  oracle,
  WEEKDAYS,
  wallOf,
} from '../support/clock-oracle.ts';

/**
 * The oracle is worth what it is itself right about: the contract's table, and days on which clocks are put forward or back, worked
 * out on paper. `+03:00` beside a local time is the offset that the paper says is in force.
 */

const DAYTIME: Hours = [['08:00', '15:00']];
const SUN_TO_THU = { sun: DAYTIME, mon: DAYTIME, tue: DAYTIME, wed: DAYTIME, thu: DAYTIME };

const calendar = (more: Partial<OracleCalendar> = {}): OracleCalendar => ({
  id: 'cal_1',
  name: 'By hand',
  time_zone: 'Africa/Cairo',
  weeks: [{ valid_from: '2010-01-01', days: SUN_TO_THU }],
  holidays: [],
  seasons: [],
  holiday_rules: [],
  ...more,
});
const daily = (time_zone: string, ...hours: Hours) =>
  calendar({ time_zone, weeks: [{ valid_from: '2010-01-01', days: Object.fromEntries(WEEKDAYS.map(it => [it, hours])) }] });
const closed = (date: string, hours: Hours = [], status: 'fixed' | 'estimated' | 'announced' = 'fixed', name = date) => ({
  date,
  name,
  hours,
  status,
});

type Row = [
  said: string,
  clock: OraclePolicy['clock'],
  duration: string,
  start: string,
  due: string,
  more?: { calendar?: OracleCalendar; count_first_day?: boolean; pauses?: [string, string][]; choices?: Partial<Choices> },
];

function hold(t: Test, rows: Row[]): void {
  for (const [said, clock, duration, start, due, more = {}] of rows) {
    const policy = { clock, duration, ...(more.count_first_day ? { count_first_day: true } : {}) };
    const pauses = (more.pauses ?? []).map(([from, to]) => ({ from: new Date(from), to: new Date(to) }));
    const found = oracle(policy, new Date(start), more.calendar ?? calendar(), pauses, { ...CHOICES, ...more.choices });
    t.equal(found.toISOString(), new Date(due).toISOString(), said);
  }
  t.end();
}

t.test("the contract's table", t =>
  hold(t, [
    ['elapsed', 'elapsed', 'PT1H', '2026-11-19T14:30+02:00', '2026-11-19T15:30+02:00'],
    ['over a weekend', 'working_time', 'PT2H', '2026-11-19T14:00+02:00', '2026-11-22T09:00+02:00'],
    ['the starting day does not count', 'working_days', 'P3D', '2026-11-19T10:00+02:00', '2026-11-24T15:00+02:00'],
    ['started on a closed day', 'working_days', 'P3D', '2026-11-20T10:00+02:00', '2026-11-24T15:00+02:00'],
    [
      'Monday closed',
      'working_days',
      'P3D',
      '2026-11-19T10:00+02:00',
      '2026-11-25T15:00+02:00',
      { calendar: calendar({ holidays: [closed('2026-11-23')] }) },
    ],
    [
      'Tuesday closes at noon',
      'working_days',
      'P3D',
      '2026-11-19T10:00+02:00',
      '2026-11-24T12:00+02:00',
      { calendar: calendar({ holidays: [closed('2026-11-24', [['08:00', '12:00']])] }) },
    ],
    ['calendar days', 'calendar_days', 'P30D', '2026-11-21T09:00+02:00', '2026-12-21T23:59:59.999+02:00'],
    [
      'counting the first',
      'calendar_days',
      'P30D',
      '2026-11-21T09:00+02:00',
      '2026-12-20T23:59:59.999+02:00',
      { count_first_day: true },
    ],
    ["clipped to the month's last", 'calendar_months', 'P1M', '2026-01-31T09:00+02:00', '2026-02-28T23:59:59.999+02:00'],
    [
      'paused',
      'working_time',
      'PT2H',
      '2026-11-22T08:30+02:00',
      '2026-11-22T12:30+02:00',
      { pauses: [['2026-11-22T09:00+02:00', '2026-11-22T11:00+02:00']] },
    ],
    ['over the change', 'elapsed', 'PT24H', '2026-04-23T12:00+02:00', '2026-04-24T13:00+03:00'],
  ]),
);

t.test('clocks are put forward', t =>
  hold(t, [
    // Cairo, Friday 2026-04-24: 00:00 (+2) is 01:00 (+3), that is 22:00Z on Thursday. Open 00:00–03:00 is open 01:00–03:00.
    [
      'opens after the gap',
      'working_time',
      'PT1H',
      '2026-04-23T20:00+02:00',
      '2026-04-24T02:00+03:00',
      { calendar: daily('Africa/Cairo', ['00:00', '03:00']) },
    ],
    // 00:15–00:45 is not there on Friday, so Friday is a day on which it is not open at all.
    [
      'hours within the gap',
      'working_days',
      'P1D',
      '2026-04-23T12:00+02:00',
      '2026-04-25T00:45+03:00',
      { calendar: daily('Africa/Cairo', ['00:15', '00:45']) },
    ],
    // Thursday ends where the gap begins.
    [
      'a day ends at the gap',
      'calendar_days',
      'P1D',
      '2026-04-23T12:00+02:00',
      '2026-04-23T21:59:59.999Z',
      { count_first_day: true },
    ],
    // Friday has 23 hours.
    ['a day begins with the gap', 'calendar_days', 'P1D', '2026-04-23T12:00+02:00', '2026-04-24T20:59:59.999Z'],
    // London, Sunday 2026-03-29: 01:00 (+0) is 02:00 (+1). Open 00:00–01:30 closes at the gap: one hour, the other on Monday.
    [
      'closes at the gap',
      'working_time',
      'PT2H',
      '2026-03-28T12:00Z',
      '2026-03-30T01:00+01:00',
      { calendar: daily('Europe/London', ['00:00', '01:30']) },
    ],
    [
      'the close, too, is there',
      'working_days',
      'P1D',
      '2026-03-28T12:00Z',
      '2026-03-29T01:00Z',
      { calendar: daily('Europe/London', ['00:00', '01:30']) },
    ],
    // Lord Howe, Sunday 2026-10-04: 02:00 (+10:30) is 02:30 (+11), 15:30Z on Saturday. Open 01:30–03:00 is an hour: until 16:00Z.
    [
      'by half an hour',
      'working_time',
      'PT1H',
      '2026-10-04T00:00+10:30',
      '2026-10-04T03:00+11:00',
      { calendar: daily('Australia/Lord_Howe', ['01:30', '03:00']) },
    ],
  ]),
);

t.test('clocks are put back', t =>
  hold(t, [
    // Cairo, Thursday 2026-10-29: 24:00 (+3) is 23:00 (+2), 21:00Z. Open 22:00–23:30 is 19:00Z to 21:30Z, without a hole.
    [
      'the later reading closes',
      'working_days',
      'P1D',
      '2026-10-28T12:00+03:00',
      '2026-10-29T21:30Z',
      { calendar: daily('Africa/Cairo', ['22:00', '23:30']) },
    ],
    [
      'open in between',
      'working_time',
      'PT2H15M',
      '2026-10-29T12:00+03:00',
      '2026-10-29T21:15Z',
      { calendar: daily('Africa/Cairo', ['22:00', '23:30']) },
    ],
    // It closes at 23:00, which the wall shows at 20:00Z and again at 21:00Z.
    [
      'at the first reading shown twice',
      'working_days',
      'P1D',
      '2026-10-28T12:00+03:00',
      '2026-10-29T23:00+02:00',
      { calendar: daily('Africa/Cairo', ['12:00', '23:00']) },
    ],
    [
      '24:00 is at the end',
      'working_days',
      'P1D',
      '2026-10-28T12:00+03:00',
      '2026-10-29T22:00Z',
      { calendar: daily('Africa/Cairo', ['12:00', '24:00']) },
    ],
    ['a day of 25 hours', 'calendar_days', 'P1D', '2026-10-28T12:00+03:00', '2026-10-29T21:59:59.999Z'],
    // London, Sunday 2026-10-25: 02:00 (+1) is 01:00 (+0). Open 01:30–03:00 is 00:30Z to 03:00Z.
    [
      'the earlier reading opens',
      'working_time',
      'PT1H',
      '2026-10-24T12:00+01:00',
      '2026-10-25T01:30Z',
      { calendar: daily('Europe/London', ['01:30', '03:00']) },
    ],
    // Two hours and a half of it on Sunday; the last quarter on Monday.
    [
      'and so it is long',
      'working_time',
      'PT2H45M',
      '2026-10-24T12:00+01:00',
      '2026-10-26T01:45Z',
      { calendar: daily('Europe/London', ['01:30', '03:00']) },
    ],
    // Apia, Sunday 2016-04-03: 04:00 (+14) is 03:00 (+13), 14:00Z on Saturday. Open 02:00–03:00 is 12:00Z to 14:00Z, and open
    // 03:30–12:00 begins at 13:30Z: nothing is consumed twice.
    [
      'hours that come to lie over one another',
      'working_time',
      'PT2H15M',
      '2016-04-03T00:00+14:00',
      '2016-04-03T03:15+13:00',
      { calendar: daily('Pacific/Apia', ['02:00', '03:00'], ['03:30', '12:00']) },
    ],
    // Lord Howe, Sunday 2026-04-05: 02:00 (+11) is 01:30 (+10:30), 15:00Z on Saturday. Open 01:00–02:00 is 14:00Z to 15:30Z.
    [
      'by half an hour',
      'working_days',
      'P1D',
      '2026-04-04T12:00+11:00',
      '2026-04-04T15:30Z',
      { calendar: daily('Australia/Lord_Howe', ['01:00', '02:00']) },
    ],
    // Amman, Friday 2015-10-30: 01:00 (+3) is 00:00 (+2), 22:00Z on Thursday. Thursday is over at the first midnight, at 21:00Z …
    [
      'midnight twice: a day ends at the first',
      'calendar_days',
      'P1D',
      '2015-10-29T12:00+03:00',
      '2015-10-29T20:59:59.999Z',
      { calendar: daily('Asia/Amman', ['00:00', '24:00']), count_first_day: true },
    ],
    [
      'and 24:00 with it',
      'working_days',
      'P1D',
      '2015-10-29T12:00+03:00',
      '2015-10-29T21:00Z',
      { calendar: daily('Asia/Amman', ['00:00', '24:00']), count_first_day: true },
    ],
    // … and Friday begins there.
    [
      'the next begins at the first',
      'working_time',
      'PT1H',
      '2015-10-29T12:00+03:00',
      '2015-10-29T22:00Z',
      { calendar: daily('Asia/Amman', ['00:00', '06:00']) },
    ],
  ]),
);

t.test('days and pauses', t => {
  // Started on Thursday the 19th at 10:00; Sunday, Monday and Tuesday are the three days.
  const days = (said: string, due: string, ...pauses: [string, string][]): Row => [
    said,
    'working_days',
    'P3D',
    '2026-11-19T10:00+02:00',
    due,
    { pauses },
  ];
  const on_first = { pauses: [['2026-11-19T11:00+02:00', '2026-11-19T12:00+02:00']] as [string, string][] };
  hold(t, [
    days('within a day', '2026-11-24T15:00+02:00', ['2026-11-22T09:00+02:00', '2026-11-22T14:59+02:00']),
    days('until the close: not completed, nor ahead', '2026-11-25T15:00+02:00', [
      '2026-11-22T09:00+02:00',
      '2026-11-22T15:00+02:00',
    ]),
    days('from the close on: completed', '2026-11-24T15:00+02:00', ['2026-11-22T15:00+02:00', '2026-11-23T08:00+02:00']),
    days('from a minute before it', '2026-11-25T15:00+02:00', ['2026-11-22T14:59+02:00', '2026-11-23T08:00+02:00']),
    days('over two closes', '2026-11-26T15:00+02:00', ['2026-11-22T14:59+02:00', '2026-11-23T15:00+02:00']),
    days('over a weekend: nothing is lost', '2026-11-24T15:00+02:00', ['2026-11-19T15:00+02:00', '2026-11-22T07:00+02:00']),
    days(
      'again and again',
      '2026-11-26T15:00+02:00',
      ['2026-11-22T14:00+02:00', '2026-11-22T16:00+02:00'],
      ['2026-11-23T07:00+02:00', '2026-11-23T20:00+02:00'],
    ),
    ['resumed on the starting day', 'working_days', 'P3D', '2026-11-19T10:00+02:00', '2026-11-24T15:00+02:00', on_first],
    [
      'or by the other reading',
      'working_days',
      'P3D',
      '2026-11-19T10:00+02:00',
      '2026-11-23T15:00+02:00',
      { ...on_first, choices: { resumed_on_starting_day: 'counts' } },
    ],
    [
      'the first counts before its close',
      'working_days',
      'P1D',
      '2026-11-19T14:59+02:00',
      '2026-11-19T15:00+02:00',
      { count_first_day: true },
    ],
    ['not at its close', 'working_days', 'P1D', '2026-11-19T15:00+02:00', '2026-11-22T15:00+02:00', { count_first_day: true }],
    [
      'calendar days: paused over one midnight',
      'calendar_days',
      'P2D',
      '2026-11-19T10:00+02:00',
      '2026-11-22T23:59:59.999+02:00',
      { pauses: [['2026-11-20T23:59+02:00', '2026-11-21T00:00+02:00']] },
    ],
    [
      'calendar days: paused at midnight',
      'calendar_days',
      'P2D',
      '2026-11-19T10:00+02:00',
      '2026-11-21T23:59:59.999+02:00',
      { pauses: [['2026-11-21T00:00+02:00', '2026-11-21T23:59+02:00']] },
    ],
    // 28 days to the 28th of February; ten are lost.
    [
      'months are so many days',
      'calendar_months',
      'P1M',
      '2026-01-31T09:00+02:00',
      '2026-03-10T23:59:59.999+02:00',
      { pauses: [['2026-02-05T12:00+02:00', '2026-02-15T12:00+02:00']] },
    ],
    ['a duration ends at the close', 'working_time', 'PT5H', '2026-11-19T10:00+02:00', '2026-11-19T15:00+02:00'],
  ]);
});

t.test('which hours', t => {
  const season = { name: 'Ramadan', from: '2026-02-18', to: '2026-03-19', days: { thu: [['09:00', '13:00']] as Hours } };
  const eid = { name: 'Eid al-Fitr', calendar: 'islamic-umalqura' as const, month: 10, day: 1, length: 3 };
  const announced = (...dates: string[]) =>
    calendar({ holiday_rules: [eid], holidays: dates.map(date => closed(date, [], 'announced', eid.name)) });
  const one = (said: string, start: string, due: string, of: OracleCalendar, choices: Partial<Choices> = {}): Row => [
    said,
    'working_days',
    'P1D',
    start,
    due,
    { calendar: of, choices },
  ];
  hold(t, [
    one('a season before a week', '2026-02-18T20:00+02:00', '2026-02-19T13:00+02:00', calendar({ seasons: [season] })),
    one('what it does not name is closed', '2026-02-21T12:00+02:00', '2026-02-26T13:00+02:00', calendar({ seasons: [season] })),
    one('or as in the week', '2026-02-21T12:00+02:00', '2026-02-22T15:00+02:00', calendar({ seasons: [season] }), {
      unnamed_in_season: 'as_in_week',
    }),
    one(
      'a holiday before a season',
      '2026-02-18T20:00+02:00',
      '2026-02-19T11:00+02:00',
      calendar({ seasons: [season], holidays: [closed('2026-02-19', [['10:00', '11:00']])] }),
    ),
    one(
      'a holiday may open',
      '2026-11-19T16:00+02:00',
      '2026-11-20T10:00+02:00',
      calendar({ holidays: [closed('2026-11-20', [['09:00', '10:00']])] }),
    ),
    one(
      'what is announced before what is estimated',
      '2026-11-19T16:00+02:00',
      '2026-11-22T12:00+02:00',
      calendar({ holidays: [closed('2026-11-22', [], 'estimated'), closed('2026-11-22', [['08:00', '12:00']], 'announced')] }),
    ),
    one(
      'the week that is valid later, while it is',
      '2026-11-25T16:00+02:00',
      '2026-11-27T10:00+02:00',
      calendar({
        weeks: [
          { valid_from: '2026-11-24', valid_to: '2026-11-27', days: { fri: [['09:00', '10:00']] } },
          { valid_from: '2010-01-01', days: SUN_TO_THU },
        ],
      }),
    ),
    // 1 Shawwal 1447 is Friday 2026-03-20: Sunday the 22nd is the third day.
    one('estimated', '2026-03-19T16:00+02:00', '2026-03-23T15:00+02:00', announced()),
    one(
      'announced a day later',
      '2026-03-19T16:00+02:00',
      '2026-03-24T15:00+02:00',
      announced('2026-03-21', '2026-03-22', '2026-03-23'),
    ),
    one(
      'announced a day sooner',
      '2026-03-18T16:00+02:00',
      '2026-03-22T15:00+02:00',
      announced('2026-03-19', '2026-03-20', '2026-03-21'),
    ),
    one(
      'or for its dates alone',
      '2026-03-18T16:00+02:00',
      '2026-03-23T15:00+02:00',
      announced('2026-03-19', '2026-03-20', '2026-03-21'),
      { announcements: 'by_date' },
    ),
  ]);
});

t.test('the two sources of time zones and of the Hijri calendar agree', t => {
  for (const zone of ZONES) {
    const changes: { at: number; by: number }[] = [];
    let it = Temporal.ZonedDateTime.from(`2014-01-01T00:00Z[${zone}]`);
    for (;;) {
      const next = it.getTimeZoneTransition('next');
      if (!next || next.year > 2051) break;
      const before = next.subtract({ nanoseconds: 1 });
      changes.push({ at: next.epochMilliseconds / 60_000, by: (next.offsetNanoseconds - before.offsetNanoseconds) / 6e10 });
      it = next;
    }
    t.same(wallOf(zone).changes, changes, zone);
  }
  let date = Temporal.PlainDate.from('2014-01-01');
  let different = 0;
  for (let day = Date.parse('2014-01-01') / 86_400_000; date.year < 2045; day += 1) {
    const hijri = date.withCalendar('islamic-umalqura');
    if (monthAndDay('islamic-umalqura', day) !== `${hijri.month}-${hijri.day}`) different += 1;
    date = date.add({ days: 1 });
  }
  t.equal(different, 0, 'islamic-umalqura');
  t.end();
});

t.test('the cases', t => {
  t.same(clockCase(7), clockCase(7), 'the same seed, the same case');
  const met = new Set<string>();
  for (let seed = 1; seed <= 100; seed += 1) {
    const { policy, started_at, calendar: drawn, pauses } = clockCase(seed);
    met.add(policy.clock).add(`${pauses.length} pauses`).add(drawn.time_zone);
    const out_of_order = pauses.filter(({ from, to }, i) => to < from || from < (pauses[i - 1]?.to ?? started_at));
    const too_late = pauses.filter(({ from }, i) => from >= oracle(policy, started_at, drawn, pauses.slice(0, i)));
    if (out_of_order.length + too_late.length > 0) t.fail(`seed ${seed}: pauses`);
    if (oracle(policy, started_at, drawn, pauses) <= started_at) t.fail(`seed ${seed}: due before it started`);
  }
  t.equal(met.size, 5 + 4 + ZONES.length, 'each clock, each zone, no pause to three');

  // Somebody who does not know of pauses.
  const wrong = (it: ReturnType<typeof clockCase>) =>
    oracle(it.policy, it.started_at, it.calendar, it.pauses) > oracle(it.policy, it.started_at, it.calendar, []);
  let seed = 1;
  while (!wrong(clockCase(seed))) seed += 1;
  const small = smallest(clockCase(seed), wrong);
  t.equal(small.pauses.length, 1, 'what is not needed is left out');
  t.same([small.calendar.holidays, small.calendar.seasons, small.calendar.holiday_rules], [[], [], []]);
  t.match(readable(small, { lived: small.started_at }), /started .*\npaused .*\nlived /);
  t.end();
});
