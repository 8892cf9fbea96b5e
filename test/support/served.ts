import { setTimeout as pause } from 'node:timers/promises';
import pg from 'pg';
import type { Test } from 'tap';
import { Pool } from 'undici';
import type { DemoAgencyKey, DemoCredentials } from '../../src/demo.ts';
import { cloneDatabase } from './app.ts';
import { type Answer, answerOf, type Client, clientOf } from './mechanism.ts';
import { type Program, ready, serve, temporaryDataDir } from './process.ts';

/** The demonstration mechanism in the service as it really runs: `node src/main.ts serve` on the test's PostgreSQL, asked over HTTP. */
export interface Served {
  program: Program;
  /** Connection string of its database's owner. */
  database: string;
  agencies: DemoCredentials['agencies'];
  as(key: DemoAgencyKey, staff?: 'worker' | 'supervisor'): Client;
  /** What the database holds, past both walls: as its owner. */
  // biome-ignore lint/suspicious/noExplicitAny: a test looks at whatever is there
  look(text: string, values?: unknown[]): Promise<any[]>;
  /** Ends it. @returns what it complained of: lines of its log from `error` on */
  stop(): Promise<string[]>;
}

/** @param keys the agencies that take part */
export async function startServed(t: Test, keys: readonly DemoAgencyKey[], env: Record<string, string> = {}): Promise<Served> {
  const DATABASE_URL = await cloneDatabase(t);
  const owner = new pg.Pool({ connectionString: DATABASE_URL, max: 2 });
  t.teardown(() => owner.end());
  const look = async (text: string, values: unknown[] = []) => (await owner.query(text, values)).rows;
  const program = serve(t, { DATA_DIR: await temporaryDataDir(t), DATABASE_URL, ...env });
  const url = await ready(program);
  const http = new Pool(url, { connections: 64 });
  t.teardown(() => http.destroy());

  const [kept] = await look(`select value from deployment where name = 'test_credentials'`);
  const { agencies } = kept.value as DemoCredentials;
  const tokens = new Map(await Promise.all(keys.map(async key => [key, await logIn(agencies[key])] as const)));

  async function logIn({ client_id, client_secret }: DemoCredentials['agencies'][DemoAgencyKey]): Promise<string> {
    const answer = await request('POST', '/oauth/token', 'grant_type=client_credentials', {
      authorization: `Basic ${btoa(`${client_id}:${client_secret}`)}`,
      'content-type': 'application/x-www-form-urlencoded',
    });
    return answer.body.access_token;
  }

  async function request(method: string, path: string, body: string | null, headers: Record<string, string>): Promise<Answer> {
    const response = await http.request({ method: method as 'GET', path, body, headers });
    return answerOf({ statusCode: response.statusCode, headers: response.headers, body: await response.body.text() });
  }

  function as(key: DemoAgencyKey, staff: 'worker' | 'supervisor' = 'worker'): Client {
    const agency = agencies[key];
    return clientOf(agency, async (method, path, body, headers) => {
      if (path.startsWith('/v1/audit/')) await sequenced();
      return request(method, path, body === undefined ? null : JSON.stringify(body), {
        authorization: `Bearer ${tokens.get(key)}`,
        'acting-caseworker': agency.caseworkers[staff === 'worker' ? 0 : 1].staff_code,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      });
    });
  }

  /** All that acts left has its place in the published log. */
  async function sequenced(): Promise<void> {
    const behind = `select from audit_pending union all select from audit_head where published_size < size limit 1`;
    while ((await look(behind)).length > 0) await pause(20);
  }

  return {
    program,
    database: DATABASE_URL,
    agencies,
    as,
    look,
    async stop() {
      await program.end('SIGTERM');
      const { stdout, stderr } = program.output;
      return `${stdout}\n${stderr}`.split('\n').filter(line => /"level":[56]0|^aman:/.test(line));
    },
  };
}
