import fc from 'fast-check';
import t from 'tap';
import { OFFER_STATUSES, type OfferStatus } from '../../src/core/codes.ts';
import { Problem } from '../../src/core/problem.ts';
import {
  allowedActions,
  contestableUntil,
  type Decision,
  decide,
  furthestOffer,
  impliesAcceptance,
  isAwaitingAnswer,
  isLive,
  isTaken,
  lifecycleTable,
  OFFER_TIMERS,
  type OfferState,
  type Party,
  type ReferralAction,
  type ReferralState,
  referralStatus,
  type TimerChange,
} from '../../src/core/referral.ts';

/**
 * The table "Referral and offer" of the domain contract, written down from the page, row by row and in its order. What the code
 * does is held against this, never against itself.
 */
interface Row {
  by: Party[];
  /** Statuses of the offer; `whole`: the referral as a whole, until an offer has reached one of `until`. */
  from: OfferStatus[] | 'whole';
  until?: OfferStatus[];
  to: OfferStatus | 'same';
  timers: TimerChange;
  follows?: 'next' | 'beside' | 'named' | 'ended';
  event: string;
}

const PAGE: Record<Exclude<ReferralAction, 'offer'>, Row> = {
  receive: { by: ['receiver'], from: ['offered'], to: 'received', timers: { meet: ['acknowledge'] }, event: 'received' },
  request_information: {
    by: ['receiver'],
    from: ['received'],
    to: 'info_requested',
    timers: { start: ['inform'], pause: ['respond'] },
    event: 'information_requested',
  },
  provide_information: {
    by: ['sender'],
    from: ['info_requested'],
    to: 'received',
    timers: { meet: ['inform'], resume: ['respond'] },
    event: 'information_provided',
  },
  waitlist: {
    by: ['receiver'],
    from: ['received', 'info_requested'],
    to: 'waitlisted',
    // The page does not name `inform`; a question that nobody may answer any more must not run on.
    timers: { meet: ['respond'], cancel: ['inform'], start: ['waitlist_review'] },
    follows: 'beside',
    event: 'waitlisted',
  },
  accept: {
    by: ['receiver'],
    from: ['offered', 'received', 'info_requested', 'waitlisted', 'expired'],
    to: 'accepted',
    timers: { meet: ['acknowledge', 'respond', 'waitlist_review'], cancel: ['inform'], start: ['handover'] },
    event: 'accepted',
  },
  decline: {
    by: ['receiver'],
    from: ['offered', 'received', 'info_requested', 'waitlisted'],
    to: 'declined',
    timers: { meet: ['acknowledge', 'respond'], cancel: 'rest' },
    follows: 'next',
    event: 'declined',
  },
  expire: {
    by: ['clock'],
    from: ['offered', 'received', 'info_requested', 'waitlisted'],
    to: 'expired',
    timers: { cancel: 'rest' },
    follows: 'next',
    event: 'expired',
  },
  reroute: {
    by: ['sender', 'coordinator'],
    from: 'whole',
    until: ['accepted', 'in_progress'],
    to: 'cancelled',
    timers: { cancel: 'rest' },
    follows: 'named',
    event: 'rerouted',
  },
  confirm_handover: {
    by: ['receiver'],
    from: ['offered', 'received', 'info_requested', 'waitlisted', 'accepted'],
    to: 'in_progress',
    timers: { meet: ['acknowledge', 'respond', 'waitlist_review', 'handover'], cancel: ['inform'], start: ['review'] },
    event: 'handover_confirmed',
  },
  report_no_show: {
    by: ['receiver'],
    from: ['accepted'],
    to: 'failed',
    timers: { cancel: 'rest', start: ['missing_person_check'] },
    follows: 'next',
    event: 'no_show',
  },
  review: {
    by: ['receiver'],
    from: ['in_progress'],
    to: 'same',
    timers: { meet: ['review'], start: ['review'] },
    event: 'reviewed',
  },
  complete: {
    by: ['receiver'],
    from: ['in_progress'],
    to: 'completed',
    timers: { meet: 'rest', start: ['follow_up'] },
    follows: 'ended',
    event: 'completed',
  },
  fail: {
    by: ['receiver'],
    from: ['accepted', 'in_progress'],
    to: 'failed',
    timers: { cancel: 'rest' },
    follows: 'next',
    event: 'failed',
  },
  cancel: {
    by: ['sender'],
    from: 'whole',
    until: ['in_progress'],
    to: 'cancelled',
    timers: { cancel: 'rest' },
    follows: 'ended',
    event: 'cancelled',
  },
  withdraw: {
    by: ['consent'],
    from: ['offered', 'received', 'info_requested', 'waitlisted', 'accepted', 'in_progress'],
    to: 'withdrawn',
    timers: { cancel: 'rest' },
    follows: 'next',
    event: 'withdrawn',
  },
  contest: {
    by: ['receiver'],
    from: ['accepted', 'in_progress', 'declined'],
    to: 'offered',
    timers: { cancel: 'rest', start: ['acknowledge', 'respond'] },
    event: 'contested',
  },
};

