import t from 'tap';
import { newId } from '../../src/platform/ids.ts';
import { startTestApp } from '../support/app.ts';
import { drain } from '../support/drain.ts';
import { entriesFor } from '../support/entries.ts';
import { all, anonymous, HOUR, MEDICAL } from '../support/journey.ts';
import { type Client, mechanism } from '../support/mechanism.ts';
import { caseBody, consentBody, ok, referralBody } from '../support/night.ts';

// Much of it, and other suites beside it.
t.setTimeout(300_000);

/** What happened on a case, as each of those concerned may know it. */

t.test('the timeline', async t => {
  const test = await startTestApp(t);
  const { services, clock } = test;
  const { as, agencies } = await mechanism(test);
  const helpline = as('helpline_a');
  const lantern = as('civil_society');
  const health = as('health');

  const timeline = (client: Client, case_id: string) => all(client, `/v1/cases/${case_id}/timeline`);
  const told = (items: { action: string }[]) => items.map(({ action }) => action);
  const grant = async (case_id: string, recipient: object, purposes: string[]) =>
    ok(await helpline.post(`/v1/cases/${case_id}/consents`, consentBody({ recipient, purposes })));
  const refer = async (client: Client, case_id: string, more: object) =>
    ok(
      await client.post(`/v1/cases/${case_id}/referrals`, referralBody({ urgency: 'urgent', categories: ['identity'], ...more })),
    );

  // The owner refers to a shelter and to civil society; that refers on to health, and fails.
  const kase = ok(await helpline.post('/v1/cases', caseBody()));
  await grant(kase.id, { agency_kind: 'shelter' }, ['shelter_accommodation']);
  await grant(kase.id, { agency_kind: 'civil_society' }, ['psychosocial']);
  const medical = await grant(kase.id, MEDICAL.consent.recipient, ['medical']);
  const sheltered = await refer(helpline, kase.id, { routing: 'direct', recipient_agency_id: agencies.shelter_b.id });
  ok(await as('shelter_b').post(`/v1/referrals/${sheltered.id}/accept`));
  const held = await refer(helpline, kase.id, { service: 'psychosocial' });
  ok(await lantern.post(`/v1/referrals/${held.id}/accept`));
  const sent = await refer(lantern, kase.id, { service: 'medical' });
  ok(await health.post(`/v1/referrals/${sent.id}/receive`));
  ok(await lantern.post(`/v1/referrals/${held.id}/fail`, { reason_code: 'other' }));
  ok(await helpline.post(`/v1/consents/${medical.id}/withdraw`, { categories: ['narrative'], spoken_in_private: true }));
  ok(await helpline.patch(`/v1/cases/${kase.id}`, { risk: 'low' }, { 'if-match': '*' }));
  clock.advance(25 * HOUR);
  await drain(services);
  ok(await as('helpline_a', 'supervisor').post(`/v1/cases/${kase.id}/close`, { reason_code: 'lost_contact' }));
  ok(await helpline.get(`/v1/cases/${kase.id}`));
  await helpline.post(`/v1/cases/${kase.id}/close`, { reason_code: 'error' });

  await t.test('shows the owner everything, oldest first', async t => {
    const items = await timeline(helpline, kase.id);
    const acts = told(items);
    t.strictSame(acts.slice(0, 7), [
      'case.open',
      'consent.give',
      'consent.give',
      'consent.give',
      'referral.make',
      'referral.offer',
      'referral.accept',
    ]);
    t.equal(acts.at(-1), 'case.close');
    for (const action of [
      'consent.withdraw',
      'case.amend',
      'referral.fail',
      'referral.expire',
      'timer.breach',
      'referral.receive',
    ])
      t.ok(acts.includes(action), action);
    for (const none of ['case.read', 'case.timeline', 'disclosure.list']) t.notOk(acts.includes(none), `no ${none}`);
    t.equal(acts.filter(action => action === 'case.close').length, 1, 'and no refusal');
    t.strictSame(
      items.map(({ at }) => at),
      items.map(({ at }) => at).toSorted(),
    );
    const of = (action: string) => items.find(item => item.action === action);
    t.strictSame(of('case.open'), {
      at: kase.opened_at,
      action: 'case.open',
      type: 'case.opened',
      agency_id: agencies.helpline_a.id,
      staff_code: agencies.helpline_a.caseworkers[0].staff_code,
    });
    t.match(of('consent.withdraw'), { type: 'consent.withdrawn', consent_id: medical.id });
    t.match(of('referral.offer'), { type: 'referral.offered', by: 'system', referral_id: sheltered.id, agency_id: undefined });
    t.match(of('referral.fail'), {
      type: 'referral.failed',
      agency_id: agencies.civil_society.id,
      code: 'other',
      staff_code: undefined,
    });
    t.match(
      items.find(({ timer, type: it }) => timer === 'respond' && it === 'timer.breached'),
      {
        action: 'timer.breach',
        by: 'system',
        resource_id: /^tmr_/,
        offer_id: /^off_/,
        code: undefined,
      },
    );
    t.match(of('case.close'), { code: 'lost_contact' });
    t.match(of('case.amend'), { type: undefined });
    const accepted = items.find(({ action, referral_id }) => action === 'referral.accept' && referral_id === sheltered.id);
    t.match(accepted, { placed: { region: 'XA-1' }, agency_id: undefined, staff_code: undefined });
    t.notOk(JSON.stringify(items).includes(agencies.shelter_b.id), 'who is in a protected place is named to nobody');
  });

  await t.test('shows a sender its referrals, a holder its offers and its own acts', async t => {
    const own = agencies.civil_society.id;
    const items = await timeline(lantern, kase.id);
    t.ok(
      items.every(
        ({ referral_id, offer_id, agency_id }) => referral_id === sent.id || offer_id === held.offer.id || agency_id === own,
      ),
      JSON.stringify(items),
    );
    t.strictSame(told(items).slice(0, 5), [
      'referral.offer',
      'referral.accept',
      'referral.make',
      'referral.offer',
      'referral.receive',
    ]);
    t.match(
      items.find(({ action }) => action === 'referral.receive'),
      { agency_id: agencies.health.id, referral_id: sent.id },
    );
    t.ok(told(items).includes('referral.expire'), 'also how what it sent goes on');
    for (const none of ['case.open', 'case.close', 'case.amend', 'consent.give', 'consent.withdraw'])
      t.notOk(told(items).includes(none), none);

    const shelter = await timeline(as('shelter_b'), kase.id);
    t.strictSame(new Set(shelter.map(({ referral_id }) => referral_id)), new Set([sheltered.id]));
    t.match(
      shelter.find(({ action }) => action === 'referral.accept'),
      { agency_id: agencies.shelter_b.id, staff_code: agencies.shelter_b.caseworkers[0].staff_code },
      'itself it may know',
    );
    t.notOk(told(shelter).includes('referral.make'), 'nor how it came to be asked');
  });

  await t.test('shows the coordinator all, masked', async t => {
    const items = await timeline(as('committee'), kase.id);
    t.strictSame(told(items), told(await timeline(helpline, kase.id)));
    t.ok(items.every(item => !('consent_id' in item) && !('staff_code' in item)));
    t.match(items.at(-1), { action: 'case.close', code: undefined }, 'why it was closed is for the owner');
    t.match(
      items.find(({ action }) => action === 'referral.fail'),
      { code: 'other' },
    );
    t.notOk(JSON.stringify(items).includes(agencies.shelter_b.id));
    ok(
      await as('committee', 'supervisor').post(`/v1/agencies/${agencies.committee.id}/caseworkers`, {
        staff_code: 'NC-9',
        roles: ['caseworker'],
      }),
    );
    t.equal((await as('committee').get(`/v1/cases/${kase.id}/timeline`, { 'acting-caseworker': 'NC-9' })).status, 403);
  });

  await t.test('is nothing to anybody else', async t => {
    const absent = anonymous(await as('helpline_b').get(`/v1/cases/${newId('cas')}/timeline`));
    for (const key of ['helpline_b', 'health', 'shelter_a', 'prosecution', 'audit_body'] as const)
      t.strictSame(anonymous(await as(key).get(`/v1/cases/${kase.id}/timeline`)), absent, key);
  });

  await t.test('tells a holder of a consent that changed what it holds', async t => {
    const other = ok(await helpline.post('/v1/cases', caseBody()));
    const consent = await grant(other.id, { agency_kind: 'civil_society' }, ['psychosocial']);
    const referral = await refer(helpline, other.id, { service: 'psychosocial', categories: ['identity', 'narrative'] });
    ok(await lantern.post(`/v1/referrals/${referral.id}/accept`));
    ok(await helpline.post(`/v1/consents/${consent.id}/withdraw`, { stop_service: true, spoken_in_private: true }));
    const items = await timeline(lantern, other.id);
    const withdrawn = items.find(({ action }) => action === 'consent.withdraw');
    t.match(withdrawn, { type: 'consent.withdrawn', referral_ids: [referral.id], agency_id: agencies.helpline_a.id });
    t.notOk(withdrawn.consent_id ?? withdrawn.code, 'but not which grant, and why');
    const [row] = (await all(lantern, `/v1/cases/${other.id}/disclosures`)) as { id: string }[];
    ok(await lantern.post(`/v1/disclosures/${row!.id}/confirm-deletion`));
    t.equal((await lantern.get(`/v1/cases/${other.id}/timeline`)).status, 404);
    t.match((await timeline(helpline, other.id)).at(-1), {
      action: 'disclosure.confirm_deletion',
      resource_id: row!.id,
      agency_id: agencies.civil_society.id,
    });
  });

  await t.test('comes in pages that stay, and is in the trail itself', async t => {
    const whole = await timeline(helpline, kase.id);
    const paged: unknown[] = [];
    let cursor: string | null = '';
    while (cursor !== null) {
      const page: { data: unknown[]; next_cursor: string | null } = ok(
        await helpline.get(`/v1/cases/${kase.id}/timeline?limit=3${cursor && `&cursor=${cursor}`}`),
      );
      paged.push(...page.data);
      cursor = page.next_cursor;
    }
    t.strictSame(paged, whole);
    const mine = await timeline(lantern, kase.id);
    const first = ok(await lantern.get(`/v1/cases/${kase.id}/timeline?limit=2`));
    const second = ok(await lantern.get(`/v1/cases/${kase.id}/timeline?limit=2&cursor=${first.next_cursor}`));
    t.strictSame([...first.data, ...second.data], mine.slice(0, 4), 'also where others’ acts lie between');
    for (const bad of ['cursor=x', `cursor=${Buffer.from('["a"]').toString('base64url')}`, 'limit=0', 'order=newest'])
      t.equal((await helpline.get(`/v1/cases/${kase.id}/timeline?${bad}`)).status, 400, bad);
    const answer = await helpline.get(`/v1/cases/${kase.id}/timeline`);
    const [entry] = await entriesFor(as('audit_body'), `case_id=${kase.id}&action=case.timeline&outcome=read`);
    t.match(entry, { receipt: answer.headers['audit-receipt'], subjects: [{ record: { subject_id: kase.id } }] });
  });
});
