import fc from 'fast-check';
import t from 'tap';
import { type Calendar, checkCalendar, compileCalendar, type Days, type Interval, openSpans } from '../../src/core/calendar.ts';
import { calendar, OFFICE, SUN_TO_THU } from '../support/calendars.ts';

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;

const every = (hours: readonly Interval[], ...weekdays: (keyof Days)[]): Days =>
  Object.fromEntries(weekdays.map(weekday => [weekday, hours]));
const ALL = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const;

/** A week that is the same on all days. */
const always = (time_zone: string, hours: readonly Interval[]) =>
  calendar({ time_zone, weeks: [{ valid_from: '1900-01-01', days: every(hours, ...ALL) }] });

/** The hours of a day as the clock on the wall reads them, with a date where that is another. */
const read = (of: Calendar, date: string): string => {
  const told = (at: Date) => {
    const wall = Temporal.Instant.fromEpochMilliseconds(at.getTime()).toZonedDateTimeISO(of.time_zone).toPlainDateTime();
    const time = wall.toPlainTime().toString({ smallestUnit: 'minute' });
    return wall.toPlainDate().toString() === date ? time : `${wall.toPlainDate().toString().slice(5)} ${time}`;
  };
  return openSpans(compileCalendar(of), date)
    .map(({ from, to }) => `${told(from)}–${told(to)}`)
    .join(' ');
};

const holiday = (date: string, name: string, status: Calendar['holidays'][number]['status'], hours: Interval[] = []) => ({
  date,
  name,
  hours,
  status,
});

t.test('the most specific wins: holiday, then season, then week', async t => {
  const of = calendar({
    weeks: [{ valid_from: '2020-01-05', days: { ...SUN_TO_THU, fri: [['09:00', '12:00']] } }],
    seasons: [{ name: 'Ramadan', from: '2026-02-18', to: '2026-03-19', days: every([['09:00', '14:00']], 'sun', 'mon', 'tue') }],
    holidays: [
      holiday('2026-02-22', 'Half a day', 'fixed', [['10:00', '12:00']]),
      holiday('2026-11-23', 'Closed', 'fixed'),
      holiday('2026-11-21', 'Open on a Saturday', 'announced', [['08:00', '13:00']]),
    ],
  });
  const rows: [string, string, string][] = [
    ['2026-11-19', '08:00–15:00', 'a Thursday'],
    ['2026-11-20', '09:00–12:00', 'half a Friday'],
    ['2026-11-28', '', 'a Saturday'],
    ['2026-02-17', '08:00–15:00', 'the day before the season'],
    ['2026-02-23', '09:00–14:00', 'in the season'],
    ['2026-02-18', '', 'a Wednesday, of which the season says nothing'],
    ['2026-03-19', '', 'its last day'],
    ['2026-03-20', '09:00–12:00', 'the day after'],
    ['2026-02-22', '10:00–12:00', 'half a day in the season'],
    ['2026-11-23', '', 'a holiday'],
    ['2026-11-21', '08:00–13:00', 'hours of a holiday hold on a day that is closed'],
    ['2020-01-04', '', 'before the first week'],
    ['2020-01-05', '08:00–15:00', 'its first day'],
  ];
  for (const [date, hours, name] of rows) t.equal(read(of, date), hours, `${date}: ${name}`);
});

t.test('weekends change over the years', async t => {
  const saudi = calendar({
    time_zone: 'Asia/Riyadh',
    weeks: [
      { valid_from: '1950-01-01', valid_to: '2013-06-27', days: every(OFFICE, 'sat', 'sun', 'mon', 'tue', 'wed') },
      { valid_from: '2013-06-28', days: SUN_TO_THU },
    ],
  });
  t.equal(read(saudi, '2013-06-22'), '08:00–15:00', 'a Saturday before');
  t.equal(read(saudi, '2013-06-27'), '', 'the last Thursday before');
  t.equal(read(saudi, '2013-06-29'), '', 'the first Saturday after');
  t.equal(read(saudi, '2013-07-04'), '08:00–15:00', 'the first Thursday after');
  const week: Interval[] = [['07:30', '15:30']];
  const emirates = calendar({
    time_zone: 'Asia/Dubai',
    weeks: [
      { valid_from: '2022-01-01', days: { ...every(week, 'mon', 'tue', 'wed', 'thu'), fri: [['07:30', '12:00']] } },
      { valid_from: '2000-01-01', days: every(week, 'sun', 'mon', 'tue', 'wed', 'thu') },
      { valid_from: '2024-07-01', valid_to: '2024-09-12', days: every([['07:30', '14:30']], 'mon', 'tue', 'wed', 'thu') },
    ],
  });
  const rows: [string, string, string][] = [
    ['2021-12-26', '07:30–15:30', 'a Sunday before'],
    ['2021-12-31', '', 'a Friday before'],
    ['2022-01-02', '', 'a Sunday after, although the old week never ended'],
    ['2022-01-07', '07:30–12:00', 'a Friday after'],
    ['2024-07-05', '', 'a Friday of the newest week'],
    ['2024-09-12', '07:30–14:30', 'its last day'],
    ['2024-09-13', '07:30–12:00', 'the one before holds again'],
  ];
  for (const [date, hours, name] of rows) t.equal(read(emirates, date), hours, `${date}: ${name}`);
});

