import { act, type Outcome } from '../audit/act.ts';
import { record } from '../audit/record.ts';
import { type AgencyActor, authorise, expectVersion } from '../core/access.ts';
import { Problem, raise } from '../core/problem.ts';
import { asSystem } from '../platform/database.ts';
import type { Services } from '../services.ts';
import { askForAll, askOneAgain, countAsked, lockDelivery, lockRecovery } from './again-store.ts';
import { recordChange } from './commands.ts';
import { endpointNotice, lookedAfterBy } from './notices.ts';
import { EVENTS_KEPT_DAYS } from './retention.ts';
import type { DeliveryView, RecoveryView } from './schema.ts';
import { findEndpointOfDelivery, holdEndpoint } from './store.ts';
import { viewDelivery, viewRecovery } from './view.ts';

/**
 * Sending again what an agency asks for ("Events and notifications", section "Sending"). It goes out as everything does: in
 * turn, a few at once, and with access looked at again.
 */

const KEPT_MS = EVENTS_KEPT_DAYS * 86_400_000;

/**
 * Sends the agency's events of the endpoint's types since `since` again, delivered or not, also where the endpoint is paused or
 * disabled, which it stays for new events; stopping it (a pause, 410) stops this too. What is not numbered yet counts as new.
 * @returns the endpoint, and how many events are to be sent
 * @throws Problem `not_found`, `forbidden`, `unprocessable` where `since` lies ahead or further back than events are kept,
 *   `precondition_failed`
 */
export const recoverWebhookEndpoint = (
  services: Services,
  actor: AgencyActor,
  id: string,
  since: Date,
): Promise<Outcome<RecoveryView>> =>
  act(services, actor, 'webhook_endpoint.recover', viewRecovery(actor), async (tx, now) => {
    const endpoint = (await holdEndpoint(tx, actor.agency_id, id)) ?? raise('not_found');
    authorise(actor, 'webhook_endpoint.manage', ['self']);
    expectKept(since, now);
    expectVersion(actor, endpoint.version);
    const to_send = await asSystem(tx, 'relay', async tx => {
      await lockRecovery(tx, id);
      await askForAll(tx, endpoint, since, now);
      return countAsked(tx, id);
    });
    const told = { status: endpoint.status, since: since.toISOString(), to_send, notify: lookedAfterBy(endpoint) };
    const events = [endpointNotice('endpoint.recovered', endpoint, told)];
    return { id, receipt: await recordChange(services, tx, actor, 'recover', id, [], events) };
  });

/**
 * Sends one delivery again, whatever became of it, also where its endpoint is paused or disabled.
 * @throws Problem `not_found`, `forbidden`, `wrong_state` while an attempt is running
 */
export const redeliverDelivery = (services: Services, actor: AgencyActor, id: string): Promise<Outcome<DeliveryView>> =>
  act(services, actor, 'delivery.redeliver', viewDelivery(actor), async (tx, now) => {
    const endpoint_id = (await findEndpointOfDelivery(tx, actor.agency_id, id)) ?? raise('not_found');
    authorise(actor, 'webhook_endpoint.manage', ['self']);
    await asSystem(tx, 'relay', async tx => {
      const { state, running } = await lockDelivery(tx, id);
      if (running) throw new Problem('wrong_state', { members: { state, allowed_actions: [] } });
      await askOneAgain(tx, id, now);
    });
    const receipt = await record(services, tx, actor, {
      action: 'delivery.redeliver',
      resource_type: 'delivery',
      subjects: [{ subject_id: endpoint_id, resource_id: id }],
    });
    return { id, receipt };
  });

function expectKept(since: Date, now: Date): void {
  const detail =
    since > now
      ? 'lies ahead'
      : since.getTime() < now.getTime() - KEPT_MS
        ? `is longer ago than events are kept, which is ${EVENTS_KEPT_DAYS} days`
        : undefined;
  if (detail) throw new Problem('unprocessable', { errors: [{ pointer: '/since', detail }] });
}
