import { createSecretKey } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { Pool } from 'undici';
import type { AgencyActor } from '../../src/core/access.ts';
import { secretBytes, signWebhook } from '../../src/core/webhook-signature.ts';
import { readConfig } from '../../src/platform/config.ts';
import { newId } from '../../src/platform/ids.ts';
import { createLogger } from '../../src/platform/log.ts';
import { openServices } from '../../src/services.ts';
import { enableWebhookEndpoint } from '../../src/webhooks/commands.ts';
import { type Cpu, perStep, readCpu } from '../bench/cpu.ts';
import { drive } from '../bench/driver.ts';
import { PUBLIC_URL, type Service, startService } from '../bench/service.ts';
import { asOwner } from '../bench-clocks/population.ts';
import { type Place, type Receiver, SECRET, Teller } from './population.ts';
import type { Arrivals, Sink } from './sink.ts';

/** What is sent, by a process of its own that relays, sends and sequences as it does anywhere. */

export interface Means extends Place {
  /** Of the server's first process. */
  postmaster_pid: number;
  redis_url: string | null;
  node_args?: string[];
}

const startWorker = ({ database_url, dir, redis_url, node_args }: Means) =>
  startService({
    database_url,
    dir,
    node_args,
    roles: 'worker,sequencer',
    env: { LOG_LEVEL: 'warn', ...(redis_url ? { REDIS_URL: redis_url } : {}) },
  });

export const quantile = (values: readonly number[], share: number): number =>
  values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))] ?? Number.NaN;

/** Posts, signed and no more: what could be sent if nothing were kept. */
export async function measureBare(sink: Sink, seconds: number): Promise<number> {
  const key = createSecretKey(secretBytes(SECRET));
  const pool = new Pool(sink.url, { connections: 64, pipelining: 1 });
  const body = JSON.stringify({
    type: 'referral.accepted',
    timestamp: new Date().toISOString(),
    data: { event_id: newId('evt'), referral_id: newId('ref'), case_id: newId('cas'), position: 1, sequence: 1 },
  });
  try {
    const { per_second } = await drive({ clients: 64, seconds }, async () => {
      const id = newId('evt');
      const timestamp = Math.floor(Date.now() / 1_000);
      const answer = await pool.request({
        method: 'POST',
        path: '/bare',
        headers: {
          'content-type': 'application/json',
          'webhook-id': id,
          'webhook-timestamp': String(timestamp),
          'webhook-signature': signWebhook({ id, timestamp, body }, [key]),
        },
        body,
      });
      await answer.body.dump();
    });
    return per_second;
  } finally {
    await sink.take();
    await pool.close();
  }
}

export interface FanOutResult {
  queue: string;
  count: number;
  per_second: number;
  /** Milliseconds each, of the process that sends and of PostgreSQL. */
  cpu: Cpu;
}

interface Sending {
  teller: Teller;
  worker: Service;
}

/** With a process that sends, which is warm and has nothing to do. */
async function whileSending<T>(
  means: Means,
  receivers: readonly Receiver[],
  sink: Sink,
  measure: (sending: Sending) => Promise<T>,
): Promise<T> {
  const teller = await Teller.connect(means, receivers);
  const worker = await startWorker(means);
  try {
    await teller.tell(receivers.length * 4);
    await nothingLeft(teller);
    await sink.take();
    return await measure({ teller, worker });
  } finally {
    await worker.stop();
    await teller.close();
  }
}

/** How soon so many events that wait are delivered, from the first that comes to the last. */
export const measureFanOut = (
  means: Means,
  receivers: readonly Receiver[],
  sink: Sink,
  count: number,
): Promise<Omit<FanOutResult, 'queue'>> =>
  whileSending(means, receivers, sink, async ({ teller, worker }) => {
    const before = readCpu(worker.pid, means.postmaster_pid);
    for (let left = count; left > 0; left -= 5_000) await teller.tell(Math.min(left, 5_000));
    await nothingLeft(teller);
    const after = readCpu(worker.pid, means.postmaster_pid);
    const arrivals = await sink.take();
    return { count: arrivals.count, per_second: rate(arrivals), cpu: perStep(before, after, arrivals.count) };
  });

const rate = ({ count, first_at, last_at }: Arrivals): number => count / ((last_at - first_at) / 1_000);

export interface LagResult {
  queue: string;
  per_second: number;
  p50_ms: number;
  p99_ms: number;
}

/** From when an act committed to when its event came, at a steady rate. */
export const measureLag = (
  means: Means,
  receivers: readonly Receiver[],
  sink: Sink,
  load: { per_second: number; seconds: number },
): Promise<Omit<LagResult, 'queue'>> =>
  whileSending(means, receivers, sink, async ({ teller }) => {
    await tellAtRate(teller, load);
    await nothingLeft(teller);
    const lags = [...(await sink.take()).lags.values()].flat();
    return { per_second: load.per_second, p50_ms: quantile(lags, 0.5), p99_ms: quantile(lags, 0.99) };
  });

async function tellAtRate(teller: Teller, { per_second, seconds }: { per_second: number; seconds: number }): Promise<void> {
  const began_at = performance.now();
  for (let told = 0; told < per_second * seconds; told += 1) {
    await pause(Math.max(0, began_at + (told * 1_000) / per_second - performance.now()));
    await teller.tell(1);
  }
}

