import { randomBytes } from 'node:crypto';
import { type Agency, type Answer, must } from '../agency.ts';
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
  toldOf,
  whoeverIsAsked,
} from '../stage.ts';
import { CONSENTED, DANGER, expectNothingPrivate, FIRST_CALLER, SHELTER_TONIGHT, TO_A_SHELTER } from '../story.ts';

export const QUESTION = 'The free room is on the third floor. Can she climb stairs?';
export const ANSWER = 'Yes, as long as nobody hurries her.';

/** Of every offer in this jurisdiction. */
const RESPOND_MS = 4_000;

export interface FirstCall {
  matter: Matter;
  referral: string;
  /** Which shelter was asked first, and which one took her. */
  first: Agency;
  second: Agency;
}

/** From the call at night until she changes her mind. @throws NotAsTold at the first step that is not as told */
export async function playFirstCall(stage: Stage): Promise<FirstCall> {
  const { cast, timeline } = stage;
  const { scene, step } = timeline;
  const { helpline, committee } = cast;

  scene('A call at night');
  const { matter, consent_id, referral } = await call(stage);
  const isOurs = isAbout(referral.id);

  scene('The first shelter stays silent');
  const first = await whoeverIsAsked([cast.shelter_a, cast.shelter_b], referral.offer.id);
  const second = theOther(cast, first);
  step(first.name, 'is asked first. Its phone rings, nobody answers');
  await committee.inbox.told('timer.breached', isOurs);
  step(committee.name, 'is told that a deadline passed unanswered, without learning whose story it is');
  await helpline.inbox.told('referral.expired', isOurs);
  const { data: over } = await first.inbox.told('referral.expired', isOurs);
  step(helpline.name, 'is told that the first shelter did not answer in time');

  scene('The second shelter is asked by itself');
  const { data: offer } = await second.inbox.told('referral.offered', isOurs);
  const accepted = await askAndAccept(stage, second, offer.referral_id);
  await lookFromTheHelpline(stage, referral.id);
  await comeTooLate(stage, first, over.referral_id);

  step(second.name, 'confirms the handover: she has arrived');
  const arrived = await act(second, offer.referral_id, 'confirm-handover', arrivedNow());
  expect('the service has begun', arrived.status, 'in_progress');
  await helpline.inbox.told('referral.handover_confirmed', isOurs);
  step(helpline.name, 'is told that she is safe');

  scene('Somebody asks who has no business with it');
  await beRefused(stage, matter.case_id, referral.id);

  scene('She changes her mind');
  await withdraw(stage, second, consent_id, accepted);
  expect('the labour inspection was told nothing by webhook', toldOf(cast.inspection.inbox, referral.id), []);
  return { matter, referral: referral.id, first, second };
}

async function call(stage: Stage) {
  const { cast, timeline } = stage;
  const { helpline } = cast;
  timeline.step(helpline.name, 'takes a call: a woman is locked in at her work and wants to leave tonight. A case is opened');
  const matter = await openCase(stage, helpline, 'the first caller', FIRST_CALLER);
  timeline.step(
    helpline.name,
    'asks what may be passed on, and records her consent: to shelters, for a shelter, four kinds of data',
  );
  const consent_id = await recordConsent(matter, TO_A_SHELTER);
  timeline.step(helpline.name, 'refers her for shelter, urgently; the service chooses whom to ask');
  const referral = await refer(matter, { ...SHELTER_TONIGHT, urgency: 'urgent' });
  expectThat(
    'the place is protected: the helpline gets a region and a duty desk',
    'duty_contact' in (referral.offer.placed ?? {}),
  );
  timeline.step(helpline.name, 'learns that a shelter in the region is asked, not which one: the place is protected');
  return { matter, consent_id, referral };
}

async function askAndAccept({ cast, timeline: { step } }: Stage, shelter: Agency, referral_id: string) {
  const { helpline } = cast;
  const isIt = isAbout(referral_id);
  step(shelter.name, 'is asked by the service itself, at the end of the time that the first one had');
  // The clock runs until the question is open: it reads while it asks.
  const asks = async () => {
    await act(shelter, referral_id, 'receive');
    return act(shelter, referral_id, 'request-information', { questions: [QUESTION] });
  };
  const [offered, asking] = await Promise.all([look(shelter, referral_id), asks()]);
  const { sex, age_band, dependants, danger_flags } = offered.profile ?? {};
  expect('it sees what it needs to decide', [sex, age_band, dependants, danger_flags], ['female', '25-59', 0, DANGER]);
  expect('it sees no disclosure', [offered.disclosure, offered.case_id], [undefined, undefined]);
  expectNothingPrivate('the offer before acceptance', offered);
  step(shelter.name, 'sees a woman of 25 to 59, no children, danger nearby: enough to decide. No name, no story');

  step(shelter.name, 'asks back: can she climb stairs? Its clock stands still until it has the answer');
  expect('the question waits for an answer', asking.status, 'info_requested');
  const respond = asking.timers.find(({ name }: { name: string }) => name === 'respond');
  expect('and while it waits, the time to say yes or no does not pass', respond?.state, 'paused');

  const { data } = await helpline.inbox.told('referral.information_requested', isIt);
  const answer = { answers: [ANSWER], offer_id: data.offer_id };
  const [open] = await Promise.all([look(helpline, referral_id), act(helpline, referral_id, 'provide-information', answer)]);
  expectThat('the question arrived', open.offer.questions?.at(-1)?.questions[0] === QUESTION);
  step(helpline.name, 'answers: yes, she can');

  await shelter.inbox.told('referral.information_provided', isIt);
  const answered = await look(shelter, referral_id);
  expectThat('the answer arrived', answered.offer.questions?.at(-1)?.answers[0] === ANSWER);
  step(shelter.name, 'accepts. A bed is held');
  const accepted = await act(shelter, referral_id, 'accept', { note: 'bed 3' });
  expect('the referral is accepted', accepted.status, 'accepted');
  expect('what she consented to is open', Object.keys(accepted.disclosure?.data ?? {}).sort(), [...CONSENTED].sort());
  expectThat('the story is to be read', accepted.disclosure.data.narrative?.narrative === FIRST_CALLER.story);
  const kase = must(await shelter.worker.get(`/v1/cases/${accepted.case_id}`), 200, 'the shelter reads the case').body;
  expectThat('health was not asked for and stays closed', !kase.data.health && kase.withheld.includes('health'), kase.withheld);
  step(shelter.name, 'reads name, safe contact and story only now; her health, which nobody asked for, stays closed');
  return accepted;
}

