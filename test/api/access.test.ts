import { createLocalJWKSet, decodeJwt, jwtVerify } from 'jose';
import { test } from 'tap';
import { createPenalties, networkOf } from '../../src/access/penalties.ts';
import { createSecretVerifier, hashSecret } from '../../src/access/secrets.ts';
import { signToken } from '../../src/access/tokens.ts';
import type { Config } from '../../src/platform/config.ts';
import { newId } from '../../src/platform/ids.ts';
import { startTestApp, type TestApp, testClock } from '../support/app.ts';
import { type Answer, answerOf, mechanism } from '../support/mechanism.ts';
import { entriesOf, lookAsOwner } from '../support/trail.ts';

const HOUR = 3_600_000;

let logins = 0;

/** Each login from an address of its own: what one test gets wrong must not slow the next. */
async function login(
  { app }: TestApp,
  form: Record<string, string> | string,
  headers: Record<string, string> = {},
): Promise<Answer> {
  logins += 1;
  const response = await app.inject({
    method: 'POST',
    url: '/oauth/token',
    remoteAddress: `192.0.2.${logins}`,
    headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
    payload: typeof form === 'string' ? form : new URLSearchParams(form).toString(),
  });
  return answerOf(response);
}

const grant = { grant_type: 'client_credentials' };
const basic = (id: string, secret: string) => ({ authorization: `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}` });

test('a client gets a token by its secret, in the header or in the form', async t => {
  const it = await startTestApp(t);
  const { agencies } = await mechanism(it);
  const { client_id, client_secret } = agencies.helpline_a;

  const by_header = await login(it, grant, basic(client_id, client_secret));
  t.equal(by_header.status, 200);
  t.match(by_header.body, { token_type: 'Bearer', expires_in: 300 });
  t.equal(by_header.headers['cache-control'], 'no-store');
  t.notOk(by_header.body.scope.split(' ').includes('admin'));

  const by_form = await login(it, { ...grant, client_id, client_secret, scope: 'cases.read directory.read' });
  t.match(by_form, { status: 200, body: { scope: 'cases.read directory.read' } });

  const claims = decodeJwt(by_form.body.access_token);
  const iss = 'http://127.0.0.1:3000';
  t.match(claims, { iss, aud: iss, sub: client_id, client_id, scope: 'cases.read directory.read' });
  t.equal(claims.exp! - claims.iat!, 300);
  const jwks = answerOf(await it.app.inject('/.well-known/jwks.json'));
  const { protectedHeader } = await jwtVerify(by_form.body.access_token, createLocalJWKSet(jwks.body), {
    currentDate: it.clock.now(),
  });
  t.match(protectedHeader, { alg: 'EdDSA', typ: 'at+jwt' });
  t.notOk('d' in jwks.body.keys[0], 'no private part is served');

  const used = await it.app.inject({ url: '/v1/agencies', headers: { authorization: `Bearer ${by_form.body.access_token}` } });
  t.equal(used.statusCode, 200);
  const beyond = answerOf(
    await it.app.inject({
      method: 'POST',
      url: '/v1/cases',
      headers: { authorization: `Bearer ${by_form.body.access_token}`, 'acting-caseworker': 'DH-1' },
      payload: {
        track: 'anonymous',
        jurisdiction: 'XA',
        risk: 'low',
        intake: { channel: 'hotline', received_at: it.clock.now().toISOString() },
      },
    }),
  );
  t.match(beyond, { status: 403, body: { code: 'insufficient_scope', scopes: ['cases'] } }, 'the client holds it, the token not');
  t.match(await entriesOf(it.services, 'token.issue'), [
    { outcome: 'done', client_id, agency_id: agencies.helpline_a.id },
    { outcome: 'done', client_id },
  ]);
});

test('id and secret are form-encoded in the header', async t => {
  const it = await startTestApp(t);
  const { client_id, client_secret } = (await mechanism(it)).agencies.health;
  const encoded = [...client_secret].map(c => `%${c.charCodeAt(0).toString(16)}`).join('');
  t.equal((await login(it, grant, basic(client_id, encoded))).status, 200);
  t.equal((await login(it, grant, basic(client_id, '%zz'))).status, 401);
  t.equal((await login(it, grant, basic(`%00${client_id}`, client_secret))).status, 401);
});

