import { type Test, test } from 'tap';
import type { DemoAgencyKey } from '../../src/demo.ts';
import { startTestApp, type TestApp } from '../support/app.ts';
import { BROKEN, directory, type Tables, TERMS } from '../support/hsds.ts';
import { DAY, HOUR } from '../support/journey.ts';
import { mechanism } from '../support/mechanism.ts';
import { ok } from '../support/night.ts';
import { entriesOf, lookAsOwner } from '../support/trail.ts';

const PATH = '/v1/directory/import';
const TABLES = ['agencies', 'services', 'capacities', 'directory_sources', 'directory_imports', 'clients', 'caseworkers'];

/** Everything that the directory holds. */
async function held({ services }: TestApp): Promise<Record<string, unknown[]>> {
  const rows = TABLES.map(
    async table => [table, await lookAsOwner(services, `select * from ${table} t order by t::text`)] as const,
  );
  return Object.fromEntries(await Promise.all(rows));
}

async function start(t: Test) {
  const it = await startTestApp(t);
  const them = await mechanism(it);
  const admin = them.as('committee', 'nobody');
  const bodyOf = (tables: object, more: object = {}) => ({
    jurisdiction: 'XA',
    source: 'harbour',
    ...TERMS,
    directory: tables,
    ...more,
  });
  const take = (tables: object, more: object = {}, headers = {}) => admin.post(PATH, bodyOf(tables, more), headers);
  const exported = async (key: DemoAgencyKey, query = '') =>
    ok(await them.as(key, 'nobody', ['directory.read']).get(`/v1/directory/export?jurisdiction=XA${query}`));
  return { it, ...them, admin, take, exported, bodyOf };
}

const counts = (created: number, updated: number, unchanged: number) => ({ created, updated, unchanged });

test('a directory is taken over, and can do nothing by itself', async t => {
  const { it, take, as } = await start(t);
  const before = await held(it);
  const taken = await take(directory());
  t.match(taken, {
    status: 200,
    headers: { 'audit-receipt': /^[0-9a-f]{64}$/ },
    body: {
      id: /^imp_/,
      dry_run: false,
      source: 'harbour',
      agencies: counts(2, 0, 0),
      services: counts(2, 0, 0),
      capacities: counts(1, 0, 0),
      not_mentioned: { total: 0, data: [] },
      not_understood: { total: 0, data: [] },
    },
  });
  t.ok(taken.body.left_out.some(({ table, rows }: { table: string; rows: number }) => table === 'contact' && rows === 1));

  const { data } = ok(await as('health').get('/v1/agencies?kind=shelter&limit=1'));
  const [shelter] = data;
  t.match(shelter, {
    name: 'Harbour House',
    jurisdictions: ['XA'],
    duty_contact: '+999 100 ext. 7',
    competent_authority: false,
    first_responder: false,
  });
  const service = `/v1/agencies/${shelter.id}/services/shelter_accommodation`;
  t.match(ok(await as('health').get(service)), {
    regions: ['XA-2'],
    located_in: 'XA-1',
    min_age: 18,
    max_age: 60,
    languages: ['ar'],
    specialities: ['trauma'],
    assured_at: '2026-11-20T00:00:00.000Z',
    schedules: [{ timezone: '+02:00' }, { timezone: 'UTC' }],
  });
  t.match(ok(await as('health').get(`${service}/capacity`)), {
    total: 8,
    held_elsewhere: 5,
    available: 3,
    assured_at: '2026-11-21T08:00:00.000Z',
  });
  const after = await held(it);
  t.same([after.clients, after.caseworkers], [before.clients, before.caseworkers]);
  t.notMatch(JSON.stringify(after), /canary/i, 'neither persons nor addresses');
  t.match(await entriesOf(it.services, 'directory.import'), [{ outcome: 'done', caseworker: null }]);
});

