import fc from 'fast-check';
import t from 'tap';
import { AGENCY_KINDS, type AgencyKind, CATEGORIES, type Category, LAWFUL_GROUNDS, SERVICES } from '../../src/core/codes.ts';
import {
  coveredCategories,
  type Grant,
  isLiveGrant,
  isNamed,
  mayBeAsked,
  missingCategories,
  type Need,
  withheldFromOwner,
} from '../../src/core/consent.ts';

const NOW = new Date('2026-11-21T19:00:00.000Z');
const BEFORE = new Date(NOW.getTime() - 1);
const AFTER = new Date(NOW.getTime() + 1);

const SHELTER = { id: 'agy_shelter', kind: 'shelter' } as const;
const OTHER_SHELTER = { id: 'agy_other', kind: 'shelter' } as const;
const CLINIC = { id: 'agy_clinic', kind: 'health' } as const;

const grant = (more: Partial<Grant> = {}): Grant => ({
  recipient_agency_id: null,
  recipient_agency_kind: 'shelter',
  purposes: ['shelter_accommodation'],
  categories: ['identity', 'contact'],
  expires_at: null,
  withdrawn_at: null,
  ...more,
});
const byName = (id: string, more: Partial<Grant> = {}) =>
  grant({ recipient_agency_id: id, recipient_agency_kind: null, ...more });
const need = (more: Partial<Need> = {}): Need => ({
  service: 'shelter_accommodation',
  categories: ['identity', 'contact'],
  lawful_ground: null,
  ...more,
});

t.test('a grant is live until it is withdrawn or its time is over', async t => {
  const cases: [Partial<Grant>, boolean][] = [
    [{}, true],
    [{ expires_at: AFTER }, true],
    [{ expires_at: NOW }, false],
    [{ expires_at: BEFORE }, false],
    [{ withdrawn_at: BEFORE }, false],
    [{ withdrawn_at: BEFORE, expires_at: AFTER }, false],
  ];
  for (const [more, live] of cases) {
    t.equal(isLiveGrant(grant(more), NOW), live, JSON.stringify(more));
    t.equal(mayBeAsked(need(), [grant(more)], SHELTER, NOW), live);
    t.strictSame(coveredCategories(need(), [grant(more)], SHELTER, NOW), live ? ['identity', 'contact'] : []);
    t.equal(isNamed([byName(SHELTER.id, more)], SHELTER.id, NOW), live);
  }
});

t.test('it covers an agency by name or by kind, for its purposes', async t => {
  const rows: [string, Grant, typeof SHELTER | typeof OTHER_SHELTER | typeof CLINIC, boolean][] = [
    ['a kind, every agency of it', grant(), SHELTER, true],
    ['a kind, every agency of it', grant(), OTHER_SHELTER, true],
    ['a kind, no agency of another', grant(), CLINIC, false],
    ['a name, that agency', byName(SHELTER.id), SHELTER, true],
    ['a name, no other of its kind', byName(SHELTER.id), OTHER_SHELTER, false],
    ['another purpose', grant({ purposes: ['medical'] }), SHELTER, false],
    ['among others, the purpose', grant({ purposes: ['medical', 'shelter_accommodation'] }), SHELTER, true],
    ['figures are no service', grant({ purposes: ['figures'] }), SHELTER, false],
  ];
  for (const [said, it, recipient, covered] of rows) {
    t.equal(mayBeAsked(need(), [it], recipient, NOW), covered, said);
    t.strictSame(missingCategories(need(), [it], recipient, NOW), covered ? [] : ['identity', 'contact'], said);
  }
  t.notOk(mayBeAsked(need(), [], SHELTER, NOW), 'no grant, no offer');
  t.ok(mayBeAsked(need({ categories: ['health'] }), [grant()], SHELTER, NOW), 'an offer needs no category');
  t.notOk(isNamed([grant()], SHELTER.id, NOW), 'a kind is no name');
});

