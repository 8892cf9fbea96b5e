import { act, type Outcome } from '../audit/act.ts';
import { type Read, read } from '../audit/read.ts';
import { record } from '../audit/record.ts';
import { type AgencyActor, authorise, coordinates, expectFirstOrVersion, expectVersion, type Relation } from '../core/access.ts';
import type { AgencyKind, Service } from '../core/codes.ts';
import { checkSchedules, type Schedule } from '../core/opening.ts';
import { Problem, raise } from '../core/problem.ts';
import { type Channels, isReachable } from '../core/reach.ts';
import { isStale } from '../core/routing.ts';
import { asSystem, type Tx } from '../platform/database.ts';
import { decodeCursor, encodeCursor, type Page, pageLimit, toPage } from '../platform/http/paging.ts';
import { newId } from '../platform/ids.ts';
import { refreshProtection, requestRouting, servesBeyond } from '../referrals/store.ts';
import { findCalendar } from '../rules/calendars/store.ts';
import { getCurrentRulePack } from '../rules/store.ts';
import type { Services } from '../services.ts';
import { listChannels } from '../webhooks/reach/store.ts';
import {
  type AgencyFilter,
  type AgencyRow,
  availableOf,
  type CapacityRow,
  findAgency,
  findCapacity,
  findService,
  insertAgency,
  insertCapacity,
  insertService,
  type ListedAgency,
  listAgencies as listAgencyRows,
  listServices as listServiceRows,
  lockAgency,
  lockCapacity,
  lockService,
  refreshFollowOns,
  type ServiceRow,
  saveAgency,
  saveCapacity,
  saveService,
} from './store.ts';

/**
 * The directory: every agency may read it, administrators keep agencies, and each agency keeps its own services and places.
 * Whatever could help a referral that nobody has taken sends the router to look again.
 */

export type AgencyView = Omit<AgencyRow, 'duty_contact'> & { duty_contact?: string | null; reachable?: boolean };

/** A sheltered place is told as `none` or `some`: its numbers, and when they were set, move when somebody moves in. */
export type CapacityView =
  | (Omit<CapacityRow, 'freed'> & { available: number; availability: 'none' | 'some'; stale: boolean })
  | { agency_id: string; service: Service; availability: 'none' | 'some' };

type AgencyInput = Partial<Omit<AgencyRow, 'id' | 'kind' | 'version' | 'created_at' | 'updated_at'>>;
/** What the service keeps for itself. */
type Kept = 'asked' | 'accepted' | 'open_hours' | 'open_hours_until' | 'assured_at' | 'follow_on_since' | 'imported';
type ServiceView = Omit<ServiceRow, Exclude<Kept, 'assured_at'> | 'located_in'> & Partial<Pick<ServiceRow, 'located_in'>>;
type ServiceInput = Partial<Omit<ServiceRow, 'agency_id' | 'service' | 'version' | 'created_at' | 'updated_at' | Kept>>;

interface PageOf {
  limit?: number;
  cursor?: string;
}

/**
 * What an agency's supervisor knows best and may change alone. Its name, area, mandate and standing are given to it: others
 * rely on them when they decide whom to trust with a person.
 */
const OWN_FIELDS: ReadonlySet<string> = new Set(['languages', 'operating_mode', 'duty_contact', 'calendar_id']);

const relationsTo = (actor: AgencyActor, agency_id: string): Relation[] => [
  'reader',
  ...(actor.agency_id === agency_id ? (['self'] as const) : []),
  ...(actor.scopes.has('admin') ? (['admin'] as const) : []),
];

/**
 * How to reach whoever is on duty stands in place of a hidden shelter's name on a referral; in the directory it would give the
 * name away again.
 */
const agencyView = (actor: AgencyActor, { sheltered, duty_contact, ...agency }: ListedAgency): AgencyView =>
  sheltered && agency.id !== actor.agency_id && !actor.scopes.has('admin') ? agency : { ...agency, duty_contact };

/** The agency itself and its coordinators are told whether its system takes events now. */
const mayKnowReach = (actor: AgencyActor, { id, jurisdictions }: AgencyRow): boolean =>
  id === actor.agency_id || jurisdictions.some(jurisdiction => coordinates(actor, jurisdiction));

