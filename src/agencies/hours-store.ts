import type { Service } from '../core/codes.ts';
import { openSpans, type Schedule } from '../core/opening.ts';
import type { Tx } from '../platform/database.ts';

/** The hours that follow from a service's schedules, kept with it for the time ahead. */

const DAY_MS = 86_400_000;
/** For so long ahead the hours of a service are worked out; anew when half of it has gone by. */
const HOURS_AHEAD_MS = 60 * DAY_MS;

/** The schedules, and what follows from them for the time ahead. */
export function hoursOf(schedules: readonly Schedule[], now: Date) {
  const until = new Date(now.getTime() + HOURS_AHEAD_MS);
  const said = { schedules: JSON.stringify(schedules) };
  if (schedules.length === 0) return { ...said, open_hours: null, open_hours_until: null };
  const spans = openSpans(schedules, now, until).map(
    ({ from, to }) => `[${new Date(from).toISOString()},${new Date(to).toISOString()})`,
  );
  return { ...said, open_hours: `{${spans.join()}}`, open_hours_until: until };
}

/** Services whose hours are known for less than half of the time ahead. */
export const listHoursEnding = (tx: Tx, now: Date, limit: number): Promise<{ agency_id: string; service: Service }[]> =>
  tx
    .selectFrom('services')
    .select(['agency_id', 'service'])
    .where('open_hours_until', '<', new Date(now.getTime() + HOURS_AHEAD_MS / 2))
    .orderBy('open_hours_until')
    .limit(limit)
    .execute();

/** Works out its hours from `now` on. The version, which counts what the agency said, stays. */
export async function saveOpenHours(tx: Tx, agency_id: string, service: Service, now: Date): Promise<void> {
  const found = await tx
    .selectFrom('services')
    .select('schedules')
    .where('agency_id', '=', agency_id)
    .where('service', '=', service)
    .forNoKeyUpdate()
    .executeTakeFirst();
  if (!found) return;
  const { open_hours, open_hours_until } = hoursOf(found.schedules, now);
  await tx
    .updateTable('services')
    .set({ open_hours, open_hours_until })
    .where('agency_id', '=', agency_id)
    .where('service', '=', service)
    .execute();
}
