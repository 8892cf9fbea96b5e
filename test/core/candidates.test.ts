import fc from 'fast-check';
import t from 'tap';
import { type Reader, tellCandidates } from '../../src/core/candidates.ts';
import { SOFT_RULES } from '../../src/core/codes.ts';
import type { Candidate, CandidateService, Exclusion, Reason } from '../../src/core/routing.ts';
import { service } from '../support/routing.ts';

const provider = (more: Partial<CandidateService> = {}): CandidateService =>
  service({ capacity: { total: 4, held: 1, held_elsewhere: 1, freed: 1 }, ...more });
const REASONS: Reason[] = [
  { rule: 'language', points: 10, text: 'works in a language of the person' },
  { rule: 'operating_mode', points: 5, text: 'works as usual' },
  { rule: 'capacity', points: 1, text: 'keeps a place free after this one' },
];
const candidate = (agency_id = 'agy_1', excluded_by: Exclusion[] = [], reasons = REASONS): Candidate => ({
  agency_id,
  excluded_by,
  reasons,
  score: reasons.reduce((sum, { points }) => sum + points, 0),
});
const reader = (more: Partial<Reader> = {}): Reader => ({
  agency_id: 'agy_reader',
  knows: 'all',
  names: () => false,
  reticent: () => false,
  tie_key: 'key',
  ...more,
});
const tellOne = (c: Candidate, p: CandidateService, r = reader()) => tellCandidates([c], [p], r)[0]!;

t.test('an open place is told as the router sees it', async t => {
  t.strictSame(tellOne(candidate('agy_1', ['sex', 'no_consent']), provider()), {
    agency_id: 'agy_1',
    kind: 'shelter',
    hidden: false,
    score: 0,
    reasons: [],
    excluded_by: ['sex', 'no_consent'],
    places: 'some',
    available: 2,
  });
  t.match(tellOne(candidate(), provider()), { score: 16, reasons: REASONS, excluded_by: { length: 0 } });
  t.match(tellOne(candidate(), provider({ capacity: null })), { places: 'some', available: null });
  const over = provider({ capacity: { total: 4, held: 5, held_elsewhere: 0, freed: 1 } });
  t.match(tellOne(candidate(), over), { places: 'none', available: -1 });
});

t.test('of a hidden place only whether it could be asked', async t => {
  const hidden = provider({ location_protected: true });
  const full = provider({ location_protected: true, capacity: { total: 1, held: 1, held_elsewhere: 0, freed: 1 } });
  const could = tellOne(candidate(), hidden);
  t.match(could, { hidden: true, score: 15, excluded_by: [], places: 'some' });
  t.strictSame(
    could.reasons.map(({ rule, points }) => [rule, points]),
    [['protected_place', 15]],
  );
  t.notOk('available' in could);
  const codes: Exclusion[] = ['own_referral', 'excluded', 'asked_before', 'no_consent', 'sex', 'closed'];
  for (const code of codes) {
    const told = tellOne(candidate('agy_1', [code]), hidden);
    t.match(told, { hidden: true, score: 0, reasons: [], excluded_by: ['not_told'], places: 'some' }, code);
    t.strictSame(tellOne(candidate('agy_1', [code, 'no_capacity']), full).excluded_by, ['no_capacity'], `${code}, and full`);
  }

  const named = tellOne(candidate('agy_1', ['sex']), hidden, reader({ names: id => id === 'agy_1' }));
  t.match(named, { hidden: false, score: 0, excluded_by: ['sex'], places: 'some' }, 'whom a grant names need not be hidden');
  t.notOk('available' in named, 'but its numbers are');
  t.notMatch(JSON.stringify(named.reasons), /capacity/);
  t.match(
    tellOne(candidate('agy_1', ['own_referral']), hidden, reader({ agency_id: 'agy_1' })),
    { hidden: false, excluded_by: ['own_referral'], available: 2 },
    'nor is anybody from itself',
  );
});

