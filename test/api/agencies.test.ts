import { sql } from 'kysely';
import { test } from 'tap';
import { listCandidates } from '../../src/agencies/candidates-store.ts';
import { freePlaces, takePlaces } from '../../src/agencies/store.ts';
import { systemActor } from '../../src/core/access.ts';
import { asSystem, type Tx, transact } from '../../src/platform/database.ts';
import { newId } from '../../src/platform/ids.ts';
import { startTestApp } from '../support/app.ts';
import { NONE } from '../support/journey.ts';
import { type Answer, mechanism } from '../support/mechanism.ts';
import { ok } from '../support/night.ts';
import { entriesOf, lookAsOwner } from '../support/trail.ts';

test('an administrator enters an agency into the directory', async t => {
  const it = await startTestApp(t);
  const { as } = await mechanism(it);
  const admin = as('committee', 'nobody');
  const body = { name: 'Bridge Clinic', kind: 'health', jurisdictions: ['XA'], regions: ['XA-1'], languages: ['ar', 'ckb'] };
  const made = await admin.post('/v1/agencies', body, { 'idempotency-key': 'bridge' });
  t.match(made, {
    status: 201,
    body: {
      ...body,
      status: 'active',
      operating_mode: 'open',
      competent_authority: false,
      first_responder: false,
      duty_contact: null,
      version: 1,
    },
    headers: { etag: '"1"', location: `/v1/agencies/${made.body.id}`, 'audit-receipt': /^[0-9a-f]{64}$/ },
  });
  t.match(await admin.post('/v1/agencies', body, { 'idempotency-key': 'bridge' }), {
    status: 201,
    body: { id: made.body.id },
    headers: { 'idempotency-replayed': 'true' },
  });
  t.match(await as('health').get(`/v1/agencies/${made.body.id}`), { status: 200, body, headers: { etag: '"1"' } });

  t.match(await as('health', 'supervisor').post('/v1/agencies', body), { status: 403, body: { code: 'insufficient_scope' } });
  t.match(await admin.post('/v1/agencies', { ...body, regions: ['XB-1'] }), { status: 422, body: { code: 'unprocessable' } });
  t.match(await admin.get(`/v1/agencies/${newId('agy')}`), { status: 404, body: { code: 'not_found' } });
});

test('the directory is read by page and filter, and each look leaves an entry', async t => {
  const it = await startTestApp(t);
  const { as, agencies } = await mechanism(it);
  const client = as('helpline_a', 'nobody', ['directory.read']);
  const ids: string[] = [];
  let cursor: string | null = null;
  do {
    const { body }: Answer = await client.get(`/v1/agencies?limit=4${cursor ? `&cursor=${cursor}` : ''}`);
    ids.push(...body.data.map((agency: { id: string }) => agency.id));
    cursor = body.next_cursor;
  } while (cursor);
  t.same(
    ids,
    Object.values(agencies)
      .map(agency => agency.id)
      .sort()
      .reverse(),
  );

  const named = async (query: string) =>
    (await client.get(`/v1/agencies?${query}`)).body.data.map((agency: { id: string }) => agency.id);
  t.same(await named('kind=hotline'), [agencies.helpline_b.id, agencies.helpline_a.id].sort().reverse());
  t.equal((await named('jurisdiction=XB&status=active')).length, 11);
  t.same(await named('jurisdiction=EG'), []);
  t.same(await named('status=suspended'), []);
  t.match(await client.get('/v1/agencies?kind=bakery'), { status: 400 });
  const looks = await entriesOf(it.services, 'agency.list');
  t.equal(looks.length, 7);
  t.ok(looks.every(({ outcome }) => outcome === 'read'));
});

