import type { Pool } from 'pg';
import type { Logger } from './log.ts';

/** What time it is, injected so that tests decide. */
export type Now = () => Date;

/** The database's clock: the one that all processes share, whatever those on their walls show. */
export interface Clock {
  now: Now;
  close(): Promise<void>;
}

const ASK_EVERY_MS = 5_000;
const FIRST_ASKED = 3;
/** By more than this the clock was set anew: it is followed at once, and else it never runs backwards. */
const SET_ANEW_MS = 1_000;

/**
 * A clock that the database sets. It is asked at the start and every few seconds, and in between the process goes by its
 * monotonic clock, also while the database does not answer.
 * @throws Error where it does not answer at the start
 */
export async function startClock(pool: Pool, log: Logger): Promise<Clock> {
  const clock = new SetClock(await ask(pool));
  for (let i = 1; i < FIRST_ASKED; i += 1) clock.set(await ask(pool));
  let asking: Promise<void> = Promise.resolve();
  let is_asking = false;
  const timer = setInterval(() => {
    if (is_asking) return;
    is_asking = true;
    asking = ask(pool)
      .then(
        answer => {
          const lag_ms = clock.set(answer);
          if (Math.abs(lag_ms) > SET_ANEW_MS) log.warn({ lag_ms }, 'the clock of the database was set anew');
        },
        error => log.warn({ err: error }, 'the database did not say what time it is'),
      )
      .finally(() => {
        is_asking = false;
      });
  }, ASK_EVERY_MS);
  timer.unref();
  return {
    now: () => clock.now(performance.now()),
    async close() {
      clearInterval(timer);
      await asking;
    },
  };
}

/** What the database's clock showed at some instant between two of the monotonic clock; all in milliseconds. */
export interface Reading {
  asked_at: number;
  showed: number;
  answered_at: number;
}

async function ask(pool: Pool): Promise<Reading> {
  const asked_at = performance.now();
  const { rows } = await pool.query<{ ms: number }>('select extract(epoch from clock_timestamp())::float8 * 1000 as ms');
  return { asked_at, showed: rows[0]!.ms, answered_at: performance.now() };
}

/** By how much the database's clock is ahead of the monotonic one, as far as its answers tell. */
export class SetClock {
  #ahead: number;
  #last = Number.NEGATIVE_INFINITY;

  /** The first reading is good to half of the time that the answer took. */
  constructor({ asked_at, showed, answered_at }: Reading) {
    this.#ahead = showed - (asked_at + answered_at) / 2;
  }

  /**
   * Moves the clock as far as the reading contradicts it, and no further: an answer that took long says little.
   * @returns by how many milliseconds
   */
  set({ asked_at, showed, answered_at }: Reading): number {
    const before = this.#ahead;
    this.#ahead = Math.min(Math.max(before, showed - answered_at), showed - asked_at);
    const moved = this.#ahead - before;
    if (moved < -SET_ANEW_MS) this.#last = Number.NEGATIVE_INFINITY;
    return moved;
  }

  /** @param at of the monotonic clock. @returns never earlier than the last time, unless the clock was set anew */
  now(at: number): Date {
    this.#last = Math.max(this.#last, Math.floor(at + this.#ahead));
    return new Date(this.#last);
  }
}
