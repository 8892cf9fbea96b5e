import type { CandidateRow } from '../agencies/candidates-store.ts';
import { type CapacityRow, lockCapacityAsked } from '../agencies/store.ts';
import { type AssigneesRow, findAssignees, findProfile, listGrants } from '../cases/store.ts';
import type { AgencyActor, Relation } from '../core/access.ts';
import { coordinates } from '../core/access.ts';
import type { RoutingProfile } from '../core/case.ts';
import type { Stage } from '../core/codes.ts';
import type { Companion } from '../core/companions.ts';
import type { Grant } from '../core/consent.ts';
import { Problem } from '../core/problem.ts';
import type { PackInForce } from '../core/rule-pack.ts';
import { asSystem, type Tx } from '../platform/database.ts';
import { type Calendars, calendarsOf } from '../rules/calendars/store.ts';
import { packInForce } from '../rules/store.ts';
import type { Services } from '../services.ts';
import { lockOpenTimers, type TimerRow } from '../timers/store.ts';
import { listCompanions } from './companions-store.ts';
import {
  type AgencyFacts,
  type FollowOnState,
  listParties,
  lockCaseOfReferral,
  lockReferralRows,
  type OfferRow,
  type PartyFacts,
  type ReferralRow,
} from './store.ts';

/** A referral with everything that an act on it looks at, locked in the one order: case, referral, offers, timers by id. */
export interface LockedReferral {
  referral: ReferralRow;
  offers: OfferRow[];
  /** Its timers and those of its offers that may still change. */
  timers: TimerRow[];
  grants: Grant[];
  /** Of its case. */
  stage: Stage;
  pack: PackInForce;
  calendars: Calendars;
  /** What of the person routing looks at. */
  profile: () => RoutingProfile | undefined;
  /** The coordination committees of its jurisdiction. */
  coordinators: string[];
  agencies: Map<string, AgencyFacts>;
  /** What became of the open referral that goes on with its service; null: there is none. */
  follow_on: FollowOnState | null;
  /** Those who offer the service, once somebody has looked. */
  providers?: CandidateRow[];
  /** Who was found with the person, or is kept apart, where the act may bring them to one place. */
  companions?: Companion[];
  /** From whom the referral that is being made keeps the person apart. */
  separate_from?: readonly string[];
  /** What the agency that acts has for this service, locked, where the act may take of it. */
  capacity?: CapacityRow;
  /** Agencies which this act gave places back, or asks for some no longer: who waits for one is looked at again when it ends. */
  freed: Set<string>;
}

/**
 * Locks a referral for an act of `actor`, which must be able to see it: the wall of the database is asked first, as the agency.
 * @param places whether the act may bring the person to the agency, and take of its capacity
 * @returns beside: whom the agency assigned to the case
 * @throws Problem `not_found`
 */
export async function lockReferral(
  services: Services,
  tx: Tx,
  actor: AgencyActor,
  id: string,
  { places = false } = {},
): Promise<{ locked: LockedReferral; assigned: AssigneesRow | null }> {
  // All said at once: where the first is refused, the server refuses the rest.
  const [, assigned = null, locked, capacity, companions] = await Promise.all([
    lockCaseOfReferral(tx, id),
    findAssignees(tx, { referral_id: id }, actor.agency_id),
    asSystem(tx, 'router', tx => loadLocked(services, tx, id)),
    places ? asSystem(tx, 'router', tx => lockCapacityAsked(tx, id, actor.agency_id)) : undefined,
    places ? asSystem(tx, 'router', tx => listCompanions(services, tx, { referral_id: id }, services.now())) : undefined,
  ]);
  return { locked: { ...locked, capacity, companions }, assigned };
}

/** The same for the service itself, which runs as a system role and has locked the case. */
export async function loadLocked(services: Services, tx: Tx, id: string): Promise<LockedReferral> {
  const of = { referral_id: id };
  const [{ referral, offers, rules, stage, follow_on }, timers, grants, profile, parties] = await Promise.all([
    lockReferralRows(tx, id),
    lockOpenTimers(tx, of),
    listGrants(tx, of),
    findProfile(services, tx, of),
    listParties(tx, of),
  ]);
  return {
    referral,
    offers,
    timers,
    grants,
    profile,
    stage,
    follow_on,
    calendars: calendarsOf(services),
    pack: await packInForce(services, tx, referral, rules),
    ...partiesOf(parties),
    freed: new Set(),
  };
}

export const partiesOf = (parties: readonly PartyFacts[]): Pick<LockedReferral, 'coordinators' | 'agencies'> => ({
  coordinators: parties.filter(({ coordinates }) => coordinates).map(({ id }) => id),
  agencies: new Map(parties.map(agency => [agency.id, agency])),
});

/** What the caller is to the referral. */
export function referralRelations(actor: AgencyActor, referral: ReferralRow, offers: readonly OfferRow[]): Relation[] {
  const relations: Relation[] = [];
  if (referral.owner_agency_id === actor.agency_id) relations.push('owner');
  if (referral.sender_agency_id === actor.agency_id) relations.push('sender');
  if (ownOffer(actor, offers)) relations.push('receiver');
  if (coordinates(actor, referral.jurisdiction)) relations.push('coordinator');
  return relations;
}

/** The caller's own latest offer; one that it confirmed to have deleted is none. */
export const ownOffer = (actor: AgencyActor, offers: readonly OfferRow[]): OfferRow | undefined =>
  offers.findLast(offer => offer.agency_id === actor.agency_id && offer.forgotten_at === null);

/**
 * The offer that `offer_id` names, for acts of sender or coordinator where several are live.
 * @throws Problem `unprocessable`
 */
export function namedOffer(offers: readonly OfferRow[], offer_id: string | undefined): OfferRow | undefined {
  if (offer_id === undefined) return undefined;
  const found = offers.find(offer => offer.id === offer_id);
  if (!found)
    throw new Problem('unprocessable', { errors: [{ pointer: '/offer_id', detail: 'is not an offer of this referral' }] });
  return found;
}

/** Whether whoever asked may still give the case away: it may have gone over by another referral meanwhile. */
export const isStillGiven = ({ service, sender_agency_id, owner_agency_id }: ReferralRow): boolean =>
  service !== 'case_management' || sender_agency_id === owner_agency_id;

/** Whether the router goes on by itself when an agency says no: not for a referral to one agency alone. */
export const goesOnByItself = ({ routing, fallback }: ReferralRow): boolean => routing === 'automatic' || fallback;
