import { randomBytes } from 'node:crypto';
import { canonicalJson, commitSubject } from '../core/canonical.ts';
import { findDataKeys } from '../platform/data-keys.ts';
import type { Tx } from '../platform/database.ts';
import type { AuditSubjectReferralTable, AuditSubjectTable } from '../platform/tables.ts';
import { openText, sealText, type Vault } from '../platform/vault.ts';

/**
 * Subject records at rest: what an entry says of one case or report, sealed under its key together with the salt of its
 * commitment, so that erasure destroys both at once and the commitment says nothing more.
 */

/** What an entry says of one case or report. `changed` names fields, never contents. */
export interface SubjectRecord {
  subject_id: string;
  referral_id?: string;
  /** For lists: all of the case's referrals that were shown. */
  referral_ids?: string[];
  offer_id?: string;
  resource_id?: string;
  changed?: string[];
  [detail: string]: string | boolean | null | string[] | undefined;
}

interface Sealing {
  vault: Vault;
}

export interface SealedSubjects {
  /** Sorted; a subject's ordinal is its place here. */
  commits: Buffer[];
  rows: AuditSubjectTable[];
  /** Under which referrals they are found. */
  referrals: AuditSubjectReferralTable[];
}

/**
 * @param reader_agency_id whose auditors may open them and find the entry by them; null: the audit body alone
 * @param withheld cases and reports that this agency may act on but not know: of them it finds its own referrals only
 */
export async function sealSubjects(
  services: Sealing,
  tx: Tx,
  entry_id: Buffer,
  reader_agency_id: string | null,
  subjects: readonly SubjectRecord[],
  withheld: readonly string[] = [],
): Promise<SealedSubjects> {
  const { vault } = services;
  const keys = await findDataKeys(
    services,
    tx,
    subjects.map(subject => subject.subject_id),
  );
  const sorted = subjects
    .map(subject => {
      const text = canonicalJson(Object.fromEntries(Object.entries(subject).filter(([, value]) => value !== undefined)));
      const salt = randomBytes(32);
      return { subject, text, salt, commit: commitSubject(salt, text) };
    })
    .sort((a, b) => Buffer.compare(a.commit, b.commit));
  const rows = sorted.map(({ subject, text, salt }, ordinal) => {
    const key = keys.get(subject.subject_id);
    const place = placeOf(entry_id, ordinal);
    const plain = `${salt.toString('base64')}\n${text}`;
    return {
      entry_id,
      ordinal,
      reader_agency_id: withheld.includes(subject.subject_id) ? null : reader_agency_id,
      key_id: key ? subject.subject_id : null,
      sealed: key ? sealText(key, place, plain) : vault.sealOwn(place, plain),
      subject_index: vault.subjectIndex(subject.subject_id),
    };
  });
  const referrals = sorted.flatMap(({ subject }, ordinal) => {
    const ids = new Set(subject.referral_ids ?? (subject.referral_id ? [subject.referral_id] : []));
    return [...ids].map(id => ({ referral_index: vault.subjectIndex(id), reader_agency_id, entry_id, ordinal }));
  });
  return { commits: sorted.map(({ commit }) => commit), rows, referrals };
}

export type OpenedSubject = { record: SubjectRecord; salt: string } | { erased: true };

/** Opens the rows that the caller was let to see, whichever cases they are of: runs as the role `trail`. */
export async function openSubjects<Row extends AuditSubjectTable>(
  services: Sealing,
  tx: Tx,
  rows: readonly Row[],
): Promise<(Row & { opened: OpenedSubject })[]> {
  const key_ids = rows.flatMap(row => row.key_id ?? []);
  const keys = await findDataKeys(services, tx, key_ids);
  return rows.map(row => ({ ...row, opened: openSubject(services.vault, keys, row) }));
}

function openSubject(
  vault: Vault,
  keys: Map<string, Buffer>,
  { entry_id, ordinal, key_id, sealed }: AuditSubjectTable,
): OpenedSubject {
  const key = key_id === null ? undefined : keys.get(key_id);
  if (sealed === null || (key_id !== null && !key)) return { erased: true };
  const place = placeOf(entry_id, ordinal);
  const plain = key ? openText(key, place, sealed) : vault.openOwn(place, sealed);
  const end = plain.indexOf('\n');
  return { record: JSON.parse(plain.slice(end + 1)) as SubjectRecord, salt: plain.slice(0, end) };
}

const placeOf = (entry_id: Buffer, ordinal: number) => ({
  table: 'audit_subjects',
  row: entry_id.toString('hex'),
  category: 'trail',
  version: ordinal,
});
