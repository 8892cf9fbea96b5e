import { type Agency, must } from '../agency.ts';
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
import { expectNothingPrivate, SHELTER_TONIGHT, THIRD_CALLER, TO_A_SHELTER } from '../story.ts';

/** What she agrees to have passed on to a doctor. */
export const FOR_A_DOCTOR = ['demographics', 'health'];

const HOUR_MS = 3_600_000;

export interface Missed {
  matter: Matter;
  referral: string;
  /** Who waited for her in vain, and where she arrived. */
  waiter: Agency;
  taker: Agency;
  to_the_clinic: string;
  for_legal_aid: string;
}

/** Somebody does not arrive: she is looked for, and a bed is kept for her elsewhere until she is found. */
export async function followUpNoShow(stage: Stage): Promise<Missed> {
  const { cast, timeline } = stage;
  const { step } = timeline;
  const { helpline, committee, shelter_a, shelter_b } = cast;
  step(helpline.name, 'takes a third call, and refers the caller to a shelter with her consent');
  const matter = await openCase(stage, helpline, 'the third caller', THIRD_CALLER);
  await recordConsent(matter, TO_A_SHELTER);
  const { id, offer } = await refer(matter, SHELTER_TONIGHT);
  const isIt = isAbout(id);
  const waiter = await whoeverIsAsked([shelter_a, shelter_b], offer.id);
  expect('the shelter says yes', (await act(waiter, id, 'accept')).status, 'accepted');
  step(waiter.name, 'says yes, and waits at the door');

  const missed = await act(waiter, id, 'report-no-show');
  expect('for this shelter it is over', [missed.status, missed.offer.reason_code], ['failed', 'no_show']);
  step(waiter.name, 'reports that she did not come');
  const taker = theOther(cast, waiter);
  await taker.inbox.told('referral.offered', isIt);
  expect('the other shelter keeps a bed', (await act(taker, id, 'accept')).status, 'accepted');
  step(taker.name, 'is asked by the service itself, for the need stays open, and keeps a bed for her');
  for (const who of [helpline, committee]) await who.inbox.told('referral.no_show', isIt);
  step(committee.name, 'is told at once that somebody did not arrive. So is the helpline');

  const check = await missingPersonCheck(helpline, id);
  const { state, started_at, due_at, responsible_agency_id } = check;
  const lasts = Date.parse(due_at) - Date.parse(started_at);
  expect('the helpline has an hour to find her', [state, lasts, responsible_agency_id], ['running', HOUR_MS, helpline.id]);
  step(helpline.name, 'has an hour to find out where she is. A bed that is kept does not stop this clock');
  await arrive(stage, taker, id);
  return { matter, referral: id, waiter, taker, ...(await moreHelp(stage, matter)) };
}

async function arrive({ cast: { helpline }, timeline: { step } }: Stage, taker: Agency, id: string): Promise<void> {
  step(helpline.name, 'calls her at the hour and with the code word that are safe: she had hidden, and is on her way');
  expect('she arrives', (await act(taker, id, 'confirm-handover', arrivedNow())).status, 'in_progress');
  step(taker.name, 'confirms the handover: she has arrived');
  await helpline.inbox.told('referral.handover_confirmed', isAbout(id));
  const { state, met_at } = await missingPersonCheck(helpline, id);
  expectThat('nobody is missing any more', state === 'met' && met_at !== null, state);
  step(helpline.name, 'is told that she is safe; the clock has stopped');
}

async function missingPersonCheck(helpline: Agency, referral_id: string) {
  const { timers } = await look(helpline, referral_id);
  const checks = timers.filter(({ name }: { name: string }) => name === 'missing_person_check');
  expect('one clock runs for her', checks.length, 1);
  return checks[0];
}

/** A doctor, who is told another part of it than the shelter; and a lawyer, who is not told anything yet. */
async function moreHelp({ cast, timeline: { step } }: Stage, matter: Matter) {
  const { helpline, clinic, association } = cast;
  const { case_id } = matter;
  step(helpline.name, 'refers her to a doctor too, and for legal aid, each with a consent of its own');
  await recordConsent(matter, { recipient: { agency_kind: 'health' }, purposes: ['medical'], categories: FOR_A_DOCTOR });
  const medical = { service: 'medical', urgency: 'urgent', routing: 'automatic', categories: FOR_A_DOCTOR };
  const to_the_clinic: string = (await refer(matter, medical)).id;
  await clinic.inbox.told('referral.offered', isAbout(to_the_clinic));
  const taken = await act(clinic, to_the_clinic, 'accept');
  expect('the clinic takes her', [taken.status, taken.case_id], ['accepted', case_id]);
  expect('and is told of her health', taken.disclosure.data.health?.danger_flags, THIRD_CALLER.more.danger_flags);
  expectNothingPrivate('what the clinic reads', taken);
  const kase = must(await clinic.worker.get(`/v1/cases/${case_id}`), 200, 'the clinic reads the case').body;
  expect('the case shows the same', Object.keys(kase.data).sort(), FOR_A_DOCTOR);
  step(clinic.name, 'takes her, and reads what it needs to treat her. Not her name, nor what happened to her');

  const legal = { recipient: { agency_kind: 'civil_society' }, purposes: ['legal_aid'], categories: ['identity', 'narrative'] };
  await recordConsent(matter, legal);
  const aid = { service: 'legal_aid', urgency: 'routine', routing: 'automatic', categories: legal.categories };
  const for_legal_aid: string = (await refer(matter, aid)).id;
  await association.inbox.told('referral.offered', isAbout(for_legal_aid));
  await act(association, for_legal_aid, 'receive');
  const waits = await act(association, for_legal_aid, 'waitlist');
  expect('legal aid has to wait', [waits.status, waits.disclosure], ['waitlisted', undefined]);
  expectNothingPrivate('what the association is asked', waits);
  step(association.name, 'puts her on its waiting list: a profile without a name is all it sees until it says yes');
  return { to_the_clinic, for_legal_aid };
}
