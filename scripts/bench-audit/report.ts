import type { Results as BenchResults } from '../bench/report.ts';
import { table, title } from '../bench/report.ts';
import type { ExportResult, VerifyResult } from './files.ts';
import type { QueriesResult } from './queries.ts';
import type { DrainResult, SubmitResult } from './sequencing.ts';

/** What was measured of the log, beside the aims. */

const MERGE_P99_MS = 1_000;
const DRAIN_PER_SECOND = 10_000;
const SUBMIT_RATIO = 0.85;
const CASE_P99_MS = 20;
const COMBINATION_MS = 100;
const VERIFY_RATIO = 3;
const EXPORT_PER_SECOND = 15_000;
const EXPORT_MIB = 150;

const WORST = 20;

export interface Results {
  machine: BenchResults['machine'];
  submits: SubmitResult[];
  export: ExportResult;
  verify: VerifyResult;
  queries: QueriesResult & { entries: number };
  drains: DrainResult[];
}

const ms = (value: number) => value.toFixed(1);
const kept = (holds: boolean) => (holds ? 'yes' : 'no');

export function printSubmits(submits: readonly SubmitResult[]): void {
  title(`Submits with and without sequencing (aim: ratio >= ${SUBMIT_RATIO})`);
  table(
    submits.map(it => ({
      clients: it.clients,
      'without/s': Math.round(it.without),
      'with/s': Math.round(it.with),
      ratio: it.ratio.toFixed(3),
      kept: kept(it.ratio >= SUBMIT_RATIO),
    })),
  );
  title(
    `Merge delay, from when an act was recorded (before it committed) to when it was published (aim: p99 <= ${MERGE_P99_MS} ms)`,
  );
  table(
    submits.map(({ clients, delay }) => ({
      clients,
      entries: delay.entries,
      'p50 ms': delay.p50_ms,
      'p99 ms': delay.p99_ms,
      'highest ms': delay.highest_ms,
      kept: kept(delay.p99_ms <= MERGE_P99_MS),
    })),
  );
}

export function printDrains(drains: readonly DrainResult[]): void {
  title(`Sequencing when behind (aim: >= ${DRAIN_PER_SECOND}/s)`);
  table(
    drains.map(it => ({
      'what waits': it.what,
      'entries in the log': it.size,
      sequenced: it.entries,
      'per second': Math.round(it.per_second),
      kept: kept(it.per_second >= DRAIN_PER_SECOND),
    })),
  );
}

export function printQueries({ cases, combinations }: QueriesResult, entries: number): void {
  title(`Query by case, among ${entries} entries (aim: p99 <= ${CASE_P99_MS} ms)`);
  table(
    cases.map(({ what, measured }, i) => ({
      what,
      asked: measured.steps,
      'p50 ms': ms(measured.p50_ms),
      'p99 ms': ms(measured.p99_ms),
      kept: i === 0 ? '' : kept(measured.p99_ms <= CASE_P99_MS),
    })),
  );
  const beyond = combinations.filter(it => it.middle_ms > COMBINATION_MS);
  title(
    `${combinations.length} combinations of filters (aim: each <= ${COMBINATION_MS} ms): ${beyond.length} took longer; the slowest`,
  );
  table(
    combinations
      .toSorted((a, b) => b.middle_ms - a.middle_ms)
      .slice(0, WORST)
      .map(it => ({
        'p50 ms': ms(it.middle_ms),
        'highest ms': ms(it.highest_ms),
        rows: it.rows,
        whose: it.whose,
        query: it.query,
      })),
  );
}

export function printExport(it: ExportResult): void {
  title('Export over HTTP');
  console.log(
    `${it.entries} entries, ${(it.bytes / 1e6).toFixed(0)} MB: ${Math.round(it.per_second)} a second (aim >= ${EXPORT_PER_SECOND}: ${kept(it.per_second >= EXPORT_PER_SECOND)});`,
  );
  console.log(
    `resident: ${Math.round(it.resident_before_mib)} MiB before, ${Math.round(it.resident_mib)} at most (aim <= ${EXPORT_MIB}: ${kept(it.resident_mib <= EXPORT_MIB)})`,
  );
}

export function printVerify({ entries, seconds, bare_seconds, bare_hmac_seconds, said }: VerifyResult): void {
  title('Verified offline');
  console.log(
    `${entries} entries in ${seconds.toFixed(1)} s, ${Math.round(entries / seconds)} a second; the hashes alone ${bare_seconds.toFixed(1)} s, ratio ${(seconds / bare_seconds).toFixed(2)} (aim <= ${VERIFY_RATIO}: ${kept(seconds <= VERIFY_RATIO * bare_seconds)});`,
  );
  console.log(`with node:crypto's own HMAC ${bare_hmac_seconds.toFixed(1)} s, ratio ${(seconds / bare_hmac_seconds).toFixed(2)}`);
  console.log(said.replaceAll(/^/gm, '  ').trimEnd());
}
