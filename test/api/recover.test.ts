import pg from 'pg';
import tap, { type Test, test } from 'tap';
import type { EventType } from '../../src/core/events.ts';
import { newId } from '../../src/platform/ids.ts';
import { createOutbound } from '../../src/platform/outbound.ts';
import type { Services } from '../../src/services.ts';
import { lockRecovery } from '../../src/webhooks/again-store.ts';
import { deleteExpired } from '../../src/webhooks/retention.ts';
import { deliver, deliverDue } from '../../src/webhooks/turn.ts';
import { startTestApp } from '../support/app.ts';
import { areMadeUp } from '../support/events.ts';
import type { Client } from '../support/mechanism.ts';
import { mechanism } from '../support/mechanism.ts';
import { ok } from '../support/night.ts';
import { entriesOf, lookAsOwner } from '../support/trail.ts';
import { asRelay, demoActors, emit, insertReferral, notice, relayAll, startReceiver } from '../support/webhooks.ts';

// Many events, and other suites beside it.
tap.setTimeout(300_000);

const PATH = '/v1/webhook-endpoints';
const SECOND = 1_000;
const DAY = 86_400_000;

/** An agency's endpoint, what is sent to its agency, and what arrives at it. */
async function start(t: Test) {
  const it = await startTestApp(t);
  const { services, clock } = it;
  const { as } = await mechanism(it);
  const actors = await demoActors(services);
  const supervisor = as('health', 'supervisor');
  const receiver = await startReceiver(t);
  const outbound = createOutbound({ production: false, ports: [] });
  t.teardown(() => outbound.close());
  const register = async (event_types = ['*']): Promise<string> =>
    ok(await supervisor.post(PATH, { url: receiver.url, event_types })).id;
  /** The agency's one endpoint. */
  const create = async (event_types?: string[]): Promise<string> => {
    for (const { id } of ok(await supervisor.get(PATH)).data) ok(await supervisor.del(`${PATH}/${id}`));
    return register(event_types);
  };
  const send = (type: EventType, more: Parameters<typeof notice>[1] = {}) =>
    emit(services, actors.helpline_a, notice([supervisor.agency.id], { ...more, type }));
  return {
    services,
    clock,
    as,
    actors,
    supervisor,
    receiver,
    outbound,
    register,
    create,
    send,
    run: async () => {
      await relayAll(services);
      return deliverDue(services, outbound);
    },
    /** What came since it was last asked, in the order of arrival; what an act says of itself aside. */
    arrived: () =>
      receiver.received
        .splice(0)
        .map(({ body }) => body.type as string)
        .filter(type => type !== 'endpoint.recovered'),
    recover: (id: string, since: Date, headers = {}) =>
      supervisor.post(`${PATH}/${id}/recover`, { since: since.toISOString() }, headers),
    redeliver: (id: string, headers = {}) => supervisor.post(`/v1/deliveries/${id}/redeliver`, undefined, headers),
    deliveries: async (id: string) =>
      ok(await supervisor.get(`${PATH}/${id}/deliveries`)).data.filter(
        ({ event_type }: { event_type: string }) => event_type !== 'endpoint.recovered',
      ),
  };
}

/** How many wait for a lock that others of this database hold. */
async function waiting(services: Services): Promise<number> {
  const [row] = await lookAsOwner<{ count: number }>(
    services,
    `select count(*)::int as count from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`,
  );
  return row!.count;
}

