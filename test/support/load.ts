import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import type { Test } from 'tap';
import { Agent, request } from 'undici';
import type { DemoAgencyKey, DemoCredentials } from '../../src/demo.ts';
import type { Acknowledged, Arrived } from './invariants.ts';
import { type Answer, answerOf } from './mechanism.ts';
import { caseBody, consentBody, ok, referralBody } from './night.ts';
import { type Receiver, startReceiver } from './webhooks.ts';

/**
 * Agencies' systems at work over real HTTP, as good clients: every act has an idempotency key, and an answer that is lost is
 * asked for again with the same key. They keep what they were told, and what nobody should ever be told.
 */

/** One request of an agency. */
export interface Asked {
  agency: DemoAgencyKey;
  /** The trail's name of it: `referral.accept` */
  action: string;
  path: string;
  method?: 'GET' | 'POST' | 'PATCH';
  body?: unknown;
  staff?: 'worker' | 'supervisor';
  headers?: Record<string, string>;
  key?: string;
}

export interface Agencies {
  /** Where the service is; a test may move it. */
  base_url: string;
  /** Sends until there is an answer other than "not now". @throws Error where there is none for minutes */
  ask(asked: Asked): Promise<Answer>;
  /** What was answered, in the order of the answers. */
  /** A bearer token of that agency. */
  tokenOf(key: DemoAgencyKey): Promise<string>;
  acknowledged: Acknowledged[];
  /** How often no answer came, and how often it was "not now". */
  lost: number;
  unavailable: number;
  /** Answers that were no answer of the contract to such a request. */
  wrong: string[];
  arrived: Arrived[];
  receiver: Receiver;
}

/** What a good client meets when others act, or time goes on: its story ends there. */
const RACES = ['wrong_state', 'no_capacity', 'consent_missing', 'precondition_failed'];
// Between two kills of many, everything that there is by then is looked at, while nobody answers.
const GIVE_UP_MS = process.env.LONG === '1' ? 300_000 : 60_000;
const LONGEST_PAUSE_MS = 400;

/** The agencies of the demonstration, not yet listening; their systems end with the test. */
export async function openAgencies(t: Test, agencies: DemoCredentials['agencies'], base_url: string): Promise<Agencies> {
  const dispatcher = new Agent({ headersTimeout: 20_000, bodyTimeout: 20_000 });
  t.teardown(() => dispatcher.destroy());
  const receiver = await startReceiver(t);
  const tokens = new Map<DemoAgencyKey, { text: Promise<string>; until: number }>();

  async function send(method: string, path: string, headers: Record<string, string>, body?: string): Promise<Answer> {
    const options = { method: method as 'GET', headers, dispatcher, ...(body === undefined ? {} : { body }) };
    const response = await request(`${them.base_url}${path}`, options);
    return answerOf({ statusCode: response.statusCode, headers: response.headers, body: await response.body.text() });
  }

  /** Sends until it is answered, whatever happens to the service meanwhile. @returns the answer, and whether one was lost */
  async function persist(...asked: Parameters<typeof send>): Promise<{ answer: Answer; repeated: boolean }> {
    const give_up_at = performance.now() + GIVE_UP_MS;
    for (let pause_ms = 25; ; pause_ms = Math.min(2 * pause_ms, LONGEST_PAUSE_MS)) {
      const answer = await send(...asked).catch(() => undefined);
      if (answer && !isLater(answer)) return { answer, repeated: pause_ms > 25 };
      if (answer) them.unavailable += 1;
      else them.lost += 1;
      if (performance.now() > give_up_at) throw new Error(`no answer at all: ${asked.slice(0, 2)} ${answer?.status}`);
      await pause(pause_ms);
    }
  }

  /** Whether the service says "not now", as the contract has it. */
  function isLater({ status, headers, body }: Answer): boolean {
    const later = status === 503 || status === 429 || body?.code === 'idempotency_in_progress';
    if (later && !(Number(headers['retry-after']) > 0 && String(headers['content-type']).startsWith('application/problem+json')))
      them.wrong.push(`${status} without Retry-After or problem document`);
    return later;
  }

  async function logIn(key: DemoAgencyKey): Promise<string> {
    const { client_id, client_secret } = agencies[key];
    const headers = {
      authorization: `Basic ${btoa(`${client_id}:${client_secret}`)}`,
      'content-type': 'application/x-www-form-urlencoded',
    };
    const { answer } = await persist('POST', '/oauth/token', headers, 'grant_type=client_credentials');
    return ok(answer).access_token;
  }

  function tokenOf(key: DemoAgencyKey): Promise<string> {
    const known = tokens.get(key);
    if (known && known.until > Date.now()) return known.text;
    const fresh = { text: logIn(key), until: Date.now() + 240_000 };
    tokens.set(key, fresh);
    return fresh.text;
  }

  async function ask(asked: Asked): Promise<Answer> {
    const { agency, action, path, method = 'POST', body, staff = 'worker', key = `${action} ${randomUUID()}` } = asked;
    const { client_id, caseworkers } = agencies[agency];
    const headers = {
      authorization: `Bearer ${await tokenOf(agency)}`,
      'acting-caseworker': caseworkers[staff === 'worker' ? 0 : 1].staff_code,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(method === 'POST' ? { 'idempotency-key': key } : {}),
      ...asked.headers,
    };
    const { answer, repeated } = await persist(method, path, headers, body === undefined ? undefined : JSON.stringify(body));
    const { status } = answer;
    if (status < 300) {
      them.acknowledged.push({
        client_id,
        action,
        kind: method === 'GET' ? 'read' : answer.headers['idempotency-replayed'] ? 'replay' : 'act',
        receipt: (answer.headers['audit-receipt'] as string | undefined) ?? null,
        id: method === 'GET' ? null : (answer.body.id ?? null),
        version: versionOf(answer),
        key: method === 'POST' ? key : null,
      });
    } else if (!RACES.includes(answer.body.code) || (status === 412 && !repeated)) {
      them.wrong.push(`${method} ${path}: ${status} ${JSON.stringify(answer.body)}`);
    }
    return answer;
  }

  const them: Agencies = { base_url, ask, tokenOf, acknowledged: [], lost: 0, unavailable: 0, wrong: [], arrived: [], receiver };
  return them;
}