test('what is not a login is refused alike', async t => {
  const it = await startTestApp(t);
  const { client_id, client_secret } = (await mechanism(it)).agencies.helpline_a;
  const refused: [string, Answer][] = [
    ['wrong secret', await login(it, grant, basic(client_id, `${client_secret}x`))],
    ['unknown client', await login(it, grant, basic(newId('cli'), client_secret))],
    ['no client id', await login(it, grant, basic('somebody', client_secret))],
    ['nothing', await login(it, grant)],
    ['half', await login(it, { ...grant, client_id })],
    ['a bearer', await login(it, grant, { authorization: 'Bearer x' })],
  ];
  for (const [name, { status, headers, body }] of refused) {
    t.equal(status, 401, name);
    t.equal(headers['www-authenticate'], 'Basic realm="aman"', name);
    t.match(body, { code: 'invalid_client', error: 'invalid_client' }, name);
    t.same({ ...body, request_id: '' }, { ...refused[0]![1].body, request_id: '' }, name);
  }
});

test('requests that RFC 6749 does not know', async t => {
  const it = await startTestApp(t);
  const { client_id, client_secret } = (await mechanism(it)).agencies.helpline_a;
  const secret = { client_id, client_secret };
  const expected: [Answer, number, string][] = [
    [await login(it, { grant_type: 'password', ...secret }), 400, 'invalid_grant_type'],
    [await login(it, { ...secret }), 400, 'invalid_request'],
    [await login(it, { ...grant, ...secret, scope: 'admin' }), 400, 'invalid_scope'],
    [await login(it, { ...grant, ...secret, scope: 'cases  cases.read' }), 400, 'invalid_scope'],
    [await login(it, { ...grant, ...secret, audience: 'x' }), 400, 'invalid_request'],
    [await login(it, { ...grant, client_secret }, basic(client_id, client_secret)), 400, 'invalid_request'],
    [
      await login(it, `grant_type=client_credentials&grant_type=client_credentials&${new URLSearchParams(secret)}`),
      400,
      'invalid_request',
    ],
    [
      await login(it, JSON.stringify({ ...grant, ...secret }), { 'content-type': 'application/json' }),
      415,
      'unsupported_media_type',
    ],
  ];
  for (const [{ status, body }, expected_status, code] of expected)
    t.match({ status, body }, { status: expected_status, body: { code } });
  t.match(expected[0]![0].body, { error: 'unsupported_grant_type' });
});

test('the server describes itself', async t => {
  const it = await startTestApp(t, { PUBLIC_URL: 'https://aman.test/' });
  const { status, body } = answerOf(
    await it.app.inject({ url: '/.well-known/oauth-authorization-server', headers: { host: 'evil.example' } }),
  );
  t.equal(status, 200);
  t.match(body, {
    issuer: 'https://aman.test',
    token_endpoint: 'https://aman.test/oauth/token',
    jwks_uri: 'https://aman.test/.well-known/jwks.json',
    grant_types_supported: ['client_credentials'],
    token_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post', 'private_key_jwt'],
    token_endpoint_auth_signing_alg_values_supported: ['EdDSA', 'ES256', 'PS256'],
  });
  const { client_id, client_secret } = (await mechanism(it)).agencies.health;
  const { access_token } = (await login(it, grant, basic(client_id, client_secret))).body;
  t.match(decodeJwt(access_token), { iss: body.issuer, aud: body.issuer });
  t.equal(await use(it, access_token), 200);
  const elsewhere = await tokenOfProcess(it, { public_url: 'https://else.test' });
  t.equal(await use(it, elsewhere), 401, 'what was issued elsewhere, with the same key, is not for here');
  t.equal(await use(it, await tokenOfProcess(it, { public_url: null })), 401);
});

test('without a public URL the server describes itself by its settings, not by the request', async t => {
  const it = await startTestApp(t, { HOST: '::1', PORT: '4000' });
  const url = '/.well-known/oauth-authorization-server';
  const { body } = answerOf(await it.app.inject({ url, headers: { host: 'evil.example' } }));
  t.equal(body.token_endpoint, 'http://[::1]:4000/oauth/token');
  const beside = await tokenOfProcess(it, { host: '127.0.0.1', port: 4001 });
  t.equal(decodeJwt(beside).iss, 'http://127.0.0.1:4001');
  t.equal(await use(it, beside), 200, 'and takes the tokens of a process beside it, on the same database');
});

