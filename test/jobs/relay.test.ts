import { setTimeout as pause } from 'node:timers/promises';
import { sql } from 'kysely';
import { test } from 'tap';
import { systemActor } from '../../src/core/access.ts';
import { transact } from '../../src/platform/database.ts';
import { newId } from '../../src/platform/ids.ts';
import { AT_ONCE } from '../../src/webhooks/claim-store.ts';
import { startWebhookJobs } from '../../src/webhooks/jobs.ts';
import { relayEvents, sweepDeliveries } from '../../src/webhooks/relay.ts';
import { deleteExpired, wipeExpiredSecrets } from '../../src/webhooks/retention.ts';
import { openTestServices } from '../support/app.ts';
import { insideQueue } from '../support/queue.ts';
import { asRelay, demoActors, emit, notice, registerEndpoint, relayAll, startReceiver } from '../support/webhooks.ts';

const DAY_MS = 86_400_000;
const NOWHERE = 'http://127.0.0.1:9/hook';

test('numbers', async t => {
  const { services } = await openTestServices(t);
  const { helpline_a, health } = await demoActors(services);
  const events = (agency_id: string) =>
    asRelay(services, tx => tx.selectFrom('events').selectAll().where('agency_id', '=', agency_id).orderBy('number').execute());

  await t.test('are gapless per recipient, and per recipient and subject, however many relays run', async t => {
    const subjects = [newId('ref'), newId('ref'), newId('ref')];
    const acts = Array.from({ length: 400 }, (_, i) =>
      notice(i % 3 === 0 ? [health.agency_id] : [helpline_a.agency_id, health.agency_id], { subject_id: subjects[i % 3]! }),
    );
    // With the relays, as many at once as there are connections: on a slow machine, more would wait for too long.
    const left = acts.values();
    const acting = Promise.all(
      Array.from({ length: 16 }, async () => {
        for (const act of left) await emit(services, helpline_a, act);
      }),
    );
    let done = false;
    void acting.finally(() => {
      done = true;
    });
    const relay = async () => {
      while (!done) await relayEvents(services);
    };
    await Promise.all([relay(), relay(), relay(), relay()]);
    await acting;
    await relayAll(services);

    for (const { agency_id } of [helpline_a, health]) {
      const told = await events(agency_id);
      t.same(
        told.map(event => event.position).sort((a, b) => a! - b!),
        told.map((_, i) => i + 1),
        'positions have no gap',
      );
      for (const subject of subjects) {
        const of_subject = told.filter(event => event.subject_id === subject);
        t.same(
          of_subject.map(event => event.sequence).sort((a, b) => a! - b!),
          of_subject.map((_, i) => i + 1),
          'sequences have no gap',
        );
      }
    }
  });

  await t.test('follow the order of the acts', async t => {
    const subject_id = newId('ref');
    for (const type of ['referral.offered', 'referral.received', 'referral.accepted'] as const) {
      await emit(services, helpline_a, notice([health.agency_id], { subject_id, type }));
    }
    await Promise.all([1, 2, 3, 4].map(() => relayEvents(services)));
    const told = (await events(health.agency_id)).filter(event => event.subject_id === subject_id);
    t.same(
      told.map(({ type, sequence }) => [type, sequence]),
      [
        ['referral.offered', 1],
        ['referral.received', 2],
        ['referral.accepted', 3],
      ],
    );
    t.same(
      told.map(event => event.position! - told[0]!.position!),
      [0, 1, 2],
    );
  });

  await t.test('are given to nothing that did not commit', async t => {
    const before = await asRelay(services, tx => tx.selectFrom('event_positions').selectAll().orderBy('agency_id').execute());
    await t.rejects(
      transact(services, helpline_a, async tx => {
        await sql`insert into events (id, agency_id, type, subject_id, urgent, reaches_always, body, occurred_at)
          values ('evt_x', ${health.agency_id}, 'referral.offered', 'ref_x', false, false, '{}', now())`.execute(tx);
        throw new Error('undone');
      }),
      { message: 'undone' },
    );
    t.equal(await relayEvents(services), false);
    t.same(await asRelay(services, tx => tx.selectFrom('event_positions').selectAll().orderBy('agency_id').execute()), before);
  });
});

