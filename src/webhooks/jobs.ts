import { loopFailed, recordFailure } from '../audit/failures.ts';
import { systemActor } from '../core/access.ts';
import { transact } from '../platform/database.ts';
import { startLoop } from '../platform/loop.ts';
import { createOutbound } from '../platform/outbound.ts';
import type { Services } from '../services.ts';
import { deliver } from './delivery.ts';
import { relayEvents, sweepDeliveries } from './relay.ts';
import { deleteExpired, wipeExpiredSecrets } from './retention.ts';
import { findAgencyOf } from './store.ts';

/** At least this often, woken or not. */
const RELAY_EVERY_MS = 200;
const SWEEP_EVERY_MS = 1_000;
const RETENTION_EVERY_MS = 600_000;

/**
 * Attempts under way at once in one process. Nearly all of that time is waiting for receivers, and an endpoint takes few of them
 * however dead it is, so the number only has to be far above what some dead endpoints take.
 */
const ATTEMPTS_AT_ONCE = 256;

/** Of these, what one agency's endpoints take together. Emergencies have room that others cannot take. */
export const AGENCY_AT_ONCE = { urgent: 64, ordinary: 48 };

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
  // Attempts are bounded by endpoint and agency, never by the origin that they may share with others'.
  const outbound = createOutbound({
    production: config.production,
    ports: config.webhook_ports,
    connections: ATTEMPTS_AT_ONCE,
  });
  const failed = loopFailed(services);
  const stopping = new AbortController();
  // Whose an endpoint is never changes.
  const agencies = new Map<string, string>();
  const turns = new Map<string, number>();
  const hasTurns = (agency_id: string | undefined): boolean =>
    agency_id === undefined || (turns.get(agency_id) ?? 0) < AGENCY_AT_ONCE.urgent;
  const takeTurn = async (endpoint_id: string): Promise<void> => {
    try {
      await takeTurnOf(endpoint_id);
    } catch (error) {
      await recordFailure(services, error, {
        role: 'relay',
        action: 'delivery.attempt',
        subject: { subject_id: endpoint_id },
      });
      throw error;
    }
  };
  const takeTurnOf = async (endpoint_id: string): Promise<void> => {
    const agency_id =
      agencies.get(endpoint_id) ?? (await transact(services, systemActor('relay'), tx => findAgencyOf(tx, endpoint_id)));
    agencies.set(endpoint_id, agency_id);
    const taken = turns.get(agency_id) ?? 0;
    // Whoever finds no room leaves: the sweep enqueues again what is still due.
    if (taken >= AGENCY_AT_ONCE.urgent) return;
    turns.set(agency_id, taken + 1);
    try {
      await deliver(services, outbound, endpoint_id, {
        signal: stopping.signal,
        urgent_only: taken >= AGENCY_AT_ONCE.ordinary,
      });
    } finally {
      turns.set(agency_id, turns.get(agency_id)! - 1);
    }
  };

  const consumer = queue.startConsumer(ATTEMPTS_AT_ONCE, takeTurn);
  /** Turns that the sweep takes while the queue is down. */
  const without_queue = new Set<Promise<void>>();
  const takeTurnWithoutQueue = (endpoint_id: string) => {
    const turn = takeTurn(endpoint_id)
      .catch(error => log.error({ err: error, endpoint_id }, 'turn failed'))
      .finally(() => without_queue.delete(turn));
    without_queue.add(turn);
  };
  const loops = [
    startLoop('relay', { every_ms: RELAY_EVERY_MS, log, wake_up, failed }, () => relayEvents(services)),
    startLoop('sweep', { every_ms: SWEEP_EVERY_MS, log, failed }, async () => {
      const left = await sweepDeliveries(services);
      // Whoever's agency has no turn left would only stand in the way of the others.
      const free = left.filter(({ endpoint_id }) => hasTurns(agencies.get(endpoint_id)));
      for (const { endpoint_id } of free.slice(0, ATTEMPTS_AT_ONCE - without_queue.size)) takeTurnWithoutQueue(endpoint_id);
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
      await Promise.all(without_queue);
      clearTimeout(grace);
      await outbound.close();
    },
  };
}
