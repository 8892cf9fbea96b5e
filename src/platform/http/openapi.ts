import { SerializerSelector } from '@fastify/fast-json-stringify-compiler';
import swagger from '@fastify/swagger';
import { Ajv, type ValidateFunction } from 'ajv';
import addFormats from 'ajv-formats';
import { fullFormats } from 'ajv-formats/dist/formats.js';
import type { FastifyInstance, FastifySchema } from 'fastify';
import { type TObject, type TProperties, type TSchema, Type } from 'typebox';
import { CATEGORIES, LAWFUL_GROUNDS, SCOPES, type Scope } from '../../core/codes.ts';
import { idPattern, type Prefix } from '../../core/ids.ts';
import { type Fault, PROBLEMS, type ProblemCode } from '../../core/problem.ts';
import { faultOf, type ValidationFault } from './problems.ts';
import { HEADERS as ANSWER_HEADERS, type Described, responsesOf } from './responses.ts';

/**
 * Schemas: the vocabulary that routes describe themselves with, the validator that holds requests to it, and the OpenAPI 3.1
 * document that is made of the same schemas.
 */

export const Id = (prefix: Prefix) =>
  Type.String({ pattern: idPattern(prefix), maxLength: 40, description: `TypeID \`${prefix}_…\`` });
export const Instant = () => Type.String({ format: 'date-time', maxLength: 40, description: 'RFC 3339, UTC, milliseconds' });
export const Day = () => Type.String({ format: 'date', maxLength: 10 });
export const Code = <const T extends readonly string[]>(codes: T) => Type.Unsafe<T[number]>({ type: 'string', enum: [...codes] });
export const Text = (maxLength: number, minLength = 0) => Type.String({ maxLength, minLength });
export const StaffCode = () => Type.String({ pattern: '^[\\x21-\\x7e]{1,64}$', description: 'A staff code: never a name' });
export const Jurisdiction = () =>
  Type.String({ pattern: '^[A-Z]{2}(-[A-Z0-9]{1,3})?$', maxLength: 6, description: 'ISO 3166-1 alpha-2 or 3166-2' });
export const Region = () => Type.String({ pattern: '^[A-Z]{2}-[A-Z0-9]{1,3}$', maxLength: 6, description: 'ISO 3166-2' });
export const Language = () => Type.String({ pattern: '^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$', maxLength: 35, description: 'BCP 47' });
export const Nullable = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()]);
/** An object that knows only its own members. */
export const Closed = <T extends TProperties>(properties: T, options: Record<string, unknown> = {}) =>
  Type.Object(properties, { additionalProperties: false, ...options });
/** One that is a thing of its own in the published document. */
export const Named = <T extends TProperties>(title: string, properties: T, options: Record<string, unknown> = {}) =>
  Closed(properties, { title, ...options });
export const Codes = <const T extends readonly string[]>(codes: T, options: Record<string, unknown> = {}) =>
  Type.Array(Code(codes), { maxItems: codes.length, uniqueItems: true, ...options });

/** An answer that is not a resource: a page, a document, bytes. */
export const document = (media_types: string | readonly string[], description: string) => ({
  description,
  content: Object.fromEntries(
    [media_types]
      .flat()
      .map(media_type => [media_type, { schema: media_type === 'application/json' ? { type: 'object' } : { type: 'string' } }]),
  ),
});

