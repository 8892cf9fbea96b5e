/**
 * The tree of the trail: RFC 6962, section 2.1, over hashes that somebody else stores, in tiles of height 8 as
 * c2sp.org/tlog-tiles has them. Nothing here knows where hashes come from. Sizes and indices are below 2^53, so no 32-bit
 * operator may touch them; a division by a power of two is exact.
 */

import { hash } from 'node:crypto';

export const HASH_BYTES = 32;
/** Hashes of a full tile. */
export const TILE_WIDTH = 256;
const TILE_HEIGHT = 8;
const TILE_BYTES = TILE_WIDTH * HASH_BYTES;
/** Of the specification; sizes below 2^53 never get beyond level 6. */
const HIGHEST_TILE_LEVEL = 63;
const EDGE_LEVELS = 7;

/** The prefix and two hashes; written over for each. */
const NODE = Buffer.alloc(1 + 2 * HASH_BYTES, 1);

/** Root of the tree without leaves: SHA-256 of nothing. */
export const EMPTY_ROOT: Buffer = hash('sha256', '', 'buffer');

/** SHA-256(0x01 ‖ left ‖ right). 32 bytes. */
export function nodeHash(left: Uint8Array, right: Uint8Array): Buffer {
  NODE.set(left, 1);
  NODE.set(right, 1 + HASH_BYTES);
  return hash('sha256', NODE, 'buffer');
}

/** The complete subtree of 2^level leaves that is number `index` from the left. */
export interface Node {
  level: number;
  index: number;
}

/** Answers with the hashes of the nodes, in their order. */
export type ReadNodes = (nodes: Node[]) => Promise<Buffer[]>;

/**
 * The complete subtrees that make the root of a tree of `size` leaves, left to right: one for each 1 among its binary digits.
 * @throws RangeError where that is no size
 */
export function rootNodes(size: number): Node[] {
  requireSize(size, 'a size');
  return nodesOf({ start: 0, end: size });
}

/** Root over the hashes of `rootNodes`, or of any such run of shrinking subtrees. */
export const foldRoot = (hashes: readonly Buffer[]): Buffer =>
  hashes.length === 0 ? EMPTY_ROOT : hashes.reduceRight((right, left) => nodeHash(left, right));

/**
 * PATH(index, D[size]) of RFC 6962, section 2.1.1: from the leaf's sibling up. Reads once at most.
 * @throws RangeError where the tree has no such leaf
 */
export async function inclusionProof(index: number, size: number, read: ReadNodes): Promise<Buffer[]> {
  requireSize(size, 'a size');
  requireSize(index, 'an index');
  if (index >= size) throw new RangeError(`a tree of ${size} leaves has no leaf ${index}`);
  return hashesOf(wayToLeaf(index, size).siblings, read);
}

/**
 * PROOF(from, D[to]) of RFC 6962, section 2.1.2; empty from 0 and from `to` itself. Reads once at most.
 * @throws RangeError where `from` is beyond `to`
 */
export async function consistencyProof(from: number, to: number, read: ReadNodes): Promise<Buffer[]> {
  requireSize(from, 'a size');
  requireSize(to, 'a size');
  if (from > to) throw new RangeError(`a tree of ${to} leaves has no past of ${from}`);
  if (from === 0 || from === to) return [];
  const { start, siblings } = wayToPast(from, to);
  return hashesOf(start === 0 ? siblings : [{ start, end: from }, ...siblings], read);
}

export interface InclusionClaim {
  leaf_hash: Uint8Array;
  index: number;
  size: number;
  root: Uint8Array;
  proof: readonly Uint8Array[];
}

/** Whether the proof shows the leaf at `index` in the tree; false for anything malformed, too. */
export function verifyInclusion({ leaf_hash, index, size, root, proof }: InclusionClaim): boolean {
  if (!isSize(size) || !isSize(index) || index >= size) return false;
  const { siblings } = wayToLeaf(index, size);
  if (proof.length !== siblings.length || ![leaf_hash, root, ...proof].every(isHash)) return false;
  let reached = leaf_hash;
  for (const [i, { start }] of siblings.entries())
    reached = start > index ? nodeHash(reached, proof[i]!) : nodeHash(proof[i]!, reached);
  return isEqual(reached, root);
}

export interface ConsistencyClaim {
  from: number;
  to: number;
  from_root: Uint8Array;
  to_root: Uint8Array;
  proof: readonly Uint8Array[];
}

/**
 * Whether the proof shows that the tree of `to` leaves begins with that of `from`; false for anything malformed, too. The
 * empty tree is where every tree begins, whatever `to_root` is.
 */
