import { act, type Outcome } from '../../audit/act.ts';
import { type Read, read } from '../../audit/read.ts';
import { type Notice, record } from '../../audit/record.ts';
import { type AgencyActor, authorise, coordinates, expectVersion, type Relation, systemActor } from '../../core/access.ts';
import type { CrisisPhase } from '../../core/codes.ts';
import { overlap, planFor } from '../../core/crisis.ts';
import { Problem, raise } from '../../core/problem.ts';
import { type Tx, transact } from '../../platform/database.ts';
import { decodeCursor, encodeCursor, type Page, pageLimit, toPage } from '../../platform/http/paging.ts';
import { newId } from '../../platform/ids.ts';
import { requestRouting } from '../../referrals/store.ts';
import type { Services } from '../../services.ts';
import { getCurrentRulePack } from '../store.ts';
import type { CrisisModeBody, CrisisModeView } from './schema.ts';
import {
  type CrisisModeRow,
  findCrisisMode,
  insertCrisisMode,
  listAgenciesOf,
  listCrisisModes,
  lockCrisisMode,
  lockExpiredMode,
  lockHeldModes,
  saveCrisisMode,
} from './store.ts';

/**
 * A coordinator says that a crisis holds in a jurisdiction or in some of its regions; what that changes stands in the plans of its rule
 * pack. One holds in a region at a time, and none for longer than thirty days unless somebody renews it. Everybody who works there is
 * told when it begins, enters another phase and ends; whoever waits for a place is looked at again each time.
 */

/** Longer than so many days nothing is taken for granted. */
const LONGEST_MS = 30 * 86_400_000;
const CLOCK = systemActor('clock');

const relationsTo = (actor: AgencyActor, jurisdiction: string): Relation[] =>
  actor.jurisdictions.includes(jurisdiction)
    ? ['reader', ...(coordinates(actor, jurisdiction) ? (['coordinator'] as const) : [])]
    : [];

const viewOf =
  (services: Services, actor: AgencyActor, jurisdiction: string) =>
  async (tx: Tx, id: string): Promise<CrisisModeView> =>
    crisisModeView(services, tx, actor, (await findCrisisMode(tx, jurisdiction, id)) ?? raise('not_found'));

async function crisisModeView(
  services: Services,
  tx: Tx,
  actor: AgencyActor,
  { declared_by_agency_id: _, ended_by_staff_code: __, ended_at, staff_code, ...mode }: CrisisModeRow,
): Promise<CrisisModeView> {
  // One that was not renewed has no effect, whether or not its end was recorded yet.
  const ended = ended_at ?? (mode.expires_at <= services.now() ? mode.expires_at : null);
  const { crisis_plans } = await getCurrentRulePack(services, tx, mode.jurisdiction);
  return {
    ...mode,
    status: ended ? 'ended' : 'in_force',
    procedures: ended ? [] : [...(planFor(crisis_plans, mode)?.remote_procedures ?? [])],
    started_at: mode.started_at.toISOString(),
    expires_at: mode.expires_at.toISOString(),
    ended_at: ended?.toISOString() ?? null,
    updated_at: mode.updated_at.toISOString(),
    ...(coordinates(actor, mode.jurisdiction) ? { staff_code } : {}),
  };
}

/**
 * Declares a crisis.
 * @throws Problem `not_found`, `forbidden`, `unprocessable`, `crisis_in_force` where one holds already in one of the regions
 */
