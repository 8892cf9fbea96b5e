import { hash } from 'node:crypto';
import type { AgencyKind, EXCLUSIONS, OfferStatus, OperatingMode, ProtectionStatus, Service, Sex } from './codes.ts';
import { STATUS_ONLY_BY_NAME } from './consent.ts';

/**
 * Which agency is asked first. A pure function of the need and the directory: hard rules exclude, soft rules rank, and every
 * rank and exclusion carries its reason. Same input, same order; ties fall by a keyed hash of referral and agency, so that no
 * agency is always first and nobody outside can tell which of two hidden ones was. What is unknown or empty excludes nobody.
 */

export interface RoutingNeed {
  /** Nobody can compute the order of ties without it. */
  tie_key: string;
  service: Service;
  jurisdiction: string;
  region: string | null;
  sex: Sex;
  /** In years; null: unknown. */
  age: number | null;
  dependants: number;
  languages: readonly string[];
  protection_status: ProtectionStatus;
  sender_agency_id: string;
  excluded_agencies: readonly string[];
  /** Of an emergency: whose systems take no events now, so that nobody may hear of an offer. Null: it is none. */
  unreachable_agencies: ReadonlySet<string> | null;
}

export interface CandidateService {
  service: Service;
  agency_id: string;
  kind: AgencyKind;
  agency_status: 'active' | 'suspended';
  operating_mode: OperatingMode;
  /** By law, only such an agency decides whether somebody is identified. */
  competent_authority: boolean;
  jurisdictions: readonly string[];
  regions: readonly string[];
  sexes: readonly Sex[];
  min_age: number | null;
  max_age: number | null;
  accepts_dependants: boolean;
  languages: readonly string[];
  protection_statuses: readonly ProtectionStatus[];
  location_protected: boolean;
  status: 'active' | 'suspended';
  /** null: unlimited */
  capacity: { total: number; held: number; held_elsewhere: number; freed_at: Date } | null;
}

/** How an earlier offer of this referral to the same agency ended. */
export interface EarlierOffer {
  agency_id: string;
  status: OfferStatus;
  reason_code: string | null;
  ended_at: Date | null;
}

export type Exclusion = (typeof EXCLUSIONS)[number];

export interface Reason {
  rule: string;
  points: number;
  /** In words, without a person's data. */
  text: string;
}

export interface Candidate {
  agency_id: string;
  excluded_by: Exclusion[];
  score: number;
  reasons: Reason[];
}

/** More than all the rest together: whoever is out of reach is passed by as long as somebody else is left. */
const REACHABLE = 100;
const SHARES_LANGUAGE = 10;
const FULLY_OPEN = 5;
const PLACES_LEFT = 1;

/**
 * Every agency that offers the service, best first; excluded ones behind, with why.
 * @param mayBeAsked whether consent or a ground covers the agency for this purpose
 */
export function rankCandidates(
  need: RoutingNeed,
  services: readonly CandidateService[],
  earlier: readonly EarlierOffer[],
  mayBeAsked: (candidate: { id: string; kind: AgencyKind }) => boolean,
): Candidate[] {
  return services
    .map(service => {
      const excluded_by = exclusions(need, service, earlier);
      if (!mayBeAsked({ id: service.agency_id, kind: service.kind })) excluded_by.push('no_consent');
      const reasons = rank(need, service);
      return { agency_id: service.agency_id, excluded_by, score: reasons.reduce((sum, { points }) => sum + points, 0), reasons };
    })
    .sort(
      (a, b) =>
        Number(a.excluded_by.length > 0) - Number(b.excluded_by.length > 0) ||
        b.score - a.score ||
        tieBreak(need, a).localeCompare(tieBreak(need, b)),
    );
}

/** The order of those who rank alike: nobody outside can compute it. */
export const tieBreak = ({ tie_key }: Pick<RoutingNeed, 'tie_key'>, { agency_id }: Pick<Candidate, 'agency_id'>): string =>
  hash('sha256', `${tie_key}\n${agency_id}`, 'hex');

