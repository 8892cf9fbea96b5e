import { type ExpressionBuilder, sql } from 'kysely';
import type { Tx } from '../platform/database.ts';
import type { Tables } from '../platform/tables.ts';
import type { OfferRow } from './store.ts';

/** Who is left by a service and by what it is followed. Runs as the router, but for `findFollowOn`. */

interface Due {
  referral_id: string;
  case_id: string;
}

const TAKEN = ['accepted', 'in_progress'] as const;

/** Referrals behind `after`, in the order of their ids, whose receiver leaves and whom nothing follows since it does. */
export const listFollowOnsDue = (tx: Tx, after: string, limit: number): Promise<Due[]> =>
  leaving(tx).where('o.referral_id', '>', after).orderBy('o.referral_id').limit(limit).execute();

/** Whether that is so of this one; looked at again once it is locked. */
export const isFollowOnDue = async (tx: Tx, referral_id: string): Promise<boolean> =>
  (await leaving(tx).where('o.referral_id', '=', referral_id).executeTakeFirst()) !== undefined;

/** Nobody's ownership is asked for in its name, and a case that is closed makes no referral. */
const leaving = (tx: Tx) =>
  tx
    .selectFrom('services as s')
    .innerJoin('offers as o', join => join.onRef('o.agency_id', '=', 's.agency_id').onRef('o.service', '=', 's.service'))
    .innerJoin('cases as c', 'c.id', 'o.case_id')
    .select(['o.referral_id', 'o.case_id'])
    .where('s.follow_on_since', 'is not', null)
    .where('s.service', '<>', 'case_management')
    .where('o.status', 'in', TAKEN)
    .where('c.stage', '<>', 'closed')
    // One that ended since then was ended by somebody, who will have known why.
    .where(({ not, exists, selectFrom }) =>
      not(
        exists(
          selectFrom('referrals as f')
            .select('f.id')
            .whereRef('f.follows_referral_id', '=', 'o.referral_id')
            .where(eb => eb.or([eb('f.ended', 'is', null), eb('f.created_at', '>=', eb.ref('s.follow_on_since'))])),
        ),
      ),
    );

/** Follow-ons behind `after`, in the order of their ids, that nobody has taken, while the service that they follow goes on after all. */
export const listNeedless = (tx: Tx, after: string, limit: number): Promise<Due[]> =>
  needless(tx).where('f.id', '>', after).orderBy('f.id').limit(limit).execute();

/** Whether that is so of this one; looked at again once it is locked. */
export const isNeedless = async (tx: Tx, referral_id: string): Promise<boolean> =>
  (await needless(tx).where('f.id', '=', referral_id).executeTakeFirst()) !== undefined;

const needless = (tx: Tx) =>
  tx
    .selectFrom('referrals as f')
    .select(['f.id as referral_id', 'f.case_id'])
    .where('f.follows_referral_id', 'is not', null)
    .where('f.ended', 'is', null)
    .where('f.status', 'not in', TAKEN)
    .where(eb => eb.exists(takenOf(eb).where('s.follow_on_since', 'is', null)));

const takenOf = (eb: ExpressionBuilder<Tables & { f: Tables['referrals'] }, 'f'>) =>
  eb
    .selectFrom('offers as o')
    .innerJoin('services as s', join => join.onRef('s.agency_id', '=', 'o.agency_id').onRef('s.service', '=', 'o.service'))
    .select(sql`1`.as('one'))
    .whereRef('o.referral_id', '=', 'f.follows_referral_id')
    .where('o.status', 'in', TAKEN);

/** The offer under which the person is served still, of the referral that is followed. */
export const findServing = (tx: Tx, referral_id: string): Promise<OfferRow | undefined> =>
  tx.selectFrom('offers').selectAll().where('referral_id', '=', referral_id).where('status', 'in', TAKEN).executeTakeFirst();

/** The newest referral that follows this one, as whoever runs `tx` may know of it. */
export const findFollowOn = async (tx: Tx, referral_id: string): Promise<string | undefined> => {
  const row = await tx
    .selectFrom('referrals')
    .select('id')
    .where('follows_referral_id', '=', referral_id)
    .orderBy('id', 'desc')
    .limit(1)
    .executeTakeFirst();
  return row?.id;
};
