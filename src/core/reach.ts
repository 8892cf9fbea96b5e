import type { EventType } from './events.ts';

/**
 * Whether anybody at an agency hears of an offer ("Events and notifications", section "Sending"): its own system takes events,
 * by an endpoint that works or by pulling them.
 */

const FAILING_MS = 5 * 60_000;
const PULLED_WITHIN_MS = 15 * 60_000;
/** Until a new agency has to have set up its system; and until those who pull have to be back after the service was down. */
const GRACE_MS = 15 * 60_000;

/** The ways by which an agency takes offers. */
export interface Channels {
  /** Of each of its endpoints that are on and take offers: since when every delivery failed; null: it works. */
  failing_since: readonly (Date | null)[];
  /** When it last pulled offers; null: never. */
  pulled_at: Date | null;
}

export const isReachable = ({ failing_since, pulled_at }: Channels, now: Date): boolean =>
  failing_since.some(since => since === null || now.getTime() - since.getTime() < FAILING_MS) ||
  (pulled_at !== null && now.getTime() - pulled_at.getTime() <= PULLED_WITHIN_MS);

/** Whether an endpoint or a pull that asks for these types takes offers; undefined: for all. */
export const takesOffers = (types: readonly string[] | undefined): boolean =>
  types === undefined || types.some(type => type === '*' || type === ('referral.offered' satisfies EventType));

/** Whether what is asked for is of referrals at all: so much whoever offers no service, and is asked to take none, has to ask for. */
export const takesReferrals = (types: readonly string[] | undefined): boolean =>
  types === undefined || types.some(type => type === '*' || type.startsWith('referral.'));

/**
 * Whether it has to be told that an agency is out of reach. Who is new has a while, and who pulls has one after the service was
 * down, for nobody could pull then.
 * @param running_since of the service as a whole; null where that is not known
 */
export function isMissed(
  { pulled_at, serves_since, ...channels }: Channels & { serves_since: Date },
  running_since: Date | null,
  now: Date,
): boolean {
  const grace_ends = now.getTime() - GRACE_MS;
  const is_new = serves_since.getTime() > grace_ends;
  const could_not_pull = pulled_at !== null && running_since !== null && running_since.getTime() > grace_ends;
  return !is_new && !could_not_pull && !isReachable({ ...channels, pulled_at }, now);
}
