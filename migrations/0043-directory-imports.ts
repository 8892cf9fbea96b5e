import { type Kysely, sql } from 'kysely';

/** Under which ids other directories know our agencies, so that what is imported again makes nothing twice; and what imports did. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    create table directory_sources (
      source text not null,
      foreign_id text not null,
      agency_id text collate "C" not null references agencies (id),
      primary key (source, foreign_id)
    )`.execute(db);
  await sql`
    create table directory_imports (
      id text collate "C" primary key,
      source text not null,
      jurisdiction text not null,
      report jsonb not null,
      created_at timestamptz not null
    )`.execute(db);
  for (const table of ['directory_sources', 'directory_imports']) {
    await sql`alter table ${sql.ref(table)} enable row level security`.execute(db);
    await sql`alter table ${sql.ref(table)} force row level security`.execute(db);
    await sql`create policy admin on ${sql.ref(table)} for all
      using ((select is_admin())) with check ((select is_admin()))`.execute(db);
    await sql`grant select, insert on ${sql.ref(table)} to aman_app`.execute(db);
  }
}
