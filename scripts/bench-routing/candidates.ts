import { join } from 'node:path';
import { SERVICES } from '../../src/core/codes.ts';
import { connectAgencies } from '../bench/acts.ts';
import { type Cpu, readCpu } from '../bench/cpu.ts';
import { drive } from '../bench/driver.ts';
import type { Model } from '../bench/model.ts';
import type { Server } from '../bench/server.ts';
import { startService } from '../bench/service.ts';
import type { World } from '../bench/world.ts';
import { asOwner, idOf } from '../bench-clocks/population.ts';

/** Who could take a referral, asked over HTTP of a directory with very many services. */

export const DIRECTORIES = { 'all codes': SERVICES, 'one code': ['shelter_accommodation'] } as const;
export type Directory = keyof typeof DIRECTORIES;

export interface CandidatesResult {
  directory: Directory;
  services: number;
  clients: number;
  per_second: number;
  p50_ms: number;
  p99_ms: number;
  cpu?: Cpu;
}

/** So many services, each of an agency of its own that is like a shelter of the world; every other one counts its places. */
export const fillDirectory = (database_url: string, world: World, count: number, codes: readonly string[]): Promise<void> =>
  asOwner(database_url, async client => {
    const like = (changed: Record<string, string>) =>
      `jsonb_populate_record(x, jsonb_build_object(${Object.entries(changed).map(([name, sql]) => `'${name}', ${sql}`)})) r`;
    const id = idOf('agy', 'n');
    const code = `($2::text[])[n % cardinality($2::text[]) + 1]`;
    const model = world.shelters[0]!.id;
    await client.query(
      `insert into agencies select r.* from agencies x, generate_series(0, $2::int - 1) n, ${like({ id, name: `'Sample ' || n` })} where x.id = $1`,
      [model, count],
    );
    for (const [table, every] of [
      ['services', 1],
      ['capacities', 2],
    ] as const)
      await client.query(
        `insert into ${table} select r.* from ${table} x, generate_series(0, $3::int - 1, ${every}) n,
          ${like({ agency_id: id, service: code })} where x.agency_id = $1`,
        [model, codes, count],
      );
    await client.query('vacuum analyze');
  });

export async function measureCandidates(
  server: Server,
  world: World,
  { kase, referral_id }: Model,
  {
    services,
    seconds,
    clients,
    profile_folder,
  }: { services: number; seconds: number; clients: readonly number[]; profile_folder?: string },
): Promise<CandidatesResult[]> {
  const results: CandidatesResult[] = [];
  for (const [directory, codes] of Object.entries(DIRECTORIES) as [Directory, readonly string[]][]) {
    await server.clone('world', 'directory');
    const database_url = server.urlOf('directory');
    await fillDirectory(database_url, world, services, codes);
    const node_args =
      profile_folder === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${join(profile_folder, directory.replace(' ', '-'))}`];
    const service = await startService({ database_url, dir: server.dir, node_args });
    const agencies = connectAgencies(service.origin, world, Math.max(...clients));
    await world.refresh();
    const ask = () => agencies.get(kase.owner, `/v1/referrals/${referral_id}/candidates`);
    const cpu = () => readCpu(service.pid, server.pid);
    try {
      await drive({ clients: 4, seconds: 2, least: 50 }, ask);
      for (const count of clients) {
        const { per_second, p50_ms, p99_ms, cpu: used } = await drive({ clients: count, seconds, cpu }, ask);
        results.push({ directory, services, clients: count, per_second, p50_ms, p99_ms, ...(used ? { cpu: used } : {}) });
      }
    } finally {
      await agencies.close();
      await service.stop();
    }
  }
  return results;
}
