import { type AgencyActor, authorise } from '../core/access.ts';
import { leafHash } from '../core/canonical.ts';
import { csvRow } from '../core/csv.ts';
import { Problem, raise } from '../core/problem.ts';
import { transact } from '../platform/database.ts';
import type { Services } from '../services.ts';
import { publishedOf } from './log.ts';
import { findHead } from './log-store.ts';
import { requireInquiry, type Told, tellBatch } from './personal.ts';
import { record } from './record.ts';
import type { EntryView } from './schema.ts';
import { type EntryRow, listEntriesFrom } from './store.ts';

/**
 * The log as a file that `audit:verify` checks (its format stands in verify.ts): NDJSON, first the checkpoint, then every entry with
 * what it commits to, but for the records of persons. Read a batch at a time, so that its length costs no memory; what an entry
 * is never changes, so that one that broke off can be gone on with from the next index, to the size of the checkpoint that it has.
 *
 * As CSV it is for people to read and to count, and proves nothing. With the records of persons it is what two auditors agreed on,
 * under the checkpoint that was published when they began to.
 */

const BATCH = 1_000;

export interface ExportQuery {
  from?: number;
  /** Exclusive. */
  to?: number;
  /** Under the newest checkpoint that the quorum of witnesses cosigned. */
  witnessed?: boolean;
  format?: 'ndjson' | 'csv';
  /** With the records of persons that are left, in the range of an inquiry. */
  personal?: boolean;
  inquiry_id?: string;
}

export interface Export {
  lines: AsyncIterable<string>;
  receipt: string;
  /** Which entries there are, for the name of a file. */
  from: number;
  to: number;
}

/**
 * @returns the checkpoint (in CSV: names of columns), and lines of entries `from` to before `to`, by default all that the checkpoint
 *   covers, or the inquiry. The lines end in an error where an inquiry ends before them
 * @throws Problem `unprocessable` where the parts of the query do not fit together, `forbidden` for all but the audit body, and for
 *   what the inquiry does not cover, `not_found` for what the checkpoint does not, and where none was witnessed,
 *   `service_unavailable` while the log is halted; and as {@link requireInquiry}
 */
export async function exportLog(services: Services, actor: AgencyActor, query: ExportQuery): Promise<Export> {
  const { inquiry_id } = query;
  const { note, from, to, receipt } = await transact(services, actor, async tx => {
    authorise(actor, 'audit.export', [actor.agency_kind === 'audit_body' ? 'audit_body' : 'reader']);
    requireFitting(query);
    const inquiry = inquiry_id === undefined ? undefined : await requireInquiry(services, tx, actor, inquiry_id);
    const { size: published_size, published, witnessed } = publishedOf(await findHead(tx));
    const { size, note } = query.witnessed
      ? (witnessed ?? raise('not_found'))
      : { size: published_size, note: inquiry?.checkpoint ?? published };
    const range = inquiry ? { from: inquiry.from_index, to: inquiry.to_index } : { from: 0, to: size };
    const { from = range.from, to = Math.min(range.to, size) } = query;
    if (from > to || to > size) raise('not_found');
    if (from < range.from || to > range.to)
      throw new Problem('forbidden', { detail: `the inquiry covers index ${range.from} to ${range.to - 1}` });
    const receipt = await record(services, tx, actor, {
      action: 'audit.export',
      outcome: 'read',
      resource_type: 'audit',
      ...(inquiry ? { code: 'personal', subjects: [{ subject_id: inquiry.id, reference: inquiry.reference }] } : {}),
    });
    return { note, from, to, receipt };
  });

  const next = (at: number): Promise<(EntryRow & Partial<Told>)[]> =>
    inquiry_id === undefined
      ? transact(services, actor, tx => listEntriesFrom(tx, at, Math.min(at + BATCH, to)))
      : tellBatch(services, actor, inquiry_id, at, to);
  const [head, write] = query.format === 'csv' ? [csvRow(COLUMNS), rowOf] : [`${JSON.stringify({ checkpoint: note })}\n`, lineOf];

  async function* lines(): AsyncGenerator<string> {
    yield head;
    for (let at = from; at < to; ) {
      const rows = await next(at);
      if (rows.length === 0 || rows.some(({ index }, i) => index !== at + i)) throw new Error('the log has a gap');
      yield rows.map(write).join('');
      at += rows.length;
    }
  }
  return { lines: lines(), receipt, from, to };
}

function requireFitting({ personal = false, inquiry_id, format }: ExportQuery): void {
  const faults = [
    ...(personal && inquiry_id === undefined ? [['inquiry_id', 'is needed for records of persons']] : []),
    ...(!personal && inquiry_id !== undefined ? [['inquiry_id', 'is for records of persons: ask for `personal=true`']] : []),
    ...(personal && format === 'csv' ? [['format', 'has no records of persons']] : []),
  ];
  if (faults.length === 0) return;
  throw new Problem('unprocessable', {
    errors: faults.map(([name, detail]) => ({ pointer: `querystring:${name}`, detail: detail! })),
  });
}

const base64 = (bytes: Buffer): string => `"${bytes.toString('base64')}"`;

/** `meta` goes out as it was committed to. */
const lineOf = ({ index, entry, meta, salt_meta, salt_personal, subject_commits, opened }: EntryRow & Partial<Told>) =>
  `{"index":${index},"entry":${base64(entry)},"meta":${meta},"salt_meta":${base64(salt_meta)},"salt_personal":${base64(
    salt_personal,
  )},"subjects":${JSON.stringify(
    subject_commits.map((commit, ordinal) => ({ commit: commit.toString('base64'), ...opened?.get(ordinal) })),
  )}}\n`;

const COLUMNS = [
  'index',
  'receipt',
  'at',
  'action',
  'outcome',
  'agency_id',
  'client_id',
  'caseworker',
  'assurance',
  'resource_type',
  'code',
  'lawful_ground',
  'request_id',
  'subjects',
] as const;

/** What `meta` says, and by which receipt the entry is known. */
function rowOf({ index, entry, meta }: EntryRow): string {
  const { actor, ...said } = JSON.parse(meta) as EntryView['meta'];
  const cells = { ...said, ...actor, index, receipt: leafHash(entry).toString('hex') };
  return csvRow(COLUMNS.map(column => cells[column]));
}
