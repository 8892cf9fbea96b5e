import { generateKeyPairSync, hash } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { leafHash } from '../../src/core/canonical.ts';
import { formatCheckpoint, openCheckpoint } from '../../src/core/checkpoint.ts';
import { appendLeaves, hashInTile, inclusionProof, verifyInclusion } from '../../src/core/merkle.ts';
import { formatVerifierKey, parseVerifierKey, rawPublicKey, signNote, TYPE_ED25519 } from '../../src/core/signed-note.ts';
import { formatTlogProof, parseTlogProof } from '../../src/core/tlog-proof.ts';

const NOTE_ERROR = { name: 'NoteError', message: /^[^\n]+$/ };

t.test('a file has the form of the specification', async t => {
  const [one, two] = [hash('sha256', 'hash1', 'buffer'), hash('sha256', 'hash2', 'buffer')];
  const checkpoint = 'test checkpoint\n\n— signature\n';
  t.equal(
    formatTlogProof({ index: 5, proof: [one, two], checkpoint }),
    `c2sp.org/tlog-proof@v1\nindex 5\n${one.toString('base64')}\n${two.toString('base64')}\n\n${checkpoint}`,
  );
  t.equal(
    formatTlogProof({ index: 10, proof: [one], checkpoint, extra: Buffer.from('extra information') }),
    `c2sp.org/tlog-proof@v1\nextra ZXh0cmEgaW5mb3JtYXRpb24=\nindex 10\n${one.toString('base64')}\n\n${checkpoint}`,
  );
  t.equal(formatTlogProof({ index: 0, proof: [], checkpoint }), `c2sp.org/tlog-proof@v1\nindex 0\n\n${checkpoint}`);
});

t.test('a file reads back', async () => {
  const bytes = (length: { minLength: number; maxLength: number }) => fc.uint8Array(length).map(it => Buffer.from(it));
  const proof = fc.array(bytes({ minLength: 32, maxLength: 32 }), { maxLength: 63 });
  const extra = fc.option(bytes({ minLength: 1, maxLength: 90 }), { nil: undefined });
  fc.assert(
    fc.property(fc.maxSafeNat(), proof, extra, fc.string({ unit: 'grapheme' }), (index, proof, extra, note) => {
      const read = parseTlogProof(formatTlogProof({ index, proof, checkpoint: `${note}\n`, extra }));
      return (
        read.index === index &&
        read.checkpoint === `${note}\n` &&
        Buffer.concat(read.proof).equals(Buffer.concat(proof)) &&
        (extra === undefined ? !('extra' in read) : extra.equals(read.extra!))
      );
    }),
    { numRuns: 50 },
  );
});

t.test('what is not such a file is refused', async t => {
  const one = Buffer.alloc(32, 1).toString('base64');
  const file = (...lines: string[]) => `c2sp.org/tlog-proof@v1\n${lines.map(it => `${it}\n`).join('')}\ncheckpoint\n`;
  t.strictSame(parseTlogProof(file('index 1', one)).index, 1);
  const files: [what: string, text: string][] = [
    ['nothing', ''],
    ['another version', file('index 1').replace('@v1', '@v2')],
    ['a space before', ` ${file('index 1')}`],
    ['carriage returns', file('index 1').replaceAll('\n', '\r\n')],
    ['no index', file()],
    ['no index but hashes', file(one)],
    ['an index of letters', file('index one')],
    ['a negative index', file('index -5')],
    ['an index with zeros', file('index 05')],
    ['a fraction', file('index 1.0')],
    ['an index beyond 2^53', file('index 9007199254740992')],
    ['two indices', file('index 1', 'index 1')],
    ['extra data after the index', file('index 1', 'extra AQ==')],
    ['extra data twice', file('extra AQ==', 'extra AQ==', 'index 1')],
    ['extra data that is not base64', file('extra !!notbase64!!', 'index 1')],
    ['extra data that is empty', file('extra ', 'index 1')],
    ['extra data that is nothing', file('extra', 'index 1')],
    ['a hash that is not base64', file('index 1', '!!notbase64!!')],
    ['a short hash', file('index 1', Buffer.alloc(31).toString('base64'))],
    ['a long hash', file('index 1', Buffer.alloc(64).toString('base64'))],
    ['a hash and a space', file('index 1', `${one} `)],
    ['64 hashes', file('index 1', ...Array.from({ length: 64 }, () => one))],
    ['no empty line', file('index 1', one).replace('\n\n', '\n')],
    ['no checkpoint', `c2sp.org/tlog-proof@v1\nindex 1\n\n`],
    ['a checkpoint that is cut', file('index 1').slice(0, -1)],
  ];
  for (const [what, text] of files) t.throws(() => parseTlogProof(text), NOTE_ERROR, what);

  const fine = { index: 1, proof: [Buffer.alloc(32)], checkpoint: 'a\n' };
  for (const index of [-1, 0.5, 2 ** 53]) t.throws(() => formatTlogProof({ ...fine, index }), RangeError);
  for (const checkpoint of ['', 'a']) t.throws(() => formatTlogProof({ ...fine, checkpoint }), RangeError);
  t.throws(() => formatTlogProof({ ...fine, proof: [Buffer.alloc(31)] }), RangeError);
  t.throws(() => formatTlogProof({ ...fine, proof: Array.from({ length: 64 }, () => Buffer.alloc(32)) }), RangeError);
  t.throws(() => formatTlogProof({ ...fine, extra: Buffer.alloc(0) }), RangeError);
});

t.test('a proof holds for its entry and no other', async t => {
  const entries = Array.from({ length: 200 }, (_, i) => Buffer.from(`entry ${i}`));
  const { edge, root, size } = appendLeaves(new Map(), 0, entries.map(leafHash));
  const { privateKey: key } = generateKeyPairSync('ed25519');
  const origin = 'example.com/log';
  const log_key = parseVerifierKey(formatVerifierKey({ name: origin, type: TYPE_ED25519, public_key: rawPublicKey(key) }));
  const read = async (nodes: Parameters<typeof hashInTile>[0][]) => nodes.map(node => hashInTile(node, edge.get(0)!));
  const file = formatTlogProof({
    index: 129,
    proof: await inclusionProof(129, size, read),
    checkpoint: signNote(formatCheckpoint({ origin, size, root }), { name: origin, key }),
  });

  const holds = (text: string, entry: Buffer) => {
    const { index, proof, checkpoint } = parseTlogProof(text);
    const { size, root } = openCheckpoint(checkpoint, { origin, log_key });
    return verifyInclusion({ leaf_hash: leafHash(entry), index, size, root, proof });
  };
  t.strictSame(
    entries.flatMap((entry, i) => (holds(file, entry) ? [i] : [])),
    [129],
  );
  fc.assert(
    fc.property(fc.nat({ max: file.length - 1 }), fc.string({ unit: 'binary-ascii', maxLength: 2 }), (at, put) => {
      const changed = file.slice(0, at) + put + file.slice(at + 1);
      if (changed === file) return true;
      try {
        return !holds(changed, entries[129]!);
      } catch (error) {
        return (error as Error).name === 'NoteError';
      }
    }),
    { numRuns: 500 },
  );
});
