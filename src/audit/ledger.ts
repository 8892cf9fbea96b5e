import { constants } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { EMPTY_ROOT } from '../core/merkle.ts';
import { ConfigError } from '../platform/config.ts';
import { syncFolder } from '../platform/new-file.ts';

/**
 * The checkpoint ledger ("Tree, sequencing, checkpoint", step 4): what was signed last, kept where a restore of the database does
 * not reach. A checkpoint is published only after it was swapped in here, so that no two histories of one log can both be.
 */

export interface TreeHead {
  /** Leaves. */
  size: number;
  /** 32 bytes. */
  root: Buffer;
}

export interface Ledger {
  /** What was swapped in last; the empty tree at first. @throws LedgerError where it cannot be read or has lost something */
  head(): Promise<TreeHead>;
  /**
   * Puts `to` in the place of `from`; on disk when it resolves.
   * @throws LedgerMoved where `from` is not what was swapped in last
   * @throws LedgerError where it cannot be written: perhaps it is there, perhaps not
   */
  swap(from: TreeHead, to: TreeHead, checkpoint: string): Promise<void>;
  close(): Promise<void>;
}

/** The ledger cannot be used; one line for the operator. */
export class LedgerError extends ConfigError {
  override readonly name = 'LedgerError';
}

/** Somebody else swapped first. */
export class LedgerMoved extends Error {
  override readonly name = 'LedgerMoved';
}

export const sameHead = (a: TreeHead, b: TreeHead): boolean => a.size === b.size && a.root.equals(b.root);

interface Swap {
  from: TreeHead;
  to: TreeHead;
}

/** At most so much of the file is read when it is opened. */
const TAIL_BYTES = 16 * 2 ** 20;

/**
 * A file to which lines are only ever added, each a swap. Of two that begin at the same head the earlier line counts: so the order
 * of lines decides between processes that append at once, without a lock that one of them could take to its grave. A line that was
 * torn by a crash counts for nothing, nor does what is appended to a head that is no more. What is read here is first put on the
 * disk: whoever wrote it may have died before.
 * @param create whether a log may begin with it
 * @throws LedgerError
 */
export async function openFileLedger(path: string, { tail_bytes = TAIL_BYTES, create = true } = {}): Promise<Ledger> {
  const file = await openFile(path, create ? constants.O_CREAT : 0);
  // That there is such a file must outlive a crash, too.
  await naming(path, 'is in a folder that cannot be synced', () => syncFolder(dirname(path)));
  const ledger = new FileLedger(path, file, tail_bytes);
  try {
    await ledger.head();
  } catch (error) {
    await ledger.close();
    throw error;
  }
  return ledger;
}

class FileLedger implements Ledger {
  readonly #path: string;
  readonly #tail_bytes: number;
  /** Null after a look that failed: the next one opens the file anew. */
  #opened: Reading | null;
  /** One reads or writes at a time. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(path: string, file: FileHandle, tail_bytes: number) {
    this.#path = path;
    this.#tail_bytes = tail_bytes;
    this.#opened = new Reading(path, file, tail_bytes);
  }

  head(): Promise<TreeHead> {
    return this.#alone(() => this.#readHead());
  }

  swap(from: TreeHead, to: TreeHead, checkpoint: string): Promise<void> {
    return this.#alone(() => this.#swap(from, to, checkpoint));
  }

  close(): Promise<void> {
    return this.#alone(async () => this.#opened?.file.close());
  }

  #alone<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#last.then(work);
    this.#last = done.catch(() => {});
    return done;
  }

  async #readHead(): Promise<TreeHead> {
    // One that is gone is not begun anew.
    this.#opened ??= new Reading(this.#path, await openFile(this.#path), this.#tail_bytes);
    const { file } = this.#opened;
    try {
      return await naming(this.#path, 'cannot be read', () => this.#opened!.readOn());
    } catch (error) {
      // After a failed sync nobody knows what is on the disk, and another file may lie in its place: what was read counts no more.
      this.#opened = null;
      await file.close().catch(() => {});
      throw error;
    }
  }

  async #swap(from: TreeHead, to: TreeHead, checkpoint: string): Promise<void> {
    if (!sameHead(await this.#readHead(), from)) throw new LedgerMoved(`the ledger is no longer at size ${from.size}`);
    const line = `${JSON.stringify({ from: written(from), to: written(to), checkpoint })}\n`;
    await naming(this.#path, 'cannot be written', () => this.#opened!.append(line));
    if (!sameHead(await this.#readHead(), to)) throw new LedgerMoved(`somebody else went on from size ${from.size}`);
  }
}

/** The file as far as it was read since it was opened. */
class Reading {
  readonly file: FileHandle;
  readonly #path: string;
  readonly #tail_bytes: number;
  #head: TreeHead = { size: 0, root: EMPTY_ROOT };
  /** How far it was read, and what of a last line was read without its end. */
  #read_to = 0;
  #begun = '';
  /** A file that is read from somewhere in the middle: a line that begins beyond what is known is believed. */
  #is_tail = false;

