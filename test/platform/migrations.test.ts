import { randomUUID } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { Kysely, PostgresDialect } from 'kysely';
import { type Migration, Migrator } from 'kysely/migration';
import pg from 'pg';
import t, { type Test } from 'tap';
import { migrate, QUEUE_SCHEMA } from '../../src/platform/migrate.ts';
import { cloneDatabase } from '../support/app.ts';
import { EMPTY_QUEUE } from '../support/webhooks.ts';

/** A database that somebody uses is brought forward with what is in it, by an owner who is no superuser. */

const FOLDER = new URL('../../migrations/', import.meta.url);

/** A database as it was after `last`. @returns connection strings of its owner and of the server's superuser */
async function databaseAt(t: Test, last: string, names: readonly string[]): Promise<{ owner: string; superuser: string }> {
  const admin_url = process.env.TEST_DATABASE_ADMIN_URL!;
  const name = `old_${randomUUID().replaceAll('-', '').slice(0, 20)}`;
  const admin = new pg.Client(admin_url);
  await admin.connect();
  t.teardown(async () => {
    await admin.query(`drop database if exists ${name} with (force)`);
    await admin.end();
  });
  await admin.query(`create database ${name} owner owner`);
  const superuser = Object.assign(new URL(admin_url), { pathname: `/${name}` }).href;
  const owner = Object.assign(new URL(superuser), { username: 'owner', password: 'owner' }).href;
  const db = new Kysely<unknown>({ dialect: new PostgresDialect({ pool: new pg.Pool({ connectionString: owner }) }) });
  const loaded = names.map(async name => [name, (await import(new URL(`${name}.ts`, FOLDER).href)) as Migration] as const);
  const migrations = Object.fromEntries(await Promise.all(loaded));
  const { error } = await new Migrator({ db, provider: { getMigrations: async () => migrations } }).migrateTo(last);
  await db.destroy();
  if (error) throw error;
  return { owner, superuser };
}

t.test('0015: what was recorded before the log waits for its place, under its number', async t => {
  const names = (await readdir(FOLDER)).filter(file => /^\d{4}-.*\.ts$/.test(file)).map(file => file.slice(0, -3));
  const before = names.filter(name => name < '0015').sort();
  const { owner, superuser } = await databaseAt(t, before.at(-1)!, before);
  const client = new pg.Client(superuser);
  await client.connect();
  t.teardown(() => client.end());
  await client.query(`
    insert into audit_records (entry_id, entry, meta, salt_meta, salt_personal, subject_commits, at, action, outcome, resource_type)
    select decode(lpad(to_hex(n), 32, '0'), 'hex'), decode(repeat('00', 93), 'hex'), '{}', decode(repeat('00', 32), 'hex'),
      decode(repeat('00', 32), 'hex'), '{}', now(), 'case.open', 'done', 'case' from generate_series(1, 9) n`);
  await client.query('insert into audit_pending select entry_id, entry from audit_records');
  await client.query('insert into audit_subjects (entry_id, ordinal) select entry_id, 0 from audit_records');
  const recorded = `select number, encode(entry_id, 'hex') as entry_id from audit_records order by number`;
  // Numbers have gaps: a transaction that fails has used one.
  await client.query('delete from audit_subjects where ordinal = 0; delete from audit_records where number in (3, 4)');
  const { rows } = await client.query(recorded);
  t.equal(rows.length, 7);

  await migrate(owner);
  t.same((await client.query(recorded)).rows, rows);
  t.same((await client.query('select count(*)::int as n from audit_pending')).rows, [{ n: 7 }]);
  t.same((await client.query('select count(*)::int as n from audit_log')).rows, [{ n: 0 }]);
  const next = await client.query(`
    insert into audit_pending (entry_id, entry, meta, salt_meta, salt_personal, subject_commits, at, action, outcome, resource_type)
    select decode(repeat('ff', 16), 'hex'), entry, meta, salt_meta, salt_personal, subject_commits, at, action, outcome, resource_type
    from audit_pending limit 1 returning number`);
  t.same(next.rows, [{ number: '10' }], 'and goes on counting');
});

t.test('a queue that was emptied, with what it says of itself, is made again', async t => {
  const url = await cloneDatabase(t);
  const client = new pg.Client(url);
  await client.connect();
  t.teardown(() => client.end());
  const versions = `select version from ${QUEUE_SCHEMA}.migration`;
  const { rows } = await client.query(versions);
  await client.query(EMPTY_QUEUE);
  // As before a version with another schema: what merely replaces functions would pass.
  await client.query(`delete from kysely_migration where name >= '0031'`);
  await t.rejects(migrate(url), /already exists/, 'as far as the schema of the service, which is there');
  t.same((await client.query(versions)).rows, rows);
});

t.test('0016: what the log holds already is found by its kinds and spans, too', async t => {
  const names = (await readdir(FOLDER)).filter(file => /^\d{4}-.*\.ts$/.test(file)).map(file => file.slice(0, -3));
  const before = names.filter(name => name < '0016').sort();
  const { owner, superuser } = await databaseAt(t, before.at(-1)!, before);
  const client = new pg.Client(superuser);
  await client.connect();
  t.teardown(() => client.end());
  const add = (from: number, to: number) =>
    client.query(
      `insert into audit_log (index, number, entry_id, entry, meta, salt_meta, salt_personal, subject_commits, at, agency_id, action,
         outcome, resource_type)
       select n, n, decode(lpad(to_hex(n), 32, '0'), 'hex'), '', '{}', '', '', '{}', '2026-01-01Z'::timestamptz + n * interval '1 s',
         nullif('agy_' || n % 3, 'agy_0'), 'case.open', 'done', 'case' from generate_series($1::int, $2::int) n`,
      [from, to],
    );
  await add(0, 4_999);
  await migrate(owner);
  const kinds = async () =>
    (await client.query('select agency_id, count(*)::int as n from audit_kinds group by 1 order by 1')).rows;
  const three = ['agy_1', 'agy_2', null].map(agency_id => ({ agency_id, n: 1 }));
  t.same(await kinds(), three);
  await add(5_000, 8_191);
  t.same(await kinds(), three, 'each once');
  const spans = await client.query(`select index::int, extract(epoch from latest - earliest)::int as seconds from audit_spans`);
  t.same(spans.rows, [
    { index: 0, seconds: 4_095 },
    { index: 4_096, seconds: 4_095 },
  ]);
});
