import type { DemoAgencyKey } from '../../src/demo.ts';
import type { TestApp } from './app.ts';
import { drain } from './drain.ts';
import { MINUTE } from './journey.ts';
import type { Answer, Client, Mechanism } from './mechanism.ts';
import { caseBody, consentBody, ok, PERSON, referralBody } from './night.ts';

/**
 * One person's case with everything that a case can hold, and an agency in each position towards it; and a second one that went
 * over to another owner.
 */

/** What an agency is to a case and a referral of it. */
export interface Position {
  name: string;
  means: string;
  key: DemoAgencyKey;
  case_id: string;
  referral_id: string;
}

const GROUND = { code: 'imminent_danger_to_life', legal_basis: 'CANARY-BASIS', person_informed: false };
const REQUIREMENTS = { languages: ['ar'], accessible: true, accompanied: true, transport: false };
const SERVICE = {
  regions: [],
  sexes: [],
  min_age: null,
  max_age: null,
  accepts_dependants: true,
  languages: [],
  protection_statuses: [],
  location_protected: false,
  status: 'active',
};

/** Each category holds words of its own, so that they are known where they come out. */
export const WHOLE_CASE = {
  dependants: [{ age: 4, sex: 'female' }],
  exploitation: { forms: ['CANARY-FORM'], sectors: ['CANARY-SECTOR'], from: '2026-01-01', to: '2026-11-01' },
  suspected: true,
  person: {
    ...PERSON,
    estimated_age: 27,
    protection_status: 'stateless',
    safe_contact: {
      ...PERSON.safe_contact,
      time_zone: 'Africa/Cairo',
      code_word: 'CANARY-WORD',
      do_not_use: ['CANARY-NUMBER'],
      shared_device: true,
      message_allowed: false,
      verified_at: '2026-11-21T18:00:00.000Z',
    },
  },
};