  constructor(path: string, file: FileHandle, tail_bytes: number) {
    this.#path = path;
    this.file = file;
    this.#tail_bytes = tail_bytes;
  }

  async append(line: string): Promise<void> {
    // What a crash left of a line must not swallow this one.
    await this.file.appendFile(this.#begun === '' ? line : `\n${line}`);
  }

  async readOn(): Promise<TreeHead> {
    const { size, ino } = await this.file.stat();
    const there = await stat(this.#path);
    if (there.ino !== ino) throw new LedgerError(`the ledger ${this.#path} was replaced by another file`);
    if (size < this.#read_to) throw new LedgerError(`the ledger ${this.#path} was cut short`);
    if (size === this.#read_to) return this.#head;
    if (this.#read_to === 0 && size > this.#tail_bytes) {
      this.#read_to = size - this.#tail_bytes;
      this.#is_tail = true;
      // Somewhere in a line, which counts for nothing.
      this.#begun = ' ';
    }
    const bytes = Buffer.alloc(size - this.#read_to);
    const { bytesRead } = await this.file.read(bytes, 0, bytes.length, this.#read_to);
    const lines = (this.#begun + bytes.toString('latin1', 0, bytesRead)).split('\n');
    const begun = lines.pop()!;
    let head = this.#head;
    for (const line of lines) {
      const swap = readSwap(line);
      if (!swap || swap.to.size <= swap.from.size) continue;
      if (sameHead(swap.from, head) || (this.#is_tail && swap.from.size > head.size)) head = swap.to;
    }
    await naming(this.#path, 'cannot be synced', () => this.file.datasync());
    this.#read_to += bytesRead;
    this.#begun = begun;
    this.#head = head;
    return head;
  }
}

const openFile = (path: string, flags = 0): Promise<FileHandle> =>
  naming(path, 'cannot be opened', () => open(path, constants.O_RDWR | constants.O_APPEND | flags, 0o600));

const written = ({ size, root }: TreeHead) => ({ size, root: root.toString('base64') });

function readSwap(line: string): Swap | null {
  try {
    const { from, to } = JSON.parse(line) as Record<'from' | 'to', { size: number; root: string }>;
    return { from: readHead(from), to: readHead(to) };
  } catch {
    return null;
  }
}

function readHead({ size, root }: { size: number; root: string }): TreeHead {
  const bytes = Buffer.from(root, 'base64');
  if (!Number.isSafeInteger(size) || size < 0 || bytes.length !== 32) throw new TypeError('no head');
  return { size, root: bytes };
}

async function naming<T>(path: string, what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof LedgerError) throw error;
    throw new LedgerError(`the ledger ${path} ${what}: ${(error as NodeJS.ErrnoException).code ?? (error as Error).message}`);
  }
}
