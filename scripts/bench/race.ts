import type pg from 'pg';
import { type Agencies, type Asked, connectAgencies, findAsked, inTurn, type Kase, listAsked } from './acts.ts';
import { type Cpu, readCpu } from './cpu.ts';
import { drive, type Load, type Measured, median } from './driver.ts';
import { type Footprint, learnFootprint } from './footprint.ts';
import { connectRaw, prepareReplay, type Replay, type Substitution, trailRowOnly } from './raw.ts';
import type { Service } from './service.ts';
import type { World } from './world.ts';

/**
 * The service against the yardstick (raw.ts), in turns: the noise of a machine that others use as well hits both, and what counts
 * is their ratio. Each has a database of its own on the same server, both copies of the same one.
 */

export const RACED = ['submit', 'accept', 'read'] as const;
export type Raced = (typeof RACED)[number];

/** One real act of each kind as rows, and who took part in it. */
export interface Recorded {
  at: Date;
  kase: Kase;
  asked: Asked;
  rows: Record<Raced, Footprint>;
}

/** Does each act once, on a service that has done it before, and records what it wrote. */
export async function recordActs(
  database_url: string,
  agencies: Agencies,
  world: World,
  cases: readonly Kase[],
): Promise<Recorded> {
  const [warm, kase] = cases as [Kase, Kase];
  await world.refresh();
  await agencies.submit(warm);
  let referral_id = '';
  const at = new Date();
  const submit = await learnFootprint(database_url, async () => {
    referral_id = await agencies.submit(kase);
  });
  const asked = await findAsked(database_url, world, referral_id);
  const accept = await learnFootprint(database_url, () => agencies.accept(asked));
  const read = await learnFootprint(database_url, () => agencies.readCase(kase));
  return { at, kase, asked, rows: { submit, accept, read } };
}

export interface RacePlan {
  acts: readonly Raced[];
  clients: number;
  rounds: number;
  seconds: number;
}

export interface RaceResult {
  act: Raced;
  clients: number;
  raw: Measured;
  service: Measured;
  /** The median of the rounds' own ratios. */
  ratio: number;
  /** How many statements the yardstick needs. */
  statements: number;
}

export interface Track {
  world: World;
  cases: readonly Kase[];
  recorded: Recorded;
  service: Service;
  service_url: string;
  raw_url: string;
  postmaster_pid: number;
  /** Waits until a worker has nothing more to deliver, lest what was made before is paid for by what is measured. */
  rest?: () => Promise<unknown>;
}

/** @returns medians of the rounds */
export async function race(track: Track, plan: RacePlan, tell: (text: string) => void): Promise<RaceResult[]> {
  const { clients, rounds, seconds } = plan;
  const agencies = connectAgencies(track.service.origin, track.world, clients);
  const raw = await connectRaw(track.raw_url, clients);
  try {
    const replays = prepareReplays(track.recorded);
    const lanes = { raw: rawLane(track, replays, raw), service: serviceLane(track, agencies) };
    const runs = new Map<Raced, Record<keyof typeof lanes, Measured[]>>(plan.acts.map(act => [act, { raw: [], service: [] }]));
    const load = { clients, seconds, cpu: () => readCpu(track.service.pid, track.postmaster_pid) };
    const warm_up = warmUp(clients);
    for (const act of plan.acts)
      for (const lane of Object.values(lanes)) {
        await track.world.refresh();
        await lane(act, warm_up);
      }
    for (let round = 1; round <= rounds; round++) {
      for (const act of plan.acts) {
        for (const name of round % 2 === 1 ? (['raw', 'service'] as const) : (['service', 'raw'] as const)) {
          await track.world.refresh();
          await track.rest?.();
          const measured = await lanes[name](act, load);
          runs.get(act)![name].push(measured);
          tell(`round ${round}: ${act}, ${clients} clients, ${name}: ${measured.per_second.toFixed(0)}/s`);
        }
      }
    }
    return [...runs].map(([act, { raw, service }]) => ({
      act,
      clients,
      raw: medians(raw),
      service: medians(service),
      ratio: median(service.map((it, i) => it.per_second / raw[i]!.per_second)),
      statements: replays[act].statements,
    }));
  } finally {
    await agencies.close();
    await Promise.all(raw.map(client => client.end()));
  }
}

/**
 * On each of its connections (some 20) PostgreSQL plans a statement anew the first five times: until then it costs several times
 * as much.
 */
