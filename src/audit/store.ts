import { type Selectable, type SelectQueryBuilder, sql } from 'kysely';
import { prefixOf } from '../core/ids.ts';
import type { Tx } from '../platform/database.ts';
import type { AuditLogTable, AuditRecordView, AuditSubjectTable, Tables } from '../platform/tables.ts';
import type { SubjectRecord } from './subjects.ts';

/** The SQL with which the trail is read; `record.ts` writes it, and `sequencer.ts` gives each entry its place. */

export type EntryRow = Selectable<AuditLogTable>;

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

/** The entries of the log that the reader may see, in its order, or backwards; `below`: how many were published. */
export function selectEntries(
  tx: Tx,
  filter: EntryFilter,
  { order, after, below, limit }: { order: 'newest' | 'oldest'; after?: number; below: number; limit: number },
): SelectQueryBuilder<Tables, 'audit_log', EntryRow> {
  const { reader_agency_id: reader, subject_indices, referral_index, from, to } = filter;
  let query = tx
    .selectFrom('audit_log')
    .selectAll()
    .where('index', '<', below)
    .orderBy('index', order === 'newest' ? 'desc' : 'asc')
    .limit(limit);
  if (reader !== undefined) query = query.where('agency_id', '=', reader);
  for (const column of PLAIN) {
    if (filter[column] !== undefined) query = query.where(column, '=', filter[column] as never);
  }
  for (const index of subject_indices) {
    query = query.where('entry_id', 'in', eb =>
      eb
        .selectFrom('audit_subjects')
        .select('entry_id')
        .where('subject_index', '=', index)
        .$if(reader !== undefined, found => found.where('reader_agency_id', '=', reader!)),
    );
  }
  if (referral_index) {
    query = query.where('entry_id', 'in', eb =>
      eb
        .selectFrom('audit_subject_referrals')
        .select('entry_id')
        .where('referral_index', '=', referral_index)
        .$if(reader !== undefined, found => found.where('reader_agency_id', '=', reader!)),
    );
  }
  if (from) query = query.where('at', '>=', from);
  if (to) query = query.where('at', '<', to);
  if (after !== undefined) query = query.where('index', order === 'newest' ? '<' : '>', after);
  return query;
}

/** The entry in this place of the log, where the reader may see it. */
export const findEntry = (tx: Tx, index: number, reader_agency_id: string | undefined): Promise<EntryRow | undefined> =>
  tx
    .selectFrom('audit_log')
    .selectAll()
    .where('index', '=', index)
    .$if(reader_agency_id !== undefined, query => query.where('agency_id', '=', reader_agency_id!))
    .executeTakeFirst();

/** The entries from one index to before another. */
export const listEntriesFrom = (tx: Tx, from: number, to: number): Promise<EntryRow[]> =>
  tx.selectFrom('audit_log').selectAll().where('index', '>=', from).where('index', '<', to).orderBy('index').execute();

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
  const row = await tx
    .selectFrom('audit_records')
    .select('number')
    .where('action', '=', action)
    .where('code', '=', code)
    .$if(since !== undefined, query => query.where('at', '>', since!))
    .limit(1)
    .executeTakeFirst();
  return row !== undefined;
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
    case 'msg': {
      const found = await tx.selectFrom('messages').select(['case_id', 'referral_id']).where('id', '=', id).executeTakeFirst();
      return found
        ? { subject_id: found.case_id, referral_id: found.referral_id, resource_id: id }
        : { subject_id: id, exists: false };
    }
    case 'tmr': {
      const found = await tx.selectFrom('timers').select(['case_id', 'referral_id']).where('id', '=', id).executeTakeFirst();
      if (!found) return { subject_id: id, exists: false };
      const { case_id, referral_id } = found;
      return { subject_id: case_id, resource_id: id, ...(referral_id ? { referral_id } : {}) };
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
