import { act } from '../audit/act.ts';
import { record } from '../audit/record.ts';
import { requireAssigned } from '../cases/assignments.ts';
import type { DisclosureView } from '../cases/schema.ts';
import { findCase, lockCase, lockVisibleCase } from '../cases/store.ts';
import { caseRelations } from '../cases/view.ts';
import { type AgencyActor, authorise, hasRole, type Relation } from '../core/access.ts';
import { Problem, raise } from '../core/problem.ts';
import { asSystem, type Tx, transact } from '../platform/database.ts';
import { decodeCursor, encodeCursor, type Page, pageLimit, toPage } from '../platform/http/paging.ts';
import type { AuditDisclosureTable } from '../platform/tables.ts';
import type { Services } from '../services.ts';
import { endDeletionTimers } from '../timers/apply.ts';
import { lockOpenTimers } from '../timers/store.ts';
import {
  type DisclosureRow,
  findAuditDisclosure,
  findDisclosure,
  forgetDisclosure,
  listAccounting,
  listAuditDisclosures,
  listOfferFacts,
  listReferralsById,
  saveConfirmation,
} from './disclosure-store.ts';
import { agencyOf } from './notices.ts';
import { listAgencyFacts, lockReferralRows } from './store.ts';

/**
 * The accounting: to whom a case was disclosed, since when, which categories, on which ground, and whether what had to be
 * deleted was. The owner and the coordinator see all of a case, also what an inquiry of the audit body was told of it by the trail; a
 * holder or former holder its own, until it confirms that it deleted it.
 */

/** The disclosures of a case, newest first. @throws Problem `not_found`, `forbidden`, `access_reason_required` */
export const listCaseDisclosures = (
  services: Services,
  actor: AgencyActor,
  case_id: string,
  query: { limit?: number; cursor?: string },
) =>
  transact(services, actor, async (tx): Promise<{ view: Page<DisclosureView>; receipt: string }> => {
    const found = await lockVisibleCase(tx, case_id, 'share');
    const relations = await caseRelations(tx, actor, found);
    authorise(actor, 'disclosure.list', relations);
    await requireAssigned(services, tx, actor, case_id);

    const limit = pageLimit(query);
    const [before_id] = decodeCursor(query.cursor, 1) ?? [];
    const sees_all = relations.includes('owner') || (relations.includes('coordinator') && hasRole(actor, 'coordinator'));
    const rows = await listAccounting(
      tx,
      { case_id, ...(sees_all ? {} : { agency_id: actor.agency_id }) },
      before_id as string | undefined,
      limit + 1,
    );
    const inquiries = sees_all ? await listAuditDisclosures(tx, case_id, before_id as string | undefined, limit + 1) : [];
    const show = await disclosureViews(tx, actor, rows);
    const now = services.now();
    const view = toPage(
      [...rows, ...inquiries].sort((a, b) => (a.id < b.id ? 1 : -1)).slice(0, limit + 1),
      limit,
      row => encodeCursor(row.id),
      row => ('inquiry_id' in row ? inquiryDisclosureView(row, now) : show(row)),
    );
    const receipt = await record(services, tx, actor, {
      action: 'disclosure.list',
      outcome: 'read',
      resource_type: 'disclosure',
      subjects: [{ subject_id: case_id, disclosure_ids: view.data.map(({ id }) => id) }],
    });
    return { view, receipt };
  });

/**
 * The agency that held it says that it deleted what it may no longer know: all of it where its offer has ended, and then it
 * knows of the offer no longer, nor of the case unless something else ties it to that; or the categories that it lost, and then
 * it goes on holding the others.
 * @throws Problem `not_found`, `forbidden`, `access_reason_required`, `wrong_state` where nothing is to be deleted
 */
