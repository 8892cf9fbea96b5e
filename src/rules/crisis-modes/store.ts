import { type Insertable, type Selectable, sql } from 'kysely';
import type { Tx } from '../../platform/database.ts';
import type { CrisisModeTable } from '../../platform/tables.ts';

/** The SQL of crisis modes; the only writer of their table. */

export type CrisisModeRow = Selectable<CrisisModeTable>;

export const findCrisisMode = (tx: Tx, jurisdiction: string, id: string): Promise<CrisisModeRow | undefined> =>
  tx.selectFrom('crisis_modes').selectAll().where('jurisdiction', '=', jurisdiction).where('id', '=', id).executeTakeFirst();

/** For an act on it: others wait. */
export const lockCrisisMode = (tx: Tx, jurisdiction: string, id: string): Promise<CrisisModeRow | undefined> =>
  tx
    .selectFrom('crisis_modes')
    .selectAll()
    .where('jurisdiction', '=', jurisdiction)
    .where('id', '=', id)
    .forUpdate()
    .executeTakeFirst();

/** Newest first. */
export const listCrisisModes = (
  tx: Tx,
  jurisdiction: string,
  before: string | undefined,
  limit: number,
): Promise<CrisisModeRow[]> =>
  tx
    .selectFrom('crisis_modes')
    .selectAll()
    .where('jurisdiction', '=', jurisdiction)
    .$if(before !== undefined, query => query.where('id', '<', before!))
    .orderBy('id', 'desc')
    .limit(limit)
    .execute();

/** Those that nobody has ended; no other is declared in the jurisdiction before this transaction ends. */
export async function lockHeldModes(tx: Tx, jurisdiction: string): Promise<CrisisModeRow[]> {
  await sql`select pg_advisory_xact_lock(hashtextextended(${`crisis modes ${jurisdiction}`}, 0))`.execute(tx);
  return tx
    .selectFrom('crisis_modes')
    .selectAll()
    .where('jurisdiction', '=', jurisdiction)
    .where('ended_at', 'is', null)
    .execute();
}

export async function insertCrisisMode(tx: Tx, mode: Insertable<CrisisModeTable>): Promise<void> {
  await tx.insertInto('crisis_modes').values(mode).execute();
}

export async function saveCrisisMode(
  tx: Tx,
  id: string,
  change: Partial<Pick<CrisisModeRow, 'phase' | 'expires_at' | 'renewed' | 'ended_at' | 'ended_by_staff_code'>>,
  now: Date,
): Promise<void> {
  await tx
    .updateTable('crisis_modes')
    .set({ ...change, updated_at: now })
    .set('version', sql<number>`version + 1`)
    .where('id', '=', id)
    .execute();
}

/** One that was not renewed in time, locked; those that somebody is acting on are passed by. */
export const lockExpiredMode = (tx: Tx, now: Date): Promise<CrisisModeRow | undefined> =>
  tx
    .selectFrom('crisis_modes')
    .selectAll()
    .where('ended_at', 'is', null)
    .where('expires_at', '<=', now)
    .orderBy('expires_at')
    .limit(1)
    .forUpdate()
    .skipLocked()
    .executeTakeFirst();

/** Who works in the jurisdiction, and hears of a crisis there. */
export const listAgenciesOf = async (tx: Tx, jurisdiction: string): Promise<string[]> => {
  const rows = await tx
    .selectFrom('agencies')
    .select('id')
    .where(sql<boolean>`jurisdictions @> array[${jurisdiction}]::text[]`)
    .orderBy('id')
    .execute();
  return rows.map(({ id }) => id);
};
