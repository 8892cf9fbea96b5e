import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { formatCheckpoint, openCheckpoint, parseCheckpoint, parseDecimal, parseHash } from '../../src/core/checkpoint.ts';
import { EMPTY_ROOT } from '../../src/core/merkle.ts';
import {
  cosign,
  formatVerifierKey,
  parseVerifierKey,
  rawPublicKey,
  signNote,
  TYPE_COSIGNATURE,
  TYPE_ED25519,
} from '../../src/core/signed-note.ts';

const NOTE_ERROR = { name: 'NoteError', message: /^[^\n]+$/ };
const ROOT = Buffer.from('CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=', 'base64');
/** The example of tlog-checkpoint. */
const TEXT = 'example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n';
const CHECKPOINT = { origin: 'example.com/behind-the-sofa', size: 20_852_163, root: ROOT };

const keys = () => generateKeyPairSync('ed25519').privateKey;
const verifierOf = (name: string, key: KeyObject, type = TYPE_ED25519) =>
  parseVerifierKey(formatVerifierKey({ name, type, public_key: rawPublicKey(createPublicKey(key)) }));

t.test('the example of the specification', async t => {
  t.equal(formatCheckpoint(CHECKPOINT), TEXT);
  t.same(parseCheckpoint(TEXT), CHECKPOINT);
  const empty = 'a b\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n';
  t.equal(formatCheckpoint({ origin: 'a b', size: 0, root: EMPTY_ROOT }), empty, 'an origin may have a space');
  t.same(parseCheckpoint(empty), { origin: 'a b', size: 0, root: EMPTY_ROOT });
});

t.test('a checkpoint reads back', async () => {
  const root = fc.uint8Array({ minLength: 32, maxLength: 32 }).map(it => Buffer.from(it));
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme-ascii', minLength: 1 }), fc.maxSafeNat(), root, (origin, size, root) => {
      const read = parseCheckpoint(formatCheckpoint({ origin, size, root }));
      return read.origin === origin && read.size === size && read.root.equals(root);
    }),
  );
});

t.test('what is not a checkpoint is refused', async t => {
  const [origin, size, root] = TEXT.split('\n') as [string, string, string];
  const texts: [what: string, text: string][] = [
    ['nothing', ''],
    ['a newline', '\n'],
    ['two lines', `${origin}\n${size}\n`],
    ['an extension line', `${TEXT}more\n`],
    ['an empty extension line', `${TEXT}\n`],
    ['no newline at the end', TEXT.slice(0, -1)],
    ['an empty origin', `\n${size}\n${root}\n`],
    ['a carriage return', TEXT.replaceAll('\n', '\r\n')],
    ['a tab', `a\tb\n${size}\n${root}\n`],
    ['a lone surrogate', `a\ud800\n${size}\n${root}\n`],
    ...['', '01', '00', '-1', '+1', '1.0', '1e3', '0x10', ' 1', '1 ', '١', '9007199254740992', '9'.repeat(400), 'NaN'].map(
      (it): [string, string] => [`size ${it.slice(0, 20)}`, `${origin}\n${it}\n${root}\n`],
    ),
    ...[
      '',
      root.slice(0, -1),
      `${root}=`,
      root.replace('2I=', '2J='),
      root.replaceAll('/', '_'),
      `${root} `,
      'AAAA',
      ROOT.toString('hex'),
    ].map((it): [string, string] => [`root ${it}`, `${origin}\n${size}\n${it}\n`]),
  ];
  for (const [what, text] of texts) t.throws(() => parseCheckpoint(text), NOTE_ERROR, what);
  t.equal(parseDecimal('9007199254740991', 'it'), Number.MAX_SAFE_INTEGER);
  t.throws(() => parseDecimal('1\n', 'it'), NOTE_ERROR);
  t.same(parseHash(root, 'it'), ROOT);

  for (const origin of ['', 'a\nb', 'a\rb', 'a\ud800']) t.throws(() => formatCheckpoint({ ...CHECKPOINT, origin }), NOTE_ERROR);
  for (const size of [-1, 0.5, 2 ** 53, Number.NaN]) t.throws(() => formatCheckpoint({ ...CHECKPOINT, size }), RangeError);
  for (const length of [0, 31, 33]) t.throws(() => formatCheckpoint({ ...CHECKPOINT, root: Buffer.alloc(length) }), RangeError);
});

t.test('only what the log signed is opened', async t => {
  const [logKey, w1Key, w2Key, otherKey] = [keys(), keys(), keys(), keys()];
  const { origin } = CHECKPOINT;
  const log_key = verifierOf(origin, logKey);
  const w1 = verifierOf('witness.example/w1', w1Key, TYPE_COSIGNATURE);
  const w2 = verifierOf('witness.example/w2', w2Key, TYPE_COSIGNATURE);
  const signed = signNote(TEXT, { name: origin, key: logKey }, { name: origin, key: otherKey });
  const note =
    signed +
    cosign(TEXT, { name: w1.name, key: w1Key, time: 1_679_315_147 }) +
    cosign(TEXT, { name: w1.name, key: w1Key, time: 1_679_315_150 }) +
    cosign(TEXT, { name: w2.name, key: w2Key, time: 1_679_315_149 });

  t.same(openCheckpoint(note, { origin, log_key }), { ...CHECKPOINT, cosignatures: [] });
  t.same(openCheckpoint(note, { origin, log_key, witnesses: [w2, w1] }), {
    ...CHECKPOINT,
    cosignatures: [
      { name: w1.name, time: 1_679_315_147 },
      { name: w2.name, time: 1_679_315_149 },
    ],
  });
  t.same(openCheckpoint(signed, { origin, log_key, witnesses: [w1] }).cosignatures, []);

  const refused: [what: string, note: string, expected: Parameters<typeof openCheckpoint>[1]][] = [
    ['another origin', note, { origin: `${origin}/2`, log_key }],
    ["another log's key", note, { origin, log_key: verifierOf(origin, keys()) }],
    ['the key under another name', note, { origin, log_key: verifierOf('example.com/log', logKey) }],
    ['witnesses only', note, { origin, log_key: verifierOf(origin, keys()), witnesses: [w1, w2] }],
    ['another size', note.replace('20852163', '20852164'), { origin, log_key }],
    [
      'a witness that signed another',
      `${signed}${cosign('a\n', { name: w1.name, key: w1Key, time: 7 })}`,
      { origin, log_key, witnesses: [w1] },
    ],
    ['the text alone', TEXT, { origin, log_key }],
    ['a note that is no checkpoint', signNote('a\nb\n', { name: origin, key: logKey }), { origin, log_key }],
    ['an extension line', signNote(`${TEXT}more\n`, { name: origin, key: logKey }), { origin, log_key }],
    ['an empty line', signNote(`${TEXT}\n`, { name: origin, key: logKey }), { origin, log_key }],
  ];
  for (const [what, note, expected] of refused) t.throws(() => openCheckpoint(note, expected), NOTE_ERROR, what);

  const asWitness = verifierOf(origin, logKey, TYPE_COSIGNATURE);
  const cosigned = `${TEXT}\n${cosign(TEXT, { name: origin, key: logKey, time: 7 })}`;
  t.throws(
    () => openCheckpoint(cosigned, { origin, log_key, witnesses: [asWitness] }),
    NOTE_ERROR,
    "a witness of the log's name",
  );
  t.throws(() => openCheckpoint(note, { origin, log_key: asWitness }), RangeError, "a witness's key as the log's");
  t.throws(() => openCheckpoint(note, { origin, log_key, witnesses: [log_key] }), RangeError, "a log's as a witness's");
});
