import { type CompiledCalendar, dateOf } from './calendar.ts';
import { AGE_BANDS, bandOf } from './case.ts';
import {
  COVERAGE_GAPS,
  type CoverageGap,
  type CoverageTime,
  PROTECTION_STATUSES,
  type ProtectionStatus,
  SERVICES,
  SEXES,
  type Service,
  type Sex,
} from './codes.ts';
import { type Cube, cubesAt } from './cubes.ts';
import { type LegalFacts, lawLets, routesFor } from './routes.ts';
import {
  endangersAsylum,
  hasPlaces,
  type OfferedService,
  outOfService,
  type RoutingRules,
  servesIn,
  takesAge,
  takesSex,
  takesStatus,
} from './routing.ts';
import { dayOf, readingOf } from './wall-clock.ts';

/**
 * The coverage test: for every profile of a person, is there a route to every service, now, in the coming night and on the next
 * closed day? It asks the router's own hard rules, for all at once: who passes a rule is a set of services, and a profile has a
 * route where the sets of its rules have a service in common. What is unknown excludes nobody, as in routing. Pure.
 */

/** What a mechanism has to offer to everybody; `case_management` is how a case changes hands. */
export const COVERED_SERVICES = SERVICES.filter(service => service !== 'case_management');
const COVERED_SEXES = SEXES.filter(sex => sex !== 'unknown');
const COVERED_STATUSES = PROTECTION_STATUSES.filter(status => status !== 'unknown');
/** Of the last age band, in years: a limit above it keeps nobody out who comes. */
const OLDEST = 80;
/** Within so many days a calendar has a closed day, or is taken to have none. */
const CLOSES_WITHIN_DAYS = 366;
const NIGHT_MINUTES = 2 * 60;
const NOON_MINUTES = 12 * 60;

/** A service of the directory, and whether it is open at each of the times; null: its hours are not known. */
export type CoveringService = OfferedService & { is_open: Readonly<Record<CoverageTime, boolean | null>> };

type AgeBand = (typeof AGE_BANDS)[number];

/** What is asked for, each with each. A null stands for a whole in which no regions, or no languages, are told apart. */
export interface Dimensions {
  times: readonly CoverageTime[];
  regions: readonly (string | null)[];
  sexes: readonly Sex[];
  age_bands: readonly AgeBand[];
  protection_statuses: readonly ProtectionStatus[];
  languages: readonly (string | null)[];
}

/** Profiles without a route, or with one through an interpreter only. Null: any. */
export interface GapLine {
  service: Service;
  gap: CoverageGap;
  when: CoverageTime[];
  region: string | null;
  sex: Sex | null;
  age_band: AgeBand | null;
  protection_status: ProtectionStatus | null;
  language: string | null;
  /** How many it stands for. A profile may be in several lines. */
  profiles: number;
}

/** Of the profiles at one time. */
export interface CoverageCount {
  profiles: number;
  /** Those that have a route. */
  covered: number;
  /** Of these, through an interpreter only; and through services only whose hours are not known. */
  with_interpretation: number;
  hours_unknown: number;
  gaps: Record<Exclude<CoverageGap, 'with_interpretation'>, number>;
}

/** The times in question: the next two o'clock at night, and noon of the next closed day. Null: the calendar closes on no day. */
export function coverageTimes(calendar: CompiledCalendar, now: Date): Record<CoverageTime, Date | null> {
  const { time_zone } = calendar;
  const today = dayOf(now, time_zone);
  const isAhead = (at: number) => at > now.getTime();
  const night = [0, 1].map(days => readingOf(today.add({ days }), NIGHT_MINUTES, time_zone, true)).find(isAhead)!;
  const first = calendar.dayOf(now.getTime());
  let weekend: number | undefined;
  for (let day = first; weekend === undefined && day < first + CLOSES_WITHIN_DAYS; day += 1) {
    if (calendar.hoursOf(day).spans.length > 0) continue;
    const noon = readingOf(Temporal.PlainDate.from(dateOf(day)), NOON_MINUTES, time_zone, true);
    if (isAhead(noon)) weekend = noon;
  }
  return { now, tonight: new Date(night), weekend: weekend === undefined ? null : new Date(weekend) };
}

