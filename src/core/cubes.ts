/**
 * What is told of a table in many dimensions that holds a grade in each cell: the cells of one grade, in as few lines as people can
 * read. Pure.
 */

/** Cells that differ only in what is any: `at` has an index for each dimension, or null. */
export interface Cube {
  at: readonly (number | null)[];
  cells: number;
}

/**
 * First those that stand for most. They may overlap: "no man" and "nobody in this region" say more than the one beside what is left
 * of the other. A dimension of one value is never any. Pauses between its steps.
 * @param cells the last dimension next to each other
 * @param sizes of the dimensions
 */
export function* cubesAt(cells: Uint8Array, grade: number, sizes: readonly number[]): Generator<void, Cube[]> {
  const members: number[] = [];
  for (let cell = 0; cell < cells.length; cell += 1) if (cells[cell] === grade) members.push(cell);
  const strides = sizes.map((_, d) => sizes.slice(d + 1).reduce((product, size) => product * size, 1));
  const indexOf = (cell: number, d: number) => Math.floor(cell / strides[d]!) % sizes[d]!;
  const several = sizes.flatMap((size, d) => (size > 1 ? [d] : []));
  const wholes = subsetsOf(several).map(any => ({ any, whole: any.reduce((product, d) => product * sizes[d]!, 1) }));
  const is_untold = new Uint8Array(cells.length);
  for (const cell of members) is_untold[cell] = 1;
  let left = members.length;
  const cubes: Cube[] = [];
  for (const { any, whole } of wholes.toSorted((a, b) => b.whole - a.whole)) {
    if (left === 0) break;
    if (whole > members.length) continue;
    // Of each cube, by its first cell: how many of its cells are of the grade, and how many of these no line tells yet.
    const firsts = Uint32Array.from(members, cell => any.reduce((first, d) => first - indexOf(cell, d) * strides[d]!, cell));
    const [all, untold] = [new Uint32Array(cells.length), new Uint32Array(cells.length)];
    for (const [i, first] of firsts.entries()) {
      all[first]! += 1;
      untold[first]! += is_untold[members[i]!]!;
    }
    for (const [i, first] of firsts.entries()) {
      if (all[first]! < whole || untold[first] === 0) continue;
      if (is_untold[members[i]!]) left -= 1;
      is_untold[members[i]!] = 0;
      // The first of its cells is among the members, and comes before the others.
      if (members[i] === first)
        cubes.push({ at: sizes.map((_, d) => (any.includes(d) ? null : indexOf(first, d))), cells: whole });
    }
    yield;
  }
  return cubes;
}

const subsetsOf = (items: readonly number[]): number[][] =>
  Array.from({ length: 2 ** items.length }, (_, bits) => items.filter((_, i) => bits & (1 << i)));
