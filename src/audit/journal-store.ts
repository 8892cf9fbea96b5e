import { type Insertable, type Selectable, sql } from 'kysely';
import type { Tx } from '../platform/database.ts';
import type { JournalTable } from '../platform/tables.ts';

export type JournalRow = Selectable<JournalTable>;

export const insertLine = (tx: Tx, line: Insertable<JournalTable>) => tx.insertInto('journal').values(line).execute();

/** What the file does not have yet, in the order in which it was noted. Runs as the sequencer. */
export const listNotKept = (tx: Tx, limit: number): Promise<JournalRow[]> =>
  tx.selectFrom('journal').selectAll().where('kept_at', 'is', null).orderBy('number').limit(limit).execute();

/** Runs as the sequencer. */
export const saveKept = (tx: Tx, numbers: number[], at: Date | null) =>
  tx.updateTable('journal').set({ kept_at: at }).where('number', '=', sql<number>`any (${numbers}::bigint[])`).execute();

/** When the first of what the file does not have yet was noted. Runs as the role `timeline`. */
export async function findOldestNotKept(tx: Tx): Promise<Date | null> {
  const row = await tx
    .selectFrom('journal')
    .select('at')
    .where('kept_at', 'is', null)
    .orderBy('number')
    .limit(1)
    .executeTakeFirst();
  return row?.at ?? null;
}

export const listJournal = (tx: Tx): Promise<JournalRow[]> => tx.selectFrom('journal').selectAll().orderBy('number').execute();
