import { readdir } from 'node:fs/promises';
import { assertSchemaCompatibility, runMigrations as migrateQueue, SchemaMigrationRequiredError } from 'bullmq';
import { Kysely, PostgresDialect, sql } from 'kysely';
import { type Migration, Migrator } from 'kysely/migration';
import pg from 'pg';
import { ConfigError } from './config.ts';
import { APPLICATION_ROLE, DATABASE_ROLES, type DatabaseRole, SEQUENCER_ROLE } from './database.ts';

/** Where BullMQ keeps its tables: nothing there that the sweeps could not put back. */
export const QUEUE_SCHEMA = 'queue';

const FOLDER = new URL('../../migrations/', import.meta.url);

/**
 * Brings the database at `url` to the schema of this version. Runs in one process at a time (the migrator holds a lock), and
 * where nothing is to be done it only looks, so that a login that may not migrate can start the service.
 * @param options.login the service's own login, which is let to take the role `aman_app`
 * @param options.sequencer_login the sequencer's, which is let to take `aman_sequencer`
 * @throws ConfigError when the database is of a newer version, or too old a PostgreSQL
 */
export async function migrate(
  url: string,
  { login = null, sequencer_login = null }: { login?: string | null; sequencer_login?: string | null } = {},
): Promise<void> {
  const pool = new pg.Pool({ connectionString: url, max: 4, connectionTimeoutMillis: 5_000 });
  const db = new Kysely<unknown>({ dialect: new PostgresDialect({ pool }) });
  const alone = await pool.connect().catch(async error => {
    await db.destroy();
    throw error;
  });
  try {
    // Of processes that start together, one migrates; the others then find it done. Ends with the connection.
    await alone.query(`select pg_advisory_lock(hashtextextended('aman migrate', 0))`);
    await requirePostgres15(db);
    const migrations = await loadMigrations();
    if (!(await isCurrent(pool, db, Object.keys(migrations)))) {
      await prepareRoles(db);
      await prepareQueue(pool);
      // Last, for it is what tells the next start that everything is done.
      const { error } = await new Migrator({ db, provider: { getMigrations: async () => migrations } }).migrateToLatest();
      if (error) throw error;
    }
    if (login) await letTakeRole(db, login, APPLICATION_ROLE);
    if (sequencer_login) await letTakeRole(db, sequencer_login, SEQUENCER_ROLE);
  } finally {
    alone.release(true);
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
async function isCurrent(pool: pg.Pool, db: Kysely<unknown>, known: string[]): Promise<boolean> {
  const { rows } = await sql<{ migrations: string | null; queue: string | null }>`
    select to_regclass('public.kysely_migration')::text as migrations, to_regnamespace(${QUEUE_SCHEMA})::text as queue`.execute(
    db,
  );
  if (!rows[0]?.migrations || !rows[0].queue) return false;
  const { rows: applied } = await sql<{ name: string }>`select name from kysely_migration`.execute(db);
  const unknown = applied.find(({ name }) => !known.includes(name));
  if (unknown) throw new ConfigError(`the database has a newer schema (${unknown.name}) than this version of the service`);
  return applied.length === known.length && (await isQueueCurrent(pool));
}

async function isQueueCurrent(pool: pg.Pool): Promise<boolean> {
  try {
    await assertSchemaCompatibility(pool, QUEUE_SCHEMA);
    return true;
  } catch (error) {
    if (error instanceof SchemaMigrationRequiredError) return false;
    throw error;
  }
}

/** The roles that the service takes own nothing. Roles belong to the whole server, so one may be there, made by somebody else. */
async function prepareRoles(db: Kysely<unknown>): Promise<void> {
  const { rows: me } = await sql<{ name: string }>`select current_user::text as name`.execute(db);
  for (const role of DATABASE_ROLES) {
    const { rows } = await sql`select from pg_roles where rolname = ${role}`.execute(db);
    if (rows.length === 0) {
      await sql`
        do $$ begin
          create role ${sql.id(role)} nologin;
        exception when duplicate_object or unique_violation then null;
        end $$`
        .execute(db)
        .catch(error => {
          if ((error as { code?: string }).code !== INSUFFICIENT_PRIVILEGE) throw error;
          throw new ConfigError(
            `the database lacks the role ${role}: "create role ${role} nologin; grant ${role} to ${me[0]!.name}"`,
          );
        });
    }
    await letTakeRole(db, me[0]!.name, role);
  }
}

const INSUFFICIENT_PRIVILEGE = '42501';

async function letTakeRole(db: Kysely<unknown>, login: string, role: DatabaseRole): Promise<void> {
  const { rows } = await sql<{ may: boolean }>`
    select pg_has_role(oid, ${role}, 'member') as may from pg_roles where rolname = ${login}`.execute(db);
  if (rows[0]?.may !== false) return;
  await sql`grant ${sql.id(role)} to ${sql.id(login)}`.execute(db).catch(error => {
    if ((error as { code?: string }).code !== INSUFFICIENT_PRIVILEGE) throw error;
    throw new ConfigError(`${login} must be let to take a role: "grant ${role} to ${login}"`);
  });
}

async function prepareQueue(pool: pg.Pool): Promise<void> {
  const client = await pool.connect();
  try {
    // Emptied, with what it says of its own version: nothing in it must be kept, and BullMQ would make again what is there.
    const { rows } = await client.query(`select to_regclass('${QUEUE_SCHEMA}.migration') as versions`);
    const versions = rows[0].versions ? (await client.query(`select from ${QUEUE_SCHEMA}.migration`)).rowCount : null;
    if (versions === 0) await client.query(`drop schema if exists ${QUEUE_SCHEMA} cascade`);
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
