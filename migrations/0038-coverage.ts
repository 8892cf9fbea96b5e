import { type Kysely, sql } from 'kysely';

/** What was found of each jurisdiction's coverage when something last changed, so that a gap which a change opens is told once. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    create table coverage_states (
      jurisdiction text primary key,
      seen text,
      regions text[] not null,
      gaps jsonb not null,
      looked_at timestamptz not null
    )`.execute(db);
  await sql`alter table coverage_states enable row level security`.execute(db);
  await sql`alter table coverage_states force row level security`.execute(db);
  await sql`create policy router on coverage_states for all
    using ((select acting_as('router'))) with check ((select acting_as('router')))`.execute(db);
  await sql`grant select, insert, update on coverage_states to aman_app`.execute(db);
}
