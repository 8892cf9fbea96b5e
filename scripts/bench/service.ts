import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

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
  origin: string;
  pid: number;
  /** From the start of the process to its line "aman is ready". */
  ready_ms: number;
  /** Resident memory in MiB, now and at its highest. */
  memory(): { now: number; highest: number };
  stop(): Promise<void>;
}

const running = new Set<Service>();

/** Ends whatever still runs. */
export const stopServices = () => Promise.all([...running].map(service => service.stop()));

/** @throws Error with what the process wrote where it did not start */
export async function startService({ database_url, dir, roles = 'api', node_args = [], env = {} }: Start): Promise<Service> {
  const { PATH, HOME, TMPDIR } = process.env;
  const started_at = performance.now();
  const child = spawn(process.execPath, [...node_args, join(ROOT, 'src/main.ts'), 'serve'], {
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
  const pid = child.pid!;
  let output = '';
  const ready = Promise.withResolvers<string>();
  child.on('error', ready.reject);
  child.on('exit', () => ready.reject(new Error(`the service did not start:\n${output.trim()}`)));
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output = `${output}${text}`.slice(-4_000);
      const [, origin] = /aman is ready\n {2}API +(http:\S+)\/v1\n/.exec(output) ?? [];
      if (origin) ready.resolve(origin);
    });
  }
  const too_late = setTimeout(() => ready.reject(new Error(`not ready within ${START_MS / 1_000} s:\n${output}`)), START_MS);
  const origin = await ready.promise
    .catch(async error => {
      await end(child);
      throw error;
    })
    .finally(() => clearTimeout(too_late));
  const service: Service = {
    origin,
    pid,
    ready_ms: performance.now() - started_at,
    memory: () => residentMemory(pid),
    async stop() {
      running.delete(service);
      await end(child);
    },
  };
  running.add(service);
  return service;
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.kill('SIGTERM');
  const too_late = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
  await exit.finally(() => clearTimeout(too_late));
}

function residentMemory(pid: number): { now: number; highest: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const mib = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? Number.NaN) / 1_024;
  return { now: mib('VmRSS'), highest: mib('VmHWM') };
}