export function verifyConsistency({ from, to, from_root, to_root, proof }: ConsistencyClaim): boolean {
  if (!isSize(from) || !isSize(to) || from > to || !isHash(from_root) || !isHash(to_root)) return false;
  if (from === 0 && !isEqual(from_root, EMPTY_ROOT)) return false;
  if (from === to) return proof.length === 0 && isEqual(from_root, to_root);
  if (from === 0) return proof.length === 0;
  const { start, siblings } = wayToPast(from, to);
  // Where the past is a complete subtree, its root is known and not in the proof.
  const hashes = start === 0 ? [from_root, ...proof.slice(0, siblings.length + 1)] : proof;
  if (hashes.length !== siblings.length + 1 || !hashes.every(isHash)) return false;
  let past = hashes[0]!;
  let present = past;
  for (const [i, { start }] of siblings.entries()) {
    const sibling = hashes[i + 1]!;
    if (start < from) past = nodeHash(sibling, past);
    present = start < from ? nodeHash(sibling, present) : nodeHash(present, sibling);
  }
  return isEqual(past, from_root) && isEqual(present, to_root);
}

export interface Tile {
  level: number;
  index: number;
  width: number;
}

/** A tile's level, or where the entries themselves are, which are as many as the hashes of level 0. */
export type TileLevel = number | 'entries';

/** The tile that has a node, the first of its hashes that make the node, and how many do (1 to 128). */
export function tileOf({ level, index }: Node): { level: number; index: number; at: number; count: number } {
  const tileLevel = Math.floor(level / TILE_HEIGHT);
  const count = 2 ** (level % TILE_HEIGHT);
  const first = index * count;
  return { level: tileLevel, index: Math.floor(first / TILE_WIDTH), at: first % TILE_WIDTH, count };
}

/** How many hashes a tile has in a tree of `size` leaves; 0 where there is no such tile. */
export function tileWidth(level: TileLevel, index: number, size: number): number {
  const hashes = Math.floor(size / TILE_WIDTH ** (level === 'entries' ? 0 : level));
  return Math.max(0, Math.min(TILE_WIDTH, hashes - index * TILE_WIDTH));
}

/**
 * The distinct tiles that have the nodes, as wide as they are in a tree of `size` leaves.
 * @throws RangeError where that tree lacks a node
 */
export function tilesFor(nodes: readonly Node[], size: number): Tile[] {
  const tiles = new Map<string, Tile>();
  for (const node of nodes) {
    const { level, index, at, count } = tileOf(node);
    const width = tileWidth(level, index, size);
    if (at + count > width) throw new RangeError(`a tree of ${size} leaves has no node ${node.index} of level ${node.level}`);
    tiles.set(`${level}/${index}`, { level, index, width });
  }
  return [...tiles.values()];
}

/**
 * Hash of a node, folded from the bytes of its tile.
 * @throws RangeError where the tile is too short for it
 */
export function hashInTile(node: Node, tile: Uint8Array): Buffer {
  const { at, count } = tileOf(node);
  const hashes = tile.subarray(at * HASH_BYTES, (at + count) * HASH_BYTES);
  if (hashes.length !== count * HASH_BYTES) throw new RangeError(`a tile of ${tile.length} bytes lacks hash ${at + count - 1}`);
  return Buffer.from(fold(hashes));
}

/**
 * Path of a tile below the log's prefix: `tile/0/x001/x234/067.p/3`.
 * @throws RangeError where there can be no such tile
 */
export function tilePath(level: TileLevel, index: number, width: number): string {
  if (level !== 'entries' && !(isSize(level) && level <= HIGHEST_TILE_LEVEL)) throw new RangeError(`no tile level: ${level}`);
  requireSize(index, 'a tile index');
  if (!isSize(width) || width < 1 || width > TILE_WIDTH) throw new RangeError(`no tile width: ${width}`);
  const digits = String(index);
  const groups = digits.padStart(Math.ceil(digits.length / 3) * 3, '0').match(/.{3}/g)!;
  const name = groups.map((group, i) => (i < groups.length - 1 ? `x${group}` : group)).join('/');
  return `tile/${level}/${name}${width < TILE_WIDTH ? `.p/${width}` : ''}`;
}

const TILE_PATH = /^tile\/(entries|\d{1,2})\/((?:x\d{3}\/)*\d{3})(?:\.p\/(\d{1,3}))?$/;

/** What `tilePath` wrote; undefined for every other text, so that a tile has one path only. */
export function parseTilePath(path: string): { level: TileLevel; index: number; width: number } | undefined {
  const [, levelText, indexText, widthText] = TILE_PATH.exec(path) ?? [];
  if (levelText === undefined || indexText === undefined) return undefined;
  const level = levelText === 'entries' ? levelText : Number(levelText);
  const index = Number(indexText.replaceAll(/[x/]/g, ''));
  const width = widthText === undefined ? TILE_WIDTH : Number(widthText);
  if (level !== 'entries' && level > HIGHEST_TILE_LEVEL) return undefined;
  if (!isSize(index) || width < 1 || width > TILE_WIDTH || tilePath(level, index, width) !== path) return undefined;
  return { level, index, width };
}

/** For each tile level the bytes of the right-most tile, where that is begun and not full. */
export type Edge = ReadonlyMap<number, Buffer>;

export interface Appended {
  /** Every tile that changed, with its whole new content, lowest level first. */
  tiles: { level: number; index: number; bytes: Buffer }[];
  edge: Edge;
  root: Buffer;
  size: number;
}

