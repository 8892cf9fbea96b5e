/** Why a delivery got no answer: a closed list, which agencies read in the log of their deliveries. */

/** Each code with what it means, as the published document says it. */
export const DELIVERY_FAILURES = {
  address_refused: 'the URL, or an address that its name resolves to, is none where webhooks may go',
  dns_failed: 'the name has no address',
  connect_failed: 'no connection: refused, or unreachable',
  proxy_failed: "the service's own way out failed, before the receiver was reached",
  certificate_expired: "the receiver's certificate, or one above it, is over",
  certificate_not_yet_valid: "the receiver's certificate, or one above it, has not begun",
  certificate_untrusted: "the receiver's certificate does not lead to an authority that is trusted here",
  certificate_wrong_host: "the receiver's certificate is for other names",
  client_certificate_refused: 'the receiver wants a client certificate, or another one than it got',
  tls_failed: 'no TLS for another reason, as where the receiver speaks nothing newer than TLS 1.1',
  timeout: 'the answer was not complete in time',
  reset: 'the connection ended before an answer',
  invalid_answer: 'what came is no HTTP answer, or one with too large a head',
  other: 'none of these',
} as const;
export type DeliveryFailure = keyof typeof DELIVERY_FAILURES;

/** Why no answer came. Says nothing that the receiver sent: no cause, no message of a lower layer. */
export class DeliveryError extends Error {
  override readonly name = 'DeliveryError';
  readonly reason: DeliveryFailure;

  constructor(reason: DeliveryFailure) {
    super(reason);
    this.reason = reason;
  }
}

/** By the code of a lower layer: Node's own, OpenSSL's, undici's. The first that fits counts. */
const CODES: readonly [pattern: RegExp, failure: DeliveryFailure][] = [
  [/^(ETIMEDOUT|UND_ERR_(CONNECT|HEADERS|BODY)_TIMEOUT)$/, 'timeout'],
  [/^(ECONNREFUSED|EHOSTUNREACH|ENETUNREACH|EHOSTDOWN|ENETDOWN|EADDRNOTAVAIL|EACCES|EPERM)$/, 'connect_failed'],
  [/^(ECONNRESET|ECONNABORTED|EPIPE|ERR_STREAM_\w+|UND_ERR_(SOCKET|ABORTED|DESTROYED|CLOSED))$/, 'reset'],
  [/^CERT_HAS_EXPIRED$/, 'certificate_expired'],
  [/^CERT_NOT_YET_VALID$/, 'certificate_not_yet_valid'],
  [/^(ERR_TLS_CERT_ALTNAME_\w+|HOSTNAME_MISMATCH)$/, 'certificate_wrong_host'],
  [
    /^(CERT_|CRL_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|INVALID_(CA|PURPOSE)|PATH_LENGTH|ERROR_IN_C)|^ERR_SSL_(CERTIFICATE_VERIFY_FAILED|EE_KEY_TOO_SMALL|CA_KEY_TOO_SMALL|CA_MD_TOO_WEAK)$/,
    'certificate_untrusted',
  ],
  // Alerts that a receiver sends about the certificate that it got, or did not get.
  [
    /^ERR_SSL_.*ALERT_(BAD_CERTIFICATE|UNSUPPORTED_CERTIFICATE|CERTIFICATE_\w+|UNKNOWN_CA|ACCESS_DENIED)/,
    'client_certificate_refused',
  ],
  [/^(ERR_TLS|ERR_SSL|EPROTO)/, 'tls_failed'],
  [/^UND_ERR_(HEADERS_OVERFLOW|RES_CONTENT_LENGTH_MISMATCH)$/, 'invalid_answer'],
];

/** What went wrong, of whatever was thrown on the way to an answer. */
export function failureOf(error: unknown): DeliveryFailure {
  if (error instanceof DeliveryError) return error.reason;
  const { code, name, message } = Object(error) as { code?: unknown; name?: unknown; message?: unknown };
  // undici gives neither a code of its own.
  if (name === 'HTTPParserError' || message === 'bad response' || message === 'bad upgrade') return 'invalid_answer';
  return CODES.find(([pattern]) => pattern.test(String(code)))?.[1] ?? 'other';
}
