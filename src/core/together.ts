import type { Candidate } from './routing.ts';

/**
 * Whom to ask for people of one group who are referred in one call, so that those who belong together are asked for at one place.
 * Each has been ranked alone, by all hard rules; here only places are counted for all of them. Pure.
 */

export interface Member {
  id: string;
  /** Those with the same number are one family. */
  family: number | null;
  /** For the person and those who come along. */
  places: number;
  ranked: readonly Candidate[];
  /** The other members from whom this one is kept apart. */
  apart_from: ReadonlySet<string>;
}

export interface Asked {
  /** The first agency for each member that this has anything to say about. */
  first: Map<string, string>;
  /** The families that no agency can take whole, and whose members are therefore asked for at several. */
  parted: number[];
}

/** Members who are placed at one agency or not at all. */
type Unit = readonly Member[];

/**
 * The agency that can take all; where none can, the one that can take most, and the next for the rest. A family goes whole, but for
 * whoever is kept apart from somebody of it, unless nobody can take it whole.
 * @param places_left by agency; one that keeps no count takes any number
 * @param together true: all members are asked for at one place; false: nobody is kept together; undefined: families are
 */
export function askTogether(members: readonly Member[], places_left: ReadonlyMap<string, number>, together?: boolean): Asked {
  const asked: Asked = { first: new Map(), parted: [] };
  if (together === false) return asked;
  const state: Placing = { left: new Map(places_left), at: new Map() };
  const units = unitsOf(members);
  const parties = together ? [units] : units.filter(unit => unit.length > 1).map(unit => [unit]);
  for (const party of parties) {
    const whole = placeUnits(party, state);
    // Whom no agency takes as a whole is asked for one by one.
    const split = whole.left_over.filter(unit => unit.length > 1);
    const alone = split.map(
      unit =>
        placeUnits(
          unit.map(member => [member]),
          state,
        ).first,
    );
    for (const first of [whole.first, ...alone]) for (const [id, agency_id] of first) asked.first.set(id, agency_id);
    asked.parted.push(
      ...split.filter(unit => new Set(unit.map(({ id }) => asked.first.get(id))).size > 1).map(([member]) => member!.family!),
    );
  }
  return asked;
}

function unitsOf(members: readonly Member[]): Unit[] {
  const families = Map.groupBy(
    members.filter(({ family }) => family !== null),
    ({ family }) => family,
  );
  const whole = [...families.values()].map(withoutConflict);
  const kept = new Set(whole.flat());
  return [...whole, ...members.filter(member => !kept.has(member)).map(member => [member])];
}

/** The largest part of a family in which nobody is kept apart from anybody: whoever must not meet most of the rest goes first. */
function withoutConflict(family: readonly Member[]): Member[] {
  const rest = [...family];
  for (;;) {
    const ids = new Set(rest.map(({ id }) => id));
    const conflicts = rest.map(({ apart_from }) => apart_from.intersection(ids).size);
    const most = Math.max(...conflicts);
    if (most === 0) return rest;
    rest.splice(conflicts.indexOf(most), 1);
  }
}

interface Placing {
  left: Map<string, number>;
  /** Who was placed at an agency so far. */
  at: Map<string, Set<string>>;
}

function placeUnits(units: readonly Unit[], state: Placing): { first: Map<string, string>; left_over: Unit[] } {
  const first = new Map<string, string>();
  let waiting = units.toSorted((a, b) => b.length - a.length);
  while (waiting.length > 0) {
    const possible = agenciesOf(waiting).map(agency_id => fill(waiting, agency_id, state));
    const best = possible.reduce<Filled | undefined>((a, b) => (a && !isBetter(b, a) ? a : b), undefined);
    if (!best || best.taken.length === 0) break;
    for (const member of best.taken.flat()) first.set(member.id, best.agency_id);
    const ids = best.taken.flat().map(({ id }) => id);
    state.at.set(best.agency_id, new Set([...(state.at.get(best.agency_id) ?? []), ...ids]));
    state.left.set(best.agency_id, best.left);
    waiting = waiting.filter(unit => !best.taken.includes(unit));
  }
  return { first, left_over: waiting };
}

interface Filled {
  agency_id: string;
  taken: Unit[];
  left: number;
  score: number;
}

/** More people count for more than a higher score. Of equals the one that was ranked first stays. */
const isBetter = (a: Filled, b: Filled): boolean =>
  a.taken.flat().length > b.taken.flat().length || (a.taken.flat().length === b.taken.flat().length && a.score > b.score);

/** What an agency can take of those who wait, the largest families first. */
function fill(waiting: readonly Unit[], agency_id: string, { left, at }: Placing): Filled {
  const there = new Set(at.get(agency_id));
  const filled: Filled = { agency_id, taken: [], left: left.get(agency_id) ?? Number.POSITIVE_INFINITY, score: 0 };
  for (const unit of waiting) {
    const candidates = unit.map(member => candidateOf(member, agency_id));
    const places = unit.reduce((sum, member) => sum + member.places, 0);
    const may_be_asked = candidates.every(candidate => candidate?.excluded_by.length === 0);
    const meets = unit.some(({ apart_from }) => apart_from.intersection(there).size > 0);
    if (!may_be_asked || meets || places > filled.left) continue;
    filled.taken.push(unit);
    filled.left -= places;
    filled.score += candidates.reduce((sum, candidate) => sum + candidate!.score, 0);
    for (const { id } of unit) there.add(id);
  }
  return filled;
}

const candidateOf = ({ ranked }: Member, agency_id: string): Candidate | undefined =>
  ranked.find(candidate => candidate.agency_id === agency_id);

/** In the order in which the first of those who wait ranks them. */
const agenciesOf = (waiting: readonly Unit[]): string[] => [
  ...new Set(waiting.flat().flatMap(({ ranked }) => ranked.map(({ agency_id }) => agency_id))),
];
