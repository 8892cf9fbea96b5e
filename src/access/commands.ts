import { findAgency } from '../agencies/store.ts';
import { act, type Outcome } from '../audit/act.ts';
import { noteInJournal } from '../audit/journal.ts';
import { type Read, read } from '../audit/read.ts';
import { record } from '../audit/record.ts';
import { type Actor, type AgencyActor, authorise, expectVersion, type Relation, type SystemActor } from '../core/access.ts';
import type { Role, Scope } from '../core/codes.ts';
import { Problem, raise } from '../core/problem.ts';
import { conflictOn, type Tx } from '../platform/database.ts';
import { decodeCursor, encodeCursor, type Page, pageLimit, toPage } from '../platform/http/paging.ts';
import { newId } from '../platform/ids.ts';
import type { Services } from '../services.ts';
import { type GivenKey, readKeys, thumbprintsOf } from './keys.ts';
import { keptOf, newSecret } from './secrets.ts';
import {
  type CaseworkerRow,
  type Certification,
  type ClientRow,
  countActiveClients,
  countActiveSupervisors,
  deleteSecrets,
  findCaseworker,
  findClient,
  hadActiveClient,
  insertCaseworker,
  insertClient,
  insertSecret,
  listCaseworkers as listCaseworkerRows,
  listClients as listClientRows,
  lockAgencyAccess,
  lockCaseworker,
  lockClient,
  replaceKeys,
  retireSecrets,
  saveCaseworker,
  saveClient,
} from './store.ts';
import { type ClientView, viewClient, viewClients } from './view.ts';

/**
 * Who may act for an agency: its clients (systems) and its caseworkers (people). Both are the agency's own affair; what an
 * administrator adds to another agency waits until that agency's supervisor enables it, so that nobody can act for an agency
 * without its knowledge. To everybody else neither exists.
 *
 * The exception is a beginning: an agency that has no active supervisor, or never had a client, could enable nothing, and
 * nobody could act for it at all. What an administrator adds to it starts active. It happens once: the last active supervisor
 * cannot be taken away, and a client that was revoked still counts.
 */

/** How long a secret still works beside what replaces it. */
export const OVERLAP_MS = 24 * 3_600_000;

/** What the caller is to the clients and caseworkers of an agency. */
const relationsTo = (actor: AgencyActor, agency_id: string): Relation[] => [
  ...(actor.agency_id === agency_id ? (['self'] as const) : []),
  ...(actor.scopes.has('admin') ? (['admin'] as const) : []),
];

export const viewCaseworker = async (tx: Tx, id: string): Promise<CaseworkerRow> =>
  (await findCaseworker(tx, id)) ?? raise('not_found');

/**
 * Makes a client of the agency, with a secret that the answer alone holds, or with public keys and no secret.
 * @throws Problem `not_found`, `forbidden`, `insufficient_scope` for scopes that the caller could not give, `unprocessable` for
 *   keys that are none
 */
export const createClient = (
  services: Services,
  actor: AgencyActor,
  agency_id: string,
  body: { scopes: Scope[]; description?: string | null; jwks?: { keys: GivenKey[] } },
): Promise<Outcome<ClientView>> =>
  act(services, actor, 'client.create', viewClient, async (tx, now) => {
    await requireAgency(tx, actor, agency_id);
    authorise(actor, 'client.manage', relationsTo(actor, agency_id));
    requireGivable(actor, body.scopes);
    const keys = await readKeys(body.jwks?.keys ?? [], '/jwks/keys');

    const id = newId('cli');
    const status = await startingStatus(tx, actor, agency_id);
    const { scopes, description = null } = body;
    await insertClient(tx, { id, agency_id, description, scopes, status, created_at: now, updated_at: now });
    await replaceKeys(tx, id, keys, now);
    const shown_once = keys.length > 0 ? undefined : { secret: await giveSecret(tx, id, now) };
    const receipt = await record(services, tx, actor, {
      action: 'client.create',
      resource_type: 'client',
      subjects: [{ subject_id: id, agency_id, scopes, status, ...thumbprintsOf(keys) }],
    });
    return { id, receipt, ...(shown_once ? { shown_once } : {}) };
  });

