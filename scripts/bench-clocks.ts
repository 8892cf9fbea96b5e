/**
 * `npm run bench:clocks` measures the clocks: what a sweep costs when very many are armed and nothing is due, how late they fire,
 * how soon what fell due during an outage is done, what a holiday costs, and what BullMQ's delayed jobs would. On a throw-away
 * PostgreSQL, through the real service.
 *
 *   --quick              100,000 timers, and a tenth of everything else
 *   --only a,b           of: reckoning idle lag outage holiday jobs
 *   --timers N           armed; 1,000,000 unless said
 *   --warnings --expiries --emergencies   due at once; 45,000, 5,000 and 500 unless said
 *   --cpu-prof FOLDER    where the time of the process that sweeps goes, after an outage
 *   --json FILE          everything as an object
 */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { describe } from './bench/measure.ts';
import { prepareModel } from './bench/model.ts';
import { run, type Tell } from './bench/run.ts';
import type { Server } from './bench/server.ts';
import { askerOf, measureIdle, measureLag, measureOutage } from './bench-clocks/firing.ts';
import { measureHoliday } from './bench-clocks/holiday.ts';
import { armClocks, measureJobsOnPostgres, measureJobsOnRedis } from './bench-clocks/jobs.ts';
import { armTimers } from './bench-clocks/population.ts';
import { measureReckoning } from './bench-clocks/reckoning.ts';
import * as report from './bench-clocks/report.ts';

const PARTS = ['reckoning', 'idle', 'lag', 'outage', 'holiday', 'jobs'];
/** Of those that fall due a second, one in so many ends an offer. */
const EXPIRES_IN = 20;

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string' },
    timers: { type: 'string' },
    warnings: { type: 'string' },
    expiries: { type: 'string' },
    emergencies: { type: 'string' },
    'cpu-prof': { type: 'string' },
    json: { type: 'string' },
  },
});
const { quick } = options;
const parts = new Set(options.only?.split(',') ?? PARTS);
const unknown = [...parts].find(part => !PARTS.includes(part));
if (unknown !== undefined) throw new Error(`--only ${unknown}: there is ${PARTS.join(', ')}`);
const tenth = (count: number) => (quick ? count / 10 : count);
const plan = {
  timers: Number(options.timers ?? tenth(1_000_000)),
  few: 10_000,
  cases: 200,
  idle: { rounds: quick ? 3 : 9, sweeps: 200 },
  lag: { per_second: 200, seconds: quick ? 5 : 20 },
  outage: {
    warnings: Number(options.warnings ?? tenth(45_000)),
    expiries: Number(options.expiries ?? tenth(5_000)),
    emergencies: Number(options.emergencies ?? tenth(500)),
  },
  holiday: { clocks: tenth(100_000), before_s: quick ? 10 : 30 },
  reckonings: tenth(1_000_000),
  jobs: { armed: tenth(100_000), per_second: 200, seconds: quick ? 5 : 20 },
  profile: options['cpu-prof'] === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${resolve(options['cpu-prof'])}`],
};

await run<report.Results>({
  // When a clock fired is when that was committed.
  settings: { track_commit_timestamp: 'on' },
  at_most_minutes: 60,
  json_file: options.json,
  measure,
});

async function measure(server: Server, results: Partial<report.Results>, tell: Tell): Promise<void> {
  results.machine = await describe(server);
  const { world, cases, model } = await prepareModel(server, plan.cases, tell);
  const arm = async (database: string, count: number) => {
    tell(`arming ${count} clocks`);
    await server.clone('world', database);
    await armTimers(server.urlOf(database), server.dir, world, model, count);
  };
  if (parts.has('reckoning')) {
    results.reckoning = measureReckoning(plan.reckonings);
    report.printReckoning(results.reckoning);
  }
  const many = { database_url: server.urlOf('many'), dir: server.dir, postmaster_pid: server.pid };
  if (['idle', 'lag', 'outage', 'holiday'].some(part => parts.has(part))) await arm('many', plan.timers);
  const makeAsked = askerOf(many, world, cases);

  if (parts.has('idle')) {
    await arm('few', plan.few);
    tell('idle sweeps');
    const databases = [
      { armed: plan.few, database_url: server.urlOf('few') },
      { armed: plan.timers, database_url: many.database_url },
    ];
    results.idle = await measureIdle(databases, server.dir, plan.idle);
    report.printIdle(results.idle);
  }
  if (parts.has('lag')) {
    tell('lag');
    const { per_second, seconds } = plan.lag;
    results.lag = await measureLag(many, plan.lag, await makeAsked(Math.round((per_second * seconds) / EXPIRES_IN)));
    report.printLag(results.lag);
  }
  if (parts.has('outage')) {
    tell('an outage');
    results.outage = await measureOutage({ ...many, node_args: plan.profile }, plan.outage, makeAsked);
    report.printOutage(results.outage);
  }
  if (parts.has('holiday')) {
    tell('a holiday');
    results.holiday = await measureHoliday(many, world, plan.holiday, makeAsked);
    report.printHoliday(results.holiday);
  }
  if (parts.has('jobs')) {
    await server.clone('world', 'queue');
    const place = { database_url: server.urlOf('queue'), dir: server.dir };
    tell('rows for clocks');
    const clocks = await armClocks(place, plan.jobs.armed);
    await arm('alike', plan.jobs.armed);
    const { p50_ms, p99_ms } = await measureLag({ ...many, database_url: server.urlOf('alike') }, plan.jobs, []);
    tell('delayed jobs');
    const on_redis = await measureJobsOnRedis(place, plan.jobs);
    const on_postgres = await measureJobsOnPostgres(place, plan.jobs);
    results.armed = [{ ...clocks, lag: { p50_ms, p99_ms } }, on_postgres, ...(on_redis ? [on_redis] : [])];
    report.printArmed(results.armed, plan.jobs.per_second);
  }
}
