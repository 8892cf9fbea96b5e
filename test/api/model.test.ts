import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import pg from 'pg';
import t from 'tap';
import { routeUnplaced } from '../../src/referrals/router.ts';
import { timerEffects } from '../../src/referrals/timer-effects.ts';
import type { Services } from '../../src/services.ts';
import { fireDueTimers } from '../../src/timers/sweep.ts';
import { startTestApp } from '../support/app.ts';
import { HIDDEN, type Lane, openLanes } from '../support/lanes.ts';
import { seededRandom } from '../support/load.ts';
import type { Answer } from '../support/mechanism.ts';
import {
  type Act,
  apply,
  isStep,
  newWorld,
  OPEN_CLOCKS,
  passTime,
  possibleActs,
  type Receiver,
  type Refusal,
  type Routing,
  refusal,
  STANDINGS,
  STEPS,
  sightOf,
  standings,
  statusOf,
  type Urgency,
  VERBS,
  type Who,
  type World,
} from '../support/model.ts';
import { SharedTime } from '../support/shared-time.ts';

/**
 * The whole lifecycle against the model: sequences of requests by several agencies, and of time passing, each compared with what
 * the model says of it. Sequences run side by side on one database, each in a lane of its own.
 *
 * MODEL_SEQUENCES says how many, SEED which; LONG=1 is for many, from a seed of the moment. The seed that is used otherwise leads
 * through every state.
 */

const LONG = process.env.LONG === '1';
const SEQUENCES = Number(process.env.MODEL_SEQUENCES ?? (LONG ? 20_000 : 2_000));
const SEED = Number(process.env.SEED ?? (LONG ? Date.now() % 2 ** 31 : 8));
const LANES = 8;
const SHRINK_MS = 60_000;
const COMMANDS = LONG ? 8 : 4;

t.setTimeout(LONG ? 3 * 3_600_000 : 900_000);

const MINUTE = 60_000;
const WAITS = [7, 37, 167, 553, 1_591].map(minutes => minutes * MINUTE);

interface Batch {
  waits: number[];
  sequences: { opening: Act; commands: Iterable<Command> }[];
}

interface Real {
  lane: Lane;
  time: SharedTime;
  /** How long its first wait lasts, its second and so on: the same for all that run beside it. */
  waits: number[];
  /** What it did so far, for whoever has to find out why. */
  history: string[];
}
type Command = fc.AsyncCommand<World, Real, true>;

/** One of the requests that could be made then; mostly one that should succeed. */
class Request implements Command {
  readonly pick: number;
  readonly wild: boolean;
  constructor(pick: number, wild: boolean) {
    this.pick = pick;
    this.wild = wild;
  }
  check = async () => true;
  async run(world: World, real: Real): Promise<void> {
    await real.time.wait(1);
    await compare(world, real, choose(world, this.pick, this.wild));
  }
  toString = () => `${this.pick}${this.wild ? ' wild' : ''}`;
}

/** Somebody reads. */
class Look implements Command {
  readonly who: Who;
  constructor(who: Who) {
    this.who = who;
  }
  check = async (world: Readonly<World>) => world.referrals.length > 0;
  async run(world: World, real: Real): Promise<void> {
    await real.time.wait(1);
    const number = world.referrals.length - 1;
    real.history.push(`${this.who} reads referral ${number}`);
    const answer = await real.lane.read(this.who, number);
    const sight = sightOf(world, this.who, world.referrals[number]!);
    if (sight) compareSight(real.lane, world, this.who, number, answer);
    else
      hold(
        'a read by whoever may not know',
        { status: answer.status, code: answer.body.code },
        { status: 404, code: 'not_found' },
      );
  }
  toString = () => `${this.who} looks`;
}

/** Time passes, and the worker runs. */
class Wait implements Command {
  check = async () => true;
  async run(_: World, { time, waits, history }: Real): Promise<void> {
    const ms = waits.shift() ?? 7 * MINUTE;
    history.push(`${ms / MINUTE} minutes pass`);
    await time.wait(ms);
  }
  toString = () => 'time passes';
}

/** How often a verb is tried beside the others: what leads on more often than what ends everything. */
const OFTEN: Readonly<Record<string, number>> = {
  receive: 9,
  request_information: 9,
  contest: 8,
  waitlist: 7,
  complete: 8,
  fail: 6,
  report_no_show: 6,
  accept: 2,
  confirm_handover: 3,
  decline: 2,
  provide_information: 1,
  cancel: 1,
  withdraw: 2,
  give: 1,
  places: 1,
  make: 1,
};

