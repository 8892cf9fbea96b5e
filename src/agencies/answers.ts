import { systemActor } from '../core/access.ts';
import { transact } from '../platform/database.ts';
import type { Services } from '../services.ts';
import { countAnswers } from './answers-store.ts';

/** Who mostly says yes counts for more when somebody is asked: of so many days. */
const LATELY_DAYS = 90;

/**
 * Counts by and by how services answered lately.
 * @returns false: it counts everything
 */
export async function countLately(services: Services): Promise<boolean> {
  const since = new Date(services.now().getTime() - LATELY_DAYS * 86_400_000);
  await transact(services, systemActor('router'), tx => countAnswers(tx, since));
  return false;
}
