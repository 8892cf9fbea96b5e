import t, { type Test } from 'tap';
import type { ExpertRequestRow } from '../../src/experts/store.ts';
import { asSystem, type Tx, transact } from '../../src/platform/database.ts';
import { newId } from '../../src/platform/ids.ts';
import { startTestApp } from '../support/app.ts';
import { everyRow, noCanaries } from '../support/canaries.ts';
import { drain } from '../support/drain.ts';
import { entriesFor } from '../support/entries.ts';
import { CONTACT, expertBody, experts } from '../support/experts.ts';
import { eventsOf } from '../support/journey.ts';
import { type Client, mechanism } from '../support/mechanism.ts';
import { caseBody, ok, startNight } from '../support/night.ts';
import { shipped } from '../support/rule-packs.ts';
import { entriesOf, lookAsOwner } from '../support/trail.ts';
import { demoActors } from '../support/webhooks.ts';

/** Experts whom agencies keep on their rosters, and requests for them: who finds whom, who answers, and who learns what. */

t.setTimeout(180_000);

const RELATIVE = { kind: 'relative', given_name: 'Testbrother', family_name: 'Al-Suspect', date_of_birth: '1980-05-06' };
const SUSPECT = { given_name: 'testbrother', family_name: 'SUSPECT', role: 'suspect' };
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

async function start(t: Test) {
  const lines: string[] = [];
  const test = await startTestApp(t, { LOG_LEVEL: 'trace' }, { write: line => void lines.push(line) });
  const them = await mechanism(test);
  return { ...test, ...them, ...experts(test, them), lines };
}
type Started = Awaited<ReturnType<typeof start>>;

const typesOf = async ({ services }: Started, who: Client, id: string) =>
  (await eventsOf(services, who)).filter(({ data }) => (data as { expert_request_id?: string }).expert_request_id === id);
const told = async (it: Started, who: Client, id: string) => (await typesOf(it, who, id)).map(({ type }) => type);

t.test('an agency keeps its roster, and nobody else reads it', async t => {
  const it = await start(t);
  const { keeper, requester, enter, as } = it;
  const made = await keeper.post('/v1/experts', expertBody({ conflicts: { relations: [RELATIVE] } }));
  t.match(made, { status: 201, headers: { location: `/v1/experts/${made.body.id}` } });
  t.match(made.body, { agency_id: it.agencies.civil_society.id, status: 'active', contact: CONTACT, remote: false, regions: [] });
  t.strictSame(made.body.conflicts, { relations: [{ kind: 'relative' }], agency_ids: [] }, 'names come back in no answer');
  const path = `/v1/experts/${made.body.id}`;

  const changed = await keeper.patch(
    path,
    { contact: { phone: null }, languages: [{ tag: 'ase', level: 'fluent', modes: ['sign'] }] },
    { 'if-match': '"1"' },
  );
  t.match(changed.body, { version: 2, contact: { ...CONTACT, phone: null }, languages: [{ tag: 'ase' }] });
  t.strictSame(changed.body.conflicts, made.body.conflicts, 'what is not said stays');
  t.equal((await keeper.patch(path, {}, { 'if-match': '"1"' })).status, 412);
  t.equal((await keeper.patch(path, {})).status, 428);
  t.strictSame(ok(await as('civil_society').get(path)).contact, { ...CONTACT, phone: null }, 'caseworkers answer for them');

  const more = await enter({ skills: ['psychology'], status: 'suspended' });
  const idsOf = async (query: string) => ok(await keeper.get(`/v1/experts${query}`)).data.map((x: { id: string }) => x.id);
  t.strictSame(await idsOf(''), [more.id, made.body.id]);
  t.strictSame(await idsOf('?skill=psychology'), [more.id]);
  t.strictSame(await idsOf('?status=active'), [made.body.id]);
  t.notOk('contact' in ok(await keeper.get('/v1/experts')).data[0], 'a list shows no contact');

  for (const who of [requester, as('committee'), as('committee', 'nobody'), as('audit_body'), as('health', 'supervisor')]) {
    t.ok([400, 404, 403].includes((await who.get(path)).status));
    t.not((await who.patch(path, { status: 'suspended' }, { 'if-match': '*' })).status, 200);
  }
  t.equal((await as('civil_society').post('/v1/experts', expertBody())).status, 403, 'supervisors keep it');
});

