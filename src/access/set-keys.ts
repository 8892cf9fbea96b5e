import { act, type Outcome } from '../audit/act.ts';
import { record } from '../audit/record.ts';
import { type AgencyActor, expectVersion } from '../core/access.ts';
import { Problem } from '../core/problem.ts';
import type { Services } from '../services.ts';
import { lockOwn, OVERLAP_MS, refuseRevoked } from './commands.ts';
import { type GivenKey, readKeys, thumbprintsOf } from './keys.ts';
import { hasLastingSecret, listKeys, replaceKeys, retireSecrets, saveClient } from './store.ts';
import { type ClientView, viewClient } from './view.ts';

/**
 * Gives a client of one's own agency these public keys in place of those that it had; assertions by the others are refused from
 * now on. The first keys end its secret after 24 hours; a client with keys has a secret again where one is asked for by rotating.
 * An administrator cannot do this for another agency: it would then hold that agency's key.
 * @throws Problem `not_found`, `forbidden`, `insufficient_scope`, `unprocessable` for keys that are none or where nothing would be
 *   left to authenticate with, `precondition_required`, `precondition_failed`, `wrong_state`
 */
export const setClientKeys = (
  services: Services,
  actor: AgencyActor,
  client_id: string,
  jwks: { keys: GivenKey[] },
): Promise<Outcome<ClientView>> =>
  act(services, actor, 'client.set_keys', viewClient, async (tx, now) => {
    const client = await lockOwn(tx, actor, client_id);
    const keys = await readKeys(jwks.keys, '/keys');
    const may_lapse = client.status === 'revoked' || (await hasLastingSecret(tx, client_id));
    if (keys.length === 0 && !may_lapse) {
      throw new Problem('unprocessable', { detail: 'Nothing would be left to authenticate with: ask for a secret first.' });
    }
    expectVersion(actor, client.version, { required: true });
    refuseRevoked(client);

    const had_keys = (await listKeys(tx, [client_id])).length > 0;
    if (!had_keys && keys.length > 0) await retireSecrets(tx, client_id, new Date(now.getTime() + OVERLAP_MS));
    await replaceKeys(tx, client_id, keys, now);
    await saveClient(tx, client_id, {}, now);
    const receipt = await record(services, tx, actor, {
      action: 'client.set_keys',
      resource_type: 'client',
      subjects: [{ subject_id: client_id, changed: ['keys'], ...thumbprintsOf(keys) }],
    });
    return { id: client_id, receipt };
  });