test('a supervisor changes what its agency knows best, an administrator the rest', async t => {
  const it = await startTestApp(t);
  const { as, agencies } = await mechanism(it);
  const path = `/v1/agencies/${agencies.health.id}`;
  const supervisor = as('health', 'supervisor');
  const current = { 'if-match': '"1"' };

  t.match(await supervisor.patch(path, { operating_mode: 'remote' }), { status: 428, body: { code: 'precondition_required' } });
  t.match(await supervisor.patch(path, { status: 'suspended' }, current), { status: 403, body: { code: 'forbidden' } });
  t.match(await supervisor.patch(path, { name: 'The Ministry' }, current), { status: 403 });
  t.match(await supervisor.patch(path, { kind: 'police' }, current), { status: 400, body: { errors: [{ pointer: '/kind' }] } });
  t.match(await as('health', 'worker').patch(path, { operating_mode: 'remote' }, current), { status: 403 });
  t.match(await as('shelter_a', 'supervisor').patch(path, { operating_mode: 'remote' }, current), { status: 403 });
  const nobody = await as('health', 'nobody').patch(path, { operating_mode: 'remote' }, current);
  t.match(nobody, { status: 400, body: { code: 'acting_caseworker_required' } });
  const unknown = await as('shelter_a', 'supervisor').patch(
    `/v1/agencies/${newId('agy')}`,
    { operating_mode: 'remote' },
    current,
  );
  t.match(unknown, { status: 404 });

  const changed = await supervisor.patch(path, { operating_mode: 'remote', duty_contact: 'gate 3', languages: ['tr'] }, current);
  t.match(changed, {
    status: 200,
    body: { operating_mode: 'remote', duty_contact: 'gate 3', version: 2 },
    headers: { etag: '"2"' },
  });
  t.match(await supervisor.patch(path, { operating_mode: 'open' }, current), {
    status: 412,
    body: { code: 'precondition_failed' },
  });

  const admin = as('committee', 'nobody');
  t.match(await admin.patch(path, { status: 'suspended' }, { 'if-match': '"2"' }), {
    status: 200,
    body: { status: 'suspended', version: 3 },
  });
  t.equal((await supervisor.get('/v1/agencies')).status, 200, 'a suspended agency goes on with all else');
  t.match(await entriesOf(it.services, 'agency.change'), [
    { outcome: 'denied', code: 'forbidden', caseworker: 'CC-2' },
    { outcome: 'denied' },
    { outcome: 'denied', caseworker: 'CC-1' },
    { outcome: 'denied', agency_id: agencies.shelter_a.id },
    { outcome: 'denied', code: 'not_visible', agency_id: agencies.shelter_a.id },
    { outcome: 'done', caseworker: 'CC-2' },
    { outcome: 'done', agency_id: agencies.committee.id, caseworker: null },
  ]);
});

test('how to reach a hidden shelter does not give it away', async t => {
  const it = await startTestApp(t);
  const { as, agencies } = await mechanism(it);
  const seen = async (client: ReturnType<typeof as>, id: string) =>
    'duty_contact' in (await client.get(`/v1/agencies/${id}`)).body;
  t.notOk(await seen(as('helpline_a'), agencies.shelter_a.id));
  t.notOk(await seen(as('shelter_b'), agencies.shelter_a.id));
  t.ok(await seen(as('shelter_a'), agencies.shelter_a.id));
  t.ok(await seen(as('committee'), agencies.shelter_a.id));
  t.ok(await seen(as('helpline_a'), agencies.shelter_c.id));
  const { body } = await as('helpline_a').get('/v1/agencies');
  t.equal(body.data.filter((agency: object) => 'duty_contact' in agency).length, 9);
});

