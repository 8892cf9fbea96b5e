/**
 * Checks the log without trusting whoever keeps it ("The trail"), from an export; `verify-served.ts` does it from tiles. Memory
 * is constant but for the entry ids, the receipts asked for and what was erased.
 *
 * An export is NDJSON in UTF-8, every line 1 MiB at most. The first is `{"checkpoint": "<signed note>"}`, then there is one for
 * each entry, in the order of the log, with `ExportedEntry` as members and no others: what nobody can check has no place there.
 */

import { isUtf8 } from 'node:buffer';
import { canonicalJson, commitMeta, commitPersonal, commitSubject, ENTRY_BYTES } from '../core/canonical.ts';
import { decodeBase64 } from '../core/signed-note.ts';
import { type Checked, type Demands, Lie, type LogCheck, openLog, startLog, Unreadable } from './verify-log.ts';

interface ExportedEntry {
  /** Contiguous. From 0, or the export is a part of the log. */
  index: number;
  /** Like all bytes, in base64. */
  entry: string;
  meta: Record<string, unknown>;
  salt_meta: string;
  salt_personal: string;
  /** Sorted by `commit`. `record` and `salt` stand together, and never with `erased`. */
  subjects: { commit: string; record?: Record<string, unknown>; salt?: string; erased?: true }[];
}

const ENTRY_MEMBERS = ['index', 'entry', 'meta', 'salt_meta', 'salt_personal', 'subjects'] satisfies (keyof ExportedEntry)[];
const SUBJECT_MEMBERS = ['commit', 'record', 'salt', 'erased'];

/** The action of an entry whose records, under the audit body's key, list in `erased` the commits of what it erased. */
const ERASE = 'audit.erase';
/** The action of an entry whose code is the key with which the log is signed from then on. */
const ROTATE = 'audit.rotate_key';
const META_COMMIT_AT = 29;
const PERSONAL_COMMIT_AT = 61;
const LONGEST_LINE_BYTES = 2 ** 20;
/** Of the contract. */
const MOST_LAG_MS = 5_000;
const MOST_WARNINGS = 20;

export interface CheckedExport extends Checked {
  subjects: number;
  records: number;
  erased: number;
  /** Verifier keys that the log goes over to, and which entries name them. */
  keys: { index: number; verifier_key: string }[];
  /** Entries whose `at` lags too far behind the latest before them, and the first few of them in words. */
  lagging: number;
  warnings: string[];
}

/**
 * @throws Lie at the first thing that is wrong with the log
 * @throws Unreadable where the export is not one, and where a kept checkpoint cannot be compared with a part of the log
 */
export async function verifyExport(chunks: AsyncIterable<Uint8Array>, demands: Demands): Promise<CheckedExport> {
  const counts = { subjects: 0, records: 0, lagging: 0, warnings: [] as string[], keys: [] as CheckedExport['keys'] };
  const erasures = new Erasures();
  let log: LogCheck | undefined;
  let latest = Number.NEGATIVE_INFINITY;
  let line = 0;
  const check = ({ bytes, cut }: { bytes: Buffer; cut: boolean }) => {
    line++;
    const value = parseLine(bytes, `line ${line}`, cut);
    if (line === 1) {
      requireMembers(value, ['checkpoint'], 'line 1');
      log = startLog(openLog(value.checkpoint, demands), demands);
      return;
    }
    const { index } = value;
    if (!Number.isSafeInteger(index) || (index as number) < 0)
      throw new Unreadable(`line ${line}: the index is not a whole number`);
    const where = `index ${index}`;
    requireMembers(value, ENTRY_MEMBERS, where);
    const entry = bytesOf(value.entry, where, 'entry');
    log!.add(index as number, entry);
    const subjects = checkEntry(value as unknown as ExportedEntry, entry, where);
    counts.subjects += subjects.length;
    for (const { record } of subjects) {
      if (record !== undefined) counts.records++;
    }
    erasures.add(value as unknown as ExportedEntry);
    const { meta } = value as unknown as ExportedEntry;
    if (meta.action === ROTATE) counts.keys.push({ index: index as number, verifier_key: String(meta.code) });
    const at = instantOf(meta.at, where);
    if (latest - at > MOST_LAG_MS && ++counts.lagging <= MOST_WARNINGS)
      counts.warnings.push(`${where}: at lags ${(latest - at) / 1_000} s behind the latest before it`);
    latest = Math.max(latest, at);
  };
  for await (const lines of linesOf(chunks)) for (const it of lines) check(it);
  if (log === undefined) throw new Unreadable('the export is empty');
  const checked = log.finish();
  // What lists an erasure may stand in another part.
  if (checked.root_checked) erasures.finish();
  return { ...checked, ...counts, erased: erasures.count };
}

/** Subjects that were erased, and the lists of the entries that erased them: whatever is gone must stand in one. */
class Erasures {
  readonly #unlisted = new Map<string, string>();
  readonly #listed = new Set<string>();
  count = 0;

  add({ index, meta, subjects }: ExportedEntry): void {
    for (const [ordinal, { commit, record, erased }] of subjects.entries()) {
      if (erased) {
        this.count++;
        this.#unlisted.set(commit, `index ${index}: subject ${ordinal}`);
      }
      if (meta.action === ERASE && Array.isArray(record?.erased)) for (const it of record.erased) this.#listed.add(String(it));
    }
  }

