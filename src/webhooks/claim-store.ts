import { type Expression, sql } from 'kysely';
import type { Tx } from '../platform/database.ts';
import type { DeliveryFailure } from '../platform/delivery-failure.ts';
import type { DeliveryTable } from '../platform/tables.ts';
import type { Sealed } from './keys.ts';
import { type DueDelivery, mustGoOn, type ToldEvent } from './outbox-store.ts';

/** The SQL of sending: which deliveries can be attempted, whose attempts they are, and what came of them. Runs as `relay`. */

/**
 * Due, and held by nobody. At an endpoint that is off, only what was asked for since it was last stopped, which waits for nothing
 * that is kept back.
 */
function isDue(table: 'd' | 'earlier', now: Date, off?: { stops: Expression<number> }) {
  const it = (column: string) => sql.ref(`${table}.${column}`);
  return sql<boolean>`(
    ${it('next_attempt_at')} <= ${now} and ${it('state')} in ('pending', 'parked')
    and (${it('claimed_until')} is null or ${it('claimed_until')} <= now())
    ${off ? sql`and ${it('asked_after_stop')} = ${off.stops}` : sql``})`;
}

/** Those before `d` of the same referral or case that are still to arrive. One that failed for good, or is parked, is waited for no more. */
const predecessors = (off?: { stops: Expression<number> }) => sql`
  from deliveries earlier where earlier.endpoint_id = d.endpoint_id and earlier.subject_id = d.subject_id
    and earlier.sequence < d.sequence and earlier.state = 'pending'
    ${off ? sql`and earlier.asked_after_stop = ${off.stops}` : sql``}`;

/**
 * With an order by turns behind it, an index has it: not knowing the rows yet, the planner would rather sort a whole backlog. What it
 * once found serves for every endpoint.
 */
const planOnce = sql`set_config('enable_sort', 'off', true), set_config('plan_cache_mode', 'force_generic_plan', true)`;

/**
 * Of each endpoint at which something can be attempted and nobody is at it, what is next there: emergencies, then as it fell due.
 * Whoever has the turn looks after what is ordinary.
 */
export async function listDue(tx: Tx, now: Date): Promise<DueDelivery[]> {
  await sql`select ${planOnce}`.execute(tx);
  const next = (off?: { stops: Expression<number> }) => sql`
    select d.id, d.endpoint_id, d.attempts, d.urgent from deliveries d
    where d.endpoint_id = endpoint.id and ${isDue('d', now, off)} and not (d.waits and exists (select ${predecessors(off)}))
      and (d.urgent or endpoint.turn_of is null or endpoint.turn_until <= now())
    order by d.urgent desc, d.next_attempt_at, d.position limit 1`;
  const { rows } = await sql<DueDelivery>`
    select due.* from webhook_endpoints endpoint cross join lateral (${next()}) due
    where endpoint.status = 'active' and endpoint.deleted_at is null
    union all
    select due.* from webhook_endpoints endpoint cross join lateral (${next({ stops: sql.ref('endpoint.stops') })}) due
    where endpoint.status <> 'active' and endpoint.deleted_at is null`.execute(tx);
  return rows;
}

/** How many one turn at an endpoint has under way at once. Emergencies have places of their own. */
export const AT_ONCE = { urgent: 8, ordinary: 8, failing: 2 };
/**
 * Of a claim, and of the turn with it: longer than its answer and then its attempt may take to begin, and the 15 s that this takes.
 * By the database's clock as it is, and not as it was when the transaction began, which may have waited for the endpoint.
 */
const LEASE_SECONDS = 20;

/** A claimed delivery with all that its attempt needs. */
export interface Claim {
  id: string;
  /** As the database writes it: names this claim among all that there were of the delivery. */
  claimed_until: string;
  attempts: number;
  attempts_before: number;
  asked_after_stop: number | null;
  urgent: boolean;
  /** Does not begin before those of the same subject that were claimed with it and come before it have arrived or are parked. */
  waits: boolean;
  subject_id: string;
  agency_id: string;
  event: ToldEvent;
  endpoint: Endpoint;
}

/** Where a claim goes, as it stood when it was claimed. */
export type Endpoint = Sealed & {
  url: string;
  contact_staff_code: string | null;
  tls: Buffer | null;
  failing: boolean;
};

export interface Claimed {
  /** In the order in which they are to begin. */
  claims: Claim[];
  /** When the database was asked for them, as `performance.now()` counts. */
  asked_at: number;
  /** After how many milliseconds there may be more, where it was the endpoint's rate that ended this. */
  paced_ms: number | null;
}

