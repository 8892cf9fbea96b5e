import pg from 'pg';
import t from 'tap';
import { systemActor } from '../../src/core/access.ts';
import { transact } from '../../src/platform/database.ts';
import { loadLocked } from '../../src/referrals/locked.ts';
import { rank } from '../../src/referrals/router.ts';
import { startTestApp, type TestApp } from '../support/app.ts';
import { drain } from '../support/drain.ts';
import { holdInvariants } from '../support/invariants.ts';
import { MINUTE } from '../support/journey.ts';
import { type Client, mechanism } from '../support/mechanism.ts';
import { caseBody, consentBody, ok, referralBody, startNight } from '../support/night.ts';
import { lookAsOwner } from '../support/trail.ts';

/**
 * Whoever waits for a place while places come and go: nobody waits while a place is free for which she could be asked, no place is
 * given twice, and nobody is asked who was suspended before.
 */

const LONG = process.env.LONG === '1';
t.setTimeout(LONG ? 3_600_000 : 600_000);

/** Who waits although the router itself would find somebody to ask, and asks nobody for a follow-on. */
async function passedBy({ services }: TestApp): Promise<string[]> {
  const waiting = await lookAsOwner<{ id: string }>(
    services,
    `select id from referrals r where status in ('unplaced', 'waitlisted') and (routing = 'automatic' or fallback)
       and not exists (select from referrals f where f.follows_referral_id = r.id and f.ended is null) order by id`,
  );
  const found = await Promise.all(
    waiting.map(({ id }) =>
      transact(services, systemActor('router'), async tx => {
        const { ranked } = await rank(services, tx, await loadLocked(services, tx, id), services.now());
        return ranked.some(({ excluded_by }) => excluded_by.length === 0) ? [id] : [];
      }),
    ),
  );
  return found.flat();
}

/** Mulberry32: the same numbers for the same seed. */
function drawing(seed: number) {
  let state = seed;
  const next = () => {
    state = (state + 0x6d2b79f5) | 0;
    let z = Math.imul(state ^ (state >>> 15), 1 | state);
    z = (z + Math.imul(z ^ (z >>> 7), 61 | z)) ^ z;
    return ((z ^ (z >>> 14)) >>> 0) / 2 ** 32;
  };
  return {
    chance: (share: number) => next() < share,
    one: <T>(things: readonly T[]): T => things[Math.floor(next() * things.length)]!,
  };
}

