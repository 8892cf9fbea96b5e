import { EVENT_TYPES, type EventType } from '../../src/core/events.ts';
import { faultsIn } from '../../src/platform/http/openapi.ts';
import type { Services } from '../../src/services.ts';
import { eventSchema } from '../../src/webhooks/event-schema.ts';
import { lookAsOwner } from './trail.ts';

/** Events as acts emit them, held to what the document says of each type. */

const SCHEMAS = new Map(EVENT_TYPES.map(type => [type, eventSchema(type)]));

/** In what an event, as it is told, breaks the schema of its type. */
export function faultsOfEvent(event: { type: string }): string[] {
  const schema = SCHEMAS.get(event.type as EventType);
  if (!schema) return [`${event.type} is no type of an event`];
  return faultsIn(schema, event).map(({ pointer, detail }) => `${event.type} ${pointer} ${detail}`);
}

/** Databases in which a test has put events that no act emits. */
const made_up = new WeakSet<Services['db']>();
export const areMadeUp = ({ db }: Pick<Services, 'db'>): void => void made_up.add(db);

export interface Emitted {
  types: ReadonlySet<EventType>;
  /** In what they break their schemas, each once. */
  faults: string[];
}

/** Whatever acts have emitted so far, told to anybody or not. */
export async function emittedEvents(services: Services): Promise<Emitted> {
  const rows = await lookAsOwner<{ type: EventType; at: Date; data: object }>(
    services,
    `select type, occurred_at as at, jsonb_build_object('event_id', id, 'position', coalesce(position, 1),
       'sequence', coalesce(sequence, 1)) || body as data from events`,
  );
  const events = rows.map(({ type, at, data }) => ({ type, timestamp: at.toISOString(), data }));
  return {
    types: new Set(rows.map(({ type }) => type)),
    faults: made_up.has(services.db) ? [] : [...new Set(events.flatMap(faultsOfEvent))],
  };
}
