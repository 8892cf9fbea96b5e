import t from 'tap';
import { verifyExport } from '../../src/audit/verify.ts';
import type { Demands } from '../../src/audit/verify-log.ts';
import { canonicalJson, commitMeta } from '../../src/core/canonical.ts';
import { parseVerifierKey, signNote, TYPE_ED25519 } from '../../src/core/signed-note.ts';
import {
  altered,
  bytes,
  DEMANDS,
  entryOf,
  exportOf,
  flip,
  kept,
  LINES,
  type Line,
  lie,
  lineOf,
  NDJSON,
  NOTE,
  noteOf,
  ORIGIN,
  privateKey,
  REWRITTEN,
  receiptOf,
  SIZE,
  unreadable,
  verifierLine,
  witnesses,
} from '../support/exported-log.ts';

/** In chunks that end anywhere. */
async function* chunksOf(text: string | Buffer, length = 10_007): AsyncGenerator<Buffer> {
  const all = Buffer.from(text);
  for (let at = 0; at < all.length; at += length) yield all.subarray(at, at + length);
}
const verify = (text: string | Buffer, demands: Partial<Demands> = {}) =>
  verifyExport(chunksOf(text), { ...DEMANDS, ...demands });

t.test('a log that is as it should be', async t => {
  const receipts = new Set([0, 299, 599].map(index => receiptOf(LINES[index]!)));
  for (const size of [0, 1, 256, 300, 512, 599, SIZE]) {
    const checked = await verify(NDJSON, { witnesses, quorum: 2, receipts, kept: kept(noteOf(LINES.slice(0, size))) });
    t.match(checked, {
      first: 0,
      entries: SIZE,
      root_checked: true,
      ids_compared: SIZE,
      subjects: SIZE,
      lagging: 0,
      warnings: [],
    });
    t.ok(checked.records > 300 && checked.erased > 50 && checked.records + checked.erased < SIZE);
    t.equal(checked.checkpoint.cosignatures.length, 2);
  }
  t.match(await verifyExport(chunksOf(NDJSON, 7), DEMANDS), { entries: SIZE }, 'in whatever chunks it comes');
  t.match(await verify(NDJSON.slice(0, -1)), { entries: SIZE }, 'without the last newline');
  t.match(await verify(NDJSON.replace('{"index":7,', '{"index":9,"index":7,')), { entries: SIZE }, 'the last of a name counts');
  t.match(await verify(exportOf(noteOf([]), []), { kept: kept(noteOf([])) }), { entries: 0, root_checked: true });
});

