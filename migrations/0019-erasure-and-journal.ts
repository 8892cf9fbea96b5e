import { type Kysely, sql } from 'kysely';

/**
 * Erasure from the trail, and what must hold again in a database that was restored from a backup.
 *
 * Nobody may change a row of the trail; what erasure destroys goes through one function of the owner's, which the role `erasure`
 * alone may call. `journal` is what the sequencer writes into the file beside its ledger: hashed ids of what was erased, withdrawn
 * and revoked. And the head says in which database, since which start of its server, it was compared with the ledger: a copy, or a
 * restored one, has not been.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`create policy erasure on audit_subjects using ((select acting_as('erasure'))) with check ((select acting_as('erasure')))`.execute(
    db,
  );
  await sql`create policy erasure on audit_subject_referrals using ((select acting_as('erasure')))`.execute(db);
  await sql`create policy erasure on case_keys using ((select acting_as('erasure')))`.execute(db);
  await sql`create policy erasure on audit_pending for select using ((select acting_as('erasure')))`.execute(db);
  await sql`create policy erasure on audit_log for select using ((select acting_as('erasure')))`.execute(db);
  await sql`
    create function erase_subject(erased bytea) returns table (subject_commit bytea)
      language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
    begin
      if not acting_as('erasure') then
        raise exception 'only erasure erases' using errcode = 'insufficient_privilege';
      end if;
      delete from case_keys where case_id in (select key_id from audit_subjects where subject_index = erased);
      delete from audit_subject_referrals r using audit_subjects s
        where s.subject_index = erased and r.entry_id = s.entry_id and r.ordinal = s.ordinal;
      return query
        with gone as (
          update audit_subjects set sealed = null, subject_index = null, key_id = null where subject_index = erased
          returning entry_id, ordinal)
        select r.subject_commits[gone.ordinal + 1] from gone join audit_records r using (entry_id);
    end $$`.execute(db);
  // What is erased is found by its entries, also among tens of millions.
  await sql`create index audit_subject_referrals_entry on audit_subject_referrals (entry_id, ordinal)`.execute(db);
  await sql`revoke execute on function erase_subject(bytea) from public`.execute(db);
  await sql`grant execute on function erase_subject(bytea) to aman_app`.execute(db);

  await sql`
    create table journal (
      number bigint generated always as identity primary key,
      kind text not null check (kind in ('erased', 'withdrawn', 'revoked')),
      id_hash bytea not null check (length(id_hash) = 32),
      details text[] not null,
      at timestamptz not null,
      kept_at timestamptz
    )`.execute(db);
  await sql`create index journal_not_kept on journal (number) where kept_at is null`.execute(db);
  await sql`alter table journal enable row level security`.execute(db);
  await sql`alter table journal force row level security`.execute(db);
  await sql`create policy anyone_acts on journal for insert with check (true)`.execute(db);
  await sql`create policy sequencer on journal to aman_sequencer using (true)`.execute(db);
  await sql`create policy restoring on journal for select using ((select acting_as('setup', 'timeline')))`.execute(db);
  await sql`grant select, insert (kind, id_hash, details, at, kept_at) on journal to aman_app`.execute(db);
  await sql`grant select, update (kept_at) on journal to aman_sequencer`.execute(db);

  await sql`
    create function this_database() returns text language sql stable parallel safe set search_path = pg_catalog, public, pg_temp as $$
      select concat_ws(' ', extract(epoch from pg_postmaster_start_time()), (select oid from pg_database where datname = current_database()),
        'audit_head'::regclass::oid) $$`.execute(db);
  await sql`alter table audit_head add column compared_in text`.execute(db);
  await sql`grant select (compared_in) on audit_head to aman_app`.execute(db);
  await sql`grant update (compared_in) on audit_head to aman_sequencer`.execute(db);
}
