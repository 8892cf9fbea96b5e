import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { connectAgencies } from './acts.ts';
import { readCpu } from './cpu.ts';
import type { Measured } from './driver.ts';
import { type Raced, serviceLane, type Track, warmUp } from './race.ts';
import { startService } from './service.ts';

/** Where the time of one act goes: in the service by function, package and file, in PostgreSQL by statement. */

export interface Profile {
  act: Raced;
  measured: Measured;
  /** Shares of the samples in which the service's main thread was not idle. */
  functions: Share[];
  places: Share[];
  idle: number;
  statements: { text: string; calls: number; ms: number; planning_ms: number }[];
}

interface Share {
  name: string;
  share: number;
}

/** Needs a server that has loaded `pg_stat_statements`. */
export async function profileAct(
  track: Omit<Track, 'service'>,
  { act, clients, seconds, dir, folder, postmaster_pid }: ProfilePlan,
): Promise<Profile> {
  await mkdir(folder, { recursive: true });
  const before = new Set(await readdir(folder));
  const service = await startService({
    database_url: track.service_url,
    dir,
    node_args: ['--cpu-prof', `--cpu-prof-dir=${folder}`],
  });
  const agencies = connectAgencies(service.origin, track.world, clients);
  const admin = new pg.Client(track.service_url);
  await admin.connect();
  try {
    await admin.query('create extension if not exists pg_stat_statements');
    const lane = serviceLane(track, agencies);
    await track.world.refresh();
    await lane(act, warmUp(clients));
    await track.world.refresh();
    const measured = await lane(act, {
      clients,
      seconds,
      cpu: () => readCpu(service.pid, postmaster_pid),
      begin: async () => void (await admin.query('select pg_stat_statements_reset()')),
    });
    const statements = await listStatements(admin, measured.steps);
    await service.stop();
    const [file] = (await readdir(folder)).filter(name => name.endsWith('.cpuprofile') && !before.has(name));
    if (!file) throw new Error('the service left no profile');
    const summary = summarise(JSON.parse(await readFile(join(folder, file), 'utf8')), measured);
    return { act, measured, statements, ...summary };
  } finally {
    await agencies.close();
    await admin.end();
    await service.stop();
  }
}

export interface ProfilePlan {
  act: Raced;
  clients: number;
  seconds: number;
  /** The service's own folder, and that of the profiles. */
  dir: string;
  folder: string;
  postmaster_pid: number;
}

async function listStatements(admin: pg.Client, steps: number) {
  const { rows } = await admin.query<{ text: string; calls: number; ms: number; planning_ms: number }>(
    `select regexp_replace(query, '\\s+', ' ', 'g') as text, sum(calls)::float8 / $1 as calls,
       sum(total_exec_time)::float8 / $1 as ms, sum(total_plan_time)::float8 / $1 as planning_ms
     from pg_stat_statements group by 1 order by sum(total_exec_time + total_plan_time) desc limit 40`,
    [steps],
  );
  return rows;
}

interface CpuProfile {
  nodes: { id: number; callFrame: { functionName: string; url: string; lineNumber: number } }[];
  samples: number[];
  timeDeltas: number[];
  startTime: number;
}

const MOST = 30;
const NOT_WORKING = '(idle)';

/** Self time while it was measured; profiles have the same clock. */
function summarise({ nodes, samples, timeDeltas, startTime }: CpuProfile, { began_at_us, ended_at_us }: Measured) {
  const frames = new Map(nodes.map(({ id, callFrame }) => [id, callFrame]));
  const functions = new Map<string, number>();
  const places = new Map<string, number>();
  let at = startTime;
  let busy = 0;
  let idle = 0;
  for (const [i, sample] of samples.entries()) {
    const spent = timeDeltas[i]!;
    at += spent;
    if (at < began_at_us || at > ended_at_us) continue;
    const { functionName, url, lineNumber } = frames.get(sample)!;
    if (functionName === NOT_WORKING) {
      idle += spent;
      continue;
    }
    busy += spent;
    const place = placeOf(url, functionName);
    add(places, place, spent);
    add(functions, url ? `${functionName || '(anonymous)'}  ${fileOf(url)}:${lineNumber + 1}` : functionName, spent);
  }
  const top = (all: Map<string, number>): Share[] =>
    [...all]
      .sort((a, b) => b[1] - a[1])
      .slice(0, MOST)
      .map(([name, spent]) => ({ name, share: spent / busy }));
  return { functions: top(functions), places: top(places), idle: idle / (idle + busy) };
}

const add = (all: Map<string, number>, name: string, spent: number) => all.set(name, (all.get(name) ?? 0) + spent);

const fileOf = (url: string): string => url.replace(/^.*\/(?=node_modules\/|src\/)/, '').replace(/^file:\/\//, '');

/** A package, a file of the service, `node:` and its module, or what the engine itself does. */
function placeOf(url: string, name: string): string {
  if (url === '') return name;
  if (url.startsWith('node:')) return url.split('/').slice(0, 2).join('/');
  const file = fileOf(url);
  return /^node_modules\/(?:.*\/node_modules\/)?((?:@[^/]+\/)?[^/]+)/.exec(file)?.[1] ?? file;
}
