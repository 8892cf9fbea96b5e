import type { OfferStatus } from '../../src/core/codes.ts';
import type { Services } from '../../src/services.ts';
import type { TestApp } from './app.ts';
import { drain } from './drain.ts';
import type { Answer, Client, Mechanism } from './mechanism.ts';
import { ok, startNight } from './night.ts';

/** Referrals that are under way: brought by acts of their parties to where a test wants them. */

export const MINUTE = 60_000;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

/** A consent and a referral for `health`, which keeps no count of places. */
export const MEDICAL = {
  consent: { recipient: { agency_kind: 'health' }, purposes: ['medical'] },
  referral: { service: 'medical', urgency: 'urgent' },
};

/** Those who take part in a referral of `helpline_a` to `health` and to nobody else. */
export function clinic({ as, agencies }: Mechanism) {
  const sender = as('helpline_a');
  const receiver = as('health');

  /** A referral that `health` alone is asked to take. */
  const ask = async (more: Record<string, unknown> = {}) =>
    startNight(sender, {
      consent: MEDICAL.consent,
      referral: { ...MEDICAL.referral, routing: 'direct', recipient_agency_id: agencies.health.id, ...more },
    });

  /** The same, brought to where the offer has this status. */
  async function at({ services, clock }: TestApp, status: OfferStatus) {
    const night = await ask();
    const act = async (who: Client, verb: string, body: object = {}) =>
      ok(await who.post(`/v1/referrals/${night.referral.id}/${verb}`, body));
    const arrive = () => act(receiver, 'confirm-handover', { arrived_at: clock.now().toISOString() });
    const steps: Record<OfferStatus, () => Promise<unknown>> = {
      offered: async () => {},
      received: () => act(receiver, 'receive'),
      info_requested: async () => {
        await act(receiver, 'receive');
        await act(receiver, 'request-information', { questions: ['Is she hurt?'] });
      },
      waitlisted: async () => {
        await act(receiver, 'receive');
        await act(receiver, 'waitlist');
      },
      accepted: () => act(receiver, 'accept'),
      in_progress: arrive,
      completed: async () => {
        await arrive();
        await act(receiver, 'complete', { outcome_code: 'service_provided' });
      },
      declined: () => act(receiver, 'decline', { reason_code: 'not_eligible' }),
      expired: async () => {
        clock.advance(25 * HOUR);
        await drain(services);
      },
      failed: async () => {
        await act(receiver, 'accept');
        await act(receiver, 'fail', { reason_code: 'service_ended' });
      },
      cancelled: () => act(sender, 'cancel', { reason_code: 'error' }),
      withdrawn: async () =>
        ok(await sender.post(`/v1/consents/${night.consent.id}/withdraw`, { stop_service: true, spoken_in_private: true })),
    };
    await steps[status]();
    return night;
  }

  return { sender, receiver, ask, at };
}

/** Nothing, as a pattern: for `t.match`, an empty list is part of every list. */
export const NONE = { length: 0 };

export interface ToldEvent {
  type: string;
  timestamp: string;
  // biome-ignore lint/suspicious/noExplicitAny: a test looks at whatever came
  data: Record<string, any>;
}

/** Everything that an agency was told so far, oldest first; of one referral or case where it is named. */
export async function eventsOf(services: Services, client: Client, subject_id?: string): Promise<ToldEvent[]> {
  await drain(services);
  const events: ToldEvent[] = [];
  let after = '';
  for (;;) {
    const { data, next_cursor } = ok(await client.get(`/v1/events?limit=200${after}`));
    events.push(...data);
    if (data.length < 200) break;
    after = `&after=${next_cursor}`;
  }
  return subject_id === undefined
    ? events
    : events.filter(({ data }) => data.referral_id === subject_id || data.case_id === subject_id);
}

/** Every page of a list. */
export async function all(client: Client, path: string): Promise<Answer['body'][]> {
  const rows: Answer['body'][] = [];
  let cursor: string | null = null;
  do {
    const separator: string = path.includes('?') ? '&' : '?';
    const body: Answer['body'] = ok(await client.get(`${path}${separator}limit=200${cursor ? `&cursor=${cursor}` : ''}`));
    rows.push(...body.data);
    cursor = body.next_cursor;
  } while (cursor);
  return rows;
}

/** An answer without what differs from request to request. */
export const anonymous = ({ status, body: { request_id: _, ...body } }: Answer) => ({ status, body });
