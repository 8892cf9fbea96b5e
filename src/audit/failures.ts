import { type SystemRole, systemActor } from '../core/access.ts';
import { Problem } from '../core/problem.ts';
import { isDatabaseDown, transact } from '../platform/database.ts';
import type { LoopFailed } from '../platform/loop.ts';
import type { Services } from '../services.ts';
import { record, type SubjectRecord } from './record.ts';

/**
 * What fails without anybody asking for it: an entry with the outcome `failed`, in a transaction of its own, for the job's was
 * rolled back. What fails at every tick leaves one in a minute, so that it shows in the trail and cannot flood it.
 */

interface Failure {
  /** As whom the job runs. */
  role: SystemRole;
  /** `timer.fire`: what did not happen. */
  action: string;
  /** Default: the problem's, or `internal_error`. */
  code?: string;
  /** To what it did not happen. */
  subject?: SubjectRecord;
}

const AGAIN_AFTER_MS = 60_000;

/** When this process recorded each of them last, by database. */
const recorded = new WeakMap<object, Map<string, number>>();

/**
 * Never fails: while the database is out of reach nothing is done, and nothing can be written; what stood in the log of the
 * process then is all that there is.
 */
export async function recordFailure(services: Services, error: unknown, { role, action, code, subject }: Failure): Promise<void> {
  const now = services.now().getTime();
  const here = recorded.get(services.pool) ?? new Map<string, number>();
  recorded.set(services.pool, here);
  for (const [what, at] of here) if (now - at >= AGAIN_AFTER_MS) here.delete(what);
  const what = JSON.stringify([action, code, subject]);
  if (here.has(what)) return;
  here.set(what, now);
  const actor = systemActor(role);
  try {
    await transact(services, actor, tx =>
      record(services, tx, actor, {
        action,
        outcome: 'failed',
        resource_type: action.split('.')[0]!,
        code: code ?? (error instanceof Problem ? error.code : 'internal_error'),
        subjects: subject ? [subject] : [],
      }),
    );
  } catch (failure) {
    here.delete(what);
    if (!isDatabaseDown(failure)) services.log.error({ err: failure }, 'the failure of a job could not be recorded');
  }
}

/** For loops: a round that failed is an entry with the loop's name. */
export const loopFailed =
  (services: Services): LoopFailed =>
  (name, error) =>
    recordFailure(services, error, { role: 'clock', action: 'job.run', code: name });
