import type { Selectable } from 'kysely';
import type { GapLine } from '../../core/coverage.ts';
import type { Tx } from '../../platform/database.ts';
import type { CoverageStateTable } from '../../platform/tables.ts';

/** The SQL of what was found of coverage; the only writer of its table. Runs as the router. */

export type CoverageStateRow = Selectable<CoverageStateTable>;

export const findCoverageState = (tx: Tx, jurisdiction: string): Promise<CoverageStateRow | undefined> =>
  tx.selectFrom('coverage_states').selectAll().where('jurisdiction', '=', jurisdiction).executeTakeFirst();

/** One that was never looked at, unless there is one already. */
export async function insertCoverageState(tx: Tx, jurisdiction: string, now: Date): Promise<void> {
  await tx
    .insertInto('coverage_states')
    .values({ jurisdiction, seen: null, regions: [], gaps: '[]', looked_at: now })
    .onConflict(conflict => conflict.doNothing())
    .execute();
}

/** @returns undefined also where somebody else has locked it */
export const lockCoverageState = (tx: Tx, jurisdiction: string): Promise<CoverageStateRow | undefined> =>
  tx
    .selectFrom('coverage_states')
    .selectAll()
    .where('jurisdiction', '=', jurisdiction)
    .forUpdate()
    .skipLocked()
    .executeTakeFirst();

export async function saveCoverageState(
  tx: Tx,
  { jurisdiction, gaps, ...state }: Omit<CoverageStateRow, 'gaps'> & { gaps: readonly GapLine[] },
): Promise<void> {
  await tx
    .updateTable('coverage_states')
    .set({ ...state, gaps: JSON.stringify(gaps) })
    .where('jurisdiction', '=', jurisdiction)
    .execute();
}
