import { record, type SubjectRecord } from '../audit/record.ts';
import { systemActor } from '../core/access.ts';
import { nextAttemptDelay, parseRetryAfter } from '../core/backoff.ts';
import { signWebhook } from '../core/webhook-signature.ts';
import { type Tx, transact } from '../platform/database.ts';
import { type Answer, DeliveryError, type DeliveryFailure, type Outbound } from '../platform/outbound.ts';
import { VERSION } from '../platform/version.ts';
import type { Services } from '../services.ts';
import { AT_ONCE, type Claim, claimNext, listDue, releaseClaim, type Settlement, settleDelivery, tell } from './outbox-store.ts';
import { listCoordinators, markFailing, markWorking, openSecret, stopAsked, switchOff } from './store.ts';

/**
 * Deliveries, at least once ("Events and notifications", section "Sending"). An attempt is claimed in one short transaction,
 * sent outside any, and settled in another; a process that dies in between leaves a claim that runs out, and the attempt is made
 * again with the same `webhook-id`.
 */

const RELAY = systemActor('relay');
const USER_AGENT = `aman/${VERSION}`;
const GONE = 410;
const DISABLE_AFTER_MS = 72 * 3_600_000;

interface Turn {
  /** Lets no further attempt begin. */
  signal?: AbortSignal;
  /** Leaves everything but emergencies. */
  urgent_only?: boolean;
}

/**
 * Attempts what can be attempted now at an endpoint, one after the other, for as long as there is something: due, held by nobody,
 * not behind an event that must arrive before, and with room at an endpoint that is active or was asked to get it.
 * @returns how many were attempted
 */
export async function deliver(
  services: Services,
  outbound: Outbound,
  endpoint_id: string,
  { signal, urgent_only }: Turn = {},
): Promise<number> {
  let attempted = 0;
  // Two attempts that end at once do not see each other, so neither may find what waited for both: the last look is a fresh one.
  while (!signal?.aborted) {
    let claim = await transact(services, RELAY, tx =>
      claimNext(tx, endpoint_id, services.now(), { starting: true, urgent_only }),
    );
    if (!claim) break;
    for (; claim; attempted += 1) claim = await attempt(services, outbound, claim, { signal, urgent_only });
  }
  return attempted;
}

/** Attempts whatever can be attempted now, without the queue. */
export async function deliverDue(services: Services, outbound: Outbound): Promise<number> {
  const due = await transact(services, RELAY, tx => listDue(tx, services.now(), AT_ONCE.urgent));
  const attempted = await Promise.all(due.map(({ endpoint_id }) => deliver(services, outbound, endpoint_id)));
  return attempted.reduce((sum, count) => sum + count, 0);
}

/** @returns the claim of what is next at the same endpoint */
async function attempt(
  services: Services,
  outbound: Outbound,
  claim: Claim,
  { signal, urgent_only }: Turn,
): Promise<Claim | undefined> {
  const started_at = services.now();
  const result = await post(services, outbound, claim, started_at);
  // Broken off by the end of this process it is nobody's failure: another process makes the attempt again.
  if (result.error !== null && signal?.aborted) {
    await transact(services, RELAY, tx => releaseClaim(tx, claim));
    return undefined;
  }
  const { settled, next } = await transact(services, RELAY, async tx => ({
    settled: await settle(services, tx, claim, started_at, result),
    next: signal?.aborted ? undefined : await claimNext(tx, claim.endpoint.id, services.now(), { starting: false, urgent_only }),
  }));
  if (settled) report(services, claim, started_at, result, settled);
  return next;
}

function report(
  { log, metrics }: Services,
  { id, event, endpoint, attempts, asked_after_stop, urgent }: Claim,
  started_at: Date,
  { status, error, duration_ms }: Result,
  { state, receipt }: Settled,
): void {
  const reason = error ?? `http_${status}`;
  log.info(
    {
      event_id: event.id,
      delivery_id: id,
      endpoint_id: endpoint.id,
      attempt: attempts + 1,
      outcome: state,
      reason,
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

type Result = Omit<Answer, 'status'> & ({ status: number; error: null } | { status: null; error: DeliveryFailure });

/** Signs and sends. The secrets are opened for this alone. */
async function post(services: Services, outbound: Outbound, { event, endpoint }: Claim, at: Date): Promise<Result> {
  const body = JSON.stringify(tell(event));
  const timestamp = Math.floor(at.getTime() / 1_000);
  const secrets = [endpoint.secret, endpoint.previous_secret]
    .filter(sealed => sealed !== null)
    .map(sealed => openSecret(services.vault, endpoint.id, sealed));
  const headers = {
    'content-type': 'application/json',
    'user-agent': USER_AGENT,
    'webhook-id': event.id,
    'webhook-timestamp': String(timestamp),
    'webhook-signature': signWebhook({ id: event.id, timestamp, body, secrets }),
  };
  const started = performance.now();
  try {
    return { ...(await outbound.post(endpoint.url, { headers, body })), error: null };
  } catch (error) {
    if (!(error instanceof DeliveryError)) throw error;
    return { status: null, error: error.reason, retry_after: null, duration_ms: Math.round(performance.now() - started) };
  }
}

type Settled = Pick<Settlement, 'state'> & { receipt: string };

/**
 * Saves what came of an attempt: the delivery, its trail, and what it says of the endpoint.
 * @returns null where another attempt was settled meanwhile
 */
async function settle(services: Services, tx: Tx, claim: Claim, started_at: Date, result: Result): Promise<Settled | null> {
  const now = services.now();
  const { status, error, duration_ms } = result;
  const arrived = status !== null && status >= 200 && status < 300;
  const outcome = arrived
    ? { ...arrivedState(claim), delivered_at: now }
    : { ...failedState(claim, result, now), delivered_at: null };
  const receipt = await record(services, tx, RELAY, {
    action: 'delivery.attempt',
    outcome: arrived ? 'done' : 'failed',
    resource_type: 'delivery',
    code: error ?? `http_${status}`,
    subjects: subjectsOf(claim),
  });
  if (!(await settleDelivery(tx, claim, { started_at, duration_ms, status, error, ...outcome }))) return null;
  if (arrived) await markWorking(tx, claim.endpoint.id);
  else await lookAfter(services, tx, claim, status, now);
  return { state: outcome.state, receipt };
}

const arrivedState = ({ event }: Claim): Pick<Settlement, 'state' | 'next_attempt_at'> => ({
  state: event.may_know ? 'delivered' : 'withheld',
  next_attempt_at: null,
});

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
  const body = { agency_id, endpoint_id: endpoint.id, status: to };
  const told = [agency_id, ...(await listCoordinators(tx, agency_id))];
  await record(services, tx, RELAY, {
    action: to === 'paused' ? 'webhook_endpoint.pause' : 'webhook_endpoint.disable',
    resource_type: 'webhook_endpoint',
    code: status === GONE ? 'http_410' : 'failed_72h',
    subjects: [{ subject_id: endpoint.id }],
    events: [{ type, subject_id: endpoint.id, urgent: false, recipients: told.map(id => ({ agency_id: id, body })) }],
  });
}
