import t from 'tap';
import { EVENT_TYPES } from '../../src/core/events.ts';
import { lifecycleTable } from '../../src/core/referral.ts';
import { type HistoryAct, type HistoryReader, mainEvent, mayKnowOf, referralsKnown } from '../../src/core/timeline.ts';

const AT = new Date('2026-11-21T19:00:00.000Z');
const LATER = new Date('2026-11-21T20:00:00.000Z');

const act = (more: Partial<HistoryAct> = {}): HistoryAct => ({ at: AT, action: 'case.amend', agency_id: 'another', ...more });
const reader = (more: Partial<HistoryReader> = {}): HistoryReader => ({
  agency_id: 'me',
  sees_all: false,
  holds: false,
  sent: new Set(),
  offers: new Set(),
  forgotten_at: null,
  ...more,
});

t.test('who may know of an act', t => {
  const all = reader({ sees_all: true });
  const sender = reader({ sent: new Set(['ref_1']) });
  const holder = reader({ holds: true, offers: new Set(['off_1']) });
  const again = reader({ holds: true, offers: new Set(['off_2']), forgotten_at: AT });
  const own = { agency_id: 'me' };
  const rows: [string, HistoryReader, HistoryAct, boolean][] = [
    ['the owner: of everything', all, act(), true],
    ['what the service did', all, act({ agency_id: null, action: 'referral.unplace' }), true],
    ["but not of another agency's own matters", all, act({ action: 'case.assign' }), false],
    ['nor of who looked there', all, act({ action: 'case.access_unassigned' }), false],
    ['of its own ones', all, act({ action: 'case.assign', ...own }), true],
    ['a sender: of its referral', sender, act({ referral_id: 'ref_1', offer_id: 'off_9' }), true],
    ['not of another', sender, act({ referral_id: 'ref_2' }), false],
    ['of a consent that meant something for it', sender, act({ referral_ids: ['ref_2', 'ref_1'] }), true],
    ['of no other consent', sender, act({ referral_ids: ['ref_2'] }), false],
    ['of nothing that is the case itself', sender, act(), false],
    ['who only sent: of no act that is not about that', sender, act(own), false],
    ['a holder: of its offer', holder, act({ referral_id: 'ref_1', offer_id: 'off_1' }), true],
    ["not of another's, on the same referral", holder, act({ referral_id: 'ref_1', offer_id: 'off_2' }), false],
    ['not of the referral as a whole', holder, act({ referral_id: 'ref_1' }), false],
    ['of a consent that meant something for its offer', holder, act({ referral_ids: ['ref_1'], offer_ids: ['off_1'] }), true],
    ["not of one that meant something for another's", holder, act({ referral_ids: ['ref_1'], offer_ids: ['off_2'] }), false],
    ['of what it did itself', holder, act(own), true],
    ['of whom it assigned', holder, act({ action: 'case.assign', ...own }), true],
    ['of nothing else', holder, act(), false],
    ['asked again: of the new offer', again, act({ offer_id: 'off_2' }), true],
    ['not of the one that it forgot, though it acted on it', again, act({ offer_id: 'off_1', at: LATER, ...own }), false],
    ['not of what it did before', again, act(own), false],
    ['nor of whom it assigned then', again, act({ action: 'case.assign', ...own }), false],
    ['but of what it did since', again, act({ at: LATER, ...own }), true],
    ['a stranger: of nothing', reader(), act(own), false],
  ];
  for (const [said, who, what, known] of rows) t.equal(mayKnowOf(what, who), known, said);
  t.end();
});

t.test('of a consent the reader is told its own referrals', t => {
  const what = act({ referral_ids: ['ref_1', 'ref_2', 'ref_3'] });
  const referral_of = new Map([
    ['off_2', 'ref_2'],
    ['off_3', 'ref_3'],
  ]);
  t.same(referralsKnown(what, reader({ sees_all: true }), referral_of), ['ref_1', 'ref_2', 'ref_3']);
  t.same(referralsKnown(what, reader({ sent: new Set(['ref_1']) }), referral_of), ['ref_1']);
  t.same(referralsKnown(what, reader({ offers: new Set(['off_2']) }), referral_of), ['ref_2']);
  t.same(referralsKnown(what, reader(), referral_of), []);
  t.same(referralsKnown(act(), reader({ sees_all: true }), referral_of), []);
  t.end();
});

t.test('an act is told as its main event', t => {
  for (const [verb, { event }] of Object.entries(lifecycleTable)) t.equal(mainEvent(`referral.${verb}`), event, verb);
  for (const action of ['case.open', 'case.close', 'case.reopen', 'case.transfer', 'consent.give', 'consent.withdraw']) {
    t.ok(EVENT_TYPES.includes(mainEvent(action)!), action);
  }
  t.equal(mainEvent('case.reopen'), 'case.reopened');
  t.equal(mainEvent('timer.breach'), 'timer.breached');
  for (const none of ['case.amend', 'referral.make', 'referral.toString', 'toString', 'disclosure.confirm_deletion'])
    t.equal(mainEvent(none), undefined, none);
  t.end();
});
