import { type AgencyActor, authorise, expectVersion, type Relation } from '../core/access.ts';
import { expiryOf, stateOf } from '../core/inquiry.ts';
import { Problem, raise } from '../core/problem.ts';
import { type Tx, transact } from '../platform/database.ts';
import { newId } from '../platform/ids.ts';
import type { Services } from '../services.ts';
import { act, type Outcome } from './act.ts';
import { findInquiry, type InquiryRow, insertInquiry, lockInquiry, saveInquiryConfirmed } from './inquiry-store.ts';
import { publishedOf } from './log.ts';
import { findHead } from './log-store.ts';
import { record } from './record.ts';
import type { InquiryBody, InquiryView } from './schema.ts';

/**
 * Inquiries of the audit body: two of its auditors agree that what the trail says of persons is looked at, in one range of the log.
 * Other agencies do not find them.
 */

/**
 * Opens one, which waits for somebody else to confirm it.
 * @throws Problem `forbidden` for all but the audit body, `not_found` before the log begins, `unprocessable` for a range that is empty
 *   or goes beyond the published log
 */
export const openInquiry = (services: Services, actor: AgencyActor, body: InquiryBody): Promise<Outcome<InquiryView>> =>
  act(services, actor, 'inquiry.open', viewInquiry(services, actor), async (tx, now) => {
    authorise(actor, 'inquiry.open', [actor.agency_kind === 'audit_body' ? 'audit_body' : 'reader']);
    const { size, published } = publishedOf(await findHead(tx));
    const { reference, from = 0, to = size } = body;
    const faults = [
      ...(from < to ? [] : [{ pointer: '/from', detail: 'is not before where it ends' }]),
      ...(to <= size ? [] : [{ pointer: '/to', detail: `is beyond the published log, which has ${size} entries` }]),
    ];
    if (faults.length > 0) throw new Problem('unprocessable', { errors: faults });
    const id = newId('inq');
    await insertInquiry(tx, {
      id,
      agency_id: actor.agency_id,
      reference,
      from_index: from,
      to_index: to,
      checkpoint: published,
      opened_by: actor.caseworker!.staff_code,
      opened_at: now,
    });
    const receipt = await record(services, tx, actor, {
      action: 'inquiry.open',
      resource_type: 'inquiry',
      subjects: [{ subject_id: id, reference, from: String(from), to: String(to) }],
    });
    return { id, receipt };
  });

/**
 * Confirms one that waits. From then on it is good, for whoever opened it, too.
 * @throws Problem `not_found`, `forbidden` also for whoever opened it, `precondition_failed`, `wrong_state` where it was confirmed or
 *   waited too long
 */
export const confirmInquiry = (services: Services, actor: AgencyActor, id: string): Promise<Outcome<InquiryView>> =>
  act(services, actor, 'inquiry.confirm', viewInquiry(services, actor), async (tx, now) => {
    const inquiry = (await lockInquiry(tx, id)) ?? raise('not_found');
    authorise(actor, 'inquiry.confirm', inquiryRelations(actor, inquiry));
    const { staff_code } = actor.caseworker!;
    if (inquiry.opened_by === staff_code)
      throw new Problem('forbidden', { detail: 'somebody else confirms an inquiry than the one who opened it' });
    expectVersion(actor, inquiry.version);
    const state = stateOf(inquiry, now);
    if (state !== 'waiting') throw new Problem('wrong_state', { members: { state, allowed_actions: [] } });
    await saveInquiryConfirmed(tx, inquiry, staff_code, now);
    const receipt = await record(services, tx, actor, {
      action: 'inquiry.confirm',
      resource_type: 'inquiry',
      subjects: [{ subject_id: id, reference: inquiry.reference }],
    });
    return { id, receipt };
  });

/** @throws Problem `not_found`, `forbidden` */
export const readInquiry = (services: Services, actor: AgencyActor, id: string) =>
  transact(services, actor, async (tx): Promise<{ view: InquiryView; receipt: string }> => {
    const view = await viewInquiry(services, actor)(tx, id);
    const receipt = await record(services, tx, actor, {
      action: 'inquiry.read',
      outcome: 'read',
      resource_type: 'inquiry',
      subjects: [{ subject_id: id }],
    });
    return { view, receipt };
  });

/** What the caller is to an inquiry: nothing, unless its agency opened it. */
export const inquiryRelations = (actor: AgencyActor, { agency_id }: InquiryRow): Relation[] =>
  agency_id === actor.agency_id ? ['audit_body'] : [];

const viewInquiry =
  ({ now }: Services, actor: AgencyActor) =>
  async (tx: Tx, id: string): Promise<InquiryView> => {
    const inquiry = (await findInquiry(tx, id)) ?? raise('not_found');
    authorise(actor, 'inquiry.read', inquiryRelations(actor, inquiry));
    const { reference, from_index, to_index, opened_by, opened_at, confirmed_by, confirmed_at, version } = inquiry;
    return {
      id,
      reference,
      from: from_index,
      to: to_index,
      state: stateOf(inquiry, now()),
      opened_by,
      opened_at: opened_at.toISOString(),
      confirmed_by,
      confirmed_at: confirmed_at?.toISOString() ?? null,
      expires_at: expiryOf(inquiry).toISOString(),
      version,
    };
  };
