/**
 * The file `c2sp.org/tlog-proof@v1`: that one entry is in the log, for whoever has the entry and the log's key. It proves
 * something once its checkpoint was opened and `verifyInclusion` held against that.
 */

import { parseDecimal, parseHash } from './checkpoint.ts';
import { HASH_BYTES } from './merkle.ts';
import { decodeBase64, NoteError } from './signed-note.ts';

const FIRST_LINE = 'c2sp.org/tlog-proof@v1';
/** As c2sp.org/tlog-witness has it for the other kind of proof; trees of below 2^53 leaves need fewer. */
const MOST_HASHES = 63;

export interface TlogProof {
  /** Of the entry, from 0. */
  index: number;
  /** RFC 6962, section 2.1.1: from the leaf's sibling up. */
  proof: Buffer[];
  /** The signed note as it stands. */
  checkpoint: string;
  /** Whatever the log's application adds. Nobody signs it; our log adds nothing. */
  extra?: Buffer;
}

/**
 * The text of the file.
 * @throws RangeError where a part cannot be what it should be
 */
export function formatTlogProof({ index, proof, checkpoint, extra }: TlogProof): string {
  if (!Number.isSafeInteger(index) || index < 0) throw new RangeError(`a log has no entry ${index}`);
  if (proof.length > MOST_HASHES) throw new RangeError(`an inclusion proof does not have ${proof.length} hashes`);
  if (proof.some(it => it.length !== HASH_BYTES)) throw new RangeError('a hash has 32 bytes');
  if (checkpoint === '' || !checkpoint.endsWith('\n')) throw new RangeError('a checkpoint ends in a newline');
  if (extra?.length === 0) throw new RangeError('extra data is not empty');
  const lines = [`index ${index}`, ...proof.map(it => it.toString('base64'))];
  if (extra !== undefined) lines.unshift(`extra ${extra.toString('base64')}`);
  return `${FIRST_LINE}\n${lines.join('\n')}\n\n${checkpoint}`;
}

/**
 * Splits the file. Nothing is verified; the checkpoint may be anything that ends in a newline.
 * @throws NoteError saying what is wrong
 */
export function parseTlogProof(text: string): TlogProof {
  const end = text.indexOf('\n\n');
  if (!text.startsWith(`${FIRST_LINE}\n`)) throw new NoteError(`a tlog proof begins with ${FIRST_LINE}`);
  if (end < 0 || end + 2 === text.length || !text.endsWith('\n')) throw new NoteError('the tlog proof has no checkpoint');
  const lines = text.slice(FIRST_LINE.length + 1, end).split('\n');
  const extraText = lines[0]?.startsWith('extra ') ? lines.shift()?.slice('extra '.length) : undefined;
  const extra = extraText ? decodeBase64(extraText) : undefined;
  if (extraText !== undefined && extra === undefined) throw new NoteError('the extra data of the tlog proof is not base64');
  const [indexLine, ...hashes] = lines;
  if (!indexLine?.startsWith('index ')) throw new NoteError('the tlog proof has no index');
  if (hashes.length > MOST_HASHES) throw new NoteError(`the tlog proof has more than ${MOST_HASHES} hashes`);
  const index = parseDecimal(indexLine.slice('index '.length), 'the index');
  const proof = hashes.map(it => parseHash(it, 'a hash of the tlog proof'));
  const checkpoint = text.slice(end + 2);
  return extra === undefined ? { index, proof, checkpoint } : { index, proof, checkpoint, extra };
}
