import { listCandidates } from '../agencies/candidates-store.ts';
import { type Act, type Notice, record } from '../audit/record.ts';
import { type CaseRow, type ConsentRow, listGrants, saveOwner } from '../cases/store.ts';
import type { Actor, AgencyActor } from '../core/access.ts';
import type { Category } from '../core/codes.ts';
import { concerns, coveredCategories, type Grant, mayBeAsked, withheldFromOwner } from '../core/consent.ts';
import { decide, isLive, isTaken } from '../core/referral.ts';
import { asSystem, type Tx } from '../platform/database.ts';
import { calendarsOf } from '../rules/calendars/store.ts';
import { getCurrentRulePack } from '../rules/store.ts';
import type { Services } from '../services.ts';
import { endDeletionTimers, endReferralTimers, REFERRAL_CLOCKS, startTimers } from '../timers/apply.ts';
import { type DisclosureRow, listDisclosures, saveDisclosure } from './disclosure-store.ts';
import { goesOnByItself, type LockedReferral, loadLocked } from './locked.ts';
import { noticeOf } from './notices.ts';
import { finish, saveSteps, startDeletion, timerContext } from './progress.ts';
import { askNext, isWaiting } from './router.ts';
import {
  findReferral,
  listAgencyFacts,
  listCoordinators,
  listOpenReferralIds,
  type OfferRow,
  refreshProtection,
  requestRouting,
} from './store.ts';

/** What consent covers, and what follows for referrals when that changes. */

/** What an agency holds of a case, and held. */
export interface Disclosed {
  /** Open now: what was let to it, as far as consent or ground covers it at this instant. */
  categories: Category[];
  held: Category[];
  deletion_due_at: Date | null;
}

/** The disclosures of a case to the caller, live. */
export async function listDisclosed(tx: Tx, actor: AgencyActor, found: CaseRow, now: Date): Promise<Disclosed> {
  const disclosures = await listDisclosures(tx, { case_id: found.id }, actor.agency_id);
  const live = disclosures.filter(({ ended_at }) => ended_at === null);
  const open = await asSystem(tx, 'router', async tx => {
    const grants = await listGrants(tx, { case_id: found.id });
    const needs = await tx
      .selectFrom('referrals')
      .selectAll()
      .where('id', 'in', ['', ...live.map(row => row.referral_id)])
      .execute();
    const recipient = { id: actor.agency_id, kind: actor.agency_kind };
    return live.flatMap(row => openCategories(row, needs.find(({ id }) => id === row.referral_id)!, grants, recipient, now));
  });
  const due = disclosures.map(row => row.deletion_due_at?.getTime() ?? 0);
  return {
    categories: [...new Set(open)],
    held: [...new Set(disclosures.flatMap(row => row.categories_held))],
    deletion_due_at: Math.max(0, ...due) > 0 ? new Date(Math.max(...due)) : null,
  };
}

/** What one disclosure opens at this instant: a grant that has just expired closes it before any job has run. */
export const openCategories = (
  disclosure: Pick<DisclosureRow, 'categories'>,
  need: Parameters<typeof coveredCategories>[0],
  grants: readonly Grant[],
  recipient: Parameters<typeof coveredCategories>[2],
  now: Date,
): Category[] => coveredCategories(need, grants, recipient, now).filter(category => disclosure.categories.includes(category));

/**
 * Notices of an amendment: to whoever holds a changed category, and to every live holder when it concerns safety, which each then
 * has to acknowledge. The case must be locked for update.
 */
export async function tellHolders(
  services: Services,
  tx: Tx,
  found: CaseRow,
  changed: readonly Category[],
  safety: boolean,
  now: Date,
): Promise<Notice[]> {
  const live = await asSystem(tx, 'router', async tx => {
    // An owner that provides a service as well has written it itself.
    const live = (await listDisclosures(tx, { case_id: found.id })).filter(
      ({ ended_at, agency_id }) => ended_at === null && agency_id !== found.owner_agency_id,
    );
    if (safety) for (const row of live) await askToAcknowledge(services, tx, row, now);
    return live;
  });
  const notice = (type: 'disclosure.updated' | 'safety.changed', row: DisclosureRow, categories: Category[]): Notice => ({
    type,
    subject_id: row.referral_id,
    referral_id: row.referral_id,
    case_id: found.id,
    urgent: type === 'safety.changed',
    recipients: [
      {
        agency_id: row.agency_id,
        body: {
          referral_id: row.referral_id,
          offer_id: row.offer_id,
          agency_id: row.agency_id,
          ...(categories.length > 0 ? { categories } : {}),
          notify: { roles: ['caseworker'] },
        },
      },
    ],
  });
  return live.flatMap(row => {
    const categories = changed.filter(category => row.categories.includes(category));
    return [
      ...(safety ? [notice('safety.changed', row, [])] : []),
      ...(categories.length > 0 ? [notice('disclosure.updated', row, categories)] : []),
    ];
  });
}

