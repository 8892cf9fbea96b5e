import fc from 'fast-check';
import t from 'tap';
import { compileCalendar } from '../../src/core/calendar.ts';
import { AGE_BANDS, bandOf } from '../../src/core/case.ts';
import {
  AGENCY_KINDS,
  COVERAGE_GAPS,
  COVERAGE_TIMES,
  type CoverageGap,
  type CoverageTime,
  OPERATING_MODES,
  PROTECTION_STATUSES,
  SERVICES,
  SEXES,
} from '../../src/core/codes.ts';
import {
  type CoveringService,
  coverageTimes,
  type Dimensions,
  dimensionsOf,
  type Found,
  findGaps,
  type GapLine,
} from '../../src/core/coverage.ts';
import { openedGaps } from '../../src/core/opened-gaps.ts';
import { type RoutingRules, rankCandidates } from '../../src/core/routing.ts';
import { calendar, SUN_TO_THU } from '../support/calendars.ts';
import { AT, need, rules, service } from '../support/routing.ts';
import { shipped } from '../support/rule-packs.ts';

const ADULT_AGE = 18;
const SHELTER = 'shelter_accommodation';
const ALWAYS: CoveringService['is_open'] = { now: true, tonight: true, weekend: true };
const REGIONS = ['XA-1', 'XA-2'];

/** One that takes everybody everywhere at any time, but for `more`. */
const provider = ({ is_open = ALWAYS, ...more }: Partial<CoveringService> = {}): CoveringService => ({
  ...service({
    regions: [],
    sexes: [],
    min_age: null,
    max_age: null,
    protection_statuses: [],
    languages: [],
    capacity: null,
    ...more,
  }),
  is_open,
});

const dimensions = (more: Partial<Dimensions> = {}): Dimensions => ({
  ...dimensionsOf('XA', [], { neighbours: {}, languages: ['ar', 'tr'], known_regions: REGIONS }, COVERAGE_TIMES),
  ...more,
});

function found(
  providers: readonly CoveringService[],
  { of = dimensions(), with_places = true, by = rules(), code = SHELTER as CoveringService['service'] } = {},
): Found {
  const steps = findGaps(code, 'XA', providers, { routes: by.routes, adult_age: ADULT_AGE }, of, {
    gaps: COVERAGE_GAPS,
    with_places,
  });
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
  }
}

/** A line in short: what is any is left out. */
const told = ({ service: _, profiles, when, ...line }: GapLine): string =>
  [...Object.values(line).filter(value => value !== null), when.join('+'), profiles].join(' ');
const linesOf = (providers: readonly CoveringService[], options?: Parameters<typeof found>[1]) =>
  found(providers, options).lines.map(told);

t.test('what is wholly missing is one line', async t => {
  t.strictSame(linesOf([]), ['structural now+tonight+weekend 480'], 'of 2 regions, 3 sexes, 5 bands, 8 statuses, 2 languages');
  t.strictSame(linesOf([provider()]), []);
  t.strictSame(linesOf([provider({ sexes: ['female', 'other'] })]), ['structural male now+tonight+weekend 160']);
  t.strictSame(
    linesOf([provider({ sexes: ['female', 'other'], regions: ['XA-1'] })]),
    ['structural XA-2 now+tonight+weekend 240', 'structural male now+tonight+weekend 160'],
    'lines that overlap are told whole',
  );
  t.strictSame(
    linesOf([provider({ sexes: ['female', 'male'], regions: ['XA-1'], min_age: 12 })], { of: dimensions({ regions: ['XA-1'] }) }),
    ['structural XA-1 other now+tonight+weekend 80', 'structural XA-1 0-11 now+tonight+weekend 48'],
    'the one region that is asked for is named',
  );
});

t.test('a band has a route where each of its years has one', async t => {
  t.strictSame(linesOf([provider({ min_age: 13 })]), [
    'structural 0-11 now+tonight+weekend 96',
    'structural 12-17 now+tonight+weekend 96',
  ]);
  t.strictSame(linesOf([provider({ min_age: 13 }), provider({ max_age: 12 })]), [], 'of one service or another');
  t.strictSame(linesOf([provider({ max_age: 80 })]), []);
  t.strictSame(linesOf([provider({ max_age: 79 })]), ['structural 60+ now+tonight+weekend 96']);
});

