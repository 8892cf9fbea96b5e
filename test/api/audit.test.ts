import { type RawBuilder, sql } from 'kysely';
import t from 'tap';
import {
  type EntryFilter,
  listEntries,
  selectEntriesAbout,
  selectEntriesIn,
  selectEntriesOfKinds,
} from '../../src/audit/store.ts';
import { transact } from '../../src/platform/database.ts';
import { newId } from '../../src/platform/ids.ts';
import { drain } from '../support/drain.ts';
import { actions, type Entry, entriesFor, everyEntry, faultsOf, startTrail } from '../support/entries.ts';
import { consentBody, ok, referralBody } from '../support/night.ts';
import { lookAsOwner } from '../support/trail.ts';
import { demoActors } from '../support/webhooks.ts';

t.test('every entry proves itself', async t => {
  const { as, body, clock, services, kase, referral } = await startTrail(t);
  const helpline = as('helpline_a');
  clock.advance(16 * 60_000);
  await drain(services);
  const read = await helpline.get(`/v1/cases/${kase.id}`);
  ok(await helpline.get('/v1/referrals'));
  await as('health').get(`/v1/cases/${kase.id}`);

  const entries = await everyEntry(body);
  t.ok(entries.length > 8);
  t.same(entries.flatMap(faultsOf), []);
  t.same(
    entries.map(({ index }) => index),
    entries.map((_, i) => entries.length - 1 - i),
    'newest first, without a gap',
  );
  t.ok(
    entries.every(({ subjects }) => subjects.every(({ record, salt }) => record && salt)),
    'the audit body opens all',
  );
  t.ok(
    entries.some(({ meta }) => meta.actor.client_id === 'system:clock'),
    'also what the service did by itself',
  );

  const found = entries.find(({ receipt }) => receipt === read.headers['audit-receipt']);
  t.match(found, {
    meta: { action: 'case.read', outcome: 'read', actor: { caseworker: helpline.agency.caseworkers[0].staff_code } },
  });
  t.match(found!.subjects, [{ record: { subject_id: kase.id, categories: /identity/ } }]);
  t.match(
    entries.find(({ meta }) => meta.action === 'referral.make'),
    { meta: { outcome: 'done', subjects: 1 }, subjects: [{ record: { subject_id: kase.id, referral_id: referral.id } }] },
  );
  for (const meddle of [
    (entry: Entry) => Object.assign(entry.meta, { outcome: 'denied' }),
    (entry: Entry) => Object.assign(entry.subjects[0]!.record!, { subject_id: newId('cas') }),
    (entry: Entry) => entry.subjects.pop(),
  ]) {
    const copy = structuredClone(found!);
    meddle(copy);
    t.not(faultsOf(copy).length, 0, 'and an altered one does not');
  }
});

t.test('what an act answers as receipt is the leaf of its entry', async t => {
  const { as, auditorOf, kase, consent } = await startTrail(t);
  const helpline = as('helpline_a');
  const supervisor = auditorOf('helpline_a');
  const answers = [
    await helpline.post(
      `/v1/cases/${kase.id}/consents`,
      consentBody({ recipient: { agency_kind: 'health' }, purposes: ['medical'] }),
    ),
    await helpline.post(
      `/v1/cases/${kase.id}/referrals`,
      referralBody({ service: 'medical', urgency: 'routine', categories: ['health'] }),
    ),
    await helpline.patch(`/v1/cases/${kase.id}`, { risk: 'medium' }, { 'if-match': `"${kase.version}"` }),
    await helpline.post(`/v1/consents/${consent.id}/withdraw`, { spoken_in_private: true }),
    await helpline.get('/v1/cases'),
    await supervisor.get('/v1/audit/entries'),
    await supervisor.post(`/v1/cases/${kase.id}/close`, { reason_code: 'needs_met' }),
  ];
  const by_receipt = new Map((await everyEntry(supervisor)).map(entry => [entry.receipt, entry]));
  for (const answer of answers) ok(answer);
  const found = answers.map(answer => by_receipt.get(String(answer.headers['audit-receipt'])));
  t.same(actions(found as Entry[]), [
    'consent.give',
    'referral.make',
    'case.amend',
    'consent.withdraw',
    'case.list',
    'audit.query',
    'case.close',
  ]);
  t.same(
    found.map(entry => entry!.meta.outcome),
    ['done', 'done', 'done', 'done', 'read', 'read', 'done'],
  );
});

