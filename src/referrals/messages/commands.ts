import { act } from '../../audit/act.ts';
import { record } from '../../audit/record.ts';
import { requireAssigned } from '../../cases/assignments.ts';
import { lockCase } from '../../cases/store.ts';
import { type AgencyActor, authorise, expectVersion, type Relation } from '../../core/access.ts';
import { Problem, raise } from '../../core/problem.ts';
import { isTaken } from '../../core/referral.ts';
import { getDataKey } from '../../platform/data-keys.ts';
import { type Tx, transact } from '../../platform/database.ts';
import { pageById } from '../../platform/http/paging.ts';
import { newId } from '../../platform/ids.ts';
import { open, type Place, seal } from '../../platform/vault.ts';
import type { Services } from '../../services.ts';
import { listDisclosures } from '../disclosure-store.ts';
import { lockReferral, referralRelations } from '../locked.ts';
import { agencyOf, noticeOf } from '../notices.ts';
import { subjectOf } from '../progress.ts';
import { type AgencyFacts, findReferral, listAgencyFacts, listOffers, type OfferRow, type ReferralRow } from '../store.ts';
import type { MessageBody, MessageView } from './schema.ts';
import { findMessage, insertMessage, listMessages, type MessageRow, type MessageScope } from './store.ts';

/**
 * What the sender of a referral and the agency that accepted it write to each other, sealed under the case's key. A message
 * belongs to the offer that was accepted when it was written: the receiver reads those of its own offer while that is accepted
 * or in progress, the sender all of its referral.
 */

/**
 * Writes to the other side.
 * @throws Problem `not_found`, `forbidden`, `precondition_failed` (the referral's version), `wrong_state` while nobody has accepted
 */
export const sendMessage = (services: Services, actor: AgencyActor, referral_id: string, { text }: MessageBody) =>
  act(
    services,
    actor,
    'message.send',
    async (tx, id) => {
      const correspondence = await openCorrespondence(services, tx, actor, referral_id, 'message.send');
      const row = (await findMessage(tx, correspondence.scope, id)) ?? raise('not_found');
      return messageView(services, tx, actor, correspondence, row);
    },
    async (tx, now) => {
      const { locked, assigned } = await lockReferral(services, tx, actor, referral_id);
      const { referral, offers } = locked;
      authorise(actor, 'message.send', correspondents(actor, referral, offers));
      await requireAssigned(services, tx, actor, referral.case_id, assigned);
      expectVersion(actor, referral.version);
      const offer = offers.find(isTaken);
      if (!offer) throw new Problem('wrong_state', { members: { state: referral.status, allowed_actions: [] } });

      const id = newId('msg');
      await insertMessage(tx, {
        id,
        referral_id,
        case_id: referral.case_id,
        offer_id: offer.id,
        author_agency_id: actor.agency_id,
        staff_code: actor.caseworker!.staff_code,
        sealed: seal(await getDataKey(services, tx, referral.case_id), messagePlace(id), text),
        created_at: now,
      });
      const other = isFromSender(referral, actor.agency_id) ? 'receiver' : 'sender';
      const receipt = await record(services, tx, actor, {
        action: 'message.send',
        resource_type: 'message',
        subjects: [{ ...subjectOf(locked, offer), resource_id: id }],
        events: [noticeOf('referral.message', locked, { offer, parties: [other], detail: { message_id: id } })],
      });
      return { id, receipt };
    },
  );

