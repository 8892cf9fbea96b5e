import { type Kysely, sql } from 'kysely';

/** Whoever sequences takes what waits only into the log: what leaves `audit_pending` has a place when the statement ends. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    create function require_places() returns trigger language plpgsql set search_path = pg_catalog, public, pg_temp as $$
    begin
      if current_user = 'aman_sequencer' and exists (
        select from gone where not exists (select from audit_log placed where placed.entry_id = gone.entry_id and placed.entry = gone.entry))
      then raise insufficient_privilege using message = 'an entry leaves for its place in the log, and for nowhere else';
      end if;
      return null;
    end $$`.execute(db);
  await sql`
    create trigger moved_not_removed after delete on audit_pending referencing old table as gone
      for each statement execute function require_places()`.execute(db);
}