t.test('hours, places and languages', async t => {
  const by_day = provider({ is_open: { now: true, tonight: false, weekend: false } });
  t.strictSame(linesOf([by_day]), ['closed tonight+weekend 480']);
  const by_night = provider({ is_open: { now: false, tonight: true, weekend: null }, sexes: ['female'] });
  t.strictSame(linesOf([by_day, by_night]), ['closed male tonight+weekend 160', 'closed other tonight+weekend 160']);
  const full = { capacity: { total: 2, held: 1, held_elsewhere: 1, freed: 0 } };
  t.strictSame(linesOf([provider(full)]), ['full now 480'], 'how many places are free later is not known');
  t.strictSame(linesOf([provider(full)], { with_places: false }), []);
  t.strictSame(linesOf([provider({ ...full, is_open: { now: false, tonight: true, weekend: true } })]), ['closed now 480']);
  t.strictSame(linesOf([provider({ languages: ['ar'] })]), ['with_interpretation tr now+tonight+weekend 240']);
  t.strictSame(linesOf([provider({ languages: ['ar'] }), provider({ languages: ['tr'], sexes: ['male'], ...full })]), [
    'with_interpretation tr now 240',
    'with_interpretation female tr tonight+weekend 80',
    'with_interpretation other tr tonight+weekend 80',
  ]);
});

t.test('counts', async t => {
  const unknown = { now: null, tonight: true, weekend: false };
  const { counts } = found([provider({ is_open: unknown, languages: ['ar'], sexes: ['male', 'other'] })]);
  const gaps = (more = {}) => ({ structural: 160, closed: 0, full: 0, ...more });
  t.strictSame(Object.fromEntries(counts), {
    now: { profiles: 480, covered: 320, with_interpretation: 160, hours_unknown: 320, gaps: gaps() },
    tonight: { profiles: 480, covered: 320, with_interpretation: 160, hours_unknown: 0, gaps: gaps() },
    weekend: { profiles: 480, covered: 0, with_interpretation: 0, hours_unknown: 0, gaps: gaps({ closed: 320 }) },
  });
});

t.test('the law is asked with what it wants first behind it', async t => {
  const route = (more: object) => ({
    service: 'shelter_accommodation',
    agency_kinds: ['council'],
    obligation: 'may',
    source: 'test',
    ...more,
  });
  const by = (more: object) => rules({ routes: [route(more)] as unknown as RoutingRules['routes'] });
  t.strictSame(linesOf([provider()], { by: by({}) }), ['structural now+tonight+weekend 480'], 'a shelter is no council');
  t.strictSame(linesOf([provider()], { by: by({ when: { child: true } }) }), [
    'structural 0-11 now+tonight+weekend 96',
    'structural 12-17 now+tonight+weekend 96',
  ]);
  const after = { service: 'identification', agency_kinds: ['police'] };
  t.strictSame(linesOf([provider({ kind: 'council' })], { by: by({ after }) }), []);
});

/** Whom the router would find for somebody of these years, now. */
const routable = (providers: readonly CoveringService[], code: CoveringService['service'], who: object, by: RoutingRules) =>
  rankCandidates(
    need({ service: code, adult_age: ADULT_AGE, ...who }),
    providers.map(it => ({ ...it, is_open: null })),
    by,
    [],
    () => true,
    AT,
  )
    .filter(({ excluded_by }) => excluded_by.length === 0)
    .map(({ agency_id }) => providers.find(it => it.agency_id === agency_id)!);

