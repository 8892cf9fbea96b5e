import t from 'tap';
import { compileCalendar } from '../../src/core/calendar.ts';
import { reckon } from '../../src/core/reckoning.ts';
import { type ClockCase, clockCase, readable, smallest } from '../support/clock-cases.ts';
import { oracle } from '../support/clock-oracle.ts';

/**
 * The reckoning against somebody who lives through every minute. `LONG=1` draws other cases each time; `CLOCK_SEED` draws the same
 * again, `CLOCK_CASES` so many.
 */

const LONG = process.env.LONG === '1';
const CASES = Number(process.env.CLOCK_CASES ?? (LONG ? 100_000 : 1_000));
const SEED = Number(process.env.CLOCK_SEED ?? (LONG ? Date.now() % 2 ** 31 : 20_261_121));
/** What is wrong is mostly wrong often: so many are made small and shown. */
const SHOWN = 3;
t.setTimeout(LONG ? 3_600_000 : 600_000);

const lived = ({ policy, started_at, calendar, pauses }: ClockCase) => oracle(policy, started_at, calendar, pauses);

/** An instant, or what was thrown. */
function reckoned({ policy, started_at, calendar, pauses }: ClockCase): Date | string {
  try {
    return reckon(policy, started_at, compileCalendar(calendar), pauses);
  } catch (error) {
    return String(error);
  }
}

function differs(it: ClockCase): boolean {
  const due = reckoned(it);
  return typeof due === 'string' || due.getTime() !== lived(it).getTime();
}

t.test(`${CASES} clocks, CLOCK_SEED=${SEED}`, { timeout: 0 }, t => {
  let wrong = 0;
  for (let i = 0; i < CASES && wrong < SHOWN; i += 1) {
    const drawn = clockCase(SEED + i);
    if (!differs(drawn)) continue;
    wrong += 1;
    // What throws stays what throws: a smaller calendar may be refused for another reason.
    const thrown = typeof reckoned(drawn);
    const small = smallest(drawn, it => differs(it) && typeof reckoned(it) === thrown);
    t.fail(`CLOCK_SEED=${SEED + i} CLOCK_CASES=1`);
    for (const line of readable(small, { lived: lived(small), reckoned: reckoned(small) }).split('\n')) t.comment(line);
  }
  t.equal(wrong, 0, `as lived through, of ${CASES}`);
  t.end();
});
