import fc from 'fast-check';
import t from 'tap';
import {
  ageAt,
  type CaseDocument,
  changedCategories,
  mergePatch,
  type RoutingProfile,
  routingProfile,
  shownProfile,
  toCategories,
  toDocument,
  touchesSafety,
} from '../../src/core/case.ts';
import { CATEGORIES } from '../../src/core/codes.ts';

const NOW = new Date('2026-11-21T19:00:00.000Z');

/** Every field of a case, each with a value that occurs nowhere else. */
const WHOLE: CaseDocument = {
  intake: { channel: 'hotline', received_at: '2026-11-21T18:55:00.000Z', complainant: true, narrative: 'CANARY-narrative' },
  person: {
    given_name: 'CANARY-given',
    family_name: 'CANARY-family',
    date_of_birth: '1999-04-02',
    estimated_age: 27,
    sex: 'female',
    nationalities: ['XQ'],
    languages: ['ckb'],
    protection_status: 'stateless',
    safe_contact: { safe_to_call: true, method: 'phone', value: 'CANARY-value', code_word: 'CANARY-word' },
  },
  dependants: [{ age: 3, sex: 'male' }, {}],
  danger_flags: ['weapons'],
  needs: ['medical'],
  exploitation: { forms: ['CANARY-form'], sectors: ['CANARY-sector'], from: '2025-01-01', to: '2026-01-01' },
};

/** "Data categories and the fields in them", from the page. */
const PAGE = {
  identity: { given_name: 'CANARY-given', family_name: 'CANARY-family', date_of_birth: '1999-04-02', nationalities: ['XQ'] },
  contact: { safe_contact: WHOLE.person!.safe_contact },
  demographics: { estimated_age: 27, sex: 'female', languages: ['ckb'] },
  narrative: { narrative: 'CANARY-narrative' },
  health: { needs: ['medical'], danger_flags: ['weapons'] },
  protection_status: { protection_status: 'stateless' },
  labour: { exploitation: WHOLE.exploitation },
  family: { dependants: WHOLE.dependants },
  source: { intake: { channel: 'hotline', received_at: '2026-11-21T18:55:00.000Z', complainant: true } },
};

t.test('each field lies in its category, and in no other', async t => {
  t.strictSame(toCategories(WHOLE), PAGE);
  t.strictSame(
    Object.keys(PAGE),
    CATEGORIES.filter(category => category !== 'criminal_justice'),
    'in the order of the codes',
  );
  t.notMatch(JSON.stringify(toCategories(WHOLE).source), /narrative/, 'the narrative is not the source');
  t.strictSame(toDocument(toCategories(WHOLE)), WHOLE, 'and back');
});

t.test('what is not known is not written', async t => {
  const { intake } = WHOLE;
  t.strictSame(toCategories({ intake: { channel: 'phone', received_at: intake.received_at } }), {
    source: { intake: { channel: 'phone', received_at: intake.received_at } },
  });
  t.strictSame(toCategories({ intake, person: { sex: 'male' } }).demographics, { sex: 'male' });
  t.strictSame(toCategories({ intake, dependants: [] }).family, { dependants: [] }, 'none is known to be none');
});

