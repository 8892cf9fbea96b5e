import { hash } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { AGENCY_KINDS, OFFER_STATUSES, OPERATING_MODES, PROTECTION_STATUSES, SERVICES, SEXES } from '../../src/core/codes.ts';
import {
  BY_PLACES,
  type Candidate,
  type CandidateService,
  type EarlierOffer,
  type Exclusion,
  type RoutingNeed,
  type RoutingRules,
  rankCandidates,
} from '../../src/core/routing.ts';
import { AT, need, rules, service } from '../support/routing.ts';
import { shipped } from '../support/rule-packs.ts';

const everybody = () => true;
const sumOf = (reasons: readonly { points: number }[]) => reasons.reduce((sum, { points }) => sum + points, 0);
const ranked = (
  n: RoutingNeed,
  services: readonly CandidateService[],
  {
    earlier = [],
    covered = everybody,
    by = rules(),
  }: { earlier?: readonly EarlierOffer[]; covered?: () => boolean; by?: RoutingRules } = {},
): Candidate[] => rankCandidates(n, services, by, earlier, covered, AT);
const best = (n: RoutingNeed, services: readonly CandidateService[]) => ranked(n, services)[0]!.agency_id;
const exclusionsOf = (n: RoutingNeed, s: CandidateService, earlier: EarlierOffer[] = [], covered = everybody) =>
  ranked(n, [s], { earlier, covered })[0]!.excluded_by;
const places = (total: number, held = 0, held_elsewhere = 0) => ({ capacity: { total, held, held_elsewhere, freed: 1 } });

t.test('what fits is not excluded', async t => t.strictSame(exclusionsOf(need(), service()), []));

t.test('each exclusion alone', async t => {
  const rows: [Exclusion, string, Partial<RoutingNeed>, Partial<CandidateService>][] = [
    ['other_service_area', 'another region', { region: 'XA-2' }, {}],
    ['other_service_area', 'another jurisdiction', {}, { jurisdictions: ['XB'] }],
    ['suspended', 'the agency', {}, { agency_status: 'suspended' }],
    ['suspended', 'the service', {}, { status: 'suspended' }],
    ['closed', 'its mode', {}, { operating_mode: 'closed' }],
    ['sex', 'another', { sex: 'male' }, {}],
    ['sex', 'neither of two', { sex: 'other' }, { sexes: ['female', 'male'] }],
    ['age', 'a year too young', { age: 17 }, {}],
    ['age', 'a year too old', { age: 61 }, {}],
    ['dependants', 'none are taken', { dependants: 1 }, { accepts_dependants: false }],
    ['protection_status', 'another', { protection_status: 'irregular' }, {}],
    ['no_capacity', 'full', {}, places(4, 4)],
    ['no_capacity', 'full with others', {}, places(4, 1, 3)],
    ['no_capacity', 'over capacity', {}, places(4, 5)],
    ['no_capacity', 'one place for two', { dependants: 1 }, places(4, 3)],
    ['spoken_for', 'each place is asked for', { urgency: 'routine' }, { pending: 4 }],
    ['spoken_for', 'one place for two', { urgency: 'routine', dependants: 1 }, { pending: 3 }],
    ['spoken_for', 'by others as urgent', { urgency: 'urgent' }, { pending: 5, pending_urgent: 4 }],
    ['no_capacity', 'full, and asked all the same', {}, { ...places(4, 4), pending: 1 }],
    ['excluded', 'by the sender', { excluded_agencies: ['agy_1'] }, {}],
    ['not_competent', 'no authority decides', { service: 'identification' }, { service: 'identification' }],
    ['own_referral', 'the sender itself', { sender_agency_id: 'agy_1' }, {}],
    ['conflict_of_interest', 'said of another need of the case', { conflicts: new Set(['agy_1']) }, {}],
    ['separated', 'somebody else is there', { apart_from: new Set(['agy_1']) }, {}],
    ['firewall', 'who complained', { complainant: true }, { kind: 'labour_inspection' }],
  ];
  for (const [exclusion, said, n, s] of rows)
    t.strictSame(exclusionsOf(need(n), service(s)), [exclusion], `${exclusion}: ${said}`);

  const asked: [string, Partial<RoutingNeed>, Partial<CandidateService>][] = [
    ['by one fewer than there are places', { urgency: 'routine' }, { pending: 3 }],
    ['by those who are less urgent', { urgency: 'urgent' }, { pending: 9, pending_urgent: 3 }],
    [
      'an emergency waits for nobody',
      { urgency: 'emergency', unreachable_agencies: new Set() },
      { pending: 9, pending_urgent: 9 },
    ],
    ['where no places are counted', { urgency: 'routine' }, { capacity: null, pending: 9 }],
  ];
  for (const [said, n, s] of asked) t.strictSame(exclusionsOf(need(n), service(s)), [], `not spoken for: ${said}`);
  t.strictSame(
    exclusionsOf(need(), service(), [], () => false),
    ['no_consent'],
  );
});