t.test('filters, each alone and together', async t => {
  const { as, agencies, body, clock, services, kase, referral } = await startTrail(t);
  const helpline = as('helpline_a');
  const other = ok(await helpline.post('/v1/cases', { ...CASE, risk: 'immediate' }));
  const ground = { code: 'imminent_danger_to_life', person_informed: true };
  ok(await helpline.post(`/v1/cases/${other.id}/referrals`, referralBody({ lawful_ground: ground })));
  clock.advance(60_000);
  const later = clock.now().toISOString();
  ok(await as('helpline_b').post('/v1/cases', CASE));
  await as('health').get(`/v1/referrals/${referral.id}`);
  ok(await helpline.get('/v1/referrals'));
  await helpline.post(`/v1/cases/${kase.id}/close`, { reason_code: 'needs_met' });
  clock.advance(16 * 60_000);
  await drain(services);

  const all = await everyEntry(body);
  const worker = helpline.agency.caseworkers[0].staff_code;
  const about = (name: string, id: string) => (entry: Entry) =>
    entry.subjects.some(({ record }) => record![name] === id || (record![`${name}s`] as string[] | undefined)?.includes(id));
  const filters: Record<string, [query: string, expected: (entry: Entry) => boolean]> = {
    case_id: [`case_id=${kase.id}`, about('subject_id', kase.id)],
    referral_id: [`referral_id=${referral.id}`, about('referral_id', referral.id)],
    agency_id: [`agency_id=${agencies.helpline_a.id}`, ({ meta }) => meta.actor.agency_id === agencies.helpline_a.id],
    caseworker: [`caseworker=${worker}`, ({ meta }) => meta.actor.caseworker === worker],
    client_id: [
      `client_id=${agencies.helpline_b.client_id}`,
      ({ meta }) => meta.actor.client_id === agencies.helpline_b.client_id,
    ],
    system: ['client_id=system:clock', ({ meta }) => meta.actor.client_id === 'system:clock'],
    action: ['action=referral.make', ({ meta }) => meta.action === 'referral.make'],
    done: ['outcome=done', ({ meta }) => meta.outcome === 'done'],
    read: ['outcome=read', ({ meta }) => meta.outcome === 'read'],
    denied: ['outcome=denied', ({ meta }) => meta.outcome === 'denied'],
    resource_type: ['resource_type=consent', ({ meta }) => meta.resource_type === 'consent'],
    lawful_ground: ['lawful_ground=imminent_danger_to_life', ({ meta }) => meta.lawful_ground === 'imminent_danger_to_life'],
    from: [`from=${later}`, ({ meta }) => meta.at >= later],
    to: [`to=${later}`, ({ meta }) => meta.at < later],
  };
  const shown = (entries: Entry[]) => entries.filter(({ meta }) => meta.action !== 'audit.query').map(({ entry_id }) => entry_id);
  for (const [name, [query, expected]] of Object.entries(filters)) {
    const matching = all.filter(expected);
    t.ok(matching.length > 0 && matching.length < all.length, `${name} tells apart`);
    t.same(shown(await everyEntry(body, query)), shown(matching), name);
  }
  const names = Object.keys(filters);
  for (const [i, first] of names.entries()) {
    const second = names[(i + 5) % names.length]!;
    const [both, one, two] = [`${filters[first]![0]}&${filters[second]![0]}`, filters[first]![1], filters[second]![1]];
    // A parameter that is given twice is refused.
    if (new Set(new URLSearchParams(both).keys()).size === 2) {
      t.same(shown(await everyEntry(body, both)), shown(all.filter(entry => one(entry) && two(entry))), `${first} and ${second}`);
    }
  }
  const every = `case_id=${kase.id}&referral_id=${referral.id}&agency_id=${agencies.helpline_a.id}&caseworker=${worker}&action=referral.make&outcome=done&resource_type=referral&to=${later}`;
  t.same(actions(await entriesFor(body, every)), ['referral.make']);
  t.same(await entriesFor(body, `report_id=${newId('rpt')}`), []);
  t.same(await entriesFor(body, `from=${later}&to=${later}`), []);
});

