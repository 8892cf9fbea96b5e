import { createPublicKey, verify } from 'node:crypto';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Webhook } from 'standardwebhooks';
import type { Test } from 'tap';
import { type Notice, record } from '../../src/audit/record.ts';
import { type AgencyActor, systemActor } from '../../src/core/access.ts';
import type { OfferStatus } from '../../src/core/codes.ts';
import type { DemoAgencyKey, DemoCredentials } from '../../src/demo.ts';
import { insertDataKey } from '../../src/platform/data-keys.ts';
import { asSystem, type Tx, transact } from '../../src/platform/database.ts';
import { newId, newReference } from '../../src/platform/ids.ts';
import { QUEUE_SCHEMA } from '../../src/platform/migrate.ts';
import { createOutbound } from '../../src/platform/outbound.ts';
import type { Services } from '../../src/services.ts';
import { sealSecret } from '../../src/webhooks/keys.ts';
import { relayEvents } from '../../src/webhooks/relay.ts';
import { insertEndpoint } from '../../src/webhooks/store.ts';
import { deliverDue } from '../../src/webhooks/turn.ts';
import { openTestServices } from './app.ts';
import { areMadeUp } from './events.ts';

export interface Received {
  path: string;
  headers: IncomingHttpHeaders;
  text: string;
  // biome-ignore lint/suspicious/noExplicitAny: a test looks at whatever came
  body: any;
}

type Reply = { status: number; headers?: Record<string, string> };

export interface Receiver {
  url: string;
  received: Received[];
  /** What the next requests are answered, in turn. */
  replies: (Reply | Promise<Reply>)[];
  /** What is answered when there is nothing left to say in turn: 204 where it is left out. */
  otherwise?: (request: Received) => Reply;
  /** Called with each request as it comes in, before it is answered. */
  onArrival?: (request: Received) => void;
  /** Resolves when `count` requests came in all. */
  reached(count: number): Promise<void>;
  verify(secret: string, request: Received): void;
}

