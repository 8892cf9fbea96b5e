import { type Kysely, sql } from 'kysely';

/**
 * Experts whom agencies keep on their rosters, and requests for them. How to reach an expert, and whom a request is against, stand in
 * tables of their own, so that row-level security can tell them apart from the rest: the one for the keeper and for whoever has a
 * confirmed request, the other for whoever asked. `matcher` is the service itself, comparing: it may look at who a case is about, and
 * at no contact. Clocks of requests are rows among the others, of no case.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    create table experts (
      id text collate "C" primary key,
      agency_id text collate "C" not null references agencies,
      status text not null,
      skills text[] not null,
      languages jsonb not null,
      sex text not null,
      jurisdictions text[] not null,
      regions text[] not null,
      remote boolean not null,
      availability jsonb not null,
      unavailable jsonb not null,
      certifications jsonb not null,
      employer_agency_ids text[] not null,
      ties bytea not null,
      version integer not null default 1,
      created_at timestamptz not null,
      updated_at timestamptz not null
    )`.execute(db);
  await sql`create index experts_agency on experts (agency_id, id)`.execute(db);
  await sql`create index experts_skills on experts using gin (skills)`.execute(db);
  await sql`
    create table expert_contacts (
      expert_id text collate "C" primary key references experts,
      agency_id text collate "C" not null references agencies,
      sealed bytea not null
    )`.execute(db);
  await sql`
    create table expert_requests (
      id text collate "C" primary key,
      expert_id text collate "C" not null references experts,
      agency_id text collate "C" not null references agencies,
      requester_agency_id text collate "C" not null references agencies,
      staff_code text not null,
      skill text not null,
      language text,
      jurisdiction text not null,
      region text,
      "from" timestamptz not null,
      "to" timestamptz not null,
      mode text not null,
      urgency text not null,
      status text not null,
      reason_code text,
      version integer not null default 1,
      created_at timestamptz not null,
      updated_at timestamptz not null
    )`.execute(db);
  await sql`create index expert_requests_keeper on expert_requests (agency_id, id)`.execute(db);
  await sql`create index expert_requests_requester on expert_requests (requester_agency_id, id)`.execute(db);
  await sql`create index expert_requests_open on expert_requests (expert_id) where status in ('requested', 'confirmed')`.execute(
    db,
  );
  await sql`
    create table expert_request_details (
      request_id text collate "C" primary key references expert_requests,
      requester_agency_id text collate "C" not null references agencies,
      case_id text collate "C" references cases,
      sealed bytea not null
    )`.execute(db);
  await sql`create index expert_request_details_case on expert_request_details (case_id) where case_id is not null`.execute(db);
  for (const table of ['experts', 'expert_contacts', 'expert_requests', 'expert_request_details']) {
    await sql`alter table ${sql.raw(table)} enable row level security`.execute(db);
    await sql`alter table ${sql.raw(table)} force row level security`.execute(db);
  }
  await sql`grant select, insert, update on experts, expert_contacts, expert_requests to aman_app`.execute(db);
  // Whom a request is against stays as it was said.
  await sql`grant select, insert on expert_request_details to aman_app`.execute(db);

  await sql`create policy keeper on experts for all using (agency_id = (select me())) with check (agency_id = (select me()))`.execute(
    db,
  );
  // Looks at all of them, and locks the one that is asked for.
  await sql`create policy matcher on experts for select using ((select acting_as('matcher')))`.execute(db);
  await sql`create policy matcher_locks on experts for update using ((select acting_as('matcher'))) with check (false)`.execute(
    db,
  );

  await sql`
    create function has_confirmed(which text) returns boolean language plpgsql stable parallel safe cost 1000 as $$
    begin
      return exists (select from public.expert_requests r
        where r.expert_id = which and r.requester_agency_id = me() and r.status = 'confirmed');
    end $$`.execute(db);
  await sql`create policy keeper on expert_contacts for all
    using (agency_id = (select me())) with check (agency_id = (select me()))`.execute(db);
  await sql`create policy requester on expert_contacts for select using (has_confirmed(expert_id))`.execute(db);

  await sql`create policy parties on expert_requests for select
    using ((select me()) in (agency_id, requester_agency_id))`.execute(db);
  await sql`create policy requester on expert_requests for insert with check (requester_agency_id = (select me()))`.execute(db);
  await sql`create policy parties_change on expert_requests for update
    using ((select me()) in (agency_id, requester_agency_id))
    with check ((select me()) in (agency_id, requester_agency_id))`.execute(db);
  await sql`create policy matcher on expert_requests for all
    using ((select acting_as('matcher'))) with check ((select acting_as('matcher')))`.execute(db);

  await sql`create policy requester on expert_request_details for all
    using (requester_agency_id = (select me())) with check (requester_agency_id = (select me()))`.execute(db);
  await sql`create policy matcher on expert_request_details for select using ((select acting_as('matcher')))`.execute(db);

  await sql`create policy matcher on case_keys for select using ((select acting_as('matcher')))`.execute(db);
  await sql`create policy matcher on case_data for select
    using (category = 'identity' and (select acting_as('matcher')))`.execute(db);

  await sql`
    alter table timers
      alter column case_id drop not null,
      add column expert_request_id text collate "C" references expert_requests,
      add constraint timers_matter check (num_nonnulls(case_id, expert_request_id) = 1)`.execute(db);
  await sql`create index timers_expert_request on timers (expert_request_id) where expert_request_id is not null`.execute(db);
}
