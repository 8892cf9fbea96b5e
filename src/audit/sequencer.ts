import { systemActor } from '../core/access.ts';
import { leafHash } from '../core/canonical.ts';
import { formatCheckpoint } from '../core/checkpoint.ts';
import {
  type Appended,
  appendLeaves,
  type Edge,
  EMPTY_ROOT,
  foldRoot,
  HASH_BYTES,
  hashInTile,
  nodeHash,
  rootNodes,
  TILE_WIDTH,
  tileWidth,
} from '../core/merkle.ts';
import { signNote } from '../core/signed-note.ts';
import type { Now } from '../platform/clock.ts';
import { type Database, type Tx, transact } from '../platform/database.ts';
import type { Logger } from '../platform/log.ts';
import { type Ledger, LedgerMoved, sameHead, type TreeHead } from './ledger.ts';
import type { LogKey } from './log-key.ts';
import {
  type HeadRow,
  insertHead,
  insertTiles,
  isNamed,
  type LockedHead,
  lockHead,
  lookAhead,
  moveToLog,
  nodeReader,
  readTile,
  saveCompared,
  saveHead,
  savePublished,
} from './log-store.ts';

/**
 * Gives what acts left its places in the log ("Tree, sequencing, checkpoint"). Any number of processes may step at once; one gets
 * the head, the others nothing. After a crash, wherever it was, the next step of any of them goes on:
 *
 *   before the batch commits      nothing happened: all of it still waits
 *   after it, before the ledger   the head is ahead of the ledger by what nobody has seen; the next step swaps it in
 *   after the ledger              the checkpoint is what the ledger says; the next step publishes it
 *
 * A ledger that knows more than the database, or another history, means that the database lost what was acknowledged: from then
 * on nothing is signed, until two people decide what is true.
 */
export interface Sequencer {
  /** One batch. @returns whether more waits */
  step(): Promise<boolean>;
}

interface Means {
  database: Pick<Database, 'pool'>;
  ledger: Ledger;
  key: LogKey;
  /** The one that `key` replaces: signs alone until an entry names `key`, and with it for a while. */
  previous?: LogKey | null;
  now: Now;
  log: Logger;
  /** Told at every step at which nothing may be signed: why. */
  onHalt: (why: Halt) => Promise<void>;
  batch?: number;
}

/** Why nothing is signed. The clock's going back alone is no reason to distrust what was. */
export type Halt = 'ledger_ahead' | 'ledger_behind' | 'other_history' | 'other_key' | 'clock_went_back';

/** The contract's batch. */
const BATCH = 1_000;
/** While auditors and witnesses change over to a new key. */
const BOTH_SIGN_MS = 90 * 86_400_000;
const CLOCK_MAY_SLIP_MS = 1_000;
/** Everything that waits is looked at so often; between, what was written not long before what was taken last. */
const SWEEP_EVERY_MS = 1_000;
const MAY_COMMIT_LATE = 10_000;

/** What a checkpoint says that was committed and is owed to the ledger. */
interface Owed {
  from: TreeHead;
  to: TreeHead;
  checkpoint: string;
}

type Keys = Pick<HeadRow, 'verifier_key' | 'previous_key' | 'rotated_at'>;

const EMPTY: TreeHead = { size: 0, root: EMPTY_ROOT };

