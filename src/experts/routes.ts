import type { TSchema } from 'typebox';
import type { App } from '../api.ts';
import type { AgencyActor } from '../core/access.ts';
import type { ExpertAction } from '../core/expert-request.ts';
import type { ProblemCode } from '../core/problem.ts';
import { answer } from '../platform/http/answer.ts';
import { operation } from '../platform/http/openapi.ts';
import { PageQuery, pageOf } from '../platform/http/paging.ts';
import type { Services } from '../services.ts';
import { matchExperts } from './matching.ts';
import { getExpertRequest, listExpertRequests } from './request-view.ts';
import {
  cancelExpertRequest,
  completeExpertRequest,
  confirmExpertRequest,
  declineExpertRequest,
  makeExpertRequest,
} from './requests.ts';
import { changeExpert, createExpert, getExpert, listExperts } from './roster.ts';
import * as schema from './schema.ts';

const roster = { tag: 'Experts', scopes: ['directory'], caseworker: true } as const;
const readRoster = { tag: 'Experts', scopes: ['directory', 'directory.read'], caseworker: true, recorded: true } as const;
const request = { tag: 'Experts', scopes: ['referrals'], caseworker: true } as const;
const readRequests = { tag: 'Experts', scopes: ['referrals', 'referrals.read'], caseworker: true, recorded: true } as const;
const request_id = { params: schema.ExpertRequestParams } as const;

type Command = (
  services: Services,
  actor: AgencyActor,
  id: string,
  body: never,
) => Promise<{ view: schema.ExpertRequestView; receipt: string; replayed: boolean }>;

const VERBS: readonly [verb: ExpertAction, summary: string, body: TSchema, command: Command, ...refused: ProblemCode[]][] = [
  ['confirm', 'Say that the expert will come', schema.NoBody, confirmExpertRequest, 'not_available'],
  ['decline', 'Say no, with a reason', schema.DeclineBody, declineExpertRequest],
  ['cancel', 'Take the request back, or what was confirmed', schema.CancelBody, cancelExpertRequest],
  ['complete', 'Say that the expert was there', schema.NoBody, completeExpertRequest],
];

export function expertRoutes(app: App, services: Services): void {
  app.post(
    '/v1/experts',
    operation({
      ...roster,
      id: 'createExpert',
      summary: 'Enter an expert into the roster of the agency',
      action: 'expert.create',
      problems: ['unprocessable'],
      body: schema.NewExpert,
      status: 201,
      answer: schema.ExpertView,
    }),
    async (request, reply) => {
      const outcome = await createExpert(services, request.actor, request.body);
      return answer(reply, outcome, { location: `/v1/experts/${outcome.view.id}` });
    },
  );
  app.get(
    '/v1/experts',
    operation({
      ...readRoster,
      id: 'listExperts',
      summary: "The agency's own roster, newest first, without contacts",
      action: 'expert.list',
      query: { ...schema.ExpertFilters, ...PageQuery },
      answer: pageOf(schema.ExpertView),
    }),
    async (request, reply) => answer(reply, await listExperts(services, request.actor, request.query)),
  );
  app.get(
    '/v1/experts/:id',
    operation({
      ...readRoster,
      id: 'getExpert',
      summary: "One expert of the agency's own roster",
      action: 'expert.read',
      params: schema.ExpertParams,
      answer: schema.ExpertView,
    }),
    async (request, reply) => answer(reply, await getExpert(services, request.actor, request.params.id)),
  );
  app.patch(
    '/v1/experts/:id',
    operation({
      ...roster,
      id: 'changeExpert',
      summary: 'Change an expert',
      description:
        'Merge patch (RFC 7396); `relations` is said whole. Where `conflicts` are said, whatever is asked of the expert and not over is called off, whoever it is about: whoever asked looks anew.',
      action: 'expert.change',
      problems: ['unprocessable'],
      params: schema.ExpertParams,
      body: schema.ExpertPatch,
      consumes: ['application/json', 'application/merge-patch+json'],
      answer: schema.ExpertView,
    }),
    async (request, reply) => answer(reply, await changeExpert(services, request.actor, request.params.id, request.body)),
  );
  app.post(
    '/v1/experts/match',
    operation({
      ...readRequests,
      access_reason: true,
      id: 'matchExperts',
      summary: 'Which experts could help, best first',
      description: 'A read; names do not belong into an address. Who is left out is not told, nor why.',
      action: 'expert.match',
      problems: ['unprocessable'],
      body: schema.MatchBody,
      answer: schema.Matches,
    }),
    async (request, reply) => answer(reply, await matchExperts(services, request.actor, request.body)),
  );
  requestRoutes(app, services);
}

function requestRoutes(app: App, services: Services): void {
  app.post(
    '/v1/expert-requests',
    operation({
      ...request,
      access_reason: true,
      id: 'makeExpertRequest',
      summary: 'Ask for an expert',
      action: 'expert_request.make',
      problems: ['not_found', 'unprocessable', 'not_available'],
      emergency: true,
      body: schema.NewExpertRequest,
      status: 201,
      answer: schema.ExpertRequestView,
    }),
    async (request, reply) => {
      const outcome = await makeExpertRequest(services, request.actor, request.body);
      return answer(reply, outcome, { location: `/v1/expert-requests/${outcome.view.id}` });
    },
  );
  app.get(
    '/v1/expert-requests',
    operation({
      ...readRequests,
      id: 'listExpertRequests',
      summary: 'What is asked of the experts of the agency, and what it asked for, newest first',
      action: 'expert_request.list',
      query: { ...schema.ExpertRequestQuery, ...PageQuery },
      answer: pageOf(schema.ExpertRequestRow),
    }),
    async (request, reply) => answer(reply, await listExpertRequests(services, request.actor, request.query)),
  );
  app.get(
    '/v1/expert-requests/:id',
    operation({
      ...readRequests,
      ...request_id,
      access_reason: true,
      id: 'getExpertRequest',
      summary: 'Read a request, as far as the caller may see it',
      action: 'expert_request.read',
      answer: schema.ExpertRequestView,
    }),
    async (request, reply) => answer(reply, await getExpertRequest(services, request.actor, request.params.id)),
  );
  for (const [verb, summary, body, command, ...refused] of VERBS) {
    app.post(
      `/v1/expert-requests/:id/${verb}`,
      operation({
        ...request,
        ...request_id,
        // The keeper knows of no case.
        ...(verb === 'cancel' || verb === 'complete' ? { access_reason: true } : {}),
        id: command.name,
        summary,
        action: `expert_request.${verb}`,
        problems: ['wrong_state', ...refused],
        body,
        answer: schema.ExpertRequestView,
      }),
      async (request, reply) => answer(reply, await command(services, request.actor, request.params.id, request.body as never)),
    );
  }
}
