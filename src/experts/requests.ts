import { act } from '../audit/act.ts';
import { record } from '../audit/record.ts';
import { requireAssigned } from '../cases/assignments.ts';
import { type AgencyActor, authorise, expectVersion, type Relation } from '../core/access.ts';
import type { DECLINE_REASONS, EXPERT_CANCEL_REASONS } from '../core/codes.ts';
import { allowedExpertActions, decideExpert, type ExpertAction } from '../core/expert-request.ts';
import { canTake, overlaps, takesRequests } from '../core/experts.ts';
import { Problem, raise } from '../core/problem.ts';
import { asSystem, type Tx } from '../platform/database.ts';
import { newId } from '../platform/ids.ts';
import { getCurrentRulePack } from '../rules/store.ts';
import type { Services } from '../services.ts';
import { sealDetails } from './details.ts';
import { againstOf, expertOf, requireCase, requireTags, requireTime } from './matching.ts';
import { requestNotice } from './notices.ts';
import { carryOut, mustNotMeet, startAnswering, subjectsOf } from './progress.ts';
import { partiesOf, viewRequest } from './request-view.ts';
import type { NewExpertRequest } from './schema.ts';
import { sidesOf } from './sides.ts';
import {
  type ExpertRequestRow,
  findDetails,
  findOnRoster,
  findRequest,
  insertRequest,
  lockExpert,
  lockOpenRequests,
  lockRequest,
} from './store.ts';
import { hashesIn } from './ties.ts';

/**
 * Requests for experts. Any agency asks; the agency that keeps the expert answers, and while it does a clock runs. Who cannot come,
 * for whatever reason, is not available, and nobody is told more. Locks: case, expert, request, timers.
 */

/**
 * Asks for an expert.
 * @throws Problem `not_found` (the case), `forbidden`, `unprocessable`, `not_available` also of an expert who does not exist
 */
export const makeExpertRequest = (services: Services, actor: AgencyActor, body: NewExpertRequest) =>
  act(services, actor, 'expert_request.make', viewRequest(services, actor), async (tx, now) => {
    const { expert_id, case_id, skill, language = null, mode, urgency, note = null } = body;
    const kase = await requireCase(services, tx, actor, 'expert_request.make', case_id);
    const span = requireTime(body, now);
    if (language !== null) requireTags([['/language', language]]);
    const jurisdiction = body.jurisdiction ?? kase?.jurisdiction ?? raise('unprocessable', NO_JURISDICTION);
    const region = body.region ?? kase?.region ?? null;
    const against = await againstOf(services, tx, body);
    const agency_ids = await sidesOf(tx, actor.agency_id, case_id ?? null);
    const { crisis } = await getCurrentRulePack(services, tx, jurisdiction, region);
    const expert = await asSystem(tx, 'matcher', async tx => {
      await lockExpert(tx, expert_id, 'share');
      const found = (await findOnRoster(tx, expert_id)) ?? raise('not_available');
      return expertOf(services, found, crisis);
    });
    const languages = language === null ? [] : [language];
    const wanted = { ...span, skill, languages, modes: [], jurisdiction, region, remote_ok: mode !== 'in_person', mode };
    if (!canTake(expert, { ...wanted, agency_ids, against: hashesIn(against) })) throw new Problem('not_available');

    const id = newId('xrq');
    const request: ExpertRequestRow = {
      id,
      expert_id,
      agency_id: expert.agency_id,
      requester_agency_id: actor.agency_id,
      staff_code: actor.caseworker!.staff_code,
      ...{ skill, language, jurisdiction, region, mode, urgency },
      ...span,
      status: 'requested',
      reason_code: null,
      version: 1,
      created_at: now,
      updated_at: now,
    };
    const place = { request_id: id, case_id: case_id ?? null };
    const sealed = await sealDetails(services, tx, place, { against, note });
    await insertRequest(tx, request, { ...place, requester_agency_id: actor.agency_id, sealed });
    const due_at = await startAnswering(services, tx, request, now);
    const receipt = await record(services, tx, actor, {
      action: 'expert_request.make',
      resource_type: 'expert_request',
      subjects: subjectsOf(request, place.case_id),
      events: [requestNotice('expert.requested', request, 'requester', due_at)],
    });
    return { id, receipt };
  });

