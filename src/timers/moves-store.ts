import { type Selectable, sql } from 'kysely';
import type { Tx } from '../platform/database.ts';
import type { CalendarMoveTable } from '../platform/tables.ts';
import type { TimerRow } from './store.ts';

/** Calendars along which something still runs that was reckoned with an earlier version. */
export async function findStaleCalendars(tx: Tx): Promise<{ id: string; version: number }[]> {
  // A lateral one each, so that each calendar is one look into the index.
  const { rows } = await sql<{ id: string; version: number }>`
    select c.id, c.version from calendars c cross join lateral (
      select from timers t
      where t.state = 'running' and t.calendar_id is not null and t.calendar_id = c.id and t.calendar_version < c.version limit 1) stale
    order by c.id`.execute(tx);
  return rows;
}

/** Of these, so many that nobody else holds, locked. */
export const lockStaleTimers = (tx: Tx, calendar: { id: string; version: number }, limit: number): Promise<TimerRow[]> =>
  tx
    .selectFrom('timers')
    .selectAll()
    .where('state', '=', 'running')
    .where('calendar_id', '=', calendar.id)
    .where('calendar_version', '<', calendar.version)
    .orderBy('calendar_version')
    .limit(limit)
    .forUpdate()
    .skipLocked()
    .execute();

export interface Moves {
  moved: number;
  first_due_at: Date;
  last_due_at: Date;
}

type CalendarChange = { calendar_id: string; version: number };

/** Adds to what each agency will be told of a change. */
export async function countMoves(tx: Tx, change: CalendarChange, by_agency: ReadonlyMap<string, Moves>): Promise<void> {
  // In one order, for two processes count for the same agencies.
  const counted = [...by_agency].sort(([a], [b]) => (a < b ? -1 : 1));
  await tx
    .insertInto('calendar_moves')
    .values(counted.map(([agency_id, moves]) => ({ ...change, agency_id, ...moves, told_at: null })))
    .onConflict(conflict =>
      conflict.columns(['calendar_id', 'version', 'agency_id']).doUpdateSet(eb => ({
        moved: eb('calendar_moves.moved', '+', eb.ref('excluded.moved')),
        first_due_at: sql`least(calendar_moves.first_due_at, excluded.first_due_at)`,
        last_due_at: sql`greatest(calendar_moves.last_due_at, excluded.last_due_at)`,
        told_at: null,
      })),
    )
    .execute();
}

/** What agencies have to be told of changes that have nothing more to move, locked. */
export async function findUntoldMoves(tx: Tx): Promise<Selectable<CalendarMoveTable>[]> {
  const { rows } = await sql<Selectable<CalendarMoveTable>>`
    select m.* from calendar_moves m
    where m.told_at is null and not exists (
      select from timers t
      where t.state = 'running' and t.calendar_id is not null and t.calendar_id = m.calendar_id and t.calendar_version < m.version)
    order by m.calendar_id, m.version, m.agency_id
    for update of m skip locked`.execute(tx);
  return rows;
}

/** @param agency_ids who was told, of those that `findUntoldMoves` locked: for another something may have moved meanwhile */
export const saveMovesTold = async (
  tx: Tx,
  { calendar_id, version }: CalendarChange,
  agency_ids: readonly string[],
  now: Date,
): Promise<void> => {
  await tx
    .updateTable('calendar_moves')
    .set({ told_at: now })
    .where('calendar_id', '=', calendar_id)
    .where('version', '=', version)
    .where('agency_id', 'in', [...agency_ids])
    .execute();
};
