/**
 * `npm run bench` measures the service as it really runs, against what `pg` alone needs to write the same rows (bench/raw.ts), on
 * a throw-away PostgreSQL that keeps what it commits. What counts are ratios: both run in turns in the same minutes.
 */
import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { connectAgencies, openCases } from './bench/acts.ts';
import { RACED, type Raced, race, recordActs } from './bench/race.ts';
import { startServer } from './bench/server.ts';
import { startService, stopServices } from './bench/service.ts';
import { makeWorld } from './bench/world.ts';

const { values: options } = parseArgs({
  options: {
    only: { type: 'string' },
    seconds: { type: 'string' },
    rounds: { type: 'string' },
    clients: { type: 'string' },
    cases: { type: 'string' },
    quick: { type: 'boolean', default: false },
    json: { type: 'string' },
  },
});
const number = (text: string | undefined, fallback: number) => (text === undefined ? fallback : Number(text));
const only = options.only?.split(',') ?? [...RACED];
const acts = RACED.filter(act => only.includes(act)) as Raced[];
const seconds = number(options.seconds, options.quick ? 2 : 5);
const rounds = number(options.rounds, options.quick ? 1 : 3);
const clients = (options.clients ?? '8,32').split(',').map(Number);
const cases_wanted = number(options.cases, options.quick ? 200 : 1_000);

/** Far more than it takes. */
const OVERALL_MS = 15 * 60_000;

const started_at = performance.now();
const tell = (text: string) => console.error(`${((performance.now() - started_at) / 1_000).toFixed(0).padStart(4)} s  ${text}`);

/** Ends the run from outside, so that nothing is left behind. */
const broken_off = Promise.withResolvers<never>();
broken_off.promise.catch(() => {});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.on(signal, () => broken_off.reject(new Error(`${signal}: stopped before the end`)));
setTimeout(() => broken_off.reject(new Error(`not over within ${OVERALL_MS / 60_000} minutes`)), OVERALL_MS).unref();

const server = await startServer();
try {
  await Promise.race([measure(), broken_off.promise]);
} catch (error) {
  console.error(error);
  process.exitCode = 1;
} finally {
  await stopServices();
  await server.stop();
}
process.exit();

async function measure(): Promise<void> {
  const { dir } = server;
  await server.run('postgres', 'create role aman_app nologin', 'create database world');
  const world = await makeWorld(server.urlOf('world'), dir);

  tell(`opening ${cases_wanted} cases`);
  const first = await startService({ database_url: server.urlOf('world'), dir });
  const agencies = connectAgencies(first.origin, world, 16);
  const cases = await openCases(agencies, world, cases_wanted);
  const recorded = await recordActs(server.urlOf('world'), agencies, world, cases);
  await agencies.close();
  await first.stop();

  await server.clone('world', 'raw');
  await server.clone('world', 'service');
  const service_url = server.urlOf('service');
  const service = await startService({ database_url: service_url, dir });
  tell(`the service is ready, in ${service.ready_ms.toFixed(0)} ms`);
  const track = { world, cases, recorded, service, service_url, raw_url: server.urlOf('raw') };
  const races = [];
  for (const count of clients) races.push(...(await race(track, { acts, clients: count, rounds, seconds }, tell)));
  console.table(
    races.map(({ act, clients, raw, service, ratio }) => ({
      act,
      clients,
      'raw /s': Math.round(raw.per_second),
      'service /s': Math.round(service.per_second),
      ratio: ratio.toFixed(3),
      'p50 ms': service.p50_ms.toFixed(1),
      'p99 ms': service.p99_ms.toFixed(1),
      'raw p99 ms': raw.p99_ms.toFixed(1),
    })),
  );
  if (options.json) await writeFile(options.json, `${JSON.stringify({ races }, null, 2)}\n`);
}
