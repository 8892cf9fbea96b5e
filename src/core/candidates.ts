import type { TOLD_EXCLUSIONS } from './codes.ts';
import { BY_PLACES, type Candidate, type CandidateService, type Exclusion, placesLeft, type Reason, tiesOf } from './routing.ts';

/**
 * What is told of a ranking to those who look at it. A place that has to stay hidden could be told by what speaks for and
 * against it, for the directory is open: so all hidden places that could be asked stand together with one score, and of the
 * others it is said only that they cannot be asked. What speaks against an agency because of the person is told to those who
 * may know the person.
 */

export type ToldExclusion = (typeof TOLD_EXCLUSIONS)[number];

export interface ToldCandidate {
  agency_id: string;
  kind: CandidateService['kind'];
  /** Nothing here but what follows may be shown of it. */
  hidden: boolean;
  score: number;
  reasons: Reason[];
  excluded_by: ToldExclusion[];
  /** Whether any place is left, whoever needs how many. */
  places: 'none' | 'some';
  /** Places left; null without a count. Undefined where only `places` may be told. */
  available?: number | null;
}

export interface Reader {
  agency_id: string;
  /** What the reader may know of the person: all, as the owner; the matching profile; nothing. */
  knows: 'all' | 'profile' | 'nothing';
  /** Whether a live grant names the agency, which then need not be hidden. */
  names: (agency_id: string) => boolean;
  /**
   * Whether why such an agency is excluded would tell, by what remains, who complained or where somebody is from whom the person is
   * kept apart: then all that is told is that it is.
   */
  reticent: (kind: CandidateService['kind']) => boolean;
  tie_key: string;
}

const OF_THE_STATUS: readonly ToldExclusion[] = ['protection_status', 'asylum'];
/** With them what the directory would let anybody tell apart from them. */
const OF_THE_PERSON: readonly ToldExclusion[] = [...OF_THE_STATUS, 'sex', 'age', 'dependants', 'other_service_area', 'route'];
/** Where else the person was asked for, and who there knows somebody involved: the owner's to know. */
const OF_THE_CASE: readonly ToldExclusion[] = ['conflict_of_interest'];
/** Who complained, and where somebody is from whom the person is kept apart: told to nobody. */
const TOLD_TO_NOBODY: readonly ToldExclusion[] = ['firewall', 'separated'];
/** What ranks by the person: her languages, how many places she needs, where she is. */
const BY_THE_PERSON: readonly string[] = ['language', 'capacity', 'specialities', 'distance'];
/** Who was found together is the owner's to know. */
const BY_THE_GROUP: readonly string[] = ['together'];
/** What would tell how full a sheltered place is, or where. */
const BY_THE_PLACE: readonly string[] = ['capacity', 'load', 'distance'];

/** @param ranked of `rankCandidates`, over `providers` */
export function tellCandidates(
  ranked: readonly Candidate[],
  providers: readonly CandidateService[],
  reader: Reader,
): ToldCandidate[] {
  const by_id = new Map(providers.map(provider => [provider.agency_id, provider]));
  const kept_back = new Set([
    ...(reader.knows === 'nothing' ? BY_THE_PERSON : []),
    ...(reader.knows === 'all' ? [] : BY_THE_GROUP),
  ]);
  const of_sheltered = new Set([...kept_back, ...BY_THE_PLACE]);
  const told = ranked.map(candidate => {
    const provider = by_id.get(candidate.agency_id)!;
    const sheltered = provider.location_protected && provider.agency_id !== reader.agency_id;
    return tellOne(candidate, provider, reader, sheltered, sheltered ? of_sheltered : kept_back);
  });
  const best = told.reduce(
    (best, it) => (it.hidden && it.excluded_by.length === 0 ? Math.max(best, sumOf(it.reasons)) : best),
    0,
  );
  const tie = tiesOf(reader);
  const as_best = [{ ...BEST_OF_HIDDEN, points: best }];
  return told
    .map((it): ToldCandidate => {
      const reasons = it.hidden && it.excluded_by.length === 0 ? as_best : it.reasons;
      return Object.assign(it, { reasons, score: sumOf(reasons) });
    })
    .sort((a, b) => compare(a, b) || compareTies(tie(a), tie(b)));
}

