import { readFileSync } from 'node:fs';
import { Ajv } from 'ajv';
import addFormats from 'ajv-formats';
import { test } from 'tap';
import { watchLog } from '../../src/audit/jobs.ts';
import { EVENT_TYPES, type EventType } from '../../src/core/events.ts';
import { createOutbound } from '../../src/platform/outbound.ts';
import { deliverDue } from '../../src/webhooks/turn.ts';
import { startTestApp } from '../support/app.ts';
import { startCalling } from '../support/callers.ts';
import { drain } from '../support/drain.ts';
import { emittedEvents, faultsOfEvent } from '../support/events.ts';

import { experts } from '../support/experts.ts';

import { grouping } from '../support/groups.ts';

import { clinic, DAY, eventsOf, HOUR, MEDICAL } from '../support/journey.ts';
import { mechanism } from '../support/mechanism.ts';
import { caseBody, consentBody, ok, referralBody } from '../support/night.ts';
import { OPERATIONS } from '../support/operations.ts';
import { rightful, WHY } from '../support/refusals.ts';
import { NEW_SERVICE, storyteller } from '../support/story.ts';
import { startReceiver } from '../support/webhooks.ts';

/** What the published document says of events, and that events are so. */

/** Named by the contract, for what this service does not do yet. An emitter makes the list shorter. */
const RESERVED: readonly EventType[] = ['case.erased', 'access.emergency', 'duplicate.suspected'];

const document = JSON.parse(readFileSync(new URL('../../openapi/openapi.json', import.meta.url), 'utf8'));

test('the document', async t => {
  await t.test('has an operation for each type of event, and each schema can be used as it stands', async t => {
    t.same(Object.keys(document.webhooks), EVENT_TYPES);
    const ajv = new Ajv({ strict: false });
    addFormats.default(ajv);
    ajv.addSchema(document, 'document');
    for (const type of EVENT_TYPES) {
      const { post } = document.webhooks[type];
      const { $ref } = post.requestBody.content['application/json'].schema;
      t.equal(document.components.schemas.Event.discriminator.mapping[type], $ref);
      t.equal(document.components.schemas[$ref.split('/').at(-1)].properties.type.const, type);
      t.type(ajv.getSchema(`document${$ref}`), 'function', $ref);
      for (const { $ref } of [...post.parameters, ...Object.values<{ $ref: string }>(post.responses)]) {
        const [, , kind, name] = $ref.split('/');
        t.ok(document.components[kind][name].description, `${type} ${$ref}`);
      }
      t.equal(RESERVED.includes(type), post.summary.endsWith('Reserved: nothing emits it yet'), type);
    }
  });

  await t.test('knows what each type may say, and nothing else', async t => {
    const ids = {
      event_id: `evt_${'0'.repeat(26)}`,
      position: 1,
      sequence: 1,
      case_id: `cas_${'0'.repeat(26)}`,
    };
    const event = (data: object) => ({ type: 'case.opened', timestamp: '2026-11-21T19:00:00.000Z', data: { ...ids, ...data } });
    t.same(faultsOfEvent(event({})), []);
    t.same(faultsOfEvent(event({ name: 'x' })), ['case.opened /data/name is not known here']);
    t.same(faultsOfEvent(event({ case_id: 'x' })).length, 1);
    t.same(faultsOfEvent(event({ position: undefined })), ['case.opened /data/position is missing']);
    t.same(faultsOfEvent({ ...event({}), type: 'case.teleported' }), ['case.teleported is no type of an event']);
  });
});

