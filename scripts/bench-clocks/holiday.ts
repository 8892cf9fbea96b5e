import { setTimeout as pause } from 'node:timers/promises';
import pg from 'pg';
import { insertClient } from '../../src/access/store.ts';
import { systemActor } from '../../src/core/access.ts';
import { SCOPES } from '../../src/core/codes.ts';
import { readConfig } from '../../src/platform/config.ts';
import { transact } from '../../src/platform/database.ts';
import { newId } from '../../src/platform/ids.ts';
import { createLogger } from '../../src/platform/log.ts';
import { openServices } from '../../src/services.ts';
import { type Agencies, type Asked, connectAgencies, listAsked } from '../bench/acts.ts';
import { PUBLIC_URL, startService } from '../bench/service.ts';
import type { World } from '../bench/world.ts';
import type { Means } from './firing.ts';
import { asOwner } from './population.ts';

/** What a holiday costs that moves very many clocks, and those who accept meanwhile. */

export interface HolidayResult {
  moved: number;
  seconds: number;
  /** Of acceptances, at a steady pace: before, and while clocks were moved. */
  before: Paced;
  meanwhile: Paced;
}

interface Paced {
  count: number;
  p50_ms: number;
  p99_ms: number;
}

const ACCEPTS_PER_SECOND = 15;
const WITHIN_S = 300;

/** @param clocks so many run along the calendar */
export async function measureHoliday(
  means: Means,
  world: World,
  { clocks, before_s }: { clocks: number; before_s: number },
  makeAsked: (count: number) => Promise<string[]>,
): Promise<HolidayResult> {
  const made = new Set(await makeAsked(ACCEPTS_PER_SECOND * (before_s + 60)));
  const calendar_id = await leaveClocks(means.database_url, clocks);
  const admin = await insertAdmin(means, world);
  const api = await startService({ ...means, node_args: [], roles: 'api' });
  const worker = await startService({ ...means, roles: 'worker' });
  const agencies = connectAgencies(api.origin, world, 16);
  try {
    await world.refresh();
    const asked = (await listAsked(means.database_url, world)).filter(({ referral_id }) => made.has(referral_id));
    await accept(agencies, asked, 5_000, () => false);
    const before = await accept(agencies, asked, before_s * 1_000, () => false);
    let is_moved = false;
    const moving = announce(api.origin, await world.tokenFor(admin), calendar_id).then(() => untilMoved(means.database_url));
    const stop = () => {
      is_moved = true;
    };
    moving.then(stop, stop);
    const meanwhile = await accept(agencies, asked, WITHIN_S * 1_000, () => is_moved);
    return { moved: clocks, seconds: await moving, before, meanwhile };
  } finally {
    await agencies.close();
    await worker.stop();
    await api.stop();
  }
}

/** Of the clocks that run along the calendar all but so many are taken off it. @returns the calendar */
const leaveClocks = (database_url: string, clocks: number): Promise<string> =>
  asOwner(database_url, async client => {
    const { rows } = await client.query<{ id: string }>('select min(id) as id from calendars');
    await client.query(
      `update timers set calendar_id = null, calendar_version = null, clock = 'elapsed', duration = 'P8D' where id in (
         select id from timers where calendar_id is not null and state = 'running' order by id offset $1)`,
      [clocks],
    );
    await client.query('vacuum analyze timers');
    return rows[0]!.id;
  });

/** A client of the committee that may change calendars. */
async function insertAdmin({ database_url, dir }: Means, world: World): Promise<string> {
  const config = readConfig({ DATABASE_URL: database_url, DATA_DIR: dir, PUBLIC_URL, LOG_LEVEL: 'warn', ROLES: 'api' });
  const services = await openServices(config, createLogger('warn'), database_url);
  try {
    const id = newId('cli');
    const now = services.now();
    await transact(services, systemActor('setup'), tx =>
      insertClient(tx, {
        id,
        agency_id: world.committee.id,
        description: 'sample',
        scopes: [...SCOPES],
        status: 'active',
        created_at: now,
        updated_at: now,
      }),
    );
    return id;
  } finally {
    await services.close();
  }
}

async function announce(origin: string, token: string, calendar_id: string): Promise<void> {
  const date = new Date(Date.now() + 86_400_000).toISOString().slice(0, 10);
  const answer = await fetch(`${origin}/v1/calendars/${calendar_id}/holidays/${date}`, {
    method: 'PUT',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ name: 'Sample holiday' }),
  });
  if (answer.status !== 200) throw new Error(`a holiday: ${answer.status} ${await answer.text()}`);
}

/** @returns seconds until nothing runs any more that was reckoned with an older version */
async function untilMoved(database_url: string): Promise<number> {
  const client = new pg.Client(database_url);
  await client.connect();
  const started_at = performance.now();
  try {
    for (;;) {
      const { rows } = await client.query<{ stale: boolean }>(
        `select exists (select from calendars c join timers t on t.calendar_id = c.id and t.calendar_version < c.version
          where t.state = 'running' and t.calendar_id is not null) as stale`,
      );
      const seconds = (performance.now() - started_at) / 1_000;
      if (!rows[0]!.stale) return seconds;
      if (seconds > WITHIN_S) throw new Error(`not moved within ${WITHIN_S} s`);
      await pause(200);
    }
  } finally {
    await client.end();
  }
}

/** Accepts one offer after the other at a steady pace, whether or not the last one was answered. */
async function accept(agencies: Agencies, asked: Asked[], for_ms: number, isOver: () => boolean): Promise<Paced> {
  const took: number[] = [];
  const under_way: Promise<void>[] = [];
  const started_at = performance.now();
  for (let n = 0; performance.now() - started_at < for_ms && !isOver(); n++) {
    const one = asked.pop();
    if (!one) break;
    const at = performance.now();
    const accepted = agencies.accept(one).then(() => void took.push(performance.now() - at));
    accepted.catch(() => {});
    under_way.push(accepted);
    await pause(Math.max(0, started_at + ((n + 1) * 1_000) / ACCEPTS_PER_SECOND - performance.now()));
  }
  await Promise.all(under_way);
  took.sort((a, b) => a - b);
  const quantile = (share: number) => took[Math.min(took.length - 1, Math.floor(took.length * share))] ?? Number.NaN;
  return { count: took.length, p50_ms: quantile(0.5), p99_ms: quantile(0.99) };
}
