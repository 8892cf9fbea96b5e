import fc from 'fast-check';
import pg from 'pg';
import t, { type Test } from 'tap';
import type { OfferStatus } from '../../src/core/codes.ts';
import { createOutbound } from '../../src/platform/outbound.ts';
import type { Services } from '../../src/services.ts';
import { deliverDue } from '../../src/webhooks/turn.ts';
import { startTestApp } from '../support/app.ts';
import { everyRow, noCanaries } from '../support/canaries.ts';
import { drain } from '../support/drain.ts';
import { CANARY, draftsOf, Fuzz, PERSONAL_DAY } from '../support/fuzz.ts';
import { clinic, eventsOf } from '../support/journey.ts';
import { mechanism } from '../support/mechanism.ts';
import { ok, startNight } from '../support/night.ts';
import { startReceiver } from '../support/webhooks.ts';

/**
 * Requests made from the published document, right and wrong: no answer is a failure of ours or another than the document
 * announces, and nothing of a person is in any place but under its key. `LONG=1` sends more; `FUZZ_SEED` draws the same again.
 */

const LONG = process.env.LONG === '1';
/** Each on a mechanism of its own: the fuzzer wears one out. */
const ROUNDS = LONG ? Number(process.env.FUZZ_ROUNDS ?? 8) : 1;
const REQUESTS = LONG ? 3_200 : 1_400;
const SEED = Number(process.env.FUZZ_SEED ?? (LONG ? Date.now() % 2 ** 31 : 20_261_122));

/** The runner waits for a file no longer than for any other, unless told. */
t.setTimeout(LONG ? 3_600_000 : 600_000);

const totals = new Map<string, Map<number, number>>();

for (let round = 0; round < ROUNDS; round += 1) {
  const seed = SEED + round;
  t.test(`${REQUESTS} requests, FUZZ_SEED=${seed}`, { timeout: LONG ? 1_800_000 : 240_000 }, async t => {
    const fuzz = await startFuzz(t);
    const drafts = draftsOf(fuzz.document);
    await fc
      .assert(
        fc.asyncProperty(drafts, draft => fuzz.run(draft)),
        { seed, numRuns: REQUESTS, endOnFailure: true },
      )
      .catch((error: Error) => t.fail(String(error.cause ?? error).slice(0, 2_000)));
    for (const [name, request] of fuzz.faults) t.fail(name, { request });
    t.same([...fuzz.faults.keys()], []);

    for (const [id, { by_status }] of fuzz.tally) {
      const total = totals.get(id) ?? new Map<number, number>();
      totals.set(id, total);
      for (const [status, count] of by_status) total.set(status, (total.get(status) ?? 0) + count);
    }
    await fuzz.end();
  });
}

t.test('every operation was reached', async t => {
  const lines = [...totals].map(([id, by_status]) => {
    const sent = [...by_status.values()].reduce((sum, count) => sum + count, 0);
    const done = [...by_status].filter(([status]) => status < 300).reduce((sum, [, count]) => sum + count, 0);
    return {
      id,
      sent,
      done,
      by_status: [...by_status]
        .sort()
        .map(([status, count]) => `${status}×${count}`)
        .join(' '),
    };
  });
  const sum = (of: 'sent' | 'done') => lines.reduce((total, line) => total + line[of], 0);
  t.comment(`${sum('sent')} requests, ${Math.round((100 * sum('done')) / sum('sent'))} % done; by operation:`);
  for (const { id, sent, done, by_status } of lines)
    if (LONG) t.comment(`${id.padEnd(24)} ${String(Math.round((100 * done) / sent)).padStart(3)} %  ${by_status}`);
  t.same(
    lines.filter(({ sent }) => sent === 0).map(({ id }) => id),
    [],
  );
  if (LONG)
    t.same(
      lines.filter(({ done }) => done === 0).map(({ id }) => id),
      [],
      'and done at least once',
    );
});

const STATUSES: OfferStatus[] = [
  'offered',
  'received',
  'info_requested',
  'waitlisted',
  'accepted',
  'in_progress',
  'completed',
  'declined',
  'failed',
];

/** Tells, as the database's owner, one state of all rows from another; of what is in the trail nothing. */
async function watchState(t: Test, services: Services): Promise<() => Promise<string>> {
  const client = new pg.Client(services.config.database_url!);
  await client.connect();
  t.teardown(() => client.end());
  const { rows } = await client.query<{ name: string }>(
    `select tablename as name from pg_tables where schemaname = 'public' and tablename not like 'audit%' order by 1`,
  );
  const text = rows
    .map(
      ({ name }) => `select '${name}' as name, count(*) as n, sum(hashtext(ctid::text || xmin::text)) as versions from ${name}`,
    )
    .join(' union all ');
  return async () => JSON.stringify((await client.query(text)).rows);
}

/** A mechanism in which much is under way, and a fuzzer that knows of it. */
async function startFuzz(t: Test) {
  const logged: string[] = [];
  const it = await startTestApp(t, { LOG_LEVEL: 'trace', RATE_LIMIT: '1000000,10000000' }, { write: line => logged.push(line) });
  const { services } = it;
  const they = await mechanism(it);
  const receiver = await startReceiver(t);

  const { at } = clinic(they);
  const restock = async () => {
    for (const status of STATUSES) await at(it, status);
    await startNight(they.as('helpline_a'));
    await startNight(they.as('helpline_b'), { kase: { risk: 'low' } });
  };
  await restock();
  for (const key of ['helpline_a', 'health', 'committee'] as const)
    ok(await they.as(key, 'supervisor').post('/v1/webhook-endpoints', { url: receiver.url, event_types: ['*'] }));

  const outbound = createOutbound({ production: false, ports: [] });
  t.teardown(() => outbound.close());
  const deliver = () => deliverDue({ ...services, queue: null }, outbound);
  const fuzz = new Fuzz(it, they, {
    url: receiver.url,
    deliver,
    // By then an agency may be full, or otherwise not what it was.
    restock: () => restock().catch(() => {}),
    state: await watchState(t, services),
  });
  const known = await Promise.all(
    fuzz.world.keys.map(key => they.as(key, 'supervisor').get(`/v1/agencies/${they.agencies[key].id}/caseworkers`)),
  );
  fuzz.world.keep(known.flatMap(({ body }) => body.data.map(({ id }: { id: string }) => id)));
  await fuzz.lookAround();

  /** Everything that is kept, logged and told, but for the answers to those who may know. */
  async function end(): Promise<void> {
    await drain(services);
    await deliver();
    const places: [string, string[]][] = [
      ['the log', logged],
      ['the metrics', [await services.metrics.tell(null)]],
      ['what webhooks brought', receiver.received.map(({ text, path, headers }) => path + text + JSON.stringify(headers))],
    ];
    for (const key of fuzz.world.keys) {
      const events = await eventsOf(services, they.as(key, 'supervisor'));
      places.push([`the events of ${key}`, events.map(event => JSON.stringify(event))]);
    }
    for (const { table, rows } of await everyRow(services)) places.push([table, rows]);
    const words = [CANARY, '+999 0000 0000', 'Testname'];
    for (const [where, texts] of places) {
      noCanaries(t, words, where, texts);
      t.same(
        texts.filter(text => PERSONAL_DAY.test(text)),
        [],
        `${where} names no day of a person`,
      );
    }
    t.ok(fuzz.canaries > REQUESTS / 10, `${fuzz.canaries} canaries`);
    t.ok(logged.length > REQUESTS, `${logged.length} lines of log`);
    t.ok(receiver.received.length > 20, `${receiver.received.length} webhooks`);
  }
  return Object.assign(fuzz, { end });
}
