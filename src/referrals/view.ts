import { record } from '../audit/record.ts';
import { requireAssigned } from '../cases/assignments.ts';
import { findCase, findProfile, listGrants, lockCase, readCaseData } from '../cases/store.ts';
import { type AgencyActor, authorise, coordinates, hasRole, type Relation } from '../core/access.ts';
import { shownProfile } from '../core/case.ts';
import { type Grant, mayBeAsked, type Recipient } from '../core/consent.ts';
import { Problem, raise } from '../core/problem.ts';
import { allowedActions, furthestOffer, isLive, isTaken, type Party } from '../core/referral.ts';
import { getDataKey } from '../platform/data-keys.ts';
import { asSystem, type Tx, transact } from '../platform/database.ts';
import { decodeCursor, encodeCursor, type Page, pageLimit, toPage } from '../platform/http/paging.ts';
import { open } from '../platform/vault.ts';
import type { Services } from '../services.ts';
import { listReferralTimers } from '../timers/store.ts';
import { findWhereabouts, isPartyTo, timerView } from '../timers/view.ts';
import { openCategories, withheldNow } from './coverage.ts';
import { listDisclosures } from './disclosure-store.ts';
import { ownOffer, referralRelations } from './locked.ts';
import { agencyOf } from './notices.ts';
import type { InboxRow, OfferView, ReferralView } from './schema.ts';
import { EMPTY, readExchange, type Sealed, sealedPlace } from './sealed.ts';
import {
  type AgencyFacts,
  findReferral,
  type InboxFilter,
  listAgencyFacts,
  listInbox,
  listOffers,
  type OfferRow,
  type ReferralRow,
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
    const found = (await findReferral(tx, id)) ?? raise('not_found');
    await lockCase(tx, found.case_id, 'share');
    const view = await viewReferral(services, tx, actor, id);
    const receipt = await record(services, tx, actor, {
      action: 'referral.read',
      outcome: 'read',
      resource_type: 'referral',
      subjects: [{ subject_id: found.case_id, referral_id: id, categories: Object.keys(view.disclosure?.data ?? {}) }],
      subjects_withheld: view.case_id === undefined ? [found.case_id] : [],
    });
    return { view, receipt };
  });

/** The referral as the caller may see it. The case must be locked. */
export async function viewReferral(services: Services, tx: Tx, actor: AgencyActor, id: string): Promise<ReferralView> {
  const referral = (await findReferral(tx, id)) ?? raise('not_found');
  // Under the caller's own wall: a receiver gets its own offers, the others all.
  const offers = await listOffers(tx, id);
  const relations = referralRelations(actor, referral, offers);
  authorise(actor, 'referral.read', relations);
  await requireAssigned(services, tx, actor, referral.case_id);

  const own = ownOffer(actor, offers);
  const sends = relations.includes('sender');
  const manages = sends || relations.includes('owner');
  const sees_all = manages || relations.includes('coordinator');
  const grants = own && isLive(own) ? await asSystem(tx, 'router', () => listGrants(tx, referral.case_id)) : [];
  const recipient = { id: actor.agency_id, kind: actor.agency_kind };
  const informed = own !== undefined && isLive(own) && mayBeAsked(referral, grants, recipient, services.now());
  const holds = relations.includes('owner') || (sends && (await stillHolds(tx, actor, referral)));
  const knows_story = holds && (sends || (await ownerKnowsStory(services, tx, referral)));
  const facts = await listAgencyFacts(
    tx,
    offers.map(offer => offer.agency_id),
  );
  const agencies = new Map<string, AgencyFacts>(facts.map(agency => [agency.id, agency]));
  const disclosure = own && isTaken(own) ? await disclosureOf(services, tx, referral, own, grants, recipient) : undefined;
  const disclosed: readonly string[] = disclosure?.categories ?? [];
  // Who no longer holds the case still answers what it is asked.
  const wordsOf = (offer: OfferRow) =>
    (sends && (holds || offer.status === 'info_requested')) || (offer === own && informed)
      ? 'all'
      : offer === own && isLive(own)
        ? 'own'
        : 'none';
  const show = (offer: OfferRow) => offerView(services, tx, actor, { referral, agencies }, offer, wordsOf(offer));

  const timers = (await listReferralTimers(tx, id)).filter(timer => sees_all || isPartyTo(timer, actor.agency_id));
  const whereabouts = await findWhereabouts(tx, actor.agency_id, timers);
  const shown = own ?? furthestOffer(offers) ?? offers.at(-1);
  return {
    ...summaryOf(referral, own?.status ?? referral.status, mayNameCase(relations, own)),
    ...(own && !isLive(own) && !sees_all ? await stubOf(tx, actor, referral, own) : {}),
    ...(manages ? { routing: referral.routing, fallback: referral.fallback } : {}),
    ...(holds || (informed && isTaken(own))
      ? await requestOf(services, tx, referral, {
          narrative: knows_story || disclosed.includes('narrative'),
          persons: sends && holds,
        })
      : {}),
    ...(sees_all || (informed && isTaken(own)) ? await groundOf(services, tx, referral, { basis: knows_story }) : {}),
    offer: shown ? await show(shown) : null,
    ...(sends || relations.includes('coordinator') ? { offers: await inOrder(offers, show) } : {}),
    ...(holds || informed ? await profileOf(services, tx, referral) : {}),
    ...(disclosure ? { disclosure } : {}),
    ...(!own && manages ? { disclosure: { categories: referral.categories } } : {}),
    timers: timers.map(timer => timerView(timer, actor.agency_id, whereabouts)),
    allowed_actions: sees_all || own ? actionsFor(services, relations, referral, offers, own) : [],
  };
}

