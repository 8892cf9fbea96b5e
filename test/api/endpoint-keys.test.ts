import { test } from 'tap';
import { createOutbound } from '../../src/platform/outbound.ts';
import { wipeExpiredSecrets } from '../../src/webhooks/retention.ts';
import { deliverDue } from '../../src/webhooks/turn.ts';
import { startTestApp } from '../support/app.ts';
import { mechanism } from '../support/mechanism.ts';
import { ok } from '../support/night.ts';
import { asRelay, relayAll, startReceiver, verifiesByPublicKey } from '../support/webhooks.ts';

const PATH = '/v1/webhook-endpoints';
const HOUR = 3_600_000;

test('webhook endpoints', async t => {
  const it = await startTestApp(t);
  const { services, clock } = it;
  const { as } = await mechanism(it);
  const health = as('health', 'supervisor');
  const receiver = await startReceiver(t);
  const outbound = createOutbound({ production: false, ports: [] });
  t.teardown(() => outbound.close());
  // The library that receivers use looks at the time, too.
  clock.advance(Date.now() - clock.now().getTime());
  const run = async () => {
    await relayAll(services);
    return deliverDue(services, outbound);
  };
  const create = (body: object = {}) => health.post(PATH, { url: receiver.url, event_types: ['endpoint.test'], ...body });

  await t.test('sign with a key pair of their own where they are asked to; the private half never leaves', async t => {
    const signatures = () => String(receiver.received.at(-1)!.headers['webhook-signature']).replaceAll(/,\S+/g, '');
    const send = async (id: string) => {
      ok(await health.post(`${PATH}/${id}/test`));
      await run();
      return receiver.received.at(-1)!;
    };
    const row = (id: string) =>
      asRelay(services, tx => tx.selectFrom('webhook_endpoints').selectAll().where('id', '=', id).executeTakeFirstOrThrow());

    const { secret, ...made } = ok(await create({ signature: ['v1', 'v1a'] }));
    t.match(made, { signature: ['v1', 'v1a'], public_key: /^whpk_[\w+/]{43}=$/, previous_public_key: null });
    const got = await send(made.id);
    t.equal(signatures(), 'v1 v1a');
    receiver.verify(secret, got);
    t.ok(verifiesByPublicKey(made.public_key, got));
    t.notOk(verifiesByPublicKey(ok(await create({ signature: ['v1a'] })).public_key, got), 'each has its own');
    const before = await row(made.id);
    const opened = services.vault.openOwn(
      { table: 'webhook_endpoints', row: made.id, category: 'private_key', version: 1 },
      before.private_key!,
    );
    t.notOk(before.private_key!.includes(opened), 'sealed at rest');
    t.notOk(JSON.stringify(made).includes(opened));

    const only = await health.patch(`${PATH}/${made.id}`, { signature: ['v1a'] }, { 'if-match': '"1"' });
    t.match(only, { status: 200, body: { signature: ['v1a'], public_key: made.public_key } }, 'it keeps its key');
    t.ok(verifiesByPublicKey(made.public_key, await send(made.id)));
    t.equal(signatures(), 'v1a');

    const neither = await health.patch(`${PATH}/${made.id}`, { signature: ['v1'] }, { 'if-match': '"2"' });
    t.match(neither.body, { signature: ['v1'], public_key: null });
    receiver.verify(secret, await send(made.id));
    t.equal(signatures(), 'v1');
    t.match(await row(made.id), { public_key: null, private_key: null }, 'and is destroyed with it');

    const anew = await health.patch(`${PATH}/${made.id}`, { signature: ['v1', 'v1a'] }, { 'if-match': '"3"' });
    t.not(anew.body.public_key, made.public_key, 'a new one is made');
    t.ok(verifiesByPublicKey(anew.body.public_key, await send(made.id)));
    ok(await health.patch(`${PATH}/${made.id}`, { description: 'x' }, { 'if-match': '"4"' }));
    t.equal(ok(await health.get(`${PATH}/${made.id}`)).public_key, anew.body.public_key, 'nothing else touches it');

    await health.del(`${PATH}/${made.id}`);
    t.match(await row(made.id), { public_key: null, private_key: null }, 'nor is it kept of what is deleted');
  });

  await t.test('rotate both kinds of keys; for 24 h old and new sign', async t => {
    const made = ok(await create({ signature: ['v1', 'v1a'] }));
    const one = `${PATH}/${made.id}`;
    const send = async () => {
      ok(await health.post(`${one}/test`));
      await run();
      return receiver.received.at(-1)!;
    };
    const { secret } = ok(await health.post(`${one}/rotate-secret`));
    const rotated = ok(await health.get(one));
    t.not(rotated.public_key, made.public_key);
    t.equal(rotated.previous_public_key, made.public_key);

    const during = await send();
    for (const it of [made.secret, secret]) receiver.verify(it, during);
    for (const it of [made.public_key, rotated.public_key]) t.ok(verifiesByPublicKey(it, during));
    t.equal(String(during.headers['webhook-signature']).split(' ').length, 4);

    clock.advance(24 * HOUR + 1);
    const later = await send();
    t.ok(verifiesByPublicKey(rotated.public_key, later));
    t.notOk(verifiesByPublicKey(made.public_key, later));
    t.equal(String(later.headers['webhook-signature']).split(' ').length, 2);
    await wipeExpiredSecrets(services);
    t.match(ok(await health.get(one)), {
      public_key: rotated.public_key,
      previous_public_key: null,
      previous_secret_until: null,
    });
    const [row] = await asRelay(services, tx =>
      tx.selectFrom('webhook_endpoints').select('previous_private_key').where('id', '=', made.id).execute(),
    );
    t.same(row, { previous_private_key: null });
  });

  await t.test('name who looks after them, to their own agency', async t => {
    const committee = as('committee', 'supervisor');
    const told = async (client: typeof health, type: string, id: string) => {
      const { data } = ok(await client.get(`/v1/events?types=${type}&limit=200`));
      return data.findLast((event: { data: { endpoint_id: string } }) => event.data.endpoint_id === id)?.data.notify;
    };
    const made = ok(await create({ contact_staff_code: 'IT-1' }));
    t.equal(made.contact_staff_code, 'IT-1');
    const one = `${PATH}/${made.id}`;
    const fail = async () => {
      ok(await health.post(`${one}/test`));
      receiver.replies.push({ status: 410 });
      await run();
      await relayAll(services);
    };
    await fail();
    t.same(await told(health, 'endpoint.failing', made.id), { roles: ['supervisor'], staff_code: 'IT-1' });
    t.same(await told(committee, 'endpoint.failing', made.id), { roles: ['coordinator'] });
    ok(await health.post(`${one}/enable`));
    await run();
    t.same(await told(health, 'endpoint.recovered', made.id), { roles: ['supervisor'], staff_code: 'IT-1' });

    const { version } = ok(await health.get(one));
    const changed = await health.patch(one, { contact_staff_code: null }, { 'if-match': `"${version}"` });
    t.match(changed, { status: 200, body: { contact_staff_code: null } });
    await run();
    await fail();
    t.same(await told(health, 'endpoint.failing', made.id), { roles: ['supervisor'] });
    ok(await health.post(`${one}/recover`, { since: clock.now().toISOString() }));
    await relayAll(services);
    t.same(await told(health, 'endpoint.recovered', made.id), { roles: ['supervisor'] });
  });
});
