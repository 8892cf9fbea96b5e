import { record } from '../audit/record.ts';
import { askAssigned, requireAssigned } from '../cases/assignments.ts';
import { findCase, findSealedFor, listGrants } from '../cases/store.ts';
import { type AgencyActor, authorise, type Relation } from '../core/access.ts';
import { shownProfile } from '../core/case.ts';
import { mayBeAsked } from '../core/consent.ts';
import { raise } from '../core/problem.ts';
import { allowedActions, furthestOffer, isLive, isTaken, type Party } from '../core/referral.ts';
import { getDataKey } from '../platform/data-keys.ts';
import { asSystem, type Tx, transact } from '../platform/database.ts';
import { open } from '../platform/vault.ts';
import type { Services } from '../services.ts';
import { listReferralTimers, listWhereabouts } from '../timers/store.ts';
import { isPartyTo, timerView } from '../timers/view.ts';
import { openCategories, withheldNow } from './coverage.ts';
import { type DisclosureRow, listDisclosures } from './disclosure-store.ts';
import { findFollowOn } from './follow-on-store.ts';
import { ownOffer, referralRelations } from './locked.ts';
import { agencyOf } from './notices.ts';
import type { OfferView, ReferralView } from './schema.ts';
import { EMPTY, readExchange, type Sealed, sealedPlace } from './sealed.ts';
import {
  type AgencyFacts,
  findReferral,
  listAsked,
  listOffers,
  type OfferRow,
  type ReferralRow,
  shareCaseOfReferral,
} from './store.ts';

/**
 * Who sees what of a referral: the receiver its own offer, with the matching profile while consent or a ground covers it, and
 * from acceptance until its offer ends the categories that are covered; of an offer that has ended, no words. Sender and owner
 * see everything of the request but who a protected receiver is; the coordinator the queue without the person. To anybody else
 * there is no referral.
 */

/** Reads a referral, and records it, before the answer. @throws Problem `not_found`, `forbidden` */
export const readReferral = (services: Services, actor: AgencyActor, id: string) =>
  transact(services, actor, async tx => {
    const [, { view, case_id }] = await Promise.all([shareCaseOfReferral(tx, id), seeReferral(services, tx, actor, id)]);
    const receipt = await record(services, tx, actor, {
      action: 'referral.read',
      outcome: 'read',
      resource_type: 'referral',
      subjects: [{ subject_id: case_id, referral_id: id, categories: Object.keys(view.disclosure?.data ?? {}) }],
      subjects_withheld: view.case_id === undefined ? [case_id] : [],
    });
    return { view, receipt };
  });

/** The referral as the caller may see it. The case must be locked. */
export const viewReferral = async (services: Services, tx: Tx, actor: AgencyActor, id: string): Promise<ReferralView> =>
  (await seeReferral(services, tx, actor, id)).view;

