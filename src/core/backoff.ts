/** When a delivery is tried again ("Events and notifications", section "Sending"). All times in milliseconds. */

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/**
 * What follows the first attempt, made at once, the second, and so on: eleven attempts, the last 76 h 42 min after the first.
 */
const ORDINARY = [
  5 * SECOND,
  30 * SECOND,
  2 * MINUTE,
  10 * MINUTE,
  30 * MINUTE,
  2 * HOUR,
  6 * HOUR,
  14 * HOUR,
  24 * HOUR,
  30 * HOUR,
];

/**
 * Ten attempts, then what the ordinary schedule still holds after its first quarter of an hour: sixteen in all. The tenth
 * begins within 14 min 9 s even if every attempt before it ran into its 15 s, jitter was highest and the receiver always asked
 * for the longest wait; what remains of the 15 min is for the queue.
 */
const EMERGENCY = [...[5, 10, 15, 30, 45, 60, 75, 90, 120].map(seconds => seconds * SECOND), ...ORDINARY.slice(4)];

/** The longest wait that a receiver can ask for. */
const LONGEST_RETRY_AFTER = { ordinary: HOUR, emergency: MINUTE };

export interface FailedAttempt {
  /** How many attempts were made so far, this one included; ≥ 1. */
  attempt: number;
  emergency: boolean;
  /** Random, in [0, 1): stretches the scheduled delay by 0 to 20 %. */
  jitter: number;
  /** The HTTP status of the answer, if there was one. */
  status?: number | undefined;
  /** What its `Retry-After` said, from `parseRetryAfter`; heeded with status 429 and 503 alone. */
  retry_after_ms?: number | undefined;
}

/**
 * How long to wait after a failed attempt, in whole milliseconds; undefined where the schedule is exhausted. `Retry-After`
 * makes the wait longer, up to an hour (emergencies: a minute), never shorter, and never adds an attempt.
 * @throws RangeError where `attempt` or `jitter` is outside its range
 */
export function nextAttemptDelay({ attempt, emergency, jitter, status, retry_after_ms = 0 }: FailedAttempt): number | undefined {
  if (!Number.isInteger(attempt) || attempt < 1) throw new RangeError('attempts count from 1');
  if (!(jitter >= 0 && jitter < 1)) throw new RangeError('jitter lies in [0, 1)');
  const delay = (emergency ? EMERGENCY : ORDINARY)[attempt - 1];
  if (delay === undefined) return undefined;
  const scheduled = delay + Math.floor((delay / 5) * jitter);
  if (status !== 429 && status !== 503) return scheduled;
  return Math.max(scheduled, Math.min(retry_after_ms, LONGEST_RETRY_AFTER[emergency ? 'emergency' : 'ordinary']));
}

/**
 * Milliseconds from `now` that a `Retry-After` header asks for (RFC 9110, 10.2.3: seconds, or a date in one of the three HTTP
 * formats; a date gone by is 0). Undefined where there is none or it cannot be read.
 */
export function parseRetryAfter(header: string | null | undefined, now: Date): number | undefined {
  const value = header?.trim() ?? '';
  if (/^\d+$/.test(value)) return Math.min(Number(value) * SECOND, Number.MAX_SAFE_INTEGER);
  if (!/^(Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? [\w :-]+$/.test(value)) return undefined;
  // The asctime format names no zone; HTTP's dates are all in UTC.
  const at = Date.parse(value.endsWith(' GMT') ? value : `${value} GMT`);
  return Number.isNaN(at) ? undefined : Math.max(0, at - now.getTime());
}
