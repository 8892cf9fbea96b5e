import { sql } from 'kysely';
import t, { type Test } from 'tap';
import type { OfferStatus } from '../../src/core/codes.ts';
import { EVENT_TYPES, type EventType } from '../../src/core/events.ts';
import { createOutbound } from '../../src/platform/outbound.ts';
import { deliverDue } from '../../src/webhooks/turn.ts';
import { startTestApp } from '../support/app.ts';
import { drain } from '../support/drain.ts';
import { identification } from '../support/identification.ts';
import { all, clinic, eventsOf, HOUR, type ToldEvent } from '../support/journey.ts';
import { mechanism } from '../support/mechanism.ts';
import { consentBody, ok, referralBody } from '../support/night.ts';
import { NEW_SERVICE } from '../support/story.ts';
import { asRelay, demoActors, emit, notice, startReceiver } from '../support/webhooks.ts';

/**
 * Access is looked at again at delivery: of every type, what a recipient may still know goes out whole, and what it may no longer
 * know by id and position, but for what ends or changes its duties. Pushed, pulled and in the log of deliveries alike.
 */

t.setTimeout(300_000);

/** Of a receiver of the referral. `taken`: while its offer is taken; `known`: until it confirms that it deleted what it held. */
type Until = 'always' | 'taken' | 'known';
type About = 'referral' | 'case' | 'nothing';

/** What events of a type are about, and until when they are told to whoever was to be told. */
const TOLD: Record<EventType, { about: readonly About[]; until: Until; of_referral?: Until }> = {
  'referral.offered': { about: ['referral'], until: 'known' },
  'referral.received': { about: ['referral'], until: 'known' },
  'referral.information_requested': { about: ['referral'], until: 'known' },
  'referral.information_provided': { about: ['referral'], until: 'known' },
  'referral.waitlisted': { about: ['referral'], until: 'known' },
  'referral.accepted': { about: ['referral'], until: 'known' },
  'referral.declined': { about: ['referral'], until: 'always' },
  'referral.expired': { about: ['referral'], until: 'always' },
  'referral.rerouted': { about: ['referral'], until: 'always' },
  'referral.unplaced': { about: ['referral'], until: 'known' },
  'referral.parted': { about: ['referral'], until: 'known' },
  'referral.handover_confirmed': { about: ['referral'], until: 'known' },
  'referral.no_show': { about: ['referral'], until: 'known' },
  'referral.reviewed': { about: ['referral'], until: 'known' },
  'referral.completed': { about: ['referral'], until: 'known' },
  'referral.failed': { about: ['referral'], until: 'known' },
  'referral.cancelled': { about: ['referral'], until: 'always' },
  'referral.withdrawn': { about: ['referral'], until: 'always' },
  'referral.contested': { about: ['referral'], until: 'known' },
  'referral.message': { about: ['referral'], until: 'taken' },
  'case.opened': { about: ['case'], until: 'known' },
  'case.stage_changed': { about: ['case', 'referral'], until: 'known', of_referral: 'taken' },
  'case.closed': { about: ['case'], until: 'known' },
  'case.reopened': { about: ['case'], until: 'known' },
  'case.transferred': { about: ['case'], until: 'known' },
  'case.separation_changed': { about: ['case'], until: 'known' },
  'case.erased': { about: ['case'], until: 'always' },
  'consent.granted': { about: ['case'], until: 'known' },
  'consent.withdrawn': { about: ['case', 'referral'], until: 'always' },
  'consent.expiring': { about: ['case'], until: 'known' },
  'consent.expired': { about: ['case'], until: 'known' },
  'disclosure.updated': { about: ['case', 'referral'], until: 'known', of_referral: 'taken' },
  'disclosure.deletion_due': { about: ['referral'], until: 'known' },
  'safety.changed': { about: ['referral'], until: 'always' },
  'decision.made': { about: ['case', 'referral'], until: 'known', of_referral: 'taken' },
  'decision.served': { about: ['case', 'referral'], until: 'known', of_referral: 'taken' },
  'expert.requested': { about: ['nothing'], until: 'known' },
  'expert.confirmed': { about: ['nothing'], until: 'known' },
  'expert.declined': { about: ['nothing'], until: 'known' },
  'expert.expired': { about: ['nothing'], until: 'known' },
  'expert.cancelled': { about: ['nothing'], until: 'known' },
  'timer.warned': { about: ['case', 'referral'], until: 'known' },
  'timer.breached': { about: ['case', 'referral'], until: 'known' },
  // About nothing: a call to somebody on duty, and how many a changed calendar moved.
  'timer.escalated': { about: ['case', 'referral', 'nothing'], until: 'known' },
  'timer.paused': { about: ['case', 'referral'], until: 'known' },
  'timer.resumed': { about: ['case', 'referral'], until: 'known' },
  'timer.moved': { about: ['case', 'referral', 'nothing'], until: 'known' },
  'access.emergency': { about: ['case'], until: 'known' },
  'access.unassigned': { about: ['case', 'referral'], until: 'known' },
  'duplicate.suspected': { about: ['case'], until: 'known' },
  'coverage.gap': { about: ['nothing'], until: 'known' },
  'crisis.started': { about: ['nothing'], until: 'known' },
  'crisis.ended': { about: ['nothing'], until: 'known' },
  'endpoint.failing': { about: ['nothing'], until: 'known' },
  'endpoint.disabled': { about: ['nothing'], until: 'known' },
  'endpoint.recovered': { about: ['nothing'], until: 'known' },
  'endpoint.test': { about: ['nothing'], until: 'known' },
  'digest.daily': { about: ['nothing'], until: 'known' },
  'audit.alarm': { about: ['nothing'], until: 'known' },
  // What others are told as; none is recorded.
  'event.withheld': { about: [], until: 'known' },
};

