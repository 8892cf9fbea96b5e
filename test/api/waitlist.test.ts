import t from 'tap';
import { startTestApp } from '../support/app.ts';
import { drain } from '../support/drain.ts';
import { type Client, mechanism } from '../support/mechanism.ts';
import { caseBody, consentBody, ok, PERSON, referralBody, startNight } from '../support/night.ts';

const HOUR = 3_600_000;

t.test('waiting list and review', async t => {
  const test = await startTestApp(t);
  const { services, clock } = test;
  const { as, agencies } = await mechanism(test);
  const helpline = as('helpline_a');

  /** The shelter that was asked, then the other. */
  async function asked(referral_id: string): Promise<[Client, Client]> {
    const both: [Client, Client] = [as('shelter_a'), as('shelter_b')];
    return (await both[0].get(`/v1/referrals/${referral_id}`)).status === 200 ? both : [both[1], both[0]];
  }

  t.test('the router asks the next beside it, and the waitlister may still be first', async t => {
    const { referral } = await startNight(helpline, { referral: { urgency: 'urgent' } });
    const path = `/v1/referrals/${referral.id}`;
    const [first, second] = await asked(referral.id);
    t.equal((await first.post(`${path}/waitlist`)).status, 409, 'not before it was received');
    ok(await first.post(`${path}/receive`));
    const waiting = ok(await first.post(`${path}/waitlist`));
    t.equal(waiting.status, 'waitlisted');
    t.match(
      waiting.timers.map((timer: { name: string; state: string }) => `${timer.name} ${timer.state}`),
      ['acknowledge met', 'respond met', 'waitlist_review running'],
    );
    t.equal(ok(await second.get(path)).status, 'offered', 'the other shelter was asked beside');
    t.equal(ok(await helpline.get(path)).status, 'offered', 'the furthest offer tells');
    t.equal(ok(await first.post(`${path}/accept`)).status, 'accepted');
    t.equal(ok(await second.get(path)).status, 'cancelled');
  });

  t.test('a day may be named, ahead only; when it passes, the offer expires', async t => {
    const { referral } = await startNight(helpline, { referral: { urgency: 'urgent' } });
    const path = `/v1/referrals/${referral.id}`;
    const [first] = await asked(referral.id);
    ok(await first.post(`${path}/receive`));
    const past = await first.post(`${path}/waitlist`, { review_at: clock.now().toISOString() });
    t.match([past.status, past.body.errors], [422, [{ pointer: '/review_at' }]]);
    const review_at = new Date(clock.now().getTime() + 2 * HOUR).toISOString();
    const waiting = ok(await first.post(`${path}/waitlist`, { review_at }));
    t.equal(waiting.timers.find((timer: { name: string }) => timer.name === 'waitlist_review').due_at, review_at);
    clock.advance(2 * HOUR);
    await drain(services);
    t.equal(ok(await first.get(path)).status, 'expired');
  });

  t.test('a review meets the clock and starts the next', async t => {
    const { referral } = await startNight(helpline);
    const path = `/v1/referrals/${referral.id}`;
    const [first] = await asked(referral.id);
    ok(await first.post(`${path}/accept`));
    ok(await first.post(`${path}/confirm-handover`, { arrived_at: clock.now().toISOString() }));
    const next_review_at = new Date(clock.now().getTime() + 5 * HOUR).toISOString();
    const reviewed = ok(await first.post(`${path}/review`, { next_review_at }));
    t.equal(reviewed.status, 'in_progress');
    const reviews = reviewed.timers.filter((timer: { name: string }) => timer.name === 'review');
    t.same(reviews.map((timer: { state: string }) => timer.state).sort(), ['met', 'running']);
    t.equal(reviews.find((timer: { state: string }) => timer.state === 'running').due_at, next_review_at);
  });

  await t.test(
    'a place on a waiting list is no answer: when the other says no, the next is asked, and again when a place comes free',
    async t => {
      const supervisor = as('shelter_b', 'supervisor');
      const capacity = `/v1/agencies/${agencies.shelter_b.id}/services/shelter_accommodation/capacity`;
      const { referral } = await startNight(helpline, { referral: { urgency: 'emergency' } });
      const path = `/v1/referrals/${referral.id}`;
      const [first, second] = await asked(referral.id);
      ok(await first.post(`${path}/receive`));
      const beyond = new Date(clock.now().getTime() + 2 * HOUR).toISOString();
      t.match(await first.post(`${path}/waitlist`, { review_at: beyond }), {
        status: 422,
        body: { errors: [{ pointer: '/review_at' }] },
      });
      ok(await first.post(`${path}/waitlist`, { review_at: new Date(clock.now().getTime() + HOUR).toISOString() }));
      ok(await second.post(`${path}/decline`, { reason_code: 'no_capacity' }));
      t.equal(ok(await helpline.get(path)).status, 'waitlisted');
      clock.advance(1);
      if (second.agency.id === agencies.shelter_b.id) {
        ok(await supervisor.put(capacity, { total: 9, held_elsewhere: 0 }));
      } else {
        const other = `/v1/agencies/${agencies.shelter_a.id}/services/shelter_accommodation/capacity`;
        ok(await as('shelter_a', 'supervisor').put(other, { total: 9, held_elsewhere: 0 }));
      }
      await drain(services);
      t.equal(ok(await second.get(path)).status, 'offered', 'though somebody still holds it on a list');
      clock.advance(HOUR);
      await drain(services);
      t.equal(ok(await first.get(path)).status, 'expired', 'an emergency waits no longer than its rule');
    },
  );

  /** A referral that any of the three shelters may be asked to take, each by a grant of its own. */
  async function askThree() {
    const shelters = [as('shelter_a'), as('shelter_b'), as('shelter_c')];
    const kase = ok(await helpline.post('/v1/cases', caseBody({ person: { ...PERSON, sex: 'unknown' } })));
    const grants = new Map<Client, string>();
    for (const shelter of shelters) {
      const body = consentBody({ recipient: { agency_id: shelter.agency.id } });
      grants.set(shelter, ok(await helpline.post(`/v1/cases/${kase.id}/consents`, body)).id);
    }
    const { id } = ok(await helpline.post(`/v1/cases/${kase.id}/referrals`, referralBody({ urgency: 'urgent' })));
    const path = `/v1/referrals/${id}`;
    /** The shelters that were asked so far, in that order. */
    const asked = async (): Promise<Client[]> =>
      ok(await helpline.get(path)).offers.map((offer: { agency_id: string }) =>
        shelters.find(({ agency }) => agency.id === offer.agency_id),
      );
    return { path, grants, asked };
  }

  await t.test('nobody is asked beside who is being asked already', async t => {
    const { path, asked } = await askThree();
    const [first] = (await asked()) as [Client];
    const told_by = { channel: 'phone', at: clock.now().toISOString(), staff_code: 'NIGHT-7' };
    ok(await helpline.post(`${path}/decline`, { reason_code: 'unsafe', told_by }));
    ok(await first.post(`${path}/contest`, { note: 'nobody here said so' }));
    ok(await first.post(`${path}/receive`));
    ok(await first.post(`${path}/waitlist`));
    t.equal((await asked()).length, 2, 'the second has been asked since the first was said to decline');
  });

  await t.test('where consent ends for the one that is asked, the next is asked beside the waiting list', async t => {
    const { path, grants, asked } = await askThree();
    const [first] = (await asked()) as [Client];
    ok(await first.post(`${path}/receive`));
    ok(await first.post(`${path}/waitlist`));
    const [, second] = (await asked()) as [Client, Client];
    ok(await helpline.post(`/v1/consents/${grants.get(second)}/withdraw`, { spoken_in_private: true }));
    const { offers } = ok(await helpline.get(path));
    t.strictSame(
      offers.map(({ status }: { status: string }) => status),
      ['waitlisted', 'withdrawn', 'offered'],
    );
    const [, , third] = (await asked()) as [Client, Client, Client];
    ok(await helpline.post(`/v1/consents/${grants.get(third)}/withdraw`, { spoken_in_private: true }));
    t.equal(ok(await helpline.get(path)).status, 'waitlisted', 'and with nobody left it stays on the list');
    t.equal(ok(await first.post(`${path}/accept`)).status, 'accepted');
  });
});
