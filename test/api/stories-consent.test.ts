import t from 'tap';
import { startTestApp } from '../support/app.ts';
import { DAY, HOUR, MEDICAL, MINUTE, NONE } from '../support/journey.ts';
import { mechanism } from '../support/mechanism.ts';
import { ok } from '../support/night.ts';
import { storyteller } from '../support/story.ts';

/** What may be known, and what happens when it may not be known any more: each story with its trail, events and clocks. */

// Long, and other suites beside it.
t.setTimeout(300_000);

t.test('stories of consent', async t => {
  const test = await startTestApp(t);
  const them = await mechanism(test);
  const { agencies } = them;
  const { begin, linesFor, person, wait, preferShelter, placesLeft } = storyteller(test, them);
  await preferShelter('shelter_a');
  const arrived_at = () => test.clock.now().toISOString();

  const BEGUN = ['case.opened', 'consent.granted', 'referral.offered'];
  const OPENED = ['helpline_a done case.open', 'helpline_a done consent.give', 'helpline_a done referral.make'];

  await t.test('withdrawn before acceptance, and overheard: nobody is asked any more, and somebody looks after her', async t => {
    const { act, refused, read, withdraw, trail, told, othersTold, timers } = await begin({ referral: { urgency: 'urgent' } });
    t.equal(await act('shelter_a', 'receive'), 'received');
    t.match(await read('shelter_a'), { profile: { sex: 'female' } });
    await wait(10 * MINUTE);
    await withdraw({ spoken_in_private: false });
    t.equal((await read('helpline_a')).status, 'withdrawn');
    t.match(await read('shelter_a'), { status: 'withdrawn', profile: undefined });
    t.equal(await refused('shelter_a', 'accept'), '409 wrong_state');
    t.strictSame(await trail(), [
      ...OPENED,
      'router done referral.offer',
      'shelter_a done referral.receive',
      'shelter_a read referral.read',
      'helpline_a done consent.withdraw',
      'helpline_a read referral.read',
      'shelter_a read referral.read',
      'shelter_a denied referral.accept wrong_state',
    ]);
    t.strictSame(await told('shelter_a'), ['referral.offered', 'referral.received', 'referral.withdrawn']);
    t.strictSame(await told('helpline_a'), [...BEGUN, 'referral.received', 'consent.withdrawn', 'referral.withdrawn']);
    t.strictSame(await othersTold(), []);
    t.strictSame(await timers('helpline_a'), [
      'acknowledge met placed +2h',
      'respond cancelled placed +1d',
      'welfare_check running helpline_a +1d10m',
    ]);
  });

  await t.test(
    'withdrawn before acceptance, but another grant stands: whom it names is asked, and need not be hidden',
    async t => {
      const consents = [{}, { recipient: { agency_id: agencies.shelter_b.id } }];
      const { act, withdraw, trail, told, othersTold, timers } = await begin({ consents, referral: { urgency: 'urgent' } });
      await trail();
      await withdraw();
      t.strictSame(await trail(), ['helpline_a done consent.withdraw', 'router done referral.offer']);
      t.strictSame(await told('shelter_a'), ['referral.offered', 'referral.withdrawn']);
      t.strictSame(await told('shelter_b'), ['referral.offered']);
      t.equal(await act('shelter_b', 'accept'), 'accepted');
      t.strictSame(await told('shelter_b'), ['referral.accepted']);
      t.strictSame(await told('helpline_a'), [
        'case.opened',
        'consent.granted',
        'consent.granted',
        'referral.offered',
        'consent.withdrawn',
        'referral.withdrawn',
        'referral.offered',
        'referral.accepted',
      ]);
      t.strictSame(await othersTold(), []);
      t.strictSame(await timers('helpline_a'), [
        'acknowledge cancelled placed +2h',
        'acknowledge met shelter_b +2h',
        'respond cancelled placed +1d',
        'respond met shelter_b +1d',
        'handover running shelter_b +2d',
      ]);
    },
  );

  await t.test('withdrawn after acceptance: the story is taken back, the bed is not', async t => {
    const { act, read, withdraw, trail, told, othersTold, timers, kase } = await begin({ referral: { urgency: 'urgent' } });
    await act('shelter_a', 'accept');
    await trail();
    await wait(HOUR);
    await withdraw();
    t.match(await read('shelter_a'), { status: 'accepted', disclosure: { categories: NONE, data: {} } });
    t.equal(await act('shelter_a', 'confirm-handover', { arrived_at: arrived_at() }), 'in_progress');
    t.strictSame(ok(await person('shelter_a').get(`/v1/cases/${kase.id}`)).data, {});
    t.strictSame(await trail(), [
      'helpline_a done consent.withdraw',
      'shelter_a read referral.read',
      'shelter_a done referral.confirm_handover',
      'shelter_a read case.read',
    ]);
    t.strictSame(unordered(await told('shelter_a')), [
      'consent.withdrawn',
      'disclosure.deletion_due',
      'referral.accepted',
      'referral.handover_confirmed',
      'referral.offered',
    ]);
    t.strictSame(await told('helpline_a'), [...BEGUN, 'referral.accepted', 'consent.withdrawn', 'referral.handover_confirmed']);
    t.strictSame(await othersTold(), []);
    t.strictSame(await timers('shelter_a'), [
      'acknowledge met shelter_a +2h',
      'respond met shelter_a +1d',
      'handover met shelter_a +2d',
      'deletion_confirmation running shelter_a day 12',
      'review running shelter_a day 14',
    ]);
  });

  await t.test('withdrawn with the service: everything ends, and the place is free', async t => {
    const { act, refused, read, withdraw, trail, told, othersTold, timers } = await begin({ referral: { urgency: 'urgent' } });
    const left = await placesLeft('shelter_a');
    await act('shelter_a', 'accept');
    await act('shelter_a', 'confirm-handover', { arrived_at: arrived_at() });
    await trail();
    await wait(DAY);
    await withdraw({ stop_service: true });
    t.equal(await placesLeft('shelter_a'), left);
    t.match(await read('shelter_a'), { status: 'withdrawn', disclosure: undefined });
    t.equal(await refused('shelter_a', 'review'), '409 wrong_state');
    t.equal(await refused('shelter_b', 'accept'), '404 not_found');
    t.strictSame(await trail(), [
      'helpline_a done consent.withdraw stop_service',
      'shelter_a read referral.read',
      'shelter_a denied referral.review wrong_state',
      'shelter_b denied referral.accept not_visible',
    ]);
    const heard = await told('shelter_a');
    t.strictSame(heard.slice(0, 3), ['referral.offered', 'referral.accepted', 'referral.handover_confirmed']);
    t.strictSame(unordered(heard.slice(3)), ['consent.withdrawn', 'disclosure.deletion_due', 'referral.withdrawn']);
    t.strictSame(await told('helpline_a'), [
      ...BEGUN,
      'referral.accepted',
      'referral.handover_confirmed',
      'consent.withdrawn',
      'referral.withdrawn',
    ]);
    t.strictSame(await othersTold(), []);
    t.strictSame(await timers('helpline_a'), [
      'acknowledge met placed +2h',
      'respond met placed +1d',
      'handover met placed +2d',
      'review cancelled placed day 14',
      'deletion_confirmation running placed day 14',
    ]);
  });

  await t.test('withdrawn in part: what another grant covers stays, what is lost has to be deleted', async t => {
    const { act, read, withdraw, trail, told, othersTold, timers, grants, path } = await begin({
      consents: [
        { ...MEDICAL.consent, categories: ['identity', 'contact', 'narrative'] },
        { ...MEDICAL.consent, recipient: { agency_id: agencies.health.id }, categories: ['narrative'] },
      ],
      referral: { ...MEDICAL.referral, categories: ['identity', 'contact', 'narrative'] },
    });
    await act('health', 'accept');
    await trail();
    await told('health');
    await told('helpline_a');
    await wait(HOUR);
    await withdraw({ categories: ['narrative'] });
    t.strictSame((await read('health')).disclosure.categories, ['identity', 'contact', 'narrative']);
    t.strictSame(await told('health'), []);
    t.strictSame(await told('helpline_a'), ['consent.withdrawn']);
    await withdraw({ categories: ['contact'] });
    t.strictSame((await read('health')).disclosure.categories, ['identity', 'narrative']);
    t.strictSame(await trail(), [
      'helpline_a done consent.withdraw',
      'health read referral.read',
      'helpline_a done consent.withdraw',
      'health read referral.read',
    ]);
    t.strictSame(unordered(await told('health')), ['consent.withdrawn', 'disclosure.deletion_due']);
    t.strictSame(await told('helpline_a'), ['consent.withdrawn']);
    t.strictSame(await timers('health'), [
      'acknowledge met health +2h',
      'respond met health +1d',
      'handover running health +2d',
      'deletion_confirmation running health day 14',
    ]);

    await wait(HOUR);
    await withdraw({}, grants[1]);
    const patch = { intake: { narrative: 'CANARY told again' }, danger_flags: ['weapons'] };
    ok(await person('helpline_a').patch(path, patch, { 'if-match': '*' }));
    t.strictSame(Object.keys((await read('health')).disclosure.data), ['identity']);
    t.strictSame(await trail(), ['helpline_a done consent.withdraw', 'helpline_a done case.amend', 'health read referral.read']);
    t.strictSame(await told('health'), ['consent.withdrawn', 'safety.changed'], 'nobody tells it that the story has changed');
    t.strictSame(await told('helpline_a'), ['consent.withdrawn']);
    t.strictSame(await othersTold(), []);
    t.strictSame(await timers('health'), [
      'acknowledge met health +2h',
      'safety_ack running health +2h15m',
      'respond met health +1d',
      'handover running health +2d',
      'deletion_confirmation running health day 14',
    ]);
  });

  await t.test('a lawful ground: the inspectors report to the prosecution, and are looked at', async t => {
    const asked = {
      service: 'criminal_investigation',
      urgency: 'urgent',
      routing: 'direct',
      recipient_agency_id: agencies.prosecution.id,
      categories: ['narrative', 'labour'],
      lawful_ground: { code: 'mandatory_report', person_informed: false, legal_basis: 'CANARY-BASIS' },
    };
    const person_at_site = { exploitation: { forms: ['CANARY-FORM'] } };
    const story = await begin({ by: 'labour_inspection', consents: [], kase: person_at_site, referral: asked });
    const { act, refused, read, trail, told, othersTold, timers, path, kase } = story;
    for (const category of ['source', 'protection_status']) {
      const answer = await person('labour_inspection').post(`${path}/referrals`, { ...asked, categories: [category] });
      t.match(answer, { status: 409, body: { code: 'consent_missing', categories: [category] } });
      t.strictSame(answer.body.lawful_grounds, []);
    }
    t.equal(await act('prosecution', 'accept'), 'accepted');
    const known = ok(await person('prosecution').get(path));
    t.strictSame(Object.keys(known.data).sort(), ['labour', 'narrative']);
    t.strictSame(await trail(), [
      'labour_inspection done case.open',
      'labour_inspection done referral.make',
      'router done referral.offer',
      'labour_inspection denied referral.make consent_missing',
      'labour_inspection denied referral.make consent_missing',
      'prosecution done referral.accept',
      'prosecution read case.read',
    ]);
    t.strictSame(await linesFor('audit_body', `case_id=${kase.id}&lawful_ground=mandatory_report`), [
      'labour_inspection done referral.make',
      'router done referral.offer',
      'prosecution done referral.accept',
    ]);
    t.strictSame(await told('labour_inspection'), ['case.opened', 'referral.offered', 'referral.accepted']);
    t.strictSame(await told('prosecution'), ['referral.offered', 'referral.accepted']);
    t.strictSame(await timers('labour_inspection'), [
      'acknowledge met prosecution +2h',
      'ground_review running labour_inspection +1d',
      'respond met prosecution +1d',
      'handover running prosecution +2d',
    ]);
    await wait(DAY);
    t.strictSame(await told('labour_inspection'), [
      'timer.warned ground_review',
      'timer.warned ground_review',
      'timer.breached ground_review',
      'timer.escalated ground_review',
    ]);
    t.strictSame(await told('committee'), ['timer.breached ground_review']);
    await wait(HOUR);
    t.equal(await refused('labour_inspection', 'review-ground', { upheld: false }), '403 forbidden');
    t.equal(await refused('prosecution supervisor', 'review-ground', { upheld: true }), '403 forbidden');
    t.equal(await act('labour_inspection supervisor', 'review-ground', { upheld: false }), 'accepted');
    t.strictSame((await read('prosecution')).disclosure, { categories: [], data: {} });
    t.strictSame(await trail(), [
      'clock done timer.warn ground_review',
      'clock done timer.warn ground_review',
      'clock done timer.breach ground_review',
      'clock done timer.escalate ground_review',
      'clock done timer.warn handover',
      'labour_inspection denied referral.review_ground forbidden',
      'prosecution supervisor denied referral.review_ground forbidden',
      'labour_inspection supervisor done referral.review_ground not_upheld',
      'prosecution read referral.read',
    ]);
    const [warned, ...over] = await told('prosecution');
    t.equal(warned, 'timer.warned handover', 'the person is still expected');
    t.strictSame(over, ['consent.withdrawn', 'disclosure.deletion_due']);
    t.equal((await told('labour_inspection')).at(-1), 'consent.withdrawn');
    t.strictSame(await othersTold(), []);
    t.strictSame(await timers('labour_inspection'), [
      'acknowledge met prosecution +2h',
      'ground_review met labour_inspection +1d',
      'respond met prosecution +1d',
      'handover running prosecution +2d',
      'deletion_confirmation running prosecution day 14',
    ]);

    const unanswered = await begin({ by: 'labour_inspection', consents: [], referral: asked });
    await unanswered.trail();
    t.equal(await unanswered.act('committee', 'review-ground', { upheld: false }), 'withdrawn');
    t.equal(await unanswered.refused('prosecution', 'accept'), '409 wrong_state');
    t.strictSame(await unanswered.trail(), [
      'committee done referral.review_ground not_upheld',
      'prosecution denied referral.accept wrong_state',
    ]);
    t.strictSame(await unanswered.told('prosecution'), ['referral.offered', 'referral.withdrawn']);
    t.strictSame(await unanswered.told('labour_inspection'), [
      'case.opened',
      'referral.offered',
      'consent.withdrawn',
      'referral.withdrawn',
    ]);
    t.strictSame(await unanswered.timers('labour_inspection'), [
      'acknowledge cancelled prosecution +2h',
      'ground_review met labour_inspection +1d',
      'respond cancelled prosecution +1d',
    ]);
    t.strictSame(await unanswered.othersTold(), []);
  });
});

/** The events of one act have no order that the contract knows. */
const unordered = (lines: readonly string[]): string[] => lines.toSorted();
