import { type Agencies, connectAgencies } from '../bench/acts.ts';
import { drive, type Measured } from '../bench/driver.ts';
import type { Tell } from '../bench/run.ts';
import { startService } from '../bench/service.ts';
import type { Party, World } from '../bench/world.ts';
import type { Population } from './population.ts';

/** What auditors ask, through the API, while the log goes on. */

export interface CaseQueries {
  what: string;
  measured: Measured;
}

export interface Combination {
  whose: string;
  query: string;
  rows: number;
  /** The middle and the highest of {@link ASKED} times. */
  middle_ms: number;
  highest_ms: number;
}

export interface QueriesResult {
  cases: CaseQueries[];
  combinations: Combination[];
}

const ASKED = 5;
const SECONDS = 4;

type Filters = Record<string, string>;

export async function measureQueries(
  { database_url, dir }: { database_url: string; dir: string },
  world: World,
  population: Population,
  tell: Tell,
): Promise<QueriesResult> {
  const service = await startService({ database_url, dir, roles: 'api,sequencer' });
  const agencies = connectAgencies(service.origin, world, 2);
  try {
    await world.refresh();
    const ask = asker(agencies);
    const [busy, ...others] = population.real_cases;
    const cases: CaseQueries[] = [];
    const askCases = async (what: string, ids: readonly { id: string }[]) => {
      let n = 0;
      const step = () => ask(world.audit_body, { case_id: ids[n++ % ids.length]!.id });
      for (const { id } of ids.slice(0, 1))
        if (!(await ask(world.audit_body, { case_id: id })).opened) throw new Error('the case that is asked for is not opened');
      await drive({ clients: 2, seconds: 1 }, step);
      cases.push({ what, measured: await drive({ clients: 1, seconds: SECONDS }, step) });
    };
    // What each query pays beside the looking: HTTP, who asks, the entry that it leaves.
    const one = () => agencies.get(world.audit_body, '/v1/audit/entries/0');
    await drive({ clients: 2, seconds: 1 }, one);
    cases.push({ what: 'for comparison: the entry in one place', measured: await drive({ clients: 1, seconds: SECONDS }, one) });
    await askCases('cases as most are', others);
    await askCases('a case with thousands of entries', [busy!]);

    const combinations: Combination[] = [];
    const askAll = async (whose: string, party: Party, all: readonly Filters[]) => {
      tell(`${all.length} combinations of filters, for ${whose}`);
      for (const filters of all) {
        await world.refresh();
        const took: number[] = [];
        let rows = 0;
        for (let i = 0; i < ASKED; i++) {
          const started_at = performance.now();
          ({ rows } = await ask(party, filters));
          took.push(performance.now() - started_at);
        }
        took.sort((a, b) => a - b);
        const query = `${new URLSearchParams(filters)}`;
        combinations.push({ whose, query, rows, middle_ms: took[ASKED >> 1]!, highest_ms: took.at(-1)! });
      }
    };
    await askAll('the audit body', world.audit_body, combine(population));
    await askAll(
      'an agency',
      world.helplines[0]!,
      combine(population).filter((_, i) => i % 4 === 0),
    );
    // Deep in the list, where nothing that is latest helps.
    const deep: Filters[] = [];
    const long: Filters[] = [{ action: 'case.read' }, { outcome: 'denied' }, { agency_id: population.agencies[30]!.id }];
    for (const filters of long) {
      let cursor: string | undefined;
      for (let page = 0; page < 5; page++)
        ({ cursor } = await ask(world.audit_body, { ...filters, limit: '200', ...(cursor ? { cursor } : {}) }));
      if (cursor) deep.push({ ...filters, cursor });
    }
    await askAll('the audit body, on a later page', world.audit_body, deep);
    return { cases, combinations };
  } finally {
    await agencies.close();
    await service.stop();
  }
}

const asker = (agencies: Agencies) => async (party: Party, filters: Filters) => {
  const answer = JSON.parse(await agencies.get(party, `/v1/audit/entries?${new URLSearchParams(filters)}`));
  const { data, next_cursor } = answer as { data: { subjects: { record?: object }[] }[]; next_cursor: string | null };
  return {
    rows: data.length,
    cursor: next_cursor ?? undefined,
    opened: data.length > 0 && data.every(({ subjects }) => subjects.some(({ record }) => record)),
  };
};

/** Each filter alone, each pair, some triples and quadruples, in both orders, and within times; much of it finds nothing. */
function combine({ agencies, real_cases }: Population): Filters[] {
  const [big, small] = [agencies[0]!, agencies[37]!];
  const [busy, usual] = [real_cases[0]!, real_cases[10] ?? real_cases[1]!];
  const names = new Set(agencies.flatMap(({ actions }) => actions.map(({ name }) => name)));
  const missing = (agency: typeof big) => [...names].find(it => !agency.actions.some(({ name }) => name === it))!;
  const values: Record<string, readonly string[]> = {
    case_id: [busy.id, usual.id],
    referral_id: [usual.referral_id],
    agency_id: [big.id, small.id],
    // The first is long gone.
    caseworker: ['S-1', 'S-9', 'S-77'],
    client_id: [big.clients[1]!, small.clients[0]!, 'system:clock'],
    action: ['case.read', missing(big), missing(small), 'audit.heartbeat', 'nothing.like_it'],
    outcome: ['read', 'denied', 'failed'],
    resource_type: ['referral', 'capacity', 'delivery'],
    lawful_ground: ['court_order'],
  };
  const times: Filters[] = [
    { from: '2024-03-01T00:00:00Z', to: '2024-03-02T00:00:00Z' },
    { from: '2017-01-01T00:00:00Z', to: '2019-01-01T00:00:00Z' },
    { to: '2016-02-01T00:00:00Z' },
    { from: '2015-01-01T00:00:00Z', to: '2015-02-01T00:00:00Z' },
  ];
  const singles = Object.entries(values).flatMap(([name, some]) => some.map((value): Filters => ({ [name]: value })));
  const nameOf = (filters: Filters) => Object.keys(filters)[0]!;
  const pairs = singles.flatMap((one, i) =>
    singles.slice(i + 1).flatMap(two => (nameOf(one) === nameOf(two) ? [] : [{ ...one, ...two }])),
  );
  // Every so many of all that there are, so that it is the same ones each time.
  const some = (all: readonly Filters[], every: number) => all.filter((_, i) => i % every === 0);
  const triples = pairs.flatMap((pair, i) => {
    const third = singles[(i * 7) % singles.length]!;
    return Object.hasOwn(pair, nameOf(third)) ? [] : [{ ...pair, ...third }];
  });
  const in_time = [{}, ...singles, ...some(pairs, 5)].flatMap((filters, i) =>
    i <= singles.length ? times.map(it => ({ ...filters, ...it })) : [{ ...filters, ...times[i % times.length]! }],
  );
  const newest = [{}, ...singles, ...pairs, ...some(triples, 4), ...in_time];
  return [...newest, ...some(newest, 3).map(filters => ({ ...filters, order: 'oldest' }))];
}