/** Makes them, by acts of those whom it concerns. */
export async function takePositions({ services, clock }: TestApp, { as, agencies }: Mechanism): Promise<Position[]> {
  const owner = as('helpline_a');
  const chief = as('helpline_a', 'supervisor');
  const act = async (who: Client, { id }: { id: string }, verb: string, body: object = {}): Promise<Answer['body']> =>
    ok(await who.post(`/v1/referrals/${id}/${verb}`, body));
  const open = async (): Promise<Answer['body']> => ok(await owner.post('/v1/cases', caseBody(WHOLE_CASE)));
  const agree = async (kase: { id: string }, kind: string, purposes: string[], more: object = {}) =>
    ok(await owner.post(`/v1/cases/${kase.id}/consents`, consentBody({ recipient: { agency_kind: kind }, purposes, ...more })));
  const [kase, gone, apart] = [await open(), await open(), await open()];
  const refer = async (kase: { id: string }, service: string, to: DemoAgencyKey, by = owner): Promise<Answer['body']> => {
    const direct = { service, urgency: 'urgent', routing: 'direct', recipient_agency_id: agencies[to].id };
    const requirements = { ...REQUIREMENTS, ...(by === owner ? { separate_from: [apart.id] } : {}) };
    const more = { categories: ['demographics', 'narrative', 'health'], lawful_ground: GROUND, requirements };
    return ok(await by.post(`/v1/cases/${kase.id}/referrals`, referralBody({ ...direct, ...more })));
  };

  const path = `/v1/agencies/${agencies.civil_society.id}/services/case_management`;
  ok(await as('civil_society', 'supervisor').put(path, SERVICE, { 'if-none-match': '*' }));

  await agree(gone, 'health', ['medical']);
  // Little of the person goes over with the case.
  await agree(gone, 'civil_society', ['case_management'], { categories: ['demographics'] });
  const in_flight = await refer(gone, 'medical', 'health');
  await act(as('health'), in_flight, 'accept');
  ok(await chief.post(`/v1/cases/${gone.id}/close`, { reason_code: 'error' }));
  ok(await chief.post(`/v1/cases/${gone.id}/reopen`, { reason: 'CANARY-REASON' }));
  const handed = { service: 'case_management', urgency: 'urgent', routing: 'direct', categories: ['demographics'] };
  const to_support = referralBody({ ...handed, recipient_agency_id: agencies.civil_society.id });
  const transfer = ok(await owner.post(`/v1/cases/${gone.id}/referrals`, to_support));
  clock.advance(MINUTE);
  await act(as('civil_society'), transfer, 'accept');
  clock.advance(MINUTE);

  await agree(kase, 'health', ['medical']);
  await agree(kase, 'shelter', ['shelter_accommodation']);
  await agree(kase, 'civil_society', ['psychosocial', 'legal_aid']);
  await agree(kase, 'labour_inspection', ['labour_claim_wage_recovery']);
  await agree(kase, 'prosecution', ['criminal_investigation']);

  const health = as('health');
  const held = await refer(kase, 'medical', 'health');
  await act(health, held, 'receive');
  await act(health, held, 'request-information', { questions: ['CANARY-QUESTION'] });
  await act(owner, held, 'provide-information', { answers: ['CANARY-ANSWER'] });
  const told_by = { channel: 'phone', at: clock.now().toISOString(), staff_code: 'NIGHT-7' };
  await act(owner, held, 'accept', { note: 'CANARY-NOTE', told_by });
  await act(health, held, 'confirm-handover', { arrived_at: clock.now().toISOString(), accompanied_by: 'CANARY-COMPANY' });
  ok(await owner.post(`/v1/referrals/${held.id}/messages`, { text: 'CANARY-MESSAGE' }));
  ok(await health.post(`/v1/referrals/${held.id}/messages`, { text: 'CANARY-REPLY' }));

  const asked = await refer(kase, 'psychosocial', 'civil_society');
  const sheltered = await refer(kase, 'shelter_accommodation', 'shelter_b');
  await act(as('shelter_b'), sheltered, 'accept', { note: 'CANARY-NOTE' });
  const declined = await refer(kase, 'shelter_accommodation', 'shelter_a');
  await act(as('shelter_a'), declined, 'decline', { reason_code: 'unsafe', note: 'CANARY-NOTE' });

  const inspection = as('labour_inspection');
  const ended = await refer(kase, 'labour_claim_wage_recovery', 'labour_inspection');
  await act(inspection, ended, 'accept', { note: 'CANARY-NOTE' });
  const sent_on = await refer(kase, 'legal_aid', 'civil_society', health);
  const sent_before = await refer(kase, 'psychosocial', 'civil_society', inspection);
  await act(inspection, ended, 'fail', { reason_code: 'other', note: 'CANARY-NOTE' });

  const deleted = await refer(kase, 'criminal_investigation', 'prosecution');
  await act(as('prosecution'), deleted, 'accept');
  await act(as('prosecution'), deleted, 'fail', { reason_code: 'other' });
  const { data } = ok(await as('prosecution').get(`/v1/cases/${kase.id}/disclosures`));
  ok(await as('prosecution').post(`/v1/disclosures/${data[0].id}/confirm-deletion`));

  for (const [by, id, reason] of [
    [chief, kase.id, 'CANARY-REASON'],
    [as('civil_society', 'supervisor'), gone.id, 'closed by mistake'],
  ] as const) {
    ok(await by.post(`/v1/cases/${id}/close`, { reason_code: 'error' }));
    ok(await by.post(`/v1/cases/${id}/reopen`, { reason }));
  }
  await drain(services);

  const at = (name: string, key: DemoAgencyKey, referral: { id: string }, means: string, of = kase): Position => ({
    name,
    key,
    means,
    case_id: of.id,
    referral_id: referral.id,
  });
  return [
    at('owner', 'helpline_a', held, 'opened the case, owns it, and sent the referral'),
    at('owner/s', 'helpline_a', sheltered, 'the same, of a referral to a protected place'),
    at('owner/o', 'helpline_a', sent_on, 'the same, of a referral that a holder sent on'),
    at('sends', 'health', sent_on, 'holds the case by another offer, and sent this one on'),
    at('sent', 'labour_inspection', sent_before, 'held the case when it sent this one on, and holds it no more'),
    at('asked', 'civil_society', asked, 'is asked, and has not answered'),
    at('declined', 'shelter_a', declined, 'was asked, and said no'),
    at('receiver', 'health', held, 'has accepted, and the person has arrived'),
    at('shelter', 'shelter_b', sheltered, 'has accepted, in a protected place'),
    at('ended', 'labour_inspection', ended, 'had accepted, gave up, and has still to delete what it held'),
    at('deleted', 'prosecution', deleted, 'the same, and has confirmed that it deleted it'),
    at('former', 'helpline_a', in_flight, 'owned the case until it went over, and sent this one before', gone),
    at('next', 'civil_society', in_flight, 'owns the case that went over, with consent to little of it', gone),
    at('coord', 'committee', held, 'coordinates'),
    at('coord/s', 'committee', sheltered, 'the same, of a referral to a protected place'),
    at('audit', 'audit_body', held, 'the audit body'),
    at('others', 'helpline_b', held, 'has nothing to do with it'),
  ];
}
