/**
 * Emergencies of which nobody at an agency heard ("Events and notifications", section "Sending"): after five minutes somebody on
 * duty is called, and the next every ten minutes, until they were heard or somebody acknowledges.
 */

const UNHEARD_MS = 5 * 60_000;
const CALL_AGAIN_MS = 10 * 60_000;
/** So long after the service was down, what waited may still be on its way. */
const SETTLING_MS = 30_000;

/** What happened until then and was not heard is undelivered. */
export const overdueAt = (now: Date): Date => new Date(now.getTime() - UNHEARD_MS);

/** What an agency did not hear in time. */
export interface Unheard {
  count: number;
  /** When the first and the last of it happened. */
  since: Date;
  latest: Date;
}

export interface Calling {
  called_at: Date;
  acknowledged_at: Date | null;
}

/**
 * What is to be done about an agency: call somebody for the first time, or the next; let it rest; or end it, for everything was
 * heard. What fell silent after somebody acknowledged begins anew.
 */
export function stepFor(
  unheard: Unheard | undefined,
  calling: Calling | undefined,
  now: Date,
): 'begin' | 'call' | 'rest' | 'end' {
  if (!unheard) return calling ? 'end' : 'rest';
  if (!calling) return 'begin';
  const { called_at, acknowledged_at } = calling;
  if (acknowledged_at) return unheard.latest.getTime() + UNHEARD_MS > acknowledged_at.getTime() ? 'begin' : 'rest';
  return now.getTime() - called_at.getTime() < CALL_AGAIN_MS ? 'rest' : 'call';
}

/** Whether the service has run long enough for what waited to have gone out. @param running_since null where that is not known */
export const hasSettled = (running_since: Date | null, now: Date): boolean =>
  running_since === null || now.getTime() - running_since.getTime() >= SETTLING_MS;
