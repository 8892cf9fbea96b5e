import { type Kysely, sql } from 'kysely';

/**
 * Who was found together, which of them are a family, and who is kept apart from whom. That cases are of one group is for their
 * owners; that two persons are kept apart for the owner from whose side it was said. The router looks at both, whoever owns what.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    create table groups (
      id text collate "C" primary key,
      opened_by_agency_id text collate "C" not null references agencies,
      region text,
      opened_at timestamptz not null
    )`.execute(db);
  // Until now a case named whatever group its owner liked.
  await sql`select set_config('aman.system', 'router', true)`.execute(db);
  await sql`
    insert into groups (id, opened_by_agency_id, opened_at)
    select distinct on (group_id) group_id, owner_agency_id, opened_at from cases where group_id is not null
    order by group_id, opened_at, id`.execute(db);
  await sql`select set_config('aman.system', '', true)`.execute(db);
  await sql`
    alter table cases
      add column family smallint,
      add foreign key (group_id) references groups,
      add check (family is null or group_id is not null)`.execute(db);
  await sql`create index cases_group on cases (group_id) where group_id is not null`.execute(db);
  await sql`
    create table case_separations (
      id text collate "C" primary key,
      case_id text collate "C" not null references cases,
      from_case_id text collate "C" not null references cases,
      until timestamptz,
      created_at timestamptz not null,
      unique (case_id, from_case_id),
      check (case_id <> from_case_id)
    )`.execute(db);
  await sql`create index case_separations_from on case_separations (from_case_id)`.execute(db);
  // What one call for many came to: kept as long as the key by which it may be asked for again.
  await sql`
    create table batches (
      id text collate "C" primary key,
      agency_id text collate "C" not null references agencies,
      group_id text collate "C" not null references groups,
      sealed bytea not null,
      created_at timestamptz not null
    )`.execute(db);
  await sql`create index batches_age on batches (created_at)`.execute(db);

  for (const table of ['groups', 'case_separations', 'batches']) {
    await sql`alter table ${sql.table(table)} enable row level security`.execute(db);
    await sql`alter table ${sql.table(table)} force row level security`.execute(db);
    await sql`grant select, insert on ${sql.table(table)} to aman_app`.execute(db);
  }
  await sql`grant update (until), delete on case_separations to aman_app`.execute(db);
  await sql`grant delete on batches to aman_app`.execute(db);
  await sql`create policy own on groups for select
    using (opened_by_agency_id = (select me())
      or exists (select from cases c where c.group_id = groups.id and c.owner_agency_id = (select me())))`.execute(db);
  await sql`create policy opener on groups for insert with check (opened_by_agency_id = (select me()))`.execute(db);
  await sql`create policy owner on case_separations for all
    using ((select acting_as('router')) or owns(case_id))
    with check ((select acting_as('router')) or owns(case_id))`.execute(db);
  await sql`create policy own on batches for all
    using (agency_id = (select me()) or (select acting_as('retention'))) with check (agency_id = (select me()))`.execute(db);
}
