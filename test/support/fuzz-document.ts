import { Ajv, type ValidateFunction } from 'ajv';
import addFormats from 'ajv-formats';
import { PROBLEMS } from '../../src/core/problem.ts';

/** What is wrong with a value. */
type Check = (value: unknown) => string[];

/** The published document as a tester reads it: what may be sent, and whether an answer is one that it announces. */

// biome-ignore lint/suspicious/noExplicitAny: a JSON schema is whatever the document says
export type Schema = any;

export interface Parameter {
  name: string;
  in: 'path' | 'query' | 'header';
  required: boolean;
  schema: Schema;
}

export interface Operation {
  id: string;
  method: string;
  path: string;
  parameters: Parameter[];
  body?: { schema: Schema; types: string[] };
  /** Somebody has to log in for it. */
  is_closed: boolean;
  /** By status, with references followed. */
  responses: Map<number, { headers: Set<string>; media: Map<string, Check> }>;
}

export interface Published {
  operations: Operation[];
  /** The operation that a request reaches, by the paths of the document alone. */
  find(method: string, url: string): Operation | undefined;
  resolve(schema: Schema): Schema;
  /** Whether a header of an answer is as the document describes it. */
  isHeader(name: string, value: string): boolean;
}

const EVERY_INSTANT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

export function readDocument(document: Schema): Published {
  const ajv = new Ajv({ strict: false, inlineRefs: false });
  addFormats.default(ajv, ['date', 'uri', 'duration', 'uuid']);
  // Answers say times in one way (RFC 3339, UTC, milliseconds), whatever requests may say.
  ajv.addFormat('date-time', EVERY_INSTANT);
  ajv.addFormat('byte', /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/);
  ajv.addSchema(document, 'document');

  const follow = (pointer: string): Schema =>
    pointer
      .slice(2)
      .split('/')
      .reduce((node, step) => node[step], document);
  const resolve = (node: Schema): Schema => (node?.$ref ? resolve(follow(node.$ref)) : node);

  // Each is compiled when it is first needed, and once.
  const compiled = new Map<string, ValidateFunction>();
  const validator = (schema: Schema): Check => {
    const text = JSON.stringify(schema).replaceAll('"#/', '"document#/');
    return value => {
      const validate = compiled.get(text) ?? ajv.compile(JSON.parse(text));
      compiled.set(text, validate);
      return validate(value) ? [] : (validate.errors ?? []).map(it => `${it.instancePath} ${it.keyword}: ${it.message}`);
    };
  };

  const operations = Object.entries<Schema>(document.paths).flatMap(([path, item]) =>
    Object.entries<Schema>(item).map(([method, it]): Operation => {
      const content = it.requestBody?.content as Record<string, { schema: Schema }> | undefined;
      return {
        id: it.operationId,
        method: method.toUpperCase(),
        path,
        parameters: it.parameters ?? [],
        ...(content ? { body: { schema: Object.values(content)[0]!.schema, types: Object.keys(content) } } : {}),
        is_closed: it.security.length > 0,
        responses: new Map(
          Object.entries<Schema>(it.responses)
            .filter(([status]) => status !== 'default')
            .map(([status, response]) => {
              const { headers, content } = resolve(response);
              const media = Object.entries<Schema>(content ?? {}).map(([type, { schema }]) => [type, validator(schema)] as const);
              return [
                Number(status),
                { headers: new Set(Object.keys(headers ?? {}).map(name => name.toLowerCase())), media: new Map(media) },
              ];
            }),
        ),
      };
    }),
  );

  const patterns = operations.map(operation => ({
    operation,
    pattern: new RegExp(
      `^${operation.path
        .replaceAll('.', '\\.')
        .replace('{*}', '.*')
        .replaceAll(/\{\w+\}/g, '[^/]*')}$`,
    ),
  }));
  const headers = Object.fromEntries(
    Object.entries<Schema>(document.components.headers).map(([name, { schema }]) => [name.toLowerCase(), validator(schema)]),
  );

  return {
    operations,
    resolve,
    find: (method, url) => {
      // As it is sent: `.` and `..` name no resource.
      const path = new URL(url, 'http://service.invalid').pathname;
      return patterns.find(it => it.operation.method === method && it.pattern.test(path))?.operation;
    },
    isHeader: (name, value) => headers[name]?.(value).length === 0,
  };
}

