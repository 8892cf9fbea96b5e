import { type Kysely, sql } from 'kysely';

/**
 * Cases with one ciphertext row per category, consents, referrals, their offers, and what an accepted offer opened
 * (disclosures). A policy reads other tables only in the order disclosures ← offers ← cases, so none can recurse.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    create table cases (
      id text collate "C" primary key,
      reference text not null unique,
      owner_agency_id text not null references agencies,
      jurisdiction text not null,
      region text,
      track text not null,
      risk text not null,
      stage text not null,
      stage_before_close text,
      close_reason text,
      group_id text,
      opened_at timestamptz not null,
      closed_at timestamptz,
      version integer not null default 1,
      updated_at timestamptz not null
    )`.execute(db);
  await sql`create index cases_owner on cases (owner_agency_id, id)`.execute(db);
  await sql`create index cases_jurisdiction on cases (jurisdiction, id)`.execute(db);
  await sql`create table case_keys (case_id text primary key references cases, kek_id text not null, wrapped bytea not null)`.execute(
    db,
  );
  await sql`
    create table case_data (
      case_id text not null references cases,
      category text not null,
      version integer not null,
      sealed bytea not null,
      updated_at timestamptz not null,
      primary key (case_id, category)
    )`.execute(db);
  await sql`
    create table case_data_history (
      case_id text not null references cases,
      category text not null,
      version integer not null,
      sealed bytea not null,
      replaced_at timestamptz not null,
      primary key (case_id, category, version)
    )`.execute(db);
  await sql`
    create table consents (
      id text collate "C" primary key,
      case_id text not null references cases,
      recipient_agency_id text references agencies,
      recipient_agency_kind text,
      purposes text[] not null,
      categories text[] not null,
      sealed bytea not null,
      expires_at timestamptz,
      expired_at timestamptz,
      withdrawn_at timestamptz,
      version integer not null default 1,
      created_at timestamptz not null,
      updated_at timestamptz not null,
      check ((recipient_agency_id is null) <> (recipient_agency_kind is null))
    )`.execute(db);
  await sql`create index consents_case on consents (case_id)`.execute(db);
  await sql`create index consents_expiring on consents (expires_at) where withdrawn_at is null and expired_at is null`.execute(
    db,
  );

  await sql`
    create table referrals (
      id text collate "C" primary key,
      reference text not null unique,
      case_id text not null references cases,
      owner_agency_id text not null references agencies,
      sender_agency_id text not null references agencies,
      jurisdiction text not null,
      region text,
      service text not null,
      urgency text not null,
      routing text not null,
      recipient_agency_id text references agencies,
      fallback boolean not null,
      categories text[] not null,
      excluded_agencies text[] not null,
      lawful_ground jsonb,
      sealed bytea not null,
      places integer not null,
      status text not null,
      ended text,
      staff_code text not null,
      router_due_at timestamptz,
      version integer not null default 1,
      created_at timestamptz not null,
      updated_at timestamptz not null
    )`.execute(db);
  await sql`create index referrals_sender on referrals (sender_agency_id, id)`.execute(db);
  await sql`create index referrals_owner on referrals (owner_agency_id, id)`.execute(db);
  await sql`create index referrals_jurisdiction on referrals (jurisdiction, id)`.execute(db);
  await sql`create index referrals_case on referrals (case_id)`.execute(db);
  await sql`create index referrals_unplaced on referrals (service, jurisdiction) where status = 'unplaced'`.execute(db);
  await sql`create index referrals_router_due on referrals (router_due_at) where router_due_at is not null`.execute(db);

  await sql`
    create table offers (
      id text collate "C" primary key,
      referral_id text not null references referrals,
      case_id text not null references cases,
      owner_agency_id text not null,
      sender_agency_id text not null,
      agency_id text not null references agencies,
      jurisdiction text not null,
      service text not null,
      ordinal integer not null,
      status text not null,
      places integer not null,
      places_held integer not null,
      location_protected boolean not null,
      reason_code text,
      staff_code text,
      sealed bytea,
      offered_at timestamptz not null,
      accepted_at timestamptz,
      ended_at timestamptz,
      latest boolean not null default true,
      unique (referral_id, ordinal)
    )`.execute(db);
  await sql`create index offers_inbox on offers (agency_id, referral_id) where latest`.execute(db);
  await sql`create index offers_case on offers (case_id, agency_id)`.execute(db);

  await sql`
    create table disclosures (
      id text collate "C" primary key,
      case_id text not null references cases,
      referral_id text not null references referrals,
      offer_id text not null unique references offers,
      agency_id text not null references agencies,
      categories text[] not null,
      categories_held text[] not null,
      ground text not null,
      started_at timestamptz not null,
      ended_at timestamptz,
      deletion_due_at timestamptz,
      deletion_confirmed_at timestamptz
    )`.execute(db);
  await sql`create index disclosures_case on disclosures (case_id, agency_id)`.execute(db);

  for (const table of [
    'cases',
    'case_keys',
    'case_data',
    'case_data_history',
    'consents',
    'referrals',
    'offers',
    'disclosures',
  ]) {
    await sql`alter table ${sql.table(table)} enable row level security`.execute(db);
    await sql`alter table ${sql.table(table)} force row level security`.execute(db);
    await sql`grant select, insert, update on ${sql.table(table)} to aman_app`.execute(db);
  }

  await sql`create policy parties on disclosures for select
    using (agency_id = (select me()) or (select acting_as('router', 'clock')))`.execute(db);
  await sql`create policy system on disclosures for all
    using ((select acting_as('router', 'clock'))) with check ((select acting_as('router', 'clock')))`.execute(db);

  await sql`create policy parties on offers for select
    using (agency_id = (select me()) or sender_agency_id = (select me()) or owner_agency_id = (select me())
      or jurisdiction = any ((select coordinated())::text[]) or (select acting_as('router', 'clock', 'trail', 'relay')))`.execute(
    db,
  );
  await sql`create policy system on offers for all
    using ((select acting_as('router', 'clock'))) with check ((select acting_as('router', 'clock')))`.execute(db);

  await sql`create policy parties on referrals for select
    using (sender_agency_id = (select me()) or owner_agency_id = (select me())
      or exists (select from offers o where o.referral_id = referrals.id and o.agency_id = (select me()))
      or jurisdiction = any ((select coordinated())::text[]) or (select acting_as('router', 'clock', 'trail', 'relay')))`.execute(
    db,
  );
  await sql`create policy system on referrals for all
    using ((select acting_as('router', 'clock'))) with check ((select acting_as('router', 'clock')))`.execute(db);

  await sql`create policy parties on cases for select
    using (owner_agency_id = (select me())
      or exists (select from disclosures d where d.case_id = cases.id and d.agency_id = (select me()))
      or jurisdiction = any ((select coordinated())::text[])
      or (select acting_as('router', 'clock', 'trail', 'relay', 'lock')))`.execute(db);
  await sql`create policy owner on cases for insert with check (owner_agency_id = (select me()))`.execute(db);
  await sql`create policy owner_writes on cases for update
    using (owner_agency_id = (select me()) or (select acting_as('router', 'clock', 'lock')))
    with check (owner_agency_id = (select me()) or (select acting_as('router', 'clock')))`.execute(db);

  // The key opens nothing without the keyring; who may see which category is the next table's policy.
  await sql`create policy parties on case_keys for select
    using (exists (select from cases c where c.id = case_id) or (select is_audit_body())
      or exists (select from offers o where o.case_id = case_keys.case_id and o.agency_id = (select me())))`.execute(db);
  await sql`create policy owner on case_keys for insert
    with check (exists (select from cases c where c.id = case_id and c.owner_agency_id = (select me())))`.execute(db);

  await sql`create policy owner on case_data for all
    using (exists (select from cases c where c.id = case_id and c.owner_agency_id = (select me())))
    with check (exists (select from cases c where c.id = case_id and c.owner_agency_id = (select me())))`.execute(db);
  await sql`create policy profile on case_data for select
    using (category = 'profile' and ((select acting_as('router', 'clock')) or exists (
      select from offers o where o.case_id = case_data.case_id and (o.agency_id = (select me()) or o.sender_agency_id = (select me()))
        and o.status in ('offered', 'received', 'info_requested', 'waitlisted', 'accepted', 'in_progress'))))`.execute(db);
  await sql`create policy holders on case_data for select
    using (exists (select from disclosures d where d.case_id = case_data.case_id and d.agency_id = (select me())
      and d.ended_at is null and case_data.category = any (d.categories)))`.execute(db);
  await sql`create policy owner on case_data_history for all
    using (exists (select from cases c where c.id = case_id and c.owner_agency_id = (select me())))
    with check (exists (select from cases c where c.id = case_id and c.owner_agency_id = (select me())))`.execute(db);

  await sql`create policy trail on consents for select using ((select acting_as('trail')))`.execute(db);
  await sql`create policy owner on consents for all
    using (exists (select from cases c where c.id = case_id and c.owner_agency_id = (select me())) or (select acting_as('router', 'clock')))
    with check (exists (select from cases c where c.id = case_id and c.owner_agency_id = (select me())) or (select acting_as('router', 'clock')))`.execute(
    db,
  );

  /**
   * Locks without seeing: a party locks the case and everything of the referral in the one order (case, referral, offers by
   * id), also rows that are hidden from it. Returns nothing, so it tells nothing.
   */
  await sql`
    create function lock_case(id text, for_update boolean) returns void language plpgsql as $$
    declare before text := enter('lock');
    begin
      if for_update then perform 1 from cases c where c.id = lock_case.id for update;
      else perform 1 from cases c where c.id = lock_case.id for share;
      end if;
      perform enter(before);
    end $$`.execute(db);

  // What a coordinator reads of cases: no person, no group, no reasons.
  await sql`
    create view masked_cases with (security_invoker = true, security_barrier = true) as
      select id, reference, owner_agency_id, jurisdiction, region, track, risk, stage, opened_at, closed_at, version, updated_at from cases`.execute(
    db,
  );
  await sql`grant select on masked_cases to aman_app`.execute(db);
}
