import { randomBytes } from 'node:crypto';
import { type Begun, compareEvents, giveUp, keepApart } from './afterwards.ts';
import { type Agency, type Answer, must } from './agency.ts';
import { expect, expectThat } from './expect.ts';
import type { Told } from './receiver.ts';
import { CONSENTED, DANGER, expectNothingPrivate, PERSON, PRIVATE, STORY } from './story.ts';
import type { Timeline } from './timeline.ts';
import { readTheTrail } from './trail.ts';

/** Whoever takes part in the night, each by its own system. */
export type Cast = Record<'helpline' | 'shelter_a' | 'shelter_b' | 'inspection' | 'committee' | 'audit_body', Agency>;

export interface Stage {
  cast: Cast;
  timeline: Timeline;
  /** Where the clocks run in seconds. */
  jurisdiction: string;
  later(tidy: () => Promise<unknown>): void;
}

/** Of an emergency's offer in this jurisdiction. */
const RESPOND_MS = 4_000;

/** The night from the call to the auditor's reading. @throws NotAsTold at the first step that is not as told */
export async function playNight(stage: Stage): Promise<void> {
  const { cast, timeline, later } = stage;
  const { scene, step } = timeline;
  const { helpline, committee, inspection } = cast;
  const begun: Begun = {};
  later(() => giveUp(cast, begun));

  scene('A call at night');
  const { kase, consent } = await openCase(stage, begun);
  const referral = await refer(stage, kase.id, begun);
  const isOurs = (data: Told['data']) => data.referral_id === referral.id;

  scene('The first shelter stays silent');
  const first = await whoeverIsAsked([cast.shelter_a, cast.shelter_b], isOurs);
  const second = first === cast.shelter_a ? cast.shelter_b : cast.shelter_a;
  step(first.name, 'is asked first. Its phone rings, nobody answers');
  await committee.inbox.told('timer.breached', isOurs);
  step(committee.name, 'is told that a deadline passed unanswered, without learning whose story it is');
  await helpline.inbox.told('referral.expired', isOurs);
  const { data: over } = await first.inbox.told('referral.expired', isOurs);
  step(helpline.name, 'is told that the first shelter did not answer in time');

  scene('The second shelter is asked by itself');
  const { data: offer } = await second.inbox.told('referral.offered', isOurs);
  const waited_ms = await howLongTheFirstHad(helpline, referral.id);
  step(second.name, `is asked by the service itself, when the first one has had ${(waited_ms / 1_000).toFixed(1)} s`);
  const accepted = await askAndAccept(stage, second, offer.referral_id);
  await lookFromTheHelpline(stage, referral, isOurs);
  await comeTooLate(stage, first, over.referral_id);

  step(second.name, 'confirms the handover: she has arrived');
  const arrived = must(
    await second.worker.post(`/v1/referrals/${offer.referral_id}/confirm-handover`, { arrived_at: new Date().toISOString() }),
    200,
    'the shelter confirms the handover',
  );
  expect('the service has begun', arrived.body.status, 'in_progress');
  await helpline.inbox.told('referral.handover_confirmed', isOurs);
  step(helpline.name, 'is told that she is safe');

  scene('Somebody asks who has no business with it');
  await beRefused(stage, kase.id, referral.id);

  scene('She changes her mind');
  await withdraw(stage, second, consent.id, accepted);

  scene('The auditor reads the trail');
  await readTheTrail(stage, { case_id: kase.id, first, second, hidden: PRIVATE });

  scene('In the morning');
  step(second.name, 'reports the service as provided; the place is free for the next person');
  const done = await second.worker.post(`/v1/referrals/${offer.referral_id}/complete`, { outcome_code: 'service_provided' });
  expect('the referral is completed', must(done, 200, 'the shelter completes').body.status, 'completed');
  delete begun.referral_id;
  await helpline.inbox.told('referral.completed', isOurs);
  const closed = await helpline.supervisor.post(`/v1/cases/${kase.id}/close`, { reason_code: 'needs_met' });
  expect('the case is closed', must(closed, 200, 'the supervisor closes the case').body.stage, 'closed');
  delete begun.case_id;
  step(helpline.name, 'closes the case');
  await compareEvents(stage);
  keepApart(cast);
  expect(`${inspection.name} was told nothing by webhook`, inspection.inbox.events.filter(({ data }) => isOurs(data)).length, 0);
}

