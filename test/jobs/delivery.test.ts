import { setTimeout as pause } from 'node:timers/promises';
import { sql } from 'kysely';
import { test } from 'tap';
import { OFFER_STATUSES } from '../../src/core/codes.ts';
import { EVENT_TYPES, reachesAlways } from '../../src/core/events.ts';
import { newId } from '../../src/platform/ids.ts';
import type { Outbound } from '../../src/platform/outbound.ts';
import { sealSecret } from '../../src/webhooks/keys.ts';
import { deliver, deliverDue } from '../../src/webhooks/turn.ts';
import {
  asRelay,
  emit,
  insertReferral,
  notice,
  registerEndpoint,
  relayAll,
  SECRET,
  startDelivery,
  startReceiver,
} from '../support/webhooks.ts';

const SECOND = 1_000;

test('a delivery', async t => {
  const it = await startDelivery(t);
  const { services, receiver, helpline_a, health, clock } = it;
  clock.advance(Date.now() - clock.now().getTime());
  await registerEndpoint(services, health, receiver.url);
  const referral = await insertReferral(services, helpline_a, [health]);
  const { case_id, referral_id, offers } = referral;
  await emit(
    services,
    helpline_a,
    notice([health.agency_id], {
      type: 'referral.offered',
      subject_id: referral_id,
      referral_id,
      case_id,
      body: { referral_id, offer_id: offers[0], urgency: 'routine' },
    }),
  );
  t.equal(await it.run(), 1);

  const [got] = receiver.received;
  receiver.verify(SECRET, got!);
  const { data, ...envelope } = got!.body;
  t.same(envelope, { type: 'referral.offered', timestamp: clock.now().toISOString() });
  const { event_id, ...rest } = data;
  t.match(event_id, /^evt_/);
  t.same(rest, { referral_id, offer_id: offers[0], urgency: 'routine', position: 1, sequence: 1 });
  t.equal(got!.headers['webhook-id'], event_id);
  t.equal(got!.headers['webhook-timestamp'], String(Math.floor(clock.now().getTime() / SECOND)));
  t.equal(got!.headers['content-type'], 'application/json');
  t.match(got!.headers['user-agent'], /^aman\//);

  t.match(await it.delivery(), { state: 'delivered', attempts: 1, next_attempt_at: null, claimed_until: null, last_status: 204 });
  const attempts = await asRelay(services, tx => tx.selectFrom('delivery_attempts').selectAll().execute());
  t.match(attempts, [{ attempt: 1, agency_id: health.agency_id, status: 204, error: null }]);
  t.equal(await it.run(), 0, 'is made once');
});

test('order', async t => {
  const it = await startDelivery(t);
  const { services, receiver, helpline_a, health, clock } = it;
  await registerEndpoint(services, health, receiver.url);
  const types = () => receiver.received.splice(0).map(({ body }) => body.type);
  const send = (type: Parameters<typeof notice>[1] & object, subject_id: string) =>
    emit(services, helpline_a, notice([health.agency_id], { ...type, subject_id }));

  await t.test('an event waits for the earlier one of its subject until that arrived', async t => {
    const subject = newId('ref');
    await send({ type: 'referral.offered' }, subject);
    await send({ type: 'referral.information_provided' }, subject);
    await send({ type: 'referral.message' }, newId('ref'));
    receiver.replies.push({ status: 500 }, { status: 500 });
    t.equal(await it.run(), 2);
    t.same(types().sort(), ['referral.message', 'referral.offered'], 'another subject does not wait');
    clock.advance(6 * SECOND);
    t.equal(await it.run(), 3);
    t.same(
      types().filter(type => type !== 'referral.message'),
      ['referral.offered', 'referral.information_provided'],
      'and comes after it',
    );
  });

  await t.test('until that is parked', async t => {
    const subject = newId('ref');
    await send({ type: 'referral.offered' }, subject);
    await send({ type: 'referral.message' }, subject);
    receiver.replies.push({ status: 500 }, { status: 500 });
    t.equal(await it.run(), 1);
    clock.advance(6 * SECOND);
    t.equal(await it.run(), 2);
    t.same(types(), ['referral.offered', 'referral.offered', 'referral.message']);
    clock.advance(36 * SECOND);
    await it.run();
    t.same(types(), ['referral.offered']);
  });

  await t.test('emergency, withdrawal and safety events never wait', async t => {
    const subject = newId('ref');
    await send({ type: 'referral.offered' }, subject);
    await send({ type: 'safety.changed', urgent: true }, subject);
    await send({ type: 'referral.withdrawn' }, subject);
    await send({ type: 'consent.withdrawn' }, subject);
    await send({ type: 'referral.accepted', urgent: true }, subject);
    await send({ type: 'referral.message' }, subject);
    const held = Promise.withResolvers<{ status: number }>();
    receiver.replies.push(...Array.from({ length: 5 }, () => held.promise));
    const running = it.run();
    await receiver.reached(5);
    const meanwhile = ['consent.withdrawn', 'referral.accepted', 'referral.offered', 'referral.withdrawn', 'safety.changed'];
    t.same(types().sort(), meanwhile);
    held.resolve({ status: 204 });
    t.equal(await running, 6);
    t.same(types(), ['referral.message']);
  });
});

test('a dead endpoint takes few attempts at once and holds up no other', async t => {
  const it = await startDelivery(t);
  const { services, receiver, helpline_a, health, civil_society } = it;
  const held = Promise.withResolvers<{ status: number }>();
  const held_later = Promise.withResolvers<{ status: number }>();
  const slow = await startReceiver(t);
  slow.replies.push(...Array.from({ length: 9 }, () => held.promise));
  slow.replies.push(...Array.from({ length: 40 }, () => held_later.promise));
  await registerEndpoint(services, health, slow.url);
  await registerEndpoint(services, civil_society, receiver.url);
  for (let i = 0; i < 30; i += 1) await emit(services, helpline_a, notice([health.agency_id]));
  for (let i = 0; i < 3; i += 1) await emit(services, helpline_a, notice([civil_society.agency_id]));
  await relayAll(services);

  const first = deliverDue(services, it.outbound);
  await receiver.reached(3);
  await slow.reached(8);
  t.equal(await deliverDue(services, it.outbound), 0, 'no more while eight are under way');
  await emit(services, helpline_a, notice([health.agency_id], { urgent: true }));
  await relayAll(services);
  const emergency = deliverDue(services, it.outbound);
  await slow.reached(9);
  t.equal(slow.received.length, 9, 'an emergency finds room');
  held.resolve({ status: 500 });
  const more: Promise<number>[] = [];
  while (slow.received.length < 11) {
    more.push(deliverDue(services, it.outbound));
    await pause(50);
  }
  t.equal(await deliverDue(services, it.outbound), 0, 'two at once while it fails');
  t.equal(slow.received.length, 11);
  held_later.resolve({ status: 500 });
  await Promise.all([first, emergency, ...more]);
});

test('a process that dies between sending and settling', async t => {
  const it = await startDelivery(t);
  const { services, receiver, helpline_a, health } = it;
  await registerEndpoint(services, health, receiver.url);
  await emit(services, helpline_a, notice([health.agency_id]));
  await relayAll(services);
  const { id, endpoint_id } = await it.delivery();
  const dying: Outbound = {
    ...it.outbound,
    async post(url, message) {
      await it.outbound.post(url, message);
      throw new Error('killed');
    },
  };
  await t.rejects(deliver(services, dying, endpoint_id), { message: 'killed' });
  t.equal(await it.run(), 0, 'the claim holds');
  await asRelay(services, tx =>
    tx.updateTable('deliveries').set({ claimed_until: sql`now() - interval '1 second'` }).where('id', '=', id).execute(),
  );
  t.equal(await it.run(), 1, 'until it runs out');
  const ids = receiver.received.map(({ headers }) => headers['webhook-id']);
  t.equal(ids.length, 2);
  t.equal(new Set(ids).size, 1, 'the same webhook-id again');
  t.match(await it.delivery(), { state: 'delivered', attempts: 1 });
});

test('attempts whose claim ran out are settled once', async t => {
  const it = await startDelivery(t);
  const { services, receiver, helpline_a, health } = it;
  await registerEndpoint(services, health, receiver.url);
  await emit(services, helpline_a, notice([health.agency_id]));
  await relayAll(services);
  const { endpoint_id } = await it.delivery();
  const held = Promise.withResolvers<{ status: number }>();
  receiver.replies.push(held.promise, { status: 204 });
  const first = deliver(services, it.outbound, endpoint_id);
  await receiver.reached(1);
  t.equal(await deliver(services, it.outbound, endpoint_id), 0, 'claimed by one');
  await asRelay(services, async tx => {
    await tx.updateTable('deliveries').set({ claimed_until: null }).execute();
    await tx.updateTable('webhook_endpoints').set({ turn_until: sql`now()` }).execute();
  });
  t.equal(await deliver(services, it.outbound, endpoint_id), 1);
  held.resolve({ status: 500 });
  await first;
  t.match(await it.delivery(), { state: 'delivered', attempts: 1 });
});

test('access is looked at again', async t => {
  const it = await startDelivery(t);
  const { services, receiver, helpline_a, helpline_b, health, civil_society, committee, prosecution } = it;
  for (const actor of [helpline_a, helpline_b, health, civil_society, committee, prosecution]) {
    await registerEndpoint(services, actor, `${receiver.url}?${actor.agency_id}`);
  }
  const { case_id, referral_id, offers } = await insertReferral(services, helpline_a, [health, civil_society]);
  const tell = async (
    to: { agency_id: string },
    type: 'referral.accepted' | 'referral.cancelled' | 'case.stage_changed',
    offer_id?: string,
  ) => {
    const of_case = type === 'case.stage_changed';
    await emit(
      services,
      helpline_a,
      notice([to.agency_id], {
        type,
        subject_id: of_case ? case_id : referral_id,
        referral_id: of_case ? null : referral_id,
        case_id,
        body: { ...(of_case ? { case_id } : { referral_id }), ...(offer_id ? { offer_id } : {}) },
      }),
    );
    await it.run();
    return receiver.received.at(-1)!;
  };

  for (const [name, actor] of Object.entries({ owner: helpline_a, coordinator: committee })) {
    t.equal((await tell(actor, 'referral.accepted', offers[0])).body.type, 'referral.accepted', `the ${name} may know`);
    t.equal((await tell(actor, 'case.stage_changed')).body.type, 'case.stage_changed');
  }
  t.equal((await tell(health, 'referral.accepted', offers[0])).body.type, 'referral.accepted', 'a receiver, of its own offer');
  t.equal((await tell(health, 'case.stage_changed')).body.type, 'case.stage_changed');

  const withheld = await tell(health, 'referral.accepted', offers[1]);
  const { event_id, position, ...more } = withheld.body.data;
  t.same([withheld.body.type, more], ['event.withheld', {}], "of another agency's offer, id and position only");
  t.equal(withheld.headers['webhook-id'], event_id);
  t.equal(position, 3);
  t.equal((await it.delivery()).state, 'withheld');

  t.equal((await tell(helpline_b, 'referral.accepted')).body.type, 'event.withheld', 'who is no party');
  t.equal((await tell(prosecution, 'case.stage_changed')).body.type, 'event.withheld');
  t.equal((await tell(helpline_b, 'referral.cancelled')).body.type, 'referral.cancelled', 'what ends a duty always arrives');
});

test('of every type, whoever may know nothing is told what ends or changes its duties, and of the rest that there was something', async t => {
  const it = await startDelivery(t);
  const { services, receiver, helpline_a, helpline_b } = it;
  await registerEndpoint(services, helpline_b, receiver.url);
  const { case_id, referral_id } = await insertReferral(services, helpline_a, []);
  for (const type of EVENT_TYPES) {
    const about = { type, subject_id: newId('ref'), referral_id, case_id, body: { referral_id } };
    await emit(services, helpline_a, notice([helpline_b.agency_id], about));
  }
  // The test of an endpoint goes to that endpoint alone.
  t.equal(await it.run(), EVENT_TYPES.length - 1);
  const told = new Map(receiver.received.map(({ body }) => [body.data.position, body]));
  for (const [i, type] of EVENT_TYPES.entries()) {
    if (type === 'endpoint.test') continue;
    const { event_id, position, ...more } = told.get(i + 1).data;
    t.match([event_id, position], [/^evt_/, i + 1]);
    if (reachesAlways(type)) t.match([told.get(i + 1).type, more], [type, { referral_id, sequence: 1 }], type);
    else t.same([told.get(i + 1).type, more], ['event.withheld', {}], type);
  }
});

test('a message reaches the receiver only while its offer is taken', async t => {
  const it = await startDelivery(t);
  const { services, receiver, helpline_a, health, committee } = it;
  await registerEndpoint(services, health, receiver.url);
  await registerEndpoint(services, helpline_a, `${receiver.url}?sender`);
  for (const status of OFFER_STATUSES) {
    const { case_id, referral_id, offers } = await insertReferral(services, helpline_a, [{ ...health, status }]);
    const taken = status === 'accepted' || status === 'in_progress';
    for (const body of [{ referral_id, offer_id: offers[0] }, { referral_id }]) {
      const about = { type: 'referral.message', subject_id: referral_id, referral_id, case_id, body } as const;
      await emit(services, helpline_a, notice([health.agency_id, helpline_a.agency_id, committee.agency_id], about));
      await it.run();
      const [to_sender, to_receiver] = receiver.received.splice(0).sort((a, b) => b.path.length - a.path.length);
      t.equal(to_receiver!.body.type, taken ? 'referral.message' : 'event.withheld', status);
      t.equal(to_sender!.body.type, 'referral.message');
    }
  }
});

test('an address that may not be connected to', async t => {
  const it = await startDelivery(t, { production: true, lookup: async () => ['10.0.0.7'] });
  const { services, helpline_a, health, receiver } = it;
  await registerEndpoint(services, health, 'https://rebound.example.org/hook');
  await registerEndpoint(services, health, receiver.url);
  await emit(services, helpline_a, notice([health.agency_id]));
  t.equal(await it.run(), 2);
  const attempts = await asRelay(services, tx => tx.selectFrom('delivery_attempts').select(['status', 'error']).execute());
  t.same(
    attempts,
    Array.from({ length: 2 }, () => ({ status: null, error: 'address_refused' })),
  );
  t.same(receiver.received, []);
});

test('during a rotation both secrets sign', async t => {
  const it = await startDelivery(t);
  const { services, receiver, helpline_a, health, clock } = it;
  clock.advance(Date.now() - clock.now().getTime());
  const id = await registerEndpoint(services, health, receiver.url);
  const old = `whsec_${Buffer.alloc(24, 9).toString('base64')}`;
  await asRelay(services, tx =>
    tx
      .updateTable('webhook_endpoints')
      .set({
        previous_secret: sealSecret(services.vault, id, old),
        previous_secret_until: new Date(clock.now().getTime() + SECOND),
      })
      .execute(),
  );
  await emit(services, helpline_a, notice([health.agency_id]));
  await it.run();
  const [during] = receiver.received;
  receiver.verify(SECRET, during!);
  receiver.verify(old, during!);
  clock.advance(2 * SECOND);
  await emit(services, helpline_a, notice([health.agency_id]));
  await it.run();
  const [, later] = receiver.received;
  receiver.verify(SECRET, later!);
  t.throws(() => receiver.verify(old, later!));
});
