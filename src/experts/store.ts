import { type Insertable, type Selectable, sql, type Updateable } from 'kysely';
import type { AgencyKind, ExpertRequestStatus, OperatingMode, Skill } from '../core/codes.ts';
import { post, type Tx } from '../platform/database.ts';
import type { ExpertContactTable, ExpertRequestDetailTable, ExpertRequestTable, ExpertTable } from '../platform/tables.ts';

/** The SQL of the rosters of experts, and of requests for them; the only writer of these tables. */

export type ExpertRow = Selectable<ExpertTable>;
export type ExpertRequestRow = Selectable<ExpertRequestTable>;
export type ExpertRequestDetailRow = Selectable<ExpertRequestDetailTable>;

export const findExpert = (tx: Tx, id: string): Promise<ExpertRow | undefined> =>
  tx.selectFrom('experts').selectAll().where('id', '=', id).executeTakeFirst();

/** `share`: whoever asks for the expert, so that what is declared of the expert stands until that is done. */
export const lockExpert = (tx: Tx, id: string, strength: 'share' | 'update'): Promise<ExpertRow | undefined> =>
  tx
    .selectFrom('experts')
    .selectAll()
    .where('id', '=', id)
    .$if(strength === 'share', query => query.forShare())
    .$if(strength === 'update', query => query.forNoKeyUpdate())
    .executeTakeFirst();

export const listExperts = (
  tx: Tx,
  { agency_id, status, skill }: { agency_id: string; status?: ExpertRow['status']; skill?: Skill },
  before_id: string | undefined,
  limit: number,
): Promise<ExpertRow[]> =>
  tx
    .selectFrom('experts')
    .selectAll()
    .where('agency_id', '=', agency_id)
    .$if(status !== undefined, query => query.where('status', '=', status!))
    .$if(skill !== undefined, query => query.where('skills', '@>', sql<Skill[]>`array[${skill}]`))
    .$if(before_id !== undefined, query => query.where('id', '<', before_id!))
    .orderBy('id', 'desc')
    .limit(limit)
    .execute();

export async function insertExpert(tx: Tx, expert: Insertable<ExpertTable>): Promise<void> {
  await tx.insertInto('experts').values(expert).execute();
}

export async function saveExpert(tx: Tx, id: string, change: Updateable<ExpertTable>, now: Date): Promise<void> {
  await tx
    .updateTable('experts')
    .set({ ...change, updated_at: now })
    .set('version', sql<number>`version + 1`)
    .where('id', '=', id)
    .execute();
}

/** How to reach the expert, for whoever may know: the second wall looks for itself. */
export const findContact = (tx: Tx, expert_id: string): Promise<Selectable<ExpertContactTable> | undefined> =>
  tx.selectFrom('expert_contacts').selectAll().where('expert_id', '=', expert_id).executeTakeFirst();

export async function putContact(tx: Tx, contact: Insertable<ExpertContactTable>): Promise<void> {
  await tx
    .insertInto('expert_contacts')
    .values(contact)
    .onConflict(conflict => conflict.column('expert_id').doUpdateSet({ sealed: contact.sealed }))
    .execute();
}

/** An expert with what the agency that keeps it is, and with the requests that are open. */
export type RosterRow = ExpertRow & {
  agency_status: 'active' | 'suspended';
  agency_kind: AgencyKind;
  operating_mode: OperatingMode;
  open: { from: string; to: string; status: ExpertRequestStatus }[];
};

const roster = (tx: Tx) =>
  tx
    .selectFrom('experts as x')
    .innerJoin('agencies as a', 'a.id', 'x.agency_id')
    .selectAll('x')
    .select(['a.status as agency_status', 'a.kind as agency_kind', 'a.operating_mode'])
    .select(
      sql<RosterRow['open']>`coalesce((
        select jsonb_agg(jsonb_build_object('from', r."from", 'to', r."to", 'status', r.status)) from expert_requests r
        where r.expert_id = x.id and r.status in ('requested', 'confirmed')), '[]')`.as('open'),
    );

/** Everybody who may have the skill there. Runs as the matcher. */
export const listRoster = (tx: Tx, { skill, jurisdiction }: { skill: Skill; jurisdiction: string }): Promise<RosterRow[]> =>
  roster(tx)
    .where('x.skills', '@>', sql<Skill[]>`array[${skill}]`)
    .where('x.jurisdictions', '@>', sql<string[]>`array[${jurisdiction}]`)
    .where('x.status', '=', 'active')
    .orderBy('x.id')
    .execute();

/** Runs as the matcher. */
export const findOnRoster = (tx: Tx, id: string): Promise<RosterRow | undefined> =>
  roster(tx).where('x.id', '=', id).executeTakeFirst();

export const findRequest = (tx: Tx, id: string): Promise<ExpertRequestRow | undefined> =>
  tx.selectFrom('expert_requests').selectAll().where('id', '=', id).executeTakeFirst();

