import { hash } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { leafHash } from '../../src/core/canonical.ts';
import {
  type Appended,
  appendLeaves,
  type ConsistencyClaim,
  consistencyProof,
  EMPTY_ROOT,
  foldRoot,
  hashInTile,
  type InclusionClaim,
  inclusionProof,
  type Node,
  nodeHash,
  parseTilePath,
  rootNodes,
  tileOf,
  tilePath,
  tilesFor,
  tileWidth,
  verifyConsistency,
  verifyInclusion,
} from '../../src/core/merkle.ts';

// The oracle: RFC 6962, sections 2.1 to 2.1.2, as they are written, over leaf hashes.
const sha256 = (...parts: Uint8Array[]) => hash('sha256', Buffer.concat(parts), 'buffer');
function half(n: number): number {
  let k = 1;
  while (k * 2 < n) k *= 2;
  return k;
}
function MTH(D: Buffer[]): Buffer {
  if (D.length === 0) return sha256();
  if (D.length === 1) return D[0]!;
  const k = half(D.length);
  return sha256(Buffer.of(1), MTH(D.slice(0, k)), MTH(D.slice(k)));
}
function PATH(m: number, D: Buffer[]): Buffer[] {
  if (D.length === 1) return [];
  const k = half(D.length);
  return m < k ? [...PATH(m, D.slice(0, k)), MTH(D.slice(k))] : [...PATH(m - k, D.slice(k)), MTH(D.slice(0, k))];
}
const PROOF = (m: number, D: Buffer[]) => SUBPROOF(m, D, true);
function SUBPROOF(m: number, D: Buffer[], b: boolean): Buffer[] {
  if (m === D.length) return b ? [] : [MTH(D)];
  const k = half(D.length);
  return m <= k
    ? [...SUBPROOF(m, D.slice(0, k), b), MTH(D.slice(k))]
    : [...SUBPROOF(m - k, D.slice(k), false), MTH(D.slice(0, k))];
}

const hex = (hashes: readonly Uint8Array[]) => hashes.map(it => Buffer.from(it).toString('hex'));
const leavesOf = (size: number) => Array.from({ length: size }, (_, i) => leafHash(Buffer.from(`entry ${i}`)));
const LEAVES = leavesOf(2_000);
/** A store of whole trees, which counts how often it is asked. */
function storeOf(leaves: Buffer[]) {
  const store = {
    reads: 0,
    read: async (nodes: Node[]) => {
      store.reads++;
      return nodes.map(({ level, index }) => MTH(leaves.slice(index * 2 ** level, (index + 1) * 2 ** level)));
    },
  };
  return store;
}
const { read } = storeOf(LEAVES);
const few = { numRuns: 30 };
const sizes = fc.integer({ min: 1, max: LEAVES.length });
const sizeAndIndex = sizes.chain(size => fc.tuple(fc.constant(size), fc.integer({ min: 0, max: size - 1 })));

// The test data of google/certificate-transparency, which every implementation has.
const CT_LEAVES = ['', '00', '10', '2021', '3031', '40414243', '5051525354555657', '606162636465666768696a6b6c6d6e6f'].map(it =>
  leafHash(Buffer.from(it, 'hex')),
);
const CT_ROOTS = [
  'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
  '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
  'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
  'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
  'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
  '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
  '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
  'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
  '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
];
/** Their nodes, named by the leaves below. */
const CT = {
  l0: '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
  l1: '96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7',
  l4: 'bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b',
  l01: 'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
  l23: '5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e',
  l45: '0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a',
  l67: 'ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0',
  l0123: 'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
  l4567: '6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4',
};
const CT_INCLUSION: [index: number, size: number, proof: string[]][] = [
  [0, 1, []],
  [0, 8, [CT.l1, CT.l23, CT.l4567]],
  [5, 8, [CT.l4, CT.l67, CT.l0123]],
  [2, 3, [CT.l01]],
  [1, 5, [CT.l0, CT.l23, CT.l4]],
];
const CT_CONSISTENCY: [from: number, to: number, proof: string[]][] = [
  [1, 1, []],
  [1, 8, [CT.l1, CT.l23, CT.l4567]],
  [6, 8, [CT.l45, CT.l67, CT.l0123]],
  [2, 5, [CT.l23, CT.l4]],
];