/** What a turn wants to have under way beside what it holds already. */
export interface Wish {
  /** Names the turn. Ordinary ones are sent to an endpoint by one turn at a time, emergencies by whoever comes first. */
  turn: string;
  urgent: number;
  ordinary: number;
  /** What it holds of either. */
  held: { urgent: number; ordinary: number };
}

type EndpointRow = Endpoint & {
  status: string;
  stops: number;
  deleted: boolean;
  max_per_second: number;
  ahead_ms: number;
  turn_of: string | null;
  is_free: boolean;
};

/**
 * Claims what is next at an endpoint, up to `wish`, as far as it can be attempted now. Where there is nothing left, and nothing held,
 * the turn is over. Nobody waits for the disk: a claim that a crash takes back would not have outlived its process.
 * @throws Error where there never was such an endpoint
 */
export async function claimNext(tx: Tx, endpoint_id: string, now: Date, wish: Wish): Promise<Claimed> {
  const { rows: endpoints } = await sql<EndpointRow>`
    select id, url, contact_staff_code, tls, status, stops, deleted_at is not null as deleted, failing_since is not null as failing,
      signature, secret, private_key,
      case when previous_secret_until > ${now} then previous_secret end as previous_secret,
      case when previous_secret_until > ${now} then previous_private_key end as previous_private_key, max_per_second, turn_of,
      coalesce(turn_until <= clock_timestamp(), true) as is_free,
      greatest(0, extract(epoch from paced_until - clock_timestamp()) * 1000)::float8 as ahead_ms,
      ${planOnce}, ${mustGoOn}, set_config('synchronous_commit', 'off', true)
    from webhook_endpoints where id = ${endpoint_id} for no key update`.execute(tx);
  if (!endpoints[0]) throw new Error('there is no such endpoint');
  const { status, stops, deleted, max_per_second, ahead_ms, turn_of, is_free, ...endpoint } = endpoints[0];
  const asked_at = performance.now();
  if (deleted) return { claims: [], asked_at, paced_ms: null };
  const is_mine = is_free || turn_of === wish.turn;
  // A second's worth may go out at once.
  const budget = Math.max(0, Math.floor(max_per_second * (1 - ahead_ms / 1_000)));
  const room = endpoint.failing ? Math.max(0, AT_ONCE.failing - wish.held.ordinary) : wish.ordinary;
  const wished = is_mine ? Math.min(wish.ordinary, room) : 0;
  const off = status === 'active' ? undefined : { stops: sql<number>`${stops}::int` };

  const found = await claim(tx, endpoint_id, now, { urgent: wish.urgent, ordinary: Math.min(wished, budget) }, off);
  const claims = found.map(({ delivery_id, claimed_until, attempts, attempts_before, asked_after_stop, waits, ...event }) => ({
    id: delivery_id,
    claimed_until,
    attempts,
    attempts_before,
    asked_after_stop,
    waits,
    urgent: event.urgent,
    subject_id: event.subject_id,
    agency_id: event.agency_id,
    event,
    endpoint,
  }));
  const taken = claims.filter(claim => !claim.urgent).length;
  if (taken > 0) await holdTurn(tx, endpoint_id, wish.turn, taken / max_per_second);
  else if (turn_of === wish.turn && wish.held.ordinary === 0) await endTurn(tx, endpoint_id, wish.turn);
  const is_paced = wished > budget && taken === budget;
  return { claims, asked_at, paced_ms: is_paced ? pacedFor(ahead_ms + (taken / max_per_second) * 1_000, max_per_second) : null };
}

/** A tenth of a second's worth is worth a look, where that is one at least. @param ahead_ms how far what was sent reaches ahead */
const pacedFor = (ahead_ms: number, max_per_second: number): number =>
  Math.ceil(ahead_ms - 1_000 + Math.max(100, 1_000 / max_per_second));

type ClaimRow = Omit<Claim, 'id' | 'event' | 'endpoint'> & ToldEvent & { delivery_id: string };

