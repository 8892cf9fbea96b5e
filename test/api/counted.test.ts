import { test } from 'tap';
import { buildApi } from '../../src/api.ts';
import { createRefusalCounter } from '../../src/audit/counted.ts';
import { systemActor } from '../../src/core/access.ts';
import { sequencerOf, startTestApp } from '../support/app.ts';
import { entriesFor } from '../support/entries.ts';
import { mechanism } from '../support/mechanism.ts';

async function start(t: Parameters<typeof startTestApp>[0]) {
  const it = await startTestApp(t);
  const { as } = await mechanism(it);
  const counts = async () =>
    (await entriesFor(as('audit_body'), 'action=nothing.read&order=oldest')).map(({ subjects: [subject] }) => [
      subject!.record!.subject_id,
      subject!.record!.refusals,
    ]);
  return { ...it, counts };
}

const refusal = { actor: systemActor('access'), action: 'nothing.read', code: 'unauthenticated', request_id: 'r' };

test('what was refused after the first is recorded when the minute is over', async t => {
  const { services, clock, counts } = await start(t);
  const counter = createRefusalCounter(services, { look_every_ms: 20 });
  t.teardown(() => counter.close());
  for (const who of ['a', 'a', 'b', 'a']) await counter.count(who, refusal);
  await new Promise(resolve => setTimeout(resolve, 100));
  const first = [
    ['a', '1'],
    ['b', '1'],
  ];
  t.same(await counts(), first, 'the minute is not over');
  clock.advance(60_000);
  while ((await counts()).length < 3) await new Promise(resolve => setTimeout(resolve, 20));
  await new Promise(resolve => setTimeout(resolve, 100));
  t.same(await counts(), [...first, ['a', '2']], 'once, and only where there is something to say');
});

test('at the end nothing is left unrecorded', async t => {
  const { services, counts } = await start(t);
  const counter = createRefusalCounter(services);
  await Promise.all(Array.from({ length: 5 }, () => counter.count('a', refusal)));
  await counter.close();
  const recorded = (await counts()).map(([, refusals]) => Number(refusals));
  t.equal(
    recorded.reduce((sum, it) => sum + it),
    5,
  );
  t.ok(recorded.length <= 2);
});

test('what could not be recorded is recorded by the next one', async t => {
  const { services, counts } = await start(t);
  const counter = createRefusalCounter(services);
  t.teardown(() => counter.close());
  const connect = services.pool.connect;
  services.pool.connect = (() => Promise.reject(Object.assign(new Error('down'), { code: 'ECONNREFUSED' }))) as never;
  await t.rejects(counter.count('a', refusal), { code: 'ECONNREFUSED' });
  services.pool.connect = connect;
  await counter.count('a', refusal);
  t.same(await counts(), [['a', '2']]);
});

test('the API records the rest when it closes', async t => {
  const { app, services, clock } = await startTestApp(t);
  for (let i = 0; i < 3; i += 1) t.equal((await app.inject('/v1/agencies')).statusCode, 401);
  await app.close();
  const again = await buildApi(services);
  t.teardown(() => again.close());
  const { as } = await mechanism({ app: again, services, clock, sequence: sequencerOf(t, services) });
  const entries = await entriesFor(as('audit_body'), 'action=agency.list&outcome=denied');
  t.same(
    entries.map(({ subjects: [subject] }) => subject!.record!.refusals),
    ['2', '1'],
  );
});
