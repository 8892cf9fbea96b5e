import { EVENT_TYPES } from '../core/events.ts';
import { EVENTS, eventSchema, schemaName } from './event-schema.ts';

/** The part of the OpenAPI document that tells a receiver what will arrive: an operation of its own for each type of event. */

const HEADERS = {
  WebhookId: {
    name: 'webhook-id',
    description: "The event's id, the same at every attempt: delivery is at least once",
    schema: { type: 'string' },
  },
  WebhookTimestamp: {
    name: 'webhook-timestamp',
    description: 'When this attempt was made, in seconds since 1970: refuse what is more than five minutes off',
    schema: { type: 'string', pattern: '^[0-9]+$' },
  },
  WebhookSignature: {
    name: 'webhook-signature',
    description:
      'Standard Webhooks, over `webhook-id.webhook-timestamp.body`: `v1,<base64 HMAC-SHA256>` by the secret, `v1a,<base64 Ed25519>` by the key pair of the endpoint, as its `signature` asks; separated by spaces, old and new for 24 h of a rotation. One that verifies is enough',
    schema: { type: 'string' },
  },
};

const ANSWERS = {
  '2XX': ['WebhookArrived', 'It has arrived. Answer at once, and work on it later: an attempt has 15 s in all'],
  '410': ['WebhookGone', 'Nobody is there any more: the endpoint is paused, its agency and the coordinator are told'],
  '429': ['WebhookLater', 'Later: `Retry-After` is honoured, up to an hour, for an emergency up to a minute'],
  '503': ['WebhookLater', 'Later: `Retry-After` is honoured, up to an hour, for an emergency up to a minute'],
  default: [
    'WebhookFailed',
    'It has failed, as it has where there is a redirect or no answer: it is attempted again for more than 72 h, and can be pulled',
  ],
} as const;

/** What the document says of events: `webhooks`, and the components that they refer to. */
export const eventDocument = {
  webhooks: Object.fromEntries(
    EVENT_TYPES.map(type => [
      type,
      {
        post: {
          operationId: `on${schemaName(type)}`,
          tags: ['Events'],
          summary: EVENTS[type].summary,
          security: [],
          parameters: Object.keys(HEADERS).map(name => ({ $ref: `#/components/parameters/${name}` })),
          requestBody: { required: true, content: { 'application/json': { schema: eventSchema(type) } } },
          responses: Object.fromEntries(
            Object.entries(ANSWERS).map(([status, [name]]) => [status, { $ref: `#/components/responses/${name}` }]),
          ),
        },
      },
    ]),
  ),
  parameters: Object.fromEntries(
    Object.entries(HEADERS).map(([name, header]) => [name, { in: 'header', required: true, ...header }]),
  ),
  responses: Object.fromEntries(Object.values(ANSWERS).map(([name, description]) => [name, { description }])),
};
