import type { TSchema } from 'typebox';
import type { App } from '../api.ts';
import type { AgencyActor } from '../core/access.ts';
import type { ProblemCode } from '../core/problem.ts';
import type { ReferralAction } from '../core/referral.ts';
import { answer } from '../platform/http/answer.ts';
import { Closed, Id, operation } from '../platform/http/openapi.ts';
import { PageQuery, pageOf } from '../platform/http/paging.ts';
import type { Services } from '../services.ts';
import {
  acceptReferral,
  cancelReferral,
  completeReferral,
  confirmHandover,
  contestReferral,
  declineReferral,
  failReferral,
  provideInformation,
  receiveReferral,
  reportNoShow,
  requestInformation,
  rerouteReferral,
  reviewReferral,
  waitlistReferral,
} from './commands.ts';
import { reviewGround } from './grounds.ts';
import { referGroup } from './group.ts';
import { listReferrals } from './inbox.ts';
import { makeReferral } from './make.ts';
import * as schema from './schema.ts';
import { readReferral } from './view.ts';

const write = { tag: 'Referrals', scopes: ['referrals'], caseworker: true } as const;
const read = { tag: 'Referrals', scopes: ['referrals', 'referrals.read'], caseworker: true, recorded: true } as const;
const referral_id = { params: Closed({ id: Id('ref') }), access_reason: true } as const;

type Command = (
  services: Services,
  actor: AgencyActor,
  id: string,
  body: never,
) => Promise<{ view: schema.ReferralView; receipt: string; replayed: boolean }>;

/** The verbs of the lifecycle; path, action and operation are named after them. */
const VERBS: readonly [verb: ReferralAction, summary: string, body: TSchema, command: Command, ...refused: ProblemCode[]][] = [
  ['receive', 'Say that the offer has arrived', schema.ReceiveBody, receiveReferral, 'unprocessable'],
  ['request_information', 'Ask the sender', schema.QuestionsBody, requestInformation],
  ['provide_information', 'Answer the receiver', schema.AnswersBody, provideInformation, 'unprocessable'],
  [
    'waitlist',
    'Say that a place may come free; another agency is asked beside',
    schema.WaitlistBody,
    waitlistReferral,
    'unprocessable',
  ],
  [
    'accept',
    'Take the referral',
    schema.AcceptBody,
    acceptReferral,
    'unprocessable',
    'consent_missing',
    'no_capacity',
    'may_not_take',
  ],
  ['decline', 'Say no, with a reason', schema.DeclineBody, declineReferral, 'unprocessable'],
  [
    'reroute',
    'Take it to a named agency instead',
    schema.RerouteBody,
    rerouteReferral,
    'not_offered',
    'agency_suspended',
    'consent_missing',
    'unprocessable',
  ],
  [
    'confirm_handover',
    'Say that the person has arrived',
    schema.HandoverBody,
    confirmHandover,
    'unprocessable',
    'consent_missing',
    'no_capacity',
    'may_not_take',
  ],
  ['report_no_show', 'Say that the person did not come', schema.Empty, reportNoShow],
  ['review', 'Say that it was looked at again', schema.ReviewBody, reviewReferral, 'unprocessable'],
  ['complete', 'Say that the need is met', schema.CompleteBody, completeReferral],
  ['fail', 'Say that the service ended without meeting the need', schema.FailBody, failReferral],
  ['cancel', 'Take the request back', schema.CancelBody, cancelReferral],
  ['contest', 'Say that it is not so what was recorded by telephone', schema.ContestBody, contestReferral, 'consent_missing'],
];

export function referralRoutes(app: App, services: Services): void {
  app.post(
    '/v1/cases/:id/referrals',
    operation({
      ...write,
      id: 'makeReferral',
      summary: 'Ask for one service for one person',
      action: 'referral.make',
      problems: ['agency_suspended', 'consent_missing', 'not_offered', 'unprocessable', 'wrong_state'],
      emergency: true,
      access_reason: true,
      params: Closed({ id: Id('cas') }),
      body: schema.ReferralBody,
      status: 201,
      answer: schema.ReferralView,
    }),
    async (request, reply) => {
      const outcome = await makeReferral(services, request.actor, request.params.id, request.body);
      return answer(reply, outcome, { location: `/v1/referrals/${outcome.view.id}` });
    },
  );
  app.post(
    '/v1/groups/:id/referrals',
    operation({
      ...write,
      id: 'referGroup',
      summary: 'Ask for one service for each of those who were found together',
      description:
        'A referral for each member. For whom none could be made, the answer says why, and those of the others are made all the same.',
      action: 'group.refer',
      problems: ['agency_suspended', 'consent_missing', 'not_offered', 'unprocessable', 'wrong_state'],
      emergency: true,
      access_reason: true,
      params: Closed({ id: Id('grp') }),
      body: schema.GroupReferralBody,
      status: 201,
      answer: schema.GroupReferralsView,
    }),
    async (request, reply) => {
      const { id } = request.params;
      return answer(reply, await referGroup(services, request.actor, id, request.body), { location: `/v1/groups/${id}` });
    },
  );
  app.get(
    '/v1/referrals',
    operation({
      ...read,
      id: 'listReferrals',
      summary: 'The inbox',
      action: 'referral.list',
      query: { ...schema.InboxQuery, ...PageQuery },
      answer: pageOf(schema.InboxRow),
    }),
    async (request, reply) => answer(reply, await listReferrals(services, request.actor, request.query)),
  );
  app.get(
    '/v1/referrals/:id',
    operation({
      ...read,
      ...referral_id,
      id: 'getReferral',
      summary: 'Read a referral, as far as the caller may see it',
      action: 'referral.read',
      answer: schema.ReferralView,
    }),
    async (request, reply) => answer(reply, await readReferral(services, request.actor, request.params.id)),
  );
  for (const [verb, summary, body, command, ...refused] of VERBS) {
    app.post(
      `/v1/referrals/:id/${verb.replaceAll('_', '-')}`,
      operation({
        ...write,
        ...referral_id,
        id: command.name,
        summary,
        action: `referral.${verb}`,
        problems: ['wrong_state', ...refused],
        body,
        answer: schema.ReferralView,
      }),
      async (request, reply) => answer(reply, await command(services, request.actor, request.params.id, request.body as never)),
    );
  }
  app.post(
    '/v1/referrals/:id/review-ground',
    operation({
      ...write,
      ...referral_id,
      id: 'reviewGround',
      summary: 'Look at a lawful ground that a colleague named',
      action: 'referral.review_ground',
      problems: ['wrong_state'],
      body: schema.ReviewGroundBody,
      answer: schema.ReferralView,
    }),
    async (request, reply) => answer(reply, await reviewGround(services, request.actor, request.params.id, request.body)),
  );
}