t.test('what makes no sense is refused by its pointer', async t => {
  const { keeper, requester, enter, matchBody, requestBody } = await start(t);
  const rows: [object, string][] = [
    [{ languages: [{ tag: 'ab-cd-ef', level: 'native', modes: ['spoken'] }] }, '/languages/0/tag'],
    [{ regions: ['XB-1'] }, '/regions/0'],
    [{ unavailable: [{ from: '2026-12-02T00:00:00Z', to: '2026-12-01T00:00:00Z' }] }, '/unavailable/0/to'],
    [
      { availability: [{ freq: 'WEEKLY', byday: 'MO', opens_at: '08:00', closes_at: '12:00', timezone: 'Nowhere' }] },
      '/availability/0/timezone',
    ],
  ];
  for (const [more, pointer] of rows)
    t.match(await keeper.post('/v1/experts', expertBody(more)), { status: 422, body: { errors: [{ pointer }] } }, pointer);
  const { id } = await enter();
  const { from, to } = matchBody();
  const spans: [object, string][] = [
    [{ from: to, to: from }, '/to'],
    [{ from: '2026-01-01T00:00:00Z', to: '2026-01-01T01:00:00Z' }, '/to'],
    [{ from, to: '2027-06-01T00:00:00Z' }, '/to'],
    [{ from: '9000-01-01T00:00:00Z', to: '9000-01-02T00:00:00Z' }, '/from'],
  ];
  for (const [span, pointer] of spans) {
    const expected = { status: 422, body: { errors: [{ pointer }] } };
    t.match(await requester.post('/v1/experts/match', matchBody(span)), expected);
    t.match(await requester.post('/v1/expert-requests', requestBody(id, span)), expected);
  }
  const refused = (more: object) => requester.post('/v1/expert-requests', requestBody(id, more));
  t.match(await refused({ language: 'ab-cd-ef' }), { status: 422, body: { errors: [{ pointer: '/language' }] } });
  t.match(await refused({ jurisdiction: undefined }), { status: 422, body: { errors: [{ pointer: '/jurisdiction' }] } });
});

t.test('experts are found, best first, without names', async t => {
  const { enter, match, requester, matchBody, agencies } = await start(t);
  const spoken = await enter({ languages: [{ tag: 'ku-Latn', level: 'fluent', modes: ['spoken', 'written'] }] });
  const native = await enter({ certifications: [{ course: 'C', completed_on: '2026-01-01', expires_on: null }] });
  await enter({ skills: ['psychology'] });
  await enter({ status: 'suspended' });
  await enter({ jurisdictions: ['XB'] });
  t.strictSame(await match({ languages: ['ku-Arab'], modes: ['spoken'] }), [native.id, spoken.id]);
  t.strictSame(await match({ languages: ['ku-Arab'], modes: ['written'] }), [native.id]);
  t.strictSame(await match({ sex: 'male' }), []);
  const { data } = ok(await requester.post('/v1/experts/match', matchBody({ languages: ['ku'] })));
  t.strictSame(Object.keys(data[0]).sort(), [
    'agency_id',
    'id',
    'languages',
    'reasons',
    'regions',
    'remote',
    'score',
    'sex',
    'skills',
  ]);
  t.equal(data[0].agency_id, agencies.civil_society.id);
  t.same(data, ok(await requester.post('/v1/experts/match', matchBody({ languages: ['ku'] }))).data, 'the same again');
});

t.test('a relative of the suspect is never matched, nor asked, however the name is written', async t => {
  const { enter, match, requester, requestBody, declare } = await start(t);
  const relative = await enter({ conflicts: { relations: [RELATIVE] } });
  const other = await enter();
  t.strictSame((await match()).sort(), [relative.id, other.id].sort());
  const spellings = [
    SUSPECT,
    { ...SUSPECT, given_name: 'SUSPECT', family_name: 'Testbróther' },
    { ...SUSPECT, given_name: 'Testbrother Middle' },
    { ...SUSPECT, family_name: 'Sospekt', date_of_birth: '1980-05-06' },
    { ...SUSPECT, date_of_birth: '1999-01-01' },
    { ...SUSPECT, given_name: 'تست', family_name: 'مشتبه', date_of_birth: '1980-05-06' },
  ];
  for (const suspect of spellings) {
    t.strictSame(await match({ against: [suspect] }), [other.id], `${suspect.given_name} ${suspect.family_name}`);
    const refused = await requester.post('/v1/expert-requests', requestBody(relative.id, { against: [suspect] }));
    t.match(refused, { status: 409, body: { code: 'not_available' } });
  }
  const suspended = await enter({ status: 'suspended' });
  const refusal = async (id: string, more: object = {}) => {
    const { status, body } = await requester.post('/v1/expert-requests', requestBody(id, more));
    return { status, body: { ...body, request_id: '' } };
  };
  const tied = await refusal(relative.id, { against: [SUSPECT] });
  t.strictSame(await refusal(other.id, { mode: 'phone' }), tied, 'who does not do it: nobody is told why');
  t.strictSame(await refusal(suspended.id), tied, 'who is suspended');
  t.strictSame(await refusal('xpt_01jd0000000000000000000000'), tied, 'who does not exist');
  await declare(relative, { relations: [] });
  t.ok((await match({ against: [SUSPECT] })).includes(relative.id));
});

