import { existsSync } from 'node:fs';
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { toTrustMaterial } from '@sigstore/verify';
// What the package exports checks signatures of software, and inclusion only on the way, of entries that are Sigstore's own. So its
// check of one entry's checkpoint and proof is taken from where it lies.
import { verifyTLogInclusion } from '@sigstore/verify/dist/tlog/index.js';
import t, { type Test } from 'tap';
import { TILE_WIDTH, tilePath, tileWidth } from '../../src/core/merkle.ts';
import { parseVerifierKey, publicKeyFromRaw } from '../../src/core/signed-note.ts';
import { parseTlogProof } from '../../src/core/tlog-proof.ts';
import { startTestApp } from '../support/app.ts';
import { mechanism } from '../support/mechanism.ts';
import { runCommand, temporaryDataDir } from '../support/process.ts';
import { leave } from '../support/trail.ts';

/** The log as the service serves it, checked by implementations that others wrote: Go's, and Sigstore's for Node.js. */

const CHECKER = fileURLToPath(new URL('check.go', import.meta.url));
/** Debian's golang-golang-x-mod-dev. */
const GOPATH = '/usr/share/gocode';

t.test('what others made checks the log', async t => {
  const served = await serveLog(t);

  await t.test("Go's log", async t => {
    const dir = await temporaryDataDir(t);
    const program = await buildChecker(t, dir);
    if (program === null) return;
    /** What the checker says of the log with this file altered. */
    async function check(path = 'key', alter = (_bytes: Buffer) => {}): Promise<{ code: number | null; says: string }> {
      const folder = join(dir, 'altered');
      await cp(served.folder, folder, { recursive: true, force: true });
      const bytes = await readFile(join(folder, path));
      alter(bytes);
      await writeFile(join(folder, path), bytes);
      const { ended, output } = runCommand(t, program!, [folder]);
      return { code: await ended, says: output.stdout + output.stderr };
    }
    const { size, earlier, proven } = served;
    t.same(await check(), { code: 0, says: `${size} entries, ${proven.length} proofs, goes on from ${earlier}\n` });

    const flip = (at: number) => (bytes: Buffer) => {
      bytes[at]! ^= 1;
    };
    /** Another letter of base64: that behind a text, or one of the last line. */
    const letter = (text?: string) => (bytes: Buffer) => {
      const at = text === undefined ? bytes.length - 10 : bytes.indexOf(text) + text.length;
      bytes[at] = bytes[at] === 0x41 ? 0x42 : 0x41;
    };
    const last = size % TILE_WIDTH;
    for (const [path, change, says] of [
      ['key', letter(), /^key: invalid verifier hash/],
      ['checkpoint', letter(`\n${size}\n`), /^checkpoint: invalid signature/],
      ['checkpoint', letter(), /^checkpoint: invalid signature/],
      ['earlier', letter(`\n${earlier}\n`), /^earlier: invalid signature/],
      ['consistency', letter(), /^consistency: invalid transparency proof/],
      ['proofs/300', letter('index 300\n'), /^proof of 300: invalid transparency proof/],
      ['proofs/300', letter(), /^proof of 300: invalid signature/],
      ['tile/0/001', flip(1_000), /^tiles: /],
      [`tile/0/002.p/${last}`, flip(last * 32 - 1), /^tiles: /],
      ['tile/1/000.p/2', flip(0), /^tiles: /],
      ['tile/entries/001', flip(2 + 60), /^entries: do not make the signed tree/],
      [`tile/entries/002.p/${last}`, flip(last * 95 - 1), /^entries: do not make the signed tree/],
    ] as const)
      t.match(await check(path, change), { code: 1, says }, `${path} altered`);
  });

  await t.test("Sigstore's check of inclusion", async t => {
    const { name, key_id, public_key } = parseVerifierKey((await readFile(join(served.folder, 'key'), 'utf8')).trim());
    const keyId = Buffer.from(key_id, 'hex');
    const { tlogs } = toTrustMaterial({
      mediaType: '',
      tlogs: [
        {
          baseUrl: `https://${name}`,
          hashAlgorithm: 1,
          logId: { keyId },
          checkpointKeyId: { keyId },
          publicKey: { rawBytes: publicKeyFromRaw(public_key).export({ type: 'spki', format: 'der' }), keyDetails: 7 },
          operator: '',
        },
      ],
      certificateAuthorities: [],
      timestampAuthorities: [],
      ctlogs: [],
    });
    const bundles = await Promise.all(
      ['000', '001', `002.p/${served.size % TILE_WIDTH}`].map(it => readFile(join(served.folder, 'tile/entries', it))),
    );
    /** Throws, or holds. */
    async function check(index: number, alter: { entry?: number; at?: number; hash?: number; checkpoint?: string } = {}) {
      const { proof, checkpoint } = parseTlogProof(await readFile(join(served.folder, 'proofs', String(index)), 'utf8'));
      const first = (index % TILE_WIDTH) * 95 + 2;
      const entry = Buffer.from(bundles[Math.floor(index / TILE_WIDTH)]!.subarray(first, first + 93));
      if (alter.entry !== undefined) entry[alter.entry]! ^= 1;
      if (alter.hash !== undefined) proof[alter.hash]![31]! ^= 1;
      const logIndex = String(alter.at ?? index);
      verifyTLogInclusion(
        {
          logIndex,
          logId: { keyId },
          kindVersion: { kind: '', version: '' },
          integratedTime: '0',
          inclusionPromise: undefined,
          inclusionProof: {
            logIndex,
            rootHash: Buffer.alloc(0),
            treeSize: '',
            hashes: proof,
            checkpoint: { envelope: alter.checkpoint ?? checkpoint },
          },
          canonicalizedBody: entry,
        },
        tlogs,
      );
      return proof.length;
    }
    for (const index of served.proven) t.ok((await check(index)) > 0, `entry ${index}`);
    const refused = { name: 'VerificationError', code: 'TLOG_INCLUSION_PROOF_ERROR' };
    const [index] = served.proven.slice(1);
    await t.rejects(check(index!, { entry: 92 }), refused, 'another entry');
    await t.rejects(check(index!, { at: index! + 1 }), refused, 'another place');
    await t.rejects(check(index!, { hash: 0 }), refused, 'another hash');
    const { checkpoint } = parseTlogProof(await readFile(join(served.folder, 'proofs', String(index)), 'utf8'));
    await t.rejects(
      check(index!, { checkpoint: checkpoint.replace(`\n${served.size}\n`, `\n${served.size + 1}\n`) }),
      refused,
      'not signed',
    );
    const earlier = await readFile(join(served.folder, 'earlier'), 'utf8');
    await t.rejects(check(index!, { checkpoint: earlier }), refused, 'signed, and another tree');
  });
});

