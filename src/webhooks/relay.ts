import { systemActor } from '../core/access.ts';
import { transact } from '../platform/database.ts';
import type { Job } from '../platform/queue.ts';
import type { Services } from '../services.ts';
import { listDue } from './claim-store.ts';
import { type DueDelivery, insertDeliveries, numberEvents, tryLockRelay } from './outbox-store.ts';

/**
 * The way out of the outbox. An event is in the outbox as soon as its act has committed; the relay, one at a time, numbers
 * events and makes a delivery per endpoint. Nothing is lost when it stops anywhere: what is not numbered is numbered next time,
 * and what is not enqueued is enqueued, or attempted without the queue, by the sweep.
 */

const EVENTS_AT_ONCE = 500;

/**
 * Numbers the next events: `position` per recipient without gaps, `sequence` per recipient and referral (or case) in the order of
 * the acts. Then enqueues a turn at each endpoint that is concerned.
 * @returns whether there may be more; false where another relay is at it
 */
export async function relayEvents(services: Services): Promise<boolean> {
  const { numbered, due } = await transact(services, systemActor('relay'), async tx => {
    if (!(await tryLockRelay(tx))) return { numbered: 0, due: [] };
    const { numbered, matches } = await numberEvents(tx, EVENTS_AT_ONCE);
    return { numbered, due: await insertDeliveries(tx, matches, services.now()) };
  });
  if (numbered === 0) return false;
  services.wake_up.notify();
  await enqueue(services, due);
  return true;
}

/**
 * Enqueues a turn wherever something can be attempted now, so that a queue that lost its jobs, or never got them, heals.
 * @returns what the queue did not take because it is down
 */
export async function sweepDeliveries(services: Services): Promise<DueDelivery[]> {
  const due = await transact(services, systemActor('relay'), tx => listDue(tx, services.now()));
  return (await enqueue(services, due)) ? [] : due;
}

/** Where this process has no queue, it does nothing. */
const enqueue = async (services: Services, due: readonly DueDelivery[]): Promise<boolean> =>
  (await services.queue?.addBulk(due.map(jobOf))) ?? true;

/** A job is a turn at an endpoint: whoever takes it goes on until nothing is due there. Named after what the turn begins with. */
const jobOf = ({ id, endpoint_id, attempts, urgent }: DueDelivery): Job => ({
  id: `${id}-${attempts + 1}`,
  subject_id: endpoint_id,
  urgent,
});
