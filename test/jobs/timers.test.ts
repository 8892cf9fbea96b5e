import t from 'tap';
import { systemActor } from '../../src/core/access.ts';
import { transact } from '../../src/platform/database.ts';
import { timerEffects } from '../../src/referrals/timer-effects.ts';
import { fireDueTimers } from '../../src/timers/sweep.ts';
import { claimDueTimers } from '../../src/timers/sweep-store.ts';
import { startTestApp } from '../support/app.ts';
import { workingDays } from '../support/calendars.ts';
import { drain } from '../support/drain.ts';
import { all, clinic, DAY, eventsOf, HOUR, MINUTE, type ToldEvent } from '../support/journey.ts';
import { type Client, mechanism } from '../support/mechanism.ts';
import { consentBody, ok, referralBody, startNight } from '../support/night.ts';
import { lookAsOwner } from '../support/trail.ts';

// Much of it, and other suites beside it.
t.setTimeout(300_000);

/** Clocks: what they do by themselves when they fall due, and what acts do to them. */

interface Timer {
  id: string;
  name: string;
  state: string;
  due_at: string;
  started_at: string;
  warned_at: string | null;
  breached_at: string | null;
  met_at: string | null;
  escalation_level: number;
  responsible_agency_id?: string;
  placed?: object;
  subject: { type: string; id: string };
}

