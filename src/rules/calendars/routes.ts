import type { App } from '../../api.ts';
import { answer } from '../../platform/http/answer.ts';
import { Closed, Id, operation } from '../../platform/http/openapi.ts';
import { PageQuery, pageOf } from '../../platform/http/paging.ts';
import type { Services } from '../../services.ts';
import { createCalendar, getCalendar, listAllCalendars, removeHoliday, setCalendar, setHoliday } from './commands.ts';
import { previewClock } from './preview.ts';
import { CalendarBody, CalendarView, ClockPreview, ClockPreviewBody, HolidayBody, HolidayParams } from './schema.ts';

const read = { tag: 'Clocks', recorded: true, scopes: ['clocks', 'directory', 'directory.read', 'admin'] } as const;
const write = { tag: 'Clocks', scopes: ['admin'] } as const;
const params = Closed({ id: Id('cal') });

const MOVES = 'Whatever runs along it is moved; each agency is told how many of its clocks were, as `timer.moved`.';

export function calendarRoutes(app: App, services: Services): void {
  app.post(
    '/v1/calendars',
    operation({
      ...write,
      id: 'createCalendar',
      summary: 'Make a calendar',
      action: 'calendar.create',
      problems: ['unprocessable'],
      body: CalendarBody,
      status: 201,
      answer: CalendarView,
    }),
    async (request, reply) => {
      const outcome = await createCalendar(services, request.actor, request.body);
      return answer(reply, outcome, { location: `/v1/calendars/${outcome.view.id}` });
    },
  );
  app.get(
    '/v1/calendars',
    operation({
      ...read,
      id: 'listCalendars',
      summary: 'Calendars, newest first',
      action: 'calendar.list',
      query: PageQuery,
      answer: pageOf(CalendarView),
    }),
    async (request, reply) => answer(reply, await listAllCalendars(services, request.actor, request.query)),
  );
  app.get(
    '/v1/calendars/:id',
    operation({ ...read, id: 'getCalendar', summary: 'A calendar', action: 'calendar.read', params, answer: CalendarView }),
    async (request, reply) => answer(reply, await getCalendar(services, request.actor, request.params.id)),
  );
  app.put(
    '/v1/calendars/:id',
    operation({
      ...write,
      id: 'setCalendar',
      summary: 'Say anew what a calendar is, whole',
      description: MOVES,
      action: 'calendar.set',
      problems: ['unprocessable'],
      params,
      body: CalendarBody,
      answer: CalendarView,
    }),
    async (request, reply) => answer(reply, await setCalendar(services, request.actor, request.params.id, request.body)),
  );
  app.put(
    '/v1/calendars/:id/holidays/:date',
    operation({
      ...write,
      id: 'setHoliday',
      summary: 'Announce a holiday, or say what a date is',
      description: `In place of whatever was said of the date; \`If-Match\` names the calendar's version where something was. What is announced takes the place of all that is estimated under the same name, exactly, at most a week away, of a rule all its days: where a feast lasts for several, announce each. ${MOVES}`,
      action: 'calendar.set_holiday',
      problems: ['unprocessable'],
      params: HolidayParams,
      body: HolidayBody,
      answer: CalendarView,
    }),
    async (request, reply) => {
      const { id, date } = request.params;
      return answer(reply, await setHoliday(services, request.actor, id, date, request.body));
    },
  );
  app.delete(
    '/v1/calendars/:id/holidays/:date',
    operation({
      ...write,
      id: 'removeHoliday',
      summary: 'Take back what was said of a date',
      description: `What a rule makes of it stands. ${MOVES}`,
      action: 'calendar.remove_holiday',
      problems: ['unprocessable'],
      params: HolidayParams,
      answer: CalendarView,
    }),
    async (request, reply) => {
      const { id, date } = request.params;
      return answer(reply, await removeHoliday(services, request.actor, id, date));
    },
  );
  app.post(
    '/v1/clock-preview',
    operation({
      ...read,
      id: 'previewClock',
      summary: 'Reckon a clock, day by day',
      description: 'Changes nothing.',
      action: 'clock.preview',
      problems: ['unprocessable'],
      body: ClockPreviewBody,
      answer: ClockPreview,
    }),
    async (request, reply) => answer(reply, await previewClock(services, request.actor, request.body)),
  );
}