t.test('what was altered is told with its index', async t => {
  const at4 = (change: (subject: Line['subjects'][number]) => void) => altered(4, line => change(line.subjects[0]!));
  const swapped = LINES.with(17, LINES[18]!).with(18, LINES[17]!);
  const cases: [what: string, text: string, message: string | RegExp][] = [
    ['meta', altered(17, line => Object.assign(line.meta, { code: 'x' })), /^index 17: meta, its salt or the entry/],
    ['a member of meta', altered(17, line => Object.assign(line.meta, { x: null })), /^index 17: meta/],
    ['the salt of meta', altered(17, line => Object.assign(line, { salt_meta: flip(line.salt_meta) })), /^index 17: meta/],
    ['what meta is committed to', altered(17, line => Object.assign(line, { entry: flip(line.entry, 30) })), /^index 17: meta/],
    [
      'a personal commitment',
      altered(17, line => Object.assign(line, { entry: flip(line.entry, 92) })),
      /^index 17: the subject/,
    ],
    [
      'the salt of personal',
      altered(17, line => Object.assign(line, { salt_personal: flip(line.salt_personal) })),
      /^index 17: the/,
    ],
    ['the version line', altered(17, line => Object.assign(line, { entry: flip(line.entry, 11) })), /^index 17: .*version line/],
    ['an entry id', altered(17, line => Object.assign(line, { entry: flip(line.entry, 20) })), /^the root of index 0 to 599/],
    ['a shorter entry', altered(17, line => Object.assign(line, { entry: 'AAAA' })), 'index 17: the entry has 3 bytes, not 93'],
    [
      'a subject commit',
      at4(subject => Object.assign(subject, { commit: flip(subject.commit) })),
      /^index 4: the subject commits/,
    ],
    ['a record', at4(subject => Object.assign(subject.record!, { note: 'x' })), /^index 4: subject 0: the record/],
    [
      'the salt of a record',
      at4(subject => Object.assign(subject, { salt: flip(subject.salt!) })),
      /^index 4: subject 0: the record/,
    ],
    ['a subject too few', altered(4, line => line.subjects.pop()), /^index 4: the subject commits/],
    ['order of subjects', altered(2, line => line.subjects.reverse()), 'index 2: subject 1: the commits are not sorted'],
    ['a fraction', altered(17, line => Object.assign(line.meta, { v: 0.5 })), /^index 17: meta: holds what a record cannot/],
    ['a number beyond 2^53', NDJSON.replace('"v":1', '"v":9007199254740993'), /^index 0: meta: holds what a record cannot/],
    ['a lone surrogate', NDJSON.replace('"v":1', '"v":"\\ud800"'), /^index 0: meta: holds what a record cannot/],
    ['a deep meta', NDJSON.replace('"v":1', `"v":${'['.repeat(5e4)}${']'.repeat(5e4)}`), /^index 0: meta: holds what/],
    ['a swapped pair', exportOf(NOTE, swapped), 'index 17: missing, index 18 stands in its place'],
    [
      'a swapped pair, renumbered',
      exportOf(
        NOTE,
        swapped.map((line, index) => ({ ...line, index })),
      ),
      /^the root of index 0 to 599/,
    ],
    ['the last removed', exportOf(NOTE, LINES.slice(0, -1)), 'index 599: missing, the checkpoint covers 600 entries'],
    ['all removed', exportOf(NOTE, []), 'index 0: missing, the checkpoint covers 600 entries'],
    ['one removed', exportOf(NOTE, LINES.toSpliced(300, 1)), 'index 300: missing, index 301 stands in its place'],
    ['one twice', exportOf(NOTE, LINES.toSpliced(300, 0, LINES[300]!)), 'index 301: missing, index 300 stands in its place'],
    ['one added', exportOf(NOTE, [...LINES, lineOf(600)]), 'index 600: beyond the checkpoint, which covers 600 entries'],
    ['an id again', exportOf(NOTE, LINES.with(9, { ...LINES[2]!, index: 9 })), 'index 9: an entry before it has the same id'],
    ['another entry', exportOf(NOTE, REWRITTEN), /^the root of index 0 to 599 is not the checkpoint's/],
    [
      'another entry in an empty log',
      exportOf(signNote(`${ORIGIN}\n0\n${bytes('r').toString('base64')}\n`, { name: ORIGIN, key: privateKey(ORIGIN) }), []),
      /^the root of no entries/,
    ],
  ];
  for (const [what, text, message] of cases) await t.rejects(verify(text), lie(message), what);

  const miscounted = lineOf(1);
  miscounted.meta.subjects = 2;
  const meta_commit = commitMeta(Buffer.from(miscounted.salt_meta, 'base64'), canonicalJson(miscounted.meta));
  miscounted.entry = Buffer.concat([entryOf(miscounted).subarray(0, 29), meta_commit, entryOf(miscounted).subarray(61)]).toString(
    'base64',
  );
  const committed = LINES.with(1, miscounted);
  await t.rejects(verify(exportOf(noteOf(committed), committed)), lie('index 1: meta does not count its 1 subjects'));
});

t.test('a history that was rewritten and signed again', async t => {
  const text = exportOf(noteOf(REWRITTEN), REWRITTEN);
  t.match(await verify(text), { root_checked: true }, 'is in itself as it should be');
  const past = (size: number) => kept(noteOf(LINES.slice(0, size)));
  await t.rejects(verify(text, { kept: past(301) }), lie(/^index 300 or before: .* history was rewritten$/));
  await t.rejects(verify(text, { kept: past(SIZE) }), lie(/^index 599 or before/));
  t.match(await verify(text, { kept: past(300) }), { root_checked: true }, 'what was kept from before has its past');
  const receipt = receiptOf(LINES[300]!);
  await t.rejects(verify(text, { receipts: new Set([receipt]) }), lie(`receipt ${receipt} is not in the log`));
  const shorter = LINES.slice(0, 500);
  await t.rejects(verify(exportOf(noteOf(shorter), shorter), { kept: past(501) }), lie(/index 500 and what follows is lost$/));
});

t.test('a checkpoint that the log or its witnesses did not sign', async t => {
  const other = parseVerifierKey(verifierLine(ORIGIN, TYPE_ED25519, privateKey('other')));
  await t.rejects(verify(NDJSON, { log_key: other }), lie('the checkpoint: no known key signed the note'));
  await t.rejects(
    verify(exportOf(NOTE.replace('\n600\n', '\n599\n'), LINES)),
    lie(/^the checkpoint: the signature of .* not valid$/),
  );
  const without = NOTE.replace(/— council.*\n/, '');
  t.match(await verify(exportOf(without, LINES), { witnesses, quorum: 1 }), { root_checked: true });
  await t.rejects(
    verify(exportOf(without, LINES), { witnesses, quorum: 2 }),
    lie('the checkpoint: 1 of the witnesses cosigned it, not 2'),
  );
});

t.test('a part of the log', async t => {
  const middle = exportOf(NOTE, LINES.slice(100, 200));
  await t.rejects(verify(middle), lie(/^part of the log: root not checked/));
  t.match(await verify(middle, { part: true }), { first: 100, entries: 100, root_checked: false });
  t.match(await verify(exportOf(NOTE, LINES.slice(0, 200)), { part: true }), { first: 0, entries: 200, root_checked: false });
  t.match(await verify(NDJSON, { part: true }), { root_checked: true });
  const again = exportOf(NOTE, LINES.slice(100, 200).with(50, { ...LINES[150]!, salt_meta: flip(LINES[150]!.salt_meta) }));
  await t.rejects(verify(again, { part: true }), lie(/^index 150: meta/), 'the rest is checked');
  const receipts = new Set([receiptOf(LINES[99]!)]);
  await t.rejects(verify(middle, { part: true, receipts }), lie(/is not in this part of the log$/));
  await t.rejects(verify(middle, { part: true, kept: kept(NOTE) }), unreadable(/cannot be compared with the kept/));
});

/** As an export without records has it. */
const closed = (line: Line): Line => ({ ...line, subjects: line.subjects.map(({ commit }) => ({ commit })) });

t.test('a time that goes back is told, and no lie', async t => {
  const start = Date.UTC(2026, 0, 1);
  const lines = [0, 9_000, 4_000, 3_999, 9_001, 10_000].map((ms, index) => lineOf(index, null, start + ms));
  t.match(await verify(exportOf(noteOf(lines), lines)), {
    lagging: 1,
    warnings: ['index 3: at lags 5.001 s behind the latest before it'],
  });
  const many = Array.from({ length: 60 }, (_, index) => closed(lineOf(index, null, start + (index === 0 ? 60_000 : 0))));
  const { lagging, warnings } = await verify(exportOf(noteOf(many), many));
  t.same([lagging, warnings.length], [59, 20]);
  const never = lineOf(0, null, start);
  never.meta.at = 'yesterday';
  const commit = commitMeta(Buffer.from(never.salt_meta, 'base64'), canonicalJson(never.meta));
  never.entry = Buffer.concat([entryOf(never).subarray(0, 29), commit, entryOf(never).subarray(61)]).toString('base64');
  await t.rejects(verify(exportOf(noteOf([never]), [never])), lie('index 0: at of meta is not an instant'));
});

t.test('what cannot be read is told with its place', async t => {
  const first = `${NDJSON.split('\n')[0]}\n`;
  const line = (change: (line: Record<string, unknown>) => void) => {
    const copy = structuredClone(LINES[1]!) as unknown as Record<string, unknown>;
    change(copy);
    return `${first}${JSON.stringify(LINES[0])}\n${JSON.stringify(copy)}\n`;
  };
  const subject = (members: object) => line(it => Object.assign((it.subjects as object[])[0]!, members));
  const cases: [what: string, text: string | Buffer, message: string | RegExp][] = [
    ['nothing', '', 'the export is empty'],
    ['an empty line', '\n', 'line 1: not JSON'],
    ['binary', bytes('binary', 64), /^line 1: not UTF-8/],
    ['zeros', Buffer.alloc(100), 'line 1: cut off, or not JSON'],
    ['a byte order mark', `\ufeff${NDJSON}`, 'line 1: not JSON'],
    ['HTML', '<!doctype html>\n<p>', 'line 1: not JSON'],
    ['an array', '[]\n', 'line 1: not an object'],
    ['no checkpoint', `${JSON.stringify(LINES[0])}\n`, 'line 1: checkpoint is missing'],
    ['more beside it', '{"checkpoint":"","x":1}\n', 'line 1: a member that no export has, "x"'],
    ['a checkpoint of another type', '{"checkpoint":1}\n', 'the checkpoint is not a text'],
    ['a checkpoint that is no note', '{"checkpoint":"hello"}\n', /^the checkpoint: the text does not end/],
    ['a cut line', NDJSON.slice(0, -20), 'line 601: cut off, or not JSON'],
    ['a huge line', `${first}${' '.repeat(2 ** 20 + 1)}\n`, 'line 2: longer than 1 MiB'],
    ['a huge line without end', `${first}${' '.repeat(3e6)}`, 'line 2: longer than 1 MiB'],
    ['not UTF-8', Buffer.concat([Buffer.from(first), Buffer.of(0x22, 0xff, 0x22, 10)]), 'line 2: not UTF-8'],
    ['a checkpoint again', first + first, 'line 2: the index is not a whole number'],
    ...['"1"', '-1', '1.5', '9007199254740993', 'null'].map((index): [string, string, string] => [
      `index ${index}`,
      NDJSON.replace('{"index":1,', `{"index":${index},`),
      'line 3: the index is not a whole number',
    ]),
    ...['entry', 'meta', 'salt_meta', 'salt_personal', 'subjects'].flatMap((name): [string, string, RegExp][] => [
      [`no ${name}`, line(it => delete it[name]), new RegExp(`^index 1: ${name} is missing$`)],
      [`${name} of another type`, line(it => Object.assign(it, { [name]: 7 })), new RegExp(`^index 1: ${name}`)],
      [`${name}: null`, line(it => Object.assign(it, { [name]: null })), new RegExp(`^index 1: ${name}`)],
    ]),
    ['not base64', line(it => Object.assign(it, { entry: `${it.entry}!` })), 'index 1: entry is not base64'],
    ['base64url', line(it => Object.assign(it, { salt_meta: '_'.repeat(43) })), 'index 1: salt_meta is not base64 of 32 bytes'],
    [
      'a short salt',
      line(it => Object.assign(it, { salt_personal: 'AAAA' })),
      'index 1: salt_personal is not base64 of 32 bytes',
    ],
    ['what nobody checks', line(it => Object.assign(it, { reason: 'x' })), 'index 1: a member that no export has, "reason"'],
    ['a subject that is none', line(it => Object.assign(it, { subjects: ['x'] })), 'index 1: subject 0: not an object'],
    ['a short commit', subject({ commit: 'AAAA' }), 'index 1: subject 0: commit is not base64 of 32 bytes'],
    ['no salt', subject({ salt: undefined }), 'index 1: subject 0: record and salt stand together'],
    ['a short salt of a record', subject({ salt: 'AAAA' }), 'index 1: subject 0: salt is not base64 of 32 bytes'],
    ['a record that is none', subject({ record: [] }), 'index 1: subject 0: record: not an object'],
    ['erased and a record', subject({ erased: true }), 'index 1: subject 0: erased is true, without a record'],
    ['erased: false', subject({ erased: false, record: undefined, salt: undefined }), /^index 1: subject 0: erased is true/],
  ];
  for (const [what, text, message] of cases) await t.rejects(verify(text), unreadable(message), what);
});
