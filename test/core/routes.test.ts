import fc from 'fast-check';
import t from 'tap';
import { AGENCY_KINDS, PROTECTION_STATUSES, SERVICES, STAGES, URGENCIES } from '../../src/core/codes.ts';
import type { Fault } from '../../src/core/problem.ts';
import {
  checkRoutes,
  demandedServices,
  isWalledOff,
  type LegalFacts,
  lawLets,
  routesFor,
  type ServiceRoute,
} from '../../src/core/routes.ts';
import { need } from '../support/routing.ts';
import { shipped } from '../support/rule-packs.ts';

const facts = (more: Partial<LegalFacts> = {}): LegalFacts => need({ stage: 'reported', protection_status: 'none', ...more });
const route = (more: Partial<ServiceRoute> = {}): ServiceRoute => ({
  service: 'shelter_accommodation',
  agency_kinds: ['shelter'],
  obligation: 'may',
  source: 'illustrative',
  ...more,
});
const lets = (routes: ServiceRoute[], kind: (typeof AGENCY_KINDS)[number], more: Partial<LegalFacts> = {}) =>
  lawLets(routesFor(routes, 'shelter_accommodation', facts(more)), kind, facts(more));

t.test('without a route that holds, whoever offers the service may be asked', async t => {
  for (const kind of AGENCY_KINDS) t.ok(lets([], kind));
  t.ok(lets([route({ service: 'medical', agency_kinds: ['health'] })], 'shelter'), 'routes of other services say nothing');
  t.ok(lets([route({ when: { child: true }, agency_kinds: ['council'] })], 'shelter', { age: 18 }));
});

t.test('each condition', async t => {
  const rows: [string, NonNullable<ServiceRoute['when']>, Partial<LegalFacts>, boolean][] = [
    ['urgency', { urgency: 'routine' }, { urgency: 'routine' }, true],
    ['another urgency', { urgency: 'routine' }, { urgency: 'urgent' }, false],
    ['stage', { stage: 'recovery' }, { stage: 'recovery' }, true],
    ['another stage', { stage: 'recovery' }, { stage: 'reported' }, false],
    ['a child', { child: true }, { age: 17 }, true],
    ['an adult', { child: true }, { age: 18 }, false],
    ['whose age is in doubt is a child', { child: true }, { age: null }, true],
    ['and no adult', { child: false }, { age: null }, false],
    ['below an age', { under_age: 12 }, { age: 11 }, true],
    ['at that age', { under_age: 12 }, { age: 12 }, false],
    ['in doubt counts as below', { under_age: 12 }, { age: null }, true],
    ['a status', { protection_statuses: ['refugee'] }, { protection_status: 'refugee' }, true],
    ['another status', { protection_statuses: ['refugee'] }, { protection_status: 'citizen' }, false],
    ['found with others', { grouped: true }, { grouped: true }, true],
    ['found alone', { grouped: true }, { grouped: false }, false],
  ];
  for (const [said, when, more, holds] of rows)
    t.equal(routesFor([route({ when })], 'shelter_accommodation', facts(more)).length, holds ? 1 : 0, said);
});

t.test('what says more of whom it is for goes first; what says as much adds up', async t => {
  const always = route();
  const child = route({ agency_kinds: ['council'], when: { child: true } });
  const small_child = route({ agency_kinds: ['social_services'], when: { child: true, under_age: 12 } });
  const refugee = route({ agency_kinds: ['international_organisation'], when: { protection_statuses: ['refugee'] } });
  const all = [always, child, small_child, refugee];
  const asked = (more: Partial<LegalFacts>) => AGENCY_KINDS.filter(kind => lets(all, kind, more));
  t.strictSame(asked({ age: 30 }), ['shelter']);
  t.strictSame(asked({ age: 15 }), ['council']);
  t.strictSame(asked({ age: 11 }), ['social_services']);
  t.strictSame(asked({ age: 15, protection_status: 'refugee' }), ['council', 'international_organisation']);
});

t.test('under this age only with a placement decision of the prosecution', async t => {
  const placement = { service: 'guardianship_child_protection', agency_kinds: ['prosecution'] } as const;
  const routes = [route({ when: { under_age: 15 }, after: placement })];
  const decided = { completed: [{ service: 'guardianship_child_protection', agency_kind: 'prosecution' }] } as const;
  t.notOk(lets(routes, 'shelter', { age: 14 }));
  t.ok(lets(routes, 'shelter', { age: 14, ...decided }));
  t.ok(lets(routes, 'shelter', { age: 15 }), 'older: without');
  t.notOk(lets(routes, 'health', { age: 14, ...decided }), 'and no other kind');
  const by_others = { completed: [{ service: 'guardianship_child_protection', agency_kind: 'police' }] } as const;
  t.notOk(lets(routes, 'shelter', { age: 14, ...by_others }), 'whoever else decided');
  t.ok(lets(routes, 'shelter', { age: 14, urgency: 'emergency' }), 'nobody sleeps in the street for want of a paper');
});

