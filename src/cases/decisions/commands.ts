import { act } from '../../audit/act.ts';
import { type Notice, record } from '../../audit/record.ts';
import { type AgencyActor, authorise, expectVersion, type Relation } from '../../core/access.ts';
import { requireReached } from '../../core/floor.ts';
import { Problem, raise } from '../../core/problem.ts';
import { type CaseState, type Granted, nextStage, type Ways } from '../../core/stages.ts';
import { getDataKey } from '../../platform/data-keys.ts';
import { asSystem, type Tx, transact } from '../../platform/database.ts';
import { pageById } from '../../platform/http/paging.ts';
import { newId } from '../../platform/ids.ts';
import { seal } from '../../platform/vault.ts';
import { getCurrentRulePack } from '../../rules/store.ts';
import type { Services } from '../../services.ts';
import { requireAssigned } from '../assignments.ts';
import { listFloors, startDecided, startServed } from '../clocks.ts';
import { caseNotices, changeStage, findConcerned, stagesOf, waysOf } from '../stages.ts';
import { type CaseRow, findCase, lockVisibleCase } from '../store.ts';
import { decisionStanding, standingTo } from './access.ts';
import type { DecisionBody, DecisionView, ReconsiderationBody, ReconsiderationView, ServeBody } from './schema.ts';
import {
  type DecisionRow,
  findDecision,
  insertDecision,
  insertReconsideration,
  listDecisions,
  listReconsiderations,
  saveServed,
} from './store.ts';
import { type Reasons, reasonsPlace, requestPlace, requestView, viewDecisions } from './view.ts';

/**
 * What competent authorities find of a person: made while an `identification` offer lives that they accepted, served to the person,
 * asked to be looked at again.
 */

/**
 * The authority says what it found, which moves the case.
 * @throws Problem `not_found`, `forbidden`, `unprocessable`, `precondition_failed` (the case's version), `wrong_state`, and
 *   `too_early` while a floor guards it
 */
export const makeDecision = (services: Services, actor: AgencyActor, case_id: string, body: DecisionBody) =>
  act(services, actor, 'decision.make', viewOf(services, actor), async (tx, now) => {
    const { found, relations, decides, asked_at } = await lockFor(tx, actor, case_id);
    // Whoever decided before and was asked no more is nobody who decides.
    authorise(actor, 'decision.make', decides ? relations : relations.map(it => (it === 'authority' ? 'reader' : it)));
    await requireAssigned(services, tx, actor, case_id);
    const pack = await getCurrentRulePack(services, tx, found.jurisdiction, found.region);
    const ways = waysOf(pack);
    const before = await asSystem(tx, 'router', tx => listDecisions(tx, { case_id }));
    const decided_at = requireSound(body, ways, { asked_at: asked_at!, before, now });
    expectVersion(actor, found.version);

    const step = nextStage(body.kind, await stateOf(tx, found, before), ways, body.outcome);
    // Nor is it dated back into the days of rest.
    if (body.kind === 'conclusive_grounds') requireReached(body.kind, await listFloors(tx, case_id), decided_at);

    const id = newId('dec');
    const { reason_code, note } = body;
    const reasons: Reasons = { reason_code, ...(note === undefined ? {} : { note }) };
    const sealed = seal(await getDataKey(services, tx, case_id), reasonsPlace(id), reasons);
    const { agency_id } = actor;
    const decision = {
      id,
      case_id,
      agency_id,
      jurisdiction: found.jurisdiction,
      kind: body.kind,
      outcome: body.outcome,
      decided_at,
      served_at: null,
      staff_code: actor.caseworker!.staff_code,
      created_at: now,
      updated_at: now,
    };
    await insertDecision(tx, decision, { decision_id: id, case_id, agency_id, sealed });
    const concerned = await findConcerned(tx, found);
    const moved = changeStage(tx, found, step, concerned, now);
    await startDecided(services, tx, { ...found, stage: step.to }, { ...decision, grants: step.grants }, now);
    const receipt = await record(services, tx, actor, {
      action: 'decision.make',
      resource_type: 'decision',
      code: body.kind,
      subjects: [{ subject_id: case_id, resource_id: id, ...stagesOf(step) }],
      events: [...caseNotices('decision.made', found, concerned, { decision_id: id, kind: body.kind }), ...moved],
    });
    return { id, receipt };
  });

/** The days in which the person may ask again must not be over before anybody learns that they began. */
const RECORDED_WITHIN_MS = 7 * 86_400_000;

/**
 * The person was told of a decision, by the authority that made it or by the owner. Of a negative one the days begin in which it
 * may be asked again, and in which no service ends because of it.
 * @throws Problem `not_found`, `forbidden`, `unprocessable`, `precondition_failed`, `wrong_state` where it was served before
 */
