import { type Kysely, sql } from 'kysely';

/**
 * Clocks that follow a calendar and that people let rest; the heartbeats by which the service knows when it was down; the warning
 * before a consent ends; and the ways in which a duty officer looks for timers.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    alter table timers
      add column time_zone text not null default 'UTC',
      add column count_first_day boolean not null default false,
      add column rested_ms bigint not null default 0,
      add column pause_reason text,
      add column paused_by_agency_id text`.execute(db);
  // So far only the lifecycle has paused. Row-level security is forced on the owner too.
  await sql`
    do $$ begin
      perform enter('clock');
      update timers set pause_reason = 'information_requested', paused_by_agency_id = receiver_agency_id where state = 'paused';
      perform enter('');
    end $$`.execute(db);
  for (const party of ['owner', 'sender', 'receiver']) {
    await sql`create index ${sql.ref(`timers_${party}`)} on timers (${sql.ref(`${party}_agency_id`)}, due_at)`.execute(db);
  }
  await sql`create index timers_offer on timers (offer_id) where offer_id is not null`.execute(db);
  // What was only named in a request that was refused: by which case it is found.
  await sql`create policy trail on timers for select using ((select acting_as('trail')))`.execute(db);

  await sql`
    create table heartbeats (
      role text primary key,
      beat_at timestamptz not null,
      running_since timestamptz not null
    )`.execute(db);
  await sql`alter table heartbeats enable row level security`.execute(db);
  await sql`alter table heartbeats force row level security`.execute(db);
  await sql`grant select, insert, update on heartbeats to aman_app`.execute(db);
  await sql`create policy system on heartbeats for all
    using ((select acting_as('clock'))) with check ((select acting_as('clock')))`.execute(db);

  await sql`alter table consents add column expiry_warned_at timestamptz`.execute(db);
}
