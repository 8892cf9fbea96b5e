import { sql } from 'kysely';
import type { ByTrack } from '../../core/digest.ts';
import type { Tx } from '../../platform/database.ts';

/** The SQL of the daily digest; the only writer of its table. */

/** A jurisdiction of a coordination committee that asks for digests by an endpoint. */
export interface Asking {
  agency_id: string;
  jurisdiction: string;
  /** The last day on which one was told; null: never. */
  last_day: string | null;
}

/** All of them. Runs as the relay. */
export async function listAsking(tx: Tx): Promise<Asking[]> {
  const { rows } = await sql<Asking>`
    select a.id as agency_id, j.jurisdiction, (select max(day)::text from digests d
      where d.agency_id = a.id and d.jurisdiction = j.jurisdiction) as last_day
    from agencies a cross join unnest(a.jurisdictions) as j (jurisdiction)
    where a.kind = 'coordination_committee' and exists (select from webhook_endpoints e
      where e.agency_id = a.id and e.deleted_at is null and 'digest.daily' = any (e.event_types))
    order by 1, 2`.execute(tx);
  return rows;
}

/** @returns false where the day's digest was told before. Whoever asks while another tells it waits. Runs as the relay. */
export async function insertDigest(
  tx: Tx,
  { agency_id, jurisdiction, day }: { agency_id: string; jurisdiction: string; day: string },
  now: Date,
): Promise<boolean> {
  const { numInsertedOrUpdatedRows } = await tx
    .insertInto('digests')
    .values({ agency_id, jurisdiction, day, told_at: now })
    .onConflict(conflict => conflict.doNothing())
    .executeTakeFirst();
  return numInsertedOrUpdatedRows === 1n;
}

interface Span {
  from: Date;
  to: Date;
}

/** What happened in the jurisdiction from one instant until before another, and how many referrals are unplaced now. */
export interface Counts {
  opened: ByTrack;
  closed: ByTrack;
  made: number;
  accepted: number;
  declined: number;
  expired: number;
  completed: number;
  unplaced: number;
  breached: number;
}

/** Runs as the clock. @param in_crisis of what began under a crisis alone */
export async function countDay(tx: Tx, jurisdiction: string, { from, to }: Span, { in_crisis = false } = {}): Promise<Counts> {
  const meant = in_crisis ? sql`and crisis_mode_id is not null` : sql``;
  const of_referral = in_crisis ? sql`and referral_id in (select id from referrals where crisis_mode_id is not null)` : sql``;
  const of_case = in_crisis ? sql`and case_id in (select id from cases where crisis_mode_id is not null)` : sql``;
  const within = (column: string) => sql<boolean>`(${sql.ref(column)} >= ${from} and ${sql.ref(column)} < ${to})`;
  const cases = (track: keyof ByTrack, column: string) =>
    sql`count(*) filter (where track = ${sql.lit(track)} and ${within(column)})::int`;
  const offers = (status: string) => sql`count(*) filter (where status = ${sql.lit(status)} and ${within('ended_at')})::int`;
  const { rows } = await sql<Counts>`
    select c.*, r.*, o.*, t.* from
      (select json_build_object('named', ${cases('named', 'opened_at')}, 'anonymous', ${cases('anonymous', 'opened_at')}) as opened,
        json_build_object('named', ${cases('named', 'closed_at')}, 'anonymous', ${cases('anonymous', 'closed_at')}) as closed
        from cases where jurisdiction = ${jurisdiction} ${meant}) c,
      (select count(*) filter (where ${within('created_at')})::int as made,
        count(*) filter (where status = 'unplaced')::int as unplaced
        from referrals where jurisdiction = ${jurisdiction} ${meant}) r,
      (select count(*) filter (where ${within('accepted_at')})::int as accepted, ${offers('declined')} as declined,
        ${offers('expired')} as expired, ${offers('completed')} as completed
        from offers where jurisdiction = ${jurisdiction} ${of_referral}) o,
      (select count(*)::int as breached from timers where jurisdiction = ${jurisdiction} and ${within('breached_at')} ${of_case}) t`.execute(
    tx,
  );
  return rows[0]!;
}

/** What was escalated there in the same time, and how many agencies are out of reach now. Runs as the relay. */
export async function countTold(
  tx: Tx,
  jurisdiction: string,
  { from, to }: Span,
): Promise<{ escalations: number; unreachable: number }> {
  const { rows } = await sql<{ escalations: number; unreachable: number }>`
    select
      (select count(distinct e.id)::int from events e join cases c on c.id = e.case_id
        where e.type = 'timer.escalated' and e.occurred_at >= ${from} and e.occurred_at < ${to} and c.jurisdiction = ${jurisdiction})
        as escalations,
      (select count(*)::int from unreachable_agencies u join agencies a on a.id = u.agency_id
        where ${jurisdiction} = any (a.jurisdictions)) as unreachable`.execute(tx);
  return rows[0]!;
}