t.test('only a competent authority identifies', async t => {
  for (const code of SERVICES) {
    for (const competent_authority of [true, false]) {
      const barred = code === 'identification' && !competent_authority;
      const candidate = service({ service: code, competent_authority });
      t.strictSame(exclusionsOf(need({ service: code }), candidate), barred ? ['not_competent'] : [], code);
    }
  }
});

t.test('a consulate is not asked while asylum applies or is unknown', async t => {
  for (const protection_status of PROTECTION_STATUSES) {
    const dangerous = ['refugee', 'asylum_seeker', 'unknown'].includes(protection_status);
    const open = service({ kind: 'consular', protection_statuses: [] });
    t.same(exclusionsOf(need({ protection_status }), open), dangerous ? ['asylum'] : [], protection_status);
  }
});

t.test('limits themselves belong to what is taken', async t => {
  const rows: [string, Partial<RoutingNeed>, Partial<CandidateService>][] = [
    ['the youngest', { age: 18 }, {}],
    ['the oldest', { age: 60 }, {}],
    ['the last place', {}, places(4, 3)],
    ['the last places for three', { dependants: 2 }, places(4, 1)],
  ];
  for (const [said, n, s] of rows) t.strictSame(exclusionsOf(need(n), service(s)), [], said);
});

t.test('what is unknown or empty excludes nobody', async t => {
  const rows: [string, Partial<RoutingNeed>, Partial<CandidateService>][] = [
    ['no region asked for', { region: null }, {}],
    ['no regions set', {}, { regions: [] }],
    ['sex unknown', { sex: 'unknown' }, {}],
    ['no sexes set', { sex: 'other' }, { sexes: [] }],
    ['age unknown', { age: null }, {}],
    ['no ages set', { age: 3 }, { min_age: null, max_age: null }],
    ['status unknown', { protection_status: 'unknown' }, {}],
    ['no statuses set', { protection_status: 'irregular' }, { protection_statuses: [] }],
    ['languages unknown', { languages: [] }, {}],
    ['another language', { languages: ['tr'] }, {}],
    ['no count of places', { dependants: 9 }, { capacity: null }],
    ['another works as usual', {}, { operating_mode: 'remote' }],
  ];
  for (const [said, n, s] of rows) t.strictSame(exclusionsOf(need(n), service(s)), [], said);
  t.strictSame(
    exclusionsOf(need({ service: 'medical', protection_status: 'irregular' }), service()),
    [],
    'medical routing does not look at the status',
  );
});

t.test('who may be asked again', async t => {
  const limited = { total: 4, held: 0, held_elsewhere: 0 };
  const freed = (freed: number) => service({ capacity: { ...limited, freed } });
  const [before, after] = [1, 2];
  const earlier = (
    status: EarlierOffer['status'],
    reason_code: string | null = null,
    more: Partial<EarlierOffer> = {},
  ): EarlierOffer => ({
    agency_id: 'agy_1',
    status,
    reason_code,
    freed_before: before,
    ...more,
  });
  const rows: [string, EarlierOffer, CandidateService, boolean][] = [
    ['expired, a place came free since', earlier('expired'), freed(after), true],
    ['expired, none came free', earlier('expired'), freed(before), false],
    ['expired before anybody counted', earlier('expired', null, { freed_before: null }), freed(after), false],
    ['expired, keeps no count', earlier('expired'), service({ capacity: null }), false],
    ['full, a place came free since', earlier('declined', 'no_capacity'), freed(after), true],
    ['full, none came free', earlier('declined', 'no_capacity'), freed(before), false],
    ['declined for another reason', earlier('declined', 'unsafe'), freed(after), false],
    ['failed', earlier('failed', 'no_show'), freed(after), false],
    ['failed for want of a place', earlier('failed', 'no_capacity'), freed(after), false],
    ['cancelled', earlier('cancelled', 'better_match'), freed(after), false],
    ['withdrawn with a consent that came back', earlier('withdrawn'), freed(before), true],
    ['cancelled because another said yes', earlier('cancelled'), freed(before), true],
    ...(['offered', 'received', 'info_requested', 'waitlisted', 'accepted', 'in_progress'] as const).map(
      status =>
        [`live: ${status}`, earlier(status, null, { freed_before: null }), freed(after), false] as [
          string,
          EarlierOffer,
          CandidateService,
          boolean,
        ],
    ),
    ['of another agency', earlier('declined', 'unsafe', { agency_id: 'agy_2' }), freed(before), true],
  ];
  for (const [said, offer, candidate, again] of rows) {
    t.strictSame(exclusionsOf(need(), candidate, [offer]), again ? [] : ['asked_before'], said);
  }
  const twice = [earlier('expired'), earlier('declined', 'unsafe')];
  t.strictSame(exclusionsOf(need(), freed(after), twice), ['asked_before'], 'every earlier answer counts');
  const full = service({ capacity: { total: 1, held: 1, held_elsewhere: 0, freed: after } });
  t.strictSame(exclusionsOf(need(), full, [earlier('expired')]), ['no_capacity'], 'came free, and is gone again');
});

