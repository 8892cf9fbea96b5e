import { setImmediate as nextTurn } from 'node:timers/promises';
import {
  type CompiledQuery,
  type DatabaseConnection,
  DefaultQueryExecutor,
  PostgresAdapter,
  PostgresDialect,
  PostgresQueryCompiler,
  type QueryResult,
  Transaction,
} from 'kysely';
import pg from 'pg';
import type { Actor, SystemRole } from '../core/access.ts';
import { Problem } from '../core/problem.ts';
import type { Tables } from './tables.ts';

/**
 * What is said on one connection in one transaction. Statements are pipelined: each goes out when it is said, the server answers
 * in that order, and only who needs an answer waits for one.
 *
 * Each `Tx` of a conversation speaks in one role. Whoever speaks in another role than the last one is introduced by a statement in
 * front, so no statement runs in a role that it was not said in, in whatever order answers are awaited.
 */
export class Conversation {
  readonly #client: pg.PoolClient;
  readonly #voices = new Map<Role, Transaction<Tables>>();
  readonly #posted: Promise<unknown>[] = [];
  #role: Role = NOBODY;
  /** What went wrong first: the server refuses whatever comes after it. */
  #failure: Error | undefined;
  /** Whether the connection is good for another one: not where a statement failed on its way. */
  is_sound = true;
  #ended = false;

  constructor(client: pg.PoolClient) {
    this.#client = client;
  }

  /** Begins as `actor`: what the row-level policies look at is set before anything else, and ends with the transaction. */
  begin(actor: Actor): Transaction<Tables> {
    const agency = actor.type === 'agency' ? actor : undefined;
    this.#role = actor.type === 'agency' ? NOBODY : actor.role;
    this.post(this.#say('begin'));
    this.post(this.#say(SET_ACTOR, [agency?.agency_id ?? '', this.#role, agency?.scopes.has('admin') ? 'on' : '']));
    return this.as(this.#role);
  }

  /** The transaction as it is seen in this role. */
  as(role: Role): Transaction<Tables> {
    const known = this.#voices.get(role);
    if (known) return known;
    const connection: DatabaseConnection = {
      executeQuery: <Row>(query: CompiledQuery) => this.#execute<Row>(role, query),
      streamQuery() {
        throw new Error('nothing is streamed inside a transaction');
      },
    };
    const executor = new DefaultQueryExecutor(COMPILER, ADAPTER, { provideConnection: consumer => consumer(connection) });
    const voice = new Transaction<Tables>({ ...NEVER_OPENED, executor });
    this.#voices.set(role, voice);
    conversations.set(voice, this);
    return voice;
  }

  /** Goes on without waiting: where `said` fails, so does the commit, for the reason that it gives. */
  post(said: Promise<unknown>): void {
    said.catch(() => {});
    this.#posted.push(said);
  }

  /**
   * Commits what was said, of which part may still be on its way.
   * @throws Error why the first of it failed; then nothing was done
   */
  async commit(): Promise<void> {
    // A statement that could not even be sent is none that the server would refuse the commit for.
    await nextTurn();
    if (this.#failure) throw await this.rollback(this.#failure);
    const { command } = await this.#end('commit');
    await this.#explain();
    // The server's way to say that the transaction had failed before.
    if (command === 'ROLLBACK') throw this.#failure ?? new Error('the transaction was rolled back');
  }

  /** @returns why: what was posted and failed before counts for more than what it brought about */
  async rollback(error: unknown): Promise<unknown> {
    await this.#end('rollback').catch(() => {});
    return error === this.#failure
      ? this.#explain().then(
          () => error,
          reason => reason,
        )
      : error;
  }

  async #end(how: 'commit' | 'rollback'): Promise<pg.QueryResult> {
    this.#ended = true;
    const ended = this.#client.query(how);
    await Promise.allSettled([...this.#posted, ended]);
    return ended;
  }

  async #explain(): Promise<void> {
    for (const said of this.#posted) await said;
  }

  async #execute<Row>(role: Role, { sql, parameters }: CompiledQuery): Promise<QueryResult<Row>> {
    // The connection may be somebody else's by now.
    if (this.#ended) throw new Error('said after the end of the transaction');
    if (this.#role !== role) {
      this.#role = role;
      this.post(this.#say('select enter($1)', [role]));
    }
    const { command, rowCount, rows } = await this.#say(sql, parameters as unknown[]);
    return { rows, ...(CHANGING.has(command) ? { numAffectedRows: BigInt(rowCount ?? 0) } : {}) };
  }

  #say(text: string, values?: unknown[]): Promise<pg.QueryResult> {
    return this.#client.query(text, values).catch(error => {
      this.is_sound &&= error instanceof pg.DatabaseError;
      this.#failure ??= REFUSALS[(error as pg.DatabaseError).code ?? '']?.() ?? (error as Error);
      throw this.#failure;
    });
  }
}

/** A system role beside the agency, or none. */
type Role = SystemRole | typeof NOBODY;
const NOBODY = '';

/** What functions of our own refuse, by their SQLSTATE. */
const REFUSALS: Readonly<Record<string, () => Problem>> = {
  AM404: () => new Problem('not_found'),
  AM409: () => new Problem('idempotency_in_progress', { retry_after: 1 }),
};

const SET_ACTOR =
  "select set_config('aman.agency_id', $1, true), set_config('aman.system', $2, true), set_config('aman.admin', $3, true)";

const CHANGING: ReadonlySet<string> = new Set(['INSERT', 'UPDATE', 'DELETE', 'MERGE']);

const conversations = new WeakMap<Transaction<Tables>, Conversation>();

/** The conversation that `tx` is a voice of. */
export const conversationOf = (tx: Transaction<Tables>): Conversation => conversations.get(tx)!;

const COMPILER = new PostgresQueryCompiler();
const ADAPTER = new PostgresAdapter();
const dialect = new PostgresDialect({ pool: () => Promise.reject(new Error('a transaction has its connection')) });
/** What Kysely wants to have for things that a transaction does not do. */
const NEVER_OPENED = { config: { dialect }, dialect, driver: dialect.createDriver() };
