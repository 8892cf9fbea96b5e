import { appendFileSync, readFileSync, rmSync } from 'node:fs';
import { sql } from 'kysely';
import t, { type Test } from 'tap';
import { buildApi } from '../../src/api.ts';
import { eraseFromTrail } from '../../src/audit/erasure.ts';
import { openSequencer, watchLog } from '../../src/audit/jobs.ts';
import { journalPath, noteInJournal, readJournal } from '../../src/audit/journal.ts';
import { verifyExport } from '../../src/audit/verify.ts';
import { systemActor } from '../../src/core/access.ts';
import { parseVerifierKey } from '../../src/core/signed-note.ts';
import { readConfig } from '../../src/platform/config.ts';
import { type Tx, transact } from '../../src/platform/database.ts';
import { createLogger } from '../../src/platform/log.ts';
import { applyJournal } from '../../src/restore.ts';
import { openServices, type Services } from '../../src/services.ts';
import { cloneDatabase, sequencerOf, startTestApp, testClock } from '../support/app.ts';
import { type Entry, entriesFor, everyEntry, faultsOf, startTrail } from '../support/entries.ts';
import { mechanism } from '../support/mechanism.ts';
import { caseBody, ok, startNight } from '../support/night.ts';
import { temporaryDataDir } from '../support/process.ts';
import { lookAsOwner } from '../support/trail.ts';

const SETUP = systemActor('setup');
const erase = (services: Services, id: string) => transact(services, SETUP, tx => eraseFromTrail(services, tx, SETUP, id));

t.test('a case is erased from the trail, and nothing else is', async t => {
  const { services, kase, body, as } = await startTrail(t);
  const other = ok(await as('helpline_a').post('/v1/cases', caseBody()));
  ok(await as('helpline_a').get('/v1/cases'));
  const before = await everyEntry(body, 'order=oldest');
  const about = (entries: readonly Entry[], id: string) =>
    entries.flatMap(({ subjects }) => subjects.filter(({ record }) => record?.subject_id === id).map(({ commit }) => commit));
  const commits = about(before, kase.id);
  t.ok(commits.length >= 5);
  const shared = before.filter(({ subjects }) => subjects.length > 1 && about([{ subjects } as Entry], kase.id).length > 0);
  t.ok(shared.length > 0, 'some of it beside others');

  const [receipt, ...more] = await erase(services, kase.id);
  t.match(receipt, /^[0-9a-f]{64}$/);
  t.equal(more.length, 0);
  const seen = await lookAsOwner(
    services,
    `select entry_id from audit_subjects where key_id = $1 union all select entry_id from audit_subjects where subject_index = $2`,
    [kase.id, services.vault.subjectIndex(kase.id)],
  );
  t.equal(seen.length, 0);
  t.strictSame(await lookAsOwner(services, 'select case_id from case_keys where case_id = $1', [kase.id]), []);
  t.strictSame(await erase(services, kase.id), [], 'there is nothing left to erase');
  t.strictSame(await entriesFor(body, `case_id=${kase.id}`), [], 'nothing is found by it');
  const after = (await everyEntry(body, 'order=oldest')).slice(0, before.length);
  for (const [i, entry] of after.entries()) {
    t.strictSame(faultsOf(entry), []);
    t.equal(entry.receipt, before[i]!.receipt);
    const expected = before[i]!.subjects.map(subject =>
      commits.includes(subject.commit) ? { commit: subject.commit, erased: true } : subject,
    );
    t.strictSame(entry.subjects, expected, 'the records of others are there as before');
  }
  t.strictSame(about(after, other.id), about(before, other.id));

  const [listing] = await entriesFor(body, 'action=audit.erase');
  t.equal(listing!.receipt, receipt);
  t.match(listing!.meta, { outcome: 'done', resource_type: 'audit', subjects: 1 });
  const listed = listing!.subjects[0]!.record!.erased as string[];
  t.strictSame(
    listed.filter(commit => commits.includes(commit)),
    commits.toSorted(),
    'the entry lists what it erased',
  );
  t.notMatch(JSON.stringify(listing), kase.id, 'and not whose it was');
  await t.test('the verifier wants every erased record listed', async t => {
    const log_key = parseVerifierKey(ok(await body.get('/v1/audit/verifier-key')).trim());
    const checkpoint = ok(await body.get('/v1/audit/checkpoint'));
    const size = Number(checkpoint.split('\n')[1]);
    const entries = (await everyEntry(body, 'order=oldest')).filter(({ index }) => index < size);
    const demands = { log_key, witnesses: [], quorum: 0, receipts: new Set<string>(), part: false };
    const verify = (entries: readonly Entry[], more = {}) => {
      const lines = entries.map(({ entry_id: _, receipt: __, ...line }) => line);
      const text = [{ checkpoint }, ...lines].map(line => `${JSON.stringify(line)}\n`).join('');
      return verifyExport(
        (async function* () {
          yield Buffer.from(text);
        })(),
        { ...demands, ...more },
      );
    };
    t.match(await verify(entries), { erased: listed.length, root_checked: true });
    const away = entries.find(({ subjects }) => subjects.some(({ record }) => record?.subject_id === other.id))!;
    const made_away = entries.map(entry =>
      entry === away ? { ...entry, subjects: entry.subjects.map(({ commit }) => ({ commit, erased: true as const })) } : entry,
    );
    await t.rejects(verify(made_away), {
      name: 'Lie',
      message: `index ${away.index}: subject 0: is erased, and no erasure lists it`,
    });
    t.match(await verify(made_away.slice(0, -1), { part: true }), { root_checked: false }, 'a part may lack the list');
  });

  await t.test('nobody else can', async t => {
    const index = services.vault.subjectIndex(other.id);
    const tries: ((tx: Tx) => Promise<unknown>)[] = [
      tx => tx.updateTable('audit_subjects').set({ sealed: null }).execute(),
      tx => tx.deleteFrom('audit_subjects').execute(),
      tx => tx.deleteFrom('audit_subject_referrals').execute(),
      tx => tx.deleteFrom('case_keys').execute(),
    ];
    for (const change of tries)
      for (const role of ['setup', 'erasure', 'trail'] as const)
        await t.rejects(transact(services, systemActor(role), change), { code: '42501' });
    for (const role of ['setup', 'trail', 'retention'] as const) {
      const called = transact(services, systemActor(role), tx => sql`select erase_subject(${index})`.execute(tx));
      await t.rejects(called, { code: '42501' }, role);
    }
    t.ok((await entriesFor(body, `case_id=${other.id}`)).length > 0);
  });
});

