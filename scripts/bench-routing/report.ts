import { type Results as BenchResults, table, title } from '../bench/report.ts';
import type { CandidatesResult } from './candidates.ts';
import type { CoverageResult } from './coverage.ts';
import type { PlacesResult } from './places.ts';

/** What was measured of routing, beside the aims. */

const CANDIDATES_P99_MS = 15;
const COVERAGE_MS = 3_000;

export interface Results {
  machine: BenchResults['machine'];
  candidates: CandidatesResult[];
  places: PlacesResult;
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

export function printPlaces({ referrals, places, ...it }: PlacesResult): void {
  title(`${referrals} automatic referrals for ${places} places (aim: none given twice, none left empty while somebody waits)`);
  table([
    {
      'all had one within s': fixed(it.seconds, 0),
      'refer p99 ms': fixed(it.refer_p99_ms, 0),
      declined: it.declined,
      'too late': it.refused,
      looks: it.looks,
      'given twice': it.given_twice,
      'longest empty ms': fixed(it.longest_empty_ms, 0),
      'left empty': it.left_empty,
      kept: it.given_twice === 0 && it.left_empty === 0 ? 'yes' : 'no',
    },
  ]);
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
