import { type RawBuilder, type Selectable, sql } from 'kysely';
import type { CaseData, RoutingProfile } from '../core/case.ts';
import type { Category, Stage } from '../core/codes.ts';
import type { Grant } from '../core/consent.ts';
import { getDataKey, keepDataKey } from '../platform/data-keys.ts';
import { post, type Tx } from '../platform/database.ts';
import type { CaseAssigneesTable, CaseTable, ConsentTable, SealedCategory } from '../platform/tables.ts';
import { open, seal, type Vault } from '../platform/vault.ts';

export type CaseRow = Selectable<CaseTable>;
export type ConsentRow = Selectable<ConsentTable>;

/** What a transfer changes beside the owner. */
export type Ownership = Pick<CaseRow, 'opened_by_agency_id' | 'owned_since' | 'owned_by_referral_id' | 'owner_withheld'>;

interface Sealing {
  vault: Vault;
}

/** The case as whoever runs `tx` may know of it. */
export const findCase = (tx: Tx, id: string): Promise<CaseRow | undefined> =>
  tx.selectFrom('cases').selectAll().where('id', '=', id).executeTakeFirst();

/**
 * Finds the case and locks it: whoever may not know of it is answered before anything is waited for, and holds nobody up.
 * @throws Problem `not_found`
 */
export async function lockVisibleCase(tx: Tx, id: string, strength: 'share' | 'update'): Promise<CaseRow> {
  const { rows } = await sql<CaseRow>`select * from lock_visible_case(${id}, ${strength === 'update'})`.execute(tx);
  return rows[0]!;
}

/**
 * Locks the case, whether or not the caller may see it: `share` for whoever reads its data or acts on a referral, `update` for
 * what changes data, consent or stage. First of all locks.
 */
export async function lockCase(tx: Tx, id: string, strength: 'share' | 'update'): Promise<void> {
  await sql`select lock_case(${id}, ${strength === 'update'})`.execute(tx);
}

export function insertCase(
  tx: Tx,
  row: Omit<CaseRow, 'version' | 'stage_before_close' | 'close_reason' | 'closed_at' | keyof Ownership>,
): void {
  post(tx, tx.insertInto('cases').values(row).execute());
}

/** Changes a case's columns, but for its stage (`saveStage`), and counts its version up. */
export function saveCase(
  tx: Tx,
  id: string,
  change: Partial<Pick<CaseRow, 'region' | 'risk' | 'track' | 'group_id' | 'family'>>,
  now: Date,
): void {
  post(
    tx,
    tx
      .updateTable('cases')
      .set(eb => ({ ...change, updated_at: now, version: eb('version', '+', 1) }))
      .where('id', '=', id)
      .execute(),
  );
}

/** The only writer of who owns a case, and of what an owner that did not open it does not see. Runs as the router. */
export function saveOwner(tx: Tx, id: string, change: Partial<Ownership> & { owner_agency_id?: string }, now: Date): void {
  post(
    tx,
    tx
      .updateTable('cases')
      .set(eb => ({ ...change, updated_at: now, version: eb('version', '+', 1) }))
      .where('id', '=', id)
      .execute(),
  );
}

/** The only writer of `cases.stage`. */
export function saveStage(
  tx: Tx,
  id: string,
  change: Pick<CaseRow, 'stage'> & Partial<Pick<CaseRow, 'stage_before_close' | 'close_reason' | 'closed_at'>>,
  now: Date,
): void {
  post(
    tx,
    tx
      .updateTable('cases')
      .set(eb => ({ ...change, updated_at: now, version: eb('version', '+', 1) }))
      .where('id', '=', id)
      .execute(),
  );
}

export interface CaseFilter {
  stage?: Stage;
  risk?: string;
  reference?: string;
  status?: 'open' | 'closed';
  /** Whether a service was asked for that nobody provides: what else the person needs is sealed, and not looked for. */
  unmet?: boolean;
  /** Those of its members that the agency itself owns: whom else a group has is nobody's to know. */
  group_id?: string;
}

