import type { Agency } from './agency.ts';
import { expect, expectThat } from './expect.ts';
import type { Stage } from './stage.ts';
import { PRIVATE } from './story.ts';

/** Nothing is pushed that cannot be pulled, nothing is missing, and what came is in order when put in order. */
export async function compareEvents({ cast, timeline }: Stage): Promise<void> {
  for (const { name, inbox, pullEvents } of Object.values(cast)) {
    const pulled = await pullEvents();
    for (const { type, data } of pulled) await inbox.told(type, ({ event_id }) => event_id === data.event_id);
    const positions = pulled.map(({ data }) => data.position);
    const gaps = positions.filter((position, i) => i > 0 && position !== positions[i - 1]! + 1);
    expect(`the events of ${name} have no gap`, gaps, []);
    const texts = inbox.events.map(event => JSON.stringify(event));
    expectThat(
      `no webhook to ${name} holds anything private`,
      !PRIVATE.some(secret => texts.some(text => text.includes(secret))),
    );
  }
  timeline.step('Everybody', 'pulls the events of the night: the same that were pushed, numbered without a gap');
}

/** After a night that was broken off: gives held places back and closes the cases, as far as there are any. */
export async function giveUp({ cast, matters }: Stage): Promise<void> {
  const end = async (owner: Agency, id: string): Promise<void> => {
    const cancelled = await owner.afterwards.worker.post(`/v1/referrals/${id}/cancel`, { reason_code: 'error' });
    if (cancelled.status === 200) return;
    // Where a service has begun, its receiver ends it; nobody else can, and to most there is no such referral.
    const outcome = { outcome_code: 'not_applicable' };
    for (const { afterwards } of Object.values(cast)) await afterwards.worker.post(`/v1/referrals/${id}/complete`, outcome);
  };
  const ending = matters
    .filter(({ closed }) => !closed)
    .map(async ({ owner, case_id, referral_ids }) => {
      await Promise.allSettled(referral_ids.map(id => end(owner, id)));
      await owner.afterwards.supervisor.post(`/v1/cases/${case_id}/close`, { reason_code: 'error' });
    });
  await Promise.allSettled(ending);
}
