import { createRedisBackend, type JobsOptions, type WorkerOptions, withBackend } from 'bullmq';
import { Redis, type RedisOptions } from 'ioredis';
import type { RedisAddress } from './config.ts';
import type { Logger } from './log.ts';
import { QUEUE_SCHEMA } from './migrate.ts';
import { createSteadyBackend } from './queue-connection.ts';

/**
 * The two places where the queue may be, behind one shape. What is asked of either answers or fails within seconds, also where
 * the other side has died without a word: whoever asks has work to do that needs no queue.
 */
export interface Backend {
  addBulk(jobs: { name: string; data: JobData; opts: JobsOptions }[]): Promise<unknown>;
  startWorker(
    work: (job: JobData & { urgent: boolean }) => Promise<void>,
    options: Omit<WorkerOptions<unknown>, 'connection'>,
    onFailed: (job_id: string | undefined, error: Error) => void,
  ): BackendWorker;
  /** @throws Error where jobs could not be enqueued now */
  probe(): Promise<unknown>;
  close(): Promise<void>;
}

export interface BackendWorker {
  /** Ends when its jobs have ended and the queue knows; where that is out of reach, never. */
  close(): Promise<void>;
  /** Drops its connections, whatever is under way on them. */
  abandon(): void;
}

export interface JobData {
  subject_id: string;
}

type OnError = (error: Error) => void;

const onPostgres = withBackend(createSteadyBackend);
const onRedis = withBackend(createRedisBackend);

/**
 * Redis, in reach or not, where it has an address, else the database.
 * @throws Error where the database is out of reach or not migrated: nothing of the service would work without it
 */
export async function openBackend(
  name: string,
  { database_url, redis }: { database_url: string; redis: RedisAddress | null },
  log: Logger,
  onError: OnError,
): Promise<Backend> {
  return redis ? openRedisBackend(name, redis, log, onError) : openPostgresBackend(name, database_url, onError);
}

async function openPostgresBackend(name: string, database_url: string, onError: OnError): Promise<Backend> {
  const connection = {
    connectionString: database_url,
    schema: QUEUE_SCHEMA,
    options: '-c role=aman_app -c statement_timeout=30s',
    connectionTimeoutMillis: 5_000,
    // The server's own limit cannot help where the network has gone silent.
    query_timeout: 5_000,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    application_name: name,
    max: 4,
  };
  const queue = new onPostgres.Queue<JobData>(name, { connection });
  queue.on('error', onError);
  try {
    await queue.waitUntilReady();
  } catch (error) {
    await queue.close();
    throw error;
  }
  return {
    addBulk: jobs => queue.addBulk(jobs),
    startWorker(work, options, onFailed) {
      const worker = new onPostgres.Worker<JobData>(name, ({ data, opts }) => work({ ...data, urgent: opts.lifo === true }), {
        ...options,
        connection,
      });
      worker.on('error', onError);
      worker.on('failed', (job, error) => onFailed(job?.id, error));
      return { close: () => worker.close(), abandon: () => void worker.getBackend().close(true).catch(onError) };
    },
    probe: () => queue.isPaused(),
    close: () => queue.close(),
  };
}

const PREFIX = 'aman';

const RECONNECT_MS = 500;
const ASK_EVERY_MS = 1_000;
const SILENT_MS = 3_000;

/**
 * A connection that is asked every second whether it is alive, from its first word on, and made anew when it does not say so: a
 * machine that vanished says no farewell, and another may have taken its place.
 */
class Connection extends Redis {
  constructor(options: RedisOptions) {
    super(options);
    let timer: NodeJS.Timeout | undefined;
    const after = (ms: number, act: () => void) => {
      clearTimeout(timer);
      timer = setTimeout(act, ms);
    };
    const giveUp = () => this.disconnect(true);
    const ask = () => {
      after(SILENT_MS, giveUp);
      this.ping().then(
        () => after(ASK_EVERY_MS, ask),
        () => {},
      );
    };
    this.on('connect', () => after(SILENT_MS, giveUp));
    this.on('ready', ask);
    this.on('close', () => clearTimeout(timer));
  }