t.test('what is open is what was asked for and is covered', async t => {
  const both = [grant({ categories: ['identity'] }), byName(SHELTER.id, { categories: ['health'] })];
  const asked = need({ categories: ['health', 'identity', 'narrative'] });
  t.strictSame(coveredCategories(asked, both, SHELTER, NOW), ['health', 'identity'], 'grants add up');
  t.strictSame(coveredCategories(asked, both, OTHER_SHELTER, NOW), ['identity']);
  t.strictSame(missingCategories(asked, both, SHELTER, NOW), ['narrative']);
  t.strictSame(coveredCategories(need({ categories: [] }), [grant({ categories: [...CATEGORIES] })], SHELTER, NOW), []);
});

t.test('the source never leaves the agency that took the report', async t => {
  const all = [...CATEGORIES];
  for (const kind of AGENCY_KINDS) {
    const recipient = { id: 'agy_x', kind };
    const grants = [byName('agy_x', { categories: all }), grant({ recipient_agency_kind: kind, categories: all })];
    for (const lawful_ground of [null, ...LAWFUL_GROUNDS.map(code => ({ code }))]) {
      const open = coveredCategories(need({ categories: all, lawful_ground }), grants, recipient, NOW);
      t.strictSame(
        open,
        all.filter(category => category !== 'source'),
        `${kind}, ${lawful_ground?.code ?? 'consent'}`,
      );
    }
  }
});

t.test('a protection status reaches some kinds only by a grant that names the agency', async t => {
  const only_by_name = ['labour_inspection', 'police', 'prosecution', 'ministry', 'consular'];
  for (const kind of AGENCY_KINDS) {
    const recipient = { id: 'agy_x', kind };
    const asked = need({ categories: ['protection_status'] });
    const by_kind = [grant({ recipient_agency_kind: kind, categories: ['protection_status'] })];
    const by_name = [byName('agy_x', { categories: ['protection_status'] })];
    t.equal(coveredCategories(asked, by_kind, recipient, NOW).length, only_by_name.includes(kind) ? 0 : 1, `${kind} by kind`);
    t.strictSame(coveredCategories(asked, by_name, recipient, NOW), ['protection_status'], `${kind} by name`);
    // A name in one grant does not lend itself to the categories of another.
    const mixed = [...by_kind, byName('agy_x', { categories: ['identity'] })];
    t.equal(coveredCategories(asked, mixed, recipient, NOW).length, only_by_name.includes(kind) ? 0 : 1, `${kind} mixed`);
  }
});

t.test('a lawful ground stands in for consent, for what was asked but source and status', async t => {
  const all = [...CATEGORIES];
  for (const code of LAWFUL_GROUNDS) {
    const asked = need({ categories: all, lawful_ground: { code } });
    t.ok(mayBeAsked(asked, [], CLINIC, NOW));
    t.strictSame(missingCategories(asked, [], CLINIC, NOW).toSorted(), ['protection_status', 'source']);
    const with_grant = [grant({ recipient_agency_kind: 'health', categories: ['protection_status'] })];
    t.strictSame(missingCategories(asked, with_grant, CLINIC, NOW), ['source'], 'a grant adds the status');
  }
});

