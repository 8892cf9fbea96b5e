import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import manifest from '../../package.json' with { type: 'json' };

/** The service as the process that it really is, with nothing of this environment's configuration. */

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const START_MS = 60_000;
const STOP_MS = 8_000;

/** What tokens are issued by and for, so that every process of a run takes each other's. */
export const PUBLIC_URL = 'http://service.example.invalid';

export interface Start {
  database_url: string;
  /** Of keyring and data. */
  dir: string;
  roles?: string;
  node_args?: string[];
  env?: Record<string, string>;
}

export interface Service {
  /** Empty where it has no API. */
  origin: string;
  pid: number;
  /** From the start of the process to its line "aman is ready", or "working". */
  ready_ms: number;
  memory(): Memory;
  stop(): Promise<void>;
}

/** Resident, in MiB. */
export interface Memory {
  now: number;
  highest: number;
  /** Heap, stacks and buffers; the rest is the program itself and its libraries. */
  anonymous: number;
}

/** The heap that `npm start` gives it. */
const LIMITS = manifest.scripts.start.split(' ').filter(word => word.startsWith('--'));

const running = new Set<ChildProcess>();
let over = false;

/** Ends whatever still runs; nothing is started any more. */
export async function stopServices(): Promise<void> {
  over = true;
  await Promise.all([...running].map(end));
}

/** @throws Error with what the process wrote where it did not start */
export async function startService({ database_url, dir, roles = 'api', node_args = [], env = {} }: Start): Promise<Service> {
  if (over) throw new Error('the run is over');
  const { PATH, HOME, TMPDIR } = process.env;
  const started_at = performance.now();
  const child = spawn(process.execPath, [...LIMITS, ...node_args, join(ROOT, 'src/main.ts'), 'serve'], {
    cwd: ROOT,
    env: {
      PATH,
      HOME,
      TMPDIR,
      DATABASE_URL: database_url,
      DATA_DIR: dir,
      PUBLIC_URL,
      PORT: '0',
      ROLES: roles,
      RATE_LIMIT: '1000000,10000000', // all load comes from a handful of clients
      ...env,
    },
    detached: true, // Ctrl-C reaches the parent alone, which stops the service in its own time
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  running.add(child);
  const pid = child.pid!;
  let output = '';
  const ready = Promise.withResolvers<string>();
  child.on('error', ready.reject);
  child.on('exit', () => ready.reject(new Error(`the service did not start:\n${output.trim()}`)));
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output = `${output}${text}`.slice(-4_000);
      const [found, origin = ''] = /aman is (?:ready\n {2}API +(http:\S+)\/v1|working.*)\n/.exec(output) ?? [];
      if (found !== undefined) ready.resolve(origin);
    });
  }
  const too_late = setTimeout(() => ready.reject(new Error(`not ready within ${START_MS / 1_000} s:\n${output}`)), START_MS);
  const origin = await ready.promise
    .catch(async error => {
      await end(child);
      throw error;
    })
    .finally(() => clearTimeout(too_late));
  return {
    origin,
    pid,
    ready_ms: performance.now() - started_at,
    memory: () => residentMemory(pid),
    stop: () => end(child),
  };
}

async function end(child: ChildProcess): Promise<void> {
  running.delete(child);
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.kill('SIGTERM');
  const too_late = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
  await exit.finally(() => clearTimeout(too_late));
}

/** On Linux; elsewhere it is not known. */
function residentMemory(pid: number): Memory {
  const path = `/proc/${pid}/status`;
  const status = existsSync(path) ? readFileSync(path, 'utf8') : '';
  const mib = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? Number.NaN) / 1_024;
  return { now: mib('VmRSS'), highest: mib('VmHWM'), anonymous: mib('RssAnon') };
}