/** An agency's own system, listening on this machine. */
export async function startReceiver(t: Test): Promise<Receiver> {
  const received: Received[] = [];
  const replies: Receiver['replies'] = [];
  let came = Promise.withResolvers<void>();
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString();
    const arrived = { path: request.url!, headers: request.headers, text, body: JSON.parse(text) };
    received.push(arrived);
    receiver.onArrival?.(arrived);
    came.resolve();
    came = Promise.withResolvers<void>();
    const { status, headers } = (await replies.shift()) ?? receiver.otherwise?.(arrived) ?? { status: 204 };
    response.writeHead(status, headers).end();
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.closeAllConnections();
    return new Promise(resolve => server.close(resolve));
  });
  const receiver: Receiver = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`,
    received,
    replies,
    async reached(count) {
      while (received.length < count) await came.promise;
    },
    verify: (secret, { text, headers }) => void new Webhook(secret).verify(text, headers as Record<string, string>),
  };
  return receiver;
}

/** Whether one of the signatures of a webhook is by the private half of `whpk_…`, as a receiver finds out that has nothing else. */
export function verifiesByPublicKey(public_key: string, { headers, text }: Pick<Received, 'headers' | 'text'>): boolean {
  const x = Buffer.from(public_key.slice('whpk_'.length), 'base64').toString('base64url');
  const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
  const content = Buffer.from(`${headers['webhook-id']}.${headers['webhook-timestamp']}.${text}`);
  return String(headers['webhook-signature'])
    .split(' ')
    .some(it => it.startsWith('v1a,') && verify(null, content, key, Buffer.from(it.slice('v1a,'.length), 'base64')));
}

/** The agencies of the demonstration, as acts know them. */
export async function demoActors(services: Services): Promise<Record<DemoAgencyKey, AgencyActor>> {
  const { value } = await services.db
    .selectFrom('deployment')
    .select('value')
    .where('name', '=', 'test_credentials')
    .executeTakeFirstOrThrow();
  const { agencies } = value as DemoCredentials;
  return Object.fromEntries(
    Object.entries(agencies).map(([key, { id, kind, client_id }]) => [
      key,
      {
        type: 'agency',
        agency_id: id,
        agency_kind: kind,
        jurisdictions: ['XA', 'XB'],
        competent_authority: false,
        first_responder: false,
        suspended: false,
        client_id,
        scopes: new Set(['webhooks']),
        caseworker: null,
        request: { id: 'test' },
      },
    ]),
  ) as unknown as Record<DemoAgencyKey, AgencyActor>;
}

/** Services without a queue, so that what is due is delivered when the test says so; a receiver; and a way out. */
export async function startDelivery(t: Test, policy: Partial<Parameters<typeof createOutbound>[0]> = {}) {
  const { services, clock } = await openTestServices(t);
  const actors = await demoActors(services);
  const receiver = await startReceiver(t);
  const outbound = createOutbound({ production: false, ports: [], ...policy });
  t.teardown(() => outbound.close());
  const { queue: _, ...rest } = services;
  const quiet = { ...rest, queue: null };
  return {
    services: quiet,
    clock,
    receiver,
    outbound,
    ...actors,
    run: async () => {
      await relayAll(quiet);
      return deliverDue(quiet, outbound);
    },
    delivery: (event_type?: string) =>
      asRelay(quiet, tx =>
        tx
          .selectFrom('deliveries')
          .selectAll()
          .$if(event_type !== undefined, query => query.where('event_type', '=', event_type!))
          .orderBy('id', 'desc')
          .executeTakeFirstOrThrow(),
      ),
    endpoint: (id: string) =>
      asRelay(quiet, tx => tx.selectFrom('webhook_endpoints').selectAll().where('id', '=', id).executeTakeFirstOrThrow()),
  };
}

export const SECRET = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;

export async function registerEndpoint(
  services: Services,
  actor: AgencyActor,
  url: string,
  event_types = ['*'],
): Promise<string> {
  const id = newId('whe');
  const now = services.now();
  await transact(services, actor, tx =>
    insertEndpoint(tx, {
      id,
      agency_id: actor.agency_id,
      url,
      event_types,
      description: null,
      signature: ['v1'],
      status: 'active',
      secret: sealSecret(services.vault, id, SECRET),
      previous_secret: null,
      previous_secret_until: null,
      failing_since: null,
      tls: null,
      tls_summary: null,
      deleted_at: null,
      created_at: now,
      updated_at: now,
    }),
  );
  return id;
}

/** An act that emits nothing but this. */
export function emit(services: Services, actor: AgencyActor, ...events: Notice[]): Promise<string> {
  areMadeUp(services);
  return transact(services, actor, tx => record(services, tx, actor, { action: 'test.act', resource_type: 'test', events }));
}

/** An event for `agency_ids`, of a subject that is no case. */
export const notice = (agency_ids: string[], it: Partial<Notice> & { body?: Record<string, unknown> } = {}): Notice => ({
  type: it.type ?? 'referral.received',
  subject_id: it.subject_id ?? newId('ref'),
  referral_id: it.referral_id ?? null,
  case_id: it.case_id ?? null,
  urgent: it.urgent ?? false,
  recipients: agency_ids.map(agency_id => ({ agency_id, body: it.body ?? {} })),
});

export interface TestReferral {
  case_id: string;
  referral_id: string;
  /** One per receiver, in their order. */
  offers: string[];
}

/** A case of `owner`, referred by it, with an offer to each of `receivers`. */
export async function insertReferral(
  services: Services,
  owner: AgencyActor,
  receivers: readonly { agency_id: string; status?: OfferStatus }[],
): Promise<TestReferral> {
  const case_id = newId('cas');
  const referral_id = newId('ref');
  const now = services.now();
  const parties = { owner_agency_id: owner.agency_id, sender_agency_id: owner.agency_id, jurisdiction: 'XA' };
  return transact(services, owner, async tx => {
    await tx
      .insertInto('cases')
      .values({
        id: case_id,
        reference: newReference(),
        owner_agency_id: owner.agency_id,
        jurisdiction: 'XA',
        region: null,
        track: 'named',
        risk: 'low',
        stage: 'reported',
        stage_before_close: null,
        close_reason: null,
        group_id: null,
        opened_at: now,
        closed_at: null,
        updated_at: now,
      })
      .execute();
    insertDataKey(services, tx, case_id);
    return asSystem(tx, 'router', async tx => {
      await tx
        .insertInto('referrals')
        .values({
          id: referral_id,
          reference: newReference(),
          case_id,
          ...parties,
          region: null,
          service: 'medical',
          urgency: 'routine',
          routing: 'automatic',
          recipient_agency_id: null,
          fallback: true,
          categories: [],
          excluded_agencies: [],
          lawful_ground: null,
          sealed: Buffer.of(1),
          places: 1,
          status: 'offered',
          ended: null,
          staff_code: 'S-1',
          router_due_at: null,
          created_at: now,
          updated_at: now,
        })
        .execute();
      const offers = receivers.map(({ agency_id, status = 'offered' }, i) => ({
        id: newId('off'),
        referral_id,
        case_id,
        ...parties,
        agency_id,
        service: 'medical' as const,
        ordinal: i + 1,
        status,
        places: 1,
        places_held: 0,
        location_protected: false,
        reason_code: null,
        staff_code: null,
        sealed: null,
        offered_at: now,
        accepted_at: null,
        ended_at: null,
      }));
      if (offers.length > 0) await tx.insertInto('offers').values(offers).execute();
      return { case_id, referral_id, offers: offers.map(offer => offer.id) };
    });
  });
}

/** Everything that the relay has to do. */
export async function relayAll(services: Services): Promise<void> {
  while (await relayEvents(services)) {
    // Until nothing is left.
  }
}

/** Loses everything that the queue holds: every table of its schema, though workers hold some of them in another order. */
export const EMPTY_QUEUE = `do $$ begin
  loop
    begin
      execute (select 'truncate ' || string_agg(format('%I.%I', schemaname, tablename), ', ')
        from pg_tables where schemaname = '${QUEUE_SCHEMA}');
      exit;
    exception when deadlock_detected then null;
    end;
  end loop;
  end $$`;

/** Rows of a table as the relay sees them. */
export const asRelay = <T>(services: Services, work: (tx: Tx) => Promise<T>): Promise<T> =>
  transact(services, systemActor('relay'), work);
