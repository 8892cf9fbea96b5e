import { startLoop } from '../platform/loop.ts';
import { createOutbound } from '../platform/outbound.ts';
import { deleteExpired } from '../platform/retention.ts';
import type { Services } from '../services.ts';
import { deliver } from './delivery.ts';
import { relayEvents, sweepDeliveries } from './relay.ts';

/** At least this often, woken or not. */
const RELAY_EVERY_MS = 200;
const SWEEP_EVERY_MS = 1_000;
const RETENTION_EVERY_MS = 600_000;

/**
 * Attempts under way at once in one process. Nearly all of that time is waiting for receivers, and an endpoint takes few of them
 * however dead it is, so the number only has to be far above what some dead endpoints take.
 */
const ATTEMPTS_AT_ONCE = 256;

/** What is left to attempts that are under way when the process ends. */
const FINISH_WITHIN_MS = 1_500;

export interface WebhookJobs {
  /** Ends after the rounds that are running and the attempts that end soon; breaks off the others. */
  stop(): Promise<void>;
}

/**
 * Starts everything that takes events out of the outbox: the relay, the consumer of its queue, the sweep that heals the queue,
 * and retention.
 * @throws Error where the services have no queue
 */
export function startWebhookJobs(services: Services): WebhookJobs {
  const { config, log, queue, wake_up } = services;
  if (!queue) throw new Error('the worker needs the queue');
  const outbound = createOutbound({ production: config.production, ports: config.webhook_ports });
  const stopping = new AbortController();
  const loops = [
    startLoop('relay', { every_ms: RELAY_EVERY_MS, log, wake_up }, () => relayEvents(services)),
    startLoop('sweep', { every_ms: SWEEP_EVERY_MS, log }, async () => {
      await sweepDeliveries(services);
      return false;
    }),
    startLoop('retention', { every_ms: RETENTION_EVERY_MS, log }, () => deleteExpired(services)),
  ];
  const consumer = queue.startConsumer(ATTEMPTS_AT_ONCE, async endpoint_id => {
    await deliver(services, outbound, endpoint_id, stopping.signal);
  });
  return {
    async stop() {
      stopping.abort();
      // A receiver may take 15 s to answer, the process has 5 s to end: what is broken off is attempted again.
      const grace = setTimeout(() => void outbound.close(), FINISH_WITHIN_MS);
      await Promise.all([...loops.map(loop => loop.stop()), consumer.stop()]);
      clearTimeout(grace);
      await outbound.close();
    },
  };
}
