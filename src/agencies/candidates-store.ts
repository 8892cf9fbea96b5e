import { sql } from 'kysely';
import type { Service } from '../core/codes.ts';
import type { CandidateService } from '../core/routing.ts';
import { Overtaken, type Tx } from '../platform/database.ts';

/**
 * Those who could be asked, as routing looks at them. A country has thousands, and every referral looks at all that offer its
 * service: so what the directory says of them is kept in the process and read again where a row has changed, and only what
 * changes by itself is read each time, in one piece.
 */

/** What routing looks at, and how to reach whoever is on duty. */
export type CandidateRow = CandidateService & { duty_contact: string | null; agency_version: number; service_version: number };

/** What the directory says, and which rows said it. */
type Said = Omit<CandidateRow, keyof ReturnType<typeof liveOf>> & { rows: string };

/** By agency and service, of each database. */
const kept = new WeakMap<object, Map<string, Said>>();
const MOST_KEPT = 100_000;

/** The transactions that wrote the rows, and their versions: one of them changes whenever anything does. */
const ROWS = sql<string>`concat_ws(' ', a.xmin, a.version, s.xmin, s.version)`;

/**
 * The services in `jurisdiction`, or in the case's, with their agencies and places, and whether they are open at that time, whatever
 * speaks against them. Runs as the router.
 * @param of.pool whose database it is
 * @param where.service all, unless said
 */
export async function listCandidates(
  of: { pool: object },
  tx: Tx,
  where: { service?: Service } & ({ jurisdiction: string } | { case_id: string }),
  at: Date,
): Promise<CandidateRow[]> {
  const known = kept.get(of.pool) ?? new Map<string, Said>();
  kept.set(of.pool, known);
  const live = await listLive(tx, where, at);
  const keys = live.agency_id.map((agency_id, i) => `${agency_id} ${live.service[i]}`);
  const unknown = keys.flatMap((key, i) => (known.get(key)?.rows === live.rows[i] ? [] : [i]));
  if (unknown.length > 0) {
    if (known.size + unknown.length > MOST_KEPT) known.clear();
    const said = await listSaid(
      tx,
      unknown.map(i => live.agency_id[i]!),
      unknown.map(i => live.service[i]!),
    );
    for (const it of said) known.set(`${it.agency_id} ${it.service}`, it);
  }
  return keys.map((key, i) => ({ ...known.get(key)!, ...liveOf(live, i) }));
}

/** Places for which the service `s` is being asked and has not answered. */
export const PENDING = sql`(
  select coalesce(sum(o.places), 0)::int as pending,
    coalesce(sum(o.places) filter (where r.urgency <> 'routine'), 0)::int as pending_urgent
  from offers o join referrals r on r.id = o.referral_id
  where o.agency_id = s.agency_id and o.service = s.service and o.status in ('offered', 'received', 'info_requested'))`;

/** A column of what changes by itself, in order of agencies. */
interface Live {
  agency_id: string[];
  service: Service[];
  rows: string[];
  assured_at: string[];
  is_open: (boolean | null)[];
  pending: number[];
  pending_urgent: number[];
  asked: number[];
  accepted: number[];
  total: (number | null)[];
  held_elsewhere: number[];
  held: number[];
  freed: number[];
}

const liveOf = (
  { assured_at, is_open, pending, pending_urgent, asked, accepted, total, held_elsewhere, held, freed }: Live,
  i: number,
) => ({
  assured_at: new Date(assured_at[i]!),
  is_open: is_open[i]!,
  pending: pending[i]!,
  pending_urgent: pending_urgent[i]!,
  history: { asked: asked[i]!, accepted: accepted[i]! },
  capacity: total[i] === null ? null : { total: total[i]!, held_elsewhere: held_elsewhere[i]!, held: held[i]!, freed: freed[i]! },
});