export const startCrisisMode = (
  services: Services,
  actor: AgencyActor,
  jurisdiction: string,
  { kind, phase, regions = [], reason, expires_at }: CrisisModeBody,
): Promise<Outcome<CrisisModeView>> =>
  act(services, actor, 'crisis_mode.start', viewOf(services, actor, jurisdiction), async (tx, now) => {
    authorise(actor, 'crisis_mode.declare', relationsTo(actor, jurisdiction));
    const outside = regions.findIndex(region => !region.startsWith(`${jurisdiction.slice(0, 2)}-`));
    if (outside >= 0) throw fault(`/regions/${outside}`, 'is not in the jurisdiction');
    const expires = requireEnd(expires_at, now);
    const held = await lockHeldModes(tx, jurisdiction);
    if (held.some(mode => mode.expires_at > now && overlap(mode.regions, regions))) throw new Problem('crisis_in_force');

    const mode = { id: newId('crm'), jurisdiction, regions, kind, phase, expires_at: expires };
    const by = { declared_by_agency_id: actor.agency_id, staff_code: actor.caseworker!.staff_code };
    await insertCrisisMode(tx, {
      ...mode,
      ...by,
      reason,
      started_at: now,
      ended_at: null,
      ended_by_staff_code: null,
      updated_at: now,
    });
    requestRouting(tx, { jurisdiction });
    const receipt = await record(services, tx, actor, {
      action: 'crisis_mode.start',
      resource_type: 'crisis_mode',
      subjects: [subjectOf(mode)],
      events: [await noticeOf(tx, 'crisis.started', mode)],
    });
    return { id: mode.id, receipt };
  });

/** It lasts longer than it was said: from now at most thirty days. @throws Problem as {@link onHeld} */
export const renewCrisisMode = (
  services: Services,
  actor: AgencyActor,
  jurisdiction: string,
  id: string,
  { expires_at }: { expires_at?: string },
): Promise<Outcome<CrisisModeView>> =>
  onHeld(services, actor, jurisdiction, id, 'crisis_mode.renew', (mode, now) => ({
    change: { expires_at: requireEnd(expires_at, now), renewed: mode.renewed + 1 },
  }));

/** It enters another phase, in which the plan may say otherwise. @throws Problem as {@link onHeld} */
export const changeCrisisPhase = (
  services: Services,
  actor: AgencyActor,
  jurisdiction: string,
  id: string,
  { phase }: { phase: CrisisPhase },
): Promise<Outcome<CrisisModeView>> =>
  onHeld(services, actor, jurisdiction, id, 'crisis_mode.change_phase', () => ({ change: { phase }, told: 'crisis.started' }));

/** It is over. @throws Problem as {@link onHeld} */
export const endCrisisMode = (
  services: Services,
  actor: AgencyActor,
  jurisdiction: string,
  id: string,
): Promise<Outcome<CrisisModeView>> =>
  onHeld(services, actor, jurisdiction, id, 'crisis_mode.end', (_, now) => ({
    change: { ended_at: now, ended_by_staff_code: actor.caseworker!.staff_code },
    told: 'crisis.ended',
  }));

interface Change {
  change: Parameters<typeof saveCrisisMode>[2];
  told?: 'crisis.started' | 'crisis.ended';
}

/** @throws Problem `not_found`, `forbidden`, `unprocessable`, `precondition_failed`, `wrong_state` where it is over */
const onHeld = (
  services: Services,
  actor: AgencyActor,
  jurisdiction: string,
  id: string,
  action: string,
  decide: (mode: CrisisModeRow, now: Date) => Change,
): Promise<Outcome<CrisisModeView>> =>
  act(services, actor, action, viewOf(services, actor, jurisdiction), async (tx, now) => {
    const relations = (await findCrisisMode(tx, jurisdiction, id)) ? relationsTo(actor, jurisdiction) : [];
    authorise(actor, 'crisis_mode.declare', relations);
    // Where it is declared and where it is prolonged nobody else declares one beside it.
    await lockHeldModes(tx, jurisdiction);
    const mode = (await lockCrisisMode(tx, jurisdiction, id)) ?? raise('not_found');
    const { change, told } = decide(mode, now);
    expectVersion(actor, mode.version);
    if (mode.ended_at !== null || mode.expires_at <= now)
      throw new Problem('wrong_state', { detail: 'it is over', members: { state: 'ended', allowed_actions: [] } });

    await saveCrisisMode(tx, id, change, now);
    const after = { ...mode, ...change };
    if (told) requestRouting(tx, { jurisdiction });
    const receipt = await record(services, tx, actor, {
      action,
      resource_type: 'crisis_mode',
      subjects: [subjectOf(after)],
      events: told ? [await noticeOf(tx, told, after)] : [],
    });
    return { id, receipt };
  });

