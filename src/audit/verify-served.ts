/**
 * Checks the log from what the service gives to auditors: checkpoint, entry bundles and tiles (c2sp.org/tlog-tiles). Entries
 * hold no records, so that no commitment can be checked; an export has them.
 */

import { type Appended, HASH_BYTES, TILE_WIDTH, tilePath, tileWidth } from '../core/merkle.ts';
import { type Checked, type Demands, Lie, openLog, startLog, Unreadable } from './verify-log.ts';

type Tile = Appended['tiles'][number];

const LONGEST_NOTE_BYTES = 2 ** 20;
const LENGTH_BYTES = 2;
/** Far more than what entries have; one that is longer is to be named by its index. */
const LONGEST_BUNDLE_BYTES = TILE_WIDTH * (LENGTH_BYTES + 1_024);

/** Answers with what stands at the path, of at most so many bytes, or throws `Unreadable`. */
export type Get = (path: string, most_bytes: number) => Promise<Buffer>;

export interface CheckedServed extends Checked {
  tiles: number;
}

/**
 * @throws Lie at the first thing that is wrong with the log
 * @throws Unreadable where an answer is not what the path should have
 */
export async function verifyServed(get: Get, demands: Demands): Promise<CheckedServed> {
  const witnessed = demands.quorum > 0 ? '?witnessed=true' : '';
  const note = await get(`/v1/audit/checkpoint${witnessed}`, LONGEST_NOTE_BYTES);
  const checkpoint = openLog(note.toString(), demands);
  const { size } = checkpoint;
  let grown: Tile[] = [];
  const isDone = ({ level, index, bytes }: Tile) => bytes.length === tileWidth(level, index, size) * HASH_BYTES;
  const log = startLog(checkpoint, demands, tile => {
    if (isDone(tile)) grown.push(tile);
  });

  let tiles = 0;
  for (let first = 0; first < size; first += TILE_WIDTH) {
    const tile = first / TILE_WIDTH;
    const path = `/v1/audit/${tilePath('entries', tile, tileWidth('entries', tile, size))}`;
    const bundle = await get(path, LONGEST_BUNDLE_BYTES);
    for (const [at, entry] of entriesOf(bundle, first, Math.min(first + TILE_WIDTH, size))) log.add(at, entry);
    log.grow();
    for (const tile of grown) await compareTile(get, tile, size);
    tiles += grown.length;
    grown = [];
  }
  return { ...log.finish(), tiles };
}

/** Entries of a bundle, each after its length in two bytes. */
function* entriesOf(bundle: Buffer, first: number, end: number): Generator<[index: number, entry: Buffer]> {
  let at = 0;
  for (let index = first; index < end; index++) {
    const start = at + LENGTH_BYTES;
    const length = start <= bundle.length ? bundle.readUInt16BE(at) : 0;
    if (start + length > bundle.length || length === 0) throw new Unreadable(`index ${index}: its entry bundle is cut off`);
    yield [index, bundle.subarray(start, start + length)];
    at = start + length;
  }
  if (at < bundle.length) throw new Unreadable(`index ${end - 1}: its entry bundle goes on behind it`);
}

/** A tile of the log against what the entries make of it. */
async function compareTile(get: Get, { level, index, bytes }: Tile, size: number): Promise<void> {
  const path = tilePath(level, index, bytes.length / HASH_BYTES);
  const served = await get(`/v1/audit/${path}`, TILE_WIDTH * HASH_BYTES);
  if (served.length !== bytes.length) throw new Unreadable(`${path}: ${served.length} bytes, not ${bytes.length}`);
  if (served.equals(bytes)) return;
  const hash = Array.from({ length: bytes.length / HASH_BYTES }, (_, at) => at * HASH_BYTES).findIndex(
    at => bytes.compare(served, at, at + HASH_BYTES, at, at + HASH_BYTES) !== 0,
  );
  const leaves = TILE_WIDTH ** level;
  const from = (index * TILE_WIDTH + hash) * leaves;
  const to = Math.min(from + leaves, size) - 1;
  throw new Lie(`index ${from}${to > from ? ` to ${to}` : ''}: ${path} has another hash than what its entries make`);
}