export const warmUp = (clients: number): Load => ({ clients, seconds: 1, least: 20 * 8 });

/** One of the two runs an act for a while. */
export type Lane = (act: Raced, load: Load) => Promise<Measured>;

/** How many offers are kept ready to be accepted, by how many the last run took; where they run out, the run is shorter. */
const FIRST_RESERVE_PER_SECOND = 60;
const RESERVE = 1.5;

export function serviceLane(
  { world, cases, service_url, rest }: Pick<Track, 'world' | 'cases' | 'service_url' | 'rest'>,
  agencies: Agencies,
): Lane {
  const next = inTurn(cases);
  let asked: Asked[] = [];
  let reserve_per_second = FIRST_RESERVE_PER_SECOND;
  return async (act, load) => {
    if (act === 'submit') return drive(load, () => agencies.submit(next()));
    if (act === 'read') return drive(load, () => agencies.readCase(next()));
    const wanted = Math.max(load.least ?? 0, reserve_per_second * load.seconds) + load.clients;
    if (asked.length < wanted) asked = await listAsked(service_url, world);
    for (let missing = wanted - asked.length; missing > 0; missing = wanted - asked.length) {
      await drive({ clients: load.clients, seconds: 60 }, async () => missing-- > 0 && agencies.submit(next()));
      asked = await listAsked(service_url, world);
    }
    await rest?.();
    const measured = await drive(load, async () => {
      const one = asked.pop();
      return one !== undefined && agencies.accept(one).then(() => true);
    });
    reserve_per_second = measured.per_second * RESERVE;
    return measured;
  };
}

export type Replays = Record<Raced, Replay>;

export const prepareReplays = ({ rows, at }: Recorded): Replays => ({
  submit: prepareReplay('submit', rows.submit, at),
  accept: prepareReplay('accept', rows.accept, at),
  read: prepareReplay('read', trailRowOnly(rows.read), at),
});

export function rawLane(
  { world, cases, recorded: { kase, asked } }: Pick<Track, 'world' | 'cases' | 'recorded'>,
  { submit, accept, read }: Replays,
  connections: readonly pg.Client[],
): Lane {
  const next = inTurn(cases);
  const nextShelter = inTurn(world.shelters);
  const made: Substitution[] = [];
  const of = ({ id, owner }: Kase): Substitution =>
    new Map([
      [kase.id, id],
      [kase.owner.id, owner.id],
      [kase.owner.client_id, owner.client_id],
    ]);
  const play = async (replay: Replay, client: number, given: Substitution): Promise<Substitution> => {
    await replay.once(connections[client]!, given);
    return given;
  };
  const submitOne = async (client: number) => {
    const shelter = nextShelter();
    const given = of(next()).set(asked.shelter.id, shelter.id).set(asked.shelter.client_id, shelter.client_id);
    made.push(withoutBytes(await play(submit, client, given)));
  };
  let reserve_per_second = FIRST_RESERVE_PER_SECOND;
  return async (act, load) => {
    if (act === 'submit') return drive(load, submitOne);
    if (act === 'read') return drive(load, client => play(read, client, of(next())));
    const wanted = Math.max(load.least ?? 0, reserve_per_second * load.seconds) + load.clients;
    await drive(
      { clients: load.clients, seconds: 60 },
      async client => made.length < wanted && submitOne(client).then(() => true),
    );
    const measured = await drive(load, async client => {
      const given = made.pop();
      return given !== undefined && play(accept, client, given);
    });
    reserve_per_second = measured.per_second * RESERVE;
    return measured;
  };
}

/** An accept has digests of its own. */
const withoutBytes = (given: Substitution): Substitution => new Map([...given].filter(([, value]) => !Buffer.isBuffer(value)));

const medians = (runs: readonly Measured[]): Measured => {
  const of = (value: (run: Measured) => number) => median(runs.map(value));
  const part = (name: keyof Cpu) => of(it => it.cpu?.[name] ?? Number.NaN);
  return {
    ...runs[0]!,
    per_second: of(it => it.per_second),
    p50_ms: of(it => it.p50_ms),
    p99_ms: of(it => it.p99_ms),
    steps: runs.reduce((sum, it) => sum + it.steps, 0),
    cpu: { service: part('service'), postgres: part('postgres'), driver: part('driver') },
  };
};
