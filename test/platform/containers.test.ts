import { randomUUID } from 'node:crypto';
import { chmod, chown, mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { basename, join } from 'node:path';
import pg from 'pg';
import t, { type Test } from 'tap';
import { createFirstAdmin } from '../../src/access/first-admin.ts';
import { openLogKey } from '../../src/audit/log-key.ts';
import { readConfig } from '../../src/platform/config.ts';
import { createLogger } from '../../src/platform/log.ts';
import { openVault } from '../../src/platform/vault.ts';
import { openServices } from '../../src/services.ts';
import { type Compose, layOut, readCompose, readDockerfile, type Service } from '../support/containers.ts';
import { figure, parseFigures } from '../support/figures.ts';
import { type Place, type Program, ready, runCommand, temporaryDataDir } from '../support/process.ts';

/** Dockerfile and compose.yaml: what they start is started here without Docker, by their own words. */

t.setTimeout(300_000);

/** `USER node` of the official images. */
const NODE_UID = 1000;

const SETTINGS = {
  KEYRING_FILE: '/nowhere/keyring.json',
  LOG_KEY_FILE: '/nowhere/log-key.pem',
  LOG_ORIGIN: 'trail.example',
  OWNER_PASSWORD: 'owner',
  POSTGRES_PASSWORD: 'postgres',
  PUBLIC_URL: 'https://aman.example',
  REDIS_PASSWORD: 'redis',
  SEQUENCER_PASSWORD: 'sequencer',
  SERVICE_PASSWORD: 'service',
};

t.test('what runs where', async t => {
  const image = await readDockerfile();
  t.equal(image.user, 'node', 'not as root');
  t.equal(image.env.NODE_ENV, 'production');
  t.match(
    await readFile(new URL('../../Dockerfile', import.meta.url), 'utf8'),
    /^FROM node:26-slim AS [\s\S]*^FROM node:26-slim$/m,
  );
  const { services, configs } = await readCompose(SETTINGS);
  t.strictSame(Object.keys(services), ['postgres', 'redis', 'migrate', 'api', 'worker', 'sequencer', 'new-origin', 'witness']);
  t.match(services, {
    postgres: { image: /^postgres:18/ },
    api: { deploy: { replicas: 2 } },
    worker: { deploy: { replicas: 2 } },
  });
  t.match(configs.redis!.content, /^requirepass redis\nappendonly yes\nmaxmemory-policy noeviction$/m);
  for (const role of ['api', 'worker', 'sequencer'])
    t.match(services[role]!.depends_on, { migrate: { condition: 'service_completed_successfully' } });
  t.strictSame(services.api!.environment, { ...services.worker!.environment, ROLES: 'api' }, 'they differ in their role alone');
  for (const { ports = [] } of Object.values(services)) for (const port of ports) t.match(port, /^127\.0\.0\.1:/);
  for (const variable of Object.keys(SETTINGS)) {
    const { [variable as 'PUBLIC_URL']: _, ...others } = SETTINGS;
    await t.rejects(readCompose(others), { message: `compose.yaml needs ${variable}` });
  }
});

t.test('two APIs, two workers and a sequencer on one database', async t => {
  const folder = await temporaryDataDir(t);
  const image = await readDockerfile();
  const { app, bin } = await layOut(folder, image);
  const keyring = join(folder, 'keyring.json');
  openVault(keyring, { create: true });
  const server = new URL(process.env.TEST_DATABASE_ADMIN_URL!);
  const name = `compose_${randomUUID().replaceAll('-', '').slice(0, 12)}`;
  const log_key = join(folder, 'log-key.pem');
  const { verifier_key } = openLogKey(log_key, SETTINGS.LOG_ORIGIN, { create: true });
  const compose = await readCompose({
    ...SETTINGS,
    KEYRING_FILE: keyring,
    LOG_KEY_FILE: log_key,
    LOG_VERIFIER_KEY: verifier_key,
  });
  await makeDatabase(t, server.href, compose, name);

  const place: Place = { cwd: app };
  if (process.getuid?.() === 0) {
    Object.assign(place, { uid: NODE_UID, gid: NODE_UID });
    for (const file of [keyring, log_key]) await chown(file, NODE_UID, NODE_UID);
    await chown(folder, NODE_UID, NODE_UID);
  } else t.comment(`as uid ${process.getuid?.()}, which is not ${NODE_UID}`);
  await chmod(keyring, 0o400);

  const redis_port = await startRedis(t, folder, compose);
  /** The environment of a container, at the places that its neighbours have here. */
  const environment = ({ environment = {} }: Service): Record<string, string> => {
    const { REDIS_URL, ...env }: Record<string, string> = { ...image.env, ...environment, PATH: `${bin}:${process.env.PATH}` };
    for (const variable of ['DATABASE_URL', 'MIGRATE_DATABASE_URL', 'SEQUENCER_DATABASE_URL'].filter(it => it in env)) {
      const url = new URL(env[variable]!);
      t.equal(url.host, 'postgres:5432');
      env[variable] = `postgres://${url.username}_${name}:${url.password}@${server.host}/${name}`;
    }
    if (REDIS_URL && redis_port) env.REDIS_URL = REDIS_URL.replace('@redis:6379/', `@127.0.0.1:${redis_port}/`);
    if ('LEDGER_PATH' in env) Object.assign(env, { LOG_KEY_PATH: log_key, LEDGER_PATH: join(folder, 'log-ledger') });
    return { ...env, HOST: '127.0.0.1', METRICS_HOST: '127.0.0.1', PORT: '0', METRICS_PORT: '0', KEYRING_PATH: keyring };
  };
  // They share what they compile, and load nothing that the test runner gives to every Node.js below it.
  const cache = join(folder, 'compile-cache');
  await mkdir(cache);
  await chmod(cache, 0o777);
  const inside = (command: string[], env: Record<string, string>) =>
    runCommand(t, 'env', ['-u', 'NODE_OPTIONS', `NODE_COMPILE_CACHE=${cache}`, ...command], env, place);
  const start = (service: Service): Program => inside(service.command ?? image.command, environment(service));
  const { migrate, api, worker, sequencer, witness } = compose.services as Record<
    'migrate' | 'api' | 'worker' | 'sequencer' | 'witness',
    Service
  >;

  const migrated = start(migrate);
  t.equal(await migrated.ended, 0, migrated.output.stderr);

  const replicas = (service: Service) => Array.from({ length: service.deploy?.replicas ?? 1 }, () => start(service));
  const apis = replicas(api);
  const workers = [...replicas(worker), ...replicas(sequencer)];
  const urls = await Promise.all(apis.map(ready));
  await Promise.all(workers.map(it => it.said(/aman is working \((worker|sequencer)\)/)));
  const metrics_urls = await Promise.all([...apis, ...workers].map(async it => (await it.said(/metrics +(http:\S+)\n/))[1]!));

  await t.test('they are healthy by their own checks, and only they', async t => {
    const check = (service: Service, ports: Record<string, string>): Program => {
      const [, ...own] = service.healthcheck?.test ?? ['CMD', ...image.healthcheck];
      return inside(own, { ...environment(service), ...ports });
    };
    const unused = String(await freePort());
    const healthy = [
      ...urls.map(url => check(api, { PORT: new URL(url).port })),
      ...metrics_urls.slice(apis.length).map(url => check(worker, { METRICS_PORT: new URL(url).port })),
    ];
    const sick = [check(api, { PORT: unused }), check(worker, { METRICS_PORT: unused })];
    t.strictSame(await Promise.all(healthy.map(it => it.ended)), [0, 0, 0, 0, 0]);
    t.strictSame(await Promise.all(sick.map(it => it.ended)), [1, 1]);
    for (const url of urls) t.match(await (await fetch(`${url}/readyz`)).json(), { status: 'ok' }, 'and lack nothing');
  });

  await t.test('a token of one is good at the other', async t => {
    const config = readConfig(environment(migrate));
    const services = await openServices(config, createLogger('silent'), config.database_url!);
    const committee = {
      agency: 'Test Committee',
      kind: 'coordination_committee',
      jurisdictions: ['XA'],
      staff_code: 'S-1',
    } as const;
    const { client_id, client_secret } = await createFirstAdmin(services, committee).finally(() => services.close());
    const login = await fetch(`${urls[0]}/oauth/token`, {
      method: 'POST',
      headers: { authorization: `Basic ${btoa(`${client_id}:${client_secret}`)}` },
      body: new URLSearchParams({ grant_type: 'client_credentials' }),
    });
    const { access_token } = (await login.json()) as { access_token: string };
    const headers = { authorization: `Bearer ${access_token}` };
    for (const url of urls) t.equal((await fetch(`${url}/v1/agencies`, { headers })).status, 200);
  });

  await t.test('a witness of the log, with files of its own', async t => {
    const port = String(await freePort());
    const [program, script, ...options] = witness.command!.map(it => it.replace('/var/lib/aman', folder));
    const files = options.filter(it => /^--(key-path|state)=/.test(it));
    const made = inside([program!, script!, '--init', '--name=witness.example', ...files], image.env);
    t.equal(await made.ended, 0, made.output.stderr);
    t.match(made.output.stdout, /^witness\.example\+[0-9a-f]{8}\+\S+\n$/);
    const running = inside([program!, script!, ...options, `--port=${port}`], image.env);
    await running.said(/witness at /);
    const [, ...check] = witness.healthcheck!.test!.map(it => it.replace(':7480/', `:${port}/`));
    t.equal(await inside(check, image.env).ended, 0);
    t.equal((await running.end('SIGTERM')).code, 0);
    t.not(await inside(check, image.env).ended, 0);
  });

  await t.test('each tells its figures', async t => {
    for (const url of metrics_urls) {
      const figures = parseFigures(await (await fetch(url)).text());
      t.equal(figure(figures, 'aman_database_up'), 1);
      t.equal(figure(figures, 'aman_timers_due'), 0);
    }
  });

  const all = [...apis, ...workers];
  for (const { code } of await Promise.all(all.map(it => it.end('SIGTERM')))) t.equal(code, 0);
  for (const { output } of all) t.equal(output.stderr, '');
});

/** As compose.yaml has it made, by names of this test's own. */
async function makeDatabase(t: Test, admin_url: string, { configs }: Compose, name: string): Promise<void> {
  const statements = configs
    .logins!.content.split('\n')
    // The server has it already: roles are the whole server's.
    .filter(line => line !== '' && !/^create role \w+ nologin/.test(line))
    .map(line =>
      line
        .replaceAll(/\b(aman_owner|aman_log|aman)\b/g, it => `${it}_${name}`)
        .replace(/database aman_\w+ owner/, `database ${name} owner`),
    );
  const admin = new pg.Client(admin_url);
  await admin.connect();
  t.teardown(async () => {
    await admin.query(`drop database if exists ${name} with (force)`);
    for (const role of ['aman', 'aman_owner', 'aman_log']) await admin.query(`drop role if exists ${role}_${name}`);
    await admin.end();
  });
  for (const statement of statements) await admin.query(statement);
}

/** Redis as compose.yaml sets it up, where this machine has one. @returns its port; null: the queue is in PostgreSQL */
async function startRedis(t: Test, folder: string, { services, configs }: Compose): Promise<number | null> {
  const [program, file] = services.redis!.command!;
  const { ended } = runCommand(t, 'sh', ['-c', 'command -v "$0"', program!]);
  if ((await ended) !== 0) {
    t.comment(`no ${program} here: without it`);
    return null;
  }
  const port = await freePort();
  const settings = join(folder, basename(file!));
  await writeFile(settings, configs.redis!.content);
  const place = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder];
  await runCommand(t, program!, [settings, ...place]).said(/Ready to accept connections/);
  return port;
}

/** One that nobody listens on, as of now. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise(resolve => server.close(resolve));
  return port;
}
