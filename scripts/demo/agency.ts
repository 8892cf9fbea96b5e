import { expect, notAsTold } from './expect.ts';
import type { Inbox, Receiver, Told } from './receiver.ts';

/**
 * One agency's own system: a small REST client with its own token, its own staff and its own webhook endpoint. It knows what its
 * own answers and webhooks told it, and nothing else.
 */
export interface Agency {
  id: string;
  name: string;
  worker: Person;
  supervisor: Person;
  /** The same two when the night has ended or was broken off, to leave nothing behind. */
  afterwards: { worker: Person; supervisor: Person };
  inbox: Inbox;
  /** Of its acts and reads, as the answers gave them: the agency's proof that they stand in the trail. */
  receipts: string[];
  /** Every answer and webhook body that it got since it was connected, as text. */
  heard: string[];
  /** The events since it was connected. */
  pullEvents(): Promise<Told[]>;
}

/** Somebody at the agency, by whom its system acts. */
export interface Person {
  get(path: string): Promise<Answer>;
  post(path: string, body?: object): Promise<Answer>;
  delete(path: string): Promise<Answer>;
}

export interface Answer {
  status: number;
  /** The names of its headers. */
  headers: string[];
  // biome-ignore lint/suspicious/noExplicitAny: what a service answers is looked at field by field
  body: any;
}

export interface Credentials {
  id: string;
  client_id: string;
  client_secret: string;
  /** The worker, then the supervisor. */
  caseworkers: [{ staff_code: string }, { staff_code: string }];
}

export interface Surroundings {
  base_url: string;
  receiver: Receiver;
  /** Breaks the night off. */
  signal: AbortSignal;
  /** To be done at the end, last things first, whatever happens. */
  later(tidy: () => Promise<unknown>): void;
}

const REQUEST_MS = 20_000;
const RENEW_BEFORE_MS = 30_000;

/** Logs in, registers a webhook endpoint for everything, and remembers where its events stand. */
export async function connectAgency(key: string, credentials: Credentials, around: Surroundings): Promise<Agency> {
  const { base_url, receiver, signal, later } = around;
  const { id, caseworkers } = credentials;
  const receipts: string[] = [];
  const heard: string[] = [];
  const token = tokens(base_url, credentials);

  async function send(staff_code: string, method: string, path: string, body?: object): Promise<Answer> {
    const response = await fetch(new URL(path, base_url), {
      method,
      headers: {
        authorization: `Bearer ${await token()}`,
        'acting-caseworker': staff_code,
        ...(body ? { 'content-type': 'application/json' } : {}),
      },
      ...(body ? { body: JSON.stringify(body) } : {}),
      signal: AbortSignal.timeout(REQUEST_MS),
    });
    const text = await response.text();
    heard.push(text);
    const receipt = response.headers.get('audit-receipt');
    if (receipt) receipts.push(receipt);
    const is_json = /json/.test(response.headers.get('content-type') ?? '');
    return { status: response.status, headers: [...response.headers.keys()].sort(), body: is_json ? JSON.parse(text) : text };
  }
  const person = ({ staff_code }: { staff_code: string }, until?: AbortSignal): Person => {
    const ask = async (method: string, path: string, body?: object) => {
      until?.throwIfAborted();
      return send(staff_code, method, path, body);
    };
    return { get: path => ask('GET', path), post: (path, body) => ask('POST', path, body), delete: path => ask('DELETE', path) };
  };
  const [caseworker, superior] = caseworkers;
  const [worker, supervisor] = [person(caseworker, signal), person(superior, signal)];
  const afterwards = { worker: person(caseworker), supervisor: person(superior) };

  const { name } = must(await worker.get(`/v1/agencies/${id}`), 200, `${key} reads its own entry in the directory`).body;

  const inbox = receiver.open(key, name, text => heard.push(text));
  const endpoint = must(
    await supervisor.post('/v1/webhook-endpoints', { url: inbox.url, event_types: ['*'], description: 'npm run demo' }),
    201,
    `the supervisor of ${name} registers a webhook endpoint`,
  ).body;
  later(() => afterwards.supervisor.delete(`/v1/webhook-endpoints/${endpoint.id}`));
  inbox.useSecret(endpoint.secret);
  // Behind the registration: everything from here on is pushed as well.
  const pullEvents = await eventsFromNowOn(worker);
  heard.length = 0;
  return { id, name, worker, supervisor, afterwards, inbox, receipts, heard, pullEvents };
}

/** @throws NotAsTold unless the answer has the status that the story tells */
export function must(answer: Answer, status: number, what: string): Answer {
  // Never the body: it may hold a secret or a person's data.
  if (answer.status !== status)
    throw notAsTold(what, `${answer.status} ${answer.body?.code ?? ''} ${answer.body?.detail ?? ''}`.trim(), String(status));
  expect(what, answer.status, status);
  return answer;
}

/** A token by client credentials, renewed before it runs out. */
function tokens(base_url: string, { client_id, client_secret }: Credentials): () => Promise<string> {
  let current: Promise<string> | undefined;
  let renew_at = 0;
  async function ask(): Promise<string> {
    const response = await fetch(new URL('/oauth/token', base_url), {
      method: 'POST',
      headers: { authorization: `Basic ${Buffer.from(`${client_id}:${client_secret}`).toString('base64')}` },
      body: new URLSearchParams({ grant_type: 'client_credentials' }),
      signal: AbortSignal.timeout(REQUEST_MS),
    });
    if (!response.ok) throw notAsTold('a client logs in', String(response.status), '200');
    const { access_token, expires_in } = (await response.json()) as { access_token: string; expires_in: number };
    renew_at = Date.now() + expires_in * 1_000 - RENEW_BEFORE_MS;
    return access_token;
  }
  return () => {
    if (!current || Date.now() >= renew_at) {
      renew_at = Number.POSITIVE_INFINITY;
      current = ask();
    }
    return current;
  };
}

/** Goes to the end of the agency's events. @returns what pulls those that come afterwards */
async function eventsFromNowOn(worker: Person): Promise<() => Promise<Told[]>> {
  let after = '';
  async function pull(): Promise<Told[]> {
    const events: Told[] = [];
    for (;;) {
      const page = must(await worker.get(`/v1/events?limit=200${after && `&after=${encodeURIComponent(after)}`}`), 200, 'events');
      events.push(...page.body.data);
      after = page.body.next_cursor ?? after;
      if (page.body.data.length < 200) return events;
    }
  }
  await pull();
  return pull;
}
