/**
 * The bytes of the trail ("The trail", section "Entry"): what is committed to, how, and what stands in the log. Whoever
 * recomputes these from an export must get the same bytes, on any platform, in ten years; nothing here may ever change but
 * under a new version string. HMAC is RFC 2104 with SHA-256, canonical JSON is RFC 8785.
 */

import { hash } from 'node:crypto';
import canonicalize from 'canonicalize';

/**
 * RFC 8785 text of a record: strings, booleans, null, integers of magnitude below 2^53, arrays and plain objects of these.
 * @throws TypeError for anything else, among it `undefined` members, fractions, dates and lone surrogates: what JSON would
 *   drop, round or replace in silence must not be committed to
 */
export function canonicalJson(value: unknown): string {
  // What was canonical once comes so out of JSON.parse: most that is verified.
  return isInOrder(value) ? JSON.stringify(value) : (canonicalize(value) as string);
}

/** Whether all members stand in canonical order. @throws TypeError for what cannot be recorded */
function isInOrder(value: unknown): boolean {
  if (value === null || typeof value === 'boolean') return true;
  if (typeof value === 'string' && value.isWellFormed()) return true;
  if (typeof value === 'number' && Number.isSafeInteger(value)) return true;
  let in_order = true;
  if (Array.isArray(value)) {
    for (const item of value) in_order = isInOrder(item) && in_order;
    return in_order;
  }
  if (typeof value === 'object' && [Object.prototype, null].includes(Object.getPrototypeOf(value))) {
    let before = '';
    for (const name of Object.keys(value)) {
      isInOrder(name);
      in_order = isInOrder((value as Record<string, unknown>)[name]) && before <= name && in_order;
      before = name;
    }
    return in_order;
  }
  throw new TypeError(`a record cannot hold this ${typeof value}`);
}

/**
 * Commitment to an entry's `meta`, given as the stored canonical text. 32 bytes.
 * @throws RangeError where the salt is not 32 bytes; TypeError where the text is not well-formed Unicode
 */
export const commitMeta = (salt: Uint8Array, metaText: string): Buffer => commitText(salt, 'nrm-audit-meta/v1\n', metaText);

/**
 * Commitment to one subject record, given as the stored canonical text. 32 bytes.
 * @throws RangeError where the salt is not 32 bytes; TypeError where the text is not well-formed Unicode
 */
export const commitSubject = (salt: Uint8Array, recordText: string): Buffer =>
  commitText(salt, 'nrm-audit-subject/v1\n', recordText);

/**
 * Commitment to the subject commits of an entry, in whichever order they come, also to none. 32 bytes.
 * @throws RangeError where the salt or a commit is not 32 bytes
 */
export function commitPersonal(salt: Uint8Array, subjectCommits: readonly Uint8Array[]): Buffer {
  for (const commit of subjectCommits) requireLength(commit, 32, 'a subject commit');
  return hmac(salt, 'nrm-audit-personal/v1\n', Buffer.concat(subjectCommits.toSorted(Buffer.compare)));
}

/** With what an entry begins, and its length in bytes. */
export const VERSION_LINE: Buffer = Buffer.from('nrm-audit/v1\n');
export const ENTRY_BYTES = 93;

/**
 * The 93 bytes of an entry: version line, entry id, both commitments.
 * @throws RangeError where a part does not have its length (16, 32, 32)
 */
export function auditEntry(entryId: Uint8Array, metaCommit: Uint8Array, personalCommit: Uint8Array): Buffer {
  requireLength(entryId, 16, 'an entry id');
  requireLength(metaCommit, 32, 'a commitment');
  requireLength(personalCommit, 32, 'a commitment');
  return Buffer.concat([VERSION_LINE, entryId, metaCommit, personalCommit]);
}

/** RFC 6962 leaf hash of an entry: SHA-256(0x00 ‖ entry). 32 bytes. */
export function leafHash(entry: Uint8Array): Buffer {
  if (entry.length !== ENTRY_BYTES) return hash('sha256', Buffer.concat([Buffer.of(0), entry]), 'buffer');
  LEAF.set(entry, 1);
  return hash('sha256', LEAF, 'buffer');
}

/** Written over for each. */
const LEAF = Buffer.alloc(1 + ENTRY_BYTES);

function commitText(salt: Uint8Array, label: string, text: string): Buffer {
  // UTF-8 writes every lone surrogate as U+FFFD: different texts would have one commitment.
  if (!text.isWellFormed()) throw new TypeError('the text is not well-formed Unicode');
  return hmac(salt, label, text);
}

/** Two one-shot hashes: `createHmac` takes longer to set up than to hash texts as short as these. */
function hmac(salt: Uint8Array, label: string, message: string | Buffer): Buffer {
  requireLength(salt, 32, 'a salt');
  const start = HMAC_BLOCK_BYTES + label.length;
  const inner = Buffer.allocUnsafe(start + Buffer.byteLength(message));
  padKey(inner, salt, 0x36);
  inner.write(label, HMAC_BLOCK_BYTES, 'latin1');
  if (typeof message === 'string') inner.write(message, start);
  else inner.set(message, start);
  const outer = Buffer.allocUnsafe(HMAC_BLOCK_BYTES + 32);
  padKey(outer, salt, 0x5c);
  outer.set(hash('sha256', inner, 'buffer'), HMAC_BLOCK_BYTES);
  return hash('sha256', outer, 'buffer');
}

const HMAC_BLOCK_BYTES = 64;

function padKey(block: Buffer, key: Uint8Array, pad: number): void {
  block.fill(pad, key.length, HMAC_BLOCK_BYTES);
  for (let i = 0; i < key.length; i++) block[i] = key[i]! ^ pad;
}

function requireLength(bytes: Uint8Array, length: number, what: string): void {
  if (bytes.length !== length) throw new RangeError(`${what} has ${length} bytes`);
}
