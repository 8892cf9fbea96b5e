import { systemActor } from '../core/access.ts';
import { transact } from '../platform/database.ts';
import type { Outbound } from '../platform/outbound.ts';
import type { Services } from '../services.ts';
import { AT_ONCE, type Claim, claimNext, listDue, releaseClaims } from './claim-store.ts';
import { createSender, hasArrived, makeAttempt, report, type Sender } from './delivery.ts';

/**
 * A turn at an endpoint: one process attempts what can be attempted there until nothing is left. It claims as much at a time as
 * the endpoint has lately taken in half a second, has a bounded number under way, and keeps the order within each referral or case:
 * what waits begins when everything claimed before it has arrived or is parked, and is given back where that failed.
 */
export interface Turn {
  /** Looks again: there may be more. */
  look(): void;
  /** How many were attempted. @throws Error the first one that kept an attempt from being made or settled */
  ended: Promise<number>;
}

interface Options {
  /** Lets no further attempt begin. */
  signal?: AbortSignal;
  /** Called as the turn ends, in the same instant: whoever comes then begins another. */
  onEnd?: () => void;
}

const RELAY = systemActor('relay');

/** What the endpoint is thought to take in this time is claimed together. */
const CLAIMED_FOR_MS = 500;
const MOST_AT_ONCE = 128;
/** A claim older than this is given back and looked at anew: its recipient may have lost access meanwhile. */
const BEGIN_WITHIN_MS = 1_000;

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
  let attempted = 0;
  let asked = true;
  /** The last look found less than it wished for. */
  let is_dry = false;
  let is_looking = false;
  let pacing: NodeJS.Timeout | undefined;
  let took_ms: number | undefined;
  let failure: { error: unknown } | undefined;
  let is_over = false;
  const end = Promise.withResolvers<number>();

  const atOnce = (): number =>
    took_ms === undefined
      ? AT_ONCE.ordinary
      : Math.max(AT_ONCE.ordinary, Math.min(MOST_AT_ONCE, Math.floor((AT_ONCE.ordinary * CLAIMED_FOR_MS) / took_ms)));
  const isStopped = (): boolean => failure !== undefined || signal?.aborted === true;

  function step(): void {
    if (is_over) return;
    for (const kind of ['urgent', 'ordinary'] as const) {
      while (sending[kind] < AT_ONCE[kind] && ready[kind].length > 0) begin(ready[kind].shift()!);
    }
    if (!is_looking && !isStopped()) {
      const wish = { urgent: AT_ONCE.urgent - held.urgent, ordinary: Math.max(0, atOnce() - held.ordinary), held: held.ordinary };
      const runs_low = !is_dry && !pacing && held.ordinary < Math.max(AT_ONCE.ordinary, atOnce() / 2);
      if ((asked || runs_low) && (wish.urgent > 0 || wish.ordinary > 0)) void look(wish);
    }
    const is_idle = !is_looking && held.urgent + held.ordinary === 0;
    if (!is_idle || (pacing && !isStopped())) return;
    is_over = true;
    clearTimeout(pacing);
    onEnd?.();
    if (failure) end.reject(failure.error);
    else end.resolve(attempted);
  }

  async function look(wish: Parameters<typeof claimNext>[3]): Promise<void> {
    is_looking = true;
    asked = false;
    try {
      const { claims, paced_ms } = await transact(services, RELAY, tx => claimNext(tx, endpoint_id, services.now(), wish));
      is_dry = claims.filter(({ urgent }) => !urgent).length < wish.ordinary;
      if (paced_ms !== null && !pacing) pacing = setTimeout(lookPaced, paced_ms);
      take(claims);
    } catch (error) {
      failure ??= { error };
    }
    is_looking = false;
    step();
  }

  function lookPaced(): void {
    pacing = undefined;
    asked = true;
    step();
  }

  function take(claims: readonly Claim[]): void {
    const claimed_at = performance.now();
    const lines = new Map<string, Item[]>();
    // By turns a predecessor may stand behind: a line is in the order of the acts.
    for (const claim of [...claims].sort((a, b) => a.event.sequence - b.event.sequence)) {
      const line = lines.get(claim.subject_id) ?? [];
      lines.set(claim.subject_id, line);
      line.push({ claim, claimed_at, state: 'waiting', line });
    }
    const items = new Map([...lines.values()].flat().map(item => [item.claim.id, item]));
    for (const claim of claims) {
      held[kindOf(items.get(claim.id)!)] += 1;
      letBegin(items.get(claim.id)!);
    }
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
    if (isStopped() || performance.now() - item.claimed_at > BEGIN_WITHIN_MS) return void giveBack([item]);
    item.state = 'begun';
    void attempt(item).catch(error => {
      failure ??= { error };
      leave(item, 'held_back');
    });
  }

  async function attempt(item: Item): Promise<void> {
    const kind = kindOf(item);
    sending[kind] += 1;
    const made = await makeAttempt(services, sender, item.claim).finally(() => {
      sending[kind] -= 1;
    });
    // Broken off by the end of this process it is nobody's failure: another process makes the attempt again.
    if (made.result.error !== null && signal?.aborted) return giveBack([item]);
    const { duration_ms } = made.result;
    took_ms = hasArrived(made.result) ? (took_ms ?? duration_ms) * 0.8 + Math.max(1, duration_ms) * 0.2 : undefined;
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

  async function giveBack(items: readonly Item[]): Promise<void> {
    for (const item of items) item.state = 'held_back';
    const claims = items.map(({ claim }) => claim);
    await transact(services, RELAY, tx => releaseClaims(tx, claims)).catch(error => {
      // They run out by themselves.
      failure ??= { error };
    });
    for (const item of items) leave(item, 'held_back');
  }

  const stop = () => {
    clearTimeout(pacing);
    pacing = undefined;
    step();
  };
  signal?.addEventListener('abort', stop, { once: true });
  void end.promise.catch(() => {}).finally(() => signal?.removeEventListener('abort', stop));
  step();
  return {
    look() {
      asked = true;
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
