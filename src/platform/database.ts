import { Kysely, PostgresDialect, sql, type Transaction } from 'kysely';
import pg from 'pg';
import type { Actor, SystemRole } from '../core/access.ts';
import { Problem } from '../core/problem.ts';
import type { Logger } from './log.ts';
import type { Tables } from './tables.ts';

/**
 * The database as the service knows it. `Db` is outside a transaction; `Tx` is inside one, running as somebody: what must be
 * part of an act takes `Tx`, and the compiler refuses the other.
 */
export type Db = Kysely<Tables>;
export type Tx = Transaction<Tables>;

/** The role that every connection of the service takes: it owns nothing, so row-level security binds it. */
const APPLICATION_ROLE = 'aman_app';

export interface Database {
  db: Db;
  pool: pg.Pool;
  close(): Promise<void>;
}

/**
 * Opens the pool. Connections run as `aman_app` whoever logs in, count in UTC, and give up waiting for a lock after 10 s; one
 * that breaks, also while checked out, is dropped and logged instead of ending the process.
 */
export function openDatabase(url: string, log: Logger, max = 20): Database {
  const pool = new pg.Pool({
    connectionString: url,
    max,
    connectionTimeoutMillis: 5_000,
    idleTimeoutMillis: 30_000,
    keepAlive: true,
    options: `-c role=${APPLICATION_ROLE} -c timezone=UTC -c jit=off -c lock_timeout=10s -c statement_timeout=30s -c idle_in_transaction_session_timeout=60s`,
    types: { getTypeParser },
  });
  pool.on('error', error => log.warn({ err: error }, 'idle database connection lost'));
  pool.on('connect', client => client.on('error', error => log.warn({ err: error }, 'database connection lost')));
  const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) });
  return { db, pool, close: () => db.destroy() };
}

/** int8 as a number: counts, positions and identities here stay far below 2^53. */
const getTypeParser = ((oid: number, format?: 'text' | 'binary') =>
  oid === pg.types.builtins.INT8 ? Number : pg.types.getTypeParser(oid, format as 'text')) as typeof pg.types.getTypeParser;

const DEADLOCK_DETECTED = '40P01';
const SERIALIZATION_FAILURE = '40001';

/** Whether the transaction fell to others running beside it, and may succeed when it is tried again. */
export const isWorthRetrying = (error: unknown): boolean =>
  [DEADLOCK_DETECTED, SERIALIZATION_FAILURE].includes((error as { code?: string }).code ?? '');

/**
 * One transaction as `actor`: what the row-level policies look at is set before anything else and ends with it. A deadlock is
 * tried again twice, so `work` must have no effect outside `tx`.
 */
export async function transact<T>({ db }: { db: Db }, actor: Actor, work: (tx: Tx) => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await db.transaction().execute(async tx => {
        await setActor(tx, actor);
        return work(tx);
      });
    } catch (error) {
      if (attempt === 3 || !isWorthRetrying(error)) throw error;
    }
  }
}

async function setActor(tx: Tx, actor: Actor): Promise<void> {
  const [agency, system, admin] =
    actor.type === 'agency' ? [actor.agency_id, '', actor.scopes.has('admin') ? 'on' : ''] : ['', actor.role, ''];
  await sql`select set_config('aman.agency_id', ${agency}, true), set_config('aman.system', ${system}, true),
    set_config('aman.admin', ${admin}, true)`.execute(tx);
}

/**
 * Runs `work`, a part of an act, as a named system role beside the agency: what the service does by itself in consequence of an
 * act (asking the next agency, ending the others' offers), and looks at on no caller's behalf.
 */
export async function asSystem<T>(tx: Tx, role: SystemRole, work: () => Promise<T>): Promise<T> {
  const { rows } = await sql<{ before: string | null }>`
    with before as materialized (select current_setting('aman.system', true) as value)
    select before.value as before, set_config('aman.system', ${role}, true) from before`.execute(tx);
  const result = await work();
  await sql`select set_config('aman.system', ${rows[0]?.before ?? ''}, true)`.execute(tx);
  return result;
}

/** Whether the database itself could not be reached or was shut down under us: nothing was committed, or we cannot know. */
export function isDatabaseDown(error: unknown): boolean {
  const { code, message } = error as { code?: string; message?: string };
  return (
    /^(ECONN|EPIPE|ETIMEDOUT|ENOTFOUND|EAI_AGAIN)/.test(code ?? '') ||
    /^(57P0|08|53)/.test(code ?? '') ||
    /^(timeout exceeded when trying to connect|Connection terminated|Client has encountered a connection error)/.test(
      message ?? '',
    )
  );
}

/** Names a unique violation of `constraint` as the conflict that it is; anything else passes through. */
export function conflictOn(constraint: string, detail: string): (error: unknown) => never {
  return error => {
    const { code, constraint: violated } = error as { code?: string; constraint?: string };
    if (code === '23505' && violated === constraint) throw new Problem('already_exists', { detail });
    throw error;
  };
}