async function askToAcknowledge(services: Services, tx: Tx, { referral_id, offer_id }: DisclosureRow, now: Date): Promise<void> {
  const locked = await loadLocked(services, tx, referral_id);
  const offer = locked.offers.find(({ id }) => id === offer_id)!;
  await startTimers(tx, { ...timerContext(locked, offer, now), urgency: 'emergency' }, ['safety_ack']);
}

export type ConsentChange =
  | { given: true }
  | { withdrawn: ConsentRow; stop_service: boolean; spoken_in_private: boolean }
  /** A lawful ground of one referral, which its review did not uphold. */
  | { ground_of: string };

/**
 * What a consent that was given, withdrawn or has expired means for every open referral of its case. Offers that nothing covers
 * any more end, the rest keep only what is still covered; then the act is recorded with all that it has to tell; then the next
 * covered agencies are asked. The case must be locked for update, the consent saved.
 * @param main the act itself; its notices are completed here
 * @returns the receipt of its entry
 */
export async function applyConsentChange(
  services: Services,
  tx: Tx,
  actor: Actor,
  found: CaseRow,
  change: ConsentChange,
  main: Act,
  now: Date,
): Promise<string> {
  const affected: { locked: LockedReferral; notices: Notice[]; ended: OfferRow[] }[] = [];
  await asSystem(tx, 'router', async tx => {
    if (!('ground_of' in change)) await refreshProtection(tx, now, { case_id: found.id });
    await refreshOwnersView(tx, found, now);
    const ids = 'ground_of' in change ? [change.ground_of] : await listOpenReferralIds(tx, found.id);
    for (const id of ids) {
      const locked = await loadLocked(services, tx, id);
      const { ended, deletions } = 'given' in change ? NOTHING_ENDED : await endUncovered(tx, locked, change, now);
      const notices = ended.map(offer => noticeOf('referral.withdrawn', locked, { offer }));
      notices.push(...(await refreshDisclosures(tx, locked, ended, now)), ...deletions);
      affected.push({ locked, notices, ended });
    }
    if ('withdrawn' in change && !change.spoken_in_private) await startWelfareCheck(services, tx, found, now);
  });

  const receipt = await record(services, tx, actor, {
    ...main,
    subjects: main.subjects?.map(subject => ({
      ...subject,
      referral_ids: affected.filter(it => it.notices.length > 0).map(it => it.locked.referral.id),
      offer_ids: offersTold(affected.flatMap(it => it.notices)),
    })),
    events: [...(main.events ?? []), ...affected.flatMap(it => it.notices)],
  });

  for (const { locked, ended } of affected) {
    if ('given' in change) continue;
    const was_unplaced = locked.referral.status === 'unplaced';
    if (ended.length === 0 && !was_unplaced) continue;
    const stop_service = 'withdrawn' in change && change.stop_service;
    await askCovered(services, tx, actor, locked, stop_service, ended.length > 0, now);
    finish(tx, locked, now);
  }
  if ('given' in change) requestRouting(tx, { case_id: found.id });
  return receipt;
}

/** The offers for which it meant something. */
const offersTold = (notices: readonly Notice[]): string[] => [
  ...new Set(notices.flatMap(({ recipients }) => recipients.flatMap(({ body }) => (body.offer_id as string | undefined) ?? []))),
];

/**
 * Withdraws the offers that neither grant nor ground covers any more; a service that was accepted only where the consent to that
 * very service was withdrawn with `stop_service`.
 */
async function endUncovered(
  tx: Tx,
  locked: LockedReferral,
  change: Exclude<ConsentChange, { given: true }>,
  now: Date,
): Promise<{ ended: OfferRow[]; deletions: Notice[] }> {
  const { referral, offers, grants, agencies } = locked;
  const ended = offers.filter(offer => {
    const recipient = { id: offer.agency_id, kind: agencies.get(offer.agency_id)!.kind };
    const stopped = 'withdrawn' in change && change.stop_service && concerns(change.withdrawn, recipient, referral.service);
    return isLive(offer) && (!isTaken(offer) || stopped) && !mayBeAsked(referral, grants, recipient, now);
  });
  const deletions: Notice[] = [];
  for (const offer of ended) {
    const decision = decide('withdraw', 'consent', { ended: referral.ended, offers }, offer, now);
    deletions.push(...(await saveSteps(tx, locked, decision, {}, now)));
  }
  return { ended, deletions };
}

const NOTHING_ENDED = { ended: [], deletions: [] };

/** What an owner that did not open the case may see of it can depend on a grant. */
async function refreshOwnersView(tx: Tx, found: CaseRow, now: Date): Promise<void> {
  const owner_withheld = await withheldNow(tx, found, now);
  if (owner_withheld.join() !== found.owner_withheld.join()) saveOwner(tx, found.id, { owner_withheld }, now);
}

