import { Redis } from 'ioredis';
import { sql } from 'kysely';
import { QUEUE_SCHEMA } from '../../src/platform/migrate.ts';
import type { Services } from '../../src/services.ts';
import { lookAsOwner } from './trail.ts';

/** The queue from within, wherever it is: what is in it, and what may happen to it. */
export interface QueueInside {
  jobs(): Promise<{ id: string; data: unknown }[]>;
  wipe(): Promise<unknown>;
  breakConnections(): Promise<unknown>;
}

export const insideQueue = (services: Services): QueueInside =>
  services.config.redis ? insideRedis(services.config.redis.hosts[0]!) : insideDatabase(services);

function insideDatabase(services: Services): QueueInside {
  const table = sql.table(`${QUEUE_SCHEMA}.job`);
  return {
    jobs: async () => (await sql<{ id: string; data: unknown }>`select id, data from ${table}`.execute(services.db)).rows,
    wipe: () => sql`delete from ${table}`.execute(services.db),
    breakConnections: () =>
      lookAsOwner(
        services,
        `select pg_terminate_backend(pid) from pg_stat_activity
          where datname = current_database() and application_name = 'deliveries' and pid <> pg_backend_pid()`,
      ),
  };
}

function insideRedis(address: { host: string; port: number }): QueueInside {
  const look = async <T>(work: (client: Redis) => Promise<T>): Promise<T> => {
    const client = new Redis({ ...address, retryStrategy: null });
    try {
      return await work(client);
    } finally {
      client.disconnect();
    }
  };
  return {
    jobs: () =>
      look(async client => {
        const found: { id: string; data: unknown }[] = [];
        for (const key of await client.keys('aman:deliveries:dlv_*')) {
          const data = key.endsWith(':lock') ? null : await client.hget(key, 'data');
          if (data) found.push({ id: key.split(':')[2]!, data: JSON.parse(data) });
        }
        return found;
      }),
    wipe: () => look(client => client.flushall()),
    breakConnections: () => look(client => client.call('client', 'kill', 'type', 'normal', 'skipme', 'yes')),
  };
}