  /** @throws Lie */
  finish(): void {
    for (const [commit, where] of this.#unlisted)
      if (!this.#listed.has(commit)) throw new Lie(`${where}: is erased, and no erasure lists it`);
  }
}

/** Commitments of an entry. @returns its subjects */
function checkEntry({ meta, salt_meta, salt_personal, subjects }: ExportedEntry, entry: Buffer, where: string) {
  requireObject(meta, `${where}: meta`);
  if (!Array.isArray(subjects)) throw new Unreadable(`${where}: subjects is not an array`);
  const meta_commit = commitMeta(bytesOf(salt_meta, where, 'salt_meta', 32), recordText(meta, `${where}: meta`));
  if (meta_commit.compare(entry, META_COMMIT_AT, PERSONAL_COMMIT_AT) !== 0)
    throw new Lie(`${where}: meta, its salt or the entry is not what was committed to`);
  const commits = subjects.map((subject, ordinal) => {
    const what = `${where}: subject ${ordinal}`;
    requireMembers(subject, ['commit'], what, SUBJECT_MEMBERS);
    return bytesOf(subject.commit, what, 'commit', 32);
  });
  const personal_commit = commitPersonal(bytesOf(salt_personal, where, 'salt_personal', 32), commits);
  if (personal_commit.compare(entry, PERSONAL_COMMIT_AT, ENTRY_BYTES) !== 0)
    throw new Lie(`${where}: the subject commits, their salt or the entry is not what was committed to`);
  if (meta.subjects !== subjects.length) throw new Lie(`${where}: meta does not count its ${subjects.length} subjects`);
  for (const [ordinal, commit] of commits.entries()) {
    const what = `${where}: subject ${ordinal}`;
    if (ordinal > 0 && commits[ordinal - 1]!.compare(commit) > 0) throw new Lie(`${what}: the commits are not sorted`);
    const { record, salt, erased } = subjects[ordinal]!;
    if ((record === undefined) !== (salt === undefined)) throw new Unreadable(`${what}: record and salt stand together`);
    if (erased !== undefined && (erased !== true || record !== undefined))
      throw new Unreadable(`${what}: erased is true, without a record`);
    if (record === undefined) continue;
    requireObject(record, `${what}: record`);
    if (!commitSubject(bytesOf(salt, what, 'salt', 32), recordText(record, what)).equals(commit))
      throw new Lie(`${what}: the record, its salt or the commit is not what was committed to`);
  }
  return subjects;
}

function recordText(record: Record<string, unknown>, what: string): string {
  try {
    return canonicalJson(record);
  } catch {
    // Also where it is nested so deep that the stack ends.
    throw new Lie(`${what}: holds what a record cannot hold, so it was not committed to`);
  }
}

function instantOf(at: unknown, where: string): number {
  const time = typeof at === 'string' && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/.test(at) ? Date.parse(at) : Number.NaN;
  if (Number.isNaN(time)) throw new Lie(`${where}: at of meta is not an instant`);
  return time;
}

/** Lines without their newlines, as many as come at once; the last may be `cut`, without one. */
async function* linesOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Iterable<{ bytes: Buffer; cut: boolean }>> {
  let line = 1;
  let rest: Buffer = Buffer.alloc(0);
  function* whole(bytes: Buffer) {
    let start = 0;
    for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, start)) {
      requireShort(end - start, line++);
      yield { bytes: bytes.subarray(start, end), cut: false };
      start = end + 1;
    }
    rest = bytes.subarray(start);
    requireShort(rest.length, line);
  }
  for await (const chunk of chunks) yield whole(Buffer.concat([rest, chunk]));
  if (rest.length > 0) yield [{ bytes: rest, cut: true }];
}

function requireShort(length: number, line: number): void {
  if (length > LONGEST_LINE_BYTES) throw new Unreadable(`line ${line}: longer than 1 MiB`);
}

function parseLine(bytes: Buffer, where: string, cut: boolean): Record<string, unknown> {
  if (!isUtf8(bytes)) throw new Unreadable(`${where}: not UTF-8`);
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString());
  } catch {
    throw new Unreadable(`${where}: ${cut ? 'cut off, or ' : ''}not JSON`);
  }
  requireObject(value, where);
  return value;
}

function requireObject(value: unknown, what: string): asserts value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Unreadable(`${what}: not an object`);
}

function requireMembers(value: unknown, required: string[], what: string, allowed = required): void {
  requireObject(value, what);
  for (const name of required) if (!Object.hasOwn(value, name)) throw new Unreadable(`${what}: ${name} is missing`);
  for (const name of Object.keys(value))
    if (!allowed.includes(name))
      throw new Unreadable(`${what}: a member that no export has, ${JSON.stringify(name.slice(0, 40))}`);
}

function bytesOf(value: unknown, where: string, name: string, length?: number): Buffer {
  const bytes = typeof value === 'string' ? decodeBase64(value) : undefined;
  if (bytes === undefined || bytes.length !== (length ?? bytes.length))
    throw new Unreadable(`${where}: ${name} is not base64${length === undefined ? '' : ` of ${length} bytes`}`);
  return bytes;
}
