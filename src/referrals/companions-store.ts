import { sql } from 'kysely';
import { type CaseOf, caseOf, listProfiles } from '../cases/store.ts';
import type { Companion } from '../core/companions.ts';
import type { Tx } from '../platform/database.ts';
import type { Vault } from '../platform/vault.ts';

/**
 * Those of the case's group, and those from whom the person is kept apart, whoever owns them. Runs as the router.
 * @param separate_from from whom the person is to be kept apart beside what was said before
 */
export async function listCompanions(
  services: { vault: Vault },
  tx: Tx,
  of: CaseOf,
  now: Date,
  separate_from: readonly string[] = [],
): Promise<Companion[]> {
  const { rows } = await sql<Omit<Companion, 'suspected'>>`
    with person as (select id, group_id, family, owner_agency_id from cases where id = ${caseOf(of)}),
    in_force as not materialized (select * from case_separations where agreed_at is not null and (until is null or until > ${now})),
    separated as (
      select from_case_id as id from in_force where case_id = (select id from person)
      union select case_id from in_force where from_case_id = (select id from person)
      union select unnest(${[...separate_from]}::text[])),
    found as (
      select c.id from person p join cases c on c.group_id = p.group_id where c.id <> p.id
      union select id from separated)
    select c.id as case_id,
      coalesce(c.group_id = p.group_id, false) as grouped,
      coalesce(c.group_id = p.group_id and c.family = p.family, false) as related,
      c.owner_agency_id = p.owner_agency_id as same_owner,
      c.id in (select id from separated) as separated,
      coalesce((
        select json_agg(json_build_object('agency_id', o.agency_id, 'service', o.service, 'status', o.status)) from offers o
        where o.case_id = c.id
          and o.status in ('offered', 'received', 'info_requested', 'waitlisted', 'accepted', 'in_progress')), '[]') as offers
    from person p, found join cases c on c.id = found.id`.execute(tx);
  const known = kept.get(tx) ?? new Map<string, boolean>();
  // Of the others it says nothing, and stays sealed.
  const unknown = rows.filter(({ related, case_id }) => related && !known.has(case_id)).map(({ case_id }) => case_id);
  const profiles = await listProfiles(services, tx, unknown);
  return rows.map(row => ({
    ...row,
    suspected: row.related && (known.get(row.case_id) ?? profiles.get(row.case_id)?.suspected ?? false),
  }));
}

/** Who is suspected, by case, for as long as the transaction in which it was kept. */
const kept = new WeakMap<Tx, Map<string, boolean>>();

/**
 * Looks once who of these cases is suspected, where one transaction asks for many of them. They are locked, so that it stays so.
 * Runs as the router.
 */
export async function keepSuspected(services: { vault: Vault }, tx: Tx, case_ids: readonly string[]): Promise<void> {
  const profiles = await listProfiles(services, tx, case_ids);
  kept.set(tx, new Map(case_ids.map(id => [id, profiles.get(id)?.suspected ?? false])));
}

export const isSuspected = (profile: () => { suspected?: boolean } | undefined): boolean => profile()?.suspected ?? false;

/**
 * Locks each pair that the case makes with one of the others, until the transaction ends: of two who are accepted at the same
 * instant, one is looked at after the other. Last of all locks.
 */
export async function lockPairs(tx: Tx, case_id: string, others: readonly string[]): Promise<void> {
  for (const pair of others.map(other => [case_id, other].sort().join(' ')).sort())
    await sql`select pg_advisory_xact_lock(hashtextextended(${`apart ${pair}`}, 0))`.execute(tx);
}