/** As core/unmet.ts says it of what is asked for. */
const UNMET = sql<boolean>`(stage not in ('closed', 'withdrawn') and exists (
  select from referrals r where r.case_id = masked_cases.id and r.service <> 'case_management'
    and r.ended is null and r.status not in ('accepted', 'in_progress')
    and not exists (select from referrals served where served.case_id = r.case_id and served.service = r.service
      and served.status in ('accepted', 'in_progress'))))`;

/** Cases of an owner, or as a coordinator sees them; newest first. */
export const listCases = (
  tx: Tx,
  whose: { owner_agency_id: string } | { jurisdictions: readonly string[] },
  filter: CaseFilter,
  before_id: string | undefined,
  limit: number,
) =>
  tx
    .selectFrom('masked_cases')
    .selectAll()
    .$if('owner_agency_id' in whose, query =>
      query.where('owner_agency_id', '=', (whose as { owner_agency_id: string }).owner_agency_id),
    )
    .$if('jurisdictions' in whose, query =>
      query.where('jurisdiction', 'in', [...(whose as { jurisdictions: readonly string[] }).jurisdictions]),
    )
    .$if(filter.stage !== undefined, query => query.where('stage', '=', filter.stage!))
    .$if(filter.risk !== undefined, query => query.where('risk', '=', filter.risk!))
    .$if(filter.reference !== undefined, query => query.where('reference', '=', filter.reference!))
    .$if(filter.status !== undefined, query => query.where('closed_at', filter.status === 'open' ? 'is' : 'is not', null))
    .$if(filter.unmet !== undefined, query => query.where(UNMET, '=', filter.unmet!))
    .$if(filter.group_id !== undefined, query =>
      query.where('id', 'in', eb =>
        eb
          .selectFrom('cases')
          .select('id')
          .where('group_id', '=', filter.group_id!)
          .where('owner_agency_id', '=', sql<string>`me()`),
      ),
    )
    .$if(before_id !== undefined, query => query.where('id', '<', before_id!))
    .orderBy('id', 'desc')
    .limit(limit)
    .execute();

const place = (case_id: string, category: SealedCategory, version: number) => ({
  table: 'case_data',
  row: case_id,
  category,
  version,
});

/** Writes categories at `version`; what they replace is kept, sealed as it was, for the owner. */
export async function saveCaseData(
  services: Sealing,
  tx: Tx,
  case_id: string,
  version: number,
  data: Partial<Record<SealedCategory, unknown>>,
  now: Date,
): Promise<void> {
  const categories = Object.keys(data) as SealedCategory[];
  if (categories.length === 0) return;
  if (version > 1) {
    const replaced = sql`
    insert into case_data_history (case_id, category, version, sealed, replaced_at)
    select case_id, category, version, sealed, ${now} from case_data
    where case_id = ${case_id} and category = any (${categories}) and category <> 'profile'`;
    post(tx, replaced.execute(tx));
  }
  const key = await getDataKey(services, tx, case_id);
  const written = tx
    .insertInto('case_data')
    .values(
      categories.map(category => ({
        case_id,
        category,
        version,
        sealed: seal(key, place(case_id, category, version), data[category] ?? {}),
        updated_at: now,
      })),
    )
    .onConflict(conflict =>
      conflict.columns(['case_id', 'category']).doUpdateSet(eb => ({
        version: eb.ref('excluded.version'),
        sealed: eb.ref('excluded.sealed'),
        updated_at: eb.ref('excluded.updated_at'),
      })),
    );
  post(tx, written.execute());
}

/** A case that is named, or that of a referral: by which its rows are asked for in one go with the referral itself. */
export type CaseOf = { case_id: string } | { referral_id: string };

export const caseOf = (of: CaseOf): RawBuilder<string> =>
  'case_id' in of ? sql`${of.case_id}` : sql`(select case_id from referrals where id = ${of.referral_id})`;

