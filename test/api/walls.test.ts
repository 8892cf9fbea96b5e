import { sql } from 'kysely';
import t from 'tap';
import { findCase, findProfile, findSealed, listCases, listConsents } from '../../src/cases/store.ts';
import { type Actor, type SystemRole, systemActor } from '../../src/core/access.ts';
import { CATEGORIES } from '../../src/core/codes.ts';
import type { DemoAgencyKey } from '../../src/demo.ts';
import { type Tx, transact } from '../../src/platform/database.ts';
import { newId } from '../../src/platform/ids.ts';
import { listDisclosures } from '../../src/referrals/disclosure-store.ts';
import { listInbox } from '../../src/referrals/inbox-store.ts';
import { listMessages } from '../../src/referrals/messages/store.ts';
import { findReferral, listOffers } from '../../src/referrals/store.ts';
import { listTimers } from '../../src/timers/list-store.ts';
import { listReferralTimers } from '../../src/timers/store.ts';
import { listEvents } from '../../src/webhooks/outbox-store.ts';
import { findEndpoint, listDeliveries, listEndpoints } from '../../src/webhooks/store.ts';
import { startTestApp, type TestApp } from '../support/app.ts';
import { expertBody, experts } from '../support/experts.ts';
import { anonymous } from '../support/journey.ts';
import { type Answer, type Client, type Mechanism, mechanism } from '../support/mechanism.ts';
import { caseBody, consentBody, ok, referralBody } from '../support/night.ts';
import { lookAsOwner } from '../support/trail.ts';
import { demoActors, relayAll } from '../support/webhooks.ts';

// Much of it, and other suites beside it.
t.setTimeout(180_000);

/**
 * Two walls stand between a case and whoever is no party to it: what the application decides, and row-level security. Here each
 * stands alone, the other being taken away, and has to deny by itself. `walls-of-operations.test.ts` asks so for every operation.
 */

/** One case of `helpline_a` with somebody in every position towards it; the rest are strangers. */
async function buildCase({ services, clock }: TestApp, them: Mechanism) {
  const { as, agencies } = them;
  const owner = as('helpline_a');
  const opened = ok(
    await owner.post('/v1/groups', {
      cases: [caseBody({ dependants: [], exploitation: { forms: ['CANARY-FORM'] } }), caseBody()],
    }),
  );
  const [{ id }, other] = opened.cases as { id: string }[] as [{ id: string }, { id: string }];
  const kase = ok(await owner.get(`/v1/cases/${id}`));
  ok(await owner.post(`/v1/cases/${id}/separations`, { case_id: other.id }));
  const grant = (more: object) => owner.post(`/v1/cases/${kase.id}/consents`, consentBody(more as never));
  const consent = ok(await grant({}));
  ok(await grant({ recipient: { agency_kind: 'health' }, purposes: ['medical'] }));
  ok(await grant({ recipient: { agency_kind: 'civil_society' }, purposes: ['psychosocial'] }));
  const refer = async (service: string, to: DemoAgencyKey, more = {}) =>
    ok(
      await owner.post(
        `/v1/cases/${kase.id}/referrals`,
        referralBody({ service, urgency: 'urgent', routing: 'direct', recipient_agency_id: agencies[to].id, ...more } as never),
      ),
    );
  const held = await refer('shelter_accommodation', 'shelter_b');
  const asked = await refer('medical', 'health');
  const over = await refer('psychosocial', 'civil_society');
  const moved = await refer('shelter_accommodation', 'shelter_a', { fallback: true });
  ok(await as('shelter_a').post(`/v1/referrals/${moved.id}/decline`, { reason_code: 'unsafe' }));
  ok(await as('shelter_b').post(`/v1/referrals/${held.id}/accept`, { note: 'CANARY-NOTE' }));
  ok(await owner.post(`/v1/referrals/${held.id}/messages`, { text: 'CANARY-MESSAGE' }));
  ok(await as('civil_society').post(`/v1/referrals/${over.id}/accept`));
  ok(await as('civil_society').post(`/v1/referrals/${over.id}/fail`, { reason_code: 'other' }));
  const amended = ok(await owner.get(`/v1/cases/${kase.id}`));
  ok(await owner.patch(`/v1/cases/${kase.id}`, { intake: { narrative: 'CANARY-MORE' } }, { 'if-match': `"${amended.version}"` }));
  const endpoint = ok(
    await as('helpline_a', 'supervisor').post('/v1/webhook-endpoints', { url: 'http://127.0.0.1:9/hook', event_types: ['*'] }),
  );
  ok(await owner.post(`/v1/cases/${kase.id}/consents`, consentBody()));
  const chief = as('helpline_a', 'supervisor');
  ok(await chief.post(`/v1/cases/${kase.id}/close`, { reason_code: 'error' }));
  ok(await chief.post(`/v1/cases/${kase.id}/reopen`, { reason: 'CANARY-REASON' }));
  const staff_codes = agencies.helpline_a.caseworkers.map(({ staff_code }) => staff_code);
  ok(await owner.put(`/v1/cases/${kase.id}/assignees`, { staff_codes }, { 'if-match': '"0"' }));
  // Kept by none of those who try to change something below.
  const expert = ok(await as('shelter_a', 'supervisor').post('/v1/experts', expertBody()));
  const wanted = experts({ clock }, them).requestBody(expert.id, { case_id: kase.id });
  ok(await owner.post('/v1/expert-requests', wanted));
  await relayAll(services);
  return { kase, consent, held, asked, over, moved, endpoint };
}

