import t, { type Test } from 'tap';
import { makeFollowOns } from '../../src/referrals/follow-ons.ts';
import { startTestApp } from '../support/app.ts';
import { drain } from '../support/drain.ts';
import { eventsOf, HOUR, MINUTE } from '../support/journey.ts';
import { type Client, mechanism } from '../support/mechanism.ts';
import { caseBody, consentBody, ok, referralBody } from '../support/night.ts';
import { lookAsOwner } from '../support/trail.ts';

/**
 * Whom a service leaves is asked for elsewhere before it ends: a suspended service, an agency that is suspended or closed. The old
 * receiver goes on until it says that it is over, and never learns who takes over from it.
 */

t.setTimeout(300_000);

const SHELTER = 'shelter_accommodation';

async function start(t: Test) {
  const test = await startTestApp(t, { RATE_LIMIT: '100000,100000' });
  const them = await mechanism(test);
  const { as, agencies } = them;
  const { services, clock } = test;
  const [sender, old, next, committee] = [as('helpline_a'), as('shelter_a'), as('shelter_b'), as('committee')];

  const path = `/v1/agencies/${agencies.shelter_a.id}/services/${SHELTER}`;
  const ADULT = { sexes: ['female'], location_protected: true };
  /** What the old shelter says of its service, and what is done about it. */
  const say = async (status: 'active' | 'suspended') => {
    ok(await as('shelter_a', 'supervisor').put(path, { ...ADULT, status }, { 'if-match': '*' }));
    await drain(services);
  };
  const act = async (who: Client, id: string, verb: string, body: object = {}) =>
    ok(await who.post(`/v1/referrals/${id}/${verb}`, body));
  const arrive = (who: Client, id: string) => act(who, id, 'confirm-handover', { arrived_at: clock.now().toISOString() });
  const read = async (who: Client, id: string) => ok(await who.get(`/v1/referrals/${id}`));

  /** A person for whom the old shelter is asked. */
  async function ask({
    consent = {},
    referral = {},
  }: {
    consent?: Record<string, unknown>;
    referral?: Record<string, unknown>;
  } = {}) {
    const kase = ok(await sender.post('/v1/cases', caseBody()));
    ok(await sender.post(`/v1/cases/${kase.id}/consents`, consentBody(consent)));
    const direct = { urgency: 'routine', routing: 'direct', recipient_agency_id: agencies.shelter_a.id };
    const made = ok(await sender.post(`/v1/cases/${kase.id}/referrals`, referralBody({ ...direct, ...referral })));
    return { case_id: kase.id as string, id: made.id as string };
  }
  /** One who lives there. */
  async function serve(more: Parameters<typeof ask>[0] = {}) {
    const asked = await ask(more);
    await arrive(old, asked.id);
    return asked;
  }
  const followOnOf = async (id: string): Promise<string | undefined> => (await read(sender, id)).followed_by;
  const unmetOf = async (who: Client, case_id: string): Promise<string[]> =>
    ok(await who.get(`/v1/cases/${case_id}`)).unmet.map(({ service, why }: Record<string, string>) => `${service} ${why}`);
  const told = async (who: Client, id: string) => (await eventsOf(services, who, id)).map(({ type }) => type);
  const followOns = () =>
    lookAsOwner<{ follows_referral_id: string; status: string }>(
      services,
      'select follows_referral_id, status from referrals where follows_referral_id is not null',
    );
  return {
    ...test,
    ...them,
    sender,
    old,
    next,
    committee,
    say,
    act,
    arrive,
    read,
    ask,
    serve,
    followOnOf,
    unmetOf,
    told,
    followOns,
  };
}