t.test('exclusions add up, excluded agencies come last, and who may be asked has reasons', async t => {
  const wrong = service({ agency_id: 'agy_wrong', sexes: ['male'], operating_mode: 'closed', agency_status: 'suspended' });
  const order = ranked(need(), [wrong, service({ languages: [], operating_mode: 'reduced' })]);
  t.strictSame(
    order.map(({ agency_id }) => agency_id),
    ['agy_1', 'agy_wrong'],
  );
  t.strictSame(order[1]!.excluded_by, ['suspended', 'closed', 'sex']);
  const { score, reasons } = order[0]!;
  t.strictSame(
    reasons.map(({ rule }) => rule),
    ['language', 'distance', 'opening', 'operating_mode', 'capacity', 'acceptance', 'load', 'freshness'],
  );
  t.equal(score, sumOf(reasons));
  for (const { text } of reasons) t.match(text, /\w+/);
  t.match(order[1], { score: 0, reasons: { length: 0 } }, 'who cannot be asked has no rank');
});

t.test('a shared language ranks before an unknown one, and that before none', async t => {
  const asked = need({ languages: ['ckb', 'ar'] });
  const shares = service({ agency_id: 'agy_shares', languages: ['tr', 'ckb'] });
  const unknown = service({ agency_id: 'agy_unknown', languages: [] });
  const none = service({ agency_id: 'agy_none', languages: ['tr'] });
  for (const services of [
    [shares, unknown, none],
    [none, unknown, shares],
    [unknown, none, shares],
  ]) {
    const order = ranked(asked, services);
    t.strictSame(
      order.map(({ agency_id }) => agency_id),
      ['agy_shares', 'agy_unknown', 'agy_none'],
    );
    t.match(order[2]!.reasons[0], { rule: 'language', points: 0, text: 'needs interpretation' });
  }
  const open = service({ agency_id: 'agy_open' });
  const reduced = service({ agency_id: 'agy_reduced', operating_mode: 'reduced' });
  t.equal(best(need(), [reduced, open]), 'agy_open', 'who works as usual comes first');
  const last_place = service({ agency_id: 'agy_last', ...places(4, 3) });
  t.equal(best(need(), [last_place, open]), 'agy_open', 'who is left a place comes first');
  const speaks = service({ agency_id: 'agy_speaks', operating_mode: 'remote', ...places(1) });
  const mute = service({ agency_id: 'agy_mute', languages: ['tr'] });
  t.equal(best(need(), [mute, speaks]), 'agy_speaks', 'a language outweighs the rest');
});

t.test('ties fall by a hash of referral and agency, so that nobody is always first', async t => {
  const services = ['agy_a', 'agy_b', 'agy_c'].map(agency_id => service({ agency_id }));
  const first = new Map<string, number>();
  for (let i = 0; i < 300; i += 1) {
    const tie_key = `key ${i}`;
    const got = ranked(need({ tie_key }), services).map(({ agency_id }) => agency_id);
    const by_hash = ['agy_a', 'agy_b', 'agy_c'].toSorted((a, b) =>
      hash('sha256', `${tie_key}\n${a}`) < hash('sha256', `${tie_key}\n${b}`) ? -1 : 1,
    );
    if (JSON.stringify(got) !== JSON.stringify(by_hash)) t.strictSame(got, by_hash);
    first.set(got[0]!, (first.get(got[0]!) ?? 0) + 1);
  }
  for (const [agency_id, times] of first) t.ok(times > 60 && times < 140, `${agency_id} is first ${times} times of 300`);
  t.equal(first.size, 3);
});

