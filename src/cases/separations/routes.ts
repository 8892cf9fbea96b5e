import type { App } from '../../api.ts';
import { answer } from '../../platform/http/answer.ts';
import { Closed, Id, operation } from '../../platform/http/openapi.ts';
import { pageOf } from '../../platform/http/paging.ts';
import type { Services } from '../../services.ts';
import { agreeSeparation, liftSeparation, listCaseSeparations, separateCase } from './commands.ts';
import { SeparationBody, SeparationParams, SeparationView } from './schema.ts';

const of_case = { tag: 'Groups', caseworker: true, access_reason: true } as const;

export function separationRoutes(app: App, services: Services): void {
  app.post(
    '/v1/cases/:id/separations',
    operation({
      ...of_case,
      id: 'separateCase',
      summary: 'Keep two people apart',
      description:
        'Holds for both, and for every referral: no agency is asked for the one where the other is. Between two cases of one owner at once. From a case of another owner it is `proposed`, and keeps nobody apart, until that owner or a coordinator agrees; that owner is told. Said again of the same two, it holds until the new end, once that is agreed to as well.',
      action: 'case.separate',
      scopes: ['cases'],
      params: Closed({ id: Id('cas') }),
      problems: ['unprocessable'],
      body: SeparationBody,
      status: 201,
      answer: SeparationView,
    }),
    async (request, reply) => {
      const { id } = request.params;
      const outcome = await separateCase(services, request.actor, id, request.body);
      return answer(reply, outcome, { location: `/v1/cases/${id}/separations` });
    },
  );
  app.get(
    '/v1/cases/:id/separations',
    operation({
      ...of_case,
      id: 'listSeparations',
      summary: 'From whom the person is kept apart, newest first',
      action: 'case.separations',
      recorded: true,
      scopes: ['cases', 'cases.read'],
      params: Closed({ id: Id('cas') }),
      answer: pageOf(SeparationView),
    }),
    async (request, reply) => answer(reply, await listCaseSeparations(services, request.actor, request.params.id)),
  );
  app.post(
    '/v1/cases/:id/separations/:separation_id/agree',
    operation({
      ...of_case,
      id: 'agreeSeparation',
      summary: 'Agree to keep the person apart from somebody of another owner',
      description:
        'By the owner, or a coordinator, of the case from which somebody shall be kept apart: from now on it is `in_force`.',
      action: 'case.agree_separation',
      scopes: ['cases'],
      params: SeparationParams,
      problems: ['wrong_state'],
      answer: SeparationView,
    }),
    async (request, reply) => {
      const { id, separation_id } = request.params;
      return answer(reply, await agreeSeparation(services, request.actor, id, separation_id));
    },
  );
  app.delete(
    '/v1/cases/:id/separations/:separation_id',
    operation({
      ...of_case,
      id: 'liftSeparation',
      summary: 'Let two people meet again',
      description: 'By either owner, or a coordinator of either case, at any time. The other owner is told.',
      action: 'case.lift_separation',
      scopes: ['cases'],
      params: SeparationParams,
      status: 204,
    }),
    async (request, reply) => {
      const { id, separation_id } = request.params;
      answer(reply, await liftSeparation(services, request.actor, id, separation_id));
      return reply.status(204).send(null);
    },
  );
}
