import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type pg from 'pg';
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { Logger } from './log.ts';
import { VERSION } from './version.ts';

/**
 * What the service tells of itself to whoever runs it, in Prometheus' text format. It says how the service does and never whom
 * it serves: no label holds an agency, client, jurisdiction, service, clock or type of event. In a mechanism with one shelter,
 * "one missing-person check is due" or "the shelter's system is down" would tell of one person or one house, to everybody who may
 * look at a dashboard. Routes are patterns, without ids. One label is an id: the endpoint's, on how much waits for it. It is
 * random, stands nowhere but with its agency and in the log, and without it nobody could tell one dead receiver from many slow ones.
 */
export type Metrics = ReturnType<typeof createMetrics>;

/** What waits in the database for the worker: how much, and for how long. */
export interface Backlog {
  events: Waiting;
  /** By whether they are urgent. */
  deliveries: Record<'true' | 'false', Waiting>;
  /** Deliveries to be attempted yet at each endpoint that has any, on or off. */
  endpoints: ReadonlyMap<string, number>;
  /** How long the oldest emergency has waited that somebody did not hear; 0: none. */
  undelivered_seconds: number;
  /** Agencies that take no offers now. */
  unreachable: number;
  timers: { armed: number; due: number; oldest_seconds: number };
  /** Of the trail: entries that have their place, how old the first is that has none, and whether the log is still signed. */
  log: { size: number; oldest_seconds: number; halted: boolean; witnessed_seconds: number | null };
}

export interface Waiting {
  count: number;
  oldest_seconds: number;
}

export type TransactionOutcome = 'committed' | 'refused' | 'failed';

const REQUEST_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
const TRANSACTION_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30];
/** The contract speaks of a second, and of thirty after an outage. */
const LAG_SECONDS = [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300, 3_600];

/** The instruments of one process. The pool is asked when somebody looks. */
export function createMetrics(pool: pg.Pool) {
  const registers = [new Registry()];
  const requests = new Counter({
    name: 'aman_http_requests_total',
    help: 'Requests answered.',
    labelNames: ['method', 'route', 'status'],
    registers,
  });
  const request_seconds = new Histogram({
    name: 'aman_http_request_duration_seconds',
    help: 'From the first byte of a request to the end of its answer.',
    labelNames: ['method', 'route'],
    buckets: REQUEST_SECONDS,
    registers,
  });
  const transaction_seconds = new Histogram({
    name: 'aman_transaction_duration_seconds',
    help: 'Transactions with their retries: committed, refused by a rule, or failed.',
    labelNames: ['outcome'],
    buckets: TRANSACTION_SECONDS,
    registers,
  });
  const transaction_retries = new Counter({
    name: 'aman_transaction_retries_total',
    help: 'Transactions that fell to a deadlock or the like and were tried again.',
    registers,
  });
  const delivery_attempts = new Counter({
    name: 'aman_delivery_attempts_total',
    help: 'Attempts at webhook deliveries, by what the delivery is after it and why.',
    labelNames: ['outcome', 'reason'],
    registers,
  });
  const first_attempt_lag = new Histogram({
    name: 'aman_delivery_first_attempt_lag_seconds',
    help: 'From the act to the first attempt to tell of it.',
    labelNames: ['urgent'],
    buckets: LAG_SECONDS,
    registers,
  });
  const timer_lag = new Histogram({
    name: 'aman_timer_lag_seconds',
    help: 'How much later than due timers fired.',
    buckets: LAG_SECONDS,
    registers,
  });
  new Gauge({ name: 'aman_info', help: 'The version that runs.', labelNames: ['version'], registers }).set(
    { version: VERSION },
    1,
  );
  new Gauge({
    name: 'aman_database_pool_connections',
    help: 'Open connections of this process.',
    labelNames: ['state'],
    registers,
    collect() {
      this.set({ state: 'idle' }, pool.idleCount);
      this.set({ state: 'busy' }, pool.totalCount - pool.idleCount);
    },
  });
  new Gauge({
    name: 'aman_database_pool_waiting',
    help: 'Who waits in this process for a connection.',
    registers,
    collect() {
      this.set(pool.waitingCount);
    },
  });
  const backlog = backlogGauges(registers);

  return {
    requests,
    request_seconds,
    delivery_attempts,
    first_attempt_lag,
    timer_lag,
    /** Measures a transaction from now on. */
    startTransaction() {
      const end = transaction_seconds.startTimer();
      return { retried: () => transaction_retries.inc(), end: (outcome: TransactionOutcome) => void end({ outcome }) };
    },
    /** Adds what Node.js tells of its process. Once per process. */
    addProcess: () => collectDefaultMetrics({ register: registers[0]! }),
    /** Everything as text, with what waits in the database; null where it did not answer. */
    tell(waiting: Backlog | null): Promise<string> {
      backlog.show(waiting);
      return registers[0]!.metrics();
    },
  };
}

