import type { OfferStatus, ReferralStatus } from './codes.ts';
import type { EventType } from './events.ts';
import { Problem } from './problem.ts';

/**
 * The lifecycle of referrals and offers: the table of the domain contract ("Referral and offer"), row by row. Every change of a
 * status in the whole service is chosen here and nowhere else. Pure: no clock, no database, no randomness.
 */

/** Who acts. The last three are the service itself: the router, a timer that fell due, a consent that ended. */
export type Party = 'sender' | 'receiver' | 'coordinator' | 'router' | 'clock' | 'consent';

export type TimerName =
  | 'acknowledge'
  | 'respond'
  | 'inform'
  | 'waitlist_review'
  | 'handover'
  | 'review'
  | 'missing_person_check'
  | 'follow_up';

/** What an action does to the timers of the offer that it is about. `rest`: every one that is still running. */
export interface TimerChange {
  meet?: readonly TimerName[] | 'rest';
  cancel?: readonly TimerName[] | 'rest';
  start?: readonly TimerName[];
  /** Never an emergency's: those do not pause. */
  pause?: readonly TimerName[];
  resume?: readonly TimerName[];
}

interface Rule {
  by: readonly Party[];
  /** States of the offer in which it may be done. Empty: it is not about one offer (`offer`, and those with `referral`). */
  from: readonly OfferStatus[];
  to: OfferStatus | 'same';
  /** For acts on the referral as a whole: what it must not have reached. */
  referral?: 'before_accepted' | 'before_in_progress';
  /** Only while no offer of the referral is accepted; and then the other live offers end. */
  takes_it?: true;
  /** Sender or coordinator may record it for the receiver, who said it by telephone. */
  by_telephone?: true;
  timers: TimerChange;
  /** What follows in the same act. `next`: another agency is asked, or the referral is unplaced. `beside`: another one too. */
  follows?: 'next' | 'beside' | 'named' | 'ended';
  event: EventType;
}

const BEFORE_ACCEPTED = ['offered', 'received', 'info_requested', 'waitlisted'] as const satisfies OfferStatus[];
const TAKEN = ['accepted', 'in_progress'] as const satisfies OfferStatus[];
const LIVE: readonly OfferStatus[] = [...BEFORE_ACCEPTED, ...TAKEN];

const ANSWERED = ['acknowledge', 'respond', 'waitlist_review'] as const;

