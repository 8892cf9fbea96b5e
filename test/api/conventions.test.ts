import { generateKeyPairSync } from 'node:crypto';
import { type AddressInfo, connect } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import type { FastifyRequest } from 'fastify';
import { type JWTHeaderParameters, SignJWT, UnsecuredJWT } from 'jose';
import pg from 'pg';
import { test } from 'tap';
import { createIdentify } from '../../src/access/identify.ts';
import { signToken } from '../../src/access/tokens.ts';
import { createRateLimiter, isEmergency } from '../../src/platform/http/rate-limit.ts';
import { startTestApp, testClock } from '../support/app.ts';
import { type Answer, answerOf, mechanism } from '../support/mechanism.ts';
import { entriesOf } from '../support/trail.ts';

const agency = { name: 'Bridge Clinic', kind: 'health', jurisdictions: ['XA'] };

test('a body is taken as it is, or refused with pointers', async t => {
  const it = await startTestApp(t);
  const admin = (await mechanism(it)).as('committee', 'nobody');
  const pointers = async (body: unknown): Promise<string[]> => {
    const answer = await admin.post('/v1/agencies', body);
    t.match(answer, { status: 400, body: { code: 'invalid_request', type: '/problems/invalid_request' } });
    return answer.body.errors.map(({ pointer }: { pointer: string }) => pointer);
  };
  t.same(await pointers({ ...agency, colour: 'red' }), ['/colour']);
  t.same(await pointers({ ...agency, name: 7 }), ['/name']);
  t.same(await pointers({ ...agency, first_responder: 'true' }), ['/first_responder'], 'nothing is coerced');
  t.same(await pointers({ kind: 'health' }), ['/name', '/jurisdictions']);
  t.same(await pointers({ ...agency, jurisdictions: ['XA', 'egypt'] }), ['/jurisdictions/1']);
  t.same(await pointers({ ...agency, 'a/b~c': 1 }), ['/?'], 'a name that is none may be data in the wrong place');
  t.same(await pointers([]), ['']);
  t.same(await pointers(undefined), ['/name', '/kind', '/jurisdictions'], 'no body is an empty one');

  const refused = await admin.post('/v1/agencies', { ...agency, name: 'Do not repeat me', kind: 'Or me' });
  t.notMatch(JSON.stringify(refused.body), /repeat me|Or me/, 'nothing that was sent is sent back');
  t.match(refused.headers['content-type'], 'application/problem+json');
  t.equal(refused.headers['request-id'], refused.body.request_id);
});

test('text is well formed', async t => {
  const it = await startTestApp(t);
  const { as, tokenFor } = await mechanism(it);
  const admin = as('committee', 'nobody');
  for (const name of ['nul \0', 'lone \ud800', '\udc00']) {
    t.match(await admin.post('/v1/agencies', { ...agency, name }), { status: 400, body: { errors: [{ pointer: '/name' }] } });
  }
  t.match(await admin.get('/v1/agencies?cursor=%00'), { status: 400, body: { errors: [{ pointer: 'parameter:cursor' }] } });
  t.equal((await admin.get('/v1/agencies?jurisdiction=%ED%A0%80')).status, 400);
  const misplaced = await admin.get('/v1/agencies?Not%20to%20be%20repeated=%00');
  t.strictSame(misplaced.body.errors[0].pointer, 'parameter:?', 'a name that is none may be data in the wrong place');

  const authorization = `Bearer ${await tokenFor('committee')}`;
  const send = async (payload: string | Buffer, type = 'application/json') =>
    answerOf(
      await it.app.inject({ method: 'POST', url: '/v1/agencies', headers: { authorization, 'content-type': type }, payload }),
    );
  t.match(await send('{"name":'), { status: 400, body: { code: 'malformed_body' } });
  t.match(await send(Buffer.from([0x22, 0xff, 0x22])), { status: 400, body: { code: 'malformed_body' } }, 'not UTF-8');
  t.match(await send(`{"__proto__":{"admin":true},"name":"x"}`), { status: 400, body: { code: 'malformed_body' } });
  t.match(await send(`{"constructor":{"prototype":{}},"name":"x"}`), { status: 400, body: { code: 'malformed_body' } });
  t.match(await send(`{"name":"${'x'.repeat(1_100_000)}"}`), { status: 413, body: { code: 'body_too_large' } });
  t.match(await send(`{"name":${'['.repeat(50)}${']'.repeat(50)}}`), { status: 400, body: { code: 'invalid_request' } });
  for (const type of [
    'text/plain',
    'application/xml',
    'application/x-www-form-urlencoded',
    'application/merge-patch+json',
    'multipart/form-data',
  ]) {
    t.match(await send(JSON.stringify(agency), type), { status: 415, body: { code: 'unsupported_media_type' } }, type);
  }
  t.equal((await send(JSON.stringify({ ...agency, name: '日本 ع 🕊' }), 'application/json; charset=utf-8')).status, 201);
  t.equal(
    (await send('{"name":"a","name":"b","kind":"health","jurisdictions":["XA"]}')).body.name,
    'b',
    'of duplicate keys the last wins',
  );
});