async function viewAgencies(
  services: Services,
  tx: Tx,
  actor: AgencyActor,
  agencies: readonly ListedAgency[],
): Promise<AgencyView[]> {
  const ids = agencies.filter(agency => mayKnowReach(actor, agency)).map(({ id }) => id);
  const channels = ids.length > 0 ? await asSystem(tx, 'relay', tx => listChannels(tx, ids)) : new Map<string, Channels>();
  return agencies.map(agency => {
    const known = channels.get(agency.id);
    return { ...agencyView(actor, agency), ...(known ? { reachable: isReachable(known, services.now()) } : {}) };
  });
}

const viewAgency =
  (services: Services, actor: AgencyActor) =>
  async (tx: Tx, id: string): Promise<AgencyView> =>
    (await viewAgencies(services, tx, actor, [(await findAgency(tx, id)) ?? raise('not_found')]))[0]!;

/** Enters an agency into the directory. @throws Problem `forbidden`, `unprocessable` */
export const createAgency = (
  services: Services,
  actor: AgencyActor,
  body: AgencyInput & { name: string; kind: AgencyKind; jurisdictions: string[] },
): Promise<Outcome<AgencyView>> =>
  act(services, actor, 'agency.create', viewAgency(services, actor), async (tx, now) => {
    authorise(actor, 'agency.create', relationsTo(actor, ''));
    requireWithin(body.jurisdictions, body.regions);
    await requireCalendar(tx, body.calendar_id);
    const id = newId('agy');
    await insertAgency(tx, {
      id,
      regions: [],
      languages: [],
      competent_authority: false,
      first_responder: false,
      duty_contact: null,
      calendar_id: null,
      status: 'active',
      operating_mode: 'open',
      ...body,
      created_at: now,
      updated_at: now,
    });
    const receipt = await record(services, tx, actor, {
      action: 'agency.create',
      resource_type: 'agency',
      subjects: [{ subject_id: id, kind: body.kind }],
    });
    return { id, receipt };
  });

/**
 * Changes an agency; its own supervisor may change {@link OWN_FIELDS}, an administrator everything but its kind.
 * @throws Problem `not_found`, `forbidden`, `unprocessable`, `precondition_required`, `precondition_failed`
 */
export const changeAgency = (
  services: Services,
  actor: AgencyActor,
  id: string,
  patch: AgencyInput,
): Promise<Outcome<AgencyView>> =>
  act(services, actor, 'agency.change', viewAgency(services, actor), async (tx, now) => {
    const relations = relationsTo(actor, id);
    // Locking is writing to row-level security, which hides the rows of others from whoever may only read.
    const agency = (relations.length > 1 ? await lockAgency(tx, id) : await findAgency(tx, id)) ?? raise('not_found');
    authorise(actor, 'agency.change', relations);
    const changed = Object.keys(patch);
    if (!relations.includes('admin') && !changed.every(field => OWN_FIELDS.has(field))) throw new Problem('forbidden');
    const after = { ...agency, ...patch };
    requireWithin(after.jurisdictions, after.regions);
    if (patch.jurisdictions) await requireNobodyLeft(tx, id, patch.jurisdictions);
    await requireCalendar(tx, patch.calendar_id);
    expectVersion(actor, agency.version, { required: true });

    await saveAgency(tx, id, patch, now);
    refreshFollowOns(tx, [id], now);
    if (after.status === 'active' && after.operating_mode !== 'closed') {
      requestRouting(tx, { agency_id: id });
    }
    const receipt = await record(services, tx, actor, {
      action: 'agency.change',
      resource_type: 'agency',
      subjects: [{ subject_id: id, changed, ...(patch.status ? { status: patch.status } : {}) }],
    });
    return { id, receipt };
  });

/** @throws Problem `not_found` */
export const getAgency = (services: Services, actor: AgencyActor, id: string): Promise<Read<AgencyView>> =>
  read(services, actor, 'agency.read', { subject_id: id }, tx => viewAgency(services, actor)(tx, id));

/** The directory, newest first. */
export const listAgencies = (
  services: Services,
  actor: AgencyActor,
  query: AgencyFilter & PageOf,
): Promise<Read<Page<AgencyView>>> =>
  read(services, actor, 'agency.list', null, async tx => {
    const limit = pageLimit(query);
    const [before] = (decodeCursor(query.cursor, 1) ?? []) as [string?];
    const rows = await viewAgencies(services, tx, actor, await listAgencyRows(tx, query, before, limit + 1));
    return toPage(
      rows,
      limit,
      row => encodeCursor(row.id),
      row => row,
    );
  });

/** What a service is where its agency does not say otherwise. */
const UNLIMITED: Required<ServiceInput> = {
  regions: [],
  sexes: [],
  min_age: null,
  max_age: null,
  accepts_dependants: true,
  languages: [],
  protection_statuses: [],
  intake_hours: null,
  location_protected: false,
  status: 'active',
  suspended_reason: null,
  specialities: [],
  located_in: null,
  eligibility: null,
  schedules: [],
};