/** Where a candidate stands: whether anything speaks against it, its score, and what decides between those that are alike. */
export type Standing = [is_excluded: number, score: number, tie: string];

export const standingOf = (told: ToldCandidate, reader: Pick<Reader, 'tie_key'>): Standing => [
  Number(isExcluded(told)),
  told.score,
  tiesOf(reader)(told),
];

/** Those that stand behind. @param told of {@link tellCandidates} */
export const behind = (
  told: readonly ToldCandidate[],
  [is_excluded, score, tie]: Standing,
  reader: Pick<Reader, 'tie_key'>,
): ToldCandidate[] => {
  const tie_of = tiesOf(reader);
  const last = { excluded_by: { length: is_excluded }, score };
  return told.filter(it => (compare(it, last) || compareTies(tie_of(it), tie)) > 0);
};

type Ranked = { excluded_by: { length: number }; score: number };

const isExcluded = ({ excluded_by }: Ranked): boolean => excluded_by.length > 0;
const compare = (a: Ranked, b: Ranked): number => Number(isExcluded(a)) - Number(isExcluded(b)) || b.score - a.score;
const compareTies = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

const BEST_OF_HIDDEN = { rule: 'protected_place' as const, text: 'as the best of the protected places; which one is not told' };

function tellOne(
  { agency_id, excluded_by, reasons }: Candidate,
  provider: CandidateService,
  reader: Reader,
  sheltered: boolean,
  kept_back: ReadonlySet<string>,
): Omit<ToldCandidate, 'score'> {
  const hidden = sheltered && !reader.names(agency_id);
  const available = provider.capacity && placesLeft(provider.capacity);
  const places = available === null || available > 0 ? 'some' : 'none';
  // How full a sheltered place is must not be told, not even of one whose name may be.
  const shown = kept_back.size === 0 ? reasons : reasons.filter(({ rule }) => !kept_back.has(rule));
  // Nor by asking for one person more each time.
  const counted = sheltered && places === 'some' ? excluded_by.filter(code => !BY_PLACES.includes(code)) : excluded_by;
  return {
    agency_id,
    kind: provider.kind,
    hidden,
    reasons: counted.length > 0 ? [] : shown,
    excluded_by: hidden ? whyHidden(counted, places) : whyNot(counted, provider, reader, places),
    places,
    ...(sheltered ? {} : { available }),
  };
}

const sumOf = (reasons: readonly Reason[]): number => reasons.reduce((sum, { points }) => sum + points, 0);

const whyHidden = (excluded_by: readonly Exclusion[], places: 'none' | 'some'): ToldExclusion[] =>
  excluded_by.length === 0 ? [] : places === 'none' ? ['no_capacity'] : ['not_told'];

function whyNot(
  excluded_by: readonly Exclusion[],
  { kind }: CandidateService,
  { knows, reticent }: Reader,
  places: 'none' | 'some',
): ToldExclusion[] {
  if (excluded_by.length > 0 && reticent(kind)) return ['not_eligible'];
  const kept_back: readonly ToldExclusion[] = [
    ...TOLD_TO_NOBODY,
    ...(knows === 'all' ? [] : OF_THE_CASE),
    ...(knows === 'all' ? [] : knows === 'profile' ? OF_THE_STATUS : OF_THE_PERSON),
    // Where places are left, they are too few for her.
    ...(knows === 'nothing' && places === 'some' ? BY_PLACES : []),
  ];
  return [...new Set(excluded_by.map(code => (kept_back.includes(code) ? 'not_eligible' : code)))];
}
