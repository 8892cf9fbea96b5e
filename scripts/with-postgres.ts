/**
 * `node scripts/with-postgres.ts <command…>` runs a command with a throw-away PostgreSQL: TEST_DATABASE_ADMIN_URL is the
 * superuser's connection string, and the databases that test/support/template.ts prepares are there. The cluster is gone when
 * the command ends, however it ends; the exit code is the command's.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../src/platform/embedded-postgres.ts';

// A crash may lose the whole cluster: nobody will miss it.
const settings = {
  fsync: 'off',
  synchronous_commit: 'off',
  full_page_writes: 'off',
  wal_level: 'minimal',
  max_wal_senders: '0',
  max_wal_size: '4GB',
  checkpoint_timeout: '1h',
  // Each database lives for seconds.
  autovacuum: 'off',
};

const [command, ...args] = process.argv.slice(2);
if (command === undefined) {
  console.error('usage: node scripts/with-postgres.ts <command…>');
  process.exit(2);
}

let stoppedBy: NodeJS.Signals | undefined;
let forward = (_signal: NodeJS.Signals) => {};
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    stoppedBy = signal;
    forward(signal);
  });
}

const dir = await mkdtemp(join(tmpdir(), 'aman-test-'));
let postgres: EmbeddedPostgres | undefined;
try {
  await chmod(dir, 0o711); // root has the server run as another user
  postgres = await startEmbeddedPostgres({ dir, settings });
  await prepareTemplate(postgres);
  process.exitCode = stoppedBy ? exitCode(null, stoppedBy) : await run(command, args, postgres.adminUrl('postgres'));
} finally {
  await postgres?.stop();
  if (postgres) await rm(postgres.directory, { recursive: true, force: true });
  await rm(dir, { recursive: true, force: true });
}

async function prepareTemplate({ adminUrl }: EmbeddedPostgres): Promise<void> {
  const template = new URL('../test/support/template.ts', import.meta.url);
  if (existsSync(template)) await (await import(template.href)).prepareTemplate((database: string) => adminUrl(database));
}

function run(command: string, args: string[], adminUrl: string): Promise<number> {
  return new Promise(resolve => {
    // Every test file is a process of its own, which would strip and compile the same sources again.
    const env = { NODE_COMPILE_CACHE: join(dir, 'compile-cache'), ...process.env, TEST_DATABASE_ADMIN_URL: adminUrl };
    const child = spawn(command, args, { stdio: 'inherit', env });
    forward = signal => {
      // Ctrl-C in a terminal has reached the child already; a second one would make many programs give up tidying.
      if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal);
    };
    child.on('error', error => {
      console.error(`cannot run ${command}: ${error.message}`);
      resolve(127);
    });
    child.on('exit', (code, signal) => resolve(exitCode(code, signal)));
  });
}

/** As a shell gives it: 128 and the signal's number for a program that a signal ended. */
function exitCode(code: number | null, signal: NodeJS.Signals | null): number {
  return code ?? 128 + (signal ? constants.signals[signal] : 0);
}
