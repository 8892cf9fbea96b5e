import t from 'tap';
import { transact } from '../../src/platform/database.ts';
import { startTestApp } from '../support/app.ts';
import { identification, SCREENING } from '../support/identification.ts';
import { all, DAY, eventsOf } from '../support/journey.ts';
import { mechanism } from '../support/mechanism.ts';
import { caseBody, ok } from '../support/night.ts';
import { entriesOf, lookAsOwner } from '../support/trail.ts';
import { demoActors } from '../support/webhooks.ts';

t.test('screenings', async t => {
  const test = await startTestApp(t, { RATE_LIMIT: '100000,100000' });
  const { services, clock } = test;
  const them = await mechanism(test);
  const { as, agencies } = them;
  const { owner, authority, accepted, decided, held, stageOf } = identification(test, them);
  const chief = as('helpline_a', 'supervisor');
  const open = async (): Promise<{ id: string; path: string }> => {
    const { id } = ok(await owner.post('/v1/cases', caseBody()));
    return { id, path: `/v1/cases/${id}` };
  };
  const staff = async (staff_code: string, roles: string[], more: object = {}) =>
    ok(await chief.post(`/v1/agencies/${agencies.helpline_a.id}/caseworkers`, { staff_code, roles, ...more }));
  const course = 'indicator_screening';
  const by = (staff_code: string) => ({ 'acting-caseworker': staff_code });

  await t.test('a named screener decides, and the case is presumed', async t => {
    const found = await accepted();
    const answer = await owner.post(`${found.path}/screenings`, SCREENING);
    t.equal(answer.status, 201);
    t.equal(answer.headers.location, `${found.path}/screenings`);
    const { decision, ...circumstances } = SCREENING;
    t.match(answer.body, {
      id: /^scr_/,
      case_id: found.kase.id,
      ...circumstances,
      decision,
      staff_code: 'DH-1',
      instrument: null,
      dimensions: null,
      indication: null,
      explanation: null,
    });
    t.equal(await stageOf(found), 'presumed');
    t.match((await entriesOf(services, 'screening.record')).at(-1), { outcome: 'done', code: null });
    for (const [who, ids] of [
      [owner, { case_id: found.kase.id }],
      [as('committee'), { case_id: found.kase.id }],
      [authority, { referral_id: found.referral.id }],
    ] as const) {
      const told = (await eventsOf(services, who)).filter(({ type }) => type === 'case.stage_changed').at(-1);
      t.match(told, { data: { ...ids, stage: 'presumed' } });
    }
    t.notOk((await all(authority, `/v1/cases/${found.kase.id}/timeline`)).some(({ action }) => action === 'screening.record'));
    t.match(await all(owner, `/v1/timers?case_id=${found.kase.id}&name=screening`), [
      { state: 'met', met_at: clock.now().toISOString() },
    ]);
    t.notMatch(JSON.stringify(await lookAsOwner(services, 'select * from screenings')), /CANARY/);
  });

  await t.test('one that presumes nothing leaves the case; one of a case that stands farther, too', async t => {
    const found = await open();
    ok(await owner.post(`${found.path}/screenings`, { ...SCREENING, decision: { presumed: false } }));
    t.equal(await stageOf(found), 'reported');
    t.match(ok(await owner.get(`${found.path}/screenings`)).data, [{ decision: { presumed: false, reason: null } }]);
    t.match(await all(owner, `/v1/timers?case_id=${found.id}&name=screening`), [{ state: 'met' }], 'it was screened');
    ok(await owner.post(`${found.path}/screenings`, SCREENING));
    ok(await owner.post(`${found.path}/screenings`, SCREENING));
    t.equal(await stageOf(found), 'presumed');
    const page = ok(await owner.get(`${found.path}/screenings?limit=2`));
    t.equal(page.data.length, 2);
    t.equal(ok(await owner.get(`${found.path}/screenings?limit=2&cursor=${page.next_cursor}`)).data.length, 1);
    t.match((await entriesOf(services, 'screening.list')).at(-1), { outcome: 'read' });

    const negative = await decided('reasonable_grounds', 'negative');
    ok(await owner.post(`${negative.path}/screenings`, SCREENING));
    t.equal(await stageOf(negative), 'not_identified');
  });

  await t.test('by the owner’s screeners, and seen by the owner alone', async t => {
    const found = await accepted();
    await held(found, 'health');
    await staff('OP', ['operator']);
    await staff('CW', ['caseworker']);
    await staff('SC', ['screener'], { certifications: [{ course, completed_on: '2026-01-01', expires_on: null }] });
    for (const code of ['OP', 'CW'])
      t.equal((await owner.post(`${found.path}/screenings`, SCREENING, by(code))).status, 403, code);
    t.equal((await owner.post(`${found.path}/screenings`, SCREENING, by('SC'))).status, 201);
    for (const who of [as('health'), authority, as('committee')]) {
      t.equal((await who.post(`${found.path}/screenings`, SCREENING)).status, 403);
      t.equal((await who.get(`${found.path}/screenings`)).status, 403);
    }
    t.equal((await as('helpline_b').post(`${found.path}/screenings`, SCREENING)).status, 404);
    t.equal((await as('helpline_b').get(`${found.path}/screenings`)).status, 404);
    t.equal(ok(await owner.get(`${found.path}/screenings`)).data.length, 1);

    const actors = await demoActors(services);
    for (const key of Object.keys(actors) as (keyof typeof actors)[]) {
      const rows = await transact(services, actors[key], tx =>
        tx.selectFrom('screenings').selectAll().where('case_id', '=', found.kase.id).execute(),
      );
      t.equal(rows.length, key === 'helpline_a' ? 1 : 0, `the second wall alone: ${key}`);
    }
    const [row] = await lookAsOwner<Record<string, unknown>>(services, 'select * from screenings limit 1');
    const forged = { ...row, id: 'scr_01k00000000000000000000000', agency_id: agencies.health.id };
    await t.rejects(
      transact(services, actors.health, tx =>
        tx
          .insertInto('screenings')
          .values(forged as never)
          .execute(),
      ),
      { code: '42501' },
    );
  });

  await t.test('are refused in the order of the checks', async t => {
    const found = await open();
    const stale = { 'if-match': '"99"' };
    for (const bad of [{ mode: 'letter' }, { interpreter_used: 'no' }, { interview_language: 'Arabic!' }, { extra: 1 }]) {
      const { status, body } = await owner.post(`${found.path}/screenings`, { ...SCREENING, ...bad }, stale);
      t.equal(status, 400);
      t.match(body.errors, [{ pointer: `/${Object.keys(bad)[0]}` }]);
    }
    for (const [more, pointers] of [
      [{ instrument: 'indicators-2' }, ['/instrument']],
      [{ instrument: 'indicators-2', version: '1', answers: [] }, ['/instrument']],
      [{ version: '1', answers: [{ indicator: 'a', present: 'yes' }] }, ['/version', '/answers']],
    ] as const) {
      const { status, body } = await owner.post(`${found.path}/screenings`, { ...SCREENING, ...more }, stale);
      t.equal(status, 422);
      t.strictSame(
        body.errors.map(({ pointer }: { pointer: string }) => pointer),
        pointers,
      );
    }
    t.equal((await owner.post(`${found.path}/screenings`, SCREENING, stale)).status, 412);
    ok(await chief.post(`${found.path}/close`, { reason_code: 'error' }));
    const { status, body } = await owner.post(`${found.path}/screenings`, SCREENING);
    t.equal(status, 409);
    t.match(body, { code: 'wrong_state', state: 'closed' });
    t.strictSame(ok(await owner.get(`${found.path}/screenings`)).data, []);
  });

  await t.test('where the rules ask for a certificate, the screener holds one that stands; nobody else is held back', async t => {
    const day = (from_now: number) => new Date(clock.now().getTime() + from_now * DAY).toISOString().slice(0, 10);
    const certified = (expires_on: string, name = course) => ({
      certifications: [{ course: name, completed_on: '2026-01-01', expires_on }],
    });
    await staff('CERT', ['screener'], certified(day(10)));
    await staff('OVER', ['screener'], certified(day(-2)));
    await staff('NONE', ['screener']);
    await staff('OTHER', ['screener'], certified(day(10), 'first_aid'));
    const found = await open();
    for (const code of ['NONE', 'OVER', 'OTHER']) {
      const { status, body } = await owner.post(`${found.path}/screenings`, { ...SCREENING, instrument: 'x' }, by(code));
      t.equal(status, 403, `${code}: before what is wrong with the body`);
      t.match(body, { code: 'forbidden', detail: /certificate/ });
    }
    t.equal(await stageOf(found), 'reported');
    t.equal((await owner.post(`${found.path}/screenings`, SCREENING, by('CERT'))).status, 201);
    t.equal((await owner.get(`${found.path}/screenings`)).status, 200, 'never a bar to other acts');
    clock.advance(12 * DAY);
    t.equal((await owner.post(`${found.path}/screenings`, SCREENING, by('CERT'))).status, 403);
  });
});
