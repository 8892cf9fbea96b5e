import { act } from '../../audit/act.ts';
import { record } from '../../audit/record.ts';
import { type AgencyActor, authorise } from '../../core/access.ts';
import { type Fault, Problem, raise } from '../../core/problem.ts';
import { type Tx, transact } from '../../platform/database.ts';
import { faultsIn } from '../../platform/http/openapi.ts';
import { newId } from '../../platform/ids.ts';
import type { Services } from '../../services.ts';
import { requireOpenable, requireOpener, writeCase } from '../commands.ts';
import { MemberBody } from '../schema.ts';
import { groupRelations } from '../view.ts';
import type { GroupBody, GroupView, OpenedGroupView } from './schema.ts';
import { findGroup, getBatch, insertBatch, insertGroup, listMembers } from './store.ts';

/**
 * People who were found together: a group, of which each member is a case of its own with its own key. Who else belongs to it is
 * for owners alone, and each owner sees its own members.
 */

type Opened = { index: number; id: string } | { index: number; errors: Fault[] };

/**
 * Opens many cases in one act. Whoever is faulty is told by pointer and holds up nobody else.
 * @throws Problem `agency_suspended`, `forbidden`, `unprocessable` where families contradict each other, or nobody could be opened
 */
export const openGroup = (services: Services, actor: AgencyActor, body: GroupBody) =>
  act(services, actor, 'group.open', viewOf(services, actor), async (tx, now) => {
    requireOpener(actor);
    const family_of = familiesOf(body);
    const looked = body.cases.map((member, index) => look(actor, body, member, index));
    const errors = looked.flatMap(it => ('errors' in it ? it.errors : []));
    if (looked.every(it => 'errors' in it)) throw new Problem('unprocessable', { errors });

    const group_id = newId('grp');
    insertGroup(tx, { id: group_id, opened_by_agency_id: actor.agency_id, region: body.place?.region ?? null, opened_at: now });
    const items: Opened[] = [];
    for (const it of looked) {
      if ('errors' in it) items.push(it);
      else {
        const { index, member } = it;
        const { id } = await writeCase(services, tx, actor, { ...member, group_id, family: family_of.get(index) }, now);
        items.push({ index, id });
      }
    }
    const id = newId('bat');
    insertBatch(services, tx, { id, group_id, items }, { agency_id: actor.agency_id, created_at: now });
    const receipt = await record(services, tx, actor, {
      action: 'group.open',
      resource_type: 'group',
      subjects: [{ subject_id: group_id }],
    });
    return { id, receipt };
  });

type Looked = { index: number; member: MemberBody } | { index: number; errors: Fault[] };

/** One member as `POST /v1/cases` would look at it. */
function look(actor: AgencyActor, { place }: GroupBody, given: unknown, index: number): Looked {
  const at = (faults: readonly Fault[]) =>
    faults.map(({ pointer, detail }) => ({ pointer: `/cases/${index}${pointer}`, detail }));
  const faults = faultsIn(MemberBody, given);
  if (faults.length > 0) return { index, errors: at(faults) };
  const member = { ...(place?.region ? { region: place.region } : {}), ...(given as MemberBody) };
  try {
    requireOpenable(actor, member);
    return { index, member };
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return { index, errors: at(error.extras.errors ?? [{ pointer: '', detail: error.message }]) };
  }
}

/** The number of the family of each member that has one. @throws Problem `unprocessable` */
function familiesOf({ cases, families = [] }: GroupBody): Map<number, number> {
  const family_of = new Map<number, number>();
  const errors: Fault[] = [];
  for (const [i, family] of families.entries()) {
    for (const [j, index] of family.entries()) {
      const pointer = `/families/${i}/${j}`;
      if (index >= cases.length) errors.push({ pointer, detail: 'is no place in `cases`' });
      else if (family_of.has(index)) errors.push({ pointer, detail: 'is in another family, too' });
      else family_of.set(index, i + 1);
    }
  }
  if (errors.length > 0) throw new Problem('unprocessable', { errors });
  return family_of;
}

const viewOf =
  (services: Services, actor: AgencyActor) =>
  async (tx: Tx, batch_id: string): Promise<OpenedGroupView> => {
    const { group_id, items } = await getBatch<Opened>(services, tx, batch_id);
    const members = await listMembers(tx, group_id, actor.agency_id);
    const references = new Map(members.map(({ id, reference }) => [id, reference]));
    // What went over to another owner meanwhile is that owner's.
    const known = items.filter(it => 'errors' in it || references.has(it.id));
    return { group_id, cases: known.map(it => ('errors' in it ? it : { ...it, reference: references.get(it.id)! })) };
  };

/** The group with those of its members that the caller owns; recorded before the answer. @throws Problem `not_found`, `forbidden` */
export const readGroup = (services: Services, actor: AgencyActor, id: string) =>
  transact(services, actor, async tx => {
    const group = (await findGroup(tx, id)) ?? raise('not_found');
    const members = await listMembers(tx, id, actor.agency_id);
    authorise(actor, 'group.read', groupRelations(actor, group, members));
    const { region, opened_at } = group;
    const view: GroupView = {
      id,
      region,
      opened_at: opened_at.toISOString(),
      members: members.map(({ id: case_id, reference, stage, family }) => ({ case_id, reference, stage, family })),
    };
    const receipt = await record(services, tx, actor, {
      action: 'group.read',
      outcome: 'read',
      resource_type: 'group',
      subjects: [{ subject_id: id }, ...members.map(member => ({ subject_id: member.id }))],
    });
    return { view, receipt };
  });
