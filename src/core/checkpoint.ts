/**
 * Checkpoints (c2sp.org/tlog-checkpoint): what the log signs of itself, without extension lines. Only a checkpoint that was
 * opened, so with the log's signature verified, says anything.
 */

import { HASH_BYTES } from './merkle.ts';
import {
  decodeBase64,
  NoteError,
  parseNote,
  requireText,
  TYPE_COSIGNATURE,
  TYPE_ED25519,
  type VerifierKey,
  verifyNote,
} from './signed-note.ts';

export interface Checkpoint {
  origin: string;
  /** Leaves. */
  size: number;
  /** 32 bytes. */
  root: Buffer;
}

/**
 * The checkpoint's text, three lines, to be signed as a note.
 * @throws NoteError where the origin is not one line; RangeError where the size is not an integer from 0 to below 2^53 or the
 *   root does not have 32 bytes
 */
export function formatCheckpoint({ origin, size, root }: Checkpoint): string {
  if (origin === '' || origin.includes('\n')) throw new NoteError('an origin is one line that is not empty');
  if (!Number.isSafeInteger(size) || size < 0) throw new RangeError(`a tree cannot have ${size} leaves`);
  if (root.length !== HASH_BYTES) throw new RangeError(`a root has 32 bytes, not ${root.length}`);
  const text = `${origin}\n${size}\n${root.toString('base64')}\n`;
  requireText(text);
  return text;
}

/**
 * Reads what `formatCheckpoint` writes, and nothing else.
 * @throws NoteError saying what is wrong
 */
export function parseCheckpoint(text: string): Checkpoint {
  requireText(text);
  const [origin, size, root, ...more] = text.slice(0, -1).split('\n');
  if (!origin) throw new NoteError('the checkpoint has no origin');
  if (size === undefined || root === undefined) throw new NoteError('the checkpoint has fewer than three lines');
  if (more.length > 0) throw new NoteError('the checkpoint has an extension line');
  return { origin, size: parseDecimal(size, 'the size'), root: parseHash(root, 'the root') };
}

export interface OpenedCheckpoint extends Checkpoint {
  /** One for each of the witnesses' keys that signed; the time in seconds since 1970. */
  cosignatures: { name: string; time: number }[];
}

/**
 * The checkpoint that a note holds, signed by the log of that origin.
 * @throws NoteError without a valid signature of the log's key, with one of a known key that is not valid, with another origin
 *   or another text than a checkpoint; RangeError where `log_key` is not of type 0x01 or a witness's not of type 0x04
 */
export function openCheckpoint(
  note: string,
  { origin, log_key, witnesses = [] }: { origin: string; log_key: VerifierKey; witnesses?: readonly VerifierKey[] },
): OpenedCheckpoint {
  if (log_key.type !== TYPE_ED25519) throw new RangeError('a log signs with a key of type 0x01');
  if (witnesses.some(({ type }) => type !== TYPE_COSIGNATURE)) throw new RangeError('a witness signs with a key of type 0x04');
  const parsed = parseNote(note);
  const { verified } = verifyNote(parsed, [log_key, ...witnesses]);
  if (!verified.some(({ name, key_id }) => name === log_key.name && key_id === log_key.key_id))
    throw new NoteError("the log's key did not sign the checkpoint");
  const checkpoint = parseCheckpoint(parsed.text);
  if (checkpoint.origin !== origin) throw new NoteError('the checkpoint is of another origin');
  const cosignatures = verified.flatMap(({ name, time }) => (time === undefined ? [] : [{ name, time }]));
  return { ...checkpoint, cosignatures };
}

/**
 * An integer from 0 to below 2^53, in decimal without leading zeros.
 * @throws NoteError for any other text
 */
export function parseDecimal(text: string, what: string): number {
  const value = Number(text);
  if (!/^(?:0|[1-9]\d*)$/.test(text) || !Number.isSafeInteger(value)) throw new NoteError(`${what} is not a decimal below 2^53`);
  return value;
}

/**
 * 32 bytes in base64.
 * @throws NoteError for any other text
 */
export function parseHash(text: string, what: string): Buffer {
  const bytes = decodeBase64(text);
  if (bytes?.length !== HASH_BYTES) throw new NoteError(`${what} is not the base64 of 32 bytes`);
  return bytes;
}
