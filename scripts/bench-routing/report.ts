import { type Results as BenchResults, table, title } from '../bench/report.ts';
import type { CandidatesResult } from './candidates.ts';

/** What was measured of routing, beside the aims. */

const CANDIDATES_P99_MS = 15;

export interface Results {
  machine: BenchResults['machine'];
  candidates: CandidatesResult[];
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
