import { type AgencyKind, PROTECTION_STATUSES, type ProtectionStatus, SEXES, type Service, type Sex } from './codes.ts';
import { checkRows } from './hsds-check.ts';
import { bounded, instantOf, text, wholeNumber } from './hsds-fields.ts';
import { understandSchedules } from './hsds-schedules.ts';
import type { HsdsRow, HsdsRows, HsdsTable } from './hsds-tables.ts';
import { ATTRIBUTES, type Meaning, type Understanding } from './hsds-terms.ts';
import type { Schedule } from './opening.ts';
import { SPECIALITY_PATTERN } from './routing.ts';

/**
 * What a directory in HSDS 3 says, in our words. Pure. A row that contradicts itself or the others is broken, and nothing of the
 * directory is taken; what is sound and has no meaning here is told and passed over. Persons are never taken over, nor addresses:
 * of where something is only the region is kept.
 */

/** What an organisation says of itself; null: nothing. */
export interface ForeignAgency {
  foreign_id: string;
  pointer: string;
  name: string;
  kind: AgencyKind | null;
  duty_contact: string | null;
  services: ForeignService[];
}

export interface ForeignService {
  foreign_id: string;
  pointer: string;
  service: Service;
  /** What is missing here is not said, and stays as it is. */
  said: SaidOfService;
  /** When somebody last said that it is right; null: not said. */
  assured_at: Date | null;
  capacity: ForeignCapacity | null;
}

export interface SaidOfService {
  status: 'active' | 'suspended';
  suspended_reason: string | null;
  min_age?: number;
  max_age?: number;
  eligibility?: string;
  languages?: string[];
  /** Of the country of the jurisdiction; none: all of the agency's. */
  regions?: string[];
  schedules?: Schedule[];
  located_in?: string;
  specialities?: string[];
  sexes?: Sex[];
  protection_statuses?: ProtectionStatus[];
  accepts_dependants?: boolean;
  location_protected?: true;
}

export interface ForeignCapacity {
  total: number;
  available: number;
  updated_at: Date | null;
}

const OLDEST = 130;
const MOST_PLACES = 100_000;

/** Faults of the rows go to `report`; where there were any, what is returned is of no use. */
export function understand(rows: HsdsRows, it: Understanding): ForeignAgency[] {
  checkRows(rows, it);
  const terms = byId(rows.taxonomy_term);
  const attributes = group(rows.attribute, row => `${row.fields.link_entity} ${text(row, 'link_id')}`);
  const of = (table: HsdsTable) => (row: HsdsRow) => attributes.get(`${table} ${text(row, 'id')}`) ?? [];
  const termsOf = (attribute: HsdsRow): string[] => {
    const term = terms.get(text(attribute, 'taxonomy_term_id'));
    return [text(attribute, 'value'), ...(term ? [text(term, 'code'), text(term, 'name')] : [])].filter(Boolean);
  };
  const about: About = {
    it,
    rows,
    attributesOf: of,
    termsOf,
    areas: group(rows.service_area, row => text(row, 'service_id')),
    languages: group(rows.language, row => text(row, 'service_id')),
    capacities: group(rows.service_capacity, row => text(row, 'service_id')),
    regions: regionsOfServices(rows, it),
    schedules: understandSchedules(rows, of('schedule'), it),
  };
  const services = group(rows.service, row => text(row, 'organization_id'));
  const phones = group(
    rows.phone.filter(({ fields }) => fields.contact_id === undefined),
    row => text(row, 'organization_id'),
  );
  return rows.organization.map(row => {
    const offered = (services.get(text(row, 'id')) ?? []).flatMap(service => understandService(service, about) ?? []);
    for (const [i, { service, pointer }] of offered.entries()) {
      if (offered.slice(0, i).some(other => other.service === service))
        it.report(pointer, `is a second ${service} of the organization`);
    }
    return {
      foreign_id: text(row, 'id'),
      pointer: row.pointer,
      name: text(row, 'name'),
      kind: oneOf(of('organization')(row), termsOf, it.kindOf, it, 'kind of agency'),
      duty_contact: contactOf(phones.get(text(row, 'id')) ?? []),
      services: offered,
    };
  });
}

interface About {
  it: Understanding;
  rows: HsdsRows;
  attributesOf: (table: HsdsTable) => (row: HsdsRow) => HsdsRow[];
  termsOf: (attribute: HsdsRow) => string[];
  areas: Map<string, HsdsRow[]>;
  languages: Map<string, HsdsRow[]>;
  capacities: Map<string, HsdsRow[]>;
  regions: Map<string, Set<string>>;
  schedules: Map<string, Schedule[]>;
}