/** What can be met in few states only. */
const RARE = ['consent_missing', 'no_capacity', 'another has it'];

const reasonOf = (refused: Refusal | undefined): string | undefined =>
  refused?.not_for_its_state ? 'another has it' : refused?.code;

const reasonToVisit = (act: Act, refused: Refusal): string =>
  refused.status === 412 ? refused.code : `${act.verb}: ${reasonOf(refused)}`;

/** By chance, but not by how many variants a thing has: first what is said to it, then the verb, then the variant. */
function choose(world: World, pick: number, wild: boolean): Act {
  const acts = possibleActs(world).map(act => ({ act, code: reasonOf(refusal(world, act)) }));
  const codes = [...new Set(acts.flatMap(({ code }) => code ?? []))].flatMap(code =>
    RARE.includes(code) ? [code, code, code] : code,
  );
  const code = wild ? codes[pick % codes.length] : undefined;
  const said = acts.filter(it => it.code === code).map(({ act }) => act);
  const verbs = [...new Set(said.map(({ verb }) => verb))].flatMap(verb =>
    Array<string>(wild ? 1 : (OFTEN[verb] ?? 3)).fill(verb),
  );
  const same = said.filter(({ verb }) => verb === verbs[Math.floor(pick / codes.length) % verbs.length]);
  return same[Math.floor(pick / codes.length / verbs.length) % same.length]!;
}

const hold = (what: string, found: unknown, expected: unknown): void => {
  if (isDeepStrictEqual(found, expected)) return;
  throw new Error(`${what}: the service says ${JSON.stringify(found)}, the model ${JSON.stringify(expected)}`);
};

async function compare(world: World, { lane, history }: Real, act: Act): Promise<void> {
  history.push(JSON.stringify(act));
  const refused = refusal(world, act);
  if (refused) world.visited.add(reasonToVisit(act, refused));
  const answer = await lane.send(act);
  const said = JSON.stringify(act);
  if (refused) {
    const { status, code, state, allowed_actions } = refused;
    const { body } = answer;
    hold(said, { status: answer.status, code: body.code }, { status, code });
    if (state) hold(said, { state: body.state, allowed_actions: body.allowed_actions }, { state, allowed_actions });
    return;
  }
  if (answer.status >= 300) hold(said, { status: answer.status, ...answer.body }, 'that it may');
  apply(world, act);
  if (isStep(act)) compareSight(lane, world, act.who, act.referral, answer);
  else if (act.verb === 'make') compareSight(lane, world, 'sender', world.referrals.length - 1, answer);
}

/** What is compared of a view, and that nobody is named in it who must not be. */
function compareSight(lane: Lane, world: World, who: Who, referral: number, answer: Answer): void {
  const { body } = answer;
  const sight = sightOf(world, who, world.referrals[referral]!);
  hold(
    `what ${who} sees`,
    {
      status: body.status,
      allowed_actions: body.allowed_actions,
      offer: body.offer?.status ?? null,
      offers: body.offers?.map(({ status }: { status: string }) => status),
      names_case: 'case_id' in body,
      shows_profile: 'profile' in body,
      disclosed: body.offer && who in { a: 1, b: 1, c: 1 } ? (body.disclosure?.categories.length ?? 0) > 0 : false,
    },
    sight,
  );
  const hidden = (['a', 'b', 'c'] as const).filter(to =>
    who === 'sender' || who === 'coordinator' ? to === HIDDEN : to !== who,
  );
  for (const to of hidden) if (lane.named(answer).includes(to)) throw new Error(`${who} is told who ${to} is`);
}

/**
 * To what chance left out: sequences that come to it, found in the model alone. Each is walked like the others.
 * @returns none to what was not found
 */
function findWays(missing: readonly string[], seed: number): Batch[] {
  const wanted = new Set(missing);
  const ways: Batch[] = [];
  const random = seededRandom(seed);
  for (let tries = 0; wanted.size > 0 && tries < MOST_TRIES; tries += 1) {
    const world = newWorld(0);
    const met = new Set<string>();
    const commands: Command[] = [];
    const waits: number[] = [];
    const go = (act: Act): void => {
      world.now += 1;
      const refused = refusal(world, act);
      if (refused) world.visited.add(reasonToVisit(act, refused));
      else apply(world, act);
      for (const it of world.referrals.flatMap(standings)) met.add(it);
    };
    const opening = OPENINGS[Math.floor(random() * OPENINGS.length)]!;
    go(opening);
    while (commands.length < FARTHEST) {
      if (random() < 1 / 10) {
        waits.push(WAITS[Math.floor(random() * WAITS.length)]!);
        commands.push(new Wait());
        passTime(world, Math.ceil((world.now + waits.at(-1)!) / MINUTE) * MINUTE);
        for (const it of world.referrals.flatMap(standings)) met.add(it);
        continue;
      }
      const request = new Request(Math.floor(random() * 1_000_000), random() < 1 / 4);
      commands.push(request);
      go(choose(world, request.pick, request.wild));
    }
    const found = [...met, ...world.visited].filter(it => wanted.delete(it));
    if (found.length > 0) ways.push({ waits, sequences: [{ opening, commands }] });
  }
  return ways;
}

