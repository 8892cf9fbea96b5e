import { createPublicKey, generateKeyPairSync, type KeyObject, randomBytes, verify } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { initWitness, readWitnessKey, startWitness, type WitnessLine } from '../../src/audit/witness.ts';
import { leafHash } from '../../src/core/canonical.ts';
import { formatCheckpoint, openCheckpoint } from '../../src/core/checkpoint.ts';
import { appendLeaves, consistencyProof, type Edge, EMPTY_ROOT, hashInTile, nodeHash, tileOf } from '../../src/core/merkle.ts';
import {
  cosign,
  formatVerifierKey,
  parseNote,
  parseVerifierKey,
  rawPublicKey,
  signNote,
  TYPE_COSIGNATURE,
  TYPE_ED25519,
  type VerifierKey,
} from '../../src/core/signed-note.ts';
import { run } from '../support/process.ts';

const ORIGIN = 'log.example/trail';
const NAME = 'witness.example/w1';
const AT = 1_790_000_000;

const newKey = (): KeyObject => generateKeyPairSync('ed25519').privateKey;
const verifierText = (name: string, key: KeyObject, type = TYPE_ED25519) =>
  formatVerifierKey({ name, type, public_key: rawPublicKey(createPublicKey(key)) });
const verifierOf = (name: string, key: KeyObject): VerifierKey => parseVerifierKey(verifierText(name, key));

/** A log in memory. Another `seed` is another history under the same key. */
function logOf({ origin = ORIGIN, key = newKey(), seed = 'entry' } = {}) {
  let edge: Edge = new Map();
  let size = 0;
  const tiles = new Map<string, Buffer>();
  const roots = new Map([[0, EMPTY_ROOT]]);
  function grow(to: number): void {
    const leaves = Array.from({ length: to - size }, (_, i) => leafHash(Buffer.from(`${seed} ${size + i}`)));
    const grown = appendLeaves(edge, size, leaves);
    for (const { level, index, bytes } of grown.tiles) tiles.set(`${level}/${index}`, bytes);
    ({ edge, size } = grown);
    roots.set(size, grown.root);
  }
  const text = (size: number) => formatCheckpoint({ origin, size, root: roots.get(size)! });
  const checkpoint = (size: number) => signNote(text(size), { name: origin, key });
  const proof = (from: number, to: number) =>
    consistencyProof(from, to, async nodes =>
      nodes.map(node => {
        const { level, index } = tileOf(node);
        return hashInTile(node, tiles.get(`${level}/${index}`)!);
      }),
    );
  return {
    origin,
    key,
    verifier: verifierOf(origin, key),
    grow,
    text,
    checkpoint,
    proof,
    root: (size: number) => roots.get(size)!,
    /** What a log sends. */
    request: async (from: number, to: number) => bodyOf(from, await proof(from, to), checkpoint(to)),
  };
}
type Log = ReturnType<typeof logOf>;

const bodyOf = (old: number | string, proof: readonly Buffer[], checkpoint: string): string =>
  `old ${old}\n${proof.map(it => `${it.toString('base64')}\n`).join('')}\n${checkpoint}`;

