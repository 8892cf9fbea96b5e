import { setTimeout as pause } from 'node:timers/promises';
import { Redis } from 'ioredis';
import pg from 'pg';
import { systemActor } from '../../src/core/access.ts';
import { readConfig } from '../../src/platform/config.ts';
import { transact } from '../../src/platform/database.ts';
import { newId } from '../../src/platform/ids.ts';
import { createLogger } from '../../src/platform/log.ts';
import { QUEUE_SCHEMA } from '../../src/platform/migrate.ts';
import { type Backend, openBackend } from '../../src/platform/queue-backends.ts';
import { openServices } from '../../src/services.ts';
import { insertTimers, type TimerRow } from '../../src/timers/store.ts';
import { startRedis } from '../bench/redis.ts';
import { PUBLIC_URL } from '../bench/service.ts';

/**
 * Beside the clocks, what would be written otherwise: one delayed job of BullMQ for each, on the backends of the service's own queue.
 * Such a job does nothing when it is due; a clock that fires leaves an entry of the trail and an event.
 */

export interface ArmedResult {
  how: string;
  armed: number;
  per_second: number;
  /** On disk, or in memory. */
  mib: number;
  lag: { p50_ms: number; p99_ms: number };
}

interface Place {
  database_url: string;
  dir: string;
}

export interface Plan {
  armed: number;
  per_second: number;
  seconds: number;
}

const AT_ONCE = 1_000;
const CONCURRENCY = 50;
const BEGINS_IN_MS = 3_000;
const FAR_OFF_MS = 7 * 86_400_000;

/** As acts start them, a thousand in one transaction. */
export async function armClocks({ database_url, dir }: Place, armed: number): Promise<Omit<ArmedResult, 'lag'>> {
  const config = readConfig({ DATABASE_URL: database_url, DATA_DIR: dir, PUBLIC_URL, LOG_LEVEL: 'warn', ROLES: 'api' });
  const services = await openServices(config, createLogger('warn'), database_url);
  const size = () => sizeOf(database_url, `select pg_total_relation_size('timers') as bytes`);
  try {
    const clock = systemActor('clock');
    const model = await transact(services, clock, tx =>
      tx.selectFrom('timers').selectAll().where('name', '=', 'respond').limit(1).executeTakeFirstOrThrow(),
    );
    const before = await size();
    const started_at = performance.now();
    for (let left = armed; left > 0; left -= AT_ONCE) {
      const rows: TimerRow[] = Array.from({ length: Math.min(left, AT_ONCE) }, () => ({ ...model, id: newId('tmr') }));
      await transact(services, clock, async tx => insertTimers(tx, rows));
    }
    const seconds = (performance.now() - started_at) / 1_000;
    return { how: 'rows, swept', armed, per_second: armed / seconds, mib: ((await size()) - before) / 2 ** 20 };
  } finally {
    await services.close();
  }
}

/** @param database_url of a migrated database in whose queue there is nothing */
export async function measureJobsOnPostgres({ database_url }: Place, plan: Plan): Promise<ArmedResult> {
  const tables = `select sum(pg_total_relation_size(c.oid))::float8 as bytes from pg_class c
    where relnamespace = '${QUEUE_SCHEMA}'::regnamespace and relkind = 'r'`;
  const backend = await openBackend('bench', { database_url, redis: null }, createLogger('error'), () => {});
  return measureJobs('BullMQ on PostgreSQL', backend, plan, () => sizeOf(database_url, tables));
}

/** @returns null where there is no redis-server */
export async function measureJobsOnRedis(place: Place, plan: Plan): Promise<ArmedResult | null> {
  const server = await startRedis(place.dir);
  if (!server) return null;
  const client = new Redis(server.url);
  client.on('error', () => {});
  try {
    const { redis } = readConfig({
      DATABASE_URL: place.database_url,
      DATA_DIR: place.dir,
      PUBLIC_URL,
      REDIS_URL: server.url,
    });
    const backend = await openBackend('bench', { database_url: place.database_url, redis }, createLogger('error'), () => {});
    for (let up = false; !up; await pause(20))
      up = await backend.probe().then(
        () => true,
        () => false,
      );
    const used = async () => Number(/used_memory:(\d+)/.exec(await client.info('memory'))![1]);
    return await measureJobs('BullMQ on Redis', backend, plan, used);
  } finally {
    client.disconnect();
    await server.stop();
  }
}

async function measureJobs(
  how: string,
  backend: Backend,
  { armed, per_second, seconds }: Plan,
  size: () => Promise<number>,
): Promise<ArmedResult> {
  try {
    const add = (count: number, delayOf: (i: number) => number) =>
      addJobs(backend, count, i => ({ subject_id: newId('tmr'), delay: delayOf(i) }));
    await add(AT_ONCE, () => FAR_OFF_MS);
    const before = await size();
    const started_at = performance.now();
    await add(armed, () => FAR_OFF_MS);
    const armed_per_second = armed / ((performance.now() - started_at) / 1_000);
    const mib = ((await size()) - before) / 2 ** 20;

    const count = per_second * seconds;
    const due = new Map<string, number>();
    const lags: number[] = [];
    const worker = backend.startWorker(
      async ({ subject_id }) => {
        const at = due.get(subject_id);
        if (at !== undefined) lags.push(performance.now() - at);
      },
      { concurrency: CONCURRENCY },
      () => {},
    );
    const begins_at = performance.now() + BEGINS_IN_MS;
    await addJobs(backend, count, i => {
      const subject_id = newId('tmr');
      const at = begins_at + (i * 1_000) / per_second;
      due.set(subject_id, at);
      return { subject_id, delay: Math.max(0, Math.round(at - performance.now())) };
    });
    for (let left = 600; lags.length < count && left > 0; left--) await pause(200);
    await worker.close();
    if (lags.length < count) throw new Error(`${how}: ${count - lags.length} jobs were never done`);
    lags.sort((a, b) => a - b);
    const quantile = (share: number) => lags[Math.floor(lags.length * share)]!;
    return { how, armed, per_second: armed_per_second, mib, lag: { p50_ms: quantile(0.5), p99_ms: quantile(0.99) } };
  } finally {
    await backend.close();
  }
}

async function addJobs(
  backend: Backend,
  count: number,
  make: (i: number) => { subject_id: string; delay: number },
): Promise<void> {
  for (let from = 0; from < count; from += AT_ONCE) {
    const jobs = Array.from({ length: Math.min(AT_ONCE, count - from) }, (_, i) => make(from + i));
    await backend.addBulk(
      jobs.map(({ subject_id, delay }) => ({
        name: 'bench',
        data: { subject_id },
        opts: { jobId: subject_id, delay, attempts: 1, removeOnComplete: true, removeOnFail: true },
      })),
    );
  }
}

async function sizeOf(database_url: string, question: string): Promise<number> {
  const client = new pg.Client(database_url);
  await client.connect();
  try {
    return Number((await client.query<{ bytes: string }>(question)).rows[0]!.bytes);
  } finally {
    await client.end();
  }
}
