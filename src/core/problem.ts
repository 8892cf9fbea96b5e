/**
 * Every way in which the service says no: one closed table, one error class. What each code means to HTTP (its status) is
 * known to `platform/http/problems.ts` alone; the service publishes a page per code at `/problems/<code>`.
 */

/** Code → title and what the caller can do about it (the text of the code's page). */
export const PROBLEMS = {
  invalid_request: ['The request is not valid', 'Correct the members that `errors` points at and send it again.'],
  malformed_body: ['The body cannot be read', 'Send one well-formed JSON document in UTF-8.'],
  body_too_large: ['The body is too large', 'A body may hold 1 MiB, that of a directory import 16 MiB.'],
  unsupported_media_type: ['The media type is not supported', 'Send `application/json`, or what the operation documents.'],
  acting_caseworker_required: [
    'The person behind the request is not named',
    'Send `Acting-Caseworker: <staff_code>` with the code of the caseworker on whose behalf the system acts.',
  ],
  unauthenticated: [
    'The access token is missing, expired or not valid',
    'Get a token from `/oauth/token` and send it as `Authorization: Bearer`.',
  ],
  invalid_client: [
    'The client could not be authenticated',
    'Check the client id and its secret, or the key, claims and times of the assertion, which serves once; a revoked client gets no token.',
  ],
  invalid_grant_type: ['The grant type is not supported', 'Send `grant_type=client_credentials`.'],
  invalid_scope: ['The scope is not one that this client holds', 'Ask for a subset of the scopes given to the client.'],
  rate_limited: ['Too many requests', 'Wait for as long as `Retry-After` says.'],
  insufficient_scope: ['The token lacks the scope', 'Ask for a token with the scope that the operation documents.'],
  caseworker_not_active: [
    'The caseworker is not active at this agency',
    'Name an active caseworker of the agency of the client.',
  ],
  agency_suspended: [
    'The agency is suspended',
    'A suspended agency finishes its duties, but opens no cases and takes part in no new referral.',
  ],
  access_reason_required: [
    'A reason is required',
    'The case is assigned to others of the agency: send `Access-Reason` with why you need it. The supervisor is told.',
  ],
  forbidden: ['Not allowed', 'The caseworker named lacks the role for this act, or the act belongs to another party.'],
  not_found: ['Not found', 'There is nothing here that the caller may know of.'],
  idempotency_mismatch: ['The idempotency key was used for another request', 'Use a new key for a new request.'],
  not_offered: ['The agency does not offer this service there', 'Choose another agency, or let the router choose.'],
  unprocessable: ['The request contradicts what is known', 'See `detail`.'],
  precondition_required: ['If-Match is required', 'Read the resource and send its `ETag` as `If-Match`.'],
  precondition_failed: ['The resource has changed', 'Read it again and repeat the act on what it now is.'],
  idempotency_in_progress: ['The same request is still running', 'Repeat it after a moment.'],
  secret_already_shown: ['The answer held a secret that is shown once', 'Rotate the secret if the first answer was lost.'],
  wrong_state: ['Not possible in this state', '`state` says where it stands, `allowed_actions` what can be done now.'],
  consent_missing: [
    'Consent is missing',
    'No live grant or ground covers it. Record a consent, or name one of `lawful_grounds` where the law allows.',
  ],
  not_available: [
    'The expert is not available',
    'Look for experts again, and ask another one. It is not told why: it may be the time, the place, or anything else.',
  ],
  no_capacity: ['No places are left', 'Decline, or accept over capacity with `over_capacity: true`.'],
  may_not_take: [
    'The agency may not take this person',
    'Decline, and another agency is asked. What speaks against it cannot be told.',
  ],
  too_early: ['Not before a protected period ends', '`due_at` says when it ends.'],
  crisis_in_force: ['A crisis holds there already', 'End it, or say that it has entered another phase; or name other regions.'],
  already_exists: ['It exists already', 'Read what exists, or choose another name.'],
  service_unavailable: [
    'The service cannot do this now',
    'Try again after a moment, an act with the same `Idempotency-Key`: it may have been done although the answer was lost.',
  ],
  internal_error: ['Something went wrong on our side', 'Nothing was changed. Report `request_id`.'],
} as const satisfies Record<string, readonly [title: string, help: string]>;

export type ProblemCode = keyof typeof PROBLEMS;

/** Where in the request something is wrong: a JSON pointer into the body, or the name of a parameter or header. */
export interface Fault {
  pointer: string;
  detail: string;
}

/** Takes one fault that a check has found. */
export type Report = (pointer: string, detail: string) => void;

export interface ProblemExtras {
  /** One sentence for a developer; never personal data, never text that the caller sent. */
  detail?: string;
  errors?: Fault[];
  /** Members beside the standard ones (`state`, `allowed_actions`, `categories`, …). */
  members?: Record<string, unknown>;
  /** Seconds to wait, sent as `Retry-After`. */
  retry_after?: number;
  /** What went wrong on our side: for the log, never for the answer. */
  cause?: unknown;
}

/** The one error that callers see. Anything else that is thrown is a bug and is answered as an opaque 500. */
export class Problem extends Error {
  override readonly name = 'Problem';
  readonly code: ProblemCode;
  readonly extras: ProblemExtras;

  constructor(code: ProblemCode, extras: ProblemExtras = {}) {
    super(extras.detail ?? PROBLEMS[code][0], { cause: extras.cause });
    this.code = code;
    this.extras = extras;
  }
}

/** Throws where an expression is needed: `find(…) ?? raise('not_found')`. */
export const raise = (code: ProblemCode, extras?: ProblemExtras): never => {
  throw new Problem(code, extras);
};
