import { type Kysely, sql } from 'kysely';

/**
 * What falls due next is asked of clocks that run, and most that ever ran are over: each index of a party's timers becomes two, of
 * those that run and of the others. A timer is in one of them, so that neither costs a writer more than the one did. What a timer
 * is about is found by its case, referral or offer, which have indexes already.
 *
 * And the planner learns what a policy's look into another table costs, lest it read rows only to ask of each whether it may.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const [name, column] of [
    ['owner', 'owner_agency_id'],
    ['sender', 'sender_agency_id'],
    ['receiver', 'receiver_agency_id'],
    ['responsible', 'responsible_agency_id'],
    ['jurisdiction', 'jurisdiction'],
  ] as const) {
    const [whole, running, rest] = [`timers_${name}`, `timers_${name}_running`, `timers_${name}_rest`].map(name => sql.ref(name));
    await sql`create index ${running} on timers (${sql.ref(column)}, due_at, referral_id) where state = 'running'`.execute(db);
    await sql`create index ${rest} on timers (${sql.ref(column)}, due_at) where state <> 'running'`.execute(db);
    await sql`drop index ${whole}`.execute(db);
  }
  await sql`drop index timers_subject`.execute(db);

  const { rows: looks } = await sql<{ signature: string }>`
    select p.oid::regprocedure::text as signature from pg_proc p join pg_language l on l.oid = p.prolang
    where p.pronamespace = 'public'::regnamespace and l.lanname = 'plpgsql' and p.provolatile = 's'
      and p.prorettype = 'boolean'::regtype`.execute(db);
  for (const { signature } of looks) await sql`alter function ${sql.raw(signature)} cost 1000`.execute(db);
}
