import { X509Certificate } from 'node:crypto';
import { createServer, type ServerOptions } from 'node:https';
import type { TLSSocket } from 'node:tls';
import { test } from 'tap';
import { deliverDue } from '../../src/webhooks/turn.ts';
import { startTestApp } from '../support/app.ts';
import { type Identity, makeAuthority, makeIdentity } from '../support/certificates.ts';
import { listen, openOutbound } from '../support/listen.ts';
import { mechanism } from '../support/mechanism.ts';
import { lookAsOwner } from '../support/trail.ts';
import { demoActors, emit, notice, relayAll } from '../support/webhooks.ts';

const PATH = '/v1/webhook-endpoints';
const DAY = 86_400_000;

test('TLS settings of endpoints', async t => {
  const lines: string[] = [];
  const it = await startTestApp(t, { LOG_LEVEL: 'trace' }, { write: (line: string) => void lines.push(line) });
  const { services, clock } = it;
  // Certificates are made by the machine's clock, and TLS looks at no other.
  clock.advance(Date.now() - services.now().getTime());
  const { as } = await mechanism(it);
  const actors = await demoActors(services);
  const health = as('health', 'supervisor');
  const outbound = openOutbound(t);
  const authority = makeAuthority();
  const client = makeIdentity({ name: 'aman', issuer: authority, for: 'clients' });
  const tls = { ca: authority.certificate, client_certificate: client.certificate, client_key: client.key };
  const summaryOf = ({ certificate }: Identity) => {
    const { fingerprint256, validToDate } = new X509Certificate(certificate);
    return { fingerprint: fingerprint256, expires_at: validToDate.toISOString() };
  };
  const create = (body: object = {}) => health.post(PATH, { url: 'https://hooks.example.org/aman', event_types: ['*'], ...body });
  const remove = (id: string) => health.del(`${PATH}/${id}`);
  const patch = (id: string, version: number, body: object) =>
    health.patch(`${PATH}/${id}`, body, { 'if-match': `"${version}"` });
  /** A receiver of an authority's, and what it saw. */
  const serve = async (t: Parameters<typeof listen>[0], { certificate, key }: Identity, options: ServerOptions = {}) => {
    const shown: (string | undefined)[] = [];
    const server = createServer({ cert: certificate, key, ...options }, (request, response) => {
      shown.push((request.socket as TLSSocket).getPeerX509Certificate()?.fingerprint256);
      response.writeHead(204).end();
    });
    server.on('tlsClientError', () => {});
    const { port } = await listen(t, server);
    return { url: `https://localhost:${port}/hook`, shown };
  };
  const deliver = async () => {
    await emit(services, actors.helpline_a, notice([health.agency.id]));
    await relayAll(services);
    await deliverDue(services, outbound);
  };
  /** The last attempt at an endpoint, as its agency reads it. */
  const lastAttempt = async (id: string) => {
    const { body } = await health.get(`${PATH}/${id}/deliveries`);
    return body.data[0].attempts.at(-1);
  };

  await t.test('are taken, and shown by fingerprints and end dates alone', async t => {
    const made = await create({ tls });
    t.equal(made.status, 201);
    const shown = { ca: [summaryOf(authority)], client_certificate: summaryOf(client) };
    t.same(made.body.tls, shown);
    const read = await health.get(`${PATH}/${made.body.id}`);
    t.same(read.body.tls, shown);
    const listed = await health.get(PATH);
    const patched = await patch(made.body.id, 1, { description: 'x' });
    t.same(patched.body.tls, shown, 'left alone by a change of something else');
    t.notMatch(JSON.stringify([made, read, listed, patched]), /BEGIN|MII|PRIVATE/);
    const rows = await lookAsOwner(services, 'select e::text, tls from webhook_endpoints e where id = $1', [made.body.id]);
    t.notMatch(`${rows[0]!.e}${rows[0]!.tls}`, /BEGIN|MII|PRIVATE/, 'sealed at rest');
    t.equal((await create()).body.tls, null);
    for (const given of [null, {}, { ca: null }]) t.equal((await create({ tls: given })).body.tls, null);
  });

  for (const { id } of (await health.get(PATH)).body.data) await remove(id);

  await t.test('are refused where they are of no use, by what is wrong', async t => {
    const over = { days: [-9, -2] as [number, number] };
    const expired = makeIdentity({ name: 'aman', issuer: authority, ...over });
    const leaf = makeIdentity({ hosts: ['x.example'], issuer: authority });
    const weak = makeIdentity({ name: 'weak', rsa_bits: 512 });
    const slow = makeIdentity({ name: 'slow', rsa_bits: 4_608 });
    const many = Array.from({ length: 6 }, () => authority.certificate).join('');
    for (const [what, given, pointer, detail] of [
      ['no PEM', { ca: 'x' }, '/tls/ca', /certificates in PEM/],
      ['empty', { ca: '' }, '/tls/ca', /./],
      ['too long', { ca: 'x'.repeat(20_001) }, '/tls/ca', /./],
      ['more than certificates', { ca: `# a comment\n${authority.certificate}` }, '/tls/ca', /nothing else/],
      ['a key in its place', { ca: client.key }, '/tls/ca', /certificates in PEM/],
      ['broken', { ca: authority.certificate.replace(/\n.{64}\n/, '\n') }, '/tls/ca', /certificates in PEM/],
      ['too many', { ca: many }, '/tls/ca', /one to 5/],
      ['no authority', { ca: leaf.certificate }, '/tls/ca', /of authorities/],
      ['one of two no authority', { ca: authority.certificate + leaf.certificate }, '/tls/ca', /of authorities/],
      ['an authority that is over', { ca: makeAuthority('over', over).certificate }, '/tls/ca', /expired/],
      ['no key', { client_certificate: client.certificate }, '/tls/client_key', /is missing/],
      ['no certificate', { client_key: client.key }, '/tls/client_key', /needs the certificate/],
      ["another's key", { ...tls, client_key: leaf.key }, '/tls/client_key', /does not belong/],
      ['no key but nonsense', { ...tls, client_key: 'x' }, '/tls/client_key', /private key in PEM/],
      ['a certificate as key', { ...tls, client_key: client.certificate }, '/tls/client_key', /private key in PEM/],
      ['two keys', { ...tls, client_key: client.key + client.key }, '/tls/client_key', /nothing else/],
      ['a key under a passphrase', { ...tls, client_key: encrypted(client) }, '/tls/client_key', /without a passphrase/],
      ['expired', { client_certificate: expired.certificate, client_key: expired.key }, '/tls/client_certificate', /expired/],
      ['for servers', forServers(authority), '/tls/client_certificate', /authentication of clients/],
      ['slow', { client_certificate: slow.certificate, client_key: slow.key }, '/tls/client_key', /longer than 4096 bits/],
      ['weak', { client_certificate: weak.certificate, client_key: weak.key }, '/tls/client_certificate', /too weak/],
      ['unknown', { passphrase: 'x' }, '/tls/passphrase', /not known/],
    ] as const) {
      const refused = await create({ tls: given });
      t.match(refused, { status: 400, body: { code: 'invalid_request' } }, what);
      const { errors } = refused.body;
      t.ok(
        errors.some((error: { pointer: string; detail: string }) => error.pointer === pointer && detail.test(error.detail)),
        `${what}: ${JSON.stringify(errors)}`,
      );
      t.notMatch(JSON.stringify(refused.body), /BEGIN|MII/);
    }
    const plain = await create({ url: 'http://localhost:9/', tls: { ca: authority.certificate } });
    t.match(plain, { status: 400, body: { errors: [{ pointer: '/tls', detail: /https/ }] } });
    t.same((await health.get(PATH)).body.data, []);
  });

  await t.test('are changed member by member', async t => {
    const made = await create({ tls: { ca: authority.certificate } });
    const { id } = made.body;
    const with_client = await patch(id, 1, { tls: { client_certificate: client.certificate, client_key: client.key } });
    t.same(with_client.body.tls, { ca: [summaryOf(authority)], client_certificate: summaryOf(client) });
    const [entry] = await lookAsOwner(
      services,
      `select meta from audit_records where action = 'webhook_endpoint.update' order by number desc limit 1`,
    );
    t.notMatch(JSON.stringify(entry), /BEGIN|MII/);

    const renewed = makeIdentity({ name: 'renewed', issuer: authority });
    t.match(await patch(id, 2, { tls: { client_certificate: renewed.certificate } }), {
      status: 400,
      body: { errors: [{ pointer: '/tls/client_key' }] },
    });
    t.match(await patch(id, 2, { tls: { client_key: null } }), {
      status: 400,
      body: { errors: [{ pointer: '/tls/client_key' }] },
    });
    t.match(await patch(id, 2, { url: 'http://localhost:9/' }), { status: 400, body: { errors: [{ pointer: '/tls' }] } });
    t.match(await patch(id, 1, { tls: null }), { status: 412 });
    t.same((await health.get(`${PATH}/${id}`)).body.tls, with_client.body.tls, 'as it was');

    const without_ca = await patch(id, 2, { tls: { ca: null } });
    t.same(without_ca.body.tls, { ca: [], client_certificate: summaryOf(client) });
    t.equal((await patch(id, 3, { tls: null, url: 'http://localhost:9/' })).body.tls, null);
    await patch(id, 4, { tls, url: 'https://hooks.example.org/' });
    await remove(id);
    t.same(
      await lookAsOwner(services, 'select tls, tls_summary from webhook_endpoints where id = $1', [id]),
      [{ tls: null, tls_summary: null }],
      'a deleted endpoint keeps no key',
    );
  });

  await t.test('rule the deliveries, at each attempt as they are then', async t => {
    const receiver = await serve(t, makeIdentity({ hosts: ['localhost'], issuer: authority }), {
      requestCert: true,
      ca: authority.certificate,
    });
    const { id } = (await create({ url: receiver.url })).body;
    await deliver();
    t.match(await lastAttempt(id), { attempt: 1, status: null, error: 'certificate_untrusted' });
    await patch(id, 1, { tls: { ca: authority.certificate } });
    clock.advance(10_000);
    await deliverDue(services, outbound);
    t.match(await lastAttempt(id), { attempt: 2, status: null, error: 'client_certificate_refused' });
    await patch(id, 2, { tls });
    clock.advance(60_000);
    await deliverDue(services, outbound);
    t.match(await lastAttempt(id), { attempt: 3, status: 204, error: null });
    t.strictSame(receiver.shown, [new X509Certificate(client.certificate).fingerprint256]);
    const { body } = await health.get(`${PATH}/${id}`);
    t.equal(body.failing_since, null);
    await remove(id);
  });

  await t.test('what is wrong with a certificate stands in the log of deliveries', async t => {
    for (const [error, wanted, options] of [
      ['certificate_expired', { days: [-9, -1] }, {}],
      ['certificate_not_yet_valid', { days: [1, 9] }, {}],
      ['certificate_untrusted', { issuer: makeAuthority('another') }, {}],
      ['certificate_wrong_host', { hosts: ['other.example'] }, {}],
      ['tls_failed', {}, { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }],
    ] as const) {
      const identity = makeIdentity({
        issuer: authority,
        ...wanted,
        hosts: [...('hosts' in wanted ? wanted.hosts : ['localhost'])],
        days: 'days' in wanted ? [...wanted.days] : [-1, 1],
      });
      const receiver = await serve(t, identity, options);
      const { id } = (await create({ url: receiver.url, tls: { ca: authority.certificate } })).body;
      await deliver();
      t.match(await lastAttempt(id), { status: null, error });
      t.strictSame(receiver.shown, []);
      await remove(id);
    }
  });

  await t.test(
    'settings that have run out are refused when they are changed, and stand in the way of no other change',
    async t => {
      const { id } = (await create({ tls: { ca: authority.certificate } })).body;
      clock.advance(40 * DAY);
      t.match((await patch(id, 1, { tls: { client_certificate: client.certificate, client_key: client.key } })).body.errors, [
        { pointer: '/tls/ca', detail: 'has expired' },
        { pointer: '/tls/client_certificate', detail: 'has expired' },
      ]);
      t.equal((await patch(id, 1, { description: 'changed' })).status, 200);
      await remove(id);
    },
  );

  t.notMatch(lines.join(''), /BEGIN|PRIVATE/, 'nothing of it is logged');
  t.ok(lines.length > 50);
});

const encrypted = ({ private_key }: Identity): string =>
  private_key.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' }).toString();

function forServers(issuer: Identity) {
  const { certificate, key } = makeIdentity({ name: 'aman', issuer, for: 'servers' });
  return { client_certificate: certificate, client_key: key };
}
