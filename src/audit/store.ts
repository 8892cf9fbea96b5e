import { type Selectable, sql } from 'kysely';
import { prefixOf } from '../core/ids.ts';
import type { Tx } from '../platform/database.ts';
import type { AuditLogTable, AuditRecordView, AuditSubjectTable } from '../platform/tables.ts';
import type { SubjectRecord } from './subjects.ts';

/** The SQL with which the trail is read; `record.ts` writes it, and `sequencer.ts` gives each entry its place. */

/** What is shown of an entry. */
const ENTRY_COLUMNS = [
  'l.index',
  'l.entry_id',
  'l.entry',
  'l.meta',
  'l.salt_meta',
  'l.salt_personal',
  'l.subject_commits',
] as const;

export type EntryRow = Pick<
  Selectable<AuditLogTable>,
  'index' | 'entry_id' | 'entry' | 'meta' | 'salt_meta' | 'salt_personal' | 'subject_commits'
>;

/** Columns that are asked for as they are. */
const PLAIN = ['agency_id', 'caseworker', 'client_id', 'action', 'outcome', 'resource_type', 'lawful_ground'] as const;

export interface EntryFilter extends Partial<Record<(typeof PLAIN)[number], string>> {
  /** The agency whose auditors ask; without it, the audit body's. */
  reader_agency_id?: string;
  /** Blind indices: entries about every one of these cases or reports. */
  subject_indices: readonly Buffer[];
  referral_index?: Buffer;
  /** Inclusive. */
  from?: Date;
  /** Exclusive. */
  to?: Date;
}

interface Page {
  order: 'newest' | 'oldest';
  /** The place at which the page before ended. */
  after?: number;
  /** How many were published. */
  below: number;
  limit: number;
}

/** Places from one to before another. */
interface Stretch {
  from: number;
  to: number;
}

/** So many entries are looked through as they lie there, and so many where what is wanted is of many kinds: each is a look. */
const NEAR = 4_096;
const FARTHER = 32_768;
const MANY_KINDS = 2_000;
/** How long a whole span is. */
const SPAN = 4_096;
/** Limits stand in the texts themselves: a plan that is made once knows then that a page is short. */
const SHORT_PAGE = 51;
const LONG_PAGE = 201;

/**
 * The entries of the log that the reader may see, in its order or backwards. Whatever the filters are, and whether they find
 * anything, it costs some ten thousand rows: what is common is found next to where the page begins, what is rare by its kinds.
 */
export async function listEntries(tx: Tx, filter: EntryFilter, page: Page): Promise<EntryRow[]> {
  const found: EntryRow[] = [];
  for (const stretch of await listStretches(tx, filter, page)) {
    if (found.length >= page.limit) break;
    found.push(...(await listEntriesIn(tx, filter, stretch, page)));
  }
  return found.slice(0, page.limit);
}

async function listEntriesIn(tx: Tx, filter: EntryFilter, stretch: Stretch, page: Page): Promise<EntryRow[]> {
  if (isAbout(filter)) return (await selectEntriesAbout(filter, stretch, page).execute(tx)).rows;
  const found: EntryRow[] = [];
  let rest = stretch;
  const lookThrough = async (length: number) => {
    const [near, beyond] = divide(rest, page.order, length);
    found.push(...(await selectEntriesIn(tx, filter, near, page).execute()));
    rest = beyond;
    return found.length >= page.limit || beyond.from >= beyond.to;
  };
  if (await lookThrough(NEAR)) return found;
  if ((await countKinds(tx, filter)) > MANY_KINDS && (await lookThrough(FARTHER))) return found;
  // One row after the other from the index, instead of all of a kind to sort them: a kind may have millions.
  await sql`select set_config('enable_bitmapscan', 'off', true)`.execute(tx);
  found.push(...(await selectEntriesOfKinds(filter, rest, page).execute(tx)).rows);
  await sql`select set_config('enable_bitmapscan', 'on', true)`.execute(tx);
  return found;
}

const isAbout = ({ subject_indices, referral_index }: EntryFilter) => subject_indices.length > 0 || referral_index !== undefined;

function divide({ from, to }: Stretch, order: Page['order'], length: number): [near: Stretch, beyond: Stretch] {
  const at = order === 'newest' ? Math.max(from, to - length) : Math.min(to, from + length);
  const [older, newer] = [
    { from, to: at },
    { from: at, to },
  ];
  return order === 'newest' ? [newer, older] : [older, newer];
}

