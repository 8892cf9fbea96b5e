import { type Cpu, perStep } from './cpu.ts';

/** A closed loop: each client does the next step as soon as its last one is answered. */

export interface Load {
  clients: number;
  seconds: number;
  /** It goes on until so many steps are done, at most for {@link WARM_AT_MOST_S}. */
  least?: number;
  /** What is looked at when it begins and when it ends. */
  cpu?: () => Cpu;
  /** Done before the first step. */
  begin?: () => Promise<void>;
}

const WARM_AT_MOST_S = 20;

export interface Measured {
  per_second: number;
  p50_ms: number;
  p99_ms: number;
  steps: number;
  /** Milliseconds per step, where it was looked at. */
  cpu?: Cpu;
  /** On the clock that every process of the machine has. */
  began_at_us: number;
  ended_at_us: number;
}

/**
 * @param step one step of a client, by its number; false when there is nothing left to do
 * @throws what a step throws: a request that fails makes the figures worthless
 */
export async function drive(
  { clients, seconds, least = 0, cpu, begin }: Load,
  step: (client: number) => Promise<unknown>,
): Promise<Measured> {
  await begin?.();
  const took: number[] = [];
  const cpu_before = cpu?.();
  const began_at_us = microseconds();
  const started_at = performance.now();
  const until = started_at + seconds * 1_000;
  let ended_at = started_at;
  await Promise.all(
    Array.from({ length: clients }, async (_, client) => {
      for (let at = performance.now(); at < until || (took.length < least && at < until + WARM_AT_MOST_S * 1_000); ) {
        if ((await step(client)) === false) break;
        ended_at = performance.now();
        took.push(ended_at - at);
        at = ended_at;
      }
    }),
  );
  const ended_at_us = microseconds();
  const cpu_used = cpu && perStep(cpu_before!, cpu(), took.length);
  took.sort((a, b) => a - b);
  const quantile = (share: number) => took[Math.min(took.length - 1, Math.floor(took.length * share))] ?? Number.NaN;
  return {
    per_second: took.length / ((ended_at - started_at) / 1_000),
    p50_ms: quantile(0.5),
    p99_ms: quantile(0.99),
    steps: took.length,
    ...(cpu_used ? { cpu: cpu_used } : {}),
    began_at_us,
    ended_at_us,
  };
}

const microseconds = (): number => Number(process.hrtime.bigint() / 1_000n);

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
