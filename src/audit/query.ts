import { type AgencyActor, authorise } from '../core/access.ts';
import { leafHash } from '../core/canonical.ts';
import { Problem } from '../core/problem.ts';
import { asSystem, transact } from '../platform/database.ts';
import { decodeCursor, encodeCursor, type Page, pageLimit, toPage } from '../platform/http/paging.ts';
import type { Services } from '../services.ts';
import { record, type SubjectRecord } from './record.ts';
import type { AuditQuery, EntryView } from './schema.ts';
import { type EntryFilter, type EntryRow, findNamedSubject, listSubjects, selectEntries } from './store.ts';
import { type OpenedSubject, openSubjects } from './subjects.ts';

/**
 * Entries of the trail, decoded: an agency's auditors see the acts of that agency, the audit body's all. What an agency named
 * without being let to know of it stays closed to its auditors, and no filter finds it, so that its own trail does not tell the
 * absent from the forbidden. The query leaves an entry itself, before its answer.
 * @throws Problem `forbidden`, `invalid_request`
 */
export const listAuditEntries = (services: Services, actor: AgencyActor, query: AuditQuery) =>
  transact(services, actor, async (tx): Promise<{ view: Page<EntryView>; receipt: string }> => {
    authorise(actor, 'audit.query', ['self']);
    const reader_agency_id = actor.agency_kind === 'audit_body' ? undefined : actor.agency_id;
    const limit = pageLimit(query);
    const rows = await selectEntries(tx, filterOf(services, reader_agency_id, query), {
      order: query.order ?? 'newest',
      after: positionOf(query.cursor),
      limit: limit + 1,
    }).execute();
    const shown = rows.slice(0, limit).map(row => row.entry_id);
    const subject_rows = shown.length > 0 ? await listSubjects(tx, shown, reader_agency_id) : [];

    return asSystem(tx, 'trail', async tx => {
      const opened = new Map<string, OpenedSubject>();
      for (const row of await openSubjects(services, tx, subject_rows)) opened.set(placeOf(row), row.opened);
      const subjects: SubjectRecord[] = [];
      // One per id named, also where two are of one case: the number of subjects, in `meta`, tells nothing.
      for (const id of namedBy(query)) subjects.push(await findNamedSubject(tx, id));
      const receipt = await record(services, tx, actor, {
        action: 'audit.query',
        outcome: 'read',
        resource_type: 'audit',
        subjects,
        subjects_withheld: true,
      });
      const view = toPage(
        rows,
        limit,
        row => encodeCursor(row.number),
        row => entryView(row, opened),
      );
      return { view, receipt };
    });
  });

const namedBy = ({ case_id, referral_id, report_id }: AuditQuery): string[] =>
  [case_id, referral_id, report_id].filter(id => id !== undefined);

function filterOf({ vault }: Services, reader_agency_id: string | undefined, query: AuditQuery): EntryFilter {
  const { case_id, referral_id, report_id, from, to, order: _order, limit: _limit, cursor: _cursor, ...plain } = query;
  return {
    ...plain,
    reader_agency_id,
    subject_indices: [case_id, report_id].filter(id => id !== undefined).map(vault.subjectIndex),
    referral_index: referral_id === undefined ? undefined : vault.subjectIndex(referral_id),
    from: instantOf(from),
    to: instantOf(to),
  };
}

const instantOf = (text: string | undefined): Date | undefined => (text === undefined ? undefined : new Date(text));

function positionOf(cursor: string | undefined): number | undefined {
  const [position] = decodeCursor(cursor, 1) ?? [];
  if (position === undefined || Number.isSafeInteger(position)) return position as number | undefined;
  throw invalid('cursor', 'is not a cursor of this list');
}

const invalid = (name: string, detail: string) =>
  new Problem('invalid_request', { errors: [{ pointer: `querystring:${name}`, detail }] });

const placeOf = ({ entry_id, ordinal }: { entry_id: Buffer; ordinal: number }): string =>
  `${entry_id.toString('hex')} ${ordinal}`;

const entryView = (row: EntryRow, opened: Map<string, OpenedSubject>): EntryView => ({
  // Its place in the log, once the sequencer has given it one.
  index: null,
  entry_id: row.entry_id.toString('base64'),
  entry: row.entry.toString('base64'),
  receipt: leafHash(row.entry).toString('hex'),
  meta: JSON.parse(row.meta) as EntryView['meta'],
  salt_meta: row.salt_meta.toString('base64'),
  salt_personal: row.salt_personal.toString('base64'),
  subjects: row.subject_commits.map((commit, ordinal) => ({
    commit: commit.toString('base64'),
    ...opened.get(placeOf({ entry_id: row.entry_id, ordinal })),
  })),
});