t.test('coverage and routing never disagree', async () => {
  const open = fc.constantFrom(null, true, false);
  const arbitrary_provider = fc.record({
    kind: fc.constantFrom(...AGENCY_KINDS),
    agency_status: fc.constantFrom('active' as const, 'active' as const, 'suspended' as const),
    status: fc.constantFrom('active' as const, 'active' as const, 'suspended' as const),
    operating_mode: fc.constantFrom(...OPERATING_MODES),
    competent_authority: fc.boolean(),
    jurisdictions: fc.constantFrom(['XA'], ['XA', 'XB'], ['XB']),
    regions: fc.subarray([...REGIONS, 'XB-1']),
    sexes: fc.subarray([...SEXES]),
    min_age: fc.option(fc.nat(70)),
    max_age: fc.option(fc.integer({ min: 10, max: 90 })),
    languages: fc.subarray(['ar', 'tr']),
    protection_statuses: fc.subarray([...PROTECTION_STATUSES]),
    is_open: fc.record({ now: open, tonight: open, weekend: open }),
    capacity: fc.option(fc.record({ total: fc.nat(2), held: fc.nat(1), held_elsewhere: fc.nat(1), freed: fc.constant(0) })),
  });
  const arbitrary_person = fc.record({
    region: fc.constantFrom(...REGIONS),
    sex: fc.constantFrom('female' as const, 'male' as const, 'other' as const),
    age_band: fc.constantFrom(...AGE_BANDS),
    protection_status: fc.constantFrom(...PROTECTION_STATUSES.filter(status => status !== 'unknown')),
    language: fc.constantFrom('ar', 'tr'),
  });
  const packs = ['EG', 'GB', 'TR', 'XA'].map(shipped);
  fc.assert(
    fc.property(
      fc.array(arbitrary_provider, { maxLength: 40 }),
      fc.constantFrom(...SERVICES),
      fc.constantFrom(...packs),
      fc.array(arbitrary_person, { minLength: 1, maxLength: 8 }),
      (some, code, pack, persons) => {
        const providers = some.map((more, i) => provider({ ...more, agency_id: `agy_${i}`, service: code }));
        const { lines } = found(providers, { by: pack, code });
        const completed = pack.routes.flatMap(({ after }) =>
          after ? after.agency_kinds.map(agency_kind => ({ service: after.service, agency_kind })) : [],
        );
        for (const { language, age_band, ...who } of persons) {
          for (const when of COVERAGE_TIMES) {
            const said = lines
              .filter(line => isIn(line, { ...who, age_band, language }) && line.when.includes(when))
              .map(({ gap }) => gap);
            const years = Array.from({ length: 81 }, (_, year) => year).filter(year => bandOf(year) === age_band);
            const expected = worstOf(
              years.map(age =>
                expectedGap(providers, code, { ...who, age, languages: [language], completed }, pack, when, language),
              ),
            );
            if (
              said.length > (expected ? Number.POSITIVE_INFINITY : 0) ||
              new Set(said).size > 1 ||
              (said[0] ?? null) !== expected
            )
              throw new Error(`${when} ${JSON.stringify({ ...who, age_band, language })}: ${said} and not ${expected}`);
          }
        }
      },
    ),
    { numRuns: 150 },
  );
});

const isIn = (line: GapLine, person: object): boolean =>
  Object.entries(person).every(([name, value]) => [null, value].includes(line[name as keyof GapLine] as never));

const WORST: (CoverageGap | null)[] = ['structural', 'closed', 'full', 'with_interpretation', null];
const worstOf = (gaps: readonly (CoverageGap | null)[]) => WORST.find(gap => gaps.includes(gap))!;

function expectedGap(
  providers: readonly CoveringService[],
  code: CoveringService['service'],
  who: object,
  by: RoutingRules,
  when: CoverageTime,
  language: string,
): CoverageGap | null {
  const empty = providers.map(it => ({ ...it, capacity: null }));
  const takers = routable(empty, code, who, by);
  if (takers.length === 0) return 'structural';
  const open = takers.filter(({ is_open }) => is_open[when] !== false);
  if (open.length === 0) return 'closed';
  const asked =
    when === 'now'
      ? open.filter(it => routable(providers, code, who, by).some(({ agency_id }) => agency_id === it.agency_id))
      : open;
  if (asked.length === 0) return 'full';
  return asked.some(({ languages }) => languages.length === 0 || languages.includes(language)) ? null : 'with_interpretation';
}

t.test('what is asked for', async t => {
  const of = dimensionsOf(
    'XA',
    [provider({ regions: ['XA-3', 'XB-1'], languages: ['tr'] }), provider({ languages: ['ckb'] })],
    { neighbours: { 'XA-1': ['XA-2'] }, languages: ['ar', 'tr'], known_regions: ['XA-9'] },
    ['now'],
  );
  t.strictSame(of.regions, ['XA-1', 'XA-2', 'XA-3', 'XA-9'], 'regions of the country that anything names, or once named');
  t.strictSame(of.languages, ['ar', 'ckb', 'tr']);
  t.strictSame([of.sexes.length, of.age_bands.length, of.protection_statuses.length], [3, 5, 8]);
  const whole = dimensionsOf('XA', [], { neighbours: {}, languages: [], known_regions: [] }, COVERAGE_TIMES);
  t.strictSame(linesOf([], { of: whole }), ['structural now+tonight+weekend 120'], 'where nothing is told apart');
});

