import { execFile } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type ServerOptions } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import type { TLSSocket } from 'node:tls';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import type { TlsSettings } from '../../src/platform/tls-settings.ts';
import { type Identity, makeAuthority, makeIdentity } from '../support/certificates.ts';
import { failure, listen, openOutbound } from '../support/listen.ts';

const POST = { headers: { 'content-type': 'application/json' }, body: '{}', timeout_ms: 5_000 };

const AUTHORITY = makeAuthority();
const HOSTS = ['localhost', '127.0.0.1'];
const GOOD = makeIdentity({ hosts: HOSTS, issuer: AUTHORITY });
const fingerprintOf = ({ certificate }: Identity) => new X509Certificate(certificate).fingerprint256;

interface Seen {
  /** Of the certificate that the service showed; undefined: none. */
  client: string | undefined;
  resumed: boolean;
}

/** A receiver that notes who came. */
async function serve(t: Test, { certificate, key }: Identity, options: ServerOptions = {}) {
  const seen: Seen[] = [];
  const server = createServer({ cert: certificate, key, keepAliveTimeout: 600_000, ...options }, (request, response) => {
    const socket = request.socket as TLSSocket;
    seen.push({ client: socket.getPeerX509Certificate()?.fingerprint256, resumed: socket.isSessionReused() });
    response.end();
  });
  server.on('tlsClientError', () => {});
  const listening = await listen(t, server);
  return { ...listening, seen, url: `https://localhost:${listening.port}/` };
}

const as = (id: string, tls: TlsSettings | null) => ({ ...POST, receiver: { id, tls } });