t.test('what the law demands', async t => {
  const { routes } = shipped('XA');
  t.strictSame(demandedServices(routes, facts({ age: 17 })), ['guardianship_child_protection']);
  t.strictSame(demandedServices(routes, facts({ age: 18 })), []);
  const also = route({
    service: 'documentation_status',
    agency_kinds: ['international_organisation'],
    obligation: 'must',
    when: { protection_statuses: ['refugee', 'asylum_seeker'] },
  });
  t.strictSame(demandedServices([also, also], facts({ protection_status: 'refugee' })), ['documentation_status'], 'once');
  t.strictSame(demandedServices([also], facts({ protection_status: 'citizen' })), []);
  t.strictSame(
    demandedServices([route({ obligation: 'must' })], facts()),
    [],
    'a route for everybody demands nothing of everybody',
  );
});

t.test('labour inspection never receives the complainant', async t => {
  const { firewalls } = shipped('XA');
  for (const kind of AGENCY_KINDS)
    for (const service of SERVICES)
      for (const complainant of [true, false])
        t.equal(isWalledOff(firewalls, service, kind, facts({ complainant })), complainant && kind === 'labour_inspection');
  const for_wages = [{ ...firewalls[0]!, services: ['labour_claim_wage_recovery'] as const }];
  t.ok(isWalledOff(for_wages, 'labour_claim_wage_recovery', 'labour_inspection', facts({ complainant: true })));
  t.notOk(isWalledOff(for_wages, 'medical', 'labour_inspection', facts({ complainant: true })));
});

t.test('routes that wait for each other are refused, however long the circle', async t => {
  const chain = (length: number, closed: boolean): ServiceRoute[] =>
    SERVICES.slice(0, length).flatMap((service, i) => {
      const next = SERVICES[(i + 1) % length]!;
      return i === length - 1 && !closed ? [] : [route({ service, after: { service: next, agency_kinds: ['police'] } })];
    });
  const faultsOf = (routes: readonly ServiceRoute[]): Fault[] => {
    const faults: Fault[] = [];
    checkRoutes(routes, '/routes', (pointer, detail) => faults.push({ pointer, detail }));
    return faults;
  };
  for (const length of [1, 2, 3, SERVICES.length]) {
    t.equal(faultsOf(chain(length, true)).length, length, `a circle of ${length}: each of its routes is named`);
    t.strictSame(faultsOf(chain(length, false)), [], 'a chain that ends');
  }
  t.match(faultsOf(chain(2, true))[0], {
    pointer: '/routes/0/after/service',
    detail: 'waits for itself: shelter_accommodation, medical, shelter_accommodation',
  });
  const beside = [...chain(2, true), route({ service: 'legal_aid', after: { service: 'medical', agency_kinds: ['health'] } })];
  t.strictSame(
    faultsOf(beside).map(({ pointer }) => pointer),
    ['/routes/0/after/service', '/routes/1/after/service'],
    'whoever waits for the circle is not in it',
  );
});

t.test('the search for circles ends, and finds one where following every route never ends', async () => {
  const arbitrary = fc.array(
    fc.record({ service: fc.constantFrom(...SERVICES.slice(0, 5)), next: fc.constantFrom(...SERVICES.slice(0, 5)) }),
    { maxLength: 8 },
  );
  fc.assert(
    fc.property(arbitrary, edges => {
      const routes = edges.map(({ service, next }) => route({ service, after: { service: next, agency_kinds: ['police'] } }));
      let found = false;
      checkRoutes(routes, '', () => {
        found = true;
      });
      // What waits for nothing that is left goes, until nothing goes any more.
      let left = edges;
      for (let before = -1; before !== left.length; ) {
        before = left.length;
        const waiting = new Set(left.map(({ service }) => service));
        left = left.filter(({ next }) => waiting.has(next));
      }
      return found === left.length > 0;
    }),
  );
});

t.test('who may be asked depends on nothing but what is handed in', async () => {
  const arbitrary = fc.record({
    urgency: fc.constantFrom(...URGENCIES),
    stage: fc.constantFrom(...STAGES),
    age: fc.option(fc.nat(90)),
    protection_status: fc.constantFrom(...PROTECTION_STATUSES),
    grouped: fc.boolean(),
  });
  const { routes } = shipped('JO');
  fc.assert(
    fc.property(arbitrary, fc.constantFrom(...SERVICES), (more, service) => {
      const holding = routesFor(routes, service, facts(more));
      const again = routesFor(routes.toReversed(), service, facts(more));
      return AGENCY_KINDS.every(kind => lawLets(holding, kind, facts(more)) === lawLets(again, kind, facts(more)));
    }),
  );
});
