import { setTimeout as pause } from 'node:timers/promises';
import { sql } from 'kysely';
import { type Test, test } from 'tap';
import type { Notice } from '../../src/audit/record.ts';
import type { Tx } from '../../src/platform/database.ts';
import { newId } from '../../src/platform/ids.ts';
import type { Outbound } from '../../src/platform/outbound.ts';
import { type Claim, type Claimed, claimNext, releaseClaims } from '../../src/webhooks/claim-store.ts';
import { createSender } from '../../src/webhooks/delivery.ts';
import { tryLockRelay } from '../../src/webhooks/outbox-store.ts';
import { relayEvents } from '../../src/webhooks/relay.ts';
import { deliver } from '../../src/webhooks/turn.ts';
import { lookAsOwner } from '../support/trail.ts';
import { asRelay, emit, notice, registerEndpoint, relayAll, startDelivery } from '../support/webhooks.ts';

/** Claims: whose they are, how long they last, and that nothing begins on one that is old. */

async function start(t: Test, count: number) {
  const it = await startDelivery(t);
  const { services, receiver, helpline_a, health } = it;
  const endpoint_id = await registerEndpoint(services, health, receiver.url);
  const notices = Array.from({ length: count }, () => notice([health.agency_id]));
  if (count > 0) await emit(services, helpline_a, ...notices);
  await relayAll(services);
  const claim = (turn: string): Promise<Claimed> =>
    asRelay(services, tx =>
      claimNext(tx, endpoint_id, services.now(), { turn, urgent: 8, ordinary: 8, held: { urgent: 0, ordinary: 0 } }),
    );
  const look = <Row extends Record<string, unknown>>(text: string) => lookAsOwner<Row>(services, text);
  const waitsForLock = async (what: string) => {
    const waiting = `select 1 from pg_locks where not granted and ${what} and (database is null or
      database = (select oid from pg_database where datname = current_database()))`;
    while ((await look(waiting)).length === 0) await pause(10);
  };
  return { ...it, endpoint_id, claim, look, waitsForLock };
}

test("whoever stood still gives back nothing that is another's by now", async t => {
  const { services, claim, look } = await start(t, 1);
  const stopped = await claim('one');
  await look(`update deliveries set claimed_until = now() - interval '1 s'`);
  await look(`update webhook_endpoints set turn_until = now() - interval '1 s'`);
  const next = await claim('another');
  t.equal(next.claims.length, 1);
  await asRelay(services, tx => releaseClaims(tx, stopped.claims));
  t.equal((await look('select 1 from deliveries where claimed_until > now()')).length, 1, 'it is under way');
  await asRelay(services, tx => releaseClaims(tx, next.claims));
  t.equal((await look('select 1 from deliveries where claimed_until > now()')).length, 0);
});

test('a claim lasts as long as it should, also where it had to wait for its endpoint', async t => {
  const { services, endpoint_id, claim, look, waitsForLock } = await start(t, 1);
  const release = Promise.withResolvers<void>();
  const locked = Promise.withResolvers<void>();
  const holding = asRelay(services, async tx => {
    await tx.selectFrom('webhook_endpoints').select('id').where('id', '=', endpoint_id).forUpdate().execute();
    locked.resolve();
    await release.promise;
  });
  await locked.promise;
  const claiming = claim('one');
  await waitsForLock(`locktype = 'transactionid'`);
  const [{ at }] = (await look<{ at: string }>('select clock_timestamp()::text as at')) as [{ at: string }];
  release.resolve();
  await Promise.all([holding, claiming]);
  const whole = await look(`select 1 from deliveries join webhook_endpoints e on e.id = endpoint_id
    where least(claimed_until, turn_until) >= '${at}'::timestamptz + interval '20 s'
      and paced_until >= '${at}'::timestamptz`);
  t.equal(whole.length, 1);
});

test('claims that were long on their way are given back, and made anew', async t => {
  const { services, outbound, endpoint_id, receiver, look, waitsForLock } = await start(t, 3);
  const GATE = 77_002;
  await look(`create sequence claims; create function wait_at_gate() returns trigger language plpgsql security definer as $$
    begin perform nextval('claims'); perform pg_advisory_xact_lock_shared(${GATE}); return null; end $$;
    create constraint trigger in_claim after update on deliveries deferrable initially deferred for each row
      when (new.claimed_until is not null and old.claimed_until is null) execute function wait_at_gate()`);
  const open = Promise.withResolvers<void>();
  const closed = Promise.withResolvers<void>();
  const holding = asRelay(services, async tx => {
    await sql`select pg_advisory_xact_lock(${GATE})`.execute(tx);
    closed.resolve();
    await open.promise;
  });
  await closed.promise;
  const turn = deliver(services, outbound, endpoint_id);
  await waitsForLock(`locktype = 'advisory' and objid = ${GATE}`);
  const { now } = performance;
  t.teardown(() => Object.assign(performance, { now }));
  // As if the process had been stopped where the answer was on its way.
  performance.now = () => now.call(performance) + 10_000;
  open.resolve();
  await holding;
  t.equal(await turn, 3);
  t.equal(receiver.received.length, 3, 'each once');
  t.same(await look('select last_value::int as claims from claims'), [{ claims: 6 }]);
});

