import fc from 'fast-check';
import t from 'tap';
import { AGENCY_KINDS, CRISIS_KINDS, type CRISIS_PHASES, OPERATING_MODES } from '../../src/core/codes.ts';
import {
  type CrisisMode,
  type CrisisPlan,
  checkPlans,
  crisisIn,
  modeUnder,
  overlap,
  underCrisis,
} from '../../src/core/crisis.ts';
import { LIFE_SAFETY, TIMER_NAMES } from '../../src/core/policy.ts';
import type { Fault } from '../../src/core/problem.ts';
import { countOf, durationMs } from '../../src/core/reckoning.ts';
import { SHIPPED, shipped } from '../support/rule-packs.ts';

const AT = new Date('2026-11-21T20:00:00.000Z');
const mode = (more: Partial<CrisisMode> = {}): CrisisMode => ({
  id: 'crm_1',
  kind: 'conflict',
  phase: 'response',
  regions: [],
  expires_at: new Date(AT.getTime() + 1),
  ...more,
});
const plan = (more: Partial<CrisisPlan> = {}): CrisisPlan => ({
  kind: 'conflict',
  names: { en: 'Conflict' },
  source: 'illustrative',
  ...more,
});
const under = (more: Partial<CrisisPlan>) => underCrisis({ ...shipped('XA'), crisis_plans: [plan(more)] }, mode());

t.test('where and until when one holds', async t => {
  const rows: [string, Partial<CrisisMode>, string | null, boolean][] = [
    ['everywhere', {}, 'XA-1', true],
    ['everywhere, also where nobody said where', {}, null, true],
    ['there', { regions: ['XA-1'] }, 'XA-1', true],
    ['elsewhere', { regions: ['XA-1'] }, 'XA-2', false],
    ['somewhere, and nobody said where', { regions: ['XA-1'] }, null, false],
    ['until the very instant', { expires_at: AT }, 'XA-1', false],
  ];
  for (const [said, more, region, holds] of rows) t.equal(crisisIn([mode(more)], region, AT) !== undefined, holds, said);
  t.ok(overlap([], ['XA-1']));
  t.ok(overlap(['XA-1', 'XA-2'], ['XA-2']));
  t.notOk(overlap(['XA-1'], ['XA-2']));
});

t.test('without a crisis the rules are as they are', async t => {
  for (const jurisdiction of SHIPPED.keys()) {
    const pack = shipped(jurisdiction);
    t.equal(underCrisis(pack, undefined), pack);
    const { crisis, ...rest } = underCrisis(pack, mode({ kind: 'other' }));
    t.strictSame(rest, pack, 'nor does one for which there is no plan change anything');
    t.match(crisis, { id: 'crm_1', kind: 'other' }, 'but what is done under it says so');
  }
});

t.test('clocks run longer, in their own unit', async t => {
  const stretch = [
    { policy: 'respond', urgency: 'routine', factor: 1.5 },
    { policy: 'review', factor: 2 },
  ] as const;
  const { policies } = under({ stretch });
  const found = (name: string, urgency: string) =>
    policies.find(policy => policy.name === name && policy.applies_to.urgency === urgency)!;
  t.equal(found('respond', 'routine').duration, 'P5D', 'three working days, half as many again, and no day is cut');
  t.match(found('respond', 'routine').source, /illustrative; 1.5 times as long under the plan for conflict/);
  t.equal(found('respond', 'urgent').duration, shippedOf('respond', 'urgent').duration, 'another urgency');
  t.equal(found('review', 'urgent').duration, 'P28D');
  t.equal(found('review', 'routine').duration, 'P60D');
  t.equal(found('review', 'emergency').duration, shippedOf('review', 'emergency').duration);
});
const shippedOf = (name: string, urgency: string) =>
  shipped('XA').policies.find(policy => policy.name === name && policy.applies_to.urgency === urgency)!;

t.test(
  'whatever a plan says, no clock of an emergency, of life and safety or with a source in law changes, and no floor',
  async () => {
    const arbitrary = fc.array(
      fc.record({
        policy: fc.constantFrom(...TIMER_NAMES),
        urgency: fc.constantFrom(undefined, 'urgent' as const, 'routine' as const),
        factor: fc.integer({ min: 11, max: 100 }).map(tenths => tenths / 10),
      }),
      { maxLength: 5 },
    );
    fc.assert(
      fc.property(fc.constantFrom(...SHIPPED.keys()), arbitrary, (jurisdiction, stretch) => {
        const pack = shipped(jurisdiction);
        const after = underCrisis({ ...pack, crisis_plans: [plan({ stretch })] }, mode()).policies;
        return pack.policies.every((policy, i) => {
          const changed = after[i]!;
          const { name, kind, clock, applies_to, source } = policy;
          const untouchable =
            kind === 'floor' ||
            applies_to.urgency === 'emergency' ||
            LIFE_SAFETY.includes(name) ||
            ['safe_callback', 'immediate_needs', 'welfare_check'].includes(name) ||
            !source.startsWith('illustrative');
          const amount = (of: typeof policy) =>
            clock === 'elapsed' || clock === 'working_time' ? durationMs(of.duration) : countOf({ clock, duration: of.duration });
          const { duration: _, source: __, ...rest } = changed;
          const { duration: ___, source: ____, ...as_before } = policy;
          return (
            JSON.stringify(rest) === JSON.stringify(as_before) &&
            (untouchable ? JSON.stringify(changed) === JSON.stringify(policy) : amount(changed) >= amount(policy))
          );
        });
      }),
    );
  },
);

