import fc from 'fast-check';
import t from 'tap';
import type { EventType } from '../../src/core/events.ts';
import { newId } from '../../src/platform/ids.ts';
import { createOutbound } from '../../src/platform/outbound.ts';
import { deliverDue } from '../../src/webhooks/turn.ts';
import { startTestApp } from '../support/app.ts';
import { drain } from '../support/drain.ts';
import { identification } from '../support/identification.ts';
import type { ToldEvent } from '../support/journey.ts';
import { mechanism } from '../support/mechanism.ts';
import { countedOn, OwnSystem } from '../support/own-system.ts';
import { demoActors, emit, insertReferral, notice, registerEndpoint, relayAll, startReceiver } from '../support/webhooks.ts';

/** A receiver that loses pushes finds every gap by the numbers, and fills it by pulling alone. */

t.setTimeout(300_000);

const RUNS = process.env.LONG === '1' ? 500 : 40;
const SUBJECTS = 3;

/** What becomes of a push on its way into the agency's system. */
const onTheWay = fc.record({
  lost: fc.boolean(),
  copies: fc.integer({ min: 1, max: 3 }),
  /** Where among the others it comes in. */
  turn: fc.integer({ min: 0, max: 1_000 }),
});
/** An event of one of the subjects; `unknown`: the agency may not know of it. */
const happening = fc.record({
  subject: fc.integer({ min: 0, max: SUBJECTS - 1 }),
  type: fc.constantFrom<EventType>('referral.received', 'safety.changed', 'referral.message', 'timer.warned'),
  urgent: fc.boolean(),
  unknown: fc.boolean(),
  ways: onTheWay,
});

t.test('whatever is lost, doubled or out of order, the receiver ends with what an untroubled one has', async t => {
  const test = await startTestApp(t);
  const { services } = test;
  const { as } = await mechanism(test);
  const { helpline_a, helpline_b, health } = await demoActors(services);
  const receiver = await startReceiver(t);
  const outbound = createOutbound({ production: false, ports: [] });
  t.teardown(() => outbound.close());
  await registerEndpoint(services, health, receiver.url);
  const { referral_id, case_id } = await insertReferral(services, helpline_a, [helpline_b]);
  const foreign = { referral_id, case_id };
  const untroubled = new OwnSystem(as('health', 'nobody'));
  const troubled = new OwnSystem(as('health', 'nobody'));
  const seen = { gaps: 0, of_subjects: 0, tails: 0 };

  const property = fc.asyncProperty(fc.array(happening, { minLength: 1, maxLength: 25 }), async happenings => {
    const referrals = await Promise.all(
      Array.from({ length: SUBJECTS }, () => insertReferral(services, helpline_a, [{ ...health, status: 'accepted' as const }])),
    );
    for (const { subject, type, urgent, unknown } of happenings) {
      const { referral_id, case_id, offers } = referrals[subject]!;
      const referral = unknown ? foreign : { referral_id, case_id };
      const body = unknown ? {} : { referral_id, offer_id: offers[0] };
      const it = {
        ...referral,
        subject_id: referral.referral_id,
        urgent,
        type: unknown ? ('referral.accepted' as const) : type,
        body,
      };
      await emit(services, helpline_a, notice([health.agency_id], it));
    }
    await drain(services);
    receiver.received.length = 0;
    await deliverDue(services, outbound);

    const pushed = receiver.received.map(({ body }) => body as ToldEvent);
    for (const event of pushed) untroubled.take(event);
    const ways = new Map(pushed.map((event, i) => [event, happenings[i]!.ways]));
    const came = pushed
      .flatMap(event => {
        const { lost, copies, turn } = ways.get(event)!;
        return lost ? [] : Array.from({ length: copies }, (_, i) => ({ event, turn: turn + i * 300 }));
      })
      .sort((a, b) => a.turn - b.turn);
    const known = new Set(troubled.events.map(({ data }) => data.position));
    for (const { event } of came) {
      t.equal(troubled.take(event), !known.has(event.data.position), 'taken once');
      known.add(event.data.position);
    }

    // By its own numbers it finds exactly what was lost, but for what came last: nothing is behind that yet.
    const last = Math.max(0, ...known);
    const all = untroubled.events;
    const lost = all.filter(({ data }) => !known.has(data.position));
    t.strictSame(
      troubled.missing,
      lost.flatMap(({ data }) => (data.position < last ? [data.position] : [])),
    );
    const behind = (event: ToldEvent) =>
      all.some(
        ({ type, data }) =>
          type !== 'event.withheld' &&
          data.referral_id === event.data.referral_id &&
          data.sequence > event.data.sequence &&
          known.has(data.position),
      );
    const told = lost.filter(event => event.type !== 'event.withheld' && behind(event));
    t.strictSame(troubled.missingOfSubjects.sort(), told.map(({ data }) => `${data.referral_id} ${data.sequence}`).sort());
    if (troubled.missing.length > 0) seen.gaps += 1;
    if (told.length > 0) seen.of_subjects += 1;
    if (lost.some(({ data }) => data.position > last)) seen.tails += 1;
    await troubled.catchUp();
    t.strictSame(troubled.events, all, 'the very same');
    t.strictSame(troubled.missing, []);
    t.strictSame(troubled.missingOfSubjects, []);
  });
  await fc.assert(property, { numRuns: RUNS });
  t.comment(seen);
  for (const count of Object.values(seen)) t.ok(count > 0);
});

t.test('what was lost last is waited for, and comes with what follows', async t => {
  const test = await startTestApp(t);
  const { services } = test;
  const { as } = await mechanism(test);
  const { helpline_a, health } = await demoActors(services);
  const system = new OwnSystem(as('health', 'nobody'));
  const send = () => emit(services, helpline_a, notice([health.agency_id], { subject_id: newId('ref') }));
  await send();
  await relayAll(services);
  await system.catchUp();
  t.equal(system.events.length, 1);
  const waiting = system.catchUp(30);
  await send();
  await relayAll(services);
  await waiting;
  t.strictSame(
    system.events.map(({ data }) => data.position),
    [1, 2],
  );
});

t.test('whoever decides on a case by its offer can tell, too, along what each sequence counts', async t => {
  const test = await startTestApp(t);
  const { services } = test;
  const them = await mechanism(test);
  const { accepted, decide, serve, held } = identification(test, them);
  const system = new OwnSystem(them.as('prosecution', 'nobody'));
  const found = await accepted();
  await serve(await decide(found, 'initial', 'positive'));
  await decide(found, 'reasonable_grounds', 'positive');
  await held(found, 'prosecution');
  await drain(services);
  await system.catchUp();
  const told = system.events.filter(event => countedOn(event) !== undefined);
  for (const type of ['referral.offered', 'decision.made', 'decision.served', 'case.stage_changed'])
    t.ok(
      told.some(event => event.type === type),
      type,
    );
  for (const [subject, events] of Map.groupBy(told, countedOn)) {
    t.strictSame(
      events.map(({ data }) => data.sequence),
      events.map((_, i) => i + 1),
      String(subject),
    );
  }
});
