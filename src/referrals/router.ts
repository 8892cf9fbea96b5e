import { type CandidateRow, holdListed, listCandidates } from '../agencies/candidates-store.ts';
import { recordFailure } from '../audit/failures.ts';
import { record } from '../audit/record.ts';
import { lockCase } from '../cases/store.ts';
import { type Actor, systemActor } from '../core/access.ts';
import { ageAt } from '../core/case.ts';
import type { AgencyKind } from '../core/codes.ts';
import { isKeptApart, whereTheyAre } from '../core/companions.ts';
import { isNamed, mayBeAsked } from '../core/consent.ts';
import { modeUnder } from '../core/crisis.ts';
import { Problem } from '../core/problem.ts';
import { isReachable } from '../core/reach.ts';
import { isLive, isTaken, OFFER_TIMERS } from '../core/referral.ts';
import { type LegalFacts, routesFor } from '../core/routes.ts';
import { type Candidate, type Exclusion, type RoutingNeed, rankCandidates } from '../core/routing.ts';
import { getDataKey } from '../platform/data-keys.ts';
import { asSystem, type Tx, transact } from '../platform/database.ts';
import { newId } from '../platform/ids.ts';
import { open } from '../platform/vault.ts';
import type { Services } from '../services.ts';
import { endReferralTimers, startTimers } from '../timers/apply.ts';
import { listChannels } from '../webhooks/reach/store.ts';
import { isSuspected, listCompanions } from './companions-store.ts';
import { goesOnByItself, isStillGiven, type LockedReferral, loadLocked } from './locked.ts';
import { noticeOf } from './notices.ts';
import { cancelNeedless, finish, ROUTER, referralTimerContext, requestIdOf, subjectOf, timerContext } from './progress.ts';
import { findRoutingFacts, markHelped, takeRoutingDue } from './routing-store.ts';
import { type Sealed, sealedPlace } from './sealed.ts';
import { insertOffer, type OfferRow, saveRoutingDue } from './store.ts';

/** Asks agencies: the one that ranks first, the one that was named, or nobody, and then the referral is unplaced. */

/**
 * What of a case and a referral the ranking looks at, and the providers that it ranks.
 * @returns `apart_from`: the cases from which the person is kept apart; `together_with`: the agencies where others are with whom the
 *   person belongs together
 */
export async function rank(
  services: Services,
  tx: Tx,
  locked: Pick<LockedReferral, 'referral' | 'offers' | 'grants' | 'profile' | 'pack' | 'stage' | 'providers' | 'separate_from'>,
  now: Date,
): Promise<{
  ranked: Candidate[];
  providers: CandidateRow[];
  tie_key: string;
  apart_from: string[];
  together_with: ReadonlySet<string>;
}> {
  const { referral, offers, grants, pack } = locked;
  const profile = locked.profile();
  return asSystem(tx, 'router', async tx => {
    const { service, jurisdiction } = referral;
    const [providers, key, facts, companions] = await Promise.all([
      locked.providers ?? listCandidates(services, tx, { service, jurisdiction }, now),
      getDataKey(services, tx, referral.case_id),
      findRoutingFacts(tx, referral.case_id),
      listCompanions(services, tx, { case_id: referral.case_id }, now, locked.separate_from),
    ]);
    locked.providers = providers;
    const { requirements = {} } = open<Sealed>(key, sealedPlace(referral.id), referral.sealed);
    const legal: LegalFacts = {
      urgency: referral.urgency,
      stage: locked.stage,
      age: profile ? ageAt(profile, now) : null,
      adult_age: pack.consent.adult_age.years,
      protection_status: profile?.protection_status ?? 'unknown',
      grouped: companions.some(companion => companion.grouped),
      complainant: profile?.complainant ?? false,
      completed: facts.completed,
    };
    const keep_together = routesFor(pack.routes, service, legal).some(route => route.keep_together);
    const person = { suspected: isSuspected(locked.profile) };
    const need: RoutingNeed = {
      ...legal,
      ...whereTheyAre(person, companions, service, keep_together),
      conflicts: facts.conflicts,
      tie_key: services.vault.subjectIndex(`route ${referral.id}`).toString('hex'),
      service,
      specialities: specialitiesAsked(requirements),
      jurisdiction: referral.jurisdiction,
      region: referral.region,
      sex: profile?.sex ?? 'unknown',
      dependants: profile?.dependants ?? 0,
      languages: [...new Set([...(profile?.languages ?? []), ...(requirements.languages ?? [])])],
      sender_agency_id: referral.sender_agency_id,
      excluded_agencies: referral.excluded_agencies,
      unreachable_agencies: await listUnreachable(tx, referral, providers, now),
    };
    const covered = (candidate: { id: string; kind: AgencyKind }) => mayBeAsked(referral, grants, candidate, now);
    const working = pack.crisis
      ? providers.map(it => ({ ...it, operating_mode: modeUnder(it.operating_mode, it.kind, pack.crisis) }))
      : providers;
    const ranked = rankCandidates(need, working, pack, offers, covered, now);
    const apart_from = companions.filter(other => isKeptApart(person, other)).map(({ case_id }) => case_id);
    return { ranked, providers, tie_key: need.tie_key, apart_from, together_with: need.together_with };
  });
}

