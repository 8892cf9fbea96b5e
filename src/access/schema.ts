import { type TOptional, type TString, Type } from 'typebox';
import { ASSERTION_ALGORITHMS } from '../core/client-assertion.ts';
import { ROLES, SCOPES } from '../core/codes.ts';
import { Closed, Code, Codes, Day, Id, Instant, Language, Named, Nullable, StaffCode, Text } from '../platform/http/openapi.ts';
import { MOST_KEYS, PRIVATE_MEMBERS } from './keys.ts';

export const CLIENT_STATUSES = ['active', 'disabled', 'revoked'] as const;
export const CASEWORKER_STATUSES = ['active', 'inactive', 'disabled'] as const;

export const AgencyParams = Type.Object({ id: Id('agy') });
export const ClientParams = Type.Object({ id: Id('cli') });
export const CaseworkerParams = Type.Object({ id: Id('cwk') });

/** Room for a signature by an RSA key of 4,096 bits and for generous claims. */
const LONGEST_ASSERTION = 4_096;

/** RFC 6749, 2.3.1 and 4.4.2, and RFC 7523, 2.2. Other parameters are refused. */
export const TokenRequest = Closed({
  grant_type: Type.String({ maxLength: 200, description: '`client_credentials`' }),
  client_id: Type.Optional(Type.String({ maxLength: 200 })),
  client_secret: Type.Optional(Type.String({ maxLength: 200 })),
  client_assertion_type: Type.Optional(
    Type.String({ maxLength: 200, description: '`urn:ietf:params:oauth:client-assertion-type:jwt-bearer`' }),
  ),
  client_assertion: Type.Optional(
    Type.String({ maxLength: LONGEST_ASSERTION, description: 'A JWT that the client signed; it serves once' }),
  ),
  scope: Type.Optional(
    Type.String({ minLength: 1, maxLength: 400, description: "Separated by blanks; all of the client's where it is left out" }),
  ),
});

export const TokenAnswer = Closed({
  access_token: Type.String(),
  token_type: Type.Literal('Bearer'),
  expires_in: Type.Integer(),
  scope: Type.String(),
});

/** RFC 8414 */
export const ServerMetadata = Closed({
  issuer: Type.String(),
  token_endpoint: Type.String(),
  jwks_uri: Type.String(),
  service_documentation: Type.String(),
  scopes_supported: Type.Array(Type.String()),
  response_types_supported: Type.Array(Type.String()),
  grant_types_supported: Type.Array(Type.String()),
  token_endpoint_auth_methods_supported: Type.Array(Type.String()),
  token_endpoint_auth_signing_alg_values_supported: Type.Array(Type.String()),
});

/** RFC 7517 */
export const SigningKeys = Closed({
  keys: Type.Array(
    Closed({
      kty: Type.String(),
      crv: Type.String(),
      x: Type.String(),
      kid: Type.String(),
      use: Type.String(),
      alg: Type.String(),
    }),
  ),
});

const Scopes = () => Codes(SCOPES, { minItems: 1 });

/** Base64url of so many bytes at most. */
const Bytes = (most: number) => Type.Optional(Type.String({ pattern: '^[A-Za-z0-9_-]+$', maxLength: Math.ceil((most * 4) / 3) }));

/** RFC 7517, RFC 8037: a public key of one of three types, and nothing that we would not use. */
const PublicKey = Named(
  'PublicKey',
  {
    kty: Code(['OKP', 'EC', 'RSA']),
    crv: Type.Optional(Code(['Ed25519', 'P-256'])),
    x: Bytes(32),
    y: Bytes(32),
    n: Bytes(512),
    e: Type.Optional(Code(['AQAB'])),
    kid: Type.Optional(
      Type.String({ pattern: '^[\\x21-\\x7e]{1,128}$', description: 'Its thumbprint (RFC 7638) where it is left out' }),
    ),
    alg: Type.Optional(Code(ASSERTION_ALGORITHMS)),
    use: Type.Optional(Code(['sig'])),
    key_ops: Type.Optional(Codes(['verify'])),
    ext: Type.Optional(Type.Boolean()),
    ...(Object.fromEntries(
      PRIVATE_MEMBERS.map(name => [
        name,
        Type.Optional(Type.String({ maxLength: 4_096, description: 'Private: refused (422)' })),
      ]),
    ) as Record<(typeof PRIVATE_MEMBERS)[number], TOptional<TString>>),
  },
  { description: 'Ed25519 (EdDSA), P-256 (ES256), or RSA of 2,048 to 4,096 bits (PS256)' },
);

const Keys = (fewest: number) => Closed({ keys: Type.Array(PublicKey, { minItems: fewest, maxItems: MOST_KEYS }) });

export const NewClient = Closed({
  scopes: Scopes(),
  description: Type.Optional(Nullable(Text(200))),
  jwks: Type.Optional(Keys(1)),
});

export const SetClientKeys = Keys(0);

const client = {
  id: Id('cli'),
  agency_id: Id('agy'),
  description: Nullable(Type.String()),
  scopes: Type.Array(Code(SCOPES)),
  status: Code(CLIENT_STATUSES),
  keys: Type.Array(
    Closed({
      kid: Type.String(),
      alg: Code(ASSERTION_ALGORITHMS),
      thumbprint: Type.String({ description: 'RFC 7638, SHA-256' }),
    }),
    { description: 'The public keys with which the client may authenticate' },
  ),
  version: Type.Integer(),
  created_at: Instant(),
  updated_at: Instant(),
};
export const Client = Named('Client', client);
export const ClientWithSecret = Named('ClientWithSecret', {
  ...client,
  secret: Type.Optional(Type.String({ description: 'Shown in this answer and never again' })),
});

const Certifications = () =>
  Type.Array(Closed({ course: Text(200, 1), completed_on: Day(), expires_on: Type.Optional(Nullable(Day())) }), { maxItems: 50 });
const Roles = () => Codes(ROLES, { minItems: 1 });
const Languages = () => Type.Array(Language(), { maxItems: 50, uniqueItems: true });

export const NewCaseworker = Closed({
  staff_code: StaffCode(),
  roles: Roles(),
  languages: Type.Optional(Languages()),
  certifications: Type.Optional(Certifications()),
});

/** `disabled` is how others' additions start; nobody is put there later. */
export const CaseworkerPatch = Closed({
  roles: Type.Optional(Roles()),
  languages: Type.Optional(Languages()),
  certifications: Type.Optional(Certifications()),
  status: Type.Optional(Code(['active', 'inactive'])),
});

export const Caseworker = Named('Caseworker', {
  id: Id('cwk'),
  agency_id: Id('agy'),
  staff_code: Type.String(),
  roles: Type.Array(Code(ROLES)),
  languages: Type.Array(Type.String()),
  certifications: Type.Array(Closed({ course: Type.String(), completed_on: Day(), expires_on: Nullable(Day()) })),
  status: Code(CASEWORKER_STATUSES),
  version: Type.Integer(),
  created_at: Instant(),
  updated_at: Instant(),
});
