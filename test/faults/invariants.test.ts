import pg from 'pg';
import t from 'tap';
import { startTestApp } from '../support/app.ts';
import { drain } from '../support/drain.ts';
import { type Acknowledged, type Facts, holdInvariants, look, type RULES } from '../support/invariants.ts';
import { clinic, HOUR } from '../support/journey.ts';
import { mechanism } from '../support/mechanism.ts';
import { caseBody, ok, startNight } from '../support/night.ts';
import { demoActors, registerEndpoint } from '../support/webhooks.ts';

/** The checker itself: it is content with what the service does, and each of its rules finds what breaks it. */

type Rule = keyof typeof RULES;

const AN_OFFER = `(select min(id) from offers where status = 'accepted')`;
const A_TIMER = `(select min(id) from timers where state = 'running' and subject_type = 'offer')`;
const acknowledged = (it: Partial<Acknowledged>): Facts['acknowledged'] => [
  { client_id: 'cli_x', action: 'case.open', kind: 'act', receipt: null, id: null, version: null, key: null, ...it },
];

/** What breaks each rule: done to the database, or said of it. */
const BREAKS: Record<Rule, string | ((some: { case_id: string; endpoint_id: string; event_id: string }) => Partial<Facts>)> = {
  'an acknowledged act is in the trail, once': () => ({ acknowledged: acknowledged({ receipt: '00' }) }),
  'what was acknowledged is there': () => ({ acknowledged: acknowledged({ id: 'cas_x' }) }),
  'what was acknowledged was not undone': ({ case_id }) => ({ acknowledged: acknowledged({ id: case_id, version: 2 }) }),
  'no two acts made the same version': ({ case_id }) => ({
    acknowledged: [1, 2].flatMap(() => acknowledged({ id: case_id, version: 1 })!),
  }),
  'an acknowledged key is kept, with what it made': ({ case_id }) => ({ acknowledged: acknowledged({ id: case_id, key: 'k' }) }),
  'a key has its effect': `update idempotency_keys set resource_id = 'cas_x'`,
  'a key has one effect': `insert into idempotency_keys select client_id, 'case.open 2', agency_id, fingerprint, resource_id, false, created_at from idempotency_keys`,
  'an entry has every subject that it commits to': `delete from audit_subjects`,
  'an entry waits for the log or is in it, once': `
    insert into audit_log (index, number, entry_id, entry, meta, salt_meta, salt_personal, subject_commits, at, agency_id, client_id,
      caseworker, action, outcome, resource_type, code, lawful_ground) select 0, p.* from (select number, entry_id, entry, meta, salt_meta, salt_personal, subject_commits, at,
      agency_id, client_id, caseworker, action, outcome, resource_type, code, lawful_ground from audit_pending limit 1) p`,
  'the log has no gap': `insert into audit_head values (true, 'o', 'k', 1, '', '', now(), 0, null, now(), null)`,
  'a case has its key and its profile, and was opened once': `delete from case_data where category = 'profile'`,
  "a case's version counts its changes": `update cases set version = 2`,
  'a consent was told once': `delete from events where type = 'consent.granted'`,
  'a referral stands where its offers stand': `update referrals set status = 'received' where status = 'accepted'`,
  'at most one agency has a referral': `update offers o set ordinal = (select count(*) from offers p where p.id <= o.id), referral_id = (select referral_id from offers where id = ${AN_OFFER}) where status = 'accepted'`,
  'a referral that is over has no live offer': `update referrals set ended = 'cancelled' where status = 'accepted'`,
  'a referral has a version for each act': `update referrals set version = 1`,
  'an offer says when it was accepted and when it ended': `update offers set accepted_at = null where id = ${AN_OFFER}`,
  'offers are counted without gaps, and the newest of an agency is its latest': `update offers set ordinal = 7 where id = ${AN_OFFER}`,
  'a step of an offer was told, once': `update events set id = 'evt_x' where number = (select max(number) from events where type = 'referral.offered')`,
  'the places that are taken are those of accepted offers': `update capacities set held = held + 1`,
  'an accepted offer has its disclosure, and no other is open': `update disclosures set ended_at = now() where offer_id = ${AN_OFFER}`,
  'what an ended disclosure held is to be deleted, or was': `update disclosures set ended_at = now()`,
  'no clock outlives its offer': `update offers set status = 'failed' where id = ${AN_OFFER}`,
  'a live offer has its clock': `delete from timers where name = 'handover'`,
  'a clock says what happened to it': `update timers set state = 'met' where id = ${A_TIMER}`,
  'what a clock fired was told, once': `update timers set breached_at = null, state = 'met' where breached_at is not null`,
  'who was called for a clock was told, each time once': `update timers set calls = calls + 1`,
  'what a clock fired is in the trail, once': `delete from audit_pending where action = 'timer.breach'`,
  'positions of an agency have no gap': `delete from events where position = 1`,
  'sequences follow the acts without a gap': `update events set sequence = sequence + 1 where sequence = 2`,
  'an endpoint has one delivery of an event': `drop index deliveries_event;
    insert into deliveries select (jsonb_populate_record(d, '{"id": "dlv_x"}')).* from deliveries d limit 1`,
  'a delivery says what came of it': `update deliveries set attempts = 1`,
  'what was delivered has arrived': `update deliveries set state = 'delivered', event_id = event_id || 'x'`,
  'what arrived had a delivery': ({ endpoint_id }) => ({ arrived: [{ endpoint_id, event_id: 'evt_x', text: '{}' }] }),
  'what arrives again is the same': ({ endpoint_id, event_id }) => ({
    arrived: ['{"type": "a"}', '{"type": "b"}'].map(text => ({ endpoint_id, event_id, text })),
  }),
  'what arrives is of the agency whose endpoint it is, and was asked for': `update webhook_endpoints set agency_id = 'agy_x'`,
  'events of one referral or case arrive in their order': `update deliveries set waits = true, subject_id = 'ref_x', sequence = -position`,
  'no event waits for the relay': `update events set position = null`,
  'whoever listens has a delivery': `delete from deliveries`,
  'every event was delivered': `update deliveries set state = 'parked'`,
  'every clock that is due has fired': `update timers set next_step_at = '2020-01-01' where id = ${A_TIMER}`,
  'every consent that is over has ended': `update consents set expires_at = '2020-01-01'`,
  'whoever waits for a place was looked at': `update referrals set status = 'unplaced', router_due_at = '2020-01-01'`,
};

