import scalar from '@scalar/fastify-api-reference';
import type { FastifyInstance, FastifyReply, onRequestHookHandler } from 'fastify';
import { Type } from 'typebox';
import type { App } from '../../api.ts';
import { PROBLEMS, Problem } from '../../core/problem.ts';
import { Closed, Code, document, operation } from './openapi.ts';
import { problemCatalogue, sendProblem } from './problems.ts';

const tag = 'Public';

/** What `readyz` asks. */
export interface Readiness {
  /** Why nothing should be acknowledged any more. @throws where the database is out of reach */
  findHalt(): Promise<string | null>;
  /** Whether something is down without which requests are still answered. */
  isDegraded(): Promise<boolean>;
}

/** What needs no token. */
export async function publicRoutes(app: App, readiness: Readiness): Promise<void> {
  app.setNotFoundHandler((_, reply) => sendProblem(reply, new Problem('not_found')));
  healthRoutes(app, readiness);
  documentRoute(app);
  problemRoute(app);
  await app.register(async scope => docsRoutes(scope));
}

function healthRoutes(app: App, { findHalt, isDegraded }: Readiness): void {
  const health = operation({
    id: 'getHealth',
    tag,
    summary: 'Whether the process runs',
    action: 'health.read',
    public: true,
    answer: Closed({ status: Type.Literal('ok') }),
  });
  app.get('/healthz', health, () => ({ status: 'ok' as const }));

  const readiness = operation({
    id: 'getReadiness',
    tag,
    summary: 'Whether requests can be answered',
    description: '`degraded`: they can, although something behind them is down.',
    action: 'readiness.read',
    public: true,
    answer: Closed({ status: Code(['ok', 'degraded']) }),
  });
  app.get('/readyz', readiness, async request => {
    const halt = await findHalt().catch(error => {
      request.log.error({ err: error }, 'database out of reach');
      throw new Problem('service_unavailable');
    });
    // What is acknowledged on top of a history that has lost something would be lost with it.
    if (halt) throw new Problem('service_unavailable', { detail: `the trail is no longer signed: ${halt}` });
    return { status: (await isDegraded()) ? ('degraded' as const) : ('ok' as const) };
  });
}

function documentRoute(app: App): void {
  let text: string | undefined;
  const get = operation({
    id: 'getOpenApi',
    tag,
    summary: 'This document (OpenAPI 3.1)',
    action: 'openapi.read',
    public: true,
    answer: document('application/json', 'The OpenAPI document'),
  });
  app.get('/openapi.json', get, (_, reply) => {
    text ??= JSON.stringify(app.openapi());
    return reply.type('application/json; charset=utf-8').send(text);
  });
}

const PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

function problemRoute(app: App): void {
  const catalogue = new Map(problemCatalogue().map(entry => [entry.code as string, entry]));
  const get = operation({
    id: 'getProblem',
    tag,
    summary: 'What a problem means and what can be done about it',
    description: `JSON where \`Accept\` asks for it. Codes: ${Object.keys(PROBLEMS).join(', ')}.`,
    action: 'problem.read',
    public: true,
    params: Type.Object({ code: Type.String({ maxLength: 100 }) }),
    answer: document('text/html', 'A page for people'),
  });
  app.get('/problems/:code', get, (request, reply) => {
    const entry = catalogue.get(request.params.code);
    if (!entry) throw new Problem('not_found');
    const accept = request.headers.accept ?? '';
    if (/\bjson\b/.test(accept) && !accept.includes('text/html')) {
      return reply.type('application/json; charset=utf-8').send(JSON.stringify(entry));
    }
    const { code, status, title, help } = entry;
    return sendPage(
      reply,
      PAGE_POLICY,
      title,
      `<h1>${escaped(title)}</h1>\n<p><code>${code}</code>, HTTP ${status}</p>\n<p>${escaped(help)}</p>`,
    );
  });
}

/** What the reader of the documentation needs, from here and from nowhere else; it styles elements one by one. */
const DOCS_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const START = `Scalar.createApiReference('#app', ${JSON.stringify({
  url: '/openapi.json',
  withDefaultFonts: false,
  telemetry: false,
  proxyUrl: '',
  agent: { disabled: true, hideAddApi: true },
  mcp: { disabled: true },
  showDeveloperTools: 'never',
  hideClientButton: true,
  documentDownloadType: 'direct',
})});\n`;

/** The API reference: the plugin brings the script, this page starts it without an inline one. */
async function docsRoutes(app: FastifyInstance): Promise<void> {
  const page = (reply: FastifyReply) =>
    sendPage(
      reply,
      DOCS_POLICY,
      'API reference',
      '<div id="app"></div>\n<script src="/docs/js/scalar.js"></script>\n<script src="/docs/start.js"></script>',
    );

  app.addHook('onRoute', route => {
    route.config = { ...route.config, public: true };
    // The plugin's own page starts itself by an inline script, which the policy forbids, and stands behind a redirect.
    if (route.url === '/docs' || route.url === '/docs/') route.handler = (_, reply) => page(reply);
  });
  app.get('/docs/start.js', { schema: { hide: true } as object }, (_, reply) =>
    reply.type('text/javascript; charset=utf-8').send(START),
  );
  // The script has four megabytes and changes with the release only.
  const onRequest: onRequestHookHandler = (_, reply, done) => {
    void reply.header('cache-control', 'public, max-age=3600');
    done();
  };
  await app.register(scalar, { routePrefix: '/docs', configuration: { url: '/openapi.json' }, hooks: { onRequest } });
}

function sendPage(reply: FastifyReply, policy: string, title: string, body: string): FastifyReply {
  return reply
    .header('content-security-policy', policy)
    .type('text/html; charset=utf-8')
    .send(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(title)}: Aman</title>
</head>
<body>
${body}
</body>
</html>
`);
}

/** As HTML; what stands between backticks is code. */
const escaped = (text: string): string =>
  text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replace(/`([^`]+)`/g, '<code>$1</code>');
