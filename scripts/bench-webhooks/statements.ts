import pg from 'pg';
import type { Server } from '../bench/server.ts';

/** What was asked of the database, on a server that has loaded `pg_stat_statements`. */
export interface Statement {
  text: string;
  /** For each delivery. */
  calls: number;
  ms: number;
}

export const countStatements = (server: Server, database: string): Promise<void> =>
  server.run(database, 'create extension if not exists pg_stat_statements', 'select pg_stat_statements_reset()');

export async function readStatements(server: Server, database: string, deliveries: number): Promise<Statement[]> {
  const client = new pg.Client(server.urlOf(database));
  await client.connect();
  try {
    const { rows } = await client.query<Statement>(
      `select left(regexp_replace(query, '\\s+', ' ', 'g'), 110) as text, calls::float8 / $1 as calls,
         (total_exec_time + total_plan_time) / $1 as ms
       from pg_stat_statements where dbid = (select oid from pg_database where datname = current_database())
       order by total_exec_time + total_plan_time desc limit 25`,
      [deliveries],
    );
    return rows;
  } finally {
    await client.end();
  }
}
