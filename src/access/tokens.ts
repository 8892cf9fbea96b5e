import { createPublicKey, hash, randomUUID } from 'node:crypto';
import { exportJWK, type JWTPayload, jwtVerify, SignJWT } from 'jose';
import { Problem } from '../core/problem.ts';
import type { Now } from '../platform/clock.ts';
import type { Config } from '../platform/config.ts';
import type { Vault } from '../platform/vault.ts';

/**
 * Access tokens: JWTs of the profile RFC 9068 (`at+jwt`), signed with Ed25519 by the deployment's own key. A token says which
 * client it was issued to and with which scopes; whether that still holds is looked at on every request.
 */

export const TOKEN_LIFETIME_S = 300;

/** RFC 8037 */
const ALGORITHM = 'EdDSA';
const TYPE = 'at+jwt';
const MOST_VERIFIED = 10_000;

export interface TokenContent {
  client_id: string;
  scopes: readonly string[];
}

interface Issuing {
  vault: Vault;
  now: Now;
  config: Pick<Config, 'public_url' | 'host' | 'port'>;
}

/** Who issues tokens, and whom they are for: where the service is reached. Never what a request says of it. */
export const issuerOf = ({ public_url, host, port }: Issuing['config']): string =>
  public_url ?? `http://${host.includes(':') ? `[${host}]` : host}:${port}`;

/** Where tokens are issued. */
export const tokenEndpointOf = (config: Issuing['config']): string => `${issuerOf(config)}/oauth/token`;

/** A token for `client_id`, good for {@link TOKEN_LIFETIME_S} from now. */
export function signToken({ vault, now, config }: Issuing, { client_id, scopes }: TokenContent): Promise<string> {
  const issuer = issuerOf(config);
  const issued_at = Math.floor(now().getTime() / 1_000);
  return new SignJWT({ client_id, scope: scopes.join(' ') })
    .setProtectedHeader({ alg: ALGORITHM, typ: TYPE, kid: vault.token_key_id })
    .setIssuer(issuer)
    .setAudience(issuer)
    .setSubject(client_id)
    .setIssuedAt(issued_at)
    .setExpirationTime(issued_at + TOKEN_LIFETIME_S)
    .setJti(randomUUID())
    .sign(vault.token_key);
}

/**
 * What a token says, once its signature, type, issuer, audience and time were checked. A signature is checked once per token:
 * what was verified is remembered by the token's hash, never by the token.
 */
export function createTokenVerifier({ vault, now, config }: Issuing): (token: string) => Promise<TokenContent> {
  const public_key = createPublicKey(vault.token_key);
  // Without a public address each process names its own, and what it signed for itself is good at the others: they have one key.
  const issued_by = config.public_url === null ? {} : { issuer: config.public_url, audience: config.public_url };
  const verified = new Map<string, TokenContent & { expires_at: number }>();

  return async token => {
    const at = now();
    const digest = hash('sha256', token, 'base64');
    let known = verified.get(digest);
    if (!known) {
      const { payload } = await jwtVerify(token, public_key, {
        algorithms: [ALGORITHM],
        typ: TYPE,
        ...issued_by,
        requiredClaims: ['iss', 'exp', 'jti', 'client_id', 'scope'],
        currentDate: at,
      }).catch(() => {
        throw new Problem('unauthenticated');
      });
      if (payload.aud !== payload.iss) throw new Problem('unauthenticated');
      known = contentOf(payload);
      if (verified.size >= MOST_VERIFIED) verified.delete(verified.keys().next().value!);
      verified.set(digest, known);
    }
    if (known.expires_at <= at.getTime()) {
      verified.delete(digest);
      throw new Problem('unauthenticated');
    }
    return known;
  };
}

const contentOf = ({ client_id, scope, exp }: JWTPayload): TokenContent & { expires_at: number } => ({
  client_id: String(client_id),
  scopes: String(scope).split(' '),
  expires_at: exp! * 1_000,
});

/** The public half of the signing key as a JWK set (RFC 7517). */
export async function signingKeys(vault: Vault): Promise<{ keys: object[] }> {
  const jwk = await exportJWK(createPublicKey(vault.token_key));
  return { keys: [{ ...jwk, kid: vault.token_key_id, use: 'sig', alg: ALGORITHM }] };
}
