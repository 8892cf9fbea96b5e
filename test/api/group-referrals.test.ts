import t from 'tap';
import { newId } from '../../src/platform/ids.ts';
import { PreparingClient } from '../../src/platform/prepared.ts';
import { startTestApp } from '../support/app.ts';
import { grouping } from '../support/groups.ts';
import { all, anonymous, eventsOf } from '../support/journey.ts';
import { mechanism } from '../support/mechanism.ts';
import { caseBody, ok, PERSON } from '../support/night.ts';
import { shipped } from '../support/rule-packs.ts';
import { storyteller } from '../support/story.ts';
import { lookAsOwner } from '../support/trail.ts';

/** A service for all who were found together, in one call: a referral for each, and one place for those who belong together. */

const MAN = { person: { ...PERSON, sex: 'male' } };

t.test('referrals for a group', async t => {
  const test = await startTestApp(t);
  const { services } = test;
  const them = await mechanism(test);
  const { as } = them;
  const { found, refer, referOne, askedFor, offeredTo, helpline } = grouping(test, them);
  const { preferShelter, setPlaces, setService } = storyteller(test, them);
  await preferShelter('shelter_a');
  await setService('shelter_a', 'shelter_accommodation', { accepts_dependants: true, languages: ['ar'] });
  /** So many are free: nobody is being asked for them any more. */
  const places = async (a: number, b: number) => {
    for (const { id, status } of await all(helpline, '/v1/referrals?box=outgoing'))
      if (status === 'offered') ok(await helpline.post(`/v1/referrals/${id}/cancel`, { reason_code: 'error' }));
    await setPlaces('shelter_a', a);
    await setPlaces('shelter_b', b);
  };
  await places(50, 50);
  const referralsKept = async () => {
    const [row] = await lookAsOwner<{ count: number }>(services, 'select count(*)::int as count from referrals');
    return row!.count;
  };

  await t.test('are one for each', async t => {
    const { group_id, ids } = await found([{}, MAN, {}]);
    const answer = await refer(group_id);
    t.match(answer, {
      status: 201,
      headers: { location: `/v1/groups/${group_id}` },
      body: { group_id, referrals: { length: 3 } },
    });
    t.same(answer.body.referrals.map(({ case_id }: { case_id: string }) => case_id).sort(), [...ids].sort());
    t.same(await askedFor(ids), ['shelter_a', 'shelter_c', 'shelter_a']);
    for (const { id, case_id, reference, status } of answer.body.referrals) {
      t.match(ok(await helpline.get(`/v1/referrals/${id}`)), { case_id, reference, status: 'offered' });
      t.match(status, 'offered');
    }
  });

  await t.test('for whom there is none, it is said why, and the others have theirs', async t => {
    const { group_id, ids } = await found([{}, {}, {}], {}, { consents: 2 });
    const { id: foreign } = ok(await helpline.post('/v1/cases', caseBody()));
    const gone = newId('cas');
    const { referrals } = ok(await refer(group_id, { members: [...ids, foreign, gone] }));
    const of = (id: string) => referrals.find(({ case_id }: { case_id: string }) => case_id === id);
    t.match([of(ids[0]!), of(ids[1]!)], [{ id: /^ref_/ }, { id: /^ref_/ }]);
    t.match(of(ids[2]!), { code: 'consent_missing', categories: { length: 4 }, lawful_grounds: ['imminent_danger_to_life'] });
    t.match(of(foreign), { code: 'not_found', errors: [{ pointer: '/members/3' }] });
    t.match(of(gone), { code: 'not_found', errors: [{ pointer: '/members/4' }] });

    const before = await referralsKept();
    t.match(await refer(group_id, { members: [ids[2]] }), {
      status: 409,
      body: { code: 'consent_missing', categories: { length: 4 } },
    });
    t.match(await refer(group_id, { members: [gone, ids[2]] }), { status: 422, body: { errors: { length: 2 } } });
    t.match(await refer(group_id, { routing: 'direct' }), {
      status: 422,
      body: { errors: [{ pointer: '/recipient_agency_id' }] },
    });
    t.match(await refer(group_id, { members: [] }), { status: 400 });
    t.equal(await referralsKept(), before);
  });

  await t.test('to one agency that is named', async t => {
    const { group_id, ids } = await found([{}, {}]);
    ok(await refer(group_id, offeredTo('shelter_b')));
    t.same(await askedFor(ids), ['shelter_b', 'shelter_b']);
    t.match(await refer(group_id, offeredTo('prosecution')), { status: 422, body: { code: 'not_offered' } });
  });

  await t.test('the same key again makes nothing again, and answers the same', async t => {
    const { group_id } = await found([{}, {}], {}, { consents: 1 });
    const first = await refer(group_id, {}, { 'idempotency-key': 'for all' });
    const before = await referralsKept();
    const again = await refer(group_id, {}, { 'idempotency-key': 'for all' });
    t.match(again, { status: 201, headers: { 'idempotency-replayed': 'true' } });
    t.strictSame(again.body, first.body);
    t.equal(await referralsKept(), before);
  });

  await t.test('a family is asked for where there is room for all of it', async t => {
    await places(2, 3);
    const { group_id, ids } = await found([{}, {}, {}, {}], { families: [[0, 1, 2]] });
    ok(await refer(group_id));
    t.same(await askedFor(ids), ['shelter_b', 'shelter_b', 'shelter_b', 'shelter_a']);
    const alone = await found([{}, {}, {}], { families: [[0, 1, 2]] });
    ok(await refer(alone.group_id, { together: false }));
    t.match((await askedFor(alone.ids))[0], 'shelter_a', 'unless the caller does not want that');
  });

  await t.test('nobody can take it whole: most of it stays together, and the coordinator is told', async t => {
    await places(2, 1);
    const { group_id, ids } = await found([{}, {}, {}], { families: [[0, 1, 2]] });
    const { referrals } = ok(await refer(group_id));
    t.same((await askedFor(ids)).sort(), ['shelter_a', 'shelter_a', 'shelter_b']);
    for (const { id } of referrals)
      for (const who of [as('committee'), helpline])
        t.match(
          (await eventsOf(services, who, id)).filter(({ type }) => type === 'referral.parted'),
          [{ data: { referral_id: id } }],
        );
    for (const key of ['shelter_a', 'shelter_b'] as const)
      t.notMatch(JSON.stringify(await eventsOf(services, as(key))), /parted|grp_/);
  });

  await t.test('one of a family is turned away later: that she is asked for elsewhere is told', async t => {
    await places(3, 3);
    const { group_id, ids } = await found([{}, {}], { families: [[0, 1]] });
    const { referrals } = ok(await refer(group_id));
    const [first] = await askedFor(ids);
    const parted = async (id: string) =>
      (await eventsOf(services, helpline, id)).filter(({ type }) => type === 'referral.parted');
    const { id } = referrals[0];
    t.strictSame(await parted(id), []);
    ok(await as(first as 'shelter_a').post(`/v1/referrals/${id}/decline`, { reason_code: 'unsafe' }));
    t.not((await askedFor(ids))[0], first);
    t.match(await parted(id), [{ data: { referral_id: id } }]);
  });

  await t.test('whoever of it is suspected is asked for elsewhere', async t => {
    await places(50, 50);
    const { group_id, ids } = await found([{}, { suspected: true }, {}], { families: [[0, 1, 2]] });
    ok(await refer(group_id));
    const asked = await askedFor(ids);
    t.equal(asked[0], asked[2]);
    t.not(asked[1], asked[0]);
  });

  await t.test('all together, where that is asked for, though some are better off elsewhere', async t => {
    await places(2, 4);
    const { group_id, ids } = await found([{}, {}, {}, {}]);
    ok(await refer(group_id, { together: true }));
    t.same(await askedFor(ids), ['shelter_b', 'shelter_b', 'shelter_b', 'shelter_b']);
  });

  await t.test('who must not meet is never asked for at one place', async t => {
    await places(50, 50);
    const { group_id, ids } = await found([{}, {}, {}]);
    ok(await refer(group_id, { together: true, requirements: { separate_from: [ids[0]] } }));
    const asked = await askedFor(ids);
    t.equal(asked[1], asked[2]);
    t.not(asked[0], asked[1]);
  });

  await t.test('nor at one that is named', async t => {
    const { group_id, ids } = await found([{}, {}, {}]);
    ok(await helpline.post(`/v1/cases/${ids[0]}/separations`, { case_id: ids[1] }));
    const { referrals } = ok(await refer(group_id, offeredTo('shelter_b')));
    const of = (id: string) => referrals.find(({ case_id }: { case_id: string }) => case_id === id);
    t.match(of(ids[2]!), { status: 'offered' });
    const answers = [of(ids[0]!), of(ids[1]!)];
    t.equal(answers.filter(({ status }) => status === 'offered').length, 1, 'one of the two');
    t.match(
      answers.filter(({ code }) => code),
      [{ code: 'unprocessable', detail: /kept apart/ }],
    );
  });

  await t.test('in an emergency too, with others asked beside', async t => {
    const { group_id, ids } = await found([{}, {}], { families: [[0, 1]] });
    ok(await refer(group_id, { urgency: 'emergency' }));
    const asked = await askedFor(ids);
    t.equal(asked[0]!.split(' ')[0], asked[1]!.split(' ')[0]);
  });

  await t.test('where the route says so, others of the group stay together without being asked for in one call', async t => {
    const pack = shipped('XA');
    const routes = [
      ...pack.routes.filter(({ service }) => service !== 'shelter_accommodation'),
      {
        service: 'shelter_accommodation' as const,
        agency_kinds: ['shelter' as const],
        obligation: 'may' as const,
        when: { grouped: true },
        keep_together: true,
        source: 'illustrative',
      },
    ];
    ok(await as('committee', 'nobody').put('/v1/jurisdictions/XA/rule-pack', { ...pack, routes }, { 'if-match': '*' }));
    const { ids } = await found([{}, {}]);
    ok(await referOne(ids[0]!, offeredTo('shelter_b')));
    ok(await referOne(ids[1]!));
    t.same(await askedFor(ids), ['shelter_b', 'shelter_b']);
    ok(await as('committee', 'nobody').put('/v1/jurisdictions/XA/rule-pack', pack, { 'if-match': '*' }));
  });

  await t.test('a hundred in one call', async t => {
    await places(200, 200);
    const { group_id, ids } = await found(Array.from({ length: 100 }, () => ({})));
    const { referrals } = ok(await refer(group_id, { together: true }));
    t.equal(referrals.filter(({ id }: { id?: string }) => id).length, 100);
    t.equal(new Set(await askedFor(ids)).size, 1);
  });

  await t.test('of a family: who of it is suspected is read once, and not by each for each', async t => {
    await places(50, 50);
    const size = 12;
    const everybody = Array.from({ length: size }, (_, i) => i);
    const { group_id } = await found(
      everybody.map(() => ({})),
      { families: [everybody] },
    );
    const { query } = PreparingClient.prototype;
    let reads = 0;
    PreparingClient.prototype.query = function (this: PreparingClient, config: unknown, ...rest: unknown[]) {
      if (typeof config === 'string' && config.includes('from "case_data"')) reads += 1;
      return query.call(this, config, ...rest);
    };
    t.teardown(() => {
      PreparingClient.prototype.query = query;
    });
    ok(await refer(group_id));
    t.equal(reads, size + 1, 'each for itself, and all once');
  });

  await t.test('are for whoever knows the group', async t => {
    const { group_id } = await found([{}]);
    const nothing = anonymous(await refer(newId('grp')));
    t.match(nothing, { status: 404 });
    const body = { service: 'medical', urgency: 'routine', routing: 'automatic', categories: [] };
    for (const key of ['helpline_b', 'shelter_a', 'committee'] as const)
      t.strictSame(anonymous(await as(key).post(`/v1/groups/${group_id}/referrals`, body)), nothing, key);
    const seen = await all(as('shelter_a'), '/v1/referrals');
    const whole = await Promise.all(seen.slice(0, 20).map(({ id }) => as('shelter_a').get(`/v1/referrals/${id}`)));
    t.notMatch(JSON.stringify([seen, whole]), /grp_|suspected|"family":\s*\d/, 'a receiver sees nothing of the group');
  });
});
