import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { AgencyActor } from '../../core/access.ts';
import type { Scope } from '../../core/codes.ts';
import { Problem } from '../../core/problem.ts';
import { requestContext } from './conventions.ts';
import { isEmergency, type RateLimiter } from './rate-limit.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** No token is asked for. Everything else asks for one. */
    public?: true;
    /** The trail's name of the operation: `referral.accept`. */
    action?: string;
    /** One of these scopes suffices. */
    scopes?: readonly Scope[];
    /** `Acting-Caseworker` is required; or only of clients without the scope `admin`, which act without a person's role. */
    caseworker?: true | 'unless_admin';
    /** May draw on the allowance that is kept for emergencies. */
    emergency?: true;
    /** How many levels the body may have, where the usual does not suffice. */
    deepest?: number;
  }
  interface FastifyRequest {
    /** Who is asking, once the token and the caseworker were checked. */
    actor: AgencyActor;
    /** The client is over its limit, and it is not known yet whether it calls in an emergency. */
    over_limit: Problem | null;
  }
}

/** Who a token belongs to, as the database has it now, and the active caseworker of that agency who was named, if there is one. */
export type Identity = Omit<AgencyActor, 'request'>;

export interface Identify {
  /** @throws Problem `unauthenticated` */
  byToken(token: string, staff_code: string | undefined): Promise<Identity>;
}

/**
 * Authentication is on by default; a public route says so itself. The order is the contract's: token (401), rate limit (429),
 * validation (400), named caseworker (400), scope and caseworker (403). Whatever fails while `over_limit` stands is answered by
 * it, so that what cannot be read is not told apart from what may not be asked.
 */
export function registerAuth(app: FastifyInstance, identify: Identify, limiter: RateLimiter): void {
  app.decorateRequest('actor', null as unknown as AgencyActor);
  app.decorateRequest('over_limit', null);

  app.addHook('onRequest', async request => {
    if (request.is404 || request.routeOptions.config.public) return;
    const identity = await identify.byToken(bearerToken(request), staffCode(request));
    request.actor = { ...identity, request: { id: request.id } };
    request.over_limit = limiter.take(identity.client_id);
    if (request.over_limit && !request.routeOptions.config.emergency) throw request.over_limit;
  });
  // Before validation, but behind the parser: whether it is an emergency stands in the body.
  app.addHook('preValidation', async request => {
    if (!request.over_limit) return;
    if (!isEmergency(request) || !limiter.takeReserved(request.actor.client_id)) throw request.over_limit;
    request.over_limit = null;
  });
  app.addHook('preHandler', async request => {
    const { actor } = request;
    if (!actor) return;
    const { scopes, caseworker: needs_caseworker } = request.routeOptions.config;
    const staff_code = requireStaffCode(request);
    actor.request = requestContext(request, staff_code);
    const waived = needs_caseworker === 'unless_admin' && actor.scopes.has('admin');
    if (needs_caseworker && !waived && staff_code === undefined) throw new Problem('acting_caseworker_required');
    if (scopes && !scopes.some(scope => actor.scopes.has(scope))) {
      throw new Problem('insufficient_scope', { members: { scopes } });
    }
    if (staff_code !== undefined && !actor.caseworker) throw new Problem('caseworker_not_active');
  });
}

function bearerToken(request: FastifyRequest): string {
  const token = /^Bearer ([\w.~+/=-]{1,4096})$/i.exec(request.headers.authorization ?? '')?.[1];
  if (!token) throw new Problem('unauthenticated');
  return token;
}

/** The code in `Acting-Caseworker`, where it can be one. */
function staffCode(request: FastifyRequest): string | undefined {
  const header = request.headers['acting-caseworker'];
  const code = Array.isArray(header) ? header.join(',') : header;
  return code !== undefined && /^[\x21-\x7e]{1,64}$/.test(code) ? code : undefined;
}

function requireStaffCode(request: FastifyRequest): string | undefined {
  const code = staffCode(request);
  if (code !== undefined || request.headers['acting-caseworker'] === undefined) return code;
  throw new Problem('invalid_request', { errors: [{ pointer: 'headers:acting-caseworker', detail: 'is not a staff code' }] });
}
