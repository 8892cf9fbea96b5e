import fc from 'fast-check';
import t from 'tap';
import { type FailedAttempt, nextAttemptDelay, parseRetryAfter } from '../../src/core/backoff.ts';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/** Every delay until the schedule is exhausted. */
function delays(failure: Omit<FailedAttempt, 'attempt'>): number[] {
  const found: number[] = [];
  for (let attempt = 1; ; attempt++) {
    const delay = nextAttemptDelay({ ...failure, attempt });
    if (delay === undefined) return found;
    found.push(delay);
  }
}
const sum = (numbers: number[]) => numbers.reduce((a, b) => a + b, 0);

t.test('the ordinary schedule: eleven attempts over 72 h', async t => {
  const schedule = delays({ emergency: false, jitter: 0 });
  t.strictSame(
    schedule,
    [5, 30, 120, 600, 1_800, 7_200, 21_600, 50_400, 86_400, 108_000].map(seconds => seconds * SECOND),
  );
  t.ok(sum(schedule) > 72 * HOUR);
  t.equal(sum(schedule), 76 * HOUR + 42 * MINUTE + 35 * SECOND);
});

t.test('the emergency schedule: ten attempts within 15 min whatever the receiver does, over 72 h in all', async t => {
  t.strictSame(
    delays({ emergency: true, jitter: 0 }),
    [5, 10, 15, 30, 45, 60, 75, 90, 120, 1_800, 7_200, 21_600, 50_400, 86_400, 108_000].map(seconds => seconds * SECOND),
  );
  t.ok(sum(delays({ emergency: true, jitter: 0 })) > 72 * HOUR);
  const worst = delays({ emergency: true, jitter: 0.999_999, status: 503, retry_after_ms: HOUR }).slice(0, 9);
  t.ok(sum(worst) + 9 * 15 * SECOND < 15 * MINUTE);
});

t.test('jitter stretches by up to a fifth, in whole milliseconds', async () => {
  const attempts = fc.record({ attempt: fc.integer({ min: 1, max: 10 }), emergency: fc.boolean() });
  fc.assert(
    fc.property(attempts, fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (failure, jitter) => {
      const bare = nextAttemptDelay({ ...failure, jitter: 0 })!;
      const delay = nextAttemptDelay({ ...failure, jitter })!;
      return Number.isInteger(delay) && delay >= bare && delay < bare * 1.2;
    }),
  );
});

t.test('Retry-After lengthens a wait after 429 and 503, within its bound', async t => {
  const first = { attempt: 1, emergency: false, jitter: 0 };
  const emergency = { ...first, emergency: true };
  for (const status of [429, 503]) {
    t.equal(nextAttemptDelay({ ...first, status, retry_after_ms: 7 * MINUTE }), 7 * MINUTE);
    t.equal(nextAttemptDelay({ ...first, status, retry_after_ms: 2 * HOUR }), HOUR);
    t.equal(nextAttemptDelay({ ...first, status, retry_after_ms: SECOND }), 5 * SECOND, 'never sooner than scheduled');
    t.equal(nextAttemptDelay({ ...first, status }), 5 * SECOND);
    t.equal(nextAttemptDelay({ ...emergency, status, retry_after_ms: 20 * SECOND }), 20 * SECOND);
    t.equal(nextAttemptDelay({ ...emergency, status, retry_after_ms: HOUR }), MINUTE);
    t.equal(nextAttemptDelay({ ...first, attempt: 10, status, retry_after_ms: HOUR }), 30 * HOUR);
    t.equal(nextAttemptDelay({ ...first, attempt: 11, status, retry_after_ms: HOUR }), undefined, 'adds no attempt');
  }
  for (const status of [undefined, 200, 301, 410, 500, 502, 504]) {
    t.equal(nextAttemptDelay({ ...first, status, retry_after_ms: HOUR }), 5 * SECOND, String(status));
  }
});

t.test('ranges', async t => {
  for (const attempt of [0, -1, 1.5, Number.NaN])
    t.throws(() => nextAttemptDelay({ attempt, emergency: false, jitter: 0 }), RangeError);
  for (const jitter of [-0.1, 1, Number.NaN])
    t.throws(() => nextAttemptDelay({ attempt: 1, emergency: false, jitter }), RangeError);
  t.equal(nextAttemptDelay({ attempt: 1_000, emergency: true, jitter: 0 }), undefined);
});

t.test('Retry-After as RFC 9110 has it', async t => {
  const now = new Date('1994-11-06T08:49:07Z');
  const readable: [header: string, ms: number][] = [
    ['0', 0],
    ['120', 2 * MINUTE],
    ['9'.repeat(400), Number.MAX_SAFE_INTEGER],
    [' 120 ', 2 * MINUTE],
    ['Sun, 06 Nov 1994 08:49:37 GMT', 30 * SECOND],
    ['Sunday, 06-Nov-94 08:49:37 GMT', 30 * SECOND],
    ['Sun Nov  6 08:49:37 1994', 30 * SECOND],
    ['Sun, 06 Nov 1994 08:49:00 GMT', 0],
  ];
  for (const [header, ms] of readable) t.equal(parseRetryAfter(header, now), ms, header);
  for (const header of [
    null,
    undefined,
    '',
    'soon',
    '-1',
    '1.5',
    '1e3',
    '+5',
    '0x10',
    '1, 2',
    '6 Nov 1994',
    '1994-11-06T08:49:37Z',
    'Sun, 99 Nov 1994 08:49:37 GMT',
    'Sun',
  ]) {
    t.equal(parseRetryAfter(header, now), undefined, String(header));
  }
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.string().map(text => `Sun, ${text}`),
      ),
      header => {
        const ms = parseRetryAfter(header, now);
        return ms === undefined || (Number.isSafeInteger(ms) && ms >= 0);
      },
    ),
  );
});
