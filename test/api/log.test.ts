import { createHash } from 'node:crypto';
import t from 'tap';
import { verifyExport } from '../../src/audit/verify.ts';
import type { Demands } from '../../src/audit/verify-log.ts';
import { verifyServed } from '../../src/audit/verify-served.ts';
import { openCheckpoint } from '../../src/core/checkpoint.ts';
import { verifyConsistency, verifyInclusion } from '../../src/core/merkle.ts';
import { parseVerifierKey } from '../../src/core/signed-note.ts';
import { parseTlogProof } from '../../src/core/tlog-proof.ts';
import { type Entry, entriesFor, everyEntry, startTrail } from '../support/entries.ts';
import type { Answer, Client } from '../support/mechanism.ts';
import { caseBody, ok } from '../support/night.ts';

/** What the service publishes of its trail, checked by what an auditor has. */

t.test('the published log', async t => {
  const { app, as, body, auditorOf, agencies, kase, tokenFor } = await startTrail(t);
  const auditor = auditorOf('helpline_a');
  for (let i = 0; i < 5; i += 1) ok(await as('helpline_a').post('/v1/cases', caseBody()));
  await everyEntry(body);

  const key_line: string = ok(await auditor.get('/v1/audit/verifier-key'));
  const log_key = parseVerifierKey(key_line.trim());
  const origin = log_key.name;
  const open = async () => openCheckpoint(ok(await auditor.get('/v1/audit/checkpoint')), { origin, log_key });
  const earlier = await open();
  ok(await as('helpline_a').get(`/v1/cases/${kase.id}`));
  const now = await open();
  t.ok(now.size > earlier.size, 'it goes on');

  await t.test('proves that an entry is in it', async t => {
    const [entry] = (await entriesFor(body, 'action=case.open&order=oldest')) as [Entry];
    const answer = await auditor.get(`/v1/audit/entries/${entry.index}/proof`);
    t.match(answer.headers, { 'content-type': /text\/plain/, 'cache-control': 'private', 'audit-receipt': /^[0-9a-f]{64}$/ });
    const { index, proof, checkpoint } = parseTlogProof(ok(answer));
    const { size, root } = openCheckpoint(checkpoint, { origin, log_key });
    const leaf_hash = Buffer.from(entry.receipt, 'hex');
    t.equal(index, entry.index);
    t.ok(verifyInclusion({ leaf_hash, index, size, root, proof }));
    const other = createHash('sha256').update('another').digest();
    t.notOk(verifyInclusion({ leaf_hash: other, index, size, root, proof }));
  });

  await t.test('proves that it goes on from what it was', async t => {
    const proof: string[] = ok(await auditor.get(`/v1/audit/consistency?from=${earlier.size}&to=${now.size}`));
    const claim = { from: earlier.size, to: now.size, from_root: earlier.root, to_root: now.root };
    t.ok(verifyConsistency({ ...claim, proof: proof.map(hash => Buffer.from(hash, 'base64')) }));
    t.notOk(verifyConsistency({ ...claim, from_root: now.root, proof: proof.map(hash => Buffer.from(hash, 'base64')) }));
    t.equal((await auditor.get('/v1/audit/consistency?from=2&to=1')).status, 404);
    t.equal((await auditor.get(`/v1/audit/consistency?from=0&to=${now.size + 1_000}`)).status, 404);
  });

  const demands = (more: Partial<Demands> = {}): Demands => ({
    log_key,
    witnesses: [],
    quorum: 0,
    receipts: new Set(),
    part: false,
    ...more,
  });

  await t.test('is served in tiles that can be checked', async t => {
    // Each look is itself recorded: what is checked is the checkpoint that was fetched first.
    const authorization = `Bearer ${await tokenFor('helpline_a')}`;
    const headers = { authorization, 'acting-caseworker': agencies.helpline_a.caseworkers[1].staff_code };
    const get = async (url: string) => {
      const response = await app.inject({ url, headers });
      if (response.statusCode !== 200) throw new Error(`${url}: ${response.statusCode}`);
      return response.rawPayload;
    };
    const { checkpoint, tiles } = await verifyServed(get, demands());
    t.ok(checkpoint.size >= now.size);
    t.ok(tiles > 0);
    for (const path of ['0/001', '0/000', '0/000.p/0', '0/000.p/255', 'entries/000', '1/000.p/1', '64/000.p/1', 'x', '0/0.p/1']) {
      t.equal((await auditor.get(`/v1/audit/tile/${path}`)).status, 404, path);
    }
    const bundle = await get('/v1/audit/tile/entries/000.p/2');
    t.equal(bundle.length, 2 * (2 + 93));
    t.equal(bundle.readUInt16BE(0), 93);
  });

  await t.test('is exported to the audit body, and to nobody else', async t => {
    const answer = await body.get('/v1/audit/export');
    t.match(answer.headers, { 'content-type': 'application/x-ndjson', 'cache-control': 'private' });
    const text: string = ok(answer);
    const check = (text: string, more: Partial<Demands> = {}) =>
      verifyExport(
        (async function* () {
          yield Buffer.from(text);
        })(),
        demands(more),
      );
    const [first] = (await entriesFor(body, 'action=case.open')) as [Entry];
    const checked = await check(text, { receipts: new Set([first.receipt]) });
    t.ok(checked.root_checked && checked.entries >= now.size);
    t.notMatch(text, /"record"|cas_|ref_/, 'of persons it says nothing');
    await t.rejects(check(text.replace('case.open', 'case.shut')), { name: 'Lie', message: /^index \d+: meta/ });
    await t.rejects(check(text, { receipts: new Set(['00'.repeat(32)]) }), { name: 'Lie', message: /is not in the log/ });
    const part: string = ok(await body.get('/v1/audit/export?from=3&to=5'));
    t.equal(part.trim().split('\n').length, 3);
    t.equal((await body.get(`/v1/audit/export?to=${now.size + 1_000}`)).status, 404);
    t.equal((await auditor.get('/v1/audit/export')).status, 403);
  });

  await t.test('is open to auditors alone', async t => {
    const paths = ['checkpoint', 'verifier-key', 'tile/0/000.p/1', 'entries/0/proof', 'consistency', 'entries/0'];
    for (const path of paths) t.equal((await as('helpline_a').get(`/v1/audit/${path}`)).status, 403, path);
    const [of_helpline] = (await entriesFor(auditor, 'action=case.open')) as [Entry];
    const read = (who: Client): Promise<Answer> => who.get(`/v1/audit/entries/${of_helpline.index}`);
    t.match(ok(await read(auditor)), { receipt: of_helpline.receipt, subjects: [{ record: { subject_id: /^cas_/ } }] });
    t.match(ok(await read(body)), { receipt: of_helpline.receipt });
    t.equal((await read(auditorOf('health'))).status, 404, "another agency's is as good as none");
    t.equal((await body.get('/v1/audit/entries/99999999')).status, 404);
    t.equal((await body.get('/v1/audit/entries/99999999/proof')).status, 404);
  });
});

t.test('before anything was sequenced there is nothing', async t => {
  const { app, tokenFor, agencies } = await startTrail(t);
  const headers = {
    authorization: `Bearer ${await tokenFor('helpline_a')}`,
    'acting-caseworker': agencies.helpline_a.caseworkers[1].staff_code,
  };
  for (const path of ['checkpoint', 'verifier-key', 'tile/0/000.p/1', 'entries/0/proof', 'consistency'])
    t.equal((await app.inject({ url: `/v1/audit/${path}`, headers })).statusCode, 404, path);
});
