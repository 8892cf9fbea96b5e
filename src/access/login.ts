import type { RefusalCounter } from '../audit/counted.ts';
import { record } from '../audit/record.ts';
import { type AgencyActor, systemActor } from '../core/access.ts';
import type { Scope } from '../core/codes.ts';
import { isId } from '../core/ids.ts';
import { Problem } from '../core/problem.ts';
import { transact } from '../platform/database.ts';
import type { Services } from '../services.ts';
import { type Assertion, type Authentication, authenticateByAssertion } from './assertions.ts';
import { networkOf, type Penalties } from './penalties.ts';
import { type Secret, type SecretVerifier, tagOf } from './secrets.ts';
import { findIdentity, type IdentityRow, type KeptSecret, listSecrets } from './store.ts';
import { signToken, TOKEN_LIFETIME_S } from './tokens.ts';

interface TokenRequest {
  grant_type: string;
  client_id?: string;
  client_secret?: string;
  client_assertion_type?: string;
  client_assertion?: string;
  scope?: string;
}

type Credentials = Secret | Assertion;

const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';

/**
 * What the client authenticates with: one thing, from the header or from the form (RFC 6749, 2.3).
 * @returns undefined where there is nothing that could be read
 * @throws Problem `invalid_request` where there is more than one
 */
function credentialsOf(authorization: string | undefined, body: TokenRequest): Credentials | undefined {
  const { client_id, client_secret, client_assertion, client_assertion_type } = body;
  const has_assertion = client_assertion !== undefined || client_assertion_type !== undefined;
  if ([authorization !== undefined, client_secret !== undefined, has_assertion].filter(Boolean).length > 1) {
    throw new Problem('invalid_request', { detail: 'The client authenticates by one method alone.' });
  }
  if (has_assertion) {
    if (client_assertion === undefined || client_assertion_type !== ASSERTION_TYPE) return undefined;
    return { assertion: client_assertion, ...(client_id === undefined ? {} : { client_id }) };
  }
  if (authorization === undefined) {
    return client_id === undefined || client_secret === undefined ? undefined : { client_id, secret: client_secret };
  }
  const basic = basicCredentials(authorization);
  if (basic && client_id !== undefined && client_id !== basic.client_id) {
    throw new Problem('invalid_request', { detail: 'The header and the body name different clients.' });
  }
  return basic;
}

/** Id and secret are form-encoded before they are joined and encoded in base64. */
function basicCredentials(authorization: string): Secret | undefined {
  const encoded = /^Basic ([A-Za-z0-9+/]{1,2048}={0,2})$/i.exec(authorization)?.[1];
  const [, id, secret] = /^([^:]*):(.*)$/s.exec(Buffer.from(encoded ?? '', 'base64').toString()) ?? [];
  if (id === undefined || secret === undefined) return undefined;
  try {
    return { client_id: formDecoded(id), secret: formDecoded(secret) };
  } catch {
    return undefined;
  }
}

const formDecoded = (text: string): string => decodeURIComponent(text.replaceAll('+', ' '));

/** What the token endpoint keeps of those who log in. */
export interface Doorkeeper {
  refusals: RefusalCounter;
  penalties: Penalties;
  secrets: SecretVerifier;
}

/**
 * A token for the client that authenticates, with the scopes asked for, or with all of the client's.
 * @throws Problem `invalid_grant_type`, `invalid_request`, `invalid_client`, `invalid_scope`, `rate_limited` where too many log in
 *   from the address
 */
export async function issueToken(
  services: Services,
  doorkeeper: Doorkeeper,
  body: TokenRequest,
  { id, address, authorization }: { id: string; address: string; authorization: string | undefined },
): Promise<{ access_token: string; token_type: 'Bearer'; expires_in: number; scope: string }> {
  if (body.grant_type !== 'client_credentials') throw new Problem('invalid_grant_type');
  const { client_id, client, fault } = await authenticate(services, doorkeeper, credentialsOf(authorization, body), address);
  if (fault !== undefined || client_id === undefined || client === undefined) {
    // Whoever it was, it was not the client: the trail says it of the service, and to the audit body alone whose id it was.
    await doorkeeper.refusals.count(client_id ?? networkOf(address), {
      actor: systemActor('access'),
      action: 'token.issue',
      code: 'invalid_client',
      ...(fault ? { reason: fault } : {}),
      request_id: id,
    });
    throw new Problem('invalid_client');
  }
  const scopes = requestedScopes(body.scope, client.scopes);

  const actor: AgencyActor = {
    type: 'agency',
    agency_id: client.agency_id,
    agency_kind: client.agency_kind,
    jurisdictions: client.jurisdictions,
    competent_authority: client.competent_authority,
    first_responder: client.first_responder,
    suspended: client.agency_status === 'suspended',
    client_id,
    scopes: new Set(client.scopes),
    caseworker: null,
    request: { id },
  };
  await transact(services, actor, tx => record(services, tx, actor, { action: 'token.issue', resource_type: 'token' }));
  return {
    access_token: await signToken(services, { client_id, scopes }),
    token_type: 'Bearer',
    expires_in: TOKEN_LIFETIME_S,
    scope: scopes.join(' '),
  };
}

async function authenticate(
  services: Services,
  doorkeeper: Doorkeeper,
  credentials: Credentials | undefined,
  address: string,
): Promise<Authentication> {
  if (!credentials) return { fault: 'no_credentials' };
  if ('secret' in credentials) return authenticateBySecret(services, doorkeeper, credentials, address);
  return doorkeeper.penalties.inTurn(address, 'look_up', () => authenticateByAssertion(services, credentials));
}

/**
 * Who renews a token never waits. Whoever else logs in waits for the address's turn, to be looked up, and again to have a secret
 * verified that may be the right one.
 */
async function authenticateBySecret(
  services: Services,
  { penalties, secrets }: Doorkeeper,
  login: Secret,
  address: string,
): Promise<Authentication> {
  const { client_id } = login;
  const remembered = secrets.remembered(login);
  if (remembered !== undefined) {
    const { client, kept } = await findLogin(services, client_id);
    if (client && kept.some(({ hash }) => hash === remembered)) return authenticationOf(client_id, client, true);
  }
  const { client, kept } = await penalties.inTurn(address, 'look_up', () => findLogin(services, client_id));
  if (!client) return { fault: 'client_unknown' };
  const tag = tagOf(login.secret);
  const hashes = kept.filter(it => it.tag === null || it.tag.equals(tag)).map(({ hash }) => hash);
  const knows = hashes.length > 0 && (await penalties.inTurn(address, 'verify', () => secrets.verify(login, hashes)));
  return authenticationOf(client_id, client, knows);
}

function authenticationOf(client_id: string, client: IdentityRow, knows: boolean): Authentication {
  const fault = !knows ? 'secret_wrong' : client.client_status !== 'active' ? 'client_not_active' : undefined;
  return { client_id, client, ...(fault ? { fault } : {}) };
}

async function findLogin(services: Services, client_id: string): Promise<{ client?: IdentityRow; kept: KeptSecret[] }> {
  if (!isId('cli', client_id)) return { kept: [] };
  const [client, kept] = await Promise.all([
    findIdentity(services.db, client_id),
    transact(services, systemActor('access'), tx => listSecrets(tx, client_id, services.now())),
  ]);
  return { client, kept };
}

function requestedScopes(asked: string | undefined, held: readonly Scope[]): readonly Scope[] {
  if (asked === undefined) return held;
  const scopes = [...new Set(asked.split(' '))] as Scope[];
  if (!scopes.every(scope => held.includes(scope))) throw new Problem('invalid_scope');
  return scopes;
}
