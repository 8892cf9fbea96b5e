import { type Selectable, sql } from 'kysely';
import type { Tx } from '../platform/database.ts';
import type { AuditDisclosureTable, AuditInquiryTable } from '../platform/tables.ts';

/** The SQL of inquiries, and of what the accounting of cases says of them. */

export type InquiryRow = Selectable<AuditInquiryTable>;

export const insertInquiry = (tx: Tx, row: Omit<InquiryRow, 'confirmed_by' | 'confirmed_at' | 'version'>) =>
  tx.insertInto('audit_inquiries').values(row).execute();

/** The inquiry as whoever runs `tx` may know of it. */
export const findInquiry = (tx: Tx, id: string): Promise<InquiryRow | undefined> =>
  tx.selectFrom('audit_inquiries').selectAll().where('id', '=', id).executeTakeFirst();

/** {@link findInquiry}, and nobody else confirms it meanwhile. */
export const lockInquiry = (tx: Tx, id: string): Promise<InquiryRow | undefined> =>
  tx.selectFrom('audit_inquiries').selectAll().where('id', '=', id).forUpdate().executeTakeFirst();

export const saveInquiryConfirmed = (tx: Tx, { id, version }: InquiryRow, confirmed_by: string, confirmed_at: Date) =>
  tx
    .updateTable('audit_inquiries')
    .set({ confirmed_by, confirmed_at, version: version + 1 })
    .where('id', '=', id)
    .execute();

/** Once for each inquiry and case, of those cases that there are. Runs as the role `trail`. */
export async function insertAccounts(
  tx: Tx,
  { inquiry_id, agency_id, started_at, ends_at }: Omit<AuditDisclosureTable, 'id' | 'case_id'>,
  cases: readonly { id: string; case_id: string }[],
): Promise<void> {
  const ids = cases.map(({ id }) => id);
  const case_ids = cases.map(({ case_id }) => case_id);
  await sql`
    insert into audit_disclosures (id, inquiry_id, case_id, agency_id, started_at, ends_at)
    select a.id, ${inquiry_id}, c.id, ${agency_id}, ${started_at}, ${ends_at}
    from unnest(${ids}::text[], ${case_ids}::text[]) a (id, case_id) join cases c on c.id = a.case_id order by c.id
    on conflict (inquiry_id, case_id) do nothing`.execute(tx);
}
