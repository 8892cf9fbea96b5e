import { act } from '../audit/act.ts';
import { record } from '../audit/record.ts';
import { type AgencyActor, authorise, expectVersion, type Relation } from '../core/access.ts';
import {
  type CaseData,
  type CaseDocument,
  changedCategories,
  mergePatch,
  type RoutingProfile,
  routingProfile,
  toCategories,
  toDocument,
  touchesSafety,
} from '../core/case.ts';
import { CATEGORIES, type Category } from '../core/codes.ts';
import { guardedClose } from '../core/floor.ts';
import { Problem } from '../core/problem.ts';
import { type CaseState, nextStage } from '../core/stages.ts';
import { insertDataKey } from '../platform/data-keys.ts';
import { asSystem, type Tx } from '../platform/database.ts';
import { newId, newReference } from '../platform/ids.ts';
import { tellHolders, withheldNow } from '../referrals/coverage.ts';
import { endFollowUps, startFollowUps } from '../referrals/follow-up.ts';
import { requestRouting, saveRegionOfOpen } from '../referrals/store.ts';
import { getCurrentRulePack } from '../rules/store.ts';
import type { Services } from '../services.ts';
import { requireAssigned } from './assignments.ts';
import { endAtClose, requireServed, startAtOpening, startAtReopening } from './clocks.ts';
import { hasFamily, listMembers } from './groups/store.ts';
import type { CaseBody, CasePatch, MemberBody } from './schema.ts';
import { waysOf } from './stages.ts';
import {
  type CaseRow,
  findProfile,
  findSealed,
  insertCase,
  insertReopening,
  lockVisibleCase,
  saveCase,
  saveCaseData,
  saveStage,
} from './store.ts';
import { caseRelations, viewCase } from './view.ts';

/**
 * A first responder opens a case: one person's way through the mechanism, owned by the agency that opens it.
 * @throws Problem `agency_suspended`, `forbidden`, `unprocessable` for a jurisdiction in which the agency does not work, or a group
 *   of which it owns no member
 */
export const openCase = (services: Services, actor: AgencyActor, body: CaseBody) =>
  act(services, actor, 'case.open', viewOf(services, actor), async (tx, now) => {
    requireOpener(actor);
    requireOpenable(actor, body);
    requireFamilyInGroup(body);
    await requireGroup(tx, actor, body);
    return writeCase(services, tx, actor, body, now);
  });

/** @throws Problem `agency_suspended`, `forbidden` */
export function requireOpener(actor: AgencyActor): void {
  if (actor.suspended) throw new Problem('agency_suspended');
  authorise(actor, 'case.open', ['self']);
  if (!actor.first_responder) throw new Problem('forbidden', { detail: 'only a first responder opens cases' });
}

/** Holds a case to what is known beside its shape. @throws Problem `unprocessable` */
export function requireOpenable(actor: AgencyActor, body: MemberBody): void {
  if (!actor.jurisdictions.includes(body.jurisdiction)) throw outsideJurisdiction('/jurisdiction');
  requireRegionOf(body.jurisdiction, body.region);
  requireNameless(body.track, body as CaseDocument);
}

/** Writes a case that may be opened, with a data key of its own, its clocks and its entry. */
export async function writeCase(
  services: Services,
  tx: Tx,
  actor: AgencyActor,
  body: CaseBody,
  now: Date,
): Promise<{ id: string; receipt: string }> {
  const id = newId('cas');
  const { track, jurisdiction, region, risk, group_id, family, ...document } = body as CaseBody & CaseDocument;
  const facts = { id, owner_agency_id: actor.agency_id, jurisdiction, region: region ?? null, stage: 'reported' as const };
  const { crisis } = await getCurrentRulePack(services, tx, jurisdiction, facts.region);
  insertCase(tx, {
    ...facts,
    reference: newReference(),
    crisis_mode_id: crisis?.id ?? null,
    track,
    risk,
    group_id: group_id ?? null,
    family: family ?? null,
    opened_at: now,
    updated_at: now,
  });
  insertDataKey(services, tx, id);
  await saveCaseData(services, tx, id, 1, { ...toCategories(document), profile: routingProfile(document, now) }, now);
  await startAtOpening(services, tx, facts, now);
  const receipt = await record(services, tx, actor, {
    action: 'case.open',
    resource_type: 'case',
    subjects: [{ subject_id: id, changed: Object.keys(toCategories(document)) }],
    events: [ownerNotice('case.opened', id, actor.agency_id, risk)],
  });
  return { id, receipt };
}

