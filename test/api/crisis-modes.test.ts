import { test } from 'tap';
import { startTestApp } from '../support/app.ts';
import { drain } from '../support/drain.ts';
import { DAY, eventsOf, HOUR } from '../support/journey.ts';
import { type Answer, mechanism } from '../support/mechanism.ts';
import { caseBody, consentBody, ok, referralBody, startNight } from '../support/night.ts';
import { shipped } from '../support/rule-packs.ts';
import { entriesOf, lookAsOwner } from '../support/trail.ts';

/** A crisis in a jurisdiction: who declares it, what it switches, until when. */

type Row = Answer['body'];

const PATH = '/v1/jurisdictions/XA/crisis-modes';
const crisis = (more: object = {}) => ({
  kind: 'conflict',
  phase: 'response',
  reason: 'CANARY-REASON shelling in the north',
  ...more,
});

test('declared, renewed, ended; told to everybody who works there', async t => {
  const it = await startTestApp(t);
  const { as, agencies } = await mechanism(it);
  const committee = as('committee');
  const start = it.clock.now().getTime();
  const made = await committee.post(PATH, crisis({ regions: ['XA-1'] }));
  t.match(made, {
    status: 201,
    headers: { location: `${PATH}/${made.body.id}`, etag: '"1"', 'audit-receipt': /^[0-9a-f]{64}$/ },
    body: {
      id: /^crm_/,
      status: 'in_force',
      regions: ['XA-1'],
      expires_at: new Date(start + 30 * DAY).toISOString(),
      procedures: [{ act: 'screening', how: 'phone' }],
      staff_code: /./,
    },
  });
  const path = `${PATH}/${made.body.id}`;
  const seen = ok(await as('shelter_a', 'nobody').get(path));
  t.notOk('staff_code' in seen, 'who declared it is the committee’s');
  t.match(ok(await as('health', 'nobody').get(PATH)).data, [{ id: made.body.id }]);
  await drain(it.services);
  for (const key of ['health', 'shelter_a', 'committee', 'audit_body'] as const) {
    const told = (await eventsOf(it.services, as(key))).filter(({ type }) => type.startsWith('crisis.'));
    t.match(told, [
      { type: 'crisis.started', data: { crisis_mode_id: made.body.id, regions: ['XA-1'], kind: 'conflict', phase: 'response' } },
    ]);
    t.notMatch(JSON.stringify(told), /CANARY/);
  }

  await t.test('who may not', async t => {
    t.equal((await as('helpline_a').post(PATH, crisis({ regions: ['XA-2'] }))).status, 403);
    t.equal((await as('committee', 'nobody').post(PATH, crisis({ regions: ['XA-2'] }))).status, 400, 'a person stands behind it');
    t.equal((await committee.post('/v1/jurisdictions/EG/crisis-modes', crisis())).status, 404, 'not its jurisdiction');
    t.equal((await as('health', 'nobody').get('/v1/jurisdictions/EG/crisis-modes')).status, 404);
    t.equal((await committee.get(`/v1/jurisdictions/XB/crisis-modes/${made.body.id}`)).status, 404, 'of another jurisdiction');
    t.equal((await as('helpline_a').post(`${path}/end`, {})).status, 403);
  });

  await t.test('one at a time in a region', async t => {
    for (const regions of [[], ['XA-1'], ['XA-2', 'XA-1']])
      t.match(await committee.post(PATH, crisis({ regions })), { status: 409, body: { code: 'crisis_in_force' } });
    t.match(await committee.post(PATH, crisis({ regions: ['XB-1'] })), {
      status: 422,
      body: { errors: [{ pointer: '/regions/0' }] },
    });
    const [one, two] = await Promise.all([
      committee.post(PATH, crisis({ regions: ['XA-2'] })),
      committee.post(PATH, crisis({ regions: ['XA-2'] })),
    ]);
    t.strictSame([one.status, two.status].sort(), [201, 409], 'two at the same instant');
    ok(await committee.post(`${PATH}/${(one.status === 201 ? one : two).body.id}/end`, {}));
  });

  await t.test('until when', async t => {
    const at = (ms: number) => new Date(it.clock.now().getTime() + ms).toISOString();
    for (const expires_at of [at(0), at(-1), at(30 * DAY + 1)])
      t.match(await committee.post(`${path}/renew`, { expires_at }), {
        status: 422,
        body: { errors: [{ pointer: '/expires_at' }] },
      });
    it.clock.advance(10 * DAY);
    t.match(ok(await committee.post(`${path}/renew`, {})), { renewed: 1, expires_at: at(30 * DAY) });
    t.equal((await committee.post(`${path}/renew`, {}, { 'if-match': '"1"' })).status, 412);
    it.clock.advance(30 * DAY - 1);
    await drain(it.services);
    t.equal(ok(await committee.get(path)).status, 'in_force');
    it.clock.advance(1);
    t.match(ok(await committee.get(path)), { status: 'ended', procedures: [] }, 'also before anybody recorded it');
    t.match(await committee.post(`${path}/renew`, {}), { status: 409, body: { code: 'wrong_state', state: 'ended' } });
    t.equal(
      (await committee.post(PATH, crisis({ regions: ['XA-1'], phase: 'post_crisis' }))).status,
      201,
      'nor does it stand in the way',
    );
    it.clock.advance(HOUR);
    await drain(it.services);
    await drain(it.services);
    t.match(ok(await committee.get(path)), { status: 'ended', ended_at: at(-HOUR) }, 'as of when it expired');
    const ends = (await eventsOf(it.services, as('health'))).filter(
      ({ type, data }) => type === 'crisis.ended' && data.crisis_mode_id === made.body.id,
    );
    t.equal(ends.length, 1, 'told once');
  });

  const entries = await entriesOf(it.services, 'crisis_mode.start');
  t.match(entries[0], { outcome: 'done', agency_id: agencies.committee.id });
  t.equal((await entriesOf(it.services, 'crisis_mode.expire')).length, 1);
});

