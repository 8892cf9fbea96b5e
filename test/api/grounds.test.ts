import t from 'tap';
import { startTestApp } from '../support/app.ts';
import { entriesFor } from '../support/entries.ts';
import { DAY, eventsOf, NONE } from '../support/journey.ts';
import { mechanism } from '../support/mechanism.ts';
import { caseBody, ok, referralBody, startNight } from '../support/night.ts';

t.test('a lawful ground is looked at within a day, by somebody else', async t => {
  const test = await startTestApp(t);
  const { services, clock } = test;
  const { as, agencies } = await mechanism(test);
  const inspection = as('labour_inspection');
  const supervisor = as('labour_inspection', 'supervisor');
  const prosecution = as('prosecution');

  async function start(ground: object = { code: 'mandatory_report', person_informed: false, legal_basis: 'CANARY-BASIS' }) {
    const kase = ok(await inspection.post('/v1/cases', caseBody()));
    const body = referralBody({
      service: 'criminal_investigation',
      urgency: 'urgent',
      routing: 'direct',
      recipient_agency_id: agencies.prosecution.id,
      categories: ['narrative', 'labour'],
      lawful_ground: ground,
    });
    const referral = ok(await inspection.post(`/v1/cases/${kase.id}/referrals`, body));
    const path = `/v1/referrals/${referral.id}`;
    const timers = async () =>
      ok(await inspection.get(path)).timers.filter(({ name }: { name: string }) => name === 'ground_review');
    return { kase, referral, path, timers };
  }

  await t.test('upheld: everything goes on', async t => {
    const { path, timers, referral } = await start();
    t.match(await timers(), [
      {
        state: 'running',
        responsible_agency_id: agencies.labour_inspection.id,
        due_at: new Date(clock.now().getTime() + DAY).toISOString(),
      },
    ]);
    t.match(referral.lawful_ground, { code: 'mandatory_report', legal_basis: 'CANARY-BASIS', upheld: null });
    const mine = await as('labour_inspection').post(`${path}/review-ground`, { upheld: true });
    t.equal(mine.status, 403, 'a caseworker does not');
    t.match(ok(await supervisor.post(`${path}/review-ground`, { upheld: true })), {
      status: 'offered',
      lawful_ground: { upheld: true, reviewed_at: clock.now().toISOString() },
    });
    t.match(await timers(), [{ state: 'met' }]);
    t.match(await supervisor.post(`${path}/review-ground`, { upheld: false }), { status: 409, body: { code: 'wrong_state' } });
    t.match(ok(await prosecution.post(`${path}/accept`)), {
      disclosure: { categories: ['narrative', 'labour'] },
      lawful_ground: { code: 'mandatory_report', person_informed: false },
    });
    t.notMatch(ok(await prosecution.get(path)).lawful_ground, { legal_basis: String });
    t.match(await entriesFor(as('audit_body'), `referral_id=${referral.id}&action=referral.review_ground&outcome=done`), [
      { meta: { code: 'upheld', lawful_ground: 'mandatory_report' } },
    ]);
  });

  await t.test('who named it does not review it; the coordinator may', async t => {
    const kase = ok(await supervisor.post('/v1/cases', caseBody()));
    const body = referralBody({
      service: 'criminal_investigation',
      routing: 'direct',
      recipient_agency_id: agencies.prosecution.id,
      categories: ['narrative'],
      lawful_ground: { code: 'imminent_danger_to_life' },
    });
    const referral = ok(await supervisor.post(`/v1/cases/${kase.id}/referrals`, body));
    const path = `/v1/referrals/${referral.id}/review-ground`;
    t.match(await supervisor.post(path, { upheld: true }), { status: 403 });
    t.match(await prosecution.post(path, { upheld: true }), { status: 403 });
    t.match(await as('health').post(path, { upheld: true }), { status: 404 });
    t.match(ok(await as('committee').post(path, { upheld: true })), { lawful_ground: { upheld: true } });
  });

  await t.test(
    'not upheld: who was asked is told that it is over, who accepted keeps the person and loses the story',
    async t => {
      const asked = await start();
      const over = ok(await supervisor.post(`${asked.path}/review-ground`, { upheld: false }));
      t.match(over, { status: 'withdrawn', lawful_ground: { upheld: false } });
      t.equal(ok(await prosecution.get(asked.path)).profile, undefined);

      const taken = await start();
      ok(await prosecution.post(`${taken.path}/accept`));
      ok(await supervisor.post(`${taken.path}/review-ground`, { upheld: false }));
      t.match(ok(await prosecution.get(taken.path)), { status: 'accepted', disclosure: { categories: NONE } });
      const types = (await eventsOf(services, prosecution, taken.referral.id)).map(({ type }) => type);
      t.strictSame(types.slice(-2).sort(), ['consent.withdrawn', 'disclosure.deletion_due']);
      t.match(await prosecution.post(`${asked.path}/accept`), { status: 409 });
    },
  );

  await t.test('without a ground there is nothing to review', async t => {
    const { referral } = await startNight(as('helpline_a'));
    t.match(await as('committee').post(`/v1/referrals/${referral.id}/review-ground`, { upheld: true }), {
      status: 409,
      body: { code: 'wrong_state' },
    });
    t.match(await as('committee').post(`/v1/referrals/${referral.id}/review-ground`, {}), { status: 400 });
  });
});
