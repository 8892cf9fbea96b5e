import { sql } from 'kysely';
import type { Pool } from 'pg';
import { systemActor } from '../core/access.ts';
import type { Uptime } from '../core/clock.ts';
import type { Now } from './clock.ts';
import { type Tx, transact } from './database.ts';
import type { Logger } from './log.ts';
import { type Loop, type LoopFailed, startLoop } from './loop.ts';

/**
 * By which the service knows, afterwards, that it was down. Every process beats for the roles that it runs; any number may beat
 * for the same role. A role that has not beaten for longer than `SILENT_MS` was down.
 */

export type HeartbeatRole = 'api' | 'worker';

const BEAT_EVERY_MS = 1_000;
const SILENT_MS = 5_000;

/** One beat; after too long a silence the role runs anew. */
export async function beat(services: { pool: Pool; now: Now }, role: HeartbeatRole): Promise<void> {
  const now = services.now();
  const back_since = new Date(now.getTime() - SILENT_MS);
  await transact(services, systemActor('clock'), tx =>
    sql`
      insert into heartbeats as h (role, beat_at, running_since) values (${role}, ${now}, ${now})
      on conflict (role) do update set beat_at = greatest(h.beat_at, excluded.beat_at),
        running_since = case when h.beat_at < ${back_since} then excluded.running_since else h.running_since end`.execute(tx),
  );
}

/** How long the service as a whole has been running; null where nothing has ever beaten. Runs as the clock. */
export async function readUptime(tx: Tx, now: Date): Promise<Uptime | null> {
  const beats = await tx.selectFrom('heartbeats').selectAll().execute();
  if (beats.length === 0) return null;
  return {
    running_since: new Date(Math.max(...beats.map(({ running_since }) => running_since.getTime()))),
    up: beats.every(({ beat_at }) => now.getTime() - beat_at.getTime() <= SILENT_MS),
  };
}

export interface Heartbeat extends Loop {
  /** Whether this process has beaten yet: before that it does not know whether the service was down. */
  readonly started: boolean;
}

/** Beats for `role` until it is stopped. */
export function startHeartbeat(
  services: { pool: Pool; now: Now; log: Logger },
  role: HeartbeatRole,
  failed: LoopFailed,
): Heartbeat {
  let started = false;
  const loop = startLoop(`heartbeat of ${role}`, { every_ms: BEAT_EVERY_MS, log: services.log, failed }, async () => {
    await beat(services, role);
    started = true;
    return false;
  });
  return {
    stop: () => loop.stop(),
    get started() {
      return started;
    },
  };
}
