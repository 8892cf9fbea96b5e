import type { Agency } from '../agency.ts';
import { expect, expectThat } from '../expect.ts';
import {
  act,
  arrivedNow,
  isAbout,
  look,
  type Matter,
  openCase,
  recordConsent,
  refer,
  type Stage,
  theOther,
  whoeverIsAsked,
} from '../stage.ts';
import { CONSENTED, expectNothingPrivate, SECOND_CALLER, SHELTER_TONIGHT, TO_A_SHELTER } from '../story.ts';

/** Whoever answered the telephone: a code, never a name. */
export const AT_THE_DUTY_DESK = 'NIGHT-7';
export const NOTE = 'Nobody of the day shift knows of this call, and every bed is taken.';

export interface Contested {
  matter: Matter;
  referral: string;
  /** For whom a yes was recorded that it contests. */
  contester: Agency;
  taker: Agency;
}

/** A yes on the telephone is written down by the sender, and taken back by the shelter for which it was written down. */
export async function contestTheTelephone(stage: Stage): Promise<Contested> {
  const { cast, timeline } = stage;
  const { step } = timeline;
  const { helpline, committee, shelter_a, shelter_b } = cast;
  step(helpline.name, 'takes a second call, and refers the caller to a shelter with her consent');
  const matter = await openCase(stage, helpline, 'the second caller', SECOND_CALLER);
  await recordConsent(matter, TO_A_SHELTER);
  const { id, offer } = await refer(matter, SHELTER_TONIGHT);
  const told_by = { channel: 'phone', at: new Date().toISOString(), staff_code: AT_THE_DUTY_DESK };
  const recorded = await act(helpline, id, 'accept', { told_by, offer_id: offer.id });
  expect('what was said counts', [recorded.status, recorded.offer.told?.[0]?.recorded_by], ['accepted', 'sender']);
  expectThat('the helpline rang a duty desk, and does not know whose', !('agency_id' in recorded.offer) && recorded.offer.placed);
  step(
    helpline.name,
    'rings the duty desk, for nobody looks at a screen there. They say yes; it writes down who said so, and when',
  );

  const contester = await whoeverIsAsked([shelter_a, shelter_b], offer.id);
  const isIt = isAbout(id);
  for (const who of [contester, committee]) {
    const { data } = await who.inbox.told('referral.accepted', isIt);
    expect(`${who.name} is told who wrote it down`, data.recorded_by, 'sender');
    expectThat('and until when it can be contested', Date.parse(data.contestable_until) > Date.now(), data.contestable_until);
  }
  step(committee.name, 'is told that a yes was taken by telephone, like the shelter itself');
  await contest(stage, contester, id);

  const taker = theOther(cast, contester);
  await taker.inbox.told('referral.offered', isIt);
  const taken = await act(taker, id, 'accept');
  expect('the other shelter takes her', taken.status, 'accepted');
  expect('and is told what she agreed to', Object.keys(taken.disclosure.data).sort(), [...CONSENTED].sort());
  expect('she has arrived', (await act(taker, id, 'confirm-handover', arrivedNow())).status, 'in_progress');
  step(taker.name, 'is asked next, says yes in its own system, and takes her in');
  await helpline.inbox.told('referral.handover_confirmed', isIt);
  const { offers } = await look(helpline, id);
  expect(
    'who said no and who said yes, neither by name',
    offers.map((it: object) => [(it as { status: string }).status, 'agency_id' in it]),
    [
      ['declined', false],
      ['in_progress', false],
    ],
  );
  step(helpline.name, 'is told that she is safe');
  return { matter, referral: id, contester, taker };
}

async function contest({ cast, timeline: { step } }: Stage, shelter: Agency, referral_id: string): Promise<void> {
  const { helpline, committee } = cast;
  const found = await look(shelter, referral_id);
  expectThat('the record can be contested', found.allowed_actions.includes('contest'), found.allowed_actions);
  expectThat('a yes opened her story to it', found.disclosure.data.narrative?.narrative === SECOND_CALLER.story);
  step(shelter.name, 'comes in for the day shift, and finds a woman on its list whom nobody there has agreed to take');

  const asked_anew = await act(shelter, referral_id, 'contest', { note: NOTE });
  expect('it is asked anew', asked_anew.status, 'offered');
  expect('as if for the first time', [asked_anew.disclosure, asked_anew.case_id], [undefined, undefined]);
  expectNothingPrivate('what it sees now', asked_anew);
  // Answered at once: the clock runs anew.
  const declined = await act(shelter, referral_id, 'decline', { reason_code: 'no_capacity' });
  expect('it says no itself', declined.status, 'declined');
  step(
    shelter.name,
    'contests: nobody there said yes. At once her data are closed to it, and it is asked anew. It is full, and says no',
  );
  for (const who of [helpline, committee]) await who.inbox.told('referral.contested', isAbout(referral_id));
  step(committee.name, 'is told that a yes on the telephone is contested. So is the helpline');
}
