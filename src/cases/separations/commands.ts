import { act } from '../../audit/act.ts';
import { type Notice, record } from '../../audit/record.ts';
import { type AgencyActor, authorise, expectVersion } from '../../core/access.ts';
import type { SeparationState } from '../../core/codes.ts';
import { separationState } from '../../core/companions.ts';
import { Problem, raise } from '../../core/problem.ts';
import { asSystem, type Tx, transact } from '../../platform/database.ts';
import type { Page } from '../../platform/http/paging.ts';
import { newId } from '../../platform/ids.ts';
import { requestRouting } from '../../referrals/store.ts';
import type { Services } from '../../services.ts';
import { requireAssigned } from '../assignments.ts';
import { lockOwnCase } from '../commands.ts';
import { findCase, lockVisibleCase } from '../store.ts';
import { caseRelations, findKnown } from '../view.ts';
import type { SeparationBody, SeparationView } from './schema.ts';
import {
  deleteSeparation,
  findSeparation,
  type KnownSeparation,
  listSeparations,
  type SeparationRow,
  saveAgreement,
  saveSeparation,
} from './store.ts';

/**
 * Who must not meet: no agency is asked for the one where the other is, and none takes both. It holds for both, so nobody says it of
 * another owner's person alone: whoever could would learn by trying where that person is, or bar that person from every shelter. Until
 * the other owner, or its coordinator, agrees it is proposed, and keeps nobody apart. Each owner and each coordinator may lift it.
 */

type Pair = Pick<SeparationRow, 'id' | 'case_id' | 'from_case_id'>;

/** @throws Problem `not_found`, `forbidden`, `unprocessable` for a case that the caller does not know, `precondition_failed` */
export const separateCase = (services: Services, actor: AgencyActor, case_id: string, body: SeparationBody) =>
  act(services, actor, 'case.separate', viewOf(services, actor, case_id), async (tx, now) => {
    const found = await lockOwnCase(services, tx, actor, case_id, 'case.separate');
    const until = body.until === undefined ? null : new Date(body.until);
    if (body.case_id === case_id) throw fault('/case_id', 'is the case itself');
    const other = await findKnown(tx, actor, body.case_id);
    if (!other) throw fault('/case_id', 'is not a case that you know');
    if (until && until <= now) throw fault('/until', 'lies in the past');
    expectVersion(actor, found.version);

    const agreed_at = other.owner_agency_id === actor.agency_id ? now : null;
    const row = { id: newId('sep'), case_id, from_case_id: other.id, until, agreed_at, created_at: now };
    const id = await saveSeparation(tx, { ...row, said_by_agency_id: actor.agency_id });
    const receipt = await recordSeparation(services, tx, actor, 'case.separate', { ...row, id }, separationState(row, now));
    return { id, receipt };
  });

/**
 * From now on the two must not meet: whoever owns the case from which somebody shall be kept apart, or coordinates, agrees to it.
 * @throws Problem `not_found`, `forbidden`, `precondition_failed`, `wrong_state` unless it is proposed
 */
export const agreeSeparation = (services: Services, actor: AgencyActor, case_id: string, id: string) =>
  act(services, actor, 'case.agree_separation', viewOf(services, actor, case_id), async (tx, now) => {
    const found = await lockOwnCase(services, tx, actor, case_id, 'case.agree_separation');
    const row = (await findSeparation(tx, case_id, id)) ?? raise('not_found');
    if (row.from_case_id !== case_id) throw new Problem('forbidden', { detail: 'it is for the side of the other case to agree' });
    expectVersion(actor, found.version);
    const state = separationState(row, now);
    if (state !== 'proposed') throw new Problem('wrong_state', { members: { state, allowed_actions: [] } });

    if (!(await saveAgreement(tx, row, now))) throw new Problem('not_found');
    const receipt = await recordSeparation(services, tx, actor, 'case.agree_separation', row, 'in_force');
    return { id, receipt };
  });

