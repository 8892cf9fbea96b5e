import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import pg from 'pg';
import t, { type Test } from 'tap';
import type { DemoCredentials } from '../../src/demo.ts';
import { startEmbeddedPostgres } from '../../src/platform/embedded-postgres.ts';
import { QUEUE_SCHEMA } from '../../src/platform/migrate.ts';
import { findBroken, holdInvariants, settle } from '../support/invariants.ts';
import { listen, openAgencies, seededRandom, startLoad } from '../support/load.ts';
import { ready, serve, temporaryDataDir } from '../support/process.ts';
import { EMPTY_QUEUE } from '../support/webhooks.ts';

/**
 * The database goes away under the service, or hangs up on it: on a PostgreSQL of this test's own, that keeps what it
 * acknowledged as a real one does. The process goes on and makes good by itself what was left undone.
 */

const LONG = process.env.LONG === '1';
t.setTimeout(LONG ? 3_600_000 : 600_000);

/** A PostgreSQL server that a test may crash: it comes back where it was. */
async function startServer(t: Test, dir: string) {
  const { directory, adminUrl, stop } = await startEmbeddedPostgres({ dir });
  t.teardown(stop);
  const { uid, gid } = await stat(directory);
  const [program] = (await readFile(join(directory, 'postmaster.opts'), 'utf8')).split(' ');
  const control = async (...args: string[]): Promise<void> => {
    const account = process.getuid?.() === 0 ? { uid, gid } : {};
    const log = ['-l', join(directory, 'server.log')];
    const child = spawn(join(dirname(program!), 'pg_ctl'), [...args, '-s', '-w', '-D', directory, ...log], {
      ...account,
      cwd: '/',
      stdio: 'ignore',
    });
    const [code] = await once(child, 'exit');
    if (code !== 0) throw new Error(`pg_ctl ${args[0]} ended with ${code}`);
  };
  return { adminUrl, crash: () => control('stop', '-m', 'immediate'), restart: () => control('restart', '-m', 'immediate') };
}

t.test('the database', async t => {
  const dir = await temporaryDataDir(t);
  const server = await startServer(t, dir);
  const admin = async <Row extends pg.QueryResultRow>(text: string, database = 'postgres'): Promise<Row[]> => {
    const client = new pg.Client(server.adminUrl(database));
    await client.connect();
    try {
      return (await client.query<Row>(text)).rows;
    } finally {
      await client.end();
    }
  };
  await admin('create database aman');
  const database = server.adminUrl('aman');
  const service = serve(t, { DATA_DIR: dir, DATABASE_URL: database, DEMO: '1' });
  const base_url = await ready(service);
  const { agencies }: DemoCredentials = JSON.parse(await readFile(join(dir, 'demo-credentials.json'), 'utf8'));
  const them = await openAgencies(t, agencies, base_url);
  await listen(them, ['helpline_a', 'health', 'shelter_b', 'committee']);
  const seed = Number(process.env.SEED ?? Date.now() % 1_000_000);
  t.comment(`SEED=${seed}`);
  const random = seededRandom(seed);
  const load = startLoad(them, agencies, random);

  await t.test('that was ended at once keeps what was acknowledged, and is found again', async t => {
    for (let i = 0; i < (LONG ? 20 : 1); i += 1) {
      await load.answered(20 + Math.floor(random() * 40));
      await server.restart();
    }
    await load.answered(20);
    await server.crash();
    const headers = { authorization: `Basic ${btoa('cli_x:secret')}`, 'content-type': 'application/x-www-form-urlencoded' };
    for (const [path, body] of [['/readyz'], ['/v1/agencies'], ['/oauth/token', 'grant_type=client_credentials']] as const) {
      const response = await fetch(`${base_url}${path}`, body ? { method: 'POST', headers, body } : {});
      t.equal(response.status, 503, path);
      t.match(response.headers.get('content-type'), /^application\/problem\+json/);
      t.match(response.headers.get('retry-after'), /^[1-9]/);
    }
    t.equal((await fetch(`${base_url}/healthz`)).status, 200);
    await server.restart();
    t.ok(them.unavailable > 0, 'requests were answered "not now"');
    await load.answered(20);
    t.strictSame(await findBroken({ database, acknowledged: [...them.acknowledged], settled: false }), {});
  });

  await t.test('may hang up on everybody, in the middle of a transaction too', async t => {
    const not_yet = new Set(['a transaction', 'the queue at work', "the queue's listener", 'the wake-up']);
    for (let i = 0; i < (LONG ? 200 : 10) || not_yet.size > 0; i += 1) {
      await pause(random() * 200);
      const ended = await admin<{ kind: string }>(`
        select case when query ~ 'listen aman' then 'the wake-up' when query ~ 'LISTEN bullmq' then 'the queue''s listener'
            when state = 'idle' then 'a pool' when application_name = 'deliveries' then 'the queue at work' else 'a transaction' end
          as kind, pg_terminate_backend(pid)
        from pg_stat_activity where datname = 'aman'`);
      for (const { kind } of ended) not_yet.delete(kind);
    }
    t.equal(service.child.exitCode, null, 'the process goes on');
    await load.answered(20);
  });

  await t.test('may lose the whole queue', async () => {
    const held = Promise.withResolvers<{ status: number }>();
    them.receiver.replies.push(...Array.from({ length: 200 }, () => held.promise));
    const jobs = `select count(*)::int as count from ${QUEUE_SCHEMA}.job`;
    while ((await admin<{ count: number }>(jobs, 'aman'))[0]!.count < 5) await pause(20);
    await admin(EMPTY_QUEUE, 'aman');
    them.receiver.replies.length = 0;
    held.resolve({ status: 204 });
    await load.answered(20);
  });

  await load.stop();
  const ms = await settle(database);
  await holdInvariants(t, { database, acknowledged: them.acknowledged, arrived: them.arrived });
  t.strictSame(them.wrong, [], 'nobody was told anything else');
  t.comment(
    `${them.acknowledged.length} answers, ${them.lost} lost, ${them.unavailable} not now, ${them.arrived.length} webhooks, settled after ${ms} ms`,
  );
  t.equal((await service.end('SIGTERM')).code, 0, 'the process has never ended');
  t.equal(service.output.stderr, '');
});
