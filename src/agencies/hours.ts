import { recordFailure } from '../audit/failures.ts';
import { systemActor } from '../core/access.ts';
import { transact } from '../platform/database.ts';
import type { Services } from '../services.ts';
import { listHoursEnding, saveOpenHours } from './hours-store.ts';

/** The hours of services are kept ahead of the time, so that routing need not work them out. */

const ROUTER = systemActor('router');
const BATCH = 200;

/**
 * Works out anew the hours of services that are known for less than half of the time for which they are kept.
 * @returns whether there may be more
 */
export async function keepOpenHoursAhead(services: Services): Promise<boolean> {
  const due = await transact(services, ROUTER, tx => listHoursEnding(tx, services.now(), BATCH));
  let failed = 0;
  for (const { agency_id, service } of due) {
    const kept = transact(services, ROUTER, tx => saveOpenHours(tx, agency_id, service, services.now()));
    await kept.catch(async error => {
      // One that fails must not stand before the others. Once its hours have run out they count as unknown.
      failed += 1;
      services.log.error({ err: error }, 'hours were not worked out');
      const subject = { subject_id: agency_id, service };
      await recordFailure(services, error, { role: 'router', action: 'service.keep_hours', subject });
    });
  }
  return due.length === BATCH && failed === 0;
}
