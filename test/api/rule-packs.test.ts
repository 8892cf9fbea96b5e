import { test } from 'tap';
import { systemActor } from '../../src/core/access.ts';
import type { RulePack } from '../../src/core/rule-pack.ts';
import { transact } from '../../src/platform/database.ts';
import { insertRulePack } from '../../src/rules/store.ts';
import { startTestApp } from '../support/app.ts';
import { clinic, MINUTE } from '../support/journey.ts';
import { mechanism } from '../support/mechanism.ts';
import { caseBody, consentBody, ok, referralBody } from '../support/night.ts';
import { shipped, withPolicy } from '../support/rule-packs.ts';
import { entriesOf, lookAsOwner } from '../support/trail.ts';

const FIRST = { 'if-none-match': '*' };
const pathOf = (code: string) => `/v1/jurisdictions/${code}/rule-pack`;

test('a country puts its pack, changes it, and everybody reads it', async t => {
  const it = await startTestApp(t);
  const { as, agencies } = await mechanism(it);
  const admin = as('committee', 'nobody');
  const reader = as('audit_body', 'nobody', ['figures.read']);
  const pack = shipped('JO');

  t.match(await admin.put(pathOf('JO'), pack, { 'if-match': '"1"' }), { status: 412, body: { code: 'precondition_failed' } });
  t.match(await admin.put(pathOf('JO'), pack, { 'if-match': '*' }), { status: 412 }, 'there is nothing yet');
  const made = await admin.put(pathOf('JO'), pack, FIRST);
  t.match(made, {
    status: 201,
    headers: { location: pathOf('JO'), etag: '"1"', 'audit-receipt': /^[0-9a-f]{64}$/ },
    body: { version: 1, created_at: it.clock.now().toISOString() },
  });
  const { version: _, created_at: __, ...document } = made.body;
  t.strictSame(document, pack, 'as it was said');
  t.match(await admin.get(`/v1/calendars/${pack.calendar_id}`), { status: 200, body: { ...pack.calendars[0], version: 1 } });

  t.match(await admin.put(pathOf('JO'), pack, FIRST), { status: 412 });
  t.match(await admin.put(pathOf('JO'), pack), { status: 428, body: { code: 'precondition_required' } });
  it.clock.advance(MINUTE);
  const read = await reader.get(pathOf('JO'));
  t.match(read, { status: 200, headers: { etag: '"1"' } });
  t.strictSame(read.body, made.body);
  const edited = { ...read.body, name: 'jordan-2027' };
  t.match(await admin.put(pathOf('JO'), { ...edited, version: 7 }, { 'if-match': '"1"' }), {
    status: 422,
    body: { errors: [{ pointer: '/version' }] },
  });
  t.match(await admin.put(pathOf('JO'), edited, { 'if-match': '"1"' }), {
    status: 200,
    headers: { etag: '"2"', location: undefined },
    body: { name: 'jordan-2027', version: 2, created_at: it.clock.now().toISOString() },
  });
  t.match(await admin.put(pathOf('JO'), edited, { 'if-match': '"1"' }), { status: 412 });
  const { version: ___, created_at: ____, ...plain } = edited;
  t.match(await admin.put(pathOf('JO'), plain, { 'if-match': '"2"' }), { status: 200, body: { version: 3 } });

  const put = { outcome: 'done', caseworker: null, agency_id: agencies.committee.id };
  t.match(await entriesOf(it.services, 'rule_pack.put'), [put, put, put]);
  t.match(await entriesOf(it.services, 'rule_pack.read'), [{ outcome: 'read', agency_id: agencies.audit_body.id }]);
});

