/**
 * What a verifier holds against the entries' bytes, from wherever they come: checkpoint, places, ids, root, receipts and a past
 * that somebody kept. The files of the verifier import only core and Node.js, so that an auditor can read all that it takes.
 */

import { ENTRY_BYTES, leafHash, VERSION_LINE } from '../core/canonical.ts';
import { type Checkpoint, type OpenedCheckpoint, openCheckpoint } from '../core/checkpoint.ts';
import { type Appended, appendLeaves, type Edge, EMPTY_ROOT } from '../core/merkle.ts';
import { NoteError, parseNote, type VerifierKey } from '../core/signed-note.ts';

const ID_ENDS_AT = 29;
const BATCH = 1_024;
/** Some 80 bytes each. Beyond, an id is still held against these, but not against other late ones. */
const MOST_IDS = 4_000_000;

/** The log is not what it should be; says in one line where. */
export class Lie extends Error {
  override name = 'Lie';
}

/** What was handed in cannot be read as what it should be; says in one line where. Nothing is known of the log. */
export class Unreadable extends Error {
  override name = 'Unreadable';
}

export interface Demands {
  /** Its name is the log's origin. */
  log_key: VerifierKey;
  witnesses: readonly VerifierKey[];
  /** How many of the witnesses must have cosigned the checkpoint. */
  quorum: number;
  /** Leaf hashes in lower-case hex that must be in the log. */
  receipts: ReadonlySet<string>;
  /** What the log said of itself before; must be its past. */
  kept?: Checkpoint;
  /** Whether an export may be a part of the log. */
  part: boolean;
}

export interface Checked {
  checkpoint: OpenedCheckpoint;
  first: number;
  entries: number;
  /** Else the export is a part of the log, and nothing ties its entries to the checkpoint. */
  root_checked: boolean;
  /** Entries whose ids are known to differ from every other one's; all, up to 4 million. */
  ids_compared: number;
}

/**
 * The checkpoint of the log, from a note.
 * @throws Lie where the log's key or the quorum did not sign it; Unreadable where it is no note
 */
export function openLog(note: unknown, { log_key, witnesses, quorum }: Demands): OpenedCheckpoint {
  if (typeof note !== 'string') throw new Unreadable('the checkpoint is not a text');
  try {
    parseNote(note);
  } catch (error) {
    throw error instanceof NoteError ? new Unreadable(`the checkpoint: ${error.message}`) : error;
  }
  try {
    const checkpoint = openCheckpoint(note, { origin: log_key.name, log_key, witnesses });
    const { length } = checkpoint.cosignatures;
    if (length < quorum) throw new Lie(`the checkpoint: ${length} of the witnesses cosigned it, not ${quorum}`);
    return checkpoint;
  } catch (error) {
    throw error instanceof NoteError ? new Lie(`the checkpoint: ${error.message}`) : error;
  }
}

export interface LogCheck {
  /**
   * The next entry of the log; the first may be any.
   * @throws Lie where it is another one, is not an entry, has an id that was there before, or ends a past that is not the kept one
   */
  add(index: number, entry: Buffer): void;
  /** What was added since the last time stands in the tree from here on; it does so by itself every 1,024 entries. */
  grow(): void;
  /** @throws Lie for what can be said only at the end; Unreadable where there is no past to compare the kept one with */
  finish(): Checked;
}

/** Checks of the entries' bytes in their order. `onTile` is told every tile that changed, also of a tree not yet complete. */
export function startLog(
  checkpoint: OpenedCheckpoint,
  demands: Demands,
  onTile?: (tile: Appended['tiles'][number]) => void,
): LogCheck {
  const { kept } = demands;
  const { size } = checkpoint;
  const missing = new Set(demands.receipts);
  const ids = new Set<string>();
  let first = 0;
  let next = 0;
  let ids_compared = 0;
  let leaves: Buffer[] = [];
  let tree: { edge: Edge; size: number; root: Buffer } = { edge: new Map(), size: 0, root: EMPTY_ROOT };
  let kept_compared = false;

  if (kept && kept.size > size)
    throw new Lie(`the kept checkpoint covers ${kept.size} entries, this one ${size}: index ${size} and what follows is lost`);

  function grow() {
    if (first === 0 && leaves.length > 0) {
      const { tiles, ...grown } = appendLeaves(tree.edge, tree.size, leaves);
      tree = grown;
      if (onTile) tiles.forEach(onTile);
    }
    leaves = [];
    if (first !== 0 || tree.size !== kept?.size) return;
    if (!tree.root.equals(kept.root))
      throw new Lie(
        `index ${Math.max(0, kept.size - 1)} or before: not the past that the kept checkpoint covers, history was rewritten`,
      );
    kept_compared = true;
  }

  function add(index: number, entry: Buffer) {
    if (next === 0) first = next = index;
    if (index !== next) throw new Lie(`index ${next}: missing, index ${index} stands in its place`);
    if (index >= size) throw new Lie(`index ${index}: beyond the checkpoint, which covers ${size} entries`);
    if (entry.length !== ENTRY_BYTES) throw new Lie(`index ${index}: the entry has ${entry.length} bytes, not ${ENTRY_BYTES}`);
    if (!entry.subarray(0, VERSION_LINE.length).equals(VERSION_LINE))
      throw new Lie(`index ${index}: the entry does not begin with its version line`);
    const id = entry.toString('latin1', VERSION_LINE.length, ID_ENDS_AT);
    if (ids.has(id)) throw new Lie(`index ${index}: an entry before it has the same id`);
    if (ids.size < MOST_IDS) {
      ids.add(id);
      ids_compared++;
    }
    const leaf = leafHash(entry);
    if (missing.size > 0) missing.delete(leaf.toString('hex'));
    leaves.push(leaf);
    next++;
    if (leaves.length === BATCH || next === kept?.size) grow();
  }

  function finish(): Checked {
    grow();
    const entries = next - first;
    const root_checked = entries === size;
    if (root_checked && !tree.root.equals(checkpoint.root))
      throw new Lie(
        `the root of ${size === 0 ? 'no entries' : `index 0 to ${size - 1}`} is not the checkpoint's: entries were altered or swapped`,
      );
    if (first > 0 && !demands.part) throw new Lie(`part of the log: root not checked, index 0 to ${first - 1} is missing`);
    if (!root_checked && !demands.part) throw new Lie(`index ${next}: missing, the checkpoint covers ${size} entries`);
    const [receipt] = missing;
    if (receipt !== undefined) throw new Lie(`receipt ${receipt} is not in ${root_checked ? 'the log' : 'this part of the log'}`);
    if (kept && !kept_compared) throw new Unreadable('a part of the log cannot be compared with the kept checkpoint');
    return { checkpoint, first, entries, root_checked, ids_compared };
  }

  // Also nothing may be a past.
  grow();
  return { add, grow, finish };
}
