import t, { type Test } from 'tap';
import { type CheckedExport, verifyExport } from '../../src/audit/verify.ts';
import type { Demands } from '../../src/audit/verify-log.ts';
import { cosign, parseNote, parseVerifierKey, TYPE_COSIGNATURE } from '../../src/core/signed-note.ts';
import { type Entry, everyEntry, startTrail } from '../support/entries.ts';
import { privateKey, verifierLine } from '../support/exported-log.ts';
import { caseBody, ok } from '../support/night.ts';
import { lookAsOwner } from '../support/trail.ts';

/** The log as a file, and what becomes of it on its way. */

/** A log, and somebody who checks exports of it. */
async function startExporting(t: Test) {
  const trail = await startTrail(t);
  const { as, body, services } = trail;
  for (let i = 0; i < 3; i += 1) ok(await as('helpline_a').post('/v1/cases', caseBody()));
  await everyEntry(body);
  const log_key = parseVerifierKey(ok(await body.get('/v1/audit/verifier-key')).trim());
  const witness = { name: 'court.example', key: privateKey('court.example') };
  const witness_key = parseVerifierKey(verifierLine(witness.name, TYPE_COSIGNATURE));
  const check = (text: string, more: Partial<Demands> = {}): Promise<CheckedExport> =>
    verifyExport(
      (async function* () {
        yield Buffer.from(text);
      })(),
      { log_key, witnesses: [], quorum: 0, receipts: new Set(), part: false, ...more },
    );
  /** The witness cosigns what is published. */
  const haveWitnessed = async () => {
    const note: string = ok(await body.get('/v1/audit/checkpoint'));
    const { text } = parseNote(note);
    const size = Number(text.split('\n')[1]);
    await lookAsOwner(services, 'update audit_head set witnessed_size = $1, witnessed = $2, witnessed_at = published_at', [
      size,
      note + cosign(text, { ...witness, time: 1_800_000_000 }),
    ]);
    return size;
  };
  return { ...trail, check, haveWitnessed, witness_key };
}

const linesOf = (text: string): string[] => text.split('\n').slice(0, -1);

t.test('under what the witnesses cosigned', async t => {
  const { body, check, haveWitnessed, witness_key } = await startExporting(t);
  t.equal((await body.get('/v1/audit/export?witnessed=true')).status, 404, 'nothing was witnessed yet');
  const size = await haveWitnessed();
  ok(await body.get('/v1/audit/entries'));

  const text: string = ok(await body.get('/v1/audit/export?witnessed=true'));
  t.equal(linesOf(text).length, 1 + size, 'it ends where they cosigned, though more was published');
  const quorum = { witnesses: [witness_key], quorum: 1 };
  t.match(await check(text, quorum), {
    root_checked: true,
    entries: size,
    checkpoint: { cosignatures: [{ name: 'court.example' }] },
  });
  const newest: string = ok(await body.get('/v1/audit/export'));
  t.ok(linesOf(newest).length > 1 + size);
  await t.rejects(check(newest, quorum), { name: 'Lie', message: /0 of the witnesses cosigned it/ });
  t.equal((await body.get(`/v1/audit/export?witnessed=true&to=${size + 1}`)).status, 404, 'beyond it there is nothing');
});

t.test('that broke off is gone on with', async t => {
  const { body, check, as } = await startExporting(t);
  const whole = Buffer.from(ok(await body.get('/v1/audit/export')));
  const first = whole.indexOf('\n') + 1;
  const second = whole.indexOf('\n', first) + 1;
  ok(await as('helpline_a').get('/v1/cases'));

  /** As README says it. */
  const goOn = async (broken: Buffer): Promise<string> => {
    const kept = broken.subarray(0, broken.lastIndexOf('\n') + 1).toString();
    const next = linesOf(kept).length - 1;
    const [, size] = JSON.parse(linesOf(kept)[0]!).checkpoint.split('\n');
    const rest: string = ok(await body.get(`/v1/audit/export?from=${next}&to=${size}`));
    return kept + rest.slice(rest.indexOf('\n') + 1);
  };
  for (const at of [first, first + 1, second - 1, second, second + 500, whole.length - 1, whole.length]) {
    const joined = await goOn(whole.subarray(0, at));
    t.equal(joined, whole.toString(), `at byte ${at}`);
    t.match(await check(joined), { root_checked: true });
  }
});

t.test('as a table for a spreadsheet', async t => {
  const { body, as, agencies, auditorOf } = await startExporting(t);
  const supervisor = as('helpline_a', 'supervisor');
  const staff_code = '=HYPERLINK("http://192.0.2.1/",1)';
  const path = `/v1/agencies/${agencies.helpline_a.id}/caseworkers`;
  ok(await supervisor.post(path, { staff_code, roles: ['caseworker'] }));
  ok(await as('helpline_a').post('/v1/cases', caseBody(), { 'acting-caseworker': staff_code }));
  const entries = (await everyEntry(body, 'order=oldest')).slice(-20);
  const [{ index: from }] = entries as [Entry];
  const to = entries.at(-1)!.index + 1;

  const answer = await body.get(`/v1/audit/export?format=csv&from=${from}&to=${to}`);
  t.match(answer.headers, {
    'content-type': 'text/csv; charset=utf-8; header=present',
    'content-disposition': `attachment; filename="trail-${from}-${to}.csv"`,
    'cache-control': 'private',
    'audit-receipt': /^[0-9a-f]{64}$/,
  });
  const [head, ...rows] = ok(answer).split('\r\n');
  t.equal(
    head,
    'index,receipt,at,action,outcome,agency_id,client_id,caseworker,assurance,resource_type,code,lawful_ground,request_id,subjects',
  );
  const cell = (value: unknown) => (value === staff_code ? `"'=HYPERLINK(""http://192.0.2.1/"",1)"` : String(value ?? ''));
  const expected = entries.map(({ index, receipt, meta: { actor, ...meta } }) =>
    [
      ...[index, receipt, meta.at, meta.action, meta.outcome, actor.agency_id, actor.client_id, actor.caseworker],
      ...[actor.assurance, meta.resource_type, meta.code, meta.lawful_ground, meta.request_id, meta.subjects],
    ]
      .map(cell)
      .join(','),
  );
  t.strictSame(rows, [...expected, '']);
  t.ok(
    rows.some((row: string) => row.includes('"\'=HYPERLINK')),
    'what somebody named themself is shown and not run',
  );
  const whole: string = ok(await body.get('/v1/audit/export?format=csv'));
  t.notMatch(whole, /cas_|ref_/, 'of persons it says nothing');
  t.equal((await body.get('/v1/audit/export?format=xml')).status, 400);
  t.equal((await auditorOf('helpline_a').get('/v1/audit/export?format=csv')).status, 403);
});