const CASE = {
  track: 'named',
  jurisdiction: 'XA',
  risk: 'low',
  intake: { channel: 'phone', received_at: '2026-11-21T18:55:00.000Z' },
};

t.test('what is no query is refused, and leaves nothing', async t => {
  const { as, auditorOf, agencies, body, services } = await startTrail(t);
  for (const query of [
    'case_id=1',
    `case_id=${newId('ref')}`,
    'caseworker=%20',
    'client_id=system',
    'action=Referral',
    'outcome=maybe',
    'lawful_ground=none',
    'order=sideways',
    'from=yesterday',
    'from=2026-12-31T23:59:60Z',
    'to=2026-13-01T00:00:00Z',
    'limit=0',
    'limit=201',
    'cursor=x',
    `cursor=${Buffer.from('["a"]').toString('base64url')}`,
    `cursor=${Buffer.from('[1.5]').toString('base64url')}`,
    'subject=1',
    'outcome=done&outcome=read',
  ]) {
    t.match(await body.get(`/v1/audit/entries?${query}`), { status: 400, body: { code: 'invalid_request' } }, query);
  }
  t.match(await as('audit_body', 'nobody').get('/v1/audit/entries'), {
    status: 400,
    body: { code: 'acting_caseworker_required' },
  });
  t.same(await lookAsOwner(services, `select 1 from audit_records where action = 'audit.query'`), []);

  t.match(
    await as('helpline_a').get('/v1/audit/entries'),
    { status: 403, body: { code: 'forbidden' } },
    'an operator is no auditor',
  );
  const no_scope = as('audit_body', 'worker', ['cases.read', 'admin']);
  t.match(await no_scope.get('/v1/audit/entries'), { status: 403, body: { code: 'insufficient_scope' } });
  t.match(await entriesFor(body, 'action=audit.query&order=oldest'), [
    { meta: { outcome: 'denied', code: 'forbidden', actor: { agency_id: agencies.helpline_a.id }, subjects: 0 } },
    { meta: { outcome: 'denied', code: 'insufficient_scope' } },
  ]);
  t.equal((await auditorOf('helpline_a').get('/v1/audit/entries')).headers['cache-control'], 'no-store');
});

t.test('order and pages hold while the trail grows', async t => {
  const { as, auditorOf } = await startTrail(t);
  const helpline = as('helpline_a');
  const auditor = auditorOf('helpline_a');
  for (let i = 0; i < 6; i += 1) ok(await helpline.post('/v1/cases', CASE));
  const ids = (entries: Entry[]) => entries.map(({ entry_id }) => entry_id);

  /** Reads it two by two; after each of the first three pages somebody opens a case. */
  async function walk(order: string): Promise<string[]> {
    const seen: string[] = [];
    let page = { data: [] as Entry[], next_cursor: '' as string | null };
    for (let pages = 0; page.next_cursor !== null; pages += 1) {
      const after = page.next_cursor && `&cursor=${page.next_cursor}`;
      page = ok(await auditor.get(`/v1/audit/entries?action=case.open&limit=2&order=${order}${after}`));
      seen.push(...ids(page.data));
      if (pages < 3) ok(await helpline.post('/v1/cases', CASE));
    }
    return seen;
  }
  const before = ids(await everyEntry(auditor, 'action=case.open'));
  t.equal(before.length, 7);
  t.same(await walk('newest'), before, 'what came meanwhile is not in the pages before');
  const oldest = await walk('oldest');
  t.same(oldest, ids(await everyEntry(auditor, 'action=case.open')).toReversed(), 'oldest first comes to what came meanwhile');
  t.equal(oldest.length, 13);
});

