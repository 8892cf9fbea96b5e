import type { Actor } from '../core/access.ts';
import { transact } from '../platform/database.ts';
import type { Services } from '../services.ts';
import { record } from './record.ts';

/**
 * Refusals that anybody can cause as often as they like (no valid token, a wrong secret, over the rate limit) are counted, not
 * kept one by one: an entry per client or address and minute, so that an attack shows in the trail and cannot flood it. What
 * came after that entry is in the next one, which is written when the minute is over, if nothing is refused again before.
 */
export interface RefusalCounter {
  /**
   * Counts one refusal of `who` (a client id or an address). The first in a minute is recorded before this resolves, with how
   * many there were, of any kind, since the entry before.
   */
  count(who: string, refusal: Refusal): Promise<void>;
  /** Records what is not recorded yet. */
  close(): Promise<void>;
}

interface Refusal {
  actor: Actor;
  action: string;
  code: string;
  /** What the answer does not say: a code, for the audit body alone. */
  reason?: string;
  request_id: string;
}

interface Counted {
  unrecorded: number;
  latest: Refusal & { minute: number };
  /** The latest minute of which an entry is committed. */
  recorded_minute: number;
  writing: Promise<void> | null;
}

const MOST_COUNTED = 10_000;
const LOOK_EVERY_MS = 10_000;

export function createRefusalCounter(services: Services, { look_every_ms = LOOK_EVERY_MS } = {}): RefusalCounter {
  const counted = new Map<string, Counted>();
  const thisMinute = () => Math.floor(services.now().getTime() / 60_000);

  /** One entry of all that is unrecorded, which counts as recorded once it is committed. */
  function write(who: string, it: Counted): Promise<void> {
    it.writing ??= writeEntry(services, who, it).finally(() => {
      it.writing = null;
    });
    return it.writing;
  }

  async function makeRoom(): Promise<void> {
    const [oldest] = counted.size < MOST_COUNTED ? [] : counted;
    if (!oldest) return;
    const [who, it] = oldest;
    if (it.unrecorded > 0) await write(who, it);
    if (it.unrecorded === 0 && counted.get(who) === it) counted.delete(who);
  }

  async function recordRest(isDue: (it: Counted) => boolean): Promise<void> {
    for (const [who, it] of [...counted].filter(([, it]) => isDue(it))) {
      try {
        if (it.unrecorded > 0) await write(who, it);
        if (it.unrecorded === 0 && counted.get(who) === it) counted.delete(who);
      } catch (error) {
        // They stay counted, and so do those of everybody else until the database is there again.
        services.log.warn({ err: error, refusals: it.unrecorded }, 'counted refusals were not recorded');
        return;
      }
    }
  }

  let looking = Promise.resolve();
  const timer = setInterval(() => {
    const minute = thisMinute();
    looking = looking.then(() => recordRest(it => it.latest.minute < minute));
  }, look_every_ms);
  timer.unref();

  return {
    async count(who, refusal) {
      const minute = thisMinute();
      if (!counted.has(who)) await makeRoom();
      const it = counted.get(who) ?? { unrecorded: 0, latest: { ...refusal, minute }, recorded_minute: -1, writing: null };
      counted.set(who, it);
      it.unrecorded += 1;
      it.latest = { ...refusal, minute };
      // An entry that was being written already may be of the minute before.
      while (it.recorded_minute < minute) await write(who, it);
    },
    async close() {
      clearInterval(timer);
      await looking;
      await recordRest(() => true);
    },
  };
}

async function writeEntry(services: Services, who: string, it: Counted): Promise<void> {
  const { unrecorded, latest } = it;
  const { actor, action, code, reason, request_id, minute } = latest;
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
        subjects: [{ subject_id: who, refusals: String(unrecorded), ...(reason ? { reason } : {}) }],
      },
      request_id,
    ),
  );
  it.unrecorded -= unrecorded;
  it.recorded_minute = minute;
}
