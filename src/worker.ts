import { countLately } from './agencies/answers.ts';
import { keepOpenHoursAhead } from './agencies/hours.ts';
import { loopFailed } from './audit/failures.ts';
import { startLogWatch } from './audit/jobs.ts';
import { expireConsents, warnExpiringConsents } from './cases/consents.ts';
import { endSuspended, wipeDetails } from './experts/sweep.ts';
import { watchCoverage } from './figures/coverage/watch.ts';
import { startHeartbeat } from './platform/heartbeat.ts';
import { type Loop, startLoop } from './platform/loop.ts';
import { makeFollowOns } from './referrals/follow-ons.ts';
import { routeUnplaced } from './referrals/router.ts';
import { timerEffects } from './referrals/timer-effects.ts';
import { expireCrisisModes } from './rules/crisis-modes/commands.ts';
import type { Services } from './services.ts';
import { moveTimers } from './timers/moves.ts';
import { fireDueTimers } from './timers/sweep.ts';
import { tellDigests } from './webhooks/digests/daily.ts';
import { startWebhookJobs } from './webhooks/jobs.ts';
import { watchReach } from './webhooks/reach/watch.ts';
import { callForUndelivered } from './webhooks/undelivered/calls.ts';

export interface Worker {
  /** Ends after what is running. */
  stop(): Promise<void>;
}

/** The contract's tick for what falls due; any number of processes may tick at once. */
const SWEEP_EVERY_MS = 200;
/** How soon what runs follows a calendar that has changed. */
const MOVE_EVERY_MS = 1_000;
/** How soon somebody else is asked for those whom a service leaves. */
const FOLLOW_EVERY_MS = 1_000;
/** Of what lies days ahead. */
const WARN_EVERY_MS = 10_000;
/** What lies weeks ahead. */
const HOURS_EVERY_MS = 600_000;
/** Who hears of what is reckoned in minutes. */
const REACH_EVERY_MS = 30_000;

/** How soon coordinators hear of a gap that a change has opened. */
const COVERAGE_EVERY_MS = 60_000;
/** Of what changes little from one hour to the next. */
const COUNT_EVERY_MS = 3_600_000;

/** Starts everything that happens without a request: clocks, routing again, ends of consents, events and their delivery. */
export function startWorker(services: Services): Worker {
  const { log, wake_up } = services;
  const effects = timerEffects(services);
  const failed = loopFailed(services);
  const heartbeat = startHeartbeat(services, 'worker', failed);
  const loops: Loop[] = [
    heartbeat,
    // Not before it is known whether the service was down.
    startLoop(
      'timers',
      { every_ms: SWEEP_EVERY_MS, log, failed },
      async () => heartbeat.started && fireDueTimers(services, effects),
    ),
    startLoop('moves', { every_ms: MOVE_EVERY_MS, log, failed }, () => moveTimers(services)),
    startLoop('consents', { every_ms: SWEEP_EVERY_MS, log, failed }, () => expireConsents(services)),
    startLoop('ends of consents', { every_ms: WARN_EVERY_MS, log, failed }, () => warnExpiringConsents(services)),
    startLogWatch(services),
    startLoop('reach', { every_ms: REACH_EVERY_MS, log, failed }, async () => heartbeat.started && watchReach(services)),
    startLoop(
      'undelivered',
      { every_ms: REACH_EVERY_MS, log, failed },
      async () => heartbeat.started && callForUndelivered(services),
    ),
    startLoop('crises', { every_ms: WARN_EVERY_MS, log, failed }, () => expireCrisisModes(services)),
    startLoop('hours', { every_ms: HOURS_EVERY_MS, log, failed }, () => keepOpenHoursAhead(services)),
    startLoop('digests', { every_ms: REACH_EVERY_MS, log, failed }, () => tellDigests(services)),
    startLoop('follow-ons', { every_ms: FOLLOW_EVERY_MS, log, failed }, async () => {
      await makeFollowOns(services);
      return false;
    }),
    startLoop('experts', { every_ms: WARN_EVERY_MS, log, failed }, async () => {
      await endSuspended(services);
      return wipeDetails(services);
    }),
    startLoop('coverage', { every_ms: COVERAGE_EVERY_MS, log, failed }, () => watchCoverage(services)),
    startLoop('answers', { every_ms: COUNT_EVERY_MS, log, failed }, () => countLately(services)),
    startLoop('routing', { every_ms: SWEEP_EVERY_MS, log, wake_up, failed }, () => routeUnplaced(services)),
  ];
  const webhooks = startWebhookJobs(services);
  return {
    async stop() {
      await Promise.all([...loops.map(loop => loop.stop()), webhooks.stop()]);
    },
  };
}
