import type { App } from '../../api.ts';
import { answer } from '../../platform/http/answer.ts';
import { operation } from '../../platform/http/openapi.ts';
import { PageQuery, pageOf } from '../../platform/http/paging.ts';
import type { Services } from '../../services.ts';
import {
  changeCrisisPhase,
  endCrisisMode,
  getCrisisMode,
  listCrisisModesOf,
  renewCrisisMode,
  startCrisisMode,
} from './commands.ts';
import { CrisisModeBody, CrisisModeParams, CrisisModeView, JurisdictionParams, PhaseBody, RenewBody } from './schema.ts';

const tag = 'Crisis modes';
const READ = ['directory', 'directory.read', 'clocks'] as const;
const of_one = { tag, scopes: ['clocks'], caseworker: true, params: CrisisModeParams, answer: CrisisModeView } as const;

export function crisisModeRoutes(app: App, services: Services): void {
  app.post(
    '/v1/jurisdictions/:code/crisis-modes',
    operation({
      id: 'startCrisisMode',
      tag,
      summary: 'Declare a crisis in a jurisdiction, or in regions of it',
      description:
        "By its coordinator. What that changes stands in the rule pack's `crisis_plans`: routes, modes in which agencies work, what may be done from afar, and clocks that run longer, though never one of an emergency, on which a life hangs, or that the law sets, and no floor. Clocks that run go on as they were started. It ends by itself after 30 days unless it is renewed.",
      action: 'crisis_mode.start',
      problems: ['unprocessable', 'crisis_in_force'],
      scopes: ['clocks'],
      caseworker: true,
      params: JurisdictionParams,
      body: CrisisModeBody,
      status: 201,
      answer: CrisisModeView,
    }),
    async (request, reply) => {
      const outcome = await startCrisisMode(services, request.actor, request.params.code, request.body);
      return answer(reply, outcome, { location: `${request.url}/${outcome.view.id}` });
    },
  );
  app.get(
    '/v1/jurisdictions/:code/crisis-modes',
    operation({
      id: 'listCrisisModes',
      tag,
      summary: 'Crises that hold and that are over, newest first',
      description: 'For every agency that works in the jurisdiction.',
      action: 'crisis_mode.list',
      recorded: true,
      scopes: READ,
      params: JurisdictionParams,
      query: PageQuery,
      answer: pageOf(CrisisModeView),
    }),
    async (request, reply) => answer(reply, await listCrisisModesOf(services, request.actor, request.params.code, request.query)),
  );
  app.get(
    '/v1/jurisdictions/:code/crisis-modes/:id',
    operation({
      id: 'getCrisisMode',
      tag,
      summary: 'One crisis',
      action: 'crisis_mode.read',
      recorded: true,
      scopes: READ,
      params: CrisisModeParams,
      answer: CrisisModeView,
    }),
    async (request, reply) => {
      const { code, id } = request.params;
      return answer(reply, await getCrisisMode(services, request.actor, code, id));
    },
  );
  app.post(
    '/v1/jurisdictions/:code/crisis-modes/:id/renew',
    operation({
      ...of_one,
      id: 'renewCrisisMode',
      summary: 'Let it last longer: at most 30 days from now',
      action: 'crisis_mode.renew',
      problems: ['unprocessable', 'wrong_state'],
      body: RenewBody,
    }),
    async (request, reply) => {
      const { code, id } = request.params;
      return answer(reply, await renewCrisisMode(services, request.actor, code, id, request.body));
    },
  );
  app.post(
    '/v1/jurisdictions/:code/crisis-modes/:id/phase',
    operation({
      ...of_one,
      id: 'changeCrisisPhase',
      summary: 'Say that it has entered another phase',
      action: 'crisis_mode.change_phase',
      problems: ['wrong_state'],
      body: PhaseBody,
    }),
    async (request, reply) => {
      const { code, id } = request.params;
      return answer(reply, await changeCrisisPhase(services, request.actor, code, id, request.body));
    },
  );
  app.post(
    '/v1/jurisdictions/:code/crisis-modes/:id/end',
    operation({
      ...of_one,
      id: 'endCrisisMode',
      summary: 'Say that it is over',
      action: 'crisis_mode.end',
      problems: ['wrong_state'],
    }),
    async (request, reply) => {
      const { code, id } = request.params;
      return answer(reply, await endCrisisMode(services, request.actor, code, id));
    },
  );
}
