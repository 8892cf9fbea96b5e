import type { AgencyActor } from '../core/access.ts';
import { raise } from '../core/problem.ts';
import { asSystem, type Tx } from '../platform/database.ts';
import { countAsked } from './again-store.ts';
import type { DeliveryView, EndpointView, RecoveryView } from './schema.ts';
import { type DeliveryRow, type EndpointRow, findEndpoint, findEndpointOfDelivery, getDelivery } from './store.ts';

/** Endpoints and deliveries as their agency sees them. */

/** Reads an endpoint of the actor's. @throws Problem `not_found` */
export const viewFor =
  ({ agency_id }: AgencyActor) =>
  async (tx: Tx, id: string): Promise<EndpointView> =>
    endpointView((await findEndpoint(tx, agency_id, id)) ?? raise('not_found'));

/** Reads it with what was asked for again and is still to be sent. @throws Problem `not_found` */
export const viewRecovery =
  (actor: AgencyActor) =>
  async (tx: Tx, id: string): Promise<RecoveryView> => ({
    ...(await viewFor(actor)(tx, id)),
    to_send: await asSystem(tx, 'relay', tx => countAsked(tx, id)),
  });

/** Reads a delivery to an endpoint of the actor's. @throws Problem `not_found` */
export const viewDelivery =
  ({ agency_id }: AgencyActor) =>
  async (tx: Tx, id: string): Promise<DeliveryView> => {
    if (!(await findEndpointOfDelivery(tx, agency_id, id))) raise('not_found');
    return deliveryView(await asSystem(tx, 'relay', tx => getDelivery(tx, id)));
  };

/** Named one by one: the row holds secrets. */
export const endpointView = (row: EndpointRow): EndpointView => ({
  id: row.id,
  agency_id: row.agency_id,
  url: row.url,
  event_types: row.event_types,
  description: row.description,
  signature: row.signature,
  max_per_second: row.max_per_second,
  tls: row.tls_summary,
  public_key: row.public_key,
  previous_public_key: row.previous_public_key,
  contact_staff_code: row.contact_staff_code,
  status: row.status,
  failing_since: row.failing_since?.toISOString() ?? null,
  previous_secret_until: row.previous_secret_until?.toISOString() ?? null,
  version: row.version,
  created_at: row.created_at.toISOString(),
  updated_at: row.updated_at.toISOString(),
});

export const deliveryView = ({
  id,
  event_id,
  event_type,
  may_know,
  state,
  tries,
  next_attempt_at,
  created_at,
  delivered_at,
}: DeliveryRow): DeliveryView => ({
  id,
  event_id,
  event_type: may_know && state !== 'withheld' ? event_type : 'event.withheld',
  state,
  attempts: tries.map(({ attempt, started_at, duration_ms, status, error }) => ({
    attempt,
    started_at: started_at.toISOString(),
    duration_ms,
    status,
    error,
  })),
  next_attempt_at: next_attempt_at?.toISOString() ?? null,
  created_at: created_at.toISOString(),
  delivered_at: delivered_at?.toISOString() ?? null,
});