test('a jurisdiction without a pack has the illustrative one, and may begin with it', async t => {
  const it = await startTestApp(t);
  const { as } = await mechanism(it);
  const admin = as('committee', 'nobody');
  const read = await as('helpline_a', 'nobody').get(pathOf('KW'));
  t.match(read, {
    status: 200,
    headers: { etag: '"0"' },
    body: { jurisdiction: 'KW', name: 'illustrative', version: 0, created_at: null },
  });
  t.match(await admin.put(pathOf('KW'), { ...read.body, name: 'kuwait' }, { 'if-match': '"0"' }), {
    status: 201,
    body: { name: 'kuwait', version: 1 },
  });
  t.match(await admin.put(pathOf('OM'), { ...read.body, jurisdiction: 'OM' }, FIRST), { status: 201 });
  t.match(await admin.get(pathOf('EG-C')), { status: 200, body: { jurisdiction: 'EG-C' } }, 'a region may have its own');
  for (const code of ['Egypt', 'eg', 'E', 'EG-'])
    t.match(await admin.get(pathOf(code)), { status: 400, body: { errors: [{ pointer: 'params:code' }] } }, code);
  t.match(await admin.get(pathOf('XB')), { status: 200, body: { name: 'demonstration-fast', version: 1 } });
});

test('what is wrong is told, all of it, and changes nothing', async t => {
  const it = await startTestApp(t);
  const { as } = await mechanism(it);
  const admin = as('committee', 'nobody');
  const pack = shipped('EG');
  const at = (name: string) => pack.policies.findIndex(policy => policy.name === name);
  const pointers = (body: { errors: { pointer: string }[] }) => body.errors.map(({ pointer }) => pointer);
  const lookAtAll = () =>
    lookAsOwner(it.services, 'select (select count(*) from rule_packs) as packs, (select count(*) from calendars) as calendars');
  const before = await lookAtAll();

  const emergency = { clock: 'working_days', duration: 'P1D' } as const;
  const wrong = withPolicy(withPolicy(pack, 'handover', emergency), 'conclusive_decision', { duration: 'PT24H' });
  const refused = await admin.put(pathOf('EG'), { ...wrong, jurisdiction: 'SA', calendar_id: shipped('SA').calendar_id }, FIRST);
  t.match(refused, { status: 422, body: { code: 'unprocessable' } });
  t.strictSame(
    pointers(refused.body).sort(),
    [
      '/calendar_id',
      '/jurisdiction',
      `/policies/${at('conclusive_decision')}/duration`,
      `/policies/${at('handover')}/clock`,
    ].sort(),
  );

  const shapes: [string, object, string][] = [
    ['an unknown member', { ...pack, colour: 'red' }, '/colour'],
    ['an unknown clock', withPolicy(pack, 'handover', { clock: 'lunar' as 'elapsed' }), `/policies/${at('handover')}/clock`],
    ['no source', { ...pack, outage_grace: { duration: 'PT10M' } }, '/outage_grace/source'],
    ['a calendar that is none', { ...pack, calendars: [{ id: pack.calendar_id }] }, '/calendars/0/name'],
    ['a language that is none', { ...pack, stages: [{ ...pack.stages[0], names: { '1': 'x' } }] }, '/stages/0/names/1'],
  ];
  for (const [name, body, pointer] of shapes) {
    const answer = await admin.put(pathOf('EG'), body, FIRST);
    t.match(answer, { status: 400, body: { code: 'invalid_request' } }, name);
    t.ok(pointers(answer.body).includes(pointer), `${name}: ${pointers(answer.body)}`);
  }
  t.strictSame(await lookAtAll(), before);
});

test('a pack changes no calendar', async t => {
  const it = await startTestApp(t);
  const { as } = await mechanism(it);
  const admin = as('committee', 'nobody');
  const pack = shipped('TR');
  const [calendar] = pack.calendars as [RulePack['calendars'][number]];
  const changed = { ...calendar, name: 'Ankara' };
  ok(await admin.put(pathOf('TR'), pack, FIRST));
  const other = await admin.put(pathOf('TR'), { ...pack, calendars: [changed] }, { 'if-match': '"1"' });
  t.match(other, {
    status: 422,
    body: { errors: [{ pointer: '/calendars/0', detail: `differs from version 1; change it at /v1/calendars/${calendar.id}` }] },
  });

  const { id, ...body } = changed;
  ok(await admin.put(`/v1/calendars/${id}`, body, { 'if-match': '"1"' }));
  const read = await admin.get(pathOf('TR'));
  t.match(read.body, { version: 1, calendars: [changed] }, 'as it now stands');
  t.match(await admin.put(pathOf('TR'), pack, { 'if-match': '"1"' }), {
    status: 422,
    body: { errors: [{ pointer: '/calendars/0', detail: /differs from version 2/ }] },
  });
  t.match(await admin.put(pathOf('TR'), read.body, { 'if-match': '"1"' }), { status: 200, body: { version: 2 } });
  const named = { ...pack, calendars: [], jurisdiction: 'TR-34' };
  t.match(await admin.put(pathOf('TR-34'), named, FIRST), { status: 201, body: { calendars: [] } }, 'named, not held');
});