export interface TroubleResult {
  queue: string;
  rounds: number;
  /** Of everybody who has no trouble: alone, and beside a dead and a slow one. */
  calm_p99_ms: number;
  troubled_p99_ms: number;
  calm_p50_ms: number;
  troubled_p50_ms: number;
}

/** The first two receivers take everything, or one of them is dead and the other answers after ten seconds; in turns. */
export async function measureTrouble(
  means: Means,
  receivers: readonly Receiver[],
  sink: Sink,
  { per_second, seconds, rounds }: { per_second: number; seconds: number; rounds: number },
): Promise<Omit<TroubleResult, 'queue'>> {
  const [first, second] = receivers;
  const others = (arrivals: Arrivals) =>
    [...arrivals.lags].filter(([path]) => !['/0', '/1', '/slow'].includes(path)).flatMap(([, lags]) => lags);
  const point = (one: string, two: string) =>
    asOwner(means.database_url, async client => {
      const turn = (endpoint_id: string, url: string) =>
        client.query(`update webhook_endpoints set url = $2, failing_since = null where id = $1`, [endpoint_id, url]);
      await turn(first!.endpoint_id, one);
      await turn(second!.endpoint_id, two);
    });
  const calm: number[] = [];
  const troubled: number[] = [];
  await whileSending(means, receivers, sink, async ({ teller }) => {
    for (let round = 0; round < rounds; round += 1) {
      for (const lags of round % 2 === 0 ? [calm, troubled] : [troubled, calm]) {
        if (lags === calm) await point(`${sink.url}/0`, `${sink.url}/1`);
        // Where nobody listens, and where everybody waits.
        else await point('http://127.0.0.1:9/dead', `${sink.url}/slow`);
        await sink.take();
        await tellAtRate(teller, { per_second, seconds });
        await pause(1_000);
        lags.push(...others(await sink.take()));
      }
    }
  });
  return {
    rounds,
    calm_p99_ms: quantile(calm, 0.99),
    troubled_p99_ms: quantile(troubled, 0.99),
    calm_p50_ms: quantile(calm, 0.5),
    troubled_p50_ms: quantile(troubled, 0.5),
  };
}

export interface RecoveryResult {
  queue: string;
  count: number;
  seconds: number;
  per_second: number;
  /** Until it was asked for at every endpoint. */
  asked_s: number;
}

/** Everything waits at endpoints that are off, and is parked; then each is enabled, one after the other. */
export async function measureRecovery(
  means: Means,
  receivers: readonly Receiver[],
  sink: Sink,
  count: number,
): Promise<Omit<RecoveryResult, 'queue'>> {
  const teller = await Teller.connect(means, receivers);
  const config = readConfig({
    DATABASE_URL: means.database_url,
    DATA_DIR: means.dir,
    PUBLIC_URL,
    LOG_LEVEL: 'warn',
    ROLES: 'api',
  });
  const services = await openServices(config, createLogger('warn'), means.database_url);
  await park(means, teller, count);
  await sink.take();
  const worker = await startWorker(means);
  try {
    const started_at = performance.now();
    for (const { agency_id, endpoint_id } of receivers) {
      await enableWebhookEndpoint(services, supervisorOf(agency_id), endpoint_id);
    }
    const asked_s = (performance.now() - started_at) / 1_000;
    await nothingLeft(teller);
    const seconds = (performance.now() - started_at) / 1_000;
    const arrivals = await sink.take();
    if (arrivals.count < count) throw new Error(`${count - arrivals.count} never came`);
    return { count, seconds, per_second: count / seconds, asked_s };
  } finally {
    await worker.stop();
    await services.close();
    await teller.close();
  }
}

async function park(means: Means, teller: Teller, count: number): Promise<void> {
  const off = (client: { query(text: string): Promise<unknown> }) =>
    client.query(`update webhook_endpoints set status = 'paused', failing_since = now()`);
  await asOwner(means.database_url, off);
  for (let left = count; left > 0; left -= 5_000) await teller.tell(Math.min(left, 5_000));
  const relay = await startWorker(means);
  await numbered(means);
  await relay.stop();
  await asOwner(means.database_url, async client => {
    await client.query(
      `update deliveries set state = 'parked', attempts = 2, next_attempt_at = now() + interval '1 day' where state = 'pending'`,
    );
    await client.query('vacuum analyze');
    await client.query('checkpoint');
  });
}

const supervisorOf = (agency_id: string): AgencyActor => ({
  type: 'agency',
  agency_id,
  agency_kind: 'hotline',
  jurisdictions: ['XA'],
  competent_authority: false,
  first_responder: true,
  suspended: false,
  client_id: 'cli_bench',
  scopes: new Set(['webhooks']),
  caseworker: { id: 'cwk_bench', staff_code: 'S-1', roles: ['supervisor'] },
  request: { id: 'bench' },
});

const WITHIN_S = 600;

async function nothingLeft(teller: Teller): Promise<void> {
  for (let left = WITHIN_S * 10; left > 0; left -= 1) {
    if (await teller.isDone()) return;
    await pause(100);
  }
  throw new Error(`something is still to be delivered after ${WITHIN_S} s`);
}

const numbered = ({ database_url }: Place): Promise<void> =>
  asOwner(database_url, async client => {
    for (let left = WITHIN_S * 10; left > 0; left -= 1) {
      const { rows } = await client.query('select from events where position is null limit 1');
      if (rows.length === 0) return;
      await pause(100);
    }
    throw new Error(`something is still to be numbered after ${WITHIN_S} s`);
  });
