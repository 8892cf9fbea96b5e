import { type Selectable, sql } from 'kysely';
import { type CaseOf, caseOf } from '../cases/store.ts';
import type { Category } from '../core/codes.ts';
import { post, type Tx } from '../platform/database.ts';
import type { AuditDisclosureTable, DisclosureTable } from '../platform/tables.ts';
import type { ReferralRow } from './store.ts';

export type DisclosureRow = Selectable<DisclosureTable>;

/** The SQL of disclosures: what an accepted offer opens, to whom a case was disclosed, what a confirmed deletion takes away. */

/** Opens what `offer` may hold, or opens it again where the same offer was contested meanwhile. */
export function insertDisclosure(
  tx: Tx,
  row: Pick<DisclosureRow, 'id' | 'case_id' | 'referral_id' | 'offer_id' | 'agency_id' | 'categories' | 'ground' | 'started_at'>,
): void {
  post(
    tx,
    tx
      .insertInto('disclosures')
      .values({ ...row, categories_held: row.categories })
      .onConflict(conflict =>
        conflict.columns(['offer_id', 'agency_id']).doUpdateSet({
          categories: row.categories,
          categories_held: sql<
            Category[]
          >`array(select distinct unnest(disclosures.categories_held || ${row.categories}::text[]))`,
          ground: row.ground,
          ended_at: null,
          deletion_due_at: null,
          deletion_confirmed_at: null,
          forgotten_at: null,
        }),
      )
      .execute(),
  );
}

/** Those of a case; to one agency where it is named. */
export const listDisclosures = (tx: Tx, of: CaseOf, agency_id?: string): Promise<DisclosureRow[]> =>
  tx
    .selectFrom('disclosures')
    .selectAll()
    .where('case_id', '=', caseOf(of))
    .$if(agency_id !== undefined, query => query.where('agency_id', '=', agency_id!))
    .orderBy('id')
    .execute();

/** What is open now; what was ever open only grows. */
export function saveDisclosure(
  tx: Tx,
  disclosure: DisclosureRow,
  change: { categories: Category[]; ended_at?: Date; deletion_due_at?: Date | null },
): void {
  const categories_held = [...new Set([...disclosure.categories_held, ...change.categories])];
  post(
    tx,
    tx
      .updateTable('disclosures')
      // What was confirmed before says nothing of what is to be deleted now.
      .set({ ...change, categories_held, ...(change.deletion_due_at ? { deletion_confirmed_at: null } : {}) })
      .where('id', '=', disclosure.id)
      .execute(),
  );
}

/** The disclosures that keep account of agencies' times as owner, which ended or began with this offer. */
export const listOwnerships = (tx: Tx, offer_id: string): Promise<DisclosureRow[]> =>
  tx.selectFrom('disclosures').selectAll().where('offer_id', '=', offer_id).where('ground', '=', 'ownership').execute();

/** It ended, and there is nothing to delete: its agency owns the case now, and finds it as that. */
export function forgiveDisclosure(tx: Tx, id: string, now: Date): void {
  post(tx, tx.updateTable('disclosures').set({ deletion_due_at: null, forgotten_at: now }).where('id', '=', id).execute());
}

export function insertOwnership(
  tx: Tx,
  row: Pick<
    DisclosureRow,
    'id' | 'case_id' | 'referral_id' | 'offer_id' | 'agency_id' | 'categories_held' | 'started_at' | 'ended_at'
  >,
): void {
  post(
    tx,
    tx
      .insertInto('disclosures')
      .values({ ...row, categories: [], ground: 'ownership' })
      .onConflict(conflict =>
        conflict.columns(['offer_id', 'agency_id']).doUpdateSet({
          ended_at: row.ended_at,
          categories_held: row.categories_held,
          deletion_confirmed_at: null,
          forgotten_at: null,
        }),
      )
      .execute(),
  );
}

