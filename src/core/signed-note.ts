/**
 * Signed notes (c2sp.org/signed-note) with the two kinds of signature that the trail has: the log's own, Ed25519 over the
 * note's text, and a witness's timestamped cosignature (c2sp.org/tlog-cosignature). A key that is not known says nothing; a
 * known one that does not fit makes the note worthless.
 */

import { createPublicKey, hash, type KeyObject, sign, verify } from 'node:crypto';

/** Signature types of the specification: what `type` is in a verifier key. */
export const TYPE_ED25519 = 0x01;
export const TYPE_COSIGNATURE = 0x04;

const PUBLIC_KEY_BYTES = 32;
const KEY_ID_BYTES = 4;
const TIME_BYTES = 8;
const SIGNATURE_BYTES = 64;
/** As golang.org/x/mod/sumdb/note; the specification asks for 16 at least. */
const MOST_SIGNATURES = 100;
const LONGEST_NOTE_BYTES = 2 ** 20;
/** Below U+0020, but newlines. */
const CONTROL = /[[\p{Cc}&&\p{ASCII}]--[\n\x7f]]/v;

/** What is wrong with a note, a key, a checkpoint or a proof, in one line. */
export class NoteError extends Error {
  override name = 'NoteError';
}

export interface VerifierKey {
  name: string;
  /** 8 lower-case hex digits. */
  key_id: string;
  type: number;
  /** 32 raw bytes. */
  public_key: Buffer;
}

export interface NoteSignature {
  name: string;
  key_id: string;
  /** What follows the key id: for a cosignature the time, too. */
  signature: Buffer;
}

export interface Note {
  /** Ends in a newline. */
  text: string;
  signatures: NoteSignature[];
}

export interface Signer {
  name: string;
  /** Private, Ed25519. */
  key: KeyObject;
}

/** SHA-256(name ‖ 0x0A ‖ type ‖ public key)[:4], in hex. */
export const keyId = (name: string, type: number, public_key: Uint8Array): string =>
  hash('sha256', Buffer.concat([Buffer.from(`${name}\n`), Buffer.of(type), public_key])).slice(0, 2 * KEY_ID_BYTES);

/**
 * Reads `name+hex(key id)+base64(type ‖ public key)`.
 * @throws NoteError where it is anything else, the key id is not that of the key, or the type is neither of the two
 */
export function parseVerifierKey(text: string): VerifierKey {
  const [, name, key_id, encoded] = /^([^+]*)\+([0-9a-f]{8})\+(.*)$/s.exec(text) ?? [];
  const bytes = encoded === undefined ? undefined : decodeBase64(encoded);
  if (name === undefined || key_id === undefined || bytes === undefined)
    throw new NoteError('a verifier key is name+key id+base64');
  requireName(name);
  const type = bytes[0];
  if (type !== TYPE_ED25519 && type !== TYPE_COSIGNATURE) throw new NoteError('the verifier key has an unknown type');
  const public_key = bytes.subarray(1);
  if (public_key.length !== PUBLIC_KEY_BYTES) throw new NoteError(`the verifier key has ${public_key.length} bytes of key`);
  if (keyId(name, type, public_key) !== key_id) throw new NoteError('the key id is not that of the verifier key');
  return { name, key_id, type, public_key };
}

/**
 * The verifier key's text; its id is computed.
 * @throws NoteError where the name cannot be one; RangeError where the key does not have 32 bytes
 */
export function formatVerifierKey({ name, type, public_key }: Omit<VerifierKey, 'key_id'>): string {
  requireName(name);
  if (public_key.length !== PUBLIC_KEY_BYTES) throw new RangeError(`a public key has 32 bytes, not ${public_key.length}`);
  return `${name}+${keyId(name, type, public_key)}+${Buffer.concat([Buffer.of(type), public_key]).toString('base64')}`;
}

/**
 * The 32 bytes of an Ed25519 key's public half (RFC 8032), whichever half is given.
 * @throws RangeError for a key of another kind
 */
export function rawPublicKey(key: KeyObject): Buffer {
  if (key.asymmetricKeyType !== 'ed25519') throw new RangeError('a note is signed with an Ed25519 key');
  const { x } = (key.type === 'private' ? createPublicKey(key) : key).export({ format: 'jwk' });
  return Buffer.from(x as string, 'base64url');
}

/**
 * The Ed25519 public key of these 32 bytes.
 * @throws RangeError for another length
 */
export function publicKeyFromRaw(raw: Uint8Array): KeyObject {
  if (raw.length !== PUBLIC_KEY_BYTES) throw new RangeError(`a public key has 32 bytes, not ${raw.length}`);
  return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: Buffer.from(raw).toString('base64url') }, format: 'jwk' });
}

/**
 * The note: text, empty line, one signature line per signer in their order.
 * @throws NoteError where the text or a name cannot be in a note; RangeError without a signer or for a key that is not Ed25519
 */
export function signNote(text: string, ...signers: Signer[]): string {
  if (signers.length === 0) throw new RangeError('a note has a signature');
  requireText(text);
  const lines = signers.map(signer => signatureLine(signer, TYPE_ED25519, Buffer.from(text)));
  return `${text}\n${lines.join('')}`;
}