const versionOf = ({ headers }: Answer): number | null => {
  const tag = /^"(\d+)"$/.exec(String(headers.etag ?? ''))?.[1];
  return tag === undefined ? null : Number(tag);
};

/** Lets these agencies listen for everything, and verifies what comes in. @returns their endpoints */
export async function listen(them: Agencies, keys: readonly DemoAgencyKey[]): Promise<Map<DemoAgencyKey, string>> {
  const endpoints = new Map<DemoAgencyKey, string>();
  const secrets = new Map<string, { id: string; secret: string }>();
  for (const agency of keys) {
    const body = { url: `${them.receiver.url}?${agency}`, event_types: ['*'] };
    const asked = {
      agency,
      action: 'webhook_endpoint.create',
      path: '/v1/webhook-endpoints',
      staff: 'supervisor',
      body,
    } as const;
    const { id, secret } = ok(await them.ask(asked));
    endpoints.set(agency, id);
    secrets.set(agency, { id, secret });
  }
  them.receiver.onArrival = request => {
    const endpoint = secrets.get(request.path.split('?')[1] ?? '');
    if (!endpoint) return void them.wrong.push(`a webhook to ${request.path}`);
    try {
      them.receiver.verify(endpoint.secret, request);
    } catch (error) {
      them.wrong.push(`a webhook's signature: ${(error as Error).message}`);
    }
    them.arrived.push({ endpoint_id: endpoint.id, event_id: String(request.headers['webhook-id']), text: request.text });
  };
  return endpoints;
}

/** Numbers in [0, 1), the same for the same seed (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export interface Load {
  /** Resolves when `count` more requests were answered with what was asked for. */
  answered(count: number): Promise<void>;
  /** Lets the stories that have begun come to their end. @throws what went wrong in one */
  stop(): Promise<void>;
}

/** How a story goes on with its person, case, consent and referral. */
type Story = (them: Agencies, at: { case_id: string; consent_id: string; referral_id: string }) => Promise<unknown>;

const SHELTERS = { recipient: { agency_kind: 'shelter' }, purposes: ['shelter_accommodation'] };
const CLINIC = { recipient: { agency_kind: 'health' }, purposes: ['medical'] };

/** Whoever is told no by the lifecycle, for another was quicker or time was up, leaves it there. */
class Over extends Error {}

const act = async (them: Agencies, agency: DemoAgencyKey, referral_id: string, verb: string, body: object = {}) => {
  const path = `/v1/referrals/${referral_id}/${verb}`;
  return done(await them.ask({ agency, action: `referral.${verb.replaceAll('-', '_')}`, path, body }));
};

const done = (answer: Answer): Answer['body'] => {
  if (answer.status >= 300) throw new Over();
  return answer.body;
};

const arrived = () => ({ arrived_at: new Date(Date.now() - 60_000).toISOString() });

