import { generateKeyPairSync } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { openSequencer, watchLog } from '../../src/audit/jobs.ts';
import { openLogKey } from '../../src/audit/log-key.ts';
import { record } from '../../src/audit/record.ts';
import { initWitness, readWitnessKey, startWitness } from '../../src/audit/witness.ts';
import { systemActor } from '../../src/core/access.ts';
import { openCheckpoint } from '../../src/core/checkpoint.ts';
import {
  cosign as cosignatureOf,
  formatVerifierKey,
  parseNote,
  parseVerifierKey,
  rawPublicKey,
  TYPE_COSIGNATURE,
} from '../../src/core/signed-note.ts';
import { readConfig } from '../../src/platform/config.ts';
import { transact } from '../../src/platform/database.ts';
import { openTestServices } from '../support/app.ts';
import { temporaryDataDir } from '../support/process.ts';
import { lookAsOwner } from '../support/trail.ts';

/** The service asks witnesses to cosign what it published, and goes on whatever they do. */

const ORIGIN = 'log.example/test';
const NAMES = ['court.example/1', 'council.example/1', 'ombudsman.example/1'] as const;

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

/** Somebody who listens where a witness should. @returns its URL */
async function impostor(t: Test, handler: Handler): Promise<string> {
  const server = createServer(handler);
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const bodyOf = async (request: IncomingMessage): Promise<string> => {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
};

/** A log with witnesses of its own, of which each can be replaced by an impostor at its address. */
async function logWith(t: Test, { impostors = {}, quorum }: { impostors?: Record<number, string>; quorum?: number } = {}) {
  const dir = await temporaryDataDir(t);
  const key_path = join(dir, 'log-key.pem');
  const { verifier_key } = openLogKey(key_path, ORIGIN, { create: true });
  const witnesses = await Promise.all(
    NAMES.map(async (name, i) => {
      const paths = { key_path: join(dir, `witness-${i}.pem`), state_path: join(dir, `witness-${i}.json`) };
      const line = initWitness({ ...paths, name });
      const start = (port: number) =>
        startWitness({
          key: readWitnessKey(paths.key_path),
          state_path: paths.state_path,
          log_keys: [parseVerifierKey(verifier_key)],
          host: '127.0.0.1',
          port,
          now: () => services.now(),
          log: () => {},
        });
      let running = await start(0);
      const port = Number(new URL(running.url).port);
      t.teardown(() => running.close());
      const again = async () => {
        running = await start(port);
      };
      return { key: parseVerifierKey(line), line, paths, url: running.url, stop: () => running.close(), again };
    }),
  );
  const { services, clock } = await openTestServices(t, {
    LOG_KEY_PATH: key_path,
    LOG_ORIGIN: ORIGIN,
    WITNESSES: witnesses.map(({ line, url }, i) => `${line}@${impostors[i] ?? url}`).join(', '),
    ...(quorum ? { WITNESS_QUORUM: String(quorum) } : {}),
  });
  const { sequencer, cosign, close } = await openSequencer(services, services.config.database_url!);
  t.teardown(close);
  /** Some acts, and what comes of them. */
  const act = async (count = 1) => {
    await transact(services, systemActor('setup'), async tx => {
      for (let i = 0; i < count; i += 1)
        await record(services, tx, systemActor('setup'), { action: 'test.act', resource_type: 'test' });
    });
    while (await sequencer.step());
  };
  const head = async () => {
    const [row] = await lookAsOwner<{ published_size: number; witnessed_size: number | null; witnessed: string | null }>(
      services,
      'select published_size::int, witnessed_size::int, witnessed from audit_head',
    );
    return row!;
  };
  /** Who cosigned what is witnessed, and when. */
  const cosignatures = async () => {
    const { witnessed } = await head();
    const log_key = parseVerifierKey(verifier_key);
    return openCheckpoint(witnessed!, { origin: ORIGIN, log_key, witnesses: witnesses.map(({ key }) => key) }).cosignatures;
  };
  return { services, clock, witnesses, act, cosign, head, cosignatures };
}

t.test('what was published is cosigned, at every size and again', async t => {
  const { services, clock, act, cosign, head, cosignatures } = await logWith(t);
  await cosign();
  t.equal(await head(), undefined, 'there is nothing yet');
  for (const count of [1, 300, 1]) {
    await act(count);
    await cosign();
    const { published_size, witnessed_size } = await head();
    t.equal(witnessed_size, published_size);
    t.strictSame(
      (await cosignatures()).map(it => it.name),
      [...NAMES],
    );
  }
  clock.advance(10_000);
  await cosign();
  const seconds = services.now().getTime() / 1_000;
  t.strictSame(
    (await cosignatures()).map(it => it.time),
    [seconds, seconds, seconds],
    'an idle log is looked at too',
  );
});

t.test('one that is down is not waited for, and catches up', async t => {
  const { act, cosign, head, cosignatures, witnesses } = await logWith(t);
  await act();
  await cosign();
  await witnesses[0]!.stop();
  await act(400);
  await cosign();
  t.strictSame(
    (await cosignatures()).map(it => it.name),
    NAMES.slice(1),
    'a quorum is enough',
  );
  const { witnessed_size } = await head();
  await witnesses[1]!.stop();
  await act();
  await cosign();
  t.equal((await head()).witnessed_size, witnessed_size, 'less than that is not');
  for (const witness of witnesses.slice(0, 2)) await witness.again();
  await cosign();
  t.equal((await cosignatures()).length, 3, 'from where each of them was');
  t.equal((await head()).witnessed_size, (await head()).published_size);
});

t.test('nobody is believed but a witness', async t => {
  let answer: Handler = (_, response) => response.end();
  const url = await impostor(t, (request, response) => answer(request, response));
  const { services, act, cosign, head, witnesses } = await logWith(t, { impostors: { 1: url }, quorum: 3 });
  const own = readWitnessKey(witnesses[1]!.paths.key_path);
  const other = generateKeyPairSync('ed25519').privateKey;
  const now = services.now().getTime() / 1_000;
  const by = (name: string, key = own, time = now, change = (text: string) => text): Handler => {
    return async (request, response) => {
      const { text } = parseNote((await bodyOf(request)).split('\n\n').slice(1).join('\n\n'));
      response.end(cosignatureOf(change(text), { name, key, time }));
    };
  };
  const says =
    (status: number, body = '', headers = {}): Handler =>
    (_, response) =>
      response.writeHead(status, headers).end(body);

  const lies: Record<string, Handler> = {
    'by another key': by(NAMES[1], other),
    'under the name of another witness': by(NAMES[0]),
    'of another checkpoint': by(NAMES[1], own, now, text => text.replace(/\n\d+\n/, '\n1\n')),
    'from yesterday': by(NAMES[1], own, now - 86_400),
    'from tomorrow': by(NAMES[1], own, now + 86_400),
    'no signature': says(200, 'yes\n'),
    nothing: says(200),
    redirected: says(307, '', { location: `${witnesses[1]!.url}/add-checkpoint` }),
    'of a longer log': says(409, '999999\n', { 'content-type': 'text/x.tlog.size' }),
    'of a size that is none': says(409, '-1\n', { 'content-type': 'text/x.tlog.size' }),
    'another root': says(409),
    'no proof': says(422),
    unknown: says(404),
    'an answer without an end': (_, response) => {
      const more = () => {
        while (!response.destroyed && response.write('— no end\n'.repeat(1_000)));
        response.once('drain', more);
      };
      more();
    },
    'no answer': () => {},
    'half an answer': (_, response) => void response.writeHead(200).write('— '),
    'a closed connection': request => request.socket.destroy(),
  };
  for (const [name, lie] of Object.entries(lies)) {
    answer = lie;
    await act();
    await cosign();
    t.equal((await head()).witnessed_size, null, `${name}: is no cosignature`);
  }
  answer = by(NAMES[1]);
  await cosign();
  t.equal((await head()).witnessed_size, (await head()).published_size, 'its own is');
});

t.test('a minute without a quorum is an alarm, once', async t => {
  const { services, clock, act, cosign, witnesses } = await logWith(t);
  const alarms = async () =>
    (await lookAsOwner(services, `select code from audit_records where action = 'audit.alarm'`)).map(row => row.code);
  await act();
  const look = watchLog(services);
  await cosign();
  clock.advance(55_000);
  await look();
  for (const witness of witnesses) await witness.stop();
  await act();
  await cosign();
  clock.advance(6_000);
  await act();
  await look();
  t.strictSame(await alarms(), ['not_witnessed']);
  await look();
  t.strictSame(await alarms(), ['not_witnessed']);
  await act();
  await watchLog(services)();
  t.strictSame(await alarms(), ['not_witnessed'], 'whoever begins to look waits as long');
  const told = await lookAsOwner(services, `select body ->> 'code' as code from events where type = 'audit.alarm'`);
  t.strictSame(told[0], { code: 'not_witnessed' });
});

t.test('settings', t => {
  const key = (type = TYPE_COSIGNATURE, name = 'w.example') =>
    formatVerifierKey({ name, type, public_key: rawPublicKey(generateKeyPairSync('ed25519').privateKey) });
  const one = key();
  const { log } = readConfig({ WITNESSES: ` ${one}@https://w.example/a/ ,${key()}@http://127.0.0.1:1,${key()}@http://w` });
  t.strictSame(log.witnesses[0], { verifier_key: one, url: 'https://w.example/a' });
  t.equal(log.quorum, 2, 'more than half');
  t.equal(readConfig({ WITNESSES: `${one}@http://w`, WITNESS_QUORUM: '1' }).log.quorum, 1);
  for (const [WITNESSES, message] of [
    ['https://w.example', /WITNESSES must be a list/],
    [`${one}`, /WITNESSES must be a list/],
    [`${key(0x01)}@https://w.example`, /WITNESSES must be a list/],
    [`${one}@ftp://w.example`, /must be http/],
    [`${one}@https://a:b@w.example`, /must be http/],
    [`${one}@https://w.example?a=b`, /must be http/],
    [`${one}@https://a.example,${one}@https://b.example`, /the same key twice/],
  ] as const)
    t.throws(() => readConfig({ WITNESSES }), { message }, WITNESSES);
  t.throws(() => readConfig({ WITNESSES: `${one}@http://w`, WITNESS_QUORUM: '2' }), /WITNESS_QUORUM/);
  t.throws(() => readConfig({ WITNESSES: `${one}@http://w`, WITNESS_QUORUM: '0' }), /WITNESS_QUORUM/);
  t.end();
});