/** @throws Problem `unprocessable` */
async function requireCalendar(tx: Tx, id: string | null | undefined): Promise<void> {
  if (!id || (await findCalendar(tx, id))) return;
  throw new Problem('unprocessable', { errors: [{ pointer: '/calendar_id', detail: 'is not the id of a calendar' }] });
}

/** A service as the caller may know it: where a protected place lies is told to its agency alone. */
const serviceView = (actor: AgencyActor, row: ServiceRow, isOld: (assured_at: Date) => boolean): ServiceView => {
  const {
    asked: _,
    accepted: __,
    open_hours: ___,
    open_hours_until: ____,
    follow_on_since: _____,
    imported: ______,
    located_in,
    ...service
  } = row;
  const told = { ...service, stale: isOld(row.assured_at) };
  return row.location_protected && row.agency_id !== actor.agency_id ? told : { ...told, located_in };
};

const viewService = (services: Services, actor: AgencyActor, agency_id: string, service: Service) => async (tx: Tx) =>
  serviceView(
    actor,
    (await findService(tx, agency_id, service)) ?? raise('not_found'),
    await ageing(services, tx, (await findAgency(tx, agency_id))!),
  );

/** What counts as old where the agency works; where that is in several jurisdictions, in the first. */
async function ageing(services: Services, tx: Tx, { jurisdictions }: AgencyRow): Promise<(assured_at: Date) => boolean> {
  const { routing } = await getCurrentRulePack(services, tx, jurisdictions[0]!);
  return assured_at => isStale(assured_at, routing, services.now());
}

/**
 * Says what the agency offers, whole: a first time, or in place of what it said before.
 * @throws Problem `not_found`, `forbidden`, `unprocessable`, `precondition_required`, `precondition_failed`
 */
export async function setService(
  services: Services,
  actor: AgencyActor,
  agency_id: string,
  service: Service,
  body: ServiceInput,
): Promise<Outcome<ServiceView> & { created: boolean }> {
  let created = false;
  const outcome = await act(services, actor, 'service.set', viewService(services, actor, agency_id, service), async (tx, now) => {
    const agency = await requireOwn(tx, actor, agency_id);
    const after = { ...UNLIMITED, ...body };
    requireWithin(agency.jurisdictions, [...after.regions, ...(after.located_in === null ? [] : [after.located_in])]);
    if (after.min_age !== null && after.max_age !== null && after.min_age > after.max_age) {
      throw new Problem('unprocessable', { detail: 'min_age is above max_age.' });
    }
    requireHours(after.schedules);
    const before = await lockService(tx, agency_id, service);
    expectFirstOrVersion(actor, before);

    created = !before;
    if (before) await saveService(tx, { agency_id, service, ...after, imported: false }, now);
    else await insertService(tx, { agency_id, service, ...after, created_at: now, updated_at: now });
    refreshFollowOns(tx, [agency_id], now);
    // A place that must be hidden from now on is hidden in what is under way, too.
    if (before && before.location_protected !== after.location_protected) {
      await asSystem(tx, 'router', tx => refreshProtection(tx, now, { agency_id, service }));
    }
    if (after.status === 'active') requestRouting(tx, { agency_id, service });
    const receipt = await record(services, tx, actor, {
      action: 'service.set',
      resource_type: 'service',
      subjects: [{ subject_id: agency_id, service, status: after.status, location_protected: after.location_protected }],
    });
    return { id: agency_id, receipt };
  });
  return { ...outcome, created };
}

/** @throws Problem `not_found` */
export const getService = (
  services: Services,
  actor: AgencyActor,
  agency_id: string,
  service: Service,
): Promise<Read<ServiceView>> =>
  read(services, actor, 'service.read', { subject_id: agency_id, service }, viewService(services, actor, agency_id, service));

/** What an agency offers, by the service's code. @throws Problem `not_found` */
export const listServices = (
  services: Services,
  actor: AgencyActor,
  agency_id: string,
  query: PageOf,
): Promise<Read<Page<ServiceView>>> =>
  read(services, actor, 'service.list', { subject_id: agency_id }, async tx => {
    const isOld = await ageing(services, tx, (await findAgency(tx, agency_id)) ?? raise('not_found'));
    const limit = pageLimit(query);
    const [after] = (decodeCursor(query.cursor, 1) ?? []) as [string?];
    const rows = await listServiceRows(tx, agency_id, after, limit + 1);
    return toPage(
      rows,
      limit,
      row => encodeCursor(row.service),
      row => serviceView(actor, row, isOld),
    );
  });

