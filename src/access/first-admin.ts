import { sql } from 'kysely';
import { insertAgency } from '../agencies/store.ts';
import { record } from '../audit/record.ts';
import { systemActor } from '../core/access.ts';
import { type AgencyKind, type Role, SCOPES } from '../core/codes.ts';
import { ConfigError } from '../platform/config.ts';
import { transact } from '../platform/database.ts';
import { newId } from '../platform/ids.ts';
import type { Services } from '../services.ts';
import { hashSecret, newSecret } from './secrets.ts';
import { insertCaseworker, insertClient, insertSecret, scopeIsHeld } from './store.ts';

export interface FirstAdminOptions {
  agency: string;
  kind: AgencyKind;
  jurisdictions: readonly string[];
  staff_code: string;
}

/**
 * The beginning of a deployment, done once by whoever runs it: the first agency, its supervisor, and a client with every scope.
 * Everything after that goes through the API. The secret is returned here and kept nowhere.
 * @throws ConfigError when a client holds the scope `admin` already
 */
export async function createFirstAdmin(
  services: Services,
  { agency, kind, jurisdictions, staff_code }: FirstAdminOptions,
): Promise<{ agency_id: string; client_id: string; client_secret: string }> {
  const agency_id = newId('agy');
  const client_id = newId('cli');
  const client_secret = newSecret();
  const hash = await hashSecret(client_secret);
  return transact(services, systemActor('setup'), async tx => {
    await sql`select pg_advisory_xact_lock(hashtextextended('setup', 0))`.execute(tx);
    if (await scopeIsHeld(tx, 'admin')) throw new ConfigError('a client with the scope admin exists already');

    const now = services.now();
    const made = { created_at: now, updated_at: now };
    await insertAgency(tx, {
      id: agency_id,
      name: agency,
      kind,
      jurisdictions: [...jurisdictions],
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
    await insertSecret(tx, client_id, hash, now);
    await record(services, tx, systemActor('setup'), {
      action: 'admin.create',
      resource_type: 'client',
      subjects: [{ subject_id: client_id, agency_id, caseworker_id, scopes: [...SCOPES] }],
    });
    return { agency_id, client_id, client_secret };
  });
}
