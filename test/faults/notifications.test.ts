import pg from 'pg';
import t, { type Test } from 'tap';
import type { EventType } from '../../src/core/events.ts';
import { relayEvents } from '../../src/webhooks/relay.ts';
import { openTestServices } from '../support/app.ts';
import { type Arrived, holdNotified } from '../support/invariants.ts';
import { isSigned } from '../support/own-system.ts';
import { type Program, run, temporaryDataDir } from '../support/process.ts';
import { queueEnvironment } from '../support/redis.ts';
import {
  asRelay,
  demoActors,
  EMPTY_QUEUE,
  emit,
  insertReferral,
  notice,
  registerEndpoint,
  SECRET,
  startReceiver,
  type TestReferral,
} from '../support/webhooks.ts';

/** Workers that are killed where it hurts, two at once, without their queue, with wrong clocks: what is promised of notifications holds. */

// Processes start, clocks are real, and a claim must run out.
t.setTimeout(300_000);

const GATE = 4_712;
const YEAR_MS = 365 * 86_400_000;
const SECOND = 1_000;

/** What an act of the story tells: to whom it matters at once, and what goes before what. */
const STORY: readonly { type: EventType; urgent?: boolean }[] = [
  { type: 'referral.offered' },
  { type: 'referral.accepted' },
  { type: 'safety.changed', urgent: true },
  { type: 'timer.warned' },
  { type: 'referral.completed' },
];

async function start(t: Test) {
  const queue = await queueEnvironment(t);
  const { services, clock } = await openTestServices(t, queue);
  const database = services.config.database_url!;
  const { helpline_a, health, civil_society } = await demoActors(services);
  const receivers = [health, civil_society];
  clock.advance(Date.now() - clock.now().getTime() - 60 * SECOND);
  const receiver = await startReceiver(t);
  const endpoints = new Map<string, string>();
  for (const actor of receivers)
    endpoints.set(actor.agency_id, await registerEndpoint(services, actor, `${receiver.url}?${actor.agency_id}`));
  const arrived: Arrived[] = [];
  const wrong: string[] = [];
  receiver.onArrival = request => {
    const endpoint_id = endpoints.get(request.path.split('?')[1]!)!;
    arrived.push({ endpoint_id, event_id: String(request.headers['webhook-id']), text: request.text });
    if (!isSigned(request, SECRET, new Date())) wrong.push(JSON.stringify(request.headers));
  };
  const client = new pg.Client(database);
  await client.connect();
  t.teardown(() => client.end());
  const count = async (rows: string): Promise<number> =>
    (await client.query(`select count(*)::int as count from ${rows}`)).rows[0].count;

  const worker = async (env: Record<string, string> = {}, args: string[] = []): Promise<Program> => {
    const { keyring_path: KEYRING_PATH } = services.config;
    const DATA_DIR = await temporaryDataDir(t);
    const process = run(t, [...args, 'src/main.ts', 'serve'], {
      PORT: '0',
      LOG_LEVEL: 'warn',
      ROLES: 'worker',
      DATABASE_URL: database,
      KEYRING_PATH,
      DATA_DIR,
      ...queue,
      ...env,
    });
    await process.said(/aman is working/);
    return process;
  };

  /** So many referrals to both receivers, each with its story, one act after the other. */
  async function tell(referrals: number): Promise<void> {
    const made: TestReferral[] = [];
    for (let i = 0; i < referrals; i += 1)
      made.push(
        await insertReferral(
          services,
          helpline_a,
          receivers.map(({ agency_id }) => ({ agency_id, status: 'accepted' })),
        ),
      );
    for (const { type, urgent } of STORY) {
      for (const { referral_id, case_id, offers } of made) {
        clock.advance(1);
        const about = { type, urgent, subject_id: referral_id, referral_id, case_id };
        const notices = receivers.map(({ agency_id }, i) =>
          notice([agency_id], { ...about, body: { referral_id, offer_id: offers[i] } }),
        );
        await emit(services, helpline_a, ...notices);
      }
    }
  }

  const gate = {
    close: () => client.query(`select pg_advisory_lock(${GATE})`),
    open: () => client.query(`select pg_advisory_unlock(${GATE})`),
    /** Somebody stands before it. */
    async reached(): Promise<void> {
      const waiting = `pg_locks where locktype = 'advisory' and not granted and objid = ${GATE}
        and database = (select oid from pg_database where datname = current_database())`;
      while ((await count(waiting)) === 0) await new Promise(resolve => setTimeout(resolve, 10));
    },
  };
  const STOP = `
    create or replace function wait_at_gate() returns trigger language plpgsql as $$
      begin perform pg_advisory_xact_lock_shared(${GATE}); return null; end $$;`;
  const claims = `for each row when (new.claimed_until is not null and old.claimed_until is null) execute function wait_at_gate()`;
  const stops = {
    /** In the middle of claiming: nothing of it stands yet. */
    claiming: `${STOP} create trigger in_claim after update on deliveries ${claims}`,
    /** Where the claim stands, and nothing is sent yet: it waits in the commit. */
    claimed: `${STOP} create constraint trigger in_claim after update on deliveries deferrable initially deferred ${claims}`,
    none: 'drop trigger in_claim on deliveries',
  };
  const held = async (t: Test) => {
    await holdNotified(t, { database, arrived });
    t.strictSame(wrong, [], 'each is signed, at the right time');
  };
  return { services, client, count, receiver, arrived, worker, tell, gate, stops, held };
}

