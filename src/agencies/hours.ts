import { systemActor } from '../core/access.ts';
import { type OpenSpan, openSpans, type Schedule } from '../core/opening.ts';
import { transact } from '../platform/database.ts';
import type { Services } from '../services.ts';
import { listHoursEnding, type ServiceRow, saveHours } from './store.ts';

/**
 * The hours of services, reckoned ahead from their schedules and kept with them: so whoever looks for a place asks the database what is
 * open, and reckons with no rules.
 */

const AHEAD_MS = 60 * 86_400_000;
/** They are reckoned anew when no more than this is left of them. */
const LEFT_MS = 30 * 86_400_000;

/** The hours of the next weeks; null where nothing is known of them. */
export const hoursAhead = (schedules: readonly Schedule[], now: Date): Pick<ServiceRow, 'open_hours' | 'hours_until'> => {
  if (schedules.length === 0) return { open_hours: null, hours_until: null };
  const hours_until = new Date(now.getTime() + AHEAD_MS);
  // Since yesterday, for a clock may be behind.
  const since = new Date(now.getTime() - 86_400_000);
  return { open_hours: multirange(openSpans(schedules, since, hours_until)), hours_until };
};

const multirange = (spans: readonly OpenSpan[]): string =>
  `{${spans.map(({ from, to }) => `[${from.toISOString()},${to.toISOString()})`).join(',')}}`;

/**
 * Reckons on where the hours that are known come to their end.
 * @returns whether there may be more
 */
export async function reckonHours(services: Services): Promise<boolean> {
  const batch = 50;
  return transact(services, systemActor('router'), async tx => {
    const now = services.now();
    const ending = await listHoursEnding(tx, new Date(now.getTime() + LEFT_MS), batch);
    for (const { agency_id, service, schedules } of ending) await saveHours(tx, agency_id, service, hoursAhead(schedules, now));
    return ending.length === batch;
  });
}
