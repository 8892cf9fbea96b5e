import { sql } from 'kysely';
import { test } from 'tap';
import { asSystem, post, type Tx, transact } from '../../src/platform/database.ts';
import { gatheredRows } from '../../src/platform/gather.ts';
import { openTestServices } from '../support/app.ts';
import { lookAsOwner } from '../support/trail.ts';
import { demoActors } from '../support/webhooks.ts';

/** Any table would do; this one has arrays, bytes and columns that may be empty. */
const ENDPOINTS = gatheredRows('webhook_endpoints', 1, {
  id: false,
  agency_id: false,
  url: false,
  event_types: true,
  description: true,
  signature: false,
  status: true,
  secret: false,
  previous_secret: true,
  previous_secret_until: true,
  public_key: false,
  private_key: false,
  previous_public_key: false,
  previous_private_key: false,
  contact_staff_code: false,
  failing_since: true,
  max_per_second: false,
  paced_until: true,
  turn_of: true,
  turn_until: true,
  deleted_at: true,
  stops: true,
  tls: false,
  tls_summary: true,
  version: true,
  created_at: false,
  updated_at: true,
});

test('what is gathered', async t => {
  const { services } = await openTestServices(t);
  const { helpline_a } = await demoActors(services);
  const at = new Date('2026-11-21T19:00:00.123Z');
  const rowOf = (id: string) => ({
    id,
    agency_id: helpline_a.agency_id,
    url: 'https://receiver.example/hook',
    event_types: ['*', 'with "quotes", {braces} and \\'],
    description: null as string | null,
    signature: [],
    status: 'active' as const,
    secret: Buffer.from([0, 255, 92]),
    previous_secret: null,
    previous_secret_until: null as Date | null,
    public_key: null,
    private_key: null,
    previous_public_key: null,
    previous_private_key: null,
    contact_staff_code: null,
    failing_since: at,
    deleted_at: null,
    stops: 0,
    max_per_second: 500,
    paced_until: null,
    turn_of: null,
    turn_until: null,
    tls: null,
    tls_summary: null,
    version: 1,
    created_at: at,
    updated_at: at,
  });
  const act = <T>(work: (tx: Tx) => Promise<T>) => transact(services, helpline_a, work);
  const stored = async (id: string) => (await lookAsOwner(services, 'select * from webhook_endpoints where id = $1', [id]))[0];
  const count = (tx: Tx) => sql<{ n: number }>`select count(*) as n from webhook_endpoints`.execute(tx).then(it => it.rows[0]!.n);

  await t.test('is written as it stands in the end, whatever it holds', async t => {
    const row = rowOf('whe_1');
    await act(async tx => {
      ENDPOINTS.insert(tx, row);
      row.description = 'later';
      ENDPOINTS.update(tx, row);
    });
    t.strictSame(await stored('whe_1'), { ...row, description: 'later' });
    await act(async tx => {
      await sql`select from webhook_endpoints where id = 'whe_1' for update`.execute(tx);
      Object.assign(row, { description: null, event_types: [], previous_secret_until: at });
      ENDPOINTS.update(tx, row);
    });
    t.strictSame(await stored('whe_1'), row);
  });

  await t.test('is there for whatever is read after it, in each role', async t => {
    const seen = await act(async tx => {
      const before = await count(tx);
      ENDPOINTS.insert(tx, rowOf('whe_2'));
      const asked = count(tx);
      asSystem(tx, 'relay', tx => ENDPOINTS.insert(tx, rowOf('whe_3')));
      ENDPOINTS.insert(tx, rowOf('whe_4'));
      return [(await asked) - before, (await count(tx)) - before];
    });
    t.strictSame(seen, [1, 3]);
  });

  await t.test('is not written in another role than its own', async t => {
    const foreign = act(async tx => ENDPOINTS.insert(tx, { ...rowOf('whe_5'), agency_id: 'agy_other' }));
    await t.rejects(foreign, { code: '42501' });
    const waited = act(async tx => {
      ENDPOINTS.insert(tx, { ...rowOf('whe_5'), agency_id: 'agy_other' });
      await count(tx);
    });
    await t.rejects(waited, { code: '42501' }, 'whoever waits for what comes behind is told why, too');
    t.equal(await stored('whe_5'), undefined);
  });

  await t.test('is done as a whole, or not at all', async t => {
    const nothing = act(async tx => {
      ENDPOINTS.insert(tx, rowOf('whe_6'));
      throw new Error('no');
    });
    await t.rejects(nothing, { message: 'no' });
    for (const [column, value] of [
      ['failing_since', new Date(Number.NaN)],
      ['description', undefined],
      ['stops', Number.NaN],
    ] as const) {
      const unsayable = act(async tx => {
        ENDPOINTS.insert(tx, { ...rowOf('whe_6'), [column]: value } as never);
      });
      await t.rejects(unsayable, TypeError, `${column} is not taken for null`);
      const asked = act(async tx => {
        ENDPOINTS.insert(tx, { ...rowOf('whe_6'), [column]: value } as never);
        post(tx, count(tx));
      });
      await t.rejects(asked, TypeError, 'also where nobody waits for what brought it up');
    }
    t.equal(await stored('whe_6'), undefined);
    t.equal(services.pool.idleCount, services.pool.totalCount, 'and the connections are free');
  });

  await t.test('is not two copies of one row', async t => {
    const copies = act(async tx => {
      ENDPOINTS.update(tx, rowOf('whe_1'));
      ENDPOINTS.update(tx, rowOf('whe_1'));
    });
    await t.rejects(copies, { message: 'two copies of one row of webhook_endpoints' });
  });

  await t.test('may be written again after a deadlock, and is written once', async t => {
    let tries = 0;
    await act(async tx => {
      tries += 1;
      ENDPOINTS.insert(tx, rowOf('whe_7'));
      if (tries === 1) post(tx, sql`do $$ begin raise exception 'fell' using errcode = '40P01'; end $$`.execute(tx));
    });
    t.equal(tries, 2);
    t.ok(await stored('whe_7'));
  });

  await t.test('is not taken after the end', async t => {
    let left_behind: Tx | undefined;
    await act(async tx => {
      left_behind = tx;
    });
    t.throws(() => ENDPOINTS.insert(left_behind!, rowOf('whe_8')), { message: 'said after the end of the transaction' });
  });
});
