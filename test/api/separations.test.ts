import t from 'tap';
import { newId } from '../../src/platform/ids.ts';
import { startTestApp } from '../support/app.ts';
import { grouping } from '../support/groups.ts';
import { anonymous, DAY, eventsOf, MEDICAL } from '../support/journey.ts';
import { mechanism } from '../support/mechanism.ts';
import { caseBody, consentBody, ok } from '../support/night.ts';
import { storyteller } from '../support/story.ts';

/** Who must not meet: kept apart by hand, by a referral, and in a family of which one is suspected. */

t.test('people who are kept apart', async t => {
  const test = await startTestApp(t);
  const { services, clock } = test;
  const them = await mechanism(test);
  const { as } = them;
  const { found, referOne, askedFor, offeredTo, helpline } = grouping(test, them);
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
    t.match(await as('committee').get(`/v1/cases/${one}/separations`), { status: 403 });
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
