import type { Notice } from '../audit/record.ts';
import type { Role } from '../core/codes.ts';
import type { EventData } from './event-schema.ts';

/** Who is told of an endpoint, and what. */

export interface ToldEndpoint {
  id: string;
  agency_id: string;
  contact_staff_code: string | null;
}

type AboutEndpoint = Extract<keyof EventData, `endpoint.${string}`>;
/** What is said beside the ids and numbers that each of these events has. */
type Detail<T extends AboutEndpoint> = Omit<EventData[T], 'event_id' | 'position' | 'sequence' | 'agency_id' | 'endpoint_id'>;

/** What the agency is told of its endpoint. */
export const endpointNotice = <T extends AboutEndpoint>(type: T, { id, agency_id }: ToldEndpoint, detail: Detail<T>): Notice => ({
  type,
  subject_id: id,
  urgent: false,
  recipients: [{ agency_id, body: { agency_id, endpoint_id: id, ...detail } }],
});

/** Whom the agency's own system should tell that something is wrong with its endpoint, or no longer is. */
export const lookedAfterBy = ({ contact_staff_code }: ToldEndpoint): { roles: Role[]; staff_code?: string } => ({
  roles: ['supervisor'],
  ...(contact_staff_code === null ? {} : { staff_code: contact_staff_code }),
});

/** That an endpoint was switched off: its agency, and the coordinators, who are not told who there looks after it. */
export const switchedOffNotice = (
  type: 'endpoint.failing' | 'endpoint.disabled',
  endpoint: ToldEndpoint,
  status: 'paused' | 'disabled',
  coordinators: readonly string[],
): Notice => {
  const told = endpointNotice(type, endpoint, { status, notify: lookedAfterBy(endpoint) });
  const ids = { agency_id: endpoint.agency_id, endpoint_id: endpoint.id };
  const others = coordinators.map(agency_id => ({ agency_id, body: { ...ids, status, notify: { roles: ['coordinator'] } } }));
  return { ...told, recipients: [...told.recipients, ...others] };
};
