import { sql } from 'kysely';
import { type EventType, neverWaits } from '../core/events.ts';
import type { Tx } from '../platform/database.ts';
import { newId } from '../platform/ids.ts';

/** The SQL of the outbox: events as they are numbered and told, deliveries as they are made. */

/** One event as one recipient is told of it. */
export interface ToldEvent {
  number: number;
  id: string;
  type: EventType;
  referral_id: string | null;
  case_id: string | null;
  body: Record<string, unknown>;
  occurred_at: Date;
  position: number;
  sequence: number;
  /** Whether its recipient may still know of it, as things stand now. */
  may_know: boolean;
}

/** What goes to a webhook endpoint, and what a pull answers: the same object. */
export interface Told {
  type: EventType;
  timestamp: string;
  data: Record<string, unknown>;
}

/** An event that its recipient may no longer know is told as `event.withheld`, by id and position only. */
export function tell({ may_know, type, id, body, position, sequence, occurred_at }: ToldEvent): Told {
  const timestamp = occurred_at.toISOString();
  return may_know
    ? { type, timestamp, data: { event_id: id, ...body, position, sequence } }
    : { type: 'event.withheld', timestamp, data: { event_id: id, position } };
}

/** Decided in the database, where the act's parties stand now; the caller acts as `relay`, which sees every referral. */
const mayStillKnow = sql<boolean>`may_still_know(events)`;

const toldEvents = (tx: Tx) =>
  tx
    .selectFrom('events')
    .select(['number', 'id', 'type', 'referral_id', 'case_id', 'body', 'occurred_at'])
    .select([sql<number>`position`.as('position'), sql<number>`sequence`.as('sequence'), mayStillKnow.as('may_know')]);

/** The position of the last event of each of these agencies; one that never had an event is absent. */
export async function lastPositions(tx: Tx, agency_ids: readonly string[]): Promise<ReadonlyMap<string, number>> {
  const rows = await tx.selectFrom('event_positions').selectAll().where(sql<boolean>`agency_id = any (${agency_ids})`).execute();
  return new Map(rows.map(row => [row.agency_id, row.last]));
}

/** Whether an event is told as one of `types`. What the agency may know is looked at last: it takes queries of its own. */
const isToldAs = (types: readonly string[]) =>
  types.includes('event.withheld')
    ? sql<boolean>`(type = any (${types}) or not ${mayStillKnow})`
    : sql<boolean>`case when type = any (${types}) then ${mayStillKnow} else false end`;

/** An agency's numbered events behind position `after`, oldest first; `types` looks at what they are told as. */
export async function listEvents(
  tx: Tx,
  agency_id: string,
  { after, types, limit }: { after: number; types: readonly string[] | undefined; limit: number },
): Promise<ToldEvent[]> {
  return toldEvents(tx)
    .where('agency_id', '=', agency_id)
    .where('position', '>', after)
    .$if(types !== undefined, query => query.where(isToldAs(types!)))
    .orderBy('position')
    .limit(limit)
    .execute();
}

/** Ends a transaction whose process stands still for longer, however long others would wait for it; for what holds all of them up. */
export const mustGoOn = sql`set_config('idle_in_transaction_session_timeout', '5s', true)`;

/** Held, across all processes, by the one relay that numbers, until its transaction ends. */
const RELAY_LOCK = 4_821_001;

/** Whether this transaction is now the one that numbers. Look at the events in a later statement: it sees what the last did. */
export async function tryLockRelay(tx: Tx): Promise<boolean> {
  const { rows } = await sql<{ locked: boolean }>`
    select pg_try_advisory_xact_lock(${RELAY_LOCK}) as locked, ${mustGoOn}`.execute(tx);
  return rows[0]!.locked;
}

/** Waits until nobody numbers, and lets nobody do so until this transaction ends. */
export async function waitForRelay(tx: Tx): Promise<void> {
  await sql`select pg_advisory_xact_lock(${RELAY_LOCK})`.execute(tx);
}

interface Match {
  number: number;
  type: EventType;
  urgent: boolean;
  endpoint_id: string | null;
}

/**
 * Numbers the oldest `limit` events in the order of `number`: the next positions of each recipient, and the next of each
 * recipient and subject.
 * @returns how many, and each one's matching endpoints; a test event matches the endpoint that it tests, and no other
 */
