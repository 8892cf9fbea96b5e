import { existsSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { createFirstAdmin, restoreAccess } from './access/first-admin.ts';
import { type App, buildApi } from './api.ts';
import { loopFailed } from './audit/failures.ts';
import { startSequencing } from './audit/jobs.ts';
import { writeLogKey } from './audit/log-key.ts';
import { openNewOrigin } from './audit/new-origin.ts';
import { AGENCY_KINDS } from './core/codes.ts';
import { isDemo, loadDemo } from './demo.ts';
import { backlogReader } from './platform/backlog.ts';
import { type Config, ConfigError, readConfig, requireLogSettings, requireOrigin } from './platform/config.ts';
import { lockDataDir, startEmbeddedPostgres } from './platform/embedded-postgres.ts';
import { startHeartbeat } from './platform/heartbeat.ts';
import { createLogger, describeError, type Logger } from './platform/log.ts';
import { startMetricsListener } from './platform/metrics.ts';
import { migrate } from './platform/migrate.ts';
import { openVault } from './platform/vault.ts';
import { applyJournal } from './restore.ts';
import { openServices, type Services } from './services.ts';
import { startWorker } from './worker.ts';

/**
 * The process. `serve` (the default) runs the roles that ROLES names; `migrate` brings the database to this version's schema;
 * `create-keyring` writes new keys, `create-log-key` the one that signs the log, `new-origin` begins the log anew where history was
 * lost; `create-admin` makes the first client of a new deployment, `restore-access` a new one for an agency that has lost its last. Whatever is wrong at start is one line and a non-zero exit code.
 */

const USAGE =
  'usage: node src/main.ts [serve | migrate | create-keyring | create-log-key | new-origin --origin NAME --agency ID --staff-code CODE | create-admin --agency NAME --kind KIND --jurisdiction CODE --staff-code CODE | restore-access --agency ID]';

/** A signal has ended everything within this time, or the process ends anyway; its work is in the database. */
const STOP_WITHIN_MS = 9_000;

type Release = () => Promise<unknown> | unknown;

/** What was opened, closed in reverse order, once. */
class Opened {
  #releases: Release[] = [];
  add(release: Release): void {
    this.#releases.push(release);
  }
  async close(): Promise<void> {
    for (const release of this.#releases.splice(0).reverse()) await release();
  }
}

async function main(argv: string[]): Promise<void> {
  const [command = 'serve', ...rest] = argv;
  const config = readConfig();
  const log = createLogger(config.log_level);
  const opened = new Opened();
  try {
    if (command === 'serve') await serve(config, log, opened);
    else if (command === 'migrate') await migrateOnly(config, opened);
    else if (command === 'create-keyring') createKeyring(config);
    else if (command === 'create-log-key') createLogKey(config);
    else if (command === 'new-origin') await newOrigin(config, log, opened, rest);
    else if (command === 'create-admin') await createAdmin(config, log, opened, rest);
    else if (command === 'restore-access') await restoreClient(config, log, opened, rest);
    else throw new ConfigError(USAGE);
  } catch (error) {
    await opened.close();
    throw error;
  }
}

async function serve(config: Config, log: Logger, opened: Opened): Promise<void> {
  const stopping = new AbortController();
  const stop = (signal: string) => {
    // A terminal's Ctrl-C arrives twice under npm: from the terminal and from npm.
    if (stopping.signal.aborted) return;
    stopping.abort();
    say(`${signal}: stopping`);
    setTimeout(() => process.exit(1), STOP_WITHIN_MS).unref();
    // What is being opened, a database server above all, must be there before it can be closed.
    started
      .then(() => opened.close())
      .then(
        () => process.exit(0),
        error => {
          log.error({ err: error }, 'stopping failed');
          process.exit(1);
        },
      );
  };
  // From here on, so that also a slow start can be interrupted; it ends at its next step.
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  const started = start(config, log, opened, stopping.signal);
  await started;
}

async function start(config: Config, log: Logger, opened: Opened, stopping: AbortSignal): Promise<void> {
  const database = await openDatabase(config, opened);
  if (stopping.aborted) return;
  await migrate(database.migrate_url, database);
  if (stopping.aborted) return;
  const services = await openServices(config, log, database.url);
  opened.add(() => services.close());
  await requireSameKeyring(services);
  const demo = await prepareDemo(config, services, database.embedded);
  if (stopping.aborted) return;

  const metrics_url = await tellMetrics(config, services, opened);
  if (config.roles.has('sequencer')) {
    await applyJournal(services);
    const sequencing = await startSequencing(services, database.sequencer_url);
    opened.add(() => sequencing.stop());
  }
  if (config.roles.has('worker')) {
    const worker = startWorker(services);
    opened.add(() => worker.stop());
  }
  if (config.roles.has('api')) {
    const app = await buildApi(services);
    opened.add(() => closeApi(app));
    await listen('PORT', () => app.listen({ host: config.host, port: config.port }), config);
    const heartbeat = startHeartbeat(services, 'api', loopFailed(services));
    opened.add(() => heartbeat.stop());
    const { port } = app.server.address() as AddressInfo;
    const base_url = `http://${config.host.includes(':') ? `[${config.host}]` : config.host}:${port}`;
    if (demo) await loadDemo(services, { base_url, credentials_path: credentialsPath(config) });
    if (!stopping.aborted) announce(base_url, demo ? credentialsPath(config) : null);
  } else if (!stopping.aborted) {
    say(`aman is working (${[...config.roles].join(', ')})`);
  }
  if (metrics_url && !stopping.aborted) say(`  metrics      ${metrics_url}`);
}

/** @returns where the figures of this process are, if they are anywhere */
async function tellMetrics(config: Config, services: Services, opened: Opened): Promise<string | null> {
  const { metrics_host: host, metrics_port: port } = config;
  if (port === null) return null;
  const start = () => startMetricsListener(services, { host, port }, backlogReader(services));
  const listener = await listen('METRICS_PORT', start, { host, port });
  opened.add(() => listener.close());
  return listener.url;
}

/** Answers what is being asked. A connection on which that was the last answer would otherwise be kept for more than a minute. */
async function closeApi(app: App): Promise<void> {
  const idle = setInterval(() => app.server.closeIdleConnections(), 50);
  await app.close().finally(() => clearInterval(idle));
}

interface DatabaseUrls {
  url: string;
  migrate_url: string;
  sequencer_url: string;
  /** The logins that the service and its sequencer use, where another one migrates. */
  login: string | null;
  sequencer_login: string | null;
  embedded: boolean;
}

async function openDatabase(config: Config, opened: Opened): Promise<DatabaseUrls> {
  if (config.database_url !== null) {
    const migrate_url = config.migrate_database_url ?? config.database_url;
    return {
      url: config.database_url,
      migrate_url,
      sequencer_url: config.sequencer_database_url ?? migrate_url,
      login: loginOf(config.database_url),
      sequencer_login: config.sequencer_database_url && loginOf(config.sequencer_database_url),
      embedded: false,
    };
  }
  try {
    const release = lockDataDir(config.data_dir);
    opened.add(release);
    const embedded = await startEmbeddedPostgres({ dir: config.data_dir });
    opened.add(() => embedded.stop());
    opened.add(embedded.watch(lostDatabase));
    await createDatabase(embedded.adminUrl('postgres'), 'aman');
    const url = embedded.adminUrl('aman');
    return { url, migrate_url: url, sequencer_url: url, login: null, sequencer_login: null, embedded: true };
  } catch (error) {
    throw error instanceof Error ? new ConfigError(error.message) : new ConfigError('the embedded database did not start');
  }
}

const loginOf = (url: string): string | null => decodeURIComponent(new URL(url).username) || null;

/** Nobody else starts the embedded server again: with it the process ends, and whoever starts the process starts both. */
function lostDatabase(): never {
  tell(new ConfigError('the embedded PostgreSQL has ended under the service: start it again'));
  process.exit(1);
}

async function createDatabase(admin_url: string, name: string): Promise<void> {
  const client = new pg.Client(admin_url);
  await client.connect();
  try {
    const { rowCount } = await client.query('select from pg_database where datname = $1', [name]);
    if (rowCount === 0) await client.query(`create database ${client.escapeIdentifier(name)}`);
  } finally {
    await client.end();
  }
}

/** Data sealed under one keyring cannot be read under another: better not to start than to write what nobody can open. */
async function requireSameKeyring({ db, vault, config }: Services): Promise<void> {
  await db
    .insertInto('deployment')
    .values({ name: 'keyring', value: JSON.stringify(vault.fingerprint) })
    .onConflict(conflict => conflict.column('name').doNothing())
    .execute();
  const { value } = await db.selectFrom('deployment').select('value').where('name', '=', 'keyring').executeTakeFirstOrThrow();
  if (value !== vault.fingerprint)
    throw new ConfigError(`the keyring ${config.keyring_path} is not the one that this database was written with`);
}

const LOOPBACK = ['127.0.0.1', '::1', 'localhost'];

const credentialsPath = (config: Config): string => join(config.data_dir, 'demo-credentials.json');

/** Loads the demonstration where it is wanted. @returns whether the database holds it */
async function prepareDemo(config: Config, services: Services, embedded: boolean): Promise<boolean> {
  const wanted =
    config.demo ??
    (embedded && (await services.db.selectFrom('agencies').select('id').limit(1).executeTakeFirst()) === undefined);
  const is_demo = await isDemo(services.db);
  if (!wanted && !is_demo) {
    if (!embedded && !config.production) {
      services.log.warn(
        'NODE_ENV is not "production": webhooks may go to loopback, and the keyring lies in DATA_DIR unless told otherwise',
      );
    }
    return false;
  }
  if (config.production)
    throw new ConfigError('this database was seeded with the demonstration: refused with NODE_ENV=production');
  if (!LOOPBACK.includes(config.host)) throw new ConfigError('the demonstration listens on loopback only: set HOST=127.0.0.1');
  services.log.warn('DEMONSTRATION: fictional agencies, known to whoever reads their credentials file. Not for real people.');
  if (!is_demo)
    await loadDemo(services, { base_url: `http://${config.host}:${config.port}`, credentials_path: credentialsPath(config) });
  return true;
}

async function listen<T>(setting: string, start: () => Promise<T>, { host, port }: Pick<Config, 'host' | 'port'>): Promise<T> {
  try {
    return await start();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EADDRINUSE') throw new ConfigError(`port ${port} on ${host} is taken: set ${setting} to a free one`);
    if (code === 'EACCES' || code === 'EADDRNOTAVAIL') throw new ConfigError(`cannot listen on ${host}:${port} (${code})`);
    throw error;
  }
}

function announce(base_url: string, credentials_path: string | null): void {
  say(`aman is ready\n  API          ${base_url}/v1\n  docs         ${base_url}/docs`);
  if (credentials_path === null) return;
  if (!existsSync(credentials_path)) {
    say(`  credentials  not in ${credentials_path}: they were written once, where the demonstration was loaded`);
    return;
  }
  const client = `const { helpline_a: a } = require('${credentials_path}').agencies; a.client_id + ':' + a.client_secret`;
  say(
    `  credentials  ${credentials_path}\ntry\n  curl -u "$(node -p "${client}")" -d grant_type=client_credentials ${base_url}/oauth/token`,
  );
}

async function migrateOnly(config: Config, opened: Opened): Promise<void> {
  const database = await openDatabase(config, opened);
  await migrate(database.migrate_url, database);
  await opened.close();
  say('the database has the schema of this version');
}

function createKeyring({ keyring_path }: Config): void {
  if (existsSync(keyring_path)) throw new ConfigError(`${keyring_path} is there already: keys are never replaced`);
  openVault(keyring_path, { create: true });
  say(`made ${keyring_path}\nKeep it apart from the database and its backups: without it nothing opens again.`);
}

function createLogKey({ log }: Config): void {
  if (existsSync(log.key_path)) throw new ConfigError(`${log.key_path} is there already: keys are never replaced`);
  writeLogKey(log.key_path);
  say(`made ${log.key_path}\nFor the sequencer alone to read.`);
}

async function newOrigin(config: Config, log: Logger, opened: Opened, args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: { origin: { type: 'string' }, agency: { type: 'string' }, 'staff-code': { type: 'string' } },
  });
  const { origin, agency: agency_id, 'staff-code': staff_code } = values;
  if (!origin || !agency_id || !staff_code) throw new ConfigError(USAGE);
  requireOrigin('--origin', origin);
  requireLogSettings(config);
  const { services, migrate_url } = await openForCommand(config, log, opened);
  // While it is known where the journal is.
  await applyJournal(services);
  const verifier_key = await openNewOrigin(services, migrate_url, { origin, person: { agency_id, staff_code } });
  await opened.close();
  if (verifier_key === null) return say(`proposed: ${origin}\nWithin 24 hours a second person says the same, as themselves.`);
  say(
    `opened: ${origin}\nSet LOG_ORIGIN=${origin} and LEDGER_PATH to a new file, keep the old one, and start the sequencer again.\nAuditors and witnesses need the new verifier key:\n${verifier_key}`,
  );
}

