import type { App } from '../../api.ts';
import { answer } from '../../platform/http/answer.ts';
import { operation } from '../../platform/http/openapi.ts';
import type { Services } from '../../services.ts';
import { acknowledgeUndelivered } from './commands.ts';
import { AcknowledgeBody, UndeliveredParams, UndeliveredView } from './schema.ts';

export function undeliveredRoutes(app: App, services: Services): void {
  app.post(
    '/v1/agencies/:id/acknowledge-escalation',
    operation({
      tag: 'Clocks',
      scopes: ['clocks'],
      caseworker: true,
      params: UndeliveredParams,
      id: 'acknowledgeUndelivered',
      summary: 'Answer when you are called because an agency does not hear of emergencies',
      description:
        'By a person of the duty roster, whoever of them was called; by the coordinator where nobody on it can be called. Nobody else is called for what is undelivered now.',
      action: 'agency.acknowledge_escalation',
      problems: ['wrong_state'],
      body: AcknowledgeBody,
      answer: UndeliveredView,
    }),
    async (request, reply) => answer(reply, await acknowledgeUndelivered(services, request.actor, request.params.id)),
  );
}
