import t, { type Test } from 'tap';
import { eraseFromTrail } from '../../src/audit/erasure.ts';
import { exportLog } from '../../src/audit/export.ts';
import { type CheckedExport, verifyExport } from '../../src/audit/verify.ts';
import type { Demands } from '../../src/audit/verify-log.ts';
import { type AgencyActor, systemActor } from '../../src/core/access.ts';
import { GOOD_FOR_MS } from '../../src/core/inquiry.ts';
import { parseVerifierKey } from '../../src/core/signed-note.ts';
import { transact } from '../../src/platform/database.ts';
import { newId } from '../../src/platform/ids.ts';
import { type Entry, entriesFor, startTrail } from '../support/entries.ts';
import { anonymous } from '../support/journey.ts';
import { caseBody, ok } from '../support/night.ts';
import { lookAsOwner } from '../support/trail.ts';

/** Records of persons leave with an export where two auditors agreed on it, and every case that they are of is told so. */

async function startInquiring(t: Test) {
  const trail = await startTrail(t);
  const { as, body, services } = trail;
  const second = as('audit_body', 'supervisor');
  const log_key = async () => parseVerifierKey(ok(await body.get('/v1/audit/verifier-key')).trim());
  const check = async (text: string, more: Partial<Demands> = {}): Promise<CheckedExport> => {
    const demands = { log_key: await log_key(), witnesses: [], quorum: 0, receipts: new Set<string>(), part: false, ...more };
    return verifyExport(
      (async function* () {
        yield Buffer.from(text);
      })(),
      demands,
    );
  };
  const opened = async (range: object = {}) =>
    ok(await body.post('/v1/audit/inquiries', { reference: 'OMB-7', ...range })) as { id: string; from: number; to: number };
  const confirmed = async (range: object = {}) => {
    const inquiry = await opened(range);
    ok(await second.post(`/v1/audit/inquiries/${inquiry.id}/confirm`));
    return inquiry;
  };
  const personal = (id: string, more = '', who = body) => who.get(`/v1/audit/export?personal=true&inquiry_id=${id}${more}`);
  const actor = {
    type: 'agency',
    agency_id: trail.agencies.audit_body.id,
    agency_kind: 'audit_body',
    jurisdictions: [],
    scopes: new Set(['audit.read']),
    client_id: trail.agencies.audit_body.client_id,
    caseworker: { id: newId('cwk'), staff_code: trail.agencies.audit_body.caseworkers[0].staff_code, roles: ['auditor'] },
    request: { id: 'asked-by-a-test' },
  } as unknown as AgencyActor;
  const accounts = (case_id: string) =>
    lookAsOwner<{ inquiry_id: string }>(services, 'select * from audit_disclosures where case_id = $1', [case_id]);
  return { ...trail, second, check, opened, confirmed, personal, actor, accounts };
}

type Line = Pick<Entry, 'index' | 'meta' | 'subjects'>;
const entriesIn = (text: string): Line[] =>
  text
    .trim()
    .split('\n')
    .slice(1)
    .map(line => JSON.parse(line));
const recordsIn = (text: string): Record<string, unknown>[] =>
  entriesIn(text).flatMap(({ subjects }) => subjects.flatMap(({ record }) => (record ? [record] : [])));