export const confirmDeletion = (services: Services, actor: AgencyActor, id: string) =>
  act(
    services,
    actor,
    'disclosure.confirm_deletion',
    (tx, id) => viewConfirmed(tx, actor, id),
    async (tx, now) => {
      const { case_id, referral_id } =
        (await findDisclosure(tx, id)) ?? raise((await findAuditDisclosure(tx, id)) ? 'forbidden' : 'not_found');
      await lockCase(tx, case_id, 'share');
      await asSystem(tx, 'router', tx => lockReferralRows(tx, referral_id));
      const disclosure = (await findDisclosure(tx, id)) ?? raise('not_found');
      authorise(actor, 'disclosure.confirm_deletion', await disclosureRelations(tx, actor, disclosure));
      await requireAssigned(services, tx, actor, case_id);
      const ended = disclosure.ended_at !== null;
      if (disclosure.deletion_due_at === null) {
        throw new Problem('wrong_state', {
          detail: 'nothing is to be deleted',
          members: { state: ended ? 'ended' : 'live', allowed_actions: [] },
        });
      }

      // Recorded first, while the agency still knows the case under whose key it is sealed.
      const receipt = await record(services, tx, actor, {
        action: 'disclosure.confirm_deletion',
        resource_type: 'disclosure',
        subjects: [{ subject_id: case_id, referral_id, offer_id: disclosure.offer_id, resource_id: id }],
      });
      await asSystem(tx, 'router', async tx => {
        const { offer_id } = disclosure;
        const open = await lockOpenTimers(tx, { offer_id });
        endDeletionTimers(tx, open, { offer_id, holder_id: actor.agency_id }, 'meet', now);
        if (ended) await forgetDisclosure(tx, disclosure, now);
        else await saveConfirmation(tx, disclosure, now);
      });
      return { id, receipt };
    },
  );

/** Its holder, for as long as it knows of it; owner and coordinator of the case see it and confirm nothing. */
async function disclosureRelations(tx: Tx, actor: AgencyActor, disclosure: DisclosureRow): Promise<Relation[]> {
  const found = await findCase(tx, disclosure.case_id);
  const of_case = found ? await caseRelations(tx, actor, found) : [];
  const relations: Relation[] = of_case.filter(relation => relation === 'owner' || relation === 'coordinator');
  if (disclosure.agency_id === actor.agency_id && disclosure.forgotten_at === null) {
    relations.push(disclosure.ended_at === null ? 'holder' : 'former_holder');
  }
  return relations;
}

/**
 * What the act answers, also when it is asked again: the disclosure as it stands. Looked at as the service, for whoever has
 * just confirmed it does not find it any more; so only for the agency that held it.
 */
const viewConfirmed = (tx: Tx, actor: AgencyActor, id: string): Promise<DisclosureView> =>
  asSystem(tx, 'router', async tx => {
    const row = await findDisclosure(tx, id);
    if (row?.agency_id !== actor.agency_id) throw new Problem('not_found');
    return (await disclosureViews(tx, actor, [row]))(row);
  });

/** How the caller is shown each of these disclosures. */
async function disclosureViews(
  tx: Tx,
  actor: AgencyActor,
  rows: readonly DisclosureRow[],
): Promise<(row: DisclosureRow) => DisclosureView> {
  // As the service: a former owner is no party to the offer that took its place.
  const [offers, referrals, facts] = await asSystem(tx, 'router', async tx => [
    await listOfferFacts(
      tx,
      rows.map(({ offer_id }) => offer_id),
    ),
    await listReferralsById(
      tx,
      rows.map(({ referral_id }) => referral_id),
    ),
    await listAgencyFacts(
      tx,
      rows.map(({ agency_id }) => agency_id),
    ),
  ]);
  const agencies = new Map(facts.map(agency => [agency.id, agency]));
  return row => {
    const offer = offers.find(({ id }) => id === row.offer_id)!;
    const referral = referrals.find(({ id }) => id === row.referral_id)!;
    const holder = {
      agency_id: row.agency_id,
      location_protected: offer.location_protected && offer.agency_id === row.agency_id,
    };
    return {
      id: row.id,
      case_id: row.case_id,
      ...agencyOf({ referral, agencies }, holder, actor.agency_id),
      referral_id: row.referral_id,
      offer_id: row.offer_id,
      purpose: offer.service,
      categories: row.categories,
      categories_held: row.categories_held,
      ground: row.ground,
      started_at: row.started_at.toISOString(),
      ended_at: row.ended_at?.toISOString() ?? null,
      deletion_due_at: row.deletion_due_at?.toISOString() ?? null,
      deletion_confirmed_at: row.deletion_confirmed_at?.toISOString() ?? null,
    };
  };
}

/** What the trail told an inquiry: who did what with the case, but nothing that stands in it, and so nothing to be deleted. */
const inquiryDisclosureView = (row: AuditDisclosureTable, now: Date): DisclosureView => ({
  id: row.id,
  case_id: row.case_id,
  agency_id: row.agency_id,
  inquiry_id: row.inquiry_id,
  purpose: 'audit',
  categories: [],
  categories_held: [],
  ground: 'inquiry',
  started_at: row.started_at.toISOString(),
  ended_at: row.ends_at <= now ? row.ends_at.toISOString() : null,
  deletion_due_at: null,
  deletion_confirmed_at: null,
});
