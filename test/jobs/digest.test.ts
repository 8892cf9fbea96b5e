import t from 'tap';
import { digestDue, tellByTrack } from '../../src/core/digest.ts';
import { createOutbound } from '../../src/platform/outbound.ts';
import { illustrativePack } from '../../src/rules/packs.ts';
import { tellDigests } from '../../src/webhooks/digests/daily.ts';
import { deliverDue } from '../../src/webhooks/turn.ts';
import { startTestApp } from '../support/app.ts';
import { bodyOf, calendar } from '../support/calendars.ts';
import { drain } from '../support/drain.ts';
import { clinic, DAY, eventsOf, HOUR, MINUTE } from '../support/journey.ts';
import { mechanism } from '../support/mechanism.ts';
import { caseBody, ok } from '../support/night.ts';
import { entriesOf, lookAsOwner } from '../support/trail.ts';
import { demoActors, relayAll, startReceiver } from '../support/webhooks.ts';

/** What a coordination committee is told every morning of the day before. */

t.setTimeout(120_000);

const ENDPOINTS = '/v1/webhook-endpoints';
const HOOK = 'http://127.0.0.1:9/hook';

t.test('from six in the morning, by the clock on the wall', async t => {
  const due = (at: string, zone = 'Africa/Cairo') => digestDue(new Date(at), zone);
  t.equal(due('2026-11-22T03:59:59.999Z'), null);
  t.strictSame(due('2026-11-22T04:00:00.000Z'), {
    day: '2026-11-22',
    counted: { day: '2026-11-21', from: new Date('2026-11-20T22:00:00.000Z'), to: new Date('2026-11-21T22:00:00.000Z') },
  });
  t.equal(due('2026-11-22T21:59:59.999Z')!.day, '2026-11-22', 'until the day is over');
  t.equal(due('2026-11-22T22:00:00.000Z'), null, 'never for the day before');
  const short = due('2026-04-25T05:00:00.000Z')!.counted;
  t.equal(short.to.getTime() - short.from.getTime(), 23 * HOUR, 'a day in which the clocks go forward is shorter');
  t.equal(due('2026-11-22T04:00:00.000Z', 'America/New_York')!.day, '2026-11-21', 'where it is still yesterday');
});

t.test('small groups are not told', async t => {
  t.strictSame(tellByTrack({ named: 5, anonymous: 7 }), { total: 12, by_track: { named: 5, anonymous: 7 } });
  t.strictSame(tellByTrack({ named: 5, anonymous: 0 }), { total: 5, by_track: { named: 5, anonymous: 0 } });
  for (const [named, anonymous] of [
    [4, 9],
    [9, 1],
    [1, 0],
  ] as const)
    t.strictSame(tellByTrack({ named, anonymous }), { total: named + anonymous }, `${named}, ${anonymous}`);
});

