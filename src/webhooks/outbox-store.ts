import { type Expression, sql } from 'kysely';
import { type EventType, neverWaits } from '../core/events.ts';
import type { Tx } from '../platform/database.ts';
import { newId } from '../platform/ids.ts';
import type { DeliveryTable } from '../platform/tables.ts';

/** The SQL of the outbox: events as they are numbered and told, deliveries as they are made, claimed and settled. */

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

/** Held, across all processes, by the one relay that numbers, until its transaction ends. */
const RELAY_LOCK = 4_821_001;

/** Whether this transaction is now the one that numbers. Look at the events in a later statement: it sees what the last did. */
export async function tryLockRelay(tx: Tx): Promise<boolean> {
  const { rows } = await sql<{ locked: boolean }>`select pg_try_advisory_xact_lock(${RELAY_LOCK}) as locked`.execute(tx);
  return rows[0]!.locked;
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

/** One delivery, due at `now`, per matching endpoint. */
export async function insertDeliveries(tx: Tx, matches: readonly Match[], now: Date): Promise<void> {
  if (matches.length === 0) return;
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
}

/**
 * Makes what waits at an endpoint due at `now`, in the order of the events: what was parked goes before what came after it, and
 * all of it has the whole schedule before it again.
 */
export async function makeDue(tx: Tx, endpoint_id: string, now: Date): Promise<void> {
  // What is under way is left to who settles it, who may be waiting for this endpoint.
  await sql`
    update deliveries set state = 'pending', next_attempt_at = ${now}, attempts_before = attempts
    where endpoint_id = ${endpoint_id} and next_attempt_at is not null and (claimed_until is null or claimed_until <= now())`.execute(
    tx,
  );
}

/**
 * Due, held by nobody, and not behind an earlier event of the same referral or case that is still to arrive. At an endpoint that
 * is off, only what was asked for since it was last stopped, which waits for nothing that is kept back.
 */
function isReady(now: Date, off?: { stops: Expression<number> }) {
  const asked = (table: 'd' | 'earlier') => (off ? sql`and ${sql.ref(`${table}.asked_after_stop`)} = ${off.stops}` : sql``);
  return sql<boolean>`(
    d.next_attempt_at <= ${now} and d.state in ('pending', 'parked') and (d.claimed_until is null or d.claimed_until <= now())
    ${asked('d')} and not (d.waits and exists (select from deliveries earlier where earlier.endpoint_id = d.endpoint_id
      and earlier.subject_id = d.subject_id and earlier.sequence < d.sequence and earlier.state = 'pending'
      ${asked('earlier')})))`;
}

/** Emergencies first, then as they fell due, then as they happened. */
const byTurn = sql`d.urgent desc, d.next_attempt_at, d.position`;

/**
 * `deliveries_due`, and `deliveries_asked` where the endpoint is off, have this order; not knowing the rows yet, the planner
 * would rather sort a whole backlog for its first row.
 */
const takeOrderFromIndex = sql`set_config('enable_sort', 'off', true)`;

export interface DueDelivery {
  id: string;
  endpoint_id: string;
  attempts: number;
  urgent: boolean;
}

/** Deliveries that can be attempted now, the same number at most of every endpoint, so that none waits behind another's. */
export async function listDue(tx: Tx, now: Date, per_endpoint: number): Promise<DueDelivery[]> {
  await sql`select ${takeOrderFromIndex}`.execute(tx);
  const { rows } = await sql<DueDelivery>`
    select due.* from webhook_endpoints endpoint cross join lateral (
      select d.id, d.endpoint_id, d.attempts, d.urgent from deliveries d where d.endpoint_id = endpoint.id and ${isReady(now)}
      order by ${byTurn} limit ${per_endpoint}) due
    where endpoint.status = 'active' and endpoint.deleted_at is null
    union all
    select due.* from webhook_endpoints endpoint cross join lateral (
      select d.id, d.endpoint_id, d.attempts, d.urgent from deliveries d where d.endpoint_id = endpoint.id
        and ${isReady(now, { stops: sql.ref('endpoint.stops') })}
      order by ${byTurn} limit ${per_endpoint}) due
    where endpoint.status <> 'active' and endpoint.deleted_at is null`.execute(tx);
  return rows;
}

/** A claimed delivery with all that its attempt needs. */
export interface Claim {
  id: string;
  attempts: number;
  attempts_before: number;
  asked_after_stop: number | null;
  urgent: boolean;
  agency_id: string;
  event: ToldEvent;
  endpoint: { id: string; url: string; secret: Buffer; previous_secret: Buffer | null };
}

/** How many deliveries to one endpoint are under way at once. Emergencies have room that others cannot take. */
export const AT_ONCE = { urgent: 16, ordinary: 8, failing: 2 };
/** Longer than an attempt may take; after a crash the attempt is made again when it is over. By the database's clock. */
const LEASE_SECONDS = 30;

/**
 * Claims the delivery whose turn it is at an endpoint, where one can be attempted now and there is room. Whoever starts at an
 * endpoint waits for others that start there, so that each counts what is under way; whoever goes on, in the transaction that
 * ends its last attempt, only takes its own place again.
 */
export async function claimNext(
  tx: Tx,
  endpoint_id: string,
  now: Date,
  { starting, urgent_only = false }: { starting: boolean; urgent_only?: boolean },
): Promise<Claim | undefined> {
  const { rows: endpoints } = await sql<Claim['endpoint'] & { room: number; status: string; stops: number }>`
    select id, url, secret, status, stops, case when previous_secret_until > ${now} then previous_secret end as previous_secret,
      case when ${urgent_only} then 0 when failing_since is null then ${AT_ONCE.ordinary}::int else ${AT_ONCE.failing}::int end
        as room, ${takeOrderFromIndex}
    from webhook_endpoints where id = ${endpoint_id} and deleted_at is null
    ${starting ? sql`for no key update` : sql``}`.execute(tx);
  if (!endpoints[0]) return undefined;
  const { room, status, stops, id, url, secret, previous_secret } = endpoints[0];
  const ready = status === 'active' ? isReady(now) : isReady(now, { stops: sql`${stops}::int` });

  const { rows } = await sql<Omit<Claim, 'event' | 'endpoint'> & { event_number: number }>`
    update deliveries set claimed_until = now() + make_interval(secs => ${LEASE_SECONDS}) where id = (
      select d.id from deliveries d where d.endpoint_id = ${endpoint_id} and ${ready}
        and (select count(*) from deliveries busy where busy.endpoint_id = ${endpoint_id} and busy.claimed_until > now())
          < case when d.urgent then ${AT_ONCE.urgent}::int else ${room}::int end
      order by ${byTurn} limit 1 for update skip locked)
    returning id, attempts, attempts_before, asked_after_stop, urgent, agency_id, event_number`.execute(tx);
  if (!rows[0]) return undefined;
  const { event_number, ...delivery } = rows[0];
  const event = await toldEvents(tx).where('number', '=', event_number).executeTakeFirstOrThrow();
  return { ...delivery, event, endpoint: { id, url, secret, previous_secret } };
}

/** Gives back a claim whose attempt was not made to its end, as if it had never been taken. */
export async function releaseClaim(tx: Tx, { id, attempts }: Claim): Promise<void> {
  await tx.updateTable('deliveries').set({ claimed_until: null }).where('id', '=', id).where('attempts', '=', attempts).execute();
}

/** What came of an attempt, and what the delivery is after it. */
export interface Settlement {
  started_at: Date;
  duration_ms: number;
  status: number | null;
  error: string | null;
  state: DeliveryTable['state'];
  next_attempt_at: Date | null;
  delivered_at: Date | null;
}

/**
 * Saves the attempt of a claim.
 * @returns false where the claim had run out and another attempt was settled meanwhile: nothing is saved then
 */
export async function settleDelivery(tx: Tx, claim: Claim, it: Settlement): Promise<boolean> {
  const { rows } = await sql`
    with settled as (
      update deliveries set state = ${it.state}, attempts = attempts + 1, next_attempt_at = ${it.next_attempt_at},
        claimed_until = null, last_status = ${it.status}, last_error = ${it.error}, delivered_at = ${it.delivered_at}
      where id = ${claim.id} and attempts = ${claim.attempts}
      returning id, attempts, agency_id
    )
    insert into delivery_attempts (delivery_id, attempt, agency_id, started_at, duration_ms, status, error)
    select id, attempts, agency_id, ${it.started_at}::timestamptz, ${it.duration_ms}::integer, ${it.status}::integer, ${it.error}::text
    from settled returning attempt`.execute(tx);
  return rows.length === 1;
}