/**
 * The owner corrects or completes a case (RFC 7396). What is replaced is kept, sealed; whoever holds a changed category is told
 * that it changed, and everybody who holds the case when it concerns the person's safety.
 * @throws Problem `not_found`, `forbidden`, `unprocessable`, `precondition_required`, `precondition_failed`, and `wrong_state` once
 *   closed, but for what keeps the person safe
 */
export const amendCase = (services: Services, actor: AgencyActor, id: string, patch: CasePatch) =>
  act(services, actor, 'case.amend', viewOf(services, actor), async (tx, now) => {
    const found = await lockOwnCase(services, tx, actor, id, 'case.amend');
    requireRegionOf(found.jurisdiction, patch.region ?? undefined);
    const { track, region, risk, group_id, family: _family, ...content } = patch;
    const grouping = regrouped(found, patch);
    await requireGroup(tx, actor, { ...grouping, group_id: group_id === undefined ? found.group_id : group_id });
    const kept_back = await withheldNow(tx, found, now);
    const shown = CATEGORIES.filter(category => !kept_back.includes(category));
    const before = (await findSealed(services, tx, { case_id: id }, shown)).open(shown);
    const document = mergePatch(toDocument(before), content) as CaseDocument;
    if (track === 'anonymous' && found.track === 'named') throw fault('/track', 'what was named stays named');
    requireNameless(track ?? found.track, document);
    const after = toCategories(document);
    const changed = changedCategories(before, after);
    for (const category of kept_back) if (changed.includes(category)) throw withheld(category);
    expectVersion(actor, found.version, { required: true });
    if (found.stage === 'closed' && !isSafetyOnly(patch)) throw closed();

    const earlier = (await findProfile(services, tx, { case_id: id }))();
    const profile = routingProfile(document, now, earlier);
    const routed = earlier ? { ...profile, ...keptBackOf(earlier, kept_back) } : profile;
    const columns = withoutUndefined({ track, risk, region, ...grouping });

    saveCase(tx, id, columns, now);
    await saveCaseData(services, tx, id, found.version + 1, { ...pick(after, changed), profile: routed }, now);
    if (columns.region !== undefined) saveRegionOfOpen(tx, id, columns.region);
    requestRouting(tx, { case_id: id });
    const risk_changed = risk !== undefined && risk !== found.risk;
    const receipt = await record(services, tx, actor, {
      action: 'case.amend',
      resource_type: 'case',
      subjects: [{ subject_id: id, changed: [...Object.keys(columns), ...changed] }],
      events: await tellHolders(services, tx, found, changed, touchesSafety(before, after, risk_changed), now),
    });
    return { id, receipt };
  });

/**
 * The owner's supervisor ends the case, with a coded reason. Referrals that are under way go on; what was completed is no
 * longer followed up.
 * @throws Problem `not_found`, `forbidden`, `precondition_failed`, `wrong_state`, and `too_early` for a close because of a negative
 *   decision while that may be asked again
 */
