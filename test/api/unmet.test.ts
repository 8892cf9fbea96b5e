import t, { type Test } from 'tap';
import { OFFER_STATUSES } from '../../src/core/codes.ts';
import { startTestApp } from '../support/app.ts';
import { all, clinic, HOUR, MEDICAL } from '../support/journey.ts';
import { type Client, mechanism } from '../support/mechanism.ts';
import { caseBody, consentBody, ok, PERSON, referralBody } from '../support/night.ts';

/**
 * Who is without a service that they should have: told to the owner, and of what was asked for to the coordinator, who both can
 * look for such cases.
 */

t.setTimeout(240_000);

async function start(t: Test) {
  const test = await startTestApp(t);
  const them = await mechanism(test);
  const { as } = them;
  const ways = clinic(them);
  const unmetOf = async (case_id: string, who: Client = ways.sender): Promise<string[] | undefined> =>
    ok(await who.get(`/v1/cases/${case_id}`)).unmet?.map((it: Record<string, string>) => `${it.service} ${it.why}`);
  const found = async (unmet: boolean, who: Client = ways.sender): Promise<string[]> =>
    (await all(who, `/v1/cases?unmet=${unmet}`)).map(({ id }) => id);
  return { ...test, ...them, ...ways, committee: as('committee'), unmetOf, found };
}

t.test('in each state of what was asked for', async t => {
  const { at, committee, unmetOf, found, ...test } = await start(t);
  const unmet = ['offered', 'received', 'info_requested', 'waitlisted', 'declined', 'expired', 'failed'];
  for (const status of OFFER_STATUSES) {
    const { kase } = await at({ ...test }, status);
    const is_unmet = unmet.includes(status);
    const asked = is_unmet ? ['medical asked'] : [];
    t.strictSame(await unmetOf(kase.id), [...asked, 'shelter_accommodation need'], status);
    t.strictSame(await unmetOf(kase.id, committee), asked, 'needs are the person’s, and no coordinator’s');
    for (const who of [test.sender, committee]) {
      t.equal((await found(true, who)).includes(kase.id), is_unmet, status);
      t.equal((await found(false, who)).includes(kase.id), !is_unmet, status);
    }
  }
});

t.test('since when', async t => {
  const { at, receiver, sender, clock, ...test } = await start(t);
  const { kase, referral } = await at({ ...test, clock }, 'in_progress');
  clock.advance(5 * HOUR);
  ok(await receiver.post(`/v1/referrals/${referral.id}/fail`, { reason_code: 'service_ended' }));
  clock.advance(HOUR);
  const ended_at = new Date(clock.now().getTime() - HOUR).toISOString();
  const { unmet, opened_at } = ok(await sender.get(`/v1/cases/${kase.id}`));
  t.strictSame(unmet, [
    { service: 'medical', since: ended_at, why: 'asked' },
    { service: 'shelter_accommodation', since: opened_at, why: 'need' },
  ]);
});

t.test('what the law demands of a child, and of whose age is not known', async t => {
  const { sender, unmetOf } = await start(t);
  const { date_of_birth: _, ...ageless } = PERSON;
  for (const person of [{ ...PERSON, date_of_birth: '2015-01-01' }, ageless]) {
    const { id } = ok(await sender.post('/v1/cases', caseBody({ person, needs: [] })));
    t.strictSame(await unmetOf(id), ['guardianship_child_protection law']);
  }
  const anonymous = { track: 'anonymous', person: undefined, needs: ['medical'] };
  const { id } = ok(await sender.post('/v1/cases', caseBody(anonymous)));
  t.strictSame(await unmetOf(id), [], 'of nobody known nothing can be asked for');
});

t.test('a case that is over has none', async t => {
  const { as, ask, unmetOf, found } = await start(t);
  const { kase } = await ask();
  const supervisor = as('helpline_a', 'supervisor');
  ok(await supervisor.post(`/v1/cases/${kase.id}/close`, { reason_code: 'lost_contact' }));
  t.strictSame(await unmetOf(kase.id), []);
  t.strictSame(await found(true), []);
  ok(await supervisor.post(`/v1/cases/${kase.id}/reopen`, { reason: 'found again' }));
  t.strictSame(await found(true), [kase.id]);
});

t.test('nobody else is told', async t => {
  const { as, at, receiver, sender, unmetOf, found, ...test } = await start(t);
  const { kase } = await at(test, 'in_progress');
  ok(await sender.post(`/v1/cases/${kase.id}/consents`, consentBody()));
  ok(await sender.post(`/v1/cases/${kase.id}/referrals`, referralBody()));
  t.strictSame(await unmetOf(kase.id), ['shelter_accommodation asked']);
  t.equal(await unmetOf(kase.id, receiver), undefined, 'who holds the case learns nothing of other services');
  for (const key of ['health', 'helpline_b', 'shelter_a'] as const) t.strictSame(await found(true, as(key)), []);
});

t.test('an owner to which the case went over is told as far as it sees of what they tell', async t => {
  const { as, agencies, sender, unmetOf } = await start(t);
  const next = as('civil_society');
  // Offers case management, and consent to it covers how to reach the child, and then all.
  const path = `/v1/agencies/${agencies.civil_society.id}/services/case_management`;
  ok(await as('civil_society', 'supervisor').put(path, {}));
  for (const [categories, unmet] of [
    [['contact'], ['medical asked']],
    [
      ['contact', 'health', 'identity', 'demographics', 'protection_status'],
      ['medical asked', 'guardianship_child_protection law', 'shelter_accommodation need'],
    ],
  ] as const) {
    const { id } = ok(await sender.post('/v1/cases', caseBody({ person: { ...PERSON, date_of_birth: '2015-01-01' } })));
    const recipient = { agency_id: agencies.civil_society.id };
    const purposes = ['case_management'];
    for (const consent of [MEDICAL.consent, { recipient, purposes, categories: [...categories] }])
      ok(await sender.post(`/v1/cases/${id}/consents`, consentBody(consent)));
    ok(await sender.post(`/v1/cases/${id}/referrals`, referralBody(MEDICAL.referral)));
    const direct = { routing: 'direct', recipient_agency_id: agencies.civil_society.id, categories: [...categories] };
    const moved = ok(
      await sender.post(`/v1/cases/${id}/referrals`, referralBody({ service: 'case_management', urgency: 'urgent', ...direct })),
    );
    ok(await next.post(`/v1/referrals/${moved.id}/accept`));
    t.strictSame(await unmetOf(id, next), unmet);
  }
});

t.test('a query that is none', async t => {
  const { sender } = await start(t);
  t.match(await sender.get('/v1/cases?unmet=perhaps'), { status: 400, body: { code: 'invalid_request' } });
});
