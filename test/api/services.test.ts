import { test } from 'tap';
import { startTestApp } from '../support/app.ts';
import { drain } from '../support/drain.ts';
import { DAY, HOUR } from '../support/journey.ts';
import { type Answer, mechanism } from '../support/mechanism.ts';
import { ok, startNight } from '../support/night.ts';

/** What the directory says of a service beside whom it takes: where it lies, what it is good at, when it is open, how old that is. */

type Row = Answer['body'];

const WORKDAYS = { freq: 'WEEKLY', timezone: 'Africa/Cairo', byday: 'SU,MO,TU,WE,TH', opens_at: '08:00', closes_at: '15:00' };

test('a service says when it is open, and the router knows', async t => {
  const it = await startTestApp(t);
  const { as, agencies } = await mechanism(it);
  const clinic = as('health', 'supervisor');
  const sender = as('helpline_a');
  const path = `/v1/agencies/${agencies.health.id}/services/medical`;
  const set = (body: object) => clinic.put(path, body, { 'if-match': '*' });

  const wrong = await set({ schedules: [WORKDAYS, { ...WORKDAYS, timezone: 'Mars/Olympus', byday: 'XX' }] });
  t.match(wrong, { status: 422, body: { code: 'unprocessable' } });
  t.strictSame(
    wrong.body.errors.map(({ pointer }: Row) => pointer),
    ['/schedules/1/timezone', '/schedules/1/byday'],
  );
  const said = ok(await set({ schedules: [WORKDAYS], specialities: ['trauma'], eligibility: 'everybody' }));
  t.match(said, {
    schedules: [WORKDAYS],
    specialities: ['trauma'],
    eligibility: 'everybody',
    assured_at: it.clock.now().toISOString(),
  });
  for (const kept of ['open_hours', 'hours_until', 'asked', 'accepted']) t.notOk(kept in said, `${kept} is the service’s own`);

  // Another is asked by name, so that the clinic may still be.
  const society = agencies.civil_society.id;
  ok(await as('civil_society', 'supervisor').put(`/v1/agencies/${society}/services/medical`, {}, { 'if-none-match': '*' }));
  const asked = {
    consent: { recipient: { agency_kind: 'health' }, purposes: ['medical'] },
    referral: {
      service: 'medical',
      urgency: 'routine',
      routing: 'direct',
      recipient_agency_id: society,
      lawful_ground: { code: 'imminent_danger_to_life' },
    },
  };
  const openingOf = async ({ id }: Row) => {
    const { data } = ok(await sender.get(`/v1/referrals/${id}/candidates`));
    const { reasons } = data.find(({ agency_id }: Row) => agency_id === agencies.health.id);
    return reasons.find(({ rule }: Row) => rule === 'opening').text;
  };
  const { referral } = await startNight(sender, asked);
  const opening = () => openingOf(referral);
  // The clock of the tests stands at a Saturday evening.
  t.equal(await opening(), 'is closed at this hour');
  it.clock.advance(12 * HOUR);
  t.equal(await opening(), 'is open now', 'Sunday morning');
  ok(await set({ schedules: [] }));
  t.equal(await opening(), 'its hours are not known');

  await t.test('for ever, by reckoning on', async t => {
    ok(await set({ schedules: [WORKDAYS] }));
    for (let week = 0; week < 14; week += 1) {
      it.clock.advance(7 * DAY);
      await drain(it.services);
    }
    const { version } = ok(await clinic.get(path));
    t.equal(await openingOf((await startNight(sender, asked)).referral), 'is open now');
    it.clock.advance(7 * DAY);
    await drain(it.services);
    t.equal(ok(await clinic.get(path)).version, version, 'nobody said anything new');
  });
});

test('where a protected place lies is told to its agency alone', async t => {
  const it = await startTestApp(t);
  const { as, agencies } = await mechanism(it);
  const path = `/v1/agencies/${agencies.shelter_a.id}/services/shelter_accommodation`;
  const own = as('shelter_a', 'supervisor');
  const {
    version: _,
    agency_id: __,
    service: ___,
    created_at: ____,
    updated_at: _____,
    assured_at: ______,
    stale: _______,
    ...before
  } = ok(await own.get(path));
  const outside = await own.put(path, { ...before, located_in: 'EG-C' }, { 'if-match': '*' });
  t.match(outside, { status: 422 }, 'a region lies within the jurisdictions');
  t.equal(ok(await own.put(path, { ...before, located_in: 'XA-2' }, { 'if-match': '*' })).located_in, 'XA-2');
  t.equal(ok(await own.get(path)).located_in, 'XA-2');
  for (const key of ['helpline_a', 'committee', 'shelter_b', 'audit_body'] as const) {
    const directory = as(key, 'nobody');
    t.notOk('located_in' in ok(await directory.get(path)), key);
    const listed = ok(await directory.get(`/v1/agencies/${agencies.shelter_a.id}/services`)).data;
    t.notMatch(JSON.stringify(listed), /XA-2"[^,\]]*,"sexes|located_in/, key);
  }
  const open = `/v1/agencies/${agencies.shelter_c.id}/services/shelter_accommodation`;
  t.ok('located_in' in ok(await as('helpline_a', 'nobody').get(open)), 'an open place hides nothing');
});

test('how old the count of places is', async t => {
  const it = await startTestApp(t);
  const { as, agencies } = await mechanism(it);
  const path = `/v1/agencies/${agencies.shelter_c.id}/services/shelter_accommodation/capacity`;
  const own = as('shelter_c', 'supervisor');
  ok(await own.put(path, { total: 4 }));
  const stale = async () => ok(await as('helpline_a', 'nobody').get(path)).stale;
  t.equal(await stale(), false);
  it.clock.advance(7 * DAY);
  t.equal(await stale(), false);
  it.clock.advance(1);
  t.equal(await stale(), true, 'a week, by the pack');
  ok(await own.put(path, { total: 4 }));
  t.equal(await stale(), false, 'whoever says the same again assures it');
});
