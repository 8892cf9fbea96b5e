import t from 'tap';
import { isMissed, isReachable, takesOffers } from '../../src/core/reach.ts';
import type { DemoAgencyKey } from '../../src/demo.ts';
import { beat } from '../../src/platform/heartbeat.ts';
import { watchReach } from '../../src/webhooks/reach/watch.ts';
import { startTestApp } from '../support/app.ts';
import { drain } from '../support/drain.ts';
import { all, clinic, eventsOf, HOUR, MINUTE, type ToldEvent } from '../support/journey.ts';
import { type Client, mechanism } from '../support/mechanism.ts';
import { ok, startNight } from '../support/night.ts';
import { entriesOf, lookAsOwner } from '../support/trail.ts';
import { asRelay } from '../support/webhooks.ts';

/** Whether anybody at an agency hears of an offer, who is told when nobody does, and whom the router then asks. */

t.setTimeout(240_000);

const NOW = new Date('2026-11-21T19:00:00.000Z');
const ago = (ms: number) => new Date(NOW.getTime() - ms);
const HOOK = 'http://127.0.0.1:9/hook';

t.test('the rule', async t => {
  const rows: [string, (Date | null)[], Date | null, boolean][] = [
    ['nothing', [], null, false],
    ['an endpoint that works', [null], null, true],
    ['one that has failed for less than five minutes', [ago(5 * MINUTE - 1)], null, true],
    ['one that has failed for five', [ago(5 * MINUTE)], null, false],
    ['one of two that works', [ago(HOUR), null], null, true],
    ['a pull of fifteen minutes ago', [], ago(15 * MINUTE), true],
    ['an earlier one', [], ago(15 * MINUTE + 1), false],
    ['a pull beside a dead endpoint', [ago(HOUR)], ago(MINUTE), true],
  ];
  for (const [said, failing_since, pulled_at, reachable] of rows)
    t.equal(isReachable({ failing_since, pulled_at }, NOW), reachable, said);

  const missed = (serves_since: Date, pulled_at: Date | null, running_since: Date | null) =>
    isMissed({ failing_since: [], pulled_at, serves_since }, running_since, NOW);
  t.equal(missed(ago(15 * MINUTE - 1), null, null), false, 'who is new has a while');
  t.equal(missed(ago(15 * MINUTE), null, null), true);
  t.equal(missed(ago(HOUR), ago(20 * MINUTE), ago(MINUTE)), false, 'nobody could pull while the service was down');
  t.equal(missed(ago(HOUR), ago(20 * MINUTE), ago(15 * MINUTE)), true, 'who pulled has to be back by then');
  t.equal(missed(ago(HOUR), null, ago(MINUTE)), true, 'who never did is not waited for');
  t.equal(missed(ago(HOUR), ago(MINUTE), null), false);

  t.ok(takesOffers(undefined) && takesOffers(['*']) && takesOffers(['case.opened', 'referral.offered']));
  t.notOk(takesOffers(['case.opened']));
});

