import { setTimeout as pause } from 'node:timers/promises';
import formbody from '@fastify/formbody';
import type { App } from '../api.ts';
import type { RefusalCounter } from '../audit/counted.ts';
import { ASSERTION_ALGORITHMS } from '../core/client-assertion.ts';
import { SCOPES } from '../core/codes.ts';
import { Problem } from '../core/problem.ts';
import { answer } from '../platform/http/answer.ts';
import { operation } from '../platform/http/openapi.ts';
import { PageQuery, pageOf } from '../platform/http/paging.ts';
import type { Services } from '../services.ts';
import {
  changeCaseworker,
  createCaseworker,
  createClient,
  enableClient,
  getCaseworker,
  getClient,
  listCaseworkers,
  listClients,
  revokeClient,
  rotateClientSecret,
} from './commands.ts';
import { type Doorkeeper, issueToken } from './login.ts';
import { createPenalties } from './penalties.ts';
import {
  AgencyParams,
  Caseworker,
  CaseworkerParams,
  CaseworkerPatch,
  Client,
  ClientParams,
  ClientWithSecret,
  NewCaseworker,
  NewClient,
  ServerMetadata,
  SetClientKeys,
  SigningKeys,
  TokenAnswer,
  TokenRequest,
} from './schema.ts';
import { createSecretVerifier } from './secrets.ts';
import { setClientKeys } from './set-keys.ts';
import { issuerOf, signingKeys, tokenEndpointOf } from './tokens.ts';

const FORM = 'application/x-www-form-urlencoded';
const tag = 'Access';

export function accessRoutes(app: App, services: Services, refusals: RefusalCounter): void {
  void app.register(async scope => tokenRoutes(scope as App, services, refusals));
  clientRoutes(app, services);
  caseworkerRoutes(app, services);
}

/** In a scope of its own: forms are read here and nowhere else, and JSON is not. */
async function tokenRoutes(app: App, services: Services, refusals: RefusalCounter): Promise<void> {
  app.removeAllContentTypeParsers();
  await app.register(formbody);
  const penalties = createPenalties(services.now);
  const doorkeeper: Doorkeeper = { refusals, penalties, secrets: createSecretVerifier(services.now) };

  const issue = operation({
    id: 'issueToken',
    tag,
    summary: 'Get an access token',
    description:
      'The client credentials grant of RFC 6749, by `client_secret_basic`, `client_secret_post` or `private_key_jwt`, and by one of them alone. The token is a JWT (RFC 9068), good for `expires_in` seconds. An assertion (RFC 7523) is signed by EdDSA, ES256 or PS256; `iss` and `sub` are the client id, `aud` is the issuer or the token endpoint and nobody else, `exp` lies at most five minutes ahead, and `jti` serves once: make a new one for every request.',
    action: 'token.issue',
    problems: ['invalid_client', 'invalid_grant_type', 'invalid_scope', 'rate_limited'],
    public: true,
    body: TokenRequest,
    consumes: [FORM],
    answer: TokenAnswer,
  });
  app.post('/oauth/token', issue, async request => {
    const started_at = performance.now();
    try {
      const { id, ip: address, headers } = request;
      return await issueToken(services, doorkeeper, request.body, { id, address, authorization: headers.authorization });
    } catch (error) {
      if (error instanceof Problem && error.code === 'invalid_client') {
        await pause(Math.max(0, penalties.failed(request.ip) - (performance.now() - started_at)));
      }
      throw error;
    }
  });

  const metadata = operation({
    id: 'getServerMetadata',
    tag,
    summary: 'How tokens are issued here (RFC 8414)',
    action: 'server_metadata.read',
    public: true,
    answer: ServerMetadata,
  });
  app.get('/.well-known/oauth-authorization-server', metadata, () => {
    const issuer = issuerOf(services.config);
    return {
      issuer,
      token_endpoint: tokenEndpointOf(services.config),
      jwks_uri: `${issuer}/.well-known/jwks.json`,
      service_documentation: `${issuer}/docs`,
      scopes_supported: SCOPES,
      response_types_supported: [],
      grant_types_supported: ['client_credentials'],
      token_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post', 'private_key_jwt'],
      token_endpoint_auth_signing_alg_values_supported: [...ASSERTION_ALGORITHMS],
    };
  });

  const keys = operation({
    id: 'getSigningKeys',
    tag,
    summary: 'The public keys that tokens are signed with (RFC 7517)',
    action: 'signing_keys.read',
    public: true,
    answer: SigningKeys,
  });
  app.get('/.well-known/jwks.json', keys, () => signingKeys(services.vault));
}

