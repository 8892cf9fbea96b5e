import type { App } from '../api.ts';
import { answer } from '../platform/http/answer.ts';
import { Closed, Id, operation } from '../platform/http/openapi.ts';
import { PageQuery, pageOf } from '../platform/http/paging.ts';
import { confirmDeletion, listCaseDisclosures } from '../referrals/disclosures.ts';
import type { Services } from '../services.ts';
import { assignCase, readAssignees } from './assignees.ts';
import { amendCase, closeCase, openCase, reopenCase } from './commands.ts';
import { giveConsent, listCaseConsents, withdrawConsent } from './consents.ts';
import {
  AssigneesBody,
  AssigneesView,
  CaseBody,
  CasePatch,
  CaseQuery,
  CaseView,
  CloseBody,
  ConsentBody,
  ConsentView,
  DisclosureView,
  ReopenBody,
  TimelineItem,
  WithdrawBody,
} from './schema.ts';
import { readTimeline } from './timeline.ts';
import { listOwnCases, readCase } from './view.ts';

const write = { tag: 'Cases', scopes: ['cases'], caseworker: true } as const;
const read = { tag: 'Cases', scopes: ['cases', 'cases.read'], caseworker: true, recorded: true } as const;
const case_id = { params: Closed({ id: Id('cas') }), access_reason: true } as const;

export function caseRoutes(app: App, services: Services): void {
  app.post(
    '/v1/cases',
    operation({
      ...write,
      id: 'openCase',
      summary: 'Open a case',
      action: 'case.open',
      problems: ['agency_suspended', 'unprocessable'],
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
      problems: ['unprocessable', 'wrong_state'],
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
      problems: ['wrong_state', 'too_early'],
      body: CloseBody,
      answer: CaseView,
    }),
    async (request, reply) => answer(reply, await closeCase(services, request.actor, request.params.id, request.body)),
  );
  app.post(
    '/v1/cases/:id/reopen',
    operation({
      ...write,
      ...case_id,
      id: 'reopenCase',
      summary: 'Reopen a closed case',
      action: 'case.reopen',
      problems: ['wrong_state'],
      body: ReopenBody,
      answer: CaseView,
    }),
    async (request, reply) => answer(reply, await reopenCase(services, request.actor, request.params.id, request.body)),
  );
  app.get(
    '/v1/cases/:id/timeline',
    operation({
      ...read,
      ...case_id,
      id: 'getCaseTimeline',
      summary: 'Everything that happened and that the caller may know, oldest first',
      action: 'case.timeline',
      query: PageQuery,
      answer: pageOf(TimelineItem),
    }),
    async (request, reply) => answer(reply, await readTimeline(services, request.actor, request.params.id, request.query)),
  );
  app.put(
    '/v1/cases/:id/assignees',
    operation({
      ...write,
      ...case_id,
      id: 'assignCase',
      summary: "Assign a case to caseworkers of the caller's agency",
      description:
        'Each agency that owns or holds the case has a list of its own. It always exists, empty and of version 0 at first: `If-Match: "0"`. While it is not empty, everybody else of the agency names an `Access-Reason`.',
      action: 'case.assign',
      problems: ['unprocessable'],
      body: AssigneesBody,
      answer: AssigneesView,
    }),
    async (request, reply) => answer(reply, await assignCase(services, request.actor, request.params.id, request.body)),
  );
  app.get(
    '/v1/cases/:id/assignees',
    operation({
      ...read,
      ...case_id,
      id: 'getAssignees',
      summary: "To whom the caller's agency assigned the case",
      action: 'case.assignees',
      answer: AssigneesView,
    }),
    async (request, reply) => answer(reply, await readAssignees(services, request.actor, request.params.id)),
  );
  disclosureRoutes(app, services);
  consentRoutes(app, services);
}

function disclosureRoutes(app: App, services: Services): void {
  app.get(
    '/v1/cases/:id/disclosures',
    operation({
      ...read,
      ...case_id,
      tag: 'Disclosures',
      id: 'listDisclosures',
      summary: 'To whom the case was disclosed, newest first',
      action: 'disclosure.list',
      query: PageQuery,
      answer: pageOf(DisclosureView),
    }),
    async (request, reply) => answer(reply, await listCaseDisclosures(services, request.actor, request.params.id, request.query)),
  );
  app.post(
    '/v1/disclosures/:id/confirm-deletion',
    operation({
      ...write,
      scopes: ['cases', 'referrals'],
      tag: 'Disclosures',
      params: Closed({ id: Id('dsc') }),
      access_reason: true,
      id: 'confirmDeletion',
      summary: 'Say that what may no longer be known was deleted',
      action: 'disclosure.confirm_deletion',
      problems: ['wrong_state'],
      answer: DisclosureView,
    }),
    async (request, reply) => answer(reply, await confirmDeletion(services, request.actor, request.params.id)),
  );
}

function consentRoutes(app: App, services: Services): void {
  app.post(
    '/v1/cases/:id/consents',
    operation({
      ...write,
      ...case_id,
      tag: 'Consents',
      id: 'giveConsent',
      summary: 'Record a consent',
      action: 'consent.give',
      problems: ['unprocessable', 'wrong_state'],
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
      access_reason: true,
      id: 'withdrawConsent',
      summary: 'Withdraw a consent, wholly or in part',
      action: 'consent.withdraw',
      problems: ['unprocessable', 'wrong_state'],
      body: WithdrawBody,
      answer: ConsentView,
    }),
    async (request, reply) => answer(reply, await withdrawConsent(services, request.actor, request.params.id, request.body)),
  );
}
