import { countLately } from '../../src/agencies/answers.ts';
import { keepOpenHoursAhead } from '../../src/agencies/hours.ts';
import { expireConsents, warnExpiringConsents } from '../../src/cases/consents.ts';
import { endSuspended, wipeDetails } from '../../src/experts/sweep.ts';
import { watchCoverage } from '../../src/figures/coverage/watch.ts';
import { makeFollowOns } from '../../src/referrals/follow-ons.ts';
import { routeUnplaced } from '../../src/referrals/router.ts';
import { timerEffects } from '../../src/referrals/timer-effects.ts';
import { expireCrisisModes } from '../../src/rules/crisis-modes/commands.ts';
import type { Services } from '../../src/services.ts';
import { moveTimers } from '../../src/timers/moves.ts';
import { fireDueTimers } from '../../src/timers/sweep.ts';
import { tellDigests } from '../../src/webhooks/digests/daily.ts';
import { watchReach } from '../../src/webhooks/reach/watch.ts';
import { relayEvents } from '../../src/webhooks/relay.ts';
import { callForUndelivered } from '../../src/webhooks/undelivered/calls.ts';

/** Does what the worker would do by now, until nothing is left to do, instead of waiting for it. */
export async function drain(services: Services): Promise<void> {
  const effects = timerEffects(services);
  while (await expireConsents(services));
  while (await warnExpiringConsents(services));
  while (await moveTimers(services));
  while (await fireDueTimers(services, effects));
  while (await keepOpenHoursAhead(services));
  while (await expireCrisisModes(services));
  await makeFollowOns(services);
  await endSuspended(services);
  while (await wipeDetails(services));
  while (await routeUnplaced(services));
  while (await relayEvents(services));
  await watchReach(services);
  await callForUndelivered(services);
  await tellDigests(services);
  await watchCoverage(services);
  await countLately(services);
  while (await relayEvents(services));
}
