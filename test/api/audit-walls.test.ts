import pg from 'pg';
import t from 'tap';
import { type AgencyActor, systemActor } from '../../src/core/access.ts';
import { transact } from '../../src/platform/database.ts';
import { newId } from '../../src/platform/ids.ts';
import { drain } from '../support/drain.ts';
import { actions, type Entry, entriesFor, everyEntry, faultsOf, startTrail } from '../support/entries.ts';
import type { Client } from '../support/mechanism.ts';
import { ok, referralBody } from '../support/night.ts';
import { lookAsOwner } from '../support/trail.ts';
import { demoActors } from '../support/webhooks.ts';

t.test('an agency sees its own acts, the audit body all', async t => {
  const { as, auditorOf, agencies, body, services, kase, referral, clock } = await startTrail(t);
  clock.advance(16 * 60_000);
  await drain(services);
  const whole = await everyEntry(body);
  const own = await everyEntry(auditorOf('helpline_a'));
  t.ok(own.length > 0);
  t.ok(whole.length > own.length);
  t.same(
    [...new Set(own.map(({ meta }) => meta.actor.agency_id))],
    [agencies.helpline_a.id],
    'not what the service did by itself',
  );
  t.same(own.flatMap(faultsOf), []);
  t.ok(
    own.filter(({ meta }) => meta.action === 'case.open').every(({ subjects }) => subjects[0]!.record!.subject_id === kase.id),
  );

  const shelter = auditorOf('shelter_c');
  t.same(actions(await everyEntry(shelter, `agency_id=${agencies.helpline_a.id}`)), []);
  t.same(actions(await everyEntry(shelter, `case_id=${kase.id}`)), []);
  t.same(actions(await everyEntry(auditorOf('helpline_a'), 'client_id=system:clock')), []);

  const actors = await demoActors(services);
  const look = (actor: AgencyActor) =>
    transact(services, actor, async tx => ({
      records: await tx.selectFrom('audit_records').select('agency_id').distinct().execute(),
      subjects: await tx.selectFrom('audit_subjects').select('reader_agency_id').distinct().execute(),
    }));
  t.same(await look(actors.helpline_a), {
    records: [{ agency_id: agencies.helpline_a.id }],
    subjects: [{ reader_agency_id: agencies.helpline_a.id }],
  });
  t.ok((await look(actors.audit_body)).records.length > 2, 'the second wall says the same');
  for (const role of ['trail', 'router', 'clock', 'relay'] as const) {
    const rows = await transact(services, systemActor(role), tx => tx.selectFrom('audit_records').select('number').execute());
    t.same(rows, [], `${role} reads no trail`);
  }

  await as('health').get(`/v1/cases/${kase.id}`);
  for (const table of ['audit_log', 'audit_subjects', 'audit_subject_referrals']) {
    await lookAsOwner(services, `create policy breached on ${table} for select using (true)`);
  }
  t.ok((await look(actors.health)).records.length > 2, 'with the second wall down');
  const left = await everyEntry(auditorOf('health'));
  t.same([...new Set(left.map(({ meta }) => meta.actor.agency_id))], [agencies.health.id], 'the first one stands');
  t.notOk(left.some(({ subjects }) => subjects.some(({ record }) => record)));
  t.same(await everyEntry(auditorOf('health'), `case_id=${kase.id}`), []);
  t.same(await everyEntry(auditorOf('health'), `referral_id=${referral.id}`), []);
});

