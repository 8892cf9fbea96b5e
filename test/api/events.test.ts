import { request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { sql } from 'kysely';
import pg from 'pg';
import { test } from 'tap';
import { transact } from '../../src/platform/database.ts';
import { createOutbound } from '../../src/platform/outbound.ts';
import { relayEvents } from '../../src/webhooks/relay.ts';
import { deliverDue } from '../../src/webhooks/turn.ts';
import { startTestApp } from '../support/app.ts';
import { clinic, eventsOf, NONE } from '../support/journey.ts';
import { mechanism } from '../support/mechanism.ts';
import { ok } from '../support/night.ts';
import { demoActors, emit, insertReferral, notice, registerEndpoint, relayAll, startReceiver } from '../support/webhooks.ts';

test('events', async t => {
  const it = await startTestApp(t);
  const { app, services, sequence } = it;
  const { as, tokenFor } = await mechanism(it);
  const actors = await demoActors(services);
  const { helpline_a, helpline_b, health } = actors;
  const pull = (query = '', key: 'health' | 'helpline_b' = 'health') => as(key, 'nobody').get(`/v1/events${query}`);
  const types = (answer: Awaited<ReturnType<typeof pull>>) => answer.body.data.map((event: { type: string }) => event.type);

  await t.test('are none at first', async t => {
    const none = await pull();
    t.match(none, { status: 200, body: { data: NONE, next_cursor: null } });
    t.notOk(none.headers['audit-receipt']);
  });

  await t.test('are pulled oldest first, the same objects that are pushed', async t => {
    const receiver = await startReceiver(t);
    const outbound = createOutbound({ production: false, ports: [] });
    t.teardown(() => outbound.close());
    await registerEndpoint(services, health, receiver.url);
    for (const type of ['referral.offered', 'referral.message', 'safety.changed'] as const) {
      await emit(services, helpline_a, notice([health.agency_id], { type, body: { urgency: 'routine' } }));
    }
    await relayAll(services);
    await deliverDue(services, outbound);
    const all = await pull();
    t.same(types(all), ['referral.offered', 'referral.message', 'safety.changed']);
    const by_position = receiver.received.map(({ body }) => body).sort((a, b) => a.data.position - b.data.position);
    t.same(all.body.data, by_position);
    t.match(all.headers['audit-receipt'], /^[0-9a-f]{64}$/);

    const first = await pull('?limit=2');
    t.same(first.body.data, all.body.data.slice(0, 2));
    const second = await pull(`?limit=2&after=${first.body.next_cursor}`);
    t.same(second.body.data, all.body.data.slice(2));
    const third = await pull(`?after=${second.body.next_cursor}`);
    t.same(third.body, { data: [], next_cursor: second.body.next_cursor }, 'an empty page keeps its place');
    t.same(types(await pull('?types=safety.changed,referral.offered')), ['referral.offered', 'safety.changed']);
    t.same((await pull('', 'helpline_b')).body.data, [], "another agency's are its own");
  });

  await t.test('are asked for by what is known', async t => {
    for (const query of [
      '?types=referral.teleported',
      '?types=',
      '?wait=31',
      '?wait=-1',
      '?after=x',
      '?limit=0',
      '?cursor=x',
      '?after=WyJ4Il0',
    ]) {
      t.match(await pull(query), { status: 400, body: { code: 'invalid_request' } }, query);
    }
    t.match(await as('health', 'nobody', ['cases']).get('/v1/events'), { status: 403, body: { code: 'insufficient_scope' } });
    t.equal((await app.inject('/v1/events')).statusCode, 401);
  });

  await t.test('that the agency may no longer know are withheld, and are of no type but that', async t => {
    const { referral_id, case_id } = await insertReferral(services, helpline_a, []);
    const of_referral = { subject_id: referral_id, referral_id, case_id, body: { referral_id } };
    await emit(services, helpline_a, notice([helpline_b.agency_id], { ...of_referral, type: 'referral.accepted' }));
    await emit(services, helpline_a, notice([helpline_b.agency_id], { ...of_referral, type: 'referral.withdrawn' }));
    await relayAll(services);
    const { data } = (await pull('', 'helpline_b')).body;
    t.same([data[0].type, Object.keys(data[0].data).sort()], ['event.withheld', ['event_id', 'position']]);
    t.match(data[1], { type: 'referral.withdrawn', data: { referral_id, sequence: 2 } });
    t.same(types(await pull('?types=referral.accepted', 'helpline_b')), []);
    t.same(types(await pull('?types=event.withheld', 'helpline_b')), ['event.withheld']);
  });

  await t.test('leave a trail with the cases that they tell of', async t => {
    await sequence();
    const rows = await transact(services, actors.audit_body, tx =>
      tx
        .selectFrom('audit_log')
        .leftJoin('audit_subjects', 'audit_subjects.entry_id', 'audit_log.entry_id')
        .select(['outcome', 'key_id'])
        .where('action', '=', 'event.list')
        .where('agency_id', '=', helpline_b.agency_id)
        .orderBy('index')
        .execute(),
    );
    t.equal(rows.length, 2);
    t.match(rows[0], { outcome: 'read', key_id: /^cas_/ });
    t.match(rows[1], { outcome: 'read', key_id: null });
  });

  await t.test('are waited for', async t => {
    const { next_cursor } = (await pull()).body;
    const started = performance.now();
    t.same((await pull(`?after=${next_cursor}&wait=1`)).body.data, []);
    t.ok(performance.now() - started >= 990, 'as long as was asked');

    const waiting = pull(`?after=${next_cursor}&wait=30`);
    await pause(50);
    await emit(services, helpline_a, notice([health.agency_id], { type: 'referral.reviewed' }));
    await relayEvents(services);
    t.same(types(await waiting), ['referral.reviewed'], 'and arrive as soon as they are numbered');
  });

  await t.test('are waited for by many at the price of one', async t => {
    const { next_cursor } = (await pull()).body;
    const waiting = Array.from({ length: 12 }, () => pull(`?after=${next_cursor}&wait=30`));
    const at_once = await Promise.race([Promise.any(waiting), pause(5_000)]);
    t.same(at_once?.body, { data: [], next_cursor }, 'of one client ten at once; further ones are answered at once');
    await pause(300);

    const started = performance.now();
    let transactions = 0;
    const { pool } = services;
    const connect = pool.connect as (...args: unknown[]) => unknown;
    pool.connect = ((...args: unknown[]) => {
      // A single statement, such as the wake-up itself, asks with a callback.
      if (args.length === 0) transactions += 1;
      return connect.apply(pool, args);
    }) as typeof pool.connect;
    for (let i = 0; i < 25; i += 1) {
      services.wake_up.notify();
      await pause(40);
    }
    pool.connect = connect as typeof pool.connect;
    const ticks = (performance.now() - started) / 100;
    t.ok(transactions > 0 && transactions <= ticks + 2, `${transactions} looks after 25 wake-ups in ${ticks} tenths of a second`);

    await emit(services, helpline_a, notice([helpline_b.agency_id]));
    await emit(services, helpline_a, notice([health.agency_id], { type: 'referral.completed' }));
    await relayEvents(services);
    const told = (await Promise.all(waiting)).map(types).sort();
    t.same(told, [[], [], ...Array(10).fill(['referral.completed'])]);
  });

  await t.test('of no type that was asked for are not looked into', async t => {
    for (const type of ['referral.message', 'safety.changed'] as const) {
      await emit(services, helpline_a, notice([helpline_b.agency_id], { type }));
    }
    await relayAll(services);
    const url = new URL(process.env.TEST_DATABASE_ADMIN_URL!);
    const { rows } = await sql<{ name: string }>`select current_database() as name`.execute(services.db);
    url.pathname = `/${rows[0]!.name}`;
    const admin = new pg.Client(url.href);
    await admin.connect();
    t.teardown(() => admin.end());
    const { rows: before } = await admin.query(`select pg_get_functiondef('may_still_know'::regproc) as it`);
    await admin.query(`create or replace function may_still_know(event events) returns boolean language plpgsql stable as $$
      begin
        if event.type <> 'safety.changed' then raise exception 'nobody asked for %', event.type; end if;
        return true;
      end $$`);
    const answer = await pull('?types=safety.changed', 'helpline_b');
    await admin.query(before[0].it);
    t.same(types(answer), ['safety.changed']);
  });

  await t.test('are no longer waited for when the client hangs up or the server closes', async t => {
    await app.listen({ port: 0, host: '127.0.0.1' });
    const { port } = app.server.address() as AddressInfo;
    const { next_cursor } = (await pull()).body;
    const headers = { authorization: `Bearer ${await tokenFor('health')}` };
    const poll = () =>
      request({ port, host: '127.0.0.1', path: `/v1/events?after=${next_cursor}&wait=30`, headers, agent: false }).end();

    const hung_up = Array.from({ length: 10 }, poll);
    for (const client of hung_up) client.on('error', () => {});
    await pause(300);
    t.same((await pull(`?after=${next_cursor}&wait=30`)).body.data, [], 'the eleventh is answered at once');
    for (const client of hung_up) client.destroy();
    await pause(300);

    const answered = Promise.withResolvers<number>();
    let early = true;
    poll().on('response', response => answered.resolve(early ? 0 : response.resume().statusCode!));
    await pause(300);
    early = false;
    await app.close();
    t.equal(await answered.promise, 200, 'an empty page, not a broken connection');
  });
});

test('what a case now holds is told to whoever holds it, and to nobody who held it', async t => {
  const it = await startTestApp(t);
  const them = await mechanism(it);
  const { sender, receiver, at } = clinic(them);
  const amend = async (id: string) => {
    const { version } = ok(await sender.get(`/v1/cases/${id}`));
    ok(await sender.patch(`/v1/cases/${id}`, { intake: { narrative: 'more' } }, { 'if-match': `"${version}"` }));
  };
  const night = await at(it, 'accepted');
  const told = async () =>
    (await eventsOf(it.services, receiver)).filter(({ type }) => ['disclosure.updated', 'event.withheld'].includes(type));
  await amend(night.kase.id);
  t.match(await told(), [{ type: 'disclosure.updated', data: { categories: ['narrative'] } }]);
  ok(await sender.post(`/v1/referrals/${night.referral.id}/cancel`, { reason_code: 'error' }));
  const [withheld, ...rest] = await told();
  t.same([withheld!.type, Object.keys(withheld!.data), rest], ['event.withheld', ['event_id', 'position'], []]);

  const other = await at(it, 'accepted');
  await amend(other.kase.id);
  t.match(await told(), [{ type: 'event.withheld' }, { type: 'disclosure.updated' }], 'what it holds elsewhere it is told');
  const to_sender = await eventsOf(it.services, sender, night.referral.id);
  t.ok(
    to_sender.some(({ type }) => type === 'referral.accepted'),
    'the sender may know as before',
  );
});