t.test('now, tonight and the weekend', async t => {
  const times = (at: string, more: Parameters<typeof calendar>[0] = {}) => {
    const { now, ...rest } = coverageTimes(compileCalendar(calendar(more)), new Date(at));
    t.equal(now?.toISOString(), new Date(at).toISOString());
    return [rest.tonight!.toISOString(), rest.weekend?.toISOString() ?? null];
  };
  const rows: [string, string, string, string | null, Parameters<typeof calendar>[0]?][] = [
    ['a Thursday', '2026-11-19T12:00:00.000Z', '2026-11-20T00:00:00.000Z', '2026-11-20T10:00:00.000Z'],
    ['at night, before two', '2026-11-18T23:59:59.999Z', '2026-11-19T00:00:00.000Z', '2026-11-20T10:00:00.000Z'],
    ['at two, the next night', '2026-11-19T00:00:00.000Z', '2026-11-20T00:00:00.000Z', '2026-11-20T10:00:00.000Z'],
    ['Friday before noon', '2026-11-20T09:59:59.999Z', '2026-11-21T00:00:00.000Z', '2026-11-20T10:00:00.000Z'],
    ['Friday at noon', '2026-11-20T10:00:00.000Z', '2026-11-21T00:00:00.000Z', '2026-11-21T10:00:00.000Z'],
    ['Saturday behind noon', '2026-11-21T19:00:00.000Z', '2026-11-22T00:00:00.000Z', '2026-11-27T10:00:00.000Z'],
    // In Cairo the clocks go forward from Friday's first minute, 2026-04-24, and back before Friday, 2026-10-30.
    ['clocks go forward', '2026-04-23T20:00:00.000Z', '2026-04-23T23:00:00.000Z', '2026-04-24T09:00:00.000Z'],
    ['clocks go back', '2026-10-29T20:00:00.000Z', '2026-10-30T00:00:00.000Z', '2026-10-30T10:00:00.000Z'],
  ];
  for (const [said, at, tonight, weekend, more] of rows) t.strictSame(times(at, more), [tonight, weekend], said);
  t.strictSame(
    times('2026-03-28T12:00:00.000Z', { time_zone: 'Europe/Berlin' })[0],
    '2026-03-29T01:00:00.000Z',
    'two o’clock is skipped: when it is three',
  );
  const never = { fri: SUN_TO_THU.sun, sat: SUN_TO_THU.sun, ...SUN_TO_THU };
  t.strictSame(times('2026-11-19T12:00:00.000Z', { weeks: [{ valid_from: '2000-01-01', days: never }] })[1], null);
});

t.test('what a change opens', async t => {
  const of = dimensions();
  const lines = (providers: readonly CoveringService[]) => found(providers, { of }).lines;
  const opened = (before: readonly CoveringService[], after: readonly CoveringService[], known = REGIONS, times = NIGHTS) =>
    openedGaps(SHELTER, lines(before), lines(after), known, of, times);
  const NIGHTS: CoverageTime[] = ['tonight', 'weekend'];
  const gap = (profiles: number, regions = REGIONS) => ({
    service: SHELTER,
    gap: 'structural',
    when: COVERAGE_TIMES,
    regions,
    profiles,
  });
  const women = provider({ sexes: ['female'] });
  const all = provider();
  t.strictSame(opened([all], [women]), [gap(160)]);
  t.strictSame(opened([women], [all]), [], 'a gap that closes');
  t.strictSame(opened([women], [women]), []);
  t.strictSame(opened([women], []), [gap(80)], 'only what is new of it');
  t.strictSame(opened([all], [provider({ regions: ['XA-2'] })]), [gap(120, ['XA-1'])]);
  t.strictSame(opened([all], [provider({ regions: ['XA-2'] })], ['XA-2']), [], 'where nobody was looked for before');
  const full = { languages: ['tr'], capacity: { total: 0, held: 0, held_elsewhere: 0, freed: 0 } };
  t.strictSame(opened([all], [provider(full)]), []);

  const by_day = provider({ is_open: { now: true, tonight: false, weekend: true } });
  const closed = { ...gap(240), gap: 'closed', when: ['tonight'] };
  t.strictSame(opened([all], [by_day]), [closed], 'nobody at night any more');
  t.strictSame(opened([all], [by_day], REGIONS, ['weekend']), [], 'but for another night than the one before');
  t.strictSame(opened([by_day], [by_day]), []);
  t.strictSame(opened([by_day], []), [gap(240)], 'nobody at all is not told again as nobody at night');
  t.strictSame(opened([], [by_day]), [], 'and is better than nobody at all');
});
