import { type AgencyActor, authorise } from '../core/access.ts';
import { prefixOf } from '../core/ids.ts';
import { expiryOf, isOfTheTwo, stateOf } from '../core/inquiry.ts';
import { Problem, raise } from '../core/problem.ts';
import { asSystem, type Tx, transact } from '../platform/database.ts';
import { newId } from '../platform/ids.ts';
import type { Services } from '../services.ts';
import { inquiryRelations } from './inquiries.ts';
import { findInquiry, type InquiryRow, insertAccounts } from './inquiry-store.ts';
import { findHead } from './log-store.ts';
import { record } from './record.ts';
import { type EntryRow, listEntriesFrom, listSubjects } from './store.ts';
import { type OpenedSubject, openSubjects } from './subjects.ts';

/**
 * What an export tells of persons. Each batch leaves an entry of its own about every case that it tells of, and a line in the
 * accounting of each, in the transaction that reads it; only then it is sent.
 */

const BATCH = 200;
/** So that the entry of a batch is itself a line that can be exported. */
const MOST_SUBJECTS = 1_000;

/** An entry, and by their ordinals what its subjects say. */
export interface Told extends EntryRow {
  opened: ReadonlyMap<number, OpenedSubject>;
}

/**
 * The inquiry on which this person may now be told of others.
 * @throws Problem `not_found`, `forbidden` for all but the two who agreed on it, `wrong_state` unless it was confirmed and is good
 */
export async function requireInquiry({ now }: Services, tx: Tx, actor: AgencyActor, id: string): Promise<InquiryRow> {
  const inquiry = (await findInquiry(tx, id)) ?? raise('not_found');
  authorise(actor, 'inquiry.read', inquiryRelations(actor, inquiry));
  if (!isOfTheTwo(inquiry, actor.caseworker!.staff_code))
    throw new Problem('forbidden', { detail: 'the inquiry was agreed on by others' });
  const state = stateOf(inquiry, now());
  if (state !== 'confirmed')
    throw new Problem('wrong_state', {
      detail: state === 'waiting' ? 'a second auditor has to confirm the inquiry' : 'the inquiry is over',
      members: { state, allowed_actions: [] },
    });
  if ((await findHead(tx))?.origin !== inquiry.checkpoint.split('\n', 1)[0])
    throw new Problem('wrong_state', { detail: 'the log has begun anew since', members: { state, allowed_actions: [] } });
  return inquiry;
}

/**
 * The next entries from `at` on, and before `to`; at least one. Recorded and accounted for once this returns.
 * @throws Problem as {@link requireInquiry}: it may have ended since the last batch
 */
export const tellBatch = (services: Services, actor: AgencyActor, inquiry_id: string, at: number, to: number): Promise<Told[]> =>
  transact(services, actor, async tx => {
    const inquiry = await requireInquiry(services, tx, actor, inquiry_id);
    const rows = withFewSubjects(await listEntriesFrom(tx, at, Math.min(at + BATCH, to)));
    const sealed = await listSubjects(
      tx,
      rows.map(({ entry_id }) => entry_id),
      undefined,
    );
    return asSystem(tx, 'trail', async tx => {
      const opened = await openSubjects(services, tx, sealed);
      await account(
        services,
        tx,
        actor,
        inquiry,
        opened.map(subject => subject.opened),
      );
      const of_entry = Map.groupBy(opened, ({ entry_id }) => entry_id.toString('hex'));
      return rows.map(row => {
        const subjects = of_entry.get(row.entry_id.toString('hex')) ?? [];
        const found = new Map(subjects.map(({ ordinal, opened }) => [ordinal, opened]));
        // A row that is no more was erased, or made away with: which of the two, the verifier finds out.
        return { ...row, opened: new Map(row.subject_commits.map((_, ordinal) => [ordinal, found.get(ordinal) ?? ERASED])) };
      });
    });
  });

const ERASED: OpenedSubject = { erased: true };

/** As many as have few enough subjects together. */
function withFewSubjects(rows: readonly EntryRow[]): EntryRow[] {
  let subjects = 0;
  const end = rows.findIndex(({ subject_commits }, i) => {
    subjects += subject_commits.length;
    return i > 0 && subjects > MOST_SUBJECTS;
  });
  return rows.slice(0, end < 0 ? rows.length : end);
}

async function account(
  services: Services,
  tx: Tx,
  actor: AgencyActor,
  inquiry: InquiryRow,
  opened: readonly OpenedSubject[],
): Promise<void> {
  const records = opened.flatMap(subject => ('record' in subject ? [subject.record] : []));
  if (records.length === 0) return;
  // What was only named, and is not there, is nobody's.
  const told = new Set(records.filter(({ exists }) => exists !== false).map(({ subject_id }) => subject_id));
  const case_ids = [...told].filter(id => prefixOf(id) === 'cas');
  const report_ids = [...told].filter(id => prefixOf(id) === 'rpt');
  await insertAccounts(
    tx,
    { inquiry_id: inquiry.id, agency_id: actor.agency_id, started_at: services.now(), ends_at: expiryOf(inquiry) },
    case_ids.map(case_id => ({ id: newId('dsc'), case_id })),
  );
  await record(services, tx, actor, {
    action: 'audit.export',
    outcome: 'read',
    resource_type: 'audit',
    code: 'personal',
    subjects: [...case_ids, ...report_ids].map(subject_id => ({ subject_id, resource_id: inquiry.id })),
    subjects_withheld: true,
  });
}
