import { hash } from 'node:crypto';
import type { EXPERT_RULES, ExpertMode, LanguageLevel, LanguageMode, OperatingMode, Sex, Skill } from './codes.ts';
import { openSpans, type Schedule } from './opening.ts';
import { isTied } from './ties.ts';

/**
 * Which experts of a roster can take something, best first. Pure and deterministic: what is asked for excludes, what speaks for
 * somebody gives points with a reason, and who rank alike come in the order of a keyed hash. Nobody is told why an expert is not among them.
 */

export interface SpokenLanguage {
  /** BCP 47. */
  tag: string;
  level: LanguageLevel;
  modes: LanguageMode[];
}

export interface Span {
  from: Date;
  to: Date;
}

export interface Expert {
  id: string;
  /** The agency that keeps the expert on its roster. */
  agency_id: string;
  agency_status: 'active' | 'suspended';
  /** How that agency works now. */
  operating_mode: OperatingMode;
  status: 'active' | 'suspended';
  skills: readonly Skill[];
  languages: readonly SpokenLanguage[];
  sex: Sex;
  jurisdictions: readonly string[];
  /** Empty: all regions of the jurisdictions. */
  regions: readonly string[];
  remote: boolean;
  /** Empty: the hours are not known, and somebody has to ask. */
  availability: readonly Schedule[];
  unavailable: readonly Span[];
  /** Requests that were confirmed. */
  held: readonly Span[];
  /** Requests that wait for an answer. */
  pending: number;
  certifications: readonly { expires_on?: string | null }[];
  /** Agencies for which the expert works. */
  employer_agency_ids: readonly string[];
  /** Keyed hashes of composites of those whom the expert must not meet. */
  ties: readonly string[];
}

export interface Wanted {
  skill: Skill;
  /** All of these. */
  languages: readonly string[];
  /** Each language in all of these; empty: in any. */
  modes: readonly LanguageMode[];
  sex?: Sex;
  jurisdiction: string;
  region: string | null;
  /** Whether the expert may help from afar. */
  remote_ok: boolean;
  /** Asked for by name: how the expert shall help; undefined while only looked for. */
  mode?: ExpertMode;
  from: Date;
  to: Date;
  /** The agencies to whose side the expert must not belong. */
  agency_ids: readonly string[];
  /** Like {@link Expert.ties}, of those whom the expert must not know. */
  against: readonly string[];
}

export interface ExpertReason {
  rule: (typeof EXPERT_RULES)[number];
  points: number;
  /** In words, without a person's data. */
  text: string;
}

export interface ExpertMatch {
  expert: Expert;
  score: number;
  reasons: ExpertReason[];
}

/** Whether `tag` is one that can be compared. */
export function isLanguageTag(tag: string): boolean {
  try {
    new Intl.Locale(tag);
    return true;
  } catch {
    return false;
  }
}

/**
 * Whether somebody who knows `known` can help in `wanted`. Spoken, a language is one however it is written; written, the script has
 * to be the same, the usual one where none is named. A sign language is a language of its own, and is signed.
 */
export function speaks(known: SpokenLanguage, wanted: string, modes: readonly LanguageMode[]): boolean {
  const one = new Intl.Locale(known.tag).maximize();
  const other = new Intl.Locale(wanted).maximize();
  if (one.language !== other.language) return false;
  return modes.every(mode => known.modes.includes(mode) && (mode !== 'written' || one.script === other.script));
}

/** Whether the expert, and the agency that keeps it, takes on anything new. */
export const takesRequests = ({
  status,
  agency_status,
  operating_mode,
}: Pick<Expert, 'status' | 'agency_status' | 'operating_mode'>): boolean =>
  status === 'active' && agency_status === 'active' && operating_mode !== 'closed';