t.test('each certificate that is not good is refused, and for what it is', async t => {
  const { certificate: ca } = AUTHORITY;
  const intermediate = makeAuthority('intermediate', { issuer: AUTHORITY });
  const over = makeAuthority('over', { days: [-9, -2] });
  const no_authority = makeIdentity({ name: 'no authority', issuer: AUTHORITY });
  const rogue = makeIdentity({ hosts: HOSTS, issuer: no_authority });
  const cases: [what: string, Identity, TlsSettings | null, reason: string, ServerOptions?][] = [
    ['over', makeIdentity({ hosts: HOSTS, issuer: AUTHORITY, days: [-9, -1] }), { ca }, 'certificate_expired'],
    ['to come', makeIdentity({ hosts: HOSTS, issuer: AUTHORITY, days: [1, 9] }), { ca }, 'certificate_not_yet_valid'],
    [
      'of an authority that is over',
      makeIdentity({ hosts: HOSTS, issuer: over }),
      { ca: over.certificate },
      'certificate_expired',
    ],
    ['its own', makeIdentity({ hosts: HOSTS }), null, 'certificate_untrusted'],
    ['its own, where another is pinned', makeIdentity({ hosts: HOSTS }), { ca }, 'certificate_untrusted'],
    ['of an authority that nobody knows', GOOD, null, 'certificate_untrusted'],
    ['of another authority', GOOD, { ca: makeAuthority().certificate }, 'certificate_untrusted'],
    [
      'of one that may issue none',
      rogue,
      { ca },
      'certificate_untrusted',
      { cert: rogue.certificate + no_authority.certificate },
    ],
    ['without the one between', makeIdentity({ hosts: HOSTS, issuer: intermediate }), { ca }, 'certificate_untrusted'],
    ['for clients', makeIdentity({ hosts: HOSTS, issuer: AUTHORITY, for: 'clients' }), { ca }, 'certificate_untrusted'],
    ['for another host', makeIdentity({ hosts: ['other.example'], issuer: AUTHORITY }), { ca }, 'certificate_wrong_host'],
    ['for no host', makeIdentity({ name: 'x', issuer: AUTHORITY }), { ca }, 'certificate_wrong_host'],
    [
      'good, over TLS 1.1',
      GOOD,
      { ca },
      'tls_failed',
      { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' },
    ],
    ['good, without a cipher in common', GOOD, { ca }, 'tls_failed', { ciphers: 'PSK', maxVersion: 'TLSv1.2' }],
    [
      'good, with a group of its own for the exchange of keys',
      makeIdentity({ hosts: HOSTS, issuer: AUTHORITY, rsa_bits: 2_048 }),
      { ca },
      'tls_failed',
      { ciphers: 'DHE-RSA-AES128-GCM-SHA256', dhparam: 'auto', maxVersion: 'TLSv1.2' },
    ],
    ['good, for a client that shows who it is', GOOD, { ca }, 'client_certificate_refused', { requestCert: true, ca }],
  ];
  const out = openOutbound(t);
  for (const [what, identity, tls, reason, options] of cases) {
    const { url, seen } = await serve(t, identity, options);
    t.equal(await failure(out.post(url, as(what, tls))), reason, what);
    t.strictSame(seen, [], 'nothing was sent');
  }
});

t.test('good certificates', async t => {
  const intermediate = makeAuthority('intermediate', { issuer: AUTHORITY });
  const below = makeIdentity({ hosts: HOSTS, issuer: intermediate });
  const chain = { cert: below.certificate + intermediate.certificate };
  const out = openOutbound(t);
  for (const [what, identity, pinned, options] of [
    ['of the pinned authority', GOOD, AUTHORITY.certificate, {}],
    ['of one of two', GOOD, makeAuthority('another').certificate + AUTHORITY.certificate, {}],
    ['of one below the pinned authority', below, AUTHORITY.certificate, chain],
    ['of a pinned authority that is below another', below, intermediate.certificate, {}],
  ] as const) {
    const { url, port } = await serve(t, identity, options);
    t.match(await out.post(url, as(what, { ca: pinned })), { status: 200 }, what);
    t.match(await out.post(`https://127.0.0.1:${port}/`, as(what, { ca: pinned })), { status: 200 }, `${what}, by address`);
  }
});

t.test('nothing in the environment makes TLS trust more, or sends posts elsewhere', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'aman-test-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const extra = makeAuthority('extra');
  writeFileSync(join(folder, 'extra.pem'), extra.certificate);
  const own = await serve(t, makeIdentity({ hosts: HOSTS }));
  const of_extra = await serve(t, makeIdentity({ hosts: HOSTS, issuer: extra }));
  const old = await serve(t, GOOD, { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' });
  const good = await serve(t, GOOD);
  const posts = [
    [own.url, null, 'certificate_untrusted'],
    [own.url, AUTHORITY.certificate, 'certificate_untrusted'],
    [of_extra.url, AUTHORITY.certificate, 'certificate_untrusted'],
    [old.url, AUTHORITY.certificate, 'tls_failed'],
    [good.url, AUTHORITY.certificate, 200],
  ];
  const script = `
    import { createOutbound } from ${JSON.stringify(new URL('../../src/platform/outbound.ts', import.meta.url).href)};
    const outbound = createOutbound({ production: false, ports: [] });
    const results = [];
    for (const [url, ca] of JSON.parse(process.argv[1])) {
      const receiver = { id: 'whe_1', tls: ca && { ca } };
      results.push(await outbound.post(url, { headers: {}, body: '{}', receiver }).then(it => it.status, error => error.reason));
    }
    console.log(JSON.stringify(results));
    await outbound.close();`;
  const nowhere = 'http://127.0.0.1:9';
  const env = {
    NODE_TLS_REJECT_UNAUTHORIZED: '0',
    NODE_OPTIONS: '--tls-min-v1.0 --tls-cipher-list=DEFAULT@SECLEVEL=0 --no-warnings',
    NODE_EXTRA_CA_CERTS: join(folder, 'extra.pem'),
    NODE_USE_ENV_PROXY: '1',
    HTTP_PROXY: nowhere,
    HTTPS_PROXY: nowhere,
    https_proxy: nowhere,
    ALL_PROXY: nowhere,
  };
  const arguments_ = ['--input-type=module', '-e', script, JSON.stringify(posts)];
  const { stdout } = await promisify(execFile)(process.execPath, arguments_, { env });
  t.strictSame(
    JSON.parse(stdout),
    posts.map(([, , expected]) => expected),
  );
});

t.test('no receiver gets the client certificate, the trust, the connection or the session of another', async t => {
  const { url, seen, connections } = await serve(t, GOOD, { requestCert: true, rejectUnauthorized: false });
  const clients = [1, 2, 3].map(n => makeIdentity({ name: `client ${n}`, issuer: AUTHORITY, for: 'clients' }));
  const settings = clients.map(({ certificate, key }) => ({
    ca: AUTHORITY.certificate,
    client_certificate: certificate,
    client_key: key,
  }));
  const out = openOutbound(t);
  for (let round = 0; round < 3; round += 1) {
    for (const [n, tls] of settings.entries()) {
      await setImmediate();
      t.match(await out.post(url, as(`whe_${n}`, tls)), { status: 200 });
      t.match(await out.post(url, as('anonymous', { ca: AUTHORITY.certificate })), { status: 200 });
    }
    // The same authority, another receiver; and whoever has no settings trusts it as little as before.
    t.match(await failure(out.post(url, as('elsewhere', { ca: makeAuthority().certificate }))), 'certificate_untrusted');
    t.equal(await failure(out.post(url, as('plain', null))), 'certificate_untrusted');
    t.equal(await failure(out.post(url, POST)), 'certificate_untrusted');
  }
  const order = clients.flatMap(client => [fingerprintOf(client), undefined]);
  t.strictSame(
    seen.map(({ client }) => client),
    [...order, ...order, ...order],
  );
  t.ok(seen.every(({ resumed }) => !resumed));
  t.ok(connections() < seen.length + 9, 'connections are used again, by their own receiver');

  await Promise.all(Array.from({ length: 30 }, (_, i) => out.post(url, as(`whe_${i % 3}`, settings[i % 3]!))));
  const counted = Map.groupBy(seen.slice(18), ({ client }) => client);
  t.strictSame(
    [...counted].map(([client, posts]) => [client, posts.length]).sort(),
    clients.map(client => [fingerprintOf(client), 10]).sort(),
  );
});

t.test('changed settings are used at once, and what was open under the old ones is closed', async t => {
  const { url, seen, sockets } = await serve(t, GOOD, { requestCert: true, rejectUnauthorized: false });
  const [first, second] = [1, 2].map(n => makeIdentity({ name: `client ${n}`, issuer: AUTHORITY, for: 'clients' })) as [
    Identity,
    Identity,
  ];
  const shows = ({ certificate, key }: Identity) => ({
    ca: AUTHORITY.certificate,
    client_certificate: certificate,
    client_key: key,
  });
  const closed = (n: number) => new Promise(resolve => sockets[n]!.once('close', resolve));
  const out = openOutbound(t);
  await out.post(url, as('whe_1', shows(first)));
  const before = closed(0);
  await out.post(url, as('whe_1', shows(second)));
  await before;
  t.strictSame(
    seen.map(({ client }) => client),
    [first, second].map(fingerprintOf),
  );
  const last = closed(1);
  t.equal(await failure(out.post(url, as('whe_1', null))), 'certificate_untrusted', 'taken away');
  await last;
  t.equal(seen.length, 2);
});

t.test('what is under way when settings change ends well', async t => {
  const held = Promise.withResolvers<void>();
  const arrived = Promise.withResolvers<void>();
  const server = createServer({ cert: GOOD.certificate, key: GOOD.key }, async (request, response) => {
    if (request.url === '/held') {
      arrived.resolve();
      await held.promise;
    }
    response.end();
  });
  const { port } = await listen(t, server);
  const out = openOutbound(t);
  const url = `https://localhost:${port}`;
  const pending = out.post(`${url}/held`, as('whe_1', { ca: AUTHORITY.certificate }));
  await arrived.promise;
  t.match(await out.post(url, as('whe_1', { ca: AUTHORITY.certificate + makeAuthority().certificate })), { status: 200 });
  held.resolve();
  t.match(await pending, { status: 200 });
});

t.test('receivers whose connections are kept are bounded', async t => {
  const { url, sockets } = await serve(t, GOOD);
  const out = openOutbound(t);
  const tls = { ca: AUTHORITY.certificate };
  for (let n = 0; n < 258; n += 1) await out.post(url, as(`whe_${n}`, tls));
  const oldest = sockets.slice(0, 2);
  await Promise.all(oldest.map(socket => socket.destroyed || new Promise(resolve => socket.once('close', resolve))));
  t.equal(sockets.filter(socket => !socket.destroyed).length, 256);
});
