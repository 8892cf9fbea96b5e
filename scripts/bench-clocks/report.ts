import type { Results as BenchResults } from '../bench/report.ts';
import { table, title } from '../bench/report.ts';
import type { IdleResult, LagResult, OutageResult } from './firing.ts';

/** What was measured of the clocks, beside the aims. */

const IDLE_RATIO = 1.2;
const LAG_P99_MS = 500;
const OUTAGE_S = 60;
const EMERGENCIES_S = 5;

export interface Results {
  machine: BenchResults['machine'];
  idle: IdleResult[];
  lag: LagResult;
  outage: OutageResult;
}

const fixed = (value: number, digits = 1) => value.toFixed(digits);
const kept = (holds: boolean) => (holds ? 'yes' : 'no');

export function printIdle(idle: readonly IdleResult[]): void {
  const least = idle[0]!;
  title(`A sweep that finds nothing (aim: <= ${IDLE_RATIO} times what it costs at ${least.armed})`);
  table(
    idle.map(({ armed, median_ms }) => {
      const ratio = median_ms / least.median_ms;
      return { armed, 'median ms': fixed(median_ms, 3), ratio: fixed(ratio, 2), kept: kept(ratio <= IDLE_RATIO) };
    }),
  );
}

export function printLag({ per_second, fired, p50_ms, p99_ms, highest_ms }: LagResult): void {
  title(`From due to committed, ${per_second} falling due a second (aim: p99 <= ${LAG_P99_MS} ms)`);
  table([
    {
      fired,
      'p50 ms': fixed(p50_ms),
      'p99 ms': fixed(p99_ms),
      'highest ms': fixed(highest_ms),
      kept: kept(p99_ms <= LAG_P99_MS),
    },
  ]);
}

export function printOutage({ warnings, expiries, emergencies, emergencies_s, warnings_s, all_s, cpu }: OutageResult): void {
  title(
    `${warnings} warnings and ${expiries} expiries due at once, ${emergencies} of emergencies (aims: all within ${OUTAGE_S} s, those within ${EMERGENCIES_S} s)`,
  );
  table([
    {
      'emergencies s': fixed(emergencies_s),
      'warnings s': fixed(warnings_s),
      'all s': fixed(all_s),
      'per second': Math.round((warnings + expiries) / all_s),
      'CPU ms each: service': fixed(cpu.service, 2),
      postgres: fixed(cpu.postgres, 2),
      kept: kept(all_s <= OUTAGE_S && emergencies_s <= EMERGENCIES_S),
    },
  ]);
}
