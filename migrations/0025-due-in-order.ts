import { type Kysely, sql } from 'kysely';

/** Of what is due at once, the emergencies are found by themselves, however much else is due before them. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`create index timers_due_emergency on timers (next_step_at)
    where next_step_at is not null and urgency = 'emergency'`.execute(db);
}