t.test('an agency', async t => {
  const test = await startTestApp(t);
  const { services, clock } = test;
  const { as, agencies, tokenFor } = await mechanism(test);
  const [supervisor, committee] = [as('health', 'supervisor'), as('committee')];
  const path = `/v1/agencies/${agencies.health.id}`;
  const reachable = async (who: Client = committee) => ok(await who.get(path)).reachable as boolean | undefined;
  const listed = async (who: Client) =>
    Object.fromEntries((await all(who, '/v1/agencies')).flatMap(it => ('reachable' in it ? [[it.id, it.reachable]] : [])));
  const endpoint = async (event_types: string[]) =>
    ok(await supervisor.post('/v1/webhook-endpoints', { url: HOOK, event_types })).id as string;
  const failing = (id: string, since: Date | null) =>
    lookAsOwner(services, 'update webhook_endpoints set failing_since = $1 where id = $2', [since, id]);

  await t.test('is reachable by an endpoint that takes offers and works', async t => {
    t.equal(await reachable(), false, 'without one it is not');
    const other = await endpoint(['case.opened']);
    t.equal(await reachable(), false, 'nor by one that takes none');
    const id = await endpoint(['referral.offered']);
    t.equal(await reachable(), true);
    await failing(id, ago(5 * MINUTE - 1));
    t.equal(await reachable(), true);
    clock.advance(1);
    t.equal(await reachable(), false, 'when it has failed for five minutes');
    await failing(id, null);
    ok(await supervisor.post(`/v1/webhook-endpoints/${id}/pause`));
    t.equal(await reachable(), false, 'when it is off');
    ok(await supervisor.post(`/v1/webhook-endpoints/${id}/enable`));
    t.equal(await reachable(), true);
    for (const it of [id, other]) await supervisor.delete(`/v1/webhook-endpoints/${it}`);
    t.equal(await reachable(), false, 'when it is gone');
  });

  await t.test('is told so itself, and its coordinators are, and nobody else', async t => {
    t.equal(await reachable(as('health', 'nobody')), false);
    for (const key of ['helpline_a', 'audit_body', 'shelter_a'] as const) t.equal(await reachable(as(key)), undefined, key);
    t.equal(Object.keys(await listed(committee)).length, Object.keys(agencies).length);
    t.strictSame(Object.keys(await listed(as('health'))), [agencies.health.id]);
  });

  await t.test('is reachable for a quarter of an hour after it pulled offers', async t => {
    const puller = as('health', 'nobody');
    ok(await puller.get('/v1/events?types=case.opened'));
    t.equal(await reachable(), false, 'who pulls other things hears of none');
    ok(await puller.get('/v1/events?types=case.opened,referral.offered'));
    t.equal(await reachable(), true);
    clock.advance(15 * MINUTE);
    t.equal(await reachable(), true);
    clock.advance(1);
    t.equal(await reachable(), false);

    const pulls = () => asRelay(services, tx => tx.selectFrom('event_pulls').selectAll().execute());
    ok(await puller.get('/v1/events'));
    const first = await pulls();
    clock.advance(MINUTE - 1);
    ok(await puller.get('/v1/events'));
    t.strictSame(await pulls(), first, 'written once a minute');
    clock.advance(1);
    ok(await puller.get('/v1/events'));
    t.strictSame((await pulls())[0]!.pulled_at, clock.now());

    clock.advance(20 * MINUTE);
    const { next_cursor } = ok(await puller.get('/v1/events'));
    clock.advance(20 * MINUTE);
    const waiting = test.app.inject({
      method: 'GET',
      url: `/v1/events?wait=1${next_cursor ? `&after=${next_cursor}` : ''}`,
      headers: { authorization: `Bearer ${await tokenFor('health')}` },
    });
    while ((await pulls())[0]!.pulled_at < clock.now()) await new Promise(resolve => setTimeout(resolve, 5));
    clock.advance(20 * MINUTE);
    t.equal((await waiting).statusCode, 200);
    t.strictSame((await pulls())[0]!.pulled_at, clock.now(), 'a pull that waited counts when it ends, too');
  });
});

t.test('who is out of reach', async t => {
  const test = await startTestApp(t);
  const { services, clock } = test;
  const { as, agencies } = await mechanism(test);
  const [supervisor, committee] = [as('health', 'supervisor'), as('committee')];
  const { id } = agencies.health;
  const about = ({ type, data }: ToldEvent) =>
    ['endpoint.failing', 'endpoint.recovered'].includes(type) && data.agency_id === id && !data.endpoint_id;
  const told = async (who: Client) =>
    (await eventsOf(services, who))
      .filter(about)
      .map(({ type, data: { event_id: _, position: __, sequence: ___, ...data } }) => ({
        type,
        ...data,
      }));
  const gone = { type: 'endpoint.failing', agency_id: id, status: 'unreachable', since: clock.now().toISOString() };

  await t.test('is noted once, however many look; itself and its coordinators are told', async t => {
    await Promise.all([watchReach(services), watchReach(services), watchReach(services)]);
    await watchReach(services);
    t.strictSame(await told(committee), [gone]);
    t.strictSame(await told(as('health', 'nobody')), [gone], 'it finds that when it pulls');
    t.strictSame(await told(as('helpline_a')), []);
    const noted = await entriesOf(services, 'agency.note_unreachable');
    t.equal(noted.length, 7, 'the others that offer something, but who offers nothing is not looked for');
    t.ok(noted.every(({ outcome, client_id }) => outcome === 'done' && client_id === 'system:relay'));
  });

  await t.test('is back as soon as somebody pulls, or an endpoint works', async t => {
    const back = { type: 'endpoint.recovered', agency_id: id, status: 'reachable' };
    await drain(services);
    t.strictSame(await told(committee), [gone, back]);
    t.equal((await entriesOf(services, 'agency.note_reachable')).length, 1);
    clock.advance(16 * MINUTE);
    await drain(services);
    const again = { ...gone, since: clock.now().toISOString() };
    t.strictSame(await told(committee), [gone, back, again]);
    ok(await supervisor.post('/v1/webhook-endpoints', { url: HOOK, event_types: ['*'] }));
    await drain(services);
    t.strictSame(await told(committee), [gone, back, again, back]);
  });

  await t.test('but not who is new, nor who pulls while the service was down', async t => {
    const since = async () => (await asRelay(services, tx => tx.selectFrom('unreachable_agencies').selectAll().execute())).length;
    const known = await since();
    const entered = ok(
      await as('committee', 'nobody').post('/v1/agencies', { name: 'New Clinic', kind: 'health', jurisdictions: ['XA'] }),
    );
    await lookAsOwner(
      services,
      `insert into services select (jsonb_populate_record(s, jsonb_build_object('agency_id', $1::text, 'created_at', $2::timestamptz))).*
       from services s where agency_id = $3 limit 1`,
      [entered.id, clock.now(), id],
    );
    await watchReach(services);
    t.equal(await since(), known);
    clock.advance(15 * MINUTE);
    await watchReach(services);
    t.equal(await since(), known + 1, 'after a quarter of an hour it is');

    const puller = as('civil_society', 'nobody');
    ok(await puller.get('/v1/events'));
    await watchReach(services);
    const before = await since();
    clock.advance(3 * HOUR);
    await beat(services, 'api');
    await watchReach(services);
    t.equal(await since(), before, 'nobody could pull');
    for (let beats = 0; beats < 15 * 60; beats += 5) {
      clock.advance(5_000);
      await beat(services, 'api');
    }
    await watchReach(services);
    t.equal(await since(), before + 1, 'but has to be back in a quarter of an hour');
  });
});

