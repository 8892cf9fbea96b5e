import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, readFileSync, renameSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { buildApi } from '../../src/api.ts';
import { keepAlive, openSequencer, watchLog } from '../../src/audit/jobs.ts';
import { type Ledger, openFileLedger } from '../../src/audit/ledger.ts';
import { openLogKey } from '../../src/audit/log-key.ts';
import { createSequencer, type Halt } from '../../src/audit/sequencer.ts';
import { openCheckpoint } from '../../src/core/checkpoint.ts';
import { EMPTY_ROOT } from '../../src/core/merkle.ts';
import { parseVerifierKey } from '../../src/core/signed-note.ts';
import { openDatabase, SEQUENCER_ROLE } from '../../src/platform/database.ts';
import type { Services } from '../../src/services.ts';
import { openTestServices } from '../support/app.ts';
import { temporaryDataDir } from '../support/process.ts';
import { leave, lookAsOwner } from '../support/trail.ts';

/** What acts left gets its place once, in one history, whatever stops in between. */

/** RFC 6962, section 2.1, as it is written. */
function rootOf(leaves: readonly Buffer[]): Buffer {
  const sha = (...parts: Uint8Array[]) => parts.reduce((hash, part) => hash.update(part), createHash('sha256')).digest();
  if (leaves.length === 0) return sha();
  if (leaves.length === 1) return sha(Buffer.of(0), leaves[0]!);
  let split = 1;
  while (split * 2 < leaves.length) split *= 2;
  return sha(Buffer.of(1), rootOf(leaves.slice(0, split)), rootOf(leaves.slice(split)));
}

interface Log {
  size: number;
  published_size: number;
  published: string;
  verifier_key: string;
  origin: string;
  halted: string | null;
}

/** That the log is one, whole, and what was published of it true. @returns its head */
async function holds(t: Test, services: Services, expected: { size: number; waiting?: number }): Promise<Log> {
  const [head] = await lookAsOwner<Log>(services, 'select * from audit_head');
  const rows = await lookAsOwner<{ index: string; entry: Buffer; number: string }>(
    services,
    'select index, entry, number from audit_log order by index',
  );
  const [{ waiting } = { waiting: 0 }] = await lookAsOwner<{ waiting: number }>(
    services,
    'select count(*)::int as waiting from audit_pending',
  );
  t.equal(waiting, expected.waiting ?? 0, 'what waits');
  t.same(
    rows.map(({ index }) => Number(index)),
    Array.from({ length: expected.size }, (_, i) => i),
    'without a gap',
  );
  t.equal(new Set(rows.map(({ entry }) => entry.toString('hex'))).size, rows.length, 'each once');
  t.equal(Number(head!.published_size), expected.size);
  const opened = openCheckpoint(head!.published, { origin: head!.origin, log_key: parseVerifierKey(head!.verifier_key) });
  t.equal(opened.size, expected.size);
  t.ok(opened.root.equals(rootOf(rows.map(({ entry }) => entry))), 'what is signed is what is there');
  return head!;
}

interface Means {
  ledger?: Ledger;
  ledger_path?: string;
  now?: () => Date;
  batch?: number;
  halts?: Halt[];
}

/** A sequencer as a process of its own would have it. */
async function another(t: Test, services: Services, { ledger, ledger_path, now, batch, halts }: Means = {}) {
  const { config, log } = services;
  const database = openDatabase(config.database_url!, log, SEQUENCER_ROLE, 2);
  const own = ledger ?? (await openFileLedger(ledger_path ?? config.log.ledger_path));
  t.teardown(async () => {
    await database.close();
    await own.close();
  });
  return createSequencer({
    database,
    ledger: own,
    key: openLogKey(config.log.key_path, 'log.example/test', { create: true }),
    now: now ?? services.now,
    log,
    onHalt: async why => void (halts ? halts.push(why) : t.fail(`nothing is signed any more: ${why}`)),
    batch,
  });
}

/** Files cannot be synced while it says so: as where the disk fails. */
function failingSync(t: Test, any_file: FileHandle): { fails: boolean } {
  const files = Object.getPrototypeOf(any_file) as FileHandle;
  const { datasync } = files;
  const syncing = { fails: false };
  files.datasync = function (this: FileHandle) {
    return syncing.fails ? Promise.reject(Object.assign(new Error('it fails'), { code: 'EIO' })) : datasync.call(this);
  };
  t.teardown(async () => {
    files.datasync = datasync;
    await any_file.close();
  });
  return syncing;
}