t.test('erased subjects stay as commitments', async t => {
  const { body, auditorOf, kase, services } = await startTrail(t);
  await lookAsOwner(services, 'update audit_subjects set sealed = null, subject_index = null where key_id = $1', [kase.id]);
  for (const auditor of [body, auditorOf('helpline_a')]) {
    const [opened] = await entriesFor(auditor, 'action=case.open');
    t.same(
      opened!.subjects.map(({ commit: _, ...rest }) => rest),
      [{ erased: true }],
    );
    t.same(faultsOf(opened!), []);
    t.same(await entriesFor(auditor, `case_id=${kase.id}&outcome=done`), []);
  }
});

t.test('whatever filters go together, all that they find is found, by indexes', async t => {
  const { agencies, services, kase, referral } = await startTrail(t);
  const { vault } = services;
  const filler = 20_000;
  // Some caseworkers have left, some acts are no longer done, and `at` goes back now and then, at the end for long.
  await lookAsOwner(
    services,
    `insert into audit_log (index, number, entry_id, entry, meta, salt_meta, salt_personal, subject_commits, at, agency_id, client_id,
       caseworker, action, outcome, resource_type, code, lawful_ground)
     select begins + i, 1000000 + i, decode(md5(i::text), 'hex'), r.entry, r.meta, r.salt_meta, r.salt_personal, r.subject_commits,
       r.at + i * interval '1 minute' - case when i % 700 = 0 then interval '3 days' when i > 19900 then interval '8 days' else interval '0' end,
       case when i % 3 = 0 then r.agency_id else 'agy_' || i % 40 end, 'cli_' || i % 80,
       nullif('W-' || (i / 1000 + i % 5), 'W-3'), 'filler.act_' || (i / 4000 + i % 30),
       case when i between 300 and 320 then 'failed' when i % 50 = 0 then 'denied' else 'done' end, 'filler_' || i % 20, null,
       case when i % 500 = 0 then 'court_order' end
     from generate_series(0, ${filler - 1}) i, (select coalesce(max(index) + 1, 0) as begins from audit_log) l,
       (select * from audit_records where action = 'case.open' limit 1) r`,
  );
  await lookAsOwner(
    services,
    `insert into audit_subjects select entry_id, 0, agency_id, null, null, sha256(entry_id) from audit_log where action like 'filler%'`,
  );
  await lookAsOwner(
    services,
    `insert into audit_subject_referrals select sha256(entry_id), agency_id, entry_id, 0 from audit_log where action like 'filler%'`,
  );
  await lookAsOwner(services, 'analyze audit_log, audit_kinds, audit_subjects, audit_subject_referrals');
  const all = await lookAsOwner<Record<string, string | Date> & { index: number; at: Date }>(
    services,
    `select index::int, at, agency_id, client_id, caseworker, action, outcome, resource_type, lawful_ground from audit_log order by index`,
  );
  t.equal(all.length, all.at(-1)!.index + 1);

  const begun = all.at(-1)!.at.getTime() - filler * 60_000;
  const minutes = (n: number) => new Date(begun + n * 60_000);
  const wanted: Partial<EntryFilter>[] = [
    {},
    { agency_id: agencies.helpline_a.id },
    { agency_id: 'agy_7' },
    { client_id: 'cli_12' },
    { client_id: agencies.helpline_a.client_id },
    { caseworker: 'W-2' },
    { caseworker: 'W-20' },
    { action: 'filler.act_1' },
    { action: 'case.open' },
    { outcome: 'failed' },
    { outcome: 'denied' },
    { resource_type: 'filler_10' },
    { lawful_ground: 'court_order' },
    { from: minutes(9_000), to: minutes(9_100) },
    { from: minutes(2_000) },
    { to: minutes(1_000) },
    { from: minutes(-100_000), to: minutes(-90_000) },
  ];
  const pairs = wanted.flatMap((one, i) => wanted.slice(i).map(two => ({ ...one, ...two })));
  const actors = await demoActors(services);
  let found = 0;
  for (const actor of [actors.audit_body, actors.helpline_a]) {
    const reader_agency_id = actor === actors.helpline_a ? actor.agency_id : undefined;
    await transact(services, actor, async tx => {
      for (const [i, { from, to, ...plain }] of pairs.entries()) {
        const order = i % 2 === 0 ? 'newest' : 'oldest';
        const after = [undefined, 6_000, 15_000][i % 3];
        const matching = all.filter(
          row =>
            row.index < all.length - 10 &&
            (reader_agency_id === undefined || row.agency_id === reader_agency_id) &&
            Object.entries(plain).every(([name, value]) => row[name] === value) &&
            (!from || row.at >= from) &&
            (!to || row.at < to) &&
            (after === undefined || (order === 'newest' ? row.index < after : row.index > after)),
        );
        const expected = (order === 'newest' ? matching.toReversed() : matching).slice(0, 51).map(({ index }) => index);
        const filter = { subject_indices: [], reader_agency_id, from, to, ...plain };
        const rows = await listEntries(tx, filter, { order, after, below: all.length - 10, limit: 51 });
        found += rows.length;
        t.strictSame(
          rows.map(({ index }) => index),
          expected,
          `${JSON.stringify(pairs[i])} ${order} ${after}`,
        );
      }
    });
  }
  t.ok(found > 2_000, `${found} rows`);

  const subject_indices: Buffer[] = [];
  const about: [filter: Partial<EntryFilter>, index: RegExp][] = [
    [{ subject_indices: [vault.subjectIndex(kase.id)] }, /(?=.*audit_subjects_subject).*audit_log_entry_id_key/],
    [
      { subject_indices: [vault.subjectIndex(kase.id)], referral_index: vault.subjectIndex(referral.id) },
      /audit_log_entry_id_key/,
    ],
    [{ referral_index: vault.subjectIndex(referral.id) }, /(?=.*audit_subject_referrals_referral).*audit_log_entry_id_key/],
  ];
  for (const actor of [actors.audit_body, actors.helpline_a]) {
    const reader_agency_id = actor === actors.helpline_a ? actor.agency_id : undefined;
    for (const order of ['newest', 'oldest'] as const) {
      const page = { order, below: 2_000_000, limit: 51 };
      const stretch = { from: 0, to: all.length };
      await transact(services, actor, async tx => {
        const explain = async (query: RawBuilder<unknown>) => {
          const { rows } = await sql<Record<string, string>>`explain ${query}`.execute(tx);
          const plan = rows.map(row => Object.values(row)[0]).join(' ');
          t.notMatch(plan, /Seq Scan on audit_(log|subject)/);
          return plan;
        };
        const common = { subject_indices, reader_agency_id };
        const near = selectEntriesIn(tx, common, { from: all.length - 4_096, to: all.length }, page);
        t.match(await explain(sql`${near}`), /audit_log_pkey/);
        for (const filter of wanted)
          t.match(
            await explain(selectEntriesOfKinds({ ...common, ...filter }, stretch, page)),
            /audit_log_kind|One-Time Filter: false/,
          );
        for (const [filter, index] of about)
          t.match(await explain(selectEntriesAbout({ ...common, ...filter }, stretch, page)), index);
      });
    }
  }
});
