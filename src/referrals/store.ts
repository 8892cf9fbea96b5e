import { type Selectable, sql } from 'kysely';
import type { CaseOf } from '../cases/store.ts';
import type { AgencyKind, OfferStatus, ReferralStatus, Service, Stage } from '../core/codes.ts';
import { referralStatus } from '../core/referral.ts';
import type { AskedFor } from '../core/unmet.ts';
import { asSystem, post, type Tx } from '../platform/database.ts';
import { gatheredRows } from '../platform/gather.ts';
import type { OfferTable, ReferralTable } from '../platform/tables.ts';
import { type InForce, rulesInForce } from '../rules/store.ts';

export type ReferralRow = Selectable<ReferralTable>;
export type OfferRow = Selectable<OfferTable>;

/** The referral as whoever runs `tx` may know of it. */
export const findReferral = (tx: Tx, id: string): Promise<ReferralRow | undefined> =>
  tx.selectFrom('referrals').selectAll().where('id', '=', id).executeTakeFirst();

/** Those of these referrals that whoever runs `tx` may know of. */
export const listReferralsById = (tx: Tx, ids: readonly string[]): Promise<ReferralRow[]> =>
  tx
    .selectFrom('referrals')
    .selectAll()
    .where(sql<boolean>`id = any (${[...ids]})`)
    .execute();

/** The offers of a referral that whoever runs `tx` may know of, in the order in which they were made. */
export const listOffers = (tx: Tx, referral_id: string): Promise<OfferRow[]> =>
  tx.selectFrom('offers').selectAll().where('referral_id', '=', referral_id).orderBy('ordinal').execute();

/** Locks the case of the referral for whoever reads it; nothing where whoever runs `tx` may not know of the referral. */
export async function shareCaseOfReferral(tx: Tx, id: string): Promise<void> {
  await sql`select lock_case(case_id, false) from referrals where id = ${id}`.execute(tx);
}

/** Locks the case of the referral for an act. @throws Problem `not_found`, at once, where whoever runs `tx` may not know of the referral */
export async function lockCaseOfReferral(tx: Tx, id: string): Promise<void> {
  await sql`select lock_case_of_referral(${id})`.execute(tx);
}

/** Whether anybody has said yes to a follow-on. */
export type FollowOnState = 'asked' | 'taken';

/**
 * Locks the referral, then its offers by id. After the case, before timers and capacity.
 * @returns the offers in the order in which they were made; `rules`: what holds in its jurisdiction; `stage`: of the case;
 *   `follow_on`: what became of the open referral that goes on with its service
 */
export async function lockReferralRows(
  tx: Tx,
  id: string,
): Promise<{ referral: ReferralRow; offers: OfferRow[]; rules: InForce; stage: Stage; follow_on: FollowOnState | null }> {
  const locking = tx
    .selectFrom('referrals')
    .selectAll()
    .select(rulesInForce(sql.ref('referrals.jurisdiction')).as('rules'))
    .select(eb => eb.selectFrom('cases').select('stage').whereRef('cases.id', '=', 'referrals.case_id').as('stage'))
    .select(eb =>
      eb
        .selectFrom('referrals as f')
        .select(sql<FollowOnState>`case when f.status in ('accepted', 'in_progress') then 'taken' else 'asked' end`.as('state'))
        .whereRef('f.follows_referral_id', '=', 'referrals.id')
        .where('f.ended', 'is', null)
        .as('follow_on'),
    )
    .where('id', '=', id)
    .forUpdate()
    .executeTakeFirstOrThrow();
  const offers = tx.selectFrom('offers').selectAll().where('referral_id', '=', id).orderBy('id').forUpdate().execute();
  const [{ rules, stage, follow_on, ...referral }, rows] = await Promise.all([locking, offers]);
  return { referral, rules, follow_on, stage: stage!, offers: rows.sort((a, b) => a.ordinal - b.ordinal) };
}

/** Nobody has said yes, and nobody is asked. */
export const WAITING: readonly ReferralStatus[] = ['unplaced', 'waitlisted'];

