import { record } from '../audit/record.ts';
import { type Actor, systemActor } from '../core/access.ts';
import { type ExpertParty, type ExpertStep, isOver, stepByItself } from '../core/expert-request.ts';
import { isConflicted } from '../core/experts.ts';
import { asSystem, type Tx } from '../platform/database.ts';
import { listAgencyFacts, listCoordinators } from '../referrals/store.ts';
import { calendarsOf } from '../rules/calendars/store.ts';
import { getCurrentRulePack } from '../rules/store.ts';
import type { Services } from '../services.ts';
import { setCancelled, setMet, startTimers } from '../timers/apply.ts';
import { lockOpenTimers } from '../timers/store.ts';
import { openDetails } from './details.ts';
import { requestNotice } from './notices.ts';
import { personOf, sidesOf } from './sides.ts';
import {
  type ExpertRequestRow,
  type ExpertRow,
  emptyDetails,
  findDetails,
  lockOpenRequests,
  saveRequestStatus,
} from './store.ts';
import { hashesIn, openTies } from './ties.ts';

/** What follows from a step of a request: its status, its clock, its entry in the trail, and who is told. */

export const MATCHER = systemActor('matcher');

/** Starts the clock of whoever has to answer. @returns when it falls due */
export async function startAnswering(services: Services, tx: Tx, request: ExpertRequestRow, now: Date): Promise<Date | null> {
  const { id, agency_id, requester_agency_id, jurisdiction, urgency } = request;
  const [keeper] = await listAgencyFacts(tx, [agency_id]);
  const pack = await getCurrentRulePack(services, tx, jurisdiction);
  const [coordinator_agency_id = null] = await listCoordinators(tx, jurisdiction);
  const context = {
    pack,
    calendars: calendarsOf(services),
    now,
    open: [],
    case_id: null,
    referral_id: null,
    offer_id: null,
    expert_request_id: id,
    owner_agency_id: requester_agency_id,
    sender_agency_id: requester_agency_id,
    receiver_agency_id: agency_id,
    receiver_kind: keeper!.kind,
    coordinator_agency_id,
    location_protected: false,
    jurisdiction,
    urgency,
  };
  return asSystem(tx, 'router', tx => startTimers(tx, context, ['respond']));
}

/**
 * Carries out one step of the table on a request, which must be locked.
 * @param by who did it; decides who is told
 */
export async function carryOut(
  services: Services,
  tx: Tx,
  actor: Actor,
  request: ExpertRequestRow,
  step: { action: string; to: ExpertRequestRow['status']; respond: 'meet' | 'cancel'; event: RuleEvent; by: ExpertParty },
  reason_code: string | null,
  now: Date,
  case_id: string | null = null,
): Promise<string> {
  saveRequestStatus(tx, request, { status: step.to, reason_code }, now);
  if (isOver(request, now)) await asSystem(tx, 'matcher', tx => emptyDetails(tx, [request.id]));
  await asSystem(tx, 'router', async tx => {
    for (const timer of await lockOpenTimers(tx, { expert_request_id: request.id })) {
      if (step.respond === 'meet') setMet(tx, timer, now);
      else setCancelled(tx, timer);
    }
  });
  return record(services, tx, actor, {
    action: step.action,
    resource_type: 'expert_request',
    code: reason_code,
    subjects: subjectsOf(request, case_id),
    events: step.event ? [requestNotice(step.event, request, step.by)] : [],
  });
}

type RuleEvent = Parameters<typeof requestNotice>[0] | null;

/** What the trail says of it; also under its case, where the actor is the one that knows of that. */
export const subjectsOf = ({ id, expert_id }: Pick<ExpertRequestRow, 'id' | 'expert_id'>, case_id: string | null) => [
  { subject_id: id, expert_id },
  ...(case_id === null ? [] : [{ subject_id: case_id, resource_id: id }]),
];

/** What the service does by itself; nothing where the request is over already. Runs as the matcher. */
export async function stepAside(
  services: Services,
  tx: Tx,
  request: ExpertRequestRow,
  step: Extract<ExpertStep, 'expire' | 'fall_away'>,
  now: Date,
): Promise<void> {
  const rule = stepByItself(step, request.status);
  if (!rule) return;
  const [action, by, reason] =
    step === 'expire'
      ? (['expert_request.expire', 'clock', null] as const)
      : (['expert_request.cancel', 'service', 'no_longer_available'] as const);
  await carryOut(services, tx, MATCHER, request, { ...rule, action, by }, reason, now);
}

/**
 * Whether the expert must not meet those concerned, as both are known now: the person of the case may have got another name since.
 * Also where it cannot be compared any more, for the case is forgotten. Runs as the matcher.
 */
export async function mustNotMeet(services: Services, tx: Tx, expert: ExpertRow, request: ExpertRequestRow): Promise<boolean> {
  const kept = (await findDetails(tx, request.id))!;
  const details = await openDetails(services, tx, kept);
  if (!details) return true;
  const person = kept.case_id === null ? [] : await personOf(services, tx, kept.case_id);
  const against = hashesIn([...details.against, ...person]);
  const agency_ids = await sidesOf(tx, request.requester_agency_id, kept.case_id);
  return isConflicted({ ...expert, ties: hashesIn(openTies(services.vault, expert)) }, { agency_ids, against });
}

/**
 * Ends whatever is asked of an expert and not over, for the ties have changed: whoever asked looks anew. All of it, whoever is tied to
 * whom: who keeps the expert would else learn by trying names which of them a request is about. Runs as the matcher, with the expert
 * locked.
 */
export async function endAsked(services: Services, tx: Tx, expert_id: string, now: Date): Promise<void> {
  for (const request of await lockOpenRequests(tx, expert_id))
    if (!isOver(request, now)) await stepAside(services, tx, request, 'fall_away', now);
}
