import { dayOf, readingOf } from './wall-clock.ts';

/** What a coordination committee is told every morning of the day before: counts, and nothing by which anybody could be found. */

const TOLD_AT_MINUTES = 6 * 60;
/** Fewer than so many are no group: what they have in common is not told of them. */
const SMALL = 5;

/** A digest that is due: the day on which it is told, and the instants between which what it counts happened. */
export interface DueDigest {
  day: string;
  counted: { day: string; from: Date; to: Date };
}

/** Today's, from six in the morning until the day is over. @param time_zone an IANA name */
export function digestDue(now: Date, time_zone: string): DueDigest | null {
  const day = dayOf(now, time_zone);
  if (now.getTime() < readingOf(day, TOLD_AT_MINUTES, time_zone, true)) return null;
  const before = day.subtract({ days: 1 });
  const midnight = (of: Temporal.PlainDate) => new Date(readingOf(of, 0, time_zone, true));
  return { day: day.toString(), counted: { day: before.toString(), from: midnight(before), to: midnight(day) } };
}

/** Cases by whether the person is named. */
export interface ByTrack {
  named: number;
  anonymous: number;
}

/** The sum, and what it is made of where no part of it is a small group. */
export function tellByTrack({ named, anonymous }: ByTrack): { total: number; by_track?: ByTrack } {
  const is_small = (count: number) => count > 0 && count < SMALL;
  const total = named + anonymous;
  return is_small(named) || is_small(anonymous) ? { total } : { total, by_track: { named, anonymous } };
}