test('recovery', async t => {
  const it = await start(t);
  const { clock, receiver, run, send, arrived, recover, create, supervisor } = it;

  await t.test('is asked for by the supervisor, from when events are kept, until now', async t => {
    const id = await create();
    const since = clock.now().toISOString();
    const call = (client: Client, body: unknown = { since }, headers = {}) => client.post(`${PATH}/${id}/recover`, body, headers);
    t.match(await call(it.as('civil_society', 'supervisor')), { status: 404, body: { code: 'not_found' } });
    t.match(await call(it.as('health', 'worker')), { status: 403, body: { code: 'forbidden' } });
    t.match(await call(it.as('health', 'nobody')), { status: 400, body: { code: 'acting_caseworker_required' } });
    t.match(await call(it.as('health', 'supervisor', ['cases'])), { status: 403, body: { code: 'insufficient_scope' } });
    for (const body of [{}, { since: 'yesterday' }, { since, until: since }, []]) {
      t.match(await call(supervisor, body), { status: 400 });
    }
    for (const at of [clock.now().getTime() + 1, clock.now().getTime() - 90 * DAY - 1]) {
      const wrong = { since: new Date(at).toISOString() };
      const refused = { status: 422, body: { code: 'unprocessable', errors: [{ pointer: '/since' }] } };
      t.match(await call(supervisor, wrong), refused);
      t.match(await call(supervisor, wrong, { 'if-match': '"7"' }), refused, 'said before the version');
      t.match(await call(it.as('civil_society', 'supervisor'), wrong), { status: 404 });
      t.match(await call(it.as('health', 'worker'), wrong), { status: 403 });
    }
    t.match(await call(supervisor, { since }, { 'if-match': '"7"' }), { status: 412 });
    t.match(await recover(id, new Date(clock.now().getTime() - 90 * DAY)), { status: 200, body: { id, to_send: 0 } });
    await run();
    arrived();
  });

  await t.test('sends everything since an instant again, delivered or not, in order, and nothing before it', async t => {
    const id = await create();
    await send('referral.offered');
    await run();
    clock.advance(SECOND);
    const since = clock.now();
    const subject_id = newId('ref');
    for (const type of ['referral.received', 'referral.accepted'] as const) await send(type, { subject_id });
    await run();
    receiver.replies.push({ status: 500 });
    await send('referral.message', { subject_id });
    await run();
    t.same(arrived(), ['referral.offered', 'referral.received', 'referral.accepted', 'referral.message']);

    clock.advance(SECOND);
    const asked = await recover(id, since);
    t.match(asked, { status: 200, body: { id, status: 'active', to_send: 3 } });
    t.match(asked.headers, { etag: '"1"', 'audit-receipt': /^[0-9a-f]{64}$/ });
    t.notOk('stops' in asked.body, 'what is counted inside stays inside');
    t.same((await it.deliveries(id)).map(({ state }: { state: string }) => state).sort(), [
      'delivered',
      'pending',
      'pending',
      'pending',
    ]);
    await run();
    t.match(
      receiver.received.find(({ body }) => body.type === 'endpoint.recovered')?.body,
      { data: { endpoint_id: id, status: 'active', since: since.toISOString(), to_send: 3 } },
      'and says that it was asked for',
    );
    t.same(arrived(), ['referral.received', 'referral.accepted', 'referral.message']);
    clock.advance(DAY);
    await run();
    t.same(arrived(), [], 'what was due is not sent another time because of it');
    const [last] = await it.deliveries(id);
    t.match(last, { event_type: 'referral.message', state: 'delivered', attempts: [{ status: 500 }, { status: 204 }] });
  });

  await t.test('is of the types that the endpoint asks for, also of those that it did not ask for then', async t => {
    const id = await create(['referral.accepted']);
    const since = clock.now();
    for (const type of ['referral.offered', 'referral.accepted', 'referral.message'] as const) await send(type);
    ok(await supervisor.post(`${PATH}/${id}/test`));
    await run();
    receiver.received.splice(0);
    clock.advance(SECOND);
    ok(await supervisor.patch(`${PATH}/${id}`, { event_types: ['referral.message', 'endpoint.test'] }, { 'if-match': '"1"' }));
    const other = await it.register();
    t.equal((await recover(id, since)).body.to_send, 2);
    await run();
    t.same(arrived().filter(type => type === 'referral.message').length, 1);
    t.equal((await recover(other, since)).body.to_send, 4, "another's test is not among them, what says that it was asked is");
    ok(await supervisor.del(`${PATH}/${other}`));
    await run();
    arrived();
  });

  await t.test('has the whole schedule before it', async t => {
    const id = await create(['referral.reviewed']);
    const since = clock.now();
    await send('referral.reviewed');
    for (let i = 0; i < 3; i += 1) {
      receiver.replies.push({ status: 500 });
      await run();
      clock.advance(150 * SECOND);
    }
    t.equal((await it.deliveries(id))[0].state, 'parked');
    ok(await recover(id, since));
    receiver.replies.push({ status: 500 }, { status: 500 });
    await run();
    const [again] = await it.deliveries(id);
    t.match(again, { state: 'pending', attempts: { length: 4 } });
    const ms = Date.parse(again.next_attempt_at) - clock.now().getTime();
    t.ok(ms >= 5 * SECOND && ms <= 6 * SECOND);
  });

  await t.test('leaves an entry, and is asked for once under one key', async t => {
    const id = await create(['referral.failed']);
    const since = clock.now();
    await send('referral.failed');
    await run();
    clock.advance(SECOND);
    const before = (await entriesOf(it.services, 'webhook_endpoint.recover')).filter(({ outcome }) => outcome === 'done').length;
    const first = await recover(id, since, { 'idempotency-key': 'r1' });
    t.equal(first.body.to_send, 1);
    await run();
    const again = await recover(id, since, { 'idempotency-key': 'r1' });
    t.match(again, { status: 200, headers: { 'idempotency-replayed': 'true' }, body: { id, to_send: 0 } }, 'as it is now');
    t.match(await recover(id, clock.now(), { 'idempotency-key': 'r1' }), { status: 422, body: { code: 'idempotency_mismatch' } });
    arrived();
    await run();
    t.same(arrived(), []);
    const entries = (await entriesOf(it.services, 'webhook_endpoint.recover')).filter(({ outcome }) => outcome === 'done');
    t.equal(entries.length, before + 1);
    t.match(entries.at(-1), { agency_id: supervisor.agency.id, caseworker: supervisor.agency.caseworkers[1].staff_code });
  });
});