/** What is left of a referral to whoever's offer has ended: nothing that moves any more but the duty to delete. */
async function stubOf(tx: Tx, actor: AgencyActor, referral: ReferralRow, own: OfferRow) {
  const disclosures = await listDisclosures(tx, { case_id: referral.case_id, agency_id: actor.agency_id });
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

async function profileOf(services: Services, tx: Tx, referral: ReferralRow): Promise<Pick<ReferralView, 'profile'>> {
  const profile = await findProfile(services, tx, referral.case_id);
  return profile ? { profile: shownProfile(profile, services.now()) } : {};
}

/** A sender that is not the owner refers on what it holds; when it holds it no more, it keeps the request without the person. */
async function stillHolds(tx: Tx, actor: AgencyActor, referral: ReferralRow): Promise<boolean> {
  const disclosures = await listDisclosures(tx, { case_id: referral.case_id, agency_id: actor.agency_id });
  return disclosures.some(({ ended_at }) => ended_at === null);
}

/** An owner to which the case went over reads what others wrote of it while consent to its case management covers that. */
async function ownerKnowsStory(services: Services, tx: Tx, referral: ReferralRow): Promise<boolean> {
  const found = await findCase(tx, referral.case_id);
  return found !== undefined && !(await withheldNow(tx, found, services.now())).includes('narrative');
}

async function disclosureOf(
  services: Services,
  tx: Tx,
  referral: ReferralRow,
  own: OfferRow,
  grants: readonly Grant[],
  recipient: Recipient,
) {
  const disclosures = await listDisclosures(tx, { case_id: referral.case_id, agency_id: recipient.id });
  const disclosure = disclosures.find(row => row.offer_id === own.id && row.ended_at === null);
  if (!disclosure) return { categories: [], data: {} };
  const categories = openCategories(disclosure, referral, grants, recipient, services.now());
  return { categories, data: await readCaseData(services, tx, referral.case_id, categories) };
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

export type InboxListQuery = Partial<InboxFilter> & { limit?: number; cursor?: string };

/** The inbox: referrals that came to the caller, that it sent, or both; a coordinator's too, without persons. */
export const listReferrals = (services: Services, actor: AgencyActor, query: InboxListQuery) =>
  transact(services, actor, async (tx): Promise<{ view: Page<InboxRow>; receipt: string }> => {
    const as_coordinator = actor.agency_kind === 'coordination_committee' && hasRole(actor, 'coordinator');
    authorise(actor, 'referral.list', as_coordinator ? ['coordinator'] : ['self']);
    const limit = pageLimit(query);
    const after = decodeCursor(query.cursor, 2) as [string | null, string] | undefined;
    if (after?.[0] && Number.isNaN(Date.parse(after[0]))) throw notOurs();
    const rows = await listInbox(
      tx,
      actor.agency_id,
      as_coordinator ? actor.jurisdictions : [],
      { ...query, box: query.box ?? 'all' },
      after && { due_at: after[0] === null ? null : new Date(after[0]), id: after[1] },
      limit + 1,
    );
    const view = toPage(
      rows,
      limit,
      row => encodeCursor(row.due_at?.toISOString() ?? null, row.id),
      row => inboxRow(actor, row),
    );
    const receipt = await record(services, tx, actor, {
      action: 'referral.list',
      outcome: 'read',
      resource_type: 'referral',
      subjects: subjectsOf(rows.slice(0, limit)),
      subjects_withheld: casesNotNamed(rows.slice(0, limit), view.data),
    });
    return { view, receipt };
  });

const notOurs = () =>
  new Problem('invalid_request', { errors: [{ pointer: 'querystring:cursor', detail: 'is not a cursor of this list' }] });

type InboxResult = Awaited<ReturnType<typeof listInbox>>[number];

const inboxRow = (actor: AgencyActor, row: InboxResult): InboxRow => {
  const sees_all =
    row.owner_agency_id === actor.agency_id || row.sender_agency_id === actor.agency_id || coordinates(actor, row.jurisdiction);
  const names_case = sees_all || row.accepted_at !== null;
  // As in its view: of what is over for a receiver, nothing moves any more.
  const updated_at = sees_all ? row.updated_at : (row.own_ended_at ?? row.updated_at);
  return {
    id: row.id,
    reference: row.reference,
    ...(names_case ? { case_id: row.case_id } : {}),
    service: row.service,
    urgency: row.urgency,
    status: row.status as InboxRow['status'],
    region: row.region,
    sender_agency_id: row.sender_agency_id,
    version: row.version,
    created_at: row.created_at.toISOString(),
    updated_at: updated_at.toISOString(),
    offer_id: row.offer_id,
    due_at: row.due_at?.toISOString() ?? null,
    overdue: row.overdue ?? false,
  };
};

/** Cases of which the answer showed referrals without naming the case. */
function casesNotNamed(rows: readonly InboxResult[], shown: readonly InboxRow[]): string[] {
  const named = new Set(shown.flatMap(({ case_id }) => case_id ?? []));
  return rows.map(({ case_id }) => case_id).filter(case_id => !named.has(case_id));
}

function subjectsOf(rows: readonly InboxResult[]) {
  const by_case = Map.groupBy(rows, row => row.case_id);
  return [...by_case].map(([subject_id, referrals]) => ({ subject_id, referral_ids: referrals.map(({ id }) => id) }));
}
