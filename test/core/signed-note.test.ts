import { createPrivateKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import {
  cosign,
  decodeBase64,
  formatVerifierKey,
  keyId,
  NoteError,
  parseNote,
  parseVerifierKey,
  publicKeyFromRaw,
  rawPublicKey,
  signNote,
  TYPE_COSIGNATURE,
  TYPE_ED25519,
  verifyNote,
} from '../../src/core/signed-note.ts';

// The published keys and notes of golang.org/x/mod/sumdb/note.
const PETER = parseVerifierKey('PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW');
const ENOCH = parseVerifierKey('EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop');
const PETER_SEED = Buffer.from('AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz', 'base64').subarray(1);
const PETER_KEY = createPrivateKey({
  key: Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), PETER_SEED]),
  format: 'der',
  type: 'pkcs8',
});
const TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
const PETER_LINE =
  '— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n';
const ENOCH_LINE = '— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n';

// A checkpoint of a public log, which public witnesses cosigned; other signatures are of kinds that are not known here.
const COSIGNED = `arche2025h1.staging.ct.transparency.dev
1432088532
U7WM79jrzyhGZ5/GUBTpM7NzwdyfFx61t3RovgcC4Ro=

— arche2025h1.staging.ct.transparency.dev zTM8sQAAAZ5W0WdjBAMARjBEAiBjW5IQf9pvsYLfQFX6hoGREPMHbdQ3urbllzalApkptQIgIpwtEroeW2BXaHAI4kJXFbon5Ch9MNL5zRNZ55lvGt0=
— arche2025h1.staging.ct.transparency.dev ui8GwCF1+kWqZrxGdhj4aX3gcw7XUlXQQabg/27lefwhUkzbC3NygNI75MdhL1bfTW9g8Ei59RA23oHP7Ry1k3ZFWwQ=
— transparency.dev/DEV:witness-little-garden 2AQqhwAAAABqEiEgzgFIqqhbUoDwjMWE6UP8nd8/KYTzwZ2rhIgcqoXHAwVkjZr4AscylP3v7sEodkRAErumC2q44vdgJY096st5BQ==
— witness1.smartit.nu/witness1 pIyCDwAAAABqEiEghIp82KWebrw7/oHQwlTAm3g2RKS4+eebl8eO0WH+/iEcxZ75W3u5hNI7TOQtmJbqmNWVuE0tgh0XwzdZsDsUAQ==
— remora.n621.de 2net5wAAAABqEiEgPlfF3V06o0Y+fHM+J5J9s27wgxxcOVSpZ/2g/KSiXCg9DEZI+aVCIobWX9sXTynk5XeU/zZ0WBxtqB0DrAWfBw==
— witness.stagemole.eu Z/euoAAAAABqEiEgw0i+7g2ENfDAWHmtRzCfKTHSDwYDJA2NmKeGi9Y8FtEyOUvVr+AJmIY/2TUFucgKi7lI7cUiOvKFYe/TmN9DAg==
`;
const ARCHE = parseVerifierKey('arche2025h1.staging.ct.transparency.dev+ba2f06c0+AU0vHmlGCS/PdN8b2OaGmKprLI8HKM+dJ472xgFYh15f');
const WITNESSES = [
  'transparency.dev/DEV:witness-little-garden+d8042a87+BCtusOxINQNUTN5Oj8HObRkh2yHf/MwYaGX4CPdiVEPM',
  'witness1.smartit.nu/witness1+a48c820f+BPSFWg9G6KPiO7QPryYO5Xq4oYJJ+kAvLKLSimDhoxMO',
  'remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2',
  'witness.stagemole.eu+67f7aea0+BEqSG3yu9YrmcM3BHvQYTxwFj3uSWakQepafafpUqklv',
].map(parseVerifierKey);

const namesOf = (note: string, known: Parameters<typeof verifyNote>[1]) =>
  verifyNote(parseNote(note), known).verified.map(it => it.name);
const refuses = (t: Test, act: () => unknown, what: string) => t.throws(act, { name: 'NoteError', message: /^[^\n]+$/ }, what);
const verifierOf = (name: string, key: KeyObject, type: number) =>
  parseVerifierKey(formatVerifierKey({ name, type, public_key: rawPublicKey(key) }));

