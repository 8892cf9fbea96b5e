import { type ExpressionBuilder, type Insertable, type Selectable, sql, type Updateable } from 'kysely';
import type { AgencyKind, Service } from '../core/codes.ts';
import type { Schedule } from '../core/opening.ts';
import { post, type Tx } from '../platform/database.ts';
import type { AgencyTable, CapacityTable, ServiceTable, Tables } from '../platform/tables.ts';
import { hoursOf } from './hours-store.ts';

/** The SQL of the directory: agencies, the services that they offer, and their places. The only writer of these tables. */

export type AgencyRow = Selectable<AgencyTable>;
export type ServiceRow = Selectable<ServiceTable>;
export type CapacityRow = Selectable<CapacityTable>;

export interface AgencyFilter {
  kind?: AgencyKind;
  jurisdiction?: string;
  status?: AgencyRow['status'];
}

/** An agency, and whether one of its services is in a place that must not become known. */
export type ListedAgency = AgencyRow & { sheltered: boolean };

const sheltered = (eb: ExpressionBuilder<Tables, 'agencies'>) =>
  eb
    .exists(
      eb
        .selectFrom('services')
        .select(sql`1`.as('one'))
        .whereRef('services.agency_id', '=', 'agencies.id')
        .where('services.location_protected', '=', true),
    )
    .$castTo<boolean>()
    .as('sheltered');

export const findAgency = (tx: Tx, id: string): Promise<ListedAgency | undefined> =>
  tx.selectFrom('agencies').selectAll().select(sheltered).where('id', '=', id).executeTakeFirst();

export const lockAgency = (tx: Tx, id: string): Promise<AgencyRow | undefined> =>
  tx.selectFrom('agencies').selectAll().where('id', '=', id).forNoKeyUpdate().executeTakeFirst();

export const listAgencies = (
  tx: Tx,
  { kind, jurisdiction, status }: AgencyFilter,
  before: string | undefined,
  limit: number,
): Promise<ListedAgency[]> =>
  tx
    .selectFrom('agencies')
    .selectAll()
    .select(sheltered)
    .$if(kind !== undefined, query => query.where('kind', '=', kind!))
    .$if(jurisdiction !== undefined, query => query.where('jurisdictions', '@>', sql<string[]>`array[${jurisdiction}]`))
    .$if(status !== undefined, query => query.where('status', '=', status!))
    .$if(before !== undefined, query => query.where('id', '<', before!))
    .orderBy('id', 'desc')
    .limit(limit)
    .execute();

export const insertAgency = (tx: Tx, agency: Insertable<AgencyTable>): Promise<void> => insertAgencies(tx, [agency]);

export async function insertAgencies(tx: Tx, agencies: readonly Insertable<AgencyTable>[]): Promise<void> {
  await tx.insertInto('agencies').values(agencies).execute();
}

export async function saveAgency(tx: Tx, id: string, change: Updateable<AgencyTable>, now: Date): Promise<void> {
  await tx
    .updateTable('agencies')
    .set({ ...change, updated_at: now })
    .set('version', sql<number>`version + 1`)
    .where('id', '=', id)
    .execute();
}

export const findService = (tx: Tx, agency_id: string, service: Service): Promise<ServiceRow | undefined> =>
  tx.selectFrom('services').selectAll().where('agency_id', '=', agency_id).where('service', '=', service).executeTakeFirst();

/** Also stands in the way of acts that take or free places of a service which has no capacity record yet. */
export const lockService = (tx: Tx, agency_id: string, service: Service): Promise<ServiceRow | undefined> =>
  tx
    .selectFrom('services')
    .selectAll()
    .where('agency_id', '=', agency_id)
    .where('service', '=', service)
    .forNoKeyUpdate()
    .executeTakeFirst();

