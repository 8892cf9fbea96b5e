import { channel } from 'node:diagnostics_channel';
import type { Socket } from 'node:net';
import type { Test } from 'tap';

/**
 * Every attempt of this process to connect, as Node itself makes it, whoever asked for it: `address:port` in the order of the
 * attempts.
 */
export function watchConnections(t: Test): string[] {
  const attempts: string[] = [];
  const watch = (message: unknown) => {
    const { socket } = message as { socket: Socket };
    socket.on('connectionAttempt', (address, port) => attempts.push(`${address}:${port}`));
  };
  channel('net.client.socket').subscribe(watch);
  t.teardown(() => channel('net.client.socket').unsubscribe(watch));
  return attempts;
}
