import { act } from '../audit/act.ts';
import { record } from '../audit/record.ts';
import { type AgencyActor, authorise, expectVersion } from '../core/access.ts';
import { Problem, raise } from '../core/problem.ts';
import { type Tx, transact } from '../platform/database.ts';
import type { Services } from '../services.ts';
import { requireAssigned } from './assignments.ts';
import type { AssigneesView } from './schema.ts';
import { findAssignees, findCase, listActiveStaff, lockVisibleCase, saveAssignees } from './store.ts';
import { caseRelations } from './view.ts';

/**
 * The caller's agency, which owns the case or holds it by an accepted offer, says which of its own caseworkers it is assigned
 * to; an empty list takes that back. The list is one thing that always exists, empty and of version 0 until it is first set.
 * @throws Problem `not_found`, `forbidden`, `access_reason_required`, `unprocessable` for a code of nobody who is active there,
 *   `precondition_required`, `precondition_failed`
 */
export const assignCase = (services: Services, actor: AgencyActor, case_id: string, body: { staff_codes: string[] }) =>
  act(
    services,
    actor,
    'case.assign',
    (tx, id) => viewAssignees(services, tx, actor, id),
    async (tx, now) => {
      await lockVisibleCase(tx, case_id, 'update');
      await authoriseOn(services, tx, actor, case_id, 'case.assign');
      const active = await listActiveStaff(tx, actor.agency_id, body.staff_codes);
      const errors = body.staff_codes.flatMap((code, index) =>
        active.includes(code) ? [] : [{ pointer: `/staff_codes/${index}`, detail: 'is nobody who is active at the agency' }],
      );
      if (errors.length > 0) throw new Problem('unprocessable', { errors });
      const version = (await findAssignees(tx, { case_id }, actor.agency_id))?.version ?? 0;
      expectVersion(actor, version, { required: true });

      saveAssignees(tx, {
        case_id,
        agency_id: actor.agency_id,
        staff_codes: body.staff_codes,
        version: version + 1,
        updated_at: now,
      });
      const receipt = await record(services, tx, actor, {
        action: 'case.assign',
        resource_type: 'case',
        subjects: [{ subject_id: case_id, staff_codes: body.staff_codes }],
      });
      return { id: case_id, receipt };
    },
  );

/** Whom the caller's own agency assigned to the case. @throws Problem `not_found`, `forbidden`, `access_reason_required` */
export const readAssignees = (services: Services, actor: AgencyActor, case_id: string) =>
  transact(services, actor, async tx => {
    await lockVisibleCase(tx, case_id, 'share');
    const view = await viewAssignees(services, tx, actor, case_id);
    const receipt = await record(services, tx, actor, {
      action: 'case.assignees',
      outcome: 'read',
      resource_type: 'case',
      subjects: [{ subject_id: case_id }],
    });
    return { view, receipt };
  });

async function viewAssignees(services: Services, tx: Tx, actor: AgencyActor, case_id: string): Promise<AssigneesView> {
  await authoriseOn(services, tx, actor, case_id, 'case.assignees');
  const { agency_id } = actor;
  const list = await findAssignees(tx, { case_id }, agency_id);
  return {
    case_id,
    agency_id,
    staff_codes: list?.staff_codes ?? [],
    version: list?.version ?? 0,
    updated_at: list?.updated_at.toISOString() ?? null,
  };
}

async function authoriseOn(
  services: Services,
  tx: Tx,
  actor: AgencyActor,
  case_id: string,
  action: 'case.assign' | 'case.assignees',
): Promise<void> {
  const found = (await findCase(tx, case_id)) ?? raise('not_found');
  authorise(actor, action, await caseRelations(tx, actor, found));
  await requireAssigned(services, tx, actor, case_id);
}
