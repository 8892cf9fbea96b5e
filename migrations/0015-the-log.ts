import { type Kysely, sql } from 'kysely';

/**
 * The log. What an act leaves waits in `audit_pending`, whole and hardly indexed; the sequencer alone takes it from there and gives
 * it its place in `audit_log`, under the indexes by which auditors look. So an act pays for one row, and the order of the log is that
 * of its indices. `audit_records` is both, for whoever reads what a case's acts left.
 *
 * Nothing that was recorded has had its place yet: the table in which it lies becomes the one in which it waits, under the numbers
 * that it has. Older processes cannot write to it any more.
 *
 * Whole tiles of the tree are rows; what is not full yet is reckoned from the entries and tiles below it, so that nothing of the
 * log is ever changed. The role `aman_sequencer` may move pending rows and advance the head; nobody may change or remove an entry or
 * a tile.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`alter table audit_subjects drop constraint audit_subjects_entry_id_fkey`.execute(db);
  await sql`drop table audit_pending`.execute(db);
  await sql`alter table audit_records rename to audit_pending`.execute(db);
  for (const name of ['action', 'agency_id', 'client_id', 'resource_type', 'caseworker', 'lawful_ground', 'refusals', 'at']) {
    await sql`drop index ${sql.ref(`audit_records_${name}`)}`.execute(db);
  }
  for (const name of ['pkey', 'entry_id_key']) {
    await sql`alter table audit_pending rename constraint ${sql.ref(`audit_records_${name}`)}
      to ${sql.ref(`audit_pending_${name}`)}`.execute(db);
  }
  await sql`alter sequence audit_records_number_seq rename to audit_pending_number_seq`.execute(db);
  await sql`drop policy auditors on audit_pending`.execute(db);
  // What has another form could not be committed to, and would stop the log.
  await sql`
    alter table audit_pending add constraint audit_pending_form check (
      length(entry_id) = 16 and length(entry) = 93 and length(salt_meta) = 32 and length(salt_personal) = 32) not valid`.execute(
    db,
  );
  // It is filled and emptied all the time.
  await sql`alter table audit_pending set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000)`.execute(db);

  const record = `entry_id, entry, meta, salt_meta, salt_personal, subject_commits, at, agency_id, client_id, caseworker,
    action, outcome, resource_type, code, lawful_ground`;
  await sql`
    create table audit_log (
      index bigint primary key,
      number bigint not null,
      entry_id bytea not null unique,
      entry bytea not null,
      meta text not null,
      salt_meta bytea not null,
      salt_personal bytea not null,
      subject_commits bytea[] not null,
      at timestamptz not null,
      agency_id text collate "C",
      client_id text collate "C",
      caseworker text,
      action text not null,
      outcome text not null,
      resource_type text not null,
      code text,
      lawful_ground text
    )`.execute(db);
  for (const column of ['agency_id', 'client_id', 'action', 'resource_type']) {
    await sql`create index ${sql.ref(`audit_log_${column}`)} on audit_log (${sql.ref(column)}, index)`.execute(db);
  }
  for (const column of ['caseworker', 'lawful_ground']) {
    await sql`create index ${sql.ref(`audit_log_${column}`)} on audit_log (${sql.ref(column)}, index)
      where ${sql.ref(column)} is not null`.execute(db);
  }
  await sql`create index audit_log_refusals on audit_log (outcome, index) where outcome in ('denied', 'failed')`.execute(db);
  await sql`create index audit_log_at on audit_log using brin (at)`.execute(db);
  await sql`alter table audit_log enable row level security`.execute(db);
  await sql`alter table audit_log force row level security`.execute(db);
  await sql`create policy auditors on audit_log for select
    using (agency_id = (select me()) or (select is_audit_body()))`.execute(db);
  await sql`create policy timeline on audit_log for select using ((select acting_as('timeline')))`.execute(db);
  await sql`create policy tree on audit_log for select using ((select acting_as('tree')))`.execute(db);
  await sql`grant select on audit_log to aman_app`.execute(db);
  // Not `number`: nobody goes before others.
  await sql`revoke insert on audit_pending from aman_app`.execute(db);
  await sql`grant insert (${sql.raw(record)}) on audit_pending to aman_app`.execute(db);

  await sql`
    create view audit_records with (security_invoker = true) as
      select number, null::bigint as index, ${sql.raw(record)} from audit_pending
      union all
      select number, index, ${sql.raw(record)} from audit_log`.execute(db);
  await sql`grant select on audit_records to aman_app`.execute(db);

  await sql`
    create table audit_tiles (
      level smallint not null,
      index bigint not null,
      hashes bytea not null check (length(hashes) = 8192),
      root bytea not null check (length(root) = 32),
      primary key (level, index)
    )`.execute(db);
  await sql`grant select on audit_tiles to aman_app`.execute(db);
  await sql`
    create table audit_head (
      one boolean primary key default true check (one),
      origin text not null,
      verifier_key text not null,
      size bigint not null,
      root bytea not null,
      checkpoint text not null,
      at timestamptz not null,
      published_size bigint not null,
      published text,
      published_at timestamptz not null,
      halted text
    )`.execute(db);
  // What is signed and not published is the sequencer's alone.
  await sql`grant select (origin, verifier_key, size, at, published_size, published, published_at, halted)
    on audit_head to aman_app`.execute(db);

  await sql`grant usage on schema public to aman_sequencer`.execute(db);
  await sql`grant select, delete on audit_pending to aman_sequencer`.execute(db);
  await sql`grant select, insert on audit_log, audit_tiles to aman_sequencer`.execute(db);
  await sql`grant select, insert on audit_head to aman_sequencer`.execute(db);
  await sql`grant update (size, root, checkpoint, at, published_size, published, published_at, halted)
    on audit_head to aman_sequencer`.execute(db);
  await sql`create policy sequencer_reads on audit_pending for select to aman_sequencer using (true)`.execute(db);
  await sql`create policy sequencer_takes on audit_pending for delete to aman_sequencer using (true)`.execute(db);
  await sql`create policy sequencer_reads on audit_log for select to aman_sequencer using (true)`.execute(db);
  await sql`create policy sequencer_places on audit_log for insert to aman_sequencer with check (true)`.execute(db);
}
