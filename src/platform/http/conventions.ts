import { isUtf8 } from 'node:buffer';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { RequestContext } from '../../core/access.ts';
import { type Fault, Problem } from '../../core/problem.ts';
import { pointerStep } from './problems.ts';

/**
 * What holds of every request: text is well formed, `If-Match`, `If-None-Match` and `Idempotency-Key` mean the same
 * everywhere, and every answer carries `Request-Id`.
 */

const DEEPEST = 12;
const MOST_FAULTS = 20;

export function registerConventions(app: FastifyInstance): void {
  readJson(app);
  app.addHook('onRequest', async (request, reply) => {
    void reply.header('request-id', request.id);
    // Whatever is sent there, however it is written: there is nothing.
    if (request.is404) throw new Problem('not_found');
  });
  app.addHook('preValidation', async request => {
    // An absent body is an empty one; what is required of it is the schema's to say.
    if (request.body === undefined && request.routeOptions.schema?.body) request.body = {};
    const faults: Fault[] = [];
    collectMalformed(request.body, '', request.routeOptions.config.deepest ?? DEEPEST, faults);
    if (!request.routeOptions.schema?.body) collectUnexpected(request.body, faults);
    for (const [name, value] of Object.entries({ ...(request.query as object), ...(request.params as object) })) {
      if (typeof value === 'string' && !isClean(value))
        faults.push({ pointer: `parameter:${pointerStep(name)}`, detail: MALFORMED });
    }
    if (faults.length > 0) throw new Problem('invalid_request', { errors: faults.slice(0, MOST_FAULTS) });
  });
}

/** JSON in well-formed UTF-8 and nothing else; a merge patch (RFC 7396) only where something is patched. */
function readJson(app: FastifyInstance): void {
  const parse = app.getDefaultJsonParser('error', 'error');
  app.removeAllContentTypeParsers();
  app.addContentTypeParser<Buffer>(
    ['application/json', 'application/merge-patch+json'],
    { parseAs: 'buffer' },
    (request, body, done) => {
      const is_patch = request.headers['content-type']?.startsWith('application/merge-patch+json');
      if (is_patch && request.method !== 'PATCH') return done(new Problem('unsupported_media_type'));
      if (!isUtf8(body)) return done(new Problem('malformed_body'));
      // Many clients name a media type although they send no body.
      if (body.length === 0) return done(null, undefined);
      return parse(request, body.toString(), done);
    },
  );
}

/** An operation that takes no body takes at most an empty object. */
function collectUnexpected(body: unknown, faults: Fault[]): void {
  if (body === undefined || body === null) return;
  if (typeof body !== 'object' || Array.isArray(body)) faults.push({ pointer: '', detail: 'no body is expected' });
  else for (const name of Object.keys(body)) faults.push({ pointer: `/${pointerStep(name)}`, detail: 'is not known here' });
}

const MALFORMED = 'holds a NUL character or a lone surrogate';

const isClean = (text: string): boolean => text.isWellFormed() && !text.includes('\0');

/** PostgreSQL cannot hold NUL, JSON in UTF-8 cannot hold lone surrogates, and nobody needs a body twelve levels deep. */
function collectMalformed(value: unknown, pointer: string, levels: number, faults: Fault[]): void {
  if (typeof value === 'string') {
    if (!isClean(value)) faults.push({ pointer, detail: MALFORMED });
  } else if (typeof value === 'object' && value !== null) {
    if (levels === 0) {
      faults.push({ pointer, detail: 'is nested too deep' });
      return;
    }
    for (const [name, member] of Object.entries(value)) {
      if (!isClean(name)) faults.push({ pointer, detail: 'has a member whose name is malformed' });
      if (faults.length < MOST_FAULTS) collectMalformed(member, `${pointer}/${pointerStep(name)}`, levels - 1, faults);
    }
  }
}

/** @throws Problem `invalid_request` where a header cannot be understood */
export function requestContext(request: FastifyRequest, staff_code: string | undefined): RequestContext {
  const if_match = parseVersions('if-match', request.headers['if-match']);
  const if_none_match = parseVersions('if-none-match', request.headers['if-none-match']);
  const key = request.headers['idempotency-key'];
  const access_reason = request.headers['access-reason'];
  return {
    id: request.id,
    ...(if_match !== undefined ? { if_match } : {}),
    ...(if_none_match === 'any' ? { if_none_match } : {}),
    ...(access_reason === undefined ? {} : { access_reason: checkedReason(String(access_reason)) }),
    ...(typeof key === 'string' && request.method === 'POST'
      ? { idempotency: { key: checkedKey(key), content: contentOf(request, staff_code) } }
      : {}),
  };
}

function parseVersions(name: string, header: string | undefined): number[] | 'any' | undefined {
  if (header === undefined) return undefined;
  if (header.trim() === '*') return 'any';
  const tags = header.split(',').map(tag => /^\s*(?:W\/)?"(\d{1,9})"\s*$/.exec(tag)?.[1]);
  if (tags.some(tag => tag === undefined))
    throw new Problem('invalid_request', { errors: [{ pointer: `headers:${name}`, detail: 'is not an ETag of ours' }] });
  return tags.map(Number);
}

function checkedKey(key: string): string {
  if (/^[\x20-\x7e]{1,255}$/.test(key)) return key;
  throw new Problem('invalid_request', {
    errors: [{ pointer: 'headers:idempotency-key', detail: 'must be 1 to 255 printable characters' }],
  });
}

function checkedReason(reason: string): string {
  if (/^[\x20-\x7e]{1,200}$/.test(reason) && reason.trim() !== '') return reason;
  throw new Problem('invalid_request', {
    errors: [{ pointer: 'headers:access-reason', detail: 'must be 1 to 200 printable characters' }],
  });
}

/** Method, path, acting caseworker, body: what makes two requests the same. */
const contentOf = (request: FastifyRequest, staff_code: string | undefined): string =>
  JSON.stringify([request.method, request.url.split('?', 1)[0], staff_code ?? null, request.body ?? null]);
