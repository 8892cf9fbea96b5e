import { setTimeout as pause } from 'node:timers/promises';
import pg from 'pg';
import { readConfig } from '../../src/platform/config.ts';
import { createLogger } from '../../src/platform/log.ts';
import { timerEffects } from '../../src/referrals/timer-effects.ts';
import { openServices } from '../../src/services.ts';
import { fireDueTimers } from '../../src/timers/sweep.ts';
import { connectAgencies, inTurn, type Kase } from '../bench/acts.ts';
import { type Cpu, perStep, readCpu } from '../bench/cpu.ts';
import { drive, median } from '../bench/driver.ts';
import { PUBLIC_URL, type Service, startService } from '../bench/service.ts';
import type { World } from '../bench/world.ts';
import { asOwner, expireAt, warnAt } from './population.ts';

/** What sweeps cost, and how late clocks fire. A process of its own sweeps as it does anywhere; when it was done is when it was committed. */

export interface Means {
  database_url: string;
  dir: string;
  /** Of the server's first process. */
  postmaster_pid: number;
  /** Of the process that sweeps. */
  node_args?: string[];
}

const startWorker = ({ database_url, dir, node_args }: Means): Promise<Service> =>
  startService({ database_url, dir, node_args, roles: 'worker' });

export interface IdleResult {
  armed: number;
  /** Milliseconds of a sweep that finds nothing: the medians of the rounds, and the median of these. */
  rounds_ms: number[];
  median_ms: number;
}

const IDLE_WARM_UP = 100;

/** In turns, so that whatever else the machine does is shared. */
export async function measureIdle(
  databases: readonly { armed: number; database_url: string }[],
  dir: string,
  { rounds, sweeps }: { rounds: number; sweeps: number },
): Promise<IdleResult[]> {
  const opened = [];
  for (const { armed, database_url } of databases) {
    const config = readConfig({ DATABASE_URL: database_url, DATA_DIR: dir, PUBLIC_URL, LOG_LEVEL: 'warn', ROLES: 'api' });
    const services = await openServices(config, createLogger('warn'), database_url);
    const effects = timerEffects(services);
    opened.push({ armed, services, sweep: () => fireDueTimers(services, effects), rounds_ms: [] as number[] });
  }
  try {
    for (const { sweep } of opened) for (let i = 0; i < IDLE_WARM_UP; i++) await sweep();
    for (let round = 0; round < rounds; round++) {
      for (const { sweep, rounds_ms } of round % 2 === 0 ? opened : opened.toReversed()) {
        const took: number[] = [];
        for (let i = 0; i < sweeps; i++) {
          const at = performance.now();
          if (await sweep()) throw new Error('something was due');
          took.push(performance.now() - at);
        }
        rounds_ms.push(median(took));
      }
    }
    return opened.map(({ armed, rounds_ms }) => ({ armed, rounds_ms, median_ms: median(rounds_ms) }));
  } finally {
    for (const { services } of opened) await services.close();
  }
}

export interface LagResult {
  per_second: number;
  fired: number;
  /** Milliseconds from when it was due to when that it fired was committed. */
  p50_ms: number;
  p99_ms: number;
  highest_ms: number;
}

/** From when everything is prepared. */
const BEGINS_IN_S = 6;

/** The service takes itself for one that was never down: an offer that fell due during an outage would be kept open. */
const NEVER_DOWN = `insert into heartbeats select role, now() + interval '1 hour', now() - interval '1 day'
  from unnest(array['api', 'worker']) role
  on conflict (role) do update set beat_at = excluded.beat_at, running_since = excluded.running_since`;

/** @param expiring referrals whose offers end among those that fall due; the others warn */
export async function measureLag(
  means: Means,
  { per_second, seconds }: { per_second: number; seconds: number },
  expiring: readonly string[],
): Promise<LagResult> {
  const service = await startWorker(means);
  try {
    const began_at = await asOwner(means.database_url, async client => {
      const { rows } = await client.query<{ at: Date }>(
        `select date_trunc('milliseconds', clock_timestamp()) + interval '${BEGINS_IN_S} s' as at`,
      );
      const from = `timestamptz '${rows[0]!.at.toISOString()}'`;
      const warnings = per_second * seconds - expiring.length;
      await client.query('begin');
      await client.query(NEVER_DOWN);
      await warnAt(client, warnings, 0, `${from} + n * interval '${seconds} s' / ${warnings}`);
      await expireAt(client, expiring, 0, `${from} + n * interval '${seconds} s' / ${expiring.length}`);
      await client.query('commit');
      return rows[0]!.at;
    });
    await pause((BEGINS_IN_S + seconds) * 1_000);
    await nothingDue(means.database_url);
    return { per_second, ...(await readLag(means.database_url, began_at, seconds)) };
  } finally {
    await service.stop();
  }
}

