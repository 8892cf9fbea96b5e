import { type Kysely, sql } from 'kysely';

/**
 * What asks the router to look again waits in a table of its own until everybody whom it could help was marked: an act that frees a
 * place touches no referral but its own, and none that is being acted on is passed by. How often places came free at a service is
 * counted, and an offer that ended keeps the count that it saw: two instants do not say which of two acts was first.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    create table routing_requests (
      number bigint generated always as identity primary key,
      agency_id text collate "C",
      service text,
      jurisdiction text,
      case_id text collate "C",
      referral_id text collate "C"
    )`.execute(db);
  await sql`alter table routing_requests enable row level security`.execute(db);
  await sql`alter table routing_requests force row level security`.execute(db);
  await sql`create policy router on routing_requests for all
    using ((select acting_as('router'))) with check ((select acting_as('router')))`.execute(db);
  await sql`grant select, insert, update, delete on routing_requests to aman_app`.execute(db);

  await sql`alter table capacities add column freed integer not null default 1, alter column freed_at set default now()`.execute(
    db,
  );
  await sql`alter table offers add column freed_before integer`.execute(db);
  // Row-level security binds the owner too.
  await sql`select set_config('aman.system', 'router', true)`.execute(db);
  await sql`
    update offers o set freed_before = case when c.freed_at > o.ended_at then 0 else 1 end
    from capacities c
    where c.agency_id = o.agency_id and c.service = o.service and o.status in ('declined', 'expired')`.execute(db);
  await sql`select set_config('aman.system', '', true)`.execute(db);

  // Whoever makes an offer holds what the directory says of the agency, and changes nothing of it.
  await sql`create policy held on agencies for update using ((select acting_as('router'))) with check (false)`.execute(db);

  // What services were asked lately is found by when that was, and no change of an offer is dearer for it.
  await sql`create index offers_lately on offers using brin (offered_at)`.execute(db);
}