test('an act without a body takes none', async t => {
  const it = await startTestApp(t);
  const { as, agencies } = await mechanism(it);
  const path = `/v1/clients/${agencies.health.client_id}/rotate-secret`;
  const supervisor = as('health', 'supervisor');
  t.match(await supervisor.post(path, { secret: 'mine' }), { status: 400, body: { errors: [{ pointer: '/secret' }] } });
  t.equal((await supervisor.post(path, {})).status, 200);
  t.equal((await supervisor.post(path, undefined, { 'content-type': 'application/json' })).status, 200);
});

test('query parameters are known ones', async t => {
  const it = await startTestApp(t);
  const client = (await mechanism(it)).as('health');
  const bad = [
    'colour=red',
    'limit=0',
    'limit=201',
    'limit=ten',
    'limit=1&limit=2',
    'cursor=x',
    'cursor=',
    'cursor=WyJhIiwiYiJd',
    'kind=',
  ];
  for (const query of bad)
    t.match(await client.get(`/v1/agencies?${query}`), { status: 400, body: { code: 'invalid_request' } }, query);
  t.equal((await client.get('/v1/agencies?limit=1')).body.data.length, 1);
  t.match(await client.get('/v1/agencies/agy_nonsense'), { status: 400, body: { errors: [{ pointer: 'params:id' }] } });
  t.match(await client.get('/v1/agencies/cli_01m7zzwpy9fb9abyaj9jvnmrpg'), { status: 400 });
});

