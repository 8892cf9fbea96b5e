import { randomBytes } from 'node:crypto';
import { LAWFUL_GROUNDS } from '../../src/core/codes.ts';
import { typeId } from '../../src/core/ids.ts';
import type { World } from '../bench/world.ts';

/**
 * Who left what in ten years of a mechanism: agencies of unequal size, caseworkers that come and go, acts that not every agency does,
 * and cases that are worked on for a while, some of them by everybody. The same numbers come every time.
 */

const AGENCIES = 40;
const CLIENTS = 5;
const CASEWORKERS = 15;
/** How many of an agency's caseworkers are there at any time; over the years the first leave and others come. */
const AT_WORK = 6;
const ENTRIES_PER_CASE = 20;
const REFERRALS_PER_CASE = 3;
/** Cases in which everybody had a part. */
const BUSY_CASES = 20;
const BUSY_ENTRIES = 5_000;
const YEARS = 10;
const BEGAN = Date.UTC(2016, 0, 1);

/** Acts, by how often they are done. What is only read comes last in each. */
const ACTS: readonly (readonly [weight: number, resource: string, done: readonly string[], read: readonly string[]])[] = [
  [30, 'case', ['open', 'amend', 'assign', 'close', 'reopen', 'transfer'], ['read', 'list', 'timeline', 'assignees']],
  [
    40,
    'referral',
    ['make', 'accept', 'decline', 'receive', 'complete', 'confirm_handover', 'reroute', 'cancel', 'withdraw', 'review'],
    ['read', 'list', 'candidates'],
  ],
  [8, 'consent', ['give', 'withdraw'], ['list']],
  [6, 'message', ['send'], ['list']],
  [3, 'disclosure', ['confirm_deletion'], ['list']],
  [4, 'timer', ['pause', 'resume', 'meet'], ['list']],
  [3, 'agency', ['create', 'change'], ['list', 'read']],
  [2, 'service', ['set'], ['list', 'read']],
  [2, 'capacity', ['set'], ['read']],
  [1, 'caseworker', ['create', 'change'], ['list']],
  [1, 'client', ['create', 'revoke', 'rotate_secret'], ['list']],
  [5, 'event', [], ['list']],
  [3, 'token', ['issue'], []],
  [1, 'webhook_endpoint', ['create', 'update', 'pause', 'test'], ['list', 'deliveries']],
  [1, 'audit', [], ['query', 'verify']],
];
const BY_ITSELF: readonly (readonly [system: string, action: string])[] = [
  ['clock', 'timer.breach'],
  ['clock', 'timer.warn'],
  ['clock', 'referral.expire'],
  ['router', 'referral.offer'],
  ['router', 'referral.offer'],
  ['router', 'referral.offer'],
  ['relay', 'delivery.attempt'],
  ['sequencer', 'audit.heartbeat'],
];
const OF_A_CASE = new Set(['case', 'referral', 'consent', 'message', 'disclosure', 'timer']);

interface Action {
  name: string;
  outcome: 'done' | 'read';
}

interface AgencyOf {
  id: string;
  clients: string[];
  /** Each as often as it is done there. */
  actions: Action[];
}

export interface Subject {
  case_id: string;
  referral_id: string | undefined;
}

/** What `record` would be told, and when. */
export interface Deed {
  at: Date;
  agency_id: string | null;
  client_id: string;
  caseworker: string | null;
  action: string;
  outcome: 'done' | 'read' | 'denied' | 'failed';
  resource_type: string;
  code: string | null;
  lawful_ground: string | null;
  subjects: Subject[];
  withheld: boolean;
}

export interface Population {
  deed(index: number): Deed;
  agencies: readonly AgencyOf[];
  /** Cases that can be opened: the first has thousands of entries, the others as many as most. */
  real_cases: readonly { id: string; referral_id: string }[];
}

