import { act, type Outcome } from '../audit/act.ts';
import { type Read, read } from '../audit/read.ts';
import { type Notice, record, type SubjectRecord } from '../audit/record.ts';
import { type AgencyActor, authorise, expectVersion } from '../core/access.ts';
import { Problem, raise } from '../core/problem.ts';
import { takesOffers, takesReferrals } from '../core/reach.ts';
import { checkWebhookUrl } from '../platform/addresses.ts';
import { asSystem, type Tx, transact } from '../platform/database.ts';
import { decodeCursor, encodeCursor, type Page, pageLimit, toPage } from '../platform/http/paging.ts';
import { newId } from '../platform/ids.ts';
import type { Services } from '../services.ts';
import { askForMissed, lockRecovery } from './again-store.ts';
import { keyPairFor, NO_KEY_PAIR, newKeyPair, newSecret, sealSecret } from './keys.ts';
import { endpointNotice, lookedAfterBy } from './notices.ts';
import { lastPositions, listEvents, makeDue, type Told, type ToldEvent, tell } from './outbox-store.ts';
import { notePull } from './reach/store.ts';
import type { DeliveryView, EndpointBody, EndpointPatch, EndpointView } from './schema.ts';
import {
  countEndpoints,
  type EndpointRow,
  findEndpoint,
  insertEndpoint,
  listDeliveries,
  listEndpoints,
  lockEndpoint,
  saveEndpoint,
} from './store.ts';
import { changeTls, keepTls } from './tls.ts';
import { deliveryView, endpointView, viewFor } from './view.ts';
import type { WaitingPulls } from './waiting.ts';

const OVERLAP_MS = 24 * 3_600_000;
const ENDPOINTS_PER_AGENCY = 10;

/**
 * Registers an endpoint. Its secret is in this answer and in no other.
 * @throws Problem `invalid_request` where webhooks may not go to the URL or its TLS settings are of no use, `forbidden`,
 * `unprocessable` where it has enough of them
 */
export function createWebhookEndpoint(
  services: Services,
  actor: AgencyActor,
  {
    url,
    event_types,
    description = null,
    signature = ['v1'],
    max_per_second,
    tls = null,
    contact_staff_code = null,
  }: EndpointBody,
): Promise<Outcome<EndpointView>> {
  checkEndpoint(services, actor, { url, event_types });
  const id = newId('whe');
  const kept_tls = keepTls(services, { id, url }, tls);
  return act(services, actor, 'webhook_endpoint.create', viewFor(actor), async (tx, now) => {
    authorise(actor, 'webhook_endpoint.manage', ['self']);
    if ((await countEndpoints(tx, actor.agency_id)) >= ENDPOINTS_PER_AGENCY) {
      throw new Problem('unprocessable', {
        detail: `The agency has ${ENDPOINTS_PER_AGENCY} endpoints already, which is all that it may have: delete one first.`,
      });
    }
    const secret = newSecret();
    await insertEndpoint(tx, {
      id,
      agency_id: actor.agency_id,
      url,
      event_types,
      description,
      signature,
      ...(max_per_second === undefined ? {} : { max_per_second }),
      status: 'active',
      secret: sealSecret(services.vault, id, secret),
      previous_secret: null,
      previous_secret_until: null,
      ...(signature.includes('v1a') ? newKeyPair(services.vault, id) : NO_KEY_PAIR),
      contact_staff_code,
      failing_since: null,
      ...kept_tls,
      deleted_at: null,
      created_at: now,
      updated_at: now,
    });
    return { id, receipt: await recordChange(services, tx, actor, 'create', id, []), shown_once: { secret } };
  });
}

/** @throws Problem `not_found`, `forbidden` */
export const getWebhookEndpoint = (services: Services, actor: AgencyActor, id: string): Promise<Read<EndpointView>> =>
  read(services, actor, 'webhook_endpoint.read', { subject_id: id }, async tx => {
    const view = await viewFor(actor)(tx, id);
    authorise(actor, 'webhook_endpoint.manage', ['self']);
    return view;
  });

