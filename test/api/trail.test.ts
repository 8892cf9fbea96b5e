import { symbols } from 'pino';
import t from 'tap';
import { buildApi } from '../../src/api.ts';
import { newId } from '../../src/platform/ids.ts';
import type { Services } from '../../src/services.ts';
import { openTestServices, sequencerOf, startTestApp } from '../support/app.ts';
import { everyRow, noCanaries } from '../support/canaries.ts';
import { drain } from '../support/drain.ts';
import { entriesFor, startTrail } from '../support/entries.ts';
import { NONE } from '../support/journey.ts';
import { type Answer, answerOf, mechanism } from '../support/mechanism.ts';
import { caseBody, consentBody, ok, PERSON, referralBody, startNight } from '../support/night.ts';
import { entriesOf, lookAsOwner } from '../support/trail.ts';

const count = async (services: Services, table: string): Promise<number> =>
  (await lookAsOwner<{ n: number }>(services, `select count(*)::int as n from ${table}`))[0]!.n;

t.test('an entry is written in the transaction of its act, a refusal in one of its own', async t => {
  const { as, services, kase, referral } = await startTrail(t);
  const written = (action: string) =>
    lookAsOwner<{ xmin: string }>(services, 'select xmin::text from audit_pending where action = $1 order by number', [action]);
  const of = (table: string, id: string) =>
    lookAsOwner<{ xmin: string }>(services, `select xmin::text from ${table} where id = $1`, [id]);
  t.same(await written('case.open'), await of('cases', kase.id));
  t.same(await written('referral.make'), await of('referrals', referral.id));
  t.same(await written('referral.make'), await written('referral.offer'), 'what follows from an act is part of it');

  const refused = await as('helpline_a').post(`/v1/referrals/${referral.id}/provide-information`, {
    answers: ['none was asked for'],
  });
  t.match(refused, { status: 409, body: { code: 'wrong_state' } });
  t.match(
    await entriesOf(services, 'referral.provide_information'),
    [{ outcome: 'denied', code: 'wrong_state' }],
    'and no `done`',
  );
});

t.test('without its entry nothing is done, shown or refused', async t => {
  const { as, services, kase, referral, app, agencies } = await startTrail(t);
  const helpline = as('helpline_a');
  const tables = [
    'cases',
    'case_data',
    'case_data_history',
    'consents',
    'referrals',
    'offers',
    'timers',
    'events',
    'idempotency_keys',
    'audit_pending',
    'audit_subjects',
  ];
  const state = async () => {
    const counts = await Promise.all(tables.map(table => count(services, table)));
    return [
      counts,
      await lookAsOwner(
        services,
        'select stage, risk, version from cases union all select status, urgency, version from referrals',
      ),
    ];
  };
  const before = await state();
  for (const table of ['audit_subjects', 'audit_pending']) {
    await lookAsOwner(
      services,
      `
      create or replace function refuse() returns trigger language plpgsql as $$ begin raise exception 'CANARY-DISK full'; end $$;
      create trigger refuse before insert on ${table} for each row execute function refuse()`,
    );
    const answers: Record<string, Answer> = {
      'an act': await helpline.post('/v1/cases', caseBody()),
      'an act with a key': await helpline.post('/v1/cases', caseBody(), { 'idempotency-key': `k-${table}` }),
      'a change': await helpline.patch(`/v1/cases/${kase.id}`, { risk: 'low' }, { 'if-match': '*' }),
      'an act with consequences': await helpline.post(`/v1/referrals/${referral.id}/cancel`, { reason_code: 'error' }),
      'a read': await helpline.get(`/v1/cases/${kase.id}`),
      'a list': await helpline.get('/v1/cases'),
      'an inbox': await helpline.get('/v1/referrals'),
      'the clocks': await helpline.get('/v1/timers'),
      'a refusal of the absent': await helpline.get(`/v1/cases/${newId('cas')}`),
      'a refusal of the forbidden': await as('health').get(`/v1/cases/${kase.id}`),
      'a refusal by role': await helpline.post(`/v1/cases/${kase.id}/close`, { reason_code: 'needs_met' }),
    };
    if (table !== 'audit_subjects') {
      const { client_id, client_secret } = agencies.health;
      answers['a token'] = answerOf(
        await app.inject({
          method: 'POST',
          url: '/oauth/token',
          headers: { 'content-type': 'application/x-www-form-urlencoded' },
          payload: new URLSearchParams({ grant_type: 'client_credentials', client_id, client_secret }).toString(),
        }),
      );
    }
    for (const [what, { status, headers, body }] of Object.entries(answers)) {
      t.match({ status, body }, { status: 503, body: { code: 'service_unavailable' } }, `${table}: ${what}`);
      t.same(Object.keys(body).sort(), ['code', 'request_id', 'status', 'title', 'type'], 'says nothing else');
      t.ok(headers['retry-after']);
      t.notOk(headers['audit-receipt'] ?? headers.etag ?? headers.location);
    }
    await lookAsOwner(services, `drop trigger refuse on ${table}`);
  }
  t.same(await state(), before, 'and nothing has changed');
  t.equal((await helpline.get(`/v1/cases/${kase.id}`)).status, 200);
  t.equal(
    (await helpline.post('/v1/cases', caseBody(), { 'idempotency-key': 'k-audit_records' })).status,
    201,
    'the key is not used up',
  );
});

