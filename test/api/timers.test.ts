import t from 'tap';
import { systemActor } from '../../src/core/access.ts';
import { inForce } from '../../src/core/rule-pack.ts';
import { transact } from '../../src/platform/database.ts';
import { newId } from '../../src/platform/ids.ts';
import { calendarsOf } from '../../src/rules/calendars/store.ts';
import { illustrativePack } from '../../src/rules/packs.ts';
import { startTimers } from '../../src/timers/apply.ts';
import type { TimerRow } from '../../src/timers/store.ts';
import { lockOpenTimers } from '../../src/timers/store.ts';
import { startTestApp } from '../support/app.ts';
import { drain } from '../support/drain.ts';
import { all, anonymous, clinic, DAY, eventsOf, HOUR, MINUTE, NONE } from '../support/journey.ts';
import { type Client, mechanism } from '../support/mechanism.ts';
import { caseBody, consentBody, ok, startNight } from '../support/night.ts';
import { entriesOf, lookAsOwner } from '../support/trail.ts';

// Much of it, and other suites beside it.
t.setTimeout(300_000);

/** What people do to timers, and how a duty officer finds them. */

interface Timer {
  id: string;
  name: string;
  state: string;
  due_at: string;
  version: number;
  subject: { type: string; id: string };
  case_id?: string;
}

