import { asSystem, type Tx } from '../platform/database.ts';
import type { Services } from '../services.ts';
import { endReferralTimers, startTimers } from '../timers/apply.ts';
import { lockOpenTimers } from '../timers/store.ts';
import { loadLocked } from './locked.ts';
import { referralTimerContext } from './progress.ts';
import { listFollowedUp } from './store.ts';

/**
 * The owner looks after a need that was met (`follow_up`) for as long as the case is open. The case must be locked for update.
 */

/** The case is closed: nobody follows anything up any more. */
export const endFollowUps = (tx: Tx, case_id: string, now: Date): Promise<void> =>
  asSystem(tx, 'router', async tx => {
    for (const { id, followed_up } of await listFollowedUp(tx, case_id)) {
      if (followed_up) endReferralTimers(tx, await lockOpenTimers(tx, { referral_id: id }), now, { cancel: ['follow_up'] });
    }
  });

/** The case is open again: each referral of it whose need was met is followed up again. */
export const startFollowUps = (services: Services, tx: Tx, case_id: string, now: Date): Promise<void> =>
  asSystem(tx, 'router', async tx => {
    for (const { id, followed_up } of await listFollowedUp(tx, case_id)) {
      if (!followed_up) await startTimers(tx, referralTimerContext(await loadLocked(services, tx, id), now), ['follow_up']);
    }
  });
