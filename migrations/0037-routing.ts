import { type Kysely, sql } from 'kysely';

/**
 * What routing looks at of a service beside what it says of itself: how often it was asked lately and said yes, counted by and by, and
 * for how many places it is being asked now.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    alter table services
      add column asked integer not null default 0,
      add column accepted integer not null default 0`.execute(db);
  await sql`
    create index offers_pending on offers (agency_id, service) include (places)
    where status in ('offered', 'received', 'info_requested')`.execute(db);
}