test('taken over again it changes what has changed, and makes nothing twice', async t => {
  const { it, take, as } = await start(t);
  ok(await take(directory()));
  const before = await held(it);
  it.clock.advance(DAY);
  t.match(await take(directory()), {
    body: { agencies: counts(0, 0, 2), services: counts(0, 0, 2), capacities: counts(0, 0, 1) },
  });
  const after = await held(it);
  for (const table of TABLES.filter(name => name !== 'directory_imports')) t.same(after[table], before[table], table);

  const next = directory();
  next.organizations![0]!.name = 'Harbour House (new)';
  Object.assign(next.services![0]!, { maximum_age: 65, assured_date: '2026-11-22' });
  Object.assign(next.service_capacities![0]!, { available: 4, updated: '2026-11-22T08:00:00Z' });
  next.services!.pop();
  next.attributes = next.attributes!.filter(({ link_id }) => link_id !== 's2');
  const { body } = await take(next);
  t.match(body, {
    agencies: counts(0, 1, 1),
    services: counts(0, 1, 0),
    capacities: counts(0, 1, 0),
    not_mentioned: { total: 1, data: [{ service: 'legal_aid' }] },
  });
  const [gone] = body.not_mentioned.data;
  t.match(ok(await as('health').get(`/v1/agencies/${gone.agency_id}/services/legal_aid`)), { suspended_reason: 'moving house' });

  // Another directory knows them under other ids.
  t.match(await take(directory(), { source: 'another' }), { body: { agencies: counts(2, 0, 0) } });
});

test('what the agency itself said later stays', async t => {
  const { it, exported, take, as, agencies } = await start(t);
  const own = as('shelter_c', 'supervisor');
  const path = `/v1/agencies/${agencies.shelter_c.id}/services/shelter_accommodation`;
  it.clock.advance(HOUR);
  ok(await own.put(path, { min_age: 20, sexes: ['male'] }, { 'if-match': '*' }));
  ok(await own.put(`${path}/capacity`, { total: 9 }));
  const told = await exported('committee');
  const all = told.organizations.flatMap((one: { services?: object[] }) => one.services ?? []);
  const service = all.find((one: { minimum_age?: number }) => one.minimum_age === 20);
  Object.assign(service, { minimum_age: 16, assured_date: '2026-11-01' });
  Object.assign(service.capacities[0], { available: 1, updated: '2026-11-01T00:00:00Z' });
  const { body } = await take(told);
  t.match(body, { services: { updated: 0 }, capacities: { updated: 0 }, not_understood: { total: 2 } });
  t.match(ok(await own.get(path)), { min_age: 20 });
  t.match(ok(await own.get(`${path}/capacity`)), { total: 9, available: 9 });
});

test('what says not when it was assured, or says it of a day to come, changes nothing that an agency said', async t => {
  const { it, take, as, agencies, exported } = await start(t);
  const own = as('shelter_c', 'supervisor');
  const path = `/v1/agencies/${agencies.shelter_c.id}/services/shelter_accommodation`;
  ok(await own.put(path, { min_age: 20, sexes: ['male'] }, { 'if-match': '*' }));
  ok(await own.put(`${path}/capacity`, { total: 9 }));
  it.clock.advance(HOUR);
  for (const assured_date of [undefined, '2031-01-01']) {
    const told = await exported('committee');
    const all = told.organizations.flatMap((one: { services?: object[] }) => one.services ?? []);
    const service = all.find((one: { minimum_age?: number }) => one.minimum_age === 20);
    Object.assign(service, { minimum_age: 16, assured_date });
    Object.assign(service.capacities[0], { available: 1, updated: assured_date && `${assured_date}T00:00:00Z` });
    const { body } = await take(told);
    t.match(body, { services: { updated: 0 }, capacities: { updated: 0 }, not_understood: { total: 2 } });
    t.match(ok(await own.get(path)), { min_age: 20 });
  }

  const undated = directory();
  delete undated.services![0]!.assured_date;
  ok(await take(undated));
  undated.services![0]!.maximum_age = 65;
  t.match(await take(undated), { body: { services: { updated: 1 } } }, 'but of what it said itself, the last word counts');
  undated.services![0]!.minimum_age = 70;
  delete undated.services![0]!.maximum_age;
  t.match(await take(undated), { status: 422, body: { errors: [{ detail: /contradicts/ }] } });
});

