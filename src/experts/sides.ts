import { findCase, findSealed } from '../cases/store.ts';
import { asSystem, type Tx } from '../platform/database.ts';
import { listCaseOffers } from '../referrals/store.ts';
import type { Services } from '../services.ts';
import type { Against } from './details.ts';
import { sought } from './ties.ts';

/** To whose side an expert must not belong, and whom not know: looked at by the service itself, and shown to nobody. */

/**
 * Whoever asks; of a case also its owner, and the agencies that were asked to do something for the person, but for protected places:
 * whoever declares to work for one of them would see by the expert that is missing where the person is.
 */
export async function sidesOf(tx: Tx, requester_agency_id: string, case_id: string | null): Promise<string[]> {
  if (case_id === null) return [requester_agency_id];
  return asSystem(tx, 'router', async tx => {
    const [found, offers] = await Promise.all([findCase(tx, case_id), listCaseOffers(tx, case_id)]);
    return [
      requester_agency_id,
      ...(found ? [found.owner_agency_id] : []),
      ...offers.flatMap(it => (it.location_protected ? [] : [it.agency_id])),
    ];
  });
}

/** The person of the case, whoever may read the name. */
export async function personOf(services: Services, tx: Tx, case_id: string): Promise<Against[]> {
  const sealed = await asSystem(tx, 'matcher', tx => findSealed(services, tx, { case_id }, ['identity']));
  const { identity } = sealed.open(['identity']);
  return identity ? [sought(services.vault, 'person', identity)] : [];
}