test('recovery of an endpoint that is off', async t => {
  const it = await start(t);
  const { services, clock, receiver, run, send, arrived, recover, create, supervisor } = it;
  const status = async (id: string) => (await supervisor.get(`${PATH}/${id}`)).body.status;

  await t.test('sends what was asked for to one that is paused, which stays so for what is new', async t => {
    const id = await create();
    const subject_id = newId('ref');
    ok(await supervisor.post(`${PATH}/${id}/pause`));
    await send('referral.offered', { subject_id });
    await relayAll(services);
    clock.advance(SECOND);
    const since = clock.now();
    await send('referral.received', { subject_id });
    await relayAll(services);
    t.equal(await run(), 0);
    t.match(await recover(id, since), { status: 200, body: { status: 'paused', to_send: 1 } });
    await send('referral.accepted', { subject_id });
    t.equal(await run(), 1, 'not behind what is kept back');
    t.same(arrived(), ['referral.received']);
    t.equal(await status(id), 'paused');

    clock.advance(SECOND);
    t.equal((await recover(id, since)).body.to_send, 3);
    ok(await supervisor.post(`${PATH}/${id}/enable`));
    ok(await supervisor.post(`${PATH}/${id}/pause`));
    t.equal(await run(), 0, 'pausing it stops the recovery too');
    ok(await supervisor.post(`${PATH}/${id}/enable`));
    await run();
    t.same(arrived(), ['referral.offered', 'referral.received', 'referral.accepted']);
    ok(await supervisor.del(`${PATH}/${id}`));
  });

  await t.test('sends also what came while it was disabled, and tries again what fails', async t => {
    const id = await create();
    await asRelay(services, tx => tx.updateTable('webhook_endpoints').set({ status: 'disabled' }).where('id', '=', id).execute());
    clock.advance(SECOND);
    const since = clock.now();
    await send('referral.offered');
    await send('safety.changed', { urgent: true });
    t.equal(await run(), 0);
    t.same(await it.deliveries(id), [], 'nothing was kept for it');
    t.match(await recover(id, since), { status: 200, body: { status: 'disabled', to_send: 2 } });
    receiver.replies.push({ status: 500 }, { status: 500 });
    t.equal(await run(), 2);
    t.same(arrived().sort(), ['referral.offered', 'safety.changed']);
    clock.advance(6 * SECOND);
    t.equal(await run(), 2);
    t.same(arrived().sort(), ['referral.offered', 'safety.changed']);
    t.equal(await status(id), 'disabled');
    ok(await supervisor.del(`${PATH}/${id}`));
  });

  await t.test('ends when the receiver says that it is gone', async t => {
    const id = await create();
    ok(await supervisor.post(`${PATH}/${id}/pause`));
    clock.advance(SECOND);
    const since = clock.now();
    const subject_id = newId('ref');
    for (let i = 0; i < 3; i += 1) await send('referral.message', { subject_id });
    await relayAll(services);
    t.equal((await recover(id, since)).body.to_send, 3);
    receiver.replies.push({ status: 410 });
    t.equal(await run(), 1);
    clock.advance(DAY);
    t.equal(await run(), 0);
    t.same(
      (await it.deliveries(id)).map(({ state }: { state: string }) => state),
      ['pending', 'pending', 'pending'],
      'and is kept',
    );
    arrived();
    t.equal((await recover(id, since)).body.to_send, 4);
    await run();
    t.same(arrived(), Array(3).fill('referral.message'), 'until it is asked for again');
  });
});