/** @returns beside: the case, which the view may not name */
async function seeReferral(
  services: Services,
  tx: Tx,
  actor: AgencyActor,
  id: string,
): Promise<{ view: ReferralView; case_id: string }> {
  const of = { referral_id: id };
  // Under the caller's own wall: a receiver gets its own offers, the others all.
  const [found, assigned, offers, asked, all_timers, whereabouts, disclosures, sealed, followed_by] = await Promise.all([
    findReferral(tx, id),
    askAssigned(tx, of, actor.agency_id),
    listOffers(tx, id),
    listAsked(tx, id),
    listReferralTimers(tx, id),
    listWhereabouts(tx, of),
    listDisclosures(tx, of, actor.agency_id),
    findSealedFor(services, tx, id, actor.agency_id),
    findFollowOn(tx, id),
  ]);
  const referral = found ?? raise('not_found');
  const relations = referralRelations(actor, referral, offers);
  authorise(actor, 'referral.read', relations);
  await requireAssigned(services, tx, actor, referral.case_id, assigned);

  const own = ownOffer(actor, offers);
  const sends = relations.includes('sender');
  const manages = sends || relations.includes('owner');
  const sees_all = manages || relations.includes('coordinator');
  const timers = all_timers.filter(timer => sees_all || isPartyTo(timer, actor.agency_id));
  const grants = own && isLive(own) ? await asSystem(tx, 'router', tx => listGrants(tx, of)) : [];
  const agencies = new Map<string, AgencyFacts>(asked.map(agency => [agency.id, agency]));
  const recipient = { id: actor.agency_id, kind: actor.agency_kind };
  const informed = own !== undefined && isLive(own) && mayBeAsked(referral, grants, recipient, services.now());
  // A sender that is not the owner refers on what it holds; when it holds it no more, it keeps the request without the person.
  const holds = relations.includes('owner') || (sends && disclosures.some(({ ended_at }) => ended_at === null));
  const knows_story = holds && (sends || (await ownerKnowsStory(services, tx, referral)));
  const opened = own && isTaken(own) ? disclosures.find(row => row.offer_id === own.id && row.ended_at === null) : undefined;
  const categories = opened ? openCategories(opened, referral, grants, recipient, services.now()) : [];
  const profile = holds || informed ? sealed.profile() : undefined;
  const disclosure = own && isTaken(own) ? { categories, data: sealed.open(categories) } : undefined;
  // Who no longer holds the case still answers what it is asked.
  const wordsOf = (offer: OfferRow) =>
    (sends && (holds || offer.status === 'info_requested')) || (offer === own && informed)
      ? 'all'
      : offer === own && isLive(own)
        ? 'own'
        : 'none';
  const show = (offer: OfferRow) => offerView(services, tx, actor, { referral, agencies }, offer, wordsOf(offer));

  const shown = own ?? furthestOffer(offers) ?? offers.at(-1);
  const view = {
    ...summaryOf(referral, own?.status ?? referral.status, mayNameCase(relations, own)),
    ...(own && !isLive(own) && !sees_all ? stubOf(own, disclosures) : {}),
    ...(manages ? { routing: referral.routing, fallback: referral.fallback, ...linksOf(referral, followed_by) } : {}),
    ...(holds || (informed && isTaken(own))
      ? await requestOf(services, tx, referral, {
          narrative: knows_story || categories.includes('narrative'),
          persons: sends && holds,
        })
      : {}),
    ...(sees_all || (informed && isTaken(own)) ? await groundOf(services, tx, referral, { basis: knows_story }) : {}),
    offer: shown ? await show(shown) : null,
    ...(sends || relations.includes('coordinator') ? { offers: await inOrder(offers, show) } : {}),
    ...(profile ? { profile: shownProfile(profile, services.now()) } : {}),
    ...(disclosure ? { disclosure } : {}),
    ...(!own && manages ? { disclosure: { categories: referral.categories } } : {}),
    timers: timers.map(timer => timerView(timer, actor.agency_id, whereabouts)),
    allowed_actions: sees_all || own ? actionsFor(services, relations, referral, offers, own) : [],
  };
  return { view, case_id: referral.case_id };
}

/** What is left of a referral to whoever's offer has ended: nothing that moves any more but the duty to delete. */
function stubOf(own: OfferRow, disclosures: readonly DisclosureRow[]) {
  const disclosure = disclosures.find(row => row.offer_id === own.id);
  return {
    updated_at: (own.ended_at ?? own.offered_at).toISOString(),
    ...(disclosure
      ? { categories_held: disclosure.categories_held, deletion_due_at: disclosure.deletion_due_at?.toISOString() ?? null }
      : {}),
  };
}

const summaryOf = (referral: ReferralRow, status: ReferralView['status'], names_case: boolean) => ({
  id: referral.id,
  reference: referral.reference,
  ...(names_case ? { case_id: referral.case_id } : {}),
  service: referral.service,
  urgency: referral.urgency,
  status,
  region: referral.region,
  sender_agency_id: referral.sender_agency_id,
  version: referral.version,
  created_at: referral.created_at.toISOString(),
  updated_at: referral.updated_at.toISOString(),
});

/** Where a service ended before the need did: which referral it went on from, and which goes on. */
const linksOf = ({ follows_referral_id: follows }: ReferralRow, followed_by: string | undefined) => ({
  ...(follows ? { follows } : {}),
  ...(followed_by ? { followed_by } : {}),
});

/** The case is named to owner, sender, coordinator, and to a receiver from acceptance on. */
const mayNameCase = (relations: readonly Relation[], own: OfferRow | undefined): boolean =>
  relations.some(relation => relation !== 'receiver') || (own !== undefined && own.accepted_at !== null);