/** Issued to `health` by a process with other settings. */
async function tokenOfProcess(it: TestApp, settings: Partial<Config>): Promise<string> {
  const { services } = it;
  const { client_id } = (await mechanism(it)).agencies.health;
  return signToken({ ...services, config: { ...services.config, ...settings } }, { client_id, scopes: ['directory.read'] });
}

const use = async ({ app }: TestApp, token: string): Promise<number> =>
  (await app.inject({ url: '/v1/agencies', headers: { authorization: `Bearer ${token}` } })).statusCode;

test('failed logins are in the trail, one entry per client or address and minute', async t => {
  const it = await startTestApp(t);
  const { client_id, client_secret } = (await mechanism(it)).agencies.shelter_a;
  const fail = (name: string, remoteAddress: string) =>
    it.app.inject({
      method: 'POST',
      url: '/oauth/token',
      remoteAddress,
      headers: { 'content-type': 'application/x-www-form-urlencoded', ...basic(name, 'guess') },
      payload: 'grant_type=client_credentials',
    });
  await fail(client_id, '198.51.100.1');
  await fail(client_id, '198.51.100.2');
  await fail(newId('cli'), '198.51.100.3');
  await fail(newId('cli'), '198.51.100.3');
  t.equal((await login(it, grant)).status, 401);
  const denied = { outcome: 'denied', code: 'invalid_client', client_id: 'system:access', agency_id: null };
  t.match(await entriesOf(it.services, 'token.issue'), [denied, denied, denied], 'also of one without credentials');
  it.clock.advance(60_000);
  await fail(client_id, '198.51.100.4');
  t.equal((await entriesOf(it.services, 'token.issue')).length, 4);
  t.equal((await login(it, grant, basic(client_id, client_secret))).status, 200, 'who knows the secret is not refused');
});

test('guessing gets slower, per address, for a while', t => {
  const clock = testClock();
  const penalties = createPenalties(clock.now);
  const waits = Array.from({ length: 8 }, () => penalties.failed('192.0.2.1'));
  t.same(waits, [100, 200, 400, 800, 1_600, 3_000, 3_000, 3_000]);
  t.equal(penalties.failed('192.0.2.2'), 100);
  t.equal(penalties.failed('2001:db8:0:1::1'), 100);
  t.equal(penalties.failed('2001:db8:0:1:ffff::9'), 200, 'the same /64');
  t.equal(networkOf('::ffff:192.0.2.1'), '192.0.2.1');
  clock.advance(15 * 60_000);
  t.equal(penalties.failed('192.0.2.1'), 100);
  t.end();
});

test('of what costs much, an address has two under way and so many waiting', async t => {
  const penalties = createPenalties(testClock().now);
  const open: (() => void)[] = [];
  const start = (address: string) => penalties.inTurn(address, 'verify', () => new Promise<void>(resolve => open.push(resolve)));
  const turns = Array.from({ length: 103 }, () => start('192.0.2.1'));
  await t.rejects(turns.pop()!, { code: 'rate_limited', extras: { retry_after: 1 } }, 'two run and a hundred wait');
  const elsewhere = start('192.0.2.2');
  t.equal(open.length, 3, 'others do not wait for them');
  t.equal(await penalties.inTurn('192.0.2.1', 'look_up', async () => 'at once'), 'at once', 'nor what costs little');
  for (let i = 0; i < 103; i += 1) {
    open[i]!();
    await new Promise(setImmediate);
  }
  await Promise.all([...turns, elsewhere]);
  await t.rejects(
    penalties.inTurn('192.0.2.4', 'verify', () => Promise.reject(new Error('broken'))),
    { message: 'broken' },
  );
  t.equal(await penalties.inTurn('192.0.2.4', 'verify', async () => 'next'), 'next');
});

test('a secret that was verified lately is remembered, not a wrong one', async t => {
  const clock = testClock();
  const verifier = createSecretVerifier(clock.now);
  const hashes = [await hashSecret('right'), await hashSecret('former')];
  const right = { client_id: 'a', secret: 'right' };
  t.equal(verifier.remembered(right), undefined);
  t.same([await verifier.verify(right, hashes), await verifier.verify({ ...right, secret: 'former' }, hashes)], [true, true]);
  t.equal(verifier.remembered(right), hashes[0]);
  t.equal(verifier.remembered({ ...right, secret: 'former' }), hashes[1]);
  t.equal(verifier.remembered({ ...right, client_id: 'b' }), undefined);
  t.same([await verifier.verify({ ...right, secret: 'wrong' }, hashes), await verifier.verify(right, [])], [false, false]);
  t.equal(verifier.remembered({ ...right, secret: 'wrong' }), undefined);
  t.equal(verifier.remembered(right), undefined, 'nor one that is none any more');
  t.ok(await verifier.verify(right, hashes));
  clock.advance(9 * 60_000);
  t.ok(verifier.remembered(right));
  clock.advance(9 * 60_000);
  t.ok(verifier.remembered(right), 'who renews in time stays remembered');
  clock.advance(10 * 60_000);
  t.equal(verifier.remembered(right), undefined);
});

