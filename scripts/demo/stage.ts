import { type Agency, must } from './agency.ts';
import { expect } from './expect.ts';
import type { Inbox, Told } from './receiver.ts';
import { caseOf, type Somebody } from './story.ts';
import type { Timeline } from './timeline.ts';

/** Who plays what: keys of the credentials file. Whoever has nothing to do tonight must not hear of it either. */
export const PARTS = {
  helpline: 'helpline_a',
  other_helpline: 'helpline_b',
  shelter_a: 'shelter_a',
  shelter_b: 'shelter_b',
  shelter_for_men: 'shelter_c',
  inspection: 'labour_inspection',
  prosecution: 'prosecution',
  clinic: 'health',
  association: 'civil_society',
  committee: 'committee',
  audit_body: 'audit_body',
} as const;

/** Whoever takes part in the night, each by its own system. */
export type Cast = Record<keyof typeof PARTS, Agency>;

export interface Stage {
  cast: Cast;
  timeline: Timeline;
  /** Where the clocks run in seconds. */
  jurisdiction: string;
  /** Everything that was begun, to be ended in the morning, or when the night is broken off. */
  matters: Matter[];
}

/** A case of the night, and the referrals that were made in it. */
export interface Matter {
  /** In words, for whoever looks on. */
  called: string;
  owner: Agency;
  case_id: string;
  referral_ids: string[];
  closed: boolean;
}

/** @throws NotAsTold where the case cannot be opened, or is not what was written down */
export async function openCase(
  { jurisdiction, matters }: Stage,
  owner: Agency,
  called: string,
  somebody: Somebody,
): Promise<Matter> {
  const body = caseOf(somebody, jurisdiction);
  const kase = must(await owner.worker.post('/v1/cases', body), 201, `${owner.name} opens the case of ${called}`).body;
  const matter: Matter = { called, owner, case_id: kase.id, referral_ids: [], closed: false };
  matters.push(matter);
  expect('the case has just been reported', kase.stage, 'reported');
  expect('whoever opened it owns it', kase.owner_agency_id, owner.id);
  return matter;
}

/** Opens a case for each of those who were found together, in one call. */
export async function openGroup(
  { jurisdiction, matters }: Stage,
  owner: Agency,
  found: readonly { called: string; somebody: Somebody }[],
): Promise<{ group_id: string; opened: Matter[] }> {
  const body = { cases: found.map(({ somebody }) => caseOf(somebody, jurisdiction)) };
  const answer = must(await owner.worker.post('/v1/groups', body), 201, `${owner.name} opens their cases`).body;
  const opened = found.map(({ called }, i): Matter => {
    const { id } = answer.cases[i];
    return { called, owner, case_id: id, referral_ids: [], closed: false };
  });
  matters.push(...opened);
  return { group_id: answer.group_id, opened };
}

/** Records that the person, spoken to alone, agreed. @returns the id of the consent */
export async function recordConsent(
  { owner, case_id, called }: Matter,
  agreed: { recipient: object; purposes: string[]; categories: string[] },
): Promise<string> {
  const given = {
    ...agreed,
    given_by: 'person',
    interview_language: 'ar',
    explained_by: 'duty-1',
    spoken_in_private: true,
  };
  const answer = await owner.worker.post(`/v1/cases/${case_id}/consents`, given);
  const consent = must(answer, 201, `the consent of ${called} is recorded`).body;
  expect('the consent is live', consent.status, 'live');
  return consent.id;
}

/** @returns the referral as its sender sees it, when the first agency is asked */
export async function refer(matter: Matter, need: object) {
  const { owner, case_id, called, referral_ids } = matter;
  const answer = await owner.worker.post(`/v1/cases/${case_id}/referrals`, need);
  const referral = must(answer, 201, `${owner.name} refers ${called}`).body;
  referral_ids.push(referral.id);
  expect('somebody is asked in the same moment', referral.status, 'offered');
  return referral;
}

/** One step of the referral's way, by the system of an agency. @returns the referral as that agency then sees it */
export async function act(agency: Agency, referral_id: string, verb: string, body: object = {}) {
  const answer = await agency.worker.post(`/v1/referrals/${referral_id}/${verb}`, body);
  return must(answer, 200, `${agency.name} does: ${verb}`).body;
}

export const arrivedNow = () => ({ arrived_at: new Date().toISOString() });

export const look = async ({ worker, name }: Agency, referral_id: string) =>
  must(await worker.get(`/v1/referrals/${referral_id}`), 200, `${name} reads the referral`).body;

export const isAbout =
  (referral_id: string) =>
  (data: Told['data']): boolean =>
    data.referral_id === referral_id;

/** The one of them that is asked by this offer, when it has heard of it. */
export const whoeverIsAsked = (shelters: readonly Agency[], offer_id: string): Promise<Agency> =>
  Promise.any(
    shelters.map(async it => (await it.inbox.told('referral.offered', data => data.offer_id === offer_id)) && it),
  ).catch((error: AggregateError) => Promise.reject(error.errors[0]));

export const theOther = ({ shelter_a, shelter_b }: Cast, shelter: Agency): Agency =>
  shelter === shelter_a ? shelter_b : shelter_a;

/** Everything that the agency was told of the referral so far. */
export const toldOf = ({ events }: Inbox, referral_id: string): Told[] =>
  events.filter(({ data }) => data.referral_id === referral_id);
