import t, { type Test } from 'tap';
import { createOutbound } from '../../src/platform/outbound.ts';
import { deliver, deliverDue } from '../../src/webhooks/turn.ts';
import { startTestApp } from '../support/app.ts';
import { drain } from '../support/drain.ts';
import type { Arrived } from '../support/invariants.ts';
import { holdNotified } from '../support/invariants.ts';
import { clinic, eventsOf, HOUR, MINUTE, type ToldEvent } from '../support/journey.ts';
import type { Answer } from '../support/mechanism.ts';
import { mechanism } from '../support/mechanism.ts';
import { ok } from '../support/night.ts';
import { countedOn, OwnSystem } from '../support/own-system.ts';
import { type Received, startReceiver } from '../support/webhooks.ts';

/**
 * A receiver that was down until its endpoint was disabled, and for a while after that, gets everything by one act: in order, each
 * under the id that it had, and nothing that is anybody else's.
 */

t.setTimeout(600_000);

const ENDPOINTS = '/v1/webhook-endpoints';
/** Pages of a pull, and of a list, hold 200 at most. */
const MORE_THAN_A_PAGE = 200;

/** What the clinic does when its systems are up again: it has one for each. */
const SYSTEMS = ['recovers', 'is interrupted', 'enables'] as const;
type System = (typeof SYSTEMS)[number];

