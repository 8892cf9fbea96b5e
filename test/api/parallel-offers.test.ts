import t, { type Test } from 'tap';
import { startTestApp } from '../support/app.ts';
import { drain } from '../support/drain.ts';
import { eventsOf, MINUTE, NONE } from '../support/journey.ts';
import { type Client, mechanism } from '../support/mechanism.ts';
import { ok, startNight } from '../support/night.ts';

/** An emergency that asks several agencies at once, as its rule pack says: the first yes counts. */

t.setTimeout(300_000);

const RULES = '/v1/jurisdictions/XA/rule-pack';

/** Three shelters that could take her, and a pack that asks so many at once. */
async function atOnce(t: Test, parallel_offers: number) {
  const test = await startTestApp(t);
  const them = await mechanism(test);
  const { as, agencies } = them;
  const admin = as('committee', 'nobody');
  const pack = ok(await admin.get(RULES));
  ok(await admin.put(RULES, { ...pack, routing: { ...pack.routing, parallel_offers } }, { 'if-match': '*' }));
  const service = `/v1/agencies/${agencies.shelter_c.id}/services/shelter_accommodation`;
  ok(await as('shelter_c', 'supervisor').put(service, {}, { 'if-match': '*' }));
  const sender = as('helpline_a');
  const shelters = [as('shelter_a'), as('shelter_b'), as('shelter_c')];
  const statusOf = async (who: Client, id: string): Promise<string | undefined> => {
    const { status, body } = await who.get(`/v1/referrals/${id}`);
    return status === 200 ? body.status : undefined;
  };
  /** Those whose own offer stands there. */
  async function having(id: string, status: string): Promise<Client[]> {
    const standing = await Promise.all(shelters.map(who => statusOf(who, id)));
    return shelters.filter((_, i) => standing[i] === status);
  }
  const say = (who: Client, id: string, verb: string, body: object = {}) => who.post(`/v1/referrals/${id}/${verb}`, body);
  const end = async (id: string) => ok(await say(sender, id, 'cancel', { reason_code: 'error' }));
  const offersOf = async (id: string) => ok(await sender.get(`/v1/referrals/${id}`)).offers as { id: string; status: string }[];
  const begin = async (more: object = {}) => (await startNight(sender, { referral: more })).referral;
  return { ...test, ...them, sender, shelters, statusOf, having, say, end, offersOf, begin };
}