test('recoveries at once double nothing', async t => {
  const it = await start(t);
  const { services, clock, run, send, arrived, recover, create, receiver } = it;
  const id = await create();
  const since = clock.now();
  for (let i = 0; i < 20; i += 1) await send('referral.message', { subject_id: newId('ref') });
  await run();
  t.equal(arrived().length, 20);

  await t.test('asked for together', async t => {
    clock.advance(SECOND);
    const answers = await Promise.all([recover(id, since), recover(id, since)]);
    t.same(
      answers.map(({ status, body }) => [status, body.to_send]),
      [
        [200, 20],
        [200, 20],
      ],
    );
    await run();
    t.equal(arrived().length, 20);
  });

  await t.test('or while the other is being sent', async t => {
    clock.advance(SECOND);
    const until = clock.now();
    ok(await recover(id, since));
    const held = Promise.withResolvers<void>();
    const locked = Promise.withResolvers<void>();
    const holding = asRelay(services, async tx => {
      await lockRecovery(tx, id);
      locked.resolve();
      await held.promise;
    });
    await locked.promise;
    const second = recover(id, since);
    // It has said when it was asked for, and waits for its turn.
    while ((await waiting(services)) === 0);
    clock.advance(SECOND);
    await run();
    t.equal(arrived().length, 20);
    held.resolve();
    await holding;
    t.equal((await second).body.to_send, 0, `what arrived after ${until.toISOString()} did so after it was asked for`);
    await run();
    t.same(arrived(), []);
  });

  await t.test('nor is what is under way sent another time', async t => {
    const held = Promise.withResolvers<{ status: number }>();
    receiver.replies.push(held.promise);
    clock.advance(SECOND);
    const from = clock.now();
    await send('referral.reviewed');
    const running = run();
    await receiver.reached(1);
    const [delivery] = await it.deliveries(id);
    t.match(await it.redeliver(delivery.id), {
      status: 409,
      body: { code: 'wrong_state', state: 'pending', allowed_actions: [] },
    });
    t.equal((await recover(id, from)).body.to_send, 1);
    held.resolve({ status: 204 });
    await running;
    await run();
    t.same(arrived(), ['referral.reviewed']);
  });
});

test('nothing is left out that is being settled as it is asked for', async t => {
  const { services, clock, run, send, arrived, recover, create, supervisor, receiver } = await start(t);
  const id = await create();
  const since = clock.now();
  for (let i = 0; i < 3; i += 1) await send('referral.message', { subject_id: newId('ref') });
  receiver.replies.push(...Array.from({ length: 3 }, () => ({ status: 500 })));
  await run();
  ok(await supervisor.post(`${PATH}/${id}/pause`));
  clock.advance(SECOND);
  // Whoever settles holds the row for a moment.
  const locked = Promise.withResolvers<void>();
  const go = Promise.withResolvers<void>();
  const settling = asRelay(services, async tx => {
    await tx.selectFrom('deliveries').select('id').orderBy('position').limit(1).forUpdate().execute();
    locked.resolve();
    await go.promise;
  });
  await locked.promise;
  const asked = recover(id, since);
  while ((await waiting(services)) === 0);
  go.resolve();
  await settling;
  t.equal((await asked).body.to_send, 3);
  arrived();
  await run();
  t.equal(arrived().length, 3);
});

