import { sql } from 'kysely';
import t from 'tap';
import { overdueAt, stepFor } from '../../src/core/undelivered.ts';
import type { DemoAgencyKey } from '../../src/demo.ts';
import { transact } from '../../src/platform/database.ts';
import { beat } from '../../src/platform/heartbeat.ts';
import { createOutbound } from '../../src/platform/outbound.ts';
import { deliverDue } from '../../src/webhooks/turn.ts';
import { callForUndelivered } from '../../src/webhooks/undelivered/calls.ts';
import { findUndelivered, selectConcerned } from '../../src/webhooks/undelivered/store.ts';
import { startTestApp } from '../support/app.ts';
import { clinic, HOUR, MINUTE, type ToldEvent } from '../support/journey.ts';
import { type Client, mechanism } from '../support/mechanism.ts';
import { ok, startNight } from '../support/night.ts';
import { entriesOf, lookAsOwner } from '../support/trail.ts';
import { asRelay, demoActors, emit, notice, relayAll, startReceiver } from '../support/webhooks.ts';

/** Emergencies that nobody at an agency heard: somebody on duty is called, and the next, until they were heard or somebody answers. */

t.setTimeout(240_000);

const ROSTER = '/v1/jurisdictions/XA/duty-roster';

t.test('the rule', async t => {
  const now = new Date('2026-11-21T19:00:00.000Z');
  const ago = (minutes: number) => new Date(now.getTime() - minutes * MINUTE);
  const unheard = (latest: number) => ({ count: 1, since: ago(60), latest: ago(latest) });
  const calling = (called: number, acknowledged: number | null = null) => ({
    called_at: ago(called),
    acknowledged_at: acknowledged === null ? null : ago(acknowledged),
  });
  t.equal(stepFor(undefined, undefined, now), 'rest');
  t.equal(stepFor(unheard(5), undefined, now), 'begin');
  t.equal(stepFor(unheard(5), calling(9.99), now), 'rest');
  t.equal(stepFor(unheard(5), calling(10), now), 'call');
  t.equal(stepFor(undefined, calling(1), now), 'end');
  t.equal(stepFor(undefined, calling(1, 1), now), 'end');
  t.equal(stepFor(unheard(30), calling(40, 25), now), 'rest', 'somebody has it in hand');
  t.equal(stepFor(unheard(29), calling(40, 25), now), 'begin', 'what fell silent later is another matter');
  t.strictSame(overdueAt(now), ago(5));
});

async function start(t: Parameters<typeof startTestApp>[0]) {
  const test = await startTestApp(t);
  const { services, clock } = test;
  const them = await mechanism(test);
  const { as, agencies } = them;
  const person = (key: DemoAgencyKey, which: 0 | 1 = 0) => ({
    agency_id: agencies[key].id,
    staff_code: agencies[key].caseworkers[which].staff_code,
  });
  const putRoster = async (entries: object[]) => {
    const is_first = (await as('committee').get(ROSTER)).status === 404;
    return ok(await as('committee').put(ROSTER, { entries }, is_first ? { 'if-none-match': '*' } : { 'if-match': '*' }));
  };
  /** As three processes that look at the same moment. */
  const look = () => Promise.all([1, 2, 3].map(() => callForUndelivered(services)));
  const wait = async (ms: number) => {
    clock.advance(ms);
    await relayAll(services);
    await look();
    await relayAll(services);
  };
  /** Every call, oldest first, as its recipient's name and what it says: read past the pull, which would be hearing. */
  const key_of = new Map((Object.keys(agencies) as DemoAgencyKey[]).map(key => [agencies[key].id, key]));
  const calls = async (): Promise<[DemoAgencyKey, ToldEvent['data']][]> => {
    const rows = await lookAsOwner<{ agency_id: string; body: ToldEvent['data'] }>(
      services,
      `select agency_id, body from events where type = 'endpoint.failing' and body ->> 'status' = 'undelivered' order by number, agency_id`,
    );
    return rows.map(({ agency_id, body }) => [key_of.get(agency_id)!, body]);
  };
  const called = async (agency_id: string) =>
    (await calls()).filter(([, body]) => body.agency_id === agency_id).map(([key]) => key);
  const hears = async (...keys: DemoAgencyKey[]) => {
    await relayAll(services);
    for (const key of keys) ok(await as(key, 'nobody').get('/v1/events?limit=200'));
  };
  const acknowledge = (who: Client, id: string, headers = {}) =>
    who.post(`/v1/agencies/${id}/acknowledge-escalation`, {}, headers);
  return { ...test, ...them, ...clinic(them), person, putRoster, look, wait, calls, called, hears, acknowledge };
}

