import { isKeptApart, isThereAlready } from '../core/companions.ts';
import { Problem } from '../core/problem.ts';
import { asSystem, type Tx } from '../platform/database.ts';
import type { Services } from '../services.ts';
import { isSuspected, listCompanions, lockPairs } from './companions-store.ts';
import type { LockedReferral } from './locked.ts';
import type { OfferRow } from './store.ts';

/**
 * Looks again, when an agency takes a person, at who is there already. Why it may not is not told: that would tell who is there.
 * @throws Problem `may_not_take`
 */
export const requireApart = (
  services: Services,
  tx: Tx,
  { referral: { case_id }, profile, companions }: LockedReferral,
  offer: OfferRow,
  now: Date,
): Promise<void> =>
  asSystem(tx, 'router', async tx => {
    const look = () => listCompanions(services, tx, { case_id }, now);
    const person = { suspected: isSuspected(profile) };
    const apart = (companions ?? (await look())).filter(other => isKeptApart(person, other));
    if (apart.length === 0) return;
    await lockPairs(
      tx,
      case_id,
      apart.map(other => other.case_id),
    );
    if (isThereAlready(person, await look(), offer)) throw new Problem('may_not_take');
  });
