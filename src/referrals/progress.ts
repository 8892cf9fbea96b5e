import { freePlaces } from '../agencies/store.ts';
import { type Notice, record, type SubjectRecord } from '../audit/record.ts';
import { settleAuthorities } from '../cases/clocks.ts';
import { findCase } from '../cases/store.ts';
import { type Actor, systemActor } from '../core/access.ts';
import { coveredCategories } from '../core/consent.ts';
import { type Decision, decide, isBeingAsked, isLive, isTaken, type Step } from '../core/referral.ts';
import { asSystem, type Tx } from '../platform/database.ts';
import { newId } from '../platform/ids.ts';
import type { Services } from '../services.ts';
import {
  applyTimers,
  endDeletionTimers,
  endReferralTimers,
  REFERRAL_CLOCKS,
  startTimers,
  type TimerContext,
} from '../timers/apply.ts';
import { insertDisclosure, listDisclosures, saveDisclosure } from './disclosure-store.ts';
import type { LockedReferral } from './locked.ts';
import { noticeOf, type Told } from './notices.ts';
import { type OfferChange, type OfferRow, requestRouting, saveOfferStatus, saveReferralStatus } from './store.ts';

/**
 * Carries out what core/referral.ts decided: statuses, timers, places, disclosures, trail and events of one act, in its
 * transaction. Everything here runs as the router, for an act of one agency changes what belongs to others.
 */

export interface Carrying {
  /** The trail's name of the act. */
  action: string;
  code?: string | null;
  /** What the act writes on the offer that it is about. */
  change?: OfferChange;
  /** When the clock that it starts shall fall due, instead of what the policy says. */
  due_at?: Date | null;
  told?: Told;
  /** Beside the event of the act. */
  notices?: readonly Notice[];
  /** What the trail keeps of it beside. */
  detail?: Record<string, string>;
}

/**
 * One act on a referral: saves each step, records the act with its events, and leaves the referral's own status to the caller's
 * `finish`, for the act may go on to ask another agency.
 * @returns the receipt of the act's entry
 */
export async function carryOut(
  services: Services,
  tx: Tx,
  actor: Actor,
  locked: LockedReferral,
  decision: Decision,
  carrying: Carrying,
  now: Date,
): Promise<string> {
  const [main] = decision.steps;
  const deletions = await asSystem(tx, 'router', async tx => {
    const deletions = await saveSteps(tx, locked, decision, carrying, now);
    if (decision.follows === 'ended') {
      locked.referral.ended = decision.event === 'referral.completed' ? 'completed' : 'cancelled';
      // Nobody follows up what was met once the case is closed.
      const closed = (await findCase(tx, locked.referral.case_id))?.stage === 'closed';
      endReferralTimers(tx, locked.timers, now, {
        cancel: closed ? [...REFERRAL_CLOCKS, 'follow_up'] : REFERRAL_CLOCKS,
      });
    }
    return deletions;
  });
  const offer = main && findOffer(locked, main);
  const due_at = offer ? dueOf(locked, offer) : null;
  const others = decision.steps.slice(1).map(step => findOffer(locked, step));
  return record(services, tx, actor, {
    action: carrying.action,
    resource_type: 'referral',
    code: carrying.code,
    // What an acceptance discloses on a ground is found by that ground.
    lawful_ground:
      main && isTaken({ status: main.to }) && !isTaken({ status: main.from }) ? locked.referral.lawful_ground?.code : null,
    subjects: [{ ...subjectOf(locked, offer), ...carrying.detail }],
    // Who was asked and has not said yes acts on a referral, and does not know the case.
    subjects_withheld: actor.type === 'agency' && isOutsider(actor.agency_id, locked, offer) ? [locked.referral.case_id] : [],
    events: [
      noticeOf(decision.event, locked, { offer, due_at, ...carrying.told }),
      // Those whose offers ended because another said yes, or the sender cancelled.
      ...others.map(other => noticeOf('referral.cancelled', locked, { offer: other, parties: ['receiver'] })),
      ...deletions,
      ...(carrying.notices ?? []),
    ],
  });
}

const isOutsider = (agency_id: string, { referral }: LockedReferral, offer: OfferRow | undefined): boolean =>
  offer?.agency_id === agency_id &&
  offer.accepted_at === null &&
  ![referral.owner_agency_id, referral.sender_agency_id].includes(agency_id);