test('no directory lifts what an agency has suspended', async t => {
  const { it, take, as } = await start(t);
  const tables = directory();
  ok(await take(tables));
  const [{ id }] = ok(await as('health').get('/v1/agencies?kind=shelter&limit=1')).data;
  const status = async () => ok(await as('health').get(`/v1/agencies/${id}/services/shelter_accommodation`)).status;
  const suspend = "update services set status = 'suspended', suspended_reason = 'fire', imported = $2 where agency_id = $1";
  it.clock.advance(3 * DAY);
  tables.services![0]!.assured_date = it.clock.now().toISOString().slice(0, 10);
  await lookAsOwner(it.services, suspend, [id, false]);
  t.match(ok(await take(tables)).not_understood.data, [{ reason: /suspended it/ }]);
  t.equal(await status(), 'suspended');
  await lookAsOwner(it.services, suspend, [id, true]);
  tables.services![0]!.maximum_age = 66;
  ok(await take(tables));
  t.equal(await status(), 'active', 'only what a directory said before');
});

test('of a protected place its agency alone says where it lies and what is free', async t => {
  const { it, take, as } = await start(t);
  const tables = directory();
  ok(await take(tables));
  const [{ id }] = ok(await as('health').get('/v1/agencies?kind=shelter&limit=1')).data;
  await lookAsOwner(it.services, 'update services set location_protected = true where agency_id = $1', [id]);
  const places = () => lookAsOwner(it.services, 'select total, held_elsewhere from capacities where agency_id = $1', [id]);
  const before = await places();
  it.clock.advance(DAY);
  const answers = [];
  for (const [region, available] of [
    ['XA-1', 3],
    ['XA-2', 1],
  ] as const) {
    tables.addresses![0]!.state_province = region;
    Object.assign(tables.service_capacities![0]!, { available, updated: it.clock.now().toISOString() });
    const { id: _, ...report } = ok(await take(tables, { dry_run: true }));
    answers.push(report);
    ok(await take(tables));
  }
  t.strictSame(answers[0], answers[1], 'and whoever tries learns nothing');
  t.match(answers[0].not_understood.data, [{ reason: /protected/ }, { reason: /protected/ }]);
  t.strictSame(await places(), before);
});

test('a dry run tells the same and does nothing', async t => {
  const { it, take } = await start(t);
  const before = await held(it);
  const told = await take(directory(), { dry_run: true });
  t.match(told, { status: 200, body: { id: null, dry_run: true } });
  t.same(await held(it), before);
  const done = await take(directory());
  t.same({ ...done.body, id: null, dry_run: true }, told.body);
  t.match(await entriesOf(it.services, 'directory.import'), [{ outcome: 'read' }, { outcome: 'done' }]);
});

test('the same key again does nothing again', async t => {
  const { take, it } = await start(t);
  const first = await take(directory(), {}, { 'idempotency-key': 'harbour' });
  const before = await held(it);
  const again = await take(directory(), {}, { 'idempotency-key': 'harbour' });
  t.match(again, { status: 200, headers: { 'idempotency-replayed': 'true' } });
  t.same(again.body, first.body);
  t.same(await held(it), before);
});

