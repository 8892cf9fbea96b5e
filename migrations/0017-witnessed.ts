import { type Kysely, sql } from 'kysely';

/** What a quorum of witnesses cosigned last, and when: beside what was published last, which does not wait for them. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    alter table audit_head
      add column witnessed_size bigint,
      add column witnessed text,
      add column witnessed_at timestamptz`.execute(db);
  await sql`grant select (witnessed_size, witnessed, witnessed_at) on audit_head to aman_app`.execute(db);
  await sql`grant update (witnessed_size, witnessed, witnessed_at) on audit_head to aman_sequencer`.execute(db);
}
