import t from 'tap';
import { newId } from '../../src/platform/ids.ts';
import { startTestApp } from '../support/app.ts';
import { entriesFor } from '../support/entries.ts';
import { HOUR, MEDICAL } from '../support/journey.ts';
import { mechanism } from '../support/mechanism.ts';
import { caseBody, consentBody, ok, referralBody } from '../support/night.ts';
import { storyteller } from '../support/story.ts';

/** Agencies that are spoken for, suspended, looked at, or that hand a case over: each story with its trail, events and clocks. */

// Long, and other suites beside it.
t.setTimeout(300_000);

t.test('stories of agencies', async t => {
  const test = await startTestApp(t);
  const them = await mechanism(test);
  const { agencies } = them;
  const { begin, linesFor, person, wait, preferShelter, setService, placesLeft } = storyteller(test, them);
  await preferShelter('shelter_a');
  const now = () => test.clock.now().toISOString();

  const OPENED = ['helpline_a done case.open', 'helpline_a done consent.give', 'helpline_a done referral.make'];
  const BEGUN = ['case.opened', 'consent.granted', 'referral.offered'];

  await t.test('by telephone: recorded for a shelter, which says that nobody there said so', async t => {
    const said = (more: object = {}) => ({ told_by: { channel: 'phone', at: now(), staff_code: 'NIGHT-7' }, ...more });
    const { act, refused, read, trail, told, othersTold, timers, kase } = await begin({ referral: { urgency: 'urgent' } });
    const left = await placesLeft('shelter_a');
    t.equal(await refused('helpline_a', 'accept'), '403 forbidden', 'not without saying who said it');
    t.equal(await act('helpline_a', 'receive', said()), 'received');
    t.equal(await act('committee', 'accept', said()), 'accepted');
    t.equal(await placesLeft('shelter_a'), left - 1);
    t.match(await read('shelter_a'), {
      status: 'accepted',
      disclosure: { categories: ['identity', 'contact', 'demographics', 'narrative'] },
    });
    t.strictSame(await trail(), [
      ...OPENED,
      'router done referral.offer',
      'helpline_a denied referral.accept forbidden',
      'helpline_a done referral.receive',
      'committee done referral.accept',
      'shelter_a read referral.read',
    ]);
    const recorded = await entriesFor(person('audit_body'), `case_id=${kase.id}&action=referral.accept&outcome=done`);
    t.match(recorded, [{ subjects: [{ record: { told_by_channel: 'phone', told_by_staff_code: 'NIGHT-7', told_at: now() } }] }]);
    t.strictSame(await told('shelter_a'), ['referral.offered', 'referral.received', 'referral.accepted']);
    t.strictSame(await told('helpline_a'), [...BEGUN, 'referral.received', 'referral.accepted']);
    t.strictSame(await told('committee'), ['referral.received', 'referral.accepted']);
    t.strictSame(await timers('shelter_a'), [
      'acknowledge met shelter_a +2h',
      'respond met shelter_a +1d',
      'handover running shelter_a +2d',
    ]);

    await wait(11 * HOUR);
    t.equal(await refused('helpline_a', 'contest', { note: 'CANARY not ours to say' }), '403 forbidden');
    t.equal(await act('shelter_a', 'contest', { note: 'CANARY nobody here said so' }), 'offered');
    t.equal(await placesLeft('shelter_a'), left);
    t.strictSame(await trail(), [
      'audit_body read audit.query',
      'helpline_a denied referral.contest forbidden',
      'shelter_a done referral.contest',
    ]);
    t.strictSame(await told('shelter_a'), ['referral.contested', 'disclosure.deletion_due']);
    t.strictSame(await told('helpline_a'), ['referral.contested']);
    t.strictSame(await told('committee'), ['referral.contested']);
    t.strictSame(await timers('shelter_a'), [
      'acknowledge met shelter_a +2h',
      'acknowledge running shelter_a +13h',
      'respond met shelter_a +1d',
      'respond running shelter_a +1d11h',
      'handover cancelled shelter_a +2d',
      'deletion_confirmation running shelter_a day 14',
    ]);

    t.equal(await act('helpline_a', 'decline', said({ reason_code: 'no_capacity' })), 'offered', 'the next is asked');
    t.equal(await act('shelter_b', 'receive'), 'received');
    await wait(12 * HOUR);
    t.equal(await refused('shelter_a', 'contest', { note: 'CANARY too late' }), '409 wrong_state');
    t.strictSame(await trail(), [
      'helpline_a done referral.decline no_capacity',
      'router done referral.offer',
      'shelter_b done referral.receive',
      'clock done timer.warn respond',
      'shelter_a denied referral.contest wrong_state',
    ]);
    t.strictSame(await told('committee'), ['referral.declined']);
    t.strictSame(await told('shelter_a'), ['referral.declined']);
    t.strictSame(await told('shelter_b'), ['referral.offered', 'referral.received', 'timer.warned respond']);
    t.strictSame(await told('helpline_a'), ['referral.declined', 'referral.offered', 'referral.received']);
    t.strictSame(await othersTold(), []);
  });

  await t.test('suspended: it finishes what it has, and is asked for nothing new', async t => {
    const consents = [MEDICAL.consent];
    const held = await begin({ consents, referral: MEDICAL.referral });
    await held.act('health', 'accept');
    const offered = await begin({ consents, referral: MEDICAL.referral });
    const path = `/v1/agencies/${agencies.health.id}`;
    const make = async (status: string) => ok(await person('committee').patch(path, { status }, { 'if-match': '*' }));
    await make('suspended');

    const SUSPENDED = { status: 403, body: { code: 'agency_suspended' } };
    const onward = referralBody({ ...MEDICAL.referral, categories: [] });
    const direct = { ...onward, routing: 'direct', recipient_agency_id: agencies.health.id };
    t.match(await person('health').post('/v1/cases', caseBody()), SUSPENDED);
    t.match(await person('health').post(`${held.path}/referrals`, onward), SUSPENDED);
    t.match(await person('helpline_a').post(`${held.path}/referrals`, direct), SUSPENDED);
    const later = await begin({ consents, referral: MEDICAL.referral });
    t.equal(later.referral.status, 'unplaced');
    t.strictSame(await later.told('committee'), ['referral.unplaced']);

    await wait(HOUR);
    t.equal(await held.act('health', 'confirm-handover', { arrived_at: now() }), 'in_progress');
    t.equal(await held.act('health', 'complete', { outcome_code: 'service_provided' }), 'completed');
    t.equal(await offered.act('health', 'accept'), 'accepted', 'it was asked before');
    t.strictSame(await held.trail(), [
      ...OPENED,
      'router done referral.offer',
      'health done referral.accept',
      'health denied referral.make agency_suspended',
      'helpline_a denied referral.make agency_suspended',
      'router done referral.follow_on',
      'router done referral.unplace',
      'health done referral.confirm_handover',
      'health done referral.complete service_provided',
    ]);
    const tried = await linesFor('audit_body', `agency_id=${agencies.health.id}&action=case.open`);
    t.strictSame(tried, ['health denied case.open agency_suspended']);
    t.strictSame(await held.told('health'), [
      'referral.offered',
      'referral.accepted',
      'referral.handover_confirmed',
      'referral.completed',
      'disclosure.deletion_due',
    ]);
    t.strictSame(await held.told('helpline_a'), [
      ...BEGUN,
      'referral.accepted',
      'referral.unplaced',
      'referral.handover_confirmed',
      'referral.completed',
    ]);
    t.strictSame(await held.told('committee'), ['referral.unplaced', 'referral.completed'], 'nobody goes on with it');
    t.strictSame(await held.othersTold(), []);
    t.strictSame(await held.timers('helpline_a'), [
      'acknowledge met health +2h',
      'respond met health +1d',
      'handover met health +2d',
      'deletion_confirmation running health day 14',
      'review met health day 14',
      'follow_up running helpline_a day 30',
    ]);
    t.strictSame(await offered.told('health'), ['referral.offered', 'timer.warned acknowledge', 'referral.accepted']);
    t.strictSame(await offered.timers('health'), [
      'acknowledge met health +2h',
      'respond met health +1d',
      'handover running health +2d1h',
    ]);

    t.strictSame(await later.trail(), [...OPENED, 'router done referral.unplace']);
    t.strictSame(await later.told('health'), []);
    await make('active');
    t.strictSame(await later.trail(), ['router done referral.offer']);
    t.strictSame(await later.told('health'), ['referral.offered']);
    t.strictSame(await later.told('helpline_a'), ['case.opened', 'consent.granted', 'referral.unplaced', 'referral.offered']);
    t.strictSame(await later.othersTold(), []);
    t.strictSame(await later.timers('helpline_a'), [
      'acknowledge running health +3h',
      'unplaced_review met committee +4h',
      'respond running health +1d1h',
    ]);
  });

  await t.test('looked at: by its auditors an agency for its own acts, by the ombudsperson all', async t => {
    const { act, refused, read, trail, told, othersTold, timers, kase, referral, path } = await begin({
      referral: { urgency: 'urgent' },
    });
    const of_case = `case_id=${kase.id}`;
    const of_referral = `referral_id=${referral.id}`;
    const absent = newId('ref');
    await read('shelter_a');
    await act('shelter_a', 'receive');
    t.equal(await refused('health', 'accept'), '404 not_found');
    t.equal(await refused('health', 'accept', {}, absent), '404 not_found');

    t.strictSame(await linesFor('shelter_a supervisor', of_referral), [
      'shelter_a read referral.read',
      'shelter_a done referral.receive',
    ]);
    t.strictSame(await linesFor('shelter_a supervisor', of_case), [], 'nobody there may know the case yet');
    t.strictSame(await linesFor('helpline_a supervisor', of_case), OPENED);
    t.strictSame(await linesFor('shelter_b supervisor', of_referral), []);
    t.strictSame(await linesFor('health supervisor', of_referral), []);
    const refusals = await entriesFor(person('health supervisor'), 'outcome=denied&action=referral.accept');
    t.equal(refusals.length, 2, 'the forbidden and the absent');
    for (const { meta, subjects } of refusals) {
      t.match(meta, { code: 'not_visible', subjects: 1 });
      t.strictSame(subjects.flatMap(Object.keys), ['commit'], 'look alike');
    }
    t.strictSame(await trail(), [
      ...OPENED,
      'router done referral.offer',
      'shelter_a read referral.read',
      'shelter_a done referral.receive',
      'health denied referral.accept not_visible',
    ]);
    t.strictSame(await linesFor('audit_body', `referral_id=${absent}`), ['health denied referral.accept not_visible']);

    await act('shelter_a', 'accept');
    ok(await person('shelter_a').get(path));
    t.strictSame(await linesFor('shelter_a supervisor', of_case), ['shelter_a done referral.accept', 'shelter_a read case.read']);
    t.strictSame(await linesFor('helpline_a supervisor', of_case), OPENED);
    t.equal((await person('shelter_a').get('/v1/audit/entries')).status, 403, 'who is no auditor');
    ok(await person('shelter_a supervisor').get(`/v1/audit/entries?${of_case}`));
    t.strictSame(await trail(), [
      'shelter_a done referral.accept',
      'shelter_a read case.read',
      'shelter_a supervisor read audit.query',
    ]);
    const refused_query = await linesFor('shelter_a supervisor', 'outcome=denied&action=audit.query');
    t.strictSame(refused_query, ['shelter_a denied audit.query forbidden']);
    t.strictSame(await linesFor('shelter_a supervisor', 'client_id=system:router'), [], 'what the service did is not theirs');
    t.strictSame(await told('shelter_a'), ['referral.offered', 'referral.received', 'referral.accepted']);
    t.strictSame(await told('helpline_a'), [...BEGUN, 'referral.received', 'referral.accepted']);
    t.strictSame(await othersTold(), [], 'nobody is told who looks');
    t.strictSame(await timers('health'), []);
  });

  await t.test('handed over: the case goes to another agency while a clinic is being asked', async t => {
    await setService('civil_society', 'case_management');
    const consents = [MEDICAL.consent, { recipient: { agency_kind: 'civil_society' }, purposes: ['case_management'] }];
    const story = await begin({ consents, referral: MEDICAL.referral });
    const { act, refused, trail, told, othersTold, timers, path, knowing } = story;
    await act('health', 'receive');
    const direct = { routing: 'direct', urgency: 'urgent', recipient_agency_id: agencies.civil_society.id };
    const transfer = await story.refer({ ...direct, service: 'case_management' });
    t.strictSame(await told('civil_society'), ['referral.offered'], 'which does not name the case');
    await trail();
    await told('helpline_a');
    await wait(HOUR);
    knowing.add('civil_society');
    t.equal(await act('civil_society', 'accept', {}, transfer.id), 'accepted');
    t.strictSame(await trail(), [
      'clock done timer.warn acknowledge',
      'civil_society done referral.accept',
      'civil_society done case.transfer',
    ]);
    t.strictSame(await told('helpline_a'), ['referral.accepted', 'case.transferred', 'disclosure.deletion_due']);
    t.strictSame(await told('civil_society'), ['timer.warned acknowledge', 'referral.accepted', 'case.transferred']);
    t.strictSame(await told('committee'), ['case.transferred']);
    t.strictSame(await told('health'), ['referral.offered', 'referral.received'], 'to whom it is all one');
    t.strictSame(await timers('helpline_a'), [
      'acknowledge met health +2h',
      'acknowledge met civil_society +2h',
      'respond running health +1d',
      'respond met civil_society +1d',
      'handover running civil_society +2d1h',
      'deletion_confirmation running helpline_a day 14',
    ]);

    t.equal(await act('health', 'request-information', { questions: ['CANARY Is she hurt?'] }), 'info_requested');
    t.equal(await refused('civil_society', 'provide-information', { answers: ['CANARY'] }), '403 forbidden');
    t.equal(await act('helpline_a', 'provide-information', { answers: ['CANARY a little'] }), 'received');
    t.equal(await act('health', 'accept'), 'accepted');
    t.equal((await person('helpline_a').post(`${path}/consents`, consentBody())).status, 403);
    const grants: { id: string; purposes: string[] }[] = ok(await person('civil_society').get(`${path}/consents`)).data;
    const { id } = grants.find(({ purposes }) => purposes.includes('medical'))!;
    const stop = { stop_service: true, spoken_in_private: false };
    ok(await person('civil_society').post(`/v1/consents/${id}/withdraw`, stop));
    t.strictSame(await trail(), [
      'health done referral.request_information',
      'civil_society denied referral.provide_information forbidden',
      'helpline_a done referral.provide_information',
      'health done referral.accept',
      'helpline_a denied consent.give forbidden',
      'civil_society read consent.list',
      'civil_society done consent.withdraw stop_service',
    ]);
    const ANSWERED = ['referral.information_requested', 'referral.information_provided', 'referral.accepted'];
    t.strictSame(await told('helpline_a'), [...ANSWERED, 'referral.withdrawn'], 'it is still the sender');
    t.strictSame(await told('civil_society'), [...ANSWERED, 'consent.withdrawn', 'referral.withdrawn']);
    const heard = await told('health');
    t.strictSame(heard.slice(0, 3), ANSWERED);
    t.strictSame(heard.slice(3).toSorted(), ['consent.withdrawn', 'disclosure.deletion_due', 'referral.withdrawn']);
    t.strictSame(await othersTold(), []);
    const RUNNING = [
      'handover running civil_society +2d1h',
      'deletion_confirmation running helpline_a day 14',
      'deletion_confirmation running health day 14',
    ];
    const running = async (key: 'civil_society' | 'helpline_a') => (await timers(key)).filter(line => line.includes(' running '));
    t.strictSame(await running('civil_society'), ['welfare_check running civil_society +1d1h', ...RUNNING]);
    t.strictSame(await running('helpline_a'), RUNNING, 'the person is not its to look after any more');
  });
});