t.test('an emergency that nobody heard', async t => {
  const it = await start(t);
  const { services, clock, as, agencies, ask, person, putRoster, wait, calls, called, hears, acknowledge } = it;
  const { id } = agencies.health;
  await putRoster([person('health'), person('civil_society'), person('labour_inspection'), person('shelter_a')]);

  await t.test('calls one person after the other, once however many look, and says nothing of the case', async t => {
    const { kase, referral } = await ask({ urgency: 'emergency' });
    const since = clock.now().toISOString();
    await ask({ urgency: 'emergency' });
    await hears('helpline_a', 'committee');
    await wait(5 * MINUTE - 1);
    t.strictSame(await calls(), [], 'never early');
    await wait(1);
    t.strictSame(await calls(), [
      [
        'civil_society',
        {
          agency_id: id,
          status: 'undelivered',
          undelivered: 2,
          since,
          jurisdiction: 'XA',
          call: 1,
          notify: { roles: ['caseworker'], staff_code: person('civil_society').staff_code },
        },
      ],
    ]);
    const [event] = await lookAsOwner<{ referral_id: null; case_id: null; urgent: boolean }>(
      services,
      `select referral_id, case_id, urgent from events where type = 'endpoint.failing' and body ->> 'status' = 'undelivered'`,
    );
    t.strictSame(event, { referral_id: null, case_id: null, urgent: true });
    t.notMatch(JSON.stringify(await calls()), new RegExp(`${kase.id}|${referral.id}|${kase.reference}|${referral.reference}`));
    t.equal((await as('civil_society').get(`/v1/referrals/${referral.id}`)).status, 404);
    await wait(10 * MINUTE - 1);
    t.equal((await calls()).length, 1);
    await wait(1);
    await wait(10 * MINUTE);
    t.strictSame(await called(id), ['civil_society', 'labour_inspection', 'shelter_a'], 'but nobody of the agency that is deaf');
    await wait(10 * MINUTE);
    t.strictSame((await called(id)).at(-1), 'civil_society', 'and from the top again');
    const entries = await entriesOf(services, 'agency.call');
    t.equal(entries.length, 4);
    t.ok(entries.every(({ outcome, client_id }) => outcome === 'done' && client_id === 'system:relay'));
  });

  await t.test('calls somebody once for what the service slept through', async t => {
    await wait(3 * HOUR);
    t.equal((await calls()).length, 5);
  });

  await t.test('calls nobody for calls that nobody heard', async t => {
    t.strictSame(new Set((await calls()).map(([, { agency_id }]) => agency_id)), new Set([id]));
  });

  await t.test('ends when somebody pulls, and says so in the trail', async t => {
    t.equal((await entriesOf(services, 'agency.hear')).length, 0);
    await hears('health');
    await wait(MINUTE);
    t.equal((await entriesOf(services, 'agency.hear')).length, 1);
    t.strictSame(await asRelay(services, tx => tx.selectFrom('undelivered').selectAll().execute()), []);
    t.equal((await acknowledge(as('civil_society'), id)).status, 404, 'there is nothing to answer any more');
    await wait(HOUR);
    t.equal((await calls()).length, 5);
  });

  await t.test('ends when somebody on duty acknowledges, until something else falls silent', async t => {
    await ask({ urgency: 'emergency' });
    await hears('helpline_a', 'committee');
    await wait(3 * MINUTE);
    await ask({ urgency: 'emergency' });
    await hears('helpline_a', 'committee');
    await wait(2 * MINUTE);
    t.strictSame((await called(id)).slice(5), ['civil_society']);
    for (const [who, status, said] of [
      [as('prosecution'), 404, 'an outsider'],
      [as('civil_society', 'supervisor'), 403, 'not on the roster, of the agency that was called'],
      [as('labour_inspection', 'supervisor'), 404, 'not on the roster, of one that was not'],
      [as('health', 'supervisor'), 404, 'whoever is deaf'],
      [as('committee'), 403, 'the coordinator, while others are on duty'],
      [as('labour_inspection', 'nobody'), 400, 'nobody'],
      [as('labour_inspection', 'worker', ['directory']), 403, 'without the scope'],
    ] as const)
      t.equal((await acknowledge(who, id)).status, status, said);
    t.match((await as('labour_inspection').post(`/v1/agencies/${id}/acknowledge-escalation`, { x: 1 })).status, 400);
    t.equal((await acknowledge(as('labour_inspection'), id, { 'if-match': '"999"' })).status, 412);
    const answers = await Promise.all([1, 2, 3].map(() => acknowledge(as('labour_inspection'), id)));
    t.strictSame(answers.map(({ status }) => status).sort(), [200, 409, 409], 'once');
    const done = answers.find(({ status }) => status === 200)!;
    t.strictSame(done.body, {
      agency_id: id,
      status: 'undelivered',
      jurisdiction: 'XA',
      undelivered: 1,
      since: done.body.since,
      calls: 1,
      called_at: clock.now().toISOString(),
      acknowledged_at: clock.now().toISOString(),
      acknowledged_by: person('labour_inspection'),
      version: 2,
    });
    t.match(
      (await entriesOf(services, 'agency.acknowledge_escalation')).filter(({ outcome }) => outcome === 'done'),
      [{ agency_id: agencies.labour_inspection.id, caseworker: person('labour_inspection').staff_code }],
    );
    t.equal((await acknowledge(as('civil_society'), id)).status, 404, 'whoever was called sees it no longer');
    await wait(3 * MINUTE - 1);
    t.equal((await calls()).length, 6);
    await wait(1);
    t.strictSame((await called(id)).slice(6), ['labour_inspection'], 'the second one had not been silent for long enough');
    t.match((await calls()).at(-1)![1], { undelivered: 2, call: 1 });
    ok(await acknowledge(as('shelter_a'), id));
    await wait(HOUR);
    t.equal((await calls()).length, 7, 'nobody is called again');
    await hears('health');
    await wait(0);
  });

  await t.test('goes on after the service was down, once it had time to send', async t => {
    await ask({ urgency: 'emergency' });
    await hears('helpline_a', 'committee');
    const before = (await calls()).length;
    clock.advance(HOUR);
    for (const role of ['api', 'worker'] as const) await beat(services, role);
    await wait(0);
    t.equal((await calls()).length, before);
    for (let beats = 0; beats < 6; beats += 1) {
      clock.advance(5_000);
      for (const role of ['api', 'worker'] as const) await beat(services, role);
    }
    await wait(0);
    t.equal((await calls()).length, before + 1);
    await lookAsOwner(services, 'delete from heartbeats');
    await hears('health');
    await wait(0);
  });

  await t.test('does not stand before the others where something goes wrong', async t => {
    await ask({ urgency: 'emergency' });
    await startNight(as('helpline_b'), {
      referral: { service: 'psychosocial', lawful_ground: { code: 'imminent_danger_to_life' } },
    });
    await lookAsOwner(
      services,
      `create function fail() returns trigger language plpgsql as $$ begin raise exception 'no'; end $$;
       create trigger fails before insert on undelivered for each row when (new.agency_id = '${id}') execute function fail()`,
    );
    const before = (await called(agencies.civil_society.id)).length;
    await wait(5 * MINUTE);
    t.equal((await called(agencies.civil_society.id)).length, before + 1);
    t.match(
      (await entriesOf(services, 'agency.call')).filter(({ outcome }) => outcome === 'failed'),
      [{ code: 'internal_error' }],
    );
    await lookAsOwner(services, 'drop trigger fails on undelivered');
    await wait(MINUTE);
    t.match((await calls()).at(-1)![1], { agency_id: id });
    await hears('health', 'civil_society', 'helpline_a', 'helpline_b', 'committee');
    await wait(0);
  });
});