const RULES = {
  offer: {
    by: ['sender', 'router', 'coordinator'],
    from: [],
    to: 'offered',
    timers: { start: ['acknowledge', 'respond'] },
    event: 'referral.offered',
  },
  receive: {
    by: ['receiver'],
    by_telephone: true,
    from: ['offered'],
    to: 'received',
    timers: { meet: ['acknowledge'] },
    event: 'referral.received',
  },
  request_information: {
    by: ['receiver'],
    from: ['received'],
    to: 'info_requested',
    timers: { start: ['inform'], pause: ['respond'] },
    event: 'referral.information_requested',
  },
  provide_information: {
    by: ['sender'],
    from: ['info_requested'],
    to: 'received',
    timers: { meet: ['inform'], resume: ['respond'] },
    event: 'referral.information_provided',
  },
  waitlist: {
    by: ['receiver'],
    from: ['received', 'info_requested'],
    to: 'waitlisted',
    // `inform` too: nobody could answer the question any more.
    timers: { meet: ['respond'], cancel: ['inform'], start: ['waitlist_review'] },
    follows: 'beside',
    event: 'referral.waitlisted',
  },
  accept: {
    by: ['receiver'],
    by_telephone: true,
    // `expired` too: a late yes still counts while nobody else said it.
    from: [...BEFORE_ACCEPTED, 'expired'],
    to: 'accepted',
    takes_it: true,
    timers: { meet: ANSWERED, cancel: ['inform'], start: ['handover'] },
    event: 'referral.accepted',
  },
  decline: {
    by: ['receiver'],
    by_telephone: true,
    from: BEFORE_ACCEPTED,
    to: 'declined',
    timers: { meet: ['acknowledge', 'respond'], cancel: 'rest' },
    follows: 'next',
    event: 'referral.declined',
  },
  expire: {
    by: ['clock'],
    from: BEFORE_ACCEPTED,
    to: 'expired',
    timers: { cancel: 'rest' },
    follows: 'next',
    event: 'referral.expired',
  },
  reroute: {
    by: ['sender', 'coordinator'],
    from: BEFORE_ACCEPTED,
    to: 'cancelled',
    referral: 'before_accepted',
    timers: { cancel: 'rest' },
    follows: 'named',
    event: 'referral.rerouted',
  },
  confirm_handover: {
    by: ['receiver'],
    by_telephone: true,
    // From an earlier live state it implies acceptance.
    from: [...BEFORE_ACCEPTED, 'accepted'],
    to: 'in_progress',
    takes_it: true,
    timers: { meet: [...ANSWERED, 'handover'], cancel: ['inform'], start: ['review'] },
    event: 'referral.handover_confirmed',
  },
  report_no_show: {
    by: ['receiver'],
    from: ['accepted'],
    to: 'failed',
    timers: { cancel: 'rest', start: ['missing_person_check'] },
    follows: 'next',
    event: 'referral.no_show',
  },
  review: {
    by: ['receiver'],
    from: ['in_progress'],
    to: 'same',
    timers: { meet: ['review'], start: ['review'] },
    event: 'referral.reviewed',
  },
  complete: {
    by: ['receiver'],
    from: ['in_progress'],
    to: 'completed',
    timers: { meet: 'rest', start: ['follow_up'] },
    follows: 'ended',
    event: 'referral.completed',
  },
  fail: {
    by: ['receiver'],
    from: TAKEN,
    to: 'failed',
    timers: { cancel: 'rest' },
    follows: 'next',
    event: 'referral.failed',
  },
  cancel: {
    by: ['sender'],
    from: [...BEFORE_ACCEPTED, 'accepted'],
    to: 'cancelled',
    referral: 'before_in_progress',
    timers: { cancel: 'rest' },
    follows: 'ended',
    event: 'referral.cancelled',
  },
  withdraw: {
    by: ['consent'],
    // Which of these it ends is decided by what consent still covers (core/consent.ts).
    from: LIVE,
    to: 'withdrawn',
    timers: { cancel: 'rest' },
    follows: 'next',
    event: 'referral.withdrawn',
  },
  contest: {
    by: ['receiver'],
    from: ['accepted', 'in_progress', 'declined'],
    to: 'offered',
    timers: { cancel: 'rest', start: ['acknowledge', 'respond'] },
    event: 'referral.contested',
  },
} as const satisfies Record<string, Rule>;

export type ReferralAction = keyof typeof RULES;

export interface OfferState {
  id: string;
  status: OfferStatus;
  /** When it was accepted or declined by telephone, recorded by somebody else: until when the receiver may contest that. */
  contestable_until?: Date | null;
}

/** How long a receiver may contest what was recorded for it. */
const CONTEST_WITHIN_MS = 12 * 3_600_000;

/** Until when the receiver may contest what `action`, recorded for it at `now`, says of its offer; null: there is nothing to contest. */
export const contestableUntil = (action: ReferralAction, now: Date): Date | null =>
  (RULES.contest.from as readonly OfferStatus[]).includes(RULES[action].to as OfferStatus)
    ? new Date(now.getTime() + CONTEST_WITHIN_MS)
    : null;

export interface ReferralState {
  ended: 'completed' | 'cancelled' | 'withdrawn' | null;
  offers: readonly OfferState[];
}

export interface Step {
  offer_id: string;
  from: OfferStatus;
  to: OfferStatus;
  timers: TimerChange;
}

export interface Decision {
  /** The offers that change: the one acted on first, then those that end because of it. */
  steps: Step[];
  follows: 'next' | 'beside' | 'named' | 'ended' | null;
  event: EventType;
}

export const isLive = (offer: { status: OfferStatus }): boolean => LIVE.includes(offer.status);
export const isTaken = (offer: { status: OfferStatus }): boolean => (TAKEN as readonly OfferStatus[]).includes(offer.status);
/** Live, and nobody has said yes to it. */
export const isAwaitingAnswer = (offer: { status: OfferStatus }): boolean => isLive(offer) && !isTaken(offer);

/** The same, but for whoever put it on a waiting list: the agency is being asked for places. */
export const isBeingAsked = (offer: { status: OfferStatus }): boolean => isAwaitingAnswer(offer) && offer.status !== 'waitlisted';

