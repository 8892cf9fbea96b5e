import type { EventType } from './events.ts';
import { lifecycleTable, type ReferralAction } from './referral.ts';

/**
 * The history of a case as one agency may know it: which acts of the trail it is shown, and as what they were told. Pure.
 */

/** An act as the trail has it. */
export interface HistoryAct {
  at: Date;
  action: string;
  /** Null: the service itself. */
  agency_id: string | null;
  referral_id?: string;
  /** Those that it meant something for, where it is not about one. */
  referral_ids?: readonly string[];
  offer_id?: string;
  offer_ids?: readonly string[];
}

/** Whoever asks, and what ties it to the case. */
export interface HistoryReader {
  agency_id: string;
  /** Owner and coordinator. */
  sees_all: boolean;
  /** Holds or held the case: may know of its own acts on it. */
  holds: boolean;
  /** The referrals that it sent. */
  sent: ReadonlySet<string>;
  /** The offers made to it that it still knows of. */
  offers: ReadonlySet<string>;
  /** It confirmed then that it deleted what it knew: what it did before is no longer its own. */
  forgotten_at: Date | null;
}

/** How an agency's own endpoint answers is no part of the person's way. */
const isTransport = ({ action }: HistoryAct): boolean => action.startsWith('delivery.');

/** Whom an agency assigns, who looks without being assigned, and who must not meet whom, is that agency's own matter. */
const INTERNAL: ReadonlySet<string> = new Set([
  'case.assign',
  'case.access_unassigned',
  'case.separate',
  'case.separations',
  'case.agree_separation',
  'case.lift_separation',
  'group.read',
]);

const referralsOf = ({ referral_id, referral_ids = [] }: HistoryAct): string[] =>
  referral_id === undefined ? [...referral_ids] : [referral_id, ...referral_ids];

/**
 * Whether `reader` may know of `act`: owner and coordinator of every one; a sender of what is about its own referrals; whoever
 * holds or held the case of what is about its own offers, and of what it did itself.
 */
export function mayKnowOf(act: HistoryAct, reader: HistoryReader): boolean {
  if (isTransport(act)) return false;
  const own = act.agency_id === reader.agency_id;
  if (INTERNAL.has(act.action)) return own && (reader.sees_all || isRemembered(act, reader));
  if (reader.sees_all) return true;
  if (referralsOf(act).some(id => reader.sent.has(id))) return true;
  if (act.offer_id !== undefined) return reader.offers.has(act.offer_id);
  if (act.offer_ids?.some(id => reader.offers.has(id))) return true;
  return own && isRemembered(act, reader);
}

const isRemembered = ({ at }: HistoryAct, { holds, forgotten_at }: HistoryReader): boolean =>
  holds && (forgotten_at === null || at > forgotten_at);

/** The referrals of an act that `reader` may be told of. */
export const referralsKnown = (
  act: HistoryAct,
  reader: HistoryReader,
  /** The referral of each offer that was made to it. */
  referral_of: ReadonlyMap<string, string>,
): string[] => {
  const known = new Set([...reader.sent, ...[...reader.offers].flatMap(id => referral_of.get(id) ?? [])]);
  return (act.referral_ids ?? []).filter(id => reader.sees_all || known.has(id));
};

const TOLD_AS: Readonly<Record<string, EventType>> = {
  'case.open': 'case.opened',
  'case.close': 'case.closed',
  'case.reopen': 'case.reopened',
  'case.transfer': 'case.transferred',
  'case.access_unassigned': 'access.unassigned',
  'decision.make': 'decision.made',
  'decision.serve': 'decision.served',
  'consent.give': 'consent.granted',
  'consent.withdraw': 'consent.withdrawn',
  'consent.expire': 'consent.expired',
  'referral.unplace': 'referral.unplaced',
  'timer.warn': 'timer.warned',
  'timer.breach': 'timer.breached',
  'timer.escalate': 'timer.escalated',
  'timer.call': 'timer.escalated',
  'timer.pause': 'timer.paused',
  'timer.resume': 'timer.resumed',
  'message.send': 'referral.message',
};

/** The event that an act was told as in the first place; undefined where nobody is told of it as such. */
export function mainEvent(action: string): EventType | undefined {
  const [noun, verb] = action.split('.') as [string, string];
  if (noun === 'referral' && Object.hasOwn(lifecycleTable, verb)) return lifecycleTable[verb as ReferralAction].event;
  return Object.hasOwn(TOLD_AS, action) ? TOLD_AS[action] : undefined;
}
