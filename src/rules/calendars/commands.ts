import { act } from '../../audit/act.ts';
import { type Read, read } from '../../audit/read.ts';
import { record } from '../../audit/record.ts';
import { type AgencyActor, authorise, expectVersion } from '../../core/access.ts';
import { type Calendar, checkCalendar, dayNumber } from '../../core/calendar.ts';
import { checkStaysOpen } from '../../core/policy-check.ts';
import { Problem, raise } from '../../core/problem.ts';
import type { Tx } from '../../platform/database.ts';
import { type Page, pageById } from '../../platform/http/paging.ts';
import { newId } from '../../platform/ids.ts';
import type { Services } from '../../services.ts';
import type { CalendarBody, CalendarView, HolidayBody } from './schema.ts';
import { type CalendarRow, findCalendar, insertCalendar, listCalendars, lockCalendar, saveCalendar } from './store.ts';

/**
 * Calendars: everybody may look, administrators change them. A change is a new version and holds at once for whatever starts;
 * what runs is moved behind it (`timers/moves.ts`).
 */

const view = ({ calendar, version, created_at, updated_at }: CalendarRow): CalendarView => ({
  ...calendar,
  version,
  created_at: created_at.toISOString(),
  updated_at: updated_at.toISOString(),
});

const viewCalendar = async (tx: Tx, id: string): Promise<CalendarView> =>
  view((await findCalendar(tx, id)) ?? raise('not_found'));

const relationsOf = (actor: AgencyActor) => ['reader', ...(actor.scopes.has('admin') ? (['admin'] as const) : [])] as const;

/** @throws Problem `forbidden`, `unprocessable` */
export const createCalendar = (services: Services, actor: AgencyActor, body: CalendarBody) =>
  act(services, actor, 'calendar.create', viewCalendar, async (tx, now) => {
    authorise(actor, 'calendar.manage', relationsOf(actor));
    const calendar = { id: newId('cal'), ...body };
    requireSound(calendar, now);
    await insertCalendar(tx, calendar, now);
    const receipt = await record(services, tx, actor, {
      action: 'calendar.create',
      resource_type: 'calendar',
      subjects: [{ subject_id: calendar.id }],
    });
    return { id: calendar.id, receipt };
  });

/** @throws Problem `not_found` */
export const getCalendar = (services: Services, actor: AgencyActor, id: string): Promise<Read<CalendarView>> =>
  read(services, actor, 'calendar.read', { subject_id: id }, tx => viewCalendar(tx, id));

export const listAllCalendars = (
  services: Services,
  actor: AgencyActor,
  query: { limit?: number; cursor?: string },
): Promise<Read<Page<CalendarView>>> =>
  read(services, actor, 'calendar.list', null, async tx => {
    const list = (before_id: string | undefined, limit: number) => listCalendars(tx, before_id, limit);
    return pageById(query, list, async rows => rows.map(view));
  });

/**
 * Says anew what a calendar is, whole.
 * @throws Problem `not_found`, `forbidden`, `unprocessable`, `precondition_required`, `precondition_failed`
 */
export const setCalendar = (services: Services, actor: AgencyActor, id: string, body: CalendarBody) =>
  change(services, actor, id, 'calendar.set', { required: true }, () => ({ after: { id, ...body } }));

/**
 * Says what a date is: announced, unless said otherwise, and in place of whatever was said of it.
 * @throws Problem `not_found`, `forbidden`, `unprocessable`, `precondition_required` for a date of which something was said,
 *   `precondition_failed`
 */
export const setHoliday = (services: Services, actor: AgencyActor, id: string, date: string, body: HolidayBody) =>
  change(services, actor, id, 'calendar.set_holiday', { required: date }, ({ calendar }) => ({
    after: {
      ...calendar,
      holidays: [
        ...without(calendar, date),
        { date, name: body.name, hours: body.hours ?? [], status: body.status ?? ('announced' as const) },
      ].sort((a, b) => dayNumber(a.date) - dayNumber(b.date)),
    },
    date,
  }));

/**
 * Takes back whatever was said of a date; what a rule makes of it stands.
 * @throws Problem `not_found`, `forbidden`, `precondition_failed`
 */
export const removeHoliday = (services: Services, actor: AgencyActor, id: string, date: string) =>
  change(services, actor, id, 'calendar.remove_holiday', { required: false }, ({ calendar }) => {
    const holidays = without(calendar, date);
    if (holidays.length === calendar.holidays.length) throw new Problem('not_found');
    return { after: { ...calendar, holidays }, date };
  });

const without = ({ holidays }: Calendar, date: string) => holidays.filter(holiday => holiday.date !== date);

/** @param ifMatch.required whether the version must be named; a date: where something was said of it */
const change = (
  services: Services,
  actor: AgencyActor,
  id: string,
  action: string,
  ifMatch: { required: boolean | string },
  to: (row: CalendarRow) => { after: Calendar; date?: string },
) =>
  act(services, actor, action, viewCalendar, async (tx, now) => {
    const relations = relationsOf(actor);
    // Locking is writing to row-level security, which hides the row from whoever may only read.
    const row = (relations.length > 1 ? await lockCalendar(tx, id) : await findCalendar(tx, id)) ?? raise('not_found');
    authorise(actor, 'calendar.manage', relations);
    const { after, date } = to(row);
    requireSound(after, now, date);
    const { required } = ifMatch;
    const is_known = typeof required === 'string' ? row.calendar.holidays.some(holiday => holiday.date === required) : required;
    expectVersion(actor, row.version, { required: is_known });
    await saveCalendar(tx, row, after, now);
    const receipt = await record(services, tx, actor, {
      action,
      resource_type: 'calendar',
      subjects: [{ subject_id: id, calendar_version: String(row.version + 1), ...(date ? { date } : {}) }],
    });
    return { id, receipt };
  });

/** @param date whose holiday is what was sent, where it was not the whole */
function requireSound(calendar: Calendar, now: Date, date?: string): void {
  const errors = checkCalendar(calendar);
  if (errors.length === 0) errors.push(...checkStaysOpen(calendar, now));
  if (errors.length === 0) return;
  const sent = `/holidays/${calendar.holidays.findIndex(holiday => holiday.date === date)}`;
  const isOfSent = (pointer: string) => pointer === sent || pointer.startsWith(`${sent}/`);
  throw new Problem('unprocessable', {
    errors: errors.map(fault => (isOfSent(fault.pointer) ? { ...fault, pointer: fault.pointer.slice(sent.length) } : fault)),
  });
}