const ACTIONS = Object.keys(PAGE) as (keyof typeof PAGE)[];
const PARTIES: Party[] = ['sender', 'receiver', 'coordinator', 'router', 'clock', 'consent'];
/** Only one agency may hold a referral: these say yes to it, or take a yes that was recorded for them back. */
const ONLY_WHILE_NOTHING_ELSE_IS_ACCEPTED = ['accept', 'confirm_handover', 'contest'];

const LIVE = ['offered', 'received', 'info_requested', 'waitlisted', 'accepted', 'in_progress'];
const TAKEN = ['accepted', 'in_progress'];
const NOW = new Date('2026-11-21T19:00:00.000Z');
const HOUR = 3_600_000;
const TELEPHONE = new Date(NOW.getTime() + HOUR);

const offerOf = (id: string, status: OfferStatus, more: Partial<OfferState> = {}): OfferState => ({ id, status, ...more });

/** What the page says of one action in one situation. */
function pageAllows(action: keyof typeof PAGE, party: Party, referral: ReferralState, offer: OfferState): boolean {
  const row = PAGE[action];
  if (referral.ended !== null || !row.by.includes(party)) return false;
  if (row.from === 'whole') return !referral.offers.some(({ status }) => row.until!.includes(status));
  if (!row.from.includes(offer.status)) return false;
  const other_taken = referral.offers.some(({ id, status }) => id !== offer.id && TAKEN.includes(status));
  if (other_taken && ONLY_WHILE_NOTHING_ELSE_IS_ACCEPTED.includes(action)) return false;
  return action !== 'contest' || (offer.contestable_until != null && offer.contestable_until > NOW);
}

const tryTo = (action: ReferralAction, party: Party, referral: ReferralState, offer?: OfferState): Decision | Problem =>
  attempt(() => decide(action, party, referral, offer, NOW));

const attempt = (run: () => Decision): Decision | Problem => {
  try {
    return run();
  } catch (error) {
    if (error instanceof Problem) return error;
    throw error;
  }
};

t.test('the table names every action of the code, and no other', async t => {
  t.strictSame(Object.keys(lifecycleTable).sort(), [...ACTIONS, 'offer'].sort());
  t.strictSame(OFFER_TIMERS, ['acknowledge', 'respond']);
  t.strictSame(lifecycleTable.offer.by, ['sender', 'router', 'coordinator']);
});

t.test('every action × status × party, alone and beside another offer', async t => {
  const beside: (OfferStatus | null)[] = [null, ...OFFER_STATUSES];
  let allowed_count = 0;
  for (const action of ACTIONS) {
    const row = PAGE[action];
    for (const status of OFFER_STATUSES) {
      for (const other of beside) {
        for (const telephone of [null, TELEPHONE]) {
          const offer = offerOf('one', status, { contestable_until: telephone });
          const offers = other === null ? [offer] : [offerOf('two', other), offer];
          const referral: ReferralState = { ended: null, offers };
          // Two accepted offers cannot be.
          if (offers.every(({ status }) => TAKEN.includes(status)) && offers.length === 2) continue;
          for (const party of PARTIES) {
            const said = `${action} by ${party} on ${status} beside ${other ?? 'nothing'}`;
            const result = tryTo(action, party, referral, offer);
            if (!pageAllows(action, party, referral, offer)) {
              if (!(result instanceof Problem) || result.code !== 'wrong_state') t.fail(`${said} must be wrong_state`);
              else if (result.extras.members?.state !== (party === 'receiver' ? status : referralStatus(referral)))
                t.fail(`${said}: wrong state named`);
              continue;
            }
            allowed_count += 1;
            if (result instanceof Problem) {
              t.fail(`${said} must be allowed`);
              continue;
            }
            const to = row.to === 'same' ? status : row.to;
            const whole = row.from === 'whole';
            const main = whole ? offers.filter(isLive).map(({ id }) => id) : ['one'];
            const takes = action === 'accept' || action === 'confirm_handover';
            const siblings = takes ? offers.filter(({ id, status }) => id === 'two' && LIVE.includes(status)) : [];
            const expected: { id: string; to: string; timers: TimerChange }[] = [
              ...main.map(id => ({ id, to, timers: row.timers })),
              ...siblings.map(({ id }) => ({ id, to: 'cancelled', timers: { cancel: 'rest' as const } })),
            ];
            const got = result.steps.map(({ offer_id, to, timers }) => ({ id: offer_id, to, timers }));
            if (JSON.stringify(normal(got)) !== JSON.stringify(normal(expected))) t.strictSame(got, expected, said);
            if (result.follows !== (row.follows ?? null)) t.equal(result.follows, row.follows ?? null, said);
            if (result.event !== `referral.${row.event}`) t.equal(result.event, `referral.${row.event}`, said);
          }
        }
      }
    }
  }
  t.ok(allowed_count > 500, `${allowed_count} situations are allowed`);
});