export interface Answered {
  status: number;
  headers: Record<string, string | string[] | number | undefined>;
  text: string;
}

/** Those of which the document has to say that an operation sends them. */
const TOLD = ['etag', 'location', 'audit-receipt', 'idempotency-replayed', 'retry-after', 'www-authenticate', 'ratelimit'];

/**
 * In what an answer breaks the document.
 * @param operation undefined for what the document does not know: then there is one answer
 */
export function faultsOf(document: Published, method: string, operation: Operation | undefined, answer: Answered): string[] {
  const faults: string[] = [];
  const hold = (holds: boolean, fault: string) => holds || faults.push(fault);
  const { status, headers, text } = answer;
  const type = String(headers['content-type'] ?? '').split(';')[0]!;
  const is_problem = type === 'application/problem+json';

  hold(status < 500, `is answered ${status}`);
  hold(document.isHeader('request-id', String(headers['request-id'])), 'has no Request-Id');
  hold(is_problem === status >= 400 || text === '', `says ${type} with ${status}`);
  if (is_problem && text !== '') for (const fault of problemFaults(answer)) faults.push(fault);
  if (!operation) {
    hold(status === 404 || method === 'HEAD' || method === 'OPTIONS', `${status} where there is no operation`);
    return faults;
  }

  const told = operation.responses.get(status);
  if (!told) return [...faults, `${status} is not announced`];
  if (told.media.size === 0) hold(text === '', 'has a body where none is announced');
  else {
    const check = told.media.get(type);
    if (check === undefined) faults.push(`${type || 'no type'} is not announced for ${status}`);
    else if (/\bjson$/.test(type)) faults.push(...check(JSON.parse(text)).slice(0, 5));
  }
  for (const name of TOLD) {
    const value = headers[name];
    if (value === undefined) continue;
    hold(told.headers.has(name), `${name} is not announced for ${status}`);
    hold(document.isHeader(name, String(value)), `${name} is malformed`);
  }
  // The log says nothing of anybody: whoever checks it may keep it.
  const kept =
    /^\/v1\/audit\/(?!entries$|entries\/{index}$|inquiries)/.test(operation.path) && status === 200 ? 'private' : 'no-store';
  // But for an export with the records of persons.
  const is_personal = operation.id === 'exportLog' && headers['cache-control'] === 'no-store';
  if (operation.is_closed && !is_personal) hold(headers['cache-control'] === kept, `is ${headers['cache-control']} to caches`);
  return [...faults, ...missingHeaders(operation, answer, told.headers)];
}

function missingHeaders(operation: Operation, { status, headers, text }: Answered, told: ReadonlySet<string>): string[] {
  const needed: string[] = [];
  if (status === 201) needed.push('location');
  if (status === 401) needed.push('www-authenticate');
  if (status === 429 || status === 503) needed.push('retry-after');
  const is_act = operation.is_closed && operation.method !== 'GET';
  // Where there was no event, nothing was told.
  if (status < 300 && (is_act || (told.has('audit-receipt') && operation.id !== 'listEvents'))) needed.push('audit-receipt');
  if (status < 300 && told.has('etag')) {
    const { version } = JSON.parse(text);
    if (version !== undefined && headers.etag !== `"${version}"`) return ['its ETag names another version'];
  }
  return needed.filter(name => headers[name] === undefined).map(name => `${name} is missing`);
}

const MEMBERS = new Set(
  'type title status detail code request_id errors errors_total state allowed_actions categories lawful_grounds scopes due_at error'.split(
    ' ',
  ),
);

/** RFC 9457, with the codes of the closed table. */
function problemFaults({ status, headers, text }: Answered): string[] {
  const problem = JSON.parse(text);
  const faults: string[] = [];
  if (!(problem.code in PROBLEMS)) faults.push(`${problem.code} is no code of a problem`);
  if (problem.type !== `/problems/${problem.code}`) faults.push(`its type is ${problem.type}`);
  if (problem.status !== status) faults.push(`its status says ${problem.status}`);
  if (problem.request_id !== headers['request-id']) faults.push('it names another request');
  const unknown = Object.keys(problem).filter(name => !MEMBERS.has(name));
  if (unknown.length > 0) faults.push(`it has members that nobody announced: ${unknown}`);
  return faults;
}