const ProblemDocument = Type.Object(
  {
    type: Type.String(),
    title: Type.String(),
    status: Type.Integer(),
    detail: Type.Optional(Type.String()),
    code: Code(Object.keys(PROBLEMS) as ProblemCode[]),
    request_id: Type.String(),
    errors: Type.Optional(Type.Array(Type.Object({ pointer: Type.String(), detail: Type.String() }))),
    errors_total: Type.Optional(Type.Integer({ description: 'Where `errors` holds the first of many' })),
    state: Type.Optional(Type.String({ description: '`wrong_state`: where it stands' })),
    allowed_actions: Type.Optional(Type.Array(Type.String(), { description: '`wrong_state`: what can be done now' })),
    categories: Type.Optional(Type.Array(Code(CATEGORIES), { description: '`consent_missing`: for what' })),
    lawful_grounds: Type.Optional(
      Type.Array(Code(LAWFUL_GROUNDS), { description: '`consent_missing`: what this caller could name instead' }),
    ),
    scopes: Type.Optional(Type.Array(Code(SCOPES), { description: '`insufficient_scope`: what would suffice' })),
    due_at: Type.Optional(Type.String({ ...Instant(), description: '`too_early`: when it can be done' })),
    error: Type.Optional(Type.String({ description: 'Of the token endpoint: the code of RFC 6749' })),
  },
  { $id: 'Problem', description: 'RFC 9457 problem document' },
);

interface Operation extends Described {
  id: string;
  tag: string;
  summary: string;
  description?: string;
  /** The trail's name of it. */
  action: string;
  public?: true;
  scopes?: readonly Scope[];
  caseworker?: true | 'unless_admin';
  emergency?: true;
  /** Of one case: whoever is not assigned to it sends `Access-Reason`. */
  access_reason?: true;
  /** Replaces or changes without asking for `If-Match`. */
  unversioned?: true;
  /** A read that leaves an entry in the trail, as every act does. */
  recorded?: true;
  /** How many levels its body may have, where what others have agreed on needs more than the usual. */
  deepest?: number;
  /** How it may be refused, beside what follows from the rest. */
  problems?: readonly ProblemCode[];
  params?: TObject;
  query?: TProperties;
  body?: TSchema;
  status?: 200 | 201 | 204;
  /** Answers 201 instead where there was nothing before. */
  may_create?: true;
  answer?: TSchema;
  consumes?: string[];
}

/**
 * Everything that a route says of itself, in Fastify's form: schema, security, and the conventions that hold for its method.
 * Query parameters that are not named are refused.
 */
export function operation<const T extends Operation>(
  it: T,
): {
  schema: {
    params: T extends { params: infer P extends TSchema } ? P : TSchema;
    querystring: T extends { query: infer Q extends TProperties } ? TObject<Q> : TSchema;
    body: T extends { body: infer B extends TSchema } ? B : TSchema;
  };
  config: object;
} {
  const schema: FastifySchema & Record<string, unknown> = {
    operationId: it.id,
    tags: [it.tag],
    summary: it.summary,
    ...(it.description ? { description: it.description } : {}),
    ...(it.params ? { params: it.params } : {}),
    querystring: Closed(it.query ?? {}),
    ...(it.body ? { body: it.body } : {}),
    ...(it.consumes ? { consumes: it.consumes } : {}),
    // Requirements are alternatives; the scopes within one would all be needed.
    security: it.public ? [] : it.scopes ? it.scopes.map(scope => ({ oauth: [scope] })) : [{ oauth: [] }],
    response: {
      ...(it.answer ? { [it.status ?? 200]: it.answer } : it.status === 204 ? { 204: Type.Null({ description: 'Done' }) } : {}),
      ...(it.may_create && it.answer ? { 201: it.answer } : {}),
      default: { description: 'A problem document', content: { 'application/problem+json': { schema: Type.Ref('Problem#') } } },
    },
  };
  const { action, scopes, caseworker, emergency, may_create, access_reason, unversioned, recorded, deepest, problems } = it;
  return {
    schema: schema as never,
    config: {
      action,
      problems,
      deepest,
      ...(it.public ? { public: true } : { scopes, caseworker, emergency, may_create, access_reason, unversioned, recorded }),
    },
  };
}

type BuildSerializer = ReturnType<typeof SerializerSelector>;
type Serialize = (data: unknown) => string;

