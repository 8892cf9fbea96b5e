import pg from 'pg';
import { type Agencies, type Asked, connectAgencies, type Kase } from './acts.ts';
import { drive, type Measured } from './driver.ts';
import { startService } from './service.ts';
import type { Party, World } from './world.ts';

/**
 * Inboxes of a mechanism with many referrals. They are copies, made by the database, of three that went the usual way: offered,
 * accepted, completed. One helpline sends and one shelter is asked more than all others; the committee sees every one.
 */

export const REFERRALS = 100_000;
/** Of the busy helpline and the busy shelter. */
const BUSY_SHARE = 0.4;
const REFERRALS_PER_CASE = 2;
const MINUTES_APART = 5;
/** One that takes longer is not tried again. */
const LONG_MS = 3_000;
/** How many of ten are still offered and how many accepted; the rest are completed. */
const MIX = { offered: 1, accepted: 2 };

export interface InboxResult {
  whose: string;
  query: string;
  clients: number;
  /** How many referrals lie in that inbox. */
  rows: number;
  measured: Measured;
  /** Where a single request failed, or took so long that it was the only one: what came of it. */
  given_up?: string;
}

export interface Model {
  kase: Kase;
  asked: Asked;
  stage: 'offered' | 'accepted' | 'completed';
}

/** Brings a referral to each stage. */
export async function makeModels(
  agencies: Agencies,
  cases: readonly Kase[],
  findAsked: (referral_id: string) => Promise<Asked>,
): Promise<Model[]> {
  const models: Model[] = [];
  for (const [i, stage] of (['offered', 'accepted', 'completed'] as const).entries()) {
    const kase = cases[i]!;
    const asked = await findAsked(await agencies.submit(kase));
    if (stage !== 'offered') await agencies.accept(asked);
    if (stage === 'completed') await agencies.complete(asked);
    models.push({ kase, asked, stage });
  }
  return models;
}

export async function fillInboxes(
  database_url: string,
  world: World,
  models: readonly Model[],
  total = REFERRALS,
): Promise<void> {
  const client = new pg.Client(database_url);
  await client.connect();
  try {
    // What the copies refer to is copied with them; looking each up would take longer than everything else.
    await client.query('set session_replication_role = replica');
    let made = 0;
    for (const model of models) {
      const share = model.stage === 'completed' ? 10 - MIX.offered - MIX.accepted : MIX[model.stage];
      const count = Math.round((total * share) / 10);
      await copyReferral(client, world, model, made, count);
      made += count;
    }
    await client.query('vacuum analyze');
  } finally {
    await client.end();
  }
}

const TABLES = [
  ['cases', 'id'],
  ['referrals', 'case_id'],
  ['offers', 'case_id'],
  ['timers', 'case_id'],
  ['disclosures', 'case_id'],
] as const;

/** `count` copies, numbered from `first`, older the higher their number. */
async function copyReferral(
  client: pg.Client,
  world: World,
  { kase, asked }: Model,
  first: number,
  count: number,
): Promise<void> {
  const owner = oneOf(world.helplines, `(n / ${REFERRALS_PER_CASE})`);
  const receiver = oneOf(world.shelters, '(n * 37)');
  for (const [table, column] of TABLES) {
    const { rows, fields } = await client.query(`select * from ${table} where ${column} = $1 order by 1`, [kase.id]);
    const per_case = table === 'cases' ? REFERRALS_PER_CASE : 1;
    for (const row of rows) {
      const values = fields.map(({ name }) => {
        const value: unknown = row[name];
        const column = `x.${pg.escapeIdentifier(name)}`;
        if (value === kase.owner.id) return owner;
        if (value === asked.shelter.id) return receiver;
        if (name === 'reference') return referenceOf(`${column} || n`);
        if (value === kase.id) return idOf(column, `n / ${REFERRALS_PER_CASE}`);
        if (typeof value === 'string' && /^(ref|off|tmr|dsc)_/.test(value)) return idOf(column, 'n');
        if (value instanceof Date) return `${column} - n * interval '${MINUTES_APART} minutes'`;
        return column;
      });
      const names = fields.map(({ name }) => pg.escapeIdentifier(name)).join(', ');
      await client.query(
        `insert into ${table} (${names}) select ${values.join(', ')} from ${table} x, generate_series($2::int, $3::int) i,
           lateral (select i * ${per_case} as n) it where x.${fields[0]!.name} = $1`,
        [row[fields[0]!.name], Math.ceil(first / per_case), Math.ceil((first + count) / per_case) - 1],
      );
    }
  }
}

/** One of the agencies by a number, the first of them more often than any other. A case's referrals have one owner. */
function oneOf(parties: readonly Party[], by: string): string {
  const [busy, ...others] = parties.map(({ id }) => pg.escapeLiteral(id));
  return `case when ${by} % 100 < ${BUSY_SHARE * 100} then ${busy} else (array[${others.join(', ')}])[1 + ${by} % ${others.length}] end`;
}

/** Well formed, and no other: the time of the model's id, older for higher numbers, its last symbols, and the number. */
const idOf = (column: string, n: string): string =>
  `left(${column}, 10) || lpad((99999999 - (${n}))::text, 8, '0') || right(${column}, 6) || '000000'`;

const referenceOf = (text: string): string => `regexp_replace(upper(left(md5(${text}), 12)), '(.{4})(?=.)', '\\1-', 'g')`;

export async function measureInboxes(
  database_url: string,
  dir: string,
  world: World,
  { clients, seconds }: { clients: number; seconds: number },
): Promise<InboxResult[]> {
  const service = await startService({ database_url, dir });
  const agencies = connectAgencies(service.origin, world, clients);
  const admin = new pg.Client(database_url);
  await admin.connect();
  const count = async (text: string, values: unknown[] = []): Promise<number> =>
    Number((await admin.query(`select count(*) as n from ${text}`, values)).rows[0].n);
  try {
    const [helpline, shelter] = [world.helplines[0]!, world.shelters[0]!];
    const incoming = await count('offers where agency_id = $1', [shelter.id]);
    const inboxes = [
      { whose: 'busy shelter', party: shelter, query: 'box=incoming', rows: incoming },
      { whose: 'busy shelter', party: shelter, query: 'box=incoming&status=offered', rows: incoming },
      { whose: 'busy shelter', party: shelter, query: 'box=incoming&sort=due_at', rows: incoming },
      {
        whose: 'busy helpline',
        party: helpline,
        query: 'box=outgoing',
        rows: await count('referrals where sender_agency_id = $1', [helpline.id]),
      },
      { whose: 'committee', party: world.committee, query: 'box=all', rows: await count('referrals') },
    ];
    const results: InboxResult[] = [];
    for (const { whose, party, query, rows } of inboxes) {
      const read = () => agencies.readInbox(party, query);
      await world.refresh();
      let given_up: string | undefined;
      let first = true;
      const probe = await drive({ clients: 1, seconds: 60 }, async () => {
        if (!first) return false;
        first = false;
        await read().catch(error => {
          given_up = (error as Error).message.slice(0, 120);
        });
        return true;
      });
      if (given_up === undefined && probe.p50_ms > LONG_MS) given_up = `a single one took ${Math.round(probe.p50_ms)} ms`;
      if (given_up === undefined) await drive({ clients, seconds: Math.min(2, seconds) }, read);
      const measured = given_up === undefined ? await drive({ clients, seconds }, read) : probe;
      results.push({ whose, query, clients, rows, measured, given_up });
    }
    return results;
  } finally {
    await agencies.close();
    await admin.end();
    await service.stop();
  }
}
