import { type Kysely, sql } from 'kysely';

/**
 * How auditors find their way in a long log. Who did what with which outcome is a few ten thousand kinds of entries, however many
 * entries there are: filters choose kinds, and each kind's entries are found in the order of the log by one index. That serves any
 * filters together, also those that find nothing, where an index for each column had to be walked until another filter agreed. So
 * those indexes go, and the sequencer pays for one instead of seven.
 *
 * Times are found by spans: whole stretches of 4,096 entries with the earliest and the latest time in each, for `at` follows the
 * order of the log nearly, not quite. Both are added to by whoever adds to the log, and never changed.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  const columns = 'agency_id, client_id, caseworker, action, outcome, resource_type, lawful_ground';
  // Two kinds may have one hash: what it finds is looked at again. Chosen names must not be able to hide anything.
  const kind = `hashtextextended((coalesce(agency_id, '') || e'\\n' || coalesce(client_id, '') || e'\\n' || coalesce(caseworker, '')
    || e'\\n' || action || e'\\n' || outcome || e'\\n' || resource_type || e'\\n' || coalesce(lawful_ground, '')) collate "C", 0)`;
  await sql`alter table audit_log add column kind bigint not null generated always as (${sql.raw(kind)}) stored`.execute(db);
  for (const name of ['agency_id', 'client_id', 'action', 'resource_type', 'caseworker', 'lawful_ground', 'refusals']) {
    await sql`drop index ${sql.ref(`audit_log_${name}`)}`.execute(db);
  }
  await sql`create index audit_log_kind on audit_log (kind, index)`.execute(db);
  // What was added last is asked for most.
  await sql`alter index audit_log_at set (autosummarize = on)`.execute(db);

  await sql`
    create table audit_kinds (
      agency_id text collate "C",
      client_id text collate "C",
      caseworker text,
      action text not null,
      outcome text not null,
      resource_type text not null,
      lawful_ground text,
      kind bigint not null generated always as (${sql.raw(kind)}) stored,
      unique nulls not distinct (agency_id, client_id, caseworker, action, outcome, resource_type, lawful_ground)
    )`.execute(db);
  await sql`create index audit_kinds_kind on audit_kinds (kind)`.execute(db);
  await sql`create index audit_kinds_client_id on audit_kinds (client_id)`.execute(db);
  await sql`create index audit_kinds_action on audit_kinds (action)`.execute(db);
  await sql`
    create table audit_spans (
      index bigint primary key check (index % 4096 = 0),
      earliest timestamptz not null,
      latest timestamptz not null
    )`.execute(db);

  // Looked up one by one: joined, all that there are were read for each batch.
  const keepKinds = (entries: string) => `
    insert into public.audit_kinds (${columns})
    select ${columns} from (select distinct kind, ${columns} from ${entries}) e
    where (select true from public.audit_kinds k where k.kind = e.kind
      and (k.agency_id, k.client_id, k.caseworker, k.action, k.outcome, k.resource_type, k.lawful_ground)
        is not distinct from (e.agency_id, e.client_id, e.caseworker, e.action, e.outcome, e.resource_type, e.lawful_ground)
      limit 1) is null
    on conflict do nothing`;
  const keepSpans = (ended: string) => `
    insert into public.audit_spans (index, earliest, latest)
    select whole.index, min(l.at), max(l.at)
    from (select index - 4095 as index from ${ended} where index % 4096 = 4095) whole
      join public.audit_log l on l.index between whole.index and whole.index + 4095
    group by whole.index`;
  await sql`
    create function keep_finding_aids() returns trigger language plpgsql set search_path = pg_catalog, public, pg_temp as ${sql.lit(`begin ${keepKinds('placed')};
    ${keepSpans('placed')};
    return null;
    end`)}`.execute(db);
  await sql`
    create trigger keep_finding_aids after insert on audit_log referencing new table as placed
      for each statement execute function keep_finding_aids()`.execute(db);

  // The walls bind whoever migrates, too.
  await sql`alter table audit_log no force row level security`.execute(db);
  await sql.raw(keepKinds('audit_log')).execute(db);
  await sql.raw(keepSpans('audit_log')).execute(db);
  await sql`alter table audit_log force row level security`.execute(db);

  await sql`alter table audit_kinds enable row level security`.execute(db);
  await sql`alter table audit_kinds force row level security`.execute(db);
  await sql`create policy auditors on audit_kinds for select
    using (agency_id = (select me()) or (select is_audit_body()))`.execute(db);
  await sql`create policy sequencer_reads on audit_kinds for select to aman_sequencer using (true)`.execute(db);
  await sql`create policy sequencer_adds on audit_kinds for insert to aman_sequencer with check (true)`.execute(db);
  await sql`grant select on audit_kinds, audit_spans to aman_app`.execute(db);
  await sql`grant select, insert on audit_kinds, audit_spans to aman_sequencer`.execute(db);
}
