import { join } from 'node:path';
import pg from 'pg';
import { openVault } from '../../src/platform/vault.ts';
import type { Model } from '../bench/model.ts';
import type { World } from '../bench/world.ts';

/**
 * Clocks of a mechanism with very many of them: copies, made by the database, of a case with a referral and an offer, and on each
 * offer clocks that run for days. Every case has a key of its own, for what its clocks leave in the trail.
 */

const TIMERS_PER_REFERRAL = 5;
const REFERRALS_PER_CASE = 2;
const NAMES = ['respond', 'acknowledge', 'handover', 'review', 'waitlist_review'];
/** So far ahead lies the first step of the first, and so long after it that of the last. */
const FIRST_STEP_DAYS = 2;
const SPREAD_DAYS = 60;

/** The share of clocks that follow the illustrative calendar. */
const WORKING_DAYS_IN = 5;

/** Runs statements as the superuser, without looking up what rows refer to. */
export async function asOwner<T>(database_url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client(database_url);
  await client.connect();
  try {
    await client.query(`set session_replication_role = replica; set maintenance_work_mem = '256MB'`);
    return await work(client);
  } finally {
    await client.end();
  }
}

/** Arms so many clocks, none of which falls due for days. */
export async function armTimers(
  database_url: string,
  dir: string,
  world: World,
  { kase, referral_id }: Model,
  count: number,
): Promise<void> {
  const referrals = Math.ceil(count / TIMERS_PER_REFERRAL);
  const cases = Math.ceil(referrals / REFERRALS_PER_CASE);
  const owner = (n: string) => oneOf(world.helplines, `(${n}) / ${REFERRALS_PER_CASE}`);
  await asOwner(database_url, async client => {
    const copy = (table: string, model: string, copies: number, changed: Record<string, string>) =>
      copyRow(client, table, model, copies, changed);
    const restore = await dropIndexes(client, ['cases', 'referrals', 'offers', 'timers']);
    await copy('cases', kase.id, cases, {
      id: idOf('cas', 'n'),
      reference: `'bench ' || n`,
      owner_agency_id: oneOf(world.helplines, 'n'),
    });
    await copy('referrals', referral_id, referrals, {
      id: idOf('ref', 'n'),
      reference: `'bench ' || n`,
      case_id: idOf('cas', `n / ${REFERRALS_PER_CASE}`),
      owner_agency_id: owner('n'),
      sender_agency_id: owner('n'),
    });
    const [offer] = (await client.query<{ id: string }>('select id from offers where referral_id = $1', [referral_id])).rows;
    await copy('offers', offer!.id, referrals, {
      id: idOf('off', 'n'),
      referral_id: idOf('ref', 'n'),
      case_id: idOf('cas', `n / ${REFERRALS_PER_CASE}`),
      owner_agency_id: owner('n'),
      sender_agency_id: owner('n'),
      agency_id: oneOf(world.shelters, 'n'),
    });
    await copyTimers(client, world, referral_id, count);
    await insertKeys(client, dir, cases);
    await restore();
    await client.query('vacuum analyze');
    await client.query('checkpoint');
  });
}

/** Copies of the row with this id, numbered by `n` from 0, with what `changed` makes of that. */
export const copyRow = (
  client: pg.Client,
  table: string,
  model: string,
  copies: number,
  changed: Record<string, string>,
): Promise<unknown> =>
  client.query(
    `insert into ${table} select r.* from ${table} x, generate_series(0, $2::int - 1) n, jsonb_populate_record(x,
      jsonb_build_object(${Object.entries(changed).map(([name, sql]) => `'${name}', ${sql}`)})) r where x.id = $1`,
    [model, copies],
  );

/** Days from start to due; each warns when half and four fifths are over, and escalates after it. */
const STEPS: readonly [kind: string, share: number, more: string][] = [
  ['warn', 0.5, '{"share": 0.5}'],
  ['warn', 0.8, '{"share": 0.8}'],
  ['breach', 1, '{"share": 1}'],
  ['escalate', 1, '{"share": 1, "level": 1, "to": "responsible"}'],
  ['escalate', 1.25, '{"share": 1.25, "level": 2, "to": "supervisor"}'],
  ['escalate', 2, '{"share": 2, "level": 3, "to": "coordinator"}'],
];