t.test('a worker is killed', async t => {
  const it = await start(t);
  const { client, count, gate, stops, receiver, arrived } = it;
  const claimed = () => count('deliveries where claimed_until > now()');

  await t.test('before it sends anything, while it claims', async t => {
    const worker = await it.worker();
    await client.query(stops.claiming);
    await gate.close();
    await it.tell(3);
    await gate.reached();
    await worker.end('SIGKILL');
    await gate.open();
    await client.query(stops.none);
    t.strictSame([await claimed(), arrived.length], [0, 0]);
    const next = await it.worker();
    await it.held(t);
    t.equal(arrived.length, 3 * 2 * STORY.length, 'each once');
    await next.end('SIGKILL');
  });

  await t.test('between the claim and the sending', async t => {
    const before = arrived.length;
    const worker = await it.worker();
    await client.query(stops.claimed);
    await gate.close();
    await it.tell(3);
    await gate.reached();
    worker.child.kill('SIGSTOP');
    await gate.open();
    while ((await claimed()) === 0) await new Promise(resolve => setTimeout(resolve, 10));
    await worker.end('SIGKILL');
    await client.query(stops.none);
    const sent = arrived.length;
    const next = await it.worker();
    await it.held(t);
    t.ok(sent < before + 3 * 2 * STORY.length, 'not all was sent before');
    await next.end('SIGKILL');
  });

  await t.test('between the sending and the settlement', async t => {
    const before = arrived.length;
    const worker = await it.worker();
    receiver.replies.push(new Promise(() => {}), new Promise(() => {}));
    await it.tell(3);
    while (arrived.length < before + 2) await receiver.reached(receiver.received.length + 1);
    await worker.end('SIGKILL');
    receiver.replies.length = 0;
    const unanswered = arrived.slice(before).map(({ event_id }) => event_id);
    const next = await it.worker();
    await it.held(t);
    const again = arrived.slice(before + unanswered.length).map(({ event_id }) => event_id);
    t.ok(
      unanswered.some(id => again.includes(id)),
      'what was not settled is sent again, under its id',
    );
    await next.end('SIGKILL');
  });

  await t.test('while its queue is wiped with deliveries outstanding', async t => {
    const worker = await it.worker();
    receiver.replies.push(...Array.from({ length: 12 }, () => ({ status: 503 })));
    const before = receiver.received.length;
    await it.tell(6);
    await receiver.reached(before + 12);
    await client.query(EMPTY_QUEUE);
    await worker.end('SIGKILL');
    await client.query(EMPTY_QUEUE);
    const next = await it.worker();
    await it.held(t);
    await next.end('SIGTERM');
  });
});

t.test('two workers whose clocks are a year off, and four relays more', async t => {
  const it = await start(t);
  const shifted = (ms: number) =>
    it.worker({ WALL_CLOCK_SHIFT_MS: String(ms) }, ['--import', './test/support/shifted-wall-clock.ts']);
  await Promise.all([shifted(YEAR_MS), shifted(-YEAR_MS)]);
  let told = false;
  const relay = async () => {
    while (!told) await relayEvents(it.services);
  };
  const telling = Promise.all([it.tell(8), it.tell(8)]).finally(() => {
    told = true;
  });
  await Promise.all([telling, relay(), relay(), relay(), relay()]);
  await it.held(t);
  t.equal(it.arrived.length, 16 * 2 * STORY.length, 'each once');
  const attempts = await asRelay(it.services, tx => tx.selectFrom('delivery_attempts').select(['started_at']).execute());
  t.ok(attempts.every(({ started_at }) => Math.abs(started_at.getTime() - Date.now()) < 300 * SECOND));
});
