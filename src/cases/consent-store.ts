import { post, type Tx } from '../platform/database.ts';
import type { ConsentRow } from './store.ts';

/** The SQL of what becomes of grants; who has one is looked up with the case, in `store.ts`. */

export function insertConsent(
  tx: Tx,
  row: Omit<ConsentRow, 'version' | 'expired_at' | 'withdrawn_at' | 'expiry_warned_at'>,
): void {
  post(tx, tx.insertInto('consents').values(row).execute());
}

export function saveConsent(
  tx: Tx,
  id: string,
  change: Partial<Pick<ConsentRow, 'categories' | 'withdrawn_at' | 'expired_at'>>,
  now: Date,
): void {
  post(
    tx,
    tx
      .updateTable('consents')
      .set(eb => ({ ...change, updated_at: now, version: eb('version', '+', 1) }))
      .where('id', '=', id)
      .execute(),
  );
}

/** Grants whose time is over and whose consequences were not drawn yet. */
export const listExpiredConsents = (tx: Tx, now: Date, limit: number) =>
  tx
    .selectFrom('consents')
    .select(['id', 'case_id'])
    .where('expires_at', '<=', now)
    .where('withdrawn_at', 'is', null)
    .where('expired_at', 'is', null)
    .orderBy('expires_at')
    .limit(limit)
    .execute();

/** Live grants that end after `from` and by `to`, and whose owner was not told yet. */
export const listExpiringConsents = (tx: Tx, from: Date, to: Date, limit: number) =>
  tx
    .selectFrom('consents')
    .select(['id', 'case_id'])
    .where('expires_at', '>=', from)
    .where('expires_at', '<=', to)
    .where('withdrawn_at', 'is', null)
    .where('expired_at', 'is', null)
    .where('expiry_warned_at', 'is', null)
    .orderBy('expires_at')
    .limit(limit)
    .execute();

/** That the owner was told; the grant itself is what it was. */
export function saveExpiryWarned(tx: Tx, id: string, now: Date): void {
  post(tx, tx.updateTable('consents').set({ expiry_warned_at: now }).where('id', '=', id).execute());
}

/** Of every case there is. Runs as the role `trail`. */
export const listConsentIds = (tx: Tx) => tx.selectFrom('consents').select('id').execute();

/** With when they were. Runs as the role `clock`. */
export const listWithdrawnConsents = (tx: Tx) =>
  tx
    .selectFrom('consents')
    .select(['id', 'withdrawn_at as at'])
    .where('withdrawn_at', 'is not', null)
    .$narrowType<{ at: Date }>()
    .execute();