test('where a row is broken every one is named, and nothing is written', async t => {
  const { it, take } = await start(t);
  ok(await take(directory()));
  const before = await held(it);
  for (const [said, document, pointer] of BROKEN) {
    for (const dry_run of [false, true]) {
      const refused = await take(document, { dry_run });
      t.match(refused, { status: 422, body: { code: 'unprocessable' } }, said);
      t.ok(
        refused.body.errors?.some((fault: { pointer: string }) => fault.pointer === `/directory${pointer}`),
        said,
      );
    }
  }
  const all = directory();
  Object.assign(all.services![0]!, { status: 'open', minimum_age: -1 });
  all.languages = Array.from({ length: 300 }, (_, i) => ({ id: `g${i}`, service_id: 's9', code: 'ar' }));
  const many = await take(all);
  t.equal(many.body.errors.length, 200);
  t.equal(many.body.errors_total, 302);
  const nul = directory();
  nul.organizations![1]!.name = 'a\0b';
  t.match(await take(nul), { status: 400, body: { errors: [{ pointer: '/directory/organizations/1/name' }] } });
  t.same(await held(it), before, 'nothing half-written');
});

test('an agency stays what it is', async t => {
  const { take, it } = await start(t);
  ok(await take(directory()));
  const before = await held(it);
  const faults = async (tables: Tables, more: object = {}) =>
    (await take(tables, more)).body.errors?.map((fault: { pointer: string }) => fault.pointer);
  const other = directory();
  other.taxonomy_terms![0]!.code = 'police';
  t.same(await faults(other), ['/directory/organizations/0']);
  const nobody = directory();
  nobody.attributes = nobody.attributes!.slice(1);
  t.same(await faults(nobody, { source: 'another' }), ['/directory/organizations/0'], 'a new one must say what it is');
  t.equal((await take(nobody)).status, 200, 'a known one need not');
  t.same(await faults({ ...directory(), addresses: [], service_areas: [] }, { jurisdiction: 'XB' }), [
    '/directory/organizations/0',
    '/directory/organizations/1',
  ]);
  const { agencies, services } = await held(it);
  t.same([agencies, services], [before.agencies, before.services]);
});

