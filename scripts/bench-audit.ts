/**
 * `npm run bench:audit` measures the log: what it costs those who act, how soon it is published, how it is queried when it is long,
 * exported and checked. On a throw-away PostgreSQL, through the real service.
 *
 *   --quick              200,000 entries, one round
 *   --only a,b           of: submit export verify query drain
 *   --entries N          in the log that is queried; 5,000,000 unless said
 *   --clients 8,32 --rounds --seconds --cases
 *   --json FILE          everything as an object
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { connectAgencies, type Kase, openCases } from './bench/acts.ts';
import { describe } from './bench/measure.ts';
import { run, type Tell } from './bench/run.ts';
import type { Server } from './bench/server.ts';
import { startService } from './bench/service.ts';
import { makeWorld, type World } from './bench/world.ts';
import { measureExport, measureVerify } from './bench-audit/files.ts';
import { openFiller, readKeys } from './bench-audit/fill.ts';
import { populate } from './bench-audit/population.ts';
import { measureQueries } from './bench-audit/queries.ts';
import * as report from './bench-audit/report.ts';
import { measureDrain, measureSubmits } from './bench-audit/sequencing.ts';

const PARTS = ['submit', 'export', 'verify', 'query', 'drain'];

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string' },
    entries: { type: 'string' },
    clients: { type: 'string', default: '8,32' },
    rounds: { type: 'string' },
    seconds: { type: 'string' },
    cases: { type: 'string', default: '200' },
    json: { type: 'string' },
  },
});
const { quick } = options;
const parts = new Set(options.only?.split(',') ?? PARTS);
const unknown = [...parts].find(part => !PARTS.includes(part));
if (unknown !== undefined) throw new Error(`--only ${unknown}: there is ${PARTS.join(', ')}`);
const number = (text: string | undefined, fallback: number) => (text === undefined ? fallback : Number(text));
const plan = {
  entries: number(options.entries, quick ? 200_000 : 5_000_000),
  clients: options.clients.split(',').map(Number),
  rounds: number(options.rounds, quick ? 1 : 5),
  seconds: number(options.seconds, quick ? 2 : 6),
  cases: number(options.cases, 200),
};
/** What is exported and checked. */
const FILE_ENTRIES = 1_000_000;
const DRAINED = quick ? 50_000 : 200_000;
/** Each batch had to step over all that was taken before. */
const DRAINED_SEEN = DRAINED / 2;
/** Of the opened cases, what the entries are about. */
const REAL_CASES = 50;

await run<report.Results>({ at_most_minutes: 60, json_file: options.json, measure });

async function measure(server: Server, results: Partial<report.Results>, tell: Tell): Promise<void> {
  results.machine = await describe(server);
  const { world, cases } = await prepare(server, tell);
  if (parts.has('submit')) {
    results.submits = [];
    for (const clients of plan.clients) {
      await server.clone('world', 'service');
      const means = { ...meansOf(server, 'service'), env: { LEDGER_PATH: join(server.dir, `ledger-${clients}`) } };
      results.submits.push(await measureSubmits(means, world, cases, { ...plan, clients }, tell));
    }
    report.printSubmits(results.submits);
  }
  if (['export', 'verify', 'query', 'drain'].some(part => parts.has(part)))
    await measureLong(server, world, cases, results, tell);
}

/** What is asked of a long log. */
async function measureLong(
  server: Server,
  world: World,
  cases: readonly Kase[],
  results: Partial<report.Results>,
  tell: Tell,
): Promise<void> {
  await server.clone('world', 'log');
  const means = { ...meansOf(server, 'log'), env: {} };
  const ids = cases.slice(0, REAL_CASES).map(({ id }) => id);
  const population = populate(world, ids, plan.entries);
  const filler = await openFiller(server, 'log', population, await readKeys(server, 'log', ids));
  const fill = async (to: number) => {
    if (to <= filler.size) return;
    tell(`making entries up to ${to}`);
    await filler.fill(to);
  };

  if (parts.has('export') || parts.has('verify')) {
    await fill(Math.min(FILE_ENTRIES, plan.entries));
    const file = join(server.dir, 'export.ndjson');
    tell('export');
    results.export = await measureExport(means, world, file);
    report.printExport(results.export);
    if (parts.has('verify')) {
      tell('verify');
      results.verify = await measureVerify(file, filler.key.verifier_key);
      report.printVerify(results.verify);
    }
  }
  if (parts.has('query') || parts.has('drain')) await fill(plan.entries);
  if (parts.has('query')) {
    const queries = await measureQueries(means, world, population, tell);
    results.queries = { ...queries, entries: filler.size };
    report.printQueries(queries, filler.size);
  }
  if (parts.has('drain')) {
    results.drains = [];
    for (const seen of [false, true]) {
      tell(`sequencing what waits${seen ? ', seen by another transaction' : ''}`);
      const entries = seen ? DRAINED_SEEN : DRAINED;
      results.drains.push(await measureDrain(means, count => filler.leavePending(count), { entries, seen }));
    }
    report.printDrains(results.drains);
  }
}

function meansOf(server: Server, database: string) {
  return { database_url: server.urlOf(database), dir: server.dir };
}

/** The mechanism, and cases that can be referred. */
async function prepare(server: Server, tell: Tell): Promise<{ world: World; cases: Kase[] }> {
  const database_url = server.urlOf('world');
  await server.run('postgres', 'create role aman_app nologin', 'create database world');
  const world = await makeWorld(database_url, server.dir);
  tell(`opening ${plan.cases} cases`);
  const service = await startService({ database_url, dir: server.dir });
  const agencies = connectAgencies(service.origin, world, 16);
  try {
    return { world, cases: await openCases(agencies, world, plan.cases) };
  } finally {
    await agencies.close();
    await service.stop();
  }
}