t.test('reads are recorded with what they showed', async t => {
  const { as, auditorOf, kase, referral } = await startTrail(t);
  const helpline = as('helpline_a');
  const second = await startNight(helpline, { kase: { risk: 'low' } });
  const closed = ok(await helpline.post('/v1/cases', caseBody({ risk: 'medium' })));
  const latest = async () => (await entriesFor(auditorOf('helpline_a'), 'outcome=read'))[0]!;
  const ids = async (name: string) =>
    (await latest()).subjects.flatMap(({ record }) => record![name] ?? record!.subject_id).sort();

  ok(await helpline.get('/v1/cases'));
  t.same(await ids('subject_id'), [kase.id, second.kase.id, closed.id].sort());
  ok(await helpline.get('/v1/cases?limit=1'));
  t.same(await ids('subject_id'), [closed.id], 'not the row that was only looked at for the cursor');
  ok(await helpline.get('/v1/cases?risk=low'));
  t.same(await ids('subject_id'), [second.kase.id]);
  ok(await helpline.get('/v1/cases?reference=ABCD'));
  t.match(await latest(), { meta: { action: 'case.list', subjects: 0 }, subjects: NONE }, 'an empty list too');
  ok(await helpline.get('/v1/referrals'));
  t.same(await ids('referral_ids'), [referral.id, second.referral.id].sort());
  ok(await helpline.get(`/v1/referrals/${referral.id}`));
  t.match(await latest(), {
    meta: { action: 'referral.read' },
    subjects: [{ record: { subject_id: kase.id, referral_id: referral.id } }],
  });
  ok(await helpline.get(`/v1/cases/${kase.id}/consents`));
  t.match(await latest(), { meta: { action: 'consent.list' }, subjects: [{ record: { subject_id: kase.id } }] });
  ok(await helpline.get('/v1/timers'));
  // Every case has clocks of its own.
  t.match(await latest(), { meta: { action: 'timer.list', subjects: 3 } });
});

t.test('403, 404 and 409 leave an entry, other refusals none', async t => {
  const { as, services, kase, referral, consent } = await startTrail(t);
  const helpline = as('helpline_a');
  const supervisor = as('helpline_a', 'supervisor');
  const referral_path = `/v1/referrals/${referral.id}`;
  const refusals: [status: number, code: string | null, attempt: () => Promise<Answer>][] = [
    [403, 'forbidden', () => helpline.post(`/v1/cases/${kase.id}/close`, { reason_code: 'needs_met' })],
    [403, 'insufficient_scope', () => as('helpline_a', 'worker', ['cases.read']).post('/v1/cases', caseBody())],
    [403, 'caseworker_not_active', () => helpline.get('/v1/cases', { 'acting-caseworker': 'NOBODY' })],
    [404, 'not_visible', () => helpline.get(`/v1/cases/${newId('cas')}`)],
    [404, 'not_visible', () => as('health').get(`/v1/cases/${kase.id}`)],
    [409, 'wrong_state', () => helpline.post(`${referral_path}/provide-information`, { answers: ['x'] })],
    [409, 'consent_missing', () => helpline.post(`/v1/cases/${kase.id}/referrals`, referralBody({ service: 'medical' }))],
    [400, null, () => helpline.get('/v1/cases/cas_1')],
    [400, null, () => helpline.post('/v1/cases', { ...caseBody(), colour: 'red' })],
    [400, null, () => as('helpline_a', 'nobody').get('/v1/cases')],
    [412, null, () => helpline.patch(`/v1/cases/${kase.id}`, { risk: 'low' }, { 'if-match': '"99"' })],
    [422, null, () => helpline.post('/v1/cases', caseBody({ jurisdiction: 'QQ', region: 'QQ-1' }))],
    [428, null, () => helpline.patch(`/v1/cases/${kase.id}`, { risk: 'low' })],
  ];
  for (const [status, code, attempt] of refusals) {
    const before = await count(services, 'audit_records');
    t.equal((await attempt()).status, status, `${status} ${code}`);
    const rows = await lookAsOwner(services, 'select outcome, code from audit_records order by number offset $1', [before]);
    t.same(rows, code === null ? [] : [{ outcome: 'denied', code }]);
  }
  ok(await supervisor.post(`/v1/consents/${consent.id}/withdraw`, { spoken_in_private: true }));
  t.equal((await supervisor.post(`/v1/consents/${consent.id}/withdraw`, { spoken_in_private: true })).status, 409);
  t.match(
    (await entriesOf(services, 'consent.withdraw')).map(({ outcome }) => outcome),
    ['done', 'denied'],
  );
});

