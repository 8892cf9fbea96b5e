import { record, type SubjectRecord } from '../audit/record.ts';
import { systemActor } from '../core/access.ts';
import { nextAttemptDelay, parseRetryAfter } from '../core/backoff.ts';
import { findDataKeys } from '../platform/data-keys.ts';
import { type Tx, transact } from '../platform/database.ts';
import { DeliveryError, type DeliveryFailure } from '../platform/delivery-failure.ts';
import type { Answer, Outbound } from '../platform/outbound.ts';
import type { TlsSettings } from '../platform/tls-settings.ts';
import { VERSION } from '../platform/version.ts';
import type { Services } from '../services.ts';
import { type Claim, type Endpoint, type Settlement, settleDeliveries } from './claim-store.ts';
import { openSigner, openTls } from './keys.ts';
import { switchedOffNotice } from './notices.ts';
import { tell } from './outbox-store.ts';
import { listCoordinators, lockEndpoint, markFailing, markWorking, stopAsked, switchOff } from './store.ts';

/**
 * Attempts, each made at least once ("Events and notifications", section "Sending"). One is claimed in a short transaction
 * (turn.ts), sent outside any, and settled in another; a process that dies in between leaves a claim that runs out, and the attempt
 * is made again with the same `webhook-id`.
 */

const RELAY = systemActor('relay');
const USER_AGENT = `aman/${VERSION}`;
const GONE = 410;
const DISABLE_AFTER_MS = 72 * 3_600_000;

/** What the attempts of one process share: a way out, and a way to settle many of them together. */
export interface Sender {
  /**
   * Makes the attempt of a claim, and says nothing of it yet.
   * @param begin_by as `performance.now()` counts
   * @returns null where others were in the way until then
   * @throws Error where it could not be made
   */
  attempt(claim: Claim, begin_by: number): Promise<Attempt | null>;
  /** Saves what came of an attempt. @returns null where another one was settled meanwhile */
  settle(attempt: Attempt): Promise<Settled | null>;
}

/** An attempt that was made. */
export interface Attempt {
  claim: Claim;
  started_at: Date;
  result: Result;
}

type Result = Omit<Answer, 'status'> & ({ status: number; error: null } | { status: null; error: DeliveryFailure });

/** What a delivery is after an attempt, and the receipt of its entry. */
export type Settled = Pick<Settlement, 'state'> & { receipt: string };

/** As many as one statement settles well. */
const SETTLED_AT_ONCE = 200;

/** Ordinary attempts that begin at once, whoever's. One counts until it is over, or known to be slow: nobody waits for a slow receiver. */
const BEGIN_AT_ONCE = 256;
const SLOW_MS = 1_000;

/**
 * Attempts end all the time, and most of them because they arrived, which says nothing of anybody else: whatever arrived while
 * others were being settled is settled together. A failure is settled by itself, with all that it means for its endpoint.
 */
export function createSender(services: Services, outbound: Outbound): Sender {
  let waiting: { attempt: Attempt; settled: PromiseWithResolvers<Settled | null> }[] = [];
  let running = false;

  async function settleWaiting(): Promise<void> {
    running = true;
    while (waiting.length > 0) {
      const some = waiting.slice(0, SETTLED_AT_ONCE);
      waiting = waiting.slice(SETTLED_AT_ONCE);
      const attempts = some.map(({ attempt }) => attempt);
      const together = await transact(services, RELAY, tx => settleArrived(services, tx, attempts)).catch(() => NONE);
      for (const { attempt, settled } of some) {
        const it = together.get(attempt.claim.id);
        // What stood in the way of some of them is nobody else's matter.
        if (it) settled.resolve(it);
        else settleAlone(services, attempt).then(settled.resolve, settled.reject);
      }
    }
    running = false;
  }

  const open = openOnce(services);
  /** In the order in which they came. */
  const waiting_to_begin: (() => void)[] = [];
  let beginning = 0;
  const begun = async (): Promise<() => void> => {
    if (beginning >= BEGIN_AT_ONCE) await new Promise<void>(resolve => waiting_to_begin.push(resolve));
    else beginning += 1;
    let counts = true;
    const leave = () => {
      clearTimeout(slow);
      if (!counts) return;
      counts = false;
      const next = waiting_to_begin.shift();
      if (next) next();
      else beginning -= 1;
    };
    const slow = setTimeout(leave, SLOW_MS);
    return leave;
  };

  return {
    async attempt(claim, begin_by) {
      const leave = claim.urgent ? undefined : await begun();
      try {
        if (performance.now() > begin_by) return null;
        const started_at = services.now();
        return { claim, started_at, result: await post(outbound, claim, open(claim.endpoint), started_at) };
      } finally {
        leave?.();
      }
    },
    settle(attempt) {
      if (!hasArrived(attempt.result) || attempt.claim.endpoint.failing) return settleAlone(services, attempt);
      const settled = Promise.withResolvers<Settled | null>();
      waiting.push({ attempt, settled });
      if (!running) void settleWaiting();
      return settled.promise;
    },
  };
}