t.test('routes take the place of those for the same service', async t => {
  const route = { service: 'identification', agency_kinds: ['ministry'], obligation: 'may', source: 'illustrative' } as const;
  const { routes } = under({ routes: [route] });
  t.strictSame(
    routes.filter(({ service }) => service === 'identification'),
    [route],
  );
  t.equal(routes.length, shipped('XA').routes.length, 'the others stay');
});

t.test('agencies work in no fuller mode than the plan says, and in no fuller one than their own', async () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...OPERATING_MODES),
      fc.constantFrom(...OPERATING_MODES),
      fc.constantFrom(...AGENCY_KINDS),
      fc.subarray([...AGENCY_KINDS], { minLength: 1 }),
      (own, mode, kind, agency_kinds) => {
        const crisis = { id: 'crm_1', kind: 'conflict', phase: 'response', operating_modes: [{ agency_kinds, mode }] } as const;
        const order = ['open', 'reduced', 'remote', 'closed'];
        const expected = agency_kinds.includes(kind) ? Math.max(order.indexOf(own), order.indexOf(mode)) : order.indexOf(own);
        return modeUnder(own, kind, crisis) === order[expected] && modeUnder(own, kind, undefined) === own;
      },
    ),
  );
});

t.test('a plan for this very phase before one for all', async t => {
  const crisis_plans = [
    plan({ operating_modes: [{ agency_kinds: ['school'], mode: 'reduced' }] }),
    plan({ phases: ['response'], operating_modes: [{ agency_kinds: ['school'], mode: 'closed' }] }),
  ];
  const found = (phase: (typeof CRISIS_PHASES)[number]) =>
    underCrisis({ ...shipped('XA'), crisis_plans }, mode({ phase })).crisis!.operating_modes[0]!.mode;
  t.equal(found('response'), 'closed');
  t.equal(found('preparedness'), 'reduced');
});

t.test('what is wrong with plans', async t => {
  const faultsOf = (crisis_plans: CrisisPlan[]) => {
    const faults: Fault[] = [];
    checkPlans({ ...shipped('XA'), crisis_plans }, (pointer, detail) => faults.push({ pointer, detail }));
    return faults.map(({ pointer }) => pointer);
  };
  for (const kind of CRISIS_KINDS) t.strictSame(faultsOf([plan({ kind })]), []);
  t.strictSame(faultsOf([plan(), plan({ phases: ['response'] })]), [], 'one for all, and one for a phase');
  t.strictSame(faultsOf([plan(), plan()]), ['/crisis_plans/1/kind']);
  t.strictSame(faultsOf([plan({ phases: ['response'] }), plan({ phases: ['post_crisis', 'response'] })]), [
    '/crisis_plans/1/kind',
  ]);
  for (const policy of ['recovery_period', 'reconsideration_window', 'safety_ack', 'missing_person_check', 'no_such_clock'])
    t.strictSame(faultsOf([plan({ stretch: [{ policy, factor: 2 }] })]), ['/crisis_plans/0/stretch/0/policy'], policy);
  t.strictSame(faultsOf([plan({ stretch: [{ policy: 'respond', factor: 2 }] })]), []);
  const circle = (service: 'medical' | 'legal_aid', after: 'medical' | 'legal_aid') =>
    ({
      service,
      agency_kinds: ['health'],
      obligation: 'may',
      after: { service: after, agency_kinds: ['health'] },
      source: 'x',
    }) as const;
  t.strictSame(faultsOf([plan({ routes: [circle('medical', 'legal_aid'), circle('legal_aid', 'medical')] })]), [
    '/crisis_plans/0/routes/0/after/service',
    '/crisis_plans/0/routes/1/after/service',
  ]);
  const faults: string[] = [];
  checkPlans(
    {
      ...shipped('XA'),
      routes: [circle('legal_aid', 'medical')],
      crisis_plans: [plan({ routes: [circle('medical', 'legal_aid')] })],
    },
    pointer => faults.push(pointer),
  );
  t.strictSame(faults, ['/crisis_plans/0/routes/0/after/service'], 'a circle with what the pack says besides');
});
