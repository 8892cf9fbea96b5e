import { type Static, Type } from 'typebox';
import { EVENT_TYPES } from '../core/events.ts';
import { DELIVERY_FAILURES, type DeliveryFailure } from '../platform/delivery-failure.ts';
import { Closed, Code, Codes, Id, Instant, Named, Nullable, StaffCode, Text } from '../platform/http/openapi.ts';

const EventTypes = Codes([...EVENT_TYPES, '*'] as const, {
  minItems: 1,
  description:
    'Types of events, or `["*"]` for all; a coordination committee that names `digest.daily` is told one every morning',
});
const Signature = Codes(['v1', 'v1a'] as const, {
  minItems: 1,
  description:
    'How webhooks are signed (Standard Webhooks): `v1`, HMAC-SHA256 with the secret; `v1a`, Ed25519 with a key pair of the endpoint, which naming it makes and naming it no more destroys. Default `["v1"]`',
});
const Url = Type.String({
  minLength: 1,
  maxLength: 2_000,
  description: 'Where events are posted to: https, a public host; http and loopback for development only',
});
const Description = Nullable(Text(500));
const MaxPerSecond = Type.Integer({
  minimum: 1,
  maximum: 1_000,
  description: 'Ordinary events that are posted in a second at most, 500 by default; emergencies are not held up',
});

const Pem = (description: string) => Type.Optional(Nullable(Type.String({ minLength: 1, maxLength: 20_000, description })));
const Tls = Nullable(
  Closed(
    {
      ca: Pem(
        'Certificates of the only authorities that are trusted at this endpoint, in PEM; null: those that everybody trusts',
      ),
      client_certificate: Pem('What the service shows the endpoint of itself, in PEM, with what its authority stands behind'),
      client_key: Pem('Its private key, in PEM without a passphrase, of RSA up to 4096 bits; never shown again'),
    },
    { description: 'For receivers with a PKI of their own' },
  ),
);
export type Tls = Static<typeof Tls>;
const Contact = Nullable(
  Type.String({
    ...StaffCode(),
    description: 'Staff code of whoever at the agency looks after the endpoint: events about it name this person',
  }),
);

export const EndpointBody = Closed({
  url: Url,
  event_types: EventTypes,
  description: Type.Optional(Description),
  signature: Type.Optional(Signature),
  max_per_second: Type.Optional(MaxPerSecond),
  tls: Type.Optional(Tls),
  contact_staff_code: Type.Optional(Contact),
});
export type EndpointBody = Static<typeof EndpointBody>;

export const EndpointPatch = Closed(
  {
    url: Type.Optional(Url),
    event_types: Type.Optional(EventTypes),
    description: Type.Optional(Description),
    signature: Type.Optional(Signature),
    max_per_second: Type.Optional(MaxPerSecond),
    tls: Type.Optional(Tls),
    contact_staff_code: Type.Optional(Contact),
  },
  { minProperties: 1 },
);
export type EndpointPatch = Static<typeof EndpointPatch>;

const Secret = Type.String({ description: '`whsec_…`, shown in this answer and never again' });

const Certificate = Closed({
  fingerprint: Type.String({ description: 'SHA-256, as OpenSSL writes it' }),
  expires_at: Instant(),
});

const endpoint = {
  id: Id('whe'),
  agency_id: Id('agy'),
  url: Type.String(),
  event_types: Type.Array(Type.String()),
  description: Nullable(Type.String()),
  signature: Type.Array(Type.String()),
  max_per_second: Type.Integer(),
  tls: Nullable(Closed({ ca: Type.Array(Certificate), client_certificate: Nullable(Certificate) })),
  public_key: Nullable(
    Type.String({ description: '`whpk_<base64 of 32 bytes>`: verifies `v1a`; null where that is not asked for' }),
  ),
  previous_public_key: Nullable(Type.String({ description: 'What the last rotation replaced: signs too for 24 h' })),
  previous_secret_until: Nullable(Instant()),
  contact_staff_code: Nullable(Type.String()),
  status: Code(['active', 'paused', 'disabled'] as const),
  failing_since: Nullable(Instant()),
  version: Type.Integer(),
  created_at: Instant(),
  updated_at: Instant(),
};
export const EndpointView = Named('WebhookEndpoint', endpoint);
export type EndpointView = Static<typeof EndpointView>;
export const RecoveryBody = Closed({ since: Instant() });
export const RecoveryView = Named('Recovery', {
  ...endpoint,
  to_send: Type.Integer({ description: 'Events that were asked for again and have yet to be sent' }),
});
export type RecoveryView = Static<typeof RecoveryView>;
export const NewEndpoint = Closed({ ...endpoint, secret: Secret });
export const NewSecret = Closed({ secret: Secret });
export type NewSecret = Static<typeof NewSecret>;

const DeliveryFailureCode = Type.Unsafe<DeliveryFailure>({
  type: 'string',
  enum: Object.keys(DELIVERY_FAILURES),
  description: `Why there was no answer:\n${Object.entries(DELIVERY_FAILURES)
    .map(([code, meaning]) => `- \`${code}\`: ${meaning}`)
    .join('\n')}`,
});

const DELIVERY_STATES = ['pending', 'parked', 'delivered', 'withheld', 'exhausted'] as const;
export const DeliveryQuery = { state: Type.Optional(Code(DELIVERY_STATES)) };
export const DeliveryView = Named('Delivery', {
  id: Id('dlv'),
  event_id: Id('evt'),
  event_type: Type.String(),
  state: Code(DELIVERY_STATES),
  attempts: Type.Array(
    Closed({
      attempt: Type.Integer(),
      started_at: Instant(),
      duration_ms: Type.Integer(),
      status: Nullable(Type.Integer({ description: 'HTTP status of the answer; null: there was none' })),
      error: Nullable(DeliveryFailureCode),
    }),
  ),
  next_attempt_at: Nullable(Instant()),
  created_at: Instant(),
  delivered_at: Nullable(Instant()),
});
export type DeliveryView = Static<typeof DeliveryView>;

const LONGEST_WAIT_SECONDS = 30;
const ONE_TYPE = `(${EVENT_TYPES.join('|').replaceAll('.', '\\.')})`;

export const EventQuery = {
  after: Type.Optional(Type.String({ minLength: 1, maxLength: 400, description: '`next_cursor` of the page before' })),
  types: Type.Optional(
    Type.String({
      pattern: `^${ONE_TYPE}(,${ONE_TYPE})*$`,
      maxLength: 2_000,
      description: 'Types of events, separated by commas',
    }),
  ),
  wait: Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: LONGEST_WAIT_SECONDS,
      description: 'Seconds to wait for an event where there is none; a client that has ten pulls waiting is answered at once',
    }),
  ),
};
