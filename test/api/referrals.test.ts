import t from 'tap';
import { startTestApp } from '../support/app.ts';
import { drain } from '../support/drain.ts';
import { type Client, mechanism } from '../support/mechanism.ts';
import { ok, startNight } from '../support/night.ts';

t.test('the main job: a call becomes an accepted referral', async t => {
  const test = await startTestApp(t);
  const { services, clock } = test;
  const { as } = await mechanism(test);
  const helpline = as('helpline_a');
  const shelters: Client[] = [as('shelter_a'), as('shelter_b')];
  const { referral } = await startNight(helpline);
  t.equal(referral.status, 'offered');
  t.ok(referral.offer.placed, 'a protected place is not named to the sender');
  t.notOk(referral.offer.agency_id);

  const asked = async (shelter: Client) => (await shelter.get(`/v1/referrals/${referral.id}`)).status === 200;
  const [first, second] = (await asked(shelters[0]!)) ? shelters : shelters.toReversed();
  t.equal((await second!.get(`/v1/referrals/${referral.id}`)).status, 404);

  clock.advance(16 * 60_000);
  await drain(services);
  const own = ok(await first!.get(`/v1/referrals/${referral.id}`));
  t.equal(own.status, 'expired');
  const offered = ok(await second!.get(`/v1/referrals/${referral.id}`));
  t.equal(offered.status, 'offered');
  t.match(offered.profile, { sex: 'female', age_band: '25-59', danger_flags: ['trafficker_knows_address'] });
  t.notOk(offered.disclosure);
  t.notOk(offered.case_id);
  t.notMatch(JSON.stringify(offered), /CANARY/);

  ok(await second!.post(`/v1/referrals/${referral.id}/receive`));
  ok(await second!.post(`/v1/referrals/${referral.id}/request-information`, { questions: ['Does she have papers?'] }));
  const asked_back = ok(await helpline.get(`/v1/referrals/${referral.id}`));
  t.same(asked_back.offer.questions[0].questions, ['Does she have papers?']);
  ok(await helpline.post(`/v1/referrals/${referral.id}/provide-information`, { answers: ['No'] }));
  const accepted = ok(await second!.post(`/v1/referrals/${referral.id}/accept`, { note: 'bed 3' }));
  t.equal(accepted.status, 'accepted');
  t.equal(accepted.disclosure.data.identity.given_name, 'Testname');
  t.match(accepted.disclosure.data.narrative.narrative, /CANARY-NARRATIVE/);
  t.notOk(accepted.disclosure.data.health, 'only what was asked for');
  const held = ok(await second!.get(`/v1/cases/${accepted.case_id}`));
  t.ok(held.withheld.includes('health'));
  t.equal((await first!.get(`/v1/cases/${accepted.case_id}`)).status, 404);

  const done = ok(await second!.post(`/v1/referrals/${referral.id}/confirm-handover`, { arrived_at: clock.now().toISOString() }));
  t.equal(done.status, 'in_progress');
  const completed = ok(await second!.post(`/v1/referrals/${referral.id}/complete`, { outcome_code: 'service_provided' }));
  t.equal(completed.status, 'completed');
  t.notOk(completed.disclosure, 'nothing is open once the offer has ended');
});
