import { sql } from 'kysely';
import t from 'tap';
import { systemActor } from '../../src/core/access.ts';
import { transact } from '../../src/platform/database.ts';
import { openTestServices } from '../support/app.ts';
import { lookAsOwner } from '../support/trail.ts';

t.test('statements are prepared, and planned anew when a migration changes what they return', async t => {
  const { services } = await openTestServices(t);
  await lookAsOwner(services, 'create table overtaken (id integer primary key)');
  await lookAsOwner(services, 'grant select on overtaken to aman_app');
  await lookAsOwner(services, 'insert into overtaken values (7)');
  let tried = 0;
  const read = () =>
    transact(services, systemActor('setup'), async tx => {
      tried += 1;
      const { rows } = await sql`select * from overtaken where id = ${7}`.execute(tx);
      const prepared = await sql<{ count: number }>`
        select count(*)::int as count from pg_prepared_statements where statement like '%from overtaken%'`.execute(tx);
      return { rows, prepared: prepared.rows[0]!.count };
    });
  for (let i = 0; i < 8; i += 1) t.strictSame(await read(), { rows: [{ id: 7 }], prepared: 1 });
  t.equal(tried, 8);

  await lookAsOwner(services, 'alter table overtaken add column note text');
  t.strictSame((await read()).rows, [{ id: 7, note: null }]);
  t.equal(tried, 10, 'refused once, and tried again by another name');
  t.strictSame((await read()).rows, [{ id: 7, note: null }]);
  t.equal(tried, 11);
});