async function claim(
  tx: Tx,
  endpoint_id: string,
  now: Date,
  wish: { urgent: number; ordinary: number },
  off?: { stops: Expression<number> },
): Promise<ClaimRow[]> {
  const picked = sql`select id from urgent union all select id from ordinary`;
  const { rows } = await sql<ClaimRow>`
    with urgent as materialized (
      select d.id from deliveries d where d.endpoint_id = ${endpoint_id} and d.urgent and ${isDue('d', now, off)}
      order by d.next_attempt_at, d.position limit ${wish.urgent} for update skip locked
    ), ordinary as materialized (
      select d.id from deliveries d where d.endpoint_id = ${endpoint_id} and not d.urgent and ${isDue('d', now, off)}
        -- Whoever it waits for is before it here, or holds it back.
        and not (d.waits and exists (select ${predecessors(off)}
          and not (earlier.id in (select id from urgent)
            or not earlier.urgent and ${isDue('earlier', now)} and earlier.next_attempt_at <= d.next_attempt_at)))
      order by d.next_attempt_at, d.position limit ${wish.ordinary} for update skip locked
    ), claimed as (
      update deliveries d set claimed_until = clock_timestamp() + make_interval(secs => ${LEASE_SECONDS})
      where d.id in (${picked})
        and not (d.waits and exists (select ${predecessors(off)} and earlier.id not in (${picked})))
      returning d.*
    )
    select d.id as delivery_id, d.claimed_until::text, d.attempts, d.attempts_before, d.asked_after_stop, d.waits, events.*,
      may_still_know(events) as may_know
    from claimed d join events on events.number = d.event_number
    order by d.urgent desc, d.next_attempt_at, d.position`.execute(tx);
  return rows;
}

/** @param seconds that what was claimed lasts at the endpoint's rate */
async function holdTurn(tx: Tx, endpoint_id: string, turn: string, seconds: number): Promise<void> {
  await sql`
    update webhook_endpoints set turn_of = ${turn}, turn_until = clock_timestamp() + make_interval(secs => ${LEASE_SECONDS}),
      paced_until = greatest(paced_until, clock_timestamp()) + make_interval(secs => ${seconds})
    where id = ${endpoint_id}`.execute(tx);
}

/** Lets others have the turn. */
export async function endTurn(tx: Tx, endpoint_id: string, turn: string): Promise<void> {
  await tx
    .updateTable('webhook_endpoints')
    .set({ turn_of: null, turn_until: null })
    .where('id', '=', endpoint_id)
    .where('turn_of', '=', turn)
    .execute();
}

/** Gives back claims whose attempts were not made to their end, as if they had never been taken; not what is another's by now. */
export async function releaseClaims(tx: Tx, claims: readonly Claim[]): Promise<void> {
  const ids = claims.map(({ id }) => id);
  const until = claims.map(({ claimed_until }) => claimed_until);
  await sql`
    update deliveries d set claimed_until = null
    from unnest(${ids}::text[], ${until}::timestamptz[]) as given (id, claimed_until)
    where d.id = given.id and d.claimed_until = given.claimed_until`.execute(tx);
}

/** What came of an attempt, and what the delivery is after it. */
export interface Settlement {
  started_at: Date;
  duration_ms: number;
  status: number | null;
  error: DeliveryFailure | null;
  state: DeliveryTable['state'];
  next_attempt_at: Date | null;
  delivered_at: Date | null;
}

/**
 * Saves attempts of claims.
 * @param wait false: leaves those that somebody else is changing
 * @returns the ids of those that were saved. Not of one whose claim had run out, where another attempt was settled meanwhile.
 */
export async function settleDeliveries(
  tx: Tx,
  settlements: readonly (Settlement & { claim: Claim })[],
  { wait }: { wait: boolean },
): Promise<Set<string>> {
  const given = settlements.map(({ claim: { id, attempts }, ...settlement }) => ({ id, attempts, ...settlement }));
  const { rows } = await sql<{ delivery_id: string }>`
    with given as materialized (
      select * from json_to_recordset(${JSON.stringify(given)}::json) as it (id text, attempts int, started_at timestamptz,
        duration_ms int, status int, error text, state text, next_attempt_at timestamptz, delivered_at timestamptz)
    ), held as materialized (
      select d.id from deliveries d join given using (id) where d.attempts = given.attempts
      order by d.id for update of d ${wait ? sql`` : sql`skip locked`}
    ), settled as (
      update deliveries d set state = given.state, attempts = d.attempts + 1, next_attempt_at = given.next_attempt_at,
        claimed_until = null, last_status = given.status, last_error = given.error, delivered_at = given.delivered_at
      from given join held using (id) where d.id = given.id
      returning d.id, d.attempts, d.agency_id, given.started_at, given.duration_ms, given.status, given.error
    )
    insert into delivery_attempts (delivery_id, attempt, agency_id, started_at, duration_ms, status, error)
    select id, attempts, agency_id, started_at, duration_ms, status, error from settled returning delivery_id`.execute(tx);
  return new Set(rows.map(row => row.delivery_id));
}