t.test('a service is suspended', async t => {
  const { services, clock, agencies, sender, old, next, committee, say, act, arrive, read, ...it } = await start(t);
  const served = [await it.serve(), await it.serve({ referral: { urgency: 'emergency' } })];
  const accepted = await it.ask();
  await act(old, accepted.id, 'accept');
  const asked = [await it.ask(), await it.ask()];
  await say('suspended');

  await t.test('somebody else is asked for each who is served, while the old goes on', async t => {
    for (const { id, case_id } of [...served, accepted]) {
      const before = await read(sender, id);
      t.match(before, { status: id === accepted.id ? 'accepted' : 'in_progress', follows: undefined });
      const follow_on = await read(sender, before.followed_by);
      t.match(follow_on, {
        status: 'offered',
        case_id,
        follows: id,
        service: SHELTER,
        sender_agency_id: agencies.helpline_a.id,
        urgency: id === served[1]!.id ? 'emergency' : 'urgent',
        routing: 'automatic',
        disclosure: { categories: before.disclosure.categories },
        note: before.note,
      });
      t.match(await read(next, follow_on.id), { status: 'offered', offer: { agency_id: agencies.shelter_b.id } });
      t.strictSame(await it.told(sender, follow_on.id), ['referral.offered']);
      t.strictSame(follow_on.timers.map(({ name, state }: Record<string, string>) => `${name} ${state}`).sort(), [
        'acknowledge running',
        'respond running',
      ]);
      t.strictSame(await it.unmetOf(sender, case_id), [], 'nobody is without');
    }
    t.equal((await it.followOns()).length, 3);
  });

  await t.test('who was only asked has its answer to give', async t => {
    for (const { id } of asked) t.match(await read(old, id), { status: 'offered', followed_by: undefined });
    await act(old, asked[0]!.id, 'decline', { reason_code: 'service_suspended' });
    t.equal((await read(sender, asked[0]!.id)).status, 'unplaced', 'it was asked alone');
    await act(old, asked[1]!.id, 'accept');
    await drain(services);
    t.ok(await it.followOnOf(asked[1]!.id), 'whoever says yes all the same serves a person whom it leaves');
  });

  await t.test('the trail says who asked, and the timeline of the case', async t => {
    const { data } = ok(await sender.get(`/v1/cases/${served[0]!.case_id}/timeline?limit=200`));
    const follow_on = await it.followOnOf(served[0]!.id);
    const acts = data.filter(({ referral_id }: { referral_id: string }) => referral_id === follow_on);
    t.match(acts.slice(0, 2), [
      { action: 'referral.follow_on', by: 'system' },
      { action: 'referral.offer', by: 'system' },
    ]);
  });

  await t.test('the person arrives elsewhere: the old receiver is told, and not where', async t => {
    const { id } = served[0]!;
    const follow_on = (await it.followOnOf(id))!;
    await act(next, follow_on, 'accept');
    t.equal((await read(sender, id)).status, 'in_progress', 'the old bed is kept until the new one is slept in');
    await arrive(next, follow_on);
    const [confirmed] = (await eventsOf(services, old, id)).filter(({ data }) => data.elsewhere);
    t.match(confirmed, { type: 'referral.handover_confirmed', data: { referral_id: id, agency_id: agencies.shelter_a.id } });

    t.equal((await old.get(`/v1/referrals/${follow_on}`)).status, 404);
    t.match(await read(old, id), { followed_by: undefined, follows: undefined });
    const known_to_old = JSON.stringify([
      await read(old, id),
      await eventsOf(services, old),
      ok(await old.get(`/v1/cases/${served[0]!.case_id}`)),
      ok(await old.get(`/v1/cases/${served[0]!.case_id}/timeline?limit=200`)),
      ok(await old.get(`/v1/cases/${served[0]!.case_id}/disclosures`)),
      ok(await old.get('/v1/referrals?limit=200')),
    ]);
    const known_to_next = JSON.stringify([
      await read(next, follow_on),
      await eventsOf(services, next),
      ok(await next.get(`/v1/cases/${served[0]!.case_id}`)),
      ok(await next.get(`/v1/cases/${served[0]!.case_id}/timeline?limit=200`)),
      ok(await next.get('/v1/referrals?limit=200')),
    ]);
    t.notOk(known_to_old.includes(agencies.shelter_b.id), 'where she is now');
    t.notOk(known_to_old.includes(follow_on));
    t.notOk(known_to_next.includes(agencies.shelter_a.id), 'where she came from');
    t.notOk(known_to_next.includes(id));
    t.notOk(JSON.stringify(await read(sender, id)).includes(agencies.shelter_a.id), 'nor is either told to the sender');

    await act(old, id, 'complete', { outcome_code: 'service_provided' });
    t.equal((await read(sender, id)).status, 'completed');
    t.strictSame(await it.unmetOf(sender, served[0]!.case_id), []);
  });

  await t.test('the old ends before anybody said yes: the person is without, and the coordinator told', async t => {
    const { id, case_id } = served[1]!;
    const follow_on = (await it.followOnOf(id))!;
    const before = (await it.told(committee, id)).length;
    await act(old, id, 'complete', { outcome_code: 'service_provided' });
    t.strictSame((await it.told(committee, id)).slice(before), ['referral.completed']);
    t.notOk(JSON.stringify(await eventsOf(services, committee, id)).includes(agencies.shelter_a.id));
    t.strictSame(await it.unmetOf(sender, case_id), [`${SHELTER} asked`]);
    t.strictSame(await it.unmetOf(committee, case_id), [`${SHELTER} asked`]);
    await act(next, follow_on, 'accept');
    t.strictSame(await it.unmetOf(sender, case_id), []);
  });

  await t.test('or fails: the follow-on is asked for, and nobody beside it', async t => {
    const { id, case_id } = accepted;
    const follow_on = (await it.followOnOf(id))!;
    await act(old, id, 'fail', { reason_code: 'service_ended' });
    t.strictSame((await it.told(committee, id)).slice(-1), ['referral.unplaced']);
    t.match(await read(sender, id), { status: 'unplaced', offers: { length: 1 } });
    t.strictSame(await it.unmetOf(sender, case_id), [`${SHELTER} asked`]);
    clock.advance(2 * MINUTE);
    await drain(services);
    t.match(await read(sender, id), { status: 'unplaced', offers: { length: 1 } }, 'it waits for its follow-on');

    await arrive(next, follow_on);
    clock.advance(2 * MINUTE);
    await drain(services);
    t.match(await read(sender, id), { status: 'cancelled' });
    t.strictSame(await it.unmetOf(sender, case_id), []);
    const { data } = ok(await sender.get(`/v1/cases/${case_id}/timeline?limit=200`));
    t.match(data.at(-1), { action: 'referral.cancel', code: 'need_met_elsewhere', referral_id: id, by: 'system' });
  });
});

