import t from 'tap';
import type { ServiceRoute } from '../../src/core/routes.ts';
import { startTestApp } from '../support/app.ts';
import { drain } from '../support/drain.ts';
import { type Answer, type Client, mechanism } from '../support/mechanism.ts';
import { caseBody, consentBody, ok, PERSON, referralBody } from '../support/night.ts';
import { shipped } from '../support/rule-packs.ts';

/** What the law and a person's safety say of who is asked, through the service. */

type Row = Answer['body'];

const IN_DANGER = { code: 'imminent_danger_to_life' };

async function openedWith(sender: Client, more: object, grants: object[] = []): Promise<Row> {
  const kase = ok(await sender.post('/v1/cases', caseBody(more as never)));
  for (const grant of grants) ok(await sender.post(`/v1/cases/${kase.id}/consents`, consentBody(grant as never)));
  return kase;
}

const refer = (sender: Client, kase: Row, more: object): Promise<Answer> =>
  sender.post(`/v1/cases/${kase.id}/referrals`, referralBody({ categories: ['identity'], ...more } as never));

async function putRoutes(admin: Client, routes: ServiceRoute[]): Promise<Answer> {
  const pack = { ...shipped('XA'), routes };
  const before = ok(await admin.get('/v1/jurisdictions/XA/rule-pack'));
  return admin.put('/v1/jurisdictions/XA/rule-pack', pack, { 'if-match': `"${before.version}"` });
}

t.test('labour inspection never receives whoever complained', async t => {
  const it = await startTestApp(t);
  const { as, agencies } = await mechanism(it);
  const sender = as('helpline_a');
  const claim = {
    recipient: { agency_kind: 'labour_inspection' },
    purposes: ['labour_claim_wage_recovery'],
    categories: ['identity'],
  };
  const health = { recipient: { agency_kind: 'health' }, purposes: ['medical'], categories: ['identity', 'narrative'] };
  const intake = { ...caseBody().intake, complainant: true };
  const kase = await openedWith(sender, { intake }, [claim, health]);

  const asked = { service: 'labour_claim_wage_recovery', urgency: 'urgent' };
  const referral = ok(await refer(sender, kase, asked));
  t.equal(referral.status, 'unplaced', 'the router asks nobody');
  const { data } = ok(await sender.get(`/v1/referrals/${referral.id}/candidates`));
  t.strictSame(data.find((row: Row) => row.agency_id === agencies.labour_inspection.id).excluded_by, ['not_eligible']);
  const named = { ...asked, routing: 'direct', recipient_agency_id: agencies.labour_inspection.id };
  const refused = await refer(sender, kase, named);
  t.match(refused, { status: 422, body: { code: 'unprocessable', detail: 'the agency may not be asked for this person' } });
  const rerouted = await sender.post(`/v1/referrals/${referral.id}/reroute`, {
    agency_id: agencies.labour_inspection.id,
    reason_code: 'better_match',
  });
  t.match(rerouted, { status: 422 }, 'nor by a reroute');
  t.equal((await as('labour_inspection').get(`/v1/referrals/${referral.id}`)).status, 404);

  await t.test('and nobody who helps learns that the person complained', async t => {
    const medical = ok(await refer(sender, kase, { service: 'medical', categories: ['identity', 'narrative'] }));
    ok(await as('health').post(`/v1/referrals/${medical.id}/accept`, {}));
    for (const path of [`/v1/referrals/${medical.id}`, `/v1/cases/${kase.id}`, `/v1/cases/${kase.id}/timeline`])
      t.notMatch(JSON.stringify(ok(await as('health').get(path))), /complain/, path);
    t.match(ok(await sender.get(`/v1/cases/${kase.id}`)).data.source, { intake: { complainant: true } }, 'the owner wrote it');
  });

  await t.test('whoever did not complain is received', async t => {
    const other = await openedWith(sender, {}, [claim]);
    const made = ok(await refer(sender, other, asked));
    t.equal(made.offer.agency_id, agencies.labour_inspection.id);
  });

  await t.test('what turns out later counts, too', async t => {
    const other = await openedWith(sender, {}, [claim]);
    ok(await sender.patch(`/v1/cases/${other.id}`, { intake: { complainant: true } }, { 'if-match': '*' }));
    t.equal(ok(await refer(sender, other, asked)).status, 'unplaced');
    ok(await sender.patch(`/v1/cases/${other.id}`, { person: { sex: 'male' } }, { 'if-match': '*' }));
    t.equal(ok(await refer(sender, other, asked)).status, 'unplaced', 'and is not forgotten by another change');
  });

  await t.test('also what turns out after the agency was asked', async t => {
    const other = await openedWith(sender, {}, [claim]);
    const referral = ok(await refer(sender, other, asked));
    t.equal(referral.status, 'offered');
    ok(await sender.patch(`/v1/cases/${other.id}`, { intake: { complainant: true } }, { 'if-match': '*' }));
    const inspection = as('labour_inspection');
    const said = { arrived_at: it.clock.now().toISOString() };
    for (const [verb, body] of [
      ['accept', {}],
      ['confirm-handover', said],
    ] as const)
      t.match(
        await inspection.post(`/v1/referrals/${referral.id}/${verb}`, body),
        { status: 409, body: { code: 'may_not_take' } },
        verb,
      );
    t.equal(ok(await sender.get(`/v1/referrals/${referral.id}`)).status, 'offered');
    t.strictSame(ok(await sender.get(`/v1/cases/${other.id}/disclosures`)).data, [], 'nothing was let to know');
  });
});

