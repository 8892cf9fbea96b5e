import { sql } from 'kysely';
import { voiceOf } from './conversation.ts';
import { post, type Tx } from './database.ts';
import type { Vault, WrappedKey } from './vault.ts';

/**
 * The data keys of cases, by case id. Unwrapped keys live as long as the transaction that needed them.
 */

const unwrapped = new WeakMap<object, Map<string, Buffer>>();

const keysOf = (tx: Tx): Map<string, Buffer> => {
  const known = unwrapped.get(voiceOf(tx).conversation) ?? new Map<string, Buffer>();
  unwrapped.set(voiceOf(tx).conversation, known);
  return known;
};

/** Makes the key of a new case. */
export function insertDataKey({ vault }: { vault: Vault }, tx: Tx, case_id: string): Buffer {
  const { key, kek_id, wrapped } = vault.newDataKey(case_id);
  post(tx, tx.insertInto('case_keys').values({ case_id, kek_id, wrapped }).execute());
  keysOf(tx).set(case_id, key);
  return key;
}

/** Unwraps the key that a statement brought along, and keeps it for the transaction. */
export function keepDataKey({ vault }: { vault: Vault }, tx: Tx, row: WrappedKey & { case_id: string }): Buffer {
  const known = keysOf(tx).get(row.case_id);
  if (known) return known;
  const key = vault.unwrap(row.case_id, row);
  keysOf(tx).set(row.case_id, key);
  return key;
}

/** The keys of those cases that whoever runs `tx` may know of. */
export async function findDataKeys(
  { vault }: { vault: Vault },
  tx: Tx,
  case_ids: readonly string[],
): Promise<Map<string, Buffer>> {
  const known = keysOf(tx);
  const missing = [...new Set(case_ids)].filter(id => !known.has(id));
  if (missing.length > 0) {
    // One text however many there are.
    const rows = await tx.selectFrom('case_keys').selectAll().where(sql<boolean>`case_id = any (${missing})`).execute();
    for (const row of rows) keepDataKey({ vault }, tx, row);
  }
  return known;
}

/** @throws Error when the case is unknown to whoever runs `tx` */
export async function getDataKey(services: { vault: Vault }, tx: Tx, case_id: string): Promise<Buffer> {
  const key = (await findDataKeys(services, tx, [case_id])).get(case_id);
  if (!key) throw new Error('no data key for the case');
  return key;
}
