import t from 'tap';
import { startTestApp } from '../support/app.ts';
import { entriesFor } from '../support/entries.ts';
import { MEDICAL, NONE } from '../support/journey.ts';
import { type Answer, mechanism } from '../support/mechanism.ts';
import { consentBody, ok, PERSON, referralBody, startNight } from '../support/night.ts';
import { entriesOf } from '../support/trail.ts';

/** `GET /v1/referrals/{id}/candidates`: who could take it, and what of that may be told. */

type Row = Answer['body'];
const pathOf = ({ id }: { id: string }) => `/v1/referrals/${id}/candidates`;

t.test('open places: best first, with reasons, excluded ones behind', async t => {
  const it = await startTestApp(t);
  const { as, agencies } = await mechanism(it);
  const sender = as('helpline_a');
  const admin = as('committee', 'nobody');
  const clinic = as('health', 'supervisor');
  const offer = async (key: 'civil_society' | 'labour_inspection', body: object) =>
    ok(await as(key, 'supervisor').put(`/v1/agencies/${agencies[key].id}/services/medical`, body));
  await offer('civil_society', { languages: ['ar'] });
  await offer('labour_inspection', { sexes: ['male'], protection_statuses: ['citizen'] });
  ok(
    await as('civil_society', 'supervisor').put(`/v1/agencies/${agencies.civil_society.id}/services/medical/capacity`, {
      total: 3,
    }),
  );
  const { referral } = await startNight(sender, {
    kase: { person: { ...PERSON, protection_status: 'refugee' } },
    referral: { ...MEDICAL.referral, lawful_ground: { code: 'imminent_danger_to_life' } },
  });
  const answer = await sender.get(pathOf(referral));
  t.equal(answer.status, 200);
  t.equal(answer.headers['cache-control'], 'no-store');
  t.ok(answer.headers['audit-receipt']);
  t.equal(answer.body.next_cursor, null);
  const [health, none, society] = [agencies.health.id, agencies.labour_inspection.id, agencies.civil_society.id].map(id =>
    answer.body.data.find((row: Row) => row.agency_id === id),
  );
  t.match(society, { kind: 'civil_society', excluded_by: ['asked_before'], places: 'some', available: 3, score: 0 });
  t.match(health, { kind: 'health', excluded_by: NONE, places: 'some', available: null, score: 60 });
  t.match(none, { kind: 'labour_inspection', excluded_by: ['not_eligible'], places: 'some', available: null });
  t.notMatch(none.excluded_by, ['protection_status'], 'medical routing does not look at the status');
  t.equal(answer.body.data.length, 3);
  t.equal(answer.body.data[0].agency_id, health.agency_id, 'whoever could be asked comes first');
  for (const row of answer.body.data) {
    t.equal(
      row.score,
      row.reasons.reduce((sum: number, { points }: Row) => sum + points, 0),
    );
    t.ok(row.reasons.every(({ rule, text }: Row) => /^[a-z_]+$/.test(rule) && text.length > 0));
  }
  t.notMatch(JSON.stringify(answer.body), /Testname|Placeholder|refugee|1999|CANARY/);

  await t.test('the router asks who stands first', async t => {
    const asked = as('civil_society');
    ok(await asked.post(`/v1/referrals/${referral.id}/decline`, { reason_code: 'unsafe' }));
    const first = ok(await clinic.get(`/v1/referrals/${referral.id}`));
    t.equal(first.status, 'offered');
    const rows = ok(await sender.get(pathOf(referral))).data as Row[];
    t.ok(rows.every(row => row.excluded_by.length > 0));
    t.strictSame(rows.find(row => row.agency_id === health.agency_id).excluded_by, ['asked_before']);
    ok(await admin.patch(`/v1/agencies/${agencies.health.id}`, { status: 'suspended' }, { 'if-match': '*' }));
    const again = ok(await sender.get(pathOf(referral))).data as Row[];
    t.strictSame(
      again.find(row => row.agency_id === health.agency_id).excluded_by,
      ['suspended', 'asked_before'],
      'as things are now',
    );
    ok(await admin.patch(`/v1/agencies/${agencies.health.id}`, { status: 'active' }, { 'if-match': '*' }));
  });

  await t.test('the coordinator learns nothing of the person', async t => {
    const rows = ok(await as('committee').get(pathOf(referral))).data as Row[];
    t.strictSame(rows.find(row => row.agency_id === none.agency_id).excluded_by, ['not_eligible']);
    t.equal(rows.length, 3);
  });

  await t.test('page by page', async t => {
    const whole = ok(await sender.get(pathOf(referral)));
    const rows: Row[] = [];
    let cursor = '';
    for (let pages = 1; ; pages += 1) {
      const page = ok(await sender.get(`${pathOf(referral)}?limit=1${cursor}`));
      t.equal(page.data.length, 1);
      rows.push(...page.data);
      if (page.next_cursor === null) {
        t.equal(pages, 3);
        break;
      }
      cursor = `&cursor=${page.next_cursor}`;
    }
    t.strictSame(rows, whole.data);
  });

  await t.test('it is a read that leaves a trace', async t => {
    const [entry] = await entriesFor(as('helpline_a', 'supervisor'), 'action=referral.candidates&order=oldest');
    t.match(entry, {
      receipt: answer.headers['audit-receipt'],
      meta: { outcome: 'read', resource_type: 'referral', actor: { agency_id: agencies.helpline_a.id, caseworker: 'DH-1' } },
      subjects: [{ record: { subject_id: referral.case_id, referral_id: referral.id } }],
    });
  });

  await t.test('sender and coordinator, and nobody else', async t => {
    const path = pathOf(referral);
    const codes = async () => (await entriesOf(it.services, 'referral.candidates')).map(({ code }) => code).at(-1);
    t.match(await clinic.get(path), { status: 403, body: { code: 'forbidden' } }, 'a receiver');
    t.equal(await codes(), 'forbidden');
    t.equal((await as('civil_society').get(path)).status, 403, 'whoever declined');
    t.match(await as('helpline_b').get(path), { status: 404, body: { code: 'not_found' } });
    t.equal(await codes(), 'not_visible');
    t.equal((await as('audit_body').get(path)).status, 404);
    t.equal((await as('helpline_a', 'nobody').get(path)).body.code, 'acting_caseworker_required');
    t.equal((await as('helpline_a', 'worker', ['cases']).get(path)).body.code, 'insufficient_scope');
    t.equal((await as('helpline_a', 'worker', ['referrals.read']).get(path)).status, 200);
    t.equal((await sender.get(`${path}?limit=0`)).status, 400);
    t.equal((await sender.get(`${path}?cursor=x`)).status, 400);
    const screener = { staff_code: 'DH-9', roles: ['screener'] };
    ok(await as('helpline_a', 'supervisor').post(`/v1/agencies/${agencies.helpline_a.id}/caseworkers`, screener));
    t.equal((await sender.get(path, { 'acting-caseworker': 'DH-9' })).body.code, 'forbidden', 'a screener does not refer');
  });

  await t.test('once it has ended there is nobody to ask', async t => {
    ok(await sender.post(`/v1/referrals/${referral.id}/cancel`, { reason_code: 'error' }));
    const refused = await sender.get(pathOf(referral));
    t.match(refused, { status: 409, body: { code: 'wrong_state', state: 'cancelled' } });
    t.strictSame(refused.body.allowed_actions, []);
  });
});

