import { type Kysely, sql } from 'kysely';

/**
 * Calendars with versions, and timers that are reckoned along them; floors; and the account of which timers a changed calendar
 * moved. `timers.time_zone` and `timers.rested_ms` are no longer read.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    create table calendars (
      id text collate "C" primary key,
      version integer not null,
      created_at timestamptz not null,
      updated_at timestamptz not null
    )`.execute(db);
  await sql`
    create table calendar_versions (
      calendar_id text collate "C" not null references calendars (id),
      version integer not null,
      document jsonb not null,
      created_at timestamptz not null,
      primary key (calendar_id, version)
    )`.execute(db);
  for (const table of ['calendars', 'calendar_versions']) {
    await sql`alter table ${sql.ref(table)} enable row level security`.execute(db);
    await sql`alter table ${sql.ref(table)} force row level security`.execute(db);
    await sql`create policy read_all on ${sql.ref(table)} for select using (true)`.execute(db);
    await sql`create policy add_admin on ${sql.ref(table)} for insert with check ((select is_admin()))`.execute(db);
  }
  await sql`create policy change_admin on calendars for update
    using ((select is_admin())) with check ((select is_admin()))`.execute(db);
  await sql`grant select, insert, update on calendars to aman_app`.execute(db);
  await sql`grant select, insert on calendar_versions to aman_app`.execute(db);

  // Along which the clocks of a jurisdiction count that has no pack of its own.
  await sql`
    do $$ begin
      perform enter('setup');
      insert into calendars (id, version, created_at, updated_at)
        values ('cal_01m81yca3jft0a311ybja33ag8', 1, '2026-11-22T00:00:00Z', '2026-11-22T00:00:00Z');
      insert into calendar_versions (calendar_id, version, document, created_at) values ('cal_01m81yca3jft0a311ybja33ag8', 1, '{
        "name": "Illustrative working week", "time_zone": "Africa/Cairo",
        "weeks": [{"valid_from": "2000-01-01", "days": {
          "sun": [["08:00", "15:00"]], "mon": [["08:00", "15:00"]], "tue": [["08:00", "15:00"]],
          "wed": [["08:00", "15:00"]], "thu": [["08:00", "15:00"]]}}],
        "holidays": [], "seasons": [], "holiday_rules": []}', '2026-11-22T00:00:00Z');
      perform enter('');
    end $$`.execute(db);
  await sql`alter table agencies add constraint agencies_calendar_id_fkey foreign key (calendar_id) references calendars (id) not valid`.execute(
    db,
  );

  await sql`
    alter table timers
      add column duration text,
      add column pauses jsonb not null default '[]',
      add column calendar_id text collate "C" references calendars (id),
      add column calendar_version integer,
      add column guards text[]`.execute(db);
  await sql`create index timers_calendar on timers (calendar_id, calendar_version)
    where state = 'running' and calendar_id is not null`.execute(db);

  await sql`
    create table calendar_moves (
      calendar_id text collate "C" not null references calendars (id),
      version integer not null,
      agency_id text collate "C" not null references agencies (id),
      moved integer not null,
      first_due_at timestamptz not null,
      last_due_at timestamptz not null,
      told_at timestamptz,
      primary key (calendar_id, version, agency_id)
    )`.execute(db);
  await sql`create index calendar_moves_untold on calendar_moves (calendar_id, version) where told_at is null`.execute(db);
  await sql`alter table calendar_moves enable row level security`.execute(db);
  await sql`alter table calendar_moves force row level security`.execute(db);
  await sql`create policy system on calendar_moves for all
    using ((select acting_as('clock'))) with check ((select acting_as('clock')))`.execute(db);
  await sql`create policy read_admin on calendar_moves for select using ((select is_admin()))`.execute(db);
  await sql`grant select, insert, update on calendar_moves to aman_app`.execute(db);
}