t.test('a clinic whose systems are down for three days', async t => {
  const test = await startTestApp(t, { RATE_LIMIT: '100000,100000' });
  const { services, clock } = test;
  const them = await mechanism(test);
  const { sender, receiver: health, ask } = clinic(them);
  const supervisor = them.as('health', 'supervisor');
  const puller = them.as('health', 'nobody');
  const receiver = await startReceiver(t);
  const outbound = createOutbound({ production: false, ports: [] });
  t.teardown(() => outbound.close());

  const endpoints = new Map<string, string>();
  for (const name of [...SYSTEMS, 'sender'] as const) {
    const owner = name === 'sender' ? them.as('helpline_a', 'supervisor') : supervisor;
    const url = `${receiver.url}?${encodeURIComponent(name)}`;
    endpoints.set(name, ok(await owner.post(ENDPOINTS, { url, event_types: ['*'] })).id);
  }
  const nameOf = ({ path }: Received) => decodeURIComponent(path.split('?')[1]!);
  const arrived: Arrived[] = [];
  const inboxes = new Map<string, ToldEvent[]>([...endpoints.keys()].map(name => [name, []]));
  const arrive = (request: Received) => {
    const name = nameOf(request);
    inboxes.get(name)!.push(request.body);
    const event_id = String(request.headers['webhook-id']);
    arrived.push({ endpoint_id: endpoints.get(name)!, event_id, text: request.text });
  };
  receiver.onArrival = arrive;
  let down = false;
  receiver.otherwise = request => ({ status: down && nameOf(request) !== 'sender' ? 503 : 204 });

  const pass = async (ms: number) => {
    clock.advance(ms);
    await drain(services);
    await deliverDue(services, outbound);
    await drain(services);
  };
  const call = (name: System, verb: 'recover' | 'enable') =>
    supervisor.post(
      `${ENDPOINTS}/${endpoints.get(name)}/${verb}`,
      verb === 'recover' ? { since: since.toISOString() } : undefined,
    );
  const status = async (name: System): Promise<string> => ok(await supervisor.get(`${ENDPOINTS}/${endpoints.get(name)}`)).status;
  /** What arrived at a system since it was last asked, in order of arrival. */
  const came = (name: System) => inboxes.get(name)!.splice(0);

  const before = await ask();
  ok(await health.post(`/v1/referrals/${before.referral.id}/accept`));
  await pass(MINUTE);
  const since = clock.now();
  const known = await eventsOf(services, puller);

  down = true;
  const referrals = [before.referral.id];
  for (let hour = 0; hour < 90; hour += 2) {
    if (hour % 10 === 2) {
      const { referral } = await ask({ urgency: hour % 20 === 2 ? 'emergency' : 'urgent' });
      if (hour % 30 !== 2) {
        ok(await health.post(`/v1/referrals/${referral.id}/accept`));
        referrals.push(referral.id);
      }
    }
    for (let i = 0; i < 4; i += 1) {
      const id = referrals[(hour + i) % referrals.length];
      ok(await sender.post(`/v1/referrals/${id}/messages`, { text: 'She comes by bus.' }));
    }
    await pass(2 * HOUR);
  }
  for (const name of SYSTEMS) t.equal(await status(name), 'disabled');
  for (const key of ['committee', 'health'] as const) {
    const told = await eventsOf(services, them.as(key, 'nobody'));
    t.equal(told.filter(({ type }) => type === 'endpoint.disabled').length, SYSTEMS.length, `${key} is told of each`);
  }
  down = false;
  const missed = (await eventsOf(services, puller)).slice(known.length);
  t.ok(missed.length > MORE_THAN_A_PAGE, `${missed.length} events`);
  t.ok(missed.some(({ data }) => data.urgency === 'emergency'));
  for (const name of SYSTEMS) came(name);

  /** Everything of the three days is there, as it can be pulled, and each referral's in order. */
  async function hasAll(t: Test, events: readonly ToldEvent[]): Promise<void> {
    const ids = new Set(missed.map(({ data }) => data.event_id));
    const ours = events.filter(({ data }) => ids.has(data.event_id));
    const pulled = (await eventsOf(services, puller)).filter(({ data }) => ids.has(data.event_id));
    const system = new OwnSystem(puller);
    for (const event of ours) system.take(event);
    t.strictSame(system.events, pulled, 'nothing is missing, and each is the same');
    for (const event of [...known, ...events]) system.take(event);
    t.strictSame(system.missing, [], 'positions have no gap');
    const seen = new Set<unknown>();
    const firsts = ours.filter(({ data }) => !seen.has(data.event_id) && seen.add(data.event_id));
    const waiting = firsts.filter(({ data }) => countedOn({ data }) && data.urgency !== 'emergency');
    for (const [subject, of_one] of Map.groupBy(waiting, countedOn)) {
      const sequences = of_one.map(({ data }) => data.sequence);
      t.strictSame(
        sequences,
        sequences.toSorted((a, b) => a - b),
        `in order: ${subject}`,
      );
    }
    await holdNotified(t, { database: services.config.database_url!, now: clock.now(), arrived });
  }

  await t.test('has everything again by recovering alone', async t => {
    const { to_send } = ok(await call('recovers', 'recover'));
    await pass(0);
    const events = came('recovers');
    t.equal(events.length, to_send, 'each once');
    await hasAll(t, events);
    t.equal(await status('recovers'), 'disabled');
    t.strictSame([came('enables'), came('is interrupted')], [[], []], 'and nothing went elsewhere');
  });

  await t.test('also where the recovery was interrupted, and asked for again', async t => {
    const stop = new AbortController();
    let count = 0;
    receiver.onArrival = request => {
      arrive(request);
      count += 1;
      if (count === 40) stop.abort();
    };
    ok(await call('is interrupted', 'recover'));
    // A worker that is told to end.
    await deliver(services, outbound, endpoints.get('is interrupted')!, { signal: stop.signal });
    const first = came('is interrupted');
    t.ok(first.length >= 40 && first.length < 40 + 16, 'what was under way is settled');
    clock.advance(HOUR);

    // Another goes on, and meanwhile it is asked for once more.
    const asked = Promise.withResolvers<unknown>();
    count = 0;
    receiver.onArrival = request => {
      arrive(request);
      count += 1;
      if (count === 20) asked.resolve(call('is interrupted', 'recover'));
    };
    await pass(0);
    ok((await asked.promise) as Answer);
    receiver.onArrival = arrive;
    await pass(MINUTE);
    const rest = came('is interrupted');
    const times = Map.groupBy([...first, ...rest], ({ data }) => data.event_id as string);
    t.ok(
      [...times.values()].every(({ length }) => length <= 2),
      'nothing more often than it was asked for',
    );
    await hasAll(t, [...first, ...rest]);
  });

  await t.test('and by enabling alone', async t => {
    ok(await call('enables', 'enable'));
    await pass(0);
    const events = came('enables');
    await hasAll(t, events);
    t.equal(new Set(events.map(({ data }) => data.event_id)).size, events.length, 'each once');
    t.equal(await status('enables'), 'active');
    t.ok(
      events.some(({ type }) => type === 'endpoint.recovered'),
      'and is told so',
    );
  });
});