t.test('the published vectors of certificate transparency', async t => {
  const bytes = (text: string) => Buffer.from(text, 'hex');
  const store = storeOf(CT_LEAVES);
  for (const [size, root] of CT_ROOTS.entries()) {
    t.equal(foldRoot(await store.read(rootNodes(size))).toString('hex'), root, `root of ${size}`);
    t.equal(appendLeaves(new Map(), 0, CT_LEAVES.slice(0, size)).root.toString('hex'), root, `appended ${size}`);
  }
  for (const [index, size, proof] of CT_INCLUSION) {
    t.strictSame(hex(await inclusionProof(index, size, store.read)), proof, `leaf ${index} of ${size}`);
    const root = bytes(CT_ROOTS[size]!);
    t.ok(verifyInclusion({ leaf_hash: CT_LEAVES[index]!, index, size, root, proof: proof.map(bytes) }));
  }
  for (const [from, to, proof] of CT_CONSISTENCY) {
    t.strictSame(hex(await consistencyProof(from, to, store.read)), proof, `${from} to ${to}`);
    const roots = { from_root: bytes(CT_ROOTS[from]!), to_root: bytes(CT_ROOTS[to]!) };
    t.ok(verifyConsistency({ from, to, ...roots, proof: proof.map(bytes) }));
  }
  t.equal(
    nodeHash(
      bytes('000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f'),
      bytes('202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f'),
    ).toString('hex'),
    '1a378704c17da31e2d05b6d121c2bb2c7d76f6ee6fa8f983e596c2d034963c57',
  );
  t.equal(EMPTY_ROOT.toString('hex'), CT_ROOTS[0]);
});

t.test('every proof of every small tree is that of the oracle and verifies', async t => {
  const wrong: string[] = [];
  for (let size = 1; size <= 34; size++) {
    const leaves = LEAVES.slice(0, size);
    const root = MTH(leaves);
    for (let index = 0; index < size; index++) {
      const proof = await inclusionProof(index, size, read);
      const proves = (leaf: number) => verifyInclusion({ leaf_hash: LEAVES[leaf]!, index: leaf, size, root, proof });
      const proven = leaves.map((_, leaf) => leaf).filter(proves);
      if (String(hex(proof)) !== String(hex(PATH(index, leaves))) || String(proven) !== String([index]))
        wrong.push(`leaf ${index} of ${size}`);

      const from = index + 1;
      const past = await consistencyProof(from, size, read);
      const claim = { from, to: size, from_root: MTH(leaves.slice(0, from)), to_root: root, proof: past };
      if (String(hex(past)) !== String(hex(PROOF(from, leaves))) || !verifyConsistency(claim)) wrong.push(`${from} to ${size}`);
    }
  }
  t.strictSame(wrong, []);
});

t.test('proofs of large trees are those of the oracle, verify, and read once', async () => {
  const others = fc.asyncProperty(sizeAndIndex, async ([size, index]) => {
    const leaves = LEAVES.slice(0, size);
    const store = storeOf(leaves);
    const [path, past] = [await inclusionProof(index, size, store.read), await consistencyProof(index + 1, size, store.read)];
    const root = MTH(leaves);
    const from_root = MTH(leaves.slice(0, index + 1));
    return (
      store.reads <= 2 &&
      String(hex(path)) === String(hex(PATH(index, leaves))) &&
      String(hex(past)) === String(hex(PROOF(index + 1, leaves))) &&
      verifyInclusion({ leaf_hash: leaves[index]!, index, size, root, proof: path }) &&
      verifyConsistency({ from: index + 1, to: size, from_root, to_root: root, proof: past })
    );
  });
  await fc.assert(others, few);
});