test('whoever guesses keeps nobody at the same address from logging in', async t => {
  const it = await startTestApp(t);
  const { agencies } = await mechanism(it);
  const from = async (id: string, secret: string) => {
    const started_at = performance.now();
    const answer = answerOf(
      await it.app.inject({
        method: 'POST',
        url: '/oauth/token',
        remoteAddress: '198.51.100.77',
        headers: { 'content-type': 'application/x-www-form-urlencoded', ...basic(id, secret) },
        payload: 'grant_type=client_credentials',
      }),
    );
    return { ...answer, ms: performance.now() - started_at };
  };
  const clients = Object.values(agencies);
  const guesses = Promise.all(
    Array.from({ length: 120 }, (_, i) =>
      from(i % 2 ? newId('cli') : clients[i % clients.length]!.client_id, `aman_secret_${'x'.repeat(43)}`),
    ),
  );
  const first = await Promise.all(clients.map(({ client_id, client_secret }) => from(client_id, client_secret)));
  t.strictSame(
    first.map(({ status }) => status),
    clients.map(() => 200),
    'not even those that were never here, all at once',
  );
  t.ok((await guesses).every(({ status, ms }) => status === 401 && ms >= 99));
  t.equal((await from(clients[0]!.client_id, clients[0]!.client_secret)).status, 200);
});

test('a secret of the time before tags serves as it did', async t => {
  const it = await startTestApp(t);
  const { client_id, client_secret } = (await mechanism(it)).agencies.health;
  const tags = await lookAsOwner<{ tag: Buffer }>(it.services, 'select tag from client_secrets where client_id = $1', [
    client_id,
  ]);
  t.strictSame(
    tags.map(({ tag }) => tag.length),
    [2],
  );
  await lookAsOwner(it.services, 'update client_secrets set tag = null where client_id = $1', [client_id]);
  t.equal((await login(it, grant, basic(client_id, `${client_secret}x`))).status, 401);
  t.equal((await login(it, grant, basic(client_id, client_secret))).status, 200);
});

test('a supervisor makes a client, whose secret is shown once', async t => {
  const it = await startTestApp(t);
  const { as, agencies } = await mechanism(it);
  const shelter = as('shelter_a', 'supervisor');
  const path = `/v1/agencies/${agencies.shelter_a.id}/clients`;

  const made = await shelter.post(
    path,
    { scopes: ['referrals', 'cases.read'], description: 'night desk' },
    { 'idempotency-key': 'one' },
  );
  t.equal(made.status, 201);
  t.match(made.body, { agency_id: agencies.shelter_a.id, status: 'active', version: 1, scopes: ['referrals', 'cases.read'] });
  t.match(made.body.secret, /^aman_secret_[\w-]{43}$/);
  t.match(made.headers, { etag: '"1"', 'audit-receipt': /^[0-9a-f]{64}$/, location: `/v1/clients/${made.body.id}` });
  t.equal((await login(it, grant, basic(made.body.id, made.body.secret))).status, 200);

  const replayed = await shelter.post(
    path,
    { scopes: ['referrals', 'cases.read'], description: 'night desk' },
    { 'idempotency-key': 'one' },
  );
  t.match(replayed, { status: 409, body: { code: 'secret_already_shown' } });
  const { body } = await shelter.get(path);
  t.equal(body.data.length, 2);
  t.equal(body.data[0].id, made.body.id, 'newest first');
  t.notMatch(JSON.stringify(body), /secret/);
  const [kept] = await lookAsOwner<{ hash: string }>(it.services, 'select hash from client_secrets where client_id = $1', [
    made.body.id,
  ]);
  t.match(kept!.hash, /^\$argon2id\$v=19\$m=19456,t=2,p=1\$[\w+/]{22}\$[\w+/]{43}$/);

  const worker = as('shelter_a', 'worker');
  t.match(await worker.post(path, { scopes: ['referrals'] }), { status: 403, body: { code: 'forbidden' } });
  t.match(await worker.get(path), { status: 403, body: { code: 'forbidden' } });
  const nobody = await as('shelter_a', 'nobody').post(path, { scopes: ['referrals'] });
  t.match(nobody, { status: 400, body: { code: 'acting_caseworker_required' } });
});