function clientRoutes(app: App, services: Services): void {
  const create = operation({
    id: 'createClient',
    tag,
    summary: 'Make a client of an agency',
    description:
      'The answer alone holds the secret. With `jwks`, public keys for `private_key_jwt`, the client has no secret unless one is asked for by `rotate-secret`. What an administrator makes for another agency starts `disabled`.',
    action: 'client.create',
    problems: ['secret_already_shown', 'unprocessable'],
    scopes: ['directory', 'admin'],
    caseworker: 'unless_admin',
    params: AgencyParams,
    body: NewClient,
    status: 201,
    answer: ClientWithSecret,
  });
  app.post('/v1/agencies/:id/clients', create, async (request, reply) => {
    const outcome = await createClient(services, request.actor, request.params.id, request.body);
    return answer(reply, outcome, { location: `/v1/clients/${outcome.view.id}` });
  });

  const list = operation({
    id: 'listClients',
    tag,
    summary: 'The clients of an agency, newest first',
    action: 'client.list',
    recorded: true,
    scopes: ['directory', 'directory.read', 'admin'],
    caseworker: 'unless_admin',
    params: AgencyParams,
    query: PageQuery,
    answer: pageOf(Client),
  });
  app.get('/v1/agencies/:id/clients', list, async (request, reply) =>
    answer(reply, await listClients(services, request.actor, request.params.id, request.query)),
  );

  const get = operation({
    id: 'getClient',
    tag,
    summary: 'One client',
    action: 'client.read',
    recorded: true,
    scopes: ['directory', 'directory.read', 'admin'],
    caseworker: 'unless_admin',
    params: ClientParams,
    answer: Client,
  });
  app.get('/v1/clients/:id', get, async (request, reply) =>
    answer(reply, await getClient(services, request.actor, request.params.id)),
  );

  const rotate = operation({
    id: 'rotateClientSecret',
    tag,
    summary: 'Give a client a new secret',
    description: 'The answer alone holds it. The secret in use works for 24 hours more.',
    action: 'client.rotate_secret',
    problems: ['secret_already_shown', 'wrong_state'],
    scopes: ['directory', 'admin'],
    caseworker: 'unless_admin',
    params: ClientParams,
    answer: ClientWithSecret,
  });
  app.post('/v1/clients/:id/rotate-secret', rotate, async (request, reply) =>
    answer(reply, await rotateClientSecret(services, request.actor, request.params.id)),
  );

  const set_keys = operation({
    id: 'setClientKeys',
    tag,
    summary: 'Give a client its public keys, in place of those that it has',
    description:
      'A JWK set (RFC 7517) of at most five keys for `private_key_jwt`. To change a key without a gap, register the new one beside the old one first. The first keys end a secret after 24 hours; a client with keys has a secret again where one is asked for by `rotate-secret`. `If-Match` is required.',
    action: 'client.set_keys',
    problems: ['unprocessable', 'wrong_state'],
    scopes: ['directory', 'admin'],
    caseworker: 'unless_admin',
    params: ClientParams,
    body: SetClientKeys,
    answer: Client,
  });
  app.put('/v1/clients/:id/keys', set_keys, async (request, reply) =>
    answer(reply, await setClientKeys(services, request.actor, request.params.id, request.body)),
  );

  const revoke = operation({
    id: 'revokeClient',
    tag,
    summary: 'Revoke a client for ever',
    description: 'Takes effect on its next request.',
    action: 'client.revoke',
    problems: ['unprocessable', 'wrong_state'],
    scopes: ['directory', 'admin'],
    caseworker: 'unless_admin',
    params: ClientParams,
    answer: Client,
  });
  app.post('/v1/clients/:id/revoke', revoke, async (request, reply) =>
    answer(reply, await revokeClient(services, request.actor, request.params.id)),
  );

  const enable = operation({
    id: 'enableClient',
    tag,
    summary: 'Let a client that an administrator made act for the agency',
    action: 'client.enable',
    problems: ['wrong_state'],
    scopes: ['directory'],
    caseworker: true,
    params: ClientParams,
    answer: Client,
  });
  app.post('/v1/clients/:id/enable', enable, async (request, reply) =>
    answer(reply, await enableClient(services, request.actor, request.params.id)),
  );
}

function caseworkerRoutes(app: App, services: Services): void {
  const create = operation({
    id: 'createCaseworker',
    tag,
    summary: 'Add a caseworker to an agency',
    description: 'Whom an administrator adds to another agency starts `disabled`.',
    action: 'caseworker.create',
    problems: ['already_exists'],
    scopes: ['directory', 'admin'],
    caseworker: 'unless_admin',
    params: AgencyParams,
    body: NewCaseworker,
    status: 201,
    answer: Caseworker,
  });
  app.post('/v1/agencies/:id/caseworkers', create, async (request, reply) => {
    const outcome = await createCaseworker(services, request.actor, request.params.id, request.body);
    return answer(reply, outcome, { location: `/v1/caseworkers/${outcome.view.id}` });
  });

  const list = operation({
    id: 'listCaseworkers',
    tag,
    summary: 'The caseworkers of an agency, newest first',
    action: 'caseworker.list',
    recorded: true,
    scopes: ['directory', 'directory.read', 'admin'],
    caseworker: 'unless_admin',
    params: AgencyParams,
    query: PageQuery,
    answer: pageOf(Caseworker),
  });
  app.get('/v1/agencies/:id/caseworkers', list, async (request, reply) =>
    answer(reply, await listCaseworkers(services, request.actor, request.params.id, request.query)),
  );

  const get = operation({
    id: 'getCaseworker',
    tag,
    summary: 'One caseworker',
    action: 'caseworker.read',
    recorded: true,
    scopes: ['directory', 'directory.read', 'admin'],
    caseworker: 'unless_admin',
    params: CaseworkerParams,
    answer: Caseworker,
  });
  app.get('/v1/caseworkers/:id', get, async (request, reply) =>
    answer(reply, await getCaseworker(services, request.actor, request.params.id)),
  );

  const change = operation({
    id: 'changeCaseworker',
    tag,
    summary: 'Change, enable or deactivate a caseworker',
    description: 'Merge patch (RFC 7396) by a supervisor of the agency.',
    action: 'caseworker.change',
    problems: ['unprocessable'],
    scopes: ['directory'],
    caseworker: true,
    params: CaseworkerParams,
    body: CaseworkerPatch,
    consumes: ['application/json', 'application/merge-patch+json'],
    answer: Caseworker,
  });
  app.patch('/v1/caseworkers/:id', change, async (request, reply) =>
    answer(reply, await changeCaseworker(services, request.actor, request.params.id, request.body)),
  );
}
