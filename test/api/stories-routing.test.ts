import t from 'tap';
import { startTestApp } from '../support/app.ts';
import { HOUR, MINUTE } from '../support/journey.ts';
import { mechanism } from '../support/mechanism.ts';
import { storyteller } from '../support/story.ts';

/** Who is asked, and who is asked next: each story with its trail, its events and its clocks. */

// Long, and other suites beside it.
t.setTimeout(300_000);

t.test('stories of finding a place', async t => {
  const test = await startTestApp(t);
  const them = await mechanism(test);
  const { agencies } = them;
  const { begin, wait, preferShelter, setPlaces, placesLeft } = storyteller(test, them);
  await preferShelter('shelter_a');

  const OPENED = ['helpline_a done case.open', 'helpline_a done consent.give', 'helpline_a done referral.make'];
  const BEGUN = ['case.opened', 'consent.granted'];

  await t.test('silence: the next is asked, nobody is left, a place comes free and is asked for', async t => {
    const { act, read, trail, told, othersTold, timers } = await begin({ referral: { urgency: 'emergency' } });
    t.strictSame(await trail(), [...OPENED, 'router done referral.offer']);
    t.strictSame(await told('shelter_a'), ['referral.offered']);
    t.strictSame(await timers('shelter_a'), ['acknowledge running shelter_a +15m', 'respond running shelter_a +1h']);

    await wait(15 * MINUTE);
    const SILENCE = [
      'clock done timer.warn acknowledge',
      'clock done timer.warn acknowledge',
      'clock done timer.breach acknowledge',
      'clock done referral.expire acknowledge',
    ];
    const HEARD_OF_IT = [
      'timer.warned acknowledge',
      'timer.warned acknowledge',
      'timer.breached acknowledge',
      'referral.expired',
    ];
    t.strictSame(await trail(), [...SILENCE, 'router done referral.offer']);
    t.strictSame(await told('shelter_a'), HEARD_OF_IT);
    t.strictSame(await told('shelter_b'), ['referral.offered']);
    t.strictSame(await timers('shelter_a'), ['acknowledge breached shelter_a +15m', 'respond cancelled shelter_a +1h']);
    t.strictSame(await timers('shelter_b'), ['acknowledge running shelter_b +30m', 'respond running shelter_b +1h15m']);

    await wait(15 * MINUTE);
    t.equal((await read('helpline_a')).status, 'unplaced');
    t.strictSame(await trail(), [...SILENCE, 'router done referral.unplace', 'helpline_a read referral.read']);
    t.strictSame(await told('helpline_a'), [
      ...BEGUN,
      'referral.offered',
      'timer.breached acknowledge',
      'referral.expired',
      'referral.offered',
      'timer.breached acknowledge',
      'referral.expired',
      'referral.unplaced',
    ]);
    const TOLD_THE_COMMITTEE = ['timer.breached acknowledge', 'timer.breached acknowledge', 'referral.unplaced'];
    t.strictSame(await told('committee'), TOLD_THE_COMMITTEE);
    t.strictSame(await told('shelter_b'), HEARD_OF_IT);
    t.strictSame(await timers('committee'), [
      'acknowledge breached placed +15m',
      'acknowledge breached placed +30m',
      'unplaced_review running committee +45m',
      'respond cancelled placed +1h',
      'respond cancelled placed +1h15m',
    ]);

    await wait(15 * MINUTE);
    t.strictSame((await told('committee')).at(-2), 'timer.breached unplaced_review', 'the coordinator was silent, too');
    await wait(MINUTE);
    await trail();
    await setPlaces('shelter_b', 7);
    t.strictSame(await trail(), ['router done referral.offer']);
    t.strictSame(await told('shelter_b'), ['referral.offered']);
    t.strictSame(await told('shelter_a'), []);
    t.equal(await act('shelter_b', 'accept'), 'accepted');
    t.strictSame(await trail(), ['shelter_b done referral.accept']);
    t.strictSame(await told('helpline_a'), ['timer.breached unplaced_review', 'referral.offered', 'referral.accepted']);
    t.strictSame(await told('shelter_b'), ['referral.accepted']);
    t.strictSame(await othersTold(), []);
    t.strictSame(await timers('helpline_a'), [
      'acknowledge breached placed +15m',
      'acknowledge breached placed +30m',
      'unplaced_review met committee +45m',
      'respond cancelled placed +1h',
      'acknowledge met placed +1h1m',
      'respond cancelled placed +1h15m',
      'respond met placed +1h46m',
      'handover running placed +6h46m',
    ]);
  });

  await t.test('direct and declined, without fallback: nobody else is asked until somebody says so', async t => {
    const referral = { urgency: 'urgent', routing: 'direct', recipient_agency_id: agencies.shelter_a.id };
    const { act, refused, read, trail, told, othersTold, timers } = await begin({ referral });
    t.equal(await act('shelter_a', 'decline', { reason_code: 'no_capacity' }), 'declined');
    await wait(HOUR);
    await setPlaces('shelter_a', 5);
    t.equal((await read('helpline_a')).status, 'unplaced', 'not even the one that had no place');
    t.strictSame(await trail(), [
      ...OPENED,
      'router done referral.offer',
      'shelter_a done referral.decline no_capacity',
      'router done referral.unplace',
      'helpline_a read referral.read',
    ]);
    t.strictSame(await told('shelter_a'), ['referral.offered', 'referral.declined']);
    t.strictSame(await told('shelter_b'), []);
    t.strictSame(await told('helpline_a'), [...BEGUN, 'referral.offered', 'referral.declined', 'referral.unplaced']);
    t.strictSame(await told('committee'), ['referral.unplaced']);
    t.strictSame(await timers('committee'), [
      'acknowledge met placed +2h',
      'unplaced_review running committee +4h',
      'respond met placed +1d',
    ]);

    const reroute = { agency_id: agencies.shelter_b.id, reason_code: 'coordinator_decision' };
    t.equal(await refused('shelter_a', 'reroute', reroute), '403 forbidden');
    t.equal(await refused('health', 'reroute', reroute), '404 not_found');
    t.equal(await act('committee', 'reroute', reroute), 'offered');
    t.equal(await act('helpline_a', 'cancel', { reason_code: 'need_met_elsewhere' }), 'cancelled');
    t.equal(await refused('shelter_b', 'accept'), '409 wrong_state');
    t.strictSame(await trail(), [
      'shelter_a denied referral.reroute forbidden',
      'health denied referral.reroute not_visible',
      'committee done referral.reroute coordinator_decision',
      'router done referral.offer',
      'helpline_a done referral.cancel need_met_elsewhere',
      'shelter_b denied referral.accept wrong_state',
    ]);
    t.strictSame(await told('shelter_b'), ['referral.offered', 'referral.cancelled']);
    t.strictSame(await told('helpline_a'), ['referral.rerouted', 'referral.offered', 'referral.cancelled']);
    t.strictSame(await othersTold(), []);
    t.strictSame(await timers('helpline_a'), [
      'acknowledge met placed +2h',
      'acknowledge cancelled placed +3h',
      'unplaced_review met committee +4h',
      'respond met placed +1d',
      'respond cancelled placed +1d1h',
    ]);
  });

  await t.test('direct and declined, with fallback: it goes on by itself', async t => {
    const referral = { urgency: 'urgent', routing: 'direct', recipient_agency_id: agencies.shelter_a.id, fallback: true };
    const { act, trail, told, othersTold, timers } = await begin({ referral });
    t.equal(await act('shelter_a', 'decline', { reason_code: 'unsafe' }), 'declined');
    t.strictSame(await trail(), [
      ...OPENED,
      'router done referral.offer',
      'shelter_a done referral.decline unsafe',
      'router done referral.offer',
    ]);
    t.strictSame(await told('shelter_a'), ['referral.offered', 'referral.declined']);
    t.strictSame(await told('shelter_b'), ['referral.offered']);
    t.strictSame(await told('helpline_a'), [...BEGUN, 'referral.offered', 'referral.declined', 'referral.offered']);
    t.strictSame(await othersTold(), [], 'it was never unplaced');
    t.strictSame(await timers('helpline_a'), [
      'acknowledge met placed +2h',
      'acknowledge running placed +2h',
      'respond met placed +1d',
      'respond running placed +1d',
    ]);
  });

  await t.test('the waiting list: too late, another has said yes', async t => {
    const { act, refused, trail, told, othersTold, timers } = await begin({ referral: { urgency: 'urgent' } });
    t.equal(await act('shelter_a', 'receive'), 'received');
    t.equal(await act('shelter_a', 'waitlist'), 'waitlisted');
    await wait(HOUR);
    t.equal(await act('shelter_b', 'accept'), 'accepted');
    t.equal(await refused('shelter_a', 'accept'), '409 wrong_state');
    t.strictSame(await trail(), [
      ...OPENED,
      'router done referral.offer',
      'shelter_a done referral.receive',
      'shelter_a done referral.waitlist',
      'router done referral.offer',
      'clock done timer.warn acknowledge',
      'shelter_b done referral.accept',
      'shelter_a denied referral.accept wrong_state',
    ]);
    t.strictSame(await told('shelter_a'), ['referral.offered', 'referral.received', 'referral.waitlisted', 'referral.cancelled']);
    t.strictSame(await told('shelter_b'), ['referral.offered', 'timer.warned acknowledge', 'referral.accepted']);
    t.strictSame(await told('helpline_a'), [
      ...BEGUN,
      'referral.offered',
      'referral.received',
      'referral.waitlisted',
      'referral.offered',
      'referral.accepted',
    ]);
    t.strictSame(await othersTold(), []);
    t.strictSame(await timers('shelter_a'), [
      'acknowledge met shelter_a +2h',
      'respond met shelter_a +1d',
      'waitlist_review cancelled shelter_a +1d',
    ]);
    t.strictSame(await timers('shelter_b'), [
      'acknowledge met shelter_b +2h',
      'respond met shelter_b +1d',
      'handover running shelter_b +2d1h',
    ]);
  });

  await t.test('the waiting list: in time, and the other is not asked any more', async t => {
    const { act, refused, trail, told, othersTold, timers } = await begin({ referral: { urgency: 'urgent' } });
    await act('shelter_a', 'receive');
    await act('shelter_a', 'waitlist');
    await wait(HOUR / 2);
    await trail();
    t.equal(await act('shelter_a', 'accept'), 'accepted');
    t.equal(await refused('shelter_b', 'accept'), '409 wrong_state');
    t.strictSame(await trail(), ['shelter_a done referral.accept', 'shelter_b denied referral.accept wrong_state']);
    t.strictSame(await told('shelter_a'), ['referral.offered', 'referral.received', 'referral.waitlisted', 'referral.accepted']);
    t.strictSame(await told('shelter_b'), ['referral.offered', 'referral.cancelled']);
    t.strictSame((await told('helpline_a')).slice(-2), ['referral.offered', 'referral.accepted']);
    t.strictSame(await othersTold(), []);
    t.strictSame(await timers('shelter_a'), [
      'acknowledge met shelter_a +2h',
      'respond met shelter_a +1d',
      'waitlist_review met shelter_a +1d',
      'handover running shelter_a +2d30m',
    ]);
    t.strictSame(await timers('shelter_b'), ['acknowledge cancelled shelter_b +2h', 'respond cancelled shelter_b +1d']);
  });

  await t.test('no-show: somebody looks for the person, somebody else is asked, and the person arrives there', async t => {
    const { act, trail, told, othersTold, timers } = await begin({ referral: { urgency: 'emergency' } });
    const left = await placesLeft('shelter_a');
    await act('shelter_a', 'accept');
    t.equal(await placesLeft('shelter_a'), left - 1);
    await wait(2 * HOUR);
    t.equal(await act('shelter_a', 'report-no-show'), 'failed');
    t.equal(await placesLeft('shelter_a'), left);
    t.strictSame(await trail(), [
      ...OPENED,
      'router done referral.offer',
      'shelter_a done referral.accept',
      'shelter_a done referral.report_no_show no_show',
      'router done referral.offer',
    ]);
    t.strictSame(await told('helpline_a'), [
      ...BEGUN,
      'referral.offered',
      'referral.accepted',
      'referral.no_show',
      'referral.offered',
    ]);
    t.strictSame(await told('committee'), ['referral.no_show']);
    t.strictSame(await told('shelter_a'), [
      'referral.offered',
      'referral.accepted',
      'referral.no_show',
      'disclosure.deletion_due',
    ]);
    t.strictSame(await timers('helpline_a'), [
      'acknowledge met placed +15m',
      'respond met placed +1h',
      'acknowledge running placed +2h15m',
      'missing_person_check running helpline_a +3h',
      'respond running placed +3h',
      'handover cancelled placed +6h',
      'deletion_confirmation running placed +10d2h',
    ]);

    await wait(10 * MINUTE);
    const arrived_at = test.clock.now().toISOString();
    t.equal(await act('shelter_b', 'confirm-handover', { arrived_at }), 'in_progress', 'which says yes as well');
    t.strictSame(await trail(), ['clock done timer.warn acknowledge', 'shelter_b done referral.confirm_handover']);
    t.strictSame(await told('helpline_a'), ['referral.handover_confirmed']);
    t.strictSame(await told('shelter_b'), ['referral.offered', 'timer.warned acknowledge', 'referral.handover_confirmed']);
    t.strictSame(await othersTold(), []);
    t.strictSame(await timers('helpline_a'), [
      'acknowledge met placed +15m',
      'respond met placed +1h',
      'acknowledge met placed +2h15m',
      'missing_person_check met helpline_a +3h',
      'respond met placed +3h',
      'handover cancelled placed +6h',
      'review running placed +3d2h10m',
      'deletion_confirmation running placed +10d2h',
    ]);
  });

  await t.test('the last place: one has it, one goes over it, one waits for it', async t => {
    await setPlaces('shelter_a', 1);
    await setPlaces('shelter_b', 0);
    const one = await begin({ referral: { urgency: 'urgent' } });
    const named = { urgency: 'urgent', routing: 'direct', recipient_agency_id: agencies.shelter_a.id };
    const two = await begin({ referral: named });
    t.equal(await one.act('shelter_a', 'accept'), 'accepted');
    t.equal(await two.refused('shelter_a', 'accept'), '409 no_capacity');
    const three = await begin({ referral: { urgency: 'urgent' } });
    t.equal(await two.act('shelter_a', 'accept', { over_capacity: true }), 'accepted');
    t.equal(await placesLeft('shelter_a'), -1);
    t.strictSame(await two.trail(), [
      ...OPENED,
      'router done referral.offer',
      'shelter_a denied referral.accept no_capacity',
      'shelter_a done referral.accept',
    ]);
    t.strictSame(await two.told('shelter_a'), ['referral.offered', 'referral.accepted'], 'of what is refused nobody is told');
    t.strictSame(await two.told('helpline_a'), [...BEGUN, 'referral.offered', 'referral.accepted']);
    t.strictSame(await three.trail(), [...OPENED, 'router done referral.unplace']);
    t.strictSame(await three.told('committee'), ['referral.unplaced']);
    t.strictSame(await three.timers('committee'), ['unplaced_review running committee +4h']);

    await wait(HOUR);
    t.equal(await one.act('shelter_a', 'fail', { reason_code: 'left_service' }), 'failed');
    t.equal(await placesLeft('shelter_a'), 0);
    t.strictSame(await three.trail(), [], 'no place is free yet');
    t.equal(await two.act('shelter_a', 'fail', { reason_code: 'left_service' }), 'failed');
    t.equal(await placesLeft('shelter_a'), 1);
    t.strictSame(await three.trail(), ['router done referral.offer']);
    t.strictSame((await one.trail()).at(-1), 'router done referral.unplace', 'who failed is asked again only by name');
    t.strictSame(await two.trail(), ['shelter_a done referral.fail left_service', 'router done referral.unplace']);
    t.strictSame(await three.told('helpline_a'), [...BEGUN, 'referral.unplaced', 'referral.offered']);
    t.strictSame(await three.told('shelter_a'), ['referral.offered']);
    t.strictSame(await three.othersTold(), []);
    t.strictSame(await three.timers('helpline_a'), [
      'acknowledge running placed +3h',
      'unplaced_review met committee +4h',
      'respond running placed +1d1h',
    ]);
  });
});
