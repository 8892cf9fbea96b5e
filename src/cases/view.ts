import { record } from '../audit/record.ts';
import { type AgencyActor, authorise, coordinates, hasRole, type Relation } from '../core/access.ts';
import { ageAt } from '../core/case.ts';
import { CATEGORIES, type Category } from '../core/codes.ts';
import { parseReference } from '../core/ids.ts';
import { raise } from '../core/problem.ts';
import { demandedServices } from '../core/routes.ts';
import type { PackInForce } from '../core/rule-pack.ts';
import { type AskedFor, type Needs, unmetNeeds } from '../core/unmet.ts';
import { type Tx, transact } from '../platform/database.ts';
import { decodeCursor, encodeCursor, type Page, pageLimit, toPage } from '../platform/http/paging.ts';
import { type Disclosed, listDisclosed, withheldNow } from '../referrals/coverage.ts';
import { listAskedFor } from '../referrals/store.ts';
import { findRulesOfCase, packInForce } from '../rules/store.ts';
import type { Services } from '../services.ts';
import { askAssigned, requireAssigned } from './assignments.ts';
import type { GroupRow } from './groups/store.ts';
import type { CaseView } from './schema.ts';
import {
  type CaseFilter,
  type CaseRow,
  findCase,
  findSealed,
  listCases,
  listReopenings,
  lockVisibleCase,
  type Ownership,
  type SealedData,
} from './store.ts';

/**
 * Who sees what of a case. The owner sees it whole; whoever holds an accepted offer the categories that a grant or ground covers
 * now; whoever held one, that it did, until it confirms that it deleted it; a coordinator the case without the person. To anybody else there is no case.
 */
export async function caseRelations(tx: Tx, actor: AgencyActor, found: CaseRow): Promise<Relation[]> {
  if (found.owner_agency_id === actor.agency_id) return ['owner'];
  const disclosed = await tx
    .selectFrom('disclosures')
    .select(['ended_at'])
    .where('case_id', '=', found.id)
    .where('agency_id', '=', actor.agency_id)
    .where('forgotten_at', 'is', null)
    .execute();
  const relations: Relation[] = [];
  if (disclosed.some(({ ended_at }) => ended_at === null)) relations.push('holder');
  else if (disclosed.length > 0) relations.push('former_holder');
  if (coordinates(actor, found.jurisdiction)) relations.push('coordinator');
  return relations;
}

/** Known to whoever opened the group, and to whoever owns one of its members. */
export const groupRelations = (
  { agency_id }: AgencyActor,
  { opened_by_agency_id }: Pick<GroupRow, 'opened_by_agency_id'>,
  members: readonly Pick<CaseRow, 'owner_agency_id'>[],
): Relation[] =>
  opened_by_agency_id === agency_id || members.some(({ owner_agency_id }) => owner_agency_id === agency_id) ? ['owner'] : [];

/** The case, if the caller may know of it. */
export async function findKnown(tx: Tx, actor: AgencyActor, case_id: string): Promise<CaseRow | undefined> {
  const found = await findCase(tx, case_id);
  return found && (await caseRelations(tx, actor, found)).length > 0 ? found : undefined;
}

/**
 * Reads a case, and records it, before the answer.
 * @throws Problem `not_found`, `forbidden`, `access_reason_required`
 */
export const readCase = (services: Services, actor: AgencyActor, id: string) =>
  transact(services, actor, async tx => {
    const view = await viewCase(services, tx, actor, id, lockVisibleCase(tx, id, 'share'));
    const receipt = await record(services, tx, actor, {
      action: 'case.read',
      outcome: 'read',
      resource_type: 'case',
      subjects: [{ subject_id: id, categories: Object.keys(view.data ?? {}) }],
    });
    return { view, receipt };
  });

/** The case as the caller may see it. The case must be locked. */
export async function viewCase(
  services: Services,
  tx: Tx,
  actor: AgencyActor,
  id: string,
  finding: Promise<CaseRow | undefined> = findCase(tx, id),
): Promise<CaseView> {
  const [row, assigned, sealed, all_reopenings, asked, rules] = await Promise.all([
    finding,
    askAssigned(tx, { case_id: id }, actor.agency_id),
    findSealed(services, tx, { case_id: id }, [...CATEGORIES, 'profile']),
    listReopenings(services, tx, id),
    listAskedFor(tx, id),
    findRulesOfCase(tx, { case_id: id }),
  ]);
  const found = row ?? raise('not_found');
  const relations = await caseRelations(tx, actor, found);
  authorise(actor, 'case.read', relations);
  await requireAssigned(services, tx, actor, id, assigned);

  if (relations.includes('owner')) {
    const withheld = await withheldNow(tx, found, services.now());
    const shown = CATEGORIES.filter(category => !withheld.includes(category));
    const { close_reason, group_id, family, owned_since } = found;
    const pack = await packInForce(services, tx, found, rules);
    // Why is said in free words: those of an owner before are a narrative, and told as one.
    const reopenings = all_reopenings.filter(
      ({ reopened_at }) => !withheld.includes('narrative') || (owned_since !== null && new Date(reopened_at) > owned_since),
    );
    return {
      ...instants(masked(found)),
      close_reason,
      group_id,
      family,
      ...(reopenings.length > 0 ? { reopenings } : {}),
      unmet: unmetFor(found, asked, needsOf(found, sealed, withheld, pack, services.now())),
      data: sealed.open(shown),
      withheld,
    } as CaseView;
  }
  if (relations.includes('holder')) {
    const { categories } = await listDisclosed(tx, actor, found, services.now());
    return { ...instants(masked(found)), data: sealed.open(categories), withheld: without(categories) } as CaseView;
  }
  if (relations.includes('former_holder')) {
    const stub: Disclosed = await listDisclosed(tx, actor, found, services.now());
    return {
      id,
      version: found.version,
      categories_held: stub.held,
      deletion_due_at: stub.deletion_due_at?.toISOString() ?? null,
    };
  }
  // What was asked for stands in the coordinator's queue; what else the person needs is nobody's but the owner's.
  return { ...instants(masked(found)), unmet: unmetFor(found, asked, { needs: [], demanded: [] }) } as CaseView;
}

