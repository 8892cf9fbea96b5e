import type { RefusalCounter } from '../audit/counted.ts';
import { record } from '../audit/record.ts';
import { type AgencyActor, systemActor } from '../core/access.ts';
import type { Scope } from '../core/codes.ts';
import { isId } from '../core/ids.ts';
import { Problem } from '../core/problem.ts';
import { transact } from '../platform/database.ts';
import type { Services } from '../services.ts';
import { networkOf, type Penalties } from './penalties.ts';
import type { SecretVerifier } from './secrets.ts';
import { findIdentity, type IdentityRow, listSecretHashes } from './store.ts';
import { signToken, TOKEN_LIFETIME_S } from './tokens.ts';

export interface Login {
  client_id: string;
  secret: string;
}

interface TokenRequest {
  grant_type: string;
  client_id?: string;
  client_secret?: string;
  scope?: string;
}

/**
 * The client's credentials, from the header or from the form but not from both (RFC 6749, 2.3.1).
 * @throws Problem `invalid_client` where there are none, `invalid_request` where there are two
 */
export function credentialsOf(authorization: string | undefined, body: TokenRequest): Login {
  if (authorization === undefined) {
    if (body.client_id === undefined || body.client_secret === undefined) throw new Problem('invalid_client');
    return { client_id: body.client_id, secret: body.client_secret };
  }
  const basic = basicCredentials(authorization);
  if (body.client_secret !== undefined || (body.client_id !== undefined && body.client_id !== basic.client_id)) {
    throw new Problem('invalid_request', { detail: 'The client authenticates in the header or in the body, not in both.' });
  }
  return basic;
}

/** Id and secret are form-encoded before they are joined and encoded in base64. */
function basicCredentials(authorization: string): Login {
  const encoded = /^Basic ([A-Za-z0-9+/]{1,2048}={0,2})$/i.exec(authorization)?.[1];
  const [, id, secret] = /^([^:]*):(.*)$/s.exec(Buffer.from(encoded ?? '', 'base64').toString()) ?? [];
  if (id === undefined || secret === undefined) throw new Problem('invalid_client');
  try {
    return { client_id: formDecoded(id), secret: formDecoded(secret) };
  } catch {
    throw new Problem('invalid_client');
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
 * A token for the client that knows its secret, with the scopes asked for, or with all of the client's.
 * @throws Problem `invalid_grant_type`, `invalid_client`, `invalid_scope`, `rate_limited` where too many log in from the address
 */
export async function issueToken(
  services: Services,
  doorkeeper: Doorkeeper,
  login: Login,
  { grant_type, scope }: TokenRequest,
  request: { id: string; address: string },
): Promise<{ access_token: string; token_type: 'Bearer'; expires_in: number; scope: string }> {
  if (grant_type !== 'client_credentials') throw new Problem('invalid_grant_type');
  const { client_id } = login;
  const { client, knows } = await authenticate(services, doorkeeper, login, request.address);
  if (!knows || client?.client_status !== 'active') {
    // Whoever it was, it was not the client: the trail says it of the service, and to the audit body alone whose id it was.
    await doorkeeper.refusals.count(client ? client_id : networkOf(request.address), {
      actor: systemActor('access'),
      action: 'token.issue',
      code: 'invalid_client',
      request_id: request.id,
    });
    throw new Problem('invalid_client');
  }
  const scopes = requestedScopes(scope, client.scopes);

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
    request: { id: request.id },
  };
  await transact(services, actor, tx => record(services, tx, actor, { action: 'token.issue', resource_type: 'token' }));
  return {
    access_token: await signToken(services, { client_id, scopes }),
    token_type: 'Bearer',
    expires_in: TOKEN_LIFETIME_S,
    scope: scopes.join(' '),
  };
}

/** Who renews a token never waits. Whoever else logs in waits for the address's turn, before anything is looked up or hashed. */
async function authenticate(
  services: Services,
  { penalties, secrets }: Doorkeeper,
  login: Login,
  address: string,
): Promise<{ client?: IdentityRow; knows: boolean }> {
  const remembered = secrets.remembered(login);
  if (remembered !== undefined) {
    const { client, hashes } = await findLogin(services, login.client_id);
    if (hashes.includes(remembered)) return { client, knows: true };
  }
  return penalties.inTurn(address, async () => {
    const { client, hashes } = await findLogin(services, login.client_id);
    return { client, knows: await secrets.verify(login, hashes) };
  });
}

async function findLogin(services: Services, client_id: string): Promise<{ client?: IdentityRow; hashes: string[] }> {
  if (!isId('cli', client_id)) return { hashes: [] };
  const [client, hashes] = await Promise.all([
    findIdentity(services.db, client_id),
    transact(services, systemActor('access'), tx => listSecretHashes(tx, client_id, services.now())),
  ]);
  return { client, hashes };
}

function requestedScopes(asked: string | undefined, held: readonly Scope[]): readonly Scope[] {
  if (asked === undefined) return held;
  const scopes = [...new Set(asked.split(' '))] as Scope[];
  if (!scopes.every(scope => held.includes(scope))) throw new Problem('invalid_scope');
  return scopes;
}
