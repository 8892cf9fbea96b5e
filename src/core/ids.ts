import { hash } from 'node:crypto';

/**
 * The names of things: TypeIDs for machines, references for people on the telephone. Pure; randomness is handed in
 * (`platform/ids.ts`).
 */

/** Crockford's base32: no I, L, O (misread) and no U. TypeIDs write it in lower case, references in upper case. */
const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';
const SYMBOL = '[0-9a-hjkmnp-tv-z]';

/** Agency, expert, client, caseworker, report, case, group, screening, decision, consent, … as the HTTP contract names them. */
export const PREFIXES = [
  'agy',
  'xpt',
  'xrq',
  'cli',
  'cwk',
  'rpt',
  'cas',
  'grp',
  'scr',
  'dec',
  'cns',
  'ref',
  'off',
  'msg',
  'tmr',
  'cal',
  'whe',
  'dlv',
  'evt',
  'dsc',
  'inq',
  'esc',
  'crm',
  'imp',
  'sep',
  'bat',
] as const;

export type Prefix = (typeof PREFIXES)[number];

/** Source of an anchored regular expression for the TypeIDs with this prefix, as a JSON schema's `pattern` takes it. */
export const idPattern = (prefix: Prefix): string => `^${prefix}_[0-7]${SYMBOL}{25}$`;

const PATTERNS = new Map(PREFIXES.map(prefix => [prefix, new RegExp(idPattern(prefix))]));

/** Whether `value` is a well-formed TypeID with this prefix; not whether anything has that id. */
export const isId = (prefix: Prefix, value: string): boolean => PATTERNS.get(prefix)!.test(value);

/** The prefix of a well-formed TypeID, undefined for anything else. */
export const prefixOf = (id: string): Prefix | undefined => PREFIXES.find(prefix => isId(prefix, id));

/**
 * TypeID (specification 0.3) of a UUID: the prefix, `_`, and the 128 bits as 26 characters of base32, big-endian behind two
 * zero bits, so that ids sort as their UUIDs do.
 * @throws RangeError where `uuid` is not 16 bytes
 */
export function typeId(prefix: Prefix, uuid: Uint8Array): string {
  if (uuid.length !== 16) throw new RangeError('a UUID has 16 bytes');
  let id = `${prefix}_`;
  let pending = 0;
  let bits = 2;
  for (const byte of uuid) {
    pending = ((pending << 8) | byte) & 0xfff;
    for (bits += 8; bits >= 5; bits -= 5) id += ALPHABET[(pending >> (bits - 5)) & 31];
  }
  return id;
}

/** The UUID of a well-formed TypeID, as HSDS writes it. */
export function uuidOf(id: string): string {
  const bits = Array.from(id.slice(id.indexOf('_') + 1), symbol => ALPHABET.indexOf(symbol).toString(2).padStart(5, '0')).join(
    '',
  );
  return hyphenated(BigInt(`0b${bits}`).toString(16).padStart(32, '0'));
}

/** A UUID (version 8) that anybody makes of the same name: of what has no id of its own. */
export function uuidOfName(name: string): string {
  const hex = hash('sha256', name, 'hex');
  return hyphenated(`${hex.slice(0, 12)}8${hex.slice(13, 16)}8${hex.slice(17, 32)}`);
}

/** The TypeID of a UUID in its usual form; undefined for anything else. */
export const idOfUuid = (prefix: Prefix, uuid: string): string | undefined =>
  /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(uuid)
    ? typeId(prefix, Buffer.from(uuid.replaceAll('-', ''), 'hex'))
    : undefined;

const hyphenated = (hex: string): string => hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');

/**
 * Check value of a reference: Damm's algorithm over GF(32), doubling modulo x⁵ + x² + 1. Luhn mod 32 misses 0Z against Z0,
 * as Luhn does in every even base. Here the k-th symbol from the end weighs αᵏ; all twelve weights are different and none is
 * zero, so one wrong character and any two swapped ones, neighbours or not, always show.
 */
const check = (symbols: readonly number[]): number =>
  symbols.reduce((sum, symbol) => {
    const mixed = sum ^ symbol;
    return mixed & 16 ? (mixed << 1) ^ 0b100101 : mixed << 1;
  }, 0);

/** Source of an anchored regular expression for references in canonical form; it does not know the check character. */
export const REFERENCE_PATTERN = '^[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}$';

/**
 * A reference like `ABCD-7KQ4-M2X9`: eleven random symbols (55 bits, the low five of each byte) and a check character.
 * @throws RangeError where `random` is not 11 bytes
 */
export function referenceFrom(random: Uint8Array): string {
  if (random.length !== 11) throw new RangeError('a reference takes 11 random bytes');
  const symbols = Array.from(random, byte => byte & 31);
  return grouped([...symbols, check(symbols)].map(symbol => ALPHABET[symbol]).join(''));
}

/**
 * The canonical form of a reference as somebody heard, typed or pasted it: any case, O for 0, I or L for 1, Arabic or Persian
 * digits, blanks, dashes and writing-direction marks anywhere. Undefined where it is no reference or the check fails.
 */
export function parseReference(text: string): string | undefined {
  const plain = text
    .toLowerCase()
    .replace(/[\s\p{Dash_Punctuation}\p{Format}]/gu, '')
    .replace(/[٠-٩۰-۹]/g, digit => String(digit.charCodeAt(0) & 15))
    .replaceAll('o', '0')
    .replace(/[il]/g, '1');
  const symbols = Array.from(plain, character => ALPHABET.indexOf(character));
  return symbols.length === 12 && !symbols.includes(-1) && check(symbols) === 0 ? grouped(plain) : undefined;
}

const grouped = (plain: string): string => plain.toUpperCase().replace(/(.{4})(?=.)/g, '$1-');