t.test('what must not come back from a backup', async t => {
  const dir = await temporaryDataDir(t);
  const clock = testClock();
  const open = async (t: Test, database: string) => {
    const config = readConfig({ DATABASE_URL: database, DATA_DIR: dir, LOG_LEVEL: 'silent' });
    const services = await openServices(config, createLogger('silent'), database, clock.now);
    const app = await buildApi(services);
    const sequencing = openSequencer(services, database);
    let is_open = true;
    const close = async () => {
      if (!is_open) return;
      is_open = false;
      await app.close();
      await (await sequencing).close();
      await services.close();
    };
    t.teardown(close);
    const sequence = async () => {
      while (await (await sequencing).sequencer.step());
    };
    const they = await mechanism({ app, services, clock, sequence });
    return { t, services, app, close, sequence, journal: (await sequencing).journal, ...they };
  };
  const now = await cloneDatabase(t);
  const backed_up = await open(t, now);
  const { kase, consent } = await startNight(backed_up.as('helpline_a'));
  const in_part = await startNight(backed_up.as('helpline_a'));
  const forgotten = ok(await backed_up.as('helpline_a').post('/v1/cases', caseBody()));
  const client = ok(
    await backed_up
      .as('helpline_b', 'supervisor')
      .post(`/v1/agencies/${backed_up.agencies.helpline_b.id}/clients`, { description: 'second', scopes: ['cases'] }),
  );
  await backed_up.sequence();
  await backed_up.close();
  const old = await cloneDatabase(t, new URL(now).pathname.slice(1));

  const later = await open(t, now);
  const withdraw = (id: string, body: object) =>
    later.as('helpline_a').post(`/v1/consents/${id}/withdraw`, body, { 'if-match': '"1"' });
  ok(await withdraw(consent.id, { spoken_in_private: true }));
  ok(await withdraw(in_part.consent.id, { spoken_in_private: true, categories: ['health'] }));
  ok(await later.as('helpline_b', 'supervisor').post(`/v1/clients/${client.id}/revoke`, undefined, { 'if-match': '"1"' }));
  await erase(later.services, forgotten.id);
  t.equal(await later.journal.keep(), false);
  t.equal(await later.journal.keep(), false, 'once');
  const path = journalPath(later.services.config.log.ledger_path);
  const kinds = async () => (await readJournal(path)).map(({ kind }) => kind);
  t.strictSame(await kinds(), ['withdrawn', 'withdrawn', 'revoked', 'erased']);
  for (const id of [consent.id, client.id, forgotten.id]) t.notMatch(readFileSync(path, 'utf8'), id, 'hashes only');
  await later.sequence();
  t.equal(await applyJournal(later.services), 0, 'it is all true here');

  await t.test('a file that was lost is written again, and one that was torn goes on', async t => {
    const whole = readFileSync(path, 'utf8');
    rmSync(path);
    await later.journal.keepAgain();
    await later.journal.keep();
    t.equal(readFileSync(path, 'utf8'), whole);
    appendFileSync(path, whole.slice(0, 30));
    await transact(later.services, SETUP, async tx =>
      noteInJournal(later.services, tx, { kind: 'erased', id: 'x', at: clock.now() }),
    );
    await later.journal.keep();
    t.strictSame(await kinds(), ['withdrawn', 'withdrawn', 'revoked', 'erased', 'erased']);
    appendFileSync(path, '{"kind":"other"}\n');
    await t.rejects(readJournal(path), /holds a line that is none/);
    rmSync(path);
    await later.journal.keepAgain();
    await later.journal.keep();
  });
  await later.close();

  const restored = await open(t, old);
  const consentOf = async (case_id: string, id: string) =>
    ok(await restored.as('helpline_a').get(`/v1/cases/${case_id}/consents`)).data.find((it: { id: string }) => it.id === id);
  t.match((await restored.app.inject('/readyz')).json(), { status: 503, detail: /not_compared/ }, 'a copy says that it is one');
  t.match(await consentOf(kase.id, consent.id), { status: 'live' }, 'the backup knows nothing of it');
  t.equal(await applyJournal(restored.services), 5);
  t.match(await consentOf(kase.id, consent.id), { status: 'withdrawn' });
  const narrowed = await consentOf(in_part.kase.id, in_part.consent.id);
  t.match(narrowed, { status: 'live' });
  t.notOk(narrowed.categories.includes('health'));
  t.match(ok(await restored.as('helpline_b', 'supervisor').get(`/v1/clients/${client.id}`)), { status: 'revoked' });
  t.strictSame(
    await lookAsOwner(restored.services, 'select case_id from case_keys where case_id = $1', [forgotten.id]),
    [],
    'nor can it be read again',
  );
  const done = await lookAsOwner<{ action: string }>(
    restored.services,
    `select action from audit_pending where client_id like 'system:%' and action <> 'audit.alarm' order by number`,
  );
  for (const action of ['consent.withdraw', 'client.revoke', 'audit.erase'])
    t.ok(
      done.some(row => row.action === action),
      `${action} is in the trail again`,
    );
  t.equal(await applyJournal(restored.services), 0, 'once');
  await restored.sequence();
  t.equal((await restored.app.inject('/readyz')).statusCode, 503, 'what was acknowledged since the backup is still lost');
  await restored.close();
});

