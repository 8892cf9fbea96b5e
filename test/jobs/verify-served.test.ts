import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import type { Demands } from '../../src/audit/verify-log.ts';
import { verifyServed } from '../../src/audit/verify-served.ts';
import { parseTilePath, TILE_WIDTH } from '../../src/core/merkle.ts';
import { TYPE_COSIGNATURE } from '../../src/core/signed-note.ts';
import {
  altered,
  bytes,
  DEMANDS,
  entryOf,
  exportOf,
  grown,
  kept,
  LINES,
  type Line,
  lie,
  NDJSON,
  NOTE,
  noteOf,
  ORIGIN,
  REWRITTEN,
  receiptOf,
  SIZE,
  unreadable,
  verifierLine,
  witnesses,
} from '../support/exported-log.ts';

/** A service with these entries, tiles and checkpoint. */
const served = (lines: readonly Line[], note = noteOf(lines), tampered: Record<string, (answer: Buffer) => Buffer> = {}) => {
  const { tiles } = grown(lines);
  return (path: string): Buffer | undefined => {
    const change = tampered[path] ?? (answer => answer);
    if (/^\/v1\/audit\/checkpoint(\?witnessed=true)?$/.test(path)) return change(Buffer.from(note));
    const tile = parseTilePath(path.replace('/v1/audit/', ''));
    if (tile === undefined) return undefined;
    const first = tile.index * TILE_WIDTH;
    const entries = lines.slice(first, first + tile.width).map(line => Buffer.concat([Buffer.of(0, 93), entryOf(line)]));
    const bytes =
      tile.level === 'entries'
        ? Buffer.concat(entries)
        : tiles.find(it => it.level === tile.level && it.index === tile.index)?.bytes;
    return bytes && change(bytes);
  };
};
const getFrom = (service: ReturnType<typeof served>) => async (path: string) =>
  service(path) ?? Promise.reject(new Error(`no ${path}`));

t.test('what the service serves', async t => {
  const verify = (service: ReturnType<typeof served>, demands: Partial<Demands> = {}) =>
    verifyServed(getFrom(service), { ...DEMANDS, ...demands });
  const at = (path: string, change: (answer: Buffer) => Buffer) => served(LINES, NOTE, { [`/v1/audit/tile/${path}`]: change });
  const flipped = (place: number) => (answer: Buffer) => {
    const copy = Buffer.from(answer);
    copy[place]! ^= 1;
    return copy;
  };
  const receipts = new Set([receiptOf(LINES[300]!)]);
  const past = kept(noteOf(LINES.slice(0, 301)));
  for (const size of [0, 1, 255, 256, 257, 512, SIZE])
    t.match(await verify(served(LINES.slice(0, size))), { entries: size, tiles: Math.ceil(size / 256) + (size >= 256 ? 1 : 0) });
  t.match(await verify(served(LINES), { witnesses, quorum: 2, receipts, kept: past }), { root_checked: true, tiles: 4 });

  const first = 'tile/0/001 has another hash than what its entries make';
  await t.rejects(verify(at('entries/001', flipped((300 - 256) * 95 + 20))), lie(`index 300: ${first}`));
  await t.rejects(verify(at('0/001', flipped((300 - 256) * 32))), lie(`index 300: ${first}`));
  await t.rejects(verify(at('1/000.p/2', flipped(63))), lie(/^index 256 to 511: tile\/1\/000\.p\/2/));
  await t.rejects(verify(at('entries/002.p/88', flipped(2))), lie(/^index 512: .*version line/));
  await t.rejects(verify(served(REWRITTEN), { receipts }), lie(/^receipt/));
  await t.rejects(verify(served(REWRITTEN), { kept: past }), lie(/^index 300 or before/));
  await t.rejects(verify(served(REWRITTEN, NOTE)), lie(/^the root/));
  await t.rejects(verify(at('entries/002.p/88', it => it.subarray(0, -1))), unreadable('index 599: its entry bundle is cut off'));
  await t.rejects(verify(at('entries/002.p/88', () => Buffer.alloc(0))), unreadable('index 512: its entry bundle is cut off'));
  await t.rejects(
    verify(at('entries/001', it => Buffer.concat([it, it]))),
    unreadable('index 511: its entry bundle goes on behind it'),
  );
  await t.rejects(verify(at('0/001', it => it.subarray(1))), unreadable('tile/0/001: 8191 bytes, not 8192'));
  await t.rejects(verify(served(LINES, '{"type":"about:blank"}')), unreadable(/^the checkpoint: /));
});