t.test('what speaks against an agency because of the person', async t => {
  const all: Exclusion[] = ['closed', 'sex', 'age', 'dependants', 'protection_status', 'asylum', 'no_capacity', 'spoken_for'];
  const told = (knows: Reader['knows'], more: Partial<CandidateService> = {}) =>
    tellOne(candidate('agy_1', all), provider(more), reader({ knows, names: () => true })).excluded_by;
  t.strictSame(told('all'), all);
  t.strictSame(told('profile'), ['closed', 'sex', 'age', 'dependants', 'not_eligible', 'no_capacity', 'spoken_for']);
  t.strictSame(told('nothing'), ['closed', 'not_eligible'], 'where places are left, not how many she needs');
  const full = { capacity: { total: 4, held: 4, held_elsewhere: 0, freed: 1 } };
  t.strictSame(told('nothing', full), ['closed', 'not_eligible', 'no_capacity', 'spoken_for']);
  const sheltered = { location_protected: true };
  t.strictSame(told('all', sheltered).slice(-2), ['protection_status', 'asylum'], 'of a sheltered place to nobody');
  t.strictSame(told('all', { ...sheltered, ...full }).slice(-2), ['no_capacity', 'spoken_for'], 'but for whether it has any');
  const full_for_her = candidate('agy_1', ['no_capacity']);
  t.match(tellOne(full_for_her, provider(sheltered)), { hidden: true, score: 15, excluded_by: [] });
  const reticent = (kind: string) => kind === 'shelter';
  const why = (code: Exclusion, more: Partial<Reader>) =>
    tellOne(candidate('agy_1', [code]), provider(), reader(more)).excluded_by;
  for (const code of all) t.strictSame(why(code, { reticent }), ['not_eligible']);
  t.strictSame(why('conflict_of_interest', { knows: 'profile' }), ['not_eligible'], 'for another need, perhaps');
  t.strictSame(why('conflict_of_interest', {}), ['conflict_of_interest']);
  for (const knows of ['all', 'profile', 'nothing'] as const) {
    for (const secret of ['firewall', 'separated'] as const) {
      const { excluded_by } = tellOne(candidate('agy_1', [secret]), provider(), reader({ knows }));
      t.strictSame(excluded_by, ['not_eligible'], `${secret} is told to nobody`);
    }
  }
});

t.test('what would tell who else was found, or where a sheltered place lies', async t => {
  const reasons: Reason[] = SOFT_RULES.map(rule => ({ rule, points: 1, text: rule }));
  const rulesTold = (knows: Reader['knows'], location_protected = false) =>
    tellOne(candidate('agy_1', [], reasons), provider({ location_protected }), reader({ knows, names: () => true })).reasons.map(
      ({ rule }) => rule,
    );
  const without = (...kept_back: string[]) => SOFT_RULES.filter(rule => !kept_back.includes(rule));
  t.strictSame(rulesTold('all'), without());
  t.strictSame(rulesTold('profile'), without('together'));
  t.strictSame(rulesTold('nothing'), without('together', 'language', 'capacity', 'specialities', 'distance'));
  t.strictSame(rulesTold('all', true), without('capacity', 'load', 'distance'));
});

t.test('nothing that is told of hidden places depends on which is which', async () => {
  const arbitrary = fc.record({
    points: fc.array(fc.nat(10), { minLength: 2, maxLength: 3 }),
    excluded_by: fc.subarray<Exclusion>(['sex', 'excluded', 'own_referral', 'asked_before', 'no_consent', 'suspended']),
    location_protected: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(arbitrary, { maxLength: 6 }), fc.string(), (some, tie_key) => {
      const providers = some.map(({ location_protected }, i) => provider({ agency_id: `agy_${i}`, location_protected }));
      const ranked = some.map(({ points, excluded_by }, i) =>
        candidate(
          `agy_${i}`,
          excluded_by,
          points.map((n, j) => ({ rule: SOFT_RULES[j]!, points: n, text: `reason ${n}` })),
        ),
      );
      const told = tellCandidates(ranked, providers, reader({ tie_key }));
      const texts = (excluded: boolean) =>
        told
          .filter(it => it.hidden && it.excluded_by.length > 0 === excluded)
          .map(({ agency_id: _, ...rest }) => JSON.stringify(rest));
      const first_excluded = told.findIndex(it => it.excluded_by.length > 0);
      const [could, could_not] = first_excluded < 0 ? [told, []] : [told.slice(0, first_excluded), told.slice(first_excluded)];
      const falls = (rows: typeof told) => rows.every((row, i) => i === 0 || row.score <= rows[i - 1]!.score);
      // With the same key, the order among hidden places that could be asked is the same whatever they scored.
      const order = could.filter(it => it.hidden).map(it => it.agency_id);
      const alike = tellCandidates(
        order.map(id => candidate(id)),
        providers.filter(it => order.includes(it.agency_id)),
        reader({ tie_key }),
      );
      return (
        told.length === some.length &&
        new Set(texts(false)).size <= 1 &&
        new Set(texts(true)).size <= 1 &&
        could.every(it => it.excluded_by.length === 0) &&
        could_not.every(it => it.excluded_by.length > 0) &&
        falls(could) &&
        falls(could_not) &&
        JSON.stringify(alike.map(it => it.agency_id)) === JSON.stringify(order)
      );
    }),
  );
});
