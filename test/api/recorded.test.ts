import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import Fastify from 'fastify';
import t from 'tap';
import type { AgencyActor } from '../../src/core/access.ts';
import { SCOPES } from '../../src/core/codes.ts';
import { Problem, type ProblemCode } from '../../src/core/problem.ts';
import { problemCatalogue, problemHandler } from '../../src/platform/http/problems.ts';
import { startTestApp } from '../support/app.ts';
import { operationsOf, type Reply, startCalling } from '../support/callers.ts';
import { mechanism } from '../support/mechanism.ts';
import { OPERATIONS } from '../support/operations.ts';
import { callersOf, rightful, type Verdict, WHY, withoutEffect } from '../support/refusals.ts';
import { lookAsOwner } from '../support/trail.ts';

/**
 * Every operation of the published document leaves its entry, whether it is done, read or refused, and the answer's receipt is
 * that of the entry. One that is new and leaves none is in none of the tables, and fails.
 */

// Some three hundred requests, and other suites beside them.
t.setTimeout(240_000);

/** Operations that leave nothing, and why. */
const UNRECORDED: Record<string, string> = {
  getHealth: 'asked by nobody, of nobody: whether the process is there',
  getReadiness: 'and whether it can work',
  getOpenApi: 'the same public document for everybody',
  getProblem: 'a public page',
  getServerMetadata: 'a public document, which names nobody',
  getSigningKeys: 'and another',
};

interface Row {
  action: string;
  outcome: string;
  code: string | null;
  client_id: string;
  request_id: string;
  receipt: string;
}

/** Asks with a body, and changes nothing. */
const READ_BY_POST = ['previewClock', 'matchExperts'];

