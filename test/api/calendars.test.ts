import { test } from 'tap';
import type { Calendar } from '../../src/core/calendar.ts';
import { newId } from '../../src/platform/ids.ts';
import { illustrativePack } from '../../src/rules/packs.ts';
import { moveTimers } from '../../src/timers/moves.ts';
import { startTestApp } from '../support/app.ts';
import { bodyOf, calendar, holiday, SUN_TO_THU } from '../support/calendars.ts';
import { drain } from '../support/drain.ts';
import type { Entry } from '../support/entries.ts';
import { clinic, eventsOf } from '../support/journey.ts';
import { mechanism } from '../support/mechanism.ts';
import { ok } from '../support/night.ts';
import { lookAsOwner } from '../support/trail.ts';

const bodyLike = (more: Partial<Calendar> = {}) => bodyOf(calendar(more));
const id = illustrativePack('XA').calendar_id;
const ILLUSTRATIVE = `/v1/calendars/${id}`;

test('an administrator makes a calendar and changes it, everybody may look', async t => {
  const { as } = await mechanism(await startTestApp(t));
  const admin = as('committee', 'nobody');
  const reader = as('helpline_a', 'nobody', ['directory.read']);
  const made = await admin.post('/v1/calendars', bodyLike());
  t.match(made, { status: 201, body: { ...bodyLike(), version: 1 }, headers: { etag: '"1"' } });
  const path = `/v1/calendars/${made.body.id}`;
  t.equal(made.headers.location, path);
  t.match(await reader.get(path), { status: 200, body: made.body });
  t.equal(ok(await reader.get('/v1/calendars')).data[0].id, made.body.id, 'newest first');
  t.match(await as('helpline_a', 'supervisor').post('/v1/calendars', bodyLike()), {
    status: 403,
    body: { code: 'insufficient_scope' },
  });

  const changed = bodyLike({ name: 'Another name' });
  t.match(await admin.put(path, changed), { status: 428 });
  t.match(await admin.put(path, changed, { 'if-match': '"7"' }), { status: 412 });
  t.match(await admin.put(path, changed, { 'if-match': '"1"' }), { status: 200, body: { name: 'Another name', version: 2 } });
  t.match(await admin.put(`/v1/calendars/${newId('cal')}`, changed, { 'if-match': '*' }), { status: 404 });
});

test('what is wrong with a calendar is said by pointer, and changes nothing', async t => {
  const { as } = await mechanism(await startTestApp(t));
  const admin = as('committee', 'nobody');
  const rows: [string, object, string[]][] = [
    ['an unknown zone', { time_zone: 'Nowhere/Never' }, ['/time_zone']],
    ['an offset for a zone', { time_zone: '+02:00' }, ['/time_zone']],
    [
      'hours that overlap',
      {
        weeks: [
          {
            valid_from: '2000-01-01',
            days: {
              mon: [
                ['08:00', '12:00'],
                ['11:00', '15:00'],
              ],
            },
          },
        ],
      },
      ['/weeks/0/days/mon/1'],
    ],
    [
      'a shift over midnight in one',
      { weeks: [{ valid_from: '2000-01-01', days: { mon: [['22:00', '06:00']] } }] },
      ['/weeks/0/days/mon/0/1'],
    ],
    ['never open', { weeks: [] }, ['']],
    [
      'closed since long ago',
      { weeks: [{ valid_from: '2000-01-01', valid_to: '2020-12-31', days: SUN_TO_THU }] },
      ['/weeks/0/valid_to'],
    ],
    ['open once everybody is gone', { weeks: [{ valid_from: '2062-01-01', days: SUN_TO_THU }] }, ['/weeks']],
    [
      'a season that closes it for good',
      { seasons: [{ name: 'S', from: '2027-01-01', to: '2047-01-01', days: {} }] },
      ['/seasons/0/from'],
    ],
    [
      'a season that ends before it begins',
      { seasons: [{ name: 'S', from: '2026-03-01', to: '2026-02-01', days: {} }] },
      ['/seasons/0/to'],
    ],
    [
      'a month that no year has',
      { holiday_rules: [{ name: 'R', calendar: 'islamic-umalqura', month: 13, day: 1, length: 1 }] },
      ['/holiday_rules/0/month'],
    ],
    [
      'a calendar nobody knows',
      { holiday_rules: [{ name: 'R', calendar: 'elvish', month: 1, day: 1, length: 1 }] },
      ['/holiday_rules/0/calendar'],
    ],
    [
      'two at once',
      { time_zone: 'X', seasons: [{ name: 'S', from: '2026-03-01', to: '2026-02-01', days: {} }] },
      ['/time_zone', '/seasons/0/to'],
    ],
  ];
  const count = ok(await admin.get('/v1/calendars')).data.length;
  for (const [name, more, pointers] of rows) {
    const { status, body } = await admin.post('/v1/calendars', bodyLike(more));
    t.equal(status, 422, name);
    t.strictSame(
      body.errors.map(({ pointer }: { pointer: string }) => pointer),
      pointers,
      name,
    );
  }
  t.match(await admin.post('/v1/calendars', { ...bodyLike(), weeks: [{ valid_from: 'Monday', days: { lun: [] } }] }), {
    status: 400,
  });
  t.equal(ok(await admin.get('/v1/calendars')).data.length, count);
});

