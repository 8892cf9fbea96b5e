import type { HsdsRow, ReportRow } from './hsds-tables.ts';

/** What the fields of a row in HSDS say: in JSON as what they are, in CSV as text. Pure. */

/** What a field says, in words; empty where it says nothing. */
export const text = (row: HsdsRow, field: string): string => String(row.fields[field] ?? '').trim();

/** Text of at most so many characters; null: it says nothing. */
export function bounded(row: HsdsRow, field: string, most: number, report: ReportRow, required = false): string | null {
  const value = text(row, field);
  if (typeof (row.fields[field] ?? '') !== 'string') report(`${row.pointer}/${field}`, 'is not text');
  else if (value === '' && required) report(row.pointer, `has no ${field}`);
  else if (value.length > most) report(`${row.pointer}/${field}`, `is longer than ${most} characters`);
  return value || null;
}

export function wholeNumber(row: HsdsRow, field: string, most: number, report: ReportRow): number | null {
  const value = text(row, field);
  if (value === '') return null;
  if (/^\d{1,6}(\.0+)?$/.test(value) && Number(value) <= most) return Number(value);
  report(`${row.pointer}/${field}`, `is not a whole number from 0 to ${most}`);
  return null;
}

export function instantOf(row: HsdsRow, field: string, report: ReportRow): Date | null {
  const value = text(row, field);
  if (value === '') return null;
  const at = new Date(value);
  if (/^\d{4}-\d\d-\d\d/.test(value) && !Number.isNaN(at.getTime())) return at;
  report(`${row.pointer}/${field}`, 'is neither a date nor a time');
  return null;
}
