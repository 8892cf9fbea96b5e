import { expireConsents } from './cases/consents.ts';
import { type Loop, startLoop } from './platform/loop.ts';
import { routeUnplaced } from './referrals/router.ts';
import { timerEffects } from './referrals/timer-effects.ts';
import type { Services } from './services.ts';
import { fireDueTimers } from './timers/sweep.ts';
import { startWebhookJobs } from './webhooks/jobs.ts';

export interface Worker {
  /** Ends after what is running. */
  stop(): Promise<void>;
}

/** The contract's tick for what falls due; any number of processes may tick at once. */
const SWEEP_EVERY_MS = 200;

/** Starts everything that happens without a request: clocks, routing again, ends of consents, events and their delivery. */
export function startWorker(services: Services): Worker {
  const { log, wake_up } = services;
  const effects = timerEffects(services);
  const loops: Loop[] = [
    startLoop('timers', { every_ms: SWEEP_EVERY_MS, log }, () => fireDueTimers(services, effects)),
    startLoop('consents', { every_ms: SWEEP_EVERY_MS, log }, () => expireConsents(services)),
    startLoop('routing', { every_ms: SWEEP_EVERY_MS, log, wake_up }, () => routeUnplaced(services)),
  ];
  const webhooks = startWebhookJobs(services);
  return {
    async stop() {
      await Promise.all([...loops.map(loop => loop.stop()), webhooks.stop()]);
    },
  };
}
