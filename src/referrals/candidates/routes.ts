import type { App } from '../../api.ts';
import { answer } from '../../platform/http/answer.ts';
import { operation } from '../../platform/http/openapi.ts';
import { PageQuery, pageOf } from '../../platform/http/paging.ts';
import type { Services } from '../../services.ts';
import { listReferralCandidates } from './query.ts';
import { CandidateParams, CandidateView } from './schema.ts';

export function candidateRoutes(app: App, services: Services): void {
  app.get(
    '/v1/referrals/:id/candidates',
    operation({
      id: 'listCandidates',
      tag: 'Referrals',
      summary: 'Who could take it, and why: best first, whoever is excluded behind',
      action: 'referral.candidates',
      recorded: true,
      problems: ['wrong_state'],
      scopes: ['referrals', 'referrals.read'],
      caseworker: true,
      params: CandidateParams,
      query: PageQuery,
      access_reason: true,
      answer: pageOf(CandidateView),
    }),
    async (request, reply) =>
      answer(reply, await listReferralCandidates(services, request.actor, request.params.id, request.query)),
  );
}