t.test('an agency with a conflict of interest is not asked again in this case, but by name', async t => {
  const it = await startTestApp(t);
  const { as, agencies } = await mechanism(it);
  const sender = as('helpline_a');
  const society = agencies.civil_society.id;
  const purposes = ['psychosocial', 'legal_aid'];
  const grant = { recipient: { agency_kind: 'civil_society' }, purposes, categories: ['identity'] };
  const kase = await openedWith(sender, {}, [grant]);
  const first = ok(await refer(sender, kase, { service: 'psychosocial', urgency: 'urgent' }));
  t.equal(first.offer.agency_id, society);
  ok(await as('civil_society').post(`/v1/referrals/${first.id}/decline`, { reason_code: 'conflict_of_interest' }));

  const second = ok(await refer(sender, kase, { service: 'legal_aid', urgency: 'urgent' }));
  t.equal(second.status, 'unplaced');
  const { data } = ok(await sender.get(`/v1/referrals/${second.id}/candidates`));
  t.strictSame(data.find((row: Row) => row.agency_id === society).excluded_by, ['conflict_of_interest']);
  const named = ok(await refer(sender, kase, { service: 'legal_aid', routing: 'direct', recipient_agency_id: society }));
  t.equal(named.status, 'offered', 'a human may know better');
  const other = await openedWith(sender, {}, [grant]);
  t.equal(ok(await refer(sender, other, { service: 'legal_aid' })).status, 'offered', 'it is about one case');
});

