import { keptOf, newSecret } from '../../src/access/secrets.ts';
import { insertCaseworker, insertClient, insertSecret } from '../../src/access/store.ts';
import { signToken } from '../../src/access/tokens.ts';
import { insertAgency, insertCapacity, insertService } from '../../src/agencies/store.ts';
import { systemActor } from '../../src/core/access.ts';
import { type AgencyKind, type Role, SCOPES } from '../../src/core/codes.ts';
import { readConfig } from '../../src/platform/config.ts';
import { type Tx, transact } from '../../src/platform/database.ts';
import { newId } from '../../src/platform/ids.ts';
import { createLogger } from '../../src/platform/log.ts';
import { migrate } from '../../src/platform/migrate.ts';
import { openVault } from '../../src/platform/vault.ts';
import { openServices } from '../../src/services.ts';
import { PUBLIC_URL } from './service.ts';

/** A fictional mechanism of the size of a small country's: helplines that refer, shelters that are asked, a committee, an audit body. */

const JURISDICTION = 'XA';
const REGION = 'XA-1';
const HELPLINES = 4;
const SHELTERS = 12;
/** So many that no shelter is ever full. */
const PLACES = 100_000;

export interface Party {
  id: string;
  client_id: string;
  client_secret: string;
  staff_code: string;
}

export interface World {
  helplines: Party[];
  shelters: Party[];
  committee: Party;
  audit_body: Party;
  parties: Party[];
  /** Signs everybody a new token where the last ones are getting old. */
  refresh(): Promise<void>;
  /** A token for everything that a client may. */
  tokenFor(client_id: string): Promise<string>;
  /** What a caseworker's system sends with every request. */
  headersOf(party: Party): Record<string, string>;
}

/** Migrates the database and puts the mechanism into it. */
export async function makeWorld(database_url: string, dir: string): Promise<World> {
  await migrate(database_url);
  const config = readConfig({ DATABASE_URL: database_url, DATA_DIR: dir, PUBLIC_URL, LOG_LEVEL: 'warn' });
  const services = await openServices(config, createLogger(config.log_level), database_url);
  const made: Record<'helplines' | 'shelters' | 'others', Party[]> = { helplines: [], shelters: [], others: [] };
  const client_secret = newSecret();
  const kept = await keptOf(client_secret);
  const enter = async (tx: Tx, kind: AgencyKind, name: string, roles: Role[]): Promise<Party> => {
    const party = await insertParty(tx, kind, name, roles);
    await insertSecret(tx, party.client_id, kept, new Date());
    return { ...party, client_secret };
  };
  try {
    await transact(services, systemActor('setup'), async tx => {
      for (let i = 1; i <= HELPLINES; i++)
        made.helplines.push(
          await enter(tx, 'hotline', `Sample Helpline ${i}`, ['operator', 'caseworker', 'screener', 'supervisor', 'auditor']),
        );
      for (let i = 1; i <= SHELTERS; i++) {
        const shelter = await enter(tx, 'shelter', `Sample House ${i}`, ['caseworker', 'supervisor']);
        await offerShelter(tx, shelter.id, i % 2 === 0);
        made.shelters.push(shelter);
      }
      made.others.push(await enter(tx, 'coordination_committee', 'Sample Committee', ['coordinator', 'supervisor']));
      made.others.push(await enter(tx, 'audit_body', 'Sample Audit Body', ['auditor', 'supervisor']));
    });
  } finally {
    await services.close();
  }

  const { helplines, shelters, others } = made;
  const parties = [...helplines, ...shelters, ...others];
  const issuing = { vault: openVault(config.keyring_path, { create: false }), config, now: () => new Date() };
  const tokenFor = (client_id: string) => signToken(issuing, { client_id, scopes: SCOPES });
  const tokens = new Map<string, string>();
  let signed_at = Number.NEGATIVE_INFINITY;
  return {
    helplines,
    shelters,
    committee: others[0]!,
    audit_body: others[1]!,
    parties,
    async refresh() {
      if (performance.now() - signed_at < 60_000) return;
      for (const { client_id } of parties) tokens.set(client_id, await tokenFor(client_id));
      signed_at = performance.now();
    },
    tokenFor,
    headersOf: ({ client_id, staff_code }) => ({
      authorization: `Bearer ${tokens.get(client_id)}`,
      'acting-caseworker': staff_code,
    }),
  };
}

async function insertParty(tx: Tx, kind: AgencyKind, name: string, roles: Role[]): Promise<Omit<Party, 'client_secret'>> {
  const now = new Date();
  const made = { created_at: now, updated_at: now };
  const party = { id: newId('agy'), client_id: newId('cli'), staff_code: 'S-1' };
  await insertAgency(tx, {
    id: party.id,
    name,
    kind,
    jurisdictions: [JURISDICTION],
    regions: [REGION],
    languages: ['ar'],
    competent_authority: false,
    first_responder: kind === 'hotline',
    duty_contact: 'duty desk, +999 0100 0000',
    calendar_id: null,
    status: 'active',
    operating_mode: 'open',
    ...made,
  });
  const scopes = SCOPES.filter(scope => scope !== 'admin');
  await insertClient(tx, { id: party.client_id, agency_id: party.id, description: 'sample', scopes, status: 'active', ...made });
  await insertCaseworker(tx, {
    id: newId('cwk'),
    agency_id: party.id,
    staff_code: party.staff_code,
    roles,
    languages: [],
    certifications: [],
    status: 'active',
    ...made,
  });
  return party;
}

async function offerShelter(tx: Tx, agency_id: string, location_protected: boolean): Promise<void> {
  const now = new Date();
  const service = 'shelter_accommodation';
  await insertService(tx, {
    agency_id,
    service,
    regions: [],
    sexes: ['female'],
    min_age: null,
    max_age: null,
    accepts_dependants: true,
    languages: [],
    protection_statuses: [],
    intake_hours: null,
    location_protected,
    status: 'active',
    suspended_reason: null,
    created_at: now,
    updated_at: now,
  });
  await insertCapacity(tx, { agency_id, service, total: PLACES, held_elsewhere: 0 }, now);
}

/** What a helpline writes down in a first talk, and what it asks for. */

export const caseBody = () => ({
  track: 'named',
  jurisdiction: JURISDICTION,
  region: REGION,
  risk: 'high',
  intake: {
    channel: 'hotline',
    received_at: new Date(Date.now() - 300_000).toISOString(),
    narrative:
      'Sample narrative. Answered an advertisement for work in a hotel; passport taken on arrival, debts claimed, not let out alone since. Rang from a borrowed telephone and can speak freely until the evening.',
  },
  person: {
    given_name: 'Testname',
    family_name: 'Placeholder',
    date_of_birth: '1999-04-02',
    sex: 'female',
    nationalities: ['XX'],
    languages: ['ar'],
    protection_status: 'unknown',
    safe_contact: { safe_to_call: true, method: 'phone', value: '+999 0000 0000', window: 'after 20:00' },
  },
  needs: ['shelter_accommodation'],
  danger_flags: ['trafficker_knows_address'],
});

export const consentBody = {
  given_by: 'person',
  recipient: { agency_kind: 'shelter' },
  purposes: ['shelter_accommodation'],
  categories: ['identity', 'contact', 'demographics', 'narrative', 'health'],
  interview_language: 'ar',
  explained_by: 'S-1',
  spoken_in_private: true,
};

export const referralBody = {
  service: 'shelter_accommodation',
  urgency: 'urgent',
  routing: 'automatic',
  categories: ['identity', 'contact', 'demographics', 'narrative'],
  note: 'Please ring first, and ask for the duty desk.',
};