t.test('an expert never meets the person of the case, nor works for both sides', async t => {
  const { enter, match, requester, as, agencies, matchBody } = await start(t);
  const kase = ok(await requester.post('/v1/cases', caseBody()));
  const cousin = await enter({
    conflicts: { relations: [{ kind: 'relative', given_name: 'PLACEHOLDER', family_name: 'Testname' }] },
  });
  const employed = await enter({ conflicts: { agency_ids: [agencies.helpline_a.id] } });
  t.strictSame(await match({ case_id: kase.id }), []);
  t.strictSame(await match(), [cousin.id], 'without the case nobody knows whom it is about');
  t.strictSame((await match({}, as('health'))).sort(), [cousin.id, employed.id].sort());
  const foreign = await as('helpline_b').post('/v1/experts/match', matchBody({ case_id: kase.id }));
  t.equal(foreign.status, 404, 'whose case it is not');
});

t.test('asked, confirmed, done', async t => {
  const it = await start(t);
  const { enter, request, answer, look, keeper, requester, agencies, clock, services } = it;
  const kase = ok(await requester.post('/v1/cases', caseBody()));
  const expert = await enter();
  const note = 'CANARY-XNOTE second door';
  const made = await request(expert.id, {
    case_id: kase.id,
    against: [SUSPECT],
    note,
    jurisdiction: undefined,
    region: undefined,
  });
  t.match(made, {
    status: 'requested',
    case_id: kase.id,
    jurisdiction: 'XA',
    region: 'XA-1',
    against: ['suspect', 'person'],
    note,
    allowed_actions: ['cancel'],
    due_at: new Date(clock.now().getTime() + 24 * HOUR).toISOString(),
  });
  t.notOk('contact' in made);
  const seen = await look(keeper, made);
  for (const field of ['case_id', 'against', 'note', 'contact', 'staff_code'])
    t.notOk(field in seen, `the keeper sees no ${field}`);
  t.strictSame(seen.allowed_actions, ['confirm', 'decline']);
  t.match((await typesOf(it, keeper, made.id))[0], {
    type: 'expert.requested',
    data: { expert_id: expert.id, agency_id: agencies.helpline_a.id, urgency: 'urgent', due_at: made.due_at },
  });

  t.match((await answer(it.as('civil_society'), made, 'confirm')).body, { status: 'confirmed', due_at: null });
  t.strictSame((await look(requester, made)).contact, CONTACT);
  t.notOk('contact' in (await look(keeper, made)));
  t.notOk('contact' in ok(await requester.get('/v1/expert-requests')).data[0]);
  t.strictSame(await told(it, requester, made.id), ['expert.confirmed']);
  const [timer] = ok(await requester.get(`/v1/timers?subject_id=${made.id}`)).data;
  t.match(timer, { name: 'respond', state: 'met', subject: { type: 'expert_request', id: made.id } });
  t.notOk('case_id' in timer);

  t.match((await answer(requester, made, 'complete')).body, { status: 'completed', allowed_actions: [] });
  t.notOk('contact' in (await look(requester, made)), 'it is over');
  const reads = await entriesOf(services, 'expert_request.read');
  t.equal(reads.filter(({ agency_id }) => agency_id === agencies.helpline_a.id).length, 2, 'each read is in the trail');
});

t.test('how to reach the expert is shown until a day after, and to nobody once it is cancelled', async t => {
  const it = await start(t);
  const { enter, request, answer, look, keeper, requester, clock } = it;
  const expert = await enter();
  const made = await request(expert.id);
  ok(await answer(keeper, made, 'confirm'));
  clock.advance(48 * HOUR + 2 * HOUR + 24 * HOUR - 1);
  t.ok('contact' in (await look(requester, made)));
  clock.advance(1);
  t.notOk('contact' in (await look(requester, made)));

  const other = await request(expert.id);
  ok(await answer(keeper, other, 'confirm'));
  t.ok('contact' in (await look(requester, other)));
  ok(await answer(keeper, other, 'cancel', { reason_code: 'no_longer_available' }));
  t.notOk('contact' in (await look(requester, other)));
  t.strictSame(await told(it, requester, other.id), ['expert.confirmed', 'expert.cancelled']);
});