test('a holiday is announced, said anew, and taken back', async t => {
  const { as } = await mechanism(await startTestApp(t));
  const admin = as('committee', 'nobody');
  const { id } = ok(await admin.post('/v1/calendars', bodyLike({ holidays: [holiday('2026-12-30', { status: 'fixed' })] })));
  const at = (date: string) => `/v1/calendars/${id}/holidays/${date}`;
  const { holidays, version } = ok(await admin.put(at('2026-11-23'), { name: 'Founding day' }));
  t.strictSame(
    [version, holidays],
    [2, [holiday('2026-11-23'), holiday('2026-12-30', { status: 'fixed' })]],
    'announced and closed all day, unless said',
  );
  t.match(await admin.put(at('2026-11-23'), { name: 'Half a day' }), { status: 428 }, 'something was said of it');
  t.match(await admin.put(at('2026-11-23'), { name: 'Half a day', hours: [['08:00', '12:00']] }, { 'if-match': '"2"' }), {
    status: 200,
    body: { version: 3, holidays: [{ date: '2026-11-23', name: 'Half a day', hours: [['08:00', '12:00']] }, {}] },
  });
  t.match(await admin.put(at('2026-11-25'), { name: 'X', hours: [['12:00', '08:00']] }), {
    status: 422,
    body: { errors: [{ pointer: '/hours/0/1' }] },
  });
  t.match(await admin.put(at('2026-02-30'), { name: 'X' }), { status: 400 });
  t.match(await admin.delete(at('2026-11-24')), { status: 404 });
  t.match(await admin.delete(at('2026-11-23'), { 'if-match': '"2"' }), { status: 412 });
  t.match(await admin.delete(at('2026-11-23')), { status: 200, body: { version: 4, holidays: [{ date: '2026-12-30' }] } });
});

