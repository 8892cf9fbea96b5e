import { sql } from 'kysely';
import { PENDING } from '../agencies/candidates-store.ts';
import type { RoutingNeed } from '../core/routing.ts';
import type { Tx } from '../platform/database.ts';
import { WAITING } from './store.ts';

type RoutingFacts = Pick<RoutingNeed, 'completed' | 'conflicts'>;

/** What routing looks at beside the person: what became of the case's earlier offers. Runs as the router. */
export async function findRoutingFacts(tx: Tx, case_id: string): Promise<RoutingFacts> {
  const rows = await tx
    .selectFrom('offers as o')
    .innerJoin('agencies as a', 'a.id', 'o.agency_id')
    .select(['o.agency_id', 'o.service', 'o.status', 'a.kind as agency_kind'])
    .where('o.case_id', '=', case_id)
    .where(
      sql<boolean>`(o.status = 'completed' and o.reason_code in ('service_provided', 'partly_provided')
        or o.status = 'declined' and o.reason_code = 'conflict_of_interest')`,
    )
    .execute();
  return {
    completed: rows.filter(({ status }) => status === 'completed'),
    conflicts: new Set(rows.filter(({ status }) => status === 'declined').map(({ agency_id }) => agency_id)),
  };
}

/**
 * Makes due whom the changes of late could help. One that somebody is acting on keeps a request of its own, for the next round: two
 * acts never wait for each other, and what was ranked before the change was committed is ranked again after it. Runs as the router.
 * @returns how many requests it took
 */
export async function markHelped(tx: Tx, now: Date, limit: number): Promise<number> {
  const { rows } = await sql<{ taken: number }>`
    with requests as materialized (
      select q.*, a.jurisdictions
      from (select * from routing_requests order by number limit ${limit} for update skip locked) q
      left join agencies a on a.id = q.agency_id),
    helped as materialized (
      select distinct r.id
      from requests q join referrals r on r.status in (${sql.join(WAITING.map(status => sql.lit(status)))})
        and (q.agency_id is null or r.jurisdiction = any (q.jurisdictions))
        and (q.service is null or r.service = q.service)
        and (q.jurisdiction is null or r.jurisdiction = q.jurisdiction)
        and (q.case_id is null or r.case_id = q.case_id)
        and (q.referral_id is null or r.id = q.referral_id)),
    free as materialized (
      select id from referrals where id in (select id from helped) for no key update skip locked),
    marked as (update referrals set router_due_at = ${now} where id in (select id from free)),
    kept as (insert into routing_requests (referral_id) select id from helped where id not in (select id from free)),
    done as (delete from routing_requests where number in (select number from requests))
    select count(*)::int as taken from requests`.execute(tx);
  return rows[0]!.taken;
}

/**
 * Those that wait and are due, in order of urgency and waiting. Where no place is free for anybody who asks as they do, all of them
 * are put off at once, but for whom a change made due meanwhile: hundreds may wait for the one place that comes free.
 * @param later until when they are put off
 */
export async function takeRoutingDue(tx: Tx, now: Date, later: Date, limit: number): Promise<{ id: string; case_id: string }[]> {
  const { rows } = await sql<{ id: string; case_id: string }>`
    with due as materialized (
      select id, case_id, jurisdiction, service, urgency, created_at, router_due_at,
        exists (select from referrals f where f.follows_referral_id = r.id and f.ended is null) as is_followed
      from referrals r where router_due_at <= ${now}),
    asked as (select distinct jurisdiction, service, urgency from due),
    full_up as materialized (
      select k.* from asked k where not exists (
        select from services s
        join agencies a on a.id = s.agency_id and a.jurisdictions @> array[k.jurisdiction]
        left join capacities c on c.agency_id = s.agency_id and c.service = s.service
        cross join lateral ${PENDING} q
        where s.service = k.service and (c.total is null or c.total - c.held - c.held_elsewhere
          > case k.urgency when 'emergency' then 0 when 'urgent' then q.pending_urgent else q.pending end))),
    hopeless as materialized (
      select due.id, due.router_due_at from due join full_up using (jurisdiction, service, urgency) where not due.is_followed),
    put_off as (
      update referrals set router_due_at = ${later} where id in (
        select r.id from referrals r join hopeless h on h.id = r.id and h.router_due_at = r.router_due_at
        for no key update of r skip locked))
    select id, case_id from due where id not in (select id from hopeless)
    order by case urgency when 'emergency' then 0 when 'urgent' then 1 else 2 end, created_at, id
    limit ${limit}`.execute(tx);
  return rows;
}
