import t from 'tap';
import type { DemoAgencyKey } from '../../src/demo.ts';
import { startTestApp } from '../support/app.ts';
import { mechanism } from '../support/mechanism.ts';
import { ok } from '../support/night.ts';
import { entriesOf } from '../support/trail.ts';

/** Who is called at night: who may say it, who may see it, and who can stand on it. */

const PATH = '/v1/jurisdictions/XA/duty-roster';
const FIRST = { 'if-none-match': '*' };

t.test('the duty roster', async t => {
  const test = await startTestApp(t);
  const { services } = test;
  const them = await mechanism(test);
  const { as, agencies } = them;
  const coordinator = as('committee');
  const person = (key: DemoAgencyKey, which: 0 | 1 = 0) => ({
    agency_id: agencies[key].id,
    staff_code: agencies[key].caseworkers[which].staff_code,
  });
  const entries = [person('civil_society'), person('labour_inspection', 1), person('civil_society', 1)];

  await t.test('is put a first time, and then by whoever has read it', async t => {
    t.equal((await coordinator.get(PATH)).status, 404, 'there is none');
    t.equal((await coordinator.put(PATH, { entries }, { 'if-match': '"1"' })).status, 412);
    const made = await coordinator.put(PATH, { entries }, FIRST);
    t.equal(made.status, 201);
    t.equal(made.headers.location, PATH);
    t.equal(made.headers.etag, '"1"');
    t.match(made.body, { jurisdiction: 'XA', entries, version: 1 });
    t.equal((await coordinator.put(PATH, { entries }, FIRST)).status, 412);
    t.equal((await coordinator.put(PATH, { entries })).status, 428);
    const turned = [...entries].reverse();
    const changed = await coordinator.put(PATH, { entries: turned }, { 'if-match': '"1"' });
    t.equal(changed.status, 200);
    t.strictSame(changed.body.entries, turned, 'in turn');
    t.equal((await coordinator.put(PATH, { entries }, { 'if-match': '"1"' })).status, 412);
    const seen = await coordinator.get(PATH);
    t.match(seen.body, { entries: turned, version: 2 });
    t.equal(seen.headers.etag, '"2"');
    t.match(await entriesOf(services, 'duty_roster.set'), [
      { outcome: 'done', caseworker: coordinator.agency.caseworkers[0].staff_code },
      { outcome: 'done' },
    ]);
    t.match((await entriesOf(services, 'duty_roster.read')).at(-1), { outcome: 'read', agency_id: agencies.committee.id });
    t.equal((await coordinator.get('/v1/jurisdictions/XB/duty-roster')).status, 404, 'of that jurisdiction alone');
  });

  await t.test('only one of two that are put first at once stands', async t => {
    const path = '/v1/jurisdictions/XB/duty-roster';
    const answers = await Promise.all(entries.map(entry => coordinator.put(path, { entries: [entry] }, FIRST)));
    t.strictSame(answers.map(({ status }) => status).sort(), [201, 412, 412]);
  });

  await t.test('is the coordinator’s, and seen by the agencies that are on it', async t => {
    const none = await as('helpline_b').get('/v1/jurisdictions/ZZ/duty-roster');
    t.equal(none.status, 404);
    for (const [who, read, put, said] of [
      [as('civil_society'), 200, 403, 'on it'],
      [as('labour_inspection', 'supervisor'), 200, 403, 'on it'],
      [as('helpline_a'), 404, 404, 'not on it'],
      [as('prosecution', 'supervisor'), 404, 404, 'not on it'],
      [as('audit_body'), 404, 404, 'not on it'],
      [as('committee', 'nobody'), 400, 400, 'nobody behind it'],
      [as('committee', 'worker', ['referrals']), 403, 403, 'without the scope'],
    ] as const) {
      const seen = await who.get(PATH);
      t.equal(seen.status, read, `${who.agency.kind} ${said}`);
      if (read === 404) t.strictSame({ ...seen.body, request_id: '' }, { ...none.body, request_id: '' });
      t.equal((await who.put(PATH, { entries }, { 'if-match': '*' })).status, put, `${who.agency.kind} ${said}`);
    }
    const supervisor = as('committee', 'supervisor');
    const staff_code = 'NO-COORDINATOR';
    ok(await supervisor.post(`/v1/agencies/${agencies.committee.id}/caseworkers`, { staff_code, roles: ['caseworker'] }));
    const acting = { 'acting-caseworker': staff_code };
    t.equal((await coordinator.get(PATH, acting)).status, 403);
    t.equal((await coordinator.put(PATH, { entries }, { ...acting, 'if-match': '*' })).status, 403);
    t.match((await coordinator.get(PATH)).body, { version: 2 }, 'nothing has changed');
  });

  await t.test('holds only who can be called, each once', async t => {
    const admin = as('committee', 'nobody');
    const elsewhere = ok(await admin.post('/v1/agencies', { name: 'Elsewhere', kind: 'health', jurisdictions: ['XB'] }));
    ok(await admin.post(`/v1/agencies/${elsewhere.id}/caseworkers`, { staff_code: 'E-1', roles: ['caseworker'] }));
    const health = as('health', 'supervisor');
    const path = `/v1/agencies/${agencies.health.id}/caseworkers`;
    const gone = ok(await health.post(path, { staff_code: 'GONE', roles: ['caseworker'] }));
    ok(await health.patch(`/v1/caseworkers/${gone.id}`, { status: 'inactive' }, { 'if-match': '*' }));
    const suspended = agencies.shelter_c.id;
    ok(await admin.patch(`/v1/agencies/${suspended}`, { status: 'suspended' }, { 'if-match': '*' }));
    for (const [wrong, said] of [
      [{ agency_id: agencies.health.id, staff_code: 'NOBODY' }, 'nobody’s code'],
      [{ agency_id: agencies.health.id, staff_code: 'GONE' }, 'no longer active'],
      [{ agency_id: agencies.health.id, staff_code: person('civil_society').staff_code }, 'of another agency'],
      [{ agency_id: elsewhere.id, staff_code: 'E-1' }, 'works elsewhere'],
      [{ agency_id: suspended, staff_code: person('shelter_c').staff_code }, 'its agency is suspended'],
      [entries[0]!, 'stands on it already'],
    ] as const) {
      const { status, body } = await coordinator.put(PATH, { entries: [...entries, wrong] }, { 'if-match': '*' });
      t.match({ status, ...body }, { status: 422, code: 'unprocessable', errors: [{ pointer: '/entries/3' }] }, said);
    }
    for (const wrong of [
      {},
      { entries: [{ agency_id: agencies.health.id }] },
      { entries: [{ ...entries[0]!, telephone: '+999' }] },
      { entries: [{ ...entries[0]!, staff_code: 'a name' }] },
      { entries: Array.from({ length: 51 }, () => entries[0]!) },
    ])
      t.equal((await coordinator.put(PATH, wrong, { 'if-match': '*' })).status, 400, JSON.stringify(wrong).slice(0, 80));
    t.match((await coordinator.get(PATH)).body, { version: 2 }, 'nothing has changed');
    t.strictSame(ok(await coordinator.put(PATH, { entries: [] }, { 'if-match': '*' })).entries, [], 'nobody at all can');
    t.equal((await as('civil_society').get(PATH)).status, 404, 'and then it is the coordinator’s alone');
  });
});
