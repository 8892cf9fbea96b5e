import fc from 'fast-check';
import t from 'tap';
import { checkSchedules, isOpenAt, openSpans, type Schedule } from '../../src/core/opening.ts';

const schedule = (more: Partial<Schedule> = {}): Schedule => ({
  freq: 'WEEKLY',
  timezone: 'Africa/Cairo',
  byday: 'SU,MO,TU,WE,TH',
  opens_at: '08:00',
  closes_at: '15:00',
  ...more,
});
const at = (text: string) => new Date(text);
const told = (schedules: Schedule[], from: string, to: string) =>
  openSpans(schedules, at(from), at(to)).map(
    span => `${span.from.toISOString().slice(0, 16)} ${span.to.toISOString().slice(0, 16)}`,
  );

t.test('a working week', async t => {
  t.strictSame(told([schedule()], '2026-11-18T00:00Z', '2026-11-23T00:00Z'), [
    '2026-11-18T06:00 2026-11-18T13:00',
    '2026-11-19T06:00 2026-11-19T13:00',
    '2026-11-22T06:00 2026-11-22T13:00',
  ]);
});

t.test('each way of saying when', async t => {
  const rows: [string, Partial<Schedule>, string[]][] = [
    [
      'a night is of the day on which it begins',
      { byday: 'FR', opens_at: '20:00', closes_at: '06:00' },
      ['2026-11-20T18:00 2026-11-21T04:00'],
    ],
    ['to the end of the day', { byday: 'FR', opens_at: '20:00', closes_at: '24:00' }, ['2026-11-20T18:00 2026-11-20T22:00']],
    ['a whole day', { byday: 'FR', opens_at: '00:00', closes_at: '24:00' }, ['2026-11-19T22:00 2026-11-20T22:00']],
    [
      'from the same to the same time is a day, too',
      { byday: 'FR', opens_at: '08:00', closes_at: '08:00' },
      ['2026-11-20T06:00 2026-11-21T06:00'],
    ],
    [
      'every other week, counted from a Friday',
      { byday: 'FR', interval: 2, dtstart: '2026-11-06' },
      ['2026-11-20T06:00 2026-11-20T13:00'],
    ],
    ['every other week, counted from the next', { byday: 'FR', interval: 2, dtstart: '2026-11-13' }, []],
    ['the third Friday', { freq: 'MONTHLY', byday: '3FR' }, ['2026-11-20T06:00 2026-11-20T13:00']],
    ['the last Friday', { freq: 'MONTHLY', byday: '-1FR' }, []],
    ['a day of the month', { freq: 'MONTHLY', byday: undefined, bymonthday: '20' }, ['2026-11-20T06:00 2026-11-20T13:00']],
    ['valid until the day before', { byday: 'FR', valid_to: '2026-11-19' }, []],
    ['valid until that day', { byday: 'FR', valid_to: '2026-11-20' }, ['2026-11-20T06:00 2026-11-20T13:00']],
    ['valid from the day after', { byday: 'FR', valid_from: '2026-11-21' }, []],
    ['until that day', { byday: 'FR', dtstart: '2026-01-01', until: '2026-11-20' }, ['2026-11-20T06:00 2026-11-20T13:00']],
    ['until the day before', { byday: 'FR', dtstart: '2026-01-01', until: '2026-11-19' }, []],
    ['so many times', { byday: 'FR', dtstart: '2026-11-13', count: 1 }, []],
  ];
  for (const [said, more, spans] of rows)
    t.strictSame(told([schedule(more)], '2026-11-19T20:00Z', '2026-11-22T00:00Z'), spans, said);
});

t.test('the days on which clocks change', async t => {
  const skipped = schedule({ timezone: 'Africa/Cairo', byday: 'FR', opens_at: '00:30', closes_at: '04:00' });
  t.strictSame(
    told([skipped], '2026-04-23T00:00Z', '2026-04-25T00:00Z'),
    ['2026-04-23T22:00 2026-04-24T01:00'],
    'begins where the gap ends',
  );
  const repeated = schedule({ timezone: 'Europe/London', byday: 'SU', opens_at: '01:30', closes_at: '01:45' });
  t.strictSame(
    told([repeated], '2026-10-25T00:00Z', '2026-10-26T00:00Z'),
    ['2026-10-25T00:30 2026-10-25T01:45'],
    'from the first to the second',
  );
});

