import type { Relation } from '../core/access.ts';
import { Problem } from '../core/problem.ts';
import { contestableUntil, lifecycleTable, type Party, type ReferralAction } from '../core/referral.ts';
import type { Tx } from '../platform/database.ts';
import type { Services } from '../services.ts';
import type { Carrying } from './progress.ts';
import { sealExchange } from './sealed.ts';
import type { OfferRow } from './store.ts';

/**
 * Agencies without a system, and bad nights: sender or coordinator record what the receiver said by telephone. The receiver is
 * told, like everybody whom the step concerns, and the coordinator beside; the receiver may contest it for a while.
 */
export interface Telephone {
  told_by?: { channel: string; at: string; staff_code: string };
  /** Which receiver said it, where several were asked. */
  offer_id?: string;
}

/** Clocks of agencies may differ by this much before something lies in the future. */
const CLOCK_SKEW_MS = 5 * 60_000;

/** @throws Problem `unprocessable` for what has not happened yet */
export function requirePast(pointer: string, instant: string, now: Date): void {
  if (new Date(instant).getTime() > now.getTime() + CLOCK_SKEW_MS) throw fault(pointer, 'lies in the future');
}

/** @throws Problem `forbidden` for sender or coordinator who record what the receiver said without saying who said it */
export function requireOwnVoice(verb: ReferralAction, relations: readonly Relation[]): void {
  const records = relations.includes('sender') || relations.includes('coordinator');
  if (!lifecycleTable[verb].by_telephone || relations.includes('receiver') || !records) return;
  throw new Problem('forbidden', {
    detail: 'the act is the receiver’s: whoever records it for the receiver says so in `told_by`',
  });
}

/** @throws Problem `unprocessable` */
export function requireTelephone({ told_by, offer_id }: Telephone, offer: OfferRow | undefined, now: Date): void {
  if (told_by) {
    requirePast('/told_by/at', told_by.at, now);
    if (offer && new Date(told_by.at).getTime() < offer.offered_at.getTime() - CLOCK_SKEW_MS)
      throw fault('/told_by/at', 'lies before the agency was asked');
  } else if (offer_id !== undefined) throw fault('/offer_id', 'belongs to what is recorded for a receiver: `told_by` is missing');
}

const fault = (pointer: string, detail: string) => new Problem('unprocessable', { errors: [{ pointer, detail }] });

export const recorderOf = (relations: readonly Relation[]): Extract<Party, 'sender' | 'coordinator'> =>
  relations.includes('sender') ? 'sender' : 'coordinator';

/**
 * What recording adds to a step: who said it and when stands sealed with the offer and in the trail, and the coordinator is told.
 * @param said the step as the receiver itself would take it
 */
export async function recorded(
  services: Services,
  tx: Tx,
  offer: OfferRow,
  { verb, party, told_by }: { verb: ReferralAction; party: Party; told_by: NonNullable<Telephone['told_by']> },
  said: Carrying,
  now: Date,
): Promise<Carrying> {
  const recorded_by = party as 'sender' | 'coordinator';
  const at = new Date(told_by.at).toISOString();
  const record = { action: verb, recorded_at: now.toISOString(), recorded_by, ...told_by, at };
  const sealed = await sealExchange(services, tx, { ...offer, ...said.change }, exchange => ({
    ...exchange,
    told: [...(exchange.told ?? []), record],
  }));
  const contestable_until = contestableUntil(verb, now);
  return {
    ...said,
    change: { ...said.change, sealed, ...(contestable_until ? { contestable_until } : {}) },
    told: {
      ...said.told,
      parties: ['sender', 'owner', 'receiver', 'coordinator'],
      detail: { recorded_by, ...(contestable_until ? { contestable_until: contestable_until.toISOString() } : {}) },
    },
    detail: { told_by_channel: told_by.channel, told_by_staff_code: told_by.staff_code, told_at: at },
  };
}