/** Columns instead of rows: thousands of them, each taken in at once. */
async function listLive(
  tx: Tx,
  { service, ...where }: { service?: Service } & ({ jurisdiction: string } | { case_id: string }),
  at: Date,
): Promise<Live> {
  const jurisdiction =
    'jurisdiction' in where ? sql`${where.jurisdiction}` : sql`(select jurisdiction from cases where id = ${where.case_id})`;
  const columns: Record<keyof Live, ReturnType<typeof sql>> = {
    agency_id: sql`s.agency_id`,
    service: sql`s.service`,
    rows: ROWS,
    assured_at: sql`coalesce(c.assured_at, s.assured_at)`,
    is_open: sql`case when ${at}::timestamptz < s.open_hours_until then s.open_hours @> ${at}::timestamptz end`,
    pending: sql`q.pending`,
    pending_urgent: sql`q.pending_urgent`,
    asked: sql`s.asked`,
    accepted: sql`s.accepted`,
    total: sql`c.total`,
    held_elsewhere: sql`c.held_elsewhere`,
    held: sql`c.held`,
    freed: sql`c.freed`,
  };
  const names = Object.keys(columns) as (keyof Live)[];
  // The agencies are looked up one by one: a plan that reads them all takes longer for every service but the commonest.
  const { rows } = await sql<Live>`
    select ${sql.join(names.map(name => sql`coalesce(json_agg(l.${sql.ref(name)}), '[]') as ${sql.ref(name)}`))}
    from (
      select ${sql.join(names.map(name => sql`${columns[name]} as ${sql.ref(name)}`))}
      from services s
      cross join lateral (
        select a.xmin, a.version from agencies a
        where a.id = s.agency_id and a.jurisdictions @> array[${jurisdiction}] offset 0) a
      left join capacities c on c.agency_id = s.agency_id and c.service = s.service
      cross join lateral ${PENDING} q
      ${service === undefined ? sql`` : sql`where s.service = ${service}`}
      order by s.agency_id, s.service) l`.execute(tx);
  return rows[0]!;
}

/** What the directory says of these; a service that names no languages or regions has its agency's. */
async function listSaid(tx: Tx, agency_ids: readonly string[], services: readonly string[]): Promise<Said[]> {
  const { rows } = await sql<Said>`
    select s.service, s.agency_id, ${ROWS} as rows, a.kind, a.status as agency_status, a.version as agency_version,
      s.version as service_version, a.operating_mode, a.competent_authority, a.duty_contact, a.jurisdictions,
      case when s.regions = '{}' then a.regions else s.regions end as regions,
      case when s.languages = '{}' then a.languages else s.languages end as languages,
      s.sexes, s.min_age, s.max_age, s.accepts_dependants, s.protection_statuses, s.location_protected, s.status,
      s.located_in, s.specialities
    from unnest(${agency_ids}::text[], ${services}::text[]) k (agency_id, service)
    join services s on s.agency_id = k.agency_id and s.service = k.service
    join agencies a on a.id = s.agency_id`.execute(tx);
  return rows;
}

/** Of the services of the jurisdiction whose hours are known: whether each is open at each of these times. */
export async function listOpenAt(
  tx: Tx,
  jurisdiction: string,
  times: readonly Date[],
): Promise<{ agency_id: string; service: Service; open: (boolean | null)[] }[]> {
  const open = times.map(
    at => sql`case when ${at}::timestamptz < s.open_hours_until then s.open_hours @> ${at}::timestamptz end`,
  );
  const { rows } = await sql<{ agency_id: string; service: Service; open: (boolean | null)[] }>`
    select s.agency_id, s.service, array[${sql.join(open)}] as open
    from services s join agencies a on a.id = s.agency_id
    where a.jurisdictions @> array[${jurisdiction}] and s.open_hours is not null`.execute(tx);
  return rows;
}

/**
 * Holds what the directory says of a candidate until the commit: nobody is asked who was suspended, closed or changed before that.
 * Runs as the router.
 * @throws Overtaken where it was changed since it was listed
 */
export async function holdListed(
  tx: Tx,
  {
    agency_id,
    service,
    agency_version,
    service_version,
  }: Pick<CandidateRow, 'agency_id' | 'service' | 'agency_version' | 'service_version'>,
): Promise<void> {
  const held = await tx
    .selectFrom('services')
    .innerJoin('agencies', 'agencies.id', 'services.agency_id')
    .select(['agencies.version as agency_version', 'services.version as service_version'])
    .where('services.agency_id', '=', agency_id)
    .where('services.service', '=', service)
    .forShare()
    .executeTakeFirst();
  if (held?.agency_version !== agency_version || held.service_version !== service_version)
    throw new Overtaken('the directory changed while an agency was being asked');
}
