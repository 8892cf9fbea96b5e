import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import { type Fault, PROBLEMS, Problem, type ProblemCode } from '../../core/problem.ts';
import { isDatabaseDown } from '../database.ts';

/**
 * Problem documents (RFC 9457): presentation only. This is the one place that knows which status a problem has. A document
 * holds no value that the caller sent, no stack and no SQL.
 */
const STATUS: Record<ProblemCode, number> = {
  invalid_request: 400,
  malformed_body: 400,
  acting_caseworker_required: 400,
  invalid_grant_type: 400,
  invalid_scope: 400,
  unauthenticated: 401,
  invalid_client: 401,
  insufficient_scope: 403,
  caseworker_not_active: 403,
  agency_suspended: 403,
  access_reason_required: 403,
  forbidden: 403,
  not_found: 404,
  wrong_state: 409,
  consent_missing: 409,
  no_capacity: 409,
  crisis_in_force: 409,
  not_available: 409,
  may_not_take: 409,
  too_early: 409,
  already_exists: 409,
  idempotency_in_progress: 409,
  secret_already_shown: 409,
  precondition_failed: 412,
  body_too_large: 413,
  unsupported_media_type: 415,
  idempotency_mismatch: 422,
  not_offered: 422,
  unprocessable: 422,
  precondition_required: 428,
  rate_limited: 429,
  internal_error: 500,
  service_unavailable: 503,
};

export const statusOf = (code: ProblemCode): number => STATUS[code];

/** RFC 6749 names errors of the token endpoint itself; clients' OAuth libraries look for them. */
const OAUTH_ERROR: Partial<Record<ProblemCode, string>> = {
  invalid_client: 'invalid_client',
  invalid_grant_type: 'unsupported_grant_type',
  invalid_scope: 'invalid_scope',
  invalid_request: 'invalid_request',
};

/** Refusals of authenticated requests that leave an entry in the trail. */
const RECORDED_STATUSES = new Set([403, 404, 409]);

const MOST_FAULTS = 20;

/** Refusals that anybody can cause as often as they like: counted in the trail. The token endpoint counts its own. */
const COUNTED: ReadonlySet<ProblemCode> = new Set<ProblemCode>(['unauthenticated', 'rate_limited']);

type WriteRefusal = (request: FastifyRequest, code: ProblemCode) => Promise<void>;

/**
 * Fastify's error handler.
 * @param recordRefusal writes the trail entry of a refusal before it is answered; when it cannot, the answer is 503
 * @param countRefusal does so for refusals that are only counted
 */
export const problemHandler =
  (recordRefusal: WriteRefusal, countRefusal: WriteRefusal) =>
  async (error: unknown, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    let problem = toProblem(error, request);
    const counted = COUNTED.has(problem.code);
    if (counted || (request.actor && RECORDED_STATUSES.has(STATUS[problem.code]))) {
      try {
        await (counted ? countRefusal : recordRefusal)(request, problem.code);
      } catch (failure) {
        request.log.error({ err: failure }, 'a refusal could not be recorded');
        problem = new Problem('service_unavailable', { retry_after: 1 });
      }
    }
    return sendProblem(reply, problem);
  };

export function sendProblem(reply: FastifyReply, problem: Problem): FastifyReply {
  const { detail, errors, members, retry_after } = problem.extras;
  const status = STATUS[problem.code];
  const wait = retry_after ?? (status === 503 ? 1 : undefined);
  if (wait !== undefined) void reply.header('retry-after', wait);
  if (status === 401) void reply.header('www-authenticate', problem.code === 'invalid_client' ? 'Basic realm="aman"' : 'Bearer');
  const oauth = reply.request.routeOptions.url === '/oauth/token' ? OAUTH_ERROR[problem.code] : undefined;
  return reply
    .status(status)
    .header('content-type', 'application/problem+json')
    .header('cache-control', 'no-store')
    .serializer((body: unknown) => JSON.stringify(body))
    .send({
      type: `/problems/${problem.code}`,
      title: PROBLEMS[problem.code][0],
      status,
      ...(detail ? { detail } : {}),
      code: problem.code,
      request_id: reply.request.id,
      ...(errors?.length ? { errors } : {}),
      ...members,
      ...(oauth ? { error: oauth } : {}),
    });
}

const INSUFFICIENT_PRIVILEGE = '42501';

function toProblem(error: unknown, request: FastifyRequest): Problem {
  if (error instanceof Problem) {
    if (error.cause) request.log.error({ err: error.cause }, error.code);
    return error;
  }
  const { code, statusCode, validation, validationContext } = error as FastifyError;
  if (validation) {
    const faults = validation.slice(0, MOST_FAULTS).map(fault => faultOf(fault as ValidationFault, validationContext ?? 'body'));
    return new Problem('invalid_request', { errors: faults });
  }
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') return new Problem('body_too_large');
  if (code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') return new Problem('unsupported_media_type');
  if (statusCode === 400 || error instanceof SyntaxError) return new Problem('malformed_body');
  if (isDatabaseDown(error)) {
    request.log.error({ err: error }, 'database out of reach');
    return new Problem('service_unavailable');
  }
  // The second wall stood where the first one did not: to the caller there is nothing there.
  if (code === INSUFFICIENT_PRIVILEGE) {
    request.log.error({ err: error }, 'refused by row-level security');
    return new Problem('not_found');
  }
  request.log.error({ err: error }, 'request failed');
  return new Problem('internal_error');
}

export interface ValidationFault {
  instancePath: string;
  keyword: string;
  message?: string;
  params: Record<string, unknown>;
}

/** The name of a member in a pointer. What does not look like a name may be somebody's data in the wrong place: not repeated. */
export const pointerStep = (name: string): string => (/^[\w.-]{1,64}$/.test(name) ? name : '?');

/** Where it is wrong, in words made of the schema alone. */
export function faultOf(fault: ValidationFault, context: string): Fault {
  const named = fault.params.missingProperty ?? fault.params.additionalProperty ?? fault.params.propertyName;
  const name = typeof named === 'string' ? `/${pointerStep(named)}` : '';
  const pointer = `${fault.instancePath}${name}`;
  const detail =
    fault.keyword === 'additionalProperties'
      ? 'is not known here'
      : fault.keyword === 'required'
        ? 'is missing'
        : fault.keyword === 'enum'
          ? `must be one of ${(fault.params.allowedValues as unknown[]).join(', ')}`
          : (fault.message ?? 'is not valid');
  return { pointer: context === 'body' ? pointer : `${context}:${pointer.slice(1)}`, detail };
}

/** Every problem code with its status, for the published pages and the OpenAPI document. */
export const problemCatalogue = (): { code: ProblemCode; status: number; title: string; help: string }[] =>
  (Object.keys(PROBLEMS) as ProblemCode[]).map(code => ({
    code,
    status: STATUS[code],
    title: PROBLEMS[code][0],
    help: PROBLEMS[code][1],
  }));
