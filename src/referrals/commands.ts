import { type CandidateRow, listCandidates } from '../agencies/candidates-store.ts';
import { takePlaces } from '../agencies/store.ts';
import { act } from '../audit/act.ts';
import { requireAssigned } from '../cases/assignments.ts';
import { requireServed } from '../cases/clocks.ts';
import { type AgencyActor, authorise, expectVersion } from '../core/access.ts';
import { TIME_LINE } from '../core/calendar.ts';
import { mayBeAsked } from '../core/consent.ts';
import { guardedEnd } from '../core/floor.ts';
import { findPolicy } from '../core/policy.ts';
import { Problem } from '../core/problem.ts';
import { reckon } from '../core/reckoning.ts';
import {
  decide,
  furthestOffer,
  impliesAcceptance,
  lifecycleTable,
  type Party,
  type ReferralAction,
  type TimerName,
} from '../core/referral.ts';
import { isNeverReceived } from '../core/routing.ts';
import { asSystem, type Tx } from '../platform/database.ts';
import type { Services } from '../services.ts';
import { requireApart } from './companions.ts';
import { arrivedElsewhere } from './follow-ons.ts';
import { type LockedReferral, lockReferral, namedOffer, ownOffer, referralRelations } from './locked.ts';
import { requireProvider } from './make.ts';
import { type Carrying, carryOut, finish } from './progress.ts';
import { goOn, isAsked, makeOffer, placesNeeded, rank, requireMayBeNamed } from './router.ts';
import type { ReferralView } from './schema.ts';
import { type Exchange, sealExchange } from './sealed.ts';
import type { OfferChange, OfferRow } from './store.ts';
import { recorded, recorderOf, requireOwnVoice, requirePast, requireTelephone, type Telephone } from './telephone.ts';
import { moveCase, requireStillGiven } from './transfer.ts';
import { viewReferral } from './view.ts';

/**
 * What agencies do to a referral: one function per verb, each one act on the locked referral. What they have in common stands
 * in `actOn`: who may, is the version the one that was read, what does the table say, what is written and told, who is asked next.
 */

export const receiveReferral = (services: Services, actor: AgencyActor, id: string, telephone: Telephone) =>
  actOn(services, actor, id, 'receive', undefined, { telephone });

/** The receiver asks the sender something that it needs to know before it can say yes or no. */
export const requestInformation = (services: Services, actor: AgencyActor, id: string, body: { questions: string[] }) =>
  actOn(services, actor, id, 'request_information', async (tx, { offer, now }) => ({
    change: await exchanged(services, tx, offer, exchange => ({
      ...exchange,
      questions: [...exchange.questions, { asked_at: now.toISOString(), questions: body.questions }],
    })),
  }));

/** The sender answers the last questions that were asked. */
export const provideInformation = (
  services: Services,
  actor: AgencyActor,
  id: string,
  body: { answers: string[]; offer_id?: string },
) =>
  actOn(
    services,
    actor,
    id,
    'provide_information',
    async (tx, { offer, now }) => ({
      change: await exchanged(services, tx, offer, exchange => ({
        ...exchange,
        questions: exchange.questions.map((asked, index) =>
          index === exchange.questions.length - 1 ? { ...asked, answered_at: now.toISOString(), answers: body.answers } : asked,
        ),
      })),
    }),
    { offer_id: body.offer_id },
  );

/** Not now, but perhaps soon: unless one is asked already, the router asks another agency beside this one, which may still accept. */
export const waitlistReferral = (services: Services, actor: AgencyActor, id: string, body: { review_at?: string }) =>
  actOn(
    services,
    actor,
    id,
    'waitlist',
    async (tx, { locked, now }) => ({
      due_at: dayNamed(body.review_at),
      follow: () => goOn(services, tx, actor, locked, now),
    }),
    { check: (_tx, locked, now) => requireDay(locked, 'waitlist_review', '/review_at', body.review_at, now) },
  );

/**
 * The receiving agency takes the referral: its places are held, other live offers end, what consent covers opens to it.
 * @throws Problem `consent_missing` where consent ended meanwhile, `no_capacity` unless `over_capacity`, `may_not_take`
 */
export const acceptReferral = (
  services: Services,
  actor: AgencyActor,
  id: string,
  body: { note?: string; over_capacity?: boolean } & Telephone,
) =>
  actOn(
    services,
    actor,
    id,
    'accept',
    async (tx, { locked, offer, now }) => {
      requireMayTake(locked, offer!, now);
      const held = await holdPlaces(services, tx, locked, offer!, body.over_capacity ?? false, now);
      return { change: { ...held, ...(await noted(services, tx, offer, 'accept', body.note, now)) } };
    },
    { telephone: body },
  );

