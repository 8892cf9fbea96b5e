import t from 'tap';
import type { Service } from '../../src/core/codes.ts';
import type { GapLine } from '../../src/core/coverage.ts';
import type { DemoAgencyKey } from '../../src/demo.ts';
import { watchCoverage } from '../../src/figures/coverage/watch.ts';
import { startTestApp } from '../support/app.ts';
import { eventsOf } from '../support/journey.ts';
import { type Mechanism, mechanism } from '../support/mechanism.ts';
import { ok } from '../support/night.ts';
import { shipped } from '../support/rule-packs.ts';
import { NEW_SERVICE } from '../support/story.ts';
import { entriesOf, lookAsOwner } from '../support/trail.ts';
import { relayAll } from '../support/webhooks.ts';

/** For whom there is no route, and who hears of it when a change leaves somebody without one. */

t.setTimeout(120_000);

const COVERAGE = '/v1/figures/coverage';

/** A line in short: what is any is left out. */
const told = ({ gap, when, region, sex, age_band, protection_status, language }: GapLine): string =>
  [gap, region, sex, age_band, protection_status, language, when.length === 3 ? null : when].filter(it => it !== null).join(' ');

function directory({ as, agencies }: Mechanism) {
  const path = (key: DemoAgencyKey, service: Service) => `/v1/agencies/${agencies[key].id}/services/${service}`;
  return {
    /** What the agency offers from now on, all else being as where nothing is said. */
    offer: async (key: DemoAgencyKey, service: Service, more: object = {}) =>
      ok(await as(key, 'supervisor').put(path(key, service), { ...NEW_SERVICE, ...more }, { 'if-match': '*' })),
    enter: async (key: DemoAgencyKey, service: Service, more: object = {}) =>
      ok(await as(key, 'supervisor').put(path(key, service), { ...NEW_SERVICE, ...more }, { 'if-none-match': '*' })),
    setPlaces: async (key: DemoAgencyKey, service: Service, total: number) =>
      ok(await as(key, 'supervisor').put(`${path(key, service)}/capacity`, { total })),
    change: async (key: DemoAgencyKey, patch: object) =>
      ok(
        await as('committee', 'nobody').patch(`/v1/agencies/${agencies[key].id}`, patch, {
          'if-match': '*',
          'content-type': 'application/merge-patch+json',
        }),
      ),
  };
}

