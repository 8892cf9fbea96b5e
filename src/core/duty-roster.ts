/** Who is called at night where a life may hang on a clock ("Deadlines and floors", section "Warnings, breach, escalation"). */

/** A person of an agency, by the code that the agency knows. */
export interface DutyEntry {
  agency_id: string;
  staff_code: string;
}

/** An entry, and whether that person is there to be called: active, of an active agency that works in the jurisdiction. */
export interface DutyPerson extends DutyEntry {
  callable: boolean;
}

export const isSamePerson = (a: DutyEntry, b: DutyEntry): boolean => a.agency_id === b.agency_id && a.staff_code === b.staff_code;

/**
 * Whose turn it is after `last`: the next on the roster who can be called, from its top again behind its end. A roster that does
 * not know `last`, for it was put anew, begins at its top.
 */
export function nextInTurn(roster: readonly DutyPerson[], last: DutyEntry | null): DutyPerson | undefined {
  const place = last ? roster.findIndex(entry => isSamePerson(entry, last)) : -1;
  return [...roster.slice(place + 1), ...roster.slice(0, place + 1)].find(({ callable }) => callable);
}

/** Which entries, by their places, stand on the roster a second time. */
export const repeatedEntries = (entries: readonly DutyEntry[]): number[] =>
  entries.flatMap((entry, place) => (entries.slice(0, place).some(before => isSamePerson(before, entry)) ? place : []));
