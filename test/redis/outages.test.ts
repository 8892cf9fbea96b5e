import { setTimeout as pause } from 'node:timers/promises';
import { symbols } from 'pino';
import t, { type Test } from 'tap';
import { startWebhookJobs, type WebhookJobs } from '../../src/webhooks/jobs.ts';
import { startTestApp } from '../support/app.ts';
import { type Arrived, holdNotified } from '../support/invariants.ts';
import { clinic } from '../support/journey.ts';
import { mechanism } from '../support/mechanism.ts';
import { ok } from '../support/night.ts';
import { freePort, type RedisServer, startRedis, startSentinels } from '../support/redis.ts';
import { demoActors, type Receiver, registerEndpoint, startReceiver } from '../support/webhooks.ts';

// It waits for connections that are silent, and for sentinels that must agree.
t.setTimeout(230_000);

/**
 * Redis, gone in the middle of deliveries: the API answers, `readyz` says so, everything is delivered meanwhile and in order, and
 * when Redis is back it is used again.
 */

interface Mail {
  receiver: Receiver;
  jobs: WebhookJobs;
  /** What is logged of the queue, in order. */
  logged: string[];
  /** Writes a message in each of three referrals, through the API: three events for the receiver. */
  write(): Promise<void>;
  /** Looks at `readyz` until it says that. */
  readiness(status: 'ok' | 'degraded'): Promise<void>;
  /** Waits until everything that was written has arrived, and looks at its order. */
  arrived(t: Test): Promise<void>;
  /** Writes, and waits until Redis has had jobs of it that were done. */
  usesAgain(t: Test, redis: RedisServer): Promise<void>;
}

async function startMail(t: Test, REDIS_URL: string): Promise<Mail> {
  const test = await startTestApp(t, { REDIS_URL, LOG_LEVEL: 'info' });
  const { app, services } = test;
  const logged: string[] = [];
  const write = (line: string) => {
    if (JSON.parse(line).queue) logged.push(line);
  };
  Object.assign(services.log, { [symbols.streamSym]: { write } });
  const receiver = await startReceiver(t);
  const { sender, receiver: health, ask } = clinic(await mechanism(test));
  const referrals: string[] = [];
  for (let i = 0; i < 3; i += 1) {
    const { referral } = await ask();
    ok(await health.post(`/v1/referrals/${referral.id}/accept`, {}));
    referrals.push(referral.id);
  }
  const endpoint_id = await registerEndpoint(services, (await demoActors(services)).health, receiver.url, ['referral.message']);
  const came: Arrived[] = [];
  receiver.onArrival = ({ headers, text }) => came.push({ endpoint_id, event_id: String(headers['webhook-id']), text });
  const jobs = startWebhookJobs(services);
  t.teardown(() => jobs.stop());

  let written = 0;
  const arrived = () => new Map(receiver.received.map(({ headers, body }) => [headers['webhook-id'], body.data])).values();
  const mail: Mail = {
    receiver,
    jobs,
    logged,
    async write() {
      for (const id of referrals) ok(await sender.post(`/v1/referrals/${id}/messages`, { text: 'She comes by bus.' }));
      written += referrals.length;
    },
    async readiness(status) {
      for (;;) {
        const answer = await app.inject('/readyz');
        if (answer.statusCode !== 200) throw new Error(`readyz: ${answer.statusCode}`);
        if (answer.json().status === status) return;
        await pause(50);
      }
    },
    async arrived(t) {
      while ([...arrived()].length < written) await receiver.reached(receiver.received.length + 1);
      for (const id of referrals) {
        const sequences = [...arrived()].filter(data => data.referral_id === id).map(({ sequence }) => sequence);
        t.equal(sequences.length, written / referrals.length, 'everything arrived');
        const in_order = sequences.toSorted((a, b) => a - b);
        t.strictSame(sequences, in_order, 'in order within its referral');
      }
      await holdNotified(t, { database: services.config.database_url!, now: services.now(), arrived: came });
    },
    async usesAgain(t, redis) {
      const done = async () =>
        String(await redis.command('xrange', 'aman:deliveries:events', '-', '+')).split('completed').length;
      const before = await done();
      await mail.write();
      while ((await done()) === before) await pause(50);
      await mail.arrived(t);
    },
  };
  return mail;
}

const levels = (logged: string[]) => logged.map(line => JSON.parse(line).level);
const WARN = 40;
const INFO = 30;

