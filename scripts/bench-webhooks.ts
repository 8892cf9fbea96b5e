/**
 * `npm run bench:webhooks` measures notifications: how soon after its act an event is sent, how many can be sent in a second, what a
 * dead and a slow receiver cost the others, and how soon those that were off have everything. On a throw-away PostgreSQL, to
 * receivers on loopback, through the real service, with the queue in the database and on Redis, where there is a redis-server.
 *
 *   --quick              a tenth of everything
 *   --only a,b           of: lag fanout trouble recovery
 *   --queues a,b         of: postgres redis
 *   --endpoints N        50 unless said
 *   --events N           of the fan-out; 30,000 unless said
 *   --parked N           of the recovery; 100,000 unless said
 *   --statements         what the fan-out asks of the database, by the time that it takes
 *   --cpu-prof FOLDER    where the time of the process that sends goes
 *   --json FILE          everything as an object
 */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { describe } from './bench/measure.ts';
import { prepareModel } from './bench/model.ts';
import { startRedis } from './bench/redis.ts';
import { run, type Tell } from './bench/run.ts';
import type { Server } from './bench/server.ts';
import { addReceivers } from './bench-webhooks/population.ts';
import * as report from './bench-webhooks/report.ts';
import { type Means, measureBare, measureFanOut, measureLag, measureRecovery, measureTrouble } from './bench-webhooks/sending.ts';
import { startSink } from './bench-webhooks/sink.ts';
import { countStatements, readStatements } from './bench-webhooks/statements.ts';

const PARTS = ['lag', 'fanout', 'trouble', 'recovery'];
const QUEUES = ['postgres', 'redis'];

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string' },
    queues: { type: 'string' },
    endpoints: { type: 'string' },
    events: { type: 'string' },
    parked: { type: 'string' },
    statements: { type: 'boolean', default: false },
    'cpu-prof': { type: 'string' },
    json: { type: 'string' },
  },
});
const { quick } = options;
function choose(name: string, chosen: string | undefined, all: readonly string[]): ReadonlySet<string> {
  const unknown = chosen?.split(',').find(it => !all.includes(it));
  if (unknown !== undefined) throw new Error(`--${name} ${unknown}: there is ${all.join(', ')}`);
  return new Set(chosen?.split(',') ?? all);
}
const parts = choose('only', options.only, PARTS);
const queues = choose('queues', options.queues, QUEUES);
const tenth = (count: number) => (quick ? count / 10 : count);
const plan = {
  endpoints: Number(options.endpoints ?? 50),
  lag: { per_second: 100, seconds: quick ? 5 : 20 },
  bare_s: quick ? 2 : 5,
  events: Number(options.events ?? tenth(30_000)),
  trouble: { per_second: 100, seconds: quick ? 5 : 15, rounds: quick ? 1 : 3 },
  parked: Number(options.parked ?? tenth(100_000)),
  max_per_second: 500,
};
const node_args = options['cpu-prof'] === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${resolve(options['cpu-prof'])}`];

await run<report.Results>({
  settings: options.statements ? { shared_preload_libraries: 'pg_stat_statements', 'pg_stat_statements.track': 'all' } : {},
  at_most_minutes: 60,
  json_file: options.json,
  measure,
});

async function measure(server: Server, results: Partial<report.Results>, tell: Tell): Promise<void> {
  results.machine = await describe(server);
  const { model } = await prepareModel(server, 1, tell);
  const sink = await startSink();
  const redis = queues.has('redis') ? await startRedis(server.dir) : null;
  if (queues.has('redis') && !redis) tell('there is no redis-server');
  const backends = [
    ...(queues.has('postgres') ? [{ queue: 'PostgreSQL', redis_url: null }] : []),
    ...(redis ? [{ queue: 'Redis', redis_url: redis.url }] : []),
  ];
  const urls = Array.from({ length: plan.endpoints }, (_, i) => `${sink.url}/${i}`);
  /** A fresh mechanism for each part, on either queue. */
  const prepare = async (queue: string, redis_url: string | null, events: number) => {
    await server.clone('world', 'sending');
    const means: Means = {
      database_url: server.urlOf('sending'),
      dir: server.dir,
      postmaster_pid: server.pid,
      redis_url,
      node_args,
    };
    const receivers = await addReceivers(means, model, {
      urls,
      referrals: Math.ceil((events + plan.endpoints * 10) / 5) + plan.endpoints,
      max_per_second: plan.max_per_second,
    });
    return { queue, means, receivers };
  };
  try {
    if (parts.has('lag')) {
      results.lag = [];
      for (const { queue, redis_url } of backends) {
        tell(`lag, queue on ${queue}`);
        const { means, receivers } = await prepare(queue, redis_url, plan.lag.per_second * plan.lag.seconds);
        results.lag.push({ queue, ...(await measureLag(means, receivers, sink, plan.lag)) });
      }
      report.printLag(results.lag);
    }
    if (parts.has('fanout')) {
      results.bare_per_second = [];
      results.fan_out = [];
      for (const { queue, redis_url } of backends) {
        const { means, receivers } = await prepare(queue, redis_url, plan.events);
        tell('bare posts');
        results.bare_per_second.push(await measureBare(sink, plan.bare_s));
        tell(`fan-out, queue on ${queue}`);
        if (options.statements) await countStatements(server, 'sending');
        results.fan_out.push({ queue, ...(await measureFanOut(means, receivers, sink, plan.events)) });
        if (options.statements) report.printStatements(queue, await readStatements(server, 'sending', plan.events));
      }
      results.bare_per_second.push(await measureBare(sink, plan.bare_s));
      report.printFanOut(results.bare_per_second, results.fan_out);
    }
    if (parts.has('trouble')) {
      results.trouble = [];
      for (const { queue, redis_url } of backends) {
        tell(`trouble, queue on ${queue}`);
        const { per_second, seconds, rounds } = plan.trouble;
        const { means, receivers } = await prepare(queue, redis_url, per_second * seconds * rounds * 2);
        results.trouble.push({ queue, ...(await measureTrouble(means, receivers, sink, plan.trouble)) });
      }
      report.printTrouble(results.trouble);
    }
    if (parts.has('recovery')) {
      results.recovery = [];
      for (const { queue, redis_url } of backends) {
        tell(`recovery, queue on ${queue}`);
        const { means, receivers } = await prepare(queue, redis_url, plan.parked);
        results.recovery.push({ queue, ...(await measureRecovery(means, receivers, sink, plan.parked)) });
      }
      report.printRecovery(results.recovery);
    }
  } finally {
    await redis?.stop();
    await sink.close();
  }
}
