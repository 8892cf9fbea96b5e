import t from 'tap';
import type { DemoAgencyKey } from '../../src/demo.ts';
import { newId } from '../../src/platform/ids.ts';
import { startTestApp } from '../support/app.ts';
import { drain } from '../support/drain.ts';
import { all, clinic, HOUR } from '../support/journey.ts';
import { type Client, mechanism } from '../support/mechanism.ts';
import { caseBody, consentBody, ok, referralBody } from '../support/night.ts';

// Much of it, and other suites beside it.
t.setTimeout(300_000);

/** The lifecycle of a referral as agencies meet it. The table itself is walked in table-walk.test.ts. */

t.test('one referral to one agency', async t => {
  const test = await startTestApp(t);
  const { services } = test;
  const them = await mechanism(test);
  const { sender, receiver, at } = clinic(them);

  await t.test('what is not said right is not understood', async t => {
    const { referral } = await at(test, 'accepted');
    const path = `/v1/referrals/${referral.id}`;
    const rows: [Client, string, unknown, string][] = [
      [receiver, 'decline', {}, '/reason_code'],
      [receiver, 'decline', { reason_code: 'no_show' }, '/reason_code'],
      [receiver, 'fail', {}, '/reason_code'],
      [receiver, 'fail', { reason_code: 'no_capacity' }, '/reason_code'],
      [receiver, 'complete', {}, '/outcome_code'],
      [receiver, 'confirm-handover', {}, '/arrived_at'],
      [receiver, 'confirm-handover', { arrived_at: 'tonight' }, '/arrived_at'],
      [receiver, 'request-information', { questions: [] }, '/questions'],
      [sender, 'provide-information', {}, '/answers'],
      [sender, 'reroute', { reason_code: 'error' }, '/agency_id'],
      [sender, 'cancel', {}, '/reason_code'],
      [receiver, 'receive', { note: 'x' }, '/note'],
      [receiver, 'accept', { over_capacity: 'yes' }, '/over_capacity'],
    ];
    for (const [who, verb, body, pointer] of rows) {
      t.match(
        await who.post(`${path}/${verb}`, body),
        { status: 400, body: { code: 'invalid_request', errors: [{ pointer }] } },
        verb,
      );
    }
    const in_an_hour = new Date(services.now().getTime() + HOUR).toISOString();
    const early = await receiver.post(`${path}/confirm-handover`, { arrived_at: in_an_hour });
    t.match(early, { status: 422, body: { errors: [{ pointer: '/arrived_at' }] } }, 'nobody arrives in the future');
    const other = await at(test, 'declined');
    const both = await receiver.post(`/v1/referrals/${other.referral.id}/confirm-handover`, { arrived_at: in_an_hour });
    t.equal(both.status, 422, 'what the request contradicts is said before the state');
    const foreign = await sender.post(`${path}/provide-information`, { answers: ['x'], offer_id: other.referral.offer.id });
    t.match(foreign, { status: 422, body: { errors: [{ pointer: '/offer_id' }] } });
    const nowhere = { agency_id: them.agencies.shelter_a.id, reason_code: 'error' };
    t.match(
      await sender.post(`${path}/reroute`, nowhere),
      { status: 422, body: { code: 'not_offered' } },
      'before the state, too',
    );
  });

  await t.test('whoever has read something older is told so', async t => {
    const { referral } = await at(test, 'offered');
    const path = `/v1/referrals/${referral.id}`;
    const read = await receiver.get(path);
    t.equal(read.headers.etag, `"${read.body.version}"`);
    t.equal((await sender.get(path)).headers.etag, read.headers.etag, 'the same for every viewer');
    ok(await receiver.post(`${path}/receive`, {}, { 'if-match': String(read.headers.etag) }));
    const stale = { 'if-match': String(read.headers.etag) };
    t.match(await receiver.post(`${path}/accept`, {}, stale), { status: 412, body: { code: 'precondition_failed' } });
    t.match(
      await receiver.post(`${path}/complete`, { outcome_code: 'service_provided' }, stale),
      { status: 412 },
      'before the state',
    );
    ok(await receiver.post(`${path}/accept`, {}, { 'if-match': String((await sender.get(path)).headers.etag) }));
  });

  await t.test('questions and answers are between sender and receiver, while the offer is live', async t => {
    const { referral } = await at(test, 'info_requested');
    const path = `/v1/referrals/${referral.id}`;
    ok(await sender.post(`${path}/provide-information`, { answers: ['CANARY-ANSWER'], offer_id: referral.offer.id }));
    ok(await receiver.post(`${path}/request-information`, { questions: ['And now?'] }));
    const asked = ok(await sender.get(path));
    t.match(asked.offer.questions, [
      { questions: ['Is she hurt?'], answers: ['CANARY-ANSWER'] },
      { questions: ['And now?'], answers: undefined },
    ]);
    ok(await sender.post(`${path}/provide-information`, { answers: ['Better'] }));
    t.match(ok(await receiver.get(path)).offer.questions[1], { answers: ['Better'] });
    t.notMatch(
      JSON.stringify(ok(await them.as('committee').get(path))),
      /CANARY|Is she hurt/,
      'the coordinator reads none of it',
    );
    ok(await receiver.post(`${path}/decline`, { reason_code: 'not_eligible', note: 'CANARY-DECLINED' }));
    t.notMatch(JSON.stringify(ok(await receiver.get(path))), /CANARY|questions/, 'a party to an ended offer keeps a stub');
    t.match(JSON.stringify(ok(await sender.get(path))), /CANARY-DECLINED/);
  });

  await t.test('an answer comes late', async t => {
    const late = await at(test, 'expired');
    const path = `/v1/referrals/${late.referral.id}`;
    const accepted = ok(await receiver.post(`${path}/accept`));
    t.match(accepted, { status: 'accepted', disclosure: { data: { identity: { given_name: 'Testname' } } } });
    t.match(accepted.offer, { status: 'accepted', ended_at: null, reason_code: null });
    const names = (await all(sender, `/v1/timers?subject_id=${late.referral.id}`)).map(timer => [timer.name, timer.state]);
    t.match(Object.fromEntries(names), { respond: 'met', handover: 'running', unplaced_review: 'met' });
  });
});

