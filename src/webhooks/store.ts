import { type Insertable, type Selectable, sql, type Updateable } from 'kysely';
import type { Tx } from '../platform/database.ts';
import type { DeliveryAttemptTable, DeliveryTable, WebhookEndpointTable } from '../platform/tables.ts';

/** The SQL of webhook endpoints, and of their deliveries as the agency reads them. A deleted endpoint is absent to everybody. */

export type EndpointRow = Selectable<WebhookEndpointTable>;

const endpoints = (tx: Tx, agency_id: string) =>
  tx.selectFrom('webhook_endpoints').selectAll().where('agency_id', '=', agency_id).where('deleted_at', 'is', null);

export const findEndpoint = (tx: Tx, agency_id: string, id: string): Promise<EndpointRow | undefined> =>
  endpoints(tx, agency_id).where('id', '=', id).executeTakeFirst();

export const lockEndpoint = (tx: Tx, agency_id: string, id: string): Promise<EndpointRow | undefined> =>
  endpoints(tx, agency_id).where('id', '=', id).forNoKeyUpdate().executeTakeFirst();

/** Keeps an endpoint from being altered in its key only: who sends to it, or switches it off, need not wait. */
export const holdEndpoint = (tx: Tx, agency_id: string, id: string): Promise<EndpointRow | undefined> =>
  endpoints(tx, agency_id).where('id', '=', id).forKeyShare().executeTakeFirst();

/** How many endpoints an agency has. Until this transaction ends, nobody else finds out: nobody else may add one. */
export async function countEndpoints(tx: Tx, agency_id: string): Promise<number> {
  await sql`select pg_advisory_xact_lock(hashtextextended(${`webhook_endpoints ${agency_id}`}, 0))`.execute(tx);
  return (await endpoints(tx, agency_id).execute()).length;
}

/** Newest first, older than `before`. */
export const listEndpoints = (tx: Tx, agency_id: string, before: string | undefined, limit: number): Promise<EndpointRow[]> =>
  endpoints(tx, agency_id)
    .$if(before !== undefined, query => query.where('id', '<', before!))
    .orderBy('id', 'desc')
    .limit(limit)
    .execute();

export async function insertEndpoint(tx: Tx, endpoint: Insertable<WebhookEndpointTable>): Promise<void> {
  await tx.insertInto('webhook_endpoints').values(endpoint).execute();
}

export async function saveEndpoint(tx: Tx, id: string, change: Updateable<WebhookEndpointTable>, now: Date): Promise<void> {
  await tx
    .updateTable('webhook_endpoints')
    .set({ ...change, updated_at: now })
    .set('version', sql<number>`version + 1`)
    .where('id', '=', id)
    .execute();
}

/**
 * Stops sending to an endpoint that is active.
 * @returns false where it is not, or is deleted
 */
export async function switchOff(tx: Tx, id: string, to: 'paused' | 'disabled', now: Date): Promise<boolean> {
  const { numUpdatedRows } = await tx
    .updateTable('webhook_endpoints')
    .set({ status: to, updated_at: now, version: sql<number>`version + 1`, stops: sql<number>`stops + 1` })
    .where('id', '=', id)
    .where('status', '=', 'active')
    .where('deleted_at', 'is', null)
    .executeTakeFirst();
  return numUpdatedRows === 1n;
}

/** Ends what was asked for again after stop number `stop` of an endpoint that is off. */
export async function stopAsked(tx: Tx, id: string, stop: number): Promise<void> {
  await tx
    .updateTable('webhook_endpoints')
    .set({ stops: sql<number>`stops + 1` })
    .where('id', '=', id)
    .where('status', '!=', 'active')
    .where('stops', '=', stop)
    .execute();
}

/**
 * Notes that a delivery failed; `ETag`s stay as they are, for nothing that the owner set has changed.
 * @returns since when every delivery has failed
 */