/**
 * Gives a client of one's own agency a new secret; the one in use works for 24 hours more, older ones no longer. An
 * administrator cannot do this for another agency: it would then hold that agency's secret.
 * @throws Problem `not_found`, `forbidden`, `insufficient_scope`, `precondition_failed`, `wrong_state`
 */
export const rotateClientSecret = (services: Services, actor: AgencyActor, client_id: string): Promise<Outcome<ClientView>> =>
  act(services, actor, 'client.rotate_secret', viewClient, async (tx, now) => {
    const client = await lockOwn(tx, actor, client_id);
    expectVersion(actor, client.version);
    refuseRevoked(client);

    await retireSecrets(tx, client_id, new Date(now.getTime() + OVERLAP_MS));
    const secret = await giveSecret(tx, client_id, now);
    await saveClient(tx, client_id, {}, now);
    const receipt = await recordClient(services, tx, actor, 'client.rotate_secret', client_id, ['secret']);
    return { id: client_id, receipt, shown_once: { secret } };
  });

/**
 * Ends a client for ever, from its next request on. The last one with which the agency can act is not its own to end: what an
 * administrator made instead could be enabled by nobody.
 * @throws Problem `not_found`, `forbidden`, `unprocessable` where none would be left, `precondition_failed`, `wrong_state`
 */
export const revokeClient = (services: Services, actor: AgencyActor, client_id: string): Promise<Outcome<ClientView>> =>
  act(services, actor, 'client.revoke', viewClient, async (tx, now) => {
    const { agency_id } = (await findClient(tx, client_id)) ?? raise('not_found');
    await lockAgencyAccess(tx, agency_id);
    const client = await lockManaged(tx, actor, client_id);
    const is_own = agency_id === actor.agency_id && client.status === 'active';
    if (is_own && (await countActiveClients(tx, agency_id)) === 1) {
      throw new Problem('unprocessable', { detail: 'It is the last active client of the agency: make another one first.' });
    }
    expectVersion(actor, client.version);
    refuseRevoked(client);

    await endClient(services, tx, client_id, now);
    return { id: client_id, receipt: await recordClient(services, tx, actor, 'client.revoke', client_id, ['status']) };
  });

async function endClient(services: Services, tx: Tx, client_id: string, now: Date): Promise<void> {
  await saveClient(tx, client_id, { status: 'revoked' }, now);
  await deleteSecrets(tx, client_id);
  await replaceKeys(tx, client_id, [], now);
  noteInJournal(services, tx, { kind: 'revoked', id: client_id, at: now });
}

/** Ends a client that had been revoked before the database was restored from an older copy. */
export async function revokeAgain(services: Services, tx: Tx, actor: SystemActor, client_id: string): Promise<void> {
  const client = await lockClient(tx, client_id);
  if (!client || client.status === 'revoked') return;
  await endClient(services, tx, client_id, services.now());
  await recordClient(services, tx, actor, 'client.revoke', client_id, ['status']);
}

/**
 * The agency's own supervisor lets a client that somebody else made act for it.
 * @throws Problem `not_found`, `forbidden`, `precondition_failed`, `wrong_state`
 */
export const enableClient = (services: Services, actor: AgencyActor, client_id: string): Promise<Outcome<ClientView>> =>
  act(services, actor, 'client.enable', viewClient, async (tx, now) => {
    const client = (await lockClient(tx, client_id)) ?? raise('not_found');
    authorise(actor, 'client.enable', relationsTo(actor, client.agency_id));
    expectVersion(actor, client.version);
    if (client.status !== 'disabled') throw wrongState(client);

    await saveClient(tx, client_id, { status: 'active' }, now);
    return { id: client_id, receipt: await recordClient(services, tx, actor, 'client.enable', client_id, ['status']) };
  });

/** The agency's clients, newest first. @throws Problem `not_found`, `forbidden` */
export const listClients = (
  services: Services,
  actor: AgencyActor,
  agency_id: string,
  query: PageOf,
): Promise<Read<Page<ClientView>>> =>
  read(services, actor, 'client.list', { subject_id: agency_id }, async tx => {
    await requireAgency(tx, actor, agency_id);
    authorise(actor, 'client.manage', relationsTo(actor, agency_id));
    return pageById(query, async (before, limit) => viewClients(tx, await listClientRows(tx, agency_id, before, limit)));
  });