t.test('the published notes of Go', async t => {
  const note = `${TEXT}\n${PETER_LINE}${ENOCH_LINE}`;
  const parsed = parseNote(note);
  t.equal(parsed.text, TEXT);
  t.strictSame(
    parsed.signatures.map(({ name, key_id, signature }) => [name, key_id, signature.length]),
    [
      ['PeterNeumann', 'c74f20a3', 64],
      ['EnochRoot', 'af0cfe78', 64],
    ],
  );
  t.strictSame(verifyNote(parsed, [PETER]).verified, [{ name: 'PeterNeumann', key_id: 'c74f20a3' }], 'the other is passed over');
  t.strictSame(namesOf(note, [ENOCH, PETER]), ['PeterNeumann', 'EnochRoot']);
  t.equal(signNote(TEXT, { name: 'PeterNeumann', key: PETER_KEY }), `${TEXT}\n${PETER_LINE}`);
  refuses(t, () => verifyNote(parsed, []), 'nobody known');
  refuses(t, () => namesOf(`${TEXT}\n${PETER_LINE}`, [ENOCH]), 'nobody known among them');
});

t.test('the example of the specification', async t => {
  const key = parseVerifierKey('example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k');
  const note =
    'This is an example message.\n\n— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n';
  t.strictSame(namesOf(note, [key]), ['example.com/foo']);
  refuses(t, () => namesOf(note.replace('example message', 'example massage'), [key]), 'another text');
});

t.test('cosignatures of public witnesses', async t => {
  const { verified } = verifyNote(parseNote(COSIGNED), [ARCHE, ...WITNESSES]);
  t.strictSame(verified, [
    { name: ARCHE.name, key_id: 'ba2f06c0' },
    ...WITNESSES.map(({ name, key_id }) => ({ name, key_id, time: 1779573024 })),
  ]);
  const remora = WITNESSES[2]!;
  refuses(t, () => namesOf(COSIGNED.replace('1432088532', '1432088533'), [remora]), 'another size');
  refuses(t, () => namesOf(COSIGNED.replace('2net5wAAAABqEiEg', '2net5wAAAABqEiEh'), [remora]), 'another time');
  // The worked example of tlog-cosignature, which has no published key.
  const example =
    '— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n';
  const [signature] = parseNote(`${TEXT}\n${example}`).signatures;
  t.equal(signature!.key_id, '8d66cf3f');
  t.equal(signature!.signature.readBigUInt64BE(), 1679315147n);
});

t.test('a cosignature goes after the lines that a note has', async t => {
  const { privateKey: key } = generateKeyPairSync('ed25519');
  const log = verifierOf('PeterNeumann', key, TYPE_ED25519);
  const witness = verifierOf('witness.example/w1', key, TYPE_COSIGNATURE);
  const note = signNote(TEXT, { name: log.name, key });
  const twice = note + cosign(TEXT, { name: witness.name, key, time: 7 }) + cosign(TEXT, { name: witness.name, key, time: 8 });
  t.strictSame(
    verifyNote(parseNote(twice), [witness, log]).verified,
    [
      { name: log.name, key_id: log.key_id },
      { name: witness.name, key_id: witness.key_id, time: 7 },
    ],
    'counted once',
  );
  const elsewhere = cosign('another\n', { name: witness.name, key, time: 8 });
  refuses(t, () => namesOf(twice + elsewhere, [log, witness]), 'a second one that is wrong');
  t.strictSame(namesOf(twice + elsewhere, [log]), [log.name], 'which another verifier need not know');

  const asLog = `${note.slice(0, note.indexOf('— '))}${cosign(TEXT, { name: log.name, key, time: 7 })}`;
  refuses(t, () => namesOf(asLog, [log]), 'a cosignature is under another id');
  const forged = asLog.replace(/ \S+\n$/, () => {
    const bytes = Buffer.from(asLog.trimEnd().split(' ').at(-1)!, 'base64');
    return ` ${Buffer.concat([Buffer.from(log.key_id, 'hex'), bytes.subarray(4)]).toString('base64')}\n`;
  });
  refuses(t, () => namesOf(forged, [log]), 'nor one under its id');

  for (const [time, is] of [
    [2n ** 53n - 1n, true],
    [2n ** 53n, false],
    [2n ** 64n - 1n, false],
  ] as const) {
    const at = Buffer.alloc(8);
    at.writeBigUInt64BE(time);
    const bytes = [Buffer.from(witness.key_id, 'hex'), at, sign(null, Buffer.from(`cosignature/v1\ntime ${time}\n${TEXT}`), key)];
    const late = `${TEXT}\n— ${witness.name} ${Buffer.concat(bytes).toString('base64')}\n`;
    if (is) t.strictSame(verifyNote(parseNote(late), [witness]).verified[0]?.time, Number(time));
    else refuses(t, () => namesOf(late, [witness]), `at ${time}, which is no safe integer`);
  }

  for (const time of [0, -1, 1.5, 2 ** 53, Number.NaN]) t.throws(() => cosign(TEXT, { name: 'w', key, time }), RangeError);
  t.throws(() => signNote(TEXT), RangeError);
  const { privateKey: p256 } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  t.throws(() => signNote(TEXT, { name: 'log', key: p256 }), RangeError);
  for (const text of ['', 'a', 'a\n\rb\n', 'a\ud800\n', 'a\tb\n'])
    for (const act of [signNote, cosign]) refuses(t, () => act(text, { name: 'w', key, time: 7 }), JSON.stringify(text));
  for (const name of BAD_NAMES)
    for (const act of [signNote, cosign]) refuses(t, () => act(TEXT, { name, key, time: 7 }), JSON.stringify(name));
});