  /** BullMQ makes the connection on which it waits from the one that it is given. */
  override duplicate(override?: Partial<RedisOptions>): Redis {
    return new Connection({ ...this.options, ...override });
  }
}

class RedisWorker extends onRedis.Worker<JobData> {
  /** As `close`, without a word to Redis: what it was doing is another's when its locks run out. */
  async abandon(): Promise<void> {
    await this.lockManager.close();
    await this.getBackend().close(true);
  }
}

/** The server is there and takes no writes: it became a replica, is full, or cannot save. Another connection may find another. */
const TAKES_NO_WRITES = /\b(READONLY|OOM|MISCONF|NOREPLICAS|MASTERDOWN|LOADING)\b/;

/** Until Redis is in reach, every call fails at once. */
function openRedisBackend(name: string, address: RedisAddress, log: Logger, onError: OnError): Backend {
  const connect = (more: RedisOptions): Redis => {
    const client = new Connection({ ...optionsOf(address), ...more });
    client.on('error', onError);
    return client;
  };
  const producer = connect({ enableOfflineQueue: false, maxRetriesPerRequest: 0 });
  producer.on('ready', () => warnOfEviction(producer, name, log));
  const queue = new onRedis.Queue<JobData>(name, { connection: producer, prefix: PREFIX, skipVersionCheck: true });
  queue.on('error', onError);
  const requireReady = () => {
    if (producer.status !== 'ready') throw new Error('Redis is out of reach');
  };

  return {
    async addBulk(jobs) {
      requireReady();
      await queue.addBulk(jobs);
    },
    startWorker(work, options, onFailed) {
      const connection = connect({ maxRetriesPerRequest: null });
      const worker = new RedisWorker(name, ({ data, opts }) => work({ ...data, urgent: opts.lifo === true }), {
        ...options,
        connection,
        prefix: PREFIX,
        skipVersionCheck: true,
      });
      worker.on('error', onError);
      worker.on('failed', (job, error) => onFailed(job?.id, error));
      return {
        async close() {
          await worker.close();
          connection.disconnect();
        },
        abandon() {
          void worker.abandon().catch(onError);
          connection.disconnect();
        },
      };
    },
    async probe() {
      requireReady();
      await producer.set(`${PREFIX}:probe`, '', 'PX', 1_000);
    },
    async close() {
      await queue.close();
      producer.disconnect();
    },
  };
}

function optionsOf({ hosts, master, tls, database, username, password, sentinel_password }: RedisAddress): RedisOptions {
  const secure = tls ? { tls: { rejectUnauthorized: true } } : {};
  return {
    ...(master === null
      ? hosts[0]
      : {
          sentinels: hosts,
          name: master,
          sentinelPassword: sentinel_password,
          sentinelCommandTimeout: SILENT_MS,
          sentinelRetryStrategy: () => RECONNECT_MS,
          ...(tls ? { enableTLSForSentinelMode: true, sentinelTLS: secure.tls } : {}),
        }),
    ...secure,
    db: database,
    username,
    password,
    connectTimeout: SILENT_MS,
    // Of one that is there and silent.
    disconnectTimeout: RECONNECT_MS,
    retryStrategy: () => RECONNECT_MS,
    reconnectOnError: error => TAKES_NO_WRITES.test(error.message),
  };
}

/** Where the list of what waits is evicted before the jobs in it, their ids keep the sweep's out. */
function warnOfEviction(client: Redis, name: string, log: Logger): void {
  client.info('memory').then(
    info => {
      const policy = /maxmemory_policy:(allkeys\S+)/.exec(info)?.[1];
      if (policy) log.warn({ queue: name, reason: policy }, 'Redis may evict jobs: set maxmemory-policy to noeviction');
    },
    // What ails the connection is told by the connection.
    () => {},
  );
}