t.test('in an emergency whoever is out of reach comes behind whoever is not, whatever else speaks for it', async t => {
  const first = service({ agency_id: 'agy_best' });
  const worst = service({ agency_id: 'agy_worst', languages: ['tr'], operating_mode: 'remote', capacity: null });
  const order = (unreachable: string[] | null) =>
    ranked(need({ unreachable_agencies: unreachable && new Set(unreachable) }), [
      worst,
      first,
      service({ agency_id: 'agy_full', ...places(1, 1) }),
    ]);
  const ids = (unreachable: string[] | null) => order(unreachable).map(({ agency_id }) => agency_id);
  t.strictSame(ids(null), ['agy_best', 'agy_worst', 'agy_full']);
  t.strictSame(ids([]), ids(null));
  t.strictSame(ids(['agy_best']), ['agy_worst', 'agy_best', 'agy_full'], 'but before whoever cannot be asked');
  t.strictSame(ids(['agy_best', 'agy_worst', 'agy_full']), ids(null), 'where nobody is left, the best');
  const said = (unreachable: string[] | null) =>
    order(unreachable).map(({ reasons }) => reasons.find(({ rule }) => rule === 'reachability')?.points);
  t.strictSame(said(null), [undefined, undefined, undefined], 'others are not looked at so');
  t.strictSame(said(['agy_best']), [1_000, 0, 1_000]);
});

t.test('the same input gives the same order, however it is handed in', async () => {
  const arbitrary_service = fc.record({
    kind: fc.constantFrom(...AGENCY_KINDS),
    agency_status: fc.constantFrom('active' as const, 'suspended' as const),
    operating_mode: fc.constantFrom(...OPERATING_MODES),
    regions: fc.subarray(['XA-1', 'XA-2']),
    sexes: fc.subarray([...SEXES]),
    accepts_dependants: fc.boolean(),
    languages: fc.subarray(['ar', 'tr']),
    protection_statuses: fc.subarray(PROTECTION_STATUSES.slice(0, 3)),
    status: fc.constantFrom('active' as const, 'suspended' as const),
    located_in: fc.constantFrom(null, 'XA-1', 'XA-2', 'XA-9'),
    is_open: fc.constantFrom(null, true, false),
    specialities: fc.subarray(['trauma', 'children']),
    assured_at: fc.constantFrom(AT, new Date(0)),
    pending: fc.nat(9),
    pending_urgent: fc.nat(9),
    history: fc.record({ asked: fc.nat(9), accepted: fc.nat(9) }),
    capacity: fc.option(
      fc.record({ total: fc.nat(3), held: fc.nat(3), held_elsewhere: fc.nat(1), freed: fc.constantFrom(1, 2) }),
    ),
  });
  const arbitrary_need = fc.record({
    tie_key: fc.string(),
    service: fc.constantFrom(...SERVICES),
    sex: fc.constantFrom(...SEXES),
    age: fc.option(fc.nat(100)),
    dependants: fc.nat(2),
    languages: fc.subarray(['ar', 'tr']),
    protection_status: fc.constantFrom(...PROTECTION_STATUSES),
    complainant: fc.boolean(),
    specialities: fc.subarray(['trauma', 'children']),
    apart_from: fc.subarray(['agy_0', 'agy_1']).map(ids => new Set(ids)),
    together_with: fc.subarray(['agy_0', 'agy_1']).map(ids => new Set(ids)),
  });
  const arbitrary_earlier = fc.record({
    agency_id: fc.constantFrom('agy_0', 'agy_1', 'agy_2'),
    status: fc.constantFrom(...OFFER_STATUSES),
    reason_code: fc.constantFrom(null, 'no_capacity', 'unsafe'),
    freed_before: fc.constantFrom(null, 1),
  });
  fc.assert(
    fc.property(
      arbitrary_need,
      fc.array(arbitrary_service, { maxLength: 5 }),
      fc.array(arbitrary_earlier, { maxLength: 3 }),
      fc.func(fc.boolean()),
      (n, some, earlier, covered) => {
        const services = some.map((more, i) => service({ ...more, agency_id: `agy_${i}` }));
        const by = rules({ routes: shipped('XA').routes });
        const order = ranked(need(n), services, { earlier, covered: covered as () => boolean, by });
        const again = ranked(need(n), services.toReversed(), {
          earlier: earlier.toReversed(),
          covered: covered as () => boolean,
          by,
        });
        const included = order.findLastIndex(({ excluded_by }) => excluded_by.length === 0);
        const excluded = order.findIndex(({ excluded_by }) => excluded_by.length > 0);
        return (
          JSON.stringify(order) === JSON.stringify(again) &&
          order.length === services.length &&
          (excluded === -1 || included < excluded) &&
          order.every(
            ({ reasons, score, excluded_by }) =>
              (excluded_by.every(code => BY_PLACES.includes(code)) ? reasons.length >= 8 : reasons.length === 0) &&
              score === sumOf(reasons),
          )
        );
      },
    ),
  );
});