const BAD_NAMES = ['', 'a b', 'a+b', 'a\nb', 'a\u00a0b', 'a\u0085b', 'a\u2003b', 'a\u0001b', 'a\ud800'];

t.test('verifier keys', async t => {
  const text = 'PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW';
  t.equal(formatVerifierKey(PETER), text);
  t.equal(keyId(PETER.name, TYPE_ED25519, PETER.public_key), 'c74f20a3');
  t.not(keyId(PETER.name, TYPE_COSIGNATURE, PETER.public_key), 'c74f20a3');
  t.same(rawPublicKey(PETER_KEY), PETER.public_key);
  t.same(rawPublicKey(publicKeyFromRaw(PETER.public_key)), PETER.public_key);
  t.equal(formatVerifierKey(WITNESSES[2]!), 'remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2');
  const plus = 'TEST+7997405c+AQcC+FTVKf0jlTdHDY3rbevmnKxxPjigCXlVtGe6RIr6';
  t.equal(formatVerifierKey(parseVerifierKey(plus)), plus, 'base64 may have a plus');

  const accepted: string[] = [];
  const attempt = (mangled: string) => {
    try {
      if (parseVerifierKey(mangled)) accepted.push(mangled);
    } catch (error) {
      if (!(error instanceof NoteError)) throw error;
    }
  };
  for (let from = 0; from <= text.length; from++)
    for (let to = from; to <= text.length; to++) if (to - from < text.length) attempt(text.slice(from, to));
  for (let i = 0; i < text.length; i++)
    attempt(text.slice(0, i) + String.fromCharCode(text.charCodeAt(i) + 1) + text.slice(i + 1));
  for (const more of ['=', '\n', ' ', '+', 'A']) attempt(text + more);
  attempt(text.replace('c74f20a3', 'C74F20A3'));
  attempt('PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==');
  attempt('PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW');
  for (const name of BAD_NAMES) attempt(`${name}+${keyId(name, TYPE_ED25519, PETER.public_key)}+${text.split('+').at(-1)}`);
  t.strictSame(accepted, []);

  for (const length of [0, 31, 33]) {
    const bytes = Buffer.alloc(length);
    const id = keyId('a', TYPE_ED25519, bytes);
    const encoded = Buffer.concat([Buffer.of(TYPE_ED25519), bytes]).toString('base64');
    refuses(t, () => parseVerifierKey(`a+${id}+${encoded}`), `a key of ${length} bytes`);
  }
  for (const name of BAD_NAMES) refuses(t, () => formatVerifierKey({ ...PETER, name }), JSON.stringify(name));
  for (const length of [0, 31, 33]) {
    t.throws(() => formatVerifierKey({ ...PETER, public_key: Buffer.alloc(length) }), RangeError);
    t.throws(() => publicKeyFromRaw(Buffer.alloc(length)), RangeError);
  }
  t.throws(() => rawPublicKey(generateKeyPairSync('x25519').publicKey), RangeError);
});