/** What the sender asks of a place, in the words of the services' specialities. */
const specialitiesAsked = ({ specialities = [], accessible, accompanied, transport }: NonNullable<Sealed['requirements']>) => [
  ...new Set([
    ...specialities,
    ...Object.entries({ accessible, accompanied, transport }).flatMap(([name, is_asked]) => (is_asked ? [name] : [])),
  ]),
];

/** What nobody may choose, not even by name; everything else that excludes is the router's care, and a human may know better. */
const NEVER: Partial<Record<Exclusion, string>> = {
  asylum: 'no contact with a country of origin while asylum applies or is unknown',
  // Which of these it is would tell who complained, or where somebody else is.
  firewall: 'the agency may not be asked for this person',
  separated: 'the agency may not be asked for this person',
};

/**
 * Holds whoever names an agency to what nobody may choose.
 * @param ranked of `rank`
 * @throws Problem `unprocessable`
 */
export function requireMayBeNamed(ranked: readonly Candidate[], agency_id: string): void {
  const named = ranked.find(candidate => candidate.agency_id === agency_id);
  const barred = named?.excluded_by.find(exclusion => NEVER[exclusion] !== undefined);
  if (barred) throw new Problem('unprocessable', { detail: NEVER[barred] });
}

/** Of an emergency: those of these agencies that might not hear of an offer. Null: it is none. */
const listUnreachable = async (
  tx: Tx,
  { urgency }: LockedReferral['referral'],
  agencies: readonly Pick<CandidateRow, 'agency_id'>[],
  now: Date,
): Promise<ReadonlySet<string> | null> => {
  if (urgency !== 'emergency') return null;
  const ids = agencies.map(({ agency_id }) => agency_id);
  const channels = await asSystem(tx, 'relay', tx => listChannels(tx, ids));
  return new Set(ids.filter(id => !isReachable(channels.get(id)!, now)));
};

/**
 * Asks the agency that ranks first; for an emergency as many at once as the rule pack says. With none left and no live offer, the referral is unplaced: sender, owner and coordinator
 * are told, and the coordinator's clock starts. Where a follow-on goes on with the service nobody is asked beside it, and once
 * somebody said yes to that the referral ends.
 * @param quietly for another try at a referral that is unplaced already: says nothing where nothing has changed
 * @param again_at when the router looks again where it found nobody; at once unless said, for a place may have come free meanwhile
 * @returns whether an agency was asked
 */
