import { existsSync } from 'node:fs';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { sql } from 'kysely';
import { keptOf, newSecret } from './access/secrets.ts';
import { insertCaseworker, insertClient, insertSecret, type KeptSecret } from './access/store.ts';
import { insertAgency, insertCapacity, insertService } from './agencies/store.ts';
import { record } from './audit/record.ts';
import { systemActor } from './core/access.ts';
import { type AgencyKind, type Role, SCOPES, type Scope, type Service } from './core/codes.ts';
import { ConfigError } from './platform/config.ts';
import { type Db, type Tx, transact } from './platform/database.ts';
import { newId } from './platform/ids.ts';
import { fastPack, illustrativePack } from './rules/packs.ts';
import { insertRulePack } from './rules/store.ts';
import type { Services } from './services.ts';

/**
 * The demonstration: a whole mechanism of fictional agencies in two fictional jurisdictions, `XA` with illustrative clocks and
 * `XB` with a night in seconds. A database that holds it is marked so for ever.
 */

export interface DemoCredentials {
  jurisdictions: { normal: string; fast: string };
  agencies: Record<DemoAgencyKey, DemoAgency>;
}

export interface DemoAgency {
  id: string;
  kind: AgencyKind;
  client_id: string;
  client_secret: string;
  /** The worker, then the supervisor. */
  caseworkers: [DemoCaseworker, DemoCaseworker];
}

export interface DemoCaseworker {
  staff_code: string;
  roles: Role[];
}

interface Described {
  name: string;
  kind: AgencyKind;
  staff: string;
  worker: readonly Role[];
  services?: Partial<Record<Service, Offered>>;
  places?: number;
  competent_authority?: true;
  first_responder?: true;
  admin?: true;
}

interface Offered {
  sexes?: ('female' | 'male')[];
  min_age?: number;
  accepts_dependants?: boolean;
  location_protected?: true;
}

const NORMAL = 'XA';
const FAST = 'XB';
const REGIONS = ['XA-1', 'XA-2', 'XB-1', 'XB-2'];

const FRONT_LINE: readonly Role[] = ['operator', 'caseworker', 'screener'];
const ADULT = 18;
/** What its rules ask screeners for, every one of them holds. */
const CERTIFICATES = fastPack(FAST).certifications.map(({ course }) => ({
  course,
  completed_on: '2026-01-05',
  expires_on: null,
}));

const MECHANISM = {
  helpline_a: { name: 'Daybreak Helpline', kind: 'hotline', staff: 'DH', worker: FRONT_LINE, first_responder: true },
  helpline_b: { name: 'Open Line', kind: 'hotline', staff: 'OL', worker: FRONT_LINE, first_responder: true },
  shelter_a: {
    name: 'Cedar House',
    kind: 'shelter',
    staff: 'CH',
    worker: ['caseworker'],
    services: { shelter_accommodation: { sexes: ['female'], accepts_dependants: false, location_protected: true } },
    places: 4,
  },
  shelter_b: {
    name: 'Olive House',
    kind: 'shelter',
    staff: 'OH',
    worker: ['caseworker'],
    services: { shelter_accommodation: { sexes: ['female'], min_age: ADULT, location_protected: true } },
    places: 6,
  },
  shelter_c: {
    name: 'Harbour House',
    kind: 'shelter',
    staff: 'HH',
    worker: ['caseworker'],
    services: { shelter_accommodation: { sexes: ['male'], min_age: ADULT, accepts_dependants: false } },
    places: 4,
  },
  labour_inspection: {
    name: 'Labour Inspection Office',
    kind: 'labour_inspection',
    staff: 'LI',
    worker: FRONT_LINE,
    services: { labour_claim_wage_recovery: {} },
    first_responder: true,
  },
  prosecution: {
    name: 'Public Prosecution Office',
    kind: 'prosecution',
    staff: 'PP',
    worker: ['caseworker'],
    services: { identification: {}, criminal_investigation: {}, victim_witness_protection: {} },
    competent_authority: true,
  },
  health: {
    name: 'City Clinic',
    kind: 'health',
    staff: 'CC',
    worker: ['caseworker'],
    services: { medical: {} },
    first_responder: true,
  },
  civil_society: {
    name: 'Lantern Association',
    kind: 'civil_society',
    staff: 'LA',
    worker: ['caseworker'],
    services: { psychosocial: {}, legal_aid: {} },
  },
  committee: {
    name: 'National Coordination Committee',
    kind: 'coordination_committee',
    staff: 'NC',
    worker: ['coordinator'],
    admin: true,
  },
  audit_body: { name: 'Office of the Ombudsperson', kind: 'audit_body', staff: 'OO', worker: ['auditor'] },
} as const satisfies Record<string, Described>;

export type DemoAgencyKey = keyof typeof MECHANISM;

/** Whether this database was ever seeded with the demonstration. */
export async function isDemo(db: Db): Promise<boolean> {
  return (await db.selectFrom('deployment').select('name').where('name', '=', 'demo').executeTakeFirst()) !== undefined;
}

/**
 * Loads the demonstration and writes its credentials to a file that only its owner may read. The file is there before the
 * database is: a crash between the two leaves credentials for nothing, never a demonstration that nobody can enter. On a
 * database that holds the demonstration already, only `base_url` in the file is brought up to date.
 * @throws ConfigError where the database holds other agencies
 */