t.test('of two holidays on a date the more certain wins, of two seasons the later', async t => {
  const on = (...holidays: Calendar['holidays']) => read(calendar({ holidays }), '2026-11-23');
  const morning: Interval[] = [['08:00', '12:00']];
  const statuses = ['announced', 'fixed', 'estimated'] as const;
  for (const [i, surer] of statuses.entries()) {
    for (const other of statuses.slice(i + 1)) {
      const [a, b] = [holiday('2026-11-23', 'A', surer, morning), holiday('2026-11-23', 'B', other)];
      t.equal(on(a, b), '08:00–12:00', `${surer} before ${other}`);
      t.equal(on(b, a), '08:00–12:00', `${surer} before ${other}, listed last`);
    }
    const [a, b] = [holiday('2026-11-23', 'A', surer, morning), holiday('2026-11-23', 'B', surer)];
    t.strictSame([on(a, b), on(b, a)], ['', ''], `of two ${surer} ones the one that is open for less`);
  }
  const season = (name: string, from: string, open: string) => ({
    name,
    from,
    to: '2026-12-31',
    days: every([[open, '15:00']], ...ALL),
  });
  const seasons = [season('A', '2026-11-01', '09:00'), season('B', '2026-11-20', '10:00')];
  for (const order of [seasons, seasons.toReversed()]) t.equal(read(calendar({ seasons: order }), '2026-11-23'), '10:00–15:00');
});

const EID = { name: 'Eid al-Fitr', calendar: 'islamic-umalqura', month: 10, day: 1, length: 3 };

/** Which days of a range are closed, of a calendar that is open on all others. */
const closed = (more: Partial<Calendar>, from: string, count: number): string[] => {
  const compiled = compileCalendar({ ...always('UTC', OFFICE), ...more });
  return Array.from({ length: count }, (_, i) => new Date(Date.parse(from) + i * DAY).toISOString().slice(0, 10)).filter(
    date => openSpans(compiled, date).length === 0,
  );
};

t.test('rules are expanded by their own calendar', async t => {
  const rules = (...holiday_rules: Calendar['holiday_rules']) => ({ holiday_rules });
  const rows: [string, Partial<Calendar>, string, number, string[]][] = [
    ['Eid al-Fitr', rules(EID), '2026-01-01', 365, ['2026-03-20', '2026-03-21', '2026-03-22']],
    ['the year after', rules(EID), '2027-01-01', 365, ['2027-03-09', '2027-03-10', '2027-03-11']],
    [
      'twice in a year',
      rules({ ...EID, length: 1 }),
      '2033-01-01',
      365,
      // 1 Shawwal 1454 and 1455.
      ['2033-01-03', '2033-12-23'],
    ],
    [
      'over the end of the year',
      rules({ name: 'Recess', calendar: 'iso8601', month: 12, day: 30, length: 4 }),
      '2026-12-01',
      60,
      ['2026-12-30', '2026-12-31', '2027-01-01', '2027-01-02'],
    ],
    [
      'clipped to the last of the month',
      rules({ name: 'Leap', calendar: 'iso8601', month: 2, day: 29, length: 1 }),
      '2027-01-01',
      700,
      ['2027-02-28', '2028-02-29'],
    ],
    [
      'a month that not every year has',
      rules({ name: 'Thirteenth', calendar: 'hebrew', month: 13, day: 1, length: 1 }),
      '2023-09-16',
      1_000,
      ['2024-09-04'],
    ],
    [
      'Nowruz',
      rules({ name: 'Nowruz', calendar: 'persian', month: 1, day: 1, length: 1 }),
      '2026-01-01',
      730,
      ['2026-03-21', '2027-03-21'],
    ],
  ];
  for (const [name, more, from, count, days] of rows) t.strictSame(closed(more, from, count), days, name);
});

