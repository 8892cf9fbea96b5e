import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import t, { type Test } from 'tap';
import type { DemoAgency } from '../../src/demo.ts';
import { startEmbeddedPostgres } from '../../src/platform/embedded-postgres.ts';
import { type Program, ready, run, serve, temporaryDataDir } from '../support/process.ts';

/** src/main.ts as a process: what whoever starts, stops and kills it meets. */

// First starts make a cluster; other tests may be running beside.
t.setTimeout(240_000);

const sh = (command: string) => promisify(execFile)('sh', ['-c', command]);

async function credentials(dir: string): Promise<{ base_url: string; agencies: Record<string, DemoAgency> }> {
  return JSON.parse(await readFile(join(dir, 'demo-credentials.json'), 'utf8'));
}

/** A token as `helpline_a`; whoever gets one finds the database in which that client is. */
async function logIn(dir: string): Promise<string> {
  const { base_url, agencies } = await credentials(dir);
  const { client_id, client_secret } = agencies.helpline_a!;
  const response = await fetch(`${base_url}/oauth/token`, {
    method: 'POST',
    headers: { authorization: `Basic ${btoa(`${client_id}:${client_secret}`)}` },
    body: new URLSearchParams({ grant_type: 'client_credentials' }),
  });
  return ((await response.json()) as { access_token: string }).access_token;
}

/** Refused at start: one line that says why, and no stack. */
async function refused(t: Test, program: Program, why: RegExp): Promise<void> {
  t.not(await program.ended, 0, 'not 0');
  t.match(program.output.stderr, /^aman: [^\n]+\n$/, 'one line');
  t.match(program.output.stderr, why);
  t.notMatch(program.output.stdout, 'aman is ready');
}

async function onDatabase<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client(url);
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

