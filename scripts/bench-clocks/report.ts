import type { Results as BenchResults } from '../bench/report.ts';
import { table, title } from '../bench/report.ts';
import type { IdleResult, LagResult, OutageResult } from './firing.ts';
import type { HolidayResult } from './holiday.ts';
import type { ArmedResult } from './jobs.ts';
import type { ReckoningResult } from './reckoning.ts';

/** What was measured of the clocks, beside the aims. */

const IDLE_RATIO = 1.2;
const LAG_P99_MS = 500;
const OUTAGE_S = 60;
const EMERGENCIES_S = 5;
const MOVED_S = 60;
const ACCEPT_RATIO = 2;
const RECKONED_S = 10;

export interface Results {
  machine: BenchResults['machine'];
  idle: IdleResult[];
  lag: LagResult;
  outage: OutageResult;
  holiday: HolidayResult;
  reckoning: ReckoningResult;
  armed: ArmedResult[];
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

export function printHoliday({ moved, seconds, before, meanwhile }: HolidayResult): void {
  const ratio = meanwhile.p99_ms / before.p99_ms;
  title(`A holiday that moves ${moved} clocks (aims: <= ${MOVED_S} s; p99 of acceptances <= ${ACCEPT_RATIO} times what it was)`);
  table([
    {
      seconds: fixed(seconds),
      'moved/s': Math.round(moved / seconds),
      'p99 before ms': fixed(before.p99_ms),
      'p99 meanwhile ms': fixed(meanwhile.p99_ms),
      'p50 before': fixed(before.p50_ms),
      'p50 meanwhile': fixed(meanwhile.p50_ms),
      accepted: meanwhile.count,
      ratio: fixed(ratio, 2),
      kept: kept(seconds <= MOVED_S && ratio <= ACCEPT_RATIO),
    },
  ]);
}

export function printReckoning({ count, seconds }: ReckoningResult): void {
  const per_million = (seconds / count) * 1_000_000;
  title(`${count} reckonings of working_days (aim: a million within ${RECKONED_S} s)`);
  table([{ seconds: fixed(seconds, 2), 's per million': fixed(per_million, 2), kept: kept(per_million <= RECKONED_S) }]);
}

export function printArmed(armed: readonly ArmedResult[], per_second: number): void {
  title(
    `One row for each clock, or one delayed job of BullMQ (which does nothing when it is due); lag at ${per_second} a second`,
  );
  table(
    armed.map(({ how, armed, per_second, mib, lag }) => ({
      how,
      armed,
      'armed/s': Math.round(per_second),
      'MiB, on disk or in memory': fixed(mib),
      'lag p50 ms': fixed(lag.p50_ms),
      'p99 ms': fixed(lag.p99_ms),
    })),
  );
}
