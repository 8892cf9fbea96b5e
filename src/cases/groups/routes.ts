import type { App } from '../../api.ts';
import { answer } from '../../platform/http/answer.ts';
import { Closed, Id, operation } from '../../platform/http/openapi.ts';
import type { Services } from '../../services.ts';
import { openGroup, readGroup } from './commands.ts';
import { GroupBody, GroupView, OpenedGroupView } from './schema.ts';

export function groupRoutes(app: App, services: Services): void {
  app.post(
    '/v1/groups',
    operation({
      id: 'openGroup',
      tag: 'Groups',
      summary: 'Open a case for each of those who were found together',
      description:
        'Each member is a case of its own. One that cannot be opened says why under its `index`, and the others are opened all the same.',
      action: 'group.open',
      scopes: ['cases'],
      caseworker: true,
      problems: ['agency_suspended', 'unprocessable'],
      emergency: true,
      body: GroupBody,
      status: 201,
      answer: OpenedGroupView,
    }),
    async (request, reply) => {
      const outcome = await openGroup(services, request.actor, request.body);
      return answer(reply, outcome, { location: `/v1/groups/${outcome.view.group_id}` });
    },
  );
  app.get(
    '/v1/groups/:id',
    operation({
      id: 'getGroup',
      tag: 'Groups',
      summary: 'A group, with those of its members whom the caller owns',
      action: 'group.read',
      recorded: true,
      scopes: ['cases', 'cases.read'],
      caseworker: true,
      params: Closed({ id: Id('grp') }),
      answer: GroupView,
    }),
    async (request, reply) => answer(reply, await readGroup(services, request.actor, request.params.id)),
  );
}
