import t from 'tap';
import { CONFIRMED_WITHIN_MS, GOOD_FOR_MS } from '../../src/core/inquiry.ts';
import { newId } from '../../src/platform/ids.ts';
import { entriesFor, startTrail } from '../support/entries.ts';
import { anonymous } from '../support/journey.ts';
import { ok } from '../support/night.ts';
import { lookAsOwner } from '../support/trail.ts';

/** Two auditors of the audit body agree before records of persons leave the service. */

t.test('an inquiry', async t => {
  const { app, as, body, auditorOf, agencies, services, clock, tokenFor } = await startTrail(t);
  const second = as('audit_body', 'supervisor');
  const [opener, confirmer] = agencies.audit_body.caseworkers.map(({ staff_code }) => staff_code);
  const open = async (more: object = {}) => ok(await body.post('/v1/audit/inquiries', { reference: 'OMB/2026-7', ...more }));
  const confirm = (id: string, who = second, headers = {}) => who.post(`/v1/audit/inquiries/${id}/confirm`, undefined, headers);
  const at = (ms: number) => new Date(clock.now().getTime() + ms).toISOString();

  await t.test('is opened by one and confirmed by another', async t => {
    const answer = await body.post('/v1/audit/inquiries', { reference: 'OMB/2026-7' });
    const { id } = answer.body;
    t.match(answer, { status: 201, headers: { location: `/v1/audit/inquiries/${id}`, etag: '"1"', 'audit-receipt': String } });
    const [head] = await lookAsOwner<{ size: number }>(services, 'select published_size::int as size from audit_head');
    t.strictSame(answer.body, {
      id,
      reference: 'OMB/2026-7',
      from: 0,
      to: head!.size,
      state: 'waiting',
      opened_by: opener,
      opened_at: at(0),
      confirmed_by: null,
      confirmed_at: null,
      expires_at: at(CONFIRMED_WITHIN_MS),
      version: 1,
    });
    t.match(await confirm(id, body), { status: 403, body: { code: 'forbidden', detail: /somebody else/ } });
    t.match(await confirm(id, second, { 'if-match': '"2"' }), { status: 412 });
    clock.advance(60_000);
    const confirmed = {
      ...answer.body,
      state: 'confirmed',
      confirmed_by: confirmer,
      confirmed_at: at(0),
      expires_at: at(GOOD_FOR_MS),
      version: 2,
    };
    t.match(await confirm(id, second, { 'idempotency-key': 'once' }), {
      status: 200,
      body: confirmed,
    });
    t.match(await confirm(id, second, { 'idempotency-key': 'once' }), {
      status: 200,
      headers: { 'idempotency-replayed': 'true' },
    });
    t.match(await confirm(id), { status: 409, body: { code: 'wrong_state', state: 'confirmed', allowed_actions: [] } });
    t.match(ok(await body.get(`/v1/audit/inquiries/${id}`)), confirmed);
    clock.advance(GOOD_FOR_MS);
    t.match(ok(await second.get(`/v1/audit/inquiries/${id}`)), { state: 'expired' });
  });

  await t.test('waits for a day', async t => {
    const { id } = await open();
    clock.advance(CONFIRMED_WITHIN_MS);
    t.match(await confirm(id), { status: 409, body: { code: 'wrong_state', state: 'expired' } });
  });

  await t.test('has a range in the published log, and a code for a name', async t => {
    t.match(await open({ from: 2, to: 5 }), { from: 2, to: 5 });
    for (const [range, pointer] of [
      [{ from: 5, to: 5 }, '/from'],
      [{ from: 6, to: 5 }, '/from'],
      [{ to: 0 }, '/from'],
      [{ to: 100_000 }, '/to'],
    ] as const)
      t.match(await body.post('/v1/audit/inquiries', { reference: 'X', ...range }), {
        status: 422,
        body: { errors: [{ pointer }] },
      });
    for (const reference of ['', 'Case of somebody', '=1', 'x'.repeat(65), 'مريم'])
      t.equal((await body.post('/v1/audit/inquiries', { reference })).status, 400, reference);
  });

  await t.test('is found by the audit body alone', async t => {
    const { id } = await open();
    const auditor = auditorOf('helpline_a');
    t.equal((await auditor.post('/v1/audit/inquiries', { reference: 'X' })).status, 403);
    for (const send of [(of: string) => auditor.get(`/v1/audit/inquiries/${of}`), (of: string) => confirm(of, auditor)])
      t.strictSame(anonymous(await send(id)), anonymous(await send(newId('inq'))));
  });

  await t.test('is confirmed by nobody who opened it, behind the second wall too', async t => {
    const { id } = await open();
    await t.rejects(
      lookAsOwner(services, 'update audit_inquiries set confirmed_by = opened_by, confirmed_at = now() where id = $1', [id]),
      { code: '23514' },
    );
  });

  await t.test('leaves entries that name no person', async t => {
    const { id } = await open({ from: 1, to: 3 });
    ok(await confirm(id));
    const [confirmed] = await entriesFor(body, 'action=inquiry.confirm');
    t.match(confirmed, { meta: { outcome: 'done', subjects: 1 }, subjects: [{ record: { subject_id: id } }] });
    const [opened] = await entriesFor(body, 'action=inquiry.open');
    t.match(opened!.subjects, [{ record: { subject_id: id, reference: 'OMB/2026-7', from: '1', to: '3' } }]);
    t.notMatch(JSON.stringify([confirmed!.meta, opened!.meta]), id);
  });

  await t.test('is none before the log begins', async t => {
    await lookAsOwner(services, 'update audit_head set published = null');
    const headers = { authorization: `Bearer ${await tokenFor('audit_body')}`, 'acting-caseworker': opener };
    const asked = { method: 'POST', url: '/v1/audit/inquiries', headers, payload: { reference: 'X' } } as const;
    t.equal((await app.inject(asked)).statusCode, 404);
  });
});
