import t from 'tap';
import { transact } from '../../src/platform/database.ts';
import { newId } from '../../src/platform/ids.ts';
import { startTestApp } from '../support/app.ts';
import { entriesFor } from '../support/entries.ts';
import { all, anonymous, clinic, eventsOf } from '../support/journey.ts';
import { type Client, mechanism } from '../support/mechanism.ts';
import { consentBody, ok, referralBody } from '../support/night.ts';
import { entriesOf, lookAsOwner } from '../support/trail.ts';
import { demoActors } from '../support/webhooks.ts';

// Much of it, and other suites beside it.
t.setTimeout(300_000);

/** An agency assigns a case to some of its people; the others say why they need it, and the supervisor is told. */

t.test('assigned cases', async t => {
  const test = await startTestApp(t);
  const { services, app } = test;
  const them = await mechanism(test);
  const { as, agencies } = them;
  const helpline = as('helpline_a');
  const supervisor = as('helpline_a', 'supervisor');
  const health = as('health');
  const { ask } = clinic(them);
  const [worker, chief] = agencies.helpline_a.caseworkers.map(({ staff_code }) => staff_code) as [string, string];
  const [clinician, head] = agencies.health.caseworkers.map(({ staff_code }) => staff_code) as [string, string];

  const because = (reason: string) => ({ 'access-reason': reason });
  const assign = (client: Client, case_id: string, staff_codes: string[], version: number | string, headers = {}) =>
    client.put(`/v1/cases/${case_id}/assignees`, { staff_codes }, { 'if-match': `"${version}"`, ...headers });
  const required = { status: 403, body: { code: 'access_reason_required' } };

  await t.test('each agency that has the case keeps a list of its own', async t => {
    const { kase, referral } = await ask();
    const path = `/v1/cases/${kase.id}/assignees`;
    const empty = { case_id: kase.id, agency_id: agencies.helpline_a.id, staff_codes: [], version: 0, updated_at: null };
    const first = await helpline.get(path);
    t.match(first, { status: 200, headers: { etag: '"0"' } });
    t.strictSame(first.body, empty, 'nobody at first');
    t.equal((await helpline.put(path, { staff_codes: [worker] })).status, 428);
    t.equal((await assign(helpline, kase.id, [worker], 1)).status, 412);
    t.match(await assign(helpline, kase.id, [worker, 'XX-0', clinician], 0), {
      status: 422,
      body: { errors: [{ pointer: '/staff_codes/1' }, { pointer: '/staff_codes/2' }] },
    });
    for (const body of [
      {},
      { staff_codes: 'x' },
      { staff_codes: [worker, worker] },
      { staff_codes: ['a b'] },
      { staff_codes: Array.from({ length: 21 }, (_, i) => `S-${i}`) },
    ])
      t.equal((await helpline.put(path, body, { 'if-match': '"0"' })).status, 400, JSON.stringify(body).slice(0, 60));

    const set = await assign(helpline, kase.id, [worker], 0);
    t.match(set, { status: 200, headers: { etag: '"1"', 'audit-receipt': /^[0-9a-f]{64}$/ } });
    t.strictSame(set.body, { ...empty, staff_codes: [worker], version: 1, updated_at: services.now().toISOString() });
    t.strictSame(ok(await helpline.get(path)), set.body);
    t.equal((await assign(helpline, kase.id, [], 0)).status, 412, 'by whoever has read it');

    t.equal((await health.get(path)).status, 404, 'whoever is only asked has none');
    t.equal((await assign(health, kase.id, [], 0)).status, 404);
    t.equal((await as('committee').get(path)).status, 403, 'nor the coordinator');
    t.equal((await assign(as('committee'), kase.id, [], 0)).status, 403);
    t.strictSame(
      anonymous(await as('helpline_b').get(path)),
      anonymous(await as('helpline_b').get(`/v1/cases/${newId('cas')}/assignees`)),
    );
    ok(await supervisor.post(`/v1/agencies/${agencies.helpline_a.id}/caseworkers`, { staff_code: 'DH-6', roles: ['operator'] }));
    t.match(
      await assign(helpline, kase.id, [worker], 1, { 'acting-caseworker': 'DH-6', ...because('x') }),
      { status: 403, body: { code: 'forbidden' } },
      'an operator assigns nobody',
    );

    ok(await health.post(`/v1/referrals/${referral.id}/accept`));
    t.match(
      ok(await health.get(path)),
      { agency_id: agencies.health.id, staff_codes: [], version: 0 },
      'a holder has one of its own',
    );
    ok(await assign(as('health', 'supervisor'), kase.id, [head], 0));
    t.match(ok(await helpline.get(path)), { staff_codes: [worker], version: 1 });
    ok(await assign(helpline, kase.id, [], 1));
    t.equal((await supervisor.get(`/v1/cases/${kase.id}`)).status, 200, 'an empty list asks nothing of anybody');
    ok(await health.post(`/v1/referrals/${referral.id}/fail`, { reason_code: 'other' }, because('hand over')));
    t.equal((await health.get(path)).status, 403, 'a former holder has none any more');
    t.equal((await health.get(`/v1/cases/${kase.id}`)).status, 200, 'and is not held to what it had');
  });

  await t.test('who is not on it gives a reason for all that is read and done', async t => {
    const { kase, referral, consent } = await ask();
    ok(await health.post(`/v1/referrals/${referral.id}/accept`));
    ok(await assign(supervisor, kase.id, [chief], 0));
    const any = { 'if-match': '*' };
    const medical = { service: 'medical', urgency: 'urgent', routing: 'direct', recipient_agency_id: agencies.health.id };
    const calls: Record<string, (headers: Record<string, string>) => ReturnType<Client['get']>> = {
      getCase: headers => helpline.get(`/v1/cases/${kase.id}`, headers),
      amendCase: headers => helpline.patch(`/v1/cases/${kase.id}`, { risk: 'low' }, { ...any, ...headers }),
      listConsents: headers => helpline.get(`/v1/cases/${kase.id}/consents`, headers),
      giveConsent: headers => helpline.post(`/v1/cases/${kase.id}/consents`, consentBody(), headers),
      withdrawConsent: headers =>
        helpline.post(`/v1/consents/${consent.id}/withdraw`, { categories: ['narrative'], spoken_in_private: true }, headers),
      listDisclosures: headers => helpline.get(`/v1/cases/${kase.id}/disclosures`, headers),
      getCaseTimeline: headers => helpline.get(`/v1/cases/${kase.id}/timeline`, headers),
      getAssignees: headers => helpline.get(`/v1/cases/${kase.id}/assignees`, headers),
      getReferral: headers => helpline.get(`/v1/referrals/${referral.id}`, headers),
      makeReferral: headers =>
        helpline.post(`/v1/cases/${kase.id}/referrals`, referralBody({ ...medical, categories: ['identity'] }), headers),
      assignCase: headers => helpline.put(`/v1/cases/${kase.id}/assignees`, { staff_codes: [worker] }, { ...any, ...headers }),
    };
    const state = () =>
      lookAsOwner(
        services,
        'select id, version from cases where id = $1 union select id, version from referrals where case_id = $1 order by 1',
        [kase.id],
      );
    const before = await state();
    const looked = (await entriesOf(services, 'case.access_unassigned')).length;
    for (const [name, call] of Object.entries(calls)) t.match(await call({}), required, name);
    t.strictSame(await state(), before, 'nothing was done');
    t.equal((await entriesOf(services, 'case.access_unassigned')).length, looked, 'nor looked at');
    const refusals = await entriesFor(supervisor, `case_id=${kase.id}&outcome=denied`);
    t.equal(
      refusals.filter(({ meta }) => meta.code === 'access_reason_required').length >= 7,
      true,
      'the refusals are the auditor’s to see',
    );

    for (const list of ['/v1/cases', '/v1/referrals', '/v1/timers'])
      t.equal((await helpline.get(list)).status, 200, `${list} needs none`);
    let count = looked;
    for (const [name, call] of Object.entries(calls)) {
      const answer = await call(because(`CANARY-WHY ${name}`));
      t.ok(answer.status < 300, `${name} ${answer.status} ${JSON.stringify(answer.body).slice(0, 200)}`);
      count += 1;
      t.equal((await entriesOf(services, 'case.access_unassigned')).length, count, `${name}: one entry of its own`);
    }
    t.equal((await helpline.get(`/v1/cases/${kase.id}`)).status, 200, 'who is on the list now needs none');
    t.match(await supervisor.get(`/v1/cases/${kase.id}`), required, 'also the supervisor, who is not on it any more');
    t.match(await supervisor.post(`/v1/cases/${kase.id}/close`, { reason_code: 'error' }), required);
    ok(await supervisor.post(`/v1/cases/${kase.id}/close`, { reason_code: 'error' }, because('closing')));
    t.match(await supervisor.post(`/v1/cases/${kase.id}/reopen`, { reason: 'x' }), required);
    ok(await supervisor.post(`/v1/cases/${kase.id}/reopen`, { reason: 'x' }, because('reopening')));
  });

  await t.test('the reason lies sealed in the trail, and the supervisor is told', async t => {
    const { kase, referral } = await ask();
    ok(await health.post(`/v1/referrals/${referral.id}/accept`));
    ok(await assign(helpline, kase.id, [worker], 0));
    ok(await assign(as('health', 'supervisor'), kase.id, [head], 0));
    ok(await supervisor.get(`/v1/cases/${kase.id}`, because('CANARY-OWNER')));
    ok(
      await health.post(
        `/v1/referrals/${referral.id}/confirm-handover`,
        { arrived_at: services.now().toISOString() },
        because('CANARY-HOLDER'),
      ),
    );

    const [entry] = await entriesFor(supervisor, `case_id=${kase.id}&action=case.access_unassigned`);
    t.match(entry, {
      meta: { outcome: 'done', actor: { caseworker: chief }, code: null },
      subjects: [{ record: { subject_id: kase.id, reason: 'CANARY-OWNER' } }],
    });
    t.notMatch(JSON.stringify(entry!.meta), /CANARY/);
    for (const table of ['audit_records', 'events', 'idempotency_keys']) {
      const rows = await lookAsOwner<{ text: string }>(services, `select ${table}::text as text from ${table}`);
      t.notOk(
        rows.some(({ text }) => text.includes('CANARY-OWNER') || text.includes('CANARY-HOLDER')),
        `${table} holds no reason`,
      );
    }

    const told = async (client: Client) =>
      (await eventsOf(services, client)).filter(({ type }) => type === 'access.unassigned').map(({ data }) => data);
    const owners = (await told(helpline)).filter(({ case_id }) => case_id === kase.id);
    t.match(owners, [{ agency_id: agencies.helpline_a.id, caseworker_id: /^cwk_/, notify: { roles: ['supervisor'] } }]);
    t.equal(owners.length, 1);
    const holders = (await told(health)).filter(({ referral_id }) => referral_id === referral.id);
    t.match(holders, [{ offer_id: referral.offer.id, agency_id: agencies.health.id, notify: { roles: ['supervisor'] } }]);
    t.notOk(holders[0]!.case_id, 'a holder is told its offer');
    for (const key of ['committee', 'shelter_a', 'helpline_b'] as const)
      t.strictSame(await told(as(key)), [], `${key} is not told`);
    t.notOk(
      (await all(helpline, `/v1/cases/${kase.id}/timeline`)).some(
        ({ agency_id, action }) => action === 'case.access_unassigned' && agency_id === agencies.health.id,
      ),
      'who looked elsewhere is not its own matter',
    );
  });

  await t.test('a replay is held to it as well', async t => {
    const { kase } = await ask();
    const key = { 'idempotency-key': `again-${kase.id}` };
    ok(await helpline.post(`/v1/cases/${kase.id}/consents`, consentBody(), key));
    ok(await assign(supervisor, kase.id, [chief], 0));
    t.match(await helpline.post(`/v1/cases/${kase.id}/consents`, consentBody(), key), required);
    const replayed = await helpline.post(`/v1/cases/${kase.id}/consents`, consentBody(), {
      ...key,
      ...because('lost the answer'),
    });
    t.match(
      replayed,
      { status: 201, headers: { 'idempotency-replayed': 'true' } },
      'the reason does not make it another request',
    );
  });

  await t.test('the reason is one line of printable characters, and documented where it counts', async t => {
    const { kase } = await ask();
    for (const reason of ['', '   ', 'x'.repeat(201), 'caf\u00e9', 'a\tb']) {
      t.match(
        await helpline.get(`/v1/cases/${kase.id}`, because(reason)),
        { status: 400, body: { errors: [{ pointer: 'headers:access-reason' }] } },
        JSON.stringify(reason),
      );
    }
    t.equal(
      (await helpline.get(`/v1/cases/${kase.id}`, because('x'.repeat(200)))).status,
      200,
      'and harmless where nothing is asked',
    );
    t.strictSame(await entriesFor(supervisor, `case_id=${kase.id}&action=case.access_unassigned`), []);
    const { paths } = app.openapi() as {
      paths: Record<string, Record<string, { operationId: string; parameters: { name: string }[] }>>;
    };
    const having = Object.values(paths)
      .flatMap(item => Object.values(item))
      .filter(({ parameters = [] }) => parameters.some(({ name }) => name === 'Access-Reason'))
      .map(({ operationId }) => operationId);
    for (const id of [
      'getCase',
      'amendCase',
      'reopenCase',
      'makeReferral',
      'getReferral',
      'acceptReferral',
      'confirmDeletion',
      'withdrawConsent',
    ])
      t.ok(having.includes(id), id);
    for (const id of ['openCase', 'listCases', 'listReferrals', 'listTimers']) t.notOk(having.includes(id), id);
  });

  await t.test('the second wall keeps the lists apart', async t => {
    const { kase, referral } = await ask();
    ok(await assign(helpline, kase.id, [worker], 0));
    const actors = await demoActors(services);
    const seen = (key: 'helpline_a' | 'health' | 'committee') =>
      transact(services, actors[key], tx =>
        tx.selectFrom('case_assignees').select('agency_id').where('case_id', '=', kase.id).execute(),
      );
    t.equal((await seen('helpline_a')).length, 1);
    for (const key of ['health', 'committee'] as const) t.strictSame(await seen(key), [], key);
    const insert = (agency_id: string) =>
      transact(services, actors.health, tx =>
        tx
          .insertInto('case_assignees')
          .values({ case_id: kase.id, agency_id, staff_codes: [], version: 1, updated_at: services.now() })
          .execute(),
      );
    await t.rejects(insert(agencies.health.id), { code: '42501' }, 'who is only asked has none');
    ok(await health.post(`/v1/referrals/${referral.id}/accept`));
    await t.rejects(insert(agencies.helpline_b.id), { code: '42501' }, "nobody writes another's");
    await insert(agencies.health.id);
    t.strictSame(await seen('health'), [{ agency_id: agencies.health.id }]);
  });
});