function exclusions(need: RoutingNeed, service: CandidateService, earlier: readonly EarlierOffer[]): Exclusion[] {
  const out: Exclusion[] = [];
  const covers = service.jurisdictions.includes(need.jurisdiction);
  if (!covers || (need.region !== null && !emptyOrHas(service.regions, need.region))) out.push('other_service_area');
  if (service.status === 'suspended' || service.agency_status === 'suspended') out.push('suspended');
  if (lacksMandate(service)) out.push('not_competent');
  if (service.operating_mode === 'closed') out.push('closed');
  if (need.sex !== 'unknown' && !emptyOrHas(service.sexes, need.sex)) out.push('sex');
  if (need.age !== null && (need.age < (service.min_age ?? 0) || need.age > (service.max_age ?? Number.POSITIVE_INFINITY)))
    out.push('age');
  if (need.dependants > 0 && !service.accepts_dependants) out.push('dependants');
  // Medical routing does not look at the status; and of those who may learn it by name only, being asked must not tell it.
  if (
    need.service !== 'medical' &&
    !STATUS_ONLY_BY_NAME.includes(service.kind) &&
    need.protection_status !== 'unknown' &&
    !emptyOrHas(service.protection_statuses, need.protection_status)
  ) {
    out.push('protection_status');
  }
  if (endangersAsylum(service.kind, need.protection_status)) out.push('asylum');
  if (service.capacity && placesLeft(service.capacity) < 1 + need.dependants) out.push('no_capacity');
  if (need.excluded_agencies.includes(service.agency_id)) out.push('excluded');
  if (need.sender_agency_id === service.agency_id) out.push('own_referral');
  if (earlier.some(offer => offer.agency_id === service.agency_id && barsAskingAgain(offer, service))) out.push('asked_before');
  return out;
}

/**
 * Who lost an offer through no doing of its own (another said yes, consent ended and came back) is asked like anybody. Who
 * expired, or declined for want of a place, is asked again once a place came free there; whoever else declined, failed or
 * was passed over only by name. A live offer bars another one to the same agency.
 */
function barsAskingAgain(offer: EarlierOffer, service: CandidateService): boolean {
  if (offer.status === 'withdrawn' || (offer.status === 'cancelled' && offer.reason_code === null)) return false;
  const waits_for_place = offer.status === 'expired' || (offer.status === 'declined' && offer.reason_code === 'no_capacity');
  if (!waits_for_place) return true;
  return service.capacity === null || offer.ended_at === null || service.capacity.freed_at <= offer.ended_at;
}

function rank(need: RoutingNeed, service: CandidateService): Reason[] {
  const reasons: Reason[] = [];
  if (need.unreachable_agencies?.has(service.agency_id)) {
    reasons.push({ rule: 'reachability', points: 0, text: 'its system takes no events now' });
  } else if (need.unreachable_agencies) {
    reasons.push({ rule: 'reachability', points: REACHABLE, text: 'its system takes events now' });
  }
  const shared = need.languages.filter(language => service.languages.includes(language));
  if (shared.length > 0) reasons.push({ rule: 'language', points: SHARES_LANGUAGE, text: 'works in a language of the person' });
  else if (need.languages.length > 0 && service.languages.length > 0) {
    reasons.push({ rule: 'language', points: 0, text: 'needs interpretation' });
  } else reasons.push({ rule: 'language', points: SHARES_LANGUAGE / 2, text: 'languages are not known' });
  if (service.operating_mode === 'open') reasons.push({ rule: 'operating_mode', points: FULLY_OPEN, text: 'works as usual' });
  else reasons.push({ rule: 'operating_mode', points: 0, text: `works in ${service.operating_mode} mode` });
  if (service.capacity === null) reasons.push({ rule: 'capacity', points: 0, text: 'keeps no count of places' });
  else if (placesLeft(service.capacity) > 1 + need.dependants) {
    reasons.push({ rule: 'capacity', points: PLACES_LEFT, text: 'keeps a place free after this one' });
  } else reasons.push({ rule: 'capacity', points: 0, text: 'would be full' });
  return reasons;
}

export const placesLeft = (capacity: { total: number; held: number; held_elsewhere: number }): number =>
  capacity.total - capacity.held - capacity.held_elsewhere;

/** Contact with a country of origin while asylum applies, or may: refused whatever the ground, also to an agency named by hand. */
export const endangersAsylum = (kind: AgencyKind, status: ProtectionStatus): boolean =>
  kind === 'consular' && ['asylum_seeker', 'refugee', 'unknown'].includes(status);

/** Only a competent authority may take `identification`, also when it was named by hand. */
export const lacksMandate = ({ service, competent_authority }: CandidateService): boolean =>
  service === 'identification' && !competent_authority;

const emptyOrHas = <T>(list: readonly T[], value: T): boolean => list.length === 0 || list.includes(value);
