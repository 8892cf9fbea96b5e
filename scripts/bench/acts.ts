import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { Pool } from 'undici';
import { drive } from './driver.ts';
import { caseBody, consentBody, type Party, referralBody, type World } from './world.ts';

/** What agencies' systems do, over keep-alive connections, one request at a time on each. */

export interface Kase {
  id: string;
  owner: Party;
}

export interface Asked {
  referral_id: string;
  shelter: Party;
}

export interface Agencies {
  openCase(): Promise<Kase>;
  submit(kase: Kase): Promise<string>;
  accept(asked: Asked): Promise<void>;
  decline(asked: Asked): Promise<void>;
  /** From the acceptance on: the person arrives, and the need is met. */
  complete(asked: Asked): Promise<void>;
  readCase(kase: Kase): Promise<void>;
  readInbox(party: Party, query?: string): Promise<number>;
  issueToken(party: Party): Promise<void>;
  /** What is answered with 200. */
  get(party: Party, path: string): Promise<string>;
  /** To be told everything. */
  registerWebhook(party: Party, url: string): Promise<void>;
  close(): Promise<void>;
}

export function connectAgencies(origin: string, world: World, connections: number): Agencies {
  const pool = new Pool(origin, { connections, pipelining: 1 });

  async function send(party: Party, method: 'GET' | 'POST', path: string, status: number, body?: object): Promise<string> {
    const answer = await pool.request({
      method,
      path,
      headers: {
        ...world.headersOf(party),
        // As the contract advises for every POST: a request whose answer was lost is sent again.
        ...(method === 'POST' ? { 'content-type': 'application/json', 'idempotency-key': randomUUID() } : {}),
      },
      ...(body ? { body: JSON.stringify(body) } : {}),
    });
    const text = await answer.body.text();
    if (answer.statusCode !== status) throw new Error(`${method} ${path}: ${answer.statusCode} ${text}`);
    return text;
  }

  return {
    async openCase() {
      const owner = world.helplines[Math.floor(Math.random() * world.helplines.length)]!;
      const { id } = JSON.parse(await send(owner, 'POST', '/v1/cases', 201, caseBody()));
      await send(owner, 'POST', `/v1/cases/${id}/consents`, 201, consentBody);
      return { id, owner };
    },
    async submit({ id, owner }) {
      const answer = await send(owner, 'POST', `/v1/cases/${id}/referrals`, 201, referralBody);
      return JSON.parse(answer).id;
    },
    async accept({ referral_id, shelter }) {
      await send(shelter, 'POST', `/v1/referrals/${referral_id}/accept`, 200, {});
    },
    async decline({ referral_id, shelter }) {
      await send(shelter, 'POST', `/v1/referrals/${referral_id}/decline`, 200, { reason_code: 'unsafe' });
    },
    async complete({ referral_id, shelter }) {
      const path = `/v1/referrals/${referral_id}`;
      await send(shelter, 'POST', `${path}/confirm-handover`, 200, { arrived_at: new Date(Date.now() - 1_000).toISOString() });
      await send(shelter, 'POST', `${path}/complete`, 200, { outcome_code: 'service_provided' });
    },
    async readCase({ id, owner }) {
      await send(owner, 'GET', `/v1/cases/${id}`, 200);
    },
    async readInbox(party, query = 'box=incoming') {
      return JSON.parse(await send(party, 'GET', `/v1/referrals?${query}`, 200)).data.length;
    },
    async issueToken({ client_id, client_secret }) {
      const answer = await pool.request({
        method: 'POST',
        path: '/oauth/token',
        headers: {
          authorization: `Basic ${Buffer.from(`${client_id}:${client_secret}`).toString('base64')}`,
          'content-type': 'application/x-www-form-urlencoded',
        },
        body: 'grant_type=client_credentials',
      });
      const text = await answer.body.text();
      if (answer.statusCode !== 200) throw new Error(`token: ${answer.statusCode} ${text}`);
    },
    get: (party, path) => send(party, 'GET', path, 200),
    async registerWebhook(party, url) {
      await send(party, 'POST', '/v1/webhook-endpoints', 201, { url, event_types: ['*'] });
    },
    close: () => pool.close(),
  };
}

/** Cases with consent in force. */
export async function openCases(agencies: Agencies, world: World, count: number): Promise<Kase[]> {
  await world.refresh();
  const cases: Kase[] = [];
  let begun = 0;
  await drive({ clients: 16, seconds: 120 }, async () => {
    if (begun++ >= count) return false;
    cases.push(await agencies.openCase());
    return true;
  });
  return cases;
}

/** The offers that nobody has answered yet, in no order. A sender is not told who was asked: the database is. */
export async function listAsked(database_url: string, world: World): Promise<Asked[]> {
  const client = new pg.Client(database_url);
  await client.connect();
  try {
    const { rows } = await client.query<{ referral_id: string; agency_id: string }>(
      `select referral_id, agency_id from offers where status = 'offered' order by random()`,
    );
    const shelters = new Map(world.shelters.map(shelter => [shelter.id, shelter]));
    return rows.map(({ referral_id, agency_id }) => ({ referral_id, shelter: shelters.get(agency_id)! }));
  } finally {
    await client.end();
  }
}

export const findAsked = async (database_url: string, world: World, referral_id: string): Promise<Asked> =>
  (await listAsked(database_url, world)).find(asked => asked.referral_id === referral_id)!;

/** One after the other, round and round. */
export function inTurn<T>(items: readonly T[]): () => T {
  let next = Math.floor(Math.random() * items.length);
  return () => items[next++ % items.length]!;
}