test('access is looked at again when something is sent again', async t => {
  const it = await start(t);
  const { services, clock, run, recover, create, receiver, actors } = it;
  const id = await create();
  const since = clock.now();
  const { case_id, referral_id, offers } = await insertReferral(services, actors.helpline_a, [actors.health]);
  await it.send('referral.received', { subject_id: referral_id, referral_id, case_id, body: { offer_id: offers[0] } });
  await run();
  await lookAsOwner(services, 'update offers set agency_id = $1 where id = $2', [actors.civil_society.agency_id, offers[0]]);
  clock.advance(SECOND);
  ok(await recover(id, since));
  await run();
  const [known, withheld] = receiver.received.map(({ body }) => body);
  t.equal(known.type, 'referral.received');
  t.same([withheld.type, Object.keys(withheld.data)], ['event.withheld', ['event_id', 'position']]);
  t.equal(withheld.data.event_id, known.data.event_id);
  t.match((await it.deliveries(id))[0], { event_type: 'event.withheld', state: 'withheld', attempts: { length: 2 } });
});

test('events are recovered as long as they are kept; the log of deliveries is kept 30 days', async t => {
  const it = await start(t);
  const { services, clock, run, send, arrived, recover, redeliver, create } = it;
  const id = await create();
  const since = clock.now();
  await send('referral.offered');
  await send('referral.message');
  await run();
  clock.advance(20 * DAY);
  const [, first] = await it.deliveries(id);
  ok(await redeliver(first.id));
  await run();
  arrived();

  clock.advance(11 * DAY);
  while (await deleteExpired(services));
  const kept = await it.deliveries(id);
  t.same(
    kept.map((delivery: { id: string }) => delivery.id),
    [first.id],
    'one that was sent again is kept from then on',
  );
  t.match(kept[0].attempts, [{ attempt: 2, status: 204 }], 'each attempt for 30 days');

  clock.advance(58 * DAY);
  while (await deleteExpired(services));
  t.same(await it.deliveries(id), []);
  t.equal((await recover(id, since)).body.to_send, 2);
  await run();
  t.same(arrived().sort(), ['referral.message', 'referral.offered'], 'after 89 days');
  t.equal((await it.deliveries(id)).length, 2);
  while (await deleteExpired(services));
  t.equal((await it.deliveries(id)).length, 2);

  clock.advance(2 * DAY);
  while (await deleteExpired(services));
  t.match(await recover(id, since), { status: 422 });
  t.same(await it.deliveries(id), [], 'no delivery outlasts its event');
});