/** The agency's endpoints, newest first. */
export const listWebhookEndpoints = (
  services: Services,
  actor: AgencyActor,
  query: { limit?: number; cursor?: string },
): Promise<Read<Page<EndpointView>>> =>
  read(services, actor, 'webhook_endpoint.list', null, async tx => {
    const limit = pageLimit(query);
    const [before] = decodeCursor(query.cursor, 1) ?? [];
    authorise(actor, 'webhook_endpoint.manage', ['self']);
    const rows = await listEndpoints(tx, actor.agency_id, before as string | undefined, limit + 1);
    return toPage(rows, limit, row => encodeCursor(row.id), endpointView);
  });

/**
 * Changes what is named. A new URL is where also waiting deliveries go; `v1a` makes a key pair, without it there is none.
 * @throws Problem `invalid_request`, `not_found`, `forbidden`, `precondition_required`, `precondition_failed`
 */
export function updateWebhookEndpoint(
  services: Services,
  actor: AgencyActor,
  id: string,
  patch: EndpointPatch,
): Promise<Outcome<EndpointView>> {
  checkEndpoint(services, actor, patch);
  return act(services, actor, 'webhook_endpoint.update', viewFor(actor), async (tx, now) => {
    const endpoint = await lockOwn(tx, actor, id, { required: true });
    const { tls: _, ...named } = patch;
    const key_pair = keyPairFor(services.vault, endpoint, patch.signature ?? endpoint.signature);
    await saveEndpoint(tx, id, { ...named, ...changeTls(services, endpoint, patch), ...key_pair }, now);
    return { id, receipt: await recordChange(services, tx, actor, 'update', id, Object.keys(patch)) };
  });
}

/** Ends its deliveries. @throws Problem `not_found`, `forbidden`, `precondition_failed` */
export const deleteWebhookEndpoint = (services: Services, actor: AgencyActor, id: string): Promise<Outcome<object>> =>
  act(
    services,
    actor,
    'webhook_endpoint.delete',
    async () => ({}),
    async (tx, now) => {
      await lockOwn(tx, actor, id);
      const wiped = { previous_secret: null, previous_secret_until: null, tls: null, tls_summary: null, ...NO_KEY_PAIR };
      await saveEndpoint(tx, id, { deleted_at: now, ...wiped }, now);
      return { id, receipt: await recordChange(services, tx, actor, 'delete', id, []) };
    },
  );

/**
 * A new secret, and a new key pair where the endpoint has one. For 24 h those that they replace sign too.
 * @throws Problem `not_found`, `forbidden`, `precondition_failed`
 */
export const rotateWebhookSecret = (services: Services, actor: AgencyActor, id: string): Promise<Outcome<object>> =>
  act(
    services,
    actor,
    'webhook_endpoint.rotate_secret',
    async () => ({}),
    async (tx, now) => {
      const before = await lockOwn(tx, actor, id);
      const secret = newSecret();
      const replaced = before.private_key !== null && {
        ...newKeyPair(services.vault, id),
        previous_public_key: before.public_key,
        previous_private_key: before.private_key,
      };
      const change = {
        secret: sealSecret(services.vault, id, secret),
        previous_secret: before.secret,
        previous_secret_until: new Date(now.getTime() + OVERLAP_MS),
        ...replaced,
      };
      await saveEndpoint(tx, id, change, now);
      const changed = ['secret', ...(replaced ? ['public_key'] : [])];
      return { id, receipt: await recordChange(services, tx, actor, 'rotate_secret', id, changed), shown_once: { secret } };
    },
  );

/**
 * Sends nothing more to an endpoint until it is enabled. What comes meanwhile is kept for it.
 * @throws Problem `not_found`, `forbidden`, `precondition_failed`, `wrong_state` where the endpoint is not active
 */
export const pauseWebhookEndpoint = (services: Services, actor: AgencyActor, id: string): Promise<Outcome<EndpointView>> =>
  act(services, actor, 'webhook_endpoint.pause', viewFor(actor), async (tx, now) => {
    const endpoint = await lockOwn(tx, actor, id);
    expectActive(endpoint);
    await saveEndpoint(tx, id, { status: 'paused', stops: endpoint.stops + 1 }, now);
    return { id, receipt: await recordChange(services, tx, actor, 'pause', id, ['status']) };
  });

/**
 * Sends to an endpoint again, in order and at once, what has not arrived at it: what was kept for it, and of one that was disabled
 * also what came since it began to fail. The agency is told where the endpoint had failed.
 * @throws Problem `not_found`, `forbidden`, `precondition_failed`, `wrong_state` where the endpoint is active
 */