t.test('each act × whoever may not', async t => {
  const it = await start(t);
  const { enter, request, answer, keeper, requester, as, requestBody } = it;
  const expert = await enter();
  const acts: [string, object, 'requested' | 'confirmed', Client, Client][] = [
    ['confirm', {}, 'requested', keeper, requester],
    ['decline', { reason_code: 'unsafe' }, 'requested', keeper, requester],
    ['cancel', { reason_code: 'error' }, 'requested', requester, keeper],
    ['complete', {}, 'confirmed', requester, keeper],
  ];
  for (const [verb, body, state, by, other] of acts) {
    const made = await request(expert.id);
    if (state === 'confirmed') ok(await answer(keeper, made, 'confirm'));
    for (const who of [as('helpline_b'), as('committee'), as('audit_body'), as('health', 'supervisor')])
      t.equal((await answer(who, made, verb, body)).status, 404, `${verb}: a stranger`);
    t.ok([403, 409].includes((await answer(other, made, verb, body)).status), `${verb}: the other side`);
    t.equal((await by.post(`/v1/expert-requests/${made.id}/${verb}`, body, { 'if-match': '"9"' })).status, 412);
    t.equal((await answer(by, made, verb, body)).status, 200, verb);
    t.match(await answer(by, made, verb, body), { status: 409, body: { code: 'wrong_state', allowed_actions: [] } });
    if (verb === 'confirm') ok(await answer(requester, made, 'cancel', { reason_code: 'rescheduled' }));
  }
  t.equal((await as('audit_body').post('/v1/expert-requests', requestBody(expert.id))).status, 403);
});

t.test('the lists of both sides', async t => {
  const { enter, request, answer, keeper, requester, as } = await start(t);
  const expert = await enter();
  const first = await request(expert.id);
  const second = await request(expert.id, {}, as('health'));
  ok(await answer(keeper, first, 'decline', { reason_code: 'no_capacity' }));
  const idsOf = async (who: Client, query = '') =>
    ok(await who.get(`/v1/expert-requests${query}`)).data.map(({ id }: { id: string }) => id);
  t.strictSame(await idsOf(keeper), [second.id, first.id]);
  t.strictSame(await idsOf(keeper, '?box=incoming&status=requested'), [second.id]);
  t.strictSame(await idsOf(keeper, '?box=outgoing'), []);
  t.strictSame(await idsOf(requester, '?box=outgoing'), [first.id]);
  t.strictSame(await idsOf(requester, '?box=incoming'), []);
  t.strictSame(await idsOf(as('shelter_c')), []);
});

t.test('a clock runs until there is an answer', async t => {
  const it = await start(t);
  const { enter, request, keeper, requester, as, clock, services, look, match } = it;
  const expert = await enter();
  const made = await request(expert.id);
  clock.advance(12 * HOUR);
  await drain(services);
  t.strictSame(await told(it, keeper, made.id), ['expert.requested', 'timer.warned']);
  clock.advance(12 * HOUR);
  await drain(services);
  t.strictSame((await told(it, requester, made.id)).sort(), ['expert.expired', 'timer.breached']);
  t.ok((await told(it, as('committee'), made.id)).includes('timer.breached'), 'the coordinator is told of what went wrong');
  t.match(await look(requester, made), { status: 'expired', allowed_actions: [] });
  t.match((await entriesOf(services, 'expert_request.expire'))[0], { client_id: 'system:matcher' });
  t.equal((await it.answer(keeper, made, 'confirm')).status, 409, 'too late');
  t.ok((await match()).includes(expert.id), 'another may be asked, or the same');
  clock.advance(72 * HOUR);
  await drain(services);
  t.equal((await told(it, requester, made.id)).filter(type => type === 'expert.expired').length, 1);
});

t.test('an emergency is answered within the hour, and somebody is called', async t => {
  const it = await start(t);
  const { enter, request, keeper, requester, clock, services, as } = it;
  const expert = await enter();
  const made = await request(expert.id, { urgency: 'emergency' });
  const [timer] = ok(await keeper.get(`/v1/timers?subject_id=${made.id}`)).data;
  t.match(timer, { urgency: 'emergency', due_at: new Date(clock.now().getTime() + HOUR).toISOString() });
  t.equal((await keeper.post(`/v1/timers/${timer.id}/pause`, { reason_code: 'force_majeure' })).status, 403);
  const rest = await as('committee').post(`/v1/timers/${timer.id}/pause`, { reason_code: 'force_majeure' });
  t.equal(rest.status, 409, 'it never rests');
  clock.advance(HOUR);
  await drain(services);
  t.equal((await it.look(requester, made)).status, 'expired');
});