/** Furthest last; a referral stands where its furthest live offer stands. */
const FURTHEST: readonly ReferralStatus[] = ['waitlisted', 'offered', 'received', 'info_requested', 'accepted', 'in_progress'];

/** The furthest live offer, if there is one. */
export const furthestOffer = <T extends OfferState>(offers: readonly T[]): T | undefined =>
  offers
    .filter(isLive)
    .sort((a, b) => FURTHEST.indexOf(b.status as ReferralStatus) - FURTHEST.indexOf(a.status as ReferralStatus))[0];

/** The status of a referral: how it ended, else that of its furthest live offer, else `unplaced`. */
export const referralStatus = (referral: ReferralState): ReferralStatus =>
  referral.ended ?? (furthestOffer(referral.offers)?.status as ReferralStatus | undefined) ?? 'unplaced';

/** Whether the table allows `action` on `offer` (or, for acts on the whole, on the referral) as things stand. */
function allows(action: ReferralAction, referral: ReferralState, offer: OfferState | undefined, now: Date): boolean {
  if (referral.ended !== null) return false;
  const rule: Rule = RULES[action];
  const others = referral.offers.filter(other => other.id !== offer?.id);
  if (rule.referral === 'before_accepted') return !referral.offers.some(isTaken);
  if (rule.referral === 'before_in_progress') return !referral.offers.some(other => other.status === 'in_progress');
  if (!offer || !rule.from.includes(offer.status)) return false;
  if (rule.takes_it && others.some(isTaken)) return false;
  if (action === 'contest') return !others.some(isTaken) && (offer.contestable_until ?? now) > now;
  return true;
}

/**
 * What `party` may do now, in the order of the table; what a `wrong_state` problem and a referral's view list.
 * @param offer the receiver's own, or for the others the one that they would act on
 */
export const allowedActions = (
  party: Party,
  referral: ReferralState,
  offer: OfferState | undefined,
  now: Date,
): ReferralAction[] =>
  (Object.keys(RULES) as ReferralAction[]).filter(
    action =>
      action !== 'offer' && (RULES[action].by as readonly Party[]).includes(party) && allows(action, referral, offer, now),
  );

/** Who records for a receiver without a system, or on a bad night. */
const TELEPHONES: readonly Party[] = ['sender', 'coordinator'];

/**
 * What `action` by `party` does to the offers of a referral.
 * @param offer the one acted on; for acts on the whole (`reroute`, `cancel`) every live offer ends
 * @param by_telephone `party` records what the receiver said
 * @throws Problem `wrong_state` where the table has no such step, with `state` and what is allowed instead
 */
export function decide(
  action: ReferralAction,
  party: Party,
  referral: ReferralState,
  offer: OfferState | undefined,
  now: Date,
  { by_telephone = false } = {},
): Decision {
  const rule: Rule = RULES[action];
  const may = by_telephone ? rule.by_telephone === true && TELEPHONES.includes(party) : rule.by.includes(party);
  if (!may || !allows(action, referral, offer, now)) {
    throw new Problem('wrong_state', {
      members: {
        state: party === 'receiver' && offer ? offer.status : referralStatus(referral),
        allowed_actions: allowedActions(party, referral, offer, now),
      },
    });
  }
  const acted_on = rule.referral ? referral.offers.filter(isLive) : [offer!];
  const steps = acted_on.map(it => step(it, rule.to === 'same' ? it.status : rule.to, rule.timers));
  const ended = rule.takes_it
    ? referral.offers
        .filter(other => other.id !== offer?.id && isLive(other))
        .map(it => step(it, 'cancelled', { cancel: 'rest' }))
    : [];
  return { steps: [...steps, ...ended], follows: rule.follows ?? null, event: rule.event };
}

const step = (offer: OfferState, to: OfferStatus, timers: TimerChange): Step => ({
  offer_id: offer.id,
  from: offer.status,
  to,
  timers,
});

/** The timers that start with a new offer. */
export const OFFER_TIMERS = RULES.offer.timers.start;

/** The table itself, for the document that describes it and for the test that walks it. */
export const lifecycleTable: Readonly<Record<ReferralAction, Readonly<Rule>>> = RULES;

/** `confirm_handover` of an offer that nobody accepted yet says yes to it as well. */
export const impliesAcceptance = (action: ReferralAction, offer: OfferState): boolean =>
  action === 'accept' || (action === 'confirm_handover' && offer.status !== 'accepted');
