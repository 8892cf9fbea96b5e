import { randomFillSync } from 'node:crypto';
import pg from 'pg';
import { prefixOf } from '../../src/core/ids.ts';
import { newId, newReference } from '../../src/platform/ids.ts';
import type { Column, Footprint } from './footprint.ts';

/**
 * The yardstick: what somebody would write with `pg` alone who knew beforehand which rows an act leaves behind. One transaction
 * on a connection of the client's own; BEGIN, then for each table one prepared statement with all the rows that are inserted,
 * for each row that changes one prepared UPDATE by its key, COMMIT; each awaited before the next is sent. The rows are those of
 * a real act as it left them (footprint.ts), with fresh ids, keys, digests and sealed bytes of the same length, and with times
 * moved to now. Tables and indexes are the service's; it logs in as the superuser, so foreign keys and constraints are checked
 * but row-level security is not. It reads nothing, decides nothing, seals nothing, and answers nothing.
 */

/** What a value of the recorded act is now: ids, digests and sealed bytes, the latter two by their hexadecimal text. */
export type Substitution = Map<string, string | Buffer>;

export interface Replay {
  /** @param given what some values of the recorded act shall be; the fresh ones are added to it */
  once(client: pg.Client, given: Substitution): Promise<void>;
  /** How many statements it takes, BEGIN and COMMIT included. */
  statements: number;
}

type Value = (given: Substitution) => unknown;

/** Columns of values that nothing else may have. */
const FRESH: Record<string, (old: string) => string> = {
  id: old => newId(prefixOf(old)!),
  reference: () => newReference(),
  key: () => crypto.randomUUID(),
};

const ID = /\b([a-z]{3}_[0-7][0-9a-z]{25})\b/;

export function prepareReplay(name: string, { inserted, updated }: Footprint, recorded_at: Date): Replay {
  const fresh = new Map<string, (old: string) => string>();
  let bytes = 0;
  const digests = new Map<string, [start: number, end: number]>();

  for (const { columns, rows } of inserted) {
    for (const [i, column] of columns.entries()) {
      const make = FRESH[column.name];
      if (make && column.type === 'text') for (const row of rows) fresh.set(row[i] as string, make);
    }
  }
  const remember = (value: Buffer): string => {
    const hex = value.toString('hex');
    if (!digests.has(hex)) {
      digests.set(hex, [bytes, bytes + value.length]);
      bytes += value.length;
    }
    return hex;
  };

  function filler(value: unknown, { type }: Column): Value {
    if (value === null) return () => null;
    if (Buffer.isBuffer(value)) {
      const hex = remember(value);
      return given => given.get(hex);
    }
    if (type === 'bytea[]') {
      const all = (value as Buffer[]).map(remember);
      return given => all.map(hex => given.get(hex));
    }
    if (value instanceof Date) {
      const behind = value.getTime() - recorded_at.getTime();
      return () => new Date(Date.now() + behind);
    }
    const text = type === 'jsonb' ? JSON.stringify(value) : value;
    if (typeof text !== 'string') return () => text;
    if (fresh.has(text)) return given => given.get(text);
    const parts = text.split(ID);
    if (parts.length === 1) return () => text;
    return given => parts.map(part => given.get(part) ?? part).join('');
  }

  const statements = [
    ...inserted.map(({ table, columns, rows }) => {
      const names = columns.map(column => pg.escapeIdentifier(column.name)).join(', ');
      const tuples = rows.map((_, r) => `(${columns.map((_, c) => `$${r * columns.length + c + 1}`).join(', ')})`);
      return {
        text: `insert into ${table} (${names}) values ${tuples.join(', ')}`,
        values: rows.flatMap(row => row.map((value, i) => filler(value, columns[i]!))),
      };
    }),
    ...updated
      .filter(({ changed }) => changed.length > 0)
      .map(({ table, key, changed }) => {
        const set = changed.map(({ column }, i) => `${pg.escapeIdentifier(column.name)} = $${i + 1}`);
        const where = key.map(({ column }, i) => `${pg.escapeIdentifier(column.name)} = $${changed.length + i + 1}`);
        return {
          text: `update ${table} set ${set.join(', ')} where ${where.join(' and ')}`,
          values: [...changed, ...key].map(({ column, value }) => filler(value, column)),
          must_change: 1,
        };
      }),
  ].map((statement, i) => ({ must_change: undefined, ...statement, name: `${name}_${i}` }));

  return {
    statements: statements.length + 2,
    async once(client, given) {
      for (const [old, make] of fresh) if (!given.has(old)) given.set(old, make(old));
      const random = randomFillSync(Buffer.allocUnsafe(bytes));
      for (const [hex, [start, end]] of digests) if (!given.has(hex)) given.set(hex, random.subarray(start, end));
      await client.query('begin');
      for (const { name, text, values, must_change } of statements) {
        const { rowCount } = await client.query({ name, text, values: values.map(value => value(given)) });
        if (must_change !== undefined && rowCount !== must_change) throw new Error(`${text}: changed ${rowCount} rows`);
      }
      await client.query('commit');
    },
  };
}

/** The first row of the trail alone: the least that a read which is recorded can write. */
export const trailRowOnly = ({ inserted }: Footprint): Footprint => ({
  inserted: inserted.filter(({ table }) => table === 'audit_pending').map(it => ({ ...it, rows: it.rows.slice(0, 1) })),
  updated: [],
});

export async function connectRaw(database_url: string, connections: number): Promise<pg.Client[]> {
  const clients = Array.from({ length: connections }, () => new pg.Client(database_url));
  await Promise.all(clients.map(client => client.connect()));
  return clients;
}
