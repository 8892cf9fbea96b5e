import { parseCsv } from './csv.ts';

/**
 * A directory in the Human Services Data Specification (HSDS 3), in whichever of its forms it comes: objects within one another,
 * as its API sends them; flat lists by name; or a Data Package with inline tables. All become the same rows. Pure.
 */

export const HSDS_TABLES = {
  organization: 'organizations',
  service: 'services',
  location: 'locations',
  service_at_location: 'service_at_locations',
  address: 'addresses',
  schedule: 'schedules',
  language: 'languages',
  service_area: 'service_areas',
  service_capacity: 'service_capacities',
  unit: 'units',
  taxonomy_term: 'taxonomy_terms',
  attribute: 'attributes',
  phone: 'phones',
  contact: 'contacts',
} as const;
export type HsdsTable = keyof typeof HSDS_TABLES;

type Scalar = string | number | boolean;

export interface HsdsRow {
  /** Into the document; a row of CSV by its number behind `data`, from 0. */
  pointer: string;
  /** Without a prototype: others choose the names. */
  fields: Record<string, Scalar>;
}

export type HsdsRows = Readonly<Record<HsdsTable, HsdsRow[]>>;

/** A row that cannot be taken as it is. */
export type ReportRow = (pointer: string, detail: string) => void;

/** Of what the specification knows and there is no place for here. */
export type LeaveOut = (table: string, field?: string) => void;

const NAMES: ReadonlyMap<string, HsdsTable> = new Map(
  Object.entries(HSDS_TABLES).flatMap(([one, many]) => [one, many].map(name => [name, one as HsdsTable] as const)),
).set('capacities', 'service_capacity');

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Every row of the document, by table. */
export function readTables(document: Record<string, unknown>, report: ReportRow, leaveOut: LeaveOut): HsdsRows {
  const reader = new Reader(report, leaveOut);
  if (Array.isArray(document.resources)) reader.readPackage(document.resources);
  else for (const [name, rows] of Object.entries(document)) reader.readList(name, rows, `/${step(name)}`);
  return reader.rows;
}

class Reader {
  readonly rows = Object.fromEntries(Object.keys(HSDS_TABLES).map(table => [table, []])) as unknown as Record<
    HsdsTable,
    HsdsRow[]
  >;
  readonly #report: ReportRow;
  readonly #leaveOut: LeaveOut;
  readonly #by_id = new Map<string, { fields: Record<string, Scalar>; is_mention: boolean }>();

  constructor(report: ReportRow, leaveOut: LeaveOut) {
    this.#report = report;
    this.#leaveOut = leaveOut;
  }

  readPackage(resources: readonly unknown[]): void {
    for (const [i, resource] of resources.entries()) {
      const at = `/resources/${i}`;
      if (!isObject(resource) || typeof resource.name !== 'string') {
        this.#report(at, 'is not a resource with a name');
        continue;
      }
      const { name, data, dialect } = resource;
      if (data === undefined) this.#report(`${at}/data`, 'is missing: only what is inline can be read');
      else if (typeof data === 'string') this.readList(name, this.#parse(data, dialect, `${at}/data`), `${at}/data`);
      else this.readList(name, data, `${at}/data`);
    }
  }

  readList(name: string, rows: unknown, at: string): void {
    const table = NAMES.get(name.replace(/\.csv$/, ''));
    if (!table) {
      if (!Array.isArray(rows)) this.#leaveOut(name);
      else for (const _ of rows) this.#leaveOut(name);
    } else if (!Array.isArray(rows)) this.#report(at, 'is not a list of rows');
    else for (const [i, row] of rows.entries()) this.#readRow(table, row, `${at}/${i}`, {});
  }

  #parse(text: string, dialect: unknown, at: string): object[] {
    const delimiter = isObject(dialect) && typeof dialect.delimiter === 'string' ? dialect.delimiter : ',';
    if (delimiter.length !== 1) {
      this.#report(at, 'has a delimiter that is not one character');
      return [];
    }
    try {
      const [names = [], ...rows] = parseCsv(text, delimiter);
      for (const [i, cells] of rows.entries()) {
        if (cells.length !== names.length) this.#report(`${at}/${i}`, `has ${cells.length} cells under ${names.length} names`);
      }
      return rows.map(cells => Object.fromEntries(names.map((name, i) => [name.trim(), cells[i] ?? ''])));
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      this.#report(at, `cannot be read: ${error.message}`);
      return [];
    }
  }

  /** @param link names what holds the row, as the same row in a flat list would */
  #readRow(table: HsdsTable, value: unknown, pointer: string, link: Record<string, Scalar>): void {
    if (!isObject(value)) {
      this.#report(pointer, 'is not an object');
      return;
    }
    const fields: Record<string, Scalar> = Object.create(null);
    for (const [name, member] of Object.entries(value)) {
      if (member === null || member === '') continue;
      const at = `${pointer}/${step(name)}`;
      const child = NAMES.get(name);
      if (typeof member !== 'object') fields[name] = member as Scalar;
      else if (!child) this.#leaveOut(table, name);
      else if (Array.isArray(member)) {
        for (const [i, row] of member.entries()) this.#readRow(child, row, `${at}/${i}`, linkTo(table, value.id, child));
      } else {
        this.#readRow(child, member, at, {});
        const id = (member as { id?: unknown }).id;
        if (isScalar(id)) fields[`${child}_id`] ??= id;
      }
    }
    for (const [name, id] of Object.entries(link)) {
      if (fields[name] !== undefined && fields[name] !== id) this.#report(`${pointer}/${name}`, 'is not what holds it');
      fields[name] ??= id;
    }
    if (this.#isNew(table, fields, pointer)) this.rows[table].push({ pointer, fields });
  }

  /** A thing may be told again wherever it is mentioned, if nothing in it contradicts. */
  #isNew(table: HsdsTable, fields: Record<string, Scalar>, pointer: string): boolean {
    if (fields.id === undefined) return true;
    const key = `${table} ${String(fields.id)}`;
    const is_mention = !/\/\d+$/.test(pointer);
    const before = this.#by_id.get(key);
    if (!before) {
      this.#by_id.set(key, { fields, is_mention });
      return true;
    }
    const agrees = Object.entries(fields).every(([name, value]) => (before.fields[name] ?? value) === value);
    if (!agrees || !(is_mention || before.is_mention)) this.#report(`${pointer}/id`, `is the id of another ${table}`);
    else Object.assign(before.fields, fields);
    before.is_mention &&= is_mention;
    return false;
  }
}

const isScalar = (value: unknown): value is Scalar => ['string', 'number', 'boolean'].includes(typeof value);

const linkTo = (table: HsdsTable, id: unknown, child: HsdsTable): Record<string, Scalar> =>
  !isScalar(id) ? {} : child === 'attribute' ? { link_id: id, link_entity: table } : { [`${table}_id`]: id };

const step = (name: string): string => name.replaceAll('~', '~0').replaceAll('/', '~1');