/** The receiver says no, with a coded reason; the next agency is asked. */
export const declineReferral = (
  services: Services,
  actor: AgencyActor,
  id: string,
  body: { reason_code: string; note?: string } & Telephone,
) =>
  actOn(
    services,
    actor,
    id,
    'decline',
    async (tx, { offer, now }) => ({
      code: body.reason_code,
      change: await noted(services, tx, offer, 'decline', body.note, now),
    }),
    { telephone: body },
  );

/**
 * Sender or coordinator take the referral to an agency that they name; offers that nobody accepted end.
 * @throws Problem `not_offered`, `agency_suspended`, `consent_missing`
 */
export const rerouteReferral = (
  services: Services,
  actor: AgencyActor,
  id: string,
  body: { agency_id: string; reason_code: string },
) => {
  let provider: CandidateRow;
  return actOn(
    services,
    actor,
    id,
    'reroute',
    async (tx, { locked, now }) => {
      const recipient = { id: provider.agency_id, kind: provider.kind };
      if (!mayBeAsked(locked.referral, locked.grants, recipient, now)) throw consentMissing(locked);
      requireMayBeNamed((await rank(services, tx, locked, now)).ranked, provider.agency_id);
      return { code: body.reason_code, follow: () => makeOffer(services, tx, actor, locked, provider, now) };
    },
    {
      async check(tx, { referral: { service, jurisdiction } }) {
        const providers = await asSystem(tx, 'router', tx =>
          listCandidates(services, tx, { service, jurisdiction }, services.now()),
        );
        provider = requireProvider(providers, body.agency_id);
      },
    },
  );
};

/**
 * The person has arrived. Said of an offer that nobody accepted yet, it accepts it as well.
 * @throws Problem `unprocessable` for an arrival in the future; what accepting throws
 */
export const confirmHandover = (
  services: Services,
  actor: AgencyActor,
  id: string,
  body: { arrived_at: string; accompanied_by?: string; over_capacity?: boolean } & Telephone,
) =>
  actOn(
    services,
    actor,
    id,
    'confirm_handover',
    async (tx, { locked, offer, now }) => {
      const accepts = impliesAcceptance('confirm_handover', offer!);
      if (accepts) requireMayTake(locked, offer!, now);
      const { accompanied_by } = body;
      const arrived_at = new Date(body.arrived_at).toISOString();
      return {
        notices: await arrivedElsewhere(tx, locked),
        change: {
          ...(accepts ? await holdPlaces(services, tx, locked, offer!, body.over_capacity ?? false, now) : {}),
          ...(await exchanged(services, tx, offer, exchange => ({ ...exchange, handover: { arrived_at, accompanied_by } }))),
        },
      };
    },
    { telephone: body, check: (_tx, _locked, now) => requirePast('/arrived_at', body.arrived_at, now) },
  );

/** The person did not come: sender and coordinator are told at once, the need stays open. */
export const reportNoShow = (services: Services, actor: AgencyActor, id: string) =>
  actOn(services, actor, id, 'report_no_show', async () => ({ code: 'no_show' }));

/** The receiver has looked again at how it goes; the next review starts. */
export const reviewReferral = (services: Services, actor: AgencyActor, id: string, body: { next_review_at?: string }) =>
  actOn(services, actor, id, 'review', async () => ({ due_at: dayNamed(body.next_review_at) }), {
    check: (_tx, locked, now) => requireDay(locked, 'review', '/next_review_at', body.next_review_at, now),
  });

/**
 * The receiver takes back what sender or coordinator recorded for it by telephone: it is asked anew, and the coordinator told.
 * @throws Problem `wrong_state` after 12 hours, or where another agency has accepted meanwhile; `consent_missing` where nothing
 *   covers it any more
 */
export const contestReferral = (services: Services, actor: AgencyActor, id: string, body: { note: string }) =>
  actOn(services, actor, id, 'contest', async (tx, { locked, offer, now }) => {
    // Nothing lets it be asked anew; whoever does not want the service that goes on says that it failed.
    requireMayTake(locked, offer!, now);
    const note = await noted(services, tx, offer, 'contest', body.note, now);
    return { change: { ...note, accepted_at: null, ended_at: null, reason_code: null } };
  });

