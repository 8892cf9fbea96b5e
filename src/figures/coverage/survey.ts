import { setImmediate } from 'node:timers/promises';
import { listCandidates, listOpenAt } from '../../agencies/candidates-store.ts';
import { COVERAGE_TIMES, type CoverageGap, type CoverageTime, type Service } from '../../core/codes.ts';
import {
  type CoverageCount,
  type CoveringService,
  coverageTimes,
  type Dimensions,
  dimensionsOf,
  findGaps,
  type GapLine,
} from '../../core/coverage.ts';
import { modeUnder } from '../../core/crisis.ts';
import type { PackInForce } from '../../core/rule-pack.ts';
import { asSystem, type Tx } from '../../platform/database.ts';
import { calendarsOf } from '../../rules/calendars/store.ts';
import { findRules, getRulePack, packIn } from '../../rules/store.ts';
import { findCoverageState } from './store.ts';

/** A jurisdiction as the coverage test looks at it: who is there, under which rules, and what is asked for when. */
export interface Survey {
  jurisdiction: string;
  /** As it is where no crisis holds. */
  pack: PackInForce;
  /** As it holds in a region. */
  packIn: (region: string | null) => PackInForce;
  times: ReadonlyMap<CoverageTime, Date>;
  /** The hours still to come that were the same ones when it was looked at then. */
  sameHours: (looked_at: Date) => CoverageTime[];
  directory: ReadonlyMap<Service, readonly CoveringService[]>;
  dimensions: Dimensions;
}

/** @param of.pool whose database it is */
export async function takeSurvey(of: { pool: object; now(): Date }, tx: Tx, jurisdiction: string, now: Date): Promise<Survey> {
  const [rules, state] = await Promise.all([
    findRules(tx, jurisdiction),
    asSystem(tx, 'router', tx => findCoverageState(tx, jurisdiction)),
  ]);
  const pack = await getRulePack(of, tx, jurisdiction, rules.version);
  const { compiled } = await calendarsOf(of).get(tx, pack.calendar_id);
  const at = coverageTimes(compiled, now);
  const times = new Map(COVERAGE_TIMES.flatMap(time => (at[time] ? [[time, at[time]] as const] : [])));
  const directory = await listCovering(of, tx, jurisdiction, times);
  const languages = pack.stages.flatMap(({ names }) => Object.keys(names));
  const known = { neighbours: pack.routing.neighbours, languages, known_regions: state?.regions ?? [] };
  const dimensions = dimensionsOf(jurisdiction, directory, known, [...times.keys()]);
  return {
    jurisdiction,
    pack,
    packIn: region => packIn(pack, rules.modes, region, now),
    times,
    sameHours: looked_at => {
      const then = coverageTimes(compiled, looked_at);
      return COVERAGE_TIMES.filter(time => time !== 'now' && then[time]?.getTime() === at[time]?.getTime());
    },
    directory: Map.groupBy(directory, ({ service }) => service),
    dimensions,
  };
}

/** The directory, with whether each service is open at each of the times. */
async function listCovering(
  of: { pool: object },
  tx: Tx,
  jurisdiction: string,
  times: ReadonlyMap<CoverageTime, Date>,
): Promise<CoveringService[]> {
  const [listed, hours] = await Promise.all([
    listCandidates(of, tx, { jurisdiction }, times.get('now')!),
    listOpenAt(tx, jurisdiction, [...times.values()]),
  ]);
  const nameOf = ({ agency_id, service }: { agency_id: string; service: Service }) => `${agency_id} ${service}`;
  const unknown: CoveringService['is_open'] = { now: null, tonight: null, weekend: null };
  const known = new Map(
    hours.map(row => [
      nameOf(row),
      { ...unknown, ...Object.fromEntries([...times.keys()].map((time, i) => [time, row.open[i]!])) },
    ]),
  );
  return listed.map(row => ({ ...row, is_open: known.get(nameOf(row)) ?? unknown }));
}

/**
 * Looks for routes to these services. However large the directory is, other work of the process goes on meanwhile.
 * @returns the lines by service, and over all of them the counts
 */
export async function lookForGaps(
  { jurisdiction, packIn, directory, dimensions }: Survey,
  services: readonly Service[],
  told: { gaps: readonly CoverageGap[]; with_places: boolean },
): Promise<{ lines: GapLine[]; counts: Map<CoverageTime, CoverageCount> }> {
  const lines: GapLine[] = [];
  const counts = new Map<CoverageTime, CoverageCount>();
  // A crisis may hold in some of the regions.
  for (const regions of Map.groupBy(dimensions.regions, region => packIn(region).crisis?.id).values()) {
    const pack = packIn(regions[0]!);
    const rules = { routes: pack.routes, adult_age: pack.consent.adult_age.years };
    const is_all = regions.length === dimensions.regions.length;
    for (const service of services) {
      const working = (directory.get(service) ?? []).map(it => ({
        ...it,
        operating_mode: modeUnder(it.operating_mode, it.kind, pack.crisis),
      }));
      const found = await inSteps(findGaps(service, jurisdiction, working, rules, { ...dimensions, regions }, told));
      lines.push(...(is_all ? found.lines : found.lines.flatMap(line => inEach(line, regions))));
      for (const [time, count] of found.counts) counts.set(time, sumOf(count, counts.get(time)));
    }
  }
  return { lines, counts };
}

/** What is missing in any region of a part, said of each: any would say of all that there are. */
const inEach = (line: GapLine, regions: Dimensions['regions']): GapLine[] =>
  line.region === null ? regions.map(region => ({ ...line, region, profiles: line.profiles / regions.length })) : [line];

async function inSteps<T>(steps: Generator<void, T>): Promise<T> {
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
    await setImmediate();
  }
}

const sumOf = (a: CoverageCount, b: CoverageCount | undefined): CoverageCount =>
  b === undefined
    ? a
    : {
        profiles: a.profiles + b.profiles,
        covered: a.covered + b.covered,
        with_interpretation: a.with_interpretation + b.with_interpretation,
        hours_unknown: a.hours_unknown + b.hours_unknown,
        gaps: {
          structural: a.gaps.structural + b.gaps.structural,
          closed: a.gaps.closed + b.gaps.closed,
          full: a.gaps.full + b.gaps.full,
        },
      };