/** Tables whose rows belong to a case, or to what an agency was told or did. */
const CASE_TABLES = [
  'cases',
  'case_keys',
  'case_data',
  'case_data_history',
  'case_reopenings',
  'case_assignees',
  'consents',
  'referrals',
  'offers',
  'disclosures',
  'messages',
  'timers',
  'events',
  'webhook_endpoints',
  'deliveries',
  'delivery_attempts',
  'audit_pending',
  'audit_subjects',
  'groups',
  'batches',
  'case_separations',
  'experts',
  'expert_contacts',
  'expert_requests',
  'expert_request_details',
] as const;
/** The directory is open to all, clients and caseworkers are other suites'. */
const OTHER_TABLES = [
  'agencies',
  'services',
  'capacities',
  'rule_packs',
  'caseworkers',
  'clients',
  'client_secrets',
  'client_keys',
  'client_assertions',
  'idempotency_keys',
  // Where a crisis holds everybody may know; where the directory was taken from, administrators alone.
  'crisis_modes',
  'directory_imports',
  'directory_sources',
];

/** What the relay or the router alone looks at. */
const TABLES_OF_JOBS = [
  'event_positions',
  'event_sequences',
  'event_pulls',
  'unreachable_agencies',
  'undelivered',
  'digests',
  'coverage_states',
  'routing_requests',
];

const count = async (tx: Tx, table: string, where = sql`true`): Promise<number> => {
  const { rows } = await sql<{ count: number }>`select count(*)::int as count from ${sql.table(table)} where ${where}`.execute(
    tx,
  );
  return rows[0]!.count;
};