async function folderOf(t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'aman-witness-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** A witness of the logs, listening. `now` is in seconds. */
async function witnessOf(t: Test, log_keys: readonly VerifierKey[]) {
  const folder = await folderOf(t);
  const key_path = join(folder, 'key.pem');
  const state_path = join(folder, 'state.json');
  const verifier_key = initWitness({ key_path, state_path, name: NAME });
  const lines: WitnessLine[] = [];
  const clock = { seconds: AT };
  const start = async ({
    keys = log_keys,
    ...others
  }: {
    keys?: readonly VerifierKey[];
    name?: string;
    key?: KeyObject;
  } = {}) => {
    const witness = await startWitness({
      key: readWitnessKey(key_path),
      state_path,
      log_keys: keys,
      host: '127.0.0.1',
      port: 0,
      now: () => new Date(clock.seconds * 1_000 + 999),
      log: line => lines.push(line),
      ...others,
    });
    t.teardown(() => witness.close());
    return witness;
  };
  let running = await start();
  return {
    folder,
    state_path,
    key_path,
    verifier: parseVerifierKey(verifier_key),
    lines,
    clock,
    start,
    restart: async (keys = log_keys) => {
      await running.close();
      running = await start({ keys });
    },
    close: () => running.close(),
    ask: (path: string, init?: RequestInit) => told(fetch(`${running.url}${path}`, init)),
    add: (body: string | Uint8Array<ArrayBuffer>) => told(fetch(`${running.url}/add-checkpoint`, { method: 'POST', body })),
    url: () => new URL(running.url),
    bytes: () => readFileSync(state_path, 'utf8'),
    logs: () =>
      JSON.parse(readFileSync(state_path, 'utf8')).logs as { origin: string; size: number; root: string; checkpoint: string }[],
  };
}

async function told(answered: Promise<Response>) {
  const answer = await answered;
  const { status, headers } = answer;
  return { status, type: headers.get('content-type'), allow: headers.get('allow'), body: await answer.text() };
}

/** Times of the witness's cosignatures on the checkpoint, as somebody who trusts both keys reads them. */
const timesOf = (log: Log, checkpoint: string, witness: VerifierKey): number[] =>
  openCheckpoint(checkpoint, { origin: log.origin, log_key: log.verifier, witnesses: [witness] }).cosignatures.map(it => it.time);

const CONFLICT = { status: 409, type: 'text/x.tlog.size' };

t.test('a log that grows is cosigned at every step, and again', async t => {
  const log = logOf();
  const witness = await witnessOf(t, [log.verifier]);
  const sizes = [0, 1, 300, 70_000, 70_001];
  let from = 0;
  for (const to of sizes) {
    log.grow(to);
    for (const seconds of [AT + to, AT + to + 1]) {
      witness.clock.seconds = seconds;
      const answer = await witness.add(await log.request(from, to));
      t.match(answer, { status: 200, type: 'text/plain; charset=utf-8' }, `${from} to ${to}`);
      t.match(answer.body, /^— \S+ \S+\n$/);
      t.same(timesOf(log, log.checkpoint(to) + answer.body, witness.verifier), [seconds], 'at the time of the request');
      const root = log.root(to).toString('base64');
      t.same(witness.logs(), [{ origin: ORIGIN, size: to, root, checkpoint: log.checkpoint(to) }], 'it is on the disk');
      from = to;
    }
  }
  t.same(witness.lines, []);
  t.same(readdirSync(witness.folder).sort(), ['key.pem', 'state.json'], 'nothing else is left');
});

t.test('the bytes that are signed are those of the specification', async t => {
  const log = logOf();
  const witness = await witnessOf(t, [log.verifier]);
  log.grow(3);
  const { body } = await witness.add(await log.request(0, 3));
  const signature = Buffer.from(body.split(' ')[2]!, 'base64');
  t.equal(signature.length, 4 + 8 + 64);
  t.equal(signature.toString('hex', 0, 4), witness.verifier.key_id);
  t.equal(signature.readBigUInt64BE(4), BigInt(AT));
  const message = `cosignature/v1\ntime ${AT}\n${log.text(3)}`;
  const key = createPublicKey(readWitnessKey(witness.key_path));
  t.ok(verify(null, Buffer.from(message), key, signature.subarray(12)));
});

t.test('the old size must be the stored one', async t => {
  const log = logOf();
  const witness = await witnessOf(t, [log.verifier]);
  for (const size of [5, 8, 12]) log.grow(size);
  t.match(await witness.add(await log.request(5, 8)), { ...CONFLICT, body: '0\n' }, 'of a log never seen it is 0');
  t.equal((await witness.add(await log.request(0, 8))).status, 200);
  const kept = witness.bytes();
  for (const [from, to] of [
    [0, 8],
    [0, 12],
    [5, 12],
    [5, 8],
    [12, 12],
    [0, 5],
    [0, 0],
  ] as const)
    t.match(await witness.add(await log.request(from, to)), { ...CONFLICT, body: '8\n' }, `${from} to ${to}`);
  t.match(await witness.add(bodyOf(8, [], log.checkpoint(5))), { status: 400 }, 'a log does not shrink');
  t.match(await witness.add(bodyOf(12, [], log.checkpoint(8))), { status: 400 }, 'the old size is above the new one');
  t.equal(witness.bytes(), kept);
  t.same(witness.lines, []);
});

t.test('a proof that does not verify', async t => {
  const log = logOf();
  const witness = await witnessOf(t, [log.verifier]);
  for (const size of [6, 11]) log.grow(size);
  const some = randomBytes(32);
  t.match(await witness.add(bodyOf(0, [some], log.checkpoint(6))), { status: 422 }, 'from nothing it is empty');
  const text = formatCheckpoint({ origin: ORIGIN, size: 0, root: some });
  const nothing = bodyOf(0, [], signNote(text, { name: ORIGIN, key: log.key }));
  t.match(await witness.add(nothing), { status: 422 }, 'a tree of no leaves has one root');
  t.same(witness.logs(), []);
  t.equal((await witness.add(await log.request(0, 6))).status, 200);
  const kept = witness.bytes();
  const proof = await log.proof(6, 11);
  const wrong: [string, Buffer[]][] = [
    ['none', []],
    ['one too few', proof.slice(1)],
    ['one too many', [...proof, some]],
    ['another hash', [some, ...proof.slice(1)]],
    ['another order', proof.toReversed()],
    ['63 hashes', Array.from({ length: 63 }, () => some)],
  ];
  for (const [what, proof] of wrong)
    t.match(await witness.add(bodyOf(6, proof, log.checkpoint(11))), { status: 422, body: 'the proof does not verify\n' }, what);
  t.match(await witness.add(bodyOf(6, [some], log.checkpoint(6))), { status: 422 }, 'to itself it is empty');
  t.equal(witness.bytes(), kept);
  t.equal((await witness.add(bodyOf(6, proof, log.checkpoint(11)))).status, 200, 'the right one is taken yet');
});

t.test('a log that rewrote its history is refused, and its keeper told', async t => {
  const log = logOf();
  const rewritten = logOf({ key: log.key, seed: 'other entry' });
  const witness = await witnessOf(t, [log.verifier]);
  for (const size of [7, 300]) log.grow(size);
  for (const size of [7, 300]) rewritten.grow(size);
  await witness.add(await log.request(0, 7));
  const kept = witness.bytes();
  const answer = await witness.add(await rewritten.request(7, 7));
  t.match(answer, { status: 409, type: 'text/plain; charset=utf-8', body: 'a tree of this size had another root\n' });
  for (let i = 0; i < 3; i++) t.match(await witness.add(await rewritten.request(7, 300)), { status: 422 });
  t.match(await witness.add(bodyOf(7, await log.proof(7, 300), rewritten.checkpoint(300))), { status: 422 });
  t.equal(witness.bytes(), kept);
  const [first, second, ...more] = witness.lines;
  t.match(first, {
    reason: 'a tree of this size had another root',
    checkpoint: rewritten.checkpoint(7),
    kept: log.checkpoint(7),
  });
  t.match(second, { reason: 'the proof does not verify', checkpoint: rewritten.checkpoint(300) });
  t.same(more, [], 'once for a checkpoint');
  t.equal((await witness.add(await log.request(7, 300))).status, 200, 'the true one goes on');
});

t.test('whose checkpoints are cosigned', async t => {
  const log = logOf();
  const stranger = logOf({ origin: 'other.example/trail' });
  const impostor = logOf({ key: newKey() });
  const witness = await witnessOf(t, [log.verifier]);
  for (const it of [log, stranger, impostor]) it.grow(2);
  t.match(await witness.add(await stranger.request(0, 2)), { status: 404 }, 'an unknown origin');
  t.match(await witness.add(await impostor.request(0, 2)), { status: 403 }, 'another key');
  const text = log.text(2);
  const own = log.checkpoint(2);
  const renamed = signNote(stranger.text(2), { name: ORIGIN, key: log.key });
  t.match(await witness.add(bodyOf(0, [], renamed)), { status: 404 }, "the log's key says nothing of another origin");
  const unnamed = signNote(text, { name: 'other.example/trail', key: log.key });
  t.match(await witness.add(bodyOf(0, [], unnamed)), { status: 403 }, 'the key under another name is another key');
  const [before, after] = [parseNote(own).signatures[0]!.signature, randomBytes(64)];
  const swap = (note: string) =>
    note.replace(Buffer.concat([Buffer.from(log.verifier.key_id, 'hex'), before]).toString('base64'), () =>
      Buffer.concat([Buffer.from(log.verifier.key_id, 'hex'), after]).toString('base64'),
    );
  t.match(await witness.add(bodyOf(0, [], swap(own))), { status: 403 }, 'a signature that is none');
  const both = own + swap(own).slice(text.length + 1);
  t.match(await witness.add(bodyOf(0, [], both)), { status: 403 }, 'one that is none beside one that is');
  t.same(witness.logs(), []);

  const others = `${cosign(text, { name: 'w2', key: newKey(), time: AT })}— unknown AAAAAAA=\n`;
  t.match(await witness.add(bodyOf(0, [], own + others)), { status: 200 }, 'signatures of others are passed over');
  t.equal(witness.logs()[0]!.checkpoint, own, 'and not kept');
});

t.test('several logs, and a log with a new key', async t => {
  const [one, two] = [logOf(), logOf({ origin: '__proto__' })];
  const witness = await witnessOf(t, [one.verifier, two.verifier]);
  for (const log of [one, two]) for (const size of [3, 9]) log.grow(size);
  t.equal((await witness.add(await one.request(0, 9))).status, 200);
  t.equal((await witness.add(await two.request(0, 3))).status, 200);
  t.match(await witness.add(await two.request(9, 9)), { ...CONFLICT, body: '3\n' });
  await witness.restart([two.verifier]);
  t.equal((await witness.add(await two.request(3, 9))).status, 200);
  t.match(await witness.add(await one.request(9, 9)), { status: 404 });
  t.same(
    witness.logs().map(({ origin, size }) => [origin, size]),
    [
      [ORIGIN, 9],
      ['__proto__', 9],
    ],
    'a log that is witnessed no more is not forgotten',
  );

  const key = newKey();
  const renewed = verifierOf(ORIGIN, key);
  await witness.restart([one.verifier, renewed]);
  const signers = [
    { name: ORIGIN, key: one.key },
    { name: ORIGIN, key },
  ];
  for (const by of [signers, signers.slice(0, 1), signers.slice(1)]) {
    const note = signNote(one.text(9), ...by);
    t.equal((await witness.add(bodyOf(9, [], note))).status, 200, `${by.length} of its keys`);
    t.equal(witness.logs().find(it => it.origin === ORIGIN)!.checkpoint, note);
  }
});

t.test('what is not a request changes nothing', async t => {
  const log = logOf();
  const witness = await witnessOf(t, [log.verifier]);
  for (const size of [4, 6]) log.grow(size);
  await witness.add(await log.request(0, 4));
  const kept = witness.bytes();
  const proof = await log.proof(4, 6);
  const checkpoint = log.checkpoint(6);
  const good = bodyOf(4, proof, checkpoint);
  const hash = randomBytes(32).toString('base64');
  const signed = (text: string) => bodyOf(4, [], signNote(text, { name: ORIGIN, key: log.key }));
  const [origin, size, root] = log.text(6).split('\n');
  const large = `${good}— unknown ${'A'.repeat(2 ** 16)}\n`;
  const sizes = ['', '-1', '-0', '+4', '04', '4.0', '4e0', '0x4', ' 4', '4 ', '٤', 'NaN', '9007199254740992', '9'.repeat(400)];
  const bodies: [what: string, body: string | Uint8Array<ArrayBuffer>][] = [
    ['nothing', ''],
    ['a newline', '\n'],
    ['empty lines', '\n\n\n\n'],
    ['an empty line first', `\n${good}`],
    ['no empty line', good.replace('\n\n', '\n')],
    ['no old size', good.slice(good.indexOf('\n') + 1)],
    ['another word', good.replace('old', 'new')],
    ['no checkpoint', 'old 4\n\n'],
    ['a checkpoint without signatures', bodyOf(4, proof, log.text(6))],
    ['a cut checkpoint', good.slice(0, -1)],
    ['carriage returns', good.replaceAll('\n', '\r\n')],
    ['a mark of the byte order', `\ufeff${good}`],
    ['not UTF-8', Buffer.concat([Buffer.from(good), Buffer.of(0xff)])],
    ['a surrogate in UTF-8', Buffer.concat([Buffer.from('old 4\n\n'), Buffer.of(0xed, 0xa0, 0x80), Buffer.from(checkpoint)])],
    ['zeros', Buffer.alloc(5_000)],
    [
      '64 hashes',
      bodyOf(
        4,
        Array.from({ length: 64 }, () => randomBytes(32)),
        checkpoint,
      ),
    ],
    ['a hash of 31 bytes', bodyOf(4, [randomBytes(31)], checkpoint)],
    ['too large', large],
    ['far too large', new Uint8Array(2 ** 22)],
    ...['!', '====', ` ${hash}`, hash.slice(0, -1), hash.replace(/.=$/, '_='), `${hash}${hash}`, 'A'.repeat(44)].map(
      (it): [string, string] => [`the hash ${it}`, `old 4\n${it}\n\n${checkpoint}`],
    ),
    ...sizes.map((it): [string, string] => [`old size ${it.slice(0, 20)}`, bodyOf(it, proof, checkpoint)]),
    ...sizes.map((it): [string, string] => [`size ${it.slice(0, 20)}`, signed(`${origin}\n${it}\n${root}\n`)]),
    ['two lines', signed(`${origin}\n${size}\n`)],
    ['an extension line', signed(`${log.text(6)}more\n`)],
    ['a root of 31 bytes', signed(`${origin}\n${size}\n${randomBytes(31).toString('base64')}\n`)],
    ['101 signatures', `${good}${'— unknown AAAAAAA=\n'.repeat(100)}`],
  ];
  for (const [what, body] of bodies) {
    const answer = await witness.add(body);
    t.match(answer, { status: 400, type: 'text/plain; charset=utf-8', body: /^[^\n]+\n$/ }, what);
  }
  t.match(await witness.add(large), { body: 'the request is longer than 65536 bytes\n' });
  t.equal(witness.bytes(), kept);
  t.same(witness.lines, []);
  t.equal((await witness.add(good)).status, 200, 'the good one is good');
});

t.test('other paths and methods', async t => {
  const log = logOf();
  const witness = await witnessOf(t, [log.verifier]);
  log.grow(1);
  const body = await log.request(0, 1);
  for (const path of ['/', '/state', '/add-checkpoint/', '/add-checkpoint?old=0', '//add-checkpoint']) {
    t.match(await witness.ask(path), { status: 404 }, path);
    t.match(await witness.ask(path, { method: 'POST', body }), { status: 404 }, `POST ${path}`);
  }
  for (const method of ['GET', 'HEAD', 'PUT', 'DELETE', 'OPTIONS'])
    t.match(await witness.ask('/add-checkpoint', { method }), { status: 405, allow: 'POST' }, method);
  t.same(witness.logs(), []);
});

t.test('half a request is none', async t => {
  const log = logOf();
  const witness = await witnessOf(t, [log.verifier]);
  log.grow(1);
  const body = await log.request(0, 1);
  const { hostname, port } = witness.url();
  const socket = connect(Number(port), hostname);
  const closed = new Promise(resolve => socket.on('error', () => {}).once('close', resolve));
  socket.resume().end(`POST /add-checkpoint HTTP/1.1\r\nhost: w\r\ncontent-length: ${body.length + 100}\r\n\r\n${body}`);
  await closed;
  t.same(witness.logs(), []);
  t.same(witness.lines, [], 'anybody can do that: nobody is told');
});

t.test('of two that begin at the same size one is cosigned', async t => {
  const log = logOf();
  const witness = await witnessOf(t, [log.verifier]);
  const sizes = [10, 11, 12, 13, 14, 15, 16, 17];
  for (const size of sizes) log.grow(size);
  await witness.add(await log.request(0, 10));
  const bodies = await Promise.all(sizes.slice(1).map(to => log.request(10, to)));
  const answers = await Promise.all(bodies.map(body => witness.add(body)));
  const [taken, ...more] = answers.keys().filter(i => answers[i]!.status === 200);
  t.same(more, []);
  const { size } = witness.logs()[0]!;
  t.equal(size, sizes[1 + taken!]);
  for (const [i, answer] of answers.entries())
    if (i !== taken) t.match(answer, { ...CONFLICT, body: `${size}\n` }, `${sizes[i + 1]} of 17`);
});

t.test('two processes on one state file do not part the history', async t => {
  const log = logOf();
  const rewritten = logOf({ key: log.key, seed: 'other entry' });
  const witness = await witnessOf(t, [log.verifier]);
  for (const it of [log, rewritten]) for (const size of [4, 5]) it.grow(size);
  const other = await witness.start();
  await witness.add(await log.request(0, 4));
  const add = async (body: string) => told(fetch(`${other.url}/add-checkpoint`, { method: 'POST', body }));
  t.match(await add(await rewritten.request(0, 4)), { ...CONFLICT, body: '4\n' });
  t.match(await add(await log.request(4, 5)), { status: 200 });
  t.match(await witness.add(await rewritten.request(4, 5)), { ...CONFLICT, body: '5\n' });

  writeFileSync(`${witness.state_path}.draft`, '');
  t.match(await witness.add(await log.request(5, 5)), { status: 503 }, 'while one writes the other does not sign');
  await witness.restart();
  t.match(await witness.add(await log.request(5, 5)), { status: 200 }, 'what a crash left is no draft of anybody');
});

t.test('the state outlives the process', async t => {
  const log = logOf();
  const witness = await witnessOf(t, [log.verifier]);
  for (const size of [20, 21]) log.grow(size);
  await witness.add(await log.request(0, 20));
  const kept = witness.bytes();
  await witness.restart();
  t.equal(witness.bytes(), kept);
  t.match(await witness.add(await log.request(0, 21)), { ...CONFLICT, body: '20\n' });
  const answer = await witness.add(await log.request(20, 21));
  t.same(timesOf(log, log.checkpoint(21) + answer.body, witness.verifier), [AT]);
  t.equal(statSync(witness.state_path).mode & 0o777, 0o600);
});

t.test('what cannot be kept is not signed', async t => {
  const log = logOf();
  const witness = await witnessOf(t, [log.verifier]);
  for (const size of [2, 3]) log.grow(size);
  await witness.add(await log.request(0, 2));
  const kept = witness.bytes();
  const body = await log.request(2, 3);

  rmSync(witness.state_path);
  t.match(await witness.add(body), { status: 503, body: 'the witness cannot sign\n' }, 'the file is gone under it');
  t.match(await witness.add(await log.request(0, 3)), { status: 503 }, 'nor does it begin anew');
  t.notOk(existsSync(witness.state_path));
  writeFileSync(witness.state_path, kept.slice(0, -20));
  t.match(await witness.add(body), { status: 503 }, 'half of it is gone');
  writeFileSync(
    witness.state_path,
    kept.replace(formatVerifierKey(witness.verifier), () => verifierText(NAME, newKey(), TYPE_COSIGNATURE)),
  );
  t.match(await witness.add(body), { status: 503 }, 'it is that of another');
  t.equal(witness.lines.length, 4);
  t.match(witness.lines[0], { message: 'a checkpoint could not be cosigned', reason: /is not there/ });
  writeFileSync(witness.state_path, kept);
  t.match(await witness.add(body), { status: 200 }, 'it is there again');

  await witness.close();
  await rm(witness.folder, { recursive: true });
  await t.rejects(witness.start(), { name: 'ConfigError' });
});

t.test('without its own state a witness does not start', async t => {
  const log = logOf();
  const witness = await witnessOf(t, [log.verifier]);
  log.grow(2);
  await witness.add(await log.request(0, 2));
  await witness.close();
  const kept = witness.bytes();
  const state = JSON.parse(kept);
  const [seen] = state.logs;
  const damaged: [string, unknown][] = [
    ['nothing', undefined],
    ['null', null],
    ['a list', []],
    ['another format', { ...state, format: 'nrm-witness-state/v2' }],
    ['no logs', { ...state, logs: undefined }],
    ["a log's key", { ...state, witness: verifierText(NAME, newKey()) }],
    ['a key that is none', { ...state, witness: 'w' }],
    ['another size', { ...state, logs: [{ ...seen, size: 1 }] }],
    ['another root', { ...state, logs: [{ ...seen, root: nodeHash(log.root(2), log.root(2)).toString('base64') }] }],
    ['another origin', { ...state, logs: [{ ...seen, origin: 'other' }] }],
    ['no checkpoint', { ...state, logs: [{ ...seen, checkpoint: undefined }] }],
    ['a log twice', { ...state, logs: [seen, seen] }],
  ];
  const wrong = { name: 'ConfigError', message: /^[^\n]+$/ };
  for (const [what, it] of damaged) {
    writeFileSync(witness.state_path, JSON.stringify(it) ?? '');
    await t.rejects(witness.start(), { ...wrong, message: /is damaged/ }, what);
  }
  rmSync(witness.state_path);
  await t.rejects(witness.start(), { ...wrong, message: /is not there/ }, 'no file');
  t.notOk(existsSync(witness.state_path), 'none is made');

  writeFileSync(witness.state_path, kept);
  await t.rejects(witness.start({ key: newKey() }), { ...wrong, message: /belongs to witness\.example/ }, 'another key');
  await t.rejects(witness.start({ name: 'w2' }), { ...wrong, message: /belongs to witness\.example/ }, 'another name');
  await t.rejects(witness.start({ keys: [] }), wrong, 'no log');
  await t.rejects(witness.start({ keys: [witness.verifier] }), wrong, "a witness's key for a log's");
  mkdirSync(`${witness.state_path}.draft`);
  await t.rejects(witness.start(), { ...wrong, message: /cannot write the state file/ }, 'where it cannot be written');
  rmdirSync(`${witness.state_path}.draft`);
  await t.resolves(witness.start({ name: NAME }), 'as it was');
});

t.test('the command', { timeout: 60_000 }, async t => {
  const folder = await folderOf(t);
  const [key, state] = [join(folder, 'witness.pem'), join(folder, 'state.json')];
  const log = logOf();
  log.grow(1);
  const log_key = verifierText(ORIGIN, log.key);
  const files = ['--key-path', key, '--state', state];
  const command = (...args: string[]) => run(t, ['scripts/witness.ts', ...args], {});
  const fails = async (what: string, args: string[], line: RegExp) => {
    const program = command(...args);
    t.equal(await program.ended, 1, what);
    t.equal(program.output.stdout, '', what);
    t.match(program.output.stderr, new RegExp(`^audit:witness: [^\\n]*${line.source}[^\\n]*\\n$`), what);
  };

  await fails('before --init', [...files, '--log', log_key], /witness\.pem is not there/);
  const init = command(...files, '--init');
  t.equal(await init.ended, 0, init.output.stderr);
  const verifier = parseVerifierKey(init.output.stdout.trimEnd());
  t.match(verifier, { name: hostname(), type: TYPE_COSIGNATURE });
  t.equal(statSync(key).mode & 0o777, 0o600);
  t.match(readFileSync(key, 'utf8'), /^-----BEGIN PRIVATE KEY-----\n/);

  const service = command(...files, '--log', log_key, '--port', '0');
  const [, url, text] = await service.said(/^witness at (http:\/\/127\.0\.0\.1:\d+) with the key (\S+)\n$/);
  t.equal(text, formatVerifierKey(verifier));
  const answer = await told(fetch(`${url}/add-checkpoint`, { method: 'POST', body: await log.request(0, 1) }));
  t.equal(answer.status, 200);
  t.equal(timesOf(log, log.checkpoint(1) + answer.body, verifier).length, 1);
  const kept = [readFileSync(key, 'utf8'), readFileSync(state, 'utf8')];

  const usage = /usage: npm run audit:witness/;
  await Promise.all([
    fails('its port is taken', [...files, '--log', log_key, '--port', new URL(url!).port], /cannot listen on .* \(EADDRINUSE\)/),
    fails('--init again', [...files, '--init'], /is there already/),
    fails('no option', [], usage),
    fails('no log', files, usage),
  ]);
  await Promise.all([
    fails('an unknown option', [...files, '--lock', log_key], /Unknown option '--lock'/),
    fails('a key that is none', [...files, '--log', `${log_key}A`], /--log .*: /),
    fails('a port that is none', [...files, '--log', log_key, '--port', '65536'], /--port/),
    fails('a name that is none', ['--key-path', `${key}2`, '--state', `${state}2`, '--init', '--name', 'a b'], /a key name/),
  ]);
  t.equal((await service.end('SIGTERM')).code, 0);
  t.equal(service.output.stderr, '');

  writeFileSync(`${key}2`, 'x');
  rmSync(state);
  await Promise.all([
    fails('not a key', ['--key-path', `${key}2`, '--state', state, '--log', log_key], /is not an Ed25519 private key/),
    fails('its state is lost', [...files, '--log', log_key, '--port', '0'], /state\.json is not there/),
    fails('nor is it made anew under its key', [...files, '--init'], /witness\.pem is there already/),
  ]);
  t.notOk(existsSync(state));
  writeFileSync(state, kept[1]!);
  t.equal(readFileSync(key, 'utf8'), kept[0]);
  const again = command(...files, '--log', log_key, '--port', '0');
  await again.said(/^witness at /);
  t.equal((await again.end('SIGINT')).code, 0);
});
