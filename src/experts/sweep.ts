import { record } from '../audit/record.ts';
import { overSince } from '../core/expert-request.ts';
import { transact } from '../platform/database.ts';
import type { Services } from '../services.ts';
import { MATCHER } from './progress.ts';
import { emptyDetails, listOverWithDetails } from './store.ts';

/** What becomes of requests for experts without anybody doing anything. */

const BATCH = 100;

/**
 * Empties what requests say whose time has passed, whether or not anybody said that the expert was there.
 * @returns whether there may be more
 */
export const wipeDetails = (services: Services): Promise<boolean> =>
  transact(services, MATCHER, async tx => {
    const over = await listOverWithDetails(tx, overSince(services.now()), BATCH);
    if (over.length === 0) return false;
    await emptyDetails(tx, over);
    await record(services, tx, MATCHER, {
      action: 'expert_request.wipe_details',
      resource_type: 'expert_request',
      subjects: over.map(id => ({ subject_id: id })),
    });
    return over.length === BATCH;
  });