test('what it switches, there and no longer than it holds', async t => {
  const it = await startTestApp(t);
  const { as, agencies } = await mechanism(it);
  const [committee, sender] = [as('committee'), as('helpline_a')];
  const claim = {
    recipient: { agency_kind: 'labour_inspection' },
    purposes: ['labour_claim_wage_recovery'],
    categories: ['identity'],
  };
  const asking = { service: 'labour_claim_wage_recovery', urgency: 'routine', categories: ['identity'] };
  const ask = async (region: string) => {
    const kase = ok(await sender.post('/v1/cases', caseBody({ region })));
    ok(await sender.post(`/v1/cases/${kase.id}/consents`, consentBody(claim)));
    return ok(await sender.post(`/v1/cases/${kase.id}/referrals`, referralBody(asking)));
  };
  const lengthOf = (referral: Row, name: string) => {
    const { started_at, due_at, rule } = referral.timers.find((timer: Row) => timer.name === name);
    return { days: Math.round((Date.parse(due_at) - Date.parse(started_at)) / DAY), source: rule.source };
  };
  const before = await ask('XA-1');
  const made = ok(await committee.post(PATH, crisis({ regions: ['XA-1'] })));
  const during = await ask('XA-1');
  const elsewhere = await ask('XA-2');
  t.ok(lengthOf(during, 'respond').days >= 2 * lengthOf(elsewhere, 'respond').days - 2, 'a routine answer has twice as long');
  t.match(lengthOf(during, 'respond').source, /2 times as long under the plan for conflict/);
  t.strictSame(lengthOf(elsewhere, 'respond'), lengthOf(before, 'respond'), 'another region is as ever');
  t.strictSame(
    lengthOf(ok(await sender.get(`/v1/referrals/${before.id}`)), 'respond'),
    lengthOf(before, 'respond'),
    'what runs goes on',
  );
  t.equal(
    ok(await as('labour_inspection', 'nobody').get(`/v1/agencies/${agencies.labour_inspection.id}`)).operating_mode,
    'open',
    'nobody said it of itself',
  );

  await t.test('never a clock of an emergency', async t => {
    const { referral } = await startNight(sender);
    ok(await committee.post(`${PATH}/${made.id}/end`, {}));
    const calm = await startNight(sender);
    const clocks = ({ timers }: Row) =>
      timers.map(({ name, started_at, due_at, rule }: Row) => [name, Date.parse(due_at) - Date.parse(started_at), rule.source]);
    t.strictSame(clocks(referral), clocks(calm.referral));
  });

  await t.test('figures can tell what was done under it', async t => {
    const after = await ask('XA-1');
    const rows = await lookAsOwner<{ id: string; crisis_mode_id: string | null; of_case: string | null }>(
      it.services,
      'select r.id, r.crisis_mode_id, c.crisis_mode_id as of_case from referrals r join cases c on c.id = r.case_id where r.id = any ($1)',
      [[before.id, during.id, elsewhere.id, after.id]],
    );
    const of = (id: string) => rows.find(row => row.id === id)!;
    t.match(of(during.id), { crisis_mode_id: made.id, of_case: made.id });
    for (const { id } of [before, elsewhere, after]) t.match(of(id), { crisis_mode_id: null, of_case: null });
  });
});