t.test('what counts as heard', async t => {
  const it = await start(t);
  const { services, clock, as, wait, called } = it;
  const actors = await demoActors(services);
  const receiver = await startReceiver(t);
  const outbound = createOutbound({ production: false, ports: [] });
  t.teardown(() => outbound.close());
  const { agency_id } = actors.health;
  const tell = (more: Parameters<typeof notice>[1] = {}) =>
    emit(services, actors.helpline_a, notice([agency_id], { type: 'referral.offered', urgent: true, ...more }));
  const deliver = async () => {
    await relayAll(services);
    await deliverDue({ ...services, queue: null }, outbound);
  };
  const calls = async () => (await called(agency_id)).length;
  let before = 0;
  /** Whether what was told by now makes somebody call. */
  const isMissed = async () => {
    await wait(5 * MINUTE);
    const now = await calls();
    const missed = now > before;
    before = now;
    return missed;
  };
  const hear = async () => {
    await relayAll(services);
    ok(await as('health', 'nobody').get('/v1/events?limit=200'));
    await wait(0);
  };

  await t.test('nothing, where there is no endpoint and no pull', async t => {
    await tell({ urgent: false });
    t.notOk(await isMissed(), 'but only of emergencies');
    await tell({ type: 'endpoint.failing' });
    await tell({ type: 'timer.escalated' });
    t.notOk(await isMissed(), 'and not of calls, nor of what is told of endpoints');
    await tell();
    t.ok(await isMissed());
    await hear();
  });

  await t.test('a pull up to there, at once', async t => {
    await tell();
    ok(await as('health', 'nobody').get('/v1/events?limit=200'));
    await relayAll(services);
    ok(await as('health', 'nobody').get('/v1/events?types=case.opened'));
    t.ok(await isMissed(), 'not of something else, nor of what was there before');
    await hear();
    await tell();
    await relayAll(services);
    ok(await as('health', 'nobody').get('/v1/events?limit=200'));
    t.notOk(await isMissed(), 'also within a minute of another');
  });

  const endpoint = async (event_types: string[]): Promise<string> =>
    ok(await as('health', 'supervisor').post('/v1/webhook-endpoints', { url: receiver.url, event_types })).id;

  await t.test('a delivery, or that it was withheld', async t => {
    const id = await endpoint(['*']);
    receiver.replies.push({ status: 500 });
    await tell();
    await deliver();
    t.ok(await isMissed(), 'but not an attempt');
    await deliver();
    await wait(0);
    t.strictSame(await asRelay(services, tx => tx.selectFrom('undelivered').selectAll().execute()), [], 'the next arrived');
    await tell();
    await deliver();
    t.notOk(await isMissed());
    await tell({ referral_id: 'ref_01jabcdefghjkmnpqrstvwxyz0', type: 'referral.received' });
    await deliver();
    t.match((await asRelay(services, tx => tx.selectFrom('deliveries').select('state').orderBy('id').execute())).at(-1), {
      state: 'withheld',
    });
    t.notOk(await isMissed());
    ok(await as('health', 'supervisor').delete(`/v1/webhook-endpoints/${id}`));
  });

  await t.test('what an agency that takes offers chose not to be sent', async t => {
    const some = await endpoint(['case.opened']);
    await tell({ type: 'referral.received' });
    await deliver();
    t.ok(await isMissed(), 'but not where it takes none');
    await hear();
    const offers = await endpoint(['referral.offered']);
    await tell({ type: 'referral.received' });
    await deliver();
    t.notOk(await isMissed());
    ok(await as('health', 'supervisor').post(`/v1/webhook-endpoints/${offers}/pause`));
    await tell({ type: 'referral.received' });
    await deliver();
    t.ok(await isMissed(), 'nor while it is off');
    await hear();
    const all = await endpoint(['*']);
    ok(await as('health', 'supervisor').post(`/v1/webhook-endpoints/${offers}/enable`));
    await asRelay(services, tx =>
      tx.updateTable('webhook_endpoints').set({ status: 'disabled' }).where('id', '=', all).execute(),
    );
    await tell({ type: 'safety.changed' });
    await deliver();
    t.ok(await isMissed(), 'nor what it asks for by another that is off');
    await hear();
    for (const id of [some, offers, all]) await as('health', 'supervisor').delete(`/v1/webhook-endpoints/${id}`);
    await tell();
    await relayAll(services);
    clock.advance(MINUTE);
    await endpoint(['*']);
    t.ok(await isMissed(), 'nor of what happened before it had the endpoint');
  });
});