export const closeCase = (services: Services, actor: AgencyActor, id: string, body: { reason_code: string }) =>
  act(services, actor, 'case.close', viewOf(services, actor), async (tx, now) => {
    const found = await lockOwnCase(services, tx, actor, id, 'case.close');
    expectVersion(actor, found.version);
    const { from, to } = nextStage('close', stateOf(found), waysOf(await getCurrentRulePack(services, tx, found.jurisdiction)));
    await requireServed(tx, id, guardedClose(body.reason_code), now);

    saveStage(tx, id, { stage: to, stage_before_close: from, close_reason: body.reason_code, closed_at: now }, now);
    await endFollowUps(tx, id, now);
    await endAtClose(tx, id);
    const receipt = await record(services, tx, actor, {
      action: 'case.close',
      resource_type: 'case',
      code: body.reason_code,
      subjects: [{ subject_id: id }],
      events: [ownerNotice('case.closed', id, actor.agency_id, found.risk)],
    });
    return { id, receipt };
  });

/**
 * The owner's supervisor takes the end back: the case stands where it stood before, and what was completed is followed up again.
 * Why is kept in words, sealed, for the owner.
 * @throws Problem `not_found`, `forbidden`, `precondition_failed`, `wrong_state`
 */
export const reopenCase = (services: Services, actor: AgencyActor, id: string, body: { reason: string }) =>
  act(services, actor, 'case.reopen', viewOf(services, actor), async (tx, now) => {
    const found = await lockOwnCase(services, tx, actor, id, 'case.reopen');
    expectVersion(actor, found.version);
    const { to } = nextStage('reopen', stateOf(found), waysOf(await getCurrentRulePack(services, tx, found.jurisdiction)));

    saveStage(tx, id, { stage: to, stage_before_close: null, close_reason: null, closed_at: null }, now);
    await insertReopening(services, tx, { case_id: id, version: found.version + 1, reason: body.reason, reopened_at: now });
    await startFollowUps(services, tx, id, now);
    requestRouting(tx, { case_id: id });
    await startAtReopening(services, tx, { ...found, stage: to }, now);
    const receipt = await record(services, tx, actor, {
      action: 'case.reopen',
      resource_type: 'case',
      subjects: [{ subject_id: id }],
      events: [ownerNotice('case.reopened', id, actor.agency_id, found.risk)],
    });
    return { id, receipt };
  });

const stateOf = ({ stage, stage_before_close }: CaseRow): CaseState => ({ stage, stage_before_close, reconsiders: null });

type Grouping = Pick<CasePatch, 'group_id' | 'family'>;

/** Whoever goes to another group, or to none, leaves the family behind unless a new one is named. @throws Problem `unprocessable` */
function regrouped(found: CaseRow, { group_id, family }: CasePatch): Grouping {
  requireFamilyInGroup({ group_id: group_id === undefined ? found.group_id : group_id, family });
  const leaves = group_id !== undefined && group_id !== found.group_id;
  return { group_id, family: leaves ? (family ?? null) : family };
}

/**
 * Who joins a group, or a family of it, changes where the others may be: only whoever owns one of them adds to them, also if it was
 * that agency that opened the group.
 * @throws Problem `unprocessable`
 */
async function requireGroup(tx: Tx, actor: AgencyActor, { group_id, family }: Grouping): Promise<void> {
  if (!group_id) return;
  const own = await listMembers(tx, group_id, actor.agency_id);
  if (own.length === 0) throw fault('/group_id', 'is not a group of which you own a member');
  if (typeof family !== 'number' || own.some(member => member.family === family)) return;
  if (await asSystem(tx, 'router', tx => hasFamily(tx, group_id, family)))
    throw fault('/family', 'is one of which you own nobody: use another number for another family');
}

function requireFamilyInGroup({ group_id, family }: Grouping): void {
  if (typeof family === 'number' && !group_id) throw fault('/family', 'is one of a group, and none is named');
}

