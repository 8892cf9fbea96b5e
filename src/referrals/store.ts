import { type Selectable, sql } from 'kysely';
import type { AgencyKind, OfferStatus, ReferralStatus, Service } from '../core/codes.ts';
import { referralStatus } from '../core/referral.ts';
import { asSystem, type Tx } from '../platform/database.ts';
import type { OfferTable, ReferralTable } from '../platform/tables.ts';

export type ReferralRow = Selectable<ReferralTable>;
export type OfferRow = Selectable<OfferTable>;

/** The referral as whoever runs `tx` may know of it. */
export const findReferral = (tx: Tx, id: string): Promise<ReferralRow | undefined> =>
  tx.selectFrom('referrals').selectAll().where('id', '=', id).executeTakeFirst();

/** The offers of a referral that whoever runs `tx` may know of, in the order in which they were made. */
export const listOffers = (tx: Tx, referral_id: string): Promise<OfferRow[]> =>
  tx.selectFrom('offers').selectAll().where('referral_id', '=', referral_id).orderBy('ordinal').execute();

/** Locks the referral, then its offers by id. After the case, before timers and capacity. */
export async function lockReferralRows(tx: Tx, id: string): Promise<{ referral: ReferralRow; offers: OfferRow[] }> {
  const referral = await tx.selectFrom('referrals').selectAll().where('id', '=', id).forUpdate().executeTakeFirstOrThrow();
  const offers = await tx.selectFrom('offers').selectAll().where('referral_id', '=', id).orderBy('id').forUpdate().execute();
  return { referral, offers: offers.sort((a, b) => a.ordinal - b.ordinal) };
}

export async function insertReferral(
  tx: Tx,
  row: Omit<ReferralRow, 'version' | 'status' | 'ended' | 'router_due_at'>,
): Promise<void> {
  await tx
    .insertInto('referrals')
    .values({ ...row, lawful_ground: toJson(row.lawful_ground), status: 'unplaced' })
    .execute();
}

const toJson = <T>(value: T): T => (value === null ? value : (JSON.stringify(value) as unknown as T));

/** A new offer; an older one of the same referral to the same agency is no longer its latest. */
export async function insertOffer(tx: Tx, row: Omit<OfferRow, 'latest'>): Promise<void> {
  await tx
    .updateTable('offers')
    .set({ latest: false })
    .where('referral_id', '=', row.referral_id)
    .where('agency_id', '=', row.agency_id)
    .where('latest', '=', true)
    .execute();
  await tx.insertInto('offers').values(row).execute();
}

export type OfferChange = Partial<
  Pick<
    OfferRow,
    'reason_code' | 'staff_code' | 'sealed' | 'places' | 'places_held' | 'accepted_at' | 'ended_at' | 'contestable_until'
  >
>;

/** The only writer of `offers.status`; takes what core/referral.ts decided. */
export async function saveOfferStatus(tx: Tx, offer: OfferRow, status: OfferStatus, change: OfferChange): Promise<void> {
  Object.assign(offer, change, { status });
  await tx
    .updateTable('offers')
    .set({ ...change, status })
    .where('id', '=', offer.id)
    .execute();
}

/** The only writer of `referrals.status`: derived from how it ended and from its offers. Counts the version up. */
export async function saveReferralStatus(tx: Tx, referral: ReferralRow, offers: readonly OfferRow[], now: Date): Promise<void> {
  const status = referralStatus({ ended: referral.ended, offers });
  Object.assign(referral, { status, updated_at: now, version: referral.version + 1 });
  await tx
    .updateTable('referrals')
    .set({
      status,
      ended: referral.ended,
      updated_at: now,
      version: referral.version,
      ...(WAITING.includes(status) ? {} : { router_due_at: null }),
    })
    .where('id', '=', referral.id)
    .execute();
}

/** Nobody has said yes, nobody is asked: the router goes on as soon as it can. */
const WAITING: readonly ReferralStatus[] = ['unplaced', 'waitlisted'];

/**
 * Asks the router to look again at the waiting referrals that a change could help: for `service` where it is named, in these
 * jurisdictions, or of one case. The router does so after the commit. A referral that somebody is acting on is passed by, so
 * that two acts never wait for each other; the router looks at every unplaced one again by and by.
 */
export async function requestRouting(
  tx: Tx,
  now: Date,
  where: { service?: Service; jurisdictions?: readonly string[]; case_id?: string },
): Promise<void> {
  await asSystem(tx, 'router', tx =>
    tx
      .updateTable('referrals')
      .set({ router_due_at: now })
      .where('id', 'in', eb =>
        eb
          .selectFrom('referrals')
          .select('id')
          .where('status', 'in', WAITING)
          .$if(where.service !== undefined, query => query.where('service', '=', where.service!))
          .$if(where.jurisdictions !== undefined, query => query.where('jurisdiction', 'in', [...where.jurisdictions!]))
          .$if(where.case_id !== undefined, query => query.where('case_id', '=', where.case_id!))
          .forUpdate()
          .skipLocked(),
      )
      .execute(),
  );
}

