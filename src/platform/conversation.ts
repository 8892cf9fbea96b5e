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
 * in that order, and only who needs an answer waits for one. What an act writes in many places is gathered (gather.ts), and said
 * before anything that could see it.
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
  #is_sending = false;
  /** What was said last, whether or not it succeeds. */
  #last: Promise<unknown> = Promise.resolve();
  /** What was not said yet, by what it is. */
  readonly #gathered = new Map<new () => Gathered, { role: Role; gathered: Gathered }>();

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
    const gather = <G extends Gathered>(What: new () => G) => this.#gather(What, role);
    voices.set(voice, { conversation: this, gather });
    return voice;
  }

  #gather<G extends Gathered>(What: new () => G, role: Role): G {
    if (this.#ended) throw new Error(TOO_LATE);
    const known = this.#gathered.get(What);
    if (known && (known.role === role || known.gathered.before === 'the commit')) return known.gathered as G;
    // In another role: apart.
    if (known) this.#sayGathered('any statement');
    const gathered = new What();
    this.#gathered.set(What, { role, gathered });
    return gathered;
  }

  #sayGathered(before: Gathered['before']): void {
    const due = [...this.#gathered].filter(([, { gathered }]) => gathered.before === before);
    for (const [What, { role, gathered }] of due.sort(([, a], [, b]) => a.gathered.rank - b.gathered.rank)) {
      this.#gathered.delete(What);
      // What goes with the commit may be written in whatever role.
      if (before === 'any statement') this.#enter(role);
      this.#sayAll(gathered);
    }
  }

  #sayAll(gathered: Gathered): void {
    try {
      for (const [text, values] of gathered.statements()) {
        const said = this.#say(text, values);
        this.post(gathered.explain ? said.catch(gathered.explain) : said);
      }
    } catch (error) {
      // Nobody may wait for this one; then the commit must not succeed without it.
      this.#failure ??= error as Error;
      throw error;
    }
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
    this.#sayGathered('any statement');
    this.#sayGathered('the commit');
    // A statement that could not even be sent is none that the server would refuse the commit for.
    await nextTurn();
    if (this.#failure) throw this.#failure;
    const { command } = await this.#end('commit');
    await this.#explain();
    // The server's way to say that the transaction had failed before.
    if (command === 'ROLLBACK') throw this.#failure ?? new Error('the transaction was rolled back');
  }

  /** @returns why: what was posted and failed before counts for more than what it brought about */
  async rollback(error: unknown): Promise<unknown> {
    if (this.#ended) return error;
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
    if (this.#ended) throw new Error(TOO_LATE);
    this.#sayGathered('any statement');
    this.#enter(role);
    const { command, rowCount, rows } = await this.#say(sql, parameters as unknown[]);
    return { rows, ...(CHANGING.has(command) ? { numAffectedRows: BigInt(rowCount ?? 0) } : {}) };
  }

  #enter(role: Role): void {
    if (this.#role === role) return;
    this.#role = role;
    this.post(this.#say('select enter($1)', [role]));
  }

  /** What is said in one turn of the event loop goes out in one write: each costs as much as a statement. */
  #sendTogether(): void {
    if (this.#is_sending) return;
    this.#is_sending = true;
    const { stream } = this.#client.connection;
    stream.cork();
    process.nextTick(() => {
      this.#is_sending = false;
      stream.uncork();
    });
  }

  #say(text: string, values?: unknown[]): Promise<pg.QueryResult> {
    this.#sendTogether();
    const before = this.#last;
    const said = this.#client.query(text, values).catch(async error => {
      // What the server refuses because of an earlier failure may get here sooner than that.
      await before;
      this.is_sound &&= error instanceof pg.DatabaseError;
      this.#failure ??= REFUSALS[(error as pg.DatabaseError).code ?? '']?.() ?? (error as Error);
      throw this.#failure;
    });
    this.#last = said.catch(() => {});
    return said;
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

const TOO_LATE = 'said after the end of the transaction';

const CHANGING: ReadonlySet<string> = new Set(['INSERT', 'UPDATE', 'DELETE', 'MERGE']);

/** Something to be written that grows while an act goes on, and is said once. */
export interface Gathered {
  /** What goes with the commit is not seen by what the transaction itself reads, and may be written in whatever role. */
  readonly before: 'any statement' | 'the commit';
  /** Of what is said at the same time: what has a lower one is said first. */
  readonly rank: number;
  statements(): Iterable<[text: string, values: unknown[]]>;
  /** What is thrown instead where a statement fails. */
  explain?(error: unknown): never;
}

interface Voice {
  conversation: Conversation;
  /** What is gathered of this kind and was not said yet: an empty one at first. */
  gather<G extends Gathered>(What: new () => G): G;
}

const voices = new WeakMap<Transaction<Tables>, Voice>();

/** What `tx` can do beside what Kysely lets it. */
export const voiceOf = (tx: Transaction<Tables>): Voice => voices.get(tx)!;

const COMPILER = new PostgresQueryCompiler();
const ADAPTER = new PostgresAdapter();
const dialect = new PostgresDialect({ pool: () => Promise.reject(new Error('a transaction has its connection')) });
/** What Kysely wants to have for things that a transaction does not do. */
const NEVER_OPENED = { config: { dialect }, dialect, driver: dialect.createDriver() };