t.test('killed, and started again on what it had written', async t => {
  const redis = await startRedis(t, { appendonly: 'yes', appendfsync: 'always' });
  const mail = await startMail(t, redis.url);
  await mail.readiness('ok');
  await mail.write();
  await mail.arrived(t);

  const held = Promise.withResolvers<{ status: number }>();
  mail.receiver.replies.push(held.promise, held.promise);
  await mail.write();
  await mail.receiver.reached(5);
  await redis.signal('SIGKILL');
  await mail.readiness('degraded');
  await mail.write();
  held.resolve({ status: 204 });
  await mail.arrived(t);
  t.pass('while it was down');

  await redis.start();
  await mail.readiness('ok');
  await mail.usesAgain(t, redis);
  while (mail.logged.length < 2) await pause(50);
  t.strictSame(levels(mail.logged), [WARN, INFO], 'told once, and once that it is over');
});

t.test('flushed, its scripts too, while jobs are done', async t => {
  const redis = await startRedis(t);
  const mail = await startMail(t, redis.url);
  const held = Promise.withResolvers<{ status: number }>();
  mail.receiver.replies.push(held.promise, held.promise, held.promise);
  await mail.write();
  await mail.receiver.reached(3);
  await mail.write();
  await redis.command('flushall');
  await redis.command('script', 'flush');
  await mail.write();
  await mail.readiness('ok');
  held.resolve({ status: 204 });
  await mail.arrived(t);
  for (let i = 0; i < 5; i += 1) {
    await mail.write();
    await redis.command('flushall');
  }
  await mail.arrived(t);
  await mail.usesAgain(t, redis);
});

t.test('there, but silent', async t => {
  const redis = await startRedis(t);
  const mail = await startMail(t, redis.url);
  await mail.write();
  await mail.arrived(t);
  await redis.signal('SIGSTOP');
  await mail.write();
  await mail.readiness('degraded');
  await mail.arrived(t);
  await mail.write();
  await mail.arrived(t);
  await redis.signal('SIGCONT');
  await mail.readiness('ok');
  await mail.usesAgain(t, redis);
});

t.test('there, but full, from the start', async t => {
  const redis = await startRedis(t, { maxmemory: '1' });
  const mail = await startMail(t, redis.url);
  await mail.readiness('degraded');
  await mail.write();
  await mail.arrived(t);
  const asked = async () => Number(/total_commands_processed:(\d+)/.exec(String(await redis.command('info', 'stats')))![1]);
  const before = await asked();
  await pause(1_000);
  t.ok((await asked()) - before < 200, 'it is not asked again and again');
  await redis.command('config', 'set', 'maxmemory', '0');
  await mail.readiness('ok');
  await mail.usesAgain(t, redis);
});

t.test('not there yet when the service starts', async t => {
  const port = await freePort();
  const mail = await startMail(t, `redis://:CANARY-PASSWORD@127.0.0.1:${port}/1`);
  await mail.readiness('degraded');
  await mail.write();
  await mail.arrived(t);
  t.equal(mail.logged.length, 1);

  const other = await startRedis(t, { port: String(port), requirepass: 'another' });
  await pause(1_500);
  await mail.readiness('degraded');
  await mail.write();
  await mail.arrived(t);
  t.equal(mail.logged.length, 1, 'it is still the same outage');
  await other.signal('SIGKILL');

  const redis = await startRedis(t, { port: String(port), requirepass: 'CANARY-PASSWORD' });
  await mail.readiness('ok');
  while (mail.logged.length < 2) await pause(50);
  t.strictSame(levels(mail.logged), [WARN, INFO]);
  t.notMatch(mail.logged.join(''), 'CANARY-PASSWORD');
  await redis.signal('SIGKILL');
  await mail.readiness('degraded');
  await mail.jobs.stop();
  t.pass('it ends also while Redis is down');
});

t.test('evicts what it should keep: it is told', async t => {
  const redis = await startRedis(t, { 'maxmemory-policy': 'allkeys-lru' });
  const mail = await startMail(t, redis.url);
  await redis.command('client', 'kill', 'type', 'normal');
  while (!mail.logged.some(line => /noeviction/.test(line))) await pause(50);
  await mail.readiness('ok');
});

for (const signal of ['SIGKILL', 'SIGSTOP'] as const) {
  t.test(`a failover of sentinels after ${signal}`, async t => {
    const { url, servers } = await startSentinels(t);
    const [master, replica] = servers;
    const mail = await startMail(t, url);
    await mail.readiness('ok');
    await mail.write();
    await mail.arrived(t);
    await master.signal(signal);
    await mail.write();
    await mail.readiness('degraded');
    await mail.write();
    await mail.arrived(t);
    await mail.readiness('ok');
    await mail.usesAgain(t, replica);
    if (signal === 'SIGSTOP') {
      // It still takes itself for the master, until the sentinels have told it.
      await master.signal('SIGCONT');
      await mail.write();
      await mail.arrived(t);
      await mail.usesAgain(t, replica);
    }
  });
}