const FARTHEST = 9;
const MOST_TRIES = 100_000;
const OPENINGS: Act[] = (['automatic', 'direct', 'direct with fallback'] as const).flatMap(routing =>
  (['a', 'b', 'c'] as const).map(to => ({ verb: 'make', urgency: 'urgent', routing, to }) as const),
);

/** What must have been met beside: every verb refused for each reason. */
const REFUSALS = [
  ...VERBS.flatMap(verb => ['not_found', 'forbidden', 'wrong_state'].map(code => `${verb}: ${code}`)),
  ...['accept', 'contest', 'reroute', 'make'].map(verb => `${verb}: consent_missing`),
  ...['accept', 'confirm_handover'].map(verb => `${verb}: no_capacity`),
  ...['accept', 'contest'].map(verb => `${verb}: another has it`),
  'withdraw: wrong_state',
  'precondition_failed',
];

/** What the worker would do by now. */
async function settle(services: Services, effects: ReturnType<typeof timerEffects>): Promise<void> {
  while (await fireDueTimers(services, effects));
  while (await routeUnplaced(services));
}

/** Removes what a sequence left; case and grants are there for the next. */
async function putAway(owner: pg.Pool, lane: Lane): Promise<void> {
  for (const table of ['timers', 'disclosures', 'offers', 'referrals'])
    await owner.query(`delete from ${table} where case_id = $1`, [lane.case_id]);
  const agencies = Object.values(lane.members).map(({ agency_id }) => agency_id);
  await owner.query('delete from events where agency_id = any ($1)', [agencies]);
  await owner.query(`update capacities set held = 0, held_elsewhere = 0 where agency_id = any ($1)`, [agencies]);
  await owner.query('update consents set withdrawn_at = null where id = any ($1)', [Object.values(lane.grants)]);
  lane.referrals = [];
}

/** What the database holds of a referral, past every view: each step, its places and its clocks. */
const ROWS = `
  select r.id, r.status, r.ended,
    (select coalesce(json_agg(json_build_object('to', o.agency_id, 'status', o.status, 'places_held', o.places_held,
        'clocks', (select coalesce(json_agg(name order by name), '[]') from timers
          where offer_id = o.id and name <> 'deletion_confirmation'
            and (state in ('running', 'paused') or state = 'breached' and o.ended_at is null)),
        'disclosed', (select count(*) from disclosures where offer_id = o.id and ended_at is null)) order by ordinal), '[]')
      from offers o where o.referral_id = r.id) as offers,
    (select coalesce(json_agg(distinct name), '[]') from timers where referral_id = r.id and subject_type = 'referral'
      and name in ('missing_person_check', 'unplaced_review') and state in ('running', 'breached')) as clocks,
    (select coalesce(json_agg(replace(type, 'referral.', '') order by number), '[]') from events
      where referral_id = r.id and agency_id = r.sender_agency_id and type like 'referral.%') as told
  from referrals r where r.id = any ($1)`;

async function compareRows(owner: pg.Pool, { members, referrals }: Lane, world: World): Promise<void> {
  const { rows } = await owner.query(ROWS, [referrals]);
  for (const [number, referral] of world.referrals.entries()) {
    const { id: _, ...found } = rows.find(({ id }) => id === referrals[number])!;
    const status = statusOf(referral);
    hold('what the database holds', found, {
      status,
      ended: referral.ended,
      offers: referral.offers.map(({ to, status, holds_place }) => ({
        to: members[to].agency_id,
        status,
        places_held: holds_place ? 1 : 0,
        clocks: OPEN_CLOCKS[status] ?? [],
        disclosed: status === 'accepted' || status === 'in_progress' ? 1 : 0,
      })),
      clocks: [...(referral.missing ? ['missing_person_check'] : []), ...(status === 'unplaced' ? ['unplaced_review'] : [])],
      told: referral.told,
    });
  }
  const counted = [members.a.agency_id, members.b.agency_id];
  const places = await owner.query('select agency_id, held from capacities where agency_id = any ($1)', [counted]);
  const held = counted.map(agency_id => places.rows.find(row => row.agency_id === agency_id).held);
  hold('places held', held, [world.held.a, world.held.b]);
}