t.test('the coverage of a jurisdiction', async t => {
  const test = await startTestApp(t);
  const them = await mechanism(test);
  const { as } = them;
  const { offer, setPlaces } = directory(them);
  const committee = as('committee');
  const linesOf = async (query: string, who = committee): Promise<string[]> =>
    ok(await who.get(`${COVERAGE}?jurisdiction=XA&limit=200&${query}`)).data.map(told);

  await t.test('is told in few lines', async t => {
    const { data, totals, as_of, next_cursor } = ok(await committee.get(`${COVERAGE}?jurisdiction=XA&limit=200`));
    t.equal(as_of, '2026-11-21T19:00:00.000Z');
    t.equal(next_cursor, null);
    const nobody = data.filter((line: GapLine) => told(line) === 'structural').map(({ service }: GapLine) => service);
    t.ok(nobody.includes('voluntary_return') && nobody.includes('interpretation'));
    t.notOk(data.some(({ service }: GapLine) => service === 'medical'));
    t.notOk(data.some(({ service }: GapLine) => service === 'case_management'));
    t.strictSame(await linesOf('service=shelter_accommodation'), [
      'structural male 0-11',
      'structural male 12-17',
      'structural other',
    ]);
    t.strictSame(
      totals.map(({ when, at }: Record<string, string>) => [when, at]),
      [
        ['now', '2026-11-21T19:00:00.000Z'],
        // In Cairo, where Fridays and Saturdays are closed; this Saturday's noon is over.
        ['tonight', '2026-11-22T00:00:00.000Z'],
        ['weekend', '2026-11-27T10:00:00.000Z'],
      ],
    );
    for (const { profiles, covered, gaps } of totals)
      t.equal(profiles, covered + gaps.structural + gaps.closed + gaps.full, 'each profile has a route or a gap');
  });

  await t.test('narrows with each filter', async t => {
    const [total] = ok(await committee.get(`${COVERAGE}?jurisdiction=XA`)).totals;
    const narrow = async (query: string) => ok(await committee.get(`${COVERAGE}?jurisdiction=XA&limit=200&${query}`));
    t.equal((await narrow('service=medical')).totals[0].profiles, total.profiles / 19);
    const region = await narrow('region=XA-1');
    t.equal(region.totals[0].profiles, total.profiles / 2);
    t.ok(
      region.data.every((line: GapLine) => line.region === 'XA-1'),
      'the region that was asked for is named',
    );
    const tonight = await narrow('when=tonight');
    t.strictSame(tonight.totals.length, 1);
    t.ok(tonight.data.every(({ when }: GapLine) => when.join() === 'tonight'));
    t.strictSame(await linesOf('gap=closed'), []);
    t.strictSame((await narrow('region=XB-1')).totals, [], 'a region of another country');
    t.equal((await narrow('region=XA-9')).totals[0].profiles, total.profiles / 2, 'one that nobody names');
    for (const wrong of ['service=case_management', 'when=later', 'gap=some', 'region=XA', 'from=2026-01-01', 'cursor=abc'])
      t.equal((await committee.get(`${COVERAGE}?${wrong}`)).status, 400, wrong);
  });

  await t.test('of all jurisdictions of the caller, page by page', async t => {
    const whole = ok(await as('health').get(`${COVERAGE}?limit=200`));
    t.strictSame([...new Set(whole.totals.map(({ jurisdiction }: { jurisdiction: string }) => jurisdiction))], ['XA', 'XB']);
    const pages: GapLine[] = [];
    let cursor = '';
    do {
      const page = ok(await as('health').get(`${COVERAGE}?limit=5${cursor}`));
      t.strictSame(page.totals, whole.totals);
      pages.push(...page.data);
      cursor = page.next_cursor && `&cursor=${page.next_cursor}`;
    } while (cursor);
    t.strictSame(pages, whole.data);
  });

  await t.test('as a table', async t => {
    const reply = await committee.get(`${COVERAGE}?jurisdiction=XA&service=shelter_accommodation&format=csv&limit=1`);
    t.equal(reply.headers['content-type'], 'text/csv; charset=utf-8; header=present');
    t.match(reply.headers['audit-receipt'], /^[0-9a-f]{64}$/);
    t.strictSame(reply.body.split('\r\n'), [
      'jurisdiction,service,gap,when,region,sex,age_band,protection_status,language,profiles',
      'XA,shelter_accommodation,structural,now tonight weekend,,male,0-11,,,48',
      'XA,shelter_accommodation,structural,now tonight weekend,,male,12-17,,,48',
      'XA,shelter_accommodation,structural,now tonight weekend,,other,,,,240',
      '',
    ]);
  });

  await t.test('looks at hours, the unknown ones as open', async t => {
    const schedule = {
      freq: 'WEEKLY',
      timezone: 'Africa/Cairo',
      byday: 'SU,MO,TU,WE,TH,FR,SA',
      opens_at: '20:00',
      closes_at: '23:00',
    };
    await offer('health', 'medical', { schedules: [schedule] });
    t.strictSame(await linesOf('service=medical'), ['closed tonight,weekend']);
    await offer('health', 'medical', { schedules: [] });
    t.strictSame(await linesOf('service=medical'), []);
    const [now] = ok(await committee.get(`${COVERAGE}?jurisdiction=XA&service=medical`)).totals;
    t.equal(now.hours_unknown, now.covered);
  });

  await t.test('looks at places for now, and tells coordinators alone', async t => {
    await setPlaces('shelter_c', 'shelter_accommodation', 0);
    const full = ['full male 18-24 now', 'full male 25-59 now', 'full male 60+ now'];
    t.strictSame(await linesOf('service=shelter_accommodation&gap=full'), full);
    t.strictSame(await linesOf('service=shelter_accommodation&gap=full', as('health')), []);
    t.strictSame((await linesOf('service=shelter_accommodation', as('health'))).length, 3);
    const [now] = ok(await as('health').get(`${COVERAGE}?jurisdiction=XA&service=shelter_accommodation`)).totals;
    t.notOk('full' in now.gaps);
    await setPlaces('shelter_c', 'shelter_accommodation', 1);
    t.strictSame(await linesOf('service=shelter_accommodation&gap=full'), []);
  });

  await t.test('looks at languages where they are asked for', async t => {
    await offer('health', 'medical', { languages: ['ar'] });
    t.strictSame(await linesOf('service=medical'), [], 'an interpreter makes it a route');
    const lines = await linesOf('service=medical&gap=with_interpretation');
    t.ok(lines.includes('with_interpretation en'));
    t.notOk(lines.some(line => line.endsWith(' ar')));
    await offer('health', 'medical');
  });

  await t.test('is for those who work there, and recorded', async t => {
    t.match(await as('health').get(`${COVERAGE}?jurisdiction=EG`), { status: 404, body: { code: 'not_found' } });
    t.match(await as('health', 'nobody').get(COVERAGE), { status: 400, body: { code: 'acting_caseworker_required' } });
    t.match(await as('audit_body').get(COVERAGE), { status: 403, body: { code: 'forbidden' } });
    t.match(await as('health', 'worker', ['directory']).get(COVERAGE), { status: 403, body: { code: 'insufficient_scope' } });
    const before = (await entriesOf(test.services, 'coverage.read')).length;
    ok(await as('health').get(COVERAGE));
    const entries = await entriesOf(test.services, 'coverage.read');
    t.match(entries.slice(before), [{ outcome: 'read', agency_id: them.agencies.health.id }]);
  });
});