export const enableWebhookEndpoint = (services: Services, actor: AgencyActor, id: string): Promise<Outcome<EndpointView>> =>
  act(services, actor, 'webhook_endpoint.enable', viewFor(actor), async (tx, now) => {
    const endpoint = await lockOwn(tx, actor, id);
    const { status, failing_since } = endpoint;
    if (status === 'active') throw wrongState(status);
    await saveEndpoint(tx, id, { status: 'active', failing_since: null }, now);
    await asSystem(tx, 'relay', async tx => {
      await lockRecovery(tx, id);
      await makeDue(tx, id, now);
      if (status === 'disabled' && failing_since) await askForMissed(tx, endpoint, failing_since, now);
    });
    const failed = status === 'disabled' || failing_since !== null;
    const events = failed
      ? [endpointNotice('endpoint.recovered', endpoint, { status: 'active', notify: lookedAfterBy(endpoint) })]
      : [];
    return { id, receipt: await recordChange(services, tx, actor, 'enable', id, ['status'], events) };
  });

/**
 * Emits `endpoint.test`, an event of the agency that goes to this endpoint alone.
 * @throws Problem `not_found`, `forbidden`, `precondition_failed`, `wrong_state` where the endpoint is not active
 */
export const testWebhookEndpoint = (services: Services, actor: AgencyActor, id: string): Promise<Outcome<EndpointView>> =>
  act(services, actor, 'webhook_endpoint.test', viewFor(actor), async tx => {
    const endpoint = await lockOwn(tx, actor, id);
    expectActive(endpoint);
    const receipt = await record(services, tx, actor, {
      action: 'webhook_endpoint.test',
      resource_type: 'webhook_endpoint',
      subjects: [{ subject_id: id }],
      events: [endpointNotice('endpoint.test', endpoint, {})],
    });
    return { id, receipt };
  });

/** Deliveries to an endpoint with their attempts, newest first. @throws Problem `not_found`, `forbidden` */
export const listEndpointDeliveries = (
  services: Services,
  actor: AgencyActor,
  id: string,
  query: { state?: DeliveryView['state']; limit?: number; cursor?: string },
): Promise<Read<Page<DeliveryView>>> =>
  read(services, actor, 'webhook_endpoint.deliveries', { subject_id: id }, async tx => {
    const limit = pageLimit(query);
    const [before] = decodeCursor(query.cursor, 1) ?? [];
    if (!(await findEndpoint(tx, actor.agency_id, id))) raise('not_found');
    authorise(actor, 'webhook_endpoint.manage', ['self']);
    const filter = { state: query.state, before: before as string | undefined, limit: limit + 1 };
    const rows = await asSystem(tx, 'relay', tx => listDeliveries(tx, id, filter));
    return toPage(rows, limit, row => encodeCursor(row.id), deliveryView);
  });

export interface Pull {
  after?: string;
  types?: string;
  /** Seconds to wait where there is nothing yet. */
  wait?: number;
  limit?: number;
}

/**
 * The agency's events behind `after`, oldest first: the same objects that are pushed. `next_cursor` goes into `after`; it is null
 * only where nothing was ever found. What is told is recorded before it is answered.
 * @param signal ends the waiting, with an empty page
 */
export async function pullEvents(
  services: Services,
  pulls: WaitingPulls,
  actor: AgencyActor,
  query: Pull,
  signal: AbortSignal,
): Promise<{ view: Page<Told>; receipt?: string }> {
  const position = decodeCursor(query.after, 1)?.[0] ?? 0;
  if (!Number.isSafeInteger(position)) {
    throw new Problem('invalid_request', { errors: [{ pointer: 'querystring:after', detail: 'is not a cursor of this list' }] });
  }
  let filter = { after: position as number, types: query.types?.split(','), limit: pageLimit(query) };
  const deadline = performance.now() + (query.wait ?? 0) * 1_000;
  for (;;) {
    const { events, last, receipt } = await readEvents(services, actor, filter);
    const found = events.at(-1)?.position;
    const left_ms = deadline - performance.now();
    if (found === undefined && (await pulls.grown(actor, last, left_ms, signal))) {
      filter = { ...filter, after: Math.max(filter.after, last) };
      continue;
    }
    if (found === undefined && left_ms > 0) await transact(services, actor, tx => notePulled(services, tx, actor, filter, last));
    const next_cursor = found === undefined ? (query.after ?? null) : encodeCursor(found);
    return { view: { data: events.map(tell), next_cursor }, receipt };
  }
}