/** Everything that one could do to a list of hashes and leave it a list of buffers. */
function mangled(proof: readonly Uint8Array[]): Uint8Array[][] {
  const flipped = proof.map((it, i) => proof.with(i, Buffer.from(it).fill(it[31]! ^ 1, 31)));
  const dropped = proof.map((_, i) => proof.toSpliced(i, 1));
  const swapped = proof.slice(1).map((it, i) => proof.with(i, it).with(i + 1, proof[i]!));
  const cut = proof.map((it, i) => proof.with(i, it.subarray(1)));
  const wide = proof.map((it, i) => proof.with(i, Buffer.concat([it, Buffer.of(0)])));
  const longer = [[...proof, Buffer.alloc(32)], [Buffer.alloc(32), ...proof], proof.concat(proof, [Buffer.alloc(32)])];
  return [...flipped, ...dropped, ...swapped, ...cut, ...wide, ...longer];
}
const broken = (bytes: Uint8Array) => [Buffer.alloc(32), bytes.subarray(1), Buffer.concat([bytes, bytes]), new Uint8Array()];
const NO_SIZES = [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53];

t.test('a mutated proof never verifies', async () => {
  const mutations = fc.asyncProperty(sizeAndIndex, async ([size, index]) => {
    const leaves = LEAVES.slice(0, size);
    const root = MTH(leaves);
    const claim: InclusionClaim = {
      leaf_hash: leaves[index]!,
      index,
      size,
      root,
      proof: await inclusionProof(index, size, read),
    };
    const lies: InclusionClaim[] = [
      ...mangled(claim.proof).map(proof => ({ ...claim, proof })),
      ...broken(claim.leaf_hash).map(leaf_hash => ({ ...claim, leaf_hash })),
      ...broken(root).map(root => ({ ...claim, root })),
      ...[...NO_SIZES, size, index ^ 1, index + 1, 2 ** 53 - 1].map(index => ({ ...claim, index })),
      ...[...NO_SIZES, 0, index, 2 ** 53 - 1].map(size => ({ ...claim, size })),
    ];
    const from = index + 1;
    const past: ConsistencyClaim = {
      from,
      to: size,
      from_root: MTH(leaves.slice(0, from)),
      to_root: root,
      proof: await consistencyProof(from, size, read),
    };
    const pastLies: ConsistencyClaim[] = [
      ...mangled(past.proof).map(proof => ({ ...past, proof })),
      ...broken(past.from_root).map(from_root => ({ ...past, from_root })),
      ...broken(root).map(to_root => ({ ...past, to_root })),
      ...[...NO_SIZES, 0, size + 1].map(from => ({ ...past, from })),
      ...[...NO_SIZES, index, 2 ** 53 - 1].map(to => ({ ...past, to })),
    ];
    return verifyInclusion(claim) && verifyConsistency(past) && !lies.some(verifyInclusion) && !pastLies.some(verifyConsistency);
  });
  await fc.assert(mutations, few);
});

t.test('the empty tree', async t => {
  const claim = { from: 0, to: 3, from_root: EMPTY_ROOT, to_root: MTH(LEAVES.slice(0, 3)), proof: [] };
  t.ok(verifyConsistency(claim), 'every tree begins with it');
  t.notOk(verifyConsistency({ ...claim, proof: [LEAVES[0]!] }));
  t.notOk(verifyConsistency({ ...claim, from_root: LEAVES[0]! }));
  t.notOk(verifyConsistency({ ...claim, to_root: Buffer.alloc(31) }));
  t.ok(verifyConsistency({ ...claim, to: 0, to_root: EMPTY_ROOT }));
  t.notOk(verifyConsistency({ ...claim, to: 0 }), 'one root only');
  t.notOk(verifyConsistency({ ...claim, to: 0, from_root: LEAVES[0]!, to_root: LEAVES[0]! }), 'and no other');
  t.notOk(verifyInclusion({ leaf_hash: EMPTY_ROOT, index: 0, size: 0, root: EMPTY_ROOT, proof: [] }));
  t.strictSame(await consistencyProof(0, 3, read), []);
  t.strictSame(await consistencyProof(0, 0, read), []);
  t.strictSame(rootNodes(0), []);
});