/** Members in one order, lists of timers sorted: what is compared is which, not in what order they are written. */
const normal = (steps: { id: string; to: string; timers: TimerChange }[]) =>
  steps.map(({ id, to, timers }) => ({
    id,
    to,
    timers: ['meet', 'cancel', 'start', 'pause', 'resume'].map(name => {
      const change = timers[name as keyof TimerChange];
      return Array.isArray(change) ? change.toSorted() : (change ?? null);
    }),
  }));

t.test('an offer is not made by deciding on one', async t => {
  for (const party of PARTIES) t.type(tryTo('offer', party, { ended: null, offers: [] }), Problem);
});

t.test('once an act has ended the referral, nothing is allowed on any of its offers', async t => {
  for (const ended of ['completed', 'cancelled', 'withdrawn'] as const) {
    for (const status of OFFER_STATUSES) {
      const offer = offerOf('one', status, { contestable_until: TELEPHONE });
      const referral: ReferralState = { ended, offers: [offer] };
      t.equal(referralStatus(referral), ended);
      for (const party of PARTIES) {
        t.strictSame(allowedActions(party, referral, offer, NOW), [], `${party} on ${status} after ${ended}`);
        for (const action of ACTIONS) t.type(tryTo(action, party, referral, offer), Problem);
      }
    }
  }
});

t.test('the status of a referral is that of its furthest live offer', async t => {
  const order: OfferStatus[] = ['waitlisted', 'offered', 'received', 'info_requested', 'accepted', 'in_progress'];
  const over: OfferStatus[] = ['completed', 'declined', 'expired', 'failed', 'cancelled', 'withdrawn'];
  t.equal(referralStatus({ ended: null, offers: [] }), 'unplaced');
  t.equal(furthestOffer([]), undefined);
  for (const status of over) t.equal(referralStatus({ ended: null, offers: [offerOf('a', status)] }), 'unplaced', status);
  for (const [i, further] of order.entries()) {
    for (const less of [...order.slice(0, i + 1), ...over]) {
      const offers = [offerOf('a', less), offerOf('b', further)];
      t.equal(referralStatus({ ended: null, offers }), further, `${further} beside ${less}`);
      t.equal(referralStatus({ ended: null, offers: offers.toReversed() }), further, `${less} beside ${further}`);
    }
  }
});

t.test('a late yes counts while nobody else has said it', async t => {
  const late = offerOf('late', 'expired');
  const asked = offerOf('asked', 'received');
  const accepted = tryTo('accept', 'receiver', { ended: null, offers: [late, asked] }, late) as Decision;
  t.match(accepted.steps, [
    { offer_id: 'late', from: 'expired', to: 'accepted' },
    { offer_id: 'asked', from: 'received', to: 'cancelled', timers: { cancel: 'rest' } },
  ]);
  for (const status of ['accepted', 'in_progress'] as const) {
    const refused = tryTo('accept', 'receiver', { ended: null, offers: [late, offerOf('asked', status)] }, late) as Problem;
    t.match(refused.extras.members, { state: 'expired', allowed_actions: [] }, `another is ${status}`);
  }
  // Only an answer may be late: whoever declined, failed or was passed over may not come back by itself.
  for (const status of ['declined', 'failed', 'cancelled', 'withdrawn', 'completed'] as const) {
    const offer = offerOf('late', status);
    t.type(tryTo('accept', 'receiver', { ended: null, offers: [offer] }, offer), Problem, status);
  }
});

t.test('to confirm the handover of an offer implies accepting it', async t => {
  for (const status of ['offered', 'received', 'info_requested', 'waitlisted'] as const) {
    t.ok(impliesAcceptance('confirm_handover', offerOf('a', status)), status);
    t.ok(impliesAcceptance('accept', offerOf('a', status)), status);
  }
  t.notOk(impliesAcceptance('confirm_handover', offerOf('a', 'accepted')));
  t.notOk(impliesAcceptance('receive', offerOf('a', 'offered')));
});