/** From now on the two may meet; who waits for a place is looked at again. @throws Problem `not_found`, `forbidden`, `precondition_failed` */
export const liftSeparation = (services: Services, actor: AgencyActor, case_id: string, id: string) =>
  act(
    services,
    actor,
    'case.lift_separation',
    async () => ({}),
    async tx => {
      const found = await lockOwnCase(services, tx, actor, case_id, 'case.lift_separation');
      const row = (await findSeparation(tx, case_id, id)) ?? raise('not_found');
      expectVersion(actor, found.version);

      if (!(await deleteSeparation(tx, id))) throw new Problem('not_found');
      for (const of_pair of [row.case_id, row.from_case_id]) requestRouting(tx, { case_id: of_pair });
      const receipt = await recordSeparation(services, tx, actor, 'case.lift_separation', row, 'ended');
      return { id, receipt };
    },
  );

/** From whom the person is kept apart, newest first; recorded before the answer. @throws Problem `not_found`, `forbidden` */
export const listCaseSeparations = (services: Services, actor: AgencyActor, case_id: string) =>
  transact(services, actor, async (tx): Promise<{ view: Page<SeparationView>; receipt: string }> => {
    const found = await lockVisibleCase(tx, case_id, 'share');
    authorise(actor, 'case.separations', await caseRelations(tx, actor, found));
    await requireAssigned(services, tx, actor, case_id);
    const data: SeparationView[] = [];
    for (const row of await listSeparations(tx, case_id))
      data.push(await separationView(tx, actor, case_id, row, services.now()));
    const receipt = await record(services, tx, actor, {
      action: 'case.separations',
      outcome: 'read',
      resource_type: 'case',
      subjects: [{ subject_id: case_id }],
    });
    return { view: { data, next_cursor: null }, receipt };
  });

/**
 * Both cases have it in their trail, each for those who may know of that case; each owner that did not act itself is told, of its own
 * case alone.
 */
async function recordSeparation(
  services: Services,
  tx: Tx,
  actor: AgencyActor,
  action: string,
  { id, case_id, from_case_id }: Pair,
  state: SeparationState,
): Promise<string> {
  const pair = [case_id, from_case_id];
  const hidden: string[] = [];
  for (const of_pair of pair) if (!(await findKnown(tx, actor, of_pair))) hidden.push(of_pair);
  // As the trail, which finds the key also of the case that the caller may not know of.
  return asSystem(tx, 'trail', async tx => {
    const events: Notice[] = [];
    for (const of_pair of pair) {
      const { owner_agency_id: agency_id } = (await findCase(tx, of_pair))!;
      if (agency_id === actor.agency_id) continue;
      const body = { case_id: of_pair, separation_id: id, state, notify: { roles: ['caseworker'] } };
      // Never urgent: whoever proposes must not be able to call anybody out of bed.
      const about = { type: 'case.separation_changed', subject_id: of_pair, case_id: of_pair, urgent: false } as const;
      events.push({ ...about, recipients: [{ agency_id, body }] });
    }
    return record(services, tx, actor, {
      action,
      resource_type: 'case',
      subjects: pair.map(subject_id => ({ subject_id, resource_id: id })),
      subjects_withheld: hidden,
      events,
    });
  });
}

const viewOf = (services: Services, actor: AgencyActor, case_id: string) => async (tx: Tx, id: string) => {
  const row = (await findSeparation(tx, case_id, id)) ?? raise('not_found');
  await requireAssigned(services, tx, actor, case_id);
  return separationView(tx, actor, case_id, row, services.now());
};

async function separationView(
  tx: Tx,
  actor: AgencyActor,
  case_id: string,
  row: KnownSeparation,
  now: Date,
): Promise<SeparationView> {
  const { id, said_by_agency_id, until, created_at } = row;
  const other = row.case_id === case_id ? row.from_case_id : row.case_id;
  return {
    id,
    ...((await findKnown(tx, actor, other)) ? { case_id: other } : {}),
    ...(said_by_agency_id === null ? {} : { said_by_agency_id }),
    state: separationState(row, now),
    until: until?.toISOString() ?? null,
    created_at: created_at.toISOString(),
  };
}

const fault = (pointer: string, detail: string) => new Problem('unprocessable', { errors: [{ pointer, detail }] });