/** What an owner amends without seeing all of it leaves what routing knows of the rest as it was. */
function keptBackOf(earlier: RoutingProfile, kept_back: readonly Category[]): Partial<RoutingProfile> {
  const { sex, languages, estimated_age, date_of_birth, needs, danger_flags, dependants, protection_status } = earlier;
  const { complainant, suspected } = earlier;
  return {
    ...(kept_back.includes('identity') ? { date_of_birth } : {}),
    ...(kept_back.includes('demographics') ? { sex, languages, estimated_age } : {}),
    ...(kept_back.includes('health') ? { needs, danger_flags } : {}),
    ...(kept_back.includes('family') ? { dependants } : {}),
    ...(kept_back.includes('protection_status') ? { protection_status } : {}),
    ...(kept_back.includes('source') ? { complainant, suspected } : {}),
  };
}

/** What stays with the agency that took the report is not the new owner's to write either. */
const withheld = (category: Category) =>
  fault(
    POINTERS[category],
    'no consent lets this owner know it: it did not open the case, and what it would replace stays unseen',
  );

const POINTERS: Readonly<Record<Category, string>> = {
  identity: '/person',
  contact: '/person/safe_contact',
  demographics: '/person',
  narrative: '/intake/narrative',
  health: '/danger_flags',
  protection_status: '/person/protection_status',
  labour: '/exploitation',
  family: '/dependants',
  criminal_justice: '',
  source: '/intake',
};

/** Locks a case for an act of its owner, or of whoever else may do that to it. */
export async function lockOwnCase(
  services: Services,
  tx: Tx,
  actor: AgencyActor,
  id: string,
  action: Parameters<typeof authorise>[1],
): Promise<CaseRow> {
  const found = await lockVisibleCase(tx, id, 'update');
  const relations: Relation[] = await caseRelations(tx, actor, found);
  authorise(actor, action, relations);
  await requireAssigned(services, tx, actor, id);
  return found;
}

const viewOf = (services: Services, actor: AgencyActor) => (tx: Tx, id: string) => viewCase(services, tx, actor, id);

export const closed = () =>
  new Problem('wrong_state', { detail: 'the case is closed', members: { state: 'closed', allowed_actions: [] } });

/** What the owner itself is told of its case. */
export const ownerNotice = (
  type:
    | 'case.opened'
    | 'case.closed'
    | 'case.reopened'
    | 'consent.granted'
    | 'consent.withdrawn'
    | 'consent.expiring'
    | 'consent.expired',
  case_id: string,
  agency_id: string,
  risk: string,
  detail: Record<string, string> = {},
) => ({
  type,
  subject_id: case_id,
  case_id,
  urgent: risk === 'immediate',
  recipients: [{ agency_id, body: { case_id, ...detail } }],
});

/** How to reach the person safely changes after the case is closed, too, and whoever still holds it has to learn it. */
const isSafetyOnly = ({ risk: _risk, danger_flags: _flags, person, ...rest }: CasePatch): boolean =>
  Object.keys(rest).length === 0 && Object.keys((person as object | undefined) ?? {}).every(field => field === 'safe_contact');

/** An anonymous record is a duty to notify: it names nobody. */
function requireNameless(track: string, { person }: CaseDocument): void {
  if (track !== 'anonymous') return;
  for (const field of ['given_name', 'family_name', 'safe_contact'] as const) {
    if (person?.[field] !== undefined) throw fault(`/person/${field}`, 'belongs to a named case');
  }
}

const fault = (pointer: string, detail: string) => new Problem('unprocessable', { errors: [{ pointer, detail }] });

const outsideJurisdiction = (pointer: string) =>
  new Problem('unprocessable', {
    detail: 'the agency does not work in this jurisdiction',
    errors: [{ pointer, detail: 'is not one of the agency' }],
  });

function requireRegionOf(jurisdiction: string, region: string | undefined): void {
  if (region === undefined || region.startsWith(`${jurisdiction}-`) || region === jurisdiction) return;
  throw new Problem('unprocessable', { errors: [{ pointer: '/region', detail: 'is not in the jurisdiction' }] });
}

const pick = (data: CaseData, categories: readonly (keyof CaseData)[]) =>
  Object.fromEntries(categories.map(name => [name, data[name] ?? {}]));

const withoutUndefined = <T extends object>(fields: T) =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
