import { randomUUID } from 'node:crypto';
import { systemActor } from '../core/access.ts';
import { transact } from '../platform/database.ts';
import type { Outbound } from '../platform/outbound.ts';
import type { Services } from '../services.ts';
import { AT_ONCE, type Claim, claimNext, endTurn, listDue, releaseClaims } from './claim-store.ts';
import { createSender, hasArrived, report, type Sender } from './delivery.ts';

/**
 * A turn at an endpoint: one process attempts what can be attempted there until nothing is left. It claims as much at a time as
 * soon begins, has a bounded number under way, and keeps the order within each referral or case: what waits begins when everything
 * claimed before it has arrived or is parked, and is given back where that failed.
 */
export interface Turn {
  /** There may be more: looks for an emergency at once, for others when what it holds runs low. */
  look(urgent: boolean): void;
  /** How many were attempted. @throws Error the first one that kept an attempt from being made or settled */
  ended: Promise<number>;
}

interface Options {
  /** Lets no further attempt begin. */
  signal?: AbortSignal;
  /**
   * Called once the turn looks no more, in the same instant: whoever comes then begins another. After a failure that is before the
   * last attempts are over, for which no emergency waits.
   */
  onEnd?: () => void;
}

const RELAY = systemActor('relay');

/** What is claimed together: more where the last of it began within this time, fewer where it took twice as long. */
const BEGUN_WITHIN_MS = 150;
const MOST_AT_ONCE = 128;
/** A claim older than this is given back and looked at anew: its recipient may have lost access meanwhile. */
const BEGIN_WITHIN_MS = 1_000;
/** Claims that were longer on their way, as to a process that stood still, are given back too: little is left of them. */
const CLAIMED_WITHIN_MS = 4_000;
/** Another process may have been told that there is more. */
const LOOK_AGAIN_MS = 1_000;

/** A claim until it is settled or given back. */
interface Item {
  claim: Claim;
  claimed_at: number;
  state: 'waiting' | 'ready' | 'begun' | 'over' | 'held_back';
  /** The claims of its subject, itself among them, in their order. */
  line: Item[];
}

const kindOf = ({ claim }: Item): 'urgent' | 'ordinary' => (claim.urgent ? 'urgent' : 'ordinary');