const dayNamed = (text: string | undefined): Date | null => (text === undefined ? null : new Date(text));

const LATEST_MS = 366 * 86_400_000;

/**
 * A day that somebody names instead of the rule's lies ahead, and within a year; an emergency's clock is never stretched by it.
 * @throws Problem `unprocessable`
 */
function requireDay({ referral, pack }: LockedReferral, name: TimerName, pointer: string, text: string | undefined, now: Date) {
  if (text === undefined) return;
  const fault = (detail: string) => new Problem('unprocessable', { errors: [{ pointer, detail }] });
  const named_at = new Date(text);
  if (named_at <= now) throw fault('lies in the past');
  if (named_at.getTime() > now.getTime() + LATEST_MS) throw fault('lies more than a year ahead');
  const { service, urgency } = referral;
  const policy = urgency === 'emergency' && findPolicy(pack.policies, name, { service, urgency });
  if (policy && named_at > reckon(policy, now, TIME_LINE)) throw fault('is later than the rule for emergencies allows');
}

/** @throws Problem `too_early` where it ends because of a negative decision that may still be asked again */
export const completeReferral = (
  services: Services,
  actor: AgencyActor,
  id: string,
  body: { outcome_code: string; note?: string },
) =>
  actOn(services, actor, id, 'complete', async (tx, { locked, offer, now }) => {
    await requireServed(tx, locked.referral.case_id, guardedEnd('complete', body.outcome_code), now);
    // The person is left without, as far as anybody has said yes elsewhere.
    const also = locked.follow_on === 'asked' ? locked.coordinators : [];
    return { code: body.outcome_code, told: { also }, change: await noted(services, tx, offer, 'complete', body.note, now) };
  });

/**
 * The service ended without the need being met, which stays open.
 * @throws Problem `too_early` where it ends because of a negative decision that may still be asked again
 */
export const failReferral = (services: Services, actor: AgencyActor, id: string, body: { reason_code: string; note?: string }) =>
  actOn(services, actor, id, 'fail', async (tx, { locked, offer, now }) => {
    await requireServed(tx, locked.referral.case_id, guardedEnd('fail', body.reason_code), now);
    return { code: body.reason_code, change: await noted(services, tx, offer, 'fail', body.note, now) };
  });

/** The sender takes the request back. */
export const cancelReferral = (services: Services, actor: AgencyActor, id: string, body: { reason_code: string }) =>
  actOn(services, actor, id, 'cancel', async () => ({ code: body.reason_code }));

interface Standing {
  locked: LockedReferral;
  /** The receiver's own latest offer, or the one that sender or coordinator act on. */
  offer: OfferRow | undefined;
  now: Date;
}

type Prepared = Pick<Carrying, 'code' | 'change' | 'due_at' | 'told' | 'notices'> & { follow?: () => Promise<unknown> };

interface Particulars {
  /** Refuses what contradicts what is known: said before versions and states are looked at. */
  check?: (tx: Tx, locked: LockedReferral, now: Date) => Promise<void> | void;
  /** Which offer the sender acts on, where several are live. */
  offer_id?: string;
  /** What sender or coordinator record for the receiver. */
  telephone?: Telephone;
}