test('one delivery is sent again', async t => {
  const it = await start(t);
  const { services, clock, receiver, run, send, arrived, redeliver, create, supervisor } = it;
  const id = await create();
  await send('referral.offered');
  await send('referral.message');
  await run();
  arrived();
  const [last, first] = await it.deliveries(id);

  await t.test('by its agency alone', async t => {
    const call = (client: Client) => client.post(`/v1/deliveries/${first.id}/redeliver`);
    const foreign = await call(it.as('civil_society', 'supervisor'));
    t.match(foreign, { status: 404, body: { code: 'not_found' } });
    const absent = await redeliver(newId('dlv'));
    t.same({ ...absent.body, request_id: '' }, { ...foreign.body, request_id: '' });
    t.match(await call(it.as('health', 'worker')), { status: 403, body: { code: 'forbidden' } });
    t.match(await call(it.as('health', 'nobody')), { status: 400, body: { code: 'acting_caseworker_required' } });
    t.match(await call(it.as('health', 'supervisor', ['cases'])), { status: 403, body: { code: 'insufficient_scope' } });
    t.match(await redeliver('dlv_x'), { status: 400 });
    t.equal(await run(), 0);
  });

  await t.test('whatever its state, with the whole schedule before it', async t => {
    for (const state of ['pending', 'parked', 'delivered', 'withheld', 'exhausted'] as const) {
      await asRelay(services, tx =>
        tx
          .updateTable('deliveries')
          .set({
            state,
            attempts: 11,
            attempts_before: 0,
            next_attempt_at: ['pending', 'parked'].includes(state) ? new Date(clock.now().getTime() + DAY) : null,
          })
          .where('id', '=', first.id)
          .execute(),
      );
      await lookAsOwner(services, 'delete from delivery_attempts where delivery_id = $1', [first.id]);
      const asked = await redeliver(first.id);
      t.match(asked, { status: 200, body: { id: first.id, state: 'pending', delivered_at: null } }, state);
      t.equal(asked.body.next_attempt_at, clock.now().toISOString());
      receiver.replies.push({ status: 500 });
      t.equal(await run(), 1);
      t.same(arrived(), ['referral.offered']);
      t.match((await it.deliveries(id))[1], { state: 'pending', attempts: [{ attempt: 12, status: 500 }] });
      clock.advance(6 * SECOND);
      t.equal(await run(), 1);
      t.match((await it.deliveries(id))[1], { state: 'delivered', attempts: [{}, { attempt: 13, status: 204 }] });
      arrived();
    }
  });

  await t.test('also to an endpoint that is paused, and nothing else with it', async t => {
    ok(await supervisor.post(`${PATH}/${id}/pause`));
    await send('referral.reviewed');
    await relayAll(services);
    ok(await redeliver(last.id));
    t.equal(await run(), 1);
    t.same(arrived(), ['referral.message']);
  });

  await t.test('once under one key, with an entry each', async t => {
    const before = (await entriesOf(services, 'delivery.redeliver')).filter(({ outcome }) => outcome === 'done').length;
    t.equal((await redeliver(last.id, { 'idempotency-key': 'd1' })).status, 200);
    await run();
    const again = await redeliver(last.id, { 'idempotency-key': 'd1' });
    t.match(again, { status: 200, headers: { 'idempotency-replayed': 'true' }, body: { id: last.id, state: 'delivered' } });
    t.equal(await run(), 0);
    const done = (await entriesOf(services, 'delivery.redeliver')).filter(({ outcome }) => outcome === 'done');
    t.equal(done.length, before + 1);
    ok(await supervisor.del(`${PATH}/${id}`));
    t.match(await redeliver(last.id), { status: 404 }, 'not to an endpoint that is deleted');
  });
});

test('a recovery of many is a matter of few statements', async t => {
  const it = await start(t);
  const { services, clock, recover, create, supervisor } = it;
  const id = await create();
  const count = 6_000;
  const agency_id = supervisor.agency.id;
  areMadeUp(services);
  await lookAsOwner(
    services,
    `insert into events (id, agency_id, type, subject_id, urgent, reaches_always, body, occurred_at, position, sequence)
      select 'evt_' || lpad(i::text, 26, '0'), $1, 'referral.received', 'ref_' || i, false, false, '{}', $2, ${count + 1} - i, 1
      from generate_series(1, ${count}) i`,
    [agency_id, clock.now()],
  );
  await lookAsOwner(services, `insert into event_positions values ($1, ${count})`, [agency_id]);
  const { query } = pg.Client.prototype;
  let statements = 0;
  pg.Client.prototype.query = function (this: pg.Client, ...args: unknown[]) {
    statements += 1;
    return (query as (...args: unknown[]) => unknown).apply(this, args);
  } as typeof query;
  t.teardown(() => {
    pg.Client.prototype.query = query;
  });
  for (const round of ['made', 'made due']) {
    statements = 0;
    t.equal((await recover(id, clock.now())).body.to_send, count);
    t.ok(statements < 30, `${statements} statements; ${round}`);
  }
  pg.Client.prototype.query = query;
  const stop = new AbortController();
  const sending = deliver(services, it.outbound, id, { signal: stop.signal });
  await it.receiver.reached(200);
  stop.abort();
  const sent = await sending;
  t.same(
    it.receiver.received.map(({ body }) => body.data.position).sort((a, b) => a - b),
    Array.from({ length: sent }, (_, i) => i + 1),
    'none before its turn, some at once',
  );
});