export const listServices = (tx: Tx, agency_id: string, after: string | undefined, limit: number): Promise<ServiceRow[]> =>
  tx
    .selectFrom('services')
    .selectAll()
    .where('agency_id', '=', agency_id)
    .$if(after !== undefined, query => query.where('service', '>', after as Service))
    .orderBy('service')
    .limit(limit)
    .execute();

type Hours = 'schedules' | 'open_hours' | 'open_hours_until';
export type NewService = Omit<Insertable<ServiceTable>, Hours> & { schedules?: readonly Schedule[] };
type ServiceChange = Omit<Updateable<ServiceTable>, Hours> & {
  agency_id: string;
  service: Service;
  schedules: readonly Schedule[];
};

export const insertService = (tx: Tx, service: NewService): Promise<void> => insertServices(tx, [service]);

/** Assured when they were made, unless something else is said. */
export async function insertServices(tx: Tx, services: readonly NewService[]): Promise<void> {
  const rows = services.map(({ schedules = [], ...service }) => ({
    assured_at: service.created_at,
    ...service,
    ...hoursOf(schedules, service.created_at),
  }));
  await tx.insertInto('services').values(rows).execute();
}

/** What is said of a service is thereby assured. */
export async function saveService(tx: Tx, { agency_id, service, schedules, ...change }: ServiceChange, now: Date): Promise<void> {
  await tx
    .updateTable('services')
    .set({ assured_at: now, ...change, ...hoursOf(schedules, now), updated_at: now })
    .set('version', sql<number>`version + 1`)
    .where('agency_id', '=', agency_id)
    .where('service', '=', service)
    .execute();
}

/**
 * Brings up to date since when those served by the agencies need a follow-on: while one is suspended or closed, or the service is.
 * Called when any of that may have changed; who needs one is looked for after the commit.
 */
export const refreshFollowOns = (tx: Tx, agency_ids: readonly string[], now: Date): void => {
  const refreshed = sql`
    update services s set follow_on_since = case
      when 'suspended' in (s.status, a.status) or a.operating_mode = 'closed' then coalesce(s.follow_on_since, ${now}) end
    from agencies a where a.id = s.agency_id and s.agency_id = any (${[...agency_ids]})`;
  post(tx, refreshed.execute(tx));
};

export const findCapacity = (tx: Tx, agency_id: string, service: Service): Promise<CapacityRow | undefined> =>
  tx.selectFrom('capacities').selectAll().where('agency_id', '=', agency_id).where('service', '=', service).executeTakeFirst();

export const lockCapacity = (tx: Tx, agency_id: string, service: Service): Promise<CapacityRow | undefined> =>
  tx
    .selectFrom('capacities')
    .selectAll()
    .where('agency_id', '=', agency_id)
    .where('service', '=', service)
    .forUpdate()
    .executeTakeFirst();

/** The first capacity of a service: places that its running offers hold already are counted. Needs {@link lockService} before. */
export async function insertCapacity(
  tx: Tx,
  { agency_id, service, total, held_elsewhere }: Pick<CapacityRow, 'agency_id' | 'service' | 'total' | 'held_elsewhere'>,
  now: Date,
): Promise<CapacityRow> {
  const { held } = await tx
    .selectFrom('offers')
    .select(eb => eb.fn.coalesce(eb.fn.sum<number>('places_held'), sql<number>`0`).as('held'))
    .where('agency_id', '=', agency_id)
    .where('service', '=', service)
    .executeTakeFirstOrThrow();
  return tx
    .insertInto('capacities')
    .values({ agency_id, service, total, held_elsewhere, held, assured_at: now })
    .returningAll()
    .executeTakeFirstOrThrow();
}

/** Of services that were made in this transaction: nobody holds a place there. */
export async function insertCapacities(tx: Tx, capacities: readonly Omit<Insertable<CapacityTable>, 'held'>[]): Promise<void> {
  await tx
    .insertInto('capacities')
    .values(capacities.map(capacity => ({ ...capacity, held: 0 })))
    .execute();
}

