import { must } from '../agency.ts';
import { expect, expectThat } from '../expect.ts';
import { act, isAbout, look, type Matter, openGroup, recordConsent, refer, type Stage } from '../stage.ts';
import { expectNothingPrivate, FOUND_MAN, FOUND_WOMAN, nameless } from '../story.ts';

/** What the man agrees to have passed on, and what was asked for of the woman. */
export const FOR_THE_PROSECUTION = ['identity', 'contact', 'narrative', 'labour'];
/** What the law makes the inspection report. */
export const BY_LAW = ['labour'];

const DAY_MS = 24 * 3_600_000;

export interface Found {
  man: Matter;
  woman: Matter;
  nameless: Matter;
  /** Of the man, by his consent. */
  his_referral: string;
  /** Of the record without a name, by law. */
  report: string;
}

/** Two workers are found together. One wants to testify, the other does not, and the law asks for a report all the same. */
export async function findTwoWorkers(stage: Stage): Promise<Found> {
  const { man, woman } = await speakWithEach(stage);
  const his_referral = await referTheMan(stage, man, woman);
  await respectHerNo(stage, woman);
  return { man, woman, his_referral, ...(await reportByLaw(stage)) };
}

async function speakWithEach(stage: Stage): Promise<{ man: Matter; woman: Matter }> {
  const { cast, timeline } = stage;
  const { inspection } = cast;
  timeline.step(inspection.name, 'finds two workers, a man and a woman, locked into one room of a building site');
  const { group_id, opened } = await openGroup(stage, inspection, [
    { called: 'the man from the site', somebody: FOUND_MAN },
    { called: 'the woman from the site', somebody: FOUND_WOMAN },
  ]);
  const [man, woman] = opened as [Matter, Matter];
  expectThat('two people are two cases', man.case_id !== woman.case_id);
  for (const [{ case_id, called }, { story }] of [
    [man, FOUND_MAN],
    [woman, FOUND_WOMAN],
  ] as const) {
    const answer = await inspection.worker.get(`/v1/cases/${case_id}`);
    const kase = must(answer, 200, `the inspection reads the case of ${called}`).body;
    expect('both were found together', kase.group_id, group_id);
    expectThat('each case holds the words of one interview', kase.data.narrative?.narrative === story);
  }
  timeline.step(
    inspection.name,
    'speaks with each alone: two interviews, two cases, and one number that says they were found together',
  );
  return { man, woman };
}

async function referTheMan({ cast, timeline: { step } }: Stage, man: Matter, woman: Matter): Promise<string> {
  const { inspection, prosecution } = cast;
  step(inspection.name, 'asks each alone: may the prosecution be told? He says yes. She says no');
  const recipient = { agency_id: prosecution.id };
  await recordConsent(man, { recipient, purposes: ['criminal_investigation'], categories: FOR_THE_PROSECUTION });

  step(inspection.name, 'refers the man to the prosecution, to be heard apart from the woman');
  const kept_apart = { separate_from: [woman.case_id] };
  const referral = await refer(man, { ...toTheProsecution(prosecution.id), requirements: kept_apart });
  await prosecution.inbox.told('referral.offered', isAbout(referral.id));
  const offered = await look(prosecution, referral.id);
  expect('a matching profile', [offered.profile?.sex, offered.profile?.age_band], ['male', '25-59']);
  expect('no disclosure before the yes', [offered.disclosure, offered.case_id], [undefined, undefined]);
  expectNothingPrivate('what the prosecution is asked', offered);

  const taken = await act(prosecution, referral.id, 'accept');
  expect('the prosecution takes it', taken.status, 'accepted');
  expect('he agreed to this much', Object.keys(taken.disclosure.data).sort(), [...FOR_THE_PROSECUTION].sort());
  expectThat('his words are to be read', taken.disclosure.data.narrative?.narrative === FOUND_MAN.story);
  const kase = must(await prosecution.worker.get(`/v1/cases/${man.case_id}`), 200, 'the prosecution reads his case').body;
  expectThat('his protection status stays closed', kase.withheld.includes('protection_status'), kase.withheld);
  expect('whom he was found with is not said', kase.group_id, undefined);
  step(prosecution.name, 'decides to take his case, and reads what he agreed to. Whether his papers are in order it is not told');
  await inspection.inbox.told('referral.accepted', isAbout(referral.id));
  const seen = await look(inspection, referral.id);
  expect('the sender sees that it was taken', seen.status, 'accepted');
  expect('and from whom he is to be kept apart', seen.requirements, kept_apart);
  return referral.id;
}

