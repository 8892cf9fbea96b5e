import { type AgencyKind, CATEGORIES, type Category, type LawfulGround, type Purpose, type Service } from './codes.ts';

/**
 * What the person, or the law, lets an agency know. Pure decisions over the grants of one case: a grant covers an agency by
 * name or by kind, for purposes, with categories, while it is neither withdrawn nor expired.
 */

export interface Grant {
  recipient_agency_id: string | null;
  recipient_agency_kind: AgencyKind | null;
  purposes: readonly Purpose[];
  categories: readonly Category[];
  expires_at: Date | null;
  withdrawn_at: Date | null;
}

export interface Recipient {
  id: string;
  kind: AgencyKind;
}

/** A lawful ground named by the referring agency: it stands in for consent, for what was asked and no more. */
export interface Ground {
  code: LawfulGround;
  /** What its review found; one that was not upheld stands in for nothing. */
  upheld?: boolean;
}

const stands = (ground: Ground | null): boolean => ground !== null && ground.upheld !== false;

export interface Need {
  service: Service;
  /** What the sender asked to hand over. */
  categories: readonly Category[];
  lawful_ground: Ground | null;
}

/** Never on a ground alone; and what a report holds of its source never leaves the agency that took it, consent or not. */
export const NOT_BY_GROUND: readonly Category[] = ['source', 'protection_status'];

/** Kinds that learn a protection status only by a grant that names the agency. */
export const STATUS_ONLY_BY_NAME: readonly AgencyKind[] = ['labour_inspection', 'police', 'prosecution', 'ministry', 'consular'];

export const isLiveGrant = (grant: Grant, now: Date): boolean =>
  grant.withdrawn_at === null && (grant.expires_at === null || grant.expires_at > now);

const names = (grant: Grant, recipient: Recipient): boolean =>
  grant.recipient_agency_id === recipient.id || grant.recipient_agency_kind === recipient.kind;

/** Whether the grant was about this recipient and purpose, live or not. */
export const concerns = (grant: Grant, recipient: Recipient, purpose: Purpose): boolean =>
  names(grant, recipient) && grant.purposes.includes(purpose);

const grantsFor = (grants: readonly Grant[], recipient: Recipient, purpose: Purpose, now: Date): Grant[] =>
  grants.filter(grant => isLiveGrant(grant, now) && grant.purposes.includes(purpose) && names(grant, recipient));

/** Whether agency and purpose are covered at all: what an offer needs. A consulate is asked with consent only. */
export const mayBeAsked = (need: Need, grants: readonly Grant[], recipient: Recipient, now: Date): boolean =>
  (stands(need.lawful_ground) && recipient.kind !== 'consular') || grantsFor(grants, recipient, need.service, now).length > 0;

/** The categories that `recipient` may hold for this need now: what was asked, as far as a grant or the ground covers it. */
export function coveredCategories(need: Need, grants: readonly Grant[], recipient: Recipient, now: Date): Category[] {
  const live = grantsFor(grants, recipient, need.service, now);
  return need.categories.filter(category => {
    if (category === 'source') return false;
    if (stands(need.lawful_ground) && !NOT_BY_GROUND.includes(category)) return true;
    return live.some(
      grant =>
        grant.categories.includes(category) &&
        (category !== 'protection_status' ||
          grant.recipient_agency_id === recipient.id ||
          !STATUS_ONLY_BY_NAME.includes(recipient.kind)),
    );
  });
}

/** Whether a live grant names this very agency, which then need not be hidden from the sender even if its place is protected. */
export const isNamed = (grants: readonly Grant[], agency_id: string, now: Date): boolean =>
  grants.some(grant => isLiveGrant(grant, now) && grant.recipient_agency_id === agency_id);

/**
 * What an owner does not see of its own case. Whoever opened it wrote it all down; an agency to which it went over sees what
 * consent to its case management covers, or the ground on which it was asked: never the source.
 * @param asked what the referral by which it went over asked for
 */
export function withheldFromOwner(
  owner: Recipient,
  opened_by_agency_id: string | null,
  asked: Pick<Need, 'categories' | 'lawful_ground'> | undefined,
  grants: readonly Grant[],
  now: Date,
): Category[] {
  if (opened_by_agency_id === null || opened_by_agency_id === owner.id) return [];
  const service = 'case_management';
  const by_consent = coveredCategories({ service, categories: CATEGORIES, lawful_ground: null }, grants, owner, now);
  const on_ground = asked?.lawful_ground ? coveredCategories({ service, ...asked }, grants, owner, now) : [];
  return CATEGORIES.filter(category => ![...by_consent, ...on_ground].includes(category));
}

/** What is missing for this recipient; empty when everything asked for is covered. */
export const missingCategories = (need: Need, grants: readonly Grant[], recipient: Recipient, now: Date): Category[] => {
  const covered = coveredCategories(need, grants, recipient, now);
  return need.categories.filter(category => !covered.includes(category));
};
