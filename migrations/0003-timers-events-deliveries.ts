import { type Kysely, sql } from 'kysely';

/** Timers (the row is the truth, the sweep fires it), the outbox with one row per event and recipient, and its deliveries. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    create table timers (
      id text collate "C" primary key,
      name text not null,
      kind text not null,
      clock text not null,
      subject_type text not null,
      subject_id text not null,
      case_id text not null references cases,
      referral_id text references referrals,
      offer_id text references offers,
      owner_agency_id text not null,
      sender_agency_id text,
      receiver_agency_id text,
      responsible_agency_id text not null,
      location_protected boolean not null,
      jurisdiction text not null,
      urgency text not null,
      started_at timestamptz not null,
      due_at timestamptz not null,
      state text not null,
      paused_at timestamptz,
      warned_at timestamptz,
      breached_at timestamptz,
      met_at timestamptz,
      escalation_level integer not null default 0,
      on_breach text,
      steps jsonb not null,
      next_step_at timestamptz,
      rule jsonb not null,
      version integer not null default 1
    )`.execute(db);
  await sql`create index timers_due on timers (next_step_at) where next_step_at is not null`.execute(db);
  await sql`create index timers_subject on timers (subject_id)`.execute(db);
  await sql`create index timers_referral on timers (referral_id) where referral_id is not null`.execute(db);
  await sql`create index timers_case on timers (case_id)`.execute(db);
  await sql`create index timers_responsible on timers (responsible_agency_id, due_at)`.execute(db);
  await sql`create index timers_jurisdiction on timers (jurisdiction, due_at)`.execute(db);

  await sql`
    create table events (
      number bigint generated always as identity primary key,
      id text collate "C" not null,
      agency_id text not null references agencies,
      type text not null,
      subject_id text not null,
      referral_id text,
      case_id text,
      urgent boolean not null,
      reaches_always boolean not null,
      body jsonb not null,
      occurred_at timestamptz not null,
      position bigint,
      sequence bigint,
      unique (agency_id, id)
    )`.execute(db);
  await sql`create index events_unnumbered on events (number) where position is null`.execute(db);
  await sql`create unique index events_position on events (agency_id, position) where position is not null`.execute(db);
  await sql`create index events_age on events (occurred_at)`.execute(db);
  await sql`create table event_positions (agency_id text primary key references agencies, last bigint not null)`.execute(db);
  await sql`
    create table event_sequences (
      agency_id text not null references agencies,
      subject_id text not null,
      last bigint not null,
      primary key (agency_id, subject_id)
    )`.execute(db);

  await sql`
    create table webhook_endpoints (
      id text collate "C" primary key,
      agency_id text not null references agencies,
      url text not null,
      event_types text[] not null,
      description text,
      signature text[] not null,
      status text not null,
      secret bytea not null,
      previous_secret bytea,
      previous_secret_until timestamptz,
      failing_since timestamptz,
      deleted_at timestamptz,
      version integer not null default 1,
      created_at timestamptz not null,
      updated_at timestamptz not null
    )`.execute(db);
  await sql`create index webhook_endpoints_agency on webhook_endpoints (agency_id) where deleted_at is null`.execute(db);

  await sql`
    create table deliveries (
      id text collate "C" primary key,
      endpoint_id text not null references webhook_endpoints,
      agency_id text not null,
      event_number bigint not null references events on delete cascade,
      event_id text not null,
      event_type text not null,
      subject_id text not null,
      sequence bigint not null,
      urgent boolean not null,
      waits boolean not null,
      state text not null,
      attempts integer not null default 0,
      next_attempt_at timestamptz,
      claimed_until timestamptz,
      last_status integer,
      last_error text,
      created_at timestamptz not null,
      delivered_at timestamptz
    )`.execute(db);
  await sql`create index deliveries_due on deliveries (endpoint_id, urgent desc, next_attempt_at, event_number) where next_attempt_at is not null`.execute(
    db,
  );
  await sql`create index deliveries_claimed on deliveries (endpoint_id) where claimed_until is not null`.execute(db);
  await sql`create index deliveries_age on deliveries using brin (created_at)`.execute(db);
  await sql`create index deliveries_endpoint on deliveries (endpoint_id, id)`.execute(db);
  await sql`create index deliveries_order on deliveries (endpoint_id, subject_id, sequence) where state = 'pending'`.execute(db);
  await sql`create index deliveries_event on deliveries (event_number)`.execute(db);
  await sql`
    create table delivery_attempts (
      delivery_id text not null references deliveries on delete cascade,
      attempt integer not null,
      agency_id text not null,
      started_at timestamptz not null,
      duration_ms integer not null,
      status integer,
      error text,
      primary key (delivery_id, attempt)
    )`.execute(db);

  const tables = [
    'timers',
    'events',
    'event_positions',
    'event_sequences',
    'webhook_endpoints',
    'deliveries',
    'delivery_attempts',
  ];
  for (const table of tables) {
    await sql`alter table ${sql.table(table)} enable row level security`.execute(db);
    await sql`alter table ${sql.table(table)} force row level security`.execute(db);
    await sql`grant select, insert, update on ${sql.table(table)} to aman_app`.execute(db);
  }
  await sql`grant delete on events, deliveries, delivery_attempts to aman_app`.execute(db);

  await sql`create policy parties on timers for select
    using (responsible_agency_id = (select me()) or owner_agency_id = (select me()) or sender_agency_id = (select me())
      or receiver_agency_id = (select me()) or jurisdiction = any ((select coordinated())::text[]))`.execute(db);
  await sql`create policy system on timers for all
    using ((select acting_as('router', 'clock'))) with check ((select acting_as('router', 'clock')))`.execute(db);

  await sql`create policy own on events for select using (agency_id = (select me()) or (select acting_as('relay', 'retention')))`.execute(
    db,
  );
  await sql`create policy anyone_tells on events for insert with check (position is null)`.execute(db);
  await sql`create policy relay on events for update using ((select acting_as('relay'))) with check ((select acting_as('relay')))`.execute(
    db,
  );
  await sql`create policy retention on events for delete using ((select acting_as('retention')))`.execute(db);
  for (const table of ['event_positions', 'event_sequences']) {
    await sql`create policy relay on ${sql.table(table)} for all
      using ((select acting_as('relay'))) with check ((select acting_as('relay')))`.execute(db);
  }
  for (const table of ['webhook_endpoints', 'deliveries', 'delivery_attempts']) {
    await sql`create policy own on ${sql.table(table)} for all
      using (agency_id = (select me()) or (select acting_as('relay', 'retention')))
      with check (agency_id = (select me()) or (select acting_as('relay')))`.execute(db);
  }

  /**
   * Whether the recipient of an event may know of it now: of what ends or changes its duties, always; of a referral, as owner,
   * sender or coordinator, or as somebody who was asked to take it, but then nothing of another agency's offer; of a case, as
   * owner, coordinator, or party to a referral of it. The audit body may know of what was told to it. PL/pgSQL keeps its plan.
   */
  await sql`
    create function may_still_know(event events) returns boolean language plpgsql stable as $$
    declare
      recipient agencies;
    begin
      if event.reaches_always or (event.referral_id is null and event.case_id is null) then return true; end if;
      select * into recipient from agencies where id = event.agency_id;
      if recipient.kind = 'audit_body' then return true; end if;
      if event.referral_id is not null then
        return exists (
          select from referrals r where r.id = event.referral_id and (
            recipient.id in (r.owner_agency_id, r.sender_agency_id)
            or (recipient.kind = 'coordination_committee' and r.jurisdiction = any (recipient.jurisdictions))
            or (exists (select from offers o where o.referral_id = r.id and o.agency_id = recipient.id)
              and not exists (select from offers o where o.id = event.body ->> 'offer_id' and o.agency_id <> recipient.id))));
      end if;
      return exists (
        select from cases c where c.id = event.case_id and (
          c.owner_agency_id = recipient.id
          or (recipient.kind = 'coordination_committee' and c.jurisdiction = any (recipient.jurisdictions))
          or exists (select from offers o where o.case_id = c.id and recipient.id in (o.agency_id, o.sender_agency_id))));
    end $$`.execute(db);
}
