import { sql } from 'kysely';
import t from 'tap';
import type { DemoAgencyKey } from '../../src/demo.ts';
import { transact } from '../../src/platform/database.ts';
import { timerEffects } from '../../src/referrals/timer-effects.ts';
import { selectListed } from '../../src/timers/list-store.ts';
import { fireDueTimers } from '../../src/timers/sweep.ts';
import { startTestApp } from '../support/app.ts';
import { drain } from '../support/drain.ts';
import { all, clinic, eventsOf, HOUR, MINUTE, NONE, type ToldEvent } from '../support/journey.ts';
import { type Client, mechanism } from '../support/mechanism.ts';
import { ok, startNight } from '../support/night.ts';
import { entriesOf, lookAsOwner } from '../support/trail.ts';

// Much of it, and other suites beside it.
t.setTimeout(300_000);

/** Somebody is called at night, and the next, until one of them answers. */

const PATH = '/v1/jurisdictions/XA/duty-roster';

t.test('life-safety escalations', async t => {
  const test = await startTestApp(t);
  const { services, clock } = test;
  const them = await mechanism(test);
  const { as, agencies } = them;
  const { sender, receiver, ask } = clinic(them);
  const coordinator = as('committee');
  const effects = timerEffects(services);
  const [civil, inspection, shelter] = [as('civil_society'), as('labour_inspection'), as('shelter_a')];

  const person = (key: DemoAgencyKey, which: 0 | 1 = 0) => ({
    agency_id: agencies[key].id,
    staff_code: agencies[key].caseworkers[which].staff_code,
  });
  const THREE = [person('civil_society'), person('labour_inspection'), person('shelter_a')];
  const putRoster = async (entries: object[]) => {
    const is_first = (await coordinator.get(PATH)).status === 404;
    return ok(await coordinator.put(PATH, { entries }, is_first ? { 'if-none-match': '*' } : { 'if-match': '*' }));
  };
  const act = async (who: Client, referral_id: string, verb: string, body: object = {}) =>
    ok(await who.post(`/v1/referrals/${referral_id}/${verb}`, body));
  const timerOf = async (referral_id: string, name: string) =>
    ok(await sender.get(`/v1/timers?referral_id=${referral_id}&name=${name}`)).data.at(-1);
  /** As eight processes that wake at the same moment. */
  async function sweepEightTimes(): Promise<void> {
    const sweep = async () => {
      while (await fireDueTimers(services, effects));
    };
    await Promise.all(Array.from({ length: 8 }, sweep));
  }
  /** The person has not arrived, and nobody knows where she is: of an hour's clock no time is left. */
  async function missing() {
    const night = await ask({ urgency: 'urgent' });
    await act(receiver, night.referral.id, 'accept');
    await act(receiver, night.referral.id, 'report-no-show');
    const timer = await timerOf(night.referral.id, 'missing_person_check');
    clock.advance(HOUR);
    await sweepEightTimes();
    return { ...night, id: timer.id as string };
  }
  /** The calls of one timer that somebody was told of. */
  const callsTo = async (who: Client, timer_id: string): Promise<ToldEvent[]> =>
    (await eventsOf(services, who)).filter(
      ({ type, data }) => type === 'timer.escalated' && data.timer_id === timer_id && data.call,
    );
  const counts = async (timer_id: string): Promise<number[]> => {
    await drain(services);
    return Promise.all([civil, inspection, shelter, coordinator].map(async who => (await callsTo(who, timer_id)).length));
  };
  const wait = async (ms: number) => {
    clock.advance(ms);
    await sweepEightTimes();
  };
  const acknowledge = (who: Client, id: string, headers = {}) =>
    who.post(`/v1/timers/${id}/acknowledge-escalation`, undefined, headers);
  const meet = async (id: string) => ok(await sender.post(`/v1/timers/${id}/meet`));
  const listed = async (who: Client, query = '') =>
    (await all(who, `/v1/timers?unacknowledged=true${query}`)).map(({ id }) => id as string);

  await t.test('call one person after the other, every 10 minutes, however many sweep', async t => {
    await putRoster(THREE);
    const before = (await entriesOf(services, 'timer.call')).length;
    const { id, kase, referral } = await missing();
    t.strictSame(await counts(id), [1, 0, 0, 0]);
    const [call] = await callsTo(civil, id);
    t.strictSame(call, {
      type: 'timer.escalated',
      timestamp: services.now().toISOString(),
      data: {
        event_id: call!.data.event_id,
        timer_id: id,
        timer: 'missing_person_check',
        agency_id: agencies.helpline_a.id,
        jurisdiction: 'XA',
        urgency: 'urgent',
        due_at: services.now().toISOString(),
        escalation_level: 1,
        call: 1,
        notify: { roles: ['caseworker'], staff_code: person('civil_society').staff_code },
        position: call!.data.position,
        sequence: 1,
      },
    });
    t.match(
      (await eventsOf(services, sender, referral.id)).at(-1),
      { type: 'timer.escalated', data: { timer_id: id, escalation_level: 1 } },
      'whose duty it is hears of the rung, as always',
    );
    await wait(10 * MINUTE - 1);
    t.strictSame(await counts(id), [1, 0, 0, 0], 'never early');
    await wait(1);
    t.strictSame(await counts(id), [1, 1, 0, 0]);
    await wait(5 * MINUTE);
    t.equal((await timerOf(referral.id, 'missing_person_check')).escalation_level, 2);
    t.strictSame(await counts(id), [1, 1, 0, 0], 'the next rung calls nobody');
    await wait(5 * MINUTE);
    t.strictSame(await counts(id), [1, 1, 1, 0]);
    await wait(10 * MINUTE);
    t.strictSame(await counts(id), [2, 1, 1, 0], 'and from the top again');
    const entries = (await entriesOf(services, 'timer.call')).slice(before);
    t.match(entries, { length: 4 });
    t.ok(entries.every(({ code, client_id }) => code === 'missing_person_check' && client_id === 'system:clock'));
    t.match(await timerOf(referral.id, 'missing_person_check'), {
      calls: 4,
      called_at: services.now().toISOString(),
      acknowledged_at: null,
      called: undefined,
    });
    t.match((await all(sender, `/v1/cases/${kase.id}/timeline`)).at(-1), {
      action: 'timer.call',
      type: 'timer.escalated',
      by: 'system',
      timer: 'missing_person_check',
    });
    await meet(id);
    await wait(30 * MINUTE);
    t.strictSame(await counts(id), [2, 1, 1, 0], 'what is met calls nobody');
    t.strictSame(await listed(civil), [], 'and is seen by them no longer');
    t.equal((await acknowledge(civil, id)).status, 404);
  });

  await t.test('let whoever is called see the clock and nothing of the case', async t => {
    const { id, referral, kase } = await missing();
    t.strictSame(await listed(civil), [id]);
    const [seen] = await all(civil, '/v1/timers');
    t.match(seen, {
      id,
      name: 'missing_person_check',
      state: 'breached',
      responsible_agency_id: agencies.helpline_a.id,
      subject: { type: 'referral' },
      calls: 1,
      called: person('civil_society'),
    });
    t.notMatch(JSON.stringify(seen), new RegExp([kase.id, referral.id, referral.offer.id].join('|')));
    for (const query of [
      `referral_id=${referral.id}`,
      `subject_id=${referral.id}`,
      `case_id=${kase.id}`,
      'state=running',
      'state=met',
    ])
      t.strictSame(await all(civil, `/v1/timers?${query}`), [], query);
    t.strictSame(await listed(civil, '&state=breached&overdue=true&name=missing_person_check&urgency=urgent'), [id]);
    t.strictSame(await listed(inspection), [], 'who was not called yet does not see it');
    t.strictSame(await listed(as('prosecution')), []);
    t.strictSame(await listed(sender), [id], 'whom it concerns does');
    t.match((await all(coordinator, '/v1/timers?unacknowledged=true'))[0], { id, called: person('civil_society') });
    t.notOk((await all(sender, '/v1/timers?unacknowledged=true'))[0].called, 'the sender is not told who');
    t.ok((await all(sender, '/v1/timers?unacknowledged=false')).every(timer => timer.id !== id));
    for (const path of [`/v1/referrals/${referral.id}`, `/v1/cases/${kase.id}`, `/v1/cases/${kase.id}/timeline`])
      t.equal((await civil.get(path)).status, 404, path);
    for (const verb of ['pause', 'resume', 'meet'])
      t.equal(
        (await civil.post(`/v1/timers/${id}/${verb}`, verb === 'pause' ? { reason_code: 'other' } : undefined)).status,
        403,
        verb,
      );
    await wait(10 * MINUTE);
    t.strictSame([await listed(civil), await listed(inspection)], [[id], [id]], 'all who were called, until somebody answers');
    t.notOk((await all(civil, '/v1/timers'))[0].called, 'but not who else was called');
    await meet(id);
  });

  await t.test('end when somebody on duty acknowledges, whoever was called', async t => {
    const { id, kase, referral } = await missing();
    for (const [who, status, said] of [
      [as('prosecution'), 404, 'an outsider'],
      [as('helpline_b', 'supervisor'), 404, 'another outsider'],
      [as('civil_society', 'supervisor'), 403, 'not on the roster, of the agency that was called'],
      [as('labour_inspection', 'supervisor'), 404, 'not on the roster, of an agency that was not called'],
      [sender, 403, 'whose duty it is'],
      [coordinator, 403, 'the coordinator, while others are on duty'],
      [as('civil_society', 'nobody'), 400, 'nobody'],
      [as('civil_society', 'worker', ['referrals']), 403, 'without the scope'],
    ] as const)
      t.equal((await acknowledge(who, id)).status, status, said);
    const refused = (await entriesOf(services, 'timer.acknowledge_escalation')).map(({ outcome, code }) => `${outcome} ${code}`);
    t.ok(refused.includes('denied not_visible') && refused.includes('denied forbidden'));

    t.equal((await acknowledge(inspection, id, { 'if-match': '"999"' })).status, 412);
    const answers = await Promise.all([inspection, inspection, inspection].map(who => acknowledge(who, id)));
    t.strictSame(answers.map(({ status }) => status).sort(), [200, 409, 409], 'once');
    const done = answers.find(({ status }) => status === 200)!;
    t.match(done.body, {
      id,
      calls: 1,
      acknowledged_at: services.now().toISOString(),
      acknowledged_by: person('labour_inspection'),
    });
    t.notMatch(JSON.stringify(done.body), new RegExp([kase.id, referral.id].join('|')));
    t.match(done.headers['audit-receipt'], /^[0-9a-f]{64}$/);
    t.match(
      (await entriesOf(services, 'timer.acknowledge_escalation')).filter(({ outcome }) => outcome === 'done'),
      [
        {
          code: 'missing_person_check',
          agency_id: agencies.labour_inspection.id,
          caseworker: person('labour_inspection').staff_code,
        },
      ],
    );
    t.match((await acknowledge(inspection, id)).body, { code: 'wrong_state', state: 'breached', allowed_actions: NONE });

    t.strictSame(await listed(civil), []);
    t.strictSame(await all(civil, '/v1/timers'), [], 'whoever was called before sees it no longer');
    t.equal((await acknowledge(civil, id)).status, 404);
    t.match(await all(inspection, '/v1/timers'), { length: 1, 0: { id } }, 'whoever has it in hand does');
    t.match((await all(coordinator, `/v1/timers?referral_id=${referral.id}&name=missing_person_check`))[0], {
      called: person('civil_society'),
      acknowledged_by: person('labour_inspection'),
    });
    const seen = await timerOf(referral.id, 'missing_person_check');
    t.match(seen, { acknowledged_at: services.now().toISOString(), state: 'breached' });
    t.notOk(seen.acknowledged_by ?? seen.called, 'the sender is not told who');
    for (const who of [sender, coordinator]) {
      const item = (await all(who, `/v1/cases/${kase.id}/timeline`)).at(-1);
      t.match(item, { action: 'timer.acknowledge_escalation', by: 'duty_roster', timer: 'missing_person_check' });
      t.notOk(item.agency_id ?? item.placed ?? item.staff_code);
    }

    await wait(HOUR);
    t.strictSame(await counts(id), [1, 0, 0, 0], 'nobody is called again');
    t.equal((await timerOf(referral.id, 'missing_person_check')).escalation_level, 3, 'the ladder goes on');
    t.ok(
      (await eventsOf(services, coordinator, referral.id)).some(
        ({ type, data }) => type === 'timer.escalated' && data.timer_id === id && data.escalation_level === 3,
      ),
    );
    await meet(id);
    t.strictSame(await all(inspection, '/v1/timers'), [], 'until it is over');
  });

  await t.test('cannot be acknowledged before anybody is called', async t => {
    await putRoster([...THREE, person('helpline_a')]);
    const { referral } = await ask({ urgency: 'emergency' });
    await act(receiver, referral.id, 'accept');
    const { id } = await timerOf(referral.id, 'handover');
    t.equal((await acknowledge(civil, id)).status, 404, 'it knows nothing of it');
    t.match((await acknowledge(sender, id)).body, { code: 'wrong_state', state: 'running' });
    await wait(6 * HOUR);
    t.strictSame(await counts(id), [1, 0, 0, 0], 'an emergency’s');
    const refused = await sender.post(`/v1/timers/${id}/resume`);
    t.equal(refused.status, 403);
    t.match((await coordinator.post(`/v1/timers/${id}/resume`)).body, { code: 'wrong_state', allowed_actions: NONE });
    ok(await acknowledge(sender, id));
    await putRoster(THREE);
    await act(receiver, referral.id, 'confirm-handover', { arrived_at: services.now().toISOString() });
  });

  await t.test('pass by whoever is not there any more', async t => {
    const path = `/v1/agencies/${agencies.civil_society.id}/caseworkers`;
    const chief = as('civil_society', 'supervisor');
    const { id: left } = ok(await chief.post(path, { staff_code: 'LEFT', roles: ['caseworker'] }));
    await putRoster([
      { agency_id: agencies.civil_society.id, staff_code: 'LEFT' },
      person('shelter_c'),
      person('labour_inspection'),
    ]);
    ok(await chief.patch(`/v1/caseworkers/${left}`, { status: 'inactive' }, { 'if-match': '*' }));
    const admin = as('committee', 'nobody');
    const standing = async (status: string) =>
      ok(await admin.patch(`/v1/agencies/${agencies.shelter_c.id}`, { status }, { 'if-match': '*' }));
    await standing('suspended');
    const { id } = await missing();
    t.strictSame(await counts(id), [0, 1, 0, 0]);
    await wait(10 * MINUTE);
    t.strictSame(await counts(id), [0, 2, 0, 0], 'who is alone is called again');
    await standing('active');
    await wait(10 * MINUTE);
    t.strictSame(await counts(id), [0, 2, 0, 0]);
    t.match(await callsTo(as('shelter_c'), id), { length: 1, 0: { data: { call: 3 } } }, 'who is back is called again');
    await putRoster(THREE);
    await wait(10 * MINUTE);
    t.strictSame(await counts(id), [1, 2, 0, 0], 'a new roster begins at its top');
    await meet(id);
  });

  await t.test('tell the committee where nobody is on duty', async t => {
    await putRoster([]);
    const { id } = await missing();
    t.match(await callsTo(coordinator, id), { length: 1, 0: { data: { call: 1, notify: { roles: ['coordinator'] } } } });
    t.notOk((await callsTo(coordinator, id))[0]!.data.notify.staff_code);
    await wait(10 * MINUTE);
    t.strictSame(await counts(id), [0, 0, 0, 2]);
    t.equal((await acknowledge(sender, id)).status, 403);
    t.equal((await acknowledge(civil, id)).status, 404);
    const done = ok(await acknowledge(coordinator, id));
    t.match(done, { calls: 2, acknowledged_by: person('committee') });
    t.notOk(done.called, 'nobody by name');
    await wait(20 * MINUTE);
    t.strictSame(await counts(id), [0, 0, 0, 2]);
    await meet(id);
    await putRoster(THREE);
  });

  await t.test('after an outage are one call, and go on from there', async t => {
    const { id } = await missing();
    await wait(HOUR);
    t.strictSame(await counts(id), [1, 1, 0, 0], 'not six');
    await wait(10 * MINUTE - 1);
    t.strictSame(await counts(id), [1, 1, 0, 0]);
    await wait(1);
    t.strictSame(await counts(id), [1, 1, 1, 0]);
    await meet(id);

    const night = await ask({ urgency: 'urgent' });
    await act(receiver, night.referral.id, 'accept');
    await act(receiver, night.referral.id, 'report-no-show');
    const late = await timerOf(night.referral.id, 'missing_person_check');
    await wait(5 * HOUR);
    t.match(await timerOf(night.referral.id, 'missing_person_check'), { escalation_level: 3, calls: 1 }, 'all rungs at once');
    t.strictSame(await counts(late.id), [1, 0, 0, 0]);
    await meet(late.id);
  });

  await t.test('call nobody where the next agency is asked instead', async t => {
    const { referral } = await ask({ urgency: 'emergency' });
    await wait(HOUR);
    await wait(15 * MINUTE);
    const timers = await all(sender, `/v1/timers?referral_id=${referral.id}`);
    t.ok(timers.filter(({ name }) => ['acknowledge', 'respond'].includes(name)).every(({ calls }) => calls === 0));
    t.ok(
      timers.some(({ name, calls }) => name === 'unplaced_review' && calls === 1),
      'but where nobody is left to ask',
    );
    await act(sender, referral.id, 'cancel', { reason_code: 'error' });
    t.strictSame(await listed(civil), [], 'what is cancelled calls nobody');
    await wait(HOUR);
    t.strictSame(await listed(civil), []);
  });

  await t.test('do not tell who a hidden receiver is, also where its own people are called', async t => {
    await putRoster([person('civil_society'), person('shelter_a')]);
    const { kase, referral } = await startNight(sender, {
      referral: { routing: 'direct', recipient_agency_id: agencies.shelter_a.id },
    });
    await act(shelter, referral.id, 'accept');
    const { id } = await timerOf(referral.id, 'handover');
    await wait(6 * HOUR);
    const [call] = await callsTo(civil, id);
    t.match(call!.data, { placed: { region: 'XA-1', duty_contact: /duty desk/ }, call: 1 });
    t.notMatch(JSON.stringify(call), new RegExp(agencies.shelter_a.id));
    t.notMatch(JSON.stringify(await all(civil, '/v1/timers')), new RegExp(agencies.shelter_a.id));
    await wait(10 * MINUTE);
    t.match((await callsTo(shelter, id))[0]!.data, { agency_id: agencies.shelter_a.id, call: 2 }, 'it knows itself');
    ok(await acknowledge(shelter, id));
    for (const who of [sender, coordinator]) {
      const item = (await all(who, `/v1/cases/${kase.id}/timeline`)).at(-1);
      t.match(item, { action: 'timer.acknowledge_escalation', by: 'duty_roster' });
      t.notOk(item.placed ?? item.agency_id, 'who answered may be anybody');
    }
    const [seen] = await all(coordinator, `/v1/timers?referral_id=${referral.id}&name=handover`);
    t.match(seen, { placed: { region: 'XA-1' }, acknowledged_by: person('shelter_a') }, 'one tells nothing of the other');
    t.match((await all(shelter, `/v1/cases/${kase.id}/timeline`)).at(-1), { agency_id: agencies.shelter_a.id });
    await act(shelter, referral.id, 'confirm-handover', { arrived_at: services.now().toISOString() });
  });

  await t.test('are delivered although whoever was called has nothing to do with the case', async t => {
    const { id } = await missing();
    await drain(services);
    await meet(id);
    t.match(await callsTo(civil, id), { length: 1 }, 'also once it is over');
    t.notOk((await eventsOf(services, civil)).some(({ type }) => type === 'event.withheld'));
  });

  await t.test('leave what is sealed under the key of the case, for nobody who only was called', async t => {
    await putRoster(THREE);
    const { id, kase, referral } = await missing();
    ok(await civil.get('/v1/timers'));
    ok(await acknowledge(civil, id));
    const left = await lookAsOwner(
      services,
      `select r.action, s.key_id, s.reader_agency_id as reader from audit_subjects s join audit_records r using (entry_id)
       where s.key_id = $1 and (r.agency_id = $2 or r.action = 'timer.call') order by r.number`,
      [kase.id, agencies.civil_society.id],
    );
    t.strictSame(left, [
      { action: 'timer.call', key_id: kase.id, reader: null },
      { action: 'timer.list', key_id: kase.id, reader: null },
      { action: 'timer.acknowledge_escalation', key_id: kase.id, reader: null },
    ]);
    const auditor = as('civil_society', 'supervisor');
    for (const query of [`referral_id=${referral.id}`, `case_id=${kase.id}`])
      t.strictSame(ok(await auditor.get(`/v1/audit/entries?${query}`)).data, [], query);
    t.match(ok(await auditor.get('/v1/audit/entries?action=timer.acknowledge_escalation&outcome=done')).data[0], {
      meta: { actor: { caseworker: person('civil_society').staff_code } },
    });
    await meet(id);
  });

  await t.test('stand behind both walls', async t => {
    await putRoster(THREE);
    const { id } = await missing();
    const sees = async (key: DemoAgencyKey): Promise<number> => {
      const actor = { type: 'agency', agency_id: agencies[key].id, scopes: new Set() } as never;
      const { rows } = await transact(services, actor, tx => sql`select id from timers where id = ${id}`.execute(tx));
      return rows.length;
    };
    const seen = async () =>
      Object.fromEntries(
        await Promise.all((['civil_society', 'shelter_a', 'prosecution'] as const).map(async key => [key, await sees(key)])),
      );
    t.strictSame(await seen(), { civil_society: 1, shelter_a: 1, prosecution: 0 }, 'called, on duty, neither');
    ok(await acknowledge(civil, id));
    t.strictSame(await seen(), { civil_society: 1, shelter_a: 0, prosecution: 0 });
    await meet(id);
    t.strictSame(await seen(), { civil_society: 0, shelter_a: 0, prosecution: 0 });
  });

  await t.test('are found by an index, however many clocks there are', async t => {
    await lookAsOwner(
      services,
      `insert into timers (id, name, kind, clock, subject_type, subject_id, case_id, owner_agency_id, responsible_agency_id,
         location_protected, jurisdiction, urgency, started_at, due_at, state, steps, rule)
       select 'tmr_many' || n, name, kind, clock, subject_type, subject_id, case_id, owner_agency_id, responsible_agency_id,
         location_protected, jurisdiction, urgency, started_at, due_at + n * interval '1 second', 'met', '[]', rule
       from (select * from timers limit 1) t, generate_series(1, 20000) n`,
    );
    await lookAsOwner(services, 'analyze timers');
    for (const key of ['committee', 'civil_society'] as const) {
      const actor = { type: 'agency', agency_id: agencies[key].id, scopes: new Set() } as never;
      const whose = {
        agency_id: agencies[key].id,
        coordinated: key === 'committee' ? ['XA', 'XB'] : [],
        supports: key !== 'committee',
      };
      await transact(services, actor, async tx => {
        for (const [filter, index] of [
          [{ unacknowledged: true }, /timers_called/],
          [{ overdue: true }, /timers_overdue|timers_responsible_rest/],
          // In the order in which it is shown, and no further than the page.
          [{}, key === 'committee' ? /Index Scan using timers_jurisdiction_rest/ : /disclosures_live/],
        ] as const) {
          const { rows } = await sql<Record<string, string>>`explain ${selectListed(tx, whose, filter, undefined, 51)}`.execute(
            tx,
          );
          const plan = rows.map(row => Object.values(row)[0]).join('\n');
          t.notMatch(plan, /Seq Scan on timers/, `${key} ${JSON.stringify(filter)}`);
          t.match(plan, index, `${key} ${JSON.stringify(filter)}`);
        }
      });
    }
  });
});
