import { hash } from 'node:crypto';
import { compactVerify, decodeJwt, decodeProtectedHeader } from 'jose';
import { systemActor } from '../core/access.ts';
import {
  type AssertionClaims,
  type AssertionFault,
  type AssertionHeader,
  CLOCK_SKEW_S,
  faultOfClaims,
  faultOfHeader,
} from '../core/client-assertion.ts';
import { isId } from '../core/ids.ts';
import { transact } from '../platform/database.ts';
import type { Services } from '../services.ts';
import { type ClientKey, MOST_KEYS, publicKey } from './keys.ts';
import { findIdentity, type IdentityRow, insertAssertion, listKeys } from './store.ts';
import { issuerOf, tokenEndpointOf } from './tokens.ts';

/**
 * Client authentication by an assertion (`private_key_jwt`, RFC 7523): a JWT that the client signed with a key of its own, for
 * this server, for a few minutes, and that serves once. It costs little to verify, so whoever sends one waits for nobody.
 */
export interface Assertion {
  assertion: string;
  /** What the form says beside it; must be whom the assertion is of. */
  client_id?: string;
}

/** Whose login it was, as far as a client of that id exists, and why it was refused, if it was. */
export interface Authentication {
  client_id?: string;
  client?: IdentityRow;
  fault?: AssertionFault | 'no_credentials' | 'client_unknown' | 'client_not_active' | 'secret_wrong';
}

/** Looks at everything that can be wrong with `assertion`, and last of all uses it up: after that it is refused. */
export async function authenticateByAssertion(services: Services, { assertion, client_id }: Assertion): Promise<Authentication> {
  const { header, claims } = read(assertion) ?? {};
  if (!header || !claims) return { fault: 'assertion_malformed' };
  if (typeof claims.iss !== 'string' || !isId('cli', claims.iss)) return { fault: 'assertion_subject' };
  const [client, keys] = await Promise.all([
    findIdentity(services.db, claims.iss),
    transact(services, systemActor('access'), tx => listKeys(tx, [claims.iss as string])),
  ]);
  if (!client) return { fault: 'client_unknown' };
  const known = { client_id: claims.iss, client };

  const { config } = services;
  const now_s = services.now().getTime() / 1_000;
  const fault =
    (client_id === undefined || client_id === claims.iss ? undefined : 'assertion_subject') ??
    faultOfHeader(header) ??
    faultOfClaims(claims, { audiences: [issuerOf(config), tokenEndpointOf(config)], now_s }) ??
    (await faultOfSignature(assertion, header, keys)) ??
    (client.client_status === 'active' ? undefined : 'client_not_active') ??
    (await useUp(services, known.client_id, claims));
  return { ...known, ...(fault ? { fault } : {}) };
}

type Header = AssertionHeader & { kid?: unknown };

function read(assertion: string): { header: Header; claims: AssertionClaims } | undefined {
  try {
    return { header: decodeProtectedHeader(assertion), claims: decodeJwt(assertion) };
  } catch {
    return undefined;
  }
}

/** `kid` chooses the key; without it, each of the client's that is made for the algorithm may be the one. */
async function faultOfSignature(
  assertion: string,
  { alg, kid }: Header,
  keys: readonly ClientKey[],
): Promise<AssertionFault | undefined> {
  const candidates = keys.filter(key => key.alg === alg && (kid === undefined || key.kid === kid)).slice(0, MOST_KEYS);
  for (const { jwk, alg } of candidates) {
    const verified = await compactVerify(assertion, publicKey(jwk), { algorithms: [alg] }).catch(() => undefined);
    if (verified) return undefined;
  }
  return candidates.length === 0 ? 'assertion_key' : 'assertion_signature';
}

async function useUp(services: Services, client_id: string, { exp, jti }: AssertionClaims): Promise<AssertionFault | undefined> {
  const used = {
    client_id,
    jti_hash: hash('sha256', jti as string, 'buffer'),
    expires_at: new Date(((exp as number) + CLOCK_SKEW_S) * 1_000),
  };
  const is_first = await transact(services, systemActor('access'), tx => insertAssertion(tx, used));
  return is_first ? undefined : 'assertion_replayed';
}