test('administrators put, and the database says so too', async t => {
  const it = await startTestApp(t);
  const { as, agencies } = await mechanism(it);
  const pack = shipped('IQ');
  for (const key of ['health', 'prosecution', 'audit_body'] as const)
    t.match(await as(key, 'supervisor').put(pathOf('IQ'), pack, FIRST), { status: 403, body: { code: 'insufficient_scope' } });
  t.match(await as('committee', 'supervisor', ['directory', 'clocks']).put(pathOf('IQ'), pack, FIRST), { status: 403 });
  for (const method of ['GET', 'PUT'] as const) t.equal((await it.app.inject({ method, url: pathOf('IQ') })).statusCode, 401);
  t.match(
    (await entriesOf(it.services, 'rule_pack.put')).filter(({ code }) => code === 'insufficient_scope'),
    [{ outcome: 'denied', agency_id: agencies.health.id }, {}, {}, {}],
  );

  const unlawful = { ...shipped('XA'), jurisdiction: 'XC' };
  await t.rejects(
    transact(it.services, systemActor('router'), tx => insertRulePack(tx, unlawful, 1, it.services.now())),
    { code: '42501' },
    'its calendar stands: it is the pack that is refused',
  );
  const unsound = withPolicy(pack, 'handover', { duration: 'PT0S' });
  await t.rejects(
    transact(it.services, systemActor('setup'), tx => insertRulePack(tx, unsound, 1, it.services.now())),
    { name: 'RangeError' },
  );
});

test('of several at once one is the first', async t => {
  const it = await startTestApp(t);
  const { as } = await mechanism(it);
  const admin = as('committee', 'nobody');
  const answers = await Promise.all(Array.from({ length: 5 }, () => admin.put(pathOf('LB'), shipped('LB'), FIRST)));
  t.strictSame(answers.map(({ status }) => status).sort(), [201, 412, 412, 412, 412]);
});

test('what starts follows the new pack, what runs keeps its own', async t => {
  const it = await startTestApp(t);
  const them = await mechanism(it);
  const { as } = them;
  const { ask, sender } = clinic(them);
  const admin = as('committee', 'nobody');
  const respond = async () => {
    const { referral } = await ask({ urgency: 'urgent' });
    return referral.id as string;
  };
  const ruleOf = async (id: string) => ok(await sender.get(`/v1/timers?referral_id=${id}&name=respond`)).data[0];
  const before = await respond();
  const read = await admin.get(pathOf('XA'));
  const urgent = (read.body as RulePack).policies.map(policy =>
    policy.name === 'respond' && policy.applies_to.urgency === 'urgent' ? { ...policy, duration: 'PT12H' } : policy,
  );
  ok(await admin.put(pathOf('XA'), { ...read.body, policies: urgent }, { 'if-match': '"1"' }));
  const after = await respond();
  const now = it.clock.now().getTime();
  const hours = ({ due_at }: { due_at: string }) => Math.round((Date.parse(due_at) - now) / (60 * MINUTE));
  t.match(await ruleOf(before), { rule: { pack: 'illustrative', version: 1 } });
  t.equal(hours(await ruleOf(before)), 24);
  t.match(await ruleOf(after), { rule: { pack: 'illustrative', version: 2, source: 'illustrative' } });
  t.equal(hours(await ruleOf(after)), 12);
});

