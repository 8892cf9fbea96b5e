import { record, type SubjectRecord } from '../audit/record.ts';
import { systemActor } from '../core/access.ts';
import { moveSchedule } from '../core/clock.ts';
import { type Tx, transact } from '../platform/database.ts';
import { listCoordinators } from '../referrals/store.ts';
import { type CurrentCalendar, calendarsOf } from '../rules/calendars/store.ts';
import type { Services } from '../services.ts';
import { countMoves, findStaleCalendars, findUntoldMoves, lockStaleTimers, type Moves, saveMovesTold } from './moves-store.ts';
import { matterOf, type TimerRow } from './store.ts';
import { saveTimers } from './sweep-store.ts';

/**
 * What a changed calendar does to the timers that run along it: each is reckoned anew with the version that now stands, in
 * batches that lock those timers and nothing else, so that acts go on beside it; one that falls due meanwhile is reckoned anew
 * before anything is done about it. The trail keeps from when to when each moved; when the last has moved, every agency is told
 * once how many of its own did.
 */

const CLOCK = systemActor('clock');
const BATCH = 500;
/** While one waits for the database, another reckons. */
const AT_A_TIME = 2;

/**
 * One batch of each calendar, or the news of it. Any number may run at once.
 * @returns whether there may be more
 * @throws whatever went wrong with one calendar, once the others have had their turn
 */
export async function moveTimers(services: Services): Promise<boolean> {
  const stale = await transact(services, CLOCK, findStaleCalendars);
  let moved = 0;
  const failed: unknown[] = [];
  for (const calendar of stale) {
    for (const batch of await Promise.allSettled(Array.from({ length: AT_A_TIME }, () => moveBatch(services, calendar)))) {
      if (batch.status === 'fulfilled') moved += batch.value;
      else {
        services.log.error({ err: batch.reason }, 'the clocks of a changed calendar did not move');
        failed.push(batch.reason);
      }
    }
  }
  // What another process is moving is still stale to this one: whoever comes last tells.
  if (moved === 0) await transact(services, CLOCK, tx => tellMoves(services, tx));
  if (moved === 0 && failed.length > 0) throw failed[0];
  return moved > 0;
}

/** @returns how many were looked at */
const moveBatch = (services: Services, calendar: { id: string; version: number }): Promise<number> =>
  transact(services, CLOCK, async tx => {
    const timers = await lockStaleTimers(tx, calendar, BATCH);
    await moveStale(services, tx, timers, services.now());
    return timers.length;
  });

/** Reckons those of these timers anew, which must be locked and running, whose calendar has changed since they were reckoned. */
export async function moveStale(services: Services, tx: Tx, timers: readonly TimerRow[], now: Date): Promise<void> {
  const calendars = calendarsOf(services);
  const by_calendar = Map.groupBy(
    timers.filter(({ calendar_id }) => calendar_id !== null),
    ({ calendar_id }) => calendar_id!,
  );
  for (const [id, along] of by_calendar) {
    const calendar = await calendars.get(tx, id);
    const stale = along.filter(({ calendar_version }) => calendar_version! < calendar.version);
    if (stale.length > 0) await moveAlong(services, tx, calendar, stale, now);
  }
}

async function moveAlong(
  services: Services,
  tx: Tx,
  { id, version, compiled }: CurrentCalendar,
  timers: readonly TimerRow[],
  now: Date,
): Promise<void> {
  const subjects: SubjectRecord[] = [];
  const moved: TimerRow[] = [];
  for (const timer of timers) {
    const due_from = timer.due_at;
    Object.assign(timer, moveSchedule(timer, compiled, now), { calendar_version: version });
    if (timer.due_at.getTime() === due_from.getTime()) continue;
    timer.version++;
    moved.push(timer);
    subjects.push({
      subject_id: matterOf(timer),
      resource_id: timer.id,
      timer: timer.name,
      due_from: due_from.toISOString(),
      due_to: timer.due_at.toISOString(),
      calendar_id: id,
      calendar_version: String(version),
      ...(timer.referral_id ? { referral_id: timer.referral_id } : {}),
    });
  }
  saveTimers(tx, timers);
  if (moved.length === 0) return;
  await record(services, tx, CLOCK, { action: 'timer.move', resource_type: 'timer', subjects });
  await countMoves(tx, { calendar_id: id, version }, await countByAgency(tx, moved));
}

/** How many moved, and to when, for whoever has to meet them and for whoever coordinates. */
async function countByAgency(tx: Tx, moved: readonly TimerRow[]): Promise<Map<string, Moves>> {
  const coordinators = new Map<string, string[]>();
  for (const { jurisdiction } of moved) {
    if (!coordinators.has(jurisdiction)) coordinators.set(jurisdiction, await listCoordinators(tx, jurisdiction));
  }
  const counts = new Map<string, Moves>();
  for (const { responsible_agency_id, jurisdiction, due_at } of moved) {
    for (const agency_id of new Set([responsible_agency_id, ...coordinators.get(jurisdiction)!])) {
      const { moved, first_due_at, last_due_at } = counts.get(agency_id) ?? {
        moved: 0,
        first_due_at: due_at,
        last_due_at: due_at,
      };
      counts.set(agency_id, {
        moved: moved + 1,
        first_due_at: due_at < first_due_at ? due_at : first_due_at,
        last_due_at: due_at > last_due_at ? due_at : last_due_at,
      });
    }
  }
  return counts;
}

/** Tells each agency of the changes that have moved all they had to move. */
async function tellMoves(services: Services, tx: Tx): Promise<void> {
  const untold = await findUntoldMoves(tx);
  for (const moves of Map.groupBy(untold, ({ calendar_id, version }) => `${calendar_id} ${version}`).values()) {
    const { calendar_id, version } = moves[0]!;
    await record(services, tx, CLOCK, {
      action: 'calendar.move_timers',
      resource_type: 'calendar',
      subjects: [{ subject_id: calendar_id, calendar_version: String(version) }],
      events: [
        {
          type: 'timer.moved',
          subject_id: calendar_id,
          urgent: false,
          recipients: moves.map(({ agency_id, moved, first_due_at, last_due_at }) => ({
            agency_id,
            body: {
              calendar_id,
              calendar_version: version,
              count: moved,
              first_due_at: first_due_at.toISOString(),
              last_due_at: last_due_at.toISOString(),
              notify: { roles: ['supervisor'] },
            },
          })),
        },
      ],
    });
    const agency_ids = moves.map(({ agency_id }) => agency_id);
    await saveMovesTold(tx, { calendar_id, version }, agency_ids, services.now());
  }
}
