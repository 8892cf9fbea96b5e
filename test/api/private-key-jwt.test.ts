import { generateKeyPairSync, hash, type KeyObject, randomUUID } from 'node:crypto';
import { calculateJwkThumbprint, exportJWK, type JWK, type JWTHeaderParameters, SignJWT, UnsecuredJWT } from 'jose';
import { type Test, test } from 'tap';
import { insertAssertion, insertSecret, replaceKeys } from '../../src/access/store.ts';
import { buildApi } from '../../src/api.ts';
import { type Actor, systemActor } from '../../src/core/access.ts';
import type { AssertionAlgorithm } from '../../src/core/client-assertion.ts';
import { type Tx, transact } from '../../src/platform/database.ts';
import { newId } from '../../src/platform/ids.ts';
import { deleteExpired } from '../../src/webhooks/retention.ts';
import { startTestApp, type TestApp } from '../support/app.ts';
import { entriesFor } from '../support/entries.ts';
import { type Answer, answerOf, type Client, mechanism } from '../support/mechanism.ts';
import { ok } from '../support/night.ts';
import { entriesOf, lookAsOwner } from '../support/trail.ts';
import { demoActors } from '../support/webhooks.ts';

const ISSUER = 'http://127.0.0.1:3000';
const BEARER = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';
const HOUR = 3_600_000;

interface Pair {
  alg: AssertionAlgorithm;
  private_key: KeyObject;
  jwk: JWK;
  pem: string;
}

async function pairOf(alg: AssertionAlgorithm, bits = 2_048): Promise<Pair> {
  const { privateKey, publicKey } =
    alg === 'EdDSA'
      ? generateKeyPairSync('ed25519')
      : alg === 'ES256'
        ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
        : generateKeyPairSync('rsa', { modulusLength: bits });
  return {
    alg,
    private_key: privateKey,
    jwk: await exportJWK(publicKey),
    pem: publicKey.export({ type: 'spki', format: 'pem' }) as string,
  };
}

const pairs = {
  ed: await pairOf('EdDSA'),
  other: await pairOf('EdDSA'),
  ec: await pairOf('ES256'),
  rsa: await pairOf('PS256'),
};

/** The shelter's supervisor, and a client of the shelter that has these keys. */
async function start(t: Test, keys: JWK[] = [pairs.ed.jwk, pairs.ec.jwk, pairs.rsa.jwk]) {
  const it = await startTestApp(t);
  const they = await mechanism(it);
  const supervisor = they.as('shelter_a', 'supervisor');
  const path = `/v1/agencies/${supervisor.agency.id}/clients`;
  const client = ok(await supervisor.post(path, { scopes: ['referrals', 'cases.read'], jwks: { keys } }));
  const client_id: string = client.id;

  const claimsOf = (more: Record<string, unknown> = {}): Record<string, unknown> => {
    const now = Math.floor(it.clock.now().getTime() / 1_000);
    return { iss: client_id, sub: client_id, aud: ISSUER, iat: now, exp: now + 60, jti: randomUUID(), ...more };
  };
  const sign = (
    more: Record<string, unknown> = {},
    { alg, private_key }: Pair = pairs.ed,
    header: Partial<JWTHeaderParameters> = {},
  ): Promise<string> => new SignJWT(claimsOf(more)).setProtectedHeader({ alg, ...header }).sign(private_key);
  return { ...it, ...they, supervisor, path, client, client_id, claimsOf, sign };
}

let logins = 0;

async function login(
  app: TestApp['app'],
  client_assertion: string,
  more: Record<string, string> = {},
  headers: Record<string, string> = {},
): Promise<Answer> {
  logins += 1;
  const form = { grant_type: 'client_credentials', client_assertion_type: BEARER, client_assertion, ...more };
  return answerOf(
    await app.inject({
      method: 'POST',
      url: '/oauth/token',
      remoteAddress: `192.0.2.${logins % 250}`,
      headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
      payload: new URLSearchParams(form).toString(),
    }),
  );
}