test('a token is ours, whole, and not yet over', async t => {
  const it = await startTestApp(t);
  const { as, agencies, tokenFor } = await mechanism(it);
  const { client_id } = agencies.health;
  const use = async (token: string) =>
    (await it.app.inject({ url: '/v1/agencies', headers: { authorization: `Bearer ${token}` } })).statusCode;
  const good = await tokenFor('health');
  t.equal(await use(good), 200);

  const seconds = Math.floor(it.clock.now().getTime() / 1_000);
  const claims = {
    client_id,
    scope: 'directory.read admin',
    iss: 'http://127.0.0.1:3000',
    aud: 'http://127.0.0.1:3000',
    sub: client_id,
    jti: 'x',
    iat: seconds,
    exp: seconds + 300,
  };
  const sign = (payload: Record<string, unknown>, header: Partial<JWTHeaderParameters> = {}, key = it.services.vault.token_key) =>
    new SignJWT(payload)
      .setProtectedHeader({ alg: 'EdDSA', typ: 'at+jwt', kid: it.services.vault.token_key_id, ...header })
      .sign(key);
  t.equal(await use(await sign(claims)), 200, 'the forgeries below are wrong in one thing each');
  const [head, body, signature] = good.split('.');
  const forged: Record<string, string> = {
    'alg none': new UnsecuredJWT(claims).encode(),
    'another key': await sign(claims, {}, generateKeyPairSync('ed25519').privateKey),
    'another type': await sign(claims, { typ: 'JWT' }),
    'another issuer': await sign({ ...claims, iss: 'else' }),
    'another audience': await sign({ ...claims, aud: 'else' }),
    'no end': await sign({ ...claims, exp: undefined }),
    'no id': await sign({ ...claims, jti: undefined }),
    'an unknown client': await sign({ ...claims, client_id: 'cli_01m7zzwpy9fb9abyaj9jvnmrpg' }),
    'another body': [head, Buffer.from(JSON.stringify({ ...claims, scope: 'admin' })).toString('base64url'), signature].join('.'),
    'no signature': `${head}.${body}.`,
    'the public key as a secret': await new SignJWT(claims)
      .setProtectedHeader({ alg: 'HS256', typ: 'at+jwt' })
      .sign(Buffer.from(answerOf(await it.app.inject('/.well-known/jwks.json')).body.keys[0].x, 'base64url')),
    nonsense: 'x.y.z',
  };
  for (const [name, token] of Object.entries(forged)) t.equal(await use(token), 401, name);
  t.match(answerOf(await it.app.inject('/v1/agencies')), {
    status: 401,
    headers: { 'www-authenticate': 'Bearer' },
    body: { code: 'unauthenticated' },
  });
  t.equal((await it.app.inject({ url: '/v1/agencies', headers: { authorization: `Basic ${good}` } })).statusCode, 401);
  const refusals = (await entriesOf(it.services, 'agency.list')).filter(({ outcome }) => outcome !== 'read');
  t.match(refusals, [{ outcome: 'denied', code: 'unauthenticated', client_id: 'system:access' }], 'counted, not listed');
  t.equal(refusals.length, 1);

  const self_made = await signToken(it.services, { client_id, scopes: ['directory.read', 'admin'] });
  const create = await it.app.inject({
    method: 'POST',
    url: '/v1/agencies',
    headers: { authorization: `Bearer ${self_made}` },
    payload: agency,
  });
  t.equal(create.statusCode, 403, 'a scope that the client does not hold does not count');
  it.clock.advance(299_000);
  t.equal(await use(good), 200);
  it.clock.advance(1_000);
  t.equal(await use(good), 401);
  t.equal((await as('health').get('/v1/agencies')).status, 200, 'a new one');
});

test('the person behind a request is an active one of the same agency', async t => {
  const it = await startTestApp(t);
  const { as, agencies } = await mechanism(it);
  const client = as('health', 'nobody');
  const path = `/v1/agencies/${agencies.health.id}/services/medical`;
  const put = (staff?: string) =>
    client.put(path, {}, { 'if-match': '"1"', ...(staff === undefined ? {} : { 'acting-caseworker': staff }) });
  t.match(await put(), { status: 400, body: { code: 'acting_caseworker_required' } });
  t.match(await put(agencies.shelter_a.caseworkers[1].staff_code), { status: 403, body: { code: 'caseworker_not_active' } });
  t.match(await put('CC-99'), { status: 403, body: { code: 'caseworker_not_active' } });
  t.match(await put('a name'), { status: 400, body: { errors: [{ pointer: 'headers:acting-caseworker' }] } });
  t.match(await put('CC-1'), { status: 403, body: { code: 'forbidden' } });
  t.match(await put('CC-2'), { status: 200 });
});

test('versions and preconditions', async t => {
  const it = await startTestApp(t);
  const { as, agencies } = await mechanism(it);
  const client = as('health', 'supervisor');
  const path = `/v1/agencies/${agencies.health.id}`;
  const patch = (headers: Record<string, string>) => client.patch(path, { operating_mode: 'reduced' }, headers);
  t.match(await patch({}), { status: 428, body: { code: 'precondition_required' } });
  t.match(await patch({ 'if-match': '"2"' }), { status: 412, body: { code: 'precondition_failed' } });
  t.match(await patch({ 'if-match': 'yesterday' }), { status: 400, body: { errors: [{ pointer: 'headers:if-match' }] } });
  t.match(await patch({ 'if-match': '"7", W/"1"' }), { status: 200, body: { version: 2 } });
  t.match(await patch({ 'if-match': '*' }), { status: 200, body: { version: 3 }, headers: { etag: '"3"' } });
  t.equal((await as('shelter_a').get(path)).headers.etag, '"3"', 'the same for every viewer');
});

