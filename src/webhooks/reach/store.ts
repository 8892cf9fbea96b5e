import { sql } from 'kysely';
import type { Channels } from '../../core/reach.ts';
import type { Tx } from '../../platform/database.ts';

/** The SQL of who takes events: pulls, and agencies that are out of reach; the only writer of these tables. Runs as the relay. */

/** Those of these agencies' ways that take offers. */
export async function listChannels(tx: Tx, agency_ids: readonly string[]): Promise<ReadonlyMap<string, Channels>> {
  const { rows } = await sql<Channels & { agency_id: string }>`
    select a.id as agency_id, p.pulled_at, ${takingOffers} as failing_since
    from agencies a left join event_pulls p on p.agency_id = a.id where a.id = any (${agency_ids})`.execute(tx);
  return new Map(rows.map(({ agency_id, ...channels }) => [agency_id, channels]));
}

const takingOffers = sql<Channels['failing_since']>`array(
  select e.failing_since from webhook_endpoints e where e.agency_id = a.id and e.deleted_at is null and e.status = 'active'
    and e.event_types && '{*,referral.offered}')`;

/** An agency that offers a service now, or that is known to be out of reach. */
export interface Watched extends Channels {
  agency_id: string;
  /** When the first of its services was entered. */
  serves_since: Date;
  unreachable_since: Date | null;
}

/** All of them that are to be looked at, by their ids. */
export async function listWatched(tx: Tx): Promise<Watched[]> {
  const { rows } = await sql<Watched>`
    select a.id as agency_id, s.serves_since, p.pulled_at, ${takingOffers} as failing_since, u.since as unreachable_since
    from agencies a
      join (select agency_id, min(created_at) as serves_since, bool_or(status = 'active') as serves from services group by 1) s
        on s.agency_id = a.id
      left join event_pulls p on p.agency_id = a.id
      left join unreachable_agencies u on u.agency_id = a.id
    where s.serves or u.since is not null
    order by a.id`.execute(tx);
  return rows;
}

/** Held by the one process that looks, until its transaction ends. */
export async function tryLockWatch(tx: Tx): Promise<boolean> {
  const { rows } = await sql<{ locked: boolean }>`
    select pg_try_advisory_xact_lock(hashtextextended('reach', 0)) as locked`.execute(tx);
  return rows[0]!.locked;
}

export async function insertUnreachable(tx: Tx, agency_id: string, since: Date): Promise<void> {
  await tx.insertInto('unreachable_agencies').values({ agency_id, since }).execute();
}

export async function deleteUnreachable(tx: Tx, agency_id: string): Promise<void> {
  await tx.deleteFrom('unreachable_agencies').where('agency_id', '=', agency_id).execute();
}

/**
 * Notes that the agency has pulled everything up to `position`: once a minute, and at once where something urgent is new in it.
 * @param unless_serving not where it offers a service
 */
export async function notePull(
  tx: Tx,
  { agency_id, position, unless_serving }: { agency_id: string; position: number; unless_serving: boolean },
  now: Date,
): Promise<void> {
  const a_minute_ago = new Date(now.getTime() - 60_000);
  await sql`
    insert into event_pulls as p (agency_id, pulled_at, position)
    select ${agency_id}, ${now}::timestamptz, ${position}::bigint where not exists (
      select from event_pulls known where known.agency_id = ${agency_id} and known.pulled_at > ${a_minute_ago}
        and not exists (select from events e where e.agency_id = ${agency_id} and e.urgent
          and e.position > known.position and e.position <= ${position}))
      and not (${unless_serving} and exists (select from services where agency_id = ${agency_id} and status = 'active'))
    on conflict (agency_id) do update
      set pulled_at = greatest(p.pulled_at, excluded.pulled_at), position = greatest(p.position, excluded.position)`.execute(tx);
}
