import { sql } from 'kysely';
import type { TSchema } from 'typebox';
import { Value } from 'typebox/value';
import { findAgency, insertAgency } from '../agencies/store.ts';
import { record } from '../audit/record.ts';
import { systemActor } from '../core/access.ts';
import { type AgencyKind, type Role, SCOPES } from '../core/codes.ts';
import { ConfigError } from '../platform/config.ts';
import { type Tx, transact } from '../platform/database.ts';
import { Jurisdiction, StaffCode, Text } from '../platform/http/openapi.ts';
import { newId } from '../platform/ids.ts';
import type { Services } from '../services.ts';
import { keptOf, newSecret } from './secrets.ts';
import { insertCaseworker, insertClient, insertSecret, listScopesOf, scopeIsHeld } from './store.ts';

export interface FirstAdminOptions {
  agency: string;
  kind: AgencyKind;
  jurisdictions: readonly string[];
  staff_code: string;
}

/**
 * The beginning of a deployment, done once by whoever runs it: the first agency, its supervisor, and a client with every scope.
 * Everything after that goes through the API. The secret is returned here and kept nowhere.
 * @throws ConfigError naming an option that the API would not take, or when a client holds the scope `admin` already
 */
export async function createFirstAdmin(
  services: Services,
  { agency, kind, jurisdictions, staff_code }: FirstAdminOptions,
): Promise<{ agency_id: string; client_id: string; client_secret: string }> {
  requireValid('--agency', 'a name of 1 to 200 characters', Text(200, 1), agency);
  for (const code of jurisdictions) requireValid('--jurisdiction', 'a code of ISO 3166', Jurisdiction(), code);
  requireValid('--staff-code', '1 to 64 printable characters without blanks', StaffCode(), staff_code);

  const agency_id = newId('agy');
  const client_id = newId('cli');
  const client_secret = newSecret();
  const kept = await keptOf(client_secret);
  return transact(services, systemActor('setup'), async tx => {
    await lockSetup(tx);
    if (await scopeIsHeld(tx, 'admin')) throw new ConfigError('a client with the scope admin exists already');

    const now = services.now();
    const made = { created_at: now, updated_at: now };
    await insertAgency(tx, {
      id: agency_id,
      name: agency,
      kind,
      jurisdictions: [...new Set(jurisdictions)],
      regions: [],
      languages: [],
      competent_authority: false,
      first_responder: false,
      duty_contact: null,
      calendar_id: null,
      status: 'active',
      operating_mode: 'open',
      ...made,
    });
    const roles: Role[] = kind === 'coordination_committee' ? ['supervisor', 'coordinator'] : ['supervisor'];
    const caseworker_id = newId('cwk');
    await insertCaseworker(tx, {
      id: caseworker_id,
      agency_id,
      staff_code,
      roles,
      languages: [],
      certifications: [],
      status: 'active',
      ...made,
    });
    await insertClient(tx, {
      id: client_id,
      agency_id,
      description: 'first administrator',
      scopes: [...SCOPES],
      status: 'active',
      ...made,
    });
    await insertSecret(tx, client_id, kept, now);
    await record(services, tx, systemActor('setup'), {
      action: 'admin.create',
      resource_type: 'client',
      subjects: [{ subject_id: client_id, agency_id, caseworker_id, scopes: [...SCOPES] }],
    });
    return { agency_id, client_id, client_secret };
  });
}

/**
 * The way back for an agency with which nobody can act any more: a new active client that may do what its clients could. The
 * secret is returned here and kept nowhere.
 * @throws ConfigError where there is no such agency, or it never had an active client
 */
export async function restoreAccess(
  services: Services,
  agency_id: string,
): Promise<{ client_id: string; client_secret: string }> {
  const client_id = newId('cli');
  const client_secret = newSecret();
  const kept = await keptOf(client_secret);
  return transact(services, systemActor('setup'), async tx => {
    await lockSetup(tx);
    if (!(await findAgency(tx, agency_id))) throw new ConfigError('--agency must be the id of an agency');
    const scopes = await listScopesOf(tx, agency_id);
    if (scopes.length === 0) throw new ConfigError('the agency never had an active client: an administrator makes its first one');

    const now = services.now();
    const made = { created_at: now, updated_at: now };
    await insertClient(tx, { id: client_id, agency_id, description: 'restored access', scopes, status: 'active', ...made });
    await insertSecret(tx, client_id, kept, now);
    await record(services, tx, systemActor('setup'), {
      action: 'client.restore',
      resource_type: 'client',
      subjects: [{ subject_id: client_id, agency_id, scopes }],
    });
    return { client_id, client_secret };
  });
}

/** The operator's commands run one at a time. */
async function lockSetup(tx: Tx): Promise<void> {
  await sql`select pg_advisory_xact_lock(hashtextextended('setup', 0))`.execute(tx);
}

function requireValid(option: string, what: string, schema: TSchema, value: string): void {
  const is_clean = value.isWellFormed() && !value.includes('\0');
  if (!is_clean || !Value.Check(schema, value)) throw new ConfigError(`${option} must be ${what}`);
}