const toTheProsecution = (recipient_agency_id: string) => ({
  service: 'criminal_investigation',
  urgency: 'urgent',
  routing: 'direct',
  recipient_agency_id,
  categories: FOR_THE_PROSECUTION,
});

async function respectHerNo({ cast, timeline: { step } }: Stage, woman: Matter): Promise<void> {
  const { inspection, prosecution } = cast;
  step(inspection.name, 'is about to refer the woman in the same way');
  const path = `/v1/cases/${woman.case_id}/referrals`;
  const attempt = await inspection.worker.post(path, toTheProsecution(prosecution.id));
  const refusal = must(attempt, 409, 'without her consent nothing is referred').body;
  expect('it says what is missing', [refusal.code, refusal.categories], ['consent_missing', FOR_THE_PROSECUTION]);
  expect('and on which grounds the law would let this office do without', [...refusal.lawful_grounds].sort(), [
    'child_safeguarding',
    'court_order',
    'imminent_danger_to_life',
    'mandatory_report',
  ]);
  const { data } = must(await inspection.worker.get('/v1/referrals?box=outgoing&limit=200'), 200, 'what was sent').body;
  const hers = data.filter(({ case_id }: { case_id?: string }) => case_id === woman.case_id);
  expect('there is no referral of the woman', hers.length, 0);
  step(
    inspection.name,
    'is refused (409): she did not consent. Only danger to life, a child at risk, a court order or a duty to report would do',
  );
}

async function reportByLaw(stage: Stage): Promise<{ nameless: Matter; report: string }> {
  const { cast, timeline, jurisdiction, matters } = stage;
  const { step } = timeline;
  const { inspection, prosecution } = cast;
  step(inspection.name, 'has a duty to report the site, not her: in a third record, without a name or a word of anybody');
  const opened = must(await inspection.worker.post('/v1/cases', nameless(jurisdiction)), 201, 'a record without a name').body;
  const matter = { called: 'the report without a name', owner: inspection, case_id: opened.id, referral_ids: [], closed: false };
  matters.push(matter);
  const need = {
    ...toTheProsecution(prosecution.id),
    service: 'identification',
    categories: BY_LAW,
    lawful_ground: { code: 'mandatory_report', person_informed: true },
  };
  const { id, lawful_ground } = await refer(matter, need);
  expect('the ground is named, and not reviewed yet', [lawful_ground.code, lawful_ground.upheld], ['mandatory_report', null]);
  await prosecution.inbox.told('referral.offered', isAbout(id));
  const taken = await act(prosecution, id, 'accept');
  expect('only what the law asks for', Object.keys(taken.disclosure.data), BY_LAW);
  expectNothingPrivate('the report', taken);
  step(prosecution.name, 'takes the report: what work, what kind of force. Not who');

  const review = async () => (await look(inspection, id)).timers.find(({ name }: { name: string }) => name === 'ground_review');
  const { state, started_at, due_at } = await review();
  expect('somebody has a day to look at it', [state, Date.parse(due_at) - Date.parse(started_at)], ['running', DAY_MS]);
  const own = await inspection.worker.post(`/v1/referrals/${id}/review-ground`, { upheld: true });
  expect('whoever named the ground does not judge it', must(own, 403, 'the inspector reviews himself').body.code, 'forbidden');
  step(
    inspection.name,
    'has named the law in place of a consent. Within 24 hours a colleague must look at that; not the same person (403)',
  );
  const reviewed = await inspection.supervisor.post(`/v1/referrals/${id}/review-ground`, { upheld: true });
  const { upheld, reviewed_at } = must(reviewed, 200, 'the supervisor reviews the ground').body.lawful_ground;
  expect('it is upheld', upheld, true);
  expectThat('in time', Date.parse(reviewed_at) < Date.parse(due_at), reviewed_at);
  expect('the clock is met', (await review()).state, 'met');
  step(inspection.name, 'has it looked at by the supervisor, who upholds it');
  return { nameless: matter, report: id };
}
