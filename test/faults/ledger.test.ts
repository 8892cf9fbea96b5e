import { chmod, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { openFileLedger } from '../../src/audit/ledger.ts';
import { openCheckpoint } from '../../src/core/checkpoint.ts';
import { parseVerifierKey } from '../../src/core/signed-note.ts';
import { cloneDatabase } from '../support/app.ts';
import { caseBody, ok } from '../support/night.ts';
import { runCommand, temporaryDataDir } from '../support/process.ts';
import { startServed } from '../support/served.ts';

/**
 * The disk under the ledger fails the running service: nothing is published that the ledger lacks, acts go on, those who watch
 * over the trail are told, and when the disk is well again the service goes on by itself.
 */

t.setTimeout(600_000);

t.test('without room for the ledger', async t => {
  const LEDGER_PATH = join(await temporaryDataDir(t), 'ledger');
  const served = await startServed(t, ['helpline_a', 'audit_body'], { LEDGER_PATH });
  const sizes = async () => {
    const [head] = await served.look('select * from audit_head');
    const ledger = await openFileLedger(LEDGER_PATH);
    const { size } = await ledger.head();
    await ledger.close();
    const log_key = parseVerifierKey(head.verifier_key);
    const published = openCheckpoint(head.published, { origin: head.origin, log_key });
    return { size: Number(head.size), ledger: size, published: published.size };
  };
  const alarms = () => served.look(`select code from audit_records where action = 'audit.alarm'`);
  const act = async () => ok(await served.as('helpline_a').post('/v1/cases', caseBody()));
  const limitFiles = async (bytes: number | 'unlimited') => {
    const program = runCommand(t, 'prlimit', ['--pid', String(served.program.child.pid), `--fsize=${bytes}:`]);
    t.equal(await program.ended, 0, program.output.stderr);
  };
  /** Waits until everything before it is public. */
  const checkpoint = async () => ok(await served.as('audit_body').get('/v1/audit/checkpoint'));

  await act();
  await checkpoint();
  const owed = 'select from audit_pending union all select from audit_head where published_size < size';
  while ((await served.look(owed)).length > 0) await pause(20);
  // Half of a line goes in, as on a disk that is nearly full.
  await limitFiles((await stat(LEDGER_PATH)).size + 100);
  const before = await sizes();
  for (let i = 0; i < 3; i += 1) {
    await act();
    await pause(300);
  }
  while ((await alarms()).length === 0) await pause(50);
  await act();
  t.same(await alarms(), [{ code: 'merge_delay' }]);
  const now = await sizes();
  t.ok(now.size > now.ledger, 'something is signed');
  t.same([now.ledger, now.published], [before.ledger, before.ledger], 'which nobody has seen');
  t.equal((await served.look('select from cases')).length, 5, 'what was done is done');
  t.notOk((await readFile(LEDGER_PATH, 'utf8')).endsWith('\n'), 'a line is torn');

  await limitFiles('unlimited');
  await checkpoint();
  const after = await sizes();
  t.ok(after.published > now.size, 'what waited is public');
  t.ok(after.ledger >= after.published, 'and in the ledger');
  const events = await served.as('audit_body').get('/v1/events?types=audit.alarm');
  t.match(ok(events).data, [{ type: 'audit.alarm', data: { code: 'merge_delay' } }]);
  const complaints = (await served.stop()).map(line => JSON.parse(line));
  t.same(
    complaints.map(({ level, err, reason }) => [level, err?.message ?? reason]),
    [
      [50, `the ledger ${LEDGER_PATH} cannot be written: EFBIG`],
      [60, 'merge_delay'],
    ],
    'each is said once',
  );
});

t.test('with a ledger that must not be written', async t => {
  const dir = await temporaryDataDir(t);
  const LEDGER_PATH = join(dir, 'ledger');
  const DATABASE_URL = await cloneDatabase(t);
  const env = { DATA_DIR: dir, LEDGER_PATH, DATABASE_URL, ROLES: 'sequencer', LOG_LEVEL: 'warn' };
  await (await openFileLedger(LEDGER_PATH)).close();
  await chmod(LEDGER_PATH, 0o400);
  const program = asOthers(t, env);
  t.equal(await program.ended, 1);
  t.equal(program.output.stderr, `aman: the ledger ${LEDGER_PATH} cannot be opened: EACCES\n`, 'it does not start, and says why');
  await chmod(LEDGER_PATH, 0o600);
  const again = asOthers(t, env);
  await again.said(/aman is working/);
  t.equal((await again.end('SIGTERM')).code, 0);
});

/** The service, held to the permissions of files where root runs it, too. */
function asOthers(t: Test, env: Record<string, string>) {
  const serve = ['-u', 'NODE_OPTIONS', process.execPath, 'src/main.ts', 'serve'];
  if (process.getuid?.() !== 0) return runCommand(t, 'env', serve, env);
  return runCommand(t, 'setpriv', ['--bounding-set=-dac_override,-dac_read_search', 'env', ...serve], env);
}
