import { setTimeout as pause } from 'node:timers/promises';
import pg from 'pg';
import t, { type Test } from 'tap';
import { QUEUE_SCHEMA } from '../../src/platform/migrate.ts';
import { timerEffects } from '../../src/referrals/timer-effects.ts';
import { fireDueTimers } from '../../src/timers/sweep.ts';
import { startTestApp } from '../support/app.ts';
import { findBroken } from '../support/invariants.ts';
import { clinic } from '../support/journey.ts';
import { seededRandom } from '../support/load.ts';
import { mechanism } from '../support/mechanism.ts';
import { type Program, serve, temporaryDataDir } from '../support/process.ts';

/**
 * Sweeps that are killed, that run into each other, that meet what is locked or broken: every step is done once, the emergencies
 * first, and nothing waits for what cannot be done.
 */

const LONG = process.env.LONG === '1';
t.setTimeout(LONG ? 1_800_000 : 300_000);

const GATE = 4_712;

async function start(t: Test) {
  const test = await startTestApp(t);
  const { services, clock } = test;
  const { ask } = clinic(await mechanism(test));
  const client = new pg.Client(services.config.database_url!);
  await client.connect();
  t.teardown(() => client.end());
  const rows = async <Row extends pg.QueryResultRow>(text: string, values: unknown[] = []): Promise<Row[]> =>
    (await client.query<Row>(text, values)).rows;

  /** Referrals of which each has clocks enough that there are `count`, none of which is due. */
  async function armed(referrals: number, count: number): Promise<void> {
    for (let i = 0; i < referrals; i += 1) await ask();
    await rows(`update timers set next_step_at = next_step_at + interval '100 years' where state = 'running'`);
    await rows(
      `insert into timers select copy.* from (select *, row_number() over (order by id) - 1 as n from timers where name = 'handover'
         or name = 'acknowledge') t, generate_series(1, $1::int) i,
         jsonb_populate_record(null::timers, to_jsonb(t) || jsonb_build_object('id', 'tmr_' || lpad(i::text, 26, '0'),
           'name', 'handover', 'state', 'running', 'on_breach', null)) copy where t.n = i % $2`,
      [count, referrals],
    );
  }
  /** What was armed warns at an instant made of its number `n`; the first `emergencies` are of emergencies. */
  const warnAt = (at: string, emergencies = 0) =>
    rows(
      `update timers t set urgency = case when n > count - $1 then 'emergency' else 'routine' end, next_step_at = ${at},
         steps = jsonb_build_array(jsonb_build_object('kind', 'warn', 'share', 0.5,
           'at', to_char((${at}) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')),
           jsonb_build_object('kind', 'breach', 'share', 1, 'at', '2126-01-01T00:00:00.000Z'))
       from (select id, row_number() over (order by id) as n, count(*) over () as count from timers where name = 'handover') w
       where w.id = t.id`,
      [emergencies],
    );
  const left = async () =>
    (await rows<{ count: number }>(`select count(*)::int as count from timers where name = 'handover' and warned_at is null`))[0]!
      .count;
  const work = async (): Promise<Program> => {
    const worker = serve(t, {
      ROLES: 'worker',
      DATABASE_URL: services.config.database_url!,
      KEYRING_PATH: services.config.keyring_path,
      DATA_DIR: await temporaryDataDir(t),
    });
    await worker.said(/aman is working/);
    return worker;
  };
  /** Each of `count` clocks was told of once, and left one entry. */
  async function eachOnce(t: Test, count: number): Promise<void> {
    const told = await rows<{ timer_id: string; times: number }>(
      `select body ->> 'timer_id' as timer_id, count(distinct id)::int as times from events where type = 'timer.warned' group by 1`,
    );
    t.equal(told.length, count);
    t.ok(
      told.every(({ times }) => times === 1),
      'each is told once',
    );
    const [entries] = await rows(`select count(*)::int as count from audit_records where action = 'timer.warn'`);
    t.equal(entries!.count, count, 'each leaves one entry');
    t.strictSame(await findBroken({ database: services.config.database_url!, settled: false }), {}, 'nothing is half done');
  }
  return { services, clock, client, ask, rows, armed, warnAt, left, work, eachOnce };
}

/** Due a moment ago, by the clock that processes go by. */
const JUST_NOW = `date_trunc('milliseconds', now()) - n * interval '1 ms'`;

t.test('two processes over the same clocks', async t => {
  const { armed, warnAt, left, work, eachOnce } = await start(t);
  await armed(10, 500);
  await Promise.all([work(), work()]);
  await warnAt(JUST_NOW);
  while ((await left()) > 0) await pause(20);
  await eachOnce(t, 500);
});

