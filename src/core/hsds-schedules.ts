import { text } from './hsds-fields.ts';
import type { HsdsRow, HsdsRows } from './hsds-tables.ts';
import { ATTRIBUTES, type Understanding } from './hsds-terms.ts';
import { checkSchedules, type Frequency, type Schedule } from './opening.ts';

/** As of a service that its agency itself puts into the directory. */
const MOST_SCHEDULES = 30;

/**
 * The hours of services, by the service's id. Where one of a service's schedules has no meaning here none of them is taken: hours
 * that are half known would exclude who could have come, and unknown ones exclude nobody.
 */
export function understandSchedules(
  rows: HsdsRows,
  attributesOf: (row: HsdsRow) => HsdsRow[],
  it: Understanding,
): Map<string, Schedule[]> {
  const places = new Map(rows.service_at_location.map(row => [text(row, 'id'), text(row, 'service_id')]));
  const found = new Map<string, (Schedule | null)[]>();
  for (const row of rows.schedule) {
    const service = text(row, 'service_id') || places.get(text(row, 'service_at_location_id'));
    // Of a location: nobody says that its services keep the same hours.
    if (!service) it.pass({ pointer: row.pointer, reason: 'are the hours of no service' });
    else {
      const all = found.get(service) ?? [];
      found.set(service, all);
      if (all.length === MOST_SCHEDULES) it.report(row.pointer, `is one more than the ${MOST_SCHEDULES} that a service may have`);
      if (all.length <= MOST_SCHEDULES) all.push(understandOne(row, attributesOf(row), it));
    }
  }
  return new Map(
    [...found].map(([service, all]) => [service, all.some(one => one === null) ? [] : (all as Schedule[])] as const),
  );
}

function understandOne(row: HsdsRow, attributes: readonly HsdsRow[], it: Understanding): Schedule | null {
  const opens = readingOf(text(row, 'opens_at'));
  const closes = readingOf(text(row, 'closes_at'));
  const missing = ['freq', 'opens_at', 'closes_at'].find(field => text(row, field) === '');
  const foreign = ['byweekno', 'byyearday'].find(field => text(row, field) !== '');
  const counts_weeks = text(row, 'freq') === 'WEEKLY' && Number(text(row, 'interval') || 1) > 1;
  if (missing || foreign || (counts_weeks && !['', 'MO'].includes(text(row, 'wkst')))) {
    const why = missing ? `says no ${missing}` : `${foreign ?? 'wkst'} is not known here`;
    it.pass({ pointer: row.pointer, reason: `${why}: the hours of the service count as unknown` });
    return null;
  }
  const zone = attributes.find(({ fields }) => fields.link_type === ATTRIBUTES.time_zone);
  const schedule: Schedule = {
    ...dateOf(row, 'valid_from'),
    ...dateOf(row, 'valid_to'),
    ...dateOf(row, 'dtstart'),
    timezone: zone ? text(zone, 'value') : (offsetOf(text(row, 'timezone')) ?? opens.zone ?? it.time_zone),
    freq: text(row, 'freq') as Frequency,
    ...numberOf(row, 'interval', 100, it),
    ...wordsOf(row, 'byday'),
    ...wordsOf(row, 'bymonthday'),
    ...dateOf(row, 'until'),
    ...numberOf(row, 'count', 1_000, it),
    opens_at: opens.time,
    closes_at: closes.time,
    ...(text(row, 'description') ? { description: text(row, 'description') } : {}),
  };
  if ((schedule.description ?? '').length > 500) it.report(`${row.pointer}/description`, 'is longer than 500 characters');
  if (!['WEEKLY', 'MONTHLY'].includes(schedule.freq)) return null;
  const faults = checkSchedules([schedule]);
  for (const { pointer, detail } of faults) it.report(`${row.pointer}${pointer.slice('/0'.length)}`, detail);
  return faults.length === 0 ? schedule : null;
}

/** `HH:MM`, perhaps with seconds, perhaps with the offset in which it is told. */
function readingOf(said: string): { time: string; zone: string | null } {
  const [, time, zone] = /^(\d\d:\d\d)(?::00(?:\.0+)?)?(Z|[+-]\d\d:?\d\d)?$/.exec(said) ?? [];
  if (!time) return { time: said, zone: null };
  return { time, zone: zone === undefined ? null : zone === 'Z' ? 'UTC' : `${zone.slice(0, 3)}:${zone.slice(-2)}` };
}

/** HSDS counts in hours from UTC; many write the name of a zone. */
function offsetOf(said: string): string | null {
  if (said === '') return null;
  const hours = Number(said);
  if (Number.isNaN(hours)) return said;
  const minutes = Math.round(Math.abs(hours) * 60);
  const two = (n: number) => String(n).padStart(2, '0');
  return `${hours < 0 ? '-' : '+'}${two(Math.floor(minutes / 60))}:${two(minutes % 60)}`;
}

type DateField = 'valid_from' | 'valid_to' | 'dtstart' | 'until';
const dateOf = (row: HsdsRow, field: DateField): Partial<Record<DateField, string>> =>
  text(row, field) === '' ? {} : { [field]: text(row, field).replace(/T.*$/, '') };

type WordField = 'byday' | 'bymonthday';
const wordsOf = (row: HsdsRow, field: WordField): Partial<Record<WordField, string>> =>
  text(row, field) === '' ? {} : { [field]: text(row, field) };

type NumberField = 'interval' | 'count';
function numberOf(row: HsdsRow, field: NumberField, most: number, it: Understanding): Partial<Record<NumberField, number>> {
  const said = text(row, field);
  if (said === '') return {};
  const number = Number(said);
  if (Number.isInteger(number) && number >= 1 && number <= most) return { [field]: number };
  it.report(`${row.pointer}/${field}`, `is not a whole number from 1 to ${most}`);
  return {};
}
