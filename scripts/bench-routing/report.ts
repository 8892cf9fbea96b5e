import { type Results as BenchResults, table, title } from '../bench/report.ts';
import type { CandidatesResult } from './candidates.ts';
import type { CoverageResult } from './coverage.ts';

/** What was measured of routing, beside the aims. */

const CANDIDATES_P99_MS = 15;
const COVERAGE_MS = 3_000;

export interface Results {
  machine: BenchResults['machine'];
  candidates: CandidatesResult[];
  coverage: CoverageResult;
}

const fixed = (value: number | undefined, digits = 1) => value?.toFixed(digits) ?? '';

export function printCandidates(results: readonly CandidatesResult[]): void {
  title(`Candidates for one need over HTTP, first page (aim: p99 <= ${CANDIDATES_P99_MS} ms)`);
  table(
    results.map(({ directory, services, clients, per_second, p50_ms, p99_ms, cpu }) => ({
      services,
      of: directory,
      clients,
      '/s': fixed(per_second, 0),
      'p50 ms': fixed(p50_ms),
      'p99 ms': fixed(p99_ms),
      'service CPU ms': fixed(cpu?.service),
      'PostgreSQL CPU ms': fixed(cpu?.postgres),
      kept: p99_ms <= CANDIDATES_P99_MS ? 'yes' : 'no',
    })),
  );
}

export function printCoverage({ services, profiles, gaps, rounds_ms, longest_block_ms }: CoverageResult): void {
  title(`The coverage of a country (aim: <= ${COVERAGE_MS} ms)`);
  const slowest_ms = Math.max(...rounds_ms);
  table([
    {
      services,
      profiles,
      gaps,
      'fastest ms': fixed(Math.min(...rounds_ms), 0),
      'slowest ms': fixed(slowest_ms, 0),
      'longest block ms': fixed(longest_block_ms, 0),
      kept: slowest_ms <= COVERAGE_MS ? 'yes' : 'no',
    },
  ]);
}
