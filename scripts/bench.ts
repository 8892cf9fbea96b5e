/**
 * `npm run bench` measures the service as it really runs, against what `pg` alone needs to write the same rows (bench/raw.ts), on
 * a throw-away PostgreSQL that keeps what it commits. What counts are ratios: both run in turns in the same minutes.
 *
 *   --quick              a look within 90 s: submit, accept, read, start
 *   --only a,b           of: submit accept read costs start inbox token memory
 *   --workers off|on|both   both by default
 *   --seconds --rounds --clients 8,32 --cases --referrals
 *   --statements         with `costs`: every statement that an act says, by round trip
 *   --cpu-prof FOLDER    where the time of submit, accept and read goes, and nothing else
 *   --memory             nothing but memory, over 200,000 requests
 *   --json FILE          everything as an object
 */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { REFERRALS } from './bench/inbox.ts';
import { measure, PARTS, type Plan } from './bench/measure.ts';
import { RACED } from './bench/race.ts';
import type { Results } from './bench/report.ts';
import { run } from './bench/run.ts';

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string' },
    workers: { type: 'string' },
    seconds: { type: 'string' },
    rounds: { type: 'string' },
    clients: { type: 'string' },
    cases: { type: 'string' },
    referrals: { type: 'string' },
    statements: { type: 'boolean', default: false },
    'cpu-prof': { type: 'string' },
    memory: { type: 'boolean', default: false },
    json: { type: 'string' },
  },
});
const number = (text: string | undefined, fallback: number) => (text === undefined ? fallback : Number(text));
const { quick } = options;
const chosen = options.only?.split(',') ?? (quick ? [...RACED, 'start'] : options.memory ? ['memory'] : PARTS);
const unknown = chosen.find(part => !PARTS.includes(part));
if (unknown !== undefined) throw new Error(`--only ${unknown}: there is ${PARTS.join(', ')}`);
const acts = RACED.filter(act => chosen.includes(act));
const plan: Plan = {
  parts: new Set(chosen),
  acts,
  workers: (['off', 'on'] as const).filter(it => [it, 'both'].includes(options.workers ?? (quick ? 'off' : 'both'))),
  seconds: number(options.seconds, quick ? 1 : 4),
  rounds: number(options.rounds, quick ? 1 : 3),
  clients: (options.clients ?? '8,32').split(',').map(Number),
  cases: number(options.cases, quick ? 100 : 800),
  referrals: number(options.referrals, quick ? REFERRALS / 10 : REFERRALS),
  statements: options.statements,
  memory: options.memory ? { requests: 200_000, seconds: 100 * 60 } : { requests: 5_000, seconds: 40 },
  profile_folder: options['cpu-prof'] === undefined ? undefined : resolve(options['cpu-prof']),
};

await run<Results>({
  settings:
    plan.profile_folder === undefined
      ? {}
      : { shared_preload_libraries: 'pg_stat_statements', 'pg_stat_statements.track_planning': 'on' },
  at_most_minutes: options.memory ? 120 : 20,
  json_file: options.json,
  measure: (server, results, tell) => measure(server, plan, results, tell),
});