/** Refused as a wrong secret is, and with no word more. */
function refused(t: Test, answer: Answer, name: string): void {
  t.equal(answer.status, 401, name);
  t.equal(answer.headers['www-authenticate'], 'Basic realm="aman"', name);
  t.strictSame(
    { ...answer.body, request_id: '' },
    {
      type: '/problems/invalid_client',
      title: 'The client could not be authenticated',
      status: 401,
      code: 'invalid_client',
      request_id: '',
      error: 'invalid_client',
    },
    name,
  );
}

test('a client gets a token by an assertion that it signed, in each of the three algorithms', async t => {
  const every_key = Object.values(pairs).map(({ jwk }) => jwk);
  const { app, sign, client_id, client, services, supervisor } = await start(t, every_key);
  t.notOk('secret' in client, 'and has no secret');
  for (const [name, pair] of Object.entries(pairs)) {
    const got = await login(app, await sign({}, pair), { scope: 'cases.read' });
    t.match(got, { status: 200, body: { token_type: 'Bearer', expires_in: 300, scope: 'cases.read' } }, name);
    const used = await app.inject({ url: '/v1/agencies', headers: { authorization: `Bearer ${got.body.access_token}` } });
    t.equal(used.statusCode, 403, 'the token is narrow');
  }
  const whole = await login(app, await sign(), { client_id });
  t.match(whole, { status: 200, body: { scope: 'referrals cases.read' } }, 'with a client id that agrees');
  const kid = await calculateJwkThumbprint(pairs.ec.jwk);
  t.equal(
    (await login(app, await sign({}, pairs.ec, { kid, typ: 'client-authentication+jwt' }))).status,
    200,
    'by name and type',
  );
  for (const aud of [`${ISSUER}/oauth/token`, [ISSUER], [ISSUER, `${ISSUER}/oauth/token`]])
    t.equal((await login(app, await sign({ aud }))).status, 200, JSON.stringify(aud));
  t.equal((await entriesOf(services, 'token.issue')).filter(it => it.client_id === client_id).length, 9);
  t.equal((await supervisor.get('/v1/agencies')).status, 200);
});