t.test('on the embedded database', async t => {
  const dir = await temporaryDataDir(t);
  const path = join(dir, 'demo-credentials.json');

  await t.test('the first start loads the demonstration, and what it prints works', async t => {
    const service = serve(t, { DATA_DIR: dir });
    const base_url = await ready(service);
    t.same(await (await fetch(`${base_url}/readyz`)).json(), { status: 'ok' });
    t.equal((await stat(path)).mode & 0o777, 0o600);
    t.equal((await credentials(dir)).base_url, base_url);
    const { agencies } = await credentials(dir);
    for (const { client_secret } of Object.values(agencies)) t.notMatch(service.output.stdout, client_secret);

    const [curl] = await service.said(/curl .*/);
    const { stdout } = await sh(`${curl} --silent --show-error`);
    t.match(JSON.parse(stdout), { token_type: 'Bearer', access_token: /^ey/ });

    const { code, ms } = await service.end('SIGINT');
    t.equal(code, 0);
    t.ok(ms < 5_000, `ended after ${Math.round(ms)} ms`);
    t.equal(service.output.stderr, '');
    t.notOk((await readdir(dir)).includes('lock'));
    t.notOk((await readdir(join(dir, 'postgres'))).includes('postmaster.pid'), 'the database server has ended too');
  });

  await t.test('killed, it starts again on what was left, and the data are there', async t => {
    const killed = serve(t, { DATA_DIR: dir });
    const base_url = await ready(killed);
    const authorization = `Bearer ${await logIn(dir)}`;
    const headers = { authorization, 'acting-caseworker': 'DH-1', 'content-type': 'application/json' };
    const opened = await fetch(`${base_url}/v1/cases`, {
      method: 'POST',
      headers,
      body: JSON.stringify({
        track: 'named',
        jurisdiction: 'XA',
        risk: 'high',
        intake: { channel: 'hotline', received_at: new Date().toISOString(), narrative: 'kept' },
      }),
    });
    t.equal(opened.status, 201);
    const { id } = (await opened.json()) as { id: string };
    await killed.end('SIGKILL');
    t.ok((await readdir(join(dir, 'postgres'))).includes('postmaster.pid'), 'its database server was left running');

    const service = serve(t, { DATA_DIR: dir });
    const again = await ready(service);
    t.same((await credentials(dir)).base_url, again, 'the credentials file names the new port');
    const read = await fetch(`${again}/v1/cases/${id}`, { headers });
    t.equal(read.status, 200, 'a token of before is good yet');
    t.match(await read.json(), { data: { narrative: { narrative: 'kept' } } });

    const beside = serve(t, { DATA_DIR: dir });
    await refused(t, beside, /another process \(pid \d+\) already uses/);
    t.equal((await fetch(`${again}/readyz`)).status, 200, 'and the first one goes on');
    t.equal((await service.end('SIGTERM')).code, 0);
  });

  await t.test('it ends in time also while somebody waits for events, and a receiver does not answer', async t => {
    const asked = Promise.withResolvers<void>();
    const silent = createHttpServer(() => asked.resolve());
    await new Promise<void>(resolve => silent.listen(0, '127.0.0.1', resolve));
    t.teardown(() => silent.close());
    t.teardown(() => silent.closeAllConnections());
    const service = serve(t, { DATA_DIR: dir });
    const base_url = await ready(service);
    const headers = { authorization: `Bearer ${await logIn(dir)}`, 'acting-caseworker': 'DH-2' };
    const url = `http://127.0.0.1:${(silent.address() as AddressInfo).port}/`;
    const made = await fetch(`${base_url}/v1/webhook-endpoints`, {
      method: 'POST',
      headers: { ...headers, 'content-type': 'application/json' },
      body: JSON.stringify({ url, event_types: ['*'] }),
    });
    const { id } = (await made.json()) as { id: string };
    const waiting = fetch(`${base_url}/v1/events?types=audit.alarm&wait=30`, { headers }).then(it => it.status);
    t.equal((await fetch(`${base_url}/v1/webhook-endpoints/${id}/test`, { method: 'POST', headers })).status, 200);
    await asked.promise;
    const { code, ms } = await service.end('SIGINT');
    t.equal(code, 0);
    t.ok(ms < 5_000, `ended after ${Math.round(ms)} ms`);
    t.equal(await waiting, 200);
    t.notOk((await readdir(join(dir, 'postgres'))).includes('postmaster.pid'), 'the database server has ended too');
  });

  await t.test('a port that is taken', async t => {
    const taken = createServer();
    await new Promise<void>(resolve => taken.listen(0, '127.0.0.1', resolve));
    t.teardown(() => taken.close());
    const { port } = taken.address() as AddressInfo;
    await refused(t, serve(t, { DATA_DIR: dir, PORT: String(port) }), new RegExp(`port ${port} .*is taken`));
    t.notOk((await readdir(join(dir, 'postgres'))).includes('postmaster.pid'), 'the database server has ended too');
  });

  await t.test('a start that is interrupted', async t => {
    const service = serve(t, { DATA_DIR: dir });
    // Its server starts as soon as the folder is locked.
    while (!(await readdir(dir)).includes('lock')) await new Promise(resolve => setTimeout(resolve, 5));
    const { code, ms } = await service.end('SIGINT');
    t.equal(code, 0);
    t.ok(ms < 5_000, `ended after ${Math.round(ms)} ms`);
    t.notMatch(service.output.stdout, 'aman is ready');
    t.equal(service.output.stderr, '');
    t.notOk((await readdir(join(dir, 'postgres'))).includes('postmaster.pid'), 'no database server is left behind');
  });

  await t.test('it ends with its database server, and says so', async t => {
    const service = serve(t, { DATA_DIR: dir });
    await ready(service);
    const [pid] = (await readFile(join(dir, 'postgres/postmaster.pid'), 'utf8')).split('\n');
    process.kill(Number(pid), 'SIGKILL');
    t.equal(await service.ended, 1);
    t.equal(service.output.stderr, 'aman: the embedded PostgreSQL has ended under the service: start it again\n');
  });

  await t.test('without its credentials file it says so instead of naming it', async t => {
    await rm(path);
    const service = serve(t, { DATA_DIR: dir });
    await ready(service);
    t.notMatch(service.output.stdout, 'curl');
    service.child.stdout!.destroy();
    t.equal((await service.end('SIGINT')).code, 0, 'it ends as it should also where nobody reads what it writes');
  });

  await t.test('a database of a newer version', async t => {
    const postgres = await startEmbeddedPostgres({ dir });
    await onDatabase(postgres.adminUrl('aman'), client =>
      client.query("insert into kysely_migration (name, timestamp) values ('9999-later', '2030-01-01T00:00:00.000Z')"),
    );
    await postgres.stop();
    await refused(t, serve(t, { DATA_DIR: dir }), /newer schema \(9999-later\)/);
  });
});