t.test('timers by hand', async t => {
  const test = await startTestApp(t);
  const { services, clock } = test;
  const them = await mechanism(test);
  const { as, agencies } = them;
  const { sender, receiver, ask } = clinic(them);
  const supervisor = as('health', 'supervisor');
  const coordinator = as('committee');
  const after = (ms: number) => new Date(services.now().getTime() + ms).toISOString();
  const timerOf = async (referral_id: string, name: string, who: Client = sender): Promise<Timer> => {
    const found = await all(who, `/v1/timers?referral_id=${referral_id}&name=${name}`);
    return found.at(-1);
  };
  const act = async (who: Client, referral_id: string, verb: string, body: object = {}) =>
    ok(await who.post(`/v1/referrals/${referral_id}/${verb}`, body));
  const pause = (who: Client, id: string, reason_code = 'awaiting_document', headers = {}) =>
    who.post(`/v1/timers/${id}/pause`, { reason_code }, headers);
  const resume = (who: Client, id: string, headers = {}) => who.post(`/v1/timers/${id}/resume`, {}, headers);
  const meet = (who: Client, id: string, headers = {}) => who.post(`/v1/timers/${id}/meet`, {}, headers);
  const told = async (who: Client, referral_id: string) =>
    (await eventsOf(services, who, referral_id)).filter(({ type }) => /^timer\.(paused|resumed)$/.test(type));

  await t.test('rest and go on, for a reason that everybody concerned is told', async t => {
    const { referral, kase } = await ask({ urgency: 'urgent' });
    const { id, version } = await timerOf(referral.id, 'respond');
    const before = (await entriesOf(services, 'timer.pause')).length;
    clock.advance(9 * HOUR);
    t.equal((await pause(supervisor, id)).status, 403, 'whoever is asked does not put off that the next is');
    const paused = await pause(coordinator, id);
    t.equal(paused.status, 200);
    t.match(paused.body, {
      id,
      state: 'paused',
      paused_at: after(0),
      pause_reason: 'awaiting_document',
      paused_by_agency_id: agencies.committee.id,
      version: version + 1,
      urgency: 'urgent',
      jurisdiction: 'XA',
    });
    t.notOk((await timerOf(referral.id, 'respond', receiver)).case_id, 'a receiver that has not accepted does not know the case');
    t.equal(paused.headers.etag, `"${version + 1}"`);
    t.match(paused.headers['audit-receipt'], /^[0-9a-f]{64}$/);
    t.match((await entriesOf(services, 'timer.pause')).slice(before), [
      { outcome: 'denied', code: 'forbidden', agency_id: agencies.health.id },
      { outcome: 'done', code: 'awaiting_document', agency_id: agencies.committee.id },
    ]);
    const seen = await timerOf(referral.id, 'respond');
    t.match(seen, { state: 'paused', pause_reason: 'awaiting_document', paused_by_agency_id: agencies.committee.id });

    clock.advance(30 * HOUR);
    await drain(services);
    t.equal((await timerOf(referral.id, 'respond')).state, 'paused', 'nothing falls due while it rests');
    const resumed = ok(await resume(coordinator, id));
    t.match(resumed, {
      state: 'running',
      due_at: after(15 * HOUR),
      paused_at: null,
      pause_reason: null,
      paused_by_agency_id: null,
      case_id: kase.id,
    });
    for (const [who, said] of [
      [sender, 'sender and owner'],
      [receiver, 'the responsible receiver'],
      [coordinator, 'the coordinator'],
    ] as const) {
      const [was_paused, was_resumed, ...more] = await told(who, referral.id);
      t.match(was_paused, {
        type: 'timer.paused',
        data: { timer_id: id, timer: 'respond', reason_code: 'awaiting_document', agency_id: agencies.health.id },
      });
      t.notOk(was_paused!.data.due_at, said);
      t.match(was_resumed, { type: 'timer.resumed', data: { timer_id: id, due_at: after(15 * HOUR) } });
      t.strictSame(more, [], said);
    }
    clock.advance(3 * HOUR - 1);
    await drain(services);
    t.match(await timerOf(referral.id, 'respond'), { warned_at: null }, 'half of the time that it ran');
    clock.advance(1);
    await drain(services);
    t.match(await timerOf(referral.id, 'respond'), { warned_at: after(0) });
    clock.advance(12 * HOUR);
    await drain(services);
    t.equal(ok(await sender.get(`/v1/referrals/${referral.id}`)).status, 'unplaced', 'and then it falls due');
  });

  await t.test('by days: what is not completed is kept', async t => {
    const { referral } = await ask({ urgency: 'urgent' });
    await act(receiver, referral.id, 'confirm-handover', { arrived_at: services.now().toISOString() });
    const review = await timerOf(referral.id, 'review');
    // Noon in Cairo, two hours east.
    clock.advance(Date.parse(`${after(3 * DAY).slice(0, 10)}T10:00:00.000Z`) - services.now().getTime());
    await drain(services);
    ok(await pause(supervisor, review.id, 'court_recess'));
    clock.advance(5 * DAY + 6 * HOUR);
    const { due_at } = ok(await resume(supervisor, review.id));
    t.equal(due_at, new Date(Date.parse(review.due_at) + 5 * DAY).toISOString());
    t.match(due_at, /T21:59:59\.999Z$/, 'the last millisecond of a day in Cairo');
    ok(await pause(supervisor, review.id));
    clock.advance(HOUR);
    t.equal(ok(await resume(supervisor, review.id)).due_at, due_at, 'no day has passed');
  });

  await t.test('only by whose they are, and by the coordinator', async t => {
    const { referral } = await ask({ urgency: 'urgent' });
    const { id } = await timerOf(referral.id, 'respond');
    const nobody = newId('tmr');
    for (const [who, status, said] of [
      [receiver, 403, 'a caseworker of the responsible agency'],
      [sender, 403, 'a caseworker of the sender'],
      [as('helpline_a', 'supervisor'), 403, 'a supervisor of the sender'],
      [as('committee', 'supervisor', ['referrals', 'clocks']), 200, 'a supervisor of the committee is its coordinator too'],
      [as('helpline_b', 'supervisor'), 404, 'a stranger'],
      [as('shelter_a', 'supervisor'), 404, 'another receiver'],
      [as('health', 'supervisor', ['referrals']), 403, 'without the scope'],
      [as('health', 'nobody'), 400, 'without a person'],
    ] as const) {
      t.equal((await pause(who, id)).status, status, said);
      if (status === 200) ok(await resume(who, id));
    }
    const stranger = as('prosecution', 'supervisor');
    for (const call of [pause, resume, meet]) {
      t.strictSame(anonymous(await call(stranger, id)), anonymous(await call(stranger, nobody)), 'absent and forbidden are one');
    }
    for (const reason_code of ['information_requested', 'tired', undefined]) {
      t.equal((await supervisor.post(`/v1/timers/${id}/pause`, { reason_code })).status, 400, String(reason_code));
    }
    t.equal((await supervisor.post(`/v1/timers/x/pause`, { reason_code: 'other' })).status, 400);
    t.equal((await supervisor.post(`/v1/timers/${id}/resume`, { reason_code: 'other' })).status, 400);
    t.equal((await timerOf(referral.id, 'respond')).state, 'running', 'nothing has changed');
    const denied = await lookAsOwner<{ code: string; agency_id: string }>(
      services,
      `select code, agency_id from audit_records where action = 'timer.pause' and outcome = 'denied' order by number`,
    );
    t.ok(denied.some(row => row.code === 'forbidden' && row.agency_id === agencies.helpline_a.id));
    t.ok(denied.some(row => row.code === 'not_visible' && row.agency_id === agencies.prosecution.id));
  });

  await t.test('held to the version that was read, and once per key', async t => {
    const { referral } = await ask({ urgency: 'urgent' });
    const { id, version } = await timerOf(referral.id, 'respond');
    t.equal((await pause(coordinator, id, 'other', { 'if-match': `"${version + 1}"` })).status, 412);
    const headers = { 'if-match': `"${version}"`, 'idempotency-key': `pause ${id}` };
    t.equal((await pause(coordinator, id, 'other', headers)).status, 200);
    const again = await pause(coordinator, id, 'other', headers);
    t.equal(again.status, 200);
    t.equal(again.headers['idempotency-replayed'], 'true');
    t.equal(again.body.version, version + 1);
    t.equal((await resume(coordinator, id, { 'if-match': `"${version}"` })).status, 412);
    t.equal((await resume(coordinator, id, { 'if-match': `"${version + 1}"` })).status, 200);
  });

  await t.test('never, where a life may hang on them or nothing runs', async t => {
    const refusal = async (call: Promise<{ status: number; body: Record<string, unknown> }>, expected: object, said: string) => {
      const { status, body } = await call;
      t.equal(status, 409, said);
      t.match(body, { code: 'wrong_state', ...expected }, said);
    };
    const emergency = await ask({ urgency: 'emergency' });
    const respond = await timerOf(emergency.referral.id, 'respond');
    await refusal(pause(coordinator, respond.id), { state: 'running', allowed_actions: [] }, 'an emergency');

    const urgent = await ask({ urgency: 'urgent' });
    const { id } = await timerOf(urgent.referral.id, 'respond');
    await refusal(resume(coordinator, id), { state: 'running', allowed_actions: ['pause'] }, 'one that runs does not go on');
    ok(await pause(coordinator, id));
    await refusal(pause(coordinator, id), { state: 'paused', allowed_actions: ['resume'] }, 'one that rests does not rest again');
    ok(await resume(coordinator, id));
    const acknowledge = await timerOf(urgent.referral.id, 'acknowledge');
    clock.advance(2 * HOUR);
    await refusal(pause(coordinator, acknowledge.id), { state: 'running' }, 'one that is due, before any sweep');
    await drain(services);
    await refusal(pause(coordinator, acknowledge.id), { state: 'breached', allowed_actions: [] }, 'one that was breached');
    await act(receiver, urgent.referral.id, 'accept');
    await refusal(pause(coordinator, id), { state: 'met', allowed_actions: [] }, 'one that was met');
    await act(receiver, urgent.referral.id, 'report-no-show');
    const check = await timerOf(urgent.referral.id, 'missing_person_check');
    await refusal(
      pause(as('helpline_a', 'supervisor'), check.id),
      { state: 'running', allowed_actions: ['meet'] },
      'somebody is missing',
    );
    ok(await sender.post(`/v1/consents/${urgent.consent.id}/withdraw`, { spoken_in_private: false }));
    const [welfare] = await all(sender, `/v1/timers?case_id=${urgent.kase.id}&name=welfare_check`);
    await refusal(pause(coordinator, welfare.id), { state: 'running', allowed_actions: [] }, 'a withdrawal was overheard');
  });

  await t.test('the pause of a question ends with the answer alone', async t => {
    const { referral } = await ask({ urgency: 'urgent' });
    const { id, due_at } = await timerOf(referral.id, 'respond');
    await act(receiver, referral.id, 'receive');
    await act(receiver, referral.id, 'request-information', { questions: ['?'] });
    const resting = await timerOf(referral.id, 'respond');
    t.match(resting, { state: 'paused', pause_reason: 'information_requested', paused_by_agency_id: agencies.health.id });
    for (const who of [supervisor, coordinator]) {
      const { status, body } = await resume(who, id);
      t.equal(status, 409);
      t.match(body, { code: 'wrong_state', state: 'paused', allowed_actions: NONE });
    }
    const inform = await timerOf(referral.id, 'inform');
    const owing = await pause(as('helpline_a', 'supervisor'), inform.id);
    t.equal(owing.status, 403, 'whoever owes the answer does not put off that the other clock goes on');
    clock.advance(HOUR);
    await act(sender, referral.id, 'provide-information', { answers: ['!'] });
    const later = new Date(Date.parse(due_at) + HOUR).toISOString();
    t.match(await timerOf(referral.id, 'respond'), { state: 'running', pause_reason: null, due_at: later });

    // A question asked while people let it rest: from then on the answer is waited for.
    ok(await pause(coordinator, id, 'person_unavailable'));
    clock.advance(HOUR);
    await act(receiver, referral.id, 'request-information', { questions: ['And?'] });
    t.match(await timerOf(referral.id, 'respond'), { pause_reason: 'information_requested', paused_at: after(-HOUR) });
    clock.advance(HOUR);
    await act(sender, referral.id, 'provide-information', { answers: ['!'] });
    t.match(await timerOf(referral.id, 'respond'), {
      state: 'running',
      due_at: new Date(Date.parse(later) + 2 * HOUR).toISOString(),
    });

    // Nobody answers in time: it goes on, is paused by people, and the late answer does not end their pause.
    await act(receiver, referral.id, 'request-information', { questions: ['And now?'] });
    clock.advance(4 * HOUR);
    await drain(services);
    ok(await pause(coordinator, id, 'force_majeure'));
    await act(sender, referral.id, 'provide-information', { answers: ['!'] });
    t.match(await timerOf(referral.id, 'respond'), { state: 'paused', pause_reason: 'force_majeure' });
    await act(receiver, referral.id, 'decline', { reason_code: 'out_of_area' });
    t.match(await timerOf(referral.id, 'respond'), { state: 'met', paused_at: null, pause_reason: null });
  });

  await t.test('do not tell who a hidden receiver is, whoever paused them', async t => {
    const { referral } = await startNight(sender, {
      referral: { urgency: 'urgent', routing: 'direct', recipient_agency_id: agencies.shelter_a.id },
    });
    await act(as('shelter_a'), referral.id, 'accept');
    const { id } = await timerOf(referral.id, 'handover');
    const own = ok(await pause(as('shelter_a', 'supervisor'), id));
    t.equal(own.paused_by_agency_id, agencies.shelter_a.id);
    for (const who of [sender, coordinator]) {
      const seen = await timerOf(referral.id, 'handover', who);
      t.match(seen, { state: 'paused', placed: { region: 'XA-1' } });
      t.notMatch(JSON.stringify([seen, await told(who, referral.id)]), agencies.shelter_a.id);
      t.equal((await told(who, referral.id)).length, 1);
    }
    ok(await resume(coordinator, id));
    ok(await pause(coordinator, id));
    t.match(await timerOf(referral.id, 'handover'), { paused_by_agency_id: agencies.committee.id });
    t.equal((await told(as('shelter_a'), referral.id)).length, 3, 'the hidden one is told all');
  });

  await t.test('duties that no step of the lifecycle meets are met by hand', async t => {
    const { referral, kase, consent } = await ask({ urgency: 'urgent' });
    await act(receiver, referral.id, 'accept');
    await act(receiver, referral.id, 'report-no-show');
    const check = await timerOf(referral.id, 'missing_person_check');
    t.equal((await meet(receiver, check.id)).status, 404, 'a duty of the sender is not for the receiver to see');
    t.equal((await meet(coordinator, check.id)).status, 403, 'nor the coordinator’s');
    clock.advance(HOUR);
    await drain(services);
    const met = ok(await meet(sender, check.id, { 'if-match': '*' }));
    t.match(met, { state: 'met', met_at: after(0), breached_at: after(0), case_id: kase.id }, 'late');
    const again = await meet(sender, check.id);
    t.match(again.body, { code: 'wrong_state', state: 'met', allowed_actions: NONE });
    t.match((await entriesOf(services, 'timer.meet')).at(-2), { outcome: 'done', code: 'missing_person_check' });

    ok(await sender.post(`/v1/consents/${consent.id}/withdraw`, { spoken_in_private: false }));
    const [welfare] = await all(sender, `/v1/timers?case_id=${kase.id}&name=welfare_check`);
    t.match(ok(await meet(sender, welfare.id)), { state: 'met', met_at: after(0), breached_at: null });

    const other = await ask({ urgency: 'urgent' });
    const respond = await timerOf(other.referral.id, 'respond');
    const refused = await meet(receiver, respond.id);
    t.equal(refused.status, 409, 'what the lifecycle meets is not met by hand');
    t.match(refused.body, { code: 'wrong_state', state: 'running', allowed_actions: NONE });
    t.equal((await meet(sender, respond.id)).status, 403);
    await act(receiver, other.referral.id, 'decline', { reason_code: 'out_of_area' });
    const unplaced = await timerOf(other.referral.id, 'unplaced_review');
    t.equal((await meet(coordinator, unplaced.id)).status, 409);
    t.equal((await meet(sender, unplaced.id)).status, 403);
  });

  await t.test('a follow-up starts again when it is met, until the case is closed', async t => {
    const { referral, kase } = await ask({ urgency: 'urgent' });
    await act(receiver, referral.id, 'confirm-handover', { arrived_at: services.now().toISOString() });
    await act(receiver, referral.id, 'complete', { outcome_code: 'service_provided' });
    const followUps = () => all(sender, `/v1/timers?referral_id=${referral.id}&name=follow_up`);
    const [first] = await followUps();
    clock.advance(10 * DAY);
    ok(await meet(sender, first.id));
    const [met, second, ...none] = await followUps();
    t.match(met, { id: first.id, state: 'met' });
    t.match(second, {
      state: 'running',
      started_at: after(0),
      clock: 'calendar_days',
      responsible_agency_id: agencies.helpline_a.id,
    });
    t.equal(second.due_at, `${after(30 * DAY).slice(0, 10)}T21:59:59.999Z`);
    t.strictSame(none, []);
    ok(await as('helpline_a', 'supervisor').post(`/v1/cases/${kase.id}/close`, { reason_code: 'needs_met' }));
    t.match(await meet(sender, second.id), { status: 409, body: { state: 'cancelled' } });
    t.strictSame(
      (await followUps()).map(({ state }: Timer) => state),
      ['met', 'cancelled'],
    );
  });

  const startFor = async (referral_id: string, names: string[]) => {
    const [row] = await lookAsOwner<TimerRow>(services, `select * from timers where referral_id = $1 and name = 'respond'`, [
      referral_id,
    ]);
    const { case_id, offer_id, owner_agency_id, sender_agency_id, receiver_agency_id, location_protected, urgency } = row!;
    return transact(services, systemActor('router'), async tx =>
      startTimers(
        tx,
        {
          pack: inForce(illustrativePack('XA'), 1),
          calendars: calendarsOf(services),
          now: services.now(),
          open: await lockOpenTimers(tx, { referral_id }),
          case_id,
          referral_id,
          offer_id,
          owner_agency_id,
          sender_agency_id,
          receiver_agency_id,
          location_protected,
          coordinator_agency_id: agencies.committee.id,
          jurisdiction: 'XA',
          urgency,
        },
        names,
      ),
    );
  };

  await t.test('a holder has one safety message at a time to acknowledge', async t => {
    const { referral, kase } = await ask({ urgency: 'urgent' });
    await act(receiver, referral.id, 'accept');
    const due = await startFor(referral.id, ['safety_ack']);
    t.equal(due?.toISOString(), after(15 * MINUTE));
    clock.advance(5 * MINUTE);
    t.strictSame(await startFor(referral.id, ['safety_ack']), due, 'the earlier day stands');
    const open = await all(receiver, `/v1/timers?referral_id=${referral.id}&name=safety_ack`);
    t.match(open, [
      {
        subject: { type: 'offer', id: referral.offer.id },
        responsible_agency_id: agencies.health.id,
        state: 'running',
        case_id: kase.id,
      },
    ]);
    t.equal(open.length, 1);
    t.equal((await meet(sender, open[0].id)).status, 403);
    clock.advance(10 * MINUTE);
    await drain(services);
    t.equal((await pause(supervisor, open[0].id)).status, 409, 'it never rests');
    t.match(ok(await meet(receiver, open[0].id)), { state: 'met', breached_at: after(0) });
    await startFor(referral.id, ['safety_ack']);
    t.equal(
      (await all(receiver, `/v1/timers?referral_id=${referral.id}&name=safety_ack`)).length,
      2,
      'and the next message anew',
    );
  });

  await t.test('a ground is looked at again within a day, by whoever named it', async t => {
    const { referral } = await ask({ urgency: 'routine' });
    await startFor(referral.id, ['ground_review']);
    t.match(await timerOf(referral.id, 'ground_review'), {
      subject: { type: 'referral', id: referral.id },
      responsible_agency_id: agencies.helpline_a.id,
      clock: 'elapsed',
      due_at: after(24 * HOUR),
    });
    t.notOk(await timerOf(referral.id, 'ground_review', receiver));
    t.equal((await meet(sender, (await timerOf(referral.id, 'ground_review')).id)).status, 409);
  });

  await t.test('a duty officer finds what is due, what is late, whose, and since when', async t => {
    clock.advance(40 * DAY);
    await drain(services);
    const late = await ask({ urgency: 'urgent' });
    await act(receiver, late.referral.id, 'accept');
    clock.advance(49 * HOUR);
    const sought = await ask({ urgency: 'emergency' });
    clock.advance(15 * MINUTE);
    await drain(services);
    const names = async (query: string, who: Client = sender) =>
      (await all(who, `/v1/timers?${query}`)).map(({ name }: Timer) => name).sort();
    const of_late = `referral_id=${late.referral.id}`;
    t.strictSame(await names(`${of_late}&overdue=true`), ['handover']);
    t.match(await timerOf(late.referral.id, 'handover'), {
      state: 'breached',
      breached_at: after(-HOUR - 15 * MINUTE),
      responsible_agency_id: agencies.health.id,
      urgency: 'urgent',
      jurisdiction: 'XA',
      case_id: late.kase.id,
    });
    t.strictSame(await names(`${of_late}&overdue=false`), ['acknowledge', 'respond']);
    t.strictSame(await names(`${of_late}&urgency=urgent`), ['acknowledge', 'handover', 'respond']);
    t.strictSame(await names(`${of_late}&urgency=emergency`), []);
    t.strictSame(await names(`${of_late}&jurisdiction=XA`, coordinator), ['acknowledge', 'handover', 'respond']);
    t.strictSame(await names(`${of_late}&jurisdiction=XB`, coordinator), []);
    const of_case = ['acknowledge', 'authority_notification', 'handover', 'immediate_needs', 'respond', 'screening'];
    t.strictSame(await names(`case_id=${late.kase.id}`), of_case);
    t.strictSame(await names(`case_id=${late.kase.id}`, receiver), ['acknowledge', 'handover', 'respond'], 'it has accepted');
    t.strictSame(await names(`case_id=${late.kase.id}&overdue=true&state=breached&agency_id=${agencies.health.id}`), [
      'handover',
    ]);

    t.strictSame(await names(`referral_id=${sought.referral.id}&overdue=true`), [], 'what ended its offer is over');
    const of_sought = await all(receiver, `/v1/timers?referral_id=${sought.referral.id}`);
    t.ok(of_sought.length > 0);
    t.notOk(of_sought.some((timer: object) => 'case_id' in timer));
    for (const query of [`case_id=${sought.kase.id}`, `subject_id=${sought.kase.id}`]) {
      t.strictSame(await names(query, receiver), [], 'nor does a case lead to it whoever was only asked');
    }
    t.ok((await names(`case_id=${sought.kase.id}`, coordinator)).length > 0);
    await act(sender, sought.referral.id, 'cancel', { reason_code: 'error' });
    for (const query of ['urgency=dire', 'jurisdiction=x', 'overdue=perhaps', 'referral_id=x', 'case_id=x']) {
      t.equal((await sender.get(`/v1/timers?${query}`)).status, 400, query);
    }
  });

  await t.test('for one agency, not all timers are looked at', async t => {
    await lookAsOwner(
      services,
      `insert into timers (id, name, kind, clock, subject_type, subject_id, case_id, owner_agency_id, sender_agency_id,
         receiver_agency_id, responsible_agency_id, location_protected, jurisdiction, urgency, started_at, due_at, state, steps, rule)
       select 'tmr_filler' || n, 'respond', 'deadline', 'elapsed', 'case', c.id, c.id, 'a' || n % 500, 'b' || n % 500, 'c' || n % 500,
         'd' || n % 500, false, 'XA', 'routine', now(), now(), (array['met', 'running'])[1 + n % 2], '[]', '{}'
       from generate_series(1, 20000) n, (select id from cases limit 1) c`,
    );
    await lookAsOwner(services, 'analyze timers');
    for (const [which, condition] of [
      ['running', `state = 'running'`],
      ['rest', `state <> 'running'`],
    ]) {
      const plan = await lookAsOwner<{ 'QUERY PLAN': string }>(
        services,
        `explain select * from timers where (responsible_agency_id = 'a7' or owner_agency_id = 'a7' or sender_agency_id = 'a7'
           or receiver_agency_id = 'a7') and ${condition} order by due_at, id limit 50`,
      );
      const text = plan.map(row => row['QUERY PLAN']).join('\n');
      for (const name of ['responsible', 'owner', 'sender', 'receiver']) t.match(text, new RegExp(`timers_${name}_${which}`));
      t.notMatch(text, /Seq Scan/);
    }
    await lookAsOwner(services, `delete from timers where id like 'tmr_filler%'`);
  });
});