/** What the receiver is to the referral. */
type Standing = 'taken' | 'over' | 'forgotten';

interface Row {
  id: string;
  type: EventType;
  referral_id: string | null;
  case_id: string | null;
  body: object;
  position: number;
  sequence: number;
  occurred_at: Date;
}

function mayKnow({ type, referral_id, case_id }: Row, standing: Standing): boolean {
  const { until: of_case, of_referral = of_case } = TOLD[type];
  const until = referral_id === null ? of_case : of_referral;
  if (until === 'always' || (referral_id === null && case_id === null)) return true;
  return until === 'taken' ? standing === 'taken' : standing !== 'forgotten';
}

/** The event as it is told, word for word. */
function toldAs(row: Row, standing: Standing): ToldEvent {
  const { id: event_id, type, body, position, sequence } = row;
  const timestamp = row.occurred_at.toISOString();
  return mayKnow(row, standing)
    ? { type, timestamp, data: { event_id, ...body, position, sequence } }
    : { type: 'event.withheld', timestamp, data: { event_id, position } };
}

/** A clinic with an endpoint that has taken a referral, and whoever records events for it. */
async function start(t: Test, status: OfferStatus = 'accepted') {
  const test = await startTestApp(t);
  const { services } = test;
  const them = await mechanism(test);
  const { sender, receiver: health, at } = clinic(them);
  const actors = await demoActors(services);
  const receiver = await startReceiver(t);
  const outbound = createOutbound({ production: false, ports: [] });
  t.teardown(() => outbound.close());
  const endpoints = '/v1/webhook-endpoints';
  const registered = await them.as('health', 'supervisor').post(endpoints, { url: receiver.url, event_types: ['*'] });
  const { id: endpoint_id } = ok(registered);
  const { kase, referral, consent } = await at(test, status);
  const { id: offer_id } = ok(await health.get(`/v1/referrals/${referral.id}`)).offer;

  /** One event of every type, about all that such events are about. */
  async function tellAll(): Promise<void> {
    const ids = { referral_id: referral.id, offer_id, agency_id: health.agency.id };
    const bodies = { referral: ids, case: { agency_id: health.agency.id }, nothing: { agency_id: health.agency.id } };
    const of = {
      referral: { subject_id: referral.id, referral_id: referral.id, case_id: kase.id },
      case: { subject_id: kase.id, case_id: kase.id },
      nothing: { subject_id: endpoint_id },
    };
    const notices = EVENT_TYPES.flatMap(type =>
      TOLD[type].about.map(about => notice([health.agency.id], { type, ...of[about], body: bodies[about] })),
    );
    await emit(services, actors.helpline_a, ...notices);
  }

  const rows = () =>
    asRelay(services, tx =>
      tx
        .selectFrom('events')
        .select(['id', 'type', 'referral_id', 'case_id', 'body', 'occurred_at'])
        .select([sql<number>`position`.as('position'), sql<number>`sequence`.as('sequence')])
        .where('agency_id', '=', health.agency.id)
        .where('position', 'is not', null)
        .orderBy('position')
        .execute(),
    );

  /** Sends what is due. @returns what arrived, by its id */
  async function send(): Promise<Map<string, ToldEvent>> {
    await drain(services);
    receiver.received.length = 0;
    await deliverDue(services, outbound);
    for (const { headers, body } of receiver.received) t.equal(headers['webhook-id'], body.data.event_id);
    return new Map(receiver.received.map(({ body }) => [body.data.event_id, body]));
  }

  /** Holds a pull of everything, and the log of deliveries, to what the clinic now is to the referral. */
  async function pullAndLog(t: Test, standing: Standing): Promise<void> {
    const expected = await rows();
    const pulled = await eventsOf(services, health);
    t.strictSame(
      pulled,
      expected.map(row => toldAs(row, standing)),
      'pulled',
    );
    const log = await all(them.as('health', 'supervisor'), `${endpoints}/${endpoint_id}/deliveries`);
    const named = new Map(log.map(({ event_id, event_type }) => [event_id, event_type]));
    for (const row of expected) {
      if (!named.has(row.id)) continue;
      t.equal(named.get(row.id), toldAs(row, standing).type, `in the log: ${row.type}`);
    }
    t.ok(named.size > 0);
  }

  /** Sends what is due, and holds it, all that can be pulled and the log to what the clinic now is to the referral. */
  async function holds(t: Test, standing: Standing): Promise<void> {
    const arrived = await send();
    const by_id = new Map((await rows()).map(row => [row.id, row]));
    t.ok(arrived.size >= EVENT_TYPES.length);
    for (const [id, event] of arrived) t.strictSame(event, toldAs(by_id.get(id)!, standing), `pushed: ${by_id.get(id)!.type}`);
    const types = new Set([...arrived.keys()].map(id => by_id.get(id)!.type));
    t.strictSame(
      EVENT_TYPES.filter(type => !types.has(type)),
      ['event.withheld'],
      'of every type',
    );
    await pullAndLog(t, standing);
  }

  const recover = async (since: Date) =>
    ok(await them.as('health', 'supervisor').post(`${endpoints}/${endpoint_id}/recover`, { since: since.toISOString() }));

  return { ...test, them, sender, health, kase, referral, consent, tellAll, send, holds, recover };
}