t.test('the router', async t => {
  const test = await startTestApp(t);
  const { services } = test;
  const them = await mechanism(test);
  const { as, agencies } = them;
  const sender = as('helpline_a');
  const { ask } = clinic(them);
  const offer = async (key: DemoAgencyKey, languages: string[], headers = {}) =>
    ok(await as(key, 'supervisor').put(`/v1/agencies/${agencies[key].id}/services/medical`, { languages }, headers));
  // By everything else the clinic is far ahead.
  await offer('health', ['ar'], { 'if-match': '*' });
  await offer('civil_society', ['fr']);
  const anybody = { lawful_ground: { code: 'imminent_danger_to_life' }, service: 'medical' };
  const askedFor = async (urgency: string) => {
    const { referral } = await startNight(sender, { referral: { ...anybody, urgency } });
    const [{ agency_id }] = ok(await sender.get(`/v1/referrals/${referral.id}`)).offers;
    return { agency_id, referral };
  };
  const failing = async (who: Client, referral_id: string) =>
    (await eventsOf(services, who, referral_id)).filter(({ type }) => type === 'endpoint.failing');
  const reasons = async (id: string, who: Client = sender) =>
    Object.fromEntries(
      ok(await who.get(`/v1/referrals/${id}/candidates`)).data.map((row: { agency_id: string; reasons: { rule: string }[] }) => [
        row.agency_id,
        row.reasons.find(({ rule }) => rule === 'reachability'),
      ]),
    );

  await t.test('asks the best where nobody is reachable, and tells the coordinator in the same act', async t => {
    const { agency_id, referral } = await askedFor('emergency');
    t.equal(agency_id, agencies.health.id);
    const [event, ...others] = await failing(as('committee'), referral.id);
    t.match(event!.data, {
      referral_id: referral.id,
      case_id: referral.case_id,
      agency_id,
      status: 'unreachable',
      urgency: 'emergency',
      notify: { roles: ['coordinator'] },
    });
    t.equal(others.length, 0);
    t.equal(event!.timestamp, referral.created_at);
    for (const who of [sender, as('health')]) t.strictSame(await failing(who, referral.id), []);
    t.equal((await reasons(referral.id))[agencies.civil_society.id].points, 0);
  });

  await t.test('passes by whoever is not, as long as somebody is left', async t => {
    // Both pulled above; the clinic long ago.
    await lookAsOwner(services, 'delete from event_pulls');
    ok(await as('civil_society', 'nobody').get('/v1/events'));
    const { agency_id, referral } = await askedFor('emergency');
    t.equal(agency_id, agencies.civil_society.id);
    t.strictSame(await failing(as('committee'), referral.id), []);
    t.strictSame(await reasons(referral.id), {
      [agencies.health.id]: { rule: 'reachability', points: 0, text: 'its system takes no events now' },
      // It is being asked, and so has no rank.
      [agencies.civil_society.id]: undefined,
    });
    ok(await as('civil_society').post(`/v1/referrals/${referral.id}/decline`, { reason_code: 'unsafe' }));
    t.equal(ok(await sender.get(`/v1/referrals/${referral.id}`)).offer.agency_id, agencies.health.id, 'then the next');
    t.equal((await failing(as('committee'), referral.id)).length, 1);
  });

  await t.test('looks at it in emergencies alone', async t => {
    const { agency_id, referral } = await askedFor('urgent');
    t.equal(agency_id, agencies.health.id);
    t.strictSame(await failing(as('committee'), referral.id), []);
    t.notOk(Object.values(await reasons(referral.id)).some(Boolean));
  });

  await t.test('asks whom somebody named, and tells the coordinator', async t => {
    const { referral } = await ask({ urgency: 'emergency' });
    t.equal((await failing(as('committee'), referral.id)).length, 1);
  });

  await t.test('tells nobody who is in a protected place', async t => {
    const { referral } = await startNight(sender, {});
    t.strictSame(await failing(as('committee'), referral.id), [], 'by name it hears which agencies are out of reach');
    const hidden = ok(await sender.get(`/v1/referrals/${referral.id}/candidates`)).data.filter(
      (row: { placed?: object }) => row.placed,
    );
    t.ok(hidden.length > 1);
    t.notMatch(JSON.stringify(hidden), /reachability/, 'it is one of what makes the best of them');
  });
});