const settle = async ({ step }: { step(): Promise<boolean> }): Promise<void> => {
  while (await step());
};

t.test('batches, tiles and roots', async t => {
  const { services } = await openTestServices(t);
  const [{ before }] = (await lookAsOwner<{ before: number }>(services, 'select count(*)::int as before from audit_pending')) as [
    { before: number },
  ];
  const sequencer = await another(t, services, { batch: 100 });
  let size = before;
  for (const more of [0, 1, 255 - before, 1, 1, 700]) {
    await leave(services, more);
    await settle(sequencer);
    size += more;
    await holds(t, services, { size });
  }
  const tiles = await lookAsOwner(services, 'select level, index from audit_tiles order by 1, 2');
  t.same(
    tiles.map(row => [row.level, Number(row.index)]),
    [0, 1, 2].map(index => [0, index]),
    'whole tiles alone are kept',
  );
  await leave(services, 300);
  await settle(await another(t, services, { batch: 1_000 }));
  await holds(t, services, { size: size + 300 });
});

t.test('stopped anywhere, it goes on', async t => {
  const { services } = await openTestServices(t);
  const [{ before }] = (await lookAsOwner<{ before: number }>(services, 'select count(*)::int as before from audit_pending')) as [
    { before: number },
  ];
  const file = await openFileLedger(services.config.log.ledger_path);
  let fails = false;
  const failing: Ledger = {
    head: () => file.head(),
    swap: (...swap) => (fails ? Promise.reject(new Error('no space')) : file.swap(...swap)),
    close: () => file.close(),
  };
  const sequencer = await another(t, services, { ledger: failing });
  await settle(sequencer);
  let size = before;

  await lookAsOwner(
    services,
    `create function refuse() returns trigger language plpgsql as $$ begin raise exception 'stop'; end $$;
     create trigger refuse before update on audit_head for each row when (new.size > old.size) execute function refuse()`,
  );
  await leave(services, 3);
  await t.rejects(sequencer.step(), /stop/, 'before the batch commits');
  await holds(t, services, { size, waiting: 3 });
  await lookAsOwner(services, 'drop trigger refuse on audit_head');
  await settle(sequencer);
  size += 3;
  await holds(t, services, { size });

  fails = true;
  await leave(services, 2);
  await t.rejects(sequencer.step(), /no space/, 'after it, before the ledger');
  await t.rejects(sequencer.step(), /no space/, 'and nothing more is signed until the ledger has it');
  const [head] = await lookAsOwner<Log>(services, 'select * from audit_head');
  t.same([Number(head!.size), Number(head!.published_size)], [size + 2, size], 'nobody has seen it');
  await leave(services, 2);
  fails = false;
  await settle(await another(t, services));
  size += 4;
  await holds(t, services, { size });

  await lookAsOwner(
    services,
    `create trigger refuse before update on audit_head for each row when (new.published_size > old.published_size) execute function refuse()`,
  );
  await leave(services, 1);
  await t.rejects(sequencer.step(), /stop/, 'after the ledger, before the public');
  t.equal((await file.head()).size, size + 1);
  await lookAsOwner(services, 'drop trigger refuse on audit_head');
  await settle(sequencer);
  await holds(t, services, { size: size + 1 });
});

t.test('two at once make one history', async t => {
  const { services } = await openTestServices(t);
  const [{ before }] = (await lookAsOwner<{ before: number }>(services, 'select count(*)::int as before from audit_pending')) as [
    { before: number },
  ];
  const both = [await another(t, services, { batch: 7 }), await another(t, services, { batch: 11 })] as const;
  await leave(services, 300);
  await Promise.all([...both, ...both].map(settle));
  for (const one of both) await settle(one);
  await holds(t, services, { size: before + 300 });

  // One is stopped when it has looked at the ledger; what it saw is old when it has the lock.
  const looked = Promise.withResolvers<void>();
  const go_on = Promise.withResolvers<void>();
  const seen = await openFileLedger(services.config.log.ledger_path);
  const late = await another(t, services, {
    ledger: {
      async head() {
        const head = await seen.head();
        looked.resolve();
        await go_on.promise;
        return head;
      },
      swap: (...swap) => seen.swap(...swap),
      close: () => seen.close(),
    },
  });
  await leave(services, 5);
  const behind = late.step();
  await looked.promise;
  await settle(both[0]);
  await leave(services, 5);
  go_on.resolve();
  await behind;
  await settle(late);
  await holds(t, services, { size: before + 310 });

  // One is stopped between its batch and the ledger; the other goes on, and the first wakes up again.
  const file = await openFileLedger(services.config.log.ledger_path);
  const woken = Promise.withResolvers<void>();
  const reached = Promise.withResolvers<void>();
  const slow = await another(t, services, {
    ledger: {
      head: () => file.head(),
      async swap(...swap) {
        reached.resolve();
        await woken.promise;
        return file.swap(...swap);
      },
      close: () => file.close(),
    },
  });
  await leave(services, 5);
  const stopped = slow.step();
  await reached.promise;
  await leave(services, 5);
  await settle(both[0]);
  woken.resolve();
  t.equal(await stopped, false, 'it finds that another published first');
  await settle(slow);
  await holds(t, services, { size: before + 320 });
});

