import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Webhook } from 'standardwebhooks';
import type { EventType } from '../../src/core/events.ts';
import { faultsIn } from '../../src/platform/http/openapi.ts';
import { eventSchema } from '../../src/webhooks/event-schema.ts';
import { notAsTold } from './expect.ts';
import type { Timeline } from './timeline.ts';

/** An event as it is pushed, and as it is pulled: ids, codes and times. */
export interface Told {
  type: string;
  timestamp: string;
  // biome-ignore lint/suspicious/noExplicitAny: fields differ by type
  data: Record<string, any> & { event_id: string; position: number; sequence?: number };
}

/** Where one agency's webhooks arrive. */
export interface Inbox {
  url: string;
  /** Whatever arrives waits until the secret is known: the answer that holds it may be slower than the first webhook. */
  useSecret(secret: string): void;
  /** Every event once, however often it was delivered. */
  events: Told[];
  /** The event of this type for which `matches` holds, come or to come. */
  told(type: string, matches?: (data: Told['data']) => boolean, within_ms?: number): Promise<Told>;
}

export interface Receiver {
  open(key: string, name: string, onText: (text: string) => void): Inbox;
  /** Rejects when a delivery could not be verified. */
  broken: Promise<never>;
  close(): Promise<void>;
}

const TOLD_WITHIN_MS = 20_000;

/** Listens on this machine for the webhooks of all agencies, each at its own path with its own secret. */
export async function startReceiver(timeline: Timeline, signal: AbortSignal): Promise<Receiver> {
  const inboxes = new Map<string, (headers: IncomingHttpHeaders, text: string) => Promise<void>>();
  const broken = Promise.withResolvers<never>();
  broken.promise.catch(() => {});

  const server = createServer(async (request, response) => {
    try {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      const accept = inboxes.get(request.url ?? '');
      if (!accept) throw notAsTold('a webhook arrives', 'one for nobody', 'a path that an agency registered');
      await accept(request.headers, Buffer.concat(chunks).toString());
      response.writeHead(204).end();
    } catch (error) {
      response.writeHead(400).end();
      broken.reject(error);
    }
  });
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;

  return {
    broken: broken.promise,
    open(key, name, onText) {
      const events: Told[] = [];
      const secret = Promise.withResolvers<string>();
      let came = Promise.withResolvers<void>();
      inboxes.set(`/${key}`, async (headers, text) => {
        verify(name, await secret.promise, headers, text);
        onText(text);
        const event = JSON.parse(text) as Told;
        const [fault] = faultsIn(eventSchema(event.type as EventType), event);
        if (fault) throw notAsTold(`${name} is told ${event.type}`, `${fault.pointer} ${fault.detail}`, 'what the document says');
        if (events.some(({ data }) => data.event_id === event.data.event_id)) return;
        events.push(event);
        const { position, sequence } = event.data;
        timeline.webhook(name, event.type, `position ${position}${sequence === undefined ? '' : `, sequence ${sequence}`}`);
        came.resolve();
        came = Promise.withResolvers<void>();
      });
      return {
        url: `http://127.0.0.1:${port}/${key}`,
        useSecret: secret.resolve,
        events,
        async told(type, matches = () => true, within_ms = TOLD_WITHIN_MS) {
          const ended = AbortSignal.any([signal, AbortSignal.timeout(within_ms)]);
          const late = new Promise<void>(resolve => ended.addEventListener('abort', () => resolve(), { once: true }));
          for (;;) {
            const found = events.find(event => event.type === type && matches(event.data));
            if (found) return found;
            signal.throwIfAborted();
            if (ended.aborted) throw notAsTold(`${name} is told by webhook`, `nothing within ${within_ms / 1_000} s`, type);
            await Promise.race([came.promise, late]);
          }
        },
      };
    },
    close() {
      server.closeAllConnections();
      return new Promise(resolve => server.close(() => resolve()));
    },
  };
}

/** @throws NotAsTold where the signature is wrong, or would be right for another body */
function verify(name: string, secret: string, headers: IncomingHttpHeaders, text: string): void {
  const webhook = new Webhook(secret);
  const accepts = (body: string): boolean => {
    try {
      webhook.verify(body, headers as Record<string, string>);
      return true;
    } catch {
      return false;
    }
  };
  if (!accepts(text)) throw notAsTold(`a webhook to ${name} is signed`, 'a signature that does not verify', 'one that does');
  if (accepts(`${text} `)) throw notAsTold(`a webhook to ${name} is signed`, 'a signature for any body', 'one for this body');
}