t.test('a case and its consents', async t => {
  const test = await startTestApp(t);
  const { services, clock } = test;
  const { as } = await mechanism(test);
  const owner = as('helpline_a');
  const kase = ok(await owner.post('/v1/cases', caseBody()));
  const grant = async (ends_in_ms: number) =>
    ok(
      await owner.post(
        `/v1/cases/${kase.id}/consents`,
        consentBody({ expires_at: new Date(clock.now().getTime() + ends_in_ms).toISOString() }),
      ),
    );
  const expiring = async () =>
    (await eventsOf(services, owner, kase.id))
      .filter(({ type }) => type === 'consent.expiring')
      .map(({ data }) => data.consent_id);

  const days = await grant(5 * DAY);
  const soon = await grant(2 * HOUR);
  await grant(HOUR - 1);
  t.strictSame(await expiring(), [soon.id], 'at once where less than 72 hours are left, if at least one is');
  clock.advance(2 * DAY - 1);
  t.strictSame(await expiring(), [soon.id]);
  clock.advance(1);
  t.strictSame(await expiring(), [soon.id, days.id], '72 hours before');
  const told = (await eventsOf(services, owner, kase.id)).findLast(({ type }) => type === 'consent.expiring')!;
  t.match(told.data, { case_id: kase.id, consent_id: days.id, expires_at: days.expires_at });
  t.strictSame((await entriesOf(services, 'consent.warn')).length, 2);
  const { data } = ok(await owner.get(`/v1/cases/${kase.id}/consents`));
  t.equal(data.find(({ id }: { id: string }) => id === days.id).version, days.version, 'the grant itself is what it was');
  const withdrawn = await grant(4 * DAY);
  ok(await owner.post(`/v1/consents/${withdrawn.id}/withdraw`, { spoken_in_private: true }));
  clock.advance(2 * DAY);
  t.strictSame(await expiring(), [soon.id, days.id], 'each once, and none that is over');
});
