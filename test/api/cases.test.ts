import t from 'tap';
import type { Category } from '../../src/core/codes.ts';
import type { DemoAgencyKey } from '../../src/demo.ts';
import { getDataKey } from '../../src/platform/data-keys.ts';
import { transact } from '../../src/platform/database.ts';
import { newId } from '../../src/platform/ids.ts';
import { open } from '../../src/platform/vault.ts';
import { startTestApp } from '../support/app.ts';
import { workingDays } from '../support/calendars.ts';
import { all, anonymous, DAY, eventsOf, MEDICAL } from '../support/journey.ts';
import { type Client, mechanism } from '../support/mechanism.ts';
import { caseBody, consentBody, ok, PERSON, referralBody } from '../support/night.ts';
import { lookAsOwner } from '../support/trail.ts';
import { demoActors } from '../support/webhooks.ts';

/** Everything that a case can hold, each with words that occur nowhere else. */
const WHOLE = {
  person: { ...PERSON, estimated_age: 27 },
  dependants: [{ age: 4, sex: 'male' }],
  danger_flags: ['weapons'],
  needs: ['medical', 'legal_aid'],
  exploitation: { forms: ['CANARY-FORM'], sectors: ['domestic work'], from: '2025-01-01' },
};

t.test('cases', async t => {
  const test = await startTestApp(t);
  const { services, clock } = test;
  const { as, agencies } = await mechanism(test);
  const helpline = as('helpline_a');
  const supervisor = as('helpline_a', 'supervisor');

  const openCase = async (more: object = {}, who: Client = helpline) => ok(await who.post('/v1/cases', caseBody(more as never)));
  /** With one member of its own. */
  const newGroup = async () => ok(await helpline.post('/v1/groups', { cases: [caseBody()] })).group_id as string;
  const read = async (id: string, who: Client = helpline) => ok(await who.get(`/v1/cases/${id}`));
  const amend = (id: string, patch: object, version: number, headers: Record<string, string> = {}) =>
    helpline.patch(`/v1/cases/${id}`, patch, { 'if-match': `"${version}"`, ...headers });
  const amended = async (id: string, patch: object) => ok(await amend(id, patch, (await read(id)).version));
  const lent = (key: DemoAgencyKey, staff_code: string, roles: string[]) =>
    as(key, 'supervisor').post(`/v1/agencies/${agencies[key].id}/caseworkers`, { staff_code, roles });

  /** A case that `civil_society` holds with these categories, and that `health` is asked to help with. */
  async function heldCase(categories: Category[], more: object = {}) {
    const kase = await openCase({ ...WHOLE, ...more });
    const lantern = { recipient: { agency_kind: 'civil_society' }, purposes: ['psychosocial'], categories };
    const consent = ok(await helpline.post(`/v1/cases/${kase.id}/consents`, consentBody(lantern as never)));
    ok(await helpline.post(`/v1/cases/${kase.id}/consents`, consentBody(MEDICAL.consent as never)));
    const refer = async (service: string) =>
      ok(
        await helpline.post(
          `/v1/cases/${kase.id}/referrals`,
          referralBody({ service, urgency: 'urgent', categories: service === 'medical' ? [] : categories } as never),
        ),
      );
    const held = await refer('psychosocial');
    const asked = await refer('medical');
    ok(await as('civil_society').post(`/v1/referrals/${held.id}/accept`));
    return { kase, consent, held, asked };
  }

  await t.test('are opened by first responders, where they work', async t => {
    const group_id = await newGroup();
    const body = caseBody({ ...WHOLE, group_id } as never);
    const opened = await helpline.post('/v1/cases', body);
    const { id, reference } = opened.body;
    t.match(opened, {
      status: 201,
      headers: { location: `/v1/cases/${id}`, etag: '"1"', 'cache-control': 'no-store', 'audit-receipt': /^[0-9a-f]{64}$/ },
      body: {
        stage: 'reported',
        track: 'named',
        risk: 'high',
        jurisdiction: 'XA',
        region: 'XA-1',
        owner_agency_id: agencies.helpline_a.id,
        opened_at: services.now().toISOString(),
        closed_at: null,
        group_id,
        version: 1,
        withheld: [],
      },
    });
    t.match(reference, /^[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}$/);
    t.strictSame(opened.body.data, {
      identity: { given_name: 'Testname', family_name: 'Placeholder', date_of_birth: '1999-04-02', nationalities: ['XX'] },
      contact: { safe_contact: PERSON.safe_contact },
      demographics: { estimated_age: 27, sex: 'female', languages: ['ar'] },
      narrative: { narrative: body.intake.narrative },
      health: { needs: WHOLE.needs, danger_flags: WHOLE.danger_flags },
      protection_status: { protection_status: 'unknown' },
      labour: { exploitation: WHOLE.exploitation },
      family: { dependants: WHOLE.dependants },
      source: { intake: { channel: 'hotline', received_at: body.intake.received_at } },
    });
    t.strictSame(await read(id), opened.body, 'and read as they were written');
    t.match(
      (await eventsOf(services, helpline, id)).map(({ type }) => type),
      ['case.opened'],
    );

    ok(await lent('helpline_a', 'DH-8', ['screener']));
    ok(await lent('helpline_a', 'DH-9', ['auditor']));
    const refused: [string, Promise<{ status: number; body: { code: string } }>][] = [
      ['a shelter', as('shelter_a').post('/v1/cases', body)],
      ['the prosecution', as('prosecution').post('/v1/cases', body)],
      ['the committee', as('committee').post('/v1/cases', body)],
      ['a screener', helpline.post('/v1/cases', body, { 'acting-caseworker': 'DH-8' })],
      ['an auditor', helpline.post('/v1/cases', body, { 'acting-caseworker': 'DH-9' })],
    ];
    for (const [said, answer] of refused) t.match(await answer, { status: 403, body: { code: 'forbidden' } }, said);
    for (const key of ['helpline_b', 'labour_inspection', 'health'] as const)
      t.equal((await as(key).post('/v1/cases', { ...body, group_id: undefined })).status, 201, key);
    t.equal((await supervisor.post('/v1/cases', body)).status, 201, 'a supervisor may what its people may');
  });

  await t.test('lie in a jurisdiction of their owner, and a region of that', async t => {
    const rows: [object, number, string?][] = [
      [{ jurisdiction: 'XC', region: undefined }, 422, '/jurisdiction'],
      [{ jurisdiction: 'XA', region: 'XB-1' }, 422, '/region'],
      [{ jurisdiction: 'XB', region: 'XA-1' }, 422, '/region'],
      [{ jurisdiction: 'XA', region: undefined }, 201],
      [{ jurisdiction: 'XB', region: 'XB-2' }, 201],
      [{ jurisdiction: 'xa' }, 400, '/jurisdiction'],
      [{ track: 'secret' }, 400, '/track'],
      [{ risk: undefined }, 400, '/risk'],
      [{ person: { sex: 'x' } }, 400, '/person/sex'],
      [{ person: { name: 'x' } }, 400, '/person/name'],
      [{ person: { date_of_birth: '1999-02-30' } }, 400, '/person/date_of_birth'],
      [{ intake: { channel: 'hotline' } }, 400, '/intake/received_at'],
      [{ group_id: newId('cas') }, 400, '/group_id'],
      [{ colour: 'red' }, 400, '/colour'],
    ];
    for (const [more, status, pointer] of rows) {
      const answer = await helpline.post('/v1/cases', JSON.parse(JSON.stringify(caseBody(more as never))));
      t.equal(answer.status, status, JSON.stringify(more));
      if (pointer) t.match(answer.body.errors, [{ pointer }]);
    }
  });

  await t.test('are amended by a merge patch, by whoever has read them', async t => {
    const { id } = await openCase(WHOLE);
    const path = `/v1/cases/${id}`;
    t.match(await helpline.patch(path, { risk: 'low' }), { status: 428, body: { code: 'precondition_required' } });
    t.match(await helpline.patch(path, { risk: 'low', region: 'XB-1' }), {
      status: 422,
      body: { errors: [{ pointer: '/region' }] },
    });
    t.match(await amend(id, { risk: 'low' }, 2), { status: 412, body: { code: 'precondition_failed' } });
    for (const patch of [
      {},
      { stage: 'closed' },
      { owner_agency_id: agencies.health.id },
      { jurisdiction: 'XB' },
      { risk: null },
      { intake: null },
      { needs: ['x'] },
    ]) {
      t.equal((await amend(id, patch, 1)).status, 400, JSON.stringify(patch));
    }
    const patch = {
      risk: 'immediate',
      region: null,
      group_id: await newGroup(),
      intake: { narrative: 'CANARY-SECOND' },
      person: { given_name: null, estimated_age: 30, safe_contact: { code_word: 'CANARY-WORD', window: null } },
      needs: ['psychosocial'],
      exploitation: null,
    };
    const type = { 'content-type': 'application/merge-patch+json' };
    const after = await amend(id, patch, 1, type);
    t.match(after, {
      status: 200,
      headers: { etag: '"2"' },
      body: {
        version: 2,
        risk: 'immediate',
        region: null,
        group_id: patch.group_id,
        stage: 'reported',
        owner_agency_id: agencies.helpline_a.id,
      },
    });
    t.strictSame(after.body.data, {
      identity: { family_name: 'Placeholder', date_of_birth: '1999-04-02', nationalities: ['XX'] },
      contact: { safe_contact: { safe_to_call: true, method: 'phone', value: '+999 0000 0000', code_word: 'CANARY-WORD' } },
      demographics: { estimated_age: 30, sex: 'female', languages: ['ar'] },
      narrative: { narrative: 'CANARY-SECOND' },
      health: { needs: ['psychosocial'], danger_flags: ['weapons'] },
      protection_status: { protection_status: 'unknown' },
      family: { dependants: WHOLE.dependants },
      source: { intake: { channel: 'hotline', received_at: '2026-11-21T18:55:00.000Z' } },
    });
    t.strictSame(await read(id), after.body);
    const emptied = await amended(id, {
      person: null,
      dependants: null,
      danger_flags: null,
      needs: null,
      intake: { narrative: null },
    });
    t.strictSame(Object.keys(emptied.data), ['source'], 'what is removed is gone');
    t.equal((await amend(id, { risk: 'low' }, 3, { 'if-match': '*' })).status, 200, 'any version, if it is said');

    ok(await lent('helpline_a', 'DH-7', ['operator']));
    const by_operator = await helpline.patch(path, { risk: 'low' }, { 'if-match': '*', 'acting-caseworker': 'DH-7' });
    t.match(by_operator, { status: 403, body: { code: 'forbidden' } }, 'a caseworker amends, not an operator');
  });

  await t.test('keep what was replaced, sealed, for the owner', async t => {
    const { id } = await openCase(WHOLE);
    await amended(id, { intake: { narrative: 'CANARY-SECOND' } });
    await amended(id, { intake: { narrative: 'CANARY-THIRD' }, person: { sex: 'other' } });
    const owner = (await demoActors(services)).helpline_a;
    const history = await transact(services, owner, async tx => {
      const key = await getDataKey(services, tx, id);
      const rows = await tx
        .selectFrom('case_data_history')
        .selectAll()
        .where('case_id', '=', id)
        .orderBy('version')
        .orderBy('category')
        .execute();
      return rows.map(({ category, version, sealed }) => [
        category,
        version,
        open(key, { table: 'case_data', row: id, category, version }, sealed),
      ]);
    });
    t.strictSame(history, [
      ['demographics', 1, { estimated_age: 27, sex: 'female', languages: ['ar'] }],
      ['narrative', 1, { narrative: 'CANARY-NARRATIVE locked in, passport taken' }],
      ['narrative', 2, { narrative: 'CANARY-SECOND' }],
    ]);
    for (const key of ['helpline_b', 'committee', 'health'] as const) {
      const actor = (await demoActors(services))[key];
      t.strictSame(
        await transact(services, actor, tx => tx.selectFrom('case_data_history').select('version').execute()),
        [],
        key,
      );
    }
  });

  await t.test('whoever holds something is told when it changes', async t => {
    const { kase, held, asked } = await heldCase(['identity', 'narrative', 'demographics']);
    const told = async (key: DemoAgencyKey) =>
      (await eventsOf(services, as(key)))
        .filter(({ data }) => [held.id, asked.id].includes(data.referral_id) || data.case_id === kase.id)
        .filter(({ type }) => type === 'disclosure.updated' || type === 'safety.changed')
        .map(({ type, data }) => [type, data.categories?.toSorted() ?? null] as [string, string[] | null]);
    const rows: [object, [string, string[] | null][]][] = [
      [{ person: { family_name: 'Other' } }, [['disclosure.updated', ['identity']]]],
      [{ person: { sex: 'other' }, intake: { narrative: 'more' } }, [['disclosure.updated', ['demographics', 'narrative']]]],
      [{ dependants: [] }, []],
      [{ needs: ['medical'] }, []],
      [{ region: 'XA-2' }, []],
      [{ person: { safe_contact: { window: 'mornings' } } }, [['safety.changed', null]]],
      [{ danger_flags: ['trafficker_nearby'] }, [['safety.changed', null]]],
      [{ risk: 'immediate' }, [['safety.changed', null]]],
      [{ risk: 'immediate', danger_flags: ['trafficker_nearby'] }, []],
      [
        { danger_flags: null, intake: { narrative: 'most' } },
        [
          ['safety.changed', null],
          ['disclosure.updated', ['narrative']],
        ],
      ],
    ];
    let seen = 0;
    for (const [patch, expected] of rows) {
      await amended(kase.id, patch);
      const events = await told('civil_society');
      t.strictSame(events.slice(seen), expected, JSON.stringify(patch));
      seen = events.length;
    }
    for (const key of ['health', 'helpline_b', 'shelter_a'] as const) t.strictSame(await told(key), [], `${key} holds nothing`);
    const events = await eventsOf(services, as('civil_society'), held.id);
    const safety = events.find(({ type }) => type === 'safety.changed')!;
    t.strictSame(Object.keys(safety.data).sort(), [
      'agency_id',
      'event_id',
      'notify',
      'offer_id',
      'position',
      'referral_id',
      'sequence',
    ]);
    t.notMatch(
      JSON.stringify(events),
      /CANARY|Other|mornings|trafficker|psychosocial/,
      'ids, codes and times, no person and no service',
    );
    const [row] = await lookAsOwner<{ urgent: boolean }>(services, `select urgent from events where id = $1`, [
      safety.data.event_id,
    ]);
    t.equal(row!.urgent, true, 'safety is an emergency');
    t.match(
      ok(await as('civil_society').get(`/v1/referrals/${held.id}`)).disclosure.data.narrative,
      { narrative: 'most' },
      'and reads it live',
    );

    ok(await as('civil_society').post(`/v1/referrals/${held.id}/fail`, { reason_code: 'other' }));
    await amended(kase.id, { risk: 'low', person: { family_name: 'Again' } });
    t.ok(
      (await told('civil_society')).length < seen,
      'whoever holds nothing any more is told nothing more, nor again what it was',
    );
  });

  await t.test('show everybody what they may see', async t => {
    const group_id = await newGroup();
    const { kase, consent, held } = await heldCase(['identity', 'contact'], { group_id });
    const masked = {
      id: kase.id,
      reference: kase.reference,
      owner_agency_id: agencies.helpline_a.id,
      jurisdiction: 'XA',
      region: 'XA-1',
      track: 'named',
      risk: 'high',
      stage: 'reported',
      opened_at: kase.opened_at,
      closed_at: null,
      version: 1,
      updated_at: kase.updated_at,
    };
    t.equal((await read(kase.id)).group_id, group_id, 'the owner alone knows who was found together');
    t.strictSame(await read(kase.id, as('civil_society')), {
      ...masked,
      data: {
        identity: { given_name: 'Testname', family_name: 'Placeholder', date_of_birth: '1999-04-02', nationalities: ['XX'] },
        contact: { safe_contact: PERSON.safe_contact },
      },
      withheld: ['demographics', 'narrative', 'health', 'protection_status', 'labour', 'family', 'criminal_justice', 'source'],
    });
    t.strictSame(
      await read(kase.id, as('committee')),
      { ...masked, unmet: [{ service: 'medical', since: '2026-11-21T19:00:00.000Z', why: 'asked' }] },
      'a coordinator: no person, no group, and of what is needed what was asked for',
    );
    const absent = anonymous(await as('health').get(`/v1/cases/${newId('cas')}`));
    for (const key of ['health', 'helpline_b', 'shelter_a', 'prosecution', 'audit_body'] as const) {
      const hidden = await as(key).get(`/v1/cases/${kase.id}`);
      t.strictSame(anonymous(hidden), absent, `${key} does not learn that it exists`);
    }
    ok(await lent('committee', 'NC-9', ['caseworker']));
    const unentitled = await as('committee').get(`/v1/cases/${kase.id}`, { 'acting-caseworker': 'NC-9' });
    t.equal(unentitled.status, 403, 'of the committee only the coordinator');

    ok(await helpline.post(`/v1/consents/${consent.id}/withdraw`, { stop_service: true, spoken_in_private: true }));
    const stub = await read(kase.id, as('civil_society'));
    t.strictSame(stub, {
      id: kase.id,
      version: 1,
      categories_held: ['identity', 'contact'],
      deletion_due_at: workingDays(10, services.now()),
    });
    const sent = await as('civil_society').post(`/v1/cases/${kase.id}/referrals`, referralBody());
    t.equal(sent.status, 403, 'a former holder refers nothing on');
    t.match(ok(await as('civil_society').get(`/v1/referrals/${held.id}`)), {
      status: 'withdrawn',
      disclosure: undefined,
      profile: undefined,
    });
  });

  await t.test('are referred on by a holder, within what it holds', async t => {
    const { kase, consent, held } = await heldCase(['identity', 'contact']);
    const lantern = as('civil_society');
    const body = (categories: string[]) => referralBody({ service: 'medical', urgency: 'routine', categories } as never);
    const beyond = await lantern.post(`/v1/cases/${kase.id}/referrals`, body(['identity', 'narrative']));
    t.match(
      beyond,
      { status: 409, body: { code: 'consent_missing', categories: ['narrative'] } },
      'though consent for the clinic has it',
    );
    t.strictSame(beyond.body.categories, ['narrative']);
    const made = ok(await lantern.post(`/v1/cases/${kase.id}/referrals`, body(['identity'])));
    t.match(made, { status: 'offered', sender_agency_id: agencies.civil_society.id, profile: { sex: 'female' } });
    t.match(ok(await helpline.get(`/v1/referrals/${made.id}`)), { status: 'offered', note: /CANARY/ }, 'the owner sees it');
    t.equal(
      (await helpline.post(`/v1/referrals/${made.id}/cancel`, { reason_code: 'error' })).status,
      403,
      'but is not its sender',
    );
    t.ok((await eventsOf(services, helpline, made.id)).some(({ type }) => type === 'referral.offered'));

    ok(await helpline.post(`/v1/consents/${consent.id}/withdraw`, { stop_service: true, spoken_in_private: true }));
    t.equal(ok(await lantern.get(`/v1/referrals/${held.id}`)).status, 'withdrawn');
    const left = ok(await lantern.get(`/v1/referrals/${made.id}`));
    t.match(left, { status: 'offered', profile: undefined }, 'who holds the case no more keeps the request, without the person');
    ok(await lantern.post(`/v1/referrals/${made.id}/cancel`, { reason_code: 'error' }));
  });

  await t.test('are listed: own ones, newest first; for a coordinator masked', async t => {
    const mine = as('labour_inspection');
    const earlier = (await all(mine, '/v1/cases')).map(({ id }) => id);
    const made: { id: string; reference: string }[] = [];
    for (const risk of ['low', 'high', 'low', 'medium', 'low']) made.push(await openCase({ ...WHOLE, risk }, mine));
    const ids = made.map(({ id }) => id).toReversed();
    const list = async (query: string, who = mine) =>
      ok(await who.get(`/v1/cases?${query}`)).data.map(({ id }: { id: string }) => id);
    t.strictSame(await list(''), [...ids, ...earlier]);
    t.strictSame(await list('risk=low'), [ids[0], ids[2], ids[4]]);
    t.strictSame(await list('stage=recovery'), []);
    t.strictSame(await list(`reference=${made[1]!.reference}`), [made[1]!.id]);
    t.strictSame(await list(`reference=${made[1]!.reference.toLowerCase().replaceAll('-', '')}`), [made[1]!.id], 'as it is said');
    t.strictSame(await list('reference=nonsense'), []);
    t.strictSame(await list(`reference=${made[1]!.reference}`, helpline), [], "not another agency's");
    ok(await as('labour_inspection', 'supervisor').post(`/v1/cases/${ids[0]}/close`, { reason_code: 'returned' }));
    t.strictSame(await list('status=closed'), [ids[0]]);
    t.strictSame(await list('status=open'), [...ids.slice(1), ...earlier]);
    t.strictSame(await list('stage=closed'), [ids[0]]);

    const first = ok(await mine.get('/v1/cases?limit=2'));
    const between = await openCase({}, mine);
    const second = ok(await mine.get(`/v1/cases?limit=2&cursor=${first.next_cursor}`));
    const third = ok(await mine.get(`/v1/cases?limit=2&cursor=${second.next_cursor}`));
    const pages = [...first.data, ...second.data, ...third.data].map(({ id }) => id);
    t.strictSame(pages, [...ids, ...earlier], 'pages stay as they were');
    t.equal(third.next_cursor, null);
    t.strictSame(await list('limit=1'), [between.id]);
    for (const bad of ['cursor=x', 'limit=0', 'limit=201', 'risk=huge', 'colour=red', `cursor=${btoa('["a","b"]')}`]) {
      t.equal((await mine.get(`/v1/cases?${bad}`)).status, 400, bad);
    }
    const rows = await all(as('committee'), '/v1/cases');
    t.ok(rows.length > ids.length && ids.every(id => rows.some(row => row.id === id)));
    const columns = [
      'closed_at',
      'id',
      'jurisdiction',
      'opened_at',
      'owner_agency_id',
      'reference',
      'region',
      'risk',
      'stage',
      'track',
      'updated_at',
      'version',
    ];
    for (const row of [...rows, ...first.data]) t.strictSame(Object.keys(row).sort(), columns, 'no person, no group, no reason');
  });

  await t.test('instants are kept in UTC with milliseconds, and what is none is refused', async t => {
    const at = (received_at: string) => helpline.post('/v1/cases', caseBody({ intake: { channel: 'phone', received_at } }));
    t.equal(ok(await at('2026-11-21T20:00:00+02:00')).data.source.intake.received_at, '2026-11-21T18:00:00.000Z');
    for (const text of ['2026-12-31T23:59:60Z', '2026-02-30T00:00:00Z', '2026-11-21', '2026-11-21T20:00:00', 'now']) {
      t.match(await at(text), { status: 400, body: { errors: [{ pointer: '/intake/received_at' }] } }, text);
    }
  });

  await t.test('what hangs on a case is held to the version that was read, if one is named', async t => {
    const { id } = await openCase();
    const stale = { 'if-match': '"7"' };
    t.match(await helpline.post(`/v1/cases/${id}/consents`, consentBody(), stale), { status: 412 });
    t.match(await helpline.post(`/v1/cases/${id}/referrals`, referralBody(), stale), { status: 412 });
    t.equal((await helpline.post(`/v1/cases/${id}/consents`, consentBody(), { 'if-match': '"1"' })).status, 201);
    t.equal((await helpline.post(`/v1/cases/${id}/referrals`, referralBody(), { 'if-match': '"1"' })).status, 201);
  });

  await t.test('an anonymous record names nobody, and what was named stays named', async t => {
    const nameless = { track: 'anonymous', person: { sex: 'female' } };
    for (const field of ['given_name', 'family_name']) {
      const named = { ...nameless, person: { sex: 'female', [field]: 'X' } };
      const refused = await helpline.post('/v1/cases', caseBody(named as never));
      t.match(refused, { status: 422, body: { errors: [{ pointer: `/person/${field}` }] } });
    }
    const kase = await openCase();
    t.match(await amend(kase.id, { track: 'anonymous' }, 1), { status: 422, body: { errors: [{ pointer: '/track' }] } });
    const later = await openCase(nameless);
    t.equal((await amend(later.id, { track: 'named', person: { given_name: 'X' } }, 1)).status, 200);
  });

  await t.test('of an anonymous track only an identification leaves', async t => {
    const kase = await openCase({ track: 'anonymous', person: { sex: 'female', estimated_age: 20 } });
    const lawful_ground = { code: 'imminent_danger_to_life' };
    const refer = (more: object) => helpline.post(`/v1/cases/${kase.id}/referrals`, referralBody(more as never));
    for (const service of ['medical', 'shelter_accommodation', 'case_management']) {
      t.match(await refer({ service, lawful_ground }), { status: 422, body: { code: 'unprocessable' } }, service);
    }
    const decided = { service: 'identification', categories: ['demographics'], lawful_ground };
    t.equal(ok(await refer(decided)).status, 'offered');
    t.equal((await helpline.post(`/v1/cases/${kase.id}/consents`, consentBody())).status, 422);
    await amended(kase.id, { track: 'named', person: { given_name: 'Testname' } });
    ok(await helpline.post(`/v1/cases/${kase.id}/consents`, consentBody(MEDICAL.consent as never)));
    t.equal(ok(await refer({ service: 'medical' })).status, 'offered', 'once it is named');
  });

  await t.test("are closed by the owner's supervisor, with a reason", async t => {
    const { kase, held } = await heldCase(['identity']);
    const path = `/v1/cases/${kase.id}/close`;
    const reason = { reason_code: 'needs_met' };
    t.match(await helpline.post(path, reason), { status: 403, body: { code: 'forbidden' } }, 'not its worker');
    t.match(await as('civil_society', 'supervisor').post(path, reason), { status: 403 }, 'not a holder');
    t.match(await as('committee', 'supervisor').post(path, reason), { status: 403 }, 'not the coordinator');
    t.match(await as('helpline_b', 'supervisor').post(path, reason), { status: 404 });
    t.match(await supervisor.post(path, {}), { status: 400 });
    t.match(await supervisor.post(path, { reason_code: 'bored' }), { status: 400 });
    t.match(await supervisor.post(path, reason, { 'if-match': '"9"' }), { status: 412 });
    const closed = await supervisor.post(path, reason, { 'if-match': '"1"' });
    t.match(closed, {
      status: 200,
      body: { stage: 'closed', close_reason: 'needs_met', closed_at: services.now().toISOString(), version: 2 },
    });
    const refused = { status: 409, body: { code: 'wrong_state', state: 'closed', allowed_actions: [] } };
    t.match(await supervisor.post(path, reason), refused);
    t.match(await amend(kase.id, { region: 'XA-2' }, 2), refused);
    t.match(await amend(kase.id, { region: 'XA-2' }, 1), { status: 412 }, 'the version before the state');
    t.match(await helpline.post(`/v1/cases/${kase.id}/consents`, consentBody()), refused);
    t.match(await helpline.post(`/v1/cases/${kase.id}/referrals`, referralBody({ service: 'medical' } as never)), refused);
    t.ok((await eventsOf(services, helpline, kase.id)).some(({ type }) => type === 'case.closed'));
    t.notOk((await read(kase.id, as('committee'))).close_reason, 'why is for the owner');

    const arrived_at = services.now().toISOString();
    ok(await as('civil_society').post(`/v1/referrals/${held.id}/confirm-handover`, { arrived_at }));
    t.equal((await read(kase.id, as('civil_society'))).stage, 'closed', 'what is under way goes on');
    const elsewhere = { person: { safe_contact: { do_not_use: ['the old number'] } }, danger_flags: ['weapons'] };
    t.equal((await amend(kase.id, elsewhere, 2)).status, 200, 'and what keeps her safe is still told');
    t.ok((await eventsOf(services, as('civil_society'), held.id)).some(({ type }) => type === 'safety.changed'));
  });

  await t.test("are reopened by the owner's supervisor, with a reason in words", async t => {
    const { kase, held, asked } = await heldCase(['identity']);
    const path = `/v1/cases/${kase.id}/reopen`;
    const reason = { reason: 'CANARY-AGAIN she called once more' };
    const lantern = as('civil_society');
    const followUps = async () =>
      (await all(helpline, `/v1/timers?subject_id=${held.id}&name=follow_up`)).map(({ state }) => state).toSorted();
    t.match(
      await supervisor.post(path, reason),
      { status: 409, body: { code: 'wrong_state', state: 'reported', allowed_actions: ['close'] } },
      'only what is closed',
    );
    ok(await lantern.post(`/v1/referrals/${held.id}/confirm-handover`, { arrived_at: services.now().toISOString() }));
    ok(await lantern.post(`/v1/referrals/${held.id}/complete`, { outcome_code: 'service_provided' }));
    t.strictSame(await followUps(), ['running']);
    ok(await supervisor.post(`/v1/cases/${kase.id}/close`, { reason_code: 'needs_met' }));
    t.strictSame(await followUps(), ['cancelled'], 'nobody follows up what is closed');

    t.match(await helpline.post(path, reason), { status: 403, body: { code: 'forbidden' } }, 'not its worker');
    t.match(await as('civil_society', 'supervisor').post(path, reason), { status: 403 });
    t.match(await as('committee', 'supervisor').post(path, reason), { status: 403 });
    t.match(await as('helpline_b', 'supervisor').post(path, reason), { status: 404 });
    for (const body of [{}, { reason: '' }, { reason: 'x'.repeat(1001) }, { ...reason, stage: 'recovery' }])
      t.equal((await supervisor.post(path, body)).status, 400);
    t.match(await supervisor.post(path, reason, { 'if-match': '"1"' }), { status: 412 });

    const opened = await supervisor.post(path, reason, { 'if-match': '"2"' });
    const reopenings = [{ reopened_at: services.now().toISOString(), reason: reason.reason }];
    t.match(opened, {
      status: 200,
      headers: { etag: '"3"' },
      body: { stage: 'reported', close_reason: null, closed_at: null, version: 3, reopenings },
    });
    t.strictSame(await read(kase.id), opened.body);
    for (const key of ['civil_society', 'committee'] as const)
      t.notOk((await read(kase.id, as(key))).reopenings, `not for ${key}`);
    t.strictSame(await followUps(), ['cancelled', 'running'], 'what was completed is followed up again');
    t.equal((await supervisor.post(path, reason)).status, 409);
    t.equal((await eventsOf(services, helpline, kase.id)).filter(({ type }) => type === 'case.reopened').length, 1);
    for (const key of ['civil_society', 'committee'] as const)
      t.notOk((await eventsOf(services, as(key))).some(({ type }) => type === 'case.reopened'));
    ok(await supervisor.post(`/v1/cases/${kase.id}/close`, { reason_code: 'returned' }));
    ok(await supervisor.post(path, { reason: 'a second time' }));
    t.equal((await read(kase.id)).reopenings.length, 2);
    t.strictSame(await followUps(), ['cancelled', 'cancelled', 'running']);
    ok(await supervisor.post(`/v1/cases/${kase.id}/close`, { reason_code: 'returned' }));
    ok(await as('health').post(`/v1/referrals/${asked.id}/confirm-handover`, { arrived_at: services.now().toISOString() }));
    ok(await as('health').post(`/v1/referrals/${asked.id}/complete`, { outcome_code: 'service_provided' }));
    const late = async () => (await all(helpline, `/v1/timers?subject_id=${asked.id}&name=follow_up`)).map(({ state }) => state);
    t.strictSame(await late(), ['cancelled'], 'what is completed after the end is not followed up');
    ok(await supervisor.post(path, { reason: 'a third time' }));
    t.strictSame((await late()).toSorted(), ['cancelled', 'running'], 'until the case is open again');
    const [kept] = await lookAsOwner<{ text: string }>(services, 'select sealed::text as text from case_reopenings limit 1');
    t.notMatch(Buffer.from(kept!.text.slice(2), 'hex').toString('latin1'), /CANARY/, 'the words are sealed');
    ok(await helpline.post(`/v1/cases/${kase.id}/consents`, consentBody()));
  });

  await t.test('age with the person, from the day of the estimate', async t => {
    const kase = await openCase({ person: { estimated_age: 17, sex: 'female' } });
    ok(await helpline.post(`/v1/cases/${kase.id}/consents`, consentBody(MEDICAL.consent as never)));
    clock.advance(366 * DAY);
    await amended(kase.id, { risk: 'low' });
    const refer = () => helpline.post(`/v1/cases/${kase.id}/referrals`, referralBody({ service: 'medical' } as never));
    t.equal(ok(await refer()).profile.age_band, '18-24', 'an amendment of something else makes nobody younger');
    const made = ok(await refer());
    await amended(kase.id, { person: { estimated_age: 12 } });
    t.equal(
      ok(await as('health').get(`/v1/referrals/${made.id}`)).profile.age_band,
      '12-17',
      'another estimate counts, and at once',
    );
  });

  await t.test('leave nothing of a person in clear', async t => {
    const tables = await lookAsOwner<{ name: string }>(
      services,
      `select relname as name from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace`,
    );
    for (const { name } of tables) {
      const [row] = await lookAsOwner<{ text: string | null }>(
        services,
        `select string_agg(to_jsonb(x)::text, ' ') as text from ${name} x`,
      );
      t.notMatch(row!.text ?? '', /CANARY|Testname|Placeholder|1999-04-02|\+999 0000/, name);
    }
  });
});
