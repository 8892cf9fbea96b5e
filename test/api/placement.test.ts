import pg from 'pg';
import t, { type Test } from 'tap';
import type { DemoAgencyKey } from '../../src/demo.ts';
import { newId } from '../../src/platform/ids.ts';
import { startTestApp, type TestApp } from '../support/app.ts';
import { drain } from '../support/drain.ts';
import { all, eventsOf, MINUTE, NONE } from '../support/journey.ts';
import { type Client, mechanism } from '../support/mechanism.ts';
import { consentBody, ok, referralBody, startNight } from '../support/night.ts';
import { lookAsOwner } from '../support/trail.ts';

// Much of it, and other suites beside it.
t.setTimeout(300_000);

/** Who is asked, who is asked next, and who gets the places: referrals that several agencies could take. */

/** A mechanism with its shelters: Cedar House and Olive House take women, both in places that stay hidden. */
async function shelters(t: Test) {
  const test: TestApp = await startTestApp(t);
  const them = await mechanism(test);
  const { as, agencies } = them;
  const helpline = as('helpline_a');
  const shelter = { a: as('shelter_a'), b: as('shelter_b'), c: as('shelter_c') };

  /** Who of the shelters has a live offer of this referral. */
  async function asked(referral_id: string): Promise<Client | undefined> {
    for (const client of Object.values(shelter)) {
      const { status, body } = await client.get(`/v1/referrals/${referral_id}`);
      if (status === 200 && body.offer.ended_at === null) return client;
    }
    return undefined;
  }
  const capacityOf = (key: 'shelter_a' | 'shelter_b' | 'shelter_c') =>
    `/v1/agencies/${agencies[key].id}/services/shelter_accommodation/capacity`;
  const setTotal = async (key: 'shelter_a' | 'shelter_b' | 'shelter_c', total: number) =>
    ok(await as(key, 'supervisor').put(capacityOf(key), { total }));
  const availableOf = async (key: 'shelter_a' | 'shelter_b') => ok(await as(key, 'supervisor').get(capacityOf(key))).available;
  const read = async (id: string) => ok(await helpline.get(`/v1/referrals/${id}`));
  const direct = (key: DemoAgencyKey, more = {}) => ({
    urgency: 'routine',
    routing: 'direct',
    recipient_agency_id: agencies[key].id,
    ...more,
  });
  const act = async (client: Client, referral_id: string, verb: string, body: object = {}) =>
    ok(await client.post(`/v1/referrals/${referral_id}/${verb}`, body));
  const arrive = (client: Client, referral_id: string) =>
    act(client, referral_id, 'confirm-handover', { arrived_at: services.now().toISOString() });
  const { services } = test;
  return { ...test, ...them, helpline, shelter, asked, capacityOf, setTotal, availableOf, read, direct, act, arrive };
}

