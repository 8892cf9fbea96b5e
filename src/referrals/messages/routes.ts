import type { App } from '../../api.ts';
import { answer } from '../../platform/http/answer.ts';
import { operation } from '../../platform/http/openapi.ts';
import { PageQuery, pageOf } from '../../platform/http/paging.ts';
import type { Services } from '../../services.ts';
import { listReferralMessages, sendMessage } from './commands.ts';
import { MessageBody, MessageParams, MessageView } from './schema.ts';

const messages = { tag: 'Referrals', caseworker: true, params: MessageParams, access_reason: true } as const;

export function messageRoutes(app: App, services: Services): void {
  app.post(
    '/v1/referrals/:id/messages',
    operation({
      ...messages,
      id: 'sendMessage',
      summary: 'Write to the other side of an accepted referral',
      description: 'Between the sender and the agency whose offer is accepted or in progress, and nobody else.',
      action: 'message.send',
      problems: ['wrong_state'],
      scopes: ['referrals'],
      body: MessageBody,
      status: 201,
      answer: MessageView,
    }),
    async (request, reply) => {
      const { id } = request.params;
      return answer(reply, await sendMessage(services, request.actor, id, request.body), {
        location: `/v1/referrals/${id}/messages`,
      });
    },
  );
  app.get(
    '/v1/referrals/:id/messages',
    operation({
      ...messages,
      id: 'listMessages',
      summary: 'The messages of a referral, newest first',
      description: 'The sender reads all of its referral, the receiver those of its own offer, until that ends.',
      action: 'message.list',
      recorded: true,
      scopes: ['referrals', 'referrals.read'],
      query: PageQuery,
      answer: pageOf(MessageView),
    }),
    async (request, reply) =>
      answer(reply, await listReferralMessages(services, request.actor, request.params.id, request.query)),
  );
}
