import { record } from '../../audit/record.ts';
import { systemActor } from '../../core/access.ts';
import { isMissed, isReachable } from '../../core/reach.ts';
import { asSystem, type Tx, transact } from '../../platform/database.ts';
import { readUptime } from '../../platform/heartbeat.ts';
import type { Services } from '../../services.ts';
import { listCoordinators } from '../store.ts';
import { deleteUnreachable, insertUnreachable, listWatched, tryLockWatch } from './store.ts';

const RELAY = systemActor('relay');

/**
 * Notes which agencies went out of reach and which are back, and tells the agency itself and its coordinators. However many
 * processes look at once, one does.
 * @returns false: it looks at everything
 */
export async function watchReach(services: Services): Promise<boolean> {
  const told = await transact(services, RELAY, async tx => {
    if (!(await tryLockWatch(tx))) return 0;
    const now = services.now();
    const uptime = await asSystem(tx, 'clock', tx => readUptime(tx, now));
    let told = 0;
    for (const { agency_id, unreachable_since, ...agency } of await listWatched(tx)) {
      if (unreachable_since === null && isMissed(agency, uptime?.running_since ?? null, now)) {
        await insertUnreachable(tx, agency_id, now);
        await tell(services, tx, agency_id, now);
      } else if (unreachable_since !== null && isReachable(agency, now)) {
        await deleteUnreachable(tx, agency_id);
        await tell(services, tx, agency_id, null);
      } else continue;
      told += 1;
    }
    return told;
  });
  if (told > 0) services.wake_up.notify();
  return false;
}

/** @param since null: it is back */
async function tell(services: Services, tx: Tx, agency_id: string, since: Date | null): Promise<void> {
  const body = since ? { agency_id, status: 'unreachable', since: since.toISOString() } : { agency_id, status: 'reachable' };
  const coordinators = await listCoordinators(tx, agency_id);
  await record(services, tx, RELAY, {
    action: since ? 'agency.note_unreachable' : 'agency.note_reachable',
    resource_type: 'agency',
    subjects: [{ subject_id: agency_id }],
    events: [
      {
        type: since ? 'endpoint.failing' : 'endpoint.recovered',
        subject_id: agency_id,
        urgent: false,
        recipients: [agency_id, ...coordinators].map(id => ({ agency_id: id, body })),
      },
    ],
  });
}
