import pg from 'pg';
import { type Agencies, connectAgencies, inTurn, type Kase, listAsked } from './acts.ts';
import { type Lane, prepareReplays, RACED, type Raced, rawLane, type Track } from './race.ts';
import { connectRaw } from './raw.ts';
import { startService } from './service.ts';
import { openWire, type Statement, type Wire } from './wire.ts';

/** What one act costs whatever the machine: turns and statements on the wire, bytes in the write-ahead log. */

export interface Cost {
  act: Raced;
  turns: number;
  statements: number;
  wire_bytes: number;
  /** Bytes of log without images of whole pages. */
  wal_bytes: number;
  /** The same where a checkpoint was just before the first of {@link WAL_STEPS}: a page is written whole when first touched. */
  wal_bytes_after_checkpoint: number;
  wal_page_images: number;
  /** What the yardstick writes, without images of pages. */
  raw_wal_bytes: number;
  /** Where the bytes go. */
  wal_by_relation: { relation: string; records: number; bytes: number }[];
  statement_list: readonly Statement[];
}

const WIRE_STEPS = 40;
export const WAL_STEPS = 200;

type Step = () => Promise<unknown>;

/** On a service of its own, one request at a time. */
export async function measureCosts(
  track: Omit<Track, 'service' | 'postmaster_pid'>,
  dir: string,
  acts: readonly Raced[],
): Promise<Cost[]> {
  const { world, cases, service_url, raw_url } = track;
  const wire = await openWire(service_url);
  const service = await startService({ database_url: wire.url, dir });
  const agencies = connectAgencies(service.origin, world, 1);
  const admin = new pg.Client(service_url);
  const raw = await connectRaw(raw_url, 1);
  await admin.connect();
  try {
    await admin.query('create extension if not exists pg_walinspect');
    const lane = rawLane(track, prepareReplays(track.recorded), raw);
    const step = steps(agencies, cases);
    const costs: Cost[] = [];
    // Accepting needs what submitting left.
    for (const act of RACED.filter(act => acts.includes(act) || (act === 'submit' && acts.includes('accept')))) {
      await world.refresh();
      const asked = act === 'accept' ? await listAsked(service_url, world) : [];
      const one: Step = act === 'accept' ? () => agencies.accept(asked.pop()!) : step[act];
      const on_wire = await countOnWire(wire, one);
      await setPageImages(admin, false);
      const plain = await measureWal(admin, one);
      const { bytes: raw_wal_bytes } = await measureRawWal(admin, lane, act);
      await setPageImages(admin, true);
      const whole = await measureWal(admin, one);
      costs.push({
        act,
        ...on_wire,
        wal_bytes: plain.bytes,
        wal_bytes_after_checkpoint: whole.bytes,
        wal_page_images: whole.page_images,
        raw_wal_bytes,
        wal_by_relation: plain.by_relation,
      });
    }
    return costs.filter(({ act }) => acts.includes(act));
  } finally {
    await agencies.close();
    await admin.query('alter system reset all');
    await admin.query('select pg_reload_conf()');
    await Promise.all([admin, ...raw].map(client => client.end()));
    await service.stop();
    await wire.close();
  }
}

function steps(agencies: Agencies, cases: readonly Kase[]): Record<'submit' | 'read', Step> {
  const next = inTurn(cases);
  return { submit: () => agencies.submit(next()), read: () => agencies.readCase(next()) };
}

/** Of the request with the fewest: the process's own signs of life fall into some. The first ones prepare their statements. */
async function countOnWire(wire: Wire, step: Step) {
  for (let i = 0; i < 10; i++) await step();
  const counts = [];
  for (let i = 0; i < WIRE_STEPS; i++) {
    // What is said after the answer (wake-ups) is not waited for.
    await new Promise(resolve => setTimeout(resolve, 30));
    wire.reset();
    await step();
    counts.push(wire.counted());
  }
  const [{ turns, statements, bytes }] = counts.sort((a, b) => a.turns - b.turns) as [(typeof counts)[number]];
  return { turns, statements: statements.length, wire_bytes: bytes, statement_list: statements };
}

/** Autovacuum rests, for its own bytes are no act's. */
async function setPageImages(admin: pg.Client, on: boolean): Promise<void> {
  await admin.query('alter system set autovacuum = off');
  await admin.query(`alter system set full_page_writes = ${on ? 'on' : 'off'}`);
  await admin.query('select pg_reload_conf()');
  do await admin.query('select pg_sleep(0.2)');
  while ((await admin.query(`select from pg_stat_activity where backend_type = 'autovacuum worker'`)).rowCount !== 0);
  await admin.query('checkpoint');
}

interface Logged {
  bytes: number;
  page_images: number;
  by_relation: Cost['wal_by_relation'];
}

const walPosition = async (admin: pg.Client): Promise<string> =>
  (await admin.query<{ at: string }>('select pg_current_wal_insert_lsn() as at')).rows[0]!.at;

async function measureWal(admin: pg.Client, step: Step): Promise<Logged> {
  const from = await walPosition(admin);
  for (let i = 0; i < WAL_STEPS; i++) await step();
  return readWal(admin, from, WAL_STEPS);
}

async function measureRawWal(admin: pg.Client, lane: Lane, act: Raced): Promise<Logged> {
  let from = '';
  const begin = async () => {
    from = await walPosition(admin);
  };
  const { steps } = await lane(act, { clients: 1, seconds: 1, begin });
  return readWal(admin, from, steps);
}

/**
 * Since `from`, per step. Without whole pages that are logged because of hints alone: with checksums they are, once after each
 * checkpoint, also where `full_page_writes` is off.
 */
async function readWal(admin: pg.Client, from: string, steps: number): Promise<Logged> {
  const to = await walPosition(admin);
  await admin.query('select pg_switch_wal()'); // what is inspected must have been written
  await admin.query('drop table if exists pg_temp.logged');
  await admin.query(
    `create temporary table logged as
     select r.resource_manager, r.record_length, r.fpi_length, b.relfilenode
     from pg_get_wal_records_info(${pg.escapeLiteral(from)}, ${pg.escapeLiteral(to)}) r
     left join (select distinct on (start_lsn) start_lsn, relfilenode
       from pg_get_wal_block_info(${pg.escapeLiteral(from)}, ${pg.escapeLiteral(to)}) order by start_lsn, block_id) b using (start_lsn)
     where r.record_type <> 'FPI_FOR_HINT'`,
  );
  const { rows: sums } = await admin.query<{ bytes: number; page_images: number }>(
    `select sum(record_length)::float8 / $1 as bytes, (count(*) filter (where fpi_length > 0))::float8 / $1 as page_images
     from logged`,
    [steps],
  );
  const { rows: by_relation } = await admin.query<Cost['wal_by_relation'][number]>(
    `select coalesce(c.relname, resource_manager) as relation, count(*)::float8 / $1 as records, sum(record_length)::float8 / $1 as bytes
     from logged left join pg_class c on logged.relfilenode > 0 and pg_relation_filenode(c.oid) = logged.relfilenode
     group by 1 order by 3 desc limit 60`,
    [steps],
  );
  return { ...sums[0]!, by_relation };
}