t.test('a token leaves an entry, and those who guess are counted', async t => {
  const it = await startTestApp(t);
  const { agencies, as } = await mechanism(it);
  const { client_id, client_secret } = agencies.health;
  const login = (secret: string) =>
    it.app.inject({
      method: 'POST',
      url: '/oauth/token',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      payload: new URLSearchParams({ grant_type: 'client_credentials', client_id, client_secret: secret }).toString(),
    });
  t.equal((await login(client_secret)).statusCode, 200);
  t.equal((await login('guess')).statusCode, 401);
  t.equal((await login('guess')).statusCode, 401);
  const entries = await entriesFor(as('audit_body'), `action=token.issue&order=oldest`);
  const actor = { agency_id: agencies.health.id, client_id, caseworker: null, assurance: 'token' };
  t.match(entries, [
    { meta: { outcome: 'done', actor, resource_type: 'token', code: null, subjects: 0 } },
    {
      meta: { outcome: 'denied', actor: { agency_id: null, client_id: 'system:access' }, code: 'invalid_client', subjects: 1 },
      subjects: [{ record: { subject_id: client_id, refusals: '1' } }],
    },
  ]);
  t.equal((await entriesFor(as('health', 'supervisor'), 'action=token.issue')).length, 1, 'guesses were not its own acts');
});

t.test('nobody of the service can alter an entry', async t => {
  const { services } = await startTrail(t);
  const columns = {
    audit_pending: 'entry_id',
    audit_log: 'entry_id',
    audit_kinds: 'action',
    audit_spans: 'latest',
    audit_tiles: 'root',
    audit_head: 'root',
    audit_subjects: 'entry_id',
    audit_subject_referrals: 'entry_id',
  };
  for (const [table, column] of Object.entries(columns)) {
    for (const statement of [
      `update ${table} set ${column} = ${column}`,
      `delete from ${table}`,
      `truncate ${table}`,
      `alter table ${table} disable row level security`,
      `drop table ${table}`,
    ]) {
      await t.rejects(services.pool.query(statement), { code: '42501' }, statement);
    }
  }
});

/** What must be nowhere but under a key. */
const CANARIES = [
  'CANARY-',
  PERSON.given_name,
  PERSON.family_name,
  PERSON.date_of_birth,
  PERSON.safe_contact.value,
  PERSON.safe_contact.window,
];

