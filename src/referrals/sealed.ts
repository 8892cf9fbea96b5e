import { getDataKey } from '../platform/data-keys.ts';
import type { Tx } from '../platform/database.ts';
import { open, type Place, seal } from '../platform/vault.ts';
import type { Services } from '../services.ts';
import type { OfferRow } from './store.ts';

/** What referrals and offers hold in words: under the case's key, like a narrative. */

/** Of a referral: what the sender wrote for whoever accepts. */
export interface Sealed {
  note?: string;
  /** Of a lawful ground. */
  legal_basis?: string;
  requirements?: {
    languages?: string[];
    accessible?: boolean;
    accompanied?: boolean;
    transport?: boolean;
    specialities?: string[];
    separate_from?: string[];
  };
}

/** Of an offer: what sender and receiver asked, answered and noted. */
export interface Exchange {
  questions: { asked_at: string; questions: string[]; answered_at?: string; answers?: string[] }[];
  notes: { at: string; action: string; note: string }[];
  handover?: { arrived_at: string; accompanied_by?: string };
  /** What sender or coordinator recorded for the receiver, who said it by telephone. */
  told?: {
    action: string;
    recorded_at: string;
    recorded_by: 'sender' | 'coordinator';
    channel: string;
    at: string;
    staff_code: string;
  }[];
}

export const sealedPlace = (referral_id: string): Place => ({
  table: 'referrals',
  row: referral_id,
  category: 'referral',
  version: 1,
});
const exchangePlace = (offer_id: string): Place => ({ table: 'offers', row: offer_id, category: 'exchange', version: 1 });

export const EMPTY: Exchange = { questions: [], notes: [] };

/** What was exchanged on an offer so far. */
export async function readExchange(services: Services, tx: Tx, offer: OfferRow): Promise<Exchange> {
  if (!offer.sealed) return EMPTY;
  return open<Exchange>(await getDataKey(services, tx, offer.case_id), exchangePlace(offer.id), offer.sealed);
}

/** The exchange with a change, sealed for `saveOfferStatus`. */
export async function sealExchange(
  services: Services,
  tx: Tx,
  offer: OfferRow,
  change: (exchange: Exchange) => Exchange,
): Promise<Buffer> {
  const exchange = change(await readExchange(services, tx, offer));
  return seal(await getDataKey(services, tx, offer.case_id), exchangePlace(offer.id), exchange);
}
