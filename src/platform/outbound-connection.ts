/**
 * Connections to receivers, straight or through the egress proxy. A socket is opened to an address that was checked in this very
 * attempt, and a proxy is told that address and no name; names serve for TLS alone.
 */

import { request } from 'node:http';
import { connect, isIP, isIPv6, type Socket } from 'node:net';
import { type SecureContext, connect as startTls } from 'node:tls';
import type { buildConnector } from 'undici';
import { isLoopbackHost } from './addresses.ts';
import { DeliveryError } from './delivery-failure.ts';

/** An HTTP proxy that takes CONNECT. */
export interface ProxyAddress {
  host: string;
  port: number;
  /** The value of `Proxy-Authorization`; null where it asks for none. */
  authorization: string | null;
}

export interface ConnectionPolicy {
  /** Hands out checked addresses alone. */
  lookup: (host: string) => Promise<readonly string[]>;
  /** What every connection goes through but those to this machine; null: nothing. */
  proxy: ProxyAddress | null;
  tls: SecureContext;
  /** Ends attempts to connect. */
  closing: AbortSignal;
}

/** From the lookup of the name to the end of the TLS handshake. */
const CONNECT_TIMEOUT_MS = 10_000;

/** A proxy's word that the receiver, and not the proxy, is at fault (RFC 9110; 503 is what Squid says). */
const UNREACHABLE_BEHIND_PROXY = [502, 503, 504];

/** Makes the connect step of undici's pools. */
export function connector(policy: ConnectionPolicy): buildConnector.connector {
  return ({ hostname, port, protocol }, callback) => {
    const secure = protocol === 'https:';
    const attempt = new AbortController();
    const timer = setTimeout(() => attempt.abort(new DeliveryError('timeout')), CONNECT_TIMEOUT_MS);
    const closed = () => attempt.abort(new DeliveryError('reset'));
    policy.closing.addEventListener('abort', closed);
    open(policy, hostname, Number(port || (secure ? 443 : 80)), secure, attempt.signal)
      .finally(() => {
        clearTimeout(timer);
        policy.closing.removeEventListener('abort', closed);
      })
      .then(
        socket => callback(null, socket),
        error => callback(error, null),
      );
  };
}

async function open(
  { lookup, proxy, tls }: ConnectionPolicy,
  hostname: string,
  port: number,
  secure: boolean,
  signal: AbortSignal,
): Promise<Socket> {
  const addresses = await Promise.race([lookup(hostname), aborted(signal)]);
  const through = isLoopbackHost(hostname) ? null : proxy;
  const socket = await (through ? tunnel(through, addresses, port, signal) : connectTo(hostname, addresses, port, signal));
  socket.setNoDelay(true).setKeepAlive(true, 60_000);
  return secure ? handshake(socket, hostname, tls, signal) : socket;
}

const connectTo = (hostname: string, addresses: readonly string[], port: number, signal: AbortSignal): Promise<Socket> => {
  const socket = connect({
    host: hostname,
    port,
    // Not asked about an address literal, which is what `addresses` holds then.
    lookup: (_host, _options, callback) =>
      callback(
        null,
        addresses.map(address => ({ address, family: isIP(address) })),
      ),
    autoSelectFamily: true,
    // Node gives an address 250 ms before it turns to the next: too short for a satellite link.
    autoSelectFamilyAttemptTimeout: 2_000,
  });
  return settled(socket, 'connect', signal);
};

/** Through the proxy to the first of `addresses` that it reaches. */
async function tunnel(proxy: ProxyAddress, addresses: readonly string[], port: number, signal: AbortSignal): Promise<Socket> {
  for (const address of addresses) {
    const socket = await askProxy(proxy, `${isIPv6(address) ? `[${address}]` : address}:${port}`, signal);
    if (socket) return socket;
  }
  throw new DeliveryError('connect_failed');
}

/** @returns undefined where the proxy says that it does not get there */
function askProxy({ host, port, authorization }: ProxyAddress, path: string, signal: AbortSignal): Promise<Socket | undefined> {
  return new Promise((resolve, reject) => {
    let reached = false;
    const asked = request({
      host,
      port,
      method: 'CONNECT',
      path,
      agent: false,
      headers: { host: path, ...(authorization === null ? {} : { 'proxy-authorization': authorization }) },
    });
    const abort = () => asked.destroy();
    signal.addEventListener('abort', abort);
    asked.on('socket', socket => socket.once('connect', () => (reached = true)));
    asked.on('connect', ({ statusCode = 0 }, socket, head) => {
      if (statusCode >= 200 && statusCode < 300 && head.length === 0) return resolve(socket as Socket);
      socket.destroy();
      if (UNREACHABLE_BEHIND_PROXY.includes(statusCode)) resolve(undefined);
      else reject(new DeliveryError('proxy_failed'));
    });
    asked.on('error', () => {
      reject(signal.aborted && reached ? signal.reason : new DeliveryError('proxy_failed'));
    });
    asked.on('close', () => signal.removeEventListener('abort', abort));
    asked.end();
  });
}

async function handshake(socket: Socket, hostname: string, secureContext: SecureContext, signal: AbortSignal): Promise<Socket> {
  const secured = startTls({
    socket,
    host: hostname,
    ...(isIP(hostname) === 0 ? { servername: hostname } : {}),
    secureContext,
    rejectUnauthorized: true,
    // No session is kept: each connection verifies certificates anew, and no two receivers could share one.
    ALPNProtocols: ['http/1.1'],
  });
  await settled(secured, 'secureConnect', signal);
  // A refusal by TLS 1.3 comes after the handshake. Left to itself the socket would say next that it had merely ended.
  return secured.once('error', () => secured.destroy());
}

const aborted = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));

/** The socket when `event` has come. */
function settled(socket: Socket, event: 'connect' | 'secureConnect', signal: AbortSignal): Promise<Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  const abort = () => socket.destroy(signal.reason);
  const ended = () => reject(new DeliveryError('reset'));
  signal.addEventListener('abort', abort);
  socket
    .once(event, () => resolve(socket))
    .once('error', reject)
    .once('close', ended);
  return promise.finally(() => {
    signal.removeEventListener('abort', abort);
    socket.off('error', reject).off('close', ended);
  });
}