interface Filter {
  after: number;
  types: string[] | undefined;
  limit: number;
}

/** @returns also the agency's last position, up to which everything was looked at */
const readEvents = (
  services: Services,
  actor: AgencyActor,
  filter: Filter,
): Promise<{ events: ToldEvent[]; last: number; receipt?: string }> =>
  transact(services, actor, tx =>
    // Whether the agency may still know is seen only by who sees every referral.
    asSystem(tx, 'relay', async tx => {
      const last = (await lastPositions(tx, [actor.agency_id])).get(actor.agency_id) ?? 0;
      const events = last > filter.after ? await listEvents(tx, actor.agency_id, filter) : [];
      await notePulled(services, tx, actor, filter, events.at(-1)?.position ?? last);
      if (events.length === 0) return { events, last };
      const subjects = subjectsOf(events);
      // A receiver is told of a referral before it may know the case.
      const named = new Set(events.map(({ body }) => body.case_id));
      const subjects_withheld = subjects.map(({ subject_id }) => subject_id).filter(id => !named.has(id));
      const act = { action: 'event.list', outcome: 'read', resource_type: 'event', subjects, subjects_withheld } as const;
      return { events, last, receipt: await record(services, tx, actor, act) };
    }),
  );

/** Whoever pulls, or waited for something to pull, is there to hear of offers, if it asks for them or can be made none. */
async function notePulled(
  services: Services,
  tx: Tx,
  { agency_id }: AgencyActor,
  { types }: Filter,
  position: number,
): Promise<void> {
  if (!takesReferrals(types)) return;
  const pull = { agency_id, position, unless_serving: !takesOffers(types) };
  await asSystem(tx, 'relay', tx => notePull(tx, pull, services.now()));
}

function subjectsOf(events: readonly ToldEvent[]): SubjectRecord[] {
  const known = events.filter(event => event.may_know && event.case_id !== null);
  return [...Map.groupBy(known, event => event.case_id!)].map(([subject_id, of_case]) => ({
    subject_id,
    referral_ids: [...new Set(of_case.flatMap(event => event.referral_id ?? []))],
  }));
}

/** @throws Problem `invalid_request`, pointing at what is wrong */
function checkEndpoint(
  { config }: Services,
  { agency_kind }: AgencyActor,
  { url, event_types }: Pick<EndpointPatch, 'url' | 'event_types'>,
): void {
  const detail =
    url === undefined ? undefined : checkWebhookUrl(url, { production: config.production, ports: config.webhook_ports });
  if (detail) throw new Problem('invalid_request', { errors: [{ pointer: '/url', detail }] });
  if (event_types?.includes('*') && event_types.length > 1) {
    throw new Problem('invalid_request', { errors: [{ pointer: '/event_types', detail: 'must be types, or * alone' }] });
  }
  if (event_types?.includes('digest.daily') && agency_kind !== 'coordination_committee') {
    const detail = 'names digest.daily, which is told to coordination committees alone';
    throw new Problem('invalid_request', { errors: [{ pointer: '/event_types', detail }] });
  }
}

/** The order of checks: absent or another agency's, the role, the version. */
async function lockOwn(tx: Tx, actor: AgencyActor, id: string, version: { required?: boolean } = {}): Promise<EndpointRow> {
  const endpoint = (await lockEndpoint(tx, actor.agency_id, id)) ?? raise('not_found');
  authorise(actor, 'webhook_endpoint.manage', ['self']);
  expectVersion(actor, endpoint.version, version);
  return endpoint;
}

const wrongState = (state: EndpointRow['status']): Problem =>
  new Problem('wrong_state', { members: { state, allowed_actions: state === 'active' ? ['pause', 'test'] : ['enable'] } });

function expectActive({ status }: EndpointRow): void {
  if (status !== 'active') throw wrongState(status);
}

/** The entry of a change of an endpoint, with what the agency is told. */
export const recordChange = (
  services: Services,
  tx: Tx,
  actor: AgencyActor,
  verb: string,
  id: string,
  changed: string[],
  events: Notice[] = [],
): Promise<string> =>
  record(services, tx, actor, {
    action: `webhook_endpoint.${verb}`,
    resource_type: 'webhook_endpoint',
    subjects: [{ subject_id: id, changed }],
    events,
  });
