import type { Tx } from '../platform/database.ts';
import type { Notice } from './record.ts';
import { listAuditBodies } from './store.ts';

/** What every audit body is told of the log itself, at once. */
export async function alarmNotice(tx: Tx, code: string, now: Date): Promise<Notice> {
  const body = { code, at: now.toISOString() };
  const recipients = (await listAuditBodies(tx)).map(agency_id => ({ agency_id, body }));
  return { type: 'audit.alarm', subject_id: 'trail', urgent: true, recipients };
}