export async function askNext(
  services: Services,
  tx: Tx,
  cause: Actor,
  locked: LockedReferral,
  now: Date,
  { quietly = false, again_at = now } = {},
): Promise<boolean> {
  if (locked.follow_on === 'taken') {
    await cancelNeedless(services, tx, locked, now);
    return false;
  }
  // Who is asked is the follow-on's matter; this one waits for what becomes of that.
  const { ranked, providers, together_with } = locked.follow_on ? NOBODY : await rank(services, tx, locked, now);
  const possible = ranked.filter(candidate => candidate.excluded_by.length === 0);
  const asked = locked.offers.filter(isAsked).length;
  for (const { agency_id } of possible.slice(0, atOnce(locked) - asked)) {
    const parted = together_with.size > 0 && !together_with.has(agency_id);
    await makeOffer(services, tx, cause, locked, providers.find(provider => provider.agency_id === agency_id)!, now, { parted });
  }
  if (locked.offers.filter(isAsked).length > asked) return true;
  asSystem(tx, 'router', tx => saveRoutingDue(tx, locked.referral.id, isRouted(locked) ? again_at : null));
  if (!quietly && !locked.offers.some(isLive)) await leaveUnplaced(services, tx, cause, locked, now);
  return false;
}

const NOBODY: Pick<Awaited<ReturnType<typeof rank>>, 'ranked' | 'providers' | 'together_with'> = {
  ranked: [],
  providers: [],
  together_with: new Set(),
};

/** One place for the person and one for each dependant, as they are known now. */
export const placesNeeded = ({ profile }: Pick<LockedReferral, 'profile'>): number => 1 + (profile()?.dependants ?? 0);

/** No agency is asked now, and none will be by itself unless something changes. */
export async function leaveUnplaced(services: Services, tx: Tx, cause: Actor, locked: LockedReferral, now: Date): Promise<void> {
  await asSystem(tx, 'router', tx => startTimers(tx, referralTimerContext(locked, now), ['unplaced_review']));
  await record(
    services,
    tx,
    ROUTER,
    {
      action: 'referral.unplace',
      resource_type: 'referral',
      subjects: [subjectOf(locked)],
      events: [noticeOf('referral.unplaced', locked)],
    },
    requestIdOf(cause),
  );
}

/** A change that could help asks for the router at once; this is for what changes by time alone: ages, grants, hours. */
const ROUTE_AGAIN_MS = 60_000;
/** How many changes are taken at once. */
const REQUESTS = 100;
/** One that could not be routed, for the database went away, say. */
const TRY_AGAIN_MS = 10_000;

/** What the router looks at: what goes on by itself, and what ends once its follow-on was taken. */
const isRouted = ({ referral, follow_on }: LockedReferral): boolean => goesOnByItself(referral) || follow_on !== null;

/** How many agencies are asked beside each other. */
const atOnce = ({ referral, pack }: LockedReferral): number =>
  referral.urgency === 'emergency' ? pack.routing.parallel_offers : 1;

export const isAsked = (offer: OfferRow): boolean => isLive(offer) && !isWaiting(offer);

/** Whoever put it on a waiting list has not said yes. */
export const isWaiting = ({ status }: OfferRow): boolean => status === 'waitlisted';

/** What follows when an offer ended without a yes: the next agency, or none. */
export async function goOn(services: Services, tx: Tx, cause: Actor, locked: LockedReferral, now: Date): Promise<void> {
  const live = locked.offers.filter(isLive);
  // The router goes on asking beside a waiting list, and in an emergency beside those whom it asks already.
  if (live.some(isTaken) || live.filter(isAsked).length >= atOnce(locked)) return;
  if (!isStillGiven(locked.referral)) await cancelNeedless(services, tx, locked, now);
  else if (isRouted(locked)) await askNext(services, tx, cause, locked, now, { quietly: live.length > 0 });
  else if (live.length > 0) return;
  else await leaveUnplaced(services, tx, cause, locked, now);
}

/**
 * Makes one offer: the agency is asked, its clocks start, and nobody else learns who it is if its place is protected. Of an
 * emergency of which it might not hear the coordinators are told at once.
 * @param parted from family, or others with whom the law wants the person to stay: that is told, too
 */