export async function loadDemo(
  services: Services,
  { base_url, credentials_path }: { base_url: string; credentials_path: string },
): Promise<void> {
  const write = (credentials: DemoCredentials) => writePrivately(credentials_path, { base_url, ...credentials });
  if (!(await isDemo(services.db)) && (await prepareDemo(services, write))) return;
  if (!existsSync(credentials_path)) return;
  const credentials = JSON.parse(await readFile(credentials_path, 'utf8')) as DemoCredentials & { base_url: string };
  if (credentials.base_url !== base_url) await writePrivately(credentials_path, { ...credentials, base_url });
}

/**
 * Puts the demonstration into an empty database.
 * @param beforeCommit is handed the credentials while nothing is final yet
 * @returns the credentials; null where another process has loaded it meanwhile
 * @throws ConfigError where the database holds other agencies
 */
export async function prepareDemo(
  services: Services,
  beforeCommit: (credentials: DemoCredentials) => Promise<void> = async () => {},
): Promise<DemoCredentials | null> {
  const keys = Object.keys(MECHANISM) as DemoAgencyKey[];
  const secrets = await Promise.all(
    keys.map(async () => {
      const secret = newSecret();
      return { secret, kept: await keptOf(secret) };
    }),
  );
  return transact(services, systemActor('setup'), async tx => {
    // One at a time: of two processes that start together on an empty database, the second finds it loaded.
    await sql`select pg_advisory_xact_lock(hashtextextended('setup', 0))`.execute(tx);
    if (await isDemo(tx)) return null;
    await refuseOtherAgencies(tx);
    const now = services.now();
    const agencies: Partial<Record<DemoAgencyKey, DemoAgency>> = {};
    for (const [i, key] of keys.entries()) agencies[key] = await insertDemoAgency(tx, MECHANISM[key], i, secrets[i]!, now);
    const credentials = { jurisdictions: { normal: NORMAL, fast: FAST }, agencies: agencies as DemoCredentials['agencies'] };

    for (const pack of [illustrativePack(NORMAL), fastPack(FAST)]) await insertRulePack(tx, pack, 1, now);
    await tx
      .insertInto('deployment')
      .values({ name: 'demo', value: JSON.stringify({ loaded_at: now }) })
      .execute();
    await record(services, tx, systemActor('setup'), { action: 'demo.load', resource_type: 'demo' });
    await beforeCommit(credentials);
    return credentials;
  });
}

async function refuseOtherAgencies(tx: Tx): Promise<void> {
  const other = await tx.selectFrom('agencies').select('id').limit(1).executeTakeFirst();
  if (other) throw new ConfigError('the demonstration is refused: this database holds agencies already');
}

async function insertDemoAgency(
  tx: Tx,
  it: Described,
  number: number,
  { secret, kept }: { secret: string; kept: KeptSecret },
  now: Date,
): Promise<DemoAgency> {
  const made = { created_at: now, updated_at: now };
  const id = newId('agy');
  await insertAgency(tx, {
    id,
    name: it.name,
    kind: it.kind,
    jurisdictions: [NORMAL, FAST],
    regions: REGIONS,
    languages: [],
    competent_authority: it.competent_authority ?? false,
    first_responder: it.first_responder ?? false,
    // Says nothing of who answers.
    duty_contact: `duty desk, +999 0100 ${String(number).padStart(4, '0')}`,
    calendar_id: null,
    status: 'active',
    operating_mode: 'open',
    ...made,
  });

  const client_id = newId('cli');
  const scopes: Scope[] = SCOPES.filter(scope => scope !== 'admin' || it.admin);
  await insertClient(tx, { id: client_id, agency_id: id, description: 'demonstration', scopes, status: 'active', ...made });
  await insertSecret(tx, client_id, kept, now);

  const caseworkers: DemoAgency['caseworkers'] = [
    { staff_code: `${it.staff}-1`, roles: [...it.worker] },
    { staff_code: `${it.staff}-2`, roles: [...new Set<Role>([...it.worker, 'supervisor', 'auditor'])] },
  ];
  for (const caseworker of caseworkers) {
    const certifications = caseworker.roles.includes('screener') ? CERTIFICATES : [];
    const row = { id: newId('cwk'), agency_id: id, languages: [], certifications, ...caseworker, ...made };
    await insertCaseworker(tx, { ...row, status: 'active' });
  }

  for (const [service, offered] of Object.entries(it.services ?? {}) as [Service, Offered][]) {
    await insertService(tx, {
      agency_id: id,
      service,
      regions: REGIONS,
      sexes: [],
      min_age: null,
      max_age: null,
      accepts_dependants: true,
      languages: [],
      protection_statuses: [],
      intake_hours: null,
      location_protected: false,
      status: 'active',
      suspended_reason: null,
      ...offered,
      ...made,
    });
    if (it.places !== undefined) await insertCapacity(tx, { agency_id: id, service, total: it.places, held_elsewhere: 0 }, now);
  }
  return { id, kind: it.kind, client_id, client_secret: secret, caseworkers };
}

/** Whole or not at all, and never readable by others, not even for a moment. */
async function writePrivately(path: string, value: unknown): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const fresh = `${path}.${process.pid}.new`;
  await writeFile(fresh, `${JSON.stringify(value, null, 2)}\n`, { mode: 0o600, flush: true });
  await rename(fresh, path);
}
