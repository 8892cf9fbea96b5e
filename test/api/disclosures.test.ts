import t from 'tap';
import { newId } from '../../src/platform/ids.ts';
import { startTestApp } from '../support/app.ts';
import { entriesFor } from '../support/entries.ts';
import { all, anonymous, clinic, DAY, eventsOf, NONE } from '../support/journey.ts';
import { type Client, mechanism } from '../support/mechanism.ts';
import { caseBody, consentBody, ok, referralBody, startNight } from '../support/night.ts';
import { lookAsOwner } from '../support/trail.ts';

// Much of it, and other suites beside it.
t.setTimeout(300_000);

/** To whom a case was disclosed, and what becomes of it when the holder has deleted what it held. */

t.test('disclosures', async t => {
  const test = await startTestApp(t);
  const { services, clock } = test;
  const them = await mechanism(test);
  const { as, agencies } = them;
  const helpline = as('helpline_a');
  const health = as('health');
  const { at, ask } = clinic(them);

  const list = async (client: Client, case_id: string) => all(client, `/v1/cases/${case_id}/disclosures`);
  const confirm = (client: Client, id: string, headers = {}) =>
    client.post(`/v1/disclosures/${id}/confirm-deletion`, undefined, headers);
  const timers = (client: Client, referral_id: string) => all(client, `/v1/timers?subject_id=${referral_id}`);
  const deletionTimer = async (client: Client, referral_id: string) =>
    (await timers(client, referral_id)).find(({ name }) => name === 'deletion_confirmation');

  await t.test('are accounted for, to those concerned', async t => {
    const { kase, referral } = await startNight(helpline, { kase: { danger_flags: [] } });
    ok(
      await helpline.post(
        `/v1/cases/${kase.id}/consents`,
        consentBody({ recipient: { agency_kind: 'health' }, purposes: ['medical'] }),
      ),
    );
    const asked = { service: 'medical', urgency: 'urgent', routing: 'direct', recipient_agency_id: agencies.health.id };
    const lawful_ground = { code: 'imminent_danger_to_life' };
    const second = ok(
      await helpline.post(`/v1/cases/${kase.id}/referrals`, referralBody({ ...asked, categories: ['health'], lawful_ground })),
    );
    const before = ok(await helpline.get(`/v1/cases/${kase.id}/disclosures`));
    t.strictSame(before, { data: [], next_cursor: null }, 'an offer discloses nothing');
    const started_at = clock.now().toISOString();
    const asked_now = async (key: 'shelter_a' | 'shelter_b') =>
      (await as(key).get(`/v1/referrals/${referral.id}`)).status === 200;
    const taker = (await asked_now('shelter_a')) ? 'shelter_a' : 'shelter_b';
    ok(await as(taker).post(`/v1/referrals/${referral.id}/accept`));
    ok(await health.post(`/v1/referrals/${second.id}/accept`));

    const rows = await list(helpline, kase.id);
    t.match(rows, [
      {
        id: /^dsc_/,
        case_id: kase.id,
        agency_id: agencies.health.id,
        referral_id: second.id,
        offer_id: /^off_/,
        purpose: 'medical',
        categories: ['health'],
        categories_held: ['health'],
        ground: 'imminent_danger_to_life',
        started_at,
        ended_at: null,
        deletion_due_at: null,
        deletion_confirmed_at: null,
      },
      {
        placed: { region: 'XA-1' },
        referral_id: referral.id,
        purpose: 'shelter_accommodation',
        categories: ['identity', 'contact', 'demographics', 'narrative'],
        ground: 'consent',
      },
    ]);
    t.equal(rows.length, 2);
    t.notOk(JSON.stringify(rows).includes(agencies[taker].id), 'a protected place is named to nobody');
    t.strictSame(await list(as('committee'), kase.id), rows, 'the coordinator sees the same');
    t.match(await list(as(taker), kase.id), [{ agency_id: agencies[taker].id, referral_id: referral.id }], 'a holder its own');
    t.match(await list(health, kase.id), [{ referral_id: second.id }]);
    t.equal((await list(health, kase.id)).length, 1);

    const absent = anonymous(await as('helpline_b').get(`/v1/cases/${newId('cas')}/disclosures`));
    for (const key of ['helpline_b', 'prosecution', 'audit_body', 'civil_society'] as const)
      t.strictSame(anonymous(await as(key).get(`/v1/cases/${kase.id}/disclosures`)), absent, key);
    const first = ok(await helpline.get(`/v1/cases/${kase.id}/disclosures?limit=1`));
    t.same(first.data, [rows[0]]);
    t.same(ok(await helpline.get(`/v1/cases/${kase.id}/disclosures?limit=1&cursor=${first.next_cursor}`)), {
      data: [rows[1]],
      next_cursor: null,
    });
    t.equal((await helpline.get(`/v1/cases/${kase.id}/disclosures?cursor=x`)).status, 400);
    const [entry] = await entriesFor(as('audit_body'), `case_id=${kase.id}&action=disclosure.list`);
    t.match(entry, { meta: { outcome: 'read' }, subjects: [{ record: { subject_id: kase.id, disclosure_ids: [rows[1].id] } }] });
  });

  await t.test('a confirmed deletion ends what the holder knows', async t => {
    const { kase, referral } = await at(test, 'failed');
    const [row] = await list(health, kase.id);
    t.match(row, { ended_at: String, deletion_due_at: String, deletion_confirmed_at: null, categories: NONE });
    t.match(await confirm(helpline, row.id), { status: 403, body: { code: 'forbidden' } }, 'the owner confirms nothing');
    t.match(await confirm(as('committee'), row.id), { status: 403 }, 'nor the coordinator');
    t.strictSame(
      anonymous(await confirm(as('helpline_b'), row.id)),
      anonymous(await confirm(as('helpline_b'), newId('dsc'))),
      'to a stranger there is none',
    );
    ok(
      await as('health', 'supervisor').post(`/v1/agencies/${agencies.health.id}/caseworkers`, {
        staff_code: 'HE-9',
        roles: ['operator'],
      }),
    );
    t.equal((await confirm(health, row.id, { 'acting-caseworker': 'HE-9' })).status, 403, 'an operator does not');

    const told = await eventsOf(services, health, referral.id);
    t.ok(told.length > 0);
    const accepts = { 'idempotency-key': `accept-${referral.id}` };
    const key = { 'idempotency-key': `confirm-${row.id}` };
    const confirmed = await confirm(health, row.id, key);
    const now = clock.now().toISOString();
    t.match(confirmed, { status: 200, headers: { 'audit-receipt': /^[0-9a-f]{64}$/ } });
    t.strictSame(confirmed.body, { ...row, deletion_confirmed_at: now });

    const gone = anonymous(await health.get(`/v1/cases/${newId('cas')}`));
    const paths = [
      `/v1/cases/${kase.id}`,
      `/v1/cases/${kase.id}/disclosures`,
      `/v1/cases/${kase.id}/timeline`,
      `/v1/referrals/${referral.id}`,
    ];
    const hidden = async (said: string) => {
      for (const path of paths) t.strictSame(anonymous(await health.get(path)), gone, `${said}: ${path}`);
      const verb = await health.post(`/v1/referrals/${referral.id}/accept`, {}, accepts);
      t.strictSame(anonymous(verb), gone, `${said}: and acts on nothing`);
      t.notOk(
        (await all(health, '/v1/referrals?box=all')).some(({ id }) => id === referral.id),
        `${said}: nor finds it`,
      );
      t.strictSame(await timers(health, referral.id), [], `${said}: nor its clocks`);
      t.strictSame(anonymous(await confirm(health, row.id)), gone, `${said}: nor confirms it again`);
    };
    await hidden('behind two walls');
    const pulled = (await eventsOf(services, health)).filter(({ data }) => data.referral_id === referral.id);
    t.ok(
      pulled.every(({ type }) => ['referral.cancelled', 'referral.withdrawn', 'consent.withdrawn'].includes(type)),
      'what it was told is withheld from now on',
    );

    const again = await confirm(health, row.id, key);
    t.match(again, { status: 200, headers: { 'idempotency-replayed': 'true' } }, 'the same key answers what was done');
    t.strictSame(again.body, confirmed.body);
    const other = await health.post(`/v1/disclosures/${row.id}/confirm-deletion`, {}, { ...key, 'acting-caseworker': 'HE-9' });
    t.equal(other.status, 404, 'and tells nobody else');
    const sealed = await lookAsOwner<{ key_id: string | null }>(
      services,
      `select key_id from audit_subjects join audit_records using (entry_id) where action = 'disclosure.confirm_deletion' and outcome in ('done', 'read')`,
    );
    t.strictSame(sealed, [{ key_id: kase.id }, { key_id: kase.id }], "both entries lie under the case's key");

    t.match(await list(helpline, kase.id), [{ id: row.id, deletion_confirmed_at: now, categories_held: row.categories_held }]);
    t.match(await deletionTimer(helpline, referral.id), { state: 'met', met_at: now });
    t.match(ok(await helpline.get(`/v1/referrals/${referral.id}`)), { offers: [{ agency_id: agencies.health.id }] });
    t.ok((await entriesFor(as('health', 'supervisor'), `referral_id=${referral.id}`)).length > 2, 'the trail forgets nothing');

    // Asked again, it sees the new offer, and no more than that.
    const asked = { agency_id: agencies.health.id, reason_code: 'better_match' };
    ok(await helpline.post(`/v1/referrals/${referral.id}/reroute`, asked));
    const anew = ok(await health.get(`/v1/referrals/${referral.id}`));
    t.match(anew, { status: 'offered', case_id: undefined, offer: { status: 'offered', accepted_at: null } });
    t.notMatch(
      anew.timers.map(({ name }: { name: string }) => name),
      ['deletion_confirmation'],
    );
    t.equal((await health.get(`/v1/cases/${kase.id}`)).status, 404, 'not the case before it accepts');
    ok(await health.post(`/v1/referrals/${referral.id}/accept`));
    t.match(await list(health, kase.id), [{ offer_id: anew.offer.id, ended_at: null }]);
    t.equal((await list(health, kase.id)).length, 1);
    t.equal((await list(helpline, kase.id)).length, 2, 'the owner sees both');
  });

  await t.test('also late, and either wall alone holds to it', async t => {
    const { kase, referral } = await at(test, 'failed');
    clock.advance(20 * DAY);
    await eventsOf(services, health);
    t.match(await deletionTimer(health, referral.id), { state: 'breached' });
    const [row] = await list(health, kase.id);
    ok(await confirm(health, row.id));
    t.match(await deletionTimer(helpline, referral.id), { state: 'met', breached_at: String });

    const seen = async () => [
      ...(await Promise.all(
        [`/v1/cases/${kase.id}`, `/v1/referrals/${referral.id}`, `/v1/cases/${kase.id}/timeline`].map(
          async path => (await health.get(path)).status,
        ),
      )),
      (await confirm(health, row.id)).status,
      (await all(health, '/v1/referrals?box=incoming')).some(({ id }) => id === referral.id),
      (await timers(health, referral.id)).length,
    ];
    const nothing = [404, 404, 404, 404, false, 0];
    t.strictSame(await seen(), nothing);
    const tables = ['cases', 'offers', 'disclosures', 'timers', 'referrals'];
    for (const table of tables) await lookAsOwner(services, `alter table ${table} disable row level security`);
    t.strictSame(await seen(), nothing, 'the application alone');
    for (const table of tables) await lookAsOwner(services, `alter table ${table} enable row level security`);
  });

  await t.test('another tie to the case stays', async t => {
    const { kase, referral, consent: _ } = await at(test, 'failed');
    const more = { service: 'medical', urgency: 'urgent', routing: 'direct', recipient_agency_id: agencies.health.id };
    const other = ok(await helpline.post(`/v1/cases/${kase.id}/referrals`, referralBody(more)));
    ok(await health.post(`/v1/referrals/${other.id}/accept`));
    const rows = await list(health, kase.id);
    t.equal(rows.length, 2);
    const ended = rows.find(({ ended_at }) => ended_at !== null);
    ok(await confirm(health, ended.id));
    t.equal((await health.get(`/v1/referrals/${referral.id}`)).status, 404);
    t.match(ok(await health.get(`/v1/cases/${kase.id}`)), { data: { identity: Object } }, 'it holds it by the other offer');
    t.match(await list(health, kase.id), [{ referral_id: other.id }]);
  });

  await t.test('what was lost in part is confirmed in part', async t => {
    const { kase, referral, consent } = await ask();
    ok(await health.post(`/v1/referrals/${referral.id}/accept`));
    const [held] = await list(health, kase.id);
    const refused = { status: 409, body: { code: 'wrong_state', state: 'live', allowed_actions: [] } };
    t.match(await confirm(health, held.id), refused, 'nothing to delete');
    ok(await helpline.post(`/v1/consents/${consent.id}/withdraw`, { categories: ['narrative'], spoken_in_private: true }));
    const [lost] = await list(health, kase.id);
    t.match(lost, { deletion_due_at: String, categories: ['identity', 'contact', 'demographics'], ended_at: null });
    t.ok(lost.categories_held.includes('narrative'));
    const key = { 'idempotency-key': `part-${held.id}` };
    const now = clock.now().toISOString();
    const confirmed = await confirm(health, held.id, key);
    t.strictSame(confirmed.body, {
      ...lost,
      categories_held: lost.categories,
      deletion_due_at: null,
      deletion_confirmed_at: now,
    });
    t.match(await deletionTimer(health, referral.id), { state: 'met' });
    t.match(await confirm(health, held.id, key), { headers: { 'idempotency-replayed': 'true' }, body: confirmed.body });
    t.match(await confirm(health, held.id), refused, 'once is enough');
    t.match(ok(await health.get(`/v1/cases/${kase.id}`)), { data: { identity: Object } }, 'it stays a holder');

    clock.advance(DAY);
    ok(await health.post(`/v1/referrals/${referral.id}/fail`, { reason_code: 'other' }));
    t.match(
      await list(helpline, kase.id),
      [{ ended_at: String, deletion_due_at: String, deletion_confirmed_at: null }],
      'the rest is still due',
    );
    t.equal((await health.get(`/v1/cases/${kase.id}`)).status, 200);
    ok(await confirm(health, held.id));
    t.equal((await health.get(`/v1/cases/${kase.id}`)).status, 404);
  });

  await t.test('who sent something on knows of that, and no longer of the case', async t => {
    const kase = ok(await helpline.post('/v1/cases', caseBody()));
    const grant = (kind: string, purpose: string) =>
      helpline.post(`/v1/cases/${kase.id}/consents`, consentBody({ recipient: { agency_kind: kind }, purposes: [purpose] }));
    ok(await grant('civil_society', 'psychosocial'));
    ok(await grant('health', 'medical'));
    const held = ok(
      await helpline.post(
        `/v1/cases/${kase.id}/referrals`,
        referralBody({ service: 'psychosocial', urgency: 'urgent', categories: ['identity'] }),
      ),
    );
    const lantern = as('civil_society');
    ok(await lantern.post(`/v1/referrals/${held.id}/accept`));
    const sent = ok(
      await lantern.post(
        `/v1/cases/${kase.id}/referrals`,
        referralBody({ service: 'medical', urgency: 'urgent', categories: ['identity'] }),
      ),
    );
    ok(await lantern.post(`/v1/referrals/${held.id}/fail`, { reason_code: 'other' }));
    const [row] = await list(lantern, kase.id);
    ok(await confirm(lantern, row.id));
    t.equal((await lantern.get(`/v1/cases/${kase.id}`)).status, 404);
    t.equal((await lantern.get(`/v1/referrals/${held.id}`)).status, 404);
    t.match(ok(await lantern.get(`/v1/referrals/${sent.id}`)), { sender_agency_id: agencies.civil_society.id });
    const items = await all(lantern, `/v1/cases/${kase.id}/timeline`);
    t.ok(items.length > 1);
    t.ok(
      items.every(({ referral_id }) => referral_id === sent.id),
      'its history is that of what it sent',
    );
  });
});
