import { type Kysely, sql } from 'kysely';

/** How often places came free says more than when: the instant is read by nothing any more. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`alter table capacities drop column freed_at`.execute(db);
}