test('how agencies work there', async t => {
  const it = await startTestApp(t);
  const { as, agencies } = await mechanism(it);
  const [committee, sender] = [as('committee'), as('helpline_a')];
  const society = agencies.civil_society.id;
  ok(await as('civil_society', 'supervisor').put(`/v1/agencies/${society}/services/medical`, {}, { 'if-none-match': '*' }));
  const look = async (region: string) => {
    const { referral } = await startNight(sender, {
      kase: { region },
      consent: { recipient: { agency_kind: 'health' }, purposes: ['medical'] },
      referral: {
        service: 'medical',
        routing: 'direct',
        recipient_agency_id: agencies.health.id,
        lawful_ground: { code: 'imminent_danger_to_life' },
      },
    });
    const { data } = ok(await sender.get(`/v1/referrals/${referral.id}/candidates`));
    const { reasons } = data.find(({ agency_id }: Row) => agency_id === society);
    return reasons.find(({ rule }: Row) => rule === 'operating_mode').text;
  };
  t.equal(await look('XA-1'), 'works as usual');
  const { id } = ok(await committee.post(PATH, crisis({ kind: 'epidemic', regions: ['XA-1'] })));
  t.equal(await look('XA-1'), 'works in remote mode', 'as the plan says');
  t.equal(await look('XA-2'), 'works as usual', 'elsewhere');
  t.equal(ok(await as('health', 'nobody').get(`/v1/agencies/${society}`)).operating_mode, 'open', 'nobody said it of itself');
  ok(await committee.post(`${PATH}/${id}/end`));
  t.equal(await look('XA-1'), 'works as usual');
});

test('its routes open a way for whoever waits, and close it again', async t => {
  const it = await startTestApp(t);
  const { as, agencies } = await mechanism(it);
  const [committee, sender, admin] = [as('committee'), as('helpline_a'), as('committee', 'nobody')];
  const pack = shipped('XA');
  const medical = { service: 'medical', obligation: 'may', source: 'illustrative' } as const;
  const plans = [{ ...pack.crisis_plans[0]!, routes: [{ ...medical, agency_kinds: ['health'] }] }];
  const routes = [...pack.routes, { ...medical, agency_kinds: ['civil_society'] }];
  ok(await admin.put('/v1/jurisdictions/XA/rule-pack', { ...pack, routes, crisis_plans: plans }, { 'if-match': '*' }));
  const waits = {
    consent: { recipient: { agency_kind: 'health' }, purposes: ['medical'] },
    referral: { service: 'medical', urgency: 'urgent' },
  };
  const { referral } = await startNight(sender, waits);
  t.equal(referral.status, 'unplaced');
  const made = ok(await committee.post(PATH, crisis()));
  await drain(it.services);
  const offered = ok(await sender.get(`/v1/referrals/${referral.id}`));
  t.match(offered, { status: 'offered', offer: { agency_id: agencies.health.id } });
  ok(await committee.post(`${PATH}/${made.id}/phase`, { phase: 'post_crisis' }));
  t.equal((await startNight(sender, waits)).referral.status, 'offered', 'the plan is for each phase');
  ok(await committee.post(`${PATH}/${made.id}/end`, {}));
  t.equal((await startNight(sender, waits)).referral.status, 'unplaced');
  t.equal((await entriesOf(it.services, 'crisis_mode.change_phase')).length, 1);
});

test('a pack with a plan that reaches too far is refused', async t => {
  const it = await startTestApp(t);
  const { as } = await mechanism(it);
  const admin = as('committee', 'nobody');
  const pack = shipped('XA');
  const put = (stretch: object) =>
    admin.put(
      '/v1/jurisdictions/XA/rule-pack',
      { ...pack, crisis_plans: [{ ...pack.crisis_plans[0]!, stretch: [stretch] }] },
      { 'if-match': '*' },
    );
  for (const policy of ['recovery_period', 'safety_ack'])
    t.match(await put({ policy, factor: 2 }), {
      status: 422,
      body: { errors: [{ pointer: '/crisis_plans/0/stretch/0/policy' }] },
    });
  t.equal((await put({ policy: 'respond', urgency: 'emergency', factor: 2 })).status, 400);
  for (const factor of [1, 0.5, 11]) t.equal((await put({ policy: 'respond', factor })).status, 400, `${factor}`);
});
