/**
 * An inquiry: for some reason that has a name elsewhere, one auditor of the audit body wants to see what the trail says of persons,
 * and a second one agrees. For a day it waits for that, for another it is good.
 */

export const CONFIRMED_WITHIN_MS = 24 * 3_600_000;
export const GOOD_FOR_MS = 24 * 3_600_000;

export const INQUIRY_STATES = ['waiting', 'confirmed', 'expired'] as const;
export type InquiryState = (typeof INQUIRY_STATES)[number];

export interface Inquiry {
  /** Staff codes. */
  opened_by: string;
  confirmed_by: string | null;
  opened_at: Date;
  confirmed_at: Date | null;
}

/** Until when it waits, or is good. */
export const expiryOf = ({ opened_at, confirmed_at }: Inquiry): Date =>
  new Date(confirmed_at === null ? opened_at.getTime() + CONFIRMED_WITHIN_MS : confirmed_at.getTime() + GOOD_FOR_MS);

export function stateOf(inquiry: Inquiry, now: Date): InquiryState {
  if (now >= expiryOf(inquiry)) return 'expired';
  return inquiry.confirmed_at === null ? 'waiting' : 'confirmed';
}

/** Whether this person is one of the two. */
export const isOfTheTwo = ({ opened_by, confirmed_by }: Inquiry, staff_code: string): boolean =>
  [opened_by, confirmed_by].includes(staff_code);
