import { type Selectable, sql } from 'kysely';
import type { Tx } from '../../platform/database.ts';
import type { CaseSeparationTable } from '../../platform/tables.ts';

export type SeparationRow = Selectable<CaseSeparationTable>;

/** As whoever runs `tx` may know of it: the owners of both cases, their coordinators, and the router. */
export type KnownSeparation = Omit<SeparationRow, 'said_by_agency_id'> & {
  /** null: one of the two was asked for there at a protected place, and the reader may not learn where. */
  said_by_agency_id: string | null;
};

const known = (tx: Tx) =>
  tx
    .selectFrom('case_separations')
    .select(['id', 'case_id', 'from_case_id', 'until', 'agreed_at', 'created_at'])
    .select(
      sql<string | null>`case when not exists (
        select from offers o where o.case_id in (case_separations.case_id, case_separations.from_case_id)
          and o.agency_id = case_separations.said_by_agency_id and o.location_protected
      ) then said_by_agency_id end`.as('said_by_agency_id'),
    );

/** One that the case has part in, from either side. */
export const findSeparation = (tx: Tx, case_id: string, id: string): Promise<KnownSeparation | undefined> =>
  known(tx)
    .where('id', '=', id)
    .where(eb => eb.or([eb('case_id', '=', case_id), eb('from_case_id', '=', case_id)]))
    .executeTakeFirst();

/** From whom the person is kept apart, newest first; said from either side. */
export const listSeparations = (tx: Tx, case_id: string): Promise<KnownSeparation[]> =>
  known(tx)
    .where(eb => eb.or([eb('case_id', '=', case_id), eb('from_case_id', '=', case_id)]))
    .orderBy('id', 'desc')
    .execute();

/** Said again of the same two it is what was said, with the new end; a proposal leaves alone what is in force. @returns its id */
export async function saveSeparation(tx: Tx, row: SeparationRow): Promise<string> {
  const { id } = await tx
    .insertInto('case_separations')
    .values(row)
    .onConflict(conflict =>
      conflict.expression(sql`case_id, from_case_id, (agreed_at is null)`).doUpdateSet({ until: row.until }),
    )
    .returning('id')
    .executeTakeFirstOrThrow();
  return id;
}

/** Puts a proposal in force, in place of what was said of the same two before. @returns whether there still was one */
export async function saveAgreement(
  tx: Tx,
  { id, case_id, from_case_id }: Pick<SeparationRow, 'id' | 'case_id' | 'from_case_id'>,
  now: Date,
): Promise<boolean> {
  await tx
    .deleteFrom('case_separations')
    .where('case_id', '=', case_id)
    .where('from_case_id', '=', from_case_id)
    .where('agreed_at', 'is not', null)
    .execute();
  const { numUpdatedRows } = await tx
    .updateTable('case_separations')
    .set({ agreed_at: now })
    .where('id', '=', id)
    .where('agreed_at', 'is', null)
    .executeTakeFirst();
  return numUpdatedRows > 0n;
}

/** @returns whether there was one */
export async function deleteSeparation(tx: Tx, id: string): Promise<boolean> {
  const { numDeletedRows } = await tx.deleteFrom('case_separations').where('id', '=', id).executeTakeFirst();
  return numDeletedRows > 0n;
}