t.test('a case with very many entries', async t => {
  const { services, sequence, body } = await startTrail(t);
  const index = services.vault.subjectIndex('cas_many');
  const many = 10_001;
  await lookAsOwner(
    services,
    `with entry as (
       insert into audit_pending (entry_id, entry, meta, salt_meta, salt_personal, subject_commits, at, action, outcome, resource_type)
       select decode(repeat('ab', 16), 'hex'), decode(repeat('cd', 93), 'hex'), '{}', decode(repeat('00', 32), 'hex'),
         decode(repeat('00', 32), 'hex'), array(select sha256(n::text::bytea) from generate_series(1, ${many}) n), now(), 'case.list',
         'read', 'case' returning entry_id)
     insert into audit_subjects (entry_id, ordinal, subject_index) select entry_id, n - 1, $1 from entry, generate_series(1, ${many}) n`,
    [index],
  );
  t.equal((await erase(services, 'cas_many')).length, 2, 'is listed by more than one entry, each of which can be exported');
  await sequence();
  const lists = (await entriesFor(body, 'action=audit.erase')).map(({ subjects }) => subjects[0]!.record!.erased as string[]);
  t.equal(new Set(lists.flat()).size, many);
});

t.test('a journal that is not kept is an alarm', async t => {
  const { services, clock } = await startTestApp(t);
  const look = watchLog(services);
  await transact(services, SETUP, async tx => noteInJournal(services, tx, { kind: 'erased', id: 'x', at: clock.now() }));
  const alarms = () =>
    lookAsOwner(services, `select code from audit_pending where action = 'audit.alarm' and code = 'journal_behind'`);
  clock.advance(60_000);
  await look();
  t.equal((await alarms()).length, 0);
  clock.advance(1);
  await look();
  t.equal((await alarms()).length, 1);
});

t.test('a database that was not compared with the ledger is not ready', async t => {
  const { app, services, sequence } = await startTestApp(t);
  t.equal((await app.inject('/readyz')).statusCode, 200, 'nothing was ever signed');
  await sequence();
  t.equal((await app.inject('/readyz')).statusCode, 200);
  // As a copy of it on another server, or one that was restored, has it.
  await lookAsOwner(services, `update audit_head set compared_in = 'another'`);
  const answer = await app.inject('/readyz');
  t.equal(answer.statusCode, 503);
  t.match(answer.json(), { detail: /not_compared/ });
  await sequencerOf(t, services)();
  t.equal((await app.inject('/readyz')).statusCode, 200);
});