const NONE: ReadonlyMap<string, Settled> = new Map();

export const hasArrived = ({ status }: Result): boolean => status !== null && status >= 200 && status < 300;

/** Tells log and figures of an attempt. */
export function report(
  { log, metrics }: Services,
  { claim: { id, event, endpoint, attempts, asked_after_stop, urgent }, started_at, result }: Attempt,
  { state, receipt }: Settled,
): void {
  const { status, error, duration_ms } = result;
  log.info(
    {
      event_id: event.id,
      delivery_id: id,
      endpoint_id: endpoint.id,
      attempt: attempts + 1,
      outcome: state,
      reason: error ?? `http_${status}`,
      duration_ms,
      receipt,
    },
    'delivery attempted',
  );
  // A receiver may answer whatever it likes: told by class, there are few.
  metrics.delivery_attempts.inc({ outcome: state, reason: error ?? `http_${Math.floor(status! / 100)}xx` });
  // What was asked for again tells of an act of long ago.
  if (attempts > 0 || asked_after_stop !== null) return;
  metrics.first_attempt_lag.observe({ urgent: String(urgent) }, (started_at.getTime() - event.occurred_at.getTime()) / 1_000);
}

/** What an endpoint's sealed columns hold: how to sign for it, and what TLS is told. */
interface Opened {
  sign: ReturnType<typeof openSigner>;
  tls: TlsSettings | null;
}

/** Opens an endpoint once for all that was claimed with it; what was opened goes with the claims. */
function openOnce({ vault }: Services): (endpoint: Endpoint) => Opened {
  const opened = new WeakMap<Endpoint, Opened>();
  return endpoint => {
    const known = opened.get(endpoint) ?? {
      sign: openSigner(vault, endpoint),
      tls: endpoint.tls && openTls(vault, endpoint.id, endpoint.tls),
    };
    opened.set(endpoint, known);
    return known;
  };
}

/** Signs and sends. */
async function post(outbound: Outbound, { event, endpoint }: Claim, { sign, tls }: Opened, at: Date): Promise<Result> {
  const body = JSON.stringify(tell(event));
  const timestamp = Math.floor(at.getTime() / 1_000);
  const headers = {
    'content-type': 'application/json',
    'user-agent': USER_AGENT,
    'webhook-id': event.id,
    'webhook-timestamp': String(timestamp),
    'webhook-signature': sign({ id: event.id, timestamp, body }),
  };
  const receiver = { id: endpoint.id, tls };
  const started = performance.now();
  try {
    return { ...(await outbound.post(endpoint.url, { headers, body, receiver })), error: null };
  } catch (error) {
    if (!(error instanceof DeliveryError)) throw error;
    return { status: null, error: error.reason, retry_after: null, duration_ms: Math.round(performance.now() - started) };
  }
}

/** @returns what each became, by the id of its delivery; without those that somebody else holds or has settled */
async function settleArrived(services: Services, tx: Tx, attempts: readonly Attempt[]): Promise<Map<string, Settled>> {
  const now = services.now();
  const settlements = attempts.map(attempt => settlementOf(attempt, now));
  const saved = await settleDeliveries(tx, settlements, { wait: false });
  const mine = attempts.filter(({ claim }) => saved.has(claim.id));
  // One look for the keys under which their records are sealed.
  await findDataKeys(
    services,
    tx,
    mine.flatMap(({ claim }) => claim.event.case_id ?? []),
  );
  const states = new Map(settlements.map(({ claim, state }) => [claim.id, state]));
  const settled = new Map<string, Settled>();
  for (const attempt of mine) {
    const { id } = attempt.claim;
    settled.set(id, { state: states.get(id)!, receipt: await recordAttempt(services, tx, attempt) });
  }
  return settled;
}

