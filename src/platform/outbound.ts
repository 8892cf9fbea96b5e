/**
 * Outbound safety ("Events and notifications"): what a receiver's URL may be, and a POST that cannot be led anywhere else.
 * The address that a socket connects to was checked in the very lookup that handed it out, so a name that resolves to one
 * address at registration and to another at send gains nothing. A URL is checked again at every send: address literals are
 * never looked up. No redirect is followed, no proxy used, and nothing of an answer is kept but its status and `Retry-After`.
 */

import { Resolver } from 'node:dns/promises';
import { isIP, type LookupFunction } from 'node:net';
import ipaddr from 'ipaddr.js';
import { Agent } from 'undici';

export interface OutboundPolicy {
  /** In production no loopback address is reachable, and so no `http:`. */
  production: boolean;
  /** Ports allowed beside 443. */
  ports: readonly number[];
  /** Connections open at once to one origin; further posts wait, within their timeout. 16 by default. */
  connections?: number;
  /** All addresses of a name; DNS by default. Not asked about address literals and `localhost`. */
  lookup?: (hostname: string) => Promise<readonly string[]>;
}

/** All that a delivery keeps of a failure without an answer. */
export const DELIVERY_FAILURES = [
  'address_refused',
  'dns_failed',
  'connect_failed',
  'tls_failed',
  'timeout',
  'reset',
  'other',
] as const;
export type DeliveryFailure = (typeof DELIVERY_FAILURES)[number];

/** Why no answer came. Says nothing that the receiver sent: no cause, no message of a lower layer. */
export class DeliveryError extends Error {
  override readonly name = 'DeliveryError';
  readonly reason: DeliveryFailure;

  constructor(reason: DeliveryFailure) {
    super(reason);
    this.reason = reason;
  }
}

export interface Post {
  headers: Record<string, string>;
  body: string;
  /** For everything, from the lookup of the name to the end of the answer's body; 15,000 by default. */
  timeout_ms?: number;
}

export interface Answer {
  status: number;
  retry_after: string | null;
  duration_ms: number;
}

export interface Outbound {
  /**
   * One POST. Any status is an answer, redirects too, and also where its body breaks off.
   * @throws DeliveryError where there was none
   */
  post(url: string, post: Post): Promise<Answer>;
  /** Drops every connection; a post still under way fails. */
  close(): Promise<void>;
}

const DEFAULT_TIMEOUT_MS = 15_000;
const ANSWER_LIMIT = 64 * 1024;

/** Trace context tells a receiver how the service is built and which requests belong together. */
const NEVER_SENT = ['traceparent', 'tracestate', 'baggage'];

/** Names that mean this machine or this network wherever they are asked (RFC 6762, 8375; ICANN's `internal`). */
const LOCAL_NAME = /(^|\.)(localdomain|local|internal|home\.arpa)$/;
const PUBLIC_NAME = /^(?=.{4,253}$)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z0-9-]{2,63}$/;

/**
 * Whether an address is unicast and global, by the IANA special-purpose registries. Whatever is not known to be so is not:
 * IPv6 outside 2000::/3, every transition range (mapped, NAT64, 6to4, Teredo), scoped addresses, anything that is no address.
 */
export function isPublicAddress(ip: string): boolean {
  if (isIP(ip) === 0 || ip.includes('%')) return false;
  const address = ipaddr.parse(ip);
  return address.range() === 'unicast' && (address.kind() === 'ipv4' || (address.toByteArray()[0]! & 0xe0) === 0x20);
}

const isLoopbackAddress = (ip: string): boolean => isIP(ip) !== 0 && ipaddr.parse(ip).range() === 'loopback';

const isLoopbackHost = (host: string): boolean => host === 'localhost' || host.endsWith('.localhost') || isLoopbackAddress(host);

/**
 * Why webhooks may not go to `url`, as a phrase for a problem's `detail`; undefined where they may. Names are not looked up:
 * what they resolve to is checked when a connection is made.
 */
export function checkWebhookUrl(url: string, policy: Pick<OutboundPolicy, 'production' | 'ports'>): string | undefined {
  const parsed = URL.parse(url);
  if (!parsed) return 'is not a URL';
  if (parsed.protocol !== 'https:' && parsed.protocol !== 'http:') return 'must be https';
  if (url.includes('#')) return 'must not have a fragment';
  // The parser forgives blanks, backslashes and missing slashes; other readers of the same text would see another host.
  const authority = /^https?:\/\/([^/?\\\s\p{Cc}]+)([/?][^\\\s\p{Cc}]*)?$/iu.exec(url)?.[1];
  if (authority === undefined) return 'must be written without blanks, control characters and backslashes';
  if (authority.includes('@')) return 'must not name a user';

  const host = parsed.hostname.replace(/^\[|\]$/g, '');
  if (host.endsWith('.')) return 'must not end its host in a dot';
  if (isLoopbackHost(host)) return policy.production ? 'must not be on this machine' : undefined;
  if (parsed.protocol !== 'https:') return 'must be https';
  if (isIP(host) !== 0) {
    if (!isPublicAddress(host)) return 'must have a public address';
  } else if (!PUBLIC_NAME.test(host) || LOCAL_NAME.test(host)) {
    return 'must have a public host name';
  }
  if (parsed.port !== '' && !policy.ports.includes(Number(parsed.port))) return `must not use port ${parsed.port}`;
  return undefined;
}

