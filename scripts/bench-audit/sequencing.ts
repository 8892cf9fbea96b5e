import { setTimeout as pause } from 'node:timers/promises';
import pg from 'pg';
import { connectAgencies, inTurn, type Kase } from '../bench/acts.ts';
import { drive, median } from '../bench/driver.ts';
import { warmUp } from '../bench/race.ts';
import type { Tell } from '../bench/run.ts';
import { type Service, startService } from '../bench/service.ts';
import type { World } from '../bench/world.ts';

/** What the log costs those who act, how soon what they left is published, and how soon a backlog is gone. */

export interface SubmitResult {
  clients: number;
  /** Submits per second, medians of the rounds. */
  without: number;
  with: number;
  /** The median of the rounds' own ratios. */
  ratio: number;
  /** From when an act was recorded, which is before it committed, until its entry is published. */
  delay: { entries: number; p50_ms: number; p99_ms: number; highest_ms: number };
}

interface Means {
  database_url: string;
  dir: string;
  env: Record<string, string>;
}

const sequencing = ({ database_url, dir, env }: Means): Promise<Service> =>
  startService({ database_url, dir, env, roles: 'sequencer' });

/** In turns, with a process that sequences and without one. */
export async function measureSubmits(
  means: Means,
  world: World,
  cases: readonly Kase[],
  { clients, rounds, seconds }: { clients: number; rounds: number; seconds: number },
  tell: Tell,
): Promise<SubmitResult> {
  const service = await startService({ ...means, roles: 'api' });
  const agencies = connectAgencies(service.origin, world, clients);
  const watch = await watchHead(means.database_url);
  const next = inTurn(cases);
  const runs = { without: [] as number[], with: [] as number[] };
  const spans: { from: Date; to: Date }[] = [];
  try {
    await world.refresh();
    await drive(warmUp(clients), () => agencies.submit(next()));
    for (let round = 1; round <= rounds; round++) {
      for (const how of round % 2 === 1 ? (['without', 'with'] as const) : (['with', 'without'] as const)) {
        const sequencer = how === 'with' ? await sequencing(means) : undefined;
        if (sequencer) await watch.drained();
        await world.refresh();
        const from = new Date();
        const { per_second } = await drive({ clients, seconds }, () => agencies.submit(next()));
        const to = new Date();
        runs[how].push(per_second);
        tell(`round ${round}: submit, ${clients} clients, ${how} sequencing: ${per_second.toFixed(0)}/s`);
        if (!sequencer) continue;
        spans.push({ from, to });
        await watch.drained();
        await sequencer.stop();
      }
    }
    return {
      clients,
      without: median(runs.without),
      with: median(runs.with),
      ratio: median(runs.with.map((it, i) => it / runs.without[i]!)),
      delay: await watch.delays(spans),
    };
  } finally {
    await watch.stop();
    await agencies.close();
    await service.stop();
  }
}

export interface DrainResult {
  what: string;
  /** Of the log when it began. */
  size: number;
  entries: number;
  per_second: number;
}

/** How fast what waits gets its place, also while another transaction still sees all of it waiting. */
export async function measureDrain(
  means: Means,
  leavePending: (count: number) => Promise<void>,
  { entries, seen }: { entries: number; seen: boolean },
): Promise<DrainResult> {
  await leavePending(entries);
  const onlooker = new pg.Client(means.database_url);
  await onlooker.connect();
  const watch = await watchHead(means.database_url);
  try {
    if (seen) {
      await onlooker.query('begin isolation level repeatable read');
      await onlooker.query('select number from audit_pending limit 1');
    }
    const size = watch.size();
    const sequencer = await sequencing(means);
    await watch.drained();
    await sequencer.stop();
    const { entries: done, seconds } = watch.growth();
    return { what: seen ? 'seen by another transaction' : 'alone', size, entries: done, per_second: done / seconds };
  } finally {
    await watch.stop();
    await onlooker.end();
  }
}

const LOOK_EVERY_MS = 10;
const DRAIN_WITHIN_MS = 15 * 60_000;

/** Sees the published log grow. */
async function watchHead(database_url: string) {
  const client = new pg.Client(database_url);
  await client.connect();
  const look = async () => {
    const { rows } = await client.query<{ size: string }>('select published_size as size from audit_head');
    return Number(rows[0]?.size ?? 0);
  };
  /** Each size when it was first seen. */
  const seen = [{ at: Date.now(), size: await look() }];
  let stopped = false;
  const watching = (async () => {
    while (!stopped) {
      const size = await look();
      if (size !== seen.at(-1)!.size) seen.push({ at: Date.now(), size });
      await pause(LOOK_EVERY_MS);
    }
  })();
  watching.catch(() => {});

  return {
    size: () => seen.at(-1)!.size,
    /** All that waited got its place. */
    async drained() {
      for (const until = Date.now() + DRAIN_WITHIN_MS; ; await pause(50)) {
        const { rows } = await client.query<{ waits: boolean }>(
          `select exists (select from audit_pending) or not exists (select from audit_head where size = published_size) as waits`,
        );
        if (!rows[0]!.waits) break;
        if (Date.now() > until) throw new Error('what waits does not get its place');
      }
      await pause(5 * LOOK_EVERY_MS);
    },
    /** From the first that was seen to grow to the last. */
    growth() {
      const [first, last] = [seen[1]!, seen.at(-1)!];
      return { entries: last.size - first.size, seconds: (last.at - first.at) / 1_000 };
    },
    async delays(spans: readonly { from: Date; to: Date }[]): Promise<SubmitResult['delay']> {
      const took: number[] = [];
      for (const { from, to } of spans) {
        const { rows } = await client.query<{ index: string; at: Date }>(
          'select index, at from audit_log where at between $1 and $2 order by index',
          [from, to],
        );
        let i = 0;
        for (const { index, at } of rows) {
          while (seen[i]!.size <= Number(index)) i++;
          took.push(seen[i]!.at - at.getTime());
        }
      }
      took.sort((a, b) => a - b);
      const quantile = (share: number) => took[Math.min(took.length - 1, Math.floor(took.length * share))] ?? Number.NaN;
      return { entries: took.length, p50_ms: quantile(0.5), p99_ms: quantile(0.99), highest_ms: took.at(-1) ?? Number.NaN };
    },
    async stop() {
      stopped = true;
      await watching;
      await client.end();
    },
  };
}