test('nobody gives a scope that its own token lacks', async t => {
  const it = await startTestApp(t);
  const { as, agencies } = await mechanism(it);
  const path = `/v1/agencies/${agencies.shelter_a.id}/clients`;
  const refused = await as('shelter_a', 'supervisor').post(path, { scopes: ['referrals', 'admin'] });
  t.match(refused, { status: 403, body: { code: 'insufficient_scope', scopes: ['admin'] } });

  const narrow = as('shelter_a', 'supervisor', ['directory']);
  t.match(await narrow.post(path, { scopes: ['referrals'] }), { status: 403, body: { code: 'insufficient_scope' } });
  const rotation = await narrow.post(`/v1/clients/${agencies.shelter_a.client_id}/rotate-secret`);
  t.match(rotation, { status: 403, body: { code: 'insufficient_scope' } }, 'not by a new secret either');
  t.equal((await narrow.post(path, { scopes: ['directory'] })).status, 201);
});

test('what an administrator makes for another agency waits for its supervisor', async t => {
  const it = await startTestApp(t);
  const { as, agencies } = await mechanism(it);
  const admin = as('committee', 'nobody');
  const shelter = as('shelter_a', 'supervisor');
  const path = `/v1/agencies/${agencies.shelter_a.id}`;

  const client = await admin.post(`${path}/clients`, { scopes: ['referrals'] });
  t.match(client, { status: 201, body: { status: 'disabled' } });
  t.equal((await login(it, grant, basic(client.body.id, client.body.secret))).status, 401);
  t.match(await admin.post(`/v1/clients/${client.body.id}/enable`), {
    status: 400,
    body: { code: 'acting_caseworker_required' },
  });
  const enabling = await as('committee', 'supervisor').post(`/v1/clients/${client.body.id}/enable`);
  t.match(enabling, { status: 403, body: { code: 'forbidden' } });
  const rotating = await admin.post(`/v1/clients/${agencies.shelter_a.client_id}/rotate-secret`);
  t.match(rotating, { status: 403, body: { code: 'forbidden' } }, "it would hold the agency's secret");
  t.match(await shelter.post(`/v1/clients/${client.body.id}/enable`), { status: 200, body: { status: 'active', version: 2 } });
  t.equal((await login(it, grant, basic(client.body.id, client.body.secret))).status, 200);
  t.match(await shelter.post(`/v1/clients/${client.body.id}/enable`), {
    status: 409,
    body: { code: 'wrong_state', state: 'active', allowed_actions: ['rotate_secret', 'set_keys', 'revoke'] },
  });

  const caseworker = await admin.post(`${path}/caseworkers`, { staff_code: 'CH-9', roles: ['supervisor'] });
  t.match(caseworker, { status: 201, body: { status: 'disabled' } });
  const acting = () => shelter.get('/v1/agencies', { 'acting-caseworker': 'CH-9' });
  t.match(await acting(), { status: 403, body: { code: 'caseworker_not_active' } });
  const patch = { status: 'active' };
  const enabled_by = (who: typeof admin) => who.patch(`/v1/caseworkers/${caseworker.body.id}`, patch, { 'if-match': '"1"' });
  t.match(await enabled_by(as('committee', 'supervisor')), { status: 403, body: { code: 'forbidden' } });
  t.match(await enabled_by(shelter), { status: 200, body: { status: 'active' } });
  t.equal((await acting()).status, 200);
});

test('a new agency begins with what an administrator makes for it', async t => {
  const it = await startTestApp(t);
  const { as } = await mechanism(it);
  const admin = as('committee', 'nobody');
  const agency = await admin.post('/v1/agencies', { name: 'Night School', kind: 'school', jurisdictions: ['XA'] });
  const path = `/v1/agencies/${agency.body.id}`;

  t.match(await admin.post(`${path}/caseworkers`, { staff_code: 'NS-1', roles: ['supervisor'] }), {
    status: 201,
    body: { status: 'active' },
  });
  const client = await admin.post(`${path}/clients`, { scopes: ['directory', 'referrals'] });
  t.match(client, { status: 201, body: { status: 'active' } });
  t.match(await admin.post(`${path}/clients`, { scopes: ['directory'] }), { status: 201, body: { status: 'disabled' } });
  t.match(await admin.post(`${path}/caseworkers`, { staff_code: 'NS-2', roles: ['supervisor'] }), {
    status: 201,
    body: { status: 'disabled' },
  });

  await admin.post(`/v1/clients/${client.body.id}/revoke`);
  const again = await admin.post(`${path}/clients`, { scopes: ['directory'] });
  t.equal(again.body.status, 'disabled', 'a beginning happens once: revoking does not open the door again');
});