t.test('the daily digest', async t => {
  const test = await startTestApp(t);
  const { services, clock } = test;
  const them = await mechanism(test);
  const { as } = them;
  const { sender, receiver, ask } = clinic(them);
  const chief = as('committee', 'supervisor');
  const tellThrice = () => Promise.all([1, 2, 3].map(() => tellDigests(services)));
  const digests = async () => {
    await relayAll(services);
    const { data } = ok(await as('committee', 'nobody').get('/v1/events?types=digest.daily&limit=200'));
    return data.map(({ data: { event_id: _, position: __, sequence: ___, ...body } }: { data: Record<string, unknown> }) => body);
  };
  /** Eight in the evening in Cairo, where XA is; XB counts there, too. */
  t.equal(clock.now().toISOString(), '2026-11-21T19:00:00.000Z');
  const until = (at: string) => clock.advance(Date.parse(at) - clock.now().getTime());

  await t.test('is asked for by name, and by a committee alone', async t => {
    for (const body of [
      { url: HOOK, event_types: ['digest.daily'] },
      { url: HOOK, event_types: ['case.opened', 'digest.daily'] },
    ])
      t.match(await as('health', 'supervisor').post(ENDPOINTS, body), {
        status: 400,
        body: { code: 'invalid_request', errors: [{ pointer: '/event_types', detail: /committees alone/ }] },
      });
    const { id } = ok(await as('health', 'supervisor').post(ENDPOINTS, { url: HOOK, event_types: ['*'] }));
    const named = { event_types: ['digest.daily'] };
    t.equal((await as('health', 'supervisor').patch(`${ENDPOINTS}/${id}`, named, { 'if-match': '*' })).status, 400);
    ok(await chief.post(ENDPOINTS, { url: HOOK, event_types: ['*'] }));
  });

  for (let i = 0; i < 6; i += 1) ok(await sender.post('/v1/cases', caseBody()));
  ok(await sender.post('/v1/cases', caseBody({ track: 'anonymous', person: undefined })));
  const { referral, kase } = await ask({ urgency: 'emergency' });
  ok(await receiver.post(`/v1/referrals/${referral.id}/accept`));
  const crisis = { kind: 'epidemic', phase: 'response', reason: 'a fictional fever' };
  ok(await as('committee').post('/v1/jurisdictions/XA/crisis-modes', crisis));
  const declined = (await ask()).referral;
  ok(await receiver.post(`/v1/referrals/${declined.id}/decline`, { reason_code: 'unsafe' }));
  await ask({ urgency: 'emergency' });
  ok(await as('helpline_a', 'supervisor').post(`/v1/cases/${kase.id}/close`, { reason_code: 'error' }));
  clock.advance(HOUR + MINUTE);
  await drain(services);

  await t.test('is not told where only everything was asked for', async t => {
    until('2026-11-22T04:00:00.000Z');
    await tellThrice();
    t.strictSame(await digests(), []);
  });

  const receiving = await startReceiver(t);
  const { id } = ok(await chief.post(ENDPOINTS, { url: receiving.url, event_types: ['digest.daily'] }));

  await t.test('is told once for each jurisdiction, however many tell it', async t => {
    clock.advance(-1);
    await tellThrice();
    t.strictSame(await digests(), []);
    clock.advance(1);
    await tellThrice();
    const told = await digests();
    t.strictSame(
      told.map(({ jurisdiction }: { jurisdiction: string }) => jurisdiction),
      ['XA', 'XB'],
    );
    const [{ now, clocks, ...counted }] = told;
    t.strictSame(counted, {
      jurisdiction: 'XA',
      day: '2026-11-21',
      from: '2026-11-20T22:00:00.000Z',
      to: '2026-11-21T22:00:00.000Z',
      cases: { opened: { total: 10 }, closed: { total: 1 } },
      referrals: { made: 3, accepted: 1, declined: 1, expired: 1, completed: 0 },
      in_crisis: {
        opened: { total: 2 },
        closed: { total: 0, by_track: { named: 0, anonymous: 0 } },
        made: 2,
        accepted: 0,
        declined: 1,
        expired: 1,
        completed: 0,
        unplaced: 2,
        breached: 1,
      },
      notify: { roles: ['coordinator'] },
    });
    const [{ breached, escalated }] = (await lookAsOwner<{ breached: number; escalated: number }>(
      services,
      `select (select count(*)::int from timers where breached_at < '2026-11-21T22:00Z') as breached,
         (select count(distinct id)::int from events where type = 'timer.escalated' and case_id is not null
           and occurred_at < '2026-11-21T22:00Z') as escalated`,
    )) as [{ breached: number; escalated: number }];
    t.ok(breached > 0);
    t.strictSame(clocks, { breached, escalations: escalated });
    t.equal(now.unplaced, 2);
    t.ok(now.unreachable > 0 && now.undelivered > 0);
    t.match(told[1], { cases: { opened: { total: 0 } }, now: { unplaced: 0, undelivered: 0 } });
    t.notMatch(JSON.stringify(told), /(agy|cas|ref|off|whe)_/);
    const entries = await entriesOf(services, 'digest.tell');
    t.equal(entries.length, 2);
    t.ok(entries.every(({ outcome, client_id }) => outcome === 'done' && client_id === 'system:relay'));
    const others = await demoActors(services);
    for (const key of ['health', 'audit_body', 'helpline_a'] as const)
      t.notOk(
        (await eventsOf(services, as(key, 'nobody'))).some(({ type }) => type === 'digest.daily'),
        others[key].agency_id,
      );
  });

  await t.test('is sent to the endpoint', async t => {
    const outbound = createOutbound({ production: false, ports: [] });
    t.teardown(() => outbound.close());
    await deliverDue({ ...services, queue: null }, outbound);
    t.strictSame(receiving.received.map(({ body }) => [body.type, body.data.jurisdiction]).sort(), [
      ['digest.daily', 'XA'],
      ['digest.daily', 'XB'],
    ]);
  });

  await t.test('is told the next day, late where the service was down, and never twice', async t => {
    until('2026-11-23T21:59:00.000Z');
    await tellThrice();
    await tellThrice();
    const told = await digests();
    t.strictSame(
      told.slice(2).map(({ day }: { day: string }) => day),
      ['2026-11-22', '2026-11-22'],
    );
    t.match(told[2], { cases: { opened: { total: 0, by_track: { named: 0, anonymous: 0 } } } });
    until('2026-11-25T22:30:00.000Z');
    await tellThrice();
    t.equal((await digests()).length, 4, 'a day that is over is not made up for');
  });

  await t.test('follows the time zone of the jurisdiction', async t => {
    const zone = { ...bodyOf(calendar()), time_zone: 'America/New_York' };
    const path = `/v1/calendars/${illustrativePack('XA').calendar_id}`;
    ok(await as('committee', 'nobody').put(path, zone, { 'if-match': '*' }));
    until('2026-11-26T10:59:59.999Z');
    await tellThrice();
    const before = (await digests()).length;
    clock.advance(1);
    await tellThrice();
    t.match((await digests()).slice(before), { length: 2, 0: { day: '2026-11-25', from: '2026-11-25T05:00:00.000Z' } });
  });

  await t.test('fails for one without keeping it from the others', async t => {
    clock.advance(DAY);
    await lookAsOwner(
      services,
      `create function fail() returns trigger language plpgsql as $$ begin raise exception 'no'; end $$;
       create trigger fails before insert on digests for each row when (new.jurisdiction = 'XA') execute function fail()`,
    );
    const before = (await digests()).length;
    await tellThrice();
    t.match((await digests()).slice(before), [{ jurisdiction: 'XB' }]);
    t.match(
      (await entriesOf(services, 'digest.tell')).filter(({ outcome }) => outcome === 'failed'),
      [{ code: 'internal_error' }],
    );
    await lookAsOwner(services, 'drop trigger fails on digests');
    await tellThrice();
    t.match((await digests()).slice(before), [{ jurisdiction: 'XB' }, { jurisdiction: 'XA' }]);
  });

  await t.test('ends with the endpoint', async t => {
    ok(await chief.delete(`${ENDPOINTS}/${id}`));
    clock.advance(DAY);
    const before = (await digests()).length;
    await tellThrice();
    t.equal((await digests()).length, before);
  });
});
