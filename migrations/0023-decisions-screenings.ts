import { type Kysely, sql } from 'kysely';

/**
 * What screeners and competent authorities find of a case, and requests to look at it again. That a decision was made is for the
 * owner, for the authority that made it and those that are asked to decide, and for the coordinator; why it was made so is not the
 * coordinator's. Whoever merely holds another offer of the case sees neither.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    create table screenings (
      id text collate "C" primary key,
      case_id text collate "C" not null references cases,
      agency_id text collate "C" not null references agencies,
      staff_code text not null,
      presumed boolean not null,
      sealed bytea not null,
      created_at timestamptz not null
    )`.execute(db);
  await sql`create index screenings_case on screenings (case_id, id)`.execute(db);
  await sql`
    create table decisions (
      id text collate "C" primary key,
      case_id text collate "C" not null references cases,
      agency_id text collate "C" not null references agencies,
      jurisdiction text not null,
      kind text not null,
      outcome text not null check (outcome in ('positive', 'negative')),
      decided_at timestamptz not null,
      served_at timestamptz check (served_at >= decided_at),
      staff_code text not null,
      version integer not null default 1,
      created_at timestamptz not null,
      updated_at timestamptz not null
    )`.execute(db);
  await sql`create index decisions_case on decisions (case_id, id)`.execute(db);
  await sql`
    create table decision_reasons (
      decision_id text collate "C" primary key references decisions,
      case_id text collate "C" not null references cases,
      agency_id text collate "C" not null references agencies,
      sealed bytea not null
    )`.execute(db);
  await sql`
    create table reconsiderations (
      decision_id text collate "C" primary key references decisions,
      case_id text collate "C" not null references cases,
      agency_id text collate "C" not null references agencies,
      by_owner boolean not null,
      staff_code text not null,
      sealed bytea not null,
      requested_at timestamptz not null
    )`.execute(db);
  for (const table of ['screenings', 'decisions', 'decision_reasons', 'reconsiderations']) {
    await sql`alter table ${sql.table(table)} enable row level security`.execute(db);
    await sql`alter table ${sql.table(table)} force row level security`.execute(db);
    await sql`grant select, insert on ${sql.table(table)} to aman_app`.execute(db);
  }
  // What was found stays as it was found; that the person was told comes later.
  await sql`grant update (served_at, version, updated_at) on decisions to aman_app`.execute(db);

  await sql`
    create function decides(which text) returns boolean language plpgsql stable parallel safe cost 1000 as ${sql.lit(`begin
      return exists (select from public.offers o join public.agencies a on a.id = o.agency_id
        where o.case_id = which and o.agency_id = me() and o.service = 'identification'
          and o.status in ('accepted', 'in_progress') and a.competent_authority);
    end`)}`.execute(db);
  const OF_ITS_OWN = 'agency_id = me() and was_disclosed(case_id)';

  // Whoever stands by the person may say that the person asked for the days of rest to end, and so sees that floor.
  await sql`
    create function supports(which text) returns boolean language plpgsql stable parallel safe cost 1000 as ${sql.lit(`begin
      return holds(which) and exists (select from public.agencies a where a.id = me() and a.kind in (
        'shelter', 'health', 'social_services', 'civil_society', 'international_organisation', 'hotline', 'council', 'school'));
    end`)}`.execute(db);
  await sql`alter table timers add column waived_at timestamptz`.execute(db);
  await sql`create policy supporters on timers for select
    using (subject_type = 'case' and guards = '{conclusive_grounds}' and supports(case_id))`.execute(db);

  await sql`create policy parties on screenings for select
    using (acting_as('trail') or agency_id = me() and owns(case_id) or owner_sees(case_id, 'narrative'))`.execute(db);
  await sql`create policy owner on screenings for insert with check (agency_id = me() and owns(case_id))`.execute(db);

  await sql`create policy parties on decisions for select
    using (acting_as('router', 'clock', 'trail') or owns(case_id) or ${sql.raw(OF_ITS_OWN)} or decides(case_id)
      or jurisdiction = any ((select coordinated())::text[]))`.execute(db);
  await sql`create policy authority on decisions for insert with check (agency_id = me() and decides(case_id))`.execute(db);
  await sql`create policy serves on decisions for update
    using (owns(case_id) or ${sql.raw(OF_ITS_OWN)}) with check (owns(case_id) or ${sql.raw(OF_ITS_OWN)})`.execute(db);

  await sql`create policy parties on decision_reasons for select
    using (${sql.raw(OF_ITS_OWN)} or owner_sees(case_id, 'criminal_justice') or decides(case_id))`.execute(db);
  await sql`create policy authority on decision_reasons for insert with check (agency_id = me() and decides(case_id))`.execute(
    db,
  );

  await sql`create policy parties on reconsiderations for select
    using (acting_as('router') or agency_id = me() and knows_case(case_id) or owner_sees(case_id, 'criminal_justice') or decides(case_id))`.execute(
    db,
  );
  await sql`create policy supporters on reconsiderations for insert
    with check (agency_id = me() and (by_owner and owns(case_id) or not by_owner and supports(case_id)))`.execute(db);
}