t.test('the time of a confirmed request is taken', async t => {
  const { enter, request, answer, keeper, requester, as, match, time, requestBody } = await start(t);
  const expert = await enter();
  const first = await request(expert.id, time(48, 2));
  const second = await request(expert.id, time(49, 2), as('health'));
  const after = await request(expert.id, time(50, 1), as('shelter_c'));
  const answers = await Promise.all([answer(keeper, first, 'confirm'), answer(as('civil_society'), second, 'confirm')]);
  t.strictSame(answers.map(({ status }) => status).sort(), [200, 409], 'of two at once one');
  t.match(answers.find(({ status }) => status === 409)!.body, { code: 'not_available' });
  if (answers[0]!.status === 200) t.equal((await answer(keeper, after, 'confirm')).status, 200, 'one after another');
  t.strictSame(await match(time(49, 1)), []);
  t.equal((await requester.post('/v1/expert-requests', requestBody(expert.id, time(49, 1)))).status, 409);
  t.strictSame(await match(time(60, 1)), [expert.id]);
});

t.test('a conflict that becomes known later ends what is open, and tells nobody which of it was meant', async t => {
  const it = await start(t);
  const { enter, request, answer, keeper, requester, declare, look, as } = it;
  const expert = await enter();
  const kase = ok(await requester.post('/v1/cases', caseBody()));
  const asked = await request(expert.id, { case_id: kase.id, against: [SUSPECT] });
  const confirmed = await request(expert.id, { ...it.time(60), against: [SUSPECT] });
  const free = await request(expert.id, it.time(70), as('health'));
  ok(await answer(keeper, confirmed, 'confirm'));
  const changed = await declare(expert, { relations: [RELATIVE] });
  t.strictSame(changed.conflicts.relations, [{ kind: 'relative' }]);
  for (const made of [asked, confirmed]) {
    t.match(await look(requester, made), { status: 'cancelled', reason_code: 'no_longer_available' });
    const events = await typesOf(it, requester, made.id);
    t.match(events.at(-1), { type: 'expert.cancelled', data: { reason_code: 'no_longer_available' } });
  }
  t.notOk('contact' in (await look(requester, confirmed)));
  t.match(await look(as('health'), free), { status: 'cancelled', reason_code: 'no_longer_available' });
  const another = await request(expert.id, it.time(70), as('health'));
  t.equal(another.status, 'requested', 'and whoever asked asks anew');
});

t.test('nobody finds a protected place by an expert who is missing', async t => {
  const it = await start(t);
  const { enter, match, requester, agencies } = it;
  const { kase, referral } = await startNight(requester, {
    referral: { routing: 'direct', recipient_agency_id: agencies.shelter_a.id },
  });
  const [at_shelter, elsewhere] = [
    await enter({ conflicts: { agency_ids: [agencies.shelter_a.id] } }),
    await enter({ conflicts: { agency_ids: [agencies.shelter_b.id] } }),
  ];
  await lookAsOwner(it.services, 'update offers set location_protected = true where referral_id = $1', [referral.id]);
  t.strictSame((await match({ case_id: kase.id })).sort(), [at_shelter.id, elsewhere.id].sort());
});

t.test('what is confirmed is looked at again', async t => {
  const { enter, request, answer, keeper, requester, clock, time } = await start(t);
  const path = async (more: Record<string, unknown>) => `/v1/cases/${ok(await requester.post('/v1/cases', caseBody(more))).id}`;
  const case_path = await path({ person: { given_name: 'Unknown', family_name: 'Somebody' } });
  const expert = await enter({ conflicts: { relations: [RELATIVE] } });
  const made = await request(expert.id, { case_id: case_path.split('/').at(-1), ...time(60) });
  const person = { given_name: 'Suspect', family_name: 'Testbrother' };
  ok(await requester.patch(case_path, { person }, { 'if-match': '*' }));
  const refused = { status: 409, body: { code: 'not_available' } };
  t.match(await answer(keeper, made, 'confirm'), refused, 'the person has got a name since');

  const other = await enter();
  const soon = await request(other.id, time(1, 1));
  const later = await request(other.id, time(80));
  clock.advance(2 * HOUR);
  t.match(await answer(keeper, soon, 'confirm'), refused, 'it is over');
  ok(await keeper.patch(`/v1/experts/${other.id}`, { status: 'suspended' }, { 'if-match': '*' }));
  t.match(await answer(keeper, later, 'confirm'), refused, 'the expert was suspended');
});

