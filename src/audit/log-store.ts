import { type Selectable, sql } from 'kysely';
import { leafHash } from '../core/canonical.ts';
import type { Checkpoint } from '../core/checkpoint.ts';
import { HASH_BYTES, hashInTile, type Node, TILE_WIDTH, type Tile, tileOf, tilesFor } from '../core/merkle.ts';
import type { Db, Tx } from '../platform/database.ts';
import type { AuditHeadTable, AuditPendingTable } from '../platform/tables.ts';

/**
 * The SQL of the log: its head, its entries in their places, its tiles. Only the sequencer writes here. Whole tiles are kept; one
 * that is not full yet is made of what lies below it: a tile of level 0 of its entries, one of a higher level of the roots of the
 * whole tiles one level lower.
 */

/** What an act writes of an entry, and what goes with it into the log. */
export const RECORD_COLUMNS = [
  'entry_id',
  'entry',
  'meta',
  'salt_meta',
  'salt_personal',
  'subject_commits',
  'at',
  'agency_id',
  'client_id',
  'caseworker',
  'action',
  'outcome',
  'resource_type',
  'code',
  'lawful_ground',
] as const satisfies (keyof AuditPendingTable)[];

export type HeadRow = Selectable<AuditHeadTable>;
/** The whole head, for whoever sequences. */
export type LockedHead = HeadRow & { is_compared: boolean };

/** What everybody may know of the head. */
const PUBLIC = [
  'origin',
  'verifier_key',
  'size',
  'at',
  'published_size',
  'published',
  'published_at',
  'halted',
  'witnessed_size',
  'witnessed',
  'witnessed_at',
  'previous_key',
  'rotated_at',
] as const;

/** Since this start of the server, with the ledger. A copy of a database is on another server, a restored one older. */
const IS_COMPARED = sql<boolean>`compared_in is not distinct from this_database()`.as('is_compared');

export const findHead = (db: Db | Tx): Promise<(Pick<HeadRow, (typeof PUBLIC)[number]> & { is_compared: boolean }) | undefined> =>
  db.selectFrom('audit_head').select(PUBLIC).select(IS_COMPARED).executeTakeFirst();

/** Why nobody knows whether what lies here is the newest; null where it is, or nothing was ever signed. */
export const haltOf = (head: Awaited<ReturnType<typeof findHead>>): string | null =>
  head === undefined ? null : (head.halted ?? (head.is_compared ? null : 'not_compared'));

/** The head without its lock, and whether anything waits. Runs as the sequencer. */
export async function lookAhead(tx: Tx): Promise<{ head: LockedHead | undefined; waits: boolean }> {
  const head = await tx.selectFrom('audit_head').selectAll().select(IS_COMPARED).executeTakeFirst();
  const waiting = await tx.selectFrom('audit_pending').select('number').limit(1).executeTakeFirst();
  return { head, waits: waiting !== undefined };
}

/** The head for whoever sequences: undefined where somebody else is at it, null where there is none yet. */
export async function lockHead(tx: Tx): Promise<LockedHead | null | undefined> {
  const { rows } = await sql<{ mine: boolean }>`
    select pg_try_advisory_xact_lock(hashtextextended('aman sequencer', 0)) as mine`.execute(tx);
  if (!rows[0]!.mine) return undefined;
  return (await tx.selectFrom('audit_head').selectAll().select(IS_COMPARED).forUpdate().executeTakeFirst()) ?? null;
}

export const insertHead = (tx: Tx, head: Omit<HeadRow, 'one' | 'compared_in'>) =>
  tx.insertInto('audit_head').values(head).execute();

/** The head is that of the ledger, as of this start of the server. */
export const saveCompared = (tx: Tx) => tx.updateTable('audit_head').set({ compared_in: sql<string>`this_database()` }).execute();

export const saveHead = (tx: Tx, changes: Partial<Omit<HeadRow, 'one' | 'origin'>>) =>
  tx.updateTable('audit_head').set(changes).execute();

/** Never back: another sequencer may have published more already. */
export const savePublished = (tx: Tx, size: number, checkpoint: string, at: Date) =>
  tx
    .updateTable('audit_head')
    .set({ published_size: size, published: checkpoint, published_at: at })
    .where('published_size', '<', size)
    .where('size', '>=', size)
    .execute();