t.test('a gap that a change opens', async t => {
  const test = await startTestApp(t);
  const { services } = test;
  const them = await mechanism(test);
  const { as } = them;
  const { offer, enter, change, setPlaces } = directory(them);
  const watchThrice = () => Promise.all([1, 2, 3].map(() => watchCoverage(services)));
  let before = 0;
  /** What the committee was told since it was asked last. */
  const heard = async () => {
    await watchThrice();
    await relayAll(services);
    const events = (await eventsOf(services, as('committee', 'nobody'))).filter(({ type }) => type === 'coverage.gap');
    const fresh = events.slice(before).map(({ data: { event_id: _, position: __, sequence: ___, ...body } }) => body);
    before = events.length;
    return fresh.sort((a, b) => (String(a.jurisdiction) < String(b.jurisdiction) ? -1 : 1));
  };
  const notify = { roles: ['coordinator'] };
  const in_both = (gap: object) =>
    ['XA', 'XB'].map(jurisdiction => ({
      jurisdiction,
      gap: 'structural',
      when: ['now', 'tonight', 'weekend'],
      regions: [`${jurisdiction}-1`, `${jurisdiction}-2`],
      notify,
      ...gap,
    }));

  await t.test('what was missing from the beginning is not told', async t => {
    t.strictSame(await heard(), []);
    t.equal((await lookAsOwner(services, 'select from coverage_states')).length, 2);
  });

  await t.test('is told once to the coordinators of each jurisdiction, however many look', async t => {
    await offer('health', 'medical', { status: 'suspended' });
    t.strictSame(await heard(), in_both({ service: 'medical', profiles: 240 }));
    t.strictSame(await heard(), []);
    const entries = await entriesOf(services, 'coverage.note_gap');
    t.match(entries, [
      { outcome: 'done', client_id: 'system:router' },
      { outcome: 'done', client_id: 'system:router' },
    ]);
    t.equal(entries.length, 2);
    const others = await eventsOf(services, as('health', 'nobody'));
    t.notOk(others.some(({ type }) => type === 'coverage.gap'));
  });

  await t.test('closes in silence, and is told again when it opens again', async t => {
    await offer('health', 'medical');
    t.strictSame(await heard(), []);
    await offer('health', 'medical', { sexes: ['female', 'male'] });
    t.strictSame(await heard(), in_both({ service: 'medical', profiles: 80 }));
    await offer('health', 'medical', { sexes: ['female'] });
    t.strictSame(await heard(), in_both({ service: 'medical', profiles: 80 }));
    await offer('health', 'medical');
    t.strictSame(await heard(), []);
  });

  await t.test('follows what an agency is, and a region that nobody names any more', async t => {
    await change('health', { operating_mode: 'closed' });
    t.strictSame(await heard(), in_both({ service: 'medical', profiles: 240 }));
    await change('health', { operating_mode: 'open', status: 'suspended' });
    t.strictSame(await heard(), []);
    await change('health', { status: 'active' });
    t.strictSame(await heard(), []);

    await enter('civil_society', 'livelihood', { regions: ['XA-1', 'XA-7'] });
    t.strictSame(await heard(), []);
    await offer('civil_society', 'livelihood', { regions: ['XA-1'] });
    const [of_both] = in_both({ service: 'livelihood', regions: ['XA-7'], profiles: 120 });
    t.strictSame(await heard(), [of_both]);
  });

  await t.test('may be of the night alone', async t => {
    const by_day = {
      timezone: 'Africa/Cairo',
      freq: 'WEEKLY',
      byday: 'MO,TU,WE,TH,FR,SA,SU',
      opens_at: '08:00',
      closes_at: '20:00',
    };
    await offer('health', 'medical', { schedules: [by_day] });
    t.strictSame(await heard(), in_both({ service: 'medical', gap: 'closed', when: ['tonight'], profiles: 240 }));
    await offer('health', 'medical');
    t.strictSame(await heard(), []);

    await offer('health', 'medical', { schedules: [{ ...by_day, byday: 'MO,TU,WE' }] });
    await heard();
    test.clock.advance(6 * 3_600_000);
    for (let day = 0; day < 8; day += 1) {
      test.clock.advance(24 * 3_600_000);
      t.strictSame(await heard(), [], 'another night, and nothing changed');
    }
    await offer('health', 'medical');
    await heard();
  });

  await t.test('a new region opens none', async t => {
    await offer('civil_society', 'livelihood', { regions: ['XA-1', 'XA-8'] });
    t.strictSame(await heard(), []);
  });

  await t.test('follows the rules', async t => {
    const pack = shipped('XA');
    const routes = [
      ...pack.routes.filter(({ service }) => service !== 'psychosocial'),
      { service: 'psychosocial', agency_kinds: ['council'], obligation: 'may', when: { child: true }, source: 'illustrative' },
    ];
    ok(await as('committee', 'nobody').put('/v1/jurisdictions/XA/rule-pack', { ...pack, routes }, { 'if-match': '*' }));
    const [gap, ...more] = await heard();
    t.match(gap, { jurisdiction: 'XA', service: 'psychosocial' });
    t.equal(more.length, 0);
  });

  await t.test('is not that all are full', async t => {
    await setPlaces('shelter_c', 'shelter_accommodation', 0);
    t.strictSame(await heard(), []);
  });

  await t.test('is told of one jurisdiction though another fails', async t => {
    await lookAsOwner(
      services,
      `create function fail() returns trigger language plpgsql as $$ begin raise exception 'no'; end $$;
       create trigger fails before update on coverage_states for each row when (new.jurisdiction = 'XA') execute function fail()`,
    );
    await offer('health', 'medical', { status: 'suspended' });
    t.match(await heard(), [{ jurisdiction: 'XB', service: 'medical' }]);
    t.match(
      (await entriesOf(services, 'coverage.note_gap')).filter(({ outcome }) => outcome === 'failed'),
      [{ code: 'internal_error' }],
    );
    await lookAsOwner(services, 'drop trigger fails on coverage_states');
    t.match(await heard(), [{ jurisdiction: 'XA', service: 'medical' }]);
  });
});