t.test('an announcement replaces the estimates of its name that are near', async t => {
  const announced = (date: string, name = EID.name, hours: Interval[] = []) => holiday(date, name, 'announced', hours);
  const with_rule = (...holidays: Calendar['holidays']) => ({ holiday_rules: [EID], holidays });
  const estimates = ['2026-03-20', '2026-03-21', '2026-03-22'];
  const dated = (...more: Calendar['holidays']) => ({
    holidays: [...estimates.map(date => holiday(date, EID.name, 'estimated')), ...more],
  });
  const rows: [string, Partial<Calendar>, string[]][] = [
    ['nothing is announced', with_rule(), estimates],
    [
      'a day later, and longer',
      with_rule(announced('2026-03-21'), announced('2026-03-22'), announced('2026-03-23'), announced('2026-03-24')),
      ['2026-03-21', '2026-03-22', '2026-03-23', '2026-03-24'],
    ],
    ['one day is all that is announced', with_rule(announced('2026-03-19')), ['2026-03-19']],
    ['a week before the first', with_rule(announced('2026-03-13')), ['2026-03-13']],
    ['eight days before', with_rule(announced('2026-03-12')), ['2026-03-12', ...estimates]],
    ['a week after the last', with_rule(announced('2026-03-29')), ['2026-03-29']],
    ['eight days after', with_rule(announced('2026-03-30')), [...estimates, '2026-03-30']],
    ['of another name', with_rule(announced('2026-03-23', 'Bridge')), [...estimates, '2026-03-23']],
    ['hours', with_rule(announced('2026-03-20', EID.name, [['08:00', '12:00']])), []],
    [
      'a fixed one replaces its date alone',
      with_rule(holiday('2026-03-21', EID.name, 'fixed', [['08:00', '12:00']])),
      ['2026-03-20', '2026-03-22'],
    ],
    [
      'an estimate with hours beside the rule',
      with_rule(holiday('2026-03-21', 'Half', 'estimated', [['08:00', '12:00']])),
      ['2026-03-20', '2026-03-22'],
    ],
    ['estimates with dates', dated(), estimates],
    ['estimates with dates, replaced', dated(announced('2026-03-19')), ['2026-03-19']],
    ['each by how far it is', dated(announced('2026-03-14')), ['2026-03-14', '2026-03-22']],
    ['of another name, beside dates', dated(announced('2026-03-19', 'Bridge')), ['2026-03-19', ...estimates]],
  ];
  for (const [name, more, days] of rows) t.strictSame(closed(more, '2026-02-01', 90), days, name);
  t.strictSame(closed(with_rule(announced('2026-03-19')), '2027-02-01', 90).length, 3, 'the next year is estimated still');
});

