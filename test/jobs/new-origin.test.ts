import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { openSequencer } from '../../src/audit/jobs.ts';
import { openFileLedger } from '../../src/audit/ledger.ts';
import { openCheckpoint } from '../../src/core/checkpoint.ts';
import { parseVerifierKey } from '../../src/core/signed-note.ts';
import type { DemoCredentials } from '../../src/demo.ts';
import { readConfig } from '../../src/platform/config.ts';
import { createLogger } from '../../src/platform/log.ts';
import { openServices } from '../../src/services.ts';
import { cloneDatabase } from '../support/app.ts';
import { run, temporaryDataDir } from '../support/process.ts';
import { leave, lookAsOwner } from '../support/trail.ts';

/** A database from a backup, beside a ledger that knows more: two people begin the log anew. */

t.test('the log begins anew, and says why', async t => {
  const dir = await temporaryDataDir(t);
  const OLD = { DATA_DIR: dir, LOG_LEVEL: 'silent', LOG_ORIGIN: 'trail.example/1' };
  const NEW = { ...OLD, LOG_ORIGIN: 'trail.example/2', LEDGER_PATH: join(dir, 'ledger-2') };
  /** Some acts in a database, and what its sequencer makes of them. */
  const sequence = async (database: string, env: typeof OLD, acts: number) => {
    const config = readConfig({ ...env, DATABASE_URL: database });
    const services = await openServices(config, createLogger('silent'), database);
    const { sequencer, close } = await openSequencer(services, database);
    await leave(services, acts);
    while (await sequencer.step());
    const [head] = await lookAsOwner<{ origin: string; halted: string | null; published: string; verifier_key: string }>(
      services,
      'select * from audit_head',
    );
    const log = await lookAsOwner<{ action: string; code: string | null; entry: Buffer; client_id: string }>(
      services,
      'select action, code, entry, client_id from audit_log order by index',
    );
    const pending = await lookAsOwner<{ entry: Buffer }>(services, 'select entry from audit_pending order by number');
    await close();
    await services.close();
    return { head: head!, log, pending };
  };
  const agencies = async (database: string) => {
    const services = { config: { database_url: database } };
    const [row] = await lookAsOwner(services, `select value from deployment where name = 'test_credentials'`);
    return (row!.value as DemoCredentials).agencies;
  };
  const now = await cloneDatabase(t);
  const backed_up = await sequence(now, OLD, 300);
  const old = await cloneDatabase(t, new URL(now).pathname.slice(1));
  const say = async (agency_id: string, staff_code: string, origin = NEW.LOG_ORIGIN, database = old, env: object = OLD) => {
    const command = ['src/main.ts', 'new-origin', '--origin', origin, '--agency', agency_id, '--staff-code', staff_code];
    const { ended, output } = run(t, command, { ...env, DATABASE_URL: database });
    return { code: await ended, ...output };
  };
  const { committee, audit_body } = await agencies(old);
  const [one, two] = [committee.caseworkers[0].staff_code, committee.caseworkers[1].staff_code];
  const auditor = audit_body.caseworkers[0].staff_code;
  t.match(await say(committee.id, one, undefined, now), { code: 1, stderr: /log and its ledger agree/ }, 'not without a reason');

  for (const [name, message] of [
    ['mistyped', /cannot be opened: ENOENT/],
    ['empty', /knows of no log/],
  ] as const) {
    const LEDGER_PATH = join(dir, name);
    if (name === 'empty') await writeFile(LEDGER_PATH, '');
    const said = await say(committee.id, one, undefined, now, { ...OLD, LEDGER_PATH });
    t.match(said, { code: 1, stderr: message }, 'nor for a ledger that is not this one');
  }

  // What the backup does not have, and the ledger knows of.
  await sequence(now, OLD, 7);
  const restored = await sequence(old, OLD, 2);
  t.equal(restored.head.halted, 'ledger_ahead');

  t.match(await say(committee.id, one), { code: 0, stdout: /^proposed: trail\.example\/2\n/ });
  t.match(await say(committee.id, one), { code: 1, stderr: /it takes two people/ });
  t.match(await say(committee.id, two), { code: 1, stderr: /one of the two must be of the audit body/ });
  t.match(await say(audit_body.id, 'NOBODY'), { code: 1, stderr: /no active caseworker/ });
  t.match(await say(audit_body.id, auditor, 'Not An Origin'), { code: 1, stderr: /--origin must be like/ });
  t.match(await say(audit_body.id, auditor, OLD.LOG_ORIGIN), { code: 1, stderr: /is trail\.example\/1 already/ });
  t.match((await sequence(old, OLD, 0)).head, { origin: 'trail.example/1', halted: 'ledger_ahead' }, 'nothing has changed');

  const ledger = await openFileLedger(join(dir, 'log-ledger'));
  const there = await ledger.head();
  await ledger.close();
  const opened = await say(audit_body.id, auditor);
  t.match(opened, { code: 0, stdout: /^opened: trail\.example\/2\n[\s\S]*\ntrail\.example\/2\+[0-9a-f]{8}\+\S+\n$/ });
  const log_key = parseVerifierKey(opened.stdout.trim().split('\n').at(-1)!);

  t.match((await sequence(old, OLD, 0)).head, { halted: 'other_key' }, 'whoever has the old settings signs nothing');
  const { head, log, pending } = await sequence(old, NEW, 1);
  t.match(head, { origin: NEW.LOG_ORIGIN, halted: null });
  t.equal(pending.length, 0);
  const told = await lookAsOwner<{ code: string }>(
    { config: { database_url: old } },
    `select distinct body ->> 'code' as code from events where type = 'audit.alarm' order by 1`,
  );
  t.strictSame(
    told.map(({ code }) => code),
    ['ledger_ahead', 'new_origin', 'other_key', 'propose_origin'],
    'audit bodies know',
  );
  const checkpoint = openCheckpoint(head.published, { origin: NEW.LOG_ORIGIN, log_key });
  t.equal(checkpoint.size, log.length);
  const size = backed_up.log.length;
  t.match(log[0], {
    action: 'audit.new_origin',
    code: new RegExp(`^ledger ${there.size} \\S{44} database ${size} \\S{44}$`),
    client_id: 'system:setup',
  });
  t.ok(there.size > size);
  const entries = log.map(({ entry }) => entry.toString('hex'));
  t.strictSame(
    entries.slice(1, size + 1),
    backed_up.log.map(({ entry }) => entry.toString('hex')),
    'what had a place has one again, in its order: its receipts are good',
  );
  const waited = restored.pending.map(({ entry }) => entry.toString('hex'));
  t.strictSame(entries.slice(size + 1, size + 1 + waited.length), waited, 'and what waited comes behind it');
  t.equal(new Set(entries).size, entries.length);
  t.match(await say(audit_body.id, auditor), { code: 1 }, 'once');
});
