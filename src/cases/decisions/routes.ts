import type { App } from '../../api.ts';
import { answer } from '../../platform/http/answer.ts';
import { Closed, Id, operation } from '../../platform/http/openapi.ts';
import { PageQuery, pageOf } from '../../platform/http/paging.ts';
import type { Services } from '../../services.ts';
import { listCaseDecisions, makeDecision, requestReconsideration, serveDecision } from './commands.ts';
import { DecisionBody, DecisionView, ReconsiderationBody, ReconsiderationView, ServeBody } from './schema.ts';

const decisions = { tag: 'Decisions', caseworker: true, access_reason: true } as const;
const of_case = { ...decisions, params: Closed({ id: Id('cas') }) } as const;

export function decisionRoutes(app: App, services: Services): void {
  app.post(
    '/v1/cases/:id/decisions',
    operation({
      ...of_case,
      id: 'makeDecision',
      summary: 'Say what the competent authority found',
      description: 'By a competent authority whose `identification` offer of this case is accepted or in progress.',
      action: 'decision.make',
      problems: ['unprocessable', 'wrong_state', 'too_early'],
      scopes: ['cases'],
      body: DecisionBody,
      status: 201,
      answer: DecisionView,
    }),
    async (request, reply) => {
      const { id } = request.params;
      return answer(reply, await makeDecision(services, request.actor, id, request.body), {
        location: `/v1/cases/${id}/decisions`,
      });
    },
  );
  app.get(
    '/v1/cases/:id/decisions',
    operation({
      ...of_case,
      id: 'listDecisions',
      summary: 'The decisions of a case, newest first',
      description:
        'For the owner, for an authority that decides, and without the reasons for the coordinator. An authority whose offer is over sees its own.',
      action: 'decision.list',
      recorded: true,
      scopes: ['cases', 'cases.read'],
      query: PageQuery,
      answer: pageOf(DecisionView),
    }),
    async (request, reply) => answer(reply, await listCaseDecisions(services, request.actor, request.params.id, request.query)),
  );
  app.post(
    '/v1/decisions/:id/serve',
    operation({
      ...decisions,
      params: Closed({ id: Id('dec') }),
      id: 'serveDecision',
      summary: 'Say that the person was told of a decision',
      description:
        'By the authority that made it, or the owner. `reconsideration_window` of a negative one is counted from then.',
      action: 'decision.serve',
      problems: ['unprocessable', 'wrong_state'],
      scopes: ['cases'],
      body: ServeBody,
      answer: DecisionView,
    }),
    async (request, reply) => answer(reply, await serveDecision(services, request.actor, request.params.id, request.body)),
  );
  app.post(
    '/v1/cases/:id/reconsiderations',
    operation({
      ...of_case,
      id: 'requestReconsideration',
      summary: 'Ask for a negative decision to be looked at again',
      description:
        'By the owner or an agency that supports the person, after it was served and while `reconsideration_window` runs.',
      action: 'decision.request_reconsideration',
      problems: ['wrong_state', 'already_exists'],
      scopes: ['cases'],
      body: ReconsiderationBody,
      status: 201,
      answer: ReconsiderationView,
    }),
    async (request, reply) => {
      const { id } = request.params;
      return answer(reply, await requestReconsideration(services, request.actor, id, request.body), {
        location: `/v1/cases/${id}/decisions`,
      });
    },
  );
}
