import type { App } from '../api.ts';
import { answer } from '../platform/http/answer.ts';
import { Closed, Id, operation } from '../platform/http/openapi.ts';
import { PageQuery, pageOf } from '../platform/http/paging.ts';
import type { Services } from '../services.ts';
import { recoverWebhookEndpoint, redeliverDelivery } from './again.ts';
import {
  createWebhookEndpoint,
  deleteWebhookEndpoint,
  enableWebhookEndpoint,
  getWebhookEndpoint,
  listEndpointDeliveries,
  listWebhookEndpoints,
  pauseWebhookEndpoint,
  pullEvents,
  rotateWebhookSecret,
  testWebhookEndpoint,
  updateWebhookEndpoint,
} from './commands.ts';
import { EventView } from './event-schema.ts';
import {
  DeliveryQuery,
  DeliveryView,
  EndpointBody,
  EndpointPatch,
  EndpointView,
  EventQuery,
  NewEndpoint,
  NewSecret,
  RecoveryBody,
  RecoveryView,
} from './schema.ts';
import { startWaitingPulls } from './waiting.ts';

const of_endpoints = { tag: 'Webhooks', scopes: ['webhooks'], caseworker: true } as const;
const of_one = { ...of_endpoints, params: Closed({ id: Id('whe') }) } as const;

