import { type Insertable, type Selectable, sql, type Updateable } from 'kysely';
import type { AgencyKind, Role, Scope } from '../core/codes.ts';
import type { Db, Tx } from '../platform/database.ts';
import type { AgencyTable, CaseworkerTable, ClientAssertionTable, ClientSecretTable, ClientTable } from '../platform/tables.ts';
import type { ClientKey } from './keys.ts';

/** The SQL of clients, their secrets and keys, and caseworkers; the only writer of these tables. */

export type ClientRow = Selectable<ClientTable>;
export type CaseworkerRow = Selectable<CaseworkerTable> & { certifications: Certification[] };

export interface Certification {
  course: string;
  completed_on: string;
  expires_on: string | null;
}

export interface IdentityRow {
  client_status: ClientRow['status'];
  scopes: Scope[];
  agency_id: string;
  agency_kind: AgencyKind;
  jurisdictions: string[];
  competent_authority: boolean;
  first_responder: boolean;
  agency_status: AgencyTable['status'];
  /** Of the active caseworker of the agency with the code that was asked for. */
  caseworker_id: string | null;
  roles: Role[] | null;
}

/** The client, its agency and the caseworker with `staff_code`, at this moment. */
export async function findIdentity(db: Db, client_id: string, staff_code = ''): Promise<IdentityRow | undefined> {
  const { rows } = await sql<IdentityRow>`select * from identify(${client_id}, ${staff_code})`.execute(db);
  return rows[0];
}

export const findClient = (tx: Tx, id: string): Promise<ClientRow | undefined> =>
  tx.selectFrom('clients').selectAll().where('id', '=', id).executeTakeFirst();

export const lockClient = (tx: Tx, id: string): Promise<ClientRow | undefined> =>
  tx.selectFrom('clients').selectAll().where('id', '=', id).forUpdate().executeTakeFirst();

export const listClients = (tx: Tx, agency_id: string, before: string | undefined, limit: number): Promise<ClientRow[]> =>
  tx
    .selectFrom('clients')
    .selectAll()
    .where('agency_id', '=', agency_id)
    .$if(before !== undefined, query => query.where('id', '<', before!))
    .orderBy('id', 'desc')
    .limit(limit)
    .execute();

export async function insertClient(tx: Tx, client: Insertable<ClientTable>): Promise<void> {
  await tx.insertInto('clients').values(client).execute();
}

export async function saveClient(tx: Tx, id: string, change: Updateable<ClientTable>, now: Date): Promise<void> {
  await tx
    .updateTable('clients')
    .set({ ...change, updated_at: now })
    .set('version', sql<number>`version + 1`)
    .where('id', '=', id)
    .execute();
}

export const listClientIds = (tx: Tx) => tx.selectFrom('clients').select('id').execute();

/** With when they were, at the latest. */
export const listRevokedClients = (tx: Tx) =>
  tx.selectFrom('clients').select(['id', 'updated_at as at']).where('status', '=', 'revoked').execute();

/** Whether any client has `scope` and was not revoked. */
export async function scopeIsHeld(tx: Tx, scope: Scope): Promise<boolean> {
  const found = await tx
    .selectFrom('clients')
    .select('id')
    .where('status', '!=', 'revoked')
    .where(sql<boolean>`${scope} = any (scopes)`)
    .limit(1)
    .executeTakeFirst();
  return found !== undefined;
}

export type KeptSecret = Pick<Selectable<ClientSecretTable>, 'hash' | 'tag'>;

/** The secrets with which a client may log in at `now`, newest first. */
export const listSecrets = (tx: Tx, client_id: string, now: Date): Promise<KeptSecret[]> =>
  tx
    .selectFrom('client_secrets')
    .select(['hash', 'tag'])
    .where('client_id', '=', client_id)
    .where(eb => eb.or([eb('expires_at', 'is', null), eb('expires_at', '>', now)]))
    .orderBy('created_at', 'desc')
    .execute();

export async function insertSecret(tx: Tx, client_id: string, secret: KeptSecret, now: Date): Promise<void> {
  await tx
    .insertInto('client_secrets')
    .values({ client_id, ...secret, created_at: now, expires_at: null })
    .execute();
}

/** Lets the secret in use live on until `until`, and forgets all older ones. */
export async function retireSecrets(tx: Tx, client_id: string, until: Date): Promise<void> {
  await tx.deleteFrom('client_secrets').where('client_id', '=', client_id).where('expires_at', 'is not', null).execute();
  await tx.updateTable('client_secrets').set({ expires_at: until }).where('client_id', '=', client_id).execute();
}

export async function deleteSecrets(tx: Tx, client_id: string): Promise<void> {
  await tx.deleteFrom('client_secrets').where('client_id', '=', client_id).execute();
}

/** Whether the client has a secret that nothing ends. */
export async function hasLastingSecret(tx: Tx, client_id: string): Promise<boolean> {
  const found = await tx
    .selectFrom('client_secrets')
    .select('client_id')
    .where('client_id', '=', client_id)
    .where('expires_at', 'is', null)
    .limit(1)
    .executeTakeFirst();
  return found !== undefined;
}