async function createAdmin(config: Config, log: Logger, opened: Opened, args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      agency: { type: 'string' },
      kind: { type: 'string' },
      jurisdiction: { type: 'string', multiple: true },
      'staff-code': { type: 'string' },
    },
  });
  const { agency, kind, jurisdiction, 'staff-code': staff_code } = values;
  const known = AGENCY_KINDS.find(it => it === kind);
  if (!agency || !known || !jurisdiction?.length || !staff_code) throw new ConfigError(USAGE);
  const { services } = await openForCommand(config, log, opened);
  const made = await createFirstAdmin(services, { agency, kind: known, jurisdictions: jurisdiction, staff_code });
  await opened.close();
  sayOnce(made);
}

async function restoreClient(config: Config, log: Logger, opened: Opened, args: string[]): Promise<void> {
  const { values } = parseArgs({ args, options: { agency: { type: 'string' } } });
  if (!values.agency) throw new ConfigError(USAGE);
  const { services } = await openForCommand(config, log, opened);
  const made = await restoreAccess(services, values.agency);
  await opened.close();
  sayOnce(made);
}

async function openForCommand(config: Config, log: Logger, opened: Opened): Promise<{ services: Services; migrate_url: string }> {
  const database = await openDatabase(config, opened);
  const { url } = database;
  await migrate(database.migrate_url, database);
  const services = await openServices(config, log, url);
  opened.add(() => services.close());
  await requireSameKeyring(services);
  return { services, migrate_url: database.migrate_url };
}

