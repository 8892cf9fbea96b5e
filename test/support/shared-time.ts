import type { TestClock } from './app.ts';

const MINUTE = 60_000;

/**
 * The one clock of sequences that run side by side: it goes on when each of them waits for it, to where the first of them wants
 * to be, so that all of them know at every instant what time it is. What each does takes a millisecond; whoever waits longer
 * waits for a full minute, and so with the others.
 */
export class SharedTime {
  #running: number;
  #waiting: { at: number; go: () => void }[] = [];
  readonly #clock: TestClock;
  readonly #passed: (now: number, long: boolean) => Promise<void>;

  /** @param passed what happens when time has passed; `long`: so much that the worker has run */
  constructor(running: number, clock: TestClock, passed: (now: number, long: boolean) => Promise<void>) {
    this.#running = running;
    this.#clock = clock;
    this.#passed = passed;
  }

  async wait(ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const at = this.#now() + ms;
    this.#waiting.push({ at: ms > 1 ? Math.ceil(at / MINUTE) * MINUTE : at, go: resolve });
    await this.#turn();
    await promise;
  }

  /** One sequence less to wait for. */
  async leave(): Promise<void> {
    this.#running -= 1;
    await this.#turn();
  }

  #now = () => this.#clock.now().getTime();

  async #turn(): Promise<void> {
    if (this.#waiting.length < this.#running || this.#running === 0) return;
    const to = Math.min(...this.#waiting.map(({ at }) => at));
    const due = this.#waiting.filter(({ at }) => at === to);
    this.#waiting = this.#waiting.filter(({ at }) => at > to);
    const ms = to - this.#now();
    this.#clock.advance(ms);
    await this.#passed(to, ms > 1);
    for (const { go } of due) go();
  }
}
