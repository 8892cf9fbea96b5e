import { sql } from 'kysely';
import type { Tx } from '../platform/database.ts';

/**
 * Counts how often each service was asked since, and how often it said yes; of offers that others ended before it answered nothing
 * is counted. Writes what changed, and passes by whom somebody is changing: the next count is soon. Runs as the router.
 * @returns how many counts changed
 */
export async function countAnswers(tx: Tx, since: Date): Promise<number> {
  const { numAffectedRows } = await sql`
    with answered as (
      select agency_id, service, count(*)::int as asked, count(accepted_at)::int as accepted from offers
      where offered_at >= ${since} and (accepted_at is not null or status in ('declined', 'expired'))
      group by agency_id, service),
    changed as (
      select s.agency_id, s.service, coalesce(a.asked, 0) as asked, coalesce(a.accepted, 0) as accepted
      from services s left join answered a on a.agency_id = s.agency_id and a.service = s.service
      where (s.asked, s.accepted) is distinct from (coalesce(a.asked, 0), coalesce(a.accepted, 0))
      for no key update of s skip locked)
    update services s set asked = c.asked, accepted = c.accepted from changed c
    where s.agency_id = c.agency_id and s.service = c.service`.execute(tx);
  return Number(numAffectedRows ?? 0n);
}