t.test('each soft rule alone decides between two that are else alike', async t => {
  const rows: [string, Partial<RoutingNeed>, Partial<CandidateService>, Partial<CandidateService>, string][] = [
    ['distance', {}, { located_in: 'XA-1' }, { located_in: 'XA-2' }, 'lies in a region beside'],
    ['distance', {}, { located_in: 'XA-2' }, { located_in: 'XA-9' }, 'lies far away'],
    ['distance', {}, { located_in: 'XA-2' }, { located_in: null }, 'how far it is is not known'],
    ['specialities', { specialities: ['trauma'] }, { specialities: ['trauma'] }, {}, 'has 0 of 1 specialities asked for'],
    ['opening', {}, { is_open: true }, { is_open: null }, 'its hours are not known'],
    ['opening', {}, { is_open: null }, { is_open: false }, 'is closed at this hour'],
    ['acceptance', {}, { history: { asked: 9, accepted: 9 } }, { history: { asked: 9, accepted: 1 } }, 'mostly says no'],
    ['acceptance', {}, { history: { asked: 9, accepted: 9 } }, {}, 'was not asked lately'],
    ['load', {}, {}, { pending: 2 }, 'others ask it, too'],
    ['load', {}, { pending: 2 }, { pending: 4 }, 'is asked for all it has'],
    ['load', {}, { pending: 1, capacity: null }, { pending: 5, capacity: null }, 'others ask it, too'],
    ['freshness', {}, {}, { assured_at: new Date(AT.getTime() - 7 * 86_400_000 - 1) }, 'what it says of itself is old'],
  ];
  for (const [rule, n, better, worse, why] of rows) {
    const services = [service({ agency_id: 'agy_worse', ...worse }), service({ agency_id: 'agy_better', ...better })];
    for (const tie_key of ['one', 'two', 'three']) {
      const order = ranked(need({ tie_key, ...n }), services);
      t.equal(order[0]!.agency_id, 'agy_better', `${rule}: ${why}`);
      t.match(
        order[1]!.reasons.find(it => it.rule === rule),
        { text: why },
      );
    }
  }
  const seven_days = service({ assured_at: new Date(AT.getTime() - 7 * 86_400_000) });
  t.match(
    ranked(need(), [seven_days])[0]!.reasons.find(it => it.rule === 'freshness'),
    { points: 5 },
    'a week is not old yet',
  );
  const with_others = need({ together_with: new Set(['agy_family']) });
  const far = service({ agency_id: 'agy_family', located_in: 'XA-9', languages: ['tr'], is_open: false });
  t.equal(best(with_others, [service(), far]), 'agy_family', 'a family stays together, though much else speaks against it');
});

t.test('no weight of a pack lets whoever is out of reach be asked first', async t => {
  const heavy = { ...rules().routing, points: { ...rules().routing.points } };
  for (const rule of Object.keys(heavy.points) as (keyof typeof heavy.points)[]) heavy.points[rule] = 100;
  const unreachable = service({ agency_id: 'agy_deaf' });
  const worst = service({
    agency_id: 'agy_hears',
    located_in: 'XA-9',
    languages: ['tr'],
    is_open: false,
    operating_mode: 'remote',
    pending: 9,
    assured_at: new Date(0),
    history: { asked: 99, accepted: 0 },
  });
  const asked = need({ unreachable_agencies: new Set(['agy_deaf']), together_with: new Set(['agy_deaf']) });
  t.equal(ranked(asked, [unreachable, worst], { by: rules({ routing: heavy }) })[0]!.agency_id, 'agy_hears');
});
