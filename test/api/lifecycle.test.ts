import t from 'tap';
import { OFFER_STATUSES, type OfferStatus } from '../../src/core/codes.ts';
import type { DemoAgencyKey } from '../../src/demo.ts';
import { newId } from '../../src/platform/ids.ts';
import { startTestApp } from '../support/app.ts';
import { drain } from '../support/drain.ts';
import { all, clinic, eventsOf, HOUR } from '../support/journey.ts';
import { type Client, type Mechanism, mechanism } from '../support/mechanism.ts';
import { caseBody, consentBody, ok, referralBody } from '../support/night.ts';
import { lookAsOwner } from '../support/trail.ts';

// Much of it, and other suites beside it.
t.setTimeout(90_000);

/** The lifecycle of a referral as agencies meet it. The tables here are written from the domain contract, not from the code. */

interface Verb {
  path: string;
  by: 'receiver' | 'sender';
  /** Statuses of the receiver's own offer. */
  from: OfferStatus[];
  to: OfferStatus | 'unplaced';
  event: string;
  body?: Record<string, unknown>;
}

const BEFORE_ACCEPTED: OfferStatus[] = ['offered', 'received', 'info_requested', 'waitlisted'];
/** The only agency that was asked has ended its offer: nobody is asked any more. */
const UNPLACED: OfferStatus[] = ['declined', 'expired', 'failed'];

/** In the order of the table in the contract. */
const VERBS: Record<string, Verb> = {
  receive: { path: 'receive', by: 'receiver', from: ['offered'], to: 'received', event: 'received' },
  request_information: {
    path: 'request-information',
    by: 'receiver',
    from: ['received'],
    to: 'info_requested',
    event: 'information_requested',
    body: { questions: ['Is she hurt?'] },
  },
  provide_information: {
    path: 'provide-information',
    by: 'sender',
    from: ['info_requested'],
    to: 'received',
    event: 'information_provided',
    body: { answers: ['No'] },
  },
  waitlist: { path: 'waitlist', by: 'receiver', from: ['received', 'info_requested'], to: 'waitlisted', event: 'waitlisted' },
  accept: { path: 'accept', by: 'receiver', from: [...BEFORE_ACCEPTED, 'expired'], to: 'accepted', event: 'accepted' },
  decline: {
    path: 'decline',
    by: 'receiver',
    from: BEFORE_ACCEPTED,
    to: 'unplaced',
    event: 'declined',
    body: { reason_code: 'unsafe' },
  },
  reroute: { path: 'reroute', by: 'sender', from: [...BEFORE_ACCEPTED, ...UNPLACED], to: 'offered', event: 'rerouted' },
  confirm_handover: {
    path: 'confirm-handover',
    by: 'receiver',
    from: [...BEFORE_ACCEPTED, 'accepted'],
    to: 'in_progress',
    event: 'handover_confirmed',
    body: { arrived_at: '2026-11-21T19:00:00.000Z' },
  },
  report_no_show: { path: 'report-no-show', by: 'receiver', from: ['accepted'], to: 'unplaced', event: 'no_show' },
  review: { path: 'review', by: 'receiver', from: ['in_progress'], to: 'in_progress', event: 'reviewed' },
  complete: {
    path: 'complete',
    by: 'receiver',
    from: ['in_progress'],
    to: 'completed',
    event: 'completed',
    body: { outcome_code: 'service_provided' },
  },
  fail: {
    path: 'fail',
    by: 'receiver',
    from: ['accepted', 'in_progress'],
    to: 'unplaced',
    event: 'failed',
    body: { reason_code: 'service_ended' },
  },
  cancel: {
    path: 'cancel',
    by: 'sender',
    from: [...BEFORE_ACCEPTED, 'accepted', ...UNPLACED],
    to: 'cancelled',
    event: 'cancelled',
    body: { reason_code: 'need_met_elsewhere' },
  },
};
const ALL = Object.entries(VERBS);
/** For every status: the one that waits for the clock first, for it moves on for all; then the rest beside each other. */
async function forEachStatus(work: (status: OfferStatus) => Promise<void>): Promise<void> {
  await work('expired');
  await Promise.all(OFFER_STATUSES.filter(status => status !== 'expired').map(work));
}

const bodyOf = ({ path, body }: Verb, { agencies }: Mechanism) =>
  path === 'reroute' ? { agency_id: agencies.health.id, reason_code: 'better_match' } : (body ?? {});

t.test('one referral to one agency', async t => {
  const test = await startTestApp(t);
  const { services } = test;
  const them = await mechanism(test);
  const { sender, receiver, at, ask } = clinic(them);

  await t.test('every verb in every right state', async t => {
    const expected: { referral_id: string; event: string; party: Verb['by'] }[] = [];
    await forEachStatus(async status => {
      for (const [name, verb] of ALL) {
        if (!verb.from.includes(status)) continue;
        const { referral } = await at(test, status);
        const who = verb.by === 'sender' ? sender : receiver;
        const answer = await who.post(`/v1/referrals/${referral.id}/${verb.path}`, bodyOf(verb, them));
        t.equal(answer.status, 200, `${name} when ${status} ${JSON.stringify(answer.body.errors ?? '')}`);
        t.match(answer.headers['audit-receipt'], /^[0-9a-f]{64}$/);
        const after = ok(await sender.get(`/v1/referrals/${referral.id}`));
        t.equal(after.status, verb.to, `${name} when ${status}`);
        t.match(answer.headers.etag, `"${after.version}"`);
        t.ok(after.version > referral.version);
        expected.push({ referral_id: referral.id, event: verb.event, party: verb.by });
      }
    });
    const told = await eventsOf(services, sender);
    const receiver_told = await eventsOf(services, receiver);
    for (const { referral_id, event } of expected) {
      const of = (events: typeof told) =>
        events.filter(({ type, data }) => type === `referral.${event}` && data.referral_id === referral_id).length;
      t.ok(of(told) > 0, `the sender is told of ${event}`);
      // Nothing is live where the sender acts on what is unplaced.
      if (event !== 'rerouted' && event !== 'cancelled') t.ok(of(receiver_told) > 0, `the receiver is told of ${event}`);
    }
  });

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

  await t.test('fifty say yes at once', async t => {
    const { referral } = await ask({ urgency: 'emergency' });
    const answers = await Promise.all(Array.from({ length: 50 }, () => receiver.post(`/v1/referrals/${referral.id}/accept`)));
    t.equal(answers.filter(({ status }) => status === 200).length, 1);
    t.equal(
      answers.filter(({ status, body }) => status === 409 && body.code === 'wrong_state' && body.state === 'accepted').length,
      49,
    );
    const [{ disclosures, handovers, events }] = (await lookAsOwner(
      services,
      `select (select count(*)::int from disclosures where referral_id = $1) as disclosures,
        (select count(*)::int from timers where referral_id = $1 and name = 'handover') as handovers,
        (select count(distinct id)::int from events where referral_id = $1 and type = 'referral.accepted') as events`,
      [referral.id],
    )) as [{ disclosures: number; handovers: number; events: number }];
    t.strictSame({ disclosures, handovers, events }, { disclosures: 1, handovers: 1, events: 1 });
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