t.test('several schedules are one list without overlaps', async t => {
  const evening = schedule({ byday: 'TH', opens_at: '14:00', closes_at: '20:00' });
  const later = schedule({ byday: 'TH', opens_at: '20:00', closes_at: '21:00' });
  t.strictSame(told([schedule(), evening, later], '2026-11-19T00:00Z', '2026-11-20T00:00Z'), [
    '2026-11-19T06:00 2026-11-19T19:00',
  ]);
  t.equal(isOpenAt(null, at('2026-11-19T08:00Z')), null, 'unknown');
  const spans = openSpans([schedule()], at('2026-11-19T00:00Z'), at('2026-11-20T00:00Z'));
  t.equal(isOpenAt(spans, at('2026-11-19T05:59:59.999Z')), false);
  t.equal(isOpenAt(spans, at('2026-11-19T06:00Z')), true);
  t.equal(isOpenAt(spans, at('2026-11-19T13:00Z')), false, 'the end is excluded');
});

t.test('what is wrong with a schedule', async t => {
  const rows: [Partial<Schedule>, string][] = [
    [{ timezone: 'Mars/Olympus' }, '/0/timezone'],
    [{ opens_at: '24:00' }, '/0/opens_at'],
    [{ opens_at: '8:00' }, '/0/opens_at'],
    [{ closes_at: '25:00' }, '/0/closes_at'],
    [{ byday: 'MO;TU' }, '/0/byday'],
    [{ byday: '1MO' }, '/0/byday'],
    [{ byday: undefined }, '/0/byday'],
    [{ bymonthday: '1' }, '/0/bymonthday'],
    [{ freq: 'MONTHLY', byday: undefined, bymonthday: '32' }, '/0/bymonthday'],
    [{ interval: 2 }, '/0/dtstart'],
    [{ count: 2 }, '/0/dtstart'],
    [{ dtstart: '2026-02-30' }, '/0/dtstart'],
    [{ until: '2026-13-01' }, '/0/until'],
    [{ valid_from: '2026-11-02', valid_to: '2026-11-01' }, '/0/valid_to'],
  ];
  for (const [more, pointer] of rows)
    t.strictSame(
      checkSchedules([schedule(more)], '').map(fault => fault.pointer),
      [pointer],
      JSON.stringify(more),
    );
  t.strictSame(checkSchedules([schedule(), schedule({ freq: 'MONTHLY', byday: '1MO,-1FR' })], ''), []);
});

t.test('spans are in order, apart, and within what was asked for or across its edges', async () => {
  const time = fc.constantFrom('00:00', '01:30', '08:00', '15:00', '23:30');
  const arbitrary = fc.record({
    freq: fc.constant('WEEKLY' as const),
    timezone: fc.constantFrom('Africa/Cairo', 'Europe/London', 'Asia/Amman', 'America/St_Johns'),
    byday: fc.subarray(['MO', 'TU', 'WE', 'TH', 'FR', 'SA', 'SU'], { minLength: 1 }).map(days => days.join(',')),
    opens_at: time,
    closes_at: fc.oneof(time, fc.constant('24:00')),
  });
  fc.assert(
    fc.property(fc.array(arbitrary, { maxLength: 3 }), fc.integer({ min: 0, max: 700 }), (schedules, day) => {
      const from = new Date(Date.UTC(2026, 0, day));
      const to = new Date(from.getTime() + 20 * 86_400_000);
      const spans = openSpans(schedules, from, to);
      return (
        checkSchedules(schedules, '').length === 0 &&
        spans.every(span => span.from < span.to && span.to > from && span.from < to) &&
        spans.every((span, i) => i === 0 || span.from > spans[i - 1]!.to)
      );
    }),
    { numRuns: 50 },
  );
});
