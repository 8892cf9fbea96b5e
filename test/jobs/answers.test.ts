import pg from 'pg';
import t from 'tap';
import { countLately } from '../../src/agencies/answers.ts';
import { startTestApp } from '../support/app.ts';
import { drain } from '../support/drain.ts';
import { clinic, DAY } from '../support/journey.ts';
import { mechanism } from '../support/mechanism.ts';
import { ok } from '../support/night.ts';
import { lookAsOwner } from '../support/trail.ts';

t.setTimeout(120_000);

t.test('how often a service was asked lately, and said yes', async t => {
  const test = await startTestApp(t);
  const { services, clock } = test;
  const them = await mechanism(test);
  const { as, agencies } = them;
  const { at, sender } = clinic(them);
  const path = `/v1/agencies/${agencies.health.id}/services/medical`;
  const read = async () => ok(await as('health', 'supervisor').get(path));
  const counted = async () => {
    await countLately(services);
    const [counts] = await lookAsOwner<{ asked: number; accepted: number }>(
      services,
      `select asked, accepted from services where agency_id = $1 and service = 'medical'`,
      [agencies.health.id],
    );
    return counts!;
  };
  const before = await read();
  t.strictSame(await counted(), { asked: 0, accepted: 0 });

  for (const status of ['offered', 'received', 'info_requested', 'waitlisted'] as const) await at(test, status);
  t.strictSame(await counted(), { asked: 0, accepted: 0 }, 'who has not answered');
  for (const status of ['withdrawn', 'cancelled'] as const) await at(test, status);
  t.strictSame(await counted(), { asked: 0, accepted: 0 }, 'what others took back');
  await at(test, 'accepted');
  await at(test, 'completed');
  t.strictSame(await counted(), { asked: 2, accepted: 2 });
  await at(test, 'declined');
  t.strictSame(await counted(), { asked: 3, accepted: 2 });
  const { referral } = await at(test, 'accepted');
  ok(await sender.post(`/v1/referrals/${referral.id}/cancel`, { reason_code: 'error' }));
  t.strictSame(await counted(), { asked: 4, accepted: 3 }, 'a yes counts, whatever became of it');

  const after = await read();
  t.equal(after.version, before.version, 'nobody said anything anew of the service');
  t.equal(after.updated_at, before.updated_at);

  await t.test('only what changed is written, and nobody is waited for', async t => {
    const rowOf = async () => lookAsOwner(services, 'select ctid::text from services where agency_id = $1', [agencies.health.id]);
    const row = await rowOf();
    await countLately(services);
    t.strictSame(await rowOf(), row);
    await at(test, 'declined');
    const somebody = new pg.Client(services.config.database_url!);
    await somebody.connect();
    await somebody.query('begin');
    await somebody.query('select from services where agency_id = $1 for update', [agencies.health.id]);
    await countLately(services);
    t.strictSame(await rowOf(), row, 'is passed by');
    await somebody.query('rollback');
    await somebody.end();
    t.strictSame(await counted(), { asked: 5, accepted: 3 });
  });

  await t.test('who let it expire said no, unless a late yes came', async t => {
    const silent = await at(test, 'expired');
    const { asked, accepted } = await counted();
    t.ok(asked > 5);
    t.equal(accepted, 3);
    ok(await as('health').post(`/v1/referrals/${silent.referral.id}/accept`));
    t.strictSame(await counted(), { asked, accepted: 4 });
  });

  await t.test('what was long ago is forgotten', async t => {
    clock.advance(80 * DAY);
    await drain(services);
    t.ok((await counted()).accepted > 0);
    clock.advance(11 * DAY);
    t.strictSame(await counted(), { asked: 0, accepted: 0 });
  });
});