export const serveDecision = (services: Services, actor: AgencyActor, id: string, { served_at: told_at }: ServeBody) =>
  act(services, actor, 'decision.serve', viewOf(services, actor), async (tx, now) => {
    const seen = (await findDecision(tx, id)) ?? raise('not_found');
    const standing = await lockFor(tx, actor, seen.case_id);
    const { found } = standing;
    const decision = (await findDecision(tx, id)) ?? raise('not_found');
    authorise(actor, 'decision.serve', knowing(standingTo(standing, actor, decision)));
    await requireAssigned(services, tx, actor, found.id);
    const served_at = told_at === undefined ? now : new Date(told_at);
    if (served_at > now) throw fault('/served_at', 'lies in the future');
    if (served_at < decision.decided_at) throw fault('/served_at', 'lies before the decision was made');
    if (served_at.getTime() < now.getTime() - RECORDED_WITHIN_MS) throw fault('/served_at', 'lies more than a week back');
    expectVersion(actor, decision.version);
    if (decision.served_at !== null) throw new Problem('wrong_state', { members: { state: 'served', allowed_actions: [] } });

    await saveServed(tx, id, served_at, now);
    const due_at = await startServed(services, tx, found, decision, served_at, now);
    const receipt = await record(services, tx, actor, {
      action: 'decision.serve',
      resource_type: 'decision',
      code: decision.kind,
      subjects: [{ subject_id: found.id, resource_id: id }],
      events: await servedNotices(tx, found, decision, due_at),
    });
    return { id, receipt };
  });

const servedNotices = async (
  tx: Tx,
  found: CaseRow,
  { id, kind, agency_id }: DecisionRow,
  due_at: Date | null,
): Promise<Notice[]> =>
  caseNotices(
    'decision.served',
    found,
    await findConcerned(tx, found),
    { decision_id: id, kind, ...(due_at ? { due_at: due_at.toISOString() } : {}) },
    agency_id,
  );

/**
 * Owner, or a holder that supports the person, asks for a negative decision to be looked at again: from then on one of the kind
 * `reconsideration` may be made, although the days in which it may be asked for are over by then.
 * @throws Problem `not_found`, `forbidden`, `precondition_failed` (the case's version), `wrong_state` unless a negative decision was
 *   served and those days are not over, `already_exists`
 */
export const requestReconsideration = (
  services: Services,
  actor: AgencyActor,
  case_id: string,
  { reason }: ReconsiderationBody,
) =>
  act(services, actor, 'decision.request_reconsideration', viewRequestOf(services, actor), async (tx, now) => {
    const { found, relations } = await lockFor(tx, actor, case_id);
    authorise(actor, 'decision.request_reconsideration', relations);
    await requireAssigned(services, tx, actor, case_id);
    expectVersion(actor, found.version);
    const [decisions, floors] = await Promise.all([
      asSystem(tx, 'router', tx => listDecisions(tx, { case_id })),
      listFloors(tx, case_id),
    ]);
    const [latest] = decisions;
    const window = floors.find(({ name }) => name === WINDOW);
    const is_open = found.stage === 'not_identified' && latest?.served_at && (!window || window.due_at > now);
    if (!is_open) throw new Problem('wrong_state', { members: { state: found.stage, allowed_actions: [] } });
    const { reconsiders } = await stateOf(tx, found, decisions);
    if (reconsiders !== null) throw new Problem('already_exists', { detail: 'it was asked for since that decision' });

    const by_owner = relations.includes('owner');
    await insertReconsideration(tx, {
      decision_id: latest.id,
      case_id,
      agency_id: actor.agency_id,
      by_owner,
      staff_code: actor.caseworker!.staff_code,
      sealed: seal(await getDataKey(services, tx, case_id), requestPlace(latest.id), reason),
      requested_at: now,
    });
    const receipt = await record(services, tx, actor, {
      action: 'decision.request_reconsideration',
      resource_type: 'decision',
      subjects: [{ subject_id: case_id, resource_id: latest.id }],
      events: await requestNotices(tx, found, latest.id),
    });
    return { id: latest.id, receipt };
  });

const WINDOW = 'reconsideration_window';

/**
 * Those who decide have more to read of the case than before, and so has its owner, who has to ask an authority where none is asked
 * now.
 */
async function requestNotices(tx: Tx, found: CaseRow, decision_id: string): Promise<Notice[]> {
  const { authorities } = await findConcerned(tx, found);
  const { id: case_id, owner_agency_id } = found;
  const said = { decision_id, notify: { roles: ['caseworker'] } };
  const deciding = authorities.filter(({ agency_id }) => agency_id !== owner_agency_id);
  return [
    {
      type: 'disclosure.updated',
      subject_id: case_id,
      case_id,
      urgent: found.risk === 'immediate',
      recipients: [
        { agency_id: owner_agency_id, body: { case_id, ...said } },
        ...deciding.map(({ agency_id, referral_id, offer_id }) => ({
          agency_id,
          referral_id,
          body: { referral_id, offer_id, agency_id, ...said },
        })),
      ],
    },
  ];
}