const REFERRALS = gatheredRows(
  'referrals',
  1,
  {
    id: false,
    reference: false,
    case_id: false,
    owner_agency_id: false,
    sender_agency_id: false,
    jurisdiction: false,
    region: false,
    service: false,
    urgency: false,
    routing: false,
    recipient_agency_id: false,
    fallback: false,
    categories: false,
    excluded_agencies: false,
    lawful_ground: true,
    sealed: false,
    places: false,
    status: true,
    ended: true,
    staff_code: false,
    router_due_at: false,
    crisis_mode_id: false,
    follows_referral_id: false,
    created_at: false,
    updated_at: true,
    version: true,
  },
  // Only while nobody has said yes and nobody is asked, the router goes on as soon as it can.
  { router_due_at: `case when j.status in (${WAITING.map(status => `'${status}'`)}) then t.router_due_at end` },
);

/** The referral as it begins. */
export const newReferral = (row: Omit<ReferralRow, 'version' | 'status' | 'ended' | 'router_due_at'>): ReferralRow => ({
  ...row,
  status: 'unplaced',
  version: 1,
  ended: null,
  router_due_at: null,
});

export const insertReferral = (tx: Tx, referral: ReferralRow): void => REFERRALS.insert(tx, referral);

const OFFERS = gatheredRows(
  'offers',
  2,
  {
    id: false,
    referral_id: false,
    case_id: false,
    owner_agency_id: false,
    sender_agency_id: false,
    agency_id: false,
    jurisdiction: false,
    service: false,
    ordinal: false,
    status: true,
    places: true,
    places_held: true,
    location_protected: false,
    reason_code: true,
    staff_code: true,
    sealed: true,
    offered_at: false,
    accepted_at: true,
    ended_at: true,
    contestable_until: true,
    latest: false,
    forgotten_at: false,
    freed_before: false,
  },
  {
    freed_before: `case when j.status = t.status or j.status not in ('declined', 'expired') then t.freed_before else coalesce((
      select freed from capacities c where c.agency_id = t.agency_id and c.service = t.service), 0) end`,
  },
);

/** A new offer, the latest of its referral to this agency. */
export function insertOffer(tx: Tx, offer: OfferRow, earlier: readonly OfferRow[]): void {
  if (earlier.some(({ agency_id }) => agency_id === offer.agency_id)) {
    const superseded = tx
      .updateTable('offers')
      .set({ latest: false })
      .where('referral_id', '=', offer.referral_id)
      .where('agency_id', '=', offer.agency_id)
      .where(sql<boolean>`latest`);
    post(tx, superseded.execute());
  }
  OFFERS.insert(tx, offer);
}

export type OfferChange = Partial<
  Pick<
    OfferRow,
    'reason_code' | 'staff_code' | 'sealed' | 'places' | 'places_held' | 'accepted_at' | 'ended_at' | 'contestable_until'
  >
>;

/** The only writer of `offers.status`; takes what core/referral.ts decided. */
export function saveOfferStatus(tx: Tx, offer: OfferRow, status: OfferStatus, change: OfferChange): void {
  Object.assign(offer, change, { status });
  OFFERS.update(tx, offer);
}

/** The only writer of `referrals.status`: derived from how it ended and from its offers. Counts the version up. */
export function saveReferralStatus(tx: Tx, referral: ReferralRow, offers: readonly OfferRow[], now: Date): void {
  const status = referralStatus({ ended: referral.ended, offers });
  Object.assign(referral, { status, updated_at: now, version: referral.version + 1 });
  REFERRALS.update(tx, referral);
}

/**
 * Asks the router to look again at the waiting referrals that a change could help: those that could come to an agency, to its
 * `service` where it is named; those of a jurisdiction, or of a case. The router does so after the commit, and passes nobody by.
 */
export const requestRouting = (
  tx: Tx,
  helped: { agency_id: string; service?: Service } | { jurisdiction: string } | { case_id: string },
): void => asSystem(tx, 'router', tx => post(tx, tx.insertInto('routing_requests').values(helped).execute()));