t.test('of a database that lost something nothing is signed any more', async t => {
  const { services } = await openTestServices(t);
  const halts: Halt[] = [];
  const path = services.config.log.ledger_path;
  await leave(services, 20);
  await settle(await another(t, services, { halts }));

  const restored = (await openTestServices(t)).services;
  const { key_path } = services.config.log;
  copyFileSync(key_path, restored.config.log.key_path);
  const at_it = await another(t, restored, { halts, ledger_path: path });
  await settle(at_it);
  await settle(at_it);
  t.same(new Set(halts), new Set(['ledger_ahead']));
  const [head] = await lookAsOwner<Log>(restored, 'select * from audit_head');
  t.match(head, { halted: 'ledger_ahead' });
  t.equal(Number(head!.size), 0);
  const app = await buildApi(restored);
  t.teardown(() => app.close());
  t.match((await app.inject('/readyz')).json(), { code: 'service_unavailable', detail: /ledger_ahead/ });

  // It catches up in numbers, and is another history all the same.
  const own = join(await temporaryDataDir(t), 'ledger');
  await settle(await another(t, restored, { ledger_path: own }));
  t.equal((await app.inject('/readyz')).statusCode, 200, 'with its own ledger it is whole');
  await leave(restored, 100);
  await settle(await another(t, restored, { ledger_path: own }));
  halts.length = 0;
  await settle(await another(t, restored, { halts, ledger_path: path }));
  t.same(new Set(halts), new Set(['ledger_behind']), 'published beyond what the ledger knows');
  halts.length = 0;
  await lookAsOwner(restored, 'update audit_head set published_size = 0');
  await settle(await another(t, restored, { halts, ledger_path: path }));
  t.same(new Set(halts), new Set(['other_history']));
});

t.test('the alarm is in the trail and told to the audit body', async t => {
  const { services } = await openTestServices(t);
  const { key_path, ledger_path } = services.config.log;
  const first = await openSequencer(services, services.config.database_url!);
  await settle(first.sequencer);
  await first.close();
  writeFileSync(ledger_path, '');
  const { sequencer, close } = await openSequencer(services, services.config.database_url!);
  t.teardown(close);
  await leave(services, 1);
  for (let i = 0; i < 3; i += 1) t.equal(await sequencer.step(), false);
  const events = await lookAsOwner(services, `select type, urgent, body, agency_id from events where type = 'audit.alarm'`);
  const bodies = await lookAsOwner<{ id: string }>(services, `select id from agencies where kind = 'audit_body'`);
  t.match(
    events,
    bodies.map(({ id }) => ({ agency_id: id, urgent: true, body: { code: 'ledger_behind' } })),
  );
  t.equal(events.length, bodies.length);
  const entries = await lookAsOwner(services, `select outcome, code, client_id from audit_pending where action = 'audit.alarm'`);
  t.same(entries, [{ outcome: 'failed', code: 'ledger_behind', client_id: 'system:sequencer' }]);
  t.ok(key_path);
});

t.test('that nothing gets its place is noticed by others', async t => {
  const { services, clock } = await openTestServices(t);
  const sequencer = await another(t, services);
  await settle(sequencer);
  const look = watchLog(services);
  const alarms = () => lookAsOwner(services, `select code from audit_records where action = 'audit.alarm'`);
  await leave(services, 1);
  for (const ms of [0, 1_000, 1_001, 1_999]) {
    clock.advance(ms);
    await look();
  }
  t.same(await alarms(), [], 'late, but perhaps only since it was started again');
  await settle(sequencer);
  await look();
  await leave(services, 1);
  for (const ms of [2_001, 2_000, 1_000, 1_000]) {
    clock.advance(ms);
    await look();
  }
  t.same(await alarms(), [{ code: 'merge_delay' }], 'told once');
  await Promise.all([watchLog(services)(), watchLog(services)()]);
  t.equal((await alarms()).length, 1, 'whoever looks');

  // It has its place, and nothing waits: but nobody can see it.
  await settle(sequencer);
  clock.advance(3_600_000);
  await look();
  const file = await openFileLedger(services.config.log.ledger_path);
  const full = await another(t, services, {
    ledger: {
      head: () => file.head(),
      swap: () => Promise.reject(new Error('no space')),
      close: () => file.close(),
    },
  });
  await leave(services, 1);
  await t.rejects(full.step(), /no space/);
  for (const ms of [2_001, 2_000]) {
    clock.advance(ms);
    await look();
  }
  t.equal((await alarms()).length, 2, 'what is not public is late, too');
});

