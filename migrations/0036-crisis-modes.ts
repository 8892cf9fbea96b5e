import { type Kysely, sql } from 'kysely';

/**
 * Crises: where, of what kind, in which phase and until when; what is opened and asked for under one names it, so that figures tell crisis
 * from normal. Everybody may know that a crisis holds; its jurisdiction's coordinators declare it, and a clock ends it.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    create table crisis_modes (
      id text collate "C" primary key,
      jurisdiction text collate "C" not null,
      regions text[] not null,
      kind text not null,
      phase text not null,
      reason text not null,
      declared_by_agency_id text collate "C" not null,
      staff_code text not null,
      started_at timestamptz not null,
      expires_at timestamptz not null,
      renewed integer not null default 0,
      ended_at timestamptz,
      ended_by_staff_code text,
      version integer not null default 1,
      updated_at timestamptz not null
    )`.execute(db);
  await sql`create index crisis_modes_listed on crisis_modes (jurisdiction, id)`.execute(db);
  // Few at any time, and asked for by every act on a referral.
  await sql`create index crisis_modes_held on crisis_modes (jurisdiction) where ended_at is null`.execute(db);
  await sql`alter table crisis_modes enable row level security`.execute(db);
  await sql`alter table crisis_modes force row level security`.execute(db);
  await sql`grant select, insert, update on crisis_modes to aman_app`.execute(db);
  await sql`create policy known on crisis_modes for select using (true)`.execute(db);
  await sql`create policy declared on crisis_modes for insert
    with check (jurisdiction = any ((select coordinated())::text[]))`.execute(db);
  await sql`create policy changed on crisis_modes for update
    using (jurisdiction = any ((select coordinated())::text[]) or (select acting_as('clock')))
    with check (jurisdiction = any ((select coordinated())::text[]) or (select acting_as('clock')))`.execute(db);

  await sql`alter table cases add column crisis_mode_id text collate "C"`.execute(db);
  await sql`alter table referrals add column crisis_mode_id text collate "C"`.execute(db);
}
