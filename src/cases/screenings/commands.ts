import { act } from '../../audit/act.ts';
import { record } from '../../audit/record.ts';
import { type AgencyActor, authorise, expectVersion } from '../../core/access.ts';
import { Problem, raise } from '../../core/problem.ts';
import type { PackInForce } from '../../core/rule-pack.ts';
import { isCertified } from '../../core/screening.ts';
import { nextStage } from '../../core/stages.ts';
import { dayOf } from '../../core/wall-clock.ts';
import { getDataKey } from '../../platform/data-keys.ts';
import { type Tx, transact } from '../../platform/database.ts';
import { pageById } from '../../platform/http/paging.ts';
import { newId } from '../../platform/ids.ts';
import { open, type Place, seal } from '../../platform/vault.ts';
import { calendarsOf } from '../../rules/calendars/store.ts';
import { getCurrentRulePack } from '../../rules/store.ts';
import type { Services } from '../../services.ts';
import { requireAssigned } from '../assignments.ts';
import { meetScreening } from '../clocks.ts';
import { closed, lockOwnCase } from '../commands.ts';
import { changeStage, findConcerned, stagesOf, waysOf } from '../stages.ts';
import { lockVisibleCase } from '../store.ts';
import { caseRelations } from '../view.ts';
import type { ScreeningBody, ScreeningView } from './schema.ts';
import { findScreening, insertScreening, listCertificates, listScreenings, type ScreeningRow } from './store.ts';

/** What a named screener of the owner found of a person. So far without instruments: somebody listened, and decides. */

type Sealed = Pick<ScreeningBody, 'mode' | 'interview_language' | 'interpreter_used'> & { reason: string | null };

/**
 * Records a screening; one that presumes the person to be a victim moves a case that was only reported.
 * @throws Problem `not_found`, `forbidden` also where the rules ask for a certificate that the screener does not hold,
 *   `unprocessable`, `precondition_failed` (the case's version), `wrong_state` once closed
 */
export const recordScreening = (services: Services, actor: AgencyActor, case_id: string, body: ScreeningBody) =>
  act(services, actor, 'screening.record', viewOf(services, actor), async (tx, now) => {
    const found = await lockOwnCase(services, tx, actor, case_id, 'screening.record');
    const pack = await getCurrentRulePack(services, tx, found.jurisdiction, found.region);
    await requireCertificate(services, tx, actor, pack, now);
    requireNoInstrument(body);
    expectVersion(actor, found.version);
    if (found.stage === 'closed') throw closed();

    const id = newId('scr');
    const { mode, interview_language, interpreter_used, decision } = body;
    const sealed: Sealed = { mode, interview_language, interpreter_used, reason: decision.reason ?? null };
    await insertScreening(tx, {
      id,
      case_id,
      agency_id: actor.agency_id,
      staff_code: actor.caseworker!.staff_code,
      presumed: decision.presumed,
      sealed: seal(await getDataKey(services, tx, case_id), place(id), sealed),
      created_at: now,
    });
    const state = { stage: found.stage, stage_before_close: null, reconsiders: null };
    // Whoever stands farther already is not moved by what was found before.
    const step = decision.presumed && found.stage === 'reported' ? nextStage('presume', state, waysOf(pack)) : undefined;
    const moved = step ? changeStage(tx, found, step, await findConcerned(tx, found), now) : [];
    await meetScreening(tx, case_id, now);
    const receipt = await record(services, tx, actor, {
      action: 'screening.record',
      resource_type: 'screening',
      subjects: [{ subject_id: case_id, resource_id: id, ...(step ? stagesOf(step) : {}) }],
      events: moved,
    });
    return { id, receipt };
  });

/** The screenings of the owner's case, newest first; recorded before the answer. @throws Problem `not_found`, `forbidden` */
export const listCaseScreenings = (
  services: Services,
  actor: AgencyActor,
  case_id: string,
  query: { limit?: number; cursor?: string },
) =>
  transact(services, actor, async tx => {
    const found = await lockVisibleCase(tx, case_id, 'share');
    authorise(actor, 'screening.list', await caseRelations(tx, actor, found));
    await requireAssigned(services, tx, actor, case_id);
    const view = await pageById(
      query,
      (before_id, limit) => listScreenings(tx, case_id, before_id, limit),
      rows => Promise.all(rows.map(row => screeningView(services, tx, actor, row))),
    );
    const receipt = await record(services, tx, actor, {
      action: 'screening.list',
      outcome: 'read',
      resource_type: 'screening',
      subjects: [{ subject_id: case_id, resource_ids: view.data.map(({ id }) => id) }],
    });
    return { view, receipt };
  });

const viewOf = (services: Services, actor: AgencyActor) => async (tx: Tx, id: string) => {
  const row = (await findScreening(tx, id)) ?? raise('not_found');
  await requireAssigned(services, tx, actor, row.case_id);
  return screeningView(services, tx, actor, row);
};

async function screeningView(services: Services, tx: Tx, actor: AgencyActor, row: ScreeningRow): Promise<ScreeningView> {
  const { reason, ...circumstances } = open<Sealed>(await getDataKey(services, tx, row.case_id), place(row.id), row.sealed);
  return {
    id: row.id,
    case_id: row.case_id,
    ...circumstances,
    decision: { presumed: row.presumed, reason },
    agency_id: row.agency_id,
    ...(row.agency_id === actor.agency_id ? { staff_code: row.staff_code } : {}),
    instrument: null,
    dimensions: null,
    indication: null,
    explanation: null,
    created_at: row.created_at.toISOString(),
  };
}

const place = (id: string): Place => ({ table: 'screenings', row: id, category: 'narrative', version: 1 });

/** @throws Problem `forbidden` */
async function requireCertificate(
  services: Services,
  tx: Tx,
  actor: AgencyActor,
  { certifications, calendar_id }: PackInForce,
  now: Date,
): Promise<void> {
  const courses = certifications.filter(({ role }) => role === 'screener').map(({ course }) => course);
  if (courses.length === 0) return;
  const held = await listCertificates(tx, actor.caseworker!.id);
  const { compiled } = await calendarsOf(services).get(tx, calendar_id);
  if (isCertified(held, courses, dayOf(now, compiled.time_zone).toString())) return;
  throw new Problem('forbidden', { detail: 'screening asks here for a certificate that stands' });
}

/** @throws Problem `unprocessable` */
function requireNoInstrument({ instrument, version, answers }: ScreeningBody): void {
  const errors = [
    ...(instrument === undefined ? [] : [{ pointer: '/instrument', detail: 'is not known' }]),
    ...(version === undefined || instrument !== undefined ? [] : [{ pointer: '/version', detail: 'belongs to an instrument' }]),
    ...(answers === undefined || instrument !== undefined ? [] : [{ pointer: '/answers', detail: 'belong to an instrument' }]),
  ];
  if (errors.length > 0) throw new Problem('unprocessable', { errors });
}