export function webhookRoutes(app: App, services: Services): void {
  app.post(
    '/v1/webhook-endpoints',
    operation({
      ...of_endpoints,
      id: 'createWebhookEndpoint',
      summary: 'Register an endpoint; its secret is shown once',
      action: 'webhook_endpoint.create',
      problems: ['secret_already_shown', 'unprocessable'],
      body: EndpointBody,
      status: 201,
      answer: NewEndpoint,
    }),
    async (request, reply) => {
      const outcome = await createWebhookEndpoint(services, request.actor, request.body);
      return answer(reply, outcome, { location: `/v1/webhook-endpoints/${outcome.view.id}` });
    },
  );
  app.get(
    '/v1/webhook-endpoints',
    operation({
      ...of_endpoints,
      id: 'listWebhookEndpoints',
      summary: "The agency's endpoints, newest first",
      action: 'webhook_endpoint.list',
      recorded: true,
      query: PageQuery,
      answer: pageOf(EndpointView),
    }),
    async (request, reply) => answer(reply, await listWebhookEndpoints(services, request.actor, request.query)),
  );
  app.get(
    '/v1/webhook-endpoints/:id',
    operation({
      ...of_one,
      id: 'getWebhookEndpoint',
      summary: 'Read an endpoint',
      action: 'webhook_endpoint.read',
      recorded: true,
      answer: EndpointView,
    }),
    async (request, reply) => answer(reply, await getWebhookEndpoint(services, request.actor, request.params.id)),
  );
  app.patch(
    '/v1/webhook-endpoints/:id',
    operation({
      ...of_one,
      id: 'updateWebhookEndpoint',
      summary: 'Change what is named',
      action: 'webhook_endpoint.update',
      consumes: ['application/merge-patch+json', 'application/json'],
      body: EndpointPatch,
      answer: EndpointView,
    }),
    async (request, reply) =>
      answer(reply, await updateWebhookEndpoint(services, request.actor, request.params.id, request.body)),
  );
  app.delete(
    '/v1/webhook-endpoints/:id',
    operation({
      ...of_one,
      id: 'deleteWebhookEndpoint',
      summary: 'Delete an endpoint; its deliveries stop',
      action: 'webhook_endpoint.delete',
      status: 204,
    }),
    async (request, reply) => {
      answer(reply, await deleteWebhookEndpoint(services, request.actor, request.params.id));
      return reply.status(204).send(null);
    },
  );
  app.post(
    '/v1/webhook-endpoints/:id/rotate-secret',
    operation({
      ...of_one,
      id: 'rotateWebhookSecret',
      summary: 'A new secret, shown once, and a new key pair where the endpoint signs with one; for 24 h old and new sign',
      action: 'webhook_endpoint.rotate_secret',
      problems: ['secret_already_shown'],
      answer: NewSecret,
    }),
    async (request, reply) => answer(reply, await rotateWebhookSecret(services, request.actor, request.params.id)) as NewSecret,
  );
  app.post(
    '/v1/webhook-endpoints/:id/test',
    operation({
      ...of_one,
      id: 'testWebhookEndpoint',
      summary: 'Send `endpoint.test` to this endpoint',
      action: 'webhook_endpoint.test',
      problems: ['wrong_state'],
      answer: EndpointView,
    }),
    async (request, reply) => answer(reply, await testWebhookEndpoint(services, request.actor, request.params.id)),
  );
  app.post(
    '/v1/webhook-endpoints/:id/pause',
    operation({
      ...of_one,
      id: 'pauseWebhookEndpoint',
      summary: 'Send nothing to this endpoint; what comes is kept for it',
      action: 'webhook_endpoint.pause',
      problems: ['wrong_state'],
      answer: EndpointView,
    }),
    async (request, reply) => answer(reply, await pauseWebhookEndpoint(services, request.actor, request.params.id)),
  );
  app.post(
    '/v1/webhook-endpoints/:id/enable',
    operation({
      ...of_one,
      id: 'enableWebhookEndpoint',
      summary: 'Send to a paused or disabled endpoint again, first what has not arrived at it',
      action: 'webhook_endpoint.enable',
      problems: ['wrong_state'],
      answer: EndpointView,
    }),
    async (request, reply) => answer(reply, await enableWebhookEndpoint(services, request.actor, request.params.id)),
  );
  app.post(
    '/v1/webhook-endpoints/:id/recover',
    operation({
      ...of_one,
      id: 'recoverWebhookEndpoint',
      summary: 'Send everything since an instant again, delivered or not, also to an endpoint that is off',
      description:
        "The agency's events of the endpoint's types, in order, as far back as events are kept; what is due already is sent once. An endpoint that is paused or disabled stays so for new events, and pausing it stops the recovery. `endpoint.recovered` says that it was asked for.",
      action: 'webhook_endpoint.recover',
      problems: ['unprocessable'],
      body: RecoveryBody,
      answer: RecoveryView,
    }),
    async (request, reply) =>
      answer(reply, await recoverWebhookEndpoint(services, request.actor, request.params.id, new Date(request.body.since))),
  );
  app.post(
    '/v1/deliveries/:id/redeliver',
    operation({
      ...of_endpoints,
      params: Closed({ id: Id('dlv') }),
      id: 'redeliverDelivery',
      summary: 'Send one event again, whatever became of it, also to an endpoint that is off',
      action: 'delivery.redeliver',
      problems: ['wrong_state'],
      answer: DeliveryView,
    }),
    async (request, reply) => answer(reply, await redeliverDelivery(services, request.actor, request.params.id)),
  );
  app.get(
    '/v1/webhook-endpoints/:id/deliveries',
    operation({
      ...of_one,
      id: 'listEndpointDeliveries',
      summary: 'Deliveries of the last 30 days with their attempts, newest first',
      action: 'webhook_endpoint.deliveries',
      recorded: true,
      query: { ...DeliveryQuery, ...PageQuery },
      answer: pageOf(DeliveryView),
    }),
    async (request, reply) =>
      answer(reply, await listEndpointDeliveries(services, request.actor, request.params.id, request.query)),
  );

  const closing = new AbortController();
  app.addHook('preClose', async () => closing.abort());
  const pulls = startWaitingPulls(services, closing.signal);
  app.get(
    '/v1/events',
    {
      ...operation({
        tag: 'Webhooks',
        scopes: ['webhooks'],
        id: 'listEvents',
        summary: 'Pull events, oldest first; `next_cursor` goes into `after`',
        action: 'event.list',
        recorded: true,
        query: { ...EventQuery, limit: PageQuery.limit },
        answer: pageOf(EventView),
      }),
      // As they were emitted: what is pulled is what is pushed, to the byte.
      serializerCompiler: () => (page: unknown) => JSON.stringify(page),
    },
    async (request, reply) => {
      const gone = new AbortController();
      reply.raw.once('close', () => gone.abort());
      return answer(reply, await pullEvents(services, pulls, request.actor, request.query, gone.signal));
    },
  );
}
