import t from 'tap';
import type { DemoAgencyKey } from '../../src/demo.ts';
import { createOutbound } from '../../src/platform/outbound.ts';
import { deliverDue } from '../../src/webhooks/turn.ts';
import { startTestApp } from '../support/app.ts';
import { drain } from '../support/drain.ts';
import { identification } from '../support/identification.ts';
import { type Arrived, holdNotified } from '../support/invariants.ts';
import { all, clinic, DAY, eventsOf, HOUR, MINUTE, type ToldEvent } from '../support/journey.ts';
import { type Client, mechanism } from '../support/mechanism.ts';
import { ok, startNight } from '../support/night.ts';
import { countedOn } from '../support/own-system.ts';
import { startReceiver } from '../support/webhooks.ts';

/** Nothing is pushed that cannot be pulled, and it is the same object: over all that happens to some persons, at every agency. */

t.setTimeout(300_000);

t.test('what is pushed to each agency over a whole story', async t => {
  const test = await startTestApp(t, { RATE_LIMIT: '100000,100000' });
  const { services, clock } = test;
  const them = await mechanism(test);
  const { as, agencies } = them;
  const keys = Object.keys(agencies) as DemoAgencyKey[];
  const receiver = await startReceiver(t);
  const outbound = createOutbound({ production: false, ports: [] });
  t.teardown(() => outbound.close());
  const endpoints = new Map<string, string>();
  for (const key of keys) {
    const body = { url: `${receiver.url}?${key}`, event_types: ['*'] };
    endpoints.set(key, ok(await as(key, 'supervisor').post('/v1/webhook-endpoints', body)).id);
  }
  const pushed = new Map<string, ToldEvent[]>(keys.map(key => [key, []]));
  const arrived: Arrived[] = [];
  receiver.onArrival = ({ path, headers, text, body }) => {
    const key = path.split('?')[1]!;
    pushed.get(key)!.push(body);
    arrived.push({ endpoint_id: endpoints.get(key)!, event_id: String(headers['webhook-id']), text });
  };
  /** Everything that follows by now is done, and sent at once. */
  const goOn = async (ms: number) => {
    clock.advance(ms);
    await drain(services);
    await deliverDue(services, outbound);
  };

  const act = (who: Client, id: string, verb: string, body: object = {}) => who.post(`/v1/referrals/${id}/${verb}`, body);
  const { sender, receiver: health, at, ask } = clinic(them);
  const arrives = () => ({ arrived_at: clock.now().toISOString() });
  await goOn(MINUTE);

  // A night in a shelter, whose first choice does not answer; what changes meanwhile reaches whoever holds it.
  const night = await startNight(sender, { referral: { urgency: 'emergency' } });
  await goOn(90 * MINUTE);
  for (const key of ['shelter_a', 'shelter_b'] as const) {
    const { status } = await act(as(key), night.referral.id, 'accept');
    await goOn(MINUTE);
    if (status !== 200) continue;
    const { version } = ok(await sender.get(`/v1/cases/${night.kase.id}`));
    ok(await sender.patch(`/v1/cases/${night.kase.id}`, { risk: 'immediate' }, { 'if-match': `"${version}"` }));
    ok(await act(as(key), night.referral.id, 'confirm-handover', arrives()));
    await goOn(DAY);
    break;
  }

  // A clinic: questions, a message, an end, and what it held is deleted.
  const treated = await at(test, 'info_requested');
  ok(await act(sender, treated.referral.id, 'provide-information', { answers: ['No.'] }));
  ok(await act(health, treated.referral.id, 'accept'));
  ok(await sender.post(`/v1/referrals/${treated.referral.id}/messages`, { text: 'She comes by bus.' }));
  await goOn(HOUR);
  ok(await act(health, treated.referral.id, 'fail', { reason_code: 'left_service' }));
  await goOn(HOUR);
  const [held] = await all(health, `/v1/cases/${treated.kase.id}/disclosures`);
  ok(await health.post(`/v1/disclosures/${held.id}/confirm-deletion`));

  // Consents withdrawn, a referral that nobody answers, one that is cancelled.
  const withdrawn = await at(test, 'accepted');
  await goOn(MINUTE);
  const end = { stop_service: true, spoken_in_private: false };
  ok(await sender.post(`/v1/consents/${withdrawn.consent.id}/withdraw`, end));
  await ask();
  const cancelled = await ask();
  await goOn(MINUTE);
  ok(await act(sender, cancelled.referral.id, 'cancel', { reason_code: 'error' }));
  await goOn(3 * DAY);

  // An authority decides.
  const { accepted, decide, serve } = identification(test, them);
  const asked = await accepted();
  await goOn(HOUR);
  await serve(await decide(asked, 'reasonable_grounds', 'negative'));
  await goOn(2 * DAY);
  await goOn(HOUR);

  const types = new Set<string>();
  for (const key of keys) {
    const came = pushed.get(key)!;
    const pulled = await eventsOf(services, as(key, 'nobody'));
    const by_id = new Map(pulled.map(event => [event.data.event_id, event]));
    t.strictSame(
      [...new Set(came.map(({ data }) => data.event_id))].sort(),
      [...by_id.keys()].sort(),
      `${key}: what was pushed can be pulled, and what can be pulled was pushed`,
    );
    for (const event of came) {
      const now = by_id.get(event.data.event_id)!;
      types.add(event.type);
      // What it may no longer know it is told no more, however it asks.
      if (now.type === 'event.withheld') t.equal(now.data.position, event.data.position);
      else t.strictSame(event, now, `${key}: ${event.type}`);
    }
    for (const [subject, events] of Map.groupBy(came.filter(countedOn), countedOn)) {
      const sequences = new Set(events.map(({ data }) => data.sequence));
      t.equal(sequences.size, new Set(events.map(({ data }) => data.event_id)).size, `${key}: ${subject} is counted once`);
    }
  }
  t.ok(types.size >= 20, `${types.size} types: ${[...types].sort()}`);
  t.ok((await eventsOf(services, health)).some(({ type }) => type === 'event.withheld'));
  await holdNotified(t, { database: services.config.database_url!, now: clock.now(), arrived }, 0);
});