t.test('the command', async t => {
  const dir = t.testdir({
    'export.ndjson': NDJSON,
    'part.ndjson': exportOf(NOTE, LINES.slice(100)),
    'altered.ndjson': altered(17, line => Object.assign(line.meta, { code: 'x' })),
    kept: noteOf(LINES.slice(0, 400)),
    receipts: `# mine\n\n${receiptOf(LINES[3]!)}\n${receiptOf(LINES[4]!).toUpperCase()}\r\n`,
  });
  writeFileSync(join(dir, 'binary'), bytes('binary', 64));
  const service = served(LINES);
  let broken: number | undefined;
  let busy = 1;
  const server = createServer(({ url, headers }, response) => {
    if (headers.authorization !== 'Bearer secret' || headers['acting-caseworker'] !== 'AB-1')
      return response.writeHead(401).end('{}');
    if (broken !== undefined) return response.writeHead(broken, { location: '/' }).end('<p>no</p>');
    if (url!.includes('/tile/') && busy-- > 0) return response.writeHead(429, { 'retry-after': '0' }).end();
    const answer = service(url!.replace('/base', ''));
    return answer ? response.end(answer) : response.writeHead(404).end();
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

  const script = fileURLToPath(new URL('../../scripts/verify.ts', import.meta.url));
  const run = (args: string[], env: Record<string, string> = { AUDIT_TOKEN: 'secret', AUDIT_CASEWORKER: 'AB-1' }) =>
    new Promise<{ code: unknown; out: string; err: string }>(resolve => {
      execFile(process.execPath, [script, ...args], { cwd: dir, env: { PATH: process.env.PATH!, ...env } }, (error, out, err) =>
        resolve({ code: error ? error.code : 0, out, err }),
      );
    });
  const key = ['--key', verifierLine(ORIGIN)];
  const witness = witnesses.flatMap(({ name }) => ['--witness', verifierLine(name, TYPE_COSIGNATURE)]);

  const all = await run(['export.ndjson', ...key, ...witness, '--receipts', 'receipts', '--since', 'kept']);
  t.match(all, { code: 0, err: '', out: /^checkpoint: nrm\.example\/log, 600 entries, .*court.*\nentries: 600, index 0 to 599/ });
  t.match(all.out, /receipts: 2, each that of an entry\nsince: the log begins with the 400 entries/);
  const asServed = await run([`${base}/base/`, ...key, ...witness, '--receipts', 'receipts', '--since', 'kept']);
  t.match(asServed, { code: 0, err: '', out: /tiles: 4, each as the entries make it/ });
  t.match(await run(['part.ndjson', ...key, '--part']), { code: 0, out: /part of the log: root not checked/ });

  const ends = async (code: number, err: RegExp, args: string[], env?: Record<string, string>) => {
    const ended = await run(args, env);
    t.match(ended, { code, err, out: '' }, args.join(' ').slice(0, 60));
    t.match(ended.err, /^[^\n]+\n$/, 'in one line');
  };
  await ends(1, /^index 17: meta/, ['altered.ndjson', ...key]);
  await ends(1, /^part of the log: root not checked/, ['part.ndjson', ...key]);
  await ends(2, /^usage: /, []);
  await ends(2, /^usage: /, ['export.ndjson']);
  await ends(2, /--nonsense/, ['export.ndjson', ...key, '--nonsense']);
  await ends(2, /^--key: /, ['export.ndjson', '--key', 'x']);
  await ends(2, /^--witness: .* 0x04/, ['export.ndjson', ...key, '--witness', verifierLine('w')]);
  await ends(2, /^--witness: the same key twice/, ['export.ndjson', ...key, ...witness, ...witness]);
  await ends(2, /^--quorum: /, ['export.ndjson', ...key, '--quorum', '1']);
  await ends(2, /^binary, line 1: not a receipt/, ['export.ndjson', ...key, '--receipts', 'binary']);
  await ends(2, /^receipts: /, ['export.ndjson', ...key, '--since', 'receipts']);
  await ends(2, /^ENOENT/, ['nowhere', ...key]);
  await ends(2, /^EISDIR/, ['.', ...key]);
  await ends(2, /^line 1: not UTF-8/, ['binary', ...key]);
  await ends(2, /^GET \/v1\/audit\/checkpoint: HTTP 401\n/, [base, ...key], {});
  await ends(2, /^AUDIT_TOKEN: no header can have it\n/, [base, ...key], { AUDIT_TOKEN: 'sec\nret' });
  await ends(2, /^GET .*: bad port/, ['http://127.0.0.1:1', ...key]);
  for (broken of [302, 404, 500]) await ends(2, new RegExp(`HTTP ${broken}`), [base, ...key]);
  broken = 200;
  await ends(2, /^the checkpoint: /, [base, ...key]);
  server.closeAllConnections();
  await new Promise(resolve => server.close(resolve));
  await ends(2, /^GET .*: ECONNREFUSED/, [base, ...key]);
});
