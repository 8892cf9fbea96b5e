import { type Kysely, sql } from 'kysely';

/**
 * A separation from a case of another owner is proposed until that owner, or a coordination committee of its jurisdiction, agrees.
 * Both owners and their coordinators see it, and each may lift it. What stood before keeps its force: nobody is brought together by
 * a migration, and whoever it bars may lift it now.
 *
 * Of one pair a proposal may stand beside what is in force, which it takes the place of once it is agreed to.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    alter table case_separations
      add column said_by_agency_id text collate "C" references agencies,
      add column agreed_at timestamptz`.execute(db);
  await sql`select set_config('aman.system', 'router', true)`.execute(db);
  await sql`
    update case_separations set agreed_at = created_at,
      said_by_agency_id = (select owner_agency_id from cases where id = case_separations.case_id)`.execute(db);
  await sql`select set_config('aman.system', '', true)`.execute(db);
  await sql`alter table case_separations alter column said_by_agency_id set not null`.execute(db);
  await sql`alter table case_separations drop constraint case_separations_case_id_from_case_id_key`.execute(db);
  await sql`create unique index case_separations_pair on case_separations (case_id, from_case_id, (agreed_at is null))`.execute(
    db,
  );
  await sql`grant update (agreed_at) on case_separations to aman_app`.execute(db);

  await sql`drop policy owner on case_separations`.execute(db);
  await sql`create policy parties on case_separations for select
    using ((select acting_as('router')) or accounts_for_case(case_id) or accounts_for_case(from_case_id))`.execute(db);
  // Whoever says it puts in force what is between two cases of its own, and nothing else.
  const says = sql`owns(case_id) and (agreed_at is null or owns(from_case_id))`;
  await sql`create policy owner_says on case_separations for insert
    with check (said_by_agency_id = (select me()) and ${says})`.execute(db);
  await sql`create policy owner_says_again on case_separations for update using (${says}) with check (${says})`.execute(db);
  await sql`create policy other_agrees on case_separations for update
    using (accounts_for_case(from_case_id)) with check (accounts_for_case(from_case_id))`.execute(db);
  await sql`create policy parties_lift on case_separations for delete
    using (accounts_for_case(case_id) or accounts_for_case(from_case_id))`.execute(db);
}
