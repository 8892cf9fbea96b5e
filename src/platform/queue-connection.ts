import { setTimeout as pause } from 'node:timers/promises';
import { createPostgresBackend } from 'bullmq';
import pg from 'pg';

/**
 * What BullMQ's own connections to PostgreSQL cannot bear, made good from outside; the names of what is reached into are
 * BullMQ's. `test/faults/hang-up.test.ts` shows both.
 */

/**
 * BullMQ begins a moment late to hear when the connection on which it listens breaks, and a server that hangs up in that moment
 * would end the process. So each connection has somebody who hears it from the beginning; BullMQ finds out as it goes on.
 */
class HeardClient extends pg.Client {
  constructor(config?: string | pg.ClientConfig) {
    super(config);
    this.on('error', () => {});
  }
}

interface Connection {
  /** What it makes the connection with on which it listens. */
  pgModule: object;
  /** Its first look at the database. One that failed would be the answer for ever, and asked for again without end. */
  readyPromise: Promise<void> | undefined;
  waitUntilReady(): Promise<void>;
}

const LOOK_AGAIN_MS = 1_000;

/** BullMQ's PostgreSQL backend, which outlives the loss of any of its connections at any moment. */
export const createSteadyBackend: typeof createPostgresBackend = (name, options, more) => {
  const pooled = { ...(options.connection as object), Client: HeardClient };
  const backend = createPostgresBackend(name, { ...options, connection: pooled }, more);
  const { connection } = backend as unknown as { connection: Connection };
  connection.pgModule = { Client: HeardClient };
  const look = connection.waitUntilReady.bind(connection);
  connection.waitUntilReady = () =>
    look().catch(async error => {
      await pause(LOOK_AGAIN_MS);
      connection.readyPromise = undefined;
      throw error;
    });
  return backend;
};
