import { hash } from 'node:crypto';
import type {
  AgencyKind,
  EXCLUSIONS,
  OfferStatus,
  OperatingMode,
  ProtectionStatus,
  Service,
  Sex,
  SOFT_RULES,
  Urgency,
} from './codes.ts';
import { STATUS_ONLY_BY_NAME } from './consent.ts';
import { durationMs } from './reckoning.ts';
import { type Firewall, hasFirewall, isWalledOff, type LegalFacts, lawLets, routesFor, type ServiceRoute } from './routes.ts';

/**
 * Which agency is asked first. A pure function of the need, the directory, the rules and the time: hard rules exclude, soft rules
 * rank, and every rank and exclusion carries its reason. Same input, same order; ties fall by a keyed hash of referral and agency, so
 * that no agency is always first and nobody outside can tell which of two hidden ones was. What is unknown or empty excludes nobody.
 */

export interface RoutingNeed extends LegalFacts {
  /** Nobody can compute the order of ties without it. */
  tie_key: string;
  service: Service;
  jurisdiction: string;
  region: string | null;
  sex: Sex;
  dependants: number;
  languages: readonly string[];
  /** What the place should be good at, in the words of the services' `specialities`. */
  specialities: readonly string[];
  sender_agency_id: string;
  excluded_agencies: readonly string[];
  /** Those which said that they have a conflict of interest in this case. */
  conflicts: ReadonlySet<string>;
  /** Where somebody is, or may soon be, from whom the person is kept apart. */
  apart_from: ReadonlySet<string>;
  /** Where the person's family, or others of the group, are. */
  together_with: ReadonlySet<string>;
  /** Of an emergency: whose systems take no events now, so that nobody may hear of an offer. Null: it is none. */
  unreachable_agencies: ReadonlySet<string> | null;
}

/** Whether what was assured then counts as old. */
export const isStale = (assured_at: Date, routing: Pick<RoutingRules['routing'], 'stale_after'>, at: Date): boolean =>
  assured_at.getTime() < staleBefore(routing, at);

const staleBefore = ({ stale_after }: Pick<RoutingRules['routing'], 'stale_after'>, at: Date): number =>
  at.getTime() - durationMs(stale_after);

/** What a rule pack says of routing. Numbers are illustrative, and the pack says so. */
export interface RoutingRules {
  routes: readonly ServiceRoute[];
  firewalls: readonly Firewall[];
  routing: {
    /** How many agencies an emergency asks at once, 1 to 3. */
    parallel_offers: number;
    /** ISO 8601; what a service last said of itself longer ago counts as old. */
    stale_after: string;
    /** Which regions border on which; the other direction need not be said. */
    neighbours: Readonly<Record<string, readonly string[]>>;
    /** The most that each soft rule can give. */
    points: Readonly<Record<SoftRule, number>>;
  };
}

/** What a place is good at, and what is asked of one: free codes, agreed upon in each jurisdiction. */
export const SPECIALITY_PATTERN = '^[a-z][a-z0-9_]{0,59}$';

export type Exclusion = (typeof EXCLUSIONS)[number];
export type SoftRule = (typeof SOFT_RULES)[number];

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
  /** The region in which the place lies; null: it is not said. */
  located_in: string | null;
  sexes: readonly Sex[];
  min_age: number | null;
  max_age: number | null;
  accepts_dependants: boolean;
  languages: readonly string[];
  specialities: readonly string[];
  protection_statuses: readonly ProtectionStatus[];
  location_protected: boolean;
  status: 'active' | 'suspended';
  /** By its hours; null: they are not known. */
  is_open: boolean | null;
  /** When it last said that what it says of itself, or how many places it has, is right. */
  assured_at: Date;
  /** null: unlimited */
  capacity: { total: number; held: number; held_elsewhere: number; freed: number } | null;
  /** Places for which it is being asked and has not answered. */
  pending: number;
  /** Those of them that are not for routine referrals. */
  pending_urgent: number;
  /** How often it was asked lately, and how often it said yes. */
  history: { asked: number; accepted: number };
}