/** What of a case's sealed categories came through the caller's wall; opened when somebody wants to know. */
export interface SealedData {
  /** What the named categories hold; those that are empty, or did not come through, are left out. */
  open(categories: readonly Category[]): CaseData;
  /** What routing and the matching profile are made of. */
  profile(): RoutingProfile | undefined;
}

/** The categories, with the key of the case, in one statement. */
export async function findSealed(
  services: Sealing,
  tx: Tx,
  of: CaseOf,
  categories: readonly SealedCategory[] | RawBuilder<SealedCategory[]>,
): Promise<SealedData> {
  if (Array.isArray(categories) && categories.length === 0) return { open: () => ({}), profile: () => undefined };
  const rows = await tx
    .selectFrom('case_data as d')
    // Looked for once, whatever it takes to see it.
    .innerJoin(
      eb => eb.selectFrom('case_keys').select(['kek_id', 'wrapped']).where('case_id', '=', caseOf(of)).as('k'),
      join => join.onTrue(),
    )
    .select(['d.case_id', 'd.category', 'd.version', 'd.sealed', 'k.kek_id', 'k.wrapped'])
    .where('d.case_id', '=', caseOf(of))
    .where(
      // A list is planned once; for an array the planner would think anew each time.
      'execute' in categories ? sql<boolean>`d.category = any (${categories})` : eb => eb('d.category', 'in', [...categories]),
    )
    .execute();
  const key = rows[0] && keepDataKey(services, tx, rows[0]);
  const openRow = (row: (typeof rows)[number]) => open<unknown>(key!, place(row.case_id, row.category, row.version), row.sealed);
  return {
    open(wanted) {
      const found = rows.filter(({ category }) => wanted.includes(category as Category));
      const opened = found.map(row => [row.category, openRow(row) as object] as const);
      return Object.fromEntries(opened.filter(([, fields]) => Object.keys(fields).length > 0)) as CaseData;
    },
    profile() {
      const row = rows.find(({ category }) => category === 'profile');
      return row && (openRow(row) as RoutingProfile);
    },
  };
}

/** The profile alone. */
export const findProfile = async (services: Sealing, tx: Tx, of: CaseOf): Promise<() => RoutingProfile | undefined> =>
  (await findSealed(services, tx, of, ['profile'])).profile;

/** Those of many cases, in one statement. */
export async function listProfiles(services: Sealing, tx: Tx, case_ids: readonly string[]): Promise<Map<string, RoutingProfile>> {
  if (case_ids.length === 0) return new Map();
  const rows = await tx
    .selectFrom('case_data as d')
    .innerJoin('case_keys as k', 'k.case_id', 'd.case_id')
    .select(['d.case_id', 'd.version', 'd.sealed', 'k.kek_id', 'k.wrapped'])
    // One text however many there are.
    .where(sql<boolean>`d.case_id = any (${case_ids})`)
    .where('d.category', '=', 'profile')
    .execute();
  return new Map(
    rows.map(row => {
      const key = keepDataKey(services, tx, row);
      return [row.case_id, open<RoutingProfile>(key, place(row.case_id, 'profile', row.version), row.sealed)];
    }),
  );
}

/** The profile, and what the agency holds by its accepted offers of this referral. */
export const findSealedFor = (services: Sealing, tx: Tx, referral_id: string, agency_id: string): Promise<SealedData> =>
  findSealed(
    services,
    tx,
    { referral_id },
    sql`array(select 'profile' union select unnest(held.categories) from disclosures held
      where held.referral_id = ${referral_id} and held.agency_id = ${agency_id} and held.ended_at is null)`,
  );

/** All grants of the case, live or not. Only its owner and the router see them. */
export const listConsents = (tx: Tx, of: CaseOf): Promise<ConsentRow[]> =>
  tx.selectFrom('consents').selectAll().where('case_id', '=', caseOf(of)).orderBy('id', 'desc').execute();

export const listGrants = (tx: Tx, of: CaseOf): Promise<Grant[]> => listConsents(tx, of);

export const findConsent = (tx: Tx, id: string): Promise<ConsentRow | undefined> =>
  tx.selectFrom('consents').selectAll().where('id', '=', id).executeTakeFirst();