t.test('legal routes of a pack', async t => {
  const it = await startTestApp(t);
  const { as, agencies } = await mechanism(it);
  const sender = as('helpline_a');
  const admin = as('committee', 'nobody');
  const placement = { service: 'victim_witness_protection', agency_kinds: ['prosecution'] } as const;
  const route: ServiceRoute = {
    service: 'shelter_accommodation',
    agency_kinds: ['shelter'],
    obligation: 'may',
    when: { under_age: 15 },
    after: placement,
    source: 'illustrative',
  };

  await t.test('a circle is refused, by pointer', async t => {
    const back: ServiceRoute = {
      ...route,
      service: 'victim_witness_protection',
      agency_kinds: ['prosecution'],
      after: { service: 'shelter_accommodation', agency_kinds: ['shelter'] },
    };
    const refused = await putRoutes(admin, [route, back]);
    t.match(refused, { status: 422, body: { code: 'unprocessable' } });
    t.strictSame(
      refused.body.errors.map(({ pointer }: Row) => pointer),
      ['/routes/0/after/service', '/routes/1/after/service'],
    );
  });

  await t.test('a child is placed only once the prosecution has decided, and then by itself', async t => {
    ok(await putRoutes(admin, [route]));
    const protection = {
      recipient: { agency_kind: 'prosecution' },
      purposes: ['victim_witness_protection'],
      categories: ['identity'],
    };
    const family = { sex: 'female', date_of_birth: '2014-01-01' };
    const guarded = { given_by: 'guardian', guardian: { relation: 'aunt', conflict: 'none' }, child_assent: true };
    const grants = [guarded, { ...guarded, ...protection }];
    const kase = await openedWith(sender, { person: { ...PERSON, ...family } }, grants);
    const shelter = ok(await refer(sender, kase, { urgency: 'urgent', categories: ['identity'] }));
    t.equal(shelter.status, 'unplaced');
    const { data } = ok(await sender.get(`/v1/referrals/${shelter.id}/candidates`));
    t.ok(data.every(({ excluded_by }: Row) => excluded_by.length > 0));

    const decision = ok(await refer(sender, kase, { service: 'victim_witness_protection', urgency: 'urgent' }));
    const prosecution = as('prosecution');
    ok(await prosecution.post(`/v1/referrals/${decision.id}/accept`, {}));
    ok(await prosecution.post(`/v1/referrals/${decision.id}/confirm-handover`, { arrived_at: it.services.now().toISOString() }));
    ok(await prosecution.post(`/v1/referrals/${decision.id}/complete`, { outcome_code: 'service_provided' }));
    await drain(it.services);
    t.equal(ok(await sender.get(`/v1/referrals/${shelter.id}`)).status, 'offered');
  });

  await t.test('in an emergency nobody waits for a paper', async t => {
    const kase = await openedWith(sender, { person: { ...PERSON, date_of_birth: '2014-01-01' } });
    const placed = ok(await refer(sender, kase, { lawful_ground: IN_DANGER }));
    t.equal(placed.status, 'offered');
  });

  await t.test('a kind that no route names is asked by name alone', async t => {
    ok(await putRoutes(admin, [{ ...route, service: 'medical', agency_kinds: ['civil_society'], when: {}, after: placement }]));
    const kase = await openedWith(sender, {});
    const medical = { service: 'medical', urgency: 'urgent', lawful_ground: IN_DANGER };
    t.equal(ok(await refer(sender, kase, medical)).status, 'unplaced');
    const named = ok(await refer(sender, kase, { ...medical, routing: 'direct', recipient_agency_id: agencies.health.id }));
    t.equal(named.status, 'offered');
  });
});

t.test('a pack that says nothing of routing has the illustrative one’s', async t => {
  const it = await startTestApp(t);
  const { as } = await mechanism(it);
  const admin = as('committee', 'nobody');
  const { routing: _, firewalls: __, ...silent } = shipped('XA');
  const put = await admin.put('/v1/jurisdictions/XA/rule-pack', silent, { 'if-match': '*' });
  t.match(put, { status: 200, body: { routing: shipped('XA').routing, firewalls: shipped('XA').firewalls } });
  const heavy = { ...shipped('XA').routing, points: { ...shipped('XA').routing.points, language: 101 }, stale_after: 'P1M' };
  const version = { 'if-match': '*' };
  const refused = await admin.put('/v1/jurisdictions/XA/rule-pack', { ...silent, routing: heavy }, version);
  t.equal(refused.status, 400, 'a weight beyond what the shape allows');
  const unclear = { ...heavy, points: shipped('XA').routing.points };
  const faulty = await admin.put('/v1/jurisdictions/XA/rule-pack', { ...silent, routing: unclear }, version);
  t.match(faulty, { status: 422, body: { errors: [{ pointer: '/routing/stale_after' }] } });
});

t.test('what the sender asks of a place', async t => {
  const it = await startTestApp(t);
  const { as } = await mechanism(it);
  const sender = as('helpline_a');
  const kase = await openedWith(sender, {}, [{}]);
  const requirements = { specialities: ['trauma'], accessible: true };
  const made = ok(await refer(sender, kase, { requirements }));
  t.match(made.requirements, requirements);
  const wrong = await refer(sender, kase, { requirements: { specialities: ['Not A Code'] } });
  t.match(wrong, { status: 400, body: { errors: [{ pointer: '/requirements/specialities/0' }] } });
});
