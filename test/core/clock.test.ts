import fc from 'fast-check';
import t from 'tap';
import { durationMs, findPolicy, type Policy, resumeSchedule, schedule, type TimerStep, takeDue } from '../../src/core/clock.ts';
import { AGENCY_KINDS, SERVICES, URGENCIES } from '../../src/core/codes.ts';
import { fastPack, illustrativePack } from '../../src/rules/packs.ts';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const START = new Date('2026-11-21T19:00:00.000Z');
const at = (ms: number) => new Date(START.getTime() + ms);

const policy = (more: Partial<Policy> = {}): Policy => ({
  name: 'respond',
  applies_to: {},
  kind: 'deadline',
  clock: 'elapsed',
  duration: 'PT1H',
  warn_at: ['50%', '80%'],
  escalate: [
    { after: '0%', to: 'responsible' },
    { after: '25%', to: 'supervisor' },
    { after: '100%', to: 'coordinator' },
  ],
  source: 'test',
  ...more,
});

t.test('durations are of days and smaller', async t => {
  const rows: [string, number][] = [
    ['PT1S', SECOND],
    ['PT90S', 90 * SECOND],
    ['PT15M', 15 * MINUTE],
    ['PT4H', 4 * HOUR],
    ['PT1H30M5S', HOUR + 30 * MINUTE + 5 * SECOND],
    ['P1D', DAY],
    ['P30D', 30 * DAY],
    ['P1DT12H', DAY + 12 * HOUR],
    ['P2W', 14 * DAY],
    ['PT0S', 0],
  ];
  for (const [text, ms] of rows) t.equal(durationMs(text), ms, text);
  for (const text of ['', 'P', 'PT', 'P1DT', 'P1M', 'P1Y', '1H', 'PT1.5H', '-PT1H', 'PT1H ', 'pt1h', 'P1H']) {
    t.throws(() => durationMs(text), RangeError, text);
  }
});

t.test('a timer warns, falls due and escalates', async t => {
  const { started_at, due_at, steps, next_step_at } = schedule(policy(), START);
  t.strictSame(started_at, START);
  t.strictSame(due_at, at(HOUR));
  t.strictSame(steps, [
    { at: at(30 * MINUTE).toISOString(), kind: 'warn' },
    { at: at(48 * MINUTE).toISOString(), kind: 'warn' },
    { at: at(60 * MINUTE).toISOString(), kind: 'breach' },
    { at: at(60 * MINUTE).toISOString(), kind: 'escalate', level: 1, to: 'responsible' },
    { at: at(75 * MINUTE).toISOString(), kind: 'escalate', level: 2, to: 'supervisor' },
    { at: at(120 * MINUTE).toISOString(), kind: 'escalate', level: 3, to: 'coordinator' },
  ]);
  t.strictSame(next_step_at, at(30 * MINUTE));
  const bare = schedule(policy({ warn_at: [], escalate: [] }), START);
  t.strictSame(bare.steps, [{ at: at(HOUR).toISOString(), kind: 'breach' }]);
  t.strictSame(bare.next_step_at, at(HOUR));
});

t.test('steps come earliest first, however the policy lists them', async t => {
  const { steps, next_step_at } = schedule(policy({ warn_at: ['80%', '50%'], escalate: policy().escalate.toReversed() }), START);
  t.strictSame({ steps, next_step_at }, { steps: schedule(policy(), START).steps, next_step_at: at(30 * MINUTE) });
});

t.test('what has fallen due is taken, once', async t => {
  const { steps } = schedule(policy(), START);
  const rows: [number, number, number | null][] = [
    [30 * MINUTE - 1, 0, 30],
    [30 * MINUTE, 1, 48],
    [48 * MINUTE, 2, 60],
    [60 * MINUTE - 1, 2, 60],
    [60 * MINUTE, 4, 75],
    [3 * HOUR, 6, null],
  ];
  for (const [ms, count, next] of rows) {
    const { due, left, next_step_at } = takeDue(steps, at(ms));
    t.strictSame([...due, ...left], steps);
    t.equal(due.length, count, `${count} by ${ms / MINUTE} min`);
    t.strictSame(next_step_at, next === null ? null : at(next * MINUTE));
    t.strictSame(takeDue(left, at(ms)).due, [], 'not again');
  }
  t.strictSame(takeDue([], START), { due: [], left: [], next_step_at: null });
});

t.test('a pause shifts all that is ahead by its length', async t => {
  const { due_at, steps } = schedule(policy(), START);
  const left = takeDue(steps, at(40 * MINUTE)).left;
  const resumed = resumeSchedule({ due_at, steps: left, paused_at: at(40 * MINUTE) }, at(100 * MINUTE));
  t.strictSame(resumed.due_at, at(120 * MINUTE));
  t.strictSame(
    resumed.steps.map(({ at }) => at),
    [108, 120, 120, 135, 180].map(minutes => at(minutes * MINUTE).toISOString()),
  );
  t.strictSame(resumed.next_step_at, at(108 * MINUTE));
  t.strictSame(
    resumed.steps.map(({ at: _, ...step }) => step),
    left.map(({ at: _, ...step }) => step),
    'what they are stays',
  );
  t.strictSame(resumeSchedule({ due_at, steps: [], paused_at: START }, at(1)).next_step_at, null);
});

t.test('what is left is the same before and after any number of pauses', async () => {
  const pause = fc.record({ runs: fc.nat(20 * MINUTE), rests: fc.nat(10 * DAY) });
  fc.assert(
    fc.property(fc.array(pause, { maxLength: 5 }), pauses => {
      let { due_at, steps }: { due_at: Date; steps: TimerStep[] } = schedule(policy(), START);
      let now = START.getTime();
      let run = 0;
      for (const { runs, rests } of pauses) {
        now += runs;
        run += runs;
        const paused_at = new Date(now);
        const { left } = takeDue(steps, paused_at);
        now += rests;
        ({ due_at, steps } = resumeSchedule({ due_at, steps: left, paused_at }, new Date(now)));
        if (due_at.getTime() - now !== HOUR - run) return false;
      }
      return true;
    }),
  );
});

