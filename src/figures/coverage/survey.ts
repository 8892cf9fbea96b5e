import { setImmediate } from 'node:timers/promises';
import { listCandidates, listOpenAt } from '../../agencies/store.ts';
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
import type { PackInForce } from '../../core/rule-pack.ts';
import { asSystem, type Tx } from '../../platform/database.ts';
import { calendarsOf } from '../../rules/calendars/store.ts';
import { getCurrentRulePack } from '../../rules/store.ts';
import { findCoverageState } from './store.ts';

/** A jurisdiction as the coverage test looks at it: who is there, under which rules, and what is asked for when. */
export interface Survey {
  jurisdiction: string;
  pack: PackInForce;
  times: ReadonlyMap<CoverageTime, Date>;
  directory: ReadonlyMap<Service, readonly CoveringService[]>;
  dimensions: Dimensions;
}

/** @param of.pool whose database it is */
export async function takeSurvey(of: { pool: object; now(): Date }, tx: Tx, jurisdiction: string, now: Date): Promise<Survey> {
  const [pack, state] = await Promise.all([
    getCurrentRulePack(of, tx, jurisdiction),
    asSystem(tx, 'router', tx => findCoverageState(tx, jurisdiction)),
  ]);
  const { compiled } = await calendarsOf(of).get(tx, pack.calendar_id);
  const at = coverageTimes(compiled, now);
  const times = new Map(COVERAGE_TIMES.flatMap(time => (at[time] ? [[time, at[time]] as const] : [])));
  const directory = await listCovering(tx, jurisdiction, times);
  const languages = pack.stages.flatMap(({ names }) => Object.keys(names));
  const known = { neighbours: pack.routing.neighbours, languages, known_regions: state?.regions ?? [] };
  return {
    jurisdiction,
    pack,
    times,
    directory: Map.groupBy(directory, ({ service }) => service),
    dimensions: dimensionsOf(jurisdiction, directory, known, [...times.keys()]),
  };
}

/** The directory, with whether each service is open at each of the times. */
async function listCovering(tx: Tx, jurisdiction: string, times: ReadonlyMap<CoverageTime, Date>): Promise<CoveringService[]> {
  const [listed, hours] = await Promise.all([
    listCandidates(tx, { jurisdiction }, times.get('now')!),
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
  { jurisdiction, pack, directory, dimensions }: Survey,
  services: readonly Service[],
  told: { gaps: readonly CoverageGap[]; with_places: boolean },
): Promise<{ lines: GapLine[]; counts: Map<CoverageTime, CoverageCount> }> {
  const rules = { routes: pack.routes, adult_age: pack.consent.adult_age.years };
  const lines: GapLine[] = [];
  const counts = new Map<CoverageTime, CoverageCount>();
  for (const service of services) {
    const found = await inSteps(findGaps(service, jurisdiction, directory.get(service) ?? [], rules, dimensions, told));
    lines.push(...found.lines);
    for (const [time, count] of found.counts) counts.set(time, sumOf(count, counts.get(time)));
  }
  return { lines, counts };
}

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
