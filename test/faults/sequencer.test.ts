import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import pg from 'pg';
import t, { type Test } from 'tap';
import { openFileLedger } from '../../src/audit/ledger.ts';
import { leafHash } from '../../src/core/canonical.ts';
import { openCheckpoint } from '../../src/core/checkpoint.ts';
import { appendLeaves, type Edge } from '../../src/core/merkle.ts';
import { parseVerifierKey } from '../../src/core/signed-note.ts';
import { openTestServices } from '../support/app.ts';
import { seededRandom } from '../support/load.ts';
import { type Program, serve } from '../support/process.ts';
import { leave } from '../support/trail.ts';

/**
 * The sequencer's process is killed (SIGKILL) at each step of "Tree, sequencing, checkpoint", and anywhere while entries are
 * written. Whoever comes next goes on: everything acknowledged has its place once, and there is one history, in which every
 * checkpoint that anybody could ever see has its place, too.
 */

const LONG = process.env.LONG === '1';
t.setTimeout(LONG ? 3_600_000 : 600_000);

const GATE = 4_712;

t.test('the sequencer, killed', async t => {
  const { services } = await openTestServices(t);
  const writer = { ...services, now: () => new Date() };
  const { database_url, data_dir, log } = services.config;
  const client = new pg.Client(database_url!);
  await client.connect();
  t.teardown(() => client.end());
  const one = async (text: string) => (await client.query(text)).rows[0];
  const count = async (rows: string): Promise<number> => (await one(`select count(*)::int as count from ${rows}`)).count;
  const sizes = async () => {
    const head = await one('select size::int, published_size::int as published from audit_head');
    const ledger = await openFileLedger(log.ledger_path);
    const { size } = await ledger.head();
    await ledger.close();
    return { ...head, ledger: size } as Record<'size' | 'ledger' | 'published', number>;
  };
  const start = async (): Promise<Program> => {
    const sequencer = serve(t, { DATA_DIR: data_dir, DATABASE_URL: database_url!, ROLES: 'sequencer' });
    await sequencer.said(/aman is working/);
    return sequencer;
  };
  const settled = async (): Promise<void> => {
    while ((await count('audit_pending')) > 0) await pause(20);
    while ((await count('audit_head where published_size < size')) > 0) await pause(20);
  };
  const gate = {
    close: () => client.query(`select pg_advisory_lock(${GATE})`),
    open: () => client.query(`select pg_advisory_unlock(${GATE})`),
    waiting: `pg_locks where locktype = 'advisory' and not granted and objid = ${GATE}
      and database = (select oid from pg_database where datname = current_database())`,
    async reached(): Promise<void> {
      while ((await count(gate.waiting)) === 0) await pause(10);
    },
    /** What stands before it is rolled back, as where the server notices that nobody is there any more. */
    turnAway: () => client.query(`select pg_terminate_backend(pid) from ${gate.waiting}`),
  };

  const waited_before = await count('audit_pending');
  const receipts: string[] = [];
  const write = async (many: number): Promise<void> => {
    receipts.push(...(await leave(writer, many)));
  };
  /** Every checkpoint that was public for as long as a look takes. */
  const seen = startLooking(t, database_url!);

  /** Whatever was killed: nothing is lost or there twice, and what was signed is one history. */
  async function holds(t: Test): Promise<void> {
    const { size, ledger, published } = await sizes();
    t.same({ ledger, published }, { ledger: size, published: size }, 'database, ledger and public agree');
    const { rows } = await client.query<{ index: string; entry: Buffer; action: string }>(
      'select index, entry, action from audit_log order by index',
    );
    const leaves = rows.map(({ entry }) => leafHash(entry));
    const places = new Map(leaves.map((leaf, place) => [leaf.toString('hex'), place]));
    t.equal(places.size, leaves.length, 'nothing has two places');
    t.ok(
      rows.every(({ index }, place) => Number(index) === place),
      'no place is empty',
    );
    t.same(
      receipts.filter(it => !places.has(it)),
      [],
      'all that was acknowledged has one',
    );
    t.equal(rows.length, waited_before + receipts.length, 'and nothing else');

    const { origin, verifier_key } = await one('select origin, verifier_key from audit_head');
    const swapped = readFileSync(log.ledger_path, 'utf8')
      .split('\n')
      .filter(line => line.endsWith('}'))
      .map(line => JSON.parse(line).checkpoint as string);
    const log_key = parseVerifierKey(verifier_key);
    const public_ones = (await seen.so_far()).map(note => ({ note, ...openCheckpoint(note, { origin, log_key }) }));
    t.same(
      public_ones.filter(({ size, note }) => size > 0 && !swapped.includes(note)),
      [],
      'what was public was in the ledger',
    );
    t.ok(
      public_ones.every(({ size }, i) => i === 0 || size > public_ones[i - 1]!.size),
      'and never went back',
    );
    const heads = [...public_ones, ...swapped.map(note => openCheckpoint(note, { origin, log_key }))];
    let at: { size: number; edge: Edge; root: Buffer } = appendLeaves(new Map(), 0, []);
    const others = heads
      .toSorted((a, b) => a.size - b.size)
      .filter(({ size, root }) => {
        at = appendLeaves(at.edge, at.size, leaves.slice(at.size, size));
        return !at.root.equals(root);
      });
    t.same(others, [], 'all that was signed is one history');
  }

  let sequencer = await start();
  await settled();
  await client.query(
    `create function wait_at_gate() returns trigger language plpgsql as $$
       begin perform pg_advisory_xact_lock_shared(${GATE}); return null; end $$`,
  );

  await t.test('where it hurts', async t => {
    const grows = 'new.size > old.size';
    const publishes = 'new.size = old.size and new.published_size > old.published_size';
    for (const [name, trigger, is_committing, left] of [
      ['before the batch commits', `trigger gate after update on audit_head for each row when (${grows})`, false, [0, 0, 0]],
      [
        'committed, not in the ledger yet',
        `constraint trigger gate after update on audit_head deferrable initially deferred for each row when (${grows})`,
        true,
        [3, 0, 0],
      ],
      [
        'in the ledger, not public yet',
        `trigger gate after update on audit_head for each row when (${publishes})`,
        false,
        [3, 3, 0],
      ],
    ] as const)
      await t.test(name, async t => {
        const before = (await sizes()).size;
        await client.query(`create ${trigger} execute function wait_at_gate()`);
        await gate.close();
        await write(3);
        await gate.reached();
        // What has said "commit" commits, and never hears of it.
        if (is_committing) {
          sequencer.child.kill('SIGSTOP');
          await gate.open();
          while ((await sizes()).size === before) await pause(10);
        }
        await sequencer.end('SIGKILL');
        if (!is_committing) {
          await gate.turnAway();
          await gate.open();
        }
        await client.query('drop trigger gate on audit_head');
        const [size, ledger, published] = left.map(more => before + more);
        t.same(await sizes(), { size, ledger, published }, 'it was there');
        await write(2);
        sequencer = await start();
        await settled();
        t.equal((await sizes()).size, before + 5, 'and it goes on');
        await holds(t);
      });
    await t.test('with nothing to do', async t => {
      await sequencer.end('SIGKILL');
      await write(2);
      sequencer = await start();
      await settled();
      await holds(t);
    });
  });

  await t.test('anywhere, while entries are written', async t => {
    const seed = Number(process.env.SEED ?? Date.now() % 1_000_000);
    t.comment(`SEED=${seed}`);
    const random = seededRandom(seed);
    let stopping = false;
    const writing = Promise.all(
      Array.from({ length: 3 }, async () => {
        while (!stopping) {
          await write(1 + Math.floor(random() * 10));
          await pause(random() * 50);
        }
      }),
    );
    // One of two goes on while the other is dead; now and then both are.
    const both = [sequencer, await start()];
    const behind: string[] = [];
    for (let kill = 1; kill <= (LONG ? 60 : 5); kill += 1) {
      await pause(random() * 500);
      const victims = random() < 0.5 ? [0, 1] : [random() < 0.5 ? 0 : 1];
      await Promise.all(victims.map(victim => both[victim]!.end('SIGKILL')));
      if (victims.length === 2) {
        const { size, ledger, published } = await sizes();
        if (published > ledger || ledger > size) behind.push(`kill ${kill}: ${published} ${ledger} ${size}`);
      }
      await Promise.all(
        victims.map(async victim => {
          both[victim] = await start();
        }),
      );
    }
    stopping = true;
    await writing;
    await settled();
    t.same(behind, [], 'nothing is public that the ledger lacks, or there that the database lacks');
    await holds(t);
    t.comment(`${receipts.length} entries, ${(await seen.so_far()).length} checkpoints seen`);
    for (const it of both) {
      t.equal((await it.end('SIGTERM')).code, 0);
      t.notMatch(it.output.stdout, /"level":[56]0/, 'it had nothing to complain of');
    }
  });
});

/** Looks at the public checkpoint all the time. */
function startLooking(t: Test, database_url: string) {
  const notes = new Set<string>();
  let stopping = false;
  let looked = Promise.withResolvers<void>();
  const client = new pg.Client(database_url);
  const looking = (async () => {
    await client.connect();
    while (!stopping) {
      for (const { published } of (await client.query('select published from audit_head')).rows) notes.add(published);
      looked.resolve();
      looked = Promise.withResolvers();
      await pause(5);
    }
    await client.end();
  })();
  t.teardown(async () => {
    stopping = true;
    await looking;
  });
  return {
    /** In the order in which they were public. */
    async so_far(): Promise<string[]> {
      // One may have been asked for before what the caller knows of.
      await looked.promise;
      await looked.promise;
      return [...notes];
    },
  };
}
