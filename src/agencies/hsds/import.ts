import { isDeepStrictEqual } from 'node:util';
import { act, type Outcome } from '../../audit/act.ts';
import { read } from '../../audit/read.ts';
import { record } from '../../audit/record.ts';
import { type AgencyActor, authorise } from '../../core/access.ts';
import type { AgencyKind, Service } from '../../core/codes.ts';
import {
  type ForeignAgency,
  type ForeignCapacity,
  type ForeignService,
  type SaidOfService,
  understand,
} from '../../core/hsds.ts';
import { readTables } from '../../core/hsds-tables.ts';
import { meaningOfKinds, meaningOfServices } from '../../core/hsds-terms.ts';
import { idOfUuid } from '../../core/ids.ts';
import { raise } from '../../core/problem.ts';
import { asSystem, type Tx } from '../../platform/database.ts';
import { newId } from '../../platform/ids.ts';
import { refreshProtection, requestRouting } from '../../referrals/store.ts';
import { calendarsOf } from '../../rules/calendars/store.ts';
import { getCurrentRulePack } from '../../rules/store.ts';
import type { Services } from '../../services.ts';
import {
  type AgencyRow,
  availableOf,
  type CapacityRow,
  insertAgencies,
  insertCapacities,
  insertCapacity,
  insertServices,
  lockCapacity,
  type NewService,
  refreshFollowOns,
  type ServiceRow,
  saveAgency,
  saveCapacity,
  saveService,
} from '../store.ts';
import { Findings } from './findings.ts';
import { type ImportInput, type ImportReport, MOST_TOLD } from './schema.ts';
import { findImport, insertImport, insertKnown, listEntered, listKnown, lockImports } from './store.ts';

/**
 * A directory of others is taken over, whole or not at all. What an import makes can do nothing by itself: it has no client, no
 * caseworker and no mandate. What the agency itself said later than the directory was assured stays as it is, and so does whatever
 * the directory says nothing of.
 */

/**
 * @throws Problem `forbidden`, `unprocessable` with every broken row
 */
export async function importDirectory(services: Services, actor: AgencyActor, body: ImportInput): Promise<Outcome<ImportReport>> {
  const mayImport = () => authorise(actor, 'directory.import', actor.scopes.has('admin') ? ['reader', 'admin'] : ['reader']);
  if (body.dry_run) {
    const look = async (tx: Tx) => {
      mayImport();
      return (await planImport(services, tx, body, { lock: false })).report;
    };
    return { ...(await read(services, actor, 'directory.import', null, look)), replayed: false };
  }
  const view = async (tx: Tx, id: string) => ((await findImport(tx, id)) ?? raise('not_found')).report as ImportReport;
  return act(services, actor, 'directory.import', view, async (tx, now) => {
    mayImport();
    await lockImports(tx);
    const plan = await planImport(services, tx, body, { lock: true });
    await carryOut(tx, body, plan, now);
    const { source, jurisdiction } = body;
    const id = newId('imp');
    await insertImport(tx, { id, source, jurisdiction, report: { ...plan.report, id, dry_run: false } }, now);
    requestRouting(tx, { jurisdiction });
    const counts = Object.entries(plan.report).filter(([name]) => ['agencies', 'services', 'capacities'].includes(name));
    const receipt = await record(services, tx, actor, {
      action: 'directory.import',
      resource_type: 'directory',
      subjects: [
        { subject_id: id, source, jurisdiction, ...Object.fromEntries(counts.map(([of, n]) => [of, JSON.stringify(n)])) },
      ],
    });
    return { id, receipt };
  });
}

/** What an import will do, and its report. */
interface Plan {
  agencies: { id: string; foreign: ForeignAgency; before: AgencyRow | undefined; is_known: boolean }[];
  services: {
    agency_id: string;
    service: Service;
    foreign: ForeignService;
    before: ServiceRow | undefined;
    after: SaidOfService;
    change: Change;
  }[];
  capacities: {
    agency_id: string;
    service: Service;
    foreign: ForeignCapacity;
    /** Of a service that is made by this import. */
    is_new: boolean;
    change: Change;
  }[];
  report: ImportReport;
}

