import { bounded, text } from './hsds-fields.ts';
import { HSDS_TABLES, type HsdsRow, type HsdsRows, type HsdsTable, type LeaveOut, type ReportRow } from './hsds-tables.ts';

/** Whether a directory in HSDS is whole: ids, references, what every row must say. Pure. */

interface Checking {
  report: ReportRow;
  leaveOut: LeaveOut;
}

/** The fields of each table that are looked at; the others are left out, and counted. */
const USED: Readonly<Record<HsdsTable, readonly string[]>> = {
  organization: ['id', 'name', 'parent_organization_id'],
  service: [
    'id',
    'organization_id',
    'name',
    'status',
    'alert',
    'eligibility_description',
    'minimum_age',
    'maximum_age',
    'assured_date',
  ],
  location: ['id', 'organization_id', 'location_type'],
  service_at_location: ['id', 'service_id', 'location_id'],
  address: ['id', 'location_id', 'state_province', 'region', 'country'],
  schedule: [
    'id',
    'service_id',
    'service_at_location_id',
    'valid_from',
    'valid_to',
    'dtstart',
    'timezone',
    'until',
    'count',
    'wkst',
    'freq',
    'interval',
    'byday',
    'byweekno',
    'bymonthday',
    'byyearday',
    'description',
    'opens_at',
    'closes_at',
  ],
  language: ['id', 'service_id', 'code', 'name'],
  service_area: ['id', 'service_id', 'name'],
  service_capacity: ['id', 'service_id', 'unit_id', 'available', 'maximum', 'updated'],
  unit: ['id', 'name'],
  taxonomy_term: ['id', 'code', 'name', 'parent_id'],
  attribute: ['id', 'link_id', 'link_entity', 'link_type', 'taxonomy_term_id', 'value'],
  phone: ['id', 'organization_id', 'service_id', 'number', 'extension'],
  contact: [],
};

/** Tables of which every row has an id: others refer to it. */
const WITH_ID: readonly HsdsTable[] = ['organization', 'service', 'location', 'service_at_location', 'taxonomy_term', 'unit'];

const LONGEST_ID = 200;
/** Every row is what its table asks for, and whatever it refers to is there. What is not looked at is left out, and counted. */
export function checkRows(rows: HsdsRows, it: Checking): void {
  const ids = Object.fromEntries(
    (Object.keys(rows) as HsdsTable[]).map(table => [table, new Set(rows[table].map(row => text(row, 'id')))]),
  ) as Record<HsdsTable, Set<string>>;
  for (const [table, used] of Object.entries(USED) as [HsdsTable, readonly string[]][]) {
    for (const row of rows[table]) {
      if (table === 'contact') it.leaveOut(table);
      else for (const field of Object.keys(row.fields)) if (!used.includes(field)) it.leaveOut(table, field);
      checkIds(table, row, ids, it);
    }
  }
  for (const table of ['organization', 'service'] as const)
    for (const row of rows[table]) bounded(row, 'name', 200, it.report, true);
  for (const row of rows.service) if (row.fields.organization_id === undefined) it.report(row.pointer, 'has no organization_id');
  for (const row of rows.schedule) {
    if (row.fields.freq !== undefined && !['WEEKLY', 'MONTHLY'].includes(text(row, 'freq')))
      it.report(`${row.pointer}/freq`, 'is not WEEKLY or MONTHLY');
  }
  for (const row of rows.attribute) {
    if (row.fields.link_id === undefined) it.report(row.pointer, 'has no link_id');
  }
  checkCircles(rows.organization, 'parent_organization_id', it);
  checkCircles(rows.taxonomy_term, 'parent_id', it);
}

/** Whatever names another row names one that is there. */
function checkIds(table: HsdsTable, row: HsdsRow, ids: Record<HsdsTable, Set<string>>, it: Checking): void {
  const id = text(row, 'id');
  if (id.length > LONGEST_ID) it.report(`${row.pointer}/id`, `is longer than ${LONGEST_ID} characters`);
  if (id === '' && WITH_ID.includes(table)) it.report(row.pointer, 'has no id');
  for (const field of Object.keys(row.fields)) {
    const other = REFERENCES.get(field) ?? (field === 'parent_id' && table === 'taxonomy_term' ? 'taxonomy_term' : undefined);
    if (other && !ids[other].has(text(row, field))) it.report(`${row.pointer}/${field}`, `is the id of no ${other}`);
  }
  if (table !== 'attribute') return;
  const entity = text(row, 'link_entity') as HsdsTable;
  if (row.fields.link_id !== undefined && Object.hasOwn(HSDS_TABLES, entity) && !ids[entity].has(text(row, 'link_id')))
    it.report(`${row.pointer}/link_id`, `is the id of no ${entity}`);
}

const REFERENCES: ReadonlyMap<string, HsdsTable> = new Map([
  ...(Object.keys(HSDS_TABLES) as HsdsTable[]).map(table => [`${table}_id`, table] as const),
  ['parent_organization_id', 'organization' as const],
]);

function checkCircles(rows: readonly HsdsRow[], parent: string, it: Checking): void {
  const parents = new Map(rows.map(row => [text(row, 'id'), text(row, parent)]));
  const sound = new Set<string>(['']);
  const circular = new Set<string>();
  // Each is gone through once, whoever leads to it.
  for (const row of rows) {
    const way = new Set<string>();
    let at = text(row, 'id');
    while (parents.has(at) && !sound.has(at) && !circular.has(at) && !way.has(at)) {
      way.add(at);
      at = parents.get(at)!;
    }
    const is_circular = circular.has(at) || way.has(at);
    for (const id of way) (is_circular ? circular : sound).add(id);
    if (is_circular) it.report(`${row.pointer}/${parent}`, 'leads back to itself');
  }
}