test('a supervisor says what its agency offers', async t => {
  const it = await startTestApp(t);
  const { as, agencies } = await mechanism(it);
  const supervisor = as('health', 'supervisor');
  const path = `/v1/agencies/${agencies.health.id}/services/psychosocial`;
  const body = { sexes: ['female'], min_age: 12, languages: ['ar'], regions: ['XA-2'] };

  t.match(await supervisor.put(path, body, { 'if-match': '"1"' }), { status: 412 }, 'nothing there yet');
  const made = await supervisor.put(path, body, { 'if-none-match': '*' });
  t.match(made, {
    status: 201,
    headers: { location: path, etag: '"1"' },
    body: {
      ...body,
      agency_id: agencies.health.id,
      service: 'psychosocial',
      max_age: null,
      accepts_dependants: true,
      status: 'active',
      version: 1,
    },
  });
  t.match(await supervisor.put(path, body, { 'if-none-match': '*' }), { status: 412 });
  t.match(await supervisor.put(path, body), { status: 428 });
  t.match(await supervisor.put(path, { ...body, max_age: 11 }, { 'if-match': '"1"' }), { status: 422 });
  t.match(await supervisor.put(path, { ...body, regions: ['EG-C'] }, { 'if-match': '"1"' }), { status: 422 });
  const replaced = await supervisor.put(path, { status: 'suspended', suspended_reason: 'no staff' }, { 'if-match': '"1"' });
  t.match(replaced, { status: 200, body: { status: 'suspended', sexes: NONE, min_age: null, languages: NONE, version: 2 } });

  t.match(await as('health', 'worker').put(path, body, { 'if-match': '"2"' }), { status: 403, body: { code: 'forbidden' } });
  t.match(await as('shelter_a', 'supervisor').put(path, body, { 'if-match': '"2"' }), {
    status: 403,
    body: { code: 'forbidden' },
  });
  t.match(await as('health', 'nobody').put(path, body), { status: 400, body: { code: 'acting_caseworker_required' } });
  t.match(await supervisor.put(path.replace('psychosocial', 'baking'), body), {
    status: 400,
    body: { errors: [{ pointer: 'params:service' }] },
  });
  t.match(await as('shelter_a').get(path), { status: 200, body: { version: 2 }, headers: { etag: '"2"' } });
  t.match(await as('shelter_a').get(path.replace('psychosocial', 'livelihood')), { status: 404 });
  const list = await as('shelter_a').get(`/v1/agencies/${agencies.health.id}/services`);
  t.same(
    list.body.data.map((row: { service: string }) => row.service),
    ['medical', 'psychosocial'],
  );
  t.match(await as('shelter_a').get(`/v1/agencies/${newId('agy')}/services`), { status: 404 });
});

test('places are told in numbers, those of a hidden shelter as none or some', async t => {
  const it = await startTestApp(t);
  const { as, agencies } = await mechanism(it);
  const open = `/v1/agencies/${agencies.shelter_c.id}/services/shelter_accommodation/capacity`;
  const hidden = `/v1/agencies/${agencies.shelter_a.id}/services/shelter_accommodation/capacity`;
  t.match((await as('helpline_a').get(open)).body, { total: 4, held_elsewhere: 0, held: 0, available: 4, availability: 'some' });
  t.match((await as('shelter_a').get(hidden)).body, { total: 4, available: 4 });
  for (const key of ['helpline_a', 'committee', 'shelter_b'] as const) {
    const { body, headers } = await as(key).get(hidden);
    t.same(body, { agency_id: agencies.shelter_a.id, service: 'shelter_accommodation', availability: 'some' }, key);
    t.notOk(headers.etag, 'nothing that moves when somebody moves in');
  }

  it.clock.advance(1_000);
  const set = await as('shelter_a', 'supervisor').put(hidden, { total: 4, held_elsewhere: 5 });
  t.match(set, {
    status: 200,
    body: { available: -1, availability: 'none', assured_at: '2026-11-21T19:00:01.000Z', version: 2 },
  });
  t.match((await as('helpline_a').get(hidden)).body, { availability: 'none' });
  t.match(await as('shelter_a', 'supervisor').put(hidden, { total: 4 }, { 'if-match': '"1"' }), { status: 412 });
  t.match(await as('shelter_a', 'worker').put(hidden, { total: 4 }), { status: 403 });
  t.match(await as('shelter_b', 'supervisor').put(hidden, { total: 4 }), { status: 403 });
  t.match(await as('shelter_a', 'supervisor').put(hidden, { total: -1 }), {
    status: 400,
    body: { errors: [{ pointer: '/total' }] },
  });

  const unlimited = `/v1/agencies/${agencies.health.id}/services/medical/capacity`;
  t.match(await as('health').get(unlimited), { status: 404 });
  t.match(await as('health', 'supervisor').put(unlimited, { total: 2 }), { status: 201, body: { available: 2 } });
  const missing = `/v1/agencies/${agencies.health.id}/services/legal_aid/capacity`;
  t.match(await as('health', 'supervisor').put(missing, { total: 2 }), { status: 404 });
});

