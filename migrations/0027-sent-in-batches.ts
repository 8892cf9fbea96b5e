import { type Kysely, sql } from 'kysely';

/**
 * Deliveries are claimed and settled many at a time, by whoever has the turn at their endpoint. A claim changes nothing that an index
 * has, and finds room on its page. An endpoint says how much it takes in a second, and a row how far what was sent to it reaches ahead
 * of that.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    alter table webhook_endpoints
      add column max_per_second integer not null default 500 check (max_per_second between 1 and 1000),
      add column paced_until timestamptz,
      add column turn_of text,
      add column turn_until timestamptz`.execute(db);
  await sql`drop index deliveries_claimed`.execute(db);
  await sql`alter table deliveries set (fillfactor = 80)`.execute(db);
}