/**
 * What is asked of a jurisdiction: the regions of its country that its directory or its pack name, or that were named once; the
 * languages in which somebody there works, or in which its pack is written.
 */
export function dimensionsOf(
  jurisdiction: string,
  directory: readonly Pick<CoveringService, 'regions' | 'languages'>[],
  {
    neighbours,
    languages,
    known_regions,
  }: { neighbours: object; languages: readonly string[]; known_regions: readonly string[] },
  times: readonly CoverageTime[],
): Dimensions {
  const country = jurisdiction.slice(0, 2);
  const bordering = Object.entries(neighbours).flatMap(([region, others]: [string, readonly string[]]) => [region, ...others]);
  const regions = [...directory.flatMap(({ regions }) => regions), ...bordering, ...known_regions];
  return {
    times,
    regions: orWhole(regions.filter(region => region.startsWith(`${country}-`))),
    sexes: COVERED_SEXES,
    age_bands: AGE_BANDS,
    protection_statuses: COVERED_STATUSES,
    languages: orWhole([...directory.flatMap(({ languages }) => languages), ...languages]),
  };
}

const orWhole = (values: readonly string[]): readonly (string | null)[] =>
  values.length === 0 ? [null] : [...new Set(values)].sort();

/** What is found of one service, cell by cell. */
export interface Found {
  lines: GapLine[];
  counts: Map<CoverageTime, CoverageCount>;
}

/**
 * Looks for routes to one service. Pauses after each part of it, so that whoever drives it may let others go first.
 * @param providers of this service, in the jurisdiction
 * @param options.gaps to be told in lines; those of languages are very many
 * @param options.with_places whether one that is full is passed by, which is known for now alone
 */
export function* findGaps(
  service: Service,
  jurisdiction: string,
  providers: readonly CoveringService[],
  rules: Pick<RoutingRules, 'routes'> & { adult_age: number },
  dimensions: Dimensions,
  { gaps, with_places }: { gaps: readonly CoverageGap[]; with_places: boolean },
): Generator<void, Found> {
  const { times, regions, sexes, age_bands, protection_statuses, languages } = dimensions;
  const setOf = (passes: (provider: CoveringService) => boolean): Uint32Array => toSet(providers, passes);
  const standing = setOf(provider => outOfService(provider).length === 0);
  const of_sex = sexes.map(sex => setOf(provider => takesSex(provider, sex)));
  const of_persons = yield* personsOf(service, providers, rules, dimensions);
  const of_language = languages.map(language =>
    setOf(provider => language === null || provider.languages.length === 0 || provider.languages.includes(language)),
  );
  const of_time = times.map(time => ({
    open: setOf(({ is_open }) => is_open[time] !== false),
    known: setOf(({ is_open }) => is_open[time] === true),
    free: time === 'now' && with_places ? setOf(provider => hasPlaces(provider, 1)) : undefined,
  }));
  yield;

  const counts = new Map(times.map(time => [time, emptyCount()]));
  const sizes = [regions, sexes, age_bands, protection_statuses, languages].map(({ length }) => length);
  const cells = times.map(() => new Uint8Array(sizes.reduce((product, size) => product * size, 1)));
  const words = standing.length;
  const [there, such, open_then] = [new Uint32Array(words), new Uint32Array(words), new Uint32Array(words)];
  const of_that_sex = new Uint32Array(words);
  const worst = new Uint8Array(languages.length);
  let cell = 0;
  for (const region of regions) {
    intersect(
      standing,
      setOf(provider => servesIn(provider, jurisdiction, region)),
      there,
    );
    for (const of_one_sex of of_sex) {
      intersect(there, of_one_sex, of_that_sex);
      for (const persons of of_persons) {
        for (const [t, { open, known, free }] of of_time.entries()) {
          worst.fill(HAS_ROUTE);
          let hours_known = true;
          for (const person of persons) {
            if (!intersect(of_that_sex, person, such)) worst.fill(STRUCTURAL);
            else if (!intersect(such, open, open_then)) raiseTo(worst, CLOSED);
            else if (free && !intersect(open_then, free, open_then)) raiseTo(worst, FULL);
            else {
              for (const [l, speakers] of of_language.entries())
                if (worst[l] === HAS_ROUTE && !meets(open_then, speakers)) worst[l] = WITH_INTERPRETATION;
              hours_known &&= meets(open_then, known);
            }
            if (worst[0] === STRUCTURAL) break;
          }
          cells[t]!.set(worst, cell);
          countCell(counts.get(times[t]!)!, worst, hours_known);
        }
        cell += languages.length;
      }
    }
    yield;
  }

  const lines = new Map<string, GapLine>();
  for (const gap of COVERAGE_GAPS.filter(gap => gaps.includes(gap))) {
    for (const [t, time] of times.entries()) {
      for (const cube of yield* cubesOf(gap, cells[t]!, sizes)) {
        const line = lines.get(`${gap} ${cube.at}`) ?? { ...lineOf(service, gap, cube, dimensions), when: [] };
        line.when.push(time);
        lines.set(`${gap} ${cube.at}`, line);
      }
      yield;
    }
  }
  return { lines: [...lines.values()], counts };
}

