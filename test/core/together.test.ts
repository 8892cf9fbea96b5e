import fc from 'fast-check';
import t from 'tap';
import type { Candidate } from '../../src/core/routing.ts';
import { askTogether, type Member } from '../../src/core/together.ts';

/** Ranked best first; an agency behind `!` is excluded. */
const member = (id: string, ranked: string, more: Partial<Member> = {}): Member => ({
  id,
  family: null,
  places: 1,
  ranked: ranked.split(' ').map((agency_id, i) => ({
    agency_id: agency_id.replace('!', ''),
    excluded_by: agency_id.startsWith('!') ? ['sex'] : [],
    score: 10 - i,
    reasons: [],
  })),
  apart_from: new Set(),
  ...more,
});
const ask = (members: Member[], places: Record<string, number>, together?: boolean) => {
  const { first, parted } = askTogether(members, new Map(Object.entries(places)), together);
  return [Object.fromEntries(first), parted];
};

t.test('a family goes to the agency that can take all of it', async t => {
  const mother = member('mother', 'a b', { family: 1, places: 2 });
  const sister = member('sister', 'b a', { family: 1 });
  t.same(ask([mother, sister], { a: 2, b: 3 }), [{ mother: 'b', sister: 'b' }, []], 'the sum of places counts');
  t.same(
    ask([mother, sister], { a: 3 }),
    [{ mother: 'a', sister: 'a' }, []],
    'no count is no limit, and the first one named wins',
  );
  t.same(ask([mother, member('brother', 'a !b', { family: 1 })], {}), [{ mother: 'a', brother: 'a' }, []]);
  t.same(ask([mother, sister], { a: 3, b: 3 }, false), [{}, []], 'unless the caller wants it otherwise');
  t.same(ask([mother, member('worker', 'a')], {}), [{}, []], 'whoever is alone is asked for as anybody');
});

t.test('who is kept apart from somebody of the family goes alone, and the rest together', async t => {
  const family = [
    member('mother', 'a b', { family: 1, apart_from: new Set(['uncle']) }),
    member('child', 'a b', { family: 1, apart_from: new Set(['uncle']) }),
    member('uncle', 'a b', { family: 1, apart_from: new Set(['mother', 'child']) }),
  ];
  t.same(ask(family, {}), [{ mother: 'a', child: 'a' }, []], 'he is asked for as anybody');
  t.same(ask(family, {}, true), [{ mother: 'a', child: 'a', uncle: 'b' }, []]);
});

t.test('a family that nobody can take whole is asked for at several, and that is said', async t => {
  const family = [
    member('mother', 'a b', { family: 4 }),
    member('son', 'a b', { family: 4 }),
    member('aunt', 'a b', { family: 4 }),
  ];
  t.same(ask(family, { a: 2, b: 1 }), [{ mother: 'a', son: 'a', aunt: 'b' }, [4]], 'most of it stays together');
  t.same(ask(family, { a: 0, b: 0 }), [{}, []], 'nobody is parted where nobody is placed');
});

t.test('all together: the most at one agency, families whole', async t => {
  const workers = ['1', '2', '3'].map(id => member(id, 'a b c'));
  t.same(ask(workers, { a: 1, b: 3, c: 2 }, true), [{ 1: 'b', 2: 'b', 3: 'b' }, []]);
  t.same(ask(workers, { a: 1, b: 1, c: 2 }, true), [{ 1: 'c', 2: 'c', 3: 'a' }, []]);
  const two = [member('x', 'a b', { family: 1 }), member('y', 'a b', { family: 1 })];
  t.same(ask([...workers, ...two], { a: 4, b: 2, c: 0 }, true), [{ x: 'a', y: 'a', 1: 'a', 2: 'a', 3: 'b' }, []]);
});

