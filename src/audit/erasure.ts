import { sql } from 'kysely';
import type { Actor } from '../core/access.ts';
import { asSystem, type Tx } from '../platform/database.ts';
import type { Services } from '../services.ts';
import { noteInJournal } from './journal.ts';
import { record } from './record.ts';

/**
 * Erasure of a case or report from the trail: its wrapped keys are destroyed, and in every entry its subject record with the salt,
 * by which it was found. The commitments stay, so that the log verifies as before; whose they were nobody can tell any more. One
 * entry lists them, which is what tells an erasure from a record that somebody made away with (`audit:verify`).
 */

/** One subject record holds so many, lest a line of the export grow without bounds. */
const LISTED_TOGETHER = 1_000;

/**
 * Erases whatever the trail says of `subject_id`. What another transaction has not committed yet is found by the next call: so it
 * is called again by whoever erases, once all that was under way is over; where nothing is left it does nothing.
 * @returns the receipt of the entry that lists what was erased; null where there was nothing
 */
export async function eraseFromTrail(services: Services, tx: Tx, actor: Actor, subject_id: string): Promise<string | null> {
  const receipt = await eraseByIndex(services, tx, actor, services.vault.subjectIndex(subject_id));
  if (receipt !== null) noteInJournal(services, tx, { kind: 'erased', id: subject_id, at: services.now() });
  return receipt;
}

/** The same, for whoever knows the blind index alone. */
export async function eraseByIndex(services: Services, tx: Tx, actor: Actor, subject_index: Buffer): Promise<string | null> {
  const { rows } = await asSystem(tx, 'erasure', tx =>
    sql<{ subject_commit: Buffer }>`select subject_commit from erase_subject(${subject_index})`.execute(tx),
  );
  if (rows.length === 0) return null;
  const commits = rows.map(({ subject_commit }) => subject_commit.toString('base64')).sort();
  const lists = Array.from({ length: Math.ceil(commits.length / LISTED_TOGETHER) }, (_, i) =>
    commits.slice(i * LISTED_TOGETHER, (i + 1) * LISTED_TOGETHER),
  );
  // About nobody: under the deployment's own key, for the audit body alone to open.
  return record(services, tx, actor, {
    action: 'audit.erase',
    resource_type: 'audit',
    subjects: lists.map(erased => ({ subject_id: 'trail', erased })),
    subjects_withheld: true,
  });
}
