import { isDeepStrictEqual } from 'node:util';
import { ROLES, type Role } from '../../src/core/codes.ts';
import type { DemoAgencyKey } from '../../src/demo.ts';
import type { Caller, Calling, Operation, Reply } from './callers.ts';
import { OPERATIONS } from './operations.ts';

/**
 * What each caller is told who is not the rightful one, derived from the table of operations. Whoever passes is stopped by a
 * version that nothing has, which is looked at behind authorisation, so that asking changes nothing.
 */

export type Verdict = 'done' | 'forbidden' | 'absent';

/** Nobody's version. */
const STALE = { 'if-match': '"999999999"' };
export const WHY = { 'access-reason': 'asked by a test' };

/** Who does it by right. */
export function rightful(id: string): Caller {
  const [key, roles] = Object.entries(OPERATIONS[id]!.may)[0] as [DemoAgencyKey | 'administrator', readonly Role[]];
  return key === 'administrator' ? { key: 'committee', admin: true } : { key, person: roles[0] };
}

/** Each agency, and where it may at all each role in it; the administrator beside them. */
export function callersOf(id: string, keys: readonly DemoAgencyKey[]): [Caller, Verdict][] {
  const { may } = OPERATIONS[id]!;
  const verdict = (roles: readonly Role[] | undefined, role?: Role): Verdict =>
    roles === undefined ? 'absent' : (role ? roles.includes(role) : roles.length > 0) ? 'done' : 'forbidden';
  const of_agencies = keys.flatMap((key): [Caller, Verdict][] => {
    const roles = may[key];
    if (
      roles === undefined ||
      roles.length === 0 ||
      !['helpline_a', 'health', 'prosecution', 'committee', 'audit_body'].includes(key)
    )
      return [[{ key, person: 'everything' }, verdict(roles ?? may.others)]];
    return ROLES.map(role => [{ key, person: role }, verdict(roles, role)]);
  });
  return [...of_agencies, [{ key: 'committee', person: 'everything', admin: true }, administrators(id)]];
}

function administrators(id: string): Verdict {
  const { administrator, committee, others } = OPERATIONS[id]!.may;
  const roles = administrator ?? committee ?? others;
  return roles === undefined ? 'absent' : roles.length > 0 ? 'done' : 'forbidden';
}

export const nameOf = ({ key, person, admin }: Caller): string =>
  `${key} ${person ?? 'nobody'}${admin ? ' as administrator' : ''}`;

/** The same thing to be asked for again and again. */
export const withoutEffect = (operation: Operation): Operation => ({
  ...operation,
  ...operation.standing,
  headers: { ...WHY, ...(operation.method === 'GET' ? {} : STALE) },
});

/**
 * Asks as each caller, and says who was told otherwise than the table has it.
 * @param nothing the answer for what does not exist
 */
export async function wronglyTold(
  { send }: Calling,
  operation: Operation,
  callers: readonly [Caller, Verdict][],
  nothing: Reply,
): Promise<string[]> {
  const asked = withoutEffect(operation);
  const wrong = await Promise.all(
    callers.map(async ([caller, verdict]) => {
      const reply = await send(asked, caller);
      const is_right = told(reply, nothing) === verdict;
      return is_right ? [] : [`${operation.id} by ${nameOf(caller)}: ${reply.status} ${reply.text}, not ${verdict}`];
    }),
  );
  return wrong.flat();
}

function told(reply: Reply, nothing: Reply): Verdict | 'unexpected' {
  const { status, body } = reply;
  if (status < 300 || status === 412 || status === 409) return 'done';
  if (status === 403 && ['forbidden', 'insufficient_scope'].includes(body.code)) return 'forbidden';
  return status === 404 && isDeepStrictEqual(visible(reply), visible(nothing)) ? 'absent' : 'unexpected';
}

/** An answer byte for byte, but for what differs from request to request and from client to client. */
export function visible({ status, headers, text }: Reply) {
  const { 'request-id': _, date: __, ratelimit: ___, ...rest } = headers;
  return { status, headers: rest, text };
}
