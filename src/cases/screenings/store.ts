import type { Selectable } from 'kysely';
import type { Certificate } from '../../core/screening.ts';
import type { Tx } from '../../platform/database.ts';
import type { ScreeningTable } from '../../platform/tables.ts';

/** The SQL of screenings; the only writer of their table. It knows ciphertext alone. */

export type ScreeningRow = Selectable<ScreeningTable>;

export async function insertScreening(tx: Tx, row: ScreeningRow): Promise<void> {
  await tx.insertInto('screenings').values(row).execute();
}

/** The screening as whoever runs `tx` may know of it. */
export const findScreening = (tx: Tx, id: string): Promise<ScreeningRow | undefined> =>
  tx.selectFrom('screenings').selectAll().where('id', '=', id).executeTakeFirst();

/** Newest first. */
export const listScreenings = (tx: Tx, case_id: string, before_id: string | undefined, limit: number): Promise<ScreeningRow[]> =>
  tx
    .selectFrom('screenings')
    .selectAll()
    .where('case_id', '=', case_id)
    .$if(before_id !== undefined, query => query.where('id', '<', before_id!))
    .orderBy('id', 'desc')
    .limit(limit)
    .execute();

/** The certificates of a caseworker of the agency that runs `tx`. */
export async function listCertificates(tx: Tx, caseworker_id: string): Promise<Certificate[]> {
  const { certifications } = await tx
    .selectFrom('caseworkers')
    .select('certifications')
    .where('id', '=', caseworker_id)
    .executeTakeFirstOrThrow();
  return certifications as Certificate[];
}
