import { test } from 'tap';
import { transact } from '../../src/platform/database.ts';
import { deliverDue } from '../../src/webhooks/turn.ts';
import { sequencerOf } from '../support/app.ts';
import { asRelay, emit, insertReferral, notice, registerEndpoint, relayAll, startDelivery } from '../support/webhooks.ts';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

test('retries', async t => {
  const it = await startDelivery(t);
  const { services, receiver, helpline_a, health, clock } = it;
  const id = await registerEndpoint(services, health, receiver.url);
  const after = async () => {
    const { state, next_attempt_at } = await it.delivery();
    return { state, ms: next_attempt_at ? next_attempt_at.getTime() - clock.now().getTime() : null };
  };
  const to_next = async () => clock.advance((await after()).ms!);

  await t.test('follow the schedule, parked after two, until it is exhausted; the endpoint is disabled after 72 h', async t => {
    await emit(services, helpline_a, notice([health.agency_id]));
    const delays = [
      5 * SECOND,
      30 * SECOND,
      2 * MINUTE,
      10 * MINUTE,
      30 * MINUTE,
      2 * HOUR,
      6 * HOUR,
      14 * HOUR,
      24 * HOUR,
      30 * HOUR,
    ];
    const ids = new Set<unknown>();
    for (const [i, delay] of delays.entries()) {
      receiver.replies.push({ status: 500 });
      t.equal(await it.run(), 1);
      ids.add(receiver.received.at(-1)!.headers['webhook-id']);
      const { state, ms } = await after();
      t.equal(state, i === 0 ? 'pending' : 'parked');
      t.ok(ms! >= delay && ms! <= delay * 1.2, `attempt ${i + 2} follows after ${delay} ms`);
      clock.advance(ms! - 1);
      t.equal(await it.run(), 0, 'not before');
      clock.advance(1);
    }
    t.equal(ids.size, 1, 'always with the same webhook-id');
    t.equal((await it.endpoint(id)).status, 'active');
    receiver.replies.push({ status: 500 });
    t.equal(await it.run(), 1);
    t.same(await after(), { state: 'exhausted', ms: null });
    t.equal((await it.endpoint(id)).status, 'disabled');
    const told = await asRelay(services, tx =>
      tx.selectFrom('events').select(['agency_id', 'body']).where('type', '=', 'endpoint.disabled').execute(),
    );
    const committee = it.committee.agency_id;
    const body = { agency_id: health.agency_id, endpoint_id: id, status: 'disabled' };
    t.same(
      new Map(told.map(({ agency_id, body }) => [agency_id, body])),
      new Map([
        [health.agency_id, { ...body, notify: { roles: ['supervisor'] } }],
        [committee, { ...body, notify: { roles: ['coordinator'] } }],
      ]),
    );
    t.equal(told.length, 2);
  });

  await t.test('are told in the trail, under the case', async t => {
    t.equal(await it.run(), 0, 'nothing goes to an endpoint that is disabled');
    await asRelay(services, tx => tx.updateTable('webhook_endpoints').set({ status: 'active', failing_since: null }).execute());
    const { referral_id, case_id } = await insertReferral(services, helpline_a, [health]);
    await emit(services, helpline_a, notice([health.agency_id], { subject_id: referral_id, referral_id, case_id }));
    receiver.replies.push({ status: 418 });
    await it.run();
    await to_next();
    await it.run();
    await sequencerOf(t, services)();
    const rows = await transact(services, it.audit_body, tx =>
      tx
        .selectFrom('audit_log')
        .innerJoin('audit_subjects', 'audit_subjects.entry_id', 'audit_log.entry_id')
        .innerJoin('audit_subject_referrals', 'audit_subject_referrals.entry_id', 'audit_log.entry_id')
        .select(['outcome', 'code', 'client_id', 'key_id', 'referral_index'])
        .where('action', '=', 'delivery.attempt')
        .orderBy('index')
        .execute(),
    );
    const subject = { client_id: 'system:relay', key_id: case_id, referral_index: services.vault.subjectIndex(referral_id) };
    t.same(rows, [
      { outcome: 'failed', code: 'http_418', ...subject },
      { outcome: 'done', code: 'http_204', ...subject },
    ]);
    t.equal((await it.endpoint(id)).failing_since, null);
  });

  await t.test('of emergencies: ten within 15 minutes, parked after one', async t => {
    const started = clock.now().getTime();
    await emit(services, helpline_a, notice([health.agency_id], { urgent: true }));
    for (let made = 1; made <= 10; made += 1) {
      receiver.replies.push({ status: 503, headers: { 'retry-after': '3600' } });
      t.equal(await it.run(), 1);
      t.equal((await after()).state, 'parked');
      t.ok((await after()).ms! <= (made < 10 ? 2.4 * MINUTE : 36 * MINUTE));
      if (made === 10) t.ok(clock.now().getTime() - started <= 15 * MINUTE);
      await to_next();
    }
    await it.run();
    t.equal((await after()).state, 'delivered');
  });

  await t.test('honour Retry-After with 429 and 503, up to an hour', async t => {
    await emit(services, helpline_a, notice([health.agency_id]));
    receiver.replies.push({ status: 429, headers: { 'retry-after': '90' } });
    await it.run();
    t.equal((await after()).ms, 90 * SECOND);
    await to_next();
    receiver.replies.push({ status: 503, headers: { 'retry-after': '86400' } });
    await it.run();
    t.equal((await after()).ms, HOUR);
    await to_next();
    receiver.replies.push({ status: 500, headers: { 'retry-after': '3600' } });
    await it.run();
    t.ok((await after()).ms! <= 2.4 * MINUTE);
    await to_next();
    receiver.replies.push({ status: 302, headers: { location: receiver.url } });
    const before = receiver.received.length;
    await it.run();
    t.equal(receiver.received.length, before + 1, 'a redirect is a failure and not followed');
    await to_next();
    await it.run();
    t.equal((await after()).state, 'delivered');
  });

  await t.test('stop at once when the receiver is gone: paused, owner and coordinator told', async t => {
    await emit(services, helpline_a, notice([health.agency_id]));
    await emit(services, helpline_a, notice([health.agency_id]));
    await relayAll(services);
    receiver.replies.push({ status: 410 }, { status: 410 });
    // The first answer pauses the endpoint; the second delivery may have been under way by then.
    t.ok([1, 2].includes(await deliverDue(services, it.outbound)));
    t.match(await it.endpoint(id), { status: 'paused' });
    const told = await asRelay(services, tx =>
      tx.selectFrom('events').select(['agency_id', 'body']).where('type', '=', 'endpoint.failing').execute(),
    );
    t.same(told.map(({ agency_id }) => agency_id).sort(), [health.agency_id, it.committee.agency_id].sort(), 'once');
    clock.advance(HOUR);
    t.equal(await it.run(), 0, 'nothing is sent to it');
    t.equal((await it.delivery('endpoint.failing')).state, 'pending', 'what comes waits');
  });
});