export async function makeOffer(
  services: Services,
  tx: Tx,
  cause: Actor,
  locked: LockedReferral,
  provider: CandidateRow,
  now: Date,
  { parted = false } = {},
): Promise<OfferRow> {
  const { referral, offers, grants, agencies } = locked;
  const offer: OfferRow = {
    id: newId('off'),
    referral_id: referral.id,
    case_id: referral.case_id,
    owner_agency_id: referral.owner_agency_id,
    sender_agency_id: referral.sender_agency_id,
    agency_id: provider.agency_id,
    jurisdiction: referral.jurisdiction,
    service: referral.service,
    ordinal: (offers.at(-1)?.ordinal ?? 0) + 1,
    status: 'offered',
    places: placesNeeded(locked),
    places_held: 0,
    location_protected: provider.location_protected && !isNamed(grants, provider.agency_id, now),
    reason_code: null,
    staff_code: null,
    sealed: null,
    offered_at: now,
    accepted_at: null,
    ended_at: null,
    contestable_until: null,
    latest: true,
    forgotten_at: null,
    freed_before: null,
  };
  const { agency_id: id, kind, duty_contact } = provider;
  agencies.set(id, { id, kind, duty_contact });
  const [due_at, unreachable] = await Promise.all([
    asSystem(tx, 'router', tx => {
      insertOffer(tx, offer, offers);
      endReferralTimers(tx, locked.timers, now, { meet: ['unplaced_review'] });
      return startTimers(tx, timerContext(locked, offer, now), OFFER_TIMERS);
    }),
    listUnreachable(tx, referral, [provider], now),
    asSystem(tx, 'router', tx => holdListed(tx, provider)),
  ]);
  // Who hears by name which agencies are out of reach would learn which protected place was asked.
  const is_told = unreachable?.has(id) && !offer.location_protected;
  const unheard = { offer, due_at, parties: ['coordinator'], detail: { status: 'unreachable' } } as const;
  offers.push(offer);
  await record(
    services,
    tx,
    ROUTER,
    {
      action: 'referral.offer',
      resource_type: 'referral',
      lawful_ground: referral.lawful_ground?.code ?? null,
      subjects: [subjectOf(locked, offer)],
      events: [
        noticeOf('referral.offered', locked, { offer, due_at }),
        ...(is_told ? [noticeOf('endpoint.failing', locked, unheard)] : []),
        ...(parted ? [noticeOf('referral.parted', locked)] : []),
      ],
    },
    requestIdOf(cause),
  );
  return offer;
}

/**
 * Tries again the unplaced referrals that a change of capacity, service or consent could help; emergencies and those who have
 * waited longest first, each place for one at a time.
 * @returns whether there may be more
 */
export async function routeUnplaced(services: Services): Promise<boolean> {
  // Few, for one who is asked for the last free place ends what the others wait for.
  const batch = 5;
  const router = systemActor('router');
  const requests = await transact(services, router, tx => markHelped(tx, services.now(), REQUESTS));
  const againAfter = (now: Date) => new Date(now.getTime() + ROUTE_AGAIN_MS);
  const asked_at = services.now();
  const due = await transact(services, router, tx => takeRoutingDue(tx, asked_at, againAfter(asked_at), batch));
  for (const { id, case_id } of due) {
    const routed = transact(services, router, async tx => {
      const now = services.now();
      await lockCase(tx, case_id, 'share');
      const locked = await loadLocked(services, tx, id);
      const { referral, offers } = locked;
      const waits = !referral.ended && offers.filter(isLive).every(isWaiting) && isRouted(locked);
      if (!waits) saveRoutingDue(tx, id, null);
      else if (await askNext(services, tx, router, locked, now, { quietly: true, again_at: againAfter(now) }))
        finish(tx, locked, now);
    });
    await routed.catch(async error => {
      // One that fails must not hold up the others: it comes again behind them.
      services.log.error({ err: error, referral_id: id }, 'referral was not routed');
      const subject = { subject_id: case_id, referral_id: id };
      await recordFailure(services, error, { role: 'router', action: 'referral.route', subject });
      const later = new Date(services.now().getTime() + TRY_AGAIN_MS);
      await transact(services, router, async tx => saveRoutingDue(tx, id, later));
    });
    services.wake_up.notify();
  }
  return due.length === batch || requests === REQUESTS;
}