export function createSequencer({ database, ledger, key, previous = null, now, log, onHalt, batch = BATCH }: Means): Sequencer {
  /** The edge of the tree of this head, while this process alone appends. */
  let known: { head: TreeHead; edge: Edge } | null = null;
  /** Where to look for what waits, until everything is looked at again. */
  let floor = 0;
  let swept_at = Number.NEGATIVE_INFINITY;
  let is_retired = false;

  /** Whoever signs under this head: one key, or while auditors change over, two. */
  const signersOf = ({ verifier_key, previous_key, rotated_at }: Keys): [LogKey, ...LogKey[]] => {
    if (previous === null || (verifier_key === key.verifier_key && previous_key !== previous.verifier_key)) return [key];
    if (verifier_key === previous.verifier_key) return [previous];
    return now().getTime() - rotated_at!.getTime() < BOTH_SIGN_MS ? [key, previous] : [key];
  };
  const sign = ({ size, root }: TreeHead, keys: Keys): string =>
    signNote(formatCheckpoint({ origin: key.name, size, root }), ...signersOf(keys));

  /** Step 4 and 5: what is committed goes into the ledger, and only then to the public. */
  async function publish({ from, to, checkpoint }: Owed): Promise<void> {
    await ledger.swap(from, to, checkpoint);
    // A crash here: the ledger and the head agree, and the next step publishes what they say.
    await transact(database, SEQUENCER, tx => savePublished(tx, to.size, checkpoint, now()));
    // A crash here: nothing is owed.
  }

  /** Why nothing may be signed on top of this head; what is owed to the ledger before anything is. */
  async function compare(tx: Tx, head: HeadRow, there: TreeHead): Promise<{ halt: Halt | null; owed: Owed | null }> {
    if (![key.verifier_key, previous?.verifier_key].includes(head.verifier_key)) return { halt: 'other_key', owed: null };
    if (sameHead(there, head)) return { halt: null, owed: null };
    if (there.size > head.size) return { halt: 'ledger_ahead', owed: null };
    if (there.size < head.published_size) return { halt: 'ledger_behind', owed: null };
    const agree = async (at: TreeHead) => (await rootAt(tx, at.size)).equals(at.root);
    if (there.size === head.size || !(await agree(there)) || !(await agree(head))) return { halt: 'other_history', owed: null };
    // Signed as it was: Ed25519 has no chance in it.
    return { halt: null, owed: { from: there, to: head, checkpoint: sign(head, head) } };
  }

  /** Whether a look without the lock shows that there is nothing to do. */
  async function isIdle(): Promise<boolean> {
    const there = await ledger.head();
    const { head, waits } = await transact(database, SEQUENCER, lookAhead);
    if (head?.previous_key === key.verifier_key) return retire();
    if (head?.verifier_key !== key.verifier_key) return false;
    return !waits && head.is_compared && head.halted === null && head.published_size === head.size && sameHead(there, head);
  }

  /** Another sequencer has a newer key already: this one was forgotten, and is no reason to distrust the log. */
  function retire(): true {
    if (!is_retired)
      log.error({ reason: 'other_key' }, 'the log is signed with a newer key than this process has: it does nothing');
    is_retired = true;
    return true;
  }

  /** From here on the new key signs, if an entry that was published under the old one names it. */
  async function changeKeys(tx: Tx, head: HeadRow): Promise<void> {
    if (head.verifier_key === key.verifier_key || head.published_size !== head.size) return;
    if (!(await isNamed(tx, key.verifier_key, head.published_size))) return;
    const keys = { verifier_key: key.verifier_key, previous_key: head.verifier_key, rotated_at: now() };
    const checkpoint = sign(head, keys);
    // The same head, with one signature more.
    await saveHead(tx, { ...keys, checkpoint, published: checkpoint });
    Object.assign(head, keys);
  }

  /** The tree's edge under this head; null where what lies in the database does not make it. */
  async function edgeOf(tx: Tx, head: TreeHead): Promise<Edge | null> {
    if (known && sameHead(known.head, head)) return known.edge;
    const edge = await readEdge(tx, head);
    const { root } = appendLeaves(edge, head.size, []);
    return root.equals(head.root) ? edge : null;
  }

  async function step(): Promise<boolean> {
    if (await isIdle()) return false;
    const done = await transact(database, SEQUENCER, take).catch(error => {
      // Whether it was committed is not known: the next step looks.
      known = null;
      throw error;
    });
    if (!done) return false;
    if ('halt' in done) {
      await onHalt(done.halt);
      return false;
    }
    known = done.edge ? { head: done.owed.to, edge: done.edge } : null;
    // A crash here: the head is ahead of the ledger. The next step swaps it in, signed as it was, before it signs anything else.
    try {
      await publish(done.owed);
    } catch (error) {
      if (!(error instanceof LedgerMoved)) throw error;
      log.info({ reason: 'ledger_moved' }, 'the ledger is not where it was: the next step looks');
      return false;
    }
    return done.more;
  }

  /** One batch, under the lock of the head. Null where there is nothing to do, or somebody else is at it. */
  async function take(tx: Tx): Promise<{ halt: Halt } | Taken | null> {
    const locked = await lockHead(tx);
    if (locked === undefined) return null;
    // Behind the lock: what was read before it may be older than what another has published since.
    const there = await ledger.head();
    const head = locked ?? (await begin(tx, there));
    if (head.previous_key === key.verifier_key) return null;
    const { halt, owed } = await compare(tx, head, there);
    const stop = async (why: Halt) => {
      if (why !== head.halted) await saveHead(tx, { halted: why });
      return { halt: why };
    };
    if (halt) return stop(halt);
    // Owed from before: what is behind it waits until the ledger has it.
    if (owed) return { owed, more: true };
    const edge = await edgeOf(tx, head);
    if (!edge) return stop('other_history');
    if (head.halted !== null) await saveHead(tx, { halted: null });
    if (!head.is_compared) await saveCompared(tx);
    if (head.published_size < head.size) await savePublished(tx, head.size, sign(head, head), now());
    await changeKeys(tx, head);

    const at = Math.max(now().getTime(), head.at.getTime());
    if (at - now().getTime() > CLOCK_MAY_SLIP_MS) return { halt: 'clock_went_back' };
    if (now().getTime() - swept_at > SWEEP_EVERY_MS) {
      floor = 0;
      swept_at = now().getTime();
    }
    const { entries, number, refused } = await moveToLog(tx, head.size, batch, floor);
    floor = Math.max(0, number - MAY_COMMIT_LATE);
    if (refused > 0) log.error({ refusals: refused }, 'entries that are in the log already were written again, and left out');
    if (entries.length === 0) return null;
    // A crash from here to the commit: nothing was done. What waits waits, and the locks went with the connection.
    const grown = appendLeaves(edge, head.size, entries.map(leafHash));
    const whole = grown.tiles.filter(isWhole);
    if (whole.length > 0) await insertTiles(tx, whole.map(tileRow));
    const to = { size: grown.size, root: grown.root };
    const checkpoint = sign(to, head);
    await saveHead(tx, { ...to, checkpoint, at: new Date(at) });
    return {
      owed: { from: { size: head.size, root: head.root }, to, checkpoint },
      more: entries.length === batch,
      edge: grown.edge,
    };
  }

  /** The head of a log that has none yet. Nothing is signed where the ledger knows of one. */
  async function begin(tx: Tx, there: TreeHead): Promise<LockedHead> {
    const at = now();
    const { name: origin, verifier_key } = key;
    const keys = { verifier_key, previous_key: null, rotated_at: null };
    const checkpoint = there.size === 0 ? sign(EMPTY, keys) : '';
    const published = { published_size: 0, published: checkpoint || null, published_at: at };
    const witnessed = { witnessed_size: null, witnessed: null, witnessed_at: null };
    const head = { origin, ...keys, ...EMPTY, checkpoint, at, ...published, ...witnessed, halted: null };
    await insertHead(tx, head);
    return { one: true, ...head, compared_in: null, is_compared: false };
  }

  return { step };
}