t.test('what was recorded by telephone may be contested for 12 hours', async t => {
  for (const [contestable_until, allowed] of [
    [new Date(NOW.getTime() + 1), true],
    [NOW, false],
    [new Date(NOW.getTime() - HOUR), false],
    [null, false],
    [undefined, false],
  ] as const) {
    for (const status of ['accepted', 'in_progress', 'declined'] as const) {
      const offer = offerOf('a', status, { contestable_until });
      const result = tryTo('contest', 'receiver', { ended: null, offers: [offer] }, offer);
      t.equal(result instanceof Problem, !allowed, `${status} until ${contestable_until?.toISOString() ?? 'never'}`);
    }
  }
});

t.test('sender and coordinator may record four things for the receiver, as the receiver might do them', async t => {
  const by_telephone = ['receive', 'accept', 'decline', 'confirm_handover'];
  for (const action of ACTIONS) {
    for (const status of OFFER_STATUSES) {
      const offer = offerOf('a', status, { contestable_until: TELEPHONE });
      const referral: ReferralState = { ended: null, offers: [offer] };
      for (const party of PARTIES) {
        const may =
          by_telephone.includes(action) &&
          ['sender', 'coordinator'].includes(party) &&
          pageAllows(action, 'receiver', referral, offer);
        const result = attempt(() => decide(action, party, referral, offer, NOW, { by_telephone: true }));
        if (may) t.strictSame(result, decide(action, 'receiver', referral, offer, NOW), `${action} for ${status} by ${party}`);
        else if (!(result instanceof Problem)) t.fail(`${action} for ${status} by ${party} must be wrong_state`);
      }
    }
    const recorded = ['accept', 'decline', 'confirm_handover'].includes(action);
    t.strictSame(contestableUntil(action, NOW), recorded ? new Date(NOW.getTime() + 12 * HOUR) : null, action);
  }
});

t.test('what is listed as allowed is what is allowed', async () => {
  const arbitrary = fc.record({
    ended: fc.constantFrom(null, 'completed', 'cancelled', 'withdrawn') as fc.Arbitrary<ReferralState['ended']>,
    statuses: fc.array(fc.constantFrom(...OFFER_STATUSES), { maxLength: 5 }),
    party: fc.constantFrom(...PARTIES),
    at: fc.nat(4),
  });
  fc.assert(
    fc.property(arbitrary, ({ ended, statuses, party, at }) => {
      const offers = statuses.map((status, i) => offerOf(String(i), status));
      const referral = { ended, offers };
      const offer = offers[at];
      const listed = allowedActions(party, referral, offer, NOW);
      for (const action of ACTIONS) {
        const allowed = !(tryTo(action, party, referral, offer) instanceof Problem);
        if (allowed !== listed.includes(action)) throw new Error(`${action} by ${party}: listed is not allowed`);
      }
      return !listed.includes('offer');
    }),
  );
});

t.test('however a referral is walked, it keeps its promises', async () => {
  const move = fc.record({
    action: fc.constantFrom(...ACTIONS),
    party: fc.constantFrom(...PARTIES),
    at: fc.nat(8),
    named: fc.nat(8),
  });
  fc.assert(
    fc.property(fc.array(move, { maxLength: 60 }), moves => {
      const offers: OfferState[] = [offerOf('0', 'offered')];
      const referral: { ended: ReferralState['ended']; offers: OfferState[] } = { ended: null, offers };
      for (const { action, party, at } of moves) {
        const before = structuredClone(referral);
        const result = tryTo(action, party, referral, offers[at % offers.length]);
        if (JSON.stringify(referral) !== JSON.stringify(before)) throw new Error('decide changed what it was given');
        if (result instanceof Problem) continue;
        if (before.ended !== null) throw new Error('an ended referral allows nothing');
        for (const { offer_id, from, to } of result.steps) {
          const offer = offers.find(({ id }) => id === offer_id)!;
          if (offer.status !== from) throw new Error('a step starts where the offer stands');
          offer.status = to;
        }
        if (result.follows === 'ended') referral.ended = action === 'complete' ? 'completed' : 'cancelled';
        const asks =
          result.follows === 'named' || result.follows === 'beside' || (result.follows === 'next' && !offers.some(isLive));
        if (asks) offers.push(offerOf(String(offers.length), 'offered'));

        const taken = offers.filter(isTaken);
        if (taken.length > 1) throw new Error('two agencies hold it');
        if (taken.length === 1 && (action === 'accept' || action === 'confirm_handover') && offers.filter(isLive).length > 1) {
          throw new Error('another is still asked');
        }
        if (referral.ended !== null && offers.some(isLive)) throw new Error('an ended referral has a live offer');
        for (const offer of offers)
          if (isAwaitingAnswer(offer) !== (isLive(offer) && !isTaken(offer))) throw new Error('awaiting');
      }
      return true;
    }),
    { numRuns: 500 },
  );
});
