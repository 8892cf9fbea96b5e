import { test } from 'tap';
import { deliverDue } from '../../src/webhooks/turn.ts';
import { startTestApp } from '../support/app.ts';
import { watchConnections } from '../support/connections.ts';
import { at, HOSTILE, LOOPBACK } from '../support/hostile-urls.ts';
import { openOutbound } from '../support/listen.ts';
import { mechanism } from '../support/mechanism.ts';
import { asRelay, demoActors, emit, notice, registerEndpoint, relayAll } from '../support/webhooks.ts';

/** Where an agency may not have webhooks sent: it cannot register that, and nothing goes there where it stands nevertheless. */

for (const production of [true, false]) {
  const urls = at(production ? [...LOOPBACK, ...HOSTILE] : HOSTILE, 9);

  test(`hostile URLs, ${production ? 'in' : 'outside'} production`, async t => {
    const it = await startTestApp(t, { WEBHOOK_PORTS: '9' });
    const { services } = it;
    const { as } = await mechanism(it);
    const { health: actor, helpline_a } = await demoActors(services);
    const health = as('health', 'supervisor');
    services.config.production = production;
    const attempts = watchConnections(t);
    const of_database = new URL(services.config.database_url!).port;
    const elsewhere = () => attempts.filter(it => !it.endsWith(`:${of_database}`));

    for (const url of urls) {
      const refused = await health.post('/v1/webhook-endpoints', { url, event_types: ['*'] });
      t.match(refused, { status: 400, body: { errors: [{ pointer: '/url' }] } }, JSON.stringify(url));
    }
    t.same((await health.get('/v1/webhook-endpoints')).body.data, []);

    // As if they had been registered under other rules.
    for (const url of urls) await registerEndpoint(services, actor, url);
    await emit(services, helpline_a, notice([health.agency.id]));
    await relayAll(services);
    const outbound = openOutbound(t, { production, ports: [9], lookup: async () => ['127.0.0.1'] });
    t.equal(await deliverDue(services, outbound), urls.length);
    const made = await asRelay(services, tx => tx.selectFrom('delivery_attempts').select(['status', 'error']).execute());
    t.equal(made.length, urls.length);
    t.ok(made.every(({ status, error }) => status === null && error === 'address_refused'));
    t.strictSame(elsewhere(), []);
    t.ok(urls.length >= 80);
  });
}
