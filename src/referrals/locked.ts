import { listGrants, lockCase } from '../cases/store.ts';
import type { AgencyActor, Relation } from '../core/access.ts';
import { coordinates } from '../core/access.ts';
import type { Service } from '../core/codes.ts';
import type { Grant } from '../core/consent.ts';
import { Problem, raise } from '../core/problem.ts';
import { asSystem, type Tx } from '../platform/database.ts';
import type { RulePack } from '../rules/packs.ts';
import { getRulePack } from '../rules/store.ts';
import {
  type AgencyFacts,
  findReferral,
  listAgencyFacts,
  listCoordinators,
  lockReferralRows,
  type OfferRow,
  type ReferralRow,
} from './store.ts';

/** A referral with everything that an act on it looks at, locked in the one order: case, referral, offers by id. */
export interface LockedReferral {
  referral: ReferralRow;
  offers: OfferRow[];
  grants: Grant[];
  pack: RulePack;
  /** The coordination committees of its jurisdiction. */
  coordinators: string[];
  agencies: Map<string, AgencyFacts>;
  /** Services at which this act gave places back: who waits for one is looked at again when the act ends. */
  freed: Set<Service>;
}

/**
 * Locks a referral for an act of `actor`, which must be able to see it: the wall of the database is asked first, as the agency.
 * @throws Problem `not_found`
 */
export async function lockReferral(tx: Tx, id: string): Promise<LockedReferral> {
  const { case_id, service } = (await findReferral(tx, id)) ?? raise('not_found');
  // A step of case management may change who owns the case.
  await lockCase(tx, case_id, service === 'case_management' ? 'update' : 'share');
  return asSystem(tx, 'router', tx => loadLocked(tx, id));
}

/** The same for the service itself, which runs as a system role and has locked the case. */
export async function loadLocked(tx: Tx, id: string): Promise<LockedReferral> {
  const { referral, offers } = await lockReferralRows(tx, id);
  const grants = await listGrants(tx, referral.case_id);
  const pack = await getRulePack(tx, referral.jurisdiction);
  const coordinators = await listCoordinators(tx, referral.jurisdiction);
  const facts = await listAgencyFacts(tx, [referral.sender_agency_id, ...offers.map(offer => offer.agency_id)]);
  return {
    referral,
    offers,
    grants,
    pack,
    coordinators,
    agencies: new Map(facts.map(agency => [agency.id, agency])),
    freed: new Set(),
  };
}

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
