import pg from 'pg';
import type { Services } from '../../src/services.ts';

export interface TrailRow {
  action: string;
  outcome: string;
  code: string | null;
  agency_id: string | null;
  client_id: string | null;
  caseworker: string | null;
}

/** What the database holds, past both walls: as its owner. */
export async function lookAsOwner<Row extends pg.QueryResultRow>(
  services: Services,
  text: string,
  values: unknown[] = [],
): Promise<Row[]> {
  const client = new pg.Client(services.config.database_url!);
  await client.connect();
  try {
    return (await client.query<Row>(text, values)).rows;
  } finally {
    await client.end();
  }
}

/** The entries of the trail with this action, oldest first. */
export const entriesOf = (services: Services, action: string): Promise<TrailRow[]> =>
  lookAsOwner(
    services,
    'select action, outcome, code, agency_id, client_id, caseworker from audit_records where action = $1 order by number',
    [action],
  );
