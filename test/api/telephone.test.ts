import t from 'tap';
import { startTestApp } from '../support/app.ts';
import { entriesFor } from '../support/entries.ts';
import { clinic, eventsOf, HOUR } from '../support/journey.ts';
import { mechanism } from '../support/mechanism.ts';
import { ok, startNight } from '../support/night.ts';

const told = (at: string, more: object = {}) => ({ told_by: { channel: 'phone', at, staff_code: 'NIGHT-7' }, ...more });

t.test('what was said by telephone', async t => {
  const test = await startTestApp(t);
  const { services, clock } = test;
  const they = await mechanism(test);
  const { as } = they;
  const { sender, receiver, ask, at } = clinic(they);
  const committee = as('committee');
  const now = () => clock.now().toISOString();
  const act = (who: typeof sender, id: string, verb: string, body: object) => who.post(`/v1/referrals/${id}/${verb}`, body);
  const typesFor = async (who: typeof sender, id: string) => (await eventsOf(services, who, id)).map(({ type }) => type);

  await t.test('the sender records each of four steps; the receiver is told, and may act on from there', async t => {
    const { referral } = await ask();
    t.equal(ok(await act(sender, referral.id, 'receive', told(now()))).status, 'received');
    const accepted = ok(await act(sender, referral.id, 'accept', told(now())));
    t.equal(accepted.status, 'accepted');
    t.match(accepted.offer, {
      told: [
        { action: 'receive', recorded_by: 'sender', channel: 'phone', staff_code: 'NIGHT-7' },
        { action: 'accept', recorded_by: 'sender', at: now() },
      ],
      contestable_until: new Date(clock.now().getTime() + 12 * HOUR).toISOString(),
    });
    const seen = ok(await receiver.get(`/v1/referrals/${referral.id}`));
    t.match(seen.disclosure.data, { narrative: { narrative: /locked in/ } }, 'acceptance opens what consent covers');
    t.ok(seen.allowed_actions.includes('contest'));
    t.match(seen.offer.told, [{ action: 'receive' }, { action: 'accept' }]);
    const [, by_telephone] = (await eventsOf(services, receiver, referral.id)).slice(-2);
    t.match(by_telephone, { type: 'referral.accepted', data: { recorded_by: 'sender', contestable_until: String } });
    t.ok((await typesFor(committee, referral.id)).includes('referral.accepted'), 'the coordinator hears of telephone records');

    t.equal(ok(await act(sender, referral.id, 'confirm-handover', told(now(), { arrived_at: now() }))).status, 'in_progress');
    ok(await act(receiver, referral.id, 'review', {}));
    t.notOk(
      ok(await receiver.get(`/v1/referrals/${referral.id}`)).allowed_actions.includes('contest'),
      'it has taken the matter in hand itself',
    );
    t.match(
      await entriesFor(as('audit_body'), `referral_id=${referral.id}&action=referral.accept`),
      [{ subjects: [{ record: { told_by_channel: 'phone', told_by_staff_code: 'NIGHT-7', told_at: String } }] }],
      'the trail says who said it',
    );
  });

  await t.test('a decline goes on like any other; the coordinator may record, too', async t => {
    const { referral } = await at(test, 'received');
    const body = told(now(), { reason_code: 'no_capacity' });
    const declined = ok(await act(committee, referral.id, 'decline', body));
    t.equal(declined.status, 'unplaced');
    t.equal(ok(await receiver.get(`/v1/referrals/${referral.id}`)).status, 'declined');
    t.match((await eventsOf(services, sender, referral.id)).find(({ type }) => type === 'referral.declined')?.data, {
      recorded_by: 'coordinator',
    });
  });

  await t.test('the receiver contests: it is asked anew, holds nothing, and the coordinator is told', async t => {
    for (const status of ['accepted', 'in_progress', 'declined']) {
      const { referral, kase } = await ask();
      const steps: Record<string, () => Promise<unknown>> = {
        accepted: async () => ok(await act(sender, referral.id, 'accept', told(now()))),
        in_progress: async () => ok(await act(sender, referral.id, 'confirm-handover', told(now(), { arrived_at: now() }))),
        declined: async () => ok(await act(sender, referral.id, 'decline', told(now(), { reason_code: 'unsafe' }))),
      };
      await steps[status]!();
      clock.advance(12 * HOUR - 1);
      const contested = ok(await act(receiver, referral.id, 'contest', { note: 'nobody here said so' }));
      t.equal(contested.status, 'offered', status);
      t.equal(contested.disclosure, undefined);
      t.equal(contested.case_id, undefined);
      t.match(
        contested.timers.filter(({ state }: { state: string }) => state === 'running').map(({ name }: { name: string }) => name),
        status === 'declined' ? ['acknowledge', 'respond'] : /deletion_confirmation/,
      );
      t.ok((await typesFor(committee, referral.id)).includes('referral.contested'));
      t.equal((await receiver.get(`/v1/cases/${kase.id}`)).status, status === 'declined' ? 404 : 200);
      t.equal(ok(await act(receiver, referral.id, 'accept', {})).status, 'accepted', 'and may now say yes itself');
      t.equal((await act(receiver, referral.id, 'contest', { note: 'again' })).status, 409, 'which was no telephone record');
    }
  });

  await t.test('after 12 hours it stands, and so it does while another agency has accepted', async t => {
    const { referral } = await ask();
    ok(await act(sender, referral.id, 'accept', told(now())));
    clock.advance(12 * HOUR);
    t.match(await act(receiver, referral.id, 'contest', { note: 'late' }), { status: 409, body: { code: 'wrong_state' } });

    const { referral: passed } = await ask({ routing: 'direct' });
    ok(await act(sender, passed.id, 'decline', told(now(), { reason_code: 'no_capacity' })));
    t.match(ok(await receiver.get(`/v1/referrals/${passed.id}`)).allowed_actions, ['contest']);
  });

  await t.test('nobody is asked anew without consent', async t => {
    const { referral, consent } = await ask();
    ok(await act(sender, referral.id, 'accept', told(now())));
    ok(await sender.post(`/v1/consents/${consent.id}/withdraw`, { spoken_in_private: true }));
    t.match(await act(receiver, referral.id, 'contest', { note: 'nobody here' }), {
      status: 409,
      body: { code: 'consent_missing' },
    });
    t.equal(ok(await act(receiver, referral.id, 'fail', { reason_code: 'other' })).status, 'failed');
  });

  await t.test('an answer that was contested is not waited for twice', async t => {
    const { referral } = await ask();
    ok(await act(sender, referral.id, 'decline', told(now(), { reason_code: 'no_capacity' })));
    ok(await act(receiver, referral.id, 'contest', { note: 'we have place' }));
    ok(await act(receiver, referral.id, 'decline', { reason_code: 'no_capacity' }));
    const timers = ok(await sender.get(`/v1/referrals/${referral.id}`)).timers as { name: string; state: string }[];
    t.strictSame(
      timers
        .filter(({ name }) => name === 'unplaced_review')
        .map(({ state }) => state)
        .sort(),
      ['met', 'running'],
    );
  });

  await t.test('who may not, and what is none', async t => {
    const { referral } = await ask();
    t.match(await act(sender, referral.id, 'accept', {}), { status: 403 }, 'not without saying who said it');
    t.match(await act(receiver, referral.id, 'accept', told(now())), { status: 403 }, 'a receiver speaks for itself');
    t.match(await act(as('shelter_a'), referral.id, 'accept', told(now())), { status: 404 });
    t.match(await act(as('audit_body'), referral.id, 'accept', told(now())), { status: 404 });
    t.match(await act(sender, referral.id, 'waitlist', told(now())), { status: 400 }, 'four things may be recorded');
    t.match(await act(sender, referral.id, 'accept', told(new Date(clock.now().getTime() + HOUR).toISOString())), {
      status: 422,
      body: { errors: [{ pointer: '/told_by/at' }] },
    });
    t.match(await act(sender, referral.id, 'accept', told('1999-02-20T10:00:00.000Z')), {
      status: 422,
      body: { errors: [{ pointer: '/told_by/at', detail: /before/ }] },
    });
    const elsewhere = await ask();
    t.match(await act(sender, referral.id, 'accept', told(now(), { offer_id: elsewhere.referral.offer.id })), {
      status: 422,
      body: { errors: [{ pointer: '/offer_id' }] },
    });
    t.match(await act(sender, referral.id, 'accept', { offer_id: referral.offer.id }), { status: 403 });
    t.match(await act(receiver, referral.id, 'accept', { offer_id: referral.offer.id }), { status: 422 });
    t.match(await act(sender, referral.id, 'confirm-handover', told(now(), { arrived_at: now(), offer_id: referral.offer.id })), {
      status: 200,
    });
    t.match(await act(receiver, referral.id, 'contest', {}), { status: 400 });
    t.match(await act(sender, referral.id, 'contest', { note: 'mine' }), { status: 403 });
  });

  await t.test('places that were taken come back', async t => {
    const consent = { recipient: { agency_kind: 'shelter' }, purposes: ['shelter_accommodation'] };
    const { referral } = await startNight(sender, { consent });
    const shelter = (await as('shelter_a').get(`/v1/referrals/${referral.id}`)).status === 200 ? 'shelter_a' : 'shelter_b';
    const capacity = `/v1/agencies/${they.agencies[shelter].id}/services/shelter_accommodation/capacity`;
    const before = ok(await as(shelter).get(capacity)).available;
    const [offer] = ok(await sender.get(`/v1/referrals/${referral.id}`)).offers;
    t.match(offer, { placed: {}, agency_id: undefined }, 'a protected place is recorded for without being named');
    ok(await act(sender, referral.id, 'accept', told(now(), { offer_id: offer.id })));
    t.equal(ok(await as(shelter).get(capacity)).available, before - 1);
    ok(await act(as(shelter), referral.id, 'contest', { note: 'we are full' }));
    t.equal(ok(await as(shelter).get(capacity)).available, before);
  });
});