test('an idempotency key is used once', async t => {
  const it = await startTestApp(t);
  const { as, agencies } = await mechanism(it);
  const admin = as('committee', 'nobody');
  const key = { 'idempotency-key': 'key 1' };
  const made = await admin.post('/v1/agencies', agency, key);
  t.equal(made.status, 201);
  t.notOk(made.headers['idempotency-replayed']);
  await admin.patch(`/v1/agencies/${made.body.id}`, { name: 'Bridge' }, { 'if-match': '"1"' });
  const again = await admin.post('/v1/agencies', agency, key);
  t.match(again, {
    status: 201,
    body: { id: made.body.id, name: 'Bridge' },
    headers: { 'idempotency-replayed': 'true', etag: '"2"' },
  });

  t.match(await admin.post('/v1/agencies', { ...agency, name: 'Other' }, key), {
    status: 422,
    body: { code: 'idempotency_mismatch' },
  });
  const by_another = await as('committee', 'supervisor').post('/v1/agencies', agency, key);
  t.match(by_another, { status: 422, body: { code: 'idempotency_mismatch' } }, 'the acting caseworker is part of the request');
  t.match(await admin.post('/v1/agencies', { ...agency, regions: ['EG-C'] }, { 'idempotency-key': 'key 2' }), { status: 422 });
  t.equal((await admin.post('/v1/agencies', agency, { 'idempotency-key': 'key 2' })).status, 201, 'failures are not remembered');
  const other_client = as('health', 'supervisor').post(
    `/v1/agencies/${agencies.health.id}/caseworkers`,
    { staff_code: 'X', roles: ['screener'] },
    key,
  );
  t.equal((await other_client).status, 201, 'keys are per client');
  t.match(await admin.post('/v1/agencies', agency, { 'idempotency-key': 'é' }), { status: 400 });
  t.match(await admin.post('/v1/agencies', agency, { 'idempotency-key': 'x'.repeat(256) }), { status: 400 });

  const elsewhere = new pg.Client(it.services.config.database_url!);
  await elsewhere.connect();
  await elsewhere.query('select pg_advisory_lock(hashtextextended($1, 0))', [`${agencies.committee.client_id} key 3`]);
  t.match(await admin.post('/v1/agencies', agency, { 'idempotency-key': 'key 3' }), {
    status: 409,
    body: { code: 'idempotency_in_progress' },
    headers: { 'retry-after': '1' },
  });
  await elsewhere.end();
});

test('fifty at once with one key make one thing', async t => {
  const it = await startTestApp(t);
  const { as } = await mechanism(it);
  const admin = as('committee', 'nobody');
  const answers: Answer[] = await Promise.all(
    Array.from({ length: 50 }, () => admin.post('/v1/agencies', agency, { 'idempotency-key': 'at once' })),
  );
  const made = answers.filter(({ status }) => status === 201);
  t.ok(made.length >= 1);
  t.equal(new Set(made.map(({ body }) => body.id)).size, 1);
  t.ok(answers.every(({ status, body }) => status === 201 || body.code === 'idempotency_in_progress'));
});

test('a client that asks too often waits', async t => {
  const it = await startTestApp(t, { RATE_LIMIT: '2,4' });
  const { as } = await mechanism(it);
  const client = as('health');
  const first = await client.get('/v1/agencies');
  t.match(first.headers, {
    ratelimit: '"client";r=3;t=1',
    'ratelimit-policy': '"client";q=4;w=2',
    'request-id': /^[0-9a-f-]{36}$/,
  });
  for (let i = 0; i < 3; i += 1) t.equal((await client.get('/v1/agencies')).status, 200);
  t.match(await client.get('/v1/agencies'), {
    status: 429,
    body: { code: 'rate_limited' },
    headers: { 'retry-after': '1', ratelimit: '"client";r=0;t=2', 'ratelimit-policy': '"client";q=4;w=2' },
  });
  t.equal((await client.get('/v1/agencies?colour=red')).status, 429, 'told before what else is wrong');
  t.equal((await as('shelter_a').get('/v1/agencies')).status, 200, 'others do not wait');
  const entries = (await entriesOf(it.services, 'agency.list')).filter(({ outcome }) => outcome !== 'read');
  t.match(entries, [{ outcome: 'denied', code: 'rate_limited', client_id: client.agency.client_id }]);
  t.equal(entries.length, 1);
  it.clock.advance(1_000);
  t.equal((await client.get('/v1/agencies')).status, 200);
});

