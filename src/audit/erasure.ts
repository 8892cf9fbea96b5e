import { sql } from 'kysely';
import type { Actor } from '../core/access.ts';
import { asSystem, type Tx } from '../platform/database.ts';
import type { Services } from '../services.ts';
import { noteInJournal } from './journal.ts';
import { record } from './record.ts';

/**
 * Erasure of a case or report from the trail: its wrapped keys are destroyed, and in every entry its subject record with the salt,
 * by which it was found. The commitments stay, so that the log verifies as before; whose they were nobody can tell any more. Entries
 * list them, which is what tells an erasure from a record that somebody made away with (`audit:verify`).
 */

/** One entry lists so many, lest a line of the export grow beyond what the verifier reads. */
const LISTED_TOGETHER = 10_000;

/**
 * Erases whatever the trail says of `subject_id`. What another transaction has not committed yet is found by the next call: so it
 * is called again by whoever erases, once all that was under way is over; where nothing is left it does nothing.
 * @returns the receipts of the entries that list what was erased; none where there was nothing
 */
export async function eraseFromTrail(services: Services, tx: Tx, actor: Actor, subject_id: string): Promise<string[]> {
  const receipts = await eraseByIndex(services, tx, actor, services.vault.subjectIndex(subject_id));
  if (receipts.length > 0) noteInJournal(services, tx, { kind: 'erased', id: subject_id, at: services.now() });
  return receipts;
}

/** The same, for whoever knows the blind index alone. */
export async function eraseByIndex(services: Services, tx: Tx, actor: Actor, subject_index: Buffer): Promise<string[]> {
  const { rows } = await asSystem(tx, 'erasure', tx =>
    sql<{ subject_commit: Buffer }>`select subject_commit from erase_subject(${subject_index})`.execute(tx),
  );
  const commits = rows.map(({ subject_commit }) => subject_commit.toString('base64')).sort();
  const receipts: string[] = [];
  for (let at = 0; at < commits.length; at += LISTED_TOGETHER) {
    const erased = commits.slice(at, at + LISTED_TOGETHER);
    // About nobody: under the deployment's own key, for the audit body alone to open.
    const subjects = [{ subject_id: 'trail', erased }];
    const entry = { action: 'audit.erase', resource_type: 'audit', subjects, subjects_withheld: true } as const;
    receipts.push(await record(services, tx, actor, entry));
  }
  return receipts;
}