t.test(
  'a property: no place is given twice, nobody is asked for where he may not be, no family is parted without need',
  async t => {
    const AGENCIES = ['a', 'b', 'c'];
    const places = fc.record({ a: fc.nat(5), b: fc.nat(5), c: fc.nat(5) });
    const members = fc
      .array(
        fc.record({
          family: fc.option(fc.integer({ min: 1, max: 3 })),
          places: fc.integer({ min: 1, max: 3 }),
          excluded: fc.subarray(AGENCIES),
        }),
        { minLength: 1, maxLength: 8 },
      )
      .chain(them =>
        fc.tuple(
          fc.constant(them),
          fc.array(fc.tuple(fc.nat(them.length - 1), fc.nat(them.length - 1)), { maxLength: 2 }),
          fc.constantFrom(undefined, true),
        ),
      );
    fc.assert(
      fc.property(members, places, ([them, pairs, together], left) => {
        const all: Member[] = them.map(({ family, places, excluded }, i) =>
          member(String(i), AGENCIES.map(id => (excluded.includes(id) ? `!${id}` : id)).join(' '), {
            family,
            places,
            apart_from: new Set(pairs.flatMap(([a, b]) => (a === b ? [] : a === i ? [String(b)] : b === i ? [String(a)] : []))),
          }),
        );
        const { first, parted } = askTogether(all, new Map(Object.entries(left)), together);
        for (const id of AGENCIES) {
          const there = all.filter(it => first.get(it.id) === id);
          t.ok(there.reduce((sum, it) => sum + it.places, 0) <= left[id as keyof typeof left]);
          for (const it of there) {
            t.same(it.ranked.find(candidate => candidate.agency_id === id)!.excluded_by, []);
            t.notOk(there.some(other => it.apart_from.has(other.id)));
          }
        }
        for (const [family, of_family] of Map.groupBy(all, it => it.family)) {
          if (family === null || parted.includes(family)) continue;
          const ids = new Set(of_family.map(it => it.id));
          const kept = of_family.every(it => it.apart_from.isDisjointFrom(ids)) ? of_family : [];
          t.ok(new Set(kept.map(it => first.get(it.id))).size <= 1, 'whole, or nowhere');
        }
      }),
    );
  },
);

t.test('a property: the same as if each agency were looked at anew for each', async t => {
  /** All together, nobody of a family, as it is said and not as it is quick. */
  const plainly = (members: readonly Member[], places: ReadonlyMap<string, number>) => {
    const first = new Map<string, string>();
    const fill = (waiting: readonly Member[], agency_id: string) => {
      const there = members.filter(({ id }) => first.get(id) === agency_id);
      const taken: Member[] = [];
      let [left, score] = [places.get(agency_id) ?? Infinity, 0];
      for (const member of there) left -= member.places;
      for (const member of waiting) {
        const candidate = member.ranked.find(it => it.agency_id === agency_id);
        if (!candidate || candidate.excluded_by.length > 0 || member.places > left) continue;
        if ([...there, ...taken].some(({ id }) => member.apart_from.has(id))) continue;
        taken.push(member);
        left -= member.places;
        score += candidate.score;
      }
      return { agency_id, taken, score };
    };
    for (;;) {
      const waiting = members.filter(({ id }) => !first.has(id));
      const agencies = [...new Set(waiting.flatMap(({ ranked }) => ranked.map(({ agency_id }) => agency_id)))];
      const [best] = agencies
        .map(agency_id => fill(waiting, agency_id))
        .sort((a, b) => b.taken.length - a.taken.length || b.score - a.score);
      if (!best || best.taken.length === 0) return first;
      for (const { id } of best.taken) first.set(id, best.agency_id);
    }
  };
  const agencies = ['a', 'b', 'c', 'd', 'e'];
  // Few scores, so that many are equal.
  const ranked = fc.uniqueArray(
    fc.record({
      agency_id: fc.constantFrom(...agencies),
      excluded_by: fc.constantFrom<Candidate['excluded_by']>([], [], ['sex']),
      score: fc.nat(1),
      reasons: fc.constant<Candidate['reasons']>([]),
    }),
    { selector: ({ agency_id }) => agency_id },
  );
  const them = fc.array(fc.record({ ranked, places: fc.integer({ min: 1, max: 2 }) }), { minLength: 1, maxLength: 9 });
  const pairs = fc.array(fc.tuple(fc.nat(8), fc.nat(8)), { maxLength: 4 });
  const places = fc.dictionary(fc.constantFrom(...agencies), fc.nat(4)).map(of => new Map(Object.entries(of)));
  fc.assert(
    fc.property(them, pairs, places, (them, pairs, places) => {
      const members = them.map((of_member, i) => {
        const apart = pairs.flatMap(([a, b]) => (a === b ? [] : a === i ? [String(b)] : b === i ? [String(a)] : []));
        return member(String(i), '', { ...of_member, apart_from: new Set(apart) });
      });
      t.strictSame(askTogether(members, places, true).first, plainly(members, places));
    }),
    { numRuns: 500 },
  );
});

t.test('a hundred people and a thousand agencies with one place each: what each ranks is read few times', async t => {
  let reads = 0;
  const of_agency = Array.from({ length: 1_000 }, (_, i) => ({
    get agency_id() {
      reads += 1;
      return `agy_${i}`;
    },
    excluded_by: [],
    score: 1,
    reasons: [],
  }));
  const members = Array.from({ length: 100 }, (_, i) => member(String(i), 'a', { ranked: of_agency }));
  const { first } = askTogether(members, new Map(of_agency.map(({ agency_id }) => [agency_id, 1])), true);
  t.equal(new Set(first.values()).size, 100);
  t.ok(reads <= 5 * 100 * 1_000, String(reads));
});