/** Behind its expert, before its timers. */
export const lockRequest = (tx: Tx, id: string): Promise<ExpertRequestRow | undefined> =>
  tx.selectFrom('expert_requests').selectAll().where('id', '=', id).forUpdate().executeTakeFirst();

/** What is asked of an expert and not over, locked in one order. Runs as the matcher. */
export const lockOpenRequests = (tx: Tx, expert_id: string): Promise<ExpertRequestRow[]> =>
  tx
    .selectFrom('expert_requests')
    .selectAll()
    .where('expert_id', '=', expert_id)
    .where('status', 'in', ['requested', 'confirmed'])
    .orderBy('id')
    .forUpdate()
    .execute();

export const listRequests = (
  tx: Tx,
  { agency_id, box, status }: { agency_id: string; box?: 'incoming' | 'outgoing'; status?: ExpertRequestStatus },
  before_id: string | undefined,
  limit: number,
): Promise<ExpertRequestRow[]> =>
  tx
    .selectFrom('expert_requests')
    .selectAll()
    .where(eb =>
      eb.or([
        ...(box === 'outgoing' ? [] : [eb('agency_id', '=', agency_id)]),
        ...(box === 'incoming' ? [] : [eb('requester_agency_id', '=', agency_id)]),
      ]),
    )
    .$if(status !== undefined, query => query.where('status', '=', status!))
    .$if(before_id !== undefined, query => query.where('id', '<', before_id!))
    .orderBy('id', 'desc')
    .limit(limit)
    .execute();

export async function insertRequest(
  tx: Tx,
  request: Insertable<ExpertRequestTable>,
  details: Insertable<ExpertRequestDetailTable>,
): Promise<void> {
  await tx.insertInto('expert_requests').values(request).execute();
  await tx.insertInto('expert_request_details').values(details).execute();
}

/** Changes the request, which must be locked, here and in its row: the only writer of its status. */
export function saveRequestStatus(
  tx: Tx,
  request: ExpertRequestRow,
  { status, reason_code }: Pick<ExpertRequestRow, 'status' | 'reason_code'>,
  now: Date,
): void {
  Object.assign(request, { status, reason_code, updated_at: now, version: request.version + 1 });
  const { version } = request;
  post(
    tx,
    tx
      .updateTable('expert_requests')
      .set({ status, reason_code, version, updated_at: now })
      .where('id', '=', request.id)
      .execute(),
  );
}

export const findDetails = (tx: Tx, request_id: string): Promise<ExpertRequestDetailRow | undefined> =>
  tx.selectFrom('expert_request_details').selectAll().where('request_id', '=', request_id).executeTakeFirst();

/** Requests whose time is not over, and whose expert, or the agency that keeps it, is suspended. Runs as the matcher. */
export const listWithSuspended = (tx: Tx, now: Date): Promise<{ id: string; expert_id: string }[]> =>
  tx
    .selectFrom('expert_requests as r')
    .innerJoin('experts as x', 'x.id', 'r.expert_id')
    .innerJoin('agencies as a', 'a.id', 'x.agency_id')
    .select(['r.id', 'r.expert_id'])
    .where('r.status', 'in', ['requested', 'confirmed'])
    .where('r.to', '>', now)
    .where(eb => eb.or([eb('x.status', '=', 'suspended'), eb('a.status', '=', 'suspended')]))
    .orderBy('r.id')
    .execute();

/** Requests that are over and still say something: those that ended, or were confirmed for a time until `before`. Runs as the matcher. */
export async function listOverWithDetails(tx: Tx, before: Date, limit: number): Promise<string[]> {
  const rows = await tx
    .selectFrom('expert_request_details as d')
    .innerJoin('expert_requests as r', 'r.id', 'd.request_id')
    .select('r.id')
    .where('d.sealed', 'is not', null)
    .where(eb =>
      eb.or([
        eb('r.status', 'not in', ['requested', 'confirmed']),
        eb.and([eb('r.status', '=', 'confirmed'), eb('r.to', '<=', before)]),
      ]),
    )
    .orderBy('r.id')
    .limit(limit)
    .forUpdate('d')
    .skipLocked()
    .execute();
  return rows.map(({ id }) => id);
}

/** Runs as the matcher. */
export async function emptyDetails(tx: Tx, request_ids: readonly string[]): Promise<void> {
  await tx.updateTable('expert_request_details').set({ sealed: null }).where('request_id', 'in', request_ids).execute();
}

/** Until when each of these requests waits for an answer. */
export async function listAnswersDue(tx: Tx, ids: readonly string[]): Promise<Map<string, Date>> {
  const rows = await tx
    .selectFrom('timers')
    .select(['expert_request_id', 'due_at'])
    .where(sql<boolean>`expert_request_id = any (${[...ids]})`)
    .where('name', '=', 'respond')
    .execute();
  return new Map(rows.map(({ expert_request_id, due_at }) => [expert_request_id!, due_at]));
}
