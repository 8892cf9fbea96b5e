import type { TestApp } from './app.ts';
import type { Answer, Mechanism } from './mechanism.ts';
import { consentBody, ok, referralBody, startNight } from './night.ts';

/** Cases on which a competent authority is asked to decide: brought by acts of those whom it concerns to where a test wants them. */

export const SCREENING = {
  mode: 'phone',
  interview_language: 'ar',
  interpreter_used: false,
  decision: { presumed: true, reason: 'CANARY-SCREENED her passport was taken' },
};

export function identification({ clock }: Pick<TestApp, 'clock'>, { as, agencies }: Mechanism) {
  const owner = as('helpline_a');
  const authority = as('prosecution');

  /** A case of `helpline_a` on which `prosecution` is asked to decide. */
  async function asked(kase: object = {}) {
    const night = await startNight(owner, {
      kase,
      consent: { recipient: { agency_kind: 'prosecution' }, purposes: ['identification', 'criminal_investigation'] },
      referral: {
        service: 'identification',
        urgency: 'routine',
        routing: 'direct',
        recipient_agency_id: agencies.prosecution.id,
      },
    });
    return { ...night, path: `/v1/cases/${night.kase.id}` };
  }

  /** The same, and it accepted. */
  async function accepted(kase: object = {}) {
    const found = await asked(kase);
    ok(await authority.post(`/v1/referrals/${found.referral.id}/accept`, {}));
    return found;
  }

  const body = (kind: string, outcome: 'positive' | 'negative', more: object = {}) => ({
    kind,
    outcome,
    reason_code: outcome === 'positive' ? 'indicators_met' : 'indicators_not_met',
    decided_at: clock.now().toISOString(),
    ...more,
  });
  const decide = async (
    { path }: { path: string },
    kind: string,
    outcome: 'positive' | 'negative',
    more: object = {},
  ): Promise<Answer['body']> => ok(await authority.post(`${path}/decisions`, body(kind, outcome, more)));
  const serve = async ({ id }: { id: string }, more: object = {}): Promise<Answer['body']> =>
    ok(await authority.post(`/v1/decisions/${id}/serve`, more));

  /** A case with a decision of that kind and outcome, served where it is negative. */
  async function decided(kind: string, outcome: 'positive' | 'negative', kase: object = {}) {
    const found = await accepted(kase);
    const decision = await decide(found, kind, outcome);
    return { ...found, decision: outcome === 'negative' ? await serve(decision) : decision };
  }

  /** Somebody else holds the case, by an offer of this service. */
  async function held({ kase }: { kase: { id: string } }, by: 'health' | 'prosecution' | 'shelter_a' | 'labour_inspection') {
    const [kind, service] = (
      {
        health: ['health', 'medical'],
        prosecution: ['prosecution', 'criminal_investigation'],
        shelter_a: ['shelter', 'shelter_accommodation'],
        labour_inspection: ['labour_inspection', 'labour_claim_wage_recovery'],
      } as const
    )[by];
    ok(await owner.post(`/v1/cases/${kase.id}/consents`, consentBody({ recipient: { agency_kind: kind }, purposes: [service] })));
    const direct = { service, urgency: 'urgent', routing: 'direct', recipient_agency_id: agencies[by].id };
    const referral = ok(await owner.post(`/v1/cases/${kase.id}/referrals`, referralBody(direct)));
    ok(await as(by).post(`/v1/referrals/${referral.id}/accept`, {}));
    return referral;
  }

  const stageOf = async ({ path }: { path: string }): Promise<string> => ok(await owner.get(path)).stage;
  return { owner, authority, asked, accepted, decided, decide, serve, body, held, stageOf };
}