/** What a cell holds: the index of what stands in a person's way there, 0 for nothing; the higher, the worse. */
const GRADES = [null, ...COVERAGE_GAPS.toReversed()];
const HAS_ROUTE = 0;
const [STRUCTURAL, CLOSED, FULL, WITH_INTERPRETATION] = COVERAGE_GAPS.map(gap => GRADES.indexOf(gap)) as [
  number,
  number,
  number,
  number,
];

const raiseTo = (worst: Uint8Array, grade: number): void => {
  for (let l = 0; l < worst.length; l += 1) if (worst[l]! < grade) worst[l] = grade;
};

const emptyCount = (): CoverageCount => ({
  profiles: 0,
  covered: 0,
  with_interpretation: 0,
  hours_unknown: 0,
  gaps: { structural: 0, closed: 0, full: 0 },
});

function countCell(count: CoverageCount, grades: Uint8Array, hours_known: boolean): void {
  for (const grade of grades) {
    count.profiles += 1;
    const gap = GRADES[grade]!;
    if (gap !== null && gap !== 'with_interpretation') count.gaps[gap] += 1;
    else {
      count.covered += 1;
      if (gap === 'with_interpretation') count.with_interpretation += 1;
      if (!hours_known) count.hours_unknown += 1;
    }
  }
}

/**
 * For each age band and protection status: who takes persons of its ages, each different set of services once. A band has a route
 * where each of its years has one. The law is asked of an urgent case of one person, who complained of nothing, and what has to
 * come first has come.
 */
