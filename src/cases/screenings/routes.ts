import type { App } from '../../api.ts';
import { answer } from '../../platform/http/answer.ts';
import { Closed, Id, operation } from '../../platform/http/openapi.ts';
import { PageQuery, pageOf } from '../../platform/http/paging.ts';
import type { Services } from '../../services.ts';
import { listCaseScreenings, recordScreening } from './commands.ts';
import { ScreeningBody, ScreeningView } from './schema.ts';

const screenings = { tag: 'Screenings', caseworker: true, params: Closed({ id: Id('cas') }), access_reason: true } as const;

export function screeningRoutes(app: App, services: Services): void {
  app.post(
    '/v1/cases/:id/screenings',
    operation({
      ...screenings,
      id: 'recordScreening',
      summary: 'Record a screening, and what a named screener decides',
      description:
        'Without an instrument: naming one is refused. `presumed: true` moves a case that was only reported. Where the rules ask for a certificate, the acting caseworker holds one that stands; no other act asks for it.',
      action: 'screening.record',
      problems: ['unprocessable', 'wrong_state'],
      scopes: ['cases'],
      body: ScreeningBody,
      status: 201,
      answer: ScreeningView,
    }),
    async (request, reply) => {
      const { id } = request.params;
      return answer(reply, await recordScreening(services, request.actor, id, request.body), {
        location: `/v1/cases/${id}/screenings`,
      });
    },
  );
  app.get(
    '/v1/cases/:id/screenings',
    operation({
      ...screenings,
      id: 'listScreenings',
      summary: 'The screenings of a case, newest first',
      action: 'screening.list',
      recorded: true,
      scopes: ['cases', 'cases.read'],
      query: PageQuery,
      answer: pageOf(ScreeningView),
    }),
    async (request, reply) => answer(reply, await listCaseScreenings(services, request.actor, request.params.id, request.query)),
  );
}
