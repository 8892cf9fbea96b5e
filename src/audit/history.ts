import type { Tx } from '../platform/database.ts';
import type { Vault } from '../platform/vault.ts';
import { type ActRow, listActsOf } from './store.ts';
import { openSubjects, type SubjectRecord } from './subjects.ts';

/** An act of the trail with what it says of one case. */
export interface ActOfCase extends ActRow {
  record: SubjectRecord;
}

/**
 * What was done on a case, oldest first: no reads, no refusals. Shows everything to everybody: the caller cuts it. Runs as the
 * role `timeline`.
 * @param after the number of an act that the answer begins behind
 */
export async function readActs(
  services: { vault: Vault },
  tx: Tx,
  case_id: string,
  after: number | undefined,
  limit: number,
): Promise<ActOfCase[]> {
  const rows = await listActsOf(tx, services.vault.subjectIndex(case_id), after, limit);
  const opened = await openSubjects(services, tx, rows);
  return opened.flatMap(({ opened: subject, ...row }) => ('record' in subject ? [{ ...row, record: subject.record }] : []));
}
