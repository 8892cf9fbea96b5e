import type { Actor } from '../core/access.ts';
import { transact } from '../platform/database.ts';
import type { Services } from '../services.ts';
import { record } from './record.ts';

/**
 * Refusals that anybody can cause as often as they like (no valid token, a wrong secret, over the rate limit) are counted, not
 * kept one by one: an entry per client or address and minute, so that an attack shows in the trail and cannot flood it.
 */
export interface RefusalCounter {
  /**
   * Counts one refusal of `who` (a client id or an address). The first in a minute is recorded before this resolves, with how
   * many there were, of any kind, since the entry before.
   */
  count(who: string, refusal: { actor: Actor; action: string; code: string; request_id: string }): Promise<void>;
}

const MOST_COUNTED = 10_000;

export function createRefusalCounter(services: Services): RefusalCounter {
  const counted = new Map<string, { minute: number; unrecorded: number }>();
  return {
    async count(who, { actor, action, code, request_id }) {
      const minute = Math.floor(services.now().getTime() / 60_000);
      const last = counted.get(who);
      const unrecorded = (last?.unrecorded ?? 0) + 1;
      if (last?.minute === minute) {
        last.unrecorded = unrecorded;
        return;
      }
      counted.delete(who);
      if (counted.size >= MOST_COUNTED) counted.delete(counted.keys().next().value!);
      counted.set(who, { minute, unrecorded: 0 });
      await transact(services, actor, tx =>
        record(
          services,
          tx,
          actor,
          {
            action,
            outcome: 'denied',
            resource_type: action.split('.')[0]!,
            code,
            subjects: [{ subject_id: who, refusals: String(unrecorded) }],
          },
          request_id,
        ),
      );
    },
  };
}