t.test('a sender that is not the owner', async t => {
  const it = await startTestApp(t);
  const { as, agencies } = await mechanism(it);
  const owner = as('helpline_a');
  const sender = as('health');
  ok(
    await as('civil_society', 'supervisor').put(
      `/v1/agencies/${agencies.civil_society.id}/services/legal_aid`,
      {
        protection_statuses: ['citizen'],
      },
      { 'if-match': '*' },
    ),
  );
  const { kase, consent, referral } = await startNight(owner, {
    ...MEDICAL,
    kase: { person: { ...PERSON, protection_status: 'refugee' } },
  });
  ok(await sender.post(`/v1/referrals/${referral.id}/accept`));
  const legal = { service: 'legal_aid', urgency: 'urgent', lawful_ground: { code: 'imminent_danger_to_life' } };
  const on = ok(await sender.post(`/v1/cases/${kase.id}/referrals`, referralBody(legal)));
  const codes = async () => (ok(await sender.get(pathOf(on))).data as Row[]).map(row => row.excluded_by);
  t.strictSame(await codes(), [['not_eligible']], 'is not told of the status by whom it excludes');
  t.match(await owner.get(pathOf(on)), { status: 403, body: { code: 'forbidden' } }, 'the mere owner does not look');
  const own = ok(await owner.post(`/v1/cases/${kase.id}/referrals`, referralBody(legal)));
  t.strictSame(ok(await owner.get(pathOf(own))).data[0].excluded_by, ['protection_status'], 'who owns the case knows it');

  const men = { protection_statuses: ['citizen'], sexes: ['male'] };
  const service = `/v1/agencies/${agencies.civil_society.id}/services/legal_aid`;
  ok(await as('civil_society', 'supervisor').put(service, men, { 'if-match': '*' }));
  t.strictSame(await codes(), [['sex', 'not_eligible']], 'a holder knows the profile');
  ok(await owner.post(`/v1/consents/${consent.id}/withdraw`, { spoken_in_private: true, stop_service: true }));
  t.strictSame(await codes(), [['not_eligible']], 'who holds it no more does not');
});

