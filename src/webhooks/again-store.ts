import { sql } from 'kysely';
import { EVENT_TYPES, neverWaits } from '../core/events.ts';
import type { Tx } from '../platform/database.ts';
import { newId } from '../platform/ids.ts';
import type { DeliveryTable } from '../platform/tables.ts';
import { waitForRelay } from './outbox-store.ts';
import type { EndpointRow } from './store.ts';

/**
 * The SQL of sending again. There is one delivery per endpoint and event; asking for it again makes that one due with its whole
 * schedule before it, so that nothing is sent twice because it was due already, and the log keeps every attempt. Runs as `relay`.
 */

/** Recoveries of an endpoint follow each other; nobody else waits for them. */
export async function lockRecovery(tx: Tx, endpoint_id: string): Promise<void> {
  await sql`select pg_advisory_xact_lock(hashtextextended(${`recover ${endpoint_id}`}, 0))`.execute(tx);
}

/** Events that are asked for at once: what a window of positions holds, so that no statement takes long. */
const AT_ONCE = 5_000;

/**
 * Makes due at `now` every event of the agency and of the endpoint's types since `since`, delivered or not, as far as they are
 * numbered by now.
 */
export async function askForAll(tx: Tx, endpoint: EndpointRow, since: Date, now: Date): Promise<void> {
  await inRanges(tx, endpoint, { since, after: 0 }, async range => {
    await askAgain(tx, endpoint, range, now);
    await makeMissing(tx, endpoint, range, now);
  });
}

/**
 * Makes due at `now` every event since `since` of which the endpoint never had a delivery, for it was off when they came. Nothing
 * is numbered from here until the transaction ends: whoever numbered then would still take the endpoint for one that is off.
 */
export async function askForMissed(tx: Tx, endpoint: EndpointRow, since: Date, now: Date): Promise<void> {
  const make = (range: Range) => makeMissing(tx, endpoint, range, now);
  const after = await inRanges(tx, endpoint, { since, after: 0 }, make);
  await waitForRelay(tx);
  await inRanges(tx, endpoint, { since, after }, make);
}

/** @returns the last position that there was */
async function inRanges(
  tx: Tx,
  { agency_id }: EndpointRow,
  { since, after }: { since: Date; after: number },
  work: (range: Range) => Promise<void>,
): Promise<number> {
  const { rows } = await sql<{ first: number | null; last: number | null }>`
    select min(position) as first, max(position) as last from events
    where agency_id = ${agency_id} and position > ${after} and occurred_at >= ${since}`.execute(tx);
  const { first, last } = rows[0]!;
  if (first === null || last === null) return after;
  for (let from = first; from <= last; from += AT_ONCE) await work({ since, from, to: Math.min(last, from + AT_ONCE - 1) });
  return last;
}

interface Range {
  since: Date;
  /** Positions, both inclusive. */
  from: number;
  to: number;
}

/** A test concerns the endpoint that it tests, and no other. */
const isIn = ({ id, agency_id, event_types }: EndpointRow, { since, from, to }: Range) => sql<boolean>`(
  e.agency_id = ${agency_id} and e.position between ${from} and ${to} and e.occurred_at >= ${since}
  and (e.type = any (${event_types}) or '*' = any (${event_types})) and (e.type <> 'endpoint.test' or e.subject_id = ${id}))`;

/**
 * The deliveries that there are, but for what has arrived since `now`. What is under way is left to its attempt: if that fails,
 * it goes on by the schedule that it has.
 */
async function askAgain(tx: Tx, endpoint: EndpointRow, range: Range, now: Date): Promise<void> {
  await sql`
    update deliveries d set asked_after_stop = ${endpoint.stops},
      state = case when found.running then d.state else 'pending' end,
      attempts_before = case when found.running then d.attempts_before else d.attempts end,
      next_attempt_at = case when found.running then d.next_attempt_at else ${now} end,
      claimed_until = case when found.running then d.claimed_until end,
      delivered_at = null
    from (
      select d.id, d.running from events e cross join lateral (
        select d.id, coalesce(d.claimed_until > now(), false) as running from deliveries d
        where d.event_number = e.number and d.endpoint_id = ${endpoint.id} and (d.delivered_at is null or d.delivered_at <= ${now})
        for update) d
      where ${isIn(endpoint, range)}) found
    where d.id = found.id`.execute(tx);
}

const NEVER_WAIT = EVENT_TYPES.filter(type => neverWaits(type, false));

/** Those that never were: of events that came while the endpoint was off or asked for less, or whose delivery is kept no more. */
async function makeMissing(tx: Tx, endpoint: EndpointRow, range: Range, now: Date): Promise<void> {
  // `offset 0`: looked up event by event. The planner knows nothing of the rows that this transaction has just made.
  const missing = sql`${isIn(endpoint, range)}
    and not exists (select from deliveries d where d.event_number = e.number and d.endpoint_id = ${endpoint.id} offset 0)`;
  const { rows } = await sql<{ count: number }>`select count(*)::int as count from events e where ${missing}`.execute(tx);
  if (rows[0]!.count === 0) return;
  // Sorted, for ids of one millisecond are in no order: the list of deliveries is by id.
  const ids = Array.from({ length: rows[0]!.count }, () => newId('dlv')).sort();
  await sql`
    insert into deliveries (id, endpoint_id, agency_id, event_number, event_id, event_type, subject_id, sequence, position,
      urgent, waits, state, next_attempt_at, created_at, asked_after_stop)
    select made.id, ${endpoint.id}, e.agency_id, e.number, e.event_id, e.type, e.subject_id, e.sequence, e.position,
      e.urgent, not e.urgent and e.type <> all (${NEVER_WAIT}), 'pending', ${now}, ${now}, ${endpoint.stops}
    from (select e.*, e.id as event_id, row_number() over (order by e.position) as nth from events e where ${missing}) e
    join unnest(${ids}::text[]) with ordinality as made (id, nth) using (nth)
    on conflict (event_number, endpoint_id) do nothing`.execute(tx);
}

/** How many deliveries were asked for again since the endpoint was last stopped, and have yet to be sent. */
export async function countAsked(tx: Tx, endpoint_id: string): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    select count(*)::int as count from webhook_endpoints endpoint
    join deliveries d on d.endpoint_id = endpoint.id and d.asked_after_stop = endpoint.stops
    where endpoint.id = ${endpoint_id} and d.next_attempt_at is not null`.execute(tx);
  return rows[0]!.count;
}

/** Whether an attempt is running. Until this transaction ends, none begins or ends. */
export async function lockDelivery(tx: Tx, id: string): Promise<{ state: DeliveryTable['state']; running: boolean }> {
  return tx
    .selectFrom('deliveries')
    .select(['state', sql<boolean>`coalesce(claimed_until > now(), false)`.as('running')])
    .where('id', '=', id)
    .forUpdate()
    .executeTakeFirstOrThrow();
}

/** Makes one delivery due at `now`, also where its endpoint is off. */
export async function askOneAgain(tx: Tx, id: string, now: Date): Promise<void> {
  await tx
    .updateTable('deliveries')
    .set({
      state: 'pending',
      next_attempt_at: now,
      attempts_before: sql<number>`attempts`,
      asked_after_stop: sql<number>`(select stops from webhook_endpoints where id = endpoint_id)`,
      claimed_until: null,
      delivered_at: null,
    })
    .where('id', '=', id)
    .execute();
}