t.test('every operation leaves its entry', async t => {
  /** What the process's own log says of each request. */
  const logged = new Map<string, { action: string }>();
  const write = (line: string) => {
    const { msg, request_id, ...rest } = JSON.parse(line);
    if (msg === 'request') logged.set(request_id, rest);
  };
  const test = await startTestApp(t, { RATE_LIMIT: '100000,100000', LOG_LEVEL: 'info' }, { write });
  const { app, services } = test;
  const them = await mechanism(test);
  const { agencies, tokenFor } = them;
  const calling = await startCalling(test, them);
  const document = JSON.parse(readFileSync(new URL('../../openapi/openapi.json', import.meta.url), 'utf8'));
  const served = new Map(calling.operations.map(operation => [operation.id, operation]));
  const published = operationsOf(document).map(({ id }) => served.get(id)!);
  const walled = published.filter(({ id }) => id in OPERATIONS);

  /** What a request left. */
  async function leftBy({ request_id }: Pick<Reply, 'request_id'>): Promise<Row[]> {
    const rows = await lookAsOwner<Omit<Row, 'request_id' | 'receipt'> & { meta: string; entry: Buffer }>(
      services,
      "select action, outcome, code, client_id, meta, entry from audit_records where meta::json ->> 'request_id' = $1",
      [request_id],
    );
    return rows.map(({ meta, entry, ...row }) => ({
      ...row,
      request_id: JSON.parse(meta).request_id,
      receipt: createHash('sha256').update(Buffer.of(0)).update(entry).digest('hex'),
    }));
  }

  /** The operation's name in the trail, as its route has it. */
  async function actionOf({ request_id }: Reply): Promise<string> {
    // Logged once the answer has gone.
    while (!logged.has(request_id)) await setImmediate();
    return logged.get(request_id)!.action;
  }

  await t.test('or stands here with the reason why it has none', async t => {
    const without = published.filter(({ id }) => !(id in OPERATIONS) && id !== 'issueToken');
    t.strictSame(without.map(({ id }) => id).sort(), Object.keys(UNRECORDED).sort());
    for (const operation of without) {
      const asked = operation.id === 'getProblem' ? { ...operation, params: { code: 'not_found' } } : operation;
      const reply = await calling.ask(asked, 'present', {});
      t.equal(reply.status, 200, operation.id);
      t.strictSame(await leftBy(reply), [], operation.id);
    }
  });

  await t.test('when a token is issued', async t => {
    const { client_id, client_secret } = agencies.health;
    const { statusCode, headers } = await app.inject({
      method: 'POST',
      url: '/oauth/token',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      payload: new URLSearchParams({ grant_type: 'client_credentials', client_id, client_secret }).toString(),
    });
    t.equal(statusCode, 200);
    t.match(await leftBy({ request_id: String(headers['request-id']) }), [{ action: 'token.issue', outcome: 'done', client_id }]);
  });

  await t.test('when it is refused', async t => {
    const stranger = { key: 'helpline_b', person: 'everything' } as const;
    for (const operation of walled) {
      const { id, params } = operation;
      const asked = withoutEffect(operation);
      const { scopes } = OPERATIONS[id]!;
      const denied = async (reply: Reply, key: keyof typeof agencies, status: number) => {
        t.equal(reply.status, status, `${id}: ${reply.text}`);
        const code = status === 404 ? 'not_visible' : reply.body.code;
        const entry = { action: await actionOf(reply), outcome: 'denied', code, client_id: agencies[key].client_id };
        t.match(await leftBy(reply), { length: 1, 0: entry }, `${id}: ${status} ${code}`);
      };

      const without_scope = { scopes: SCOPES.filter(scope => !scopes.includes(scope)) };
      const for_nobody = { headers: { 'acting-caseworker': 'NOBODY-1' } };
      await denied(await calling.send(asked, stranger, scopes.length > 0 ? without_scope : for_nobody), stranger.key, 403);
      const [[, verdict]] = callersOf(id, [stranger.key]) as [[unknown, Verdict]];
      if (verdict === 'absent') await denied(await calling.send(asked, stranger), stranger.key, 404);
      if (verdict === 'forbidden') await denied(await calling.send(asked, stranger), stranger.key, 403);
      // What is open to everybody may still not be there.
      if (verdict !== 'done' || !params?.id) continue;
      await denied(await calling.send(asked, rightful(id), { ids: 'absent' }), rightful(id).key, 404);
    }
  });

  await t.test('when it is done, or read', async t => {
    for (const operation of walled) {
      const { id, method } = operation;
      const caller = rightful(id);
      const reply = await calling.send(operation, caller, { headers: WHY });
      t.ok(reply.status < 300, `${id}: ${reply.status}`);
      const entry = {
        action: await actionOf(reply),
        outcome: method === 'GET' || READ_BY_POST.includes(id) ? 'read' : 'done',
        client_id: agencies[caller.key].client_id,
        request_id: reply.request_id,
        receipt: reply.headers['audit-receipt'],
      };
      const left = await leftBy(reply);
      t.ok(
        left.some(row => row.receipt === entry.receipt),
        `${id} has the receipt of one of its entries`,
      );
      t.hasStrict(left.find(row => row.receipt === entry.receipt) ?? {}, entry, id);
    }
  });

  await t.test('but a pull that finds nothing, which tells nothing and is asked for again and again', async t => {
    const authorization = `Bearer ${await tokenFor('health')}`;
    const pull = (query: string) => app.inject({ url: `/v1/events?limit=200${query}`, headers: { authorization } });
    let after = '';
    for (;;) {
      const { headers, body } = await pull(after);
      const { data, next_cursor } = JSON.parse(body);
      const left = await leftBy({ request_id: String(headers['request-id']) });
      t.equal(left.length, data.length === 0 ? 0 : 1);
      t.equal(headers['audit-receipt'], left[0]?.receipt);
      if (data.length === 0) break;
      after = `&after=${next_cursor}`;
    }
    t.not(after, '');
  });
});

t.test('every kind of refusal is kept, counted or left out', async t => {
  /** The contract's, by status; what it does not name leaves nothing. */
  const AS: Record<number, string> = { 401: 'counted', 403: 'kept', 404: 'kept', 409: 'kept', 429: 'counted' };
  const noted: string[] = [];
  const app = Fastify();
  t.teardown(() => app.close());
  app.decorateRequest('actor', null as unknown as AgencyActor);
  app.setErrorHandler(
    problemHandler(
      async () => void noted.push('kept'),
      async () => void noted.push('counted'),
    ),
  );
  app.get('/:code/:by', async request => {
    const { code, by } = request.params as { code: ProblemCode; by: string };
    if (by === 'somebody') request.actor = {} as AgencyActor;
    throw new Problem(code);
  });
  for (const { code, status } of problemCatalogue()) {
    for (const by of ['somebody', 'nobody']) {
      noted.length = 0;
      t.equal((await app.inject(`/${code}/${by}`)).statusCode, status);
      // The token endpoint counts its own: test/api/trail.test.ts.
      const expected = code === 'invalid_client' || (by === 'nobody' && AS[status] === 'kept') ? [] : [AS[status] ?? []].flat();
      t.strictSame(noted, expected, `${code} of ${by}`);
    }
  }
});