t.test('three shelters, forty persons, and whatever happens to them', async t => {
  const test = await startTestApp(t);
  const { services, clock } = test;
  const { as, agencies } = await mechanism(test);
  const KEYS = ['shelter_a', 'shelter_b', 'shelter_c'] as const;
  const sender = as('helpline_a');
  const serviceOf = (key: (typeof KEYS)[number]) => `/v1/agencies/${agencies[key].id}/services/shelter_accommodation`;
  ok(await as('shelter_c', 'supervisor').put(serviceOf('shelter_c'), {}, { 'if-match': '*' }));
  const setTotal = (key: (typeof KEYS)[number], total: number) =>
    as(key, 'supervisor')
      .put(`${serviceOf(key)}/capacity`, { total })
      .then(ok);
  for (const key of KEYS) await setTotal(key, 2);

  const seed = Number(process.env.SEED ?? Date.now() % 1_000_000);
  t.comment(`SEED=${seed}`);
  const { chance, one } = drawing(seed);
  const cases: { id: string; version: number }[] = [];
  for (let i = 0; i < 40; i += 1) {
    const { id } = ok(await sender.post('/v1/cases', caseBody()));
    ok(await sender.post(`/v1/cases/${id}/consents`, consentBody()));
    const { urgency, routing, to } = {
      urgency: one(['emergency', 'urgent', 'routine']),
      routing: one(['automatic', 'automatic', 'direct']),
      to: agencies[one(KEYS)].id,
    };
    const direct = routing === 'direct' ? { recipient_agency_id: to, fallback: chance(0.7) } : {};
    ok(await sender.post(`/v1/cases/${id}/referrals`, referralBody({ urgency, routing, ...direct })));
    cases.push({ id, version: 1 });
  }

  const shelters = new Map<string, Client>(KEYS.map(key => [agencies[key].id, as(key)]));
  const liveOffers = () =>
    lookAsOwner<{ referral_id: string; agency_id: string; status: string }>(
      services,
      `select referral_id, agency_id, status from offers where ended_at is null order by id`,
    );
  /** One request of somebody; refused where another was first. */
  async function answer({ referral_id, agency_id, status }: Awaited<ReturnType<typeof liveOffers>>[number]): Promise<number> {
    const [verb, body] = one<[string, object]>(
      status === 'in_progress'
        ? [
            ['complete', { outcome_code: 'service_provided' }],
            ['fail', { reason_code: 'left_service' }],
            ['review', {}],
          ]
        : status === 'accepted'
          ? [
              ['confirm-handover', { arrived_at: clock.now().toISOString() }],
              ['report-no-show', {}],
              ['fail', { reason_code: 'service_ended' }],
            ]
          : [
              ['accept', {}],
              ['accept', {}],
              ['decline', { reason_code: 'no_capacity' }],
              ['decline', { reason_code: 'no_capacity' }],
              ['decline', { reason_code: 'unsafe' }],
              ['waitlist', {}],
              ['receive', {}],
            ],
    );
    return (await shelters.get(agency_id)!.post(`/v1/referrals/${referral_id}/${verb}`, body)).status;
  }
  const change = async () => {
    const key = one(KEYS);
    if (chance(0.6)) await setTotal(key, one([0, 1, 2, 3]));
    else if (chance(0.5)) {
      const status = one(['active', 'active', 'suspended']);
      ok(await as(key, 'supervisor').put(serviceOf(key), { status }, { 'if-match': '*' }));
    } else {
      const operating_mode = one(['open', 'open', 'closed']);
      const path = `/v1/agencies/${agencies[key].id}`;
      ok(await as(key, 'supervisor').patch(path, { operating_mode }, { 'if-match': '*' }));
    }
  };

  const seen: Record<string, number> = {};
  for (let round = 0; round < (LONG ? 400 : 25); round += 1) {
    const live = await liveOffers();
    // All at once, and the router beside them.
    const some = live.filter(() => chance(0.3));
    const answers = await Promise.all([...some.map(answer), drain(services).then(() => 0), ...(chance(0.5) ? [change()] : [])]);
    for (const status of answers) if (typeof status === 'number' && status > 0) seen[status] = (seen[status] ?? 0) + 1;
    if (chance(0.3)) clock.advance(one([1, MINUTE, 20 * MINUTE]));
    await drain(services);
    t.strictSame(await passedBy(test), [], `round ${round}: nobody waits while a place is free for her`);
    const over = await lookAsOwner(
      services,
      'select agency_id from capacities c where held <> (select coalesce(sum(places_held), 0) from offers o where o.agency_id = c.agency_id and o.service = c.service)',
    );
    t.strictSame(over, [], 'each place is held by one');
  }
  t.comment(JSON.stringify(seen));
  t.ok(seen[200]! > 50 && Object.keys(seen).every(status => ['200', '409'].includes(status)), 'there was much to do');
  await holdInvariants(t, { database: services.config.database_url!, now: services.now(), settled: true });
});

