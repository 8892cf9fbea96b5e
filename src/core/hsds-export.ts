import type { AgencyKind, ProtectionStatus, Service, Sex } from './codes.ts';
import { SUSPENDED } from './hsds.ts';
import { HSDS_TABLES, type HsdsTable } from './hsds-tables.ts';
import { ATTRIBUTES } from './hsds-terms.ts';
import { uuidOf, uuidOfName } from './ids.ts';
import type { Schedule } from './opening.ts';

/** What the directory tells others, as rows of HSDS 3.1, or as objects within one another. Pure. */

export interface ToldAgency {
  id: string;
  name: string;
  kind: AgencyKind;
  /** Null: there is none, or it is not told. */
  duty_contact: string | null;
  services: ToldService[];
}

export interface ToldService {
  service: Service;
  status: 'active' | 'suspended';
  suspended_reason: string | null;
  min_age: number | null;
  max_age: number | null;
  eligibility: string | null;
  languages: readonly string[];
  regions: readonly string[];
  schedules: readonly Schedule[];
  /** Null: not known, or not told. */
  located_in: string | null;
  specialities: readonly string[];
  sexes: readonly Sex[];
  protection_statuses: readonly ProtectionStatus[];
  accepts_dependants: boolean;
  location_protected: boolean;
  assured_at: Date;
  /** Null: unlimited, or not told. */
  capacity: { total: number; available: number; assured_at: Date } | null;
}

type Row = { id: string } & Record<string, string | number>;
export type HsdsTables = Record<HsdsTable, Row[]>;

/** As flat tables. @param now of the offsets from UTC that HSDS tells in place of time zones */
export function toTables(agencies: readonly ToldAgency[], now: Date): HsdsTables {
  const tables = Object.fromEntries(Object.keys(HSDS_TABLES).map(table => [table, [] as Row[]])) as HsdsTables;
  const add = (table: HsdsTable, row: Record<string, string | number | null>, name: string): string => {
    const id = typeof row.id === 'string' ? row.id : uuidOfName(name);
    const said = Object.entries(row).filter(([, value]) => value !== null);
    tables[table].push({ ...(Object.fromEntries(said) as Row), id });
    return id;
  };
  const terms = new Map<string, string>();
  const termOf = (taxonomy: string, code: string): string => {
    const name = `taxonomy_term ${taxonomy} ${code}`;
    const known = terms.get(name) ?? add('taxonomy_term', { code, name: code, description: inWords(code), taxonomy }, name);
    terms.set(name, known);
    return known;
  };
  const describe = (entity: HsdsTable, id: string, link_type: string, value: string | null, code = value!): void => {
    const taxonomy_term_id = termOf(link_type, code);
    add(
      'attribute',
      { link_id: id, link_entity: entity, link_type, taxonomy_term_id, value },
      `attribute ${id} ${link_type} ${code}`,
    );
  };
  for (const agency of agencies) {
    const organization_id = uuidOf(agency.id);
    add('organization', { id: organization_id, name: agency.name, description: inWords(agency.kind) }, '');
    describe('organization', organization_id, 'kind', null, agency.kind);
    if (agency.duty_contact) add('phone', { organization_id, number: agency.duty_contact }, `phone ${agency.id}`);
    for (const it of agency.services) addService(it, `${agency.id} ${it.service}`, organization_id, agency.name);
  }
  return tables;

  function addService(it: ToldService, name: string, organization_id: string, agency: string): void {
    const service_id = add(
      'service',
      {
        organization_id,
        name: `${agency}: ${inWords(it.service)}`.slice(0, 200),
        status: it.status === 'active' ? 'active' : SUSPENDED,
        alert: it.suspended_reason,
        eligibility_description: it.eligibility,
        minimum_age: it.min_age,
        maximum_age: it.max_age,
        assured_date: it.assured_at.toISOString().slice(0, 10),
      },
      `service ${name}`,
    );
    describe('service', service_id, 'service', null, it.service);
    const lists = { specialities: it.specialities, sexes: it.sexes, protection_statuses: it.protection_statuses };
    for (const [type, codes] of Object.entries(lists)) for (const code of codes) describe('service', service_id, type, code);
    if (!it.accepts_dependants) describe('service', service_id, ATTRIBUTES.accepts_dependants, 'false');
    if (it.location_protected) describe('service', service_id, ATTRIBUTES.location_protected, 'true');
    for (const code of it.languages) add('language', { service_id, code }, `language ${name} ${code}`);
    for (const region of it.regions) add('service_area', { service_id, name: region }, `service_area ${name} ${region}`);
    for (const [i, schedule] of it.schedules.entries()) {
      const { timezone, ...rule } = schedule;
      const row = { service_id, timezone: hoursFromUtc(timezone, now), ...rule };
      describe('schedule', add('schedule', row, `schedule ${name} ${i}`), ATTRIBUTES.time_zone, timezone);
    }
    if (it.located_in) addPlace(it.located_in, name, service_id, organization_id);
    if (it.capacity) {
      const unit_id = placesUnit();
      const { total, available, assured_at } = it.capacity;
      const row = { service_id, unit_id, available: Math.max(0, available), maximum: total, updated: assured_at.toISOString() };
      add('service_capacity', row, `service_capacity ${name}`);
    }
  }

  /** HSDS wants an address. Nothing of it is known here but the region. */
  function addPlace(region: string, name: string, service_id: string, organization_id: string): void {
    const location_id = add('location', { organization_id, location_type: 'physical' }, `location ${name}`);
    add('service_at_location', { service_id, location_id }, `service_at_location ${name}`);
    const unknown = { address_1: '', city: '', postal_code: '' };
    const address = { location_id, ...unknown, state_province: region, country: region.slice(0, 2), address_type: 'physical' };
    add('address', address, `address ${name}`);
  }

  function placesUnit(): string {
    return tables.unit[0]?.id ?? add('unit', { name: 'places' }, 'unit places');
  }
}

