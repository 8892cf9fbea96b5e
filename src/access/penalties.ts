import ipaddr from 'ipaddr.js';

/**
 * Guessing gets slower: each failed login from an address makes the answer to its next failed one wait longer, until the
 * address has been quiet for a while. Only failures wait; who knows the secret is answered at once, whoever else guesses from
 * the same address. A network that has a /64 of IPv6 counts as one address.
 */
export interface Penalties {
  /** Counts a failure; how long after the request its answer may leave, in milliseconds. */
  failed(address: string): number;
}

/** Longer than a login takes, so that how long the look-up took does not show. */
const FIRST_MS = 100;
const LONGEST_MS = 3_000;
const FORGOTTEN_AFTER_MS = 15 * 60_000;
const MOST_ADDRESSES = 10_000;

export function createPenalties(now: () => Date): Penalties {
  const failures = new Map<string, { count: number; at: number }>();
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