/** What excludes a place that could take the person at another time. */
export const BY_PLACES: readonly Exclusion[] = ['no_capacity', 'spoken_for'];

/** How an earlier offer of this referral to the same agency ended. */
export interface EarlierOffer {
  agency_id: string;
  status: OfferStatus;
  reason_code: string | null;
  /** How often a place had come free there when it was declined or expired. */
  freed_before: number | null;
}

/** What a service is at any hour. */
export type OfferedService = Omit<CandidateService, 'is_open'>;

export interface Reason {
  rule: SoftRule | 'reachability' | 'protected_place';
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
const REACHABLE = 1_000;
/** So that all of them together stay below that. */
export const MOST_POINTS = 100;

/**
 * Every agency that offers the service: best first, with what speaks for it; excluded ones behind, with why.
 * @param mayBeAsked whether consent or a ground covers the agency for this purpose
 */
export function rankCandidates(
  need: RoutingNeed,
  services: readonly CandidateService[],
  rules: RoutingRules,
  earlier: readonly EarlierOffer[],
  mayBeAsked: (candidate: { id: string; kind: AgencyKind }) => boolean,
  at: Date,
): Candidate[] {
  const holding = routesFor(rules.routes, need.service, need);
  const rank = ranking(need, rules, at);
  const tie = tiesOf(need);
  return services
    .map(service => {
      const excluded_by = exclusions(need, service, earlier);
      if (!lawLets(holding, service.kind, need)) excluded_by.push('route');
      if (isWalledOff(rules.firewalls, need.service, service.kind, need)) excluded_by.push('firewall');
      if (!mayBeAsked({ id: service.agency_id, kind: service.kind })) excluded_by.push('no_consent');
      // Who cannot be asked has no rank, but for whoever is only full: of some places that must not be told.
      const reasons = excluded_by.every(code => BY_PLACES.includes(code)) ? rank(service) : [];
      return { agency_id: service.agency_id, excluded_by, score: sumOf(reasons), reasons };
    })
    .sort(
      (a, b) =>
        Number(a.excluded_by.length > 0) - Number(b.excluded_by.length > 0) ||
        b.score - a.score ||
        (tie(a) < tie(b) ? -1 : tie(a) > tie(b) ? 1 : 0),
    );
}

const sumOf = (reasons: readonly Reason[]): number => {
  let sum = 0;
  for (const { points } of reasons) sum += points;
  return sum;
};

/** The order of those who rank alike: nobody outside can compute it. Each is reckoned once. */
export function tiesOf({ tie_key }: Pick<RoutingNeed, 'tie_key'>): (candidate: Pick<Candidate, 'agency_id'>) => string {
  const ties = new Map<string, string>();
  return ({ agency_id }) => {
    const known = ties.get(agency_id) ?? hash('sha256', `${tie_key}\n${agency_id}`, 'hex');
    ties.set(agency_id, known);
    return known;
  };
}

function exclusions(need: RoutingNeed, service: CandidateService, earlier: readonly EarlierOffer[]): Exclusion[] {
  const out: Exclusion[] = servesIn(service, need.jurisdiction, need.region) ? [] : ['other_service_area'];
  out.push(...outOfService(service));
  if (!takesSex(service, need.sex)) out.push('sex');
  if (!takesAge(service, need.age)) out.push('age');
  if (need.dependants > 0 && !service.accepts_dependants) out.push('dependants');
  if (!takesStatus(service, need.service, need.protection_status)) out.push('protection_status');
  if (endangersAsylum(service.kind, need.protection_status)) out.push('asylum');
  const free = placesFree(service, need.urgency);
  if (!hasPlaces(service, 1 + need.dependants)) out.push('no_capacity');
  else if (free !== null && free < 1 + need.dependants) out.push('spoken_for');
  if (need.excluded_agencies.includes(service.agency_id)) out.push('excluded');
  if (need.conflicts.has(service.agency_id)) out.push('conflict_of_interest');
  if (need.apart_from.has(service.agency_id)) out.push('separated');
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
  return service.capacity === null || offer.freed_before === null || service.capacity.freed <= offer.freed_before;
}

/** What speaks for an agency: each soft rule with its points and why. What is not known lies in the middle. */
function ranking(need: RoutingNeed, { routing }: RoutingRules, at: Date): (service: CandidateService) => Reason[] {
  const { points } = routing;
  const stale_before = staleBefore(routing, at);
  const distances = distancesFrom(need.region, routing.neighbours);
  const places = 1 + need.dependants;
  return service => {
    const reasons: Reason[] = [];
    const say = (rule: SoftRule, share: number, text: string) =>
      reasons.push({ rule, points: Math.round(points[rule] * share), text });

    if (need.unreachable_agencies) {
      const is_reached = !need.unreachable_agencies.has(service.agency_id);
      const text = is_reached ? 'its system takes events now' : 'its system takes no events now';
      reasons.push({ rule: 'reachability', points: is_reached ? REACHABLE : 0, text });
    }
    if (need.together_with.has(service.agency_id)) say('together', 1, 'others who were found with the person are there');

    if (need.languages.some(language => service.languages.includes(language)))
      say('language', 1, 'works in a language of the person');
    else if (need.languages.length > 0 && service.languages.length > 0) say('language', 0, 'needs interpretation');
    else say('language', 1 / 2, 'languages are not known');

    if (need.specialities.length > 0) {
      const has = need.specialities.filter(speciality => service.specialities.includes(speciality)).length;
      say('specialities', has / need.specialities.length, `has ${has} of ${need.specialities.length} specialities asked for`);
    }

    const distance = service.located_in === null || need.region === null ? undefined : (distances.get(service.located_in) ?? 3);
    if (distance === undefined) say('distance', 1 / 3, 'how far it is is not known');
    else say('distance', Math.max(0, 1 - distance / 3), DISTANCES[Math.min(distance, 3)]!);

    if (service.is_open === null) say('opening', 1 / 2, 'its hours are not known');
    else say('opening', service.is_open ? 1 : 0, service.is_open ? 'is open now' : 'is closed at this hour');

    if (service.operating_mode === 'open') say('operating_mode', 1, 'works as usual');
    else say('operating_mode', 0, `works in ${service.operating_mode} mode`);

    if (service.capacity === null) say('capacity', 0, 'keeps no count of places');
    else if (placesLeft(service.capacity) > places) say('capacity', 1, 'keeps a place free after this one');
    else say('capacity', 0, 'would be full');

    const { asked, accepted } = service.history;
    const rate = (accepted + 1) / (asked + 2);
    say('acceptance', rate, asked === 0 ? 'was not asked lately' : rate >= 1 / 2 ? 'mostly says yes' : 'mostly says no');

    const load = loadOf(service);
    say(
      'load',
      1 - load,
      load === 0 ? 'is being asked by nobody else' : load < 1 ? 'others ask it, too' : 'is asked for all it has',
    );

    const is_fresh = service.assured_at.getTime() >= stale_before;
    say('freshness', is_fresh ? 1 : 0, is_fresh ? 'what it says of itself is recent' : 'what it says of itself is old');
    return reasons;
  };
}

const DISTANCES = ['lies in the same region', 'lies in a region beside', 'lies two regions away', 'lies far away'];

/** How much of what is left is being asked for: 0 nothing, 1 all of it. Without a count each question weighs less. */
const loadOf = ({ pending, capacity }: CandidateService): number => {
  if (pending === 0) return 0;
  if (capacity === null) return pending / (pending + 4);
  const left = placesLeft(capacity);
  return left <= 0 ? 1 : Math.min(1, pending / left);
};

/** Borders between a region and each that can be reached from it over at most two. */
function distancesFrom(region: string | null, neighbours: RoutingRules['routing']['neighbours']): Map<string, number> {
  const distances = new Map<string, number>();
  if (region === null) return distances;
  const beside = (of: string) =>
    Object.entries(neighbours).flatMap(([one, others]) => (one === of ? others : others.includes(of) ? [one] : []));
  distances.set(region, 0);
  for (const near of beside(region)) if (!distances.has(near)) distances.set(near, 1);
  for (const [near, distance] of [...distances])
    if (distance === 1) for (const far of beside(near)) if (!distances.has(far)) distances.set(far, 2);
  return distances;
}

// What follows is asked for one person by the router, and for everybody by coverage.ts.

/** Why nobody at all is sent to a service as it stands. */
export function outOfService(service: OfferedService): Exclusion[] {
  const out: Exclusion[] = [];
  if (service.status === 'suspended' || service.agency_status === 'suspended') out.push('suspended');
  if (lacksMandate(service)) out.push('not_competent');
  if (service.operating_mode === 'closed') out.push('closed');
  return out;
}

export const servesIn = (service: OfferedService, jurisdiction: string, region: string | null): boolean =>
  service.jurisdictions.includes(jurisdiction) && (region === null || emptyOrHas(service.regions, region));

export const takesSex = ({ sexes }: OfferedService, sex: Sex): boolean => sex === 'unknown' || emptyOrHas(sexes, sex);

export const takesAge = ({ min_age, max_age }: OfferedService, age: number | null): boolean =>
  age === null || (age >= (min_age ?? 0) && age <= (max_age ?? Number.POSITIVE_INFINITY));

/**
 * Medical routing does not look at the status; and of those who may learn it by name only, being asked must not tell it.
 */
export const takesStatus = ({ kind, protection_statuses }: OfferedService, asked: Service, status: ProtectionStatus): boolean =>
  asked === 'medical' || STATUS_ONLY_BY_NAME.includes(kind) || status === 'unknown' || emptyOrHas(protection_statuses, status);

/** A service that keeps no count has places for everybody. */
export const hasPlaces = ({ capacity }: OfferedService, places: number): boolean =>
  capacity === null || placesLeft(capacity) >= places;

/**
 * The places left for which nobody at least as urgent is being asked: so each is asked for once at a time, and whoever has waited
 * longest is asked for first. An emergency waits for no answer to somebody else. Null: it keeps no count.
 */
export const placesFree = (
  { capacity, pending, pending_urgent }: Pick<CandidateService, 'capacity' | 'pending' | 'pending_urgent'>,
  urgency: Urgency,
): number | null => capacity && placesLeft(capacity) - { emergency: 0, urgent: pending_urgent, routine: pending }[urgency];

export const placesLeft = (capacity: { total: number; held: number; held_elsewhere: number }): number =>
  capacity.total - capacity.held - capacity.held_elsewhere;

/** Contact with a country of origin while asylum applies, or may: refused whatever the ground, also to an agency named by hand. */
export const endangersAsylum = (kind: AgencyKind, status: ProtectionStatus): boolean =>
  kind === 'consular' && ['asylum_seeker', 'refugee', 'unknown'].includes(status);

/** Whom the law keeps such an agency from, also where somebody named it or it was asked before that was known. */
export const isNeverReceived = (
  firewalls: readonly Firewall[],
  service: Service,
  kind: AgencyKind,
  person: { complainant?: boolean | undefined; protection_status?: ProtectionStatus | undefined } = {},
): boolean =>
  (person.complainant === true && hasFirewall(firewalls, service, kind)) ||
  endangersAsylum(kind, person.protection_status ?? 'unknown');

/** Only a competent authority may take `identification`, also when it was named by hand. */
export const lacksMandate = ({ service, competent_authority }: OfferedService): boolean =>
  service === 'identification' && !competent_authority;

const emptyOrHas = <T>(list: readonly T[], value: T): boolean => list.length === 0 || list.includes(value);