/**
 * A witness's signature line over a checkpoint's text, to be put after the lines that its note has. `time` is in seconds
 * since 1970.
 * @throws NoteError where the text or the name cannot be in a note; RangeError for a time that is not positive and whole, or a
 *   key that is not Ed25519
 */
export function cosign(checkpoint_text: string, { name, key, time }: Signer & { time: number }): string {
  if (!Number.isSafeInteger(time) || time <= 0) throw new RangeError('a cosignature is made at a time in whole seconds');
  requireText(checkpoint_text);
  const at = Buffer.alloc(TIME_BYTES);
  at.writeBigUInt64BE(BigInt(time));
  return signatureLine({ name, key }, TYPE_COSIGNATURE, cosigned(checkpoint_text, BigInt(time)), at);
}

/**
 * Splits a note, whosever signatures it has. Nothing is verified.
 * @throws NoteError where it is not a note, is longer than 1 MiB or has more than 100 signatures
 */
export function parseNote(note: string): Note {
  if (Buffer.byteLength(note) > LONGEST_NOTE_BYTES) throw new NoteError('the note is longer than 1 MiB');
  requireText(note);
  // The text may have empty lines: the last one ends it.
  const end = note.lastIndexOf('\n\n') + 1;
  if (end === 0) throw new NoteError('the note has no signature');
  const lines = note.slice(end + 1, -1).split('\n');
  if (lines.length > MOST_SIGNATURES) throw new NoteError(`the note has more than ${MOST_SIGNATURES} signatures`);
  return { text: note.slice(0, end), signatures: lines.map(parseSignature) };
}

/** A known key that signed, once however often it did; with the time that it first names, in seconds, for a cosignature. */
export interface Verified {
  name: string;
  key_id: string;
  time?: number;
}

/**
 * Which of the known keys signed the note. Signatures of other keys are passed over.
 * @throws NoteError where a signature under a known key's name and id is not valid, or there is none
 */
export function verifyNote({ text, signatures }: Note, known: readonly VerifierKey[]): { verified: Verified[] } {
  const verified: Verified[] = [];
  for (const { name, key_id, signature } of signatures) {
    const key = known.find(it => it.name === name && it.key_id === key_id);
    if (key === undefined) continue;
    const time = verifySignature(text, signature, key);
    if (verified.some(it => it.name === name && it.key_id === key_id)) continue;
    verified.push(time === undefined ? { name, key_id } : { name, key_id, time });
  }
  if (verified.length === 0) throw new NoteError('no known key signed the note');
  return { verified };
}

/** Bytes of base64 in its one canonical form; undefined for any other text. */
export function decodeBase64(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64');
  // Buffer skips what is not base64.
  return bytes.toString('base64') === text ? bytes : undefined;
}

/**
 * @throws NoteError where a note cannot have the text: lone surrogates, control characters below U+0020 but newlines, no
 *   newline at the end
 */
export function requireText(text: string): void {
  if (!text.isWellFormed()) throw new NoteError('the text is not well-formed Unicode');
  if (CONTROL.test(text)) throw new NoteError('the text has a control character');
  if (!text.endsWith('\n')) throw new NoteError('the text does not end in a newline');
}

function requireName(name: string): void {
  if (!name.isWellFormed() || CONTROL.test(name) || !/^[^\p{White_Space}+]+$/u.test(name))
    throw new NoteError('a key name is not empty and has no space, plus or control character');
}

function parseSignature(line: string): NoteSignature {
  const [, name, encoded] = /^— ([^ ]+) ([^ ]+)$/.exec(line) ?? [];
  if (name === undefined || encoded === undefined) throw new NoteError('a signature line is — name base64');
  requireName(name);
  const bytes = decodeBase64(encoded);
  if (bytes === undefined || bytes.length <= KEY_ID_BYTES) throw new NoteError(`the signature of ${name} is malformed`);
  return { name, key_id: bytes.toString('hex', 0, KEY_ID_BYTES), signature: bytes.subarray(KEY_ID_BYTES) };
}

function signatureLine({ name, key }: Signer, type: number, message: Buffer, time = Buffer.alloc(0)): string {
  requireName(name);
  const id = Buffer.from(keyId(name, type, rawPublicKey(key)), 'hex');
  return `— ${name} ${Buffer.concat([id, time, sign(null, message, key)]).toString('base64')}\n`;
}

const cosigned = (text: string, time: bigint): Buffer => Buffer.from(`cosignature/v1\ntime ${time}\n${text}`);

/** The time of a cosignature, in seconds; nothing of another signature. */
function verifySignature(text: string, signature: Buffer, { name, key_id, type, public_key }: VerifierKey): number | undefined {
  const timed = type === TYPE_COSIGNATURE;
  const isLong = signature.length === SIGNATURE_BYTES + (timed ? TIME_BYTES : 0);
  const time = timed && isLong ? signature.readBigUInt64BE() : 0n;
  const message = timed ? cosigned(text, time) : Buffer.from(text);
  const bytes = timed ? signature.subarray(TIME_BYTES) : signature;
  if (!isLong || time > Number.MAX_SAFE_INTEGER || !verify(null, message, publicKeyFromRaw(public_key), bytes))
    throw new NoteError(`the signature of ${name}+${key_id} is not valid`);
  return timed ? Number(time) : undefined;
}
