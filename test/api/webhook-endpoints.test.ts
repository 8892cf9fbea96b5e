import { test } from 'tap';
import type { EventType } from '../../src/core/events.ts';
import { transact } from '../../src/platform/database.ts';
import { newId } from '../../src/platform/ids.ts';
import { createOutbound } from '../../src/platform/outbound.ts';
import { deliverDue } from '../../src/webhooks/turn.ts';
import { startTestApp } from '../support/app.ts';
import { mechanism } from '../support/mechanism.ts';
import { asRelay, demoActors, emit, insertReferral, notice, relayAll, startReceiver } from '../support/webhooks.ts';

const PATH = '/v1/webhook-endpoints';
const HOUR = 3_600_000;

test('webhook endpoints', async t => {
  const it = await startTestApp(t);
  const { services, clock, sequence } = it;
  const { as } = await mechanism(it);
  const actors = await demoActors(services);
  const health = as('health', 'supervisor');
  const receiver = await startReceiver(t);
  const outbound = createOutbound({ production: false, ports: [] });
  t.teardown(() => outbound.close());
  const run = async () => {
    await relayAll(services);
    return deliverDue(services, outbound);
  };
  const create = (body: object = {}) => health.post(PATH, { url: receiver.url, event_types: ['*'], ...body });

  await t.test('are registered; the secret is shown once', async t => {
    const made = await create({ description: 'case system' });
    t.equal(made.status, 201);
    const { secret, ...endpoint } = made.body;
    t.match(secret, /^whsec_/);
    t.equal(made.headers.location, `${PATH}/${endpoint.id}`);
    t.match(made.headers['audit-receipt'], /^[0-9a-f]{64}$/);
    t.match(endpoint, {
      agency_id: health.agency.id,
      status: 'active',
      event_types: ['*'],
      signature: ['v1'],
      public_key: null,
      previous_public_key: null,
      contact_staff_code: null,
      description: 'case system',
      version: 1,
    });

    const read = await health.get(`${PATH}/${endpoint.id}`);
    t.same(read.body, endpoint);
    t.equal(read.headers.etag, '"1"');
    t.same((await health.get(PATH)).body, { data: [endpoint], next_cursor: null });
    const [row] = await asRelay(services, tx => tx.selectFrom('webhook_endpoints').selectAll().execute());
    t.notOk(row!.secret.includes(secret), 'sealed at rest');
  });

  await t.test('are registered once for an idempotency key, whose secret is not shown again', async t => {
    const body = { url: receiver.url, event_types: ['*'] };
    t.equal((await health.post(PATH, body, { 'idempotency-key': 'k' })).status, 201);
    const again = await health.post(PATH, body, { 'idempotency-key': 'k' });
    t.equal(again.status, 409);
    t.equal(again.body.code, 'secret_already_shown');
  });

  await t.test('are refused where webhooks may not go', async t => {
    for (const url of [
      'https://10.0.0.1/',
      'http://example.org/',
      'https://user@example.org/',
      'https://example.org:8443/',
      'ftp://example.org/',
      'x',
    ]) {
      const refused = await create({ url });
      t.equal(refused.status, 400, url);
      t.equal(refused.body.errors[0].pointer, '/url');
    }
    t.equal((await create({ url: 'https://hooks.example.org/aman' })).status, 201);
  });

  await t.test('are refused with what is unknown', async t => {
    for (const [body, pointer] of [
      [{ event_types: ['referral.teleported'] }, '/event_types/0'],
      [{ event_types: ['*', 'referral.offered'] }, '/event_types'],
      [{ event_types: [] }, '/event_types'],
      [{ signature: [] }, '/signature'],
      [{ signature: ['v1', 'v1'] }, '/signature'],
      [{ signature: ['v1', 'v2'] }, '/signature/1'],
      [{ contact_staff_code: 'Mary Jones' }, '/contact_staff_code'],
      [{ contact_staff_code: '' }, '/contact_staff_code'],
      [{ colour: 'red' }, '/colour'],
    ] as const) {
      const refused = await create(body);
      t.equal(refused.status, 400);
      t.ok(
        refused.body.errors.some((error: { pointer: string }) => error.pointer.startsWith(pointer)),
        pointer,
      );
    }
  });

  await t.test('belong to the supervisor, and to nobody else', async t => {
    const { body } = await create();
    const one = `${PATH}/${body.id}`;
    const calls = (client: typeof health) => [
      () => client.get(one),
      () => client.patch(one, { description: 'x' }, { 'if-match': '"1"' }),
      () => client.post(`${one}/rotate-secret`),
      () => client.post(`${one}/test`),
      () => client.post(`${one}/pause`),
      () => client.post(`${one}/enable`),
      () => client.get(`${one}/deliveries`),
      () => client.del(one),
    ];
    for (const call of calls(as('civil_society', 'supervisor')))
      t.match(await call(), { status: 404, body: { code: 'not_found' } });
    for (const call of calls(as('health', 'worker'))) t.match(await call(), { status: 403, body: { code: 'forbidden' } });
    for (const call of calls(as('health', 'nobody')))
      t.match(await call(), { status: 400, body: { code: 'acting_caseworker_required' } });
    for (const call of calls(as('health', 'supervisor', ['cases'])))
      t.match(await call(), { status: 403, body: { code: 'insufficient_scope' } });
    t.equal((await as('health', 'worker').post(PATH, { url: receiver.url, event_types: ['*'] })).status, 403);
    t.equal((await as('health', 'worker').get(PATH)).status, 403);
    const absent = await health.get(`${PATH}/whe_${'0'.repeat(26)}`);
    const foreign = await as('civil_society', 'supervisor').get(one);
    t.same({ ...absent.body, request_id: '' }, { ...foreign.body, request_id: '' });
  });

  await t.test('are changed by whoever read them', async t => {
    const { body } = await create({ description: 'x' });
    const one = `${PATH}/${body.id}`;
    t.match(await health.patch(one, { description: null }), { status: 428 });
    t.match(await health.patch(one, { description: null }, { 'if-match': '"7"' }), { status: 412 });
    t.match(await health.patch(one, {}, { 'if-match': '"1"' }), { status: 400 });
    t.match(await health.patch(one, { url: 'https://[::1]:80x/' }, { 'if-match': '"1"' }), { status: 400 });
    const changed = await health.patch(one, { description: null, event_types: ['referral.offered'] }, { 'if-match': '"1"' });
    t.match(changed, {
      status: 200,
      body: { description: null, event_types: ['referral.offered'], url: receiver.url, version: 2 },
    });
    t.equal(changed.headers.etag, '"2"');
    t.match(await health.post(`${one}/rotate-secret`, undefined, { 'if-match': '"1"' }), { status: 412 });
  });

  await t.test('are deleted softly; their deliveries stop', async t => {
    const { body } = await create();
    await emit(services, actors.helpline_a, notice([health.agency.id]));
    await relayAll(services);
    const before = receiver.received.length;
    t.match(await health.del(`${PATH}/${body.id}`), { status: 204, body: '' });
    t.equal((await health.get(`${PATH}/${body.id}`)).status, 404);
    t.equal((await health.del(`${PATH}/${body.id}`)).status, 404);
    for (const { id } of (await health.get(PATH)).body.data) await health.del(`${PATH}/${id}`);
    t.equal(await run(), 0);
    t.equal(receiver.received.length, before);
  });

  await t.test('are tested, each by itself; both secrets sign after a rotation', async t => {
    clock.advance(Date.now() - clock.now().getTime());
    const { body } = await create({ event_types: ['case.erased'] });
    await create();
    const one = `${PATH}/${body.id}`;
    const before = receiver.received.length;
    t.match(await health.post(`${one}/test`), { status: 200, body: { id: body.id } });
    t.equal(await run(), 1);
    const got = receiver.received.slice(before);
    t.equal(got.length, 1);
    t.match(got[0]!.body, { type: 'endpoint.test', data: { endpoint_id: body.id, agency_id: health.agency.id } });
    receiver.verify(body.secret, got[0]!);

    const rotated = await health.post(`${one}/rotate-secret`);
    t.same(Object.keys(rotated.body), ['secret']);
    await health.post(`${one}/test`);
    await run();
    receiver.verify(body.secret, receiver.received.at(-1)!);
    receiver.verify(rotated.body.secret, receiver.received.at(-1)!);
    const read = (await health.get(one)).body;
    t.equal(Date.parse(read.previous_secret_until) - clock.now().getTime(), 24 * HOUR);

    const { data } = (await health.get(`${one}/deliveries`)).body;
    t.equal(data.length, 2);
    t.match(data[0], { event_type: 'endpoint.test', state: 'delivered', attempts: [{ attempt: 1, status: 204, error: null }] });
    t.equal(data[0].event_id, receiver.received.at(-1)!.headers['webhook-id']);
    const page = (await health.get(`${one}/deliveries?limit=1`)).body;
    t.same(page.data, [data[0]]);
    t.same((await health.get(`${one}/deliveries?limit=1&cursor=${page.next_cursor}`)).body, {
      data: [data[1]],
      next_cursor: null,
    });
    t.same((await health.get(`${one}/deliveries?state=parked`)).body.data, []);
  });

  await t.test('are not tested while they are off', async t => {
    const { body } = await create();
    receiver.replies.push({ status: 410 });
    await health.post(`${PATH}/${body.id}/test`);
    await run();
    const { status, body: problem } = await health.post(`${PATH}/${body.id}/test`);
    t.equal(status, 409);
    t.match(problem, { code: 'wrong_state', state: 'paused', allowed_actions: ['enable'] });
    t.equal((await health.get(`${PATH}/${body.id}`)).body.status, 'paused');
  });

  const emptyHanded = async () => {
    for (const { id } of (await health.get(PATH)).body.data) await health.del(`${PATH}/${id}`);
    await relayAll(services);
  };

  await t.test('are paused and enabled; what was kept goes out at once, in order', async t => {
    await emptyHanded();
    const { body } = await create();
    const one = `${PATH}/${body.id}`;
    t.match(await health.post(`${one}/enable`), {
      status: 409,
      body: { code: 'wrong_state', state: 'active', allowed_actions: ['pause', 'test'] },
    });
    const subject_id = newId('ref');
    const send = (type: EventType) => emit(services, actors.helpline_a, notice([health.agency.id], { type, subject_id }));

    await send('referral.offered');
    receiver.replies.push({ status: 500 }, { status: 500 });
    await run();
    clock.advance(6_000);
    t.equal(await run(), 1, 'parked, until half a minute later');
    t.match(await health.post(`${one}/pause`, undefined, { 'if-match': '"7"' }), { status: 412 });
    const paused = await health.post(`${one}/pause`);
    t.match(paused, { status: 200, headers: { etag: '"2"' }, body: { status: 'paused' } });
    t.match(await health.post(`${one}/pause`), {
      status: 409,
      body: { code: 'wrong_state', state: 'paused', allowed_actions: ['enable'] },
    });
    await send('referral.information_provided');
    await send('referral.message');
    t.equal(await run(), 0);

    const before = receiver.received.length;
    clock.advance(1_000);
    t.match(await health.post(`${one}/enable`), { status: 200, body: { status: 'active', failing_since: null } });
    await run();
    const told = receiver.received.slice(before).map(got => got.body);
    t.same(
      told.filter(({ type }) => type !== 'endpoint.recovered').map(({ type }) => type),
      ['referral.offered', 'referral.information_provided', 'referral.message'],
    );
    t.match(
      told.find(({ type }) => type === 'endpoint.recovered'),
      { data: { agency_id: health.agency.id, endpoint_id: body.id, status: 'active' } },
    );

    await health.post(`${one}/pause`);
    await health.post(`${one}/enable`);
    t.equal(await run(), 0, 'one that did not fail has not recovered');
  });

  await t.test('that were disabled are enabled, and the agency is told', async t => {
    await emptyHanded();
    const { body } = await create();
    await asRelay(services, tx =>
      tx.updateTable('webhook_endpoints').set({ status: 'disabled' }).where('id', '=', body.id).execute(),
    );
    t.match(await health.post(`${PATH}/${body.id}/pause`), { status: 409, body: { allowed_actions: ['enable'] } });
    t.match(await health.post(`${PATH}/${body.id}/enable`), { status: 200, body: { status: 'active' } });
    t.equal(await run(), 1);
    t.equal(receiver.received.at(-1)!.body.type, 'endpoint.recovered');
  });

  await t.test('are ten at most', async t => {
    await emptyHanded();
    const made = await Promise.all(Array.from({ length: 12 }, () => create()));
    t.same(made.map(({ status }) => status).sort(), [...Array(10).fill(201), 422, 422]);
    t.match(made.find(({ status }) => status === 422)!.body, { code: 'unprocessable', detail: /has 10 endpoints already/ });
    await health.del(`${PATH}/${(await health.get(PATH)).body.data[0].id}`);
    t.equal((await create()).status, 201, 'a deleted one makes room');
    const civil_society = as('civil_society', 'supervisor');
    t.equal((await civil_society.post(PATH, { url: receiver.url, event_types: ['*'] })).status, 201, "of each agency's own");
  });

  await t.test('have deliveries that tell nothing that the agency may no longer know', async t => {
    await emptyHanded();
    const { body } = await create();
    const { referral_id, case_id } = await insertReferral(services, actors.helpline_a, []);
    const of_referral = { subject_id: referral_id, referral_id, case_id, body: { referral_id } };
    for (const type of ['referral.accepted', 'referral.withdrawn'] as const) {
      await emit(services, actors.helpline_a, notice([health.agency.id], { ...of_referral, type }));
    }
    await relayAll(services);
    const list = async () =>
      (await health.get(`${PATH}/${body.id}/deliveries`)).body.data
        .map(({ event_type, state }: { event_type: string; state: string }) => `${event_type} ${state}`)
        .sort();
    t.same(await list(), ['event.withheld pending', 'referral.withdrawn pending']);
    await run();
    t.same(await list(), ['event.withheld withheld', 'referral.withdrawn delivered']);
  });

  await t.test('are in the trail, act by act', async t => {
    await sequence();
    const rows = await transact(services, actors.audit_body, tx =>
      tx.selectFrom('audit_log').select(['action', 'outcome']).execute(),
    );
    const actions = rows.map(({ action, outcome }) => `${action} ${outcome}`);
    for (const verb of ['create', 'update', 'delete', 'rotate_secret', 'test', 'pause', 'enable']) {
      t.ok(actions.includes(`webhook_endpoint.${verb} done`), verb);
    }
    t.ok(actions.includes('webhook_endpoint.read denied'));
  });
});
