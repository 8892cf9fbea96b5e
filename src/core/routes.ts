import type { AgencyKind, ProtectionStatus, Service, Stage, Urgency } from './codes.ts';
import type { Report } from './problem.ts';

/**
 * What the law of a jurisdiction says about who is asked for what, as data of its rule pack: through which kinds of agency a service
 * is asked for, what has to come first, what the law demands for whom, and who never receives whom. Pure.
 */

export const OBLIGATIONS = ['may', 'must'] as const;

/** For whom a route holds; each condition that is named has to be met. */
export interface RouteCondition {
  urgency?: Urgency;
  stage?: Stage;
  /** Below the age of an adult; whose age is in doubt is a child until assessed. */
  child?: boolean;
  /** Below this age, in years; whose age is in doubt counts as below. */
  under_age?: number;
  protection_statuses?: readonly ProtectionStatus[];
  /** Found together with others. */
  grouped?: boolean;
}

/** Through which kinds of agency the law lets a service be asked for (`may`), or demands that it is (`must`). */
export interface ServiceRoute {
  service: Service;
  agency_kinds: readonly AgencyKind[];
  obligation: (typeof OBLIGATIONS)[number];
  when?: RouteCondition;
  /** Only when an agency of these kinds has completed that service for the person: a placement decision, say. */
  after?: { service: Service; agency_kinds: readonly AgencyKind[] };
  /** Those of one group go to one agency where they can. */
  keep_together?: boolean;
  names?: Readonly<Record<string, string>>;
  source: string;
}

/** Whom agencies of these kinds never receive, also when they are named. */
export interface Firewall {
  agency_kinds: readonly AgencyKind[];
  /** Empty or left out: for every service. */
  services?: readonly Service[];
  /** `complainant`: whoever complained to somebody about what an inspection then found. */
  when: { complainant: true };
  source: string;
}

/** What of a person and a case the law looks at. */
export interface LegalFacts {
  urgency: Urgency;
  stage: Stage;
  /** In years; null: in doubt. */
  age: number | null;
  adult_age: number;
  protection_status: ProtectionStatus;
  grouped: boolean;
  complainant: boolean;
  /** What was completed for the person, and by what kind of agency. */
  completed: readonly { service: Service; agency_kind: AgencyKind }[];
}

/**
 * The routes that hold for a service: of those whose conditions are met, the ones with most conditions. None: whoever offers the
 * service may be asked for it.
 */
export function routesFor(routes: readonly ServiceRoute[], service: Service, facts: LegalFacts): ServiceRoute[] {
  const met = routes.filter(route => route.service === service && holds(route.when, facts));
  const most = Math.max(0, ...met.map(countConditions));
  return met.filter(route => countConditions(route) === most);
}

/**
 * Whether one of the routes that hold lets an agency of this kind be asked now. What has to come first never holds up an emergency.
 * @param holding of `routesFor`
 */
export const lawLets = (holding: readonly ServiceRoute[], kind: AgencyKind, facts: LegalFacts): boolean =>
  holding.length === 0 ||
  holding.some(route => route.agency_kinds.includes(kind) && (facts.urgency === 'emergency' || cameFirst(route, facts)));

/** Whether a firewall stands between the person and agencies of this kind. */
export const isWalledOff = (firewalls: readonly Firewall[], service: Service, kind: AgencyKind, facts: LegalFacts): boolean =>
  facts.complainant && hasFirewall(firewalls, service, kind);

/** Whether there is a person whom such agencies never receive for this service. */
export const hasFirewall = (firewalls: readonly Firewall[], service: Service, kind: AgencyKind): boolean =>
  firewalls.some(wall => wall.agency_kinds.includes(kind) && (!wall.services?.length || wall.services.includes(service)));

/** The services that the law demands for a person, in the order of the pack. */
export function demandedServices(routes: readonly ServiceRoute[], facts: LegalFacts): Service[] {
  const demanded = routes.filter(({ obligation, when }) => obligation === 'must' && when !== undefined && holds(when, facts));
  return [...new Set(demanded.map(({ service }) => service))];
}

function holds(when: RouteCondition = {}, facts: LegalFacts): boolean {
  const { urgency, stage, child, under_age, protection_statuses, grouped } = when;
  const isBelow = (years: number) => facts.age === null || facts.age < years;
  return (
    (urgency === undefined || urgency === facts.urgency) &&
    (stage === undefined || stage === facts.stage) &&
    (child === undefined || child === isBelow(facts.adult_age)) &&
    (under_age === undefined || isBelow(under_age)) &&
    (protection_statuses === undefined || protection_statuses.includes(facts.protection_status)) &&
    (grouped === undefined || grouped === facts.grouped)
  );
}

const countConditions = ({ when = {} }: ServiceRoute): number =>
  Object.values(when).filter(condition => condition !== undefined).length;

const cameFirst = ({ after }: ServiceRoute, { completed }: LegalFacts): boolean =>
  after === undefined ||
  completed.some(({ service, agency_kind }) => service === after.service && after.agency_kinds.includes(agency_kind));

/**
 * Reports routes that could never be gone: those that wait for each other.
 * @param others that hold beside them
 */
export function checkRoutes(
  routes: readonly ServiceRoute[],
  at: string,
  report: Report,
  others: readonly ServiceRoute[] = [],
): void {
  for (const [i, { service, after }] of routes.entries()) {
    const circle = after && wayBack([...routes, ...others], after.service, service);
    if (circle) report(`${at}/${i}/after/service`, `waits for itself: ${[service, ...circle].join(', ')}`);
  }
}

/** The services through which `from` waits for `to`; undefined where it does not. */
function wayBack(
  routes: readonly ServiceRoute[],
  from: Service,
  to: Service,
  seen: readonly Service[] = [],
): Service[] | undefined {
  if (from === to) return [to];
  if (seen.includes(from)) return undefined;
  for (const route of routes) {
    if (route.service !== from || !route.after) continue;
    const rest = wayBack(routes, route.after.service, to, [...seen, from]);
    if (rest) return [from, ...rest];
  }
  return undefined;
}
