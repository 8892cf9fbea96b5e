import t from 'tap';
import { newId } from '../../src/platform/ids.ts';
import { startTestApp } from '../support/app.ts';
import { grouping } from '../support/groups.ts';
import { all, anonymous, eventsOf } from '../support/journey.ts';
import { mechanism } from '../support/mechanism.ts';
import { caseBody, consentBody, ok, referralBody } from '../support/night.ts';
import { NEW_SERVICE } from '../support/story.ts';
import { lookAsOwner } from '../support/trail.ts';

/** Twenty people in one house: opened in one call, each a case of its own, and known to be a group by owners alone. */

t.test('groups', async t => {
  const test = await startTestApp(t);
  const { services } = test;
  const them = await mechanism(test);
  const { as, agencies } = them;
  const { giveAway, helpline } = grouping(test, them);

  const open = async (body: object, headers?: Record<string, string>) => helpline.post('/v1/groups', body, headers);
  const group = async (cases: unknown[], more: object = {}) => ok(await open({ cases, ...more }));
  const read = async (id: string) => ok(await helpline.get(`/v1/cases/${id}`));
  const members = async (id: string) => ok(await helpline.get(`/v1/groups/${id}`)).members;
  const casesKept = async () => {
    const [row] = await lookAsOwner<{ count: number }>(services, 'select count(*)::int as count from cases');
    return row!.count;
  };

  await t.test('are opened with their members, each a case of its own', async t => {
    const [first, second] = [caseBody({ suspected: true }), caseBody({ person: undefined, region: undefined })];
    const answer = await open({ cases: [first, second], families: [[0, 1]], place: { region: 'XA-2' } });
    const { group_id, cases } = answer.body;
    t.match(answer, {
      status: 201,
      headers: { location: `/v1/groups/${group_id}`, 'audit-receipt': /^[0-9a-f]{64}$/ },
      body: { cases: [{ index: 0 }, { index: 1 }] },
    });
    const opened = await Promise.all(cases.map(({ id }: { id: string }) => read(id)));
    t.match(opened, [
      { group_id, family: 1, region: 'XA-1', reference: cases[0].reference, data: { source: { suspected: true } } },
      { group_id, family: 1, region: 'XA-2', reference: cases[1].reference, data: { source: {} } },
    ]);
    t.notOk('suspected' in opened[1].data.source);
    for (const { id } of cases)
      t.match(
        (await eventsOf(services, helpline, id)).map(({ type }) => type),
        ['case.opened'],
      );
    t.match(ok(await helpline.get(`/v1/groups/${group_id}`)), { id: group_id, region: 'XA-2', members: { length: 2 } });
    t.strictSame(
      (await all(helpline, `/v1/cases?group_id=${group_id}`)).map(({ id }) => id).sort(),
      cases.map(({ id }: { id: string }) => id).sort(),
    );
    t.match(await all(helpline, `/v1/cases?group_id=${newId('grp')}`), { length: 0 });
    const keys = await lookAsOwner(
      services,
      `select from case_keys where case_id in (select id from cases where group_id = '${group_id}')`,
    );
    t.equal(keys.length, 2, 'each has a key of its own');
  });

  await t.test('whoever is faulty holds up nobody else', async t => {
    const before = await casesKept();
    const { group_id, cases } = await group([
      caseBody(),
      caseBody({ person: { sex: 'unclear' } }),
      'nobody',
      caseBody({ region: 'XB-1' }),
      caseBody({ jurisdiction: 'XC', region: undefined }),
      caseBody({ track: 'anonymous' }),
      caseBody({ group_id: newId('grp') }),
      caseBody(),
    ]);
    const pointers = cases.map(({ errors }: { errors?: { pointer: string }[] }) => errors?.[0]?.pointer);
    t.strictSame(pointers, [
      undefined,
      '/cases/1/person/sex',
      '/cases/2',
      '/cases/3/region',
      '/cases/4/jurisdiction',
      '/cases/5/person/given_name',
      '/cases/6/group_id',
      undefined,
    ]);
    t.equal(await casesKept(), before + 2);
    t.match(await members(group_id), { length: 2 });

    const nobody = await open({ cases: [caseBody({ risk: undefined }), 7] });
    t.match(nobody, {
      status: 422,
      body: { code: 'unprocessable', errors: [{ pointer: '/cases/0/risk' }, { pointer: '/cases/1' }] },
    });
    for (const [families, pointer] of [
      [[[0, 2]], '/families/0/1'],
      [[[0, 1], [1]], '/families/1/0'],
    ] as const)
      t.match(await open({ cases: [caseBody(), caseBody()], families }), { status: 422, body: { errors: [{ pointer }] } });
    t.match(await open({ cases: [] }), { status: 400 });
    t.match(await open({ cases: Array.from({ length: 101 }, () => caseBody()) }), { status: 400 });
    t.equal(await casesKept(), before + 2, 'nothing else was opened');
  });

  await t.test('the same key again opens nobody again, and answers the same', async t => {
    const body = { cases: [caseBody(), caseBody({ risk: 'none' }), caseBody()], families: [[0, 2]] };
    const first = await open(body, { 'idempotency-key': 'twenty' });
    const before = await casesKept();
    const again = await open(body, { 'idempotency-key': 'twenty' });
    t.match(again, { status: 201, headers: { 'idempotency-replayed': 'true', location: first.headers.location } });
    t.strictSame(again.body, first.body);
    t.equal(await casesKept(), before);
    t.match(await open({ ...body, families: [] }, { 'idempotency-key': 'twenty' }), {
      status: 422,
      body: { code: 'idempotency_mismatch' },
    });
  });

  await t.test('a hundred members in one call', async t => {
    const { cases, group_id } = await group(Array.from({ length: 100 }, () => caseBody()));
    t.equal(new Set(cases.map(({ id }: { id: string }) => id)).size, 100);
    t.match(await members(group_id), { length: 100 });
  });

  await t.test('whoever was found later is added, to a group that one knows', async t => {
    const { group_id } = await group([caseBody()], { families: [[0]] });
    const later = ok(await helpline.post('/v1/cases', caseBody({ group_id, family: 1 })));
    t.match(later, { group_id, family: 1 });
    t.match(
      (await members(group_id)).map(({ family }: { family: number }) => family),
      [1, 1],
    );
    const theirs = ok(await as('helpline_b').post('/v1/groups', { cases: [caseBody()] })).group_id;
    for (const unknown of [newId('grp'), theirs]) {
      const fault = { status: 422, body: { code: 'unprocessable', errors: [{ pointer: '/group_id' }] } };
      t.match(await helpline.post('/v1/cases', caseBody({ group_id: unknown })), fault);
      t.match(await helpline.patch(`/v1/cases/${later.id}`, { group_id: unknown }, { 'if-match': '*' }), fault);
    }
    const amend = (patch: object) => helpline.patch(`/v1/cases/${later.id}`, patch, { 'if-match': '*' });
    t.match(ok(await amend({ family: 2, suspected: true })), { family: 2, data: { source: { suspected: true } } });
    t.match(ok(await amend({ suspected: null })).data.source.suspected, undefined);
    t.match(ok(await amend({ group_id: null })), { group_id: null, family: null }, 'without the group there is no family of it');
    t.match(await amend({ family: 2 }), { status: 422, body: { errors: [{ pointer: '/family' }] } });
    t.match(await helpline.post('/v1/cases', caseBody({ family: 2 })), {
      status: 422,
      body: { errors: [{ pointer: '/family' }] },
    });
    t.match(await members(group_id), { length: 1 });
  });

  await t.test('are for owners alone', async t => {
    const { group_id, cases } = await group([caseBody({ suspected: true }), caseBody()], { families: [[0, 1]] });
    const [moving, staying] = cases;
    const receivers = [
      ['shelter_accommodation', 'shelter', 'shelter_b', ['identity', 'contact', 'demographics', 'narrative', 'health']],
      ['case_management', 'civil_society', 'civil_society', []],
    ] as const;
    ok(
      await as('civil_society', 'supervisor').put(
        `/v1/agencies/${agencies.civil_society.id}/services/case_management`,
        NEW_SERVICE,
        { 'if-none-match': '*' },
      ),
    );
    for (const [service, agency_kind, key, categories] of receivers) {
      const consent = consentBody({ recipient: { agency_kind }, purposes: [service], categories });
      ok(await helpline.post(`/v1/cases/${moving.id}/consents`, consent));
      const asked = { service, routing: 'direct', recipient_agency_id: agencies[key].id, categories };
      const referral = ok(await helpline.post(`/v1/cases/${moving.id}/referrals`, referralBody(asked)));
      t.match(ok(await as(key).post(`/v1/referrals/${referral.id}/accept`)), { status: 'accepted' });
    }
    const nothing = anonymous(await helpline.get(`/v1/groups/${newId('grp')}`));
    t.match(nothing, { status: 404 });
    for (const key of ['helpline_b', 'shelter_b', 'committee', 'prosecution'] as const) {
      const who = as(key);
      t.strictSame(anonymous(await who.get(`/v1/groups/${group_id}`)), nothing, key);
      t.match(await all(who, `/v1/cases?group_id=${group_id}`), { length: 0 }, key);
    }
    t.match(
      ok(await helpline.get(`/v1/groups/${group_id}`)).members,
      [{ case_id: staying.id }],
      'the old owner sees nothing of whom it gave away',
    );
    const theirs = ok(await as('civil_society').get(`/v1/groups/${group_id}`)).members;
    t.strictSame(
      theirs.map(({ case_id }: { case_id: string }) => case_id),
      [moving.id],
    );
    const whole = ok(await as('civil_society').get(`/v1/cases/${moving.id}`));
    t.match(whole, { group_id, family: 1 });
    t.notMatch(JSON.stringify(whole), /suspected/, 'what is suspected stays with the agency that took the report');

    // What the others were ever told or can ask for.
    for (const key of ['shelter_b', 'committee'] as const) {
      const who = as(key);
      const known = [
        await eventsOf(services, who),
        await who.get(`/v1/cases/${moving.id}`),
        await who.get(`/v1/cases/${moving.id}/timeline`),
        await who.get('/v1/referrals'),
        await Promise.all((await all(who, '/v1/referrals')).map(({ id }) => who.get(`/v1/referrals/${id}`))),
        await who.get('/v1/timers'),
      ].map(it => JSON.stringify(it));
      for (const canary of [group_id, 'suspected', '"family":'])
        t.notOk(
          known.some(text => text.includes(canary)),
          `${key} is not told ${canary}`,
        );
    }
  });

  await t.test('whoever gave its cases away adds nobody to them any more', async t => {
    const { group_id, cases } = await group([caseBody(), caseBody()], { families: [[0]] });
    const [mother, other] = cases;
    await giveAway(mother.id, 'civil_society');
    const add = (more: object) => helpline.post('/v1/cases', caseBody({ group_id, ...more }));
    const fault = (pointer: string) => ({ status: 422, body: { code: 'unprocessable', errors: [{ pointer }] } });
    t.match(await add({ family: 1, suspected: true }), fault('/family'), 'nor to a family, while it owns others of the group');
    t.match(await helpline.patch(`/v1/cases/${other.id}`, { family: 1 }, { 'if-match': '*' }), fault('/family'));
    t.match(await add({ family: 2 }), { status: 201, body: { family: 2 } });
    const own = ok(await helpline.get(`/v1/groups/${group_id}`)).members;
    t.equal(own.length, 2);
    for (const { case_id } of own) await giveAway(case_id, 'civil_society');

    const strange = ok(await helpline.post('/v1/cases', caseBody()));
    for (const answer of [
      await add({ family: 1, suspected: true }),
      await add({}),
      await helpline.patch(`/v1/cases/${strange.id}`, { group_id, family: 1, suspected: true }, { 'if-match': '*' }),
    ])
      t.match(answer, fault('/group_id'));
    t.match(ok(await as('civil_society').get(`/v1/groups/${group_id}`)).members, { length: 3 });
  });
});
