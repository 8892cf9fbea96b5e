import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { Redis } from 'ioredis';
import type { Test } from 'tap';
import { type Program, runCommand } from './process.ts';

/** A Redis of a test's own, of the machine's `redis-server`, on a free port of loopback and in a folder that goes with it. */
export interface RedisServer {
  port: number;
  url: string;
  /** Sends a signal: SIGKILL ends it at once, SIGSTOP leaves it there and silent. */
  signal(signal: 'SIGKILL' | 'SIGSTOP' | 'SIGCONT'): Promise<void>;
  /** Starts it again where it was, on what it had written. */
  start(): Promise<void>;
  /** One command, on a connection of its own. */
  command(name: string, ...args: string[]): Promise<unknown>;
}

/** With TEST_QUEUE=redis the queue of every service that a test opens is on a Redis of its own, else in the database. */
export const queueEnvironment = async (t: Test): Promise<{ REDIS_URL?: string }> =>
  process.env.TEST_QUEUE === 'redis' ? { REDIS_URL: (await startRedis(t)).url } : {};

/** @param options as in a configuration file, each a line */
export async function startRedis(t: Test, options: Record<string, string> = {}): Promise<RedisServer> {
  const folder = temporaryFolder(t);
  const port = Number(options.port ?? (await freePort()));
  let server: Program;
  const start = async () => {
    const settings = { port: String(port), bind: '127.0.0.1', dir: folder, save: '', daemonize: 'no', ...options };
    server = await startServer(t, [], settings);
  };
  await start();
  return {
    port,
    url: `redis://127.0.0.1:${port}/0`,
    async signal(signal) {
      if (signal === 'SIGKILL') await server.end(signal);
      else server.child.kill(signal);
    },
    start,
    command: (name, ...args) => ask(port, name, args, options.requirepass),
  };
}

/** A master, its replica, and three sentinels that watch them and need two to agree. */
export async function startSentinels(t: Test): Promise<{ url: string; servers: [RedisServer, RedisServer] }> {
  const master = await startRedis(t);
  const replica = await startRedis(t, { replicaof: `127.0.0.1 ${master.port}` });
  const ports = await Promise.all([1, 2, 3].map(() => freePort()));
  await Promise.all(
    ports.map(async port => {
      const folder = temporaryFolder(t);
      const file = join(folder, 'sentinel.conf');
      writeFileSync(
        file,
        [
          `port ${port}`,
          'bind 127.0.0.1',
          `dir ${folder}`,
          `sentinel monitor queue 127.0.0.1 ${master.port} 2`,
          'sentinel down-after-milliseconds queue 1000',
          'sentinel failover-timeout queue 5000',
        ].join('\n'),
      );
      await startServer(t, [file, '--sentinel'], {}, /Sentinel ID is/);
    }),
  );
  // They find each other, and the replica, by what the master tells them.
  for (const port of ports) {
    const known = async () => {
      const info = String(await ask(port, 'info', ['sentinel']));
      return info.includes('slaves=1,sentinels=3');
    };
    while (!(await known())) await pause(100);
  }
  return { url: `redis+sentinel://${ports.map(port => `127.0.0.1:${port}`).join(',')}/queue/0`, servers: [master, replica] };
}

async function startServer(
  t: Test,
  args: string[],
  options: Record<string, string>,
  ready = /Ready to accept connections/,
): Promise<Program> {
  const settings = Object.entries(options).flatMap(([name, value]) => [`--${name}`, ...(value === '' ? [''] : value.split(' '))]);
  const server = runCommand(t, 'redis-server', [...args, ...settings]);
  await server.said(ready, 20_000).catch(error => {
    throw new Error(`redis-server did not start; is it installed (apt-get install redis-server)? ${error.message}`);
  });
  return server;
}

async function ask(port: number, name: string, args: string[], password?: string): Promise<unknown> {
  const client = new Redis({ port, host: '127.0.0.1', password, retryStrategy: null, enableReadyCheck: false });
  client.on('error', () => {}); // whoever asked is told
  try {
    return await client.call(name, ...args);
  } finally {
    client.disconnect();
  }
}

function temporaryFolder(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'aman-redis-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }));
  return folder;
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise(resolve => server.close(resolve));
  return port;
}
