/** A closed loop: each client does the next step as soon as its last one is answered. */

export interface Load {
  clients: number;
  seconds: number;
}

export interface Measured {
  per_second: number;
  p50_ms: number;
  p99_ms: number;
  steps: number;
}

/**
 * @param step one step of a client, by its number; false when there is nothing left to do
 * @throws what a step throws: a request that fails makes the figures worthless
 */
export async function drive({ clients, seconds }: Load, step: (client: number) => Promise<unknown>): Promise<Measured> {
  const took: number[] = [];
  const started_at = performance.now();
  const until = started_at + seconds * 1_000;
  let ended_at = started_at;
  await Promise.all(
    Array.from({ length: clients }, async (_, client) => {
      for (let at = performance.now(); at < until; ) {
        if ((await step(client)) === false) break;
        ended_at = performance.now();
        took.push(ended_at - at);
        at = ended_at;
      }
    }),
  );
  took.sort((a, b) => a - b);
  const quantile = (share: number) => took[Math.min(took.length - 1, Math.floor(took.length * share))] ?? Number.NaN;
  return {
    per_second: took.length / ((ended_at - started_at) / 1_000),
    p50_ms: quantile(0.5),
    p99_ms: quantile(0.99),
    steps: took.length,
  };
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