/** The public keys of these clients, by name. */
export const listKeys = (tx: Tx, client_ids: readonly string[]): Promise<(ClientKey & { client_id: string })[]> =>
  tx
    .selectFrom('client_keys')
    .select(['client_id', 'kid', 'alg', 'thumbprint', 'jwk'])
    .where('client_id', 'in', client_ids)
    .orderBy('kid')
    .execute() as Promise<(ClientKey & { client_id: string })[]>;

/** Gives the client these keys in place of those that it had. */
export async function replaceKeys(tx: Tx, client_id: string, keys: readonly ClientKey[], now: Date): Promise<void> {
  await tx.deleteFrom('client_keys').where('client_id', '=', client_id).execute();
  if (keys.length === 0) return;
  await tx
    .insertInto('client_keys')
    .values(keys.map(({ jwk, ...key }) => ({ client_id, ...key, jwk: JSON.stringify(jwk), created_at: now })))
    .execute();
}

/** Uses an assertion up. @returns whether it was the first use; of two at the same time it is for one */
export async function insertAssertion(tx: Tx, assertion: Insertable<ClientAssertionTable>): Promise<boolean> {
  const { numInsertedOrUpdatedRows } = await tx
    .insertInto('client_assertions')
    .values(assertion)
    .onConflict(conflict => conflict.doNothing())
    .executeTakeFirst();
  return numInsertedOrUpdatedRows === 1n;
}

export const findCaseworker = (tx: Tx, id: string): Promise<CaseworkerRow | undefined> =>
  tx.selectFrom('caseworkers').selectAll().where('id', '=', id).executeTakeFirst() as Promise<CaseworkerRow | undefined>;

export const findCaseworkerByCode = (tx: Tx, agency_id: string, staff_code: string): Promise<CaseworkerRow | undefined> =>
  tx
    .selectFrom('caseworkers')
    .selectAll()
    .where('agency_id', '=', agency_id)
    .where('staff_code', '=', staff_code)
    .executeTakeFirst() as Promise<CaseworkerRow | undefined>;

export const lockCaseworker = (tx: Tx, id: string): Promise<CaseworkerRow | undefined> =>
  tx.selectFrom('caseworkers').selectAll().where('id', '=', id).forUpdate().executeTakeFirst() as Promise<
    CaseworkerRow | undefined
  >;

export const listCaseworkers = (tx: Tx, agency_id: string, before: string | undefined, limit: number): Promise<CaseworkerRow[]> =>
  tx
    .selectFrom('caseworkers')
    .selectAll()
    .where('agency_id', '=', agency_id)
    .$if(before !== undefined, query => query.where('id', '<', before!))
    .orderBy('id', 'desc')
    .limit(limit)
    .execute() as Promise<CaseworkerRow[]>;

export async function insertCaseworker(
  tx: Tx,
  { certifications, ...caseworker }: Insertable<CaseworkerTable> & { certifications: Certification[] },
): Promise<void> {
  await tx
    .insertInto('caseworkers')
    .values({ ...caseworker, certifications: JSON.stringify(certifications) })
    .execute();
}

export async function saveCaseworker(
  tx: Tx,
  id: string,
  { certifications, ...change }: Partial<Pick<CaseworkerRow, 'roles' | 'languages' | 'status' | 'certifications'>>,
  now: Date,
): Promise<void> {
  await tx
    .updateTable('caseworkers')
    .set({ ...change, ...(certifications ? { certifications: JSON.stringify(certifications) } : {}), updated_at: now })
    .set('version', sql<number>`version + 1`)
    .where('id', '=', id)
    .execute();
}

export async function countActiveSupervisors(tx: Tx, agency_id: string): Promise<number> {
  const { count } = await tx
    .selectFrom('caseworkers')
    .select(eb => eb.fn.countAll<number>().as('count'))
    .where('agency_id', '=', agency_id)
    .where('status', '=', 'active')
    .where(sql<boolean>`'supervisor' = any (roles)`)
    .executeTakeFirstOrThrow();
  return count;
}

/** Whether the agency has, or once had, a client of its own that could act for it. */
export async function hadActiveClient(tx: Tx, agency_id: string): Promise<boolean> {
  const found = await tx
    .selectFrom('clients')
    .select('id')
    .where('agency_id', '=', agency_id)
    .where('status', '!=', 'disabled')
    .limit(1)
    .executeTakeFirst();
  return found !== undefined;
}

/** How many clients can act for the agency. */
export async function countActiveClients(tx: Tx, agency_id: string): Promise<number> {
  const { count } = await tx
    .selectFrom('clients')
    .select(eb => eb.fn.countAll<number>().as('count'))
    .where('agency_id', '=', agency_id)
    .where('status', '=', 'active')
    .executeTakeFirstOrThrow();
  return count;
}

/** The scopes of all clients that act, or once acted, for the agency. */
export async function listScopesOf(tx: Tx, agency_id: string): Promise<Scope[]> {
  const rows = await tx
    .selectFrom('clients')
    .select('scopes')
    .where('agency_id', '=', agency_id)
    .where('status', '!=', 'disabled')
    .execute();
  return [...new Set(rows.flatMap(({ scopes }) => scopes as Scope[]))];
}

/** One at a time decides who may act for an agency: who may enable, and who is its last supervisor, must not change meanwhile. */
export async function lockAgencyAccess(tx: Tx, agency_id: string): Promise<void> {
  await sql`select pg_advisory_xact_lock(hashtextextended(${`access ${agency_id}`}, 0))`.execute(tx);
}
