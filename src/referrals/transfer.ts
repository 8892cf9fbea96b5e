import { record } from '../audit/record.ts';
import { findCase, listGrants, saveOwner } from '../cases/store.ts';
import type { AgencyActor } from '../core/access.ts';
import { CATEGORIES } from '../core/codes.ts';
import { withheldFromOwner } from '../core/consent.ts';
import { Problem } from '../core/problem.ts';
import { type Decision, isTaken, type ReferralAction } from '../core/referral.ts';
import { asSystem, type Tx } from '../platform/database.ts';
import { newId } from '../platform/ids.ts';
import type { Services } from '../services.ts';
import { endDeletionTimers, OWNER_DUTIES } from '../timers/apply.ts';
import { lockOpenTimers } from '../timers/store.ts';
import { forgiveDisclosure, insertOwnership, listDisclosures, listOwnerships, saveDisclosure } from './disclosure-store.ts';
import { isStillGiven, type LockedReferral, loadLocked } from './locked.ts';
import { cancelNeedless, startDeletion } from './progress.ts';
import { listOpenReferralIds, type OfferRow, saveOwnerEverywhere } from './store.ts';

/**
 * Accepting a `case_management` offer moves ownership of the case; contesting what was accepted by telephone moves it back. The
 * new owner sees the case as its own, but for the source of the report; the former one keeps what a former holder keeps, and
 * goes on as sender of what it asked for. Referrals that are under way go on.
 */

/** @throws Problem `wrong_state` for a step by which somebody would take or give a case that is not the sender's any more */
export function requireStillGiven(verb: ReferralAction, { referral }: LockedReferral, offer: OfferRow | undefined): void {
  const gives = verb === 'reroute' || ((verb === 'accept' || verb === 'confirm_handover') && offer && !isTaken(offer));
  if (!gives || isStillGiven(referral)) return;
  throw new Problem('wrong_state', {
    detail: 'the case belongs to another agency now',
    members: { state: offer?.status ?? referral.status, allowed_actions: [] },
  });
}

/** Moves the case where the step that was just carried out says so. The case must be locked for update. */
export async function moveCase(
  services: Services,
  tx: Tx,
  actor: AgencyActor,
  locked: LockedReferral,
  offer: OfferRow | undefined,
  { event, steps: [step] }: Decision,
  now: Date,
): Promise<void> {
  if (locked.referral.service !== 'case_management' || !offer || step?.offer_id !== offer.id) return;
  if (isTaken({ status: step.to }) && !isTaken({ status: step.from })) {
    await transferCase(services, tx, actor, locked, offer, offer.agency_id, now);
    await cancelOtherTransfers(services, tx, locked, now);
  } else if (event === 'referral.contested') {
    const before = await asSystem(tx, 'router', tx => listOwnerships(tx, offer.id));
    const former = before.find(({ agency_id }) => agency_id !== offer.agency_id);
    if (former && locked.referral.owner_agency_id === offer.agency_id)
      await transferCase(services, tx, actor, locked, offer, former.agency_id, now);
  }
}

async function transferCase(
  services: Services,
  tx: Tx,
  actor: AgencyActor,
  locked: LockedReferral,
  offer: OfferRow,
  owner_id: string,
  now: Date,
): Promise<void> {
  const { referral, agencies, coordinators } = locked;
  const { case_id, owner_agency_id: former_id } = referral;
  if (owner_id === former_id) return;
  const deletions = await asSystem(tx, 'router', async tx => {
    const found = (await findCase(tx, case_id))!;
    const opened_by_agency_id = found.opened_by_agency_id ?? former_id;
    const owner = { id: owner_id, kind: agencies.get(owner_id)!.kind };
    const owner_withheld = withheldFromOwner(owner, opened_by_agency_id, referral, await listGrants(tx, { case_id }), now);
    const change = { opened_by_agency_id, owned_since: now, owned_by_referral_id: referral.id, owner_withheld };
    saveOwner(tx, case_id, { ...change, owner_agency_id: owner_id }, now);
    await saveOwnerEverywhere(tx, case_id, { former: former_id, owner: owner_id, duties: OWNER_DUTIES });
    await forgiveDeletions(tx, locked, owner_id, now);
    for (const row of [referral, ...locked.offers]) row.owner_agency_id = owner_id;

    // What a report holds of its source is nobody's to delete but the agency's that took it.
    const categories_held = CATEGORIES.filter(category => category !== 'source' && !found.owner_withheld.includes(category));
    const id = newId('dsc');
    insertOwnership(tx, {
      id,
      case_id,
      referral_id: referral.id,
      offer_id: offer.id,
      agency_id: former_id,
      categories_held,
      started_at: found.owned_since ?? found.opened_at,
      ended_at: now,
    });
    const kept = (await listOwnerships(tx, offer.id)).find(({ agency_id }) => agency_id === former_id)!;
    const { due_at, notice } = await startDeletion(
      tx,
      locked,
      { id: offer.id, agency_id: former_id, location_protected: false },
      kept.id,
      now,
    );
    saveDisclosure(tx, kept, { categories: [], deletion_due_at: due_at });
    return notice;
  });
  await record(services, tx, actor, {
    action: 'case.transfer',
    resource_type: 'case',
    subjects: [{ subject_id: case_id, referral_id: referral.id, offer_id: offer.id }],
    events: [
      {
        type: 'case.transferred',
        subject_id: case_id,
        case_id,
        urgent: referral.urgency === 'emergency',
        recipients: [...new Set([former_id, owner_id, ...coordinators])].map(agency_id => ({
          agency_id,
          body: { case_id, agency_id: owner_id, notify: { roles: ['caseworker'] } },
        })),
      },
      ...deletions,
    ],
  });
}

/** Whoever owns a case has nothing of it to delete, and is no former holder of it either. */
async function forgiveDeletions(
  tx: Tx,
  { referral, offers, timers }: LockedReferral,
  owner_id: string,
  now: Date,
): Promise<void> {
  for (const row of await listDisclosures(tx, { case_id: referral.case_id }, owner_id)) {
    if (row.ended_at === null || row.forgotten_at !== null) continue;
    const { offer_id } = row;
    const open = offers.some(({ id }) => id === offer_id) ? timers : await lockOpenTimers(tx, { offer_id });
    endDeletionTimers(tx, open, { offer_id, holder_id: owner_id }, 'cancel', now);
    forgiveDisclosure(tx, row.id, now);
  }
}

/**
 * Whom else the former owner asked to take the case over: it is not its to give any more. An agency that took it and gave it on
 * completes its own referral.
 */
async function cancelOtherTransfers(services: Services, tx: Tx, { referral }: LockedReferral, now: Date): Promise<void> {
  const others = await asSystem(tx, 'router', tx => listOpenReferralIds(tx, referral.case_id, 'case_management'));
  for (const id of others.filter(other => other !== referral.id)) {
    const locked = await asSystem(tx, 'router', tx => loadLocked(services, tx, id));
    if (!locked.offers.some(({ status }) => status === 'in_progress')) await cancelNeedless(services, tx, locked, now);
  }
}
