import { isDeepStrictEqual } from 'node:util';

/** A step that did not go as told. */
export class NotAsTold extends Error {
  override readonly name = 'NotAsTold';
}

let count = 0;

/** How many expectations were looked at. */
export const expectations = (): number => count;

/** @throws NotAsTold unless what was seen is what the story tells */
export function expect(what: string, seen: unknown, expected: unknown): void {
  count += 1;
  if (!isDeepStrictEqual(seen, expected)) throw notAsTold(what, shown(seen), shown(expected));
}

/** The same for what can only be true or not. */
export function expectThat(what: string, holds: boolean, seen: unknown = holds): void {
  count += 1;
  if (!holds) throw notAsTold(what, shown(seen), 'that it holds');
}

export const notAsTold = (what: string, seen: string, expected: string): NotAsTold =>
  new NotAsTold(`${what}\n  expected: ${expected}\n  seen:     ${seen}`);

const MOST_SHOWN = 300;

const shown = (value: unknown): string => {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > MOST_SHOWN ? `${text.slice(0, MOST_SHOWN)}…` : text;
};
