import { ROLES, type Role, SCOPES, type Scope } from '../../src/core/codes.ts';
import { prefixOf } from '../../src/core/ids.ts';
import type { DemoAgencyKey } from '../../src/demo.ts';
import { newId } from '../../src/platform/ids.ts';
import type { TestApp } from './app.ts';
import type { Mechanism } from './mechanism.ts';
import { ok } from './night.ts';
import { type Example, OPERATIONS, type Prepared, prepared } from './operations.ts';

/**
 * Who asks, and what for: the operations of the document that the app serves, each with an example, and people who have one role
 * and no other. A request for what exists and one for what does not differ in ids alone.
 */

/** `everything`: every role that the agency's people can have. */
export type Person = Role | 'everything' | 'inactive';

export interface Caller {
  key: DemoAgencyKey;
  /** Nobody: no `Acting-Caseworker` is sent. */
  person?: Person;
  /** The committee's client alone has the scope `admin`, and it is not asked for but as the administrator. */
  admin?: true;
}

export interface Operation extends Example {
  id: string;
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  path: string;
  /** Names of the headers, and of the parameters behind `?`, that the document has. */
  names_headers: readonly string[];
  names_query: readonly string[];
}

export interface Reply {
  status: number;
  headers: Record<string, unknown>;
  /** The body as it came, but for the id of the request. */
  text: string;
  // biome-ignore lint/suspicious/noExplicitAny: a test looks at whatever came
  body: any;
  request_id: string;
}

/** Agencies where somebody has each single role. */
const STAFFED = ['helpline_a', 'health', 'prosecution', 'committee', 'audit_body'] as const;

/** Every operation of the document, without its example: public ones need none. */
export function operationsOf(document: object): Operation[] {
  const { paths } = document as {
    paths: Record<string, Record<string, { operationId: string; parameters: { name: string; in: string }[] }>>;
  };
  return Object.entries(paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, { operationId, parameters }]) => ({
      id: operationId,
      method: method.toUpperCase() as Operation['method'],
      path,
      names_headers: parameters.flatMap(it => (it.in === 'header' ? it.name : [])),
      names_query: parameters.flatMap(it => (it.in === 'query' ? it.name : [])),
    })),
  );
}

/** Makes what all the operations are done to, and those who do it. */
export async function startCalling(test: TestApp, them: Mechanism) {
  const { app, sequence } = test;
  const world: Prepared = prepared(test, them);
  const [operations] = await Promise.all([
    Promise.all(
      operationsOf(app.openapi()).map(async operation => ({
        ...operation,
        ...(await OPERATIONS[operation.id]?.example(world)),
      })),
    ),
    ...STAFFED.map(key => hire(them, key)),
  ]);

  const staffCode = ({ key }: Caller, person: Person): string =>
    person === 'everything' ? them.agencies[key].caseworkers[1].staff_code : person;

  async function send(
    operation: Operation,
    caller: Caller,
    { ids = 'present', scopes, headers = {} }: { ids?: 'present' | 'absent'; scopes?: readonly Scope[]; headers?: object } = {},
  ): Promise<Reply> {
    const held = scopes ?? SCOPES.filter(scope => scope !== 'admin' || caller.admin);
    return ask(operation, ids, {
      authorization: `Bearer ${await them.tokenFor(caller.key, held)}`,
      ...(caller.person ? { 'acting-caseworker': staffCode(caller, caller.person) } : {}),
      ...operation.headers,
      ...headers,
    });
  }

  /** The request with these headers and no others. */
  async function ask(operation: Operation, ids: 'present' | 'absent', headers: Record<string, string>): Promise<Reply> {
    const { method, path, params = {}, search, body } = operation;
    const named = path.replaceAll(/\{([\w*]+)\}/g, (_, name) =>
      ids === 'absent' && name === 'id' ? absent(params.id!) : params[name]!,
    );
    const url = search === undefined ? named : `${named}?${search}`;
    if (path.startsWith('/v1/audit/')) await sequence();
    const response = await app.inject({ method, url, headers, ...(body === undefined ? {} : { payload: body }) });
    const request_id = String(response.headers['request-id']);
    const is_json = /\bjson\b/.test(String(response.headers['content-type']));
    return {
      status: response.statusCode,
      headers: response.headers,
      text: response.body.replace(request_id, 'REQUEST-ID'),
      body: is_json ? JSON.parse(response.body) : undefined,
      request_id,
    };
  }

  return { operations, send, ask };
}

export type Calling = Awaited<ReturnType<typeof startCalling>>;

/** An id like this one that nothing has. */
const absent = (id: string): string => newId(prefixOf(id)!);

async function hire({ as, agencies }: Mechanism, key: (typeof STAFFED)[number]): Promise<void> {
  const supervisor = as(key, 'supervisor');
  const path = `/v1/agencies/${agencies[key].id}/caseworkers`;
  // What the rules ask screeners for.
  const certifications = [{ course: 'indicator_screening', completed_on: '2026-01-01' }];
  for (const role of ROLES) ok(await supervisor.post(path, { staff_code: role, roles: [role], certifications }));
  const { id } = ok(await supervisor.post(path, { staff_code: 'inactive', roles: ['supervisor'] }));
  ok(await supervisor.patch(`/v1/caseworkers/${id}`, { status: 'inactive' }, { 'if-match': '*' }));
}
