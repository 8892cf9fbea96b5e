import type { Selectable } from 'kysely';
import { type Gathered, voiceOf } from './conversation.ts';
import type { Tx } from './database.ts';
import type { Tables } from './tables.ts';

/**
 * Rows that an act makes and changes are kept in memory while it goes on, and written together: what several steps do to a row
 * is one change of it, all that is made of a table is one statement, and no text ever differs.
 */
export interface Rows<T extends TableWithId> {
  /** Makes a row. What is done to the object until it is written is written with it. */
  insert(tx: Tx, row: Selectable<Tables[T]>): void;
  /** Writes what now stands in a row that is locked, in the columns that may change. */
  update(tx: Tx, row: Selectable<Tables[T]>): void;
}

type TableWithId = { [T in keyof Tables]: Tables[T] extends { id: string } ? T : never }[keyof Tables] & string;

/** A column of T for each of which `true` says that it may change after the row was made. */
type Columns<T extends keyof Tables> = Readonly<Record<keyof Tables[T] & string, boolean>>;

/**
 * @param rank tables of a lower rank are written first: those that the others' rows name
 * @param changes instead of the row's own value, in SQL: `t` is the row that stands, `j` the one that is written
 */
export function gatheredRows<T extends TableWithId>(
  table: T,
  rank: number,
  columns: Columns<T>,
  changes: Readonly<Record<string, string>> = {},
): Rows<T> {
  const all = Object.keys(columns);
  const changing = all.filter(column => columns[column as keyof Columns<T>]);
  const inserting = `insert into ${table} (${all}) select ${all} from json_populate_recordset(null::${table}, $1)`;
  const set = [
    ...changing.map(column => `${column} = j.${column}`),
    ...Object.entries(changes).map(([name, sql]) => `${name} = ${sql}`),
  ];
  // One by one: of many rows in one statement the planner would think anew each time.
  const updating = `update ${table} t set ${set} from json_populate_record(null::${table}, $1) j where t.id = $2`;

  class Standing implements Gathered {
    readonly before = 'any statement';
    readonly rank = rank;
    readonly made = new Map<unknown, object>();
    readonly changed = new Map<unknown, object>();

    *statements(): Iterable<[text: string, values: unknown[]]> {
      if (this.made.size > 0) yield [inserting, [toJson(this.made.values(), all)]];
      for (const [id, row] of this.changed) yield [updating, [JSON.stringify(toRecord(row, changing)), id]];
    }
  }

  const standing = (tx: Tx): Standing => voiceOf(tx).gather(Standing);
  return {
    insert: (tx, row) => void standing(tx).made.set(idOf(row), row),
    update(tx, row) {
      const { made, changed } = standing(tx);
      const id = idOf(row);
      const known = made.get(id) ?? changed.get(id) ?? row;
      // The one would undo what the other says.
      if (known !== row) throw new Error(`two copies of one row of ${table}`);
      if (!made.has(id)) changed.set(id, row);
    },
  };
}

/** Rows for `json_populate_recordset`, with these columns of each. */
export const toJson = (rows: Iterable<object>, columns: readonly string[]): string =>
  JSON.stringify(Array.from(rows, row => toRecord(row, columns)));

function toRecord(row: object, columns: readonly string[]): Record<string, unknown> {
  const record: Record<string, unknown> = {};
  for (const column of columns) record[column] = toText(row[column as never]);
  return record;
}

const idOf = (row: object): unknown => (row as { id: unknown }).id;

/** As PostgreSQL reads it from JSON, which has no bytes. @throws TypeError what JSON would take for null */
function toText(value: unknown): unknown {
  if (value instanceof Uint8Array) return `\\x${Buffer.from(value).toString('hex')}`;
  if (Array.isArray(value)) return value.map(toText);
  if (value === undefined || (value instanceof Date && Number.isNaN(value.getTime())) || Number.isNaN(value))
    throw new TypeError('is no value for a column');
  return value;
}
