import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import helmet from '@fastify/helmet';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import Fastify, {
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyRequest,
  LogController,
  type RawServerDefault,
} from 'fastify';
import { createIdentify } from './access/identify.ts';
import { networkOf } from './access/penalties.ts';
import { accessRoutes } from './access/routes.ts';

import { hsdsRoutes } from './agencies/hsds/routes.ts';
import { agencyRoutes } from './agencies/routes.ts';
import { createRefusalCounter } from './audit/counted.ts';
import { findHead, haltOf } from './audit/log-store.ts';
import { recordRefusal } from './audit/refusals.ts';
import { auditRoutes } from './audit/routes.ts';
import { decisionRoutes } from './cases/decisions/routes.ts';
import { groupRoutes } from './cases/groups/routes.ts';
import { caseRoutes } from './cases/routes.ts';
import { screeningRoutes } from './cases/screenings/routes.ts';
import { separationRoutes } from './cases/separations/routes.ts';
import { systemActor } from './core/access.ts';
import { Problem } from './core/problem.ts';
import { expertRoutes } from './experts/routes.ts';
import { coverageRoutes } from './figures/coverage/routes.ts';
import { registerAuth } from './platform/http/auth.ts';
import { registerConventions } from './platform/http/conventions.ts';
import { lazySerializers, registerOpenApi, registerSchemas } from './platform/http/openapi.ts';
import { problemHandler, sendProblem } from './platform/http/problems.ts';
import { publicRoutes } from './platform/http/public-routes.ts';
import { createRateLimiter } from './platform/http/rate-limit.ts';
import { VERSION } from './platform/version.ts';
import { candidateRoutes } from './referrals/candidates/routes.ts';
import { messageRoutes } from './referrals/messages/routes.ts';
import { referralRoutes } from './referrals/routes.ts';
import { timerEffects } from './referrals/timer-effects.ts';
import { calendarRoutes } from './rules/calendars/routes.ts';
import { crisisModeRoutes } from './rules/crisis-modes/routes.ts';
import { codeRoutes, rulePackRoutes } from './rules/routes.ts';
import type { Services } from './services.ts';
import { timerRoutes } from './timers/routes.ts';
import { eventDocument } from './webhooks/event-document.ts';
import { webhookRoutes } from './webhooks/routes.ts';
import { undeliveredRoutes } from './webhooks/undelivered/routes.ts';

export type App = FastifyInstance<RawServerDefault, IncomingMessage, ServerResponse, FastifyBaseLogger, TypeBoxTypeProvider>;

const MIB = 1_048_576;
/** A request must have arrived whole by then; how long its answer takes is another matter. */
const RECEIVED_WITHIN_MS = 30_000;
/** A connection on which nothing moves is given up: later than whoever waits for events, 30 s at most, is answered. */
const SILENT_FOR_MS = 60_000;

/** The HTTP side of the service: every capability by name, behind the same conventions. */
export async function buildApi(services: Services): Promise<App> {
  const app: App = Fastify({
    loggerInstance: services.log.child({ part: 'api' }) as unknown as FastifyBaseLogger,
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: 'request_id' }),
    bodyLimit: MIB,
    requestTimeout: RECEIVED_WITHIN_MS,
    connectionTimeout: SILENT_FOR_MS,
    genReqId: () => randomUUID(),
    requestIdHeader: false,
    trustProxy: services.config.trust_proxy.length > 0 ? services.config.trust_proxy : false,
    forceCloseConnections: 'idle',
    // What still arrives while it ends is answered like anything else, and its connection ends with the answer.
    return503OnClosing: false,
    routerOptions: { ignoreTrailingSlash: false, maxParamLength: 200 },
    // What the router itself cannot read (a broken percent escape) names nothing.
    frameworkErrors: (_, request, reply) => void sendProblem(reply.header('request-id', request.id), new Problem('not_found')),
    onProtoPoisoning: 'error',
    onConstructorPoisoning: 'error',
    schemaController: { compilersFactory: { buildSerializer: lazySerializers } },
  }).withTypeProvider<TypeBoxTypeProvider>();

  const refusals = createRefusalCounter(services);
  app.addHook('onClose', () => refusals.close());
  const handle = problemHandler(
    (request, code) =>
      recordRefusal(services, request.actor, code, {
        action: actionOf(request),
        named_id: (request.params as { id?: string } | undefined)?.id,
      }),
    (request, code) =>
      refusals.count(request.actor?.client_id ?? networkOf(request.ip), {
        actor: request.actor ?? systemActor('access'),
        action: actionOf(request),
        code,
        request_id: request.id,
      }),
  );
  app.setErrorHandler((error, request, reply) => handle(request.over_limit ?? error, request, reply));
  // Before the hook that may refuse: a refusal carries the headers too.
  await app.register(helmet, {
    contentSecurityPolicy: { useDefaults: false, directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] } },
  });
  app.addContentTypeParser('application/merge-patch+json', { parseAs: 'string' }, app.getDefaultJsonParser('error', 'error'));
  registerSchemas(app);
  registerConventions(app);
  const limiter = createRateLimiter(services.config.rate_limit, () => services.now().getTime());
  registerAuth(app, createIdentify(services), limiter);
  app.addHook('onSend', async (request, reply) => {
    limiter.tell(request, reply);
    if (!reply.hasHeader('cache-control')) void reply.header('cache-control', 'no-store');
  });
  app.addHook('onResponse', async (request, reply) => {
    const { method, actor, routeOptions } = request;
    const route = routeOptions.url ?? 'none';
    const status = reply.statusCode;
    services.metrics.requests.inc({ method, route, status });
    services.metrics.request_seconds.observe({ method, route }, reply.elapsedTime / 1_000);
    request.log.info(
      {
        method,
        route,
        action: routeOptions.config.action,
        status,
        duration_ms: Math.round(reply.elapsedTime),
        client_id: actor?.client_id,
        receipt: reply.getHeader('audit-receipt'),
        ...traceOf(request),
      },
      'request',
    );
  });
  await registerOpenApi(app, VERSION, eventDocument);

  const { queue } = services;
  await publicRoutes(app, {
    findHalt: async () => haltOf(await findHead(services.db)),
    isDegraded: async () => queue !== null && !(await queue.isUp()),
  });
  accessRoutes(app, services, refusals);
  agencyRoutes(app, services);
  hsdsRoutes(app, services);
  codeRoutes(app, services);
  rulePackRoutes(app, services);
  crisisModeRoutes(app, services);
  calendarRoutes(app, services);
  caseRoutes(app, services);
  groupRoutes(app, services);
  separationRoutes(app, services);
  screeningRoutes(app, services);
  decisionRoutes(app, services);
  referralRoutes(app, services);
  candidateRoutes(app, services);
  messageRoutes(app, services);
  expertRoutes(app, services);
  timerRoutes(app, services, timerEffects(services));
  webhookRoutes(app, services);
  undeliveredRoutes(app, services);
  coverageRoutes(app, services);
  auditRoutes(app, services);

  await app.ready();
  return app;
}

/** The caller's trace (W3C Trace Context), so that its logs and ours can be laid side by side. */
function traceOf({ headers }: FastifyRequest): { trace_id?: string } {
  const trace_id = /^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}/.exec(String(headers.traceparent ?? ''))?.[1];
  return trace_id === undefined ? {} : { trace_id };
}

const actionOf = (request: FastifyRequest): string => request.routeOptions.config.action ?? 'unknown';