/**
 * Appends leaves to a tree of which only the edge is known (c2sp.org/tlog-tiles, "Merkle Tree"): a tile that becomes full
 * adds its root to the level above. What was handed in stays as it was.
 * @throws RangeError where the edge is not that of `size` leaves, or a leaf hash does not have 32 bytes
 */
export function appendLeaves(edge: Edge, size: number, leafHashes: readonly Uint8Array[]): Appended {
  const grown = size + leafHashes.length;
  requireSize(size, 'a size');
  requireSize(grown, 'a size');
  if (!leafHashes.every(isHash)) throw new RangeError(`a leaf hash does not have ${HASH_BYTES} bytes`);
  for (let level = 0; level < EDGE_LEVELS; level++)
    if ((edge.get(level)?.length ?? 0) !== (hashesAt(level, size) % TILE_WIDTH) * HASH_BYTES)
      throw new RangeError(`the edge at tile level ${level} is not that of ${size} leaves`);

  const tiles: Appended['tiles'] = [];
  const grownEdge = new Map(edge);
  let added: readonly Uint8Array[] = leafHashes;
  for (let level = 0; added.length > 0; level++) {
    const hashes = Buffer.concat([edge.get(level) ?? Buffer.alloc(0), ...added]);
    const first = Math.floor(hashesAt(level, size) / TILE_WIDTH);
    const full = Math.floor(hashes.length / TILE_BYTES);
    for (let at = 0; at * TILE_BYTES < hashes.length; at++)
      tiles.push({ level, index: first + at, bytes: hashes.subarray(at * TILE_BYTES, (at + 1) * TILE_BYTES) });
    // A copy: the view would keep the whole batch in memory.
    grownEdge.set(level, Buffer.from(hashes.subarray(full * TILE_BYTES)));
    if (grownEdge.get(level)!.length === 0) grownEdge.delete(level);
    added = Array.from({ length: full }, (_, at) => fold(hashes.subarray(at * TILE_BYTES, (at + 1) * TILE_BYTES)));
  }
  const root = foldRoot(rootNodes(grown).map(node => hashInTile(node, grownEdge.get(tileOf(node).level)!)));
  return { tiles, edge: grownEdge, root, size: grown };
}

const hashesAt = (tileLevel: number, size: number): number => Math.floor(size / TILE_WIDTH ** tileLevel);

/** Root of a complete subtree over its 2^n hashes. */
function fold(hashes: Uint8Array): Uint8Array {
  if (hashes.length === HASH_BYTES) return hashes;
  const half = hashes.length / 2;
  return nodeHash(fold(hashes.subarray(0, half)), fold(hashes.subarray(half)));
}

/** Leaves from `start` to before `end`. */
interface Range {
  start: number;
  end: number;
}

const wayToLeaf = (index: number, size: number) => descend(size, index, ({ start, end }) => end - start === 1);
const wayToPast = (from: number, to: number) => descend(to, from - 1, ({ end }) => end === from);

/** From the root down to where the last step arrived, always towards `leaf`: its start, and the siblings passed, lowest first. */
function descend(size: number, leaf: number, arrived: (at: Range) => boolean): { start: number; siblings: Range[] } {
  let at: Range = { start: 0, end: size };
  const siblings: Range[] = [];
  while (!arrived(at)) {
    // RFC 6962 splits at the largest power of two smaller than the number of leaves.
    const split = at.start + 2 ** log2(at.end - at.start - 1);
    const left = { start: at.start, end: split };
    const right = { start: split, end: at.end };
    siblings.unshift(leaf < split ? right : left);
    at = leaf < split ? left : right;
  }
  return { start: at.start, siblings };
}

/** The complete subtrees that make a range which begins where a subtree as large as the range can begin, left to right. */
function nodesOf({ start, end }: Range): Node[] {
  const nodes: Node[] = [];
  for (let at = start; at < end; ) {
    const level = log2(end - at);
    nodes.push({ level, index: at / 2 ** level });
    at += 2 ** level;
  }
  return nodes;
}

async function hashesOf(ranges: readonly Range[], read: ReadNodes): Promise<Buffer[]> {
  const groups = ranges.map(nodesOf);
  const nodes = groups.flat();
  const hashes = nodes.length === 0 ? [] : await read(nodes);
  if (hashes.length !== nodes.length) throw new Error(`${hashes.length} hashes were read for ${nodes.length} nodes`);
  const left = [...hashes];
  return groups.map(group => foldRoot(left.splice(0, group.length)));
}

/** Rounded down; Math.log2 rounds up just below large powers. */
const log2 = (size: number): number => size.toString(2).length - 1;

const isSize = (size: number): boolean => Number.isSafeInteger(size) && size >= 0;
const isHash = (bytes: Uint8Array): boolean => bytes.length === HASH_BYTES;
const isEqual = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

function requireSize(size: number, what: string): void {
  if (!isSize(size)) throw new RangeError(`${what} is an integer from 0 to below 2^53, not ${size}`);
}
