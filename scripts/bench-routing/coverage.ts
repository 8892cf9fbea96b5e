import { monitorEventLoopDelay } from 'node:perf_hooks';
import { insertAgency, insertCapacity, insertService } from '../../src/agencies/store.ts';
import { type AgencyActor, systemActor } from '../../src/core/access.ts';
import { AGENCY_KINDS, PROTECTION_STATUSES, SEXES } from '../../src/core/codes.ts';
import { COVERED_SERVICES } from '../../src/core/coverage.ts';
import { readCoverage } from '../../src/figures/coverage/query.ts';
import { readConfig } from '../../src/platform/config.ts';
import { type Tx, transact } from '../../src/platform/database.ts';
import { newId } from '../../src/platform/ids.ts';
import { createLogger } from '../../src/platform/log.ts';
import { openServices, type Services } from '../../src/services.ts';

/** How long the coverage of a country takes, whole, and for how long it holds up the process that answers. */

export interface CoverageResult {
  services: number;
  /** At all three times. */
  profiles: number;
  gaps: number;
  /** Milliseconds of each round, from the call to the answer. */
  rounds_ms: number[];
  /** Without anything else going on in the process. */
  longest_block_ms: number;
}

const COUNTRY = 'XC';
const REGIONS = Array.from({ length: 30 }, (_, i) => `${COUNTRY}-${i + 1}`);
const LANGUAGES = ['ar', 'ckb', 'en', 'am', 'ti', 'tr'];
const KINDS = AGENCY_KINDS.filter(kind => !['coordination_committee', 'audit_body', 'consular'].includes(kind));

/** @param count of services, in a country of which the database knows nothing yet */
export async function measureCoverage(
  { database_url, dir }: { database_url: string; dir: string },
  { count, rounds }: { count: number; rounds: number },
): Promise<CoverageResult> {
  const config = readConfig({ DATABASE_URL: database_url, DATA_DIR: dir, LOG_LEVEL: 'warn', ROLES: 'api' });
  const services = await openServices(config, createLogger('warn'), database_url);
  try {
    const coordinator = await fillCountry(services, count);
    const blocks = monitorEventLoopDelay({ resolution: 1 });
    const result: CoverageResult = { services: count, profiles: 0, gaps: 0, rounds_ms: [], longest_block_ms: 0 };
    for (let round = 0; round < rounds; round += 1) {
      blocks.enable();
      const began_at = performance.now();
      const { view } = await readCoverage(services, coordinator, { jurisdiction: COUNTRY });
      result.rounds_ms.push(performance.now() - began_at);
      blocks.disable();
      result.profiles = view.totals.reduce((sum, { profiles }) => sum + profiles, 0);
      result.gaps = view.totals.reduce((sum, { profiles, covered }) => sum + profiles - covered, 0);
    }
    return { ...result, longest_block_ms: blocks.max / 1e6 };
  } finally {
    await services.close();
  }
}

/** Agencies with one of each service, each with limits of its own. @returns a person of the committee */
async function fillCountry(services: Services, count: number): Promise<AgencyActor> {
  const now = services.now();
  return transact(services, systemActor('setup'), async tx => {
    for (let n = 0; n < count; n += COVERED_SERVICES.length) {
      const agency_id = await enterAgency(tx, now, KINDS[n % KINDS.length]!);
      for (const [i, service] of COVERED_SERVICES.slice(0, count - n).entries()) {
        const of = <T>(values: readonly T[], how_many: number): T[] =>
          Array.from({ length: how_many }, (_, k) => values[(n * 7 + i * 3 + k * 5) % values.length]!);
        await insertService(tx, {
          agency_id,
          service,
          regions: of(REGIONS, 1 + (n % 3)),
          sexes: n % 2 ? of(SEXES, 1) : [],
          min_age: n % 3 ? n % 25 : null,
          max_age: i % 3 ? 20 + ((n + i) % 60) : null,
          accepts_dependants: true,
          languages: of(LANGUAGES, n % 3),
          protection_statuses: n % 5 ? [] : of(PROTECTION_STATUSES, 3),
          intake_hours: null,
          location_protected: false,
          status: 'active',
          suspended_reason: null,
          created_at: now,
          updated_at: now,
        });
        if (n % 4 === 0) await insertCapacity(tx, { agency_id, service, total: i % 2, held_elsewhere: 0 }, now);
      }
    }
    return {
      type: 'agency',
      agency_id: await enterAgency(tx, now, 'coordination_committee'),
      agency_kind: 'coordination_committee',
      jurisdictions: [COUNTRY],
      competent_authority: false,
      first_responder: false,
      suspended: false,
      client_id: newId('cli'),
      scopes: new Set(['figures.read']),
      caseworker: { id: newId('cwk'), staff_code: 'BENCH-1', roles: ['coordinator'] },
      request: { id: 'bench' },
    };
  });
}

async function enterAgency(tx: Tx, now: Date, kind: (typeof AGENCY_KINDS)[number]): Promise<string> {
  const id = newId('agy');
  await insertAgency(tx, {
    id,
    kind,
    name: id,
    jurisdictions: [COUNTRY],
    regions: [],
    languages: [],
    competent_authority: true,
    first_responder: false,
    duty_contact: null,
    calendar_id: null,
    status: 'active',
    operating_mode: 'open',
    created_at: now,
    updated_at: now,
  });
  return id;
}