test('a failing endpoint', async t => {
  const it = await startDelivery(t);
  const { services, receiver, helpline_a, health, committee, clock } = it;
  const id = await registerEndpoint(services, health, receiver.url);
  const next = async () => (await it.delivery()).next_attempt_at!.getTime() - clock.now().getTime();

  await t.test('is disabled after 72 h on end only: one event that arrives begins them anew', async t => {
    receiver.replies.push({ status: 500 });
    await emit(services, helpline_a, notice([health.agency_id]));
    await it.run();
    clock.advance(71 * HOUR);
    await it.run();
    t.equal((await it.endpoint(id)).failing_since, null);
    receiver.replies.push({ status: 500 });
    await emit(services, helpline_a, notice([health.agency_id]));
    await it.run();
    clock.advance(2 * HOUR);
    receiver.replies.push({ status: 500 });
    await it.run();
    t.equal((await it.endpoint(id)).status, 'active', 'after 73 h in all');
    clock.advance(70 * HOUR);
    receiver.replies.push({ status: 500 });
    await it.run();
    t.match(await it.endpoint(id), { status: 'disabled', stops: 1 }, 'after 72 h on end');
    const kept = await it.delivery();
    t.equal(kept.state, 'parked', 'what waits is kept');
    await emit(services, helpline_a, notice([health.agency_id], { type: 'referral.message' }));
    await relayAll(services);
    const told = await asRelay(services, tx =>
      tx
        .selectFrom('events')
        .select(['type', 'position'])
        .where('agency_id', '=', health.agency_id)
        .orderBy('position')
        .execute(),
    );
    t.match(told.slice(-2), [{ type: 'endpoint.disabled' }, { type: 'referral.message' }], 'and stays to be pulled');
    t.equal((await it.delivery()).id, kept.id, 'nothing new is kept for it');
    const committees = await asRelay(services, tx =>
      tx.selectFrom('events').select('agency_id').where('type', '=', 'endpoint.disabled').execute(),
    );
    t.same(committees.map(({ agency_id }) => agency_id).sort(), [health.agency_id, committee.agency_id].sort());
  });

  await t.test('may ask for a longer wait with 429 and 503: an hour at most, of an emergency a minute', async t => {
    for (const status of [429, 503]) {
      for (const [urgent, longest] of [
        [false, HOUR],
        [true, MINUTE],
      ] as const) {
        const other = await registerEndpoint(services, health, receiver.url, ['referral.reviewed']);
        await emit(services, helpline_a, notice([health.agency_id], { type: 'referral.reviewed', urgent }));
        receiver.replies.push({ status, headers: { 'retry-after': '7200' } });
        t.equal(await it.run(), 1);
        t.equal(await next(), longest, `${status}${urgent ? ' of an emergency' : ''}`);
        await asRelay(services, tx =>
          tx.updateTable('webhook_endpoints').set({ deleted_at: clock.now() }).where('id', '=', other).execute(),
        );
      }
    }
  });
});
