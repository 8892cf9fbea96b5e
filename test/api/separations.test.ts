import t from 'tap';
import { deleteSeparation, saveAgreement, saveSeparation } from '../../src/cases/separations/store.ts';
import { transact } from '../../src/platform/database.ts';
import { newId } from '../../src/platform/ids.ts';
import { startTestApp } from '../support/app.ts';
import { grouping } from '../support/groups.ts';
import { anonymous, DAY, eventsOf, MEDICAL } from '../support/journey.ts';
import { type Client, mechanism } from '../support/mechanism.ts';
import { caseBody, consentBody, ok, referralBody } from '../support/night.ts';
import { storyteller } from '../support/story.ts';
import { demoActors } from '../support/webhooks.ts';

/** Who must not meet: kept apart by hand, by a referral, by two owners who agree, and in a family of which one is suspected. */

t.test('people who are kept apart', async t => {
  const test = await startTestApp(t);
  const { services, clock } = test;
  const them = await mechanism(test);
  const { as, agencies } = them;
  const { found, referOne, askedFor, offeredTo, giveAway, helpline } = grouping(test, them);
  const { preferShelter, setPlaces } = storyteller(test, them);
  await preferShelter('shelter_a');
  for (const key of ['shelter_a', 'shelter_b'] as const) await setPlaces(key, 50);

  /** Two who were not found together, each with consent to shelters. */
  const two = async () => {
    const ids: string[] = [];
    for (let i = 0; i < 2; i += 1) {
      const { id } = ok(await helpline.post('/v1/cases', caseBody()));
      ok(await helpline.post(`/v1/cases/${id}/consents`, consentBody()));
      ids.push(id);
    }
    return ids as [string, string];
  };
  const separate = (id: string, other: string, more: object = {}) =>
    helpline.post(`/v1/cases/${id}/separations`, { case_id: other, ...more });
  const listed = async (id: string, who = helpline) => ok(await who.get(`/v1/cases/${id}/separations`)).data;
  const asked = async (id: string) => ok(await referOne(id)).id as string;
  const accept = (referral_id: string, key: 'shelter_a' | 'shelter_b') => as(key).post(`/v1/referrals/${referral_id}/accept`);

  await t.test('by hand, for both, until it is lifted', async t => {
    const [one, other] = await two();
    const said = await separate(one, other);
    t.match(said, { status: 201, body: { id: /^sep_/, case_id: other, until: null } });
    const again = await separate(one, other, { until: new Date(clock.now().getTime() + DAY).toISOString() });
    t.match(again, { status: 201, body: { id: said.body.id, until: /T/ } }, 'said again, it holds until the new end');
    ok(await separate(one, other));
    t.match(await listed(one), [{ id: said.body.id, case_id: other }]);
    t.match(await listed(other), [{ id: said.body.id, case_id: one }], 'from both sides');

    await asked(one);
    await asked(other);
    t.same(await askedFor([one, other]), ['shelter_a', 'shelter_b'], 'nobody is asked where the other is asked for');
    const direct = await referOne(other, offeredTo('shelter_a'));
    t.match(direct, { status: 422, body: { code: 'unprocessable', detail: 'the agency may not be asked for this person' } });
    t.notMatch(JSON.stringify(direct.body), one, 'and not told why');

    t.match(await helpline.delete(`/v1/cases/${other}/separations/${said.body.id}`), { status: 204 });
    t.match(await listed(one), { length: 0 });
    t.match(await helpline.delete(`/v1/cases/${one}/separations/${said.body.id}`), { status: 404 });
    t.match(await referOne(other, offeredTo('shelter_a')), { status: 201 });
  });

  await t.test('until a day that was named', async t => {
    const [one, other] = await two();
    ok(await separate(one, other, { until: new Date(clock.now().getTime() + DAY).toISOString() }));
    await asked(one);
    t.match(await referOne(other, offeredTo('shelter_a')), { status: 422 });
    clock.advance(DAY);
    t.match(await referOne(other, offeredTo('shelter_a')), { status: 201 });
  });

  await t.test('from whom the caller knows', async t => {
    const [one, other] = await two();
    const { id: foreign } = ok(await as('helpline_b').post('/v1/cases', caseBody()));
    for (const [body, pointer] of [
      [{ case_id: one }, '/case_id'],
      [{ case_id: foreign }, '/case_id'],
      [{ case_id: newId('cas') }, '/case_id'],
      [{ case_id: other, until: clock.now().toISOString() }, '/until'],
    ] as const)
      t.match(await helpline.post(`/v1/cases/${one}/separations`, body), { status: 422, body: { errors: [{ pointer }] } });
    t.match(await referOne(one, { requirements: { separate_from: [one] } }), {
      status: 422,
      body: { errors: [{ pointer: '/requirements/separate_from' }] },
    });
    ok(await separate(one, other));
    const nothing = anonymous(await helpline.get(`/v1/cases/${newId('cas')}/separations`));
    for (const key of ['helpline_b', 'shelter_a', 'prosecution'] as const)
      t.strictSame(anonymous(await as(key).get(`/v1/cases/${one}/separations`)), nothing, key);
    t.match(await as('committee').post(`/v1/cases/${one}/separations`, { case_id: other }), { status: 403 });
    for (const key of ['committee', 'shelter_a'] as const)
      t.notMatch(JSON.stringify(await as(key).get(`/v1/cases/${one}/timeline`)), /separat/, key);
  });

  await t.test('by a referral, also for the other one, and for what comes later', async t => {
    const [one, other] = await two();
    ok(await referOne(one, { requirements: { separate_from: [other] } }));
    t.match(await listed(one), [{ case_id: other, until: null }]);
    await asked(other);
    t.same(await askedFor([one, other]), ['shelter_a', 'shelter_b']);
    const [refused, kept] = await two();
    t.match(await referOne(refused, { requirements: { separate_from: [kept] }, categories: ['criminal_justice'] }), {
      status: 409,
    });
    t.match(await listed(refused), { length: 0 }, 'nothing is kept of a referral that is not made');
  });

  await t.test('from a case of another owner: proposed, until that owner agrees', async t => {
    const health = as('health');
    const committee = as('committee');
    /** A victim of the helpline whom the clinic knows, and a case of the clinic's own, each with consent to shelters. */
    const bait = async () => {
      const [victim] = await two();
      ok(await helpline.post(`/v1/cases/${victim}/consents`, consentBody(MEDICAL.consent as never)));
      const treated = ok(await referOne(victim, { ...MEDICAL.referral, ...offeredTo('health'), categories: [] }));
      ok(await health.post(`/v1/referrals/${treated.id}/accept`));
      const { id: own } = ok(await health.post('/v1/cases', caseBody()));
      ok(await health.post(`/v1/cases/${own}/consents`, consentBody()));
      return { victim, own };
    };
    const propose = async ({ victim, own }: { victim: string; own: string }, more: object = {}) =>
      ok(await health.post(`/v1/cases/${own}/separations`, { case_id: victim, ...more })).id as string;
    const referOwn = (own: string, more: object = {}) =>
      health.post(`/v1/cases/${own}/referrals`, referralBody({ urgency: 'urgent', ...more }));
    const agree = (who: Client, case_id: string, id: string) => who.post(`/v1/cases/${case_id}/separations/${id}/agree`);
    const told = async (who: Client, id: string) =>
      (await eventsOf(services, who))
        .filter(({ type, data }) => type === 'case.separation_changed' && data.separation_id === id)
        .map(({ data }) => [data.case_id, data.state]);

    await t.test('tells nobody where the other is', async t => {
      const pair = await bait();
      t.match(await accept(ok(await referOne(pair.victim, offeredTo('shelter_a'))).id, 'shelter_a'), { status: 200 });
      await propose(pair);
      t.match(await referOwn(pair.own, offeredTo('shelter_a')), { status: 201 }, 'there as anywhere else');
      for (const separate_from of [[pair.victim], [newId('cas')]])
        t.match(await referOwn(pair.own, { requirements: { separate_from } }), {
          status: 422,
          body: { errors: [{ pointer: '/requirements/separate_from', detail: /propose it/ }] },
        });
      t.match(
        await health.post(
          `/v1/cases/${pair.victim}/referrals`,
          referralBody({ service: 'psychosocial', categories: [], requirements: { separate_from: [pair.own] } }),
        ),
        { status: 422, body: { errors: [{ pointer: '/requirements/separate_from' }] } },
        'nor from the other side',
      );
    });

    await t.test('bars nobody from anywhere', async t => {
      const pair = await bait();
      for (const key of ['shelter_a', 'shelter_b'] as const) ok(await referOwn(pair.own, offeredTo(key)));
      await propose(pair);
      t.match(await referOne(pair.victim, { urgency: 'emergency' }), { status: 201, body: { status: 'offered' } });
    });

    await t.test('and from then on holds, for both', async t => {
      const pair = await bait();
      const id = await propose(pair);
      t.match(await listed(pair.own, health), [{ id, case_id: pair.victim, state: 'proposed' }]);
      const [seen] = await listed(pair.victim);
      t.match(seen, { id, said_by_agency_id: agencies.health.id, state: 'proposed' });
      t.notOk('case_id' in seen, 'a case that its owner does not know is not named to it');
      t.same(await told(helpline, id), [[pair.victim, 'proposed']]);

      t.match(await agree(health, pair.own, id), { status: 403 }, 'not by whoever says it');
      t.match(await agree(health, pair.victim, id), { status: 403 }, 'nor as a holder');
      t.match(await agree(as('helpline_b'), pair.victim, id), { status: 404 });
      t.match(await agree(helpline, (await two())[0], id), { status: 404 }, 'nor by way of another case');
      t.match(await agree(helpline, pair.victim, id), { status: 200, body: { id, state: 'in_force' } });
      t.match(await agree(helpline, pair.victim, id), { status: 409, body: { code: 'wrong_state', state: 'in_force' } });
      t.same(await told(health, id), [[pair.own, 'in_force']]);
      ok(await referOne(pair.victim, offeredTo('shelter_a')));
      t.match(await referOwn(pair.own, offeredTo('shelter_a')), { status: 422 });

      const later = await propose(pair, { until: new Date(clock.now().getTime() + DAY).toISOString() });
      t.not(later, id, 'said again it is proposed again');
      t.match(await listed(pair.victim), [
        { id: later, state: 'proposed' },
        { id, state: 'in_force' },
      ]);
      t.match(await referOwn(pair.own, offeredTo('shelter_a')), { status: 422 }, 'and what is in force stays so');
      ok(await agree(helpline, pair.victim, later));
      t.match(await listed(pair.victim), [{ id: later, state: 'in_force' }]);
      clock.advance(DAY);
      t.match(await listed(pair.victim), [{ id: later, state: 'ended' }]);
      t.match(await agree(helpline, pair.victim, later), { status: 409, body: { state: 'ended' } });
      t.match(await referOwn(pair.own, offeredTo('shelter_a')), { status: 201 });
    });

    await t.test('nor does the wall of the database alone let whoever says it put it in force', async t => {
      const pair = await bait();
      const { health: actor } = await demoActors(services);
      const now = clock.now();
      const of_pair = { id: newId('sep'), case_id: pair.own, from_case_id: pair.victim };
      const row = { ...of_pair, said_by_agency_id: agencies.health.id, until: null, created_at: now };
      const denied = { message: /row-level security/ };
      await t.rejects(
        transact(services, actor, tx => saveSeparation(tx, { ...row, agreed_at: now })),
        denied,
      );
      await t.rejects(
        transact(services, actor, tx =>
          saveSeparation(tx, { ...row, said_by_agency_id: agencies.committee.id, agreed_at: null }),
        ),
        denied,
      );
      const id = await propose(pair);
      await t.rejects(
        transact(services, actor, tx => saveAgreement(tx, { ...of_pair, id }, now)),
        denied,
      );
      const { helpline_b } = await demoActors(services);
      t.equal(await transact(services, helpline_b, tx => saveAgreement(tx, { ...of_pair, id }, now)), false);
      t.equal(await transact(services, helpline_b, tx => deleteSeparation(tx, id)), false);
      t.match(await listed(pair.victim), [{ id, state: 'proposed' }]);
    });

    await t.test('either owner lifts it, and the other is told', async t => {
      const pair = await bait();
      for (const [who, mine, other, theirs] of [
        [helpline, pair.victim, health, pair.own],
        [health, pair.own, helpline, pair.victim],
      ] as const) {
        const id = await propose(pair);
        ok(await agree(helpline, pair.victim, id));
        t.match(await who.delete(`/v1/cases/${mine}/separations/${id}`), { status: 204 });
        t.match((await told(other, id)).at(-1), [theirs, 'ended']);
        t.match(await listed(theirs, other), { length: 0 });
      }
    });

    await t.test('a coordinator sees it, agrees to it and lifts it; both owners are told', async t => {
      const pair = await bait();
      const id = await propose(pair);
      t.match(await listed(pair.victim, committee), [{ id, case_id: pair.own, state: 'proposed' }]);
      t.match(await agree(committee, pair.own, id), { status: 403 }, 'of the case from which somebody shall be kept apart');
      t.match(await agree(committee, pair.victim, id), { status: 200, body: { state: 'in_force' } });
      t.match(await committee.delete(`/v1/cases/${pair.own}/separations/${id}`), { status: 204 });
      t.same(await told(helpline, id), [
        [pair.victim, 'proposed'],
        [pair.victim, 'in_force'],
        [pair.victim, 'ended'],
      ]);
      t.same(await told(health, id), [
        [pair.own, 'in_force'],
        [pair.own, 'ended'],
      ]);
      t.same(await told(committee, id), []);
    });

    await t.test('whoever said it is not named where that would tell where the person is', async t => {
      const [victim, own] = await two();
      await giveAway(own, 'shelter_a');
      t.match(await accept(ok(await referOne(victim, offeredTo('shelter_a'))).id, 'shelter_a'), { status: 200 });
      const id = ok(await as('shelter_a').post(`/v1/cases/${own}/separations`, { case_id: victim })).id;
      const [seen] = await listed(victim);
      t.match(seen, { id, state: 'proposed' });
      t.notMatch(JSON.stringify(seen), agencies.shelter_a.id);
    });

    await t.test('an owner to whom a case goes over keeps what was in force', async t => {
      const [one, other] = await two();
      const { id } = ok(await separate(one, other));
      await giveAway(other, 'civil_society');
      const support = as('civil_society');
      t.match(await listed(other, support), [{ id, state: 'in_force' }]);
      ok(await referOne(one, offeredTo('shelter_a')));
      ok(await support.post(`/v1/cases/${other}/consents`, consentBody()));
      t.match(
        await support.post(
          `/v1/cases/${other}/referrals`,
          referralBody({ urgency: 'urgent', categories: [], ...offeredTo('shelter_a') }),
        ),
        { status: 422, body: { detail: 'the agency may not be asked for this person' } },
      );
      t.match(await support.delete(`/v1/cases/${other}/separations/${id}`), { status: 204 });
      t.same(await told(helpline, id), [[one, 'ended']]);
    });
  });

  await t.test('two that one shelter takes at the same instant: one of them is not', async t => {
    for (let round = 0; round < 4; round += 1) {
      const [one, other] = await two();
      const referrals = [await asked(one), await asked(other)];
      // Asked for before anybody said that they must not meet.
      t.same(await askedFor([one, other]), ['shelter_a', 'shelter_a']);
      ok(await separate(one, other));
      const answers = await Promise.all(referrals.map(id => accept(id, 'shelter_a')));
      t.same(answers.map(({ status }) => status).sort(), [200, 409]);
      const refused = answers.findIndex(({ status }) => status === 409);
      t.match(answers[refused]!.body, { code: 'may_not_take' });
      t.notMatch(JSON.stringify(answers[refused]!.body), refused === 0 ? other : one, 'and nobody is told because of whom');
      t.match(
        await as('shelter_a').post(`/v1/referrals/${referrals[refused]}/confirm-handover`, {
          arrived_at: clock.now().toISOString(),
        }),
        { status: 409, body: { code: 'may_not_take' } },
        'nor is an arrival',
      );
      ok(await as('shelter_a').post(`/v1/referrals/${referrals[refused]}/decline`, { reason_code: 'unsafe' }));
      t.match(await accept(referrals[refused]!, 'shelter_b'), { status: 200 }, 'another agency was asked');
    }
  });

  await t.test('also where no places are counted, so that nothing else is waited for', async t => {
    for (let round = 0; round < 4; round += 1) {
      const [one, other] = await two();
      const referrals: string[] = [];
      for (const id of [one, other]) {
        ok(await helpline.post(`/v1/cases/${id}/consents`, consentBody(MEDICAL.consent as never)));
        referrals.push(ok(await referOne(id, { ...MEDICAL.referral, ...offeredTo('health'), categories: [] })).id);
      }
      ok(await separate(one, other));
      const answers = await Promise.all(referrals.map(id => as('health').post(`/v1/referrals/${id}/accept`)));
      t.same(answers.map(({ status }) => status).sort(), [200, 409]);
    }
  });

  await t.test('a family stays together', async t => {
    const { ids } = await found([{}, {}, {}], { families: [[0, 1]] });
    const [mother, daughter, worker] = ids as [string, string, string];
    t.match(await accept(ok(await referOne(mother, offeredTo('shelter_b'))).id, 'shelter_b'), { status: 200 });
    await asked(daughter);
    await asked(worker);
    t.same(await askedFor(ids), ['shelter_b', 'shelter_b', 'shelter_a'], 'although the other one ranks better for anybody else');
  });

  await t.test('but for whoever of it is suspected, who is kept apart from the rest', async t => {
    const { ids } = await found([{}, { suspected: true }, {}], { families: [[0, 1, 2]] });
    const [mother, aunt, daughter] = ids as [string, string, string];
    t.match(await accept(await asked(mother), 'shelter_a'), { status: 200 });
    await asked(aunt);
    await asked(daughter);
    t.same(await askedFor([mother, aunt, daughter]), ['shelter_a', 'shelter_b', 'shelter_a']);
    t.match(await referOne(aunt, offeredTo('shelter_a')), { status: 422 });

    // Suspected only after everybody was asked for at one place.
    const later = await found([{}, {}], { families: [[0, 1]] });
    const referrals = [await asked(later.ids[0]!), await asked(later.ids[1]!)];
    t.same(await askedFor(later.ids), ['shelter_a', 'shelter_a']);
    ok(await helpline.patch(`/v1/cases/${later.ids[1]}`, { suspected: true }, { 'if-match': '*' }));
    const answers = await Promise.all(referrals.map(id => accept(id, 'shelter_a')));
    t.same(answers.map(({ status }) => status).sort(), [200, 409]);
    for (const key of ['shelter_a', 'shelter_b', 'committee'] as const) {
      const told = JSON.stringify([
        await eventsOf(services, as(key)),
        await as(key).get(`/v1/referrals/${referrals[0]}`),
        await as(key).get(`/v1/referrals/${referrals[1]}`),
      ]);
      t.notMatch(told, /suspected|grp_/, `${key} learns nothing of it`);
    }
  });
});