t.test('a night with shelters', async t => {
  const it = await shelters(t);
  const { services, clock, as, agencies, helpline, shelter, asked, setTotal, availableOf, read, direct, act, arrive } = it;
  const other = (client: Client) => (client.agency.id === agencies.shelter_a.id ? shelter.b : shelter.a);

  await t.test('a yes is late once another has said it', async t => {
    const { referral } = await startNight(helpline);
    const first = (await asked(referral.id))!;
    clock.advance(16 * MINUTE);
    await drain(services);
    const second = (await asked(referral.id))!;
    t.not(second.agency.id, first.agency.id);
    await act(second, referral.id, 'accept');
    const refused = await first.post(`/v1/referrals/${referral.id}/accept`);
    t.match(refused, { status: 409, body: { code: 'wrong_state', state: 'expired' } });
    t.strictSame(refused.body.allowed_actions, []);
    t.notOk(ok(await first.get(`/v1/referrals/${referral.id}`)).disclosure);
    await arrive(second, referral.id);
    await act(second, referral.id, 'complete', { outcome_code: 'service_provided' });
  });

  await t.test('a late yes ends what was asked since', async t => {
    const { referral } = await startNight(helpline);
    const first = (await asked(referral.id))!;
    clock.advance(16 * MINUTE);
    await drain(services);
    const second = (await asked(referral.id))!;
    await act(first, referral.id, 'accept');
    t.match(ok(await second.get(`/v1/referrals/${referral.id}`)), { status: 'cancelled', allowed_actions: NONE });
    t.match(await second.post(`/v1/referrals/${referral.id}/accept`), { status: 409, body: { state: 'cancelled' } });
    const types = (await eventsOf(services, second, referral.id)).map(({ type }) => type);
    t.strictSame(types, ['referral.offered', 'referral.cancelled'], 'it is told that it is over, and not by whom');
    t.equal(
      await availableOf(first.agency.id === agencies.shelter_a.id ? 'shelter_a' : 'shelter_b'),
      first.agency.id === agencies.shelter_a.id ? 3 : 5,
    );
    await act(helpline, referral.id, 'cancel', { reason_code: 'need_met_elsewhere' });
    t.strictSame(
      [await availableOf('shelter_a'), await availableOf('shelter_b')],
      [4, 6],
      'a cancelled referral gives its place back',
    );
  });

  await t.test('who declines is passed over, then nobody is left', async t => {
    const { referral } = await startNight(helpline);
    const first = (await asked(referral.id))!;
    await act(first, referral.id, 'decline', { reason_code: 'unsafe' });
    const second = (await asked(referral.id))!;
    t.equal(second.agency.id, other(first).agency.id, 'the next is asked in the same act');
    await act(second, referral.id, 'decline', { reason_code: 'unsafe' });
    t.equal(await asked(referral.id), undefined);
    t.match(await read(referral.id), { status: 'unplaced', allowed_actions: ['reroute', 'cancel'] });
    for (const key of ['helpline_a', 'committee'] as const) {
      const told = (await eventsOf(services, as(key), referral.id)).filter(({ type }) => type === 'referral.unplaced');
      t.equal(told.length, 1, `${key} is told that nobody is left`);
    }
    const [review] = await all(as('committee'), `/v1/timers?subject_id=${referral.id}&name=unplaced_review`);
    t.match(review, { state: 'running', responsible_agency_id: agencies.committee.id });
    // A refused offer says who refused to nobody but the refuser.
    t.notMatch(
      JSON.stringify(await eventsOf(services, helpline, referral.id)),
      new RegExp(`${agencies.shelter_a.id}|${agencies.shelter_b.id}`),
    );
    await act(helpline, referral.id, 'cancel', { reason_code: 'error' });
  });

  await t.test('reroute takes it to the agency that is named', async t => {
    const { referral } = await startNight(helpline);
    const first = (await asked(referral.id))!;
    const second = other(first);
    const rerouted = await act(helpline, referral.id, 'reroute', { agency_id: second.agency.id, reason_code: 'better_match' });
    t.equal(rerouted.status, 'offered');
    t.notMatch(JSON.stringify(rerouted), new RegExp(first.agency.id), 'a hidden place stays hidden, also when it is passed over');
    t.match(ok(await first.get(`/v1/referrals/${referral.id}`)), {
      status: 'cancelled',
      offer: { reason_code: 'better_match' },
      allowed_actions: [],
    });
    t.equal((await asked(referral.id))?.agency.id, second.agency.id);
    t.ok((await eventsOf(services, first, referral.id)).some(({ type }) => type === 'referral.rerouted'));
    const timers = await all(first, `/v1/timers?subject_id=${referral.id}`);
    t.ok(timers.length > 0 && timers.every(({ state }) => state === 'cancelled'), 'its clocks are over');

    // By the coordinator, also back to who was passed over, and to who has no place.
    ok(
      await as('committee').post(`/v1/referrals/${referral.id}/reroute`, {
        agency_id: first.agency.id,
        reason_code: 'coordinator_decision',
      }),
    );
    t.equal((await asked(referral.id))?.agency.id, first.agency.id);
    t.equal(ok(await first.get(`/v1/referrals/${referral.id}`)).status, 'offered', 'its own latest offer counts');
    await act(first, referral.id, 'accept');
    const late = await as('committee').post(`/v1/referrals/${referral.id}/reroute`, {
      agency_id: second.agency.id,
      reason_code: 'error',
    });
    t.match(late, { status: 409, body: { code: 'wrong_state', state: 'accepted' } });
    t.match(
      await helpline.post(`/v1/referrals/${referral.id}/reroute`, { agency_id: agencies.health.id, reason_code: 'error' }),
      {
        status: 422,
        body: { code: 'not_offered' },
      },
    );
    await act(helpline, referral.id, 'cancel', { reason_code: 'error' });
  });

  await t.test('reroute needs consent for the agency that is named', async t => {
    const consent = { recipient: { agency_id: agencies.shelter_a.id } };
    const { referral } = await startNight(helpline, { consent, referral: direct('shelter_a') });
    const refused = await helpline.post(`/v1/referrals/${referral.id}/reroute`, {
      agency_id: agencies.shelter_b.id,
      reason_code: 'error',
    });
    t.match(refused, { status: 409, body: { code: 'consent_missing' } });
    t.match(ok(await helpline.get(`/v1/referrals/${referral.id}`)), { status: 'offered', version: referral.version });
    t.equal(referral.offer.agency_id, agencies.shelter_a.id, 'whom a grant names is named');
    await act(helpline, referral.id, 'cancel', { reason_code: 'error' });
  });

  await t.test('who does not come is still in need', async t => {
    const { referral } = await startNight(helpline);
    const first = (await asked(referral.id))!;
    await act(first, referral.id, 'accept');
    await act(first, referral.id, 'report-no-show');
    t.match(ok(await first.get(`/v1/referrals/${referral.id}`)), { status: 'failed', offer: { reason_code: 'no_show' } });
    const second = (await asked(referral.id))!;
    t.equal(second.agency.id, other(first).agency.id, 'the next is asked at once');
    for (const key of ['helpline_a', 'committee'] as const) {
      const told = (await eventsOf(services, as(key), referral.id)).filter(({ type }) => type === 'referral.no_show');
      t.equal(told.length, 1, `${key} is told at once`);
    }
    const [check] = await all(helpline, `/v1/timers?subject_id=${referral.id}&name=missing_person_check`);
    t.match(check, {
      state: 'running',
      responsible_agency_id: agencies.helpline_a.id,
      subject: { type: 'referral', id: referral.id },
    });
    const seen = await all(first, `/v1/timers?subject_id=${referral.id}`);
    t.notOk(
      seen.some(({ name }) => name === 'missing_person_check'),
      "the sender's search is not the failed receiver's to follow",
    );
    await act(second, referral.id, 'decline', { reason_code: 'out_of_area' });
    t.equal(await asked(referral.id), undefined, 'who failed is asked again only by name');
    await act(helpline, referral.id, 'reroute', { agency_id: first.agency.id, reason_code: 'coordinator_decision' });
    t.equal((await asked(referral.id))?.agency.id, first.agency.id);
    await act(helpline, referral.id, 'cancel', { reason_code: 'error' });
  });

  await t.test('a service that fails leaves the need open', async t => {
    const { referral } = await startNight(helpline);
    const first = (await asked(referral.id))!;
    await arrive(first, referral.id);
    await act(first, referral.id, 'fail', { reason_code: 'safety_breach' });
    t.equal((await asked(referral.id))?.agency.id, other(first).agency.id);
    t.match(ok(await first.get(`/v1/referrals/${referral.id}`)), { status: 'failed', offer: { reason_code: 'safety_breach' } });
    t.notOk(ok(await first.get(`/v1/referrals/${referral.id}`)).disclosure);
    await act(helpline, referral.id, 'cancel', { reason_code: 'error' });
  });

  await t.test('an end gives the place back, and the stay was counted', async t => {
    t.strictSame([await availableOf('shelter_a'), await availableOf('shelter_b')], [4, 6]);
    const { referral } = await startNight(helpline, { referral: direct('shelter_a') });
    t.equal(await availableOf('shelter_a'), 4, 'an offer takes nothing');
    await act(shelter.a, referral.id, 'accept');
    t.equal(await availableOf('shelter_a'), 3);
    await arrive(shelter.a, referral.id);
    t.equal(await availableOf('shelter_a'), 3, 'taken once');
    await act(shelter.a, referral.id, 'complete', { outcome_code: 'service_provided' });
    t.equal(await availableOf('shelter_a'), 4);
    const straight = await startNight(helpline, { referral: direct('shelter_a') });
    await arrive(shelter.a, straight.referral.id);
    t.equal(await availableOf('shelter_a'), 3, 'an arrival that implies acceptance takes it as well');
    await act(shelter.a, straight.referral.id, 'fail', { reason_code: 'left_service' });
    t.equal(await availableOf('shelter_a'), 4);
  });

  await t.test('a person with children takes a place for each', async t => {
    const kase = { dependants: [{ age: 3, sex: 'female' }, { age: 7 }] };
    const { kase: opened, referral } = await startNight(helpline, { kase });
    t.equal((await asked(referral.id))?.agency.id, agencies.shelter_b.id, 'only Olive House takes children');
    t.equal(referral.offer.places, 3);
    const patch = { dependants: [...kase.dependants, { age: 1 }] };
    ok(await helpline.patch(`/v1/cases/${opened.id}`, patch, { 'if-match': `"${opened.version}"` }));
    t.match(ok(await shelter.b.get(`/v1/referrals/${referral.id}`)).profile, { dependants: 3 });
    const again = { agency_id: agencies.shelter_b.id, reason_code: 'error' };
    t.equal((await act(helpline, referral.id, 'reroute', again)).offer.places, 4, 'a new offer asks for as many as there are');
    ok(await helpline.patch(`/v1/cases/${opened.id}`, { dependants: [{}, {}] }, { 'if-match': '*' }));
    const accepted = await act(shelter.b, referral.id, 'accept');
    t.equal(accepted.offer.places, 3, 'as many as there are when it is accepted');
    t.equal(await availableOf('shelter_b'), 3);
    await act(helpline, referral.id, 'cancel', { reason_code: 'error' });
    t.equal(await availableOf('shelter_b'), 6);

    await setTotal('shelter_b', 3);
    const next = await startNight(helpline, { kase: { dependants: patch.dependants } });
    t.equal(next.referral.status, 'unplaced', 'four do not fit into three');
    await act(helpline, next.referral.id, 'cancel', { reason_code: 'error' });
    await setTotal('shelter_b', 6);
  });

  await t.test('two are offered the last place', async t => {
    await setTotal('shelter_a', 1);
    const nights = [
      await startNight(helpline, { referral: direct('shelter_a') }),
      await startNight(helpline, { referral: direct('shelter_a') }),
    ];
    const answers = await Promise.all(nights.map(({ referral }) => shelter.a.post(`/v1/referrals/${referral.id}/accept`)));
    t.strictSame(answers.map(({ status }) => status).sort(), [200, 409]);
    const lost = answers.findIndex(({ status }) => status === 409);
    t.equal(answers[lost]!.body.code, 'no_capacity');
    const { referral } = nights[lost]!;
    t.equal((await read(referral.id)).status, 'offered', 'a refused yes is none');
    t.match(await shelter.a.post(`/v1/referrals/${referral.id}/confirm-handover`, { arrived_at: clock.now().toISOString() }), {
      status: 409,
      body: { code: 'no_capacity' },
    });
    await act(shelter.a, referral.id, 'accept', { over_capacity: true });
    t.equal(await availableOf('shelter_a'), -1, 'the receiver itself may take more than it has');
    for (const night of nights) await act(helpline, night.referral.id, 'cancel', { reason_code: 'error' });
    t.equal(await availableOf('shelter_a'), 1);
    await setTotal('shelter_a', 4);
  });

  await t.test('a direct referral goes nowhere else', async t => {
    for (const [verb, body] of [
      ['decline', { reason_code: 'unsafe' }],
      ['expire', null],
    ] as const) {
      const { referral } = await startNight(helpline, { referral: direct('shelter_a', { urgency: 'emergency' }) });
      if (body) await act(shelter.a, referral.id, verb, body);
      else {
        clock.advance(16 * MINUTE);
        await drain(services);
      }
      t.equal((await read(referral.id)).status, 'unplaced', verb);
      t.equal(await asked(referral.id), undefined);
      await setTotal('shelter_b', 7);
      await setTotal('shelter_a', 5);
      await drain(services);
      t.equal((await read(referral.id)).status, 'unplaced', 'also when places come free');
      await setTotal('shelter_b', 6);
      await setTotal('shelter_a', 4);
      await act(helpline, referral.id, 'cancel', { reason_code: 'error' });
    }
  });

  await t.test('a direct referral with fallback goes on', async t => {
    for (const [verb, body] of [
      ['decline', { reason_code: 'unsafe' }],
      ['expire', null],
    ] as const) {
      const { referral } = await startNight(helpline, {
        referral: direct('shelter_a', { urgency: 'emergency', fallback: true }),
      });
      t.equal((await asked(referral.id))?.agency.id, agencies.shelter_a.id);
      if (body) await act(shelter.a, referral.id, verb, body);
      else {
        clock.advance(16 * MINUTE);
        await drain(services);
      }
      t.equal((await asked(referral.id))?.agency.id, agencies.shelter_b.id, verb);
      await act(helpline, referral.id, 'cancel', { reason_code: 'error' });
    }
  });

  await t.test('how a referral is routed is said without contradiction', async t => {
    const { kase } = await startNight(helpline, { referral: direct('shelter_a') });
    const make = (more: object) => helpline.post(`/v1/cases/${kase.id}/referrals`, referralBody(more as never));
    const rows: [object, number, string][] = [
      [{ routing: 'direct' }, 422, 'unprocessable'],
      [{ routing: 'automatic', recipient_agency_id: agencies.shelter_a.id }, 422, 'unprocessable'],
      [{ routing: 'automatic', fallback: true }, 422, 'unprocessable'],
      [direct('health'), 422, 'not_offered'],
      [{ ...direct('shelter_a'), recipient_agency_id: newId('agy') }, 422, 'not_offered'],
      [{ routing: 'magic' }, 400, 'invalid_request'],
      [{ service: 'magic' }, 400, 'invalid_request'],
    ];
    for (const [more, status, code] of rows) t.match(await make(more), { status, body: { code } }, JSON.stringify(more));
    const excluded = [agencies.shelter_a.id, agencies.shelter_b.id];
    const nobody = await make({ excluded_agencies: excluded });
    t.equal(ok(nobody).status, 'unplaced', 'who is excluded is not asked');
    t.equal((await make({ excluded_agencies: [excluded[0]] })).body.status, 'offered');
  });
});

