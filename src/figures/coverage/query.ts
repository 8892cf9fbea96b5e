import { read } from '../../audit/read.ts';
import { type AgencyActor, authorise, coordinates, isAllowed, type Relation } from '../../core/access.ts';
import { COVERAGE_GAPS, type CoverageGap, type CoverageTime } from '../../core/codes.ts';
import { COVERED_SERVICES, type CoverageCount, type GapLine } from '../../core/coverage.ts';
import { csvRow } from '../../core/csv.ts';
import type { Tx } from '../../platform/database.ts';
import { decodeCursor, encodeCursor, pageLimit, toPage } from '../../platform/http/paging.ts';
import type { Services } from '../../services.ts';
import type { CoverageQuery } from './schema.ts';
import { lookForGaps, takeSurvey } from './survey.ts';

/**
 * The coverage of the jurisdictions of an agency. That somebody takes nobody, or is closed, stands in the directory, which is open;
 * that all are full is for coordinators to know. To them it tells no more of a sheltered place than its capacity does, which shows
 * as none or some.
 */

type Line = GapLine & { jurisdiction: string };
type Total = Omit<CoverageCount, 'gaps'> & {
  jurisdiction: string;
  rule_pack_version: number;
  when: CoverageTime;
  at: string;
  gaps: Partial<CoverageCount['gaps']>;
};

interface Found {
  lines: Line[];
  totals: Total[];
  as_of: string;
}

/** A page of the gaps. @throws Problem `not_found` for another's jurisdiction, `forbidden` */
export const readCoverage = (services: Services, actor: AgencyActor, query: CoverageQuery) =>
  recorded(services, actor, query, async tx => {
    const { lines, ...found } = await findCoverage(services, tx, actor, query);
    const [after = ''] = (decodeCursor(query.cursor, 1) ?? []) as [string?];
    const page = toPage(
      lines.filter(line => placeOf(line) > String(after)),
      pageLimit(query),
      line => encodeCursor(placeOf(line)),
      line => line,
    );
    return { ...page, ...found };
  });

/** All of the gaps, for people with spreadsheets. Null is an empty cell. */
export const exportCoverage = (services: Services, actor: AgencyActor, query: CoverageQuery) =>
  recorded(services, actor, query, async tx => {
    const { lines } = await findCoverage(services, tx, actor, query);
    const rows = lines.map(line => csvRow(COLUMNS.map(column => (column === 'when' ? line.when.join(' ') : line[column]))));
    return [csvRow(COLUMNS), ...rows].join('');
  });

const COLUMNS = [
  'jurisdiction',
  'service',
  'gap',
  'when',
  'region',
  'sex',
  'age_band',
  'protection_status',
  'language',
  'profiles',
] as const satisfies readonly (keyof Line)[];

const recorded = <View>(
  services: Services,
  actor: AgencyActor,
  { jurisdiction }: CoverageQuery,
  look: (tx: Tx) => Promise<View>,
) => read(services, actor, 'coverage.read', jurisdiction === undefined ? null : { subject_id: jurisdiction }, look);

async function findCoverage(services: Services, tx: Tx, actor: AgencyActor, query: CoverageQuery): Promise<Found> {
  const asked = query.jurisdiction === undefined ? actor.jurisdictions : [query.jurisdiction];
  for (const jurisdiction of asked) authorise(actor, 'coverage.read', relationsTo(actor, jurisdiction));
  const now = services.now();
  const found: Found = { lines: [], totals: [], as_of: now.toISOString() };
  for (const jurisdiction of asked.filter(code => query.region === undefined || isOfCountry(query.region, code)).toSorted()) {
    const of_one = await findOf(services, tx, actor, jurisdiction, query, now);
    found.lines.push(...of_one.lines);
    found.totals.push(...of_one.totals);
  }
  found.lines.sort((a, b) => (placeOf(a) < placeOf(b) ? -1 : 1));
  return found;
}

async function findOf(
  services: Services,
  tx: Tx,
  actor: AgencyActor,
  jurisdiction: string,
  { service, region, when, gap }: CoverageQuery,
  now: Date,
): Promise<Pick<Found, 'lines' | 'totals'>> {
  const survey = await takeSurvey(services, tx, jurisdiction, now);
  const { times, regions } = survey.dimensions;
  const dimensions = {
    ...survey.dimensions,
    times: when === undefined ? times : times.filter(time => time === when),
    regions: region === undefined ? regions : [region],
  };
  const with_places = isAllowed(
    actor,
    'coverage.read',
    relationsTo(actor, jurisdiction).filter(it => it === 'coordinator'),
  );
  const told = { gaps: gap === undefined ? WITHOUT_A_ROUTE : [gap], with_places };
  const of_services = service === undefined ? COVERED_SERVICES : [service];
  const { lines, counts } = await lookForGaps({ ...survey, dimensions }, of_services, told);
  return {
    lines: lines.map(line => ({ jurisdiction, ...line })),
    totals: [...counts].map(([time, { gaps, ...count }]) => {
      const { full, ...others } = gaps;
      return {
        jurisdiction,
        rule_pack_version: survey.pack.version,
        crisis_modes: [...new Set(dimensions.regions.flatMap(region => survey.packIn(region).crisis?.id ?? []))],
        when: time,
        at: survey.times.get(time)!.toISOString(),
        ...count,
        gaps: with_places ? gaps : others,
      };
    }),
  };
}

const WITHOUT_A_ROUTE: readonly CoverageGap[] = COVERAGE_GAPS.filter(gap => gap !== 'with_interpretation');

const relationsTo = (actor: AgencyActor, jurisdiction: string): Relation[] => [
  ...(actor.jurisdictions.includes(jurisdiction) ? (['reader'] as const) : []),
  ...(coordinates(actor, jurisdiction) ? (['coordinator'] as const) : []),
];

const isOfCountry = (region: string, jurisdiction: string): boolean => region.slice(0, 2) === jurisdiction.slice(0, 2);

/** The worst first, and of these what is any before what is named: also where a page goes on. */
const placeOf = ({ jurisdiction, service, gap, region, sex, age_band, protection_status, language }: Line): string =>
  [COVERAGE_GAPS.indexOf(gap), jurisdiction, service, region, sex, age_band, protection_status, language].join(' ');