/**
 * Where in the log the entries of a page can be, in its order. By times these are runs of spans, and the end of the log, which is in
 * no span yet: one run, but for what was recorded by a clock that was wrong, or got its place late.
 */
async function listStretches(tx: Tx, filter: EntryFilter, { order, after, below }: Page): Promise<Stretch[]> {
  const { from, to } = filter;
  const page = {
    from: order === 'oldest' && after !== undefined ? after + 1 : 0,
    to: order === 'newest' && after !== undefined ? Math.min(after, below) : below,
  };
  // Each of those about a case is looked at wherever it lies.
  if ((!from && !to) || isAbout(filter)) return [page];
  const { rows } = await sql<Stretch>`
    select min(first) as from, max(behind) as to from (
      select first, behind, sum(apart) over (order by first) as run from (
        select first, behind, (first is distinct from lag(behind) over (order by first))::int as apart from (
          select index as first, index + ${sql.lit(SPAN)} as behind, earliest, latest from audit_spans
          union all
          select min(index), max(index) + 1, min(at), max(at) from audit_log
          where index >= (select coalesce(max(index) + ${sql.lit(SPAN)}, 0) from audit_spans)
        ) spans where (${from ?? null}::timestamptz is null or latest >= ${from ?? null})
          and (${to ?? null}::timestamptz is null or earliest < ${to ?? null})
      ) spans
    ) runs group by run order by 1 ${sql.raw(directionOf({ order }))}`.execute(tx);
  return rows
    .map(run => ({ from: Math.max(page.from, run.from), to: Math.min(page.to, run.to) }))
    .filter(run => run.from < run.to);
}

/** One text whatever is asked for, so that it is planned once. */
const isWanted = ({ reader_agency_id, ...filter }: EntryFilter, table: string) =>
  sql<boolean>`${sql.join(
    [...PLAIN.map(column => [column, filter[column]] as const), ['agency_id', reader_agency_id] as const].map(
      ([column, value]) => sql`(${value ?? null}::text is null or ${sql.ref(`${table}.${column}`)} = ${value ?? null})`,
    ),
    sql` and `,
  )}`;

const isInTime = ({ from, to }: EntryFilter, table: string) =>
  sql<boolean>`(${from ?? null}::timestamptz is null or ${sql.ref(`${table}.at`)} >= ${from ?? null})
    and (${to ?? null}::timestamptz is null or ${sql.ref(`${table}.at`)} < ${to ?? null})`;

const directionOf = ({ order }: Pick<Page, 'order'>) => (order === 'newest' ? 'desc' : 'asc');
const mostOf = ({ limit }: Page) => sql.lit(limit <= SHORT_PAGE ? SHORT_PAGE : LONG_PAGE);

async function countKinds(tx: Tx, filter: EntryFilter): Promise<number> {
  const { rows } = await sql<{ n: number }>`select count(*) as n from audit_kinds k where ${isWanted(filter, 'k')}`.execute(tx);
  return rows[0]!.n;
}

/** Those in a short stretch, looked at one after the other. */
export const selectEntriesIn = (tx: Tx, filter: EntryFilter, { from, to }: Stretch, page: Page) =>
  tx
    .selectFrom('audit_log as l')
    .select(ENTRY_COLUMNS)
    .where('l.index', '>=', from)
    .where('l.index', '<', to)
    .where(isWanted(filter, 'l'))
    .where(isInTime(filter, 'l'))
    .orderBy('l.index', directionOf(page))
    .limit(mostOf(page));

/**
 * Those in a stretch, however long, by the kinds that are wanted. The page is among those kinds of which the nearest entries are
 * nearest, one for each entry of it.
 */