t.test('impossible arguments are refused', async t => {
  for (const size of NO_SIZES) {
    t.throws(() => rootNodes(size), RangeError);
    await t.rejects(inclusionProof(0, size, read), RangeError);
    await t.rejects(inclusionProof(size, 2 ** 52, read), RangeError);
    await t.rejects(consistencyProof(1, size, read), RangeError);
    await t.rejects(consistencyProof(size, 2 ** 52, read), RangeError);
    t.throws(() => appendLeaves(new Map(), size, []), RangeError);
    t.throws(() => tilePath(size, 0, 1), RangeError);
    t.throws(() => tilePath(0, size, 1), RangeError);
    t.throws(() => tilePath(0, 0, size), RangeError);
  }
  await t.rejects(inclusionProof(5, 5, read), RangeError);
  await t.rejects(consistencyProof(6, 5, read), RangeError);
  t.throws(() => tilePath(64, 0, 1), RangeError);
  t.throws(() => tilePath(0, 0, 0), RangeError);
  t.throws(() => tilePath(0, 0, 257), RangeError);
  await t.rejects(
    inclusionProof(1, 5, async () => []),
    /0 hashes were read for 3 nodes/,
  );
});

t.test('sizes beyond 32 bits', async t => {
  // All leaves alike: a node's hash depends on its level only.
  const levels = [LEAVES[0]!];
  for (let level = 1; level <= 53; level++) levels.push(nodeHash(levels.at(-1)!, levels.at(-1)!));
  const alike = async (nodes: Node[]) => nodes.map(({ level }) => levels[level]!);
  const rootOf = async (size: number) => foldRoot(await alike(rootNodes(size)));
  const big = fc.integer({ min: 2 ** 31 - 3, max: 2 ** 53 - 1 });
  await fc.assert(
    fc.asyncProperty(big, big, async (a, b) => {
      const [from, to] = [Math.min(a, b), Math.max(a, b)];
      const nodes = rootNodes(to);
      const binary = BigInt(to).toString(2);
      const ones = [...binary].flatMap((digit, i) => (digit === '1' ? [binary.length - 1 - i] : []));
      let covered = 0n;
      for (const { level, index } of nodes) {
        if (BigInt(index) * 2n ** BigInt(level) !== covered) return false;
        covered += 2n ** BigInt(level);
      }
      const [from_root, to_root] = [await rootOf(from), await rootOf(to)];
      const path = await inclusionProof(from - 1, to, alike);
      const proof = await consistencyProof(from, to, alike);
      return (
        String(nodes.map(it => it.level)) === String(ones) &&
        verifyInclusion({ leaf_hash: LEAVES[0]!, index: from - 1, size: to, root: to_root, proof: path }) &&
        verifyConsistency({ from, to, from_root, to_root, proof })
      );
    }),
    few,
  );
  t.equal(rootNodes(2 ** 53 - 1).length, 53);
  t.strictSame(rootNodes(2 ** 48 - 1)[0], { level: 47, index: 0 }, 'where the logarithm rounds up');
  t.strictSame(tileOf({ level: 3, index: 2 ** 49 + 33 }), { level: 0, index: 2 ** 44 + 1, at: 8, count: 8 });
});

t.test('tiles: where a node is, and how wide', async t => {
  t.strictSame(tileOf({ level: 0, index: 300 }), { level: 0, index: 1, at: 44, count: 1 });
  t.strictSame(tileOf({ level: 7, index: 3 }), { level: 0, index: 1, at: 128, count: 128 });
  t.strictSame(tileOf({ level: 8, index: 3 }), { level: 1, index: 0, at: 3, count: 1 }, 'a full tile is one hash above');
  const table: [level: number, index: number, size: number, width: number][] = [
    [0, 272, 70_000, 256],
    [0, 273, 70_000, 112],
    [0, 274, 70_000, 0],
    [1, 0, 70_000, 256],
    [1, 1, 70_000, 17],
    [2, 0, 70_000, 1],
    [3, 0, 70_000, 0],
    [0, 0, 256, 256],
    [0, 1, 256, 0],
    [1, 0, 256, 1],
    [1, 0, 255, 0],
    [0, 0, 0, 0],
    [63, 0, 2 ** 53 - 1, 0],
    [6, 0, 2 ** 53 - 1, 31],
  ];
  for (const [level, index, size, width] of table) t.equal(tileWidth(level, index, size), width, `${level}/${index} of ${size}`);
  t.equal(tileWidth('entries', 273, 70_000), 112);

  t.strictSame(tilesFor(rootNodes(70_000), 70_000), [
    { level: 2, index: 0, width: 1 },
    { level: 1, index: 1, width: 17 },
    { level: 0, index: 273, width: 112 },
  ]);
  t.throws(() => tilesFor([{ level: 2, index: 1 }], 7), RangeError, 'not there yet');
  t.throws(() => tilesFor([{ level: 8, index: 0 }], 255), RangeError);
  t.throws(() => hashInTile({ level: 2, index: 1 }, Buffer.alloc(7 * 32)), RangeError);
  const tile = Buffer.concat(LEAVES.slice(0, 8));
  t.same(hashInTile({ level: 2, index: 1 }, tile), MTH(LEAVES.slice(4, 8)));
  const copy = hashInTile({ level: 0, index: 0 }, tile);
  copy.fill(0);
  t.same(tile.subarray(0, 32), LEAVES[0], 'a hash is no window into the tile');
});