/** Never back, and never ahead of what is public. */
export const saveWitnessed = (tx: Tx, { origin, size }: Checkpoint, checkpoint: string, at: Date) =>
  tx
    .updateTable('audit_head')
    .set({ witnessed_size: size, witnessed: checkpoint, witnessed_at: at })
    .where(eb => eb.or([eb('witnessed_size', 'is', null), eb('witnessed_size', '<=', size)]))
    .where('published_size', '>=', size)
    .where('origin', '=', origin)
    .execute();

/** The action of the entry that names the log's next key, in its code. */
export const ROTATE = 'audit.rotate_key';

/** Whether an entry among the first `size` names this key. */
export async function isNamed(tx: Tx, verifier_key: string, size: number): Promise<boolean> {
  const { rows } = await sql`
    select from audit_kinds k, lateral (
      select from audit_log l where l.kind = k.kind and l.code = ${verifier_key} and l.index < ${size} limit 1) named
    where k.action = ${ROTATE} limit 1`.execute(tx);
  return rows.length > 0;
}

export interface Moved {
  /** The bytes of each entry, in its order in the log. */
  entries: Buffer[];
  /** The highest number that was taken. */
  number: number;
  /** Entries that the log had already: somebody wrote them who should not have. They have no second place. */
  refused: number;
}

/**
 * Gives what waits its place behind `size` entries, at most `limit` of it, in the order in which it was written.
 * @param floor where to begin to look: a hint, for what was taken leaves rows behind that are still walked over for a while
 */
export async function moveToLog(tx: Tx, size: number, limit: number, floor: number): Promise<Moved> {
  const record = sql.raw(['number', ...RECORD_COLUMNS].join(', '));
  const { rows } = await sql<{ entry: Buffer | null; number: number }>`
    with taken as materialized (
      delete from audit_pending where ctid = any (array(
        select ctid from audit_pending where number > ${floor} order by number limit ${sql.lit(limit)}))
      returning *
    ), placed as (
      insert into audit_log (index, ${record})
      select ${size}::bigint + row_number() over (order by number) - 1, ${record} from taken t
      where not exists (select from audit_log l where l.entry_id = t.entry_id)
      returning index, entry, number
    ) select p.entry, t.number from taken t left join placed p using (number) order by t.number`.execute(tx);
  const entries = rows.flatMap(({ entry }) => entry ?? []);
  return { entries, number: rows.at(-1)?.number ?? floor, refused: rows.length - entries.length };
}

export const insertTiles = (tx: Tx, tiles: { level: number; index: number; hashes: Buffer; root: Buffer }[]) =>
  tx.insertInto('audit_tiles').values(tiles).execute();

/** The bytes of entries from one index to before another, as far as there are any. */
export async function listEntryBytes(tx: Tx, from: number, to: number): Promise<Buffer[]> {
  const rows = await tx
    .selectFrom('audit_log')
    .select('entry')
    .where('index', '>=', from)
    .where('index', '<', to)
    .orderBy('index')
    .execute();
  return rows.map(({ entry }) => entry);
}

/** The first `width` hashes of a tile. @throws Error where the log does not reach so far */
export async function readTile(tx: Tx, { level, index, width }: Tile): Promise<Buffer> {
  const whole = await tx
    .selectFrom('audit_tiles')
    .select('hashes')
    .where('level', '=', level)
    .where('index', '=', index)
    .executeTakeFirst();
  const hashes = whole
    ? whole.hashes.subarray(0, width * HASH_BYTES)
    : Buffer.concat(await listTileHashes(tx, level, index, width));
  if (hashes.length !== width * HASH_BYTES) throw new Error(`tile ${level}/${index} of the log lacks hashes`);
  return hashes;
}

async function listTileHashes(tx: Tx, level: number, index: number, width: number): Promise<Buffer[]> {
  const first = index * TILE_WIDTH;
  if (level === 0) return (await listEntryBytes(tx, first, first + width)).map(leafHash);
  const rows = await tx
    .selectFrom('audit_tiles')
    .select('root')
    .where('level', '=', level - 1)
    .where('index', '>=', first)
    .where('index', '<', first + width)
    .orderBy('index')
    .execute();
  return rows.map(({ root }) => root);
}

/** Answers with hashes of nodes in a log of `size` entries: what proofs and roots are made of. */
export const nodeReader =
  (tx: Tx, size: number) =>
  async (nodes: Node[]): Promise<Buffer[]> => {
    const tiles = new Map<string, Buffer>();
    for (const tile of tilesFor(nodes, size)) tiles.set(`${tile.level}/${tile.index}`, await readTile(tx, tile));
    return nodes.map(node => {
      const { level, index } = tileOf(node);
      return hashInTile(node, tiles.get(`${level}/${index}`)!);
    });
  };
