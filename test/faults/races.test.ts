import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { everyEntry } from '../support/entries.ts';
import { holdInvariants, settle } from '../support/invariants.ts';
import type { Answer, Client } from '../support/mechanism.ts';
import { caseBody, consentBody, ok, referralBody } from '../support/night.ts';
import { startServed } from '../support/served.ts';
import { startReceiver } from '../support/webhooks.ts';

/**
 * Those who act at the same instant, through HTTP against the real process: whoever comes first has won, whoever loses is told
 * how things stand and what it may do, nothing happens twice, and what the database then holds is what one of the two orders
 * would have left.
 */

// Real clocks, and other suites beside it.
t.setTimeout(600_000);

const AT_ONCE = 50;
const ROUNDS = 10;

t.test('races', async t => {
  const served = await startServed(t, ['helpline_a', 'helpline_b', 'health', 'shelter_a', 'shelter_b', 'audit_body']);
  const { as, agencies, look } = served;
  const sender = as('helpline_a');
  const health = as('health');
  const shelters = [as('shelter_a'), as('shelter_b')] as const;

  const times = <T>(count: number, make: (i: number) => Promise<T>): Promise<T[]> =>
    Promise.all(Array.from({ length: count }, (_, i) => make(i)));
  /** Two that start within a few milliseconds, now this one first and now that one. */
  const race = <T>(...starts: (() => Promise<T>)[]): Promise<T[]> =>
    Promise.all(starts.map(async start => sleep(Math.random() * 24).then(start)));
  /** How often each answer was given: `{'200': 1, '409 wrong_state accepted': 49}`. */
  const tally = (answers: readonly Answer[]): Record<string, number> => {
    const counts: Record<string, number> = {};
    for (const { status, body } of answers) {
      const said = [status, body.code, body.code && body.state].filter(it => it !== undefined).join(' ');
      counts[said] = (counts[said] ?? 0) + 1;
    }
    return counts;
  };

  const kase = ok(await sender.post('/v1/cases', caseBody()));
  const consent = (more: object, case_id = kase.id) =>
    sender.post(`/v1/cases/${case_id}/consents`, consentBody(more as never)).then(ok);
  const MEDICAL = { recipient: { agency_kind: 'health' }, purposes: ['medical'] };
  await consent(MEDICAL);
  await consent({});
  const refer = (more: object, case_id = kase.id) =>
    sender.post(`/v1/cases/${case_id}/referrals`, referralBody({ urgency: 'urgent', ...more } as never)).then(ok);
  const toHealth = { service: 'medical', routing: 'direct', recipient_agency_id: agencies.health.id };
  const act = (who: Client, id: string, verb: string, body: object = {}, headers = {}) =>
    who.post(`/v1/referrals/${id}/${verb}`, body, headers);

  /** What the database holds of a referral: one row, whatever happened to it. */
  async function stateOf(id: string) {
    const [row] = await look(
      `select r.status, (select json_agg(status order by ordinal) from offers where referral_id = r.id) as offers,
        (select count(*)::int from disclosures where referral_id = r.id) as disclosures,
        (select count(*)::int from disclosures where referral_id = r.id and ended_at is null) as open,
        (select coalesce(sum(places_held), 0)::int from offers where referral_id = r.id) as places_held,
        (select coalesce(json_agg(name order by name), '[]') from timers where referral_id = r.id
          and state in ('running', 'paused') and name not in ('deletion_confirmation', 'welfare_check')) as clocks,
        (select coalesce(json_agg(format('%s %s', name, n) order by name), '[]') from (select name, count(*) as n
          from timers where offer_id in (select id from offers where referral_id = r.id) group by offer_id, name) twice
          where n > 1) as twice
      from referrals r where id = $1`,
      [id],
    );
    return row;
  }

  /** What was told of a referral, each event once per recipient: `referral.accepted helpline_a`. */
  async function toldOf(id: string): Promise<{ order: string[]; twice: string[] }> {
    const rows = await look(
      `select min(number) as first, replace(type, 'referral.', '') as type, agency_id, count(distinct id)::int as events, count(*)::int as rows
        from events where referral_id = $1 and type like 'referral.%' group by type, agency_id order by first`,
      [id],
    );
    return {
      order: rows.filter(({ agency_id }) => agency_id === sender.agency.id).map(({ type }) => type),
      twice: rows.filter(({ rows, type }) => rows > 1 && type !== 'offered' && type !== 'withdrawn').map(({ type }) => type),
    };
  }

  /** What the trail keeps of what was done and tried on it: `{'done accept': 1, 'denied accept wrong_state': 49}`. */
  async function trailOf(id: string): Promise<Record<string, number>> {
    const counts: Record<string, number> = {};
    for (const { meta } of await everyEntry(as('audit_body'), `referral_id=${id}`)) {
      const line = `${meta.outcome} ${meta.action.replace('referral.', '')}${meta.outcome === 'done' ? '' : ` ${meta.code}`}`;
      counts[line] = (counts[line] ?? 0) + 1;
    }
    return counts;
  }

  async function held(key: 'shelter_a' | 'shelter_b' | 'health'): Promise<number | null> {
    const [row] = await look('select held from capacities where agency_id = $1', [agencies[key].id]);
    return row?.held ?? null;
  }

  await t.test('fifty accept one offer', async t => {
    const { id } = await refer(toHealth);
    const answers = await times(AT_ONCE, () => act(health, id, 'accept'));
    t.strictSame(tally(answers), { '200': 1, '409 wrong_state accepted': AT_ONCE - 1 });
    const lost = answers.find(({ status }) => status === 409)!;
    t.strictSame(lost.body.allowed_actions, ['confirm_handover', 'report_no_show', 'fail'], 'and are told what they may do now');
    t.match(await stateOf(id), { status: 'accepted', disclosures: 1, open: 1, clocks: ['handover'], twice: { length: 0 } });
    t.strictSame(await toldOf(id), { order: ['offered', 'accepted'], twice: [] });
    t.match(await trailOf(id), { 'done accept': 1, 'denied accept wrong_state': AT_ONCE - 1 });
  });

  await t.test('fifty use one idempotency key', async t => {
    const { id } = await refer(toHealth);
    const key = { 'idempotency-key': 'one key' };
    const answers = await times(AT_ONCE, () => act(health, id, 'accept', {}, key));
    const first = answers.filter(({ status, headers }) => status === 200 && !headers['idempotency-replayed']);
    const replayed = answers.filter(({ status, headers }) => status === 200 && headers['idempotency-replayed'] === 'true');
    const waiting = answers.filter(({ status, body }) => status === 409 && body.code === 'idempotency_in_progress');
    t.equal(first.length, 1);
    t.equal(replayed.length + waiting.length, AT_ONCE - 1, 'the others are answered the same, or told to wait');
    t.ok(waiting.every(({ headers }) => headers['retry-after'] === '1'));
    t.ok(replayed.every(({ body }) => body.id === id && body.status === 'accepted'));
    t.match(await act(health, id, 'accept', {}, key), { status: 200, headers: { 'idempotency-replayed': 'true' } }, 'for good');
    t.match(await stateOf(id), { status: 'accepted', disclosures: 1, open: 1, twice: { length: 0 } });
    t.strictSame(await toldOf(id), { order: ['offered', 'accepted'], twice: [] });
    t.match(await trailOf(id), { 'done accept': 1, 'read accept idempotency_replayed': replayed.length + 1 });

    const made = await times(AT_ONCE, () =>
      sender.post(`/v1/cases/${kase.id}/referrals`, referralBody(toHealth as never), { 'idempotency-key': 'to make' }),
    );
    const ids = new Set(made.filter(({ status }) => status === 201).map(({ body }) => body.id));
    t.equal(ids.size, 1, 'and of what is made there is one');
    t.ok(made.every(({ status, body }) => status === 201 || body.code === 'idempotency_in_progress'));

    const foreign = await act(as('helpline_b'), id, 'accept', {}, key);
    t.match(foreign, { status: 404, body: { code: 'not_found' } }, 'to another client, nothing has been done under the key');
    t.equal(foreign.headers['idempotency-replayed'], undefined);
    const own = await as('helpline_b').post('/v1/cases', caseBody(), key);
    t.match(own, { status: 201, headers: { 'idempotency-replayed': undefined } }, 'which it may use itself');
  });

  await t.test('fifty hold the same version', async t => {
    const { id, version } = await refer(toHealth);
    const answers = await times(AT_ONCE, () => act(health, id, 'receive', {}, { 'if-match': `"${version}"` }));
    t.strictSame(tally(answers), { '200': 1, '412 precondition_failed': AT_ONCE - 1 });
    t.match(await stateOf(id), { status: 'received', offers: ['received'], clocks: ['respond'] });
    t.strictSame(await toldOf(id), { order: ['offered', 'received'], twice: [] });
    const trail = await trailOf(id);
    t.equal(trail['done receive'], 1);
    t.notMatch(Object.keys(trail).join(), 'denied', 'what was merely read too early leaves no entry');
  });

  await t.test('the last place', async t => {
    const path = `/v1/agencies/${agencies.shelter_b.id}/services/shelter_accommodation/capacity`;
    ok(await as('shelter_b', 'supervisor').put(path, { total: 1, held_elsewhere: 0 }));
    const direct = { routing: 'direct', recipient_agency_id: agencies.shelter_b.id };
    const [, taker] = shelters;
    for (let round = 0; round < ROUNDS; round += 1) {
      const two = await times(2, () => refer(direct));
      const answers = await race(
        ...two.map(
          ({ id }) =>
            () =>
              act(taker, id, 'accept'),
        ),
      );
      t.strictSame(tally(answers), { '200': 1, '409 no_capacity': 1 });
      t.equal(await held('shelter_b'), 1);
      const won = answers.findIndex(({ status }) => status === 200);
      const [winner, loser] = [two[won]!, two[1 - won]!];
      t.match(await stateOf(winner.id), { status: 'accepted', places_held: 1, open: 1 });
      t.match(await stateOf(loser.id), { status: 'offered', places_held: 0, disclosures: 0, clocks: ['acknowledge', 'respond'] });
      t.strictSame((await toldOf(loser.id)).order, ['offered']);
      t.match(await trailOf(loser.id), { 'denied accept no_capacity': 1 });
      // The place comes back while the other asks for it again.
      const [failed, again] = await race(
        () => act(taker, winner.id, 'fail', { reason_code: 'service_ended' }),
        () => act(taker, loser.id, 'accept'),
      );
      t.equal(failed!.status, 200);
      t.ok([200, 409].includes(again!.status));
      t.equal(await held('shelter_b'), again!.status === 200 ? 1 : 0);
      for (const { id } of two) await act(sender, id, 'cancel', { reason_code: 'error' });
      t.equal(await held('shelter_b'), 0, 'no place is lost, and none found');
    }
    ok(await as('shelter_b', 'supervisor').put(path, { total: 6, held_elsewhere: 0 }));
  });

  await t.test('fifty accept the last place', async t => {
    const path = `/v1/agencies/${agencies.shelter_b.id}/services/shelter_accommodation/capacity`;
    ok(await as('shelter_b', 'supervisor').put(path, { total: 1, held_elsewhere: 0 }));
    const fifty = await times(AT_ONCE, () => refer({ routing: 'direct', recipient_agency_id: agencies.shelter_b.id }));
    const answers = await Promise.all(fifty.map(({ id }) => act(shelters[1], id, 'accept')));
    t.strictSame(tally(answers), { '200': 1, '409 no_capacity': AT_ONCE - 1 });
    t.equal(await held('shelter_b'), 1);
    await Promise.all(fifty.map(({ id }) => act(sender, id, 'cancel', { reason_code: 'error' })));
    t.equal(await held('shelter_b'), 0);
    ok(await as('shelter_b', 'supervisor').put(path, { total: 6, held_elsewhere: 0 }));
  });

  await t.test('a consent withdrawn while it is accepted', async t => {
    const outcomes = new Set<string>();
    for (let round = 0; round < ROUNDS; round += 1) {
      const own_case = ok(await sender.post('/v1/cases', caseBody()));
      const grant = await consent(MEDICAL, own_case.id);
      const { id } = await refer(toHealth, own_case.id);
      const stop_service = round % 2 === 0;
      const [accepted, withdrawn] = await race(
        () => act(health, id, 'accept'),
        () => sender.post(`/v1/consents/${grant.id}/withdraw`, { stop_service, spoken_in_private: true }),
      );
      t.equal(withdrawn!.status, 200);
      outcomes.add(`${accepted!.status}`);
      const goes_on = accepted!.status === 200 && !stop_service;
      if (accepted!.status !== 200) {
        t.match(accepted, { status: 409, body: { code: 'wrong_state', state: 'withdrawn' } });
        t.strictSame(accepted!.body.allowed_actions, []);
      }
      t.match(await stateOf(id), {
        status: goes_on ? 'accepted' : 'withdrawn',
        offers: [goes_on ? 'accepted' : 'withdrawn'],
        disclosures: accepted!.status === 200 ? 1 : 0,
        open: goes_on ? 1 : 0,
      });
      const read = ok(await health.get(`/v1/referrals/${id}`));
      t.strictSame(read.disclosure?.data ?? {}, {}, 'whoever was first: from now on nothing is shown');
      const { order, twice } = await toldOf(id);
      t.strictSame(twice, []);
      t.strictSame(order, ['offered', ...(accepted!.status === 200 ? ['accepted'] : []), ...(goes_on ? [] : ['withdrawn'])]);
      const trail = await trailOf(id);
      t.equal((trail['done accept'] ?? 0) + (trail['denied accept wrong_state'] ?? 0), 1);
    }
    t.comment([...outcomes].sort().join(' and '));
  });

  await t.test('a referral cancelled while it is accepted', async t => {
    const outcomes = new Set<string>();
    const before = await held('shelter_a');
    for (let round = 0; round < ROUNDS; round += 1) {
      const { id } = await refer({ routing: 'direct', recipient_agency_id: agencies.shelter_a.id });
      const [accepted, cancelled] = await race(
        () => act(shelters[0], id, 'accept'),
        () => act(sender, id, 'cancel', { reason_code: 'error' }),
      );
      outcomes.add(`${accepted!.status}`);
      t.equal(cancelled!.status, 200);
      if (accepted!.status !== 200) t.match(accepted, { status: 409, body: { code: 'wrong_state', state: 'cancelled' } });
      const took = accepted!.status === 200 ? 1 : 0;
      t.match(await stateOf(id), { status: 'cancelled', offers: ['cancelled'], disclosures: took, open: 0, places_held: 0 });
      t.equal(await held('shelter_a'), before);
      t.strictSame(await toldOf(id), { order: ['offered', ...(took ? ['accepted'] : []), 'cancelled'], twice: [] });
      t.match(await trailOf(id), { 'done cancel': 1, [took ? 'done accept' : 'denied accept wrong_state']: 1 });
    }
    t.comment([...outcomes].sort().join(' and '));
  });

  await t.test('two receivers accept one referral', async t => {
    for (let round = 0; round < ROUNDS; round += 1) {
      const { id } = await refer({ routing: 'automatic' });
      const [first] = (await asked(id)) as [Client];
      ok(await act(first, id, 'receive'));
      ok(await act(first, id, 'waitlist'));
      const both = await asked(id);
      t.equal(both.length, 2);
      const answers = await race(...both.map(who => () => act(who, id, 'accept')));
      t.match(tally(answers), { '200': 1, '409 wrong_state cancelled': 1 });
      t.strictSame(answers.find(({ status }) => status === 409)!.body.allowed_actions, []);
      const state = await stateOf(id);
      t.strictSame(state.offers.toSorted(), ['accepted', 'cancelled']);
      t.match(state, { status: 'accepted', disclosures: 1, open: 1, places_held: 1, clocks: ['handover'] });
      t.equal(((await held('shelter_a')) ?? 0) + ((await held('shelter_b')) ?? 0), 1);
      t.strictSame((await toldOf(id)).order.at(-1), 'accepted');
      t.match(await trailOf(id), { 'done accept': 1, 'denied accept wrong_state': 1 });
      ok(await act(sender, id, 'cancel', { reason_code: 'error' }));
    }
  });

  /** Those who are asked to take the referral, in the order in which they were asked. */
  async function asked(id: string): Promise<Client[]> {
    const rows = await look('select agency_id from offers where referral_id = $1 order by ordinal', [id]);
    return rows.map(({ agency_id }) => shelters.find(({ agency }) => agency.id === agency_id)!);
  }

  await t.test('an offer that expires while its receiver answers', async t => {
    const answered = { decline: 0, accept: 0 };
    const expired = { decline: 0, accept: 0 };
    await Promise.all(
      (['decline', 'accept'] as const).map(async verb => {
        const { id: case_id } = ok(await sender.post('/v1/cases', caseBody()));
        await consent(MEDICAL, case_id);
        // How long after the clock: nearer and nearer to where the one still wins and the other just does.
        let lag = 100;
        for (let round = 0; round < ROUNDS; round += 1) {
          const { id, offer } = await refer(toHealth, case_id);
          await look(
            `update timers set due_at = at, next_step_at = at, steps = json_build_array(json_build_object('at', at, 'kind', 'breach'))
              from (select clock_timestamp() + interval '20 ms' as at) soon where offer_id = $1 and name = 'respond'`,
            [offer.id],
          );
          await sleep(20 + Math.max(0, lag + Math.random() * 30));
          const answer = await act(health, id, verb, verb === 'decline' ? { reason_code: 'unsafe' } : {});
          // What won, the clock passes by: it is looked at when nothing is left that could fire.
          await fired(offer.id);
          const { order, twice } = await toldOf(id);
          const late = order.includes('expired');
          if (late) expired[verb] += 1;
          else answered[verb] += 1;
          lag += late ? -40 : 50;
          t.strictSame(twice, []);
          const state = await stateOf(id);
          const trail = await trailOf(id);
          t.equal(trail['done expire'], late ? 1 : undefined);
          if (verb === 'accept') {
            t.equal(answer.status, 200, 'in time or late, nobody else has said yes');
            t.strictSame(order, late ? ['offered', 'expired', 'unplaced', 'accepted'] : ['offered', 'accepted']);
            t.match(state, { status: 'accepted', disclosures: 1, open: 1, clocks: ['handover'], twice: { length: 0 } });
            t.equal(trail['done accept'], 1);
          } else {
            t.strictSame(order, ['offered', late ? 'expired' : 'declined', 'unplaced'], 'one of both happened');
            t.match(state, { status: 'unplaced', disclosures: 0, clocks: ['unplaced_review'] });
            t.equal(trail[late ? 'denied decline wrong_state' : 'done decline'], 1);
            if (!late) t.equal(answer.status, 200);
            else {
              t.match(answer, { status: 409, body: { code: 'wrong_state', state: 'expired' } });
              t.strictSame(answer.body.allowed_actions, ['accept'], 'a late yes is still one');
            }
          }
        }
      }),
    );
    t.comment(`answered ${JSON.stringify(answered)}, expired ${JSON.stringify(expired)}`);
  });

  /** Resolves when the clock by which the offer expires has nothing left to do. */
  async function fired(offer_id: string): Promise<void> {
    for (;;) {
      const rows = await look(`select 1 from timers where offer_id = $1 and name = 'respond' and next_step_at is not null`, [
        offer_id,
      ]);
      if (rows.length === 0) return;
      await sleep(20);
    }
  }

  await t.test('an endpoint erased while it is delivered to', async t => {
    const supervisor = as('health', 'supervisor');
    const [erased, other] = [await startReceiver(t), await startReceiver(t)];
    const register = (url: string) =>
      supervisor.post('/v1/webhook-endpoints', { url, event_types: ['referral.offered'] }).then(ok);
    const endpoint = await register(erased.url);
    const kept = await register(other.url);
    const reply = Promise.withResolvers<{ status: number }>();
    erased.replies.push(...Array.from({ length: 20 }, () => reply.promise));
    const made = await times(12, () => refer(toHealth));
    await erased.reached(1);
    const [gone] = await race(
      () => supervisor.del(`/v1/webhook-endpoints/${endpoint.id}`),
      () => refer(toHealth).then(() => ({}) as Answer),
    );
    t.equal(gone!.status, 204, 'who is in the middle of a delivery does not stand in its way');
    const under_way = await look('select id from deliveries where endpoint_id = $1 and claimed_until is not null', [endpoint.id]);
    reply.resolve({ status: 204 });
    // The next event is delivered to the other endpoint, behind everything that could still have gone to this one.
    const after = await refer(toHealth);
    await other.reached(made.length + 2);
    t.ok(other.received.some(({ body }) => body.data.referral_id === after.id));
    for (;;) {
      const open = `select 1 from deliveries where endpoint_id = $1 and claimed_until is not null`;
      if ((await look(open, [endpoint.id])).length === 0) break;
      await sleep(20);
    }
    const sent = erased.received.map(({ headers }) => headers['webhook-id']);
    t.equal(new Set(sent).size, sent.length, 'nothing was sent twice');
    const attempts = await look(
      'select count(*)::int as count from delivery_attempts a join deliveries d on d.id = a.delivery_id where d.endpoint_id = $1',
      [endpoint.id],
    );
    t.equal(attempts[0].count, sent.length, 'each attempt is accounted for');
    t.ok(sent.length <= under_way.length + 8, 'and only what was under way');
    t.notOk(
      erased.received.some(({ body }) => body.data.referral_id === after.id),
      'nothing that came later',
    );
    t.equal((await supervisor.get(`/v1/webhook-endpoints/${endpoint.id}`)).status, 404);
    t.equal((await supervisor.del(`/v1/webhook-endpoints/${kept.id}`)).status, 204);
  });

  await t.test('and in the end everything agrees, and the process has nothing to complain of', async t => {
    await settle(served.database);
    await holdInvariants(t, { database: served.database, settled: true });
    // On a slow machine a round of the worker may wait too long for a connection, and the log may lag; both come again.
    const complaints = (await served.stop()).filter(line => !/timeout exceeded when trying to connect|merge_delay/.test(line));
    t.strictSame(complaints, []);
  });
});
