import type { Logger } from './log.ts';
import type { WakeUp } from './wake-up.ts';

/** Told of a round that failed, behind the log; must not fail itself. */
export type LoopFailed = (name: string, error: unknown) => Promise<void>;

export interface Loop {
  /** Ends after the round that is running. */
  stop(): Promise<void>;
}

/**
 * Runs `round` again and again: at once while it says that there is more, else at the next wake-up or after `every_ms`. A round
 * that fails is logged, told, and tried again at the next tick, never sooner, so that a database that is down is not hammered.
 */
export function startLoop(
  name: string,
  { every_ms, log, wake_up, failed }: { every_ms: number; log: Logger; wake_up?: WakeUp; failed: LoopFailed },
  round: () => Promise<boolean>,
): Loop {
  const stopping = new AbortController();
  const running = (async () => {
    while (!stopping.signal.aborted) {
      let more = false;
      try {
        more = await round();
      } catch (error) {
        log.error({ err: error, loop: name }, 'round failed');
        await failed(name, error);
        await pause(every_ms, stopping.signal);
        continue;
      }
      if (!more) await (wake_up ? wake_up.wait(every_ms, stopping.signal) : pause(every_ms, stopping.signal));
    }
  })();
  return {
    async stop() {
      stopping.abort();
      await running;
    },
  };
}

const pause = (ms: number, signal: AbortSignal): Promise<void> =>
  new Promise(resolve => {
    if (signal.aborted) return resolve();
    const timer = setTimeout(done, ms);
    function done() {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    }
    signal.addEventListener('abort', done, { once: true });
  });
