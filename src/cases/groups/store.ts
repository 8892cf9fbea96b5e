import type { Selectable } from 'kysely';
import { post, type Tx } from '../../platform/database.ts';
import type { BatchTable, GroupTable } from '../../platform/tables.ts';
import type { Vault } from '../../platform/vault.ts';
import type { CaseRow } from '../store.ts';

export type GroupRow = Selectable<GroupTable>;

/** The group as whoever runs `tx` may know of it. */
export const findGroup = (tx: Tx, id: string): Promise<GroupRow | undefined> =>
  tx.selectFrom('groups').selectAll().where('id', '=', id).executeTakeFirst();

export function insertGroup(tx: Tx, row: GroupRow): void {
  post(tx, tx.insertInto('groups').values(row).execute());
}

/** Those members that the agency owns, in the order of their ids. */
export const listMembers = (tx: Tx, group_id: string, owner_agency_id: string): Promise<CaseRow[]> =>
  ofGroup(tx, group_id, owner_agency_id).execute();

/** The same, locked for whoever acts on referrals of them. First of all locks. */
export const lockMembers = (tx: Tx, group_id: string, owner_agency_id: string): Promise<CaseRow[]> =>
  ofGroup(tx, group_id, owner_agency_id).forShare().execute();

/** Whether anybody is of this family, whoever owns the case. Runs as the router. */
export const hasFamily = async (tx: Tx, group_id: string, family: number): Promise<boolean> =>
  (await tx
    .selectFrom('cases')
    .select('id')
    .where('group_id', '=', group_id)
    .where('family', '=', family)
    .limit(1)
    .executeTakeFirst()) !== undefined;

const ofGroup = (tx: Tx, group_id: string, owner_agency_id: string) =>
  tx
    .selectFrom('cases')
    .selectAll()
    .where('group_id', '=', group_id)
    .where('owner_agency_id', '=', owner_agency_id)
    .orderBy('id');

/** What one call for many came to, one by one. */
export interface Batch<Item> {
  id: string;
  group_id: string;
  items: Item[];
}

interface Sealing {
  vault: Vault;
}

// Pointers repeat names of members as the caller wrote them.
const place = (id: string) => ({ table: 'batches', row: id, category: 'items', version: 1 });

export function insertBatch<Item>(
  { vault }: Sealing,
  tx: Tx,
  { id, group_id, items }: Batch<Item>,
  row: Pick<Selectable<BatchTable>, 'agency_id' | 'created_at'>,
): void {
  const sealed = vault.sealOwn(place(id), JSON.stringify(items));
  post(
    tx,
    tx
      .insertInto('batches')
      .values({ id, group_id, sealed, ...row })
      .execute(),
  );
}

/** One of the agency's own. @throws Error where there is none */
export async function getBatch<Item>({ vault }: Sealing, tx: Tx, id: string): Promise<Batch<Item>> {
  const { group_id, sealed } = await tx.selectFrom('batches').selectAll().where('id', '=', id).executeTakeFirstOrThrow();
  return { id, group_id, items: JSON.parse(vault.openOwn(place(id), sealed)) as Item[] };
}