t.test('it comes back', async t => {
  const { services, clock, sender, next, say, act, read, ...it } = await start(t);
  const [waits, taken] = [await it.serve(), await it.serve()];
  await say('suspended');
  const follow_on = (await it.followOnOf(waits.id))!;
  const other = (await it.followOnOf(taken.id))!;
  await act(next, other, 'accept');
  await say('active');

  t.equal((await read(sender, follow_on)).status, 'cancelled', 'nobody had said yes');
  t.strictSame((await it.told(next, follow_on)).slice(-1), ['referral.cancelled']);
  t.strictSame((await it.told(sender, follow_on)).slice(-1), ['referral.cancelled']);
  t.match(await read(sender, follow_on), { offers: [{ status: 'cancelled', reason_code: 'need_met_elsewhere' }] });
  t.equal((await read(sender, other)).status, 'accepted', 'a yes stands');
  for (const { id } of [waits, taken]) t.equal((await read(sender, id)).status, 'in_progress');

  clock.advance(HOUR);
  await say('suspended');
  t.not(await it.followOnOf(waits.id), follow_on, 'and leaves again: somebody is asked again');
  t.equal(await it.followOnOf(taken.id), other);
  t.equal((await it.followOns()).length, 3);

  await act(sender, (await it.followOnOf(waits.id))!, 'cancel', { reason_code: 'person_declined' });
  clock.advance(HOUR);
  await drain(services);
  t.equal((await it.followOns()).length, 3, 'what the sender took back stays so');
});

t.test('an agency that leaves', async t => {
  const { services, agencies, as, committee, sender, read, ...it } = await start(t);
  const path = `/v1/agencies/${agencies.shelter_a.id}`;
  const change = async (patch: object) => {
    ok(await as('committee', 'nobody').patch(path, patch, { 'if-match': '*' }));
    await drain(services);
  };
  for (const [leaves, stays] of [
    [{ status: 'suspended' }, { status: 'active' }],
    [{ operating_mode: 'closed' }, { operating_mode: 'reduced' }],
  ]) {
    const { id } = await it.serve();
    await change({ languages: ['ar'] });
    t.notOk(await it.followOnOf(id), 'another change of it is none of leaving');
    await change(leaves!);
    const follow_on = (await it.followOnOf(id))!;
    t.equal((await read(sender, follow_on)).status, 'offered');
    await change({ languages: ['ar', 'fr'] });
    await change(stays!);
    t.equal((await read(sender, follow_on)).status, 'cancelled');
    await it.act(as('shelter_a'), id, 'complete', { outcome_code: 'service_provided' });
  }
});

