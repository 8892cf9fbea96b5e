import { connectAgencies, findAsked, type Kase, openCases } from './acts.ts';
import type { Tell } from './run.ts';
import type { Server } from './server.ts';
import { startService } from './service.ts';
import { makeWorld, type World } from './world.ts';

/** A case with a referral and an offer, of which others are copies. */
export interface Model {
  kase: Kase;
  referral_id: string;
}

/** Makes database `world`: the mechanism, so many cases that can be referred, and beside them one that was. */
export async function prepareModel(
  server: Server,
  count: number,
  tell: Tell,
): Promise<{ world: World; cases: Kase[]; model: Model }> {
  const database_url = server.urlOf('world');
  await server.run('postgres', 'create role aman_app nologin', 'create database world');
  const world = await makeWorld(database_url, server.dir);
  tell(`opening ${count} cases`);
  const service = await startService({ database_url, dir: server.dir });
  const agencies = connectAgencies(service.origin, world, 16);
  try {
    const [first, ...cases] = await openCases(agencies, world, count);
    const { referral_id } = await findAsked(database_url, world, await agencies.submit(first!));
    return { world, cases, model: { kase: first!, referral_id } };
  } finally {
    await agencies.close();
    await service.stop();
  }
}