test('a clock is reckoned day by day', async t => {
  const it = await startTestApp(t);
  const { as } = await mechanism(it);
  const { id: calendar_id } = ok(
    await as('committee', 'nobody').post('/v1/calendars', bodyLike({ holidays: [holiday('2026-11-23')] })),
  );
  const asked = { clock: 'working_days', duration: 'P3D', calendar_id, started_at: '2026-11-19T08:00:00.000Z' };
  const preview = (more: object = {}) => as('helpline_a', 'nobody').post('/v1/clock-preview', { ...asked, ...more });
  const { due_at, warn_at, days, calendar_version } = ok(await preview());
  t.strictSame([due_at, calendar_version], ['2026-11-25T13:00:00.000Z', 1]);
  t.strictSame(warn_at, ['2026-11-22T10:30:00.000Z', '2026-11-24T07:12:00.000Z']);
  t.strictSame(
    days.map(({ date, counted, why, name }: Record<string, unknown>) => [date, counted, why, name]),
    [
      ['2026-11-19', false, 'first_day', undefined],
      ['2026-11-20', false, 'week', undefined],
      ['2026-11-21', false, 'week', undefined],
      ['2026-11-22', true, 'week', undefined],
      ['2026-11-23', false, 'holiday', 'Founding day'],
      ['2026-11-24', true, 'week', undefined],
      ['2026-11-25', true, 'week', undefined],
    ],
  );
  t.strictSame(days[3].open, [{ from: '2026-11-22T06:00:00.000Z', to: '2026-11-22T13:00:00.000Z' }]);
  const rested = { from: '2026-11-19T09:00:00.000Z', to: '2026-11-19T10:00:00.000Z' };
  t.match(await preview({ clock: 'elapsed', duration: 'PT4H', pauses: [rested] }), {
    status: 200,
    body: {
      due_at: '2026-11-19T13:00:00.000Z',
      warn_at: ['2026-11-19T11:00:00.000Z', '2026-11-19T12:12:00.000Z'],
      days: [{ counted: 4 * 3_600_000, open: [], why: 'every_day' }],
    },
  });
  const rows: [string, object, string][] = [
    ['a duration of another clock', { duration: 'PT3H' }, '/duration'],
    ['never', { duration: 'P40000D' }, '/duration'],
    ['too many days to tell', { clock: 'elapsed', duration: 'P3653D' }, '/duration'],
    ['before there were zones', { started_at: '0001-01-01T00:00:00.000Z' }, '/started_at'],
    ['when dates are no longer written', { started_at: '9999-12-31T23:59:59.999Z' }, '/started_at'],
    ['no such calendar', { calendar_id: newId('cal') }, '/calendar_id'],
    [
      'a pause before the start',
      { pauses: [{ from: '2026-11-18T09:00:00.000Z', to: '2026-11-19T10:00:00.000Z' }] },
      '/pauses/0/from',
    ],
    ['a pause that does not last', { pauses: [{ from: rested.from, to: rested.from }] }, '/pauses/0/to'],
    ['pauses that overlap', { pauses: [rested, { ...rested, to: '2026-11-20T10:00:00.000Z' }] }, '/pauses/1/from'],
  ];
  for (const [name, more, pointer] of rows) {
    t.match(await preview(more), { status: 422, body: { code: 'unprocessable', errors: [{ pointer }] } }, name);
  }
  t.match(await preview({ clock: 'sundial' }), { status: 400 });
  t.match(await preview({ duration: 'P3D', unknown: 1 }), { status: 400 });
});

test('a calendar along which nothing would fall due any more is refused, however it comes to that', async t => {
  const it = await startTestApp(t);
  const them = await mechanism(it);
  const admin = them.as('committee', 'nobody');
  await clinic(them).ask({ urgency: 'routine' });
  const { weeks, ...standing } = bodyOf(illustrativePack('XA').calendars[0]!);
  const ended = { ...standing, weeks: weeks.map(week => ({ ...week, valid_to: '2026-11-30' })) };
  t.match(await admin.put(ILLUSTRATIVE, ended, { 'if-match': '"1"' }), {
    status: 422,
    body: { errors: [{ pointer: '/weeks/0/valid_to', detail: 'is closed for ten years from 2026-12-01 on' }] },
  });
  const open = holiday('2027-06-01', { hours: [['08:00', '12:00']] });
  const { id: other } = ok(await admin.post('/v1/calendars', { ...standing, weeks }));
  t.match(await admin.put(`/v1/calendars/${other}`, { ...ended, holidays: [open] }, { 'if-match': '"1"' }), {
    status: 422,
    body: { errors: [{ pointer: '/holidays/0', detail: 'is closed for ten years from 2027-06-02 on' }] },
  });
  await drain(it.services);
  t.match(ok(await admin.get(ILLUSTRATIVE)), { version: 1 });
});

