import { sql } from 'kysely';
import { test } from 'tap';
import { systemActor } from '../../src/core/access.ts';
import { Problem } from '../../src/core/problem.ts';
import { asSystem, conflictOn, post, type Tx, transact } from '../../src/platform/database.ts';
import { openTestServices } from '../support/app.ts';
import { demoActors } from '../support/webhooks.ts';

test('what a transaction says', async t => {
  const { services } = await openTestServices(t);
  const { helpline_a } = await demoActors(services);
  const clock = systemActor('clock');
  const beat = (tx: Tx, role: string, at: unknown = new Date()) =>
    sql`insert into heartbeats (role, beat_at, running_since) values (${role}, ${at}, ${at})`.execute(tx);
  const beats = () =>
    transact(services, clock, async tx => (await tx.selectFrom('heartbeats').select('role').execute()).map(({ role }) => role));

  await t.test('is said in the role of the voice, in whatever order it is awaited', async t => {
    const role = (tx: Tx) =>
      sql<{ role: string }>`select current_setting('aman.system') as role`.execute(tx).then(({ rows }) => rows[0]!.role);
    const roles = await transact(services, helpline_a, tx =>
      Promise.all([
        role(tx),
        asSystem(tx, 'router', tx => role(tx)),
        role(tx),
        asSystem(tx, 'trail', async tx => [await role(tx), await asSystem(tx, 'relay', role), await role(tx)].join()),
        role(tx),
      ]),
    );
    t.strictSame(roles, ['', 'router', '', 'trail,relay,trail', '']);
  });

  await t.test('is done as a whole, or not at all', async t => {
    const twice = transact(services, clock, async tx => {
      post(tx, beat(tx, 'first'));
      post(tx, beat(tx, 'first').catch(conflictOn('heartbeats_pkey', 'it beats already')));
      post(tx, beat(tx, 'second'));
    });
    await t.rejects(twice, { name: 'Problem', code: 'already_exists' }, 'for the reason that came first');

    const told = transact(services, clock, async tx => {
      post(tx, beat(tx, 'first', 'no date'));
      await beat(tx, 'second');
    });
    await t.rejects(told, { code: '22007' }, 'whoever waits for what comes behind is told why, too');

    const never_sent = transact(services, clock, async tx => {
      await beat(tx, 'first');
      const circular: Record<string, unknown> = {};
      circular.itself = circular;
      post(tx, beat(tx, 'second', circular));
    });
    await t.rejects(never_sent, /circular/, 'also where the server never heard of what failed');

    const refused = transact(services, clock, async tx => {
      post(tx, beat(tx, 'first'));
      throw new Problem('wrong_state');
    });
    await t.rejects(refused, { code: 'wrong_state' });
    t.strictSame(await beats(), []);
  });

  await t.test('cannot be said after the end', async t => {
    let left_behind: Tx | undefined;
    await transact(services, clock, async tx => {
      left_behind = tx;
    });
    await t.rejects(beat(left_behind!, 'late'), { message: 'said after the end of the transaction' });
    await t.rejects(
      asSystem(left_behind!, 'relay', tx => beat(tx, 'late')),
      { message: 'said after the end of the transaction' },
    );
  });

  await t.test('may be said again after a deadlock, and is done once', async t => {
    let tries = 0;
    await transact(services, clock, async tx => {
      tries += 1;
      post(tx, beat(tx, 'again'));
      if (tries === 1) post(tx, sql`do $$ begin raise exception 'fell' using errcode = '40P01'; end $$`.execute(tx));
    });
    t.strictSame([tries, await beats()], [2, ['again']]);
  });

  await t.test('ends where a function refuses, and what was said behind is not even looked at', async t => {
    const refused = transact(services, clock, async tx => {
      post(tx, sql`do $$ begin raise exception 'nothing there' using errcode = 'AM404'; end $$`.execute(tx));
      await beat(tx, 'behind');
    });
    await t.rejects(refused, { name: 'Problem', code: 'not_found' });
    t.notOk((await beats()).includes('behind'));
  });
});
