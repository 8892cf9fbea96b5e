import { sql } from 'kysely';
import type { Tx } from '../../platform/database.ts';
import type { AgencyRow, CapacityRow, ServiceRow } from '../store.ts';

/** The SQL of imports and exports; the only writer of what is remembered of imports. */

/** One import at a time: two of the same directory would make everything twice. */
export const lockImports = (tx: Tx): Promise<unknown> =>
  sql`select pg_advisory_xact_lock(hashtext('aman.directory_imports'))`.execute(tx);

/** The agencies that `source` knows, by the id that it has for them. */
export async function listKnown(tx: Tx, source: string): Promise<Map<string, string>> {
  const rows = await tx
    .selectFrom('directory_sources')
    .select(['foreign_id', 'agency_id'])
    .where('source', '=', source)
    .execute();
  return new Map(rows.map(({ foreign_id, agency_id }) => [foreign_id, agency_id]));
}

export async function insertKnown(
  tx: Tx,
  source: string,
  known: readonly { foreign_id: string; agency_id: string }[],
): Promise<void> {
  await tx
    .insertInto('directory_sources')
    .values(known.map(row => ({ source, ...row })))
    .execute();
}

export interface Entered {
  agencies: Map<string, AgencyRow>;
  services: ServiceRow[];
  capacities: CapacityRow[];
}

const isOneOf = (ids: readonly string[]) => sql<boolean>`= any (${ids})`;

/** Agencies with what they offer; with `lock` neither changes before this transaction ends. Places are locked later, behind offers. */
export async function listEntered(tx: Tx, ids: readonly string[], { lock }: { lock: boolean }): Promise<Entered> {
  const rows = <T extends 'agencies' | 'services' | 'capacities'>(table: T, key: 'id' | 'agency_id') =>
    tx
      .selectFrom(table as 'services')
      .selectAll()
      .where(sql<boolean>`${sql.ref(key)} ${isOneOf(ids)}`)
      .orderBy(sql.ref(key))
      .$if(table !== 'agencies', query => query.orderBy('service'))
      .$if(lock && table !== 'capacities', query => query.forNoKeyUpdate())
      .execute() as unknown;
  const agencies = (await rows('agencies', 'id')) as AgencyRow[];
  const services = (await rows('services', 'agency_id')) as ServiceRow[];
  const capacities = (await rows('capacities', 'agency_id')) as CapacityRow[];
  return { agencies: new Map(agencies.map(agency => [agency.id, agency])), services, capacities };
}

/** The agencies of a jurisdiction, at most so many. */
export async function listAgencyIds(tx: Tx, jurisdiction: string, limit: number): Promise<string[]> {
  const rows = await tx
    .selectFrom('agencies')
    .select('id')
    .where('jurisdictions', '@>', sql<string[]>`array[${jurisdiction}]`)
    .orderBy('id')
    .limit(limit)
    .execute();
  return rows.map(({ id }) => id);
}

export interface KeptImport {
  id: string;
  source: string;
  jurisdiction: string;
  report: unknown;
}

export async function insertImport(tx: Tx, { report, ...kept }: KeptImport, now: Date): Promise<void> {
  await tx
    .insertInto('directory_imports')
    .values({ ...kept, report: JSON.stringify(report), created_at: now })
    .execute();
}

export const findImport = (tx: Tx, id: string): Promise<KeptImport | undefined> =>
  tx.selectFrom('directory_imports').select(['id', 'source', 'jurisdiction', 'report']).where('id', '=', id).executeTakeFirst();
