import { createPublicKey, type KeyObject } from 'node:crypto';
import { calculateJwkThumbprint, type JWK } from 'jose';
import type { AssertionAlgorithm } from '../core/client-assertion.ts';
import { type Fault, Problem } from '../core/problem.ts';

/**
 * Public keys of clients (RFC 7517). Each belongs to one algorithm, by its type alone, so that nobody who presents an assertion
 * chooses how it is verified; only what makes the public key is kept.
 */
export interface ClientKey {
  /** The client's name for it; its thumbprint where it has none. */
  kid: string;
  alg: AssertionAlgorithm;
  thumbprint: string;
  jwk: JWK;
}

/** A key as the schema lets it through. */
export interface GivenKey {
  kty: 'OKP' | 'EC' | 'RSA';
  kid?: string;
  alg?: AssertionAlgorithm;
  [member: string]: unknown;
}

export const MOST_KEYS = 5;
const FEWEST_RSA_BITS = 2_048;

/** What makes a public key of the type, as the schema names it; the curve is the only one that we know. */
const TYPES = {
  OKP: { alg: 'EdDSA', crv: 'Ed25519', members: ['crv', 'x'] },
  EC: { alg: 'ES256', crv: 'P-256', members: ['crv', 'x', 'y'] },
  RSA: { alg: 'PS256', crv: undefined, members: ['n', 'e'] },
} as const satisfies Record<GivenKey['kty'], { alg: AssertionAlgorithm; crv: string | undefined; members: readonly string[] }>;

const PUBLIC_MEMBERS = ['crv', 'x', 'y', 'n', 'e'];
export const PRIVATE_MEMBERS = ['d', 'p', 'q', 'dp', 'dq', 'qi'] as const;

/**
 * The keys that a client is to have.
 * @param pointer where the list stands in the body
 * @throws Problem `unprocessable` pointing at each member that is private, missing, or wrong for the type of key
 */
export async function readKeys(given: readonly GivenKey[], pointer: string): Promise<ClientKey[]> {
  const faults: Fault[] = [];
  const keys: ClientKey[] = [];
  for (const [i, it] of given.entries()) {
    const at = `${pointer}/${i}`;
    const found = faultsOf(it, at);
    const key = found.length > 0 ? undefined : await keyOf(it).catch(() => undefined);
    if (found.length === 0 && !key) found.push({ pointer: at, detail: 'is not a public key of its type' });
    if (key?.bits !== undefined && key.bits < FEWEST_RSA_BITS)
      found.push({ pointer: `${at}/n`, detail: `has fewer than ${FEWEST_RSA_BITS} bits` });
    if (keys.some(other => other.thumbprint === key?.thumbprint)) found.push({ pointer: at, detail: 'is there twice' });
    if (keys.some(other => other.kid === key?.kid)) found.push({ pointer: `${at}/kid`, detail: 'names another key already' });
    faults.push(...found);
    if (key && found.length === 0) keys.push({ kid: key.kid, alg: key.alg, thumbprint: key.thumbprint, jwk: key.jwk });
  }
  if (faults.length > 0) throw new Problem('unprocessable', { detail: 'A key cannot be registered.', errors: faults });
  return keys;
}

function faultsOf(key: GivenKey, at: string): Fault[] {
  const { alg, crv, members } = TYPES[key.kty];
  const faults: Fault[] = [];
  const add = (member: string, detail: string) => faults.push({ pointer: `${at}/${member}`, detail });
  for (const member of PRIVATE_MEMBERS) {
    if (member in key) add(member, 'is private: make a new pair, keep its private half, and register the public one');
  }
  for (const member of PUBLIC_MEMBERS) {
    const belongs = (members as readonly string[]).includes(member);
    if (belongs && !(member in key)) add(member, 'is missing');
    if (!belongs && member in key) add(member, 'does not belong to a key of this type');
  }
  if (crv !== undefined && 'crv' in key && key.crv !== crv) add('crv', `must be ${crv}`);
  if (key.alg !== undefined && key.alg !== alg) add('alg', `must be ${alg}`);
  return faults;
}

/** @throws Error where the numbers make no key, or no point of the curve */
async function keyOf({ kty, kid, ...given }: GivenKey): Promise<ClientKey & { bits: number | undefined }> {
  const { alg, members } = TYPES[kty];
  const numbers = Object.fromEntries(members.map(member => [member, given[member]]));
  const key = publicKey({ kty, ...numbers } as JWK);
  // As it is written here, so that one key has one thumbprint however it was written.
  const jwk = key.export({ format: 'jwk' }) as JWK;
  const thumbprint = await calculateJwkThumbprint(jwk);
  return { kid: kid ?? thumbprint, alg, thumbprint, jwk, bits: key.asymmetricKeyDetails?.modulusLength };
}

export const publicKey = (jwk: JWK): KeyObject => createPublicKey({ key: jwk, format: 'jwk' });

/** What the trail says of them. */
export const thumbprintsOf = (keys: readonly ClientKey[]): { thumbprints?: string[] } =>
  keys.length > 0 ? { thumbprints: keys.map(({ thumbprint }) => thumbprint) } : {};
