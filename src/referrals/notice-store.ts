import { sql } from 'kysely';
import type { Tx } from '../platform/database.ts';
import type { Concerned, ToldOffer } from './notices.ts';

interface NoticeFacts {
  referrals: ReadonlyMap<string, Concerned['referral']>;
  offers: ReadonlyMap<string, ToldOffer>;
  /** The coordination committees, and the receivers of these offers. */
  agencies: Concerned['agencies'];
  coordinatorsOf(jurisdiction: string): readonly string[];
}

interface About {
  referral_id: string | null;
  offer_id: string | null;
  receiver_agency_id: string | null;
}

/** What is needed to tell of many things at once, in a few statements whose texts never differ. Runs as a system role. */
export async function listNoticeFacts(tx: Tx, about: readonly About[]): Promise<NoticeFacts> {
  const idsOf = (name: keyof About) => [...new Set(about.flatMap(it => it[name] ?? []))];
  const [referrals, offers, agencies] = await Promise.all([
    tx
      .selectFrom('referrals')
      .select(['id', 'case_id', 'owner_agency_id', 'sender_agency_id', 'urgency', 'region', 'staff_code'])
      .where(sql<boolean>`id = any (${idsOf('referral_id')})`)
      .execute(),
    tx
      .selectFrom('offers')
      .select(['id', 'agency_id', 'location_protected', 'staff_code'])
      .where(sql<boolean>`id = any (${idsOf('offer_id')})`)
      .execute(),
    tx
      .selectFrom('agencies')
      .select(['id', 'kind', 'jurisdictions', 'duty_contact'])
      .where(sql<boolean>`(kind = 'coordination_committee' or id = any (${idsOf('receiver_agency_id')}))`)
      .orderBy('id')
      .execute(),
  ]);
  const committees = agencies.filter(({ kind }) => kind === 'coordination_committee');
  return {
    referrals: new Map(referrals.map(row => [row.id, row])),
    offers: new Map(offers.map(row => [row.id, row])),
    agencies: new Map(agencies.map(row => [row.id, row])),
    coordinatorsOf: jurisdiction =>
      committees.filter(({ jurisdictions }) => jurisdictions.includes(jurisdiction)).map(({ id }) => id),
  };
}