t.test('the rules', async t => {
  const test = await startTestApp(t);
  const { services, clock } = test;
  const them = await mechanism(test);
  const { at, sender } = clinic(them);
  const database = services.config.database_url!;
  for (const status of ['accepted', 'declined'] as const) await at(test, status);
  await startNight(them.as('helpline_b'));
  ok(await them.as('labour_inspection').post('/v1/cases', caseBody(), { 'idempotency-key': 'case.open 1' }));
  clock.advance(25 * HOUR);
  await drain(services);
  const { id: case_id } = ok(await sender.get('/v1/cases')).data[0];

  await t.test('are content with what the service does', t => holdInvariants(t, { database, now: services.now(), slack_ms: 0 }));

  const endpoint_id = await registerEndpoint(services, (await demoActors(services)).helpline_a, 'http://127.0.0.1:9/hook');
  clock.advance(HOUR);
  await at(test, 'accepted');
  await drain(services);
  const client = new pg.Client(database);
  await client.connect();
  t.teardown(() => client.end());
  const { rows: events } = await client.query('select event_id, event_type as type, position from deliveries order by position');
  const arrived = events.map(({ event_id, type, position }) => ({
    endpoint_id,
    event_id,
    text: JSON.stringify({ type, data: { event_id, position } }),
  }));
  const facts = { database, now: services.now(), slack_ms: 0, arrived };
  await client.query('begin');
  t.strictSame(Object.keys(await look(client, facts)), ['every event was delivered'], 'nobody is there to deliver to');
  await client.query('rollback');

  for (const [rule, breaks] of Object.entries(BREAKS)) {
    await client.query('begin; set local session_replication_role = replica');
    if (typeof breaks === 'string') await client.query(breaks);
    const said = typeof breaks === 'string' ? {} : breaks({ case_id, endpoint_id, event_id: arrived[0]!.event_id });
    t.ok(rule in (await look(client, { ...facts, ...said })), rule);
    await client.query('rollback');
  }
});
