import pg from 'pg';
import type { Logger } from './log.ts';

/**
 * A tap on the shoulder after a commit, so that relay, sweeps and long polls need not wait for their next tick. It carries
 * nothing and may be lost: whoever is woken looks at the rows, and looks at them again after a while in any case.
 */
export interface WakeUp {
  /** Wakes everybody, at most every 20 ms per process; never fails. */
  notify(): void;
  /** Calls `listener` at every wake-up until the returned function is called. */
  onWakeUp(listener: () => void): () => void;
  /** Resolves at the next wake-up, after `ms`, or when `signal` is aborted. */
  wait(ms: number, signal?: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

const CHANNEL = 'aman_wake_up';
const AT_MOST_EVERY_MS = 20;
const RECONNECT_MS = 1_000;

export async function createWakeUp(pool: pg.Pool, database_url: string, log: Logger): Promise<WakeUp> {
  const listeners = new Set<() => void>();
  let closed = false;
  let client: pg.Client | undefined;
  let reconnect: NodeJS.Timeout | undefined;
  let scheduled: NodeJS.Timeout | undefined;

  const wake = () => {
    for (const listener of [...listeners]) listener();
  };

  async function listen(): Promise<void> {
    const fresh = new pg.Client({
      connectionString: database_url,
      connectionTimeoutMillis: 5_000,
      keepAlive: true,
      keepAliveInitialDelayMillis: 10_000,
    });
    fresh.on('notification', wake);
    fresh.on('error', error => {
      log.warn({ err: error }, 'wake-up connection lost');
      void fresh.end().catch(() => {});
      retry();
    });
    await fresh.connect();
    await fresh.query(`listen ${CHANNEL}`);
    client = fresh;
    if (closed) await fresh.end();
  }

  function retry(): void {
    client = undefined;
    if (closed || reconnect) return;
    reconnect = setTimeout(() => {
      reconnect = undefined;
      listen().catch(retry);
    }, RECONNECT_MS);
  }

  await listen();

  return {
    notify() {
      if (scheduled || closed) return;
      scheduled = setTimeout(() => {
        scheduled = undefined;
        // Without the channel, at least this process wakes.
        pool.query(`notify ${CHANNEL}`).catch(wake);
        if (!client) wake();
      }, AT_MOST_EVERY_MS);
    },
    onWakeUp(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    wait(ms, signal) {
      return new Promise(resolve => {
        const done = () => {
          clearTimeout(timer);
          listeners.delete(done);
          signal?.removeEventListener('abort', done);
          resolve();
        };
        const timer = setTimeout(done, ms);
        listeners.add(done);
        signal?.addEventListener('abort', done, { once: true });
        if (signal?.aborted) done();
      });
    },
    async close() {
      closed = true;
      clearTimeout(reconnect);
      clearTimeout(scheduled);
      wake();
      await client?.end();
    },
  };
}
