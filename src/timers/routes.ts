import type { App } from '../api.ts';
import { answer } from '../platform/http/answer.ts';
import { Closed, Id, operation } from '../platform/http/openapi.ts';
import { PageQuery, pageOf } from '../platform/http/paging.ts';
import type { Services } from '../services.ts';
import { acknowledgeEscalation, meetTimer, pauseTimer, resumeTimer, waiveTimer } from './commands.ts';
import { dutyRosterRoutes } from './duty-roster/routes.ts';
import { PauseBody, TimerQuery, TimerView, WaiveBody } from './schema.ts';
import type { TimerEffects } from './sweep.ts';
import { listOwnTimers } from './view.ts';

const write = {
  tag: 'Clocks',
  scopes: ['clocks'],
  caseworker: true,
  params: Closed({ id: Id('tmr') }),
  access_reason: true,
  answer: TimerView,
} as const;

export function timerRoutes(app: App, services: Services, effects: TimerEffects): void {
  app.get(
    '/v1/timers',
    operation({
      id: 'listTimers',
      tag: 'Clocks',
      summary: 'Timers that concern the caller, the next due first',
      description:
        'What a duty officer asks: what is due next, what is late (`overdue`), whose (`agency_id`), since when (`breached_at`), and what somebody was called for and nobody has acknowledged (`unacknowledged`).',
      action: 'timer.list',
      recorded: true,
      scopes: ['clocks', 'referrals', 'referrals.read'],
      caseworker: true,
      query: { ...TimerQuery, ...PageQuery },
      answer: pageOf(TimerView),
    }),
    async (request, reply) => answer(reply, await listOwnTimers(services, request.actor, request.query)),
  );
  app.post(
    '/v1/timers/:id/pause',
    operation({
      ...write,
      id: 'pauseTimer',
      problems: ['wrong_state'],
      summary: 'Let a clock rest, for a reason',
      action: 'timer.pause',
      body: PauseBody,
    }),
    async (request, reply) => answer(reply, await pauseTimer(services, effects, request.actor, request.params.id, request.body)),
  );
  app.post(
    '/v1/timers/:id/resume',
    operation({
      ...write,
      id: 'resumeTimer',
      problems: ['wrong_state'],
      summary: 'Let it go on with what was left',
      action: 'timer.resume',
    }),
    async (request, reply) => answer(reply, await resumeTimer(services, effects, request.actor, request.params.id)),
  );
  app.post(
    '/v1/timers/:id/meet',
    operation({
      ...write,
      id: 'meetTimer',
      summary: 'Say that what the duty asks for was done',
      description:
        'For `missing_person_check`, `welfare_check`, `safety_ack`, `immediate_needs`, `authority_notification`, and `follow_up` and `stay_review`, which start again.',
      action: 'timer.meet',
      problems: ['wrong_state'],
    }),
    async (request, reply) => answer(reply, await meetTimer(services, effects, request.actor, request.params.id)),
  );
  app.post(
    '/v1/timers/:id/waive',
    operation({
      ...write,
      id: 'waiveTimer',
      summary: 'Record that the person asked for a floor to end sooner',
      description:
        'By an agency that supports the person and owns or holds the case, for the days of rest before a decision on conclusive grounds; said in private.',
      action: 'timer.waive',
      problems: ['unprocessable', 'wrong_state'],
      body: WaiveBody,
    }),
    async (request, reply) => answer(reply, await waiveTimer(services, effects, request.actor, request.params.id, request.body)),
  );
  app.post(
    '/v1/timers/:id/acknowledge-escalation',
    operation({
      ...write,
      access_reason: undefined,
      id: 'acknowledgeEscalation',
      summary: 'Answer when you are called at night',
      description:
        'By a person of the duty roster, whoever of them was called; by the coordinator where nobody on it can be called. Nobody else is called for it.',
      action: 'timer.acknowledge_escalation',
      problems: ['wrong_state'],
    }),
    async (request, reply) => answer(reply, await acknowledgeEscalation(services, effects, request.actor, request.params.id)),
  );
  dutyRosterRoutes(app, services);
}