async function copyTimers(client: pg.Client, world: World, referral_id: string, count: number): Promise<void> {
  const n = `(i / ${TIMERS_PER_REFERRAL})`;
  const owner = oneOf(world.helplines, `${n} / ${REFERRALS_PER_CASE}`);
  const receiver = oneOf(world.shelters, n);
  const steps = STEPS.map(
    ([kind, share, more]) =>
      `jsonb '${more}' || jsonb_build_object('kind', '${kind}', 'at', ${isoOf(`started + ${share} * (due - started)`)})`,
  );
  const is_working_days = `i % ${WORKING_DAYS_IN} = 0`;
  const changed: Record<string, string> = {
    id: idOf('tmr', 'i'),
    name: oneOf(NAMES, 'i'),
    clock: `case when ${is_working_days} then 'working_days' else 'elapsed' end`,
    subject_id: idOf('off', n),
    case_id: idOf('cas', `${n} / ${REFERRALS_PER_CASE}`),
    referral_id: idOf('ref', n),
    offer_id: idOf('off', n),
    owner_agency_id: owner,
    sender_agency_id: owner,
    receiver_agency_id: receiver,
    responsible_agency_id: receiver,
    urgency: `(array['routine', 'urgent', 'urgent', 'emergency'])[i % 4 + 1]`,
    started_at: 'started',
    due_at: 'due',
    next_step_at: 'started + 0.5 * (due - started)',
    steps: `jsonb_build_array(${steps})`,
    on_breach: 'null',
    duration: `case when ${is_working_days} then 'P5D' else 'P8D' end`,
    calendar_id: `case when ${is_working_days} then c.id end`,
    calendar_version: `case when ${is_working_days} then c.version end`,
  };
  await client.query(
    `insert into timers select r.* from timers x, calendars c, generate_series(0, $2::int - 1) i,
      lateral (select date_trunc('milliseconds', now()) + make_interval(
        secs => 86400.0 * (${FIRST_STEP_DAYS} - 4 + i * ${SPREAD_DAYS}.0 / $2)) as started) s,
      lateral (select started + interval '8 days' as due) d,
      jsonb_populate_record(x, jsonb_build_object(${Object.entries(changed).map(([name, sql]) => `'${name}', ${sql}`)})) r
     where x.referral_id = $1 and x.name = 'respond' and c.id = (select min(id) from calendars)`,
    [referral_id, count],
  );
}

/** An instant as the service writes it. */
export const isoOf = (sql: string): string => `to_char((${sql}) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;

export const idOf = (prefix: string, n: string): string => `'${prefix}_' || lpad((${n})::text, 26, '0')`;

export const oneOf = (things: readonly (string | { id: string })[], n: string): string =>
  `(array[${things.map(it => pg.escapeLiteral(typeof it === 'string' ? it : it.id))}])[(${n}) % ${things.length} + 1]`;

export async function insertKeys(client: pg.Client, dir: string, cases: number): Promise<void> {
  const vault = openVault(join(dir, 'keyring.json'), { create: false });
  for (let from = 0; from < cases; from += 10_000) {
    const rows = Array.from({ length: Math.min(10_000, cases - from) }, (_, i) => {
      const case_id = `cas_${String(from + i).padStart(26, '0')}`;
      const { kek_id, wrapped } = vault.newDataKey(case_id);
      return { case_id, kek_id, wrapped: `\\x${wrapped.toString('hex')}` };
    });
    await client.query('insert into case_keys select * from json_populate_recordset(null::case_keys, $1)', [
      JSON.stringify(rows),
    ]);
  }
}

/** Those that can be made again faster than they are kept. @returns what makes them again */
async function dropIndexes(client: pg.Client, tables: readonly string[]): Promise<() => Promise<void>> {
  const { rows } = await client.query<{ name: string; definition: string }>(
    `select i.indexrelid::regclass::text as name, pg_get_indexdef(i.indexrelid) as definition from pg_index i
     where i.indrelid = any ($1::regclass[]) and not i.indisunique`,
    [tables],
  );
  for (const { name } of rows) await client.query(`drop index ${name}`);
  return async () => {
    for (const { definition } of rows) await client.query(definition);
  };
}

/** So many of the armed clocks, the first `emergencies` of them of emergencies, warn at instants that `at` makes of their number `n`. */
export const warnAt = (client: pg.Client, count: number, emergencies: number, at: string): Promise<unknown> =>
  client.query(
    `update timers t set next_step_at = w.at, steps = jsonb_set(t.steps, '{0,at}', to_jsonb(${isoOf('w.at')})),
       urgency = case when n < $2 then 'emergency' when t.urgency = 'emergency' then 'urgent' else t.urgency end
     from (select id, ${at} as at, n from (select id, row_number() over (order by id) - 1 as n from (
       select id from timers where next_step_at > now() + interval '1 day' and state = 'running' and on_breach is null
         and steps -> 0 ->> 'kind' = 'warn' order by next_step_at limit $1) free) numbered) w
     where t.id = w.id`,
    [count, emergencies],
  );

/** The clocks of these referrals that end their offers fall due at instants that `at` makes of their number `n`, and no others. */
export async function expireAt(
  client: pg.Client,
  referral_ids: readonly string[],
  emergencies: number,
  at: string,
): Promise<void> {
  await client.query(
    `update timers t set due_at = w.at, next_step_at = w.at, urgency = case when n < $2 then 'emergency' else t.urgency end,
       steps = jsonb_build_array(jsonb_build_object('kind', 'breach', 'share', 1, 'at', ${isoOf('w.at')}))
     from (select id, ${at} as at, n from (select id, row_number() over (order by id) - 1 as n from timers
       where referral_id = any ($1) and name = 'respond' and state = 'running') numbered) w
     where t.id = w.id`,
    [referral_ids, emergencies],
  );
}
