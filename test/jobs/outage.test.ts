import t from 'tap';
import { beat, type HeartbeatRole, startHeartbeat } from '../../src/platform/heartbeat.ts';
import { timerEffects } from '../../src/referrals/timer-effects.ts';
import { fireDueTimers } from '../../src/timers/sweep.ts';
import { startTestApp } from '../support/app.ts';
import { drain } from '../support/drain.ts';
import { all, clinic, eventsOf, HOUR, MINUTE } from '../support/journey.ts';
import { mechanism } from '../support/mechanism.ts';
import { ok, startNight } from '../support/night.ts';
import { lookAsOwner } from '../support/trail.ts';

// Much of it, and other suites beside it.
t.setTimeout(300_000);

/** After an outage of the service itself: breaches as they fell due, and offers open until it has run for a while again. */

const SECOND = 1_000;
const ROLES: HeartbeatRole[] = ['api', 'worker'];

t.test('an outage', async t => {
  const test = await startTestApp(t);
  const { services, clock } = test;
  const them = await mechanism(test);
  const { agencies } = them;
  const { sender, receiver, ask } = clinic(them);
  const effects = timerEffects(services);
  const after = (ms: number) => new Date(services.now().getTime() + ms).toISOString();
  const everyRoleBeats = async (roles = ROLES) => {
    for (const role of roles) await beat(services, role);
  };
  /** Time in which the service runs: it beats, and sweeps at the end. */
  async function runFor(ms: number, roles = ROLES): Promise<void> {
    for (let left = ms; left > 0; left -= 5 * SECOND) {
      clock.advance(Math.min(left, 5 * SECOND));
      await everyRoleBeats(roles);
    }
    await drain(services);
  }
  /** Time in which nothing runs, and then it starts. */
  async function outage(ms: number): Promise<void> {
    clock.advance(ms);
    await everyRoleBeats();
    await drain(services);
  }
  const statusOf = async (referral_id: string): Promise<string> =>
    ok(await sender.get(`/v1/referrals/${referral_id}`)).status as string;
  const timersOf = async (referral_id: string, query = '') =>
    Object.fromEntries(
      (await all(sender, `/v1/timers?referral_id=${referral_id}${query}`)).map((timer: { name: string; state: string }) => [
        timer.name,
        timer,
      ]),
    );
  const typesOf = async (referral_id: string) => (await eventsOf(services, sender, referral_id)).map(({ type }) => type);
  const receive = (referral_id: string) => receiver.post(`/v1/referrals/${referral_id}/receive`);
  const accept = (referral_id: string) => receiver.post(`/v1/referrals/${referral_id}/accept`, {});

  await everyRoleBeats();

  await t.test('without one, an offer expires as it falls due', async t => {
    const { referral } = await ask({ urgency: 'emergency' });
    await runFor(15 * MINUTE);
    t.equal(await statusOf(referral.id), 'unplaced');
  });

  await t.test('what fell due meanwhile is told as it fell due, and may be accepted for ten minutes', async t => {
    const { referral } = await ask({ urgency: 'emergency' });
    const due_at = after(15 * MINUTE);
    await outage(HOUR / 2);
    t.equal(await statusOf(referral.id), 'offered');
    t.match(await timersOf(referral.id), {
      acknowledge: { state: 'breached', breached_at: due_at },
      respond: { state: 'running' },
    });
    t.strictSame(await typesOf(referral.id), ['referral.offered', 'timer.breached'], 'the breach is told, once');
    t.strictSame(Object.keys(await timersOf(referral.id, '&overdue=true')), ['acknowledge'], 'and still to be met');
    await runFor(10 * MINUTE - 1);
    t.equal(await statusOf(referral.id), 'offered');
    t.equal((await accept(referral.id)).status, 200);
    t.match(await timersOf(referral.id), { acknowledge: { state: 'met', met_at: after(0), breached_at: due_at } });
    await runFor(20 * MINUTE);
    t.equal(await statusOf(referral.id), 'accepted', 'whoever answered has answered');
  });

  await t.test('then it expires, once, however many sweep', async t => {
    const nights = await Promise.all([
      ask({ urgency: 'emergency' }),
      ask({ urgency: 'emergency' }),
      ask({ urgency: 'emergency' }),
    ]);
    await outage(2 * HOUR);
    for (const { referral } of nights) {
      t.match(await timersOf(referral.id), { acknowledge: { state: 'breached' }, respond: { state: 'breached' } });
      t.equal(await statusOf(referral.id), 'offered');
    }
    await runFor(10 * MINUTE - 1);
    clock.advance(1);
    await everyRoleBeats();
    await Promise.all(Array.from({ length: 4 }, () => fireDueTimers(services, effects)));
    for (const { referral } of nights) {
      t.strictSame(await typesOf(referral.id), [
        'referral.offered',
        'timer.breached',
        'timer.breached',
        'referral.expired',
        'referral.unplaced',
      ]);
      const { acknowledge, respond } = await timersOf(referral.id);
      t.strictSame([acknowledge?.state, respond?.state].sort(), ['breached', 'cancelled'], 'one of them has ended the offer');
      t.strictSame(await timersOf(referral.id, '&overdue=true'), {});
    }
  });

  await t.test('a clock that was met meanwhile leaves the other to end the offer', async t => {
    const { referral } = await ask({ urgency: 'emergency' });
    await outage(2 * HOUR);
    ok(await receive(referral.id));
    await runFor(9 * MINUTE);
    t.equal(await statusOf(referral.id), 'received');
    await runFor(MINUTE);
    t.equal(await statusOf(referral.id), 'unplaced');
    t.match(await timersOf(referral.id), { acknowledge: { state: 'met' }, respond: { state: 'breached' } });
  });

  await t.test('what is taken back meanwhile did not expire', async t => {
    const { referral } = await ask({ urgency: 'emergency' });
    await outage(HOUR / 2);
    ok(await sender.post(`/v1/referrals/${referral.id}/cancel`, { reason_code: 'error' }));
    t.match(await timersOf(referral.id), { acknowledge: { state: 'cancelled', breached_at: String } });
    await runFor(11 * MINUTE);
    t.notOk((await typesOf(referral.id)).includes('referral.expired'));
  });

  await t.test('a second one begins the ten minutes anew', async t => {
    const { referral } = await ask({ urgency: 'emergency' });
    await outage(HOUR / 2);
    await runFor(5 * MINUTE);
    await outage(HOUR / 2);
    t.equal(await statusOf(referral.id), 'offered', 'the first ten minutes ended while it was down again');
    await runFor(10 * MINUTE - 1);
    t.equal(await statusOf(referral.id), 'offered');
    await runFor(1);
    t.equal(await statusOf(referral.id), 'unplaced');
    t.equal((await typesOf(referral.id)).filter(type => type === 'timer.breached').length, 2, 'of both its clocks, once');
  });

  await t.test('another clock of the offer that falls due within the ten minutes does not end it', async t => {
    for (const answer of [async () => {}, async (referral_id: string) => ok(await receive(referral_id))]) {
      const { referral } = await ask({ urgency: 'emergency' });
      await outage(55 * MINUTE);
      await answer(referral.id);
      await runFor(10 * MINUTE - 1);
      t.match(await timersOf(referral.id), { respond: { state: 'breached', breached_at: after(-5 * MINUTE + 1) } });
      t.match(await statusOf(referral.id), /offered|received/);
      await runFor(1);
      t.equal(await statusOf(referral.id), 'unplaced');
    }
  });

  await t.test('what falls due after it expires at once', async t => {
    await outage(HOUR);
    const { referral } = await ask({ urgency: 'emergency' });
    await runFor(15 * MINUTE);
    t.equal(await statusOf(referral.id), 'unplaced');
  });

  await t.test('a part that is down is an outage too', async t => {
    const { referral } = await ask({ urgency: 'emergency' });
    await runFor(16 * MINUTE, ['worker']);
    t.equal(await statusOf(referral.id), 'offered', 'nobody could answer');
    await runFor(9 * MINUTE);
    t.equal(await statusOf(referral.id), 'offered');
    await runFor(11 * MINUTE);
    t.equal(await statusOf(referral.id), 'unplaced');
  });

  await t.test('a sweep that comes before the first beat does not take it for running', async t => {
    const { referral } = await ask({ urgency: 'emergency' });
    clock.advance(HOUR / 2);
    await drain(services);
    t.equal(await statusOf(referral.id), 'offered');
    t.match(await timersOf(referral.id), { acknowledge: { state: 'breached' } });
    await outage(1);
    await runFor(10 * MINUTE);
    t.equal(await statusOf(referral.id), 'unplaced');
  });

  await t.test('five seconds of silence are none', async t => {
    const { referral } = await ask({ urgency: 'emergency' });
    await runFor(15 * MINUTE - 5 * SECOND);
    const since = () => lookAsOwner<{ running_since: Date }>(services, 'select running_since from heartbeats order by role');
    const before = await since();
    clock.advance(5 * SECOND);
    await everyRoleBeats();
    await Promise.all(Array.from({ length: 4 }, () => everyRoleBeats()));
    t.strictSame(await since(), before);
    await drain(services);
    t.equal(await statusOf(referral.id), 'unplaced');
    clock.advance(5 * SECOND + 1);
    await everyRoleBeats();
    t.strictSame(await since(), [{ running_since: services.now() }, { running_since: services.now() }]);
  });

  await t.test('warnings and escalations do not wait', async t => {
    const { referral } = await ask({ urgency: 'urgent' });
    ok(await accept(referral.id));
    await outage(72 * HOUR);
    t.match(await timersOf(referral.id), { handover: { state: 'breached', escalation_level: 2 } });
  });

  await t.test('without a grace there is none', async t => {
    const { referral } = await startNight(sender, {
      kase: { jurisdiction: 'XB', region: 'XB-1' },
      consent: { recipient: { agency_kind: 'health' }, purposes: ['medical'] },
      referral: { service: 'medical', urgency: 'urgent', routing: 'direct', recipient_agency_id: agencies.health.id },
    });
    await outage(HOUR);
    t.equal(await statusOf(referral.id), 'unplaced');
  });

  await t.test('a process beats for the role that it runs', async t => {
    await lookAsOwner(services, 'delete from heartbeats');
    const heartbeat = startHeartbeat(services, 'worker', async () => {});
    t.equal(heartbeat.started, false);
    await heartbeat.stop();
    t.equal(heartbeat.started, true);
    t.strictSame(await lookAsOwner(services, 'select role, beat_at, running_since from heartbeats'), [
      { role: 'worker', beat_at: services.now(), running_since: services.now() },
    ]);
  });
});