/** The sender's words are a narrative, and who must be kept apart is another person's case: neither is shown but as such. */
async function requestOf(
  services: Services,
  tx: Tx,
  referral: ReferralRow,
  { narrative, persons }: { narrative: boolean; persons: boolean },
): Promise<Pick<ReferralView, 'note' | 'requirements'>> {
  const { note, requirements } = await openSealed(services, tx, referral);
  const { separate_from, ...needs } = requirements ?? {};
  return {
    ...(note === undefined || !narrative ? {} : { note }),
    ...(requirements === undefined ? {} : { requirements: { ...needs, ...(persons && separate_from ? { separate_from } : {}) } }),
  };
}

/** Whether the person was told matters to whoever meets them next; the legal basis in words stays with whoever may read the story. */
async function groundOf(
  services: Services,
  tx: Tx,
  referral: ReferralRow,
  { basis }: { basis: boolean },
): Promise<Pick<ReferralView, 'lawful_ground'>> {
  const { lawful_ground: ground } = referral;
  if (!ground) return {};
  const { legal_basis } = basis ? await openSealed(services, tx, referral) : {};
  return {
    lawful_ground: {
      code: ground.code,
      person_informed: ground.person_informed,
      ...(legal_basis ? { legal_basis } : {}),
      upheld: ground.upheld ?? null,
      reviewed_at: ground.reviewed_at ?? null,
    },
  };
}

const openSealed = async (services: Services, tx: Tx, referral: ReferralRow): Promise<Sealed> =>
  open<Sealed>(await getDataKey(services, tx, referral.case_id), sealedPlace(referral.id), referral.sealed);

/** An owner to which the case went over reads what others wrote of it while consent to its case management covers that. */
async function ownerKnowsStory(services: Services, tx: Tx, referral: ReferralRow): Promise<boolean> {
  const found = await findCase(tx, referral.case_id);
  return found !== undefined && !(await withheldNow(tx, found, services.now())).includes('narrative');
}

async function offerView(
  services: Services,
  tx: Tx,
  actor: AgencyActor,
  context: Parameters<typeof agencyOf>[0],
  offer: OfferRow,
  words: 'all' | 'own' | 'none',
): Promise<OfferView> {
  const exchange = words === 'none' ? EMPTY : await readExchange(services, tx, offer);
  const { questions, notes, handover, told = [] } = words === 'own' ? { ...exchange, questions: [] } : exchange;
  return {
    id: offer.id,
    status: offer.status,
    ...agencyOf(context, offer, actor.agency_id),
    places: offer.places,
    offered_at: offer.offered_at.toISOString(),
    accepted_at: offer.accepted_at?.toISOString() ?? null,
    ended_at: offer.ended_at?.toISOString() ?? null,
    reason_code: offer.reason_code,
    ...(questions.length > 0 ? { questions } : {}),
    ...(notes.length > 0 ? { notes } : {}),
    ...(handover ? { handover } : {}),
    ...(told.length > 0 ? { told: told as OfferView['told'] } : {}),
    ...(offer.contestable_until && offer.contestable_until > services.now()
      ? { contestable_until: offer.contestable_until.toISOString() }
      : {}),
  };
}

async function inOrder(offers: readonly OfferRow[], show: (offer: OfferRow) => Promise<OfferView>): Promise<OfferView[]> {
  const views: OfferView[] = [];
  for (const offer of offers) views.push(await show(offer));
  return views;
}

function actionsFor(
  services: Services,
  relations: readonly Relation[],
  referral: ReferralRow,
  offers: readonly OfferRow[],
  own: OfferRow | undefined,
): string[] {
  // A receiver does not see the others' offers, but what they leave possible.
  const taken_elsewhere = own !== undefined && !isTaken(own) && ['accepted', 'in_progress'].includes(referral.status);
  const others = taken_elsewhere && !offers.some(isTaken) ? [{ id: 'another', status: 'accepted' as const }] : [];
  const state = { ended: referral.ended, offers: [...offers, ...others] };
  const now = services.now();
  const parties: Party[] = (['receiver', 'sender', 'coordinator'] as const).filter(party => relations.includes(party));
  const actions = parties.flatMap(party =>
    allowedActions(party, state, party === 'receiver' ? own : offers.find(({ status }) => status === 'info_requested'), now),
  );
  return [...new Set(actions)];
}
