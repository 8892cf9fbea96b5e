import type { Selectable } from 'kysely';
import type { Tx } from '../../platform/database.ts';
import type { CaseSeparationTable } from '../../platform/tables.ts';

export type SeparationRow = Selectable<CaseSeparationTable>;

/** As whoever runs `tx` may know of it: the owner of the case from whose side it was said, and the router. */
export const findSeparation = (tx: Tx, id: string): Promise<SeparationRow | undefined> =>
  tx.selectFrom('case_separations').selectAll().where('id', '=', id).executeTakeFirst();

/** From whom the person is kept apart, newest first; said from either side. */
export const listSeparations = (tx: Tx, case_id: string): Promise<SeparationRow[]> =>
  tx
    .selectFrom('case_separations')
    .selectAll()
    .where(eb => eb.or([eb('case_id', '=', case_id), eb('from_case_id', '=', case_id)]))
    .orderBy('id', 'desc')
    .execute();

/** Said again of the same two it holds until the new end. @returns its id */
export async function saveSeparation(tx: Tx, row: SeparationRow): Promise<string> {
  const { id } = await tx
    .insertInto('case_separations')
    .values(row)
    .onConflict(conflict => conflict.columns(['case_id', 'from_case_id']).doUpdateSet({ until: row.until }))
    .returning('id')
    .executeTakeFirstOrThrow();
  return id;
}

/** @returns whether there was one */
export async function deleteSeparation(tx: Tx, id: string): Promise<boolean> {
  const { numDeletedRows } = await tx.deleteFrom('case_separations').where('id', '=', id).executeTakeFirst();
  return numDeletedRows > 0n;
}