test('an emergency draws on an allowance that is kept for it', t => {
  const clock = testClock();
  const limiter = createRateLimiter({ per_second: 10, burst: 20 }, () => clock.now().getTime());
  const request = (emergency: boolean, body: object) =>
    ({ method: 'POST', body, routeOptions: { config: emergency ? { emergency: true } : {} } }) as FastifyRequest;
  for (let i = 0; i < 20; i += 1) t.equal(limiter.take('a'), null);
  t.match(limiter.take('a'), { code: 'rate_limited', extras: { retry_after: 1 } });
  t.same([limiter.takeReserved('a'), limiter.takeReserved('a'), limiter.takeReserved('a')], [true, true, false]);
  t.notOk(isEmergency(request(false, { urgency: 'emergency' })));
  t.notOk(isEmergency(request(true, { urgency: 'urgent' })));
  t.ok(isEmergency(request(true, { urgency: 'emergency' })));
  t.ok(isEmergency(request(true, { risk: 'immediate' })));
  t.end();
});

test('what cannot be read is charged, too', async t => {
  const it = await startTestApp(t, { RATE_LIMIT: '1,4' });
  const { tokenFor } = await mechanism(it);
  const authorization = `Bearer ${await tokenFor('helpline_a')}`;
  const send = async (url: string, payload: string, type = 'application/json') =>
    answerOf(await it.app.inject({ method: 'POST', url, headers: { authorization, 'content-type': type }, payload }));
  const malformed: [string, string?][] = [
    ['{"name":'],
    ['{"name":"nul \\u0000"}'],
    [`{"name":${'['.repeat(50)}${']'.repeat(50)}}`],
    ['x', 'text/plain'],
  ];
  for (const [payload, type] of malformed) t.match((await send('/v1/agencies', payload, type)).status, /^4(00|15)$/);
  for (const url of ['/v1/agencies', '/v1/cases']) {
    for (const [payload, type] of malformed)
      t.match(await send(url, payload, type), { status: 429, body: { code: 'rate_limited' } }, `${url} ${payload.slice(0, 9)}`);
  }
  t.equal((await send('/v1/cases', '{"risk":"high"}')).status, 429);
  t.equal((await send('/v1/cases', '{"risk":"immediate"}')).status, 400, 'an emergency is let in, and then looked at');
  t.equal((await send('/v1/cases', '{"risk":"immediate"}')).status, 429);
});

test('a request arrives in time, and its answer may take as long as somebody waits for events', async t => {
  const { app } = await startTestApp(t);
  t.equal(app.server.requestTimeout, 30_000);
  t.equal(app.server.timeout, 60_000);
});

test('a suspended agency is known as such', async t => {
  const it = await startTestApp(t);
  const { as, agencies } = await mechanism(it);
  await as('committee', 'nobody').patch(`/v1/agencies/${agencies.helpline_a.id}`, { status: 'suspended' }, { 'if-match': '"1"' });
  const seen: boolean[] = [];
  const identify = createIdentify(it.services);
  for (const key of ['helpline_a', 'helpline_b'] as const) {
    const token = await signToken(it.services, { client_id: agencies[key].client_id, scopes: ['cases'] });
    const identity = await identify.byToken(token, undefined);
    seen.push(identity.suspended);
    t.same([...identity.scopes], ['cases']);
  }
  t.same(seen, [true, false]);
});

test('what arrives while the service ends is answered, and its connection ends with the answer', async t => {
  const { app } = await startTestApp(t);
  await app.listen({ host: '127.0.0.1', port: 0 });
  const socket = connect((app.server.address() as AddressInfo).port, '127.0.0.1');
  t.teardown(() => socket.destroy());
  let answered = '';
  const ended = new Promise(resolve => socket.on('data', bytes => (answered += bytes)).on('close', resolve));
  socket.write('GET /v1/agencies HTTP/1.1\r\nHost: aman\r\n');
  const connections = () => new Promise<number>(resolve => app.server.getConnections((_, count) => resolve(count)));
  while ((await connections()) === 0) await pause(10);
  await pause(50);
  const closed = app.close();
  socket.write('\r\n');
  await ended;
  await closed;
  t.match(answered, /^HTTP\/1\.1 401 [\s\S]*connection: close[\s\S]*application\/problem\+json/i);
});