/** Ends in the sender's name what nobody needs any more: the case is not its to give, or another goes on with the service. */
export async function cancelNeedless(services: Services, tx: Tx, locked: LockedReferral, now: Date): Promise<void> {
  const decision = decide('cancel', 'sender', { ended: locked.referral.ended, offers: locked.offers }, undefined, now);
  await carryOut(services, tx, ROUTER, locked, decision, { action: 'referral.cancel', code: 'need_met_elsewhere' }, now);
  finish(tx, locked, now);
}

/** Ends the act: the referral stands where its offers now stand. */
export const finish = (tx: Tx, locked: LockedReferral, now: Date): void =>
  asSystem(tx, 'router', tx => {
    const { referral, offers, freed } = locked;
    saveReferralStatus(tx, referral, offers, now);
    for (const agency_id of freed) requestRouting(tx, { agency_id, service: referral.service });
    freed.clear();
    // What the law wants done first is done.
    if (referral.ended === 'completed') requestRouting(tx, { case_id: referral.case_id });
  });

export const subjectOf = ({ referral }: LockedReferral, offer?: OfferRow | null): SubjectRecord => ({
  subject_id: referral.case_id,
  referral_id: referral.id,
  ...(offer ? { offer_id: offer.id } : {}),
});

const findOffer = (locked: LockedReferral, step: Step): OfferRow => locked.offers.find(offer => offer.id === step.offer_id)!;

type Particulars = Pick<Carrying, 'change' | 'code' | 'due_at'>;

/**
 * The steps of a decision with all that hangs on them; the particulars belong to the offer that was acted on.
 * @returns what those have to be told who now have something to delete
 */
export async function saveSteps(
  tx: Tx,
  locked: LockedReferral,
  decision: Decision,
  particulars: Particulars,
  now: Date,
): Promise<Notice[]> {
  const [main] = decision.steps;
  const notices: Notice[] = [];
  for (const step of decision.steps) {
    // Where the sender takes all back, every offer ended for the same reason.
    const { code } = step.to === main?.to ? particulars : {};
    notices.push(...(await saveStep(tx, locked, step, step === main ? particulars : { code }, now)));
  }
  return notices;
}

async function saveStep(
  tx: Tx,
  locked: LockedReferral,
  step: Step,
  { change, code, due_at }: Particulars,
  now: Date,
): Promise<Notice[]> {
  const offer = findOffer(locked, step);
  const was_taken = isTaken(offer);
  const was_asked = isBeingAsked(offer);
  const ends = !isLive({ status: step.to });
  const takes = isTaken({ status: step.to }) && !was_taken;
  saveOfferStatus(tx, offer, step.to, {
    ...change,
    ...(code && ends ? { reason_code: code } : {}),
    ...(takes ? { accepted_at: now, ended_at: null, reason_code: null } : {}),
    ...(ends ? { ended_at: now } : {}),
  });
  await applyTimers(tx, { ...timerContext(locked, offer, now), due_at }, step.timers);
  if (takes) {
    // Whoever takes the case itself owns it; that is no disclosure.
    if (offer.service !== 'case_management') openDisclosure(tx, locked, offer, now);
  }
  if (!ends) endReferralTimers(tx, locked.timers, now, { meet: ['unplaced_review'] });
  // Whoever has arrived is not missing.
  if (step.to === 'in_progress') endReferralTimers(tx, locked.timers, now, { meet: ['missing_person_check'] });
  // Somebody else may be asked for the places now, or come where the person is no longer.
  if ((was_asked && !takes && !isBeingAsked({ status: step.to })) || (was_taken && ends)) locked.freed.add(offer.agency_id);
  const gives_up = was_taken && !isTaken({ status: step.to });
  const notices = gives_up ? await release(tx, locked, offer, now) : [];
  if (offer.service === 'identification' && (takes || gives_up)) await settleAuthorities(tx, locked, offer.case_id, now);
  return notices;
}

function openDisclosure(tx: Tx, { referral, grants, agencies, timers }: LockedReferral, offer: OfferRow, now: Date): void {
  insertDisclosure(tx, {
    id: newId('dsc'),
    case_id: referral.case_id,
    referral_id: referral.id,
    offer_id: offer.id,
    agency_id: offer.agency_id,
    categories: coveredCategories(referral, grants, { id: offer.agency_id, kind: agencies.get(offer.agency_id)!.kind }, now),
    ground: referral.lawful_ground?.code ?? 'consent',
    started_at: now,
  });
  // It contested an acceptance before, and now accepts: it may know again what it had to delete.
  endDeletionTimers(tx, timers, { offer_id: offer.id, holder_id: offer.agency_id }, 'cancel', now);
}