t.test('a merge patch does what RFC 7396 says (its appendix A)', async t => {
  const rows: [unknown, unknown, unknown][] = [
    [{ a: 'b' }, { a: 'c' }, { a: 'c' }],
    [{ a: 'b' }, { b: 'c' }, { a: 'b', b: 'c' }],
    [{ a: 'b' }, { a: null }, {}],
    [{ a: 'b', b: 'c' }, { a: null }, { b: 'c' }],
    [{ a: ['b'] }, { a: 'c' }, { a: 'c' }],
    [{ a: 'c' }, { a: ['b'] }, { a: ['b'] }],
    [{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }],
    [{ a: [{ b: 'c' }] }, { a: [1] }, { a: [1] }],
    [
      ['a', 'b'],
      ['c', 'd'],
      ['c', 'd'],
    ],
    [{ a: 'b' }, ['c'], ['c']],
    [{ a: 'foo' }, null, null],
    [{ a: 'foo' }, 'bar', 'bar'],
    [{ e: null }, { a: 1 }, { e: null, a: 1 }],
    [[1, 2], { a: 'b', c: null }, { a: 'b' }],
    [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
  ];
  for (const [target, patch, result] of rows) {
    const given = structuredClone({ target, patch });
    t.strictSame(mergePatch(target, patch), result, JSON.stringify(patch));
    t.strictSame({ target, patch }, given, 'what it was given is as it was');
  }
});

t.test('a patch of the document changes the categories of what it names', async t => {
  const before = toCategories(WHOLE);
  const rows: [Record<string, unknown>, string[]][] = [
    [{}, []],
    [{ person: { given_name: 'CANARY-given' } }, []],
    [{ person: { given_name: 'Other' } }, ['identity']],
    [{ person: { given_name: null } }, ['identity']],
    [{ person: { estimated_age: 30, family_name: null } }, ['identity', 'demographics']],
    [{ person: { safe_contact: { value: 'other' } } }, ['contact']],
    [{ person: { safe_contact: null } }, ['contact']],
    [{ person: null }, ['identity', 'contact', 'demographics', 'protection_status']],
    [{ intake: { narrative: 'more' } }, ['narrative']],
    [{ intake: { channel: 'phone' } }, ['source']],
    [{ danger_flags: null }, ['health']],
    [{ dependants: [{}] }, ['family']],
    [{ exploitation: { to: null } }, ['labour']],
    [{ person: { protection_status: 'refugee' } }, ['protection_status']],
  ];
  for (const [patch, changed] of rows) {
    const after = toCategories(mergePatch(toDocument(before), patch) as CaseDocument);
    t.strictSame(changedCategories(before, after).toSorted(), changed.toSorted(), JSON.stringify(patch));
  }
  const reordered = { ...before, identity: Object.fromEntries(Object.entries(before.identity!).toReversed()) };
  t.strictSame(changedCategories(before, reordered), [], 'the order of fields is no change');
  t.strictSame(changedCategories({}, { contact: {} }), ['contact']);
});

t.test('what later acts wrote is not lost by an amendment', async t => {
  const held = { ...toCategories(WHOLE), criminal_justice: { status: 'CANARY' } };
  const after = toCategories(toDocument(held));
  t.strictSame(changedCategories(held, after), [], 'criminal_justice is not of the document, so it is not changed by it');
});

t.test('safety is touched by contact, danger flags and risk alone', async t => {
  const before = toCategories(WHOLE);
  const patched = (patch: unknown) => toCategories(mergePatch(WHOLE, patch) as CaseDocument);
  const rows: [unknown, boolean, boolean][] = [
    [{}, false, false],
    [{}, true, true],
    [{ person: { safe_contact: { window: 'mornings' } } }, false, true],
    [{ person: { safe_contact: null } }, false, true],
    [{ danger_flags: ['weapons', 'self_harm'] }, false, true],
    [{ danger_flags: null }, false, true],
    [{ needs: ['legal_aid'] }, false, false],
    [{ person: { given_name: 'Other', languages: ['tr'] }, intake: { narrative: 'more' } }, false, false],
  ];
  for (const [patch, risk_changed, touched] of rows)
    t.equal(touchesSafety(before, patched(patch), risk_changed), touched, JSON.stringify(patch));
  t.notOk(touchesSafety({}, { health: { danger_flags: [] } }, false), 'no flags are none');
});

t.test('the profile shows what is needed to say yes or no, and nothing that names', async t => {
  const profile = shownProfile(routingProfile(WHOLE, NOW), NOW);
  t.strictSame(profile, {
    sex: 'female',
    age_band: '25-59',
    dependants: 2,
    languages: ['ckb'],
    needs: ['medical'],
    danger_flags: ['weapons'],
  });
  t.notMatch(JSON.stringify(profile), /CANARY|1999|27|stateless|XQ/);
  t.strictSame(shownProfile(routingProfile({ intake: WHOLE.intake }, NOW), NOW), {
    sex: 'unknown',
    age_band: 'unknown',
    dependants: 0,
    languages: [],
    needs: [],
    danger_flags: [],
  });
});

t.test('age bands', async t => {
  const born = (date_of_birth: string) => routingProfile({ intake: WHOLE.intake, person: { date_of_birth } }, NOW);
  const estimated = (estimated_age: number) => routingProfile({ intake: WHOLE.intake, person: { estimated_age } }, NOW);
  const rows: [RoutingProfile, number, string][] = [
    [estimated(0), 0, '0-11'],
    [estimated(11), 11, '0-11'],
    [estimated(12), 12, '12-17'],
    [estimated(17), 17, '12-17'],
    [estimated(18), 18, '18-24'],
    [estimated(24), 24, '18-24'],
    [estimated(25), 25, '25-59'],
    [estimated(59), 59, '25-59'],
    [estimated(60), 60, '60+'],
    [estimated(120), 120, '60+'],
    [born('2008-11-21'), 18, '18-24'],
    [born('2008-11-22'), 17, '12-17'],
    [born('2008-12-01'), 17, '12-17'],
    [born('2009-01-01'), 17, '12-17'],
    [born('2026-11-21'), 0, '0-11'],
    [born('2027-01-01'), 0, '0-11'],
    [born('2008-02-29'), 18, '18-24'],
  ];
  for (const [profile, age, band] of rows) {
    t.equal(ageAt(profile, NOW), age);
    t.equal(shownProfile(profile, NOW).age_band, band, `${age} years`);
  }
  const both = routingProfile({ intake: WHOLE.intake, person: { date_of_birth: '2010-01-01', estimated_age: 30 } }, NOW);
  t.equal(ageAt(both, NOW), 16, 'the date of birth counts where it is known');
  t.equal(ageAt({ date_of_birth: null, estimated_age: null }, NOW), null);
});

t.test('an estimate grows older from the day on which it was made', async t => {
  const first = routingProfile({ intake: WHOLE.intake, person: { estimated_age: 17 } }, NOW);
  const next_year = new Date('2027-11-21T00:00:00.000Z');
  t.equal(ageAt(first, new Date('2027-11-20T23:59:59.000Z')), 17);
  t.equal(ageAt(first, next_year), 18);
  const amended = routingProfile({ intake: WHOLE.intake, person: { estimated_age: 17, sex: 'male' } }, next_year, first);
  t.equal(ageAt(amended, next_year), 18, 'an amendment of something else does not make it new');
  const said_again = routingProfile({ intake: WHOLE.intake, person: { estimated_age: 16 } }, next_year, first);
  t.equal(ageAt(said_again, next_year), 16, 'another estimate does');
});

t.test('a document survives its categories', async () => {
  const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });
  const instant = fc
    .date({ noInvalidDate: true, min: new Date('1900-01-01'), max: new Date('2100-01-01') })
    .map(at => at.toISOString());
  const arbitrary = fc.record(
    {
      intake: fc.record(
        { channel: fc.string(), received_at: instant, narrative: fc.string() },
        { requiredKeys: ['channel', 'received_at'] },
      ),
      person: fc.record(
        { given_name: maybe(fc.string()), estimated_age: maybe(fc.nat()), languages: maybe(fc.array(fc.string())) },
        { requiredKeys: [] },
      ),
      dependants: fc.array(fc.record({ age: fc.nat() }, { requiredKeys: [] })),
      danger_flags: fc.subarray(['weapons' as const, 'other' as const]),
    },
    { requiredKeys: ['intake'] },
  );
  fc.assert(
    fc.property(arbitrary, document => {
      const data = toCategories(document as CaseDocument);
      return changedCategories(data, toCategories(toDocument(data))).length === 0;
    }),
  );
});