test('a rotated secret works beside the new one for a day', async t => {
  const it = await startTestApp(t);
  const { as, agencies } = await mechanism(it);
  const { client_id, client_secret } = agencies.health;
  const rotate = () => as('health', 'supervisor').post(`/v1/clients/${client_id}/rotate-secret`);
  const works = async (secret: string) => (await login(it, grant, basic(client_id, secret))).status === 200;

  const second = await rotate();
  t.match(second, { status: 200, body: { version: 2 } });
  t.same([await works(client_secret), await works(second.body.secret)], [true, true]);
  it.clock.advance(HOUR);
  const third = await rotate();
  t.same([await works(client_secret), await works(second.body.secret), await works(third.body.secret)], [false, true, true]);
  it.clock.advance(24 * HOUR);
  t.same([await works(second.body.secret), await works(third.body.secret)], [false, true]);
});

test('a revoked client is refused on its next request', async t => {
  const it = await startTestApp(t);
  const { as, agencies } = await mechanism(it);
  const { client_id, client_secret } = agencies.civil_society;
  const supervisor = as('civil_society', 'supervisor');
  t.equal((await supervisor.get('/v1/agencies')).status, 200);
  const stale = await supervisor.post(`/v1/clients/${client_id}/revoke`, undefined, { 'if-match': '"7"' });
  t.match(stale, { status: 422, body: { code: 'unprocessable', detail: /make another one first/ } });
  const path = `/v1/agencies/${agencies.civil_society.id}/clients`;
  const another = await supervisor.post(path, { scopes: ['directory'] });
  t.match(await supervisor.post(`/v1/clients/${client_id}/revoke`, undefined, { 'if-match': '"7"' }), {
    status: 412,
    body: { code: 'precondition_failed' },
  });
  t.match(await supervisor.post(`/v1/clients/${client_id}/revoke`), { status: 200, body: { status: 'revoked' } });
  t.match(await supervisor.get('/v1/agencies'), { status: 401, body: { code: 'unauthenticated' } });
  t.equal((await login(it, grant, basic(client_id, client_secret))).status, 401);

  const admin = as('committee', 'nobody');
  t.equal((await admin.post(`/v1/clients/${another.body.id}/revoke`)).status, 200, 'an administrator may end even the last one');
  for (const act of ['revoke', 'rotate-secret']) {
    const { status } = await admin.post(`/v1/clients/${client_id}/${act}`);
    t.equal(status, act === 'revoke' ? 409 : 403);
  }
});

test('to others, who acts for an agency does not exist', async t => {
  const it = await startTestApp(t);
  const { as, agencies } = await mechanism(it);
  const stranger = as('shelter_b', 'supervisor');
  const [theirs] = await lookAsOwner<{ id: string }>(it.services, 'select id from caseworkers where agency_id = $1', [
    agencies.shelter_a.id,
  ]);
  const pairs: [Answer, Answer][] = [
    [
      await stranger.get(`/v1/agencies/${agencies.shelter_a.id}/clients`),
      await stranger.get(`/v1/agencies/${newId('agy')}/clients`),
    ],
    [
      await stranger.get(`/v1/agencies/${agencies.shelter_a.id}/caseworkers`),
      await stranger.get(`/v1/agencies/${newId('agy')}/caseworkers`),
    ],
    [
      await stranger.post(`/v1/agencies/${agencies.shelter_a.id}/caseworkers`, { staff_code: 'X', roles: ['supervisor'] }),
      await stranger.post(`/v1/agencies/${newId('agy')}/caseworkers`, { staff_code: 'X', roles: ['supervisor'] }),
    ],
    [await stranger.get(`/v1/caseworkers/${theirs!.id}`), await stranger.get(`/v1/caseworkers/${newId('cwk')}`)],
    [await stranger.get(`/v1/clients/${agencies.shelter_a.client_id}`), await stranger.get(`/v1/clients/${newId('cli')}`)],
    [
      await stranger.patch(`/v1/caseworkers/${theirs!.id}`, { status: 'inactive' }, { 'if-match': '"1"' }),
      await stranger.patch(`/v1/caseworkers/${newId('cwk')}`, { status: 'inactive' }, { 'if-match': '"1"' }),
    ],
    ...(await Promise.all(
      ['revoke', 'enable', 'rotate-secret'].map(
        async act =>
          [
            await stranger.post(`/v1/clients/${agencies.shelter_a.client_id}/${act}`),
            await stranger.post(`/v1/clients/${newId('cli')}/${act}`),
          ] as [Answer, Answer],
      ),
    )),
  ];
  for (const [foreign, absent] of pairs) {
    t.equal(foreign.status, 404);
    t.same({ ...foreign.body, request_id: '' }, { ...absent.body, request_id: '' });
  }
});