t.test('a suspended agency', async t => {
  const test = await startTestApp(t);
  const { services } = test;
  const them = await mechanism(test);
  const { as, agencies } = them;
  const { sender, receiver, ask } = clinic(them);
  const admin = as('committee', 'nobody');
  async function set(key: DemoAgencyKey, status: 'active' | 'suspended') {
    const path = `/v1/agencies/${agencies[key].id}`;
    ok(await admin.patch(path, { status }, { 'if-match': String((await admin.get(path)).headers.etag) }));
  }

  const running = await ask();
  const unanswered = await ask();
  ok(await receiver.post(`/v1/referrals/${running.referral.id}/accept`));
  await set('health', 'suspended');

  await t.test('takes no new offers', async t => {
    const body = referralBody({ service: 'medical', routing: 'direct', recipient_agency_id: agencies.health.id } as never);
    const refused = await sender.post(`/v1/cases/${running.kase.id}/referrals`, body);
    t.match(refused, { status: 403, body: { code: 'agency_suspended' } });
    const automatic = ok(
      await sender.post(`/v1/cases/${running.kase.id}/referrals`, referralBody({ service: 'medical' } as never)),
    );
    t.equal(automatic.status, 'unplaced');
    await set('health', 'active');
    await drain(services);
    t.equal(ok(await sender.get(`/v1/referrals/${automatic.id}`)).status, 'offered', 'until it is back');
    await set('health', 'suspended');
  });

  await t.test('opens no cases and makes no referrals', async t => {
    t.match(await receiver.post('/v1/cases', caseBody()), { status: 403, body: { code: 'agency_suspended' } });
    await set('helpline_a', 'suspended');
    t.match(await sender.post('/v1/cases', caseBody()), { status: 403, body: { code: 'agency_suspended' } });
    const more = await sender.post(`/v1/cases/${running.kase.id}/referrals`, referralBody({ service: 'medical' } as never));
    t.match(more, { status: 403, body: { code: 'agency_suspended' } });
    const absent = await sender.post(`/v1/cases/${newId('cas')}/referrals`, referralBody());
    t.match(absent, { status: 403, body: { code: 'agency_suspended' } }, 'whatever the case');
  });

  await t.test('finishes its duties', async t => {
    const path = `/v1/referrals/${running.referral.id}`;
    ok(await receiver.post(`${path}/confirm-handover`, { arrived_at: services.now().toISOString() }));
    t.match(ok(await receiver.get(path)).disclosure.data.identity, { given_name: 'Testname' });
    ok(await receiver.post(`${path}/complete`, { outcome_code: 'service_provided' }));
    ok(await receiver.post(`/v1/referrals/${unanswered.referral.id}/accept`));
    ok(await sender.get(`/v1/cases/${running.kase.id}`));
    ok(await sender.post(`/v1/referrals/${unanswered.referral.id}/cancel`, { reason_code: 'error' }));
    ok(await sender.post(`/v1/cases/${running.kase.id}/consents`, consentBody()));
  });
});