/** Saves the attempt, its trail, and what it says of the endpoint. */
const settleAlone = (services: Services, attempt: Attempt): Promise<Settled | null> =>
  transact(services, RELAY, async tx => {
    const now = services.now();
    const { claim, result } = attempt;
    // Before its deliveries: in the order of whoever enables it.
    await lockEndpoint(tx, claim.agency_id, claim.endpoint.id);
    const receipt = await recordAttempt(services, tx, attempt);
    const settlement = settlementOf(attempt, now);
    const saved = await settleDeliveries(tx, [settlement], { wait: true });
    if (saved.size === 0) return null;
    if (hasArrived(result)) await markWorking(tx, claim.endpoint.id);
    else await lookAfter(services, tx, claim, result.status, now);
    return { state: settlement.state, receipt };
  });

const recordAttempt = (services: Services, tx: Tx, { claim, result }: Attempt): Promise<string> =>
  record(services, tx, RELAY, {
    action: 'delivery.attempt',
    outcome: hasArrived(result) ? 'done' : 'failed',
    resource_type: 'delivery',
    code: result.error ?? `http_${result.status}`,
    subjects: subjectsOf(claim),
  });

function settlementOf({ claim, started_at, result }: Attempt, now: Date): Settlement & { claim: Claim } {
  const { status, error, duration_ms } = result;
  const made = { claim, started_at, status, error, duration_ms };
  return hasArrived(result)
    ? { ...made, state: claim.event.may_know ? 'delivered' : 'withheld', next_attempt_at: null, delivered_at: now }
    : { ...made, ...failedState(claim, result, now), delivered_at: null };
}

/** Parked after the second failure, an emergency after its first: later events of the same referral no longer wait for it. */
function failedState(
  { attempts, attempts_before, urgent }: Claim,
  result: Result,
  now: Date,
): Pick<Settlement, 'state' | 'next_attempt_at'> {
  const made = attempts - attempts_before + 1;
  const delay = nextAttemptDelay({
    attempt: made,
    emergency: urgent,
    jitter: Math.random(),
    status: result.status ?? undefined,
    retry_after_ms: parseRetryAfter(result.retry_after, now),
  });
  if (delay === undefined) return { state: 'exhausted', next_attempt_at: null };
  return { state: made >= (urgent ? 1 : 2) ? 'parked' : 'pending', next_attempt_at: new Date(now.getTime() + delay) };
}

const subjectsOf = ({ id, event }: Claim): SubjectRecord[] =>
  event.case_id === null
    ? []
    : [{ subject_id: event.case_id, ...(event.referral_id ? { referral_id: event.referral_id } : {}), resource_id: id }];

/**
 * A receiver that says it is gone is paused at once, one that failed for 72 h on end is disabled; the people are told. Of one
 * that is off already, what was asked for again ends when it says that it is gone.
 */
async function lookAfter(
  services: Services,
  tx: Tx,
  { endpoint, agency_id, asked_after_stop }: Claim,
  status: number | null,
  now: Date,
): Promise<void> {
  const failing_since = await markFailing(tx, endpoint.id, now);
  const [to, type] =
    status === GONE
      ? (['paused', 'endpoint.failing'] as const)
      : now.getTime() - failing_since.getTime() >= DISABLE_AFTER_MS
        ? (['disabled', 'endpoint.disabled'] as const)
        : [];
  if (!to) return;
  if (!(await switchOff(tx, endpoint.id, to, now))) {
    if (status === GONE && asked_after_stop !== null) await stopAsked(tx, endpoint.id, asked_after_stop);
    return;
  }
  const coordinators = await listCoordinators(tx, agency_id);
  await record(services, tx, RELAY, {
    action: to === 'paused' ? 'webhook_endpoint.pause' : 'webhook_endpoint.disable',
    resource_type: 'webhook_endpoint',
    code: status === GONE ? 'http_410' : 'failed_72h',
    subjects: [{ subject_id: endpoint.id }],
    events: [switchedOffNotice(type, { ...endpoint, agency_id }, to, coordinators)],
  });
}