/** A log of three tiles, as an auditor fetches it, in the folder that check.go describes. */
async function serveLog(t: Test) {
  const { app, services, sequence } = await startTestApp(t);
  const { agencies, tokenFor } = await mechanism({ app, services });
  const headers = {
    authorization: `Bearer ${await tokenFor('audit_body')}`,
    'acting-caseworker': agencies.audit_body.caseworkers[0].staff_code,
  };
  const get = async (path: string): Promise<Buffer> => {
    const response = await app.inject({ url: `/v1/audit/${path}`, headers });
    if (response.statusCode !== 200) throw new Error(`${path}: ${response.statusCode} ${response.body}`);
    return response.rawPayload;
  };
  const sizeOf = (checkpoint: Buffer) => Number(checkpoint.toString().split('\n')[1]);

  await leave(services, 300);
  await sequence();
  const earlier = await get('checkpoint');
  await leave(services, 300);
  await sequence();
  // What is looked at from here on waits: the checkpoint stays.
  const checkpoint = await get('checkpoint');
  const size = sizeOf(checkpoint);
  const folder = join(services.config.data_dir, 'served');
  const keep = async (path: string, bytes: Buffer): Promise<void> => {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), bytes);
  };
  await keep('key', await get('verifier-key'));
  await keep('earlier', earlier);
  await keep('checkpoint', checkpoint);
  await keep('consistency', await get(`consistency?from=${sizeOf(earlier)}&to=${size}`));
  const proven = [0, 255, 256, 300, 511, 512, size - 1];
  for (const index of proven) await keep(`proofs/${index}`, await get(`entries/${index}/proof`));
  for (const level of ['entries', 0, 1] as const) {
    for (let index = 0; ; index += 1) {
      const width = tileWidth(level, index, size);
      if (width === 0) break;
      const path = tilePath(level, index, width);
      await keep(path, await get(path));
    }
  }
  return { folder, size, earlier: sizeOf(earlier), proven };
}

/** The Go program; null where there is no Go, which is no reason to fail but where a landing is checked. */
async function buildChecker(t: Test, dir: string): Promise<string | null> {
  const program = join(dir, 'check');
  // Nothing is written but below the test's folder, and nothing taken from the account's settings or the network.
  const env = {
    HOME: dir,
    GOPATH,
    GOCACHE: join(dir, 'cache'),
    GOTMPDIR: dir,
    GOENV: 'off',
    GOFLAGS: '',
    GO111MODULE: 'off',
    GOTOOLCHAIN: 'local',
    GOPROXY: 'off',
  };
  const has_log = existsSync(join(GOPATH, 'src/golang.org/x/mod/sumdb/tlog'));
  const build = runCommand(t, 'go', ['build', '-buildvcs=false', '-o', program, CHECKER], env);
  const code = await build.ended;
  if (code === 0) return program;
  const why =
    code === null || !has_log
      ? `NOT CHECKED by another implementation: needs Debian's golang-go and golang-golang-x-mod-dev`
      : build.output.stderr;
  if (process.env.CI === 'true' || (code !== null && has_log)) t.fail(why);
  else t.pass('the log', { skip: why });
  return null;
}
