import { act } from '../../audit/act.ts';
import { record } from '../../audit/record.ts';
import { type AgencyActor, authorise, expectVersion } from '../../core/access.ts';
import { Problem, raise } from '../../core/problem.ts';
import { type Tx, transact } from '../../platform/database.ts';
import type { Page } from '../../platform/http/paging.ts';
import { newId } from '../../platform/ids.ts';
import { requestRouting } from '../../referrals/store.ts';
import type { Services } from '../../services.ts';
import { requireAssigned } from '../assignments.ts';
import { lockOwnCase } from '../commands.ts';
import { findCase, lockVisibleCase } from '../store.ts';
import { caseRelations, isKnown, requireKnown } from '../view.ts';
import type { SeparationBody, SeparationView } from './schema.ts';
import { deleteSeparation, findSeparation, listSeparations, type SeparationRow, saveSeparation } from './store.ts';

/**
 * Who must not meet: no agency is asked for the one where the other is, and none takes both. It holds for both, whoever owns the
 * other case, and is known to the owner from whose side it was said.
 */

/** @throws Problem `not_found`, `forbidden`, `unprocessable` for a case that the caller does not know, `precondition_failed` */
export const separateCase = (services: Services, actor: AgencyActor, case_id: string, body: SeparationBody) =>
  act(services, actor, 'case.separate', viewOf(services, actor, case_id), async (tx, now) => {
    const found = await lockOwnCase(services, tx, actor, case_id, 'case.separate');
    const until = body.until === undefined ? null : new Date(body.until);
    await requireKnown(tx, actor, case_id, [body.case_id], '/case_id');
    if (until && until <= now) throw fault('/until', 'lies in the past');
    expectVersion(actor, found.version);

    const row = { id: newId('sep'), case_id, from_case_id: body.case_id, until, created_at: now };
    const id = await saveSeparation(tx, row);
    const receipt = await record(services, tx, actor, {
      action: 'case.separate',
      resource_type: 'case',
      subjects: [{ subject_id: case_id, resource_id: id }],
    });
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
      const row = (await findSeparation(tx, id)) ?? raise('not_found');
      const pair = [row.case_id, row.from_case_id];
      if (!pair.includes(case_id) || !(await isOwn(tx, actor, row))) throw new Problem('not_found');
      expectVersion(actor, found.version);

      if (!(await deleteSeparation(tx, id))) throw new Problem('not_found');
      for (const of_pair of pair) requestRouting(tx, { case_id: of_pair });
      const receipt = await record(services, tx, actor, {
        action: 'case.lift_separation',
        resource_type: 'case',
        subjects: [{ subject_id: case_id, resource_id: id }],
      });
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
      if (await isOwn(tx, actor, row)) data.push(await separationView(tx, actor, case_id, row));
    const receipt = await record(services, tx, actor, {
      action: 'case.separations',
      outcome: 'read',
      resource_type: 'case',
      subjects: [{ subject_id: case_id }],
    });
    return { view: { data, next_cursor: null }, receipt };
  });

/** Whether it was said from the side of a case that the caller owns. */
const isOwn = async (tx: Tx, actor: AgencyActor, { case_id }: SeparationRow): Promise<boolean> =>
  (await findCase(tx, case_id))?.owner_agency_id === actor.agency_id;

const viewOf = (services: Services, actor: AgencyActor, case_id: string) => async (tx: Tx, id: string) => {
  const row = (await findSeparation(tx, id)) ?? raise('not_found');
  await requireAssigned(services, tx, actor, case_id);
  return separationView(tx, actor, case_id, row);
};

async function separationView(
  tx: Tx,
  actor: AgencyActor,
  case_id: string,
  { id, case_id: said_of, from_case_id, until, created_at }: SeparationRow,
): Promise<SeparationView> {
  const other = said_of === case_id ? from_case_id : said_of;
  return {
    id,
    ...((await isKnown(tx, actor, other)) ? { case_id: other } : {}),
    until: until?.toISOString() ?? null,
    created_at: created_at.toISOString(),
  };
}

const fault = (pointer: string, detail: string) => new Problem('unprocessable', { errors: [{ pointer, detail }] });