t.test('timers', async t => {
  const test = await startTestApp(t);
  const { services, clock } = test;
  const them = await mechanism(test);
  const { as, agencies } = them;
  const { sender, receiver, ask } = clinic(them);
  const coordinator = as('committee');
  const effects = timerEffects(services);

  /** As eight processes that wake at the same moment. */
  async function sweepEightTimes(): Promise<void> {
    const sweep = async () => {
      while (await fireDueTimers(services, effects));
    };
    await Promise.all(Array.from({ length: 8 }, sweep));
  }
  const timersOf = async (referral_id: string, who: Client = sender): Promise<Record<string, Timer>> =>
    Object.fromEntries((await all(who, `/v1/timers?subject_id=${referral_id}`)).map((timer: Timer) => [timer.name, timer]));
  const after = (ms: number) => new Date(services.now().getTime() + ms).toISOString();
  /** The last millisecond of a day in Cairo, two hours east in winter. */
  const lastOfDay = (days: number) => `${after(days * DAY).slice(0, 10)}T21:59:59.999Z`;
  const act = async (who: Client, referral_id: string, verb: string, body: object = {}) =>
    ok(await who.post(`/v1/referrals/${referral_id}/${verb}`, body));
  const arrive = (referral_id: string) =>
    act(receiver, referral_id, 'confirm-handover', { arrived_at: services.now().toISOString() });
  /** What an agency is told of one clock, in short. */
  const told = async (who: Client, referral_id: string, name: string): Promise<string[]> =>
    (await eventsOf(services, who, referral_id))
      .filter(({ type, data }) => type.startsWith('timer.') && data.timer === name)
      .map(({ type, data }) => `${type.slice(6)}${data.escalation_level ?? ''}`);
  const entries = async (timer_name: string, action: string): Promise<number> => {
    const [row] = await lookAsOwner<{ count: number }>(
      services,
      'select count(*)::int as count from audit_records where action = $1 and code = $2',
      [action, timer_name],
    );
    return row!.count;
  };

  await t.test('start with the act, under a rule that they name', async t => {
    const { referral } = await ask({ urgency: 'urgent' });
    const timers = await timersOf(referral.id);
    t.strictSame(Object.keys(timers), ['acknowledge', 'respond'], 'the next due first');
    t.match(timers.acknowledge, {
      kind: 'deadline',
      clock: 'elapsed',
      subject: { type: 'offer', id: referral.offer.id },
      referral_id: referral.id,
      responsible_agency_id: agencies.health.id,
      started_at: after(0),
      due_at: after(2 * HOUR),
      state: 'running',
      warned_at: null,
      breached_at: null,
      met_at: null,
      escalation_level: 0,
      rule: { pack: 'illustrative', version: 1, source: /illustrative/ },
    });
    t.equal(timers.respond!.due_at, after(24 * HOUR));
    t.match(ok(await receiver.get(`/v1/referrals/${referral.id}`)).timers, [{ name: 'acknowledge' }, { name: 'respond' }]);
    clock.advance(MINUTE);
    await act(receiver, referral.id, 'receive');
    t.match((await timersOf(referral.id)).acknowledge, { state: 'met', met_at: after(0), breached_at: null });
    await act(receiver, referral.id, 'accept');
    t.match(await timersOf(referral.id), {
      respond: { state: 'met' },
      handover: { state: 'running', due_at: after(48 * HOUR), responsible_agency_id: agencies.health.id },
    });
    await arrive(referral.id);
    t.match(await timersOf(referral.id), {
      handover: { state: 'met' },
      review: { state: 'running', clock: 'calendar_days', due_at: lastOfDay(14) },
    });
    await act(receiver, referral.id, 'complete', { outcome_code: 'service_provided' });
    t.match(await timersOf(referral.id), {
      review: { state: 'met' },
      follow_up: {
        state: 'running',
        clock: 'calendar_days',
        due_at: lastOfDay(30),
        responsible_agency_id: agencies.helpline_a.id,
      },
      deletion_confirmation: {
        state: 'running',
        due_at: workingDays(10, services.now()),
        responsible_agency_id: agencies.health.id,
      },
    });
    t.strictSame(await sweepAndListen(referral.id), [], 'what was met in time says nothing');
  });

  async function sweepAndListen(referral_id: string): Promise<ToldEvent[]> {
    await sweepEightTimes();
    return (await eventsOf(services, sender, referral_id)).filter(({ type }) => type.startsWith('timer.'));
  }

  await t.test('warn, fall due and escalate, each once, however many sweep', async t => {
    const { referral } = await ask({ urgency: 'emergency' });
    await act(receiver, referral.id, 'accept');
    const before = { warn: await entries('handover', 'timer.warn'), escalate: await entries('handover', 'timer.escalate') };
    const { handover } = await timersOf(referral.id);
    // Six hours: warned at 50% and 80%, due, and escalated at once, after a quarter, and after as long again.
    const steps: [number, string[], string[], Partial<Timer>][] = [
      [3 * HOUR - 1, [], [], { state: 'running', warned_at: null }],
      [1, ['warned'], [], { warned_at: after(3 * HOUR) }],
      [108 * MINUTE, ['warned'], [], { state: 'running', warned_at: after(3 * HOUR) }],
      [72 * MINUTE - 1, [], [], { state: 'running', breached_at: null }],
      [1, ['breached', 'escalated1'], ['breached'], { state: 'breached', breached_at: after(6 * HOUR), escalation_level: 1 }],
      [90 * MINUTE, ['escalated2'], [], { state: 'breached', escalation_level: 2 }],
      [270 * MINUTE, [], ['escalated3'], { escalation_level: 3, breached_at: after(6 * HOUR), due_at: after(6 * HOUR) }],
      [DAY, [], [], { state: 'breached', escalation_level: 3 }],
    ];
    const heard: [string[], string[]] = [[], []];
    for (const [ms, of_receiver, of_coordinator, timer] of steps) {
      clock.advance(ms);
      await sweepEightTimes();
      heard[0].push(...of_receiver);
      heard[1].push(...of_coordinator);
      t.strictSame(await told(receiver, referral.id, 'handover'), heard[0], `the receiver, ${ms / MINUTE} min later`);
      t.strictSame(await told(coordinator, referral.id, 'handover'), heard[1], `the coordinator, ${ms / MINUTE} min later`);
      t.match((await timersOf(referral.id)).handover, timer);
    }
    t.strictSame(await told(sender, referral.id, 'handover'), ['breached'], 'the sender hears of the breach alone, once');
    t.equal((await entries('handover', 'timer.warn')) - before.warn, 2, 'each leaves one entry');
    t.equal((await entries('handover', 'timer.escalate')) - before.escalate, 3);

    const breached = (await eventsOf(services, coordinator, referral.id)).find(({ type }) => type === 'timer.breached')!;
    t.match(breached.data, {
      timer_id: handover!.id,
      timer: 'handover',
      offer_id: referral.offer.id,
      agency_id: agencies.health.id,
      case_id: String,
      urgency: 'emergency',
      due_at: handover!.due_at,
    });
    const to_supervisor = (await eventsOf(services, receiver, referral.id)).find(({ data }) => data.escalation_level === 2)!;
    t.match(to_supervisor.data, { notify: { roles: ['supervisor'] }, case_id: undefined });

    await arrive(referral.id);
    const late = (await timersOf(referral.id)).handover!;
    t.match(late, { state: 'met', met_at: after(0), breached_at: handover!.due_at }, 'met late, what was breached stays told');
  });

  await t.test('do all that fell due meanwhile at once, as it fell due', async t => {
    const { referral } = await ask({ urgency: 'emergency' });
    await act(receiver, referral.id, 'accept');
    const { handover } = await timersOf(referral.id);
    clock.advance(3 * DAY);
    await sweepEightTimes();
    t.strictSame(await told(receiver, referral.id, 'handover'), ['warned', 'warned', 'breached', 'escalated1', 'escalated2']);
    t.strictSame(await told(coordinator, referral.id, 'handover'), ['breached', 'escalated3']);
    const started = Date.parse(handover!.started_at);
    t.match((await timersOf(referral.id)).handover, {
      state: 'breached',
      warned_at: new Date(started + 3 * HOUR).toISOString(),
      breached_at: handover!.due_at,
      escalation_level: 3,
    });
    await act(receiver, referral.id, 'fail', { reason_code: 'other' });
    clock.advance(DAY);
    await sweepEightTimes();
    t.match(
      (await timersOf(referral.id)).handover,
      { state: 'cancelled', breached_at: handover!.due_at },
      'over, and what was breached stays told',
    );
    t.equal((await told(coordinator, referral.id, 'handover')).length, 2, 'it escalates no more');
  });

  await t.test('expire what nobody answers, once each, however many at a time', async t => {
    const nights = await Promise.all(Array.from({ length: 12 }, () => ask({ urgency: 'emergency' })));
    clock.advance(15 * MINUTE - 1);
    await sweepEightTimes();
    for (const { referral } of nights.slice(0, 3))
      t.equal(ok(await sender.get(`/v1/referrals/${referral.id}`)).status, 'offered');
    clock.advance(1);
    await sweepEightTimes();
    const events = await eventsOf(services, sender);
    const reviews = await all(coordinator, '/v1/timers?name=unplaced_review&state=running');
    for (const { referral } of nights) {
      const types = events.filter(({ data }) => data.referral_id === referral.id).map(({ type }) => type);
      t.strictSame(types, ['referral.offered', 'timer.breached', 'referral.expired', 'referral.unplaced']);
      t.equal(reviews.filter(({ subject }: Timer) => subject.id === referral.id).length, 1);
    }
    const { referral } = nights[0]!;
    t.match(await timersOf(referral.id), { acknowledge: { state: 'breached' }, respond: { state: 'cancelled' } });
    t.match(ok(await receiver.get(`/v1/referrals/${referral.id}`)), { status: 'expired', allowed_actions: ['accept'] });
    t.strictSame(await told(coordinator, referral.id, 'acknowledge'), ['breached'], 'the coordinator is told, once');
    t.strictSame(await told(receiver, referral.id, 'acknowledge'), ['warned', 'warned', 'breached']);
    for (const { referral } of nights) await act(sender, referral.id, 'cancel', { reason_code: 'error' });
  });

  await t.test('an answer at the last moment wins or loses whole', async t => {
    for (let round = 0; round < 5; round += 1) {
      const { referral } = await ask({ urgency: 'emergency' });
      clock.advance(15 * MINUTE);
      const [answer] = await Promise.all([receiver.post(`/v1/referrals/${referral.id}/receive`), sweepEightTimes()]);
      const { status } = ok(await sender.get(`/v1/referrals/${referral.id}`));
      t.strictSame([answer.status, status], answer.status === 200 ? [200, 'received'] : [409, 'unplaced']);
      await act(sender, referral.id, 'cancel', { reason_code: 'error' });
    }
  });

  await t.test('rest while the sender is asked', async t => {
    const { referral } = await ask({ urgency: 'urgent' });
    const { respond } = await timersOf(referral.id);
    const due = Date.parse(respond!.due_at);
    clock.advance(9 * HOUR);
    await act(receiver, referral.id, 'receive');
    await act(receiver, referral.id, 'request-information', { questions: ['?'] });
    t.match(await timersOf(referral.id), {
      respond: { state: 'paused', due_at: respond!.due_at },
      inform: { state: 'running', due_at: after(4 * HOUR), responsible_agency_id: agencies.helpline_a.id },
    });
    clock.advance(3.5 * HOUR);
    await sweepEightTimes();
    t.strictSame(await told(receiver, referral.id, 'respond'), [], 'half of the time would be over now');
    t.strictSame(await told(sender, referral.id, 'inform'), ['warned', 'warned'], 'it is the sender that is warned');
    await act(sender, referral.id, 'provide-information', { answers: ['!'] });
    t.match(await timersOf(referral.id), {
      respond: { state: 'running', due_at: new Date(due + 3.5 * HOUR).toISOString() },
      inform: { state: 'met' },
    });
    clock.advance(3 * HOUR - 1);
    await sweepEightTimes();
    t.strictSame(await told(receiver, referral.id, 'respond'), []);
    clock.advance(1);
    await sweepEightTimes();
    t.strictSame(await told(receiver, referral.id, 'respond'), ['warned'], 'warned when half of its own time is over');

    await act(receiver, referral.id, 'request-information', { questions: ['And?'] });
    clock.advance(HOUR);
    await act(sender, referral.id, 'provide-information', { answers: ['!'] });
    t.equal((await timersOf(referral.id)).respond!.due_at, new Date(due + 4.5 * HOUR).toISOString(), 'pauses add up');
    clock.advance(12 * HOUR);
    await drain(services);
    t.equal(ok(await sender.get(`/v1/referrals/${referral.id}`)).status, 'unplaced', 'and then it expires');
  });

  await t.test('never rest in an emergency', async t => {
    const { referral } = await ask({ urgency: 'emergency' });
    const { respond } = await timersOf(referral.id);
    await act(receiver, referral.id, 'receive');
    await act(receiver, referral.id, 'request-information', { questions: ['?'] });
    t.match(await timersOf(referral.id), {
      respond: { state: 'running', due_at: respond!.due_at },
      inform: { state: 'running', due_at: after(15 * MINUTE) },
    });
    clock.advance(20 * MINUTE);
    await sweepEightTimes();
    t.match(await timersOf(referral.id), {
      respond: { state: 'running', due_at: respond!.due_at },
      inform: { state: 'breached' },
    });
    clock.advance(40 * MINUTE);
    await drain(services);
    const { status } = ok(await sender.get(`/v1/referrals/${referral.id}`));
    t.equal(status, 'unplaced', 'an hour after it was asked, whatever was asked back');
  });

  /** When it was not answered, and when what rested meanwhile is due; first after an hour, or on the day that it was asked. */
  const UNANSWERED = {
    urgent: { wait: 4 * HOUR, lapsed: () => after(4 * HOUR), due: () => after(23 * HOUR) },
    routine: { wait: 2 * DAY, lapsed: (asked: Date) => workingDays(2, asked), due: () => workingDays(3, services.now()) },
  };
  for (const [urgency, { wait, lapsed, due }] of Object.entries(UNANSWERED)) {
    await t.test(`go on when the sender does not answer: ${urgency}`, async t => {
      const { referral } = await ask({ urgency });
      clock.advance(HOUR);
      await act(receiver, referral.id, 'receive');
      await act(receiver, referral.id, 'request-information', { questions: ['?'] });
      const breached_at = lapsed(services.now());
      clock.advance(wait);
      const due_at = due();
      await sweepEightTimes();
      t.match(await timersOf(referral.id), {
        respond: { state: 'running', due_at },
        inform: { state: 'breached', breached_at },
      });
      t.strictSame((await told(coordinator, referral.id, 'inform')).slice(0, 1), ['breached']);
      t.equal(ok(await sender.get(`/v1/referrals/${referral.id}`)).status, 'info_requested', 'the answer is still waited for');
      clock.advance(HOUR);
      await act(sender, referral.id, 'provide-information', { answers: ['!'] });
      t.match(await timersOf(referral.id), {
        respond: { state: 'running', due_at },
        inform: { state: 'met', met_at: after(0), breached_at },
      });
      await act(receiver, referral.id, 'decline', { reason_code: 'out_of_area' });
    });
  }

  await t.test('look after whom nobody has taken', async t => {
    const { referral } = await ask({ urgency: 'emergency' });
    await act(receiver, referral.id, 'decline', { reason_code: 'out_of_area' });
    t.match((await timersOf(referral.id)).unplaced_review, {
      state: 'running',
      due_at: after(15 * MINUTE),
      responsible_agency_id: agencies.committee.id,
      subject: { type: 'referral', id: referral.id },
    });
    clock.advance(15 * MINUTE);
    await sweepEightTimes();
    t.strictSame(await told(coordinator, referral.id, 'unplaced_review'), ['warned', 'warned', 'breached', 'escalated1']);
    t.strictSame(await told(sender, referral.id, 'unplaced_review'), ['breached']);
    t.strictSame(await told(receiver, referral.id, 'unplaced_review'), [], 'not for whoever declined');
    t.notOk((await timersOf(referral.id, receiver)).unplaced_review);
    await act(sender, referral.id, 'reroute', { agency_id: agencies.health.id, reason_code: 'better_match' });
    t.match((await timersOf(referral.id)).unplaced_review, { state: 'met', met_at: after(0), breached_at: after(0) });
    await act(receiver, referral.id, 'decline', { reason_code: 'out_of_area' });
    const again = await all(sender, `/v1/timers?subject_id=${referral.id}&name=unplaced_review`);
    t.strictSame(again.map(({ state }: Timer) => state).sort(), ['met', 'running'], 'and again, when it is unplaced again');
    await act(sender, referral.id, 'cancel', { reason_code: 'error' });
    t.strictSame(await all(sender, `/v1/timers?subject_id=${referral.id}&state=running`), []);
  });

  await t.test('of a case itself are for its owner, and fire once each as well', async t => {
    const nights = await Promise.all(Array.from({ length: 6 }, () => ask()));
    for (const { consent } of nights) ok(await sender.post(`/v1/consents/${consent.id}/withdraw`, { spoken_in_private: false }));
    clock.advance(24 * HOUR);
    await sweepEightTimes();
    const events = { sender: await eventsOf(services, sender), coordinator: await eventsOf(services, coordinator) };
    for (const { kase } of nights) {
      const of = (who: keyof typeof events) =>
        events[who].filter(({ data }) => data.case_id === kase.id && data.timer === 'welfare_check').map(({ type }) => type);
      t.strictSame(of('sender'), ['timer.warned', 'timer.warned', 'timer.breached', 'timer.escalated']);
      t.strictSame(of('coordinator'), ['timer.breached']);
    }
    t.strictSame(await all(receiver, '/v1/timers?name=welfare_check'), []);
  });

  await t.test('one that cannot be fired holds up no other', async t => {
    const nights = [await ask({ urgency: 'emergency' }), await ask({ urgency: 'emergency' })];
    const [broken, sound] = nights.map(({ referral }) => referral);
    await lookAsOwner(services, `update timers set steps = '{}' where referral_id = $1`, [broken.id]);
    clock.advance(15 * MINUTE);
    await fireDueTimers(services, effects);
    t.equal(ok(await sender.get(`/v1/referrals/${sound.id}`)).status, 'unplaced');
    await lookAsOwner(services, `update timers set steps = '[]', next_step_at = null where referral_id = $1`, [broken.id]);
  });

  await t.test('of those equally due, emergencies come first', async t => {
    const nights = [];
    for (const urgency of ['urgent', 'emergency', 'routine', 'emergency', 'urgent']) nights.push(await ask({ urgency }));
    const ids = nights.map(({ referral }) => referral.id);
    await lookAsOwner(services, `update timers set next_step_at = $1 where referral_id = any ($2) and name = 'respond'`, [
      services.now(),
      ids,
    ]);
    const due = await transact(services, systemActor('clock'), tx => claimDueTimers(tx, services.now(), 100));
    const asked = due.filter(({ referral_id }) => ids.includes(referral_id!)).map(({ referral_id }) => ids.indexOf(referral_id!));
    t.strictSame(
      [asked.slice(0, 2).sort(), asked.slice(2).sort()],
      [
        [1, 3],
        [0, 2, 4],
      ],
    );
    for (const { referral } of nights) await act(sender, referral.id, 'cancel', { reason_code: 'error' });
  });

  await t.test('of the fast jurisdiction run in seconds', async t => {
    const fast = {
      kase: { jurisdiction: 'XB', region: 'XB-1' },
      consent: { recipient: { agency_kind: 'health' }, purposes: ['medical'] },
    };
    const direct = { service: 'medical', urgency: 'routine', routing: 'direct', recipient_agency_id: agencies.health.id };
    const { referral } = await startNight(sender, { ...fast, referral: direct });
    t.match(await timersOf(referral.id), { acknowledge: { due_at: after(2_000) }, respond: { due_at: after(4_000) } });
    clock.advance(2_000);
    await drain(services);
    t.equal(ok(await sender.get(`/v1/referrals/${referral.id}`)).status, 'offered', 'late to acknowledge does not expire it');
    await act(receiver, referral.id, 'receive');
    await act(receiver, referral.id, 'request-information', { questions: ['?'] });
    clock.advance(4_000);
    await drain(services);
    t.match((await timersOf(referral.id)).respond, { state: 'running', due_at: after(2_000) }, 'it goes on when nobody answers');
    clock.advance(2_000);
    await drain(services);
    t.equal(ok(await sender.get(`/v1/referrals/${referral.id}`)).status, 'unplaced');
    clock.advance(4_000);
    await drain(services);
    t.equal((await timersOf(referral.id)).unplaced_review!.state, 'breached');
  });

  await t.test('are listed for whom they concern', async t => {
    const night = await ask({ urgency: 'urgent' });
    const { referral, kase } = night;
    const base = `/v1/timers?subject_id=${referral.id}`;
    const names = async (query: string, who: Client = sender) =>
      (await all(who, `/v1/timers?${query}`)).map(({ name }: Timer) => name);
    t.strictSame(await names(`subject_id=${referral.id}`), ['acknowledge', 'respond']);
    t.strictSame(await names(`subject_id=${referral.offer.id}`), ['acknowledge', 'respond']);
    const of_case = ['screening', 'immediate_needs', 'authority_notification'];
    t.strictSame((await names(`subject_id=${kase.id}`)).sort(), ['acknowledge', 'respond', ...of_case].sort());
    t.strictSame(await names(`subject_id=${referral.id}&name=respond`), ['respond']);
    t.strictSame(await names(`subject_id=${referral.id}&state=met`), []);
    t.strictSame(await names(`subject_id=${referral.id}&due_before=${after(2 * HOUR)}`), []);
    t.strictSame(await names(`subject_id=${referral.id}&due_before=${after(2 * HOUR + 1)}`), ['acknowledge']);
    t.strictSame(await names(`subject_id=${referral.id}&agency_id=${agencies.health.id}`), ['acknowledge', 'respond']);
    t.strictSame(await names(`subject_id=${referral.id}&agency_id=${agencies.helpline_a.id}`), []);
    t.strictSame(await names(`subject_id=${referral.id}`, receiver), ['acknowledge', 'respond']);
    t.strictSame(await names(`subject_id=${referral.id}`, coordinator), ['acknowledge', 'respond']);
    for (const key of ['helpline_b', 'shelter_a', 'prosecution'] as const) t.strictSame(await names('', as(key)), [], key);
    t.equal((await as('audit_body').get('/v1/timers')).status, 403);

    const whole = await all(sender, '/v1/timers');
    const due = whole.map(({ due_at }: Timer) => due_at);
    t.strictSame(due, due.toSorted(), 'the next due first');
    const pages: Timer[] = [];
    let cursor: string | null = null;
    do {
      const page: { data: Timer[]; next_cursor: string | null } = ok(
        await sender.get(`/v1/timers?limit=7${cursor ? `&cursor=${cursor}` : ''}`),
      );
      pages.push(...page.data);
      cursor = page.next_cursor;
    } while (cursor);
    t.strictSame(
      pages.map(({ id }) => id),
      whole.map(({ id }: Timer) => id),
      'page by page',
    );

    const forged = Buffer.from('["x","y"]').toString('base64url');
    for (const query of [
      'state=late',
      'due_before=soon',
      'agency_id=x',
      'limit=0',
      'colour=red',
      'cursor=x',
      `cursor=${forged}`,
    ]) {
      t.equal((await sender.get(`/v1/timers?${query}`)).status, 400, query);
    }
    for (const path of [`/v1/referrals?sort=due_at&cursor=${forged}`, '/v1/referrals?cursor=x']) {
      t.equal((await sender.get(path)).status, 400, path);
    }
    t.equal((await sender.get(base, { 'acting-caseworker': 'XX-1' })).status, 403);
  });

  await t.test('do not tell who a hidden receiver is', async t => {
    const hidden = [agencies.shelter_a.id, agencies.shelter_b.id];
    const { kase, referral } = await startNight(sender, {
      referral: { routing: 'direct', recipient_agency_id: agencies.shelter_a.id },
    });
    const shelter = as('shelter_a');
    await act(shelter, referral.id, 'accept');
    await act(shelter, referral.id, 'report-no-show');
    clock.advance(8 * HOUR);
    await drain(services);
    for (const [who, said] of [
      [sender, 'the sender'],
      [coordinator, 'the coordinator'],
    ] as const) {
      const timers: Timer[] = await all(who, `/v1/timers?subject_id=${referral.id}`);
      for (const name of ['acknowledge', 'respond', 'handover']) {
        const timer = timers.find(it => it.name === name)!;
        t.match(timer.placed, { region: 'XA-1', duty_contact: /duty desk/ }, `${said} knows where: ${name}`);
        t.notOk(timer.responsible_agency_id);
      }
      t.ok(
        timers.some(
          ({ name, responsible_agency_id }) =>
            name === 'missing_person_check' && responsible_agency_id === agencies.helpline_a.id,
        ),
      );
      t.notMatch(JSON.stringify(timers), new RegExp(hidden.join('|')), `${said} does not know who`);
      t.notMatch(
        JSON.stringify(await eventsOf(services, who, referral.id)),
        new RegExp(hidden.join('|')),
        `${said} is not told who`,
      );
      const by_id = await all(who, `/v1/timers?agency_id=${agencies.shelter_a.id}`);
      t.strictSame(by_id, [], `${said} does not find them by the id`);
    }
    const own: Timer[] = await all(shelter, `/v1/timers?agency_id=${agencies.shelter_a.id}&subject_id=${referral.id}`);
    t.ok(
      own.length >= 3 && own.every(({ responsible_agency_id }) => responsible_agency_id === agencies.shelter_a.id),
      'it finds its own',
    );

    ok(
      await sender.post(
        `/v1/cases/${kase.id}/consents`,
        consentBody({ recipient: { agency_id: agencies.shelter_a.id } } as never),
      ),
    );
    const revealed: Timer[] = await all(sender, `/v1/timers?agency_id=${agencies.shelter_a.id}`);
    t.ok(
      revealed.some(({ name }) => name === 'handover'),
      'but for a grant that names it',
    );
    t.ok(
      revealed.every(({ subject }) => subject.id === referral.offer.id),
      'and on this case only',
    );
    t.equal(
      ok(await sender.post(`/v1/cases/${kase.id}/referrals`, referralBody({ excluded_agencies: hidden }))).status,
      'unplaced',
    );
  });
});
