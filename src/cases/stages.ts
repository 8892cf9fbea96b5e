import type { Notice } from '../audit/record.ts';
import type { Role } from '../core/codes.ts';
import type { EventType } from '../core/events.ts';
import type { PackInForce } from '../core/rule-pack.ts';
import type { StageStep, Ways } from '../core/stages.ts';
import { asSystem, type Tx } from '../platform/database.ts';
import { listCoordinators, requestRouting } from '../referrals/store.ts';
import { type Identification, listAuthorities } from './decisions/store.ts';
import { type CaseRow, saveStage } from './store.ts';

/** Carries out what core/stages.ts decided, and says who is told of what becomes of a case. */

export const waysOf = ({ stages, decision_kinds }: Pick<PackInForce, 'stages' | 'decision_kinds'>): Ways => ({
  stages: stages.map(({ stage }) => stage),
  decision_kinds: decision_kinds.map(({ kind }) => kind),
});

/** Whom a change of the case itself concerns beside its owner. */
export interface Concerned {
  /** Those that accepted to decide on it. */
  authorities: Identification[];
  coordinators: string[];
}

export const findConcerned = (tx: Tx, { id, jurisdiction }: CaseRow): Promise<Concerned> =>
  asSystem(tx, 'router', async tx => {
    const [authorities, coordinators] = await Promise.all([listAuthorities(tx, [id]), listCoordinators(tx, jurisdiction)]);
    return { authorities, coordinators };
  });

/**
 * What owner, authorities and coordinator are told: the case is named to owner and coordinator; an authority knows it by its offer,
 * and what it is told counts along that referral. Whoever provides a service is told nothing: its duties stay as they are.
 * @param decided_by an authority that is told although its offer may be over
 */
export function caseNotices(
  type: EventType,
  { id: case_id, owner_agency_id, risk }: CaseRow,
  { authorities, coordinators }: Concerned,
  detail: Record<string, unknown>,
  decided_by?: string,
): Notice[] {
  const told = new Set<string>();
  const tell = (agency_id: string, ids: Record<string, string>, role: Role) => {
    if (told.has(agency_id)) return [];
    told.add(agency_id);
    return [{ agency_id, body: { ...ids, ...detail, notify: { roles: [role] } } }];
  };
  const about = { type, case_id, urgent: risk === 'immediate' };
  const knowing = [
    ...tell(owner_agency_id, { case_id }, 'caseworker'),
    ...coordinators.flatMap(agency_id => tell(agency_id, { case_id }, 'coordinator')),
  ];
  const by_offer = authorities.map(({ agency_id, referral_id, offer_id }) => ({
    ...about,
    subject_id: referral_id,
    referral_id,
    recipients: tell(agency_id, { referral_id, offer_id }, 'caseworker'),
  }));
  const decider = decided_by === undefined ? [] : tell(decided_by, {}, 'caseworker');
  return [{ ...about, subject_id: case_id, recipients: [...knowing, ...decider] }, ...by_offer];
}

/** Saves where the case now stands. @returns what is told of it; nothing where it stands where it stood */
export function changeStage(tx: Tx, found: CaseRow, { from, to }: StageStep, concerned: Concerned, now: Date): Notice[] {
  if (from === to) return [];
  asSystem(tx, 'router', tx => saveStage(tx, found.id, { stage: to }, now));
  requestRouting(tx, { case_id: found.id });
  return caseNotices('case.stage_changed', found, concerned, { stage: to });
}

/** The stages that an act led through, for the trail. */
export const stagesOf = ({ from, passes, to }: StageStep): { stages?: string[] } =>
  from === to ? {} : { stages: [from, ...passes, to] };