t.test('row-level security alone', async t => {
  const test = await startTestApp(t);
  const { services } = test;
  const them = await mechanism(test);
  const it = await buildCase(test, them);
  const actors = await demoActors(services);
  const as = <T>(actor: Actor, work: (tx: Tx) => Promise<T>) => transact(services, actor, work);

  await t.test('is on, and forced, for every table with rows of agencies', async t => {
    const rows = await lookAsOwner<{ name: string; on: boolean; forced: boolean }>(
      services,
      `select relname as name, relrowsecurity as on, relforcerowsecurity as forced from pg_class
        where relkind = 'r' and relnamespace = 'public'::regnamespace and relname !~ '^kysely'`,
    );
    const walled = rows.filter(({ on, forced }) => on && forced).map(({ name }) => name);
    for (const table of [...CASE_TABLES, ...OTHER_TABLES]) t.ok(walled.includes(table), table);
    const open = rows.filter(({ on, forced }) => !on || !forced).map(({ name }) => name);
    t.strictSame(
      open.filter(name => !/^(deployment|audit_)/.test(name)),
      [],
      'and none is left open',
    );
    for (const table of CASE_TABLES.filter(table => table !== 'delivery_attempts')) {
      const [row] = await lookAsOwner<{ count: number }>(services, `select count(*)::int as count from ${table}`);
      t.ok(row!.count > 0, `${table} holds something to hide`);
    }
  });

  await t.test('hides everything from strangers', async t => {
    for (const key of ['helpline_b', 'prosecution', 'labour_inspection', 'shelter_c'] as const) {
      await as(actors[key], async tx => {
        for (const table of CASE_TABLES) t.equal(await count(tx, table), 0, `${key} sees no ${table}`);
        for (const table of TABLES_OF_JOBS) t.equal(await count(tx, table), 0, `${key} sees no ${table}`);
        t.equal(await count(tx, 'masked_cases'), 0);
      });
    }
    await transact(services, { ...actors.helpline_b, agency_id: '' }, async tx => {
      for (const table of CASE_TABLES) t.equal(await count(tx, table), 0, `nobody sees no ${table}`);
    });
  });

  await t.test('answers the queries of an application that asks for another agency', async t => {
    const owner = actors.helpline_a.agency_id;
    const rows: [string, (tx: Tx) => Promise<unknown>, unknown][] = [
      ['findCase', tx => findCase(tx, it.kase.id), undefined],
      ['listCases', tx => listCases(tx, { owner_agency_id: owner }, {}, undefined, 9), []],
      ['listCases of a coordinator', tx => listCases(tx, { jurisdictions: ['XA'] }, {}, undefined, 9), []],
      ...CATEGORIES.map(
        category =>
          [
            `readCaseData ${category}`,
            async tx => (await findSealed(services, tx, { case_id: it.kase.id }, [category])).open([category]),
            {},
          ] as [string, (tx: Tx) => Promise<unknown>, unknown],
      ),
      ['findProfile', async tx => (await findProfile(services, tx, { case_id: it.kase.id }))(), undefined],
      ['listConsents', tx => listConsents(tx, { case_id: it.kase.id }), []],
      ['findReferral', tx => findReferral(tx, it.held.id), undefined],
      ['listOffers', tx => listOffers(tx, it.held.id), []],
      ['listInbox', tx => listInbox(tx, owner, ['XA'], { box: 'all' }, undefined, 9), []],
      ['listDisclosures', tx => listDisclosures(tx, { case_id: it.kase.id }), []],
      ['listTimers', tx => listTimers(tx, { agency_id: owner, coordinated: ['XA'], supports: true }, {}, undefined, 9), []],
      ['listMessages', tx => listMessages(tx, { referral_id: it.held.id }, undefined, 9), []],
      ['listReferralTimers', tx => listReferralTimers(tx, it.held.id), []],
      ['listEvents', tx => listEvents(tx, owner, { after: 0, types: undefined, limit: 9 }), []],
      ['listEndpoints', tx => listEndpoints(tx, owner, undefined, 9), []],
      ['findEndpoint', tx => findEndpoint(tx, owner, it.endpoint.id), undefined],
      ['listDeliveries', tx => listDeliveries(tx, it.endpoint.id, { state: undefined, before: undefined, limit: 9 }), []],
    ];
    for (const [name, query, nothing] of rows) t.strictSame(await as(actors.helpline_b, query), nothing, name);
    const inbox = await as(actors.helpline_a, tx => listInbox(tx, owner, [], { box: 'all' }, undefined, 9));
    t.equal(inbox.length, 4, 'the same query answers the owner');
  });

  await t.test('shows each party what is its own', async t => {
    const seen = (key: DemoAgencyKey) =>
      as(actors[key], async tx => ({
        categories: (
          await sql<{ category: string }>`select distinct category from case_data order by category`.execute(tx)
        ).rows.map(row => row.category),
        history: await count(tx, 'case_data_history'),
        consents: await count(tx, 'consents'),
        disclosures: await count(tx, 'disclosures'),
        referrals: (await sql<{ id: string }>`select id from referrals order by id`.execute(tx)).rows.map(row => row.id),
        offers: await count(tx, 'offers'),
        foreign_timers: await count(
          tx,
          'timers',
          sql`receiver_agency_id is distinct from me() and responsible_agency_id <> me()`,
        ),
        foreign_events: await count(tx, 'events', sql`agency_id <> me()`),
        endpoints: await count(tx, 'webhook_endpoints'),
      }));
    const nothing = {
      categories: [],
      history: 0,
      consents: 0,
      disclosures: 0,
      referrals: [],
      offers: 0,
      foreign_timers: 0,
      foreign_events: 0,
      endpoints: 0,
    };
    const of = (...referrals: { id: string }[]) => ({ referrals: referrals.map(({ id }) => id), offers: referrals.length });
    t.strictSame(await seen('health'), { ...nothing, ...of(it.asked), categories: ['profile'] }, 'whoever is asked: the profile');
    t.strictSame(
      await seen('shelter_b'),
      {
        ...nothing,
        ...of(it.held, it.moved),
        disclosures: 1,
        categories: ['contact', 'demographics', 'identity', 'narrative', 'profile'],
      },
      'a holder: what was opened to it',
    );
    t.strictSame(await seen('civil_society'), { ...nothing, ...of(it.over), disclosures: 1 }, 'a former holder: that it was one');
    t.strictSame(await seen('shelter_a'), { ...nothing, ...of(it.moved) }, 'whoever declined: that it was asked');
    const committee = await seen('committee');
    t.match(committee, {
      ...nothing,
      ...of(it.held, it.asked, it.over, it.moved),
      offers: 5,
      disclosures: 2,
      foreign_timers: Number,
    });
    t.ok(committee.foreign_timers > 0, 'the coordinator: queues, clocks and the accounting, no data');
    t.strictSame(await seen('audit_body'), nothing, 'the audit body: nothing of a case');
    const owner = await seen('helpline_a');
    t.strictSame(owner.categories, [
      'contact',
      'demographics',
      'family',
      'health',
      'identity',
      'labour',
      'narrative',
      'profile',
      'protection_status',
      'source',
    ]);
    t.match(owner, { history: 1, consents: 4, disclosures: 2, offers: 5, foreign_events: 0, endpoints: 1 });
  });

  await t.test('opens no contents to the service itself, but what each of its roles needs', async t => {
    const roles: SystemRole[] = ['router', 'clock', 'relay', 'access', 'trail', 'retention', 'setup'];
    for (const role of roles) {
      await as(systemActor(role), async tx => {
        const profile = role === 'router' || role === 'clock' ? 2 : 0;
        t.equal(await count(tx, 'case_data', sql`category <> 'profile'`), 0, `${role} reads no category`);
        t.equal(await count(tx, 'case_data'), profile, `${role}: the profile is for routing`);
        t.equal(await count(tx, 'case_data_history'), 0);
        t.equal(await count(tx, 'audit_records'), 0);
      });
    }
    await as(systemActor('timeline'), async tx => {
      t.ok((await count(tx, 'audit_records')) > 0, 'the timeline reads the trail');
      for (const table of CASE_TABLES.filter(table => !/^(audit_|case_keys)/.test(table))) {
        t.equal(await count(tx, table), 0, `and no ${table}`);
      }
    });
    await as(systemActor('matcher'), async tx => {
      t.equal(await count(tx, 'case_data', sql`category = 'identity'`), 2, 'who compares names reads them');
      t.equal(await count(tx, 'case_data', sql`category <> 'identity'`), 0, 'and nothing else');
      const needs = ['case_data', 'case_keys', 'experts', 'expert_requests', 'expert_request_details'];
      for (const table of CASE_TABLES.filter(table => !needs.includes(table)))
        t.equal(await count(tx, table), 0, `and no ${table}`);
    });
    for (const role of ['access', 'retention', 'setup'] as const) {
      await as(systemActor(role), async tx => {
        for (const table of ['cases', 'case_keys', 'consents', 'referrals', 'offers', 'disclosures', 'timers']) {
          t.equal(await count(tx, table), 0, `${role} has no business with ${table}`);
        }
      });
    }
  });

  await t.test('refuses to have anything written by others', async t => {
    const REFUSED = '42501';
    /** Everybody may say what happened, and to whom it is told; nobody else's act may change it. */
    const written_by_all = ['events', 'audit_pending', 'audit_subjects'];
    /** Rows that are an agency's, not a case's: everybody may have its own. */
    const OWNED = ['cases', 'webhook_endpoints', 'groups', 'batches', 'experts', 'expert_contacts', 'expert_requests'];
    /** Whoever accepted writes to the sender, assigns what it holds to its own people, and asks for experts. */
    const OF_HOLDERS = ['messages', 'case_assignees', 'expert_request_details'];
    for (const key of ['helpline_b', 'health', 'shelter_b', 'civil_society', 'committee', 'audit_body'] as const) {
      for (const table of CASE_TABLES) {
        if (table === 'delivery_attempts') continue;
        // A coordinator agrees that two be kept apart, and lifts it.
        if (table === 'case_separations' && key === 'committee') continue;
        const [row] = await lookAsOwner<{ row: Record<string, unknown> }>(
          services,
          `select to_jsonb(x) as row from ${table} x limit 1`,
        );
        const attempt = (statement: ReturnType<typeof sql>) =>
          as(actors[key], async tx => Number((await statement.execute(tx)).numAffectedRows ?? 0)).catch(
            error => error.code as string,
          );
        const column = Object.keys(row!.row).find(name => !['number', 'entry_id'].includes(name))!;
        const changed = await attempt(sql`update ${sql.table(table)} set ${sql.ref(column)} = ${sql.ref(column)}`);
        t.ok(changed === 0 || changed === REFUSED, `${key} changes no ${table}: ${changed}`);
        const gone = await attempt(sql`delete from ${sql.table(table)}`);
        t.ok(gone === 0 || gone === REFUSED, `${key} deletes no ${table}: ${gone}`);
        if (written_by_all.includes(table)) continue;
        const insert = (json: unknown) =>
          attempt(sql`insert into ${sql.table(table)} overriding system value
            select * from jsonb_populate_record(null::${sql.table(table)}, ${JSON.stringify(json)}::jsonb)`);
        t.equal(await insert(row!.row), REFUSED, `${key} writes no ${table}`);
        if (OWNED.includes(table) || (OF_HOLDERS.includes(table) && key === 'shelter_b')) continue;
        const mine = Object.fromEntries(
          Object.entries(row!.row).map(([name, value]) => [
            name,
            /agency_id$/.test(name) && value ? actors[key].agency_id : value,
          ]),
        );
        t.equal(await insert(mine), REFUSED, `${key} writes no ${table} of a foreign case in its own name`);
      }
    }
    await t.rejects(
      as(actors.helpline_b, tx =>
        sql`insert into events (id, agency_id, type, subject_id, urgent, reaches_always, body, occurred_at, position)
          values (${newId('evt')}, ${actors.helpline_a.agency_id}, 'referral.offered', 'x', false, false, '{}', now(), 1)`.execute(
          tx,
        ),
      ),
      { code: REFUSED },
      'nobody but the relay numbers events',
    );
  });

  await t.test('lets nobody but the coordinator say that a crisis holds', async t => {
    const crisis = { kind: 'other', phase: 'preparedness', regions: ['XA-9'], reason: 'shelling' };
    ok(await them.as('committee').post('/v1/jurisdictions/XA/crisis-modes', crisis));
    const [mode] = await lookAsOwner<Record<string, unknown>>(services, 'select * from crisis_modes');
    const columns = JSON.stringify({ ...mode, id: newId('crm') });
    for (const key of ['helpline_a', 'helpline_b', 'prosecution', 'audit_body'] as const) {
      t.equal(await as(actors[key], tx => count(tx, 'crisis_modes')), 1, `${key} knows of it`);
      const changed = await as(actors[key], tx => sql`update crisis_modes set phase = 'response'`.execute(tx));
      t.equal(changed.numAffectedRows, 0n, `${key} changes none`);
      const declared = as(actors[key], tx =>
        sql`insert into crisis_modes select * from jsonb_populate_record(null::crisis_modes, ${columns}::jsonb)`.execute(tx),
      );
      await t.rejects(declared, { code: '42501' }, `${key} declares none`);
    }
  });

  await t.test('lets a lock be taken, which tells nothing', async t => {
    for (const id of [it.kase.id, newId('cas')]) {
      const { rows } = await as(actors.helpline_b, tx => sql`select lock_case(${id}, true) as locked`.execute(tx));
      t.strictSame(rows, [{ locked: '' }]);
    }
    await as(actors.helpline_b, async tx => {
      await sql`select lock_case(${it.kase.id}, true)`.execute(tx);
      t.equal(await count(tx, 'cases'), 0, 'what the function looked as, it was only inside');
    });
  });
});