t.test('an agency that offers no service need not ask for offers to be heard', async t => {
  const { services, as, agencies, wait, called, putRoster, person } = await start(t);
  await putRoster([person('civil_society')]);
  const { helpline_a, health } = await demoActors(services);
  const tell = (to: typeof health) =>
    emit(services, helpline_a, notice([to.agency_id], { type: 'referral.received', urgent: true }));
  const body = { url: 'http://127.0.0.1:9/', event_types: ['referral.accepted'] };
  for (const key of ['helpline_a', 'health'] as const) ok(await as(key, 'supervisor').post('/v1/webhook-endpoints', body));
  for (const to of [helpline_a, health]) await tell(to);
  await relayAll(services);
  await wait(5 * MINUTE);
  t.strictSame(await called(agencies.helpline_a.id), [], 'by an endpoint');
  t.strictSame(await called(agencies.health.id), ['civil_society']);
  const pull = (key: DemoAgencyKey, types: string) => as(key, 'nobody').get(`/v1/events?types=${types}`).then(ok);
  const { helpline_b } = await demoActors(services);
  await tell(helpline_b);
  await relayAll(services);
  await pull('helpline_b', 'referral.accepted,referral.declined');
  await pull('health', 'referral.accepted');
  await tell(helpline_b);
  await relayAll(services);
  await pull('helpline_b', 'digest.daily,case.opened');
  await wait(5 * MINUTE);
  t.strictSame(await called(agencies.helpline_b.id), ['civil_society'], 'nor does what is of no referral hear');
  await pull('helpline_b', 'referral.accepted');
  await wait(5 * MINUTE);
  t.strictSame(
    (await asRelay(services, tx => tx.selectFrom('undelivered').select('agency_id').execute())).map(it => it.agency_id),
    [agencies.health.id],
    'by a pull',
  );
});

