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

/** By its place among all members. */
type Numbered = Member & { number: number };

/** Members who are placed at one agency or not at all. */
type Unit = readonly Numbered[];

/**
 * The agency that can take all; where none can, the one that can take most, and the next for the rest. A family goes whole, but for
 * whoever is kept apart from somebody of it, unless nobody can take it whole.
 * @param places_left by agency; one that keeps no count takes any number
 * @param together true: all members are asked for at one place; false: nobody is kept together; undefined: families are
 */
export function askTogether(members: readonly Member[], places_left: ReadonlyMap<string, number>, together?: boolean): Asked {
  const asked: Asked = { first: new Map(), parted: [] };
  if (together === false) return asked;
  const numbered = members.map((member, number) => ({ ...member, number }));
  const units = unitsOf(numbered);
  const parties = together ? [units] : units.filter(unit => unit.length > 1).map(unit => [unit]);
  if (parties.length === 0) return asked;
  const agencies = agenciesOf(numbered, places_left);
  for (const party of parties) {
    const whole = placeUnits(party, agencies);
    // Whom no agency takes as a whole is asked for one by one.
    const split = whole.left_over.filter(unit => unit.length > 1);
    const alone = split.map(
      unit =>
        placeUnits(
          unit.map(member => [member]),
          agencies,
        ).first,
    );
    for (const first of [whole.first, ...alone]) for (const [id, agency_id] of first) asked.first.set(id, agency_id);
    asked.parted.push(
      ...split.filter(unit => new Set(unit.map(({ id }) => asked.first.get(id))).size > 1).map(([member]) => member!.family!),
    );
  }
  return asked;
}

function unitsOf(members: readonly Numbered[]): Unit[] {
  const families = Map.groupBy(
    members.filter(({ family }) => family !== null),
    ({ family }) => family,
  );
  const whole = [...families.values()].map(withoutConflict);
  const kept = new Set(whole.flat());
  return [...whole, ...members.filter(member => !kept.has(member)).map(member => [member])];
}

/** The largest part of a family in which nobody is kept apart from anybody: whoever must not meet most of the rest goes first. */
function withoutConflict(family: readonly Numbered[]): Numbered[] {
  const rest = [...family];
  for (;;) {
    const ids = new Set(rest.map(({ id }) => id));
    const conflicts = rest.map(({ apart_from }) => apart_from.intersection(ids).size);
    const most = Math.max(...conflicts);
    if (most === 0) return rest;
    rest.splice(conflicts.indexOf(most), 1);
  }
}

/** One at which somebody may be asked for. */
interface Agency {
  id: string;
  /** How high each member ranks it, by number; NaN for whom it may not be asked. */
  scores: Float64Array;
  left: number;
  /** Who was placed there so far. */
  at: Set<string>;
  /** Agencies of one kind can take the same people: there are many agencies, and few kinds. */
  kind: symbol;
}

function agenciesOf(members: readonly Numbered[], places_left: ReadonlyMap<string, number>): Agency[] {
  const agencies = new Map<string, Agency>();
  for (const { number, ranked } of members) {
    for (const { agency_id: id, excluded_by, score } of ranked) {
      if (excluded_by.length > 0) continue;
      const agency = agencies.get(id) ?? {
        id,
        scores: new Float64Array(members.length).fill(Number.NaN),
        left: places_left.get(id) ?? Number.POSITIVE_INFINITY,
        at: new Set<string>(),
        kind: Symbol(),
      };
      agency.scores[number] = score;
      agencies.set(id, agency);
    }
  }
  const kinds = new Map<string, symbol>();
  for (const agency of agencies.values()) {
    const traits = `${agency.left} ${members.map(({ number }) => (Number.isNaN(agency.scores[number]) ? '-' : '+')).join('')}`;
    agency.kind = kinds.get(traits) ?? agency.kind;
    kinds.set(traits, agency.kind);
  }
  return [...agencies.values()];
}

function placeUnits(units: readonly Unit[], agencies: readonly Agency[]): { first: Map<string, string>; left_over: Unit[] } {
  const first = new Map<string, string>();
  let waiting = units.toSorted((a, b) => b.length - a.length);
  const fills = new Map<symbol, Filled>();
  for (;;) {
    const best = bestOf(agencies, waiting, fills);
    if (!best) return { first, left_over: waiting };
    const { agency, filled } = best;
    for (const { id } of filled.taken.flat()) {
      first.set(id, agency.id);
      agency.at.add(id);
    }
    agency.left = filled.left;
    agency.kind = Symbol();
    const placed = new Set(filled.taken);
    waiting = waiting.filter(unit => !placed.has(unit));
    // A kind that would have taken none of those takes whom it would have taken.
    for (const [kind, { taken }] of fills) if (taken.some(unit => placed.has(unit))) fills.delete(kind);
  }
}

interface Filled {
  taken: Unit[];
  people: number;
  left: number;
}

/**
 * More people count for more than a higher score; of equals the one that is ranked first.
 * @param fills what each kind can take of those who wait, as far as it is known
 */
function bestOf(
  agencies: readonly Agency[],
  waiting: readonly Unit[],
  fills: Map<symbol, Filled>,
): { agency: Agency; filled: Filled } | undefined {
  const comesBefore = orderOf(waiting);
  let best: { agency: Agency; filled: Filled; score: number } | undefined;
  for (const agency of agencies) {
    const filled = fills.get(agency.kind) ?? fill(waiting, agency);
    fills.set(agency.kind, filled);
    if (filled.people === 0 || filled.people < (best?.filled.people ?? 0)) continue;
    const score = scoreOf(filled, agency);
    if (
      !best ||
      filled.people > best.filled.people ||
      score > best.score ||
      (score === best.score && comesBefore(agency.id, best.agency.id))
    )
      best = { agency, filled, score };
  }
  return best;
}

/** What an agency can take of those who wait, the largest families first. */
function fill(waiting: readonly Unit[], { scores, left, at }: Agency): Filled {
  const there = new Set(at);
  const filled: Filled = { taken: [], people: 0, left };
  for (const unit of waiting) {
    if (filled.left <= 0) break;
    const places = unit.reduce((sum, member) => sum + member.places, 0);
    const may_be_asked = unit.every(({ number }) => !Number.isNaN(scores[number]));
    if (!may_be_asked || places > filled.left || unit.some(({ apart_from }) => !apart_from.isDisjointFrom(there))) continue;
    filled.taken.push(unit);
    filled.people += unit.length;
    filled.left -= places;
    for (const { id } of unit) there.add(id);
  }
  return filled;
}

const scoreOf = ({ taken }: Filled, { scores }: Agency): number =>
  taken.reduce((sum, unit) => sum + unit.reduce((of_unit, { number }) => of_unit + scores[number]!, 0), 0);

/** @returns whether an agency comes before another: in the order in which the first of those who wait ranks them */
function orderOf(waiting: readonly Unit[]): (id: string, other: string) => boolean {
  const orders = waiting.flat().map(({ ranked }) => {
    let order: Map<string, number> | undefined;
    return () => {
      order ??= new Map(ranked.map(({ agency_id }, i) => [agency_id, i]));
      return order;
    };
  });
  return (id, other) => {
    for (const order of orders) {
      const [one = Number.POSITIVE_INFINITY, two = Number.POSITIVE_INFINITY] = [order().get(id), order().get(other)];
      if (one !== two) return one < two;
    }
    return false;
  };
}