/** What becomes of a referral that the shelter, or the clinic, was asked to take. */
const STORIES: readonly { at: 'shelter_b' | 'health'; story: Story }[] = [
  {
    at: 'shelter_b',
    async story(them, { referral_id }) {
      await act(them, 'shelter_b', referral_id, 'receive');
      await act(them, 'shelter_b', referral_id, 'accept');
      await act(them, 'shelter_b', referral_id, 'confirm-handover', arrived());
      await act(them, 'shelter_b', referral_id, 'complete', { outcome_code: 'service_provided' });
    },
  },
  {
    at: 'shelter_b',
    async story(them, { referral_id }) {
      await act(them, 'shelter_b', referral_id, 'decline', { reason_code: 'not_eligible' });
      await act(them, 'helpline_a', referral_id, 'cancel', { reason_code: 'need_met_elsewhere' });
    },
  },
  {
    at: 'health',
    async story(them, { case_id, referral_id }) {
      await act(them, 'health', referral_id, 'accept');
      const amended = { agency: 'helpline_a', action: 'case.amend', path: `/v1/cases/${case_id}`, method: 'PATCH' } as const;
      for (const version of [1, 2]) {
        const body = { person: { safe_contact: { window: `after ${19 + version}:00` } } };
        await them.ask({ ...amended, body, headers: { 'if-match': `"${version}"` } });
      }
      done(await them.ask({ agency: 'health', action: 'referral.read', path: `/v1/referrals/${referral_id}`, method: 'GET' }));
      await act(them, 'health', referral_id, 'fail', { reason_code: 'service_ended' });
    },
  },
  {
    at: 'health',
    async story(them, { referral_id }) {
      await act(them, 'health', referral_id, 'receive');
      await act(them, 'health', referral_id, 'request-information', { questions: ['Is she hurt?'] });
      await act(them, 'helpline_a', referral_id, 'provide-information', { answers: ['No.'] });
      await act(them, 'health', referral_id, 'confirm-handover', arrived());
    },
  },
  {
    at: 'health',
    async story(them, { consent_id, referral_id, case_id }) {
      await act(them, 'health', referral_id, 'accept');
      const path = `/v1/consents/${consent_id}/withdraw`;
      const body = { stop_service: true, spoken_in_private: true };
      done(await them.ask({ agency: 'helpline_a', action: 'consent.withdraw', path, body }));
      done(await them.ask({ agency: 'helpline_a', action: 'case.read', path: `/v1/cases/${case_id}`, method: 'GET' }));
    },
  },
  // Nobody answers: in `XB` its clocks warn, are breached and end the offer within seconds.
  { at: 'health', story: async () => {} },
];

/** Starts as many stories at once as said, one after the other, half of them where clocks run in seconds. */
export function startLoad(them: Agencies, agencies: DemoCredentials['agencies'], random: () => number, at_once = 6): Load {
  let stopping = false;

  async function tell(): Promise<void> {
    const { at, story } = STORIES[Math.floor(random() * STORIES.length)]!;
    const [consent, service] = at === 'health' ? [CLINIC, 'medical'] : [SHELTERS, 'shelter_accommodation'];
    const jurisdiction = random() < 0.5 ? 'XA' : 'XB';
    const urgency = ['emergency', 'urgent', 'routine'][Math.floor(random() * 3)];
    const ask = async (action: string, path: string, body: unknown) =>
      done(await them.ask({ agency: 'helpline_a', action, path, body }));

    const opened = await ask('case.open', '/v1/cases', caseBody({ jurisdiction, region: `${jurisdiction}-1` }));
    const path = `/v1/cases/${opened.id}`;
    const given = await ask('consent.give', `${path}/consents`, consentBody(consent));
    const named = { routing: 'direct', recipient_agency_id: agencies[at].id, fallback: true };
    const made = await ask('referral.make', `${path}/referrals`, referralBody({ service, urgency, ...named }));
    await story(them, { case_id: opened.id, consent_id: given.id, referral_id: made.id });
  }

  const telling = Promise.all(
    Array.from({ length: at_once }, async () => {
      while (!stopping) {
        await tell().catch(error => {
          if (!(error instanceof Over)) throw error;
        });
      }
    }),
  );
  // Whoever waits or stops it is told.
  telling.catch(() => {});

  return {
    async answered(count) {
      const enough = them.acknowledged.length + count;
      while (them.acknowledged.length < enough) await Promise.race([pause(5), telling]);
    },
    async stop() {
      stopping = true;
      await telling;
    },
  };
}