/** @throws Problem `not_found`, `forbidden` */
export const getClient = (services: Services, actor: AgencyActor, client_id: string): Promise<Read<ClientView>> =>
  read(services, actor, 'client.read', { subject_id: client_id }, async tx => {
    const client = await viewClient(tx, client_id);
    authorise(actor, 'client.manage', relationsTo(actor, client.agency_id));
    return client;
  });

/**
 * Adds a caseworker to the agency.
 * @throws Problem `not_found`, `forbidden`, `already_exists` where the agency has that staff code
 */
export const createCaseworker = (
  services: Services,
  actor: AgencyActor,
  agency_id: string,
  body: { staff_code: string; roles: Role[]; languages?: string[]; certifications?: CertificationInput[] },
): Promise<Outcome<CaseworkerRow>> =>
  act(services, actor, 'caseworker.create', viewCaseworker, async (tx, now) => {
    await requireAgency(tx, actor, agency_id);
    authorise(actor, 'caseworker.manage', relationsTo(actor, agency_id));

    const id = newId('cwk');
    const { staff_code, roles, languages = [], certifications = [] } = body;
    const status = await startingStatus(tx, actor, agency_id);
    await insertCaseworker(tx, {
      id,
      agency_id,
      staff_code,
      roles,
      languages,
      certifications: certifications.map(withExpiry),
      status,
      created_at: now,
      updated_at: now,
    }).catch(conflictOn('caseworkers_agency_id_staff_code_key', 'The agency has a caseworker with this staff code.'));
    const receipt = await record(services, tx, actor, {
      action: 'caseworker.create',
      resource_type: 'caseworker',
      subjects: [{ subject_id: id, agency_id, roles, status }],
    });
    return { id, receipt };
  });

/**
 * Changes a caseworker of one's own agency.
 * @throws Problem `not_found`, `forbidden`, `unprocessable` where no active supervisor would be left, `precondition_required`,
 *   `precondition_failed`
 */
export const changeCaseworker = (
  services: Services,
  actor: AgencyActor,
  caseworker_id: string,
  patch: { roles?: Role[]; languages?: string[]; certifications?: CertificationInput[]; status?: 'active' | 'inactive' },
): Promise<Outcome<CaseworkerRow>> =>
  act(services, actor, 'caseworker.change', viewCaseworker, async (tx, now) => {
    const { agency_id } = (await findCaseworker(tx, caseworker_id)) ?? raise('not_found');
    await lockAgencyAccess(tx, agency_id);
    const caseworker = (await lockCaseworker(tx, caseworker_id)) ?? raise('not_found');
    authorise(actor, 'caseworker.change', relationsTo(actor, agency_id));
    const { certifications, ...rest } = patch;
    const change = { ...rest, ...(certifications ? { certifications: certifications.map(withExpiry) } : {}) };
    await keepSupervisor(tx, caseworker, { ...caseworker, ...change });
    expectVersion(actor, caseworker.version, { required: true });

    await saveCaseworker(tx, caseworker_id, change, now);
    const receipt = await record(services, tx, actor, {
      action: 'caseworker.change',
      resource_type: 'caseworker',
      subjects: [
        {
          subject_id: caseworker_id,
          agency_id,
          changed: Object.keys(patch),
          ...(patch.roles ? { roles: patch.roles } : {}),
          ...(patch.status ? { status: patch.status } : {}),
        },
      ],
    });
    return { id: caseworker_id, receipt };
  });

/** The agency's caseworkers, newest first. @throws Problem `not_found`, `forbidden` */
export const listCaseworkers = (
  services: Services,
  actor: AgencyActor,
  agency_id: string,
  query: PageOf,
): Promise<Read<Page<CaseworkerRow>>> =>
  read(services, actor, 'caseworker.list', { subject_id: agency_id }, async tx => {
    await requireAgency(tx, actor, agency_id);
    authorise(actor, 'caseworker.manage', relationsTo(actor, agency_id));
    return pageById(query, (before, limit) => listCaseworkerRows(tx, agency_id, before, limit));
  });