t.test('every type of event stands in the table', async t => {
  t.strictSame(Object.keys(TOLD).sort(), [...EVENT_TYPES].sort());
});

t.test('to a receiver, while it holds the case, when its offer is over, and when it has deleted what it held', async t => {
  const it = await start(t);
  const { clock, health, kase, referral, tellAll, holds } = it;
  const since = clock.now();
  await it.send();

  await t.test('it holds the case', async t => {
    await tellAll();
    await holds(t, 'taken');
  });
  await t.test('its offer ended before they went out', async t => {
    await tellAll();
    clock.advance(HOUR);
    ok(await health.post(`/v1/referrals/${referral.id}/fail`, { reason_code: 'service_ended' }));
    await holds(t, 'over');
  });
  await t.test('it had deleted what it held before they went out', async t => {
    await tellAll();
    clock.advance(HOUR);
    const [disclosure] = await all(health, `/v1/cases/${kase.id}/disclosures`);
    ok(await health.post(`/v1/disclosures/${disclosure.id}/confirm-deletion`));
    await holds(t, 'forgotten');
  });
  await t.test('all of it is sent again', async t => {
    clock.advance(HOUR);
    await it.recover(since);
    await holds(t, 'forgotten');
  });
});

for (const [act, end] of Object.entries({
  'the consent was withdrawn, and with it the service': (it: Awaited<ReturnType<typeof start>>) =>
    it.sender.post(`/v1/consents/${it.consent.id}/withdraw`, { stop_service: true, spoken_in_private: true }),
  'the sender cancelled': (it: Awaited<ReturnType<typeof start>>) =>
    it.sender.post(`/v1/referrals/${it.referral.id}/cancel`, { reason_code: 'error' }),
  'nobody came': (it: Awaited<ReturnType<typeof start>>) => it.health.post(`/v1/referrals/${it.referral.id}/report-no-show`, {}),
})) {
  t.test(`what is due when ${act}`, async t => {
    const it = await start(t);
    await it.send();
    await it.tellAll();
    ok(await end(it));
    await it.holds(t, 'over');
  });
}

t.test('what ends the access arrives itself, whole', async t => {
  const it = await start(t);
  await it.send();
  ok(await it.sender.post(`/v1/consents/${it.consent.id}/withdraw`, { stop_service: true, spoken_in_private: true }));
  const arrived = [...(await it.send()).values()].map(({ type }) => type);
  for (const type of ['referral.withdrawn', 'disclosure.deletion_due']) t.ok(arrived.includes(type), type);
});

