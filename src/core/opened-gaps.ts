import { COVERAGE_TIMES, type CoverageGap, type CoverageTime, type Service } from './codes.ts';
import type { Dimensions, GapLine } from './coverage.ts';

/** What a change has opened of the gaps that coverage.ts finds. Pure. */

/** What a service lacks that it did not lack before. */
export interface OpenedGap {
  service: Service;
  /** `structural`: nobody takes such persons; `closed`: whoever does is closed then. */
  gap: OpenedGapCode;
  when: CoverageTime[];
  regions: string[];
  /** Of them, by sex, age band and protection status: languages are not counted. */
  profiles: number;
}

/** What a change of directory or rules opens; places and languages come and go. */
export const OPENED_GAPS = ['structural', 'closed'] as const satisfies readonly CoverageGap[];
export type OpenedGapCode = (typeof OPENED_GAPS)[number];
const isOpened = (gap: CoverageGap): boolean => (OPENED_GAPS as readonly CoverageGap[]).includes(gap);

/**
 * Gaps of one service that a change has opened, worst first: what is missing altogether is not told again as closed. In a region
 * that was not known before nobody has lost anything.
 * @param before what it lacked, as `findGaps` said it
 * @param times of those that are hours still to come, the ones that both were found for
 */
export function openedGaps(
  service: Service,
  before: readonly GapLine[],
  after: readonly GapLine[],
  known_regions: readonly string[],
  dimensions: Dimensions,
  times: readonly CoverageTime[],
): OpenedGap[] {
  const lacking = (lines: readonly GapLine[], isMeant: (line: GapLine) => boolean) =>
    new Map(
      lines
        .filter(line => line.service === service && isMeant(line))
        .flatMap(line => profilesOf(line, dimensions))
        .map(profile => [profile.key, profile.region]),
    );
  const opened = (gap: OpenedGapCode, when: CoverageTime[], isMeant: (line: GapLine) => boolean): OpenedGap[] => {
    const lacked = lacking(before, isMeant);
    const found = [...lacking(after, isMeant)].filter(
      ([key, region]) => !lacked.has(key) && (region === null || known_regions.includes(region)),
    );
    if (found.length === 0) return [];
    const regions = new Set(found.flatMap(([, region]) => region ?? []));
    return [{ service, gap, when, regions: [...regions].sort(), profiles: found.length }];
  };
  const structural = opened('structural', [...COVERAGE_TIMES], line => line.gap === 'structural');
  if (structural.length > 0) return structural;
  return times.flatMap(time => opened('closed', [time], line => isOpened(line.gap) && line.when.includes(time)));
}

function profilesOf(line: GapLine, { regions, sexes, age_bands, protection_statuses }: Dimensions) {
  const each = <T>(value: T | null, values: readonly T[]): readonly T[] => (value === null ? values : [value]);
  return each(line.region, regions).flatMap(region =>
    each(line.sex, sexes).flatMap(sex =>
      each(line.age_band, age_bands).flatMap(age_band =>
        each(line.protection_status, protection_statuses).map(status => ({
          region,
          key: `${region} ${sex} ${age_band} ${status}`,
        })),
      ),
    ),
  );
}
