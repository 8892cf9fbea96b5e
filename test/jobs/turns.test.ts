import { setTimeout as pause } from 'node:timers/promises';
import { type Test, test } from 'tap';
import type { AgencyActor } from '../../src/core/access.ts';
import { newId } from '../../src/platform/ids.ts';
import { deliver, deliverDue } from '../../src/webhooks/turn.ts';
import { lookAsOwner } from '../support/trail.ts';
import { asRelay, emit, notice, registerEndpoint, relayAll, startDelivery } from '../support/webhooks.ts';

/** A turn at an endpoint: much at a time, in order, at a bounded rate, and by one at a time. */

async function start(t: Test) {
  const it = await startDelivery(t);
  const { services, receiver, helpline_a, health } = it;
  const endpoint_id = await registerEndpoint(services, health, receiver.url);
  const send = (subject_id: string, more: Parameters<typeof notice>[1] = {}) =>
    emit(services, helpline_a, notice([health.agency_id], { ...more, subject_id }));
  /** Many events in one act: what is asked here is what becomes of them. */
  const sendMany = (subjects: readonly string[], count: number) =>
    emit(
      services,
      helpline_a,
      ...Array.from({ length: count }, (_, i) => notice([health.agency_id], { subject_id: subjects[i % subjects.length]! })),
    );
  const states = () =>
    asRelay(services, async tx => {
      const rows = await tx.selectFrom('deliveries').select(['state', 'claimed_until', 'attempts']).execute();
      return rows.map(({ state, claimed_until, attempts }) => `${state} ${attempts}${claimed_until ? ' claimed' : ''}`);
    });
  /** Sequences as they came, by subject; the positions say whose they are. */
  const cameInOrder = async () => {
    const deliveries = await asRelay(services, tx =>
      tx.selectFrom('deliveries').select(['event_id', 'subject_id', 'sequence']).execute(),
    );
    const of = new Map(deliveries.map(row => [row.event_id, row]));
    const last = new Map<string, number>();
    return receiver.received.every(({ headers }) => {
      const { subject_id, sequence } = of.get(headers['webhook-id'] as string)!;
      const follows = sequence === (last.get(subject_id) ?? 0) + 1;
      last.set(subject_id, sequence);
      return follows;
    });
  };
  return { ...it, endpoint_id, send, sendMany, states, cameInOrder };
}

test('keeps the order within each subject, whatever it claims together', async t => {
  const { run, sendMany, receiver, cameInOrder } = await start(t);
  const subjects = [newId('ref'), newId('ref'), newId('ref')];
  await sendMany(subjects, 150);
  t.equal(await run(), 150, 'in one turn');
  t.equal(receiver.received.length, 150);
  t.ok(await cameInOrder());
});

test('goes on with one subject only where what came before it has arrived', async t => {
  const { run, sendMany, receiver, cameInOrder, clock, states } = await start(t);
  const subject = newId('ref');
  await sendMany([subject], 12);
  receiver.replies.push({ status: 204 }, { status: 204 }, { status: 500 });
  t.equal(await run(), 3, 'the third failed');
  t.same(
    (await states()).sort(),
    [...Array.from({ length: 2 }, () => 'delivered 1'), 'pending 1', ...Array.from({ length: 9 }, () => 'pending 0')].sort(),
    'what waited for it is given back at once',
  );
  receiver.received.pop();
  clock.advance(6_000);
  t.equal(await run(), 10);
  t.ok(await cameInOrder());
});

test('where what came before it is parked, the rest goes on, also within a turn', async t => {
  const { run, sendMany, receiver, clock } = await start(t);
  await sendMany([newId('ref')], 5);
  receiver.replies.push({ status: 500 }, { status: 500 });
  t.equal(await run(), 1);
  clock.advance(6_000);
  t.equal(await run(), 5);
  t.same(
    receiver.received.map(({ body }) => body.data.sequence),
    [1, 1, 2, 3, 4, 5],
  );
});

test('sends no more in a second than the endpoint takes; emergencies are not held up', async t => {
  const { run, services, outbound, sendMany, send, receiver, endpoint_id } = await start(t);
  await asRelay(services, tx => tx.updateTable('webhook_endpoints').set({ max_per_second: 10 }).execute());
  await sendMany([newId('ref'), newId('ref')], 25);
  const arrivals: { at: number; urgent: boolean }[] = [];
  receiver.onArrival = ({ body }) => void arrivals.push({ at: performance.now(), urgent: body.type === 'safety.changed' });
  const running = run();
  await receiver.reached(10);
  await send(newId('ref'), { type: 'safety.changed', urgent: true });
  await relayAll(services);
  const others = deliver(services, outbound, endpoint_id);
  t.equal((await running) + (await others), 26);
  const urgent = arrivals.findIndex(({ urgent }) => urgent);
  t.ok(urgent < 25, 'it does not wait for the others');
  const ordinary = arrivals.filter(({ urgent }) => !urgent).map(({ at }) => at);
  // Ten at once, and fifteen at ten a second.
  t.ok(ordinary.at(-1)! - ordinary[0]! >= 1_200, 'at its rate');
});