t.test('killed in the middle of a sweep', async t => {
  const { rows, client, armed, warnAt, left, work, eachOnce } = await start(t);
  const COUNT = LONG ? 5_000 : 800;
  await armed(10, COUNT);
  await client.query(`
    create function wait_at_gate() returns trigger language plpgsql as $$
      begin perform pg_advisory_xact_lock_shared(${GATE}); return null; end $$;
    create trigger in_the_middle after update on timers for each row
      when (new.warned_at is not null and old.warned_at is null) execute function wait_at_gate()`);
  const waiting = async () =>
    (
      await rows(`select from pg_locks where locktype = 'advisory' and not granted and objid = ${GATE}
      and database = (select oid from pg_database where datname = current_database())`)
    ).length;

  await client.query(`select pg_advisory_lock(${GATE})`);
  await warnAt(JUST_NOW);
  const [held, other] = await Promise.all([work(), work()]);
  while ((await waiting()) < 2) await pause(10);
  t.equal(await left(), COUNT, 'each has some of them, and none is done');
  await held.end('SIGKILL');
  await client.query(`select pg_advisory_unlock(${GATE})`);
  while ((await left()) > COUNT / 2) await pause(5);
  await other.end('SIGKILL');

  const seed = Number(process.env.SEED ?? Date.now() % 1_000_000);
  t.comment(`SEED=${seed}`);
  const random = seededRandom(seed);
  for (let kill = 1; kill <= (LONG ? 20 : 2) && (await left()) > 0; kill += 1) {
    const worker = await work();
    await pause(random() * 200);
    await worker.end('SIGKILL');
  }
  await work();
  while ((await left()) > 0) await pause(20);
  await eachOnce(t, COUNT);
});

t.test('a queue that was wiped', async t => {
  const { armed, warnAt, left, work, eachOnce, client } = await start(t);
  await armed(2, 50);
  await work();
  const wipe = () => client.query(`delete from ${QUEUE_SCHEMA}.job`);
  await wipe();
  await warnAt(`date_trunc('milliseconds', now()) + n * interval '10 ms'`);
  await wipe();
  while ((await left()) > 0) await pause(20);
  await eachOnce(t, 50);
});

t.test('catching up', async t => {
  const { services, armed, warnAt, rows, eachOnce } = await start(t);
  await armed(10, 450);
  await warnAt(`timestamptz '${services.now().toISOString()}' - n * interval '1 s'`, 230);
  const effects = timerEffects(services);
  while (await fireDueTimers(services, effects));
  await eachOnce(t, 450);
  const told = await rows<{ urgency: string; due: number }>(
    `select t.urgency, extract(epoch from t.warned_at)::int as due from timers t join (
       select body ->> 'timer_id' as id, min(number) as number from events where type = 'timer.warned' group by 1) e using (id)
     order by e.number`,
  );
  const in_order = told.toSorted(
    (a, b) => Number(b.urgency === 'emergency') - Number(a.urgency === 'emergency') || a.due - b.due,
  );
  t.strictSame(told, in_order, 'every emergency before the rest, then as they fell due');
});

t.test('what is locked', async t => {
  const { services, clock, ask, rows } = await start(t);
  const effects = timerEffects(services);
  const nights = [];
  for (let i = 0; i < 6; i += 1) nights.push(await ask({ urgency: 'emergency' }));
  const statusOf = async (id: string) => (await rows('select status from referrals where id = $1', [id]))[0]!.status;
  const held = nights[0]!.referral.id;

  const act = new pg.Client(services.config.database_url!);
  await act.connect();
  t.teardown(() => act.end());
  await act.query('begin');
  await act.query('select from cases where id = $1 for update', [nights[0]!.kase.id]);
  clock.advance(15 * 60_000);
  // It comes back, although the lock is never given up.
  await fireDueTimers(services, effects);
  t.equal(await statusOf(held), 'offered');
  for (const { referral } of nights.slice(1)) t.equal(await statusOf(referral.id), 'unplaced');
  t.strictSame(await rows(`select from audit_records where outcome = 'failed'`), [], 'this is no failure');
  await act.query('rollback');
  await fireDueTimers(services, effects);
  t.equal(await statusOf(held), 'unplaced', 'the next sweep does it');

  const [free] = await rows(`select id from timers where name = 'unplaced_review' order by id limit 1`);
  await act.query('begin');
  await act.query('select from timers where id = $1 for update', [free!.id]);
  clock.advance(8 * 60_000);
  await fireDueTimers(services, effects);
  const warned = async () =>
    (await rows(`select id from timers where name = 'unplaced_review' and warned_at is not null`)).length;
  t.equal(await warned(), nights.length - 1, 'whoever holds a clock is dealing with it');
  await act.query('rollback');
  await fireDueTimers(services, effects);
  t.equal(await warned(), nights.length);
});

t.test('one that is broken', async t => {
  const { services, armed, warnAt, rows, left, eachOnce } = await start(t);
  const effects = timerEffects(services);
  await armed(3, 30);
  await warnAt(`timestamptz '${services.now().toISOString()}' - n * interval '1 s'`);
  await rows(`create function fail() returns trigger language plpgsql as $$ begin raise exception 'no'; end $$`);
  await rows(`create trigger fails before update on timers for each row
    when (new.warned_at is not null and new.id like '%0017') execute function fail()`);
  await fireDueTimers(services, effects);
  t.equal(await left(), 1, 'the others are done');
  t.equal((await rows(`select from audit_records where action = 'timer.fire' and outcome = 'failed'`)).length, 1);
  t.equal(await fireDueTimers(services, effects), false);
  t.equal(await left(), 1, 'it is left alone for a while');
  await rows('drop trigger fails on timers');
  await rows(`update timers set next_step_at = $1 where next_step_at is not null and name = 'handover'`, [services.now()]);
  await fireDueTimers(services, effects);
  await eachOnce(t, 30);
});