/** Within which other a row is told; an attribute within whatever it describes. */
const HELD_BY: Readonly<Partial<Record<HsdsTable, HsdsTable>>> = {
  service: 'organization',
  service_at_location: 'service',
  address: 'location',
  schedule: 'service',
  language: 'service',
  service_area: 'service',
  service_capacity: 'service',
  phone: 'organization',
};
/** What is told where these refer to it. */
const MENTIONS: Readonly<Partial<Record<HsdsTable, HsdsTable>>> = {
  attribute: 'taxonomy_term',
  service_at_location: 'location',
  service_capacity: 'unit',
};

type Nested = { [field: string]: string | number | Nested | Nested[] };

/** The same as organizations with everything within one another, as the API of HSDS sends them. */
export function toNested(tables: HsdsTables): { organizations: Nested[] } {
  const all = Object.entries(tables) as [HsdsTable, Row[]][];
  const objects = new Map(all.flatMap(([table, rows]) => rows.map(row => [`${table} ${row.id}`, { ...row } as Nested] as const)));
  for (const [table, rows] of all) {
    for (const row of rows) {
      const object = objects.get(`${table} ${row.id}`)!;
      const other = MENTIONS[table];
      if (other && row[`${other}_id`] !== undefined) {
        object[other] = objects.get(`${other} ${row[`${other}_id`]}`)!;
        delete object[`${other}_id`];
      }
      const holder = table === 'attribute' ? (row.link_entity as HsdsTable) : HELD_BY[table];
      if (!holder) continue;
      const held_by = objects.get(`${holder} ${table === 'attribute' ? row.link_id : row[`${holder}_id`]}`)!;
      const name = table === 'service_capacity' ? 'capacities' : HSDS_TABLES[table];
      held_by[name] = [...((held_by[name] as Nested[] | undefined) ?? []), object];
    }
  }
  return { organizations: tables.organization.map(({ id }) => objects.get(`organization ${id}`)!) };
}

export const HSDS_VERSION = '3.1';

/** The same as a Data Package with its rows inline. */
export const toDataPackage = (tables: HsdsTables, jurisdiction: string) => ({
  name: `directory-${jurisdiction.toLowerCase()}`,
  title: 'Directory of a national referral mechanism',
  profile: 'data-package',
  version: HSDS_VERSION,
  resources: Object.entries(tables)
    .filter(([, rows]) => rows.length > 0)
    .map(([name, data]) => ({ name, profile: 'data-resource', data })),
});

const hoursFromUtc = (zone: string, now: Date): number =>
  Temporal.Instant.fromEpochMilliseconds(now.getTime()).toZonedDateTimeISO(zone).offsetNanoseconds / 3_600e9;

const inWords = (code: string): string => code.replaceAll('_', ' ');