test('every act, and the time after it, emits what the document says', async t => {
  const it = await startTestApp(t, { RATE_LIMIT: '100000,100000' });
  const { services, clock } = it;
  const them = await mechanism(it);
  const { send, operations } = await startCalling(it, them);
  for (const operation of operations.filter(({ id, method }) => id in OPERATIONS && method !== 'GET')) {
    const reply = await send(operation, rightful(operation.id), { headers: WHY });
    t.ok(reply.status < 300, `${operation.id}: ${reply.status}`);
  }

  // What takes more than one act, or somebody else's.
  const { as, agencies } = them;
  const helpline = as('helpline_a');
  const nights = clinic(them);
  await nights.at(it, 'withdrawn');

  const kase = ok(await helpline.post('/v1/cases', caseBody()));
  const path = `/v1/cases/${kase.id}`;
  const consent = { recipient: { agency_kind: agencies.civil_society.kind }, purposes: ['case_management'] };
  ok(await helpline.post(`${path}/consents`, consentBody(consent)));
  const expires_at = new Date(clock.now().getTime() + 2 * DAY).toISOString();
  ok(await helpline.post(`${path}/consents`, consentBody({ ...MEDICAL.consent, expires_at })));
  const staff_codes = [agencies.helpline_a.caseworkers[1].staff_code];
  ok(await helpline.put(`${path}/assignees`, { staff_codes }, { 'if-match': '*' }));
  ok(await helpline.get(path, WHY));
  ok(
    await as('civil_society', 'supervisor').put(
      `/v1/agencies/${agencies.civil_society.id}/services/case_management`,
      NEW_SERVICE,
      { 'if-none-match': '*' },
    ),
  );
  const direct = { service: 'case_management', routing: 'direct', recipient_agency_id: agencies.civil_society.id };
  const transfer = ok(await helpline.post(`${path}/referrals`, referralBody(direct), WHY));
  ok(await as('civil_society').post(`/v1/referrals/${transfer.id}/accept`, {}));

  const left = await nights.at(it, 'accepted');
  ok(await helpline.post(`/v1/referrals/${left.referral.id}/messages`, { text: 'Is she well?' }));
  ok(await as('health').post(`/v1/referrals/${left.referral.id}/fail`, { reason_code: 'service_ended' }));

  const { enter, request } = experts(it, them);
  const expert = await enter();
  await request(expert.id, { urgency: 'emergency' });
  // Nobody has two places for a family of two.
  for (const key of ['shelter_a', 'shelter_b'] as const) await storyteller(it, them).setPlaces(key, 1);
  const family = await grouping(it, them).found([{}, {}], { families: [[0, 1]] });
  ok(await grouping(it, them).refer(family.group_id));

  const gone = await startReceiver(t);
  gone.replies.push({ status: 410 });
  const hook = { url: gone.url, event_types: ['endpoint.test'] };
  const { id } = ok(await as('shelter_a', 'supervisor').post('/v1/webhook-endpoints', hook));
  ok(await as('shelter_a', 'supervisor').post(`/v1/webhook-endpoints/${id}/test`));

  const digest = { url: gone.url, event_types: ['digest.daily'] };
  ok(await as('committee', 'supervisor').post('/v1/webhook-endpoints', digest));

  // Whom it had been there for has nobody now.
  await drain(services);
  const legal_aid = `/v1/agencies/${agencies.civil_society.id}/services/legal_aid`;
  const suspended = { ...NEW_SERVICE, status: 'suspended' };
  ok(await as('civil_society', 'supervisor').put(legal_aid, suspended, { 'if-match': '*' }));

  const outbound = createOutbound({ production: false, ports: [] });
  t.teardown(() => outbound.close());
  const watch = watchLog(services);
  for (const ms of [HOUR, DAY, 10 * DAY, 30 * DAY, 90 * DAY]) {
    clock.advance(ms);
    await drain(services);
    await deliverDue(services, outbound);
    await watch();
  }
  const { types, faults } = await emittedEvents(services);
  t.same(faults, []);
  t.same(
    EVENT_TYPES.filter(type => !types.has(type)),
    EVENT_TYPES.filter(type => RESERVED.includes(type) || type === 'event.withheld'),
  );

  const pulled = await eventsOf(services, as('health', 'nobody'));
  t.same([...new Set(pulled.flatMap(faultsOfEvent))], []);
  t.ok(pulled.some(({ type }) => type === 'event.withheld'));
});