export async function numberEvents(tx: Tx, limit: number): Promise<{ numbered: number; matches: Match[] }> {
  const { rows } = await sql<Match>`
    with batch as materialized (
      select number, agency_id, subject_id, type, urgent,
        row_number() over (partition by agency_id order by number) as nth,
        row_number() over (partition by agency_id, subject_id order by number) as nth_of_subject
      from (select * from events where position is null order by number limit ${limit}) oldest
    ), positions as (
      insert into event_positions as p (agency_id, last) select agency_id, max(nth) from batch group by agency_id
      on conflict (agency_id) do update set last = p.last + excluded.last
      returning p.agency_id, p.last - (select max(nth) from batch b where b.agency_id = p.agency_id) as before
    ), sequences as (
      insert into event_sequences as s (agency_id, subject_id, last)
      select agency_id, subject_id, max(nth_of_subject) from batch group by agency_id, subject_id
      on conflict (agency_id, subject_id) do update set last = s.last + excluded.last
      returning s.agency_id, s.subject_id,
        s.last - (select max(nth_of_subject) from batch b where b.agency_id = s.agency_id and b.subject_id = s.subject_id) as before
    ), numbered as (
      update events e set position = positions.before + batch.nth, sequence = sequences.before + batch.nth_of_subject
      from batch join positions using (agency_id) join sequences using (agency_id, subject_id)
      where e.number = batch.number
      returning e.number
    )
    select batch.number, batch.type, batch.urgent, endpoint.id as endpoint_id
    from numbered join batch using (number)
    left join webhook_endpoints endpoint on endpoint.agency_id = batch.agency_id and endpoint.deleted_at is null
      and endpoint.status in ('active', 'paused')
      and case when batch.type = 'endpoint.test' then endpoint.id = batch.subject_id
        else endpoint.event_types && array['*', batch.type] end
    order by batch.number, endpoint.id`.execute(tx);
  return { numbered: new Set(rows.map(row => row.number)).size, matches: rows.filter(row => row.endpoint_id !== null) };
}

/**
 * One delivery, due at `now`, per matching endpoint.
 * @returns of each endpoint the first, where any is an emergency as such
 */
export async function insertDeliveries(tx: Tx, matches: readonly Match[], now: Date): Promise<DueDelivery[]> {
  if (matches.length === 0) return [];
  // Sorted, for ids of one millisecond are in no order: the list of deliveries is by id.
  const ids = matches.map(() => newId('dlv')).sort();
  await sql`
    insert into deliveries (id, endpoint_id, agency_id, event_number, event_id, event_type, subject_id, sequence, position,
      urgent, waits, state, next_attempt_at, created_at)
    select m.id, m.endpoint_id, e.agency_id, e.number, e.id, e.type, e.subject_id, e.sequence, e.position, e.urgent, m.waits,
      'pending', ${now}, ${now}
    from unnest(${ids}::text[], ${matches.map(match => match.endpoint_id)}::text[],
      ${matches.map(match => match.number)}::bigint[], ${matches.map(match => !neverWaits(match.type, match.urgent))}::boolean[])
      as m (id, endpoint_id, number, waits)
    join events e using (number)`.execute(tx);
  const first = new Map<string, DueDelivery>();
  for (const [i, { endpoint_id, urgent }] of matches.entries()) {
    const known = first.get(endpoint_id!);
    if (known) known.urgent ||= urgent;
    else first.set(endpoint_id!, { id: ids[i]!, endpoint_id: endpoint_id!, attempts: 0, urgent });
  }
  return [...first.values()];
}

/**
 * Makes what has not arrived at an endpoint due at `now`, in the order of the events: what was parked or exhausted goes before what
 * came after it, and all of it has the whole schedule before it again.
 */
export async function makeDue(tx: Tx, endpoint_id: string, now: Date): Promise<void> {
  // What is under way is left to who settles it, who may be waiting for this endpoint.
  await sql`
    update deliveries set state = 'pending', next_attempt_at = ${now}, attempts_before = attempts
    where endpoint_id = ${endpoint_id} and (next_attempt_at is not null or state = 'exhausted') and (claimed_until is null or claimed_until <= now())`.execute(
    tx,
  );
}

/** A delivery that can be attempted: what a turn at its endpoint begins with. */
export interface DueDelivery {
  id: string;
  endpoint_id: string;
  attempts: number;
  urgent: boolean;
}