t.test('settings that make no sense', async t => {
  const dir = await temporaryDataDir(t);
  const file = join(dir, 'file');
  await writeFile(file, '');
  await refused(t, serve(t, { DATA_DIR: file }), /cannot write to .*set DATA_DIR/);
  await refused(t, serve(t, { DATA_DIR: dir, NODE_ENV: 'production' }), /NODE_ENV=production needs DATABASE_URL/);
  await refused(t, serve(t, { DATA_DIR: dir, PORT: 'http' }), /PORT must be a whole number/);
  await refused(t, serve(t, { DATA_DIR: dir, DATABASE_URL: 'postgres://127.0.0.1:1/none' }), /ECONNREFUSED/);
  await refused(t, run(t, ['src/main.ts', 'sevre'], { DATA_DIR: dir }), /usage: node src\/main\.ts/);
  t.same(await readdir(dir), ['file'], 'nothing was made');
});

t.test('on a database server of its own', async t => {
  const admin_url = process.env.TEST_DATABASE_ADMIN_URL!;
  const url = new URL(admin_url);
  url.pathname = `/test_${randomUUID().replaceAll('-', '').slice(0, 20)}`;
  const DATABASE_URL = url.href;
  const dir = await temporaryDataDir(t);
  await onDatabase(admin_url, client => client.query(`create database ${url.pathname.slice(1)}`));
  t.teardown(() => onDatabase(admin_url, client => client.query(`drop database ${url.pathname.slice(1)} with (force)`)));
  const countAgencies = () =>
    onDatabase(DATABASE_URL, async client => (await client.query('select count(*)::int as count from agencies')).rows[0].count);

  const plain = serve(t, { DATA_DIR: dir, DATABASE_URL });
  const base_url = await ready(plain);
  t.same(await (await fetch(`${base_url}/readyz`)).json(), { status: 'ok' });
  t.equal((await plain.end('SIGINT')).code, 0);
  t.equal(await countAgencies(), 0, 'no demonstration unless it is asked for');
  const beats = await onDatabase(
    DATABASE_URL,
    async client => (await client.query('select role from heartbeats order by role')).rows,
  );
  t.same(beats, [{ role: 'api' }, { role: 'worker' }], 'it has beaten for each of its roles');
  t.same((await readdir(dir)).sort(), ['keyring.json', 'log-key.pem', 'log-ledger'], 'and no database of its own');

  const wrong_password = new URL(DATABASE_URL);
  wrong_password.password = 'wrong';
  await refused(t, serve(t, { DATA_DIR: dir, DATABASE_URL: wrong_password.href }), /password authentication failed/);
  const file = join(await mkdtemp(join(dir, 'sub-')), 'file');
  await writeFile(file, '');
  await refused(t, serve(t, { DATA_DIR: file, DATABASE_URL }), /cannot write the keyring .*set DATA_DIR/);
  await refused(t, serve(t, { DATA_DIR: dir, DATABASE_URL, DEMO: '1', HOST: '0.0.0.0' }), /loopback only/);

  const demo = serve(t, { DATA_DIR: dir, DATABASE_URL, DEMO: '1' });
  await ready(demo);
  t.equal(await countAgencies(), 11);
  t.ok(await logIn(dir));
  t.equal((await demo.end('SIGINT')).code, 0);

  const production = { DATA_DIR: dir, DATABASE_URL, NODE_ENV: 'production', KEYRING_PATH: '/nowhere/keyring.json' };
  await refused(t, serve(t, production), /keyring|\/nowhere/i);
  const other = await temporaryDataDir(t);
  await refused(
    t,
    serve(t, { ...production, DATA_DIR: other, KEYRING_PATH: join(dir, 'keyring.json') }),
    /seeded with the demonstration/,
  );
  await refused(t, serve(t, { DATA_DIR: other, DATABASE_URL }), /keyring .* is not the one/);
});