/** Of what waits in the database. All processes tell the same; while it does not answer there is nothing to tell but that. */
function backlogGauges(registers: Registry[]) {
  const gauge = (name: string, help: string) => new Gauge({ name, help, registers });
  const byUrgency = (name: string, help: string) => new Gauge({ name, help, labelNames: ['urgent'], registers });
  const database_up = gauge('aman_database_up', 'Whether the database answered this scrape in time.');
  const events = gauge('aman_outbox_events', 'Events that the relay has not numbered yet.');
  const events_age = gauge('aman_outbox_oldest_event_age_seconds', 'Age of the oldest of them.');
  const deliveries = byUrgency('aman_deliveries', 'Deliveries to be attempted yet at endpoints that are on.');
  const deliveries_age = byUrgency('aman_deliveries_oldest_age_seconds', 'Age of the oldest of them.');
  const endpoints = new Gauge({
    name: 'aman_endpoint_deliveries',
    help: 'Deliveries to be attempted yet at one endpoint, on or off; only those that have any.',
    labelNames: ['endpoint'],
    registers,
  });
  const undelivered_age = gauge(
    'aman_undelivered_emergency_age_seconds',
    'How long the oldest emergency has waited that a recipient did not hear within five minutes.',
  );
  const unreachable = gauge('aman_unreachable_agencies', 'Agencies whose systems take no offers, once it was told.');
  const timers_armed = gauge(
    'aman_timers_armed',
    'Timers that have something to do one day; of more than ten thousand an estimate.',
  );
  const timers_due = gauge('aman_timers_due', 'Timers that are due and have not fired.');
  const timers_age = gauge('aman_timers_oldest_due_age_seconds', 'How long the first of them has been due.');
  const log_size = gauge('aman_log_entries', 'Entries of the trail in the published log.');
  const log_age = gauge('aman_log_oldest_pending_age_seconds', 'Age of the oldest entry that the published log does not have.');
  const log_halted = gauge('aman_log_halted', 'Whether the log is no longer signed.');
  const log_witnessed = gauge(
    'aman_log_witnessed_age_seconds',
    'Since when no quorum of witnesses has cosigned the log, if one ever did.',
  );
  return {
    show(backlog: Backlog | null): void {
      database_up.set(backlog ? 1 : 0);
      if (!backlog) {
        const timers = [timers_armed, timers_due, timers_age];
        const log = [log_size, log_age, log_halted, log_witnessed];
        for (const it of [events, events_age, undelivered_age, unreachable, ...timers, ...log]) it.remove();
        for (const it of [deliveries, deliveries_age, endpoints]) it.reset();
        return;
      }
      events.set(backlog.events.count);
      events_age.set(backlog.events.oldest_seconds);
      for (const urgent of ['true', 'false'] as const) {
        deliveries.set({ urgent }, backlog.deliveries[urgent].count);
        deliveries_age.set({ urgent }, backlog.deliveries[urgent].oldest_seconds);
      }
      endpoints.reset();
      for (const [endpoint, count] of backlog.endpoints) endpoints.set({ endpoint }, count);
      undelivered_age.set(backlog.undelivered_seconds);
      unreachable.set(backlog.unreachable);
      timers_armed.set(backlog.timers.armed);
      timers_due.set(backlog.timers.due);
      timers_age.set(backlog.timers.oldest_seconds);
      log_size.set(backlog.log.size);
      log_age.set(backlog.log.oldest_seconds);
      log_halted.set(backlog.log.halted ? 1 : 0);
      if (backlog.log.witnessed_seconds === null) log_witnessed.remove();
      else log_witnessed.set(backlog.log.witnessed_seconds);
    },
  };
}

export interface MetricsListener {
  url: string;
  close(): Promise<void>;
}

/** Answers `GET /metrics` on `host` and `port`, whether the database answers or not. @throws Error where it cannot listen */
export async function startMetricsListener(
  { metrics, log }: { metrics: Metrics; log: Logger },
  { host, port }: { host: string; port: number },
  readBacklog: () => Promise<Backlog>,
): Promise<MetricsListener> {
  metrics.addProcess();
  const waiting = () =>
    readBacklog().catch((error: unknown) => {
      log.warn({ err: error }, 'what waits in the database could not be told');
      return null;
    });
  const server = createServer((request, response) => {
    if (request.url !== '/metrics') return void response.writeHead(404).end();
    if (request.method !== 'GET') return void response.writeHead(405, { allow: 'GET' }).end();
    const headers = { 'content-type': Registry.PROMETHEUS_CONTENT_TYPE, 'cache-control': 'no-store' };
    waiting()
      .then(it => metrics.tell(it))
      .then(
        text => response.writeHead(200, headers).end(text),
        error => {
          log.error({ err: error }, 'figures could not be told');
          response.writeHead(500).end();
        },
      );
  });
  server.requestTimeout = 5_000;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  const address = server.address() as AddressInfo;
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${address.port}/metrics`,
    close() {
      server.closeAllConnections();
      return new Promise(resolve => server.close(() => resolve()));
    },
  };
}