/** The decisions of a case that the caller may know of, newest first; recorded before the answer. @throws Problem `not_found`, `forbidden` */
export const listCaseDecisions = (
  services: Services,
  actor: AgencyActor,
  case_id: string,
  query: { limit?: number; cursor?: string },
) =>
  transact(services, actor, async tx => {
    const found = await lockVisibleCase(tx, case_id, 'share');
    const { relations, decides } = await decisionStanding(tx, actor, found);
    authorise(actor, 'decision.list', relations);
    await requireAssigned(services, tx, actor, case_id);
    const all = decides || relations.includes('owner') || relations.includes('coordinator');
    const whose = { case_id, ...(all ? {} : { agency_id: actor.agency_id }) };
    const view = await pageById(
      query,
      (before_id, limit) => listDecisions(tx, whose, before_id, limit),
      rows => viewDecisions(services, tx, actor, found, relations, rows),
    );
    const receipt = await record(services, tx, actor, {
      action: 'decision.list',
      outcome: 'read',
      resource_type: 'decision',
      subjects: [{ subject_id: case_id, resource_ids: view.data.map(({ id }) => id) }],
    });
    return { view, receipt };
  });

async function lockFor(tx: Tx, actor: AgencyActor, case_id: string) {
  const found = await lockVisibleCase(tx, case_id, 'update');
  return { found, ...(await decisionStanding(tx, actor, found)) };
}

/** Whoever merely holds another offer of the case does not learn that there is a decision. */
const knowing = (relations: readonly Relation[]): Relation[] =>
  relations.filter(relation => ['owner', 'authority', 'coordinator'].includes(relation));

const viewOf =
  (services: Services, actor: AgencyActor) =>
  async (tx: Tx, id: string): Promise<DecisionView> => {
    const row = (await findDecision(tx, id)) ?? raise('not_found');
    const found = (await findCase(tx, row.case_id)) ?? raise('not_found');
    const relations = standingTo(await decisionStanding(tx, actor, found), actor, row);
    authorise(actor, 'decision.list', knowing(relations));
    await requireAssigned(services, tx, actor, found.id);
    return (await viewDecisions(services, tx, actor, found, relations, [row]))[0]!;
  };

const viewRequestOf =
  (services: Services, actor: AgencyActor) =>
  async (tx: Tx, id: string): Promise<ReconsiderationView> => {
    const row = (await listReconsiderations(tx, [id]))[0] ?? raise('not_found');
    const found = (await findCase(tx, row.case_id)) ?? raise('not_found');
    const { relations } = await decisionStanding(tx, actor, found);
    authorise(actor, 'decision.request_reconsideration', relations);
    await requireAssigned(services, tx, actor, found.id);
    return { decision_id: id, case_id: row.case_id, ...(await requestView(services, tx, row)) };
  };

/** @param decisions of the case, newest first */
async function stateOf(tx: Tx, found: CaseRow, decisions: readonly DecisionRow[]): Promise<CaseState> {
  const [latest] = decisions;
  const requests = latest ? await asSystem(tx, 'router', tx => listReconsiderations(tx, [latest.id])) : [];
  const overturned = decisions.find(({ kind }) => kind !== 'reconsideration');
  return {
    stage: found.stage,
    stage_before_close: found.stage_before_close,
    reconsiders: requests.length > 0 && overturned ? (overturned.kind as Granted) : null,
  };
}

/**
 * The days of rest are counted from when it was decided: nobody shortens them by naming a day before it was asked.
 * @returns when it was decided
 * @throws Problem `unprocessable`
 */
function requireSound(
  { kind, decided_at: text }: DecisionBody,
  { decision_kinds }: Ways,
  { asked_at, before: [latest], now }: { asked_at: Date; before: readonly DecisionRow[]; now: Date },
): Date {
  if (!decision_kinds.includes(kind)) throw fault('/kind', 'is not decided in this jurisdiction');
  const decided_at = new Date(text);
  if (decided_at > now) throw fault('/decided_at', 'lies in the future');
  if (decided_at < asked_at) throw fault('/decided_at', 'lies before the authority was asked to decide');
  if (latest && decided_at < latest.decided_at) throw fault('/decided_at', 'lies before the decision that was made last');
  return decided_at;
}

const fault = (pointer: string, detail: string) => new Problem('unprocessable', { errors: [{ pointer, detail }] });
