import fc from 'fast-check';
import t from 'tap';
import { checkSchedules, openSpans, type Schedule } from '../../src/core/opening.ts';

/** Weekdays mornings in Cairo, where the clock goes forward on 24 April 2026 at 00:00 and back on 29 October 2026 at 24:00. */
const schedule = (more: Partial<Schedule> = {}): Schedule => ({
  timezone: 'Africa/Cairo',
  freq: 'WEEKLY',
  byday: 'SU,MO',
  opens_at: '08:00',
  closes_at: '15:00',
  ...more,
});

/** Told in UTC, to the minute. */
const spans = (all: Schedule[], from: string, to: string): string[] =>
  openSpans(all, new Date(from), new Date(to)).map(span =>
    [span.from, span.to].map(at => new Date(at).toISOString().slice(5, 16)).join(' '),
  );

t.test('hours on the wall become instants, also where the clock changes', async t => {
  const rows: [string, Partial<Schedule>, string, string, string[]][] = [
    ['winter', {}, '2026-11-21T19:00Z', '2026-11-28T00:00Z', ['11-22T06:00 11-22T13:00', '11-23T06:00 11-23T13:00']],
    ['summer', {}, '2026-07-05T00:00Z', '2026-07-06T00:00Z', ['07-05T05:00 07-05T12:00']],
    [
      'a night',
      { byday: 'SA', opens_at: '20:00', closes_at: '02:00' },
      '2026-11-21T23:00Z',
      '2026-11-22T05:00Z',
      ['11-21T18:00 11-22T00:00'],
    ],
    [
      'a night that is an hour short',
      { timezone: 'Europe/Berlin', byday: 'SA', opens_at: '22:00', closes_at: '06:00' },
      '2026-03-28T12:00Z',
      '2026-03-29T12:00Z',
      ['03-28T21:00 03-29T04:00'],
    ],
    [
      'a night that is an hour long',
      { timezone: 'Europe/Berlin', byday: 'SA', opens_at: '22:00', closes_at: '06:00' },
      '2026-10-24T12:00Z',
      '2026-10-25T12:00Z',
      ['10-24T20:00 10-25T05:00'],
    ],
    [
      'from a reading that is skipped',
      { timezone: 'Europe/Berlin', byday: 'SU', opens_at: '02:30', closes_at: '10:00' },
      '2026-03-29T00:00Z',
      '2026-03-30T00:00Z',
      ['03-29T01:00 03-29T08:00'],
    ],
    [
      'a whole day that begins without a midnight',
      { byday: 'FR', opens_at: '00:00', closes_at: '24:00' },
      '2026-04-23T12:00Z',
      '2026-04-25T12:00Z',
      ['04-23T22:00 04-24T21:00'],
    ],
    ['an offset', { timezone: '+05:30', byday: 'MO' }, '2026-11-23T00:00Z', '2026-11-24T00:00Z', ['11-23T02:30 11-23T09:30']],
    [
      'every other week',
      { byday: 'MO', interval: 2, dtstart: '2026-11-02' },
      '2026-11-15T00:00Z',
      '2026-12-05T00:00Z',
      ['11-16T06:00 11-16T13:00', '11-30T06:00 11-30T13:00'],
    ],
    [
      'the second Monday and the last Friday',
      { freq: 'MONTHLY', byday: '2MO,-1FR' },
      '2026-11-01T00:00Z',
      '2026-12-01T00:00Z',
      ['11-09T06:00 11-09T13:00', '11-27T06:00 11-27T13:00'],
    ],
    [
      'days of the month',
      { freq: 'MONTHLY', byday: undefined, bymonthday: '1,-1' },
      '2026-11-01T00:00Z',
      '2026-12-01T00:00Z',
      ['11-01T06:00 11-01T13:00', '11-30T06:00 11-30T13:00'],
    ],
    [
      'so many times',
      { byday: 'MO', count: 2, dtstart: '2026-11-16' },
      '2026-11-01T00:00Z',
      '2027-01-01T00:00Z',
      ['11-16T06:00 11-16T13:00', '11-23T06:00 11-23T13:00'],
    ],
    [
      'up to a day, which counts',
      { byday: 'MO', until: '2026-11-23' },
      '2026-11-16T00:00Z',
      '2027-01-01T00:00Z',
      ['11-16T06:00 11-16T13:00', '11-23T06:00 11-23T13:00'],
    ],
    [
      'while it is valid',
      { valid_from: '2026-11-23', valid_to: '2026-11-29' },
      '2026-11-01T00:00Z',
      '2027-01-01T00:00Z',
      ['11-23T06:00 11-23T13:00', '11-29T06:00 11-29T13:00'],
    ],
    [
      'on the weekday of its first day',
      { byday: undefined, dtstart: '2026-11-17' },
      '2026-11-20T00:00Z',
      '2026-11-30T00:00Z',
      ['11-24T06:00 11-24T13:00'],
    ],
    ['not before it began', { dtstart: '2027-01-01' }, '2026-11-20T00:00Z', '2026-11-30T00:00Z', []],
  ];
  for (const [said, more, from, to, expected] of rows) {
    t.strictSame(checkSchedules([schedule(more)]), [], said);
    t.strictSame(spans([schedule(more)], from, to), expected, said);
  }
});

