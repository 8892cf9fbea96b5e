import { type Kysely, sql } from 'kysely';

/**
 * Who hears of what: when an agency last pulled, which agencies take no events now, which urgent events nobody has heard, who was
 * called because of them; and which digests were told.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    create table event_pulls (
      agency_id text collate "C" primary key references agencies,
      pulled_at timestamptz not null,
      position bigint not null
    )`.execute(db);
  await sql`
    create table unreachable_agencies (
      agency_id text collate "C" primary key references agencies,
      since timestamptz not null
    )`.execute(db);
  await sql`
    create table undelivered (
      agency_id text collate "C" primary key references agencies,
      handle text collate "C" not null unique,
      jurisdiction text not null,
      events integer not null,
      since timestamptz not null,
      calls integer not null,
      called_at timestamptz not null,
      called_agency_id text collate "C",
      called_staff_code text,
      called_agency_ids text[] not null,
      acknowledged_at timestamptz,
      acknowledged_by_agency_id text collate "C",
      acknowledged_by_staff_code text,
      version integer not null
    )`.execute(db);
  await sql`
    create table digests (
      agency_id text collate "C" not null references agencies,
      jurisdiction text not null,
      day date not null,
      told_at timestamptz not null,
      primary key (agency_id, jurisdiction, day)
    )`.execute(db);
  for (const table of ['event_pulls', 'unreachable_agencies', 'undelivered', 'digests']) {
    await sql`alter table ${sql.table(table)} enable row level security`.execute(db);
    await sql`alter table ${sql.table(table)} force row level security`.execute(db);
    await sql`create policy relay on ${sql.table(table)} for all
      using ((select acting_as('relay'))) with check ((select acting_as('relay')))`.execute(db);
    await sql`grant select, insert, update on ${sql.table(table)} to aman_app`.execute(db);
  }
  await sql`grant delete on unreachable_agencies, undelivered to aman_app`.execute(db);
  await sql`create policy called on undelivered for select using (jurisdiction = any ((select coordinated())::text[])
    or me() = any (called_agency_ids) or acknowledged_at is null and on_duty(jurisdiction))`.execute(db);

  await sql`alter table events add column heard_at timestamptz`.execute(db);
  // What was told long before this is not gone over again. Row-level security binds the owner too.
  await sql`select set_config('aman.system', 'relay', true)`.execute(db);
  await sql`update events set heard_at = now() where urgent and occurred_at < now() - interval '1 day'`.execute(db);
  await sql`select set_config('aman.system', '', true)`.execute(db);
  const unheard = sql`urgent and heard_at is null and type not like 'endpoint.%'
    and not (type = 'timer.escalated' and case_id is null)`;
  // Few at any time: what was heard leaves it.
  await sql`create index events_unheard on events (occurred_at) where ${unheard}`.execute(db);

  /**
   * Whether somebody heard an event: it arrived at an endpoint of its recipient, or went out as what it may no longer know, or was
   * pulled; or the agency, which takes offers by an endpoint of that time, chose not to be sent this type.
   */
  await sql`
    create function was_heard(event events) returns boolean language plpgsql stable as $$
    begin
      if exists (select from public.deliveries d where d.event_number = event.number and d.state in ('delivered', 'withheld'))
        or exists (select from public.event_pulls p where p.agency_id = event.agency_id and p.position >= event.position)
      then return true; end if;
      return event.position is not null and event.type <> 'referral.offered'
        and not exists (select from public.deliveries d where d.event_number = event.number)
        and exists (select from public.webhook_endpoints e where e.agency_id = event.agency_id and e.status = 'active'
          and e.deleted_at is null and e.created_at <= event.occurred_at and e.event_types && '{*,referral.offered}');
    end $$`.execute(db);
  // What is told of endpoints, and calls for a clock, are not waited for: a call that nobody hears is followed by the next, and
  // calling somebody for it would have no end.
  await sql`
    create view unheard_events with (security_invoker = true) as
    select number, id, agency_id, case_id, occurred_at, was_heard(events) from events where ${unheard}`.execute(db);
  await sql`grant select on unheard_events to aman_app`.execute(db);
}
