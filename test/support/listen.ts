import { once } from 'node:events';
import type { AddressInfo, Server, Socket } from 'node:net';
import type { Test } from 'tap';
import { DeliveryError } from '../../src/platform/delivery-failure.ts';
import { createOutbound, type Outbound, type OutboundPolicy } from '../../src/platform/outbound.ts';

export interface Listening {
  port: number;
  /** Of all that connected so far. */
  sockets: Socket[];
  connections: () => number;
}

/** Starts `server` on loopback, and cuts its connections at teardown. */
export async function listen(t: Test, server: Server): Promise<Listening> {
  const sockets: Socket[] = [];
  server.on('connection', socket => sockets.push(socket.on('error', () => {})));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, sockets, connections: () => sockets.length };
}

/** A way out of a process outside production, for which no name has an address unless the policy says so. */
export function openOutbound(t: Test, policy: Partial<OutboundPolicy> = {}): Outbound {
  const outbound = createOutbound({ production: false, ports: [], lookup: async () => [], ...policy });
  t.teardown(() => outbound.close());
  return outbound;
}

/** Why a post got no answer, or that it got one. */
export const failure = async (answer: Promise<unknown>): Promise<string> => {
  const error = await answer.then(
    status => new Error(`answered ${JSON.stringify(status)}`),
    error => error,
  );
  return error instanceof DeliveryError ? error.reason : String(error);
};
