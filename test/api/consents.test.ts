import { sql } from 'kysely';
import t from 'tap';
import { transact } from '../../src/platform/database.ts';
import { newId } from '../../src/platform/ids.ts';
import { startTestApp } from '../support/app.ts';
import { workingDays } from '../support/calendars.ts';
import { drain } from '../support/drain.ts';
import { all, clinic, eventsOf, HOUR, MEDICAL, NONE } from '../support/journey.ts';
import { type Client, mechanism } from '../support/mechanism.ts';
import { caseBody, consentBody, ok, referralBody, startNight } from '../support/night.ts';
import { lookAsOwner } from '../support/trail.ts';
import { demoActors } from '../support/webhooks.ts';

// Much of it, and other suites beside it.
t.setTimeout(300_000);

/** What the person agreed to decides who is asked and what is handed over, from one moment to the next. */

t.test('consent', async t => {
  const test = await startTestApp(t);
  const { services, clock } = test;
  const them = await mechanism(test);
  const { as, agencies } = them;
  const helpline = as('helpline_a');
  const { ask } = clinic(them);

  const openCase = async (who: Client = helpline, more: object = {}) => ok(await who.post('/v1/cases', caseBody(more as never)));
  const give = (case_id: string, more: object = {}, who: Client = helpline) =>
    who.post(`/v1/cases/${case_id}/consents`, consentBody(more as never));
  const refer = (case_id: string, more: object = {}, who: Client = helpline) =>
    who.post(`/v1/cases/${case_id}/referrals`, referralBody(more as never));
  const withdraw = (consent_id: string, more: object = {}) =>
    helpline.post(`/v1/consents/${consent_id}/withdraw`, { spoken_in_private: true, ...more });
  const read = async (client: Client, referral_id: string) => ok(await client.get(`/v1/referrals/${referral_id}`));
  const accept = async (client: Client, referral_id: string) => ok(await client.post(`/v1/referrals/${referral_id}/accept`));
  const typesTold = async (client: Client, referral_id: string) =>
    (await eventsOf(services, client, referral_id)).map(({ type }) => type);
  const missing = (categories: string[], lawful_grounds: string[]) => ({
    status: 409,
    body: {
      code: 'consent_missing',
      categories,
      lawful_grounds: lawful_grounds.length > 0 ? lawful_grounds : NONE,
    },
  });
  const FOR_ALL = ['imminent_danger_to_life', 'child_safeguarding'];
  const named = (key: keyof typeof agencies, more: object = {}) => ({ recipient: { agency_id: agencies[key].id }, ...more });

  await t.test('what is missing is named, and what the law would let this caller do', async t => {
    const { id } = await openCase();
    const asked = ['identity', 'narrative'];
    const refused = await refer(id, { categories: asked });
    t.match(refused, missing(asked, FOR_ALL), 'no grant at all');
    t.equal(refused.body.lawful_grounds.length, 2);
    ok(await give(id, { purposes: ['medical'] }));
    t.match(await refer(id, { categories: asked }), missing(asked, FOR_ALL), 'for another purpose');
    ok(await give(id, { recipient: { agency_kind: 'health' } }));
    t.match(await refer(id, { categories: asked }), missing(asked, FOR_ALL), 'for another kind');
    ok(await give(id, { categories: ['identity'] }));
    const partly = await refer(id, { categories: asked });
    t.match(partly, missing(['narrative'], FOR_ALL), 'a category alone');
    t.equal(partly.body.categories.length, 1);
    t.match(await refer(id, { categories: [...asked, 'source'] }), missing(['narrative', 'source'], FOR_ALL));
    for (const category of ['source', 'protection_status']) {
      const never = await refer(id, { categories: ['identity', category] });
      t.match(never, missing([category], []), `${category}: no ground helps`);
      t.strictSame(never.body.lawful_grounds, []);
    }
    t.equal(ok(await refer(id, { categories: ['identity'] })).status, 'offered');
    t.equal(ok(await refer(id, { categories: [] })).status, 'offered', 'an offer needs no category');
  });

  await t.test('a lawful ground stands in, where the pack gives it to the kind of the caller', async t => {
    const { id } = await openCase();
    const medical = { service: 'medical', urgency: 'routine' };
    for (const code of ['mandatory_report', 'court_order']) {
      t.match(await refer(id, { ...medical, lawful_ground: { code, person_informed: true } }), missing(['identity'], FOR_ALL));
    }
    const uninformed = await refer(id, { ...medical, lawful_ground: { code: 'child_safeguarding' } });
    t.match(uninformed, { status: 422, body: { errors: [{ pointer: '/lawful_ground/person_informed' }] } });
    t.match(await refer(id, { ...medical, lawful_ground: { code: 'hurry' } }), { status: 400 });
    const danger = ok(await refer(id, { ...medical, lawful_ground: { code: 'imminent_danger_to_life' } }));
    t.equal(danger.status, 'offered', 'at 3 a.m. the code is enough');
    const safeguarding = { code: 'child_safeguarding', person_informed: false, legal_basis: 'Art. 1' };
    t.equal(ok(await refer(id, { ...medical, lawful_ground: safeguarding })).status, 'offered');
    const all_but = ['identity', 'contact', 'demographics', 'narrative', 'health', 'labour', 'family', 'criminal_justice'];
    const open = ok(await refer(id, { ...medical, categories: all_but, lawful_ground: { code: 'imminent_danger_to_life' } }));
    const accepted = await accept(as('health'), open.id);
    t.strictSame(accepted.disclosure.categories, all_but);
    t.match(
      await refer(id, { ...medical, categories: ['protection_status'], lawful_ground: { code: 'imminent_danger_to_life' } }),
      missing(['protection_status'], []),
    );
    const kept = await lookAsOwner<{ action: string; lawful_ground: string; caseworker: string | null }>(
      services,
      `select action, lawful_ground, caseworker from audit_records where lawful_ground = 'child_safeguarding' order by number`,
    );
    t.match(kept, [
      { action: 'referral.make', caseworker: agencies.helpline_a.caseworkers[0].staff_code },
      { action: 'referral.offer', caseworker: null },
    ]);

    const inspector = as('labour_inspection');
    const own = await openCase(inspector);
    const refused = await refer(own.id, medical, inspector);
    t.strictSame(refused.body.lawful_grounds, [...FOR_ALL, 'mandatory_report', 'court_order'], 'labour inspection may more');
    const court = { code: 'court_order', person_informed: true };
    t.equal(ok(await refer(own.id, { ...medical, lawful_ground: court }, inspector)).status, 'offered');
    ok(await as('health').post(`/v1/referrals/${accepted.id}/fail`, { reason_code: 'other' }));
  });

  await t.test('a grant is for the agency that it names, or for all of its kind', async t => {
    const { id } = await openCase();
    ok(await give(id, named('shelter_b')));
    for (let i = 0; i < 3; i += 1) {
      const { id: referral_id, offer } = ok(await refer(id));
      t.equal(offer.agency_id, agencies.shelter_b.id, 'only the one that is named is asked');
      ok(await helpline.post(`/v1/referrals/${referral_id}/cancel`, { reason_code: 'error' }));
    }
    t.match(await refer(id, { routing: 'direct', recipient_agency_id: agencies.shelter_a.id }), { status: 409 });
    ok(await give(id));
    t.equal(ok(await refer(id, { routing: 'direct', recipient_agency_id: agencies.shelter_a.id })).status, 'offered');
  });

  await t.test('no consulate is asked where asylum applies or is unknown, nor on a ground instead of consent', async t => {
    await lookAsOwner(services, 'update agencies set kind = $2 where id = $1', [agencies.civil_society.id, 'consular']);
    const direct = { service: 'psychosocial', routing: 'direct', recipient_agency_id: agencies.civil_society.id, categories: [] };
    const lawful_ground = { code: 'imminent_danger_to_life' };
    for (const protection_status of ['asylum_seeker', 'refugee', 'unknown']) {
      const { id } = await openCase(helpline, { person: { protection_status } });
      ok(await give(id, { purposes: ['psychosocial'], categories: [], ...named('civil_society') }));
      t.match(await refer(id, direct), { status: 422, body: { code: 'unprocessable' } }, protection_status);
    }
    const { id } = await openCase(helpline, { person: { protection_status: 'resident' } });
    t.match(await refer(id, { ...direct, lawful_ground }), { status: 409, body: { code: 'consent_missing' } });
    ok(await give(id, { purposes: ['psychosocial'], categories: [], ...named('civil_society') }));
    t.equal(ok(await refer(id, direct)).status, 'offered');
    await lookAsOwner(services, 'update agencies set kind = $2 where id = $1', [agencies.civil_society.id, 'civil_society']);
  });

  await t.test('a protection status reaches some kinds only by name, the source nobody', async t => {
    const by_name_only = ['labour_inspection', 'police', 'prosecution', 'ministry', 'consular'];
    const kinds = [...by_name_only, 'shelter', 'health', 'social_services', 'civil_society', 'international_organisation'];
    const lantern = as('civil_society');
    const psychosocial = { service: 'psychosocial', urgency: 'routine', categories: ['protection_status'] };
    for (const kind of kinds) {
      // The same house under every mandate.
      await lookAsOwner(services, 'update agencies set kind = $2 where id = $1', [agencies.civil_society.id, kind]);
      // Of asylum no consulate learns at all.
      const protection_status = kind === 'consular' ? 'resident' : 'refugee';
      const { id } = await openCase(helpline, { person: { protection_status, given_name: 'Testname' } });
      const grant = { purposes: ['psychosocial'], categories: ['protection_status', 'source', 'identity'] };
      ok(await give(id, { ...grant, recipient: { agency_kind: kind } }));
      const by_kind = await refer(id, psychosocial);
      if (by_name_only.includes(kind)) t.match(by_kind, missing(['protection_status'], []), `${kind}: not by its kind`);
      else t.equal(ok(by_kind).status, 'offered', `${kind}: by its kind`);
      t.match(await refer(id, { ...psychosocial, categories: ['source'] }), missing(['source'], []), `${kind}: never the source`);

      const without = ok(await refer(id, { ...psychosocial, categories: ['identity'] }));
      t.strictSame(Object.keys((await accept(lantern, without.id)).disclosure.data), ['identity']);
      ok(await give(id, { ...grant, ...named('civil_society') }));
      const referral = ok(await refer(id, psychosocial));
      t.strictSame((await accept(lantern, referral.id)).disclosure.data, { protection_status: { protection_status } });
      const held = ok(await lantern.get(`/v1/cases/${id}`));
      t.strictSame(Object.keys(held.data).sort(), ['identity', 'protection_status'], `${kind}: as far as it was asked for`);
      t.ok(held.withheld.includes('source') && !held.withheld.includes('identity'));
    }
    await lookAsOwner(services, 'update agencies set kind = $2 where id = $1', [agencies.civil_society.id, 'civil_society']);
  });

  await t.test('what contradicts itself is no consent', async t => {
    const { id } = await openCase();
    const guardian = (conflict: string) => ({
      given_by: 'guardian',
      child_assent: true,
      guardian: { relation: 'aunt', conflict },
    });
    const rows: [object, number, string?][] = [
      [{ given_by: 'guardian' }, 422, '/guardian'],
      [{ ...guardian('none'), child_assent: undefined }, 422, '/child_assent'],
      [guardian('alleged'), 422, '/guardian/conflict'],
      [guardian('unassessed'), 422, '/guardian/conflict'],
      [{ guardian: { relation: 'aunt', conflict: 'none' } }, 422, '/guardian'],
      [{ expires_at: '2026-11-21T18:59:59.999Z' }, 422, '/expires_at'],
      [{ expires_at: services.now().toISOString() }, 422, '/expires_at'],
      [{ recipient: { agency_id: newId('agy') } }, 422, '/recipient/agency_id'],
      [{ recipient: { agency_id: agencies.health.id, agency_kind: 'health' } }, 400],
      [{ recipient: {} }, 400],
      [{ recipient: { agency_kind: 'bakery' } }, 400],
      [{ purposes: [] }, 400],
      [{ categories: ['everything'] }, 400],
      [{ explained_by: 'Some Name' }, 400],
      [{ note: 'x' }, 400],
    ];
    for (const [more, status, pointer] of rows) {
      const refused = await give(id, more);
      t.equal(refused.status, status, JSON.stringify(more));
      if (pointer) t.match(refused.body.errors, [{ pointer }]);
    }
    t.strictSame(ok(await helpline.get(`/v1/cases/${id}/consents`)).data, [], 'nothing was kept');

    const assessed = { ...guardian('none'), child_assent: true, interview_language: 'ckb', explained_by: 'DH-7' };
    const given = await give(id, assessed);
    t.match(given, { status: 201, body: { ...assessed, status: 'live', version: 1, withdrawn_at: null, expires_at: null } });
    const second = ok(await give(id, { recipient: { agency_kind: 'health' } }));
    const listed = ok(await helpline.get(`/v1/cases/${id}/consents`)).data;
    t.strictSame(listed, [second, given.body], 'newest first, as they were given');
    const [kept] = await lookAsOwner<{ row: string }>(services, 'select to_jsonb(c)::text as row from consents c where id = $1', [
      given.body.id,
    ]);
    t.notMatch(kept!.row, /aunt|ckb|DH-7/, 'who, where and how is sealed');
  });

  await t.test('a best-interest decision of a child authority stands in for a guardian in conflict', async t => {
    const { id } = await openCase();
    const decided = (decision: object, conflict = 'alleged') => ({
      given_by: 'guardian',
      child_assent: false,
      guardian: { relation: 'uncle', conflict, best_interest_decision: decision },
    });
    const decision = { decided_by_agency_id: agencies.civil_society.id, decided_at: services.now().toISOString() };
    const pointer = '/guardian/best_interest_decision/decided_by_agency_id';
    t.match(await give(id, decided(decision)), { status: 422, body: { errors: [{ pointer }] } }, 'no child authority yet');

    const {
      agency_id: _a,
      service: _s,
      version: _v,
      created_at: _c,
      updated_at: _u,
      assured_at: _at,
      stale: _stale,
      ...offered
    } = ok(await as('civil_society', 'supervisor').get(`/v1/agencies/${agencies.civil_society.id}/services/psychosocial`));
    for (const key of ['civil_society', 'helpline_a'] as const) {
      const path = `/v1/agencies/${agencies[key].id}/services/guardianship_child_protection`;
      ok(await as(key, 'supervisor').put(path, offered, { 'if-none-match': '*' }));
    }
    const own = { ...decision, decided_by_agency_id: agencies.helpline_a.id };
    t.match(await give(id, decided(own)), { status: 422, body: { errors: [{ pointer }] } }, 'nobody decides for its own case');
    const ahead = { ...decision, decided_at: '2027-01-01T00:00:00.000Z' };
    t.match(await give(id, decided(ahead)), { status: 422 });
    t.match(await give(id, decided(decision)), { status: 201, body: decided(decision) });
    t.match(await give(id, decided(decision, 'unassessed')), { status: 201 });
  });

  await t.test('only the owner gives, reads and withdraws', async t => {
    const { kase, consent, referral } = await startNight(helpline, {
      referral: { routing: 'direct', recipient_agency_id: agencies.shelter_a.id },
    });
    const shelter = as('shelter_a');
    await accept(shelter, referral.id);
    t.equal((await give(kase.id, {}, shelter)).status, 403, 'not a holder');
    t.equal((await shelter.get(`/v1/cases/${kase.id}/consents`)).status, 403);
    t.equal((await give(kase.id, {}, as('helpline_b'))).status, 404, 'not a stranger');
    t.equal((await as('helpline_b').get(`/v1/cases/${kase.id}/consents`)).status, 404);
    for (const key of ['helpline_b', 'shelter_a', 'committee'] as const) {
      const answer = await as(key).post(`/v1/consents/${consent.id}/withdraw`, { spoken_in_private: true });
      t.equal(answer.status, 404, `${key} knows of no consent`);
    }
    ok(await helpline.post(`/v1/referrals/${referral.id}/cancel`, { reason_code: 'error' }));
  });

  await t.test('withdrawn before anybody accepted', async t => {
    await t.test('the next covered agency is asked, then nobody', async t => {
      const { id } = await openCase();
      const grants = { a: ok(await give(id, named('shelter_a'))), b: ok(await give(id, named('shelter_b'))) };
      const referral = ok(await refer(id));
      const first = referral.offer.agency_id === agencies.shelter_a.id ? 'a' : 'b';
      const second = first === 'a' ? 'b' : 'a';
      const shelter = { a: as('shelter_a'), b: as('shelter_b') };
      ok(await withdraw(grants[first].id));
      t.match(await read(shelter[first], referral.id), { status: 'withdrawn', allowed_actions: NONE, profile: undefined });
      t.match(await shelter[first].post(`/v1/referrals/${referral.id}/accept`), { status: 409, body: { state: 'withdrawn' } });
      t.strictSame(await typesTold(shelter[first], referral.id), ['referral.offered', 'referral.withdrawn']);
      t.equal((await read(shelter[second], referral.id)).status, 'offered');
      t.equal((await read(helpline, referral.id)).status, 'offered');
      ok(await withdraw(grants[second].id));
      t.match(await read(helpline, referral.id), { status: 'withdrawn', allowed_actions: NONE });
      t.match(await refer(id), missing(['identity'], FOR_ALL));
    });

    await t.test('a direct referral ends with it', async t => {
      const { id } = await openCase();
      const grant = ok(await give(id, named('shelter_a')));
      ok(await give(id, named('shelter_b')));
      const direct = { routing: 'direct', recipient_agency_id: agencies.shelter_a.id };
      const alone = ok(await refer(id, direct));
      const with_fallback = ok(await refer(id, { ...direct, fallback: true }));
      ok(await withdraw(grant.id));
      t.equal((await read(helpline, alone.id)).status, 'withdrawn');
      t.match(await read(helpline, with_fallback.id), { status: 'offered', offer: { agency_id: agencies.shelter_b.id } });
    });

    await t.test('stop_service asks nobody else', async t => {
      const { id } = await openCase();
      const grants = { a: ok(await give(id, named('shelter_a'))), b: ok(await give(id, named('shelter_b'))) };
      const referral = ok(await refer(id));
      const asked = referral.offer.agency_id === agencies.shelter_a.id ? grants.a : grants.b;
      ok(await withdraw(asked.id, { stop_service: true }));
      t.equal((await read(helpline, referral.id)).status, 'withdrawn');
    });

    await t.test('what another grant or a ground covers stays', async t => {
      const { id } = await openCase();
      const direct = { routing: 'direct', recipient_agency_id: agencies.shelter_a.id };
      const by_kind = ok(await give(id));
      ok(await give(id, named('shelter_a')));
      const referral = ok(await refer(id, direct));
      const on_ground = ok(await refer(id, { service: 'medical', lawful_ground: { code: 'imminent_danger_to_life' } }));
      ok(await withdraw(by_kind.id, { stop_service: true }));
      t.match(await read(as('shelter_a'), referral.id), { status: 'offered', version: referral.version });
      t.equal((await read(as('health'), on_ground.id)).status, 'offered');
      t.strictSame(await typesTold(as('shelter_a'), referral.id), ['referral.offered']);
    });

    await t.test('what nobody has taken ends too', async t => {
      const { kase, consent, referral } = await startNight(helpline, {
        referral: { excluded_agencies: [agencies.shelter_a.id, agencies.shelter_b.id] },
      });
      t.equal(referral.status, 'unplaced');
      t.equal(kase.stage, 'reported');
      ok(await withdraw(consent.id));
      t.equal((await read(helpline, referral.id)).status, 'withdrawn');
      const [review] = await all(as('committee'), `/v1/timers?subject_id=${referral.id}&name=unplaced_review`);
      t.equal(review.state, 'cancelled');
      t.ok((await typesTold(helpline, referral.id)).includes('referral.withdrawn'));
    });
  });

  await t.test('withdrawn after somebody accepted', async t => {
    const clinicAccepts = async () => {
      const night = await ask();
      await accept(as('health'), night.referral.id);
      return night;
    };
    const clinicTimers = (referral_id: string, name: string) =>
      all(as('health'), `/v1/timers?subject_id=${referral_id}&name=${name}`);

    await t.test('stopping one service stops no other', async t => {
      const { kase, consent, referral } = await clinicAccepts();
      ok(await withdraw(consent.id));
      const legal = ok(
        await give(kase.id, { recipient: { agency_kind: 'civil_society' }, purposes: ['legal_aid'], categories: [] }),
      );
      ok(await withdraw(legal.id, { stop_service: true }));
      t.equal((await read(as('health'), referral.id)).status, 'accepted');
    });

    await t.test('the service goes on without what was told of the person', async t => {
      const { kase, consent, referral } = await clinicAccepts();
      ok(await withdraw(consent.id));
      const after = await read(as('health'), referral.id);
      t.strictSame(
        [after.status, after.disclosure, after.profile, after.note],
        ['accepted', { categories: [], data: {} }, undefined, undefined],
      );
      t.strictSame(ok(await as('health').get(`/v1/cases/${kase.id}`)).data, {});
      const actors = await demoActors(services);
      const rows = await transact(services, actors.health, tx =>
        sql`select category from case_data where case_id = ${kase.id} and category <> 'profile'`.execute(tx),
      );
      t.strictSame(rows.rows, [], 'the second wall has closed, too');

      const told = (await eventsOf(services, as('health'), referral.id)).filter(({ type }) => type === 'consent.withdrawn');
      t.equal(told.length, 1, 'the holder is told, once');
      t.strictSame(told[0]!.data.categories.toSorted(), ['contact', 'demographics', 'identity', 'narrative']);
      t.ok((await eventsOf(services, helpline, kase.id)).some(({ type }) => type === 'consent.withdrawn'));
      const [deletion] = await clinicTimers(referral.id, 'deletion_confirmation');
      t.match(deletion, {
        state: 'running',
        responsible_agency_id: agencies.health.id,
        due_at: workingDays(10, services.now()),
      });

      const arrived_at = services.now().toISOString();
      ok(await as('health').post(`/v1/referrals/${referral.id}/confirm-handover`, { arrived_at }));
      clock.advance(HOUR);
      ok(await as('health').post(`/v1/referrals/${referral.id}/complete`, { outcome_code: 'service_provided' }));
      const timers = await clinicTimers(referral.id, 'deletion_confirmation');
      t.equal(timers.find(({ id }) => id === deletion.id).state, 'running', 'an end of the service confirms no deletion');
      const stub = ok(await as('health').get(`/v1/cases/${kase.id}`));
      t.strictSame(Object.keys(stub).sort(), ['categories_held', 'deletion_due_at', 'id', 'version']);
      t.strictSame(stub.categories_held.toSorted(), ['contact', 'demographics', 'identity', 'narrative']);
    });

    await t.test('with stop_service it ends', async t => {
      for (const arrives of [false, true]) {
        const { kase, consent, referral } = await clinicAccepts();
        if (arrives) {
          const arrived_at = services.now().toISOString();
          ok(await as('health').post(`/v1/referrals/${referral.id}/confirm-handover`, { arrived_at }));
        }
        ok(await withdraw(consent.id, { stop_service: true }));
        t.match(await read(as('health'), referral.id), { status: 'withdrawn', disclosure: undefined, profile: undefined });
        t.equal((await read(helpline, referral.id)).status, 'withdrawn');
        const types = await typesTold(as('health'), referral.id);
        t.strictSame(types.slice(-3).sort(), ['consent.withdrawn', 'disclosure.deletion_due', 'referral.withdrawn']);
        t.equal((await clinicTimers(referral.id, 'deletion_confirmation')).length, 1);
        t.match(ok(await as('health').get(`/v1/cases/${kase.id}`)), { deletion_due_at: String, data: undefined });
        const running = (await all(as('health'), `/v1/timers?subject_id=${referral.id}&state=running`)).map(({ name }) => name);
        t.strictSame(running, ['deletion_confirmation'], 'no other clock runs on');
      }
    });

    await t.test('in part: what is left stays open, and may be opened again', async t => {
      const { kase, consent, referral } = await clinicAccepts();
      const both = await withdraw(consent.id, { categories: ['narrative'], stop_service: true });
      t.match(both, { status: 422, body: { errors: [{ pointer: '/stop_service' }] } }, 'no category stops a service');
      const partly = ok(await withdraw(consent.id, { categories: ['narrative', 'labour'] }));
      t.match(partly, { status: 'live', version: 2, withdrawn_at: null });
      t.notOk(partly.categories.includes('narrative'));
      const after = await read(as('health'), referral.id);
      t.equal(after.status, 'accepted', 'agency and purpose are still covered');
      t.strictSame(after.disclosure.categories, ['identity', 'contact', 'demographics']);
      t.notOk(after.note, 'the words of the sender are a narrative');
      const told = (await eventsOf(services, as('health'), referral.id)).at(-2);
      t.match(told, { type: 'consent.withdrawn', data: { categories: ['narrative'], case_id: undefined } });
      t.equal((await clinicTimers(referral.id, 'deletion_confirmation')).length, 1);

      ok(await give(kase.id, { ...MEDICAL.consent, categories: ['narrative', 'health'] }));
      const again = await read(as('health'), referral.id);
      t.strictSame(
        again.disclosure.categories,
        ['identity', 'contact', 'demographics', 'narrative'],
        'no more than was asked for',
      );
      t.match(again.disclosure.data.narrative.narrative, /CANARY/);
      t.match((await eventsOf(services, as('health'), referral.id)).at(-1), {
        type: 'disclosure.updated',
        data: { categories: ['narrative'] },
      });

      t.match(await withdraw(consent.id, { categories: [] }), { status: 400 });
      const stale = { 'if-match': '"1"' };
      const path = `/v1/consents/${consent.id}/withdraw`;
      t.match(await helpline.post(path, { spoken_in_private: true }, stale), { status: 412 });
      t.match(ok(await helpline.post(path, { spoken_in_private: true }, { 'if-match': '"2"' })), {
        status: 'withdrawn',
        version: 3,
      });
      t.match(await withdraw(consent.id), {
        status: 409,
        body: { code: 'wrong_state', state: 'withdrawn', allowed_actions: [] },
      });
      t.match(await helpline.post(path, { spoken_in_private: true }, stale), { status: 412 }, 'the version before the state');
      t.strictSame((await read(as('health'), referral.id)).disclosure.categories, ['narrative'], 'the other grant stands');
    });

    await t.test('what another grant covers stays open, and nobody is told', async t => {
      const { kase, consent, referral } = await clinicAccepts();
      ok(await give(kase.id, { ...MEDICAL.consent, ...named('health') }));
      const before = await typesTold(as('health'), referral.id);
      ok(await withdraw(consent.id, { stop_service: true }));
      const after = await read(as('health'), referral.id);
      t.strictSame([after.status, after.disclosure.categories.length], ['accepted', 4]);
      t.strictSame(await typesTold(as('health'), referral.id), before);
      t.strictSame(await clinicTimers(referral.id, 'deletion_confirmation'), []);
    });
  });

  await t.test('said while others listened, it is looked after', async t => {
    for (const [spoken_in_private, checks] of [
      [true, 0],
      [false, 1],
    ] as const) {
      const { kase, consent } = await ask();
      ok(await withdraw(consent.id, { spoken_in_private }));
      const timers = await all(helpline, `/v1/timers?subject_id=${kase.id}&name=welfare_check`);
      t.equal(timers.length, checks, `spoken in private: ${spoken_in_private}`);
      if (checks === 0) continue;
      const due_at = new Date(services.now().getTime() + 24 * HOUR).toISOString();
      const whose = { responsible_agency_id: agencies.helpline_a.id, subject: { type: 'case', id: kase.id } };
      t.match(timers[0], { state: 'running', due_at, ...whose });
      t.strictSame(await all(as('health'), '/v1/timers?name=welfare_check'), [], 'the owner alone is asked to look');
    }
  });

  await t.test('a grant whose time is over', async t => {
    const expiring = async (more: object = {}) => {
      const { id } = await openCase();
      const expires_at = new Date(services.now().getTime() + HOUR).toISOString();
      const consent = ok(await give(id, { ...MEDICAL.consent, expires_at }));
      const referral = ok(
        await refer(id, {
          service: 'medical',
          urgency: 'routine',
          routing: 'direct',
          recipient_agency_id: agencies.health.id,
          ...more,
        }),
      );
      return { id, consent, referral };
    };
    const asked = await expiring();
    const held = await expiring();
    await accept(as('health'), held.referral.id);
    clock.advance(HOUR - 1);
    t.equal((await read(as('health'), held.referral.id)).disclosure.categories.length, 4);
    t.ok((await read(as('health'), asked.referral.id)).profile);

    // No job has run yet.
    clock.advance(1);
    t.strictSame((await read(as('health'), held.referral.id)).disclosure, { categories: [], data: {} }, 'access ends at once');
    t.strictSame(ok(await as('health').get(`/v1/cases/${held.id}`)).data, {});
    t.notOk((await read(as('health'), asked.referral.id)).profile, 'and so does what is shown before acceptance');
    t.match(await as('health').post(`/v1/referrals/${asked.referral.id}/accept`), {
      status: 409,
      body: { code: 'consent_missing' },
    });
    const arrived_at = services.now().toISOString();
    const arriving = await as('health').post(`/v1/referrals/${asked.referral.id}/confirm-handover`, { arrived_at });
    t.match(arriving, { status: 409, body: { code: 'consent_missing' } }, 'nor by arriving');
    t.match(await refer(asked.id, { service: 'medical' }), missing(['identity'], FOR_ALL));
    t.match(await withdraw(asked.consent.id), { status: 409, body: { code: 'wrong_state', state: 'expired' } });
    t.equal(ok(await helpline.get(`/v1/cases/${asked.id}/consents`)).data[0].status, 'expired');

    await Promise.all([drain(services), drain(services), drain(services)]);
    t.equal((await read(as('health'), asked.referral.id)).status, 'withdrawn');
    t.equal((await read(as('health'), held.referral.id)).status, 'accepted', 'nobody is dropped from a service');
    const told = await eventsOf(services, as('health'), held.referral.id);
    t.equal(told.filter(({ type }) => type === 'consent.withdrawn').length, 1, 'the holder is told, once');
    const owner_told = (await eventsOf(services, helpline, held.id)).filter(({ type }) => type === 'consent.expired');
    t.equal(owner_told.length, 1, 'and so is the owner');
    t.equal((await all(as('health'), `/v1/timers?subject_id=${held.referral.id}&name=deletion_confirmation`)).length, 1);
    t.strictSame(await all(helpline, `/v1/timers?subject_id=${held.id}&name=welfare_check`), [], 'an expiry is nobody overheard');
  });

  await t.test('one whose end cannot be drawn holds up no other', async t => {
    const { id } = await openCase();
    const expires_at = new Date(services.now().getTime() + HOUR).toISOString();
    const [broken, sound] = [ok(await give(id, { expires_at })), ok(await give(id, { expires_at }))];
    clock.advance(HOUR);
    const broken_by = `check (id <> '${broken.id}' or expired_at is null)`;
    await lookAsOwner(services, `alter table consents add constraint broken ${broken_by}`);
    await drain(services);
    await lookAsOwner(services, 'alter table consents drop constraint broken');
    const expired = async (consent_id: string) =>
      (await lookAsOwner(services, 'select expired_at from consents where id = $1', [consent_id]))[0]!.expired_at;
    t.strictSame([await expired(broken.id), await expired(sound.id)], [null, services.now()]);
    await drain(services);
    t.strictSame(await expired(broken.id), services.now(), 'and is drawn when it can be');
  });

  await t.test('a grant that is over names nobody any more', async t => {
    const { id } = await openCase();
    ok(await give(id));
    const expires_at = new Date(services.now().getTime() + HOUR).toISOString();
    ok(await give(id, named('shelter_a', { expires_at })));
    const direct = { routing: 'direct', recipient_agency_id: agencies.shelter_a.id };
    t.equal(ok(await refer(id, direct)).offer.agency_id, agencies.shelter_a.id);
    clock.advance(HOUR);
    const later = ok(await refer(id, direct));
    t.notOk(later.offer.agency_id);
    t.ok(later.offer.placed, 'a hidden place is hidden again');
  });

  await t.test('of a yes and a withdrawal at the same moment one comes first', async t => {
    for (let round = 0; round < 8; round += 1) {
      const { consent, referral } = await ask();
      const [accepted, withdrawn] = await Promise.all([
        as('health').post(`/v1/referrals/${referral.id}/accept`),
        withdraw(consent.id, { stop_service: true }),
      ]);
      t.equal(withdrawn.status, 200);
      t.ok(accepted.status === 200 || accepted.status === 409, String(accepted.status));
      t.equal((await read(as('health'), referral.id)).status, 'withdrawn');
      const [open] = await lookAsOwner<{ count: number }>(
        services,
        `select count(*)::int as count from disclosures where referral_id = $1 and (ended_at is null or categories <> '{}')`,
        [referral.id],
      );
      t.equal(open!.count, 0, 'nothing stays open');
    }
  });

  await t.test('an anonymous record, or a closed case, has nobody who could consent', async t => {
    const anonymous = await openCase(helpline, { track: 'anonymous', person: undefined });
    t.match(await give(anonymous.id), { status: 422, body: { code: 'unprocessable' } });
    const { id } = await openCase();
    ok(await as('helpline_a', 'supervisor').post(`/v1/cases/${id}/close`, { reason_code: 'lost_contact' }));
    t.match(await give(id), { status: 409, body: { code: 'wrong_state', state: 'closed' } });
    t.match(await give(id, { given_by: 'guardian' }), { status: 422 }, 'what contradicts itself is said first');
  });
});