function* personsOf(
  service: Service,
  providers: readonly CoveringService[],
  { routes, adult_age }: Pick<RoutingRules, 'routes'> & { adult_age: number },
  { age_bands, protection_statuses }: Dimensions,
): Generator<void, Uint32Array[][]> {
  const completed = routes.flatMap(({ after }) =>
    after ? after.agency_kinds.map(agency_kind => ({ service: after.service, agency_kind })) : [],
  );
  const years = Array.from({ length: OLDEST + 1 }, (_, year) => year);
  const of_age = years.map(year => toSet(providers, provider => takesAge(provider, year)));
  const of_status = protection_statuses.map(status =>
    toSet(providers, provider => takesStatus(provider, service, status) && !endangersAsylum(provider.kind, status)),
  );
  const lawful = new Map<string, Uint32Array>();
  const lawfulFor = (age: number, protection_status: ProtectionStatus): Uint32Array => {
    const facts: LegalFacts = {
      urgency: 'urgent',
      stage: 'presumed',
      age,
      adult_age,
      protection_status,
      grouped: false,
      complainant: false,
      completed,
    };
    const holding = routesFor(routes, service, facts);
    const key = holding.map(route => routes.indexOf(route)).join();
    const known = lawful.get(key) ?? toSet(providers, ({ kind }) => lawLets(holding, kind, facts));
    lawful.set(key, known);
    return known;
  };
  const persons: Uint32Array[][] = [];
  for (const band of age_bands) {
    for (const [i, status] of protection_statuses.entries()) {
      const different = new Map<string, Uint32Array>();
      for (const year of years.filter(year => bandOf(year) === band)) {
        const takers = new Uint32Array(of_age[year]!.length);
        intersect(of_age[year]!, of_status[i]!, takers);
        intersect(takers, lawfulFor(year, status), takers);
        different.set(takers.join(), takers);
      }
      persons.push(withoutLarger([...different.values()]));
    }
    yield;
  }
  return persons;
}

/** Where the smaller of two sets has somebody, the larger has, too: it need not be looked at. */
const withoutLarger = (sets: readonly Uint32Array[]): Uint32Array[] =>
  sets.filter(larger => !sets.some(smaller => smaller !== larger && isWithin(smaller, larger)));

function isWithin(smaller: Uint32Array, larger: Uint32Array): boolean {
  for (let i = 0; i < smaller.length; i += 1) if ((smaller[i]! & ~larger[i]!) !== 0) return false;
  return true;
}

/** A set of services, a bit for each. */
function toSet(providers: readonly CoveringService[], passes: (provider: CoveringService) => boolean): Uint32Array {
  const set = new Uint32Array(Math.ceil(providers.length / 32));
  for (const [i, provider] of providers.entries()) if (passes(provider)) set[i >>> 5]! |= 1 << (i & 31);
  return set;
}

/** Writes what both have into `into`. @returns whether that is anything */
function intersect(a: Uint32Array, b: Uint32Array, into: Uint32Array): boolean {
  let any = 0;
  for (let i = 0; i < into.length; i += 1) any |= into[i] = a[i]! & b[i]!;
  return any !== 0;
}

function meets(a: Uint32Array, b: Uint32Array): boolean {
  for (let i = 0; i < a.length; i += 1) if ((a[i]! & b[i]!) !== 0) return true;
  return false;
}

/** Where the cells of a grade are. Whoever has no route has none in any language. */
function* cubesOf(gap: CoverageGap, cells: Uint8Array, sizes: readonly number[]): Generator<void, Cube[]> {
  const grade = GRADES.indexOf(gap);
  if (gap === 'with_interpretation') return yield* cubesAt(cells, grade, sizes);
  // Whoever has no route has none in any language.
  const languages = sizes.at(-1)!;
  const of_one = Uint8Array.from({ length: cells.length / languages }, (_, cell) => cells[cell * languages]!);
  const cubes = yield* cubesAt(of_one, grade, sizes.with(-1, 1));
  return cubes.map(({ at, cells }) => ({ at: at.with(-1, languages > 1 ? null : 0), cells: cells * languages }));
}

function lineOf(service: Service, gap: CoverageGap, { at, cells }: Cube, dimensions: Dimensions): Omit<GapLine, 'when'> {
  const { regions, sexes, age_bands, protection_statuses, languages } = dimensions;
  const value = <T>(values: readonly T[], d: number): T | null => (at[d] === null ? null : values[at[d]!]!);
  return {
    service,
    gap,
    region: value(regions, 0),
    sex: value(sexes, 1),
    age_band: value(age_bands, 2),
    protection_status: value(protection_statuses, 3),
    language: value(languages, 4),
    profiles: cells,
  };
}
