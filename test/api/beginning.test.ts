import { chmod, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'tap';
import { createFirstAdmin, restoreAccess } from '../../src/access/first-admin.ts';
import { buildApi } from '../../src/api.ts';
import { isDemo, loadDemo, prepareDemo } from '../../src/demo.ts';
import { newId } from '../../src/platform/ids.ts';
import { openTestServices, startTestApp } from '../support/app.ts';
import { answerOf, mechanism } from '../support/mechanism.ts';
import { EMPTY_TEMPLATE } from '../support/template.ts';
import { entriesOf, lookAsOwner } from '../support/trail.ts';

const options = { agency: 'Lead Committee', kind: 'coordination_committee', jurisdictions: ['EG'], staff_code: 'S-1' } as const;

test('the demonstration goes into an empty database, its credentials into a private file', async t => {
  const { services } = await openTestServices(t, {}, EMPTY_TEMPLATE);
  const credentials_path = join(services.config.data_dir, 'nested', 'demo-credentials.json');
  t.notOk(await isDemo(services.db));
  await loadDemo(services, { base_url: 'http://127.0.0.1:3000', credentials_path });
  t.ok(await isDemo(services.db));
  t.equal((await stat(credentials_path)).mode & 0o777, 0o600);

  const written = JSON.parse(await readFile(credentials_path, 'utf8'));
  t.same(Object.keys(written), ['base_url', 'jurisdictions', 'agencies']);
  t.match(written, { base_url: 'http://127.0.0.1:3000', jurisdictions: { normal: 'XA', fast: 'XB' } });
  t.same(Object.keys(written.agencies), [
    'helpline_a',
    'helpline_b',
    'shelter_a',
    'shelter_b',
    'shelter_c',
    'labour_inspection',
    'prosecution',
    'health',
    'civil_society',
    'committee',
    'audit_body',
  ]);
  t.match(written.agencies.committee.caseworkers, [
    { roles: ['coordinator'] },
    { roles: ['coordinator', 'supervisor', 'auditor'] },
  ]);
  t.match(written.agencies.helpline_b.caseworkers[0].roles, ['operator', 'caseworker', 'screener']);
  const secrets = Object.values<{ client_secret: string }>(written.agencies).map(agency => agency.client_secret);
  t.equal(new Set(secrets).size, 11);
  t.match(await entriesOf(services, 'demo.load'), [{ outcome: 'done', client_id: 'system:setup' }]);
  const packs = await lookAsOwner(services, 'select jurisdiction, version from rule_packs order by 1');
  t.same(packs, [
    { jurisdiction: 'XA', version: 1 },
    { jurisdiction: 'XB', version: 1 },
  ]);

  await chmod(credentials_path, 0o644);
  await loadDemo(services, { base_url: 'http://127.0.0.1:4000', credentials_path });
  const again = JSON.parse(await readFile(credentials_path, 'utf8'));
  t.same(again, { ...written, base_url: 'http://127.0.0.1:4000' }, 'once, but for where it listens');
  t.equal((await stat(credentials_path)).mode & 0o777, 0o600);
});

test('nothing is loaded when the credentials cannot be written', async t => {
  const { services } = await openTestServices(t, {}, EMPTY_TEMPLATE);
  const credentials_path = join(services.config.keyring_path, 'not-a-folder', 'demo-credentials.json');
  await t.rejects(loadDemo(services, { base_url: 'x', credentials_path }));
  t.notOk(await isDemo(services.db));
  t.same(await lookAsOwner(services, 'select id from agencies'), []);
});

test('the demonstration is refused beside other agencies', async t => {
  const { services } = await openTestServices(t, {}, EMPTY_TEMPLATE);
  await createFirstAdmin(services, options);
  await t.rejects(prepareDemo(services), { name: 'ConfigError' });
  t.notOk(await isDemo(services.db));
});

test('two processes that start together load it once', async t => {
  const { services } = await openTestServices(t, {}, EMPTY_TEMPLATE);
  const outcomes = await Promise.all([prepareDemo(services), prepareDemo(services)]);
  t.equal(outcomes.filter(it => it === null).length, 1, 'the second one finds it loaded');
  t.equal((await lookAsOwner(services, 'select id from agencies')).length, 11);
});

test('the first administrator is held to what the API takes', async t => {
  const { services } = await openTestServices(t, {}, EMPTY_TEMPLATE);
  for (const [wrong, option] of [
    [{ jurisdictions: ['EG', 'egypt'] }, '--jurisdiction'],
    [{ staff_code: 'Jane Doe' }, '--staff-code'],
    [{ agency: '' }, '--agency'],
    [{ agency: 'x'.repeat(201) }, '--agency'],
    [{ agency: 'nul \0' }, '--agency'],
  ] as const) {
    const refused = createFirstAdmin(services, { ...options, ...wrong });
    await t.rejects(refused, { name: 'ConfigError', message: new RegExp(`^${option} must be`) });
  }
  t.same(await lookAsOwner(services, 'select id from agencies'), []);
});

test('an agency that lost its last client comes back', async t => {
  const it = await startTestApp(t);
  const { as, agencies } = await mechanism(it);
  const { id, client_id } = agencies.health;
  t.equal((await as('committee', 'nobody').post(`/v1/clients/${client_id}/revoke`)).status, 200);
  t.equal((await as('health', 'supervisor').get('/v1/agencies')).status, 401);

  const made = await restoreAccess(it.services, id);
  t.match(await entriesOf(it.services, 'client.restore'), [{ outcome: 'done', client_id: 'system:setup' }]);
  const token = answerOf(
    await it.app.inject({
      method: 'POST',
      url: '/oauth/token',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      payload: new URLSearchParams({ grant_type: 'client_credentials', ...made }).toString(),
    }),
  );
  t.equal(token.status, 200);
  const scopes = token.body.scope.split(' ');
  t.ok(scopes.includes('directory') && scopes.includes('referrals'));
  t.notOk(scopes.includes('admin'), 'no more than it could before');
  await t.rejects(restoreAccess(it.services, newId('agy')), { name: 'ConfigError' });

  const agency = { name: 'Never', kind: 'school', jurisdictions: ['XA'] };
  const never = await as('committee', 'nobody').post('/v1/agencies', agency);
  await t.rejects(restoreAccess(it.services, never.body.id), { name: 'ConfigError' });
});

test('the first administrator is made once', async t => {
  const { services } = await openTestServices(t, {}, EMPTY_TEMPLATE);
  const { client_id, client_secret, agency_id } = await createFirstAdmin(services, options);
  await t.rejects(createFirstAdmin(services, options), { name: 'ConfigError' });
  t.match(await entriesOf(services, 'admin.create'), [{ outcome: 'done', client_id: 'system:setup' }]);

  const app = await buildApi(services);
  t.teardown(() => app.close());
  const token = answerOf(
    await app.inject({
      method: 'POST',
      url: '/oauth/token',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      payload: new URLSearchParams({ grant_type: 'client_credentials', client_id, client_secret }).toString(),
    }),
  );
  const headers = { authorization: `Bearer ${token.body.access_token}`, 'acting-caseworker': 'S-1' };
  const created = await app.inject({
    method: 'POST',
    url: '/v1/agencies',
    headers,
    payload: { name: 'A', kind: 'shelter', jurisdictions: ['EG'] },
  });
  t.equal(created.statusCode, 201);
  const patched = await app.inject({
    method: 'PATCH',
    url: `/v1/agencies/${agency_id}`,
    headers: { ...headers, 'if-match': '"1"' },
    payload: { operating_mode: 'reduced' },
  });
  t.equal(patched.statusCode, 200);
});
