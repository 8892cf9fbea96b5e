import { setTimeout as pause } from 'node:timers/promises';
import pg from 'pg';
import t from 'tap';
import type { DemoCredentials } from '../../src/demo.ts';
import { SetClock, startClock } from '../../src/platform/clock.ts';
import { createLogger } from '../../src/platform/log.ts';
import { cloneDatabase, openTestServices } from '../support/app.ts';
import { connect } from '../support/connect.ts';
import { MEDICAL } from '../support/journey.ts';
import { startNight } from '../support/night.ts';
import { type Program, ready, run, temporaryDataDir } from '../support/process.ts';
import { lookAsOwner } from '../support/trail.ts';

// Processes start, and clocks are real.
t.setTimeout(230_000);

/** The database's clock decides, whatever the clock on a process's wall shows. */

const reading = (asked_at: number, showed: number, answered_at: number) => ({ asked_at, showed, answered_at });

t.test('a clock that is set', async t => {
  const at = (clock: SetClock, ms: number) => clock.now(ms).getTime();

  await t.test('is good to half of what the first answer took, and to less after the next', async t => {
    const clock = new SetClock(reading(0, 1_000_030, 100));
    t.equal(at(clock, 100), 1_000_080);
    t.equal(clock.set(reading(200, 1_000_212, 204)), 28);
    t.equal(at(clock, 204), 1_000_212);
  });

  await t.test('stays where an answer does not contradict it', async t => {
    const clock = new SetClock(reading(0, 5_000, 0));
    t.equal(clock.set(reading(1_000, 6_400, 3_000)), 0);
    t.equal(at(clock, 3_000), 8_000);
  });

  await t.test('does not run backwards for little, and follows a clock that was set anew', async t => {
    const clock = new SetClock(reading(0, 5_000, 0));
    t.equal(at(clock, 100), 5_100);
    t.equal(clock.set(reading(100, 5_060, 100)), -40);
    t.equal(at(clock, 100), 5_100);
    t.equal(at(clock, 139), 5_100);
    t.equal(at(clock, 141), 5_101);
    t.equal(clock.set(reading(200, 1_160, 200)), -4_000);
    t.equal(at(clock, 200), 1_160);
    t.equal(clock.set(reading(300, 61_260, 300)), 60_000);
    t.equal(at(clock, 300), 61_260);
  });
});

t.test('the clock of a database', async t => {
  const pool = new pg.Pool({ connectionString: await cloneDatabase(t) });
  const clock = await startClock(pool, createLogger('silent'));
  for (let i = 0; i < 20; i += 1) {
    const ask = async () => (await pool.query<{ at: Date }>('select clock_timestamp() as at')).rows[0]!.at.getTime();
    const [before, shown, after] = [await ask(), clock.now().getTime(), await ask()];
    t.ok(shown >= before - 5 && shown <= after + 5, `${shown} lies between ${before} and ${after}`);
  }
  await clock.close();
  await pool.end();
  const shown = clock.now().getTime();
  await pause(20);
  const went = clock.now().getTime() - shown;
  t.ok(went >= 19 && went < 1_000, 'it goes on where nobody answers');
  await t.rejects(startClock(pool, createLogger('silent')), 'it does not begin there');
});

t.test('processes whose wall clocks are a minute ahead and behind', async t => {
  const { services } = await openTestServices(t);
  const [credentials] = await lookAsOwner<{ value: DemoCredentials }>(
    services,
    `select value from deployment where name = 'test_credentials'`,
  );
  const { agencies } = credentials!.value;
  const { database_url, keyring_path } = services.config;
  const start = async (ROLES: string, ms: number): Promise<Program> =>
    run(t, ['--import', './test/support/shifted-wall-clock.ts', 'src/main.ts', 'serve'], {
      PORT: '0',
      LOG_LEVEL: 'info',
      ROLES,
      WALL_CLOCK_SHIFT_MS: String(ms),
      DATABASE_URL: database_url!,
      KEYRING_PATH: keyring_path,
      DATA_DIR: await temporaryDataDir(t),
      PUBLIC_URL: 'http://aman.test',
    });
  const apis = await Promise.all([start('api', 60_000), start('api', -60_000)]);
  const base_urls = await Promise.all(apis.map(ready));
  const sender = await connect(base_urls, agencies.helpline_a);

  const look = async () =>
    (
      await lookAsOwner<{ now: Date; timers: { id: string; state: string; breached_at: string | null }[] }>(
        services,
        `select clock_timestamp() as now, (select json_agg(t) from
          (select id, state, breached_at from timers where name = 'respond') t) as timers`,
      )
    )[0]!;
  const { now: began } = await look();
  const COUNT = 6;
  for (let i = 0; i < COUNT; i += 1) {
    const asked = { ...MEDICAL.referral, routing: 'direct', recipient_agency_id: agencies.health.id };
    const kase = { intake: { channel: 'hotline', received_at: began.toISOString(), narrative: 'locked in' } };
    await startNight(sender, { kase, consent: MEDICAL.consent, referral: asked });
  }
  const stamps = await lookAsOwner<{ at: Date; now: Date }>(
    services,
    `select at, clock_timestamp() as now from audit_records where action = 'referral.make'`,
  );
  t.equal(stamps.length, COUNT);
  t.ok(
    stamps.every(({ at, now }) => at >= began && at <= now),
    'acts are stamped by it',
  );

  const workers = await Promise.all([start('worker', 60_000), start('worker', -60_000)]);
  await Promise.all(workers.map(worker => worker.said(/aman is working/)));
  const [due] = await lookAsOwner<{ at: Date }>(
    services,
    `with due as (select date_trunc('milliseconds', clock_timestamp()) + interval '2 s' as at), set as (
      update timers set due_at = due.at, next_step_at = due.at,
        steps = jsonb_build_array(jsonb_build_object('kind', 'breach', 'at', to_char(due.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')))
      from due where name = 'respond')
    select at from due`,
  );
  for (;;) {
    const { now, timers } = await look();
    const fired = timers.filter(({ state }) => state !== 'running');
    if (fired.length > 0) t.ok(now >= due!.at, 'never early');
    if (fired.length === COUNT) break;
    await pause(20);
  }
  const { now } = await look();
  t.ok(now.getTime() - due!.at.getTime() < 20_000, 'nor late');
  const breaches = await lookAsOwner<{ at: Date }>(services, `select at from audit_records where action = 'timer.breach'`);
  t.equal(breaches.length, COUNT, 'once each');
  t.ok(
    breaches.every(({ at }) => at >= due!.at && at <= now),
    'what they do is stamped by it',
  );
  const expired = await lookAsOwner(services, `select distinct id from events where type = 'referral.expired'`);
  t.equal(expired.length, COUNT, 'with one effect each');
  for (const worker of workers) t.equal((await worker.end('SIGTERM')).code, 0);
  const lines = workers.flatMap(({ output }) => output.stdout.split('\n').filter(line => line.includes('timer fired')));
  t.equal(lines.length, COUNT);
  for (const line of lines) {
    const { lag_ms, time } = JSON.parse(line) as { lag_ms: number; time: string };
    t.ok(lag_ms >= 0 && lag_ms < 20_000, 'lateness is measured by it');
    const off_ms = Math.abs(Date.parse(time) - due!.at.getTime());
    t.ok(off_ms > 40_000, 'though the clocks on their walls were wrong');
  }
});
