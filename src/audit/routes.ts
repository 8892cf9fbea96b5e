import type { App } from '../api.ts';
import { answer } from '../platform/http/answer.ts';
import { operation } from '../platform/http/openapi.ts';
import { pageOf } from '../platform/http/paging.ts';
import type { Services } from '../services.ts';
import { listAuditEntries } from './query.ts';
import { AuditQuery, EntryView } from './schema.ts';

export function auditRoutes(app: App, services: Services): void {
  app.get(
    '/v1/audit/entries',
    operation({
      id: 'listAuditEntries',
      tag: 'Trail',
      summary: 'Entries of the trail: of the own agency, for the audit body all',
      action: 'audit.query',
      recorded: true,
      scopes: ['audit.read'],
      caseworker: true,
      query: AuditQuery,
      answer: pageOf(EntryView),
    }),
    async (request, reply) => answer(reply, await listAuditEntries(services, request.actor, request.query)),
  );
}
