import fc from 'fast-check';
import t from 'tap';
import { auditEntry, canonicalJson, commitMeta, commitPersonal, commitSubject, leafHash } from '../../src/core/canonical.ts';

t.test('canonical JSON is that of RFC 8785', async t => {
  t.equal(
    canonicalJson({ b: [true, null, -1], a: { z: '', é: 'é' }, 10: 0, 9: Number.MAX_SAFE_INTEGER }),
    '{"10":0,"9":9007199254740991,"a":{"z":"","é":"é"},"b":[true,null,-1]}',
  );
  t.equal(canonicalJson('\u20ac$\u000f\nA\'B"\\\\"/\u007f\u2028'), '"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/\u007f\u2028"');
  t.equal(
    canonicalJson({ '\u20ac': 1, '\r': 2, '\ufb33': 3, '1': 4, '😀': 5, '\u0080': 6, ö: 7 }),
    '{"\\r":2,"1":4,"\u0080":6,"ö":7,"€":1,"😀":5,"\ufb33":3}',
    'by UTF-16 unit',
  );
  t.equal(canonicalJson(-0), '0');
  t.equal(canonicalJson(Object.assign(Object.create(null), { a: 1 })), '{"a":1}');
  t.equal(canonicalJson(JSON.parse('{"__proto__":{"a":1}}')), '{"__proto__":{"a":1}}');
});

t.test('what a record may not hold is refused, at any depth', async t => {
  const circle: unknown[] = [];
  circle.push(circle);
  const refused: [what: string, value: unknown][] = [
    ['undefined', undefined],
    ['a fraction', 0.5],
    ['2^53', 2 ** 53],
    ['-2^53', -(2 ** 53)],
    ['NaN', Number.NaN],
    ['infinity', Number.POSITIVE_INFINITY],
    ['a bigint', 1n],
    ['a function', () => 1],
    ['a symbol', Symbol('s')],
    ['a date', new Date(0)],
    ['a map', new Map()],
    ['bytes', Buffer.from('a')],
    ['a boxed string', Object('a')],
    ['toJSON', { toJSON: () => 1 }],
    ['a high surrogate', 'a\ud800'],
    ['a low surrogate', '\udc00a'],
    ['a surrogate in a name', { '\ud800': 1 }],
    ['a hole', new Array(1)],
  ];
  for (const [what, value] of refused) {
    t.throws(() => canonicalJson(value), TypeError, what);
    t.throws(() => canonicalJson({ a: [{ b: value }] }), TypeError, `${what}, inside`);
  }
  t.throws(() => canonicalJson(circle));
});

t.test('canonical JSON does not depend on the order of members and reads back', async () => {
  const leaf = fc.oneof(fc.string({ unit: 'grapheme' }), fc.boolean(), fc.constant(null), fc.maxSafeInteger());
  const record = fc.object({ key: fc.string({ unit: 'grapheme' }), values: [leaf] });
  const reversed = (value: unknown): unknown =>
    Array.isArray(value)
      ? value.map(reversed)
      : value !== null && typeof value === 'object'
        ? Object.fromEntries(
            Object.entries(value)
              .reverse()
              .map(([name, member]) => [name, reversed(member)]),
          )
        : value;
  fc.assert(
    fc.property(record, value => {
      const text = canonicalJson(value);
      return canonicalJson(reversed(value)) === text && canonicalJson(JSON.parse(text)) === text;
    }),
  );
});

// Reckoned with Python's hmac and hashlib from the byte strings of the contract.
const SALT = Uint8Array.from({ length: 32 }, (_, i) => i);
const META = '{"action":"referral.accept","at":"2026-11-21T19:02:03.123Z","subjects":1,"v":1}';
const RECORD = '{"changed":["given_name"],"name":"مريم","subject_id":"cas_01k9z0000000000000000000c1"}';
const META_COMMIT = 'e900ec94f35affcc209fae5c37e3af5b4bf649f2eca2d77efb1e75ae6749ecad';
const SUBJECT_COMMIT = '279716cc21aa915b496aaf290217a67e0a4eeb2ca417207413003a23412e261c';
const PERSONAL_COMMIT = '97daaf0b928a678293831bb67aaa324e62245e3835321f0e25f09c308c31308e';
const EMPTY_COMMIT = '1ede10381365e7494885a5ea54b72cb2ecc501a2ae6efde296f13c1a80d95787';
const ENTRY =
  '6e726d2d61756469742f76310a404142434445464748494a4b4c4d4e4fe900ec94f35affcc209fae5c37e3af5b4bf649f2eca2d77efb1e75ae6749ecad97daaf0b928a678293831bb67aaa324e62245e3835321f0e25f09c308c31308e';
const LEAF = '10e3daabe5cf70168c9103aa5a0674483fba3278aa9bd9802f4854ed1c34106c';

t.test('known bytes', async t => {
  const commits = [Buffer.alloc(32, 0xff), Buffer.alloc(32, 0x7f), Buffer.concat([Buffer.alloc(31), Buffer.of(1)])];
  t.equal(commitMeta(SALT, META).toString('hex'), META_COMMIT);
  t.equal(commitSubject(SALT, RECORD).toString('hex'), SUBJECT_COMMIT);
  t.equal(commitPersonal(SALT, commits).toString('hex'), PERSONAL_COMMIT);
  t.equal(commitPersonal(SALT, commits.toReversed()).toString('hex'), PERSONAL_COMMIT, 'in any order');
  t.equal(commits[0]![0], 0xff, 'the list handed in stays as it was');
  t.equal(commitPersonal(SALT, []).toString('hex'), EMPTY_COMMIT);

  const entryId = Uint8Array.from({ length: 16 }, (_, i) => 0x40 + i);
  const entry = auditEntry(entryId, Buffer.from(META_COMMIT, 'hex'), Buffer.from(PERSONAL_COMMIT, 'hex'));
  t.equal(entry.length, 93);
  t.equal(entry.toString('hex'), ENTRY);
  t.equal(leafHash(entry).toString('hex'), LEAF);
  t.equal(canonicalJson(JSON.parse(META)), META);
  t.equal(canonicalJson(JSON.parse(RECORD)), RECORD);
});

t.test('lengths are exact', async t => {
  const commit = Buffer.alloc(32);
  for (const length of [0, 16, 31, 33, 64]) {
    const bytes = Buffer.alloc(length);
    t.throws(() => commitMeta(bytes, META), RangeError);
    t.throws(() => commitSubject(bytes, RECORD), RangeError);
    t.throws(() => commitPersonal(bytes, []), RangeError);
    t.throws(() => commitPersonal(SALT, [commit, bytes]), RangeError);
    t.throws(() => auditEntry(Buffer.alloc(16), bytes, commit), RangeError);
    t.throws(() => auditEntry(Buffer.alloc(16), commit, bytes), RangeError);
  }
  t.throws(() => auditEntry(Buffer.alloc(32), commit, commit), RangeError);
});

t.test('texts that UTF-8 would make one have no commitment', async t => {
  t.throws(() => commitMeta(SALT, '"\ud800"'), TypeError);
  t.throws(() => commitSubject(SALT, '"\udfff"'), TypeError);
});
