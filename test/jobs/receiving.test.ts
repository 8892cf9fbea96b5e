import { createSecretKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { type Message, secretBytes, signWebhook } from '../../src/core/webhook-signature.ts';
import { newKeyPair, openSigner, type Sealed } from '../../src/webhooks/keys.ts';
import { type Program, run, temporaryDataDir } from '../support/process.ts';
import { asRelay, emit, notice, registerEndpoint, SECRET, startDelivery } from '../support/webhooks.ts';

/** The receivers that we hand out, against real deliveries: the one in README.md, and `npm run receiver`. */

const OTHER = `whsec_${Buffer.alloc(32, 8).toString('base64')}`;
const nowInSeconds = () => Math.floor(Date.now() / 1_000);
const bySecret = (message: Message, secret = SECRET) => signWebhook(message, [createSecretKey(secretBytes(secret))]);
const eventBody = (position: number, id: string) =>
  JSON.stringify({ type: 'referral.offered', data: { event_id: id, position, sequence: 1, urgency: 'urgent' } });

/** Sends by hand. @returns the status of the answer */
async function send(url: string, { id, timestamp, body }: Message, signature: string): Promise<number> {
  const headers = { 'webhook-id': id, 'webhook-timestamp': String(timestamp), 'webhook-signature': signature };
  return (await fetch(url, { method: 'POST', headers, body })).status;
}

/** What any receiver has to take, and what it has to refuse. @returns what was sent and taken, by id */
async function holdToSignatures(t: Test, url: string): Promise<Message> {
  const good = { id: 'evt_good', timestamp: nowInSeconds(), body: eventBody(7, 'evt_good') };
  t.equal(await send(url, good, bySecret(good)), 204);
  t.equal(await send(url, good, bySecret(good)), 204, 'again: delivery is at least once');
  t.equal(await send(url, good, `${bySecret(good, OTHER)} ${bySecret(good)}`), 204, 'one that verifies is enough');

  t.equal(await send(url, good, bySecret(good, OTHER)), 401, 'a wrong secret');
  t.equal(await send(url, { ...good, body: `${good.body} ` }, bySecret(good)), 401, 'an altered body');
  t.equal(await send(url, { ...good, id: 'evt_else' }, bySecret(good)), 401, 'another id');
  for (const seconds of [-360, 360]) {
    const stale = { ...good, timestamp: nowInSeconds() + seconds };
    t.equal(await send(url, stale, bySecret(stale)), 401, `a timestamp ${seconds} s off`);
  }
  for (const signature of ['', 'v1', 'v1,', 'v1a,AAAA', bySecret(good).replace('v1,', 'v1é'), bySecret(good).slice(0, -4)])
    t.equal(await send(url, good, signature), 401, `the signature ${JSON.stringify(signature)}`);
  t.equal((await fetch(url, { method: 'POST', body: '{}' })).status, 401, 'no signature at all');
  await breakOff(url);
  const after = { id: 'evt_after', timestamp: nowInSeconds(), body: eventBody(10, 'evt_after') };
  t.equal(await send(url, after, bySecret(after)), 204, 'none of which hurts it');
  return good;
}

/** A request whose sender goes away in the middle of it. */
async function breakOff(url: string): Promise<void> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.write('POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\nexpect: 100-continue\r\n\r\n');
  // It has begun to read.
  await new Promise(resolve => socket.once('data', resolve));
  await new Promise(resolve => socket.once('close', resolve).resetAndDestroy());
}

/** Registers an endpoint there, and has an event delivered. @returns the status that it was answered */
async function deliverTo(it: Awaited<ReturnType<typeof startDelivery>>, url: string): Promise<number | null> {
  it.clock.advance(Date.now() - it.clock.now().getTime());
  await registerEndpoint(it.services, it.health, url);
  await emit(it.services, it.helpline_a, notice([it.health.agency_id], { type: 'referral.offered' }));
  await it.run();
  return (await it.delivery()).last_status;
}

/** Says where the program listens, whatever it says itself. */
const SAYS_PORT = `data:text/javascript,${encodeURIComponent(
  `import { subscribe } from 'node:diagnostics_channel';
   subscribe('tracing:net.server.listen:asyncEnd', ({ server }) => console.log('listens on ' + server.address().port));`,
)}`;

test('the receiver in README.md', async t => {
  const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
  const [, section = ''] = readme.split('\n## Receiving webhooks\n');
  const [, code = ''] = /^```js\n([\s\S]*?)^```$/m.exec(section) ?? [];
  t.ok(code.trimEnd().split('\n').length <= 20, 'is short');
  t.same(
    [...code.matchAll(/from '(?!node:)(.*)'/g)].map(([, name]) => name),
    [],
    'and needs nothing but Node.js',
  );
  const file = join(await temporaryDataDir(t), 'receiver.mjs');
  await writeFile(file, code);
  const start = async (secret: string): Promise<{ program: Program; url: string }> => {
    const program = run(t, ['--import', SAYS_PORT, file], { WEBHOOK_SECRET: secret, PORT: '0' });
    const [, port] = await program.said(/listens on (\d+)/);
    return { program, url: `http://127.0.0.1:${port}/` };
  };

  const it = await startDelivery(t);
  const { program, url } = await start(SECRET);
  t.equal(await deliverTo(it, url), 204);
  await program.said(/^1 referral\.offered/m);

  await holdToSignatures(t, url);
  await program.said(/^10 referral\.offered/m);
  t.equal(program.output.stdout.match(/^7 referral\.offered/gm)?.length, 1, 'the same event is worked on once');
  t.equal(program.output.stderr, '');

  const wrong = await startDelivery(t);
  t.equal(await deliverTo(wrong, (await start(OTHER)).url), 401);
  t.match(await wrong.delivery(), { state: 'pending', attempts: 1 }, 'and is attempted again');
});

