import { type Calendar, type CompiledCalendar, compileCalendar, type Interval } from '../../src/core/calendar.ts';
import { reckon } from '../../src/core/reckoning.ts';

export const OFFICE: Interval[] = [['08:00', '15:00']];
export const SUN_TO_THU = { sun: OFFICE, mon: OFFICE, tue: OFFICE, wed: OFFICE, thu: OFFICE };

/** That of the reckoning table of the page on clocks, but for `more`. */
export const calendar = (more: Partial<Calendar> = {}): Calendar => ({
  id: 'cal_1',
  name: 'Test',
  time_zone: 'Africa/Cairo',
  weeks: [{ valid_from: '2000-01-01', days: SUN_TO_THU }],
  holidays: [],
  seasons: [],
  holiday_rules: [],
  ...more,
});

const zones = new Map<string, CompiledCalendar>();

/** For clocks that look at no hours. */
export function zoned(time_zone: string): CompiledCalendar {
  const known = zones.get(time_zone) ?? compileCalendar(calendar({ time_zone, weeks: [] }));
  zones.set(time_zone, known);
  return known;
}

/** As it is sent. */
export function bodyOf({ id: _, ...body }: Calendar): Omit<Calendar, 'id'> {
  return body;
}

/** Closed all day. */
export const holiday = (date: string, more: Partial<Calendar['holidays'][number]> = {}): Calendar['holidays'][number] => ({
  date,
  name: 'Founding day',
  hours: [],
  status: 'announced',
  ...more,
});

/** The end of that many working days of the illustrative week, the day of `from` not among them. */
export const workingDays = (count: number, from: Date): string =>
  reckon({ clock: 'working_days', duration: `P${count}D` }, from, compileCalendar(calendar())).toISOString();
