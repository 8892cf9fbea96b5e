import type { DemoAgencyKey } from '../../src/demo.ts';
import type { TestApp } from './app.ts';
import type { Answer, Mechanism } from './mechanism.ts';
import { caseBody, consentBody, ok, referralBody } from './night.ts';
import { NEW_SERVICE } from './story.ts';
import { lookAsOwner } from './trail.ts';

/** People who were found together, by `helpline_a`, and who is asked to take them. */
export function grouping({ services }: Pick<TestApp, 'services'>, { as, agencies }: Mechanism) {
  const helpline = as('helpline_a');
  const key_of = new Map(Object.entries(agencies).map(([key, { id }]) => [id, key]));

  /** Cases of a new group, each with consent to shelters unless it is said otherwise. */
  async function found(cases: readonly object[], more: object = {}, { consents = cases.length } = {}) {
    const opened = ok(await helpline.post('/v1/groups', { cases: cases.map(it => caseBody(it as never)), ...more }));
    const ids: string[] = opened.cases.map(({ id }: { id: string }) => id);
    for (const id of ids.slice(0, consents)) ok(await helpline.post(`/v1/cases/${id}/consents`, consentBody()));
    return { group_id: opened.group_id as string, ids };
  }

  const refer = (group_id: string, more: object = {}, headers?: Record<string, string>): Promise<Answer> =>
    helpline.post(`/v1/groups/${group_id}/referrals`, referralBody({ urgency: 'urgent', ...more }), headers);

  const referOne = (case_id: string, more: object = {}): Promise<Answer> =>
    helpline.post(`/v1/cases/${case_id}/referrals`, referralBody({ urgency: 'urgent', ...more }));

  /** Which agencies were asked for each of these cases, in that order; `-` for nobody. */
  async function askedFor(ids: readonly string[]): Promise<string[]> {
    const rows = await lookAsOwner<{ case_id: string; agency_id: string }>(
      services,
      'select case_id, agency_id from offers order by referral_id, ordinal',
    );
    const of = (id: string) => rows.filter(row => row.case_id === id).map(({ agency_id }) => key_of.get(agency_id)!);
    return ids.map(id => of(id).join(' ') || '-');
  }

  const offeredTo = (key: DemoAgencyKey) => ({ routing: 'direct', recipient_agency_id: agencies[key].id });

  /** The case goes over to another owner. */
  async function giveAway(case_id: string, key: DemoAgencyKey): Promise<void> {
    const { id, kind } = agencies[key];
    const service = `/v1/agencies/${id}/services/case_management`;
    // Once is enough.
    await as(key, 'supervisor').put(service, NEW_SERVICE, { 'if-none-match': '*' });
    const consent = consentBody({ recipient: { agency_kind: kind }, purposes: ['case_management'] } as never);
    ok(await helpline.post(`/v1/cases/${case_id}/consents`, consent));
    const made = ok(await referOne(case_id, { service: 'case_management', categories: [], ...offeredTo(key) }));
    ok(await as(key).post(`/v1/referrals/${made.id}/accept`));
  }

  return { giveAway, helpline, found, refer, referOne, askedFor, offeredTo };
}
