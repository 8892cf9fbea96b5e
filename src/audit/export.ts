import { type AgencyActor, authorise } from '../core/access.ts';
import { leafHash } from '../core/canonical.ts';
import { csvRow } from '../core/csv.ts';
import { raise } from '../core/problem.ts';
import { transact } from '../platform/database.ts';
import type { Services } from '../services.ts';
import { publishedOf } from './log.ts';
import { findHead } from './log-store.ts';
import { record } from './record.ts';
import type { EntryView } from './schema.ts';
import { type EntryRow, listEntriesFrom } from './store.ts';

/**
 * The log as a file that `audit:verify` checks (its format stands in verify.ts): NDJSON, first the checkpoint, then every entry with
 * what it commits to, but for the records of persons. Read a batch at a time, so that its length costs no memory; what an entry
 * is never changes, so that one that broke off can be gone on with from the next index, to the size of the checkpoint that it has.
 *
 * As CSV it is for people to read and to count, and proves nothing.
 */

const BATCH = 1_000;

export interface ExportQuery {
  from?: number;
  /** Exclusive. */
  to?: number;
  /** Under the newest checkpoint that the quorum of witnesses cosigned. */
  witnessed?: boolean;
  format?: 'ndjson' | 'csv';
}

export interface Export {
  lines: AsyncIterable<string>;
  receipt: string;
  /** Which entries there are, for the name of a file. */
  from: number;
  to: number;
}

/**
 * @returns the checkpoint (in CSV: names of columns), and lines of entries `from` to before `to`, by default all that the checkpoint covers
 * @throws Problem `forbidden` for all but the audit body, `not_found` for what the checkpoint does not cover and where none was
 *   witnessed, `service_unavailable` while the log is halted
 */
export async function exportLog(services: Services, actor: AgencyActor, query: ExportQuery): Promise<Export> {
  const { note, from, to, receipt } = await transact(services, actor, async tx => {
    authorise(actor, 'audit.export', [actor.agency_kind === 'audit_body' ? 'audit_body' : 'reader']);
    const { size: published_size, published, witnessed } = publishedOf(await findHead(tx));
    const { size, note } = query.witnessed ? (witnessed ?? raise('not_found')) : { size: published_size, note: published };
    const { from = 0, to = size } = query;
    if (from > to || to > size) raise('not_found');
    const receipt = await record(services, tx, actor, { action: 'audit.export', outcome: 'read', resource_type: 'audit' });
    return { note, from, to, receipt };
  });

  const [head, write] = query.format === 'csv' ? [csvRow(COLUMNS), rowOf] : [`${JSON.stringify({ checkpoint: note })}\n`, lineOf];

  async function* lines(): AsyncGenerator<string> {
    yield head;
    for (let at = from; at < to; at += BATCH) {
      const end = Math.min(at + BATCH, to);
      const rows = await transact(services, actor, tx => listEntriesFrom(tx, at, end));
      if (rows.length !== end - at) throw new Error('the log has a gap');
      yield rows.map(write).join('');
    }
  }
  return { lines: lines(), receipt, from, to };
}

const base64 = (bytes: Buffer): string => `"${bytes.toString('base64')}"`;

/** `meta` goes out as it was committed to. */
const lineOf = ({ index, entry, meta, salt_meta, salt_personal, subject_commits }: EntryRow) =>
  `{"index":${index},"entry":${base64(entry)},"meta":${meta},"salt_meta":${base64(salt_meta)},"salt_personal":${base64(
    salt_personal,
  )},"subjects":[${subject_commits.map(commit => `{"commit":${base64(commit)}}`).join(',')}]}\n`;

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
