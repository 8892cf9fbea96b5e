import { type Kysely, sql } from 'kysely';

/**
 * Who is called at night, in turn, for each jurisdiction; and of a timer on which a life may hang how often somebody was called,
 * who was last, and who answered. `called_agency_ids`: those that see it for that reason alone. Whoever else is on duty there may
 * answer for them, and sees it for as long as nobody has.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    create table duty_rosters (
      jurisdiction text collate "C" primary key,
      entries jsonb not null,
      version integer not null default 1,
      created_at timestamptz not null,
      updated_at timestamptz not null
    )`.execute(db);
  await sql`alter table duty_rosters enable row level security`.execute(db);
  await sql`alter table duty_rosters force row level security`.execute(db);
  await sql`grant select, insert, update on duty_rosters to aman_app`.execute(db);
  await sql`create policy known on duty_rosters for select
    using (entries @> jsonb_build_array(jsonb_build_object('agency_id', me()))
      or jurisdiction = any ((select coordinated())::text[]) or acting_as('access'))`.execute(db);
  await sql`create policy put on duty_rosters for insert
    with check (jurisdiction = any ((select coordinated())::text[]))`.execute(db);
  await sql`create policy changed on duty_rosters for update
    using (jurisdiction = any ((select coordinated())::text[]))
    with check (jurisdiction = any ((select coordinated())::text[]))`.execute(db);

  await sql`
    alter table timers
      add column calls integer not null default 0,
      add column called_at timestamptz,
      add column called_agency_id text collate "C",
      add column called_staff_code text,
      add column called_agency_ids text[],
      add column acknowledged_at timestamptz,
      add column acknowledged_by_agency_id text collate "C",
      add column acknowledged_by_staff_code text`.execute(db);
  // Few at any time, however many timers there are.
  await sql`create index timers_called on timers (jurisdiction, due_at) where called_agency_ids is not null`.execute(db);
  await sql`create index timers_overdue on timers (jurisdiction, due_at)
    where state = 'breached' and (on_breach is distinct from 'expire_offer' or next_step_at is not null)`.execute(db);

  await sql`
    create function on_duty(which text) returns boolean language plpgsql stable parallel safe cost 1000 as $$
    begin
      return exists (select from public.duty_rosters r where r.jurisdiction = which
        and r.entries @> jsonb_build_array(jsonb_build_object('agency_id', me())));
    end $$`.execute(db);
  await sql`drop policy parties on timers`.execute(db);
  await sql`create policy parties on timers for select using (responsible_agency_id = me() or owner_agency_id = me()
    or sender_agency_id = me() or receiver_agency_id = me() or acting_as('trail')
    or jurisdiction = any ((select coordinated())::text[])
    or called_agency_ids is not null and (me() = any (called_agency_ids) or acknowledged_at is null and on_duty(jurisdiction)))`.execute(
    db,
  );
}