test('what runs along a calendar that changes is moved, once, and everybody whose clocks they are is told how many', async t => {
  const it = await startTestApp(t);
  const them = await mechanism(it);
  const { as } = them;
  const { ask } = clinic(them);
  const { clock, services } = it;
  const admin = as('committee', 'nobody');
  const { referral } = await ask({ urgency: 'routine' });
  const urgent = await ask({ urgency: 'urgent' });
  const timersOf = async (id: string) =>
    ok(await as('health').get(`/v1/timers?referral_id=${id}`)).data as {
      id: string;
      name: string;
      due_at: string;
      version: number;
    }[];
  const before = await timersOf(referral.id);
  const untouched = await timersOf(urgent.referral.id);
  t.strictSame(
    before.map(({ name }) => name),
    ['acknowledge', 'respond'],
  );
  await drain(services);
  const first = before[0]!.due_at.slice(0, 10);

  t.match(await admin.put(`${ILLUSTRATIVE}/holidays/${first}`, { name: 'Announced in the night' }), { status: 200 });
  await drain(services);
  await drain(services);
  const after = await timersOf(referral.id);
  for (const [i, { due_at }] of before.entries()) t.ok(after[i]!.due_at > due_at, `${before[i]!.name} falls later`);
  t.strictSame(await timersOf(urgent.referral.id), untouched, 'what looks at no calendar stays');
  const stale = await lookAsOwner(services, `select from timers where state = 'running' and calendar_version = 1`);
  t.equal(stale.length, 0);

  // Of both cases the owner has a screening to do, as many days as the answer has.
  const [first_due_at, last_due_at] = [after[0]!.due_at, after[1]!.due_at];
  const told = {
    health: { count: 2, first_due_at, last_due_at },
    helpline_a: { count: 2, first_due_at: last_due_at, last_due_at },
    committee: { count: 4, first_due_at, last_due_at },
    prosecution: null,
  };
  for (const key of ['health', 'committee', 'helpline_a', 'prosecution'] as const) {
    const events = (await eventsOf(services, as(key))).filter(({ type }) => type === 'timer.moved');
    t.equal(events.length, told[key] ? 1 : 0, key);
    if (told[key]) t.match(events[0]!.data, { calendar_id: id, calendar_version: 2, ...told[key] }, key);
  }
  const entries: Entry[] = ok(await as('audit_body').get('/v1/audit/entries?action=timer.move')).data;
  t.strictSame(
    entries
      .flatMap(({ subjects }) => subjects.map(({ record }) => record!))
      .filter(({ referral_id }) => referral_id === referral.id)
      .map(({ timer, due_from, due_to }) => [timer, due_from, due_to])
      .sort(),
    before.map(({ name, due_at }, i) => [name, due_at, after[i]!.due_at]).sort(),
    'the trail keeps from when to when',
  );

  // Nothing falls due as it was reckoned before, also when a sweep is there first.
  await admin.delete(`${ILLUSTRATIVE}/holidays/${first}`);
  clock.advance(Date.parse(before[0]!.due_at) - clock.now().getTime());
  await drain(services);
  t.match(
    (await timersOf(referral.id)).filter(({ name }) => name === 'acknowledge'),
    [{ state: 'breached', due_at: before[0]!.due_at }],
  );
});

test('one calendar that cannot be reckoned with keeps no other waiting', async t => {
  const it = await startTestApp(t);
  const them = await mechanism(it);
  const { as, agencies } = them;
  const { services } = it;
  const admin = as('committee', 'nobody');
  const { id: own } = ok(await admin.post('/v1/calendars', bodyLike()));
  ok(await as('health', 'supervisor').patch(`/v1/agencies/${agencies.health.id}`, { calendar_id: own }, { 'if-match': '*' }));
  const { referral } = await clinic(them).ask({ urgency: 'routine' });
  await drain(services);
  // As nobody may put it: the owner's clocks run along it, and it comes first.
  const ended = { ...bodyOf(illustrativePack('XA').calendars[0]!), weeks: [] };
  await lookAsOwner(services, 'insert into calendar_versions values ($1, 2, $2, now())', [id, JSON.stringify(ended)]);
  await lookAsOwner(services, 'update calendars set version = 2 where id = $1', [id]);
  ok(await admin.put(`/v1/calendars/${own}/holidays/2026-11-22`, { name: 'Announced in the night' }));

  while (await moveTimers(services).catch(() => false));
  const { data } = ok(await as('health').get(`/v1/timers?referral_id=${referral.id}&name=acknowledge`));
  t.match(data, [{ due_at: '2026-11-23T13:00:00.000Z' }]);
  const told = await lookAsOwner(services, 'select agency_id, moved from calendar_moves where told_at is not null');
  t.match(
    told.filter(({ agency_id }) => agency_id === agencies.health.id),
    [{ moved: 2 }],
    'and whose clocks they are is told',
  );
  await t.rejects(moveTimers(services), RangeError, 'what went wrong is not hidden');
});
