import { recordFailure } from '../../audit/failures.ts';
import { record } from '../../audit/record.ts';
import { systemActor } from '../../core/access.ts';
import { type DueDigest, digestDue, tellByTrack } from '../../core/digest.ts';
import { overdueAt } from '../../core/undelivered.ts';
import { asSystem, type Tx, transact } from '../../platform/database.ts';
import { calendarsOf } from '../../rules/calendars/store.ts';
import { getCurrentRulePack } from '../../rules/store.ts';
import type { Services } from '../../services.ts';
import { countUndelivered } from '../undelivered/store.ts';
import { type Asking, countDay, countTold, insertDigest, listAsking } from './store.ts';

const RELAY = systemActor('relay');

/**
 * Tells the coordination committees that ask for it how the day before was, each jurisdiction once a day, from six in the morning
 * by the clock on its wall; later on that day where the service was down.
 * @returns false: it looks at everything
 */
export async function tellDigests(services: Services): Promise<boolean> {
  const asking = await transact(services, RELAY, listAsking);
  for (const it of asking) {
    const told = transact(services, RELAY, tx => tellDigest(services, tx, it));
    await told
      .then(is_told => is_told && services.wake_up.notify())
      .catch(async error => {
        // One that fails must not stand before the others: it is tried again by the next round.
        services.log.error({ err: error }, 'a digest was not told');
        await recordFailure(services, error, { role: 'relay', action: 'digest.tell', subject: { subject_id: it.agency_id } });
      });
  }
  return false;
}

/** @returns whether it was told now */
async function tellDigest(services: Services, tx: Tx, { agency_id, jurisdiction, last_day }: Asking): Promise<boolean> {
  const now = services.now();
  const { calendar_id } = await getCurrentRulePack(services, tx, jurisdiction);
  const { compiled } = await calendarsOf(services).get(tx, calendar_id);
  const due = digestDue(now, compiled.time_zone);
  if (!due || (last_day !== null && last_day >= due.day)) return false;
  if (!(await insertDigest(tx, { agency_id, jurisdiction, day: due.day }, now))) return false;
  const counts = await countAll(tx, jurisdiction, due, now);
  await record(services, tx, RELAY, {
    action: 'digest.tell',
    resource_type: 'digest',
    subjects: [{ subject_id: agency_id, jurisdiction, day: due.day }],
    events: [
      {
        type: 'digest.daily',
        subject_id: agency_id,
        urgent: false,
        recipients: [{ agency_id, body: { jurisdiction, ...counts, notify: { roles: ['coordinator'] } } }],
      },
    ],
  });
  return true;
}

async function countAll(tx: Tx, jurisdiction: string, { counted }: DueDigest, now: Date): Promise<Record<string, unknown>> {
  const [all, in_crisis] = await asSystem(tx, 'clock', tx =>
    Promise.all([countDay(tx, jurisdiction, counted), countDay(tx, jurisdiction, counted, { in_crisis: true })]),
  );
  const { opened, closed, unplaced, breached, ...referrals } = all;
  const { escalations, unreachable } = await countTold(tx, jurisdiction, counted);
  return {
    day: counted.day,
    from: counted.from.toISOString(),
    to: counted.to.toISOString(),
    cases: { opened: tellByTrack(opened), closed: tellByTrack(closed) },
    referrals,
    in_crisis: { ...in_crisis, opened: tellByTrack(in_crisis.opened), closed: tellByTrack(in_crisis.closed) },
    clocks: { breached, escalations },
    now: { unplaced, unreachable, undelivered: await countUndelivered(tx, jurisdiction, overdueAt(now)) },
  };
}
