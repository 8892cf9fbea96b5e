import type { Scope } from '../../core/codes.ts';
import type { ProblemCode } from '../../core/problem.ts';
import { statusOf } from './problems.ts';

/**
 * What an operation may answer, as the OpenAPI document tells it: the refusals that follow from what its route says of itself,
 * those that the route names beside, and the headers of its answers. Told here, once, for every operation.
 */

/** What a route says of itself (`operation` in `openapi.ts`) and its answers depend on. */
export interface Described {
  public?: true;
  scopes?: readonly Scope[];
  caseworker?: true | 'unless_admin';
  access_reason?: true;
  may_create?: true;
  unversioned?: true;
  recorded?: true;
  problems?: readonly ProblemCode[];
}

interface Response {
  description?: string;
  headers?: Record<string, unknown>;
  content?: Record<string, { schema?: { properties?: Record<string, unknown> } }>;
}

const BODIED = ['post', 'put', 'patch', 'delete'];

/** The codes with which an operation may be refused. */
function problemsOf(method: string, path: string, it: Described): ProblemCode[] {
  const is_act = !it.public && BODIED.includes(method);
  const of_one = path.includes('{');
  return [
    'invalid_request',
    ...codes(BODIED.includes(method), 'malformed_body', 'body_too_large', 'unsupported_media_type'),
    ...codes(!it.public, 'unauthenticated', 'rate_limited', 'caseworker_not_active'),
    ...codes(it.scopes !== undefined, 'insufficient_scope'),
    ...codes(it.caseworker !== undefined, 'acting_caseworker_required', 'forbidden'),
    ...codes(it.access_reason === true, 'access_reason_required'),
    ...codes(of_one, 'not_found'),
    ...codes(is_act && method === 'post', 'idempotency_in_progress', 'idempotency_mismatch'),
    ...codes(is_act && of_one, 'precondition_failed'),
    ...codes(is_act && ['put', 'patch'].includes(method) && !it.unversioned, 'precondition_required'),
    ...(it.problems ?? []),
    'internal_error',
    'service_unavailable',
  ];
}

const codes = (applies: boolean, ...them: ProblemCode[]): ProblemCode[] => (applies ? them : []);

/**
 * @param told what the document says so far: the answers of success
 * @returns the same with headers, and a response per status of refusal, by reference into {@link components}
 */
export function responsesOf(
  method: string,
  path: string,
  it: Described,
  told: Record<string, Response>,
  components: Map<string, object>,
): Record<string, object> {
  const successes = Object.entries(told).map(([status, response]): [string, object] => {
    if (!status.startsWith('2')) return [status, response];
    return [status, { ...response, headers: references(headersOf(method, status, it, response)) }];
  });
  const by_status = Map.groupBy(new Set(problemsOf(method, path, it)), statusOf);
  const refusals = [...by_status].map(([status, group]): [string, object] => {
    const sorted = [...group].sort();
    const name = sorted.join('_or_');
    components.set(name, refusal(status, sorted));
    return [String(status), { $ref: `#/components/responses/${name}` }];
  });
  return Object.fromEntries([...successes, ...refusals]);
}

function headersOf(method: string, status: string, it: Described, response: Response): HeaderName[] {
  const is_act = !it.public && method !== 'get';
  const names: HeaderName[] = ['Request-Id'];
  if (response.content?.['application/json']?.schema?.properties?.version) names.push('ETag');
  if (status === '201') names.push('Location');
  if (is_act || it.recorded) names.push('Audit-Receipt');
  if (is_act && method === 'post') names.push('Idempotency-Replayed');
  if (!it.public) names.push('RateLimit', 'RateLimit-Policy');
  return names;
}

/** A refusal with one of these codes, which have one status. */
function refusal(status: number, codes: readonly ProblemCode[]): object {
  const names: HeaderName[] = ['Request-Id'];
  if (status === 401) names.push('WWW-Authenticate');
  else names.push('RateLimit', 'RateLimit-Policy');
  if (status === 429 || status === 503 || codes.includes('idempotency_in_progress')) names.push('Retry-After');
  return {
    description: codes.map(code => `\`${code}\``).join(', '),
    headers: references(names),
    content: {
      'application/problem+json': {
        schema: { allOf: [{ $ref: '#/components/schemas/Problem' }, { type: 'object', properties: { code: { enum: codes } } }] },
      },
    },
  };
}

type HeaderName = keyof typeof HEADERS;

const references = (names: readonly HeaderName[]) =>
  Object.fromEntries(names.map(name => [name, { $ref: `#/components/headers/${name}` }]));

const described = (description: string, schema: object = { type: 'string' }) => ({ description, schema });

/** The headers of answers, for `components.headers`. */
export const HEADERS = {
  'Request-Id': described('Names the request in the logs and in the trail', { type: 'string', format: 'uuid' }),
  ETag: described('Version of the resource, the same for every viewer', { type: 'string', pattern: '^"[0-9]+"$' }),
  Location: described('Where to read what was made', { type: 'string' }),
  'Audit-Receipt': described('Hex leaf hash of the entry in the trail', { type: 'string', pattern: '^[0-9a-f]{64}$' }),
  'Idempotency-Replayed': described('The key was used before, and nothing was done again', { type: 'string', const: 'true' }),
  'Retry-After': described('Seconds to wait', { type: 'string', pattern: '^[0-9]+$' }),
  'WWW-Authenticate': described('How to authenticate'),
  RateLimit: described('What is left of the limit, and when all of it is there again'),
  'RateLimit-Policy': described('The limit'),
} as const;
