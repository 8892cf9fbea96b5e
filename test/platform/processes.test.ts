import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import t from 'tap';
import type { DemoCredentials } from '../../src/demo.ts';
import { openTestServices } from '../support/app.ts';
import { connect } from '../support/connect.ts';
import { MEDICAL } from '../support/journey.ts';
import { ok, referralBody, startNight } from '../support/night.ts';
import { type Program, ready, serve } from '../support/process.ts';
import { queueEnvironment } from '../support/redis.ts';
import { entriesOf, lookAsOwner } from '../support/trail.ts';
import { demoActors, registerEndpoint, startReceiver } from '../support/webhooks.ts';

// Processes start, and clocks are real.
t.setTimeout(230_000);

/** Two APIs and two workers, processes of their own on one database: what each does is done once, and what one leaves another takes. */

const PUBLIC_URL = 'http://aman.test';
const ENDED_WITHIN_MS = 10_000;

t.test('several processes of each role', async t => {
  const queue = await queueEnvironment(t);
  const { services } = await openTestServices(t, queue);
  const { agencies } = (
    await lookAsOwner<{ value: DemoCredentials }>(services, `select value from deployment where name = 'test_credentials'`)
  )[0]!.value;
  const start = async (roles: 'api' | 'worker'): Promise<Program> => {
    const dir = await mkdtemp(join(tmpdir(), 'aman-test-'));
    t.teardown(() => rm(dir, { recursive: true, force: true }));
    const { database_url, keyring_path } = services.config;
    return serve(t, {
      ...queue,
      ROLES: roles,
      DATABASE_URL: database_url!,
      KEYRING_PATH: keyring_path,
      DATA_DIR: dir,
      PUBLIC_URL,
    });
  };
  const apis = await Promise.all([start('api'), start('api')]);
  const workers = await Promise.all([start('worker'), start('worker')]);
  const base_urls = await Promise.all(apis.map(ready));
  await Promise.all(workers.map(worker => worker.said(/aman is working/)));
  const sender = await connect(base_urls, agencies.helpline_a);
  const health = await connect(base_urls, agencies.health);
  const receiver = await startReceiver(t);
  await registerEndpoint(services, (await demoActors(services)).health, receiver.url);

  /** Waits until nothing is left to be delivered. @returns what was, by webhook-id */
  async function delivered(): Promise<string[]> {
    for (;;) {
      const rows = await lookAsOwner<{ event_id: string; state: string }>(
        services,
        `select event_id, state from deliveries union all select id, 'unnumbered' from events where position is null`,
      );
      if (rows.every(({ state }) => state === 'delivered' || state === 'withheld')) return rows.map(row => row.event_id).sort();
      await new Promise(resolve => setTimeout(resolve, 50));
    }
  }
  const ids = () => receiver.received.map(({ headers }) => headers['webhook-id']).sort();

  const asked = { ...MEDICAL.referral, routing: 'direct', recipient_agency_id: agencies.health.id };
  const nights: Awaited<ReturnType<typeof startNight>>[] = [];
  await t.test('each takes what the other has issued and made; a webhook is delivered once', async t => {
    for (let i = 0; i < 4; i += 1) {
      const night = await startNight(sender, {
        kase: { intake: { channel: 'hotline', received_at: new Date().toISOString(), narrative: 'locked in' } },
        consent: MEDICAL.consent,
        referral: asked,
      });
      ok(await health.post(`/v1/referrals/${night.referral.id}/receive`));
      nights.push(night);
    }
    const made = await delivered();
    t.ok(made.length >= 4);
    t.strictSame(ids(), made);
    for (const url of base_urls) t.strictSame(await (await fetch(`${url}/readyz`)).json(), { status: 'ok' });
  });

  await t.test('clocks that fall due together fire once each', async t => {
    const due = new Date(Date.now() + 500);
    const timers = await lookAsOwner<{ id: string }>(
      services,
      `update timers set due_at = $1, next_step_at = $1, steps = jsonb_build_array(jsonb_build_object('at', $2::text, 'kind', 'breach'))
        where name = 'respond' and state = 'running' returning id`,
      [due, due.toISOString()],
    );
    t.equal(timers.length, nights.length);
    const ids_of_timers = timers.map(({ id }) => id);
    while (
      (await lookAsOwner(services, `select from timers where id = any ($1) and state = 'running'`, [ids_of_timers])).length > 0
    )
      await new Promise(resolve => setTimeout(resolve, 50));
    const made = await delivered();
    t.strictSame(ids(), made);
    const expired = receiver.received.filter(({ body }) => body.type === 'referral.expired');
    t.strictSame(expired.map(({ body }) => body.data.referral_id).sort(), nights.map(({ referral }) => referral.id).sort());
    t.equal((await entriesOf(services, 'timer.breach')).length, nights.length);
  });

  await t.test('an API that is told to end answers what it was asked, and the other goes on', async t => {
    const [ending, staying] = apis as [Program, Program];
    const [at_ending, at_staying] = await Promise.all(base_urls.map(url => connect([url], agencies.helpline_a)));
    const held = new pg.Client(services.config.database_url!);
    await held.connect();
    t.teardown(() => held.end());
    await held.query('begin');
    await held.query('select from cases where id = any ($1) for update', [nights.map(({ kase }) => kase.id)]);
    const { rows } = await held.query<{ pid: number }>('select pg_backend_pid() as pid');
    const waiting = async () =>
      (await lookAsOwner(services, 'select from pg_stat_activity where $1 = any (pg_blocking_pids(pid))', [rows[0]!.pid])).length;
    const under_way = nights.map(({ kase }) => at_ending!.post(`/v1/cases/${kase.id}/consents`, CONSENT));
    while ((await waiting()) < nights.length) await new Promise(resolve => setTimeout(resolve, 20));
    const ended = ending.end('SIGTERM');
    await ending.said(/SIGTERM: stopping/);
    await held.query('commit');
    t.strictSame(
      (await Promise.all(under_way)).map(({ status }) => status),
      nights.map(() => 201),
    );
    const { code, ms } = await ended;
    t.equal(code, 0);
    t.ok(ms < ENDED_WITHIN_MS, `after ${Math.round(ms)} ms`);
    t.equal(ending.output.stderr, '');
    ok(await at_staying!.get(`/v1/cases/${nights[0]!.kase.id}`));
    t.equal(staying.child.exitCode, null);
  });

  await t.test('a worker that is told to end hands over what it cannot finish', async t => {
    const before = await delivered();
    receiver.received.length = 0;
    const held = new Promise<never>(() => {});
    receiver.replies.push(held, held);
    const { kase } = nights[0]!;
    const staying = await connect([base_urls[1]!], agencies.helpline_a);
    ok(await staying.post(`/v1/cases/${kase.id}/referrals`, referralBody(asked)));
    await receiver.reached(1);
    const ends = await Promise.all(workers.map(worker => worker.end('SIGTERM')));
    for (const [i, { code, ms }] of ends.entries()) {
      t.equal(code, 0);
      t.ok(ms < ENDED_WITHIN_MS, `after ${Math.round(ms)} ms`);
      t.equal(workers[i]!.output.stderr, '');
    }
    receiver.replies.length = 0;
    const broken_off = receiver.received[0]!.headers['webhook-id'];
    await start('worker');
    const made = await delivered();
    t.equal(made.length, before.length + 1);
    t.strictSame([...new Set(ids())], [broken_off], 'the same event');
    const [row] = await lookAsOwner(services, 'select attempts, state from deliveries where event_id = $1', [broken_off]);
    t.strictSame(row, { attempts: 1, state: 'delivered' }, 'as if it had been attempted once');
  });
});

const CONSENT = {
  given_by: 'person',
  recipient: { agency_kind: 'civil_society' },
  purposes: ['legal_aid'],
  categories: ['narrative'],
  interview_language: 'ar',
  explained_by: 'DH-1',
  spoken_in_private: true,
};
