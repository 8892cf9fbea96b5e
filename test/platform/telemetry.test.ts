import pg from 'pg';
import t from 'tap';
import { backlogReader } from '../../src/platform/backlog.ts';
import { createLogger } from '../../src/platform/log.ts';
import { startMetricsListener } from '../../src/platform/metrics.ts';
import { createOutbound } from '../../src/platform/outbound.ts';
import { deliverDue } from '../../src/webhooks/turn.ts';
import { startTestApp } from '../support/app.ts';
import { drain } from '../support/drain.ts';
import { figure, parseFigures } from '../support/figures.ts';
import { MINUTE } from '../support/journey.ts';
import { mechanism } from '../support/mechanism.ts';
import { caseBody, ok, startNight } from '../support/night.ts';
import { lookAsOwner } from '../support/trail.ts';
import { demoActors, registerEndpoint, startReceiver } from '../support/webhooks.ts';

/** What whoever runs the service is told of it: logs and figures. And what they are never told. */

// biome-ignore lint/suspicious/noExplicitAny: a line holds whatever was logged
type Logged = any;

/** Stands wherever a person's data may stand. */
const CANARY = 'CANARY7Q';

t.test('a night in logs and figures', async t => {
  const written: string[] = [];
  const test = await startTestApp(t, { ROLES: 'api', LOG_LEVEL: 'trace' }, { write: line => void written.push(line) });
  const { app, services, clock } = test;
  const lines = (message: string): Logged[] => written.map(line => JSON.parse(line)).filter(({ msg }) => msg === message);
  const { as, agencies, tokenFor } = await mechanism(test);
  const sender = as('helpline_a');
  const outbound = createOutbound({ production: false, ports: [] });
  t.teardown(() => outbound.close());
  const receiver = await startReceiver(t);
  const endpoint_id = await registerEndpoint(services, (await demoActors(services)).helpline_a, receiver.url, [
    'case.opened',
    'referral.offered',
  ]);
  const read = backlogReader(services);
  const listener = await startMetricsListener(services, { host: '127.0.0.1', port: 0 }, read);
  t.teardown(() => listener.close());
  const scrape = async () => parseFigures(await (await fetch(listener.url)).text());

  const { kase, referral } = await startNight(sender);

  await t.test('a request is a line with its act, and the act leads to its events', async t => {
    const [line] = lines('request');
    t.strictSame(Object.keys(line), [
      ...['level', 'time', 'part', 'request_id', 'method', 'route', 'action', 'status', 'duration_ms', 'client_id'],
      ...['receipt', 'msg'],
    ]);
    t.match(line, {
      method: 'POST',
      route: '/v1/cases',
      action: 'case.open',
      status: 201,
      client_id: agencies.helpline_a.client_id,
      receipt: /^[0-9a-f]{64}$/,
    });
    const acts = lines('recorded');
    const opened = acts.find(({ receipt }) => receipt === line.receipt);
    t.equal(opened.request_id, line.request_id);
    const [told] = await lookAsOwner<{ id: string }>(services, 'select id from events where case_id = $1 order by number', [
      kase.id,
    ]);
    t.strictSame(opened.event_ids, [told!.id]);
    t.strictSame(
      (
        await lookAsOwner(
          services,
          `select meta::json->>'request_id' as request_id from audit_records where action = 'case.open'`,
        )
      )[0],
      { request_id: line.request_id },
    );
  });

  await t.test('what waits is counted, and how long', async t => {
    clock.advance(7_000);
    const before = await scrape();
    const events = await lookAsOwner<{ count: number }>(services, 'select count(*)::int from events where position is null');
    const timers = await lookAsOwner<{ count: number }>(
      services,
      'select count(*)::int from timers where next_step_at is not null',
    );
    t.ok(events[0]!.count > 1 && timers[0]!.count > 1);
    t.equal(figure(before, 'aman_database_up'), 1);
    t.equal(figure(before, 'aman_outbox_events'), events[0]!.count);
    t.equal(figure(before, 'aman_outbox_oldest_event_age_seconds'), 7);
    t.equal(figure(before, 'aman_timers_armed'), timers[0]!.count);
    t.equal(figure(before, 'aman_timers_due'), 0);
    t.equal(figure(before, 'aman_deliveries', { urgent: 'true' }), 0);

    await drain(services);
    clock.advance(3_000);
    const after = await scrape();
    t.equal(figure(after, 'aman_outbox_events'), 0);
    t.equal(figure(after, 'aman_outbox_oldest_event_age_seconds'), 0);
    t.equal(figure(after, 'aman_deliveries', { urgent: 'true' }), 1, 'the offer is an emergency');
    t.equal(figure(after, 'aman_deliveries', { urgent: 'false' }), 1, 'that a case was opened is none');
    t.equal(figure(after, 'aman_deliveries_oldest_age_seconds', { urgent: 'true' }), 3);
    t.strictSame(
      after.filter(({ name }) => name === 'aman_endpoint_deliveries').map(({ labels, value }) => [labels, value]),
      [[{ endpoint: endpoint_id }, 2]],
      'of the endpoints only those that have a backlog',
    );
    t.equal(figure(after, 'aman_undelivered_emergency_age_seconds'), 0, 'nothing has waited for too long');
  });

  await t.test('deliveries', async t => {
    receiver.replies.push({ status: 503 }, { status: 599 });
    t.equal(await deliverDue(services, outbound), 2);
    clock.advance(MINUTE);
    t.equal(await deliverDue(services, outbound), 2);
    const figures = await scrape();
    t.notOk(figures.some(({ name }) => name === 'aman_endpoint_deliveries'));
    const attempts = (outcome: string, reason: string) => figure(figures, 'aman_delivery_attempts_total', { outcome, reason });
    t.equal(attempts('parked', 'http_5xx'), 1);
    t.equal(attempts('pending', 'http_5xx'), 1);
    t.equal(attempts('delivered', 'http_2xx'), 2);
    for (const urgent of ['true', 'false']) {
      t.equal(figure(figures, 'aman_delivery_first_attempt_lag_seconds_count', { urgent }), 1, 'second attempts are none');
      t.equal(figure(figures, 'aman_delivery_first_attempt_lag_seconds_sum', { urgent }), 10);
    }

    const attempted = lines('delivery attempted');
    t.equal(attempted.length, 4);
    t.strictSame(
      new Set(attempted.map(line => line.event_id)),
      new Set(receiver.received.map(({ headers }) => headers['webhook-id'])),
    );
    const [first] = attempted.filter(({ reason }) => reason === 'http_503');
    t.match(first, { delivery_id: /^dlv_/, endpoint_id, attempt: 1, outcome: 'parked', receipt: /^[0-9a-f]{64}$/ });
    t.match(
      attempted.find(line => line.event_id === first.event_id && line.attempt === 2),
      { delivery_id: first.delivery_id, outcome: 'delivered', reason: 'http_204' },
    );
  });

  await t.test('who does not hear', async t => {
    const reached = () => lookAsOwner<{ count: number }>(services, 'select count(*)::int from unreachable_agencies');
    const [{ count }] = (await reached()) as [{ count: number }];
    t.ok(count > 0);
    t.equal(figure(await scrape(), 'aman_unreachable_agencies'), count);
    const [{ at }] = (await lookAsOwner<{ at: Date }>(
      services,
      `select min(occurred_at) as at from events where urgent and agency_id <> $1`,
      [agencies.helpline_a.id],
    )) as [{ at: Date }];
    const age = () => (clock.now().getTime() - at.getTime()) / 1_000;
    clock.advance(5 * MINUTE);
    const late = await scrape();
    t.equal(figure(late, 'aman_undelivered_emergency_age_seconds'), age());
    await lookAsOwner(services, 'update events set heard_at = occurred_at');
    t.equal(figure(await scrape(), 'aman_undelivered_emergency_age_seconds'), 0);
    clock.advance(-5 * MINUTE);
  });

  await t.test('timers', async t => {
    const [due] = await lookAsOwner<{ id: string; next_step_at: Date }>(
      services,
      'select id, next_step_at from timers where referral_id = $1 order by next_step_at limit 1',
      [referral.id],
    );
    clock.advance(due!.next_step_at.getTime() - clock.now().getTime() + 2_000);
    const late = await scrape();
    t.equal(figure(late, 'aman_timers_due'), 1);
    t.equal(figure(late, 'aman_timers_oldest_due_age_seconds'), 2);
    await drain(services);
    const fired = await scrape();
    t.equal(figure(fired, 'aman_timers_due'), 0);
    t.equal(figure(fired, 'aman_timer_lag_seconds_count'), 1);
    t.equal(figure(fired, 'aman_timer_lag_seconds_sum'), 2);
    t.match(lines('timer fired'), [{ timer_id: due!.id, steps: ['warn'], lag_ms: 2_000 }]);
  });

  await t.test('requests and transactions', async t => {
    t.equal((await sender.get(`/v1/cases/${kase.id.slice(0, -3)}zzz`)).status, 404);
    t.equal((await app.inject({ method: 'GET', url: `/${CANARY}` })).statusCode, 404);
    const figures = await scrape();
    const requests = (method: string, route: string, status: string) =>
      figure(figures, 'aman_http_requests_total', { method, route, status });
    t.equal(requests('POST', '/v1/cases', '201'), 1);
    t.equal(requests('GET', '/v1/cases/:id', '404'), 1);
    t.equal(requests('GET', 'none', '404'), 1);
    t.equal(figure(figures, 'aman_http_request_duration_seconds_count', { method: 'GET', route: '/v1/cases/:id' }), 1);
    const transactions = (outcome: string) => figure(figures, 'aman_transaction_duration_seconds_count', { outcome });
    t.ok(transactions('committed')! > 10);
    t.equal(transactions('refused'), 1);
    t.equal(figure(figures, 'aman_transaction_retries_total'), 0);
    t.ok(figure(figures, 'aman_database_pool_connections', { state: 'idle' })! > 0);
    t.ok(figure(figures, 'nodejs_eventloop_lag_p99_seconds')! > 0);
    t.ok(figure(figures, 'process_resident_memory_bytes')! > 0);
  });

  await t.test('no figure says who, where or what for', async t => {
    ok(await sender.post('/v1/cases', caseBody()));
    await drain(services);
    const own = (await scrape()).filter(({ name }) => name.startsWith('aman_'));
    t.strictSame(
      [...new Set(own.flatMap(({ labels }) => Object.keys(labels)))].sort(),
      ['endpoint', 'le', 'method', 'outcome', 'reason', 'route', 'state', 'status', 'urgent', 'version'],
      'a new label is a decision',
    );
    // One figure names its endpoint, or nobody could tell a dead receiver from many slow ones: the id is random and says nothing else.
    const naming = own.filter(({ labels }) => 'endpoint' in labels);
    t.ok(naming.length > 0);
    for (const { name, labels } of naming) {
      t.equal(name, 'aman_endpoint_deliveries');
      t.strictSame(Object.keys(labels), ['endpoint']);
      t.match(labels.endpoint, /^whe_[0-9a-z]{26}$/);
    }
    for (const { labels } of own.filter(it => !naming.includes(it)))
      t.notMatch(JSON.stringify(labels), /_01[0-9a-z]{20}|XA|emergency|shelter|acknowledge|CANARY/);
  });

  await t.test('nothing else is told there', async t => {
    t.equal((await fetch(new URL('/', listener.url))).status, 404);
    t.equal((await fetch(`${listener.url}?x`)).status, 404);
    t.equal((await fetch(listener.url, { method: 'POST' })).status, 405);
    t.match((await fetch(listener.url)).headers.get('content-type'), /^text\/plain; version=0\.0\.4/);
  });

  const hostile = async () => {
    const token = (it: object) => ({ authorization: `Bearer ${CANARY}.${CANARY}.x`, ...it });
    const answers = await Promise.all([
      sender.post('/v1/cases', caseBody({ risk: CANARY, [CANARY]: CANARY, person: { sex: CANARY, date_of_birth: CANARY } })),
      sender.post('/v1/cases', caseBody({ region: CANARY })),
      sender.post(`/v1/cases/${CANARY}/close`, { reason_code: CANARY }),
      sender.post(`/v1/cases/${kase.id}/close`, { reason_code: 'error' }, { 'idempotency-key': CANARY, 'access-reason': CANARY }),
      sender.get(`/v1/cases?reference=${CANARY}&x=${CANARY}`, { 'acting-caseworker': CANARY, traceparent: CANARY }),
      sender.patch(`/v1/cases/${kase.id}`, { person: { given_name: CANARY } }, { 'if-match': CANARY }),
      ...(
        await Promise.all([
          app.inject({ method: 'POST', url: '/v1/cases', headers: token({ 'content-type': CANARY }), body: CANARY }),
          app.inject({ method: 'GET', url: `/v1/cases/${CANARY}?name=${CANARY}`, headers: token({}) }),
          app.inject({ method: 'GET', url: `/${CANARY}/%zz${CANARY}` }),
          app.inject({
            method: 'POST',
            url: '/oauth/token',
            body: `grant_type=${CANARY}&client_id=${CANARY}&client_secret=${CANARY}`,
            headers: { 'content-type': 'application/x-www-form-urlencoded' },
          }),
          ...[`{"person": ${CANARY}}`, `{"__proto__": {"x": "${CANARY}"}}`].map(async body =>
            app.inject({
              method: 'POST',
              url: '/v1/cases',
              headers: { ...(await bearer()), 'content-type': 'application/json' },
              body,
            }),
          ),
        ])
      ).map(({ statusCode }) => ({ status: statusCode })),
    ]);
    return answers.map(({ status }) => status);
  };
  const bearer = async () => ({ authorization: `Bearer ${await tokenFor('helpline_a')}` });

  await t.test('of requests that fail in any way no log holds what was sent', async t => {
    for (const status of await hostile()) t.ok(status >= 400, String(status));

    // A bug that the database finds: what it says quotes the row.
    await lookAsOwner(services, 'alter table agencies add constraint bug check (name not like $$CANARY%$$)');
    await lookAsOwner(services, 'create unique index bugs on agencies (name)');
    const admin = as('committee', 'supervisor');
    const agency = (name: string) => admin.post('/v1/agencies', { name, kind: 'health', jurisdictions: ['XA'] });
    t.equal((await agency(CANARY)).status, 500);
    t.equal((await agency(`X ${CANARY}`)).status, 201);
    t.equal((await agency(`X ${CANARY}`)).status, 500);
    const failures = lines('request failed').map(({ err, request_id }) => ({ ...err, request_id }));
    t.match(failures, [
      { code: '23514', constraint: 'bug', table: 'agencies', stack: /^ {4}at /, request_id: /-/ },
      { code: '23505', constraint: 'bugs' },
    ]);
    t.strictSame(Object.keys(failures[0]).sort(), ['code', 'constraint', 'name', 'request_id', 'stack', 'table']);
  });

  await t.test('without a database there are figures, and logs hold no more', async t => {
    const name = new URL(services.config.database_url!).pathname.slice(1);
    const admin = new pg.Client(process.env.TEST_DATABASE_ADMIN_URL);
    await admin.connect();
    t.teardown(() => admin.end());
    await admin.query(`alter database ${name} allow_connections false`);
    await admin.query('select pg_terminate_backend(pid) from pg_stat_activity where datname = $1', [name]);
    for (const status of await hostile()) t.ok(status >= 400, String(status));
    const figures = await scrape();
    t.equal(figure(figures, 'aman_database_up'), 0);
    t.equal(figure(figures, 'aman_outbox_events'), undefined, 'nothing is told that is not known');
    t.equal(figure(figures, 'aman_deliveries', { urgent: 'true' }), undefined);
    t.equal(figure(figures, 'aman_timers_due'), undefined);
    t.equal(figure(figures, 'aman_unreachable_agencies'), undefined);
    t.notOk(figures.some(({ name }) => name === 'aman_endpoint_deliveries'));
    t.ok(figure(figures, 'aman_http_requests_total', { method: 'POST', route: '/v1/cases', status: '201' }));
    await admin.query(`alter database ${name} allow_connections true`);
  });

  t.strictSame(
    written.filter(line => line.includes(CANARY)),
    [],
  );
  // What stands in the bodies of every night.
  t.strictSame(
    written.filter(line => /Testname|Placeholder|locked in|ring first|0000 0000|S-1\b/.test(line)),
    [],
  );
  t.ok(written.length > 40);
});

