import type { Agency } from './agency.ts';
import { must } from './agency.ts';
import { expect } from './expect.ts';
import type { Night } from './night.ts';
import { act, arrivedNow, isAbout, type Stage } from './stage.ts';

/** Everybody reports what came of it; the cases are closed. */
export async function endTheNight(stage: Stage, { call, found, contested, missed }: Night): Promise<void> {
  const { cast, timeline, matters } = stage;
  const { step } = timeline;
  const { helpline, inspection, prosecution, clinic } = cast;
  const done = async (agency: Agency, id: string) =>
    expect('the need is met', (await act(agency, id, 'complete', { outcome_code: 'service_provided' })).status, 'completed');
  const begun = async (agency: Agency, id: string) =>
    expect('the service has begun', (await act(agency, id, 'confirm-handover', arrivedNow())).status, 'in_progress');

  for (const [shelter, id] of [
    [call.second, call.referral],
    [contested.taker, contested.referral],
    [missed.taker, missed.referral],
  ] as const) {
    await done(shelter, id);
    await helpline.inbox.told('referral.completed', isAbout(id));
  }
  step('The shelters', 'report what they did for the three women; their beds are free for the next');
  for (const [agency, id] of [
    [clinic, missed.to_the_clinic],
    [prosecution, found.his_referral],
    [prosecution, found.report],
  ] as const) {
    await begun(agency, id);
    await done(agency, id);
  }
  step(clinic.name, 'has treated the third caller');
  step(prosecution.name, 'has heard the man as a witness, and put the report on file');
  const taken_back = await act(helpline, missed.for_legal_aid, 'cancel', { reason_code: 'need_met_elsewhere' });
  expect('the request is taken back', taken_back.status, 'cancelled');
  step(helpline.name, 'takes the request for legal aid back: a lawyer of the shelter has seen her');

  for (const matter of matters) {
    const reason_code = matter === found.woman ? 'person_withdrew' : 'needs_met';
    const closed = await matter.owner.supervisor.post(`/v1/cases/${matter.case_id}/close`, { reason_code });
    expect('the case is closed', must(closed, 200, `the case of ${matter.called} is closed`).body.stage, 'closed');
    matter.closed = true;
  }
  step(helpline.name, 'closes its three cases');
  step(inspection.name, 'closes its three. What the woman said never left it');
}
