import { type Kysely, sql } from 'kysely';

/** Which key signed the log before the one that does now, and since when that does: for a while both sign. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`alter table audit_head add column previous_key text, add column rotated_at timestamptz`.execute(db);
  // What was recorded once is looked for by its kind.
  await sql`create policy timeline on audit_kinds for select using ((select acting_as('timeline')))`.execute(db);
  await sql`grant select (previous_key, rotated_at) on audit_head to aman_app`.execute(db);
  await sql`grant update (verifier_key, previous_key, rotated_at) on audit_head to aman_sequencer`.execute(db);
}
