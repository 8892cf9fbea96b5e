import { type Kysely, sql } from 'kysely';

/**
 * Who last said what a service is, and how many places it has: a directory that was taken over, or the agency itself. What was said
 * before counts as the agency's own, which no import changes without saying when it was assured.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`alter table services add column imported boolean not null default false`.execute(db);
  await sql`alter table capacities add column imported boolean not null default false`.execute(db);
}
