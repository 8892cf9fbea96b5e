import { request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { test } from 'tap';
import { transact } from '../../src/platform/database.ts';
import { createOutbound } from '../../src/platform/outbound.ts';
import { deliverDue } from '../../src/webhooks/delivery.ts';
import { relayEvents } from '../../src/webhooks/relay.ts';
import { startTestApp } from '../support/app.ts';
import { mechanism } from '../support/mechanism.ts';
import { demoActors, emit, insertReferral, notice, registerEndpoint, relayAll, startReceiver } from '../support/webhooks.ts';

test('events', async t => {
  const it = await startTestApp(t);
  const { app, services } = it;
  const { as, tokenFor } = await mechanism(it);
  const actors = await demoActors(services);
  const { helpline_a, helpline_b, health } = actors;
  const pull = (query = '', key: 'health' | 'helpline_b' = 'health') => as(key, 'nobody').get(`/v1/events${query}`);
  const types = (answer: Awaited<ReturnType<typeof pull>>) => answer.body.data.map((event: { type: string }) => event.type);

  await t.test('are none at first', async t => {
    const none = await pull();
    t.match(none, { status: 200, body: { data: [], next_cursor: null } });
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
    const rows = await transact(services, actors.audit_body, tx =>
      tx
        .selectFrom('audit_records')
        .leftJoin('audit_subjects', 'audit_subjects.entry_id', 'audit_records.entry_id')
        .select(['outcome', 'key_id'])
        .where('action', '=', 'event.list')
        .where('agency_id', '=', helpline_b.agency_id)
        .orderBy('number')
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

  await t.test('are no longer waited for when the client hangs up or the server closes', async t => {
    await app.listen({ port: 0, host: '127.0.0.1' });
    const { port } = app.server.address() as AddressInfo;
    const { next_cursor } = (await pull()).body;
    const headers = { authorization: `Bearer ${await tokenFor('health')}` };
    const wait = services.wake_up.wait;
    const waits: Promise<void>[] = [];
    let armed = Promise.withResolvers<void>();
    services.wake_up.wait = (ms, signal) => {
      const promise = wait(ms, signal);
      waits.push(promise);
      armed.resolve();
      return promise;
    };
    const poll = () =>
      request({ port, host: '127.0.0.1', path: `/v1/events?after=${next_cursor}&wait=30`, headers, agent: false }).end();

    const hung_up = poll();
    hung_up.on('error', () => {});
    await armed.promise;
    hung_up.destroy();
    await waits[0];
    t.pass('hung up');

    armed = Promise.withResolvers<void>();
    const answered = Promise.withResolvers<number>();
    poll().on('response', response => answered.resolve(response.resume().statusCode!));
    await armed.promise;
    await app.close();
    t.equal(await answered.promise, 200, 'an empty page, not a broken connection');
  });
});