async function lookFromTheHelpline({ cast: { helpline }, timeline: { step } }: Stage, referral_id: string): Promise<void> {
  await helpline.inbox.told('referral.accepted', isAbout(referral_id));
  const { offers } = await look(helpline, referral_id);
  expect(
    'the helpline sees both offers, and of neither who it was',
    offers.map((offer: { status: string }) => [offer.status, 'agency_id' in offer, 'placed' in offer]),
    [
      ['expired', false, true],
      ['accepted', false, true],
    ],
  );
  const waited_ms = Date.parse(offers[0].ended_at) - Date.parse(offers[0].offered_at);
  expectThat(`the first shelter had its ${RESPOND_MS} ms to answer`, waited_ms >= RESPOND_MS, waited_ms);
  step(helpline.name, 'is told: accepted. It can call the duty desk, and still does not know which house it is');
}

async function comeTooLate({ timeline }: Stage, shelter: Agency, referral_id: string): Promise<void> {
  timeline.step(shelter.name, 'wakes up and accepts, too late');
  const late = must(
    await shelter.worker.post(`/v1/referrals/${referral_id}/accept`, {}),
    409,
    'a stale acceptance is refused',
  ).body;
  const { code, state, allowed_actions } = late;
  expect(
    'it is told where it stands',
    { code, state, allowed_actions },
    { code: 'wrong_state', state: 'expired', allowed_actions: [] },
  );
  timeline.step(shelter.name, 'is refused (409): its offer has expired, nothing is left to do');
}

async function beRefused({ cast, timeline }: Stage, case_id: string, referral_id: string): Promise<void> {
  const { name, worker } = cast.inspection;
  timeline.step(name, 'got hold of the numbers of case and referral, from a misdirected message, and looks them up');
  const attempts: [what: string, id: string, look: (id: string) => Promise<Answer>][] = [
    ['case', case_id, id => worker.get(`/v1/cases/${id}`)],
    ['referral', referral_id, id => worker.get(`/v1/referrals/${id}`)],
    ['acceptance', referral_id, id => worker.post(`/v1/referrals/${id}/accept`, {})],
  ];
  for (const [what, id, look] of attempts) {
    const real = must(await look(id), 404, `a foreign agency is refused the ${what}`);
    const made_up = must(await look(madeUp(id)), 404, `a made-up ${what} is refused`);
    expect(`the refusal of the ${what} is alike to that of a made-up one`, faceOf(real), faceOf(made_up));
  }
  timeline.step(name, 'is told what it would be told of numbers that do not exist (404), letter by letter');
}

/** All of an answer but for the id of the request. */
const faceOf = ({ status, headers, body: { request_id: _, ...body } }: Answer) => ({ status, headers, body });

/** An id that nothing has: the time of `id`, other random characters behind it. */
const madeUp = (id: string): string => `${id.slice(0, -8)}${randomBytes(4).toString('hex')}`;

async function withdraw({ cast, timeline: { step } }: Stage, shelter: Agency, consent_id: string, { id }: { id: string }) {
  const { helpline } = cast;
  const isIt = isAbout(id);
  step(helpline.name, 'records that she withdraws her consent. She wants to stay where she is');
  const withdrawal = { spoken_in_private: true, stop_service: false };
  const over = must(
    await helpline.worker.post(`/v1/consents/${consent_id}/withdraw`, withdrawal),
    200,
    'consent is withdrawn',
  ).body;
  expect('the consent is withdrawn', over.status, 'withdrawn');
  const { data } = await shelter.inbox.told('consent.withdrawn', isIt);
  expect('the shelter is told what it lost', [...(data.categories ?? [])].sort(), [...CONSENTED].sort());

  const left = must(await shelter.worker.get(`/v1/referrals/${id}`), 200, 'the shelter reads its referral').body;
  expect('nothing is open to the shelter any more', [left.disclosure?.categories, left.disclosure?.data ?? {}], [[], {}]);
  expect('and its service goes on', left.status, 'in_progress');
  expectNothingPrivate('the referral after the withdrawal', left);
  const kase = must(await shelter.worker.get(`/v1/cases/${left.case_id}`), 200, 'the shelter reads the case').body;
  expect('nothing of the case is open either', kase.data ?? {}, {});
  expectNothingPrivate('the case after the withdrawal', kase);
  step(shelter.name, 'is told at once. Her data are closed and to be deleted; her bed stays hers: the service goes on');
}