t.test('the most specific policy wins', async t => {
  const named = (source: string, applies_to: Policy['applies_to'], name = 'respond') => policy({ name, applies_to, source });
  const policies = [
    named('any', {}),
    named('urgent', { urgency: 'urgent' }),
    named('urgent shelter', { urgency: 'urgent', service: 'shelter_accommodation' }),
    named('all four', { urgency: 'urgent', service: 'shelter_accommodation', agency_kind: 'shelter', stage: 'reported' }),
    named('police', { agency_kind: 'police' }),
    named('other', { urgency: 'urgent', service: 'medical', agency_kind: 'health' }, 'acknowledge'),
  ];
  const rows: [string | undefined, Parameters<typeof findPolicy>[2], string?][] = [
    ['any', {}],
    ['any', { urgency: 'routine' }],
    ['urgent', { urgency: 'urgent' }],
    ['urgent', { urgency: 'urgent', service: 'medical' }],
    ['urgent shelter', { urgency: 'urgent', service: 'shelter_accommodation', agency_kind: 'shelter' }],
    ['all four', { urgency: 'urgent', service: 'shelter_accommodation', agency_kind: 'shelter', stage: 'reported' }],
    ['police', { agency_kind: 'police', urgency: 'routine' }],
    ['other', { urgency: 'urgent', service: 'medical', agency_kind: 'health' }, 'acknowledge'],
    [undefined, { urgency: 'urgent' }, 'acknowledge'],
    [undefined, {}, 'unheard_of'],
  ];
  for (const order of [policies, policies.toReversed()]) {
    for (const [source, facts, name = 'respond'] of rows)
      t.equal(findPolicy(order, name, facts)?.source, source, JSON.stringify(facts));
  }
});

t.test('the illustrative defaults are those of the page on clocks', async t => {
  const E = ['PT15M', 'expire_offer'] as const;
  const page: Record<string, readonly (readonly [string, string?])[]> = {
    // emergency, urgent, routine; working and calendar days as so many days of 24 hours, until calendars come
    acknowledge: [E, ['PT2H'], ['P1D']],
    respond: [
      ['PT1H', 'expire_offer'],
      ['PT24H', 'expire_offer'],
      ['P3D', 'expire_offer'],
    ],
    inform: [['PT15M'], ['PT4H', 'resume_respond'], ['P2D', 'resume_respond']],
    waitlist_review: [
      ['PT1H', 'expire_offer'],
      ['PT24H', 'expire_offer'],
      ['P5D', 'expire_offer'],
    ],
    handover: [['PT6H'], ['PT48H'], ['P5D']],
    review: [['PT72H'], ['P14D'], ['P30D']],
    unplaced_review: [['PT15M'], ['PT4H'], ['P1D']],
    missing_person_check: [['PT1H'], ['PT1H'], ['PT1H']],
    safety_ack: [['PT15M'], ['PT15M'], ['PT15M']],
    deletion_confirmation: [['P10D'], ['P10D'], ['P10D']],
    follow_up: [['P30D'], ['P30D'], ['P30D']],
    welfare_check: [['PT24H'], ['PT24H'], ['PT24H']],
  };
  const { policies } = illustrativePack('XA');
  t.strictSame([...new Set(policies.map(({ name }) => name))].sort(), Object.keys(page).sort());
  for (const [name, durations] of Object.entries(page)) {
    for (const [i, urgency] of URGENCIES.entries()) {
      const found = findPolicy(policies, name, { urgency, service: 'medical', agency_kind: 'health' })!;
      const [duration, on_breach] = durations[i]!;
      t.equal(durationMs(found.duration), durationMs(duration), `${name}, ${urgency}`);
      t.equal(found.on_breach, on_breach, `${name}, ${urgency}: what its breach does`);
      t.match(found.source, /illustrative/);
      if (urgency === 'emergency') t.equal(found.clock, 'elapsed');
    }
  }
});

t.test('the fast pack is the same for every urgency', async t => {
  const { policies } = fastPack('XB');
  const page: [string, string, string?][] = [
    ['acknowledge', 'PT2S'],
    ['respond', 'PT4S', 'expire_offer'],
    ['inform', 'PT4S', 'resume_respond'],
    ['handover', 'PT30S'],
    ['review', 'PT60S'],
    ['unplaced_review', 'PT4S'],
    ['deletion_confirmation', 'P10D'],
  ];
  for (const urgency of URGENCIES) {
    for (const [name, duration, on_breach] of page) {
      const found = findPolicy(policies, name, { urgency })!;
      t.strictSame([found.duration, found.on_breach], [duration, on_breach], `${name}, ${urgency}`);
    }
    t.equal(findPolicy(policies, 'waitlist_review', { urgency })!.on_breach, 'expire_offer', 'what is not named is as in XA');
  }
});

t.test('every timer of the lifecycle has a policy, whatever the referral is about', async t => {
  const names = [
    'acknowledge',
    'respond',
    'inform',
    'waitlist_review',
    'handover',
    'review',
    'missing_person_check',
    'follow_up',
  ];
  for (const { policies } of [illustrativePack('XA'), fastPack('XB')]) {
    for (const urgency of URGENCIES) {
      for (const service of SERVICES) {
        for (const agency_kind of AGENCY_KINDS) {
          for (const name of names)
            if (!findPolicy(policies, name, { urgency, service, agency_kind })) t.fail(`${name} for ${service}`);
        }
      }
    }
  }
});
