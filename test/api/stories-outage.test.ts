import t from 'tap';
import { beat } from '../../src/platform/heartbeat.ts';
import { startTestApp } from '../support/app.ts';
import { drain } from '../support/drain.ts';
import { MINUTE } from '../support/journey.ts';
import { mechanism } from '../support/mechanism.ts';
import { storyteller } from '../support/story.ts';

/** What an outage of the service itself does to whoever was asked meanwhile, with trail, events and clocks. */

// Long, and other suites beside it.
t.setTimeout(300_000);

t.test('stories of an outage', async t => {
  const test = await startTestApp(t);
  const { services, clock } = test;
  const { begin, preferShelter } = storyteller(test, await mechanism(test));
  await preferShelter('shelter_a');

  const everyRoleBeats = async () => {
    for (const role of ['api', 'worker'] as const) await beat(services, role);
  };
  /** The service runs all the while. */
  async function run(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 5_000) {
      clock.advance(Math.min(left, 5_000));
      await everyRoleBeats();
    }
    await drain(services);
  }
  /** Nothing runs; then it starts again. */
  async function isDown(ms: number): Promise<void> {
    clock.advance(ms);
    await everyRoleBeats();
    await drain(services);
  }
  const BREACHED_MEANWHILE = [
    'clock done timer.warn acknowledge',
    'clock done timer.warn acknowledge',
    'clock done timer.breach acknowledge',
    'clock done timer.warn respond',
  ];
  await everyRoleBeats();

  await t.test('due while the service was down: it is told when, stays open, and a yes still counts', async t => {
    const { act, trail, told, timers } = await begin({ referral: { urgency: 'emergency' } });
    await run(MINUTE);
    await trail();
    await isDown(40 * MINUTE);
    t.strictSame((await trail()).sort(), BREACHED_MEANWHILE.toSorted(), 'nothing has expired, nobody else was asked');
    t.strictSame(await told('shelter_b'), []);
    t.ok((await told('committee')).includes('timer.breached acknowledge'));
    t.strictSame(await timers('shelter_a'), ['acknowledge breached shelter_a +15m', 'respond running shelter_a +1h']);

    await run(5 * MINUTE);
    t.equal(await act('shelter_a', 'accept'), 'accepted');
    await run(10 * MINUTE);
    t.notOk((await trail()).some(line => line.includes('referral.expire')));
    t.strictSame(await timers('shelter_a'), [
      'acknowledge met shelter_a +15m',
      'respond met shelter_a +1h',
      'handover running shelter_a +6h46m',
    ]);
    t.notOk((await told('helpline_a')).includes('referral.expired'));
    await act('shelter_a', 'fail', { reason_code: 'service_ended' });
  });

  await t.test('nobody says anything: after ten minutes of running it expires, and the next is asked', async t => {
    const { trail, told, timers } = await begin({ referral: { urgency: 'emergency' } });
    await run(MINUTE);
    await isDown(30 * MINUTE);
    await trail();
    await told('shelter_a');
    await run(10 * MINUTE - 1);
    t.strictSame(await trail(), [], 'not a moment before');
    await run(1);
    t.strictSame(await trail(), ['clock done referral.expire acknowledge', 'router done referral.offer']);
    t.strictSame(await told('shelter_a'), ['referral.expired']);
    t.strictSame(await told('shelter_b'), ['referral.offered']);
    t.strictSame(await timers('shelter_a'), ['acknowledge breached shelter_a +15m', 'respond cancelled shelter_a +1h']);
    t.strictSame(await timers('shelter_b'), ['acknowledge running shelter_b +56m', 'respond running shelter_b +1h41m']);
  });

  await t.test('what falls due once it runs again has had its time', async t => {
    const { trail } = await begin({ referral: { urgency: 'emergency' } });
    await run(MINUTE);
    await isDown(10 * MINUTE);
    await trail();
    await run(4 * MINUTE);
    t.ok((await trail()).includes('clock done referral.expire acknowledge'));
  });
});