test('whatever is wrong with an assertion, the answer is one; the trail says what it was', async t => {
  const { app, sign, claimsOf, client_id, as, clock, supervisor, path } = await start(t);
  const stranger = as('shelter_b', 'supervisor');
  const foreign = ok(
    await stranger.post(`/v1/agencies/${stranger.agency.id}/clients`, {
      scopes: ['referrals'],
      jwks: { keys: [pairs.other.jwk] },
    }),
  );
  const sibling = ok(await supervisor.post(path, { scopes: ['referrals'] }));
  const in_s = (seconds: number) => Math.floor(clock.now().getTime() / 1_000) + seconds;
  const hs256 = (key: Uint8Array) => new SignJWT(claimsOf()).setProtectedHeader({ alg: 'HS256' }).sign(key);
  const parts = async () => (await sign()).split('.') as [head: string, body: string, signature: string];
  const encoded = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const unknown = newId('cli');
  const kid_of = (pair: Pair) => calculateJwkThumbprint(pair.jwk);

  type Row = [reason: string, make: () => string | Promise<string>, form?: Record<string, string>];
  const of_a_client: Row[] = [
    ['assertion_expired', () => sign({ iat: in_s(-400), exp: in_s(-30) })],
    ['assertion_expired', () => sign({ exp: undefined })],
    ['assertion_too_long', () => sign({ exp: in_s(332) })],
    ['assertion_not_yet', () => sign({ iat: in_s(32) })],
    ['assertion_not_yet', () => sign({ nbf: in_s(32) })],
    ['assertion_audience', () => sign({ aud: 'https://other.test/oauth/token' })],
    ['assertion_audience', () => sign({ aud: [ISSUER, 'https://other.test'] })],
    ['assertion_audience', () => sign({ aud: undefined })],
    ['assertion_subject', () => sign({ sub: foreign.id })],
    ['assertion_subject', () => sign(), { client_id: foreign.id }],
    ['assertion_jti', () => sign({ jti: undefined })],
    ['assertion_jti', () => sign({ jti: 'j'.repeat(256) })],
    ['assertion_algorithm', () => new UnsecuredJWT(claimsOf()).encode()],
    ['assertion_algorithm', () => hs256(Buffer.from(pairs.ed.jwk.x!, 'base64url'))],
    ['assertion_algorithm', () => hs256(Buffer.from(pairs.rsa.pem))],
    ['assertion_algorithm', () => sign({}, { ...pairs.rsa, alg: 'RS256' as AssertionAlgorithm })],
    ['assertion_type', () => sign({}, pairs.ed, { typ: 'at+jwt' })],
    [
      'assertion_malformed',
      async () => [encoded({ alg: 'EdDSA', crit: ['b64'], b64: true }), ...(await parts()).slice(1)].join('.'),
    ],
    ['assertion_key', () => sign({}, pairs.ed, { kid: 'nobody' })],
    ['assertion_key', async () => sign({}, pairs.other, { kid: await kid_of(pairs.other) })],
    ['assertion_key', async () => sign({}, pairs.ed, { kid: await kid_of(pairs.ec) })],
    ['assertion_key', () => sign({ iss: sibling.id, sub: sibling.id })],
    ['assertion_signature', () => sign({}, pairs.other)],
    ['assertion_signature', () => sign({}, pairs.other, { jwk: pairs.other.jwk })],
    ['assertion_signature', async () => sign({}, pairs.other, { kid: await kid_of(pairs.ed) })],
    ['assertion_signature', async () => (await parts()).with(1, encoded(claimsOf({ exp: in_s(200) }))).join('.')],
    ['assertion_signature', async () => (await parts()).with(2, '').join('.')],
  ];
  const of_nobody: Row[] = [
    ['assertion_subject', () => sign({ iss: 'somebody' })],
    ['client_unknown', () => sign({ iss: unknown, sub: unknown })],
    ['assertion_malformed', async () => (await parts()).slice(0, 2).join('.')],
    ['assertion_malformed', () => 'x.y.z'],
    ['assertion_malformed', () => ''],
    ['no_credentials', () => sign(), { client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:saml2-bearer' }],
  ];
  for (const [i, [reason, make, form]] of [...of_a_client, ...of_nobody].entries()) {
    // One entry is written per client or address, and minute.
    clock.advance(61_000);
    refused(t, await login(app, await make(), form), `${i} ${reason}`);
    const [entry] = await entriesFor(as('audit_body'), 'action=token.issue&outcome=denied');
    t.match(entry!.meta, { code: 'invalid_client', actor: { client_id: 'system:access', agency_id: null } });
    const { subject_id, reason: told } = entry!.subjects[0]!.record!;
    t.equal(told, reason, `${i} ${reason}`);
    if (i < of_a_client.length) t.ok([client_id, sibling.id].includes(subject_id as string), 'and whose id it was');
    else t.match(subject_id, /^192\.0\.2\./, 'and from where it came');
  }
  t.same(await entriesFor(supervisor, 'action=token.issue&outcome=denied'), [], 'to the audit body alone');

  const unused = await sign({}, pairs.ed, { kid: 'nobody' });
  const { jti } = JSON.parse(Buffer.from(unused.split('.')[1]!, 'base64url').toString());
  refused(t, await login(app, unused), 'refused');
  t.equal((await login(app, await sign({ jti }))).status, 200, 'and not used up by it');
});

test('an assertion serves once, also elsewhere, later, and when two come at the same time', async t => {
  const { app, services, clock, sign, client_id, supervisor, path } = await start(t);
  const once = await sign({ jti: 'the same' });
  t.equal((await login(app, once)).status, 200);
  refused(t, await login(app, once), 'again');
  refused(t, await login(app, await sign({ jti: 'the same', exp: Math.floor(clock.now().getTime() / 1_000) + 200 })), 'its jti');
  const elsewhere = await buildApi(services);
  t.teardown(() => elsewhere.close());
  refused(t, await login(elsewhere, once), 'in another process, or after a start');

  const apps = [app, elsewhere];
  for (let round = 0; round < 5; round += 1) {
    const assertion = await sign();
    const answers = await Promise.all(Array.from({ length: 6 }, (_, i) => login(apps[i % 2]!, assertion)));
    t.strictSame(answers.map(({ status }) => status).sort(), [200, 401, 401, 401, 401, 401]);
  }
  const narrow = await sign();
  t.equal((await login(app, narrow, { scope: 'admin' })).status, 400);
  refused(t, await login(app, narrow), 'it authenticated once, whatever came of it');

  const sibling = ok(await supervisor.post(path, { scopes: ['referrals'], jwks: { keys: [pairs.ed.jwk] } }));
  const same_jti = { jti: 'the same', iss: sibling.id, sub: sibling.id };
  t.equal((await login(app, await sign(same_jti))).status, 200, 'a jti is the own one of a client');

  const rows = () =>
    lookAsOwner<{ jti_hash: Buffer }>(services, 'select jti_hash from client_assertions where client_id = $1', [client_id]);
  t.ok(
    (await rows()).some(({ jti_hash }) => jti_hash.equals(hash('sha256', 'the same', 'buffer'))),
    'kept as a hash',
  );
  clock.advance(60_000);
  await deleteExpired(services);
  t.equal((await rows()).length, 7, 'kept for as long as it could be used again');
  clock.advance(25 * HOUR);
  await deleteExpired(services);
  t.equal((await rows()).length, 0, 'and not for ever');
});

test('one method, of a bounded size', async t => {
  const { app, sign, client_id, agencies } = await start(t);
  const { client_id: id, client_secret } = agencies.shelter_a;
  const basic = { authorization: `Basic ${Buffer.from(`${id}:${client_secret}`).toString('base64')}` };
  const two: [string, Answer][] = [
    ['with a header', await login(app, await sign(), {}, basic)],
    ['with a secret', await login(app, await sign(), { client_id, client_secret })],
    ['with any header', await login(app, await sign(), {}, { authorization: 'Bearer x' })],
  ];
  for (const [name, answer] of two)
    t.match(answer, { status: 400, body: { code: 'invalid_request', error: 'invalid_request' } }, name);
  const large = await sign({ more: 'x'.repeat(4_000) });
  t.match(await login(app, large), {
    status: 400,
    body: { code: 'invalid_request', errors: [{ pointer: '/client_assertion' }] },
  });
  t.equal((await login(app, await sign({ more: 'x'.repeat(1_000) }))).status, 200);
  const half = async (form: Record<string, string>) =>
    answerOf(
      await app.inject({
        method: 'POST',
        url: '/oauth/token',
        remoteAddress: '203.0.113.9',
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
        payload: new URLSearchParams({ grant_type: 'client_credentials', ...form }).toString(),
      }),
    );
  refused(t, await half({ client_assertion: await sign() }), 'no type');
  refused(t, await half({ client_assertion_type: BEARER, client_id }), 'no assertion');
});

test('whoever fails waits longer and longer, who holds a key does not', async t => {
  const { app, sign } = await start(t);
  const from = async (client_assertion: string): Promise<{ status: number; ms: number }> => {
    const started_at = performance.now();
    const { statusCode } = await app.inject({
      method: 'POST',
      url: '/oauth/token',
      remoteAddress: '198.51.100.7',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      payload: new URLSearchParams({
        grant_type: 'client_credentials',
        client_assertion_type: BEARER,
        client_assertion,
      }).toString(),
    });
    return { status: statusCode, ms: performance.now() - started_at };
  };
  t.match(await from('x.y.z'), { status: 401 });
  t.match(await from(await sign({}, pairs.other)), { status: 401 });
  const third = await from('x.y.z');
  t.equal(third.status, 401);
  t.ok(third.ms >= 399, `the third failure of an address: ${third.ms} ms`);
  const guesses = Promise.all(Array.from({ length: 40 }, () => from('x.y.z')));
  const assertions = await Promise.all(Array.from({ length: 20 }, () => sign()));
  const right = await Promise.all(assertions.map(from));
  t.ok(
    right.every(({ status }) => status === 200),
    'nobody who can sign is refused',
  );
  t.ok(
    right.every(({ ms }) => ms < 3_000),
    'or kept waiting',
  );
  const answers = await guesses;
  t.ok(answers.every(({ status, ms }) => status === 401 && ms >= 799));
});

test('public keys are registered, and nothing else', async t => {
  const { as } = await mechanism(await startTestApp(t));
  const supervisor = as('shelter_a', 'supervisor');
  const path = `/v1/agencies/${supervisor.agency.id}/clients`;
  const make = (...keys: object[]) => supervisor.post(path, { scopes: ['referrals'], jwks: { keys } });
  const pointers = ({ body }: Answer): string[] => (body.errors ?? []).map((fault: { pointer: string }) => fault.pointer);
  const { ed, ec, rsa, other } = pairs;

  const small = await pairOf('PS256', 1_024);
  const private_ed = await exportJWK(ed.private_key);
  const contradictory: [string, object[], string[]][] = [
    ['a private key', [private_ed], ['/jwks/keys/0/d']],
    ['a private RSA key', [await exportJWK(rsa.private_key)], ['d', 'p', 'q', 'dp', 'dq', 'qi'].map(it => `/jwks/keys/0/${it}`)],
    ['a short RSA key', [ed.jwk, small.jwk], ['/jwks/keys/1/n']],
    ['no point of the curve', [{ ...ec.jwk, y: ec.jwk.x }], ['/jwks/keys/0']],
    ['half a point', [{ kty: 'EC', crv: 'P-256', x: ec.jwk.x }], ['/jwks/keys/0/y']],
    ['too short for the curve', [{ ...ed.jwk, x: 'AAAA' }], ['/jwks/keys/0']],
    ['another curve', [{ ...ed.jwk, crv: 'P-256' }], ['/jwks/keys/0/crv']],
    ['what belongs to another type', [{ ...ed.jwk, n: 'AQAB' }], ['/jwks/keys/0/n']],
    ['another algorithm', [{ ...rsa.jwk, alg: 'ES256' }], ['/jwks/keys/0/alg']],
    ['twice the same', [ed.jwk, { ...ed.jwk, kid: 'b' }], ['/jwks/keys/1']],
    [
      'two of one name',
      [
        { ...ed.jwk, kid: 'a' },
        { ...other.jwk, kid: 'a' },
      ],
      ['/jwks/keys/1/kid'],
    ],
  ];
  for (const [name, keys, expected] of contradictory) {
    const answer = await make(...keys);
    t.match(answer, { status: 422, body: { code: 'unprocessable' } }, name);
    t.strictSame(pointers(answer), expected, name);
  }
  t.notMatch(JSON.stringify((await make(private_ed)).body), private_ed.d!, 'nor is it repeated');
  const unknown: [string, object[], string][] = [
    ['a secret key', [{ kty: 'oct', k: 'AAAA' }], '/jwks/keys/0/kty'],
    ['a member that we do not know', [{ ...ed.jwk, x5c: ['x'] }], '/jwks/keys/0/x5c'],
    ['for encryption', [{ ...ec.jwk, use: 'enc' }], '/jwks/keys/0/use'],
    ['an exponent that is too small', [{ ...rsa.jwk, e: 'Aw' }], '/jwks/keys/0/e'],
    ['a huge key', [{ ...rsa.jwk, n: 'A'.repeat(1_400) }], '/jwks/keys/0/n'],
    ['none', [], '/jwks/keys'],
    ['six', Array.from({ length: 6 }, () => ed.jwk), '/jwks/keys'],
  ];
  for (const [name, keys, expected] of unknown) {
    const answer = await make(...keys);
    t.match(answer, { status: 400, body: { code: 'invalid_request' } }, name);
    t.ok(pointers(answer).includes(expected), name);
  }

  const extras = { use: 'sig', key_ops: ['verify'], ext: true };
  const made = await make({ ...ed.jwk, kid: 'first', alg: 'EdDSA', ...extras }, rsa.jwk);
  const [thumbprint, rsa_thumbprint] = [await calculateJwkThumbprint(ed.jwk), await calculateJwkThumbprint(rsa.jwk)];
  const keys = [
    { kid: 'first', alg: 'EdDSA', thumbprint },
    { kid: rsa_thumbprint, alg: 'PS256', thumbprint: rsa_thumbprint },
  ].sort((a, b) => (a.kid < b.kid ? -1 : 1));
  t.equal(made.status, 201);
  t.strictSame(
    made.body.keys.toSorted((a: { kid: string }, b: { kid: string }) => (a.kid < b.kid ? -1 : 1)),
    keys,
  );
  const listed = ok(await supervisor.get(path)).data;
  t.strictSame(listed[0].keys, made.body.keys);
  t.strictSame(listed[1].keys, [], 'a client that has a secret');
  t.notMatch(JSON.stringify(listed), ed.jwk.x!);
});

test('keys are changed by those who may rotate secrets', async t => {
  const { app, services, as, sign, client_id, supervisor, path, clock } = await start(t, [pairs.ed.jwk]);
  const mine = `/v1/clients/${client_id}/keys`;
  const put = (who: Client, keys: object[], headers: Record<string, string> = { 'if-match': '"1"' }) =>
    who.put(mine, { keys }, headers);
  const both = [pairs.ed.jwk, pairs.ec.jwk];

  t.match(await put(as('shelter_b', 'supervisor'), both), { status: 404, body: { code: 'not_found' } });
  t.match(await put(as('committee', 'nobody'), both), { status: 403, body: { code: 'forbidden' } }, 'it would hold the key');
  t.match(await put(as('shelter_a', 'worker'), both), { status: 403, body: { code: 'forbidden' } });
  t.match(await put(as('shelter_a', 'nobody'), both), { status: 400, body: { code: 'acting_caseworker_required' } });
  t.match(await put(as('shelter_a', 'supervisor', ['directory']), both), { status: 403, body: { code: 'insufficient_scope' } });
  t.match(await put(supervisor, [await exportJWK(pairs.ed.private_key)], {}), {
    status: 422,
    body: { errors: [{ pointer: '/keys/0/d' }] },
  });
  t.match(await put(supervisor, both, {}), { status: 428, body: { code: 'precondition_required' } });
  t.match(await put(supervisor, both, { 'if-match': '"2"' }), { status: 412, body: { code: 'precondition_failed' } });
  t.match(await put(supervisor, []), { status: 422, body: { code: 'unprocessable', detail: /ask for a secret first/ } });
  t.equal((await login(app, await sign({}, pairs.ec))).status, 401, 'nothing has changed');

  const changed = await put(supervisor, both);
  t.match(changed, {
    status: 200,
    headers: { etag: '"2"', 'audit-receipt': /^[0-9a-f]{64}$/ },
    body: { version: 2, id: client_id },
  });
  t.equal(changed.body.keys.length, 2);
  t.strictSame([(await login(app, await sign())).status, (await login(app, await sign({}, pairs.ec))).status], [200, 200]);
  ok(await put(supervisor, [pairs.ec.jwk], { 'if-match': '"2"' }));
  t.strictSame([(await login(app, await sign())).status, (await login(app, await sign({}, pairs.ec))).status], [401, 200]);
  const entries = await entriesFor(supervisor, 'action=client.set_keys&outcome=done');
  t.strictSame(entries[0]!.subjects[0]!.record, {
    subject_id: client_id,
    changed: ['keys'],
    thumbprints: [await calculateJwkThumbprint(pairs.ec.jwk)],
  });

  const secret = ok(await supervisor.post(`/v1/clients/${client_id}/rotate-secret`)).secret;
  const bySecret = async (id: string, client_secret: string) => {
    const authorization = `Basic ${Buffer.from(`${id}:${client_secret}`).toString('base64')}`;
    const headers = { 'content-type': 'application/x-www-form-urlencoded', authorization };
    const payload = 'grant_type=client_credentials';
    return (await app.inject({ method: 'POST', url: '/oauth/token', remoteAddress: '203.0.113.1', headers, payload })).statusCode;
  };
  t.equal(await bySecret(client_id, secret), 200, 'a secret that was asked for serves beside the keys');
  ok(await put(supervisor, [pairs.ed.jwk], { 'if-match': '"4"' }));
  clock.advance(25 * HOUR);
  t.equal(await bySecret(client_id, secret), 200, 'and other keys do not end it');
  ok(await put(supervisor, [], { 'if-match': '"5"' }));
  t.strictSame([await bySecret(client_id, secret), (await login(app, await sign())).status], [200, 401]);

  const old = ok(await supervisor.post(path, { scopes: ['referrals'] }));
  ok(await supervisor.put(`/v1/clients/${old.id}/keys`, { keys: [pairs.ed.jwk] }, { 'if-match': '*' }));
  t.equal(await bySecret(old.id, old.secret), 200, 'the first keys leave the secret for a day');
  clock.advance(24 * HOUR);
  t.equal(await bySecret(old.id, old.secret), 401);
  const as_old = { iss: old.id, sub: old.id };
  const before = await login(app, await sign(as_old));
  t.equal(before.status, 200);

  ok(await supervisor.post(`/v1/clients/${old.id}/revoke`));
  refused(t, await login(app, await sign(as_old)), 'revoked');
  const used = await app.inject({ url: '/v1/agencies', headers: { authorization: `Bearer ${before.body.access_token}` } });
  t.equal(used.statusCode, 401, 'on its next request');
  t.match(await supervisor.put(`/v1/clients/${old.id}/keys`, { keys: [pairs.ed.jwk] }, { 'if-match': '*' }), {
    status: 409,
    body: { code: 'wrong_state', state: 'revoked', allowed_actions: [] },
  });
  t.same(await lookAsOwner(services, 'select kid from client_keys where client_id = $1', [old.id]), []);
});

test('with keys from an administrator, a client of another agency waits for its supervisor', async t => {
  const { app, as, supervisor, path, sign } = await start(t);
  const admin = as('committee', 'nobody');
  const body = { scopes: ['referrals'], jwks: { keys: [pairs.ed.jwk] } };
  const made = await admin.post(path, body, { 'idempotency-key': 'one' });
  t.match(made, { status: 201, body: { status: 'disabled' } });
  const replayed = await admin.post(path, body, { 'idempotency-key': 'one' });
  t.match(
    replayed,
    { status: 201, body: { id: made.body.id }, headers: { 'idempotency-replayed': 'true' } },
    'no secret was shown',
  );
  const its = { iss: made.body.id, sub: made.body.id, jti: 'kept' };
  refused(t, await login(app, await sign(its)), 'disabled');
  t.match(await supervisor.post(`/v1/clients/${made.body.id}/enable`), { status: 200, body: { keys: [{ alg: 'EdDSA' }] } });
  t.equal((await login(app, await sign(its))).status, 200);
});

test('row-level security alone keeps keys to the agency, and used assertions to the service', async t => {
  const { app, services, sign, client_id } = await start(t);
  t.equal((await login(app, await sign())).status, 200);
  const { shelter_a, shelter_b, committee } = await demoActors(services);
  const REFUSED = { code: '42501' };
  const count = (actor: Actor, table: 'client_keys' | 'client_assertions') =>
    transact(services, actor, async tx => (await tx.selectFrom(table).select('client_id').execute()).length);
  const add = (actor: Actor) =>
    transact(services, actor, tx =>
      replaceKeys(tx, client_id, [{ kid: 'k', alg: 'EdDSA', thumbprint: 'k', jwk: {} }], new Date()),
    );
  const use = (actor: Actor) =>
    transact(services, actor, tx => insertAssertion(tx, { client_id, jti_hash: Buffer.of(1), expires_at: new Date() }));

  t.strictSame([await count(shelter_a, 'client_keys'), await count(shelter_b, 'client_keys')], [3, 0]);
  for (const actor of [shelter_a, shelter_b, committee]) {
    t.equal(await count(actor, 'client_assertions'), 0);
    await t.rejects(use(actor), REFUSED);
  }
  for (const actor of [shelter_b, systemActor('access'), systemActor('retention')]) await t.rejects(add(actor), REFUSED);
  t.equal(await count(shelter_a, 'client_keys'), 3);
  for (const actor of [shelter_b, systemActor('access'), systemActor('retention')]) {
    const give = (tx: Tx) => insertSecret(tx, client_id, { hash: 'x', tag: null }, new Date());
    await t.rejects(transact(services, actor, give), REFUSED, 'nor is it given a secret by anybody else');
  }
  const forget = (actor: Actor) => transact(services, actor, tx => tx.deleteFrom('client_assertions').executeTakeFirst());
  t.equal((await forget(systemActor('access'))).numDeletedRows, 0n, 'whoever uses one up cannot make it fresh again');
  t.equal(await count(systemActor('access'), 'client_assertions'), 1);
});
