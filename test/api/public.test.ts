import { test } from 'tap';
import { buildApi } from '../../src/api.ts';
import { PROBLEMS } from '../../src/core/problem.ts';
import { problemCatalogue } from '../../src/platform/http/problems.ts';
import { openQueue } from '../../src/platform/queue.ts';
import { openTestServices, startTestApp } from '../support/app.ts';
import { answerOf, mechanism } from '../support/mechanism.ts';

test('health and readiness', async t => {
  const { app, services } = await startTestApp(t);
  t.match(answerOf(await app.inject('/healthz')), { status: 200, body: { status: 'ok' } });
  t.match(answerOf(await app.inject('/readyz')), { status: 200, body: { status: 'ok' } });
  const connect = services.pool.connect;
  services.pool.connect = (() => Promise.reject(Object.assign(new Error('down'), { code: 'ECONNREFUSED' }))) as never;
  t.match(answerOf(await app.inject('/readyz')), {
    status: 503,
    body: { code: 'service_unavailable' },
    headers: { 'retry-after': '1' },
  });
  t.equal((await app.inject('/healthz')).statusCode, 200);
  services.pool.connect = connect;
});

test('without the queue the service is degraded, where it needs one', async t => {
  const { services } = await openTestServices(t);
  const app = await buildApi(services);
  t.teardown(() => app.close());
  t.ok(await services.queue!.isUp());
  const closed = await openQueue('deliveries', { database_url: services.config.database_url!, redis: null }, services.log);
  await closed.close();
  t.notOk(await closed.isUp());
  t.match(answerOf(await app.inject('/readyz')), { status: 200, body: { status: 'ok' } });
  services.queue = { ...services.queue!, isUp: async () => false };
  const degraded = await buildApi(services);
  t.teardown(() => degraded.close());
  t.match(answerOf(await degraded.inject('/readyz')), { status: 200, body: { status: 'degraded' } });
  const without = await startTestApp(t, { ROLES: 'api' });
  t.match(answerOf(await without.app.inject('/readyz')), { status: 200, body: { status: 'ok' } });
});

test('every problem code has its page', async t => {
  const { app } = await startTestApp(t);
  for (const { code, status, title } of problemCatalogue()) {
    const page = await app.inject({ url: `/problems/${code}`, headers: { accept: 'text/html,application/xhtml+xml,*/*;q=0.8' } });
    t.equal(page.statusCode, 200);
    t.match(page.headers['content-type'], /^text\/html/);
    t.ok(page.body.includes(title) && page.body.includes(String(status)), code);
    const described = answerOf(await app.inject({ url: `/problems/${code}`, headers: { accept: 'application/json' } }));
    t.match(described.body, { code, status, title, help: PROBLEMS[code][1] });
  }
  t.notMatch((await app.inject('/problems/acting_caseworker_required')).body, /<staff_code>/, 'text is escaped');
  t.match(answerOf(await app.inject('/problems/nonsense')), { status: 404, body: { code: 'not_found' } });
});

test('what is not a route is a plain 404', async t => {
  const it = await startTestApp(t);
  const { as } = await mechanism(it);
  for (const path of ['/', '/v1', '/v1/nothing', '/docs/nothing', '/%zz']) {
    const response = answerOf(await it.app.inject(path));
    t.match(response, { status: 404, body: { type: '/problems/not_found', code: 'not_found' } }, path);
    t.equal(response.headers['request-id'], response.body.request_id);
    t.match(response.headers['content-type'], 'application/problem+json');
  }
  t.match(await as('health').put('/v1/agencies', {}), { status: 404 });
  for (const body of ['{', '{"colour":"red"}', 'x'.repeat(1_100_000)]) {
    const headers = { 'content-type': 'application/json' };
    const response = await it.app.inject({ method: 'POST', url: '/v1/nothing', headers, payload: body });
    t.equal(response.statusCode, 404, 'whatever is sent there');
  }
});

interface Operation {
  operationId: string;
  security: Record<string, string[]>[];
  responses: Record<string, { description: string; content?: Record<string, { schema?: object }> }>;
  parameters?: { name: string; in: string; schema?: object }[];
}

/** `METHOD /path` of every route in Fastify's drawing of its tree. */
function routesOf(tree: string): string[] {
  const path: string[] = [];
  return tree.split('\n').flatMap(line => {
    const [, indent, segment, methods] = /^((?:│ {3}| {4})*)[├└]── (\S+)(?: \((.+)\))?$/.exec(line) ?? [];
    if (segment === undefined) return [];
    path.splice(indent!.length / 4, Number.POSITIVE_INFINITY, segment);
    const shown = methods?.split(', ').filter(method => method !== 'HEAD') ?? [];
    // What stands before a wildcard is not drawn.
    return shown.map(method => `${method} ${path.join('') === '*' ? '/v1/audit/tile/*' : path.join('')}`);
  });
}