test('what is exported and imported again changes nothing', async t => {
  const { it, exported, admin, as, agencies, take } = await start(t);
  ok(await take(directory()));
  const schedules = [
    { timezone: 'Africa/Cairo', freq: 'WEEKLY', byday: 'SU,MO', opens_at: '20:00', closes_at: '02:00', description: 'the night' },
    { timezone: '+05:30', freq: 'MONTHLY', bymonthday: '1,-1', opens_at: '08:00', closes_at: '24:00', valid_from: '2026-01-01' },
  ];
  const said = {
    schedules,
    located_in: 'XA-2',
    regions: ['XA-2', 'XB-1'],
    specialities: ['transport', 'accessible'],
    sexes: ['male'],
    protection_statuses: ['refugee'],
    accepts_dependants: false,
    languages: ['tr', 'ar'],
    eligibility: 'by appointment',
    status: 'suspended',
  };
  const path = `/v1/agencies/${agencies.health.id}/services/medical`;
  ok(await as('health', 'supervisor').put(path, said, { 'if-match': '"1"' }));
  const before = await held(it);
  for (const format of ['json', 'datapackage']) {
    const directory = await exported('civil_society', `&format=${format}`);
    const taken = await admin.post(PATH, { jurisdiction: 'XA', source: 'ourselves', directory });
    t.match(
      taken,
      {
        status: 200,
        body: {
          agencies: { created: 0, updated: 0 },
          services: { created: 0, updated: 0 },
          capacities: { created: 0, updated: 0 },
          not_understood: { total: 0 },
          not_mentioned: { total: 0 },
        },
      },
      format,
    );
  }
  const after = await held(it);
  for (const table of ['agencies', 'services', 'capacities']) t.same(after[table], before[table], table);

  // Taken over where nobody is known, it says the same.
  const flat = await exported('civil_society', '&format=datapackage');
  const elsewhere = JSON.parse(JSON.stringify(flat).replaceAll(/"([0-9a-f]{8})-/g, (_, hex) => `"f${hex.slice(1)}-`));
  const copied = ok(await admin.post(PATH, { jurisdiction: 'XA', source: 'elsewhere', directory: elsewhere }));
  t.equal(copied.agencies.created, 13);
  const { data } = ok(await as('health').get('/v1/agencies?kind=health&limit=1'));
  t.match(ok(await as('health').get(`/v1/agencies/${data[0].id}/services/medical`)), { ...said, regions: ['XA-2'] });
  const shelters = ok(await as('health').get('/v1/agencies?kind=shelter&limit=4')).data;
  const hidden = await Promise.all(
    shelters.map(async ({ id }: { id: string }) =>
      ok(await as('health').get(`/v1/agencies/${id}/services/shelter_accommodation`)),
    ),
  );
  t.equal(hidden.filter(({ location_protected }) => location_protected).length, 2, 'what must stay hidden stays so elsewhere');
});

test('an export tells nothing of protected places, not even to themselves', async t => {
  const { it, exported, as, agencies } = await start(t);
  const path = `/v1/agencies/${agencies.shelter_a.id}/services/shelter_accommodation`;
  const own = as('shelter_a', 'supervisor');
  ok(await own.patch(`/v1/agencies/${agencies.shelter_a.id}`, { duty_contact: 'CANARY-CALL' }, { 'if-match': '*' }));
  ok(await own.put(path, { location_protected: true, located_in: 'XA-2' }, { 'if-match': '*' }));
  for (const key of ['shelter_a', 'helpline_a', 'committee'] as const) {
    const told = await exported(key, '&format=datapackage');
    t.notMatch(JSON.stringify(told), /CANARY/, key);
    const rows = (name: string) => told.resources.find((one: { name: string }) => one.name === name)?.data ?? [];
    t.equal(rows('location').length, 0, 'nobody has said where it is');
    t.equal(rows('service_capacity').length, 1, 'that of the one shelter which is not protected');
    t.equal(rows('organization').length, 11);
  }
  t.match(await entriesOf(it.services, 'directory.export'), [{ outcome: 'read' }, { outcome: 'read' }, { outcome: 'read' }]);
  t.same((await as('helpline_a').get('/v1/directory/export?jurisdiction=EG')).body, { organizations: [] });
  t.match(await as('helpline_a').get('/v1/directory/export'), { status: 400 });
});

test('only an administrator imports', async t => {
  const { as, bodyOf } = await start(t);
  t.match(await as('health', 'supervisor').post(PATH, bodyOf(directory())), {
    status: 403,
    body: { code: 'insufficient_scope' },
  });
});

test('a directory of five thousand services takes seconds', async t => {
  const { it, take } = await start(t);
  const size = 1_250;
  const codes = ['medical', 'legal_aid', 'psychosocial', 'livelihood'];
  const organizations = Array.from({ length: size }, (_, i) => ({
    id: `o${i}`,
    name: `Organisation ${i}`,
    attributes: [{ value: 'civil_society' }],
    services: codes.map(code => ({
      id: `s${i}-${code}`,
      name: `Service ${i}`,
      status: 'active',
      description: 'x'.repeat(500),
      attributes: [{ value: code }],
      schedules: [{ freq: 'WEEKLY', byday: 'MO,TU,WE', opens_at: '08:00', closes_at: '15:00', timezone: 2 }],
      capacities: [{ available: 2, maximum: 4, updated: '2026-11-21T08:00:00Z' }],
    })),
  }));
  const from = performance.now();
  t.match(await take({ organizations }), {
    status: 200,
    body: { services: counts(5_000, 0, 0), capacities: counts(5_000, 0, 0) },
  });
  const first = performance.now() - from;
  t.match(await take({ organizations }), { status: 200, body: { services: counts(0, 0, 5_000) } });
  t.comment(`first ${Math.round(first)} ms, again ${Math.round(performance.now() - from - first)} ms`);
  t.ok(first < 30_000);
  const [{ n }] = (await lookAsOwner(it.services, 'select count(*)::int as n from services where open_hours is not null')) as [
    { n: number },
  ];
  t.equal(n, 5_000);
});
