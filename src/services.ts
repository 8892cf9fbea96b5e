import { type Now, startClock } from './platform/clock.ts';
import type { Config } from './platform/config.ts';
import { APPLICATION_ROLE, type Database, openDatabase, requireRole } from './platform/database.ts';
import type { Logger } from './platform/log.ts';
import { createMetrics, type Metrics } from './platform/metrics.ts';
import { openQueue, type Queue } from './platform/queue.ts';
import { openVault, type Vault } from './platform/vault.ts';
import { createWakeUp, type WakeUp } from './platform/wake-up.ts';

/** What every command, query and job is handed: the open resources and the clock. */
export interface Services {
  config: Config;
  log: Logger;
  metrics: Metrics;
  now: Now;
  db: Database['db'];
  pool: Database['pool'];
  vault: Vault;
  /** Tells the workers of every process, and waiting pulls, that something was committed. */
  wake_up: WakeUp;
  /** Of deliveries; null where it is in the database and no worker runs in this process. */
  queue: Queue | null;
  /** Closes what was opened, in reverse order. */
  close(): Promise<void>;
}

/**
 * Opens the resources in order; what was opened is closed again when a later one fails.
 * @param given instead of the database's clock
 */
export async function openServices(config: Config, log: Logger, database_url: string, given?: Now): Promise<Services> {
  const vault = openVault(config.keyring_path, { create: !config.production });
  const database = openDatabase(database_url, log);
  const opened: { close(): Promise<unknown> }[] = [database];
  const close = async () => {
    for (const resource of opened.splice(0).reverse()) await resource.close();
  };
  try {
    await requireRole(database.db, APPLICATION_ROLE);
    let now = given;
    if (!now) {
      const clock = await startClock(database.pool, log);
      opened.push(clock);
      now = clock.now;
    }
    const wake_up = await createWakeUp(database.pool, database_url, log);
    opened.push(wake_up);
    // An API beside workers tells of Redis, too: `readyz` says whether it is up.
    const has_queue = config.roles.has('worker') || config.redis !== null;
    const queue = has_queue ? await openQueue('deliveries', { database_url, redis: config.redis }, log) : null;
    if (queue) opened.push(queue);
    const { db, pool } = database;
    return { config, log, metrics: createMetrics(pool), now, db, pool, vault, wake_up, queue, close };
  } catch (error) {
    await close();
    throw error;
  }
}