async function openCase({ cast, timeline, jurisdiction }: Stage, begun: Begun) {
  const { helpline } = cast;
  timeline.step(helpline.name, 'takes a call: a woman is locked in at her work and wants to leave tonight. A case is opened');
  const body = {
    track: 'named',
    jurisdiction,
    region: `${jurisdiction}-1`,
    risk: 'immediate',
    intake: { channel: 'hotline', received_at: new Date().toISOString(), narrative: STORY },
    person: PERSON,
    needs: ['shelter_accommodation'],
    danger_flags: DANGER,
  };
  const kase = must(await helpline.worker.post('/v1/cases', body), 201, 'the helpline opens a case').body;
  begun.case_id = kase.id;
  expect('the case has just been reported', kase.stage, 'reported');
  expect('the helpline owns the case', kase.owner_agency_id, helpline.id);

  timeline.step(
    helpline.name,
    'asks what may be passed on, and records her consent: to shelters, for a shelter, four kinds of data',
  );
  const given = {
    given_by: 'person',
    recipient: { agency_kind: 'shelter' },
    purposes: ['shelter_accommodation'],
    categories: CONSENTED,
    interview_language: 'ar',
    explained_by: 'duty-1',
    spoken_in_private: true,
  };
  const consent = must(await helpline.worker.post(`/v1/cases/${kase.id}/consents`, given), 201, 'consent is recorded').body;
  expect('the consent is live', consent.status, 'live');
  return { kase, consent };
}

async function refer({ cast, timeline }: Stage, case_id: string, begun: Begun) {
  const { helpline } = cast;
  timeline.step(helpline.name, 'refers her for shelter, as an emergency; the service chooses whom to ask');
  const need = { service: 'shelter_accommodation', urgency: 'emergency', routing: 'automatic', categories: CONSENTED };
  const answer = await helpline.worker.post(`/v1/cases/${case_id}/referrals`, need);
  const referral = must(answer, 201, 'the helpline refers').body;
  begun.referral_id = referral.id;
  expect('somebody is asked in the same moment', referral.status, 'offered');
  expectThat(
    'the place is protected: the helpline gets a region and a duty desk',
    'duty_contact' in (referral.offer.placed ?? {}),
  );
  timeline.step(helpline.name, 'learns that a shelter in the region is asked, not which one: the place is protected');
  return referral;
}

/** The first of them to hear that it is asked. Shelters that take the offer of another night on the same service do not count. */
const whoeverIsAsked = (shelters: Agency[], isOurs: (data: Told['data']) => boolean): Promise<Agency> =>
  Promise.any(shelters.map(async shelter => (await shelter.inbox.told('referral.offered', isOurs)) && shelter)).catch(
    (error: AggregateError) => Promise.reject(error.errors[0]),
  );

async function howLongTheFirstHad(helpline: Agency, referral_id: string): Promise<number> {
  const { offers } = must(await helpline.worker.get(`/v1/referrals/${referral_id}`), 200, 'the helpline looks').body;
  expect('the first offer expired, the second is made', [offers.length, offers[0].status], [2, 'expired']);
  const waited_ms = Date.parse(offers[0].ended_at) - Date.parse(offers[0].offered_at);
  expectThat(`the first shelter had its ${RESPOND_MS} ms to answer`, waited_ms >= RESPOND_MS, waited_ms);
  return waited_ms;
}

