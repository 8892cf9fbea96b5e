import t from 'tap';
import { AGENCY_KINDS } from '../../src/core/codes.ts';
import { isSupport } from '../../src/core/support.ts';
import { startTestApp } from '../support/app.ts';
import { drain } from '../support/drain.ts';
import { identification, SCREENING } from '../support/identification.ts';
import { all, DAY, eventsOf, HOUR } from '../support/journey.ts';
import { type Client, mechanism } from '../support/mechanism.ts';
import { caseBody, ok } from '../support/night.ts';
import { shipped } from '../support/rule-packs.ts';
import { entriesOf, lookAsOwner } from '../support/trail.ts';

t.test('clocks of a case', async t => {
  const test = await startTestApp(t, { RATE_LIMIT: '100000,100000' });
  const { services, clock } = test;
  const them = await mechanism(test);
  const { as, agencies } = them;
  const { owner, authority, asked, accepted, decided, decide, serve, body, held, stageOf } = identification(test, them);
  const chief = as('helpline_a', 'supervisor');
  const timers = (kase: { id: string }, name: string, who: Client = owner) =>
    all(who, `/v1/timers?case_id=${kase.id}&name=${name}`);
  const names = async (kase: { id: string }, state: string, who: Client = owner) =>
    (await all(who, `/v1/timers?case_id=${kase.id}&state=${state}`))
      .filter(({ subject }) => subject.type === 'case')
      .map(({ name }) => name)
      .sort();
  const now = () => clock.now().toISOString();

  await t.test('what the owner owes begins with the case, and ends with it', async t => {
    const { id } = ok(await owner.post('/v1/cases', caseBody()));
    t.strictSame(await names({ id }, 'running'), ['authority_notification', 'immediate_needs', 'screening']);
    for (const name of ['immediate_needs', 'authority_notification']) {
      const [timer] = await timers({ id }, name);
      t.match(timer, {
        subject: { type: 'case', id },
        case_id: id,
        responsible_agency_id: agencies.helpline_a.id,
        referral_id: null,
      });
      t.equal((await as('committee').post(`/v1/timers/${timer.id}/meet`)).status, 403);
      t.equal((await as('health').post(`/v1/timers/${timer.id}/meet`)).status, 404);
      t.match(ok(await owner.post(`/v1/timers/${timer.id}/meet`)), { state: 'met', met_at: now() });
      t.match((await owner.post(`/v1/timers/${timer.id}/meet`)).body, { code: 'wrong_state', state: 'met' });
    }
    const [screening] = await timers({ id }, 'screening');
    t.match((await owner.post(`/v1/timers/${screening.id}/meet`)).body, { code: 'wrong_state' }, 'by a screening alone');
    ok(await chief.post(`/v1/cases/${id}/close`, { reason_code: 'error' }));
    t.strictSame(await names({ id }, 'running'), []);
    t.strictSame(await names({ id }, 'cancelled'), ['screening']);
    ok(await chief.post(`/v1/cases/${id}/reopen`, { reason: 'by mistake' }));
    t.strictSame(await names({ id }, 'running'), ['screening'], 'what was done is not owed again');
    ok(await owner.post(`/v1/cases/${id}/screenings`, SCREENING));
    t.strictSame(await names({ id }, 'running'), []);
  });

  await t.test('late, they are breached and told, and still met', async t => {
    const { id } = ok(await owner.post('/v1/cases', caseBody()));
    clock.advance(25 * HOUR);
    await drain(services);
    const [needs] = await timers({ id }, 'immediate_needs');
    t.match(needs, { state: 'breached' });
    const told = (await eventsOf(services, owner, id)).filter(({ type }) => type === 'timer.breached');
    t.match(told.map(({ data }) => data.timer).sort(), ['authority_notification', 'immediate_needs']);
    const rungs = (await eventsOf(services, owner, id)).filter(({ type }) => type === 'timer.escalated');
    t.match(
      rungs.map(({ data }) => data.escalation_level),
      [1, 1],
      'how far they came is told',
    );
    t.match(ok(await owner.post(`/v1/timers/${needs.id}/meet`)), { state: 'met', breached_at: needs.breached_at });
  });

  await t.test('what is done while its clock rests is done', async t => {
    const { id } = ok(await owner.post('/v1/cases', caseBody()));
    const [timer] = await timers({ id }, 'screening');
    ok(await chief.post(`/v1/timers/${timer.id}/pause`, { reason_code: 'force_majeure' }));
    ok(await owner.post(`/v1/cases/${id}/screenings`, SCREENING));
    t.match((await timers({ id }, 'screening'))[0], { state: 'met', paused_at: null, met_at: now() });
  });

  await t.test('what is owed at once never rests', async t => {
    const { id } = ok(await owner.post('/v1/cases', caseBody()));
    for (const name of ['immediate_needs', 'authority_notification']) {
      const [timer] = await timers({ id }, name);
      t.match(await chief.post(`/v1/timers/${timer.id}/pause`, { reason_code: 'force_majeure' }), { status: 409 }, name);
    }
  });

  await t.test('an authority decides within days that count from the referral', async t => {
    const found = await asked();
    t.strictSame(await timers(found.kase, 'reasonable_grounds_decision'), []);
    clock.advance(2 * HOUR);
    ok(await authority.post(`/v1/referrals/${found.referral.id}/accept`, {}));
    const [timer] = await timers(found.kase, 'reasonable_grounds_decision');
    t.match(timer, {
      responsible_agency_id: agencies.prosecution.id,
      started_at: found.referral.created_at,
      clock: 'working_days',
      state: 'running',
    });
    const [own] = await timers(found.kase, 'reasonable_grounds_decision', authority);
    t.match(own, { id: timer.id, case_id: found.kase.id });
    clock.advance(10 * DAY);
    const breached = (await eventsOf(services, authority)).filter(({ data }) => data.timer_id === timer.id);
    t.ok(breached.some(({ type }) => type === 'timer.breached'));
    t.notMatch(JSON.stringify(breached), found.kase.id, 'an authority knows the case by its offer');
    const by_offer = { referral_id: found.referral.id, offer_id: found.referral.offer.id };
    t.ok(breached.every(({ data }) => data.referral_id === by_offer.referral_id && data.offer_id === by_offer.offer_id));
    const along = (await eventsOf(services, authority, found.referral.id)).map(({ data }) => data.sequence);
    t.strictSame(
      along,
      [...along.keys()].map(place => place + 1),
      'and what it is told of it counts along the referral',
    );
    await decide(found, 'reasonable_grounds', 'negative');
    t.match(await timers(found.kase, 'reasonable_grounds_decision'), [{ state: 'met', met_at: now(), breached_at: /T/ }], 'late');
  });

  await t.test('they are over with its offer, and begin with the next', async t => {
    const found = await accepted();
    ok(await authority.post(`/v1/referrals/${found.referral.id}/fail`, { reason_code: 'other' }));
    t.match(await timers(found.kase, 'reasonable_grounds_decision'), [{ state: 'cancelled' }]);
    const granted = await accepted();
    const { decided_at } = await decide(granted, 'reasonable_grounds', 'positive');
    t.match(await timers(granted.kase, 'conclusive_decision'), [{ state: 'running', started_at: decided_at }]);
    ok(await chief.post(`${granted.path}/close`, { reason_code: 'lost_contact' }));
    t.strictSame(await names(granted.kase, 'running'), ['recovery_period'], 'the floors are the person’s');
    clock.advance(DAY);
    ok(await chief.post(`${granted.path}/reopen`, { reason: 'she rang' }));
    const [, again] = await timers(granted.kase, 'conclusive_decision');
    t.match(again, { state: 'running', started_at: decided_at, responsible_agency_id: agencies.prosecution.id });
  });

  await t.test('an initial decision leaves the one on reasonable grounds to be made', async t => {
    const found = await accepted();
    await decide(found, 'initial', 'positive');
    t.match(await timers(found.kase, 'reasonable_grounds_decision'), [
      { state: 'running', started_at: found.referral.created_at },
    ]);
    await decide(found, 'reasonable_grounds', 'positive');
    t.match(await timers(found.kase, 'reasonable_grounds_decision'), [{ state: 'met' }]);
    t.match(await timers(found.kase, 'conclusive_decision'), [{ state: 'running' }]);

    const refused = await decided('initial', 'negative');
    t.match(await timers(refused.kase, 'reasonable_grounds_decision'), [{ state: 'met' }], 'nothing is left to decide');
    ok(await owner.post(`${refused.path}/reconsiderations`, { reason: 'she was afraid' }));
    clock.advance(DAY);
    const { decided_at } = await decide(refused, 'reconsideration', 'positive');
    const anew = await timers(refused.kase, 'reasonable_grounds_decision');
    t.match(
      anew.find(({ state }) => state === 'running'),
      { started_at: decided_at },
      'what was overturned leads on',
    );
  });

  await t.test('nobody is pressed before the days of rest are over', async t => {
    const found = await accepted();
    clock.advance(HOUR);
    const decided_at = new Date(clock.now().getTime() - HOUR / 2).toISOString();
    await decide(found, 'reasonable_grounds', 'positive', { decided_at });
    const [floor] = await timers(found.kase, 'recovery_period');
    t.match(floor, { kind: 'floor', state: 'running', started_at: decided_at, guards: ['conclusive_grounds'], waived_at: null });
    const [deadline] = await timers(found.kase, 'conclusive_decision');
    t.match(deadline, { kind: 'deadline', started_at: decided_at, responsible_agency_id: agencies.prosecution.id, guards: [] });
    for (const outcome of ['positive', 'negative'] as const) {
      const early = await authority.post(`${found.path}/decisions`, body('conclusive_grounds', outcome));
      t.equal(early.status, 409);
      t.match(early.body, { code: 'too_early', due_at: floor.due_at });
    }
    t.match((await entriesOf(services, 'decision.make')).at(-1), { outcome: 'denied', code: 'too_early' });
    t.equal(
      (await as('prosecution', 'supervisor').post(`/v1/timers/${floor.id}/pause`, { reason_code: 'other' })).status,
      409,
      'it never rests',
    );

    clock.advance(Date.parse(floor.due_at) - clock.now().getTime() - 1);
    t.equal((await authority.post(`${found.path}/decisions`, body('conclusive_grounds', 'positive'))).body.code, 'too_early');
    clock.advance(1);
    // No sweep has seen it.
    t.match(await timers(found.kase, 'recovery_period'), [{ state: 'running' }]);
    const back = { ...body('conclusive_grounds', 'positive'), decided_at: new Date(Date.parse(floor.due_at) - 1).toISOString() };
    t.match((await authority.post(`${found.path}/decisions`, back)).body, { code: 'too_early' }, 'nor dated back into it');
    ok(await authority.post(`${found.path}/decisions`, body('conclusive_grounds', 'positive')));
    t.equal(await stageOf(found), 'identified');
    await drain(services);
    t.match(await timers(found.kase, 'recovery_period'), [{ state: 'met', met_at: floor.due_at }]);
    t.match(await timers(found.kase, 'conclusive_decision'), [{ state: 'met' }]);

    const [review] = await timers(found.kase, 'stay_review');
    t.match(review, { state: 'running', responsible_agency_id: agencies.helpline_a.id });
    ok(await owner.post(`/v1/timers/${review.id}/meet`));
    t.strictSame(
      (await timers(found.kase, 'stay_review')).map(({ state }) => state).sort(),
      ['met', 'running'],
      'again and again',
    );
    ok(await chief.post(`${found.path}/close`, { reason_code: 'integrated' }));
    t.strictSame((await timers(found.kase, 'stay_review')).map(({ state }) => state).sort(), ['cancelled', 'met']);
    ok(await chief.post(`${found.path}/reopen`, { reason: 'she came back' }));
    t.strictSame((await timers(found.kase, 'stay_review')).map(({ state }) => state).sort(), ['cancelled', 'met', 'running']);
  });

  await t.test('where a night is a matter of seconds, they are six', async t => {
    const found = await accepted({ jurisdiction: 'XB', region: 'XB-1' });
    await decide(found, 'reasonable_grounds', 'positive');
    clock.advance(5_999);
    t.equal((await authority.post(`${found.path}/decisions`, body('conclusive_grounds', 'positive'))).body.code, 'too_early');
    clock.advance(1);
    await drain(services);
    t.match(await timers(found.kase, 'recovery_period'), [{ state: 'met' }]);
    await decide(found, 'conclusive_grounds', 'positive');
  });

  await t.test('who supports the person may record that the person wants to decide sooner', async t => {
    const found = await accepted();
    for (const key of ['health', 'labour_inspection', 'prosecution', 'shelter_a'] as const) await held(found, key);
    await decide(found, 'reasonable_grounds', 'positive');
    const [floor] = await timers(found.kase, 'recovery_period');
    const [deadline] = await timers(found.kase, 'conclusive_decision');
    const asked_for = { requested_by_person: true, spoken_in_private: true };
    const waive = (who: Client, said: object = asked_for, id = floor.id, headers = {}) =>
      who.post(`/v1/timers/${id}/waive`, said, headers);
    t.equal((await waive(authority)).status, 403, 'the authority wants the decision');
    t.equal((await waive(as('committee'))).status, 403);
    for (const key of ['labour_inspection', 'helpline_b'] as const) {
      t.equal((await waive(as(key))).status, 404, key);
      t.strictSame(await timers(found.kase, 'recovery_period', as(key)), [], key);
    }
    for (const bad of [{}, { ...asked_for, requested_by_person: false }, { ...asked_for, spoken_in_private: 'yes' }])
      t.equal((await waive(owner, bad)).status, 400);
    const overheard = await waive(owner, { ...asked_for, spoken_in_private: false }, floor.id, { 'if-match': '"99"' });
    t.equal(overheard.status, 422);
    t.match(overheard.body.errors, [{ pointer: '/spoken_in_private' }]);
    t.equal((await waive(owner, asked_for, floor.id, { 'if-match': '"99"' })).status, 412);
    const other = await waive(owner, asked_for, deadline.id);
    t.equal(other.status, 409);
    t.match(other.body, { code: 'wrong_state', state: 'running' });

    const [seen] = await timers(found.kase, 'recovery_period', as('shelter_a'));
    t.equal(seen.id, floor.id, 'a holder that supports the person finds it');
    t.strictSame(await timers(found.kase, 'conclusive_decision', as('shelter_a')), [], 'and no other clock of the case');
    clock.advance(DAY);
    const waived = ok(await waive(as('shelter_a')));
    t.match(waived, { state: 'cancelled', waived_at: now(), due_at: floor.due_at });
    t.match((await entriesOf(services, 'timer.waive')).at(-1), { outcome: 'done', code: 'recovery_period', caseworker: 'CH-1' });
    t.match((await waive(owner)).body, { code: 'wrong_state', state: 'cancelled', allowed_actions: { length: 0 } });
    const by_offer = { referral_id: found.referral.id, offer_id: found.referral.offer.id, case_id: undefined };
    for (const [who, ids] of [
      [owner, { case_id: found.kase.id, referral_id: undefined }],
      [authority, by_offer],
    ] as const) {
      const told = (await eventsOf(services, who)).filter(({ data }) => data.timer_id === floor.id);
      t.match(told, [{ type: 'timer.moved', data: { timer: 'recovery_period', due_at: now(), ...ids } }]);
      t.notMatch(JSON.stringify(told), agencies.shelter_a.id, 'not who hides the person');
    }
    await decide(found, 'conclusive_grounds', 'negative');
    t.equal(await stageOf(found), 'not_identified');
    // A floor that was waived is not met later.
    clock.advance(40 * DAY);
    await drain(services);
    t.match(await timers(found.kase, 'recovery_period'), [{ state: 'cancelled', met_at: null }]);
  });

  await t.test('an owner that enforces may not; one that owns and supports may', async t => {
    const inspector = as('labour_inspection');
    const kase = ok(await inspector.post('/v1/cases', caseBody()));
    const path = `/v1/cases/${kase.id}`;
    const ground = { lawful_ground: { code: 'imminent_danger_to_life' }, categories: ['narrative'], service: 'identification' };
    const to = { ...ground, urgency: 'urgent', routing: 'direct', recipient_agency_id: agencies.prosecution.id };
    const referral = ok(await inspector.post(`${path}/referrals`, to));
    ok(await authority.post(`/v1/referrals/${referral.id}/accept`, {}));
    await decide({ path }, 'reasonable_grounds', 'positive');
    const [floor] = await timers(kase, 'recovery_period', inspector);
    const asked_for = { requested_by_person: true, spoken_in_private: true };
    t.equal((await inspector.post(`/v1/timers/${floor.id}/waive`, asked_for)).status, 403);
    const found = await decided('reasonable_grounds', 'positive');
    const [own] = await timers(found.kase, 'recovery_period');
    t.match(ok(await owner.post(`/v1/timers/${own.id}/waive`, asked_for)), { state: 'cancelled', waived_at: now() });
    await decide(found, 'conclusive_grounds', 'positive');
  });

  await t.test('no service ends because of a negative decision before it may not be asked again', async t => {
    const found = await accepted();
    const clinic = as('health');
    const care = await held(found, 'health');
    ok(await clinic.post(`/v1/referrals/${care.id}/confirm-handover`, { arrived_at: now() }));
    const decision = await decide(found, 'reasonable_grounds', 'negative');
    const ends: [() => ReturnType<Client['post']>, string][] = [
      [() => clinic.post(`/v1/referrals/${care.id}/fail`, { reason_code: 'service_ended' }), 'fail'],
      [() => clinic.post(`/v1/referrals/${care.id}/complete`, { outcome_code: 'not_applicable' }), 'complete'],
      [() => chief.post(`${found.path}/close`, { reason_code: 'not_identified' }), 'close'],
    ];
    for (const [end, verb] of ends) {
      const { status, body } = await end();
      t.equal(status, 409, verb);
      t.match(body, { code: 'too_early', detail: /not told/ }, verb);
      t.notOk('due_at' in body, `${verb}: nobody knows when`);
    }
    const served = await serve(decision);
    const [window] = await timers(found.kase, 'reconsideration_window');
    t.match(window, {
      kind: 'floor',
      started_at: served.served_at,
      responsible_agency_id: agencies.helpline_a.id,
      guards: ['end_service', 'close_case'],
    });
    const asked_for = { requested_by_person: true, spoken_in_private: true };
    t.match((await owner.post(`/v1/timers/${window.id}/waive`, asked_for)).body, { code: 'wrong_state' }, 'not to be given up');
    for (const [end, verb] of ends) t.match((await end()).body, { code: 'too_early', due_at: window.due_at }, verb);
    t.match(
      (await clinic.post(`/v1/referrals/${care.id}/fail`, { reason_code: 'service_ended' }, { 'if-match': '"99"' })).status,
      412,
      'the version first',
    );
    t.match((await entriesOf(services, 'case.close')).at(-1), { outcome: 'denied', code: 'too_early' });

    clock.advance(Date.parse(window.due_at) - clock.now().getTime() - 1);
    t.equal((await ends[0]![0]()).body.code, 'too_early');
    clock.advance(1);
    t.match(await timers(found.kase, 'reconsideration_window'), [{ state: 'running' }], 'no sweep has seen it');
    ok(await ends[0]![0]());
    ok(await ends[2]![0]());
  });

  await t.test('whatever the person does, and whatever protects the person, is never held back', async t => {
    for (const [verb, said] of [
      ['fail', { reason_code: 'left_service' }],
      ['fail', { reason_code: 'person_declined' }],
      ['fail', { reason_code: 'person_missing' }],
      ['fail', { reason_code: 'safety_breach' }],
      ['complete', { outcome_code: 'service_provided' }],
      ['complete', { outcome_code: 'declined_by_person' }],
    ] as const) {
      const found = await decided('initial', 'negative');
      const care = await held(found, 'health');
      ok(await as('health').post(`/v1/referrals/${care.id}/confirm-handover`, { arrived_at: now() }));
      t.equal((await as('health').post(`/v1/referrals/${care.id}/${verb}`, said)).status, 200, JSON.stringify(said));
    }
    for (const reason_code of ['person_withdrew', 'lost_contact', 'error']) {
      const found = await decided('initial', 'negative');
      t.equal((await chief.post(`${found.path}/close`, { reason_code })).status, 200, reason_code);
    }
  });

  await t.test('an overturned decision holds nothing back, and what it would have started starts', async t => {
    const found = await decided('reasonable_grounds', 'negative');
    const care = await held(found, 'health');
    ok(await owner.post(`${found.path}/reconsiderations`, { reason: 'she was afraid' }));
    clock.advance(DAY);
    const { decided_at } = await decide(found, 'reconsideration', 'positive');
    t.match(await timers(found.kase, 'reconsideration_window'), [{ state: 'cancelled' }]);
    t.match(await timers(found.kase, 'recovery_period'), [{ state: 'running', started_at: decided_at }]);
    t.match(await timers(found.kase, 'conclusive_decision'), [{ state: 'running' }]);
    ok(await as('health').post(`/v1/referrals/${care.id}/fail`, { reason_code: 'service_ended' }));
  });
});

