import { readFileSync } from 'node:fs';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../src/platform/embedded-postgres.ts';

/**
 * A throw-away PostgreSQL that does all that one does which must not lose anything, for so it is by default: every commit is on
 * the disk before it is answered (`fsync`, `synchronous_commit`), pages are written whole after a checkpoint
 * (`full_page_writes`), autovacuum runs. These are not named here, for what is named at the start cannot be changed later.
 */
const SETTINGS = {
  shared_buffers: '512MB',
  max_wal_size: '4GB',
  checkpoint_timeout: '15min',
};

export interface Server {
  /** A folder for the service's own files. */
  dir: string;
  /** Of its first process. */
  pid: number;
  urlOf(database: string): string;
  /** Runs statements, as the superuser. */
  run(database: string, ...statements: string[]): Promise<void>;
  /** A database like `template`, to which nobody may be connected. */
  clone(template: string, database: string): Promise<void>;
  stop(): Promise<void>;
}

export async function startServer(settings: Record<string, string> = {}): Promise<Server> {
  const dir = await mkdtemp(join(tmpdir(), 'aman-bench-'));
  await chmod(dir, 0o711); // root has the server run as another user
  let postgres: EmbeddedPostgres | undefined;
  const stop = async () => {
    await postgres?.stop();
    if (postgres) await rm(postgres.directory, { recursive: true, force: true });
    await rm(dir, { recursive: true, force: true });
  };
  try {
    postgres = await startEmbeddedPostgres({ dir, settings: { ...SETTINGS, ...settings } });
  } catch (error) {
    await stop();
    throw error;
  }
  const { adminUrl: urlOf } = postgres;

  async function run(database: string, ...statements: string[]): Promise<void> {
    const client = new pg.Client(urlOf(database));
    await client.connect();
    try {
      for (const statement of statements) await client.query(statement);
    } finally {
      await client.end();
    }
  }

  return {
    dir,
    pid: Number(readFileSync(join(postgres.directory, 'postmaster.pid'), 'utf8').split('\n', 1)[0]),
    urlOf,
    run,
    async clone(template, database) {
      await run(
        'postgres',
        `drop database if exists ${database} with (force)`,
        `create database ${database} template ${template}`,
      );
    },
    stop,
  };
}
