import { type RawBuilder, type Selectable, sql } from 'kysely';
import type { Unheard } from '../../core/undelivered.ts';
import type { Tx } from '../../platform/database.ts';
import type { UndeliveredTable } from '../../platform/tables.ts';

/** The SQL of emergencies that nobody heard, and of the calls that were made for them; the only writer of their table. */

export type UndeliveredRow = Selectable<UndeliveredTable>;

/**
 * Marks which of the urgent events that happened by `overdue` somebody has heard meanwhile. Of two processes that do so at once, the
 * second leaves them to the first.
 */
export async function markHeard(tx: Tx, overdue: Date, now: Date): Promise<void> {
  await sql`
    with heard as materialized (select number from unheard_events where occurred_at <= ${overdue} and was_heard),
      mine as (select number from events where number in (select number from heard) for no key update skip locked)
    update events set heard_at = ${now} where number in (select number from mine)`.execute(tx);
}

/** The agencies that did not hear something in time, or have not been said yet to have heard everything. */
export const selectConcerned = (overdue: Date): RawBuilder<{ agency_id: string }> =>
  sql`select agency_id from unheard_events where occurred_at <= ${overdue} union select agency_id from undelivered order by 1`;

export const listConcerned = async (tx: Tx, overdue: Date): Promise<string[]> =>
  (await selectConcerned(overdue).execute(tx)).rows.map(({ agency_id }) => agency_id);

/** What the agency did not hear in time, and the case that the oldest of it is about. What another process is marking was heard. */
export async function findUnheard(
  tx: Tx,
  agency_id: string,
  overdue: Date,
): Promise<(Unheard & { case_id: string | null }) | undefined> {
  const { rows } = await sql<Unheard & { case_id: string | null }>`
    select count(*)::int as count, min(occurred_at) as since, max(occurred_at) as latest,
      (array_agg(case_id order by occurred_at))[1] as case_id
    from unheard_events where occurred_at <= ${overdue} and agency_id = ${agency_id} and not was_heard having count(*) > 0`.execute(
    tx,
  );
  return rows[0];
}

/** Emergencies of the jurisdiction that somebody did not hear of in time. */
export async function countUndelivered(tx: Tx, jurisdiction: string, overdue: Date): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    select count(distinct e.id)::int as count from unheard_events e join cases c on c.id = e.case_id
    where e.occurred_at <= ${overdue} and c.jurisdiction = ${jurisdiction} and not e.was_heard`.execute(tx);
  return rows[0]!.count;
}

/** Whoever deals with the agency's emergencies is alone until its transaction ends. */
export async function lockUndelivered(tx: Tx, agency_id: string): Promise<UndeliveredRow | undefined> {
  await sql`select pg_advisory_xact_lock(hashtextextended(${`undelivered ${agency_id}`}, 0))`.execute(tx);
  return tx.selectFrom('undelivered').selectAll().where('agency_id', '=', agency_id).forUpdate().executeTakeFirst();
}

/** By what a call named it. */
export const findUndelivered = (tx: Tx, handle: string): Promise<UndeliveredRow | undefined> =>
  tx.selectFrom('undelivered').selectAll().where('handle', '=', handle).executeTakeFirst();

/** Begins, or begins anew. */
export async function putUndelivered(tx: Tx, row: UndeliveredRow): Promise<void> {
  const { agency_id: _, ...change } = row;
  await tx
    .insertInto('undelivered')
    .values(row)
    .onConflict(conflict => conflict.column('agency_id').doUpdateSet(change))
    .execute();
}

export async function deleteUndelivered(tx: Tx, agency_id: string): Promise<void> {
  await tx.deleteFrom('undelivered').where('agency_id', '=', agency_id).execute();
}

/** Where the agency is as a call may say it, and in which jurisdiction somebody is on duty for it: the case's, else its own. */
export interface Place {
  sheltered: boolean;
  regions: string[];
  duty_contact: string | null;
  jurisdiction: string;
}

export async function getPlace(tx: Tx, agency_id: string, case_id: string | null): Promise<Place> {
  const { rows } = await sql<Place>`
    select a.regions, a.duty_contact, coalesce((select jurisdiction from cases where id = ${case_id}), a.jurisdictions[1]) as jurisdiction,
      exists (select from services s where s.agency_id = a.id and s.location_protected) as sheltered
    from agencies a where a.id = ${agency_id}`.execute(tx);
  return rows[0]!;
}
