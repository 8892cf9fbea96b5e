import { type Static, Type } from 'typebox';
import { type Calendar, type Days, HOLIDAY_STATUSES, type Interval, WEEKDAYS } from '../../core/calendar.ts';
import { CLOCKS } from '../../core/reckoning.ts';
import { Closed, Code, Day, Id, Instant, Named, Text } from '../../platform/http/openapi.ts';

const Optional = Type.Optional;

/** `HH:MM`, or `24:00`; which of them may open or close is the calendar's own check. */
const Reading = () => Type.String({ pattern: '^\\d\\d:\\d\\d$', maxLength: 5 });
const Hours = (description: string) =>
  Type.Unsafe<readonly Interval[]>(
    Type.Array(Type.Array(Reading(), { minItems: 2, maxItems: 2 }), { maxItems: 12, description }),
  );
const OPEN = 'Pairs of opening and closing; `24:00` closes at the end of the day, a shift over midnight is two pairs';
const WeekdayHours = () =>
  Type.Unsafe<Days>(
    Closed(Object.fromEntries(WEEKDAYS.map(day => [day, Optional(Hours(OPEN))])), {
      description: 'A weekday that is missing is closed',
    }),
  );

const holiday = {
  name: Text(200, 1),
  hours: Hours('None: closed'),
  status: Code(HOLIDAY_STATUSES),
};

const calendar = {
  name: Text(200, 1),
  time_zone: Type.String({ minLength: 1, maxLength: 60, description: 'IANA name' }),
  weeks: Type.Array(Closed({ valid_from: Day(), valid_to: Optional(Day()), days: WeekdayHours() }), { maxItems: 100 }),
  holidays: Type.Array(Closed({ date: Day(), ...holiday }), { maxItems: 5_000 }),
  seasons: Type.Array(Closed({ name: Text(200, 1), from: Day(), to: Day(), days: WeekdayHours() }), { maxItems: 500 }),
  holiday_rules: Type.Array(
    Closed({
      name: Text(200, 1),
      calendar: Type.String({ minLength: 1, maxLength: 40, description: '`iso8601`, `islamic-umalqura`, …' }),
      month: Type.Integer({ minimum: 1, maximum: 13 }),
      day: Type.Integer({ minimum: 1, maximum: 31 }),
      length: Type.Integer({ minimum: 1, maximum: 366 }),
    }),
    { maxItems: 100 },
  ),
};

export const CalendarBody = Named('NewCalendar', calendar);
export type CalendarBody = Static<typeof CalendarBody>;

export const CalendarView = Named('Calendar', {
  id: Id('cal'),
  ...calendar,
  version: Type.Integer(),
  created_at: Instant(),
  updated_at: Instant(),
});
export type CalendarView = Calendar & { version: number; created_at: string; updated_at: string };

export const HolidayBody = Closed({ name: holiday.name, hours: Optional(holiday.hours), status: Optional(holiday.status) });
export type HolidayBody = Static<typeof HolidayBody>;

export const HolidayParams = Closed({ id: Id('cal'), date: Day() });

export const ClockPreviewBody = Named('ClockPreviewRequest', {
  clock: Code(CLOCKS),
  duration: Type.String({ maxLength: 40, description: 'ISO 8601' }),
  count_first_day: Optional(Type.Boolean()),
  calendar_id: Id('cal'),
  started_at: Instant(),
  pauses: Optional(Type.Array(Closed({ from: Instant(), to: Instant() }), { maxItems: 100, description: 'In order and apart' })),
});
export type ClockPreviewBody = Static<typeof ClockPreviewBody>;

const DAY_REASONS = ['holiday', 'season', 'week', 'none', 'every_day', 'first_day', 'paused'] as const;

export const ClockPreview = Named('ClockPreview', {
  due_at: Instant(),
  warn_at: Type.Array(Instant(), { description: 'At half and at four fifths of the span, pauses excluded' }),
  calendar_version: Type.Integer(),
  days: Type.Array(
    Closed({
      date: Day(),
      open: Type.Array(Closed({ from: Instant(), to: Instant() }), { description: 'Empty for clocks that look at no hours' }),
      counted: Type.Union([Type.Boolean(), Type.Integer()], {
        description: 'Whether the day counts; of `elapsed` and `working_time` the milliseconds that ran',
      }),
      why: Type.Unsafe<(typeof DAY_REASONS)[number]>({
        ...Code(DAY_REASONS),
        description: 'What set its hours, or why it does not count although it is open',
      }),
      name: Optional(Type.String({ description: 'Of the holiday or the season' })),
    }),
  ),
});
export type ClockPreview = Static<typeof ClockPreview>;