/** The disclosures of a case that whoever runs `tx` may know of, newest first; of one agency where it is named. */
export const listAccounting = (
  tx: Tx,
  where: { case_id: string; agency_id?: string },
  before_id: string | undefined,
  limit: number,
): Promise<DisclosureRow[]> =>
  tx
    .selectFrom('disclosures')
    .selectAll()
    .where('case_id', '=', where.case_id)
    // What it confirmed to have deleted it does not find again.
    .$if(where.agency_id !== undefined, query =>
      query.where('agency_id', '=', where.agency_id!).where('forgotten_at', 'is', null),
    )
    .$if(before_id !== undefined, query => query.where('id', '<', before_id!))
    .orderBy('id', 'desc')
    .limit(limit)
    .execute();

/** What inquiries of the audit body were told of a case, newest first, to whoever runs `tx` and may know of all its disclosures. */
export const listAuditDisclosures = (
  tx: Tx,
  case_id: string,
  before_id: string | undefined,
  limit: number,
): Promise<AuditDisclosureTable[]> =>
  tx
    .selectFrom('audit_disclosures')
    .selectAll()
    .where('case_id', '=', case_id)
    .$if(before_id !== undefined, query => query.where('id', '<', before_id!))
    .orderBy('id', 'desc')
    .limit(limit)
    .execute();

export const findAuditDisclosure = (tx: Tx, id: string): Promise<AuditDisclosureTable | undefined> =>
  tx.selectFrom('audit_disclosures').selectAll().where('id', '=', id).executeTakeFirst();

/** The disclosure as whoever runs `tx` may know of it. */
export const findDisclosure = (tx: Tx, id: string): Promise<DisclosureRow | undefined> =>
  tx.selectFrom('disclosures').selectAll().where('id', '=', id).executeTakeFirst();

/** What the accounting says of the offers behind disclosures: the service, and whose place must not become known. */
export const listOfferFacts = (tx: Tx, offer_ids: readonly string[]) =>
  tx
    .selectFrom('offers')
    .select(['id', 'agency_id', 'service', 'location_protected', 'referral_id'])
    .where('id', 'in', ['', ...offer_ids])
    .execute();

export const listReferralsById = (tx: Tx, ids: readonly string[]): Promise<ReferralRow[]> =>
  tx
    .selectFrom('referrals')
    .selectAll()
    .where('id', 'in', ['', ...ids])
    .execute();

/** A holder deleted what it lost while it goes on holding the rest. */
export async function saveConfirmation(tx: Tx, disclosure: DisclosureRow, now: Date): Promise<void> {
  await tx
    .updateTable('disclosures')
    .set({ categories_held: disclosure.categories, deletion_confirmed_at: now, deletion_due_at: null })
    .where('id', '=', disclosure.id)
    .execute();
}

/**
 * The holder of a disclosure that ended deleted all of it: it no longer knows of the disclosure, nor of what it was asked by the
 * same referral and is over, unless another disclosure of it is still to be deleted. The referral must be locked.
 */
export async function forgetDisclosure(
  tx: Tx,
  { id, case_id, referral_id, offer_id, agency_id }: DisclosureRow,
  now: Date,
): Promise<void> {
  await tx.updateTable('disclosures').set({ deletion_confirmed_at: now, forgotten_at: now }).where('id', '=', id).execute();
  await sql`
    with forgotten as (
      update offers o set forgotten_at = ${now}
      where o.referral_id = ${referral_id} and o.agency_id = ${agency_id} and o.ended_at is not null and o.forgotten_at is null
        and not exists (select from disclosures d where d.offer_id = o.id and d.agency_id = o.agency_id
          and d.id <> ${id} and d.forgotten_at is null)
      returning o.id)
    update timers t set forgotten = true
    where ${agency_id} in (t.receiver_agency_id, t.responsible_agency_id) and (t.offer_id in (select id from forgotten)
      -- What was contested is offered anew, and goes on.
      or t.offer_id = ${offer_id} and t.name = 'deletion_confirmation'
      -- What of the case itself was its own, where it holds it by nothing else.
      or t.subject_type = 'case' and t.case_id = ${case_id} and not exists (select from disclosures d
        where d.case_id = ${case_id} and d.agency_id = ${agency_id} and d.forgotten_at is null))`.execute(tx);
}