t.test('a former owner is told that the case went over, and when what it held is to be deleted', async t => {
  const test = await startTestApp(t);
  const { services } = test;
  const { as, agencies } = await mechanism(test);
  const support = as('civil_society');
  const path = `/v1/agencies/${agencies.civil_society.id}/services/case_management`;
  ok(await as('civil_society', 'supervisor').put(path, NEW_SERVICE, { 'if-none-match': '*' }));
  const { sender, ask } = clinic(await mechanism(test));
  const { kase } = await ask();
  const consent = { recipient: { agency_kind: 'civil_society' }, purposes: ['case_management'] };
  ok(await sender.post(`/v1/cases/${kase.id}/consents`, consentBody(consent)));
  const handed = { service: 'case_management', urgency: 'urgent', routing: 'direct', categories: ['identity'] };
  const made = ok(
    await sender.post(`/v1/cases/${kase.id}/referrals`, { ...handed, recipient_agency_id: agencies.civil_society.id }),
  );
  ok(await support.post(`/v1/referrals/${made.id}/accept`, {}));
  const told = (await eventsOf(services, sender, kase.id)).map(({ type }) => type);
  for (const type of ['case.transferred', 'disclosure.deletion_due', 'referral.accepted']) t.ok(told.includes(type), type);
  t.notOk(told.includes('event.withheld'));
});

t.test('whoever is called, warned of the log or told of an endpoint need know of no case', async t => {
  const test = await startTestApp(t);
  const { services } = test;
  const { as } = await mechanism(test);
  const { helpline_b, audit_body } = await demoActors(services);
  const types = EVENT_TYPES.filter(type => TOLD[type].about.includes('nothing'));
  await emit(
    services,
    helpline_b,
    ...types.map(type => notice([helpline_b.agency_id, audit_body.agency_id], { type, subject_id: 'trail' })),
  );
  for (const key of ['helpline_b', 'audit_body'] as const) {
    const told = await eventsOf(services, as(key, 'nobody'));
    t.strictSame(
      told.map(({ type }) => type),
      types,
      key,
    );
  }
});

t.test('a former owner may no longer know of consents that were given while the case was its own', async t => {
  const test = await startTestApp(t);
  const them = await mechanism(test);
  const { as, agencies } = them;
  const path = `/v1/agencies/${agencies.civil_society.id}/services/case_management`;
  ok(await as('civil_society', 'supervisor').put(path, NEW_SERVICE, { 'if-none-match': '*' }));
  const { sender, ask } = clinic(them);
  const { kase } = await ask();
  const consent = { recipient: { agency_kind: 'civil_society' }, purposes: ['case_management'] };
  ok(await sender.post(`/v1/cases/${kase.id}/consents`, consentBody(consent)));
  const handed = { service: 'case_management', urgency: 'urgent', routing: 'direct', categories: ['identity'] };
  const to = { recipient_agency_id: agencies.civil_society.id };
  const made = ok(await sender.post(`/v1/cases/${kase.id}/referrals`, { ...handed, ...to }));
  ok(await as('civil_society').post(`/v1/referrals/${made.id}/accept`, {}));
  t.equal((await sender.get(`/v1/cases/${kase.id}/consents`)).status, 403);
  const told = (await eventsOf(test.services, sender)).map(({ type }) => type);
  t.notOk(told.includes('consent.granted'));
  t.ok(told.includes('case.transferred'));
});

t.test('an authority whose offer is over learns nothing more of what others decided', async t => {
  const test = await startTestApp(t);
  const them = await mechanism(test);
  const { as, agencies } = them;
  const { owner, authority, accepted, body } = identification(test, them);
  const found = await accepted();
  const path = `/v1/agencies/${agencies.health.id}`;
  ok(await as('committee', 'nobody').patch(path, { competent_authority: true }, { 'if-match': '*' }));
  ok(await as('health', 'supervisor').put(`${path}/services/identification`, NEW_SERVICE, { 'if-none-match': '*' }));
  const consent = { recipient: { agency_kind: 'health' }, purposes: ['identification'] };
  ok(await owner.post(`${found.path}/consents`, consentBody(consent)));
  const direct = { service: 'identification', urgency: 'urgent', routing: 'direct', recipient_agency_id: agencies.health.id };
  const second = ok(await owner.post(`${found.path}/referrals`, referralBody(direct)));
  ok(await as('health').post(`/v1/referrals/${second.id}/accept`, {}));
  ok(await as('health').post(`${found.path}/decisions`, body('reasonable_grounds', 'positive')));
  ok(await authority.post(`/v1/referrals/${found.referral.id}/fail`, { reason_code: 'other' }));
  t.not((await authority.get(`${found.path}/decisions`)).status, 200);
  const told = (await eventsOf(test.services, authority)).map(({ type }) => type);
  t.notOk(told.includes('decision.made'));
});