function understandService(row: HsdsRow, about: About): ForeignService | null {
  const { it } = about;
  const all = about.attributesOf('service')(row);
  const ours = new Map(Object.values(ATTRIBUTES).map(type => [type, all.filter(({ fields }) => fields.link_type === type)]));
  const others = all.filter(({ fields }) => !ours.has(fields.link_type as never));
  const id = text(row, 'id');
  const min_age = ageOf(row, 'minimum_age', it);
  const max_age = ageOf(row, 'maximum_age', it);
  if (min_age !== null && max_age !== null && min_age > max_age) it.report(`${row.pointer}/minimum_age`, 'is above maximum_age');
  const status = STATUSES.get(text(row, 'status'));
  if (!status) it.report(`${row.pointer}/status`, `is not ${[...STATUSES.keys()].join(', ')}`);
  const eligibility = bounded(row, 'eligibility_description', 2_000, it.report);
  const alert = bounded(row, 'alert', 500, it.report);
  const assured_at = instantOf(row, 'assured_date', it.report);
  const capacity = capacityOf(about.capacities.get(id) ?? [], it);
  const said: SaidOfService = {
    status: status ?? 'active',
    suspended_reason: status === 'suspended' ? (alert ?? reasonOf(text(row, 'status'))) : null,
    ...(min_age === null ? {} : { min_age }),
    ...(max_age === null ? {} : { max_age }),
    ...(eligibility === null ? {} : { eligibility }),
    ...languagesOf(about.languages.get(id) ?? [], it),
    ...areasOf(about.areas.get(id) ?? [], it),
    ...saidByAttributes(ours as never, it),
  };
  const schedules = about.schedules.get(id);
  if (schedules) said.schedules = schedules;
  const regions = [...(about.regions.get(id) ?? [])];
  if (regions.length === 1) said.located_in = regions[0]!;
  else if (regions.length > 1) it.pass({ pointer: row.pointer, reason: 'is in more than one region' });
  const service = oneOf(others, about.termsOf, it.serviceOf, it, 'service');
  if (!service) {
    it.pass({ pointer: row.pointer, reason: 'no term says which one of our services it is' });
    return null;
  }
  return { foreign_id: id, pointer: row.pointer, service, said, assured_at, capacity };
}

const STATUSES: ReadonlyMap<string, 'active' | 'suspended'> = new Map([
  ['active', 'active'],
  ['inactive', 'suspended'],
  ['defunct', 'suspended'],
  ['temporarily closed', 'suspended'],
]);

/** The one word that says no more than that it is suspended. */
export const SUSPENDED = 'temporarily closed';
const reasonOf = (status: string): string | null => (status === SUSPENDED ? null : status);

type OurAttributes = Map<keyof typeof ATTRIBUTES, HsdsRow[]>;

function saidByAttributes(ours: OurAttributes, it: Understanding): Partial<SaidOfService> {
  const codes = <Code extends string>(type: keyof typeof ATTRIBUTES, knows: (code: string) => boolean): Code[] | undefined => {
    const rows = ours.get(type)!;
    if (rows.length === 0) return undefined;
    const found = rows.map(row => text(row, 'value'));
    for (const [i, code] of found.entries()) if (!knows(code)) it.report(`${rows[i]!.pointer}/value`, `is none of ${type}`);
    return [...new Set(found)] as Code[];
  };
  const specialities = codes<string>('specialities', code => new RegExp(SPECIALITY_PATTERN).test(code));
  const sexes = codes<Sex>('sexes', code => SEXES.includes(code as Sex));
  const statuses = codes<ProtectionStatus>('protection_statuses', code => PROTECTION_STATUSES.includes(code as ProtectionStatus));
  const dependants = codes<string>('accepts_dependants', isBoolean);
  const hidden = codes<string>('location_protected', isBoolean);
  return {
    ...(specialities ? { specialities } : {}),
    ...(sexes ? { sexes } : {}),
    ...(statuses ? { protection_statuses: statuses } : {}),
    ...(dependants ? { accepts_dependants: !dependants.includes('false') } : {}),
    // Nobody else may say that a place need not be hidden.
    ...(hidden?.includes('true') ? { location_protected: true } : {}),
  };
}

const isBoolean = (value: string): boolean => value === 'true' || value === 'false';

/** The one code that the attributes name; more than one say nothing. */
function oneOf<Code extends string>(
  attributes: readonly HsdsRow[],
  termsOf: (row: HsdsRow) => string[],
  meaningOf: Meaning<Code>,
  it: Understanding,
  what: string,
): Code | null {
  const found = new Set<Code>();
  for (const attribute of attributes) {
    const terms = termsOf(attribute);
    const code = terms.map(meaningOf).find(code => code !== undefined);
    if (code) found.add(code);
    else
      it.pass({
        pointer: attribute.pointer,
        ...(terms[0] ? { value: terms[0].slice(0, 100) } : {}),
        reason: 'is a term that is not known here',
      });
  }
  if (found.size > 1) it.pass({ pointer: attributes[0]!.pointer, reason: `the terms name more than one ${what}` });
  return found.size === 1 ? [...found][0]! : null;
}

