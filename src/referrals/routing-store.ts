import { sql } from 'kysely';
import type { RoutingNeed } from '../core/routing.ts';
import type { Tx } from '../platform/database.ts';

type RoutingFacts = Pick<RoutingNeed, 'completed' | 'conflicts' | 'apart_from' | 'together_with' | 'grouped'>;

/** What routing looks at beside the person: what became of the case's earlier offers. Runs as the router. */
export async function findRoutingFacts(tx: Tx, case_id: string): Promise<RoutingFacts> {
  const rows = await tx
    .selectFrom('offers as o')
    .innerJoin('agencies as a', 'a.id', 'o.agency_id')
    .select(['o.agency_id', 'o.service', 'o.status', 'a.kind as agency_kind'])
    .where('o.case_id', '=', case_id)
    .where(
      sql<boolean>`(o.status = 'completed' and o.reason_code in ('service_provided', 'partly_provided')
        or o.status = 'declined' and o.reason_code = 'conflict_of_interest')`,
    )
    .execute();
  return {
    completed: rows.filter(({ status }) => status === 'completed'),
    conflicts: new Set(rows.filter(({ status }) => status === 'declined').map(({ agency_id }) => agency_id)),
    apart_from: new Set(),
    together_with: new Set(),
    grouped: false,
  };
}
