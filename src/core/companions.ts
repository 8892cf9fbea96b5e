import type { OfferStatus, SeparationState, Service } from './codes.ts';
import { isLive, isTaken } from './referral.ts';

/**
 * Where others are with whom the person was found, or from whom the person is kept apart: what of it keeps an agency from being
 * asked, and what speaks for it. Pure.
 */

export interface Companion {
  case_id: string;
  /** Of the same group. */
  grouped: boolean;
  /** Of the same family. */
  related: boolean;
  suspected: boolean;
  /** Somebody said that the two be kept apart, and it holds now. */
  separated: boolean;
  /** Whoever owns the person's case owns this one, too. */
  same_owner: boolean;
  /** Where the companion is asked for, or is. */
  offers: readonly { agency_id: string; service: Service; status: OfferStatus }[];
}

type Person = Pick<Companion, 'suspected'>;

/** Only one that is in force keeps anybody apart. */
export const separationState = (
  { agreed_at, until }: { agreed_at: Date | null; until: Date | null },
  now: Date,
): SeparationState => (until !== null && until <= now ? 'ended' : agreed_at === null ? 'proposed' : 'in_force');

/** An authority deals with each by itself at a time that it names, and often there is only one of it. */
const BY_APPOINTMENT: readonly Service[] = [
  'identification',
  'case_management',
  'criminal_investigation',
  'documentation_status',
  'labour_claim_wage_recovery',
];

/** Whether people who are given these services at one agency would meet there. */
const wouldMeet = (one: Service, other: Service): boolean => !BY_APPOINTMENT.includes(one) && !BY_APPOINTMENT.includes(other);

/** Who must not meet: whoever was said to, and in a family whoever is suspected and the rest of it. */
export const isKeptApart = (person: Person, other: Pick<Companion, 'separated' | 'related' | 'suspected'>): boolean =>
  other.separated || (other.related && (person.suspected || other.suspected));

/**
 * @param keep_together whether the route says that those of a group stay together; a family does whatever it says
 * @returns `apart_from`: the agencies at which somebody is from whom the person is kept apart, or may soon be for the same service;
 *   `together_with`: those that have, or are asked to take, family and others of the group for the same service. Whose case belongs
 *   to another owner draws nobody along: that would tell where somebody is.
 */
export function whereTheyAre(
  person: Person,
  companions: readonly Companion[],
  service: Service,
  keep_together: boolean,
): { apart_from: Set<string>; together_with: Set<string> } {
  const apart_from = new Set<string>();
  const together_with = new Set<string>();
  for (const companion of companions) {
    const apart = isKeptApart(person, companion);
    const together = !apart && companion.same_owner && (companion.related || (companion.grouped && keep_together));
    for (const offer of companion.offers) {
      const asked = isLive(offer) && offer.service === service;
      if (apart && wouldMeet(service, offer.service) && (asked || isTaken(offer))) apart_from.add(offer.agency_id);
      if (together && asked) together_with.add(offer.agency_id);
    }
  }
  return { apart_from, together_with };
}

/** Whether somebody is at the agency already from whom the person is kept apart. */
export const isThereAlready = (
  person: Person,
  companions: readonly Companion[],
  { agency_id, service }: { agency_id: string; service: Service },
): boolean =>
  companions.some(
    companion =>
      isKeptApart(person, companion) &&
      companion.offers.some(offer => offer.agency_id === agency_id && isTaken(offer) && wouldMeet(service, offer.service)),
  );