async function askAndAccept({ cast, timeline: { step } }: Stage, shelter: Agency, referral_id: string) {
  const { helpline } = cast;
  const path = `/v1/referrals/${referral_id}`;
  const isIt = (data: Told['data']) => data.referral_id === referral_id;
  const offered = must(await shelter.worker.get(path), 200, 'the asked shelter reads the offer').body;
  const { sex, age_band, dependants, danger_flags } = offered.profile ?? {};
  expect('it sees what it needs to decide', [sex, age_band, dependants, danger_flags], ['female', '25-59', 0, DANGER]);
  expect('it sees no disclosure', [offered.disclosure, offered.case_id], [undefined, undefined]);
  expectNothingPrivate('the offer before acceptance', offered);
  step(shelter.name, 'sees a woman of 25 to 59, no children, danger nearby: enough to decide. No name, no story');

  must(await shelter.worker.post(`${path}/receive`), 200, 'the shelter says that the offer arrived');
  step(shelter.name, 'asks back: can she climb stairs?');
  const question = { questions: ['The free room is on the third floor. Can she climb stairs?'] };
  const asking = must(await shelter.worker.post(`${path}/request-information`, question), 200, 'the shelter asks back').body;
  expect('the question waits for an answer', asking.status, 'info_requested');

  const { data } = await helpline.inbox.told('referral.information_requested', isIt);
  const open = must(await helpline.worker.get(`/v1/referrals/${data.referral_id}`), 200, 'the helpline reads the question').body;
  expect('the question arrived', open.offer.questions?.at(-1)?.questions, question.questions);
  step(helpline.name, 'answers: yes, she can');
  const answers = { answers: ['Yes, she can.'], offer_id: data.offer_id };
  must(await helpline.worker.post(`/v1/referrals/${data.referral_id}/provide-information`, answers), 200, 'the helpline answers');

  await shelter.inbox.told('referral.information_provided', isIt);
  const answered = must(await shelter.worker.get(path), 200, 'the shelter reads the answer').body;
  expect('the answer arrived', answered.offer.questions?.at(-1)?.answers, answers.answers);
  step(shelter.name, 'accepts. A bed is held');
  const accepted = must(await shelter.worker.post(`${path}/accept`, { note: 'bed 3' }), 200, 'the shelter accepts').body;
  expect('the referral is accepted', accepted.status, 'accepted');
  expect('what she consented to is open', Object.keys(accepted.disclosure?.data ?? {}).sort(), [...CONSENTED].sort());
  expect('the story is to be read', accepted.disclosure.data.narrative?.narrative, STORY);
  const kase = must(await shelter.worker.get(`/v1/cases/${accepted.case_id}`), 200, 'the shelter reads the case').body;
  expectThat('health was not asked for and stays closed', !kase.data.health && kase.withheld.includes('health'), kase.withheld);
  step(shelter.name, 'reads name, safe contact and story only now; her health, which nobody asked for, stays closed');
  return accepted;
}

async function lookFromTheHelpline({ cast, timeline }: Stage, { id }: { id: string }, isOurs: (data: Told['data']) => boolean) {
  const { helpline } = cast;
  await helpline.inbox.told('referral.accepted', isOurs);
  const seen = must(await helpline.worker.get(`/v1/referrals/${id}`), 200, 'the helpline reads its referral').body;
  const offers = seen.offers as { status: string; agency_id?: string; placed?: object }[];
  expect(
    'the helpline sees both offers',
    offers.map(({ status }) => status),
    ['expired', 'accepted'],
  );
  expect(
    'and of neither who it was',
    offers.map(offer => ['agency_id' in offer, 'placed' in offer]),
    [
      [false, true],
      [false, true],
    ],
  );
  timeline.step(helpline.name, 'is told: accepted. It can call the duty desk, and still does not know which house it is');
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
  const isIt = (data: Told['data']) => data.referral_id === id;
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
