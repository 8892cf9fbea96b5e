import { Kysely, PostgresDialect, sql, type Transaction } from 'kysely';
import pg from 'pg';
import type { Actor, SystemRole } from '../core/access.ts';
import { Problem } from '../core/problem.ts';
import { ConfigError } from './config.ts';
import { Conversation, voiceOf } from './conversation.ts';
import type { Logger } from './log.ts';
import type { Metrics } from './metrics.ts';
import { isPlanOutdated, PreparingClient } from './prepared.ts';
import type { Tables } from './tables.ts';

/**
 * The database as the service knows it. `Db` is outside a transaction; `Tx` is inside one, running as somebody: what must be
 * part of an act takes `Tx`, and the compiler refuses the other.
 */
export type Db = Kysely<Tables>;
export type Tx = Transaction<Tables>;

/** The role that connections of the service take: it owns nothing, so row-level security binds it. */
export const APPLICATION_ROLE = 'aman_app';
/** The one that gives entries of the trail their places in the log, and does nothing else. */
export const SEQUENCER_ROLE = 'aman_sequencer';
export const DATABASE_ROLES = [APPLICATION_ROLE, SEQUENCER_ROLE] as const;
export type DatabaseRole = (typeof DATABASE_ROLES)[number];

const OF_ROLE: Readonly<Record<DatabaseRole, string>> = {
  [APPLICATION_ROLE]: '-c idle_in_transaction_session_timeout=60s',
  // One that was stopped must not keep the others waiting; and a plan made while nothing waited is none for when much does.
  [SEQUENCER_ROLE]: '-c idle_in_transaction_session_timeout=2s -c plan_cache_mode=force_custom_plan',
};

export interface Database {
  db: Db;
  pool: pg.Pool;
  close(): Promise<void>;
}

/**
 * Opens the pool. Connections run as `role` whoever logs in, count in UTC, and give up waiting for a lock after 10 s; one
 * that breaks, also while checked out, is dropped and logged instead of ending the process.
 */
export function openDatabase(url: string, log: Logger, role: DatabaseRole = APPLICATION_ROLE, max = 20): Database {
  const pool = new pg.Pool({
    connectionString: url,
    max,
    connectionTimeoutMillis: 5_000,
    idleTimeoutMillis: 30_000,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    // The server's own limit cannot help where the network has gone silent.
    query_timeout: 35_000,
    options: `-c role=${role} -c timezone=UTC -c jit=off -c max_parallel_workers_per_gather=0 -c lock_timeout=10s -c statement_timeout=30s ${OF_ROLE[role]}`,
    types: { getTypeParser },
    Client: PreparingClient,
    pipeline: true,
  });
  pool.on('error', error => log.warn({ err: error }, 'idle database connection lost'));
  pool.on('connect', client => client.on('error', error => log.warn({ err: error }, 'database connection lost')));
  const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) });
  return { db, pool, close: () => db.destroy() };
}

/**
 * Holds that the connections really run as the role that row-level security binds: a pooler or a setting in the URL may have
 * dropped it without a word.
 * @throws ConfigError
 */
export async function requireRole(db: Db, wanted: DatabaseRole): Promise<void> {
  const { rows } = await sql<{ name: string; unbound: boolean }>`
    select current_user::text as name, rolsuper or rolbypassrls as unbound from pg_roles where rolname = current_user`.execute(
    db,
  );
  const [role] = rows;
  if (role?.name !== wanted || role.unbound) {
    throw new ConfigError(
      `the database connections run as ${role?.name ?? 'nobody'} and not as ${wanted}: is there a pooler that drops "options"?`,
    );
  }
}

/** int8 as a number: counts, positions and identities here stay far below 2^53. */
const getTypeParser = ((oid: number, format?: 'text' | 'binary') =>
  oid === pg.types.builtins.INT8 ? Number : pg.types.getTypeParser(oid, format as 'text')) as typeof pg.types.getTypeParser;

const DEADLOCK_DETECTED = '40P01';
const SERIALIZATION_FAILURE = '40001';

/** What a transaction had looked at was changed by another before it held it: the whole of it is tried again. */
export class Overtaken extends Error {
  readonly code = SERIALIZATION_FAILURE;
}

/** Whether the transaction fell to others running beside it, and may succeed when it is tried again. */
export const isWorthRetrying = (error: unknown): boolean =>
  isPlanOutdated(error) || [DEADLOCK_DETECTED, SERIALIZATION_FAILURE].includes((error as { code?: string }).code ?? '');

/**
 * One transaction as `actor`: what the row-level policies look at is set before anything else and ends with it. A deadlock is
 * tried again twice, so `work` must have no effect outside `tx`. Statements are pipelined (see conversation.ts).
 */
export async function transact<T>(
  { pool, metrics }: { pool: pg.Pool; metrics?: Metrics },
  actor: Actor,
  work: (tx: Tx) => Promise<T>,
): Promise<T> {
  const transaction = metrics?.startTransaction();
  for (let attempt = 1; ; attempt += 1) {
    try {
      const result = await converse(pool, actor, work);
      transaction?.end('committed');
      return result;
    } catch (error) {
      if (attempt === 3 || !isWorthRetrying(error)) {
        transaction?.end(error instanceof Problem ? 'refused' : 'failed');
        throw error;
      }
      transaction?.retried();
    }
  }
}

async function converse<T>(pool: pg.Pool, actor: Actor, work: (tx: Tx) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  const conversation = new Conversation(client);
  try {
    const result = await work(conversation.begin(actor));
    await conversation.commit();
    return result;
  } catch (error) {
    throw await conversation.rollback(error);
  } finally {
    client.release(!conversation.is_sound);
  }
}

/**
 * Runs `work`, a part of an act, as a named system role beside the agency: what the service does by itself in consequence of an
 * act (asking the next agency, ending the others' offers), and looks at on no caller's behalf. Only what `work` says through the
 * `tx` that it is given is said in that role.
 */
export const asSystem = <T>(tx: Tx, role: SystemRole, work: (tx: Tx) => T): T => work(voiceOf(tx).conversation.as(role));

/**
 * Goes on without waiting for a statement that changes something and whose answer nobody needs: the commit fails where it did,
 * for the reason that it gives.
 */
export const post = (tx: Tx, said: Promise<unknown>): void => voiceOf(tx).conversation.post(said);

/** Whether somebody held a lock for longer than the transaction waits for one. */
export const isLockTimeout = (error: unknown): boolean => (error as { code?: string }).code === '55P03';

/** Whether the database could not be reached, was shut down under us, or kept us waiting too long: another try may succeed. */
export function isDatabaseDown(error: unknown): boolean {
  const { code, message } = error as { code?: string; message?: string };
  return (
    /^(ECONN|EPIPE|ETIMEDOUT|ENOTFOUND|EAI_AGAIN)/.test(code ?? '') ||
    /^(57P0|08|53|55P03|57014|40P01|40001)/.test(code ?? '') ||
    /^(timeout exceeded when trying to connect|Connection terminated|Query read timeout|Client has encountered a connection error)/.test(
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
