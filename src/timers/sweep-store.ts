import { sql } from 'kysely';
import { post, type Tx } from '../platform/database.ts';
import { toJson } from '../platform/gather.ts';
import type { TimerRow } from './store.ts';

/** What sweeps look for and write: timers on which time, not an act, has worked. */

/** What changes without an act. */
const BY_TIME: readonly (keyof TimerRow)[] = [
  'state',
  'due_at',
  'warned_at',
  'breached_at',
  'met_at',
  'escalation_level',
  'steps',
  'next_step_at',
  'calendar_version',
  'version',
];

/** Writes what time or a changed calendar has made of timers, which must be locked, in one statement. */
export function saveTimers(tx: Tx, timers: readonly TimerRow[]): void {
  const ids = timers.map(({ id }) => id);
  // Found by their ids, whatever the planner takes the rows of the document for.
  post(
    tx,
    sql`
      update timers t set ${sql.raw(BY_TIME.map(column => `${column} = j.${column}`).join(', '))}
      from json_populate_recordset(null::timers, ${toJson(timers, ['id', ...BY_TIME])}) j
      where t.id = j.id and t.id = any (${ids})`.execute(tx),
  );
}

export interface DueTimer {
  id: string;
  case_id: string | null;
  subject_id: string;
  referral_id: string | null;
}

/** Tries a step again later; not one that somebody ended or paused meanwhile. */
export function putOff(tx: Tx, id: string, at: Date): void {
  post(
    tx,
    tx.updateTable('timers').set({ next_step_at: at }).where('id', '=', id).where('next_step_at', 'is not', null).execute(),
  );
}

/**
 * Locks what has something to do by `now`: first the emergencies, then the others, of each the most overdue first. Those that
 * somebody holds are passed by: an act is dealing with them, or another sweep.
 */
export async function claimDueTimers(tx: Tx, now: Date, limit: number): Promise<TimerRow[]> {
  // The planner would think anew at every tick, for it cannot know whether much is due or nothing; the plan is the same.
  post(tx, sql`select set_config('plan_cache_mode', 'force_generic_plan', true)`.execute(tx));
  // The second list is looked at only as far as the first one leaves room.
  const { rows } = await sql<TimerRow>`
    select * from (select * from timers where next_step_at <= ${now} and urgency = 'emergency'
      order by next_step_at limit ${limit} for update skip locked) emergencies
    union all
    select * from (select * from timers where next_step_at <= ${now} and urgency <> 'emergency'
      order by next_step_at limit ${limit} for update skip locked) others
    limit ${limit}`.execute(tx);
  return rows;
}

/** For an act that holds what it wants, a sweep waits no longer than this. */
const WAITS_MS = 250;

/**
 * Before anything is locked that one of the matter's timers is about; from then on the transaction waits but a moment for each lock.
 * @returns false where another sweep has the timers of this matter; else none will before the transaction ends
 */
export async function claimMatter(tx: Tx, matter: string): Promise<boolean> {
  const { rows } = await sql<{ mine: boolean }>`
    select pg_try_advisory_xact_lock(hashtextextended(${`sweep ${matter}`}, 0)) as mine,
      set_config('lock_timeout', ${String(WAITS_MS)}, true), set_config('plan_cache_mode', 'force_generic_plan', true)`.execute(
    tx,
  );
  return rows[0]!.mine;
}

/** When the first of the clocks that end this offer fell due. */
export async function findFirstExpiry(tx: Tx, offer_id: string): Promise<Date | null> {
  const first = await tx
    .selectFrom('timers')
    .select(({ fn }) => fn.min('breached_at').as('at'))
    .where('offer_id', '=', offer_id)
    .where('on_breach', '=', 'expire_offer')
    .executeTakeFirst();
  return first?.at ?? null;
}
