import { recordFailure } from '../audit/failures.ts';
import { record } from '../audit/record.ts';
import { overSince } from '../core/expert-request.ts';
import { transact } from '../platform/database.ts';
import type { Services } from '../services.ts';
import { MATCHER, stepAside } from './progress.ts';
import { emptyDetails, findOnRoster, listOverWithDetails, listWithSuspended, lockExpert, lockRequest } from './store.ts';

/** What becomes of requests for experts without anybody doing anything. */

const BATCH = 100;

/**
 * Calls off what is asked of an expert who is suspended, or whose agency is: the one may not come, the other cannot say so any more,
 * and whoever asked has to look for another one. One that fails holds up nobody, and is tried again in the next round.
 */
export async function endSuspended(services: Services): Promise<void> {
  const listed = await transact(services, MATCHER, tx => listWithSuspended(tx, services.now()));
  for (const { id, expert_id } of listed) {
    const ended = transact(services, MATCHER, async tx => {
      await lockExpert(tx, expert_id, 'share');
      const request = (await lockRequest(tx, id))!;
      const { status, agency_status } = (await findOnRoster(tx, expert_id))!;
      if (status === 'suspended' || agency_status === 'suspended')
        await stepAside(services, tx, request, 'fall_away', services.now());
    });
    await ended.catch(async error => {
      services.log.error({ err: error, expert_request_id: id }, 'a request for a suspended expert was not called off');
      await recordFailure(services, error, {
        role: 'matcher',
        action: 'expert_request.cancel',
        subject: { subject_id: id, expert_id },
      });
    });
  }
}

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
