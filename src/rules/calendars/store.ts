import { type Selectable, sql } from 'kysely';
import { type Calendar, type CompiledCalendar, compileCalendar } from '../../core/calendar.ts';
import type { Tx } from '../../platform/database.ts';
import type { CalendarTable } from '../../platform/tables.ts';

/** Calendars and their versions. A version never changes; a changed calendar is a new one. */

export type CalendarRow = Selectable<CalendarTable> & { calendar: Calendar };

/** A calendar as it now stands, to reckon with. */
export interface CurrentCalendar {
  id: string;
  version: number;
  compiled: CompiledCalendar;
}

/** The calendars of one database; each is compiled once for as long as it stands. */
export interface Calendars {
  /** The calendar of that id as it now stands. */
  get(tx: Tx, id: string): Promise<CurrentCalendar>;
  /** The agency's own, or where it has none the other. */
  getOfAgency(tx: Tx, agency_id: string, otherwise_id: string): Promise<CurrentCalendar>;
}

const kept = new WeakMap<object, Map<string, CurrentCalendar>>();

/** @param of.pool whose database it is */
export function calendarsOf({ pool }: { pool: object }): Calendars {
  const known = kept.get(pool) ?? new Map<string, CurrentCalendar>();
  kept.set(pool, known);
  const compiled = async (tx: Tx, { id, version }: { id: string; version: number }): Promise<CurrentCalendar> => {
    const before = known.get(id);
    if (before?.version === version) return before;
    const now = { id, version, compiled: compileCalendar(await getCalendarVersion(tx, id, version)) };
    // A transaction that began earlier must not put back what has changed meanwhile.
    if (!before || before.version < version) known.set(id, now);
    return now;
  };
  return {
    get: async (tx, id) => {
      const found = await tx.selectFrom('calendars').select(['id', 'version']).where('id', '=', id).executeTakeFirstOrThrow();
      return compiled(tx, found);
    },
    getOfAgency: async (tx, agency_id, otherwise_id) => {
      const { rows } = await sql<{ id: string; version: number }>`
        select id, version from calendars
        where id = coalesce((select calendar_id from agencies where id = ${agency_id}), ${otherwise_id})`.execute(tx);
      return compiled(tx, rows[0]!);
    },
  };
}

async function getCalendarVersion(tx: Tx, calendar_id: string, version: number): Promise<Calendar> {
  const { document } = await tx
    .selectFrom('calendar_versions')
    .select('document')
    .where('calendar_id', '=', calendar_id)
    .where('version', '=', version)
    .executeTakeFirstOrThrow();
  return { id: calendar_id, ...document };
}

const calendarRows = (tx: Tx) =>
  tx
    .selectFrom('calendars as c')
    .innerJoin('calendar_versions as v', join => join.onRef('v.calendar_id', '=', 'c.id').onRef('v.version', '=', 'c.version'))
    .selectAll('c')
    .select('v.document');

const toCalendarRow = ({ document, ...row }: Selectable<CalendarTable> & { document: Omit<Calendar, 'id'> }): CalendarRow => ({
  ...row,
  calendar: { id: row.id, ...document },
});

export async function findCalendar(tx: Tx, id: string): Promise<CalendarRow | undefined> {
  const row = await calendarRows(tx).where('c.id', '=', id).executeTakeFirst();
  return row && toCalendarRow(row);
}

/** Newest first. */
export async function listCalendars(tx: Tx, before_id: string | undefined, limit: number): Promise<CalendarRow[]> {
  const rows = await calendarRows(tx)
    .$if(before_id !== undefined, query => query.where('c.id', '<', before_id!))
    .orderBy('c.id', 'desc')
    .limit(limit)
    .execute();
  return rows.map(toCalendarRow);
}

/** The same, locked: whoever changes it is alone. */
export async function lockCalendar(tx: Tx, id: string): Promise<CalendarRow | undefined> {
  const locked = await tx.selectFrom('calendars').select('id').where('id', '=', id).forUpdate().executeTakeFirst();
  return locked && findCalendar(tx, id);
}

/** Those of these calendars that exist, in the order of their ids here. */
export async function listCalendarsNamed(tx: Tx, ids: readonly string[]): Promise<CalendarRow[]> {
  const rows = await calendarRows(tx)
    .where('c.id', '=', sql<string>`any (${[...ids]})`)
    .execute();
  const known = new Map(rows.map(row => [row.id, toCalendarRow(row)]));
  return ids.flatMap(id => known.get(id) ?? []);
}

/** A new calendar, sound as `checkCalendar` finds. */
export async function insertCalendar(tx: Tx, calendar: Calendar, now: Date): Promise<void> {
  await tx.insertInto('calendars').values({ id: calendar.id, version: 1, created_at: now, updated_at: now }).execute();
  await insertVersion(tx, calendar, 1, now);
}

/** The calendar, which must be locked, as it stands from now on. */
export async function saveCalendar(tx: Tx, { id, version }: CalendarRow, calendar: Calendar, now: Date): Promise<void> {
  await insertVersion(tx, calendar, version + 1, now);
  await tx
    .updateTable('calendars')
    .set({ version: version + 1, updated_at: now })
    .where('id', '=', id)
    .execute();
}

async function insertVersion(tx: Tx, { id, ...document }: Calendar, version: number, now: Date): Promise<void> {
  await tx
    .insertInto('calendar_versions')
    .values({ calendar_id: id, version, document: JSON.stringify(document), created_at: now })
    .execute();
}