t.test('a change that helps, whichever it is', async t => {
  const test = await startTestApp(t);
  const { services } = test;
  const { as, agencies } = await mechanism(test);
  const sender = as('helpline_a');
  const admin = as('committee', 'nobody');
  const any = { 'if-match': '*' };
  const only = { routing: 'automatic', excluded_agencies: [agencies.shelter_b.id, agencies.shelter_c.id] };
  const shelter = `/v1/agencies/${agencies.shelter_a.id}`;
  const service = `${shelter}/services/shelter_accommodation`;
  const supervisor = as('shelter_a', 'supervisor');
  const usual = ok(await supervisor.get(service));
  const {
    agency_id: _a,
    service: _s,
    version: _v,
    created_at: _c,
    updated_at: _u,
    assured_at: _as,
    stale: _stale,
    ...offered
  } = usual;
  const rules = '/v1/jurisdictions/XA/rule-pack';
  const pack = ok(await admin.get(rules));

  const rows: [string, { before: () => Promise<unknown>; helps: (case_id: string) => Promise<unknown>; kase?: object }][] = [
    [
      'an agency that is no longer suspended',
      {
        before: () => admin.patch(shelter, { status: 'suspended' }, any).then(ok),
        helps: () => admin.patch(shelter, { status: 'active' }, any).then(ok),
      },
    ],
    [
      'one that is open again',
      {
        before: () => supervisor.patch(shelter, { operating_mode: 'closed' }, any).then(ok),
        helps: () => supervisor.patch(shelter, { operating_mode: 'open' }, any).then(ok),
      },
    ],
    [
      'a service that takes her now',
      {
        before: () => supervisor.put(service, { ...offered, max_age: 20 }, any).then(ok),
        helps: () => supervisor.put(service, offered, any).then(ok),
      },
    ],
    [
      'a person of whom more is known',
      {
        kase: { person: { sex: 'male', languages: ['ar'] } },
        before: async () => {},
        helps: case_id => sender.patch(`/v1/cases/${case_id}`, { person: { sex: 'female' } }, any).then(ok),
      },
    ],
    [
      'a case that is in another region now',
      {
        kase: { region: 'XA-2' },
        before: () => supervisor.put(service, { ...offered, regions: ['XA-1'] }, any).then(ok),
        helps: case_id => sender.patch(`/v1/cases/${case_id}`, { region: 'XA-1' }, any).then(ok),
      },
    ],
    [
      'places that are counted for the first time',
      {
        before: async () => {
          ok(await supervisor.put(service, offered, any));
          await lookAsOwner(services, 'update capacities set total = 0 where agency_id = $1', [agencies.shelter_a.id]);
        },
        helps: async () => {
          await lookAsOwner(services, 'delete from capacities where agency_id = $1', [agencies.shelter_a.id]);
          ok(await supervisor.put(`${service}/capacity`, { total: 4 }));
        },
      },
    ],
    [
      'a rule pack that no longer forbids it',
      {
        kase: { intake: { ...caseBody().intake, complainant: true } },
        before: async () => {
          const firewall = { agency_kinds: ['shelter'], when: { complainant: true }, source: 'illustrative' };
          ok(await admin.put(rules, { ...pack, firewalls: [...pack.firewalls, firewall] }, any));
        },
        helps: async () => {
          const { version: _version, created_at: _created_at, ...whole } = pack;
          ok(await admin.put(rules, whole, any));
        },
      },
    ],
  ];
  for (const [said, { before, helps, kase = {} }] of rows) {
    await before();
    const { kase: opened, referral } = await startNight(sender, { kase, referral: only });
    await drain(services);
    const { status } = ok(await sender.get(`/v1/referrals/${referral.id}`));
    t.equal(status, 'unplaced', `before: ${said}`);
    await helps(opened.id);
    await drain(services);
    t.equal(ok(await sender.get(`/v1/referrals/${referral.id}`)).status, 'offered', said);
    ok(await sender.post(`/v1/referrals/${referral.id}/cancel`, { reason_code: 'error' }));
  }
});