/** Whether nothing that is asked for, and nothing that is known of the expert, stands against it. */
export function canTake(expert: Expert, wanted: Wanted): boolean {
  return (
    takesRequests(expert) &&
    expert.skills.includes(wanted.skill) &&
    wanted.languages.every(tag => expert.languages.some(known => speaks(known, tag, wanted.modes))) &&
    (wanted.sex === undefined || expert.sex === wanted.sex) &&
    expert.jurisdictions.includes(wanted.jurisdiction) &&
    canBeThere(expert, wanted) &&
    isFree(expert, wanted) &&
    !isConflicted(expert, wanted)
  );
}

/** Whether the expert belongs to one of the sides, or knows somebody whom the expert must not know. */
export const isConflicted = (
  { employer_agency_ids, ties }: Pick<Expert, 'employer_agency_ids' | 'ties'>,
  { agency_ids, against }: Pick<Wanted, 'agency_ids' | 'against'>,
): boolean => agency_ids.some(id => employer_agency_ids.includes(id)) || isTied(ties, against);

const covers = ({ regions }: Expert, region: string | null): boolean =>
  region === null || regions.length === 0 || regions.includes(region);

function canBeThere(expert: Expert, { region, remote_ok, mode }: Wanted): boolean {
  if (mode === 'in_person') return covers(expert, region);
  if (mode !== undefined) return expert.remote;
  return covers(expert, region) || (remote_ok && expert.remote);
}

export const overlaps = (one: Span, other: Span): boolean => one.from < other.to && other.from < one.to;

const isFree = ({ availability, unavailable, held }: Expert, wanted: Span): boolean =>
  ![...unavailable, ...held].some(span => overlaps(span, wanted)) &&
  (availability.length === 0 ||
    openSpans(availability, wanted.from, wanted.to).some(
      ({ from, to }) => from <= wanted.from.getTime() && wanted.to.getTime() <= to,
    ));

const LEVELS: Readonly<Record<LanguageLevel, { points: number; text: string }>> = {
  native: { points: 40, text: 'speaks the language from home' },
  fluent: { points: 30, text: 'is fluent in the language' },
  working: { points: 15, text: 'has a working knowledge of the language' },
};

/**
 * Those of `experts` who can take it, best first. Numbers are illustrative: what matters more counts for more.
 * @param tie_key of whoever rank alike, another with another key is first: nobody can reckon the order without it
 */
export const matchExperts = (experts: readonly Expert[], wanted: Wanted, tie_key: string): ExpertMatch[] =>
  experts
    .filter(expert => canTake(expert, wanted))
    .map(expert => {
      const reasons = reasonsFor(expert, wanted);
      const score = reasons.reduce((sum, { points }) => sum + points, 0);
      return { expert, score, reasons, place: hash('sha256', `${tie_key}\n${expert.id}`, 'hex') };
    })
    .sort((a, b) => b.score - a.score || (a.place < b.place ? -1 : 1))
    .map(({ place: _, ...match }) => match);

function reasonsFor(expert: Expert, wanted: Wanted): ExpertReason[] {
  const reasons: ExpertReason[] = [];
  const say = (rule: ExpertReason['rule'], points: number, text: string) => reasons.push({ rule, points, text });

  for (const tag of wanted.languages) {
    const levels = expert.languages.filter(known => speaks(known, tag, wanted.modes)).map(({ level }) => LEVELS[level]);
    const best = levels.reduce((one, other) => (other.points > one.points ? other : one));
    say('language', Math.round(best.points / wanted.languages.length), best.text);
  }
  const day = wanted.to.toISOString().slice(0, 10);
  const is_certified = expert.certifications.some(({ expires_on }) => !expires_on || expires_on >= day);
  say(
    'certification',
    is_certified ? 20 : 0,
    is_certified ? 'holds a certificate that is valid then' : 'no valid certificate is known',
  );

  if (covers(expert, wanted.region)) say('region', 20, 'works in the region');
  else say('region', 5, 'helps from afar');

  if (expert.availability.length > 0) say('availability', 10, 'works at that time');
  else say('availability', 5, 'working hours are not known');

  const text = expert.pending === 0 ? 'is being asked by nobody else' : 'others ask, too';
  say('load', Math.max(0, 10 - 5 * expert.pending), text);
  return reasons;
}
