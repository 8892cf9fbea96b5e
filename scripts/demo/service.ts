import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startEmbeddedPostgres } from '../../src/platform/embedded-postgres.ts';
import type { Credentials } from './agency.ts';

/** What `DATA_DIR/demo-credentials.json` holds. */
export interface Demonstration {
  base_url: string;
  jurisdictions: { normal: string; fast: string };
  agencies: Record<string, Credentials>;
}

const FILE = 'demo-credentials.json';
const START_MS = 45_000;
const STOP_MS = 8_000;

/** The demonstration of a service that runs already, by the credentials in DATA_DIR; undefined where there is none. */
export async function findRunning(): Promise<Demonstration | undefined> {
  const path = join(resolve(process.env.DATA_DIR || '.data'), FILE);
  if (!existsSync(path)) return undefined;
  try {
    const demonstration = JSON.parse(await readFile(path, 'utf8')) as Demonstration;
    const { base_url, agencies } = demonstration;
    const { client_id, client_secret } = agencies.helpline_a!;
    const ready = await fetch(new URL('/readyz', base_url), { signal: AbortSignal.timeout(2_000) });
    if (!ready.ok) return undefined;
    // Whoever listens there now may be another service, with another database.
    const login = await fetch(new URL('/oauth/token', base_url), {
      method: 'POST',
      headers: { authorization: `Basic ${Buffer.from(`${client_id}:${client_secret}`).toString('base64')}` },
      body: new URLSearchParams({ grant_type: 'client_credentials' }),
      signal: AbortSignal.timeout(5_000),
    });
    return login.ok ? demonstration : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Starts the service for this night alone: a free port, a folder of its own, nothing of the environment's configuration, so that
 * nobody's data is touched.
 * @param later is handed what stops the service and removes its folder
 */
export async function startOwn(
  later: (tidy: () => Promise<unknown>) => void,
  note: (text: string) => void,
  signal: AbortSignal,
): Promise<Demonstration> {
  const dir = await mkdtemp(join(tmpdir(), 'aman-demo-'));
  await chmod(dir, 0o711); // started by root, the database runs as another user
  later(() => remove(dir));
  note(`no service with the demonstration is running: starting one, on data of its own in ${dir}, removed afterwards`);

  const { PATH, HOME, TMPDIR } = process.env;
  const child = spawn(process.execPath, ['src/main.ts', 'serve'], {
    cwd: fileURLToPath(new URL('../..', import.meta.url)),
    env: { PATH, HOME, TMPDIR, DATA_DIR: dir, PORT: '0', LOG_LEVEL: 'error' },
    detached: true, // Ctrl-C in a terminal reaches this process, which stops the service when everything else is done
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  later(() => stop(child, dir));
  let output = '';
  const ready = Promise.withResolvers<void>();
  child.on('error', ready.reject);
  child.on('exit', () => ready.reject(new Error(`the service did not start:\n${output.trim()}`)));
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output = `${output}${text}`.slice(-4_000);
      if (output.includes('aman is ready')) ready.resolve();
    });
  }
  signal.addEventListener('abort', () => ready.reject(signal.reason));
  const too_late = setTimeout(() => ready.reject(new Error(`the service was not ready within ${START_MS / 1_000} s`)), START_MS);
  await ready.promise.finally(() => clearTimeout(too_late));
  return JSON.parse(await readFile(join(dir, FILE), 'utf8'));
}

async function stop(child: ChildProcess, dir: string): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) {
    const exit = once(child, 'exit');
    child.kill('SIGINT');
    const too_late = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
    await exit.finally(() => clearTimeout(too_late));
  }
  // A service that had to be killed leaves its database server running.
  if (existsSync(join(dir, 'postgres/postmaster.pid'))) await (await startEmbeddedPostgres({ dir })).stop();
}

/** The folder, and the database where that could not lie in it. */
async function remove(dir: string): Promise<void> {
  const elsewhere = await readFile(join(dir, 'postgres-location'), 'utf8').catch(() => '');
  for (const path of [elsewhere.trim(), dir].filter(Boolean)) await rm(path, { recursive: true, force: true, maxRetries: 3 });
}