t.test('no personal data outside the vault: no table, log, event, problem or meta holds any', async t => {
  const { services, clock } = await openTestServices(t, { LOG_LEVEL: 'trace' });
  const logged: string[] = [];
  Object.assign(services.log, { [symbols.streamSym]: { write: (line: string) => logged.push(line) } });
  const app = await buildApi(services);
  t.teardown(() => app.close());
  const { as } = await mechanism({ app, services, clock, sequence: sequencerOf(t, services) });
  const helpline = as('helpline_a');
  const answers: Answer[] = [];

  const exploitation = { forms: ['CANARY-FORM'], sectors: ['CANARY-SECTOR'] };
  const { kase, consent, referral } = await startNight(helpline, {
    kase: { exploitation },
    consent: { given_by: 'guardian', child_assent: true, guardian: { relation: 'CANARY-AUNT', conflict: 'none' } },
    referral: { requirements: { languages: ['ar'] } },
  });
  const shelters = [as('shelter_a'), as('shelter_b')];
  const asked = await Promise.all(
    shelters.map(async shelter => (await shelter.get(`/v1/referrals/${referral.id}`)).status === 200),
  );
  const shelter = shelters[asked.indexOf(true)]!;
  const path = `/v1/referrals/${referral.id}`;
  ok(await shelter.post(`${path}/receive`));
  ok(await shelter.post(`${path}/request-information`, { questions: ['CANARY-QUESTION'] }));
  ok(await helpline.post(`${path}/provide-information`, { answers: ['CANARY-ANSWER'] }, { 'idempotency-key': 'k1' }));
  const patch = { intake: { narrative: 'CANARY-AMENDED' }, person: { given_name: 'CANARY-GIVEN' }, danger_flags: ['weapons'] };
  ok(await helpline.patch(`/v1/cases/${kase.id}`, patch, { 'if-match': '*' }));
  const accepted = ok(await shelter.post(`${path}/accept`, { note: 'CANARY-BED' }));
  t.match(JSON.stringify(accepted), /CANARY-AMENDED/, 'it is there, for whom it is');
  ok(await shelter.get(`/v1/cases/${kase.id}`));
  ok(await shelter.post(`${path}/confirm-handover`, { arrived_at: clock.now().toISOString() }));

  answers.push(
    await helpline.post('/v1/cases', { ...caseBody(), person: { ...PERSON, sex: 'CANARY-SEX' } }),
    await helpline.post('/v1/cases', caseBody({ jurisdiction: 'QQ', region: 'QQ-1' })),
    await helpline.patch(`/v1/cases/${kase.id}`, patch),
    await helpline.patch(`/v1/cases/${kase.id}`, patch, { 'if-match': '"77"' }),
    await as('health').patch(`/v1/cases/${kase.id}`, patch, { 'if-match': '*' }),
    await helpline.post(`/v1/cases/${newId('cas')}/referrals`, referralBody()),
    await helpline.post(`/v1/cases/${kase.id}/referrals`, referralBody({ service: 'medical' })),
    await helpline.post(
      `/v1/cases/${kase.id}/consents`,
      consentBody({ guardian: { relation: 'CANARY-UNCLE', conflict: 'none' } }),
    ),
    await shelter.post(`${path}/accept`, { note: 'CANARY-AGAIN' }),
    await helpline.post(`${path}/provide-information`, { answers: ['CANARY-OTHER'] }, { 'idempotency-key': 'k1' }),
    await helpline.get('/v1/cases?reference=CANARY-REFERENCE&stage=CANARY-STAGE'),
    await helpline.get(`/v1/cases/CANARY-ID`),
    await helpline.get(`/v1/CANARY-PATH/${encodeURIComponent(PERSON.safe_contact.value)}`),
  );
  t.ok(
    answers.every(({ status }) => status >= 400),
    answers.map(({ status }) => status).join(),
  );
  // A bug of ours: what the database says of it quotes the row.
  await lookAsOwner(services, `alter table consents add constraint broken check (version < 2)`);
  answers.push(await helpline.post(`/v1/consents/${consent.id}/withdraw`, { spoken_in_private: false }));
  t.equal(answers.at(-1)!.status, 500);
  await lookAsOwner(services, `alter table consents drop constraint broken`);
  ok(await helpline.post(`/v1/consents/${consent.id}/withdraw`, { spoken_in_private: false }));
  clock.advance(90 * 86_400_000);
  await drain(services);

  const events: unknown[] = [];
  for (const key of ['helpline_a', 'shelter_a', 'shelter_b', 'committee'] as const) {
    events.push(...ok(await as(key, 'supervisor').get('/v1/events?limit=200')).data);
  }
  t.ok(events.length > 10);
  const entries = await entriesFor(as('audit_body'));
  t.ok(entries.length > 20);
  t.ok(logged.length > 20);

  noCanaries(
    t,
    CANARIES,
    'a problem',
    answers.map(({ body }) => JSON.stringify(body)),
  );
  noCanaries(t, CANARIES, 'an event', [JSON.stringify(events)]);
  noCanaries(t, CANARIES, 'the log', logged);
  noCanaries(t, CANARIES, 'the trail, opened', [JSON.stringify(entries)]);
  for (const id of [kase.id, consent.id, referral.id])
    t.notOk(
      logged.some(line => line.includes(id)),
      'no URL is logged',
    );
  const tables = await everyRow(services);
  for (const { table, rows } of tables) noCanaries(t, CANARIES, table, rows);
  t.ok(
    tables.some(({ rows }) => rows.some(row => row.includes(kase.reference))),
    'rows were really looked at',
  );

  const ids = /\b(xpt|rpt|cas|grp|scr|dec|cns|ref|off|msg|tmr|dsc|evt|dlv)_[0-7][0-9a-z]{25}/;
  const metas = await lookAsOwner<{ meta: string }>(services, 'select meta from audit_records');
  t.same(
    metas.filter(({ meta }) => ids.test(meta)),
    [],
    'no meta names a case, report, referral, offer or person',
  );
  const records = entries.flatMap(({ subjects }) => subjects.map(({ record }) => JSON.stringify(record)));
  t.ok(
    records.some(record => record.includes(kase.id)),
    'as subject records do',
  );
});