export function startTurn(services: Services, sender: Sender, endpoint_id: string, { signal, onEnd }: Options = {}): Turn {
  const ready: Record<'urgent' | 'ordinary', Item[]> = { urgent: [], ordinary: [] };
  /** Claimed and not over; of these, being sent. */
  const held = { urgent: 0, ordinary: 0 };
  const sending = { urgent: 0, ordinary: 0 };
  const late: Item[] = [];
  let attempted = 0;
  let asked = true;
  /** The last look found less than it wished for, and nobody has said since that there may be more. */
  let is_dry = false;
  let is_told = false;
  let is_looking = false;
  let pacing: NodeJS.Timeout | undefined;
  let at_once = AT_ONCE.ordinary;
  let failure: { error: unknown } | undefined;
  let is_over = false;
  const end = Promise.withResolvers<number>();
  const turn = randomUUID();

  const isStopped = (): boolean => failure !== undefined || signal?.aborted === true;

  function step(): void {
    if (is_over) return;
    for (const kind of ['urgent', 'ordinary'] as const) {
      while (sending[kind] < AT_ONCE[kind] && ready[kind].length > 0) {
        const is_stale = performance.now() - ready[kind][0]!.claimed_at > BEGIN_WITHIN_MS;
        if (is_stale) claimLess();
        if (is_stale || isStopped()) void giveBack(ready[kind].splice(0));
        else begin(ready[kind].shift()!);
      }
    }
    if (!is_looking && !isStopped()) {
      const wish = { urgent: AT_ONCE.urgent - held.urgent, ordinary: Math.max(0, at_once - held.ordinary) };
      const runs_low = !is_dry && !pacing && held.ordinary < Math.max(AT_ONCE.ordinary, at_once / 2);
      if ((asked || runs_low) && (wish.urgent > 0 || wish.ordinary > 0)) void look(wish);
    }
    const is_idle = !is_looking && held.urgent + held.ordinary === 0;
    if (!is_idle || (pacing && !isStopped())) return;
    is_over = true;
    clearTimeout(pacing);
    clearInterval(again);
    signal?.removeEventListener('abort', stop);
    if (!failure) onEnd?.();
    void leaveTurn();
  }

  function fail(error: unknown): void {
    if (failure) return;
    failure = { error };
    onEnd?.();
  }

  async function leaveTurn(): Promise<void> {
    // Else the last look ended it.
    if (isStopped()) await transact(services, RELAY, tx => endTurn(tx, endpoint_id, turn)).catch(() => {});
    if (failure) end.reject(failure.error);
    else end.resolve(attempted);
  }

  async function look(wish: { urgent: number; ordinary: number }): Promise<void> {
    is_looking = true;
    asked = false;
    is_told = false;
    try {
      const { claims, asked_at, paced_ms } = await transact(services, RELAY, tx =>
        claimNext(tx, endpoint_id, services.now(), { ...wish, turn, held: { ...held } }),
      );
      is_dry = !is_told && claims.filter(({ urgent }) => !urgent).length < wish.ordinary;
      if (paced_ms !== null && !pacing) pacing = setTimeout(lookPaced, paced_ms);
      take(claims, asked_at);
    } catch (error) {
      fail(error);
    }
    is_looking = false;
    step();
  }

  function lookPaced(): void {
    pacing = undefined;
    asked = true;
    step();
  }

  function take(claims: readonly Claim[], asked_at: number): void {
    const claimed_at = performance.now();
    const lines = new Map<string, Item[]>();
    // By turns a predecessor may stand behind: a line is in the order of the acts.
    for (const claim of [...claims].sort((a, b) => a.event.sequence - b.event.sequence)) {
      const line = lines.get(claim.subject_id) ?? [];
      lines.set(claim.subject_id, line);
      line.push({ claim, claimed_at, state: 'waiting', line });
    }
    const items = new Map([...lines.values()].flat().map(item => [item.claim.id, item]));
    for (const item of items.values()) held[kindOf(item)] += 1;
    if (claimed_at - asked_at > CLAIMED_WITHIN_MS) void giveBack([...items.values()]);
    else for (const { id } of claims) letBegin(items.get(id)!);
  }

  /** As far as it waits for nothing any more. */
  function letBegin(item: Item): void {
    if (item.state !== 'waiting') return;
    const before = item.claim.waits ? item.line.slice(0, item.line.indexOf(item)) : [];
    if (before.some(({ state }) => state !== 'over')) return;
    item.state = 'ready';
    ready[kindOf(item)].push(item);
  }

  function begin(item: Item): void {
    item.state = 'begun';
    if (!item.claim.urgent && ready.ordinary.length === 0) adapt(performance.now() - item.claimed_at);
    void attempt(item).catch(error => {
      fail(error);
      leave(item, 'held_back');
    });
  }

  /** @param waited_ms how long the last of what was claimed together waited */
  function adapt(waited_ms: number): void {
    if (waited_ms < BEGUN_WITHIN_MS) at_once = Math.min(MOST_AT_ONCE, at_once + AT_ONCE.ordinary);
    else if (waited_ms > 2 * BEGUN_WITHIN_MS) claimLess();
  }

  function claimLess(): void {
    at_once = Math.max(AT_ONCE.ordinary, Math.floor(at_once / 2));
  }

  async function attempt(item: Item): Promise<void> {
    const kind = kindOf(item);
    sending[kind] += 1;
    const made = await sender.attempt(item.claim, item.claimed_at + BEGIN_WITHIN_MS).finally(() => {
      sending[kind] -= 1;
    });
    if (!made) return giveBackLate(item);
    // Broken off by the end of this process it is nobody's failure: another process makes the attempt again.
    if (made.result.error !== null && signal?.aborted) return giveBack([item]);
    if (!hasArrived(made.result)) at_once = AT_ONCE.ordinary;
    step();
    const settled = await sender.settle(made);
    attempted += 1;
    if (settled) report(services, made, settled);
    // Where another attempt was settled meanwhile, the look for what comes next sees what that came to.
    leave(item, settled && settled.state !== 'pending' ? 'over' : 'held_back');
  }

  /** Ends the claim of an item, and lets begin what waited for it, or gives that back. */
  function leave(item: Item, state: 'over' | 'held_back'): void {
    item.state = state;
    held[kindOf(item)] -= 1;
    // The last look may have been before that: what waited for it alone can be attempted now.
    if (held.urgent + held.ordinary === 0) asked = true;
    const behind = item.line.slice(item.line.indexOf(item) + 1).filter(({ state }) => state === 'waiting');
    if (state === 'over') for (const next of behind) letBegin(next);
    else {
      const in_vain = behind.filter(({ claim }) => claim.waits);
      if (in_vain.length > 0) void giveBack(in_vain);
    }
    step();
  }

  /** As many have waited in vain in the same moment. */
  function giveBackLate(item: Item): void {
    at_once = AT_ONCE.ordinary;
    if (late.push(item) === 1) setImmediate(() => void giveBack(late.splice(0)));
  }

  async function giveBack(items: readonly Item[]): Promise<void> {
    for (const item of items) item.state = 'held_back';
    const claims = items.map(({ claim }) => claim);
    // They run out by themselves.
    await transact(services, RELAY, tx => releaseClaims(tx, claims)).catch(fail);
    for (const item of items) leave(item, 'held_back');
  }

  function stop(): void {
    clearTimeout(pacing);
    pacing = undefined;
    step();
  }

  const again = setInterval(() => {
    asked = true;
    step();
  }, LOOK_AGAIN_MS);
  signal?.addEventListener('abort', stop);
  step();
  return {
    look(urgent) {
      is_told = true;
      is_dry = false;
      asked ||= urgent;
      step();
    },
    ended: end.promise,
  };
}

/** Attempts what can be attempted now at an endpoint. @returns how many were */
export const deliver = (services: Services, outbound: Outbound, endpoint_id: string, options?: Options): Promise<number> =>
  startTurn(services, createSender(services, outbound), endpoint_id, options).ended;

/** Attempts whatever can be attempted now, without the queue. @returns how many were */
export async function deliverDue(services: Services, outbound: Outbound): Promise<number> {
  const sender = createSender(services, outbound);
  const due = await transact(services, RELAY, tx => listDue(tx, services.now()));
  const attempted = await Promise.all(due.map(({ endpoint_id }) => startTurn(services, sender, endpoint_id).ended));
  return attempted.reduce((sum, count) => sum + count, 0);
}
