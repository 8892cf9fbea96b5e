import { type Kysely, sql } from 'kysely';

/**
 * The trail. An act inserts a record, its subject records, and the entry that waits for its place in the log
 * (`audit_pending`). Nobody but an erasure ever changes one: the service's role may only insert and read.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    create table audit_records (
      number bigint generated always as identity primary key,
      entry_id bytea not null unique,
      entry bytea not null,
      meta text not null,
      salt_meta bytea not null,
      salt_personal bytea not null,
      subject_commits bytea[] not null,
      at timestamptz not null,
      agency_id text,
      client_id text,
      caseworker text,
      action text not null,
      outcome text not null,
      resource_type text not null,
      code text,
      lawful_ground text
    )`.execute(db);
  // The trail is read newest or oldest first: `number` last serves the order too.
  for (const column of ['agency_id', 'client_id', 'action', 'resource_type']) {
    await sql`create index ${sql.ref(`audit_records_${column}`)} on audit_records (${sql.ref(column)}, number)`.execute(db);
  }
  for (const column of ['caseworker', 'lawful_ground']) {
    await sql`create index ${sql.ref(`audit_records_${column}`)} on audit_records (${sql.ref(column)}, number)
      where ${sql.ref(column)} is not null`.execute(db);
  }
  await sql`create index audit_records_at on audit_records using brin (at)`.execute(db);
  await sql`create index audit_records_refusals on audit_records (number) where outcome in ('denied', 'failed')`.execute(db);
  // What an erasure destroys stands here; what stays of an entry for ever, its commitments too, in `audit_records`.
  await sql`
    create table audit_subjects (
      entry_id bytea not null references audit_records (entry_id),
      ordinal smallint not null,
      reader_agency_id text,
      key_id text,
      sealed bytea,
      subject_index bytea,
      primary key (entry_id, ordinal)
    )`.execute(db);
  await sql`create index audit_subjects_subject on audit_subjects (subject_index, reader_agency_id)
    where subject_index is not null`.execute(db);
  // Not an array under a GIN index: behind row-level security, array operators are not let near an index.
  await sql`
    create table audit_subject_referrals (
      referral_index bytea not null,
      reader_agency_id text,
      entry_id bytea not null,
      ordinal smallint not null
    )`.execute(db);
  await sql`create index audit_subject_referrals_referral on audit_subject_referrals (referral_index, reader_agency_id)`.execute(
    db,
  );
  await sql`create table audit_pending (entry_id bytea primary key, entry bytea not null)`.execute(db);

  for (const table of ['audit_records', 'audit_subjects', 'audit_subject_referrals', 'audit_pending']) {
    await sql`alter table ${sql.table(table)} enable row level security`.execute(db);
    await sql`alter table ${sql.table(table)} force row level security`.execute(db);
    await sql`create policy anyone_acts on ${sql.table(table)} for insert with check (true)`.execute(db);
    await sql`grant select, insert on ${sql.table(table)} to aman_app`.execute(db);
  }
  await sql`create policy auditors on audit_records for select
    using (agency_id = (select me()) or (select is_audit_body()))`.execute(db);
  for (const table of ['audit_subjects', 'audit_subject_referrals']) {
    await sql`create policy auditors on ${sql.table(table)} for select
      using (reader_agency_id = (select me()) or (select is_audit_body()))`.execute(db);
  }
}
