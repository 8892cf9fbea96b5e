import { type Kysely, sql } from 'kysely';

/**
 * What the directory says of a service beside whom it takes: what it is good at, in which region it lies, for whom it is in words, when
 * it is open, and when somebody last said that all this is right. Its hours are kept as spans of time for the weeks ahead, so that
 * whoever looks for a place asks one index of nobody's rules.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    alter table services
      add column specialities text[] not null default '{}',
      add column located_in text,
      add column eligibility text,
      add column schedules jsonb not null default '[]',
      add column open_hours tstzmultirange,
      add column open_hours_until timestamptz,
      add column assured_at timestamptz not null default now()`.execute(db);
  await sql`
    do $$ begin
      perform enter('router');
      update services set assured_at = updated_at;
      perform enter('');
    end $$`.execute(db);
  await sql`create index services_hours on services (open_hours_until) where open_hours_until is not null`.execute(db);
}
