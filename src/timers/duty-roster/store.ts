import { type RawBuilder, type Selectable, sql } from 'kysely';
import type { DutyEntry, DutyPerson } from '../../core/duty-roster.ts';
import { asSystem, type Tx } from '../../platform/database.ts';
import type { DutyRosterTable } from '../../platform/tables.ts';

/** The SQL of duty rosters, one for each jurisdiction; the only writer of their table. */

export type DutyRosterRow = Selectable<DutyRosterTable>;

export const findDutyRoster = (tx: Tx, jurisdiction: string): Promise<DutyRosterRow | undefined> =>
  tx.selectFrom('duty_rosters').selectAll().where('jurisdiction', '=', jurisdiction).executeTakeFirst();

/** Two first ones at once: the second waits, and finds what the first has put. */
export async function lockDutyRoster(tx: Tx, jurisdiction: string): Promise<DutyRosterRow | undefined> {
  await sql`select pg_advisory_xact_lock(hashtextextended(${`duty roster ${jurisdiction}`}, 0))`.execute(tx);
  return tx.selectFrom('duty_rosters').selectAll().where('jurisdiction', '=', jurisdiction).forUpdate().executeTakeFirst();
}

export async function insertDutyRoster(tx: Tx, jurisdiction: string, entries: readonly DutyEntry[], now: Date): Promise<void> {
  await tx
    .insertInto('duty_rosters')
    .values({ jurisdiction, entries: JSON.stringify(entries), created_at: now, updated_at: now })
    .execute();
}

export async function saveDutyRoster(tx: Tx, jurisdiction: string, entries: readonly DutyEntry[], now: Date): Promise<void> {
  await tx
    .updateTable('duty_rosters')
    .set({ entries: JSON.stringify(entries), updated_at: now })
    .set('version', sql<number>`version + 1`)
    .where('jurisdiction', '=', jurisdiction)
    .execute();
}

/** Everybody on the roster of the jurisdiction, in turn; nobody where there is none. */
export const listDuty = (tx: Tx, jurisdiction: string): Promise<DutyPerson[]> =>
  listPersons(tx, jurisdiction, sql`(select entries from duty_rosters where jurisdiction = ${jurisdiction})`);

/** The same of entries that stand on no roster yet. */
export const lookUpEntries = (tx: Tx, jurisdiction: string, entries: readonly DutyEntry[]): Promise<DutyPerson[]> =>
  listPersons(tx, jurisdiction, sql`${JSON.stringify(entries)}::jsonb`);

/** Who acts for another agency is seen by the role alone that says who is asking. */
const listPersons = (tx: Tx, jurisdiction: string, entries: RawBuilder<unknown>): Promise<DutyPerson[]> =>
  asSystem(tx, 'access', async tx => {
    const { rows } = await sql<DutyPerson>`
      select e.agency_id, e.staff_code, exists (
        select from caseworkers w join agencies a on a.id = w.agency_id
        where w.agency_id = e.agency_id and w.staff_code = e.staff_code and w.status = 'active' and a.status = 'active'
          and ${jurisdiction} = any (a.jurisdictions)) as callable
      from rows from (jsonb_to_recordset(${entries}) as (agency_id text, staff_code text)) with ordinality
        as e (agency_id, staff_code, place)
      order by e.place`.execute(tx);
    return rows;
  });
