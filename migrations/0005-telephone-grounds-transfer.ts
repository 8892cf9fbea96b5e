import { type Kysely, sql } from 'kysely';

/**
 * What was said by telephone may be contested for a while; a case may go over to another agency, which then sees it but for what
 * never leaves whoever took the report; the agency that owned it is accounted for like any other that held it.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`alter table offers add column contestable_until timestamptz`.execute(db);

  // Who was put on a waiting list is looked at again like who is unplaced.
  await sql`drop index referrals_unplaced`.execute(db);
  await sql`create index referrals_waiting on referrals (service, jurisdiction) where status in ('unplaced', 'waitlisted')`.execute(
    db,
  );
  // What changes a case changes no key of it: rows that refer to it may be written beside.
  await sql`
    create or replace function lock_case(id text, for_update boolean) returns void language plpgsql as $$
    declare before text := enter('lock');
    begin
      if for_update then perform 1 from cases c where c.id = lock_case.id for no key update;
      else perform 1 from cases c where c.id = lock_case.id for share;
      end if;
      perform enter(before);
    end $$`.execute(db);

  await sql`alter table disclosures drop constraint disclosures_offer_id_key`.execute(db);
  await sql`alter table disclosures add unique (offer_id, agency_id)`.execute(db);

  // Null: it has not changed hands, so its owner opened it, and has owned it since.
  await sql`
    alter table cases
      add column opened_by_agency_id text references agencies,
      add column owned_since timestamptz,
      add column owned_by_referral_id text references referrals,
      add column owner_withheld text[] not null default '{}'`.execute(db);
  for (const table of ['case_data', 'case_data_history']) {
    const mine = sql`exists (select from cases c where c.id = case_id and c.owner_agency_id = (select me())
      and not category = any (c.owner_withheld))`;
    await sql`drop policy owner on ${sql.table(table)}`.execute(db);
    await sql`create policy owner on ${sql.table(table)} for all using (${mine}) with check (${mine})`.execute(db);
  }
}
