import { raise } from '../core/problem.ts';
import type { Tx } from '../platform/database.ts';
import type { ClientKey } from './keys.ts';
import { type ClientRow, findClient, listKeys } from './store.ts';

/** Of its keys, what tells them apart. */
export type ClientView = ClientRow & { keys: Omit<ClientKey, 'jwk'>[] };

/** @throws Problem `not_found` */
export const viewClient = async (tx: Tx, id: string): Promise<ClientView> =>
  (await viewClients(tx, [(await findClient(tx, id)) ?? raise('not_found')]))[0]!;

export async function viewClients(tx: Tx, clients: readonly ClientRow[]): Promise<ClientView[]> {
  if (clients.length === 0) return [];
  const keys = await listKeys(
    tx,
    clients.map(({ id }) => id),
  );
  return clients.map(client => ({
    ...client,
    keys: keys.filter(key => key.client_id === client.id).map(({ kid, alg, thumbprint }) => ({ kid, alg, thumbprint })),
  }));
}