t.test('an agency that is closed or suspended is asked for nobody, and promises nobody', async t => {
  const { enter, request, answer, keeper, requester, match, agencies, requestBody, as } = await start(t);
  const expert = await enter();
  const path = `/v1/agencies/${agencies.civil_society.id}`;
  const set = async (who: Client, change: object) => ok(await who.patch(path, change, { 'if-match': '*' }));
  const refused = { status: 409, body: { code: 'not_available' } };
  const ask = () => requester.post('/v1/expert-requests', requestBody(expert.id));

  const made = await request(expert.id);
  await set(keeper, { operating_mode: 'closed' });
  t.strictSame(await match(), []);
  t.match(await ask(), refused);
  t.match(await answer(keeper, made, 'confirm'), refused);
  await set(keeper, { operating_mode: 'reduced' });
  t.strictSame(await match(), [expert.id]);
  t.match(await answer(keeper, made, 'confirm'), { status: 200 });

  await set(as('committee', 'nobody'), { status: 'suspended' });
  t.strictSame(await match(), []);
  t.match(await ask(), refused);
});

t.test('what a suspended expert or agency was asked for is called off, and whoever asked is told', async t => {
  const it = await start(t);
  const { enter, request, answer, look, keeper, requester, as, agencies, clock, services, time } = it;
  const expert = await enter();
  const others = await enter();
  const past = await request(expert.id, time(1, 1));
  const asked = await request(expert.id, time(60));
  const promised = await request(expert.id, time(70));
  const of_other = await request(others.id, time(70));
  for (const made of [past, promised, of_other]) ok(await answer(keeper, made, 'confirm'));
  clock.advance(3 * HOUR);
  ok(await keeper.patch(`/v1/experts/${expert.id}`, { status: 'suspended' }, { 'if-match': '*' }));
  await drain(services);
  for (const made of [asked, promised]) {
    t.match(await look(requester, made), { status: 'cancelled', reason_code: 'no_longer_available', allowed_actions: [] });
    t.match((await typesOf(it, requester, made.id)).at(-1), { type: 'expert.cancelled', data: { expert_id: expert.id } });
  }
  t.match(await look(requester, past), { status: 'confirmed' }, 'what is past stays as it was');
  t.match(await look(requester, of_other), { status: 'confirmed' });

  const path = `/v1/agencies/${agencies.civil_society.id}`;
  ok(await keeper.patch(path, { operating_mode: 'closed' }, { 'if-match': '*' }));
  await drain(services);
  t.match(await look(requester, of_other), { status: 'confirmed' }, 'whoever is closed keeps its promises');
  ok(await as('committee', 'nobody').patch(path, { status: 'suspended' }, { 'if-match': '*' }));
  await drain(services);
  const seen = await look(requester, of_other);
  t.match(seen, { status: 'cancelled', reason_code: 'no_longer_available' });
  t.notOk('contact' in seen);
  t.strictSame((await told(it, requester, of_other.id)).at(-1), 'expert.cancelled');
});

t.test('a crisis that closes agencies closes their rosters', async t => {
  const { enter, match, as } = await start(t);
  const expert = await enter();
  const pack = shipped('XA');
  const plan = { ...pack.crisis_plans[0]!, operating_modes: [{ agency_kinds: ['civil_society'], mode: 'closed' }] };
  const rules = { ...pack, crisis_plans: [plan] };
  ok(await as('committee', 'nobody').put('/v1/jurisdictions/XA/rule-pack', rules, { 'if-match': '*' }));
  t.strictSame(await match(), [expert.id]);
  const crisis = { kind: plan.kind, phase: 'response', regions: ['XA-1'], reason: 'shelling' };
  ok(await as('committee').post('/v1/jurisdictions/XA/crisis-modes', crisis));
  t.strictSame(await match({ region: 'XA-1' }), []);
  t.strictSame(await match({ region: 'XA-2' }), [expert.id], 'where there is none');
});