const sayOnce = (made: object): void => say(`${JSON.stringify(made, null, 2)}\nThe secret is shown this once.`);

const say = (text: string): void => {
  process.stdout.write(`${text}\n`);
};

/** What a person can do something about is told in a line; anything else is a bug and keeps its stack. */
function tell(error: unknown): void {
  const { code, message = String(error), stack = message } = (error ?? {}) as { code?: string; message?: string; stack?: string };
  const expected =
    error instanceof ConfigError ||
    /^(ECONN|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|EACCES|ENOENT|EROFS|ENOSPC|ERR_PARSE_ARGS|28|3D|57P)/.test(code ?? '');
  process.stderr.write(`aman: ${expected ? message || code : stack}\n`);
}

// Whoever read the output may be gone: no reason to end, least of all before what was opened is closed.
for (const output of [process.stdout, process.stderr]) output.on('error', () => {});

/** A bug in what runs already may quote whatever it stumbled over: the log's rule holds here, too. */
for (const event of ['uncaughtException', 'unhandledRejection'])
  process.on(event, error => {
    process.stderr.write(`aman: ${JSON.stringify(describeError(error))}\n`);
    process.exit(1);
  });

main(process.argv.slice(2)).then(
  () => {
    process.exitCode = 0;
  },
  error => {
    tell(error);
    process.exit(1);
  },
);
