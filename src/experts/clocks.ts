import { asSystem, type Tx } from '../platform/database.ts';
import { listCoordinators } from '../referrals/store.ts';
import { getCurrentRulePack } from '../rules/store.ts';
import type { Services } from '../services.ts';
import { lockOpenTimers } from '../timers/store.ts';
import type { Subject } from '../timers/sweep.ts';
import { expertTimerNotice } from './notices.ts';
import { stepAside } from './progress.ts';
import { lockRequest } from './store.ts';

/** A request for an expert as the sweep and those who act on its clock see it; locked, with its timers. */
export async function expertSubject(services: Services, tx: Tx, request_id: string): Promise<Subject> {
  const request = (await asSystem(tx, 'matcher', tx => lockRequest(tx, request_id)))!;
  const { outage_grace } = await getCurrentRulePack(services, tx, request.jurisdiction);
  const coordinators = await listCoordinators(tx, request.jurisdiction);
  return {
    timers: await lockOpenTimers(tx, { expert_request_id: request_id }),
    outage_grace: outage_grace.duration,
    async on_breach(tx, timer, now) {
      // A timer outlives an answer by no more than this transaction; whoever answered first has won.
      if (timer.on_breach !== null) await asSystem(tx, 'matcher', tx => stepAside(services, tx, request, 'expire', now));
    },
    async start_again() {},
    notice: (type, timer, step) => expertTimerNotice(coordinators, type, timer, step),
  };
}