t.test('the log itself drops what may quote somebody', t => {
  const written: string[] = [];
  const log = createLogger('trace', { write: line => void written.push(line) });
  const raised = (work: () => unknown): Error => {
    try {
      work();
    } catch (error) {
      return error as Error;
    }
    throw new Error('was not raised');
  };
  const from_database = Object.assign(new Error(`duplicate ${CANARY}`), {
    severity: 'ERROR',
    code: '23505',
    ...{
      detail: CANARY,
      where: CANARY,
      hint: CANARY,
      internalQuery: CANARY,
      parameters: [CANARY],
      constraint: CANARY.repeat(20),
    },
  });
  const hostile: unknown[] = [
    from_database,
    raised(() => JSON.parse(`{"x": ${CANARY}}`)),
    raised(() => 'x' in (CANARY as unknown as object)),
    raised(() => Temporal.Instant.from(CANARY)),
    raised(() => Object.assign(Object.freeze({ [CANARY]: 1 }), { [CANARY]: 2 })),
    new Error(`first line\n    at ${CANARY} (file:1:1)`),
    new Error('fetch failed', { cause: new Error(CANARY, { cause: from_database }) }),
    Object.assign(new Error(CANARY), { name: `${CANARY} x`, code: `${CANARY} x` }),
    new AggregateError([new Error(CANARY)], CANARY),
    CANARY,
    { [CANARY]: CANARY },
  ];
  // As a library may, too, which knows nothing of our types.
  const any_log = log as unknown as Record<'error' | 'info', (...args: unknown[]) => void>;
  for (const error of hostile) {
    log.error({ err: error }, 'failed');
    any_log.error(error instanceof Error ? error : { err: error });
    any_log.error({ err: error });
  }
  any_log.info({ req: { url: CANARY, headers: { host: CANARY } }, res: CANARY, url: CANARY, body: CANARY }, 'incoming request');
  any_log.info(`Route GET:/v1/cases/${CANARY}?x=${CANARY} not found`);
  any_log.error({ err: new Error(`did you forget to return in "/v1/${CANARY}"`) });
  any_log.info(`got http://h.example/v1/cases/${CANARY}?x=${CANARY}`);
  any_log.info({ reason: { deep: CANARY }, event_ids: [{ deep: CANARY }] }, 'nested');
  log.child({ part: 'api', given_name: CANARY, url: CANARY } as Parameters<typeof log.child>[0]).info('from a child');
  any_log.error(new Error(`Connection terminated ${CANARY}`));
  any_log.info('Server listening at http://127.0.0.1:3000');

  t.strictSame(
    written.filter(line => line.includes(CANARY)),
    [],
  );
  t.equal(written.length, hostile.length * 3 + 8);
  t.match(JSON.parse(written.at(-3)!), { part: 'api', msg: 'from a child' });
  t.match(JSON.parse(written[0]!).err, { name: 'Error', code: '23505', stack: /^ {4}at .+telemetry\.test\.ts/ });
  t.match(JSON.parse(written[3]!).err, { name: 'SyntaxError' });
  t.match(JSON.parse(written.at(-1)!).msg, 'Server listening at http://127.0.0.1:3000');
  t.end();
});

t.test('what says why a connection failed is kept', async t => {
  const written: string[] = [];
  const log = createLogger('info', { write: line => void written.push(line) });
  const refused = await new pg.Client('postgres://x:y@127.0.0.1:1/none').connect().catch((error: unknown) => error);
  log.error({ err: refused }, 'failed');
  t.match(JSON.parse(written[0]!).err, { code: 'ECONNREFUSED', message: /127\.0\.0\.1:1/ });
});