t.test('of a protected place nobody is told who it is', async t => {
  const { as, agencies, sender, putRoster, person, hears, wait, calls, acknowledge, services } = await start(t);
  await putRoster([person('civil_society')]);
  const { referral } = await startNight(sender);
  await hears('helpline_a', 'committee');
  await wait(5 * MINUTE);
  const [[to, body], ...others] = (await calls()) as [[string, ToldEvent['data']]];
  t.equal(others.length, 0);
  t.equal(to, 'civil_society');
  t.match(body, { status: 'undelivered', undelivered: 1, placed: { region: null, duty_contact: /duty desk/ } });
  t.match(body.escalation_id, /^esc_/);
  t.notMatch(
    JSON.stringify(body),
    new RegExp(`${agencies.shelter_a.id}|${agencies.shelter_b.id}|${referral.id}|${referral.case_id}`),
  );
  for (const key of ['shelter_a', 'shelter_b'] as const)
    t.equal((await acknowledge(as('civil_society'), agencies[key].id)).status, 404, 'nor can it be found by trying');
  const key = { 'idempotency-key': 'answered' };
  const done = ok(await acknowledge(as('civil_society'), body.escalation_id, key));
  t.match(done, { escalation_id: body.escalation_id, placed: body.placed, called: person('civil_society') });
  const again = await acknowledge(as('civil_society'), body.escalation_id, key);
  t.match(again, { status: 200, body: done, headers: { 'idempotency-replayed': 'true' } });
  t.notMatch(JSON.stringify(done), new RegExp(`${agencies.shelter_a.id}|${agencies.shelter_b.id}`));
  t.strictSame(
    (await entriesOf(services, 'agency.acknowledge_escalation')).map(({ outcome }) => outcome),
    ['denied', 'denied', 'done', 'read'],
  );
});