/** @throws Problem `not_found`, `forbidden`, `precondition_failed`, `wrong_state`, and what `prepare` throws */
const actOn = (
  services: Services,
  actor: AgencyActor,
  id: string,
  verb: Exclude<ReferralAction, 'offer' | 'expire' | 'withdraw'>,
  prepare: (tx: Tx, standing: Standing) => Promise<Prepared> = async () => ({}),
  { check, offer_id, telephone = {} }: Particulars = {},
) => {
  const action = `referral.${verb}` as const;
  return act<ReferralView, Awaited<ReturnType<typeof lockReferral>>>(
    services,
    actor,
    action,
    (tx, id) => viewReferral(services, tx, actor, id),
    async (tx, now, { locked, assigned }) => {
      const { referral, offers } = locked;
      const { told_by } = telephone;
      const relations = referralRelations(actor, referral, offers);
      if (!told_by) requireOwnVoice(verb, relations);
      authorise(actor, told_by ? 'referral.record_by_telephone' : action, relations);
      await requireAssigned(services, tx, actor, referral.case_id, assigned);
      const party = told_by ? recorderOf(relations) : partyOf(verb, relations.includes('sender'));
      const named = namedOffer(offers, telephone.offer_id ?? offer_id);
      if (!named && told_by) requireOne(offers.filter(isAsked));
      if (!named && verb === 'provide_information') requireOne(offers.filter(hasAsked));
      const offer = told_by
        ? (named ?? furthestOffer(offers) ?? offers.at(-1))
        : party === 'receiver'
          ? ownOffer(actor, offers)
          : (named ?? offers.find(hasAsked));
      requireTelephone(telephone, offer, now);
      await check?.(tx, locked, now);
      expectVersion(actor, referral.version);

      requireStillGiven(verb, locked, offer);
      const decision = decide(verb, party, { ended: referral.ended, offers }, offer, now, {
        by_telephone: told_by !== undefined,
      });
      const { follow, change, ...prepared } = await prepare(tx, { locked, offer, now });

      const said: Carrying = { ...prepared, action, change: party === 'receiver' ? answeredBy(actor, change) : change };
      const carrying = told_by ? await recorded(services, tx, offer!, { verb, party, told_by }, said, now) : said;
      const receipt = await carryOut(services, tx, actor, locked, decision, carrying, now);
      await moveCase(services, tx, actor, locked, offer, decision, now);
      if (decision.follows === 'next') await goOn(services, tx, actor, locked, now);
      await follow?.();
      finish(tx, locked, now);
      return { id, receipt };
    },
    tx => lockReferral(services, tx, actor, id, { places: verb === 'accept' && !telephone.told_by }),
  );
};

const hasAsked = ({ status }: OfferRow): boolean => status === 'info_requested';

/** Which of several is meant is not guessed. @throws Problem `unprocessable` */
function requireOne(offers: readonly OfferRow[]): void {
  if (offers.length > 1)
    throw new Problem('unprocessable', { errors: [{ pointer: '/offer_id', detail: 'is missing: it could be any of several' }] });
}

function partyOf(verb: ReferralAction, is_sender: boolean): Party {
  const { by } = lifecycleTable[verb];
  return by.includes('receiver') ? 'receiver' : is_sender && by.includes('sender') ? 'sender' : 'coordinator';
}

/** The receiver itself has the matter in hand, so what was recorded for it is not in dispute any more. */
const answeredBy = (actor: AgencyActor, change: OfferChange | undefined): OfferChange => ({
  ...change,
  staff_code: actor.caseworker!.staff_code,
  contestable_until: null,
});

/** By consent or ground, and by law: more may be known of the person than when the agency was asked. */
function requireMayTake(locked: LockedReferral, offer: OfferRow, now: Date): void {
  const recipient = { id: offer.agency_id, kind: locked.agencies.get(offer.agency_id)!.kind };
  if (!mayBeAsked(locked.referral, locked.grants, recipient, now)) throw consentMissing(locked);
  // What it may not is not told: it would tell who complained, or who fled.
  if (isNeverReceived(locked.pack.firewalls, locked.referral.service, recipient.kind, locked.profile()))
    throw new Problem('may_not_take');
}

const consentMissing = ({ referral }: LockedReferral) =>
  new Problem('consent_missing', { members: { categories: referral.categories, lawful_grounds: [] } });

/** Takes as many places as are needed now, where nobody is there who must not be met; `places_held`: those that a counted capacity has to get back. */
async function holdPlaces(
  services: Services,
  tx: Tx,
  locked: LockedReferral,
  offer: OfferRow,
  over_capacity: boolean,
  now: Date,
): Promise<Pick<OfferRow, 'places' | 'places_held'>> {
  const places = placesNeeded(locked);
  const taken = await asSystem(tx, 'router', tx =>
    takePlaces(tx, offer.agency_id, offer.service, places, { over_capacity, known: locked.capacity }),
  );
  if (taken === 'none_left') throw new Problem('no_capacity');
  await requireApart(services, tx, locked, offer, now);
  return { places, places_held: taken === 'taken' ? places : 0 };
}

const exchanged = async (
  services: Services,
  tx: Tx,
  offer: OfferRow | undefined,
  change: (exchange: Exchange) => Exchange,
): Promise<OfferChange> => (offer ? { sealed: await sealExchange(services, tx, offer, change) } : {});

const noted = (
  services: Services,
  tx: Tx,
  offer: OfferRow | undefined,
  action: string,
  note: string | undefined,
  now: Date,
): Promise<OfferChange> =>
  note === undefined
    ? Promise.resolve({})
    : exchanged(services, tx, offer, exchange => ({
        ...exchange,
        notes: [...exchange.notes, { at: now.toISOString(), action, note }],
      }));
