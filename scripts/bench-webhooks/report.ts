import type { Results as BenchResults } from '../bench/report.ts';
import { table, title } from '../bench/report.ts';
import type { FanOutResult, LagResult, RecoveryResult, TroubleResult } from './sending.ts';
import type { Statement } from './statements.ts';

/** What was measured of sending, beside the aims. */

const LAG_P99_MS: Readonly<Record<string, number>> = { PostgreSQL: 1_000, Redis: 300 };
const FAN_OUT_RATIO = 0.4;
const FAN_OUT_PER_SECOND = 300;
const TROUBLE_RATIO = 1.2;
const RECOVERED_PER_SECOND: Readonly<Record<string, number>> = { PostgreSQL: 300, Redis: 800 };

export interface Results {
  machine: BenchResults['machine'];
  lag: LagResult[];
  bare_per_second: number[];
  fan_out: FanOutResult[];
  trouble: TroubleResult[];
  recovery: RecoveryResult[];
}

const fixed = (value: number, digits = 1) => value.toFixed(digits);
const kept = (holds: boolean) => (holds ? 'yes' : 'no');

export function printLag(lags: readonly LagResult[]): void {
  title('From commit to first attempt (aims: p99 <= 1 s on PostgreSQL, <= 300 ms on Redis)');
  table(
    lags.map(({ queue, per_second, p50_ms, p99_ms }) => ({
      queue,
      'events/s': per_second,
      'p50 ms': fixed(p50_ms),
      'p99 ms': fixed(p99_ms),
      kept: kept(p99_ms <= LAG_P99_MS[queue]!),
    })),
  );
}

export function printFanOut(bare: readonly number[], results: readonly FanOutResult[]): void {
  const yardstick = bare.reduce((sum, rate) => sum + rate, 0) / bare.length;
  title(
    `Sustained fan-out (aims: >= ${FAN_OUT_RATIO} of bare signed posts on Redis, >= ${FAN_OUT_PER_SECOND}/s on PostgreSQL; bare: ${bare.map(rate => fixed(rate, 0)).join(', ')}/s)`,
  );
  table(
    results.map(({ queue, count, per_second, cpu }) => ({
      queue,
      deliveries: count,
      'per second': fixed(per_second, 0),
      ratio: fixed(per_second / yardstick, 2),
      'CPU ms each: service': fixed(cpu.service, 2),
      postgres: fixed(cpu.postgres, 2),
      kept: kept(queue === 'Redis' ? per_second / yardstick >= FAN_OUT_RATIO : per_second >= FAN_OUT_PER_SECOND),
    })),
  );
}

export function printStatements(queue: string, statements: readonly Statement[]): void {
  title(`What each delivery asks of the database, queue on ${queue}`);
  table(statements.map(({ text, calls, ms }) => ({ ms: fixed(ms, 3), calls: fixed(calls, 3), text })));
}

export function printTrouble(results: readonly TroubleResult[]): void {
  title(`One dead and one slow among many (aim: the others' p99 <= ${TROUBLE_RATIO} times what it is without)`);
  table(
    results.map(({ queue, rounds, calm_p50_ms, calm_p99_ms, troubled_p50_ms, troubled_p99_ms }) => ({
      queue,
      rounds,
      'p50 calm ms': fixed(calm_p50_ms),
      'p50 beside them': fixed(troubled_p50_ms),
      'p99 calm ms': fixed(calm_p99_ms),
      'p99 beside them': fixed(troubled_p99_ms),
      ratio: fixed(troubled_p99_ms / calm_p99_ms, 2),
      kept: kept(troubled_p99_ms / calm_p99_ms <= TROUBLE_RATIO),
    })),
  );
}

export function printRecovery(results: readonly RecoveryResult[]): void {
  title('Parked deliveries, from when their endpoints are enabled (aims: >= 800/s on Redis, >= 300/s on PostgreSQL)');
  table(
    results.map(({ queue, count, seconds, per_second, asked_s }) => ({
      queue,
      parked: count,
      'enabled after s': fixed(asked_s),
      'all sent after s': fixed(seconds),
      'per second': fixed(per_second, 0),
      kept: kept(per_second >= RECOVERED_PER_SECOND[queue]!),
    })),
  );
}
