import { hash } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { AGENCY_KINDS, OFFER_STATUSES, OPERATING_MODES, PROTECTION_STATUSES, SERVICES, SEXES } from '../../src/core/codes.ts';
import {
  type CandidateService,
  type EarlierOffer,
  type Exclusion,
  type RoutingNeed,
  rankCandidates,
} from '../../src/core/routing.ts';

const ENDED_AT = new Date('2026-11-21T19:00:00.000Z');
const before = new Date(ENDED_AT.getTime() - 1);
const after = new Date(ENDED_AT.getTime() + 1);

const need = (more: Partial<RoutingNeed> = {}): RoutingNeed => ({
  tie_key: 'ref_1',
  service: 'shelter_accommodation',
  jurisdiction: 'XA',
  region: 'XA-1',
  sex: 'female',
  age: 27,
  dependants: 0,
  languages: ['ar'],
  protection_status: 'refugee',
  sender_agency_id: 'agy_sender',
  excluded_agencies: [],
  unreachable_agencies: null,
  ...more,
});
const service = (more: Partial<CandidateService> = {}): CandidateService => ({
  service: 'shelter_accommodation',
  agency_id: 'agy_1',
  kind: 'shelter',
  agency_status: 'active',
  operating_mode: 'open',
  competent_authority: false,
  jurisdictions: ['XA'],
  regions: ['XA-1'],
  sexes: ['female'],
  min_age: 18,
  max_age: 60,
  accepts_dependants: true,
  languages: ['ar'],
  protection_statuses: ['refugee'],
  location_protected: false,
  status: 'active',
  capacity: { total: 4, held: 0, held_elsewhere: 0, freed_at: before },
  ...more,
});
const everybody = () => true;
const exclusionsOf = (n: RoutingNeed, s: CandidateService, earlier: EarlierOffer[] = [], covered = everybody) =>
  rankCandidates(n, [s], earlier, covered)[0]!.excluded_by;
const places = (total: number, held = 0, held_elsewhere = 0) => ({ capacity: { total, held, held_elsewhere, freed_at: before } });

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
    ['excluded', 'by the sender', { excluded_agencies: ['agy_1'] }, {}],
    ['not_competent', 'no authority decides', { service: 'identification' }, { service: 'identification' }],
    ['own_referral', 'the sender itself', { sender_agency_id: 'agy_1' }, {}],
  ];
  for (const [exclusion, said, n, s] of rows)
    t.strictSame(exclusionsOf(need(n), service(s)), [exclusion], `${exclusion}: ${said}`);
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
  const freed = (freed_at: Date) => service({ capacity: { ...limited, freed_at } });
  const earlier = (
    status: EarlierOffer['status'],
    reason_code: string | null = null,
    more: Partial<EarlierOffer> = {},
  ): EarlierOffer => ({
    agency_id: 'agy_1',
    status,
    reason_code,
    ended_at: ENDED_AT,
    ...more,
  });
  const rows: [string, EarlierOffer, CandidateService, boolean][] = [
    ['expired, a place came free since', earlier('expired'), freed(after), true],
    ['expired, none came free', earlier('expired'), freed(before), false],
    ['expired, one came free just then', earlier('expired'), freed(ENDED_AT), false],
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
        [`live: ${status}`, earlier(status, null, { ended_at: null }), freed(after), false] as [
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
  const full = service({ capacity: { total: 1, held: 1, held_elsewhere: 0, freed_at: after } });
  t.strictSame(exclusionsOf(need(), full, [earlier('expired')]), ['no_capacity'], 'came free, and is gone again');
});