function languagesOf(rows: readonly HsdsRow[], it: Understanding): Pick<SaidOfService, 'languages'> {
  const codes = rows.flatMap(row => {
    const code = text(row, 'code');
    if (/^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$/.test(code) && code.length <= 35) return [code];
    if (code !== '') it.report(`${row.pointer}/code`, 'is not the code of a language');
    else it.pass({ pointer: row.pointer, value: text(row, 'name').slice(0, 100), reason: 'is a language without its code' });
    return [];
  });
  return codes.length > 0 ? { languages: [...new Set(codes)] } : {};
}

/** Who names the jurisdiction as a whole is limited to no region. */
function areasOf(rows: readonly HsdsRow[], it: Understanding): Pick<SaidOfService, 'regions'> {
  const regions = new Set<string>();
  for (const row of rows) {
    const name = text(row, 'name');
    if (name === it.jurisdiction) return { regions: [] };
    if (!REGION.test(name)) it.pass({ pointer: row.pointer, value: name.slice(0, 100), reason: 'is not an ISO 3166-2 code' });
    else if (isWithin(name, it)) regions.add(name);
    else it.report(`${row.pointer}/name`, 'lies outside the jurisdiction');
  }
  return regions.size > 0 ? { regions: [...regions] } : {};
}

const REGION = /^[A-Z]{2}-[A-Z0-9]{1,3}$/;
const isWithin = (region: string, { jurisdiction }: Understanding): boolean => region.slice(0, 2) === jurisdiction.slice(0, 2);

/** In which regions the locations of a service lie, by its id. */
function regionsOfServices(rows: HsdsRows, it: Understanding): Map<string, Set<string>> {
  const at_location = new Map<string, Set<string>>();
  for (const address of rows.address) {
    const region = regionOf(address, it);
    const location = text(address, 'location_id');
    if (region) at_location.set(location, (at_location.get(location) ?? new Set()).add(region));
  }
  const found = new Map<string, Set<string>>();
  for (const at of rows.service_at_location) {
    const service = text(at, 'service_id');
    const known = found.get(service) ?? new Set();
    for (const region of at_location.get(text(at, 'location_id')) ?? []) found.set(service, known.add(region));
  }
  return found;
}

function regionOf(address: HsdsRow, it: Understanding): string | null {
  const said = text(address, 'state_province') || text(address, 'region');
  const region = REGION.test(said) ? said : `${text(address, 'country')}-${said}`;
  if (!REGION.test(region)) {
    it.pass({ pointer: address.pointer, reason: 'its region is not told as an ISO 3166-2 code' });
    return null;
  }
  if (isWithin(region, it)) return region;
  it.report(`${address.pointer}/state_province`, 'lies outside the jurisdiction');
  return null;
}

function capacityOf(rows: readonly HsdsRow[], it: Understanding): ForeignCapacity | null {
  const found = rows.map(row => {
    const available = wholeNumber(row, 'available', MOST_PLACES, it.report);
    const total = wholeNumber(row, 'maximum', MOST_PLACES, it.report) ?? available;
    if (available === null) it.report(`${row.pointer}/available`, 'is missing');
    else if (available > total!) it.report(`${row.pointer}/available`, 'is above maximum');
    return { available: available ?? 0, total: total ?? 0, updated_at: instantOf(row, 'updated', it.report) };
  });
  if (found.length > 1) it.pass({ pointer: rows[0]!.pointer, reason: 'counts places in more than one unit' });
  return found.length === 1 ? found[0]! : null;
}

/** A number that is no person's: of the organisation itself. */
const contactOf = ([phone]: readonly HsdsRow[]): string | null => {
  if (!phone) return null;
  const extension = text(phone, 'extension');
  return `${text(phone, 'number')}${extension ? ` ext. ${extension}` : ''}`.slice(0, 200) || null;
};

const ageOf = (row: HsdsRow, field: string, { report }: Understanding): number | null => wholeNumber(row, field, OLDEST, report);

const byId = (rows: readonly HsdsRow[]): Map<string, HsdsRow> => new Map(rows.map(row => [text(row, 'id'), row]));
const group = (rows: readonly HsdsRow[], keyOf: (row: HsdsRow) => string): Map<string, HsdsRow[]> => Map.groupBy(rows, keyOf);
