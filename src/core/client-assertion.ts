/**
 * What a client's assertion must say so that it authenticates the client (RFC 7523, section 3, as draft-ietf-oauth-rfc7523bis
 * tightens it). Whose key signed it is looked at elsewhere. Pure.
 */

/** Two algorithms that are modern everywhere, and the one for which RSA keys in hardware are still in use. */
export const ASSERTION_ALGORITHMS = ['EdDSA', 'ES256', 'PS256'] as const;
export type AssertionAlgorithm = (typeof ASSERTION_ALGORITHMS)[number];

/** Why an assertion is refused: for the trail, never for the answer. */
export type AssertionFault =
  | 'assertion_malformed'
  | 'assertion_algorithm'
  | 'assertion_type'
  | 'assertion_subject'
  | 'assertion_audience'
  | 'assertion_expired'
  | 'assertion_too_long'
  | 'assertion_not_yet'
  | 'assertion_jti'
  | 'assertion_key'
  | 'assertion_signature'
  | 'assertion_replayed';

/** The contract's five minutes. */
export const LONGEST_ASSERTION_S = 300;
/** By how much the client's clock may differ from ours, either way. */
export const CLOCK_SKEW_S = 30;
const LONGEST_JTI = 255;

/** Explicit types as the newer advice has them; `JWT` and none are what most libraries still write. */
const TYPES = ['JWT', 'CLIENT-AUTHENTICATION+JWT', 'APPLICATION/CLIENT-AUTHENTICATION+JWT'];

export interface AssertionHeader {
  alg?: unknown;
  typ?: unknown;
  crit?: unknown;
}

/** What is wrong with a header, if anything. No extension is understood, so none may be critical (RFC 7515, 4.1.11). */
export function faultOfHeader({ alg, typ, crit }: AssertionHeader): AssertionFault | undefined {
  if (crit !== undefined) return 'assertion_malformed';
  if (!ASSERTION_ALGORITHMS.includes(alg as AssertionAlgorithm)) return 'assertion_algorithm';
  if (typ !== undefined && !(typeof typ === 'string' && TYPES.includes(typ.toUpperCase()))) return 'assertion_type';
  return undefined;
}

export interface AssertionClaims {
  iss?: unknown;
  sub?: unknown;
  aud?: unknown;
  exp?: unknown;
  iat?: unknown;
  nbf?: unknown;
  jti?: unknown;
}

/**
 * What is wrong with the claims, if anything.
 *
 * `aud` may be one of `audiences` or a list of nothing else: an assertion that another server takes too could be used here by
 * that server.
 * @param now_s seconds since 1970
 */
export function faultOfClaims(
  claims: AssertionClaims,
  { audiences, now_s }: { audiences: readonly string[]; now_s: number },
): AssertionFault | undefined {
  const { iss, sub, aud, exp, iat, nbf, jti } = claims;
  if (typeof iss !== 'string' || sub !== iss) return 'assertion_subject';
  const named: unknown[] = Array.isArray(aud) ? aud : [aud];
  if (named.length === 0 || !named.every(it => audiences.includes(it as string))) return 'assertion_audience';
  if (!isTime(exp) || exp + CLOCK_SKEW_S <= now_s) return 'assertion_expired';
  if (exp > now_s + LONGEST_ASSERTION_S + CLOCK_SKEW_S) return 'assertion_too_long';
  if ([iat, nbf].some(it => it !== undefined && !(isTime(it) && it <= now_s + CLOCK_SKEW_S))) return 'assertion_not_yet';
  if (typeof jti !== 'string' || jti.length === 0 || jti.length > LONGEST_JTI) return 'assertion_jti';
  return undefined;
}

/** NumericDate (RFC 7519): seconds, perhaps with a fraction. */
const isTime = (value: unknown): value is number => typeof value === 'number' && Number.isFinite(value);