t.test('protected places', async t => {
  const it = await startTestApp(t);
  const { as, agencies } = await mechanism(it);
  const sender = as('helpline_a');
  const ids = new RegExp(`${agencies.shelter_a.id}|${agencies.shelter_b.id}|Cedar|Olive`);
  const supervisor = { a: as('shelter_a', 'supervisor'), b: as('shelter_b', 'supervisor') };
  const serviceOf = (key: 'shelter_a' | 'shelter_b') => `/v1/agencies/${agencies[key].id}/services/shelter_accommodation`;
  // What the directory says openly of one of them must not be found again in what is told here.
  const { duty_contact } = ok(await supervisor.a.get(`/v1/agencies/${agencies.shelter_a.id}`));
  ok(
    await supervisor.a.patch(
      `/v1/agencies/${agencies.shelter_a.id}`,
      { languages: ['ar'], operating_mode: 'reduced' },
      { 'if-match': '*' },
    ),
  );
  const { kase, referral } = await startNight(sender);
  ok(await sender.post(`/v1/referrals/${referral.id}/cancel`, { reason_code: 'error' }));

  const refer = async (more: object) => ok(await sender.post(`/v1/cases/${kase.id}/referrals`, referralBody(more as never)));
  const hiddenOf = (rows: Row[]) => rows.filter(({ placed }) => placed);
  const first = await refer({ routing: 'direct', recipient_agency_id: agencies.shelter_a.id });
  ok(await as('shelter_a').post(`/v1/referrals/${first.id}/decline`, { reason_code: 'unsafe' }));
  const open = await refer({ excluded_agencies: [agencies.shelter_b.id], urgency: 'routine' });

  for (const reader of [sender, as('committee')]) {
    for (const path of [pathOf(first), pathOf(open)]) {
      const { data } = ok(await reader.get(path)) as { data: Row[] };
      t.notMatch(JSON.stringify(data), ids, 'no name of a hidden place');
      t.equal(data.length, 3);
      const hidden = hiddenOf(data);
      t.equal(hidden.length, 2);
      for (const row of hidden) {
        t.strictSame(Object.keys(row).sort(), ['excluded_by', 'placed', 'places', 'reasons', 'score']);
        t.match(row, { placed: { region: 'XA-1', duty_contact: /^duty desk/ }, places: 'some' });
        t.notMatch(JSON.stringify(row.reasons), /language|mode|capacity|usual|reduced/);
      }
      t.ok(hidden.every(row => row.excluded_by.every((code: string) => code === 'not_told')));
      const harbour = data.find(row => row.agency_id === agencies.shelter_c.id);
      t.match(harbour, { kind: 'shelter', available: 4, excluded_by: [reader === sender ? 'sex' : 'not_eligible'] });
    }
  }
  // Declined by itself, and excluded by the sender: the same words.
  const excludedOf = async (path: string) =>
    hiddenOf(ok(await sender.get(path)).data)
      .filter(row => row.excluded_by.length > 0)
      .map(({ placed: _, ...row }) => row);
  t.strictSame([...new Set((await excludedOf(pathOf(first))).map(row => JSON.stringify(row)))].length, 1);
  t.strictSame((await excludedOf(pathOf(first)))[0], (await excludedOf(pathOf(open)))[0]);

  await t.test('no numbers', async t => {
    ok(await supervisor.b.put(`${serviceOf('shelter_b')}/capacity`, { total: 1 }));
    const told = async () =>
      hiddenOf(ok(await sender.get(pathOf(open))).data)
        .map(({ placed, ...row }) => ({ ...row, a: placed.duty_contact === duty_contact }))
        .find(({ a }) => !a);
    const one = await told();
    ok(await supervisor.b.put(`${serviceOf('shelter_b')}/capacity`, { total: 90 }));
    t.match(one, { places: 'some', excluded_by: ['not_told'] });
    t.strictSame(await told(), one, 'one place or ninety');
    ok(await supervisor.b.put(`${serviceOf('shelter_b')}/capacity`, { total: 0 }));
    t.match(await told(), { places: 'none', excluded_by: ['no_capacity'] });
  });

  await t.test('a grant that names it lifts the name, not the numbers', async t => {
    ok(await sender.post(`/v1/cases/${kase.id}/consents`, consentBody({ recipient: { agency_id: agencies.shelter_a.id } })));
    const rows = ok(await sender.get(pathOf(first))).data as Row[];
    const cedar = rows.find(row => row.agency_id === agencies.shelter_a.id);
    t.match(cedar, { kind: 'shelter', excluded_by: ['asked_before'], places: 'some' });
    t.notOk('available' in cedar);
    t.equal(hiddenOf(rows).length, 1);
    t.notMatch(JSON.stringify(rows), new RegExp(agencies.shelter_b.id));
  });
});