/** @throws Problem `not_found`, `forbidden` */
export const getCaseworker = (services: Services, actor: AgencyActor, caseworker_id: string): Promise<Read<CaseworkerRow>> =>
  read(services, actor, 'caseworker.read', { subject_id: caseworker_id }, async tx => {
    const caseworker = await viewCaseworker(tx, caseworker_id);
    authorise(actor, 'caseworker.manage', relationsTo(actor, caseworker.agency_id));
    return caseworker;
  });

type CertificationInput = Omit<Certification, 'expires_on'> & { expires_on?: string | null };

const withExpiry = (certification: CertificationInput): Certification => ({ expires_on: null, ...certification });

/** Agencies are in the directory, but who acts for them is not: to others both are absent alike. */
async function requireAgency(tx: Tx, actor: AgencyActor, agency_id: string): Promise<void> {
  if (relationsTo(actor, agency_id).length === 0 || !(await findAgency(tx, agency_id))) throw new Problem('not_found');
}

async function lockManaged(tx: Tx, actor: AgencyActor, client_id: string): Promise<ClientRow> {
  const client = (await lockClient(tx, client_id)) ?? raise('not_found');
  authorise(actor, 'client.manage', relationsTo(actor, client.agency_id));
  return client;
}

/** What its system authenticates with is the agency's own affair, and no administrator's of another agency. */
export async function lockOwn(tx: Tx, actor: AgencyActor, client_id: string): Promise<ClientRow> {
  const client = await lockManaged(tx, actor, client_id);
  if (client.agency_id !== actor.agency_id) throw new Problem('forbidden');
  requireGivable(actor, client.scopes);
  return client;
}

async function giveSecret(tx: Tx, client_id: string, now: Date): Promise<string> {
  const secret = newSecret();
  await insertSecret(tx, client_id, await keptOf(secret), now);
  return secret;
}

/** Nobody gives, or comes to hold by a new secret, a scope that its own token lacks; an administrator may give any. */
function requireGivable(actor: AgencyActor, scopes: readonly Scope[]): void {
  const missing = scopes.filter(scope => !actor.scopes.has(scope));
  if (missing.length > 0 && !actor.scopes.has('admin')) throw new Problem('insufficient_scope', { members: { scopes: missing } });
}

async function startingStatus(tx: Tx, actor: AgencyActor, agency_id: string): Promise<'active' | 'disabled'> {
  if (actor.agency_id === agency_id) return 'active';
  await lockAgencyAccess(tx, agency_id);
  const could_enable = (await countActiveSupervisors(tx, agency_id)) > 0 && (await hadActiveClient(tx, agency_id));
  return could_enable ? 'disabled' : 'active';
}

async function keepSupervisor(tx: Tx, before: CaseworkerRow, after: CaseworkerRow): Promise<void> {
  const supervises = ({ status, roles }: CaseworkerRow) => status === 'active' && roles.includes('supervisor');
  if (supervises(before) && !supervises(after) && (await countActiveSupervisors(tx, before.agency_id)) === 1) {
    throw new Problem('unprocessable', { detail: 'The agency would be left without an active supervisor.' });
  }
}

export function refuseRevoked(client: ClientRow): void {
  if (client.status === 'revoked') throw wrongState(client);
}

const CLIENT_ACTIONS: Record<ClientRow['status'], string[]> = {
  active: ['rotate_secret', 'set_keys', 'revoke'],
  disabled: ['enable', 'rotate_secret', 'set_keys', 'revoke'],
  revoked: [],
};

const wrongState = ({ status }: ClientRow): Problem =>
  new Problem('wrong_state', { members: { state: status, allowed_actions: CLIENT_ACTIONS[status] } });

const recordClient = (
  services: Services,
  tx: Tx,
  actor: Actor,
  action: string,
  client_id: string,
  changed: string[],
): Promise<string> =>
  record(services, tx, actor, { action, resource_type: 'client', subjects: [{ subject_id: client_id, changed }] });

interface PageOf {
  limit?: number;
  cursor?: string;
}

async function pageById<Row extends { id: string }>(
  query: PageOf,
  list: (before: string | undefined, limit: number) => Promise<Row[]>,
): Promise<Page<Row>> {
  const limit = pageLimit(query);
  const [before] = (decodeCursor(query.cursor, 1) ?? []) as [string?];
  const rows = await list(before, limit + 1);
  return toPage(
    rows,
    limit,
    row => encodeCursor(row.id),
    row => row,
  );
}