t.test('a ledger that is cut, replaced or torn', async t => {
  const { services } = await openTestServices(t);
  const path = services.config.log.ledger_path;
  const sequencer = await another(t, services);
  await settle(sequencer);
  const [{ size }] = (await lookAsOwner<{ size: number }>(services, 'select size::int from audit_head')) as [{ size: number }];

  // A crash left half a line: it counts for nothing, and swallows nothing.
  writeFileSync(path, '{"from":{"size":', { flag: 'a' });
  await leave(services, 2);
  await settle(await another(t, services));
  await settle(sequencer);
  await leave(services, 1);
  await settle(sequencer);
  await holds(t, services, { size: size + 3 });
  const again = await openFileLedger(path);
  t.equal((await again.head()).size, size + 3);
  await again.close();

  await t.rejects(openFileLedger('/proc/nowhere/ledger'), { name: 'LedgerError', message: /cannot be opened: ENOENT/ });
});

t.test('a ledger that fails while it is used, and is whole again', async t => {
  const { services } = await openTestServices(t);
  const path = services.config.log.ledger_path;
  const halts: Halt[] = [];
  const sequencer = await another(t, services, { halts });
  await settle(sequencer);
  let [{ size }] = (await lookAsOwner<{ size: number }>(services, 'select size::int from audit_head')) as [{ size: number }];
  const fails = (message: RegExp) => t.rejects(sequencer.step(), { name: 'LedgerError', message });
  /** It goes on by itself: no process is started again. */
  const goesOn = async (more: number) => {
    size += more;
    await settle(sequencer);
    t.equal((await holds(t, services, { size })).halted, null);
  };

  const whole = readFileSync(path);
  truncateSync(path, 10);
  await leave(services, 1);
  await fails(/was cut short/);
  await settle(sequencer);
  t.same(halts, ['ledger_behind'], 'looked at anew it has lost what was public');
  await holds(t, services, { size, waiting: 1 });
  writeFileSync(path, whole);
  await goesOn(1);

  copyFileSync(path, `${path}.copy`);
  renameSync(`${path}.copy`, path);
  await leave(services, 1);
  await fails(/was replaced by another file/);
  await goesOn(1);

  renameSync(path, `${path}.away`);
  await leave(services, 1);
  await fails(/cannot be read: ENOENT/);
  await fails(/cannot be opened: ENOENT/);
  t.notOk(existsSync(path), 'it is not begun anew');
  renameSync(`${path}.away`, path);
  await goesOn(1);

  const syncing = failingSync(t, await open(path));
  await leave(services, 1);
  syncing.fails = true;
  await fails(/cannot be synced: EIO/);
  await fails(/cannot be synced: EIO/);
  const [head] = await lookAsOwner<Log>(services, 'select * from audit_head');
  t.same([Number(head!.size), Number(head!.published_size)], [size + 1, size], 'what may not be on the disk is not public');
  syncing.fails = false;
  await goesOn(1);
});

t.test('a ledger without room', async t => {
  const { services } = await openTestServices(t);
  const [{ before }] = (await lookAsOwner<{ before: number }>(services, 'select count(*)::int as before from audit_pending')) as [
    { before: number },
  ];
  const path = join(services.config.data_dir, 'full');
  symlinkSync('/dev/full', path);
  const sequencer = await another(t, services, { ledger_path: path });
  for (let i = 0; i < 2; i += 1) {
    await t.rejects(sequencer.step(), { name: 'LedgerError', message: /cannot be written: ENOSPC/ });
    const [head] = await lookAsOwner<Log>(services, 'select * from audit_head');
    t.same([Number(head!.size), Number(head!.published_size)], [before, 0]);
    await leave(services, 3);
  }
  rmSync(path);
  writeFileSync(path, '');
  await t.rejects(sequencer.step(), /was replaced by another file/);
  await settle(sequencer);
  await holds(t, services, { size: before + 6 });
});

