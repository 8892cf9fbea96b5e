import { type Asked, connectAgencies, inTurn, listAsked } from './acts.ts';
import { drive } from './driver.ts';
import type { Track } from './race.ts';
import { startService } from './service.ts';

/** Whether the service's memory grows with what it has answered. */

export interface MemoryResult {
  requests: number;
  at_start_mib: number;
  at_end_mib: number;
  highest_mib: number;
  /** Of the heap, the stacks and buffers; without the program's own pages and libraries. */
  anonymous_at_end_mib: number;
  /** By the straight line through the second half of the run. */
  growth_mib_per_10_000: number;
  samples: { requests: number; mib: number }[];
}

const SAMPLES = 200;
const CLIENTS = 8;

/** Of eight requests four read a case, two an inbox, one submits and one accepts. */
export async function measureMemory(
  { world, cases, service_url }: Pick<Track, 'world' | 'cases' | 'service_url'>,
  dir: string,
  { requests, seconds }: { requests: number; seconds: number },
): Promise<MemoryResult> {
  const service = await startService({ database_url: service_url, dir });
  const agencies = connectAgencies(service.origin, world, CLIENTS);
  const next = inTurn(cases);
  const nextShelter = inTurn(world.shelters);
  let asked: Asked[] = [];
  /** Also those that are being accepted at this moment. */
  const taken = new Set<string>();
  let looking: Promise<void> | undefined;
  const look = () => {
    looking ??= listAsked(service_url, world).then(found => {
      asked = found.filter(({ referral_id }) => !taken.has(referral_id));
      looking = undefined;
    });
    return looking;
  };
  const mix = [
    () => agencies.readCase(next()),
    () => agencies.submit(next()),
    () => agencies.readCase(next()),
    () => agencies.readInbox(nextShelter()),
    () => agencies.readCase(next()),
    async () => {
      const one = asked.pop();
      if (one) taken.add(one.referral_id);
      await (one ? agencies.accept(one) : agencies.readCase(next()));
    },
    () => agencies.readCase(next()),
    () => agencies.readInbox(nextShelter()),
  ];
  try {
    await world.refresh();
    const at_start_mib = service.memory().now;
    const samples: MemoryResult['samples'] = [];
    let begun = 0;
    const every = Math.max(1, Math.floor(requests / SAMPLES));
    await drive({ clients: CLIENTS, seconds }, async () => {
      const n = begun++;
      if (n >= requests) return false;
      if (n % every === 0) {
        samples.push({ requests: n, mib: service.memory().now });
        await world.refresh();
        if (asked.length === 0) await look();
      }
      await mix[n % mix.length]!();
      return true;
    });
    const { now, highest, anonymous } = service.memory();
    return {
      requests: Math.min(begun, requests),
      at_start_mib,
      at_end_mib: now,
      highest_mib: highest,
      anonymous_at_end_mib: anonymous,
      growth_mib_per_10_000: 10_000 * slope(samples.slice(samples.length >> 1)),
      samples,
    };
  } finally {
    await agencies.close();
    await service.stop();
  }
}

/** Of the line that fits best. */
function slope(samples: MemoryResult['samples']): number {
  const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const x = mean(samples.map(it => it.requests));
  const y = mean(samples.map(it => it.mib));
  const across = samples.reduce((sum, it) => sum + (it.requests - x) * (it.mib - y), 0);
  return across / samples.reduce((sum, it) => sum + (it.requests - x) ** 2, 0);
}