type Change = 'created' | 'updated' | 'unchanged';

async function planImport(services: Services, tx: Tx, body: ImportInput, { lock }: { lock: boolean }): Promise<Plan> {
  const { source, jurisdiction } = body;
  const now = services.now();
  const findings = new Findings();
  const rows = readTables(body.directory as Record<string, unknown>, findings.report, findings.leaveOut);
  const { calendar_id } = await getCurrentRulePack(services, tx, jurisdiction);
  const { time_zone } = (await calendarsOf(services).get(tx, calendar_id)).compiled;
  const foreign = understand(rows, {
    jurisdiction,
    time_zone,
    kindOf: meaningOfKinds((body.agency_kinds ?? {}) as Record<string, AgencyKind>),
    serviceOf: meaningOfServices((body.service_codes ?? {}) as Record<string, Service>),
    ...findings,
  });
  findings.raise();

  const known = await listKnown(tx, source);
  const named = foreign.map(({ foreign_id }) => known.get(foreign_id) ?? idOfUuid('agy', foreign_id));
  const mentioned = [...new Set([...known.values(), ...named.filter(id => id !== undefined)])].sort();
  const entered = await listEntered(tx, mentioned, { lock });
  const agencies = foreign.map((agency, i) => {
    const before = named[i] === undefined ? undefined : entered.agencies.get(named[i]);
    return { id: before?.id ?? newId('agy'), foreign: agency, before, is_known: known.has(agency.foreign_id) };
  });
  const first = new Map(agencies.map(({ id }, i) => [id, i] as const).toReversed());
  for (const [i, { id, foreign, before }] of agencies.entries()) {
    if (!before && !foreign.kind) findings.report(foreign.pointer, 'no attribute says what kind of agency it is');
    if (before && foreign.kind && foreign.kind !== before.kind)
      findings.report(foreign.pointer, `is known here as ${before.kind}; whoever does another kind of work is another agency`);
    if (before && !before.jurisdictions.includes(jurisdiction))
      findings.report(foreign.pointer, 'is an agency of other jurisdictions');
    if (first.get(id) !== i) findings.report(foreign.pointer, 'is an agency that is there twice');
  }
  findings.raise();

  const key = (agency_id: string, service: string) => `${agency_id} ${service}`;
  const offered = new Map(entered.services.map(row => [key(row.agency_id, row.service), row]));
  const counted = new Map(entered.capacities.map(row => [key(row.agency_id, row.service), row]));
  const planned: Plan = { agencies, services: [], capacities: [], report: undefined as never };
  for (const { id: agency_id, foreign } of agencies) {
    for (const it of foreign.services) {
      const { service } = it;
      const before = offered.get(key(agency_id, service));
      planned.services.push({ agency_id, service, foreign: it, before, ...planService(it, before, jurisdiction, findings, now) });
      if (!it.capacity) continue;
      const places = counted.get(key(agency_id, service));
      const change = before?.location_protected
        ? keepPlaces(it.pointer, findings)
        : planCapacity(it.capacity, places, it.pointer, findings, now);
      planned.capacities.push({ agency_id, service, foreign: it.capacity, is_new: !before, change });
    }
  }
  findings.raise();
  const told = new Set(planned.services.map(({ agency_id, service }) => key(agency_id, service)));
  const not_mentioned = entered.services.filter(row => !told.has(key(row.agency_id, row.service)));
  planned.report = {
    id: null,
    dry_run: true,
    source,
    jurisdiction,
    agencies: count(
      agencies.map(({ foreign, before }) =>
        !before ? 'created' : isSame(changeOfAgency(foreign, before)) ? 'unchanged' : 'updated',
      ),
    ),
    services: count(planned.services.map(({ change }) => change)),
    capacities: count(planned.capacities.map(({ change }) => change)),
    not_mentioned: {
      total: not_mentioned.length,
      data: not_mentioned.slice(0, MOST_TOLD).map(({ agency_id, service }) => ({ agency_id, service })),
    },
    ...findings.told(),
  };
  return planned;
}