test('places are taken and come free, and the version does not tell', async t => {
  const it = await startTestApp(t);
  const { agencies } = await mechanism(it);
  const { id } = agencies.shelter_a;
  const inTx = <T>(work: Parameters<typeof transact<T>>[2]) => transact(it.services, systemActor('router'), work);
  const take = (places: number, over_capacity = false) =>
    inTx(tx => takePlaces(tx, id, 'shelter_accommodation', places, { over_capacity }));

  t.equal(await take(3), 'taken');
  t.equal(await take(2), 'none_left');
  t.equal(await take(2, true), 'taken');
  const held = () =>
    lookAsOwner<{ held: number; version: number; freed: number }>(
      it.services,
      'select held, version, freed from capacities where agency_id = $1',
      [id],
    );
  t.match(await held(), [{ held: 5, version: 1 }]);
  it.clock.advance(5_000);
  await inTx(tx => freePlaces(tx, id, 'shelter_accommodation', 2));
  t.match(await held(), [{ held: 3, version: 1, freed: 2 }]);
  t.equal(await inTx(tx => takePlaces(tx, agencies.health.id, 'medical', 9, { over_capacity: false })), 'unlimited');
  await inTx(tx => freePlaces(tx, agencies.health.id, 'medical', 9));
});

test('routing sees every service of the kind with its places', async t => {
  const it = await startTestApp(t);
  const { agencies } = await mechanism(it);
  const rows = await transact(it.services, systemActor('clock'), tx =>
    asSystem(tx, 'router', tx =>
      listCandidates(it.services, tx, { service: 'shelter_accommodation', jurisdiction: 'XB' }, it.services.now()),
    ),
  );
  t.same(new Set(rows.map(row => row.agency_id)), new Set([agencies.shelter_a.id, agencies.shelter_b.id, agencies.shelter_c.id]));
  const shelter_b = rows.find(row => row.agency_id === agencies.shelter_b.id);
  t.match(shelter_b, {
    kind: 'shelter',
    agency_status: 'active',
    operating_mode: 'open',
    sexes: ['female'],
    min_age: 18,
    accepts_dependants: true,
    location_protected: true,
    status: 'active',
    capacity: { total: 6, held: 0, held_elsewhere: 0 },
  });
  const none = await transact(it.services, systemActor('router'), tx =>
    listCandidates(it.services, tx, { service: 'medical', jurisdiction: 'EG' }, it.services.now()),
  );
  t.same(none, []);
  const [medical] = await transact(it.services, systemActor('router'), tx =>
    listCandidates(it.services, tx, { service: 'medical', jurisdiction: 'XA' }, it.services.now()),
  );
  t.equal(medical!.capacity, null);
});

test('routing sees at once what was changed, and never what was not', async t => {
  const it = await startTestApp(t);
  const { as, agencies } = await mechanism(it);
  const { id } = agencies.health;
  const list = (tx: Tx) => listCandidates(it.services, tx, { service: 'medical', jurisdiction: 'XA' }, it.services.now());
  const asRouter = <T>(work: (tx: Tx) => Promise<T>) => transact(it.services, systemActor('router'), work);
  const rename = (languages: string[]) =>
    lookAsOwner(it.services, 'update agencies set languages = $2 where id = $1', [id, languages]);

  t.match(await asRouter(list), [{ agency_id: id, agency_version: 1, status: 'active' }]);
  ok(await as('health', 'supervisor').put(`/v1/agencies/${id}/services/medical`, { status: 'suspended' }, { 'if-match': '"1"' }));
  t.match(await asRouter(list), [{ service_version: 2, status: 'suspended' }], 'of the service');
  await rename(['tr']);
  t.match(await asRouter(list), [{ agency_version: 1, languages: ['tr'] }], 'of its agency, whoever wrote it');

  const undone = asRouter(async tx => {
    await sql`update services set accepts_dependants = not accepts_dependants, version = 3`.execute(tx);
    t.match(await list(tx), [{ service_version: 3 }], 'within a transaction');
    throw new Error('undone');
  });
  await t.rejects(undone, 'undone');
  t.match(await asRouter(list), [{ service_version: 2, status: 'suspended' }], 'nothing that was undone');
});