/** What an offer that was accepted gives back when it ends: the places it took, and what it was let to know. */
async function release(tx: Tx, locked: LockedReferral, offer: OfferRow, now: Date): Promise<Notice[]> {
  const { referral } = locked;
  const disclosures = await listDisclosures(tx, { case_id: referral.case_id }, offer.agency_id);
  const open = disclosures.find(disclosure => disclosure.offer_id === offer.id && disclosure.ended_at === null);
  const notices: Notice[] = [];
  if (open) {
    const { due_at, notice } = await startDeletion(tx, locked, offer, open.id, now);
    saveDisclosure(tx, open, { categories: [], ended_at: now, deletion_due_at: due_at });
    notices.push(...notice);
  }
  if (offer.places_held > 0) {
    await freePlaces(tx, offer.agency_id, offer.service, offer.places_held);
    saveOfferStatus(tx, offer, offer.status, { places_held: 0 });
    locked.freed.add(offer.agency_id);
  }
  return notices;
}

/**
 * The clock within which a holder confirms that it deleted what it no longer may know; one that runs is not put off. Whoever
 * owns the case has nothing to delete.
 * @param offer whose receiver it was, or the offer by which the case went over, with the agency that owned it
 */
export async function startDeletion(
  tx: Tx,
  locked: LockedReferral,
  offer: Pick<OfferRow, 'id' | 'agency_id' | 'location_protected'>,
  disclosure_id: string,
  now: Date,
): Promise<{ due_at: Date | null; notice: Notice[] }> {
  if (offer.agency_id === locked.referral.owner_agency_id) return { due_at: null, notice: [] };
  const running = locked.timers.find(
    ({ name, state, offer_id, responsible_agency_id }) =>
      name === 'deletion_confirmation' &&
      ['running', 'paused', 'breached'].includes(state) &&
      offer_id === offer.id &&
      responsible_agency_id === offer.agency_id,
  );
  if (running) return { due_at: running.due_at, notice: [] };
  const due_at = await startTimers(tx, timerContext(locked, offer, now), ['deletion_confirmation']);
  const notice = noticeOf('disclosure.deletion_due', locked, {
    parties: [],
    also: [offer.agency_id],
    due_at,
    detail: { offer_id: offer.id, agency_id: offer.agency_id, disclosure_id },
  });
  return { due_at, notice: [notice] };
}

/** When the next deadline of a live offer falls; of one that is over nothing is due but a deletion, which has its own event. */
function dueOf({ timers }: LockedReferral, offer: OfferRow): Date | null {
  const due = timers.filter(
    ({ name, state, offer_id }) =>
      offer_id === offer.id && state === 'running' && name !== 'deletion_confirmation' && name !== 'safety_ack',
  );
  return due.reduce<Date | null>((first, { due_at }) => (first === null || due_at < first ? due_at : first), null);
}

export const timerContext = (
  { referral, stage, pack, calendars, timers, coordinators, agencies }: LockedReferral,
  offer: Pick<OfferRow, 'id' | 'agency_id' | 'location_protected'>,
  now: Date,
): TimerContext & { offer_id: string } => ({
  pack,
  calendars,
  now,
  open: timers,
  case_id: referral.case_id,
  referral_id: referral.id,
  offer_id: offer.id,
  owner_agency_id: referral.owner_agency_id,
  sender_agency_id: referral.sender_agency_id,
  receiver_agency_id: offer.agency_id,
  receiver_kind: agencies.get(offer.agency_id)?.kind,
  coordinator_agency_id: coordinators[0] ?? null,
  location_protected: offer.location_protected,
  jurisdiction: referral.jurisdiction,
  service: referral.service,
  urgency: referral.urgency,
  stage,
});

/** The timers of the referral as a whole name no receiver. */
export const referralTimerContext = (locked: LockedReferral, now: Date): TimerContext => ({
  ...timerContext(locked, { id: '', agency_id: '', location_protected: false }, now),
  offer_id: null,
  receiver_agency_id: null,
  receiver_kind: undefined,
});

/** The service itself, acting in consequence of somebody's act. */
export const ROUTER = systemActor('router');

export const requestIdOf = (actor: Actor): string | undefined => (actor.type === 'agency' ? actor.request.id : undefined);