/** The messages that the caller may read, newest first; recorded before the answer. @throws Problem `not_found`, `forbidden` */
export const listReferralMessages = (
  services: Services,
  actor: AgencyActor,
  referral_id: string,
  query: { limit?: number; cursor?: string },
) =>
  transact(services, actor, async tx => {
    const { case_id } = (await findReferral(tx, referral_id)) ?? raise('not_found');
    await lockCase(tx, case_id, 'share');
    const correspondence = await openCorrespondence(services, tx, actor, referral_id, 'message.list');
    const view = await pageById(
      query,
      (before_id, limit) => listMessages(tx, correspondence.scope, before_id, limit),
      rows => Promise.all(rows.map(row => messageView(services, tx, actor, correspondence, row))),
    );
    const receipt = await record(services, tx, actor, {
      action: 'message.list',
      outcome: 'read',
      resource_type: 'message',
      subjects: [{ subject_id: case_id, referral_id, resource_ids: view.data.map(({ id }) => id) }],
    });
    return { view, receipt };
  });

/** What the caller is to the messages of a referral: a receiver takes part only while the offer that it accepted lives. */
function correspondents(actor: AgencyActor, referral: ReferralRow, offers: readonly OfferRow[]): Relation[] {
  const takes_part = offers.some(offer => offer.agency_id === actor.agency_id && isTaken(offer));
  return referralRelations(actor, referral, offers).map(relation =>
    relation === 'receiver' && !takes_part ? 'reader' : relation,
  );
}

interface Correspondence {
  referral: ReferralRow;
  offers: OfferRow[];
  agencies: Map<string, AgencyFacts>;
  scope: MessageScope;
}

async function openCorrespondence(
  services: Services,
  tx: Tx,
  actor: AgencyActor,
  referral_id: string,
  action: 'message.send' | 'message.list',
): Promise<Correspondence> {
  const referral = (await findReferral(tx, referral_id)) ?? raise('not_found');
  const offers = await listOffers(tx, referral_id);
  const relations = correspondents(actor, referral, offers);
  authorise(actor, action, relations);
  await requireAssigned(services, tx, actor, referral.case_id);
  const own = offers.find(offer => offer.agency_id === actor.agency_id && isTaken(offer));
  const facts = await listAgencyFacts(
    tx,
    offers.map(offer => offer.agency_id),
  );
  return {
    referral,
    offers,
    agencies: new Map(facts.map(agency => [agency.id, agency])),
    scope: { referral_id, ...(await scopeOf(tx, actor, referral, relations, own)) },
  };
}

/** A sender that neither owns nor holds the case any more goes on writing, and reads what it wrote itself: the rest is of a person. */
async function scopeOf(
  tx: Tx,
  actor: AgencyActor,
  { case_id }: ReferralRow,
  relations: readonly Relation[],
  own: OfferRow | undefined,
): Promise<Pick<MessageScope, 'offer_id' | 'author_agency_id'>> {
  if (!relations.includes('sender')) return { offer_id: own!.id };
  if (relations.includes('owner')) return {};
  const disclosures = await listDisclosures(tx, { case_id }, actor.agency_id);
  return disclosures.some(({ ended_at }) => ended_at === null) ? {} : { author_agency_id: actor.agency_id };
}

const isFromSender = (referral: ReferralRow, agency_id: string): boolean => referral.sender_agency_id === agency_id;

const messagePlace = (id: string): Place => ({ table: 'messages', row: id, category: 'message', version: 1 });

async function messageView(
  services: Services,
  tx: Tx,
  actor: AgencyActor,
  { referral, offers, agencies }: Correspondence,
  row: MessageRow,
): Promise<MessageView> {
  const from_sender = isFromSender(referral, row.author_agency_id);
  const offer = offers.find(({ id }) => id === row.offer_id)!;
  return {
    id: row.id,
    referral_id: row.referral_id,
    offer_id: row.offer_id,
    from: from_sender ? 'sender' : 'receiver',
    ...(from_sender ? { agency_id: row.author_agency_id } : agencyOf({ referral, agencies }, offer, actor.agency_id)),
    ...(row.author_agency_id === actor.agency_id ? { staff_code: row.staff_code } : {}),
    text: open<string>(await getDataKey(services, tx, row.case_id), messagePlace(row.id), row.sealed),
    created_at: row.created_at.toISOString(),
  };
}
