import type { App } from '../api.ts';
import { answer } from '../platform/http/answer.ts';
import { operation } from '../platform/http/openapi.ts';
import { PageQuery, pageOf } from '../platform/http/paging.ts';
import type { Services } from '../services.ts';
import { TimerQuery, TimerView } from './schema.ts';
import { listOwnTimers } from './view.ts';

export function timerRoutes(app: App, services: Services): void {
  app.get(
    '/v1/timers',
    operation({
      id: 'listTimers',
      tag: 'Clocks',
      summary: 'Timers that concern the caller, the next due first',
      action: 'timer.list',
      scopes: ['clocks', 'referrals', 'referrals.read'],
      caseworker: true,
      query: { ...TimerQuery, ...PageQuery },
      answer: pageOf(TimerView),
    }),
    async (request, reply) => answer(reply, await listOwnTimers(services, request.actor, request.query)),
  );
}