t.test('the application alone', async t => {
  const test = await startTestApp(t);
  const { services } = test;
  const them = await mechanism(test);
  const { as, agencies } = them;
  const it = await buildCase(test, them);
  const keys = Object.keys(agencies) as DemoAgencyKey[];
  const paths = [
    '/v1/cases?limit=200',
    `/v1/cases?reference=${it.kase.reference}`,
    `/v1/cases/${it.kase.id}`,
    ...['consents', 'disclosures', 'timeline', 'assignees'].map(part => `/v1/cases/${it.kase.id}/${part}`),
    ...['all', 'incoming', 'outgoing'].map(box => `/v1/referrals?box=${box}`),
    '/v1/referrals?overdue=false&sort=due_at',
    ...[it.held, it.asked, it.over, it.moved].flatMap(({ id }) =>
      ['', '/candidates', '/messages'].map(more => `/v1/referrals/${id}${more}`),
    ),
    '/v1/timers?limit=200',
    `/v1/timers?subject_id=${it.kase.id}`,
    `/v1/timers?agency_id=${agencies.shelter_b.id}`,
    '/v1/events?limit=200',
    '/v1/webhook-endpoints',
    `/v1/webhook-endpoints/${it.endpoint.id}`,
    `/v1/webhook-endpoints/${it.endpoint.id}/deliveries`,
  ];
  async function look(): Promise<Map<string, unknown>> {
    const seen = new Map<string, unknown>();
    for (const key of keys) {
      // A supervisor of the demonstration may what its workers may, and more.
      const answers = await Promise.all(paths.map(path => as(key, 'supervisor').get(path)));
      for (const [i, answer] of answers.entries()) seen.set(`${key}: ${paths[i]}`, anonymous(answer));
    }
    return seen;
  }

  const behind_two_walls = await look();
  const tables = await lookAsOwner<{ name: string }>(
    services,
    `select relname as name from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace and relrowsecurity`,
  );
  for (const { name } of tables) await lookAsOwner(services, `alter table ${name} disable row level security`);
  const [open] = await transact(services, (await demoActors(services)).helpline_b, async tx => [await count(tx, 'cases')]);
  t.equal(open, 2, 'the second wall is down');
  const strangers = ['helpline_b', 'labour_inspection', 'prosecution', 'shelter_c', 'audit_body'] as const;

  await t.test('shows everybody the same as with the other', async t => {
    const behind_one = await look();
    for (const [name, before] of behind_two_walls) t.strictSame(behind_one.get(name), before, name);
  });

  await t.test('lists nothing foreign', async t => {
    for (const key of strangers) {
      for (const path of ['/v1/cases', '/v1/referrals', '/v1/timers', '/v1/events', '/v1/webhook-endpoints']) {
        const { status, body } = await as(key, 'supervisor').get(path);
        const refused = key === 'audit_body' && status === 403;
        t.ok(refused || (status === 200 && body.data.length === 0), `${key}: ${path} ${status}`);
      }
    }
  });

  await t.test('keeps parties to what they may', async t => {
    const rows: [DemoAgencyKey, (client: Client) => Promise<Answer>, number, string][] = [
      ['health', client => client.get(`/v1/cases/${it.kase.id}`), 404, 'whoever is only asked knows of no case'],
      ['health', client => client.get(`/v1/referrals/${it.held.id}`), 404, 'nor of the other referrals'],
      ['health', client => client.post(`/v1/cases/${it.kase.id}/referrals`, referralBody()), 404, 'nor refers it on'],
      ['shelter_b', client => client.get(`/v1/cases/${it.kase.id}/consents`), 403, 'a holder reads no consents'],
      ['shelter_b', client => client.patch(`/v1/cases/${it.kase.id}`, { risk: 'low' }, { 'if-match': '*' }), 403, 'nor amends'],
      [
        'civil_society',
        client => client.post(`/v1/cases/${it.kase.id}/referrals`, referralBody()),
        403,
        'a former holder refers nothing',
      ],
      ['committee', client => client.get(`/v1/cases/${it.kase.id}/consents`), 403, 'a coordinator reads no consents'],
      ['committee', client => client.post(`/v1/cases/${it.kase.id}/referrals`, referralBody()), 403, 'and refers nothing'],
    ];
    for (const [key, call, status, said] of rows) t.equal((await call(as(key))).status, status, said);
    for (const key of keys.filter(key => key !== 'helpline_a')) {
      for (const path of paths) {
        const text = JSON.stringify((await as(key).get(path)).body);
        if (key === 'shelter_b' && /cases\/|referrals\//.test(path)) t.notMatch(text, /CANARY-FORM/, `${key}: ${path}`);
        else t.notMatch(text, /CANARY|Testname|Placeholder|1999/, `${key}: ${path}`);
      }
    }
  });
});
