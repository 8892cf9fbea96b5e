import { availableParallelism, totalmem } from 'node:os';
import pg from 'pg';
import { connectAgencies, findAsked, openCases } from './acts.ts';
import { measureCosts } from './costs.ts';
import { readCpu } from './cpu.ts';
import { drive, median } from './driver.ts';
import { fillInboxes, type Model, makeModels, measureInboxes } from './inbox.ts';
import { measureMemory } from './memory.ts';
import { profileAct } from './profile.ts';
import { RACED, type Raced, race, recordActs, type Track } from './race.ts';
import * as report from './report.ts';
import type { Tell } from './run.ts';
import type { Server } from './server.ts';
import { startService } from './service.ts';
import { readBacklog, registerAll, startReceivers } from './webhooks.ts';
import { makeWorld } from './world.ts';

/**
 * The parts of a run, in order, each told as soon as it is there. Each has the service to itself, and a copy of one database in
 * which the mechanism, its cases and their consents are.
 */

export const PARTS: readonly string[] = [...RACED, 'costs', 'start', 'token', 'inbox', 'memory'];

export interface Plan {
  parts: ReadonlySet<string>;
  acts: readonly Raced[];
  workers: readonly ('off' | 'on')[];
  seconds: number;
  rounds: number;
  clients: readonly number[];
  cases: number;
  referrals: number;
  statements: boolean;
  memory: { requests: number; seconds: number };
  /** Instead of everything else: where the time goes. */
  profile_folder?: string;
}

type Stage = Omit<Track, 'service'> & { models: Model[] };

const STARTS = 5;
const PROFILE_SECONDS = 8;
const DRAIN_MS = 20_000;

/** @param results is filled as it goes: what was measured before something failed is kept */
export async function measure(server: Server, plan: Plan, results: Partial<report.Results>, tell: Tell): Promise<void> {
  results.machine = await describe(server);
  const stage = await prepare(server, plan.cases, tell);
  const { parts, acts } = plan;
  const whole = acts.length > 0 ? acts : RACED;
  /** A fresh copy for the next part. */
  const renew = () => Promise.all(['service', 'raw'].map(name => server.clone('world', name)));

  if (plan.profile_folder !== undefined) {
    results.profiles = [];
    for (const act of whole) {
      tell(`profile of ${act}`);
      await renew();
      const clients = Math.max(...plan.clients);
      const { dir, pid: postmaster_pid } = server;
      const seconds = PROFILE_SECONDS;
      results.profiles.push(await profileAct(stage, { act, clients, seconds, dir, folder: plan.profile_folder, postmaster_pid }));
      report.printProfile(results.profiles.at(-1)!);
    }
    return;
  }
  for (const workers of acts.length > 0 ? plan.workers : []) {
    await renew();
    await raceWith(server, stage, plan, workers, results, tell);
  }
  if (parts.has('costs')) {
    tell('round trips and log');
    await renew();
    results.costs = await measureCosts(stage, server.dir, whole);
    report.printCosts(results.costs, plan.statements);
  }
  if (parts.has('start')) {
    tell('start');
    await renew();
    results.start = await measureStart(server, stage.service_url);
    report.printStart(results.start);
  }
  if (parts.has('token')) {
    tell('tokens');
    results.tokens = await measureTokens(server, stage, plan);
    report.printTokens(results.tokens);
  }
  if (parts.has('inbox')) {
    tell(`making ${plan.referrals} referrals`);
    await renew();
    await fillInboxes(stage.service_url, stage.world, stage.models, plan.referrals);
    tell('inboxes');
    const { seconds } = plan;
    results.inboxes = await measureInboxes(stage.service_url, server.dir, stage.world, { clients: 8, seconds });
    report.printInboxes(results.inboxes);
  }
  if (parts.has('memory')) {
    tell(`memory over ${plan.memory.requests} requests`);
    await renew();
    results.memory = await measureMemory(stage, server.dir, plan.memory);
    report.printMemory(results.memory);
  }
}

async function prepare(server: Server, count: number, tell: Tell): Promise<Stage> {
  const database_url = server.urlOf('world');
  await server.run('postgres', 'create role aman_app nologin', 'create database world');
  const world = await makeWorld(database_url, server.dir);
  tell(`opening ${count} cases`);
  const service = await startService({ database_url, dir: server.dir });
  const agencies = connectAgencies(service.origin, world, 16);
  try {
    const cases = await openCases(agencies, world, count);
    const recorded = await recordActs(database_url, agencies, world, cases);
    const models = await makeModels(agencies, cases.slice(2), id => findAsked(database_url, world, id));
    const [service_url, raw_url] = [server.urlOf('service'), server.urlOf('raw')];
    return { world, cases, recorded, models, service_url, raw_url, postmaster_pid: server.pid };
  } finally {
    await agencies.close();
    await service.stop();
  }
}

async function raceWith(
  server: Server,
  stage: Stage,
  plan: Plan,
  workers: 'off' | 'on',
  results: Partial<report.Results>,
  tell: Tell,
): Promise<void> {
  const { service_url, world } = stage;
  const roles = workers === 'on' ? 'api,worker' : 'api';
  const service = await startService({ database_url: service_url, dir: server.dir, roles });
  const receivers = workers === 'on' ? await startReceivers() : undefined;
  try {
    if (receivers) {
      const agencies = connectAgencies(service.origin, world, 1);
      await registerAll(agencies, world, receivers);
      await agencies.close();
    }
    const races = [];
    const rest = receivers && (() => readBacklog(service_url, DRAIN_MS));
    for (const clients of plan.clients) {
      races.push(...(await race({ ...stage, service, rest }, { ...plan, clients }, text => tell(`workers ${workers}, ${text}`))));
    }
    results.races = { ...results.races, [workers]: races };
    report.printRaces(workers, races);
    if (receivers) {
      results.backlog = await readBacklog(service_url, DRAIN_MS);
      report.printBacklog(results.backlog);
    }
  } finally {
    await service.stop();
    await receivers?.close();
  }
}

async function measureStart({ dir }: Server, database_url: string): Promise<report.StartResult> {
  const ready_ms: number[] = [];
  const resident: number[] = [];
  for (let i = 0; i < STARTS; i++) {
    const service = await startService({ database_url, dir, roles: 'api,worker' });
    ready_ms.push(service.ready_ms);
    resident.push(service.memory().now);
    await service.stop();
  }
  return { ready_ms, median_ms: median(ready_ms), resident_mib: median(resident) };
}

async function measureTokens({ dir, pid }: Server, { service_url, world }: Stage, { clients, seconds }: Plan) {
  const service = await startService({ database_url: service_url, dir });
  const results: NonNullable<report.Results['tokens']> = [];
  try {
    for (const count of clients) {
      const agencies = connectAgencies(service.origin, world, count);
      const cpu = () => readCpu(service.pid, pid);
      const measured = await drive({ clients: count, seconds, cpu }, client =>
        agencies.issueToken(world.parties[client % world.parties.length]!),
      );
      results.push({ clients: count, measured });
      await agencies.close();
    }
    return results;
  } finally {
    await service.stop();
  }
}

export async function describe(server: Server): Promise<report.Results['machine']> {
  const client = new pg.Client(server.urlOf('postgres'));
  await client.connect();
  const { rows } = await client.query<{ server_version: string }>('show server_version');
  await client.end();
  return {
    cpus: availableParallelism(),
    memory_gib: Math.round(totalmem() / 2 ** 30),
    node: process.version,
    postgres: rows[0]!.server_version,
  };
}
