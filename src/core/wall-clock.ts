/** Days and readings of a clock on the wall, in a time zone (an IANA name), as instants. Pure. */

const MINUTES_OF_DAY = 24 * 60;

/** The day that it is at `at`. @throws RangeError for a zone that is not known */
export const dayOf = (at: Date, time_zone: string): Temporal.PlainDate =>
  Temporal.Instant.fromEpochMilliseconds(at.getTime()).toZonedDateTimeISO(time_zone).toPlainDate();

/** The last millisecond of a day: after both readings where the clocks go back over it, before the gap where they skip it. */
export function endOfDay(day: Temporal.PlainDate, time_zone: string): Date {
  const last = day.toPlainDateTime('23:59:59.999').toZonedDateTime(time_zone, { disambiguation: 'later' });
  if (last.toPlainDate().equals(day)) return new Date(last.epochMilliseconds);
  return new Date(day.add({ days: 1 }).toZonedDateTime(time_zone).epochMilliseconds - 1);
}

/**
 * When the clock on the wall reads `minutes` of a day, in milliseconds since 1970. Of two readings `opens` takes the earlier,
 * else it is the later; one that is skipped is where the gap ends. 1440 is the end of the day itself, not midnight of the next,
 * which may come twice.
 */
export function readingOf(day: Temporal.PlainDate, minutes: number, time_zone: string, opens: boolean): number {
  if (minutes === MINUTES_OF_DAY) return endOfDay(day, time_zone).getTime() + 1;
  const reading = day.toPlainDateTime({ hour: Math.floor(minutes / 60), minute: minutes % 60 });
  const at = reading.toZonedDateTime(time_zone, { disambiguation: opens ? 'earlier' : 'later' });
  if (at.toPlainDateTime().equals(reading)) return at.epochMilliseconds;
  return endOfGap(reading, time_zone);
}

function endOfGap(reading: Temporal.PlainDateTime, time_zone: string): number {
  const behind = reading.toZonedDateTime(time_zone, { disambiguation: 'later' });
  // `previous` is strictly before, and the first skipped reading stands at the very end.
  return behind.add({ nanoseconds: 1 }).getTimeZoneTransition('previous')!.epochMilliseconds;
}
