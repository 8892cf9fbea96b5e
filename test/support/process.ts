import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';
import { startEmbeddedPostgres } from '../../src/platform/embedded-postgres.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** A program of this repository, run as a process as somebody would run it. */
export interface Program {
  child: ChildProcess;
  /** What it wrote so far. */
  output: { stdout: string; stderr: string };
  /** Resolves when `pattern` stands on stdout. @throws Error when the program ends before, or takes longer than `within_ms` */
  said(pattern: RegExp, within_ms?: number): Promise<RegExpExecArray>;
  /** Sends a signal, and waits for the end. */
  end(signal: NodeJS.Signals): Promise<{ code: number | null; ms: number }>;
  ended: Promise<number | null>;
}

/** Where and as whom a program runs: in the repository, as whoever runs the tests. */
export interface Place {
  cwd?: string;
  uid?: number;
  gid?: number;
}

/**
 * Runs `node <args>` with nothing of this environment's configuration but `env`: nor with what tap puts into every Node.js below
 * it, which would have signals do other things than they do elsewhere.
 */
export const run = (t: Test, args: string[], env: Record<string, string>): Program =>
  runCommand(t, 'env', ['-u', 'NODE_OPTIONS', process.execPath, ...args], env);

/** Runs a command. It is killed at teardown, should it run yet. */
export function runCommand(
  t: Test,
  command: string,
  args: string[],
  env: Record<string, string> = {},
  place: Place = {},
): Program {
  const { PATH, HOME, NODE_COMPILE_CACHE } = process.env;
  const kept = { PATH, HOME, ...(NODE_COMPILE_CACHE ? { NODE_COMPILE_CACHE } : {}) };
  const child = spawn(command, args, { cwd: ROOT, ...place, env: { ...kept, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  const output = { stdout: '', stderr: '' };
  let wrote = Promise.withResolvers<void>();
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      output[name] += text;
      wrote.resolve();
      wrote = Promise.withResolvers();
    });
  }
  const ended = once(child, 'close').then(
    ([code]) => code as number | null,
    error => {
      output.stderr += String(error); // there is no such command
      return null;
    },
  );
  const end = async (signal: NodeJS.Signals) => {
    const started = performance.now();
    child.kill(signal);
    return { code: await ended, ms: performance.now() - started };
  };
  t.teardown(async () => {
    if (child.pid && child.exitCode === null && child.signalCode === null) await end('SIGKILL');
  });
  return {
    child,
    output,
    ended,
    end,
    async said(pattern, within_ms = 60_000) {
      const late = AbortSignal.timeout(within_ms);
      const too_late = new Promise<void>(resolve => late.addEventListener('abort', () => resolve(), { once: true }));
      let running = true;
      const stopped = ended.then(() => {
        running = false;
      });
      for (;;) {
        const found = pattern.exec(output.stdout);
        if (found) return found;
        if (!running || late.aborted) throw new Error(`${running ? 'too late' : 'ended'}: ${output.stdout}${output.stderr}`);
        await Promise.race([wrote.promise, stopped, too_late]);
      }
    },
  };
}

/** A folder for DATA_DIR. At teardown a database server that was left in it is stopped, and the folder removed. */
export async function temporaryDataDir(t: Test): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'aman-test-'));
  await chmod(dir, 0o711); // started by root, the database runs as another user
  t.teardown(async () => {
    if (existsSync(join(dir, 'postgres/postmaster.pid'))) await (await startEmbeddedPostgres({ dir })).stop();
    await rm(dir, { recursive: true, force: true, maxRetries: 3 });
  });
  return dir;
}

/** The service, as `npm start` starts it, on a free port. */
export const serve = (t: Test, env: Record<string, string>): Program =>
  run(t, ['src/main.ts', 'serve'], { PORT: '0', LOG_LEVEL: 'warn', ...env });

/** Waits until it takes requests. @returns its base URL */
export async function ready(service: Program): Promise<string> {
  const [, base_url] = await service.said(/aman is ready\n {2}API +(http:\S+)\/v1\n[\s\S]*?docs.*\n/);
  return base_url!;
}
