import ipaddr from 'ipaddr.js';
import { Problem } from '../core/problem.ts';

/**
 * Guessing gets slower: each failed login from an address makes the answer to its next failed one wait longer, until the
 * address has been quiet for a while. Only failures wait; who knows the secret is answered at once, whoever else guesses from
 * the same address. A network that has a /64 of IPv6 counts as one address.
 *
 * And it cannot keep others from logging in. Looking a client up costs little, so guesses are told apart first, and many may
 * wait for it; verifying a secret costs much, and hardly anything comes to it but secrets that are right. What does not fit into
 * a queue is refused before it costs anything.
 */
export interface Penalties {
  /** Counts a failure; how long after the request its answer may leave, in milliseconds. */
  failed(address: string): number;
  /** Runs `work` when it is the address's turn for something of that cost. @throws Problem `rate_limited` where too many wait */
  inTurn<T>(address: string, cost: Cost, work: () => Promise<T>): Promise<T>;
}

export type Cost = 'look_up' | 'verify';

/** Longer than a login takes, so that how long the look-up took does not show. */
const FIRST_MS = 100;
const LONGEST_MS = 3_000;
const FORGOTTEN_AFTER_MS = 15 * 60_000;
const MOST_ADDRESSES = 10_000;
/** Of an address: a second's worth of looking up, a few seconds' of verifying. */
const TURNS: Record<Cost, { at_once: number; waiting: number }> = {
  look_up: { at_once: 8, waiting: 1_000 },
  verify: { at_once: 2, waiting: 100 },
};

export function createPenalties(now: () => Date): Penalties {
  const failures = new Map<string, { count: number; at: number }>();
  const turns = new Map<string, { running: number; waiting: (() => void)[] }>();
  return {
    failed(address) {
      const network = networkOf(address);
      const at = now().getTime();
      const last = failures.get(network);
      const count = last && at - last.at < FORGOTTEN_AFTER_MS ? last.count + 1 : 1;
      // Inserted anew, so that the map's order is by last failure and the oldest is forgotten first.
      failures.delete(network);
      if (failures.size >= MOST_ADDRESSES) failures.delete(failures.keys().next().value!);
      failures.set(network, { count, at });
      return Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(count - 1, 16));
    },
    async inTurn(address, cost, work) {
      const name = `${cost} ${networkOf(address)}`;
      const turn = turns.get(name) ?? { running: 0, waiting: [] };
      turns.set(name, turn);
      if (turn.running < TURNS[cost].at_once) turn.running += 1;
      else if (turn.waiting.length < TURNS[cost].waiting) await new Promise<void>(resolve => turn.waiting.push(resolve));
      else throw new Problem('rate_limited', { retry_after: 1 });
      try {
        return await work();
      } finally {
        // Whoever waits takes the place over.
        const next = turn.waiting.shift();
        if (next) next();
        else turn.running -= 1;
        if (turn.running === 0) turns.delete(name);
      }
    },
  };
}

/** The address itself, or the /64 that it lies in. */
export function networkOf(address: string): string {
  if (!ipaddr.isValid(address)) return 'unknown';
  const parsed = ipaddr.process(address);
  return parsed instanceof ipaddr.IPv6
    ? `${parsed.parts
        .slice(0, 4)
        .map(part => part.toString(16))
        .join(':')}::/64`
    : parsed.toString();
}