const NO_JURISDICTION = { errors: [{ pointer: '/jurisdiction', detail: 'is missing: there is no case to take it from' }] };

/**
 * The expert will come: the time is theirs from now on.
 * @throws Problem `not_found`, `forbidden`, `precondition_failed`, `wrong_state`, `not_available` where the time is taken or over by
 *   now, the expert or its agency takes nothing on any more, or the expert must not be the one
 */
export const confirmExpertRequest = (services: Services, actor: AgencyActor, id: string) =>
  answer(services, actor, id, 'confirm', null, (tx, request, now) =>
    asSystem(tx, 'matcher', async tx => {
      const expert = (await findOnRoster(tx, request.expert_id))!;
      const { crisis } = await getCurrentRulePack(services, tx, request.jurisdiction, request.region);
      const is_taking = takesRequests(expertOf(services, expert, crisis));
      const open = await lockOpenRequests(tx, request.expert_id);
      const is_taken = open.some(other => other.id !== id && other.status === 'confirmed' && overlaps(other, request));
      if (is_taken || !is_taking || request.to <= now || (await mustNotMeet(services, tx, expert, request)))
        throw new Problem('not_available');
    }),
  );

/** @throws Problem `not_found`, `forbidden`, `precondition_failed`, `wrong_state` */
export const declineExpertRequest = (
  services: Services,
  actor: AgencyActor,
  id: string,
  { reason_code }: { reason_code: (typeof DECLINE_REASONS)[number] },
) => answer(services, actor, id, 'decline', reason_code);

/**
 * Whoever asked takes the request back, or the keeper what it confirmed.
 * @throws Problem `not_found`, `forbidden`, `precondition_failed`, `wrong_state`
 */
export const cancelExpertRequest = (
  services: Services,
  actor: AgencyActor,
  id: string,
  { reason_code }: { reason_code: (typeof EXPERT_CANCEL_REASONS)[number] },
) => answer(services, actor, id, 'cancel', reason_code);

/** The expert was there. @throws Problem `not_found`, `forbidden`, `precondition_failed`, `wrong_state` */
export const completeExpertRequest = (services: Services, actor: AgencyActor, id: string) =>
  answer(services, actor, id, 'complete', null);

const answer = (
  services: Services,
  actor: AgencyActor,
  id: string,
  action: ExpertAction,
  reason_code: string | null,
  check: (tx: Tx, request: ExpertRequestRow, now: Date) => Promise<void> = async () => {},
) =>
  act(services, actor, `expert_request.${action}`, viewRequest(services, actor), async (tx, now) => {
    const seen = (await findRequest(tx, id)) ?? raise('not_found');
    const parties = partiesOf(actor, seen);
    const relations = parties.map((party): Relation => (party === 'keeper' ? 'receiver' : 'sender'));
    authorise(actor, `expert_request.${action}`, relations);
    // Of two that are confirmed at once the second waits here, and sees the first.
    if (action === 'confirm') await lockExpert(tx, seen.expert_id, 'update');
    const request = (await lockRequest(tx, id))!;
    const { case_id = null } = (await findDetails(tx, id)) ?? {};
    // Who asks for an expert of its own roster is both.
    const by = parties.find(party => allowedExpertActions(party, request.status).includes(action)) ?? parties[0]!;
    if (by === 'requester' && case_id !== null) await requireAssigned(services, tx, actor, case_id);
    expectVersion(actor, request.version);
    const rule = decideExpert(action, by, request.status);
    await check(tx, request, now);
    const step = { ...rule, action: `expert_request.${action}`, by };
    const receipt = await carryOut(services, tx, actor, request, step, reason_code, now, case_id);
    return { id, receipt };
  });