t.test('no category is open that neither a live grant nor the ground covers', async () => {
  const categories = fc.uniqueArray(fc.constantFrom(...CATEGORIES));
  const arbitrary_grant = fc.record({
    by_name: fc.boolean(),
    id: fc.constantFrom('agy_a', 'agy_b'),
    kind: fc.constantFrom(...AGENCY_KINDS.slice(0, 8)),
    purposes: fc.uniqueArray(fc.constantFrom(...SERVICES.slice(0, 3)), { minLength: 1 }),
    categories,
    expires_at: fc.constantFrom(null, BEFORE, AFTER),
    withdrawn_at: fc.constantFrom(null, null, BEFORE),
  });
  const arbitrary = fc.record({
    grants: fc.array(arbitrary_grant, { maxLength: 5 }),
    kind: fc.constantFrom(...AGENCY_KINDS.slice(0, 8)) as fc.Arbitrary<AgencyKind>,
    service: fc.constantFrom(...SERVICES.slice(0, 3)),
    asked: categories,
    ground: fc.option(fc.constantFrom(...LAWFUL_GROUNDS)),
  });
  fc.assert(
    fc.property(arbitrary, ({ grants, kind, service, asked, ground }) => {
      const rows: Grant[] = grants.map(({ by_name, id, kind, ...rest }) => ({
        ...rest,
        recipient_agency_id: by_name ? id : null,
        recipient_agency_kind: by_name ? null : kind,
      }));
      const it: Need = { service, categories: asked, lawful_ground: ground === null ? null : { code: ground } };
      const recipient = { id: 'agy_a', kind };
      const open = coveredCategories(it, rows, recipient, NOW);
      const missing = missingCategories(it, rows, recipient, NOW);
      if ([...open, ...missing].toSorted().join() !== asked.toSorted().join()) return false;
      const justified = (category: Category) =>
        (ground !== null && category !== 'protection_status') ||
        rows.some(
          row =>
            row.withdrawn_at === null &&
            row.expires_at !== BEFORE &&
            row.categories.includes(category) &&
            row.purposes.includes(service) &&
            (row.recipient_agency_id === 'agy_a' || row.recipient_agency_kind === kind),
        );
      return (
        open.every(category => category !== 'source' && justified(category)) &&
        (open.length === 0 || mayBeAsked(it, rows, recipient, NOW))
      );
    }),
    { numRuns: 1_000 },
  );
});

t.test('a ground that its review did not uphold stands in for nothing', async t => {
  const asked = need({ lawful_ground: { code: 'mandatory_report' } });
  t.ok(mayBeAsked(asked, [], SHELTER, NOW));
  t.ok(mayBeAsked(need({ lawful_ground: { code: 'mandatory_report', upheld: true } }), [], SHELTER, NOW));
  const refused = need({ lawful_ground: { code: 'mandatory_report', upheld: false } });
  t.notOk(mayBeAsked(refused, [], SHELTER, NOW));
  t.strictSame(coveredCategories(refused, [], SHELTER, NOW), []);
  t.strictSame(coveredCategories(refused, [grant()], SHELTER, NOW), ['identity', 'contact'], 'a consent beside it still covers');
});

t.test('an owner that did not open the case sees what consent to its case management covers, never the source', async t => {
  const inspection = { id: 'agy_inspection', kind: 'labour_inspection' } as const;
  const allBut = (...categories: Category[]) => CATEGORIES.filter(category => !categories.includes(category));
  const managing = byName(CLINIC.id, { purposes: ['case_management'], categories: [...CATEGORIES] });
  t.strictSame(withheldFromOwner(CLINIC, null, undefined, [], NOW), [], 'it has not changed hands');
  t.strictSame(withheldFromOwner(CLINIC, CLINIC.id, undefined, [], NOW), [], 'it came back');
  t.strictSame(withheldFromOwner(CLINIC, SHELTER.id, undefined, [managing], NOW), ['source']);
  t.strictSame(withheldFromOwner(CLINIC, SHELTER.id, undefined, [{ ...managing, withdrawn_at: BEFORE }], NOW), [...CATEGORIES]);
  t.strictSame(withheldFromOwner(CLINIC, SHELTER.id, undefined, [{ ...managing, purposes: ['medical'] }], NOW), [...CATEGORIES]);

  const by_kind = grant({
    recipient_agency_kind: 'labour_inspection',
    purposes: ['case_management'],
    categories: [...CATEGORIES],
  });
  t.strictSame(withheldFromOwner(inspection, SHELTER.id, undefined, [by_kind], NOW), ['protection_status', 'source']);

  const ground = { code: 'child_safeguarding' } as const;
  const asked = { categories: ['identity', 'protection_status', 'source'], lawful_ground: ground } as const;
  t.strictSame(withheldFromOwner(CLINIC, SHELTER.id, asked, [], NOW), allBut('identity'), 'what was asked for, and no status');
  const refused = { ...asked, lawful_ground: { ...ground, upheld: false } };
  t.strictSame(withheldFromOwner(CLINIC, SHELTER.id, refused, [], NOW), [...CATEGORIES]);
});