/** A number by which somebody is on duty is entered where the agency has none; it knows best itself. */
const changeOfAgency = (
  { name, duty_contact }: ForeignAgency,
  before: AgencyRow,
): Partial<Pick<AgencyRow, 'name' | 'duty_contact'>> => ({
  ...(name === before.name ? {} : { name }),
  ...(duty_contact && before.duty_contact === null ? { duty_contact } : {}),
});

const isSame = (change: object): boolean => Object.keys(change).length === 0;

const OLDER = 'is not known to have been assured since the agency itself last said what holds: that stays';
const SUSPENDED = 'the agency itself has suspended it, and goes on when it says so: that stays';
const PROTECTED = 'where a protected place lies, and how many places it has, is said by its agency alone';

/**
 * Whether a directory may change what is known: what an agency said itself only by what was assured since then, what an import said
 * also where nothing says when it was assured. What will be assured was not.
 */
const mayChange = (said_at: Date | null, before: { imported: boolean; assured_at: Date }, now: Date): boolean =>
  said_at === null ? before.imported : said_at >= before.assured_at && said_at <= now;

function planService(
  { said, assured_at, pointer }: ForeignService,
  before: ServiceRow | undefined,
  jurisdiction: string,
  findings: Findings,
  now: Date,
): { after: SaidOfService; change: Change } {
  if (!before) return { after: said, change: 'created' };
  const after = { ...said };
  if (before.status === 'suspended' && !before.imported && said.status === 'active') {
    findings.pass({ pointer, reason: SUSPENDED });
    Object.assign(after, { status: before.status, suspended_reason: before.suspended_reason });
  }
  if (before.location_protected && after.located_in !== undefined) {
    findings.pass({ pointer, reason: PROTECTED });
    delete after.located_in;
  }
  // Of its regions in other countries this directory says nothing.
  const elsewhere = before.regions.filter(region => !region.startsWith(jurisdiction.slice(0, 2)));
  if (after.regions && after.regions.length > 0) after.regions = [...elsewhere, ...after.regions];
  const is_same = Object.entries(after).every(([field, value]) => isAlike(before[field as keyof ServiceRow], value));
  if (is_same && (assured_at === null || assured_at <= before.assured_at || assured_at > now))
    return { after, change: 'unchanged' };
  if (!mayChange(assured_at, before, now)) {
    findings.pass({ pointer, reason: OLDER });
    return { after, change: 'unchanged' };
  }
  const min_age = after.min_age ?? before.min_age;
  const max_age = after.max_age ?? before.max_age;
  if (min_age !== null && max_age !== null && min_age > max_age)
    findings.report(pointer, 'has an age that contradicts what is known of the other');
  return { after, change: 'updated' };
}

/** In lists of codes the order says nothing. */
const isAlike = (a: unknown, b: unknown): boolean => isDeepStrictEqual(inOrder(a), inOrder(b));
const inOrder = (value: unknown): unknown =>
  Array.isArray(value) && value.every(one => typeof one === 'string') ? value.toSorted() : value;

function planCapacity(
  foreign: ForeignCapacity,
  before: CapacityRow | undefined,
  pointer: string,
  findings: Findings,
  now: Date,
): Change {
  if (!before) return 'created';
  const is_same = foreign.total === before.total && foreign.available === Math.max(0, availableOf(before));
  if (is_same) return 'unchanged';
  if (mayChange(foreign.updated_at, before, now)) return 'updated';
  findings.pass({ pointer, reason: `its places: ${OLDER}` });
  return 'unchanged';
}

/** Whatever the directory says of them. */
function keepPlaces(pointer: string, findings: Findings): Change {
  findings.pass({ pointer, reason: PROTECTED });
  return 'unchanged';
}

const count = (changes: readonly Change[]): Record<Change, number> => {
  const of = (change: Change) => changes.filter(one => one === change).length;
  return { created: of('created'), updated: of('updated'), unchanged: of('unchanged') };
};

/** So many rows go in one statement. */
const CHUNK = 500;