t.test('nobody is left, until something changes', async t => {
  const it = await shelters(t);
  const { services, clock, as, agencies, helpline, shelter, asked, setTotal, read, act, arrive } = it;
  await setTotal('shelter_a', 1);
  await setTotal('shelter_b', 0);

  const settled = await startNight(helpline);
  t.equal((await asked(settled.referral.id))?.agency.id, agencies.shelter_a.id);
  await arrive(shelter.a, settled.referral.id);
  const waiting = await startNight(helpline);
  t.equal(waiting.referral.status, 'unplaced', 'no places: the router passes by');

  await t.test('a completion frees a place, and the next has it', async t => {
    clock.advance(MINUTE);
    await drain(services);
    t.equal((await read(waiting.referral.id)).status, 'unplaced');
    await act(shelter.a, settled.referral.id, 'complete', { outcome_code: 'service_provided' });
    await drain(services);
    t.equal((await asked(waiting.referral.id))?.agency.id, agencies.shelter_a.id);
    const [review] = await all(as('committee'), `/v1/timers?subject_id=${waiting.referral.id}&name=unplaced_review`);
    t.equal(review.state, 'met');
  });

  await t.test('more places place it', async t => {
    await act(shelter.a, waiting.referral.id, 'decline', { reason_code: 'unsafe' });
    t.equal((await read(waiting.referral.id)).status, 'unplaced');
    await drain(services);
    t.equal((await read(waiting.referral.id)).status, 'unplaced', 'nothing has changed');
    clock.advance(MINUTE);
    await setTotal('shelter_a', 2);
    await drain(services);
    t.equal((await read(waiting.referral.id)).status, 'unplaced', 'who declined is not asked again');
    await setTotal('shelter_b', 1);
    await drain(services);
    t.equal((await asked(waiting.referral.id))?.agency.id, agencies.shelter_b.id);
  });

  await t.test('who had no place, or did not answer, is asked again when one comes free', async t => {
    await setTotal('shelter_a', 0);
    await act(shelter.b, waiting.referral.id, 'decline', { reason_code: 'no_capacity' });
    t.equal((await read(waiting.referral.id)).status, 'unplaced');
    clock.advance(MINUTE);
    await setTotal('shelter_b', 2);
    await drain(services);
    t.equal((await asked(waiting.referral.id))?.agency.id, agencies.shelter_b.id, 'full, then a place came free');
    clock.advance(16 * MINUTE);
    await drain(services);
    t.equal((await read(waiting.referral.id)).status, 'unplaced', 'expired');
    clock.advance(MINUTE);
    await setTotal('shelter_b', 3);
    await drain(services);
    t.equal((await asked(waiting.referral.id))?.agency.id, agencies.shelter_b.id);
    const { offers } = await read(waiting.referral.id);
    t.strictSame(
      offers.map(({ status }: { status: string }) => status),
      ['declined', 'declined', 'expired', 'offered'],
    );
    const inbox = (await all(shelter.b, '/v1/referrals?box=incoming')).filter(({ id }) => id === waiting.referral.id);
    t.match(inbox, [{ status: 'offered', offer_id: offers[3].id }], 'in its inbox it stands once, as it stands now');
    t.equal(inbox.length, 1);
    await act(helpline, waiting.referral.id, 'cancel', { reason_code: 'error' });
  });

  await t.test('a consent places it', async t => {
    await setTotal('shelter_a', 0);
    await setTotal('shelter_b', 0);
    const consent = { recipient: { agency_id: agencies.shelter_a.id } };
    const { kase, referral } = await startNight(helpline, { consent });
    t.equal(referral.status, 'unplaced');
    await setTotal('shelter_b', 4);
    await drain(services);
    t.equal((await read(referral.id)).status, 'unplaced', 'a place where consent covers nobody is none');
    ok(await helpline.post(`/v1/cases/${kase.id}/consents`, consentBody({ recipient: { agency_id: agencies.shelter_b.id } })));
    await drain(services);
    t.equal((await asked(referral.id))?.agency.id, agencies.shelter_b.id);
    t.equal((await read(referral.id)).offer.agency_id, agencies.shelter_b.id, 'and is named, for the grant names it');
    await act(helpline, referral.id, 'cancel', { reason_code: 'error' });
  });

  await t.test('a service that is offered again places it', async t => {
    const path = `/v1/agencies/${agencies.shelter_b.id}/services/shelter_accommodation`;
    const supervisor = as('shelter_b', 'supervisor');
    const offered = { sexes: ['female'], min_age: 18, location_protected: true };
    const suspend = async (status: string) =>
      ok(await supervisor.put(path, { ...offered, status }, { 'if-match': String((await supervisor.get(path)).headers.etag) }));
    await suspend('suspended');
    const { referral } = await startNight(helpline);
    t.equal(referral.status, 'unplaced');
    await suspend('active');
    await drain(services);
    t.equal((await asked(referral.id))?.agency.id, agencies.shelter_b.id);
    await act(helpline, referral.id, 'cancel', { reason_code: 'error' });
  });

  await t.test('a place that has to be hidden from now on is hidden in what is under way', async t => {
    const path = `/v1/agencies/${agencies.shelter_b.id}/services/shelter_accommodation`;
    const supervisor = as('shelter_b', 'supervisor');
    const offered = { sexes: ['female'], min_age: 18 };
    const protect = async (location_protected: boolean) =>
      ok(
        await supervisor.put(
          path,
          { ...offered, location_protected },
          { 'if-match': String((await supervisor.get(path)).headers.etag) },
        ),
      );
    await protect(false);
    const { referral } = await startNight(helpline);
    t.equal(referral.offer.agency_id, agencies.shelter_b.id);
    await protect(true);
    const after = await helpline.get(`/v1/referrals/${referral.id}`);
    t.ok(ok(after).offer.placed);
    t.notOk(JSON.stringify(after.body).includes(agencies.shelter_b.id));
    await act(helpline, referral.id, 'cancel', { reason_code: 'error' });
  });

  await t.test('one that cannot be routed holds up no other', async t => {
    await setTotal('shelter_b', 0);
    const [broken, sound] = [(await startNight(helpline)).referral, (await startNight(helpline)).referral];
    clock.advance(MINUTE);
    await drain(services);
    await lookAsOwner(services, `update referrals set sealed = '\\x00' where id = $1`, [broken.id]);
    await setTotal('shelter_b', 2);
    await drain(services);
    t.equal((await asked(sound.id))?.agency.id, agencies.shelter_b.id);
    await act(helpline, sound.id, 'cancel', { reason_code: 'error' });
    const again = 'select router_due_at as at from referrals where id = $1';
    const [due] = await lookAsOwner<{ at: Date }>(services, again, [broken.id]);
    t.equal(due!.at.getTime() - clock.now().getTime(), 10_000, 'and is tried again soon');
    const over = `update referrals set ended = 'cancelled', status = 'cancelled', router_due_at = null where id = $1`;
    await lookAsOwner(services, over, [broken.id]);
  });

  await t.test('a place that comes free in the same moment is not missed', async t => {
    await setTotal('shelter_b', 1);
    const { referral } = await startNight(helpline);
    await act(shelter.b, referral.id, 'decline', { reason_code: 'no_capacity' });
    t.equal((await read(referral.id)).status, 'unplaced');
    await drain(services);
    // Somebody is acting on the referral when the place comes free, and when the router first looks.
    const somebody = new pg.Client(services.config.database_url!);
    await somebody.connect();
    await somebody.query('begin');
    await somebody.query('select from referrals where id = $1 for update', [referral.id]);
    await setTotal('shelter_b', 2);
    await drain(services);
    t.equal((await read(referral.id)).status, 'unplaced', 'nobody waits for it');
    await somebody.query('rollback');
    await somebody.end();
    await drain(services);
    t.equal((await asked(referral.id))?.agency.id, agencies.shelter_b.id, 'is looked at as soon as that is over');
    await act(helpline, referral.id, 'cancel', { reason_code: 'error' });
  });
});
