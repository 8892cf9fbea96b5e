import pg from 'pg';
import { record } from '../../src/audit/record.ts';
import { systemActor } from '../../src/core/access.ts';
import { transact } from '../../src/platform/database.ts';
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
  services: { config: Pick<Services['config'], 'database_url'> },
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

/** So many acts leave what acts leave, in one transaction. @returns their receipts */
export function leave(services: Services, count: number): Promise<string[]> {
  const actor = systemActor('setup');
  return transact(services, actor, async tx => {
    const receipts: string[] = [];
    for (let i = 0; i < count; i += 1)
      receipts.push(await record(services, tx, actor, { action: 'test.act', resource_type: 'test' }));
    return receipts;
  });
}
