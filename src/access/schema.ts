import { Type } from 'typebox';
import { ROLES, SCOPES } from '../core/codes.ts';
import { Closed, Code, Codes, Day, Id, Instant, Language, Named, Nullable, StaffCode, Text } from '../platform/http/openapi.ts';

export const CLIENT_STATUSES = ['active', 'disabled', 'revoked'] as const;
export const CASEWORKER_STATUSES = ['active', 'inactive', 'disabled'] as const;

export const AgencyParams = Type.Object({ id: Id('agy') });
export const ClientParams = Type.Object({ id: Id('cli') });
export const CaseworkerParams = Type.Object({ id: Id('cwk') });

/** RFC 6749, 2.3.1 and 4.4.2. Other parameters are refused. */
export const TokenRequest = Closed({
  grant_type: Type.String({ maxLength: 200, description: '`client_credentials`' }),
  client_id: Type.Optional(Type.String({ maxLength: 200 })),
  client_secret: Type.Optional(Type.String({ maxLength: 200 })),
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

export const NewClient = Closed({
  scopes: Scopes(),
  description: Type.Optional(Nullable(Text(200))),
});

const client = {
  id: Id('cli'),
  agency_id: Id('agy'),
  description: Nullable(Type.String()),
  scopes: Type.Array(Code(SCOPES)),
  status: Code(CLIENT_STATUSES),
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