t.test('sequences of requests, and the model', async t => {
  const test = await startTestApp(t, { RATE_LIMIT: '100000,100000' });
  const { services, clock } = test;
  const owner = new pg.Pool({ connectionString: services.config.database_url!, max: 4 });
  t.teardown(() => owner.end());
  const ids = async (text: string, values: unknown[]) => (await owner.query(text, values)).rows.map(({ id }) => id as string);
  const lanes = await openLanes(test, LANES, id => ids('select id from offers where referral_id = $1 order by ordinal', [id]));
  const effects = timerEffects(services);
  const visited = new Set<string>();
  let count = 0;

  const opening = fc.record({
    verb: fc.constant('make' as const),
    urgency: fc.constantFrom<Urgency>('emergency', 'urgent'),
    routing: fc.constantFrom<Routing>('automatic', 'automatic', 'direct', 'direct with fallback'),
    to: fc.constantFrom<Receiver>('a', 'b', 'c'),
  });
  const request = fc.tuple(fc.nat(1_000_000), fc.nat(5)).map(([pick, wild]) => new Request(pick, wild === 0));
  const wait = fc.constant(null).map(() => new Wait());
  const look = fc.constantFrom<Who>('sender', 'coordinator', 'stranger', 'a', 'b', 'c').map(who => new Look(who));
  const commands = fc.commands<World, Real, true>([...Array<typeof request>(16).fill(request), wait, wait, look], {
    maxCommands: COMMANDS,
    size: 'max',
  });
  const batch = fc.record({
    waits: fc.array(fc.constantFrom(...WAITS), { minLength: COMMANDS, maxLength: COMMANDS }),
    sequences: fc.tuple(...Array.from({ length: LANES }, () => fc.record({ opening, commands }))),
  });

  let failed_at: number | undefined;
  const runBatch = async ({ waits, sequences }: Batch): Promise<void> => {
    // A shorter story is looked for, but not for ever.
    if (performance.now() - (failed_at ?? Number.POSITIVE_INFINITY) > SHRINK_MS) return;
    const worlds = new Map(lanes.map(lane => [lane, newWorld(clock.now().getTime())]));
    const time = new SharedTime(sequences.length, clock, async (now, long) => {
      if (long) await settle(services, effects);
      for (const world of worlds.values()) {
        if (long) passTime(world, now);
        else world.now = now;
        for (const it of world.referrals.flatMap(standings)) visited.add(it);
      }
    });
    const runs = sequences.map(async ({ opening, commands }, i) => {
      const lane = lanes[i]!;
      const world = worlds.get(lane)!;
      const real: Real = { lane, time, waits: [...waits], history: [] };
      try {
        await time.wait(1);
        await compare(world, real, opening);
        await fc.asyncModelRun(() => ({ model: world, real }), commands);
        for (const it of world.referrals.flatMap(standings)) visited.add(it);
        await compareRows(owner, lane, world);
      } catch (error) {
        throw new Error([...real.history, (error as Error).message].join('\n'));
      } finally {
        worlds.delete(lane);
        await putAway(owner, lane);
        await time.leave();
      }
      for (const it of world.visited) visited.add(it);
      count += 1;
    });
    const failed = (await Promise.allSettled(runs)).find(run => run.status === 'rejected');
    if (!failed) return;
    failed_at ??= performance.now();
    throw failed.reason;
  };
  const started = process.cpuUsage();
  const result = await fc.check(fc.asyncProperty(batch, runBatch), { numRuns: Math.ceil(SEQUENCES / LANES), seed: SEED });
  const missing = () => [...STEPS, ...STANDINGS, ...REFUSALS].filter(it => !visited.has(it));
  if (!result.failed) {
    for (const way of findWays(missing(), SEED)) await runBatch(way);
  }
  const { user, system } = process.cpuUsage(started);
  t.comment(`${count} sequences, seed ${SEED}, ${((user + system) / 1e3 / Math.max(1, count)).toFixed(1)} ms of CPU each`);
  if (result.failed) t.fail(`seed ${SEED}\n${(result.errorInstance as Error).message}`);
  t.strictSame(missing(), [], 'every state was reached, and every step taken');
});