/** The serialisers of Fastify, each made when it is first needed: all of them at once would be most of what a start takes. */
export const lazySerializers = ((external: unknown, options: unknown) => {
  const build = SerializerSelector()(external as never, options as never) as unknown as (route: unknown) => Serialize;
  return (route: unknown): Serialize => {
    let serialize: Serialize | undefined;
    return data => {
      serialize ??= build(route);
      return serialize(data);
    };
  };
}) as unknown as BuildSerializer;

/**
 * Bodies are taken as they are: no coercion, no defaults, nothing dropped. Parameters arrive as text, so numbers and booleans
 * in them are parsed.
 */
export function registerSchemas(app: FastifyInstance): void {
  app.setValidatorCompiler(({ schema, httpPart }) => {
    const ajv = httpPart === 'body' ? strict : parsing;
    const text = JSON.stringify(schema);
    const validate: { (data: unknown): boolean; errors?: ValidateFunction['errors'] } = data => {
      const compiled = validatorOf(ajv, schema as object, text);
      const valid = compiled(data);
      validate.errors = compiled.errors;
      return valid;
    };
    return validate;
  });
  app.addSchema(ProblemDocument);
}

const newAjv = (coerceTypes: boolean) => {
  const ajv = new Ajv({ allErrors: true, strict: true, strictTypes: false, strictTuples: false, coerceTypes });
  addFormats.default(ajv, ['date', 'uri', 'duration']);
  const rfc3339 = fullFormats['date-time'] as { validate: (text: string) => boolean };
  // RFC 3339 has leap seconds, `Date` has none.
  ajv.addFormat('date-time', { validate: (text: string) => rfc3339.validate(text) && !Number.isNaN(Date.parse(text)) });
  return ajv;
};
const strict = newAjv(false);
const parsing = newAjv(true);

const validators = new Map([strict, parsing].map(ajv => [ajv, new Map<string, ValidateFunction>()]));

/** Compiled when it is first needed, like the serialisers, and once for all operations and apps that say the same. */
function validatorOf(ajv: Ajv, schema: object, text: string): ValidateFunction {
  const known = validators.get(ajv)!;
  const compiled = known.get(text) ?? ajv.compile(schema);
  known.set(text, compiled);
  return compiled;
}

/** What a request's body would be told of `value`, were it sent as one. */
export function faultsIn(schema: TSchema, value: unknown): Fault[] {
  const validate = validatorOf(strict, schema, JSON.stringify(schema));
  return validate(value) ? [] : validate.errors!.map(fault => faultOf(fault as ValidationFault, 'body'));
}

/** What a header or a status means is told once, here, for every operation that has it. */
function withConventions(document: OpenApiDocument, configs: Map<string, Described>): OpenApiDocument {
  const refusals = new Map<string, object>();
  for (const [path, item] of Object.entries(document.paths ?? {})) {
    for (const [method, op] of Object.entries(item)) {
      const it = configs.get(op.operationId) ?? {};
      const { caseworker, may_create, access_reason } = it;
      op.parameters ??= [];
      if (caseworker) op.parameters.push({ ...HEADERS.acting_caseworker, required: caseworker === true });
      if (access_reason) op.parameters.push(HEADERS.access_reason);
      if (method === 'post' && path !== '/oauth/token') op.parameters.push(HEADERS.idempotency_key);
      if (['put', 'patch', 'post', 'delete'].includes(method) && path !== '/oauth/token') op.parameters.push(HEADERS.if_match);
      if (may_create) op.parameters.push(HEADERS.if_none_match);
      for (const [status, response] of Object.entries(op.responses ?? {})) {
        if (response.description === 'Default Response') response.description = STATUS_TEXTS[status] ?? 'Done';
      }
      op.responses = responsesOf(method, path, it, op.responses ?? {}, refusals) as typeof op.responses;
    }
  }
  document.components.headers = ANSWER_HEADERS;
  document.components.responses = Object.fromEntries([...refusals].sort(([a], [b]) => (a < b ? -1 : 1)));
  return document;
}

const STATUS_TEXTS: Record<string, string> = { 200: 'As it now is', 201: 'Made' };