const viewCapacity =
  (services: Services, actor: AgencyActor, agency_id: string, service: Service) =>
  async (tx: Tx): Promise<CapacityView> => {
    const offered = (await findService(tx, agency_id, service)) ?? raise('not_found');
    const { freed: _, imported: __, ...capacity } = (await findCapacity(tx, agency_id, service)) ?? raise('not_found');
    const available = availableOf(capacity);
    const availability = available > 0 ? 'some' : 'none';
    if (offered.location_protected && agency_id !== actor.agency_id) return { agency_id, service, availability };
    const isOld = await ageing(services, tx, (await findAgency(tx, agency_id))!);
    return { ...capacity, available, availability, stale: isOld(capacity.assured_at) };
  };

/**
 * Says how many places the service has. Places that accepted referrals hold already are counted the first time.
 * @throws Problem `not_found` where the agency does not offer the service, `forbidden`, `precondition_failed`
 */
export async function setCapacity(
  services: Services,
  actor: AgencyActor,
  agency_id: string,
  service: Service,
  { total, held_elsewhere = 0 }: { total: number; held_elsewhere?: number },
): Promise<Outcome<CapacityView> & { created: boolean }> {
  let created = false;
  const viewed = viewCapacity(services, actor, agency_id, service);
  const outcome = await act(services, actor, 'capacity.set', viewed, async (tx, now) => {
    await requireOwn(tx, actor, agency_id);
    if (!(await lockService(tx, agency_id, service))) throw new Problem('not_found');
    const before = await lockCapacity(tx, agency_id, service);
    if (before) expectVersion(actor, before.version);
    if (actor.request.if_none_match ? before : !before && actor.request.if_match) throw new Problem('precondition_failed');

    created = !before;
    const stated = { agency_id, service, total, held_elsewhere };
    const more = !before || total - held_elsewhere > before.total - before.held_elsewhere;
    if (!before) await insertCapacity(tx, stated, now);
    else await saveCapacity(tx, { ...stated, assured_at: now, imported: false, ...(more ? { freed: before.freed + 1 } : {}) });
    if (more) requestRouting(tx, { agency_id, service });
    const receipt = await record(services, tx, actor, {
      action: 'capacity.set',
      resource_type: 'capacity',
      subjects: [{ subject_id: agency_id, service, total: String(total), held_elsewhere: String(held_elsewhere) }],
    });
    return { id: agency_id, receipt };
  });
  return { ...outcome, created };
}

/** @throws Problem `not_found`, also where the service has no capacity record and so no limit */
export const getCapacity = (
  services: Services,
  actor: AgencyActor,
  agency_id: string,
  service: Service,
): Promise<Read<CapacityView>> =>
  read(services, actor, 'capacity.read', { subject_id: agency_id, service }, viewCapacity(services, actor, agency_id, service));

async function requireOwn(tx: Tx, actor: AgencyActor, agency_id: string): Promise<AgencyRow> {
  const agency = (await findAgency(tx, agency_id)) ?? raise('not_found');
  authorise(actor, 'service.manage', relationsTo(actor, agency_id));
  return agency;
}

/** @throws Problem `unprocessable` */
function requireHours(schedules: readonly Schedule[]): void {
  const errors = checkSchedules(schedules, '/schedules');
  if (errors.length > 0) throw new Problem('unprocessable', { errors });
}

/** Whoever is served where the agency works no more would be without: the service is suspended first, and somebody follows. */
async function requireNobodyLeft(tx: Tx, agency_id: string, jurisdictions: readonly string[]): Promise<void> {
  if (!(await asSystem(tx, 'router', tx => servesBeyond(tx, agency_id, jurisdictions)))) return;
  const detail =
    'leaves out one in which the agency still serves people: suspend the services first, and others are asked for them';
  throw new Problem('unprocessable', { errors: [{ pointer: '/jurisdictions', detail }] });
}

/** Regions lie in a country of the agency. */
function requireWithin(jurisdictions: readonly string[], regions: readonly string[] = []): void {
  const countries = new Set(jurisdictions.map(countryOf));
  if (!regions.every(region => countries.has(countryOf(region)))) {
    throw new Problem('unprocessable', { detail: 'A region lies outside the jurisdictions of the agency.' });
  }
}

const countryOf = (place: string): string => place.slice(0, 2);