test('an attempt that others kept from beginning is given back, and not made on what was known before', async t => {
  const { services, claim } = await start(t, 1);
  const { claims } = await claim('one');
  const posted: string[] = [];
  const answers: (() => void)[] = [];
  const outbound: Outbound = {
    post: async url => {
      posted.push(url);
      await new Promise<void>(resolve => answers.push(resolve));
      return { status: 204, retry_after: null, duration_ms: 1 };
    },
    close: async () => {},
  };
  const sender = createSender(services, outbound);
  const attempt = (begin_by: number) => sender.attempt(claims[0] as Claim, begin_by);
  const first = Array.from({ length: 256 }, () => attempt(Number.POSITIVE_INFINITY));
  const late = attempt(performance.now());
  const in_time = attempt(Number.POSITIVE_INFINITY);
  while (posted.length < 256) await pause(5);
  answers[0]!();
  t.equal(await late, null);
  while (posted.length < 257) await pause(5);
  for (const answer of answers) answer();
  t.match(await in_time, { result: { status: 204 } });
  await Promise.all(first);
  t.equal(posted.length, 257);
});

test('at one a second nobody looks ten times for the next', async t => {
  const { services, claim } = await start(t, 3);
  await asRelay(services, tx => tx.updateTable('webhook_endpoints').set({ max_per_second: 1 }).execute());
  const { claims, paced_ms } = await claim('one');
  t.equal(claims.length, 1);
  t.ok(paced_ms! > 900 && paced_ms! <= 1_000, String(paced_ms));
  const again = await claim('one');
  t.equal(again.claims.length, 0);
  t.ok(again.paced_ms! <= paced_ms!);
});

test('no emergency waits for what is still under way where a turn has failed', async t => {
  const { services, outbound, endpoint_id, receiver, helpline_a, health, look } = await start(t, 2);
  await look(`create function refuse() returns trigger language plpgsql as $$ begin raise exception 'refused'; end $$;
    create trigger refuse before update on deliveries for each row when (new.state = 'delivered' and not new.urgent)
      execute function refuse()`);
  const held = Promise.withResolvers<{ status: number }>();
  receiver.replies.push(held.promise);
  const gone = Promise.withResolvers<void>();
  const failed = deliver(services, outbound, endpoint_id, { onEnd: gone.resolve });
  await gone.promise;
  await emit(services, helpline_a, notice([health.agency_id], { type: 'safety.changed', urgent: true }));
  await relayAll(services);
  t.equal(await deliver(services, outbound, endpoint_id), 1, 'the emergency, and it alone: the turn is still taken');
  held.resolve({ status: 204 });
  await t.rejects(failed, /refused/);
  const [endpoint] = await look<{ turn_of: string | null }>('select turn_of from webhook_endpoints');
  t.equal(endpoint!.turn_of, null);
});

test('a process that stands still while it numbers, or claims, keeps no other from it for long', async t => {
  const { services, helpline_a, health, endpoint_id, claim, look } = await start(t, 1);
  const free = Promise.withResolvers<void>();
  const standStill = async (work: (tx: Tx) => Promise<unknown>) => {
    const reached = Promise.withResolvers<void>();
    const ended = asRelay(services, async tx => {
      await work(tx);
      reached.resolve();
      await free.promise;
      await sql`select 1`.execute(tx);
    }).catch(() => 'it was ended');
    await reached.promise;
    return { ended };
  };
  const wish = { turn: 'one', urgent: 8, ordinary: 8, held: { urgent: 0, ordinary: 0 } };
  const standing = [await standStill(tryLockRelay), await standStill(tx => claimNext(tx, endpoint_id, services.now(), wish))];
  await emit(services, helpline_a, notice([health.agency_id], { type: 'safety.changed', urgent: true }));
  t.equal((await claim('another')).claims.length, 1);
  while ((await look('select 1 from events where position is null')).length > 0) {
    await relayEvents(services);
    await pause(50);
  }
  free.resolve();
  for (const { ended } of standing) t.equal(await ended, 'it was ended');
});

test('what waits for emergencies that have yet to begin keeps no other subject waiting', async t => {
  const { services, helpline_a, health, endpoint_id } = await start(t, 0);
  const emitAll = (...notices: Notice[]) => emit(services, helpline_a, ...notices);
  for (const subject_id of Array.from({ length: 12 }, () => newId('ref'))) {
    await emitAll(notice([health.agency_id], { subject_id, urgent: true }), notice([health.agency_id], { subject_id }));
  }
  const other = newId('ref');
  await emitAll(notice([health.agency_id], { subject_id: other }), notice([health.agency_id], { subject_id: other }));
  await relayAll(services);
  const claim = async (urgent: number) => {
    const held = { urgent: 8 - urgent, ordinary: 0 };
    const { claims } = await asRelay(services, tx =>
      claimNext(tx, endpoint_id, services.now(), { turn: 'one', urgent, ordinary: 8, held }),
    );
    return claims.map(({ subject_id, urgent }) => (urgent ? 'urgent' : subject_id === other ? 'other' : 'behind it'));
  };
  t.same(await claim(2), ['urgent', 'urgent', 'behind it', 'behind it', 'other', 'other']);
  t.same(await claim(0), []);
});