t.test('a ledger is read from its end', async t => {
  const path = join(await temporaryDataDir(t), 'ledger');
  const head = (size: number) => ({ size, root: size === 0 ? EMPTY_ROOT : createHash('sha256').update(String(size)).digest() });
  const ledger = await openFileLedger(path);
  t.teardown(() => ledger.close());
  const line = (from: number, to: number) => {
    const [a, b] = [from, to].map(size => ({ size, root: head(size).root.toString('base64') }));
    return `${JSON.stringify({ from: a, to: b, checkpoint: '' })}\n`;
  };
  for (let size = 0; size < 200; size += 1) {
    await ledger.swap(head(size), head(size + 1), 'note');
    // Somebody who was stopped long ago wakes up and appends.
    if (size % 3 === 0 && size > 9) writeFileSync(path, line(size - 9, size - 7), { flag: 'a' });
  }
  await t.rejects(ledger.swap(head(7), head(8), 'note'), { name: 'LedgerMoved' });
  for (let tail_bytes = 400; tail_bytes < 4_000; tail_bytes += 37) {
    const opened = await openFileLedger(path, { tail_bytes });
    t.equal((await opened.head()).size, 200, `${tail_bytes} bytes`);
    await opened.close();
  }
});

t.test('the clock', async t => {
  const { services, clock } = await openTestServices(t);
  const halts: Halt[] = [];
  const sequencer = await another(t, services, { halts });
  await settle(sequencer);
  let [{ size }] = (await lookAsOwner<{ size: number }>(services, 'select size::int from audit_head')) as [{ size: number }];
  clock.advance(-60_000);
  await leave(services, 1);
  await settle(sequencer);
  await holds(t, services, { size, waiting: 1 });
  t.same(halts, ['clock_went_back']);

  const alarming = await openSequencer(services, services.config.database_url!);
  t.teardown(() => alarming.close());
  for (let i = 0; i < 3; i += 1) t.equal(await alarming.sequencer.step(), false);
  t.same(await lookAsOwner(services, `select code from audit_records where action = 'audit.alarm'`), [
    { code: 'clock_went_back' },
  ]);
  clock.advance(60_000);
  await settle(sequencer);
  // The alarm has its place, too.
  size += 1;
  await holds(t, services, { size: size + 1 });

  await keepAlive(services);
  await settle(sequencer);
  await holds(t, services, { size: size + 1 });
  clock.advance(600_000);
  await keepAlive(services);
  await settle(sequencer);
  await holds(t, services, { size: size + 2 });
  t.same(await lookAsOwner(services, 'select action from audit_log order by index desc limit 1'), [
    { action: 'audit.heartbeat' },
  ]);
});

t.test('another key signs nothing', async t => {
  const { services } = await openTestServices(t);
  await settle(await another(t, services));
  const halts: Halt[] = [];
  const database = openDatabase(services.config.database_url!, services.log, SEQUENCER_ROLE, 2);
  const ledger = await openFileLedger(services.config.log.ledger_path);
  t.teardown(async () => {
    await database.close();
    await ledger.close();
  });
  const key = openLogKey(join(services.config.data_dir, 'other.pem'), 'log.example/test', { create: true });
  await settle(
    createSequencer({ database, ledger, key, now: services.now, log: services.log, onHalt: async why => void halts.push(why) }),
  );
  t.same(new Set(halts), new Set(['other_key']));
  await settle(await another(t, services));
  await holds(t, services, { size: Number((await lookAsOwner<Log>(services, 'select * from audit_head'))[0]!.size) });
});

t.test('its role does what it must, and no more', async t => {
  const { services } = await openTestServices(t);
  const { pool, close } = openDatabase(services.config.database_url!, services.log, SEQUENCER_ROLE, 1);
  t.teardown(close);
  await settle(await another(t, services));
  await leave(services, 1);
  for (const statement of [
    'update audit_log set meta = meta',
    'delete from audit_log',
    'truncate audit_log',
    'update audit_tiles set root = root',
    'delete from audit_tiles',
    'truncate audit_tiles',
    'insert into audit_pending default values',
    'update audit_pending set meta = meta',
    'delete from audit_pending',
    'delete from audit_head',
    `update audit_head set origin = 'other'`,
    'select 1 from cases',
    'select 1 from audit_subjects',
    'select 1 from agencies',
  ]) {
    await t.rejects(pool.query(statement), { code: '42501' }, statement);
  }
});
