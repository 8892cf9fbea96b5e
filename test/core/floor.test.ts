import t from 'tap';
import { AGENCY_KINDS, CLOSE_REASONS, FAIL_REASONS, OUTCOMES } from '../../src/core/codes.ts';
import { type Floor, floorBefore, guardedClose, guardedEnd, isWaivable, requireReached } from '../../src/core/floor.ts';
import { isCertified } from '../../src/core/screening.ts';
import { isSupport } from '../../src/core/support.ts';

const due_at = new Date('2026-12-21T22:59:59.999Z');
const before = new Date(due_at.getTime() - 1);
const floor = (more: Partial<Floor> = {}): Floor => ({
  kind: 'floor',
  state: 'running',
  due_at,
  guards: ['conclusive_grounds'],
  ...more,
});

t.test('a floor holds back what it guards until it is due, whatever a sweep has seen', async t => {
  t.throws(() => requireReached('conclusive_grounds', [floor()], before), {
    code: 'too_early',
    extras: { members: { due_at: due_at.toISOString() } },
  });
  requireReached('conclusive_grounds', [floor()], due_at);
  requireReached('end_service', [floor()], before);
  requireReached('conclusive_grounds', [floor({ state: 'cancelled' })], before);
  requireReached('conclusive_grounds', [floor({ kind: 'deadline' })], before);
  requireReached('conclusive_grounds', [floor({ guards: null })], before);
  const later = floor({ due_at: new Date(due_at.getTime() + 1) });
  t.equal(floorBefore('conclusive_grounds', [floor(), later], before), later, 'the last of them');
});

t.test('what ends because of a decision is guarded, and nothing else', async t => {
  for (const code of FAIL_REASONS) t.equal(guardedEnd('fail', code), code === 'service_ended' ? 'end_service' : undefined, code);
  for (const code of OUTCOMES) t.equal(guardedEnd('complete', code), code === 'not_applicable' ? 'end_service' : undefined, code);
  for (const code of CLOSE_REASONS) t.equal(guardedClose(code), code === 'not_identified' ? 'close_case' : undefined, code);
});

t.test('the person may give up the days of rest alone', async t => {
  t.ok(isWaivable(floor()));
  t.notOk(isWaivable(floor({ kind: 'deadline' })));
  t.notOk(isWaivable(floor({ guards: ['end_service', 'close_case'] })));
  t.notOk(isWaivable(floor({ guards: ['conclusive_grounds', 'end_service'] })));
  t.notOk(isWaivable(floor({ guards: null })));
});

t.test('those who support the person', async t => {
  const supports = [
    'hotline',
    'council',
    'shelter',
    'health',
    'social_services',
    'school',
    'civil_society',
    'international_organisation',
  ];
  for (const kind of AGENCY_KINDS) t.equal(isSupport(kind), supports.includes(kind), kind);
});

t.test('a certificate stands from the day of the course to its last day', async t => {
  const held = [{ course: 'a', completed_on: '2026-01-10', expires_on: '2026-12-31' }];
  t.ok(isCertified([], [], '2026-06-01'), 'none is asked for');
  t.notOk(isCertified([], ['a'], '2026-06-01'));
  for (const [day, stands] of [
    ['2026-01-09', false],
    ['2026-01-10', true],
    ['2026-12-31', true],
    ['2027-01-01', false],
  ] as const)
    t.equal(isCertified(held, ['a'], day), stands, day);
  t.notOk(isCertified(held, ['a', 'b'], '2026-06-01'), 'each that is asked for');
  t.ok(isCertified([{ ...held[0]!, expires_on: null }], ['a'], '2050-01-01'));
});