/** What the owner does not see of its case at this instant: a grant that has just expired counts no more. */
export const withheldNow = (tx: Tx, found: CaseRow, now: Date): Promise<Category[]> =>
  found.opened_by_agency_id === null
    ? Promise.resolve([])
    : asSystem(tx, 'router', async tx => {
        const [owner] = await listAgencyFacts(tx, [found.owner_agency_id]);
        const asked = await findReferral(tx, found.owned_by_referral_id ?? '');
        return withheldFromOwner(owner!, found.opened_by_agency_id, asked, await listGrants(tx, { case_id: found.id }), now);
      });

/** Brings what is open to what is covered now; whoever loses something is told and has to confirm that it deleted it. */
async function refreshDisclosures(tx: Tx, locked: LockedReferral, ended: readonly OfferRow[], now: Date): Promise<Notice[]> {
  const { referral, offers, grants, agencies } = locked;
  const notices: Notice[] = [];
  const all = await listDisclosures(tx, { case_id: referral.case_id });
  for (const disclosure of all.filter(row => row.referral_id === referral.id && row.ground !== 'ownership')) {
    const offer = offers.find(({ id }) => id === disclosure.offer_id)!;
    if (ended.includes(offer)) {
      notices.push(noticeOf('consent.withdrawn', locked, { offer, parties: ['receiver'] }));
      continue;
    }
    if (disclosure.ended_at) continue;
    const recipient = { id: offer.agency_id, kind: agencies.get(offer.agency_id)!.kind };
    const categories = coveredCategories(referral, grants, recipient, now);
    const lost = disclosure.categories.filter(category => !categories.includes(category));
    const gained = categories.filter(category => !disclosure.categories.includes(category));
    if (lost.length === 0 && gained.length === 0) continue;
    const deletion = lost.length > 0 ? await startDeletion(tx, locked, offer, disclosure.id, now) : undefined;
    // Given again all that it had: there is nothing to delete any more.
    const whole_again = disclosure.categories_held.every(category => categories.includes(category));
    if (whole_again) endDeletionTimers(tx, locked.timers, { offer_id: offer.id, holder_id: offer.agency_id }, 'cancel', now);
    const deletion_due_at = whole_again ? null : deletion ? deletion.due_at : disclosure.deletion_due_at;
    saveDisclosure(tx, disclosure, { categories, deletion_due_at });
    const type = lost.length > 0 ? 'consent.withdrawn' : 'disclosure.updated';
    notices.push(
      noticeOf(type, locked, { offer, parties: ['receiver'], detail: { categories: lost.length > 0 ? lost : gained } }),
    );
    if (deletion) notices.push(...deletion.notice);
  }
  return notices;
}

/**
 * The next covered agency is asked, also beside one that keeps it on a waiting list; where consent covers nobody any more, the
 * referral is withdrawn with it.
 */
async function askCovered(
  services: Services,
  tx: Tx,
  cause: Actor,
  locked: LockedReferral,
  stop_service: boolean,
  told_already: boolean,
  now: Date,
): Promise<void> {
  const { referral, offers, grants } = locked;
  const live = offers.filter(isLive);
  if (!live.every(isWaiting)) return;
  const covered = await asSystem(tx, 'router', async tx => {
    const providers = await listCandidates(services, tx, { service: referral.service, jurisdiction: referral.jurisdiction }, now);
    return providers.some(({ agency_id, kind }) => mayBeAsked(referral, grants, { id: agency_id, kind }, now));
  });
  if (covered && !stop_service && goesOnByItself(referral)) {
    await askNext(services, tx, cause, locked, now, { quietly: !told_already });
    return;
  }
  if (live.length > 0 || (covered && !told_already)) return;
  referral.ended = 'withdrawn';
  asSystem(tx, 'router', tx => endReferralTimers(tx, locked.timers, now, { cancel: REFERRAL_CLOCKS }));
  if (!told_already) {
    await record(services, tx, cause, {
      action: 'referral.withdraw',
      resource_type: 'referral',
      subjects: [{ subject_id: referral.case_id, referral_id: referral.id }],
      events: [noticeOf('referral.withdrawn', locked)],
    });
  }
}

async function startWelfareCheck(services: Services, tx: Tx, found: CaseRow, now: Date): Promise<void> {
  const [coordinator = null] = await listCoordinators(tx, found.jurisdiction);
  const pack = await getCurrentRulePack(services, tx, found.jurisdiction, found.region);
  await startTimers(
    tx,
    {
      pack,
      calendars: calendarsOf(services),
      now,
      open: [],
      case_id: found.id,
      referral_id: null,
      offer_id: null,
      owner_agency_id: found.owner_agency_id,
      sender_agency_id: null,
      receiver_agency_id: null,
      coordinator_agency_id: coordinator,
      location_protected: false,
      jurisdiction: found.jurisdiction,
      urgency: found.risk === 'immediate' ? 'emergency' : 'urgent',
      stage: found.stage,
    },
    ['welfare_check'],
  );
}
