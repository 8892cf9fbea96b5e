import type { Notice } from '../audit/record.ts';
import type { Role } from '../core/codes.ts';
import type { EventType } from '../core/events.ts';
import type { AgencyFacts, OfferRow, ReferralRow } from './store.ts';

/**
 * Who is told of a step, and what: decided in the act. The sender hears of every step of its referral, a receiver of its own
 * offers, the owner of everything on its case, the coordinator of what has gone wrong. An event holds ids, codes and times;
 * the case only for owner, sender and coordinator, a protected receiver for nobody but itself.
 */

export type Party = 'sender' | 'owner' | 'receiver' | 'coordinator';

const PARTIES: readonly Party[] = ['sender', 'owner', 'receiver'];
const WITH_COORDINATOR: readonly Party[] = [...PARTIES, 'coordinator'];

const TELLS: Partial<Record<EventType, readonly Party[]>> = {
  'referral.unplaced': ['sender', 'owner', 'coordinator'],
  'referral.parted': ['sender', 'owner', 'coordinator'],
  'referral.no_show': WITH_COORDINATOR,
  'referral.contested': WITH_COORDINATOR,
  'timer.breached': WITH_COORDINATOR,
};

/** What of a referral is looked at to tell of it. */
export interface Concerned {
  referral: Pick<ReferralRow, 'id' | 'case_id' | 'owner_agency_id' | 'sender_agency_id' | 'urgency' | 'region' | 'staff_code'>;
  /** The coordination committees of its jurisdiction. */
  coordinators: readonly string[];
  agencies: ReadonlyMap<string, Pick<AgencyFacts, 'duty_contact'>>;
}

export type ToldOffer = Pick<OfferRow, 'id' | 'agency_id' | 'location_protected' | 'staff_code'>;

export interface Told {
  offer?: ToldOffer | null;
  due_at?: Date | null;
  /** Instead of those whom the type tells. */
  parties?: readonly Party[];
  /** Recipients beside them, whatever they are to the referral. */
  also?: readonly string[];
  detail?: Record<string, unknown>;
}

/** The notice of `type` on a referral, about one of its offers where one is named. */
export function noticeOf(
  type: EventType,
  concerned: Concerned,
  { offer = null, due_at = null, parties, also = [], detail = {} }: Told = {},
): Notice {
  const { referral, coordinators } = concerned;
  const told = parties ?? TELLS[type] ?? PARTIES;
  const agencies = new Set<string>(also);
  if (told.includes('sender')) agencies.add(referral.sender_agency_id);
  if (told.includes('owner')) agencies.add(referral.owner_agency_id);
  if (told.includes('receiver') && offer) agencies.add(offer.agency_id);
  if (told.includes('coordinator')) for (const id of coordinators) agencies.add(id);
  return {
    type,
    subject_id: referral.id,
    referral_id: referral.id,
    case_id: referral.case_id,
    urgent: referral.urgency === 'emergency',
    recipients: [...agencies].map(agency_id => ({
      agency_id,
      body: {
        referral_id: referral.id,
        ...(offer ? { offer_id: offer.id, ...agencyOf(concerned, offer, agency_id) } : {}),
        ...(mayNameCase(concerned, agency_id) ? { case_id: referral.case_id } : {}),
        urgency: referral.urgency,
        ...(due_at ? { due_at: due_at.toISOString() } : {}),
        ...detail,
        notify: notify(concerned, offer, agency_id),
      },
    })),
  };
}

const mayNameCase = ({ referral, coordinators }: Concerned, agency_id: string): boolean =>
  agency_id === referral.owner_agency_id || agency_id === referral.sender_agency_id || coordinators.includes(agency_id);

/** The agency of an offer as `viewer_id` may know it. */
export function agencyOf(
  { referral, agencies }: Pick<Concerned, 'agencies'> & { referral: Pick<ReferralRow, 'region'> },
  offer: Pick<OfferRow, 'agency_id' | 'location_protected'>,
  viewer_id: string,
): { agency_id: string } | { placed: { region: string | null; duty_contact: string | null } } {
  if (!offer.location_protected || offer.agency_id === viewer_id) return { agency_id: offer.agency_id };
  return { placed: { region: referral.region, duty_contact: agencies.get(offer.agency_id)?.duty_contact ?? null } };
}

/** Whom the agency's own system should wake: the caseworker who has the matter in hand, where one has. */
function notify(
  { referral, coordinators }: Concerned,
  offer: ToldOffer | null,
  agency_id: string,
): { roles: Role[]; staff_code?: string } {
  if (agency_id === offer?.agency_id)
    return { roles: ['caseworker'], ...(offer.staff_code ? { staff_code: offer.staff_code } : {}) };
  if (agency_id === referral.sender_agency_id) return { roles: ['caseworker'], staff_code: referral.staff_code };
  return { roles: coordinators.includes(agency_id) ? ['coordinator'] : ['caseworker'] };
}
