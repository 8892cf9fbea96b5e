import { createPostgresBackend, type JobsOptions, withBackend } from 'bullmq';
import type { Logger } from './log.ts';
import { QUEUE_SCHEMA } from './migrate.ts';

/**
 * The queue: BullMQ on PostgreSQL. It is a tap on the shoulder and holds nothing that a sweep could not put back, so no error
 * of it reaches whoever enqueues: it is logged, and the sweep enqueues again. Jobs carry ids only, get one try each, and leave
 * nothing behind; whether and when something is tried again stands in its row.
 */
export interface Queue {
  /** Enqueues all at once. A job whose id is in the queue already is the same job; never fails. */
  addBulk(jobs: readonly Job[]): Promise<void>;
  startConsumer(concurrency: number, work: (subject_id: string) => Promise<void>): Consumer;
  /** Whether it answers within a second; never fails. */
  isUp(): Promise<boolean>;
  close(): Promise<void>;
}

export interface Job {
  /** Names the attempt, so that it waits in the queue once however often it is enqueued. No colon. */
  id: string;
  /** The row that the job is about. */
  subject_id: string;
  /** Goes before everything that waits. */
  urgent: boolean;
}

export interface Consumer {
  /** Takes no further job and ends after those that are running. */
  stop(): Promise<void>;
}

const OPTIONS: JobsOptions = { attempts: 1, removeOnComplete: true, removeOnFail: true };

/** An idle consumer looks again after this many seconds: a wake-up may be lost. */
const LOOK_AGAIN_SECONDS = 1;

const ANSWERS_WITHIN_MS = 1_000;

interface JobData {
  subject_id: string;
}

const postgres = withBackend(createPostgresBackend);

/**
 * Opens queue `name` in the database at `database_url`, whose migrations `migrate` has run.
 * @throws Error where the database is out of reach or not migrated
 */
export async function openQueue(name: string, database_url: string, log: Logger): Promise<Queue> {
  const connection = {
    connectionString: database_url,
    schema: QUEUE_SCHEMA,
    options: '-c role=aman_app -c statement_timeout=30s',
    connectionTimeoutMillis: 5_000,
    keepAlive: true,
    application_name: name,
    max: 4,
  };
  const queue = new postgres.Queue<JobData>(name, { connection });
  queue.on('error', error => log.warn({ err: error, queue: name }, 'queue connection lost'));
  try {
    await queue.waitUntilReady();
  } catch (error) {
    await queue.close();
    throw error;
  }

  return {
    async addBulk(jobs) {
      if (jobs.length === 0) return;
      try {
        await queue.addBulk(
          jobs.map(({ id, subject_id, urgent }) => ({
            name,
            data: { subject_id },
            opts: { ...OPTIONS, jobId: id, lifo: urgent },
          })),
        );
      } catch (error) {
        log.warn({ err: error, queue: name }, 'jobs were not enqueued, the sweep will');
      }
    },
    startConsumer(concurrency, work) {
      const worker = new postgres.Worker<JobData>(name, ({ data }) => work(data.subject_id), {
        connection,
        concurrency,
        drainDelay: LOOK_AGAIN_SECONDS,
        runRetryDelay: 1_000,
        // A job whose consumer died is another's after 15 s at most; until then its id keeps the sweep's out.
        lockDuration: 10_000,
        stalledInterval: 5_000,
      });
      worker.on('error', error => log.warn({ err: error, queue: name }, 'queue connection lost'));
      worker.on('failed', (job, error) => log.error({ err: error, queue: name, job: job?.id }, 'job failed'));
      return { stop: () => worker.close() };
    },
    async isUp() {
      const late = AbortSignal.timeout(ANSWERS_WITHIN_MS);
      const too_late = new Promise<false>(resolve => late.addEventListener('abort', () => resolve(false), { once: true }));
      const answered = queue.isPaused().then(
        () => true,
        () => false,
      );
      return Promise.race([answered, too_late]);
    },
    close: () => queue.close(),
  };
}
