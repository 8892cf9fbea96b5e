import type { Agency } from './agency.ts';
import { expect, expectThat } from './expect.ts';
import type { Cast, Stage } from './night.ts';
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

/** The sender never learns which house it is, the shelters nothing of each other, and nobody's story reaches the committee. */
export function keepApart({ helpline, shelter_a, shelter_b, inspection, committee }: Cast): void {
  const heard = (agency: Agency, what: string) => agency.heard.some(text => text.includes(what));
  for (const shelter of [shelter_a, shelter_b]) {
    expectThat('no answer or webhook names a protected shelter to the helpline', !heard(helpline, shelter.id));
    expectThat('nor to the labour inspection', !heard(inspection, shelter.id));
  }
  expectThat('the shelters do not learn of each other', !heard(shelter_a, shelter_b.id) && !heard(shelter_b, shelter_a.id));
  for (const agency of [inspection, committee])
    expectThat(`${agency.name} heard nothing private`, !PRIVATE.some(secret => heard(agency, secret)));
}

/** What was begun and has not ended. */
export interface Begun {
  case_id?: string;
  referral_id?: string;
}

/** After a night that was broken off: gives the held place back and closes the case, as far as there are any. */
export async function giveUp({ helpline, shelter_a, shelter_b }: Cast, { case_id, referral_id }: Begun): Promise<void> {
  if (referral_id !== undefined) {
    const cancelled = await helpline.afterwards.worker.post(`/v1/referrals/${referral_id}/cancel`, { reason_code: 'error' });
    for (const { afterwards } of cancelled.status === 200 ? [] : [shelter_a, shelter_b])
      await afterwards.worker.post(`/v1/referrals/${referral_id}/complete`, { outcome_code: 'not_applicable' });
  }
  if (case_id !== undefined) await helpline.afterwards.supervisor.post(`/v1/cases/${case_id}/close`, { reason_code: 'error' });
}
