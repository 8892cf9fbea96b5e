import { type Selectable, sql } from 'kysely';
import type { Tx } from '../../platform/database.ts';
import type { DecisionReasonsTable, DecisionTable, ReconsiderationTable } from '../../platform/tables.ts';

/** The SQL of decisions and of what is asked of them again; the only writer of their tables. It knows ciphertext alone. */

export type DecisionRow = Selectable<DecisionTable>;
export type ReasonsRow = Selectable<DecisionReasonsTable>;
export type ReconsiderationRow = Selectable<ReconsiderationTable>;

export async function insertDecision(tx: Tx, row: Omit<DecisionRow, 'version'>, reasons: ReasonsRow): Promise<void> {
  await tx.insertInto('decisions').values(row).execute();
  await tx.insertInto('decision_reasons').values(reasons).execute();
}

export async function saveServed(tx: Tx, id: string, served_at: Date, now: Date): Promise<void> {
  await tx
    .updateTable('decisions')
    .set(eb => ({ served_at, updated_at: now, version: eb('version', '+', 1) }))
    .where('id', '=', id)
    .execute();
}

export async function insertReconsideration(tx: Tx, row: ReconsiderationRow): Promise<void> {
  await tx.insertInto('reconsiderations').values(row).execute();
}

/** The decision as whoever runs `tx` may know of it. */
export const findDecision = (tx: Tx, id: string): Promise<DecisionRow | undefined> =>
  tx.selectFrom('decisions').selectAll().where('id', '=', id).executeTakeFirst();

/** Those of a case that whoever runs `tx` may know of, newest first; of one authority where it is named. */
export const listDecisions = (
  tx: Tx,
  { case_id, agency_id }: { case_id: string; agency_id?: string },
  before_id?: string,
  limit?: number,
): Promise<DecisionRow[]> =>
  tx
    .selectFrom('decisions')
    .selectAll()
    .where('case_id', '=', case_id)
    .$if(agency_id !== undefined, query => query.where('agency_id', '=', agency_id!))
    .$if(before_id !== undefined, query => query.where('id', '<', before_id!))
    .orderBy('id', 'desc')
    .$if(limit !== undefined, query => query.limit(limit!))
    .execute();

/** Why they were made so, as far as whoever runs `tx` may know. */
export const listReasons = (tx: Tx, ids: readonly string[]): Promise<ReasonsRow[]> =>
  tx
    .selectFrom('decision_reasons')
    .selectAll()
    .where('decision_id', 'in', ['', ...ids])
    .execute();

/** What was asked of them again, as far as whoever runs `tx` may know. */
export const listReconsiderations = (tx: Tx, ids: readonly string[]): Promise<ReconsiderationRow[]> =>
  tx
    .selectFrom('reconsiderations')
    .selectAll()
    .where('decision_id', 'in', ['', ...ids])
    .execute();

/** A live offer by which somebody was asked to decide, and accepted. */
export interface Identification {
  case_id: string;
  agency_id: string;
  offer_id: string;
  referral_id: string;
  /** When that was asked for. */
  asked_at: Date;
}

/**
 * Competent authorities that accepted to decide on these cases and whose offer is live, the latest first. Runs as the router or the
 * clock.
 */
export const listAuthorities = (tx: Tx, case_ids: readonly string[]): Promise<Identification[]> =>
  tx
    .selectFrom('offers as o')
    .innerJoin('agencies as a', 'a.id', 'o.agency_id')
    .innerJoin('referrals as r', 'r.id', 'o.referral_id')
    .select(['o.case_id', 'o.agency_id', 'o.id as offer_id', 'o.referral_id', 'r.created_at as asked_at'])
    .where(sql<boolean>`o.case_id = any (${case_ids})`)
    .where('o.service', '=', 'identification')
    .where('o.status', 'in', ['accepted', 'in_progress'])
    .where('a.competent_authority', '=', true)
    .orderBy('o.id', 'desc')
    .execute();