t.test('hours where the clocks change', async t => {
  const rows: [string, string, string, Interval[], string][] = [
    ['Africa/Cairo', '2026-04-24', 'opens in the gap', [['00:30', '08:00']], '01:00–08:00'],
    ['Africa/Cairo', '2026-04-24', 'opens as the gap begins', [['00:00', '08:00']], '01:00–08:00'],
    ['Africa/Cairo', '2026-04-24', 'all in the gap', [['00:00', '01:00']], ''],
    ['Africa/Cairo', '2026-04-23', 'closes into it', [['20:00', '24:00']], '20:00–04-24 01:00'],
    ['Africa/Cairo', '2026-10-29', 'over the hour that comes twice', [['22:00', '24:00']], '22:00–10-30 00:00'],
    ['Europe/London', '2026-03-29', 'opens in the gap', [['01:15', '05:00']], '02:00–05:00'],
    ['Europe/London', '2026-03-29', 'closes in the gap', [['00:00', '01:30']], '00:00–02:00'],
    [
      'Europe/London',
      '2026-03-29',
      'two that meet in the gap',
      [
        ['00:00', '01:20'],
        ['01:40', '03:00'],
      ],
      '00:00–03:00',
    ],
    ['Europe/London', '2026-10-25', 'opens in the overlap', [['01:30', '05:00']], '01:30–05:00'],
    ['Australia/Lord_Howe', '2026-10-04', 'a gap of half an hour', [['02:10', '09:00']], '02:30–09:00'],
    ['Australia/Lord_Howe', '2026-10-04', 'opens behind it', [['02:30', '09:00']], '02:30–09:00'],
    [
      'America/Sao_Paulo',
      '2018-11-04',
      'a gap at midnight',
      [
        ['00:00', '02:00'],
        ['23:00', '24:00'],
      ],
      '01:00–02:00 23:00–11-05 00:00',
    ],
    ['America/Havana', '2026-11-01', 'midnight comes twice', [['00:00', '02:00']], '00:00–02:00'],
    ['Pacific/Apia', '2011-12-30', 'a day that never was', [['00:00', '24:00']], ''],
    ['Pacific/Apia', '2011-12-29', 'the day before it', [['12:00', '24:00']], '12:00–12-31 00:00'],
  ];
  for (const [zone, date, name, hours, expected] of rows)
    t.equal(read(always(zone, hours), date), expected, `${zone} ${date}: ${name}`);

  const lasts: [string, string, Interval, string, string][] = [
    ['Europe/London', '2026-10-25', ['01:30', '05:00'], '2026-10-25T00:30Z', '2026-10-25T05:00Z'],
    ['Europe/London', '2026-10-25', ['00:00', '01:30'], '2026-10-24T23:00Z', '2026-10-25T01:30Z'],
    // Both of these are read twice.
    ['Europe/London', '2026-10-25', ['01:00', '01:30'], '2026-10-25T00:00Z', '2026-10-25T01:30Z'],
    ['Europe/London', '2026-10-25', ['00:00', '01:00'], '2026-10-24T23:00Z', '2026-10-25T01:00Z'],
    ['Australia/Lord_Howe', '2026-04-05', ['01:45', '03:00'], '2026-04-04T14:45Z', '2026-04-04T16:30Z'],
    ['America/Sao_Paulo', '2018-02-17', ['23:30', '24:00'], '2018-02-18T01:30Z', '2018-02-18T03:00Z'],
    ['Africa/Cairo', '2026-10-29', ['23:15', '23:45'], '2026-10-29T20:15Z', '2026-10-29T21:45Z'],
    // Midnight comes twice, and the day before ends at the first.
    ['America/Havana', '2026-10-31', ['12:00', '24:00'], '2026-10-31T16:00Z', '2026-11-01T04:00Z'],
  ];
  for (const [zone, date, hours, from, to] of lasts) {
    const expected = [{ from: new Date(from), to: new Date(to) }];
    t.strictSame(openSpans(compileCalendar(always(zone, [hours])), date), expected, `${zone} ${hours.join('–')}`);
  }
});

t.test('intervals of a day that touch or overlap are one', async t => {
  const rows: [Interval[], string][] = [
    [
      [
        ['08:00', '12:00'],
        ['12:00', '15:00'],
      ],
      '08:00–15:00',
    ],
    [
      [
        ['13:00', '15:00'],
        ['08:00', '12:00'],
      ],
      '08:00–12:00 13:00–15:00',
    ],
    [
      [
        ['08:00', '13:00'],
        ['09:00', '10:00'],
        ['12:00', '15:00'],
      ],
      '08:00–15:00',
    ],
    [
      [
        ['00:00', '06:00'],
        ['22:00', '24:00'],
      ],
      '00:00–06:00 22:00–11-23 00:00',
    ],
  ];
  for (const [hours, expected] of rows) t.equal(read(always('Africa/Cairo', hours), '2026-11-22'), expected);
});

/** Zones, and days around which each changes its clocks. */
const CHANGES: [string, string[]][] = [
  ['UTC', ['2026-03-29']],
  ['Africa/Cairo', ['2026-04-24', '2026-10-29']],
  ['Europe/London', ['2026-03-29', '2026-10-25']],
  ['America/Sao_Paulo', ['2018-11-04', '2018-02-17']],
  ['Australia/Lord_Howe', ['2026-10-04', '2026-04-05']],
  ['America/Havana', ['2026-03-08', '2026-11-01']],
  ['America/St_Johns', ['2010-03-14', '2010-11-06', '2010-11-07']],
  ['Asia/Beirut', ['2026-03-29', '2026-10-24']],
  ['Pacific/Apia', ['2011-12-29', '2011-12-30', '2011-12-31']],
];
const place = fc
  .constantFrom(...CHANGES)
  .chain(([zone, dates]) => fc.tuple(fc.constant(zone), fc.constantFrom(...dates), fc.integer({ min: -1, max: 1 })));