async function carryOut(tx: Tx, { source, jurisdiction }: ImportInput, plan: Plan, now: Date): Promise<void> {
  const made = { created_at: now, updated_at: now };
  const entered = plan.agencies
    .filter(({ before }) => !before)
    .map(({ id, foreign: { name, kind, duty_contact } }) => ({
      ...NEW_AGENCY,
      regions: [],
      languages: [],
      id,
      name,
      kind: kind!,
      duty_contact,
      jurisdictions: [jurisdiction],
      ...made,
    }));
  for (const some of chunks(entered)) await insertAgencies(tx, some);
  for (const { id, foreign, before } of plan.agencies) {
    const change = before ? changeOfAgency(foreign, before) : {};
    if (!isSame(change)) await saveAgency(tx, id, change, now);
  }
  const met = plan.agencies.filter(({ is_known }) => !is_known);
  for (const some of chunks(met))
    await insertKnown(
      tx,
      source,
      some.map(({ id, foreign }) => ({ agency_id: id, foreign_id: foreign.foreign_id })),
    );

  const assured = (at: Date | null): Date => (at !== null && at < now ? at : now);
  const fresh = plan.services
    .filter(({ change }) => change === 'created')
    .map(
      ({ agency_id, service, foreign, after }): NewService => ({
        ...NEW_SERVICE,
        ...after,
        agency_id,
        service,
        assured_at: assured(foreign.assured_at),
        imported: true,
        ...made,
      }),
    );
  for (const some of chunks(fresh)) await insertServices(tx, some);
  for (const { agency_id, service, foreign, before, after } of plan.services.filter(({ change }) => change === 'updated')) {
    const assured_at = assured(foreign.assured_at);
    await saveService(tx, { schedules: before!.schedules, ...after, agency_id, service, assured_at, imported: true }, now);
    if (after.location_protected && !before!.location_protected) {
      await asSystem(tx, 'router', tx => refreshProtection(tx, now, { agency_id, service }));
    }
  }
  refreshFollowOns(
    tx,
    plan.agencies.map(({ id }) => id),
    now,
  );
  await carryOutCapacities(tx, plan, assured, now);
}

async function carryOutCapacities(tx: Tx, plan: Plan, assured: (at: Date | null) => Date, now: Date): Promise<void> {
  const changed = plan.capacities.filter(({ change }) => change !== 'unchanged');
  const of_new = changed
    .filter(({ is_new }) => is_new)
    .map(({ agency_id, service, foreign: { total, available, updated_at } }) => {
      const held_elsewhere = total - available;
      return { agency_id, service, total, held_elsewhere, assured_at: assured(updated_at), imported: true };
    });
  for (const some of chunks(of_new)) await insertCapacities(tx, some);
  // Last, and in order, as everybody locks them.
  const known = changed.filter(({ is_new }) => !is_new).sort((a, b) => (a.agency_id < b.agency_id ? -1 : 1));
  for (const { agency_id, service, foreign } of known) {
    const { total, available, updated_at } = foreign;
    const before = await lockCapacity(tx, agency_id, service);
    const { held } = before ?? (await insertCapacity(tx, { agency_id, service, total, held_elsewhere: 0 }, now));
    const held_elsewhere = Math.max(0, total - available - held);
    const more = before && total - held_elsewhere > before.total - before.held_elsewhere;
    const assured_at = assured(updated_at);
    await saveCapacity(tx, {
      agency_id,
      service,
      total,
      held_elsewhere,
      assured_at,
      imported: true,
      ...(more ? { freed: before.freed + 1 } : {}),
    });
  }
}

const NEW_AGENCY = {
  competent_authority: false,
  first_responder: false,
  calendar_id: null,
  status: 'active',
  operating_mode: 'open',
} as const;

const NEW_SERVICE = {
  regions: [],
  sexes: [],
  min_age: null,
  max_age: null,
  accepts_dependants: true,
  languages: [],
  protection_statuses: [],
  intake_hours: null,
  location_protected: false,
} satisfies Partial<NewService>;

function* chunks<T>(all: readonly T[]): Iterable<T[]> {
  for (let i = 0; i < all.length; i += CHUNK) yield all.slice(i, i + CHUNK);
}
