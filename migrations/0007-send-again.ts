import { type Kysely, sql } from 'kysely';

/** Sending again on request, one delivery per endpoint and event, and a narrower wall around deliveries. */
export async function up(db: Kysely<unknown>): Promise<void> {
  // How often sending to an endpoint was stopped: what was asked for again before the last stop is stopped too.
  await sql`alter table webhook_endpoints add column stops integer not null default 0`.execute(db);
  await sql`alter table deliveries add column position bigint`.execute(db);
  // Attempts of earlier rounds; the schedule counts from the last time that it was asked for.
  await sql`alter table deliveries add column attempts_before integer not null default 0`.execute(db);
  // The endpoint's `stops` when somebody asked for it again: until the next stop it is sent although the endpoint is off.
  await sql`alter table deliveries add column asked_after_stop integer`.execute(db);

  // An index is of use in a join only where both columns are compared in its collation, and ids are in "C".
  await sql`alter table deliveries alter column endpoint_id type text collate "C"`.execute(db);
  await sql`alter table delivery_attempts alter column delivery_id type text collate "C"`.execute(db);

  // Row-level security binds the owner too.
  await sql`select set_config('aman.system', 'relay', true)`.execute(db);
  await sql`update deliveries d set position = e.position from events e where e.number = d.event_number`.execute(db);
  await sql`select set_config('aman.system', '', true)`.execute(db);

  await sql`drop index deliveries_due`.execute(db);
  await sql`create index deliveries_due on deliveries (endpoint_id, urgent desc, next_attempt_at, position)
    where next_attempt_at is not null`.execute(db);
  await sql`create index deliveries_asked on deliveries (endpoint_id, asked_after_stop, urgent desc, next_attempt_at, position)
    where next_attempt_at is not null and asked_after_stop is not null`.execute(db);
  await sql`drop index deliveries_event`.execute(db);
  await sql`create unique index deliveries_event on deliveries (event_number, endpoint_id)`.execute(db);
  await sql`create index delivery_attempts_age on delivery_attempts using brin (started_at)`.execute(db);

  for (const table of ['deliveries', 'delivery_attempts']) {
    await sql`drop policy own on ${sql.table(table)}`.execute(db);
    await sql`create policy own on ${sql.table(table)} for select
      using (agency_id = (select me()) or (select acting_as('relay', 'retention')))`.execute(db);
    await sql`create policy relay_makes on ${sql.table(table)} for insert
      with check ((select acting_as('relay')))`.execute(db);
    await sql`create policy retention on ${sql.table(table)} for delete using ((select acting_as('retention')))`.execute(db);
  }
  await sql`create policy relay_changes on deliveries for update
    using ((select acting_as('relay'))) with check ((select acting_as('relay')))`.execute(db);
  await sql`revoke update on delivery_attempts from aman_app`.execute(db);

  await sql`create policy relay on disclosures for select using ((select acting_as('relay')))`.execute(db);
  /**
   * Whether the recipient of an event may know of it now: of what ends or changes its duties, always; of a referral, as owner,
   * sender or coordinator, or as somebody who was asked to take it, but then nothing of another agency's offer, and messages
   * only while its own offer is taken; of what a disclosure holds, while it holds it; of a case, as owner, coordinator, or
   * party to a referral of it. The audit body may know of what was told to it. PL/pgSQL keeps its plan.
   */
  await sql`
    create or replace function may_still_know(event events) returns boolean language plpgsql stable as $$
    declare
      recipient agencies;
    begin
      if event.reaches_always or (event.referral_id is null and event.case_id is null) then return true; end if;
      select * into recipient from agencies where id = event.agency_id;
      if recipient.kind = 'audit_body' then return true; end if;
      if event.type = 'disclosure.updated' then
        return exists (
          select from disclosures d
          where d.offer_id = event.body ->> 'offer_id' and d.agency_id = recipient.id and d.ended_at is null);
      end if;
      if event.referral_id is not null then
        return exists (
          select from referrals r where r.id = event.referral_id and (
            recipient.id in (r.owner_agency_id, r.sender_agency_id)
            or (recipient.kind = 'coordination_committee' and r.jurisdiction = any (recipient.jurisdictions))
            or (exists (select from offers o where o.referral_id = event.referral_id and o.agency_id = recipient.id
                and (event.type <> 'referral.message' or (o.status in ('accepted', 'in_progress')
                  and o.id = coalesce(event.body ->> 'offer_id', o.id))))
              and not exists (select from offers o where o.id = event.body ->> 'offer_id' and o.agency_id <> recipient.id))));
      end if;
      return exists (
        select from cases c where c.id = event.case_id and (
          c.owner_agency_id = recipient.id
          or (recipient.kind = 'coordination_committee' and c.jurisdiction = any (recipient.jurisdictions))
          or exists (select from offers o where o.case_id = event.case_id and recipient.id in (o.agency_id, o.sender_agency_id))));
    end $$`.execute(db);
}