t.test('exclusions add up, excluded agencies come last, and all keep their reasons', async t => {
  const wrong = service({ agency_id: 'agy_wrong', sexes: ['male'], operating_mode: 'closed', agency_status: 'suspended' });
  const ranked = rankCandidates(need(), [wrong, service({ languages: [], operating_mode: 'reduced' })], [], everybody);
  t.strictSame(
    ranked.map(({ agency_id }) => agency_id),
    ['agy_1', 'agy_wrong'],
  );
  t.strictSame(ranked[1]!.excluded_by, ['suspended', 'closed', 'sex']);
  for (const { score, reasons } of ranked) {
    t.strictSame(
      reasons.map(({ rule }) => rule),
      ['language', 'operating_mode', 'capacity'],
    );
    t.equal(
      score,
      reasons.reduce((sum, { points }) => sum + points, 0),
    );
    for (const { text } of reasons) t.match(text, /\w+/);
  }
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
    const ranked = rankCandidates(asked, services, [], everybody);
    t.strictSame(
      ranked.map(({ agency_id }) => agency_id),
      ['agy_shares', 'agy_unknown', 'agy_none'],
    );
    t.match(ranked[2]!.reasons[0], { rule: 'language', points: 0, text: 'needs interpretation' });
  }
  const open = service({ agency_id: 'agy_open' });
  const reduced = service({ agency_id: 'agy_reduced', operating_mode: 'reduced' });
  t.equal(rankCandidates(need(), [reduced, open], [], everybody)[0]!.agency_id, 'agy_open', 'who works as usual comes first');
  const last_place = service({ agency_id: 'agy_last', ...places(4, 3) });
  t.equal(rankCandidates(need(), [last_place, open], [], everybody)[0]!.agency_id, 'agy_open', 'who is left a place comes first');
  const speaks = service({ agency_id: 'agy_speaks', operating_mode: 'remote', ...places(1) });
  const mute = service({ agency_id: 'agy_mute', languages: ['tr'] });
  t.equal(rankCandidates(need(), [mute, speaks], [], everybody)[0]!.agency_id, 'agy_speaks', 'a language outweighs the rest');
});

t.test('ties fall by a hash of referral and agency, so that nobody is always first', async t => {
  const services = ['agy_a', 'agy_b', 'agy_c'].map(agency_id => service({ agency_id }));
  const first = new Map<string, number>();
  for (let i = 0; i < 300; i += 1) {
    const tie_key = `key ${i}`;
    const got = rankCandidates(need({ tie_key }), services, [], everybody).map(({ agency_id }) => agency_id);
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
  const best = service({ agency_id: 'agy_best' });
  const worst = service({ agency_id: 'agy_worst', languages: ['tr'], operating_mode: 'remote', capacity: null });
  const order = (unreachable: string[] | null) =>
    rankCandidates(
      need({ unreachable_agencies: unreachable && new Set(unreachable) }),
      [worst, best, service({ agency_id: 'agy_full', ...places(1, 1) })],
      [],
      everybody,
    );
  const ids = (unreachable: string[] | null) => order(unreachable).map(({ agency_id }) => agency_id);
  t.strictSame(ids(null), ['agy_best', 'agy_worst', 'agy_full']);
  t.strictSame(ids([]), ids(null));
  t.strictSame(ids(['agy_best']), ['agy_worst', 'agy_best', 'agy_full'], 'but before whoever cannot be asked');
  t.strictSame(ids(['agy_best', 'agy_worst', 'agy_full']), ids(null), 'where nobody is left, the best');
  const said = (unreachable: string[] | null) =>
    order(unreachable).map(({ reasons }) => reasons.find(({ rule }) => rule === 'reachability')?.points);
  t.strictSame(said(null), [undefined, undefined, undefined], 'others are not looked at so');
  t.strictSame(said(['agy_best']), [100, 0, 100]);
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
    capacity: fc.option(
      fc.record({ total: fc.nat(3), held: fc.nat(3), held_elsewhere: fc.nat(1), freed_at: fc.constantFrom(before, after) }),
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
  });
  const arbitrary_earlier = fc.record({
    agency_id: fc.constantFrom('agy_0', 'agy_1', 'agy_2'),
    status: fc.constantFrom(...OFFER_STATUSES),
    reason_code: fc.constantFrom(null, 'no_capacity', 'unsafe'),
    ended_at: fc.constantFrom(null, ENDED_AT),
  });
  fc.assert(
    fc.property(
      arbitrary_need,
      fc.array(arbitrary_service, { maxLength: 5 }),
      fc.array(arbitrary_earlier, { maxLength: 3 }),
      fc.func(fc.boolean()),
      (n, some, earlier, covered) => {
        const services = some.map((more, i) => service({ ...more, agency_id: `agy_${i}` }));
        const ranked = rankCandidates(need(n), services, earlier, covered as () => boolean);
        const again = rankCandidates(need(n), services.toReversed(), earlier.toReversed(), covered as () => boolean);
        const included = ranked.findLastIndex(({ excluded_by }) => excluded_by.length === 0);
        const excluded = ranked.findIndex(({ excluded_by }) => excluded_by.length > 0);
        return (
          JSON.stringify(ranked) === JSON.stringify(again) &&
          ranked.length === services.length &&
          (excluded === -1 || included < excluded) &&
          ranked.every(({ reasons }) => reasons.length === 3)
        );
      },
    ),
  );
});
