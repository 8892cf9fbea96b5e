import { type FileHandle, open, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { ConfigError } from '../platform/config.ts';
import { post, type Tx } from '../platform/database.ts';
import { syncFolder } from '../platform/new-file.ts';
import type { JournalTable } from '../platform/tables.ts';
import type { Vault } from '../platform/vault.ts';
import { insertLine, listJournal, listNotKept, saveKept } from './journal-store.ts';

/**
 * What must hold again in a database that was restored from a backup: who was erased, which grants were withdrawn, which clients
 * revoked. An act notes it in its own transaction; the sequencer's process writes it into a file beside its ledger, where no
 * restore reaches. Both hold keyed hashes of ids, which tell nothing without the keyring.
 */

export type JournalKind = JournalTable['kind'];

export interface JournalLine {
  kind: JournalKind;
  /** 32 bytes: the blind index of the case's, consent's or client's id. */
  id_hash: Buffer;
  /** Of a grant that was withdrawn in part: which categories. Of another: `stop_service`, where that was asked for. */
  details: string[];
  at: Date;
}

/** Beside the ledger. */
export const journalPath = (ledger_path: string): string => `${ledger_path}.journal`;

/** Goes with the act's transaction. */
export function noteInJournal(
  { vault }: { vault: Vault },
  tx: Tx,
  { kind, id, details = [], at }: { kind: JournalKind; id: string; details?: string[]; at: Date },
): void {
  post(tx, insertLine(tx, { kind, id_hash: vault.subjectIndex(id), details, at }));
}

/** Two lines that say the same. */
export const sameLine = ({ kind, id_hash, details }: Omit<JournalLine, 'at'>): string =>
  `${kind} ${id_hash.toString('base64')} ${[...details].sort().join(',')}`;

/**
 * Writes what was noted and is not in the file yet; synced before it is believed. What a crash lets be written twice says the
 * same. Runs as the sequencer.
 * @returns whether there may be more
 * @throws ConfigError where the file cannot be written
 */
export async function keepJournal(tx: Tx, path: string, now: Date): Promise<boolean> {
  const batch = 1_000;
  const rows = await listNotKept(tx, batch);
  if (rows.length === 0) return false;
  await append(path, rows.map(lineText).join(''));
  await saveKept(
    tx,
    rows.map(({ number }) => number),
    now,
  );
  return rows.length === batch;
}

/** What the file should have and has not, for it was lost, is written again. Runs as the sequencer. */
export async function keepAgain(tx: Tx, path: string): Promise<void> {
  const there = new Set((await readJournal(path)).map(sameLine));
  const lost = (await listJournal(tx)).filter(row => row.kept_at !== null && !there.has(sameLine(row)));
  if (lost.length > 0)
    await saveKept(
      tx,
      lost.map(({ number }) => number),
      null,
    );
}

const lineText = ({ kind, id_hash, details, at }: JournalLine): string =>
  `${JSON.stringify({ kind, id_hash: id_hash.toString('base64'), details, at: at.toISOString() })}\n`;

/**
 * Every line, in order; none where there is no file yet.
 * @throws ConfigError where it cannot be read, or holds a line that is none: but for what a crash left of one
 */
export async function readJournal(path: string): Promise<JournalLine[]> {
  const text = await readFile(path, 'utf8').catch(error => {
    if (codeOf(error) === 'ENOENT') return '';
    throw new ConfigError(`the journal ${path} cannot be read (${codeOf(error)})`);
  });
  return text.split('\n').flatMap(line => {
    const isWhole = line.startsWith('{') && line.endsWith('}');
    return isWhole ? [readLine(line, path)] : [];
  });
}

function readLine(line: string, path: string): JournalLine {
  try {
    const { kind, id_hash, details, at } = JSON.parse(line);
    const read = { kind, id_hash: Buffer.from(id_hash, 'base64'), details, at: new Date(at) };
    if (read.id_hash.length === 32 && Array.isArray(details) && KINDS.includes(kind)) return read;
  } catch {
    // Said below.
  }
  throw new ConfigError(`the journal ${path} holds a line that is none: ${line.slice(0, 60)}`);
}

const KINDS: readonly string[] = ['erased', 'withdrawn', 'revoked'] satisfies JournalKind[];

async function append(path: string, lines: string): Promise<void> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, 'a+', 0o600);
    const { size } = await file.stat();
    const last = Buffer.alloc(1);
    if (size > 0) await file.read(last, 0, 1, size - 1);
    // What a crash left of a line must not swallow this one.
    await file.appendFile(size === 0 || last.toString() === '\n' ? lines : `\n${lines}`);
    await file.datasync();
    if (size === 0) await syncFolder(dirname(path));
  } catch (error) {
    throw new ConfigError(`the journal ${path} cannot be written (${codeOf(error)})`);
  } finally {
    await file?.close();
  }
}

const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? String(error);