/** What the review of a lawful ground found. */
export async function saveGround(
  tx: Tx,
  referral: ReferralRow,
  lawful_ground: NonNullable<ReferralRow['lawful_ground']>,
): Promise<void> {
  referral.lawful_ground = lawful_ground;
  await tx
    .updateTable('referrals')
    .set({ lawful_ground: toJson(lawful_ground) })
    .where('id', '=', referral.id)
    .execute();
}

export const listRoutingDue = (tx: Tx, now: Date, limit: number) =>
  tx
    .selectFrom('referrals')
    .select(['id', 'case_id'])
    .where('router_due_at', '<=', now)
    .orderBy(sql`case urgency when 'emergency' then 0 when 'urgent' then 1 else 2 end`)
    .orderBy('created_at')
    .limit(limit)
    .execute();

/** When the router looks at the referral again by itself; null: not unless it is asked to. */
export async function saveRoutingDue(tx: Tx, id: string, at: Date | null): Promise<void> {
  await tx.updateTable('referrals').set({ router_due_at: at }).where('id', '=', id).execute();
}

/**
 * Brings up to date who is hidden: a receiver in a protected place, unless a live grant names it. Offers and their timers carry
 * it, so that views, events and filters need no second look. Called when consent or the service's protection changes.
 */
export async function refreshProtection(
  tx: Tx,
  now: Date,
  where: { case_id: string } | { agency_id: string; service: Service },
): Promise<void> {
  const which =
    'case_id' in where
      ? sql`o.case_id = ${where.case_id}`
      : sql`o.agency_id = ${where.agency_id} and o.service = ${where.service}`;
  await sql`
    with fresh as (
      update offers o set location_protected = s.location_protected and not exists (
        select from consents c where c.case_id = o.case_id and c.recipient_agency_id = o.agency_id
          and c.withdrawn_at is null and (c.expires_at is null or c.expires_at > ${now}))
      from services s where s.agency_id = o.agency_id and s.service = o.service and ${which}
      returning o.id, o.location_protected)
    update timers t set location_protected = fresh.location_protected from fresh where t.offer_id = fresh.id`.execute(tx);
}

/** Referrals of a case that no act has ended, in the order in which they are locked. */
export const listOpenReferralIds = async (tx: Tx, case_id: string, service?: Service): Promise<string[]> => {
  const rows = await tx
    .selectFrom('referrals')
    .select('id')
    .where('case_id', '=', case_id)
    .where('ended', 'is', null)
    .$if(service !== undefined, query => query.where('service', '=', service!))
    .orderBy('id')
    .execute();
  return rows.map(({ id }) => id);
};

/**
 * Everything that hangs on a case names its owner. Runs as the router, with the case locked for update.
 * @param duties names of the timers that go over with the case
 */
export async function saveOwnerEverywhere(
  tx: Tx,
  case_id: string,
  { former, owner, duties }: { former: string; owner: string; duties: readonly string[] },
): Promise<void> {
  for (const table of ['referrals', 'offers', 'timers'] as const) {
    await tx.updateTable(table).set({ owner_agency_id: owner }).where('case_id', '=', case_id).execute();
  }
  await tx
    .updateTable('timers')
    .set({ responsible_agency_id: owner })
    .where('case_id', '=', case_id)
    .where('responsible_agency_id', '=', former)
    .where('name', 'in', duties)
    .where('state', 'in', ['running', 'paused', 'breached'])
    .execute();
}

/** The completed referrals of a case, in the order in which they are locked, and whether they are being followed up. */
export const listFollowedUp = (tx: Tx, case_id: string): Promise<{ id: string; followed_up: boolean }[]> =>
  tx
    .selectFrom('referrals as r')
    .select('r.id')
    .select(eb =>
      eb
        .exists(
          eb
            .selectFrom('timers as t')
            .select('t.id')
            .whereRef('t.referral_id', '=', 'r.id')
            .where('t.name', '=', 'follow_up')
            .where('t.state', 'in', ['running', 'paused', 'breached']),
        )
        .$castTo<boolean>()
        .as('followed_up'),
    )
    .where('r.case_id', '=', case_id)
    .where('r.ended', '=', 'completed')
    .orderBy('r.id')
    .execute();

/** Every offer of a case that whoever runs `tx` may know of. */
export const listCaseOffers = (tx: Tx, case_id: string) =>
  tx
    .selectFrom('offers as o')
    .innerJoin('referrals as r', 'r.id', 'o.referral_id')
    .select(['o.id', 'o.referral_id', 'o.agency_id', 'o.location_protected', 'o.forgotten_at', 'r.region'])
    .where('o.case_id', '=', case_id)
    .execute();

/** The referrals of a case that the agency sent. */
export const listSentReferralIds = async (tx: Tx, case_id: string, agency_id: string): Promise<string[]> => {
  const rows = await tx
    .selectFrom('referrals')
    .select('id')
    .where('case_id', '=', case_id)
    .where('sender_agency_id', '=', agency_id)
    .execute();
  return rows.map(({ id }) => id);
};