/** Opens the way out, one per process. TLS is always verified, also where the environment says otherwise. */
export function createOutbound(policy: OutboundPolicy): Outbound {
  const agent = new Agent({
    connections: policy.connections ?? 16,
    allowH2: false,
    connect: {
      lookup: checkedLookup(policy),
      rejectUnauthorized: true,
      autoSelectFamily: true,
      // Node gives an address 250 ms before it turns to the next: too short for a satellite link.
      autoSelectFamilyAttemptTimeout: 2_000,
    },
  });

  const exchange = async (url: URL, post: Post, signal: AbortSignal): Promise<Omit<Answer, 'duration_ms'>> => {
    const headers = Object.entries(post.headers).filter(([name]) => !NEVER_SENT.includes(name.toLowerCase()));
    const {
      statusCode,
      headers: answered,
      body,
    } = await agent.request({
      origin: url.origin,
      path: url.pathname + url.search,
      method: 'POST',
      headers: Object.fromEntries(headers),
      body: post.body,
      signal,
    });
    await body.dump({ limit: ANSWER_LIMIT, signal });
    return { status: statusCode, retry_after: [answered['retry-after']].flat()[0] ?? null };
  };

  return {
    async post(url, post) {
      if (checkWebhookUrl(url, policy) !== undefined) throw new DeliveryError('address_refused');
      const started = performance.now();
      const controller = new AbortController();
      let timer: NodeJS.Timeout | undefined;
      // The signal alone is not enough: undici heeds it only once the request has a connection.
      const timeout = new Promise<never>((_, reject) => {
        timer = setTimeout(() => {
          reject(new DeliveryError('timeout'));
          controller.abort();
        }, post.timeout_ms ?? DEFAULT_TIMEOUT_MS);
      });
      try {
        const answer = await Promise.race([exchange(new URL(url), post, controller.signal), timeout]);
        return { ...answer, duration_ms: Math.round(performance.now() - started) };
      } catch (error) {
        throw new DeliveryError(failureOf(error));
      } finally {
        clearTimeout(timer);
      }
    },
    close: () => agent.destroy(),
  };
}

/** A lookup that hands out a name's addresses if every one of them may be connected to, and none otherwise. */
function checkedLookup(policy: OutboundPolicy): LookupFunction {
  const resolve = policy.lookup ?? resolver();
  const checked = async (host: string): Promise<readonly string[]> => {
    if (isLoopbackHost(host)) {
      if (policy.production) throw new DeliveryError('address_refused');
      return ['127.0.0.1', '::1'];
    }
    const addresses = await resolve(host).catch(() => []);
    if (addresses.length === 0) throw new DeliveryError('dns_failed');
    if (!addresses.every(isPublicAddress)) throw new DeliveryError('address_refused');
    return addresses;
  };
  // `autoSelectFamily` asks for all addresses.
  return (host, _options, callback) => {
    checked(host).then(
      addresses =>
        callback(
          null,
          addresses.map(address => ({ address, family: isIP(address) })),
        ),
      error => callback(error, []),
    );
  };
}

/**
 * DNS without `getaddrinfo`: that blocks one of the few threads which also hash passwords, for as long as a receiver's name
 * server likes. `/etc/hosts` and search domains are not consulted; receivers have public names.
 */
function resolver(): (hostname: string) => Promise<readonly string[]> {
  const dns = new Resolver({ timeout: 2_000, tries: 2 });
  return async hostname => {
    const families = await Promise.allSettled([dns.resolve4(hostname), dns.resolve6(hostname)]);
    return families.flatMap(family => (family.status === 'fulfilled' ? family.value : []));
  };
}

const FAILURES: readonly [pattern: RegExp, failure: DeliveryFailure][] = [
  [/^(ETIMEDOUT|UND_ERR_(CONNECT|HEADERS|BODY)_TIMEOUT)$/, 'timeout'],
  [/^(ECONNREFUSED|EHOSTUNREACH|ENETUNREACH|EHOSTDOWN|ENETDOWN|EADDRNOTAVAIL|EACCES|EPERM)$/, 'connect_failed'],
  [/^(ECONNRESET|ECONNABORTED|EPIPE|UND_ERR_(SOCKET|ABORTED|DESTROYED|CLOSED))$/, 'reset'],
  // Node's own TLS errors, OpenSSL's, and its verdicts on certificates.
  [
    /^(ERR_TLS|ERR_SSL|EPROTO|CERT_|CRL_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|HOSTNAME_|INVALID_(CA|PURPOSE)|PATH_LENGTH|ERROR_IN_C)/,
    'tls_failed',
  ],
];

function failureOf(error: unknown): DeliveryFailure {
  if (error instanceof DeliveryError) return error.reason;
  const code = String((error as { code?: unknown } | null)?.code);
  return FAILURES.find(([pattern]) => pattern.test(code))?.[1] ?? 'other';
}