/** Whether the agency serves anybody outside these jurisdictions. Runs as the router. */
export const servesBeyond = async (tx: Tx, agency_id: string, jurisdictions: readonly string[]): Promise<boolean> => {
  const served = await tx
    .selectFrom('offers')
    .select('id')
    .where('agency_id', '=', agency_id)
    .where('status', 'in', ['accepted', 'in_progress'])
    .where('jurisdiction', 'not in', [...jurisdictions])
    .limit(1)
    .executeTakeFirst();
  return served !== undefined;
};

/** Where a case is now is where a place is looked for. */
export const saveRegionOfOpen = (tx: Tx, case_id: string, region: string | null): void =>
  asSystem(tx, 'router', tx =>
    post(tx, tx.updateTable('referrals').set({ region }).where('case_id', '=', case_id).where('ended', 'is', null).execute()),
  );

/** What the review of a lawful ground found. */
export function saveGround(tx: Tx, referral: ReferralRow, lawful_ground: NonNullable<ReferralRow['lawful_ground']>): void {
  referral.lawful_ground = lawful_ground;
  REFERRALS.update(tx, referral);
}

/** When the router looks at the referral again by itself; null: not unless it is asked to. */
export function saveRoutingDue(tx: Tx, id: string, at: Date | null): void {
  post(tx, tx.updateTable('referrals').set({ router_due_at: at }).where('id', '=', id).execute());
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

/** What was asked for of a case, as far as whoever runs `tx` may know, and what came of it. */
export const listAskedFor = (tx: Tx, case_id: string): Promise<AskedFor[]> =>
  tx
    .selectFrom('referrals as r')
    .select(['r.service', 'r.created_at', 'r.status'])
    .select(eb => [
      eb
        .selectFrom('offers as o')
        .select('o.reason_code')
        .whereRef('o.referral_id', '=', 'r.id')
        .where('o.status', '=', 'completed')
        .limit(1)
        .as('outcome'),
      eb
        .selectFrom('offers as o')
        .select(({ fn }) => fn.max('o.ended_at').as('at'))
        .whereRef('o.referral_id', '=', 'r.id')
        .where('o.accepted_at', 'is not', null)
        .as('served_until'),
    ])
    .where('r.case_id', '=', case_id)
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

/** Beside: whether it is a coordination committee of the jurisdiction. */
export type PartyFacts = AgencyFacts & { coordinates: boolean };

/**
 * Those whom a referral concerns: its sender, whoever was asked, and the coordination committees of its jurisdiction; or, where there
 * is no referral yet, of the case's.
 */
export const listParties = (tx: Tx, of: CaseOf, sender_agency_id?: string): Promise<PartyFacts[]> => {
  const jurisdiction =
    'case_id' in of
      ? sql`(select jurisdiction from cases where id = ${of.case_id})`
      : sql`(select jurisdiction from referrals where id = ${of.referral_id})`;
  const others =
    'case_id' in of
      ? sql`id = ${sender_agency_id}`
      : sql`id = (select sender_agency_id from referrals where id = ${of.referral_id})
          or id in (select agency_id from offers where referral_id = ${of.referral_id})`;
  return tx
    .selectFrom('agencies')
    .select(['id', 'kind', 'duty_contact'])
    .select(sql<boolean>`kind = 'coordination_committee' and jurisdictions @> array[${jurisdiction}]`.as('coordinates'))
    .where(sql<boolean>`(${others} or kind = 'coordination_committee' and jurisdictions @> array[${jurisdiction}])`)
    .orderBy('id')
    .execute();
};

/** Those whom the referral asked, as far as whoever runs `tx` may know. */
export const listAsked = (tx: Tx, referral_id: string): Promise<AgencyFacts[]> =>
  tx
    .selectFrom('agencies')
    .select(['id', 'kind', 'duty_contact'])
    .where('id', 'in', eb => eb.selectFrom('offers').select('agency_id').where('referral_id', '=', referral_id))
    .execute();

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