export async function markFailing(tx: Tx, id: string, now: Date): Promise<Date> {
  const { failing_since } = await tx
    .updateTable('webhook_endpoints')
    .set({ failing_since: sql<Date>`coalesce(failing_since, ${now})` })
    .where('id', '=', id)
    .returning('failing_since')
    .executeTakeFirstOrThrow();
  return failing_since!;
}

/** Notes that a delivery arrived. A disabled endpoint keeps since when it failed: what it missed is sent when it is enabled. */
export async function markWorking(tx: Tx, id: string): Promise<void> {
  await tx
    .updateTable('webhook_endpoints')
    .set({ failing_since: null })
    .where('id', '=', id)
    .where('failing_since', 'is not', null)
    .where('status', '!=', 'disabled')
    .execute();
}

/** The coordination committees of the jurisdictions of an agency, but for the agency itself. */
export async function listCoordinators(tx: Tx, agency_id: string): Promise<string[]> {
  const rows = await tx
    .selectFrom('agencies as committee')
    .innerJoin('agencies as agency', join =>
      join.on('agency.id', '=', agency_id).on(sql<boolean>`committee.jurisdictions && agency.jurisdictions`),
    )
    .select('committee.id')
    .where('committee.kind', '=', 'coordination_committee')
    .where('committee.id', '!=', agency_id)
    .orderBy('committee.id')
    .execute();
  return rows.map(row => row.id);
}

export type DeliveryRow = Selectable<DeliveryTable> & { may_know: boolean; tries: Selectable<DeliveryAttemptTable>[] };

/**
 * Deliveries to an endpoint with their attempts, newest first, older than `before`. Whether the agency may still know of the
 * event is seen only by `relay`.
 */
export async function listDeliveries(
  tx: Tx,
  endpoint_id: string,
  { state, before, limit }: { state: DeliveryTable['state'] | undefined; before: string | undefined; limit: number },
): Promise<DeliveryRow[]> {
  const found = await deliveries(tx)
    .where('endpoint_id', '=', endpoint_id)
    .$if(state !== undefined, query => query.where('state', '=', state!))
    .$if(before !== undefined, query => query.where('deliveries.id', '<', before!))
    .orderBy('deliveries.id', 'desc')
    .limit(limit)
    .execute();
  return withAttempts(tx, found);
}

/** One delivery with its attempts, looked for as `relay`. @throws Error where there is none */
export async function getDelivery(tx: Tx, id: string): Promise<DeliveryRow> {
  const [row] = await withAttempts(tx, [await deliveries(tx).where('deliveries.id', '=', id).executeTakeFirstOrThrow()]);
  return row!;
}

/** The endpoint of a delivery of the agency's, unless it is deleted. */
export async function findEndpointOfDelivery(tx: Tx, agency_id: string, id: string): Promise<string | undefined> {
  const row = await tx
    .selectFrom('deliveries')
    .innerJoin('webhook_endpoints as endpoint', 'endpoint.id', 'deliveries.endpoint_id')
    .select('endpoint.id')
    .where('deliveries.id', '=', id)
    .where('deliveries.agency_id', '=', agency_id)
    .where('endpoint.deleted_at', 'is', null)
    .executeTakeFirst();
  return row?.id;
}

const deliveries = (tx: Tx) =>
  tx
    .selectFrom('deliveries')
    .innerJoin('events', 'events.number', 'deliveries.event_number')
    .selectAll('deliveries')
    .select(sql<boolean>`may_still_know(events)`.as('may_know'));

async function withAttempts(tx: Tx, found: Omit<DeliveryRow, 'tries'>[]): Promise<DeliveryRow[]> {
  if (found.length === 0) return [];
  const attempts = await tx
    .selectFrom('delivery_attempts')
    .selectAll()
    .where(
      'delivery_id',
      'in',
      found.map(delivery => delivery.id),
    )
    .orderBy('attempt')
    .execute();
  const tries = Map.groupBy(attempts, attempt => attempt.delivery_id);
  return found.map(delivery => ({ ...delivery, tries: tries.get(delivery.id) ?? [] }));
}