/** Steps are not kept when they are over: their entries say which clock they were of, and that committed with them when it was due. */
const readLag = (database_url: string, began_at: Date, seconds: number): Promise<Omit<LagResult, 'per_second'>> =>
  asOwner(database_url, async client => {
    const { rows } = await client.query<{ lag_ms: number }>(
      `select extract(epoch from pg_xact_commit_timestamp(xmin) - due)::float8 * 1000 as lag_ms from (
         select xmin, coalesce(breached_at, warned_at) as due from timers where coalesce(breached_at, warned_at) >= $1
           and coalesce(breached_at, warned_at) <= $1 + make_interval(secs => $2)) fired order by 1`,
      [began_at, seconds],
    );
    const lags = rows.map(({ lag_ms }) => lag_ms);
    const quantile = (share: number) => lags[Math.min(lags.length - 1, Math.floor(lags.length * share))] ?? Number.NaN;
    return { fired: lags.length, p50_ms: quantile(0.5), p99_ms: quantile(0.99), highest_ms: lags.at(-1) ?? Number.NaN };
  });

async function nothingDue(database_url: string, within_s = 300): Promise<void> {
  const client = new pg.Client(database_url);
  await client.connect();
  try {
    for (let left = within_s * 5; left > 0; left--) {
      const { rows } = await client.query<{ due: boolean }>(
        'select exists (select from timers where next_step_at <= clock_timestamp()) as due',
      );
      if (!rows[0]!.due) return;
      await pause(200);
    }
    throw new Error(`something is still due after ${within_s} s`);
  } finally {
    await client.end();
  }
}

export interface OutageResult {
  warnings: number;
  expiries: number;
  emergencies: number;
  /** From when the process began to work to when the last of them was committed. */
  emergencies_s: number;
  warnings_s: number;
  all_s: number;
  /** Milliseconds for each. */
  cpu: Cpu;
}

/** Everything has fallen due meanwhile, over an hour; then a process begins to work. */
export async function measureOutage(
  means: Means,
  { warnings, expiries, emergencies }: { warnings: number; expiries: number; emergencies: number },
  makeAsked: (count: number) => Promise<string[]>,
): Promise<OutageResult> {
  const expiring = await makeAsked(expiries);
  const share = emergencies / (warnings + expiries);
  await asOwner(means.database_url, async client => {
    const at = (count: number) => `date_trunc('milliseconds', now()) - interval '1 minute' - n * interval '1 hour' / ${count}`;
    await warnAt(client, warnings, Math.round(warnings * share), at(warnings));
    await expireAt(client, expiring, Math.round(expiries * share), at(expiries));
    await client.query(NEVER_DOWN);
    await client.query('vacuum timers');
  });
  const service = await startWorker(means);
  try {
    const working_at = new Date();
    const cpu_before = readCpu(service.pid, means.postmaster_pid);
    await nothingDue(means.database_url);
    const cpu = perStep(cpu_before, readCpu(service.pid, means.postmaster_pid), warnings + expiries);
    return await asOwner(means.database_url, async client => {
      const { rows } = await client.query<{ emergencies_s: number; warnings_s: number; all_s: number }>(
        `select max(s) filter (where urgency = 'emergency') as emergencies_s, max(s) filter (where breached_at is null) as warnings_s,
           max(s) as all_s from (
           select urgency, breached_at, extract(epoch from pg_xact_commit_timestamp(xmin) - $1)::float8 as s from timers
           where greatest(warned_at, breached_at) < $1) fired`,
        [working_at],
      );
      return { warnings, expiries, emergencies, ...rows[0]!, cpu };
    });
  } finally {
    await service.stop();
  }
}

/** Referrals of which each asks one shelter, which does not answer. */
export function askerOf(means: Means, world: World, cases: readonly Kase[]): (count: number) => Promise<string[]> {
  return async count => {
    const service = await startService({ ...means, roles: 'api' });
    const agencies = connectAgencies(service.origin, world, 16);
    const next = inTurn(cases);
    const ids: string[] = [];
    let begun = 0;
    try {
      await world.refresh();
      await drive({ clients: 16, seconds: 600 }, async () => {
        if (begun++ >= count) return false;
        ids.push(await agencies.submit(next()));
        return true;
      });
      return ids;
    } finally {
      await agencies.close();
      await service.stop();
    }
  };
}