export function selectEntriesOfKinds(filter: EntryFilter, { from, to }: Stretch, page: Page) {
  const [direction, most] = [sql.raw(directionOf(page)), mostOf(page)];
  const nearest = (limit: typeof most) => sql`
    select l.index from audit_log l
    where l.kind = k.kind and l.index >= ${from} and l.index < ${to} and ${isWanted(filter, 'l')} and ${isInTime(filter, 'l')}
    order by l.index ${direction} limit ${limit}`;
  return sql<EntryRow>`
    with wanted as materialized (
      select distinct k.kind from audit_kinds k where ${isWanted(filter, 'k')}
    ), near as materialized (
      select k.kind from wanted k, lateral (${nearest(sql.lit(1))}) l order by l.index ${direction} limit ${most}
    ), page as materialized (
      select l.index from near k, lateral (${nearest(most)}) l order by l.index ${direction} limit ${most}
    )
    select ${sql.join(ENTRY_COLUMNS.map(column => sql.ref(column)))} from page p, lateral (
      select * from audit_log where index = p.index) l order by l.index ${direction}`;
}

/** Those about cases, reports and a referral: looked up one by one, so that it costs as many as there are of these, wherever they lie. */
export function selectEntriesAbout(filter: EntryFilter, { from, to }: Stretch, page: Page) {
  const { reader_agency_id: reader, subject_indices, referral_index } = filter;
  const readable = reader === undefined ? sql`true` : sql`reader_agency_id = ${reader}`;
  const sets = subject_indices.map(
    index => sql`select entry_id from audit_subjects where subject_index = ${index} and ${readable}`,
  );
  if (referral_index)
    sets.push(sql`select entry_id from audit_subject_referrals where referral_index = ${referral_index} and ${readable}`);
  return sql<EntryRow>`
    select ${sql.join(ENTRY_COLUMNS.map(column => sql.ref(column)))} from audit_log l
    where l.entry_id = any (array(${sql.join(sets, sql` intersect `)})) and l.index >= ${from} and l.index < ${to}
      and ${isWanted(filter, 'l')} and ${isInTime(filter, 'l')}
    order by l.index ${sql.raw(directionOf(page))} limit ${mostOf(page)}`;
}

/** The entry in this place of the log, where the reader may see it. */
export const findEntry = (tx: Tx, index: number, reader_agency_id: string | undefined): Promise<EntryRow | undefined> =>
  tx
    .selectFrom('audit_log as l')
    .select(ENTRY_COLUMNS)
    .where('index', '=', index)
    .$if(reader_agency_id !== undefined, query => query.where('agency_id', '=', reader_agency_id!))
    .executeTakeFirst();

/** The entries from one index to before another. */
export const listEntriesFrom = (tx: Tx, from: number, to: number): Promise<EntryRow[]> =>
  tx
    .selectFrom('audit_log as l')
    .select(ENTRY_COLUMNS)
    .where('index', '>=', from)
    .where('index', '<', to)
    .orderBy('index')
    .execute();

/** Agencies that watch over the trail. */
export const listAuditBodies = async (tx: Tx): Promise<string[]> => {
  const rows = await tx
    .selectFrom('agencies')
    .select('id')
    .where('kind', '=', 'audit_body')
    .where('status', '=', 'active')
    .orderBy('id')
    .execute();
  return rows.map(({ id }) => id);
};

/** When the oldest of what the published log does not have was recorded. Runs as the role `timeline`. */
export async function findOldestUnpublished(tx: Tx): Promise<Date | null> {
  const has_place = await tx
    .selectFrom('audit_head')
    .innerJoin('audit_log', 'audit_log.index', 'audit_head.published_size')
    .select('audit_log.at')
    .executeTakeFirst();
  const waits = has_place ?? (await tx.selectFrom('audit_pending').select('at').orderBy('number').limit(1).executeTakeFirst());
  return waits?.at ?? null;
}

/**
 * Whether this was recorded already, since then; whoever asks at the same time waits, lest it be recorded twice. Runs as the role
 * `timeline`.
 */
export async function wasRecorded(
  tx: Tx,
  { action, code, since }: { action: string; code: string; since?: Date },
): Promise<boolean> {
  await sql`select pg_advisory_xact_lock(hashtextextended('aman once', 0))`.execute(tx);
  const isIt = (table: string) => sql`${sql.ref(table)}.action = ${action} and ${sql.ref(table)}.code = ${code}
    and (${since ?? null}::timestamptz is null or ${sql.ref(table)}.at > ${since ?? null})`;
  const { rows } = await sql<{ was: boolean }>`
    select exists (select from audit_pending p where ${isIt('p')}) or exists (
      select from audit_kinds k, lateral (select from audit_log l where l.kind = k.kind and ${isIt('l')} limit 1) recorded
      where k.action = ${action}) as was`.execute(tx);
  return rows[0]!.was;
}