t.test('a crisis changes who can be asked where it holds', async t => {
  const test = await startTestApp(t);
  const { as } = await mechanism(test);
  const [committee, admin] = [as('committee'), as('committee', 'nobody')];
  const pack = shipped('XA');
  const plan = { ...pack.crisis_plans[0]!, operating_modes: [{ agency_kinds: ['health'], mode: 'closed' }] };
  ok(await admin.put('/v1/jurisdictions/XA/rule-pack', { ...pack, crisis_plans: [plan] }, { 'if-match': '*' }));
  await watchCoverage(test.services);
  const look = async () => ok(await committee.get(`${COVERAGE}?jurisdiction=XA&service=medical`));
  t.match(await look(), { data: { length: 0 }, totals: [{ crisis_modes: { length: 0 } }] });

  const path = '/v1/jurisdictions/XA/crisis-modes';
  const body = { kind: 'conflict', phase: 'response', regions: ['XA-1'], reason: 'fictional shelling' };
  const { id } = ok(await committee.post(path, body));
  const { data, totals } = await look();
  t.strictSame(data.map(told), ['structural XA-1'], 'in that region alone');
  t.strictSame(totals[0].crisis_modes, [id]);
  await watchCoverage(test.services);
  await relayAll(test.services);
  const gaps = (await eventsOf(test.services, committee)).filter(({ type }) => type === 'coverage.gap');
  t.match(gaps, [{ data: { jurisdiction: 'XA', service: 'medical', regions: ['XA-1'] } }]);
  ok(await committee.post(`${path}/${id}/end`));
  t.strictSame((await look()).data, []);
});