test('deliveries', async t => {
  const { services, clock } = await openTestServices(t);
  const { helpline_a, health, civil_society } = await demoActors(services);
  const all = await registerEndpoint(services, health, NOWHERE);
  const some = await registerEndpoint(services, health, NOWHERE, ['referral.accepted', 'safety.changed']);
  const paused = await registerEndpoint(services, health, NOWHERE);
  const disabled = await registerEndpoint(services, health, NOWHERE);
  const deleted = await registerEndpoint(services, health, NOWHERE);
  await registerEndpoint(services, civil_society, NOWHERE);
  await asRelay(services, async tx => {
    await tx.updateTable('webhook_endpoints').set({ status: 'paused' }).where('id', '=', paused).execute();
    await tx.updateTable('webhook_endpoints').set({ status: 'disabled' }).where('id', '=', disabled).execute();
    await tx.updateTable('webhook_endpoints').set({ deleted_at: clock.now() }).where('id', '=', deleted).execute();
  });
  const deliveries = () =>
    asRelay(services, tx =>
      tx.selectFrom('deliveries').select(['endpoint_id', 'event_type', 'waits', 'state']).orderBy('id').execute(),
    );

  await t.test('go to the endpoints of the recipient that asked for the type and are not off', async t => {
    await emit(services, helpline_a, notice([health.agency_id], { type: 'referral.offered' }));
    await emit(services, helpline_a, notice([health.agency_id], { type: 'referral.accepted' }));
    await emit(services, helpline_a, notice([health.agency_id], { type: 'safety.changed', urgent: true }));
    await relayAll(services);
    const made = (await deliveries()).map(({ endpoint_id, event_type, waits }) => `${endpoint_id} ${event_type} ${waits}`).sort();
    const expected = [
      ...[all, paused].flatMap(id => [
        `${id} referral.offered true`,
        `${id} referral.accepted true`,
        `${id} safety.changed false`,
      ]),
      `${some} referral.accepted true`,
      `${some} safety.changed false`,
    ];
    t.same(made, expected.sort());
  });

  await t.test('of a test go to the endpoint that is tested alone, whatever it asked for', async t => {
    await emit(services, health, notice([health.agency_id], { type: 'endpoint.test', subject_id: some }));
    await relayAll(services);
    t.same(
      (await deliveries()).filter(({ event_type }) => event_type === 'endpoint.test').map(({ endpoint_id }) => endpoint_id),
      [some],
    );
  });

  await t.test('and events are kept 30 and 90 days; what may still be sent stays as long as its event', async t => {
    await asRelay(services, tx =>
      tx.updateTable('deliveries').set({ state: 'delivered', next_attempt_at: null }).where('endpoint_id', '=', all).execute(),
    );
    clock.advance(31 * DAY_MS);
    await transact(services, health, tx =>
      tx
        .insertInto('idempotency_keys')
        .values({
          client_id: health.client_id,
          key: 'k',
          agency_id: health.agency_id,
          fingerprint: Buffer.of(1),
          resource_id: 'x',
          holds_secret: false,
          created_at: new Date(clock.now().getTime() - 2 * DAY_MS),
        })
        .execute(),
    );
    t.equal(await deleteExpired(services), false);
    t.same([...new Set((await deliveries()).map(({ endpoint_id }) => endpoint_id))].sort(), [some, paused].sort());
    const keys = () => transact(services, health, tx => tx.selectFrom('idempotency_keys').select('key').execute());
    t.equal((await keys()).length, 1);
    clock.advance(60 * DAY_MS);
    await deleteExpired(services);
    t.same(await deliveries(), []);
    t.same(await keys(), []);
    t.same(await asRelay(services, tx => tx.selectFrom('events').select('id').execute()), []);
  });
});

test('deliveries and attempts are written by the relay alone', async t => {
  const { services, clock } = await openTestServices(t);
  const { helpline_a, health } = await demoActors(services);
  await registerEndpoint(services, health, NOWHERE);
  await emit(services, helpline_a, notice([health.agency_id]));
  await relayAll(services);
  await asRelay(services, tx =>
    sql`insert into delivery_attempts (delivery_id, attempt, agency_id, started_at, duration_ms)
      select id, 1, agency_id, ${clock.now()}::timestamptz, 1 from deliveries`.execute(tx),
  );
  const REFUSED = { code: '42501' };
  for (const actor of [health, systemActor('router'), systemActor('clock'), systemActor('setup')]) {
    const as = (statement: string) => transact(services, actor, tx => sql.raw(statement).execute(tx));
    for (const table of ['deliveries', 'delivery_attempts']) {
      const { numAffectedRows } = await as(`delete from ${table}`);
      t.equal(numAffectedRows, 0n, `no ${table} are deleted`);
    }
    t.equal((await as(`update deliveries set state = 'delivered'`)).numAffectedRows, 0n);
    await t.rejects(as('update delivery_attempts set status = 200'), REFUSED);
    const values = `select 'dlv_' || n, endpoint_id, agency_id, event_number, event_id, event_type, subject_id, 1, false, false, 'pending', now()
      from deliveries, generate_series(1, 1) n`;
    const columns =
      'id, endpoint_id, agency_id, event_number, event_id, event_type, subject_id, sequence, urgent, waits, state, created_at';
    if (actor === health) await t.rejects(as(`insert into deliveries (${columns}) ${values}`), REFUSED);
    await t.rejects(
      as(`insert into delivery_attempts (delivery_id, attempt, agency_id, started_at, duration_ms)
        values ('dlv_x', 2, '${health.agency_id}', now(), 1)`),
      REFUSED,
    );
  }
  const rows = await transact(services, health, tx => tx.selectFrom('deliveries').select('state').execute());
  t.same(rows, [{ state: 'pending' }], 'which its agency may read');
  await t.rejects(
    asRelay(services, tx => sql`update delivery_attempts set status = 200`.execute(tx)),
    REFUSED,
    'none alters one',
  );
  const twice = sql`insert into deliveries (id, endpoint_id, agency_id, event_number, event_id, event_type, subject_id, sequence, urgent,
    waits, state, created_at) select 'dlv_2', endpoint_id, agency_id, event_number, event_id, event_type, subject_id, 1, false, false,
    'pending', now() from deliveries`;
  await t.rejects(
    asRelay(services, tx => twice.execute(tx)),
    { code: '23505' },
    'there is one per endpoint and event',
  );
});

