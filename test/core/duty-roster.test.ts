import fc from 'fast-check';
import t from 'tap';
import { withNextCall, withoutCalls } from '../../src/core/clock.ts';
import { type DutyPerson, isSamePerson, nextInTurn, repeatedEntries } from '../../src/core/duty-roster.ts';
import { callsNow, isCalling, type TimerState } from '../../src/core/timer.ts';

const person = (staff_code: string, callable = true): DutyPerson => ({ agency_id: 'agy', staff_code, callable });
const [a, b, c] = [person('A'), person('B'), person('C')] as const;

t.test('the next on the roster', async t => {
  for (const [roster, last, next, said] of [
    [[a, b, c], null, a, 'first of all the first'],
    [[a, b, c], a, b, 'then in turn'],
    [[a, b, c], c, a, 'and from the top again'],
    [[a, b, c], person('X'), a, 'a roster put anew begins at its top'],
    [[a, person('B', false), c], a, c, 'who cannot be called is passed by'],
    [[a], a, a, 'who is alone is called again'],
    [[person('A', false)], null, undefined, 'nobody can be called'],
    [[], a, undefined, 'nobody is on it'],
  ] as const)
    t.strictSame(nextInTurn(roster, last), next, said);
});

t.test('everybody who can be called is called once in a round', async () => {
  fc.assert(
    fc.property(fc.array(fc.boolean(), { maxLength: 12 }), fc.nat(11), (callable, start) => {
      const roster = callable.map((is, i) => person(String(i), is));
      const able = roster.filter(entry => entry.callable);
      let last: DutyPerson | null = roster[start] ?? null;
      const called = able.map(() => {
        last = nextInTurn(roster, last)!;
        return last;
      });
      return able.every(entry => called.filter(it => isSamePerson(it, entry)).length === 1);
    }),
  );
});

t.test('who stands on it twice', async t => {
  t.strictSame(repeatedEntries([a, b, a, c, b, a]), [2, 4, 5]);
  t.strictSame(repeatedEntries([a, { ...a, agency_id: 'another' }]), []);
});

t.test('what calls', async t => {
  const timer = (more: Partial<TimerState> = {}): TimerState => ({
    name: 'handover',
    kind: 'deadline',
    state: 'breached',
    urgency: 'emergency',
    due_at: new Date(0),
    pause_reason: null,
    guards: null,
    calls: 0,
    called_agency_ids: null,
    acknowledged_at: null,
    ...more,
  });
  const escalate = [{ kind: 'breach' }, { kind: 'escalate' }] as const;
  t.ok(callsNow(timer(), escalate));
  for (const name of ['safety_ack', 'missing_person_check']) t.ok(callsNow(timer({ urgency: 'routine', name }), escalate), name);
  t.notOk(callsNow(timer({ urgency: 'urgent' }), escalate), 'no life hangs on it');
  t.notOk(callsNow(timer(), [{ kind: 'warn' }, { kind: 'breach' }]), 'a breach alone does not');
  t.notOk(callsNow(timer({ calls: 1 }), escalate), 'the next rung calls nobody anew');
  t.ok(callsNow(timer({ calls: 3 }), [{ kind: 'call' }]), 'a call is repeated');
  t.notOk(isCalling(timer()));
  t.ok(isCalling(timer({ called_agency_ids: [] })), 'also where the committees were told');
  t.notOk(isCalling(timer({ called_agency_ids: ['agy'], acknowledged_at: new Date(0) })));
});

t.test('calls stand among the other steps', async t => {
  const rung = { at: '2026-11-21T20:05:00.000Z', kind: 'escalate', level: 2, to: 'supervisor' } as const;
  const late = { at: '2026-11-21T20:20:00.000Z', kind: 'escalate', level: 3, to: 'coordinator' } as const;
  const call = { at: '2026-11-21T20:10:00.000Z', kind: 'call' } as const;
  t.strictSame(withNextCall([rung, late], new Date('2026-11-21T20:00:00.000Z')), [rung, call, late]);
  t.strictSame(withoutCalls([call, late]), { steps: [late], next_step_at: new Date(late.at) });
  t.strictSame(withoutCalls([call]), { steps: [], next_step_at: null });
});
