import type { App } from '../../api.ts';
import { answer } from '../../platform/http/answer.ts';
import { operation } from '../../platform/http/openapi.ts';
import type { Services } from '../../services.ts';
import { getDutyRoster, setDutyRoster } from './commands.ts';
import { DutyRosterBody, DutyRosterParams, DutyRosterView } from './schema.ts';

const roster = {
  tag: 'Clocks',
  scopes: ['clocks'],
  caseworker: true,
  params: DutyRosterParams,
  answer: DutyRosterView,
} as const;

export function dutyRosterRoutes(app: App, services: Services): void {
  app.get(
    '/v1/jurisdictions/:code/duty-roster',
    operation({
      ...roster,
      id: 'getDutyRoster',
      summary: 'Who is called at night, in turn',
      description: 'For the coordinator of the jurisdiction and the agencies that are on it.',
      action: 'duty_roster.read',
      recorded: true,
    }),
    async (request, reply) => answer(reply, await getDutyRoster(services, request.actor, request.params.code)),
  );
  app.put(
    '/v1/jurisdictions/:code/duty-roster',
    operation({
      ...roster,
      id: 'setDutyRoster',
      summary: 'Say who is called at night, in turn',
      description: 'By the coordinator, whole. A first time with `If-None-Match: *`, later with `If-Match`.',
      action: 'duty_roster.set',
      problems: ['unprocessable'],
      body: DutyRosterBody,
      may_create: true,
    }),
    async (request, reply) => {
      const outcome = await setDutyRoster(services, request.actor, request.params.code, request.body);
      return answer(reply, outcome, outcome.created ? { location: request.url } : undefined);
    },
  );
}