/** @throws Problem `not_found`, `forbidden` */
export const getCrisisMode = (
  services: Services,
  actor: AgencyActor,
  jurisdiction: string,
  id: string,
): Promise<Read<CrisisModeView>> =>
  read(services, actor, 'crisis_mode.read', { subject_id: id }, tx => {
    authorise(actor, 'crisis_mode.read', relationsTo(actor, jurisdiction));
    return viewOf(services, actor, jurisdiction)(tx, id);
  });

/** Those that hold and those that are over, newest first. @throws Problem `not_found` */
export const listCrisisModesOf = (
  services: Services,
  actor: AgencyActor,
  jurisdiction: string,
  query: { limit?: number; cursor?: string },
): Promise<Read<Page<CrisisModeView>>> =>
  read(services, actor, 'crisis_mode.list', { subject_id: jurisdiction }, async tx => {
    authorise(actor, 'crisis_mode.read', relationsTo(actor, jurisdiction));
    const limit = pageLimit(query);
    const [before] = (decodeCursor(query.cursor, 1) ?? []) as [string?];
    const views: CrisisModeView[] = [];
    for (const row of await listCrisisModes(tx, jurisdiction, before, limit + 1))
      views.push(await crisisModeView(services, tx, actor, row));
    return toPage(
      views,
      limit,
      view => encodeCursor(view.id),
      view => view,
    );
  });

/**
 * Ends what nobody renewed, as of when it expired.
 * @returns whether there may be more
 */
export async function expireCrisisModes(services: Services): Promise<boolean> {
  const expired = await transact(services, CLOCK, async tx => {
    const now = services.now();
    const mode = await lockExpiredMode(tx, now);
    if (!mode) return false;
    await saveCrisisMode(tx, mode.id, { ended_at: mode.expires_at }, now);
    requestRouting(tx, { jurisdiction: mode.jurisdiction });
    await record(services, tx, CLOCK, {
      action: 'crisis_mode.expire',
      resource_type: 'crisis_mode',
      subjects: [subjectOf(mode)],
      events: [await noticeOf(tx, 'crisis.ended', mode)],
    });
    return true;
  });
  if (expired) services.wake_up.notify();
  return expired;
}

type Told = Pick<CrisisModeRow, 'id' | 'jurisdiction' | 'regions' | 'kind' | 'phase' | 'expires_at'>;

const subjectOf = ({ id, jurisdiction, regions, kind, phase, expires_at }: Told) => ({
  subject_id: id,
  jurisdiction,
  regions: [...regions],
  kind,
  phase,
  expires_at: expires_at.toISOString(),
});

async function noticeOf(tx: Tx, type: 'crisis.started' | 'crisis.ended', mode: Told): Promise<Notice> {
  const { id, jurisdiction, regions, kind, phase, expires_at } = mode;
  const agencies = await listAgenciesOf(tx, jurisdiction);
  const body = { crisis_mode_id: id, jurisdiction, regions, kind, phase, expires_at: expires_at.toISOString() };
  return {
    type,
    subject_id: id,
    urgent: false,
    recipients: agencies.map(agency_id => ({ agency_id, body: { ...body, notify: { roles: ['supervisor', 'coordinator'] } } })),
  };
}

/** @throws Problem `unprocessable` */
function requireEnd(text: string | undefined, now: Date): Date {
  const latest = new Date(now.getTime() + LONGEST_MS);
  if (text === undefined) return latest;
  const end = new Date(text);
  if (end <= now) throw fault('/expires_at', 'lies in the past');
  if (end > latest) throw fault('/expires_at', 'lies more than 30 days ahead: it can be renewed');
  return end;
}

const fault = (pointer: string, detail: string) => new Problem('unprocessable', { errors: [{ pointer, detail }] });