test('the stage of a case chooses the clocks of its referrals, too', async t => {
  const it = await startTestApp(t);
  const them = await mechanism(it);
  const { ask, sender, receiver } = clinic(them);
  const admin = them.as('committee', 'nobody');
  const { body: read } = await admin.get(pathOf('XA'));
  const { policies } = read as RulePack;
  const at_first = ['acknowledge', 'handover'].map(name => {
    const policy = policies.find(it => it.name === name && (it.applies_to.urgency ?? 'urgent') === 'urgent')!;
    return { ...policy, applies_to: { ...policy.applies_to, stage: 'reported' as const }, source: `${name}, reported` };
  });
  ok(await admin.put(pathOf('XA'), { ...read, policies: [...policies, ...at_first] }, { 'if-match': '"1"' }));
  const { referral } = await ask({ urgency: 'urgent' });
  for (const verb of ['receive', 'accept']) ok(await receiver.post(`/v1/referrals/${referral.id}/${verb}`, {}));
  const { data } = ok(await sender.get(`/v1/timers?referral_id=${referral.id}`));
  t.strictSame(
    data.map(({ name, rule }: { name: string; rule: { source: string } }) => [name, rule.source]).sort(),
    [
      ['acknowledge', 'acknowledge, reported'],
      ['handover', 'handover, reported'],
      ['respond', 'illustrative'],
    ],
    'when it is made, and later',
  );
});

test('a case runs along the calendar of its country', async t => {
  const it = await startTestApp(t);
  const { as, agencies } = await mechanism(it);
  const admin = as('committee', 'nobody');
  ok(await admin.put(pathOf('GB'), shipped('GB'), FIRST));
  for (const key of ['helpline_a', 'health'] as const)
    ok(
      await admin.patch(
        `/v1/agencies/${agencies[key].id}`,
        { jurisdictions: ['XA', 'XB', 'GB'], regions: [] },
        { 'if-match': '"1"' },
      ),
    );
  ok(await as('health', 'supervisor').put(`/v1/agencies/${agencies.health.id}/services/medical`, {}, { 'if-match': '"1"' }));
  const sender = as('helpline_a');
  const kase = ok(await sender.post('/v1/cases', caseBody({ jurisdiction: 'GB', region: undefined, needs: ['medical'] })));
  ok(
    await sender.post(
      `/v1/cases/${kase.id}/consents`,
      consentBody({ recipient: { agency_kind: 'health' }, purposes: ['medical'], categories: ['identity'] }),
    ),
  );
  const direct = { service: 'medical', urgency: 'routine', routing: 'direct', recipient_agency_id: agencies.health.id };
  const referral = ok(await sender.post(`/v1/cases/${kase.id}/referrals`, referralBody({ ...direct, categories: ['identity'] })));
  const [timer] = ok(await sender.get(`/v1/timers?referral_id=${referral.id}&name=acknowledge`)).data;
  t.match(timer, { clock: 'working_days', due_at: '2026-11-23T17:00:00.000Z', rule: { pack: 'united-kingdom', version: 1 } });
});

test('a pack that an earlier version wrote is read as it is written now', async t => {
  const it = await startTestApp(t);
  const { as } = await mechanism(it);
  const { name, kind, duration, warn_at, escalate, source } = shipped('XA').policies[0]!;
  const policy = { name, applies_to: {}, kind, clock: 'elapsed', duration, warn_at, escalate, source, on_breach: 'expire_offer' };
  const document = { jurisdiction: 'XO', name: 'old', version: 4, policies: [policy], outage_grace: 'PT5M' };
  await lookAsOwner(it.services, "insert into rule_packs values ('XO', 4, $1, now())", [JSON.stringify(document)]);
  const { status, body } = await as('health').get(pathOf('XO'));
  t.match({ status, ...body }, { status: 200, jurisdiction: 'XO', name: 'old', version: 4, outage_grace: { duration: 'PT5M' } });
  t.match(body.policies, [{ name, on_breach: ['expire_offer'], calendar: 'jurisdiction' }]);
  t.strictSame(body.calendars, shipped('XA').calendars);
});