interface Taken {
  owed: Owed;
  more: boolean;
  edge?: Edge;
}

/** Whoever gives entries their places, and what goes with it. */
export const SEQUENCER = systemActor('sequencer');

/** Only what is whole is a row. */
export const isWhole = ({ bytes }: Appended['tiles'][number]): boolean => bytes.length === TILE_WIDTH * HASH_BYTES;

/** A whole tile as it is kept. */
export function tileRow({ level, index, bytes }: Appended['tiles'][number]) {
  const [left, right] = [0, 1].map(half => hashInTile({ level: level * 8 + 7, index: index * 2 + half }, bytes));
  return { level, index, hashes: bytes, root: nodeHash(left!, right!) };
}

/** The root that the log had at an earlier size. */
const rootAt = async (tx: Tx, size: number): Promise<Buffer> => foldRoot(await nodeReader(tx, size)(rootNodes(size)));

/** What {@link appendLeaves} goes on from. */
async function readEdge(tx: Tx, { size }: TreeHead): Promise<Edge> {
  const edge = new Map<number, Buffer>();
  for (let level = 0; TILE_WIDTH ** level <= size; level += 1) {
    const index = Math.floor(size / TILE_WIDTH ** (level + 1));
    const width = tileWidth(level, index, size);
    if (width > 0) edge.set(level, await readTile(tx, { level, index, width }));
  }
  return edge;
}
