import { createHmac, timingSafeEqual } from 'node:crypto';
import type { ToldEvent } from './journey.ts';
import type { Client } from './mechanism.ts';
import { ok } from './night.ts';
import type { Received } from './webhooks.ts';

/**
 * What an agency's own system makes of its events, going by the contract alone: it takes each once, puts them in order, notices by
 * `position` and `sequence` that one is missing, and pulls what it has not got.
 */
export class OwnSystem {
  readonly #client: Client;
  readonly #known = new Map<number, ToldEvent>();
  #cursor: string | null = null;

  /** @param client without a caseworker: it pulls by itself */
  constructor(client: Client) {
    this.#client = client;
  }

  /** @returns whether it was new */
  take(event: ToldEvent): boolean {
    const { position } = event.data;
    if (this.#known.has(position)) return false;
    this.#known.set(position, event);
    return true;
  }

  /** All that it knows, in order. */
  get events(): ToldEvent[] {
    return [...this.#known.values()].sort((a, b) => a.data.position - b.data.position);
  }

  /** Positions before the last that it knows. */
  get missing(): number[] {
    return missingIn(this.#known.keys());
  }

  /** The same of each referral and case: `ref_… 3`. */
  get missingOfSubjects(): string[] {
    const told = this.events.filter(event => countedOn(event) !== undefined);
    return [...Map.groupBy(told, countedOn)].flatMap(([subject, events]) =>
      missingIn(events.map(({ data }) => data.sequence)).map(sequence => `${subject} ${sequence}`),
    );
  }

  /** Pulls until nothing more is there, and waits as many seconds for what may come. */
  async catchUp(wait = 0): Promise<void> {
    for (;;) {
      const after = this.#cursor === null ? '' : `&after=${this.#cursor}`;
      const { data, next_cursor } = ok(await this.#client.get(`/v1/events?limit=50&wait=${wait}${after}`));
      for (const event of data) this.take(event);
      this.#cursor = next_cursor;
      if (data.length < 50) return;
    }
  }
}

function missingIn(numbers: Iterable<number>): number[] {
  const known = new Set(numbers);
  const last = Math.max(0, ...known);
  return Array.from({ length: last }, (_, i) => i + 1).filter(number => !known.has(number));
}

/** What the event's `sequence` counts along: the referral that it names, else the case; undefined where it names neither. */
export const countedOn = ({ data }: Pick<ToldEvent, 'data'>): string | undefined => data.referral_id ?? data.case_id;

const TOLERANCE_SECONDS = 300;

/** Whether one of the signatures is made with the secret, and lately, as a receiver finds out whose clock shows `now`. */
export function isSigned({ headers, text }: Received, secret: string, now: Date): boolean {
  const { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signatures } = headers;
  if (Math.abs(now.getTime() / 1_000 - Number(timestamp)) > TOLERANCE_SECONDS) return false;
  const key = Buffer.from(secret.replace('whsec_', ''), 'base64');
  const made = createHmac('sha256', key).update(`${id}.${timestamp}.${text}`).digest();
  return String(signatures)
    .split(' ')
    .map(signature => Buffer.from(signature.replace('v1,', ''), 'base64'))
    .some(signature => signature.length === made.length && timingSafeEqual(signature, made));
}