test('the queue', async t => {
  const { services } = await openTestServices(t);
  const { helpline_a, health } = await demoActors(services);
  const receiver = await startReceiver(t);
  await registerEndpoint(services, health, receiver.url);
  const inside = insideQueue(services);

  await emit(services, helpline_a, notice([health.agency_id]));
  await relayAll(services);
  const [delivery] = await asRelay(services, tx => tx.selectFrom('deliveries').selectAll().execute());
  t.same(await inside.jobs(), [{ id: `${delivery!.id}-1`, data: { subject_id: delivery!.endpoint_id } }], 'holds ids only');
  await sweepDeliveries(services);
  t.equal((await inside.jobs()).length, 1, 'holds an attempt once');

  await inside.wipe();
  await sweepDeliveries(services);
  t.equal((await inside.jobs()).length, 1, 'is put back by the sweep when it was wiped');

  const jobs = startWebhookJobs(services);
  t.teardown(() => jobs.stop());
  await receiver.reached(1);
  await emit(services, helpline_a, notice([health.agency_id]));
  services.wake_up.notify();
  await receiver.reached(2);
  await jobs.stop();
  t.same(await inside.jobs(), [], 'leaves nothing behind');
  t.same(await transact(services, systemActor('relay'), tx => tx.selectFrom('deliveries').select('state').execute()), [
    { state: 'delivered' },
    { state: 'delivered' },
  ]);
});

test('a queue that loses its connections loses no delivery', async t => {
  const { services } = await openTestServices(t);
  const { helpline_a, health } = await demoActors(services);
  const receiver = await startReceiver(t);
  await registerEndpoint(services, health, receiver.url);
  const jobs = startWebhookJobs(services);
  t.teardown(() => jobs.stop());
  await emit(services, helpline_a, notice([health.agency_id]));
  await receiver.reached(1);

  for (let i = 2; i <= 6; i += 1) {
    await emit(services, helpline_a, notice([health.agency_id]));
    await insideQueue(services).breakConnections();
    services.wake_up.notify();
  }
  await receiver.reached(6);
  t.equal(new Set(receiver.received.map(({ headers }) => headers['webhook-id'])).size, 6);
});

test('however many endpoints of one agency hang, nobody else waits, nor do its own emergencies', async t => {
  const { services } = await openTestServices(t);
  const { helpline_a, health, civil_society } = await demoActors(services);
  const receiver = await startReceiver(t);
  for (let i = 0; i < 8; i += 1) await registerEndpoint(services, health, `${receiver.url}?health`);
  await registerEndpoint(services, civil_society, `${receiver.url}?other`);
  const hanging = 8 * AT_ONCE.ordinary;
  const held = Promise.withResolvers<{ status: number }>();
  receiver.replies.push(...Array.from({ length: hanging }, () => held.promise));
  for (let i = 0; i < 12; i += 1) await emit(services, helpline_a, notice([health.agency_id]));

  const jobs = startWebhookJobs(services);
  t.teardown(() => jobs.stop());
  await receiver.reached(hanging);
  await pause(1_500);
  t.equal(receiver.received.length, hanging, 'no more of 96 that are due, sweep or not');
  await emit(services, helpline_a, notice([civil_society.agency_id]));
  await receiver.reached(hanging + 1);
  t.match(receiver.received.at(-1)!.path, /other/, 'another agency, on the same origin, does not wait');
  await emit(services, helpline_a, notice([health.agency_id], { type: 'safety.changed', urgent: true }));
  await receiver.reached(hanging + 9);
  t.same([...new Set(receiver.received.slice(hanging + 1).map(({ body }) => body.type))], ['safety.changed']);
  held.resolve({ status: 204 });
  await receiver.reached(96 + 9);
});

test('secrets that sign no longer are wiped', async t => {
  const { services, clock } = await openTestServices(t);
  const { health } = await demoActors(services);
  const ids = [await registerEndpoint(services, health, NOWHERE), await registerEndpoint(services, health, NOWHERE)];
  await asRelay(services, async tx => {
    for (const [i, id] of ids.entries()) {
      const previous_secret_until = new Date(clock.now().getTime() + i);
      await tx
        .updateTable('webhook_endpoints')
        .set({ previous_secret: Buffer.of(1), previous_secret_until })
        .where('id', '=', id)
        .execute();
    }
  });
  await wipeExpiredSecrets(services);
  const rows = await asRelay(services, tx =>
    tx.selectFrom('webhook_endpoints').select(['previous_secret', 'previous_secret_until']).orderBy('id').execute(),
  );
  t.same(rows[0], { previous_secret: null, previous_secret_until: null });
  t.same(rows[1]!.previous_secret, Buffer.of(1));
});
