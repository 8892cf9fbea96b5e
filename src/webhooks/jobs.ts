import { loopFailed, recordFailure } from '../audit/failures.ts';
import { startLoop } from '../platform/loop.ts';
import { createOutbound } from '../platform/outbound.ts';
import type { Services } from '../services.ts';
import { createSender } from './delivery.ts';
import { relayEvents, sweepDeliveries } from './relay.ts';
import { deleteExpired, wipeExpiredSecrets } from './retention.ts';
import { startTurn, type Turn } from './turn.ts';

/** At least this often, woken or not. */
const RELAY_EVERY_MS = 200;
const SWEEP_EVERY_MS = 1_000;
const RETENTION_EVERY_MS = 600_000;

/** Connections to one origin: more than one agency's endpoints take together, so that none waits for another that shares it. */
const CONNECTIONS = 256;

/** A job only says where to look. */
const JOBS_AT_ONCE = 16;

/** What is left to attempts that are under way when the process ends. */
const FINISH_WITHIN_MS = 1_500;

export interface WebhookJobs {
  /** Ends after the rounds that are running and the attempts that end soon; breaks off the others. */
  stop(): Promise<void>;
}

/**
 * Starts everything that takes events out of the outbox: the relay, the consumer of its queue, the sweep that heals the queue
 * and stands in for it while it is down, and retention.
 * @throws Error where the services have no queue
 */
export function startWebhookJobs(services: Services): WebhookJobs {
  const { config, log, queue, wake_up } = services;
  if (!queue) throw new Error('the worker needs the queue');
  const outbound = createOutbound({
    production: config.production,
    ports: config.webhook_ports,
    proxy: config.egress_proxy,
    connections: CONNECTIONS,
  });
  const sender = createSender(services, outbound);
  const failed = loopFailed(services);
  const stopping = new AbortController();
  const turns = new Map<string, Turn>();
  const ending = new Set<Promise<void>>();

  /** Begins a turn at an endpoint, or has the one that is running look again: none waits for another. */
  const take = (endpoint_id: string, urgent: boolean): void => {
    turns.get(endpoint_id)?.look(urgent);
    if (turns.has(endpoint_id) || stopping.signal.aborted) return;
    const turn = startTurn(services, sender, endpoint_id, {
      signal: stopping.signal,
      onEnd: () => void turns.delete(endpoint_id),
    });
    turns.set(endpoint_id, turn);
    const ended = turn.ended
      .then(() => {})
      .catch(error => tellFailure(endpoint_id, error))
      .finally(() => ending.delete(ended));
    ending.add(ended);
  };
  const tellFailure = async (endpoint_id: string, error: unknown): Promise<void> => {
    log.error({ err: error, endpoint_id }, 'turn failed');
    await recordFailure(services, error, {
      role: 'relay',
      action: 'delivery.attempt',
      subject: { subject_id: endpoint_id },
    });
  };

  const consumer = queue.startConsumer(JOBS_AT_ONCE, async ({ subject_id, urgent }) => take(subject_id, urgent));
  const loops = [
    startLoop('relay', { every_ms: RELAY_EVERY_MS, log, wake_up, failed }, () => relayEvents(services)),
    startLoop('sweep', { every_ms: SWEEP_EVERY_MS, log, failed }, async () => {
      for (const { endpoint_id, urgent } of await sweepDeliveries(services)) take(endpoint_id, urgent);
      return false;
    }),
    startLoop('retention', { every_ms: RETENTION_EVERY_MS, log, failed }, async () => {
      await wipeExpiredSecrets(services);
      return deleteExpired(services);
    }),
  ];
  return {
    async stop() {
      stopping.abort();
      // A receiver may take 15 s to answer, and the process is to end before: what is broken off another process attempts.
      const grace = setTimeout(() => void outbound.close(), FINISH_WITHIN_MS);
      await Promise.all([...loops.map(loop => loop.stop()), consumer.stop()]);
      await Promise.all(ending);
      clearTimeout(grace);
      await outbound.close();
    },
  };
}