t.test('what a request says is kept until it is over, and no longer', async t => {
  const it = await start(t);
  const { enter, request, answer, look, keeper, requester, clock, services, time, declare } = it;
  const kase = ok(await requester.post('/v1/cases', caseBody()));
  const said = { note: 'second door', against: [SUSPECT] };
  const kept = async ({ id }: { id: string }) => {
    const text = 'select case_id, sealed from expert_request_details where request_id = $1';
    const [row] = await lookAsOwner<{ case_id: string | null; sealed: Buffer | null }>(services, text, [id]);
    return { case_id: row!.case_id, says_something: row!.sealed !== null };
  };
  const ends: [string, (made: { id: string }) => Promise<unknown>][] = [
    ['declined', async made => ok(await answer(keeper, made, 'decline', { reason_code: 'unsafe' }))],
    ['cancelled', async made => ok(await answer(requester, made, 'cancel', { reason_code: 'error' }))],
    [
      'completed',
      async made => {
        ok(await answer(keeper, made, 'confirm'));
        t.match(await look(requester, made), { note: said.note, against: ['suspect', 'person'] }, 'it is not over');
        ok(await answer(requester, made, 'complete'));
      },
    ],
    [
      'expired',
      async () => {
        clock.advance(25 * HOUR);
        await drain(services);
      },
    ],
  ];
  for (const [status, end] of ends) {
    const made = await request((await enter()).id, { ...said, case_id: kase.id });
    t.ok((await kept(made)).says_something);
    await end(made);
    const seen = await look(requester, made);
    t.match(seen, { status, case_id: kase.id });
    for (const field of ['note', 'against']) t.notOk(field in seen, `${status}: no ${field}`);
    t.strictSame(await kept(made), { case_id: kase.id, says_something: false });
  }

  // Nobody says that the expert was there.
  const expert = await enter();
  const made = await request(expert.id, { ...said, ...time(2, 1) });
  ok(await answer(keeper, made, 'confirm'));
  clock.advance(27 * HOUR - 1);
  await drain(services);
  t.match(await look(requester, made), { note: said.note }, 'somebody may still have to know');
  clock.advance(1);
  await drain(services);
  t.notOk('note' in (await look(requester, made)));
  t.notOk((await kept(made)).says_something);
  t.match(await entriesOf(services, 'expert_request.wipe_details'), [{ client_id: 'system:matcher' }]);
  await declare(expert, { relations: [RELATIVE] });
  t.match(await look(requester, made), { status: 'confirmed' }, 'what is past is not called off');
  t.match((await answer(requester, made, 'complete')).body, { status: 'completed' });
});

t.test('nothing of anybody is told or kept in clear', async t => {
  const it = await start(t);
  const { enter, request, answer, keeper, requester, as, services, look, lines, declare } = it;
  const expert = await enter({ conflicts: { relations: [{ ...RELATIVE, given_name: 'CANARYTIE', family_name: 'CANARYKIN' }] } });
  const kase = ok(await requester.post('/v1/cases', caseBody()));
  const against = [{ given_name: 'CANARYSUSPECT', family_name: 'CANARYBOSS', role: 'employer' }];
  const made = await request(expert.id, { case_id: kase.id, against, note: 'CANARY-XNOTE' });
  ok(await answer(keeper, made, 'confirm'));
  t.strictSame((await look(requester, made)).contact, CONTACT);
  await drain(services);

  const words = ['CANARY-EXPERT', 'CANARY-PHONE', 'canary-mail'];
  const persons = ['CANARYTIE', 'CANARYKIN', 'CANARYSUSPECT', 'CANARYBOSS', 'CANARY-XNOTE'];
  for (const { table, rows } of await everyRow(services)) noCanaries(t, [...words, ...persons], table, rows);
  noCanaries(t, [...words, ...persons], 'the log', lines);
  const others = [as('committee'), as('committee', 'supervisor'), as('audit_body'), as('helpline_b', 'supervisor'), keeper];
  const paths = [
    `/v1/expert-requests/${made.id}`,
    '/v1/expert-requests',
    '/v1/experts',
    '/v1/timers',
    '/v1/events',
    '/v1/audit/entries',
    `/v1/cases/${kase.id}`,
  ];
  for (const who of others)
    for (const path of paths) {
      const answer = await who.get(path);
      noCanaries(t, [...words, ...persons], `${who.agency.client_id} ${path}`, [JSON.stringify(answer.body)]);
    }
  for (const path of paths.slice(1)) {
    const answer = await requester.get(path);
    noCanaries(t, words, `the requester's ${path}`, [JSON.stringify(answer.body)]);
  }
  for (const who of others.slice(0, 4)) t.equal((await who.get(`/v1/experts/${expert.id}`)).body.contact, undefined);
  const entries = await entriesFor(as('audit_body', 'supervisor'));
  noCanaries(t, [...words, ...persons], 'the trail', [JSON.stringify(entries)]);

  // With the key of the case nothing of its persons is left.
  await lookAsOwner(services, 'delete from case_keys where case_id = $1', [kase.id]);
  const left = await look(requester, made);
  for (const field of ['case_id', 'against', 'note']) t.notOk(field in left);
  await declare(expert, { relations: [] });
  t.match(await look(requester, made), { status: 'cancelled' }, 'what can be compared no longer is not kept open');
});

