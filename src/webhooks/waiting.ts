import { type AgencyActor, systemActor } from '../core/access.ts';
import { transact } from '../platform/database.ts';
import type { Services } from '../services.ts';
import { lastPositions } from './outbox-store.ts';

/** Pulls of this process that wait for an event. However many they are, together they cost the database one query a wake-up. */
export interface WaitingPulls {
  /**
   * Waits until the agency has events behind position `seen`.
   * @returns false where it has none: `ms` are over, `signal` was aborted, or the client has as many waiting as it may
   */
  grown(actor: AgencyActor, seen: number, ms: number, signal: AbortSignal): Promise<boolean>;
}

/** Of one client at once. A further one is answered at once. */
const WAITING_PER_CLIENT = 10;
const LOOK_AT_MOST_EVERY_MS = 100;
/** A wake-up may be lost. */
const LOOK_AGAIN_MS = 1_000;

interface Waiter {
  client_id: string;
  agency_id: string;
  seen: number;
  end(grown: boolean): void;
}

/**
 * Looks after a wake-up, once for all that wait, where their agencies' positions stand, and ends the waiting of those that grew.
 * @param closing ends all waiting, now and later
 */
export function startWaitingPulls(services: Services, closing: AbortSignal): WaitingPulls {
  const waiters = new Set<Waiter>();
  let asked = false;
  let looking = false;

  async function look(): Promise<void> {
    const agencies = [...new Set([...waiters].map(waiter => waiter.agency_id))];
    const last = await transact(services, systemActor('relay'), tx => lastPositions(tx, agencies));
    for (const waiter of [...waiters]) if ((last.get(waiter.agency_id) ?? 0) > waiter.seen) waiter.end(true);
  }

  /** Looks now, or as soon as it may again: what commits during a look is seen by the next. */
  async function wake(): Promise<void> {
    asked = true;
    if (looking) return;
    looking = true;
    while (asked && waiters.size > 0) {
      asked = false;
      await look().catch(error => services.log.warn({ err: error }, 'waiting pulls were not looked after'));
      await new Promise(resolve => setTimeout(resolve, LOOK_AT_MOST_EVERY_MS));
    }
    looking = false;
  }

  const stopListening = services.wake_up.onWakeUp(wake);
  const again = setInterval(wake, LOOK_AGAIN_MS).unref();
  closing.addEventListener('abort', () => {
    stopListening();
    clearInterval(again);
  });

  return {
    async grown({ client_id, agency_id }, seen, ms, signal) {
      const stop = AbortSignal.any([signal, closing]);
      const waiting = [...waiters].filter(waiter => waiter.client_id === client_id).length;
      if (ms <= 0 || stop.aborted || waiting >= WAITING_PER_CLIENT) return false;
      const { promise, resolve } = Promise.withResolvers<boolean>();
      const waiter = { client_id, agency_id, seen, end: resolve };
      const timeUp = () => resolve(false);
      const timer = setTimeout(timeUp, ms);
      stop.addEventListener('abort', timeUp);
      waiters.add(waiter);
      // What was numbered since the caller looked woke nobody yet.
      void wake();
      try {
        return await promise;
      } finally {
        clearTimeout(timer);
        stop.removeEventListener('abort', timeUp);
        waiters.delete(waiter);
      }
    },
  };
}
