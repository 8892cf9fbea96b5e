import { type Kysely, sql } from 'kysely';

/**
 * What was said by telephone may be contested for a while; a case may go over to another agency, which then sees it but for what
 * never leaves whoever took the report; the agency that owned it is accounted for like any other that held it.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`alter table offers add column contestable_until timestamptz`.execute(db);

  await sql`alter table disclosures drop constraint disclosures_offer_id_key`.execute(db);
  await sql`alter table disclosures add unique (offer_id, agency_id)`.execute(db);

  // Null: it has not changed hands, so its owner opened it, and has owned it since.
  await sql`
    alter table cases
      add column opened_by_agency_id text references agencies,
      add column owned_since timestamptz,
      add column owner_withheld text[] not null default '{}'`.execute(db);
  for (const table of ['case_data', 'case_data_history']) {
    const mine = sql`exists (select from cases c where c.id = case_id and c.owner_agency_id = (select me())
      and not category = any (c.owner_withheld))`;
    await sql`drop policy owner on ${sql.table(table)}`.execute(db);
    await sql`create policy owner on ${sql.table(table)} for all using (${mine}) with check (${mine})`.execute(db);
  }
}
