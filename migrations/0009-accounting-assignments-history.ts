import { type Kysely, sql } from 'kysely';

/**
 * What the owner keeps of reopening, whom an agency assigned to a case, what a confirmed deletion takes away, and who reads the
 * history of a case. Confirmed deletions stand in restrictive policies: they take away from whatever the other policies let
 * through, and only of the agency's own part in it.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    create table case_reopenings (
      case_id text not null references cases,
      version integer not null,
      sealed bytea not null,
      reopened_at timestamptz not null,
      primary key (case_id, version)
    )`.execute(db);
  await sql`
    create table case_assignees (
      case_id text not null references cases,
      agency_id text not null references agencies,
      staff_codes text[] not null,
      version integer not null,
      updated_at timestamptz not null,
      primary key (case_id, agency_id)
    )`.execute(db);
  for (const table of ['case_reopenings', 'case_assignees']) {
    await sql`alter table ${sql.table(table)} enable row level security`.execute(db);
    await sql`alter table ${sql.table(table)} force row level security`.execute(db);
    await sql`grant select, insert on ${sql.table(table)} to aman_app`.execute(db);
  }
  await sql`grant update on case_assignees to aman_app`.execute(db);
  await sql`create policy owner on case_reopenings for all
    using (exists (select from cases c where c.id = case_id and c.owner_agency_id = (select me())))
    with check (exists (select from cases c where c.id = case_id and c.owner_agency_id = (select me())))`.execute(db);
  await sql`create policy own on case_assignees for all
    using (agency_id = (select me()) and exists (select from cases c where c.id = case_id))
    with check (agency_id = (select me()) and (
      exists (select from cases c where c.id = case_id and c.owner_agency_id = (select me()))
      or exists (select from disclosures d where d.case_id = case_assignees.case_id and d.agency_id = (select me())
        and d.ended_at is null)))`.execute(db);

  await sql`
    create function is_system() returns boolean language sql stable parallel safe
    as $$ select coalesce(current_setting('aman.system', true), '') <> '' $$`.execute(db);
  await sql`alter table offers add column forgotten_at timestamptz`.execute(db);
  await sql`alter table disclosures add column forgotten_at timestamptz`.execute(db);
  await sql`alter table timers add column forgotten boolean not null default false`.execute(db);
  await sql`create policy forgotten on offers as restrictive for select
    using (forgotten_at is null or agency_id is distinct from (select me()) or sender_agency_id = (select me())
      or owner_agency_id = (select me()) or jurisdiction = any ((select coordinated())::text[]) or (select is_system()))`.execute(
    db,
  );
  await sql`create policy forgotten on timers as restrictive for select
    using (not forgotten or (select me()) is null
      or (select me()) not in (responsible_agency_id, coalesce(receiver_agency_id, '')) or sender_agency_id = (select me())
      or owner_agency_id = (select me()) or jurisdiction = any ((select coordinated())::text[]) or (select is_system()))`.execute(
    db,
  );
  // Owner and coordinator see to whom a case was disclosed. By way of the offer: a policy on cases reads this table.
  await sql`create policy accounting on disclosures for select
    using (exists (select from offers o where o.id = offer_id
      and (o.owner_agency_id = (select me()) or o.jurisdiction = any ((select coordinated())::text[]))))`.execute(db);
  await sql`create policy forgotten on disclosures as restrictive for select
    using (forgotten_at is null or agency_id is distinct from (select me()) or (select is_system())
      or exists (select from offers o where o.id = offer_id
        and (o.owner_agency_id = (select me()) or o.jurisdiction = any ((select coordinated())::text[]))))`.execute(db);
  await sql`create policy trail on disclosures for select using ((select acting_as('trail')))`.execute(db);

  // The history of a case is read from the trail, whoever acted, and cut to what its reader may know.
  for (const table of ['audit_records', 'audit_subjects', 'case_keys']) {
    await sql`create policy timeline on ${sql.table(table)} for select using ((select acting_as('timeline')))`.execute(db);
  }

  // As before, but that whoever confirmed its deletion may know of what it was asked then no longer.
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
                and o.forgotten_at is null
                and (event.type <> 'referral.message' or (o.status in ('accepted', 'in_progress')
                  and o.id = coalesce(event.body ->> 'offer_id', o.id))))
              and not exists (select from offers o where o.id = event.body ->> 'offer_id'
                and (o.agency_id <> recipient.id or o.forgotten_at is not null)))));
      end if;
      return exists (
        select from cases c where c.id = event.case_id and (
          c.owner_agency_id = recipient.id
          or (recipient.kind = 'coordination_committee' and c.jurisdiction = any (recipient.jurisdictions))
          or exists (select from offers o where o.case_id = c.id
            and (o.sender_agency_id = recipient.id or (o.agency_id = recipient.id and o.forgotten_at is null)))));
    end $$`.execute(db);
}