export type AssigneesRow = Selectable<CaseAssigneesTable>;

/** Whom the agency assigned to the case; undefined until it first did. */
export const findAssignees = (tx: Tx, of: CaseOf, agency_id: string): Promise<AssigneesRow | undefined> =>
  tx
    .selectFrom('case_assignees')
    .selectAll()
    .where('case_id', '=', caseOf(of))
    .where('agency_id', '=', agency_id)
    .executeTakeFirst();

export function saveAssignees(tx: Tx, row: AssigneesRow): void {
  const { staff_codes, version, updated_at } = row;
  post(
    tx,
    tx
      .insertInto('case_assignees')
      .values(row)
      .onConflict(conflict => conflict.columns(['case_id', 'agency_id']).doUpdateSet({ staff_codes, version, updated_at }))
      .execute(),
  );
}

/** Which of these codes are of somebody active at the agency. */
export async function listActiveStaff(tx: Tx, agency_id: string, staff_codes: readonly string[]): Promise<string[]> {
  const rows = await tx
    .selectFrom('caseworkers')
    .select('staff_code')
    .where('agency_id', '=', agency_id)
    .where('staff_code', 'in', ['', ...staff_codes])
    .where('status', '=', 'active')
    .execute();
  return rows.map(({ staff_code }) => staff_code);
}

/** By what an agency has a case: as its owner, or by the offer that it accepted. */
export type CaseTie = { referral_id: null; offer_id: null } | { referral_id: string; offer_id: string };

/** How the agency owns or holds the case now; undefined where it does neither. */
export async function findCaseTie(tx: Tx, case_id: string, agency_id: string): Promise<CaseTie | undefined> {
  const owned = await tx
    .selectFrom('cases')
    .select('id')
    .where('id', '=', case_id)
    .where('owner_agency_id', '=', agency_id)
    .executeTakeFirst();
  if (owned) return { referral_id: null, offer_id: null };
  return tx
    .selectFrom('disclosures')
    .select(['referral_id', 'offer_id'])
    .where('case_id', '=', case_id)
    .where('agency_id', '=', agency_id)
    .where('ended_at', 'is', null)
    .orderBy('id', 'desc')
    .limit(1)
    .executeTakeFirst();
}

/** When the agency last confirmed that it deleted what it held of the case, and so forgot it. Runs as the router. */
export async function findForgottenAt(tx: Tx, case_id: string, agency_id: string): Promise<Date | null> {
  const row = await tx
    .selectFrom('disclosures')
    .select(({ fn }) => fn.max('forgotten_at').as('at'))
    .where('case_id', '=', case_id)
    .where('agency_id', '=', agency_id)
    .executeTakeFirst();
  return row?.at ?? null;
}

const reopeningPlace = (case_id: string, version: number) => ({
  table: 'case_reopenings',
  row: case_id,
  category: 'reopening',
  version,
});

/** Why the case was reopened, under its key; `version`: the case's from then on. */
export async function insertReopening(
  services: Sealing,
  tx: Tx,
  { case_id, version, reason, reopened_at }: { case_id: string; version: number; reason: string; reopened_at: Date },
): Promise<void> {
  const sealed = seal(await getDataKey(services, tx, case_id), reopeningPlace(case_id, version), reason);
  await tx.insertInto('case_reopenings').values({ case_id, version, sealed, reopened_at }).execute();
}

/** Each time that the case was reopened, and why, oldest first. */
export async function listReopenings(
  services: Sealing,
  tx: Tx,
  case_id: string,
): Promise<{ reopened_at: string; reason: string }[]> {
  const rows = await tx.selectFrom('case_reopenings').selectAll().where('case_id', '=', case_id).orderBy('version').execute();
  if (rows.length === 0) return [];
  const key = await getDataKey(services, tx, case_id);
  return rows.map(row => ({
    reopened_at: row.reopened_at.toISOString(),
    reason: open<string>(key, reopeningPlace(case_id, row.version), row.sealed),
  }));
}
