import type { JobsOptions } from 'bullmq';
import type { RedisAddress } from './config.ts';
import type { Logger } from './log.ts';
import { type Backend, openBackend } from './queue-backends.ts';

/**
 * The queue: BullMQ, in the database or on Redis. It is a tap on the shoulder and holds nothing that a sweep could not put back,
 * so no error of it reaches whoever enqueues: it is logged, and the sweep goes on without it until it is back. Jobs carry ids only, get one try each,
 * and leave nothing behind; whether and when something is tried again stands in its row.
 */
export interface Queue {
  /**
   * Enqueues. A job whose id is in the queue already is the same job.
   * @returns whether it has them; false where it is down: it never fails
   */
  addBulk(jobs: readonly Job[]): Promise<boolean>;
  startConsumer(concurrency: number, work: (job: Omit<Job, 'id'>) => Promise<void>): Consumer;
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
  /** Takes no further job and ends after those that are running, whether the queue can be told of it or not. */
  stop(): Promise<void>;
}

const OPTIONS: JobsOptions = { attempts: 1, removeOnComplete: true, removeOnFail: true };

/** An idle consumer looks again after this many seconds: a wake-up may be lost. */
const LOOK_AGAIN_SECONDS = 1;

const ANSWERS_WITHIN_MS = 1_000;

/** So that whatever else is asked meanwhile is answered in between. */
const ENQUEUED_AT_ONCE = 1_000;

/**
 * Opens queue `name`: on Redis, in reach or not, where it has an address, else in the database at `database_url`, whose
 * migrations `migrate` has run.
 * @throws Error where that database is out of reach or not migrated
 */
export async function openQueue(
  name: string,
  where: { database_url: string; redis: RedisAddress | null },
  log: Logger,
): Promise<Queue> {
  let backend: Backend | undefined;
  const isUp = async () => {
    const answered = backend?.probe().then(
      () => true,
      () => false,
    );
    return answered ? within(ANSWERS_WITHIN_MS, answered, false) : false;
  };
  const outage = createOutageLog(name, log, isUp);
  backend = await openBackend(name, where, log, outage.tell).catch(error => {
    outage.close();
    throw error;
  });
  return {
    async addBulk(jobs) {
      try {
        for (let from = 0; from < jobs.length; from += ENQUEUED_AT_ONCE) {
          const some = jobs.slice(from, from + ENQUEUED_AT_ONCE);
          await backend.addBulk(
            some.map(({ id, subject_id, urgent }) => ({
              name,
              data: { subject_id },
              opts: { ...OPTIONS, jobId: id, lifo: urgent },
            })),
          );
        }
        return true;
      } catch (error) {
        outage.tell(error as Error);
        return false;
      }
    },
    startConsumer(concurrency, work) {
      const running = new Set<Promise<void>>();
      const worker = backend.startWorker(
        taken => {
          const job = work(taken);
          running.add(job);
          return job.finally(() => running.delete(job));
        },
        {
          concurrency,
          drainDelay: LOOK_AGAIN_SECONDS,
          runRetryDelay: 1_000,
          // A job whose consumer died is another's after 15 s at most; until then its id keeps the sweep's out.
          lockDuration: 10_000,
          stalledInterval: 5_000,
        },
        (job, error) => log.error({ err: error, queue: name, job }, 'job failed'),
      );
      return {
        async stop() {
          const closed = worker.close().then(() => true);
          while (running.size > 0) await Promise.allSettled(running);
          if (!(await within(ANSWERS_WITHIN_MS, closed, false))) worker.abandon();
        },
      };
    },
    isUp,
    async close() {
      outage.close();
      await backend.close();
    },
  };
}

/** What `promise` comes to, or `otherwise` after `ms`. */
async function within<T>(ms: number, promise: Promise<T>, otherwise: T): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<T>(resolve => {
    timer = setTimeout(() => resolve(otherwise), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** After so long without another error the queue is asked whether it is up again. */
const QUIET_MS = 2_000;

/** Tells of an outage when it begins and when it is over, however many connections and calls meet it meanwhile. */
function createOutageLog(queue: string, log: Logger, isUp: () => Promise<boolean>) {
  let asking: NodeJS.Timeout | undefined;
  let closed = false;
  const askLater = () => {
    clearTimeout(asking);
    asking = setTimeout(async () => {
      const asked = asking;
      const up = await isUp();
      if (closed || asked !== asking) return;
      if (!up) return askLater();
      asking = undefined;
      log.info({ queue }, 'queue is up again');
    }, QUIET_MS);
    asking.unref();
  };
  return {
    tell(error: Error): void {
      if (closed) return;
      if (!asking) log.warn({ err: error, queue }, 'queue is down or lost jobs: the sweep goes on');
      askLater();
    },
    close(): void {
      closed = true;
      clearTimeout(asking);
    },
  };
}
