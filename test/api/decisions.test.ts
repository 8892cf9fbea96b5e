import t from 'tap';
import { transact } from '../../src/platform/database.ts';
import { startTestApp } from '../support/app.ts';
import { identification } from '../support/identification.ts';
import { all, anonymous, DAY, eventsOf, HOUR, MINUTE } from '../support/journey.ts';
import { mechanism } from '../support/mechanism.ts';
import { caseBody, consentBody, ok, referralBody } from '../support/night.ts';
import { entriesOf, lookAsOwner } from '../support/trail.ts';
import { demoActors } from '../support/webhooks.ts';

t.test('identification decisions', async t => {
  const test = await startTestApp(t, { RATE_LIMIT: '100000,100000' });
  const { services, clock } = test;
  const them = await mechanism(test);
  const { as, agencies } = them;
  const { owner, authority, asked, accepted, decided, decide, serve, body, held, stageOf } = identification(test, them);
  const coordinator = as('committee');
  const actors = await demoActors(services);

  await t.test('move the case as the table says, and leave their entries', async t => {
    const found = await accepted();
    const initial = await decide(found, 'initial', 'positive', { note: 'CANARY-DECIDED' });
    t.match(initial, { case_id: found.kase.id, kind: 'initial', outcome: 'positive', note: 'CANARY-DECIDED', served_at: null });
    t.match(initial.id, /^dec_/);
    t.equal(initial.agency_id, agencies.prosecution.id);
    t.equal(await stageOf(found), 'presumed');
    clock.advance(HOUR);
    const answer = await authority.post(`${found.path}/decisions`, body('reasonable_grounds', 'positive'));
    t.equal(answer.status, 201);
    t.equal(answer.headers.location, `${found.path}/decisions`);
    t.match(String(answer.headers['audit-receipt']), /^[0-9a-f]{64}$/);
    t.equal(await stageOf(found), 'recovery');
    const entries = await entriesOf(services, 'decision.make');
    t.match(entries.at(-1), { outcome: 'done', code: 'reasonable_grounds' });
    clock.advance(31 * DAY);
    await decide(found, 'conclusive_grounds', 'positive');
    t.equal(await stageOf(found), 'identified');
    const again = await authority.post(`${found.path}/decisions`, body('conclusive_grounds', 'negative'));
    t.equal(again.status, 409);
    t.match(again.body, { code: 'wrong_state', state: 'identified', allowed_actions: { length: 0 } });

    const told = await eventsOf(services, owner, found.kase.id);
    t.strictSame(
      told.filter(({ type }) => /^(decision|case)\./.test(type)).map(({ type, data }) => [type, data.kind ?? data.stage]),
      [
        ['case.opened', undefined],
        ['decision.made', 'initial'],
        ['case.stage_changed', 'presumed'],
        ['decision.made', 'reasonable_grounds'],
        ['case.stage_changed', 'recovery'],
        ['decision.made', 'conclusive_grounds'],
        ['case.stage_changed', 'identified'],
      ],
    );
    t.notMatch(JSON.stringify(told), /CANARY|indicators_met|positive/);
    const timeline = await all(owner, `${found.path}/timeline`);
    t.match(
      timeline.filter(({ action }) => action === 'decision.make'),
      [{ type: 'decision.made', resource_id: initial.id }, {}, {}],
    );
  });

  await t.test('are made by a competent authority whose accepted offer of identification lives', async t => {
    const found = await asked();
    const attempt = (who = authority, of = found) => who.post(`${of.path}/decisions`, body('reasonable_grounds', 'positive'));
    t.equal((await attempt()).status, 404, 'one that is asked does not know the case yet');
    await held(found, 'health');
    await held(found, 'prosecution');
    const by_another = await attempt();
    t.equal(by_another.status, 403, 'a competent authority that holds another offer alone');
    t.equal((await attempt(as('health'))).status, 403, 'a holder');
    t.equal((await attempt(owner)).status, 403, 'the owner');
    t.equal((await attempt(coordinator)).status, 403, 'the coordinator');
    t.equal((await attempt(as('helpline_b'))).status, 404, 'nobody');
    ok(await authority.post(`/v1/referrals/${found.referral.id}/accept`, {}));
    t.equal((await attempt(as('prosecution', 'supervisor'))).status, 201, 'its supervisor is a caseworker, too');
    t.equal((await entriesOf(services, 'decision.make')).filter(({ outcome }) => outcome === 'denied').length >= 5, true);

    const ended = await accepted();
    ok(await authority.post(`/v1/referrals/${ended.referral.id}/fail`, { reason_code: 'other' }));
    t.equal((await attempt(authority, ended)).status, 403, 'its offer is over');

    // An agency that is asked, and is no competent authority.
    const lay = await accepted();
    const change = (competent_authority: boolean) =>
      as('committee', 'nobody').patch(`/v1/agencies/${agencies.prosecution.id}`, { competent_authority }, { 'if-match': '*' });
    ok(await change(false));
    t.equal((await attempt(authority, lay)).status, 403);
    ok(await change(true));
    t.equal((await attempt(authority, lay)).status, 201);
  });

  await t.test('are refused in the order of the checks', async t => {
    const found = await accepted();
    const at = (ms: number) => new Date(clock.now().getTime() + ms).toISOString();
    const stale = { 'if-match': '"99"' };
    const attempt = (more: object, headers = {}) =>
      authority.post(`${found.path}/decisions`, { ...body('conclusive_grounds', 'positive'), ...more }, headers);
    for (const bad of [{ kind: 'final' }, { outcome: 'maybe' }, { reason_code: 'none' }, { decided_at: 'today' }, { more: 1 }]) {
      const { status, body } = await attempt(bad, stale);
      t.equal(status, 400);
      t.match(body.errors, [{ pointer: `/${Object.keys(bad)[0]}` }]);
    }
    for (const decided_at of [at(1_000), at(-2 * DAY)]) {
      const { status, body } = await attempt({ decided_at }, stale);
      t.equal(status, 422);
      t.match(body, { code: 'unprocessable', errors: [{ pointer: '/decided_at' }] });
    }
    t.equal((await attempt({}, stale)).status, 412, 'the version before the state');
    const refused = await attempt({}, { 'if-match': '*' });
    t.equal(refused.status, 409);
    t.match(refused.body, { code: 'wrong_state', state: 'reported', allowed_actions: ['initial', 'reasonable_grounds'] });
    t.equal(await stageOf(found), 'reported');

    await decide(found, 'reasonable_grounds', 'positive');
    const early = await attempt({});
    t.equal(early.status, 409);
    t.match(early.body, { code: 'too_early', due_at: /T2[12]:59:59\.999Z$/ });
    t.equal((await attempt({ kind: 'initial' })).body.code, 'wrong_state', 'the state before the floor');
  });

  await t.test('are made once under one key', async t => {
    const found = await accepted();
    const key = { 'idempotency-key': 'decide-once' };
    const said = body('reasonable_grounds', 'negative', { note: 'CANARY-ONCE' });
    const first = await authority.post(`${found.path}/decisions`, said, key);
    const second = await authority.post(`${found.path}/decisions`, said, key);
    t.strictSame([first.status, second.status], [201, 201]);
    t.equal(second.headers['idempotency-replayed'], 'true');
    t.strictSame(second.body, first.body);
    t.equal((await all(owner, `${found.path}/decisions`)).length, 1);
  });

  await t.test('are shown to owner and authority, without reasons to the coordinator, and to nobody else', async t => {
    const found = await accepted();
    await held(found, 'health');
    await held(found, 'labour_inspection');
    const first = await decide(found, 'initial', 'positive', { note: 'CANARY-NOTE' });
    const second = await decide(found, 'reasonable_grounds', 'positive');
    const list = async (who = owner) => ok(await who.get(`${found.path}/decisions`)).data;
    t.strictSame(
      (await list()).map(({ id }: { id: string }) => id),
      [second.id, first.id],
    );
    const [, own] = await list(authority);
    t.match(own, { note: 'CANARY-NOTE', reason_code: 'indicators_met', staff_code: 'PP-1' });
    const [, owners] = await list();
    t.match(owners, { note: 'CANARY-NOTE', reason_code: 'indicators_met' });
    t.notOk('staff_code' in owners);
    const [, masked] = await list(coordinator);
    t.match(masked, { id: first.id, kind: 'initial', outcome: 'positive' });
    t.notOk('reason_code' in masked || 'note' in masked || 'staff_code' in masked);
    for (const key of ['health', 'labour_inspection'] as const)
      t.equal((await as(key).get(`${found.path}/decisions`)).status, 403, `${key} holds the case, and does not see them`);
    t.equal((await as('helpline_b').get(`${found.path}/decisions`)).status, 404);
    const page = ok(await owner.get(`${found.path}/decisions?limit=1`));
    t.equal(page.data.length, 1);
    t.equal(ok(await owner.get(`${found.path}/decisions?limit=1&cursor=${page.next_cursor}`)).data[0].id, first.id);
    t.match((await entriesOf(services, 'decision.list')).at(-1), { outcome: 'read' });

    // Its offer is over: of others it learns nothing more, of its own it has what it wrote until it confirms their deletion.
    ok(await authority.post(`/v1/referrals/${found.referral.id}/fail`, { reason_code: 'other' }));
    t.equal((await list(authority)).length, 2);
    ok(await authority.post(`/v1/decisions/${first.id}/serve`, {}));
    const { data } = ok(await authority.get(`${found.path}/disclosures`));
    ok(await authority.post(`/v1/disclosures/${data[0].id}/confirm-deletion`));
    t.equal((await authority.get(`${found.path}/decisions`)).status, 404);
    t.equal((await authority.post(`/v1/decisions/${second.id}/serve`, {})).status, 404);
    ok(await owner.post(`/v1/decisions/${second.id}/serve`, {}));
  });

  await t.test('another authority that accepts sees what was decided before it; one that held it sees its own', async t => {
    const found = await decided('reasonable_grounds', 'positive');
    ok(await authority.post(`/v1/referrals/${found.referral.id}/fail`, { reason_code: 'other' }));
    const path = `/v1/agencies/${agencies.health.id}`;
    const admin = as('committee', 'nobody');
    ok(await admin.patch(path, { competent_authority: true }, { 'if-match': '*' }));
    const service = { ...SERVICE };
    ok(await as('health', 'supervisor').put(`${path}/services/identification`, service, { 'if-none-match': '*' }));
    ok(
      await owner.post(
        `${found.path}/consents`,
        consentBody({ recipient: { agency_kind: 'health' }, purposes: ['identification'] }),
      ),
    );
    const direct = { service: 'identification', urgency: 'urgent', routing: 'direct', recipient_agency_id: agencies.health.id };
    const referral = ok(await owner.post(`${found.path}/referrals`, referralBody(direct)));
    ok(await as('health').post(`/v1/referrals/${referral.id}/accept`, {}));
    t.match(ok(await as('health').get(`${found.path}/decisions`)).data, [
      { id: found.decision.id, reason_code: 'indicators_met' },
    ]);
    t.equal((await as('health').post(`/v1/decisions/${found.decision.id}/serve`, {})).status, 200, 'and serves it');
    clock.advance(31 * DAY);
    const late = ok(await as('health').post(`${found.path}/decisions`, body('conclusive_grounds', 'negative')));
    t.strictSame(
      ok(await authority.get(`${found.path}/decisions`)).data.map(({ id }: { id: string }) => id),
      [found.decision.id],
    );
    t.equal((await authority.post(`/v1/decisions/${late.id}/serve`, {})).status, 404, 'it does not know of it');
    ok(await admin.patch(path, { competent_authority: false }, { 'if-match': '*' }));
  });

  await t.test('are served once, by authority or owner', async t => {
    const found = await accepted();
    await held(found, 'health');
    const decision = await decide(found, 'reasonable_grounds', 'negative');
    const attempt = (who: typeof owner, more: object = {}, headers = {}) =>
      who.post(`/v1/decisions/${decision.id}/serve`, more, headers);
    const none = await owner.post('/v1/decisions/dec_01k00000000000000000000000/serve', {});
    t.strictSame(anonymous(await attempt(as('health'))), anonymous(none), 'to a holder there is none');
    t.equal((await attempt(coordinator)).status, 403);
    t.equal((await attempt(as('helpline_b'))).status, 404);
    clock.advance(HOUR);
    const before = new Date(Date.parse(decision.decided_at) - 1).toISOString();
    const ahead = new Date(clock.now().getTime() + 1).toISOString();
    for (const served_at of [before, ahead]) {
      const { status, body } = await attempt(owner, { served_at }, { 'if-match': '"9"' });
      t.equal(status, 422);
      t.match(body.errors, [{ pointer: '/served_at' }]);
    }
    const long_ago = await decide(await accepted(), 'reasonable_grounds', 'negative');
    clock.advance(8 * DAY);
    t.match(
      (await owner.post(`/v1/decisions/${long_ago.id}/serve`, { served_at: long_ago.decided_at })).body.errors,
      [{ pointer: '/served_at', detail: 'lies more than a week back' }],
      'the days to ask again are not over before anybody learns that they began',
    );
    t.equal((await attempt(owner, {}, { 'if-match': '"9"' })).status, 412);
    const served_at = new Date(clock.now().getTime() - MINUTE).toISOString();
    const served = ok(await attempt(owner, { served_at }, { 'if-match': '"1"' }));
    t.match(served, { id: decision.id, served_at, version: 2 });
    const again = await attempt(authority);
    t.equal(again.status, 409);
    t.match(again.body, { code: 'wrong_state', state: 'served', allowed_actions: { length: 0 } });
    t.match((await entriesOf(services, 'decision.serve')).at(-2), { outcome: 'done', code: 'reasonable_grounds' });

    const of = async (who: typeof owner) =>
      (await eventsOf(services, who)).filter(({ data }) => data.decision_id === decision.id);
    const told = await of(owner);
    t.match(told, [{ type: 'decision.made' }, { type: 'decision.served', data: { case_id: found.kase.id, due_at: /^2027-/ } }]);
    const authorities = await of(authority);
    t.match(authorities, [{ type: 'decision.made', data: { offer_id: /^off_/ } }, { type: 'decision.served' }]);
    t.notMatch(JSON.stringify(authorities), found.kase.id, 'an authority knows the case by its offer');
    t.match(await of(coordinator), [{ type: 'decision.made', data: { case_id: found.kase.id } }, { type: 'decision.served' }]);
    t.strictSame(await of(as('health')), [], 'whoever provides a service is told nothing');
  });

  await t.test('are looked at again on request', async t => {
    const found = await accepted();
    await held(found, 'health');
    await held(found, 'labour_inspection');
    const ask = (who: typeof owner, headers = {}) =>
      who.post(`${found.path}/reconsiderations`, { reason: 'CANARY-AGAIN she was afraid' }, headers);
    const refused = async (state: string) => {
      const { status, body } = await ask(owner);
      t.equal(status, 409);
      t.match(body, { code: 'wrong_state', state });
    };
    await refused('reported');
    const decision = await decide(found, 'reasonable_grounds', 'negative');
    await refused('not_identified');
    await serve(decision);
    t.equal((await ask(as('labour_inspection'))).status, 403, 'one that enforces');
    t.equal((await ask(authority)).status, 403, 'the authority');
    t.equal((await ask(coordinator)).status, 403);
    t.equal((await ask(as('helpline_b'))).status, 404);
    t.equal((await owner.post(`${found.path}/reconsiderations`, { reason: '' })).status, 400);
    t.equal((await ask(owner, { 'if-match': '"99"' })).status, 412);
    const early = await authority.post(`${found.path}/decisions`, body('reconsideration', 'positive'));
    t.equal(early.status, 409);
    t.match(early.body, { code: 'wrong_state', state: 'not_identified', allowed_actions: { length: 0 } });

    clock.advance(29 * DAY);
    const key = { 'idempotency-key': 'again' };
    const request = await ask(as('health'), key);
    t.equal(request.status, 201);
    t.match(request.body, { decision_id: decision.id, requested_by: 'supporter', reason: 'CANARY-AGAIN she was afraid' });
    t.equal((await ask(as('health'), key)).headers['idempotency-replayed'], 'true');
    t.match(await ask(owner), { status: 409, body: { code: 'already_exists' } });
    const [seen] = ok(await authority.get(`${found.path}/decisions`)).data;
    t.match(seen.reconsideration, { reason: 'CANARY-AGAIN she was afraid', requested_by: 'supporter' });
    t.notOk('reconsideration' in ok(await coordinator.get(`${found.path}/decisions`)).data[0]);
    const told = (await eventsOf(services, authority)).filter(({ type }) => type === 'disclosure.updated');
    t.match(told, [{ data: { decision_id: decision.id, offer_id: /^off_/, case_id: undefined } }]);
    const owners = (await eventsOf(services, owner, found.kase.id)).filter(({ type }) => type === 'disclosure.updated');
    t.match(owners, [{ data: { decision_id: decision.id, notify: { roles: ['caseworker'] } } }], 'who did not ask for it');
    t.equal(owners.length, 1);
    const others = await eventsOf(services, as('labour_inspection'));
    t.notMatch(JSON.stringify(others), decision.id);

    // Asked in time, decided later.
    clock.advance(5 * DAY);
    const confirmed = await decide(found, 'reconsideration', 'negative');
    t.equal(await stageOf(found), 'not_identified');
    t.equal((await authority.post(`${found.path}/decisions`, body('reconsideration', 'positive'))).status, 409, 'once a request');
    await serve(confirmed);
    ok(await ask(owner));
    await decide(found, 'reconsideration', 'positive');
    t.equal(await stageOf(found), 'recovery', 'where the first decision would have led');
    const over = await decided('reasonable_grounds', 'negative');
    clock.advance(32 * DAY);
    const late = await owner.post(`${over.path}/reconsiderations`, { reason: 'late' });
    t.match(late, { status: 409, body: { code: 'wrong_state', state: 'not_identified' } });
  });

  await t.test('keep reasons as ciphertext, and the second wall alone shows them to nobody else', async t => {
    const found = await accepted();
    await held(found, 'health');
    await held(found, 'labour_inspection');
    const decision = await decide(found, 'reasonable_grounds', 'negative', { note: 'CANARY-SEALED' });
    await serve(decision);
    ok(await owner.post(`${found.path}/reconsiderations`, { reason: 'CANARY-WORDS' }));
    for (const table of ['decisions', 'decision_reasons', 'reconsiderations'])
      t.notMatch(JSON.stringify(await lookAsOwner(services, `select * from ${table}`)), /CANARY|indicators_not_met/);

    const sees = async (key: Parameters<typeof as>[0], table: string) =>
      transact(services, actors[key], async tx => {
        const rows = await tx
          .selectFrom(table as 'decisions')
          .selectAll()
          .where('case_id', '=', found.kase.id)
          .execute();
        return rows.length;
      });
    const wall: Record<string, Parameters<typeof as>[0][]> = {
      decisions: ['helpline_a', 'prosecution', 'committee'],
      decision_reasons: ['helpline_a', 'prosecution'],
      reconsiderations: ['helpline_a', 'prosecution'],
    };
    for (const [table, those] of Object.entries(wall)) {
      for (const key of Object.keys(agencies) as Parameters<typeof as>[0][])
        t.equal(await sees(key, table), those.includes(key) ? 1 : 0, `${key} ${table}`);
    }
    const row = (await lookAsOwner<Record<string, unknown>>(services, `select * from decisions where id = '${decision.id}'`))[0]!;
    for (const key of ['helpline_a', 'health', 'committee', 'helpline_b'] as const) {
      const forged = { ...row, id: `${decision.id.slice(0, -1)}z`, agency_id: agencies[key].id };
      await t.rejects(
        transact(services, actors[key], tx =>
          tx
            .insertInto('decisions')
            .values(forged as never)
            .execute(),
        ),
        { code: '42501' },
        `${key} does not decide`,
      );
    }
    for (const key of ['health', 'committee', 'helpline_b'] as const) {
      const { numUpdatedRows } = await transact(services, actors[key], tx =>
        tx.updateTable('decisions').set({ version: 9 }).where('id', '=', decision.id).executeTakeFirst(),
      );
      t.equal(numUpdatedRows, 0n, `${key} serves nothing`);
    }
    await t.rejects(
      transact(services, actors.prosecution, tx =>
        tx.updateTable('decisions').set({ outcome: 'positive' }).where('id', '=', decision.id).execute(),
      ),
      { code: '42501' },
      'what was decided stays as it was decided',
    );
  });

  await t.test('of a case that went over: the new owner serves them, and sees reasons where consent says so', async t => {
    const found = await accepted();
    const decision = await decide(found, 'reasonable_grounds', 'negative', { note: 'CANARY-OVER' });
    const path = `/v1/agencies/${agencies.civil_society.id}/services/case_management`;
    ok(await as('civil_society', 'supervisor').put(path, SERVICE, { 'if-none-match': '*' }));
    const about = { recipient: { agency_kind: 'civil_society' }, purposes: ['case_management'], categories: ['narrative'] };
    ok(await owner.post(`${found.path}/consents`, consentBody(about)));
    const handed = { service: 'case_management', urgency: 'urgent', routing: 'direct', categories: ['narrative'] };
    const to = referralBody({ ...handed, recipient_agency_id: agencies.civil_society.id });
    const transfer = ok(await owner.post(`${found.path}/referrals`, to));
    ok(await as('civil_society').post(`/v1/referrals/${transfer.id}/accept`, {}));
    const [seen] = ok(await as('civil_society').get(`${found.path}/decisions`)).data;
    t.match(seen, { id: decision.id, outcome: 'negative' });
    t.notOk('note' in seen || 'reason_code' in seen);
    t.equal((await owner.get(`${found.path}/decisions`)).status, 403, 'the former owner');
    ok(await as('civil_society').post(`/v1/decisions/${decision.id}/serve`, {}));
    const window = await all(as('civil_society'), `/v1/timers?case_id=${found.kase.id}&name=reconsideration_window`);
    t.match(window, [{ responsible_agency_id: agencies.civil_society.id }]);
  });

  await t.test('an authority that takes the case over goes on deciding', async t => {
    const found = await accepted();
    const path = `/v1/agencies/${agencies.prosecution.id}/services/case_management`;
    ok(await as('prosecution', 'supervisor').put(path, SERVICE, { 'if-none-match': '*' }));
    const about = { recipient: { agency_kind: 'prosecution' }, purposes: ['case_management'], categories: ['narrative'] };
    ok(await owner.post(`${found.path}/consents`, consentBody(about)));
    const handed = { service: 'case_management', urgency: 'urgent', routing: 'direct', categories: ['narrative'] };
    const to = referralBody({ ...handed, recipient_agency_id: agencies.prosecution.id });
    const transfer = ok(await owner.post(`${found.path}/referrals`, to));
    ok(await authority.post(`/v1/referrals/${transfer.id}/accept`, {}));
    const decision = await decide(found, 'initial', 'positive', { note: 'CANARY-OWN' });
    t.match(ok(await authority.get(`${found.path}/decisions`)).data, [{ id: decision.id, note: 'CANARY-OWN' }]);
    ok(await authority.post(`/v1/referrals/${found.referral.id}/fail`, { reason_code: 'other' }));
    const after = await authority.post(`${found.path}/decisions`, body('reasonable_grounds', 'positive'));
    t.equal(after.status, 403, 'an owner that is asked no more');
  });

  await t.test('are of a day on which the authority was asked, and in their order', async t => {
    const kase = ok(await owner.post('/v1/cases', caseBody()));
    const path = `/v1/cases/${kase.id}`;
    clock.advance(40 * DAY);
    const about = { recipient: { agency_kind: 'prosecution' }, purposes: ['identification'] };
    ok(await owner.post(`${path}/consents`, consentBody(about)));
    const direct = { service: 'identification', urgency: 'routine', routing: 'direct' };
    const referral = ok(
      await owner.post(`${path}/referrals`, referralBody({ ...direct, recipient_agency_id: agencies.prosecution.id })),
    );
    ok(await authority.post(`/v1/referrals/${referral.id}/accept`, {}));
    const asked_at = Date.parse(referral.created_at);
    clock.advance(DAY);
    const at = async (ms: number, kind = 'reasonable_grounds') =>
      authority.post(`${path}/decisions`, { ...body(kind, 'positive'), decided_at: new Date(ms).toISOString() });
    t.match(await at(asked_at - 1), { status: 422, body: { errors: [{ pointer: '/decided_at' }] } });
    t.equal((await at(asked_at + HOUR, 'initial')).status, 201);
    t.match(await at(asked_at + HOUR - 1), { status: 422, body: { errors: [{ detail: /made last/ }] } });
    t.equal((await at(asked_at + HOUR)).status, 201);
  });

  await t.test('a request that is repeated by who may ask no more shows nothing', async t => {
    const found = await decided('reasonable_grounds', 'negative');
    const care = await held(found, 'health');
    const ask = () =>
      as('health').post(`${found.path}/reconsiderations`, { reason: 'CANARY-AGAIN' }, { 'idempotency-key': 'ask-once' });
    t.strictSame([(await ask()).status, (await ask()).headers['idempotency-replayed']], [201, 'true']);
    ok(await as('health').post(`/v1/referrals/${care.id}/fail`, { reason_code: 'person_declined' }));
    const late = await ask();
    t.equal(late.status, 403);
    t.notMatch(JSON.stringify(late.body), 'CANARY');
  });

  await t.test('a closed case is not decided on; what was decided may still be served', async t => {
    const found = await accepted();
    const decision = await decide(found, 'initial', 'negative');
    ok(await as('helpline_a', 'supervisor').post(`${found.path}/close`, { reason_code: 'lost_contact' }));
    const { status, body: refusal } = await authority.post(`${found.path}/decisions`, body('initial', 'positive'));
    t.equal(status, 409);
    t.match(refusal, { code: 'wrong_state', state: 'closed', allowed_actions: { length: 0 } });
    await serve(decision);
    t.equal((await owner.post(`${found.path}/reconsiderations`, { reason: 'r' })).body.state, 'closed');
    ok(await as('helpline_a', 'supervisor').post(`${found.path}/reopen`, { reason: 'she rang' }));
    ok(await owner.post(`${found.path}/reconsiderations`, { reason: 'r' }));
    await decide(found, 'reconsideration', 'positive');
    t.equal(await stageOf(found), 'presumed');
  });

  await t.test('an anonymous record can be decided on, too', async t => {
    const kase = ok(await owner.post('/v1/cases', caseBody({ track: 'anonymous', person: { sex: 'female' } })));
    const ground = { lawful_ground: { code: 'imminent_danger_to_life' }, categories: ['narrative'] };
    const direct = { service: 'identification', urgency: 'urgent', routing: 'direct' };
    const to = referralBody({ ...direct, ...ground, recipient_agency_id: agencies.prosecution.id });
    const referral = ok(await owner.post(`/v1/cases/${kase.id}/referrals`, to));
    ok(await authority.post(`/v1/referrals/${referral.id}/accept`, {}));
    await decide({ path: `/v1/cases/${kase.id}` }, 'initial', 'positive');
    t.equal(await stageOf({ path: `/v1/cases/${kase.id}` }), 'presumed');
  });
});

const SERVICE = {
  regions: [],
  sexes: [],
  min_age: null,
  max_age: null,
  accepts_dependants: true,
  languages: [],
  protection_statuses: [],
  location_protected: false,
  status: 'active',
};