t.test('absent and forbidden are one to the agency, by entry, filter and effort', async t => {
  const { as, auditorOf, body, kase, consent, referral } = await startTrail(t);
  const outsider = as('health');
  const lame = as('health', 'worker', ['cases.read', 'referrals.read']);
  const auditor = auditorOf('health');
  const attempts: [name: string, named: string, attempt: (client: Client, id: string) => Promise<{ status: number }>][] = [
    ['case.read', kase.id, (client, id) => client.get(`/v1/cases/${id}`)],
    ['case.amend', kase.id, (client, id) => client.patch(`/v1/cases/${id}`, { risk: 'low' }, { 'if-match': '"1"' })],
    ['referral.make', kase.id, (client, id) => client.post(`/v1/cases/${id}/referrals`, referralBody())],
    ['referral.read', referral.id, (client, id) => client.get(`/v1/referrals/${id}`)],
    ['referral.accept', referral.id, (client, id) => client.post(`/v1/referrals/${id}/accept`, {})],
    ['consent.withdraw', consent.id, (client, id) => client.post(`/v1/consents/${id}/withdraw`, { spoken_in_private: true })],
    ['no scope', referral.id, (_, id) => lame.post(`/v1/referrals/${id}/accept`, {})],
    ['nobody', kase.id, (client, id) => client.get(`/v1/cases/${id}`, { 'acting-caseworker': 'NOBODY' })],
  ];
  for (const [name, named, attempt] of attempts) {
    const absent = newId(named.slice(0, 3) as 'cas');
    await attempt(outsider, newId(named.slice(0, 3) as 'cas')); // connections are warm
    const [forbidden_statements, forbidden_answer] = await watched(() => attempt(outsider, named));
    const [absent_statements, absent_answer] = await watched(() => attempt(outsider, absent));
    t.match(absent_answer.status, ['no scope', 'nobody'].includes(name) ? 403 : 404, name);
    t.equal(forbidden_answer.status, absent_answer.status);
    t.ok(forbidden_statements.some(text => text.includes('audit_pending')));
    t.same(forbidden_statements, absent_statements, `${name}: the same statements`);

    const [of_absent, of_forbidden] = (await entriesFor(auditor, 'outcome=denied')) as [Entry, Entry];
    t.same(masked(of_absent), masked(of_forbidden), `${name}: the same entry`);
    t.equal(JSON.stringify({ ...of_absent, index: 0 }).length, JSON.stringify({ ...of_forbidden, index: 0 }).length);
    if (absent_answer.status === 404) t.equal(of_absent.meta.code, 'not_visible');
    t.same([of_absent, of_forbidden].flatMap(faultsOf), [], 'which proves itself all the same');
    t.same(of_forbidden.subjects.map(Object.keys), [['commit']], 'and names nothing');

    const [whole_absent, whole_forbidden] = (await entriesFor(body, `agency_id=${outsider.agency.id}&outcome=denied`)) as [
      Entry,
      Entry,
    ];
    t.same([whole_absent.entry, whole_forbidden.entry], [of_absent.entry, of_forbidden.entry]);
    const part = { ref: 'referral_id', cns: 'resource_id', cas: 'subject_id' }[named.slice(0, 3)]!;
    t.match(whole_forbidden.subjects, [{ record: { subject_id: kase.id, [part]: named } }], 'the audit body is told');
    t.match(whole_absent.subjects, [{ record: { subject_id: absent, exists: false } }]);
  }

  for (const query of [
    `case_id=${kase.id}`,
    `referral_id=${referral.id}`,
    `case_id=${newId('cas')}`,
    `referral_id=${newId('ref')}`,
  ]) {
    t.same(await everyEntry(auditor, query), [], `nothing is found by ${query.slice(0, 14)}`);
  }
  const found = await everyEntry(body, `case_id=${kase.id}&agency_id=${outsider.agency.id}&outcome=denied`);
  t.equal(found.length, attempts.length, 'the audit body finds every attempt by its case');
  t.equal((await everyEntry(body, `referral_id=${referral.id}&outcome=denied`)).length, 3);

  // What is refused to somebody who may see the thing names it to its auditors.
  ok(await as('helpline_a').get(`/v1/cases/${kase.id}`));
  t.equal((await as('helpline_a').post(`/v1/cases/${kase.id}/close`, { reason_code: 'needs_met' })).status, 403);
  t.match(await entriesFor(auditorOf('helpline_a'), `case_id=${kase.id}&outcome=denied`), [
    { meta: { code: 'forbidden' }, subjects: [{ record: { subject_id: kase.id } }] },
  ]);
});

/** Without what is random, or of the moment. */
const masked = ({
  index: _0,
  entry_id: _1,
  entry: _2,
  receipt: _3,
  salt_meta: _4,
  salt_personal: _5,
  subjects,
  meta,
  ...rest
}: Entry) => ({
  ...rest,
  meta: { ...meta, at: '', request_id: '' },
  subjects: subjects.map(({ commit: _, ...subject }) => subject),
});

/** What `work` said to the database, parameters aside. */
async function watched<T>(work: () => Promise<T>): Promise<[statements: string[], result: T]> {
  const statements: string[] = [];
  const query = pg.Client.prototype.query as (...args: unknown[]) => unknown;
  Object.assign(pg.Client.prototype, {
    query(this: unknown, ...args: unknown[]) {
      const [config] = args as [string | { text: string }];
      statements.push(typeof config === 'string' ? config : config.text);
      return query.apply(this, args);
    },
  });
  try {
    const result = await work();
    return [statements, result];
  } finally {
    Object.assign(pg.Client.prototype, { query });
  }
}

t.test('who asked is in the trail, and not what exists', async t => {
  const { auditorOf, body, kase, referral, services } = await startTrail(t);
  const auditor = auditorOf('health');
  const absent = newId('cas');
  const queries = [
    `case_id=${kase.id}`,
    `case_id=${absent}`,
    `case_id=${kase.id}&referral_id=${referral.id}`,
    `report_id=${newId('rpt')}`,
    '',
  ];
  for (const query of queries) ok(await auditor.get(`/v1/audit/entries?${query}`));

  const own = await entriesFor(auditor, 'action=audit.query&order=oldest');
  t.same(
    own.map(({ meta }) => [meta.outcome, meta.resource_type, meta.subjects]),
    [1, 1, 2, 1, 0].map(count => ['read', 'audit', count]),
  );
  t.same(masked(own[0]!), masked(own[1]!));
  t.ok(own.every(({ subjects }) => subjects.every(({ record }) => !record)));
  t.same(own.flatMap(faultsOf), []);

  const whole = await entriesFor(body, `action=audit.query&case_id=${kase.id}&order=oldest`);
  t.same(
    whole.map(({ meta }) => meta.subjects),
    [1, 2],
  );
  t.match(whole[0], { meta: { actor: { agency_id: auditor.agency.id, caseworker: auditor.agency.caseworkers[1].staff_code } } });
  t.match(whole[0]!.subjects, [{ record: { subject_id: kase.id } }]);
  t.match(await entriesFor(body, `action=audit.query&case_id=${absent}`), [{ subjects: [{ record: { exists: false } }] }]);

  // Without its entry there is no answer.
  await lookAsOwner(
    services,
    `
    create function refuse() returns trigger language plpgsql as $$ begin raise exception 'full'; end $$;
    create trigger refuse before insert on audit_pending for each row execute function refuse()`,
  );
  const refused = await body.get(`/v1/audit/entries?case_id=${kase.id}`);
  t.match(refused, { status: 503, body: { code: 'service_unavailable' } });
  t.notOk(refused.body.data);
});