t.test('what is not a note is refused', async t => {
  const line = PETER_LINE.slice(0, -1);
  const encoded = line.split(' ')[2]!;
  const notes: [what: string, note: string][] = [
    ['nothing', ''],
    ['a text', TEXT],
    ['no lines', `${TEXT}\n`],
    ['no empty line', `${TEXT}${PETER_LINE}`],
    ['no newline at the end', `${TEXT}\n${line}`],
    ['an empty line after it', `${TEXT}\n${PETER_LINE}\n`],
    ['another line', `${TEXT}\n${PETER_LINE}Unexpected line.\n`],
    ['a hyphen', `${TEXT}\n${PETER_LINE.replace('—', '-')}`],
    ['two spaces', `${TEXT}\n${PETER_LINE.replace('— ', '—  ')}`],
    ['a third word', `${TEXT}\n${line} more\n`],
    ['no name', `${TEXT}\n— ${encoded}\n`],
    ['a bad name', `${TEXT}\n— Bad\u00a0Name ${encoded}\n`],
    ['a plus in the name', `${TEXT}\n— Bad+Name ${encoded}\n`],
    ['a carriage return', `${TEXT}\r\n${PETER_LINE}`],
    ['NUL', `\0${TEXT}\n${PETER_LINE}`],
    ['a tab', `\t${TEXT}\n${PETER_LINE}`],
    ['a lone surrogate', `\ud800${TEXT}\n${PETER_LINE}`],
    ['base64 unpadded', `${TEXT}\n${line.replace('=', '')}\n`],
    ['base64 too padded', `${TEXT}\n${line}=\n`],
    ['base64 of another alphabet', `${TEXT}\n${PETER_LINE.replaceAll('/', '_')}`],
    ['base64 with bits left over', `${TEXT}\n${PETER_LINE.replace('nAM=', 'nAN=')}`],
    ['a signature of nothing', `${TEXT}\n— PeterNeumann x08gow==\n`],
    ['101 signatures', `${TEXT}\n${PETER_LINE.repeat(101)}`],
    ['more than 1 MiB', `${'é'.repeat(2 ** 19)}${TEXT}\n${PETER_LINE}`],
  ];
  for (const [what, note] of notes) refuses(t, () => parseNote(note), what);
  t.equal(parseNote(`${TEXT}\n${PETER_LINE.repeat(100)}`).signatures.length, 100);
  t.strictSame(namesOf(`${TEXT}\n${PETER_LINE.repeat(100)}`, [PETER]), ['PeterNeumann']);
  t.equal(parseNote(`a\n\nb\n\n${PETER_LINE}`).text, 'a\n\nb\n', 'the last empty line ends the text');
  t.equal(parseNote(`a\u007f\u0085\ufeff\n\n${PETER_LINE}`).text, 'a\u007f\u0085\ufeff\n', 'only ASCII controls are refused');
});

t.test('whatever is changed in a note, it is not verified with another text', async () => {
  const note = `${TEXT}\n${PETER_LINE}`;
  fc.assert(
    fc.property(fc.nat({ max: note.length - 1 }), fc.string({ unit: 'binary-ascii', maxLength: 2 }), (at, put) => {
      const changed = note.slice(0, at) + put + note.slice(at + 1);
      if (changed === note) return true;
      try {
        verifyNote(parseNote(changed), [PETER]);
        return false;
      } catch (error) {
        return error instanceof NoteError;
      }
    }),
    { numRuns: 500 },
  );
});

t.test('a key that is no point verifies nothing', async t => {
  const public_key = Buffer.alloc(32, 0xff);
  const key = parseVerifierKey(formatVerifierKey({ name: 'PeterNeumann', type: TYPE_ED25519, public_key }));
  const line = `— PeterNeumann ${Buffer.concat([Buffer.from(key.key_id, 'hex'), Buffer.alloc(64)]).toString('base64')}\n`;
  refuses(t, () => namesOf(`${TEXT}\n${line}`, [key]), 'all ones');
  t.equal(decodeBase64('AQ==')?.length, 1);
  for (const text of ['AQ', 'AQ=', 'AR==', 'AQ==\n', ' AQ==', 'A Q=', '*']) t.equal(decodeBase64(text), undefined, text);
});