t.test('row-level security alone denies', async t => {
  const it = await start(t);
  const { enter, request, answer, keeper, requester, services } = it;
  const expert = await enter();
  const made = await request(expert.id);
  const actors = await demoActors(services);
  const seen = (key: keyof typeof actors, role?: 'matcher' | 'router' | 'clock' | 'trail') =>
    transact(services, actors[key], async tx => {
      const count = async (table: 'experts' | 'expert_contacts' | 'expert_requests' | 'expert_request_details') => {
        const look = (of: typeof tx) => of.selectFrom(table).selectAll().execute();
        return (await (role ? asSystem(tx, role, look) : look(tx))).length;
      };
      return [
        await count('experts'),
        await count('expert_contacts'),
        await count('expert_requests'),
        await count('expert_request_details'),
      ];
    });
  t.strictSame(await seen('civil_society'), [1, 1, 1, 0], 'the keeper');
  t.strictSame(await seen('helpline_a'), [0, 0, 1, 1], 'whoever asked');
  ok(await answer(keeper, made, 'confirm'));
  t.strictSame(await seen('helpline_a'), [0, 1, 1, 1], 'and has a confirmed request');
  ok(await answer(requester, made, 'complete'));
  t.strictSame(await seen('helpline_a'), [0, 0, 1, 1], 'which is over');
  for (const key of ['committee', 'audit_body', 'helpline_b', 'prosecution'] as const)
    t.strictSame(await seen(key), [0, 0, 0, 0], key);
  t.strictSame(await seen('helpline_b', 'matcher'), [1, 0, 1, 1], 'the service itself, comparing');
  for (const role of ['router', 'clock', 'trail'] as const) t.strictSame(await seen('helpline_b', role), [0, 0, 0, 0], role);

  const asked = await request((await enter()).id);
  const write = (key: keyof typeof actors, of: (tx: Tx) => Promise<unknown>) => transact(services, actors[key], of);
  const REFUSED = { code: '42501' };
  const [row] = await lookAsOwner<ExpertRequestRow>(services, 'select * from expert_requests where id = $1', [asked.id]);
  const mine = { requester_agency_id: it.agencies.helpline_b.id, id: newId('xrq') };
  await t.rejects(
    write('helpline_a', tx => tx.updateTable('expert_requests').set({ status: 'confirmed' }).execute()),
    REFUSED,
    'whoever asks does not answer',
  );
  await t.rejects(
    write('helpline_b', tx =>
      tx
        .insertInto('expert_requests')
        .values({ ...row!, ...mine, status: 'confirmed' })
        .execute(),
    ),
    REFUSED,
    'nor asks for what is answered',
  );
  await t.rejects(
    write('helpline_b', async tx => {
      const own = { agency_id: mine.requester_agency_id };
      await tx
        .insertInto('expert_requests')
        .values({ ...row!, ...mine, ...own })
        .execute();
    }),
    { code: '23503' },
    'nor has an expert of its own of another’s',
  );
  for (const change of [{ agency_id: it.agencies.helpline_b.id }, { expert_id: expert.id }])
    await t.rejects(
      write('helpline_a', tx => tx.updateTable('expert_requests').set(change).execute()),
      REFUSED,
    );

  const rewrite = (key: keyof typeof actors, sealed: Buffer | null, role?: 'matcher' | 'router') =>
    transact(services, actors[key], async tx => {
      const write = (of: typeof tx) => of.updateTable('expert_request_details').set({ sealed }).executeTakeFirst();
      return Number((await (role ? asSystem(tx, role, write) : write(tx))).numUpdatedRows);
    });
  for (const key of ['helpline_a', 'civil_society'] as const)
    t.equal(await rewrite(key, null), 0, 'what was said is changed by nobody');
  t.equal(await rewrite('helpline_a', null, 'router'), 0);
  await t.rejects(rewrite('helpline_a', Buffer.of(1), 'matcher'), { code: '42501' }, 'the service itself only empties it');
});