t.test('what touches or overlaps is one, and what has begun is told whole', async t => {
  const all = [
    schedule({ byday: 'MO', opens_at: '15:00', closes_at: '18:00' }),
    schedule({ byday: 'MO' }),
    schedule({ byday: 'MO', opens_at: '17:00', closes_at: '20:00' }),
  ];
  t.strictSame(spans(all, '2026-11-23T10:00Z', '2026-11-23T11:00Z'), ['11-23T06:00 11-23T18:00']);
  t.strictSame(spans(all, '2026-11-23T18:00Z', '2026-11-24T00:00Z'), [], 'until it closes');
  t.strictSame(spans([], '2026-11-23T10:00Z', '2026-11-24T00:00Z'), []);
});

t.test('each fault is named', async t => {
  const rows: [Partial<Schedule>, string][] = [
    [{ timezone: 'Mars/Base' }, '/0/timezone'],
    [{ timezone: '+15:00' }, '/0/timezone'],
    [{ timezone: '2026-01-01T00:00[Africa/Cairo]' }, '/0/timezone'],
    [{ byday: 'MO,XX' }, '/0/byday'],
    [{ byday: '' }, '/0/byday'],
    [{ byday: '2MO' }, '/0/byday'],
    [{ freq: 'MONTHLY', byday: '6MO' }, '/0/byday'],
    [{ bymonthday: '1' }, '/0/bymonthday'],
    [{ freq: 'MONTHLY', bymonthday: '0' }, '/0/bymonthday'],
    [{ freq: 'MONTHLY', bymonthday: '32' }, '/0/bymonthday'],
    [{ opens_at: '24:00' }, '/0/opens_at'],
    [{ closes_at: '24:01' }, '/0/closes_at'],
    [{ closes_at: '08:00' }, '/0/closes_at'],
    [{ valid_from: '2026-02-30' }, '/0/valid_from'],
    [{ valid_from: '1700-01-01' }, '/0/valid_from'],
    [{ valid_from: '2026-12-01', valid_to: '2026-11-30' }, '/0/valid_to'],
    [{ dtstart: '2026-12-01', until: '2026-11-30' }, '/0/until'],
    [{ dtstart: '2026-12-01', until: '2026-12-30', count: 3 }, '/0/count'],
    [{ interval: 2 }, '/0/dtstart'],
    [{ count: 2 }, '/0/dtstart'],
    [{ byday: undefined }, '/0/dtstart'],
  ];
  for (const [more, pointer] of rows)
    t.strictSame(
      checkSchedules([schedule(more)]).map(fault => fault.pointer),
      [pointer],
      JSON.stringify(more),
    );
  t.match(checkSchedules([schedule(), schedule({ opens_at: '8:00' })]), [{ pointer: '/1/opens_at' }]);
});

const date = fc
  .date({ min: new Date('1970-01-01'), max: new Date('2199-12-31'), noInvalidDate: true })
  .map(at => at.toISOString().slice(0, 10));
const reading = fc.tuple(fc.nat(23), fc.nat(59)).map(parts => parts.map(part => String(part).padStart(2, '0')).join(':'));
const optional = <T>(of: fc.Arbitrary<T>) => fc.option(of, { nil: undefined });
const WEEK = ['MO', 'TU', 'WE', 'TH', 'FR', 'SA', 'SU'];
const anySchedule = fc
  .record({
    timezone: fc.constantFrom('Africa/Cairo', 'Europe/Berlin', 'America/St_Johns', 'Pacific/Apia', 'UTC', '-03:30'),
    freq: fc.constantFrom('WEEKLY' as const, 'MONTHLY' as const),
    valid_from: optional(date),
    valid_to: optional(date),
    dtstart: optional(date),
    until: optional(date),
    interval: optional(fc.integer({ min: 1, max: 100 })),
    count: optional(fc.integer({ min: 1, max: 1_000 })),
    byday: optional(fc.subarray(WEEK, { minLength: 1 }).map(days => days.join())),
    bymonthday: optional(fc.constantFrom('31', '-31', '13', '29,30', '-1')),
    opens_at: reading,
    closes_at: fc.oneof(reading, fc.constant('24:00')),
  })
  .filter(it => checkSchedules([it as Schedule]).length === 0)
  .map(it => it as Schedule);

t.test('whatever has no fault can be worked out: in order, apart, and the same in parts as in one', async () => {
  const from = new Date('2026-10-15T00:00:00Z');
  const middle = new Date('2026-11-10T11:00:00Z');
  const to = new Date('2026-12-14T00:00:00Z');
  fc.assert(
    fc.property(fc.array(anySchedule, { maxLength: 4 }), all => {
      const whole = openSpans(all, from, to);
      const parts = [...openSpans(all, from, middle), ...openSpans(all, middle, to)];
      for (const [i, span] of whole.entries()) {
        if (span.from >= span.to || (i > 0 && whole[i - 1]!.to >= span.from)) return false;
      }
      return whole.every(span => parts.some(part => part.from <= span.from && part.to > span.from));
    }),
    { numRuns: 300 },
  );
});