t.test('an emergency that asks three', async t => {
  const it = await atOnce(t, 3);
  const { services, clock, agencies, sender, shelters, as, statusOf, having, say, end, offersOf, begin } = it;

  await t.test('the first yes counts, the others are told that it is over', async t => {
    const { id } = await begin();
    t.equal((await having(id, 'offered')).length, 3);
    t.strictSame(
      (await offersOf(id)).map(({ status }) => status),
      ['offered', 'offered', 'offered'],
      'the sender sees them all',
    );
    for (const who of shelters) {
      const own = ok(await who.get(`/v1/referrals/${id}`));
      t.equal(own.offers, undefined, 'a receiver sees its own');
      t.notMatch(
        JSON.stringify(own),
        new RegExp(
          shelters
            .filter(it => it !== who)
            .map(({ agency }) => agency.id)
            .join('|'),
        ),
      );
    }
    const [first, ...others] = shelters as [Client, Client, Client];
    t.equal(ok(await say(first, id, 'accept')).status, 'accepted');
    for (const who of others) {
      t.match(ok(await who.get(`/v1/referrals/${id}`)), {
        status: 'cancelled',
        allowed_actions: NONE,
        offer: { reason_code: null },
      });
      t.match(await say(who, id, 'accept'), { status: 409, body: { code: 'wrong_state', state: 'cancelled' } });
      const told = (await eventsOf(services, who, id)).map(({ type }) => type);
      t.strictSame(told, ['referral.offered', 'referral.cancelled']);
      const clocks = ok(await who.get(`/v1/timers?subject_id=${id}`)).data;
      t.ok(clocks.length > 0 && clocks.every(({ state }: { state: string }) => state === 'cancelled'), 'its clocks are over');
    }
    const told = (await eventsOf(services, sender, id)).map(({ type }) => type);
    t.strictSame(told, ['referral.offered', 'referral.offered', 'referral.offered', 'referral.accepted']);
    await end(id);
  });

  await t.test('whose offer was cancelled is asked again when the first fails', async t => {
    const { id } = await begin();
    ok(await say(shelters[0]!, id, 'accept'));
    ok(await say(shelters[0]!, id, 'fail', { reason_code: 'service_ended' }));
    t.equal((await having(id, 'offered')).length, 2);
    await end(id);
  });

  await t.test('a decline is made up for while somebody is left', async t => {
    const { id } = await begin({ excluded_agencies: [agencies.shelter_c.id] });
    t.equal((await having(id, 'offered')).length, 2, 'no more than there are');
    const [first, second] = await having(id, 'offered');
    ok(await say(first!, id, 'decline', { reason_code: 'unsafe' }));
    t.equal(ok(await sender.get(`/v1/referrals/${id}`)).status, 'offered', 'one is still asked');
    ok(await say(second!, id, 'decline', { reason_code: 'unsafe' }));
    t.equal(ok(await sender.get(`/v1/referrals/${id}`)).status, 'unplaced');
    const unplaced = (await eventsOf(services, sender, id)).filter(({ type }) => type === 'referral.unplaced');
    t.equal(unplaced.length, 1, 'said once, and only when nobody was left');
    await end(id);
  });

  await t.test('only an emergency asks several', async t => {
    for (const urgency of ['urgent', 'routine']) {
      const { id } = await begin({ urgency });
      t.equal((await having(id, 'offered')).length, 1, urgency);
      await end(id);
    }
  });

  await t.test('one agency that is named is asked alone; with a fallback the others once it declined', async t => {
    for (const fallback of [false, true]) {
      const { id } = await begin({
        routing: 'direct',
        recipient_agency_id: agencies.shelter_a.id,
        ...(fallback ? { fallback } : {}),
      });
      t.strictSame(await having(id, 'offered'), [shelters[0]]);
      ok(await say(shelters[0]!, id, 'decline', { reason_code: 'unsafe' }));
      t.equal((await having(id, 'offered')).length, fallback ? 2 : 0);
      await end(id);
    }
  });

  await t.test('a waiting list stands beside', async t => {
    const { id } = await begin();
    for (const who of shelters.slice(0, 2)) {
      ok(await say(who, id, 'receive'));
      ok(await say(who, id, 'waitlist'));
    }
    t.equal(ok(await sender.get(`/v1/referrals/${id}`)).status, 'offered', 'the third is asked');
    ok(await say(shelters[2]!, id, 'decline', { reason_code: 'unsafe' }));
    t.equal(ok(await sender.get(`/v1/referrals/${id}`)).status, 'waitlisted');
    ok(await say(shelters[1]!, id, 'accept'));
    t.equal(await statusOf(shelters[0]!, id), 'cancelled');
    await end(id);
  });

  await t.test('silence of all of them', async t => {
    const { id } = await begin();
    clock.advance(16 * MINUTE);
    await drain(services);
    t.equal((await having(id, 'expired')).length, 3);
    t.equal(ok(await sender.get(`/v1/referrals/${id}`)).status, 'unplaced');
    ok(await say(shelters[2]!, id, 'accept'));
    t.equal(ok(await sender.get(`/v1/referrals/${id}`)).status, 'accepted', 'a late yes still counts');
    await end(id);
  });

  await t.test('which offer the sender means, where several are live', async t => {
    const { id } = await begin();
    for (const who of shelters.slice(0, 2)) {
      ok(await say(who, id, 'receive'));
      ok(await say(who, id, 'request-information', { questions: ['Is she hurt?'] }));
    }
    const offers = await offersOf(id);
    const asking = offers.filter(({ status }) => status === 'info_requested');
    t.equal(asking.length, 2);
    const answers = ['No.'];
    t.match(await say(sender, id, 'provide-information', { answers }), {
      status: 422,
      body: { code: 'unprocessable', errors: [{ pointer: '/offer_id' }] },
    });
    t.strictSame(await offersOf(id), offers, 'nothing is guessed');
    ok(await say(sender, id, 'provide-information', { answers, offer_id: asking[1]!.id }));
    t.equal((await offersOf(id)).find(it => it.id === asking[1]!.id)!.status, 'received');
    t.equal((await offersOf(id)).find(it => it.id === asking[0]!.id)!.status, 'info_requested');
    ok(await say(sender, id, 'provide-information', { answers }));
    t.equal((await having(id, 'info_requested')).length, 0, 'with one that asks it is plain');
    const told_by = { channel: 'phone', at: clock.now().toISOString(), staff_code: 'CH-1' };
    const recorded = await say(sender, id, 'accept', { told_by });
    t.match(recorded, { status: 422, body: { code: 'unprocessable', errors: [{ pointer: '/offer_id' }] } });
    ok(await say(sender, id, 'accept', { told_by, offer_id: asking[0]!.id }));
    await end(id);
  });

  await t.test('three say yes in the same instant', async t => {
    for (let round = 0; round < 5; round += 1) {
      const { id } = await begin();
      const answers = await Promise.all(shelters.map(who => say(who, id, 'accept')));
      t.strictSame(answers.map(({ status }) => status).sort(), [200, 409, 409]);
      for (const { body } of answers.filter(({ status }) => status === 409))
        t.match(body, { code: 'wrong_state', state: 'cancelled' });
      t.strictSame((await offersOf(id)).map(({ status }) => status).sort(), ['accepted', 'cancelled', 'cancelled']);
      await end(id);
    }
    const held = await Promise.all(
      (['shelter_a', 'shelter_b', 'shelter_c'] as const).map(async key => {
        const path = `/v1/agencies/${agencies[key].id}/services/shelter_accommodation/capacity`;
        return ok(await as(key, 'supervisor').get(path)).held as number;
      }),
    );
    t.strictSame(held, [0, 0, 0], 'and each place was given back');
  });

  await t.test('a consent that ends ends them all', async t => {
    const { referral, consent } = await startNight(sender);
    ok(await sender.post(`/v1/consents/${consent.id}/withdraw`, { spoken_in_private: true }));
    t.equal((await having(referral.id, 'withdrawn')).length, 3);
    t.equal(ok(await sender.get(`/v1/referrals/${referral.id}`)).status, 'withdrawn');
  });
});

t.test('a pack that says two', async t => {
  const { having, say, begin } = await atOnce(t, 2);
  const { id } = await begin();
  const [first] = await having(id, 'offered');
  t.equal((await having(id, 'offered')).length, 2);
  ok(await say(first!, id, 'decline', { reason_code: 'unsafe' }));
  t.equal((await having(id, 'offered')).length, 2, 'a third takes the place of who declined');
});
