import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import pg from 'pg';
import t, { type Test } from 'tap';
import type { DemoAgencyKey, DemoCredentials } from '../../src/demo.ts';
import { cloneDatabase } from '../support/app.ts';
import { findBroken, holdInvariants, settle } from '../support/invariants.ts';
import { type Agencies, listen, openAgencies, seededRandom, startLoad } from '../support/load.ts';
import { caseBody, ok } from '../support/night.ts';
import { type Program, ready, run, serve, temporaryDataDir } from '../support/process.ts';
import { EMPTY_QUEUE } from '../support/webhooks.ts';

/**
 * The process is killed (SIGKILL) where it hurts, and anywhere; started again, it makes good by itself what it left undone. The
 * points are held from outside: by triggers in this test's database that wait for a lock of the test, and by stopping the process
 * before the lock is given back.
 */

const LONG = process.env.LONG === '1';
t.setTimeout(LONG ? 3_600_000 : 600_000);

const GATE = 4_711;

t.test('killed', async t => {
  const database = await cloneDatabase(t);
  const dir = await temporaryDataDir(t);
  const client = new pg.Client(database);
  await client.connect();
  t.teardown(() => client.end());
  const one = async (text: string, values: unknown[] = []) => (await client.query(text, values)).rows[0];
  const { value } = await one(`select value from deployment where name = 'test_credentials'`);
  const { agencies } = value as DemoCredentials;

  const start = async (ROLES = 'api,worker,sequencer'): Promise<Program> => {
    const service = serve(t, { DATA_DIR: dir, DATABASE_URL: database, ROLES });
    if (ROLES.startsWith('worker')) await service.said(/aman is working/);
    else them.base_url = await ready(service);
    return service;
  };
  const them: Agencies = await openAgencies(t, agencies, '');
  let service = await start();
  const endpoints = await listen(them, ['helpline_a', 'health', 'shelter_b', 'committee']);

  const gate = {
    close: () => client.query(`select pg_advisory_lock(${GATE})`),
    open: () => client.query(`select pg_advisory_unlock(${GATE})`),
    /** So many stand before it. */
    async reached(many: number): Promise<void> {
      const waiting = `pg_locks where locktype = 'advisory' and not granted and objid = ${GATE}
        and database = (select oid from pg_database where datname = current_database())`;
      while ((await count(waiting)) < many) await pause(10);
    },
  };
  /** What was acknowledged is in the log, and the log is what was signed: by the checker, which knows nothing of the service. */
  async function verify(t: Test): Promise<void> {
    const last = await one('select coalesce(max(number), 0) as number from audit_pending');
    while ((await count(`audit_pending where number <= ${last.number}`)) > 0) await pause(50);
    while ((await count('audit_head where published_size < size')) > 0) await pause(50);
    const [{ verifier_key }, receipts] = [await one('select verifier_key from audit_head'), join(dir, 'receipts')];
    await writeFile(receipts, them.acknowledged.flatMap(({ receipt }) => receipt ?? []).join('\n'));
    const { caseworkers } = agencies.audit_body;
    const checker = run(t, ['scripts/verify.ts', them.base_url, '--key', verifier_key, '--receipts', receipts], {
      AUDIT_TOKEN: await them.tokenOf('audit_body'),
      AUDIT_CASEWORKER: caseworkers[0].staff_code,
    });
    t.equal(await checker.ended, 0, checker.output.stdout + checker.output.stderr);
  }
  const open = (agency: DemoAgencyKey, key?: string, more: Record<string, unknown> = {}) =>
    them.ask({ agency, action: 'case.open', path: '/v1/cases', body: caseBody(more), key });
  const count = async (rows: string): Promise<number> => (await one(`select count(*)::int as count from ${rows}`)).count;

  await t.test('where it hurts', async t => {
    // Sent, and not yet marked: the receiver has it, and does not answer.
    them.receiver.replies.push(new Promise(() => {}));
    ok(await open('health'));
    while (them.arrived.length === 0) await pause(10);
    const [sent] = them.arrived;

    await client.query(`
      create function wait_at_gate() returns trigger language plpgsql as $$
        begin perform pg_advisory_xact_lock_shared(${GATE}); return null; end $$;
      create trigger before_commit after insert on cases for each row
        when (new.risk = 'immediate') execute function wait_at_gate();
      create constraint trigger in_commit after insert on idempotency_keys deferrable initially deferred for each row
        when (new.key = 'case.open after commit') execute function wait_at_gate();
      create constraint trigger in_claim after update on deliveries deferrable initially deferred for each row
        when (new.claimed_until is not null and new.endpoint_id = '${endpoints.get('helpline_a')}') execute function wait_at_gate()`);
    await gate.close();
    ok(await open('helpline_a'));
    const before_commit = open('labour_inspection', 'case.open before commit', { risk: 'immediate' });
    const after_commit = open('labour_inspection', 'case.open after commit');
    await gate.reached(3);
    // What has said "commit" commits; what has not cannot say it any more; and nobody hears of either.
    service.child.kill('SIGSTOP');
    await gate.open();
    while ((await count('cases')) < 3 || (await count('deliveries where claimed_until > now()')) < 2) await pause(10);
    await service.end('SIGKILL');
    t.equal(await count('cases'), 3, 'what was not committed was not done');
    t.equal(them.arrived.length, 1, 'what was relayed and claimed was not sent');
    // The queue is no part of what is kept.
    await client.query(EMPTY_QUEUE);

    service = await start();
    ok(await before_commit);
    ok(await after_commit);
    const kindOf = (key: string) => them.acknowledged.find(it => it.key === key)!.kind;
    t.equal(kindOf('case.open before commit'), 'act', 'the same request does it');
    t.equal(kindOf('case.open after commit'), 'replay', 'the same request is answered with what was done');
    t.equal(await count('cases'), 4);
    await settle(database);
    t.equal(them.arrived.length, 3, 'everything has arrived, what was not marked twice');
    t.equal(them.arrived.filter(it => it.event_id === sent!.event_id).length, 2);
    await holdInvariants(t, { database, acknowledged: them.acknowledged, arrived: them.arrived });
  });

  await t.test('anywhere under load', async t => {
    const seed = Number(process.env.SEED ?? Date.now() % 1_000_000);
    t.comment(`SEED=${seed}`);
    const random = seededRandom(seed);
    const load = startLoad(them, agencies, random);
    const look = async (t: Test) =>
      t.strictSame(
        await findBroken({ database, acknowledged: [...them.acknowledged], arrived: them.arrived, settled: false }),
        {},
        'nothing is half done',
      );
    for (let kill = 1; kill <= (LONG ? 40 : 6); kill += 1) {
      await load.answered(5 + Math.floor(random() * 30));
      await pause(random() * 50);
      await service.end('SIGKILL');
      await look(t);
      service = await start();
    }
    if (LONG) {
      await service.end('SIGKILL');
      const parts = { api: await start('api'), worker: await start('worker,sequencer') };
      for (let kill = 1; kill <= 20; kill += 1) {
        await load.answered(10 + Math.floor(random() * 60));
        const part = random() < 0.5 ? 'api' : 'worker';
        await parts[part].end('SIGKILL');
        await look(t);
        parts[part] = await start(part === 'api' ? 'api' : 'worker,sequencer');
      }
      await parts.worker.end('SIGTERM');
      await parts.api.end('SIGTERM');
      service = await start();
    }
    await load.stop();
    const ms = await settle(database);
    await holdInvariants(t, { database, acknowledged: them.acknowledged, arrived: them.arrived });
    t.strictSame(them.wrong, [], 'nobody was told anything else');
    t.ok(them.lost > 0, 'answers were lost');
    await verify(t);
    t.comment(`${them.acknowledged.length} answers, ${them.lost} lost, ${them.arrived.length} webhooks, settled after ${ms} ms`);
    t.equal((await service.end('SIGTERM')).code, 0);
  });
});
