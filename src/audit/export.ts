import { type AgencyActor, authorise } from '../core/access.ts';
import { raise } from '../core/problem.ts';
import { transact } from '../platform/database.ts';
import type { Services } from '../services.ts';
import { publishedOf } from './log.ts';
import { findHead } from './log-store.ts';
import { record } from './record.ts';
import { listEntriesFrom } from './store.ts';

/**
 * The log as a file that `audit:verify` checks (its format stands in verify.ts): NDJSON, first the checkpoint, then every entry with
 * what it commits to, but for the records of persons. Read a batch at a time, so that its length costs no memory; what an entry
 * is never changes, so that one that broke off can be gone on with from the next index, to the size of the checkpoint that it has.
 */

const BATCH = 1_000;

export interface ExportQuery {
  from?: number;
  /** Exclusive. */
  to?: number;
  /** Under the newest checkpoint that the quorum of witnesses cosigned. */
  witnessed?: boolean;
}

/**
 * @returns the checkpoint, and lines of entries `from` to before `to`, by default all that the checkpoint covers
 * @throws Problem `forbidden` for all but the audit body, `not_found` for what the checkpoint does not cover and where none was
 *   witnessed, `service_unavailable` while the log is halted
 */
export async function exportLog(
  services: Services,
  actor: AgencyActor,
  query: ExportQuery,
): Promise<{ lines: AsyncIterable<string>; receipt: string }> {
  const { note, from, to, receipt } = await transact(services, actor, async tx => {
    authorise(actor, 'audit.export', [actor.agency_kind === 'audit_body' ? 'audit_body' : 'reader']);
    const { size: published_size, published, witnessed } = publishedOf(await findHead(tx));
    const { size, note } = query.witnessed ? (witnessed ?? raise('not_found')) : { size: published_size, note: published };
    const { from = 0, to = size } = query;
    if (from > to || to > size) raise('not_found');
    const receipt = await record(services, tx, actor, { action: 'audit.export', outcome: 'read', resource_type: 'audit' });
    return { note, from, to, receipt };
  });

  async function* lines(): AsyncGenerator<string> {
    yield `${JSON.stringify({ checkpoint: note })}\n`;
    for (let at = from; at < to; at += BATCH) {
      const end = Math.min(at + BATCH, to);
      const rows = await transact(services, actor, tx => listEntriesFrom(tx, at, end));
      if (rows.length !== end - at) throw new Error('the log has a gap');
      yield rows.map(lineOf).join('');
    }
  }
  return { lines: lines(), receipt };
}

const base64 = (bytes: Buffer): string => `"${bytes.toString('base64')}"`;

/** `meta` goes out as it was committed to. */
const lineOf = ({
  index,
  entry,
  meta,
  salt_meta,
  salt_personal,
  subject_commits,
}: Awaited<ReturnType<typeof listEntriesFrom>>[number]) =>
  `{"index":${index},"entry":${base64(entry)},"meta":${meta},"salt_meta":${base64(salt_meta)},"salt_personal":${base64(
    salt_personal,
  )},"subjects":[${subject_commits.map(commit => `{"commit":${base64(commit)}}`).join(',')}]}\n`;