test('the OpenAPI document lists every route, whole', async t => {
  const { app } = await startTestApp(t);
  const document = answerOf(await app.inject('/openapi.json')).body;
  t.equal(document.openapi, '3.1.0');
  const listed = Object.entries<Record<string, Operation>>(document.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => ({ name: `${method.toUpperCase()} ${path}`, path, operation })),
  );
  const routes = routesOf(app.printRoutes({ commonPrefix: false, includeMeta: false }));
  const named = new Set(listed.map(({ name }) => name.replaceAll(/\{(\w+)\}/g, ':$1').replace('{*}', '*')));
  const hidden = /^GET \/docs(\/.*)?$/;
  t.same(new Set(routes.filter(route => !hidden.test(route))), new Set([...named].filter(route => !hidden.test(route))));

  const ids = listed.map(({ operation }) => operation.operationId);
  t.equal(new Set(ids).size, ids.length, 'operation ids are unique');
  const scopes = Object.keys(document.components.securitySchemes.oauth.flows.clientCredentials.scopes);
  for (const { name, path, operation } of listed) {
    t.match(operation.operationId, /^[a-z]+([A-Z][A-Za-z]*)$/, name);
    t.ok(
      operation.security.every(
        requirement => requirement.oauth!.length <= 1 && requirement.oauth!.every(scope => scopes.includes(scope)),
      ),
      name,
    );
    const done = Object.keys(operation.responses).filter(status => status.startsWith('2'));
    t.ok(done.length > 0, `${name} says what it answers`);
    for (const status of done) {
      t.ok(status === '204' || Object.values(operation.responses[status]!.content ?? {}).every(media => media.schema), name);
    }
    t.match(operation.responses.default, {
      content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
    });
    const in_path = [...path.matchAll(/\{([\w*]+)\}/g)].map(match => match[1]);
    t.same(
      operation.parameters!.filter(parameter => parameter.in === 'path').map(parameter => parameter.name),
      in_path,
      name,
    );
    t.ok(
      operation.parameters!.every(parameter => parameter.schema),
      name,
    );
  }
  t.notMatch(JSON.stringify(document), /"\$id"|def-\d/, 'no references that only the validator knows');
});

test('the OpenAPI document tells how each operation may be refused, and with which headers it answers', async t => {
  const { app } = await startTestApp(t);
  const { paths, components } = answerOf(await app.inject('/openapi.json')).body;
  const of = (method: string, path: string) => paths[path][method].responses;
  /** Status → codes, by following the references. */
  const refusals = (responses: Record<string, { $ref?: string }>) =>
    Object.fromEntries(
      Object.entries(responses)
        .filter(([status]) => status >= '4' && status < '5')
        .map(([status, { $ref }]) => {
          const { content } = components.responses[$ref!.split('/').at(-1)!];
          return [status, content['application/problem+json'].schema.allOf[1].properties.code.enum];
        }),
    );
  t.strictSame(refusals(of('post', '/v1/referrals/{id}/accept')), {
    400: ['acting_caseworker_required', 'invalid_request', 'malformed_body'],
    401: ['unauthenticated'],
    403: ['access_reason_required', 'caseworker_not_active', 'forbidden', 'insufficient_scope'],
    404: ['not_found'],
    409: ['consent_missing', 'idempotency_in_progress', 'may_not_take', 'no_capacity', 'wrong_state'],
    412: ['precondition_failed'],
    413: ['body_too_large'],
    415: ['unsupported_media_type'],
    422: ['idempotency_mismatch', 'unprocessable'],
    429: ['rate_limited'],
  });
  t.strictSame(refusals(of('get', '/v1/codes')), {
    400: ['invalid_request'],
    401: ['unauthenticated'],
    403: ['caseworker_not_active'],
    429: ['rate_limited'],
  });
  t.strictSame(Object.keys(refusals(of('patch', '/v1/cases/{id}'))).slice(-2), ['428', '429']);
  t.strictSame(refusals(of('get', '/healthz')), { 400: ['invalid_request'] });

  const headers = (response: { headers: object }) => Object.keys(response.headers).filter(name => !name.startsWith('RateLimit'));
  t.strictSame(headers(of('post', '/v1/cases')[201]), [
    'Request-Id',
    'ETag',
    'Location',
    'Audit-Receipt',
    'Idempotency-Replayed',
  ]);
  t.strictSame(headers(of('get', '/v1/agencies')[200]), ['Request-Id', 'Audit-Receipt']);
  t.strictSame(headers(of('get', '/v1/cases')[200]), ['Request-Id', 'Audit-Receipt']);
  t.strictSame(headers(components.responses.rate_limited), ['Request-Id', 'Retry-After']);
  t.strictSame(headers(components.responses.unauthenticated), ['Request-Id', 'WWW-Authenticate']);
  const statuses = new Set(problemCatalogue().map(({ status }) => String(status)));
  for (const [path, item] of Object.entries<Record<string, Operation>>(paths)) {
    for (const [method, { responses }] of Object.entries(item)) {
      const unknown = Object.keys(responses).filter(status => !/^(2..|default)$/.test(status) && !statuses.has(status));
      t.strictSame(unknown, [], `${method} ${path}`);
    }
  }
});

test('the documentation needs nothing from elsewhere', async t => {
  const { app } = await startTestApp(t);
  for (const path of ['/docs', '/docs/']) {
    const page = await app.inject(path);
    t.equal(page.statusCode, 200);
    t.notMatch(page.body, /https?:|\/\/[a-z]/i, 'no foreign origin');
    t.notMatch(page.body, /<script(?! src)/, 'no inline script');
    const policy = String(page.headers['content-security-policy']);
    t.match(policy, /default-src 'none'/);
    t.match(policy, /script-src 'self';/);
    t.notMatch(policy, /https?:|\*/);
    for (const [, source] of page.body.matchAll(/src="([^"]+)"/g)) {
      const script = await app.inject(source!);
      t.equal(script.statusCode, 200, source!);
      t.match(script.headers['content-type'], /javascript/);
    }
  }
  const start = (await app.inject('/docs/start.js')).body;
  t.match(start, /"withDefaultFonts":false/);
  t.match(start, /"telemetry":false/);
});
