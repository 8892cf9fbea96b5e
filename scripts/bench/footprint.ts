import pg from 'pg';

/** Which rows an act really writes: every table of the database is looked at before and after it. */

export interface Column {
  name: string;
  type: string;
}

export interface Inserted {
  table: string;
  columns: Column[];
  rows: unknown[][];
}

export interface Updated {
  table: string;
  key: { column: Column; value: unknown }[];
  changed: { column: Column; value: unknown }[];
}

export interface Footprint {
  inserted: Inserted[];
  updated: Updated[];
}

interface Table {
  name: string;
  columns: (Column & { generated: boolean })[];
  key: string[];
}

/** The process's own sign of life is written by no request. */
const NOT_OF_REQUESTS = ['heartbeats'];

/**
 * What `act` leaves behind, as its rows are at the end: one that is inserted and then changed is one row. A second connection
 * keeps the state from before, so an update is told from an insert by whether the old state knows the key.
 * @throws Error where rows were deleted: that is not replayed
 */
export async function learnFootprint(database_url: string, act: () => Promise<unknown>): Promise<Footprint> {
  const before = new pg.Client(database_url);
  const after = new pg.Client(database_url);
  await Promise.all([before.connect(), after.connect()]);
  try {
    const tables = await listTables(after);
    await before.query('begin isolation level repeatable read, read only');
    const { rows } = await before.query<{ next: string }>('select pg_snapshot_xmax(pg_current_snapshot())::text as next');
    await act();
    const footprint: Footprint = { inserted: [], updated: [] };
    for (const table of tables) await compare(before, after, table, rows[0]!.next, footprint);
    return footprint;
  } finally {
    await Promise.all([before.end(), after.end()]);
  }
}

async function compare(before: pg.Client, after: pg.Client, table: Table, since: string, footprint: Footprint): Promise<void> {
  const { columns } = table;
  const { rows } = await after.query(`select * from ${table.name} where xmin::text::bigint >= $1`, [since]);
  const inserted: unknown[][] = [];
  for (const row of rows) {
    const old = table.key.length > 0 ? await findOld(before, table, row) : undefined;
    if (!old) {
      inserted.push(columns.filter(({ generated }) => !generated).map(({ name }) => row[name]));
      continue;
    }
    const pick = (column: Column) => ({ column, value: row[column.name] });
    footprint.updated.push({
      table: table.name,
      key: columns.filter(({ name }) => table.key.includes(name)).map(pick),
      changed: columns.filter(({ name }) => JSON.stringify(row[name]) !== JSON.stringify(old[name])).map(pick),
    });
  }
  if (inserted.length > 0)
    footprint.inserted.push({ table: table.name, columns: columns.filter(({ generated }) => !generated), rows: inserted });
  const count = async (client: pg.Client) => Number((await client.query(`select count(*) as n from ${table.name}`)).rows[0].n);
  if ((await count(before)) + inserted.length !== (await count(after)))
    throw new Error(`rows of ${table.name} were deleted: they cannot be replayed`);
}

async function findOld(
  before: pg.Client,
  table: Table,
  row: Record<string, unknown>,
): Promise<Record<string, unknown> | undefined> {
  const where = table.key.map((name, i) => `${pg.escapeIdentifier(name)} = $${i + 1}`).join(' and ');
  const { rows } = await before.query(
    `select * from ${table.name} where ${where}`,
    table.key.map(name => row[name]),
  );
  return rows[0];
}

/** Those that hold what another refers to come first. */
async function listTables(client: pg.Client): Promise<Table[]> {
  const { rows } = await client.query<{ name: string; columns: Table['columns']; key: string[]; needs: string[] }>(
    `select c.oid::regclass::text as name,
       (select json_agg(json_build_object('name', a.attname, 'type', format_type(a.atttypid, a.atttypmod),
           'generated', a.attidentity <> '' or a.attgenerated <> '') order by a.attnum)
         from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped) as columns,
       coalesce((select json_agg(a.attname) from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any (i.indkey)
         where i.indrelid = c.oid and i.indisprimary), '[]') as key,
       coalesce((select json_agg(distinct f.confrelid::regclass::text) from pg_constraint f
         where f.conrelid = c.oid and f.contype = 'f' and f.confrelid <> c.oid), '[]') as needs
     from pg_class c where c.relkind = 'r' and c.relnamespace::regnamespace::text !~ '^(pg_|information_schema)'`,
  );
  const waiting = rows.filter(({ name }) => !NOT_OF_REQUESTS.includes(name)).sort((a, b) => a.name.localeCompare(b.name));
  const sorted: typeof waiting = [];
  while (waiting.length > 0) {
    // In a circle of foreign keys (a case names the referral by which it went over) any order is as good.
    const free = waiting.findIndex(({ needs }) => needs.every(name => !waiting.some(other => other.name === name)));
    sorted.push(...waiting.splice(free === -1 ? waiting.findIndex(({ name }) => name === 'cases') : free, 1));
  }
  return sorted;
}
