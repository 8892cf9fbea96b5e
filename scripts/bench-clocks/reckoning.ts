import { type Calendar, compileCalendar, type Interval } from '../../src/core/calendar.ts';
import { reckon } from '../../src/core/reckoning.ts';

/** How long it takes to say when clocks fall due, with nothing around it. */

export interface ReckoningResult {
  count: number;
  seconds: number;
}

const OPEN: Interval[] = [['08:00', '15:00']];
const CALENDAR: Calendar = {
  id: 'cal_sample',
  name: 'Sample',
  time_zone: 'Africa/Cairo',
  weeks: [
    { valid_from: '2000-01-01', days: { sun: OPEN, mon: OPEN, tue: OPEN, wed: OPEN, thu: OPEN, fri: [['08:00', '12:00']] } },
  ],
  holidays: Array.from({ length: 12 }, (_, month) => ({
    date: `2026-${String(month + 1).padStart(2, '0')}-07`,
    name: 'Sample holiday',
    hours: [],
    status: 'fixed' as const,
  })),
  seasons: [
    { name: 'Short days', from: '2026-02-18', to: '2026-03-19', days: { sun: [['09:00', '14:00']], mon: [['09:00', '14:00']] } },
  ],
  holiday_rules: [],
};
const FROM = Date.parse('2026-01-01T00:00:00Z');
const YEAR_MS = 365 * 86_400_000;

/** Of one to ten working days each, that begin anywhere in a year. */
export function measureReckoning(count: number): ReckoningResult {
  const calendar = compileCalendar(CALENDAR);
  const rules = Array.from({ length: 10 }, (_, days) => ({ clock: 'working_days' as const, duration: `P${days + 1}D` }));
  const started_at = performance.now();
  let latest = 0;
  for (let i = 0; i < count; i++) {
    const due_at = reckon(rules[i % 10]!, new Date(FROM + ((i * 7_919_003) % YEAR_MS)), calendar).getTime();
    if (due_at > latest) latest = due_at;
  }
  if (latest < FROM) throw new Error('nothing was reckoned');
  return { count, seconds: (performance.now() - started_at) / 1_000 };
}
