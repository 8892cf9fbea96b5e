import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import t, { type Test } from 'tap';
import { type EmbeddedPostgres, lockDataDir, startEmbeddedPostgres } from '../../src/platform/embedded-postgres.ts';

const MODULE = new URL('../../src/platform/embedded-postgres.ts', import.meta.url).href;
const isRoot = process.getuid?.() === 0;

async function temporaryDir(t: Test): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'aman-test-'));
  await chmod(dir, 0o711); // started by root, the server runs as another user
  t.teardown(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

async function start(t: Test, dir: string, settings: Record<string, string> = {}): Promise<EmbeddedPostgres> {
  const postgres = await startEmbeddedPostgres({ dir, settings: { fsync: 'off', ...settings } });
  t.teardown(async () => {
    await postgres.stop();
    await rm(postgres.directory, { recursive: true, force: true });
  });
  return postgres;
}

async function query(postgres: EmbeddedPostgres, sql: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: postgres.adminUrl('postgres'), connectionTimeoutMillis: 5_000 });
  await client.connect();
  try {
    const { rows } = await client.query({ text: sql, rowMode: 'array' });
    return rows[0] ?? [];
  } finally {
    await client.end();
  }
}

/** Runs code in a process of its own until it says that it is ready; the answer kills that process and waits for its end. */
async function otherProcess(t: Test, dir: string, code: string): Promise<{ pid: number; kill(): Promise<void> }> {
  const program = `
    const { startEmbeddedPostgres, lockDataDir } = await import(${JSON.stringify(MODULE)});
    const dir = ${JSON.stringify(dir)};
    ${code}
    console.log('ready');
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });
  const kill = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, 'exit');
    child.kill('SIGKILL');
    await exit;
  };
  t.teardown(kill);
  await Promise.race([once(child.stdout, 'data'), once(child, 'exit').then(() => Promise.reject(new Error('exited early')))]);
  return { pid: child.pid!, kill };
}

t.test('the first start makes a cluster with a password; later starts find it', async t => {
  const dir = await temporaryDir(t);
  const first = await start(t, dir, { work_mem: '5MB' });
  t.equal(first.reused, false);
  t.same(await query(first, "select current_setting('server_encoding'), current_setting('listen_addresses')"), [
    'UTF8',
    '127.0.0.1',
  ]);
  t.same(await query(first, "select current_setting('work_mem'), current_setting('unix_socket_directories')"), ['5MB', '']);
  t.equal((await stat(join(dir, 'postgres-password'))).mode & 0o777, 0o600);
  await query(first, 'create table kept as select 42 as answer');
  const wrong = new pg.Client(first.adminUrl('postgres').replace(/:[0-9a-f]+@/, ':wrong@'));
  await t.rejects(wrong.connect(), /password authentication failed/);

  await first.stop();
  await t.resolves(first.stop(), 'a second stop does nothing');
  await t.rejects(query(first, 'select 1'), { code: 'ECONNREFUSED' });

  const second = await start(t, dir);
  t.equal(second.reused, false);
  t.same(await query(second, 'select answer from kept'), [42]);
});

t.test('a server that outlived its service is taken over, and stopped', async t => {
  const dir = await temporaryDir(t);
  const service = await otherProcess(t, dir, 'lockDataDir(dir); await startEmbeddedPostgres({ dir });');
  await service.kill();
  t.teardown(lockDataDir(dir));
  const postgres = await start(t, dir);
  t.equal(postgres.reused, true);
  t.same(await query(postgres, 'select 1'), [1]);
  await postgres.stop();
  await t.rejects(query(postgres, 'select 1'), { code: 'ECONNREFUSED' });
});

t.test('a server that crashed is started again', async t => {
  const dir = await temporaryDir(t);
  const crashed = await start(t, dir);
  await query(crashed, 'create table kept as select 42 as answer');
  const pidFile = join(crashed.directory, 'postmaster.pid');
  process.kill(Number((await readFile(pidFile, 'utf8')).split('\n')[0]), 'SIGKILL');
  await t.rejects(query(crashed, 'select 1'));
  const postgres = await start(t, dir);
  t.equal(postgres.reused, false);
  t.same(await query(postgres, 'select answer from kept'), [42]);
});

t.test('a pid file whose pid has become another program does not matter', async t => {
  const dir = await temporaryDir(t);
  const first = await start(t, dir);
  const pidFile = join(first.directory, 'postmaster.pid');
  const content = await readFile(pidFile, 'utf8');
  await first.stop();
  const stranger = await otherProcess(t, dir, isRoot ? `process.setuid(${(await stat(first.directory)).uid});` : '');
  await writeFile(pidFile, content.replace(/^\d+/, String(stranger.pid)));
  const postgres = await start(t, dir);
  t.equal(postgres.reused, false);
  t.same(await query(postgres, 'select 1'), [1]);
});

t.test('half a cluster is made anew', async t => {
  const dir = await temporaryDir(t);
  const half = join(dir, 'postgres.new', 'cluster');
  await mkdir(half, { recursive: true });
  await writeFile(join(half, 'PG_VERSION'), '18\n');
  t.same(await query(await start(t, dir), 'select 1'), [1]);
});

t.test('a server that does not start says why', async t => {
  const dir = await temporaryDir(t);
  await t.rejects(startEmbeddedPostgres({ dir, settings: { work_mem: 'plenty' } }), {
    message: /did not start on .*invalid value for parameter "work_mem": "plenty"/,
  });
});

t.test('a folder has one user at a time', async t => {
  const dir = await temporaryDir(t);
  const holder = await otherProcess(t, dir, 'lockDataDir(dir);');
  t.throws(() => lockDataDir(dir), { message: `another process (pid ${holder.pid}) already uses ${dir}` });
  await holder.kill();
  const release = lockDataDir(dir);
  t.throws(() => lockDataDir(dir), { message: /already uses/ }, 'nor can this process have it twice');
  release();
  lockDataDir(dir)();
});

t.test('a lock whose pid has become another process is taken over', async t => {
  const dir = await temporaryDir(t);
  for (const content of [`${process.pid} 1`, `${process.ppid} 1`, 'nonsense', '']) {
    await writeFile(join(dir, 'lock'), content);
    t.doesNotThrow(lockDataDir(dir));
  }
});

t.test('a folder that cannot be written says so in one line', async t => {
  const dir = await temporaryDir(t);
  const file = join(dir, 'file');
  await writeFile(file, '');
  const message = `cannot write to ${join(file, 'data')} (ENOTDIR): set DATA_DIR to a folder that this user may write to`;
  t.throws(() => lockDataDir(join(file, 'data')), { message });
  await t.rejects(startEmbeddedPostgres({ dir: join(file, 'data') }), { message });
});

t.test('nor can a folder of somebody else', { skip: isRoot && 'root may write everywhere' }, async t => {
  const dir = await temporaryDir(t);
  await chmod(dir, 0o500);
  t.throws(() => lockDataDir(dir), {
    message: `cannot write to ${dir} (EACCES): set DATA_DIR to a folder that this user may write to`,
  });
});