const time = (minutes: number) => `${String(Math.floor(minutes / 60)).padStart(2, '0')}:${String(minutes % 60).padStart(2, '0')}`;

t.test('as a look at the clock on the wall each minute has it', async () => {
  const minutes = fc.oneof(fc.integer({ min: 0, max: 180 }), fc.integer({ min: 1_380, max: 1_440 }), fc.nat(1_440));
  const hours = fc.uniqueArray(minutes, { minLength: 2, maxLength: 2 }).map(pair => pair.sort((a, b) => a - b));
  fc.assert(
    fc.property(place, hours, ([zone, near, offset], [open, close]) => {
      const noon = Date.parse(`${near}T12:00Z`) + offset * DAY;
      const date = new Date(noon).toISOString().slice(0, 10);
      const readings: [at: number, reading: number][] = [];
      for (let at = noon - 27 * 60 * MINUTE; at < noon + 27 * 60 * MINUTE; at += MINUTE) {
        const wall = Temporal.Instant.fromEpochMilliseconds(at).toZonedDateTimeISO(zone);
        if (wall.toPlainDate().toString() === date) readings.push([at, wall.hour * 60 + wall.minute]);
      }
      const inside = readings.filter(([, reading]) => open! <= reading && reading < close!);
      const closes = readings.filter(([, reading]) => reading === close).at(-1)?.[0];
      const last = close === 1_440 ? readings.at(-1) : inside.at(-1);
      const expected = inside.length === 0 ? [] : [{ from: new Date(inside[0]![0]), to: new Date(closes ?? last![0] + MINUTE) }];
      const spans = openSpans(compileCalendar(always(zone, [[time(open!), time(close!)]])), date);
      return JSON.stringify(spans) === JSON.stringify(expected);
    }),
    { numRuns: 150 },
  );
});

t.test('the day that it is, also where the clocks change', async () => {
  fc.assert(
    fc.property(place, fc.integer({ min: -2 * DAY, max: 2 * DAY }), ([zone, near], ms) => {
      const at = Date.parse(`${near}T00:00Z`) + ms;
      const date = Temporal.Instant.fromEpochMilliseconds(at).toZonedDateTimeISO(zone).toPlainDate();
      return compileCalendar(always(zone, OFFICE)).dayOf(at) * DAY === Date.parse(`${date.toString()}T00:00Z`);
    }),
    { numRuns: 1_000 },
  );
});

t.test('a calendar that is right has no faults', async t => {
  const sound: Partial<Calendar>[] = [
    {},
    {
      weeks: [
        {
          valid_from: '2020-01-01',
          days: every(
            [
              ['00:00', '06:00'],
              ['06:00', '24:00'],
            ],
            'fri',
          ),
        },
      ],
    },
    { weeks: [{ valid_from: '2020-01-01', valid_to: '2020-01-05', days: every(OFFICE, 'sun') }] },
    { weeks: [], seasons: [{ name: 'Summer', from: '2026-06-01', to: '2026-08-31', days: SUN_TO_THU }] },
    { holiday_rules: [EID, { name: 'Leap', calendar: 'iso8601', month: 2, day: 29, length: 300 }] },
    { holiday_rules: [{ name: 'Thirteenth', calendar: 'hebrew', month: 13, day: 29, length: 1 }] },
    { holidays: [holiday('2028-02-29', 'Leap day', 'fixed'), holiday('2028-02-29', 'Another', 'estimated')] },
  ];
  for (const more of sound) t.strictSame(checkCalendar(calendar(more)), [], JSON.stringify(more));
});