/** @param real_cases ids of cases that have keys; they stand for some of the `entries` */
export function populate(world: World, real_cases: readonly string[], entries: number): Population {
  const random = randomFrom(1);
  const agencies = makeAgencies(world, random);
  const cases = Math.max(real_cases.length * 2, Math.round(entries / ENTRIES_PER_CASE));
  const busy_share = Math.min(0.02, (BUSY_CASES * BUSY_ENTRIES) / entries);
  const every = Math.floor(cases / real_cases.length);
  const idOf = (n: number) => (n % every === every - 1 ? real_cases[1 + Math.floor(n / every)] : undefined) ?? made('cas', n);
  const busyId = (n: number) => (n === 0 ? real_cases[0]! : made('cas', cases + n));
  const referralOf = (n: number, nth: number) => made('ref', n * REFERRALS_PER_CASE + nth);

  function subjectAt(share: number): Subject {
    const is_busy = random() < busy_share;
    // What is worked on was opened not long before.
    const recent = Math.floor(share * cases) - Math.floor(-Math.log(1 - random()) * 30);
    const n = is_busy ? Math.floor(random() * BUSY_CASES) : Math.max(0, recent);
    const referral_id =
      random() < 0.6 ? referralOf(is_busy ? cases + n : n, Math.floor(random() * REFERRALS_PER_CASE)) : undefined;
    return { case_id: is_busy ? busyId(n) : idOf(n), referral_id };
  }

  function deed(index: number): Deed {
    const share = index / entries;
    const at = new Date(BEGAN + Math.floor((index / entries) * YEARS * 365.25 * 86_400_000) + Math.floor(random() * 2_000));
    const chance = random();
    if (chance < 0.05) {
      const [system, action] = one(BY_ITSELF, random);
      const failed = action === 'delivery.attempt' && random() < 0.2;
      return {
        at,
        agency_id: null,
        client_id: `system:${system}`,
        caseworker: null,
        action,
        outcome: failed ? 'failed' : 'done',
        resource_type: action.split('.')[0]!,
        code: failed ? 'connection' : null,
        lawful_ground: null,
        subjects: action.startsWith('referral') ? [subjectAt(share)] : [],
        withheld: true,
      };
    }
    // The first agencies do most.
    const agency = agencies[Math.floor(AGENCIES * random() ** 2)]!;
    const worker = Math.floor(share * (CASEWORKERS - AT_WORK)) + Math.floor(random() * AT_WORK);
    const { name, outcome } = one(agency.actions, random);
    const resource_type = name.split('.')[0]!;
    const denied = random() < 0.02;
    const count = !OF_A_CASE.has(resource_type) ? 0 : name.endsWith('.list') && !denied ? 3 : 1;
    const subjects = Array.from({ length: count }, () => subjectAt(share));
    return {
      at,
      agency_id: agency.id,
      client_id: agency.clients[worker % CLIENTS]!,
      caseworker: resource_type === 'token' ? null : `S-${worker + 1}`,
      action: name,
      outcome: denied ? 'denied' : outcome,
      resource_type,
      code: denied ? one(['not_visible', 'forbidden', 'wrong_state', 'consent_missing'], random) : null,
      lawful_ground: name === 'referral.make' && random() < 0.05 ? one(LAWFUL_GROUNDS, random) : null,
      subjects: subjects.filter(({ case_id }, i) => subjects.findIndex(it => it.case_id === case_id) === i),
      withheld: denied && random() < 0.5,
    };
  }

  const numbers = new Map(Array.from({ length: cases }, (_, n) => [idOf(n), n] as const));
  return {
    deed,
    agencies,
    real_cases: real_cases.flatMap((id, i) => {
      const n = i === 0 ? cases : numbers.get(id);
      return n === undefined ? [] : [{ id, referral_id: referralOf(n, 0) }];
    }),
  };
}

function makeAgencies(world: World, random: () => number): AgencyOf[] {
  return Array.from({ length: AGENCIES }, (_, n) => {
    const real = world.parties[n];
    const actions = ACTS.flatMap(([weight, resource, done, read]) => {
      // What an agency does not do, it never did.
      const kept = [...done.map(verb => [verb, 'done'] as const), ...read.map(verb => [verb, 'read'] as const)].filter(
        () => random() < 0.7,
      );
      return kept.flatMap(([verb, outcome], i) => {
        const action: Action = { name: `${resource}.${verb}`, outcome };
        return Array.from({ length: Math.ceil((weight * 4) / (i + 1)) }, () => action);
      });
    });
    const clients = Array.from({ length: CLIENTS }, (_, i) => made('cli', n * CLIENTS + i));
    return { id: real?.id ?? made('agy', n), clients: real ? [real.client_id, ...clients.slice(1)] : clients, actions };
  });
}

const one = <T>(items: readonly T[], random: () => number): T => items[Math.floor(random() * items.length)]!;

/** Well formed, and nobody's. */
function made(prefix: 'cas' | 'ref' | 'agy' | 'cli', n: number): string {
  const bytes = Buffer.alloc(16);
  bytes.writeUInt32BE(n, 4);
  NONCE.copy(bytes, 8);
  return typeId(prefix, bytes);
}

const NONCE = randomBytes(8);

/** Mulberry32. */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let it = Math.imul(state ^ (state >>> 15), 1 | state);
    it = (it + Math.imul(it ^ (it >>> 7), 61 | it)) ^ it;
    return ((it ^ (it >>> 14)) >>> 0) / 4_294_967_296;
  };
}
