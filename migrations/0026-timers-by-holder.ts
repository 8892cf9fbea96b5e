import { type Kysely, sql } from 'kysely';

/** The days of rest of those by whom an agency stands: found by what it holds now, and by no other timer of their cases. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`create index disclosures_live on disclosures (agency_id, case_id) where ended_at is null`.execute(db);
  await sql`create index timers_rest on timers (case_id)
    where subject_type = 'case' and guards = '{conclusive_grounds}'`.execute(db);
}