t.test('tile paths', async t => {
  const paths: [path: string, level: number | 'entries', index: number, width: number][] = [
    ['tile/0/000', 0, 0, 256],
    ['tile/0/x001/x234/067.p/3', 0, 1_234_067, 3],
    ['tile/63/999', 63, 999, 256],
    ['tile/1/x001/000.p/255', 1, 1_000, 255],
    ['tile/entries/x012/345', 'entries', 12_345, 256],
    ['tile/entries/000.p/1', 'entries', 0, 1],
    ['tile/0/x009/x007/x199/x254/x740/991', 0, Number.MAX_SAFE_INTEGER, 256],
  ];
  for (const [path, level, index, width] of paths) {
    t.equal(tilePath(level, index, width), path);
    t.strictSame(parseTilePath(path), { level, index, width });
  }
  const refused = [
    ...'tile/0/0 tile/0/00 tile/0/0000 tile/0/x000/001 tile/0/x001/x002 tile/0/001/002 tile/0/x1/002 tile/0/x001/02'.split(' '),
    ...'tile/0/x001x002/003 tile/0/x001//002 tile/0/-01 tile/0/000/ tile/0/٠٠٠ tile/0/x009/x007/x199/x254/x740/992'.split(' '),
    ...'tile/00/000 tile/01/000 tile/64/000 tile/100/000 tile/-1/000 tile/data/000 tile/8/0/000 tile//000 /tile/0/000'.split(' '),
    ...'tile/0/000.p/0 tile/0/000.p/00 tile/0/000.p/01 tile/0/000.p/256 tile/0/000.p/999 tile/0/000.p/ tile/0/000.p'.split(' '),
    ...['', 'tile/0/000.p/1/2', 'tile/0/000\n', ' tile/0/000', `tile/0/${'x999/'.repeat(200)}999`],
  ];
  for (const path of refused) t.equal(parseTilePath(path), undefined, path);
  const level = fc.oneof(fc.constant('entries' as const), fc.integer({ min: 0, max: 63 }));
  fc.assert(
    fc.property(level, fc.maxSafeNat(), fc.integer({ min: 1, max: 256 }), (level, index, width) => {
      const parsed = parseTilePath(tilePath(level, index, width));
      return parsed?.level === level && parsed.index === index && parsed.width === width;
    }),
  );
});

/** Appends in batches of these sizes and keeps the newest content of every tile. */
function appendAll(leaves: Buffer[], batches: number[], seen: (step: Appended) => void = () => {}) {
  const tiles = new Map<string, Buffer>();
  let state: Pick<Appended, 'edge' | 'size'> = { edge: new Map(), size: 0 };
  for (const batch of batches) {
    const step = appendLeaves(state.edge, state.size, leaves.slice(state.size, state.size + batch));
    for (const { level, index, bytes } of step.tiles) tiles.set(`${level}/${index}`, Buffer.from(bytes));
    seen(step);
    state = step;
  }
  return { ...state, tiles };
}

