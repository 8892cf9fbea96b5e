import t from 'tap';
import { EXPERT_REQUEST_STATUSES } from '../../src/core/codes.ts';
import {
  allowedExpertActions,
  decideExpert,
  type ExpertAction,
  type ExpertParty,
  expertTable,
  isOver,
  showsContact,
  stepByItself,
} from '../../src/core/expert-request.ts';

/** Written from what is agreed upon, not from the table: who may do what in which state, and what comes of it. */
const EXPECTED: Readonly<Record<string, string>> = {
  'keeper confirm requested': 'confirmed',
  'keeper decline requested': 'declined',
  'requester cancel requested': 'cancelled',
  'requester cancel confirmed': 'cancelled',
  'keeper cancel confirmed': 'cancelled',
  'requester complete confirmed': 'completed',
};
const ACTIONS: readonly ExpertAction[] = ['confirm', 'decline', 'cancel', 'complete'];
const PARTIES: readonly ExpertParty[] = ['requester', 'keeper', 'clock', 'service'];

t.test('each act × party × state', async t => {
  for (const party of PARTIES)
    for (const action of ACTIONS)
      for (const status of EXPERT_REQUEST_STATUSES) {
        const to = EXPECTED[`${party} ${action} ${status}`];
        const what = `${party} ${action} ${status}`;
        if (to) t.equal(decideExpert(action, party, status).to, to, what);
        else t.throws(() => decideExpert(action, party, status), { code: 'wrong_state' }, what);
        t.equal(allowedExpertActions(party, status).includes(action), to !== undefined, `${what} is said`);
      }
});

t.test('what happens by itself', async t => {
  for (const status of EXPERT_REQUEST_STATUSES) {
    t.equal(stepByItself('expire', status)?.to, status === 'requested' ? 'expired' : undefined);
    const is_open = ['requested', 'confirmed'].includes(status);
    t.equal(stepByItself('fall_away', status)?.to, is_open ? 'cancelled' : undefined);
  }
});

t.test('nothing leads out of an end, and every end is told but that it was done', async t => {
  for (const { from, to, event } of Object.values(expertTable)) {
    t.ok(from.every(status => ['requested', 'confirmed'].includes(status)));
    t.equal(event === null, to === 'completed');
  }
});

t.test('how to reach an expert is read while it is confirmed, and a day longer', async t => {
  const to = new Date('2026-11-24T10:00:00Z');
  for (const status of EXPERT_REQUEST_STATUSES) t.equal(showsContact({ status, to }, to), status === 'confirmed');
  t.ok(showsContact({ status: 'confirmed', to }, new Date('2026-11-25T09:59:59.999Z')));
  t.notOk(showsContact({ status: 'confirmed', to }, new Date('2026-11-25T10:00:00Z')));
});

t.test('what is confirmed is over a day after its time, and what ended at once', async t => {
  const to = new Date('2026-11-24T10:00:00Z');
  const over = (at: string) => EXPERT_REQUEST_STATUSES.filter(status => isOver({ status, to }, new Date(at)));
  const ended = EXPERT_REQUEST_STATUSES.filter(status => !['requested', 'confirmed'].includes(status));
  t.strictSame(over('2026-11-20T00:00:00Z'), ended);
  t.strictSame(over('2026-11-25T09:59:59.999Z'), ended);
  t.strictSame(
    over('2026-11-25T10:00:00Z'),
    EXPERT_REQUEST_STATUSES.filter(status => status !== 'requested'),
  );
});