test('npm run receiver', async t => {
  const start = async (args: string[], env: Record<string, string> = {}) => {
    const program = run(t, ['scripts/receiver.ts', '--port', '0', ...args], env);
    const [, url] = await program.said(/^receiver at (http:\/\/127\.0\.0\.1:\d+\/)$/m);
    return { program, url: url! };
  };

  await t.test('prints what arrives, and why something is refused', async t => {
    const it = await startDelivery(t);
    const { program, url } = await start([], { WEBHOOK_SECRET: SECRET });
    t.equal(await deliverTo(it, url), 204);
    await program.said(/^verified {2}referral\.offered {2}position 1 {2}sequence 1$/m);
    await holdToSignatures(t, url);
    await program.said(/evt_after|position 10/);
    const late = { id: 'evt_late', timestamp: nowInSeconds(), body: eventBody(8, 'evt_late') };
    await send(url, late, bySecret(late));
    await program.said(/position 8/);
    for (const body of ['hello', 'null', '{}', '{"type":"referral.offered","data":{"position":1e300}}']) {
      const odd = { id: 'evt_odd', timestamp: nowInSeconds(), body };
      t.equal(await send(url, odd, bySecret(odd)), 204, body);
    }
    await program.said(/(verified {2}but it is no event\n){4}/);
    t.same(program.output.stdout.trimEnd().split('\n').slice(1).map(withoutNumbers), [
      'verified  referral.offered  position 1  sequence 1',
      'verified  referral.offered  urgent  position 7  sequence 1  missing: 2 to 6',
      'verified  referral.offered  urgent  position 7  sequence 1  again',
      'verified  referral.offered  urgent  position 7  sequence 1  again',
      ...Array(3).fill('refused   no signature is by the keys given, for this body'),
      'refused   its timestamp is N s off',
      'refused   its timestamp is N s off',
      'refused   it is no webhook: a header is missing',
      ...Array(5).fill('refused   no signature is by the keys given, for this body'),
      'refused   it is no webhook: a header is missing',
      'verified  referral.offered  urgent  position 10  sequence 1  missing: 8 to 9',
      'verified  referral.offered  urgent  position 8  sequence 1  was missing',
      ...Array(4).fill('verified  but it is no event'),
    ]);
    t.equal(program.output.stderr, '');
  });

  await t.test('verifies with a public key alone', async t => {
    const it = await startDelivery(t);
    const { services, health } = it;
    const { endpoint, public_key } = await withKeyPair(it);
    const { program, url } = await start(['--public-key', public_key]);
    const message = { id: 'evt_1', timestamp: nowInSeconds(), body: eventBody(1, 'evt_1') };
    const signature = openSigner(services.vault, endpoint)(message);
    t.match(signature, /^v1,\S+ v1a,\S+$/);
    t.equal(await send(url, message, signature), 204);
    t.equal(await send(url, message, signature.split(' ')[0]!), 401);
    t.equal(await send(url, { ...message, body: '{}' }, signature), 401);
    await asRelay(services, tx =>
      tx.updateTable('webhook_endpoints').set({ url }).where('agency_id', '=', health.agency_id).execute(),
    );
    await emit(services, it.helpline_a, notice([health.agency_id], { type: 'referral.offered' }));
    await it.run();
    t.equal((await it.delivery()).last_status, 204);
    t.match(program.output.stdout, /^verified /m);
  });

  await t.test('says what it needs', async t => {
    for (const [args, said] of [
      [[], /^usage: /],
      [['--secret', 'whsec_x'], /a webhook secret is whsec_<base64>/],
      [['--public-key', SECRET], /a public key is whpk_<base64 of 32 bytes>/],
      [['--colour', 'red'], /Unknown option/],
    ] as const) {
      const program = run(t, ['scripts/receiver.ts', ...args], {});
      t.equal(await program.ended, 1);
      t.match(program.output.stderr, said);
      t.notMatch(program.output.stderr, /\n\s+at /);
    }
  });
});

const withoutNumbers = (line: string) => line.replace(/-?\d+ s off/, 'N s off');

/** An endpoint of `health` that signs with both kinds of keys. */
async function withKeyPair({ services, health, clock }: Awaited<ReturnType<typeof startDelivery>>) {
  clock.advance(Date.now() - clock.now().getTime());
  const id = await registerEndpoint(services, health, 'http://127.0.0.1:9/');
  const pair = newKeyPair(services.vault, id);
  await asRelay(services, tx =>
    tx
      .updateTable('webhook_endpoints')
      .set({ ...pair, signature: ['v1', 'v1a'] })
      .where('id', '=', id)
      .execute(),
  );
  const endpoint: Sealed = await asRelay(services, tx =>
    tx.selectFrom('webhook_endpoints').selectAll().where('id', '=', id).executeTakeFirstOrThrow(),
  );
  return { endpoint, public_key: pair.public_key! };
}