/** Subjects of these entries that the reader may open. */
export const listSubjects = (
  tx: Tx,
  entry_ids: readonly Buffer[],
  reader_agency_id: string | undefined,
): Promise<Selectable<AuditSubjectTable>[]> =>
  tx
    .selectFrom('audit_subjects')
    .selectAll()
    .where('entry_id', 'in', entry_ids)
    .$if(reader_agency_id !== undefined, query => query.where('reader_agency_id', '=', reader_agency_id!))
    .execute();

const ACT_COLUMNS = ['r.number', 'r.at', 'r.action', 'r.resource_type', 'r.code', 'r.agency_id', 'r.caseworker'] as const;

export type ActRow = Pick<
  Selectable<AuditRecordView>,
  'number' | 'at' | 'action' | 'resource_type' | 'code' | 'agency_id' | 'caseworker'
>;

/** What was done on the case or report with this blind index, oldest first, with the sealed record about it. */
export const listActsOf = (
  tx: Tx,
  subject_index: Buffer,
  after: number | undefined,
  limit: number,
): Promise<(ActRow & Selectable<AuditSubjectTable>)[]> =>
  tx
    .selectFrom('audit_subjects as s')
    .innerJoin('audit_records as r', 'r.entry_id', 's.entry_id')
    .selectAll('s')
    .select(ACT_COLUMNS)
    .where('s.subject_index', '=', subject_index)
    .where('r.outcome', '=', 'done')
    .$if(after !== undefined, query => query.where('r.number', '>', after!))
    .orderBy('r.number')
    .orderBy('s.ordinal')
    .limit(limit)
    .execute();

/**
 * What an entry says of something that was only named, perhaps by somebody who may not know of it: always one record, under its
 * case where there is one. Runs as the role `trail`.
 */
export async function findNamedSubject(tx: Tx, id: string): Promise<SubjectRecord> {
  switch (prefixOf(id)) {
    case 'cas': {
      const found = await tx.selectFrom('cases').select('id').where('id', '=', id).executeTakeFirst();
      return found ? { subject_id: id } : { subject_id: id, exists: false };
    }
    case 'ref': {
      const found = await tx.selectFrom('referrals').select('case_id').where('id', '=', id).executeTakeFirst();
      return found ? { subject_id: found.case_id, referral_id: id } : { subject_id: id, referral_id: id, exists: false };
    }
    case 'cns': {
      const found = await tx.selectFrom('consents').select('case_id').where('id', '=', id).executeTakeFirst();
      return found ? { subject_id: found.case_id, resource_id: id } : { subject_id: id, exists: false };
    }
    case 'dec':
    case 'scr': {
      const table = prefixOf(id) === 'dec' ? 'decisions' : 'screenings';
      const found = await tx.selectFrom(table).select('case_id').where('id', '=', id).executeTakeFirst();
      return found ? { subject_id: found.case_id, resource_id: id } : { subject_id: id, exists: false };
    }
    case 'msg': {
      const found = await tx.selectFrom('messages').select(['case_id', 'referral_id']).where('id', '=', id).executeTakeFirst();
      return found
        ? { subject_id: found.case_id, referral_id: found.referral_id, resource_id: id }
        : { subject_id: id, exists: false };
    }
    case 'tmr': {
      const found = await tx
        .selectFrom('timers')
        .select(['case_id', 'subject_id', 'referral_id'])
        .where('id', '=', id)
        .executeTakeFirst();
      if (!found) return { subject_id: id, exists: false };
      const { case_id, subject_id, referral_id } = found;
      return { subject_id: case_id ?? subject_id, resource_id: id, ...(referral_id ? { referral_id } : {}) };
    }
    case 'dsc': {
      // In one statement, so that finding nothing takes as long.
      const found = await tx
        .selectFrom('disclosures')
        .select('case_id')
        .where('id', '=', id)
        .unionAll(tx.selectFrom('audit_disclosures').select('case_id').where('id', '=', id))
        .executeTakeFirst();
      return found ? { subject_id: found.case_id, resource_id: id } : { subject_id: id, exists: false };
    }
    default:
      return { subject_id: id };
  }
}
