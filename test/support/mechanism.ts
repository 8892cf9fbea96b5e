import { signToken } from '../../src/access/tokens.ts';
import { SCOPES, type Scope } from '../../src/core/codes.ts';
import type { DemoAgency, DemoAgencyKey, DemoCredentials } from '../../src/demo.ts';
import type { TestApp } from './app.ts';

export interface Answer {
  status: number;
  headers: Record<string, string | string[] | number | undefined>;
  // biome-ignore lint/suspicious/noExplicitAny: a test looks at whatever came
  body: any;
}

type Headers = Record<string, string>;

/** An agency's system, with one of its caseworkers behind it. */
export interface Client {
  agency: DemoAgency;
  get(path: string, headers?: Headers): Promise<Answer>;
  post(path: string, body?: unknown, headers?: Headers): Promise<Answer>;
  patch(path: string, body?: unknown, headers?: Headers): Promise<Answer>;
  delete(path: string, headers?: Headers): Promise<Answer>;
  put(path: string, body?: unknown, headers?: Headers): Promise<Answer>;
  del(path: string, headers?: Headers): Promise<Answer>;
}

export interface Mechanism {
  credentials: DemoCredentials;
  agencies: DemoCredentials['agencies'];
  /** A bearer token with all of the client's scopes, or with `scopes`, good at the test's time. */
  tokenFor(key: DemoAgencyKey, scopes?: readonly Scope[]): Promise<string>;
  /** Somebody at that agency; `nobody` sends no `Acting-Caseworker`. */
  as(key: DemoAgencyKey, staff?: 'worker' | 'supervisor' | 'nobody', scopes?: readonly Scope[]): Client;
}

type Send = (
  method: 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE',
  path: string,
  body: unknown,
  headers?: Headers,
) => Promise<Answer>;

/** The agency's system, whichever way its requests go. */
export const clientOf = (agency: DemoAgency, send: Send): Client => ({
  agency,
  get: (path, headers) => send('GET', path, undefined, headers),
  post: (path, body, headers) => send('POST', path, body, headers),
  patch: (path, body, headers) => send('PATCH', path, body, headers),
  delete: (path, headers) => send('DELETE', path, undefined, headers),
  put: (path, body, headers) => send('PUT', path, body, headers),
  del: (path, headers) => send('DELETE', path, undefined, headers),
});

/** The demonstration mechanism that every test database holds, and its agencies' systems as clients of the app. */
export async function mechanism({
  app,
  services,
  sequence,
}: Pick<TestApp, 'app' | 'services'> & Partial<TestApp>): Promise<Mechanism> {
  const { value } = await services.db
    .selectFrom('deployment')
    .select('value')
    .where('name', '=', 'test_credentials')
    .executeTakeFirstOrThrow();
  const credentials = value as DemoCredentials;
  const { agencies } = credentials;
  const tokens = new Map<string, { token: string; made_at: number }>();

  async function tokenFor(key: DemoAgencyKey, scopes: readonly Scope[] = SCOPES): Promise<string> {
    const name = `${key} ${scopes.join(' ')}`;
    const now = services.now().getTime();
    const known = tokens.get(name);
    if (known && now - known.made_at < 240_000) return known.token;
    // Asks for every scope: what the client does not hold does not count.
    const token = await signToken(services, { client_id: agencies[key].client_id, scopes });
    tokens.set(name, { token, made_at: now });
    return token;
  }

  function as(key: DemoAgencyKey, staff: 'worker' | 'supervisor' | 'nobody' = 'worker', scopes?: readonly Scope[]): Client {
    const agency = agencies[key];
    const staff_code = staff === 'nobody' ? undefined : agency.caseworkers[staff === 'worker' ? 0 : 1].staff_code;

    async function send(...[method, path, body, headers]: Parameters<Send>): Promise<Answer> {
      if (path.startsWith('/v1/audit/')) await sequence?.();
      const response = await app.inject({
        method,
        url: path,
        headers: {
          authorization: `Bearer ${await tokenFor(key, scopes)}`,
          ...(staff_code ? { 'acting-caseworker': staff_code } : {}),
          ...headers,
        },
        ...(body === undefined ? {} : { payload: body as object }),
      });
      return answerOf(response);
    }

    return clientOf(agency, send);
  }

  return { credentials, agencies, tokenFor, as };
}

/** An injected response with its body parsed where it is JSON. */
export function answerOf(response: { statusCode: number; headers: object; body: string }): Answer {
  const headers = response.headers as Answer['headers'];
  const is_json = /\bjson\b/.test(String(headers['content-type']));
  return { status: response.statusCode, headers, body: is_json ? JSON.parse(response.body) : response.body };
}
