import { sql } from 'kysely';
import { record } from '../audit/record.ts';
import { systemActor } from '../core/access.ts';
import { transact } from '../platform/database.ts';
import type { Services } from '../services.ts';

const RELAY = systemActor('relay');
const RETENTION = systemActor('retention');

/** Nothing older can be pulled, or sent again. */
export const EVENTS_KEPT_DAYS = 90;

/**
 * How long rows are kept that are not part of any case. A delivery stays as long as one of its attempts, and one that may still
 * be attempted as long as its event.
 */
const KEPT = [
  { table: 'delivery_attempts', since: 'started_at', days: 30, unless: sql<boolean>`false` },
  {
    table: 'deliveries',
    since: 'created_at',
    days: 30,
    unless: sql<boolean>`exists (select from delivery_attempts a where a.delivery_id = deliveries.id)
      or (next_attempt_at is not null
        and exists (select from webhook_endpoints e where e.id = endpoint_id and e.deleted_at is null))`,
  },
  { table: 'events', since: 'occurred_at', days: EVENTS_KEPT_DAYS, unless: sql<boolean>`position is null` },
  { table: 'idempotency_keys', since: 'created_at', days: 3, unless: sql<boolean>`false` },
  // A day later than the keys by which they are asked for again.
  { table: 'batches', since: 'created_at', days: 4, unless: sql<boolean>`false` },
  // A day later than needed: the clocks of the processes may differ.
  { table: 'client_assertions', since: 'expires_at', days: 1, unless: sql<boolean>`false` },
];

/** Wipes the secrets and key pairs that rotations replaced and that sign no longer. */
export async function wipeExpiredSecrets(services: Services): Promise<void> {
  // Retention may delete, but not write.
  await transact(services, RELAY, async tx => {
    const wiped = await tx
      .updateTable('webhook_endpoints')
      .set({ previous_secret: null, previous_secret_until: null, previous_public_key: null, previous_private_key: null })
      .where('previous_secret_until', '<=', services.now())
      .returning('id')
      .execute();
    if (wiped.length === 0) return;
    await record(services, tx, RELAY, {
      action: 'webhook_endpoint.wipe_secret',
      resource_type: 'webhook_endpoint',
      subjects: wiped.map(({ id }) => ({ subject_id: id })),
    });
  });
}

const AT_ONCE = 1_000;
const DAY_MS = 86_400_000;

/**
 * Deletes what has been kept long enough, some of each table, each in a short transaction of its own,
 * with an entry that says how many.
 * @returns whether there may be more
 */
export async function deleteExpired(services: Services): Promise<boolean> {
  let more = false;
  for (const { table, since, days, unless } of KEPT) {
    const before = new Date(services.now().getTime() - days * DAY_MS);
    const deleted = await transact(services, RETENTION, async tx => {
      const { numAffectedRows: count = 0n } = await sql`
        delete from ${sql.table(table)} where ctid = any (array(
          select ctid from ${sql.table(table)} where ${sql.ref(since)} < ${before} and not (${unless}) limit ${AT_ONCE}))`.execute(
        tx,
      );
      if (count > 0n) {
        await record(services, tx, RETENTION, {
          action: 'retention.delete',
          resource_type: 'retention',
          code: table,
          subjects: [{ subject_id: table, rows: String(count) }],
        });
      }
      return count;
    });
    more ||= deleted === BigInt(AT_ONCE);
  }
  return more;
}
