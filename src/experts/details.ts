import type { AGAINST_ROLES } from '../core/codes.ts';
import { findDataKeys } from '../platform/data-keys.ts';
import type { Tx } from '../platform/database.ts';
import { open, seal } from '../platform/vault.ts';
import type { Services } from '../services.ts';
import type { ExpertRequestDetailRow } from './store.ts';
import { detailsPlace, type Tie } from './ties.ts';

/**
 * What a request keeps of persons, and its note, until it is over: under the case's key, so that it is forgotten with the case; under
 * the deployment's where there is no case.
 */

export type Against = Tie<(typeof AGAINST_ROLES)[number]>;

export interface Details {
  against: Against[];
  note: string | null;
}

/** @throws Error where the case is unknown to whoever runs `tx` */
export async function sealDetails(
  services: Services,
  tx: Tx,
  { request_id, case_id }: { request_id: string; case_id: string | null },
  details: Details,
): Promise<Buffer> {
  if (case_id === null) return services.vault.sealOwn(detailsPlace(request_id), JSON.stringify(details));
  const key = (await findDataKeys(services, tx, [case_id])).get(case_id);
  if (!key) throw new Error('no data key for the case');
  return seal(key, detailsPlace(request_id), details);
}

const EMPTIED: Details = { against: [], note: null };

/** Nothing is left in it where the request is over. Undefined where whoever runs `tx` may not know the case, or it is forgotten. */
export async function openDetails(
  services: Services,
  tx: Tx,
  { request_id, case_id, sealed }: ExpertRequestDetailRow,
): Promise<Details | undefined> {
  const place = detailsPlace(request_id);
  if (case_id === null) return sealed ? (JSON.parse(services.vault.openOwn(place, sealed)) as Details) : EMPTIED;
  const key = (await findDataKeys(services, tx, [case_id])).get(case_id);
  return key && (sealed ? open<Details>(key, place, sealed) : EMPTIED);
}
