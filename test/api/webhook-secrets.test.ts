import t, { type Test } from 'tap';
import { createOutbound } from '../../src/platform/outbound.ts';
import { deliverDue } from '../../src/webhooks/turn.ts';
import { startTestApp } from '../support/app.ts';
import { type Arrived, holdNotified } from '../support/invariants.ts';
import { HOUR, MINUTE } from '../support/journey.ts';
import { mechanism } from '../support/mechanism.ts';
import { ok } from '../support/night.ts';
import { isSigned } from '../support/own-system.ts';
import { demoActors, emit, insertReferral, notice, relayAll, startReceiver } from '../support/webhooks.ts';

/** A receiver that holds every signature to the secret that it has. */

const ENDPOINTS = '/v1/webhook-endpoints';
const SECOND = 1_000;
const DAY = 24 * HOUR;

async function start(t: Test) {
  const test = await startTestApp(t);
  const { services, clock } = test;
  const supervisor = (await mechanism(test)).as('health', 'supervisor');
  const { helpline_a, health } = await demoActors(services);
  const receiver = await startReceiver(t);
  const outbound = createOutbound({ production: false, ports: [] });
  t.teardown(() => outbound.close());
  const { id, secret } = ok(await supervisor.post(ENDPOINTS, { url: receiver.url, event_types: ['*'] }));
  clock.advance(SECOND);
  const { referral_id, case_id, offers } = await insertReferral(services, helpline_a, [{ ...health, status: 'accepted' }]);

  const arrived: Arrived[] = [];
  /** What the receiver holds signatures to. */
  const known = { secret: secret as string };
  receiver.onArrival = ({ headers, text }) => arrived.push({ endpoint_id: id, event_id: String(headers['webhook-id']), text });
  receiver.otherwise = request => ({ status: isSigned(request, known.secret, clock.now()) ? 204 : 401 });

  /** Writes so many messages. @returns what the requests that follow from it were answered */
  async function write(count: number): Promise<number[]> {
    const about = { type: 'referral.message', subject_id: referral_id, referral_id, case_id } as const;
    for (let i = 0; i < count; i += 1)
      await emit(services, helpline_a, notice([health.agency_id], { ...about, body: { referral_id, offer_id: offers[0] } }));
    return send();
  }
  async function send(): Promise<number[]> {
    await relayAll(services);
    const before = receiver.received.length;
    await deliverDue(services, outbound);
    return receiver.received.slice(before).map(request => receiver.otherwise!(request).status);
  }
  return {
    clock,
    receiver,
    known,
    write,
    send,
    path: `${ENDPOINTS}/${id}`,
    supervisor,
    verify: (with_secret: string) => isSigned(receiver.received.at(-1)!, with_secret, clock.now()),
    held: (t: Test) => holdNotified(t, { database: services.config.database_url!, now: clock.now(), arrived }, 0),
  };
}

t.test('after a rotation both secrets verify for a day, then the new one alone', async t => {
  const { clock, known, write, verify, supervisor, path, held } = await start(t);
  const old = known.secret;
  t.strictSame(await write(1), [204]);
  const { secret } = ok(await supervisor.post(`${path}/rotate-secret`));
  t.not(secret, old);
  for (const ms of [0, HOUR, DAY - HOUR - SECOND]) {
    clock.advance(ms);
    t.strictSame(await write(1), [204]);
    t.strictSame([verify(old), verify(secret)], [true, true]);
  }
  clock.advance(SECOND);
  known.secret = secret;
  t.strictSame(await write(1), [204]);
  t.strictSame([verify(old), verify(secret)], [false, true]);
  await held(t);
});

t.test('a receiver that refuses the signature has it again, in order, until it knows the secret', async t => {
  const { clock, receiver, known, write, send, supervisor, path, held } = await start(t);
  const { secret } = known;
  known.secret = `whsec_${Buffer.alloc(32, 1).toString('base64')}`;
  t.strictSame(await write(3), [401], 'the first, for which the others wait');
  const log = async () => ok(await supervisor.get(`${path}/deliveries`)).data;
  t.match((await log()).at(-1), { state: 'pending', attempts: [{ status: 401, error: null }] });
  t.type(ok(await supervisor.get(path)).failing_since, 'string');
  clock.advance(10 * SECOND);
  await send();
  t.equal((await log()).at(-1).state, 'parked');

  known.secret = secret;
  clock.advance(10 * MINUTE);
  const answers = await send();
  t.strictSame([...new Set(answers)], [204]);
  const ids = new Set(receiver.received.map(({ headers }) => headers['webhook-id']));
  t.equal(ids.size, 3, 'always the same ids');
  t.equal(ok(await supervisor.get(path)).failing_since, null);
  await held(t);
});