t.test('more who wait than are looked at in one go', async t => {
  const test = await startTestApp(t);
  const { services, clock } = test;
  const { as, agencies } = await mechanism(test);
  const sender = as('helpline_a');
  const path = `/v1/agencies/${agencies.shelter_a.id}/services/shelter_accommodation/capacity`;
  const setTotal = (total: number) => as('shelter_a', 'supervisor').put(path, { total }).then(ok);
  await setTotal(0);
  const { kase } = await startNight(sender);
  const excluded_agencies = [agencies.shelter_b.id, agencies.shelter_c.id];
  const ids: string[] = [];
  for (let i = 0; i < 45; i += 1) {
    clock.advance(1_000);
    const urgency = i === 44 ? 'emergency' : 'routine';
    ids.push(ok(await sender.post(`/v1/cases/${kase.id}/referrals`, referralBody({ urgency, excluded_agencies }))).id);
  }
  await drain(services);
  await setTotal(1);
  const in_order = [ids[44]!, ...ids.slice(0, 44)];
  for (const [i, id] of in_order.slice(0, 24).entries()) {
    await drain(services);
    const asked = await lookAsOwner<{ referral_id: string; ended: boolean }>(
      services,
      'select referral_id, ended_at is not null as ended from offers where referral_id = any ($1) order by offered_at, id',
      [ids],
    );
    t.strictSame(
      asked.filter(({ ended }) => !ended).map(({ referral_id }) => in_order.indexOf(referral_id)),
      [i],
      'asked for one at a time: an emergency first, then whoever has waited longest',
    );
    clock.advance(1_000);
    ok(await as('shelter_a').post(`/v1/referrals/${id}/decline`, { reason_code: 'unsafe' }));
  }
});

t.test('an agency suspended between ranking and offer', async t => {
  const test = await startTestApp(t);
  const { services } = test;
  const { as, agencies } = await mechanism(test);
  const sender = as('helpline_a');
  const kase = ok(await sender.post('/v1/cases', caseBody()));
  ok(await sender.post(`/v1/cases/${kase.id}/consents`, consentBody()));
  const { id: first } = agencies.shelter_a;
  const excluded_agencies = [agencies.shelter_b.id];

  /** Suspends it in a transaction that commits only once the referral waits for it. */
  async function whileSuspended(what: string, refer: () => Promise<unknown>): Promise<void> {
    const other = new pg.Client(services.config.database_url!);
    const look = new pg.Client(services.config.database_url!);
    await Promise.all([other.connect(), look.connect()]);
    await other.query('begin');
    await other.query(what, [first]);
    const referring = refer();
    for (;;) {
      const { rows } = await look.query('select 1 from pg_locks where not granted');
      if (rows.length > 0) break;
      await new Promise(resolve => setTimeout(resolve, 5));
    }
    await other.query('commit');
    await referring;
    await Promise.all([other.end(), look.end()]);
  }
  const suspensions = {
    agency: [
      `update agencies set status = 'suspended', version = version + 1 where id = $1`,
      `update agencies set status = 'active' where id = $1`,
      'agency_suspended',
    ],
    service: [
      `update services set status = 'suspended', version = version + 1 where agency_id = $1`,
      `update services set status = 'active' where agency_id = $1`,
      'not_offered',
    ],
  } as const;
  for (const [what, [suspend, restore, code]] of Object.entries(suspensions)) {
    await whileSuspended(suspend, async () => {
      const made = ok(await sender.post(`/v1/cases/${kase.id}/referrals`, referralBody({ excluded_agencies })));
      t.equal(made.status, 'unplaced', `${what}: the router asks nobody instead`);
    });
    await lookAsOwner(services, restore, [first]);
    await whileSuspended(suspend, async () => {
      const named = referralBody({ routing: 'direct', recipient_agency_id: first });
      const answer = await sender.post(`/v1/cases/${kase.id}/referrals`, named);
      t.match(answer.body, { code }, `${what}: nor is it asked by name`);
    });
    await lookAsOwner(services, restore, [first]);
  }
  t.equal((await lookAsOwner(services, 'select from offers where agency_id = $1', [first])).length, 0);
});
