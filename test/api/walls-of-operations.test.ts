import t from 'tap';
import type { DemoAgencyKey } from '../../src/demo.ts';
import type { Operation } from '../support/callers.ts';
import { firstWall, undermine } from '../support/first-wall.ts';

/**
 * Every operation with one of the two walls taken away: the other has to deny by itself. Behind the application alone it is asked
 * as in `authorisation.test.ts`; behind row-level security alone a stranger asks for everything, and finds and changes nothing.
 */

// Much of it, and other suites beside it.
t.setTimeout(240_000);

const standing = undermine();
const { startTestApp } = await import('../support/app.ts');
const { startCalling } = await import('../support/callers.ts');
const { mechanism } = await import('../support/mechanism.ts');
const { OPERATIONS } = await import('../support/operations.ts');
const { callersOf, WHY, withoutEffect, wronglyTold } = await import('../support/refusals.ts');
const { lookAsOwner } = await import('../support/trail.ts');

const STRANGER = { key: 'helpline_b', person: 'everything' } as const;
/** What is written whoever asks: that somebody asked. */
const TRAIL = /^(audit_(?!inquiries|disclosures)|event_|kysely_)|^(events|deployment|heartbeats)$/;

t.test('each wall by itself', async t => {
  const test = await startTestApp(t, { RATE_LIMIT: '100000,100000' });
  const { services } = test;
  const them = await mechanism(test);
  const calling = await startCalling(test, them);
  const { send } = calling;
  t.strictSame(standing(), [], 'every check can be taken away');
  const described = calling.operations.filter(({ id }) => id in OPERATIONS);
  const named = described.filter(({ params }) => params);
  const isForeign = ({ id }: Operation) => callersOf(id, [STRANGER.key])[0]![1] !== 'done';
  const foreign = named.filter(isForeign);
  const tables = await lookAsOwner<{ name: string }>(
    services,
    `select relname as name from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace order by 1`,
  );

  await t.test('row-level security alone shows a stranger nothing, and lets it change nothing', async t => {
    const before = await digests();
    firstWall.takeDown();
    const wrong: string[] = [];
    for (const operation of foreign) {
      const { status, body, text } = await send(operation, STRANGER, { headers: WHY });
      const is_empty = status === 200 && Array.isArray(body.data) && body.data.length === 0;
      // The scope of an administrator is no relation: it is asked for before either wall.
      const is_administrators = body.code === 'insufficient_scope';
      // What cannot be locked is not there, and has no version either.
      if (![404, 412].includes(status) && !is_empty && !is_administrators) wrong.push(`${operation.id}: ${status} ${text}`);
    }
    firstWall.putUp();
    t.strictSame(wrong, []);
    t.strictSame(await digests(), before);
  });

  for (const { name } of tables) await lookAsOwner(services, `alter table ${name} disable row level security`);

  await t.test('the application alone answers as with the other', async t => {
    const keys: DemoAgencyKey[] = ['helpline_a', 'helpline_b', 'health', 'committee'];
    const wrong: string[] = [];
    for (const operation of foreign) {
      const refused = callersOf(operation.id, keys).filter(([{ person }, verdict]) =>
        verdict === 'forbidden' ? person === 'everything' || person === 'auditor' : verdict === 'absent',
      );
      const absent = await send(withoutEffect(operation), STRANGER, { ids: 'absent' });
      wrong.push(...(await wronglyTold(calling, operation, refused, absent)));
    }
    t.strictSame(wrong, []);
  });

  await t.test('without both everybody sees everything: so much hangs on them', async t => {
    firstWall.takeDown();
    const hidden: string[] = [];
    for (const operation of foreign.filter(({ method }) => method === 'GET')) {
      const { status, body } = await send(operation, STRANGER);
      if (status !== 200 || body.data?.length === 0) hidden.push(operation.id);
    }
    firstWall.putUp();
    // Nobody wrote a message here.
    t.strictSame(hidden, ['listMessages']);
  });

  /** Of each table everything that is in it. */
  async function digests(): Promise<Record<string, string>> {
    const counted = tables.filter(({ name }) => !TRAIL.test(name));
    const parts = counted.map(({ name }) => `(select md5(string_agg(x::text, '' order by x::text)) from ${name} x) as "${name}"`);
    return (await lookAsOwner<Record<string, string>>(services, `select ${parts.join(', ')}`))[0]!;
  }
});
