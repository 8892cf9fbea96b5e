/**
 * `npm run bench:routing` measures routing: how soon it is known who could take a referral, in a directory with very many services, and
 * for whom a country has no route; and whether places are given to whom they are due. On a throw-away PostgreSQL, through the real service.
 *
 *   --quick              for two seconds each instead of ten
 *   --only a,b           of: candidates places coverage
 *   --services N         in the directory; 5,000 unless said
 *   --cpu-prof FOLDER    where the time of the service goes
 *   --json FILE          everything as an object
 */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { describe } from './bench/measure.ts';
import { prepareModel } from './bench/model.ts';
import { run, type Tell } from './bench/run.ts';
import type { Server } from './bench/server.ts';
import { measureCandidates } from './bench-routing/candidates.ts';
import { measureCoverage } from './bench-routing/coverage.ts';
import { measurePlaces } from './bench-routing/places.ts';
import * as report from './bench-routing/report.ts';

const PARTS = ['candidates', 'places', 'coverage'];

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string' },
    services: { type: 'string' },
    'cpu-prof': { type: 'string' },
    json: { type: 'string' },
  },
});
const { quick } = options;
const parts = new Set(options.only?.split(',') ?? PARTS);
const unknown = [...parts].find(part => !PARTS.includes(part));
if (unknown !== undefined) throw new Error(`--only ${unknown}: there is ${PARTS.join(', ')}`);
const plan = {
  candidates: {
    services: Number(options.services ?? 5_000),
    seconds: quick ? 2 : 10,
    clients: [1, 8],
    ...(options['cpu-prof'] === undefined ? {} : { profile_folder: resolve(options['cpu-prof']) }),
  },
  places: { referrals: quick ? 200 : 1_000, places: quick ? 20 : 100, at_most_s: 300 },
  coverage: { count: Number(options.services ?? 5_000), rounds: quick ? 3 : 9 },
};

await run<report.Results>({ at_most_minutes: 30, json_file: options.json, measure });

async function measure(server: Server, results: Partial<report.Results>, tell: Tell): Promise<void> {
  results.machine = await describe(server);
  const { world, model } = await prepareModel(server, 1, tell);
  if (parts.has('candidates')) {
    tell('candidates');
    results.candidates = await measureCandidates(server, world, model, plan.candidates);
    report.printCandidates(results.candidates);
  }
  if (parts.has('places')) {
    tell('places');
    results.places = await measurePlaces(server, world, plan.places);
    report.printPlaces(results.places);
  }
  if (parts.has('coverage')) {
    tell('coverage');
    await server.clone('world', 'coverage');
    results.coverage = await measureCoverage({ database_url: server.urlOf('coverage'), dir: server.dir }, plan.coverage);
    report.printCoverage(results.coverage);
  }
}