t.test('consent to the old shelter alone: nobody else is asked, and those are told who can help', async t => {
  const { services, agencies, clock, sender, committee, next, say, read, ...it } = await start(t);
  const { id, case_id } = await it.serve({ consent: { recipient: { agency_id: agencies.shelter_a.id } } });
  await say('suspended');
  const follow_on = (await it.followOnOf(id))!;
  t.match(await read(sender, follow_on), { status: 'unplaced', offers: { length: 0 } });
  for (const who of [sender, committee]) t.strictSame(await it.told(who, follow_on), ['referral.unplaced']);
  t.equal((await next.get(`/v1/referrals/${follow_on}`)).status, 404);
  t.strictSame(await it.unmetOf(sender, case_id), [], 'she has her bed still');

  ok(await sender.post(`/v1/cases/${case_id}/consents`, consentBody()));
  clock.advance(MINUTE);
  await drain(services);
  t.equal((await read(next, follow_on)).status, 'offered', 'she agrees to others');
});

t.test('what is asked for on a ground', async t => {
  const { agencies, sender, say, read, ...it } = await start(t);
  const lawful_ground = { code: 'imminent_danger_to_life', person_informed: true };
  const { id } = await it.serve({ referral: { lawful_ground, urgency: 'emergency' } });
  ok(await it.as('helpline_a', 'supervisor').post(`/v1/referrals/${id}/review-ground`, { upheld: true }));
  await say('suspended');
  const follow_on = await read(sender, (await it.followOnOf(id))!);
  t.match(follow_on, { status: 'offered', lawful_ground: { ...lawful_ground, upheld: null, reviewed_at: null } });
  t.ok(follow_on.timers.some(({ name, state }: Record<string, string>) => name === 'ground_review' && state === 'running'));
});

t.test('a closed case is asked for nowhere; one that is opened again is', async t => {
  const { services, as, say, followOnOf, serve } = await start(t);
  const { id, case_id } = await serve();
  const supervisor = as('helpline_a', 'supervisor');
  ok(await supervisor.post(`/v1/cases/${case_id}/close`, { reason_code: 'needs_met' }));
  await say('suspended');
  t.notOk(await followOnOf(id));
  ok(await supervisor.post(`/v1/cases/${case_id}/reopen`, { reason: 'came back' }));
  await drain(services);
  t.ok(await followOnOf(id));
});

t.test('twice at once, and after a death in the middle: each once', async t => {
  const { services, as, agencies, serve, followOns } = await start(t);
  const served = [await serve(), await serve(), await serve()];
  ok(
    await as('shelter_a', 'supervisor').put(
      `/v1/agencies/${agencies.shelter_a.id}/services/${SHELTER}`,
      { status: 'suspended' },
      { 'if-match': '*' },
    ),
  );
  // The second of them cannot be made: it holds up nobody, and is made good.
  await lookAsOwner(
    services,
    `create function fail() returns trigger language plpgsql as $$ begin raise exception 'no'; end $$;
     create trigger fails before insert on offers for each row when (new.case_id = '${served[1]!.case_id}') execute function fail()`,
  );
  await makeFollowOns(services);
  t.strictSame(
    (await followOns()).map(it => it.follows_referral_id).sort(),
    [served[0]!.id, served[2]!.id].sort(),
    'a follow-on is whole, or is not',
  );
  await lookAsOwner(services, 'drop trigger fails on offers');
  await Promise.all([1, 2, 3, 4].map(() => makeFollowOns(services)));
  t.strictSame((await followOns()).map(it => it.follows_referral_id).sort(), served.map(({ id }) => id).sort());
});

t.test('an agency leaves a jurisdiction only once it serves nobody there', async t => {
  const { serve, act, old, as, agencies } = await start(t);
  const path = `/v1/agencies/${agencies.shelter_a.id}`;
  const leave = () => as('committee', 'nobody').patch(path, { jurisdictions: ['XB'], regions: [] }, { 'if-match': '*' });
  const { id } = await serve();
  t.match(await leave(), { status: 422, body: { errors: [{ pointer: '/jurisdictions' }] } });
  await act(old, id, 'complete', { outcome_code: 'service_provided' });
  t.equal((await leave()).status, 200);
});
