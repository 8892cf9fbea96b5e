import { readdir } from 'node:fs/promises';
import { runMigrations as migrateQueue } from 'bullmq';
import { Kysely, PostgresDialect, sql } from 'kysely';
import { type Migration, Migrator } from 'kysely/migration';
import pg from 'pg';
import { ConfigError } from './config.ts';

/** Where BullMQ keeps its tables: nothing there that the sweeps could not put back. */
export const QUEUE_SCHEMA = 'queue';

const FOLDER = new URL('../../migrations/', import.meta.url);

/**
 * Brings the database at `url` to the schema of this version. Runs in one process at a time (the migrator holds a lock), and
 * where nothing is to be done it only looks, so that a login that may not migrate can start the service.
 * @param options.login the service's own login, which is let to take the role `aman_app`
 * @throws ConfigError when the database is of a newer version, or too old a PostgreSQL
 */
export async function migrate(url: string, { login = null }: { login?: string | null } = {}): Promise<void> {
  const pool = new pg.Pool({ connectionString: url, max: 2, connectionTimeoutMillis: 5_000 });
  const db = new Kysely<unknown>({ dialect: new PostgresDialect({ pool }) });
  try {
    await requirePostgres15(db);
    const migrations = await loadMigrations();
    if (await isCurrent(db, Object.keys(migrations))) return;
    await prepareRole(db, login);
    await prepareQueue(pool);
    // Last, for it is what tells the next start that everything is done.
    const { error } = await new Migrator({ db, provider: { getMigrations: async () => migrations } }).migrateToLatest();
    if (error) throw error;
  } finally {
    await db.destroy();
  }
}

async function requirePostgres15(db: Kysely<unknown>): Promise<void> {
  const { rows } = await sql<{ version: number }>`select current_setting('server_version_num')::int as version`.execute(db);
  if ((rows[0]?.version ?? 0) < 150_000) throw new ConfigError('PostgreSQL 15 or newer is needed');
}

async function loadMigrations(): Promise<Record<string, Migration>> {
  const files = (await readdir(FOLDER)).filter(file => /^\d{4}-.*\.ts$/.test(file)).sort();
  return Object.fromEntries(
    await Promise.all(
      files.map(async file => [file.slice(0, -3), (await import(new URL(file, FOLDER).href)) as Migration] as const),
    ),
  );
}

/** @throws ConfigError for migrations that this version does not know */
async function isCurrent(db: Kysely<unknown>, known: string[]): Promise<boolean> {
  const { rows } = await sql<{ migrations: string | null; queue: string | null }>`
    select to_regclass('public.kysely_migration')::text as migrations, to_regnamespace(${QUEUE_SCHEMA})::text as queue`.execute(
    db,
  );
  if (!rows[0]?.migrations) return false;
  const { rows: applied } = await sql<{ name: string }>`select name from kysely_migration`.execute(db);
  const unknown = applied.find(({ name }) => !known.includes(name));
  if (unknown) throw new ConfigError(`the database has a newer schema (${unknown.name}) than this version of the service`);
  return applied.length === known.length && rows[0].queue !== null;
}

/** The role that the service takes owns nothing; roles belong to the whole server, so it may be there already. */
async function prepareRole(db: Kysely<unknown>, login: string | null): Promise<void> {
  await sql`
    do $$ begin
      create role aman_app nologin;
    exception when duplicate_object or unique_violation then null;
    end $$`.execute(db);
  await sql`do $$ begin execute format('grant aman_app to %I', current_user); end $$`.execute(db);
  if (login) await sql`grant aman_app to ${sql.id(login)}`.execute(db);
}

async function prepareQueue(pool: pg.Pool): Promise<void> {
  const client = await pool.connect();
  try {
    await client.query(`create schema if not exists ${QUEUE_SCHEMA}`);
    await migrateQueue(client, QUEUE_SCHEMA);
    for (const kind of ['tables', 'sequences', 'functions']) {
      await client.query(`grant all on all ${kind} in schema ${QUEUE_SCHEMA} to aman_app`);
    }
    // `create`: BullMQ makes a sequence per queue when the first job comes.
    await client.query(`grant usage, create on schema ${QUEUE_SCHEMA} to aman_app`);
  } finally {
    client.release();
  }
}