export interface AgencyFacts {
  id: string;
  kind: AgencyKind;
  duty_contact: string | null;
}

export const listAgencyFacts = (tx: Tx, ids: readonly string[]): Promise<AgencyFacts[]> =>
  ids.length === 0
    ? Promise.resolve([])
    : tx
        .selectFrom('agencies')
        .select(['id', 'kind', 'duty_contact'])
        .where('id', 'in', [...new Set(ids)])
        .execute();

/** The coordination committees of a jurisdiction. */
export const listCoordinators = async (tx: Tx, jurisdiction: string): Promise<string[]> => {
  const rows = await tx
    .selectFrom('agencies')
    .select('id')
    .where('kind', '=', 'coordination_committee')
    .where(sql<boolean>`jurisdictions @> array[${jurisdiction}]`)
    .orderBy('id')
    .execute();
  return rows.map(({ id }) => id);
};

export interface InboxFilter {
  box: 'incoming' | 'outgoing' | 'all';
  status?: string;
  service?: Service;
  urgency?: string;
  overdue?: boolean;
  sort?: 'due_at';
}

/** An inbox row: the referral, the caller's own latest offer where it has one, and when something next falls due. */
export async function listInbox(
  tx: Tx,
  agency_id: string,
  coordinated: readonly string[],
  filter: InboxFilter,
  after: { due_at: Date | null; id: string } | undefined,
  limit: number,
) {
  const query = tx
    .selectFrom('referrals as r')
    .leftJoin('offers as own', join =>
      join
        .onRef('own.referral_id', '=', 'r.id')
        .on('own.agency_id', '=', agency_id)
        .on('own.latest', '=', true)
        .on('own.forgotten_at', 'is', null),
    )
    .leftJoinLateral(
      eb =>
        eb
          .selectFrom('timers as t')
          .whereRef('t.referral_id', '=', 'r.id')
          .where('t.state', 'in', ['running', 'breached'])
          .where(eb => {
            // A receiver's clocks are its own; another's must not show by when they fall due.
            const parties = [
              eb('t.owner_agency_id', '=', agency_id),
              eb('t.sender_agency_id', '=', agency_id),
              eb('t.receiver_agency_id', '=', agency_id),
              eb('t.responsible_agency_id', '=', agency_id),
            ];
            return eb.or(coordinated.length > 0 ? [...parties, eb('t.jurisdiction', 'in', [...coordinated])] : parties);
          })
          .select(({ fn }) => [
            fn.min('t.due_at').filterWhere('t.state', '=', 'running').as('due_at'),
            // A clock that ended its offer is over, but not one whose offer is kept open after an outage.
            sql<boolean>`coalesce(bool_or(t.state = 'breached'
              and (t.on_breach is distinct from 'expire_offer' or t.next_step_at is not null)), false)`.as('overdue'),
          ])
          .as('next'),
      join => join.onTrue(),
    )
    .select([
      'r.id',
      'r.reference',
      'r.case_id',
      'r.owner_agency_id',
      'r.sender_agency_id',
      'r.jurisdiction',
      'r.region',
      'r.service',
      'r.urgency',
      'r.version',
      'r.created_at',
      'r.updated_at',
      'own.id as offer_id',
      'own.accepted_at',
      'own.ended_at as own_ended_at',
      'next.due_at',
      'next.overdue',
    ])
    .select(sql<string>`coalesce(own.status, r.status)`.as('status'))
    .where(eb => {
      const incoming = eb('own.id', 'is not', null);
      const outgoing = eb('r.sender_agency_id', '=', agency_id);
      if (filter.box === 'incoming') return incoming;
      if (filter.box === 'outgoing') return outgoing;
      const all = [incoming, outgoing, eb('r.owner_agency_id', '=', agency_id)];
      return eb.or(coordinated.length > 0 ? [...all, eb('r.jurisdiction', 'in', [...coordinated])] : all);
    })
    .$if(filter.status !== undefined, it => it.where(sql`coalesce(own.status, r.status)`, '=', filter.status!))
    .$if(filter.service !== undefined, it => it.where('r.service', '=', filter.service!))
    .$if(filter.urgency !== undefined, it => it.where('r.urgency', '=', filter.urgency as ReferralRow['urgency']))
    .$if(filter.overdue !== undefined, it => it.where('next.overdue', '=', filter.overdue!))
    .limit(limit);
  if (filter.sort !== 'due_at') {
    return query
      .$if(after !== undefined, it => it.where('r.id', '<', after!.id))
      .orderBy('r.id', 'desc')
      .execute();
  }
  // Nothing due comes last.
  const due = sql<Date>`coalesce(next.due_at, 'infinity')`;
  return query
    .$if(after !== undefined, it =>
      it.where(sql<boolean>`(${due}, r.id) > (${after!.due_at ?? 'infinity'}::timestamptz, ${after!.id})`),
    )
    .orderBy(due)
    .orderBy('r.id')
    .execute();
}
