import { Problem } from '../core/problem.ts';
import type { Identify } from '../platform/http/auth.ts';
import type { Services } from '../services.ts';
import { findIdentity } from './store.ts';
import { createTokenVerifier } from './tokens.ts';

/**
 * Who is asking, as the database has it at this moment: a client that was revoked is refused on its very next request, scopes
 * that were taken from it no longer count, and so for caseworkers.
 */
export function createIdentify(services: Services): Identify {
  const verify = createTokenVerifier(services);
  return {
    async byToken(token, staff_code) {
      const { client_id, scopes } = await verify(token);
      const found = await findIdentity(services.db, client_id, staff_code);
      if (found?.client_status !== 'active') throw new Problem('unauthenticated');
      const { agency_id, agency_kind, jurisdictions, competent_authority, first_responder, caseworker_id: id, roles } = found;
      return {
        type: 'agency',
        agency_id,
        agency_kind,
        jurisdictions,
        competent_authority,
        first_responder,
        suspended: found.agency_status === 'suspended',
        client_id,
        scopes: new Set(found.scopes.filter(scope => scopes.includes(scope))),
        caseworker: id !== null && roles !== null && staff_code !== undefined ? { id, staff_code, roles } : null,
      };
    },
  };
}