export const saveCapacity = (
  tx: Tx,
  { agency_id, service, ...change }: Updateable<CapacityTable> & { agency_id: string; service: Service },
): Promise<CapacityRow> =>
  tx
    .updateTable('capacities')
    .set(change)
    .set('version', sql<number>`version + 1`)
    .where('agency_id', '=', agency_id)
    .where('service', '=', service)
    .returningAll()
    .executeTakeFirstOrThrow();

/** The places that are left; below zero where more were taken than there are. */
export const availableOf = ({ total, held, held_elsewhere }: Pick<CapacityRow, 'total' | 'held' | 'held_elsewhere'>): number =>
  total - held - held_elsewhere;

/** Every jurisdiction in which an agency works. */
export async function listJurisdictions(tx: Tx): Promise<string[]> {
  const { rows } = await sql<{ jurisdiction: string }>`
    select distinct unnest(jurisdictions) as jurisdiction from agencies order by 1`.execute(tx);
  return rows.map(({ jurisdiction }) => jurisdiction);
}

/** Changes whenever an agency of the jurisdiction or one of its services does; places are not looked at. */
export async function findDirectoryVersion(tx: Tx, jurisdiction: string): Promise<string> {
  const { rows } = await sql<{ version: string }>`
    select md5(coalesce(string_agg(concat_ws(' ', a.id, a.version, s.service, s.version), ',' order by a.id, s.service), '')) as version
    from agencies a left join services s on s.agency_id = a.id
    where a.jurisdictions @> array[${jurisdiction}]`.execute(tx);
  return rows[0]!.version;
}

/**
 * Takes `places` for an offer that is being accepted, as the system role `router`. The version, which counts what the agency
 * itself said, stays: it must not tell others of an acceptance.
 */
export async function takePlaces(
  tx: Tx,
  agency_id: string,
  service: Service,
  places: number,
  { over_capacity, known }: { over_capacity: boolean; known?: CapacityRow },
): Promise<'taken' | 'unlimited' | 'none_left'> {
  const capacity =
    known?.agency_id === agency_id && known.service === service ? known : await lockedCapacity(tx, agency_id, service);
  if (!capacity) return 'unlimited';
  if (availableOf(capacity) < places && !over_capacity) return 'none_left';
  setHeld(tx, agency_id, service, { held: capacity.held + places });
  return 'taken';
}

/** Gives back the places of an offer that has ended, as the system role `router`. */
export async function freePlaces(tx: Tx, agency_id: string, service: Service, places: number): Promise<void> {
  const capacity = await lockedCapacity(tx, agency_id, service);
  if (capacity) setHeld(tx, agency_id, service, { held: Math.max(0, capacity.held - places), freed: capacity.freed + 1 });
}

/** Locks what the agency has for the service that a referral asks for. */
export const lockCapacityAsked = (tx: Tx, referral_id: string, agency_id: string): Promise<CapacityRow | undefined> =>
  tx
    .selectFrom('capacities')
    .selectAll()
    .where('agency_id', '=', agency_id)
    .where('service', '=', eb => eb.selectFrom('referrals').select('service').where('id', '=', referral_id))
    .forUpdate()
    .executeTakeFirst();

/** Where there is no row to lock, the service is held, so that a first capacity counts either before or after this act. */
async function lockedCapacity(tx: Tx, agency_id: string, service: Service): Promise<CapacityRow | undefined> {
  const capacity = await lockCapacity(tx, agency_id, service);
  if (capacity) return capacity;
  await tx
    .selectFrom('services')
    .select('service')
    .where('agency_id', '=', agency_id)
    .where('service', '=', service)
    .forShare()
    .execute();
  return lockCapacity(tx, agency_id, service);
}

function setHeld(tx: Tx, agency_id: string, service: Service, change: Partial<Pick<CapacityRow, 'held' | 'freed'>>): void {
  const saved = tx.updateTable('capacities').set(change).where('agency_id', '=', agency_id).where('service', '=', service);
  post(tx, saved.execute());
}