t.test('each fault of a calendar is said, and where', async t => {
  const week = (days: object) => ({ weeks: [{ valid_from: '2020-01-01', days: days as Days }] });
  const rule = (more: object) => ({ holiday_rules: [{ ...EID, ...more }] });
  const rows: [string, object, string[]][] = [
    ['no such zone', { time_zone: 'Nowhere/Never' }, ['/time_zone']],
    ['an offset', { time_zone: '+02:00' }, ['/time_zone']],
    [
      'no such date',
      { weeks: [{ valid_from: '2026-02-30', valid_to: 'soon', days: SUN_TO_THU }] },
      ['/weeks/0/valid_from', '/weeks/0/valid_to'],
    ],
    ['a time beside the date', { weeks: [{ valid_from: '2026-02-03T00:00Z', days: SUN_TO_THU }] }, ['/weeks/0/valid_from']],
    [
      'ends before it begins',
      { weeks: [{ valid_from: '2026-02-02', valid_to: '2026-02-01', days: SUN_TO_THU }] },
      ['/weeks/0/valid_to'],
    ],
    [
      'two weeks from one day',
      { weeks: [0, 1].map(() => ({ valid_from: '2026-02-02', days: SUN_TO_THU })) },
      ['/weeks/1/valid_from'],
    ],
    [
      'a holiday twice',
      { holidays: [holiday('2028-02-29', 'Leap day', 'fixed'), holiday('2028-02-29', 'Another', 'fixed')] },
      ['/holidays/1/date'],
    ],
    ['no such weekday', week({ sun: OFFICE, 'a/b~': [] }), ['/weeks/0/days/a~1b~0']],
    [
      'malformed times',
      week({
        mon: [
          ['8:00', '15:00'],
          ['08:60', '24:01'],
          ['24:00', '24:00'],
        ],
      }),
      ['/weeks/0/days/mon/0/0', '/weeks/0/days/mon/1/0', '/weeks/0/days/mon/1/1', '/weeks/0/days/mon/2/0'],
    ],
    [
      'closes before it opens',
      week({
        mon: [
          ['22:00', '06:00'],
          ['08:00', '08:00'],
        ],
      }),
      ['/weeks/0/days/mon/0/1', '/weeks/0/days/mon/1/1'],
    ],
    [
      'overlaps',
      week({
        mon: [
          ['08:00', '12:00'],
          ['13:00', '15:00'],
          ['11:00', '12:00'],
        ],
      }),
      ['/weeks/0/days/mon/2'],
    ],
    [
      'a holiday',
      { holidays: [{ date: '2026-13-01', name: 'A', hours: [['9', '10']], status: 'rumoured' }] },
      ['/holidays/0/date', '/holidays/0/status', '/holidays/0/hours/0/0', '/holidays/0/hours/0/1'],
    ],
    [
      'a season',
      { seasons: [{ name: 'A', from: '2026-06-02', to: '2026-06-01', days: { mon: [['09:00', '08:00']] } }] },
      ['/seasons/0/to', '/seasons/0/days/mon/0/1'],
    ],
    [
      'two seasons from one day',
      { seasons: ['2026-06-02', '2026-06-03'].map(to => ({ name: 'A', from: '2026-06-01', to, days: SUN_TO_THU })) },
      ['/seasons/1/from'],
    ],
    ['a rule of no calendar', rule({ calendar: 'islamic-of-the-moon' }), ['/holiday_rules/0/calendar']],
    ['no such month', rule({ month: 13 }), ['/holiday_rules/0/month']],
    ['no month', rule({ month: 0 }), ['/holiday_rules/0/month']],
    ['no such day', rule({ day: 31 }), ['/holiday_rules/0/day']],
    ['no such day of that month', rule({ calendar: 'iso8601', month: 2, day: 30 }), ['/holiday_rules/0/day']],
    ['no length', rule({ length: 0 }), ['/holiday_rules/0/length']],
    ['too long', rule({ length: 367, day: 0 }), ['/holiday_rules/0/length', '/holiday_rules/0/day']],
    ['no hours at all', week({}), ['']],
    ['no weeks', { weeks: [] }, ['']],
    ['hours on no day', { weeks: [{ valid_from: '2026-11-20', valid_to: '2026-11-20', days: SUN_TO_THU }] }, ['']],
    ['a rule closes all of it', { holiday_rules: [{ name: 'A', calendar: 'iso8601', month: 1, day: 1, length: 366 }] }, ['']],
  ];
  for (const [name, more, pointers] of rows) {
    const faults = checkCalendar({ ...calendar(), ...more } as Calendar);
    t.strictSame(
      faults.map(({ pointer }) => pointer),
      pointers,
      name,
    );
    t.ok(faults.every(({ detail }) => detail.length > 0));
  }
});

t.test('a zone that is not known cannot be compiled', async t => {
  t.throws(() => compileCalendar(calendar({ time_zone: 'Nowhere/Never' })), RangeError);
});
