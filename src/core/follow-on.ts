import type { LawfulGround, Urgency } from './codes.ts';

/**
 * What is asked for when a service ends before the need does: the same for the same person, of whoever else there is, and soon.
 * Pure.
 */

interface Followed {
  urgency: Urgency;
  lawful_ground: { code: LawfulGround; person_informed: boolean; staff_code: string; upheld?: boolean } | null;
}

/**
 * How a follow-on is asked for. An emergency stays one, and nothing is less than urgent. A ground is named anew, and so reviewed
 * anew; one that was not upheld stands in for nothing here either.
 */
export const followOn = ({ urgency, lawful_ground }: Followed) =>
  ({
    urgency: urgency === 'emergency' ? 'emergency' : 'urgent',
    routing: 'automatic',
    recipient_agency_id: null,
    fallback: false,
    lawful_ground: lawful_ground && lawful_ground.upheld !== false ? namedAnew(lawful_ground) : null,
  }) as const;

const namedAnew = ({ code, person_informed, staff_code }: NonNullable<Followed['lawful_ground']>) => ({
  code,
  person_informed,
  staff_code,
});
