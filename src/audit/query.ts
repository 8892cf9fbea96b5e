import { type AgencyActor, authorise } from '../core/access.ts';
import { leafHash } from '../core/canonical.ts';
import { Problem, raise } from '../core/problem.ts';
import { asSystem, type Tx, transact } from '../platform/database.ts';
import { decodeCursor, encodeCursor, type Page, pageLimit, toPage } from '../platform/http/paging.ts';
import type { Services } from '../services.ts';
import { findHead } from './log-store.ts';
import { record, type SubjectRecord } from './record.ts';
import type { AuditQuery, EntryView } from './schema.ts';
import { type EntryFilter, type EntryRow, findEntry, findNamedSubject, listEntries, listSubjects } from './store.ts';
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
    const rows = await listEntries(tx, filterOf(services, reader_agency_id, query), {
      order: query.order ?? 'newest',
      after: positionOf(query.cursor),
      below: await publishedSize(tx),
      limit: limit + 1,
    });
    const shown = rows.slice(0, limit).map(row => row.entry_id);
    const subject_rows = shown.length > 0 ? await listSubjects(tx, shown, reader_agency_id) : [];

    return asSystem(tx, 'trail', async tx => {
      const opened = await openedOf(services, tx, subject_rows);
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
        row => encodeCursor(row.index),
        row => entryView(row, opened, reader_agency_id),
      );
      return { view, receipt };
    });
  });

/**
 * One entry by its place in the log, decoded as in {@link listAuditEntries}.
 * @throws Problem `forbidden`, `not_found` also for another agency's
 */
export const readAuditEntry = (services: Services, actor: AgencyActor, index: number) =>
  transact(services, actor, async (tx): Promise<{ view: EntryView; receipt: string }> => {
    authorise(actor, 'audit.query', ['self']);
    const reader_agency_id = actor.agency_kind === 'audit_body' ? undefined : actor.agency_id;
    if (index >= (await publishedSize(tx))) raise('not_found');
    const row = (await findEntry(tx, index, reader_agency_id)) ?? raise('not_found');
    const subject_rows = await listSubjects(tx, [row.entry_id], reader_agency_id);
    return asSystem(tx, 'trail', async tx => {
      const opened = await openedOf(services, tx, subject_rows);
      const receipt = await record(services, tx, actor, { action: 'audit.query', outcome: 'read', resource_type: 'audit' });
      return { view: entryView(row, opened, reader_agency_id), receipt };
    });
  });

async function openedOf(
  services: Services,
  tx: Tx,
  rows: Awaited<ReturnType<typeof listSubjects>>,
): Promise<Map<string, OpenedSubject>> {
  const opened = await openSubjects(services, tx, rows);
  return new Map(opened.map(row => [placeOf(row), row.opened]));
}

/** What lies beyond is nobody's to see: it may yet get another place. */
const publishedSize = async (tx: Tx): Promise<number> => (await findHead(tx))?.published_size ?? 0;

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

/** A row that the audit body does not find is no more; one that an agency does not find may be withheld. */
const entryView = (row: EntryRow, opened: Map<string, OpenedSubject>, reader_agency_id: string | undefined): EntryView => ({
  index: row.index,
  entry_id: row.entry_id.toString('base64'),
  entry: row.entry.toString('base64'),
  receipt: leafHash(row.entry).toString('hex'),
  meta: JSON.parse(row.meta) as EntryView['meta'],
  salt_meta: row.salt_meta.toString('base64'),
  salt_personal: row.salt_personal.toString('base64'),
  subjects: row.subject_commits.map((commit, ordinal) => ({
    commit: commit.toString('base64'),
    ...(opened.get(placeOf({ entry_id: row.entry_id, ordinal })) ?? (reader_agency_id === undefined ? { erased: true } : {})),
  })),
});