t.test('an export with records of persons', async t => {
  const it = await startInquiring(t);
  const { as, body, second, check, opened, confirmed, personal, kase, referral, services, agencies, auditorOf } = it;
  const helpline = as('helpline_a');
  const other = ok(await helpline.post('/v1/cases', caseBody()));
  ok(await helpline.get(`/v1/cases/${kase.id}`));
  const absent = newId('cas');
  t.equal((await helpline.get(`/v1/cases/${absent}`)).status, 404);

  await t.test('needs an inquiry on which two agreed', async t => {
    const { id, to } = await opened();
    for (const query of [
      'personal=true',
      `inquiry_id=${id}`,
      `personal=false&inquiry_id=${id}`,
      `personal=true&inquiry_id=${id}&format=csv`,
    ])
      t.match(
        await body.get(`/v1/audit/export?${query}`),
        { status: 422, body: { errors: [{ pointer: /^querystring:/ }] } },
        query,
      );
    t.match(await personal(id), { status: 409, body: { code: 'wrong_state', state: 'waiting', detail: /second auditor/ } });
    t.equal((await personal(newId('inq'))).status, 404);
    ok(await second.post(`/v1/audit/inquiries/${id}/confirm`));
    ok(await second.post(`/v1/agencies/${agencies.audit_body.id}/caseworkers`, { staff_code: 'OO-3', roles: ['auditor'] }));
    const third = await body.get(`/v1/audit/export?personal=true&inquiry_id=${id}`, { 'acting-caseworker': 'OO-3' });
    t.match(third, { status: 403, body: { detail: /by others/ } });
    t.equal((await personal(id, '', auditorOf('helpline_a'))).status, 403);
    t.match(await personal(id, `&to=${to + 1}`), { status: 403, body: { detail: /covers index 0 to/ } });
    t.equal((await personal(id, '&to=100000')).status, 404);
    t.equal((await personal(id, '&witnessed=true')).status, 404, 'nothing was witnessed');
    t.same(await it.accounts(kase.id), [], 'of nothing that was refused anybody was told');
  });

  await t.test('is what the log committed to', async t => {
    const { id, to } = await confirmed();
    const answer = await personal(id);
    t.match(answer.headers, { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store', 'audit-receipt': String });
    const text: string = ok(answer);
    const lines = entriesIn(text);
    const subjects = lines.flatMap(({ subjects }) => subjects);
    t.equal(lines.length, to);
    const checked = await check(text);
    t.match(checked, { root_checked: true, entries: to, subjects: subjects.length, records: subjects.length, erased: 0 });
    t.ok(recordsIn(text).some(({ subject_id }) => subject_id === kase.id));
    const first = recordsIn(text).find(({ subject_id }) => subject_id === kase.id)!;
    const altered = text.replace(JSON.stringify(first), JSON.stringify({ ...first, subject_id: other.id }));
    await t.rejects(check(altered), { name: 'Lie', message: /subject \d+: the record, its salt or the commit/ });

    const plain: string = ok(await body.get(`/v1/audit/export?to=${to}`));
    const bare = lines.map(line => ({ ...line, subjects: line.subjects.map(({ commit }) => ({ commit })) }));
    t.same(entriesIn(plain), bare, 'the rest is what every export has');
    const part: string = ok(await personal(id, '&from=3&to=6', second));
    t.same(entriesIn(part), lines.slice(3, 6), 'a narrower range, by the other of the two');
    t.match(await check(part, { part: true }), { first: 3, entries: 3, root_checked: false });
  });

  await t.test('is recorded before it is sent', async t => {
    const { id, to } = await confirmed();
    const before = (await entriesFor(body, 'action=audit.export')).length;
    const { lines } = await exportLog(services, it.actor, { personal: true, inquiry_id: id });
    const all = lines[Symbol.asyncIterator]();
    await all.next();
    t.same(
      await it.accounts(kase.id).then(rows => rows.filter(row => row.inquiry_id === id)),
      [],
      'the checkpoint tells of nobody',
    );
    const { value } = await all.next();
    t.equal((await it.accounts(kase.id)).filter(row => row.inquiry_id === id).length, 1);
    const told = new Set(
      recordsIn(`checkpoint\n${value}`).flatMap(({ subject_id, exists }) => (exists === false ? [] : String(subject_id))),
    );
    const cases = [...told].filter(it => it.startsWith('cas_')).sort();

    const [batch, begun, ...rest] = await entriesFor(body, 'action=audit.export');
    t.equal(rest.length, before);
    t.match(begun, {
      meta: { outcome: 'read', code: 'personal' },
      subjects: [{ record: { subject_id: id, reference: 'OMB-7' } }],
    });
    t.match(batch, { meta: { outcome: 'read', code: 'personal', subjects: cases.length } });
    t.strictSame(
      batch!.subjects.map(({ record }) => record).sort((a, b) => (String(a!.subject_id) < String(b!.subject_id) ? -1 : 1)),
      cases.map(subject_id => ({ subject_id, resource_id: id })),
      'each case once',
    );
    t.notMatch(JSON.stringify([batch!.meta, begun!.meta]), /cas_|ref_|inq_/);
    t.notOk(cases.includes(absent));
    t.equal((await entriesFor(body, `case_id=${kase.id}&action=audit.export`))[0]!.index, batch!.index, 'and found by its case');
    t.equal((await entriesFor(auditorOf('helpline_a'), 'action=audit.export&outcome=read')).length, 0, 'by the audit body alone');

    const again: string = ok(await personal(id, `&to=${to}`));
    t.equal(entriesIn(again).length, to);
    t.equal((await it.accounts(kase.id)).filter(row => row.inquiry_id === id).length, 1, 'one account of each inquiry');
  });

  await t.test('ends with the inquiry', async t => {
    const { id } = await confirmed();
    const { lines } = await exportLog(services, it.actor, { personal: true, inquiry_id: id });
    const all = lines[Symbol.asyncIterator]();
    await all.next();
    it.clock.advance(GOOD_FOR_MS);
    await t.rejects(all.next(), { code: 'wrong_state' });
    t.match(await personal(id), { status: 409, body: { state: 'expired', detail: /over/ } });
    t.same(
      (await it.accounts(kase.id)).filter(row => row.inquiry_id === id),
      [],
    );
  });

  await t.test('is a disclosure of each case', async t => {
    const { id } = await confirmed();
    const started_at = it.clock.now().toISOString();
    ok(await personal(id));
    const rows = async (who: typeof body) => ok(await who.get(`/v1/cases/${kase.id}/disclosures`)).data;
    const [row, ...earlier] = await rows(helpline);
    t.strictSame(row, {
      id: row.id,
      case_id: kase.id,
      agency_id: agencies.audit_body.id,
      inquiry_id: id,
      purpose: 'audit',
      categories: [],
      categories_held: [],
      ground: 'inquiry',
      started_at,
      ended_at: null,
      deletion_due_at: null,
      deletion_confirmed_at: null,
    });
    t.ok(earlier.length > 0 && earlier.every(({ inquiry_id }: { inquiry_id: string }) => inquiry_id !== id), 'one per inquiry');
    t.strictSame(await rows(as('committee')), [row, ...earlier], 'the coordinator sees the same');
    t.ok(ok(await helpline.get(`/v1/cases/${other.id}/disclosures`)).data.some((it: typeof row) => it.inquiry_id === id));

    const page = ok(await helpline.get(`/v1/cases/${kase.id}/disclosures?limit=1`));
    t.strictSame(page.data, [row]);
    const next = ok(await helpline.get(`/v1/cases/${kase.id}/disclosures?limit=200&cursor=${page.next_cursor}`));
    t.strictSame(next, { data: earlier, next_cursor: null });

    const confirm = (who: typeof body, of: string) => who.post(`/v1/disclosures/${of}/confirm-deletion`);
    t.equal((await confirm(helpline, row.id)).status, 403, 'nothing is to be deleted, by nobody');
    const stranger = as('helpline_b');
    t.strictSame(anonymous(await confirm(stranger, row.id)), anonymous(await confirm(stranger, newId('dsc'))));

    it.clock.advance(GOOD_FOR_MS);
    const [over] = await rows(helpline);
    t.match(over, { id: row.id, ended_at: it.clock.now().toISOString() });
  });

  await t.test('tells no holder of it, and the audit body of no case', async t => {
    const asked = await Promise.all(
      (['shelter_a', 'shelter_b'] as const).map(async key => [key, (await as(key).get(`/v1/referrals/${referral.id}`)).status]),
    );
    const [taker] = asked.find(([, status]) => status === 200)! as ['shelter_a', number];
    ok(await as(taker).post(`/v1/referrals/${referral.id}/accept`));
    const { id } = await confirmed();
    ok(await personal(id));
    const held = ok(await as(taker).get(`/v1/cases/${kase.id}/disclosures`)).data;
    t.match(held, [{ agency_id: agencies[taker].id, ground: 'consent' }]);
    t.equal(held.length, 1, 'a holder sees its own alone');
    const owners = JSON.stringify(ok(await helpline.get(`/v1/cases/${kase.id}/disclosures`)));
    t.notOk(owners.includes(agencies[taker].id), 'a protected place stays so');
    for (const path of ['', '/disclosures', '/timeline'])
      t.strictSame(
        anonymous(await body.get(`/v1/cases/${kase.id}${path}`)),
        anonymous(await body.get(`/v1/cases/${absent}${path}`)),
        `the audit body is no party to the case${path}`,
      );
  });
});

t.test('erased ones say so', async t => {
  const { as, confirmed, personal, check, services, kase, accounts } = await startInquiring(t);
  ok(await as('helpline_a').post('/v1/cases', caseBody()));
  const setup = systemActor('setup');
  await transact(services, setup, tx => eraseFromTrail(services, tx, setup, kase.id));
  const { id, to } = await confirmed();
  const text: string = ok(await personal(id));
  const { erased, records, entries } = await check(text);
  t.equal(entries, to);
  t.ok(erased > 0 && records > 0);
  t.notMatch(text, kase.id);
  t.same(await accounts(kase.id), [], 'nobody was told of it');
});

t.test('a record that somebody made away with is missed', async t => {
  const { as, confirmed, personal, check, services } = await startInquiring(t);
  const other = ok(await as('helpline_a').post('/v1/cases', caseBody()));
  await lookAsOwner(services, 'delete from audit_subjects where key_id = $1', [other.id]);
  const { id } = await confirmed();
  await t.rejects(check(ok(await personal(id))), { name: 'Lie', message: /is erased, and no erasure lists it/ });
});
