import type { App } from '../api.ts';
import { answer } from '../platform/http/answer.ts';
import { Closed, Id, operation } from '../platform/http/openapi.ts';
import { PageQuery, pageOf } from '../platform/http/paging.ts';
import type { Services } from '../services.ts';
import { amendCase, closeCase, openCase } from './commands.ts';
import { giveConsent, listCaseConsents, withdrawConsent } from './consents.ts';
import { CaseBody, CasePatch, CaseQuery, CaseView, CloseBody, ConsentBody, ConsentView, WithdrawBody } from './schema.ts';
import { listOwnCases, readCase } from './view.ts';

const write = { tag: 'Cases', scopes: ['cases'], caseworker: true } as const;
const read = { tag: 'Cases', scopes: ['cases', 'cases.read'], caseworker: true } as const;
const case_id = { params: Closed({ id: Id('cas') }) } as const;

export function caseRoutes(app: App, services: Services): void {
  app.post(
    '/v1/cases',
    operation({
      ...write,
      id: 'openCase',
      summary: 'Open a case',
      action: 'case.open',
      emergency: true,
      body: CaseBody,
      status: 201,
      answer: CaseView,
    }),
    async (request, reply) => {
      const outcome = await openCase(services, request.actor, request.body);
      return answer(reply, outcome, { location: `/v1/cases/${outcome.view.id}` });
    },
  );
  app.get(
    '/v1/cases',
    operation({
      ...read,
      id: 'listCases',
      summary: 'Own cases; for a coordinator, masked',
      action: 'case.list',
      query: { ...CaseQuery, ...PageQuery },
      answer: pageOf(CaseView),
    }),
    async (request, reply) => answer(reply, await listOwnCases(services, request.actor, request.query)),
  );
  app.get(
    '/v1/cases/:id',
    operation({
      ...read,
      ...case_id,
      id: 'getCase',
      summary: 'Read a case, as far as the caller may see it',
      action: 'case.read',
      answer: CaseView,
    }),
    async (request, reply) => answer(reply, await readCase(services, request.actor, request.params.id)),
  );
  app.patch(
    '/v1/cases/:id',
    operation({
      ...write,
      ...case_id,
      id: 'amendCase',
      summary: 'Amend a case (JSON merge patch)',
      action: 'case.amend',
      consumes: ['application/merge-patch+json', 'application/json'],
      body: CasePatch,
      answer: CaseView,
    }),
    async (request, reply) =>
      answer(reply, await amendCase(services, request.actor, request.params.id, request.body as CasePatch)),
  );
  app.post(
    '/v1/cases/:id/close',
    operation({
      ...write,
      ...case_id,
      id: 'closeCase',
      summary: 'Close a case',
      action: 'case.close',
      body: CloseBody,
      answer: CaseView,
    }),
    async (request, reply) => answer(reply, await closeCase(services, request.actor, request.params.id, request.body)),
  );
  app.post(
    '/v1/cases/:id/consents',
    operation({
      ...write,
      ...case_id,
      tag: 'Consents',
      id: 'giveConsent',
      summary: 'Record a consent',
      action: 'consent.give',
      body: ConsentBody,
      status: 201,
      answer: ConsentView,
    }),
    async (request, reply) => {
      const outcome = await giveConsent(services, request.actor, request.params.id, request.body);
      return answer(reply, outcome, { location: `/v1/cases/${request.params.id}/consents` });
    },
  );
  app.get(
    '/v1/cases/:id/consents',
    operation({
      ...read,
      ...case_id,
      tag: 'Consents',
      id: 'listConsents',
      summary: 'All consents of a case',
      action: 'consent.list',
      answer: pageOf(ConsentView),
    }),
    async (request, reply) => answer(reply, await listCaseConsents(services, request.actor, request.params.id)),
  );
  app.post(
    '/v1/consents/:id/withdraw',
    operation({
      ...write,
      tag: 'Consents',
      params: Closed({ id: Id('cns') }),
      id: 'withdrawConsent',
      summary: 'Withdraw a consent, wholly or in part',
      action: 'consent.withdraw',
      body: WithdrawBody,
      answer: ConsentView,
    }),
    async (request, reply) => answer(reply, await withdrawConsent(services, request.actor, request.params.id, request.body)),
  );
}
