import { act, type Outcome } from '../../audit/act.ts';
import { type Read, read } from '../../audit/read.ts';
import { record } from '../../audit/record.ts';
import { type AgencyActor, authorise, coordinates, expectFirstOrVersion, type Relation } from '../../core/access.ts';
import { repeatedEntries } from '../../core/duty-roster.ts';
import { type Fault, Problem, raise } from '../../core/problem.ts';
import type { Tx } from '../../platform/database.ts';
import type { Services } from '../../services.ts';
import type { DutyRosterBody, DutyRosterView } from './schema.ts';
import { type DutyRosterRow, findDutyRoster, insertDutyRoster, lockDutyRoster, lookUpEntries, saveDutyRoster } from './store.ts';

/** Who is called at night, in turn: put by the coordinator of the jurisdiction, read by the agencies whose people are on it, too. */

/** An agency that is on the roster may see it, and no more. */
const relationsTo = (actor: AgencyActor, jurisdiction: string, roster: DutyRosterRow | undefined): Relation[] => [
  ...(coordinates(actor, jurisdiction) ? (['coordinator'] as const) : []),
  ...(roster?.entries.some(({ agency_id }) => agency_id === actor.agency_id) ? (['reader'] as const) : []),
];

const viewDutyRoster = async (tx: Tx, jurisdiction: string): Promise<DutyRosterView> => {
  const roster = (await findDutyRoster(tx, jurisdiction)) ?? raise('not_found');
  return { ...roster, created_at: roster.created_at.toISOString(), updated_at: roster.updated_at.toISOString() };
};

/** @throws Problem `not_found` also where there is none, `forbidden` */
export const getDutyRoster = (services: Services, actor: AgencyActor, jurisdiction: string): Promise<Read<DutyRosterView>> =>
  read(services, actor, 'duty_roster.read', { subject_id: jurisdiction }, async tx => {
    authorise(actor, 'duty_roster.read', relationsTo(actor, jurisdiction, await findDutyRoster(tx, jurisdiction)));
    return viewDutyRoster(tx, jurisdiction);
  });

/**
 * Says who is called, whole: a first time, or in place of what was said before. Whoever is being called stays so until the next.
 * @throws Problem `not_found`, `forbidden`, `unprocessable` for whoever cannot be called, `precondition_required`,
 *   `precondition_failed`
 */
export async function setDutyRoster(
  services: Services,
  actor: AgencyActor,
  jurisdiction: string,
  { entries }: DutyRosterBody,
): Promise<Outcome<DutyRosterView> & { created: boolean }> {
  let created = false;
  const outcome = await act(services, actor, 'duty_roster.set', viewDutyRoster, async (tx, now) => {
    const seen = await findDutyRoster(tx, jurisdiction);
    authorise(actor, 'duty_roster.set', relationsTo(actor, jurisdiction, seen));
    await requireCallable(tx, jurisdiction, entries);
    const before = await lockDutyRoster(tx, jurisdiction);
    expectFirstOrVersion(actor, before);

    created = !before;
    if (before) await saveDutyRoster(tx, jurisdiction, entries, now);
    else await insertDutyRoster(tx, jurisdiction, entries, now);
    const receipt = await record(services, tx, actor, {
      action: 'duty_roster.set',
      resource_type: 'duty_roster',
      subjects: [{ subject_id: jurisdiction, entries: entries.map(({ agency_id, staff_code }) => `${agency_id} ${staff_code}`) }],
    });
    return { id: jurisdiction, receipt };
  });
  return { ...outcome, created };
}

async function requireCallable(tx: Tx, jurisdiction: string, entries: DutyRosterBody['entries']): Promise<void> {
  const persons = await lookUpEntries(tx, jurisdiction, entries);
  const errors: Fault[] = [
    ...persons.flatMap(({ callable }, place) =>
      callable
        ? []
        : { pointer: `/entries/${place}`, detail: 'is no active caseworker of an active agency that works in this jurisdiction' },
    ),
    ...repeatedEntries(entries).map(place => ({ pointer: `/entries/${place}`, detail: 'stands on the roster already' })),
  ];
  if (errors.length > 0) throw new Problem('unprocessable', { errors });
}