t.test('where nothing is decided on reasonable grounds', async t => {
  const test = await startTestApp(t);
  const { clock, services } = test;
  const them = await mechanism(test);
  const { owner, authority, accepted, decide, body, stageOf } = identification(test, them);
  const IN_XB = { jurisdiction: 'XB', region: 'XB-1' };
  const timers = ({ kase }: { kase: { id: string } }, name: string) => all(owner, `/v1/timers?case_id=${kase.id}&name=${name}`);

  const resting = await accepted(IN_XB);
  await decide(resting, 'reasonable_grounds', 'positive');
  const { stages, decision_kinds, routes, ...pack } = shipped('XB');
  const path = '/v1/jurisdictions/XB/rule-pack';
  const without = {
    ...pack,
    stages: stages.filter(({ stage }) => stage !== 'reasonable_grounds' && stage !== 'recovery'),
    decision_kinds: decision_kinds.filter(({ kind }) => kind !== 'reasonable_grounds'),
    routes,
  };
  ok(await them.as('committee', 'nobody').put(path, without, { 'if-match': '*' }));

  await t.test('the conclusive decision is owed from the beginning', async t => {
    const found = await accepted(IN_XB);
    t.match(await timers(found, 'conclusive_decision'), [
      { state: 'running', started_at: found.referral.created_at, responsible_agency_id: authority.agency.id },
    ]);
    clock.advance(HOUR);
    await decide(found, 'initial', 'positive');
    t.match(await timers(found, 'reasonable_grounds_decision'), [{ state: 'met' }]);
    t.match(await timers(found, 'conclusive_decision'), [{ state: 'running', started_at: found.referral.created_at }]);
    await decide(found, 'conclusive_grounds', 'positive');
    t.match(await timers(found, 'conclusive_decision'), [{ state: 'met' }]);

    const late = await accepted(IN_XB);
    clock.advance(91 * DAY);
    await drain(services);
    t.match(await timers(late, 'conclusive_decision'), [{ state: 'breached' }], 'and missed');
    await decide(late, 'initial', 'negative');
    t.match(await timers(late, 'conclusive_decision'), [{ state: 'met', breached_at: /T/ }]);
  });

  await t.test('a case that rests goes on from there', async t => {
    clock.advance(DAY);
    ok(await authority.post(`${resting.path}/decisions`, body('conclusive_grounds', 'positive')));
    t.equal(await stageOf(resting), 'identified');
  });
});

t.test('both walls know the same kinds as support', async t => {
  const { services } = await startTestApp(t);
  const [wall] = await lookAsOwner<{ source: string }>(
    services,
    `select prosrc as source from pg_proc where proname = 'supports'`,
  );
  const named = [...wall!.source.matchAll(/'([a-z_]+)'/g)].map(([, kind]) => kind!);
  t.strictSame(named.sort(), AGENCY_KINDS.filter(isSupport).sort());
});