test('is of one at a time, and passes on', async t => {
  const { services, outbound, endpoint_id, send, receiver, run } = await start(t);
  const held = Promise.withResolvers<{ status: number }>();
  receiver.replies.push(held.promise);
  await send(newId('ref'));
  const first = run();
  await receiver.reached(1);
  await send(newId('ref'));
  await relayAll(services);
  t.equal(await deliver(services, outbound, endpoint_id), 0, 'somebody else is at it');
  held.resolve({ status: 204 });
  t.equal(await first, 2, 'and takes what came meanwhile');
  const [row] = await lookAsOwner<{ turn_of: string | null }>(services, 'select turn_of from webhook_endpoints');
  t.equal(row!.turn_of, null);
  await send(newId('ref'));
  t.equal(await run(), 1, 'by somebody else');
});

test('ends with its process, and gives back what it has not begun', async t => {
  const { services, outbound, endpoint_id, sendMany, receiver, run, states } = await start(t);
  await sendMany([newId('ref')], 6);
  await relayAll(services);
  const held = Promise.withResolvers<{ status: number }>();
  receiver.replies.push(held.promise);
  const stopping = new AbortController();
  const turn = deliver(services, outbound, endpoint_id, { signal: stopping.signal });
  await receiver.reached(1);
  stopping.abort();
  held.resolve({ status: 204 });
  t.equal(await turn, 1, 'what was under way is settled');
  t.same((await states()).sort(), ['delivered 1', ...Array.from({ length: 5 }, () => 'pending 0')]);
  t.equal(await run(), 5, 'and nobody waits for a lease');
});

test('gives back what could not begin soon, and sends it once', async t => {
  const { sendMany, receiver, run, states } = await start(t);
  await sendMany(
    Array.from({ length: 60 }, () => newId('ref')),
    60,
  );
  let came = 0;
  const held = Promise.withResolvers<{ status: number }>();
  receiver.onArrival = () => {
    came += 1;
    // By now it claims more than it sends at once.
    if (came === 20) receiver.replies.push(...Array.from({ length: 40 }, () => held.promise));
  };
  const running = run();
  await receiver.reached(27);
  await pause(1_100);
  held.resolve({ status: 204 });
  t.equal(await running, 60);
  t.equal(new Set(receiver.received.map(({ headers }) => headers['webhook-id'])).size, receiver.received.length, 'each once');
  t.same([...new Set(await states())], ['delivered 1']);
});

test('what arrived is settled together', async t => {
  const settling = async (t: Test) => {
    const it = await start(t);
    const subjects = Array.from({ length: 8 }, () => newId('ref'));
    await it.sendMany(subjects, 8);
    await relayAll(it.services);
    const [one] = await asRelay(it.services, tx => tx.selectFrom('deliveries').select('id').orderBy('id').execute());
    return { ...it, one: one!.id };
  };

  await t.test('but for what somebody holds, which nobody else waits for', async t => {
    const { services, outbound, endpoint_id, receiver, states, one } = await settling(t);
    const replies = Promise.withResolvers<{ status: number }>();
    receiver.replies.push(...Array.from({ length: 8 }, () => replies.promise));
    const turn = deliver(services, outbound, endpoint_id);
    await receiver.reached(8);
    const release = Promise.withResolvers<void>();
    const locked = Promise.withResolvers<void>();
    const holding = asRelay(services, async tx => {
      await tx.selectFrom('deliveries').select('id').where('id', '=', one).forUpdate().execute();
      locked.resolve();
      await release.promise;
    });
    await locked.promise;
    replies.resolve({ status: 204 });
    const settled = async () => (await states()).filter(state => state === 'delivered 1').length;
    while ((await settled()) < 7) await pause(20);
    release.resolve();
    await holding;
    t.equal(await turn, 8);
    t.equal(await settled(), 8);
  });

  await t.test('and what cannot be settled keeps nobody else from it', async t => {
    const { services, outbound, endpoint_id, states, one } = await settling(t);
    await lookAsOwner(
      services,
      `create function refuse() returns trigger language plpgsql as $$ begin
         if new.id = '${one}' and new.state = 'delivered' then raise exception 'refused'; end if; return new; end $$`,
    );
    await lookAsOwner(services, 'create trigger refuse before update on deliveries for each row execute function refuse()');
    await t.rejects(deliver(services, outbound, endpoint_id), /refused/);
    t.same((await states()).sort(), [...Array.from({ length: 7 }, () => 'delivered 1'), 'pending 0 claimed'].sort());
  });

  await t.test('with an entry for each, under its receipt', async t => {
    const { services, outbound } = await settling(t);
    t.equal(await deliverDue(services, outbound), 8);
    const entries = await lookAsOwner<{ count: number }>(
      services,
      `select count(*)::int as count from audit_records where action = 'delivery.attempt' and outcome = 'done'`,
    );
    t.equal(entries[0]!.count, 8);
    const attempts = await asRelay(services, tx => tx.selectFrom('delivery_attempts').selectAll().execute());
    t.equal(attempts.length, 8);
  });
});

test('an endpoint says how much it takes in a second', async t => {
  const { services, health } = await startDelivery(t);
  const actor: AgencyActor = { ...health, caseworker: { id: newId('cwk'), staff_code: 'S-1', roles: ['supervisor'] } };
  const { createWebhookEndpoint, updateWebhookEndpoint } = await import('../../src/webhooks/commands.ts');
  const body = { url: 'https://receiver.example.org/hook', event_types: ['*' as const] };
  const { view } = await createWebhookEndpoint(services, actor, body);
  t.equal(view.max_per_second, 500);
  const patched = { ...actor, request: { ...actor.request, if_match: [view.version] } };
  t.equal((await updateWebhookEndpoint(services, patched, view.id, { max_per_second: 7 })).view.max_per_second, 7);
});
