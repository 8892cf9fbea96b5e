import { sql } from 'kysely';
import type { Pool } from 'pg';
import { systemActor } from '../core/access.ts';
import { overdueAt } from '../core/undelivered.ts';
import type { Now } from './clock.ts';
import { transact } from './database.ts';
import type { Backlog, Waiting } from './metrics.ts';

const ANSWERS_WITHIN_MS = 2_000;
/** So many armed timers are counted; of more, as many as their index had when it was last analysed. */
const COUNTED = 10_000;

/**
 * Asks what waits, each part as the system role whose work it is. One question is under way at a time, however often it is asked.
 * @throws Error where the database is down, or does not answer within two seconds
 */
export function backlogReader(services: { pool: Pool; now: Now }): () => Promise<Backlog> {
  let asking: Promise<Backlog> | undefined;
  return () => {
    asking ??= ask(services).finally(() => {
      asking = undefined;
    });
    return within(ANSWERS_WITHIN_MS, asking);
  };
}

interface WaitingAt {
  endpoint_id: string;
  is_on: boolean;
  urgent: boolean;
  count: number;
  oldest: Date;
}

const sumOf = (rows: readonly { count: number }[]): number => rows.reduce((sum, { count }) => sum + count, 0);

async function ask(services: { pool: Pool; now: Now }): Promise<Backlog> {
  const now = services.now();
  const age = (since: Date | null) => (since ? Math.max(0, now.getTime() - since.getTime()) / 1_000 : 0);
  const limited = sql`set local statement_timeout = ${sql.lit(ANSWERS_WITHIN_MS)}`;

  const outgoing = await transact(services, systemActor('relay'), async tx => {
    await limited.execute(tx);
    const events = await sql<{ count: number; oldest: Date | null }>`
      select count(*) as count, min(occurred_at) as oldest from events where position is null`.execute(tx);
    const deliveries = await sql<WaitingAt>`
      select e.id as endpoint_id, e.status = 'active' as is_on, d.urgent, count(*) as count, min(d.created_at) as oldest
      from webhook_endpoints e join deliveries d on d.endpoint_id = e.id
      where e.deleted_at is null and d.next_attempt_at is not null and d.state in ('pending', 'parked')
      group by e.id, d.urgent`.execute(tx);
    const undelivered = await sql<{ oldest: Date }>`
      select occurred_at as oldest from unheard_events where occurred_at <= ${overdueAt(now)} and not was_heard
      order by occurred_at limit 1`.execute(tx);
    const unreachable = await sql<{ count: number }>`select count(*) as count from unreachable_agencies`.execute(tx);
    return {
      events: events.rows[0]!,
      deliveries: deliveries.rows,
      undelivered: undelivered.rows[0]?.oldest ?? null,
      unreachable: unreachable.rows[0]!.count,
    };
  });
  const timers = await transact(services, systemActor('clock'), async tx => {
    await limited.execute(tx);
    const { rows } = await sql<{ armed: number; due: number; oldest: Date | null }>`
      select due.count as due, due.oldest, case when few.count < ${COUNTED} then few.count else greatest(few.count, c.reltuples::bigint) end as armed
      from (select count(*), min(next_step_at) as oldest from timers where next_step_at <= ${now}) due,
        (select count(*) from (select from timers where next_step_at is not null limit ${COUNTED}) one_by_one) few,
        pg_class c where c.oid = 'timers_due'::regclass`.execute(tx);
    return rows[0]!;
  });

  const log = await transact(services, systemActor('timeline'), async tx => {
    await limited.execute(tx);
    const { rows } = await sql<{ size: number | null; halted: string | null; witnessed: Date | null; oldest: Date | null }>`
      select h.published_size as size, h.halted, h.witnessed_at as witnessed, coalesce(
        (select at from audit_log where index = h.published_size),
        (select at from audit_pending order by number limit 1)) as oldest
      from (select) one left join audit_head h on true`.execute(tx);
    return rows[0]!;
  });

  const { events, deliveries } = outgoing;
  const ofUrgency = (urgent: boolean): Waiting => {
    const found = deliveries.filter(row => row.is_on && row.urgent === urgent);
    return { count: sumOf(found), oldest_seconds: Math.max(0, ...found.map(({ oldest }) => age(oldest))) };
  };
  const by_endpoint = Map.groupBy(deliveries, row => row.endpoint_id);
  return {
    events: { count: events.count, oldest_seconds: age(events.oldest) },
    deliveries: { true: ofUrgency(true), false: ofUrgency(false) },
    endpoints: new Map([...by_endpoint].map(([id, rows]) => [id, sumOf(rows)])),
    undelivered_seconds: age(outgoing.undelivered),
    unreachable: outgoing.unreachable,
    log: {
      size: log.size ?? 0,
      oldest_seconds: age(log.oldest),
      halted: log.halted !== null,
      witnessed_seconds: log.witnessed ? age(log.witnessed) : null,
    },
    timers: { armed: timers.armed, due: timers.due, oldest_seconds: age(timers.oldest) },
  };
}

function within<T>(ms: number, answer: Promise<T>): Promise<T> {
  const late = Promise.withResolvers<T>();
  const timer = setTimeout(() => late.reject(new Error(`no answer within ${ms} ms`)), ms);
  return Promise.race([answer, late.promise]).finally(() => clearTimeout(timer));
}