t.test('identification is a competent authority’s alone', async t => {
  const it = await startTestApp(t);
  const { as, agencies } = await mechanism(it);
  const sender = as('helpline_a');
  const lantern = agencies.civil_society.id;
  ok(await as('civil_society', 'supervisor').put(`/v1/agencies/${lantern}/services/identification`, {}));
  const lawful_ground = { code: 'imminent_danger_to_life' };
  const asked = { service: 'identification', urgency: 'routine', lawful_ground };
  const { kase, referral } = await startNight(sender, { referral: asked });
  t.equal(referral.offer.agency_id, agencies.prosecution.id);
  const rows = ok(await sender.get(pathOf(referral))).data as Row[];
  t.strictSame(rows.find(row => row.agency_id === lantern).excluded_by, ['not_competent', 'route']);

  const named = { ...asked, routing: 'direct', recipient_agency_id: lantern };
  const refused = await sender.post(`/v1/cases/${kase.id}/referrals`, referralBody(named));
  t.match(refused, { status: 422, body: { code: 'not_offered' } });
  const reroute = { agency_id: lantern, reason_code: 'better_match' };
  for (const key of ['helpline_a', 'committee'] as const) {
    t.match(await as(key).post(`/v1/referrals/${referral.id}/reroute`, reroute), { status: 422, body: { code: 'not_offered' } });
  }
  ok(await as('prosecution').post(`/v1/referrals/${referral.id}/decline`, { reason_code: 'out_of_area' }));
  t.equal(ok(await sender.get(`/v1/referrals/${referral.id}`)).status, 'unplaced', 'nor by the router');

  const admin = as('committee', 'nobody');
  ok(await admin.patch(`/v1/agencies/${lantern}`, { competent_authority: true }, { 'if-match': '*' }));
  t.equal(ok(await sender.post(`/v1/referrals/${referral.id}/reroute`, reroute)).offer.agency_id, lantern);
});
