import type { App } from '../../api.ts';
import { answer } from '../../platform/http/answer.ts';
import { operation } from '../../platform/http/openapi.ts';
import type { Services } from '../../services.ts';
import { exportCoverage, readCoverage } from './query.ts';
import { CoverageAnswer, CoverageQuery } from './schema.ts';

export function coverageRoutes(app: App, services: Services): void {
  app.get(
    '/v1/figures/coverage',
    operation({
      id: 'getCoverage',
      tag: 'Figures',
      summary: 'For whom there is no route: now, tonight, on the weekend',
      description:
        'For every service and every profile of a person (sex, age band, protection status, region, language), whether the rules of routing leave anybody who could be asked. Regions are those of the country that the directory or the rule pack names, or that were named before; languages those in which somebody works or the pack is written. An age band has a route where each of its years has one. How many places are free is known for now alone.',
      action: 'coverage.read',
      recorded: true,
      problems: ['not_found'],
      scopes: ['figures.read'],
      caseworker: true,
      query: CoverageQuery,
      answer: CoverageAnswer,
    }),
    async (request, reply) => {
      if (request.query.format !== 'csv') return answer(reply, await readCoverage(services, request.actor, request.query));
      const { view, receipt } = await exportCoverage(services, request.actor, request.query);
      return reply.header('audit-receipt', receipt).type('text/csv; charset=utf-8; header=present').send(view);
    },
  );
}
