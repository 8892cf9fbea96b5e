import fc from 'fast-check';
import t from 'tap';
import {
  idPattern,
  isId,
  PREFIXES,
  parseReference,
  prefixOf,
  REFERENCE_PATTERN,
  referenceFrom,
  typeId,
} from '../../src/core/ids.ts';
import { newId, newReference } from '../../src/platform/ids.ts';

const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
const uuids = fc.uint8Array({ minLength: 16, maxLength: 16 });
const randoms = fc.uint8Array({ minLength: 11, maxLength: 11 });

t.test('TypeIDs are those of the specification', async t => {
  const bytes = (hex: string) => Buffer.from(hex.replaceAll('-', ''), 'hex');
  t.equal(typeId('ref', bytes('0188bac7-4afa-78aa-bc3b-bd1eef28d881')), 'ref_01h2xcejqtf2nbrexx3vqjhp41');
  t.equal(typeId('cas', bytes('00000000-0000-0000-0000-000000000000')), 'cas_00000000000000000000000000');
  t.equal(typeId('cas', bytes('ffffffff-ffff-ffff-ffff-ffffffffffff')), 'cas_7zzzzzzzzzzzzzzzzzzzzzzzzz');
  t.throws(() => typeId('ref', new Uint8Array(15)), RangeError);
  t.throws(() => typeId('ref', new Uint8Array(17)), RangeError);
});

t.test('TypeIDs hold the UUID, sort as it does and are told apart by prefix', async () => {
  fc.assert(
    fc.property(uuids, uuids, fc.constantFrom(...PREFIXES), (a, b, prefix) => {
      const id = typeId(prefix, a);
      const number = [...id.slice(4)].reduce((sum, c) => sum * 32n + BigInt(ALPHABET.indexOf(c.toUpperCase())), 0n);
      return (
        number === BigInt(`0x${Buffer.from(a).toString('hex')}`) &&
        prefixOf(id) === prefix &&
        PREFIXES.every(other => isId(other, id) === (other === prefix)) &&
        Math.sign(Buffer.compare(a, b)) === (id < typeId(prefix, b) ? -1 : id > typeId(prefix, b) ? 1 : 0)
      );
    }),
  );
});

t.test('what is no TypeID', async t => {
  const good = 'ref_01h2xcejqtf2nbrexx3vqjhp41';
  t.ok(isId('ref', good));
  t.equal(idPattern('ref'), '^ref_[0-7][0-9a-hjkmnp-tv-z]{25}$');
  for (const bad of [
    '',
    'ref_',
    'ref',
    good.slice(0, -1),
    `${good}0`,
    `${good}\n`,
    ` ${good}`,
    good.toUpperCase(),
    good.replace('ref', 'xyz'),
    good.replace('_', ''),
    good.replace('_', '-'),
    good.replace('_0', '_8'),
    good.replace('x', 'u'),
    good.replace('x', 'i'),
    good.replace('x', 'l'),
    good.replace('x', 'o'),
  ]) {
    t.notOk(isId('ref', bad), JSON.stringify(bad));
    t.equal(prefixOf(bad), undefined, JSON.stringify(bad));
  }
});

t.test('references: check characters as reckoned by hand', async t => {
  const from = (symbols: string) => referenceFrom(Uint8Array.from(symbols, c => ALPHABET.indexOf(c)));
  t.equal(from('00000000000'), '0000-0000-0000');
  t.equal(from('0123456789A'), '0123-4567-89AM');
  t.equal(from('ZZZZZZZZZZZ'), 'ZZZZ-ZZZZ-ZZZK');
  t.equal(from('ABCD7KQ4M2X'), 'ABCD-7KQ4-M2XA');
  t.equal(referenceFrom(new Uint8Array(11).fill(0b11100000)), '0000-0000-0000', 'the low five bits count');
  t.throws(() => referenceFrom(new Uint8Array(10)), RangeError);
  t.throws(() => referenceFrom(new Uint8Array(12)), RangeError);
});

t.test('references: every wrong character and every swap shows', async () => {
  fc.assert(
    fc.property(randoms, random => {
      const reference = referenceFrom(random);
      const plain = reference.replaceAll('-', '');
      const put = (at: number, c: string, text = plain) => text.slice(0, at) + c + text.slice(at + 1);
      for (let i = 0; i < 12; i++) {
        for (const c of ALPHABET) if (c !== plain[i] && parseReference(put(i, c)) !== undefined) return false;
        for (let j = 0; j < i; j++) {
          const swapped = put(i, plain[j]!, put(j, plain[i]!));
          if (swapped !== plain && parseReference(swapped) !== undefined) return false;
        }
      }
      return new RegExp(REFERENCE_PATTERN).test(reference) && parseReference(reference) === reference;
    }),
    { numRuns: 50 },
  );
});

t.test('references are read as people write them', async t => {
  const heard: [text: string, reference: string][] = [
    ['abcd7kq4m2xa', 'ABCD-7KQ4-M2XA'],
    [' ABCD 7KQ4 M2XA\n', 'ABCD-7KQ4-M2XA'],
    ['A-B-C-D--7KQ4–M2XA', 'ABCD-7KQ4-M2XA'],
    ['\u200fABCD\u2011٧KQ٤\u2011M۲XA\u200e', 'ABCD-7KQ4-M2XA'],
    ['OI23-4567-89AM', '0123-4567-89AM'],
    ['ol23-4567-89am', '0123-4567-89AM'],
    ['oL23 4567 89Am', '0123-4567-89AM'],
  ];
  for (const [text, reference] of heard) t.equal(parseReference(text), reference, JSON.stringify(text));
  for (const text of [
    '',
    '-',
    'ABCD-7KQ4-M2XB',
    'ABCD-7KQ4-M2X',
    'ABCD-7KQ4-M2XA0',
    'ABCD_7KQ4_M2XA',
    'UBCD-7KQ4-M2XA',
    'ABCD-7KQ4-M2X😀',
  ]) {
    t.equal(parseReference(text), undefined, JSON.stringify(text));
  }
  fc.assert(fc.property(fc.string({ unit: 'binary' }), text => parseReference(text) === undefined || text.length >= 12));
});

t.test('new ids and references', async t => {
  const ids = Array.from({ length: 1_000 }, () => newId('evt'));
  t.equal(new Set(ids).size, ids.length);
  t.ok(ids.every(id => isId('evt', id)));
  t.match(ids[0], /^evt_.{10}[ef]/, 'version 7: the four bits 0111 and the one after them');
  const reference = newReference();
  t.equal(parseReference(reference), reference);
});