test('a supervisor keeps the caseworkers', async t => {
  const it = await startTestApp(t);
  const { as, agencies } = await mechanism(it);
  const supervisor = as('health', 'supervisor');
  const path = `/v1/agencies/${agencies.health.id}/caseworkers`;
  const made = await supervisor.post(path, {
    staff_code: 'CC-3',
    roles: ['screener'],
    languages: ['ar', 'ckb'],
    certifications: [{ course: 'trauma', completed_on: '2026-01-02' }],
  });
  t.match(made, { status: 201, body: { status: 'active', certifications: [{ course: 'trauma', expires_on: null }] } });
  t.match(await supervisor.post(path, { staff_code: 'CC-3', roles: ['screener'] }), {
    status: 409,
    body: { code: 'already_exists' },
  });

  const mine = `/v1/caseworkers/${made.body.id}`;
  t.match(await supervisor.patch(mine, { status: 'inactive' }), { status: 428, body: { code: 'precondition_required' } });
  t.match(await supervisor.patch(mine, { status: 'inactive' }, { 'if-match': '"2"' }), { status: 412 });
  t.match(await supervisor.patch(mine, { status: 'disabled' }, { 'if-match': '"1"' }), { status: 400 });
  const patched = await supervisor.patch(
    mine,
    { status: 'inactive' },
    { 'if-match': '"1"', 'content-type': 'application/merge-patch+json' },
  );
  t.match(patched, { status: 200, body: { status: 'inactive', version: 2, roles: ['screener'] }, headers: { etag: '"2"' } });
  t.match(await supervisor.get('/v1/agencies', { 'acting-caseworker': 'CC-3' }), {
    status: 403,
    body: { code: 'caseworker_not_active' },
  });

  const first = await supervisor.get(`${path}?limit=2`);
  const second = await supervisor.get(`${path}?limit=2&cursor=${first.body.next_cursor}`);
  t.same([first.body.data.length, second.body.data.length, second.body.next_cursor], [2, 1, null]);

  const me = second.body.data.concat(first.body.data).find((row: { staff_code: string }) => row.staff_code === 'CC-2');
  for (const patch of [{ status: 'inactive' }, { roles: ['caseworker'] }]) {
    const last = await supervisor.patch(`/v1/caseworkers/${me.id}`, patch, { 'if-match': '"1"' });
    t.match(last, { status: 422, body: { code: 'unprocessable' } }, 'the last supervisor stays');
  }
});

test('what was made is read where its answer says, without its secret', async t => {
  const it = await startTestApp(t);
  const { as, agencies } = await mechanism(it);
  const supervisor = as('health', 'supervisor');
  const path = `/v1/agencies/${agencies.health.id}`;
  const client = await supervisor.post(`${path}/clients`, { scopes: ['cases.read'] });
  const caseworker = await supervisor.post(`${path}/caseworkers`, { staff_code: 'CC-3', roles: ['screener'] });
  const { secret, ...shown } = client.body;
  for (const [made, body] of [
    [client, shown],
    [caseworker, caseworker.body],
  ] as const) {
    const read = await supervisor.get(String(made.headers.location));
    t.match(read, { status: 200, headers: { etag: '"1"' } });
    t.strictSame(read.body, body);
    t.strictSame((await as('committee', 'nobody').get(String(made.headers.location))).body, body, 'an administrator, too');
    t.match(await as('health').get(String(made.headers.location)), { status: 403, body: { code: 'forbidden' } });
  }
});