t.test('leaves in batches of any size make the tiles and roots of the oracle', async () => {
  const batchSizes = fc.array(fc.oneof(fc.integer({ min: 0, max: 20 }), fc.integer({ min: 0, max: 330 })), { maxLength: 6 });
  await fc.assert(
    fc.asyncProperty(batchSizes, async batches => {
      const roots: boolean[] = [];
      const { tiles, size } = appendAll(LEAVES, batches, step => roots.push(step.root.equals(MTH(LEAVES.slice(0, step.size)))));
      if (roots.includes(false) || size !== batches.reduce((sum, it) => sum + it, 0)) return false;
      for (const [path, bytes] of tiles) {
        const [level, index] = path.split('/').map(Number) as [number, number];
        const span = 256 ** level;
        const hashes = Array.from({ length: tileWidth(level, index, size) }, (_, i) =>
          MTH(LEAVES.slice((index * 256 + i) * span, (index * 256 + i + 1) * span)),
        );
        if (!bytes.equals(Buffer.concat(hashes))) return false;
      }
      if (size === 0) return tiles.size === 0;

      // Every node is found in the tiles, and so every proof.
      const index = Math.floor(size / 3);
      const fromTiles = await inclusionProof(index, size, async nodes => {
        for (const { level, index, width } of tilesFor(nodes, size))
          if (tiles.get(`${level}/${index}`)?.length !== width * 32) return [];
        return nodes.map(node => hashInTile(node, tiles.get(`${tileOf(node).level}/${tileOf(node).index}`)!));
      });
      return String(hex(fromTiles)) === String(hex(PATH(index, LEAVES.slice(0, size))));
    }),
    few,
  );
});

t.test('a step names the tiles that changed, and no others', async t => {
  const { edge, size } = appendAll(LEAVES, [250]);
  const kept = new Map([...edge].map(([level, bytes]) => [level, Buffer.from(bytes)]));
  const step = appendLeaves(edge, size, LEAVES.slice(250, 600));
  const names = step.tiles.map(({ level, index, bytes }) => `${level}/${index}/${bytes.length / 32}`);
  t.strictSame(names, ['0/0/256', '0/1/256', '0/2/88', '1/0/2']);
  t.strictSame([...step.edge].map(([level, bytes]) => [level, bytes.length / 32]).sort(), [
    [0, 88],
    [1, 2],
  ]);
  t.strictSame(edge, kept, 'what was handed in stays as it was');
  const nothing = appendLeaves(step.edge, step.size, []);
  t.strictSame([nothing.tiles, nothing.size], [[], 600]);
  t.same(nothing.root, step.root);
  t.strictSame(nothing.edge, step.edge);

  t.strictSame([...appendAll(LEAVES, [256]).edge.keys()], [1], 'a full tile is not at the edge');
  t.throws(() => appendLeaves(edge, 249, []), RangeError, 'the edge of another size');
  t.throws(() => appendLeaves(edge, 251, []), RangeError);
  t.throws(() => appendLeaves(edge, 250 + 256, []), RangeError, 'of which a level is missing');
  t.throws(() => appendLeaves(step.edge, 88, []), RangeError, 'or is too much');
  t.throws(() => appendLeaves(edge, 250, [Buffer.alloc(31)]), RangeError);
  t.throws(() => appendLeaves(edge, 250, [LEAVES[0]!, Buffer.alloc(64)]), RangeError);
});

t.test('the tree of 70,000 leaves of the specification', async t => {
  const leaves = leavesOf(70_000);
  const roots: Buffer[] = [];
  const { tiles, edge } = appendAll(leaves, [1_000, 65_000, 4_000], ({ root }) => roots.push(root));
  t.same(roots.at(-1), MTH(leaves));
  const widths = (level: number) =>
    [...tiles].filter(([path]) => path.startsWith(`${level}/`)).map(([, bytes]) => bytes.length / 32);
  t.strictSame(
    [0, 1, 2].map(level => [widths(level).filter(it => it === 256).length, widths(level).filter(it => it < 256)]),
    [
      [273, [112]],
      [1, [17]],
      [0, [1]],
    ],
  );
  t.equal(tiles.size, 273 + 1 + 2 + 1);
  t.strictSame(new Set(edge.keys()), new Set([0, 1, 2]));
});
