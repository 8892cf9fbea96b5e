/**
 * Outbound safety ("Events and notifications"): a POST that cannot be led anywhere else than its URL says. The address that a
 * socket connects to was checked in the very lookup that handed it out, so a name that resolves to one address at registration
 * and to another at send gains nothing. A URL is checked again at every send. No redirect is followed, nothing of the
 * environment's proxies or trust is heeded, and nothing of an answer is kept but its status and `Retry-After`.
 */

import { Agent } from 'undici';
import { type AddressPolicy, checkedLookup, checkWebhookUrl } from './addresses.ts';
import { DeliveryError, failureOf } from './delivery-failure.ts';
import { connector, type ProxyAddress } from './outbound-connection.ts';
import { secureContextOf, type TlsSettings } from './tls-settings.ts';

export interface OutboundPolicy extends AddressPolicy {
  /** Connections open at once to one origin; further posts wait, within their timeout. 16 by default. */
  connections?: number;
  /** What posts go through, but those to this machine; by default nothing. */
  proxy?: ProxyAddress | null;
  /** How long a connection serves before its name is looked up again; 60,000 by default. */
  reuse_ms?: number;
  /** For each post that says nothing else; 15,000 by default. */
  timeout_ms?: number;
}

export interface Post {
  headers: Record<string, string>;
  body: string;
  /** For everything, from the lookup of the name to the end of the answer's body. */
  timeout_ms?: number;
  /** Whose post it is, with its TLS settings: its connections are shared with nobody who has others. */
  receiver?: { id: string; tls: TlsSettings | null };
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
const DEFAULT_REUSE_MS = 60_000;
/** How long a connection waits for another post, however long the receiver says that it would keep it: there are many receivers. */
const IDLE_MS = 10_000;
const ANSWER_LIMIT = 64 * 1024;
/** Interim answers (1xx) before the one that counts; they have no other end than the timeout. */
const INTERIM_LIMIT = 16;

/** Where all connections to an origin are busy, they are handed on without a look at their age. */
const POSTS_OF_CONNECTION = 1_000;

/** Receivers with TLS settings whose connections are kept; of others the oldest are closed. */
const RECEIVERS_KEPT = 256;
/** After this long without a post a receiver's key is in memory no more. */
const RECEIVER_IDLE_MS = 300_000;

/** Trace context tells a receiver how the service is built and which requests belong together. */
const NEVER_SENT = ['traceparent', 'tracestate', 'baggage'];

/** Opens the way out, one per process. TLS is always verified, also where the environment says otherwise. */
export function createOutbound(policy: OutboundPolicy): Outbound {
  const closing = new AbortController();
  const lookup = checkedLookup(policy);
  const reuse_ms = policy.reuse_ms ?? DEFAULT_REUSE_MS;
  const agents = createAgents(tls => {
    const context = secureContextOf(tls);
    return new Agent({
      connections: policy.connections ?? 16,
      allowH2: false,
      clientTtl: reuse_ms,
      keepAliveMaxTimeout: Math.min(IDLE_MS, reuse_ms),
      maxRequestsPerClient: POSTS_OF_CONNECTION,
      maxHeaderSize: 16 * 1024,
      connect: connector({ lookup, proxy: policy.proxy ?? null, tls: context, closing: closing.signal }),
    });
  });

  const exchange = async (url: URL, post: Post, controller: AbortController): Promise<Omit<Answer, 'duration_ms'>> => {
    const { signal } = controller;
    let interim = 0;
    const headers = Object.entries(post.headers).filter(([name]) => !NEVER_SENT.includes(name.toLowerCase()));
    const {
      statusCode,
      headers: answered,
      body,
    } = await agents.of(post.receiver).request({
      origin: url.origin,
      path: url.pathname + url.search,
      method: 'POST',
      headers: Object.fromEntries(headers),
      body: post.body,
      signal,
      onInfo: () => {
        interim += 1;
        if (interim > INTERIM_LIMIT) controller.abort(new DeliveryError('invalid_answer'));
      },
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
        timer = setTimeout(
          () => {
            reject(new DeliveryError('timeout'));
            controller.abort();
          },
          post.timeout_ms ?? policy.timeout_ms ?? DEFAULT_TIMEOUT_MS,
        );
      });
      try {
        const answer = await Promise.race([exchange(new URL(url), post, controller), timeout]);
        return { ...answer, duration_ms: Math.round(performance.now() - started) };
      } catch (error) {
        throw new DeliveryError(failureOf(error));
      } finally {
        clearTimeout(timer);
      }
    },
    async close() {
      closing.abort();
      await agents.close();
    },
  };
}

interface OwnAgent {
  agent: Agent;
  settings: string;
  idle: NodeJS.Timeout;
}

/** One agent for all receivers without TLS settings, and one of its own for each that has some. */
function createAgents(create: (tls?: TlsSettings) => Agent) {
  const shared = create();
  /** By receiver, the one that posted longest ago first. */
  const own = new Map<string, OwnAgent>();
  /** Also those on which the last posts are under way. */
  const open = new Set([shared]);
  let closed = false;

  const start = (id: string, tls: TlsSettings): OwnAgent => {
    const agent = create(tls);
    open.add(agent);
    return { agent, settings: JSON.stringify(tls), idle: setTimeout(() => retire(id), RECEIVER_IDLE_MS).unref() };
  };
  /** What is under way ends in its own time. */
  const retire = (id: string): void => {
    const { agent, idle } = own.get(id)!;
    own.delete(id);
    clearTimeout(idle);
    void agent.close().finally(() => open.delete(agent));
  };
  return {
    /** @throws DeliveryError where everything is closed */
    of(receiver: Post['receiver']): Agent {
      if (closed) throw new DeliveryError('reset');
      if (!receiver) return shared;
      const { id, tls } = receiver;
      if (own.has(id) && own.get(id)!.settings !== JSON.stringify(tls)) retire(id);
      if (tls === null) return shared;
      const current = own.get(id) ?? start(id, tls);
      current.idle.refresh();
      own.delete(id);
      own.set(id, current);
      if (own.size > RECEIVERS_KEPT) retire(own.keys().next().value!);
      return current.agent;
    },
    async close(): Promise<void> {
      closed = true;
      for (const { idle } of own.values()) clearTimeout(idle);
      await Promise.all([...open].map(agent => agent.destroy()));
    },
  };
}
