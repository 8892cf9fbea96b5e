import { join } from 'node:path';
import t, { type Test } from 'tap';
import { openSequencer } from '../../src/audit/jobs.ts';
import { openLogKey } from '../../src/audit/log-key.ts';
import { record } from '../../src/audit/record.ts';
import { systemActor } from '../../src/core/access.ts';
import { openCheckpoint } from '../../src/core/checkpoint.ts';
import { formatVerifierKey, parseNote, parseVerifierKey } from '../../src/core/signed-note.ts';
import { transact } from '../../src/platform/database.ts';
import type { Services } from '../../src/services.ts';
import { openTestServices } from '../support/app.ts';
import { temporaryDataDir } from '../support/process.ts';
import { lookAsOwner } from '../support/trail.ts';

/** The log goes over to another key: an entry under the old one names it, both sign for ninety days, then it signs alone. */

const ORIGIN = 'log.example/test';
const DAY_MS = 86_400_000;

async function start(t: Test) {
  const dir = await temporaryDataDir(t);
  const key = (name: string) => {
    const path = join(dir, `${name}.pem`);
    return { path, verifier: parseVerifierKey(openLogKey(path, ORIGIN, { create: true }).verifier_key) };
  };
  const { services, clock } = await openTestServices(t, { LOG_ORIGIN: ORIGIN });
  type Key = ReturnType<typeof key>;
  /** A process with these keys. */
  const sequencerWith = async (current: Key, previous: Key | null = null) => {
    const log = { ...services.config.log, key_path: current.path, previous_key_path: previous?.path ?? null };
    const opened = await openSequencer({ ...services, config: { ...services.config, log } }, services.config.database_url!);
    t.teardown(opened.close);
    return async () => {
      while (await opened.sequencer.step());
    };
  };
  const published = async () => {
    const [head] = await lookAsOwner<{ published: string; halted: string | null; published_size: number }>(
      services,
      'select published, halted, published_size::int from audit_head',
    );
    return head!;
  };
  /** Whose signatures the newest checkpoint has. */
  const signers = async (...keys: Key[]) => {
    const note = (await published()).published;
    const { signatures } = parseNote(note);
    for (const { verifier } of keys) openCheckpoint(note, { origin: ORIGIN, log_key: verifier });
    return signatures.length;
  };
  const act = (count = 1) => leave(services, count);
  return { services, clock, key, sequencerWith, published, signers, act };
}

const leave = (services: Services, count: number): Promise<unknown> =>
  transact(services, systemActor('setup'), async tx => {
    for (let i = 0; i < count; i += 1)
      await record(services, tx, systemActor('setup'), { action: 'test.act', resource_type: 'test' });
  });

t.test('from one key to the next', async t => {
  const { services, clock, key, sequencerWith, published, signers, act } = await start(t);
  const [old, next] = [key('old'), key('next')];
  const before = await sequencerWith(old);
  await act();
  await before();
  t.equal(await signers(old), 1);

  const during = await sequencerWith(next, old);
  await sequencerWith(next, old);
  const [named, ...more] = await lookAsOwner(services, `select code, index from audit_records where action = 'audit.rotate_key'`);
  t.strictSame(
    [named, more],
    [{ code: formatVerifierKey(next.verifier), index: null }, []],
    'named once, and not in the log yet',
  );
  t.equal(await signers(old), 1, 'until then the old one signs');
  await during();
  t.equal(await signers(old), 1, 'and signs that it was named');
  await during();
  t.equal(await signers(old, next), 2);
  for (let i = 0; i < 3; i += 1) {
    await act();
    await during();
    t.equal(await signers(old, next), 2, 'whoever pinned either can check it');
  }

  const { published_size } = await published();
  await act();
  await before();
  t.match(await published(), { published_size, halted: null }, 'a process that was forgotten does nothing, and halts nothing');
  await during();
  t.equal((await published()).published_size, published_size + 1);

  clock.advance(90 * DAY_MS - 1);
  await act();
  await during();
  t.equal(await signers(old, next), 2);
  clock.advance(1);
  await act();
  await during();
  t.equal(await signers(next), 1, 'after ninety days it signs alone');
  await (await sequencerWith(next))();
  await act();
  await (await sequencerWith(next))();
  t.equal(await signers(next), 1);

  const third = key('third');
  await (await sequencerWith(third, next))();
  await (await sequencerWith(third, next))();
  t.equal(await signers(next, third), 2, 'and another time');
});

t.test('a key that nothing names signs nothing', async t => {
  const { key, sequencerWith, published, signers, act } = await start(t);
  const [old, other] = [key('old'), key('other')];
  await act();
  await (await sequencerWith(old))();
  const { published: note } = await published();
  await act();
  await (await sequencerWith(other))();
  t.match(await published(), { published: note, halted: 'other_key' });
  await (await sequencerWith(old))();
  t.match(await published(), { halted: null });
  t.equal(await signers(old), 1);
});