type Needed = Pick<Needs, 'needs' | 'demanded'>;

const unmetFor = (found: CaseRow, asked: readonly AskedFor[], needed: Needed) =>
  unmetNeeds(asked, { ...found, ...needed }).map(({ since, ...unmet }) => ({ ...unmet, since: since.toISOString() }));

/** By which an owner would learn how old the person is, or under whose protection. */
const IN_LAW: readonly Category[] = ['identity', 'demographics', 'protection_status'];

/** What the case has as needs, and what the law demands, as far as the owner sees that of which they tell. Of nobody known, nothing. */
function needsOf(found: CaseRow, sealed: SealedData, withheld: readonly Category[], pack: PackInForce, now: Date): Needed {
  const profile = sealed.profile();
  if (!profile || found.track === 'anonymous') return { needs: [], demanded: [] };
  const facts = {
    urgency: found.risk === 'immediate' ? 'emergency' : 'urgent',
    stage: found.stage,
    age: ageAt(profile, now),
    adult_age: pack.consent.adult_age.years,
    protection_status: profile.protection_status,
    grouped: found.group_id !== null,
    complainant: profile.complainant,
    completed: [],
  } as const;
  return {
    needs: withheld.includes('health') ? [] : profile.needs,
    demanded: withheld.some(category => IN_LAW.includes(category)) ? [] : demandedServices(pack.routes, facts),
  };
}

const without = (shown: readonly Category[]): Category[] => CATEGORIES.filter(category => !shown.includes(category));

type MaskedCase = Omit<
  CaseRow,
  'stage_before_close' | 'close_reason' | 'group_id' | 'family' | 'crisis_mode_id' | keyof Ownership
>;

/** What everybody who may know of a case sees of it: nothing of the person, and not who else was found with them. */
const masked = ({
  id,
  reference,
  owner_agency_id,
  jurisdiction,
  region,
  track,
  risk,
  stage,
  opened_at,
  closed_at,
  version,
  updated_at,
}: MaskedCase) => ({
  id,
  reference,
  owner_agency_id,
  jurisdiction,
  region,
  track,
  risk,
  stage,
  opened_at,
  closed_at,
  version,
  updated_at,
});

const instants = <T extends { opened_at: Date; closed_at: Date | null; updated_at: Date }>(row: T) => ({
  ...row,
  opened_at: row.opened_at.toISOString(),
  closed_at: row.closed_at?.toISOString() ?? null,
  updated_at: row.updated_at.toISOString(),
});

/** The caller's own cases, newest first; a coordinator's: all of its jurisdictions, masked. */
export const listOwnCases = (services: Services, actor: AgencyActor, query: CaseFilter & { limit?: number; cursor?: string }) =>
  transact(services, actor, async (tx): Promise<{ view: Page<CaseView>; receipt: string }> => {
    const as_coordinator = actor.agency_kind === 'coordination_committee' && hasRole(actor, 'coordinator');
    authorise(actor, 'case.list', as_coordinator ? ['coordinator'] : ['self']);
    const limit = pageLimit(query);
    const [before_id] = decodeCursor(query.cursor, 1) ?? [];
    // A reference that is none matches nothing.
    const reference = query.reference === undefined ? undefined : (parseReference(query.reference) ?? '');
    const rows = await listCases(
      tx,
      as_coordinator ? { jurisdictions: actor.jurisdictions } : { owner_agency_id: actor.agency_id },
      { ...query, reference },
      before_id as string | undefined,
      limit + 1,
    );
    const view = toPage(
      rows,
      limit,
      row => encodeCursor(row.id),
      row => instants(masked(row)) as CaseView,
    );
    const receipt = await record(services, tx, actor, {
      action: 'case.list',
      outcome: 'read',
      resource_type: 'case',
      subjects: view.data.map(({ id }) => ({ subject_id: id })),
    });
    return { view, receipt };
  });
