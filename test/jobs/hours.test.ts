import { test } from 'tap';
import { listCandidates } from '../../src/agencies/candidates-store.ts';
import { keepOpenHoursAhead } from '../../src/agencies/hours.ts';
import { systemActor } from '../../src/core/access.ts';
import { transact } from '../../src/platform/database.ts';
import { startTestApp } from '../support/app.ts';
import { DAY, HOUR } from '../support/journey.ts';
import { mechanism } from '../support/mechanism.ts';
import { ok } from '../support/night.ts';
import { entriesOf, lookAsOwner } from '../support/trail.ts';

test('hours are kept ahead of the time, and whoever said them is not asked again', async t => {
  const it = await startTestApp(t);
  const { as, agencies } = await mechanism(it);
  const { services, clock } = it;
  const path = `/v1/agencies/${agencies.health.id}/services/medical`;
  const night = { timezone: 'Africa/Cairo', freq: 'WEEKLY', byday: 'SA', opens_at: '20:00', closes_at: '02:00' };
  ok(await as('health', 'supervisor').put(path, { schedules: [night] }, { 'if-match': '"1"' }));
  const isOpen = async () => {
    const [row] = await transact(services, systemActor('router'), tx =>
      listCandidates(it.services, tx, { service: 'medical', jurisdiction: 'XA' }, clock.now()),
    );
    return row!.is_open;
  };
  const known = () =>
    lookAsOwner<{ open_hours_until: Date }>(services, "select open_hours_until from services where service = 'medical'");

  const [first] = await known();
  clock.advance(29 * DAY);
  t.equal(await keepOpenHoursAhead(services), false);
  t.same(await known(), [first], 'half of it is left');
  clock.advance(2 * DAY);
  await keepOpenHoursAhead(services);
  t.same((await known())[0]!.open_hours_until, new Date(clock.now().getTime() + 60 * DAY));
  t.match((await as('health').get(path)).body, { version: 2, assured_at: '2026-11-21T19:00:00.000Z' });

  clock.advance(61 * DAY);
  t.equal(await isOpen(), null, 'after an outage of two months nobody is excluded');
  await keepOpenHoursAhead(services);
  // 21 February 2027 is a Sunday, 19:00 UTC.
  t.equal(await isOpen(), false);
  clock.advance(6 * DAY);
  t.equal(await isOpen(), true);
  clock.advance(5 * HOUR);
  t.equal(await isOpen(), false);
});

test('one whose hours cannot be worked out stands before no other', async t => {
  const it = await startTestApp(t);
  const { as, agencies } = await mechanism(it);
  const { services, clock } = it;
  const schedules = [{ timezone: 'UTC', freq: 'WEEKLY', byday: 'SA', opens_at: '08:00', closes_at: '15:00' }];
  for (const service of ['medical', 'psychosocial']) {
    const path = `/v1/agencies/${agencies.health.id}/services/${service}`;
    ok(await as('health', 'supervisor').put(path, { schedules }, service === 'medical' ? { 'if-match': '"1"' } : {}));
  }
  // As a zone would be that a later Node.js no longer knows.
  await lookAsOwner(
    services,
    `update services set schedules = jsonb_set(schedules, '{0,timezone}', '"Mars/Base"') where service = 'medical'`,
  );
  clock.advance(40 * DAY);
  await keepOpenHoursAhead(services);
  await keepOpenHoursAhead(services);
  const behind = await lookAsOwner(services, 'select service from services where open_hours_until < $1', [
    new Date(clock.now().getTime() + 30 * DAY),
  ]);
  t.same(behind, [{ service: 'medical' }]);
  t.match(await entriesOf(services, 'service.keep_hours'), [{ outcome: 'failed', client_id: 'system:router' }]);
});