t.test('where nobody is on duty the coordinators are told, and where there are none nobody', async t => {
  const { as, agencies, ask, wait, calls, acknowledge, hears, services } = await start(t);
  const { id } = agencies.health;
  await ask({ urgency: 'emergency' });
  await hears('helpline_a');
  await wait(5 * MINUTE);
  t.match(await calls(), [['committee', { agency_id: id, call: 1, notify: { roles: ['coordinator'] } }]]);
  t.equal((await acknowledge(as('civil_society'), id)).status, 404);
  await lookAsOwner(services, `update agencies set jurisdictions = '{XB}' where kind = 'coordination_committee'`);
  await wait(10 * MINUTE);
  t.equal((await calls()).length, 1);
  const stands = (await entriesOf(services, 'agency.call')).filter(({ outcome }) => outcome === 'done');
  t.equal(stands.length, 2, 'but it stands in the trail');
  await lookAsOwner(services, `update agencies set jurisdictions = '{XA,XB}' where kind = 'coordination_committee'`);
  t.match(ok(await acknowledge(as('committee'), id)), { agency_id: id, acknowledged_by: { agency_id: agencies.committee.id } });
});

t.test('row-level security alone shows it to those who are called, on duty or coordinate', async t => {
  const { services, agencies, ask, wait, hears, putRoster, person, acknowledge, as } = await start(t);
  const { id } = agencies.health;
  const actors = await demoActors(services);
  const seenBy = async () => {
    const found: string[] = [];
    for (const [key, actor] of Object.entries(actors))
      if (await transact(services, actor, tx => findUndelivered(tx, id))) found.push(key);
    return found.sort();
  };
  await putRoster([person('civil_society'), person('labour_inspection')]);
  await ask({ urgency: 'emergency' });
  await hears('helpline_a', 'committee');
  await wait(5 * MINUTE);
  t.strictSame(await seenBy(), ['civil_society', 'committee', 'labour_inspection']);
  const changed = await transact(services, actors.civil_society, tx =>
    tx.updateTable('undelivered').set({ events: 0 }).executeTakeFirst(),
  );
  t.equal(changed.numUpdatedRows, 0n, 'who sees it changes nothing');
  ok(await acknowledge(as('labour_inspection'), id));
  t.strictSame(await seenBy(), ['committee', 'labour_inspection'], 'and then to whoever has it in hand');
  for (const table of ['event_pulls', 'unreachable_agencies', 'digests'] as const)
    for (const actor of Object.values(actors))
      t.strictSame(await transact(services, actor, tx => tx.selectFrom(table).selectAll().execute()), [], table);
});

t.test('an idle round is an index away, however much was delivered', async t => {
  const { services } = await start(t);
  const { helpline_a, health } = await demoActors(services);
  for (let round = 0; round < 4; round += 1)
    await emit(services, helpline_a, ...Array.from({ length: 250 }, () => notice([health.agency_id], { urgent: true })));
  await lookAsOwner(services, 'update events set heard_at = occurred_at where number > 5; analyze events');
  const plan = await asRelay(services, async tx => {
    const { rows } = await sql<Record<string, string>>`explain ${selectConcerned(overdueAt(services.now()))}`.execute(tx);
    return rows.map(row => Object.values(row)[0]).join('\n');
  });
  t.match(plan, /Index .*events_unheard/);
  t.notMatch(plan, /Seq Scan on events/);
});
