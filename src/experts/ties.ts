import type { TieKind } from '../core/codes.ts';
import { declaredAs, type NamedPerson, soughtAs } from '../core/ties.ts';
import type { Place, Vault } from '../platform/vault.ts';

/**
 * Whom an expert must not meet, as it is kept: keyed hashes of composites of the name, and those sealed. A hash alone would do for a
 * name with a date of birth, which nobody can guess. But of a suspect often the name alone is known, and must be found in what was
 * declared with a date; a name alone is guessed from a list, and equal ones would show in a column. So no hash stands in the clear:
 * they are opened and compared inside the service. And no name is kept at all: nobody, the service neither, reads back who it was.
 */

/** A person, as what they were named. */
export interface Tie<As extends string> {
  as: As;
  /** Base64 of keyed hashes. */
  hashes: string[];
}

const tieTo = <As extends string>(vault: Pick<Vault, 'personIndex'>, as: As, composites: readonly string[]): Tie<As> => ({
  as,
  hashes: composites.map(composite => vault.personIndex(composite).toString('base64')),
});

/** Somebody whom the expert must not know. */
export const sought = <As extends string>(vault: Vault, as: As, person: NamedPerson): Tie<As> =>
  tieTo(vault, as, soughtAs(person));

export const hashesIn = (ties: readonly Tie<string>[]): string[] => ties.flatMap(({ hashes }) => hashes);

/** Where the declared ties of an expert lie. */
const tiesPlace = (expert_id: string): Place => ({ table: 'experts', row: expert_id, category: 'ties', version: 1 });

/** Whom the expert must not meet, as it was declared. */
export const sealTies = (vault: Vault, expert_id: string, relations: readonly ({ kind: TieKind } & NamedPerson)[]): Buffer =>
  vault.sealOwn(
    tiesPlace(expert_id),
    JSON.stringify(relations.map(({ kind, ...person }) => tieTo(vault, kind, declaredAs(person)))),
  );

export const openTies = (vault: Vault, { id, ties }: { id: string; ties: Buffer }): Tie<TieKind>[] =>
  JSON.parse(vault.openOwn(tiesPlace(id), ties)) as Tie<TieKind>[];

/** Where it lies how to reach an expert. */
export const contactPlace = (expert_id: string): Place => ({
  table: 'expert_contacts',
  row: expert_id,
  category: 'contact',
  version: 1,
});

/** Where it lies whom a request is against. */
export const detailsPlace = (request_id: string): Place => ({
  table: 'expert_request_details',
  row: request_id,
  category: 'expert_request',
  version: 1,
});
