import type { Answer, Client } from './mechanism.ts';

/** Fictional persons and the steps with which most stories begin. */

export const PERSON = {
  given_name: 'Testname',
  family_name: 'Placeholder',
  date_of_birth: '1999-04-02',
  sex: 'female',
  nationalities: ['XX'],
  languages: ['ar'],
  protection_status: 'unknown',
  safe_contact: { safe_to_call: true, method: 'phone', value: '+999 0000 0000', window: 'after 20:00' },
};

export const caseBody = (more: Record<string, unknown> = {}) => ({
  track: 'named',
  jurisdiction: 'XA',
  region: 'XA-1',
  risk: 'high',
  intake: {
    channel: 'hotline',
    received_at: '2026-11-21T18:55:00.000Z',
    narrative: 'CANARY-NARRATIVE locked in, passport taken',
  },
  person: PERSON,
  needs: ['shelter_accommodation'],
  danger_flags: ['trafficker_knows_address'],
  ...more,
});

export const consentBody = (more: Record<string, unknown> = {}) => ({
  given_by: 'person',
  recipient: { agency_kind: 'shelter' },
  purposes: ['shelter_accommodation'],
  categories: ['identity', 'contact', 'demographics', 'narrative', 'health'],
  interview_language: 'ar',
  explained_by: 'DH-1',
  spoken_in_private: true,
  ...more,
});

export const referralBody = (more: Record<string, unknown> = {}) => ({
  service: 'shelter_accommodation',
  urgency: 'emergency',
  routing: 'automatic',
  categories: ['identity', 'contact', 'demographics', 'narrative'],
  note: 'CANARY-NOTE please ring first',
  ...more,
});

/** Answers of steps that must have succeeded. */
export function ok(answer: Answer): Answer['body'] {
  if (answer.status >= 300) throw new Error(`${answer.status} ${JSON.stringify(answer.body)}`);
  return answer.body;
}

/** A case with consent for shelters, and an emergency referral for one. */
export async function startNight(
  sender: Client,
  { kase = {}, consent = {}, referral = {} }: { kase?: object; consent?: object; referral?: object } = {},
) {
  const opened = ok(await sender.post('/v1/cases', caseBody(kase as never)));
  const granted = ok(await sender.post(`/v1/cases/${opened.id}/consents`, consentBody(consent as never)));
  const made = ok(await sender.post(`/v1/cases/${opened.id}/referrals`, referralBody(referral as never)));
  return { kase: opened, consent: granted, referral: made };
}