interface OpenApiDocument {
  components: Record<'schemas' | 'headers' | 'parameters' | 'responses', Record<string, unknown> | undefined>;
  webhooks?: Record<string, unknown>;
  paths?: Record<
    string,
    Record<string, { operationId: string; parameters?: unknown[]; responses?: Record<string, { description: string }> }>
  >;
}

/** A schema with a `title` stands once, under that name, and is referred to everywhere else. */
function withNames(document: OpenApiDocument): OpenApiDocument {
  const named: Record<string, unknown> = {};
  const visit = (node: unknown): unknown => {
    if (Array.isArray(node)) return node.map(visit);
    if (typeof node !== 'object' || node === null) return node;
    const visited = Object.fromEntries(Object.entries(node).map(([name, member]) => [name, visit(member)]));
    if (!('title' in visited) || typeof visited.title !== 'string' || visited.type !== 'object') return visited;
    const { title, ...schema } = visited;
    named[title as string] = schema;
    return { $ref: `#/components/schemas/${title}` };
  };
  const paths = visit(document.paths) as OpenApiDocument['paths'];
  const webhooks = visit(document.webhooks) as OpenApiDocument['webhooks'];
  const schemas = Object.fromEntries(
    Object.entries({ ...document.components.schemas, ...named }).sort(([a], [b]) => (a < b ? -1 : 1)),
  );
  return { ...document, components: { ...document.components, schemas }, paths, webhooks };
}

const header = (name: string, schema: object, description: string, required = false) => ({
  name,
  in: 'header',
  required,
  description,
  schema,
});
const HEADERS = {
  acting_caseworker: header(
    'Acting-Caseworker',
    { type: 'string', maxLength: 64 },
    'Staff code of the person behind the request',
    true,
  ),
  access_reason: header(
    'Access-Reason',
    { type: 'string', minLength: 1, maxLength: 200 },
    'Why somebody needs the case to whom the agency has not assigned it; the supervisor is told',
  ),
  idempotency_key: header(
    'Idempotency-Key',
    { type: 'string', minLength: 1, maxLength: 255 },
    'The same key again does nothing again',
  ),
  if_match: header('If-Match', { type: 'string' }, '`ETag` of the version that was read'),
  if_none_match: header('If-None-Match', { type: 'string', const: '*' }, 'There shall be nothing yet'),
};

/** What the service itself sends, in the document's own form: `webhooks`, and the components that they refer to. */
interface Sent {
  webhooks: Record<string, unknown>;
  parameters: Record<string, unknown>;
  responses: Record<string, unknown>;
}

export async function registerOpenApi(app: FastifyInstance, version: string, sent: Sent): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Aman',
        version,
        description: 'Coordination of referrals between the agencies of a national referral mechanism.',
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' } as never,
      },
      components: {
        securitySchemes: {
          oauth: {
            type: 'oauth2',
            flows: {
              clientCredentials: { tokenUrl: '/oauth/token', scopes: Object.fromEntries(SCOPES.map(scope => [scope, scope])) },
            },
          },
        },
      },
    },
    refResolver: {
      buildLocalReference: (json: { $id?: unknown }, _base: unknown, _fragment: unknown, i: number) =>
        String(json.$id ?? `def-${i}`),
    },
  });
  const configs = new Map<string, Described>();
  app.addHook('onRoute', route => {
    const id = (route.schema as { operationId?: string } | undefined)?.operationId;
    if (id) configs.set(id, route.config as Described);
  });
  app.decorate('openapi', () => {
    const document = withConventions(structuredClone(app.swagger()) as unknown as OpenApiDocument, configs);
    const { webhooks, parameters, responses } = sent;
    Object.assign(document.components, { parameters, responses: { ...document.components.responses, ...responses } });
    return withNames({ ...document, webhooks });
  });
}

declare module 'fastify' {
  interface FastifyInstance {
    /** The OpenAPI document of all registered routes; call after `ready`. */
    openapi(): object;
  }
}
