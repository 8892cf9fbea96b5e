import { sql } from 'kysely';
import t from 'tap';
import { startTestApp } from '../support/app.ts';
import { entriesFor } from '../support/entries.ts';
import { eventsOf, HOUR, MEDICAL } from '../support/journey.ts';
import { type Client, mechanism } from '../support/mechanism.ts';
import { caseBody, consentBody, ok, referralBody } from '../support/night.ts';
import { lookAsOwner } from '../support/trail.ts';

t.test('a case goes over to another agency', async t => {
  const test = await startTestApp(t);
  const { services, clock } = test;
  const { as, agencies } = await mechanism(test);
  const helpline = as('helpline_a');
  const support = as('civil_society');
  const health = as('health');

  for (const key of ['civil_society', 'labour_inspection', 'shelter_c'] as const) {
    const path = `/v1/agencies/${agencies[key].id}/services/case_management`;
    ok(await as(key, 'supervisor').put(path, SERVICE, { 'if-none-match': '*' }));
  }

  /** A case with consent to hand it over to `to`, and a clinic asked beside. */
  async function start(to: 'civil_society' | 'labour_inspection' = 'civil_society', more: object = {}) {
    const kase = ok(await helpline.post('/v1/cases', caseBody({ person: { ...PERSON }, ...more })));
    const path = `/v1/cases/${kase.id}`;
    ok(await helpline.post(`${path}/consents`, consentBody(MEDICAL.consent)));
    ok(
      await helpline.post(
        `${path}/consents`,
        consentBody({ recipient: { agency_kind: agencies[to].kind }, purposes: ['case_management'] }),
      ),
    );
    const direct = { routing: 'direct', urgency: 'urgent' };
    const medical = ok(
      await helpline.post(
        `${path}/referrals`,
        referralBody({ ...MEDICAL.referral, ...direct, recipient_agency_id: agencies.health.id }),
      ),
    );
    const transfer = ok(
      await helpline.post(
        `${path}/referrals`,
        referralBody({ service: 'case_management', ...direct, recipient_agency_id: agencies[to].id }),
      ),
    );
    return { kase, medical, transfer, path };
  }
  const act = (who: Client, id: string, verb: string, body: object = {}) => who.post(`/v1/referrals/${id}/${verb}`, body);

  await t.test('accepting moves ownership; what is in flight goes on', async t => {
    const { kase, medical, transfer, path } = await start();
    ok(await act(support, transfer.id, 'accept'));

    const owned = ok(await support.get(path));
    t.equal(owned.owner_agency_id, agencies.civil_society.id);
    t.match(owned.data, { narrative: { narrative: /locked in/ }, identity: { given_name: 'Testname' } });
    t.equal(owned.data.source, undefined, 'who reported stays with the agency that took the report');
    t.strictSame(owned.withheld, NOT_COVERED, 'nor what no consent to its case management covers');
    t.match(await support.patch(path, { intake: { channel: 'police' } }, { 'if-match': '"1"' }), { status: 400 });
    const amended = await support.patch(path, { intake: { channel: 'outreach' } }, { 'if-match': `"${owned.version}"` });
    t.match(amended, { status: 422, body: { errors: [{ pointer: '/intake' }] } });
    ok(await support.patch(path, { intake: { narrative: 'told again, calmly' } }, { 'if-match': `"${owned.version}"` }));

    const stub = ok(await helpline.get(path));
    t.match(stub, { categories_held: ['identity', 'contact'], deletion_due_at: String });
    t.notOk(stub.categories_held.includes('source'));
    t.equal(stub.data, undefined);
    t.equal((await helpline.patch(path, { risk: 'low' }, { 'if-match': '*' })).status, 403);
    t.equal((await helpline.get(`${path}/consents`)).status, 403);
    t.equal((await support.get(`${path}/consents`)).body.data.length, 2);

    ok(await act(health, medical.id, 'accept'));
    t.match(ok(await health.get(path)).owner_agency_id, agencies.civil_society.id);
    t.match(ok(await helpline.get(`/v1/referrals/${medical.id}`)), { status: 'accepted', profile: undefined, note: undefined });
    t.match(ok(await support.get(`/v1/referrals/${medical.id}`)), { status: 'accepted', note: /CANARY-NOTE/ });
    t.equal((await act(support, medical.id, 'cancel', { reason_code: 'error' })).status, 403, 'the sender stays the sender');
    const told = async (who: Client, id: string) => (await eventsOf(services, who, id)).map(({ type }) => type);
    for (const who of [helpline, support]) {
      t.ok((await told(who, medical.id)).includes('referral.accepted'), 'sender and new owner hear of it');
      t.ok((await told(who, kase.id)).includes('case.transferred'));
    }
    t.ok((await told(as('committee'), kase.id)).includes('case.transferred'));
    t.notOk((await told(health, kase.id)).includes('case.transferred'));
    t.match(await entriesFor(as('audit_body'), `case_id=${kase.id}&action=case.transfer`), [
      { meta: { actor: { agency_id: agencies.civil_society.id } } },
    ]);

    const duties = await lookAsOwner(
      services,
      `select name, responsible_agency_id, owner_agency_id from timers where case_id = $1 and state = 'running' order by name`,
      [kase.id],
    );
    t.ok(duties.length > 0);
    for (const duty of duties) t.equal(duty.owner_agency_id, agencies.civil_society.id);
    t.match(
      duties.find(({ name }) => name === 'deletion_confirmation'),
      { responsible_agency_id: agencies.helpline_a.id },
      'who owned it has to delete it',
    );
    const unplaced = ok(
      await support.post(
        `${path}/consents`,
        consentBody({ recipient: { agency_kind: 'civil_society' }, purposes: ['legal_aid'] }),
      ),
    );
    t.ok(unplaced.id, 'the new owner records consents');
  });

  await t.test('what was written before goes over with consent to the story, another case never', async t => {
    const kase = ok(await helpline.post('/v1/cases', caseBody()));
    const other = ok(await helpline.post('/v1/cases', caseBody()));
    const path = `/v1/cases/${kase.id}`;
    const chief = as('helpline_a', 'supervisor');
    ok(await helpline.post(`${path}/consents`, consentBody(MEDICAL.consent)));
    const little = { recipient: { agency_kind: 'civil_society' }, purposes: ['case_management'], categories: ['demographics'] };
    ok(await helpline.post(`${path}/consents`, consentBody(little)));
    const requirements = { accessible: true, separate_from: [other.id] };
    const lawful_ground = { code: 'imminent_danger_to_life', legal_basis: 'CANARY-BASIS' };
    const asked = { ...MEDICAL.referral, routing: 'direct', recipient_agency_id: agencies.health.id };
    const sent = referralBody({ ...asked, requirements, lawful_ground });
    const medical = ok(await helpline.post(`${path}/referrals`, sent));
    ok(await chief.post(`${path}/close`, { reason_code: 'error' }));
    ok(await chief.post(`${path}/reopen`, { reason: 'CANARY-REASON' }));
    const handed = { service: 'case_management', routing: 'direct', categories: ['demographics'] };
    const to_support = referralBody({ ...handed, recipient_agency_id: agencies.civil_society.id });
    const transfer = ok(await helpline.post(`${path}/referrals`, to_support));
    clock.advance(1_000);
    ok(await act(support, transfer.id, 'accept'));

    const seen = async () => [ok(await support.get(path)), ok(await support.get(`/v1/referrals/${medical.id}`))];
    const [owned, referral] = await seen();
    t.equal(owned.reopenings, undefined, 'why it was reopened is told in words');
    t.strictSame(referral.requirements, { accessible: true });
    t.notMatch(JSON.stringify([owned, referral]), /CANARY/);

    ok(await support.post(`${path}/consents`, consentBody({ ...little, categories: ['demographics', 'narrative'] })));
    const [later, shown] = await seen();
    t.match(later.reopenings, [{ reason: 'CANARY-REASON' }]);
    t.match(shown, { note: /CANARY-NOTE/, lawful_ground: { legal_basis: 'CANARY-BASIS' } });
    t.strictSame(shown.requirements, { accessible: true }, 'whom to keep apart from is somebody else');
  });

  await t.test('the duties of the owner go over', async t => {
    const { medical, transfer, kase } = await start();
    ok(await act(health, medical.id, 'confirm-handover', { arrived_at: clock.now().toISOString() }));
    ok(await act(health, medical.id, 'complete', { outcome_code: 'service_provided' }));
    ok(await act(support, transfer.id, 'accept'));
    const [follow_up] = await lookAsOwner(services, `select * from timers where case_id = $1 and name = 'follow_up'`, [kase.id]);
    t.match(follow_up, { responsible_agency_id: agencies.civil_society.id, state: 'running' });
  });

  await t.test('a kind that may not learn the protection status does not learn it by owning the case', async t => {
    const { transfer, path } = await start('labour_inspection');
    const inspection = as('labour_inspection');
    ok(await act(inspection, transfer.id, 'accept'));
    const owned = ok(await inspection.get(path));
    t.strictSame(owned.withheld, NOT_COVERED);
    t.equal(owned.data.protection_status, undefined);
    const headers = { 'if-match': `"${owned.version}"` };
    t.match(await inspection.patch(path, { person: { protection_status: 'none' } }, headers), {
      status: 422,
      body: { errors: [{ pointer: '/person/protection_status' }] },
    });
    t.match(await inspection.patch(path, { dependants: [{ age: 3 }] }, headers), {
      status: 422,
      body: { errors: [{ pointer: '/dependants' }] },
    });
    ok(await inspection.patch(path, { needs: ['legal_aid'] }, headers));
    const named = {
      recipient: { agency_id: agencies.labour_inspection.id },
      purposes: ['case_management'],
      categories: ['protection_status'],
    };
    const { id } = ok(await inspection.post(`${path}/consents`, consentBody(named)));
    t.strictSame(ok(await inspection.get(path)).data.protection_status, { protection_status: 'refugee' }, 'kept as it was');
    ok(await inspection.post(`/v1/consents/${id}/withdraw`, { spoken_in_private: true }));
    t.strictSame(ok(await inspection.get(path)).withheld, NOT_COVERED);
    const brief = { ...named, expires_at: new Date(clock.now().getTime() + HOUR).toISOString() };
    ok(await inspection.post(`${path}/consents`, consentBody(brief)));
    t.notOk(ok(await inspection.get(path)).withheld.includes('protection_status'));
    clock.advance(HOUR);
    t.strictSame(ok(await inspection.get(path)).withheld, NOT_COVERED, 'what has just expired counts no more, before any job');
  });

  await t.test('an owner that may see nothing of a person any more still says how great the danger is', async t => {
    const { transfer, path } = await start();
    ok(await act(support, transfer.id, 'accept'));
    for (const { id, purposes } of ok(await support.get(`${path}/consents`)).data)
      if (purposes.includes('case_management'))
        ok(await support.post(`/v1/consents/${id}/withdraw`, { spoken_in_private: true }));
    const owned = ok(await support.get(path));
    t.strictSame(owned.data, {});
    const amended = await support.patch(path, { risk: 'immediate' }, { 'if-match': `"${owned.version}"` });
    t.match(amended, { status: 200, body: { risk: 'immediate', data: {} } });
  });

  await t.test('both walls: the database does not give the new owner the source either', async t => {
    const { transfer, kase } = await start();
    ok(await act(support, transfer.id, 'accept'));
    const seen = await services.db.transaction().execute(async tx => {
      await sql`select set_config('aman.agency_id', ${agencies.civil_society.id}, true)`.execute(tx);
      return tx.selectFrom('case_data').select('category').where('case_id', '=', kase.id).execute();
    });
    t.ok(seen.some(({ category }) => category === 'narrative'));
    t.notOk(seen.some(({ category }) => category === 'source'));
  });

  await t.test('accepted by telephone and contested: it comes back, and what else was offered is over', async t => {
    const { transfer, path } = await start();
    const other = ok(
      await helpline.post(
        `${path}/referrals`,
        referralBody({ service: 'case_management', routing: 'direct', recipient_agency_id: agencies.civil_society.id }),
      ),
    );
    const told_by = { channel: 'phone', at: clock.now().toISOString(), staff_code: 'NIGHT-7' };
    ok(await act(helpline, transfer.id, 'accept', { told_by }));
    t.equal(ok(await helpline.get(`/v1/referrals/${other.id}`)).status, 'cancelled');
    t.equal(ok(await support.get(path)).owner_agency_id, agencies.civil_society.id);

    ok(await act(support, transfer.id, 'contest', { note: 'nobody asked us' }));
    const back = ok(await helpline.get(path));
    t.equal(back.owner_agency_id, agencies.helpline_a.id);
    t.strictSame(back.withheld, []);
    t.match(back.data.source, { intake: { channel: 'hotline' } });
    t.match(ok(await support.get(path)), { data: undefined, deletion_due_at: String });
    const open = await lookAsOwner(
      services,
      `select responsible_agency_id from timers where offer_id = $1 and name = 'deletion_confirmation' and state = 'running'`,
      [transfer.offer.id],
    );
    t.strictSame(open, [{ responsible_agency_id: agencies.civil_society.id }], 'the owner has nothing to delete');
  });

  await t.test('who gave it away gives it nobody else, and who gave it on does not take it back', async t => {
    const { kase, transfer, path } = await start();
    ok(await act(support, transfer.id, 'accept'));
    ok(
      await support.post(
        `${path}/consents`,
        consentBody({ recipient: { agency_kind: 'labour_inspection' }, purposes: ['case_management'] }),
      ),
    );
    const on = referralBody({
      service: 'case_management',
      routing: 'direct',
      recipient_agency_id: agencies.labour_inspection.id,
      categories: ['narrative'],
    });
    const second = ok(await support.post(`${path}/referrals`, on));
    t.equal(ok(await helpline.get(`/v1/referrals/${transfer.id}`)).status, 'accepted');
    ok(await act(as('labour_inspection'), second.id, 'accept'));
    t.equal(ok(await helpline.get(`/v1/referrals/${transfer.id}`)).status, 'cancelled', 'what was given on is over');

    const other = await start();
    ok(await act(support, other.transfer.id, 'confirm-handover', { arrived_at: clock.now().toISOString() }));
    ok(
      await support.post(
        `${other.path}/consents`,
        consentBody({ recipient: { agency_kind: 'labour_inspection' }, purposes: ['case_management'] }),
      ),
    );
    const third = ok(await support.post(`${other.path}/referrals`, on));
    ok(await act(as('labour_inspection'), third.id, 'accept'));
    t.equal(ok(await helpline.get(`/v1/referrals/${other.transfer.id}`)).status, 'in_progress');
    t.equal(ok(await act(support, other.transfer.id, 'fail', { reason_code: 'service_ended' })).status, 'failed');
    t.equal(
      ok(await helpline.get(`/v1/referrals/${other.transfer.id}`)).status,
      'cancelled',
      'nobody else is asked in the name of a former owner',
    );
    const reroute = { agency_id: agencies.shelter_c.id, reason_code: 'better_match' };
    t.match(await act(helpline, other.transfer.id, 'reroute', reroute), { status: 409 });
    t.equal(ok(await as('labour_inspection').get(other.path)).owner_agency_id, agencies.labour_inspection.id);
    t.ok(kase.id);
  });

  await t.test('there and back: the owner has nothing to delete, and what the ground gave is taken back', async t => {
    const { transfer, path, kase } = await start();
    ok(await act(support, transfer.id, 'accept'));
    const service = `/v1/agencies/${agencies.helpline_a.id}/services/case_management`;
    await as('helpline_a', 'supervisor').put(service, SERVICE, { 'if-none-match': '*' });
    ok(
      await support.post(
        `${path}/consents`,
        consentBody({ recipient: { agency_kind: 'hotline' }, purposes: ['case_management'] }),
      ),
    );
    const back = {
      service: 'case_management',
      routing: 'direct',
      recipient_agency_id: agencies.helpline_a.id,
      categories: ['narrative'],
    };
    const returned = ok(await support.post(`${path}/referrals`, referralBody(back)));
    ok(await act(helpline, returned.id, 'accept'));
    t.strictSame(ok(await helpline.get(path)).withheld, [], 'it opened it, and sees all of it again');
    const duties = await lookAsOwner(
      services,
      `select responsible_agency_id from timers where case_id = $1 and name = 'deletion_confirmation' and state = 'running'`,
      [kase.id],
    );
    t.strictSame(duties, [{ responsible_agency_id: agencies.civil_society.id }]);

    const bare = ok(await helpline.post('/v1/cases', caseBody({ person: { ...PERSON } })));
    const danger = referralBody({
      service: 'case_management',
      routing: 'direct',
      recipient_agency_id: agencies.civil_society.id,
      categories: ['narrative', 'contact'],
      lawful_ground: { code: 'imminent_danger_to_life' },
    });
    const urgent = ok(await helpline.post(`/v1/cases/${bare.id}/referrals`, danger));
    ok(await act(support, urgent.id, 'accept'));
    const seen = ok(await support.get(`/v1/cases/${bare.id}`));
    t.strictSame(Object.keys(seen.data), ['narrative'], 'what was asked for and is there');
    ok(await as('helpline_a', 'supervisor').post(`/v1/referrals/${urgent.id}/review-ground`, { upheld: false }));
    t.strictSame(ok(await support.get(`/v1/cases/${bare.id}`)).data, {}, 'a ground that does not stand opens nothing');
  });

  await t.test('only the owner hands it over', async t => {
    const { medical, path } = await start();
    ok(await act(health, medical.id, 'accept'));
    const body = referralBody({
      service: 'case_management',
      routing: 'direct',
      recipient_agency_id: agencies.civil_society.id,
      categories: ['narrative'],
    });
    t.match(await health.post(`${path}/referrals`, body), { status: 403 });
  });
});

/** Of what consent to its case management covers: the rest stays with whoever opened the case. */
const NOT_COVERED = ['protection_status', 'labour', 'family', 'criminal_justice', 'source'];
const PERSON = { given_name: 'Testname', sex: 'female', protection_status: 'refugee' };
const SERVICE = {
  regions: [],
  sexes: [],
  min_age: null,
  max_age: null,
  accepts_dependants: true,
  languages: [],
  protection_statuses: [],
  intake_hours: null,
  location_protected: false,
  status: 'active',
  suspended_reason: null,
};
